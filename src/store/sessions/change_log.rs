//! The change log: each transaction that adds, changes or ends sessions, or adds, renames or
//! removes users, lists their keys here in its last statement. The sessions in memory follow the
//! database by it, on this node and on others. The copy of a watched source has a log of its own.

use std::sync::PoisonError;

use crate::store::{Db, FromRow, Log, Row, StoreError, Value};
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
        self.note(Log::Own, Change::Session(id));
    }

    /// Lists the user with this key as added, renamed or removed by this transaction.
    pub(in crate::store) fn note_user_change(&self, id: i64) {
        self.note(Log::Own, Change::User(id));
    }

    /// Lists sessions of the copy, by the keys of their rows, as changed by this transaction.
    pub(in crate::store) fn note_watched_changes(&self, ids: &[i64]) {
        for id in ids {
            self.note(Log::Watched, Change::Session(*id));
        }
    }

    /// Lists users of a source, by their primary keys there, as changed by this transaction.
    pub(in crate::store) fn note_source_user_changes(&self, pks: impl IntoIterator<Item = i64>) {
        for pk in pks {
            self.note(Log::Watched, Change::User(pk));
        }
    }

    fn note(&self, log: Log, change: Change) {
        if let Some(pending) = self.pending() {
            let changes = if log == Log::Own { &pending.changes } else { &pending.watched_changes };
            changes.lock().unwrap_or_else(PoisonError::into_inner).push(change.stored());
        }
    }

    /// The newest position in a log.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn newest_change(&self, log: Log) -> Result<i64, StoreError> {
        let sql = match log {
            Log::Own => "SELECT seq FROM session_changes ORDER BY seq DESC LIMIT 1",
            Log::Watched => "SELECT seq FROM watched_changes ORDER BY seq DESC LIMIT 1",
        };
        let last = self.one(sql, &[]).await?;
        last.ok_or(StoreError::Corrupt("no log of changes"))
    }

    /// The row at `from`, unless it was deleted, all rows after it, and those at the positions
    /// `missing` that have appeared since. In order, at most `most` rows.
    pub(in crate::store) async fn list_changes(
        &self,
        log: Log,
        from: i64,
        missing: &[i64],
        most: Option<usize>,
    ) -> Result<Vec<ChangeRow>, StoreError> {
        let table = log.table();
        let mut sql = format!("SELECT seq, ids FROM {table} WHERE seq >= $1");
        if !missing.is_empty() {
            let missing = crate::store::db::statements::placeholders(1, missing.len());
            sql = format!("SELECT seq, ids FROM {table} WHERE seq IN ({missing}) UNION ALL {sql}");
        }
        sql.push_str(" ORDER BY seq");
        if let Some(most) = most {
            // A constant, so that PostgreSQL plans the statement once.
            sql = format!("{sql} LIMIT {most}");
        }
        let values: Vec<Value> = std::iter::once(from).chain(missing.iter().copied()).map(Value::from).collect();
        self.all(&sql, &values).await
    }

    /// Deletes rows of a log before the position `before`, at most `STEP` of them. Returns whether there
    /// were more.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_changes(&self, log: Log, before: i64) -> Result<bool, StoreError> {
        let table = log.table();
        let sql = format!("DELETE FROM {table} WHERE seq IN (SELECT seq FROM {table} WHERE seq < $1 ORDER BY seq LIMIT $2)");
        Ok(self.execute(&sql, &values![before, STEP]).await? == STEP.unsigned_abs())
    }

    /// Empties both logs, when more changed than their rows can list: every node that follows them reads
    /// all sessions again.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn restart_changes(&self) -> Result<(), StoreError> {
        if let Some(pending) = self.pending() {
            pending.changes.lock().unwrap_or_else(PoisonError::into_inner).clear();
            pending.watched_changes.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        for table in Log::ALL.map(Log::table) {
            self.execute(&format!("DELETE FROM {table}"), &[]).await?;
            self.execute(&format!("INSERT INTO {table} (ids) VALUES ($1)"), &values![Vec::<u8>::new()]).await?;
        }
        Ok(())
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
