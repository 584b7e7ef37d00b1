//! Ends whose outcome is not known: the process that sent them is gone, or there was no answer. The poller asks for the
//! session until authentik says what became of it.

use std::collections::HashSet;
use std::time::Duration;

use crate::actions::app::App;
use crate::actions::watch::error::PollError;
use crate::actions::watch::poller::Poller;
use crate::actions::watch::record::still_there_in;
use crate::domain::Timestamp;
use crate::store::StoreError;
use crate::store::watch::asked::AskedEnd;
use crate::watch::Client;

/// How long a request may be under way: longer than the client waits for an answer.
const UNDER_WAY: Duration = Duration::from_secs(30);

impl Poller {
    /// Finds out what became of ends whose outcome is not known.
    pub(super) async fn settle_asked(&mut self, app: &App, client: &Client) -> Result<(), PollError> {
        let id = self.source()?.id;
        let before = app.clock.now().minus(UNDER_WAY);
        for asked in app.store.read().list_open_ends(id, before).await? {
            self.witnesses.retain(|witness| *witness != asked.uuid);
            match self.is_gone(app, client, asked.uuid).await {
                Ok(Some(true)) => {
                    self.identify(app, client).await?;
                    self.end(app, vec![asked.uuid], &HashSet::new()).await?;
                }
                // A request that was given up may still be worked on.
                Ok(Some(false)) if asked.sent_at <= before => self.still_there(app, asked).await?,
                // Without a session of somebody else in sight nothing is certain; the next poll looks again.
                Ok(_) | Err(PollError::Doubt(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn still_there(&mut self, app: &App, asked: AskedEnd) -> Result<(), PollError> {
        let (source, now): (_, Timestamp) = (self.source()?.clone(), app.clock.now());
        let why = if asked.detail.is_empty() { "Rollcall stopped while it was under way".into() } else { asked.detail.clone() };
        let written: Result<(), StoreError> =
            app.store.write(move |db| Box::pin(async move { still_there_in(db, &source, &asked, &why, now).await })).await;
        Ok(written?)
    }
}
