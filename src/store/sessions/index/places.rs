//! The sessions at each place, a country and a network, by username and name: as lists stand that nobody asked
//! an order of. So the first page of a filter is the beginning of a few lists, however few or many match. A place
//! of very many, as all are where no file knows any, stands as they came: each new one in the middle would move
//! half of them, and a walk along all sessions finds enough of them soon.

use crate::domain::listing::SortKey;
use crate::store::sessions::index::bits::places_of;
use crate::store::sessions::index::pages::Page;
use crate::store::sessions::index::table::{Table, at};

/// Above this many sessions a place stands as they came; by name again from half of it down. Tests have fewer.
const MANY: usize = if cfg!(test) { 450 } else { 65_536 };
/// How many entries of lists may be looked at for a page of several.
const LOOKS: usize = 16_384;

/// The slots at a place.
#[derive(Default)]
pub(in crate::store) struct PlaceSlots {
    pub slots: Vec<u32>,
    /// Whether they stand by number, not by name.
    is_by_slot: bool,
}

impl Table {
    /// Files a slot under its place. While the table is filled they stand as they come.
    pub fn enter_place(&mut self, place: u32, slot: u32) {
        let number = place as usize;
        if self.at_places.len() <= number {
            self.at_places.resize_with(number + 1, PlaceSlots::default);
        }
        let Some(mut place) = self.at_places.get_mut(number).map(std::mem::take) else { return };
        if self.filling.is_some() {
            place.slots.push(slot);
        } else {
            if place.slots.len() >= MANY && !place.is_by_slot {
                place.slots.sort_unstable();
                place.is_by_slot = true;
            }
            if place.slots.len() == place.slots.capacity() {
                // Doubling would keep as much again unused.
                place.slots.reserve_exact(place.slots.len() / 16 + 4);
            }
            place.slots.insert(self.rank_at(&place, slot), slot);
        }
        if let Some(home) = self.at_places.get_mut(number) {
            *home = place;
        }
    }

    /// Takes a slot from its place, before anything about it changes.
    pub fn leave_place(&mut self, slot: u32) {
        let number = at(&self.places, slot) as usize;
        let Some(mut place) = self.at_places.get_mut(number).map(std::mem::take) else { return };
        let rank = self.rank_at(&place, slot);
        if place.slots.get(rank) == Some(&slot) {
            place.slots.remove(rank);
        }
        if place.is_by_slot && place.slots.len() < MANY / 2 {
            place.slots.sort_unstable_by(|a, b| self.compare(SortKey::Username, *a, *b));
            place.is_by_slot = false;
        }
        if let Some(home) = self.at_places.get_mut(number) {
            *home = place;
        }
    }

    /// Where a slot stands, or belongs.
    fn rank_at(&self, place: &PlaceSlots, slot: u32) -> usize {
        if place.is_by_slot || self.filling.is_some() {
            return place.slots.partition_point(|other| *other < slot);
        }
        place.slots.partition_point(|other| self.compare(SortKey::Username, *other, slot).is_lt())
    }

    /// Puts in order what came while the table was filled.
    pub fn sort_places(&mut self) {
        let lists = std::mem::take(&mut self.at_places).into_iter().map(|place| {
            let is_by_slot = place.slots.len() > MANY;
            let slots = if is_by_slot { place.slots } else { Vec::with_capacity(place.slots.len()) };
            PlaceSlots { slots, is_by_slot }
        });
        let mut lists: Vec<PlaceSlots> = lists.collect();
        for slot in self.order(SortKey::Username).from(0) {
            if let Some(place) = lists.get_mut(at(&self.places, slot) as usize).filter(|place| !place.is_by_slot) {
                place.slots.push(slot);
            }
        }
        for place in lists.iter_mut().filter(|place| place.is_by_slot) {
            place.slots.shrink_to_fit();
        }
        self.at_places = lists;
    }

    /// A page of the sessions at these places, by username; `None` when there are too many lists to merge.
    pub fn page_at(&self, places: &[u64], Page { offset, limit }: Page) -> Option<Vec<u32>> {
        let found = places_of(places).into_iter().filter_map(|place| self.at_places.get(place as usize));
        let found: Vec<&PlaceSlots> = found.filter(|place| !place.slots.is_empty()).collect();
        if found.iter().any(|place| place.is_by_slot) {
            return None;
        }
        let mut lists: Vec<&[u32]> = found.into_iter().map(|place| place.slots.as_slice()).collect();
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
