//! `[http]`: how requests are read.

use std::time::Duration;

use crate::config::kinds::DURATION;
use crate::config::proxies::{CLIENT_ADDRESS, ClientAddress, PROXIES, TrustedProxies};
use crate::config::section::{Kind, section};

section! {
    /// How requests are read.
    pub struct HttpConfig [http] {
        /// Proxies that are believed about the address and the scheme of their clients: networks, addresses,
        /// `loopback`, `private`, `unix`, or names.
        ///
        /// `private` is all networks that are not routed, `unix` every peer on a Unix socket. Names are looked up
        /// at start and every 30 s; when that fails, the last answer holds for 5 minutes.
        trusted_proxies: TrustedProxies = PROXIES, default "";

        /// The header in which trusted proxies tell the client's address: `x-forwarded-for`, `forwarded` (RFC
        /// 7239), `none`, or the name of a header with one address, such as `x-real-ip`.
        ///
        /// No other is read. The scheme comes from `X-Forwarded-Proto`, or with `forwarded` from its `proto`.
        client_address: ClientAddress = CLIENT_ADDRESS, default "x-forwarded-for";

        /// Where people reach the server: scheme and host, without a path.
        ///
        /// With https, cookies are Secure and their names start with `__Host-`. Passkeys are made
        /// for the host.
        public_url: Option<PublicUrl> = PUBLIC_URL, unset "none", example "https://sessions.example.com";

        /// The most connections at once; more wait in the listen queue.
        ///
        /// It is lowered where the process may open fewer files (`ulimit -n`): 48 of them are kept
        /// for the database and other files.
        max_connections: usize = COUNT, default "8192";

        /// The most connections at once from one address, or from one IPv6 network of /64.
        ///
        /// More are closed at once. It does not hold for trusted proxies. One address has at most
        /// three quarters of all.
        max_connections_per_address: usize = COUNT, default "512";

        /// How long the server goes on after SIGTERM before it takes no more connections.
        ///
        /// `/-/health/ready/` answers 503 from the first moment, so that a load balancer has this long
        /// to notice. The stop takes up to 10 s more.
        shutdown_delay: Duration = DURATION, default "0s";

        /// Whether browsers are told to use https for a year (`Strict-Transport-Security`): `off`, for this
        /// `host`, or for all hosts below it, too (`subdomains`).
        hsts: Hsts = HSTS, default "host";

        /// The mode of Unix sockets, four octal digits.
        socket_mode: u32 = MODE, default "0660";
    }
}

/// Which hosts browsers are told to open by https alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hsts {
    /// None.
    Off,
    /// The server's.
    Host,
    /// The server's, and all below it.
    Subdomains,
}

const HSTS: Kind<Hsts> = Kind::new("off, host or subdomains", |text| match text {
    "off" => Some(Hsts::Off),
    "host" => Some(Hsts::Host),
    "subdomains" => Some(Hsts::Subdomains),
    _ => None,
});

/// Four digits, since `432` may be a number in decimal that was written as `0o660`.
const MODE: Kind<u32> = Kind::new("a mode such as \"0660\"", |text| {
    let is_mode = text.len() == 4 && text.starts_with('0') && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    u32::from_str_radix(text, 8).ok().filter(|_| is_mode)
});

const COUNT: Kind<usize> =
    Kind::new("a whole number above zero", |text| text.parse().ok().filter(|count| *count > 0 && *count <= 1_000_000));

const PUBLIC_URL: Kind<PublicUrl> =
    Kind::new("an address such as https://sessions.example.com", PublicUrl::parse).explained(|text| {
        let uri: axum::http::Uri = text.parse().ok()?;
        let has_path = matches!(uri.scheme_str(), Some("http" | "https")) && !matches!(uri.path(), "" | "/");
        has_path.then_some(
            "has a path. Applications on one host name can act for each other's users: give Rollcall a host name of its own",
        )
    });

/// An address people use: scheme and host, without a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    origin: String,
}

impl PublicUrl {
    /// `https://host[:port]`, lower-case, without a slash at its end.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The host, without a port.
    #[must_use]
    pub fn host(&self) -> &str {
        let authority = self.origin.split_once("//").map_or("", |(_, authority)| authority);
        match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => authority,
        }
    }

    /// Whether it leads to the machine itself.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let host = self.host();
        let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
        host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
    }

    /// Whether it is https, so that cookies are `Secure` and `__Host-`.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.origin.starts_with("https:")
    }

    /// Reads an address; `None` for one with a path, a query or a user, and for other schemes than http and https.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let uri: axum::http::Uri = text.parse().ok()?;
        let scheme = uri.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https"))?;
        let host = uri.authority()?.as_str();
        let is_bare = matches!(uri.path(), "" | "/") && uri.query().is_none() && !host.contains('@');
        // As browsers write it: without the port that the scheme has anyway.
        let default_port = if scheme == "https" { ":443" } else { ":80" };
        let host = host.strip_suffix(default_port).unwrap_or(host);
        is_bare.then(|| Self { origin: format!("{scheme}://{host}").to_lowercase() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_an_ipv6_url_keeps_its_brackets() {
        assert_eq!(PublicUrl::parse("http://[::1]:9000").unwrap().host(), "[::1]");
    }

    #[test]
    fn loopback_is_the_machine_itself() {
        for (url, is_loopback) in [
            ("http://127.0.0.1:9000", true),
            ("http://[::1]", true),
            ("http://localhost:9000", true),
            ("http://localhost.example.com", false),
            ("http://127.0.0.1.example.com", false),
            ("http://10.0.0.1", false),
        ] {
            assert_eq!(PublicUrl::parse(url).unwrap().is_loopback(), is_loopback, "{url}");
        }
    }

    #[test]
    fn the_origin_is_written_as_browsers_write_it() {
        for (url, origin) in [
            ("https://S.example:443/", "https://s.example"),
            ("http://s.example:80", "http://s.example"),
            ("https://s.example:80", "https://s.example:80"),
            ("https://[2001:db8::1]:443", "https://[2001:db8::1]"),
            ("https://s.example:8443", "https://s.example:8443"),
        ] {
            assert_eq!(PublicUrl::parse(url).unwrap().origin(), origin);
        }
    }
}
