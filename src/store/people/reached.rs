//! The groups that a user is in, the ancestors of the direct ones too, as one column of a statement that reads the user.

use serde::Deserialize;
use uuid::Uuid;

use crate::store::{FromRow, Row, StoreError};

/// A group that a user is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReachedGroup {
    /// What names it.
    pub uuid: Uuid,
    /// Its name.
    pub name: String,
    /// Whether its members are administrators.
    pub is_superuser: bool,
}

/// The column: the groups of the user `u`, as [`ReachedGroups`] reads them. Each database has its own way to make JSON.
macro_rules! groups_column {
    (sqlite) => {
        crate::store::people::reached::groups_column!(
            "json_group_array(json_array(hex(g.uuid), g.name, CASE WHEN g.is_superuser THEN 1 ELSE 0 END))"
        )
    };
    (postgres) => {
        crate::store::people::reached::groups_column!(
            "CAST(COALESCE(json_agg(json_build_array(g.uuid, g.name, CASE WHEN g.is_superuser THEN 1 ELSE 0 END)), '[]') AS TEXT)"
        )
    };
    ($groups:literal) => {
        concat!(
            "(SELECT ",
            $groups,
            " FROM memberships m JOIN group_ancestors a ON a.group_id = m.group_id JOIN groups g ON g.id = a.ancestor_id ",
            "WHERE m.user_id = u.id)"
        )
    };
}
pub(in crate::store) use groups_column;

/// A group in the JSON that the statements make: the uuid, the name, and 1 if its members administer.
#[derive(Deserialize)]
struct GroupJson(String, String, u8);

/// All groups of a user, by name.
pub(in crate::store) struct ReachedGroups(pub Vec<ReachedGroup>);

impl FromRow for ReachedGroups {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        let corrupt = || StoreError::Corrupt("the groups of a user");
        let listed: Vec<GroupJson> = serde_json::from_str(&row.text()?).map_err(|_| corrupt())?;
        let mut groups = Vec::with_capacity(listed.len());
        for GroupJson(uuid, name, administers) in listed {
            let uuid = Uuid::try_parse(&uuid).map_err(|_| corrupt())?;
            groups.push(ReachedGroup { uuid, name, is_superuser: administers == 1 });
        }
        groups.sort_unstable_by(|one, other| (&one.name, one.uuid).cmp(&(&other.name, other.uuid)));
        // A group that is reached in two ways is listed twice. SQLite would make a temporary table to list it once.
        groups.dedup_by_key(|group| group.uuid);
        Ok(Self(groups))
    }
}
