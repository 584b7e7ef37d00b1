//! The access log: one line a request. It names the route, not the address that was asked for: a
//! set-up link's address is a secret, and a stranger's text may not forge lines.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;

use crate::http::client::ClientInfo;

/// Logs the request once it is answered.
pub async fn access(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let client = request.extensions().get::<ClientInfo>().cloned();
    // Made only where spans are collected: the log says the same in one line.
    let span = tracing::debug_span!("request", %method, route = route.as_deref().unwrap_or("none"), status = tracing::field::Empty);
    let response = next.run(request).instrument(span.clone()).await;
    span.record("status", response.status().as_u16());
    let (ip, id) = client.map(|client| (client.ip.to_string(), client.request_id)).unwrap_or_default();
    crate::metrics::count_request(route.as_deref().unwrap_or("none"), &method, response.status().as_u16(), started.elapsed());
    let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    tracing::debug!(
        %method,
        route = route.as_deref().unwrap_or("none"),
        status = response.status().as_u16(),
        micros,
        client.ip = ip,
        request.id = id,
        "answered"
    );
    response
}
