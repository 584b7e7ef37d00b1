//! Content negotiation as Django REST Framework does it with JSON as its only form (`docs/compat.md` 3.2).

use axum::http::{HeaderMap, header};

use crate::api::error::ApiError;
use crate::http::query::Query;

/// Checks `?format=` and `Accept`. Quality values are not looked at.
pub(in crate::api) fn check(query: &Query, headers: &HeaderMap) -> Result<(), ApiError> {
    if query.last("format").is_some_and(|format| !format.is_empty() && format != "json") {
        return Err(ApiError::NotFound);
    }
    let mut lines = headers.get_all(header::ACCEPT).iter().peekable();
    if lines.peek().is_none() {
        return Ok(());
    }
    let is_acceptable = lines.any(|line| String::from_utf8_lossy(line.as_bytes()).split(',').any(is_json));
    if is_acceptable { Ok(()) } else { Err(ApiError::NotAcceptable) }
}

/// Whether a media range takes `application/json`; its parameters do not matter.
fn is_json(range: &str) -> bool {
    let range = range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let (main, sub) = range.split_once('/').unwrap_or((&range, ""));
    matches!(main, "*" | "application") && matches!(sub, "*" | "json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_taken_in_many_ways() {
        for range in ["*/*", "application/*", "application/json", " APPLICATION/JSON ; q=0", "application/json;indent=4", "*/json"]
        {
            assert!(is_json(range), "{range}");
        }
        for range in ["", "*", "text/html", "application/xml", "application", "application/jsonx"] {
            assert!(!is_json(range), "{range}");
        }
    }
}
