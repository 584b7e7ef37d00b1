//! `/api/v3/core/authenticated_sessions/`: the sessions, listed, searched, shown and ended.

pub mod bulk_delete;
pub mod details;
pub mod revoke;
pub mod table;

use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use serde_json::json;

use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::principal::Principal;
use crate::actions::sessions::{end, look};
use crate::actions::watch::end::EndedAtSource;
use crate::actions::{ActionError, watch};
use crate::api::core::authenticated_sessions::table::{SESSIONS, SessionListParameters};
use crate::api::core::wire::{AuthenticatedSession, Page, UsedBy};
use crate::api::django;
use crate::api::endpoint::{Answer, Call, Endpoint, ok};
use crate::api::error::{ApiError, GenericError, json_response, written};
use crate::api::list::{Empty, Pagination};
use crate::domain::SessionId;
use crate::domain::listing::SessionFilter;

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

/// Lists sessions: Rollcall's own, unless `source` asks for those of the watched authentik.
#[utoipa::path(
    get, path = "/api/v3/core/authenticated_sessions/", operation_id = "core_authenticated_sessions_list", tag = "core",
    params(SessionListParameters), responses((status = 200, body = Page, description = "A page of sessions."))
)]
pub(crate) async fn list(app: App, call: Call) -> Answer {
    let mut request = SESSIONS.read(&call.query, app.config.api.strict_query)?;
    restrict(&mut request.filter, &call.who);
    let found = app.store.page(&request.filter, &request.sorts, request.wanted(call.asked)?).await?;
    let pagination = Pagination::of(&found)?;
    let agents = app.user_agents.entries(&app.store.read(), found.rows.iter().map(|row| row.user_agent_id)).await?;
    let session = |row| AuthenticatedSession::new(&app, row, &agents, call.current());
    // authentik's clients are not told where a session lives unless they ask.
    let results = match request.filter.source {
        None => found.rows.iter().map(session).collect(),
        Some(_) => found.rows.iter().map(|row| session(row).with_source()).collect(),
    };
    Ok(written(StatusCode::OK, Page { pagination, results, autocomplete: Empty {} }.to_json()))
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

/// Shows one session, of Rollcall or of the copy of the watched authentik.
#[utoipa::path(
    get, path = "/api/v3/core/authenticated_sessions/{uuid}/", operation_id = "core_authenticated_sessions_retrieve", tag = "core",
    params(("uuid" = String, Path, format = Uuid)),
    responses((status = 200, body = AuthenticatedSession, description = "The session."))
)]
pub(crate) async fn retrieve(app: App, call: Call) -> Answer {
    let row = look::find_anywhere(&app, &call.who, id_of(&call)?).await?;
    let agents = app.user_agents.entries(&app.store.read(), [row.user_agent_id]).await?;
    Ok(ok(&AuthenticatedSession::new(&app, &row, &agents, call.current())))
}

/// Ends one session, of Rollcall or of the watched authentik.
#[utoipa::path(
    delete, path = "/api/v3/core/authenticated_sessions/{uuid}/", operation_id = "core_authenticated_sessions_destroy", tag = "core",
    params(("uuid" = String, Path, format = Uuid)),
    responses(
        (
            status = 202, body = GenericError,
            description = "authentik ended it, and has a flaw for which it may go on to accept the cookie; `detail` says which."
        ),
        (status = 204, description = "It ended."),
        (
            status = 429, body = GenericError,
            description = "The token ended sessions of too many users one by one; `Retry-After` says when it can end more."
        ),
        (
            status = 503, body = GenericError,
            description = "The session is authentik's, and was not ended, or it is not known whether it was; `detail` says which."
        )
    )
)]
pub(crate) async fn destroy(app: App, call: Call) -> Answer {
    let id = id_of(&call)?;
    match end::end_session(&app, &call.who, id, &call.actor).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT.into_response()),
        Err(ActionError::NotFound) => {
            Ok(at_source(watch::end::end_one(&app, By::Principal(&call.who, &call.actor), id, "").await?))
        }
        Err(error) => Err(error.into()),
    }
}

/// A session that authentik ended.
fn at_source(ended: EndedAtSource) -> Response {
    if ended.doubt.is_empty() {
        return StatusCode::NO_CONTENT.into_response();
    }
    json_response(StatusCode::ACCEPTED, &json!({ "detail": format!("authentik ended the session. {}", ended.doubt) }))
}

/// Lists what refers to a session.
#[utoipa::path(
    get, path = "/api/v3/core/authenticated_sessions/{uuid}/used_by/", operation_id = "core_authenticated_sessions_used_by_list",
    tag = "core", params(("uuid" = String, Path, format = Uuid)),
    responses((status = 200, body = Vec<UsedBy>, description = "Always an empty list."))
)]
pub(crate) async fn used_by(app: App, call: Call) -> Answer {
    look::find_anywhere(&app, &call.who, id_of(&call)?).await?;
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
