//! The sessions of each place (a country and a network), by username and name.
//!
//! That is the order of lists that ask for none, so the first page of a filter by country or network is
//! the beginning of a few lists, however many match. Without them, "filter by autonomous system" took
//! 0.65 and 0.44 ms where its bound is 0.4; with them 0.25 and 0.20 (docs/PERFORMANCE.md).

use std::cmp::Ordering;

/// Above this many sessions a list is by slot: a new one in the middle would move half of them, and a walk
/// along all sessions finds enough of them soon. Below half of it, it is by name again. Tests have fewer.
const MANY: usize = if cfg!(test) { 450 } else { 65_536 };

/// The slots of each place, by the place's number.
#[derive(Default)]
pub(in crate::store) struct Places(Vec<PlaceSlots>);

/// The slots of one place.
#[derive(Default)]
pub(in crate::store) struct PlaceSlots {
    slots: Vec<u32>,
    /// Whether they are in the order of their numbers, not of their names.
    is_by_slot: bool,
}

impl PlaceSlots {
    /// Its slots.
    pub fn slots(&self) -> &[u32] {
        &self.slots
    }

    /// Whether its slots are in the order of their names.
    pub fn is_by_name(&self) -> bool {
        !self.is_by_slot
    }

    /// The rank of a slot. `by_name` compares another slot with it.
    fn rank(&self, slot: u32, by_name: impl Fn(u32) -> Ordering) -> usize {
        if self.is_by_slot {
            return self.slots.partition_point(|other| *other < slot);
        }
        self.slots.partition_point(|other| by_name(*other).is_lt())
    }
}

impl Places {
    /// The slots of one place.
    pub fn get(&self, place: u32) -> Option<&PlaceSlots> {
        self.0.get(place as usize)
    }

    /// Adds a slot at the end of its place, as it comes while the table is filled.
    pub fn append(&mut self, place: u32, slot: u32) {
        if let Some(place) = self.place(place) {
            place.slots.push(slot);
        }
    }

    /// Adds a slot to its place. `by_name` compares another slot with it.
    pub fn enter(&mut self, place: u32, slot: u32, by_name: impl Fn(u32) -> Ordering) {
        let Some(place) = self.place(place) else { return };
        if place.slots.len() >= MANY && !place.is_by_slot {
            place.slots.sort_unstable();
            place.is_by_slot = true;
        }
        if place.slots.len() == place.slots.capacity() {
            // Doubling would keep as much again unused.
            place.slots.reserve_exact(place.slots.len() / 16 + 4);
        }
        let rank = place.rank(slot, by_name);
        place.slots.insert(rank, slot);
    }

    /// Removes a slot from its place, before anything about it changes. `compare` compares two slots by name.
    pub fn leave(&mut self, place: u32, slot: u32, compare: impl Fn(u32, u32) -> Ordering) {
        let Some(place) = self.place(place) else { return };
        let rank = place.rank(slot, |other| compare(other, slot));
        if place.slots.get(rank) == Some(&slot) {
            place.slots.remove(rank);
        }
        if place.is_by_slot && place.slots.len() < MANY / 2 {
            place.slots.sort_unstable_by(|a, b| compare(*a, *b));
            place.is_by_slot = false;
        }
    }

    /// Sorts what was appended, given all slots by name with the place of each.
    pub fn sort(&mut self, by_name: impl Iterator<Item = (u32, u32)>) {
        for place in &mut self.0 {
            place.is_by_slot = place.slots.len() > MANY;
            if place.is_by_slot {
                place.slots.shrink_to_fit();
            } else {
                place.slots = Vec::with_capacity(place.slots.len());
            }
        }
        for (place, slot) in by_name {
            if let Some(place) = self.0.get_mut(place as usize).filter(|place| !place.is_by_slot) {
                place.slots.push(slot);
            }
        }
    }

    fn place(&mut self, place: u32) -> Option<&mut PlaceSlots> {
        let number = place as usize;
        if self.0.len() <= number {
            self.0.resize_with(number + 1, PlaceSlots::default);
        }
        self.0.get_mut(number)
    }
}
