//! Events: from what was done to what is recorded.

use crate::domain::caller::Actor;
use crate::domain::event::EventContent;
use crate::domain::{SessionId, Timestamp, UserId, UserKey};
use crate::store::events::rows::{EventRow, NewEvent};
use serde_json::{Map, Value, json};

impl EventContent {
    /// An event with this content, done by `actor` at `at`, about no particular user.
    #[must_use]
    pub fn by(self, actor: &Actor, at: Timestamp) -> NewEvent {
        let application = self.application().to_owned();
        NewEvent {
            at,
            content: self,
            actor: actor.id.map(UserKey::Id),
            actor_name: actor.name.clone(),
            user: None,
            username: String::new(),
            ip: actor.ip.map(|ip| ip.to_string()).unwrap_or_default(),
            request_id: actor.request_id.clone(),
            session: None,
            parent: None,
            application,
        }
    }
}

impl NewEvent {
    /// The same, about this user.
    #[must_use]
    pub fn about(mut self, id: UserId, username: &str) -> Self {
        self.user = Some(UserKey::Id(id));
        username.clone_into(&mut self.username);
        self
    }

    /// The same, about this session.
    #[must_use]
    pub fn of_session(mut self, session: SessionId) -> Self {
        self.session = Some(session);
        self
    }

    /// The same, as a part of the event with this key.
    #[must_use]
    pub fn part_of(mut self, parent: Option<i64>) -> Self {
        self.parent = parent;
        self
    }
}

/// An event as exports write it.
#[must_use]
pub fn record(event: &EventRow) -> Map<String, Value> {
    let record = json!({
        "kind": event.kind(), "uuid": event.uuid.to_string(), "at": event.at, "actor": event.actor,
        "actor_uuid": event.actor_uuid.map(|uuid| uuid.to_string()), "user": event.user_id,
        "user_uuid": event.user_uuid.map(|uuid| uuid.to_string()), "username": event.username, "ip": event.ip,
        "request_id": event.request_id, "session": event.session, "is_part": event.parent.is_some(), "text": event.text(),
        "content": event.content.to_json(),
    });
    match record {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
