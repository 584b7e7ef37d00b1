//! Serves HTTP/1.1 on listeners: bounds connections, heads, and the time that a peer may take to send and
//! to read; and stops gracefully. The table of all bounds is in `docs/SECURITY.md`.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, Version, header};
use axum::response::Response;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tower::Service;

pub use crate::http::places::{Bounds, descriptors};

use crate::http::connection::{Pace, Paced};
use crate::http::listener::{Listener, Stream};
use crate::http::log_limit::LogLimit;
use crate::http::opening::Begun;
use crate::http::peer::Peer;
use crate::http::places::{Place, Places};
use crate::http::tls::Certificates;

/// How long a client may take to send its head (slowloris), and to begin another one.
const HEAD_TIME: Duration = Duration::from_secs(15);
/// How long a request may take in all, its body included.
const REQUEST_TIME: Duration = Duration::from_secs(60);
/// How fast a client must read what is sent to it: 16 KiB in 20 s.
const PACE: Pace = Pace { time: Duration::from_secs(20), bytes: 16 * 1024 };
/// The largest head, in bytes, and the most header lines: beyond it the answer is 431. It is also the most
/// that is read ahead of a request that is being answered, which bounds the pipeline.
const MAX_HEAD: usize = 128 * 1024;
const MAX_HEADERS: usize = 128;
/// How long requests may take to finish once the server stops.
const GRACE: Duration = Duration::from_secs(8);
/// How long the first request of a connection may be on its way once the server stops, since the connection was accepted.
const FIRST_REQUEST_TIME: Duration = Duration::from_secs(1);
const FIRST_REQUEST_LOOK: Duration = Duration::from_millis(10);
/// How long to wait after a connection could not be accepted.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// What API and pages add to the transport.
#[derive(Clone, Copy, Debug)]
pub struct Hooks {
    /// Changes each request before it is routed.
    pub rewrite: fn(Request) -> Request,
    /// The answer to a request that took longer than 60 s.
    pub timed_out: fn() -> Response,
    /// The answer to a request whose head breaks the rules of HTTP: 400 or 431, and why.
    pub refused: fn(StatusCode, &'static str) -> Response,
}

/// Serves until `stop` is done, then lets running requests finish, within 8 s.
pub async fn run(listeners: Vec<Listener>, router: Router, bounds: Bounds, hooks: Hooks, stop: impl Future<Output = ()>) {
    let (stopping, is_stopping) = watch::channel(());
    let shared = Arc::new(Shared { places: Places::new(bounds), router, hooks, is_stopping });
    let mut stop = std::pin::pin!(stop);
    let mut first = 0;
    loop {
        let (listener, stream, peer, one) = tokio::select! {
            // Also while all places are taken.
            () = &mut stop => break,
            accepted = accept(&listeners, &mut first, &shared.places) => accepted,
        };
        match stream {
            Stream::Tcp(stream) => {
                drop(stream.set_nodelay(true));
                // Bytes that such a peer did not read are thrown away, not kept by the kernel for minutes.
                let stream = Paced::new(stream, PACE, |stream: &TcpStream| drop(stream.set_zero_linger()));
                open(&shared, listener, stream, peer, one);
            }
            Stream::Unix(stream) => open(&shared, listener, Paced::new(stream, PACE, |_| ()), peer, one),
        }
    }
    drop(listeners);
    let _ = stopping.send(());
    // Each connection has its share until it is closed.
    drop(shared);
    if tokio::time::timeout(GRACE, stopping.closed()).await.is_err() {
        tracing::warn!("some requests did not finish in time");
    }
}

/// What all connections of a server share.
struct Shared {
    places: Places,
    router: Router,
    hooks: Hooks,
    /// Changes when the server stops.
    is_stopping: watch::Receiver<()>,
}

impl Shared {
    /// Gives the permit to a peer, if its address may have one more connection.
    fn take(&self, one: OwnedSemaphorePermit, peer: &Peer) -> Option<Place> {
        static REFUSED: LogLimit = LogLimit::ten_a_minute();
        let place = self.places.take(one, peer);
        if place.is_none()
            && let Some(held_back) = REFUSED.admit()
        {
            tracing::warn!(client.ip = %peer.ip, held_back, "too many connections from one address");
        }
        place
    }

    /// What a future comes to; `None` when the server stops before.
    async fn unless_stopped<T>(&self, future: impl Future<Output = Option<T>>) -> Option<T> {
        let mut is_stopping = self.is_stopping.clone();
        tokio::select! {
            biased;
            _ = is_stopping.changed() => None,
            done = future => done,
        }
    }
}

/// Waits for a place, then for a connection on any of the listeners.
async fn accept<'a>(
    listeners: &'a [Listener],
    first: &mut usize,
    places: &Places,
) -> (&'a Listener, Stream, Peer, OwnedSemaphorePermit) {
    static FAILED: LogLimit = LogLimit::ten_a_minute();
    loop {
        let Some(one) = places.free().await else { return std::future::pending().await };
        // Each listener has its turn, so that a flood on one keeps nobody from the others.
        let accepted = std::future::poll_fn(|context| {
            let (before, after) = listeners.split_at_checked(*first).unwrap_or((listeners, &[]));
            for (turn, listener) in after.iter().chain(before).enumerate() {
                if let Poll::Ready(accepted) = listener.poll_accept(context) {
                    *first = (*first + turn + 1) % listeners.len();
                    return Poll::Ready(accepted.map(|(stream, peer)| (listener, stream, peer)));
                }
            }
            Poll::Pending
        });
        match accepted.await {
            Ok((listener, stream, peer)) => return (listener, stream, peer, one),
            Err(error) => {
                // Out of file descriptors, most likely: give others time to end.
                if let Some(held_back) = FAILED.admit() {
                    tracing::warn!(%error, held_back, "a connection could not be accepted");
                }
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

/// Serves a connection on a task of its own. It is closed at once when its address has too many, and when it is for
/// proxies and its peer is not a trusted one.
fn open<S>(shared: &Arc<Shared>, listener: &Listener, stream: Paced<S>, peer: Peer, one: OwnedSemaphorePermit)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    static STRANGERS: LogLimit = LogLimit::ten_a_minute();
    if listener.listen().is_proxied {
        if shared.places.trusts(&peer) {
            tokio::spawn(serve_proxied(Arc::clone(shared), listener.certificates.clone(), stream, peer, one));
        } else if let Some(held_back) = STRANGERS.admit() {
            let why = "a connection on a listener for proxies was closed: its peer is not in http.trusted_proxies";
            tracing::warn!(peer = %peer.ip, held_back, "{why}");
        }
        return;
    }
    let Some(place) = shared.take(one, &peer) else { return };
    match listener.certificates.clone() {
        None => drop(tokio::spawn(serve(Arc::clone(shared), stream, peer, place))),
        Some(certificates) => {
            drop(tokio::spawn(serve_tls(Arc::clone(shared), certificates, Begun::new(stream), peer, place)));
        }
    }
}

/// Serves a connection that begins with a header of the PROXY protocol. The client that the header names counts for
/// the limit by address, not the proxy.
async fn serve_proxied<S>(
    shared: Arc<Shared>,
    certificates: Option<Arc<Certificates>>,
    stream: Paced<S>,
    proxy: Peer,
    one: OwnedSemaphorePermit,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut stream = Begun::new(stream);
    let Some(peer) = shared.unless_stopped(stream.header(proxy)).await else { return };
    let Some(place) = shared.take(one, &peer) else { return };
    match certificates {
        None => serve(shared, stream, peer, place).await,
        Some(certificates) => serve_tls(shared, certificates, stream, peer, place).await,
    }
}

/// Serves a connection that begins with a handshake of TLS.
async fn serve_tls<S>(shared: Arc<Shared>, certificates: Arc<Certificates>, stream: Begun<Paced<S>>, peer: Peer, place: Place)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let config = Arc::clone(&certificates.now().config);
    drop(certificates);
    if let Some(stream) = shared.unless_stopped(stream.handshake(config)).await {
        serve(shared, stream, peer.with_tls(), place).await;
    }
}

/// Serves HTTP on a connection, until it ends, or the server stops and its request is answered.
async fn serve<S>(shared: Arc<Shared>, stream: S, peer: Peer, place: Place)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (opened, has_asked) = (Instant::now(), Arc::new(AtomicBool::new(false)));
    let mut is_stopping = shared.is_stopping.clone();
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service(Arc::clone(&shared), peer, Arc::clone(&has_asked)));
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        biased;
        // What goes wrong here is the client's doing: it went away, did not read, or spoke no HTTP.
        _ = connection.as_mut() => return,
        _ = is_stopping.changed() => {}
    }
    // The first request of a connection that was just accepted may be on its way: another server listens on the same
    // socket, and would have answered it.
    while !has_asked.load(Ordering::Relaxed) && opened.elapsed() < FIRST_REQUEST_TIME {
        if tokio::time::timeout(FIRST_REQUEST_LOOK, connection.as_mut()).await.is_ok() {
            return;
        }
    }
    connection.as_mut().graceful_shutdown();
    drop(connection.await);
    drop(place);
}

/// What a connection's requests go to.
fn service(
    shared: Arc<Shared>,
    peer: Peer,
    has_asked: Arc<AtomicBool>,
) -> impl hyper::service::Service<
    hyper::Request<hyper::body::Incoming>,
    Response = Response,
    Error = std::convert::Infallible,
    Future = impl Send,
> {
    hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        has_asked.store(true, Ordering::Relaxed);
        let (mut router, hooks) = (shared.router.clone(), shared.hooks);
        async move {
            if let Err((status, why)) = check_head(&request) {
                return Ok(completed((hooks.refused)(status, why)));
            }
            let mut request = (hooks.rewrite)(request.map(Body::new));
            request.extensions_mut().insert(peer);
            match tokio::time::timeout(REQUEST_TIME, router.call(request)).await {
                Ok(answer) => answer,
                Err(_) => Ok(completed((hooks.timed_out)())),
            }
        }
    })
}

fn completed(mut answer: Response) -> Response {
    crate::http::headers::complete(answer.headers_mut());
    // What follows a head that breaks the rules may not be what it seems.
    answer.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    answer
}

/// The rules for heads that hyper leaves to its users.
fn check_head<B>(request: &hyper::Request<B>) -> Result<(), (StatusCode, &'static str)> {
    if head_size(request) > MAX_HEAD {
        return Err((StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "The head of the request is too large."));
    }
    check_host(request.version(), request.headers()).map_err(|why| (StatusCode::BAD_REQUEST, why))
}

/// How many bytes the head took, but for white space.
fn head_size<B>(request: &hyper::Request<B>) -> usize {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    let authority = request.uri().authority().map_or(0, |authority| authority.as_str().len());
    let lines: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    request.method().as_str().len() + authority + target + lines
}

/// One `Host` with the form of one, as RFC 9112, 3.2 wants it: proxies and servers that choose differently
/// among several let an attacker reach what the proxy protects.
fn check_host(version: Version, headers: &HeaderMap) -> Result<(), &'static str> {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if version < Version::HTTP_11 => Ok(()),
        (None, _) => Err("The request has no Host."),
        (Some(_), Some(_)) => Err("The request has more than one Host."),
        (Some(host), None) if host.as_bytes().iter().all(|byte| is_of_host(*byte)) => Ok(()),
        (Some(_), None) => Err("The Host of the request is no host."),
    }
}

/// What a host and a port are made of (RFC 3986, 3.2.2 and 3.2.3).
fn is_of_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_one_host() {
        let check = |version: Version, hosts: &[&'static [u8]]| {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(header::HOST, header::HeaderValue::from_bytes(host).unwrap());
            }
            check_host(version, &headers).is_ok()
        };
        let one = Version::HTTP_11;
        for good in [b"a.example".as_slice(), b"a.example:8443", b"[2001:db8::1]:443", b"xn--bcher-kva.example", b"a_b", b""] {
            assert!(check(one, &[good]), "{}", good.escape_ascii());
        }
        for bad in
            [b"a.example b.example".as_slice(), b"a/b", b"u@a", b"a?b", b"a#b", b"a\\b", b"\xc3\xa4.example", b"a\tb", b"\"a\""]
        {
            assert!(!check(one, &[bad]), "{}", bad.escape_ascii());
        }
        assert!(!check(one, &[]) && check(Version::HTTP_10, &[]));
        for version in [one, Version::HTTP_10] {
            assert!(!check(version, &[b"a.example", b"b.example"]) && !check(version, &[b"a.example", b"a.example"]));
        }
    }

    #[test]
    fn a_head_is_measured_whole() {
        let request = |path: usize, value: usize| {
            let request = hyper::Request::get(format!("/{}", "x".repeat(path))).header("host", "a").header("x", "y".repeat(value));
            check_head(&request.body(()).unwrap()).map_err(|(status, _)| status.as_u16())
        };
        assert_eq!(request(100, 100), Ok(()));
        assert_eq!(request(60 * 1024, 67 * 1024), Ok(()));
        assert_eq!(request(60 * 1024, 69 * 1024), Err(431));
        assert_eq!(request(0, 129 * 1024), Err(431));
    }
}
