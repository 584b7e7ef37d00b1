//! Counts of users and of administrators who can sign in, for `rollcall check`.

use crate::store::{Db, FromRow, Row, StoreError};

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

impl Db<'_> {
    /// Counts them.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_administrators(&self) -> Result<AdministratorCounts, StoreError> {
        let sql = "WITH administrators AS (SELECT u.id, u.password_hash FROM users u WHERE u.is_active AND (u.is_superuser OR EXISTS \
            (SELECT 1 FROM memberships m JOIN groups g ON g.id = m.group_id WHERE m.user_id = u.id AND g.is_superuser))) \
            SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM administrators), (SELECT count(*) FROM administrators a \
            WHERE a.password_hash IS NOT NULL OR EXISTS (SELECT 1 FROM authenticators f WHERE f.user_id = a.id \
            AND f.kind = 'webauthn' AND f.is_confirmed))";
        Ok(self.one(sql, &[]).await?.unwrap_or_default())
    }
}
