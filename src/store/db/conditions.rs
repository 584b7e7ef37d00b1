//! Conditions of statements that are put together, and their values.

use crate::domain::people_lists::AttributeFilter;
use crate::store::db::statements::placeholders;
use crate::store::{Db, Value};

/// Conditions that all apply, and their values from `$1`.
pub(in crate::store) struct Conditions {
    all: Vec<String>,
    /// The values so far.
    pub values: Vec<Value>,
    is_sqlite: bool,
}

impl Conditions {
    /// None so far, in the words of this database.
    pub fn of(db: &Db<'_>) -> Self {
        Self { all: Vec::new(), values: Vec::new(), is_sqlite: db.is_sqlite() }
    }

    /// Adds a condition without a value.
    pub fn add(&mut self, sql: impl Into<String>) {
        self.all.push(sql.into());
    }

    /// Adds a condition in which each `?` is this value; without a value, none.
    pub fn with(&mut self, sql: &str, value: Option<impl Into<Value>>) {
        let Some(value) = value else { return };
        let place = self.place(value);
        self.all.push(sql.replace('?', &place));
    }

    /// Adds a condition in which `?` is a list of these values; without any, none.
    pub fn within(&mut self, sql: &str, values: impl IntoIterator<Item = impl Into<Value>>) {
        let before = self.values.len();
        self.values.extend(values.into_iter().map(Into::into));
        if self.values.len() > before {
            self.all.push(sql.replace('?', &placeholders(before, self.values.len() - before)));
        }
    }

    /// Adds a value and gives its place in a statement, such as `$3`.
    pub fn place(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len())
    }

    /// `part` is a part of `column`, whose texts are folded alike.
    pub fn contains(&mut self, column: &str, place: &str) -> String {
        let find = if self.is_sqlite { "instr" } else { "strpos" };
        format!("{find}({column}, {place}) > 0")
    }

    /// Whether this is for SQLite.
    pub fn is_sqlite(&self) -> bool {
        self.is_sqlite
    }

    /// Adds that a column of JSON objects has these attributes. Objects without any are not parsed.
    pub fn with_attributes(&mut self, column: &str, filter: Option<&AttributeFilter>) {
        let Some(filter) = filter else { return };
        for (names, value) in filter.places() {
            if self.is_sqlite && names.iter().any(|name| name.contains(['"', '\\'])) {
                // A path of SQLite cannot name such an attribute.
                self.all.push("1 = 0".to_owned());
                continue;
            }
            let value = self.place(value.to_string());
            self.all.push(format!("{column} <> '{{}}'"));
            if self.is_sqlite {
                let path = self.place(format!("$.\"{}\"", names.join("\".\"")));
                self.all.push(format!("({column} -> {path}) = {value}"));
            } else {
                let escaped = |name: &&str| format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""));
                let path: Vec<String> = names.iter().map(escaped).collect();
                let path = self.place(format!("{{{}}}", path.join(",")));
                self.all.push(format!(
                    "(CAST({column} AS jsonb) #> CAST(CAST({path} AS text) AS text[])) = CAST(CAST({value} AS text) AS jsonb)"
                ));
            }
        }
    }

    /// The condition, such as `a = $1 AND b = $2`, and the values; without any it is `TRUE`.
    pub fn into_parts(self) -> (String, Vec<Value>) {
        let sql = if self.all.is_empty() { "TRUE".to_owned() } else { self.all.join(" AND ") };
        (sql, self.values)
    }

    /// The `WHERE` clause, with a blank before it; `""`: no condition.
    pub fn clause(&self) -> String {
        if self.all.is_empty() { String::new() } else { format!(" WHERE {}", self.all.join(" AND ")) }
    }
}
