//! Writes to rows of sessions. A row of `session_rows` is a session only while no pending end names it,
//! and a pending end can be recorded at any moment. So a write follows one rule: lock the row, then
//! look whether it is still a session in a second statement. On PostgreSQL a statement sees what was
//! committed before it began, not what it waited for, so one statement alone cannot do both.
//!
//! The type enforces the rule: `LockedRows` is made by locking, and all statements that change or
//! delete rows are its methods, which look again. No other file writes to rows that are there
//! (`tests/it/store/locked_rows.rs`). Rows are locked in the order of their keys, before anything else of
//! them. SQLite has one writer and needs no locks.

use std::collections::HashMap;

use crate::domain::application::session::EndedAppSession;
use crate::domain::fold::fold;
use crate::domain::{SessionId, Timestamp, UserId};
use crate::store::applications::app_sessions::{EndedRow, by_session, delete_of_rows};
use crate::store::db::statements::{Statement, insert_shaped, named};
use crate::store::events::rows::user_key;
use crate::store::oidc::notice_queue::stamp;
use crate::store::sessions::history::{ENDED_SHAPE, End, INSERT_ENDED_SESSIONS};
use crate::store::sessions::pending_rows::IS_NOT_PENDING;
use crate::store::{CountKey, Db, FromRow, Row, StoreError, Value};
use crate::values;

/// Rows of sessions that this transaction has locked. They may have ended before they were locked.
pub(in crate::store) struct LockedRows<'d> {
    db: &'d Db<'d>,
    /// Their keys, ascending.
    ids: Vec<i64>,
}

/// How the removed rows are locked, and when the history is written.
enum Taking<'r> {
    /// The rows are locked. The history is written at once.
    Locked(&'r LockedRows<'r>),
    /// This statement locks the row; it is sent in one pipeline with the one that deletes it,
    /// before it. The history is written at the end of the transaction, which saves a round trip.
    LockedBy(Statement),
}

/// Which of the locked rows are removed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Those that are sessions.
    Live,
    /// All: a pending end was recorded of them, and they are counted as ended.
    Pending,
}

/// A session that was ended just now.
#[derive(Clone, Debug)]
pub struct GoneSession {
    /// The session's UUID.
    pub uuid: SessionId,
    /// The primary key of its user.
    pub user_id: UserId,
    /// The uuid of its user.
    pub user_uuid: uuid::Uuid,
    /// The name of its user.
    pub username: String,
}

/// The columns of a row that the history keeps.
struct RemovedRow {
    id: i64,
    uuid: SessionId,
    user_id: i64,
    created_at: Timestamp,
    last_used_at: Timestamp,
    expires_at: Timestamp,
    last_ip: String,
    last_ip_key: Vec<u8>,
    user_agent_id: i64,
    country: String,
    asn: Option<i64>,
    methods: String,
    is_remembered: bool,
    is_known_device: bool,
    label: String,
    user_uuid: uuid::Uuid,
    username: String,
}

const REMOVED_COLUMNS: &str = "id, uuid, user_id, created_at, last_used_at, expires_at, last_ip, last_ip_key, user_agent_id, \
    country, asn, methods, is_remembered, is_known_device, label, (SELECT u.uuid FROM users u WHERE u.id = session_rows.user_id), \
    (SELECT u.username FROM users u WHERE u.id = session_rows.user_id)";

impl FromRow for RemovedRow {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.int()?,
            uuid: SessionId(row.uuid()?),
            user_id: row.int()?,
            created_at: row.timestamp()?,
            last_used_at: row.timestamp()?,
            expires_at: row.timestamp()?,
            last_ip: row.text()?,
            last_ip_key: row.bytes()?,
            user_agent_id: row.int()?,
            country: row.text()?,
            asn: row.opt_int()?,
            methods: row.text()?,
            is_remembered: row.bool()?,
            is_known_device: row.bool()?,
            label: row.text()?,
            user_uuid: row.uuid()?,
            username: row.text()?,
        })
    }
}

impl Db<'_> {
    /// Locks the rows of these keys, in the order of the keys.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(in crate::store) async fn lock_rows(&self, ids: &[i64]) -> Result<LockedRows<'_>, StoreError> {
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids.dedup();
        if !self.is_sqlite() && !ids.is_empty() {
            let mut values = Vec::new();
            let named = named("id", &mut values, &ids);
            self.all::<i64>(&format!("SELECT id FROM session_rows WHERE {named} ORDER BY id FOR UPDATE"), &values).await?;
        }
        Ok(LockedRows { db: self, ids })
    }

    /// Locks the rows of at most `limit` sessions for which the condition holds.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(in crate::store) async fn lock_sessions(
        &self,
        (condition, values): (&str, &[Value]),
        limit: i64,
    ) -> Result<LockedRows<'_>, StoreError> {
        let sql = format!("SELECT id FROM sessions WHERE {condition} ORDER BY id LIMIT {limit}{}", self.for_update());
        Ok(LockedRows { db: self, ids: self.all(&sql, values).await? })
    }

    /// Ends the one session for which the condition holds, in few round trips: its history is
    /// written at the end of the transaction.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(in crate::store) async fn take_one(
        &self,
        (condition, values): (&str, Vec<Value>),
        end: &End,
    ) -> Result<Option<GoneSession>, StoreError> {
        let lock = format!("SELECT id FROM sessions WHERE {condition}{}", self.for_update());
        let lock = Taking::LockedBy(Statement::new(lock, values.clone()));
        Ok(self.take_rows(lock, (condition, values), Kind::Live, end).await?.pop())
    }

    /// Removes rows from `session_rows` and adds them to the history. Every end uses this function:
    /// single ends, ends of many, pending ends that are moved, imports, removals and erasures of
    /// users. Their app sessions end first: no other code may delete them, and the foreign key makes sure.
    async fn take_rows(
        &self,
        taking: Taking<'_>,
        (condition, values): (&str, Vec<Value>),
        kind: Kind,
        end: &End,
    ) -> Result<Vec<GoneSession>, StoreError> {
        let mut values = values;
        let of_these = match &taking {
            Taking::Locked(rows) => named("id", &mut values, &rows.ids),
            Taking::LockedBy(_) => String::new(),
        };
        let of_these = if of_these.is_empty() { of_these } else { format!("{of_these} AND ") };
        let is_live = if kind == Kind::Live { format!(" AND {IS_NOT_PENDING}") } else { String::new() };
        let condition = format!("{condition}{is_live}");
        // The same keys under the other table's name for them.
        let of_their_sessions = if of_these.is_empty() { String::new() } else { format!("session_{of_these}") };
        let end_apps = delete_of_rows(&of_their_sessions, &condition);
        let delete = format!("DELETE FROM session_rows WHERE {of_these}{condition} RETURNING {REMOVED_COLUMNS}");
        let (apps, removed): (Vec<EndedRow>, Vec<RemovedRow>) = match &taking {
            Taking::LockedBy(lock) if !self.is_sqlite() => {
                self.prepare(&[&lock.sql, &end_apps, &delete]).await?;
                // Sent in one pipeline. The second statement begins when the first has the lock,
                // and sees what the first waited for.
                let locked = self.all::<i64>(&lock.sql, &lock.values);
                let (_, apps, removed) =
                    tokio::try_join!(biased; locked, self.all(&end_apps, &values), self.all(&delete, &values))?;
                (apps, removed)
            }
            _ => (self.all(&end_apps, &values).await?, self.all(&delete, &values).await?),
        };
        // The trigger wrote what their apps are owed.
        let stamps = apps.iter().any(EndedRow::has_client).then(|| stamp(end.at));
        let apps = by_session(apps);
        if kind == Kind::Live {
            for row in &removed {
                self.note_change(row.id);
                self.add_to_counts(CountKey::of_session(row.user_id, row.user_agent_id, &row.country, row.asn), -1);
            }
            self.note_ended(end.reason.as_str(), removed.len());
        }
        let (gone, rows) = self.kept(removed, &apps, end);
        let mut inserts = insert_shaped(INSERT_ENDED_SESSIONS, ENDED_SHAPE, &rows, "");
        inserts.extend(stamps);
        match taking {
            Taking::LockedBy(_) => self.run_last(inserts),
            Taking::Locked(_) => {
                for Statement { sql, values } in inserts {
                    self.execute(&sql, &values).await?;
                }
            }
        }
        Ok(gone)
    }

    /// Removed sessions, and their rows of the history.
    fn kept(
        &self,
        removed: Vec<RemovedRow>,
        apps: &HashMap<i64, Vec<EndedAppSession>>,
        end: &End,
    ) -> (Vec<GoneSession>, Vec<Vec<Value>>) {
        let mut rows = Vec::with_capacity(removed.len());
        let mut gone = Vec::with_capacity(removed.len());
        for row in removed {
            self.add_to_counts([CountKey::Ended, CountKey::EndedOfUser(row.user_uuid)], 1);
            let folded = fold(&row.username);
            let applications = EndedAppSession::list_to_json(apps.get(&row.id).map(Vec::as_slice).unwrap_or_default());
            let (user_id, user_uuid) = (UserId(row.user_id), row.user_uuid);
            gone.push(GoneSession { uuid: row.uuid, user_id, user_uuid, username: row.username.clone() });
            let mut values = values![
                row.uuid,
                row.user_uuid,
                row.username,
                folded,
                row.created_at,
                row.last_used_at,
                row.expires_at,
                row.last_ip,
                row.last_ip_key,
                row.user_agent_id,
                row.country,
                row.asn,
                row.methods,
                row.is_remembered,
                row.is_known_device,
                row.label,
                applications,
                end.at,
            ]
            .to_vec();
            values.extend(user_key(end.by));
            values.extend(values![end.by_name.as_str(), end.reason.as_str(), end.comment.as_str()]);
            rows.push(values);
        }
        (gone, rows)
    }
}

impl LockedRows<'_> {
    /// The keys of the rows, ascending.
    pub fn ids(&self) -> &[i64] {
        &self.ids
    }

    /// Columns of the sessions `s` among the rows, now that they are locked, for which the condition holds.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn read<T: FromRow>(&self, columns: &str, (condition, values): (&str, Vec<Value>)) -> Result<Vec<T>, StoreError> {
        if self.ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut values = values;
        let named = named("s.id", &mut values, &self.ids);
        self.db.all(&format!("SELECT {columns} FROM sessions s WHERE {named} AND {condition}"), &values).await
    }

    /// Changes the sessions among the rows for which the condition holds: `set` is the text after `SET`. Gives the
    /// keys of the changed ones.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn update(&self, set: &str, (condition, values): (&str, Vec<Value>)) -> Result<Vec<i64>, StoreError> {
        self.update_some(&self.ids, set, (condition, values)).await
    }

    /// The same for those of the rows that have one of these keys.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn update_some(
        &self,
        ids: &[i64],
        set: &str,
        (condition, values): (&str, Vec<Value>),
    ) -> Result<Vec<i64>, StoreError> {
        let ids: Vec<i64> = ids.iter().copied().filter(|id| self.ids.binary_search(id).is_ok()).collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut values = values;
        let named = named("session_rows.id", &mut values, &ids);
        let sql =
            format!("UPDATE session_rows SET {set} WHERE {condition} AND {named} AND {IS_NOT_PENDING} RETURNING session_rows.id");
        self.db.all(&sql, &values).await
    }

    /// Changes the sessions among the rows to what `source`, a query called `v`, has for them by its column `id`. Gives
    /// the keys of the changed ones.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn update_from(&self, set: &str, (source, values): (&str, Vec<Value>)) -> Result<Vec<i64>, StoreError> {
        if self.ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut values = values;
        let named = named("session_rows.id", &mut values, &self.ids);
        let sql = format!(
            "UPDATE session_rows SET {set} FROM ({source}) AS v WHERE session_rows.id = v.id AND {named} AND {IS_NOT_PENDING} \
             RETURNING session_rows.id"
        );
        self.db.all(&sql, &values).await
    }

    /// Ends the sessions among the rows for which the condition holds, and gives them.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn take(self, condition: (&str, Vec<Value>), end: &End) -> Result<Vec<GoneSession>, StoreError> {
        self.take_kind(condition, Kind::Live, end).await
    }

    /// Moves rows that a pending end names to the history, and gives them.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn take_pending(self, end: &End) -> Result<Vec<GoneSession>, StoreError> {
        self.take_kind(("TRUE", Vec::new()), Kind::Pending, end).await
    }

    async fn take_kind(self, condition: (&str, Vec<Value>), kind: Kind, end: &End) -> Result<Vec<GoneSession>, StoreError> {
        if self.ids.is_empty() {
            return Ok(Vec::new());
        }
        self.db.take_rows(Taking::Locked(&self), condition, kind, end).await
    }
}
