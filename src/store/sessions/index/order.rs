//! Sessions in an order, by rank: finds the n-th without a walk over those before it.

use std::cmp::Ordering;

/// The most slots in a block; a block that grows beyond it is split in two.
const BLOCK: usize = 1024;
/// How many slots a block has at first.
const FILL: usize = 768;
/// How many slots a full block makes room for: doubling would keep as much again unused.
const ROOM: usize = 64;

/// Slots of sessions in ascending order, in blocks, so that one in the middle is added and removed
/// quickly. The owner compares slots, and never gives `Equal` for two of them.
#[derive(Default)]
pub(in crate::store) struct Ranked {
    blocks: Vec<Block>,
    /// The latest stamp.
    clock: u64,
}

#[derive(Default)]
struct Block {
    slots: Vec<u32>,
    /// Set anew with each change of the block, and never used twice.
    stamp: u64,
}

/// Between two slots of an order.
#[derive(Clone, Copy)]
pub(in crate::store) struct Place {
    block: usize,
    within: usize,
}

/// The number of wanted slots in each block, when they were last counted.
#[derive(Default)]
pub(in crate::store) struct Counts {
    clock: u64,
    /// Stamps of blocks, and the number of wanted slots before and in each.
    blocks: Vec<(u64, u32)>,
}

impl Counts {
    /// How many slots are wanted.
    pub fn total(&self) -> usize {
        self.before(self.blocks.len())
    }

    /// How many wanted slots are in the blocks before this one.
    fn before(&self, block: usize) -> usize {
        block.checked_sub(1).and_then(|last| self.blocks.get(last)).map_or(0, |(_, end)| *end as usize)
    }

    /// Whether they have been counted before.
    pub fn is_counted(&self) -> bool {
        self.clock > 0
    }

    /// Where the block begins that has the n-th wanted slot, and how many are wanted before it.
    pub fn block_of(&self, nth: usize) -> (Place, usize) {
        let block = self.blocks.partition_point(|(_, end)| *end as usize <= nth);
        (Place { block, within: 0 }, self.before(block))
    }
}

impl Ranked {
    /// No slots.
    pub const EMPTY: Self = Self { blocks: Vec::new(), clock: 0 };

    /// From slots that are in order.
    pub fn new(sorted: impl Iterator<Item = u32>) -> Self {
        let mut ranked = Self::default();
        let mut sorted = sorted.peekable();
        while sorted.peek().is_some() {
            let mut slots = Vec::with_capacity(FILL);
            slots.extend(sorted.by_ref().take(FILL));
            ranked.clock += 1;
            ranked.blocks.push(Block { slots, stamp: ranked.clock });
        }
        ranked
    }

    /// Adds a slot. `place` compares a slot of the list with the new one.
    pub fn insert(&mut self, slot: u32, place: impl Fn(u32) -> Ordering) {
        let Place { block: at, within } = self.place(|other| place(other).is_lt());
        if self.blocks.is_empty() {
            self.blocks.push(Block::default());
        }
        let Some(block) = self.blocks.get_mut(at) else { return };
        if block.slots.len() == block.slots.capacity() {
            block.slots.reserve_exact(ROOM);
        }
        block.slots.insert(within, slot);
        self.clock += 1;
        block.stamp = self.clock;
        if block.slots.len() > BLOCK {
            let rest = block.slots.split_off(BLOCK / 2);
            block.slots.shrink_to(FILL);
            self.clock += 1;
            self.blocks.insert(at + 1, Block { slots: rest, stamp: self.clock });
        }
    }

    /// Removes a slot, found by where it is in the order.
    pub fn remove(&mut self, slot: u32, place: impl Fn(u32) -> Ordering) {
        let Some(at) = self.touch(slot, place) else { return };
        let Some(block) = self.blocks.get_mut(at.block) else { return };
        block.slots.remove(at.within);
        if block.slots.is_empty() {
            self.blocks.remove(at.block);
        }
    }

    /// Takes note that something about a slot changed, though not its place, and gives that.
    pub fn touch(&mut self, slot: u32, place: impl Fn(u32) -> Ordering) -> Option<Place> {
        let first = self.place(|other| place(other).is_lt());
        // The slot is first in the next block when the one before ends just below it.
        for at in [first, Place { block: first.block + 1, within: 0 }] {
            let block = self.blocks.get_mut(at.block)?;
            if block.slots.get(at.within) == Some(&slot) {
                self.clock += 1;
                block.stamp = self.clock;
                return Some(at);
            }
        }
        None
    }

    /// Behind the slots that fulfil `is_before`, which later ones do not.
    pub fn place(&self, is_before: impl Fn(u32) -> bool) -> Place {
        let first_is_before = |block: &Block| block.slots.first().is_some_and(|slot| is_before(*slot));
        let block = self.blocks.partition_point(first_is_before).saturating_sub(1);
        let within = self.blocks.get(block).map_or(0, |block| block.slots.partition_point(|slot| is_before(*slot)));
        Place { block, within }
    }

    /// How many slots at the beginning fulfil `is_before`, which later ones do not.
    pub fn rank(&self, is_before: impl Fn(u32) -> bool) -> usize {
        let Place { block, within } = self.place(is_before);
        self.blocks.iter().take(block).map(|block| block.slots.len()).sum::<usize>() + within
    }

    /// The slots from a rank on, ascending.
    pub fn from(&self, rank: usize) -> impl Iterator<Item = u32> {
        let (mut block, mut within) = (0, rank);
        while let Some(full) = self.blocks.get(block).filter(|block| block.slots.len() <= within) {
            within -= full.slots.len();
            block += 1;
        }
        self.up(Place { block, within })
    }

    /// The slots from a place on, ascending.
    pub fn up(&self, from: Place) -> impl Iterator<Item = u32> {
        let first = self.blocks.get(from.block).and_then(|block| block.slots.get(from.within..)).unwrap_or_default();
        let others = self.blocks.get(from.block + 1..).unwrap_or_default();
        first.iter().chain(others.iter().flat_map(|block| &block.slots)).copied()
    }

    /// The slots before a place, descending.
    pub fn down(&self, from: Place) -> impl Iterator<Item = u32> {
        let first = self.blocks.get(from.block).and_then(|block| block.slots.get(..from.within)).unwrap_or_default();
        let others = self.blocks.get(..from.block).unwrap_or_default();
        first.iter().rev().chain(others.iter().rev().flat_map(|block| block.slots.iter().rev())).copied()
    }

    /// The place `count` slots before another, or the beginning.
    pub fn back(&self, from: Place, count: usize) -> Place {
        let Place { mut block, mut within } = from;
        let mut left = count;
        while left > within && block > 0 {
            left -= within;
            block -= 1;
            within = self.blocks.get(block).map_or(0, |block| block.slots.len());
        }
        Place { block, within: within.saturating_sub(left) }
    }

    /// Behind all slots.
    pub fn end(&self) -> Place {
        Place { block: self.blocks.len(), within: 0 }
    }

    /// Counts what is wanted in blocks that changed since these counts were made. What is wanted may
    /// have changed for slots that came, went or were [touched](Ranked::touch), and for no other.
    pub fn recount(&self, counts: &mut Counts, is_wanted: impl Fn(u32) -> bool) {
        if counts.clock == self.clock {
            return;
        }
        let mut end = 0;
        let mut before = 0;
        let mut known = counts.blocks.iter().map(|(stamp, end)| (*stamp, end - std::mem::replace(&mut before, *end)));
        let blocks = self.blocks.iter().map(|block| {
            // Blocks that did not change are in the same order as then.
            let unchanged = (block.stamp <= counts.clock).then(|| known.find(|(stamp, _)| *stamp == block.stamp)).flatten();
            end += match unchanged {
                Some((_, wanted)) => wanted,
                None => block.slots.iter().map(|slot| u32::from(is_wanted(*slot))).sum(),
            };
            (block.stamp, end)
        });
        counts.blocks = blocks.collect();
        counts.clock = self.clock;
    }

    /// Counts with all slots wanted.
    pub fn count_all(&self) -> Counts {
        let mut counts = Counts::default();
        let mut end = 0;
        counts.blocks.extend(self.blocks.iter().map(|block| {
            end += u32::try_from(block.slots.len()).unwrap_or(0);
            (block.stamp, end)
        }));
        counts
    }

    /// How many slots are wanted before a place.
    pub fn count_before(&self, place: Place, counts: &Counts, is_wanted: impl Fn(u32) -> bool) -> usize {
        let part = self.blocks.get(place.block).and_then(|block| block.slots.get(..place.within)).unwrap_or_default();
        counts.before(place.block) + part.iter().filter(|slot| is_wanted(**slot)).count()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn stays_in_order_as_slots_come_and_go(
            start in prop::collection::btree_set(0_u32..20_000, 0..3000),
            moves in prop::collection::vec((any::<bool>(), 0_u32..20_000), 0..2000),
            recounts in prop::collection::vec(0..2000_usize, 0..6),
        ) {
            let mut naive = start;
            let mut ranked = Ranked::new(naive.iter().copied());
            // Slots are wanted by what they are, and those of this set the other way round.
            let (mut counts, mut turned) = (Counts::default(), std::collections::BTreeSet::new());
            for (step, (is_new, slot)) in moves.into_iter().enumerate() {
                if recounts.contains(&step) {
                    let is_wanted = |slot| (slot % 3 == 0) != turned.contains(&slot);
                    ranked.recount(&mut counts, is_wanted);
                    let wanted: Vec<u32> = naive.iter().copied().filter(|slot| is_wanted(*slot)).collect();
                    prop_assert_eq!(counts.total(), wanted.len());
                    for (nth, slot) in wanted.iter().enumerate().step_by(97) {
                        let (start, before) = counts.block_of(nth);
                        prop_assert_eq!(ranked.up(start).filter(|slot| is_wanted(*slot)).nth(nth - before), Some(*slot));
                        let place = ranked.place(|other| other < *slot);
                        prop_assert_eq!(ranked.count_before(place, &counts, is_wanted), nth);
                    }
                }
                if is_new && naive.insert(slot) {
                    ranked.insert(slot, |other| other.cmp(&slot));
                } else if !is_new && naive.remove(&slot) {
                    ranked.remove(slot, |other| other.cmp(&slot));
                } else if ranked.touch(slot, |other| other.cmp(&slot)).is_some() && !turned.remove(&slot) {
                    turned.insert(slot);
                }
            }
            let sorted: Vec<u32> = naive.into_iter().collect();
            prop_assert!(ranked.from(0).eq(sorted.iter().copied()));
            for rank in [0, 1, sorted.len() / 2, sorted.len().saturating_sub(1), sorted.len(), sorted.len() + 5] {
                let up: Vec<u32> = sorted.iter().skip(rank).copied().collect();
                let down: Vec<u32> = sorted.iter().take(rank).rev().copied().collect();
                prop_assert_eq!(ranked.from(rank).collect::<Vec<_>>(), up);
                let place = sorted.get(rank).map_or(ranked.end(), |slot| ranked.place(|other| other < *slot));
                prop_assert_eq!(ranked.down(place).collect::<Vec<_>>(), down.clone());
                for count in [0, 1, 700, 5000] {
                    let left: Vec<u32> = down.iter().skip(count).copied().collect();
                    prop_assert_eq!(ranked.down(ranked.back(place, count)).collect::<Vec<_>>(), left);
                }
            }
            prop_assert_eq!(ranked.rank(|slot| slot < 10_000), sorted.partition_point(|slot| *slot < 10_000));
        }
    }

    #[test]
    fn grows_from_nothing() {
        let mut ranked = Ranked::default();
        for slot in (0..5000).rev() {
            ranked.insert(slot, |other| other.cmp(&slot));
        }
        assert!(ranked.from(0).eq(0..5000));
        ranked.remove(7000, |other| other.cmp(&7000));
        assert_eq!(ranked.from(0).count(), 5000);
    }
}
