//! What tokens have ended since their minute began: one row for each token, locked while it changes.

use crate::domain::burst::Burst;
use crate::store::{Db, StoreError};
use crate::values;

impl Db<'_> {
    /// What a token has ended, until the end of the transaction for this one alone. `None`: the token is gone.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn lock_burst(&self, token: i64) -> Result<Option<Burst>, StoreError> {
        let sql = "INSERT INTO token_bursts (token_id, burst) SELECT id, '{}' FROM tokens WHERE id = $1 \
            ON CONFLICT (token_id) DO UPDATE SET token_id = excluded.token_id RETURNING burst";
        let stored: Option<String> = self.one(sql, &values![token]).await?;
        Ok(stored.map(|text| serde_json::from_str(&text).unwrap_or_default()))
    }

    /// Keeps what a token has ended.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn update_burst(&self, token: i64, burst: &Burst) -> Result<(), StoreError> {
        let text = serde_json::to_string(burst).map_err(|error| StoreError::Failed(error.to_string()))?;
        self.execute("UPDATE token_bursts SET burst = $2 WHERE token_id = $1", &values![token, text]).await.map(drop)
    }

    /// The user whose session this is; `None`: there is no such session.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_session_owner(&self, uuid: crate::domain::SessionId) -> Result<Option<crate::domain::UserId>, StoreError> {
        Ok(self.one::<i64>("SELECT user_id FROM sessions WHERE uuid = $1", &values![uuid]).await?.map(crate::domain::UserId))
    }
}
