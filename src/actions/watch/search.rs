//! Finds which session of a copy is missing at the source, from few pages of the source's list.
//!
//! Both lists are in the order of UUIDs. Up to the first difference, a page of the source begins with the session that
//! the copy has at the same place, so the page with the first difference is found by bisection.

use std::collections::HashMap;

use crate::domain::SessionId;

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Read this page of the source; the first is 1.
    Read(usize),
    /// The session of the copy at this place is missing at the source.
    Missing(usize),
    /// The source has a session that the copy does not have: a complete walk is needed.
    Unknown,
    /// No difference was found.
    Same,
}

/// The first difference between the copy and the source, as far as the pages that were read tell. `size` is the number
/// of sessions of a full page, and `count` the number of sessions at the source.
#[must_use]
#[expect(clippy::implicit_hasher, reason = "its one caller has the standard hasher")]
pub fn first_difference(copy: &[SessionId], pages: &HashMap<usize, Vec<SessionId>>, size: usize, count: usize) -> Next {
    let size = size.max(1);
    let last = count.div_ceil(size);
    // The first page is looked at as all others are; page `low` agrees in its first session, page `high` does not.
    let (mut low, mut high) = (1, last + 1);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        let Some(page) = pages.get(&middle) else { return Next::Read(middle) };
        if !page.is_empty() && page.first() == copy.get((middle - 1) * size) {
            low = middle;
        } else {
            high = middle;
        }
    }
    if last == 0 {
        return if copy.is_empty() { Next::Same } else { Next::Missing(0) };
    }
    let Some(page) = pages.get(&low) else { return Next::Read(low) };
    let from = (low - 1) * size;
    for (nth, theirs) in page.iter().enumerate() {
        match copy.get(from + nth) {
            Some(ours) if ours == theirs => {}
            Some(ours) if ours < theirs => return Next::Missing(from + nth),
            Some(_) | None => return Next::Unknown,
        }
    }
    let behind = from + page.len();
    let (ours, theirs) = (copy.get(behind), pages.get(&high).filter(|_| high <= last).and_then(|page| page.first()));
    match (ours, theirs) {
        (None, None) => Next::Same,
        (Some(ours), Some(theirs)) if ours == theirs => Next::Same,
        (Some(ours), Some(theirs)) if ours > theirs => Next::Unknown,
        (Some(_), _) => Next::Missing(behind),
        (None, Some(_)) => Next::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u128) -> SessionId {
        SessionId(uuid::Uuid::from_u128(n))
    }

    /// All that is missing, one after the other, and how many pages were read.
    fn search(copy: &[SessionId], source: &[SessionId], size: usize) -> (Vec<SessionId>, usize) {
        let (mut copy, mut pages, mut missing) = (copy.to_vec(), HashMap::new(), Vec::new());
        loop {
            match first_difference(&copy, &pages, size, source.len()) {
                Next::Read(page) => {
                    let rows = source.chunks(size).nth(page - 1).unwrap_or_default().to_vec();
                    assert!(pages.insert(page, rows).is_none(), "no page is read twice");
                }
                Next::Missing(at) => missing.push(copy.remove(at)),
                Next::Unknown | Next::Same => return (missing, pages.len()),
            }
        }
    }

    #[test]
    fn each_missing_session_is_found_with_few_pages() {
        let copy: Vec<SessionId> = (0..100_000).map(|n| id(n * 7)).collect();
        for at in [0, 1, 99, 100, 101, 50_000, 99_899, 99_900, 99_998, 99_999] {
            let mut source = copy.clone();
            let gone = source.remove(at);
            let (missing, pages) = search(&copy, &source, 100);
            assert_eq!(missing, [gone], "{at}");
            // Some log2 of 1,000 pages to find it, and as many to see that nothing else is missing.
            assert!(pages <= 22, "{pages} pages for {at}");
        }
    }

    #[test]
    fn random_ends_are_all_found() {
        let mut dice = fastrand::Rng::with_seed(24);
        for round in 0..2_000 {
            let copy: Vec<SessionId> = (0..dice.u128(0..60)).map(|n| id(n * 3)).collect();
            let keep = dice.f64();
            let source: Vec<SessionId> = copy.iter().copied().filter(|_| dice.f64() < keep).collect();
            let gone: Vec<SessionId> = copy.iter().copied().filter(|uuid| !source.contains(uuid)).collect();
            assert_eq!(search(&copy, &source, dice.usize(1..8)).0, gone, "round {round}");
        }
    }

    #[test]
    fn a_session_that_the_copy_does_not_have_needs_a_complete_walk() {
        let pages = HashMap::from([(1, vec![id(1), id(2), id(3)])]);
        assert_eq!(first_difference(&[id(1), id(3), id(4)], &pages, 3, 3), Next::Unknown);
        assert_eq!(first_difference(&[], &HashMap::new(), 3, 0), Next::Same);
        assert_eq!(first_difference(&[id(1)], &HashMap::new(), 3, 0), Next::Missing(0));
    }
}
