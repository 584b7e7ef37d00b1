//! Groups as lists show them.

use std::collections::HashMap;

use serde_json::json;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::domain::listing::Sort;
use crate::domain::names;
use crate::domain::page::{Found, Wanted};
use crate::domain::people_lists::{GroupFilter, GroupSortKey};
use crate::domain::secret::hex;
use crate::domain::{Timestamp, UserId};
use crate::store::db::conditions::Conditions;
use crate::store::db::statements::in_list;
use crate::store::lists::Listed;
use crate::store::people::groups::{GROUP_COLUMNS, GroupRow};
use crate::store::{Db, FromRow, Row, Store, StoreError};
use crate::values;

/// What a group shows of a member.
#[derive(Clone, Debug)]
pub struct MemberRow {
    /// Primary key.
    pub id: UserId,
    /// The name they sign in with.
    pub username: String,
    /// The full name, or `""`.
    pub name: String,
    /// Whether they are active.
    pub is_active: bool,
    /// When they last signed in.
    pub last_sign_in_at: Option<Timestamp>,
    /// The e-mail address, or `""`.
    pub email: String,
    /// A JSON object, as text.
    pub attributes: String,
    /// authentik's `uid`.
    pub uid: String,
}

impl FromRow for MemberRow {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: UserId(row.int()?),
            username: row.text()?,
            name: row.text()?,
            is_active: row.bool()?,
            last_sign_in_at: row.opt_int()?.map(Timestamp),
            email: row.text()?,
            attributes: row.text()?,
            uid: row.text()?,
        })
    }
}

/// A group as a list of many groups shows it.
#[derive(Clone, Debug)]
pub struct GroupLine {
    /// The group itself.
    pub group: GroupRow,
    /// How many direct members it has.
    pub members: i64,
    /// Whether it has a policy of its own.
    pub has_policy: bool,
    /// The names of its direct parents.
    pub parents: Vec<String>,
}

impl FromRow for GroupLine {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self { group: GroupRow::from_row(row)?, members: row.int()?, has_policy: row.bool()?, parents: Vec::new() })
    }
}

/// A group with what belongs to it.
#[derive(Clone, Debug)]
pub struct ListedGroup {
    /// The group itself.
    pub group: GroupRow,
    /// Its direct parents, by name.
    pub parents: Vec<GroupRow>,
    /// The groups directly within it, by name.
    pub children: Vec<GroupRow>,
    /// Its direct members, by primary key.
    pub members: Vec<i64>,
    /// Their details; `None`: not asked for.
    pub member_details: Option<Vec<MemberRow>>,
}

/// Something of the group with this key.
struct Of<T>(i64, T);

impl<T: FromRow> FromRow for Of<T> {
    fn from_row(row: &mut Row<'_>) -> Result<Self, StoreError> {
        Ok(Self(row.int()?, T::from_row(row)?))
    }
}

fn by_group<T>(rows: Vec<Of<T>>) -> HashMap<i64, Vec<T>> {
    let mut all = HashMap::<i64, Vec<T>>::new();
    for Of(group, it) in rows {
        all.entry(group).or_default().push(it);
    }
    all
}

fn column(key: GroupSortKey) -> &'static str {
    match key {
        GroupSortKey::Uuid => "g.uuid",
        GroupSortKey::Name => "g.name",
        GroupSortKey::Superuser => "g.is_superuser",
        GroupSortKey::Attributes => "g.attributes",
    }
}

impl Listed for GroupFilter {
    type Key = GroupSortKey;
    type Row = ListedGroup;

    async fn find(&self, store: &Store, order: &[Sort<GroupSortKey>], wanted: Wanted) -> Result<Found<ListedGroup>, StoreError> {
        let (filter, order) = (self.clone(), order.to_vec());
        store.long_read(move |db| Box::pin(async move { db.page_groups(&filter, &order, wanted).await })).await
    }
}

impl Conditions {
    /// The conditions on groups `g`.
    fn of_groups(db: &Db<'_>, filter: &GroupFilter) -> Self {
        let mut it = Self::of(db);
        it.with("g.name = ?", filter.name.as_ref());
        it.with("g.is_superuser = ?", filter.superuser);
        let of_members = "g.id IN (SELECT m.group_id FROM users u JOIN memberships m ON m.user_id = u.id WHERE u.";
        it.within(&format!("{of_members}username IN (?))"), &filter.members);
        it.within(&format!("{of_members}id IN (?))"), filter.member_ids.iter().copied());
        it.with_attributes("g.attributes", filter.attributes.as_ref());
        for term in &filter.search {
            let place = it.place(names::key(term));
            let mut any = vec![it.contains("g.name_key", &place)];
            for (word, condition) in [("TRUE", "g.is_superuser"), ("FALSE", "NOT g.is_superuser")] {
                if word.contains(term.as_str()) {
                    any.push(condition.to_owned());
                }
            }
            it.add(format!("({})", any.join(" OR ")));
        }
        it
    }
}

impl Db<'_> {
    async fn page_groups(
        &self,
        filter: &GroupFilter,
        order: &[Sort<GroupSortKey>],
        wanted: Wanted,
    ) -> Result<Found<ListedGroup>, StoreError> {
        let mut conditions = Conditions::of_groups(self, filter);
        let clause = conditions.clause();
        let count = self.one(&format!("SELECT count(*) FROM groups g{clause}"), &conditions.values).await?.unwrap_or(0);
        let Some(window) = wanted.window(count) else { return Ok(wanted.found(count, Vec::new())) };
        let by = |sort: &Sort<GroupSortKey>| format!("{}{}", column(sort.key), if sort.is_descending { " DESC" } else { "" });
        let order: Vec<String> = order.iter().map(by).chain(["g.id".to_owned()]).collect();
        let (limit, offset) = (conditions.place(window.limit), conditions.place(window.offset));
        let order = order.join(", ");
        let sql = format!("SELECT {GROUP_COLUMNS} FROM groups g{clause} ORDER BY {order} LIMIT {limit} OFFSET {offset}");
        let groups = self.all(&sql, &conditions.values).await?;
        Ok(wanted.found(count, self.describe_groups(groups, filter.with_users.unwrap_or(true)).await?))
    }

    /// These groups with what belongs to them; `with_details` says whether their members come with details.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn describe_groups(&self, groups: Vec<GroupRow>, with_details: bool) -> Result<Vec<ListedGroup>, StoreError> {
        if groups.is_empty() {
            return Ok(Vec::new());
        }
        let (list, values) = in_list([], groups.iter().map(|group| group.id));
        let related = |own: &str, other: &str| {
            format!(
                "SELECT p.{own}, {GROUP_COLUMNS} FROM group_parents p JOIN groups g ON g.id = p.{other} WHERE p.{own} IN ({list}) \
                 ORDER BY g.name"
            )
        };
        let mut parents = by_group::<GroupRow>(self.all(&related("group_id", "parent_id"), &values).await?);
        let mut children = by_group::<GroupRow>(self.all(&related("parent_id", "group_id"), &values).await?);
        let (mut members, mut details) = (HashMap::new(), HashMap::new());
        if with_details {
            let sql = format!(
                "SELECT m.group_id, u.id, u.username, u.name, u.is_active, u.last_sign_in_at, u.email, u.attributes, u.uid \
                 FROM memberships m JOIN users u ON u.id = m.user_id WHERE m.group_id IN ({list}) ORDER BY u.id"
            );
            details = by_group::<MemberRow>(self.all(&sql, &values).await?);
        } else {
            let sql = format!("SELECT m.group_id, m.user_id FROM memberships m WHERE m.group_id IN ({list}) ORDER BY m.user_id");
            members = by_group::<i64>(self.all(&sql, &values).await?);
        }
        let describe = |group: GroupRow| {
            let member_details = with_details.then(|| details.remove(&group.id).unwrap_or_default());
            let members = match &member_details {
                Some(details) => details.iter().map(|member| member.id.0).collect(),
                None => members.remove(&group.id).unwrap_or_default(),
            };
            ListedGroup {
                parents: parents.remove(&group.id).unwrap_or_default(),
                children: children.remove(&group.id).unwrap_or_default(),
                group,
                members,
                member_details,
            }
        };
        Ok(groups.into_iter().map(describe).collect())
    }

    /// A group as lists show it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_listed_group(&self, uuid: Uuid, with_details: bool) -> Result<Option<ListedGroup>, StoreError> {
        let Some(group) = self.find_group(uuid).await? else { return Ok(None) };
        Ok(self.describe_groups(vec![group], with_details).await?.pop())
    }

    /// Groups whose names hold these folded terms, by name, without their members.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn page_group_lines(&self, filter: &GroupFilter, wanted: Wanted) -> Result<Found<GroupLine>, StoreError> {
        let mut conditions = Conditions::of_groups(self, filter);
        let clause = conditions.clause();
        let count = self.one(&format!("SELECT count(*) FROM groups g{clause}"), &conditions.values).await?.unwrap_or(0);
        let Some(window) = wanted.window(count) else { return Ok(wanted.found(count, Vec::new())) };
        let (limit, offset) = (conditions.place(window.limit), conditions.place(window.offset));
        let sql = format!(
            "SELECT {GROUP_COLUMNS}, (SELECT count(*) FROM memberships m WHERE m.group_id = g.id), \
             EXISTS (SELECT 1 FROM group_policies p WHERE p.group_id = g.id) \
             FROM groups g{clause} ORDER BY g.name LIMIT {limit} OFFSET {offset}"
        );
        let mut lines: Vec<GroupLine> = self.all(&sql, &conditions.values).await?;
        if lines.is_empty() {
            return Ok(wanted.found(count, lines));
        }
        let (list, values) = in_list([], lines.iter().map(|line| line.group.id));
        let sql = format!(
            "SELECT p.group_id, g.name FROM group_parents p JOIN groups g ON g.id = p.parent_id WHERE p.group_id IN ({list}) \
             ORDER BY g.name"
        );
        let mut parents = by_group::<String>(self.all(&sql, &values).await?);
        for line in &mut lines {
            line.parents = parents.remove(&line.group.id).unwrap_or_default();
        }
        Ok(wanted.found(count, lines))
    }

    /// The version of a group, its members aside: two states of it that differ have different ones.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_group_version(&self, group: &GroupRow) -> Result<String, StoreError> {
        let (permissions, parents) = (self.list_group_permissions(group.id).await?, self.list_parents(group.id).await?);
        let state = json!([group.name, group.is_superuser, group.is_auditor, group.attributes, permissions, parents]);
        Ok(hex(&Sha256::digest(state.to_string().as_bytes())))
    }

    /// The direct parents of a group, and the groups directly within it, each by name.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_group_relatives(&self, id: i64) -> Result<[Vec<GroupRow>; 2], StoreError> {
        let related = |own: &str, other: &str| {
            format!(
                "SELECT {GROUP_COLUMNS} FROM group_parents p JOIN groups g ON g.id = p.{other} WHERE p.{own} = $1 ORDER BY g.name"
            )
        };
        let parents = self.all(&related("group_id", "parent_id"), &values![id]).await?;
        Ok([parents, self.all(&related("parent_id", "group_id"), &values![id]).await?])
    }

    /// The groups that a group is within, directly or not, by name.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_groups_above(&self, id: i64) -> Result<Vec<GroupRow>, StoreError> {
        let sql = format!(
            "SELECT {GROUP_COLUMNS} FROM group_ancestors a JOIN groups g ON g.id = a.ancestor_id \
             WHERE a.group_id = $1 AND a.ancestor_id <> $1 ORDER BY g.name"
        );
        self.all(&sql, &values![id]).await
    }

    /// The permissions that a group gives, and where each comes from: the name of a group above; `""`: its own.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn list_group_permission_sources(&self, id: i64) -> Result<Vec<(String, String)>, StoreError> {
        let sql = "SELECT p.permission, CASE WHEN g.id = $1 THEN '' ELSE g.name END AS source FROM group_ancestors a \
            JOIN group_permissions p ON p.group_id = a.ancestor_id JOIN groups g ON g.id = a.ancestor_id \
            WHERE a.group_id = $1 ORDER BY permission, source";
        self.all(sql, &values![id]).await
    }

    /// The first of these primary keys that no user has.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_missing_user(&self, ids: &[i64]) -> Result<Option<i64>, StoreError> {
        let known: std::collections::HashSet<i64> = self.list_usernames(ids).await?.into_iter().map(|(id, _)| id).collect();
        Ok(ids.iter().find(|id| !known.contains(id)).copied())
    }

    /// The first of these names that no user has, exactly.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_missing_username(&self, names: &[String]) -> Result<Option<String>, StoreError> {
        for name in names {
            if self.one::<i64>("SELECT id FROM users WHERE username = $1", &values![name]).await?.is_none() {
                return Ok(Some(name.clone()));
            }
        }
        Ok(None)
    }

    /// The first of these names that no group has, exactly.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_missing_group_name(&self, names: &[String]) -> Result<Option<String>, StoreError> {
        for name in names {
            if !self.is_group_name_taken(name).await? {
                return Ok(Some(name.clone()));
            }
        }
        Ok(None)
    }

    /// The first of these groups that is not there.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find_missing_group(&self, uuids: &[Uuid]) -> Result<Option<Uuid>, StoreError> {
        let known: std::collections::HashSet<Uuid> = self.list_groups(uuids).await?.into_iter().map(|group| group.uuid).collect();
        Ok(uuids.iter().find(|uuid| !known.contains(uuid)).copied())
    }
}
