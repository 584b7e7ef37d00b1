//! Lists of sessions: a page, their number, and their counts by kind. Each is read from memory,
//! from an index of the database, or by a scan of it, whichever costs least.

use std::sync::Arc;

use crate::domain::Timestamp;
use crate::domain::facets::{AddressCount, Facets, day_of};
use crate::domain::listing::{SessionFilter, SessionRow, Sort, SortKey};
use crate::domain::page::{Found, Wanted};
use crate::store::lists::Listed;
use crate::store::sessions::conditions::Keys;
use crate::store::sessions::index::{Effort, SessionIndex};
use crate::store::sessions::list::is_far;
use crate::store::sessions::memory::Asked;
use crate::store::{Store, StoreError};

impl Listed for SessionFilter {
    type Key = SortKey;
    type Row = SessionRow;

    async fn find(&self, store: &Store, order: &[Sort], wanted: Wanted) -> Result<Found<SessionRow>, StoreError> {
        if !self.is_of_rollcall() {
            // Boxed, so that lists of Rollcall's own sessions do not carry it.
            return Box::pin(store.page_watched(self, order, wanted)).await;
        }
        store.page_own(self, order, wanted).await
    }
}

impl Store {
    /// As [`Store::page`], of Rollcall's own sessions.
    pub(in crate::store) async fn page_own(
        &self,
        filter: &SessionFilter,
        order: &[Sort],
        wanted: Wanted,
    ) -> Result<Found<SessionRow>, StoreError> {
        let db = self.read();
        let Some(keys) = self.resolve(filter).await? else { return Ok(wanted.none()) };
        let question = keys.question(filter);
        if filter.search.is_empty() {
            let page = |index: &SessionIndex| index.page(&question, order, wanted, Effort::Little);
            if let Some(found) = self.memory().ask_soon(&db, wanted.asked(), page).await? {
                return Ok(found);
            }
        }
        if !reads_far(filter) && !is_order_far(order) {
            let count = db.count_by_sql(filter, &keys).await?;
            let Some(window) = wanted.window(count) else { return Ok(wanted.found(count, Vec::new())) };
            if !is_far(window) {
                return Ok(wanted.found(count, db.list_by_sql(filter, &keys, order, window, count).await?));
            }
        }
        let sorts = order.to_vec();
        let page = move |index: &SessionIndex| index.page(&question, &sorts, wanted, Effort::Any);
        if let Some(Some(found)) = self.ask_memory(&keys, page).await? {
            return Ok(found);
        }
        let (filter, sorts) = (filter.clone(), order.to_vec());
        let read = self.long_read(move |db| {
            Box::pin(async move {
                let count = db.count_by_sql(&filter, &keys).await?;
                let Some(window) = wanted.window(count) else { return Ok(wanted.found(count, Vec::new())) };
                let rows = db.list_by_sql(&filter, &keys, &sorts, window, count).await?;
                Ok::<_, StoreError>(wanted.found(count, rows))
            })
        });
        read.await
    }

    /// The number of matching sessions.
    ///
    /// # Errors
    /// As for [`Store::page`].
    pub async fn count_sessions(&self, filter: &SessionFilter) -> Result<i64, StoreError> {
        if !filter.is_of_rollcall() {
            return Box::pin(self.count_in_copy(filter)).await;
        }
        self.count_own(filter).await
    }

    /// The same of Rollcall's own.
    pub(in crate::store) async fn count_own(&self, filter: &SessionFilter) -> Result<i64, StoreError> {
        let db = self.read();
        let Some(keys) = self.resolve(filter).await? else { return Ok(0) };
        if !reads_far(filter) || (filter.search.is_empty() && db.conditions(filter, &keys).counted.is_some()) {
            return db.count_by_sql(filter, &keys).await;
        }
        let question = keys.question(filter);
        if let Some(count) = self.ask_memory(&keys, move |index| index.count(&question)).await? {
            return Ok(count);
        }
        let filter = filter.clone();
        self.long_read(move |db| Box::pin(async move { db.count_by_sql(&filter, &keys).await })).await
    }

    /// The number of matching sessions of each kind; days are counted back from `now`.
    ///
    /// # Errors
    /// As for [`Store::page`].
    pub async fn count_facets(&self, filter: &SessionFilter, now: Timestamp) -> Result<Facets, StoreError> {
        if !filter.is_of_rollcall() {
            return Box::pin(self.count_facets_in_copy(filter, day_of(now))).await;
        }
        self.count_own_facets(filter, day_of(now)).await
    }

    /// The same of Rollcall's own; `today` is in days since 1970.
    pub(in crate::store) async fn count_own_facets(&self, filter: &SessionFilter, today: i64) -> Result<Facets, StoreError> {
        let Some(keys) = self.resolve(filter).await? else { return Ok(Facets::default()) };
        let question = keys.question(filter);
        if let Some(facets) = self.ask_memory(&keys, move |index| index.facets(&question, today)).await? {
            return Ok(facets);
        }
        let filter = filter.clone();
        self.long_read(move |db| Box::pin(async move { db.count_facets_by_sql(&filter, &keys, today).await })).await
    }

    /// The number of matching sessions at each address, the largest first, at most `limit`
    /// addresses.
    ///
    /// # Errors
    /// As for [`Store::page`].
    pub async fn count_addresses(&self, filter: &SessionFilter, limit: usize) -> Result<Vec<AddressCount>, StoreError> {
        if !filter.is_of_rollcall() {
            return Box::pin(self.count_addresses_in_copy(filter, limit)).await;
        }
        self.count_own_addresses(filter, limit).await
    }

    /// The same of Rollcall's own.
    pub(in crate::store) async fn count_own_addresses(
        &self,
        filter: &SessionFilter,
        limit: usize,
    ) -> Result<Vec<AddressCount>, StoreError> {
        let Some(keys) = self.resolve(filter).await? else { return Ok(Vec::new()) };
        let question = keys.question(filter);
        if let Some(counts) = self.ask_memory(&keys, move |index| index.addresses(&question, limit)).await? {
            return Ok(counts);
        }
        let filter = filter.clone();
        self.long_read(move |db| Box::pin(async move { db.count_addresses_by_sql(&filter, &keys, limit).await })).await
    }

    /// Asks the sessions in memory, and waits while they are being read. `None`: SQL must answer,
    /// since sessions may not be held, are a few of one user, or change very much at the moment.
    async fn ask_memory<R, F>(&self, keys: &Keys, ask: F) -> Result<Option<R>, StoreError>
    where
        F: FnOnce(&SessionIndex) -> R + Clone + Send + 'static,
        R: Send + 'static,
    {
        let db = self.read();
        if !self.memory().is_allowed() || db.is_small(keys).await? {
            return Ok(None);
        }
        // The sessions may be dropped between the two steps, when the log was restarted.
        for _ in 0..3 {
            if !self.memory().wait_until_filled(&db).await? {
                return Ok(None);
            }
            let (memory, ask) = (Arc::clone(self.memory()), ask.clone());
            match self.long_read(move |db| Box::pin(async move { memory.ask(db, ask).await })).await? {
                Asked::Answered(answer) => return Ok(Some(answer)),
                Asked::Behind => return Ok(None),
                Asked::Lost => {}
            }
        }
        Ok(None)
    }
}

/// Whether SQL may have to read many rows. It need not for a user's sessions or those of an
/// address, which have an index. A search and every other filter may.
fn reads_far(filter: &SessionFilter) -> bool {
    let SessionFilter { visible_to, username, user, last_ip, .. } = filter;
    let is_of_user = visible_to.is_some() || username.is_some() || user.is_some();
    let near = SessionFilter {
        visible_to: *visible_to,
        username: username.clone(),
        user: *user,
        last_ip: *last_ip,
        source: filter.source,
        ..SessionFilter::default()
    };
    *filter != near || (is_of_user && last_ip.is_some())
}

/// Whether SQL reads this order without an index: there is none for the text of user agents and for
/// the begin of sessions, and very many sessions share a country.
fn is_order_far(order: &[Sort]) -> bool {
    order.first().is_some_and(|sort| matches!(sort.key, SortKey::UserAgent | SortKey::Created | SortKey::Country))
}
