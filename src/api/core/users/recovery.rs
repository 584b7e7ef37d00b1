//! `/api/v3/core/users/{id}/recovery/`: a link with which a user sets a password once.

use axum::extract::{Path, Request, State};
use axum::http::Method;
use axum::response::Response;

use crate::actions::app::App;
use crate::actions::{ActionError, administration};
use crate::api::Call;
use crate::api::core::authenticated_sessions::{method_not_allowed, ok, options, with_allow};
use crate::api::core::wire::{ErrorDetail, Link};
use crate::api::error::ApiError;
use crate::domain::UserId;
use crate::http::client::ClientInfo;

const METHODS: &str = "POST, OPTIONS";

/// The address. It is for administrators.
pub async fn address(State(app): State<App>, Path(id): Path<String>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let answer = async {
        let call = Call::admit(&app, &parts).await?;
        let client = parts.extensions.get::<ClientInfo>().ok_or(ApiError::Internal)?;
        call.who.must_administer()?;
        match call.method {
            Method::POST => create(&app, &call, client, &id).await,
            Method::OPTIONS => Ok(options("Recovery", "Make a link with which a user sets a password once")),
            _ => Err(method_not_allowed(&call)),
        }
    };
    with_allow(METHODS, answer.await)
}

/// Makes a link with which a user sets a password once, within `sign_in.link_timeout`. Links that were
/// made for them before open nothing any more.
#[utoipa::path(
    post, path = "/api/v3/core/users/{id}/recovery/", operation_id = "core_users_recovery_create", tag = "core",
    params(("id" = i64, Path)), security(("bearer" = []), ("session" = [])),
    responses(
        (status = 200, body = Link), (status = 400, description = "The user is inactive."), (status = 403, body = ErrorDetail),
        (status = 404, body = ErrorDetail), (status = 406, body = ErrorDetail), (status = 503, body = ErrorDetail)
    )
)]
pub(crate) async fn create(app: &App, call: &Call, client: &ClientInfo, id: &str) -> Result<Response, ApiError> {
    let id = id.parse().map(UserId).map_err(|_| ApiError::NoUser)?;
    let made = async {
        let user = administration::find_user(app, &call.who, id).await?;
        administration::make_recovery_link(app, &call.who, &user, &call.actor).await
    };
    match made.await {
        Ok(key) => Ok(ok(&Link { link: format!("{}/set-up/{}", client.public_origin(app), key.expose()) })),
        Err(ActionError::NotFound) => Err(ApiError::NoUser),
        Err(ActionError::Rule(rule)) => Err(ApiError::parameter("non_field_errors", &format!("Sorry: {rule}."))),
        Err(error) => Err(error.into()),
    }
}
