//! The rows that the index is built from: sessions and user agents.

use crate::domain::listing::Facts;
use crate::domain::{Address, SessionId, Timestamp};

/// A session.
#[derive(Clone, Debug)]
pub(in crate::store) struct Entry {
    /// Primary key.
    pub id: i64,
    /// The session's UUID.
    pub uuid: SessionId,
    /// The user's primary key.
    pub user_id: i64,
    /// The last user agent's primary key.
    pub user_agent_id: i64,
    /// Where it was last used from.
    pub last_ip: Address,
    /// ISO code of the country, or `""`.
    pub country: String,
    /// Autonomous system number.
    pub asn: Option<i64>,
    /// When it was last used.
    pub last_used_at: Timestamp,
    /// When it ends, unless it is used.
    pub expires_at: Timestamp,
    /// When it began.
    pub created_at: Timestamp,
    /// Yes-or-no facts, in one byte.
    pub facts: Facts,
}

/// A user agent.
#[derive(Clone, Debug)]
pub(in crate::store) struct Agent {
    /// Primary key.
    pub id: i64,
    /// Its text.
    pub text: String,
    /// The browser's family.
    pub browser: String,
    /// The system's family.
    pub os: String,
    /// The device's family.
    pub device: String,
}
