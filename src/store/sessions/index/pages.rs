//! Which of the matches are on a page.
//!
//! The ways that [`plan`](crate::store::sessions::index::plan) chooses from: a walk along an order from its
//! beginning, a walk from the block of the order in which the page begins, and a sort of what matches.

use std::cmp::Ordering;

use crate::domain::listing::{Sort, SortKey};
use crate::store::sessions::index::columns::at;
use crate::store::sessions::index::names::first_bytes;
use crate::store::sessions::index::order::{Counts, Place, Ranked};
use crate::store::sessions::index::plan::Page;
use crate::store::sessions::index::select::Question;
use crate::store::sessions::index::table::Table;

/// By what a page is sorted.
#[derive(Clone, Copy)]
pub(in crate::store) struct Sorting<'a> {
    pub first: Sort,
    /// For those that are equal by the first.
    rest: &'a [Sort],
}

impl<'a> Sorting<'a> {
    /// By these, in turn, and by uuid in the end. A key that all matches share is left out: it would make
    /// one large run of equal sessions.
    pub fn of(question: &Question, sorts: &'a [Sort]) -> Self {
        let is_shared = |sort: &Sort| match sort.key {
            SortKey::User | SortKey::Username => question.user.is_some(),
            SortKey::UserAgent => question.user_agent_id.is_some(),
            SortKey::Country => question.filter.country.is_some(),
            _ => false,
        };
        let mut sorts = sorts;
        while let Some((first, rest)) = sorts.split_first() {
            if !is_shared(first) {
                return Self { first: *first, rest: if first.key == SortKey::Uuid { &[] } else { rest } };
            }
            sorts = rest;
        }
        Self { first: Sort { key: SortKey::Uuid, is_descending: false }, rest: &[] }
    }

    /// Whether it is the order itself: ascending, and equal sessions by uuid.
    pub fn is_plain(self) -> bool {
        self.rest.is_empty() && !self.first.is_descending
    }

    /// Whether it is the order from its end, except that equal sessions are by uuid, ascending.
    pub fn is_turned(self) -> bool {
        self.rest.is_empty() && self.first.is_descending
    }
}

impl Table {
    /// The slots of a page near the beginning, found by walking along the order and looking at each slot on
    /// the way. `None` when that takes more than `most` slots.
    pub fn walked_page(&self, is_wanted: impl Fn(u32) -> bool, by: Sorting<'_>, page: Page, most: usize) -> Option<Vec<u32>> {
        let left = std::cell::Cell::new(most);
        // Ends the walk when nothing is left; that is seen afterwards.
        let goes_on = |_: &u32| left.replace(left.get().saturating_sub(1)) > 0;
        let order = self.order(by.first.key);
        let is_wanted = |slot: &u32| is_wanted(*slot);
        let slots: Vec<u32> = if by.is_turned() {
            let walk = Turned::new(self, by.first.key, order.end()).take_while(goes_on).filter(is_wanted);
            walk.skip(page.offset).take(page.limit).collect()
        } else if by.first.is_descending {
            let walk = order.down(order.end()).take_while(goes_on).filter(is_wanted);
            Runs::new(self, walk, by).skip(page.offset).take(page.limit).collect()
        } else {
            let walk = order.from(0).take_while(goes_on).filter(is_wanted);
            Runs::new(self, walk, by).skip(page.offset).take(page.limit).collect()
        };
        (left.get() > 0).then_some(slots)
    }

    /// The slots of a page anywhere, found by the number of wanted slots in each block of the order.
    pub fn counted_page(&self, counts: &Counts, is_wanted: impl Fn(u32) -> bool, by: Sorting<'_>, page: Page) -> Vec<u32> {
        self.find_page(self.order(by.first.key), counts, &is_wanted, by, page).unwrap_or_default()
    }

    fn find_page(
        &self,
        order: &Ranked,
        counts: &Counts,
        is_wanted: &impl Fn(u32) -> bool,
        by: Sorting<'_>,
        Page { offset, limit }: Page,
    ) -> Option<Vec<u32>> {
        let total = counts.total();
        let last = total.checked_sub(1)?;
        let nth = if by.first.is_descending { last.checked_sub(offset)? } else { offset };
        let (block, before) = counts.block_of(nth);
        let mut from_block = order.up(block).filter(|slot| is_wanted(*slot));
        if by.is_plain() {
            return Some(from_block.skip(nth - before).take(limit).collect());
        }
        // Equal ones are sorted among themselves: all of those among which the page begins.
        let slot = from_block.nth(nth - before)?;
        let compare = |other: u32| self.compare_values(by.first.key, other, slot);
        if by.first.is_descending {
            let end = order.place(|other| compare(other).is_le());
            let behind = total - order.count_before(end, counts, is_wanted);
            if by.is_turned() {
                // The page begins among equal ones, which ascend; those before them descend.
                let start = order.place(|other| compare(other).is_lt());
                let nth = order.count_before(start, counts, is_wanted) + offset - behind;
                let (block, before) = counts.block_of(nth);
                let equal = order.up(block).filter(|slot| is_wanted(*slot)).skip(nth - before);
                let equal = equal.take_while(|slot| compare(*slot).is_eq());
                let others = Turned::new(self, by.first.key, start).filter(|slot| is_wanted(*slot));
                return Some(equal.chain(others).take(limit).collect());
            }
            let walk = order.down(end).filter(|slot| is_wanted(*slot));
            return Some(Runs::new(self, walk, by).skip(offset - behind).take(limit).collect());
        }
        let start = order.place(|other| compare(other).is_lt());
        let before = order.count_before(start, counts, is_wanted);
        let walk = order.up(start).filter(|slot| is_wanted(*slot));
        Some(Runs::new(self, walk, by).skip(offset - before).take(limit).collect())
    }

    /// A page of a few slots, sorting no more than that.
    pub fn sorted_page(&self, slots: Vec<u32>, by: Sorting<'_>, Page { offset, limit }: Page) -> Vec<u32> {
        let turn = if by.first.is_descending { u64::MAX } else { 0 };
        // Read once for each, one after the other: a comparison would wait for memory each time.
        let mut keyed: Vec<(u64, u32)> = slots.into_iter().map(|slot| (self.beginning(by.first.key, slot) ^ turn, slot)).collect();
        let compare = |a: &(u64, u32), b: &(u64, u32)| {
            let in_full = || self.compare_first(by.first, a.1, b.1).then_with(|| self.compare_all(by.rest, a.1, b.1));
            a.0.cmp(&b.0).then_with(in_full)
        };
        if offset >= keyed.len() {
            return Vec::new();
        }
        if offset > 0 {
            keyed.select_nth_unstable_by(offset, compare);
            keyed.drain(..offset);
        }
        if limit < keyed.len() {
            keyed.select_nth_unstable_by(limit, compare);
            keyed.truncate(limit);
        }
        keyed.sort_unstable_by(compare);
        keyed.into_iter().map(|(_, slot)| slot).collect()
    }

    /// The beginning of what a session is sorted by, as a number: a lower one comes first.
    pub fn beginning(&self, key: SortKey, slot: u32) -> u64 {
        match key {
            SortKey::Uuid => (at(&self.uuids, slot) >> 64) as u64,
            SortKey::User => in_order(self.user_id(slot)),
            SortKey::Username => at(&self.user_names.beginnings, at(&self.users, slot)),
            SortKey::UserAgent => at(&self.agent_texts.beginnings, at(&self.agents, slot)),
            SortKey::LastIp => first_bytes(&self.address_of(slot).sort_key()),
            SortKey::LastUsed => in_order(at(&self.last_used, slot)),
            SortKey::Expires => in_order(at(&self.expires, slot)),
            SortKey::Created => in_order(at(&self.created, slot)),
            SortKey::Country => first_bytes(self.country(at(&self.places, slot)).as_bytes()),
        }
    }

    fn compare_first(&self, sort: Sort, a: u32, b: u32) -> Ordering {
        let order = self.compare_values(sort.key, a, b);
        if sort.is_descending { order.reverse() } else { order }
    }

    fn compare_all(&self, sorts: &[Sort], a: u32, b: u32) -> Ordering {
        let by_sorts = sorts.iter().map(|sort| self.compare_first(*sort, a, b)).find(|order| order.is_ne());
        by_sorts.unwrap_or_else(|| self.compare(SortKey::Uuid, a, b))
    }
}

/// A number without a sign, in the order of those with one.
fn in_order(number: i64) -> u64 {
    number.cast_unsigned() ^ 1 << 63
}

/// The slots of an order before a place, from there down; equal ones ascending by uuid.
struct Turned<'a> {
    table: &'a Table,
    key: SortKey,
    /// Where what came ends.
    end: Place,
    /// What is left of the present run, last first; of a long one, in the order itself.
    run: Vec<u32>,
    long: Option<Box<dyn Iterator<Item = u32> + 'a>>,
}

impl<'a> Turned<'a> {
    /// The longest run that is gathered. Where a longer one begins is looked up: it may hold a large part of
    /// all sessions.
    const SHORT: usize = 16;

    fn new(table: &'a Table, key: SortKey, end: Place) -> Self {
        Self { table, key, end, run: Vec::new(), long: None }
    }
}

impl Iterator for Turned<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let known = self.long.as_mut().and_then(Iterator::next).or_else(|| self.run.pop());
        if known.is_some() {
            return known;
        }
        let (table, key, order) = (self.table, self.key, self.table.order(self.key));
        let mut down = order.down(self.end);
        let first = down.next()?;
        let is_equal = move |slot: &u32| table.compare_values(key, *slot, first).is_eq();
        self.run.push(first);
        self.run.extend(down.take(Self::SHORT).take_while(is_equal));
        if self.run.len() <= Self::SHORT {
            self.end = order.back(self.end, self.run.len());
            return self.run.pop();
        }
        self.run.clear();
        self.end = order.place(|other| table.compare_values(key, other, first).is_lt());
        let mut long = order.up(self.end).take_while(is_equal);
        let next = long.next();
        self.long = Some(Box::new(long));
        next
    }
}

/// Slots that come by the first key, with equal ones put in order by the others and by name.
struct Runs<'a, I: Iterator<Item = u32>> {
    table: &'a Table,
    slots: std::iter::Peekable<I>,
    by: Sorting<'a>,
    /// What is left of the present run, last first.
    run: Vec<u32>,
}

impl<'a, I: Iterator<Item = u32>> Runs<'a, I> {
    fn new(table: &'a Table, slots: I, by: Sorting<'a>) -> Self {
        Self { table, slots: slots.peekable(), by, run: Vec::new() }
    }
}

impl<I: Iterator<Item = u32>> Iterator for Runs<'_, I> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        if let Some(slot) = self.run.pop() {
            return Some(slot);
        }
        let first = self.slots.next()?;
        if self.by.is_plain() {
            return Some(first);
        }
        let is_equal = |slot: &u32| self.table.compare_values(self.by.first.key, *slot, first).is_eq();
        while let Some(slot) = self.slots.next_if(is_equal) {
            if self.run.is_empty() {
                self.run.push(first);
            }
            self.run.push(slot);
        }
        if self.run.is_empty() {
            return Some(first);
        }
        self.run.sort_unstable_by(|a, b| self.table.compare_all(self.by.rest, *b, *a));
        self.run.pop()
    }
}
