//! HTTP/1.1 as bytes: probes send what no library would.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::cli::{Failure, misused};
use crate::trust;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// The most of an answer that is read.
const LONGEST: usize = 256 * 1024;

/// Where an address leads.
pub(super) struct Wire {
    address: SocketAddr,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    /// The host with its port, as the address has it.
    pub(super) authority: String,
    /// The path, without a query.
    pub(super) path: String,
    /// `http` or `https`.
    pub(super) scheme: &'static str,
}

/// An answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Reply {
    /// Its status; 0: it is not HTTP, or the connection was closed.
    pub(super) status: u16,
    /// Names in lower case, and values.
    pub(super) headers: Vec<(String, String)>,
    /// The body, as it was sent.
    pub(super) body: String,
}

impl Reply {
    /// The first value of a header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether all of it was read, as far as its head tells.
    fn is_complete(&self) -> bool {
        if matches!(self.status, 101 | 204 | 304) {
            return true;
        }
        if self.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            return self.body.ends_with("0\r\n\r\n");
        }
        let length = self.header("content-length").and_then(|length| length.parse::<usize>().ok());
        length.is_some_and(|length| self.body.len() >= length)
    }

    /// Whether it is an answer that the app itself may have given: 101 or 2xx.
    pub(super) fn is_good(&self) -> bool {
        self.status == 101 || (200..300).contains(&self.status)
    }

    fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let mut lines = head.split("\r\n");
        let status = lines.next().filter(|line| line.starts_with("HTTP/1.")).and_then(|line| line.get(9..12)?.parse().ok());
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers = headers.map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        Self { status: status.unwrap_or_default(), headers: headers.collect(), body: body.to_owned() }
    }
}

impl Wire {
    /// Reads `http://host[:port][/path]`. Connections go to `connect`, or to where the host's name leads.
    ///
    /// # Errors
    /// Wrong usage for what is no such address; when the name leads nowhere.
    pub(super) fn to(url: &str, connect: Option<&str>) -> Result<Self, Failure> {
        let wrong = || misused(format!("{url}: write http://HOST/PATH or https://HOST/PATH"));
        let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
        let (scheme, port) = match scheme.to_ascii_lowercase().as_str() {
            "http" => ("http", 80),
            "https" => ("https", 443),
            _ => return Err(wrong()),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '@' | '\\');
        if authority.is_empty() || !rest.chars().all(is_plain) {
            return Err(wrong());
        }
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let named = if has_port { authority.to_owned() } else { format!("{authority}:{port}") };
        let place = connect.unwrap_or(&named);
        let nowhere = |error: &dyn std::fmt::Display| -> Failure { format!("{place} leads nowhere: {error}").into() };
        let found = place.to_socket_addrs().map_err(|error| nowhere(&error))?.next();
        let address = found.ok_or_else(|| nowhere(&"it has no address"))?;
        let tls = match scheme {
            "https" => {
                let name = named.rsplit_once(':').map_or("", |(name, _)| name).to_owned();
                Some((trust::client(trust::system())?, ServerName::try_from(name).map_err(|_| wrong())?))
            }
            _ => None,
        };
        let path = if path.is_empty() { "/" } else { path }.to_owned();
        Ok(Self { address, tls, authority: authority.to_owned(), path, scheme })
    }

    /// Sends these bytes on a connection of their own, and reads until `is_enough`, the end, or the time is over.
    ///
    /// # Errors
    /// When there is no connection.
    pub(super) fn exchange(&self, request: &[u8], is_enough: impl Fn(&Reply) -> bool) -> Result<Reply, Failure> {
        let failed = |error: io::Error| -> Failure { format!("{}: {error}", self.address).into() };
        let stream = TcpStream::connect_timeout(&self.address, PATIENCE).map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
        match &self.tls {
            None => Ok(talk(&stream, &stream, request, is_enough)),
            Some((config, name)) => {
                let session = ClientConnection::new(Arc::clone(config), name.clone())?;
                let mut tls = StreamOwned::new(session, stream.try_clone().map_err(failed)?);
                // A certificate that is wrong must be told as such.
                stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
                tls.conn.complete_io(&mut tls.sock).map_err(failed)?;
                Ok(talk(&mut tls, &stream, request, is_enough))
            }
        }
    }
}

/// What goes wrong after the connection is made is an answer, too: the proxy refused.
fn talk(mut channel: impl Read + Write, socket: &TcpStream, request: &[u8], is_enough: impl Fn(&Reply) -> bool) -> Reply {
    let until = Instant::now() + PATIENCE;
    let mut bytes = Vec::new();
    if channel.write_all(request).and_then(|()| channel.flush()).is_err() {
        return Reply::default();
    }
    let mut part = [0; 8192];
    while bytes.len() < LONGEST {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || socket.set_read_timeout(Some(left)).is_err() {
            break;
        }
        match channel.read(&mut part) {
            Ok(0) | Err(_) => break,
            Ok(length) => bytes.extend(part.iter().take(length)),
        }
        if bytes.windows(4).any(|four| four == b"\r\n\r\n") {
            let reply = Reply::read(&bytes);
            if reply.is_complete() || is_enough(&reply) {
                return reply;
            }
        }
    }
    Reply::read(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_scheme_a_host_and_a_path() {
        let read = |url: &str| Wire::to(url, Some("127.0.0.1:1")).map(|wire| (wire.scheme, wire.authority, wire.path));
        assert_eq!(read("HTTP://app.example").unwrap(), ("http", "app.example".into(), "/".into()));
        assert_eq!(read("https://app.example:8443/a/b?c#d").unwrap(), ("https", "app.example:8443".into(), "/a/b".into()));
        for wrong in ["app.example", "ftp://a", "http://", "http:///a", "http://a b", "http://u@a/", "http://a/\r\nX: y"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_answer_is_its_status_its_headers_and_its_body() {
        let reply = Reply::read(b"HTTP/1.1 302 Found\r\nLocation: /a\r\nset-cookie:  b=c\r\n\r\nbody");
        assert_eq!((reply.status, reply.header("location"), reply.body.as_str()), (302, Some("/a"), "body"));
        assert!(!reply.is_good() && Reply { status: 101, ..Reply::default() }.is_good());
        for (bytes, is_complete) in [
            ("HTTP/1.1 101 x\r\n\r\n", true),
            ("HTTP/1.1 200 x\r\ncontent-length: 2\r\n\r\na", false),
            ("HTTP/1.1 200 x\r\ncontent-length: 2\r\n\r\nab", true),
            ("HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n", false),
            ("HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", true),
            ("HTTP/1.1 200 x\r\n\r\n", false),
        ] {
            assert_eq!(Reply::read(bytes.as_bytes()).is_complete(), is_complete, "{bytes}");
        }
        for none in [b"".as_slice(), b"\x15\x03\x01", b"HTTP/2", b"HTTP/1.1 \xff"] {
            assert_eq!(Reply::read(none).status, 0);
        }
    }
}
