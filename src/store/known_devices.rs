//! Browsers that somebody signed in with before. Knowing one opens nothing: it tells a user's own
//! browsers from a stranger's.

use super::{Db, Statement, StoreError, Value};
use crate::domain::{HashedSecret, Timestamp, UserId};
use crate::values;

/// The most browsers that are kept known of one user; the ones used longest ago make room, now and then.
const MOST: i64 = 50;
/// One new browser of so many makes those beyond the most be forgotten.
const PRUNED_BY: u8 = 8;

impl Db<'_> {
    /// When each browser of a user was first and last used to sign in.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_known_devices(&self, user: UserId) -> Result<Vec<(i64, i64)>, StoreError> {
        let sql = "SELECT created_at, last_used_at FROM known_devices WHERE user_id = $1 ORDER BY created_at, last_used_at";
        self.all(sql, &values![user]).await
    }

    /// Whether a user signed in with the browser that holds this secret.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn is_known_device(&self, user: UserId, secret: HashedSecret) -> Result<bool, StoreError> {
        let sql = "SELECT user_id FROM known_devices WHERE user_id = $1 AND secret_hash = $2";
        Ok(self.one::<i64>(sql, &values![user, secret]).await?.is_some())
    }

    /// Notes that a user signed in with a browser they are known to have. Gives whether it is one.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn touch_known_device(&self, user: UserId, secret: HashedSecret, now: Timestamp) -> Result<bool, StoreError> {
        let sql = "UPDATE known_devices SET last_used_at = $3 WHERE user_id = $1 AND secret_hash = $2";
        Ok(self.execute(sql, &values![user, secret, now]).await? > 0)
    }

    /// Makes a browser known of a user under the fresh secret `new`. Whoever else it is known of, under
    /// the `old` one, knows it by the new one, too: a browser keeps one secret. Written with the last statements
    /// of the transaction.
    pub fn insert_known_device_last(&self, user: UserId, new: HashedSecret, old: Option<HashedSecret>, now: Timestamp) {
        let statement = |sql: &str, values: &[Value]| Statement { sql: sql.to_owned(), values: values.to_vec() };
        let mut statements = Vec::new();
        if let Some(old) = old {
            statements.push(statement("UPDATE known_devices SET secret_hash = $2 WHERE secret_hash = $1", &values![old, new]));
        }
        let sql = "INSERT INTO known_devices (secret_hash, user_id, created_at, last_used_at) VALUES ($1, $2, $3, $3)";
        statements.push(statement(sql, &values![new, user, now]));
        // Not each time, for it reads them all. Secrets are random.
        if new.0.first().is_some_and(|byte| byte % PRUNED_BY == 0) {
            let sql = "DELETE FROM known_devices WHERE user_id = $1 AND secret_hash IN (SELECT secret_hash FROM known_devices \
                WHERE user_id = $1 ORDER BY last_used_at DESC, secret_hash LIMIT 1000 OFFSET $2)";
            statements.push(statement(sql, &values![user, MOST]));
        }
        self.run_last(statements);
    }

    /// Forgets all browsers of a user.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_known_devices(&self, user: UserId) -> Result<(), StoreError> {
        self.execute("DELETE FROM known_devices WHERE user_id = $1", &values![user]).await.map(drop)
    }

    /// Forgets browsers that nobody signed in with since `before`, and gives how many there were.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_unused_known_devices(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.execute("DELETE FROM known_devices WHERE last_used_at < $1", &values![before]).await
    }
}
