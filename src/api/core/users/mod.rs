//! `/api/v3/core/users/`: users, listed, shown, added, changed and removed.

mod fields;
pub mod me;
pub mod password;
pub mod recovery;
pub mod service_account;
pub mod table;
pub mod wire;

use axum::http::Method;
use axum::routing::MethodRouter;

use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::people::changes::UserChange;
use crate::actions::people::{changes, users};
use crate::api::body::Body;
use crate::api::core::users::fields::{id_of, refusal};
use crate::api::core::users::table::{USERS, UserListParameters};
use crate::api::core::users::wire::{PatchedUserRequest, Shown, User, UserPage, UserPath, UserRequest};
use crate::api::core::wire::UsedBy;
use crate::api::endpoint::{Answer, Call, Endpoint, administrators, created, done, ok};
use crate::api::error::{ApiError, FieldErrors};
use crate::api::list::{Empty, Pagination, no_such_choice};
use crate::domain::UserId;
use crate::domain::people_lists::UserFilter;
use crate::store::people::profiles::UserProfile;
use crate::store::people::user_list::ListedUser;
use crate::store::people::users::NewUser;

/// Of which kind a user is, in authentik's words.
pub(in crate::api) const KIND: &str = "User";
const VIEWSET: &str = "User Viewset";

/// The list's address. It is for administrators.
pub fn collection() -> MethodRouter<App> {
    let endpoint = Endpoint::new("User List", VIEWSET).needs(administrators);
    endpoint.on(Method::GET, list).on(Method::POST, create).route()
}

/// One user's address. It is for administrators; one's own may be read.
pub fn item() -> MethodRouter<App> {
    let endpoint = Endpoint::new("User Instance", VIEWSET).of(KIND).needs(|call| {
        let is_own = id_of(call.part()).is_ok_and(|id| id == call.who.user_id);
        let is_read = matches!(*call.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        if is_own && is_read { Ok(()) } else { administrators(call) }
    });
    let endpoint = endpoint.on(Method::GET, retrieve).on(Method::PUT, update).on(Method::PATCH, partial_update);
    endpoint.on(Method::DELETE, destroy).route()
}

/// The address of what refers to a user.
pub fn item_used_by() -> MethodRouter<App> {
    let endpoint = Endpoint::new("Used by", "Get a list of all objects that use this object").of(KIND);
    endpoint.needs(administrators).on(Method::GET, used_by).route()
}

/// The address of users' paths.
pub fn paths() -> MethodRouter<App> {
    Endpoint::new("Paths", "Get all user paths").needs(administrators).on(Method::GET, list_paths).route()
}

/// Refuses names and uuids of groups and roles that are not there.
async fn check_choices(app: &App, filter: &UserFilter) -> Result<(), ApiError> {
    let db = app.store.read();
    let mut errors = FieldErrors::default();
    let mut wrong = |name: &str, value: String| errors.add(name, no_such_choice(value));
    if let Some(name) = db.find_missing_group_name(&filter.groups).await? {
        wrong("groups_by_name", name);
    }
    if let Some(uuid) = db.find_missing_group(&filter.group_uuids).await? {
        wrong("groups_by_pk", uuid.to_string());
    }
    if let Some(name) = filter.roles.first() {
        wrong("roles_by_name", name.clone());
    }
    if let Some(uuid) = filter.role_uuids.first() {
        wrong("roles_by_pk", uuid.to_string());
    }
    if errors.is_empty() { Ok(()) } else { Err(ApiError::Parameters(errors)) }
}

/// Lists users.
#[utoipa::path(
    get, path = "/api/v3/core/users/", operation_id = "core_users_list", tag = "core", params(UserListParameters),
    responses((status = 200, body = UserPage, description = "A page of users."))
)]
pub(crate) async fn list(app: App, call: Call) -> Answer {
    let request = USERS.read(&call.query, app.config.api.strict_query)?;
    check_choices(&app, &request.filter).await?;
    let found = app.store.page(&request.filter, &request.sorts, request.wanted(call.asked)?).await?;
    let pagination = Pagination::of(&found)?;
    let is_shown = |flag: Option<bool>| flag.unwrap_or(true);
    let shown = Shown { groups: is_shown(request.filter.with_groups), roles: is_shown(request.filter.with_roles) };
    let results = found.rows.iter().map(|row| User::new(row, shown)).collect();
    Ok(ok(&UserPage { pagination, results, autocomplete: Empty {} }))
}

/// Lists the paths of users that match the list's filters.
#[utoipa::path(
    get, path = "/api/v3/core/users/paths/", operation_id = "core_users_paths_retrieve", tag = "core",
    params(UserListParameters), responses((status = 200, body = UserPath, description = "The paths."))
)]
pub(crate) async fn list_paths(app: App, call: Call) -> Answer {
    let filter = USERS.read(&call.query, app.config.api.strict_query)?.filter;
    check_choices(&app, &filter).await?;
    let paths = app.store.long_read(move |db| Box::pin(async move { db.list_user_paths(&filter).await })).await?;
    Ok(ok(&UserPath { paths }))
}

/// Finds the user that the path names.
async fn find(app: &App, call: &Call) -> Result<UserProfile, ApiError> {
    app.store.read().find_profile(id_of(call.part())?).await?.ok_or(ApiError::Missing)
}

/// A user with all parts.
async fn shown(app: &App, id: UserId) -> Result<ListedUser, ApiError> {
    app.store.read().find_listed_user(id).await?.ok_or(ApiError::Missing)
}

const WHOLE: Shown = Shown { groups: true, roles: true };

/// Shows one user.
#[utoipa::path(
    get, path = "/api/v3/core/users/{id}/", operation_id = "core_users_retrieve", tag = "core", params(("id" = i64, Path)),
    responses((status = 200, body = User, description = "The user."))
)]
pub(crate) async fn retrieve(app: App, call: Call) -> Answer {
    Ok(ok(&User::new(&shown(&app, id_of(call.part())?).await?, WHOLE)))
}

/// Adds a user, without a password. A `password` in the body is ignored: `set_password` sets one.
#[utoipa::path(
    post, path = "/api/v3/core/users/", operation_id = "core_users_create", tag = "core", request_body = UserRequest,
    responses((status = 201, body = User, description = "The new user."))
)]
pub(crate) async fn create(app: App, mut call: Call) -> Answer {
    let body = Body::of(&mut call).await?;
    let change = fields::read(&app, body, None).await?;
    let user = NewUser {
        id: None,
        uuid: None,
        uid: None,
        username: change.username.clone().unwrap_or_default(),
        name: change.name.clone().unwrap_or_default(),
        email: change.email.clone().unwrap_or_default(),
        password_hash: None,
        is_active: change.is_active.unwrap_or(true),
        is_superuser: false,
        permissions: Vec::new(),
    };
    // What the row has already is no change of it.
    let more = UserChange { username: None, name: None, email: None, is_active: None, ..change };
    let added = users::add_with(&app, By::Principal(&call.who, &call.actor), user, None, more).await;
    Ok(created(&User::new(&shown(&app, added.map_err(refusal)?).await?, WHOLE)))
}

/// Changes a user. Without `groups` they are in no group afterwards; other fields that are not sent stay.
#[utoipa::path(
    put, path = "/api/v3/core/users/{id}/", operation_id = "core_users_update", tag = "core", params(("id" = i64, Path)),
    request_body = UserRequest, responses((status = 200, body = User, description = "The user, changed."))
)]
pub(crate) async fn update(app: App, mut call: Call) -> Answer {
    let user = find(&app, &call).await?;
    let body = Body::of(&mut call).await?;
    let change = fields::read(&app, body, Some(&user)).await?;
    let id = user.user.id;
    changes::change(&app, By::Principal(&call.who, &call.actor), id, change).await.map_err(refusal)?;
    Ok(ok(&User::new(&shown(&app, id).await?, WHOLE)))
}

/// Changes the fields of a user that are sent.
#[utoipa::path(
    patch, path = "/api/v3/core/users/{id}/", operation_id = "core_users_partial_update", tag = "core", params(("id" = i64, Path)),
    request_body = PatchedUserRequest, responses((status = 200, body = User, description = "The user, changed."))
)]
pub(crate) async fn partial_update(app: App, call: Call) -> Answer {
    update(app, call).await
}

/// Removes a user. Their sessions end, and their tokens go. The last administrator who can sign in stays.
#[utoipa::path(
    delete, path = "/api/v3/core/users/{id}/", operation_id = "core_users_destroy", tag = "core", params(("id" = i64, Path)),
    responses((status = 204, description = "They are gone."))
)]
pub(crate) async fn destroy(app: App, call: Call) -> Answer {
    let user = find(&app, &call).await?;
    users::remove(&app, By::Principal(&call.who, &call.actor), &user.user).await.map_err(refusal)?;
    Ok(done())
}

/// Lists what refers to a user.
#[utoipa::path(
    get, path = "/api/v3/core/users/{id}/used_by/", operation_id = "core_users_used_by_list", tag = "core",
    params(("id" = i64, Path)), responses((status = 200, body = Vec<UsedBy>, description = "Always an empty list."))
)]
pub(crate) async fn used_by(app: App, call: Call) -> Answer {
    find(&app, &call).await?;
    let none: [UsedBy; 0] = [];
    Ok(ok(&none))
}
