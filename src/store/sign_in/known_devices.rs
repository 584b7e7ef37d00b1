//! Browsers that a user signed in with before. A known browser opens nothing: it tells the user's
//! own browsers from a stranger's.

use crate::domain::{HashedSecret, Timestamp, UserId};
use crate::store::db::statements::{Statement, insert_statements};
use crate::store::{Db, StoreError, Value};
use crate::values;

/// The most known browsers of one user; those that were used longest ago are deleted from time to
/// time.
const MOST: i64 = 50;
/// One in this many new browsers triggers the deletion of a user's browsers beyond [`MOST`].
const PRUNED_BY: u8 = 32;

/// A browser that becomes known to a user.
#[derive(Clone, Copy, Debug)]
pub struct NewDevice {
    /// Whose it is.
    pub user: UserId,
    /// The hash of its new secret.
    pub secret: HashedSecret,
    /// The hash of the secret that it came with, if any. Rows of other users with that hash get the
    /// new one: a browser holds one secret.
    pub old: Option<HashedSecret>,
}

impl Db<'_> {
    /// When each browser of a user was first and last used to sign in.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_known_devices(&self, user: UserId) -> Result<Vec<(i64, i64)>, StoreError> {
        let sql = "SELECT created_at, last_used_at FROM known_devices WHERE user_id = $1 ORDER BY created_at, last_used_at";
        self.all(sql, &values![user]).await
    }

    /// Whether a user signed in after `since` with the browser that holds this secret.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn is_known_device(&self, user: UserId, secret: HashedSecret, since: Timestamp) -> Result<bool, StoreError> {
        let sql = "SELECT user_id FROM known_devices WHERE user_id = $1 AND secret_hash = $2 AND last_used_at > $3";
        Ok(self.one::<i64>(sql, &values![user, secret, since]).await?.is_some())
    }

    /// Updates the last use of those of these browsers that are known to their users, and that they used after
    /// `since`, and returns them, each at most once.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn touch_known_devices(
        &self,
        devices: &[(UserId, HashedSecret)],
        now: Timestamp,
        since: Timestamp,
    ) -> Result<Vec<(UserId, HashedSecret)>, StoreError> {
        let Some(last) = devices.last() else { return Ok(Vec::new()) };
        let repeated = devices.len().next_power_of_two() - devices.len();
        let mut values: Vec<Value> = vec![now.into(), since.into()];
        for (user, secret) in devices.iter().chain(std::iter::repeat_n(last, repeated)) {
            values.extend(values![*user, *secret]);
        }
        let these: Vec<_> =
            (3..=values.len()).step_by(2).map(|n| format!("(user_id = ${n} AND secret_hash = ${})", n + 1)).collect();
        let these = these.join(" OR ");
        let sql = format!(
            "UPDATE known_devices SET last_used_at = $1 WHERE +last_used_at > $2 AND ({these}) RETURNING user_id, secret_hash"
        );
        let touched: Vec<(i64, HashedSecret)> = self.all(&sql, &values).await?;
        Ok(touched.into_iter().map(|(user, secret)| (UserId(user), secret)).collect())
    }

    /// Stores browsers as known to their users, with the last statements of the transaction.
    pub fn insert_known_devices_last(&self, devices: &[NewDevice], now: Timestamp) {
        let mut statements = Vec::new();
        for device in devices {
            if let Some(old) = device.old {
                // One that was known too long ago.
                let sql = "DELETE FROM known_devices WHERE secret_hash = $1 AND user_id = $2";
                statements.push(Statement::new(sql, values![old, device.user]));
                let sql = "UPDATE known_devices SET secret_hash = $2 WHERE secret_hash = $1";
                statements.push(Statement::new(sql, values![old, device.secret]));
            }
        }
        let rows: Vec<_> = devices.iter().map(|device| values![device.secret, device.user, now, now].to_vec()).collect();
        let start = "INSERT INTO known_devices (secret_hash, user_id, created_at, last_used_at) VALUES ";
        statements.extend(insert_statements(start, &rows, ""));
        for device in devices {
            // Not each time, since it reads all rows of the user. Secrets are random, so one byte
            // decides.
            if device.secret.0.first().is_some_and(|byte| byte % PRUNED_BY == 0) {
                let sql = "DELETE FROM known_devices WHERE user_id = $1 AND secret_hash IN (SELECT secret_hash FROM known_devices \
                    WHERE user_id = $1 ORDER BY last_used_at DESC, secret_hash LIMIT 1000 OFFSET $2)";
                statements.push(Statement::new(sql, values![device.user, MOST]));
            }
        }
        self.run_last(statements);
    }

    /// Deletes all known browsers of a user.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_known_devices(&self, user: UserId) -> Result<(), StoreError> {
        self.execute("DELETE FROM known_devices WHERE user_id = $1", &values![user]).await.map(drop)
    }

    /// Deletes browsers that no sign-in used since `before`, and returns how many.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_unused_known_devices(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.execute("DELETE FROM known_devices WHERE last_used_at < $1", &values![before]).await
    }
}
