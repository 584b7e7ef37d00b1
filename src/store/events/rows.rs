//! Events: the audit record. Rows are only ever added.

use crate::domain::{SessionId, Timestamp};
use crate::store::db::statements::insert_statements;
use crate::store::{Db, FromRow, Row, StoreError, Value};
use crate::values;

/// An audit record.
#[derive(Clone, Debug)]
pub struct EventRow {
    /// When.
    pub at: Timestamp,
    /// What happened, such as `sign_in` ([`crate::actions::events::EventKind`]).
    pub kind: String,
    /// Who did it: a user's key, if it was one.
    pub actor_id: Option<i64>,
    /// Who did it, in words: a username, `system`, `cli`.
    pub actor: String,
    /// Whom it concerns: a user's key.
    pub user_id: Option<i64>,
    /// Whom it concerns: the name they had, or that was tried.
    pub username: String,
    /// From where, or `""`.
    pub ip: String,
    /// The request it came with, or `""`.
    pub request_id: String,
    /// The session it concerns.
    pub session: Option<SessionId>,
    /// More, in words.
    pub detail: String,
}

impl FromRow for EventRow {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            at: row.timestamp()?,
            kind: row.text()?,
            actor_id: row.opt_int()?,
            actor: row.text()?,
            user_id: row.opt_int()?,
            username: row.text()?,
            ip: row.text()?,
            request_id: row.text()?,
            session: row.opt_uuid()?.map(SessionId),
            detail: row.text()?,
        })
    }
}

const INSERT_EVENTS: &str =
    "INSERT INTO events (at, kind, actor_id, actor, user_id, username, ip, request_id, session_uuid, detail) VALUES ";

impl EventRow {
    fn values(&self) -> Vec<Value> {
        values![
            self.at,
            self.kind.as_str(),
            self.actor_id,
            self.actor.as_str(),
            self.user_id,
            self.username.as_str(),
            self.ip.as_str(),
            self.request_id.as_str(),
            self.session,
            self.detail.as_str(),
        ]
        .to_vec()
    }
}

impl Db<'_> {
    /// Adds records.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn insert_events(&self, events: &[EventRow]) -> Result<(), StoreError> {
        self.insert_rows(INSERT_EVENTS, events.iter().map(EventRow::values).collect(), "").await
    }

    /// Adds records at the transaction's end.
    pub fn insert_events_last(&self, events: &[EventRow]) {
        self.run_last(insert_statements(INSERT_EVENTS, &events.iter().map(EventRow::values).collect::<Vec<_>>(), ""));
    }

    /// Records after the one with the key `after` (0: from the first), oldest first, at most `limit`;
    /// each with its key.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_events(&self, after: i64, limit: i64) -> Result<Vec<(i64, EventRow)>, StoreError> {
        let sql = "SELECT id, at, kind, actor_id, actor, user_id, username, ip, request_id, session_uuid, detail \
            FROM events WHERE id > $1 ORDER BY id LIMIT $2";
        self.all(sql, &values![after, limit]).await
    }
}
