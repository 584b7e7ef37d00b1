//! One question to a listener of any kind, within a time.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

use crate::config::{At, Listen};
use crate::http::proxy_protocol;

/// The most of an answer that is read: its first line is enough.
const LONGEST: usize = 1024;

/// Asks for a path and gives the first bytes of the answer, its first line among them; fewer when the connection ends.
///
/// # Errors
/// When the listener cannot be reached; of the kind `TimedOut` or `WouldBlock` when the time is over.
pub(super) fn ask(listen: &Listen, certificate: Option<&Path>, path: &str, deadline: Instant) -> Result<Vec<u8>> {
    let mut stream = Timed { stream: connect(listen, deadline)?, deadline };
    if listen.is_proxied {
        stream.write_all(proxy_protocol::LOCAL)?;
    }
    let host = match &listen.at {
        At::Address(address) => address.to_string(),
        At::Name { host, port } => format!("{host}:{port}"),
        At::Unix(_) | At::Inherited => "localhost".to_owned(),
    };
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: rollcall-healthcheck\r\nConnection: close\r\n\r\n");
    if !listen.is_tls {
        return exchange(&mut stream, &request);
    }
    let certificate = certificate.ok_or_else(|| Error::other("tls.certificate is not known"))?;
    let session = ClientConnection::new(Arc::new(config(certificate)?), ServerName::try_from("localhost").map_err(Error::other)?);
    exchange(&mut StreamOwned::new(session.map_err(Error::other)?, stream), &request)
}

fn exchange(stream: &mut (impl Read + Write), request: &str) -> Result<Vec<u8>> {
    // A peer that refused may be gone already: what it said is what counts.
    stream.write_all(request.as_bytes()).or_else(|error| if is_gone(&error) { Ok(()) } else { Err(error) })?;
    let mut answer = Vec::new();
    while !answer.contains(&b'\n') && answer.len() < LONGEST {
        let mut part = [0; LONGEST];
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(length) => answer.extend(part.iter().take(length)),
            Err(error) if is_gone(&error) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(answer)
}

fn is_gone(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof)
}

fn connect(listen: &Listen, deadline: Instant) -> Result<Stream> {
    let tcp = |address| TcpStream::connect_timeout(&address, left(deadline)?).map(Stream::Tcp);
    match &listen.at {
        At::Address(address) => tcp(*address),
        At::Name { host, port } => {
            let mut last = Error::new(ErrorKind::NotFound, "the name has no address");
            for address in (host.as_str(), *port).to_socket_addrs()? {
                match tcp(address) {
                    Ok(stream) => return Ok(stream),
                    Err(error) => last = error,
                }
            }
            Err(last)
        }
        At::Unix(path) => UnixStream::connect(path).map(Stream::Unix),
        At::Inherited => Err(Error::other("no server runs here that wrote down where it listens")),
    }
}

/// How much of the time is left.
fn left(deadline: Instant) -> Result<Duration> {
    Some(deadline.saturating_duration_since(Instant::now()))
        .filter(|left| !left.is_zero())
        .ok_or_else(|| ErrorKind::TimedOut.into())
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A stream whose reads and writes end at a deadline.
struct Timed {
    stream: Stream,
    deadline: Instant,
}

impl Read for Timed {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        let left = Some(left(self.deadline)?);
        match &mut self.stream {
            Stream::Tcp(stream) => stream.set_read_timeout(left).and_then(|()| stream.read(into)),
            Stream::Unix(stream) => stream.set_read_timeout(left).and_then(|()| stream.read(into)),
        }
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let left = Some(left(self.deadline)?);
        match &mut self.stream {
            Stream::Tcp(stream) => stream.set_write_timeout(left).and_then(|()| stream.write(bytes)),
            Stream::Unix(stream) => stream.set_write_timeout(left).and_then(|()| stream.write(bytes)),
        }
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

fn config(certificate: &Path) -> Result<ClientConfig> {
    let leaf = CertificateDer::from_pem_file(certificate)
        .map_err(|error| Error::other(format!("tls.certificate: {}: {error}", certificate.display())))?;
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let verifier = Arc::new(Exactly { leaf, provider });
    let builder = builder.map_err(Error::other)?.dangerous().with_custom_certificate_verifier(verifier);
    Ok(builder.with_no_client_auth())
}

/// Accepts one certificate, whatever its names, its time and its issuer: the one that is configured. The server proves
/// by its signature that it has the key.
#[derive(Debug)]
struct Exactly {
    leaf: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Exactly {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        if *certificate == self.leaf {
            return Ok(ServerCertVerified::assertion());
        }
        Err(rustls::Error::General("the certificate is not the configured one".to_owned()))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
