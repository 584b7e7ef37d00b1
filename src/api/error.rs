//! Errors in authentik's form: `{"detail": "…"}`, but 400, which names the parameters.

use std::collections::BTreeMap;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::actions::ActionError;
use crate::actions::watch::refusal::EndRefusal;
use crate::auth::AuthError;
use crate::store::StoreError;

/// The key of what is wrong with a request as a whole.
pub const NON_FIELD_ERRORS: &str = "non_field_errors";

/// Parameters or fields, and what is wrong with each, in the order in which they were looked at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FieldErrors(BTreeMap<String, (usize, Value)>);

impl FieldErrors {
    /// One field, and what is wrong with it.
    #[must_use]
    pub fn of(name: &str, why: impl Into<String>) -> Self {
        let mut errors = Self::default();
        errors.add(name, why);
        errors
    }

    /// Notes what is wrong with a field, unless something is noted already.
    pub fn add(&mut self, name: &str, why: impl Into<String>) {
        if !self.has(name) {
            self.set(name, json!([why.into()]));
        }
    }

    /// Notes what is wrong with a field, in place of what is noted already.
    pub fn set(&mut self, name: &str, why: Value) {
        let place = self.0.len();
        self.0.entry(name.to_owned()).or_insert((place, Value::Null)).1 = why;
    }

    /// Whether something is wrong with this field.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for FieldErrors {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut all: Vec<_> = self.0.iter().map(|(name, (place, why))| (place, name, why)).collect();
        all.sort_by_key(|(place, ..)| **place);
        serializer.collect_map(all.into_iter().map(|(_, name, why)| (name, why)))
    }
}

/// Everything the API answers but success. There is no 401: authentik has none (`docs/compat.md` 4.1).
#[derive(Debug)]
pub enum ApiError {
    /// 404: no such address, page or form.
    NotFound,
    /// 404: what the path names is not there, or the caller may not know of it. The endpoint says of which
    /// kind it is ([`ApiError::of`]).
    Missing,
    /// 404: the same, of this kind in authentik's words, such as `User`.
    NoObject(&'static str),
    /// 404: there is no such thing any more; the text says why.
    NotThere(&'static str),
    /// 404: no such page.
    InvalidPage,
    /// 406: the client accepts no JSON.
    NotAcceptable,
    /// 403: no credentials.
    NotAuthenticated,
    /// 403: credentials that open nothing, or a request that was not meant.
    Refused(String),
    /// 403: known, and not allowed.
    Forbidden,
    /// 403: the caller may, and not with this token.
    OutOfScope,
    /// 405 for this method; the handler adds the allowed ones.
    MethodNotAllowed(String),
    /// 400: parameters and what is wrong with each.
    Parameters(FieldErrors),
    /// 400: what is wrong with the search.
    Search(&'static str),
    /// 400: the body cannot be read.
    Malformed(String),
    /// 409: this number of sessions matches, not the expected one.
    Changed(u64),
    /// 413: the body is too large.
    TooLarge,
    /// 415: the body is in a form we do not read.
    UnsupportedMediaType(String),
    /// 429: too many wrong passwords or codes; the next one is checked after this number of
    /// seconds.
    Throttled(u64),
    /// 429: too many sessions of other users, ended one by one; after this number of seconds the next one can be.
    EndsRefused(u64),
    /// 503: part of it was done.
    Stopped(Value),
    /// 503: try again later.
    Unavailable,
    /// 503: the request took too long.
    Timeout,
    /// 500: our mistake. It says nothing; the cause is in the log.
    Internal,
}

impl ApiError {
    /// 400 for one parameter.
    #[must_use]
    pub fn parameter(name: &str, why: &str) -> Self {
        Self::Parameters(FieldErrors::of(name, why))
    }

    /// 400 for a rule that the request as a whole breaks: its sentence, with a capital letter and a full stop.
    #[must_use]
    pub fn broken(rule: &dyn std::fmt::Display) -> Self {
        Self::parameter(NON_FIELD_ERRORS, &sentence(rule))
    }

    /// The same error; [`ApiError::Missing`] names the kind of object that was looked for.
    #[must_use]
    pub fn of(self, kind: &'static str) -> Self {
        match self {
            Self::Missing if !kind.is_empty() => Self::NoObject(kind),
            other => other,
        }
    }
}

/// A rule that was broken, as a sentence with a capital letter and a full stop.
pub fn sentence(rule: &dyn std::fmt::Display) -> String {
    let rule = rule.to_string();
    let mut letters = rule.chars();
    let first: String = letters.next().map(|first| first.to_uppercase().collect()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, body) = match &self {
            Self::NotFound | Self::Missing => (StatusCode::NOT_FOUND, detail("Not found.")),
            Self::NoObject(kind) => (StatusCode::NOT_FOUND, detail(&format!("No {kind} matches the given query."))),
            Self::NotThere(why) => (StatusCode::NOT_FOUND, detail(why)),
            Self::InvalidPage => (StatusCode::NOT_FOUND, detail("Invalid page.")),
            Self::NotAcceptable => (StatusCode::NOT_ACCEPTABLE, detail("Could not satisfy the request Accept header.")),
            Self::NotAuthenticated => (StatusCode::FORBIDDEN, detail("Authentication credentials were not provided.")),
            Self::Refused(why) => (StatusCode::FORBIDDEN, detail(why)),
            Self::Forbidden => (StatusCode::FORBIDDEN, detail("You do not have permission to perform this action.")),
            Self::OutOfScope => (StatusCode::FORBIDDEN, detail("The scopes of this token do not permit this.")),
            Self::MethodNotAllowed(method) => {
                (StatusCode::METHOD_NOT_ALLOWED, detail(&format!("Method \"{method}\" not allowed.")))
            }
            // As it is: a JSON value has its keys in the order of the alphabet.
            Self::Parameters(errors) => return json_response(StatusCode::BAD_REQUEST, errors),
            Self::Search(why) => (StatusCode::BAD_REQUEST, json!([why])),
            Self::Malformed(why) => (StatusCode::BAD_REQUEST, detail(why)),
            Self::Changed(count) => {
                let text = format!("{count} sessions match now, not as many as expected. Nothing was ended.");
                (StatusCode::CONFLICT, json!({ "detail": text, "count": count }))
            }
            Self::UnsupportedMediaType(form) => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, detail(&format!("Unsupported media type \"{form}\" in request.")))
            }
            Self::Throttled(wait) => {
                let text = format!("Request was throttled. Expected available in {wait} seconds.");
                (StatusCode::TOO_MANY_REQUESTS, detail(&text))
            }
            Self::EndsRefused(wait) => {
                let text = format!(
                    "This token ended sessions of too many users one by one; more can be ended in {wait} seconds. To end \
                     those of certain users use bulk_delete/?user_pks=, to end all that match a filter use revoke/. \
                     The setting safety.burst_sessions changes the limit. Nothing was ended."
                );
                (StatusCode::TOO_MANY_REQUESTS, detail(&text))
            }
            Self::Stopped(body) => (StatusCode::SERVICE_UNAVAILABLE, body.clone()),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, detail("The request body is too large.")),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, detail("The server cannot do this now. Try again in a moment.")),
            Self::Timeout => (StatusCode::SERVICE_UNAVAILABLE, detail("The request took too long.")),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, detail("A server error occurred.")),
        };
        let mut response = json_response(status, &body);
        let wait = match &self {
            Self::Throttled(wait) | Self::EndsRefused(wait) => Some(*wait),
            _ if status == StatusCode::SERVICE_UNAVAILABLE => Some(1),
            _ => None,
        };
        if let Some(wait) = wait {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait));
        }
        response
    }
}

/// A time in seconds, not less.
fn whole_seconds(wait: std::time::Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// What all errors but 400 say.
#[derive(ToSchema)]
#[schema(as = GenericError)]
#[expect(dead_code, reason = "describes what ApiError writes")]
pub struct GenericError {
    /// What is wrong, in a sentence.
    detail: String,
    /// Never sent; clients made from authentik's description have it.
    #[schema(nullable = false)]
    code: Option<String>,
}

/// The answer to a sign-in above the session limit.
pub const AT_LIMIT: &str = "Your session limit is reached. End one of your sessions first.";
/// The answer to a user who has a second factor and did not prove it.
pub const FACTOR_NEEDED: &str = "Prove your second factor first.";

/// The answer when the user's credentials changed during a sign-in.
pub const PROOF_OUTDATED: &str = "Your password or your second factors changed during the sign-in. Please start again.";

/// The answer to a session that is used from another network or place than the one it is bound to.
const UNPROVED: &str = "This session is used from elsewhere than it was proved. Confirm it first, at /confirm.";
/// The answer to a session that ended for that reason.
const MOVED: &str = "This session has ended: it was used from elsewhere than it was proved.";

fn detail(text: &str) -> Value {
    json!({ "detail": text })
}

/// An answer with a JSON body.
pub fn json_response(status: StatusCode, body: &impl serde::Serialize) -> Response {
    written(status, serde_json::to_vec(body))
}

/// An answer with a body that is JSON already.
pub fn written(status: StatusCode, body: serde_json::Result<Vec<u8>>) -> Response {
    match body {
        Ok(bytes) => (status, [(header::CONTENT_TYPE, "application/json")], bytes).into_response(),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        if error.is_temporary() {
            tracing::warn!(%error, "a request was refused");
            Self::Unavailable
        } else {
            tracing::error!(%error, "a request failed");
            Self::Internal
        }
    }
}

impl From<ActionError> for ApiError {
    fn from(error: ActionError) -> Self {
        match error {
            ActionError::NotFound => Self::Missing,
            ActionError::Forbidden => Self::Forbidden,
            ActionError::AtLimit | ActionError::ChooseEnd => Self::Refused(AT_LIMIT.to_owned()),
            ActionError::FactorNeeded => Self::Refused(FACTOR_NEEDED.to_owned()),
            ActionError::ProofOutdated => Self::Refused(PROOF_OUTDATED.to_owned()),
            ActionError::Passkey(refusal) => Self::Refused(format!("The passkey was refused: {refusal}.")),
            ActionError::Busy => Self::Unavailable,
            ActionError::EndsRefused(wait) => Self::EndsRefused(whole_seconds(wait)),
            ActionError::AtSource(refusal) => at_source(&refusal),
            ActionError::Limited(wait) => Self::Throttled(wait.as_secs().saturating_add(1)),
            // Rules that no handler expected to be broken: the caller's mistake all the same.
            ActionError::Rule(rule) => Self::broken(&rule),
            ActionError::Label(rule) => Self::broken(&rule),
            ActionError::Group(rule) => Self::broken(&rule),
            ActionError::Application(rule) => Self::broken(&rule),
            ActionError::Exists(_)
            | ActionError::LastAdministrator
            | ActionError::Outdated
            | ActionError::Given(..)
            | ActionError::Elsewhere
            | ActionError::NoUser(_)
            | ActionError::NoGroup(_) => Self::broken(&error),
            ActionError::Store(error) => error.into(),
            other @ ActionError::Randomness(_) => {
                tracing::error!(error = %other, "a request failed");
                Self::Internal
            }
        }
    }
}

/// 403 for what authentik does not let Rollcall do, else 503. It says whether something was ended.
fn at_source(refusal: &EndRefusal) -> ApiError {
    let rest = if refusal.is_certain() { " Nothing was ended." } else { "" };
    let text = format!("{}{rest}", sentence(refusal));
    if *refusal == EndRefusal::NoRight { ApiError::Refused(text) } else { ApiError::Stopped(detail(&text)) }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Missing => Self::NotAuthenticated,
            AuthError::Refused(why) => Self::Refused(why.to_owned()),
            AuthError::Unproved => Self::Refused(UNPROVED.to_owned()),
            AuthError::Moved => Self::Refused(MOVED.to_owned()),
            AuthError::Csrf(why) => Self::Refused(format!("CSRF Failed: {why}")),
            AuthError::Store(error) => error.into(),
        }
    }
}
