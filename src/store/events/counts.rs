//! How many events there are of each kind. Counting reads a whole index, so each process counts once and
//! then only what came since. Events are added at one end and forgotten at the other, and never change
//! their kind.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::store::{Db, StoreError};
use crate::values;

/// How far behind the newest key the counts end on PostgreSQL: transactions overlap there, so an event may appear below
/// a key that is there already.
const OVERLAP: i64 = 5_000;
/// How many events may have come since before the counts move on.
const MOST_SINCE: i64 = 1_000;

/// The counts that this process holds.
#[derive(Debug, Default)]
pub struct EventCounts(Mutex<Known>);

#[derive(Clone, Debug, Default)]
struct Known {
    /// The oldest key when it was counted: when it is gone, so are others.
    first: i64,
    /// The key of the newest event that is counted.
    upto: i64,
    counts: HashMap<String, i64>,
}

impl EventCounts {
    /// How many events there are of these kinds, or of all.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(in crate::store) async fn of(&self, db: &Db<'_>, kinds: Option<&[String]>) -> Result<i64, StoreError> {
        let ends: Option<(i64, i64)> = db.one("SELECT COALESCE(MIN(id), 0), COALESCE(MAX(id), 0) FROM events", &[]).await?;
        let (first, last) = ends.unwrap_or_default();
        let settled = if db.is_sqlite() { last } else { last - OVERLAP };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if known.first != first || known.upto > last {
            known = Known { first, upto: 0, counts: HashMap::new() };
        }
        if settled - known.upto > MOST_SINCE || known.upto == 0 {
            for (kind, count) in between(db, known.upto, settled.max(known.upto)).await? {
                *known.counts.entry(kind).or_default() += count;
            }
            known.upto = settled.max(known.upto);
            let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if held.first != known.first || held.upto < known.upto {
                *held = known.clone();
            }
        }
        let since = between(db, known.upto, i64::MAX).await?;
        let all = known.counts.iter().map(|(kind, count)| (kind, *count)).chain(since.iter().map(|(kind, count)| (kind, *count)));
        Ok(all.filter(|(kind, _)| kinds.is_none_or(|kinds| kinds.contains(kind))).map(|(_, count)| count).sum())
    }
}

/// The events of each kind with keys above `after` and up to `to`.
async fn between(db: &Db<'_>, after: i64, to: i64) -> Result<Vec<(String, i64)>, StoreError> {
    db.all("SELECT kind, count(*) FROM events WHERE id > $1 AND id <= $2 GROUP BY kind", &values![after, to]).await
}
