//! `/api/v3/core/users/service_account/`: adds a user for a program.

use axum::http::Method;
use axum::routing::MethodRouter;
use serde::Serialize;
use utoipa::ToSchema;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::people::service_accounts;
use crate::actions::people::service_accounts::NewServiceAccount;
use crate::api::body::Body;
use crate::api::core::users::fields::{NOT_UNIQUE, checked};
use crate::api::core::users::shown;
use crate::api::core::wire::Dashed;
use crate::api::endpoint::{Answer, Call, Endpoint, administrators, ok};
use crate::api::error::{ApiError, NON_FIELD_ERRORS};
use crate::domain::user::{MAX_USERNAME_LENGTH, check_username};

const EXISTS: &str = "A user/group with these details already exists";

/// The address. It is for administrators.
pub fn address() -> MethodRouter<App> {
    let endpoint = Endpoint::new("Service account", "Create a new user account that is marked as a service account");
    endpoint.needs(administrators).on(Method::POST, create).route()
}

/// A service account to add.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what is read field by field")]
pub struct UserServiceAccountRequest {
    /// The username; it is the group's name, too.
    #[schema(min_length = 1, max_length = 150)]
    name: String,
    /// Whether it is put into a group of its own; false unless sent.
    #[schema(nullable = false)]
    create_group: Option<bool>,
    /// Whether the application password expires; true unless sent.
    #[schema(nullable = false)]
    expiring: Option<bool>,
    /// When it expires; in 360 days unless sent.
    #[schema(nullable = false, value_type = Option<String>, format = DateTime)]
    expires: Option<String>,
}

/// A service account that was added.
#[derive(Serialize, ToSchema)]
pub struct UserServiceAccountResponse {
    /// The username.
    username: String,
    /// The key of the application password, which is shown this once.
    token: String,
    /// What other services know the user by.
    user_uid: String,
    /// The number in addresses.
    user_pk: i64,
    /// The group, where one was made.
    #[schema(value_type = Option<String>, format = Uuid, nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    group_pk: Option<Dashed>,
}

/// Adds a user for a program, with an application password.
#[utoipa::path(
    post, path = "/api/v3/core/users/service_account/", operation_id = "core_users_service_account_create", tag = "core",
    request_body = UserServiceAccountRequest,
    responses((status = 200, body = UserServiceAccountResponse, description = "The account, with its key."))
)]
pub(crate) async fn create(app: App, mut call: Call) -> Answer {
    let mut body = Body::of(&mut call).await?;
    let read = |body: &mut Body| body.field("name").required().text(MAX_USERNAME_LENGTH);
    let name = checked(&mut body, "name", read, check_username);
    if let Some(name) = &name
        && app.store.read().is_username_taken(name).await?
    {
        body.wrong("name", NOT_UNIQUE);
    }
    let with_group = body.field("create_group").boolean().unwrap_or(false);
    let is_expiring = body.field("expiring").boolean().unwrap_or(true);
    let expires = body.field("expires").instant();
    body.finish()?;
    let account = NewServiceAccount { name: name.unwrap_or_default(), with_group, is_expiring, expires };
    let added = service_accounts::add(&app, By::Principal(&call.who, &call.actor), account).await;
    let added = added.map_err(|error| match error {
        ActionError::Exists(_) => ApiError::parameter(NON_FIELD_ERRORS, EXISTS),
        other => other.into(),
    })?;
    let user = shown(&app, added.id).await?.profile.user;
    Ok(ok(&UserServiceAccountResponse {
        username: user.username,
        token: added.key.expose().to_owned(),
        user_uid: user.uid,
        user_pk: user.id.0,
        group_pk: added.group.map(Dashed),
    }))
}
