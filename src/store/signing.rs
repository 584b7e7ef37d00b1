//! The keys that sign what apps check by themselves. A change runs in a transaction that begins with
//! [`Db::lock_signing_keys`], so that two nodes that start at once make one set.

use crate::domain::Timestamp;
use crate::domain::signing::KeyTimes;
use crate::store::{Db, FromRow, Row, StoreError};
use crate::values;

/// The name of the counter that each change of the keys raises.
const VERSION: &str = "keys.version";

/// A key, as stored.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKeyRow {
    /// What names it: its thumbprint.
    pub kid: String,
    /// `RS256` or `ES256`.
    pub algorithm: String,
    /// The public half, as JSON.
    pub public_key: String,
    /// The private half, sealed with the instance key for the key's `kid`.
    pub sealed: Vec<u8>,
    /// From when it is published.
    pub created_at: Timestamp,
    /// From when it signs.
    pub signs_at: Timestamp,
}

impl SigningKeyRow {
    /// Its times.
    #[must_use]
    pub fn times(&self) -> KeyTimes {
        KeyTimes { created_at: self.created_at, signs_at: self.signs_at }
    }
}

impl std::fmt::Debug for SigningKeyRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKeyRow({} {})", self.algorithm, self.kid)
    }
}

impl FromRow for SigningKeyRow {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            kid: row.text()?,
            algorithm: row.text()?,
            public_key: row.text()?,
            sealed: row.bytes()?,
            created_at: row.timestamp()?,
            signs_at: row.timestamp()?,
        })
    }
}

impl Db<'_> {
    /// The version of the keys: it is raised by each change.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_signing_keys_version(&self) -> Result<String, StoreError> {
        self.find_setting(VERSION).await?.ok_or(StoreError::Corrupt("the version of the signing keys"))
    }

    /// Raises the version, and holds off other transactions that change the keys until this one ends.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn lock_signing_keys(&self) -> Result<(), StoreError> {
        let sql = "UPDATE settings SET value = CAST(CAST(value AS BIGINT) + 1 AS TEXT) WHERE name = $1";
        self.execute(sql, &values![VERSION]).await.map(drop)
    }

    /// All keys, those that sign first first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_signing_keys(&self) -> Result<Vec<SigningKeyRow>, StoreError> {
        let sql =
            "SELECT kid, algorithm, public_key, sealed, created_at, signs_at FROM signing_keys ORDER BY signs_at, algorithm, kid";
        self.all(sql, &[]).await
    }

    /// Adds a key.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when it is there already.
    pub async fn insert_signing_key(&self, key: &SigningKeyRow) -> Result<(), StoreError> {
        let sql =
            "INSERT INTO signing_keys (kid, algorithm, public_key, sealed, created_at, signs_at) VALUES ($1, $2, $3, $4, $5, $6)";
        let SigningKeyRow { kid, algorithm, public_key, sealed, created_at, signs_at } = key;
        self.execute(sql, &values![kid, algorithm, public_key, sealed.clone(), *created_at, *signs_at]).await.map(drop)
    }

    /// Removes a key: nothing that it signed is recognised any more.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_signing_key(&self, kid: &str) -> Result<(), StoreError> {
        self.execute("DELETE FROM signing_keys WHERE kid = $1", &values![kid]).await.map(drop)
    }
}
