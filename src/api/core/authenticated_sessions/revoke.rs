//! `/api/v3/core/authenticated_sessions/revoke/`: ends all sessions that match a filter. Ours, not
//! authentik's. The list with the same filters is its preview, and the number it showed must be said.

use axum::http::{Method, StatusCode};
use axum::routing::MethodRouter;
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{KnownFormat, RefOr, SchemaFormat};
use utoipa::{PartialSchema, ToSchema};

use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::sessions::end_job::EndTarget;
use crate::actions::sessions::end_matching;
use crate::actions::sessions::end_matching::{EndError, EndRequest, MAX_COMMENT_LENGTH};
use crate::actions::watch::many::{self, ManyEnds};
use crate::api::core::authenticated_sessions::collection_permission;
use crate::api::core::authenticated_sessions::table::SESSIONS;
use crate::api::core::wire::{RevokeSessionsConflict, RevokeSessionsResponse, RevokeSessionsStopped};
use crate::api::endpoint::{Answer, Call, Endpoint, NO_BOOLEAN, NO_STRING, REQUIRED, ok};
use crate::api::error::{ApiError, FieldErrors, json_response};
use crate::api::list::refuse_unknown;
use crate::domain::filters::Kind;
use crate::domain::source::Origin;
use crate::http::query::Query;

const EVERYONE: &str = "everyone";
const EXCEPT_CURRENT: &str = "except_current";
const EXPECTED_COUNT: &str = "expected_count";
const REASON: &str = "reason";

/// The address. Every caller may end their own sessions; more is decided by what matches.
pub fn address() -> MethodRouter<App> {
    let endpoint = Endpoint::new("Revoke", "End all sessions that match");
    let permission = |call: &Call| if *call.method() == Method::POST { Ok(()) } else { collection_permission(call) };
    endpoint.needs(permission).on(Method::POST, revoke).route()
}

/// Which sessions to end: the list's filters, all of which apply together, and how many there are.
struct RevokeSessionsRequest;

impl PartialSchema for RevokeSessionsRequest {
    fn schema() -> RefOr<Schema> {
        let of = |kind: Type, about: &str| ObjectBuilder::new().schema_type(kind).description(Some(about));
        let count = of(
            Type::Integer,
            "How many sessions the list with these filters showed. A number that differs by more than 1 % is refused.",
        );
        // Null is as if it was not sent.
        let optional = |kind: Type, about: &str| of(kind.clone(), about).schema_type(SchemaType::from_iter([kind, Type::Null]));
        let everyone = optional(Type::Boolean, "Must be true when there is no filter: all sessions that the caller may end.");
        let reason = optional(Type::String, "Why, in your words, for events and ended sessions.");
        let own = ObjectBuilder::new()
            .description(Some("Which sessions to end: the list's filters, all of which apply together, and how many there are."))
            .property(EXPECTED_COUNT, count.minimum(Some(0)).format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64))))
            .required(EXPECTED_COUNT)
            .property(EVERYONE, everyone)
            .property(EXCEPT_CURRENT, optional(Type::Boolean, "Keep the session of the request's own cookie."))
            .property(REASON, reason.max_length(Some(MAX_COMMENT_LENGTH)));
        SESSIONS.fields().into_iter().fold(own, |object, (name, schema)| object.property(name, schema)).into()
    }
}

impl ToSchema for RevokeSessionsRequest {}

/// An end of many sessions at the watched authentik began.
#[derive(Serialize, ToSchema)]
pub struct RevokeSessionsBegun {
    /// Its name.
    pub job: String,
    /// The page that shows its progress and stops it.
    pub page: String,
}

/// Ends all sessions that match, in chunks. An unknown field is an error, and so is a filter in the
/// address.
#[utoipa::path(
    post, path = "/api/v3/core/authenticated_sessions/revoke/", operation_id = "core_authenticated_sessions_revoke_create", tag = "core",
    request_body = RevokeSessionsRequest,
    responses(
        (status = 200, body = RevokeSessionsResponse, description = "How many sessions ended."),
        (
            status = 202, body = RevokeSessionsBegun,
            description = "With `source` = `authentik`: a job began that ends them at the watched authentik."
        ),
        (status = 409, body = RevokeSessionsConflict, description = "Another number matches than expected; nothing ended."),
        (status = 503, body = RevokeSessionsStopped, description = "It could not go on; what ended stays ended.")
    )
)]
pub(crate) async fn revoke(app: App, mut call: Call) -> Answer {
    let fields = call.read_object().await?;
    let what = read(&call, &fields)?;
    if what.filter.source == Some(Origin::Authentik) {
        return at_source(&app, &call, what).await;
    }
    match end_matching::end_permitted(&app, &call.who, what, &call.actor).await {
        Ok(ended) => Ok(ok(&RevokeSessionsResponse { ended })),
        Err(EndError::Changed(count)) => Err(ApiError::Changed(count)),
        Err(EndError::Action(error)) => Err(error.into()),
        Err(EndError::Stopped { ended, remaining, why }) => {
            tracing::error!(ended, remaining, why, "an end of many sessions stopped");
            let detail = format!(
                "{ended} sessions were ended, then the server could not go on. Those stay ended. Send the same again with \
                 expected_count {remaining} to end the rest."
            );
            Err(ApiError::Stopped(json!(RevokeSessionsStopped { detail, ended, remaining })))
        }
    }
}

/// Begins to end sessions of the watched authentik, which goes on by itself.
async fn at_source(app: &App, call: &Call, what: EndRequest) -> Answer {
    let which = EndTarget::Matching(Box::new(what.filter));
    let what = ManyEnds { which, expected: what.expected, comment: what.comment };
    match many::begin(app, By::Principal(&call.who, &call.actor), what).await {
        Ok(job) => {
            let page = format!("/watch/ends/{job}");
            Ok(json_response(StatusCode::ACCEPTED, &RevokeSessionsBegun { job, page }))
        }
        Err(EndError::Changed(count)) => Err(ApiError::Changed(count)),
        Err(EndError::Action(error)) => Err(error.into()),
        Err(EndError::Stopped { .. }) => Err(ApiError::Internal),
    }
}

/// Whether a field may be a JSON number: the filters of numbers, and unknown fields, which are refused by
/// name.
fn takes_numbers(name: &str) -> bool {
    SESSIONS.filter_of(name).map_or(name != "search", |about| matches!(about.kind, Kind::Whole))
}

/// Whether a field is a filter that is true or false.
fn is_flag(name: &str) -> bool {
    SESSIONS.filter_of(name).is_some_and(|about| matches!(about.kind, Kind::Flag))
}

fn read(call: &Call, fields: &Map<String, Value>) -> Result<EndRequest, ApiError> {
    let mut errors = FieldErrors::default();
    // A filter in the address would be ignored, and more would end than was meant.
    refuse_unknown(&call.query, |name| name == "format", &mut errors);
    let mut wrong = |name: &str, why: &str| errors.set(name, json!([why]));
    let mut pairs = Vec::new();
    let (mut everyone, mut except_current, mut expected, mut comment) = (false, false, None, String::new());
    for (name, value) in fields {
        match (name.as_str(), value) {
            (EXPECTED_COUNT, Value::Number(number)) if number.is_u64() => expected = number.as_u64(),
            (EXPECTED_COUNT, _) => wrong(name, "A whole number, 0 or more, is required."),
            (_, Value::Null) => pairs.push((name.clone(), String::new())),
            (EVERYONE, Value::Bool(flag)) => everyone = *flag,
            (EXCEPT_CURRENT, Value::Bool(flag)) => except_current = *flag,
            (EVERYONE | EXCEPT_CURRENT, _) => wrong(name, NO_BOOLEAN),
            (REASON, Value::String(text)) if end_matching::is_comment(text) => text.trim().clone_into(&mut comment),
            (REASON, _) => wrong(name, &format!("A text of at most {MAX_COMMENT_LENGTH} characters, without control characters.")),
            (_, Value::Bool(flag)) if is_flag(name) => pairs.push((name.clone(), flag.to_string())),
            // In an address it would be none; here, more or fewer would end than was meant.
            _ if is_flag(name) => wrong(name, NO_BOOLEAN),
            (_, Value::String(text)) => pairs.push((name.clone(), text.clone())),
            (_, Value::Number(number)) if takes_numbers(name) => pairs.push((name.clone(), number.to_string())),
            (_, Value::Number(_) | Value::Bool(_) | Value::Array(_) | Value::Object(_)) => wrong(name, NO_STRING),
        }
    }
    let current = call.current();
    if except_current && current.is_none() {
        wrong(EXCEPT_CURRENT, "This request came with no session.");
    }
    if expected.is_none() && !fields.contains_key(EXPECTED_COUNT) {
        wrong(EXPECTED_COUNT, REQUIRED);
    }
    let is_own = |name: &str| matches!(name, EVERYONE | EXCEPT_CURRENT | EXPECTED_COUNT | REASON);
    let is_known = |name: &str| SESSIONS.is_filter(name) || is_own(name);
    let filter = SESSIONS.read_filter(&Query::of(pairs), is_known, errors)?;
    let is_narrow = filter.is_narrow();
    if !is_narrow && !everyone {
        return Err(ApiError::parameter(EVERYONE, "Give a filter, or set this to true to end everyone's sessions."));
    }
    if is_narrow && everyone {
        return Err(ApiError::parameter(EVERYONE, "There is a filter, so not everyone's sessions are meant."));
    }
    Ok(EndRequest { filter, except: current.filter(|_| except_current), expected, comment })
}
