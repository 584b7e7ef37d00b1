//! What all these addresses answer alike.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::http::log_limit::LogLimit;

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
