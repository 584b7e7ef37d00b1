//! `/api/v3/core/groups/`: groups, listed, shown, added, changed and removed, and who is in them.

pub mod table;
pub mod wire;

use axum::http::Method;
use axum::routing::MethodRouter;
use uuid::Uuid;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::people::groups;
use crate::actions::people::groups::GroupChange;
use crate::api::body::{Body, no_such_pk};
use crate::api::core::groups::table::{GROUPS, GroupListParameters};
use crate::api::core::groups::wire::{Group, GroupPage, GroupRequest, PatchedGroupRequest, Shown, UserAccountRequest};
use crate::api::core::wire::UsedBy;
use crate::api::django;
use crate::api::endpoint::{Answer, Call, Endpoint, administrators, created, done, ok};
use crate::api::error::{ApiError, FieldErrors, sentence};
use crate::api::list::{Empty, Pagination, no_such_choice};
use crate::domain::UserId;
use crate::domain::group::{GroupRule, MAX_GROUP_NAME_LENGTH, check_group_name};
use crate::domain::people_lists::GroupFilter;
use crate::store::people::group_list::ListedGroup;
use crate::store::people::groups::GroupRow;

/// Of which kind a group is, in authentik's words.
const KIND: &str = "Group";
const VIEWSET: &str = "Group Viewset";
const TAKEN: &str = "Group with this name already exists.";

/// The list's address. It is for administrators, as all of these.
pub fn collection() -> MethodRouter<App> {
    let endpoint = Endpoint::new("Group List", VIEWSET).needs(administrators);
    endpoint.on(Method::GET, list).on(Method::POST, create).route()
}

/// One group's address.
pub fn item() -> MethodRouter<App> {
    let endpoint = Endpoint::new("Group Instance", VIEWSET).of(KIND).needs(administrators).on(Method::GET, retrieve);
    endpoint.on(Method::PUT, update).on(Method::PATCH, partial_update).on(Method::DELETE, destroy).route()
}

/// The address that puts a user into a group.
pub fn item_add_user() -> MethodRouter<App> {
    Endpoint::new("Add user", "Add user to group").of(KIND).needs(administrators).on(Method::POST, add_user).route()
}

/// The address that takes a user out of a group.
pub fn item_remove_user() -> MethodRouter<App> {
    Endpoint::new("Remove user", "Remove user from group").of(KIND).needs(administrators).on(Method::POST, remove_user).route()
}

/// The address of what refers to a group.
pub fn item_used_by() -> MethodRouter<App> {
    let endpoint = Endpoint::new("Used by", "Get a list of all objects that use this object").of(KIND);
    endpoint.needs(administrators).on(Method::GET, used_by).route()
}

fn shown_by(filter: &GroupFilter) -> Shown {
    let is_asked = |flag: Option<bool>| flag.unwrap_or(false);
    Shown {
        parents: is_asked(filter.with_parents),
        children: is_asked(filter.with_children),
        inherited_roles: is_asked(filter.with_inherited_roles),
    }
}

/// Refuses members that are not there.
async fn check_choices(app: &App, filter: &GroupFilter) -> Result<(), ApiError> {
    let db = app.store.read();
    let mut errors = FieldErrors::default();
    let mut wrong = |name: &str, value: String| errors.add(name, no_such_choice(value));
    if let Some(name) = db.find_missing_username(&filter.members).await? {
        wrong("members_by_username", name);
    }
    if let Some(id) = db.find_missing_user(&filter.member_ids).await? {
        wrong("members_by_pk", id.to_string());
    }
    if errors.is_empty() { Ok(()) } else { Err(ApiError::Parameters(errors)) }
}

/// Lists groups.
#[utoipa::path(
    get, path = "/api/v3/core/groups/", operation_id = "core_groups_list", tag = "core", params(GroupListParameters),
    responses((status = 200, body = GroupPage, description = "A page of groups."))
)]
pub(crate) async fn list(app: App, call: Call) -> Answer {
    let request = GROUPS.read(&call.query, app.config.api.strict_query)?;
    check_choices(&app, &request.filter).await?;
    let found = app.store.page(&request.filter, &request.sorts, request.wanted(call.asked)?).await?;
    let pagination = Pagination::of(&found)?;
    let results = found.rows.iter().map(|row| Group::new(row, shown_by(&request.filter))).collect();
    Ok(ok(&GroupPage { pagination, results, autocomplete: Empty {} }))
}

/// The uuid that the path names.
///
/// # Errors
/// 404 for what is no UUID.
fn uuid_of(call: &Call) -> Result<Uuid, ApiError> {
    django::uuid(call.part()).map(|id| id.0).ok_or(ApiError::NotFound)
}

async fn find(app: &App, call: &Call) -> Result<GroupRow, ApiError> {
    app.store.read().find_group(uuid_of(call)?).await?.ok_or(ApiError::Missing)
}

async fn read(app: &App, uuid: Uuid, with_users: bool) -> Result<ListedGroup, ApiError> {
    app.store.read().find_listed_group(uuid, with_users).await?.ok_or(ApiError::Missing)
}

/// What is shown of a group that was just added or changed.
const PLAIN: Shown = Shown { parents: false, children: false, inherited_roles: false };

/// Shows one group.
#[utoipa::path(
    get, path = "/api/v3/core/groups/{group_uuid}/", operation_id = "core_groups_retrieve", tag = "core",
    params(
        ("group_uuid" = String, Path, format = Uuid),
        ("include_users" = Option<bool>, Query, description = "Whether it comes with its members' details."),
        ("include_children" = Option<bool>, Query, description = "Whether it comes with its children's details."),
        ("include_parents" = Option<bool>, Query, description = "Whether it comes with its parents' details."),
        ("include_inherited_roles" = Option<bool>, Query, description = "Whether it comes with the roles it inherits.")
    ),
    responses((status = 200, body = Group, description = "The group."))
)]
pub(crate) async fn retrieve(app: App, call: Call) -> Answer {
    let is_asked = |name: &str, default: bool| call.query.last(name).map_or(default, |value| value == "true");
    let shown = Shown {
        parents: is_asked("include_parents", false),
        children: is_asked("include_children", false),
        inherited_roles: is_asked("include_inherited_roles", false),
    };
    Ok(ok(&Group::new(&read(&app, uuid_of(&call)?, is_asked("include_users", true)).await?, shown)))
}

/// Reads all fields of a group. With `group`, these are changes of that group.
async fn read_fields(app: &App, mut body: Body, group: Option<&GroupRow>) -> Result<GroupChange, ApiError> {
    let db = app.store.read();
    let mut change = GroupChange::default();
    if let Some(name) = body.field("name").required().text(MAX_GROUP_NAME_LENGTH) {
        match check_group_name(&name) {
            Ok(name) if group.is_none_or(|group| group.name != name) && db.is_group_name_taken(&name).await? => {
                body.wrong("name", TAKEN);
            }
            Ok(name) => change.name = Some(name),
            Err(GroupRule::Name(rule)) => body.wrong("name", sentence(&rule)),
            Err(rule) => body.wrong("name", sentence(&rule)),
        }
    }
    change.is_superuser = body.field("is_superuser").boolean();
    change.is_auditor = body.field("rollcall_is_auditor").boolean();
    change.parents = body.field("parents").uuids();
    if let Some(missing) = db.find_missing_group(change.parents.as_deref().unwrap_or_default()).await? {
        body.refers_to_nothing("parents", missing);
    }
    change.users = body.field("users").keys();
    if let Some(missing) = db.find_missing_user(change.users.as_deref().unwrap_or_default()).await? {
        body.wrong("users", no_such_pk(missing));
    }
    if group.is_some() && !body.is_partial() {
        change.parents = change.parents.or_else(|| (!body.has("parents")).then(Vec::new));
        change.users = change.users.or_else(|| (!body.has("users")).then(Vec::new));
    }
    change.attributes = body.field("attributes").object();
    body.finish()?;
    Ok(change)
}

/// What an action on a group refused, in authentik's words.
fn refusal(error: ActionError) -> ApiError {
    match error {
        ActionError::Exists(_) => ApiError::parameter("name", TAKEN),
        ActionError::NoGroup(uuid) => ApiError::parameter("parents", &no_such_pk(uuid)),
        ActionError::NoUser(id) => ApiError::parameter("users", &no_such_pk(id)),
        ActionError::Group(rule @ (GroupRule::Cycle | GroupRule::Depth)) => ApiError::parameter("parents", &sentence(&rule)),
        other => other.into(),
    }
}

/// Adds a group.
#[utoipa::path(
    post, path = "/api/v3/core/groups/", operation_id = "core_groups_create", tag = "core", request_body = GroupRequest,
    responses((status = 201, body = Group, description = "The new group."))
)]
pub(crate) async fn create(app: App, mut call: Call) -> Answer {
    let body = Body::of(&mut call).await?;
    let change = read_fields(&app, body, None).await?;
    let uuid = groups::add(&app, By::Principal(&call.who, &call.actor), change).await.map_err(refusal)?;
    Ok(created(&Group::new(&read(&app, uuid, true).await?, PLAIN)))
}

/// Changes a group. Without `users` it has no member afterwards, and without `parents` it is within no group.
#[utoipa::path(
    put, path = "/api/v3/core/groups/{group_uuid}/", operation_id = "core_groups_update", tag = "core",
    params(("group_uuid" = String, Path, format = Uuid)), request_body = GroupRequest,
    responses((status = 200, body = Group, description = "The group, changed."))
)]
pub(crate) async fn update(app: App, mut call: Call) -> Answer {
    let group = find(&app, &call).await?;
    let body = Body::of(&mut call).await?;
    let change = read_fields(&app, body, Some(&group)).await?;
    groups::change(&app, By::Principal(&call.who, &call.actor), group.uuid, change).await.map_err(refusal)?;
    Ok(ok(&Group::new(&read(&app, group.uuid, true).await?, PLAIN)))
}

/// Changes the fields of a group that are sent.
#[utoipa::path(
    patch, path = "/api/v3/core/groups/{group_uuid}/", operation_id = "core_groups_partial_update", tag = "core",
    params(("group_uuid" = String, Path, format = Uuid)), request_body = PatchedGroupRequest,
    responses((status = 200, body = Group, description = "The group, changed."))
)]
pub(crate) async fn partial_update(app: App, call: Call) -> Answer {
    update(app, call).await
}

/// Removes a group. Its members stay users.
#[utoipa::path(
    delete, path = "/api/v3/core/groups/{group_uuid}/", operation_id = "core_groups_destroy", tag = "core",
    params(("group_uuid" = String, Path, format = Uuid)), responses((status = 204, description = "It is gone."))
)]
pub(crate) async fn destroy(app: App, call: Call) -> Answer {
    groups::remove(&app, By::Principal(&call.who, &call.actor), uuid_of(&call)?).await.map_err(refusal)?;
    Ok(done())
}

async fn set_member(app: &App, mut call: Call, is_member: bool) -> Answer {
    let mut body = Body::of(&mut call).await?;
    let user = body.field("pk").required().integer();
    body.finish()?;
    let group = find(app, &call).await?;
    // PATCH is not taken here, so it was sent.
    let user = UserId(user.unwrap_or_default());
    match groups::set_member(app, By::Principal(&call.who, &call.actor), group.uuid, user, is_member).await {
        Ok(_) => Ok(done()),
        Err(ActionError::NoUser(_)) => Err(ApiError::NotFound),
        Err(error) => Err(refusal(error)),
    }
}

/// Puts a user into a group. One who is in it already stays.
#[utoipa::path(
    post, path = "/api/v3/core/groups/{group_uuid}/add_user/", operation_id = "core_groups_add_user_create", tag = "core",
    params(("group_uuid" = String, Path, format = Uuid)), request_body = UserAccountRequest,
    responses((status = 204, description = "They are in it."))
)]
pub(crate) async fn add_user(app: App, call: Call) -> Answer {
    set_member(&app, call, true).await
}

/// Takes a user out of a group.
#[utoipa::path(
    post, path = "/api/v3/core/groups/{group_uuid}/remove_user/", operation_id = "core_groups_remove_user_create", tag = "core",
    params(("group_uuid" = String, Path, format = Uuid)), request_body = UserAccountRequest,
    responses((status = 204, description = "They are not in it."))
)]
pub(crate) async fn remove_user(app: App, call: Call) -> Answer {
    set_member(&app, call, false).await
}

/// Lists what refers to a group.
#[utoipa::path(
    get, path = "/api/v3/core/groups/{group_uuid}/used_by/", operation_id = "core_groups_used_by_list", tag = "core",
    params(("group_uuid" = String, Path, format = Uuid)),
    responses((status = 200, body = Vec<UsedBy>, description = "Always an empty list."))
)]
pub(crate) async fn used_by(app: App, call: Call) -> Answer {
    find(&app, &call).await?;
    let none: [UsedBy; 0] = [];
    Ok(ok(&none))
}
