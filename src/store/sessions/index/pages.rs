//! Which of the matches are on a page.
//!
//! A page near the beginning is found by walking along its order. For one far away it is counted how
//! many match in each block of the order, so that the walk begins in the block where the page does.
//! Few matches are sorted.

use std::cmp::Ordering;

use crate::domain::listing::{Sort, SortKey, Window};
use crate::store::sessions::index::names::first_bytes;
use crate::store::sessions::index::order::{Counts, Place, Ranked};
use crate::store::sessions::index::select::{Condition, PASS, Question};
use crate::store::sessions::index::table::{Table, at};

/// Sorting one candidate in costs as much as passing over so many sessions in order.
const SORT: usize = 10;
/// The same, where each session that is passed over is looked at, not a bit of it.
const SORT_UNSEEN: usize = 2;

/// By what a page is sorted.
#[derive(Clone, Copy)]
pub(in crate::store) struct Sorting<'a> {
    pub first: Sort,
    /// For those that are equal by the first.
    rest: &'a [Sort],
}

impl<'a> Sorting<'a> {
    /// By these, in turn, and by name in the end. What all matches share orders nothing, and leads to
    /// one large run of equal ones.
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

    /// Whether the order itself is what is asked for: ascending, equal ones stand by name in it.
    pub fn is_plain(self) -> bool {
        self.rest.is_empty() && !self.first.is_descending
    }

    /// Whether it is the order from its end, but for equal ones, which stand by name all the same.
    fn is_turned(self) -> bool {
        self.rest.is_empty() && self.first.is_descending
    }
}

/// A part of a list.
#[derive(Clone, Copy)]
pub(in crate::store) struct Page {
    pub offset: usize,
    pub limit: usize,
}

impl Page {
    pub fn of(window: Window) -> Self {
        Self { offset: usize::try_from(window.offset).unwrap_or(usize::MAX), limit: usize::try_from(window.limit).unwrap_or(0) }
    }

    /// How many sessions a walk from the beginning passes over, when so many of all match.
    fn walk(self, matches: usize, all: usize) -> usize {
        self.offset.saturating_add(self.limit).saturating_mul(all) / matches.max(1)
    }
}

impl Table {
    /// How many sessions a walk along an order may pass over.
    pub fn longest_walk(&self) -> usize {
        (self.slots() as usize / PASS).max(256)
    }

    /// Whether a walk from the beginning to this page is short.
    pub fn is_near(&self, matches: usize, page: Page) -> bool {
        page.walk(matches, self.slots() as usize) <= self.longest_walk()
    }

    /// Whether so many matches are sorted in less time than a page of them takes to walk over, once
    /// they are counted.
    pub fn is_thin(&self, matches: usize, page: Page) -> bool {
        matches.saturating_mul(matches).saturating_mul(SORT) <= page.limit.saturating_mul(self.slots() as usize)
    }

    /// Whether so many matches are sorted in less time than counting them takes.
    pub fn is_sorted_sooner(&self, matches: usize) -> bool {
        matches.saturating_mul(SORT) <= self.slots() as usize
    }

    /// The slots of a page near the beginning, found by walking along the order and looking at each
    /// session on the way: without gathering all that match. `None` when more than `most` would be passed over.
    pub fn first_page(&self, conditions: &[Condition], by: Sorting<'_>, page: Page, most: usize) -> Option<Vec<u32>> {
        // So few candidates stand so far apart in any order that gathering and sorting them takes less time.
        let candidates = self.count_candidates(conditions);
        if page.walk(candidates, self.slots() as usize) > most.min(candidates.saturating_mul(SORT_UNSEEN)) {
            return None;
        }
        let left = std::cell::Cell::new(most);
        // Ends the walk, and is seen afterwards.
        let goes_on = |_: &u32| left.replace(left.get().saturating_sub(1)) > 0;
        let order = self.order(by.first.key);
        let is_wanted = |slot: &u32| self.holds_all(*slot, conditions);
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

    /// The slots of a page, found by walking along the order from its beginning.
    pub fn walked_page(&self, is_wanted: impl Fn(u32) -> bool, by: Sorting<'_>, page: Page) -> Vec<u32> {
        let order = self.order(by.first.key);
        let is_wanted = |slot: &u32| is_wanted(*slot);
        if by.is_turned() {
            Turned::new(self, by.first.key, order.end()).filter(is_wanted).skip(page.offset).take(page.limit).collect()
        } else if by.first.is_descending {
            Runs::new(self, order.down(order.end()).filter(is_wanted), by).skip(page.offset).take(page.limit).collect()
        } else {
            Runs::new(self, order.from(0).filter(is_wanted), by).skip(page.offset).take(page.limit).collect()
        }
    }

    /// The slots of a page, wherever it is: it is counted how many are wanted in each block of the order.
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

    /// The beginning of what a session is sorted by, as a number: who has a lower one comes first.
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

/// The slots of an order before a place, from there down; equal ones as they stand, ascending by name.
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
    /// Runs of up to so many are gathered. Of longer ones it is looked up where they begin: there may be a part
    /// of all sessions in one.
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
