//! Events as pages list them, the latest first.

use uuid::Uuid;

use crate::domain::fold::fold;
use crate::domain::{SessionId, Timestamp, UserId};
use crate::store::db::statements::named;
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
    /// Done by a user of this name, exactly.
    pub actor: Option<String>,
    /// Of this kind.
    pub kind: Option<String>,
    /// From this address, as it is stored.
    pub ip: Option<String>,
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

    /// Whether it lets this event pass, as the list does: for events as they come. `before` does not count.
    #[must_use]
    pub fn matches(&self, event: &EventRow) -> bool {
        let is = |wanted: Option<&str>, found: &str| wanted.is_none_or(|wanted| wanted == found);
        self.user.is_none_or(|user| event.user_uuid == Some(user))
            && is(self.actor.as_deref(), &event.actor)
            && is(self.kind.as_deref(), event.kind())
            && is(self.ip.as_deref(), &event.ip)
            && self.session.is_none_or(|session| event.session == Some(session))
            && self.parent.is_none_or(|parent| event.parent == Some(parent))
            && self.from.is_none_or(|from| event.at >= from)
            && self.to.is_none_or(|to| event.at <= to)
            && (!self.is_folded() || event.parent.is_none())
    }

    /// Whether its events are read by an index in the order of time. Those about a session, and parts, have one in the
    /// order of keys, in which events are written.
    fn is_by_time(&self) -> bool {
        self.parent.is_none() && self.session.is_none()
    }

    /// The `ORDER BY` clause.
    fn order(&self) -> &'static str {
        if self.is_by_time() { " ORDER BY e.at DESC, e.id DESC" } else { " ORDER BY e.id DESC" }
    }

    /// The `WHERE` clause on `events e`, and its values.
    fn condition(&self, is_sqlite: bool) -> (String, Vec<Value>) {
        // The one that usually leaves the fewest comes first: the `+` keeps SQLite from the indexes of the others.
        let conditions: [(&str, Option<Value>); 8] = [
            ("e.session_uuid =", self.session.map(Into::into)),
            ("e.parent_id =", self.parent.map(Into::into)),
            ("e.user_uuid =", self.user.map(Into::into)),
            ("e.ip =", self.ip.as_ref().map(Into::into)),
            ("e.actor =", self.actor.as_ref().map(Into::into)),
            ("e.kind =", self.kind.as_ref().map(Into::into)),
            ("e.at >=", self.from.map(Into::into)),
            ("e.at <=", self.to.map(Into::into)),
        ];
        let (mut all, mut values) = (Vec::new(), Vec::new());
        for (condition, value) in conditions {
            let Some(value) = value else { continue };
            let plus = if !is_sqlite || values.is_empty() || condition.starts_with("e.at") { "" } else { "+" };
            values.push(value);
            all.push(format!("{plus}{condition} ${}", values.len()));
        }
        if self.ip.is_some() {
            all.push("e.ip <> ''".to_owned());
        }
        if self.is_folded() {
            let has_index = self.ip.is_some() || self.actor.is_some();
            all.push(if is_sqlite && has_index { "+e.parent_id IS NULL" } else { "e.parent_id IS NULL" }.to_owned());
        }
        if let Some(before) = self.before {
            values.push(before.into());
            let key = values.len();
            let at = format!("(SELECT b.at FROM events b WHERE b.id = ${key})");
            all.push(if self.is_by_time() { format!("(e.at, e.id) < ({at}, ${key})") } else { format!("e.id < ${key}") });
        }
        let sql = if all.is_empty() { String::new() } else { format!(" WHERE {}", all.join(" AND ")) };
        (sql, values)
    }
}

/// Whether an event holds a text in its kind, names, address or content, in any letter case, as
/// [`Db::find_latest_events`] finds it.
#[must_use]
pub fn holds_text(event: &EventRow, text: &str) -> bool {
    let (folded, content) = (fold(text), serde_json::Value::Object(event.content.to_json()).to_string());
    let texts = [event.kind(), &event.actor, &event.username, &event.ip, &content];
    texts.iter().any(|found| found.contains(text) || fold(found).contains(&folded))
}

/// How many events a search for a text looks at.
pub const TEXTS_READ: i64 = 1_000;

impl Db<'_> {
    /// Events that match, the latest first, at most `limit`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_latest_events(&self, filter: &EventFilter, limit: i64) -> Result<Vec<EventRow>, StoreError> {
        let (condition, mut values) = filter.condition(self.is_sqlite());
        values.push(limit.into());
        let sql = format!("SELECT {EVENT_COLUMNS} FROM events e{condition}{} LIMIT ${}", filter.order(), values.len());
        self.read_events(&sql, &values).await
    }

    /// The same, of events that hold a text in their kind, names, address or content, in any letter case. It looks at
    /// [`TEXTS_READ`] events at most; with fewer matches than `limit`, the key tells where it stopped.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_latest_events(
        &self,
        filter: &EventFilter,
        text: &str,
        limit: i64,
    ) -> Result<(Vec<EventRow>, Option<i64>), StoreError> {
        let (condition, mut values) = filter.condition(self.is_sqlite());
        let order = filter.order();
        let find = if self.is_sqlite() { "instr" } else { "strpos" };
        values.extend(values![text, fold(text)]);
        let (plain, folded) = (values.len() - 1, values.len());
        // Databases fold fewer letters than Rust does, so the text is looked for as it was typed, too.
        let texts = ["e.kind", "e.actor", "e.username", "e.ip", "e.content"];
        let holds = texts.map(|column| format!("{find}({column}, ${plain}) > 0 OR {find}(upper({column}), ${folded}) > 0"));
        let sql = format!(
            "SELECT e.id, CAST(CASE WHEN {} THEN 1 ELSE 0 END AS BIGINT) FROM events e{condition}{order} LIMIT {TEXTS_READ}",
            holds.join(" OR ")
        );
        let read: Vec<(i64, i64)> = self.all(&sql, &values).await?;
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
        let is_whole = i64::try_from(read.len()).is_ok_and(|count| count < TEXTS_READ);
        let found: Vec<i64> = read.iter().filter(|(_, holds)| *holds == 1).map(|(id, _)| *id).take(wanted).collect();
        let stop = read.last().map(|(id, _)| *id).filter(|_| !is_whole && found.len() < wanted);
        if found.is_empty() {
            return Ok((Vec::new(), stop));
        }
        let (mut sql, mut values) = (format!("SELECT {EVENT_COLUMNS} FROM events e WHERE "), Vec::new());
        sql.push_str(&named("e.id", &mut values, &found));
        let mut rows = self.read_events(&sql, &values).await?;
        rows.sort_by_key(|row| found.iter().position(|id| *id == row.id));
        Ok((rows, stop))
    }

    /// The uuid of a user, by which history names them; `None` when there is no such user.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_user_uuid(&self, id: UserId) -> Result<Option<Uuid>, StoreError> {
        self.one("SELECT uuid FROM users WHERE id = $1", &values![id]).await
    }
}
