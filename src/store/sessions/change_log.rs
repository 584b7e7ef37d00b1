//! The log of changed sessions: each transaction that adds, changes or ends some names them here, in
//! its last statement. By it the sessions in memory catch up (`store/index/`), on this node and on others.

use std::sync::PoisonError;

use crate::store::{Db, FromRow, Row, StoreError, Value};
use crate::values;

/// How many rows one statement forgets.
const STEP: i64 = 5_000;

/// Where the log ended at some moment: all that was committed before it stands no later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogEnd(pub(in crate::store) i64);

/// A row of the log.
#[derive(Clone, Debug)]
pub(in crate::store) struct ChangeRow {
    /// Its place. On PostgreSQL a lower one may appear later: transactions overlap.
    pub seq: i64,
    /// The keys of the sessions that were added, changed or ended.
    pub ids: Vec<i64>,
}

impl FromRow for ChangeRow {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        let (seq, bytes) = (row.int()?, row.bytes()?);
        let (keys, rest) = bytes.as_chunks::<8>();
        if !rest.is_empty() {
            return Err(StoreError::Corrupt("a list of changed sessions"));
        }
        Ok(Self { seq, ids: keys.iter().map(|key| i64::from_le_bytes(*key)).collect() })
    }
}

impl Db<'_> {
    /// Notes that this transaction changes the session with this key.
    pub(in crate::store) fn note_change(&self, id: i64) {
        if let Some(pending) = self.pending() {
            pending.changes.lock().unwrap_or_else(PoisonError::into_inner).push(id);
        }
    }

    /// The newest place in the log.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_last_change(&self) -> Result<i64, StoreError> {
        let last = self.one("SELECT seq FROM session_changes ORDER BY seq DESC LIMIT 1", &[]).await?;
        last.ok_or(StoreError::Corrupt("no log of changed sessions"))
    }

    /// The row at `from`, which is there unless it was forgotten, and all after it; and those of the
    /// places `missing` that have appeared meanwhile. In order, and not more than `most`.
    pub(in crate::store) async fn list_changes(
        &self,
        from: i64,
        missing: &[i64],
        most: Option<usize>,
    ) -> Result<Vec<ChangeRow>, StoreError> {
        let mut sql = "SELECT seq, ids FROM session_changes WHERE seq >= $1".to_owned();
        if !missing.is_empty() {
            let missing = crate::store::db::statements::placeholders(1, missing.len());
            sql = format!("SELECT seq, ids FROM session_changes WHERE seq IN ({missing}) UNION ALL {sql}");
        }
        sql.push_str(" ORDER BY seq");
        if let Some(most) = most {
            // Said in the statement, so that PostgreSQL plans it once.
            sql = format!("{sql} LIMIT {most}");
        }
        let values: Vec<Value> = std::iter::once(from).chain(missing.iter().copied()).map(Value::from).collect();
        self.all(&sql, &values).await
    }

    /// Forgets rows before the place `before`, some at a time. Gives whether there were more.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_changes(&self, before: i64) -> Result<bool, StoreError> {
        let sql = "DELETE FROM session_changes WHERE seq IN (SELECT seq FROM session_changes WHERE seq < $1 ORDER BY seq LIMIT $2)";
        Ok(self.execute(sql, &values![before, STEP]).await? == STEP.unsigned_abs())
    }

    /// Forgets the whole log, when more changed than its rows say: whoever follows it reads all
    /// sessions anew.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn restart_changes(&self) -> Result<(), StoreError> {
        if let Some(pending) = self.pending() {
            pending.changes.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        self.execute("DELETE FROM session_changes", &[]).await?;
        self.execute("INSERT INTO session_changes (ids) VALUES ($1)", &values![Vec::<u8>::new()]).await.map(drop)
    }
}
