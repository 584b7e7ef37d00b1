//! The job that tells apps of ends.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::oidc::notices::Notices;

/// How often it is looked for notices, while there are none; and while there are some, which bounds what one app gets in a
/// second.
const IDLE: Duration = Duration::from_millis(250);
const BUSY: Duration = Duration::from_millis(40);
/// The wait after a failure.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Tells apps until the server stops, then waits for the answers under way.
pub(super) async fn run(app: App, mut stop: watch::Receiver<bool>) {
    let mut notices: Option<Notices> = None;
    loop {
        let pause = match &mut notices {
            Some(notices) => match notices.begin(&app, By::System).await {
                Ok(0) => IDLE,
                Ok(_) => BUSY,
                Err(error) => {
                    tracing::warn!(%error, "telling apps of ends failed; the next run tries again");
                    AFTER_FAILURE
                }
            },
            None => match Notices::new(&app) {
                Ok(made) => {
                    notices = Some(made);
                    Duration::ZERO
                }
                Err(why) => {
                    tracing::error!(%why, "apps cannot be told of ends");
                    Duration::from_secs(60)
                }
            },
        };
        tokio::select! {
            () = sleep(pause) => {}
            _ = stop.changed() => break,
        }
    }
    if let Some(mut notices) = notices {
        notices.finish().await;
    }
}
