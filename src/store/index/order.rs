//! Sessions in an order, by rank: where the n-th is, without passing over those before it.

use std::cmp::Ordering;

/// The most slots in a block; a block that grows beyond it is split in two.
const BLOCK: usize = 1024;
/// How full blocks are at first.
const FILL: usize = 768;

/// Slots of sessions in ascending order, in blocks, so that one in the middle is added and removed
/// quickly. The order itself is its owner's: a comparison that never gives `Equal` for two slots.
#[derive(Default)]
pub(super) struct Ranked {
    blocks: Vec<Vec<u32>>,
    len: usize,
}

impl Ranked {
    /// No slots.
    pub const EMPTY: Self = Self { blocks: Vec::new(), len: 0 };

    /// From slots that are in order.
    pub fn new(sorted: &[u32]) -> Self {
        let blocks = sorted.chunks(FILL).map(<[u32]>::to_vec).collect();
        Self { blocks, len: sorted.len() }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// Adds a slot. `place` compares a slot of the list with the new one.
    pub fn insert(&mut self, slot: u32, place: impl Fn(u32) -> Ordering) {
        self.len += 1;
        let at = self.block_of(|other| place(other).is_lt());
        let Some(block) = self.blocks.get_mut(at) else {
            self.blocks.push(vec![slot]);
            return;
        };
        let position = block.partition_point(|other| place(*other).is_lt());
        block.insert(position, slot);
        if block.len() > BLOCK {
            let rest = block.split_off(BLOCK / 2);
            self.blocks.insert(at + 1, rest);
        }
    }

    /// Removes a slot, found by where it is in the order.
    pub fn remove(&mut self, slot: u32, place: impl Fn(u32) -> Ordering) {
        let at = self.block_of(|other| place(other).is_lt());
        // The slot is first in the next block when the one before ends just below it.
        for at in at..at + 2 {
            let Some(block) = self.blocks.get_mut(at) else { return };
            let position = block.partition_point(|other| place(*other).is_lt());
            if block.get(position) == Some(&slot) {
                block.remove(position);
                self.len -= 1;
                if block.is_empty() {
                    self.blocks.remove(at);
                }
                return;
            }
        }
    }

    /// The last block that begins with a slot before the place asked for.
    fn block_of(&self, is_before: impl Fn(u32) -> bool) -> usize {
        self.blocks.partition_point(|block| block.first().is_some_and(|slot| is_before(*slot))).saturating_sub(1)
    }

    /// How many slots at the beginning fulfil `is_before`, which later ones do not.
    pub fn rank(&self, is_before: impl Fn(u32) -> bool) -> usize {
        let at = self.block_of(&is_before);
        let before: usize = self.blocks.iter().take(at).map(Vec::len).sum();
        before + self.blocks.get(at).map_or(0, |block| block.partition_point(|slot| is_before(*slot)))
    }

    /// The slots from a rank on, ascending.
    pub fn from(&self, rank: usize) -> impl Iterator<Item = u32> {
        let (mut at, mut skip) = (0, rank);
        while let Some(block) = self.blocks.get(at).filter(|block| block.len() <= skip) {
            skip -= block.len();
            at += 1;
        }
        self.blocks.get(at..).unwrap_or_default().iter().flatten().skip(skip).copied()
    }

    /// The slots below a rank, descending.
    pub fn down_from(&self, rank: usize) -> impl Iterator<Item = u32> {
        let (mut at, mut skip) = (self.blocks.len(), self.len.saturating_sub(rank));
        while let Some(block) = at.checked_sub(1).and_then(|last| self.blocks.get(last)).filter(|block| block.len() <= skip) {
            skip -= block.len();
            at -= 1;
        }
        self.blocks.get(..at).unwrap_or_default().iter().rev().flat_map(|block| block.iter().rev()).skip(skip).copied()
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
        ) {
            let mut naive = start;
            let mut ranked = Ranked::new(&naive.iter().copied().collect::<Vec<_>>());
            for (is_new, slot) in moves {
                if is_new && naive.insert(slot) {
                    ranked.insert(slot, |other| other.cmp(&slot));
                } else if !is_new && naive.remove(&slot) {
                    ranked.remove(slot, |other| other.cmp(&slot));
                }
            }
            let sorted: Vec<u32> = naive.into_iter().collect();
            prop_assert_eq!(ranked.len(), sorted.len());
            for rank in [0, 1, sorted.len() / 2, sorted.len().saturating_sub(1), sorted.len(), sorted.len() + 5] {
                let up: Vec<u32> = sorted.iter().skip(rank).copied().collect();
                let down: Vec<u32> = sorted.iter().take(rank).rev().copied().collect();
                prop_assert_eq!(ranked.from(rank).collect::<Vec<_>>(), up);
                prop_assert_eq!(ranked.down_from(rank).collect::<Vec<_>>(), down);
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
        assert_eq!(ranked.len(), 5000);
    }
}
