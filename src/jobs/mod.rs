//! What runs by the clock while the server serves: writing down uses, sweeping what is over, reading
//! changed GeoIP files, and bringing stored places and parsed user agents up to date.

mod changes;
pub mod dictionary;
mod moves;
mod places;
mod user_agents;

use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::actions::app::App;
use crate::actions::clock;
use crate::actions::sessions::{end, end_job, retention};
use crate::actions::sign_in::guesses;
use crate::auth::known_device;
use crate::jobs::changes::ChangeLog;
use crate::jobs::dictionary::UnusedAgents;
use crate::jobs::moves::Moves;

/// How often uses are written down. A crash loses at most these and the last touch interval.
const FLUSH: Duration = Duration::from_secs(1);
/// How often GeoIP files are looked at.
const LOOK: Duration = Duration::from_secs(5);
/// How often stored places are compared with the files, and unused rules are put away.
const UPKEEP: Duration = Duration::from_secs(60);
/// How often sessions with a pending end are moved to the history, for half of that time: others write, too.
const MOVE: Duration = Duration::from_secs(1);
/// How often it is looked for an end of many sessions that no process runs.
const RESUME: Duration = Duration::from_secs(1);
/// How often user agents that nothing refers to are forgotten.
const PRUNE: Duration = Duration::from_secs(3600);
/// How long after its end a session is swept: longer than a use of it on another node can take to be
/// written down.
const GRACE: Duration = Duration::from_secs(5);

/// Jobs that run.
pub struct Jobs {
    stop: watch::Sender<bool>,
    running: JoinSet<()>,
}

impl Jobs {
    /// Starts all jobs.
    #[must_use]
    pub fn start(app: &App) -> Self {
        let mut jobs = Self { stop: watch::Sender::new(false), running: JoinSet::new() };
        jobs.every(LOOK, app, |app| async move { report("comparing clocks", clock::keep(&app).await) });
        jobs.every(FLUSH, app, |app| async move { report("writing down uses", app.touches.flush(&app).await) });
        let purge = app.config.sessions.purge_interval;
        if !purge.is_zero() {
            jobs.every(purge, app, |app| async move { report("sweeping", sweep(&app).await) });
            jobs.every(purge.max(UPKEEP), app, |app| async move {
                let faded = retention::fade(&app).await.map(|faded| {
                    if faded > 0 {
                        tracing::info!(faded, "took addresses off that are older than they may be");
                    }
                });
                report("taking old addresses off", faded);
                report("emptying the database's log", retention::clear_leftovers(&app).await);
            });
        }
        jobs.every(LOOK, app, |app| async move {
            let geoip = std::sync::Arc::clone(&app.geoip);
            // Reading a file blocks.
            if tokio::task::spawn_blocking(move || geoip.reload_changed()).await.unwrap_or(false) {
                report("looking up places", places::refresh(&app).await);
            }
        });
        jobs.every(UPKEEP, app, |app| async move {
            report("reading user agents anew", user_agents::refresh(&app).await);
            report("looking up places", places::refresh(&app).await);
            report("forgetting limits on guesses", guesses::sweep(&app).await);
            app.user_agents.rest();
            app.store.rest();
        });
        let moves = std::sync::Arc::new(Moves::default());
        jobs.every(MOVE, app, move |app| {
            let moves = std::sync::Arc::clone(&moves);
            async move { report("moving sessions with a pending end", moves.go_on(&app, MOVE / 2).await) }
        });
        jobs.every(RESUME, app, |app| async move { report("going on with an end of many sessions", end_job::resume(&app).await) });
        let unused = std::sync::Arc::new(UnusedAgents::default());
        jobs.every(PRUNE, app, move |app| {
            let unused = std::sync::Arc::clone(&unused);
            async move { report("forgetting unused user agents", unused.prune(&app).await.map(drop)) }
        });
        jobs.every(UPKEEP, app, |app| async move {
            let purged = retention::purge(&app).await.map(|purged| {
                if purged > 0 {
                    tracing::info!(purged, "forgot sessions that ended long ago");
                }
            });
            report("forgetting ended sessions", purged);
        });
        let log = std::sync::Arc::new(ChangeLog::default());
        jobs.every(UPKEEP, app, move |app| {
            let log = std::sync::Arc::clone(&log);
            async move { report("shortening the log of changes", log.shorten(&app).await) }
        });
        jobs
    }

    /// Runs a job once per `period`, the first time at once.
    fn every<F>(&mut self, period: Duration, app: &App, job: impl Fn(App) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send,
    {
        let (app, mut stop) = (app.clone(), self.stop.subscribe());
        self.running.spawn(async move {
            let mut ticks = tokio::time::interval(period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    _ = ticks.tick() => job(app.clone()).await,
                    _ = stop.changed() => return,
                }
            }
        });
    }

    /// Lets what runs finish, and starts nothing more.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
        while self.running.join_next().await.is_some() {}
    }
}

/// Ends the sessions whose time is over, and forgets sign-ins that took too long, challenges that
/// were used, and browsers
/// that nobody uses.
///
/// # Errors
/// When the database cannot be written; the next run goes on where this one stopped.
pub async fn sweep(app: &App) -> Result<(), crate::actions::ActionError> {
    app.touches.flush(app).await?;
    if clock::doubt(app).is_some() {
        return Ok(());
    }
    let now = app.clock.now();
    let ended = end::sweep(app, now.minus(GRACE)).await?;
    if ended > 0 {
        tracing::info!(ended, "swept expired sessions");
    }
    app.store
        .write(move |db| {
            Box::pin(async move {
                db.delete_expired_challenges(now).await?;
                db.delete_old_end_jobs(now).await?;
                db.delete_unused_known_devices(now.minus(known_device::LIVES)).await?;
                db.delete_expired_pending_sign_ins(now).await
            })
        })
        .await?;
    Ok(())
}

fn report<T>(what: &str, result: Result<T, impl std::fmt::Display>) {
    if let Err(error) = result {
        tracing::warn!(%error, "{what} failed; the next run tries again");
    }
}
