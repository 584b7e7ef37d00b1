//! Caches answers. The matches of a filter, and their counts by kind, are valid until the next
//! change. The number of matches in each block of an order is updated block by block, so that a far
//! page stays fast while sessions come and go.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::facets::{AddressCount, Facets, KINDS};
use crate::domain::listing::{SessionRow, Sort, SortKey};
use crate::domain::page::{Found, Wanted};
use crate::store::sessions::index::bits::{bits_of, has_bit};
use crate::store::sessions::index::order::Counts;
use crate::store::sessions::index::pages::Sorting;
use crate::store::sessions::index::plan::{Effort, Facts, Page, Way};
use crate::store::sessions::index::select::{Condition, Matches, Question};
use crate::store::sessions::index::table::Table;

/// The most bytes of matches that are cached.
const SIZE: usize = 4 << 20;
/// The most counts by block that are cached, each of one filter in one order: 20 KB each for a million
/// sessions.
const COUNTED: usize = 128;

/// Answers about one table.
#[derive(Default)]
pub(in crate::store) struct Cache {
    answers: Mutex<Vec<Answer>>,
    counted: Mutex<Vec<Counted>>,
    hits: AtomicUsize,
    misses: AtomicUsize,
}

/// The matches of a question.
struct Answer {
    question: Question,
    matches: Arc<Matches>,
    /// Counts of the matches, and the day they were made on.
    facets: Option<(i64, Facets)>,
}

/// The number of matches in each block of an order.
struct Counted {
    question: Question,
    key: SortKey,
    counts: Arc<Mutex<Counts>>,
}

impl Cache {
    /// Drops what is valid only until the next change.
    pub fn outdate(&self) {
        lock(&self.answers).clear();
    }

    /// The cache's hits and misses since the last call.
    pub fn take_uses(&self) -> (usize, usize) {
        (self.hits.swap(0, Ordering::Relaxed), self.misses.swap(0, Ordering::Relaxed))
    }

    /// How many sessions match.
    pub fn count(&self, table: &Table, question: &Question) -> i64 {
        whole(self.matches(table, question).count(table))
    }

    /// The number of matches, and those of one page in order. `None`: that takes more than this
    /// effort.
    pub fn page(
        &self,
        table: &Table,
        question: &Question,
        sorts: &[Sort],
        wanted: Wanted,
        effort: Effort,
    ) -> Option<Found<SessionRow>> {
        let mut matches = if effort == Effort::Any { self.cached(question) } else { None };
        // Words cost as much to look up as all else of a page together. Where the matches are cached, nothing asks for them.
        let is_known = matches.is_some() && !question.filter.search.is_empty();
        let conditions = if is_known { Some(Vec::new()) } else { table.conditions(question) };
        let Some(mut conditions) = conditions else { return Some(wanted.found(0, Vec::new())) };
        // The number is known at once for one condition; for several, all matches are looked for.
        let count = match &matches {
            Some(matches) => matches.count(table),
            None => match table.count_at_once(&conditions) {
                Some(count) => count,
                None if effort == Effort::Little => return None,
                None => matches.insert(self.matches_by(table, question, &mut conditions)).count(table),
            },
        };
        let Some(window) = wanted.window(whole(count)) else { return Some(wanted.found(whole(count), Vec::new())) };
        let search = Search { table, question, conditions: &conditions, count, effort };
        let slots = self.find(&search, matches, Sorting::of(question, sorts), Page::of(window))?;
        Some(wanted.found(whole(count), slots.into_iter().map(|slot| table.row(slot)).collect()))
    }

    /// The slots of a part of the matches in order, whatever effort that takes.
    pub fn slots(&self, table: &Table, question: &Question, sorts: &[Sort], page: Page) -> Vec<u32> {
        let matches = self.matches(table, question);
        let search = Search { table, question, conditions: &[], count: matches.count(table), effort: Effort::Any };
        self.find(&search, Some(matches), Sorting::of(question, sorts), page).unwrap_or_default()
    }

    /// The slots of a page, found in the way that the planner chooses.
    fn find(&self, search: &Search<'_>, mut matches: Option<Arc<Matches>>, by: Sorting<'_>, page: Page) -> Option<Vec<u32>> {
        let Search { table, question, conditions, count, effort } = *search;
        let key = by.first.key;
        let lists = match conditions {
            [Condition::Places(places)] if by.is_plain() && key == SortKey::Username => table.lists_to_merge(places, page),
            _ => None,
        };
        let mut counts = if effort == Effort::Any { self.counts(question, key) } else { None };
        let mut facts = Facts {
            effort,
            slots: table.slots() as usize,
            count,
            page,
            is_all: matches.as_deref().map_or(conditions.is_empty(), |matches| matches!(matches, Matches::All)),
            is_selected: conditions.is_empty() || matches.is_some(),
            has_order: table.has_order(key),
            is_simple: by.is_plain() || by.is_turned(),
            can_merge: lists.is_some(),
            is_counted: counts.is_some(),
            has_walked: false,
        };
        loop {
            match facts.choose()? {
                Way::Merge => return Some(table.merged_page(lists?, page)),
                Way::Rank => {
                    let order = table.order(key);
                    if by.is_plain() {
                        return Some(order.from(page.offset).take(page.limit).collect());
                    }
                    return Some(table.counted_page(&order.count_all(), |_| true, by, page));
                }
                Way::Walk(most) => {
                    let is_wanted = Wanting::of(table, conditions, matches.as_deref());
                    let found = table.walked_page(|slot| is_wanted.holds(slot), by, page, most);
                    if found.is_some() {
                        return found;
                    }
                    facts.has_walked = true;
                }
                Way::Sort => {
                    if effort == Effort::Any && counts.is_none() && !facts.sorting_is_cheaper_than_walking() {
                        // The matches of such a page are counted when it is requested a second
                        // time.
                        self.new_counts(question, key);
                    }
                    let slots = match &matches {
                        Some(matches) => matches.slots(),
                        None if table.has_candidates(conditions) => table.gather_candidates(conditions),
                        None => self.matches(table, question).slots(),
                    };
                    return Some(table.sorted_page(slots, by, page));
                }
                Way::Count => {
                    let counts = counts.take().unwrap_or_else(|| self.new_counts(question, key));
                    let mut counts = lock(&counts);
                    if !counts.is_counted() && matches.is_none() {
                        // All slots are looked at: a pass over each column costs less than as many look-ups.
                        matches = Some(self.matches(table, question));
                    }
                    let is_wanted = Wanting::of(table, conditions, matches.as_deref());
                    table.order(key).recount(&mut counts, |slot| is_wanted.holds(slot));
                    return Some(table.counted_page(&counts, |slot| is_wanted.holds(slot), by, page));
                }
            }
        }
    }

    /// How many of the matches there are of each kind; `today` is in days since 1970.
    pub fn facets(&self, table: &Table, question: &Question, today: i64) -> Facets {
        let mut answer = self.take_answer(question, || table.select(question));
        let known = answer.facets.take().filter(|(day, _)| *day == today).map(|(_, facets)| facets);
        let facets = known.unwrap_or_else(|| table.facets(&answer.matches, today, KINDS));
        answer.facets = Some((today, facets.clone()));
        self.keep(answer);
        facets
    }

    /// How many of the matches there are at each address, the most first, at most `limit` addresses.
    pub fn addresses(&self, table: &Table, question: &Question, limit: usize) -> Vec<AddressCount> {
        table.count_addresses(&self.matches(table, question), limit)
    }

    /// The cached counts by block, or new ones.
    fn counts(&self, question: &Question, key: SortKey) -> Option<Arc<Mutex<Counts>>> {
        let mut counted = lock(&self.counted);
        let at = counted.iter().position(|counted| counted.key == key && counted.question == *question)?;
        let found = counted.remove(at);
        let counts = Arc::clone(&found.counts);
        counted.insert(0, found);
        Some(counts)
    }

    /// Counts to be made, in place of those used longest ago.
    fn new_counts(&self, question: &Question, key: SortKey) -> Arc<Mutex<Counts>> {
        let counts = Arc::default();
        let mut counted = lock(&self.counted);
        counted.insert(0, Counted { question: question.clone(), key, counts: Arc::clone(&counts) });
        counted.truncate(COUNTED);
        counts
    }

    fn cached(&self, question: &Question) -> Option<Arc<Matches>> {
        let answers = lock(&self.answers);
        answers.iter().find(|answer| answer.question == *question).map(|answer| Arc::clone(&answer.matches))
    }

    /// What matches.
    pub fn matches(&self, table: &Table, question: &Question) -> Arc<Matches> {
        self.matches_of(question, || table.select(question))
    }

    /// The same, where the conditions of the question are known.
    fn matches_by(&self, table: &Table, question: &Question, conditions: &mut [Condition]) -> Arc<Matches> {
        self.matches_of(question, || table.select_by(conditions))
    }

    fn matches_of(&self, question: &Question, select: impl FnOnce() -> Matches) -> Arc<Matches> {
        let answer = self.take_answer(question, select);
        let matches = Arc::clone(&answer.matches);
        self.keep(answer);
        matches
    }

    /// Takes the answer to a question out of the cache, or makes it.
    fn take_answer(&self, question: &Question, select: impl FnOnce() -> Matches) -> Answer {
        let mut answers = lock(&self.answers);
        if let Some(at) = answers.iter().position(|answer| answer.question == *question) {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return answers.remove(at);
        }
        drop(answers);
        self.misses.fetch_add(1, Ordering::Relaxed);
        Answer { question: question.clone(), matches: Arc::new(select()), facets: None }
    }

    /// Puts an answer in front and drops the oldest, so that the others fit.
    fn keep(&self, answer: Answer) {
        let mut answers = lock(&self.answers);
        answers.insert(0, answer);
        let mut size = 0;
        let fitting = answers.iter().take_while(|answer| {
            size += answer.matches.size() + 512;
            size <= SIZE
        });
        let fitting = fitting.count();
        answers.truncate(fitting);
    }
}

/// A question on its way to a page.
#[derive(Clone, Copy)]
struct Search<'a> {
    table: &'a Table,
    question: &'a Question,
    conditions: &'a [Condition],
    count: usize,
    effort: Effort,
}

/// Tells whether a slot matches.
enum Wanting<'a> {
    Conditions(&'a Table, &'a [Condition]),
    Bits(&'a [u64]),
    Few(Vec<u64>),
    All,
}

impl<'a> Wanting<'a> {
    /// By what matches, where that is known, and else by looking at each slot.
    fn of(table: &'a Table, conditions: &'a [Condition], matches: Option<&'a Matches>) -> Self {
        match matches {
            None => Self::Conditions(table, conditions),
            Some(Matches::All) => Self::All,
            Some(Matches::Bits(bits, _)) => Self::Bits(bits),
            Some(Matches::Few(slots)) => Self::Few(bits_of(slots)),
        }
    }

    fn holds(&self, slot: u32) -> bool {
        match self {
            Self::Conditions(table, conditions) => table.holds_all(slot, conditions),
            Self::Bits(bits) => has_bit(bits, slot),
            Self::Few(bits) => has_bit(bits, slot),
            Self::All => true,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
