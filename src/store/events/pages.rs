//! Pages of events for the API, and what it counts of them.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use crate::domain::Timestamp;
use crate::domain::listing::Sort;
use crate::domain::page::{Found, Wanted};
use crate::store::db::statements::named;
use crate::store::events::query::{Condition, EventOrder, EventQuery};
use crate::store::events::rows::{EVENT_COLUMNS, EventRow};
use crate::store::lists::Listed;
use crate::store::timeline::pages::ids_of;
use crate::store::{Db, Store, StoreError};
use crate::values;

/// How many rows are read by their keys at once.
const AT_ONCE: usize = 1_000;
/// How long one span of [`Store::count_event_spans`] is: six hours.
const SPAN: i64 = 6 * 3600 * 1_000_000;

/// The beginning of the six hours in which an event happened, as [`Store::count_event_spans`] counts them.
#[must_use]
pub fn span_of(at: Timestamp) -> Timestamp {
    Timestamp((at.0 / SPAN).saturating_mul(SPAN))
}

impl Listed for EventQuery {
    type Key = EventOrder;
    type Row = EventRow;

    async fn find(&self, store: &Store, order: &[Sort<EventOrder>], wanted: Wanted) -> Result<Found<EventRow>, StoreError> {
        let (query, order, counts) = (self.clone(), order.to_vec(), Arc::clone(store.event_counts()));
        let read = store.long_read(move |db| {
            Box::pin(async move {
                let known = if query.is_of_kinds() { Some(counts.of(db, query.kinds.as_deref()).await?) } else { None };
                db.page_events(&query, &order, wanted, known).await
            })
        });
        read.await
    }
}

impl Store {
    /// The first events of a list, at most `limit`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn first_events(
        &self,
        query: EventQuery,
        order: Vec<Sort<EventOrder>>,
        limit: i64,
    ) -> Result<Vec<EventRow>, StoreError> {
        let wanted = Wanted::first(limit);
        let read = self.long_read(move |db| {
            // Nobody asks how many there are.
            Box::pin(async move { Ok::<_, StoreError>(db.page_events(&query, &order, wanted, Some(limit)).await?.rows) })
        });
        read.await
    }

    /// How many events there are of each kind in each span of six hours from 0, 6, 12 and 18 h UTC: kind, the beginning
    /// of the span, number. Spans without events are left out.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_event_spans(&self, query: EventQuery) -> Result<Vec<(String, Timestamp, i64)>, StoreError> {
        let read = self.long_read(move |db| {
            Box::pin(async move {
                let condition = query.condition(db.is_sqlite());
                let sql = format!(
                    "SELECT e.kind, e.at / {SPAN}, count(*) FROM events e{} GROUP BY e.kind, e.at / {SPAN}",
                    condition.sql()
                );
                db.all::<(String, i64, i64)>(&sql, &condition.values).await
            })
        });
        let spans: Result<_, StoreError> = read.await;
        let spans = spans?;
        Ok(spans.into_iter().map(|(kind, span, count)| (kind, Timestamp(span.saturating_mul(SPAN)), count)).collect())
    }

    /// The applications that events are about, those with the most events first, at most `limit`: slug, number of events,
    /// number of users who did them.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_event_applications(&self, query: EventQuery, limit: i64) -> Result<Vec<(String, i64, i64)>, StoreError> {
        let read = self.long_read(move |db| {
            Box::pin(async move {
                let Condition { mut values, .. } = query.condition(db.is_sqlite());
                let condition = query.condition(db.is_sqlite()).sql();
                let and = if condition.is_empty() { " WHERE" } else { " AND" };
                values.push(limit.into());
                let sql = format!(
                    "SELECT e.application, count(*), count(DISTINCT e.actor_uuid) FROM events e{condition}{and} e.application <> '' \
                     GROUP BY e.application ORDER BY count(*) DESC, e.application LIMIT ${}",
                    values.len()
                );
                db.all(&sql, &values).await
            })
        });
        read.await
    }

    /// How many users did events, and how many events happened since each of these instants.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_event_users(&self, query: EventQuery, since: Vec<Timestamp>) -> Result<(i64, Vec<i64>), StoreError> {
        let read = self.long_read(move |db| {
            Box::pin(async move {
                let condition = query.condition(db.is_sqlite());
                let sql = format!("SELECT count(DISTINCT e.actor_uuid) FROM events e{}", condition.sql());
                let users = db.one::<i64>(&sql, &condition.values).await?.unwrap_or(0);
                let mut counts = Vec::new();
                for instant in since {
                    let from = query.from.map_or(instant, |from| from.max(instant));
                    counts.push(db.count_events(&EventQuery { from: Some(from), ..query.clone() }).await?);
                }
                Ok::<_, StoreError>((users, counts))
            })
        });
        read.await
    }
}

impl Db<'_> {
    /// The kinds of events there are, in no order.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_event_kinds(&self) -> Result<Vec<String>, StoreError> {
        // One look-up in the index for each kind.
        let sql = "WITH RECURSIVE kinds (kind) AS (SELECT min(kind) FROM events UNION ALL \
            SELECT (SELECT min(e.kind) FROM events e WHERE e.kind > kinds.kind) FROM kinds WHERE kinds.kind IS NOT NULL) \
            SELECT kind FROM kinds WHERE kind IS NOT NULL";
        self.all(sql, &[]).await
    }

    /// The event of that uuid.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_event(&self, uuid: Uuid) -> Result<Option<EventRow>, StoreError> {
        let sql = format!("SELECT {EVENT_COLUMNS} FROM events e WHERE e.uuid = $1");
        Ok(self.read_events(&sql, &values![uuid]).await?.pop())
    }

    /// Whether there are events about the session of that uuid.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn has_events_of_session(&self, uuid: Uuid) -> Result<bool, StoreError> {
        Ok(self.one::<i64>("SELECT id FROM events WHERE session_uuid = $1 LIMIT 1", &values![uuid]).await?.is_some())
    }

    /// Whether there are events about the user of that uuid.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn has_events_of_user(&self, uuid: Uuid) -> Result<bool, StoreError> {
        Ok(self.one::<i64>("SELECT id FROM events WHERE user_uuid = $1 LIMIT 1", &values![uuid]).await?.is_some())
    }

    /// Removes the oldest events as long as they happened before this instant, of the first `limit` at most. Gives how
    /// many.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_oldest_events(&self, before: Timestamp, limit: i64) -> Result<u64, StoreError> {
        let sql = "SELECT id, at FROM events ORDER BY id LIMIT $1";
        let oldest: Vec<(i64, i64)> = self.all(sql, &values![limit]).await?;
        match oldest.iter().take_while(|(_, at)| *at < before.0).last() {
            Some((last, _)) => self.execute("DELETE FROM events WHERE id <= $1", &values![*last]).await,
            None => Ok(0),
        }
    }

    async fn count_events(&self, query: &EventQuery) -> Result<i64, StoreError> {
        let condition = query.condition(self.is_sqlite());
        let sql = format!("SELECT count(*) FROM events e{}", condition.sql());
        Ok(self.one(&sql, &condition.values).await?.unwrap_or(0))
    }

    async fn page_events(
        &self,
        query: &EventQuery,
        order: &[Sort<EventOrder>],
        wanted: Wanted,
        known: Option<i64>,
    ) -> Result<Found<EventRow>, StoreError> {
        let parts = query.parts(self.is_sqlite());
        let found = match order.first() {
            None => ids_of(self.page_by_time(&parts, true, wanted, known).await?),
            Some(Sort { key: EventOrder::At, is_descending }) => {
                ids_of(self.page_by_time(&parts, *is_descending, wanted, known).await?)
            }
            Some(_) => self.page_by_order(&parts, &[], &order_sql(order), wanted, known).await?,
        };
        let mut rows = HashMap::new();
        for ids in found.rows.chunks(AT_ONCE) {
            let mut values = Vec::new();
            let these = named("e.id", &mut values, ids);
            let read = self.read_events(&format!("SELECT {EVENT_COLUMNS} FROM events e WHERE {these}"), &values).await?;
            rows.extend(read.into_iter().map(|row| (row.id, row)));
        }
        let shown = found.rows.iter().filter_map(|id| rows.remove(id)).collect();
        Ok(found.with_rows(shown))
    }
}

/// The order in SQL; rows that are equal in it come in the order of time, in the direction of the last term.
fn order_sql(order: &[Sort<EventOrder>]) -> String {
    let turn = |is_descending: bool| if is_descending { " DESC" } else { "" };
    let last = turn(order.last().is_none_or(|sort| sort.is_descending));
    let mut terms: Vec<String> = order.iter().map(|sort| format!("{}{}", sort.key.column(), turn(sort.is_descending))).collect();
    if !order.iter().any(|sort| matches!(sort.key, EventOrder::At)) {
        terms.push(format!("e.at{last}"));
    }
    terms.push(format!("e.id{last}"));
    terms.join(", ")
}
