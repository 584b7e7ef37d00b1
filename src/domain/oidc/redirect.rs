//! Redirect addresses: what may be registered, and what is the same as a registered one.
//!
//! They are compared octet by octet (RFC 9700, 2.1). The one exception are literal addresses of the machine itself, which
//! admit any port (RFC 8252, 7.3).

use std::fmt;

use percent_encoding::percent_decode_str;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest address, in bytes.
pub const MAX_LENGTH: usize = 2048;
/// Schemes that run or read something in the browser.
const SCRIPTS: [&str; 7] = ["javascript", "data", "file", "blob", "vbscript", "about", "view-source"];
/// Names that an answer adds to the query.
const OURS: [&str; 6] = ["code", "state", "iss", "error", "id_token", "response"];

/// Why an address cannot be registered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedirectRule {
    /// It is empty or too long.
    #[error("a redirect address has 1 to {MAX_LENGTH} bytes")]
    Length,
    /// It holds what addresses do not hold, or what others read in another way.
    #[error(
        "{0:?} cannot be a redirect address: it has no user, no #, no *, no \\, no blanks, no . and .. segments, and only ASCII characters"
    )]
    Characters(String),
    /// Its scheme is none of those that lead back to an app.
    #[error(
        "{0:?} cannot be a redirect address: it begins with https://, with http:// for loopback, or with a scheme that has a dot"
    )]
    Scheme(String),
    /// `http` for a host that is not this machine.
    #[error(
        "{0:?} is plain http for another machine: codes would be readable on the way. Use https, or name the host in oidc.plain_hosts"
    )]
    Plain(String),
    /// Its query has a name that an answer adds.
    #[error("{0:?} has {1} in its query, which answers add themselves")]
    Query(String, &'static str),
}

/// A registered redirect address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RedirectUri(String);

impl RedirectUri {
    /// Reads an address that may be registered. `plain` are hosts other than this machine that may use `http`.
    ///
    /// # Errors
    /// The rule it breaks.
    pub fn parse(text: &str, plain: &[String]) -> Result<Self, RedirectRule> {
        if text.is_empty() || text.len() > MAX_LENGTH {
            return Err(RedirectRule::Length);
        }
        let is_plain_text = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"*\\#\"<>^`{|}".contains(&byte));
        let (scheme, rest) = text.split_once(':').ok_or_else(|| RedirectRule::Scheme(text.to_owned()))?;
        if !is_plain_text || has_dots(rest) {
            return Err(RedirectRule::Characters(text.to_owned()));
        }
        let address = Self(text.to_owned());
        match scheme {
            "https" | "http" => address.check_host(rest, scheme == "http", plain)?,
            own => check_private(own, rest, text)?,
        }
        let query = rest.split_once('?').map_or("", |(_, query)| query);
        let names = query.split('&').map(|pair| pair.split('=').next().unwrap_or_default());
        let decoded: Vec<_> = names.map(|name| percent_decode_str(name).decode_utf8_lossy().to_ascii_lowercase()).collect();
        match OURS.into_iter().find(|name| decoded.iter().any(|given| given == name)) {
            Some(name) => Err(RedirectRule::Query(text.to_owned(), name)),
            None => Ok(address),
        }
    }

    fn check_host(&self, rest: &str, is_http: bool, plain: &[String]) -> Result<(), RedirectRule> {
        let wrong = || RedirectRule::Characters(self.0.clone());
        let authority = rest.strip_prefix("//").and_then(|rest| rest.split(['/', '?']).next()).unwrap_or_default();
        let (host, port) = split_port(authority).ok_or_else(wrong)?;
        let is_port = port.is_none_or(is_port);
        let bytes = host.trim_start_matches('[').trim_end_matches(']');
        let is_host = !bytes.is_empty() && bytes.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte));
        if !is_port || !is_host || host.ends_with('.') {
            return Err(wrong());
        }
        let is_here = host == "localhost" || is_loopback(host);
        if is_http && !is_here && !plain.iter().any(|known| known == host) {
            return Err(RedirectRule::Plain(self.0.clone()));
        }
        Ok(())
    }

    /// The address as it was registered.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether an address that was asked for is this one.
    #[must_use]
    pub fn is(&self, asked: &str) -> bool {
        asked == self.0 || self.is_with_other_port(asked)
    }

    fn is_with_other_port(&self, asked: &str) -> bool {
        let parts = |text| {
            let rest = str::strip_prefix(text, "http://")?;
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            let (authority, path) = rest.split_at(end);
            let (host, port) = split_port(authority)?;
            (is_loopback(host) && port.is_none_or(is_port)).then_some((host, path))
        };
        parts(&self.0).is_some_and(|own| parts(asked) == Some(own))
    }

    /// `scheme://host[:port]` of an https or http address: the origin whose scripts are the app's.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        let start = ["https://", "http://"].into_iter().find(|start| self.0.starts_with(start))?.len();
        let end = self.0.get(start..)?.find(['/', '?']).map_or(self.0.len(), |end| start + end);
        self.0.get(..end)
    }
}

/// Host and port of an authority; `None` for one with a user.
fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    if authority.contains('@') {
        return None;
    }
    if let Some(end) = authority.find(']') {
        let (host, rest) = authority.split_at(end + 1);
        return match rest.strip_prefix(':') {
            Some(port) => Some((host, Some(port))),
            None => rest.is_empty().then_some((host, None)),
        };
    }
    Some(authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))))
}

/// A port as browsers write it, above 0.
fn is_port(text: &str) -> bool {
    let is_short = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    is_short && text.parse::<u16>().is_ok()
}

/// The literal addresses of the machine itself, each in its one spelling.
fn is_loopback(host: &str) -> bool {
    host == "127.0.0.1" || host == "[::1]"
}

/// Whether a path has a segment of dots, also encoded and with parameters.
fn has_dots(rest: &str) -> bool {
    let path = rest.split('?').next().unwrap_or_default();
    let decoded = percent_decode_str(path).decode_utf8_lossy().into_owned();
    let twice = percent_decode_str(&decoded).decode_utf8_lossy().into_owned();
    [path.to_owned(), decoded, twice].iter().any(|path| {
        let is_dots = |segment: &str| matches!(segment.split(';').next().unwrap_or_default(), "." | "..");
        path.contains('\\') || path.split('/').any(is_dots) || path.chars().any(char::is_control)
    })
}

/// A scheme of an app's own has a dot, which those of others have not (RFC 8252, 7.1), and no host.
fn check_private(scheme: &str, rest: &str, text: &str) -> Result<(), RedirectRule> {
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte));
    let is_known = SCRIPTS.contains(&scheme.to_ascii_lowercase().as_str());
    let is_right = is_scheme && scheme.contains('.') && !is_known && rest.starts_with('/') && !rest.starts_with("//");
    if is_right { Ok(()) } else { Err(RedirectRule::Scheme(text.to_owned())) }
}

impl fmt::Display for RedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for RedirectUri {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RedirectUri {
    /// What is stored was checked; what is given is checked by the client's own rules, which know the settings.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() || text.len() > MAX_LENGTH {
            return Err(D::Error::custom(RedirectRule::Length));
        }
        Ok(Self(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGISTERED: [&str; 3] = ["https://app.example/cb", "http://127.0.0.1/cb", "com.example.app:/cb"];

    /// Addresses that led browsers or apps elsewhere; none of them is one of the registered three.
    const HOSTILE: &str = "https://app.example/cb/   https://app.example/CB   HTTPS://app.example/cb   https://APP.example/cb   \
        https://app.example:443/cb   http://app.example/cb   https://app.example/cb?   https://app.example/cb?x=1   \
        https://app.example/cb#   https://app.example/cb#@evil.example   https://app.example/cb/../x   \
        https://app.example/cb/..;/x   https://app.example/%63b   https://app.example/cb%2f..%2fx   https://app.example//cb   \
        https://app.example\\@evil.example/cb   https://app.example@evil.example/cb   https://evil.example@app.example/cb   \
        https://a@b@app.example/cb   https://app.example.evil.example/cb   https://evilapp.example/cb   https://app.example./cb   \
        https://аpp.example/cb   https://app.example/cb%00.evil.example   https://app.example/cb%0d%0aX:y   //app.example/cb   /cb   \
        javascript:alert(1)//https://app.example/cb   data:text/html,x   http://localhost:4000/cb   \
        http://127.0.0.1.evil.example/cb   http://127.1:4000/cb   http://2130706433/cb   http://[::ffff:127.0.0.1]:4000/cb   \
        https://127.0.0.1:4000/cb   http://127.0.0.1:4000/cb/   http://127.0.0.1:0/cb   http://127.0.0.1:99999/cb   \
        http://127.0.0.1:80@evil.example/cb   com.example.app://evil/cb   COM.EXAMPLE.APP:/cb   \
        https://app.example/cb?code=x&iss=y   https://app.example/cb&state=x   http://127.0.0.1:080/cb   http://127.0.0.1:/cb";

    fn parse(text: &str) -> Result<RedirectUri, RedirectRule> {
        RedirectUri::parse(text, &["nas.home".to_owned()])
    }

    #[test]
    fn only_what_was_registered_is_the_same() {
        let registered = REGISTERED.map(|text| parse(text).unwrap());
        let is_registered = |text: &str| registered.iter().any(|known| known.is(text));
        for good in
            REGISTERED.into_iter().chain(["http://127.0.0.1:4000/cb", "http://127.0.0.1:80/cb", "http://127.0.0.1:65535/cb"])
        {
            assert!(is_registered(good), "{good}");
        }
        let long = format!("https://app.example/cb{}", "b".repeat(100_000));
        let others = [" https://app.example/cb", "https://app.example/\tcb", "https://app.example/c\nb", "", long.as_str()];
        for bad in HOSTILE.split("   ").chain(others) {
            assert!(!is_registered(bad), "{bad}");
        }
    }

    #[test]
    fn what_leads_elsewhere_cannot_be_registered() {
        for good in [
            "https://app.example",
            "https://app.example/",
            "https://app.example:8443/cb?x=1&tenant=a%20b",
            "http://127.0.0.1:4000/cb",
            "http://[::1]/cb",
            "http://localhost:3000/cb",
            "http://nas.home/cb",
            "com.example.app:/cb",
            "https://xn--mnchen-3ya.example/cb",
        ] {
            assert_eq!(parse(good).map(|uri| uri.to_string()).as_deref(), Ok(good));
        }
        let long = format!("https://app.example/{}", "x".repeat(2048));
        for bad in [
            "",
            &long,
            "https://app.example/cb#x",
            "https://*.example/cb",
            "https://user@app.example/cb",
            "https://app.example\\cb",
            "https://app.example/c b",
            "https://app.example/a/../cb",
            "https://app.example/a/%2e%2e/cb",
            "https://app.example/a/%252e%252e/cb",
            "https://app.example/..;x/cb",
            "https://app.example/%00",
            "https://müller.example/cb",
            "https:///cb",
            "https:app.example/cb",
            "https://app.example./cb",
            "https://app.example:0/cb",
            "https://app.example:99999/cb",
            "HTTPS://app.example/cb",
            "http://app.example/cb",
            "http://127.0.0.1.evil.example/cb",
            "javascript:alert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "blob:https://app.example/x",
            "myapp:/cb",
            "myapp://cb",
            "com.example.app://cb",
            "//app.example/cb",
            "/cb",
            "https://app.example/cb?code=x",
            "https://app.example/cb?a=b&%73tate=1",
            "https://app.example/cb?ISS=x",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_origin_is_that_of_pages() {
        for (uri, origin) in [
            ("https://app.example:8443/cb?x=1", Some("https://app.example:8443")),
            ("http://[::1]:80", Some("http://[::1]:80")),
            ("https://app.example?x=1", Some("https://app.example")),
            ("com.example.app:/cb", None),
        ] {
            assert_eq!(parse(uri).unwrap().origin(), origin, "{uri}");
        }
    }
}
