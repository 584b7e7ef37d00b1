//! Search terms: what a search looks for in the texts of a row.

use crate::domain::fold::fold;
use crate::domain::names::composed;

/// The most terms one search may have after folding. Each costs a pass over names and user agents.
pub const MAX_TERMS: usize = 32;

/// The terms of a search, in the form in which names are stored and folded ([`crate::domain::fold`]), without empty ones
/// and without those that another one contains. `None` when more than [`MAX_TERMS`] remain.
#[must_use]
pub fn folded_terms<T: AsRef<str>>(terms: impl IntoIterator<Item = T>) -> Option<Vec<String>> {
    let mut terms: Vec<String> = terms.into_iter().map(|term| fold(&composed(term.as_ref()))).collect();
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

    #[test]
    fn terms_are_folded_and_implied_ones_dropped() {
        assert_eq!(folded_terms(["Al", "alice", ""]), Some(vec!["ALICE".into()]));
        assert_eq!(folded_terms(["Zoe\u{308}"]), Some(vec!["ZO\u{cb}".into()]));
        assert_eq!(folded_terms([""]), Some(vec![]));
        assert_eq!(folded_terms((100..200).map(|n| n.to_string())), None);
        assert_eq!(folded_terms(vec!["a"; 10_000]), Some(vec!["A".into()]));
    }

    #[test]
    fn addresses_have_few_letters() {
        assert!(could_be_address("2001:DB8") && could_be_address("10."));
        assert!(!could_be_address("CHROME"));
    }
}
