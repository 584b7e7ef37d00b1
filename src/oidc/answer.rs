//! What all these addresses answer alike.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::actions::signing::keyring::KeysError;
use crate::http::log_limit::LogLimit;
use crate::store::StoreError;

/// For how long what is the same for everybody may be kept.
const CACHED: HeaderValue = HeaderValue::from_static("public, max-age=600");

/// JSON that is the same for everybody: any site may read it, and caches keep it for ten minutes (RFC 9111).
pub(super) fn public(asked: &HeaderMap, json: String) -> Response {
    let tag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(Sha256::digest(json.as_bytes())));
    let known = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|line| line.to_str().ok());
    let is_known = known.flat_map(|line| line.split(',')).any(|one| matches!(one.trim(), "*") || one.trim().ends_with(&tag));
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, "application/json")], json).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::CACHE_CONTROL, CACHED);
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("cross-origin"));
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if let Ok(tag) = HeaderValue::try_from(tag) {
        headers.insert(header::ETAG, tag);
    }
    response
}

/// 503: the keys or the database cannot be used now.
pub(super) fn unavailable(why: &dyn std::fmt::Display) -> Response {
    static LINES: LogLimit = LogLimit::ten_a_minute();
    if let Some(held_back) = LINES.admit() {
        tracing::warn!(%why, held_back, "a request of OpenID Connect could not be answered");
    }
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")]).into_response()
}

/// JSON for one caller: nobody keeps it.
pub(super) fn json(value: &serde_json::Value) -> Response {
    let kept = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store"), (header::PRAGMA, "no-cache")];
    (kept, value.to_string()).into_response()
}

/// 405.
pub(super) fn not_allowed(methods: &'static str) -> Response {
    (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, methods)]).into_response()
}

/// Why an app's call is refused, in the words of RFC 6749, 5.2 and RFC 6750, 3.1.
#[derive(Debug)]
pub(super) enum Wrong {
    /// There is no such address here.
    NotThere,
    /// Something is missing, twice, or malformed.
    Request(&'static str),
    /// No client, or not shown to be it.
    Client {
        /// Whether `Authorization: Basic` was tried.
        is_basic: bool,
    },
    /// The same, too often; after this number of seconds the next one is looked at.
    Often(u64),
    /// Too many devices began to sign in from one address; after this number of seconds the next one may.
    ManyDevices(u64),
    /// The code or token is not good, or not this client's.
    Grant,
    /// The client may not do this.
    UnauthorizedClient,
    /// Nobody has said anything to the sign-in of a device yet.
    Pending,
    /// The same, and the device asks too often.
    SlowDown,
    /// The time for it is over.
    Expired,
    /// Its user declined, or may not.
    Declined,
    /// There is no such kind of grant.
    GrantType,
    /// More than was granted.
    Scope,
    /// No token was sent.
    NoToken,
    /// The token opens nothing.
    Token,
    /// The token is not for this.
    LittleScope,
    /// The keys or the database cannot be used.
    Away(String),
}

impl From<StoreError> for Wrong {
    fn from(error: StoreError) -> Self {
        Self::Away(error.to_string())
    }
}

impl From<KeysError> for Wrong {
    fn from(error: KeysError) -> Self {
        Self::Away(error.to_string())
    }
}

impl Wrong {
    fn words(&self) -> (StatusCode, &'static str, &'static str) {
        const BAD: StatusCode = StatusCode::BAD_REQUEST;
        match self {
            Self::Request(what) => (BAD, "invalid_request", what),
            Self::Client { .. } => (StatusCode::UNAUTHORIZED, "invalid_client", "the client is unknown, or not shown to be it"),
            Self::Often(_) => {
                (StatusCode::TOO_MANY_REQUESTS, "invalid_client", "too many wrong secrets of this client came from here")
            }
            Self::ManyDevices(_) => (StatusCode::TOO_MANY_REQUESTS, "slow_down", "too many devices began to sign in from here"),
            Self::Grant => (BAD, "invalid_grant", "it is not good, or not any more"),
            Self::UnauthorizedClient => (BAD, "unauthorized_client", "the client may not use this grant"),
            Self::Pending => (BAD, "authorization_pending", "the user has not answered yet"),
            Self::SlowDown => (BAD, "slow_down", "wait longer before the next question"),
            Self::Expired => (BAD, "expired_token", "the time for the code is over"),
            Self::Declined => (BAD, "access_denied", "the user declined, or may not open the application"),
            Self::GrantType => (BAD, "unsupported_grant_type", "the grant types are those of the client in its discovery"),
            Self::Scope => (BAD, "invalid_scope", "it is more than was granted"),
            Self::NoToken | Self::Token => (StatusCode::UNAUTHORIZED, "invalid_token", "the token opens nothing"),
            Self::LittleScope => (StatusCode::FORBIDDEN, "insufficient_scope", "the token has not the scope openid"),
            Self::NotThere | Self::Away(_) => (StatusCode::NOT_FOUND, "", ""),
        }
    }

    /// A word for what it came to, as a label of metrics.
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            Self::NotThere => "not_found",
            Self::Away(_) => "unavailable",
            _ => self.words().1,
        }
    }

    /// The answer as a body.
    pub(super) fn answer(&self) -> Response {
        match self {
            Self::NotThere => return StatusCode::NOT_FOUND.into_response(),
            Self::Away(why) => return unavailable(why),
            _ => {}
        }
        let (status, error, description) = self.words();
        let mut response = json(&serde_json::json!({"error": error, "error_description": description}));
        *response.status_mut() = status;
        if let Self::Client { is_basic: true } = self {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"rollcall\""));
        }
        if let Self::Often(seconds) | Self::ManyDevices(seconds) = self {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(*seconds));
        }
        response
    }

    /// The answer of an address that takes a token.
    pub(super) fn challenge(&self) -> Response {
        let (status, error, _) = self.words();
        let challenge = match self {
            Self::NotThere | Self::Away(_) => return self.answer(),
            // Nothing was tried, so nothing is said of it (RFC 6750, 3.1).
            Self::NoToken => "Bearer realm=\"rollcall\"".to_owned(),
            _ => format!("Bearer realm=\"rollcall\", error=\"{error}\""),
        };
        (status, [(header::WWW_AUTHENTICATE, challenge)]).into_response()
    }
}
