//! Administrators: superusers by themselves, by a group or by an ancestor of a group. How many can sign in, and whether
//! one is left who can.

use crate::domain::UserId;
use crate::store::{Db, FromRow, Row, StoreError};
use crate::values;

/// How many users there are who can keep the server running.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AdministratorCounts {
    /// All users.
    pub users: i64,
    /// Active users who are superusers, by themselves or by a group.
    pub administrators: i64,
    /// Those of them who have a password or a passkey.
    pub able: i64,
}

impl FromRow for AdministratorCounts {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self { users: row.int()?, administrators: row.int()?, able: row.int()? })
    }
}

/// The keys of all superusers, active or not. It reads an index of superusers and the members of groups of
/// administrators, not all users.
pub(in crate::store) const SUPERUSERS: &str = "SELECT su.id FROM users su WHERE su.is_superuser UNION \
    SELECT sm.user_id FROM groups sg JOIN group_ancestors sa ON sa.ancestor_id = sg.id \
    JOIN memberships sm ON sm.group_id = sa.group_id WHERE sg.is_superuser";
/// The keys of all auditors, superusers aside.
pub(in crate::store) const AUDITORS: &str = "SELECT au.id FROM users au WHERE au.is_auditor UNION \
    SELECT am.user_id FROM groups ag JOIN group_ancestors aa ON aa.ancestor_id = ag.id \
    JOIN memberships am ON am.group_id = aa.group_id WHERE ag.is_auditor";
/// Whether a user `a` can sign in.
const IS_ABLE: &str = "(a.password_hash IS NOT NULL OR EXISTS (SELECT 1 FROM authenticators f WHERE f.user_id = a.id \
    AND f.kind = 'webauthn' AND f.is_confirmed))";

impl Db<'_> {
    /// Counts them.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_administrators(&self) -> Result<AdministratorCounts, StoreError> {
        let sql = format!(
            "WITH administrators AS (SELECT a.id, a.password_hash FROM users a WHERE a.is_active AND a.id IN ({SUPERUSERS})) \
             SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM administrators), \
             (SELECT count(*) FROM administrators a WHERE {IS_ABLE})"
        );
        Ok(self.one(&sql, &[]).await?.unwrap_or_default())
    }

    /// The primary keys of all administrators, active or not, in order.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_superusers(&self) -> Result<Vec<i64>, StoreError> {
        self.all(&format!("{SUPERUSERS} ORDER BY 1"), &[]).await
    }

    /// Whether there is an administrator who can sign in: active, with a password or a passkey.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn has_able_administrator(&self) -> Result<bool, StoreError> {
        let sql = format!("SELECT a.id FROM users a WHERE a.is_active AND a.id IN ({SUPERUSERS}) AND {IS_ABLE} LIMIT 1");
        Ok(self.one::<i64>(&sql, &[]).await?.is_some())
    }

    /// Whether there is an administrator who can sign in, other than this user.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn has_able_administrator_but(&self, user: UserId) -> Result<bool, StoreError> {
        let sql =
            format!("SELECT a.id FROM users a WHERE a.is_active AND a.id <> $1 AND a.id IN ({SUPERUSERS}) AND {IS_ABLE} LIMIT 1");
        Ok(self.one::<i64>(&sql, &values![user]).await?.is_some())
    }

    /// Holds off other transactions that could take the right of an administrator away, until this one ends: two of them
    /// would each see the other's administrator.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn lock_administrators(&self) -> Result<(), StoreError> {
        self.update_setting("administrators", "").await
    }
}
