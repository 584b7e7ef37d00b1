//! Addresses that are stored for longer than they are needed: finds them in the order of time, and
//! replaces each by its cut or cleared form.

use crate::domain::{Address, Timestamp};
use crate::store::{Db, FromRow, Row, StoreError};
use crate::values;

/// A row that may hold an old address, and its place in the walk.
#[derive(Clone, Debug)]
pub struct OldAddress<A> {
    /// Primary key.
    pub id: i64,
    /// When it was last used, ended or happened, by which the walk goes.
    pub at: Timestamp,
    /// The address.
    pub ip: A,
    /// The address at which a session's user last authenticated.
    pub proved_ip: Option<Address>,
}

impl FromRow for OldAddress<Address> {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self { id: row.int()?, at: row.timestamp()?, ip: row.address()?, proved_ip: row.opt_address()? })
    }
}

impl FromRow for OldAddress<String> {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self { id: row.int()?, at: row.timestamp()?, ip: row.text()?, proved_ip: None })
    }
}

/// The position of a walk through rows by time: after this time and key.
pub type Step = (Timestamp, i64);

impl Db<'_> {
    /// Sessions last used after `after` and before `before`, the longest unused first, at most `limit`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_old_sessions(
        &self,
        after: Step,
        before: Timestamp,
        limit: i64,
    ) -> Result<Vec<OldAddress<Address>>, StoreError> {
        let sql = "SELECT id, last_used_at, last_ip_key, proved_ip_key FROM sessions WHERE last_used_at >= $1 AND last_used_at < $3 \
            AND (last_used_at > $1 OR id > $2) ORDER BY last_used_at, id LIMIT $4";
        self.all(sql, &values![after.0, after.1, before, limit]).await
    }

    /// As [`Db::list_old_sessions`], for ended sessions, by the time of their end.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_old_ended_sessions(
        &self,
        after: Step,
        before: Timestamp,
        limit: i64,
    ) -> Result<Vec<OldAddress<Address>>, StoreError> {
        let sql = "SELECT id, ended_at, last_ip_key, CAST(NULL AS BYTEA) FROM ended_sessions WHERE ended_at >= $1 AND ended_at < $3 \
            AND (ended_at > $1 OR id > $2) ORDER BY ended_at, id LIMIT $4";
        self.all(sql, &values![after.0, after.1, before, limit]).await
    }

    /// The same of events, by their time.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_old_events(&self, after: Step, before: Timestamp, limit: i64) -> Result<Vec<OldAddress<String>>, StoreError> {
        let sql = "SELECT id, at, ip FROM events WHERE at >= $1 AND at < $3 AND (at > $1 OR id > $2) ORDER BY at, id LIMIT $4";
        self.all(sql, &values![after.0, after.1, before, limit]).await
    }

    /// Replaces the address of an ended session.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn update_old_ended_session(
        &self,
        id: i64,
        ip: Address,
        (country, asn): (&str, Option<i64>),
    ) -> Result<(), StoreError> {
        let sql = "UPDATE ended_sessions SET last_ip = $2, last_ip_key = $3, country = $4, asn = $5 WHERE id = $1";
        self.execute(sql, &values![id, ip.to_string(), ip.sort_key(), country, asn]).await.map(drop)
    }

    /// Replaces the address of an event.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn update_old_event(&self, id: i64, ip: &str) -> Result<(), StoreError> {
        self.execute("UPDATE events SET ip = $2 WHERE id = $1", &values![id, ip]).await.map(drop)
    }
}
