//! `/api/v3/core/authenticated_sessions/{uuid}/details/`: all that is known of one session, such as how
//! its user proved who they are. Ours, not authentik's: its answers have no room for it.

use axum::http::Method;
use axum::routing::MethodRouter;

use crate::actions::app::App;
use crate::actions::sessions::look;
use crate::api::core::applications::opened::SessionApplication;
use crate::api::core::authenticated_sessions::{KIND, id_of};
use crate::api::core::wire::{AuthenticatedSession, DetailedSession, SignIn};
use crate::api::endpoint::{Answer, Call, Endpoint, ok};
use crate::api::error::ApiError;

/// The address.
pub fn address() -> MethodRouter<App> {
    Endpoint::new("Session Details", "A session, with how it was signed in to").of(KIND).on(Method::GET, retrieve).route()
}

/// Shows one session, with how it was signed in to.
#[utoipa::path(
    get, path = "/api/v3/core/authenticated_sessions/{uuid}/details/", operation_id = "core_authenticated_sessions_details_retrieve",
    tag = "core", params(("uuid" = String, Path, format = Uuid)),
    responses((status = 200, body = DetailedSession, description = "The session."))
)]
pub(crate) async fn retrieve(app: App, call: Call) -> Answer {
    let found = look::find_details(&app, &call.who, id_of(&call)?).await?;
    let (detail, username) = found.ok_or(ApiError::Missing)?;
    let agents = app.user_agents.entries(&app.store.read(), [detail.row.user_agent_id]).await?;
    let opened = app.store.read().list_app_sessions_of(&[detail.row.uuid]).await?;
    Ok(ok(&DetailedSession {
        session: AuthenticatedSession::new(&app, &detail.row, &agents, call.current()),
        username: &username,
        sign_in: SignIn::new(&detail.row, &detail.sign_in),
        applications: opened.iter().map(SessionApplication::live).collect(),
    }))
}
