//! Reads the names of the source's users.

use std::collections::HashMap;
use std::time::Duration;

use crate::actions::app::App;
use crate::actions::watch::error::{PollError, USERS};
use crate::actions::watch::poller::Poller;
use crate::domain::Timestamp;
use crate::store::StoreError;
use crate::store::watch::users::SourceUser;
use crate::watch::answer::SeenUser;
use crate::watch::{Client, SourceError};

/// How often names are read again while some are missing, and while none is.
const NAMES_SOON: Duration = Duration::from_secs(30);
const NAMES_LATER: Duration = Duration::from_secs(600);
/// How often all users are read, and those that the source does not have any more are forgotten.
const NAMES_WHOLE: Duration = Duration::from_secs(86_400);

impl Poller {
    /// Reads the names of users, if some are missing or it was long ago.
    pub(super) async fn name_users(&mut self, app: &App, client: &Client, now: Timestamp) -> Result<(), PollError> {
        let id = self.source()?.id;
        let age = self.named_at.map(|at| now.since(at));
        if age.is_some_and(|age| age < NAMES_SOON) {
            return Ok(());
        }
        if age.is_some_and(|age| age < NAMES_LATER) && app.store.read().count_unnamed_users(id).await? == 0 {
            return Ok(());
        }
        self.named_at = Some(now);
        let is_whole = self.named_whole_at.is_none_or(|at| now.since(at) >= NAMES_WHOLE);
        let (mut page, mut all) = (1, Vec::new());
        loop {
            let answer = match self.ask(app, client, USERS, client.users(page)).await {
                Ok(answer) => answer,
                // Names are welcome, and the copy is whole without them.
                Err(PollError::Source { error: SourceError::NoPage | SourceError::Forbidden, .. }) => return Ok(()),
                Err(error) => return Err(error),
            };
            self.identify(app, client).await?;
            // A page that shifted shows a user twice, and a statement takes it once.
            let users: HashMap<i64, SourceUser> = answer.results.into_iter().map(|user| (user.pk, named(user))).collect();
            let is_last = users.is_empty() || page >= answer.pagination.total_pages;
            all.extend(users.keys().copied());
            let is_changed = self.keep_users(app, users).await?;
            if is_last && is_whole {
                self.named_whole_at = Some(now);
                app.store.write(move |db| Box::pin(async move { db.forget_source_users(id, &all).await })).await?;
                return Ok(());
            }
            // Users that changed come first.
            if is_last || (!is_whole && !is_changed && app.store.read().count_unnamed_users(id).await? == 0) {
                return Ok(());
            }
            page += 1;
        }
    }

    /// Writes users that changed, and returns whether there were any.
    async fn keep_users(&mut self, app: &App, users: HashMap<i64, SourceUser>) -> Result<bool, PollError> {
        let source = self.source()?.clone();
        let known = app.store.read().list_source_users(source.id).await?;
        let known: HashMap<i64, SourceUser> = known.into_iter().map(|user| (user.pk, user)).collect();
        let changed: Vec<SourceUser> = users.into_values().filter(|user| known.get(&user.pk) != Some(user)).collect();
        if changed.is_empty() {
            return Ok(false);
        }
        let written = app.store.write(move |db| {
            Box::pin(async move {
                let is_same = db.lock_source(&source).await?;
                if is_same {
                    db.keep_source_users(source.id, &changed).await?;
                }
                Ok(is_same)
            })
        });
        let is_written: Result<bool, StoreError> = written.await;
        if is_written? { Ok(true) } else { Err(self.begin_anew()) }
    }
}

fn named(seen: SeenUser) -> SourceUser {
    let SeenUser { pk, username, name, is_active, is_superuser } = seen;
    SourceUser { pk, username, name, is_active, is_superuser }
}
