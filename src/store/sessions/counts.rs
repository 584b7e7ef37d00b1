//! Exact counts without counting rows: the number of all sessions, and of those of each user, user
//! agent, country and network, updated in the transaction that changes them.

use std::sync::PoisonError;

use crate::store::{CountKey, Db, StoreError, Value};
use crate::values;

impl Db<'_> {
    /// The number of sessions counted under `key`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_sessions_of(&self, key: &CountKey) -> Result<i64, StoreError> {
        let (kind, key) = key.columns();
        let sql = "SELECT CAST(COALESCE(SUM(n), 0) AS BIGINT) FROM session_counts WHERE kind = $1 AND key = $2";
        Ok(self.one::<i64>(sql, &values![kind, key]).await?.unwrap_or(0))
    }

    /// How many sessions these users have together.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_sessions_of_users(&self, users: &[i64]) -> Result<u64, StoreError> {
        let mut count = 0;
        for users in users.chunks(500) {
            let sql = format!(
                "SELECT CAST(COALESCE(SUM(n), 0) AS BIGINT) FROM session_counts WHERE kind = 'user' AND key IN ({})",
                crate::store::db::statements::placeholders(0, users.len())
            );
            let keys: Vec<Value> = users.iter().map(|user| CountKey::User(*user).columns().1.into()).collect();
            count += self.one::<i64>(&sql, &keys).await?.unwrap_or(0);
        }
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// Adds `by` to the counters `keys`, at the end of the transaction.
    pub(in crate::store) fn add_to_counts(&self, keys: impl IntoIterator<Item = CountKey>, by: i64) {
        if let Some(pending) = self.pending() {
            let mut pending = pending.counts.lock().unwrap_or_else(PoisonError::into_inner);
            for key in keys {
                *pending.entry(key).or_default() += by;
            }
        }
    }
}
