//! The runner of jobs: each runs once per period, in a task of its own, until the server stops.

use std::fmt::Display;
use std::future::Future;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::actions::app::App;
use crate::metrics;

/// Jobs that run.
pub struct Runner {
    stop: watch::Sender<bool>,
    running: JoinSet<()>,
}

impl Runner {
    /// Runs nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self { stop: watch::Sender::new(false), running: JoinSet::new() }
    }

    /// Runs `job` once per `period`, the first time at once. A run that takes longer delays the next one. `what` says in
    /// the log what failed; the next run tries again.
    pub fn every<F, T, E>(&mut self, period: Duration, what: &'static str, app: &App, job: impl Fn(App) -> F + Send + 'static)
    where
        F: Future<Output = Result<T, E>> + Send,
        T: Send,
        E: Display + Send,
    {
        let (app, mut stop) = (app.clone(), self.stop.subscribe());
        self.running.spawn(async move {
            let mut ticks = tokio::time::interval(period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    _ = ticks.tick() => {
                        let started = Instant::now();
                        let done = job(app.clone()).await;
                        metrics::count_job(what, started.elapsed());
                        if let Err(error) = done {
                            tracing::warn!(%error, "{what} failed; the next run tries again");
                        }
                    }
                    _ = stop.changed() => return,
                }
            }
        });
    }

    /// Runs a job that keeps its own time. It gets a receiver that changes when the runner stops, and ends then.
    pub fn alone<F>(&mut self, job: impl FnOnce(watch::Receiver<bool>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.running.spawn(job(self.stop.subscribe()));
    }

    /// Waits for the running jobs, and starts no more.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
        while self.running.join_next().await.is_some() {}
    }
}

impl Default for Runner {
    fn default() -> Self {
        Self::new()
    }
}
