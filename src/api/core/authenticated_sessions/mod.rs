//! `/api/v3/core/authenticated_sessions/`: the sessions, listed, searched, shown and ended.

pub mod bulk_delete;
pub mod details;
pub mod revoke;
pub mod table;

use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;

use crate::actions::app::App;
use crate::actions::principal::Principal;
use crate::actions::sessions::{end, look};
use crate::api::core::authenticated_sessions::table::{SESSIONS, SessionListParameters};
use crate::api::core::wire::{AuthenticatedSession, Page, UsedBy};
use crate::api::django;
use crate::api::django::Int;
use crate::api::endpoint::{Answer, Call, Endpoint, ok};
use crate::api::error::{ApiError, written};
use crate::api::list::{Empty, ListRequest, Pagination, page_number};
use crate::domain::SessionId;
use crate::domain::listing::{SessionFilter, SortKey, Window, is_order_far};
use crate::store::Db;
use crate::store::sessions::change_log::LogEnd;
use crate::store::sessions::rows::SessionRow;

/// Of which kind a session is, in authentik's words.
pub(in crate::api) const KIND: &str = "AuthenticatedSession";
const VIEWSET: &str = "AuthenticatedSession Viewset";

/// The list's address.
pub fn collection() -> MethodRouter<App> {
    Endpoint::new("Authenticated Session List", VIEWSET).needs(collection_permission).on(Method::GET, list).route()
}

/// One session's address.
pub fn item() -> MethodRouter<App> {
    let endpoint = Endpoint::new("Authenticated Session Instance", VIEWSET).of(KIND);
    endpoint.on(Method::GET, retrieve).on(Method::DELETE, destroy).route()
}

/// The address of what refers to a session.
pub fn item_used_by() -> MethodRouter<App> {
    Endpoint::new("Used by", "Get a list of all objects that use this object").of(KIND).on(Method::GET, used_by).route()
}

/// Whether the caller has the permission that the method needs on the whole collection: adding and
/// changing are for superusers, deleting for those who may. Others are told so before they are told
/// that the method does not exist.
///
/// # Errors
/// 403.
pub(in crate::api) fn collection_permission(call: &Call) -> Result<(), ApiError> {
    let is_permitted = match *call.method() {
        Method::POST | Method::PUT | Method::PATCH => call.who.rights.is_superuser,
        Method::DELETE => call.who.rights.may_delete_sessions,
        _ => true,
    };
    if is_permitted { Ok(()) } else { Err(ApiError::Forbidden) }
}

/// Lists sessions.
#[utoipa::path(
    get, path = "/api/v3/core/authenticated_sessions/", operation_id = "core_authenticated_sessions_list", tag = "core",
    params(SessionListParameters), responses((status = 200, body = Page, description = "A page of sessions."))
)]
pub(crate) async fn list(app: App, call: Call) -> Answer {
    let mut request = SESSIONS.read(&call.query, app.config.api.strict_query)?;
    restrict(&mut request.filter, &call.who);
    find_page(app, &call, request).await
}

/// Narrows a filter to what the caller may see.
fn restrict(filter: &mut SessionFilter, who: &Principal) {
    filter.visible_to = who.visible();
    // authentik does not know `user`, and the recorded cases hold a server to that for callers who see only
    // their own sessions.
    if filter.visible_to.is_some() {
        filter.user = None;
    }
}

/// Finds the page and shows it: from memory where it is at hand, else by the database.
async fn find_page(app: App, call: &Call, request: Request) -> Answer {
    let pages = PageRequest::of(call, &request);
    if let Some((count, rows)) = pages.find_soon(&request, &app.store.read()).await? {
        return pages.show(&app, request.page_size, count, &rows, &app.store.read()).await;
    }
    if !request.filter.reads_far() && !is_order_far(&request.sorts) && pages.is_near(request.page_size) {
        return pages.answer(&app, request, &app.store.read()).await;
    }
    // Off the threads that serve everyone else.
    let store = app.store.clone();
    store.long_read(move |db| Box::pin(async move { pages.answer(&app, request, db).await })).await
}

type Request = ListRequest<SessionFilter, SortKey>;

/// What of a call decides the page, once the filters are read.
struct PageRequest {
    page: Option<String>,
    current: Option<SessionId>,
    log_end: Option<LogEnd>,
}

impl PageRequest {
    fn of(call: &Call, request: &Request) -> Self {
        Self { page: request.page.clone(), current: call.current(), log_end: call.who.log_end }
    }

    /// Whether the page is among the first, which are read in no time.
    fn is_near(&self, size: i64) -> bool {
        let text = self.page.as_deref().unwrap_or_default();
        let is_near = |page: i64| !Window { offset: page.saturating_sub(1).saturating_mul(size), limit: size }.is_far();
        text.is_empty() || django::int(text).and_then(Int::value).is_some_and(is_near)
    }

    async fn answer(self, app: &App, request: Request, db: &Db<'_>) -> Result<Response, ApiError> {
        let (size, count) = (request.page_size, db.count_sessions(&request.filter).await?);
        let rows = db.list_sessions(&request.filter, &request.sorts, self.window(size, count)?, count).await?;
        self.show(app, size, count, &rows, db).await
    }

    /// How many sessions match, and those of the page, when they are at hand.
    async fn find_soon(&self, request: &Request, db: &Db<'_>) -> Result<Option<(i64, Vec<SessionRow>)>, ApiError> {
        let window_of = |count| self.window(request.page_size, count);
        db.page_sessions_soon(&request.filter, &request.sorts, self.log_end, window_of).await
    }

    fn number(&self, size: i64, count: i64) -> Result<i64, ApiError> {
        page_number(self.page.as_deref(), Pagination::pages(count, size))
    }

    fn window(&self, size: i64, count: i64) -> Result<Window, ApiError> {
        Ok(Window { offset: (self.number(size, count)? - 1) * size, limit: size })
    }

    async fn show(&self, app: &App, size: i64, count: i64, rows: &[SessionRow], db: &Db<'_>) -> Result<Response, ApiError> {
        let number = self.number(size, count)?;
        let agents = app.user_agents.entries(db, rows.iter().map(|row| row.user_agent_id)).await?;
        let results = rows.iter().map(|row| AuthenticatedSession::new(app, row, &agents, self.current)).collect();
        let page = Page { pagination: Pagination::new(number, size, count, rows.len()), results, autocomplete: Empty {} };
        Ok(written(StatusCode::OK, page.to_json()))
    }
}

/// Shows one session.
#[utoipa::path(
    get, path = "/api/v3/core/authenticated_sessions/{uuid}/", operation_id = "core_authenticated_sessions_retrieve", tag = "core",
    params(("uuid" = String, Path, format = Uuid)),
    responses((status = 200, body = AuthenticatedSession, description = "The session."))
)]
pub(crate) async fn retrieve(app: App, call: Call) -> Answer {
    let row = look::find(&app, &call.who, id_of(&call)?).await?;
    let agents = app.user_agents.entries(&app.store.read(), [row.user_agent_id]).await?;
    Ok(ok(&AuthenticatedSession::new(&app, &row, &agents, call.current())))
}

/// Ends one session.
#[utoipa::path(
    delete, path = "/api/v3/core/authenticated_sessions/{uuid}/", operation_id = "core_authenticated_sessions_destroy", tag = "core",
    params(("uuid" = String, Path, format = Uuid)),
    responses((status = 204, description = "It ended."))
)]
pub(crate) async fn destroy(app: App, call: Call) -> Answer {
    end::end_session(&app, &call.who, id_of(&call)?, &call.actor).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Lists what refers to a session.
#[utoipa::path(
    get, path = "/api/v3/core/authenticated_sessions/{uuid}/used_by/", operation_id = "core_authenticated_sessions_used_by_list",
    tag = "core", params(("uuid" = String, Path, format = Uuid)),
    responses((status = 200, body = Vec<UsedBy>, description = "Always an empty list."))
)]
pub(crate) async fn used_by(app: App, call: Call) -> Answer {
    look::find(&app, &call.who, id_of(&call)?).await?;
    let none: [UsedBy; 0] = [];
    Ok(ok(&none))
}

/// The id that the path names.
///
/// # Errors
/// 404 for what is no UUID.
pub(in crate::api) fn id_of(call: &Call) -> Result<SessionId, ApiError> {
    django::uuid(call.part()).ok_or(ApiError::NotFound)
}
