//! Ends of sessions of a source that somebody asked for here. A row is written before the request is sent.

use std::time::Duration;

use uuid::Uuid;

use crate::domain::source::{AskedState, SourceId};
use crate::domain::{SessionId, Timestamp, UserId, UserKey};
use crate::store::db::statements::in_list;
use crate::store::sessions::history::End;
use crate::store::{Db, FromRow, Row, StoreError};
use crate::values;

/// How long a row is kept after it was settled.
const KEPT: Duration = Duration::from_secs(86_400);

/// Who asks for an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAsk {
    /// The user, if it is one.
    pub by: Option<UserId>,
    /// The name: a username, `cli`.
    pub actor: String,
    /// The address of the request, or `""`.
    pub ip: String,
    /// The id of the request, or `""`.
    pub request_id: String,
    /// Why, as a comment, or `""`.
    pub comment: String,
}

/// An end that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedEnd {
    /// The key of the row.
    pub id: i64,
    /// The session.
    pub uuid: SessionId,
    /// The user who asked; `None`: no user did.
    pub actor_uuid: Option<Uuid>,
    /// The name of who asked.
    pub actor: String,
    /// The address of the request, or `""`; it goes when the end is settled.
    pub ip: String,
    /// The id of the request, or `""`; it goes, too.
    pub request_id: String,
    /// Why, as a comment, or `""`.
    pub comment: String,
    /// Its state.
    pub state: AskedState,
    /// Why it is in this state, or `""`.
    pub detail: String,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// When the request was sent.
    pub sent_at: Timestamp,
    /// When it was settled; 0: it is not.
    pub settled_at: Timestamp,
}

impl AskedEnd {
    /// The end of the session, as the history keeps it.
    #[must_use]
    pub fn end(&self, at: Timestamp) -> End {
        let by = self.actor_uuid.map(UserKey::Uuid);
        let reason = crate::domain::EndReason::Revoked;
        End { at, by, by_name: self.actor.clone(), reason, comment: self.comment.clone() }
    }
}

impl FromRow for AskedEnd {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.int()?,
            uuid: SessionId(row.uuid()?),
            actor_uuid: row.opt_uuid()?,
            actor: row.text()?,
            ip: row.text()?,
            request_id: row.text()?,
            comment: row.text()?,
            state: AskedState::parse(&row.text()?).ok_or(StoreError::Corrupt("the state of an end that was asked for"))?,
            detail: row.text()?,
            asked_at: row.timestamp()?,
            sent_at: row.timestamp()?,
            settled_at: row.timestamp()?,
        })
    }
}

const COLUMNS: &str = "id, uuid, actor_uuid, actor, ip, request_id, comment, state, detail, asked_at, sent_at, settled_at";
/// Those whose outcome is not known.
const OPEN: &str = "state IN ('sent', 'unknown')";

impl Db<'_> {
    /// Holds all other writers of this source up until the transaction ends: what ends and what is copied are judged by
    /// the same rows.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn lock_source(&self, source: SourceId) -> Result<(), StoreError> {
        let sql = format!("SELECT id FROM sources WHERE id = $1{}", self.for_update());
        self.one::<i64>(&sql, &values![source.0]).await.map(drop)
    }

    /// Notes that an end is sent now. Returns whether it may be: not while another end of the session is open.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn ask_end(&self, source: SourceId, uuid: SessionId, ask: &NewAsk, now: Timestamp) -> Result<bool, StoreError> {
        let sql = format!(
            "INSERT INTO asked_ends (source_id, uuid, actor_uuid, actor, ip, request_id, comment, state, asked_at, sent_at) \
             VALUES ($1, $2, (SELECT uuid FROM users WHERE id = $3), $4, $5, $6, $7, $8, $9, $9) \
             ON CONFLICT (source_id, uuid) DO UPDATE SET actor_uuid = excluded.actor_uuid, actor = excluded.actor, \
             ip = excluded.ip, request_id = excluded.request_id, comment = excluded.comment, state = excluded.state, detail = '', \
             asked_at = excluded.asked_at, sent_at = excluded.sent_at, settled_at = 0 WHERE NOT asked_ends.{OPEN}"
        );
        let values = values![
            source.0,
            uuid,
            ask.by.map(|user| user.0),
            ask.actor.as_str(),
            ask.ip.as_str(),
            ask.request_id.as_str(),
            ask.comment.as_str(),
            AskedState::Sent.as_str(),
            now,
        ];
        Ok(self.execute(&sql, &values).await? > 0)
    }

    /// The end of a session that was asked for last; `None`: nobody did, or it was settled long ago.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_asked_end(&self, source: SourceId, uuid: SessionId) -> Result<Option<AskedEnd>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM asked_ends WHERE source_id = $1 AND uuid = $2");
        self.one(&sql, &values![source.0, uuid]).await
    }

    /// Ends whose outcome is not known, the oldest first: those without an answer, and those that were sent before this
    /// time.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_open_ends(&self, source: SourceId, sent_before: Timestamp) -> Result<Vec<AskedEnd>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM asked_ends WHERE source_id = $1 AND {OPEN} AND (state = $2 OR sent_at < $3) ORDER BY id"
        );
        self.all(&sql, &values![source.0, AskedState::Unknown.as_str(), sent_before]).await
    }

    /// Those of these sessions whose end was asked for and is not settled.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_open_ends_of(&self, source: SourceId, uuids: &[SessionId]) -> Result<Vec<AskedEnd>, StoreError> {
        let (these, values) = in_list(values![source.0], uuids.iter().copied());
        let sql = format!("SELECT {COLUMNS} FROM asked_ends WHERE source_id = $1 AND {OPEN} AND uuid IN ({these})");
        self.all(&sql, &values).await
    }

    /// How many ends have no known outcome.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_unknown_ends(&self, source: SourceId) -> Result<i64, StoreError> {
        let sql = "SELECT count(*) FROM asked_ends WHERE source_id = $1 AND state = $2";
        Ok(self.one::<i64>(sql, &values![source.0, AskedState::Unknown.as_str()]).await?.unwrap_or(0))
    }

    /// Those of these sessions that ended here since then: an older answer of the source may still show them.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_ended_since(
        &self,
        source: SourceId,
        uuids: &[SessionId],
        since: Timestamp,
    ) -> Result<Vec<SessionId>, StoreError> {
        let (these, values) = in_list(values![source.0, AskedState::Ended.as_str(), since], uuids.iter().copied());
        let sql =
            format!("SELECT uuid FROM asked_ends WHERE source_id = $1 AND state = $2 AND settled_at >= $3 AND uuid IN ({these})");
        Ok(self.all::<Uuid>(&sql, &values).await?.into_iter().map(SessionId).collect())
    }

    /// Writes that the outcome of an end is not known, unless it was settled by then.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn doubt_asked_end(&self, id: i64, detail: &str) -> Result<(), StoreError> {
        let sql = format!("UPDATE asked_ends SET state = $2, detail = $3 WHERE id = $1 AND {OPEN}");
        self.execute(&sql, &values![id, AskedState::Unknown.as_str(), detail]).await.map(drop)
    }

    /// Settles an end, unless it was settled by then. Returns whether it was open.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn settle_asked_end(&self, id: i64, state: AskedState, detail: &str, now: Timestamp) -> Result<bool, StoreError> {
        let sql = format!(
            "UPDATE asked_ends SET state = $2, detail = $3, settled_at = $4, ip = '', request_id = '' WHERE id = $1 AND {OPEN}"
        );
        Ok(self.execute(&sql, &values![id, state.as_str(), detail, now]).await? > 0)
    }

    /// Forgets an end that did not take place.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn forget_asked_end(&self, id: i64) -> Result<(), StoreError> {
        self.execute(&format!("DELETE FROM asked_ends WHERE id = $1 AND {OPEN}"), &values![id]).await.map(drop)
    }

    /// Deletes ends that were settled more than a day ago.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_old_asked_ends(&self, now: Timestamp) -> Result<(), StoreError> {
        let sql = "DELETE FROM asked_ends WHERE settled_at > 0 AND settled_at < $1";
        self.execute(sql, &values![now.minus(KEPT)]).await.map(drop)
    }

    /// Takes a user who is gone out of the ends that they asked for.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn erase_asked_ends(&self, user: Option<Uuid>, erased: &str) -> Result<(), StoreError> {
        let sql = "UPDATE asked_ends SET actor_uuid = NULL, actor = $2, ip = '', request_id = '' WHERE actor_uuid = $1";
        self.execute(sql, &values![user, erased]).await.map(drop)
    }
}
