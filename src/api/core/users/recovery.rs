//! `/api/v3/core/users/{id}/recovery/`: a link with which a user sets a password once.

use std::time::Duration;

use axum::http::Method;
use axum::routing::MethodRouter;
use utoipa::ToSchema;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::people::users;
use crate::api::body::Body;
use crate::api::core::users::{KIND, find};
use crate::api::core::wire::Link;
use crate::api::duration;
use crate::api::endpoint::{Answer, Call, Endpoint, administrators, ok};
use crate::api::error::{ApiError, sentence};
use crate::domain::user::UserRule;

/// The longest text that is read as a duration.
const MAX_LENGTH: usize = 200;

/// The address. It is for administrators.
pub fn address() -> MethodRouter<App> {
    let endpoint = Endpoint::new("Recovery", "Make a link with which a user sets a password once");
    endpoint.of(KIND).needs(administrators).on(Method::POST, create).route()
}

/// How long the link is valid.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what is read field by field")]
pub struct UserRecoveryLinkRequest {
    /// A duration such as `hours=2;minutes=30`, at most `sign_in.link_timeout_max`; `sign_in.link_timeout` unless sent.
    #[schema(nullable = false)]
    token_duration: Option<String>,
}

/// Makes a link with which a user sets a password once. Links that were made for them before open nothing any more.
#[utoipa::path(
    post, path = "/api/v3/core/users/{id}/recovery/", operation_id = "core_users_recovery_create", tag = "core",
    params(("id" = i64, Path)), request_body(content = Option<UserRecoveryLinkRequest>),
    responses((status = 200, body = Link, description = "The link, which is shown once."))
)]
pub(crate) async fn create(app: App, mut call: Call) -> Answer {
    let mut body = Body::of(&mut call).await?;
    let text = body.field("token_duration").text(MAX_LENGTH);
    let lives = match text.as_deref().map(duration::parse) {
        Some(None) => {
            body.wrong("token_duration", duration::no_duration(text.as_deref().unwrap_or_default()));
            None
        }
        // What is negative is no time, which is refused.
        Some(Some(micros)) => Some(Duration::from_micros(u64::try_from(micros).unwrap_or(0))),
        None => None,
    };
    body.finish()?;
    let user = find(&app, &call).await?.user;
    let by = By::Principal(&call.who, &call.actor);
    let key = match lives {
        Some(lives) => users::make_recovery_link_for(&app, by, &user, lives).await.map_err(refusal)?,
        None => users::make_recovery_link(&app, by, &user).await?,
    };
    Ok(ok(&Link { link: format!("{}/set-up/{}", call.client()?.public_origin(&app), key.expose()) }))
}

fn refusal(error: ActionError) -> ApiError {
    match error {
        ActionError::Rule(rule @ UserRule::LinkTime) => ApiError::parameter("token_duration", &sentence(&rule)),
        other => other.into(),
    }
}
