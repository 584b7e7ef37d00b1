//! `/api/v3/core/authenticated_sessions/{uuid}/details/`: all that is known of one session, such as how
//! its user proved who they are. Ours, not authentik's: its answers have no room for it.

use axum::extract::{Path, Request, State};
use axum::http::Method;
use axum::response::Response;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::sessions::look;
use crate::api::Call;
use crate::api::core::authenticated_sessions::{current, method_not_allowed, ok, options, parse_id, with_allow};
use crate::api::core::wire::{AuthenticatedSession, DetailedSession, ErrorDetail, SignIn};
use crate::api::error::ApiError;

const METHODS: &str = "GET, HEAD, OPTIONS";

/// The address.
pub async fn address(State(app): State<App>, Path(uuid): Path<String>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let answer = async {
        let call = Call::admit(&app, &parts).await?;
        match call.method {
            Method::GET | Method::HEAD => retrieve(&app, &call, &uuid).await,
            Method::OPTIONS => Ok(options("Session Details", "A session, with how it was signed in to")),
            _ => Err(method_not_allowed(&call)),
        }
    };
    with_allow(METHODS, answer.await)
}

/// Shows one session, with how it was signed in to.
#[utoipa::path(
    get, path = "/api/v3/core/authenticated_sessions/{uuid}/details/", operation_id = "core_authenticated_sessions_details_retrieve",
    tag = "core", params(("uuid" = String, Path, format = Uuid)), security(("bearer" = []), ("session" = [])),
    responses(
        (status = 200, body = DetailedSession), (status = 403, body = ErrorDetail), (status = 404, body = ErrorDetail),
        (status = 406, body = ErrorDetail), (status = 503, body = ErrorDetail)
    )
)]
pub(crate) async fn retrieve(app: &App, call: &Call, uuid: &str) -> Result<Response, ApiError> {
    let (detail, username) = look::find_details(app, &call.who, parse_id(uuid)?).await?.ok_or(ActionError::NotFound)?;
    let agents = app.user_agents.entries(&app.store.read(), [detail.row.user_agent_id]).await?;
    Ok(ok(&DetailedSession {
        session: AuthenticatedSession::new(app, &detail.row, &agents, current(call)),
        username: &username,
        sign_in: SignIn::new(&detail.row, &detail.sign_in),
    }))
}
