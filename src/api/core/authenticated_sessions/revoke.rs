//! `/api/v3/core/authenticated_sessions/revoke/`: ends all sessions that match a filter. Ours, not
//! authentik's. The list with the same filters is its preview, and the number it showed must be said.

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::response::Response;
use serde_json::{Map, Value, json};

use crate::actions::app::App;
use crate::actions::sessions::end_matching;
use crate::actions::sessions::end_matching::{MAX_COMMENT_LENGTH, Revocation, RevocationError};
use crate::api::Call;
use crate::api::core::authenticated_sessions::filter;
use crate::api::core::authenticated_sessions::{
    current, method_not_allowed, ok, options, require_collection_permission, with_allow,
};
use crate::api::core::parameters::RevokeSessionsRequest;
use crate::api::core::wire::{ErrorDetail, RevokeSessionsConflict, RevokeSessionsResponse, RevokeSessionsStopped};
use crate::api::error::ApiError;
use crate::domain::listing::SessionFilter;
use crate::http::MAX_BODY;
use crate::http::query::Query;

const METHODS: &str = "POST, OPTIONS";
const EVERYONE: &str = "everyone";
const EXCEPT_CURRENT: &str = "except_current";
const EXPECTED_COUNT: &str = "expected_count";
const REASON: &str = "reason";

/// The address. Whoever is known may end their own sessions; more is decided by what matches.
pub async fn address(State(app): State<App>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let answer = async {
        let call = Call::admit(&app, &parts).await?;
        match call.method {
            Method::POST => revoke(&app, &call, &parts.headers, body).await,
            Method::OPTIONS => Ok(options("Revoke", "End all sessions that match")),
            _ => {
                require_collection_permission(&call)?;
                Err(method_not_allowed(&call))
            }
        }
    };
    with_allow(METHODS, answer.await)
}

/// Ends all sessions that match, in chunks. An unknown field is an error, and so is a filter in the
/// address.
#[utoipa::path(
    post, path = "/api/v3/core/authenticated_sessions/revoke/", operation_id = "core_authenticated_sessions_revoke_create", tag = "core",
    request_body = RevokeSessionsRequest, security(("bearer" = []), ("session" = [])),
    responses(
        (status = 200, body = RevokeSessionsResponse),
        (status = 400, description = "A field is wrong; the body names it."), (status = 403, body = ErrorDetail),
        (status = 404, body = ErrorDetail), (status = 406, body = ErrorDetail),
        (status = 409, body = RevokeSessionsConflict), (status = 413, body = ErrorDetail), (status = 415, body = ErrorDetail),
        (status = 503, body = RevokeSessionsStopped)
    )
)]
pub(crate) async fn revoke(app: &App, call: &Call, headers: &HeaderMap, body: Body) -> Result<Response, ApiError> {
    let what = read(call, &read_object(headers, body).await?)?;
    match end_matching::revoke_permitted(app, &call.who, what, &call.actor).await {
        Ok(ended) => Ok(ok(&RevokeSessionsResponse { ended })),
        Err(RevocationError::Changed(count)) => Err(ApiError::Changed(count)),
        Err(RevocationError::Action(error)) => Err(error.into()),
        Err(RevocationError::Stopped { ended, remaining, why }) => {
            tracing::error!(ended, remaining, why, "a revocation stopped");
            let detail = format!(
                "{ended} sessions were ended, then the server could not go on. Those stay ended. Send the same again with \
                 expected_count {remaining} to end the rest."
            );
            Err(ApiError::Stopped(json!(RevokeSessionsStopped { detail, ended, remaining })))
        }
    }
}

/// A body that is a JSON object.
async fn read_object(headers: &HeaderMap, body: Body) -> Result<Map<String, Value>, ApiError> {
    let form =
        headers.get(header::CONTENT_TYPE).map(|form| String::from_utf8_lossy(form.as_bytes()).into_owned()).unwrap_or_default();
    let is_json = form.split(';').next().is_some_and(|form| form.trim().eq_ignore_ascii_case("application/json"));
    if !is_json {
        return Err(ApiError::UnsupportedMediaType(form));
    }
    let bytes = to_bytes(body, MAX_BODY).await.map_err(|_| ApiError::TooLarge)?;
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(ApiError::parameter("non_field_errors", "Invalid data. Expected an object.")),
        Err(error) => Err(ApiError::Malformed(format!("JSON parse error - {error}"))),
    }
}

fn read(call: &Call, fields: &Map<String, Value>) -> Result<Revocation, ApiError> {
    let mut errors = Map::new();
    // A filter in the address would be ignored, and more would end than was meant.
    filter::refuse_unknown(&call.query, |name| name == "format", &mut errors);
    let mut wrong = |name: &str, why: &str| drop(errors.insert(name.to_owned(), json!([why])));
    let mut pairs = Vec::new();
    let (mut everyone, mut except_current, mut expected, mut comment) = (false, false, None, String::new());
    for (name, value) in fields {
        match (name.as_str(), value) {
            (EXPECTED_COUNT, Value::Number(number)) if number.is_u64() => expected = number.as_u64(),
            (EXPECTED_COUNT, _) => wrong(name, "A whole number, 0 or more, is required."),
            (_, Value::Null) => pairs.push((name.clone(), String::new())),
            (EVERYONE, Value::Bool(flag)) => everyone = *flag,
            (EXCEPT_CURRENT, Value::Bool(flag)) => except_current = *flag,
            (EVERYONE | EXCEPT_CURRENT, _) => wrong(name, "Must be a valid boolean."),
            (REASON, Value::String(text)) if end_matching::is_comment(text) => text.trim().clone_into(&mut comment),
            (REASON, _) => wrong(name, &format!("A text of at most {MAX_COMMENT_LENGTH} characters, without control characters.")),
            (_, Value::String(text)) => pairs.push((name.clone(), text.clone())),
            ("user" | "asn", Value::Number(number)) => pairs.push((name.clone(), number.to_string())),
            (_, Value::Number(number)) if !filter::is_filter(name) => pairs.push((name.clone(), number.to_string())),
            (_, Value::Number(_) | Value::Bool(_) | Value::Array(_) | Value::Object(_)) => wrong(name, "Not a valid string."),
        }
    }
    let current = current(call);
    if except_current && current.is_none() {
        wrong(EXCEPT_CURRENT, "This request came with no session.");
    }
    if expected.is_none() && !fields.contains_key(EXPECTED_COUNT) {
        wrong(EXPECTED_COUNT, "This field is required.");
    }
    let is_own = |name: &str| matches!(name, EVERYONE | EXCEPT_CURRENT | EXPECTED_COUNT | REASON);
    let is_known = |name: &str| filter::is_filter(name) || is_own(name);
    let filter = filter::read_filter(&Query::of(pairs), is_known, errors)?;
    let is_narrow = SessionFilter { except: None, ..filter.clone() } != SessionFilter::default();
    if !is_narrow && !everyone {
        return Err(ApiError::parameter(EVERYONE, "Give a filter, or set this to true to end everyone's sessions."));
    }
    if is_narrow && everyone {
        return Err(ApiError::parameter(EVERYONE, "There is a filter, so not everyone's sessions are meant."));
    }
    Ok(Revocation { filter, except: current.filter(|_| except_current), expected, comment })
}
