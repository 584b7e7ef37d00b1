//! Where a request comes from: the client's address, the scheme and host it used, and the id the
//! request gets.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderMap, HeaderValue, header};

use crate::actions::app::App;
use crate::domain::caller::Actor;
use crate::domain::caller::Client;
use crate::domain::{Address, secret, user_agent};

/// What is known of a request's sender before anything is proved.
#[derive(Clone, Debug)]
pub struct ClientInfo {
    /// The client's address: the connection's, or what trusted proxies say.
    pub ip: Address,
    /// Whether the client used https, as its browser sees it.
    pub is_https: bool,
    /// Whether it says that it was forwarded, and came from an address that is not trusted to say so.
    pub is_from_unknown_proxy: bool,
    /// The `Host` the client asked for.
    pub host: String,
    /// The request's id: in the log, in events, in the answer's `X-Request-Id`.
    pub request_id: String,
}

impl ClientInfo {
    /// `scheme://host` of the request.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("{}://{}", if self.is_https { "https" } else { "http" }, self.host)
    }

    /// Where people reach this server: the public URL, or what this request asked for.
    #[must_use]
    pub fn public_origin(&self, app: &App) -> String {
        app.config.http.public_url.as_ref().map_or_else(|| self.origin(), |url| url.origin().to_owned())
    }

    /// With the user agent of the request's headers.
    #[must_use]
    pub fn as_client(&self, headers: &HeaderMap) -> Client {
        let agent = headers.get(header::USER_AGENT).map(|agent| String::from_utf8_lossy(agent.as_bytes()));
        Client { ip: self.ip, user_agent: user_agent::storable(agent.as_deref().unwrap_or_default()) }
    }

    /// The actor of a request whose sender is not authenticated.
    #[must_use]
    pub fn as_anonymous(&self) -> Actor {
        Actor { id: None, name: "anonymous".into(), ip: Some(self.ip), request_id: self.request_id.clone() }
    }
}

/// Finds out where the request comes from, and gives it an id, which is returned: its answer says it, too.
pub fn identify(app: &App, request: &mut Request) -> Option<HeaderValue> {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip().to_canonical());
    let trusted = app.trusted_proxies.load_full();
    let headers = request.headers();
    let is_proxied = peer.is_some_and(|peer| is_trusted(peer, &trusted));
    let scheme = headers.get("x-forwarded-proto").filter(|_| is_proxied).map(HeaderValue::as_bytes);
    let host = headers.get(header::HOST).map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned());
    let info = ClientInfo {
        ip: peer.map_or(Address::UNKNOWN, |peer| Address(client_address(peer, headers, &trusted))),
        is_https: scheme.map_or(app.config.is_https() && is_proxied, |scheme| scheme.eq_ignore_ascii_case(b"https")),
        is_from_unknown_proxy: !is_proxied && headers.contains_key("x-forwarded-for"),
        host: host.unwrap_or_default(),
        request_id: secret::random_uuid().map(|id| id.simple().to_string()).unwrap_or_default(),
    };
    let id = HeaderValue::from_str(&info.request_id).ok();
    request.extensions_mut().insert(info);
    id
}

/// The client's address: `X-Forwarded-For` is read from its right end while the sender is a trusted
/// proxy. An entry that is no address ends the walk: nothing left of it is used, and the result is
/// the last address that a trusted peer reported.
fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[ipnet::IpNet]) -> IpAddr {
    let mut address = peer;
    let lines = headers.get_all("x-forwarded-for").iter().rev();
    for line in lines {
        for entry in line.as_bytes().rsplit(|byte| *byte == b',') {
            if !is_trusted(address, trusted) {
                return address;
            }
            let Some(next) = std::str::from_utf8(entry).ok().and_then(|text| parse_entry(text.trim_matches([' ', '\t']))) else {
                return address;
            };
            address = next;
        }
    }
    address
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

/// Whether an address is a trusted proxy's: as it is written, as the IPv4 address that a translator
/// shows in IPv6, or as an IPv4-mapped one, where the setting names such a network.
#[must_use]
pub fn is_trusted(address: IpAddr, trusted: &[ipnet::IpNet]) -> bool {
    let translated = Address(address).translated().map(|address| address.0);
    let mapped = match address {
        IpAddr::V4(ip) => Some(ip.to_ipv6_mapped()),
        IpAddr::V6(_) => None,
    };
    trusted.iter().any(|network| {
        network.contains(&address)
            || translated.is_some_and(|translated| network.contains(&translated))
            // A shorter prefix than that of all mapped addresses says nothing of IPv4.
            || (network.prefix_len() >= 96 && mapped.is_some_and(|mapped| network.contains(&IpAddr::V6(mapped))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwarded_addresses_are_believed_from_trusted_proxies_only() {
        let trusted: Vec<ipnet::IpNet> =
            ["10.0.0.0/8", "::1/128", "::ffff:172.16.0.0/112"].map(|network| network.parse().unwrap()).into();
        for (peer, lines, want) in [
            ("10.0.0.1", vec![], "10.0.0.1"),
            ("192.0.2.9", vec!["1.2.3.4"], "192.0.2.9"),
            ("10.0.0.1", vec!["1.2.3.4"], "1.2.3.4"),
            ("10.0.0.1", vec!["6.6.6.6, 1.2.3.4"], "1.2.3.4"),
            ("10.0.0.1", vec!["1.2.3.4, 10.9.9.9"], "1.2.3.4"),
            ("10.0.0.1", vec!["6.6.6.6", "1.2.3.4", "10.2.2.2"], "1.2.3.4"),
            ("10.0.0.1", vec!["10.1.1.1, 10.2.2.2"], "10.1.1.1"),
            ("10.0.0.1", vec!["1.2.3.4:567"], "1.2.3.4"),
            ("::1", vec!["[2001:db8::1]:567"], "2001:db8::1"),
            ("::1", vec!["[2001:db8::1]"], "2001:db8::1"),
            ("::1", vec!["::ffff:1.2.3.4"], "1.2.3.4"),
            ("10.0.0.1", vec!["1.2.3.4, junk"], "10.0.0.1"),
            ("10.0.0.1", vec!["1.2.3.4, junk, 10.2.2.2"], "10.2.2.2"),
            ("10.0.0.1", vec!["\"1.2.3.4\""], "10.0.0.1"),
            ("10.0.0.1", vec!["1.2.3.4,"], "10.0.0.1"),
            ("10.0.0.1", vec!["unknown"], "10.0.0.1"),
            ("10.0.0.1", vec!["1.2.3.4,\t 5.6.7.8 \t"], "5.6.7.8"),
            ("::1", vec!["2001:db8::1", "[fd00::%1]:1"], "::1"),
            ("64:ff9b::10.0.0.1", vec!["1.2.3.4"], "1.2.3.4"),
            ("64:ff9b:1::a00:1", vec!["1.2.3.4, 64:ff9b::10.0.0.2"], "1.2.3.4"),
            ("64:ff9b::11.0.0.1", vec!["1.2.3.4"], "64:ff9b::b00:1"),
            // The near end of a tunnel says nothing of the host behind it.
            ("2002:a00:1::1", vec!["1.2.3.4"], "2002:a00:1::1"),
            ("2001:db8::5efe:10.0.0.1", vec!["1.2.3.4"], "2001:db8::5efe:a00:1"),
            ("172.16.0.1", vec!["1.2.3.4"], "1.2.3.4"),
            ("172.17.0.1", vec!["1.2.3.4"], "172.17.0.1"),
        ] {
            let mut headers = HeaderMap::new();
            for line in &lines {
                headers.append("x-forwarded-for", HeaderValue::from_str(line).unwrap());
            }
            let got = client_address(peer.parse().unwrap(), &headers, &trusted);
            assert_eq!(got.to_string(), want, "{peer} {lines:?}");
        }
        let mut headers = HeaderMap::new();
        for blank in ["\u{2000}", "\u{a0}", "\u{feff}"] {
            let mut headers = HeaderMap::new();
            headers.append("x-forwarded-for", HeaderValue::from_bytes(format!("1.2.3.4,{blank}5.6.7.8").as_bytes()).unwrap());
            assert_eq!(client_address("10.0.0.1".parse().unwrap(), &headers, &trusted).to_string(), "10.0.0.1", "{blank:?}");
        }
        headers.append("x-forwarded-for", HeaderValue::from_bytes(b"1.2.3.4, \xff").unwrap());
        assert_eq!(client_address("10.0.0.1".parse().unwrap(), &headers, &trusted).to_string(), "10.0.0.1");
    }
}
