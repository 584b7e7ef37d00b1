//! Events as they come, by their place in the table: each once, on both databases, from every process.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::store::events::rows::{EVENT_COLUMNS, EventRow};
use crate::store::{Db, StoreError, Value};

/// How long a place that is passed over is waited for: on PostgreSQL transactions overlap, so a lower
/// one may appear later; one that was rolled back leaves its place empty.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many places before the newest may belong to transactions under way at the beginning.
const WINDOW: i64 = 200;
/// How many events are read at once.
const STEP: i64 = 1000;

/// The position of a reader.
#[derive(Debug)]
pub struct EventFeed {
    last: i64,
    missing: BTreeMap<i64, Instant>,
}

impl EventFeed {
    /// From now on: what is there already is passed over.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn from_now(db: &Db<'_>, now: Instant) -> Result<Self, StoreError> {
        let last = db.newest_event().await?;
        Self::after(db, last, now).await
    }

    /// From the event after this place on. Transactions under way at that moment may have lower places, and are seen, too.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn after(db: &Db<'_>, last: i64, now: Instant) -> Result<Self, StoreError> {
        let mut feed = Self { last, missing: BTreeMap::new() };
        if !db.is_sqlite() {
            let after = (last - WINDOW).max(0);
            let sql = "SELECT id FROM events WHERE id > $1 AND id <= $2 ORDER BY id";
            let there: Vec<i64> = db.all(sql, &[Value::from(after), Value::from(last)]).await?;
            feed.last = after;
            for id in there {
                feed.pass(id, now);
            }
        }
        Ok(feed)
    }

    /// What came since the last call, in the order it is seen.
    ///
    /// # Errors
    /// When the database does not answer; nothing is lost by it.
    pub async fn read(&mut self, db: &Db<'_>, now: Instant) -> Result<Vec<EventRow>, StoreError> {
        self.missing.retain(|_, since| now.saturating_duration_since(*since) < PATIENCE);
        let missing: Vec<i64> = self.missing.keys().copied().collect();
        let mut found = Vec::new();
        for ids in missing.chunks(500) {
            found.extend(db.list_events_of(ids).await?);
        }
        let new = db.list_events(self.last, STEP).await?;
        // All was read: from here on nothing fails.
        for event in &found {
            self.missing.remove(&event.id);
        }
        for event in &new {
            self.pass(event.id, now);
        }
        found.extend(new);
        Ok(found)
    }

    /// Advances to a position, and notes those that are skipped.
    fn pass(&mut self, id: i64, now: Instant) {
        for missing in (self.last + 1..id).rev().take(1000) {
            self.missing.insert(missing, now);
        }
        self.last = id;
    }
}

impl Db<'_> {
    /// The key of the newest event; 0: there is none.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn newest_event(&self) -> Result<i64, StoreError> {
        Ok(self.one::<i64>("SELECT COALESCE(MAX(id), 0) FROM events", &[]).await?.unwrap_or(0))
    }

    /// The events with these keys.
    async fn list_events_of(&self, ids: &[i64]) -> Result<Vec<EventRow>, StoreError> {
        let sql = format!(
            "SELECT {EVENT_COLUMNS} FROM events e WHERE e.id IN ({}) ORDER BY e.id",
            crate::store::db::statements::placeholders(0, ids.len())
        );
        let values: Vec<Value> = ids.iter().map(|id| (*id).into()).collect();
        self.read_events(&sql, &values).await
    }
}
