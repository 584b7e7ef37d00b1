//! Ends of sessions of a source that somebody asked for here. A row is written before the request is sent.

use std::time::Duration;

use uuid::Uuid;

use crate::domain::caller::Actor;
use crate::domain::source::{AskedState, SourceId};
use crate::domain::{SessionId, Timestamp, UserId, UserKey};
use crate::store::db::statements::in_list;
use crate::store::sessions::history::End;
use crate::store::watch::sources::SourceRow;
use crate::store::{Db, FromRow, Row, StoreError, Value};
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

impl NewAsk {
    /// An end that this caller asks for.
    #[must_use]
    pub fn of(actor: &Actor, comment: &str) -> Self {
        Self {
            by: actor.id,
            actor: actor.name.clone(),
            ip: actor.ip.map(|ip| ip.to_string()).unwrap_or_default(),
            request_id: actor.request_id.clone(),
            comment: comment.to_owned(),
        }
    }
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
    /// The primary key of its user at the source.
    pub user_pk: i64,
    /// The key of the event that its event is a part of.
    pub event: Option<i64>,
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
            user_pk: row.int()?,
            event: row.opt_int()?,
        })
    }
}

const COLUMNS: &str = "id, uuid, actor_uuid, actor, ip, request_id, comment, state, detail, asked_at, sent_at, settled_at, \
    user_pk, event_id";
/// Those whose outcome is not known.
const OPEN: &str = "state IN ('sent', 'unknown')";
/// Those of which nothing more is to be found out.
const SETTLED: &str = "state IN ('ended', 'still_there', 'gone', 'lost')";

impl Db<'_> {
    /// Holds all other writers of this source up until the transaction ends: what ends and what is copied are judged by
    /// the same rows. Returns whether the source is still this instance.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn lock_source(&self, source: &SourceRow) -> Result<bool, StoreError> {
        let sql = format!("SELECT instance FROM sources WHERE id = $1{}", self.for_update());
        Ok(self.one::<i64>(&sql, &values![source.id.0]).await? == Some(source.instance))
    }

    /// Notes that an end is sent now. Returns whether it may be: not while another end of the session is open, or waits.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn ask_end(
        &self,
        source: SourceId,
        (uuid, user): (SessionId, i64),
        ask: &NewAsk,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let sql = format!(
            "INSERT INTO asked_ends (source_id, uuid, actor_uuid, actor, ip, request_id, comment, state, asked_at, sent_at, \
             user_pk) VALUES ($1, $2, (SELECT uuid FROM users WHERE id = $3), $4, $5, $6, $7, $8, $9, $9, $10) \
             ON CONFLICT (source_id, uuid) DO UPDATE SET actor_uuid = excluded.actor_uuid, actor = excluded.actor, \
             ip = excluded.ip, request_id = excluded.request_id, comment = excluded.comment, state = excluded.state, detail = '', \
             asked_at = excluded.asked_at, sent_at = excluded.sent_at, settled_at = 0, user_pk = excluded.user_pk, \
             job_id = NULL, event_id = NULL WHERE asked_ends.{SETTLED}"
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
            user,
        ];
        Ok(self.execute(&sql, &values).await? > 0)
    }

    /// Adds sessions to a job: they wait, but for those whose end was asked for otherwise and is not settled.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn wait_ends(
        &self,
        source: SourceId,
        (job, event): (i64, i64),
        these: &[(SessionId, i64)],
        ask: &NewAsk,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let by = match ask.by {
            Some(user) => self.one::<Uuid>("SELECT uuid FROM users WHERE id = $1", &values![user.0]).await?,
            None => None,
        };
        let rows = these.iter().map(|(uuid, user)| {
            values![
                source.0,
                *uuid,
                by,
                ask.actor.as_str(),
                ask.ip.as_str(),
                ask.request_id.as_str(),
                ask.comment.as_str(),
                AskedState::Waiting.as_str(),
                now,
                *user,
                job,
                event,
            ]
            .to_vec()
        });
        let start = "INSERT INTO asked_ends (source_id, uuid, actor_uuid, actor, ip, request_id, comment, state, asked_at, user_pk, \
            job_id, event_id) VALUES ";
        let end = format!(
            " ON CONFLICT (source_id, uuid) DO UPDATE SET actor_uuid = excluded.actor_uuid, actor = excluded.actor, \
             ip = excluded.ip, request_id = excluded.request_id, comment = excluded.comment, state = excluded.state, detail = '', \
             asked_at = excluded.asked_at, sent_at = 0, settled_at = 0, user_pk = excluded.user_pk, job_id = excluded.job_id, \
             event_id = excluded.event_id WHERE asked_ends.{SETTLED}"
        );
        self.insert_rows(start, rows.collect::<Vec<Vec<Value>>>(), &end).await
    }

    /// The sessions of a job that wait, in order, at most `limit`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_waiting(&self, job: i64, limit: i64) -> Result<Vec<AskedEnd>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM asked_ends WHERE job_id = $1 AND state = $2 ORDER BY id LIMIT $3");
        self.all(&sql, &values![job, AskedState::Waiting.as_str(), limit]).await
    }

    /// How many sessions of a job are in each state.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_asked(&self, job: i64) -> Result<Vec<(String, i64)>, StoreError> {
        self.all("SELECT state, count(*) FROM asked_ends WHERE job_id = $1 GROUP BY state", &values![job]).await
    }

    /// Notes that the ends of these sessions of a job are sent now, and gives of how many that holds.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn mark_sent(&self, ids: &[i64], now: Timestamp) -> Result<u64, StoreError> {
        let mut marked = 0;
        for ids in ids.chunks(512) {
            let start = values![AskedState::Sent.as_str(), now, AskedState::Waiting.as_str()];
            let (these, values) = in_list(start, ids.iter().copied());
            let sql = format!("UPDATE asked_ends SET state = $1, sent_at = $2 WHERE state = $3 AND id IN ({these})");
            marked += self.execute(&sql, &values).await?;
        }
        Ok(marked)
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

    /// Writes that the outcome of these ends is not known, but of those that were settled by then.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn doubt_asked_ends(&self, ids: &[i64], detail: &str) -> Result<(), StoreError> {
        for ids in ids.chunks(512) {
            let (these, values) = in_list(values![AskedState::Unknown.as_str(), detail], ids.iter().copied());
            let sql = format!("UPDATE asked_ends SET state = $1, detail = $2 WHERE {OPEN} AND id IN ({these})");
            self.execute(&sql, &values).await?;
        }
        Ok(())
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

    /// Takes an end back that did not take place: it is forgotten; one of many waits again, or is settled where the session
    /// was gone already.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn give_up_asked_end(&self, id: i64, is_gone: bool, now: Timestamp) -> Result<(), StoreError> {
        let sql = format!("DELETE FROM asked_ends WHERE id = $1 AND {OPEN} AND job_id IS NULL");
        self.execute(&sql, &values![id]).await?;
        let (state, at) = if is_gone { (AskedState::Gone, now) } else { (AskedState::Waiting, Timestamp(0)) };
        let sql = format!("UPDATE asked_ends SET state = $2, settled_at = $3 WHERE id = $1 AND NOT {SETTLED}");
        self.execute(&sql, &values![id, state.as_str(), at]).await.map(drop)
    }

    /// Deletes ends that were settled more than a day ago.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_old_asked_ends(&self, now: Timestamp) -> Result<(), StoreError> {
        let sql = "DELETE FROM asked_ends WHERE settled_at > 0 AND settled_at < $1 \
            AND NOT EXISTS (SELECT 1 FROM source_jobs j WHERE j.id = asked_ends.job_id)";
        self.execute(sql, &values![now.minus(KEPT)]).await.map(drop)
    }

    /// Takes a user who is gone out of the ends that they asked for.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn erase_asked_ends(&self, user: Option<Uuid>, erased: &str) -> Result<(), StoreError> {
        let sql = "UPDATE asked_ends SET actor_uuid = NULL, actor = $2, ip = '', request_id = '' WHERE actor_uuid = $1";
        self.execute(sql, &values![user, erased]).await?;
        let sql = "UPDATE source_jobs SET actor_uuid = NULL, actor = $2 WHERE actor_uuid = $1";
        self.execute(sql, &values![user, erased]).await.map(drop)
    }
}
