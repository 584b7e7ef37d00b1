//! Events: the audit record. Rows are added, and never changed but for three things: the totals of an
//! end of many when it is through, old addresses, and what an erasure takes out.

use std::collections::HashMap;

use uuid::Uuid;

use crate::domain::event::EventContent;
use crate::domain::{SessionId, Timestamp, UserKey};
use crate::store::db::statements::{any_of, insert_shaped};
use crate::store::{Db, FromRow, Row, StoreError, Value};
use crate::values;

/// An event to add.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// When.
    pub at: Timestamp,
    /// What happened.
    pub content: EventContent,
    /// Who did it, if it was a user.
    pub actor: Option<UserKey>,
    /// The name of who did it: a username, `system`, `cli`, `anonymous`.
    pub actor_name: String,
    /// The user that it is about.
    pub user: Option<UserKey>,
    /// The name of that user, or `""`.
    pub username: String,
    /// The address of the request, or `""`.
    pub ip: String,
    /// The id of the request, or `""`.
    pub request_id: String,
    /// The session that it is about.
    pub session: Option<SessionId>,
    /// The key of the event that it is a part of.
    pub parent: Option<i64>,
    /// The slug of the application that it is about, or `""`.
    pub application: String,
}

/// An event as stored.
#[derive(Clone, Debug)]
pub struct EventRow {
    /// Primary key: events are listed by it.
    pub id: i64,
    /// What names it.
    pub uuid: Uuid,
    /// When.
    pub at: Timestamp,
    /// What happened.
    pub content: EventContent,
    /// The key of the event that it is a part of.
    pub parent: Option<i64>,
    /// The slug of the application that it is about, or `""`.
    pub application: String,
    /// Who did it, if it was a user.
    pub actor_uuid: Option<Uuid>,
    /// The primary key that this user has now; `None`: no user did it, or the user is gone.
    pub actor_id: Option<i64>,
    /// The e-mail address that this user has now, or `""`.
    pub actor_email: String,
    /// The name of who did it: a username, `system`, `cli`, `anonymous`.
    pub actor: String,
    /// The user that it is about.
    pub user_uuid: Option<Uuid>,
    /// The primary key that this user has now; `None`: it is about no user, or the user is gone.
    pub user_id: Option<i64>,
    /// The name of that user at that time, or `""`.
    pub username: String,
    /// The address of the request, or `""`.
    pub ip: String,
    /// The id of the request, or `""`.
    pub request_id: String,
    /// The session that it is about.
    pub session: Option<SessionId>,
    /// The application that it is about, if that exists now.
    pub application_uuid: Option<Uuid>,
    /// The group that it is about, if that exists now.
    pub group_uuid: Option<Uuid>,
}

impl EventRow {
    /// What it records, as a sentence ([`crate::domain::event::text`]).
    #[must_use]
    pub fn text(&self) -> String {
        crate::domain::event::text::text(&self.content, &self.actor, &self.username)
    }

    /// The word of its kind, such as `sign_in`.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.content.kind()
    }
}

/// The columns of an [`EventRow`], of the table that is called `e`. [`Db::read_events`] reads them, and what their users,
/// applications and groups are now.
pub(in crate::store) const EVENT_COLUMNS: &str = "e.id, e.uuid, e.at, e.kind, e.content, e.parent_id, e.application, e.actor_uuid, \
    e.actor, e.user_uuid, e.username, e.ip, e.request_id, e.session_uuid";
/// How many users are read by their uuids at once.
const USERS_AT_ONCE: usize = 512;

impl FromRow for EventRow {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        let (id, uuid, at) = (row.int()?, row.uuid()?, row.timestamp()?);
        let (kind, content) = (row.text()?, row.text()?);
        Ok(Self {
            id,
            uuid,
            at,
            content: EventContent::read(&kind, &content),
            parent: row.opt_int()?,
            application: row.text()?,
            actor_uuid: row.opt_uuid()?,
            actor_id: None,
            actor_email: String::new(),
            actor: row.text()?,
            user_uuid: row.opt_uuid()?,
            user_id: None,
            username: row.text()?,
            ip: row.text()?,
            request_id: row.text()?,
            session: row.opt_uuid()?.map(SessionId),
            application_uuid: None,
            group_uuid: None,
        })
    }
}

const INSERT_EVENTS: &str = "INSERT INTO events (uuid, at, kind, content, parent_id, application, actor_uuid, actor, user_uuid, username, \
    ip, request_id, session_uuid) VALUES ";
/// A user who acts and is gone before this is written is still a user: the nil UUID, not null.
const EVENT_SHAPE: &str = "(?, ?, ?, ?, ?, ?, COALESCE(?, (SELECT uuid FROM users WHERE id = ?), ?), ?, \
    COALESCE(?, (SELECT uuid FROM users WHERE id = ?)), ?, ?, ?, ?)";

/// A user's key as the two parameters of `COALESCE(?, (SELECT uuid FROM users WHERE id = ?))`.
pub(in crate::store) fn user_key(key: Option<UserKey>) -> [Value; 2] {
    match key {
        None => [Value::Null, Value::Null],
        Some(UserKey::Id(id)) => [Value::Null, id.into()],
        Some(UserKey::Uuid(uuid)) => [uuid.into(), Value::Null],
    }
}

impl NewEvent {
    fn values(&self) -> Result<Vec<Value>, StoreError> {
        let content = serde_json::Value::Object(self.content.to_json()).to_string();
        // Names in the order of time, so that the index of names grows at one end.
        let uuid = SessionId::generate(self.at).map_err(|error| StoreError::Failed(error.to_string()))?.0;
        let mut values = values![uuid, self.at, self.content.kind(), content, self.parent, self.application.as_str()].to_vec();
        values.extend(user_key(self.actor));
        values.push(self.actor.map(|_| Uuid::nil()).into());
        values.push(self.actor_name.as_str().into());
        values.extend(user_key(self.user));
        values.extend(values![self.username.as_str(), self.ip.as_str(), self.request_id.as_str(), self.session]);
        Ok(values)
    }
}

fn rows(events: &[NewEvent]) -> Result<Vec<Vec<Value>>, StoreError> {
    events.iter().map(NewEvent::values).collect()
}

impl Db<'_> {
    /// Adds events.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn insert_events(&self, events: &[NewEvent]) -> Result<(), StoreError> {
        for statement in insert_shaped(INSERT_EVENTS, EVENT_SHAPE, &rows(events)?, "") {
            self.execute(&statement.sql, &statement.values).await?;
        }
        Ok(())
    }

    /// Adds an event and gives its key: further events will be its parts.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn insert_parent_event(&self, event: &NewEvent) -> Result<i64, StoreError> {
        let statements = insert_shaped(INSERT_EVENTS, EVENT_SHAPE, &rows(std::slice::from_ref(event))?, " RETURNING id");
        let missing = StoreError::Corrupt("no key of an event");
        let statement = statements.into_iter().next().ok_or(missing.clone())?;
        self.one(&statement.sql, &statement.values).await?.ok_or(missing)
    }

    /// Writes what is known of an end of many when it is through.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn update_event_content(&self, id: i64, content: &EventContent) -> Result<(), StoreError> {
        let content = serde_json::Value::Object(content.to_json()).to_string();
        self.execute("UPDATE events SET content = $2 WHERE id = $1", &values![id, content]).await.map(drop)
    }

    /// Adds events at the end of the transaction.
    ///
    /// # Errors
    /// When the operating system has no randomness to give.
    pub fn insert_events_last(&self, events: &[NewEvent]) -> Result<(), StoreError> {
        self.run_last(insert_shaped(INSERT_EVENTS, EVENT_SHAPE, &rows(events)?, ""));
        Ok(())
    }

    /// Events after the one with the key `after` (0: from the first), oldest first, at most `limit`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_events(&self, after: i64, limit: i64) -> Result<Vec<EventRow>, StoreError> {
        let sql = format!("SELECT {EVENT_COLUMNS} FROM events e WHERE e.id > $1 ORDER BY e.id LIMIT $2");
        self.read_events(&sql, &values![after, limit]).await
    }

    /// The events that this statement finds by their [`EVENT_COLUMNS`], with what they are about now. Few users are named
    /// by many events, so each is looked up once.
    pub(in crate::store) async fn read_events(&self, sql: &str, values: &[Value]) -> Result<Vec<EventRow>, StoreError> {
        let mut events: Vec<EventRow> = self.all(sql, values).await?;
        let mut named: Vec<Uuid> = events.iter().flat_map(|event| [event.actor_uuid, event.user_uuid]).flatten().collect();
        named.sort_unstable();
        named.dedup();
        let mut users = HashMap::new();
        for uuids in named.chunks(USERS_AT_ONCE) {
            let (these, values) = any_of(self.is_sqlite(), "uuid", uuids);
            let sql = format!("SELECT uuid, id, email FROM users WHERE {these}");
            let read: Vec<(Uuid, i64, String)> = self.all(&sql, &values).await?;
            users.extend(read.into_iter().map(|(uuid, id, email)| (uuid, (id, email))));
        }
        for event in &mut events {
            if let Some((id, email)) = event.actor_uuid.and_then(|uuid| users.get(&uuid)) {
                (event.actor_id, event.actor_email) = (Some(*id), email.clone());
            }
            event.user_id = event.user_uuid.and_then(|uuid| users.get(&uuid)).map(|(id, _)| *id);
        }
        self.note_objects(&mut events).await?;
        Ok(events)
    }
}
