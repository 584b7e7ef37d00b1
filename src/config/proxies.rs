//! Which peers are proxies that are believed, and by which header they tell the client's address.

use std::net::IpAddr;

use axum::http::HeaderName;
use ipnet::IpNet;

use crate::config::kinds::is_host_name;
use crate::config::section::Kind;

/// Addresses of this machine.
const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1/128"];
/// Networks that are not routed: RFC 1918, RFC 4193, and link-local ones.
const PRIVATE: [&str; 6] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "169.254.0.0/16", "fe80::/10"];

/// `http.trusted_proxies`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    /// Networks, those of the words `loopback` and `private` among them.
    pub networks: Vec<IpNet>,
    /// Whether peers on Unix sockets are trusted.
    pub has_unix: bool,
    /// Whether the word `private` was given.
    pub has_private: bool,
    /// Names, whose addresses are looked up again and again.
    pub names: Vec<String>,
}

impl TrustedProxies {
    /// Whether nobody is trusted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Reads networks, addresses, words and names, separated by commas. `None` when one of them is none of these.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut all = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let known = |networks: &[&str]| networks.iter().filter_map(|network| network.parse::<IpNet>().ok()).collect::<Vec<_>>();
            match part {
                "loopback" => all.networks.extend(known(&LOOPBACK)),
                "private" => {
                    all.networks.extend(known(&PRIVATE));
                    all.has_private = true;
                }
                "unix" => all.has_unix = true,
                _ => match part.parse::<IpNet>().or_else(|_| part.parse::<IpAddr>().map(Into::into)) {
                    Ok(network) => all.networks.push(network),
                    Err(_) if is_host_name(part) => all.names.push(part.to_owned()),
                    Err(_) => return None,
                },
            }
        }
        Some(all)
    }
}

/// `http.client_address`: the one header in which trusted proxies tell the client's address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ClientAddress {
    /// `X-Forwarded-For`, a list.
    #[default]
    XForwardedFor,
    /// `Forwarded` of RFC 7239, a list.
    Forwarded,
    /// No header: the peer is the client.
    Peer,
    /// A header with one address.
    Single(HeaderName),
}

pub(super) const PROXIES: Kind<TrustedProxies> =
    Kind::new("networks such as 10.0.0.0/8, loopback, private, unix or names, separated by commas", TrustedProxies::parse);

pub(super) const CLIENT_ADDRESS: Kind<ClientAddress> =
    Kind::new("x-forwarded-for, forwarded, none, or the name of a header with one address", |text| {
        match text.to_ascii_lowercase().as_str() {
            "x-forwarded-for" => Some(ClientAddress::XForwardedFor),
            "forwarded" => Some(ClientAddress::Forwarded),
            "none" => Some(ClientAddress::Peer),
            name => HeaderName::from_bytes(name.as_bytes()).ok().map(ClientAddress::Single),
        }
    });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_networks_and_names_are_told_apart() {
        let all = TrustedProxies::parse("loopback, 10.0.0.5, unix, traefik, proxy-1.example.com, 2001:db8::/32").unwrap();
        let networks: Vec<String> = all.networks.iter().map(ToString::to_string).collect();
        assert_eq!(networks, ["127.0.0.0/8", "::1/128", "10.0.0.5/32", "2001:db8::/32"]);
        assert_eq!(all.names, ["traefik", "proxy-1.example.com"]);
        assert!(all.has_unix && !all.has_private);
        let private = TrustedProxies::parse("private").unwrap();
        assert!(private.has_private && !private.has_unix && private.networks.len() == 6);
        assert!(TrustedProxies::parse("").unwrap().is_empty() && TrustedProxies::parse(" , ").unwrap().is_empty());
        // What may be a mistyped address is no name.
        for text in
            ["10.0.0.0/99", "10.0.0", "10.0.0.256", "1.2.3.4.5", "0x7f000001", "a b", "*", "*.example", "a/24", "[::1]", "::1:80:x"]
        {
            assert_eq!(TrustedProxies::parse(text), None, "{text}");
        }
    }

    #[test]
    fn one_header_is_chosen() {
        let read = |text: &str| (CLIENT_ADDRESS.read)(text);
        assert_eq!(read("X-Forwarded-For"), Some(ClientAddress::XForwardedFor));
        assert_eq!(read("forwarded"), Some(ClientAddress::Forwarded));
        assert_eq!(read("none"), Some(ClientAddress::Peer));
        assert_eq!(read("CF-Connecting-IP"), Some(ClientAddress::Single(HeaderName::from_static("cf-connecting-ip"))));
        assert_eq!((read(""), read("x real ip"), read("x-real-ip,forwarded")), (None, None, None));
    }
}
