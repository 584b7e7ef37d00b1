//! Groups in authentik's words.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::api::core::users::wire::Role;
use crate::api::core::wire::{Dashed, json_object};
use crate::api::list::{Empty, Pagination};
use crate::domain::Timestamp;
use crate::store::people::group_list::{ListedGroup, MemberRow};
use crate::store::people::groups::GroupRow;

/// A page of groups.
#[derive(Serialize, ToSchema)]
#[schema(as = PaginatedGroupList)]
pub struct GroupPage<'a> {
    /// The number of this page and of its neighbours.
    pub pagination: Pagination,
    /// The groups of this page.
    pub results: Vec<Group<'a>>,
    /// Always an empty object here.
    #[schema(value_type = Object)]
    pub autocomplete: Empty,
}

/// A group that a group is within, or that is within it.
#[derive(Serialize, ToSchema)]
pub struct RelatedGroup<'a> {
    /// What names it.
    #[schema(value_type = String, format = Uuid)]
    pk: Dashed,
    /// Its name.
    name: &'a str,
    /// Whether its members are administrators.
    is_superuser: bool,
    /// Free to use.
    #[schema(value_type = HashMap<String, Value>)]
    attributes: Box<RawValue>,
    /// What names it, again.
    #[schema(value_type = String, format = Uuid)]
    group_uuid: Dashed,
}

/// A member of a group.
#[derive(Serialize, ToSchema)]
pub struct PartialUser<'a> {
    /// The number in addresses.
    pk: i64,
    /// What they sign in with.
    #[schema(max_length = 150)]
    username: &'a str,
    /// The full name, or `""`.
    name: &'a str,
    /// Whether they may sign in.
    is_active: bool,
    /// When they last signed in; null: never.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    last_login: Option<Timestamp>,
    /// The e-mail address, or `""`.
    #[schema(max_length = 254)]
    email: &'a str,
    /// Free to use.
    #[schema(value_type = HashMap<String, Value>)]
    attributes: Box<RawValue>,
    /// What other services know them by.
    uid: &'a str,
}

/// A group.
#[derive(Serialize, ToSchema)]
pub struct Group<'a> {
    /// What names it.
    #[schema(value_type = String, format = Uuid)]
    pk: Dashed,
    /// Its number.
    num_pk: i64,
    /// Its name.
    name: &'a str,
    /// Whether its members, and those of groups within it, are administrators.
    is_superuser: bool,
    /// Ours: whether its members, and those of groups within it, read everything that administrators read.
    rollcall_is_auditor: bool,
    /// The groups that it is directly within.
    #[schema(value_type = Vec<String>)]
    parents: Vec<Dashed>,
    /// The same with details; null unless `include_parents=true`.
    #[schema(required)]
    parents_obj: Option<Vec<RelatedGroup<'a>>>,
    /// The primary keys of its direct members.
    users: &'a [i64],
    /// The same with details; null with `include_users=false`.
    #[schema(required)]
    users_obj: Option<Vec<PartialUser<'a>>>,
    /// Free to use.
    #[schema(value_type = HashMap<String, Value>)]
    attributes: Box<RawValue>,
    /// Always empty.
    #[schema(value_type = Vec<String>)]
    roles: [String; 0],
    /// Always empty.
    #[schema(value_type = Vec<Role>)]
    roles_obj: [Role; 0],
    /// Always empty; null unless `include_inherited_roles=true`.
    #[schema(required, value_type = Option<Vec<Role>>)]
    inherited_roles_obj: Option<[Role; 0]>,
    /// The groups directly within it.
    #[schema(value_type = Vec<String>)]
    children: Vec<Dashed>,
    /// The same with details; null unless `include_children=true`.
    #[schema(required)]
    children_obj: Option<Vec<RelatedGroup<'a>>>,
}

/// Which parts of a group are shown.
#[derive(Clone, Copy)]
pub struct Shown {
    /// `parents_obj`.
    pub parents: bool,
    /// `children_obj`.
    pub children: bool,
    /// `inherited_roles_obj`.
    pub inherited_roles: bool,
}

impl<'a> RelatedGroup<'a> {
    /// A group as other objects name it.
    #[must_use]
    pub fn new(group: &'a GroupRow) -> Self {
        Self {
            pk: Dashed(group.uuid),
            name: &group.name,
            is_superuser: group.is_superuser,
            attributes: json_object(&group.attributes),
            group_uuid: Dashed(group.uuid),
        }
    }
}

impl<'a> PartialUser<'a> {
    fn new(member: &'a MemberRow) -> Self {
        Self {
            pk: member.id.0,
            username: &member.username,
            name: &member.name,
            is_active: member.is_active,
            last_login: member.last_sign_in_at,
            email: &member.email,
            attributes: json_object(&member.attributes),
            uid: &member.uid,
        }
    }
}

impl<'a> Group<'a> {
    /// A row in authentik's words. Its members have details where it was read with them.
    #[must_use]
    pub fn new(row: &'a ListedGroup, shown: Shown) -> Self {
        let uuids = |groups: &[GroupRow]| groups.iter().map(|group| Dashed(group.uuid)).collect();
        let related = |groups: &'a [GroupRow]| groups.iter().map(RelatedGroup::new).collect();
        Self {
            pk: Dashed(row.group.uuid),
            num_pk: row.group.id,
            name: &row.group.name,
            is_superuser: row.group.is_superuser,
            rollcall_is_auditor: row.group.is_auditor,
            parents: uuids(&row.parents),
            parents_obj: shown.parents.then(|| related(&row.parents)),
            users: &row.members,
            users_obj: row.member_details.as_ref().map(|members| members.iter().map(PartialUser::new).collect()),
            attributes: json_object(&row.group.attributes),
            roles: [],
            roles_obj: [],
            inherited_roles_obj: shown.inherited_roles.then_some([]),
            children: uuids(&row.children),
            children_obj: shown.children.then(|| related(&row.children)),
        }
    }
}

/// A group to add, or a group's fields. Without `users` it has no member, and without `parents` it is within no group.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what is read field by field")]
pub struct GroupRequest {
    /// Its name, unique.
    #[schema(min_length = 1, max_length = 150)]
    name: String,
    /// Whether its members, and those of groups within it, are administrators; false unless sent.
    #[schema(nullable = false)]
    is_superuser: Option<bool>,
    /// Ours: whether they read everything that administrators read, and change nothing.
    #[schema(nullable = false)]
    rollcall_is_auditor: Option<bool>,
    /// The groups that it is directly within; at most 16 levels, and no cycle.
    #[schema(nullable = false)]
    parents: Option<Vec<String>>,
    /// The primary keys of its direct members.
    #[schema(nullable = false)]
    users: Option<Vec<i64>>,
    /// Free to use; at most 128 KiB as JSON.
    #[schema(nullable = false)]
    attributes: Option<HashMap<String, Value>>,
    /// Ignored: there are no roles.
    #[schema(nullable = false)]
    roles: Option<Vec<String>>,
}

/// Fields of a group to change.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what is read field by field")]
pub struct PatchedGroupRequest {
    /// Its name, unique.
    #[schema(nullable = false, min_length = 1, max_length = 150)]
    name: Option<String>,
    /// Whether its members, and those of groups within it, are administrators.
    #[schema(nullable = false)]
    is_superuser: Option<bool>,
    /// Ours: whether they read everything that administrators read, and change nothing.
    #[schema(nullable = false)]
    rollcall_is_auditor: Option<bool>,
    /// The groups that it is directly within; at most 16 levels, and no cycle.
    #[schema(nullable = false)]
    parents: Option<Vec<String>>,
    /// The primary keys of its direct members.
    #[schema(nullable = false)]
    users: Option<Vec<i64>>,
    /// Free to use; at most 128 KiB as JSON.
    #[schema(nullable = false)]
    attributes: Option<HashMap<String, Value>>,
    /// Ignored: there are no roles.
    #[schema(nullable = false)]
    roles: Option<Vec<String>>,
}

/// A user to put into a group, or to take out of it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what is read field by field")]
pub struct UserAccountRequest {
    /// The user's primary key.
    pk: i64,
}
