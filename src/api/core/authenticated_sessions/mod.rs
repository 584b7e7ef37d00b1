//! `/api/v3/core/authenticated_sessions/`: the sessions, listed, searched, shown and ended.
//!
//! Each address takes any method: authentik answers a wrong one only after it has looked at the
//! credentials, and for some addresses at the caller's permissions (`docs/compat.md` 2 and 13).

pub mod details;
pub mod filter;
pub mod revoke;

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, json};

use crate::actions::app::App;
use crate::actions::sessions::{end, look};
use crate::api::Call;
use crate::api::core::parameters::{ListParameters, SessionListParameters};
use crate::api::core::wire::{AuthenticatedSession, BulkDeleteSessionResponse, Empty, ErrorDetail, Page, Pagination, UsedBy};
use crate::api::django;
use crate::api::django::Int;
use crate::api::error::{ApiError, json_response, written};
use crate::domain::SessionId;
use crate::domain::listing::{Window, is_order_far};
use crate::http::query::Query;
use crate::store::Db;
use crate::store::sessions::change_log::LogEnd;
use crate::store::sessions::rows::SessionRow;

const LIST_METHODS: &str = "GET, HEAD, OPTIONS";
const ITEM_METHODS: &str = "GET, DELETE, HEAD, OPTIONS";
const BULK_METHODS: &str = "DELETE, OPTIONS";

/// The list's address.
pub async fn collection(State(app): State<App>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let answer = async {
        let call = Call::admit(&app, &parts).await?;
        require_collection_permission(&call)?;
        match call.method {
            Method::GET | Method::HEAD => list(&app, &call).await,
            Method::OPTIONS => Ok(options("Authenticated Session List", VIEWSET)),
            _ => Err(method_not_allowed(&call)),
        }
    };
    with_allow(LIST_METHODS, answer.await)
}

/// The address that ends the sessions of many users.
pub async fn bulk(State(app): State<App>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let answer = async {
        let call = Call::admit(&app, &parts).await?;
        require_collection_permission(&call)?;
        match call.method {
            Method::DELETE => bulk_delete(&app, &call).await,
            Method::OPTIONS => Ok(options("Bulk delete", "Bulk revoke all sessions for multiple users")),
            _ => Err(method_not_allowed(&call)),
        }
    };
    with_allow(BULK_METHODS, answer.await)
}

/// One session's address. With a `.` it does not exist.
pub async fn item(State(app): State<App>, Path(uuid): Path<String>, request: Request) -> Response {
    if uuid.contains('.') {
        return ApiError::NotFound.into_response();
    }
    let (parts, _) = request.into_parts();
    let answer = async {
        let call = Call::admit(&app, &parts).await?;
        match call.method {
            Method::GET | Method::HEAD => retrieve(&app, &call, &uuid).await,
            Method::DELETE => destroy(&app, &call, &uuid).await,
            Method::OPTIONS => Ok(options("Authenticated Session Instance", VIEWSET)),
            _ => Err(method_not_allowed(&call)),
        }
    };
    with_allow(ITEM_METHODS, answer.await)
}

/// The address of what refers to a session. With a `.` it does not exist.
pub async fn item_used_by(State(app): State<App>, Path(uuid): Path<String>, request: Request) -> Response {
    if uuid.contains('.') {
        return ApiError::NotFound.into_response();
    }
    let (parts, _) = request.into_parts();
    let answer = async {
        let call = Call::admit(&app, &parts).await?;
        match call.method {
            Method::GET | Method::HEAD => used_by(&app, &call, &uuid).await,
            Method::OPTIONS => Ok(options("Used by", "Get a list of all objects that use this object")),
            _ => Err(method_not_allowed(&call)),
        }
    };
    with_allow(LIST_METHODS, answer.await)
}

const VIEWSET: &str = "AuthenticatedSession Viewset";

/// Lists sessions.
#[utoipa::path(
    get, path = "/api/v3/core/authenticated_sessions/", operation_id = "core_authenticated_sessions_list", tag = "core",
    params(SessionListParameters, ListParameters), security(("bearer" = []), ("session" = [])),
    responses(
        (status = 200, body = Page), (status = 400, description = "A parameter is wrong; the body names it."),
        (status = 403, body = ErrorDetail), (status = 404, body = ErrorDetail, description = "No such page."),
        (status = 406, body = ErrorDetail), (status = 503, body = ErrorDetail)
    )
)]
pub(crate) async fn list(app: &App, call: &Call) -> Result<Response, ApiError> {
    let request = filter::read(&call.query, &call.who, app.config.api.strict_query)?;
    let pages = PageRequest::of(call);
    if let Some((count, rows)) = pages.find_soon(&request, &app.store.read()).await? {
        return pages.show(app, request.page_size, count, &rows, &app.store.read()).await;
    }
    if !request.filter.reads_far() && !is_order_far(&request.sorts) && pages.is_near(request.page_size) {
        return pages.answer(app, request, &app.store.read()).await;
    }
    // Off the threads that serve everyone else.
    let app = app.clone();
    let store = app.store.clone();
    store.long_read(move |db| Box::pin(async move { pages.answer(&app, request, db).await })).await
}

/// What of a call decides the page, once the filters are read.
struct PageRequest {
    page: Option<String>,
    current: Option<SessionId>,
    log_end: Option<LogEnd>,
}

impl PageRequest {
    fn of(call: &Call) -> Self {
        Self { page: call.query.last("page").map(str::to_owned), current: current(call), log_end: call.who.log_end }
    }

    /// Whether the page is among the first, which are read in no time.
    fn is_near(&self, size: i64) -> bool {
        let text = self.page.as_deref().unwrap_or_default();
        let is_near = |page: i64| !Window { offset: page.saturating_sub(1).saturating_mul(size), limit: size }.is_far();
        text.is_empty() || django::int(text).and_then(Int::value).is_some_and(is_near)
    }

    async fn answer(self, app: &App, request: filter::ListRequest, db: &Db<'_>) -> Result<Response, ApiError> {
        let (size, count) = (request.page_size, db.count_sessions(&request.filter).await?);
        let rows = db.list_sessions(&request.filter, &request.sorts, self.window(size, count)?, count).await?;
        self.show(app, size, count, &rows, db).await
    }

    /// How many sessions match, and those of the page, when they are at hand.
    async fn find_soon(&self, request: &filter::ListRequest, db: &Db<'_>) -> Result<Option<(i64, Vec<SessionRow>)>, ApiError> {
        let window_of = |count| self.window(request.page_size, count);
        db.page_sessions_soon(&request.filter, &request.sorts, self.log_end, window_of).await
    }

    fn number(&self, size: i64, count: i64) -> Result<i64, ApiError> {
        filter::page_number(self.page.as_deref(), Pagination::pages(count, size))
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
    params(("uuid" = String, Path, format = Uuid)), security(("bearer" = []), ("session" = [])),
    responses(
        (status = 200, body = AuthenticatedSession), (status = 403, body = ErrorDetail), (status = 404, body = ErrorDetail),
        (status = 406, body = ErrorDetail), (status = 503, body = ErrorDetail)
    )
)]
pub(crate) async fn retrieve(app: &App, call: &Call, uuid: &str) -> Result<Response, ApiError> {
    let row = look::find(app, &call.who, parse_id(uuid)?).await?;
    let agents = app.user_agents.entries(&app.store.read(), [row.user_agent_id]).await?;
    Ok(ok(&AuthenticatedSession::new(app, &row, &agents, current(call))))
}

/// Ends one session.
#[utoipa::path(
    delete, path = "/api/v3/core/authenticated_sessions/{uuid}/", operation_id = "core_authenticated_sessions_destroy", tag = "core",
    params(("uuid" = String, Path, format = Uuid)), security(("bearer" = []), ("session" = [])),
    responses(
        (status = 204, description = "Ended."), (status = 403, body = ErrorDetail), (status = 404, body = ErrorDetail),
        (status = 406, body = ErrorDetail), (status = 503, body = ErrorDetail)
    )
)]
pub(crate) async fn destroy(app: &App, call: &Call, uuid: &str) -> Result<Response, ApiError> {
    end::revoke(app, &call.who, parse_id(uuid)?, &call.actor).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Lists what refers to a session.
#[utoipa::path(
    get, path = "/api/v3/core/authenticated_sessions/{uuid}/used_by/", operation_id = "core_authenticated_sessions_used_by_list",
    tag = "core", params(("uuid" = String, Path, format = Uuid)), security(("bearer" = []), ("session" = [])),
    responses(
        (status = 200, body = Vec<UsedBy>), (status = 403, body = ErrorDetail), (status = 404, body = ErrorDetail),
        (status = 406, body = ErrorDetail), (status = 503, body = ErrorDetail)
    )
)]
pub(crate) async fn used_by(app: &App, call: &Call, uuid: &str) -> Result<Response, ApiError> {
    look::find(app, &call.who, parse_id(uuid)?).await?;
    let none: [UsedBy; 0] = [];
    Ok(ok(&none))
}

/// Ends all sessions of these users.
#[utoipa::path(
    delete, path = "/api/v3/core/authenticated_sessions/bulk_delete/",
    operation_id = "core_authenticated_sessions_bulk_delete_destroy", tag = "core",
    params(("user_pks" = Vec<i64>, Query, explode, description = "Primary keys of users.")),
    security(("bearer" = []), ("session" = [])),
    responses(
        (status = 200, body = BulkDeleteSessionResponse), (status = 400, description = "An item is no integer; the body names it."),
        (status = 403, body = ErrorDetail), (status = 404, body = ErrorDetail), (status = 406, body = ErrorDetail),
        (status = 503, body = ErrorDetail)
    )
)]
pub(crate) async fn bulk_delete(app: &App, call: &Call) -> Result<Response, ApiError> {
    let users = read_user_pks(&call.query, app.config.api.strict_query)?;
    let deleted = end::revoke_of_users(app, &call.who, users.into_iter().collect(), &call.actor).await?;
    Ok(ok(&BulkDeleteSessionResponse { deleted }))
}

/// Reads `user_pks`, repeated, or `user_pks[0]` and so on, as Django REST Framework reads a list of
/// integers from a form. Numbers that no key can be count for nothing.
fn read_user_pks(query: &Query, is_strict: bool) -> Result<BTreeSet<i64>, ApiError> {
    const NAME: &str = "user_pks";
    let mut items: Vec<Option<&str>> = query.all(NAME).map(Some).collect();
    if items.is_empty() {
        // The last of each index counts, in the order of the indexes; more after the bracket is an object.
        let mut indexed = BTreeMap::new();
        for (name, value) in query.pairs() {
            let Some((index, rest)) = name.strip_prefix("user_pks[").and_then(|rest| rest.split_once(']')) else { continue };
            if index.bytes().all(|byte| byte.is_ascii_digit())
                && let Ok(index) = index.parse::<u64>()
            {
                indexed.insert(index, rest.is_empty().then_some(value));
            }
        }
        items = indexed.into_values().collect();
    }
    if items.is_empty() {
        return Err(ApiError::parameter(NAME, "This field is required."));
    }
    let mut errors = Map::new();
    let mut users = BTreeSet::new();
    for (index, item) in items.into_iter().enumerate() {
        match item.map_or(Err(NO_INTEGER), read_integer) {
            Ok(Int::Fits(id)) => drop(users.insert(id)),
            Ok(Int::TooLarge | Int::TooSmall) => {}
            Err(why) => drop(errors.insert(index.to_string(), json!([why]))),
        }
    }
    if !errors.is_empty() {
        return Err(ApiError::Parameters(Map::from_iter([(NAME.to_owned(), errors.into())])));
    }
    if is_strict {
        let is_known = |name: &str| matches!(name, NAME | "format") || name.starts_with("user_pks[");
        filter::refuse_unknown(query, is_known, &mut errors);
        if !errors.is_empty() {
            return Err(ApiError::Parameters(errors));
        }
    }
    Ok(users)
}

const NO_INTEGER: &str = "A valid integer is required.";

/// An item as Django REST Framework's `IntegerField` reads it: `6.0` is 6.
fn read_integer(text: &str) -> Result<Int, &'static str> {
    if text.chars().count() > 1000 {
        return Err("String value too large.");
    }
    let trimmed = text.trim_end_matches(crate::domain::search::is_python_space);
    let whole = trimmed.trim_end_matches('0').strip_suffix('.').unwrap_or(text);
    django::int(whole).ok_or(NO_INTEGER)
}

pub(in crate::api) fn parse_id(uuid: &str) -> Result<SessionId, ApiError> {
    SessionId::parse(uuid).ok_or(ApiError::NotFound)
}

/// Whether the caller has the permission that the method needs on the whole collection: adding and
/// changing are for superusers, deleting for those who may. Others are told so before they are told
/// that the method does not exist.
pub(in crate::api) fn require_collection_permission(call: &Call) -> Result<(), ApiError> {
    let is_permitted = match call.method {
        Method::POST | Method::PUT | Method::PATCH => call.who.rights.is_superuser,
        Method::DELETE => call.who.rights.may_delete_sessions,
        _ => true,
    };
    if is_permitted { Ok(()) } else { Err(ApiError::Forbidden) }
}

pub(in crate::api) fn method_not_allowed(call: &Call) -> ApiError {
    ApiError::MethodNotAllowed(call.method.to_string())
}

/// Adds the address's methods: authentik names them in every answer.
pub(in crate::api) fn with_allow(allow: &'static str, answer: Result<Response, ApiError>) -> Response {
    let mut response = answer.into_response();
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}

pub(in crate::api) fn current(call: &Call) -> Option<SessionId> {
    call.who.session.as_ref().map(|session| session.uuid)
}

pub(in crate::api) fn options(name: &str, description: &str) -> Response {
    let media = ["application/json"];
    ok(&json!({ "name": name, "description": description, "renders": media, "parses": media }))
}

pub(in crate::api) fn ok(body: &impl Serialize) -> Response {
    json_response(StatusCode::OK, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Vec<i64>, String> {
        read_user_pks(&Query::parse(query), false).map(|set| set.into_iter().collect()).map_err(|error| match error {
            ApiError::Parameters(errors) => serde_json::Value::Object(errors).to_string(),
            other => format!("{other:?}"),
        })
    }

    #[test]
    fn user_pks_as_django_rest_framework_reads_them() {
        assert_eq!(read("user_pks=2&user_pks=6.0&user_pks=2"), Ok(vec![2, 6]));
        assert_eq!(read("user_pks=%20%2B1_0.00%20&user_pks=-5"), Ok(vec![-5, 10]));
        assert_eq!(read("user_pks=99999999999999999999"), Ok(vec![]));
        assert_eq!(read("user_pks=10&user_pks=100&user_pks=7."), Ok(vec![7, 10, 100]));
        assert_eq!(read("user_pks[1]=3&user_pks[0]=4&user_pks[1]=5"), Ok(vec![4, 5]));
        let no_integer = |index: &str| Err(format!("{{\"user_pks\":{{\"{index}\":[\"A valid integer is required.\"]}}}}"));
        assert_eq!(read("user_pks="), no_integer("0"));
        assert_eq!(read("user_pks=2,3"), no_integer("0"));
        assert_eq!(read("user_pks=2&user_pks=x"), no_integer("1"));
        assert_eq!(read("user_pks=1.5"), no_integer("0"));
        assert_eq!(read("user_pks=."), no_integer("0"));
        assert_eq!(read("user_pks[0]x=1"), no_integer("0"));
        assert_eq!(read("user_pks_=1"), Err("{\"user_pks\":[\"This field is required.\"]}".into()));
        let long = format!("user_pks={}", "1".repeat(1001));
        assert_eq!(read(&long), Err("{\"user_pks\":{\"0\":[\"String value too large.\"]}}".into()));
    }
}
