//! Exact counts without counting: how many sessions there are in all, and for each user, user agent,
//! country and network, kept in the same transaction that changes them.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use super::statements::insert_statements;
use super::{Db, Pending, Statement, StoreError, Value};
use crate::values;

/// What is counted. The order is the order rows are locked in, so that transactions cannot wait for
/// each other in a circle.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CountKey {
    /// All sessions.
    All,
    /// Those of a user.
    User(i64),
    /// Those with a user agent, by its id.
    UserAgent(i64),
    /// Those in a country; the empty text for no known country.
    Country(String),
    /// Those in an autonomous system; `None` for no known one.
    Asn(Option<i64>),
    /// All ended sessions that are kept.
    Ended,
    /// Those of a user.
    EndedOfUser(i64),
}

impl CountKey {
    fn columns(&self) -> (&'static str, String) {
        match self {
            Self::All => ("all", String::new()),
            Self::User(id) => ("user", id.to_string()),
            Self::UserAgent(id) => ("user_agent", id.to_string()),
            Self::Country(code) => ("country", code.clone()),
            Self::Asn(number) => ("asn", number.map(|n| n.to_string()).unwrap_or_default()),
            Self::Ended => ("ended", String::new()),
            Self::EndedOfUser(id) => ("ended_user", id.to_string()),
        }
    }

    /// Everything one session counts for.
    pub(super) fn of_session(user_id: i64, user_agent_id: i64, country: &str, asn: Option<i64>) -> [Self; 5] {
        [Self::All, Self::User(user_id), Self::UserAgent(user_agent_id), Self::Country(country.to_owned()), Self::Asn(asn)]
    }
}

/// Changes of the counts, gathered until the transaction's end.
pub(super) type PendingCounts = BTreeMap<CountKey, i64>;

/// How many rows a counter is spread over on PostgreSQL, where each writer locks the rows it changes.
pub(super) const SLOTS: i64 = 16;

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
                super::placeholders(0, users.len())
            );
            let keys: Vec<Value> = users.iter().map(|user| CountKey::User(*user).columns().1.into()).collect();
            count += self.one::<i64>(&sql, &keys).await?.unwrap_or(0);
        }
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// Notes that `by` more sessions count for each of `keys`; written at the transaction's end.
    pub(super) fn add_to_counts(&self, keys: impl IntoIterator<Item = CountKey>, by: i64) {
        if let Some(pending) = self.pending() {
            let mut pending = pending.counts.lock().unwrap_or_else(PoisonError::into_inner);
            for key in keys {
                *pending.entry(key).or_default() += by;
            }
        }
    }

    /// Forgets all counts, when all sessions were removed at once.
    pub(super) async fn clear_counts(&self) -> Result<(), StoreError> {
        if let Some(pending) = self.pending() {
            pending.counts.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        self.execute("DELETE FROM session_counts", &[]).await.map(drop)
    }
}

/// Writes what [`Db::add_to_counts`] gathered: once, and in the keys' order.
pub(super) fn statements(pending: &Pending) -> Vec<Statement> {
    let counts = std::mem::take(&mut *pending.counts.lock().unwrap_or_else(PoisonError::into_inner));
    let rows = counts.into_iter().filter(|(_, by)| *by != 0).map(|(key, by)| {
        let (kind, key) = key.columns();
        values![kind, key, pending.slot, by].to_vec()
    });
    insert_statements(
        "INSERT INTO session_counts (kind, key, slot, n) VALUES ",
        &rows.collect::<Vec<_>>(),
        " ON CONFLICT (kind, key, slot) DO UPDATE SET n = session_counts.n + excluded.n",
    )
}
