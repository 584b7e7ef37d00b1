//! `/api/v3/core/ended_sessions/`: what is kept of sessions that ended, listed as sessions are. Ours,
//! not authentik's.

use axum::extract::{Request, State};
use axum::http::Method;
use axum::response::Response;

use crate::actions::app::App;
use crate::api::Call;
use crate::api::core::authenticated_sessions::filter;
use crate::api::core::authenticated_sessions::filter::EndedRequest;
use crate::api::core::authenticated_sessions::{method_not_allowed, ok, options, require_collection_permission, with_allow};
use crate::api::core::parameters::{EndedListParameters, ListParameters};
use crate::api::core::wire::{AuthenticatedSession, Empty, EndedPage, EndedSession, ErrorDetail, Pagination, SignIn};
use crate::api::error::ApiError;
use crate::domain::listing::Window;
use crate::store::Db;

const METHODS: &str = "GET, HEAD, OPTIONS";

/// The list's address.
pub async fn collection(State(app): State<App>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let answer = async {
        let call = Call::admit(&app, &parts).await?;
        require_collection_permission(&call)?;
        match call.method {
            Method::GET | Method::HEAD => list(&app, &call).await,
            Method::OPTIONS => Ok(options("Ended Session List", "Sessions that ended, with when, by whom and why")),
            _ => Err(method_not_allowed(&call)),
        }
    };
    with_allow(METHODS, answer.await)
}

/// Lists ended sessions, the last that ended first. They are kept for `history.retention`.
#[utoipa::path(
    get, path = "/api/v3/core/ended_sessions/", operation_id = "core_ended_sessions_list", tag = "core",
    params(EndedListParameters, ListParameters), security(("bearer" = []), ("session" = [])),
    responses(
        (status = 200, body = EndedPage), (status = 400, description = "A parameter is wrong; the body names it."),
        (status = 403, body = ErrorDetail), (status = 404, body = ErrorDetail, description = "No such page."),
        (status = 406, body = ErrorDetail), (status = 503, body = ErrorDetail)
    )
)]
pub(crate) async fn list(app: &App, call: &Call) -> Result<Response, ApiError> {
    let request = filter::read_ended(&call.query, &call.who, app.config.api.strict_query)?;
    let page = call.query.last("page").map(str::to_owned);
    // What has no index reads far, and nothing tells beforehand.
    let (app, store) = (app.clone(), app.store.clone());
    store.long_read(move |db| Box::pin(async move { answer(&app, &request, page.as_deref(), db).await })).await
}

async fn answer(app: &App, request: &EndedRequest, page: Option<&str>, db: &Db<'_>) -> Result<Response, ApiError> {
    let count = db.count_ended_sessions(&request.filter).await?;
    let size = request.page_size;
    let number = filter::page_number(page, Pagination::pages(count, size))?;
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
