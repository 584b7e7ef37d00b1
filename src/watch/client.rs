//! Sends requests to the one host of the settings: no redirect, at most 4 MiB and 20 seconds for an answer.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

use crate::config::{SourceToken, Watched};
use crate::domain::{SessionId, Timestamp};
use crate::files;
use crate::trust;
use crate::watch::answer::{self, Deleted, Me, Page, SeenOwner, SeenSession, SeenSignIn, SeenSignOut, SeenUser, Version};
use crate::watch::call::{Call, Order};
use crate::watch::error::SourceError;

/// The longest time that a request may take, connection included.
const PATIENCE: Duration = Duration::from_secs(20);
/// The largest answer, in bytes.
const LARGEST: usize = 4 << 20;

/// What was read, and how long the request took.
#[derive(Clone, Debug)]
pub struct Timed<T> {
    /// What was read, or why nothing was.
    pub value: Result<T, SourceError>,
    /// How long the request was in flight.
    pub took: Duration,
    /// The time of authentik's clock, to the second, where the answer has it.
    pub date: Option<Timestamp>,
}

/// A client of one authentik. It keeps one connection open.
pub struct Client {
    source: Watched,
    token: ArcSwap<SourceToken>,
    tls: Option<TlsConnector>,
    idle: Mutex<Option<SendRequest<Body>>>,
}

/// An answer, read whole.
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Client {
    /// A client of this authentik. It connects at its first request.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(source: Watched) -> Result<Self, SourceError> {
        let tls = if source.url.is_https() { Some(connector()?) } else { None };
        Ok(Self { token: ArcSwap::from_pointee(source.token.clone()), source, tls, idle: Mutex::default() })
    }

    /// Its settings. The token may have been [replaced](Client::use_token).
    #[must_use]
    pub fn source(&self) -> &Watched {
        &self.source
    }

    /// Takes the token of settings that were read again.
    pub fn use_token(&self, token: SourceToken) {
        self.token.store(Arc::new(token));
    }

    /// A page of sessions. The first page is 1.
    pub async fn sessions(&self, order: Order, page: u32, size: u32) -> Timed<Page<SeenSession>> {
        self.get(Call::Sessions { order, page, size }).await
    }

    /// One session.
    pub async fn session(&self, uuid: SessionId) -> Timed<SeenSession> {
        self.get(Call::Session(uuid)).await
    }

    /// A page of users. The first page is 1.
    pub async fn users(&self, page: u32) -> Timed<Page<SeenUser>> {
        self.get(Call::Users { page }).await
    }

    /// The owner of the token.
    pub async fn owner(&self) -> Timed<SeenOwner> {
        let Timed { value, took, date } = self.get::<Me>(Call::Me).await;
        Timed { value: value.map(|me| me.user), took, date }
    }

    /// The version, such as `2026.8.1`.
    pub async fn version(&self) -> Timed<String> {
        let Timed { value, took, date } = self.get::<Version>(Call::Version).await;
        Timed { value: value.map(|version| version.version_current), took, date }
    }

    /// The latest sign-ins in the event log, the last one first.
    pub async fn sign_ins(&self) -> Timed<Page<SeenSignIn>> {
        self.get(Call::SignIns).await
    }

    /// The latest sign-outs in the event log, the last one first.
    pub async fn sign_outs(&self) -> Timed<Page<SeenSignOut>> {
        self.get(Call::SignOuts).await
    }

    /// Ends a session. An error that [may be done](SourceError::may_be_done) says that the outcome is not known.
    pub async fn end(&self, uuid: SessionId) -> Timed<()> {
        self.ask(Call::End(uuid), |reply| if reply.status == StatusCode::NO_CONTENT { Ok(()) } else { Err(refusal(reply)) }).await
    }

    /// Ends all sessions of a user, and gives how many objects the version says that it deleted. An error that
    /// [may be done](SourceError::may_be_done) says that the outcome is not known.
    pub async fn end_of_user(&self, user: i64) -> Timed<u64> {
        let Timed { value, took, date } = self.get::<Deleted>(Call::EndOfUser(user)).await;
        Timed { value: value.map(|deleted| deleted.deleted), took, date }
    }

    /// Sends a request and reads the JSON of the answer.
    async fn get<T: DeserializeOwned>(&self, call: Call) -> Timed<T> {
        self.ask(call, read).await
    }

    /// Sends a request and reads the answer. Every request goes through here.
    async fn ask<T>(&self, call: Call, read: impl FnOnce(&Reply) -> Result<T, SourceError>) -> Timed<T> {
        let began = Instant::now();
        let answered = tokio::time::timeout(PATIENCE, self.send(call)).await.unwrap_or(Err(SourceError::Late));
        let took = began.elapsed();
        let date = answered.as_ref().ok().and_then(|reply| date(&reply.headers));
        Timed { value: answered.and_then(|reply| read(&reply)), took, date }
    }

    async fn send(&self, call: Call) -> Result<Reply, SourceError> {
        let (method, target) = call.request();
        // What ends something is sent once, on a connection of its own: nothing may be sent a second time by itself.
        let kept = if method == Method::GET { self.idle().take().filter(|kept| !kept.is_closed()) } else { None };
        if let Some(mut kept) = kept {
            // A server closes idle connections, so a failure here says nothing: this request only reads.
            if let Ok(reply) = exchange(&mut kept, self.request(&method, &target)?).await {
                *self.idle() = Some(kept);
                return Ok(reply);
            }
        }
        let mut connection = self.connect().await?;
        let reply = exchange(&mut connection, self.request(&method, &target)?).await?;
        *self.idle() = Some(connection);
        Ok(reply)
    }

    fn idle(&self) -> MutexGuard<'_, Option<SendRequest<Body>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The request, with the token of this moment.
    fn request(&self, method: &Method, target: &str) -> Result<Request<Body>, SourceError> {
        let token = self.token.load().now().map_err(|error| SourceError::NoToken(error.to_string()))?;
        let unusable = |_| SourceError::NoToken("it does not fit into a header".into());
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", token.0)).map_err(unusable)?;
        bearer.set_sensitive(true);
        Request::builder()
            .method(method)
            .uri(target)
            .header(header::HOST, self.source.url.authority())
            .header(header::AUTHORIZATION, bearer)
            .header(header::ACCEPT, "application/json")
            .header(header::ACCEPT_LANGUAGE, "en")
            .header(header::USER_AGENT, concat!("rollcall/", env!("CARGO_PKG_VERSION")))
            .body(Body::empty())
            .map_err(|error| SourceError::Unreachable(error.to_string()))
    }

    /// A new connection to the host of the settings. Without TLS it is to an address of this machine only, whatever
    /// the name leads to.
    async fn connect(&self) -> Result<SendRequest<Body>, SourceError> {
        let url = &self.source.url;
        let found = lookup_host((url.name(), url.port())).await.map_err(|error| unreachable(&error))?;
        let addresses: Vec<SocketAddr> = found.filter(|address| url.is_https() || address.ip().is_loopback()).collect();
        if addresses.is_empty() {
            return Err(SourceError::Unreachable(format!("{} leads nowhere", url.name())));
        }
        let stream = TcpStream::connect(addresses.as_slice()).await.map_err(|error| unreachable(&error))?;
        stream.set_nodelay(true).map_err(|error| unreachable(&error))?;
        let Some(tls) = &self.tls else { return open(stream).await };
        let name = ServerName::try_from(url.name().to_owned());
        let name = name.map_err(|_| SourceError::Unreachable(format!("{} is no name of a host", url.name())))?;
        open(tls.connect(name, stream).await.map_err(|error| unreachable(&error))?).await
    }
}

/// The error of a connection, in plain words.
fn unreachable(error: &std::io::Error) -> SourceError {
    SourceError::Unreachable(files::plain(error))
}

/// Speaks HTTP/1.1 on a connection.
async fn open(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<SendRequest<Body>, SourceError> {
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| lost(&error))?;
    // It ends with the sender, or when the server closes.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

/// Sends a request and reads the whole answer.
async fn exchange(connection: &mut SendRequest<Body>, request: Request<Body>) -> Result<Reply, SourceError> {
    connection.ready().await.map_err(|error| lost(&error))?;
    let sent = connection.send_request(request).await.map_err(|error| SourceError::Lost(error.to_string()));
    let (head, body): (_, Incoming) = sent?.into_parts();
    let body = to_bytes(Body::new(body), LARGEST).await.map_err(|_| SourceError::Cut)?;
    Ok(Reply { status: head.status, headers: head.headers, body })
}

fn lost(error: &hyper::Error) -> SourceError {
    SourceError::Unreachable(error.to_string())
}

/// The system's certificates.
fn connector() -> Result<TlsConnector, SourceError> {
    let config = trust::client(trust::system()).map_err(|error| SourceError::Unreachable(error.to_string()))?;
    Ok(TlsConnector::from(config))
}

/// The time of an answer, by its header `Date`.
fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let text = headers.get(header::DATE)?.to_str().ok()?;
    let read = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(Timestamp(read.as_microsecond()))
}

/// Reads an answer: 200 with JSON.
fn read<T: DeserializeOwned>(reply: &Reply) -> Result<T, SourceError> {
    match reply.status {
        StatusCode::OK if reply.is_json() => answer::read(&reply.body),
        StatusCode::OK => Err(SourceError::Unreadable("it is not JSON".into())),
        _ => Err(refusal(reply)),
    }
}

/// What an answer says that is not the one that was hoped for. A 404 counts as "no such object" only in authentik's own
/// form, so that the 404 of a proxy is not taken for the end of a session.
fn refusal(reply: &Reply) -> SourceError {
    #[derive(Deserialize)]
    struct Detail {
        detail: String,
    }
    let detail = || answer::read::<Detail>(&reply.body).ok().filter(|_| reply.is_json()).map(|said| said.detail);
    match reply.status {
        StatusCode::NOT_FOUND => match detail() {
            Some(said) if GONE.contains(&said.as_str()) => SourceError::Missing,
            Some(said) if said == "Invalid page." => SourceError::NoPage,
            _ => SourceError::Status(404),
        },
        StatusCode::FORBIDDEN => match detail().as_deref() {
            Some("Token invalid/expired" | "Authentication credentials were not provided.") => SourceError::TokenRefused,
            _ => SourceError::Forbidden,
        },
        StatusCode::UNAUTHORIZED => SourceError::TokenRefused,
        status if status.is_redirection() => SourceError::Redirect(status.as_u16()),
        status => SourceError::Status(status.as_u16()),
    }
}

/// What authentik says of a session that does not exist, or that the token may not see: by Django REST Framework from
/// 3.15 on, and before.
const GONE: [&str; 2] = ["No AuthenticatedSession matches the given query.", "Not found."];

impl Reply {
    fn is_json(&self) -> bool {
        let kind = self.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, kind: &'static str, body: &'static str) -> Reply {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        Reply { status: StatusCode::from_u16(status).unwrap(), headers, body: Bytes::from_static(body.as_bytes()) }
    }

    #[test]
    fn only_authentiks_own_404_says_that_a_session_is_missing() {
        const JSON: &str = "application/json";
        let gone = r#"{"detail":"No AuthenticatedSession matches the given query."}"#;
        for (status, kind, body, error) in [
            (404, JSON, gone, SourceError::Missing),
            (404, "application/json; charset=utf-8", gone, SourceError::Missing),
            (404, "text/html", gone, SourceError::Status(404)),
            (404, JSON, r#"{"detail":"Not found."}"#, SourceError::Missing),
            (404, JSON, r#"{"detail":"Not Found"}"#, SourceError::Status(404)),
            (404, JSON, r#"{"detail":"Invalid page."}"#, SourceError::NoPage),
            (404, JSON, "{}", SourceError::Status(404)),
            (404, "text/html", "<h1>Not Found</h1>", SourceError::Status(404)),
            (403, JSON, r#"{"detail":"Token invalid/expired"}"#, SourceError::TokenRefused),
            (403, JSON, r#"{"detail":"You do not have permission to perform this action."}"#, SourceError::Forbidden),
            (401, "text/html", "", SourceError::TokenRefused),
            (302, "text/html", "", SourceError::Redirect(302)),
            (502, "text/html", "", SourceError::Status(502)),
            (204, JSON, "", SourceError::Status(204)),
        ] {
            assert_eq!(read::<SeenSession>(&reply(status, kind, body)).unwrap_err(), error, "{status} {kind} {body}");
        }
        assert!(matches!(read::<SeenSession>(&reply(200, "text/html", "{}")), Err(SourceError::Unreadable(_))));
    }

    #[test]
    fn the_clock_of_authentik_is_read_from_its_answers() {
        let mut headers = HeaderMap::new();
        assert_eq!(date(&headers), None);
        headers.insert(header::DATE, HeaderValue::from_static("Sat, 28 Nov 2026 18:32:59 GMT"));
        assert_eq!(date(&headers), Timestamp::parse("2026-11-28T18:32:59Z"));
        headers.insert(header::DATE, HeaderValue::from_static("soon"));
        assert_eq!(date(&headers), None);
    }
}
