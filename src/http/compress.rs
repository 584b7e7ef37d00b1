//! Compression of large answers, for clients that accept it: zstd at its quickest level, else gzip.
//!
//! JSON, what is public (styles, scripts, pictures), and pages that a browser says no other site asked
//! for. Pages hold the proofs of forms beside what the address asks for, and the length of a compressed
//! page would tell about the proof to whoever can choose addresses and have them opened (BREACH).

use std::io::Write;

use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Smaller bodies fit a few packets anyway.
const SMALLEST: u64 = 4 * 1024;
/// Larger ones are streams or exports; nobody holds them in memory.
const LARGEST: u64 = 4 * 1024 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Zstd,
    Gzip,
}

impl Coding {
    fn name(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        })
    }

    fn compress(self, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
        match self {
            Self::Zstd => zstd::bulk::compress(bytes, 1),
            Self::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::with_capacity(bytes.len() / 4), flate2::Compression::fast());
                encoder.write_all(bytes)?;
                encoder.finish()
            }
        }
    }
}

/// Compresses the answer where that is worth it.
pub async fn answer(request: Request, next: Next) -> Response {
    let (coding, is_own) = (accepted(request.headers()), is_own(request.headers()));
    let response = next.run(request).await;
    if !is_worth_it(&response, is_own) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    parts.headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding, Sec-Fetch-Site"));
    let Some(coding) = coding else { return Response::from_parts(parts, body) };
    let Ok(bytes) = to_bytes(body, usize::try_from(LARGEST).unwrap_or(usize::MAX)).await else {
        return crate::api::error::ApiError::Internal.into_response();
    };
    match coding.compress(&bytes) {
        Ok(compressed) if compressed.len() < bytes.len() => {
            parts.headers.insert(header::CONTENT_ENCODING, coding.name());
            parts.headers.remove(header::CONTENT_LENGTH);
            Response::from_parts(parts, Body::from(compressed))
        }
        _ => Response::from_parts(parts, Body::from(bytes)),
    }
}

/// Whether a browser says that a person or this site asked for it, and no other site. Browsers that say
/// nothing, and plain http but on the same machine, count as the other.
fn is_own(headers: &HeaderMap) -> bool {
    matches!(headers.get("sec-fetch-site").map(HeaderValue::as_bytes), Some(b"same-origin" | b"none"))
}

fn is_worth_it(response: &Response, is_own: bool) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let is_plain = matches!(kind, "application/json" | "text/css" | "text/javascript" | "application/javascript" | "image/svg+xml");
    let is_whole = response.body().size_hint().exact().is_some_and(|size| (SMALLEST..=LARGEST).contains(&size));
    (is_plain || (is_own && kind == "text/html")) && is_whole && !response.headers().contains_key(header::CONTENT_ENCODING)
}

/// What the client accepts, by `Accept-Encoding` (RFC 9110, 12.5.3): zstd first, since it costs us
/// least. A coding with `q=0` is refused.
fn accepted(headers: &HeaderMap) -> Option<Coding> {
    let (mut found, mut is_gzip_refused) = (None, false);
    for value in headers.get_all(header::ACCEPT_ENCODING) {
        for part in value.to_str().unwrap_or_default().split(',') {
            let (name, weight) = part.split_once(';').unwrap_or((part, ""));
            let weight = weight.trim().strip_prefix("q=").unwrap_or("1").trim();
            let name = name.trim();
            if weight.parse::<f32>().is_ok_and(|weight| weight <= 0.0) {
                is_gzip_refused |= name.eq_ignore_ascii_case("gzip");
                continue;
            }
            if name.eq_ignore_ascii_case("zstd") {
                return Some(Coding::Zstd);
            }
            if name.eq_ignore_ascii_case("gzip") || name == "*" {
                found = Some(Coding::Gzip);
            }
        }
    }
    // A `*` stands for what is not named.
    found.filter(|_| !is_gzip_refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_accepts() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, value.parse().unwrap());
            accepted(&headers).map(|coding| coding.name().to_str().unwrap().to_owned())
        };
        assert_eq!(of("gzip, deflate, br, zstd").as_deref(), Some("zstd"));
        assert_eq!(of("GZIP;q=0.5").as_deref(), Some("gzip"));
        assert_eq!(of("zstd;q=0, gzip").as_deref(), Some("gzip"));
        assert_eq!(of("*").as_deref(), Some("gzip"));
        for none in ["", "br", "gzip;q=0", "gzip; q=0.0", "identity", "*, gzip;q=0"] {
            assert_eq!(of(none), None, "{none}");
        }
        assert_eq!(accepted(&HeaderMap::new()), None);
    }

    #[test]
    fn both_codings_give_back_what_went_in() {
        let body = br#"{"user_agent": {"family": "Firefox"}}"#.repeat(500);
        let zstd = Coding::Zstd.compress(&body).unwrap();
        assert_eq!(zstd::bulk::decompress(&zstd, body.len()).unwrap(), body);
        let gzip = Coding::Gzip.compress(&body).unwrap();
        let mut read = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(gzip.as_slice()), &mut read).unwrap();
        assert_eq!(read, body);
        assert!(zstd.len() * 10 < body.len() && gzip.len() * 10 < body.len());
    }
}
