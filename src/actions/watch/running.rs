//! A running end of many sessions: what it is told, and when its next end may be sent.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::actions::app::App;
use crate::domain::Timestamp;
use crate::domain::source::JobState;
use crate::store::StoreError;
use crate::store::watch::jobs::SourceJob;

/// How often the lease is renewed, and how long a pause lasts at most before the job hears whether to stop.
pub(super) const TICK: Duration = Duration::from_secs(1);

/// Nothing was said.
const NOTHING: u8 = 0;
/// Somebody told the job to stop.
const STOP: u8 = 1;
/// Another process has it, or it ended.
const LOST: u8 = 2;

/// A job that this process runs.
pub(super) struct Running<'a> {
    pub app: &'a App,
    pub job: &'a SourceJob,
    told: AtomicU8,
    news: Notify,
}

impl<'a> Running<'a> {
    pub(super) fn new(app: &'a App, job: &'a SourceJob) -> Self {
        Self { app, job, told: AtomicU8::new(NOTHING), news: Notify::new() }
    }

    fn say(&self, what: u8) {
        self.told.store(what, Ordering::SeqCst);
        self.news.notify_one();
    }

    /// What the state of the job, or that it is not this process's any more, says.
    fn hear(&self, state: Option<JobState>) {
        match state {
            Some(JobState::Stopping) => self.say(STOP),
            Some(_) => {}
            None => self.say(LOST),
        }
    }

    /// Whether somebody told the job to stop.
    pub(super) fn is_to_stop(&self) -> bool {
        self.told.load(Ordering::SeqCst) == STOP
    }

    /// Renews the lease, and hears whether to stop.
    pub(super) async fn hold(&self) {
        let (app, id) = (self.app, self.job.id);
        let Some(lease) = app.end_jobs.lease(app.clock.now()) else { return self.say(LOST) };
        match app.store.write(move |db| Box::pin(async move { db.hold_source_job(id, &lease).await })).await {
            Ok(state) => self.hear(state),
            Err(error) => {
                let error: StoreError = error;
                tracing::warn!(%error, "the lease of an end of many sessions was not renewed");
            }
        }
    }

    /// Whether the job goes on. It is asked before each request to authentik, so that at most the one that is under way
    /// follows when somebody tells it to stop, on whichever node.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(super) async fn goes_on(&self) -> Result<bool, StoreError> {
        if self.told.load(Ordering::SeqCst) == NOTHING {
            let Some(holder) = self.app.end_jobs.holder() else { return Ok(false) };
            self.hear(self.app.store.read().find_state_of_source_job(self.job.id, &holder).await?);
        }
        Ok(self.told.load(Ordering::SeqCst) == NOTHING && !self.app.end_jobs.is_stopping())
    }

    /// Pauses, but not when the job is told something.
    pub(super) async fn pause(&self, time: Duration) {
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = self.news.notified() => {}
        }
    }

    /// How long this number of ends takes at least.
    pub(super) fn time_of(&self, ends: usize) -> Duration {
        let rate = self.app.watched.as_ref().map_or(1, |client| client.source().ends_per_second).max(1);
        Duration::from_secs(1).saturating_mul(u32::try_from(ends).unwrap_or(u32::MAX)) / rate
    }

    /// Waits until this number of ends may be sent at once: until the time of all ends that any job, on any node, asked for
    /// before is over. Returns whether the job goes on.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(super) async fn wait_for_turn(&self, ends: usize) -> Result<bool, StoreError> {
        let (id, length, now) = (self.job.source, self.time_of(ends), self.app.clock.now());
        let taken = self.app.store.write(move |db| Box::pin(async move { db.take_end_time(id, length, now).await }));
        let at: Timestamp = taken.await?;
        self.wait(Instant::now() + at.since(now)).await
    }

    /// Waits for that instant. Returns whether the job goes on.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(super) async fn wait(&self, until: Instant) -> Result<bool, StoreError> {
        loop {
            if !self.goes_on().await? {
                return Ok(false);
            }
            let rest = until.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return Ok(true);
            }
            self.pause(rest.min(TICK)).await;
        }
    }
}
