//! The listener: accepts connections, bounds what a stranger may send and how slowly, and stops
//! gracefully.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tower::Service;

/// How long a client may take to send its head (slowloris).
const HEAD_TIME: Duration = Duration::from_secs(15);
/// How long a request may take in all, its body included.
const REQUEST_TIME: Duration = Duration::from_secs(60);
/// The largest head, in bytes, and the most header lines: beyond it hyper answers 431.
const MAX_HEAD: usize = 160 * 1024;
const MAX_HEADERS: usize = 128;
/// The most connections at once; more wait in the listen queue.
const MAX_CONNECTIONS: usize = 8192;
/// How long requests may take to finish once the server stops.
const GRACE: Duration = Duration::from_secs(8);

/// Serves until `stop` is done, then lets running requests finish, within 8 s. A request that takes
/// longer than 60 s is answered by `timed_out`. `rewrite` changes each request before it is routed.
pub async fn run(
    listener: TcpListener,
    router: Router,
    rewrite: fn(Request) -> Request,
    timed_out: fn() -> Response,
    stop: impl Future<Output = ()>,
) {
    let graceful = GracefulShutdown::new();
    let places = std::sync::Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut stop = std::pin::pin!(stop);
    loop {
        let Ok(place) = std::sync::Arc::clone(&places).acquire_owned().await else { break };
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, most likely: give others time to end.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = &mut stop => break,
        };
        drop(stream.set_nodelay(true));
        let service = service(router.clone(), rewrite, timed_out, peer);
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .max_buf_size(MAX_HEAD)
            .max_headers(MAX_HEADERS)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // What goes wrong here is the client's doing: it went away or spoke no HTTP.
            drop(connection.await);
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(GRACE, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not finish in time");
    }
}

/// What a connection's requests go to.
fn service(
    router: Router,
    rewrite: fn(Request) -> Request,
    timed_out: fn() -> Response,
    peer: SocketAddr,
) -> impl hyper::service::Service<
    hyper::Request<hyper::body::Incoming>,
    Response = Response,
    Error = std::convert::Infallible,
    Future = impl Send,
> {
    hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let mut router = router.clone();
        async move {
            let mut request = rewrite(request.map(Body::new));
            request.extensions_mut().insert(ConnectInfo(peer));
            match tokio::time::timeout(REQUEST_TIME, router.call(request)).await {
                Ok(answer) => answer,
                Err(_) => {
                    let mut answer = timed_out();
                    crate::http::headers::complete(answer.headers_mut());
                    Ok(answer)
                }
            }
        }
    })
}
