//! Lists of watched sessions, and of these and Rollcall's own together: a page, their number, and their counts by kind.
//! The same index as for Rollcall's own sessions answers, filled with the copy; where sessions may not be held in memory,
//! a scan of the tables does.

use std::sync::Arc;

use crate::domain::UserId;
use crate::domain::facets::{AddressCount, Facets};
use crate::domain::listing::{SessionFilter, SessionRow, Sort};
use crate::domain::page::{Found, Wanted};
use crate::domain::source::{NAME, Origin, SourceId};
use crate::store::sessions::conditions::Keys;
use crate::store::sessions::index::both::Parts;
use crate::store::sessions::index::{Effort, SessionIndex};
use crate::store::sessions::memory::{Asked, Asks, ask_together};
use crate::store::watch::list::Scope;
use crate::store::{Db, Store, StoreError};

/// Where the sessions of a filter are.
enum Reach {
    /// Nowhere: nothing can match.
    Nowhere,
    /// Among Rollcall's own only.
    Own(Box<SessionFilter>),
    /// In the copy, or in both.
    Scope(Scope),
}

/// The names of a filter of watched sessions, as keys.
enum Named {
    /// These.
    Keys(Keys),
    /// Nothing can match.
    Nobody,
    /// Several users have the name at the moment.
    Several,
}

/// The number of matches. The method itself would be one for parts of one lifetime.
fn count_of(parts: &Parts<'_>) -> i64 {
    parts.count()
}

impl Store {
    /// As [`Store::page`], of sessions that do not all live in Rollcall.
    pub(in crate::store) async fn page_watched(
        &self,
        filter: &SessionFilter,
        order: &[Sort],
        wanted: Wanted,
    ) -> Result<Found<SessionRow>, StoreError> {
        let scope = match self.reach(filter).await? {
            Reach::Nowhere => return Ok(wanted.none()),
            Reach::Own(own) => return self.page_own(&own, order, wanted).await,
            Reach::Scope(scope) => scope,
        };
        if let Some(found) = self.page_soon(scope, filter, order, wanted).await? {
            return Ok(found);
        }
        let sorts = order.to_vec();
        if let Some(found) = self.ask_copy(scope, filter, move |parts| parts.page(&sorts, wanted)).await? {
            return Ok(found);
        }
        let (filter, sorts) = (filter.clone(), order.to_vec());
        self.long_read(move |db| Box::pin(async move { db.page_in(scope, &filter, &sorts, wanted).await })).await
    }

    /// A page of watched sessions that costs no more than a look-up, on this thread; `None`: it costs more, or the copy is
    /// not in memory.
    async fn page_soon(
        &self,
        scope: Scope,
        filter: &SessionFilter,
        order: &[Sort],
        wanted: Wanted,
    ) -> Result<Option<Found<SessionRow>>, StoreError> {
        if scope.has_own() || !filter.search.is_empty() {
            return Ok(None);
        }
        let Some(asks) = self.asks(scope, filter).await? else { return Ok(None) };
        let Some((memory, question)) = asks.into_iter().next() else { return Ok(Some(wanted.none())) };
        let page = |index: &SessionIndex| index.page(&question, order, wanted, Effort::Little);
        memory.ask_soon(&self.read(), wanted.asked(), page).await
    }

    /// As [`Store::count_sessions`].
    pub(in crate::store) async fn count_in_copy(&self, filter: &SessionFilter) -> Result<i64, StoreError> {
        let scope = match self.reach(filter).await? {
            Reach::Nowhere => return Ok(0),
            Reach::Own(own) => return self.count_own(&own).await,
            Reach::Scope(scope) => scope,
        };
        if let Some(count) = self.ask_copy(scope, filter, count_of).await? {
            return Ok(count);
        }
        let filter = filter.clone();
        self.long_read(move |db| Box::pin(async move { db.count_in(scope, &filter).await })).await
    }

    /// As [`Store::count_facets`]; `today` is in days since 1970.
    pub(in crate::store) async fn count_facets_in_copy(&self, filter: &SessionFilter, today: i64) -> Result<Facets, StoreError> {
        let scope = match self.reach(filter).await? {
            Reach::Nowhere => return Ok(Facets::default()),
            Reach::Own(own) => return self.count_own_facets(&own, today).await,
            Reach::Scope(scope) => scope,
        };
        if let Some(facets) = self.ask_copy(scope, filter, move |parts| parts.facets(today)).await? {
            return Ok(facets);
        }
        let filter = filter.clone();
        self.long_read(move |db| Box::pin(async move { db.count_facets_in(scope, &filter, today).await })).await
    }

    /// As [`Store::count_addresses`].
    pub(in crate::store) async fn count_addresses_in_copy(
        &self,
        filter: &SessionFilter,
        limit: usize,
    ) -> Result<Vec<AddressCount>, StoreError> {
        let scope = match self.reach(filter).await? {
            Reach::Nowhere => return Ok(Vec::new()),
            Reach::Own(own) => return self.count_own_addresses(&own, limit).await,
            Reach::Scope(scope) => scope,
        };
        if let Some(counts) = self.ask_copy(scope, filter, move |parts| parts.addresses(limit)).await? {
            return Ok(counts);
        }
        let filter = filter.clone();
        self.long_read(move |db| Box::pin(async move { db.count_addresses_in(scope, &filter, limit).await })).await
    }

    /// Where the sessions of a filter are. A caller who sees only their own sessions sees none of authentik's.
    async fn reach(&self, filter: &SessionFilter) -> Result<Reach, StoreError> {
        let has_own = filter.source != Some(Origin::Authentik);
        let source = if filter.visible_to.is_none() { self.watched_source().await? } else { None };
        Ok(match source {
            Some(source) => Reach::Scope(if has_own { Scope::Both(source) } else { Scope::Watched(source) }),
            None if has_own => Reach::Own(Box::new(SessionFilter { source: None, ..filter.clone() })),
            None => Reach::Nowhere,
        })
    }

    /// The key of the watched source, which never changes once there is one; `None`: nothing was watched so far.
    async fn watched_source(&self) -> Result<Option<SourceId>, StoreError> {
        if let Some(source) = self.source_key().get() {
            return Ok(Some(*source));
        }
        let source = self.read().find_source(NAME).await?.map(|source| source.id);
        Ok(source.map(|source| *self.source_key().get_or_init(|| source)))
    }

    /// Asks the sessions in memory, and waits while they are being read. `None`: the tables must answer.
    async fn ask_copy<R, F>(&self, scope: Scope, filter: &SessionFilter, ask: F) -> Result<Option<R>, StoreError>
    where
        F: FnOnce(&Parts<'_>) -> R + Clone + Send + 'static,
        R: Send + 'static,
    {
        let db = self.read();
        if !self.watched_memory().is_allowed() {
            return Ok(None);
        }
        let Some(asks) = self.asks(scope, filter).await? else { return Ok(None) };
        // The sessions may be dropped between the two steps, when the log was restarted.
        for _ in 0..3 {
            for (memory, _) in &asks {
                if !memory.wait_until_filled(&db).await? {
                    return Ok(None);
                }
            }
            let (asks, ask) = (asks.clone(), ask.clone());
            match self.long_read(move |db| Box::pin(async move { ask_together(asks, db, ask).await })).await? {
                Asked::Answered(answer) => return Ok(Some(answer)),
                Asked::Behind => return Ok(None),
                Asked::Lost => {}
            }
        }
        Ok(None)
    }

    /// What to ask of which memory; `None`: the tables must answer.
    async fn asks(&self, scope: Scope, filter: &SessionFilter) -> Result<Option<Asks>, StoreError> {
        let (db, mut asks) = (self.read(), Asks::new());
        if scope.has_own()
            && let Some(keys) = self.resolve(filter).await?
        {
            asks.push((Arc::clone(self.memory()), keys.question(filter)));
        }
        match db.resolve_watched(scope.source(), filter).await? {
            Named::Keys(keys) => asks.push((Arc::clone(self.watched_memory()), keys.question(filter))),
            Named::Nobody => {}
            Named::Several => return Ok(None),
        }
        Ok(Some(asks))
    }
}

impl Db<'_> {
    /// Resolves names to keys. Of users there only the usernames are searched.
    async fn resolve_watched(&self, source: SourceId, filter: &SessionFilter) -> Result<Named, StoreError> {
        let mut user = filter.user;
        if let Some(username) = &filter.username {
            user = match self.list_source_users_named(source, username).await?.as_slice() {
                [pk] if user.is_none_or(|user| user.0 == *pk) => Some(UserId(*pk)),
                [] | [_] => return Ok(Named::Nobody),
                _ => return Ok(Named::Several),
            };
        }
        let mut user_agent = None;
        if let Some(text) = &filter.user_agent {
            let Some(id) = self.find_user_agent_id(text).await? else { return Ok(Named::Nobody) };
            user_agent = Some(id);
        }
        Ok(Named::Keys(Keys { user, user_agent, people: None }))
    }
}
