//! What alerts about the sessions of a source are judged by.

use crate::domain::source::SourceId;
use crate::domain::{Address, Timestamp};
use crate::store::watch::sources::SourceRow;
use crate::store::{Db, FromRow, Row, StoreError};
use crate::values;

/// How many living sessions of a user, and how many ended ones, are looked at: the latest.
const LATEST: i64 = 1000;

/// A session that a user of a source has or had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastSession {
    /// The country of its address, or `""`.
    pub country: String,
    /// The autonomous system of its address.
    pub asn: Option<i64>,
    /// The address it was last used from.
    pub ip: Address,
    /// When it was last used, as the source has it.
    pub used_at: Timestamp,
    /// The browser and the system of its user agent.
    pub device: (String, String),
}

impl FromRow for PastSession {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            country: row.text()?,
            asn: row.opt_int()?,
            ip: row.address()?,
            used_at: row.timestamp()?,
            device: (row.text()?, row.text()?),
        })
    }
}

impl Db<'_> {
    /// The sessions that a user of a source was seen with, living and ended.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_past_of(&self, source: &SourceRow, user: i64) -> Result<Vec<PastSession>, StoreError> {
        const COLUMNS: &str = "SELECT s.country, s.asn, s.last_ip_key, s.last_used_at, a.browser, a.os";
        let sql = format!(
            "{COLUMNS} FROM watched_sessions s JOIN user_agents a ON a.id = s.user_agent_id \
             WHERE s.source_id = $1 AND s.user_pk = $2 ORDER BY s.last_used_at DESC LIMIT {LATEST}"
        );
        let mut past: Vec<PastSession> = self.all(&sql, &values![source.id.0, user]).await?;
        let sql = format!(
            "{COLUMNS} FROM ended_sessions s JOIN user_agents a ON a.id = s.user_agent_id \
             WHERE s.user_uuid = $1 ORDER BY s.ended_at DESC LIMIT {LATEST}"
        );
        past.extend(self.all::<PastSession>(&sql, &values![source.user_uuid(user)]).await?);
        Ok(past)
    }

    /// How many sessions of the copy a user has.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_watched_of(&self, source: SourceId, user: i64) -> Result<i64, StoreError> {
        let sql = "SELECT count(*) FROM watched_sessions WHERE source_id = $1 AND user_pk = $2";
        Ok(self.one::<i64>(sql, &values![source.0, user]).await?.unwrap_or(0))
    }

    /// The browser and the system of a user agent of the dictionary.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_device(&self, user_agent: i64) -> Result<(String, String), StoreError> {
        let sql = "SELECT browser, os FROM user_agents WHERE id = $1";
        Ok(self.one(sql, &values![user_agent]).await?.unwrap_or_default())
    }
}
