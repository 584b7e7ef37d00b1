//! Users in authentik's words.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::api::core::wire::{Dashed, json_object};
use crate::api::flows::executor::AVATAR;
use crate::api::list::{Empty, Pagination};
use crate::domain::Timestamp;
use crate::domain::user::UserType;
use crate::store::people::groups::GroupRow;
use crate::store::people::user_list::ListedUser;

/// What a user is.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UserTypeEnum {
    /// A person of the organisation.
    Internal,
    /// A person from elsewhere.
    External,
    /// A program.
    ServiceAccount,
    /// A program that authentik made for itself.
    InternalServiceAccount,
}

impl From<UserType> for UserTypeEnum {
    fn from(kind: UserType) -> Self {
        match kind {
            UserType::Internal => Self::Internal,
            UserType::External => Self::External,
            UserType::ServiceAccount => Self::ServiceAccount,
            UserType::InternalServiceAccount => Self::InternalServiceAccount,
        }
    }
}

/// A page of users.
#[derive(Serialize, ToSchema)]
#[schema(as = PaginatedUserList)]
pub struct UserPage<'a> {
    /// The number of this page and of its neighbours.
    pub pagination: Pagination,
    /// The users of this page.
    pub results: Vec<User<'a>>,
    /// Always an empty object here.
    #[schema(value_type = Object)]
    pub autocomplete: Empty,
}

/// A group as a user shows it.
#[derive(Serialize, ToSchema)]
pub struct PartialGroup<'a> {
    /// What names it.
    #[schema(value_type = String, format = Uuid)]
    pk: Dashed,
    /// Its number.
    num_pk: i64,
    /// Its name.
    name: &'a str,
    /// Whether its members are administrators.
    is_superuser: bool,
    /// Free to use.
    #[schema(value_type = HashMap<String, Value>)]
    attributes: Box<RawValue>,
}

/// A role. There are none.
#[derive(Serialize, ToSchema)]
pub struct Role {
    /// What names it.
    pk: String,
    /// Its name.
    name: String,
}

/// A user.
#[derive(Serialize, ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of authentik's, or of ours")]
pub struct User<'a> {
    /// The number in addresses.
    pk: i64,
    /// What they sign in with.
    #[schema(max_length = 150)]
    username: &'a str,
    /// The full name, or `""`.
    name: &'a str,
    /// Whether they may sign in. Their tokens open nothing while they may not.
    is_active: bool,
    /// When they last signed in; null: never.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    last_login: Option<Timestamp>,
    /// When they were added.
    #[schema(value_type = String, format = DateTime)]
    date_joined: Timestamp,
    /// Whether they are administrators, by themselves, by a group or by an ancestor of one.
    is_superuser: bool,
    /// Their direct groups.
    #[schema(value_type = Vec<String>)]
    groups: Vec<Dashed>,
    /// The same with details; null with `include_groups=false`.
    #[schema(required)]
    groups_obj: Option<Vec<PartialGroup<'a>>>,
    /// Always empty.
    #[schema(value_type = Vec<String>)]
    roles: [String; 0],
    /// Always empty; null with `include_roles=false`.
    #[schema(required, value_type = Option<Vec<Role>>)]
    roles_obj: Option<[Role; 0]>,
    /// The e-mail address, or `""`.
    #[schema(max_length = 254)]
    email: &'a str,
    /// A picture.
    avatar: &'static str,
    /// Free to use.
    #[schema(value_type = HashMap<String, Value>)]
    attributes: Box<RawValue>,
    /// What other services know them by. It never changes.
    uid: &'a str,
    /// Where they are sorted in.
    path: &'a str,
    /// What they are.
    r#type: UserTypeEnum,
    /// What names them; never used again.
    #[schema(value_type = String, format = Uuid)]
    uuid: Dashed,
    /// When the password was last set; without one, when they were added.
    #[schema(value_type = String, format = DateTime)]
    password_change_date: Timestamp,
    /// When any of it last changed.
    #[schema(value_type = String, format = DateTime)]
    last_updated: Timestamp,
    /// Whether it is known that the e-mail address is theirs. Ours, not authentik's.
    rollcall_email_verified: bool,
    /// Ours: whether they read everything that administrators read, and change nothing, by themselves. Groups may say so,
    /// too.
    rollcall_is_auditor: bool,
    /// Ours: when they asked to be removed; null: they did not.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    rollcall_removal_asked: Option<Timestamp>,
}

/// Which parts of a user are shown.
#[derive(Clone, Copy)]
pub struct Shown {
    /// `groups_obj`.
    pub groups: bool,
    /// `roles_obj`.
    pub roles: bool,
}

impl<'a> PartialGroup<'a> {
    fn new(group: &'a GroupRow) -> Self {
        Self {
            pk: Dashed(group.uuid),
            num_pk: group.id,
            name: &group.name,
            is_superuser: group.is_superuser,
            attributes: json_object(&group.attributes),
        }
    }
}

impl<'a> User<'a> {
    /// A row in authentik's words.
    #[must_use]
    pub fn new(row: &'a ListedUser, shown: Shown) -> Self {
        let (profile, user) = (&row.profile, &row.profile.user);
        Self {
            pk: user.id.0,
            username: &user.username,
            name: &user.name,
            is_active: user.is_active,
            last_login: user.last_sign_in_at,
            date_joined: user.created_at,
            is_superuser: profile.is_administrator,
            groups: row.groups.iter().map(|group| Dashed(group.uuid)).collect(),
            groups_obj: shown.groups.then(|| row.groups.iter().map(PartialGroup::new).collect()),
            roles: [],
            roles_obj: shown.roles.then_some([]),
            email: &user.email,
            avatar: AVATAR,
            attributes: json_object(&profile.attributes),
            uid: &user.uid,
            path: &profile.path,
            r#type: profile.kind.into(),
            uuid: Dashed(user.uuid),
            password_change_date: profile.password_changed_at,
            last_updated: profile.updated_at,
            rollcall_email_verified: profile.is_email_verified,
            rollcall_is_auditor: profile.is_auditor,
            rollcall_removal_asked: profile.removal_asked_at,
        }
    }
}

/// A user to add, or a user's fields. Without `groups` the user is in no group; other fields that are not sent keep
/// their value.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what is read field by field")]
pub struct UserRequest {
    /// What they sign in with. Another one that differs by case alone is taken, too.
    #[schema(min_length = 1, max_length = 150)]
    username: String,
    /// The full name; it may be `""`.
    #[schema(max_length = 1000)]
    name: String,
    /// Whether they may sign in; true unless sent. Of an inactive user all sessions end.
    #[schema(nullable = false)]
    is_active: Option<bool>,
    /// When they last signed in; null: never.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_login: Option<String>,
    /// Their direct groups.
    #[schema(nullable = false)]
    groups: Option<Vec<String>>,
    /// Ignored: there are no roles.
    #[schema(nullable = false)]
    roles: Option<Vec<String>>,
    /// The e-mail address, or `""`.
    #[schema(nullable = false, max_length = 254)]
    email: Option<String>,
    /// Free to use; at most 128 KiB as JSON.
    #[schema(nullable = false)]
    attributes: Option<HashMap<String, Value>>,
    /// Where they are sorted in; `users` unless sent.
    #[schema(nullable = false)]
    path: Option<String>,
    /// What they are; `internal` unless sent.
    #[schema(nullable = false)]
    r#type: Option<UserTypeEnum>,
    /// Whether it is known that the e-mail address is theirs. A change of the address clears it.
    #[schema(nullable = false)]
    rollcall_email_verified: Option<bool>,
    /// Ours: whether they read everything that administrators read, and change nothing, by themselves.
    #[schema(nullable = false)]
    rollcall_is_auditor: Option<bool>,
}

/// Fields of a user to change.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what is read field by field")]
pub struct PatchedUserRequest {
    /// What they sign in with.
    #[schema(nullable = false, min_length = 1, max_length = 150)]
    username: Option<String>,
    /// The full name.
    #[schema(nullable = false, max_length = 1000)]
    name: Option<String>,
    /// Whether they may sign in. Of an inactive user all sessions end.
    #[schema(nullable = false)]
    is_active: Option<bool>,
    /// When they last signed in; null: never.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_login: Option<String>,
    /// Their direct groups.
    #[schema(nullable = false)]
    groups: Option<Vec<String>>,
    /// Ignored: there are no roles.
    #[schema(nullable = false)]
    roles: Option<Vec<String>>,
    /// The e-mail address, or `""`.
    #[schema(nullable = false, max_length = 254)]
    email: Option<String>,
    /// Free to use; at most 128 KiB as JSON.
    #[schema(nullable = false)]
    attributes: Option<HashMap<String, Value>>,
    /// Where they are sorted in.
    #[schema(nullable = false)]
    path: Option<String>,
    /// What they are.
    #[schema(nullable = false)]
    r#type: Option<UserTypeEnum>,
    /// Whether it is known that the e-mail address is theirs.
    #[schema(nullable = false)]
    rollcall_email_verified: Option<bool>,
    /// Ours: whether they read everything that administrators read, and change nothing, by themselves.
    #[schema(nullable = false)]
    rollcall_is_auditor: Option<bool>,
}

/// Who calls.
#[derive(Serialize, ToSchema)]
pub struct SessionUser<'a> {
    /// The caller.
    pub user: &'a UserSelf,
    /// The same, alone.
    #[schema(value_type = Vec<UserSelf>)]
    pub users: [&'a UserSelf; 1],
}

/// The caller, as they see themselves.
#[derive(Serialize, ToSchema)]
pub struct UserSelf {
    /// The number in addresses.
    pub pk: i64,
    /// What they sign in with.
    #[schema(max_length = 150)]
    pub username: String,
    /// The full name, or `""`.
    pub name: String,
    /// Always true.
    pub is_active: bool,
    /// Whether they are administrators.
    pub is_superuser: bool,
    /// Always true.
    pub is_current: bool,
    /// All their groups by name, the ancestors of the direct ones too.
    pub groups: Vec<UserSelfGroups>,
    /// Always empty.
    #[schema(value_type = Vec<UserSelfRoles>)]
    pub roles: [UserSelfRoles; 0],
    /// The e-mail address, or `""`.
    #[schema(max_length = 254)]
    pub email: String,
    /// A picture.
    pub avatar: &'static str,
    /// What other services know them by.
    pub uid: String,
    /// `settings` of their attributes.
    pub settings: serde_json::Map<String, Value>,
    /// What they are.
    pub r#type: UserTypeEnum,
    /// Always empty.
    #[schema(value_type = Vec<String>)]
    pub system_permissions: [String; 0],
}

/// A group of the caller.
#[derive(Serialize, ToSchema)]
pub struct UserSelfGroups {
    /// Its name.
    pub name: String,
    /// What names it.
    #[schema(value_type = String, format = Uuid)]
    pub pk: Dashed,
}

/// A role of the caller. There are none.
#[derive(Serialize, ToSchema)]
pub struct UserSelfRoles {
    /// Its name.
    name: String,
    /// What names it.
    pk: String,
}

/// The paths of users.
#[derive(Serialize, ToSchema)]
pub struct UserPath {
    /// Each once, in order.
    pub paths: Vec<String>,
}
