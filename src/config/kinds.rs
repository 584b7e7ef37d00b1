//! What settings of several sections take.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::secret::Secret;
use crate::config::section::Kind;

pub(super) const ADDRESS: Kind<SocketAddr> = Kind::new("an address and port such as 127.0.0.1:9000", |text| text.parse().ok());

pub(super) const BOOL: Kind<bool> = Kind::new("true or false", |text| match text {
    "true" | "1" | "yes" | "on" => Some(true),
    "false" | "0" | "no" | "off" => Some(false),
    _ => None,
});

pub(super) const DURATION: Kind<Duration> = Kind::new("a duration such as 30m, 12h or 14d", parse_duration);

pub(super) const DURATION_ABOVE_ZERO: Kind<Duration> =
    Kind::new("a duration above zero such as 30m, 12h or 14d", |text| parse_duration(text).filter(|duration| !duration.is_zero()));

pub(super) const PATH: Kind<PathBuf> = Kind::new("a path", |text| Some(PathBuf::from(text))).verbatim();

pub(super) const SECRET: Kind<Secret> = Kind::new("a secret", |text| Some(Secret(text.to_owned()))).verbatim().secret();

/// Whether a text is the name of a host, and cannot be mistaken for an address: letters, digits, `-` and `_` in
/// labels of at most 63, the last of which begins with a letter.
pub(super) fn is_host_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let is_known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=63).contains(&label.len()) && label.bytes().all(is_known) && !label.starts_with('-') && !label.ends_with('-')
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    text.len() <= 253 && text.split('.').all(is_label) && last.starts_with(|first: char| first.is_ascii_alphabetic())
}

/// `30m`, `12h`, `14d`, `1h 30m`; `0` is zero. `None` for anything else; at most a century.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    const CENTURY: Duration = Duration::from_secs(100 * 366 * 86400);
    if text == "0" {
        return Some(Duration::ZERO);
    }
    humantime::parse_duration(text).ok().map(|duration| duration.min(CENTURY))
}
