//! Events as pages list them, the latest first.

use uuid::Uuid;

use crate::domain::listing::Sort;
use crate::domain::page::{Found, Wanted};
use crate::domain::{SessionId, Timestamp, UserId};
use crate::store::events::rows::{EVENT_COLUMNS, EventRow};
use crate::store::lists::Listed;
use crate::store::{Db, Store, StoreError, Value};
use crate::values;

/// Which events. All that is given applies together.
///
/// An end of many is one event, and its single ends are parts of it. Parts are left out, unless the filter asks for
/// what only they can tell: a user, a session, a kind, or the parts of one event.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventFilter {
    /// About this user.
    pub user: Option<Uuid>,
    /// Done by a user of this name, exactly.
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

    /// The `WHERE` clause on `events e`, and its values.
    fn condition(&self) -> (String, Vec<Value>) {
        let conditions: [(&str, Option<Value>); 8] = [
            ("e.user_uuid =", self.user.map(Into::into)),
            ("e.actor =", self.actor.as_ref().map(Into::into)),
            ("e.kind =", self.kind.as_ref().map(Into::into)),
            ("e.session_uuid =", self.session.map(Into::into)),
            ("e.parent_id =", self.parent.map(Into::into)),
            ("e.at >=", self.from.map(Into::into)),
            ("e.at <=", self.to.map(Into::into)),
            ("e.id <", self.before.map(Into::into)),
        ];
        let (mut all, mut values) = (Vec::new(), Vec::new());
        if self.is_folded() {
            all.push("e.parent_id IS NULL".to_owned());
        }
        for (condition, value) in conditions {
            let Some(value) = value else { continue };
            values.push(value);
            all.push(format!("{condition} ${}", values.len()));
        }
        let sql = if all.is_empty() { String::new() } else { format!(" WHERE {}", all.join(" AND ")) };
        (sql, values)
    }
}

/// What events can be ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventSortKey {
    /// When they happened: the order in which they were written.
    At,
}

impl Listed for EventFilter {
    type Key = EventSortKey;
    type Row = EventRow;

    /// The latest first, unless `order` begins with an ascending term.
    async fn find(&self, store: &Store, order: &[Sort<EventSortKey>], wanted: Wanted) -> Result<Found<EventRow>, StoreError> {
        let (filter, is_ascending) = (self.clone(), order.first().is_some_and(|sort| !sort.is_descending));
        let read = store.long_read(move |db| {
            Box::pin(async move {
                let (condition, mut values) = filter.condition();
                let count: i64 = db.one(&format!("SELECT count(*) FROM events e{condition}"), &values).await?.unwrap_or(0);
                let Some(window) = wanted.window(count) else { return Ok(wanted.found(count, Vec::new())) };
                let (turn, next) = (if is_ascending { "" } else { " DESC" }, values.len() + 1);
                let sql = format!(
                    "SELECT {EVENT_COLUMNS} FROM events e{condition} ORDER BY e.id{turn} LIMIT ${next} OFFSET ${}",
                    next + 1
                );
                values.extend([window.limit.into(), window.offset.into()]);
                Ok(wanted.found(count, db.all(&sql, &values).await?))
            })
        });
        read.await
    }
}

impl Db<'_> {
    /// Events that match, the latest first, at most `limit`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_latest_events(&self, filter: &EventFilter, limit: i64) -> Result<Vec<EventRow>, StoreError> {
        let (condition, mut values) = filter.condition();
        values.push(limit.into());
        let sql = format!("SELECT {EVENT_COLUMNS} FROM events e{condition} ORDER BY e.id DESC LIMIT ${}", values.len());
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
