//! App sessions: one row for each session and application. They end with their session: the function that takes rows
//! of sessions out (`store/sessions/locked.rs`) takes them first, and the foreign key refuses anything else.

use std::collections::HashMap;

use uuid::Uuid;

use crate::domain::application::Application;
use crate::domain::application::session::EndedAppSession;
use crate::domain::{SessionId, Timestamp, UserId, secret};
use crate::store::db::conditions::Conditions;
use crate::store::db::statements::{Statement, named};
use crate::store::oidc::notice_queue::stamp;
use crate::store::people::users::no_randomness;
use crate::store::{Db, FromRow, Row, StoreError, Value};
use crate::values;

/// An app session of a live session.
#[derive(Clone, Debug, PartialEq)]
pub struct AppSessionRow {
    /// Primary key.
    pub id: i64,
    /// What names it.
    pub uuid: Uuid,
    /// Its session.
    pub session: SessionId,
    /// The session's user.
    pub user_id: UserId,
    /// Their name.
    pub username: String,
    /// The application, by primary key.
    pub application_id: i64,
    /// The application's slug when it began.
    pub slug: String,
    /// The application's name when it began.
    pub name: String,
    /// The guarded hosts that were opened.
    pub hosts: Vec<String>,
    /// The client that was opened.
    pub client_id: Option<String>,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was last used.
    pub last_used_at: Timestamp,
    /// Until when an app that checks its JWT access tokens by itself may honour one; 0: it has none.
    pub jwt_until: Timestamp,
}

const APP_SESSION_COLUMNS: &str = "k.id, k.uuid, s.uuid, s.user_id, u.username, k.application_id, k.slug, k.name, k.hosts, k.client_id, \
    k.created_at, k.last_used_at, k.jwt_until";

impl FromRow for AppSessionRow {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.int()?,
            uuid: row.uuid()?,
            session: SessionId(row.uuid()?),
            user_id: UserId(row.int()?),
            username: row.text()?,
            application_id: row.int()?,
            slug: row.text()?,
            name: row.text()?,
            hosts: hosts(&row.text()?),
            client_id: row.opt_text()?,
            created_at: row.timestamp()?,
            last_used_at: row.timestamp()?,
            jwt_until: row.timestamp()?,
        })
    }
}

fn hosts(json: &str) -> Vec<String> {
    serde_json::from_str(json).unwrap_or_default()
}

/// The columns of an [`EndedRow`], of the table `app_sessions`.
const ENDED_COLUMNS: &str = "session_id, uuid, slug, name, hosts, client_id, created_at, last_used_at, jwt_until";

/// An app session that was taken out, with the key of its session.
pub(in crate::store) struct EndedRow(i64, EndedAppSession);

impl FromRow for EndedRow {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        let session = row.int()?;
        Ok(Self(
            session,
            EndedAppSession {
                uuid: row.uuid()?.hyphenated().to_string(),
                slug: row.text()?,
                name: row.text()?,
                hosts: hosts(&row.text()?),
                client_id: row.opt_text()?,
                created: row.int()?,
                last_used: row.int()?,
                jwt_until: row.int()?,
            },
        ))
    }
}

impl EndedRow {
    /// Whether its client may be owed a notice.
    pub fn has_client(&self) -> bool {
        self.1.client_id.is_some()
    }
}

/// App sessions by the key of their session.
pub(in crate::store) fn by_session(rows: Vec<EndedRow>) -> HashMap<i64, Vec<EndedAppSession>> {
    let mut by_session: HashMap<i64, Vec<EndedAppSession>> = HashMap::new();
    for EndedRow(session, ended) in rows {
        by_session.entry(session).or_default().push(ended);
    }
    for list in by_session.values_mut() {
        list.sort_unstable_by(|a, b| (a.created, &a.uuid).cmp(&(b.created, &b.uuid)));
    }
    by_session
}

/// The statement that takes out the app sessions of those rows of `session_rows` for which the condition holds.
pub(in crate::store) fn delete_of_rows(of_these: &str, condition: &str) -> String {
    format!(
        "DELETE FROM app_sessions WHERE {of_these}EXISTS (SELECT 1 FROM session_rows WHERE session_rows.id = app_sessions.session_id \
         AND {condition}) RETURNING {ENDED_COLUMNS}"
    )
}

/// What an application opened: a guarded host, or the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened<'a> {
    /// This host of its guard.
    Host(&'a str),
    /// Its client.
    Client(&'a str),
}

/// An app session that began or went on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    /// Primary key.
    pub id: i64,
    /// What names it.
    pub uuid: Uuid,
    /// Whether it is new, or what was opened is new to it.
    pub is_new: bool,
}

/// Which app sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppSessionFilter {
    /// Those of this session.
    pub session: Option<SessionId>,
    /// Those of this user.
    pub user: Option<UserId>,
    /// Those of the application with this slug.
    pub application: Option<String>,
    /// The one with this uuid.
    pub uuid: Option<Uuid>,
    /// Whose the caller may see; `None`: everybody's.
    pub visible_to: Option<UserId>,
}

/// Of the application of a slug, in any letter case.
const OF_SLUG: &str = "k.application_id = (SELECT a.id FROM applications a WHERE lower(a.slug) = lower(?))";

impl AppSessionFilter {
    fn condition(&self, db: &Db<'_>) -> (String, Vec<Value>) {
        let mut it = Conditions::of(db);
        it.add("k.session_id = s.id");
        it.with("s.uuid = ?", self.session);
        it.with("s.user_id = ?", self.user);
        it.with("s.user_id = ?", self.visible_to);
        it.with(OF_SLUG, self.application.as_ref());
        it.with("k.uuid = ?", self.uuid);
        it.into_parts()
    }

    /// Whether it names one user or one session, which have few app sessions.
    fn is_of_few(&self) -> bool {
        self.user.is_some() || self.visible_to.is_some() || self.session.is_some()
    }

    /// The tables: `k` the app session, `s` its session, `u` its user. SQLite keeps to the order of a CROSS JOIN: of a user
    /// it reads the few sessions first. Else it would go through all that have an application open.
    fn tables(&self) -> &'static str {
        if self.is_of_few() {
            "users u JOIN sessions s ON s.user_id = u.id CROSS JOIN app_sessions k"
        } else {
            "app_sessions k JOIN sessions s ON s.id = k.session_id JOIN users u ON u.id = s.user_id"
        }
    }
}

/// The most hosts that an app session names. Those that are opened after them open all the same, without an event.
pub const MOST_HOSTS: usize = 100;

impl Db<'_> {
    /// Begins the app session of a session and an application, or notes its use and what was opened. `None`: the session
    /// or the application has ended.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn begin_app_session(
        &self,
        session: i64,
        application: &Application,
        opened: Opened<'_>,
        sub: &str,
        now: Timestamp,
    ) -> Result<Option<Begun>, StoreError> {
        // The session first, then the application: ends and removals lock in the same order.
        let live = self.lock_rows(&[session]).await?.read::<i64>("s.id", ("TRUE", Vec::new())).await?;
        if live.is_empty() || !self.hold_application(application.id).await? {
            return Ok(None);
        }
        let (host, client) = match opened {
            Opened::Host(host) => (Some(host.to_owned()), None),
            Opened::Client(client) => (None, Some(client.to_owned())),
        };
        let sql = "SELECT id, uuid, hosts, client_id FROM app_sessions WHERE session_id = $1 AND application_id = $2";
        if let Some(Known { id, uuid, mut hosts, client_id }) = self.one(sql, &values![session, application.id]).await? {
            let mut is_new = client.is_some() && client_id.is_none();
            // A guard of `*.example.com` has as many hosts as a caller makes up.
            if let Some(host) = host
                && hosts.len() < MOST_HOSTS
                && !hosts.contains(&host)
            {
                hosts.push(host);
                is_new = true;
            }
            // The client's name for the user holds from then on, since its tokens carry it.
            let sub = client.is_some().then(|| sub.to_owned());
            let sql = "UPDATE app_sessions SET hosts = $2, client_id = COALESCE($3, client_id), last_used_at = $4, \
                sub = COALESCE($5, sub) WHERE id = $1";
            self.execute(sql, &values![id, list(&hosts), client, now, sub]).await?;
            return Ok(Some(Begun { id, uuid, is_new }));
        }
        let uuid = secret::random_uuid().map_err(no_randomness)?;
        let sql = "INSERT INTO app_sessions (uuid, session_id, application_id, slug, name, hosts, client_id, sub, created_at, last_used_at) \
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9) RETURNING id";
        let hosts: Vec<String> = host.into_iter().collect();
        let Application { id: app, slug, name, .. } = application;
        let id = self.one::<i64>(sql, &values![uuid, session, *app, slug, name, list(&hosts), client, sub, now]).await?;
        Ok(Some(Begun { id: id.ok_or(StoreError::Corrupt("an app session without a key"))?, uuid, is_new: true }))
    }

    /// Whether there is an application of this primary key; it then stays until the transaction ends.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn hold_application(&self, id: i64) -> Result<bool, StoreError> {
        let lock = if self.is_sqlite() { "" } else { " FOR KEY SHARE" };
        Ok(self.one::<i64>(&format!("SELECT id FROM applications WHERE id = $1{lock}"), &values![id]).await?.is_some())
    }

    /// Notes the last uses of app sessions, by primary key. Those that have ended are passed over, and a later use stays.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn update_app_sessions_used(&self, uses: &[(i64, Timestamp)]) -> Result<(), StoreError> {
        let mut uses = uses.to_vec();
        uses.sort_unstable();
        for (id, at) in uses {
            let sql = "UPDATE app_sessions SET last_used_at = $2 WHERE id = $1 AND last_used_at < $2";
            self.execute(sql, &values![id, at]).await?;
        }
        Ok(())
    }

    /// Notes until when an app may honour a JWT access token of this app session, by primary key. A later end stays.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn update_jwt_until(&self, app_session: i64, until: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE app_sessions SET jwt_until = $2 WHERE id = $1 AND jwt_until < $2";
        self.execute(sql, &values![app_session, until]).await.map(drop)
    }

    /// App sessions of live sessions, those after the first `skip`, at most `limit`: of one user or session the latest used
    /// first, of all or of an application the latest begun first, which an index has in order.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_app_sessions(
        &self,
        filter: &AppSessionFilter,
        skip: i64,
        limit: i64,
    ) -> Result<Vec<AppSessionRow>, StoreError> {
        let (condition, mut values) = filter.condition(self);
        values.extend(values![limit, skip]);
        let (limit, skip) = (values.len() - 1, values.len());
        let (tables, order) = (filter.tables(), if filter.is_of_few() { "k.last_used_at DESC, k.id" } else { "k.id DESC" });
        let sql =
            format!("SELECT {APP_SESSION_COLUMNS} FROM {tables} WHERE {condition} ORDER BY {order} LIMIT ${limit} OFFSET ${skip}");
        self.all(&sql, &values).await
    }

    /// How many there are.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_app_sessions(&self, filter: &AppSessionFilter) -> Result<i64, StoreError> {
        if !filter.is_of_few() && filter.uuid.is_none() {
            let mut own = Conditions::of(self);
            own.with(OF_SLUG, filter.application.as_ref());
            let (condition, values) = own.into_parts();
            return self.count_of_sessions(("app_sessions k", "k.session_id"), (&condition, &values)).await;
        }
        let (condition, values) = filter.condition(self);
        let sql = format!("SELECT count(*) FROM {} WHERE {condition}", filter.tables());
        Ok(self.one::<i64>(&sql, &values).await?.unwrap_or(0))
    }

    /// How many app sessions there are, those included whose session is over and that were not moved yet.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_all_app_sessions(&self) -> Result<i64, StoreError> {
        Ok(self.one::<i64>("SELECT count(*) FROM app_sessions", &[]).await?.unwrap_or(0))
    }

    /// The app sessions of these sessions.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_app_sessions_of(&self, sessions: &[SessionId]) -> Result<Vec<AppSessionRow>, StoreError> {
        let mut rows = Vec::new();
        for sessions in sessions.chunks(100) {
            let (list, values) = crate::store::db::statements::in_list([], sessions.iter().copied());
            let sql = format!(
                "SELECT {APP_SESSION_COLUMNS} FROM sessions s JOIN users u ON u.id = s.user_id CROSS JOIN app_sessions k \
                 WHERE k.session_id = s.id AND s.uuid IN ({list}) ORDER BY k.created_at, k.id"
            );
            rows.extend(self.all::<AppSessionRow>(&sql, &values).await?);
        }
        Ok(rows)
    }

    /// How many app sessions these sessions have, for the rows of a page. Sessions without one are left out.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_app_sessions_of(&self, sessions: &[SessionId]) -> Result<HashMap<SessionId, i64>, StoreError> {
        if sessions.is_empty() {
            return Ok(HashMap::new());
        }
        let (list, values) = crate::store::db::statements::in_list([], sessions.iter().copied());
        let sql = format!(
            "SELECT s.uuid, count(*) FROM session_rows s JOIN app_sessions k ON k.session_id = s.id WHERE s.uuid IN ({list}) GROUP BY s.uuid"
        );
        Ok(self.all::<(SessionId, i64)>(&sql, &values).await?.into_iter().collect())
    }

    /// The app sessions of a session with a pending end: they are not in the history yet.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_pending_app_sessions(&self, session: SessionId) -> Result<Vec<EndedAppSession>, StoreError> {
        let sql = format!(
            "SELECT {ENDED_COLUMNS} FROM app_sessions WHERE session_id = (SELECT id FROM session_rows WHERE session_rows.uuid = $1)"
        );
        let rows = self.all::<EndedRow>(&sql, &values![session]).await?;
        Ok(by_session(rows).into_values().flatten().collect())
    }

    /// The app session of a session and an application, by primary key.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_app_session_id(&self, session: i64, application: i64) -> Result<Option<i64>, StoreError> {
        let sql = "SELECT id FROM app_sessions WHERE session_id = $1 AND application_id = $2";
        self.one(sql, &values![session, application]).await
    }

    /// Ends app sessions by primary key, without their sessions.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn end_app_sessions(&self, ids: &[i64], now: Timestamp) -> Result<(), StoreError> {
        for ids in ids.chunks(500) {
            let mut values = Vec::new();
            let condition = named("id", &mut values, ids);
            self.execute(&format!("DELETE FROM app_sessions WHERE {condition}"), &values).await?;
        }
        self.stamp_notices(now).await
    }

    /// What apps are owed since this transaction ended their app sessions is owed since now.
    async fn stamp_notices(&self, now: Timestamp) -> Result<(), StoreError> {
        let Statement { sql, values } = stamp(now);
        self.execute(&sql, &values).await.map(drop)
    }

    /// Ends the app sessions of a user and an application; gives how many.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn end_app_sessions_of_user(&self, user: UserId, application: i64, now: Timestamp) -> Result<u64, StoreError> {
        // CROSS JOIN: SQLite reads the user's few sessions first, and not all that have the application open.
        let sql = "SELECT o.id FROM session_rows s CROSS JOIN app_sessions o \
            WHERE o.session_id = s.id AND s.user_id = $1 AND o.application_id = $2 ORDER BY o.id";
        let ids: Vec<i64> = self.all(sql, &values![user, application]).await?;
        self.end_app_sessions(&ids, now).await?;
        Ok(ids.len().try_into().unwrap_or(u64::MAX))
    }

    /// Ends all app sessions of an application, whose row is locked; gives how many.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn end_app_sessions_of_application(&self, application: i64, now: Timestamp) -> Result<u64, StoreError> {
        if !self.is_sqlite() {
            let sql = "SELECT id FROM app_sessions WHERE application_id = $1 ORDER BY id FOR UPDATE";
            self.all::<i64>(sql, &values![application]).await?;
        }
        let ended = self.execute("DELETE FROM app_sessions WHERE application_id = $1", &values![application]).await?;
        self.stamp_notices(now).await?;
        Ok(ended)
    }
}

struct Known {
    id: i64,
    uuid: Uuid,
    hosts: Vec<String>,
    client_id: Option<String>,
}

impl FromRow for Known {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self { id: row.int()?, uuid: row.uuid()?, hosts: hosts(&row.text()?), client_id: row.opt_text()? })
    }
}

fn list(hosts: &[String]) -> String {
    serde_json::Value::from(hosts.to_vec()).to_string()
}
