//! Groups, their global permissions, and who is in them.

use crate::domain::{Permission, UserId, secret};
use crate::store::people::users::no_randomness;
use crate::store::{Db, StoreError};
use crate::values;

impl Db<'_> {
    /// Adds a group and gives its primary key.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the name is taken.
    pub async fn insert_group(&self, name: &str, is_superuser: bool, permissions: &[Permission]) -> Result<i64, StoreError> {
        let uuid = secret::random_uuid().map_err(no_randomness)?;
        let sql = "INSERT INTO groups (uuid, name, is_superuser) VALUES ($1, $2, $3) RETURNING id";
        let id =
            self.one::<i64>(sql, &values![uuid, name, is_superuser]).await?.ok_or(StoreError::Corrupt("a group without a key"))?;
        for permission in permissions {
            let sql = "INSERT INTO group_permissions (group_id, permission) VALUES ($1, $2) ON CONFLICT DO NOTHING";
            self.execute(sql, &values![id, permission.as_str()]).await?;
        }
        Ok(id)
    }

    /// Puts a user into the group of that name. Gives whether there is such a group.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn insert_membership(&self, user: UserId, group: &str) -> Result<bool, StoreError> {
        let Some(id) = self.one::<i64>("SELECT id FROM groups WHERE name = $1", &values![group]).await? else {
            return Ok(false);
        };
        let sql = "INSERT INTO memberships (user_id, group_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        self.execute(sql, &values![user, id]).await?;
        Ok(true)
    }
}
