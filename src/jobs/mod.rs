//! The scheduled jobs of the server: a table of actions, and how often each is called.

pub mod every;
mod notices;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::clock;
use crate::actions::guard::tickets;
use crate::actions::oidc;
use crate::actions::sessions::{end_job, retention};
use crate::actions::sign_in::guesses;
use crate::actions::signing::rotate;
use crate::actions::tokens::keys;
use crate::actions::upkeep::change_log::ChangeLog;
use crate::actions::upkeep::dictionary::UnusedAgents;
use crate::actions::upkeep::pending_ends::Moves;
use crate::actions::upkeep::{places, sweep, user_agents};
use crate::actions::watch::job;
use crate::jobs::every::Runner;
use crate::store::StoreError;

/// How often uses are written. A crash loses at most these and the last touch interval.
const FLUSH: Duration = Duration::from_secs(1);
/// How often GeoIP files and the clock are checked.
const LOOK: Duration = Duration::from_secs(5);
/// How often stored data is compared with the files and the settings, and old data is removed.
const UPKEEP: Duration = Duration::from_secs(60);
/// How often sessions with a pending end are moved to the history, each time for half of this
/// period, so that other writes get in between.
const MOVE: Duration = Duration::from_secs(1);
/// How often the node looks for an end job that no process runs.
const RESUME: Duration = Duration::from_secs(1);
/// How often user agents that nothing refers to are removed.
const PRUNE: Duration = Duration::from_secs(3600);

/// Jobs that run.
pub struct Jobs(Runner);

impl Jobs {
    /// Starts all jobs. If `sessions.purge_interval` is 0, expired sessions are not swept and
    /// addresses are not removed.
    #[must_use]
    pub fn start(app: &App) -> Self {
        let mut jobs = Runner::new();
        jobs.every(LOOK, "comparing clocks", app, |app| async move { clock::keep(&app, By::System).await });
        jobs.every(FLUSH, "writing uses", app, |app| async move { app.touches.flush(&app).await });
        let purge = app.config.sessions.purge_interval;
        if !purge.is_zero() {
            jobs.every(
                purge,
                "sweeping",
                app,
                |app| async move { told("swept expired sessions", sweep::run(&app, By::System).await) },
            );
            jobs.every(purge.max(UPKEEP), "taking old addresses off", app, |app| async move {
                told("took addresses off that are older than they may be", retention::fade(&app, By::System).await)
            });
            jobs.every(purge.max(UPKEEP), "emptying the database's log", app, |app| async move {
                retention::clear_leftovers(&app, By::System).await
            });
        }
        jobs.every(LOOK, "looking up places", app, |app| async move { places::reload(&app, By::System).await });
        jobs.every(UPKEEP, "looking up places", app, |app| async move { places::refresh(&app, By::System).await });
        jobs.every(UPKEEP, "reading user agents again", app, |app| async move { user_agents::refresh(&app, By::System).await });
        jobs.every(UPKEEP, "removing limits on guesses", app, |app| async move { guesses::sweep(&app, By::System).await });
        jobs.every(UPKEEP, "removing tickets", app, |app| async move { tickets::sweep(&app, By::System).await });
        jobs.every(
            UPKEEP,
            "removing codes and tokens of apps",
            app,
            |app| async move { oidc::tokens::sweep(&app, By::System).await },
        );
        jobs.every(UPKEEP, "removing notices", app, |app| async move { oidc::notices::sweep(&app, By::System).await });
        jobs.every(UPKEEP, "keeping signing keys", app, |app| async move { rotate::keep(&app, By::System).await });
        jobs.every(UPKEEP, "freeing memory", app, |app| async move {
            app.user_agents.rest();
            app.store.rest();
            Ok::<_, StoreError>(())
        });
        jobs.every(UPKEEP, "removing old history", app, |app| async move {
            told("removed sessions that ended long ago", retention::purge(&app, By::System).await)
        });
        jobs.every(
            UPKEEP,
            "removing keys of tokens that were readable",
            app,
            |app| async move { keys::clear(&app, By::System).await },
        );
        jobs.every(UPKEEP, "removing old events", app, |app| async move {
            told("removed old events", retention::purge_events(&app, By::System).await)
        });
        jobs.every(
            RESUME,
            "going on with an end of many sessions",
            app,
            |app| async move { end_job::resume(&app, By::System).await },
        );
        jobs.every(RESUME, "going on with an end of many sessions at authentik", app, |app| async move {
            job::resume(&app, By::System).await
        });
        let moves = Arc::new(Moves::default());
        jobs.every(MOVE, "moving ended sessions to the history", app, move |app| {
            let moves = Arc::clone(&moves);
            async move { moves.go_on(&app, By::System, MOVE / 2).await }
        });
        let unused = Arc::new(UnusedAgents::default());
        jobs.every(PRUNE, "removing unused user agents", app, move |app| {
            let unused = Arc::clone(&unused);
            async move { unused.prune(&app, By::System).await }
        });
        let log = Arc::new(ChangeLog::default());
        jobs.every(UPKEEP, "shortening the log of changes", app, move |app| {
            let log = Arc::clone(&log);
            async move { log.shorten(&app, By::System).await }
        });
        jobs.alone(|stop| notices::run(app.clone(), stop));
        if app.watched.is_some() {
            jobs.alone(|stop| watch::run(app.clone(), stop));
        }
        Self(jobs)
    }

    /// Waits for the running jobs, and starts no more.
    pub async fn stop(self) {
        self.0.stop().await;
    }
}

/// Logs what a job did, if it did something.
fn told<E>(what: &'static str, done: Result<u64, E>) -> Result<u64, E> {
    if let Ok(count @ 1..) = done {
        tracing::info!(count, "{what}");
    }
    done
}
