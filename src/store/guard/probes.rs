//! What servers saw of the probes of `rollcall check proxy`.

use uuid::Uuid;

use crate::domain::Timestamp;
use crate::store::{Db, StoreError};
use crate::values;

impl Db<'_> {
    /// Adds what was seen of a probe, as JSON. Of a probe that is known already, nothing is added: the first sight counts.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn insert_probe(&self, id: Uuid, report: &str, expires_at: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT INTO proxy_probes (id, report, expires_at) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING";
        self.execute(sql, &values![id, report, expires_at]).await.map(drop)
    }

    /// What was seen of a probe, as JSON; `None`: no server saw it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_probe(&self, id: Uuid) -> Result<Option<String>, StoreError> {
        self.one("SELECT report FROM proxy_probes WHERE id = $1", &values![id]).await
    }

    /// Removes what was seen of probes whose time is over by `now`, and gives how many.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_expired_probes(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.execute("DELETE FROM proxy_probes WHERE expires_at <= $1", &values![now]).await
    }
}
