//! Which names an identity header may have.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;

use crate::domain::application::guard::Headers;
use crate::domain::application::rule::ApplicationRule;
use crate::domain::application::values::Source;

/// The longest name.
const MAX_NAME: usize = 100;

/// Names that mean something to proxies, browsers and servers, in lower case.
const RESERVED: &[&str] = &[
    "accept",
    "age",
    "allow",
    "authorization",
    "cache-control",
    "connection",
    "cookie",
    "date",
    "expect",
    "expires",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "location",
    "origin",
    "pragma",
    "range",
    "referer",
    "retry-after",
    "server",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "vary",
    "via",
    "www-authenticate",
    "x-real-ip",
];
/// Beginnings of such names.
const RESERVED_STARTS: &[&str] = &[
    "access-control-",
    "accept-",
    "content-",
    "if-",
    "proxy-",
    "sec-",
    "x-accel-",
    "x-envoy-",
    "x-forwarded-",
    "x-http-method",
    "x-method-override",
    "x-original-",
    "x-rollcall-",
];

/// Whether a name may be that of an identity header: letters, digits and dashes (an underscore is the same as a dash
/// to some apps), and no name that means something else.
///
/// # Errors
/// [`ApplicationRule::HeaderName`].
pub fn check(name: &str) -> Result<(), ApplicationRule> {
    let lower = name.to_ascii_lowercase();
    let is_token = (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && !name.ends_with('-');
    let is_reserved = RESERVED.contains(&lower.as_str()) || RESERVED_STARTS.iter().any(|start| lower.starts_with(start));
    if is_token && !is_reserved { Ok(()) } else { Err(ApplicationRule::HeaderName(name.to_owned())) }
}

impl Headers {
    /// The word of a family of names; `None`: a table of one's own.
    #[must_use]
    pub fn word(&self) -> Option<&'static str> {
        match self {
            Self::ByAddress => Some("default"),
            Self::Remote => Some("remote"),
            Self::Authentik => Some("authentik"),
            Self::Own(_) => None,
        }
    }

    /// The family of that word; `None` when there is none.
    #[must_use]
    pub fn parse_word(word: &str) -> Option<Self> {
        [Self::ByAddress, Self::Remote, Self::Authentik].into_iter().find(|headers| headers.word() == Some(word))
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "headers are default, remote, authentik, or a table of names to sources")]
enum HeadersJson {
    Word(String),
    Own(BTreeMap<String, Source>),
}

impl Serialize for Headers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Own(table) => table.serialize(serializer),
            other => other.word().unwrap_or_default().serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match HeadersJson::deserialize(deserializer)? {
            HeadersJson::Word(word) => Self::parse_word(&word)
                .ok_or_else(|| D::Error::custom(format!("headers are default, remote, authentik or a table, not {word:?}"))),
            HeadersJson::Own(table) => Ok(Self::Own(table)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_of_the_protocol_is_no_identity() {
        for good in ["Remote-User", "X-authentik-username", "X-WEBAUTH-USER", "X-Token-Subject", "Remote-User2"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "Cookie",
            "authorization",
            "HOST",
            "X-Forwarded-For",
            "x-original-url",
            "X-Rollcall-Key",
            "Content-Length",
            "Transfer-Encoding",
            "Remote_User",
            "Remote User",
            "Remote-User:",
            "Remote\r\nUser",
            "7-user",
            "X-",
            "Sec-Fetch-Mode",
            "X-HTTP-Method-Override",
            "Ümlaut",
        ] {
            assert_eq!(check(bad), Err(ApplicationRule::HeaderName(bad.to_owned())), "{bad:?}");
        }
    }
}
