//! What access and headers need to know about a user.

use serde_json::Map;
use uuid::Uuid;

use crate::domain::UserId;
use crate::domain::application::decide::Person;
use crate::domain::application::demand::Party;
use crate::domain::application::values::Identity;
use crate::store::db::statements::in_list;
use crate::store::people::users::{UserRow, select_users};
use crate::store::{Db, FromRow, Row, StoreError};
use crate::values;

/// A user whose access is decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    /// The uuid and the groups.
    pub person: Person,
    /// What headers and claims say about them.
    pub identity: Identity,
    /// Whether they may sign in.
    pub is_active: bool,
}

struct UserPart(Identity, bool);

impl FromRow for UserPart {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        let identity = Identity {
            username: row.text()?,
            name: row.text()?,
            email: row.text()?,
            is_email_verified: row.bool()?,
            uid: row.text()?,
            uuid: row.uuid()?,
            groups: Vec::new(),
            attributes: serde_json::from_str(&row.text()?).unwrap_or_else(|_| Map::new()),
            updated_at: Some(row.timestamp()?.seconds()),
            is_superuser: row.bool()?,
        };
        Ok(Self(identity, row.bool()?))
    }
}

impl Db<'_> {
    /// A user as access and headers see them; `None`: there is none.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_subject(&self, user: UserId) -> Result<Option<Subject>, StoreError> {
        let sql = "SELECT username, name, email, is_email_verified, uid, uuid, attributes, COALESCE(updated_at, created_at), \
            is_superuser, is_active FROM users WHERE id = $1";
        let Some(UserPart(mut identity, is_active)) = self.one(sql, &values![user]).await? else { return Ok(None) };
        let mut uuids = Vec::new();
        for (uuid, name, is_superuser) in self.list_groups_above(user).await? {
            uuids.push(uuid);
            identity.groups.push(name);
            identity.is_superuser |= is_superuser;
        }
        Ok(Some(Subject { person: Person::new(identity.uuid, uuids), identity, is_active }))
    }

    /// The user with this uuid.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_user_by_uuid(&self, uuid: Uuid) -> Result<Option<UserRow>, StoreError> {
        self.one(select_users!("WHERE u.uuid = $1"), &values![uuid]).await
    }

    /// The groups of a user by name, the direct ones and all their ancestors, and whether their members administer.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_groups_above(&self, user: UserId) -> Result<Vec<(Uuid, String, bool)>, StoreError> {
        let sql = "SELECT g.uuid, g.name, g.is_superuser FROM groups g WHERE g.id IN (SELECT a.ancestor_id FROM memberships m \
            JOIN group_ancestors a ON a.group_id = m.group_id WHERE m.user_id = $1) ORDER BY g.name";
        self.all(sql, &values![user]).await
    }

    /// The names of these users and groups; those that are gone are left out.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_party_names(&self, parties: &[Party]) -> Result<Vec<(Party, String)>, StoreError> {
        let (mut users, mut groups) = (Vec::new(), Vec::new());
        for party in parties {
            match party {
                Party::User(uuid) => users.push(*uuid),
                Party::Group(uuid) => groups.push(*uuid),
            }
        }
        let mut names = Vec::new();
        for (uuids, sql, party) in [
            (users, "SELECT uuid, username FROM users WHERE uuid IN", Party::User as fn(Uuid) -> Party),
            (groups, "SELECT uuid, name FROM groups WHERE uuid IN", Party::Group as fn(Uuid) -> Party),
        ] {
            for chunk in uuids.chunks(500) {
                let (list, values) = in_list([], chunk.iter().copied());
                let found: Vec<(Uuid, String)> = self.all(&format!("{sql} ({list})"), &values).await?;
                names.extend(found.into_iter().map(|(uuid, name)| (party(uuid), name)));
            }
        }
        Ok(names)
    }
}
