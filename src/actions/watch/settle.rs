//! Decides which missing sessions ended. A session that is not in the list may live: pages shift, a token may lose its
//! right to see sessions, another instance may answer. So each one is asked for by its UUID, twice. The second time, a
//! session of another user must be visible in the request before and in the request after: whatever hides sessions for
//! two requests or more hides that one, too. Where many are missing at once, the answer is believed only when it is
//! the same a minute later.

use std::collections::HashSet;
use std::time::Duration;

use crate::actions::app::App;
use crate::actions::watch::error::{PollError, SESSION, USERS};
use crate::actions::watch::poller::Poller;
use crate::actions::watch::record::end_in;
use crate::domain::event::SourceAlert;
use crate::domain::source::are_many;
use crate::domain::{EndReason, SessionId, Timestamp};
use crate::store::StoreError;
use crate::watch::{Client, SourceError};

/// How long many missing sessions are doubted.
const DOUBTED: Duration = Duration::from_secs(60);
/// How many sessions are written to the history at once.
const TOGETHER: usize = 50;
/// How often a session is asked for when the witness turns out to be missing.
const TRIES: usize = 3;

impl Poller {
    /// Ends those of these sessions that authentik says are gone.
    pub(super) async fn settle(&mut self, app: &App, client: &Client, missing: &[SessionId]) -> Result<(), PollError> {
        let id = self.source()?.id;
        let copied = usize::try_from(app.store.read().count_watched(id).await?).unwrap_or(0);
        if are_many(missing.len(), copied) {
            self.must_be_certain(app, client, missing.len(), copied).await?;
        } else {
            self.many_since = None;
        }
        self.witnesses.retain(|witness| !missing.contains(witness));
        for some in missing.chunks(TOGETHER) {
            self.identify(app, client).await?;
            let mut gone = Vec::new();
            for uuid in self.still_missing(app, client, some).await? {
                if self.is_gone(app, client, uuid).await? == Some(true) {
                    gone.push(uuid);
                }
            }
            if !gone.is_empty() {
                let signed_out = self.signed_out(app, client, &gone).await?;
                self.identify(app, client).await?;
                self.end(app, gone, &signed_out).await?;
            }
        }
        Ok(())
    }

    /// Many are missing at once: lets them pass when they have been for a minute, and the token still has its rights.
    async fn must_be_certain(&mut self, app: &App, client: &Client, missing: usize, copied: usize) -> Result<(), PollError> {
        let now = app.clock.now();
        let is_news = self.many_since.is_none();
        let since = *self.many_since.get_or_insert(now);
        if is_news {
            self.alert(app, SourceAlert::ManyGone, format!("{missing} of {copied} sessions are missing at once")).await?;
        }
        // A role that lost its permission to see users has most likely lost the other one, too.
        self.ask(app, client, USERS, client.users(1)).await?;
        if now.since(since) >= DOUBTED {
            return Ok(());
        }
        Err(PollError::Doubt(format!(
            "{missing} of {copied} sessions are missing at once; they count as ended when they still are a minute later"
        )))
    }

    /// Whether a session does not exist, between two looks at a session of another user; `None`: there was nothing to be
    /// certain by.
    pub(super) async fn is_gone(&mut self, app: &App, client: &Client, uuid: SessionId) -> Result<Option<bool>, PollError> {
        for _ in 0..TRIES {
            while !self.sees_a_witness(app, client).await? {}
            match self.ask(app, client, SESSION, client.session(uuid)).await {
                Ok(seen) => {
                    self.merge(app, client, vec![seen]).await?;
                    return Ok(Some(false));
                }
                Err(PollError::Source { error: SourceError::Missing, .. }) => {}
                Err(error) => return Err(error),
            }
            // Where the witness is missing now, nobody knows since when.
            if self.sees_a_witness(app, client).await? {
                return Ok(Some(true));
            }
        }
        Ok(None)
    }

    /// Asks for a session of another user. Returns whether it is visible; if not, the next call asks for another one.
    ///
    /// # Errors
    /// [`PollError::Doubt`] when there is none left to ask for.
    async fn sees_a_witness(&mut self, app: &App, client: &Client) -> Result<bool, PollError> {
        let owner = self.source()?.status.owner_pk;
        let Some(witness) = self.witnesses.first().copied() else {
            return Err(PollError::Doubt(
                "no session of another user is visible: either all have ended, or the token lost the permission \
                 authentik_core.view_authenticatedsession. It is settled when somebody signs in to authentik"
                    .into(),
            ));
        };
        match self.ask(app, client, SESSION, client.session(witness)).await {
            Ok(seen) if seen.uuid == witness && seen.user != owner => Ok(true),
            Ok(_) | Err(PollError::Source { error: SourceError::Missing, .. }) => {
                self.witnesses.remove(0);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Those of these sessions that authentik says do not exist. It showed the others, which are written.
    async fn still_missing(&mut self, app: &App, client: &Client, missing: &[SessionId]) -> Result<Vec<SessionId>, PollError> {
        let (mut gone, mut alive, began) = (Vec::new(), Vec::new(), app.clock.now());
        for uuid in missing.iter().copied() {
            match self.ask(app, client, SESSION, client.session(uuid)).await {
                Ok(seen) => alive.push(seen),
                Err(PollError::Source { error: SourceError::Missing, .. }) => gone.push(uuid),
                Err(error) => return Err(error),
            }
        }
        self.asked_at = Some(began);
        self.merge(app, client, alive).await?;
        Ok(gone)
    }

    /// Moves sessions to the history.
    pub(super) async fn end(&mut self, app: &App, gone: Vec<SessionId>, signed_out: &HashSet<SessionId>) -> Result<(), PollError> {
        let (source, now) = (self.source()?.clone(), app.clock.now());
        let source_now = Timestamp(now.0.saturating_add(self.clock_ahead));
        let rows = app.store.read().list_watched(source.id, &gone).await?;
        let ended: Vec<(SessionId, EndReason)> = gone
            .into_iter()
            .map(|uuid| {
                let row = rows.iter().find(|row| row.session.uuid == uuid);
                let is_over = row.is_some_and(|row| row.session.expires_at <= source_now);
                let reason = match (signed_out.contains(&uuid), is_over) {
                    (true, _) => EndReason::SignedOut,
                    (false, true) => EndReason::Expired,
                    (false, false) => EndReason::Gone,
                };
                (uuid, reason)
            })
            .collect();
        let written = app.store.write(move |db| Box::pin(async move { end_in(db, &source, &ended, now).await }));
        let count: Result<usize, StoreError> = written.await;
        let count = count?;
        tracing::debug!(count, "sessions ended at authentik");
        Ok(())
    }
}
