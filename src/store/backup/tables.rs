//! Which tables a backup holds, and what their columns are.

use std::collections::BTreeSet;

use crate::store::db::migrate::Migration;
use crate::store::{Value, migrations};

/// The tables that a backup holds. A table comes after those that its foreign keys lead to. A table that a
/// migration adds is in this list or in [`LEFT_OUT`]; a test fails until it is.
pub const SAVED: &[&str] = &[
    "settings",
    "users",
    "user_permissions",
    "user_policies",
    "user_handles",
    "user_changes",
    "former_names",
    "groups",
    "group_permissions",
    "group_policies",
    "group_parents",
    "group_ancestors",
    "memberships",
    "tokens",
    "token_bursts",
    "authenticators",
    "recovery_codes",
    "known_devices",
    "used_challenges",
    "user_agents",
    "sources",
    "source_users",
    "watched_sessions",
    "session_rows",
    "pending_ends",
    "pending_end_sessions",
    "ended_sessions",
    "end_jobs",
    "session_counts",
    "row_counts",
    "applications",
    "providers",
    "app_hosts",
    "app_sessions",
    "app_keys",
    "token_applications",
    "signing_keys",
    "back_channels",
    "client_secrets",
    "consents",
    "oidc_codes",
    "oidc_tokens",
    "logout_notices",
    "events",
];

/// The tables that a backup leaves out: what is over within minutes (guesses, sign-ins in progress and of devices, tickets,
/// probes of proxies), the change logs, which only running processes read, the migrations, which the head of a backup names, and
/// what is under way at others: ends at a watched authentik (a restored one would end sessions that nobody thinks of any more),
/// and how apps were reached. What apps are owed is saved: that a session ended stays true, and may be told twice.
pub const LEFT_OUT: &[&str] = &[
    "migrations",
    "session_changes",
    "watched_changes",
    "guess_limits",
    "factor_tries",
    "pending_sign_ins",
    "tickets",
    "proxy_probes",
    "device_codes",
    "asked_ends",
    "source_jobs",
    "notice_lines",
];

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// Whole numbers.
    Int,
    /// True or false: in SQLite numbers.
    Bool,
    /// Text.
    Text,
    /// Bytes.
    Bytes,
    /// UUIDs: in SQLite 16 bytes.
    Uuid,
}

impl ColumnKind {
    const ALL: [(Self, &'static str); 5] =
        [(Self::Int, "int"), (Self::Bool, "bool"), (Self::Text, "text"), (Self::Bytes, "bytes"), (Self::Uuid, "uuid")];

    /// Its word in a backup.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL.into_iter().find(|(kind, _)| *kind == self).map_or("", |(_, word)| word)
    }

    /// The kind of that word; `None` when there is none.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, known)| *known == word).map(|(kind, _)| kind)
    }

    /// What a column of SQLite holds, by its declared type and, where SQLite has no such type, by its name.
    pub(super) fn in_sqlite(declared: &str, name: &str) -> Option<Self> {
        match declared {
            "INTEGER" if name.starts_with("is_") || name == "require_factor" => Some(Self::Bool),
            "INTEGER" => Some(Self::Int),
            "TEXT" => Some(Self::Text),
            "BLOB" if name == "uuid" || name.ends_with("_uuid") => Some(Self::Uuid),
            "BLOB" => Some(Self::Bytes),
            _ => None,
        }
    }

    /// What a column of PostgreSQL holds, by the name of its type.
    pub(super) fn in_postgres(type_name: &str) -> Option<Self> {
        match type_name {
            "int8" => Some(Self::Int),
            "bool" => Some(Self::Bool),
            "text" => Some(Self::Text),
            "bytea" => Some(Self::Bytes),
            "uuid" => Some(Self::Uuid),
            _ => None,
        }
    }

    /// The value as a column of this kind takes it; `None` when it cannot. A backup may call a column of 16 bytes
    /// a UUID, or a number true or false, and the other database not.
    pub(super) fn fit(self, value: Value) -> Option<Value> {
        match (self, value) {
            (_, Value::Null) => Some(Value::Null),
            (Self::Bool, Value::Int(n @ (0 | 1))) => Some(Value::Bool(n == 1)),
            (Self::Int, Value::Bool(it)) => Some(Value::Int(i64::from(it))),
            (Self::Uuid, Value::Bytes(bytes)) => uuid::Uuid::from_slice(&bytes).ok().map(Value::Uuid),
            (Self::Bytes, Value::Uuid(it)) => Some(Value::Bytes(it.as_bytes().to_vec())),
            (Self::Int, value @ Value::Int(_))
            | (Self::Bool, value @ Value::Bool(_))
            | (Self::Text, value @ Value::Text(_))
            | (Self::Bytes, value @ Value::Bytes(_))
            | (Self::Uuid, value @ Value::Uuid(_)) => Some(value),
            _ => None,
        }
    }
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: ColumnKind,
}

/// A table, before its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableHead {
    /// Its name: one of [`SAVED`].
    pub name: String,
    /// Its columns, in the order of the cells of its rows.
    pub columns: Vec<Column>,
    /// The greatest primary key that was ever given, which is not given again; `None` for a table whose keys are
    /// not numbered.
    pub last_id: Option<i64>,
}

impl TableHead {
    /// Its columns' names, quoted and separated by commas.
    pub(super) fn names(&self) -> String {
        self.columns.iter().map(|column| format!("\"{}\"", column.name)).collect::<Vec<_>>().join(", ")
    }
}

/// The names that the migrations make for a kind of thing, such as `TABLE`.
pub(super) fn made(thing: &str, text_of: impl Fn(&Migration) -> &'static str) -> BTreeSet<&'static str> {
    let mut names = BTreeSet::new();
    for migration in migrations() {
        let mut words = text_of(migration).split(|c: char| c.is_whitespace() || c == '(').filter(|word| !word.is_empty());
        while let Some(word) = words.next() {
            if word == thing
                && let Some(name) = words.next()
            {
                names.insert(name);
            }
        }
    }
    names.retain(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit()));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_table_of_the_schema_is_saved_or_left_out() {
        let listed: BTreeSet<&str> = SAVED.iter().chain(LEFT_OUT).copied().collect();
        assert_eq!(listed.len(), SAVED.len() + LEFT_OUT.len(), "no table is in both");
        let mut made = made("TABLE", |migration| migration.sqlite);
        made.insert("migrations");
        assert_eq!(made, listed);
    }

    #[test]
    fn values_fit_columns_of_either_database() {
        let uuid = uuid::Uuid::from_u128(7);
        for (kind, value, fitting) in [
            (ColumnKind::Bool, Value::Int(1), Some(Value::Bool(true))),
            (ColumnKind::Bool, Value::Int(2), None),
            (ColumnKind::Int, Value::Bool(true), Some(Value::Int(1))),
            (ColumnKind::Uuid, Value::Bytes(uuid.as_bytes().to_vec()), Some(Value::Uuid(uuid))),
            (ColumnKind::Uuid, Value::Bytes(vec![1]), None),
            (ColumnKind::Bytes, Value::Uuid(uuid), Some(Value::Bytes(uuid.as_bytes().to_vec()))),
            (ColumnKind::Text, Value::Null, Some(Value::Null)),
            (ColumnKind::Text, Value::Int(1), None),
            (ColumnKind::Int, Value::Text("1".into()), None),
        ] {
            assert_eq!(kind.fit(value.clone()), fitting, "{kind:?} {value:?}");
        }
        for (kind, word) in ColumnKind::ALL {
            assert_eq!((ColumnKind::parse(word), kind.as_str()), (Some(kind), word));
        }
        assert_eq!(ColumnKind::parse("float"), None);
    }
}
