//! Where apps are told of ends: addresses that Rollcall itself sends to, and which of them it may reach. An app's owner chooses
//! the address, so it must not lead into the network that Rollcall is in (server-side request forgery).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::domain::{Address, Network};

/// The longest address, in bytes.
const MAX_LENGTH: usize = 2048;

/// Why nothing is sent to an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetRule {
    /// It is no address of https or http, or written in a way that others read otherwise.
    #[error(
        "{0:?} is not an address such as https://app.example.com/logout: a name or an address in its usual spelling, no user, no #"
    )]
    Form(String),
    /// It is plain http, to a host that the settings do not name.
    #[error("{0:?} is plain http: use https, or name its network in outbound.allow")]
    Plain(String),
    /// It is an address of this machine or of a network that is not public.
    #[error("{0} is not a public address: name its network in outbound.allow, if apps are there")]
    Private(String),
    /// It is Rollcall's own.
    #[error("{0:?} is Rollcall's own address")]
    Own(String),
}

/// An address to send to, as it was given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Target(String);

/// Its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetHost {
    /// A name, to be looked up.
    Name(String),
    /// An address.
    Ip(Address),
}

/// A target, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Whether it is https.
    pub is_https: bool,
    /// Its host.
    pub host: TargetHost,
    /// Its port, said or not.
    pub port: u16,
    /// Host and port as they were given, for the header `Host`.
    pub authority: String,
    /// Path and query; at least `/`.
    pub path: String,
}

/// Where Rollcall itself is reached: nothing is sent there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Own {
    hosts: Vec<(TargetHost, u16)>,
    addresses: Vec<SocketAddr>,
}

impl Own {
    /// By its public address, and what it listens on: addresses, and names with their ports.
    #[must_use]
    pub fn new(origin: Option<&str>, names: &[(&str, u16)], addresses: Vec<SocketAddr>) -> Self {
        let public = origin.and_then(read).map(|parts| (parts.host, parts.port));
        let names = names.iter().filter_map(|(name, port)| Some((read_host(name)?, *port)));
        Self { hosts: public.into_iter().chain(names).collect(), addresses }
    }

    /// Whether a target names it.
    #[must_use]
    pub fn is_named(&self, target: &Parts) -> bool {
        self.hosts.iter().any(|(host, port)| *host == target.host && *port == target.port)
    }

    /// Whether it is reached at an address. One that listens on all addresses of this machine is reached on loopback.
    #[must_use]
    pub fn is_at(&self, address: SocketAddr) -> bool {
        let ip = Address(address.ip()).effective().0;
        self.addresses.iter().filter(|own| own.port() == address.port()).any(|own| {
            let own = Address(own.ip()).effective().0;
            own == ip || (own.is_unspecified() && (ip.is_loopback() || ip.is_unspecified()))
        })
    }
}

impl Target {
    /// An address as it is stored.
    #[must_use]
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Takes it apart.
    ///
    /// # Errors
    /// [`TargetRule::Form`].
    pub fn parts(&self) -> Result<Parts, TargetRule> {
        read(&self.0).ok_or_else(|| TargetRule::Form(self.0.clone()))
    }

    /// Whether it may be given to a client: what can be said of it before its name is looked up.
    ///
    /// # Errors
    /// The rule it breaks.
    pub fn check(&self, allow: &[Network], own: &Own) -> Result<(), TargetRule> {
        let parts = self.parts()?;
        if own.is_named(&parts) {
            return Err(TargetRule::Own(self.0.clone()));
        }
        if !parts.is_https && allow.is_empty() {
            return Err(TargetRule::Plain(self.0.clone()));
        }
        match parts.host {
            TargetHost::Ip(address) => may_reach(SocketAddr::new(address.0, parts.port), parts.is_https, allow, own),
            TargetHost::Name(_) => Ok(()),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn host_text(authority: &str) -> &str {
    let host = if authority.starts_with('[') { authority.split_inclusive(']').next() } else { authority.split(':').next() };
    host.unwrap_or_default()
}

/// Whether Rollcall may send to an address, given or one that a name led to. What is not https must be in a network that is
/// named.
///
/// # Errors
/// [`TargetRule::Own`], [`TargetRule::Private`] and [`TargetRule::Plain`].
pub fn may_reach(to: SocketAddr, is_https: bool, allow: &[Network], own: &Own) -> Result<(), TargetRule> {
    let address = Address(to.ip());
    if own.is_at(to) {
        return Err(TargetRule::Own(to.to_string()));
    }
    if allow.iter().any(|network| network.contains(address) || network.contains(address.effective())) {
        return Ok(());
    }
    if !is_https {
        return Err(TargetRule::Plain(address.to_string()));
    }
    // An IPv6 address that holds an IPv4 address leads to both.
    let are_public = is_public(address.0) && address.lookups().into_iter().flatten().all(is_public);
    if are_public { Ok(()) } else { Err(TargetRule::Private(address.to_string())) }
}

/// Whether an address is one that is routed everywhere, of one host (IANA's registries of special addresses).
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let is_special = matches!((a, b, c), (0 | 10 | 127 | 224..=255, _, _) | (169, 254, _) | (192, 168, _) | (192, 0, 0 | 2))
        || matches!((a, b, c), (100, 64..=127, _) | (172, 16..=31, _) | (198, 18 | 19, _) | (198, 51, 100) | (203, 0, 113))
        || matches!((a, b, c), (192, 88, 99) | (192, 31, 196) | (192, 52, 193) | (192, 175, 48));
    !is_special
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, ..] = ip.segments();
    // NAT64 shows public IPv4 hosts; the address in it is judged, too.
    let is_nat64 = ip.segments().starts_with(&[0x64, 0xff9b, 0, 0, 0, 0]);
    let is_documentation = (a == 0x2001 && b == 0xdb8) || (a == 0x3fff && b < 0x1000);
    let is_protocol = a == 0x2001 && b < 0x200;
    is_nat64 || (a & 0xe000 == 0x2000 && a != 0x2002 && !is_documentation && !is_protocol)
}

fn read(text: &str) -> Option<Parts> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\\#\"<>^`{|}@*".contains(&byte));
    let (scheme, rest) = text.split_once("://")?;
    let is_https = match scheme {
        "https" => true,
        "http" => false,
        _ => return None,
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if !is_plain || text.len() > MAX_LENGTH || path.starts_with('?') {
        return None;
    }
    let host = host_text(authority);
    let port = match authority.get(host.len()..)? {
        "" => {
            if is_https {
                443
            } else {
                80
            }
        }
        said => {
            let digits = said.strip_prefix(':')?;
            let is_usual = !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse().ok().filter(|_| is_usual)?
        }
    };
    let path = if path.is_empty() { "/" } else { path }.to_owned();
    Some(Parts { is_https, host: read_host(host)?, port, authority: authority.to_owned(), path })
}

/// A host in its usual spelling: others read `127.1`, `0x7f.1` or `2130706433` as addresses, and so it is refused.
fn read_host(host: &str) -> Option<TargetHost> {
    if let Some(inner) = host.strip_prefix('[') {
        return inner.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(|ip| TargetHost::Ip(Address(IpAddr::V6(ip))));
    }
    if let Ok(ip) = host.parse::<Ipv4Addr>() {
        return Some(TargetHost::Ip(Address(IpAddr::V4(ip))));
    }
    let is_label = |label: &str| {
        let is_known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        (1..=63).contains(&label.len()) && label.bytes().all(is_known) && !label.starts_with('-') && !label.ends_with('-')
    };
    let last = host.rsplit('.').next()?;
    let is_name = host.len() <= 253 && host.split('.').all(is_label) && last.starts_with(|first: char| first.is_ascii_alphabetic());
    is_name.then(|| TargetHost::Name(host.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, allow: &[&str]) -> Result<(), TargetRule> {
        let allow: Vec<Network> = allow.iter().map(|network| Network::parse(network).unwrap()).collect();
        let own = Own::new(Some("https://id.example"), &[("sso.internal", 9000)], vec!["0.0.0.0:9000".parse().unwrap()]);
        Target::stored(text.to_owned()).check(&allow, &own)
    }

    #[test]
    fn public_addresses_and_names_can_be_told() {
        for good in [
            "https://app.example/logout",
            "https://app.example",
            "https://app.example:8443/a?b=c",
            "https://1.1.1.1/x",
            "https://[2606:4700::1111]:444/x",
            "https://[64:ff9b::101:101]/x",
        ] {
            assert_eq!(check(good, &[]), Ok(()), "{good}");
        }
    }

    #[test]
    fn addresses_that_lead_inside_are_refused() {
        for bad in [
            "127.0.0.1",
            "127.8.9.1",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.127.1.1",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "192.0.2.1",
            "198.51.100.7",
            "203.0.113.9",
            "198.18.0.1",
            "192.0.0.8",
            "[::1]",
            "[::]",
            "[fe80::1]",
            "[fc00::1]",
            "[fd12:3456::1]",
            "[ff02::1]",
            "[2001:db8::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:10.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[64:ff9b::a00:1]",
            "[2002:7f00:1::]",
            "[2002:a00:1::1]",
            "[2001:0:1:1::1]",
            "[::7f00:1]",
            "[64:ff9b:1::7f00:1]",
            "[fec0::1]",
            "[100::1]",
        ] {
            let address = format!("https://{bad}/x");
            assert!(matches!(check(&address, &[]), Err(TargetRule::Private(_))), "{bad}: {:?}", check(&address, &[]));
        }
        for odd in [
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f.0.0.1/",
            "https://0177.0.0.1/",
            "https://127.0.0.1./",
            "https://app.example./",
            "https://a@app.example/",
            "https://app.example#/x",
            "https://app.example\\@10.0.0.1/",
            "https://APP.example/",
            "https://app.example:0/",
            "https://app.example:99999/",
            "https://app.example:+443/",
            "https://[::1/",
            "https://[::1%25eth0]/",
            "https:///x",
            "ftp://app.example/",
            "app.example",
            "",
            "https://ä.example/",
            "https://app.example/ x",
            "https://app.example/\r\nX: y",
            "https://-a.example/",
            "https://a..example/",
        ] {
            assert!(matches!(check(odd, &[]), Err(TargetRule::Form(_))), "{odd:?}: {:?}", check(odd, &[]));
        }
        assert!(matches!(check("http://app.example/x", &[]), Err(TargetRule::Plain(_))));
        assert!(matches!(check("http://1.1.1.1/x", &["10.0.0.0/8"]), Err(TargetRule::Plain(_))));
        for own in [
            "https://id.example/x",
            "https://id.example:443/x",
            "https://sso.internal:9000/x",
            "http://127.0.0.1:9000/x",
            "http://127.3.4.5:9000/x",
            "http://[::ffff:127.0.0.1]:9000/x",
            "https://[::1]:9000/x",
        ] {
            assert!(matches!(check(own, &["127.0.0.0/8", "::/0"]), Err(TargetRule::Own(_))), "{own}");
        }
    }

    #[test]
    fn a_network_that_is_named_can_be_reached() {
        assert_eq!(check("http://10.0.0.5:8080/x", &["10.0.0.0/8"]), Ok(()));
        assert_eq!(check("https://[::ffff:10.0.0.5]/x", &["10.0.0.0/8"]), Ok(()));
        assert!(check("https://192.168.0.1/x", &["10.0.0.0/8"]).is_err());
        assert_eq!(check("http://nas.home/x", &["10.0.0.0/8"]), Ok(()), "where the name leads is looked at later");
    }
}
