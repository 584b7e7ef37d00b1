//! `/api/v3/core/users/{id}/set_password/` and `…/set_password_hash/`.

use axum::http::Method;
use axum::routing::MethodRouter;
use utoipa::ToSchema;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::people::users;
use crate::api::body::Body;
use crate::api::core::users::{KIND, find};
use crate::api::endpoint::{Answer, Call, Endpoint, administrators, done};
use crate::api::error::{ApiError, sentence};
use crate::domain::user::UserRule;

/// The longest text that is read as a password or as its hash, in characters.
const MAX_LENGTH: usize = 1024;

/// The address of a password. It is for administrators.
pub fn address() -> MethodRouter<App> {
    let endpoint = Endpoint::new("Set password", "Set password for user").of(KIND).needs(administrators);
    endpoint.on(Method::POST, set_password).route()
}

/// The address of a password's hash. It is for administrators.
pub fn hash_address() -> MethodRouter<App> {
    let endpoint = Endpoint::new("Set password hash", "Set the hash of a password for user").of(KIND).needs(administrators);
    endpoint.on(Method::POST, set_password_hash).route()
}

/// A password.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what is read field by field")]
pub struct UserPasswordSetRequest {
    /// The new one. Blanks around it belong to it.
    #[schema(min_length = 1)]
    password: String,
}

/// The hash of a password.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what is read field by field")]
pub struct UserPasswordHashSetRequest {
    /// Argon2 in PHC form.
    #[schema(min_length = 1)]
    password: String,
}

async fn read(call: &mut Call) -> Result<String, ApiError> {
    let mut body = Body::of(call).await?;
    let password = body.field("password").required().untrimmed().text(MAX_LENGTH);
    body.finish()?;
    Ok(password.unwrap_or_default())
}

fn refusal(error: ActionError) -> ApiError {
    match error {
        ActionError::Rule(rule @ (UserRule::Password(_) | UserRule::Hash)) => ApiError::parameter("password", &sentence(&rule)),
        other => other.into(),
    }
}

/// Sets a user's password. Their other sessions end, unless `sessions.end_on_password_change` says otherwise.
#[utoipa::path(
    post, path = "/api/v3/core/users/{id}/set_password/", operation_id = "core_users_set_password_create", tag = "core",
    params(("id" = i64, Path)), request_body = UserPasswordSetRequest,
    responses((status = 204, description = "It is set."))
)]
pub(crate) async fn set_password(app: App, mut call: Call) -> Answer {
    let password = read(&mut call).await?;
    let user = find(&app, &call).await?.user;
    users::set_password(&app, By::Principal(&call.who, &call.actor), &user, password).await.map_err(refusal)?;
    Ok(done())
}

/// Sets the hash of a user's password, with the same consequences.
#[utoipa::path(
    post, path = "/api/v3/core/users/{id}/set_password_hash/", operation_id = "core_users_set_password_hash_create", tag = "core",
    params(("id" = i64, Path)), request_body = UserPasswordHashSetRequest,
    responses((status = 204, description = "It is set."))
)]
pub(crate) async fn set_password_hash(app: App, mut call: Call) -> Answer {
    let hash = read(&mut call).await?;
    let user = find(&app, &call).await?.user;
    users::set_password_hash(&app, By::Principal(&call.who, &call.actor), &user, hash).await.map_err(refusal)?;
    Ok(done())
}
