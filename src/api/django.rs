//! How Django and Python read texts, which is how authentik reads them: white space, integers, UUIDs and
//! search terms (`docs/compat.md` 6, 8 and 10).

use std::sync::LazyLock;

use regex::Regex;
use uuid::Uuid;

use crate::domain::SessionId;

/// Python's white space: Unicode's, and the four ASCII separators.
pub fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Reads a session's id as Python's `uuid.UUID` reads text: any letter case, dashes optional and
/// anywhere, `urn:`, `uuid:` and surrounding braces allowed; 32 hex digits must remain.
pub fn uuid(text: &str) -> Option<SessionId> {
    let text = text.replace("urn:", "").replace("uuid:", "");
    let hex = text.trim_matches(['{', '}']).replace('-', "");
    if hex.len() != 32 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    u128::from_str_radix(&hex, 16).ok().map(|n| SessionId(Uuid::from_u128(n)))
}

/// Whether JSON holds a whole number, written as one, that 64 bits do not hold.
pub fn has_long_integer(json: &[u8]) -> bool {
    let (mut is_text, mut is_escaped) = (false, false);
    let tokens = json.split(|byte| {
        if is_text {
            is_text = is_escaped || *byte != b'"';
            is_escaped = !is_escaped && *byte == b'\\';
            return true;
        }
        is_text = *byte == b'"';
        !matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-')
    });
    let is_long = |token: &[u8]| {
        let text = std::str::from_utf8(token).unwrap_or_default();
        // No shorter number is too large.
        text.len() >= 19 && !text.contains(['.', 'e', 'E']) && text.parse::<i64>().is_err() && text.parse::<u64>().is_err()
    };
    tokens.into_iter().any(is_long)
}

/// The zeros of Unicode's decimal digits; the digits one to nine follow each.
#[rustfmt::skip]
const ZEROS: &[u32] = &[
    0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66,
    0xde6, 0xe50, 0xed0, 0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90,
    0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10,
    0x104a0, 0x10d30, 0x11066, 0x110f0, 0x11136, 0x111d0, 0x112f0, 0x11450, 0x114d0, 0x11650,
    0x116c0, 0x11730, 0x118e0, 0x11950, 0x11c50, 0x11d50, 0x11da0, 0x16a60, 0x16ac0, 0x16b50,
    0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e950, 0x1fbf0,
];

/// An integer as Python's `int()` reads text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Int {
    /// One that fits.
    Fits(i64),
    /// A larger one.
    TooLarge,
    /// A smaller one.
    TooSmall,
}

impl Int {
    /// The value, if it fits.
    pub fn value(self) -> Option<i64> {
        match self {
            Self::Fits(value) => Some(value),
            Self::TooLarge | Self::TooSmall => None,
        }
    }
}

/// Reads an integer: white space around, one sign, digits of any script with single `_` between
/// them; at most 4300 digits, Python's limit. `None` when it is none.
pub fn int(text: &str) -> Option<Int> {
    let text = text.trim_matches(is_space);
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut value = Some(0_i64);
    let mut count = 0;
    let mut may_separate = false;
    for c in digits.chars() {
        if c == '_' && may_separate {
            may_separate = false;
            continue;
        }
        let digit = i64::from(digit(c)?);
        let digit = if is_negative { -digit } else { digit };
        value = value.and_then(|value| value.checked_mul(10)?.checked_add(digit));
        may_separate = true;
        count += 1;
    }
    if !may_separate || count > 4300 {
        return None;
    }
    Some(value.map_or(if is_negative { Int::TooSmall } else { Int::TooLarge }, Int::Fits))
}

fn digit(c: char) -> Option<u32> {
    let zero = ZEROS.iter().rfind(|zero| **zero <= u32::from(c))?;
    Some(u32::from(c) - zero).filter(|digit| *digit < 10)
}

/// Tokens: runs without white space, in which a `"…"` or `'…'` part keeps its spaces.
#[expect(clippy::expect_used, reason = "the pattern is a constant; a test compiles it")]
static TOKEN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r#"(?x)
        ( (?: [^\s\x1c-\x1f'"]* (?: (?: "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' ) [^\s\x1c-\x1f'"]* )+ )
        | [^\s\x1c-\x1f]+ )"#,
    )
    .expect("a valid pattern")
});

/// Splits a search text into its terms, as Django REST Framework's `search_smart_split` does. White space
/// and commas separate, a `"…"` or `'…'` part keeps its spaces, a lone quote is a character.
pub fn split(text: &str) -> Vec<String> {
    let mut terms = Vec::new();
    for token in TOKEN.find_iter(text) {
        let token = token.as_str().trim_matches(',');
        let quote = token.chars().next().filter(|c| matches!(c, '"' | '\''));
        match quote {
            Some(quote) if token.ends_with(quote) => terms.push(unquote(token, quote)),
            _ => terms
                .extend(token.split(',').filter(|piece| !piece.is_empty()).map(|piece| piece.trim_matches(is_space).to_owned())),
        }
    }
    terms
}

/// The inside of a quoted token, `\"` and `\\` unescaped. A lone quote is the empty term.
fn unquote(token: &str, quote: char) -> String {
    let inside = token.strip_prefix(quote).unwrap_or(token);
    let inside = inside.strip_suffix(quote).unwrap_or(inside);
    inside.replace(&format!("\\{quote}"), &quote.to_string()).replace("\\\\", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_python_does() {
        for (text, want) in [
            ("1", 1),
            (" +1_000\u{a0}\n", 1000),
            ("-0", 0),
            ("007", 7),
            ("٣", 3),
            ("９\u{1c}", 9),
            ("-9223372036854775808", i64::MIN),
        ] {
            assert_eq!(int(text), Some(Int::Fits(want)), "{text:?}");
        }
        for bad in ["", " ", "+", "-", "1.5", "1e3", "_1", "1_", "1__0", "+ 1", "--1", "0x1", "½", "²", "1 2", "word"] {
            assert_eq!(int(bad), None, "{bad:?}");
        }
        assert_eq!(int("99999999999999999999"), Some(Int::TooLarge));
        assert_eq!(int("-99999999999999999999"), Some(Int::TooSmall));
        assert_eq!(int(&"1".repeat(4301)), None);
    }

    #[test]
    fn ids_are_read_as_python_reads_them() {
        let id = uuid("50499c33-bd55-4ced-8916-e466275b4b73").unwrap();
        for same in [
            "50499C33-BD55-4CED-8916-E466275B4B73",
            "50499c33bd554ced8916e466275b4b73",
            "{50499c33-bd55-4ced-8916-e466275b4b73}",
            "urn:uuid:50499c33-bd55-4ced-8916-e466275b4b73",
            "5-0-4-99c33bd554ced8916e466275b4b73-",
        ] {
            assert_eq!(uuid(same), Some(id), "{same}");
        }
        for bad in [
            "",
            "50499c33",
            "g0499c33bd554ced8916e466275b4b73",
            "+0499c33bd554ced8916e466275b4b73",
            "５0499c33bd554ced8916e466275b4b7",
        ] {
            assert_eq!(uuid(bad), None, "{bad}");
        }
        assert_eq!(id.to_string(), "50499c33-bd55-4ced-8916-e466275b4b73");
    }

    fn check(text: &str, want: &[&str]) {
        assert_eq!(split(text), want, "{text:?}");
    }

    #[test]
    fn long_whole_numbers_are_noticed() {
        for long in ["12345678901234567890123", r#"{"a":[-9223372036854775809]}"#, r#"{"a\"1":"x","n":18446744073709551616 }"#] {
            assert!(has_long_integer(long.as_bytes()), "{long}");
        }
        for fits in ["18446744073709551615", "-9223372036854775808", r#"{"n":1234567890123456789,"x":1e30}"#] {
            assert!(!has_long_integer(fits.as_bytes()), "{fits}");
        }
        for short in ["123456789012345678", "1e30", "1234567890123456789012.5", r#"{"n":"12345678901234567890123"}"#, "[1,2]"] {
            assert!(!has_long_integer(short.as_bytes()), "{short}");
        }
    }

    #[test]
    fn splits_as_django_rest_framework_does() {
        check("", &[]);
        check("  , ,, ", &[]);
        check("one two", &["one", "two"]);
        check("one,two", &["one", "two"]);
        check("\"one two\"", &["one two"]);
        check("'one two'", &["one two"]);
        check("\"a, b\" c", &["a, b", "c"]);
        check(",\"a b\",", &["a b"]);
        check(r#""say \"hi\" \\ there""#, &[r#"say "hi" \ there"#]);
        check("\"unbalanced", &["\"unbalanced"]);
        check("\"", &[""]);
        check("\"\"", &[""]);
        check("x\"y z\"w", &["x\"y z\"w"]);
        check("\"a\"b", &["\"a\"b"]);
        check("\"a\",\"b\"", &["a\",\"b"]);
        check("o'brien", &["o'brien"]);
        check("tab\tand\u{a0}nbsp\u{1c}fs", &["tab", "and", "nbsp", "fs"]);
    }
}
