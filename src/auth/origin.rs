//! Origins (RFC 6454): the one that a browser reports for a request, and this server's. They are
//! compared by their parts, since one origin can be written in several ways.

use std::net::Ipv6Addr;

use crate::actions::app::App;
use crate::http::client::ClientInfo;

/// Scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    is_https: bool,
    /// In lower case; an IPv6 address in brackets, in its shortest form.
    host: String,
    port: u16,
}

impl Origin {
    /// Reads `scheme://host[:port]`, and nothing behind it. `None` for `null`, for other schemes than http
    /// and https, and for what is no origin.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let is_https = scheme.eq_ignore_ascii_case("https");
        if is_https || scheme.eq_ignore_ascii_case("http") { Self::of_host(is_https, authority) } else { None }
    }

    /// The origin of a request with this `Host`.
    #[must_use]
    pub fn of_host(is_https: bool, authority: &str) -> Option<Self> {
        let default_port = if is_https { 443 } else { 80 };
        let (host, port) = match authority.rsplit_once(':') {
            // The colons of an IPv6 address are no mark of a port.
            Some((host, port)) if !port.ends_with(']') => (host, read_port(port, default_port)?),
            _ => (authority, default_port),
        };
        Some(Self { is_https, host: read_host(host)?, port })
    }
}

/// An empty port is the default one (RFC 3986, 3.2.3).
fn read_port(text: &str, default_port: u16) -> Option<u16> {
    if text.is_empty() {
        return Some(default_port);
    }
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn read_host(text: &str) -> Option<String> {
    if let Some(inside) = text.strip_prefix('[') {
        let address: Ipv6Addr = inside.strip_suffix(']')?.parse().ok()?;
        return Some(format!("[{address}]"));
    }
    // The dot at the end of a full name changes nothing about where it leads.
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
    is_name.then(|| name.to_ascii_lowercase())
}

/// Whether an origin, as a browser writes it, is this server's: the request's own, or that of
/// `http.public_url`.
#[must_use]
pub fn is_own(origin: &str, client: &ClientInfo, app: &App) -> bool {
    let Some(origin) = Origin::parse(origin) else { return false };
    let own = Origin::of_host(client.is_https, &client.host);
    let public = app.config.http.public_url.as_ref().and_then(|url| Origin::parse(url.origin()));
    [own, public].into_iter().flatten().any(|own| own == origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_origin_has_several_spellings() {
        for (one, other) in [
            ("https://s.example", "https://s.example:443"),
            ("https://s.example", "HTTPS://S.Example"),
            ("https://s.example", "https://s.example."),
            ("https://s.example:443", "https://s.example.:443"),
            ("https://s.example", "https://s.example:"),
            ("https://s.example", "https://s.example:0443"),
            ("http://s.example", "http://s.example:80"),
            ("http://[2001:db8::1]", "http://[2001:DB8:0:0::1]:80"),
            ("http://[::1]:9000", "http://[0:0:0:0:0:0:0:1]:9000"),
        ] {
            assert!(Origin::parse(one).is_some() && Origin::parse(one) == Origin::parse(other), "{one} {other}");
        }
    }

    #[test]
    fn other_origins_stay_other_ones() {
        for (one, other) in [
            ("https://s.example", "http://s.example"),
            ("https://s.example", "http://s.example:443"),
            ("https://s.example", "https://s.example:80"),
            ("https://s.example:8443", "https://s.example"),
            ("https://s.example", "https://t.example"),
            ("https://s.example", "https://s.example.evil.example"),
            ("https://s.example", "https://evil-s.example"),
            ("http://[2001:db8::1]", "http://[2001:db8::2]"),
            ("http://[::1]", "http://[::1]:1"),
        ] {
            assert!(Origin::parse(one).is_some() && Origin::parse(other).is_some(), "{one} {other}");
            assert_ne!(Origin::parse(one), Origin::parse(other));
        }
        for none in [
            "",
            "null",
            "NULL",
            "s.example",
            "//s.example",
            "https://",
            "https://.",
            "https://:443",
            "https://s.example/",
            "https://s.example/x",
            "https://s.example?x",
            "https://s.example#x",
            "https://u@s.example",
            "https://s.example@evil.example",
            "https://s.example:443:443",
            "https://s.example:+443",
            "https://s.example:99999",
            "https://s.example:x",
            "https://[::1",
            "https://::1",
            "https://[s.example]",
            "https://s.example https://t.example",
            "https://s.example, https://t.example",
            " https://s.example",
            "https://s.example ",
            "https://s\u{3002}example",
            "file://s.example",
            "chrome-extension://s.example",
        ] {
            assert_eq!(Origin::parse(none), None, "{none:?}");
        }
    }
}
