//! The keys of guarded hosts' cookies.

use crate::domain::{HashedSecret, SessionId, Timestamp};
use crate::store::sessions::rows::{LiveSession, select_live};
use crate::store::{Db, StoreError};
use crate::values;

/// A key to add.
#[derive(Clone, Debug)]
pub struct NewAppKey<'a> {
    /// Its hash.
    pub hash: HashedSecret,
    /// The app session that it is part of.
    pub app_session_id: i64,
    /// The session of that.
    pub session_id: i64,
    /// The host whose cookie holds it.
    pub host: &'a str,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Db<'_> {
    /// Adds a key.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the app session is gone; when the database does not answer.
    pub async fn insert_app_key(&self, key: &NewAppKey<'_>) -> Result<(), StoreError> {
        let sql = "INSERT INTO app_keys (hash, app_session_id, session_id, host, created_at) VALUES ($1, $2, $3, $4, $5)";
        let values = values![key.hash, key.app_session_id, key.session_id, key.host, key.created_at];
        self.execute(sql, &values).await.map(drop)
    }

    /// Whether this is a key of this app session and host that was made at `since` or later.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn has_app_key(
        &self,
        hash: HashedSecret,
        app_session_id: i64,
        host: &str,
        since: Timestamp,
    ) -> Result<bool, StoreError> {
        let sql = "SELECT created_at FROM app_keys WHERE hash = $1 AND app_session_id = $2 AND host = $3 AND created_at >= $4";
        let found: Option<i64> = self.one(sql, &values![hash, app_session_id, host, since]).await?;
        Ok(found.is_some())
    }

    /// Removes the keys of an app session that were made before `since`, on all of its hosts.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_app_keys_before(&self, app_session_id: i64, since: Timestamp) -> Result<u64, StoreError> {
        let sql = "DELETE FROM app_keys WHERE app_session_id = $1 AND created_at < $2";
        self.execute(sql, &values![app_session_id, since]).await
    }

    /// Removes the oldest keys of an app session on a host until no more than `most` are left.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_oldest_app_keys(&self, app_session_id: i64, host: &str, most: i64) -> Result<u64, StoreError> {
        let sql = "DELETE FROM app_keys WHERE hash IN (SELECT hash FROM app_keys WHERE app_session_id = $1 AND host = $2 \
            ORDER BY created_at DESC, hash LIMIT 1000 OFFSET $3)";
        self.execute(sql, &values![app_session_id, host, most]).await
    }

    /// Removes the oldest keys of an app session, whatever their hosts, until no more than `most` are left.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_oldest_app_keys_of_all(&self, app_session_id: i64, most: i64) -> Result<u64, StoreError> {
        let sql = "DELETE FROM app_keys WHERE hash IN (SELECT hash FROM app_keys WHERE app_session_id = $1 \
            ORDER BY created_at DESC, hash LIMIT 1000 OFFSET $2)";
        self.execute(sql, &values![app_session_id, most]).await
    }

    /// Removes a key.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_app_key(&self, hash: HashedSecret) -> Result<u64, StoreError> {
        self.execute("DELETE FROM app_keys WHERE hash = $1", &values![hash]).await
    }

    /// The primary key of the row of a session.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_session_row_id(&self, uuid: SessionId) -> Result<Option<i64>, StoreError> {
        self.one("SELECT id FROM sessions WHERE uuid = $1", &values![uuid]).await
    }

    /// The session with this primary key, while it is live and its user is active.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_live_session_by_id(&self, id: i64, now: Timestamp) -> Result<Option<LiveSession>, StoreError> {
        const SQL: &str =
            select_live!(" FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.id = $1 AND s.expires_at > $2 AND u.is_active");
        self.one(SQL, &values![id, now]).await
    }
}
