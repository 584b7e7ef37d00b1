//! The change log: each transaction that adds, changes or ends sessions, or adds, renames or
//! removes users, lists their keys here in its last statement. The sessions in memory follow the
//! database by it, on this node and on others.

use std::sync::PoisonError;

use crate::store::{Db, FromRow, Row, StoreError, Value};
use crate::values;

/// How many rows one statement deletes.
const STEP: i64 = 5_000;

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store) enum Change {
    /// A user was added, renamed or removed: primary key.
    User(i64),
    /// A session was added, changed or ended: primary key.
    Session(i64),
}

impl Change {
    /// As it is stored: the key of a session, the negative key of a user. Keys begin at 1.
    fn stored(self) -> i64 {
        match self {
            Self::User(id) => -id,
            Self::Session(id) => id,
        }
    }

    fn read(stored: i64) -> Self {
        if stored < 0 { Self::User(-stored) } else { Self::Session(stored) }
    }
}

/// A row of the log.
#[derive(Clone, Debug)]
pub(in crate::store) struct ChangeRow {
    /// Its position. On PostgreSQL a lower one may appear later: transactions overlap.
    pub seq: i64,
    /// What one transaction changed; nothing: all sessions must be read again.
    pub changes: Vec<Change>,
}

impl FromRow for ChangeRow {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        let (seq, bytes) = (row.int()?, row.bytes()?);
        let (keys, rest) = bytes.as_chunks::<8>();
        if !rest.is_empty() {
            return Err(StoreError::Corrupt("a list of changes"));
        }
        Ok(Self { seq, changes: keys.iter().map(|key| Change::read(i64::from_le_bytes(*key))).collect() })
    }
}

impl Db<'_> {
    /// Lists the session with this key as changed by this transaction.
    pub(in crate::store) fn note_change(&self, id: i64) {
        self.note(Change::Session(id));
    }

    /// Lists the user with this key as added, renamed or removed by this transaction.
    pub(in crate::store) fn note_user_change(&self, id: i64) {
        self.note(Change::User(id));
    }

    fn note(&self, change: Change) {
        if let Some(pending) = self.pending() {
            pending.changes.lock().unwrap_or_else(PoisonError::into_inner).push(change.stored());
        }
    }

    /// The newest position.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn newest_change(&self) -> Result<i64, StoreError> {
        let last = self.one("SELECT seq FROM session_changes ORDER BY seq DESC LIMIT 1", &[]).await?;
        last.ok_or(StoreError::Corrupt("no log of changes"))
    }

    /// The row at `from`, unless it was deleted, all rows after it, and those at the positions
    /// `missing` that have appeared since. In order, at most `most` rows.
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
            // A constant, so that PostgreSQL plans the statement once.
            sql = format!("{sql} LIMIT {most}");
        }
        let values: Vec<Value> = std::iter::once(from).chain(missing.iter().copied()).map(Value::from).collect();
        self.all(&sql, &values).await
    }

    /// Deletes rows before the position `before`, at most `STEP` of them. Returns whether there
    /// were more.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_changes(&self, before: i64) -> Result<bool, StoreError> {
        let sql = "DELETE FROM session_changes WHERE seq IN (SELECT seq FROM session_changes WHERE seq < $1 ORDER BY seq LIMIT $2)";
        Ok(self.execute(sql, &values![before, STEP]).await? == STEP.unsigned_abs())
    }

    /// Empties the log, when more changed than its rows can list: every node that follows it reads
    /// all sessions again.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_sessions_are_told_apart() {
        for change in [Change::User(7), Change::Session(7), Change::User(i64::MAX), Change::Session(1)] {
            assert_eq!(Change::read(change.stored()), change);
        }
        assert!(Change::User(9) < Change::Session(1), "names are applied before the sessions that need them");
    }
}
