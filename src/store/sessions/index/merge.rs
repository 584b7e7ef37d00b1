//! The first page of a filter by place: the lists of its places, merged by username.

use crate::domain::listing::SortKey;
use crate::store::sessions::index::bits::places_of;
use crate::store::sessions::index::places::PlaceSlots;
use crate::store::sessions::index::plan::Page;
use crate::store::sessions::index::table::Table;

/// The most heads of lists that a merge compares.
const COMPARED: usize = 16_384;

impl Table {
    /// The lists of these places, if a page of them is found by merging: each list must be by name, and they
    /// must be few for a page so far from the beginning.
    pub fn lists_to_merge(&self, places: &[u64], page: Page) -> Option<Vec<&[u32]>> {
        let found = places_of(places).into_iter().filter_map(|place| self.at_places.get(place));
        let found: Vec<&PlaceSlots> = found.filter(|place| !place.slots().is_empty()).collect();
        let is_short = found.len() <= 1 || page.end().saturating_mul(found.len()) <= COMPARED;
        let is_by_name = found.iter().all(|place| place.is_by_name());
        (is_short && is_by_name).then(|| found.into_iter().map(PlaceSlots::slots).collect())
    }

    /// The slots of a page of these lists, by username.
    pub fn merged_page(&self, mut lists: Vec<&[u32]>, page: Page) -> Vec<u32> {
        if let [list] = lists.as_slice() {
            return list.iter().skip(page.offset).take(page.limit).copied().collect();
        }
        // The first slot of what is left of each list, with the beginning of its username.
        let head = |list: &[u32]| list.first().map(|slot| (self.beginning(SortKey::Username, *slot), *slot));
        let mut heads: Vec<_> = lists.iter().filter_map(|list| head(list)).collect();
        let mut found = Vec::with_capacity(page.limit.min(COMPARED));
        for n in 0..page.end() {
            let first = heads
                .iter()
                .enumerate()
                .min_by(|(_, a), (_, b)| a.0.cmp(&b.0).then_with(|| self.compare(SortKey::Username, a.1, b.1)));
            let Some(least) = first.map(|(least, _)| least) else { break };
            let (Some(list), Some(place)) = (lists.get_mut(least), heads.get_mut(least)) else { break };
            if n >= page.offset {
                found.push(place.1);
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
        found
    }
}
