//! Tickets: each carries a sign-in from Rollcall's host to an application's, once.

use crate::domain::{HashedSecret, Timestamp};
use crate::store::{Db, FromRow, Row, StoreError};
use crate::values;

/// A ticket, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The primary key of its session.
    pub session_id: i64,
    /// The application that it opens.
    pub application_id: i64,
    /// The host that it is for.
    pub host: String,
    /// The hash of the start cookie of the browser that asked for it.
    pub flow_hash: HashedSecret,
}

impl FromRow for Ticket {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        let (session_id, application_id, host) = (row.int()?, row.int()?, row.text()?);
        let flow_hash = HashedSecret(row.bytes()?.try_into().map_err(|_| StoreError::Corrupt("the hash of a start cookie"))?);
        Ok(Self { session_id, application_id, host, flow_hash })
    }
}

impl Db<'_> {
    /// Adds a ticket under the hash of its secret.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when its session or application is gone; when the database does not answer.
    pub async fn insert_ticket(&self, hash: HashedSecret, ticket: &Ticket, expires_at: Timestamp) -> Result<(), StoreError> {
        let sql =
            "INSERT INTO tickets (hash, session_id, application_id, host, flow_hash, expires_at) VALUES ($1, $2, $3, $4, $5, $6)";
        let values = values![hash, ticket.session_id, ticket.application_id, ticket.host.as_str(), ticket.flow_hash, expires_at];
        self.execute(sql, &values).await.map(drop)
    }

    /// Removes the ticket with this secret that expires after `now` and not later than `latest`, and returns it. Of
    /// concurrent calls, one gets it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn take_ticket(&self, hash: HashedSecret, now: Timestamp, latest: Timestamp) -> Result<Option<Ticket>, StoreError> {
        let sql = "DELETE FROM tickets WHERE hash = $1 AND expires_at > $2 AND expires_at <= $3 \
            RETURNING session_id, application_id, host, flow_hash";
        self.one(sql, &values![hash, now, latest]).await
    }

    /// Removes tickets that expired by `now`, and gives how many.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_expired_tickets(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.execute("DELETE FROM tickets WHERE expires_at <= $1", &values![now]).await
    }
}
