//! Requests that Rollcall itself sends to apps. Every address that a name leads to is judged before a connection, and the
//! connection goes to the one that was judged. No redirect is followed, no cookie and no proxy used.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::config::OutboundConfig;
use crate::domain::Network;
use crate::domain::oidc::target::{Own, Parts, Target, TargetHost, TargetRule, may_reach};
use crate::files;
use crate::trust;

/// The longest time until there is a connection.
const TO_CONNECT: Duration = Duration::from_secs(3);
/// The longest time until there is an answer, connection included.
const PATIENCE: Duration = Duration::from_secs(10);
/// How much of the content of an answer is read, in bytes, and for how long: its status says it all.
const READ: usize = 4096;
const TO_READ: Duration = Duration::from_millis(500);
/// The most bytes and the most headers of the head of an answer.
const LARGEST_HEAD: usize = 16 * 1024;
const MOST_HEADERS: usize = 100;
/// The largest file of certificates, in bytes.
const LARGEST_FILE: u64 = 4 << 20;

/// Why there was no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The address must not be reached.
    #[error(transparent)]
    Refused(#[from] TargetRule),
    /// There was no connection.
    #[error("no connection: {0}")]
    Unreachable(String),
    /// The connection was lost, or the answer is none of HTTP.
    #[error("no answer: {0}")]
    Lost(String),
    /// There was nothing to send.
    #[error("{0}")]
    Unsigned(String),
    /// It took too long.
    #[error("no answer within {} seconds", PATIENCE.as_secs())]
    Late,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its `Retry-After`, as it was sent.
    pub retry_after: Option<String>,
}

impl Answer {
    /// Whether the app took what it was sent.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Sends requests.
pub struct Sender {
    tls: TlsConnector,
    allow: Vec<Network>,
    own: Own,
}

impl Sender {
    /// By these settings; `own` is where Rollcall itself is reached.
    ///
    /// # Errors
    /// When the file of certificates cannot be read, or TLS cannot be set up.
    pub fn new(config: &OutboundConfig, own: Own) -> Result<Self, String> {
        let mut roots = trust::system();
        if let Some(path) = &config.ca {
            let wrong = |why: &dyn std::fmt::Display| format!("outbound.ca {}: {why}", path.display());
            let pem = files::read(path, LARGEST_FILE).map_err(|error| wrong(&files::plain(&error)))?;
            let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
            let certificates = certificates.map_err(|error| wrong(&error))?;
            if roots.add_parsable_certificates(certificates).0 == 0 {
                return Err(wrong(&"there is no certificate in it"));
            }
        }
        let tls = TlsConnector::from(trust::client(roots).map_err(|error| error.to_string())?);
        Ok(Self { tls, allow: config.allow.0.clone(), own })
    }

    /// Sends a form.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn post_form(&self, target: &Target, form: String) -> Result<Answer, Failure> {
        let (head, body) = timeout(PATIENCE, self.post(target, form)).await.unwrap_or(Err(Failure::Late))?;
        // A short content is read, so that the app can send it to its end.
        drop(timeout(TO_READ, to_bytes(Body::new(body), READ)).await);
        Ok(head)
    }

    async fn post(&self, target: &Target, form: String) -> Result<(Answer, Incoming), Failure> {
        let parts = target.parts()?;
        let request = Request::post(&parts.path)
            .header(header::HOST, &parts.authority)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::USER_AGENT, concat!("Rollcall/", env!("CARGO_PKG_VERSION")))
            .header(header::ACCEPT_ENCODING, "identity")
            .header(header::CONNECTION, "close")
            .body(Body::from(form))
            .map_err(|error| Failure::Lost(error.to_string()))?;
        let connected = timeout(TO_CONNECT, self.connect(&parts)).await;
        let late = || Err(Failure::Unreachable(format!("none within {} seconds", TO_CONNECT.as_secs())));
        let mut connection = connected.unwrap_or_else(|_| late())?;
        connection.ready().await.map_err(|error| lost(&error))?;
        let (head, body) = connection.send_request(request).await.map_err(|error| lost(&error))?.into_parts();
        let retry_after = head.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok((Answer { status: head.status.as_u16(), retry_after }, body))
    }

    /// A connection to the first address that answers, after all of them were found right.
    async fn connect(&self, parts: &Parts) -> Result<SendRequest<Body>, Failure> {
        if self.own.is_named(parts) {
            return Err(TargetRule::Own(parts.authority.clone()).into());
        }
        let found: Vec<SocketAddr> = match &parts.host {
            TargetHost::Ip(address) => vec![SocketAddr::new(address.0, parts.port)],
            TargetHost::Name(name) => {
                lookup_host((name.as_str(), parts.port)).await.map_err(|error| unreachable(&error))?.collect()
            }
        };
        for address in &found {
            may_reach(*address, parts.is_https, &self.allow, &self.own)?;
        }
        if found.is_empty() {
            return Err(Failure::Unreachable("the name leads nowhere".to_owned()));
        }
        let stream = TcpStream::connect(found.as_slice()).await.map_err(|error| unreachable(&error))?;
        if !parts.is_https {
            return open(stream).await;
        }
        let name = match &parts.host {
            TargetHost::Name(name) => {
                ServerName::try_from(name.clone()).map_err(|error| Failure::Unreachable(error.to_string()))?
            }
            TargetHost::Ip(address) => ServerName::from(address.0),
        };
        open(self.tls.connect(name, stream).await.map_err(|error| unreachable(&error))?).await
    }
}

fn unreachable(error: &std::io::Error) -> Failure {
    Failure::Unreachable(files::plain(error))
}

fn lost(error: &hyper::Error) -> Failure {
    Failure::Lost(error.to_string())
}

/// Speaks HTTP/1.1 on a connection.
async fn open(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<SendRequest<Body>, Failure> {
    let mut builder = Builder::new();
    builder.max_buf_size(LARGEST_HEAD).max_headers(MOST_HEADERS);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(|error| lost(&error))?;
    // It ends with the sender, or when the app closes.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}
