//! Small facts about the database itself, by name.

use crate::store::{Db, StoreError};
use crate::values;

/// The key of PostgreSQL's advisory lock that sign-ins share, and that a change of the instance's limits holds alone.
pub(in crate::store) const LIMITS_LOCK: i64 = 0x0526_f11c_a111;

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
