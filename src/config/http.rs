//! `[http]`: how requests are read.

use crate::config::section::{Kind, section};

section! {
    /// How requests are read.
    pub struct HttpConfig [http] {
        /// Proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed: networks or addresses.
        trusted_proxies: Vec<ipnet::IpNet> = NETWORKS, default "";

        /// Where people reach the server: scheme and host, without a path.
        ///
        /// With https, cookies are Secure and their names start with `__Host-`. Passkeys are made
        /// for the host.
        public_url: Option<PublicUrl> = PUBLIC_URL, unset "none", example "https://sessions.example.com";
    }
}

const NETWORKS: Kind<Vec<ipnet::IpNet>> = Kind::new("networks such as 10.0.0.0/8, separated by commas", |text| {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| part.parse().or_else(|_| part.parse::<std::net::IpAddr>().map(Into::into)).ok())
        .collect()
});

const PUBLIC_URL: Kind<PublicUrl> = Kind::new("an address such as https://sessions.example.com", PublicUrl::parse);

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

    /// Whether it is https, so that cookies are `Secure` and `__Host-`.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.origin.starts_with("https:")
    }

    fn parse(text: &str) -> Option<Self> {
        let uri: axum::http::Uri = text.parse().ok()?;
        let scheme = uri.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https"))?;
        let host = uri.authority()?.as_str();
        let is_bare = matches!(uri.path(), "" | "/") && uri.query().is_none() && !host.contains('@');
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
}
