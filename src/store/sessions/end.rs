//! Ends of sessions: a row leaves the sessions and joins the ended ones, in one transaction. Ends of
//! very many go another way first: [`crate::store::sessions::pending_end`].

use crate::domain::fold::fold;
use crate::domain::listing::SessionFilter;
use crate::domain::{HashedSecret, SessionId, Timestamp, UserId};
use crate::store::db::statements::{insert_statements, named};
use crate::store::events::rows::EventRow;
use crate::store::sessions::conditions::{Conditions, Keys};
use crate::store::sessions::history::{Ending, INSERT_ENDED_SESSIONS};
use crate::store::sessions::live::IS_LIVE;
use crate::store::{CountKey, Db, FromRow, Row, StoreError, Value};
use crate::values;

/// Which sessions to end.
#[derive(Clone, Debug)]
pub enum Which {
    /// The one of that name.
    Uuid(SessionId),
    /// Those of these names.
    Uuids(Vec<SessionId>),
    /// The one whose key hashes to this.
    Key(HashedSecret),
    /// All of these users.
    Users(Vec<i64>),
    /// All of this user but the one of that name.
    UserExcept(UserId, SessionId),
    /// All whose time was over at this instant.
    ExpiredAt(Timestamp),
}

impl Which {
    pub(in crate::store) fn condition(&self) -> (String, Vec<Value>) {
        match self {
            Self::Uuid(uuid) => ("uuid = $1".into(), values![*uuid].to_vec()),
            Self::Uuids(ids) => (
                format!("uuid IN ({})", crate::store::db::statements::placeholders(0, ids.len())),
                ids.iter().map(|id| (*id).into()).collect(),
            ),
            Self::Key(hash) => ("key_hash = $1".into(), values![*hash].to_vec()),
            Self::Users(ids) => (
                format!("user_id IN ({})", crate::store::db::statements::placeholders(0, ids.len())),
                ids.iter().map(|id| (*id).into()).collect(),
            ),
            Self::UserExcept(user, uuid) => ("user_id = $1 AND uuid <> $2".into(), values![*user, *uuid].to_vec()),
            Self::ExpiredAt(now) => ("expires_at <= $1".into(), values![*now].to_vec()),
        }
    }
}

/// A session that was removed just now.
#[derive(Clone, Debug)]
pub struct GoneSession {
    /// What named it.
    pub uuid: SessionId,
    /// Whose it was.
    pub user_id: UserId,
    /// Their name.
    pub username: String,
}

/// All of a row, on its way to the ended ones.
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
    username: String,
}

const REMOVED_COLUMNS: &str = "id, uuid, user_id, created_at, last_used_at, expires_at, last_ip, last_ip_key, user_agent_id, \
    country, asn, methods, is_remembered, is_known_device, label, (SELECT u.username FROM users u WHERE u.id = session_rows.user_id)";

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
            username: row.text()?,
        })
    }
}

/// Sessions that matched a filter.
#[derive(Clone, Debug, Default)]
pub struct Matching {
    /// Their keys, ascending.
    pub ids: Vec<i64>,
    /// What the filter's names stand for; `None`: for nothing.
    pub(in crate::store) keys: Option<Keys>,
}

/// How sessions that matched a filter are ended.
#[derive(Clone, Debug)]
pub struct MatchingEnd {
    filter: SessionFilter,
    keys: Option<Keys>,
    except: Option<SessionId>,
}

impl MatchingEnd {
    /// Ends `matching`, which came from this filter without `except`.
    #[must_use]
    pub fn new(matching: &Matching, filter: &SessionFilter, except: Option<SessionId>) -> Self {
        Self { filter: filter.clone(), keys: matching.keys, except }
    }
}

impl Db<'_> {
    /// Ends at most `limit` of the sessions that `which` names: moves them to the ended ones and
    /// gives them. The condition holds at the moment of removal, so a session that was used in
    /// between is not taken for an expired one.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn end_sessions(&self, which: &Which, limit: i64, ending: &Ending) -> Result<Vec<GoneSession>, StoreError> {
        let ids = self.lock_sessions(which, limit).await?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let (condition, mut values) = which.condition();
        let named = named("id", &mut values, &ids);
        self.end_rows(&format!("{named} AND {condition}"), &values, ending).await
    }

    /// Ends the session of that name, as [`Db::end_sessions`] does and in fewer round trips. What is
    /// kept of it is written with the commit: nothing in the same transaction sees it before.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn end_one(&self, uuid: SessionId, ending: &Ending) -> Result<Option<GoneSession>, StoreError> {
        let (condition, values) = Which::Uuid(uuid).condition();
        let remove = format!("DELETE FROM session_rows WHERE {condition} AND {IS_LIVE} RETURNING {REMOVED_COLUMNS}");
        let removed: Vec<RemovedRow> = if self.is_sqlite() {
            self.all(&remove, &values).await?
        } else {
            let lock = format!("SELECT id FROM sessions WHERE {condition}{}", self.for_update());
            self.prepare(&[&lock, &remove]).await?;
            // Sent one behind the other. The second begins when the first has what it waited for, and sees that.
            tokio::try_join!(biased; self.all::<i64>(&lock, &values), self.all(&remove, &values))?.1
        };
        self.note_removed(&removed, ending);
        let (mut gone, rows) = self.kept(removed, ending);
        self.run_last(insert_statements(INSERT_ENDED_SESSIONS, &rows, ""));
        Ok(gone.pop())
    }

    /// The keys of at most `limit` sessions that `which` names, ascending; their rows are locked on
    /// PostgreSQL, and may have ended or changed before they were.
    pub(in crate::store) async fn lock_sessions(&self, which: &Which, limit: i64) -> Result<Vec<i64>, StoreError> {
        let (condition, values) = which.condition();
        let sql = format!("SELECT id FROM sessions WHERE {condition} ORDER BY id LIMIT {limit}{}", self.for_update());
        self.all(&sql, &values).await
    }

    /// The keys of the sessions that match a filter, but for `except`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_matching(&self, filter: &SessionFilter, except: Option<SessionId>) -> Result<Matching, StoreError> {
        let Some(keys) = self.resolve(filter).await? else { return Ok(Matching::default()) };
        let mut conditions = self.conditions(filter, keys);
        if let Some(uuid) = except {
            conditions.compare("s.uuid", "<>", uuid);
        }
        let sql = format!("SELECT s.id FROM sessions s{}", conditions.where_clause(&[], true));
        let mut ids = self.all::<i64>(&sql, &conditions.values).await?;
        ids.sort_unstable();
        Ok(Matching { ids, keys: Some(keys) })
    }

    /// Ends those of the sessions `ids`, which matched the filter, that match it still, but for
    /// `except`; and gives them.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn end_matching(&self, ids: &[i64], ended: &MatchingEnd, ending: &Ending) -> Result<Vec<GoneSession>, StoreError> {
        let Some(mut conditions) = self.conditions_of(ended).filter(|_| !ids.is_empty()) else { return Ok(Vec::new()) };
        self.lock_rows(ids).await?;
        let named = named("s.id", &mut conditions.values, ids);
        let matching = format!("id IN (SELECT s.id FROM sessions s{})", conditions.where_clause(&[&named], !self.is_sqlite()));
        self.end_rows(&matching, &conditions.values, ending).await
    }

    /// What still holds for a row that matched a filter; `None`: nothing did.
    pub(in crate::store) fn conditions_of(&self, ended: &MatchingEnd) -> Option<Conditions> {
        let mut conditions = self.row_conditions(&ended.filter, ended.keys?);
        if let Some(uuid) = ended.except {
            conditions.compare("s.uuid", "<>", uuid);
        }
        Some(conditions)
    }

    /// Removes the sessions for which the condition holds, and keeps what is kept of them. Their rows are
    /// locked.
    async fn end_rows(&self, condition: &str, values: &[Value], ending: &Ending) -> Result<Vec<GoneSession>, StoreError> {
        let removed = self.delete_rows(&format!("{condition} AND {IS_LIVE}"), values).await?;
        self.note_removed(&removed, ending);
        self.keep(removed, ending).await
    }

    fn note_removed(&self, removed: &[RemovedRow], ending: &Ending) {
        for row in removed {
            self.note_change(row.id);
            self.add_to_counts(CountKey::of_session(row.user_id, row.user_agent_id, &row.country, row.asn), -1);
        }
        self.note_ended(ending.reason.as_str(), removed.len());
    }

    /// Removes rows of sessions that were revoked before, and keeps what is kept of them.
    pub(in crate::store) async fn remove_rows(
        &self,
        condition: &str,
        values: &[Value],
        ending: &Ending,
    ) -> Result<Vec<GoneSession>, StoreError> {
        let removed = self.delete_rows(condition, values).await?;
        self.keep(removed, ending).await
    }

    async fn delete_rows(&self, condition: &str, values: &[Value]) -> Result<Vec<RemovedRow>, StoreError> {
        self.all(&format!("DELETE FROM session_rows WHERE {condition} RETURNING {REMOVED_COLUMNS}"), values).await
    }

    /// Adds what is kept of removed rows to the ended sessions.
    async fn keep(&self, removed: Vec<RemovedRow>, ending: &Ending) -> Result<Vec<GoneSession>, StoreError> {
        let (gone, rows) = self.kept(removed, ending);
        self.insert_rows(INSERT_ENDED_SESSIONS, rows, "").await?;
        Ok(gone)
    }

    /// Removed sessions, and the rows of what is kept of them.
    fn kept(&self, removed: Vec<RemovedRow>, ending: &Ending) -> (Vec<GoneSession>, Vec<Vec<Value>>) {
        let mut rows = Vec::with_capacity(removed.len());
        let mut gone = Vec::with_capacity(removed.len());
        for row in removed {
            self.add_to_counts([CountKey::Ended, CountKey::EndedOfUser(row.user_id)], 1);
            let folded = fold(&row.username);
            gone.push(GoneSession { uuid: row.uuid, user_id: UserId(row.user_id), username: row.username.clone() });
            rows.push(
                values![
                    row.uuid,
                    row.user_id,
                    row.username,
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
                    ending.at,
                    ending.by,
                    ending.by_name.as_str(),
                    ending.reason.as_str(),
                    ending.comment.as_str(),
                    folded,
                ]
                .to_vec(),
            );
        }
        (gone, rows)
    }

    /// Removes users, groups and tokens, and ends all sessions: what `import --replace` does first.
    /// `event` is the record of each end. Events, the dictionary of user agents, and what is kept of
    /// ended sessions stay; those are nobody's now, since the users are no more. Revoked sessions are moved
    /// before.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_everything(&self, ending: &Ending, event: &EventRow) -> Result<(), StoreError> {
        let sql = "INSERT INTO events (at, kind, actor_id, actor, user_id, username, ip, request_id, session_uuid, detail) \
            SELECT $1, $2, $3, $4, s.user_id, u.username, $5, $6, s.uuid, $7 FROM sessions s JOIN users u ON u.id = s.user_id";
        let EventRow { at, kind, actor_id, actor, ip, request_id, detail, .. } = event;
        let values = values![*at, kind, *actor_id, actor, ip, request_id, detail];
        self.execute(sql, &values).await?;
        let sql = "INSERT INTO ended_sessions (uuid, user_id, username, username_folded, created_at, last_used_at, expires_at, \
            last_ip, last_ip_key, user_agent_id, country, asn, methods, is_remembered, is_known_device, label, ended_at, ended_by, \
            ended_by_name, reason, comment) SELECT s.uuid, 0, u.username, u.username_folded, s.created_at, s.last_used_at, s.expires_at, \
            s.last_ip, s.last_ip_key, s.user_agent_id, s.country, s.asn, s.methods, s.is_remembered, s.is_known_device, s.label, $1, $2, $3, $4, $5 \
            FROM sessions s JOIN users u ON u.id = s.user_id";
        let Ending { at, by, by_name, reason, comment } = ending;
        self.execute(sql, &values![*at, *by, by_name, reason.as_str(), comment]).await?;
        self.execute("UPDATE ended_sessions SET user_id = 0 WHERE user_id <> 0", &[]).await?;
        for table in [
            "session_rows",
            "pending_sign_ins",
            "known_devices",
            "recovery_codes",
            "authenticators",
            "user_handles",
            "tokens",
            "memberships",
            "groups",
            "users",
        ] {
            self.execute(&format!("DELETE FROM {table}"), &[]).await?;
        }
        self.clear_revocations().await?;
        self.restart_changes().await?;
        self.clear_counts().await?;
        let ended = self.one::<i64>("SELECT count(*) FROM ended_sessions", &[]).await?.unwrap_or(0);
        self.add_to_counts([CountKey::Ended, CountKey::EndedOfUser(0)], ended);
        Ok(())
    }
}
