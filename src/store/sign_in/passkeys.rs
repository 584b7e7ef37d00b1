//! What passkeys need beside their rows among the authenticators: what users are called towards
//! authenticators, and which challenges were used.

use crate::domain::{HashedSecret, Timestamp, UserId};
use crate::store::{Db, StoreError};
use crate::values;

impl Db<'_> {
    /// What a user is called towards authenticators, if they ever were.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_user_handle(&self, user: UserId) -> Result<Option<Vec<u8>>, StoreError> {
        self.one("SELECT handle FROM user_handles WHERE user_id = $1", &values![user]).await
    }

    /// Calls a user so towards authenticators, unless they have a handle already.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn insert_user_handle(&self, user: UserId, handle: &[u8]) -> Result<(), StoreError> {
        let sql = "INSERT INTO user_handles (user_id, handle) VALUES ($1, $2) ON CONFLICT (user_id) DO NOTHING";
        self.execute(sql, &values![user, handle.to_vec()]).await.map(drop)
    }

    /// Uses a challenge up. Gives whether it was unused: of many at once, one is.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn use_challenge(&self, challenge: HashedSecret, expires_at: Timestamp) -> Result<bool, StoreError> {
        let sql =
            "INSERT INTO used_challenges (challenge_hash, expires_at) VALUES ($1, $2) ON CONFLICT (challenge_hash) DO NOTHING";
        Ok(self.execute(sql, &values![challenge, expires_at]).await? > 0)
    }

    /// Forgets used challenges that are over: nobody could use them any more.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_expired_challenges(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.execute("DELETE FROM used_challenges WHERE expires_at <= $1", &values![now]).await
    }
}
