//! Changes of users: what the API, pages and commands may set of one.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::people::administrators::Administrators;
use crate::actions::policies;
use crate::actions::sessions::end_in;
use crate::domain::caller::Actor;
use crate::domain::event::masked::{MASK, masked};
use crate::domain::event::{self, Change, Changes, EventContent};
use crate::domain::people_lists::holds_null_character;
use crate::domain::policy::Policy;
use crate::domain::user::{MAX_ATTRIBUTES, UserRule, UserType, check_email, check_full_name, check_path, check_username};
use crate::domain::{EndReason, Permission, Timestamp, UserId};
use crate::store::people::profiles::{ProfileUpdate, UserProfile};
use crate::store::{Db, StoreError};

/// What to change of a user; `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct UserChange {
    /// The name they sign in with.
    pub username: Option<String>,
    /// The full name.
    pub name: Option<String>,
    /// The e-mail address. Another one is not verified, unless it is said to be.
    pub email: Option<String>,
    /// Whether the address is known to be theirs.
    pub is_email_verified: Option<bool>,
    /// Whether they are active. Of an inactive user all sessions end.
    pub is_active: Option<bool>,
    /// Whether they are a superuser by themselves.
    pub is_superuser: Option<bool>,
    /// Whether they are an auditor by themselves.
    pub is_auditor: Option<bool>,
    /// Their attributes, all of them.
    pub attributes: Option<Map<String, Value>>,
    /// Their path.
    pub path: Option<String>,
    /// What they are.
    pub kind: Option<UserType>,
    /// When they last signed in; the inner `None`: never.
    pub last_sign_in_at: Option<Option<Timestamp>>,
    /// Their direct groups, all of them.
    pub groups: Option<Vec<Uuid>>,
    /// Their own permissions, all of them.
    pub permissions: Option<Vec<Permission>>,
    /// Only if they have not changed since: `updated_at` as it was read.
    pub expected: Option<Timestamp>,
}

impl UserChange {
    /// The same with names, addresses and texts as they are stored.
    ///
    /// # Errors
    /// The rule that one of them breaks.
    pub fn tidy(mut self) -> Result<Self, UserRule> {
        self.username = self.username.as_deref().map(check_username).transpose()?;
        self.name = self.name.as_deref().map(check_full_name).transpose()?;
        self.email = self.email.as_deref().map(check_email).transpose()?;
        self.path = self.path.as_deref().map(check_path).transpose()?;
        self.attributes.as_ref().map_or(Ok(()), check_attributes)?;
        if self.kind == Some(UserType::InternalServiceAccount) {
            return Err(UserRule::InternalServiceAccount);
        }
        Ok(self)
    }

    /// Whether it could take the right or the access of an administrator away.
    fn may_demote(&self) -> bool {
        self.is_active == Some(false) || self.is_superuser == Some(false) || self.groups.is_some()
    }
}

/// Whether attributes of a user or a group may be stored.
///
/// # Errors
/// [`UserRule::Attributes`] when they are too long, [`UserRule::NullCharacter`].
pub(in crate::actions) fn check_attributes(attributes: &Map<String, Value>) -> Result<(), UserRule> {
    if attributes.iter().any(|(name, value)| name.contains('\0') || holds_null_character(value)) {
        return Err(UserRule::NullCharacter);
    }
    if json!(attributes).to_string().len() > MAX_ATTRIBUTES { Err(UserRule::Attributes) } else { Ok(()) }
}

/// Changes a user, with what follows: of an inactive user all sessions end, and living sessions are held to the policies
/// of new groups.
///
/// # Errors
/// [`ActionError::Forbidden`] unless an administrator does it; [`ActionError::NotFound`]; [`ActionError::Rule`] when
/// something breaks a rule; [`ActionError::Exists`] when the name is taken; [`ActionError::NoGroup`];
/// [`ActionError::Outdated`] when it changed since it was read; [`ActionError::LastAdministrator`].
pub async fn change(app: &App, by: By<'_>, id: UserId, change: UserChange) -> Result<(), ActionError> {
    by.must_administer()?;
    let change = change.tidy()?;
    let (actor, now, instance) = (by.actor(), app.clock.now(), policies::instance(app).await?);
    let name = change.username.clone().unwrap_or_default();
    let changed = app
        .store
        .write(move |db| {
            Box::pin(async move {
                if change.username.is_some() {
                    db.lock_names().await?;
                }
                let administrators = if change.may_demote() { Some(Administrators::watch(db).await?) } else { None };
                let before = db.lock_profile(id).await?.ok_or(ActionError::NotFound)?;
                if change.expected.is_some_and(|expected| expected != before.updated_at) {
                    return Err(ActionError::Outdated);
                }
                if before.kind == UserType::InternalServiceAccount {
                    return Err(UserRule::InternalServiceAccount.into());
                }
                let changes = apply(db, &before, &change, instance, &actor, now).await?;
                if !changes.is_empty() {
                    let name = change.username.as_ref().unwrap_or(&before.user.username);
                    db.insert_events(&[EventContent::UserChanged { changes }.by(&actor, now).about(id, name)]).await?;
                }
                match administrators {
                    Some(administrators) => administrators.must_remain(db).await,
                    None => Ok(()),
                }
            })
        })
        .await;
    named_conflict(changed, &name)
}

/// A conflict with what is stored, in words about the username.
pub(in crate::actions) fn named_conflict<T>(done: Result<T, ActionError>, name: &str) -> Result<T, ActionError> {
    match done {
        Err(ActionError::Store(StoreError::Conflict(_))) => Err(ActionError::Exists(format!("a user named {name:?}"))),
        other => other,
    }
}

/// Applies a change to a locked user in a transaction, and gives what it changed, for the event.
pub(in crate::actions) async fn apply(
    db: &Db<'_>,
    before: &UserProfile,
    change: &UserChange,
    instance: Policy,
    actor: &Actor,
    now: Timestamp,
) -> Result<Changes, ActionError> {
    let (user, mut changes) = (&before.user, Changes::new());
    let id = user.id;
    let mut note = |name: &str, before: Value, after: Value| {
        if before != after {
            changes.insert(name.to_owned(), Change { before, after });
        }
    };
    let mut update = ProfileUpdate {
        name: change.name.clone(),
        email: change.email.clone(),
        is_email_verified: change.is_email_verified,
        is_superuser: change.is_superuser,
        is_auditor: change.is_auditor,
        attributes: change.attributes.as_ref().map(|attributes| json!(attributes).to_string()),
        path: change.path.clone(),
        kind: change.kind,
        last_sign_in_at: change.last_sign_in_at,
    };
    if let Some(name) = change.username.as_ref().filter(|name| **name != user.username) {
        if db.is_username_taken_by_other(name, id).await? {
            return Err(ActionError::Exists(format!("a user named {name:?}")));
        }
        db.update_username(id, name).await?;
        note("username", json!(user.username), json!(name));
    }
    if change.email.as_ref().is_some_and(|email| *email != user.email) {
        update.is_email_verified = update.is_email_verified.or(Some(false));
    }
    db.update_profile(id, &update, now).await?;
    let text = |value: &Option<String>, before: &str| (json!(before), json!(value.as_deref().unwrap_or(before)));
    for (name, (before, after)) in [
        ("name", text(&update.name, &user.name)),
        ("email", text(&update.email, &user.email)),
        ("path", text(&update.path, &before.path)),
        ("type", (json!(before.kind.as_str()), json!(update.kind.unwrap_or(before.kind).as_str()))),
        ("is_superuser", (json!(user.is_superuser), json!(update.is_superuser.unwrap_or(user.is_superuser)))),
        ("is_auditor", (json!(before.is_auditor), json!(update.is_auditor.unwrap_or(before.is_auditor)))),
        (
            "is_email_verified",
            (json!(before.is_email_verified), json!(update.is_email_verified.unwrap_or(before.is_email_verified))),
        ),
        ("last_sign_in", (json!(user.last_sign_in_at), json!(update.last_sign_in_at.unwrap_or(user.last_sign_in_at)))),
    ] {
        note(name, before, after);
    }
    if let Some(attributes) = &change.attributes {
        let (before, after) = changed_attributes(&before.attributes, attributes);
        note("attributes", before, after);
    }
    if let Some(permissions) = &change.permissions {
        let before = db.list_permissions(id).await?;
        db.replace_permissions(id, permissions).await?;
        note("permissions", json!(before), json!(db.list_permissions(id).await?));
    }
    if let Some(groups) = &change.groups {
        let names = move_to_groups(db, id, groups, instance, actor, now).await?;
        note("groups", json!(names[0]), json!(names[1]));
    }
    if let Some(is_active) = change.is_active.filter(|is_active| *is_active != user.is_active) {
        db.update_is_active(id, is_active).await?;
        let content = if is_active { EventContent::UserActivated {} } else { EventContent::UserDeactivated {} };
        let name = change.username.as_ref().unwrap_or(&user.username);
        db.insert_events(&[content.by(actor, now).about(id, name)]).await?;
        if !is_active {
            end_in::end_all_of_user(db, id, EndReason::UserDeactivated, actor, now).await?;
        }
    }
    Ok(changes)
}

/// Makes these the direct groups of a user. Gives their names before and after.
async fn move_to_groups(
    db: &Db<'_>,
    id: UserId,
    groups: &[Uuid],
    instance: Policy,
    actor: &Actor,
    now: Timestamp,
) -> Result<[Vec<String>; 2], ActionError> {
    if let Some(missing) = db.find_missing_group(groups).await? {
        return Err(ActionError::NoGroup(missing));
    }
    let before = db.list_groups_of_users(&[id.0]).await?.remove(&id.0).unwrap_or_default();
    let after = db.list_groups(groups).await?;
    let mut is_new = false;
    for group in before.iter().filter(|group| after.iter().all(|other| other.id != group.id)) {
        db.delete_members(group.id, &[id.0]).await?;
    }
    for group in after.iter().filter(|group| before.iter().all(|other| other.id != group.id)) {
        db.insert_members(group.id, &[id.0]).await?;
        is_new = true;
    }
    if is_new {
        policies::hold_users(db, &[id], instance, actor, now).await?;
    }
    let names = |groups: Vec<crate::store::people::groups::GroupRow>| {
        let mut names: Vec<String> = groups.into_iter().map(|group| group.name).collect();
        names.sort();
        names
    };
    Ok([names(before), names(after)])
}

/// All that is said of a user but their password, for events, by the names that [`apply`] gives changes.
pub(in crate::actions) fn said(profile: &UserProfile, groups: &[String], permissions: &[&str]) -> Map<String, Value> {
    let user = &profile.user;
    let attributes = serde_json::from_str(&profile.attributes).unwrap_or_default();
    let mut said = standing(profile, groups, permissions);
    said.extend([
        ("username".to_owned(), json!(user.username)),
        ("name".to_owned(), json!(user.name)),
        ("email".to_owned(), json!(user.email)),
        ("is_email_verified".to_owned(), json!(profile.is_email_verified)),
        ("attributes".to_owned(), changed_attributes("{}", &attributes).1),
    ]);
    said
}

/// What a user is and may do, for events: what says nothing of the person.
fn standing(profile: &UserProfile, groups: &[String], permissions: &[&str]) -> Map<String, Value> {
    let all = [
        ("is_active", json!(profile.user.is_active)),
        ("is_superuser", json!(profile.user.is_superuser)),
        ("is_auditor", json!(profile.is_auditor)),
        ("type", json!(profile.kind.as_str())),
        ("path", json!(profile.path)),
        ("groups", json!(groups)),
        ("permissions", json!(permissions)),
    ];
    all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The content of the event of a user who was just added by a file or at the first start.
pub(in crate::actions) async fn added(db: &Db<'_>, profile: &UserProfile) -> Result<EventContent, StoreError> {
    let (groups, permissions) = (db.list_groups_of(profile.user.id).await?, db.list_permissions(profile.user.id).await?);
    let permissions: Vec<&str> = permissions.iter().map(String::as_str).collect();
    Ok(EventContent::UserAdded { changes: event::added(said(profile, &groups, &permissions)) })
}

/// The content of the event of a user who is about to be removed.
pub(in crate::actions) async fn removed(db: &Db<'_>, profile: &UserProfile) -> Result<EventContent, StoreError> {
    let (groups, permissions) = (db.list_groups_of(profile.user.id).await?, db.list_permissions(profile.user.id).await?);
    let permissions: Vec<&str> = permissions.iter().map(String::as_str).collect();
    Ok(EventContent::UserRemoved { changes: event::removed(standing(profile, &groups, &permissions)) })
}

/// The attributes that differ, before and after: what looks like a secret, and what is long, only as a sign.
pub(in crate::actions) fn changed_attributes(before: &str, after: &Map<String, Value>) -> (Value, Value) {
    const LONGEST: usize = 500;
    let before: Map<String, Value> = serde_json::from_str(before).unwrap_or_default();
    let shown = |name: &String, value: &Value| {
        let shown = masked(name, value);
        if shown.to_string().len() > LONGEST { json!(MASK) } else { shown }
    };
    let mut differing = [Map::new(), Map::new()];
    for (name, value) in &before {
        if after.get(name) != Some(value) {
            differing[0].insert(name.clone(), shown(name, value));
        }
    }
    for (name, value) in after {
        if before.get(name) != Some(value) {
            differing[1].insert(name.clone(), shown(name, value));
        }
    }
    let [before, mut after] = differing;
    if before == after && !before.is_empty() {
        // They differ in what is not shown.
        after.insert(MASK.to_owned(), Value::Null);
    }
    (Value::Object(before), Value::Object(after))
}
