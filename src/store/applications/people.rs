//! What access and headers need to know about a user.

use serde::Deserialize;
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

/// The columns of a [`Subject`], of the user `u`. Each database has its own way to make JSON of the groups: the direct ones
/// and all their ancestors.
macro_rules! subject_columns {
    (sqlite) => {
        subject_columns!("json_group_array(json_array(hex(g.uuid), g.name, CASE WHEN g.is_superuser THEN 1 ELSE 0 END))")
    };
    (postgres) => {
        subject_columns!(
            "CAST(COALESCE(json_agg(json_build_array(g.uuid, g.name, CASE WHEN g.is_superuser THEN 1 ELSE 0 END)), '[]') AS TEXT)"
        )
    };
    ($groups:literal) => {
        concat!(
            "u.username, u.name, u.email, u.is_email_verified, u.uid, u.uuid, u.attributes, COALESCE(u.updated_at, u.created_at), ",
            "u.is_superuser, u.is_active, (SELECT ",
            $groups,
            " FROM memberships m JOIN group_ancestors a ON a.group_id = m.group_id JOIN groups g ON g.id = a.ancestor_id ",
            "WHERE m.user_id = u.id)"
        )
    };
}
pub(in crate::store) use subject_columns;

/// A group in the JSON that the statements make: the uuid, the name, and 1 if its members administer.
#[derive(Deserialize)]
struct GroupJson(String, String, u8);

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
        let corrupt = || StoreError::Corrupt("the groups of a user");
        let mut listed: Vec<GroupJson> = serde_json::from_str(&row.text()?).map_err(|_| corrupt())?;
        listed.sort_unstable_by(|one, other| (&one.1, &one.0).cmp(&(&other.1, &other.0)));
        // A group that is reached in two ways is listed twice. SQLite would make a temporary table to list it once.
        listed.dedup_by(|one, other| one.0 == other.0);
        let mut uuids = Vec::with_capacity(listed.len());
        for GroupJson(uuid, name, administers) in listed {
            uuids.push(Uuid::try_parse(&uuid).map_err(|_| corrupt())?);
            identity.groups.push(name);
            identity.is_superuser |= administers == 1;
        }
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
