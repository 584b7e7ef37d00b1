//! The readings of a path: proxy, app and Rollcall may read one path in different ways. A rule is asked
//! about each of them, and the path is allowed only if all are.
//!
//! The readings are closed: what one of these steps makes of a reading is a reading, too. So it does not
//! matter in which order a proxy and an app take them, or how often:
//! - percent-decoding, of all bytes at once;
//! - `\` read as `/`;
//! - several slashes read as one;
//! - segments `.` and `..` resolved;
//! - `;…` cut off from each segment (path parameters, RFC 3986, 3.3);
//! - what follows `?` or `#` cut off, where decoding brought one to light;
//! - at the end, letters in lower case.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::domain::application::judge::Reading;
use crate::domain::application::path::fold_path;

/// The most readings of one path. A path with more is refused: no app needs such a one.
const MOST: usize = 64;
/// The longest path that is read in several ways, in bytes.
const LONGEST: usize = 4096;

/// All readings of a path, the first as it came, and each once more in lower case. `None`: it is refused in all of them, since it has a
/// control character, an overlong encoding of UTF-8, or too many readings.
#[must_use]
pub fn of(path: &str) -> Option<Vec<Reading<'_>>> {
    let mut all = vec![Reading { path: Cow::Borrowed(path), is_folded: false }];
    if !is_plain(path) {
        if path.len() > LONGEST {
            return None;
        }
        close(&mut all)?;
    }
    for at in 0..all.len() {
        let folded = all.get(at).map(|reading| fold_path(&reading.path)).unwrap_or_default();
        // Also where there is no capital: the rules may have some.
        let folded = Reading { path: folded.into(), is_folded: true };
        if !all.contains(&folded) {
            all.push(folded);
        }
    }
    Some(all)
}

/// Whether there is one way to read a path: it has letters, digits, the marks that no server gives another
/// meaning, single slashes, and no segment of dots.
#[must_use]
pub fn is_plain(path: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@/".contains(&byte);
    path.bytes().all(is_plain) && !path.contains("//") && !path.split('/').any(is_dots)
}

fn is_dots(segment: &str) -> bool {
    !segment.is_empty() && segment.bytes().all(|byte| byte == b'.')
}

/// What makes a reading of another one; `None`: the path is refused.
type Step = fn(&str) -> Option<Cow<'_, str>>;

/// Adds what the steps make of each reading until nothing new comes.
fn close(all: &mut Vec<Reading<'_>>) -> Option<()> {
    const STEPS: [Step; 6] = [decode, backslashes, merge, resolve, parameters, rest];
    let mut at = 0;
    while let Some(path) = all.get(at).map(|reading| reading.path.clone().into_owned()) {
        if path.chars().any(char::is_control) || has_code_point_escape(&path) {
            return None;
        }
        for step in STEPS {
            let next = step(&path)?;
            if next.as_ref() != path && all.iter().all(|known| known.path != next) {
                if all.len() == MOST {
                    return None;
                }
                all.push(Reading { path: next.into_owned().into(), is_folded: false });
            }
        }
        at += 1;
    }
    Some(())
}

/// `%uXXXX`, which some servers decode and most do not.
fn has_code_point_escape(path: &str) -> bool {
    let bytes = path.as_bytes();
    bytes.windows(6).any(|six| matches!(six, [b'%', b'u' | b'U', hex @ ..] if hex.iter().all(u8::is_ascii_hexdigit)))
}

fn decode(path: &str) -> Option<Cow<'_, str>> {
    if !path.contains('%') {
        return Some(path.into());
    }
    let bytes: Cow<'_, [u8]> = percent_decode_str(path).into();
    if has_overlong(&bytes) { None } else { Some(String::from_utf8_lossy(&bytes).into_owned().into()) }
}

/// Whether bytes have a character in more bytes than UTF-8 gives it: `C0 AE` is a dot for some decoders.
fn has_overlong(bytes: &[u8]) -> bool {
    let is_more = |byte: u8| (0x80..0xc0).contains(&byte);
    bytes.windows(2).any(|pair| match pair {
        [0xc0 | 0xc1, second] => is_more(*second),
        [0xe0, second] => (0x80..0xa0).contains(second),
        [0xf0, second] => (0x80..0x90).contains(second),
        _ => false,
    })
}

#[expect(clippy::unnecessary_wraps, reason = "the steps have one type")]
fn backslashes(path: &str) -> Option<Cow<'_, str>> {
    Some(if path.contains('\\') { path.replace('\\', "/").into() } else { path.into() })
}

#[expect(clippy::unnecessary_wraps, reason = "the steps have one type")]
fn merge(path: &str) -> Option<Cow<'_, str>> {
    if !path.contains("//") {
        return Some(path.into());
    }
    let mut merged = String::with_capacity(path.len());
    for c in path.chars() {
        if c != '/' || !merged.ends_with('/') {
            merged.push(c);
        }
    }
    Some(merged.into())
}

/// Resolves dot segments (RFC 3986, 5.2.4). Of three dots and more, which are a name to most servers and
/// more than one parent to few, nothing is resolved: such a path is refused.
fn resolve(path: &str) -> Option<Cow<'_, str>> {
    if !path.split('/').any(is_dots) {
        return Some(path.into());
    }
    let mut out: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(usize::from(path.starts_with('/'))).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    out.pop();
                }
                // A dot segment at the end leaves its slash.
                if is_last {
                    out.push("");
                }
            }
            dots if is_dots(dots) => return None,
            other => out.push(other),
        }
    }
    Some(format!("/{}", out.join("/")).into())
}

#[expect(clippy::unnecessary_wraps, reason = "the steps have one type")]
fn parameters(path: &str) -> Option<Cow<'_, str>> {
    if !path.contains(';') {
        return Some(path.into());
    }
    let cut = |segment: &str| segment.split(';').next().unwrap_or_default().to_owned();
    Some(path.split('/').map(cut).collect::<Vec<_>>().join("/").into())
}

#[expect(clippy::unnecessary_wraps, reason = "the steps have one type")]
fn rest(path: &str) -> Option<Cow<'_, str>> {
    Some(path.split(['?', '#']).next().unwrap_or_default().into())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// The distinct paths, in the order of the readings.
    fn paths(path: &str) -> Vec<String> {
        let mut paths: Vec<String> = Vec::new();
        for reading in of(path).unwrap() {
            if !paths.contains(&reading.path.clone().into_owned()) {
                paths.push(reading.path.into_owned());
            }
        }
        paths
    }

    #[test]
    fn a_plain_path_is_read_as_it_came_and_folded() {
        for path in ["/", "/a/b.c", "/~x/a-b_c!$&'()*+,=:@", "/.well-known/x", "/a..b/.c", "/a/", "/Admin/x"] {
            let read = |path: &str, is_folded| Reading { path: path.to_owned().into(), is_folded };
            assert_eq!(of(path).unwrap(), [read(path, false), read(&path.to_lowercase(), true)], "{path}");
        }
    }

    #[test]
    fn a_way_around_a_rule_is_read_as_what_it_leads_to() {
        for (path, also) in [
            ("/public/../admin", "/admin"),
            ("/public/..%2fadmin", "/admin"),
            ("/public/%2e%2e/admin", "/admin"),
            ("/public/%252e%252e%252fadmin", "/admin"),
            ("/%61dmin", "/admin"),
            ("/%2561dmin", "/admin"),
            ("//admin", "/admin"),
            ("/./admin", "/admin"),
            ("/public\\..\\admin", "/admin"),
            ("/public%5c..%5cadmin", "/admin"),
            ("/admin;x=1/users", "/admin/users"),
            ("/public/..;/admin", "/admin"),
            ("/public/..;a=b/admin", "/admin"),
            ("/admin%3f.css", "/admin"),
            ("/admin%23.css", "/admin"),
            ("/public/.%2e//%2e/ADMIN", "/admin"),
            ("/public//../admin", "/admin"),
            ("/a/b/../../admin/.", "/admin/"),
            ("/../../admin", "/admin"),
            ("/api%2f%2e%2e%2fadmin", "/admin"),
        ] {
            assert!(paths(path).contains(&also.to_owned()), "{path}: {:?}", paths(path));
            assert_eq!(paths(path)[0], path, "the first is as it came");
        }
    }

    #[test]
    fn harmless_bytes_make_few_readings() {
        assert_eq!(paths("/caf%C3%A9"), ["/caf%C3%A9", "/café", "/caf%c3%a9"]);
        assert_eq!(paths("/a%20b"), ["/a%20b", "/a b"]);
        assert_eq!(paths("/%zz%"), ["/%zz%"]);
    }

    #[test]
    fn what_has_no_sure_reading_is_refused() {
        for path in
            ["/a%00b", "/a%0d%0aX: y", "/a%2500", "/a%7f", "/%c0%ae%c0%ae/x", "/%e0%80%af", "/%u002e", "/.../x", "/a/%2e..."]
        {
            assert_eq!(of(path), None, "{path}");
        }
        let many = ["/a;/%2e./\\//"; 12].concat();
        assert!(of(&many).is_none_or(|readings| readings.len() <= 2 * MOST));
        assert_eq!(of(&format!("/%20{}", "a".repeat(LONGEST))), None);
        let plain = format!("/{}", "a".repeat(3 * LONGEST));
        assert_eq!(of(&plain).unwrap().len(), 2, "a plain path may be long");
    }

    fn paths_of_tricks() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("/"),
            Just("//"),
            Just("\\"),
            Just("."),
            Just(".."),
            Just("%2e"),
            Just("%2F"),
            Just("%5c"),
            Just("%252e"),
            Just("%25"),
            Just(";"),
            Just(";a=1"),
            Just("admin"),
            Just("Admin"),
            Just("public"),
            Just("%61"),
            Just("é"),
            Just("%C3%A9"),
            Just("%3f"),
            Just("%23"),
            Just("a"),
            Just("%"),
        ];
        proptest::collection::vec(piece, 0..9).prop_map(|pieces| format!("/{}", pieces.concat()))
    }

    proptest! {
        /// Whatever steps a server takes, in whatever order, it arrives at a reading. (Steps on folded paths give the
        /// same as folding after them, but for decoding, which was done before.)
        #[test]
        fn the_readings_are_closed(path in paths_of_tricks()) {
            if let Some(readings) = of(&path) {
                let known: BTreeSet<String> = readings.iter().map(|reading| reading.path.clone().into_owned()).collect();
                for reading in readings.iter().filter(|reading| !reading.is_folded && !is_plain(&path)) {
                    for step in [decode, backslashes, merge, resolve, parameters, rest] {
                        let next = step(&reading.path);
                        prop_assert!(next.is_some_and(|next| known.contains(next.as_ref())), "{} of {path}", reading.path);
                    }
                    let folded = Reading { path: fold_path(&reading.path).into(), is_folded: true };
                    prop_assert!(readings.contains(&folded));
                }
            }
        }

        #[test]
        fn any_text_is_read_or_refused(path in "/.{0,40}") {
            if let Some(readings) = of(&path) {
                prop_assert!(!readings.is_empty() && readings[0].path == path);
                prop_assert!(readings.len() <= 2 * MOST);
            }
        }
    }
}
