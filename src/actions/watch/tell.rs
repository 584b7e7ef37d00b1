//! Tells of the watched authentik as a whole: many sessions that are new or missing at once, a copy that is old.

use std::time::Duration;

use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::watch::alerts::event;
use crate::actions::watch::error::PollError;
use crate::actions::watch::poller::Poller;
use crate::domain::Timestamp;
use crate::domain::event::SourceAlert;
use crate::domain::source::are_many;
use crate::store::StoreError;

impl Poller {
    /// Tells when many sessions are new in one poll.
    pub(super) async fn alert_of_many_new(&mut self, app: &App) -> Result<(), PollError> {
        let new = std::mem::take(&mut self.new_in_poll);
        let before = app.store.read().count_watched(self.source()?.id).await?.saturating_sub(i64::try_from(new).unwrap_or(0));
        if !are_many(new, usize::try_from(before).unwrap_or(0)) {
            return Ok(());
        }
        self.alert(app, SourceAlert::ManyNew, format!("{new} sessions are new at once, and there were {before} before")).await
    }

    /// Tells once that the copy is old, until it is fresh again.
    ///
    /// # Errors
    /// [`PollError::Action`] for callers of the server; when the database does not answer.
    pub async fn alert_of_age(&mut self, app: &App, by: By<'_>, most: Duration) -> Result<(), PollError> {
        by.must_operate()?;
        let Some(source) = &self.source else { return Ok(()) };
        let (seen_at, detail) = (source.status.seen_at, source.status.detail.clone());
        let age = app.clock.now().since(seen_at);
        if self.was_told_old || most.is_zero() || seen_at == Timestamp(0) || age <= most {
            return Ok(());
        }
        self.was_told_old = true;
        let age = humantime::format_duration(Duration::from_secs(age.as_secs()));
        self.alert(app, SourceAlert::OldCopy, format!("the copy is {age} old. {detail}").trim_end().to_owned()).await
    }

    /// Writes an alert about the source as a whole.
    pub(super) async fn alert(&mut self, app: &App, alert: SourceAlert, detail: String) -> Result<(), PollError> {
        let event = event(self.source()?, alert, detail, None, app.clock.now());
        let written: Result<(), StoreError> =
            app.store.write(move |db| Box::pin(async move { db.insert_events(&[event]).await })).await;
        Ok(written?)
    }
}
