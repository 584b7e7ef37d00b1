//! `/api/v3/core/logout_notices/`: what apps are told of ends, and what became of it. Ours, not authentik's.

use axum::http::Method;
use axum::routing::MethodRouter;
use serde::Serialize;
use utoipa::ToSchema;

use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::oidc::notices;
use crate::api::django;
use crate::api::endpoint::{Answer, Call, Endpoint, administrators, done, ok};
use crate::api::error::ApiError;
use crate::api::list::{Empty, ListTable, Pagination, list_parameters, no_such_choice};
use crate::api::small_list::{self, FieldFilter, Fields, about};
use crate::domain::filters::{About, Kind};
use crate::domain::oidc::notice::NoticeState;
use crate::domain::{SessionId, Timestamp};
use crate::store::oidc::notices::{NoticeFilter, NoticeRow};

const KIND: &str = "LogoutNotice";

/// What an app is told: that a session which had it open ended.
#[derive(Serialize, ToSchema)]
pub struct LogoutNotice {
    /// The app session that ended.
    uuid: String,
    /// The slug that the application had then.
    application: String,
    /// The client.
    client_id: String,
    /// Where it is sent.
    #[schema(format = "uri")]
    uri: String,
    /// The session.
    session: String,
    /// `waiting`, `sending`, `delivered`, `given_up` or `dropped`.
    state: &'static str,
    /// When the app session ended.
    #[schema(value_type = String, format = DateTime)]
    owed: Timestamp,
    /// How often it was tried.
    tries: i64,
    /// When it is tried next; null: it is settled, or under way.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    next_try: Option<Timestamp>,
    /// When it was delivered, given up or dropped; null: not yet.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    settled: Option<Timestamp>,
    /// What the last try came to, in words.
    said: String,
}

impl LogoutNotice {
    fn new(row: &NoticeRow, now: Timestamp) -> Self {
        Self {
            uuid: row.uuid.hyphenated().to_string(),
            application: row.slug.clone(),
            client_id: row.client_id.clone(),
            uri: row.target.to_string(),
            session: row.session.to_string(),
            state: row.state(now).as_str(),
            owed: row.owed_at,
            tries: row.tries,
            next_try: row.next_try(now),
            settled: row.settled_at,
            said: row.said.clone(),
        }
    }
}

/// A page of notices.
#[derive(Serialize, ToSchema)]
#[schema(as = PaginatedLogoutNoticeList)]
pub struct LogoutNoticePage {
    /// The number of this page and of its neighbours.
    pub pagination: Pagination,
    /// The notices of this page.
    pub results: Vec<LogoutNotice>,
    /// Always an empty object here.
    #[schema(value_type = Object)]
    pub autocomplete: Empty,
}

/// How notices are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Listed;

fn states() -> Vec<&'static str> {
    NoticeState::ALL.iter().map(|state| state.as_str()).collect()
}

impl Fields for Listed {
    const FILTERS: &'static [About] = &[
        about("application", Kind::Text, "The application, by slug"),
        about("session", Kind::Uuid, "The session"),
        about("state", Kind::Choice(states), "Where it is"),
    ];
    const NAMES: &'static [(&'static str, &'static str)] = &[];
    const SEARCHED: &'static [&'static str] = &[];
    const ORDERS: &'static [&'static str] = &[];
}

static NOTICES: ListTable<FieldFilter<Listed>, &'static str> =
    small_list::table("Changes nothing: the newest ones come first.", "Changes nothing.");

list_parameters!(LogoutNoticeListParameters, NOTICES);

/// The list's address.
pub fn collection() -> MethodRouter<App> {
    let endpoint = Endpoint::new("Logout Notice List", "What apps are told of ends");
    endpoint.needs(administrators).on(Method::GET, list).route()
}

/// The address that has one sent now.
pub fn item_send() -> MethodRouter<App> {
    let endpoint = Endpoint::new("Logout Notice Send", "Has a notice sent now").of(KIND).needs(administrators);
    endpoint.on(Method::POST, send).route()
}

/// The address that drops one.
pub fn item_drop() -> MethodRouter<App> {
    let endpoint = Endpoint::new("Logout Notice Drop", "Drops a notice: the app is not told").of(KIND).needs(administrators);
    endpoint.on(Method::POST, drop_one).route()
}

/// Lists what apps are told of ends, the newest first.
#[utoipa::path(
    get, path = "/api/v3/core/logout_notices/", operation_id = "core_logout_notices_list", tag = "core",
    params(LogoutNoticeListParameters), responses((status = 200, body = LogoutNoticePage, description = "A page of notices."))
)]
pub(crate) async fn list(app: App, call: Call) -> Answer {
    let request = NOTICES.read(&call.query, app.config.api.strict_query)?;
    let given = |name: &str| request.filter.get(name);
    let of_application = match given("application") {
        Some(slug) => notices::of_application(&app, slug).await?,
        None => NoticeFilter::default(),
    };
    let known = |word: &str| NoticeState::parse(word).ok_or_else(|| ApiError::parameter("state", &no_such_choice(word)));
    let state = given("state").map(known).transpose()?;
    let filter = NoticeFilter { session: given("session").and_then(SessionId::parse), state, ..of_application };
    let (by, wanted) = (By::Principal(&call.who, &call.actor), request.wanted(call.asked)?);
    let count = notices::count(&app, by, &filter).await?;
    let found = match wanted.window(count) {
        Some(window) => wanted.found(count, notices::list(&app, by, &filter, window.offset, window.limit).await?),
        None => wanted.found(count, Vec::new()),
    };
    let (pagination, now) = (Pagination::of(&found)?, app.clock.now());
    let results = found.rows.iter().map(|row| LogoutNotice::new(row, now)).collect();
    Ok(ok(&LogoutNoticePage { pagination, results, autocomplete: Empty {} }))
}

fn named(call: &Call) -> Result<NoticeFilter, ApiError> {
    let uuid = django::uuid(call.part()).ok_or(ApiError::NotFound)?.0;
    Ok(NoticeFilter { uuid: Some(uuid), ..NoticeFilter::default() })
}

/// Has a notice sent now that waits or was given up.
#[utoipa::path(
    post, path = "/api/v3/core/logout_notices/{uuid}/send/", operation_id = "core_logout_notices_send_create", tag = "core",
    params(("uuid" = String, Path, format = Uuid)), responses((status = 204, description = "It is sent now."))
)]
pub(crate) async fn send(app: App, call: Call) -> Answer {
    let (by, filter) = (By::Principal(&call.who, &call.actor), named(&call)?);
    let sent = notices::send(&app, by, filter.clone()).await?;
    notices::must_be_open(&app, by, sent, &filter).await?;
    Ok(done())
}

/// Drops a notice that waits or was given up: the app is not told.
#[utoipa::path(
    post, path = "/api/v3/core/logout_notices/{uuid}/drop/", operation_id = "core_logout_notices_drop_create", tag = "core",
    params(("uuid" = String, Path, format = Uuid)), responses((status = 204, description = "It was dropped."))
)]
pub(crate) async fn drop_one(app: App, call: Call) -> Answer {
    let (by, filter) = (By::Principal(&call.who, &call.actor), named(&call)?);
    let dropped = notices::drop_them(&app, by, filter.clone()).await?;
    notices::must_be_open(&app, by, dropped, &filter).await?;
    Ok(done())
}
