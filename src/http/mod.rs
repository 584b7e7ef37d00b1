//! Transport: what each request passes before its handler, and each answer after it. The server
//! composes the layers in `server.rs`.

pub mod client;
pub mod compress;
mod connection;
pub mod forwarded;
pub mod headers;
pub mod listener;
pub mod log;
pub mod log_limit;
mod opening;
pub mod page;
pub mod peer;
mod places;
pub mod proxy_protocol;
pub mod query;
pub mod serve;
pub mod static_file;
pub mod tls;

use std::panic::AssertUnwindSafe;

use axum::response::Response;
use futures_util::FutureExt;

/// The answer of a handler, or of `failed` when it panics: a panic ends one request, and no connection.
pub async fn caught(answer: impl Future<Output = Response>, failed: fn() -> Response) -> Response {
    AssertUnwindSafe(answer).catch_unwind().await.unwrap_or_else(|_| failed())
}

/// The largest request body, in bytes.
pub const MAX_BODY: usize = 64 * 1024;
