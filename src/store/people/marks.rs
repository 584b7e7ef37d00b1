//! Which users have a term in one of their texts: one bit for each user. The bits of the terms that were asked last are
//! kept until a user changes, so the next page of a search does not pass over all texts again.

use std::sync::{Arc, Mutex, PoisonError};

/// How many terms are kept, at one bit for each user.
const MOST_TERMS: usize = 32;
/// The longest term that is kept, in bytes.
const LONGEST_TERM: usize = 100;

/// One bit for each entry of the texts, by its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks(Vec<u64>);

impl Marks {
    /// No bit of `length` is set.
    pub fn none(length: usize) -> Self {
        Self(vec![0; length.div_ceil(64)])
    }

    /// The bits of these entries.
    pub fn of_each<T>(entries: &[T], is_set: impl Fn(&T) -> bool) -> Self {
        let word = |part: &[T]| part.iter().enumerate().fold(0, |word, (nth, entry)| word | u64::from(is_set(entry)) << nth);
        Self(entries.chunks(64).map(word).collect())
    }

    /// Sets the bit of a place; beyond the length it does nothing.
    pub fn set(&mut self, place: usize) {
        if let Some(word) = self.0.get_mut(place / 64) {
            *word |= 1 << (place % 64);
        }
    }

    /// Whether the bit of a place is set.
    pub fn has(&self, place: usize) -> bool {
        self.0.get(place / 64).is_some_and(|word| word >> (place % 64) & 1 == 1)
    }

    /// How many bits are set.
    pub fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The bits that both have.
    pub fn and(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(one, other)| one & other).collect())
    }

    /// The places whose bit is set, ascending.
    pub fn places(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().flat_map(|(nth, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let bit = (rest != 0).then(|| rest.trailing_zeros() as usize)?;
                rest &= rest - 1;
                Some(nth * 64 + bit)
            })
        })
    }
}

/// The place of each user of today, by primary key, ascending.
#[derive(Debug, Default)]
pub(super) struct Places(Vec<(i64, usize)>);

impl Places {
    /// Takes keys with their places in any order.
    pub fn new(mut all: Vec<(i64, usize)>) -> Self {
        // Nearly in order: the stable sort merges runs.
        all.sort_by_key(|(id, _)| *id);
        Self(all)
    }

    fn of(&self, id: i64) -> Option<usize> {
        let nth = self.0.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        self.0.get(nth).map(|(_, place)| *place)
    }
}

/// Up to this number of users, a search names each by its key.
pub(super) const FEW: usize = 2_000;

/// The users that match a search.
#[derive(Clone, Debug)]
pub(in crate::store) enum Matching {
    /// At most [`FEW`].
    Few(Few),
    /// More.
    Many(Many),
}

/// Few users that match a search, by primary key.
#[derive(Clone, Debug, Default)]
pub(in crate::store) struct Few {
    /// Ascending.
    pub ids: Vec<i64>,
    /// In the order of their usernames, as the databases order them: byte by byte.
    pub by_username: Vec<i64>,
}

/// Many users that match a search.
#[derive(Clone, Debug)]
pub(in crate::store) struct Many {
    count: usize,
    marks: Arc<Marks>,
    places: Arc<Places>,
    /// The first of them by username, byte by byte, as far as they were asked for; empty: they were not, or are too
    /// many for that.
    pub first: Vec<i64>,
}

impl Many {
    /// The users with these marks.
    pub(super) fn new(count: usize, marks: Arc<Marks>, places: Arc<Places>) -> Self {
        Self { count, marks, places, first: Vec::new() }
    }

    /// How many users of a list of all hold the first `wanted` of these, if they are spread evenly: a part more than that.
    pub fn reach(&self, wanted: i64) -> i64 {
        let all = i64::try_from(self.places.0.len()).unwrap_or(i64::MAX);
        let count = i64::try_from(self.count).unwrap_or(i64::MAX).max(1);
        wanted.saturating_mul(all).saturating_div(count).saturating_mul(5) / 4
    }
}

impl Matching {
    /// How many users match.
    #[must_use]
    pub fn count(&self) -> usize {
        match self {
            Self::Few(few) => few.ids.len(),
            Self::Many(many) => many.count,
        }
    }

    /// Whether the user with this primary key matches.
    #[must_use]
    pub fn has(&self, id: i64) -> bool {
        match self {
            Self::Few(few) => few.ids.binary_search(&id).is_ok(),
            Self::Many(many) => many.places.of(id).is_some_and(|place| many.marks.has(place)),
        }
    }
}

/// What was found for the terms asked last. It holds for the texts as they are: a change of a user empties it.
#[derive(Debug, Default)]
pub(super) struct Asked(Mutex<Answers>);

#[derive(Debug, Default)]
struct Answers {
    places: Option<Arc<Places>>,
    /// The term asked last is the last one.
    marks: Vec<(String, Arc<Marks>)>,
}

impl Asked {
    /// Forgets all of it.
    pub fn clear(&mut self) {
        *self.0.get_mut().unwrap_or_else(PoisonError::into_inner) = Answers::default();
    }

    /// The places of users, as kept or as `make` gives them.
    pub fn places(&self, make: impl FnOnce() -> Places) -> Arc<Places> {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(answers.places.get_or_insert_with(|| Arc::new(make())))
    }

    /// The marks of a term, if they are kept.
    pub fn marks(&self, term: &str) -> Option<Arc<Marks>> {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let nth = answers.marks.iter().position(|(kept, _)| kept == term)?;
        let found = answers.marks.remove(nth);
        let marks = Arc::clone(&found.1);
        answers.marks.push(found);
        Some(marks)
    }

    /// Keeps the marks of a term; the one that was not asked for longest goes.
    pub fn keep(&self, term: &str, marks: &Arc<Marks>) {
        if term.len() > LONGEST_TERM {
            return;
        }
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        answers.marks.retain(|(kept, _)| kept != term);
        if answers.marks.len() >= MOST_TERMS {
            answers.marks.remove(0);
        }
        answers.marks.push((term.to_owned(), Arc::clone(marks)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(places: &[usize]) -> Marks {
        let mut marks = Marks::none(200);
        for place in places {
            marks.set(*place);
        }
        marks
    }

    #[test]
    fn marks_give_the_places_that_were_set() {
        let set = [0, 1, 63, 64, 127, 128, 199];
        let marks = marks(&set);
        assert_eq!(marks.places().collect::<Vec<_>>(), set);
        assert_eq!((marks.count(), marks.has(63), marks.has(62), marks.has(10_000)), (7, true, false, false));
    }

    #[test]
    fn both_are_the_places_that_two_have() {
        assert_eq!(marks(&[1, 5, 70]).and(&marks(&[5, 70, 71])), marks(&[5, 70]));
    }

    #[test]
    fn the_term_that_was_not_asked_for_longest_goes() {
        let asked = Asked::default();
        for nth in 0..MOST_TERMS {
            asked.keep(&nth.to_string(), &Arc::new(marks(&[nth])));
        }
        assert!(asked.marks("0").is_some());
        asked.keep("new", &Arc::new(marks(&[7])));
        assert!(asked.marks("1").is_none());
        assert_eq!(asked.marks("0").as_deref(), Some(&marks(&[0])));
        assert_eq!(asked.marks("new").as_deref(), Some(&marks(&[7])));
    }

    #[test]
    fn many_reach_as_far_as_they_are_spread() {
        let places = Arc::new(Places::new((0..1_000).map(|id| (id, 0)).collect()));
        let many = Many::new(250, Arc::new(marks(&[0])), places);
        assert_eq!((many.reach(100), many.reach(0), many.reach(i64::MAX) > 0), (500, 0, true));
    }

    #[test]
    fn a_user_matches_by_the_mark_of_their_place() {
        let places = Arc::new(Places::new(vec![(30, 2), (10, 0), (20, 1)]));
        for found in [
            Matching::Few(Few { ids: vec![10, 30], by_username: vec![30, 10] }),
            Matching::Many(Many::new(2, Arc::new(marks(&[0, 2])), places)),
        ] {
            assert_eq!(found.count(), 2);
            assert_eq!([10, 20, 30, 2].map(|id| found.has(id)), [true, false, true, false]);
        }
    }
}
