//! `/api/v3/core/app_sessions/`: which sessions have which applications open. Ours, not authentik's.

use axum::http::Method;
use axum::routing::MethodRouter;

use crate::actions::app::App;
use crate::actions::applications::app_sessions;
use crate::actions::by::By;
use crate::api::core::applications::opened::{AppSession, AppSessionPage, SessionApplication};
use crate::api::core::authenticated_sessions::collection_permission;
use crate::api::django;
use crate::api::endpoint::{Answer, Call, Endpoint, done, ok};
use crate::api::error::ApiError;
use crate::api::list::{Empty, ListTable, Pagination, list_parameters};
use crate::api::small_list::{self, FieldFilter, Fields, about};
use crate::domain::filters::{About, Kind};
use crate::domain::{SessionId, UserId};
use crate::store::applications::app_sessions::AppSessionFilter;

/// How app sessions are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Listed;

impl Fields for Listed {
    const FILTERS: &'static [About] = &[
        about("session", Kind::Uuid, "The session"),
        about("user", Kind::Whole, "The session's user, by primary key"),
        about("application", Kind::Text, "The application, by slug"),
    ];
    const NAMES: &'static [(&'static str, &'static str)] = &[];
    const SEARCHED: &'static [&'static str] = &[];
    const ORDERS: &'static [&'static str] = &[];
}

static APP_SESSIONS: ListTable<FieldFilter<Listed>, &'static str> = small_list::table(
    "Changes nothing: of one user or session the latest used ones come first, else the latest begun ones.",
    "Changes nothing.",
);

list_parameters!(AppSessionListParameters, APP_SESSIONS);

/// The list's address.
pub fn collection() -> MethodRouter<App> {
    let endpoint = Endpoint::new("App Session List", "Which sessions have which applications open");
    endpoint.needs(collection_permission).on(Method::GET, list).route()
}

/// One app session's address.
pub fn item() -> MethodRouter<App> {
    Endpoint::new("App Session Instance", "What a session opened of one application")
        .of("AppSession")
        .on(Method::DELETE, destroy)
        .route()
}

/// Lists app sessions of live sessions: one's own, or all for those who may see all sessions.
#[utoipa::path(
    get, path = "/api/v3/core/app_sessions/", operation_id = "core_app_sessions_list", tag = "core",
    params(AppSessionListParameters), responses((status = 200, body = AppSessionPage, description = "A page of app sessions."))
)]
pub(crate) async fn list(app: App, call: Call) -> Answer {
    let request = APP_SESSIONS.read(&call.query, app.config.api.strict_query)?;
    let given = |name: &str| request.filter.get(name);
    let filter = AppSessionFilter {
        session: given("session").and_then(SessionId::parse),
        user: given("user").and_then(|text| text.parse().ok()).map(UserId),
        application: given("application").map(str::to_owned),
        ..AppSessionFilter::default()
    };
    let by = By::Principal(&call.who, &call.actor);
    let wanted = request.wanted(call.asked)?;
    let (count, _) = app_sessions::list(&app, by, filter.clone(), 0, 0).await?;
    let found = match wanted.window(count) {
        Some(window) => {
            let (_, rows) = app_sessions::list(&app, by, filter, window.offset, window.limit).await?;
            wanted.found(count, rows)
        }
        None => wanted.found(count, Vec::new()),
    };
    let pagination = Pagination::of(&found)?;
    let ids: Vec<i64> = found.rows.iter().map(|row| row.id).collect();
    let now = app.clock.now();
    let tokens = app.store.read().list_opened_tokens(&ids, now).await?;
    let row = |row: &crate::store::applications::app_sessions::AppSessionRow| AppSession {
        opened: SessionApplication::live(row, &tokens, now),
        session: row.session.to_string(),
        user: row.user_id.0,
        username: row.username.clone(),
    };
    let results = found.rows.iter().map(row).collect();
    Ok(ok(&AppSessionPage { pagination, results, autocomplete: Empty {} }))
}

/// Ends an app session: its session goes on, and has to open the application anew.
#[utoipa::path(
    delete, path = "/api/v3/core/app_sessions/{uuid}/", operation_id = "core_app_sessions_destroy", tag = "core",
    params(("uuid" = String, Path, format = Uuid)), responses((status = 204, description = "It has ended."))
)]
pub(crate) async fn destroy(app: App, call: Call) -> Answer {
    let uuid = django::uuid(call.part()).ok_or(ApiError::NotFound)?.0;
    app_sessions::end(&app, By::Principal(&call.who, &call.actor), uuid).await?;
    Ok(done())
}
