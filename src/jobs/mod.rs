//! What runs by the clock while the server serves: writing down uses, sweeping what is over, reading
//! changed GeoIP files, and bringing stored places and parsed user agents up to date.

mod places;
mod user_agents;

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::actions::sessions;
use crate::app::App;

/// How often uses are written down. A crash loses at most these and the last touch interval.
const FLUSH: Duration = Duration::from_secs(1);
/// How often GeoIP files are looked at.
const LOOK: Duration = Duration::from_secs(5);
/// How often stored places are compared with the files, and unused rules are put away.
const UPKEEP: Duration = Duration::from_secs(60);
/// How long after its end a session is swept: longer than a use of it on another node can take to be
/// written down.
const GRACE: Duration = Duration::from_secs(5);

/// Starts all jobs. They end when the set is dropped.
pub fn start(app: &App) -> JoinSet<()> {
    let mut jobs = JoinSet::new();
    jobs.spawn(every(FLUSH, app.clone(), |app| async move { report("writing down uses", app.touches.flush(&app).await) }));
    let purge = app.config.sessions.purge_interval;
    if !purge.is_zero() {
        jobs.spawn(every(purge, app.clone(), |app| async move { report("sweeping", sweep(&app).await) }));
    }
    jobs.spawn(every(LOOK, app.clone(), |app| async move {
        let geoip = std::sync::Arc::clone(&app.geoip);
        // Reading a file blocks.
        if tokio::task::spawn_blocking(move || geoip.reload_changed()).await.unwrap_or(false) {
            report("looking up places", places::refresh(&app).await);
        }
    }));
    jobs.spawn(every(UPKEEP, app.clone(), |app| async move {
        report("reading user agents anew", user_agents::refresh(&app).await);
        report("looking up places", places::refresh(&app).await);
        app.user_agents.rest();
    }));
    jobs
}

/// Ends the sessions whose time is over, and forgets sign-ins that took too long.
///
/// # Errors
/// When the database cannot be written; the next run goes on where this one stopped.
pub async fn sweep(app: &App) -> Result<(), crate::actions::ActionError> {
    app.touches.flush(app).await?;
    let now = app.clock.now();
    let ended = sessions::sweep(app, now.minus(GRACE)).await?;
    if ended > 0 {
        tracing::info!(ended, "swept expired sessions");
    }
    app.store.write(move |db| Box::pin(async move { db.delete_expired_pending_sign_ins(now).await })).await?;
    Ok(())
}

async fn every<F: Future<Output = ()>>(period: Duration, app: App, job: impl Fn(App) -> F) {
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        job(app.clone()).await;
    }
}

fn report(what: &str, result: Result<(), impl std::fmt::Display>) {
    if let Err(error) = result {
        tracing::warn!(%error, "{what} failed; the next run tries again");
    }
}
