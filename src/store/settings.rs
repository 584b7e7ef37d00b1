//! Small facts about the database itself, by name.

use crate::store::{Db, StoreError};
use crate::values;

impl Db<'_> {
    /// A fact.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        self.one("SELECT value FROM settings WHERE name = $1", &values![name]).await
    }

    /// Sets a fact.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn update_setting(&self, name: &str, value: &str) -> Result<(), StoreError> {
        let sql = "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        self.execute(sql, &values![name, value]).await.map(drop)
    }
}
