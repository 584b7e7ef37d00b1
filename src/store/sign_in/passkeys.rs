//! What passkeys need outside of the table of authenticators: the handle of each user, and the
//! challenges that were used.

use crate::domain::{HashedSecret, Timestamp, UserId};
use crate::store::{Db, StoreError};
use crate::values;

impl Db<'_> {
    /// The handle of a user, which authenticators store instead of the name; `None` if they have
    /// none yet.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_user_handle(&self, user: UserId) -> Result<Option<Vec<u8>>, StoreError> {
        self.one("SELECT handle FROM user_handles WHERE user_id = $1", &values![user]).await
    }

    /// Stores a user's handle, unless they have one.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn insert_user_handle(&self, user: UserId, handle: &[u8]) -> Result<(), StoreError> {
        let sql = "INSERT INTO user_handles (user_id, handle) VALUES ($1, $2) ON CONFLICT (user_id) DO NOTHING";
        self.execute(sql, &values![user, handle.to_vec()]).await.map(drop)
    }

    /// Uses a challenge up. Returns whether it was unused: of concurrent calls, one returns true.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn use_challenge(&self, challenge: HashedSecret, expires_at: Timestamp) -> Result<bool, StoreError> {
        let sql =
            "INSERT INTO used_challenges (challenge_hash, expires_at) VALUES ($1, $2) ON CONFLICT (challenge_hash) DO NOTHING";
        Ok(self.execute(sql, &values![challenge, expires_at]).await? > 0)
    }

    /// Deletes used challenges that have expired: nobody could use them any more.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_expired_challenges(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.execute("DELETE FROM used_challenges WHERE expires_at <= $1", &values![now]).await
    }
}
