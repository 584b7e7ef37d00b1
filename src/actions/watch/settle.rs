//! Decides which missing sessions ended. A session that is not in the list may live: pages shift, a token may lose its
//! right to see sessions, another instance may answer. So each one is asked for by its UUID, twice, and a session of
//! another user must be visible before, between and after. Where many are missing at once, the answer is believed only
//! when it is the same a minute later.

use std::time::Duration;

use crate::actions::app::App;
use crate::actions::watch::error::{PollError, SESSION, USERS};
use crate::actions::watch::poller::Poller;
use crate::domain::source::are_many;
use crate::domain::{EndReason, SessionId, Timestamp};
use crate::store::StoreError;
use crate::watch::{Client, SourceError};

/// How long many missing sessions are doubted.
const DOUBTED: Duration = Duration::from_secs(60);
/// How many sessions are asked for between two looks at a witness.
const TOGETHER: usize = 50;

impl Poller {
    /// Ends those of these sessions that authentik says are gone.
    pub(super) async fn settle(&mut self, app: &App, client: &Client, missing: Vec<SessionId>) -> Result<(), PollError> {
        let id = self.source()?.id;
        let copied = usize::try_from(app.store.read().count_watched(id).await?).unwrap_or(0);
        if !are_many(missing.len(), copied) {
            self.many_since = None;
        } else {
            self.must_be_certain(app, client, missing.len(), copied).await?;
        }
        self.witnesses.retain(|witness| !missing.contains(witness));
        for some in missing.chunks(TOGETHER) {
            let mut gone = some.to_vec();
            self.identify(app, client).await?;
            for _ in 0..2 {
                self.see_a_witness(app, client).await?;
                gone = self.still_missing(app, client, gone).await?;
            }
            if gone.is_empty() {
                continue;
            }
            self.see_a_witness(app, client).await?;
            self.identify(app, client).await?;
            self.end(app, gone).await?;
        }
        Ok(())
    }

    /// Many are missing at once: lets them pass when they have been for a minute, and the token still has its rights.
    async fn must_be_certain(&mut self, app: &App, client: &Client, missing: usize, copied: usize) -> Result<(), PollError> {
        let (now, since) = (app.clock.now(), *self.many_since.get_or_insert(app.clock.now()));
        // A role that lost its permission to see users has most likely lost the other one, too.
        self.ask(app, client, USERS, client.users(1)).await?;
        if now.since(since) >= DOUBTED {
            return Ok(());
        }
        Err(PollError::Doubt(format!(
            "{missing} of {copied} sessions are missing at once; they count as ended when they still are a minute later"
        )))
    }

    /// Makes sure that the token sees sessions of others now.
    async fn see_a_witness(&mut self, app: &App, client: &Client) -> Result<(), PollError> {
        let owner = self.source()?.status.owner_pk;
        while let Some(witness) = self.witnesses.first().copied() {
            match self.ask(app, client, SESSION, client.session(witness)).await {
                Ok(seen) if seen.uuid == witness && seen.user != owner => return Ok(()),
                Ok(_) | Err(PollError::Source { error: SourceError::Missing, .. }) => drop(self.witnesses.remove(0)),
                Err(error) => return Err(error),
            }
        }
        Err(PollError::Doubt(
            "no session of another user is visible: either all have ended, or the token lost the permission \
             authentik_core.view_authenticatedsession. It is settled when somebody signs in to authentik"
                .into(),
        ))
    }

    /// Those of these sessions that authentik says do not exist. It showed the others, which are written.
    async fn still_missing(&mut self, app: &App, client: &Client, missing: Vec<SessionId>) -> Result<Vec<SessionId>, PollError> {
        let (mut gone, mut alive) = (Vec::new(), Vec::new());
        for uuid in missing {
            match self.ask(app, client, SESSION, client.session(uuid)).await {
                Ok(seen) => alive.push(seen),
                Err(PollError::Source { error: SourceError::Missing, .. }) => gone.push(uuid),
                Err(error) => return Err(error),
            }
        }
        self.merge(app, alive).await?;
        Ok(gone)
    }

    /// Moves sessions to the history.
    async fn end(&mut self, app: &App, gone: Vec<SessionId>) -> Result<(), PollError> {
        let (id, checked_at, now) = (self.source()?.id, self.source()?.status.swept_at, app.clock.now());
        let source_now = Timestamp(now.0.saturating_add(self.clock_ahead));
        let rows = app.store.read().list_watched(id, &gone).await?;
        let ended: Vec<(SessionId, EndReason)> = rows
            .iter()
            .map(|row| {
                let is_over = row.session.expires_at <= source_now;
                (row.session.uuid, if is_over { EndReason::Expired } else { EndReason::Gone })
            })
            .collect();
        let written = app.store.write(move |db| Box::pin(async move { db.end_watched(id, &ended, checked_at, now).await }));
        let count: Result<usize, StoreError> = written.await;
        let count = count?;
        tracing::debug!(count, "sessions ended at authentik");
        Ok(())
    }
}
