//! SQL in parts, with its values.

use crate::store::Value;

/// SQL with a `?` for each value.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Text {
    pub sql: String,
    pub values: Vec<Value>,
}

impl Text {
    pub fn new(sql: impl Into<String>, values: impl Into<Vec<Value>>) -> Self {
        Self { sql: sql.into(), values: values.into() }
    }

    /// Adds a condition.
    pub fn and(&mut self, sql: &str, values: impl IntoIterator<Item = Value>) {
        if sql.is_empty() {
            return;
        }
        if !self.sql.is_empty() {
            self.sql.push_str(" AND ");
        }
        self.sql.push_str(sql);
        self.values.extend(values);
    }

    /// Adds another way to meet the condition.
    pub fn or(&mut self, sql: &str, values: impl IntoIterator<Item = Value>) {
        if !self.sql.is_empty() {
            self.sql.push_str(" OR ");
        }
        self.sql.push_str(sql);
        self.values.extend(values);
    }

    /// Adds the condition that another one is.
    pub fn and_all(&mut self, other: &Self) {
        self.and(&other.sql, other.values.iter().cloned());
    }

    /// The `WHERE` clause that it is, with a blank before it; `""`: no condition.
    pub fn clause(&self) -> String {
        if self.sql.is_empty() { String::new() } else { format!(" WHERE {}", self.sql) }
    }

    /// The statement with `$1`, `$2` in place of each `?`.
    pub fn numbered(self) -> (String, Vec<Value>) {
        let mut parts = self.sql.split('?');
        let mut sql = parts.next().unwrap_or_default().to_owned();
        for (at, part) in parts.enumerate() {
            sql.push('$');
            sql.push_str(&(at + 1).to_string());
            sql.push_str(part);
        }
        (sql, self.values)
    }
}
