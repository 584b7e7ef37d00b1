//! Hosts of guards: `app.example.com`, `app.example.com:8443`, `*.example.com`.

use std::fmt;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::domain::application::rule::ApplicationRule;

/// The longest host name (RFC 1035), in bytes.
const MAX_NAME: usize = 253;
/// The longest label.
const MAX_LABEL: usize = 63;

/// The host of a request or of an address: an ASCII name in lower case and a port. The ports 80 and 443 are those
/// that addresses leave out, and count as none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host {
    /// `name` or `name:port`.
    text: String,
    /// How many bytes of it are the name.
    name: usize,
}

impl Host {
    /// Reads a host as a `Host` header and an address hold it: any letter case, one dot at the end is dropped. `None`
    /// for what is no plain host: user information, a path, an empty label, white space, a comma, IPv6, and names that
    /// are not ASCII (browsers send those in Punycode, `xn--…`).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (name, port) = match text.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        };
        let name = name.strip_suffix('.').unwrap_or(name);
        if name.len() > MAX_NAME || !name.split('.').all(is_label) {
            return None;
        }
        let mut host = Self { name: name.len(), text: name.to_ascii_lowercase() };
        if let Some(port) = port {
            let digits = !port.is_empty() && port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
            let port = port.parse::<u16>().ok().filter(|port| digits && *port > 0)?;
            if !matches!(port, 80 | 443) {
                host.text.push(':');
                host.text.push_str(&port.to_string());
            }
        }
        Some(host)
    }

    /// Reads a host as people type it: as [`Host::parse`], and names in other scripts become their A-labels (UTS 46, as
    /// browsers do): `münchen.example` is `xn--mnchen-3ya.example`.
    #[must_use]
    pub fn typed(text: &str) -> Option<Self> {
        if text.is_ascii() {
            return Self::parse(text);
        }
        let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
        let name = idna::domain_to_ascii_strict(name.strip_suffix('.').unwrap_or(name)).ok()?;
        Self::parse(&format!("{name}{port}"))
    }

    /// The host with its A-labels as the letters that they stand for; `None` when it has none, or one that means
    /// nothing.
    #[must_use]
    pub fn unicode(&self) -> Option<String> {
        if !self.name().split('.').any(|label| label.starts_with("xn--")) {
            return None;
        }
        let (text, read) = idna::domain_to_unicode(self.name());
        let port = self.text.get(self.name..).unwrap_or_default();
        (read.is_ok() && text != self.name()).then(|| format!("{text}{port}"))
    }

    /// `name` or `name:port`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name without the port.
    #[must_use]
    pub fn name(&self) -> &str {
        self.text.get(..self.name).unwrap_or_default()
    }

    /// The pattern with a `*` in place of the first label that this host fits; `None` for a name of one label.
    #[must_use]
    pub fn wildcard(&self) -> Option<String> {
        let (_, parent) = self.text.get(..self.name)?.split_once('.')?;
        Some(format!("*.{parent}{}", self.text.get(self.name..)?))
    }
}

fn is_label(label: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let ends = |byte: Option<&u8>| byte.is_some_and(|byte| *byte != b'-');
    let bytes = label.as_bytes();
    label.len() <= MAX_LABEL && bytes.iter().copied().all(inner) && ends(bytes.first()) && ends(bytes.last())
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A host that a guard has: a name, or `*.` and a name for all hosts with one more label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPattern {
    host: Host,
    is_wildcard: bool,
}

impl HostPattern {
    /// Reads `app.example.com`, `app.example.com:8443` or `*.example.com`. Names in other scripts become their A-labels
    /// ([`Host::typed`]).
    ///
    /// # Errors
    /// [`ApplicationRule::Host`] for what is no such host.
    pub fn parse(text: &str) -> Result<Self, ApplicationRule> {
        let text = text.trim();
        let (rest, is_wildcard) = text.strip_prefix("*.").map_or((text, false), |rest| (rest, true));
        match Host::typed(rest) {
            Some(host) => Ok(Self { host, is_wildcard }),
            None => Err(ApplicationRule::Host(text.to_owned())),
        }
    }

    /// The pattern with its A-labels as the letters that they stand for; `None` as of [`Host::unicode`].
    #[must_use]
    pub fn unicode(&self) -> Option<String> {
        Some(format!("{}{}", if self.is_wildcard { "*." } else { "" }, self.host.unicode()?))
    }

    /// Whether it fits more than one host.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.is_wildcard
    }

    /// The host; of a pattern with `*`, what follows the first label.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Whether it fits a host. `*` is exactly one label.
    #[must_use]
    pub fn fits(&self, host: &Host) -> bool {
        if self.is_wildcard { host.wildcard().is_some_and(|wildcard| wildcard == self.to_string()) } else { self.host == *host }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_wildcard { "*." } else { "" })?;
        self.host.fmt(f)
    }
}

impl Serialize for HostPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HostPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Option<String> {
        Host::parse(text).map(|host| host.to_string())
    }

    #[test]
    fn one_host_has_one_spelling() {
        for (text, expected) in [
            ("app.example", "app.example"),
            ("APP.Example", "app.example"),
            ("app.example.", "app.example"),
            ("app.example.:443", "app.example"),
            ("app.example:80", "app.example"),
            ("app.example:1234", "app.example:1234"),
            ("app.example:01234", "app.example:1234"),
            ("localhost", "localhost"),
            ("127.0.0.1:9000", "127.0.0.1:9000"),
            ("xn--mnchen-3ya.example", "xn--mnchen-3ya.example"),
            ("a_b.example", "a_b.example"),
        ] {
            assert_eq!(host(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_name_in_other_letters_is_stored_as_its_a_labels_and_shown_as_both() {
        for (typed, stored, shown) in [
            ("münchen.example", "xn--mnchen-3ya.example", Some("münchen.example")),
            ("MÜNCHEN.Example.", "xn--mnchen-3ya.example", Some("münchen.example")),
            ("*.münchen.example:8443", "*.xn--mnchen-3ya.example:8443", Some("*.münchen.example:8443")),
            ("straße.example", "xn--strae-oqa.example", Some("straße.example")),
            ("例え.テスト", "xn--r8jz45g.xn--zckzah", Some("例え.テスト")),
            ("xn--mnchen-3ya.example", "xn--mnchen-3ya.example", Some("münchen.example")),
            ("ａｐｐ.example", "app.example", None),
            ("app。example", "app.example", None),
            ("xn--a.example", "xn--a.example", None),
            ("app.example", "app.example", None),
        ] {
            let pattern = HostPattern::parse(typed).unwrap_or_else(|rule| panic!("{typed}: {rule}"));
            assert_eq!((pattern.to_string().as_str(), pattern.unicode().as_deref()), (stored, shown), "{typed}");
        }
        let bad = [
            "mün chen.example",
            "user@münchen.example",
            "münchen.example/a",
            "-ü.example",
            "ü..example",
            "münchen.example:x",
            "a\u{200b}.ü/",
            "ü.example:443:1",
            "\u{202e}ü.example",
            "*.*.ü.example",
        ];
        for bad in bad {
            assert_eq!(HostPattern::parse(bad), Err(ApplicationRule::Host(bad.to_owned())), "{bad}");
        }
        // A request's host is never mapped: browsers send A-labels.
        assert_eq!(Host::parse("münchen.example"), None);
    }

    #[test]
    fn what_is_no_plain_host_is_refused() {
        for bad in [
            "",
            ".",
            "..",
            "a..b",
            ".a",
            "a.example..",
            "user@app.example",
            "app.example/",
            "app.example\\",
            "app%2eexample",
            "app example",
            " app.example",
            "app.example ",
            "app.example,other.example",
            "app.example:",
            "app.example:0",
            "app.example:65536",
            "app.example:+80",
            "app.example:8 0",
            "app.example:80:80",
            "[::1]",
            "::1",
            "münchen.example",
            "-a.example",
            "a-.example",
            "*.example",
            "app.example?x",
            "app.example#x",
            "app\u{0}.example",
        ] {
            assert_eq!(host(bad), None, "{bad:?}");
        }
        assert_eq!(host(&"a".repeat(64)), None);
        assert_eq!(host(&vec!["a".repeat(60); 5].join(".")), None);
    }

    #[test]
    fn a_star_is_exactly_one_label() {
        let fits = |pattern: &str, text: &str| HostPattern::parse(pattern).unwrap().fits(&Host::parse(text).unwrap());
        assert!(fits("*.example.com", "app.example.com") && fits("*.Example.com", "APP.example.com:443"));
        assert!(fits("*.example.com:8443", "app.example.com:8443"));
        for (pattern, text) in [
            ("*.example.com", "example.com"),
            ("*.example.com", "a.b.example.com"),
            ("*.example.com", "evilexample.com"),
            ("*.example.com", "app.example.com.evil"),
            ("*.example.com", "app.example.com:8443"),
            ("app.example.com", "app.example.com:8443"),
            ("app.example.com:8443", "app.example.com"),
        ] {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
        for bad in ["*", "*.", "*.*.example.com", "a.*.example.com", "*example.com", "http://app.example.com", ""] {
            assert_eq!(HostPattern::parse(bad), Err(ApplicationRule::Host(bad.to_owned())), "{bad}");
        }
    }
}
