//! The app behind the proxy: it answers what it was asked, as JSON, and counts its requests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// A running app.
pub struct Echo {
    pub address: SocketAddr,
    count: Arc<AtomicUsize>,
}

impl Echo {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let count = Arc::new(AtomicUsize::new(0));
        let router = Router::new().fallback(answer).with_state(Arc::clone(&count));
        tokio::spawn(async move { axum_serve(listener, router).await });
        Self { address, count }
    }

    /// How many requests reached it.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

async fn axum_serve(listener: TcpListener, router: Router) {
    rollcall::server::serve(listener, router, std::future::pending()).await;
}

async fn answer(State(count): State<Arc<AtomicUsize>>, request: Request) -> Response {
    count.fetch_add(1, Ordering::SeqCst);
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 64 * 1024 * 1024).await.map(|body| body.len()).unwrap_or(0);
    let headers: Vec<Value> =
        parts.headers.iter().map(|(name, value)| json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())])).collect();
    let path = parts.uri.path_and_query().map(ToString::to_string);
    if parts.uri.path() == "/large" {
        return vec![b'x'; 10 * 1024 * 1024].into_response();
    }
    let told = json!({ "method": parts.method.as_str(), "path": path, "headers": headers, "body": body }).to_string();
    (StatusCode::OK, [("content-type", "application/json"), ("set-cookie", "own=1; Path=/")], told).into_response()
}
