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
pub mod peer;
mod places;
pub mod proxy_protocol;
pub mod query;
pub mod serve;
pub mod static_file;
pub mod tls;

/// The largest request body, in bytes.
pub const MAX_BODY: usize = 64 * 1024;
