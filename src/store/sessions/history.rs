//! History: what is kept of an ended session, with the time, the actor and the reason.

use uuid::Uuid;

use crate::domain::fold::fold;
use crate::domain::{EndReason, SessionId, Timestamp, UserKey};
use crate::store::db::statements::insert_shaped;
use crate::store::events::rows::user_key;
use crate::store::sessions::pending_rows::NOT_MOVED;
use crate::store::sessions::rows::NewSession;
use crate::store::{CountKey, Db, FromRow, Row, StoreError, Value};
use crate::values;

/// An end of sessions: when, by which actor, and why.
#[derive(Clone, Debug)]
pub struct End {
    /// When.
    pub at: Timestamp,
    /// The user who ended them, if it was one.
    pub by: Option<UserKey>,
    /// The actor's name: a username, `system`, `cli`.
    pub by_name: String,
    /// Why.
    pub reason: EndReason,
    /// Why, as a comment of the person who ended them, or `""`.
    pub comment: String,
}

/// An ended session, in short.
#[derive(Clone, Debug)]
pub struct EndedSessionRow {
    /// The session's UUID.
    pub uuid: SessionId,
    /// The name of its user at that time.
    pub username: String,
    /// When it ended.
    pub ended_at: Timestamp,
    /// Who ended it.
    pub ended_by: String,
    /// Why ([`EndReason::as_str`]).
    pub reason: String,
    /// Why, as a comment of the person who ended it, or `""`.
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

/// A session that ended before it was ever in this database.
#[derive(Clone, Debug)]
pub struct PastSession {
    /// As it was; its key and its user's key count for nothing.
    pub session: NewSession,
    /// Its user.
    pub user_uuid: Uuid,
    /// The name of its user at that time.
    pub username: String,
    /// Its end.
    pub end: End,
}

impl PastSession {
    fn values(&self) -> Vec<Value> {
        let Self { session, user_uuid, username, end } = self;
        let origin = &session.origin;
        let mut values = values![
            session.uuid,
            *user_uuid,
            username.as_str(),
            fold(username),
            session.created_at,
            session.last_used_at,
            session.lifetime.expires_at(session.last_used_at),
            origin.ip.to_string(),
            origin.ip.sort_key(),
            origin.user_agent_id,
            origin.country.as_str(),
            origin.asn,
            session.methods.to_string(),
            session.is_remembered,
            session.is_known_device,
            "",
            "[]",
            end.at,
        ]
        .to_vec();
        values.extend(user_key(end.by));
        values.extend(values![end.by_name.as_str(), end.reason.as_str(), end.comment.as_str()]);
        values
    }
}

pub(in crate::store) const INSERT_ENDED_SESSIONS: &str = "INSERT INTO ended_sessions (uuid, user_uuid, username, username_folded, \
    created_at, last_used_at, expires_at, last_ip, last_ip_key, user_agent_id, country, asn, methods, is_remembered, is_known_device, \
    label, applications, ended_at, ended_by_uuid, ended_by_name, reason, comment) VALUES ";
pub(in crate::store) const ENDED_SHAPE: &str = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, \
    COALESCE(?, (SELECT uuid FROM users WHERE id = ?)), ?, ?, ?)";

/// The primary key that the user of an ended session `s` has now; 0: the user is gone.
pub(in crate::store) const USER_NOW: &str = "COALESCE((SELECT u.id FROM users u WHERE u.uuid = s.user_uuid), 0)";

impl Db<'_> {
    /// Adds sessions that ended before. Their users exist, under the same names.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn insert_past_sessions(&self, sessions: &[PastSession]) -> Result<(), StoreError> {
        let rows: Vec<Vec<Value>> = sessions.iter().map(PastSession::values).collect();
        for statement in insert_shaped(INSERT_ENDED_SESSIONS, ENDED_SHAPE, &rows, "") {
            self.execute(&statement.sql, &statement.values).await?;
        }
        for session in sessions {
            self.add_to_counts([CountKey::Ended, CountKey::EndedOfUser(session.user_uuid)], 1);
        }
        Ok(())
    }

    /// How the session with this UUID ended; `None` when there is none.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_ended_session(&self, uuid: SessionId) -> Result<Option<EndedSessionRow>, StoreError> {
        // Pending ends are read first: if one is moved between the two statements, the second finds
        // it.
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
