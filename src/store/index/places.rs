//! The sessions at each place, a country and a network, by username and name: as lists stand that nobody asked
//! an order of. So the first page of a filter is the beginning of a few lists, however few or many match.

use super::bits::places_of;
use super::pages::Page;
use super::table::{Table, at};
use crate::domain::listing::SortKey;

/// How many entries of lists may be looked at for a page of several.
const LOOKS: usize = 16_384;

impl Table {
    /// Files a slot under its place. While the table is filled they stand as they come.
    pub fn enter_place(&mut self, place: u32, slot: u32) {
        let number = place as usize;
        if self.slots_at.len() <= number {
            self.slots_at.resize_with(number + 1, Vec::new);
        }
        let Some(mut slots) = self.slots_at.get_mut(number).map(std::mem::take) else { return };
        if self.filling.is_some() {
            slots.push(slot);
        } else {
            if slots.len() == slots.capacity() {
                // Doubling would keep as much again unused.
                slots.reserve_exact(slots.len() / 16 + 4);
            }
            slots.insert(self.rank_at(&slots, slot), slot);
        }
        if let Some(list) = self.slots_at.get_mut(number) {
            *list = slots;
        }
    }

    /// Takes a slot from its place, before anything about it changes.
    pub fn leave_place(&mut self, slot: u32) {
        let place = at(&self.places, slot) as usize;
        let Some(mut slots) = self.slots_at.get_mut(place).map(std::mem::take) else { return };
        let rank = if self.filling.is_some() {
            slots.iter().position(|other| *other == slot).unwrap_or(slots.len())
        } else {
            self.rank_at(&slots, slot)
        };
        if slots.get(rank) == Some(&slot) {
            slots.remove(rank);
        }
        if let Some(list) = self.slots_at.get_mut(place) {
            *list = slots;
        }
    }

    /// Where a slot stands, or belongs.
    fn rank_at(&self, slots: &[u32], slot: u32) -> usize {
        slots.partition_point(|other| self.compare(SortKey::Username, *other, slot).is_lt())
    }

    /// Puts in order what came while the table was filled.
    pub fn sort_places(&mut self) {
        let mut sorted: Vec<Vec<u32>> = self.slots_at.iter().map(|slots| Vec::with_capacity(slots.len())).collect();
        for slot in self.order(SortKey::Username).from(0) {
            if let Some(list) = sorted.get_mut(at(&self.places, slot) as usize) {
                list.push(slot);
            }
        }
        self.slots_at = sorted;
    }

    /// A page of the sessions at these places, by username; `None` when there are too many lists to merge.
    pub fn page_at(&self, places: &[u64], Page { offset, limit }: Page) -> Option<Vec<u32>> {
        let numbers = places_of(places);
        let mut lists: Vec<&[u32]> =
            numbers.into_iter().filter_map(|place| self.slots_at.get(place as usize)).map(Vec::as_slice).collect();
        lists.retain(|list| !list.is_empty());
        if let [list] = lists.as_slice() {
            return Some(list.iter().skip(offset).take(limit).copied().collect());
        }
        let end = offset.saturating_add(limit);
        if end.saturating_mul(lists.len()) > LOOKS {
            return None;
        }
        // The first of each list that is left, with the beginning of its username.
        let head = |list: &[u32]| list.first().map(|slot| (self.beginning(SortKey::Username, *slot), *slot));
        let mut heads: Vec<_> = lists.iter().filter_map(|list| head(list)).collect();
        let mut page = Vec::with_capacity(limit.min(LOOKS));
        for n in 0..end {
            let first = heads
                .iter()
                .enumerate()
                .min_by(|(_, a), (_, b)| a.0.cmp(&b.0).then_with(|| self.compare(SortKey::Username, a.1, b.1)));
            let Some(least) = first.map(|(least, _)| least) else { break };
            let (Some(list), Some(place)) = (lists.get_mut(least), heads.get_mut(least)) else { break };
            if n >= offset {
                page.push(place.1);
            }
            *list = list.get(1..).unwrap_or_default();
            match head(list) {
                Some(next) => *place = next,
                None => {
                    lists.swap_remove(least);
                    heads.swap_remove(least);
                }
            }
        }
        Some(page)
    }
}
