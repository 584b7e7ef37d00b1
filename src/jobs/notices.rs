//! The job that tells apps of ends.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::oidc::notify::Notifier;

/// How often it is looked for notices while there are none, and while some are under way: four at a time, this bounds what
/// one app gets in a second.
const IDLE: Duration = Duration::from_millis(250);
const BUSY: Duration = Duration::from_millis(40);
/// The waits after a failure of the database, and of the settings.
const AFTER_FAILURE: Duration = Duration::from_secs(5);
const UNTIL_SET: Duration = Duration::from_secs(60);
/// How long a stop waits for answers under way. Those that come later are asked for again at the next start.
const PATIENCE: Duration = Duration::from_secs(5);

/// Tells apps until the server stops, then waits a while for the answers under way.
pub(super) async fn run(app: App, mut stop: watch::Receiver<bool>) {
    let mut notifier: Option<Notifier> = None;
    loop {
        let pause = match &mut notifier {
            Some(notifier) => look(&app, notifier).await,
            None => match Notifier::new(&app).await {
                Ok(made) => {
                    notifier = Some(made);
                    Duration::ZERO
                }
                Err(why) => {
                    tracing::error!(%why, "apps cannot be told of ends");
                    UNTIL_SET
                }
            },
        };
        tokio::select! {
            () = sleep(pause) => {}
            _ = stop.changed() => break,
        }
    }
    if let Some(mut notifier) = notifier {
        drop(timeout(PATIENCE, notifier.finish()).await);
    }
}

/// Begins what is due, and gives how long to wait until the next look.
async fn look(app: &App, notifier: &mut Notifier) -> Duration {
    match notifier.begin(app, By::System).await {
        Ok(0) if notifier.under_way() == 0 => IDLE,
        Ok(_) => BUSY,
        Err(error) => {
            tracing::warn!(%error, "telling apps of ends failed; the next run tries again");
            AFTER_FAILURE
        }
    }
}
