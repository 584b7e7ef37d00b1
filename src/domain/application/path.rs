//! Paths of rules: exact, with `*` for one segment, and with `/**` at the end for everything below. There are no
//! regular expressions, and the query is never looked at.

use std::fmt;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::domain::application::rule::ApplicationRule;

/// The longest pattern, in bytes.
const MAX_LENGTH: usize = 500;

/// A pattern of paths. `/admin/**` fits `/admin` too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    /// As it was written.
    text: String,
    /// What follows each `/`, but for `**` at the end.
    segments: Vec<Segment>,
    /// Whether it fits everything below, too.
    is_deep: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    /// `*`: any one segment that is not empty.
    Any,
    /// This text, and the same folded.
    Text(String, String),
}

/// The letters of a path or segment without their case. A path that a proxy or an app reads without case is judged
/// by this form.
#[must_use]
pub fn fold_path(text: &str) -> String {
    text.to_lowercase()
}

impl PathPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`ApplicationRule::Path`] for one that does not begin with `/`, has `*` within a segment or `**` before the
    /// end, has empty segments (but one at the end) or segments of dots, or has a character that means
    /// something else in an address: `?`, `#`, `%`, `\`, `;`, blanks and control characters.
    pub fn parse(text: &str) -> Result<Self, ApplicationRule> {
        let refused = || ApplicationRule::Path(text.to_owned());
        let inner = text.strip_prefix('/').filter(|_| text.len() <= MAX_LENGTH).ok_or_else(refused)?;
        let (inner, is_deep) = match inner.strip_suffix("**") {
            Some("") => (None, true),
            Some(before) => (Some(before.strip_suffix('/').ok_or_else(refused)?), true),
            None => (Some(inner), false),
        };
        let parts: Vec<&str> = inner.map(|inner| inner.split('/').collect()).unwrap_or_default();
        let last = parts.len().saturating_sub(1);
        let mut segments = Vec::with_capacity(parts.len());
        for (at, part) in parts.into_iter().enumerate() {
            let is_end = at == last && !is_deep;
            segments.push(match part {
                "*" => Segment::Any,
                "" if is_end => Segment::Text(String::new(), String::new()),
                "" | "." | ".." => return Err(refused()),
                part if part.chars().all(is_plain) => Segment::Text(part.to_owned(), fold_path(part)),
                _ => return Err(refused()),
            });
        }
        Ok(Self { text: text.to_owned(), segments, is_deep })
    }

    /// Whether it fits one reading of a path, which begins with `/` and has no query. A folded reading
    /// ([`fold_path`]) is compared with the folded pattern.
    #[must_use]
    pub fn fits(&self, path: &str, is_folded: bool) -> bool {
        let Some(inner) = path.strip_prefix('/') else { return false };
        let mut parts = inner.split('/');
        for segment in &self.segments {
            let Some(part) = parts.next() else { return false };
            let fits = match segment {
                Segment::Any => !part.is_empty(),
                Segment::Text(_, folded) if is_folded => folded == part,
                Segment::Text(text, _) => text == part,
            };
            if !fits {
                return false;
            }
        }
        self.is_deep || parts.next().is_none()
    }

    /// Whether it is plain text, or that with `/**` at the end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Characters that no proxy and no app reads as something else.
fn is_plain(c: char) -> bool {
    !matches!(c, '*' | '?' | '#' | '%' | '\\' | ';') && !c.is_whitespace() && !c.is_control()
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for PathPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for PathPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, path: &str) -> bool {
        PathPattern::parse(pattern).unwrap().fits(path, false)
    }

    #[test]
    fn a_path_fits_a_pattern_as_a_whole() {
        for (pattern, path) in [
            ("/", "/"),
            ("/a", "/a"),
            ("/a/", "/a/"),
            ("/a/*", "/a/b"),
            ("/*/settings", "/alice/settings"),
            ("/**", "/"),
            ("/**", "/a/b/c"),
            ("/admin/**", "/admin"),
            ("/admin/**", "/admin/"),
            ("/admin/**", "/admin/users/7"),
            ("/u/*/files/**", "/u/alice/files/a/b"),
            ("/ä", "/ä"),
        ] {
            assert!(fits(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("/", "/a"),
            ("/a", "/a/"),
            ("/a", "/ab"),
            ("/a", "/A"),
            ("/a/", "/a"),
            ("/a/*", "/a/"),
            ("/a/*", "/a/b/c"),
            ("/admin/**", "/administrators"),
            ("/admin/**", "/x/admin"),
            ("/a", "a"),
            ("/a", "/a?b"),
            ("/a", ""),
        ] {
            assert!(!fits(pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn a_folded_path_fits_the_folded_pattern() {
        let admin = PathPattern::parse("/Admin/**").unwrap();
        assert!(admin.fits("/Admin/x", false) && !admin.fits("/admin/x", false));
        assert!(admin.fits(&fold_path("/ADMIN/x"), true));
    }

    #[test]
    fn a_pattern_that_can_be_read_in_two_ways_is_refused() {
        for bad in [
            "", "a", "*", "**", "/a**", "/**/a", "/a/**/b", "/a*", "/a//b", "//", "/a/./b", "/a/../b", "/..", "/a?b", "/a#b",
            "/%61", "/a\\b", "/a;b", "/a b", "/a\nb", "//**", "/***",
        ] {
            assert_eq!(PathPattern::parse(bad), Err(ApplicationRule::Path(bad.to_owned())), "{bad:?}");
        }
        assert!(PathPattern::parse(&format!("/{}", "a".repeat(500))).is_err());
    }
}
