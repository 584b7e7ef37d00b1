//! What trusted proxies tell of the client: its address and its scheme.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName};

use crate::config::ClientAddress;
use crate::core::trust::Trust;
use crate::http::log_limit::LogLimit;
use crate::http::peer::Peer;

/// What is known of the client of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The client's address: the peer's, or what trusted proxies say.
    pub ip: IpAddr,
    /// Whether trusted proxies say that it used https; `None`: they do not say.
    pub is_https: Option<bool>,
}

/// Reads the one header that the settings name. Nothing is read of a peer that is not trusted.
#[must_use]
pub fn read(peer: &Peer, headers: &HeaderMap, trust: &Trust) -> Told {
    if !peer.is_trusted(trust) {
        return Told { ip: peer.ip, is_https: None };
    }
    let ip = match &trust.client_address {
        ClientAddress::Forwarded => return by_elements(peer, headers, trust),
        ClientAddress::XForwardedFor => by_list(peer, headers, trust),
        ClientAddress::Single(name) => by_one(peer, headers, name),
        ClientAddress::Peer => peer.ip,
    };
    Told { ip, is_https: headers.get("x-forwarded-proto").map(|scheme| is_https(scheme.as_bytes())) }
}

/// Whether a request says that a proxy forwarded it.
#[must_use]
pub fn is_forwarded(headers: &HeaderMap, trust: &Trust) -> bool {
    match &trust.client_address {
        ClientAddress::Forwarded => headers.contains_key("forwarded"),
        ClientAddress::Single(name) => headers.contains_key(name),
        ClientAddress::XForwardedFor | ClientAddress::Peer => headers.contains_key("x-forwarded-for"),
    }
}

fn is_https(scheme: &[u8]) -> bool {
    scheme.eq_ignore_ascii_case(b"https")
}

/// `X-Forwarded-For` is read from its right end for as long as the sender is a trusted proxy. An entry that is no
/// address ends the walk: nothing left of it is used, and the result is the last address that a trusted peer reported.
fn by_list(peer: &Peer, headers: &HeaderMap, trust: &Trust) -> IpAddr {
    let (mut address, mut is_trusted) = (peer.ip, true);
    for line in headers.get_all("x-forwarded-for").iter().rev() {
        for entry in line.as_bytes().rsplit(|byte| *byte == b',') {
            let next =
                std::str::from_utf8(entry).ok().filter(|_| is_trusted).and_then(|text| parse_entry(text.trim_matches(BLANKS)));
            let Some(next) = next else { return address };
            address = next;
            is_trusted = trust.trusts(address);
        }
    }
    address
}

/// The header has one address, which a trusted proxy wrote. Where there are several, or it is no address, somebody
/// else may have written it: the peer's address is used.
fn by_one(peer: &Peer, headers: &HeaderMap, name: &HeaderName) -> IpAddr {
    static LINES: LogLimit = LogLimit::new(1, std::time::Duration::from_secs(60));
    let mut lines = headers.get_all(name).iter();
    let found = match (lines.next(), lines.next()) {
        (None, _) => return peer.ip,
        (Some(line), None) => line.to_str().ok().and_then(|text| parse_entry(text.trim_matches(BLANKS))),
        (Some(_), Some(_)) => None,
    };
    if found.is_none()
        && let Some(held_back) = LINES.admit()
    {
        tracing::warn!(header = %name, peer = %peer.ip, held_back, "a trusted proxy sent a header that is not one address; its own is used");
    }
    found.unwrap_or(peer.ip)
}

/// `Forwarded` of RFC 7239, from its right end as [`by_list`]. The scheme is the one in the last element that counts.
fn by_elements(peer: &Peer, headers: &HeaderMap, trust: &Trust) -> Told {
    let (mut told, mut is_trusted) = (Told { ip: peer.ip, is_https: None }, true);
    for line in headers.get_all("forwarded").iter().rev() {
        let mut rest = Some(line.as_bytes());
        while let Some(text) = rest.filter(|_| is_trusted) {
            let (before, last) = split_last(text);
            let Some(element) = Element::parse(last) else { return told };
            told.is_https = element.is_https.or(told.is_https);
            let Some(ip) = element.ip else { return told };
            told.ip = ip;
            is_trusted = trust.trusts(ip);
            rest = before;
        }
    }
    told
}

/// Cuts a list at its last comma that is not within quotes. It is looked for from the right, so that a quote that
/// a client left open cannot swallow what a proxy added behind it.
fn split_last(text: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let is_escaped = |at: usize| {
        let before = text.get(..at).unwrap_or_default();
        before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
    };
    let mut is_quoted = false;
    for (at, byte) in text.iter().enumerate().rev() {
        match byte {
            b'"' if !is_quoted || !is_escaped(at) => is_quoted = !is_quoted,
            b',' if !is_quoted => return (text.get(..at), text.get(at + 1..).unwrap_or_default()),
            _ => {}
        }
    }
    (None, text)
}

/// What one proxy wrote.
#[derive(Debug, Default, PartialEq, Eq)]
struct Element {
    /// `for`, where it is an address.
    ip: Option<IpAddr>,
    is_https: Option<bool>,
}

impl Element {
    /// `None` when it is not of the form of RFC 7239, 4, or has a parameter twice.
    fn parse(text: &[u8]) -> Option<Self> {
        let mut rest = std::str::from_utf8(text).ok()?.trim_matches(BLANKS);
        let (mut element, mut seen) = (Self::default(), Vec::new());
        while !rest.is_empty() {
            let (name, behind) = rest.split_once('=')?;
            let name = name.trim_matches(BLANKS).to_ascii_lowercase();
            let (value, behind) = value(behind)?;
            match name.as_str() {
                "for" => element.ip = parse_entry(&value),
                "proto" => element.is_https = Some(is_https(value.as_bytes())),
                _ => {}
            }
            if name.is_empty() || !name.bytes().all(is_token) || seen.contains(&name) {
                return None;
            }
            seen.push(name);
            let behind = behind.trim_start_matches(BLANKS);
            rest = if behind.is_empty() { behind } else { behind.strip_prefix(';')?.trim_start_matches(BLANKS) };
        }
        Some(element)
    }
}

const BLANKS: [char; 2] = [' ', '\t'];

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A value, and what follows it: in quotes, or without them up to a semicolon. Ports and brackets without quotes are
/// read, too: some proxies write them.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(inside) = text.strip_prefix('"') else {
        let end = text.find([';', ' ', '\t']).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        let is_good = !value.is_empty() && value.bytes().all(|byte| is_token(byte) || b":[]".contains(&byte));
        return is_good.then(|| (value.to_owned(), rest));
    };
    let (mut value, mut chars) = (String::new(), inside.char_indices());
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, inside.get(at + 1..).unwrap_or_default())),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

/// `1.2.3.4`, `1.2.3.4:567`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:567`.
fn parse_entry(text: &str) -> Option<IpAddr> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(ip.to_canonical());
    }
    // A zone has a meaning only on the machine itself.
    if text.contains('%') {
        return None;
    }
    if let Ok(socket) = text.parse::<SocketAddr>() {
        return Some(socket.ip().to_canonical());
    }
    let inside = text.strip_prefix('[')?.strip_suffix(']')?;
    inside.parse::<std::net::Ipv6Addr>().ok().map(|ip| IpAddr::V6(ip).to_canonical())
}

#[cfg(test)]
mod tests;
