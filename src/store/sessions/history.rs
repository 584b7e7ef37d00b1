//! Ended sessions: what is kept of a session, with when, by whom and why it ended.

use crate::domain::{EndReason, SessionId, Timestamp};
use crate::store::sessions::live::NOT_MOVED;
use crate::store::{Db, FromRow, Row, StoreError};
use crate::values;

/// How sessions end.
#[derive(Clone, Debug)]
pub struct Ending {
    /// When.
    pub at: Timestamp,
    /// Who ended them: a user's key, if it was one.
    pub by: Option<i64>,
    /// Who ended them, in words: a username, `system`, `cli`.
    pub by_name: String,
    /// Why.
    pub reason: EndReason,
    /// Why, in the words of whoever ended them, or `""`.
    pub comment: String,
}

/// An ended session, in short.
#[derive(Clone, Debug)]
pub struct EndedSessionRow {
    /// What named it.
    pub uuid: SessionId,
    /// Whose it was.
    pub username: String,
    /// When it ended.
    pub ended_at: Timestamp,
    /// Who ended it.
    pub ended_by: String,
    /// Why ([`EndReason::as_str`]).
    pub reason: String,
    /// Why, in the words of whoever ended it, or `""`.
    pub comment: String,
}

impl FromRow for EndedSessionRow {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            uuid: SessionId(row.uuid()?),
            username: row.text()?,
            ended_at: row.timestamp()?,
            ended_by: row.text()?,
            reason: row.text()?,
            comment: row.text()?,
        })
    }
}

pub(in crate::store) const INSERT_ENDED_SESSIONS: &str = "INSERT INTO ended_sessions (uuid, user_id, username, created_at, last_used_at, \
    expires_at, last_ip, last_ip_key, user_agent_id, country, asn, methods, is_remembered, is_known_device, label, ended_at, ended_by, \
    ended_by_name, reason, comment, username_folded) VALUES ";

impl Db<'_> {
    /// How the session of that name ended; `None` when none did.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_ended_session(&self, uuid: SessionId) -> Result<Option<EndedSessionRow>, StoreError> {
        // These first: one that is moved between the two statements is found by the other.
        let sql = format!(
            "SELECT s.uuid, u.username, r.ended_at, r.ended_by_name, r.reason, r.comment FROM {NOT_MOVED} WHERE s.uuid = $1"
        );
        if let Some(row) = self.one(&sql, &values![uuid]).await? {
            return Ok(Some(row));
        }
        let sql = "SELECT uuid, username, ended_at, ended_by_name, reason, comment FROM ended_sessions WHERE uuid = $1 ORDER BY id DESC LIMIT 1";
        self.one(sql, &values![uuid]).await
    }
}
