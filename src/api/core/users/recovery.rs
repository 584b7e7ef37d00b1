//! `/api/v3/core/users/{id}/recovery/`: a link with which a user sets a password once.

use axum::http::Method;
use axum::routing::MethodRouter;

use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::people::users;
use crate::api::core::users::fields::id_of;
use crate::api::core::wire::Link;
use crate::api::endpoint::{Answer, Call, Endpoint, administrators, ok};

/// The address. It is for administrators.
pub fn address() -> MethodRouter<App> {
    let endpoint = Endpoint::new("Recovery", "Make a link with which a user sets a password once");
    endpoint.of("User").needs(administrators).on(Method::POST, create).route()
}

/// Makes a link with which a user sets a password once, within `sign_in.link_timeout`. Links that were
/// made for them before open nothing any more.
#[utoipa::path(
    post, path = "/api/v3/core/users/{id}/recovery/", operation_id = "core_users_recovery_create", tag = "core",
    params(("id" = i64, Path)), responses((status = 200, body = Link, description = "The link, which is shown once."))
)]
pub(crate) async fn create(app: App, call: Call) -> Answer {
    let id = id_of(call.part())?;
    let by = By::Principal(&call.who, &call.actor);
    let user = users::find_by_id(&app, by, id).await?;
    let key = users::make_recovery_link(&app, by, &user).await?;
    Ok(ok(&Link { link: format!("{}/set-up/{}", call.client()?.public_origin(&app), key.expose()) }))
}
