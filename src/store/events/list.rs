//! Events as pages list them, the latest first.

use uuid::Uuid;

use crate::domain::{SessionId, Timestamp, UserId};
use crate::store::events::rows::{EVENT_COLUMNS, EventRow};
use crate::store::{Db, StoreError, Value};
use crate::values;

/// Which events. All that is given applies together.
///
/// An end of many is one event, and its single ends are parts of it. Parts are left out, unless the filter asks for
/// what only they can tell: a user, a session, a kind, or the parts of one event.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventFilter {
    /// About this user.
    pub user: Option<Uuid>,
    /// Done by somebody of this name, exactly.
    pub actor: Option<String>,
    /// Of this kind.
    pub kind: Option<String>,
    /// About this session.
    pub session: Option<SessionId>,
    /// Parts of the event with this key.
    pub parent: Option<i64>,
    /// At this instant or later.
    pub from: Option<Timestamp>,
    /// At this instant or earlier.
    pub to: Option<Timestamp>,
    /// Before the event with this key: the next page.
    pub before: Option<i64>,
}

impl EventFilter {
    /// Whether parts of other events are left out.
    #[must_use]
    pub fn is_folded(&self) -> bool {
        self.user.is_none() && self.session.is_none() && self.kind.is_none() && self.parent.is_none()
    }
}

impl Db<'_> {
    /// Events that match, the latest first, at most `limit`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_latest_events(&self, filter: &EventFilter, limit: i64) -> Result<Vec<EventRow>, StoreError> {
        let conditions: [(&str, Option<Value>); 8] = [
            ("e.user_uuid =", filter.user.map(Into::into)),
            ("e.actor =", filter.actor.as_ref().map(Into::into)),
            ("e.kind =", filter.kind.as_ref().map(Into::into)),
            ("e.session_uuid =", filter.session.map(Into::into)),
            ("e.parent_id =", filter.parent.map(Into::into)),
            ("e.at >=", filter.from.map(Into::into)),
            ("e.at <=", filter.to.map(Into::into)),
            ("e.id <", filter.before.map(Into::into)),
        ];
        let (mut all, mut values) = (Vec::new(), Vec::new());
        if filter.is_folded() {
            all.push("e.parent_id IS NULL".to_owned());
        }
        for (condition, value) in conditions {
            let Some(value) = value else { continue };
            values.push(value);
            all.push(format!("{condition} ${}", values.len()));
        }
        values.push(limit.into());
        let conditions = if all.is_empty() { String::new() } else { format!(" WHERE {}", all.join(" AND ")) };
        let sql = format!("SELECT {EVENT_COLUMNS} FROM events e{conditions} ORDER BY e.id DESC LIMIT ${}", values.len());
        self.all(&sql, &values).await
    }

    /// The uuid of a user, by which history names them; `None` when there is no such user.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_user_uuid(&self, id: UserId) -> Result<Option<Uuid>, StoreError> {
        self.one("SELECT uuid FROM users WHERE id = $1", &values![id]).await
    }
}
