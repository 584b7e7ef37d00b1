//! Groups, their global permissions, who is in them, and how they nest.

use uuid::Uuid;

use crate::domain::names;
use crate::domain::{Permission, UserId, secret};
use crate::store::db::statements::{in_list, named};
use crate::store::people::users::no_randomness;
use crate::store::{Db, FromRow, Row, StoreError, Value};
use crate::values;

/// A group as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupRow {
    /// Primary key.
    pub id: i64,
    /// What names it; never used again.
    pub uuid: Uuid,
    /// Its name, unique; letter case counts.
    pub name: String,
    /// Whether its members, and those of groups within it, may do everything.
    pub is_superuser: bool,
    /// Whether its members, and those of groups within it, read everything that administrators read.
    pub is_auditor: bool,
    /// A JSON object, as text.
    pub attributes: String,
}

/// The columns of a [`GroupRow`], of the table that is called `g`.
pub(in crate::store) const GROUP_COLUMNS: &str = "g.id, g.uuid, g.name, g.is_superuser, g.is_auditor, g.attributes";

impl FromRow for GroupRow {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.int()?,
            uuid: row.uuid()?,
            name: row.text()?,
            is_superuser: row.bool()?,
            is_auditor: row.bool()?,
            attributes: row.text()?,
        })
    }
}

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

    /// Gives a group that was just added the uuid that it brings.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when another group has it.
    pub async fn update_group_uuid(&self, id: i64, uuid: Uuid) -> Result<(), StoreError> {
        self.execute("UPDATE groups SET uuid = $2 WHERE id = $1", &values![id, uuid]).await.map(drop)
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

    /// The group with this uuid.
    ///
    /// # Errors
    /// When the database does not answer, as for all of these.
    pub async fn find_group(&self, uuid: Uuid) -> Result<Option<GroupRow>, StoreError> {
        self.one(&format!("SELECT {GROUP_COLUMNS} FROM groups g WHERE g.uuid = $1"), &values![uuid]).await
    }

    /// The same, locked until the transaction ends.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn lock_group(&self, uuid: Uuid) -> Result<Option<GroupRow>, StoreError> {
        let lock = self.for_update();
        self.one(&format!("SELECT {GROUP_COLUMNS} FROM groups g WHERE g.uuid = $1{lock}"), &values![uuid]).await
    }

    /// These groups by name; unknown ones are left out.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_groups(&self, uuids: &[Uuid]) -> Result<Vec<GroupRow>, StoreError> {
        let mut groups: Vec<GroupRow> = Vec::new();
        for chunk in uuids.chunks(500) {
            let (list, values) = in_list([], chunk.iter().copied());
            let sql = format!("SELECT {GROUP_COLUMNS} FROM groups g WHERE g.uuid IN ({list}) ORDER BY g.name");
            groups.extend(self.all::<GroupRow>(&sql, &values).await?);
        }
        Ok(groups)
    }

    /// The first groups by name, `limit` at most.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_first_groups(&self, limit: i64) -> Result<Vec<GroupRow>, StoreError> {
        self.all(&format!("SELECT {GROUP_COLUMNS} FROM groups g ORDER BY g.name LIMIT $1"), &values![limit]).await
    }

    /// A group's own permissions.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_group_permissions(&self, id: i64) -> Result<Vec<String>, StoreError> {
        self.all("SELECT permission FROM group_permissions WHERE group_id = $1 ORDER BY permission", &values![id]).await
    }

    /// Gives a group these permissions, and no others.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn replace_group_permissions(&self, id: i64, permissions: &[Permission]) -> Result<(), StoreError> {
        self.execute("DELETE FROM group_permissions WHERE group_id = $1", &values![id]).await?;
        for permission in permissions {
            let sql = "INSERT INTO group_permissions (group_id, permission) VALUES ($1, $2) ON CONFLICT DO NOTHING";
            self.execute(sql, &values![id, permission.as_str()]).await?;
        }
        Ok(())
    }

    /// Changes a group's own columns.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the name is taken.
    pub async fn update_group(&self, group: &GroupRow) -> Result<(), StoreError> {
        let sql = "UPDATE groups SET name = $2, name_key = $3, is_superuser = $4, attributes = $5, is_auditor = $6 WHERE id = $1";
        let GroupRow { id, name, is_superuser, is_auditor, attributes, .. } = group;
        let values = values![*id, name.as_str(), names::key(name), *is_superuser, attributes.as_str(), *is_auditor];
        self.execute(sql, &values).await.map(drop)
    }

    /// Removes a group. What is within it is no longer within its ancestors.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_group(&self, id: i64) -> Result<(), StoreError> {
        let sql = "SELECT group_id FROM group_parents WHERE parent_id = $1";
        let children: Vec<i64> = self.all(sql, &values![id]).await?;
        self.execute("DELETE FROM groups WHERE id = $1", &values![id]).await?;
        for child in children {
            self.write_closure_below(child).await?;
        }
        Ok(())
    }

    /// Whether a group has this name, exactly.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn is_group_name_taken(&self, name: &str) -> Result<bool, StoreError> {
        Ok(self.one::<i64>("SELECT id FROM groups WHERE name = $1", &values![name]).await?.is_some())
    }

    /// The direct members of a group, by primary key.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_members(&self, id: i64) -> Result<Vec<i64>, StoreError> {
        self.all("SELECT user_id FROM memberships WHERE group_id = $1 ORDER BY user_id", &values![id]).await
    }

    /// The direct members of a group and of all groups within it, by primary key.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_members_within(&self, id: i64) -> Result<Vec<i64>, StoreError> {
        let sql = "SELECT DISTINCT m.user_id FROM group_ancestors a JOIN memberships m ON m.group_id = a.group_id \
            WHERE a.ancestor_id = $1 ORDER BY m.user_id";
        self.all(sql, &values![id]).await
    }

    /// Puts users into a group. Those who are in it already stay.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when a user is gone.
    pub async fn insert_members(&self, group: i64, users: &[i64]) -> Result<(), StoreError> {
        let rows = users.iter().map(|user| values![*user, group].to_vec()).collect();
        self.insert_rows("INSERT INTO memberships (user_id, group_id) VALUES ", rows, " ON CONFLICT DO NOTHING").await
    }

    /// Takes users out of a group.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn delete_members(&self, group: i64, users: &[i64]) -> Result<(), StoreError> {
        for chunk in users.chunks(500) {
            let mut values: Vec<Value> = values![group].to_vec();
            let condition = named("user_id", &mut values, chunk);
            self.execute(&format!("DELETE FROM memberships WHERE group_id = $1 AND {condition}"), &values).await?;
        }
        Ok(())
    }

    /// The direct groups of a user, by key.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_group_ids_of(&self, user: UserId) -> Result<Vec<i64>, StoreError> {
        self.all("SELECT group_id FROM memberships WHERE user_id = $1 ORDER BY group_id", &values![user]).await
    }

    /// Holds off other transactions that change how groups nest, until this one ends.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn lock_nesting(&self) -> Result<(), StoreError> {
        self.update_setting("nesting", "").await
    }

    /// The direct parents of a group, by key.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_parents(&self, id: i64) -> Result<Vec<i64>, StoreError> {
        self.all("SELECT parent_id FROM group_parents WHERE group_id = $1 ORDER BY parent_id", &values![id]).await
    }

    /// A group and all groups within it, by key.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_within(&self, id: i64) -> Result<Vec<i64>, StoreError> {
        self.all("SELECT group_id FROM group_ancestors WHERE ancestor_id = $1 ORDER BY group_id", &values![id]).await
    }

    /// Gives a group these direct parents, and no others, and writes the closure of all that is within it. The
    /// caller has made sure that none of them is within the group.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn replace_parents(&self, id: i64, parents: &[i64]) -> Result<(), StoreError> {
        self.execute("DELETE FROM group_parents WHERE group_id = $1", &values![id]).await?;
        let rows = parents.iter().map(|parent| values![id, *parent].to_vec()).collect();
        self.insert_rows("INSERT INTO group_parents (group_id, parent_id) VALUES ", rows, " ON CONFLICT DO NOTHING").await?;
        self.write_closure_below(id).await
    }

    /// Writes the ancestors of a group, and of all that is within it, anew.
    async fn write_closure_below(&self, id: i64) -> Result<(), StoreError> {
        const BELOW: &str = "WITH RECURSIVE below(id) AS (SELECT CAST($1 AS BIGINT) UNION \
            SELECT p.group_id FROM below b JOIN group_parents p ON p.parent_id = b.id)";
        self.execute(&format!("{BELOW} DELETE FROM group_ancestors WHERE group_id IN (SELECT id FROM below)"), &values![id])
            .await?;
        let sql = format!(
            "{BELOW}, above(id, ancestor_id) AS (SELECT id, id FROM below UNION \
             SELECT a.id, p.parent_id FROM above a JOIN group_parents p ON p.group_id = a.ancestor_id) \
             INSERT INTO group_ancestors (group_id, ancestor_id) SELECT id, ancestor_id FROM above"
        );
        self.execute(&sql, &values![id]).await.map(drop)
    }

    /// How many levels of groups there are from the topmost ancestor of this group down to what is deepest within it. It
    /// stops counting at `most`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_levels(&self, id: i64, most: i64) -> Result<i64, StoreError> {
        let longest = |from: &str, to: &str| {
            format!(
                "WITH RECURSIVE path(id, length) AS (SELECT CAST($1 AS BIGINT), CAST(1 AS BIGINT) UNION SELECT p.{to}, path.length + 1 \
                 FROM path JOIN group_parents p ON p.{from} = path.id WHERE path.length < $2) SELECT max(length) FROM path"
            )
        };
        let mut levels = -1;
        for sql in [longest("group_id", "parent_id"), longest("parent_id", "group_id")] {
            levels += self.one::<i64>(&sql, &values![id, most]).await?.unwrap_or(1);
        }
        Ok(levels)
    }

    /// The group with this primary key.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_group_by_id(&self, id: i64) -> Result<Option<GroupRow>, StoreError> {
        self.one(&format!("SELECT {GROUP_COLUMNS} FROM groups g WHERE g.id = $1"), &values![id]).await
    }

    /// The names of these groups, in order.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_group_names(&self, ids: &[i64]) -> Result<Vec<String>, StoreError> {
        let (list, values) = in_list([], ids.iter().copied());
        self.all(&format!("SELECT g.name FROM groups g WHERE g.id IN ({list}) ORDER BY g.name"), &values).await
    }

    /// Whether a group or an ancestor of it has a policy.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn has_policy_above(&self, id: i64) -> Result<bool, StoreError> {
        let sql = "SELECT p.group_id FROM group_ancestors a JOIN group_policies p ON p.group_id = a.ancestor_id \
            WHERE a.group_id = $1 LIMIT 1";
        Ok(self.one::<i64>(sql, &values![id]).await?.is_some())
    }

    /// The uuids of these users, by primary key.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_user_uuids(&self, ids: &[i64]) -> Result<Vec<Uuid>, StoreError> {
        let mut uuids = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(500) {
            let (list, values) = in_list([], chunk.iter().copied());
            uuids.extend(self.all::<Uuid>(&format!("SELECT uuid FROM users WHERE id IN ({list}) ORDER BY id"), &values).await?);
        }
        Ok(uuids)
    }
}
