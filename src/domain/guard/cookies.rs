//! The cookies that an app may see: all of its own, byte for byte, and none of Rollcall's.

/// How the names of cookies begin that no app sees.
const OURS: [&[u8]; 3] = [b"__Host-rollcall_", b"rollcall_", b"authentik_"];

/// What separates the lines of a `Cookie` header when they become one (RFC 9113, 8.2.3).
const SEPARATOR: &[u8] = b"; ";

/// The `Cookie` header without the cookies whose names begin as Rollcall's or authentik's do. What is left
/// is repeated byte for byte; several lines become one. `None` when nothing is left.
///
/// A pair without `=` is compared by the whole of it: browsers send `rollcall_x` for a cookie without a
/// name and with that value, and some servers read it as a name.
#[must_use]
pub fn for_app<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    let mut kept: Vec<u8> = Vec::new();
    for line in lines {
        let mut is_first = true;
        for pair in line.split(|byte| *byte == b';') {
            if is_ours(pair) {
                continue;
            }
            if is_first && !kept.is_empty() {
                kept.extend(SEPARATOR);
            } else if !is_first {
                kept.push(b';');
            }
            // A space after a removed first pair would begin the header.
            kept.extend(if kept.is_empty() { pair.trim_ascii_start() } else { pair });
            is_first = false;
        }
    }
    (!kept.trim_ascii().is_empty()).then_some(kept)
}

/// Whether a pair is a cookie of ours, or has one behind a comma: Envoy joins two lines of HTTP/1.1 so. The bytes
/// that other servers may strip from the front of a name are skipped.
fn is_ours(pair: &[u8]) -> bool {
    pair.split(|byte| *byte == b',').any(|piece| {
        let start = piece.iter().position(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').unwrap_or(piece.len());
        let name = piece.get(start..).unwrap_or_default();
        OURS.iter().any(|own| name.get(..own.len()).is_some_and(|head| head.eq_ignore_ascii_case(own)))
    })
}

/// The value of the cookie with this name. `None` when there is none, or more than one: then one of them was not
/// set by this server.
#[must_use]
pub fn only<'a>(lines: impl IntoIterator<Item = &'a [u8]>, name: &str) -> Option<&'a str> {
    let mut found: Option<&[u8]> = None;
    for pair in lines.into_iter().flat_map(|line| line.split(|byte| *byte == b';')) {
        let Some(sign) = pair.iter().position(|byte| *byte == b'=') else { continue };
        let (key, value) = pair.split_at(sign);
        if trim(key) != name.as_bytes() {
            continue;
        }
        if found.replace(trim(value.get(1..).unwrap_or_default())).is_some() {
            return None;
        }
    }
    std::str::from_utf8(found?).ok()
}

/// Names and values of all cookies whose names begin so, in order.
#[must_use]
pub fn all_with<'a>(lines: impl IntoIterator<Item = &'a [u8]>, start: &str) -> Vec<(&'a str, &'a str)> {
    let pairs = lines.into_iter().flat_map(|line| line.split(|byte| *byte == b';')).filter_map(|pair| {
        let (name, value) = std::str::from_utf8(pair).ok()?.split_once('=')?;
        Some((name.trim_matches([' ', '\t']), value.trim_matches([' ', '\t'])))
    });
    pairs.filter(|(name, _)| name.starts_with(start)).collect()
}

/// Without the blanks that are allowed around a name and a value (RFC 6265bis, 5.6).
fn trim(bytes: &[u8]) -> &[u8] {
    let is_kept = |byte: &u8| !matches!(byte, b' ' | b'\t');
    let start = bytes.iter().position(is_kept).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(is_kept).map_or(start, |last| last + 1);
    bytes.get(start..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stripped(lines: &[&str]) -> Option<String> {
        for_app(lines.iter().map(|line| line.as_bytes())).map(|kept| String::from_utf8(kept).unwrap())
    }

    #[test]
    fn our_cookies_are_taken_out_and_the_others_stay_as_they_are() {
        for (lines, want) in [
            (vec!["a=1"], Some("a=1")),
            (vec!["a=1; __Host-rollcall_app=x; b=\"2\"; c"], Some("a=1; b=\"2\"; c")),
            (vec!["__Host-rollcall_app=x; a=1"], Some("a=1")),
            (vec!["a=1;__Host-rollcall_app=x;b=2"], Some("a=1;b=2")),
            (vec!["a=1; __Host-rollcall_app=x"], Some("a=1")),
            (vec!["__Host-rollcall_app=x"], None),
            (vec!["rollcall_session=x; authentik_session=y; authentik_csrf=z"], None),
            (vec!["rollcall_app=x", "a=1", "b=2; rollcall_start_01234567=z"], Some("a=1; b=2")),
            (vec!["a=1; ROLLCALL_app=x"], Some("a=1")),
            (vec!["a=1; \trollcall_app=x"], Some("a=1")),
            (vec!["a=1; rollcall_app"], Some("a=1")),
            (vec!["a=rollcall_app=1; xrollcall_app=2"], Some("a=rollcall_app=1; xrollcall_app=2")),
            (vec!["a=1,__Host-rollcall_app=x; b=2"], Some("b=2")),
            (vec!["a=1;; b=2;"], Some("a=1;; b=2;")),
            (vec!["a=1", "a=2"], Some("a=1; a=2")),
            (vec![""], None),
            (vec![], None),
        ] {
            assert_eq!(stripped(&lines).as_deref(), want, "{lines:?}");
        }
        assert_eq!(for_app([b"a=\xff\x01; rollcall_app=1".as_slice()]).as_deref(), Some(b"a=\xff\x01".as_slice()));
    }

    #[test]
    fn a_cookie_that_is_there_twice_is_not_there() {
        let only = |lines: &[&'static str]| only(lines.iter().map(|line| line.as_bytes()), "__Host-rollcall_app");
        assert_eq!(only(&["a=1; __Host-rollcall_app=x ;b=2"]), Some("x"));
        assert_eq!(only(&["__Host-rollcall_app=\"x\""]), Some("\"x\""));
        for none in [
            vec![],
            vec!["a=1"],
            vec!["__Host-rollcall_app"],
            vec!["__host-rollcall_app=x"],
            vec!["__Host-rollcall_app=x; __Host-rollcall_app=x"],
            vec!["__Host-rollcall_app=x", "__Host-rollcall_app=y"],
            vec!["a=1,__Host-rollcall_app=x"],
            vec!["\u{a0}__Host-rollcall_app=x"],
        ] {
            assert_eq!(only(&none), None, "{none:?}");
        }
        let starts = all_with([b"rollcall_start_1=a; b=2; rollcall_start_2=c".as_slice()], "rollcall_start_");
        assert_eq!(starts, [("rollcall_start_1", "a"), ("rollcall_start_2", "c")]);
    }

    proptest! {
        /// Whatever else is there, in whatever bytes: no cookie of ours passes, and a line without one is
        /// not changed.
        #[test]
        fn nothing_of_ours_passes_and_nothing_else_is_lost(
            pieces in proptest::collection::vec(
                prop_oneof![
                    Just(b"__Host-rollcall_app=secret".to_vec()),
                    Just(b" rollcall_session=secret".to_vec()),
                    Just(b" authentik_session=secret".to_vec()),
                    proptest::collection::vec(any::<u8>().prop_filter("no separator", |b| *b != b';'), 0..12),
                ],
                0..8,
            )
        ) {
            let line = pieces.join(&b';');
            let kept = for_app([line.as_slice()]).unwrap_or_default();
            prop_assert!(!kept.windows(6).any(|part| part == b"secret"));
            let others: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).filter(|piece| !is_ours(piece)).collect();
            if others.len() == pieces.len() && !line.trim_ascii().is_empty() {
                prop_assert_eq!(kept, line.trim_ascii_start().to_vec());
            } else {
                let named: Vec<&[u8]> = kept.split(|byte| *byte == b';').map(<[u8]>::trim_ascii).filter(|p| !p.is_empty()).collect();
                let want: Vec<&[u8]> = others.iter().map(|p| p.trim_ascii()).filter(|p| !p.is_empty()).collect();
                prop_assert_eq!(named, want);
            }
        }
    }
}
