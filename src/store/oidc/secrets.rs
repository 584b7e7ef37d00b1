//! The secrets of confidential clients.

use crate::domain::{HashedSecret, Timestamp};
use crate::store::{Db, StoreError};
use crate::values;

impl Db<'_> {
    /// The hashes of a client's secrets that are good at `now`, the newest first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_client_secrets(&self, provider: i64, now: Timestamp) -> Result<Vec<HashedSecret>, StoreError> {
        let sql = "SELECT hash FROM client_secrets WHERE provider_id = $1 AND (expires_at IS NULL OR expires_at > $2) \
            ORDER BY created_at DESC, hash";
        let hashes: Vec<Vec<u8>> = self.all(sql, &values![provider, now]).await?;
        let read =
            |bytes: Vec<u8>| bytes.try_into().map(HashedSecret).map_err(|_| StoreError::Corrupt("the hash of a client's secret"));
        hashes.into_iter().map(read).collect()
    }

    /// Adds a secret. Those before it expire at `old_until`, if they do not sooner, and all but the newest of them at once.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when another client has it.
    pub async fn insert_client_secret(
        &self,
        provider: i64,
        hash: HashedSecret,
        now: Timestamp,
        old_until: Timestamp,
    ) -> Result<(), StoreError> {
        let newest = self.list_client_secrets(provider, now).await?.first().copied();
        match newest {
            Some(newest) => {
                let sql = "DELETE FROM client_secrets WHERE provider_id = $1 AND hash <> $2";
                self.execute(sql, &values![provider, newest]).await?;
                let sql =
                    "UPDATE client_secrets SET expires_at = $2 WHERE provider_id = $1 AND (expires_at IS NULL OR expires_at > $2)";
                self.execute(sql, &values![provider, old_until]).await?;
            }
            None => drop(self.execute("DELETE FROM client_secrets WHERE provider_id = $1", &values![provider]).await?),
        }
        let sql = "INSERT INTO client_secrets (hash, provider_id, created_at) VALUES ($1, $2, $3)";
        self.execute(sql, &values![hash, provider, now]).await.map(drop)
    }

    /// Removes all secrets of a client but the newest; gives how many.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_old_client_secrets(&self, provider: i64) -> Result<u64, StoreError> {
        let sql = "DELETE FROM client_secrets WHERE provider_id = $1 AND hash NOT IN (SELECT hash FROM client_secrets \
            WHERE provider_id = $1 ORDER BY created_at DESC, hash LIMIT 1)";
        self.execute(sql, &values![provider]).await
    }
}
