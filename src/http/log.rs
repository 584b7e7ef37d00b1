//! The access log: one line a request. It names the route, not the address that was asked for: a
//! set-up link's address is a secret, and a stranger's text may not forge lines.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::response::Response;
use tracing::Span;

use crate::http::client::ClientInfo;

/// A request that is not answered yet.
pub struct Entry {
    started: Instant,
    method: Method,
    route: Option<MatchedPath>,
    client: Option<ClientInfo>,
    /// The span of its answer. Made only where spans are collected: the log says the same in one line.
    pub span: Span,
}

impl Entry {
    /// Begins with the request.
    #[must_use]
    pub fn begin(request: &Request) -> Self {
        let method = request.method().clone();
        let route = request.extensions().get::<MatchedPath>().cloned();
        let name = route.as_ref().map_or(NONE, MatchedPath::as_str);
        let span = tracing::debug_span!("request", %method, route = name, status = tracing::field::Empty);
        let is_logged = tracing::enabled!(tracing::Level::DEBUG);
        let client = request.extensions().get::<ClientInfo>().filter(|_| is_logged).cloned();
        Self { started: Instant::now(), method, route, client, span }
    }

    /// Logs and counts the request, once it is answered.
    pub fn end(self, response: &Response) {
        let (status, took) = (response.status().as_u16(), self.started.elapsed());
        self.span.record("status", status);
        let route = self.route.as_ref().map_or(NONE, MatchedPath::as_str);
        crate::metrics::count_request(route, &self.method, status, took);
        let Some(client) = self.client else { return };
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        tracing::debug!(
            method = %self.method,
            route,
            status,
            micros,
            client.ip = client.ip.to_string(),
            request.id = client.request_id,
            "answered"
        );
    }
}

/// What the log calls a request that no route answers.
const NONE: &str = "none";
