//! Events as the API lists them: by filters that are each answered by an index, in the order of time.

use uuid::Uuid;

use crate::domain::Timestamp;
use crate::store::Value;
use crate::store::db::statements::placeholders;
use crate::store::events::rows::EventRow;
use crate::store::timeline::Timeline;
use crate::store::timeline::parts::Parts;
use crate::store::timeline::text::Text;

/// Events in the order of time.
static EVENTS: Timeline = Timeline { table: "events", row: "e", at: "at" };

/// The kinds of events about a sign-in that failed: the user is only the one whose name was given.
pub const FAILED_KINDS: [&str; 3] = ["sign_in_failed", "sign_in_refused", "factor_failed"];
/// The same as the index of names has it.
const IS_FAILED: &str = "e.kind IN ('sign_in_failed', 'sign_in_refused', 'factor_failed')";

/// The kinds of changes of a user. Most events about a user are sign-ins and ends, so an index has these alone: a new kind
/// is a new index.
pub const CHANGES_OF_USERS: [&str; 7] =
    ["policy_set", "user_activated", "user_added", "user_changed", "user_deactivated", "user_erased", "user_removed"];
/// The same as the index has it.
const IS_CHANGE_OF_USER: &str = "e.kind IN ('policy_set', 'user_activated', 'user_added', 'user_changed', 'user_deactivated', \
    'user_erased', 'user_removed')";

/// Which events. All that is given applies together; parts of other events are events like all others, unless they are
/// left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventQuery {
    /// Of one of these kinds, which may be of another version; `None`: of any.
    pub kinds: Option<Vec<String>>,
    /// Done by a user of this name, or a failed sign-in with this name; exactly.
    pub username: Option<String>,
    /// Done by this author, who need not be a user; exactly.
    pub actor: Option<String>,
    /// From this address, as it is stored.
    pub ip: Option<String>,
    /// About this user.
    pub user: Option<Uuid>,
    /// About this session.
    pub session: Option<Uuid>,
    /// About an object that the content names by this text.
    pub names: Option<String>,
    /// About the application of this slug.
    pub application: Option<String>,
    /// Parts of the event with this key.
    pub parent: Option<i64>,
    /// No parts of other events.
    pub is_whole: bool,
    /// At this instant or later.
    pub from: Option<Timestamp>,
    /// Later than this instant.
    pub after: Option<Timestamp>,
    /// At this instant or earlier.
    pub to: Option<Timestamp>,
    /// Earlier than this instant.
    pub before: Option<Timestamp>,
}

/// What such a list is ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventOrder {
    /// When they happened.
    At,
    /// The uuid, which grows with the time too.
    Uuid,
    /// The kind, by its place in a list of words: its index is the rank.
    Kind(&'static [(&'static str, i64)]),
    /// The name of who did it.
    Actor,
    /// The content as text.
    Content,
    /// The address as text.
    Ip,
}

impl EventOrder {
    /// What rows are ordered by, in SQL.
    pub(in crate::store) fn column(self) -> String {
        match self {
            Self::At => "e.at".to_owned(),
            Self::Uuid => "e.uuid".to_owned(),
            Self::Kind(ranks) => {
                let cases: Vec<String> = ranks.iter().map(|(kind, rank)| format!("WHEN '{kind}' THEN {rank}")).collect();
                format!("CASE e.kind {} ELSE 0 END", cases.join(" "))
            }
            Self::Actor => "e.actor".to_owned(),
            Self::Content => "e.content".to_owned(),
            Self::Ip => "e.ip".to_owned(),
        }
    }
}

/// Conditions on events `e`, and their values.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Condition {
    parts: Vec<String>,
    pub values: Vec<Value>,
}

impl Condition {
    /// Adds a condition that ends in front of its parameter.
    fn push(&mut self, sql: &str, value: impl Into<Value>) {
        self.values.push(value.into());
        self.parts.push(format!("{sql} ${}", self.values.len()));
    }

    /// The `WHERE` clause.
    pub(in crate::store) fn sql(&self) -> String {
        if self.parts.is_empty() { String::new() } else { format!(" WHERE {}", self.parts.join(" AND ")) }
    }
}

impl EventQuery {
    /// Whether it lets this event pass, as the list does: for events as they come.
    #[must_use]
    pub fn matches(&self, event: &EventRow) -> bool {
        let is_by = |name: &String| {
            (event.actor == *name && event.actor_uuid.is_some())
                || (event.username == *name && FAILED_KINDS.contains(&event.kind()))
        };
        let content = || serde_json::Value::Object(event.content.to_json()).to_string();
        self.kinds.as_ref().is_none_or(|kinds| kinds.iter().any(|kind| kind == event.kind()))
            && self.username.as_ref().is_none_or(is_by)
            && self.actor.as_ref().is_none_or(|actor| event.actor == *actor)
            && self.ip.as_ref().is_none_or(|ip| event.ip == *ip)
            && self.user.is_none_or(|user| event.user_uuid == Some(user))
            && self.session.is_none_or(|session| event.session.is_some_and(|id| id.0 == session))
            && self.names.as_ref().is_none_or(|names| content().contains(names))
            && self.application.as_ref().is_none_or(|slug| event.application == *slug)
            && self.parent.is_none_or(|parent| event.parent == Some(parent))
            && (!self.is_whole || event.parent.is_none())
            && self.from.is_none_or(|from| event.at >= from)
            && self.after.is_none_or(|after| event.at > after)
            && self.to.is_none_or(|to| event.at <= to)
            && self.before.is_none_or(|before| event.at < before)
    }

    /// Whether it asks for kinds alone: how many there are is then counted by kind.
    pub(in crate::store) fn is_of_kinds(&self) -> bool {
        Self { kinds: None, ..self.clone() } == Self::default()
    }

    /// Whether it asks for changes of one user and nothing else.
    fn is_of_changes(&self) -> bool {
        let is_change = |kind: &String| CHANGES_OF_USERS.contains(&kind.as_str());
        self.user.is_some() && self.kinds.as_ref().is_some_and(|kinds| !kinds.is_empty() && kinds.iter().all(is_change))
    }

    /// One condition of which rows match.
    pub(in crate::store) fn condition(&self, is_sqlite: bool) -> Condition {
        let mut all = Condition::default();
        if let Some(username) = &self.username {
            all.values.push(username.into());
            all.parts.push(format!("((e.actor = $1 AND e.actor_uuid IS NOT NULL) OR (e.username = $1 AND {IS_FAILED}))"));
        }
        self.add_rest(&mut all, is_sqlite);
        self.add_kinds(&mut all);
        all
    }

    /// The same as parts that an index each may have.
    pub(in crate::store) fn parts(&self, is_sqlite: bool) -> Parts {
        let mut all = Parts::of(&EVENTS);
        for (operator, at) in [(">=", self.from), (">", self.after), ("<=", self.to), ("<", self.before)] {
            all.bound(operator, at);
        }
        if let Some(session) = self.session {
            // A session has few events; their index is in the order of keys.
            all.span("events_by_session", "e.session_uuid = ?", [session.into()]);
        }
        if let Some(parent) = self.parent {
            all.span("events_by_parent", "e.parent_id = ?", [parent.into()]);
        }
        if self.is_whole {
            let whole = Text::new("e.parent_id IS NULL", []);
            all.any_of(whole.clone(), vec![whole]);
        }
        if let Some(user) = self.user {
            if self.is_of_changes() {
                all.equal_by("events_of_users", &format!("e.user_uuid = ? AND {IS_CHANGE_OF_USER}"), user);
            } else {
                all.equal("e.user_uuid = ?", user);
            }
        }
        if let Some(actor) = &self.actor {
            all.equal("e.actor = ?", actor);
        }
        if let Some(username) = &self.username {
            let (by, about) = ("e.actor = ? AND e.actor_uuid IS NOT NULL", format!("e.username = ? AND {IS_FAILED}"));
            let row = Text::new(format!("(({by}) OR ({about}))"), [username.into(), username.into()]);
            all.any(row, vec![Text::new(by, [username.into()]), Text::new(about, [username.into()])]);
        }
        if let Some(ip) = &self.ip {
            all.equal("e.ip <> '' AND e.ip = ?", ip);
        }
        if let Some(application) = &self.application {
            all.equal("e.application <> '' AND e.application = ?", application);
        }
        if let Some(names) = &self.names {
            let find = if is_sqlite { "instr" } else { "strpos" };
            all.check(format!("{find}(e.content, ?) > 0"), [names.into()]);
        }
        match self.kinds.as_deref() {
            None => {}
            Some([]) => all.any_of(Text::new("1 = 0", []), vec![Text::new("1 = 0", [])]),
            Some(kinds) => {
                let values: Vec<Value> = kinds.iter().map(Into::into).collect();
                let row = Text::new(format!("e.kind IN ({})", vec!["?"; kinds.len()].join(", ")), values);
                if self.is_of_changes() {
                    // The user's changes are few.
                    all.check(row.sql, row.values);
                    return all;
                }
                all.any_of(row, kinds.iter().map(|kind| Text::new("e.kind = ?", [kind.into()])).collect());
            }
        }
        all
    }

    fn add_kinds(&self, all: &mut Condition) {
        match self.kinds.as_deref() {
            None => {}
            Some([]) => all.parts.push("1 = 0".to_owned()),
            Some([kind]) => all.push("e.kind =", kind),
            Some(kinds) => {
                all.parts.push(format!("e.kind IN ({})", placeholders(all.values.len(), kinds.len())));
                all.values.extend(kinds.iter().map(Into::into));
            }
        }
    }

    fn add_rest(&self, all: &mut Condition, is_sqlite: bool) {
        if let Some(ip) = &self.ip {
            all.push("e.ip <> '' AND e.ip =", ip);
        }
        if let Some(user) = self.user {
            all.push("e.user_uuid =", user);
        }
        if let Some(actor) = &self.actor {
            all.push("e.actor =", actor);
        }
        if let Some(parent) = self.parent {
            all.push("e.parent_id =", parent);
        }
        if self.is_whole {
            all.parts.push("e.parent_id IS NULL".to_owned());
        }
        if let Some(session) = self.session {
            all.push("e.session_uuid =", session);
        }
        if let Some(names) = &self.names {
            all.values.push(names.into());
            let find = if is_sqlite { "instr" } else { "strpos" };
            all.parts.push(format!("{find}(e.content, ${}) > 0", all.values.len()));
        }
        if let Some(application) = &self.application {
            all.push("e.application <> '' AND e.application =", application);
        }
        let bounds = [("e.at >=", self.from), ("e.at >", self.after), ("e.at <=", self.to), ("e.at <", self.before)];
        for (sql, instant) in bounds {
            if let Some(instant) = instant {
                all.push(sql, instant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_of_changes_has_the_kinds_that_are_asked_for() {
        let kinds: Vec<String> = CHANGES_OF_USERS.iter().map(|kind| format!("'{kind}'")).collect();
        let kinds = format!("kind IN ({})", kinds.join(", "));
        assert_eq!(IS_CHANGE_OF_USER, format!("e.{kinds}"));
        for migration in [
            include_str!("../../../migrations/sqlite/0026_changes_of_users.sql"),
            include_str!("../../../migrations/postgres/0026_changes_of_users.sql"),
        ] {
            assert!(migration.contains(&format!("WHERE {kinds};")), "{migration}");
        }
    }
}
