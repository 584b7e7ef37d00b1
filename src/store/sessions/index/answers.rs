//! What is kept of answers, so that the next one takes less time.
//!
//! Matches and their counts by kind hold as long as nothing changes. How many match in each block of
//! an order is brought up to date block by block, so a far page stays quick while sessions come and go.

use std::sync::{Arc, Mutex};

use crate::domain::listing::{SessionFilter, Sort, SortKey, Window};
use crate::store::db::handle::lock;
use crate::store::sessions::facets::{AddressCount, Facets};
use crate::store::sessions::index::bits::{bits_of, has_bit};
use crate::store::sessions::index::order::Counts;
use crate::store::sessions::index::pages::{Page, Sorting};
use crate::store::sessions::index::select::{Matches, Question};
use crate::store::sessions::index::table::Table;
use crate::store::sessions::rows::SessionRow;

/// How many bytes of matches are kept.
const KEPT: usize = 4 << 20;
/// Of how many filters, each in one order, it is kept how many match in each block: some 20 KB for a
/// million sessions.
const COUNTED: usize = 128;

/// What is kept for one table.
#[derive(Default)]
pub(in crate::store) struct Kept {
    answers: Mutex<Answers>,
    counted: Mutex<Vec<Counted>>,
}

/// Answers to the latest questions.
#[derive(Default)]
struct Answers(Vec<Answer>);

struct Answer {
    filter: SessionFilter,
    matches: Arc<Matches>,
    /// Counts of the matches, and the day they were made on.
    facets: Option<(i64, Facets)>,
}

/// How many match a filter in each block of an order.
struct Counted {
    filter: SessionFilter,
    key: SortKey,
    counts: Arc<Mutex<Counts>>,
}

impl Answers {
    /// Takes the answer to this question out.
    fn take(&mut self, filter: &SessionFilter) -> Option<Answer> {
        let at = self.0.iter().position(|answer| answer.filter == *filter)?;
        Some(self.0.remove(at))
    }

    /// Puts an answer in front and forgets the oldest, so that the others fit.
    fn keep(&mut self, answer: Answer) {
        self.0.insert(0, answer);
        let mut size = 0;
        let fitting = self.0.iter().take_while(|answer| {
            size += answer.matches.size() + 512;
            size <= KEPT
        });
        let fitting = fitting.count();
        self.0.truncate(fitting);
    }
}

impl Kept {
    /// Forgets what holds only as long as nothing changes.
    pub fn outdate(&self) {
        lock(&self.answers).0.clear();
    }

    /// How many sessions match.
    pub fn count(&self, table: &Table, question: &Question) -> i64 {
        let answer = self.answer(table, question);
        let count = answer.matches.count(table);
        lock(&self.answers).keep(answer);
        i64::try_from(count).unwrap_or(i64::MAX)
    }

    /// One window of them, in order.
    pub fn list(&self, table: &Table, question: &Question, sorts: &[Sort], window: Window) -> Vec<SessionRow> {
        let page = Page::of(window);
        let by = Sorting::of(question, sorts);
        let slots = match self.list_directly(table, question, by, page) {
            Some(slots) => slots,
            None => {
                let answer = self.answer(table, question);
                let slots = self.list_matches(table, &answer, by, page);
                lock(&self.answers).keep(answer);
                slots
            }
        };
        slots.into_iter().map(|slot| table.row(slot)).collect()
    }

    /// Without looking for all that match; `None` when that does not lead to the page.
    fn list_directly(&self, table: &Table, question: &Question, by: Sorting<'_>, page: Page) -> Option<Vec<u32>> {
        let filter = &question.filter;
        if lock(&self.answers).0.iter().any(|answer| answer.filter == *filter) {
            return None;
        }
        let counts = self.counts(filter, by.first.key);
        if filter.search.is_empty() || counts.is_some() {
            let Some(conditions) = table.conditions(question) else { return Some(Vec::new()) };
            if filter.search.is_empty()
                && let Some(slots) = table.first_page(&conditions, by, page, table.longest_walk())
            {
                return Some(slots);
            }
            let counts = counts?;
            let mut counts = lock(&counts);
            if counts.is_counted() {
                let is_wanted = |slot: u32| table.holds_all(slot, &conditions);
                table.order(by.first.key).recount(&mut counts, is_wanted);
                return (!table.is_thin(counts.total(), page)).then(|| table.counted_page(&counts, is_wanted, by, page));
            }
        }
        None
    }

    fn list_matches(&self, table: &Table, answer: &Answer, by: Sorting<'_>, page: Page) -> Vec<u32> {
        let (count, key) = (answer.matches.count(table), by.first.key);
        let few_bits;
        let bits = match &*answer.matches {
            Matches::All => return table.counted_page(&table.order(key).count_all(), |_| true, by, page),
            matches if table.is_thin(count, page) => return table.sorted_page(matches.slots(), by, page),
            Matches::Bits(bits, _) => bits,
            Matches::Few(slots) => {
                few_bits = bits_of(slots);
                &few_bits
            }
        };
        let is_wanted = |slot: u32| has_bit(bits, slot);
        if table.is_near(count, page) {
            return table.walked_page(is_wanted, by, page);
        }
        let counts = match self.counts(&answer.filter, key) {
            Some(counts) => counts,
            None => {
                let counts = self.new_counts(&answer.filter, key);
                if table.is_sorted_sooner(count) {
                    // Whoever asks for such a page again has them counted.
                    return table.sorted_page(answer.matches.slots(), by, page);
                }
                counts
            }
        };
        let mut counts = lock(&counts);
        table.order(key).recount(&mut counts, is_wanted);
        table.counted_page(&counts, is_wanted, by, page)
    }

    /// How many match in each block of an order, if that was asked for lately.
    fn counts(&self, filter: &SessionFilter, key: SortKey) -> Option<Arc<Mutex<Counts>>> {
        let mut counted = lock(&self.counted);
        let at = counted.iter().position(|counted| counted.key == key && counted.filter == *filter)?;
        let found = counted.remove(at);
        let counts = Arc::clone(&found.counts);
        counted.insert(0, found);
        Some(counts)
    }

    /// Counts to be made, instead of those that nobody asked for longest.
    fn new_counts(&self, filter: &SessionFilter, key: SortKey) -> Arc<Mutex<Counts>> {
        let counts = Arc::default();
        let mut counted = lock(&self.counted);
        counted.insert(0, Counted { filter: filter.clone(), key, counts: Arc::clone(&counts) });
        counted.truncate(COUNTED);
        counts
    }

    /// How many of them there are of each kind.
    pub fn facets(&self, table: &Table, question: &Question, today: i64) -> Facets {
        let mut answer = self.answer(table, question);
        let known = answer.facets.take().filter(|(day, _)| *day == today).map(|(_, facets)| facets);
        let facets = known.unwrap_or_else(|| table.facets(&answer.matches, today));
        answer.facets = Some((today, facets.clone()));
        lock(&self.answers).keep(answer);
        facets
    }

    /// How many of them there are at each address, the most first, at most `limit` addresses.
    pub fn addresses(&self, table: &Table, question: &Question, limit: usize) -> Vec<AddressCount> {
        let answer = self.answer(table, question);
        let counts = table.count_addresses(&answer.matches, limit);
        lock(&self.answers).keep(answer);
        counts
    }

    fn answer(&self, table: &Table, question: &Question) -> Answer {
        let known = lock(&self.answers).take(&question.filter);
        crate::metrics::count_cache("answers", usize::from(known.is_some()), usize::from(known.is_none()));
        known.unwrap_or_else(|| Answer { filter: question.filter.clone(), matches: Arc::new(table.select(question)), facets: None })
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::domain::{Address, SessionId, Timestamp, UserId};
    use crate::store::sessions::index::names::AgentRow;
    use crate::store::sessions::index::table::{IndexRow, KEYS};

    const COUNTRIES: [&str; 3] = ["", "DE", "JP"];
    const NAMES: [&str; 4] = ["ada", "ada.b", "bob", "zoe"];

    /// A session, made of one number.
    fn row(id: i64, seed: u64) -> IndexRow {
        let part = |shift: u32, below: i64| i64::try_from(seed >> shift & 0xffff).unwrap() % below;
        IndexRow {
            id,
            uuid: SessionId(Uuid::from_u128(u128::from(id.unsigned_abs().wrapping_mul(0x9e37_79b9_7f4a_7c15)) << 32)),
            user_id: part(0, 4),
            user_agent_id: part(4, 3),
            last_ip: Address::parse(&format!("198.51.100.{}", part(8, 200))).unwrap(),
            country: COUNTRIES[usize::try_from(part(16, 3)).unwrap()].to_owned(),
            asn: Some(part(20, 3)).filter(|asn| *asn > 0),
            // Many share an instant.
            last_used_at: Timestamp(part(24, 300)),
            expires_at: Timestamp(part(32, 40)),
            created_at: Timestamp(part(40, 5000)),
            is_remembered: part(48, 2) > 0,
        }
    }

    /// What lists show of it.
    fn listed(row: &IndexRow) -> SessionRow {
        SessionRow {
            uuid: row.uuid,
            user_id: UserId(row.user_id),
            created_at: row.created_at,
            last_used_at: row.last_used_at,
            expires_at: row.expires_at,
            last_ip: row.last_ip,
            user_agent_id: row.user_agent_id,
            is_remembered: row.is_remembered,
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// The session with this number comes or changes.
        Put(i64, u64),
        /// All in this range that leave this rest are gone.
        Remove(i64, i64),
        List(Box<SessionFilter>, Vec<Sort>, prop::sample::Index, i64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let sort =
            (prop::sample::select(KEYS.to_vec()), any::<bool>()).prop_map(|(key, is_descending)| Sort { key, is_descending });
        // Few filters and orders, so that the same are asked for again.
        let filter = prop_oneof![
            Just(SessionFilter::default()),
            Just(SessionFilter { country: Some("DE".into()), ..SessionFilter::default() }),
            Just(SessionFilter { asn: Some(2), ..SessionFilter::default() }),
            Just(SessionFilter { user: Some(UserId(2)), ..SessionFilter::default() }),
            Just(SessionFilter { search: vec!["ADA".into()], ..SessionFilter::default() }),
            Just(SessionFilter { last_used_gte: Some(Timestamp(150)), ..SessionFilter::default() }),
        ];
        prop_oneof![
            3 => (0..4500_i64, any::<u64>()).prop_map(|(id, seed)| Step::Put(id, seed)),
            1 => (0..4500_i64, 1..40_i64).prop_map(|(from, step)| Step::Remove(from, step)),
            4 => (filter, prop::collection::vec(sort, 1..3), any::<prop::sample::Index>(), prop::sample::select(vec![1_i64, 20, 100]))
                .prop_map(|(filter, sorts, page, size)| Step::List(Box::new(filter), sorts, page, size)),
        ]
    }

    fn matches(row: &IndexRow, filter: &SessionFilter) -> bool {
        filter.country.as_ref().is_none_or(|country| *country == row.country)
            && filter.asn.is_none_or(|asn| row.asn == Some(asn))
            && filter.user.is_none_or(|user| user.0 == row.user_id)
            && (filter.search.is_empty() || row.user_id < 2)
            && filter.last_used_gte.is_none_or(|from| row.last_used_at >= from)
    }

    fn compare(a: &IndexRow, b: &IndexRow, sorts: &[Sort]) -> Ordering {
        let by_sorts = sorts.iter().map(|sort| {
            let order = match sort.key {
                SortKey::Uuid => a.uuid.cmp(&b.uuid),
                // Their names stand in the order of their numbers, and so do user agents.
                SortKey::User | SortKey::Username => a.user_id.cmp(&b.user_id),
                SortKey::UserAgent => a.user_agent_id.cmp(&b.user_agent_id),
                SortKey::LastIp => a.last_ip.sort_key().cmp(&b.last_ip.sort_key()),
                SortKey::LastUsed => a.last_used_at.cmp(&b.last_used_at),
                SortKey::Expires => a.expires_at.cmp(&b.expires_at),
                SortKey::Created => a.created_at.cmp(&b.created_at),
                SortKey::Country => a.country.cmp(&b.country),
            };
            if sort.is_descending { order.reverse() } else { order }
        });
        by_sorts.fold(Ordering::Equal, Ordering::then).then_with(|| a.uuid.cmp(&b.uuid))
    }

    fn check(start: u64, steps: &[Step]) -> Result<(), TestCaseError> {
        let mut table = Table::filling(4000);
        for (id, name) in (0..).zip(NAMES) {
            table.add_user(id, name);
        }
        for id in 0..3 {
            let family = || "any".to_owned();
            table.add_agent(&AgentRow { id, text: format!("agent {id}"), browser: family(), os: family(), device: family() });
        }
        let mut model: BTreeMap<i64, IndexRow> =
            (0..4000).map(|id| (id, row(id, start.wrapping_mul(id.unsigned_abs() | 1).rotate_left(17)))).collect();
        for row in model.values() {
            table.put(row);
        }
        table.settle();
        let kept = Kept::default();
        for step in steps {
            match step {
                Step::Put(id, seed) => {
                    let row = row(*id, *seed);
                    table.put(&row);
                    model.insert(*id, row);
                    kept.outdate();
                }
                Step::Remove(from, step) => {
                    for id in (*from..from + 500).filter(|id| id % step == 0) {
                        table.remove(id);
                        model.remove(&id);
                    }
                    kept.outdate();
                }
                Step::List(filter, sorts, page, size) => {
                    let mut expected: Vec<&IndexRow> = model.values().filter(|row| matches(row, filter)).collect();
                    expected.sort_by(|a, b| compare(a, b, sorts));
                    let offset = i64::try_from(page.index(expected.len() + 1)).unwrap() / size * size;
                    let question = Question { filter: SessionFilter::clone(filter), user: filter.user, user_agent_id: None };
                    let found = kept.list(&table, &question, sorts, Window { limit: *size, offset });
                    let window =
                        expected.iter().copied().skip(usize::try_from(offset).unwrap()).take(usize::try_from(*size).unwrap());
                    let window: Vec<SessionRow> = window.map(listed).collect();
                    prop_assert_eq!(&found, &window, "{:?} {:?} {}", filter, sorts, offset);
                    let page = Window { limit: *size, offset };
                    let quick = table.quick_page(&question, sorts, |_| Ok::<_, TestCaseError>(page)).transpose()?;
                    if let Some((count, found)) = quick {
                        prop_assert_eq!(usize::try_from(count).unwrap(), expected.len(), "{:?}", filter);
                        prop_assert_eq!(&found, &window, "quick: {:?} {:?} {}", filter, sorts, offset);
                    }
                }
            }
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]
        #[test]
        fn pages_are_those_of_sorting_all_that_match(start in any::<u64>(), steps in prop::collection::vec(step(), 300)) {
            check(start, &steps)?;
        }
    }
}
