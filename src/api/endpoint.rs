//! What every address of the API does: methods and `Allow`, `OPTIONS`, permission, the order of checks
//! (`docs/compat.md` 2), reading the body, and the name of what a 404 did not find.
//!
//! An address is a table of methods and handlers:
//!
//! ```ignore
//! Endpoint::new("Authenticated Session List", VIEWSET).needs(permission).on(Method::GET, list).route()
//! ```

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any};
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::actions::app::App;
use crate::actions::principal::Principal;
use crate::api::body::type_name;
use crate::api::error::{ApiError, NON_FIELD_ERRORS, json_response};
use crate::api::{django, negotiate, scopes};
use crate::auth;
use crate::domain::SessionId;
use crate::domain::caller::Actor;
use crate::http::MAX_BODY;
use crate::http::client::ClientInfo;
use crate::http::query::Query;

/// What a handler gives.
pub type Answer = Result<Response, ApiError>;
type Handler = Arc<dyn Fn(App, Call) -> BoxFuture<'static, Answer> + Send + Sync>;
/// Whether the caller may use the method here at all. It is checked before the method exists.
type Permission = fn(&Call) -> Result<(), ApiError>;

/// One address of the API.
#[derive(Clone)]
pub struct Endpoint {
    name: &'static str,
    description: &'static str,
    kind: &'static str,
    permission: Permission,
    handlers: Vec<(Method, Handler)>,
}

impl Endpoint {
    /// An address without methods. `OPTIONS` answers with these two texts.
    #[must_use]
    pub fn new(name: &'static str, description: &'static str) -> Self {
        Self { name, description, kind: "", permission: |_| Ok(()), handlers: Vec::new() }
    }

    /// What its path names, in authentik's words, such as `AuthenticatedSession`: a 404 says that none
    /// matches.
    #[must_use]
    pub fn of(mut self, kind: &'static str) -> Self {
        self.kind = kind;
        self
    }

    /// What callers need before they are told whether the method exists.
    #[must_use]
    pub fn needs(mut self, permission: Permission) -> Self {
        self.permission = permission;
        self
    }

    /// Answers a method. The handler of `GET` answers `HEAD` too.
    #[must_use]
    pub fn on<F: Future<Output = Answer> + Send + 'static>(
        mut self,
        method: Method,
        handler: impl Fn(App, Call) -> F + Send + Sync + 'static,
    ) -> Self {
        self.handlers.push((method, Arc::new(move |app, call| Box::pin(handler(app, call)))));
        self
    }

    /// What the router needs: it takes all methods.
    pub fn route(self) -> MethodRouter<App> {
        let (allow, this) = (self.allow(), Arc::new(self));
        any(move |State(app): State<App>, part: Result<RawPathParams, RawPathParamsRejection>, request: Request| {
            let (allow, this) = (allow.clone(), Arc::clone(&this));
            async move {
                let part = part.ok().and_then(|part| part.iter().next().map(|(_, text)| text.to_owned())).unwrap_or_default();
                if part.contains('.') {
                    // authentik's routes take no dot in a part of a path.
                    return ApiError::NotFound.into_response();
                }
                with_allow(allow, this.answer(app, part, request).await.map_err(|error| error.of(this.kind)))
            }
        })
    }

    /// Answers a request that the router does not lead here.
    pub(in crate::api) async fn respond(&self, app: App, request: Request) -> Response {
        with_allow(self.allow(), self.answer(app, String::new(), request).await)
    }

    async fn answer(&self, app: App, part: String, request: Request) -> Answer {
        let call = Call::admit(&app, part, request).await?;
        (self.permission)(&call)?;
        let method = if call.parts.method == Method::HEAD { &Method::GET } else { &call.parts.method };
        match self.handlers.iter().find(|(known, _)| known == method) {
            Some((_, handler)) => handler(app, call).await,
            None if *method == Method::OPTIONS => Ok(options(self.name, self.description)),
            None => Err(ApiError::MethodNotAllowed(call.parts.method.to_string())),
        }
    }

    /// `Allow`: the methods in authentik's order.
    fn allow(&self) -> HeaderValue {
        let order = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
        let has = |method: &Method| self.handlers.iter().any(|(known, _)| known == method);
        let mut names: Vec<&str> = order.iter().filter(|method| has(method)).map(Method::as_str).collect();
        names.extend(has(&Method::GET).then_some("HEAD"));
        names.push("OPTIONS");
        HeaderValue::from_str(&names.join(", ")).unwrap_or(HeaderValue::from_static("OPTIONS"))
    }
}

/// A request that may go on: its form is acceptable and its caller is known.
pub struct Call {
    /// Who calls.
    pub who: Principal,
    /// From where.
    pub actor: Actor,
    /// The query's parameters.
    pub query: Query,
    /// When it came: all that was acknowledged before is in the answer.
    pub asked: Instant,
    part: String,
    parts: Parts,
    has_long_integer: bool,
    /// The lock is never taken: it makes a call `Sync`, which a body is not.
    body: Mutex<Body>,
}

impl Call {
    /// The first steps of every request, in the order of `docs/compat.md` 2: content negotiation, then
    /// credentials with CSRF. `part` is the part of the path that names an object, or `""`.
    ///
    /// # Errors
    /// 404 and 406 for a form that is not JSON, 403 for a caller who is not known.
    async fn admit(app: &App, part: String, request: Request) -> Result<Self, ApiError> {
        let asked = Instant::now();
        let (parts, body) = request.into_parts();
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        negotiate::check(&query, &parts.headers)?;
        let client = parts.extensions.get::<ClientInfo>().ok_or(ApiError::Internal)?;
        let who = auth::authenticate(app, &parts, client).await?;
        if who.token.as_ref().is_some_and(|token| !token.scopes.permits(scopes::needed(&parts.method, parts.uri.path()))) {
            return Err(ApiError::OutOfScope);
        }
        let actor = client.as_anonymous().as_user(who.user_id, &who.username);
        Ok(Self { who, actor, query, asked, part, parts, has_long_integer: false, body: Mutex::new(body) })
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.parts.method
    }

    /// The request's headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// The part of the path that names an object, as text; `""` where there is none.
    #[must_use]
    pub fn part(&self) -> &str {
        &self.part
    }

    /// The session of the request's own cookie.
    #[must_use]
    pub fn current(&self) -> Option<SessionId> {
        self.who.session.as_ref().map(|session| session.uuid)
    }

    /// Where the request came from, and to which origin.
    ///
    /// # Errors
    /// 500 when the layer that finds out was left out.
    pub fn client(&self) -> Result<&ClientInfo, ApiError> {
        self.parts.extensions.get::<ClientInfo>().ok_or(ApiError::Internal)
    }

    /// Whether the body that was read has whole numbers that 64 bits do not hold: they are rounded then.
    #[must_use]
    pub fn has_long_integer(&self) -> bool {
        self.has_long_integer
    }

    /// Reads the body, which must be a JSON object; without a body it is the empty object. It is read once:
    /// a second time it is empty.
    ///
    /// # Errors
    /// 413 for more than [`MAX_BODY`], 415 for another media type, 400 for what is no JSON object.
    pub async fn read_object(&mut self) -> Result<Map<String, Value>, ApiError> {
        self.read_object_within(MAX_BODY).await
    }

    /// The same for a body of at most `most` bytes.
    ///
    /// # Errors
    /// As for [`Call::read_object`].
    pub async fn read_object_within(&mut self, most: usize) -> Result<Map<String, Value>, ApiError> {
        let body = self.body.get_mut().unwrap_or_else(PoisonError::into_inner);
        if body.is_end_stream() {
            return Ok(Map::new());
        }
        let form = self.parts.headers.get(header::CONTENT_TYPE).map(|form| String::from_utf8_lossy(form.as_bytes()).into_owned());
        let form = form.unwrap_or_default();
        let is_json = form.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json");
        // A body that comes in pieces may have none.
        if !is_json && body.size_hint().lower() > 0 {
            return Err(ApiError::UnsupportedMediaType(form));
        }
        let bytes = match to_bytes(std::mem::take(body), most).await {
            Ok(bytes) if bytes.is_empty() => return Ok(Map::new()),
            Ok(bytes) if is_json => bytes,
            Err(_) if is_json => return Err(ApiError::TooLarge),
            Ok(_) | Err(_) => return Err(ApiError::UnsupportedMediaType(form)),
        };
        self.has_long_integer = django::has_long_integer(&bytes);
        let value = serde_json::from_slice(&bytes).map_err(|error| ApiError::Malformed(format!("JSON parse error - {error}")))?;
        let kind = match value {
            Value::Object(fields) => return Ok(fields),
            Value::Null => return Err(ApiError::parameter(NON_FIELD_ERRORS, "No data provided")),
            other => type_name(&other),
        };
        Err(ApiError::parameter(NON_FIELD_ERRORS, &format!("Invalid data. Expected a dictionary, but got {kind}.")))
    }
}

/// 400: a required field is missing.
pub const REQUIRED: &str = "This field is required.";
/// 400: neither true nor false.
pub const NO_BOOLEAN: &str = "Must be a valid boolean.";
/// 400: not a text.
pub const NO_STRING: &str = "Not a valid string.";
/// 400: no whole number.
pub const NO_INTEGER: &str = "A valid integer is required.";

/// For administrators; auditors may read.
///
/// # Errors
/// 403.
pub fn administrators(call: &Call) -> Result<(), ApiError> {
    match *call.method() {
        Method::GET | Method::HEAD | Method::OPTIONS => Ok(call.who.must_inspect()?),
        _ => Ok(call.who.must_administer()?),
    }
}

/// Adds the address's methods: authentik names them in every answer.
pub fn with_allow(allow: HeaderValue, answer: Answer) -> Response {
    let mut response = answer.into_response();
    response.headers_mut().insert(header::ALLOW, allow);
    response
}

/// The answer to `OPTIONS`.
#[must_use]
pub fn options(name: &str, description: &str) -> Response {
    let media = ["application/json"];
    ok(&json!({ "name": name, "description": description, "renders": media, "parses": media }))
}

/// 201 with a JSON body.
pub fn created(body: &impl Serialize) -> Response {
    json_response(StatusCode::CREATED, body)
}

/// 204, without a body.
#[must_use]
pub fn done() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

/// 200 with a JSON body.
pub fn ok(body: &impl Serialize) -> Response {
    json_response(StatusCode::OK, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allow_names_the_methods_in_authentiks_order() {
        let endpoint = |methods: &[Method]| {
            let all = methods.iter().fold(Endpoint::new("", ""), |endpoint, method| {
                endpoint.on(method.clone(), |_, _| async { Err(ApiError::NotFound) })
            });
            all.allow().to_str().unwrap().to_owned()
        };
        assert_eq!(endpoint(&[Method::GET]), "GET, HEAD, OPTIONS");
        assert_eq!(endpoint(&[Method::DELETE, Method::GET]), "GET, DELETE, HEAD, OPTIONS");
        assert_eq!(endpoint(&[Method::POST]), "POST, OPTIONS");
        assert_eq!(
            endpoint(&[Method::PATCH, Method::PUT, Method::GET, Method::DELETE, Method::POST]),
            "GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS"
        );
    }
}
