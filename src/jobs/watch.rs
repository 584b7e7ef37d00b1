//! The job that polls a watched authentik.

use tokio::sync::watch;

use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::watch::poller::Poller;
use crate::actions::watch::run::forever;

/// Polls until the server stops, then gives the lease to other nodes. Every request only reads, so one in flight may be
/// given up at any moment.
pub(super) async fn run(app: App, mut stop: watch::Receiver<bool>) {
    let mut poller = Poller::default();
    tokio::select! {
        error = forever(&app, By::System, &mut poller) => tracing::error!(%error, "authentik is not watched any more"),
        _ = stop.changed() => {}
    }
    if let Err(error) = poller.release(&app, By::System).await {
        tracing::warn!(%error, "the lease on authentik was not given back; it is over soon");
    }
}
