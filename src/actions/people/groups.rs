//! Groups: adding and changing them, who is in them, and how they nest.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::people::administrators::Administrators;
use crate::actions::people::changes::{changed_attributes, check_attributes};
use crate::actions::policies;
use crate::domain::caller::Actor;
use crate::domain::event::{self, Change, Changes, EventContent};
use crate::domain::group::{GroupRule, MAX_LEVELS, check_group_name};
use crate::domain::policy::Policy;
use crate::domain::{Permission, Timestamp, UserId};
use crate::store::people::groups::GroupRow;
use crate::store::{Db, StoreError};

/// What to change of a group; `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct GroupChange {
    /// The name.
    pub name: Option<String>,
    /// Whether its members, and those of groups within it, may do everything.
    pub is_superuser: Option<bool>,
    /// Whether its members, and those of groups within it, are auditors.
    pub is_auditor: Option<bool>,
    /// The groups that it is directly within, all of them.
    pub parents: Option<Vec<Uuid>>,
    /// The primary keys of its direct members, all of them.
    pub users: Option<Vec<i64>>,
    /// Its attributes, all of them.
    pub attributes: Option<Map<String, Value>>,
    /// Its permissions, all of them.
    pub permissions: Option<Vec<Permission>>,
    /// Only if it has not changed since, its members aside: the version that was read ([`Db::find_group_version`]).
    pub expected: Option<String>,
}

impl GroupChange {
    fn tidy(mut self) -> Result<Self, ActionError> {
        self.name = self.name.as_deref().map(check_group_name).transpose()?;
        self.attributes.as_ref().map_or(Ok(()), check_attributes)?;
        if let Some(users) = &mut self.users {
            users.sort_unstable();
            users.dedup();
        }
        Ok(self)
    }
}

/// Who acts, when, and under which policy of the instance.
pub(in crate::actions) struct Act {
    /// What events remember of it.
    pub actor: Actor,
    /// When.
    pub now: Timestamp,
    /// The policy of the instance.
    pub instance: Policy,
}

impl Act {
    pub async fn new(app: &App, by: By<'_>) -> Result<Self, StoreError> {
        Ok(Self { actor: by.actor(), now: app.clock.now(), instance: policies::instance(app).await? })
    }
}

/// Adds a group and gives its uuid.
///
/// # Errors
/// [`ActionError::Forbidden`] unless an administrator does it; [`ActionError::Group`] when name or parents break a rule;
/// [`ActionError::Exists`] when the name is taken; [`ActionError::NoUser`], [`ActionError::NoGroup`].
pub async fn add(app: &App, by: By<'_>, group: GroupChange) -> Result<Uuid, ActionError> {
    by.must_administer()?;
    let group = group.tidy()?;
    let name = group.name.clone().ok_or(GroupRule::EmptyName)?;
    let (act, wanted) = (Act::new(app, by).await?, name.clone());
    let added = app
        .store
        .write(move |db| {
            Box::pin(async move {
                if db.is_group_name_taken(&wanted).await? {
                    return Err(StoreError::Conflict("the name of a group".into()).into());
                }
                add_in(db, &wanted, &group, &act).await
            })
        })
        .await;
    named_conflict(added, &name)
}

/// Adds a group in a transaction.
pub(in crate::actions) async fn add_in(db: &Db<'_>, name: &str, group: &GroupChange, act: &Act) -> Result<Uuid, ActionError> {
    let permissions = group.permissions.clone().unwrap_or_default();
    let id = db.insert_group(name, group.is_superuser.unwrap_or(false), &permissions).await?;
    let row = db.find_group_by_id(id).await?.ok_or(ActionError::NotFound)?;
    let rest = GroupChange { name: None, is_superuser: None, permissions: None, ..group.clone() };
    let (changes, [joined, _]) = apply(db, &row, &rest, act).await?;
    let mut said = said(&row, &db.list_group_permissions(id).await?, &[]);
    said.extend(changes.into_iter().map(|(name, change)| (name, change.after)));
    let content = EventContent::GroupAdded {
        group: name.to_owned(),
        group_uuid: row.uuid.simple().to_string(),
        members: joined.len() as u64,
        changes: event::added(said),
        added: texts(&joined),
    };
    db.insert_events(&[content.by(&act.actor, act.now)]).await?;
    Ok(row.uuid)
}

/// All that is said of a group but its name and who is in it, for events, by the names that [`apply`] gives changes.
fn said(group: &GroupRow, permissions: &[String], parents: &[String]) -> Map<String, Value> {
    let attributes = serde_json::from_str(&group.attributes).unwrap_or_default();
    let all = [
        ("is_superuser", json!(group.is_superuser)),
        ("is_auditor", json!(group.is_auditor)),
        ("attributes", changed_attributes("{}", &attributes).1),
        ("permissions", json!(permissions)),
        ("parents", json!(parents)),
    ];
    all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The content of the event of a group that is about to be removed.
async fn removed(db: &Db<'_>, group: &GroupRow) -> Result<EventContent, StoreError> {
    let parents = db.list_group_names(&db.list_parents(group.id).await?).await?;
    let members = db.list_user_uuids(&db.list_members(group.id).await?).await?;
    Ok(EventContent::GroupRemoved {
        group: group.name.clone(),
        group_uuid: group.uuid.simple().to_string(),
        members: members.len() as u64,
        changes: event::removed(said(group, &db.list_group_permissions(group.id).await?, &parents)),
        removed: texts(&members),
    })
}

/// Uuids as events have them.
fn texts(uuids: &[Uuid]) -> Vec<String> {
    uuids.iter().map(|uuid| uuid.simple().to_string()).collect()
}

/// A conflict with what is stored, in words about the group's name.
fn named_conflict<T>(done: Result<T, ActionError>, name: &str) -> Result<T, ActionError> {
    match done {
        Err(ActionError::Store(StoreError::Conflict(_))) => Err(ActionError::Exists(format!("a group named {name:?}"))),
        other => other,
    }
}

/// Changes a group. Rights and policies of its members, and of those of groups within it, follow at once.
///
/// # Errors
/// As for [`add`], and [`ActionError::NotFound`]; [`ActionError::Outdated`] when it changed since it was read;
/// [`ActionError::LastAdministrator`].
pub async fn change(app: &App, by: By<'_>, uuid: Uuid, change: GroupChange) -> Result<(), ActionError> {
    by.must_administer()?;
    let change = change.tidy()?;
    let (act, name) = (Act::new(app, by).await?, change.name.clone().unwrap_or_default());
    let changed = app
        .store
        .write(move |db| {
            Box::pin(async move {
                let administrators = Administrators::watch(db).await?;
                let before = db.lock_group(uuid).await?.ok_or(ActionError::NotFound)?;
                if let Some(expected) = &change.expected
                    && *expected != db.find_group_version(&before).await?
                {
                    return Err(ActionError::Outdated);
                }
                let (changes, [added, removed]) = apply(db, &before, &change, &act).await?;
                administrators.must_remain(db).await?;
                if changes.is_empty() && added.is_empty() && removed.is_empty() {
                    return Ok(());
                }
                let name = change.name.unwrap_or(before.name);
                let content = changed(name, before.uuid, changes, &added, &removed);
                db.insert_events(&[content.by(&act.actor, act.now)]).await?;
                Ok(())
            })
        })
        .await;
    named_conflict(changed, &name)
}

fn changed(group: String, uuid: Uuid, changes: Changes, added: &[Uuid], removed: &[Uuid]) -> EventContent {
    EventContent::GroupChanged {
        group,
        group_uuid: uuid.simple().to_string(),
        changes,
        added: texts(added),
        removed: texts(removed),
    }
}

/// Applies a change to a locked group in a transaction. Gives what it changed, and the uuids of users who joined and left.
async fn apply(db: &Db<'_>, before: &GroupRow, change: &GroupChange, act: &Act) -> Result<(Changes, [Vec<Uuid>; 2]), ActionError> {
    let (id, mut changes) = (before.id, Changes::new());
    let mut note = |name: &str, before: Value, after: Value| {
        if before != after {
            changes.insert(name.to_owned(), Change { before, after });
        }
    };
    let after = GroupRow {
        name: change.name.clone().unwrap_or_else(|| before.name.clone()),
        is_superuser: change.is_superuser.unwrap_or(before.is_superuser),
        is_auditor: change.is_auditor.unwrap_or(before.is_auditor),
        attributes: change.attributes.as_ref().map_or_else(|| before.attributes.clone(), |it| json!(it).to_string()),
        ..before.clone()
    };
    if after != *before {
        db.update_group(&after).await?;
    }
    note("name", json!(before.name), json!(after.name));
    note("is_superuser", json!(before.is_superuser), json!(after.is_superuser));
    note("is_auditor", json!(before.is_auditor), json!(after.is_auditor));
    if let Some(attributes) = &change.attributes {
        let (before, after) = changed_attributes(&before.attributes, attributes);
        note("attributes", before, after);
    }
    if let Some(permissions) = &change.permissions {
        let before = db.list_group_permissions(id).await?;
        db.replace_group_permissions(id, permissions).await?;
        note("permissions", json!(before), json!(db.list_group_permissions(id).await?));
    }
    let members = match &change.users {
        Some(users) => replace_members(db, id, users, act).await?,
        None => Default::default(),
    };
    if let Some(parents) = &change.parents {
        let [before, after] = replace_parents(db, id, parents, act).await?;
        note("parents", json!(before), json!(after));
    }
    Ok((changes, members))
}

/// Makes these users the direct members of a group. Gives the uuids of those who joined and left.
async fn replace_members(db: &Db<'_>, group: i64, users: &[i64], act: &Act) -> Result<[Vec<Uuid>; 2], ActionError> {
    let before = db.list_members(group).await?;
    let new: Vec<i64> = users.iter().filter(|user| before.binary_search(user).is_err()).copied().collect();
    let gone: Vec<i64> = before.iter().filter(|user| users.binary_search(user).is_err()).copied().collect();
    if let Some(missing) = db.find_missing_user(&new).await? {
        return Err(ActionError::NoUser(missing));
    }
    db.delete_members(group, &gone).await?;
    db.insert_members(group, &new).await?;
    db.note_user_updates(&[new.as_slice(), gone.as_slice()].concat(), act.now).await?;
    if db.has_policy_above(group).await? {
        let new: Vec<UserId> = new.iter().copied().map(UserId).collect();
        policies::hold_users(db, &new, act.instance, &act.actor, act.now).await?;
    }
    Ok([db.list_user_uuids(&new).await?, db.list_user_uuids(&gone).await?])
}

/// Makes these groups the direct parents of a group. Gives their names before and after.
async fn replace_parents(db: &Db<'_>, group: i64, parents: &[Uuid], act: &Act) -> Result<[Vec<String>; 2], ActionError> {
    db.lock_nesting().await?;
    if let Some(missing) = db.find_missing_group(parents).await? {
        return Err(ActionError::NoGroup(missing));
    }
    let rows = db.list_groups(parents).await?;
    let mut ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    ids.sort_unstable();
    let before = db.list_parents(group).await?;
    let names_before = db.list_group_names(&before).await?;
    let mut names_after: Vec<String> = rows.into_iter().map(|row| row.name).collect();
    names_after.sort();
    if before == ids {
        return Ok([names_before, names_after]);
    }
    let within = db.list_within(group).await?;
    if ids.iter().any(|parent| within.binary_search(parent).is_ok()) {
        return Err(GroupRule::Cycle.into());
    }
    db.replace_parents(group, &ids).await?;
    if db.count_levels(group, MAX_LEVELS + 1).await? > MAX_LEVELS {
        return Err(GroupRule::Depth.into());
    }
    if db.has_policy_above(group).await? {
        let users: Vec<UserId> = db.list_members_within(group).await?.into_iter().map(UserId).collect();
        policies::hold_users(db, &users, act.instance, &act.actor, act.now).await?;
    }
    Ok([names_before, names_after])
}

/// Removes a group. Its members stay users; what is within it is no longer within its ancestors.
///
/// # Errors
/// [`ActionError::Forbidden`] unless an administrator does it; [`ActionError::NotFound`];
/// [`ActionError::LastAdministrator`].
pub async fn remove(app: &App, by: By<'_>, uuid: Uuid) -> Result<(), ActionError> {
    by.must_administer()?;
    let act = Act::new(app, by).await?;
    app.store
        .write(move |db| {
            Box::pin(async move {
                let administrators = Administrators::watch(db).await?;
                db.lock_nesting().await?;
                let group = db.lock_group(uuid).await?.ok_or(ActionError::NotFound)?;
                let content = removed(db, &group).await?;
                db.delete_group(group.id).await?;
                administrators.must_remain(db).await?;
                Ok(db.insert_events(&[content.by(&act.actor, act.now)]).await?)
            })
        })
        .await
}

/// Puts a user into a group, or takes one out (`is_member`). What is so already stays so. Gives the group's name.
///
/// # Errors
/// [`ActionError::Forbidden`] unless an administrator does it; [`ActionError::NotFound`] without such a group;
/// [`ActionError::NoUser`]; [`ActionError::LastAdministrator`].
pub async fn set_member(app: &App, by: By<'_>, uuid: Uuid, user: UserId, is_member: bool) -> Result<String, ActionError> {
    by.must_administer()?;
    let act = Act::new(app, by).await?;
    app.store
        .write(move |db| {
            Box::pin(async move {
                let administrators = if is_member { None } else { Some(Administrators::watch(db).await?) };
                let group = db.lock_group(uuid).await?.ok_or(ActionError::NotFound)?;
                let row = db.lock_user(user).await?.ok_or(ActionError::NoUser(user.0))?;
                if db.list_group_ids_of(user).await?.contains(&group.id) == is_member {
                    return Ok(group.name);
                }
                let mut moved = [Vec::new(), Vec::new()];
                // A form of this user that shows older groups is told.
                db.note_user_update(user, act.now).await?;
                if is_member {
                    db.insert_members(group.id, &[user.0]).await?;
                    policies::hold_users(db, &[user], act.instance, &act.actor, act.now).await?;
                    moved[0].push(row.uuid);
                } else {
                    db.delete_members(group.id, &[user.0]).await?;
                    moved[1].push(row.uuid);
                }
                if let Some(administrators) = administrators {
                    administrators.must_remain(db).await?;
                }
                let [added, removed] = moved;
                let content = changed(group.name.clone(), group.uuid, Changes::new(), &added, &removed);
                db.insert_events(&[content.by(&act.actor, act.now).about(user, &row.username)]).await?;
                Ok(group.name)
            })
        })
        .await
}
