//! Users as pages list them.

use std::collections::HashMap;

use crate::domain::fold::fold;
use crate::domain::listing::Sort;
use crate::domain::page::{Found, Wanted};
use crate::store::lists::Listed;
use crate::store::people::users::{UserRow, select_users};
use crate::store::{Db, Store, StoreError, Value};
use crate::values;

/// Which users.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UserFilter {
    /// A part of the name, the full name or the e-mail address, letter case aside; `""`: all users.
    pub part: String,
}

/// What users can be ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserSortKey {
    /// The primary key.
    Id,
    /// The name they sign in with.
    Username,
    /// The full name.
    Name,
    /// The e-mail address.
    Email,
    /// When they were added.
    Created,
    /// When they last signed in.
    LastSignIn,
}

impl UserSortKey {
    fn column(self) -> &'static str {
        match self {
            Self::Id => "u.id",
            Self::Username => "u.username",
            Self::Name => "u.name",
            Self::Email => "u.email",
            Self::Created => "u.created_at",
            Self::LastSignIn => "COALESCE(u.last_sign_in_at, 0)",
        }
    }
}

impl Listed for UserFilter {
    type Key = UserSortKey;
    type Row = UserRow;

    async fn find(&self, store: &Store, order: &[Sort<UserSortKey>], wanted: Wanted) -> Result<Found<UserRow>, StoreError> {
        let (filter, order) = (self.clone(), order.to_vec());
        store.long_read(move |db| Box::pin(async move { db.page_users(&filter, &order, wanted).await })).await
    }
}

impl Db<'_> {
    async fn page_users(
        &self,
        filter: &UserFilter,
        order: &[Sort<UserSortKey>],
        wanted: Wanted,
    ) -> Result<Found<UserRow>, StoreError> {
        let (condition, mut values) = self.holds_part(&filter.part);
        let count: i64 = self.one(&format!("SELECT count(*) FROM users u WHERE {condition}"), &values).await?.unwrap_or(0);
        let Some(window) = wanted.window(count) else { return Ok(wanted.found(count, Vec::new())) };
        let by = |sort: &Sort<UserSortKey>| format!("{}{}", sort.key.column(), if sort.is_descending { " DESC" } else { "" });
        let order: Vec<String> = order.iter().map(by).chain(["u.id".to_owned()]).collect();
        let next = values.len() + 1;
        let sql =
            format!("{} WHERE {condition} ORDER BY {} LIMIT ${next} OFFSET ${}", select_users!(""), order.join(", "), next + 1);
        values.extend(values![window.limit, window.offset]);
        Ok(wanted.found(count, self.all(&sql, &values).await?))
    }

    /// The condition on users `u` for which one of three texts contains this part, and its values from `$1`.
    fn holds_part(&self, part: &str) -> (String, Vec<Value>) {
        if part.is_empty() {
            return ("1 = 1".to_owned(), Vec::new());
        }
        let find = if self.is_sqlite() { "instr" } else { "strpos" };
        let sql = format!("({find}(u.username_folded, $1) > 0 OR {find}(u.email_folded, $1) > 0 OR {find}(lower(u.name), $2) > 0)");
        (sql, values![fold(part), part.to_lowercase()].to_vec())
    }

    /// Users whose name, full name or e-mail address holds `part`, letter case aside, by name; those
    /// after `after` (`""`: from the start), at most `limit`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_users_like(&self, part: &str, after: &str, limit: i64) -> Result<Vec<UserRow>, StoreError> {
        if part.is_empty() {
            return self.list_users(after, limit).await;
        }
        let (condition, mut values) = self.holds_part(part);
        let sql = format!("{} WHERE {condition} AND u.username > $3 ORDER BY u.username LIMIT $4", select_users!(""));
        values.extend(values![after, limit]);
        self.all(&sql, &values).await
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
