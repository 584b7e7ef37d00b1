//! One list of the sessions of two indexes: Rollcall's own, and those of a watched source. Each finds its part of a page
//! in its own way, by the same planner; where the page begins in each is found by bisection.

use std::cmp::Ordering;

use crate::domain::facets::{AddressCount, Facets};
use crate::domain::listing::{SessionRow, Sort, SortKey};
use crate::domain::page::{Found, Wanted};
use crate::store::sessions::index::SessionIndex;
use crate::store::sessions::index::columns::at;
use crate::store::sessions::index::plan::{Effort, Page};
use crate::store::sessions::index::select::Question;
use crate::store::sessions::index::table::Table;

/// A row, and what orders go by that it does not show.
pub(in crate::store) struct Ordered<'a> {
    pub row: SessionRow,
    username: &'a str,
    user_agent: &'a str,
    country: &'a str,
}

/// An index, and what it is asked.
pub(in crate::store) struct Part<'a> {
    pub index: &'a SessionIndex,
    pub question: &'a Question,
}

/// The parts of a list, two at most. Of sessions that are equal in the order, those of the first come first.
pub(in crate::store) struct Parts<'a>(pub Vec<Part<'a>>);

impl Table {
    /// The session with what orders go by.
    pub fn ordered(&self, slot: u32) -> Ordered<'_> {
        Ordered {
            row: self.row(slot),
            username: self.user_names.texts.get(at(&self.users, slot)),
            user_agent: self.agent_texts.texts.get(at(&self.agents, slot)),
            country: self.country(at(&self.places, slot)),
        }
    }
}

impl Ordered<'_> {
    /// Compares by these, and then by UUID.
    fn compare(&self, other: &Self, sorts: &[Sort]) -> Ordering {
        let by = sorts.iter().map(|sort| {
            let order = self.compare_by(other, sort.key);
            if sort.is_descending { order.reverse() } else { order }
        });
        by.fold(Ordering::Equal, Ordering::then).then_with(|| self.row.uuid.0.cmp(&other.row.uuid.0))
    }

    fn compare_by(&self, other: &Self, key: SortKey) -> Ordering {
        let (a, b) = (&self.row, &other.row);
        match key {
            SortKey::Uuid => a.uuid.0.cmp(&b.uuid.0),
            SortKey::User => a.user_id.0.cmp(&b.user_id.0),
            SortKey::Username => self.username.cmp(other.username),
            SortKey::LastIp => a.last_ip.sort_key().cmp(&b.last_ip.sort_key()),
            SortKey::UserAgent => self.user_agent.cmp(other.user_agent),
            SortKey::LastUsed => a.last_used_at.cmp(&b.last_used_at),
            SortKey::Expires => a.expires_at.cmp(&b.expires_at),
            SortKey::Created => a.created_at.cmp(&b.created_at),
            SortKey::Country => self.country.cmp(other.country),
        }
    }
}

impl<'a> Part<'a> {
    fn count(&self) -> usize {
        usize::try_from(self.index.count(self.question)).unwrap_or(0)
    }

    fn rows(&self, sorts: &[Sort], offset: usize, limit: usize) -> Vec<Ordered<'a>> {
        self.index.ordered(self.question, sorts, Page { offset, limit })
    }

    fn row(&self, sorts: &[Sort], offset: usize) -> Option<Ordered<'a>> {
        self.rows(sorts, offset, 1).pop()
    }
}

impl Parts<'_> {
    /// How many sessions match.
    pub fn count(&self) -> i64 {
        self.0.iter().map(|part| part.index.count(part.question)).sum()
    }

    /// How many sessions match, and those of one page in order.
    pub fn page(&self, sorts: &[Sort], wanted: Wanted) -> Found<SessionRow> {
        match self.0.as_slice() {
            [] => wanted.none(),
            [one] => one.index.page(one.question, sorts, wanted, Effort::Any).unwrap_or_else(|| wanted.none()),
            [one, two, ..] => page_of_two(one, two, sorts, wanted),
        }
    }

    /// How many of the matches there are of each kind; `today` is in days since 1970.
    pub fn facets(&self, today: i64) -> Facets {
        match self.0.as_slice() {
            [one] => one.index.facets(one.question, today),
            all => all.iter().map(|part| part.index.all_facets(part.question, today)).fold(Facets::default(), Facets::with),
        }
    }

    /// How many of the matches there are at each address, the most first, at most `limit` addresses.
    pub fn addresses(&self, limit: usize) -> Vec<AddressCount> {
        match self.0.as_slice() {
            [one] => one.index.addresses(one.question, limit),
            all => AddressCount::most(all.iter().flat_map(|part| part.index.addresses(part.question, usize::MAX)).collect(), limit),
        }
    }
}

fn page_of_two(one: &Part<'_>, two: &Part<'_>, sorts: &[Sort], wanted: Wanted) -> Found<SessionRow> {
    let (first, second) = (one.count(), two.count());
    let count = i64::try_from(first + second).unwrap_or(i64::MAX);
    let Some(window) = wanted.window(count) else { return wanted.found(count, Vec::new()) };
    let Page { offset, limit } = Page::of(window);
    let before = split(one, two, sorts, offset);
    let rows = merged(one.rows(sorts, before, limit), two.rows(sorts, offset - before, limit), sorts);
    wanted.found(count, rows.into_iter().take(limit).collect())
}

/// How many of the first `offset` rows are of the first part: the smallest number behind which its next row does not
/// belong before one of the rows that the second part would have.
fn split(one: &Part<'_>, two: &Part<'_>, sorts: &[Sort], offset: usize) -> usize {
    let (mut low, mut high) = (offset.saturating_sub(two.count()), offset.min(one.count()));
    while low < high {
        let middle = low + (high - low) / 2;
        let (next, last) = (one.row(sorts, middle), two.row(sorts, offset - middle - 1));
        let is_too_few = next.zip(last).is_some_and(|(next, last)| next.compare(&last, sorts).is_le());
        (low, high) = if is_too_few { (middle + 1, high) } else { (low, middle) };
    }
    low
}

/// Two lists in one order, as one.
fn merged(one: Vec<Ordered<'_>>, two: Vec<Ordered<'_>>, sorts: &[Sort]) -> Vec<SessionRow> {
    let (mut one, mut two) = (one.into_iter().peekable(), two.into_iter().peekable());
    let next = move || {
        let is_first = match (one.peek(), two.peek()) {
            (Some(a), Some(b)) => a.compare(b, sorts).is_le(),
            (first, _) => first.is_some(),
        };
        let next = if is_first { one.next() } else { two.next() };
        next.map(|ordered| ordered.row)
    };
    std::iter::from_fn(next).collect()
}
