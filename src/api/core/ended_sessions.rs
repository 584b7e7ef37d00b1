//! `/api/v3/core/ended_sessions/`: what is kept of sessions that ended, listed as sessions are. Ours,
//! not authentik's.

use axum::http::Method;
use axum::routing::MethodRouter;

use crate::actions::app::App;
use crate::api::core::authenticated_sessions::collection_permission;
use crate::api::core::authenticated_sessions::table::{ENDED, EndedListParameters};
use crate::api::core::wire::{AuthenticatedSession, EndedPage, EndedSession, SignIn};
use crate::api::endpoint::{Answer, Call, Endpoint, ok};
use crate::api::list::{Empty, ListRequest, Pagination, page_number};
use crate::domain::listing::{EndedFilter, EndedSortKey, Window};
use crate::store::Db;

/// The list's address.
pub fn collection() -> MethodRouter<App> {
    let endpoint = Endpoint::new("Ended Session List", "Sessions that ended, with when, by whom and why");
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
    // Not every filter has an index, and nothing tells beforehand how many rows are read.
    let store = app.store.clone();
    store.long_read(move |db| Box::pin(async move { answer(&app, &request, db).await })).await
}

async fn answer(app: &App, request: &ListRequest<EndedFilter, EndedSortKey>, db: &Db<'_>) -> Answer {
    let count = db.count_ended_sessions(&request.filter).await?;
    let size = request.page_size;
    let number = page_number(request.page.as_deref(), Pagination::pages(count, size))?;
    let window = Window { offset: (number - 1) * size, limit: size };
    let rows = db.list_ended_sessions(&request.filter, &request.sorts, window).await?;
    let agents = app.user_agents.entries(db, rows.iter().map(|row| row.session.user_agent_id)).await?;
    let results = rows
        .iter()
        .map(|row| EndedSession {
            session: AuthenticatedSession::new(app, &row.session, &agents, None),
            username: &row.end.username,
            sign_in: SignIn::new(&row.session, &row.sign_in),
            ended: row.end.ended_at,
            ended_by: &row.end.ended_by,
            reason: &row.end.reason,
            comment: &row.end.comment,
        })
        .collect();
    let pagination = Pagination::new(number, size, count, rows.len());
    Ok(ok(&EndedPage { pagination, results, autocomplete: Empty {} }))
}
