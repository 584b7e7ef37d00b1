//! `/api/v3/core/authenticated_sessions/{uuid}/details/`: all that is known of one session, such as how
//! its user proved who they are. Ours, not authentik's: its answers have no room for it.

use axum::http::Method;
use axum::routing::MethodRouter;

use crate::actions::app::App;
use crate::actions::sessions::look::{self, Watched};
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
    let id = id_of(&call)?;
    let Some((detail, username)) = look::find_details(&app, &call.who, id).await? else {
        return watched(&app, look::find_watched(&app, &call.who, id).await?.ok_or(ApiError::Missing)?).await;
    };
    let agents = app.user_agents.entries(&app.store.read(), [detail.row.user_agent_id]).await?;
    let opened = app.store.read().list_app_sessions_of(&[detail.row.uuid]).await?;
    let ids: Vec<i64> = opened.iter().map(|row| row.id).collect();
    let now = app.clock.now();
    let tokens = app.store.read().list_opened_tokens(&ids, now).await?;
    Ok(ok(&DetailedSession {
        session: AuthenticatedSession::new(&app, &detail.row, &agents, call.current()).with_source(),
        username: &username,
        sign_in: SignIn::new(&detail.row, &detail.sign_in),
        first_seen: None,
        as_of: None,
        applications: opened.iter().map(|row| SessionApplication::live(row, &tokens, now)).collect(),
    }))
}

/// A session of the copy of the watched authentik.
async fn watched(app: &App, found: Watched) -> Answer {
    let row = found.listed();
    let agents = app.user_agents.entries(&app.store.read(), [row.user_agent_id]).await?;
    let seen_at = found.source.status.seen_at;
    Ok(ok(&DetailedSession {
        session: AuthenticatedSession::new(app, &row, &agents, None),
        username: found.row.username.as_deref().unwrap_or_default(),
        sign_in: SignIn::watched(found.row.sign_in.as_ref()),
        first_seen: Some(found.row.first_seen_at),
        as_of: (seen_at.0 > 0).then_some(seen_at),
        applications: Vec::new(),
    }))
}
