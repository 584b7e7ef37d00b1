//! `/api/v3/core/authenticated_sessions/`: the sessions, listed, searched, shown and ended.
//!
//! Each address takes any method: authentik answers a wrong one only after it has looked at the
//! credentials, and for some addresses at the caller's permissions (`compat.md` 2 and 9).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, json};
use utoipa::{IntoParams, ToSchema};

use super::session_filter;
use crate::actions::sessions;
use crate::api::Call;
use crate::api::error::{ApiError, json_response};
use crate::api::python::{self, Int};
use crate::app::App;
use crate::domain::listing::Window;
use crate::domain::{Address, SessionId, Timestamp};
use crate::http::query::Query;
use crate::store::Db;
use crate::store::sessions::SessionRow;
use crate::store::user_agents::UserAgentRow;

const LIST_METHODS: &str = "GET, HEAD, OPTIONS";
const ITEM_METHODS: &str = "GET, DELETE, HEAD, OPTIONS";
const BULK_METHODS: &str = "DELETE, OPTIONS";

/// A page of sessions.
#[derive(Serialize, ToSchema)]
#[schema(as = PaginatedAuthenticatedSessionList)]
pub struct Page<'a> {
    pagination: Pagination,
    results: Vec<AuthenticatedSession<'a>>,
    /// Always an empty object here.
    #[schema(value_type = Object)]
    autocomplete: Empty,
}

/// An empty object.
#[derive(Serialize)]
struct Empty {}

/// Where a page stands among the others.
#[derive(Serialize, ToSchema)]
pub struct Pagination {
    /// Number of the next page, 0 for none.
    next: i64,
    /// Number of the page before, 0 for none.
    previous: i64,
    /// How many sessions match in all.
    count: i64,
    /// Number of this page, from 1.
    current: i64,
    /// How many pages there are, at least 1.
    total_pages: i64,
    /// Place of the page's first row, from 1; 0 when there is none.
    start_index: i64,
    /// Place of the page's last row; 0 when there is none.
    end_index: i64,
}

/// A session.
#[derive(Serialize, ToSchema)]
pub struct AuthenticatedSession<'a> {
    /// What names the session. It is not its key.
    #[schema(value_type = String, format = Uuid)]
    uuid: SessionId,
    /// Whether the request's own cookie is this session.
    current: bool,
    user_agent: AuthenticatedSessionUserAgent<'a>,
    /// Null when no City file knows the address.
    #[schema(required)]
    geo_ip: Option<AuthenticatedSessionGeoIp>,
    /// Null when no ASN file knows the address.
    #[schema(required)]
    asn: Option<AuthenticatedSessionAsn>,
    /// The user's primary key.
    user: i64,
    /// The address it was last used from, in its shortest form.
    #[schema(value_type = String)]
    last_ip: Address,
    /// The user agent it was last used with, as received.
    last_user_agent: &'a str,
    /// When it was last used.
    #[schema(value_type = String, format = DateTime)]
    last_used: Timestamp,
    /// When it ends unless it is used.
    #[schema(value_type = String, format = DateTime)]
    expires: Timestamp,
}

/// What the user agent says. Parts that are not known are `""`.
#[derive(Serialize, ToSchema)]
pub struct AuthenticatedSessionUserAgent<'a> {
    string: &'a str,
    user_agent: AuthenticatedSessionUserAgentUserAgent<'a>,
    os: AuthenticatedSessionUserAgentOs<'a>,
    device: AuthenticatedSessionUserAgentDevice<'a>,
}

/// The browser.
#[derive(Serialize, ToSchema)]
pub struct AuthenticatedSessionUserAgentUserAgent<'a> {
    family: &'a str,
    major: &'a str,
    minor: &'a str,
    patch: &'a str,
}

/// The operating system.
#[derive(Serialize, ToSchema)]
pub struct AuthenticatedSessionUserAgentOs<'a> {
    family: &'a str,
    major: &'a str,
    minor: &'a str,
    patch: &'a str,
    patch_minor: &'a str,
}

/// The device.
#[derive(Serialize, ToSchema)]
pub struct AuthenticatedSessionUserAgentDevice<'a> {
    family: &'a str,
    brand: &'a str,
    model: &'a str,
}

/// Where the address is.
#[derive(Serialize, ToSchema)]
pub struct AuthenticatedSessionGeoIp {
    /// Continent code, or `""`.
    continent: String,
    /// ISO country code, or `""`.
    country: String,
    /// Degrees north, or null.
    #[schema(required)]
    lat: Option<f64>,
    /// Degrees east, or null.
    #[schema(required)]
    long: Option<f64>,
    /// English name, or `""`.
    city: String,
}

/// The network the address belongs to.
#[derive(Serialize, ToSchema)]
pub struct AuthenticatedSessionAsn {
    /// Autonomous system number.
    asn: i64,
    /// Who runs it, or null.
    #[schema(required)]
    as_org: Option<String>,
    /// CIDR.
    network: String,
}

/// An object that refers to a session. There are none yet.
#[derive(Serialize, ToSchema)]
pub struct UsedBy {
    app: String,
    model_name: String,
    pk: String,
    name: String,
    action: String,
}

/// How many sessions were ended.
#[derive(Serialize, ToSchema)]
pub struct BulkDeleteSessionResponse {
    deleted: u64,
}

/// What an error says.
#[derive(Serialize, ToSchema)]
#[schema(as = GenericError)]
pub struct ErrorDetail {
    detail: String,
}

/// The list's query parameters, for the schema; `session_filter` reads them.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, non_snake_case, reason = "read by name in session_filter; this describes them")]
pub struct ListParameters {
    /// Names separated by commas, each with an optional `-`: `uuid`, `user`, `username`,
    /// `session__last_ip`, `session__last_user_agent`, `session__last_used`, `session__expires`, or
    /// their short forms. Without any that is known: by username. Equal rows come by `uuid`.
    ordering: Option<String>,
    /// A page's number from 1, or `last`.
    page: Option<String>,
    /// Rows a page: 20 by default, at most 100.
    page_size: Option<i64>,
    /// Terms, each of which must be part of the username, the address or the user agent.
    search: Option<String>,
    /// The last address, in any notation.
    session__last_ip: Option<String>,
    /// The last user agent, exactly.
    session__last_user_agent: Option<String>,
    /// The username, exactly.
    user__username: Option<String>,
    /// The user's primary key.
    user: Option<i64>,
    /// Last used at this instant or later.
    last_used__gte: Option<String>,
    /// Last used at this instant or earlier.
    last_used__lte: Option<String>,
    /// Expires at this instant or later.
    expires__gte: Option<String>,
    /// Expires at this instant or earlier.
    expires__lte: Option<String>,
    /// ISO country code of the last address.
    country: Option<String>,
    /// Autonomous system number of the last address.
    asn: Option<i64>,
    /// Network of the last address, in CIDR notation.
    network: Option<String>,
    /// Browser family, exactly.
    browser: Option<String>,
    /// System family, exactly.
    os: Option<String>,
    /// Device family, exactly.
    device: Option<String>,
}

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
    params(ListParameters), security(("bearer" = []), ("session" = [])),
    responses(
        (status = 200, body = Page), (status = 400, description = "A parameter is wrong; the body names it."),
        (status = 403, body = ErrorDetail), (status = 404, body = ErrorDetail, description = "No such page."),
        (status = 406, body = ErrorDetail), (status = 503, body = ErrorDetail)
    )
)]
pub(crate) async fn list(app: &App, call: &Call) -> Result<Response, ApiError> {
    let request = session_filter::read(&call.query, &call.who, app.config.is_query_strict)?;
    let pages = PageRequest::of(call);
    if !request.filter.reads_far() && pages.is_near() {
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
}

impl PageRequest {
    fn of(call: &Call) -> Self {
        Self { page: call.query.last("page").map(str::to_owned), current: current(call) }
    }

    /// Whether the page is among the first, which are read in no time.
    fn is_near(&self) -> bool {
        let text = self.page.as_deref().unwrap_or_default();
        text.is_empty() || python::int(text).and_then(Int::value).is_some_and(|page| page <= 50)
    }

    async fn answer(self, app: &App, request: session_filter::ListRequest, db: &Db<'_>) -> Result<Response, ApiError> {
        let count = db.count_sessions(&request.filter).await?;
        let size = request.page_size;
        let pages = (count + size - 1).div_euclid(size).max(1);
        let number = session_filter::page_number(self.page.as_deref(), pages)?;
        let window = Window { offset: (number - 1) * size, limit: size };
        let rows = db.list_sessions(&request.filter, &request.sorts, window, count).await?;
        let shown = i64::try_from(rows.len()).unwrap_or(0);
        let agents = app.user_agents.entries(db, rows.iter().map(|row| row.user_agent_id)).await?;
        let page = Page {
            pagination: Pagination {
                next: if number < pages { number + 1 } else { 0 },
                previous: number - 1,
                count,
                current: number,
                total_pages: pages,
                start_index: if shown == 0 { 0 } else { window.offset + 1 },
                end_index: if shown == 0 { 0 } else { window.offset + shown },
            },
            results: rows.iter().map(|row| present(app, row, &agents, self.current)).collect(),
            autocomplete: Empty {},
        };
        Ok(ok(&page))
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
    let row = sessions::find(app, &call.who, parse_id(uuid)?).await?;
    let agents = app.user_agents.entries(&app.store.read(), [row.user_agent_id]).await?;
    Ok(ok(&present(app, &row, &agents, current(call))))
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
    sessions::revoke(app, &call.who, parse_id(uuid)?, &call.actor).await?;
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
    sessions::find(app, &call.who, parse_id(uuid)?).await?;
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
    let users = read_user_pks(&call.query, app.config.is_query_strict)?;
    let deleted = sessions::revoke_of_users(app, &call.who, users.into_iter().collect(), &call.actor).await?;
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
        session_filter::refuse_unknown(query, is_known, &mut errors);
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
    python::int(whole).ok_or(NO_INTEGER)
}

fn parse_id(uuid: &str) -> Result<SessionId, ApiError> {
    SessionId::parse(uuid).ok_or(ApiError::NotFound)
}

/// Whether the caller has the permission that the method needs on the whole collection: adding and
/// changing are for superusers, deleting for those who may. Others are told so before they are told
/// that the method does not exist.
fn require_collection_permission(call: &Call) -> Result<(), ApiError> {
    let is_permitted = match call.method {
        Method::POST | Method::PUT | Method::PATCH => call.who.rights.is_superuser,
        Method::DELETE => call.who.rights.may_delete_sessions,
        _ => true,
    };
    if is_permitted { Ok(()) } else { Err(ApiError::Forbidden) }
}

fn method_not_allowed(call: &Call) -> ApiError {
    ApiError::MethodNotAllowed(call.method.to_string())
}

/// Adds the address's methods: authentik names them in every answer.
fn with_allow(allow: &'static str, answer: Result<Response, ApiError>) -> Response {
    let mut response = answer.into_response();
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}

fn current(call: &Call) -> Option<SessionId> {
    call.who.session.as_ref().map(|session| session.uuid)
}

fn options(name: &str, description: &str) -> Response {
    let media = ["application/json"];
    ok(&json!({ "name": name, "description": description, "renders": media, "parses": media }))
}

fn ok(body: &impl Serialize) -> Response {
    json_response(StatusCode::OK, body)
}

/// A row in authentik's words.
fn present<'a>(
    app: &App,
    row: &SessionRow,
    agents: &'a HashMap<i64, Arc<UserAgentRow>>,
    current: Option<SessionId>,
) -> AuthenticatedSession<'a> {
    let agent = agents.get(&row.user_agent_id);
    let string = agent.map_or("", |agent| agent.text.as_str());
    AuthenticatedSession {
        uuid: row.uuid,
        current: current == Some(row.uuid),
        user_agent: present_agent(string, agent),
        geo_ip: app.geoip.place(row.last_ip).map(|place| AuthenticatedSessionGeoIp {
            continent: place.continent,
            country: place.country,
            lat: place.latitude,
            long: place.longitude,
            city: place.city,
        }),
        asn: app.geoip.autonomous_system(row.last_ip).map(|network| AuthenticatedSessionAsn {
            asn: network.number,
            as_org: network.organization,
            network: network.network,
        }),
        user: row.user_id.0,
        last_ip: row.last_ip,
        last_user_agent: string,
        last_used: row.last_used_at,
        expires: row.expires_at,
    }
}

fn present_agent<'a>(string: &'a str, agent: Option<&'a Arc<UserAgentRow>>) -> AuthenticatedSessionUserAgent<'a> {
    let parsed = agent.map(|agent| &agent.parsed);
    let (browser, system, device) = (parsed.map(|it| &it.browser), parsed.map(|it| &it.system), parsed.map(|it| &it.device));
    AuthenticatedSessionUserAgent {
        string,
        user_agent: AuthenticatedSessionUserAgentUserAgent {
            family: browser.map_or("Other", |it| &it.family),
            major: browser.map_or("", |it| &it.major),
            minor: browser.map_or("", |it| &it.minor),
            patch: browser.map_or("", |it| &it.patch),
        },
        os: AuthenticatedSessionUserAgentOs {
            family: system.map_or("Other", |it| &it.family),
            major: system.map_or("", |it| &it.major),
            minor: system.map_or("", |it| &it.minor),
            patch: system.map_or("", |it| &it.patch),
            patch_minor: system.map_or("", |it| &it.patch_minor),
        },
        device: AuthenticatedSessionUserAgentDevice {
            family: device.map_or("Other", |it| &it.family),
            brand: device.map_or("", |it| &it.brand),
            model: device.map_or("", |it| &it.model),
        },
    }
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
