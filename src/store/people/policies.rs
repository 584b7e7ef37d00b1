//! Policies of groups and users, and the limits of living sessions.

use std::collections::HashMap;
use std::time::Duration;

use crate::domain::policy::{AtLimit, Living, Policy, StoredLimits};
use crate::domain::{SessionId, Timestamp, UserId};
use crate::store::db::statements::in_list;
use crate::store::sessions::rows::lifetime;
use crate::store::settings::LIMITS_LOCK;
use crate::store::{Db, FromRow, Row, StoreError};
use crate::values;

/// Whose policy it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyOwner {
    /// A user's.
    User(UserId),
    /// A group's, by its primary key.
    Group(i64),
}

impl PolicyOwner {
    /// Its table, the table's key, and the key.
    fn place(self) -> (&'static str, &'static str, i64) {
        match self {
            Self::User(id) => ("user_policies", "user_id", id.0),
            Self::Group(id) => ("group_policies", "group_id", id),
        }
    }

    /// The users it holds for, as a condition on their keys; `$1` is [`PolicyOwner::key`].
    fn holds_for(self) -> &'static str {
        match self {
            Self::User(_) => "= $1",
            Self::Group(_) => {
                "IN (SELECT m.user_id FROM group_ancestors a JOIN memberships m ON m.group_id = a.group_id WHERE a.ancestor_id = $1)"
            }
        }
    }

    fn key(self) -> i64 {
        self.place().2
    }
}

impl FromRow for Policy {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        let mut duration = || -> Result<Option<Duration>, StoreError> {
            Ok(row.opt_int()?.map(|micros| Duration::from_micros(u64::try_from(micros).unwrap_or(0))))
        };
        Ok(Self {
            idle_timeout: duration()?,
            absolute_timeout: duration()?,
            remember_timeout: duration()?,
            max_sessions: row.opt_int()?.map(|most| u32::try_from(most).unwrap_or(0)),
            at_limit: match row.opt_text()? {
                None => None,
                Some(word) => Some(AtLimit::parse(&word).ok_or(StoreError::Corrupt("an outcome at a limit"))?),
            },
            is_factor_required: row.bool()?,
        })
    }
}

/// A session, as far as its limits matter.
#[derive(Clone, Debug)]
pub struct LivingRow {
    /// Primary key.
    pub id: i64,
    /// Its limits.
    pub living: Living,
}

impl FromRow for LivingRow {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        let id = row.int()?;
        let lifetime = lifetime(row)?;
        let living =
            Living { lifetime, created_at: row.timestamp()?, is_remembered: row.bool()?, is_imported: row.text()?.is_empty() };
        Ok(Self { id, living })
    }
}

/// A policy, whose kind of owner and name come first.
struct OwnedPolicy(String, String, Policy);

impl FromRow for OwnedPolicy {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self(row.text()?, row.text()?, Policy::from_row(row)?))
    }
}

/// The setting that holds the stored limits of the instance, as JSON.
const LIMITS: &str = "limits";
const POLICY_COLUMNS: &str = "p.idle_timeout, p.absolute_timeout, p.remember_timeout, p.max_sessions, p.at_limit, p.require_factor";
const LIVING_COLUMNS: &str = "s.id, s.absolute_expires_at, s.idle_timeout, s.created_at, s.is_remembered, s.methods";

impl Db<'_> {
    /// What a group or a user has of its own; an empty policy when nothing.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_policy(&self, owner: PolicyOwner) -> Result<Policy, StoreError> {
        let (table, column, key) = owner.place();
        let sql = format!("SELECT {POLICY_COLUMNS} FROM {table} p WHERE p.{column} = $1");
        Ok(self.one(&sql, &values![key]).await?.unwrap_or_default())
    }

    /// What a user, the user's groups and the ancestors of those have, together.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_own_policy(&self, user: UserId) -> Result<Policy, StoreError> {
        Ok(self.list_own_policies(&[user]).await?.remove(&user.0).unwrap_or_default())
    }

    /// The same of several users, by their keys, where there is any.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_own_policies(&self, users: &[UserId]) -> Result<HashMap<i64, Policy>, StoreError> {
        let (list, values) = in_list([], users.iter().copied());
        let sql = format!(
            "SELECT p.user_id, {POLICY_COLUMNS} FROM user_policies p WHERE p.user_id IN ({list}) UNION ALL \
             SELECT m.user_id, {POLICY_COLUMNS} FROM memberships m JOIN group_ancestors a ON a.group_id = m.group_id \
             JOIN group_policies p ON p.group_id = a.ancestor_id WHERE m.user_id IN ({list})"
        );
        let mut policies = HashMap::<i64, Policy>::new();
        for (user, policy) in self.all::<(i64, Policy)>(&sql, &values).await? {
            let own = policies.entry(user).or_default();
            *own = own.and(policy);
        }
        Ok(policies)
    }

    /// What a user's groups and their ancestors have, by name.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_group_policies(&self, user: UserId) -> Result<Vec<(String, Policy)>, StoreError> {
        let sql = format!(
            "SELECT g.name, {POLICY_COLUMNS} FROM group_policies p JOIN groups g ON g.id = p.group_id \
             WHERE g.id IN (SELECT a.ancestor_id FROM memberships m JOIN group_ancestors a ON a.group_id = m.group_id \
             WHERE m.user_id = $1) ORDER BY g.name"
        );
        self.all(&sql, &values![user]).await
    }

    /// The limits of the instance that are stored. What cannot be read is an error: no session begins under limits that
    /// nobody knows.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`]; when the database does not answer.
    pub async fn find_stored_limits(&self) -> Result<StoredLimits, StoreError> {
        match self.find_setting(LIMITS).await? {
            None => Ok(StoredLimits::default()),
            Some(text) => serde_json::from_str(&text).map_err(|_| StoreError::Corrupt("the limits of the instance")),
        }
    }

    /// Stores limits of the instance. Sign-ins that read the older ones are over, or read these.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn update_stored_limits(&self, limits: &StoredLimits) -> Result<(), StoreError> {
        let text = serde_json::to_string(limits).map_err(|error| StoreError::Failed(error.to_string()))?;
        self.update_setting(LIMITS, &text).await
    }

    /// Holds off sign-ins until this transaction ends, and waits for those that are on their way.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn lock_limits(&self) -> Result<(), StoreError> {
        // SQLite has one writer.
        if self.is_sqlite() {
            return Ok(());
        }
        self.execute("SELECT pg_advisory_xact_lock($1)", &values![LIMITS_LOCK]).await.map(drop)
    }

    /// Policies of groups and users, with whether it is a group's and whose it is, by name: groups first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_policies(&self) -> Result<Vec<(String, String, Policy)>, StoreError> {
        let sql = format!(
            "SELECT 'group' AS kind, g.name AS name, {POLICY_COLUMNS} FROM group_policies p JOIN groups g ON g.id = p.group_id UNION ALL \
             SELECT 'user', u.username, {POLICY_COLUMNS} FROM user_policies p JOIN users u ON u.id = p.user_id ORDER BY kind, name"
        );
        let rows: Vec<OwnedPolicy> = self.all(&sql, &[]).await?;
        Ok(rows.into_iter().map(|OwnedPolicy(kind, name, policy)| (kind, name, policy)).collect())
    }

    /// What a group's ancestors have, by name, the group itself aside.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_policies_above(&self, group: i64) -> Result<Vec<(String, Policy)>, StoreError> {
        let sql = format!(
            "SELECT g.name, {POLICY_COLUMNS} FROM group_policies p JOIN groups g ON g.id = p.group_id \
             WHERE g.id <> $1 AND g.id IN (SELECT a.ancestor_id FROM group_ancestors a WHERE a.group_id = $1) ORDER BY g.name"
        );
        self.all(&sql, &values![group]).await
    }

    /// Sets what a group or a user has of its own.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn update_policy(&self, owner: PolicyOwner, policy: &Policy) -> Result<(), StoreError> {
        let (table, column, key) = owner.place();
        self.execute(&format!("DELETE FROM {table} WHERE {column} = $1"), &values![key]).await?;
        if policy.is_empty() {
            return Ok(());
        }
        let micros = |limit: Option<Duration>| limit.map(|limit| i64::try_from(limit.as_micros()).unwrap_or(i64::MAX));
        let sql = format!(
            "INSERT INTO {table} ({column}, idle_timeout, absolute_timeout, remember_timeout, max_sessions, at_limit, require_factor) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)"
        );
        let values = values![
            key,
            micros(policy.idle_timeout),
            micros(policy.absolute_timeout),
            micros(policy.remember_timeout),
            policy.max_sessions.map(i64::from),
            policy.at_limit.map(AtLimit::as_str),
            policy.is_factor_required,
        ];
        self.execute(&sql, &values).await.map(drop)
    }

    /// Holds off other changes of a policy until this transaction ends: of one for a group without members, too.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn lock_policy(&self, owner: PolicyOwner) -> Result<(), StoreError> {
        let table = match owner {
            PolicyOwner::User(_) => "users",
            PolicyOwner::Group(_) => "groups",
        };
        // Weaker than `FOR UPDATE`: a user who joins the group need not wait for it.
        let lock = if self.is_sqlite() { "" } else { " FOR NO KEY UPDATE" };
        self.one::<i64>(&format!("SELECT id FROM {table} WHERE id = $1{lock}"), &values![owner.key()]).await.map(drop)
    }

    /// The users a policy holds for, locked until the transaction ends: a sign-in of theirs that read
    /// the old one is over, or waits and reads the new one.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn lock_users_under(&self, owner: PolicyOwner) -> Result<Vec<UserId>, StoreError> {
        let lock = self.for_update();
        let sql = format!("SELECT id FROM users WHERE id {} ORDER BY id{lock}", owner.holds_for());
        Ok(self.all::<i64>(&sql, &values![owner.key()]).await?.into_iter().map(UserId).collect())
    }

    /// Sessions of the users a policy holds for (`None`: of all), those after the key `after`, at most
    /// `limit`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_living(&self, owner: Option<PolicyOwner>, after: i64, limit: i64) -> Result<Vec<LivingRow>, StoreError> {
        let Some(owner) = owner else {
            let sql = format!("SELECT {LIVING_COLUMNS} FROM sessions s WHERE s.id > $1 ORDER BY s.id LIMIT $2");
            return self.all(&sql, &values![after, limit]).await;
        };
        let holds_for = owner.holds_for();
        let sql =
            format!("SELECT {LIVING_COLUMNS} FROM sessions s WHERE s.user_id {holds_for} AND s.id > $2 ORDER BY s.id LIMIT $3");
        self.all(&sql, &values![owner.key(), after, limit]).await
    }

    /// The sessions of a user whose time is not over, those that began first first.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_live_ids(&self, user: UserId, now: Timestamp) -> Result<Vec<SessionId>, StoreError> {
        let sql = "SELECT uuid FROM sessions WHERE user_id = $1 AND expires_at > $2 AND id NOT IN (SELECT id FROM session_rows \
            WHERE user_id = $1 AND kind = 'offline') ORDER BY created_at, id";
        self.all(sql, &values![user, now]).await
    }

    /// How many sessions whose time is not over these users have, but for those that apps keep; of those who have none, nothing.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_live_of(&self, users: &[UserId], now: Timestamp) -> Result<HashMap<i64, usize>, StoreError> {
        let (list, values) = in_list(values![now], users.iter().copied());
        let sql = format!(
            "SELECT user_id, COUNT(*) FROM sessions WHERE user_id IN ({list}) AND expires_at > $1 AND id NOT IN \
             (SELECT id FROM session_rows WHERE user_id IN ({list}) AND kind = 'offline') GROUP BY user_id"
        );
        let counts = self.all::<(i64, i64)>(&sql, &values).await?;
        Ok(counts.into_iter().map(|(user, count)| (user, usize::try_from(count).unwrap_or(0))).collect())
    }

    /// Users with more than `most` sessions.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_users_beyond(&self, most: u32) -> Result<Vec<UserId>, StoreError> {
        let sql = "SELECT key FROM session_counts WHERE kind = 'user' GROUP BY key HAVING SUM(n) > $1 ORDER BY key";
        let keys: Vec<String> = self.all(sql, &values![i64::from(most)]).await?;
        Ok(keys.iter().filter_map(|key| key.parse().ok()).map(UserId).collect())
    }
}
