//! Groups, their global permissions, and their members.

use crate::domain::names;
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
        let sql = "INSERT INTO groups (uuid, name, name_key, is_superuser) VALUES ($1, $2, $3, $4) RETURNING id";
        let id = self
            .one::<i64>(sql, &values![uuid, name, names::key(name), is_superuser])
            .await?
            .ok_or(StoreError::Corrupt("a group without a key"))?;
        for permission in permissions {
            let sql = "INSERT INTO group_permissions (group_id, permission) VALUES ($1, $2) ON CONFLICT DO NOTHING";
            self.execute(sql, &values![id, permission.as_str()]).await?;
        }
        Ok(id)
    }

    /// The group of this name: exactly, else the only one whose name is the same ([`names::are_same`]).
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_group_id(&self, name: &str) -> Result<Option<i64>, StoreError> {
        let sql = "SELECT id, name FROM groups WHERE name = $1 OR name_key = $2 ORDER BY name <> $1 LIMIT 3";
        let found: Vec<(i64, String)> = self.all(sql, &values![name, names::key(name)]).await?;
        Ok(match found.as_slice() {
            [(id, exact), ..] if exact == name => Some(*id),
            [(id, _)] => Some(*id),
            _ => None,
        })
    }

    /// Puts a user into the group of that name. Gives whether there is such a group.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn insert_membership(&self, user: UserId, group: &str) -> Result<bool, StoreError> {
        let Some(id) = self.find_group_id(group).await? else { return Ok(false) };
        let sql = "INSERT INTO memberships (user_id, group_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        self.execute(sql, &values![user, id]).await?;
        Ok(true)
    }
}
