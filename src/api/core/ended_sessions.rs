//! `/api/v3/core/ended_sessions/`: what is kept of sessions that ended, listed as sessions are. Ours,
//! not authentik's.

use axum::http::Method;
use axum::routing::MethodRouter;

use crate::actions::app::App;
use crate::api::core::applications::opened::SessionApplication;
use crate::api::core::authenticated_sessions::collection_permission;
use crate::api::core::authenticated_sessions::table::{ENDED, EndedListParameters};
use crate::api::core::wire::{AuthenticatedSession, EndedPage, EndedSession, SignIn};
use crate::api::endpoint::{Answer, Call, Endpoint, ok};
use crate::api::list::{Empty, Pagination};
use crate::domain::SessionId;
use crate::store::sessions::history_list::EndedListRow;

/// The list's address.
pub fn collection() -> MethodRouter<App> {
    let endpoint = Endpoint::new("Ended Session List", "Sessions that ended: when, who ended them and why");
    endpoint.needs(collection_permission).on(Method::GET, list).route()
}

/// Lists ended sessions, the last that ended first. They are kept for `history.retention`.
#[utoipa::path(
    get, path = "/api/v3/core/ended_sessions/", operation_id = "core_ended_sessions_list", tag = "core",
    params(EndedListParameters), responses((status = 200, body = EndedPage, description = "A page of ended sessions."))
)]
pub(crate) async fn list(app: App, call: Call) -> Answer {
    let mut request = ENDED.read(&call.query, app.config.api.strict_query)?;
    request.filter.session.visible_to = call.who.visible();
    let found = app.store.page(&request.filter, &request.sorts, request.wanted(call.asked)?).await?;
    let pagination = Pagination::of(&found)?;
    let agents = app.user_agents.entries(&app.store.read(), found.rows.iter().map(|row| row.session.user_agent_id)).await?;
    let with_client = |row: &&EndedListRow| row.applications.iter().any(|opened| opened.client_id.is_some());
    let sessions: Vec<SessionId> = found.rows.iter().filter(with_client).map(|row| row.session.uuid).collect();
    let (notices, now) = (app.store.read().list_notices_of(&sessions).await?, app.clock.now());
    let results = found
        .rows
        .iter()
        .map(|row| EndedSession {
            session: AuthenticatedSession::new(&app, &row.session, &agents, None).with_source(),
            username: &row.end.username,
            sign_in: SignIn::new(&row.session, &row.sign_in),
            ended: row.end.ended_at,
            ended_by: &row.end.ended_by,
            reason: &row.end.reason,
            comment: &row.end.comment,
            applications: row.applications.iter().map(|ended| SessionApplication::ended(ended, &notices, now)).collect(),
        })
        .collect();
    Ok(ok(&EndedPage { pagination, results, autocomplete: Empty {} }))
}
