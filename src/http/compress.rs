//! Compression of large answers, for clients that accept it: zstd, else gzip.
//!
//! JSON, public files (styles, scripts, pictures) and some pages are compressed: those for which
//! the browser says that no other site requested them. Pages hold the proofs of forms next to text
//! from the address, and the length of a compressed page would reveal the proof to an attacker who
//! can choose addresses and have them opened (BREACH).
//!
//! Nothing large is compressed on the threads that serve: files that do not change are compressed once
//! ([`StaticFile`]), all else above 128 KiB on blocking threads, as many at a time as there are
//! processors. If all are busy, the answer is sent uncompressed.

use std::io::Write;
use std::sync::{Arc, LazyLock};

use axum::body::{Body, HttpBody, to_bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::http::static_file::StaticFile;

/// Smaller bodies fit a few packets anyway.
const SMALLEST: u64 = 4 * 1024;
/// Larger ones are streams or exports, which are not kept in memory.
const LARGEST: u64 = 4 * 1024 * 1024;
/// Bodies up to this size are compressed where they are made, such as a list of 100, which takes 0.2 ms as zstd and 0.4 ms as
/// gzip. Handing it to another thread costs 0.1 to 0.2 ms more.
const QUICK: usize = 128 * 1024;

/// How many bodies are compressed at once.
static AT_ONCE: LazyLock<Arc<Semaphore>> =
    LazyLock::new(|| Arc::new(Semaphore::new(std::thread::available_parallelism().map_or(2, std::num::NonZero::get))));

/// A coding of RFC 9110, 8.4.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// RFC 8878.
    Zstd,
    /// RFC 1952.
    Gzip,
}

impl Coding {
    fn name(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        })
    }

    /// At the quickest level, for what is sent once.
    fn compress(self, bytes: &[u8]) -> std::io::Result<Bytes> {
        self.compress_at(bytes, 1, flate2::Compression::fast())
    }

    /// At a level that takes longer, for what is sent often.
    pub(super) fn compress_once(self, bytes: &[u8]) -> std::io::Result<Bytes> {
        self.compress_at(bytes, 9, flate2::Compression::default())
    }

    fn compress_at(self, bytes: &[u8], zstd_level: i32, gzip_level: flate2::Compression) -> std::io::Result<Bytes> {
        match self {
            Self::Zstd => zstd::bulk::compress(bytes, zstd_level).map(Bytes::from),
            Self::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::with_capacity(bytes.len() / 4), gzip_level);
                encoder.write_all(bytes)?;
                encoder.finish().map(Bytes::from)
            }
        }
    }
}

/// What a request says about the coding of its answer.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    coding: Option<Coding>,
    is_own: bool,
}

impl Wish {
    /// By the request's headers.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        Self { coding: accepted(headers), is_own: is_own(headers) }
    }
}

/// Compresses the answer where that is worth it. `failed` makes the answer when a body cannot be read.
pub async fn answer(wish: Wish, response: Response, failed: fn() -> Response) -> Response {
    let Wish { coding, is_own } = wish;
    if !is_worth_it(&response, is_own) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    parts.headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding, Sec-Fetch-Site"));
    let Some(coding) = coding else { return Response::from_parts(parts, body) };
    if let Some(file) = parts.extensions.get::<&'static StaticFile>() {
        return match file.compressed(coding).await {
            Some(compressed) => coded(parts, coding, compressed),
            None => Response::from_parts(parts, body),
        };
    }
    let Ok(bytes) = to_bytes(body, usize::try_from(LARGEST).unwrap_or(usize::MAX)).await else { return failed() };
    match compress(coding, bytes.clone()).await {
        Some(compressed) if compressed.len() < bytes.len() => coded(parts, coding, compressed),
        _ => Response::from_parts(parts, Body::from(bytes)),
    }
}

/// The body in a coding; `None` when it failed or there is no thread for it now.
async fn compress(coding: Coding, bytes: Bytes) -> Option<Bytes> {
    if bytes.len() <= QUICK {
        return coding.compress(&bytes).ok();
    }
    // The permit belongs to the work: it is given back when the work is done, not when the client leaves.
    let permit = Arc::clone(&AT_ONCE).try_acquire_owned().ok()?;
    let work = tokio::task::spawn_blocking(move || {
        let compressed = coding.compress(&bytes);
        drop(permit);
        compressed
    });
    work.await.ok()?.ok()
}

fn coded(mut parts: axum::http::response::Parts, coding: Coding, compressed: Bytes) -> Response {
    parts.headers.insert(header::CONTENT_ENCODING, coding.name());
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(compressed))
}

/// Whether the browser says that a person or this site requested it, and no other site. Without
/// that header, and over plain http except on the same machine, another site is assumed.
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

/// What counts as white space in a header (RFC 9110, 5.6.3).
const OWS: [char; 2] = [' ', '\t'];

/// What the client accepts, by `Accept-Encoding` (RFC 9110, 12.5.3): zstd first, since it costs us
/// least. A coding with `q=0` is refused.
fn accepted(headers: &HeaderMap) -> Option<Coding> {
    let (mut found, mut is_gzip_refused) = (None, false);
    for value in headers.get_all(header::ACCEPT_ENCODING) {
        for part in value.to_str().unwrap_or_default().split(',') {
            let (name, weight) = part.split_once(';').unwrap_or((part, ""));
            let weight = weight.trim_matches(OWS).strip_prefix("q=").unwrap_or("1").trim_matches(OWS);
            let name = name.trim_matches(OWS);
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
    // A `*` covers every coding that is not listed.
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
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(gzip.as_ref()), &mut read).unwrap();
        assert_eq!(read, body);
        assert!(zstd.len() * 10 < body.len() && gzip.len() * 10 < body.len());
    }

    #[tokio::test]
    async fn a_large_body_goes_out_as_it_is_when_all_threads_compress() {
        let body = Bytes::from(br#"{"user_agent": {"family": "Firefox"}}"#.repeat(QUICK / 32));
        assert!(compress(Coding::Gzip, body.clone()).await.is_some());
        let all = u32::try_from(AT_ONCE.available_permits()).unwrap();
        let taken = AT_ONCE.acquire_many(all).await.unwrap();
        assert!(compress(Coding::Gzip, body.clone()).await.is_none());
        drop(taken);
        assert!(compress(Coding::Gzip, body).await.is_some());
    }
}
