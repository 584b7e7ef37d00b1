//! How many events there are of each kind. Counting reads a whole index, so each process counts once and
//! then only what came since. Events are added at one end and forgotten at the other, and never change
//! their kind.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::store::db::settled::{Look, Settled, TRANSACTIONS};
use crate::store::db::statements::placeholders;
use crate::store::{Db, StoreError, Value};
use crate::values;

/// How far behind the newest key the counts end on PostgreSQL while a transaction goes on that began before the first look.
const UNSETTLED: i64 = 5_000;
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
    /// Up to which key no event appears any more. PostgreSQL alone.
    settled: Settled,
    /// Whether events may have appeared below `upto` since: a long transaction went on when they were counted.
    is_unsure: bool,
}

impl EventCounts {
    /// How many events there are of these kinds, or of all.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(in crate::store) async fn of(&self, db: &Db<'_>, kinds: Option<&[String]>) -> Result<i64, StoreError> {
        // Two questions: SQLite reads all keys for both in one.
        let transactions = if db.is_sqlite() { "0, 0" } else { TRANSACTIONS };
        let ends =
            format!("SELECT COALESCE((SELECT MIN(id) FROM events), 0), COALESCE((SELECT MAX(id) FROM events), 0), {transactions}");
        let ends: Option<((i64, i64), (i64, i64))> = db.one(&ends, &[]).await?;
        let ((first, last), (over_below, begun_below)) = ends.unwrap_or_default();
        let mut known = {
            let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            held.settled.note(Look { last, over_below, begun_below });
            held.clone()
        };
        if known.settled.upto() == 0 && last > UNSETTLED && !db.is_sqlite() {
            // The first look of this process: the second one tells what settled.
            known.settled.note(db.look_at("events").await?);
        }
        let mut settled = if db.is_sqlite() { last } else { known.settled.upto().min(last) };
        if known.first != first || known.upto > last || (known.is_unsure && settled >= known.upto) {
            known = Known { first, settled: known.settled, ..Known::default() };
        }
        if settled == 0 && known.upto == 0 && last > UNSETTLED {
            (settled, known.is_unsure) = (last - UNSETTLED, true);
        }
        if settled - known.upto > MOST_SINCE {
            for (kind, count) in between(db, known.upto, settled.max(known.upto)).await? {
                *known.counts.entry(kind).or_default() += count;
            }
            known.upto = settled.max(known.upto);
            let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if held.first != known.first || held.upto < known.upto || held.is_unsure {
                *held = known.clone();
            }
        }
        let is_asked = |kind: &String| kinds.is_none_or(|kinds| kinds.contains(kind));
        let before: i64 = known.counts.iter().filter(|(kind, _)| is_asked(kind)).map(|(_, count)| *count).sum();
        Ok(before + since(db, known.upto, kinds).await?)
    }
}

/// The events of these kinds, or of all, with keys above `after`: an index alone has them.
async fn since(db: &Db<'_>, after: i64, kinds: Option<&[String]>) -> Result<i64, StoreError> {
    // The key is a part of the text, and stays for a thousand events. PostgreSQL would plan a statement that is given the key
    // as a value for each request, which takes a third of the time.
    let all = format!("SELECT count(*) FROM events WHERE id > {after}");
    let Some(kinds) = kinds else { return Ok(db.one(&all, &[]).await?.unwrap_or(0)) };
    if kinds.is_empty() {
        return Ok(0);
    }
    let values: Vec<Value> = kinds.iter().map(Value::from).collect();
    Ok(db.one(&format!("{all} AND kind IN ({})", placeholders(0, kinds.len())), &values).await?.unwrap_or(0))
}

/// The events of each kind with keys above `after` and up to `to`.
async fn between(db: &Db<'_>, after: i64, to: i64) -> Result<Vec<(String, i64)>, StoreError> {
    db.all("SELECT kind, count(*) FROM events WHERE id > $1 AND id <= $2 GROUP BY kind", &values![after, to]).await
}
