//! The secrets of confidential clients.

use crate::domain::{HashedSecret, Timestamp};
use crate::store::applications::rows::read_version;
use crate::store::{Db, FromRow, Row, StoreError};
use crate::values;

/// A secret that can be read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedSecret {
    /// The client, by the primary key of the provider.
    pub provider_id: i64,
    /// The secret's hash.
    pub hash: HashedSecret,
    /// The secret, sealed to its hash.
    pub sealed: Vec<u8>,
}

impl FromRow for SealedSecret {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self { provider_id: row.int()?, hash: read_hash(row.bytes()?)?, sealed: row.bytes()? })
    }
}

/// The version of the applications, and the hash of a secret if there is one.
struct VersionAndSecret(i64, Option<Vec<u8>>);

impl FromRow for VersionAndSecret {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self(read_version(row)?, row.opt_bytes()?))
    }
}

fn read_hash(bytes: Vec<u8>) -> Result<HashedSecret, StoreError> {
    bytes.try_into().map(HashedSecret).map_err(|_| StoreError::Corrupt("the hash of a client's secret"))
}

impl Db<'_> {
    /// The hashes of a client's secrets that are good at `now`, the newest first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_client_secrets(&self, provider: i64, now: Timestamp) -> Result<Vec<HashedSecret>, StoreError> {
        Ok(self.list_client_secrets_at_version(provider, now).await?.0)
    }

    /// The same, and the version of the applications at that moment.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_client_secrets_at_version(
        &self,
        provider: i64,
        now: Timestamp,
    ) -> Result<(Vec<HashedSecret>, i64), StoreError> {
        let sql = "SELECT v.value, s.hash FROM settings v LEFT JOIN client_secrets s ON s.provider_id = $1 \
            AND (s.expires_at IS NULL OR s.expires_at > $2) WHERE v.name = 'applications.version' \
            ORDER BY s.created_at DESC, s.hash";
        let rows: Vec<VersionAndSecret> = self.all(sql, &values![provider, now]).await?;
        let version = rows.first().ok_or(StoreError::Corrupt("the version of the applications"))?.0;
        let hashes = rows.into_iter().filter_map(|row| row.1).map(read_hash).collect::<Result<_, _>>()?;
        Ok((hashes, version))
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

    /// Makes this the only secret of a client, whose row is locked.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when another client has it.
    pub async fn replace_client_secrets(
        &self,
        provider: i64,
        (hash, sealed): (HashedSecret, Option<Vec<u8>>),
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.delete_client_secrets(provider).await?;
        let sql = "INSERT INTO client_secrets (hash, provider_id, created_at, sealed) VALUES ($1, $2, $3, $4)";
        self.execute(sql, &values![hash, provider, now, sealed]).await.map(drop)
    }

    /// Removes all secrets of a client; gives how many.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_client_secrets(&self, provider: i64) -> Result<u64, StoreError> {
        self.execute("DELETE FROM client_secrets WHERE provider_id = $1", &values![provider]).await
    }

    /// The newest secrets of all clients, as far as they can be read again.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_sealed_client_secrets(&self) -> Result<Vec<SealedSecret>, StoreError> {
        let sql = "SELECT provider_id, hash, sealed FROM client_secrets WHERE sealed IS NOT NULL AND expires_at IS NULL";
        self.all(sql, &[]).await
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
