//! Search text → terms, as Django REST Framework's `search_smart_split` does it (`docs/compat.md` 10.2).

use std::sync::LazyLock;

use regex::Regex;

use crate::domain::fold::fold;

/// The most terms one search may have after folding. Each costs a pass over names and user agents.
pub const MAX_TERMS: usize = 32;

/// Python's idea of white space: Unicode's, and the four ASCII separators.
#[must_use]
pub fn is_python_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
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

/// Splits a search text into its terms, unfolded.
#[must_use]
pub fn split(text: &str) -> Vec<String> {
    let mut terms = Vec::new();
    for token in TOKEN.find_iter(text) {
        let token = token.as_str().trim_matches(',');
        let quote = token.chars().next().filter(|c| matches!(c, '"' | '\''));
        match quote {
            Some(quote) if token.ends_with(quote) => terms.push(unquote(token, quote)),
            _ => terms.extend(
                token.split(',').filter(|piece| !piece.is_empty()).map(|piece| piece.trim_matches(is_python_space).to_owned()),
            ),
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

/// The terms of a search text, folded, without those that another one implies. `None` when more
/// than [`MAX_TERMS`] remain.
#[must_use]
pub fn folded_terms(text: &str) -> Option<Vec<String>> {
    let mut terms: Vec<String> = split(text).iter().map(|term| fold(term)).collect();
    terms.sort_by_key(|term| std::cmp::Reverse(term.len()));
    terms.dedup();
    let mut kept: Vec<String> = Vec::new();
    for term in terms {
        // A text that holds a longer term holds every part of it.
        if kept.iter().any(|longer| longer.contains(&term)) {
            continue;
        }
        if kept.len() == MAX_TERMS {
            return None;
        }
        kept.push(term);
    }
    kept.retain(|term| !term.is_empty());
    Some(kept)
}

/// Whether a folded term could be part of an address's text.
#[must_use]
pub fn could_be_address(folded: &str) -> bool {
    folded.bytes().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F' | b'.' | b':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, want: &[&str]) {
        assert_eq!(split(text), want, "{text:?}");
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

    #[test]
    fn terms_are_folded_and_implied_ones_dropped() {
        assert_eq!(folded_terms("Al alice \"\""), Some(vec!["ALICE".into()]));
        assert_eq!(folded_terms("\"\""), Some(vec![]));
        let many: Vec<String> = (100..200).map(|n| n.to_string()).collect();
        assert_eq!(folded_terms(&many.join(" ")), None);
        assert_eq!(folded_terms(&"a ".repeat(10_000)), Some(vec!["A".into()]));
    }

    #[test]
    fn addresses_have_few_letters() {
        assert!(could_be_address("2001:DB8") && could_be_address("10."));
        assert!(!could_be_address("CHROME"));
    }
}
