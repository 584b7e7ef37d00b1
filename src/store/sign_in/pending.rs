//! Pending sign-ins: at least one step is proved and another is needed. Each row holds the
//! generation of its user's credentials for which it was proved.

use crate::domain::{Generation, HashedSecret, Methods, Timestamp, UserId};
use crate::store::{Db, FromRow, Row, StoreError};
use crate::values;

/// A pending sign-in, as stored.
#[derive(Clone, Debug)]
pub struct PendingSignIn {
    /// Its user.
    pub user: UserId,
    /// How they proved who they are.
    pub methods: Methods,
    /// The generation of the credentials that was proved; `None` equals no user's.
    pub generation: Option<Generation>,
}

impl FromRow for PendingSignIn {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            user: UserId(row.int()?),
            methods: Methods::parse(&row.text()?),
            generation: Generation::from_stored(&row.bytes()?),
        })
    }
}

impl Db<'_> {
    /// Adds a pending sign-in under the hash of its key.
    ///
    /// # Errors
    /// When the database does not answer, or there is no such user.
    pub async fn insert_pending_sign_in(
        &self,
        key: HashedSecret,
        (user, methods): (UserId, Methods),
        generation: Generation,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO pending_sign_ins (key_hash, user_id, methods, generation, expires_at) VALUES ($1, $2, $3, $4, $5)";
        self.execute(sql, &values![key, user, methods.to_string(), generation, expires_at]).await.map(drop)
    }

    /// The pending sign-in with this key that expires after `now` and not later than `latest`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_pending_sign_in(
        &self,
        key: HashedSecret,
        now: Timestamp,
        latest: Timestamp,
    ) -> Result<Option<PendingSignIn>, StoreError> {
        let sql = "SELECT user_id, methods, generation FROM pending_sign_ins \
            WHERE key_hash = $1 AND expires_at > $2 AND expires_at <= $3";
        self.one(sql, &values![key, now, latest]).await
    }

    /// Removes the same pending sign-in and returns it. Of concurrent calls, one gets it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn take_pending_sign_in(
        &self,
        key: HashedSecret,
        now: Timestamp,
        latest: Timestamp,
    ) -> Result<Option<PendingSignIn>, StoreError> {
        let sql = "DELETE FROM pending_sign_ins WHERE key_hash = $1 AND expires_at > $2 AND expires_at <= $3 \
            RETURNING user_id, methods, generation";
        self.one(sql, &values![key, now, latest]).await
    }

    /// Removes all pending sign-ins of a user.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_pending_sign_ins_of(&self, user: UserId) -> Result<(), StoreError> {
        self.execute("DELETE FROM pending_sign_ins WHERE user_id = $1", &values![user]).await.map(drop)
    }

    /// Removes pending sign-ins that ended by `now`, and gives how many.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_expired_pending_sign_ins(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.execute("DELETE FROM pending_sign_ins WHERE expires_at <= $1", &values![now]).await
    }
}
