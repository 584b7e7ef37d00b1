//! How an address is read before it is routed.

use axum::extract::Request;
use axum::http::Uri;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// What is left encoded in a path: all that would be read as something else.
const KEEP: &AsciiSet =
    &CONTROLS.add(b' ').add(b'%').add(b'?').add(b'#').add(b'"').add(b'<').add(b'>').add(b'`').add(b'{').add(b'}');

/// Reads API addresses as Django does: routes see the decoded path, so `%2F` separates and `%5F` is
/// `_`. A doubled slash after `/api/v3` is read as one, as authentik's published reference prints it.
pub fn normalize(mut request: Request) -> Request {
    let path = request.uri().path();
    if !path.starts_with("/api/") || !(path.contains('%') || path.starts_with("/api/v3//")) {
        return request;
    }
    let decoded = percent_decode_str(path).decode_utf8_lossy();
    let single = match decoded.strip_prefix("/api/v3//") {
        Some(rest) => format!("/api/v3/{rest}"),
        None => decoded.into_owned(),
    };
    let mut target = utf8_percent_encode(&single, KEEP).to_string();
    if let Some(query) = request.uri().query() {
        target.push('?');
        target.push_str(query);
    }
    if let Ok(uri) = target.parse::<Uri>() {
        *request.uri_mut() = uri;
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_paths_are_read_as_django_reads_them() {
        for (path, want) in [
            ("/api/v3//core/x/?a=%2F", "/api/v3/core/x/?a=%2F"),
            ("/api/v3///core/", "/api/v3//core/"),
            ("/api/v3/core/authenticated%5Fsessions/", "/api/v3/core/authenticated_sessions/"),
            ("/api/v3/core/x%2Fused_by/", "/api/v3/core/x/used_by/"),
            ("/api/v3/a%3Fb%25/", "/api/v3/a%3Fb%25/"),
            ("/sign-in//%41", "/sign-in//%41"),
        ] {
            let request = Request::builder().uri(path).body(axum::body::Body::empty()).unwrap();
            assert_eq!(normalize(request).uri().to_string(), want);
        }
    }
}
