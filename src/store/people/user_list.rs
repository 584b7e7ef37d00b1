//! Users as pages list them.

use std::collections::HashMap;

use crate::domain::fold::fold;
use crate::store::people::users::UserRow;
use crate::store::{Db, StoreError, Value};
use crate::values;

impl Db<'_> {
    /// Users whose name, full name or e-mail address holds `part`, letter case aside, by name; those
    /// after `after` (`""`: from the start), at most `limit`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_users_like(&self, part: &str, after: &str, limit: i64) -> Result<Vec<UserRow>, StoreError> {
        if part.is_empty() {
            return self.list_users(after, limit).await;
        }
        let find = if self.is_sqlite() { "instr" } else { "strpos" };
        let sql = format!(
            "SELECT u.id, u.uuid, u.uid, u.username, u.name, u.email, u.password_hash, u.is_active, u.is_superuser, u.created_at, u.last_sign_in_at \
             FROM users u WHERE u.username > $1 AND ({find}(u.username_folded, $2) > 0 OR {find}(u.email_folded, $2) > 0 \
             OR {find}(lower(u.name), $3) > 0) ORDER BY u.username LIMIT $4"
        );
        self.all(&sql, &values![after, fold(part), part.to_lowercase(), limit]).await
    }

    /// How many sessions each of these users has; those without any are left out.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_sessions_by_user(&self, ids: &[i64]) -> Result<HashMap<i64, i64>, StoreError> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let sql = format!(
            "SELECT key, CAST(SUM(n) AS BIGINT) FROM session_counts WHERE kind = 'user' AND key IN ({}) GROUP BY key",
            crate::store::db::statements::placeholders(0, ids.len())
        );
        let values: Vec<Value> = ids.iter().map(|id| id.to_string().into()).collect();
        let counts = self.all::<(String, i64)>(&sql, &values).await?;
        Ok(counts.into_iter().filter_map(|(key, count)| Some((key.parse().ok()?, count))).collect())
    }
}
