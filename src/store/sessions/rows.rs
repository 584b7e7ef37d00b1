//! The rows of sessions. `sessions` is what lists, checks and ends read; it is a view of `session_rows` without
//! the rows that a pending end refers to ([`crate::store::sessions::pending_end`]). Writes go to
//! `session_rows`.

use std::time::Duration;

pub use crate::domain::listing::SessionRow;
use crate::domain::session::Lifetime;
use crate::domain::{Address, HashedSecret, Methods, SessionId, Timestamp, UserId};
use crate::store::db::statements::insert_statements;
use crate::store::people::users::Rights;
use crate::store::{CountKey, Db, FromRow, Row, StoreError, Value};
use crate::values;

/// A session to add.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// The session's UUID.
    pub uuid: SessionId,
    /// The hash of its key.
    pub key_hash: HashedSecret,
    /// Its user.
    pub user: UserId,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was last used.
    pub last_used_at: Timestamp,
    /// How long it may live.
    pub lifetime: Lifetime,
    /// The address and the user agent.
    pub origin: Origin,
    /// How its user proved who they are; none when imported.
    pub methods: Methods,
    /// Whether the browser was known to its user.
    pub is_known_device: bool,
    /// Whether the user asked to stay signed in.
    pub is_remembered: bool,
}

const NEW_COLUMNS: &str = "uuid, key_hash, user_id, created_at, last_used_at, expires_at, \
    absolute_expires_at, idle_timeout, last_ip, last_ip_key, user_agent_id, country, asn, methods, is_remembered, label, \
    proved_at, is_known_device, proved_ip_key";

impl NewSession {
    fn values(&self) -> [Value; 19] {
        let origin = &self.origin;
        let idle = self.lifetime.idle_timeout.map(|idle| i64::try_from(idle.as_micros()).unwrap_or(i64::MAX));
        values![
            self.uuid,
            self.key_hash,
            self.user,
            self.created_at,
            self.last_used_at,
            self.lifetime.expires_at(self.last_used_at),
            self.lifetime.absolute_expires_at,
            idle,
            origin.ip.to_string(),
            origin.ip.sort_key(),
            origin.user_agent_id,
            origin.country.as_str(),
            origin.asn,
            self.methods.to_string(),
            self.is_remembered,
            "",
            if self.methods == Methods::default() { Timestamp(0) } else { self.created_at },
            self.is_known_device,
            origin.ip.sort_key(),
        ]
    }
}

/// The address and the user agent of a use.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin {
    /// The address.
    pub ip: Address,
    /// The user agent's id in the dictionary.
    pub user_agent_id: i64,
    /// ISO code of the country, or `""`.
    pub country: String,
    /// Autonomous system number.
    pub asn: Option<i64>,
}

/// What the check of a session key reads: enough to accept or refuse a request.
#[derive(Clone, Debug)]
pub struct LiveSession {
    /// Primary key.
    pub id: i64,
    /// The session's UUID.
    pub uuid: SessionId,
    /// Its user.
    pub user_id: UserId,
    /// The user's name.
    pub username: String,
    /// The last use that was written.
    pub last_used_at: Timestamp,
    /// How long it may live.
    pub lifetime: Lifetime,
    /// When its user last proved who they are.
    pub proved_at: Timestamp,
    /// Where that was; of an imported session, where it was last used. `None`: not known.
    pub proved_ip: Option<Address>,
    /// Whether it has the lifetime of "stay signed in".
    pub is_remembered: bool,
    /// How its user proved who they are.
    pub methods: Methods,
    /// Whether a policy of the user's own or of a group of theirs asks for a second factor.
    pub is_factor_required: bool,
    /// What its user may do. Nothing, where the session was found by what an app holds.
    pub rights: Rights,
}

/// `SELECT` with the columns of a [`LiveSession`] of the session `s` and its user `u`, then the rest of the statement.
macro_rules! select_live {
    ($rest:expr) => {
        select_live!(crate::store::people::users::rights_columns!(), $rest)
    };
    ($rights:expr, $rest:expr) => {
        concat!(
            "SELECT s.id, s.uuid, s.user_id, u.username, s.last_used_at, s.absolute_expires_at, s.idle_timeout, s.proved_at, ",
            "s.proved_ip_key, s.is_remembered, s.methods, ",
            "(EXISTS (SELECT 1 FROM user_policies p WHERE p.user_id = s.user_id AND p.require_factor) ",
            "OR EXISTS (SELECT 1 FROM memberships m JOIN group_ancestors a ON a.group_id = m.group_id ",
            "JOIN group_policies p ON p.group_id = a.ancestor_id WHERE m.user_id = s.user_id AND p.require_factor)), ",
            $rights,
            $rest
        )
    };
}
pub(in crate::store) use select_live;

/// The same for what an app holds: a key of the guard, a token of OpenID Connect. Neither may do anything at Rollcall, and
/// the rights are not read.
macro_rules! select_live_for_app {
    ($rest:expr) => {
        $crate::store::sessions::rows::select_live!("FALSE, FALSE, FALSE, FALSE", $rest)
    };
}
pub(in crate::store) use select_live_for_app;

impl FromRow for LiveSession {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.int()?,
            uuid: SessionId(row.uuid()?),
            user_id: UserId(row.int()?),
            username: row.text()?,
            last_used_at: row.timestamp()?,
            lifetime: lifetime(row)?,
            proved_at: row.timestamp()?,
            proved_ip: row.opt_address()?,
            is_remembered: row.bool()?,
            methods: Methods::parse(&row.text()?),
            is_factor_required: row.bool()?,
            rights: Rights::from_row(row)?,
        })
    }
}

pub(in crate::store) fn lifetime(row: &mut Row<'_>) -> Result<Lifetime, StoreError> {
    let absolute_expires_at = row.timestamp()?;
    let idle_timeout = row.opt_int()?.map(|micros| Duration::from_micros(u64::try_from(micros).unwrap_or(0)));
    Ok(Lifetime { idle_timeout, absolute_expires_at })
}

pub(in crate::store) const SESSION_COLUMNS: &str =
    "s.uuid, s.user_id, s.created_at, s.last_used_at, s.expires_at, s.last_ip_key, s.user_agent_id, s.is_remembered";

impl FromRow for SessionRow {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            uuid: SessionId(row.uuid()?),
            user_id: UserId(row.int()?),
            created_at: row.timestamp()?,
            last_used_at: row.timestamp()?,
            expires_at: row.timestamp()?,
            last_ip: row.address()?,
            user_agent_id: row.int()?,
            is_remembered: row.bool()?,
            source: None,
        })
    }
}

/// A use of a session, to be written down.
#[derive(Clone, Debug)]
pub struct Touch {
    /// The session's primary key.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// The address and the user agent.
    pub origin: Origin,
}

impl Db<'_> {
    /// The session with this key, if it has not expired and its user is active. Every request with
    /// a cookie makes this check: one statement, a few index look-ups.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_live_session(&self, key: HashedSecret, now: Timestamp) -> Result<Option<LiveSession>, StoreError> {
        const SQL: &str = select_live!(
            " FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.key_hash = $1 AND s.expires_at > $2 AND u.is_active"
        );
        self.one(SQL, &values![key, now]).await
    }

    /// The session with this UUID, expired or not.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_session(&self, uuid: SessionId) -> Result<Option<SessionRow>, StoreError> {
        let sql = format!("SELECT {SESSION_COLUMNS} FROM sessions s WHERE s.uuid = $1");
        self.one(&sql, &values![uuid]).await
    }

    /// Sessions by UUID, those after `after`, at most `limit`: to walk through all of them.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_sessions_after(&self, after: Option<SessionId>, limit: i64) -> Result<Vec<SessionRow>, StoreError> {
        // The nil UUID is valid, too.
        let (operator, after) = after.map_or((">=", SessionId(uuid::Uuid::nil())), |after| (">", after));
        let sql = format!("SELECT {SESSION_COLUMNS} FROM sessions s WHERE s.uuid {operator} $1 ORDER BY s.uuid LIMIT $2");
        self.all(&sql, &values![after, limit]).await
    }

    /// Adds a session.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when its name or key is taken, or there is no such user.
    pub async fn insert_session(&self, session: &NewSession) -> Result<(), StoreError> {
        self.insert_sessions(std::slice::from_ref(session)).await
    }

    /// Keys for sessions that are to be added, where they can be reserved: on PostgreSQL.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn reserve_session_keys(&self, count: usize) -> Result<Vec<i64>, StoreError> {
        if self.is_sqlite() {
            return Ok(Vec::new());
        }
        let count = i64::try_from(count).unwrap_or(0);
        self.all("SELECT nextval('session_rows_id_seq') FROM generate_series(1, CAST($1 AS BIGINT))", &values![count]).await
    }

    /// Adds sessions. Those with [reserved keys](Db::reserve_session_keys) are added with the last
    /// statements of the transaction, the others at once.
    ///
    /// # Errors
    /// As for [`Db::insert_session`]; the error may come at the transaction's end.
    pub async fn insert_sessions_last(&self, sessions: &[NewSession], keys: &[i64]) -> Result<(), StoreError> {
        let Some(keys) = keys.get(..sessions.len()).filter(|keys| !keys.is_empty()) else {
            return self.insert_sessions(sessions).await;
        };
        let row = |(session, key): (&NewSession, &i64)| std::iter::once((*key).into()).chain(session.values()).collect();
        let rows: Vec<Vec<Value>> = sessions.iter().zip(keys).map(row).collect();
        self.run_last(insert_statements(&format!("INSERT INTO session_rows (id, {NEW_COLUMNS}) VALUES "), &rows, ""));
        self.note_new(sessions, keys);
        Ok(())
    }

    /// Adds sessions.
    ///
    /// # Errors
    /// As for [`Db::insert_session`].
    pub async fn insert_sessions(&self, sessions: &[NewSession]) -> Result<(), StoreError> {
        let rows = sessions.iter().map(|session| session.values().to_vec()).collect();
        let sql = format!("INSERT INTO session_rows ({NEW_COLUMNS}) VALUES ");
        let ids = self.insert_rows_returning::<i64>(&sql, rows, " RETURNING id").await?;
        self.note_new(sessions, &ids);
        Ok(())
    }

    /// Adds new sessions with these keys to the counters and to the change log.
    fn note_new(&self, sessions: &[NewSession], ids: &[i64]) {
        self.note_created(ids.len());
        for id in ids {
            self.note_change(*id);
        }
        for session in sessions {
            let origin = &session.origin;
            self.add_to_counts(CountKey::of_session(session.user.0, origin.user_agent_id, &origin.country, origin.asn), 1);
        }
    }

    /// Sessions after the one with the key `after` (0: from the first) with the address each was
    /// last used from and the country and network stored for it, at most `limit`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_places(&self, after: i64, limit: i64) -> Result<Vec<PlaceRow>, StoreError> {
        let sql = "SELECT id, last_ip_key, user_agent_id, country, asn FROM sessions WHERE id > $1 ORDER BY id LIMIT $2";
        self.all(sql, &values![after, limit]).await
    }
}

/// A session's key, address, and stored place.
#[derive(Clone, Debug)]
pub struct PlaceRow {
    /// Primary key.
    pub id: i64,
    /// The address, the user agent, and the place that is stored for the address.
    pub origin: Origin,
}

impl FromRow for PlaceRow {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        let id = row.int()?;
        let (ip, user_agent_id, country, asn) = (row.address()?, row.int()?, row.text()?, row.opt_int()?);
        Ok(Self { id, origin: Origin { ip, user_agent_id, country, asn } })
    }
}

/// The counters that a session is counted in.
pub(in crate::store) struct Counted {
    pub user_id: i64,
    pub user_agent_id: i64,
    pub country: String,
    pub asn: Option<i64>,
}

impl FromRow for Counted {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self { user_id: row.int()?, user_agent_id: row.int()?, country: row.text()?, asn: row.opt_int()? })
    }
}
