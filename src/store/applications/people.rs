//! What access and headers need to know about a user.

use uuid::Uuid;

use crate::domain::UserId;
use crate::domain::application::decide::Person;
use crate::domain::application::demand::Party;
use crate::domain::application::values::Identity;
use crate::store::db::statements::in_list;
use crate::store::people::reached::ReachedGroups;
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

/// The columns of a [`Subject`], of the user `u`.
macro_rules! subject_columns {
    ($database:ident) => {
        concat!(
            "u.username, u.name, u.email, u.is_email_verified, u.uid, u.uuid, u.attributes, COALESCE(u.updated_at, u.created_at), ",
            "u.is_superuser, u.is_active, ",
            crate::store::people::reached::groups_column!($database)
        )
    };
}
pub(in crate::store) use subject_columns;

impl FromRow for Subject {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        let mut identity = Identity {
            username: row.text()?,
            name: row.text()?,
            email: row.text()?,
            is_email_verified: row.bool()?,
            uid: row.text()?,
            uuid: row.uuid()?,
            groups: Vec::new(),
            // What is no object has no attributes.
            attributes: serde_json::from_str(&row.text()?).unwrap_or_default(),
            updated_at: Some(row.timestamp()?.seconds()),
            is_superuser: row.bool()?,
        };
        let is_active = row.bool()?;
        let ReachedGroups(groups) = ReachedGroups::from_row(row)?;
        let uuids = groups.iter().map(|group| group.uuid).collect();
        identity.is_superuser |= groups.iter().any(|group| group.is_superuser);
        identity.groups = groups.into_iter().map(|group| group.name).collect();
        Ok(Self { person: Person::new(identity.uuid, uuids), identity, is_active })
    }
}

impl Db<'_> {
    /// A user as access and headers see them; `None`: there is none.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_subject(&self, user: UserId) -> Result<Option<Subject>, StoreError> {
        const SQLITE: &str = concat!("SELECT ", subject_columns!(sqlite), " FROM users u WHERE u.id = $1");
        const POSTGRES: &str = concat!("SELECT ", subject_columns!(postgres), " FROM users u WHERE u.id = $1");
        self.one(if self.is_sqlite() { SQLITE } else { POSTGRES }, &values![user]).await
    }

    /// The user with this uuid.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_user_by_uuid(&self, uuid: Uuid) -> Result<Option<UserRow>, StoreError> {
        self.one(select_users!("WHERE u.uuid = $1"), &values![uuid]).await
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
