//! Sign-ins that have proved their password and have a step to go.

use crate::domain::{HashedSecret, Methods, Timestamp, UserId};
use crate::store::{Db, StoreError};
use crate::values;

impl Db<'_> {
    /// Remembers that the holder of `key` proved to be `user`, and how.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn insert_pending_sign_in(
        &self,
        key: HashedSecret,
        user: UserId,
        methods: Methods,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO pending_sign_ins (key_hash, user_id, methods, expires_at) VALUES ($1, $2, $3, $4)";
        self.execute(sql, &values![key, user, methods.to_string(), expires_at]).await.map(drop)
    }

    /// Whose it is, without using it up.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_pending_sign_in(&self, key: HashedSecret, now: Timestamp) -> Result<Option<UserId>, StoreError> {
        let sql = "SELECT user_id FROM pending_sign_ins WHERE key_hash = $1 AND expires_at > $2";
        Ok(self.one::<i64>(sql, &values![key, now]).await?.map(UserId))
    }

    /// Uses it up: of many that try at once, one succeeds.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn take_pending_sign_in(&self, key: HashedSecret, now: Timestamp) -> Result<Option<(UserId, Methods)>, StoreError> {
        let sql = "DELETE FROM pending_sign_ins WHERE key_hash = $1 AND expires_at > $2 RETURNING user_id, methods";
        let taken = self.one::<(i64, String)>(sql, &values![key, now]).await?;
        Ok(taken.map(|(user, methods)| (UserId(user), Methods::parse(&methods))))
    }

    /// Forgets those of a user.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_pending_sign_ins_of(&self, user: UserId) -> Result<(), StoreError> {
        self.execute("DELETE FROM pending_sign_ins WHERE user_id = $1", &values![user]).await.map(drop)
    }

    /// Forgets those whose time is over.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_expired_pending_sign_ins(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.execute("DELETE FROM pending_sign_ins WHERE expires_at <= $1", &values![now]).await
    }
}
