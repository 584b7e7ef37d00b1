//! Pages that are found in no time, on the thread that asks: nothing is gathered or sorted that could be
//! many, and nobody is waited for.

use crate::domain::listing::{Sort, SortKey, Window};
use crate::store::sessions::index::pages::{Page, Sorting};
use crate::store::sessions::index::select::{Condition, Question};
use crate::store::sessions::index::table::Table;
use crate::store::sessions::rows::SessionRow;

/// How many sessions may be passed over.
const WALK: usize = 8192;
/// How many may be sorted.
const SORTED: usize = 4096;

impl Table {
    /// How many sessions match, and those of the window that `window_of` makes of that. `None` when it would
    /// take longer.
    pub fn quick_page<E>(
        &self,
        question: &Question,
        sorts: &[Sort],
        window_of: impl FnOnce(i64) -> Result<Window, E>,
    ) -> Option<Result<(i64, Vec<SessionRow>), E>> {
        let Some(conditions) = self.conditions(question) else { return Some(window_of(0).map(|_| (0, Vec::new()))) };
        let count = self.quick_count(&conditions)?;
        let all = i64::try_from(count).unwrap_or(i64::MAX);
        let window = match window_of(all) {
            Ok(window) => window,
            Err(error) => return Some(Err(error)),
        };
        let slots = self.quick_slots(&conditions, count, Sorting::of(question, sorts), Page::of(window))?;
        Some(Ok((all, slots.into_iter().map(|slot| self.row(slot)).collect())))
    }

    /// How many there are of what one condition names.
    fn quick_count(&self, conditions: &[Condition]) -> Option<usize> {
        match conditions {
            [] => Some(self.count()),
            [
                Condition::User(_)
                | Condition::Agent(_)
                | Condition::Places(_)
                | Condition::Network(_)
                | Condition::LastUsed(..)
                | Condition::Expires(..),
            ] => Some(self.count_candidates(conditions)),
            _ => None,
        }
    }

    fn quick_slots(&self, conditions: &[Condition], count: usize, by: Sorting<'_>, page: Page) -> Option<Vec<u32>> {
        if let [Condition::Places(places)] = conditions
            && by.is_plain()
            && by.first.key == SortKey::Username
            && let Some(slots) = self.page_at(places, page)
        {
            return Some(slots);
        }
        let has_order = self.has_order(by.first.key);
        let is_near = page.offset.saturating_add(page.limit) <= WALK;
        if has_order
            && is_near
            && let Some(slots) = self.first_page(conditions, by, page, WALK)
        {
            return Some(slots);
        }
        match conditions {
            [] if has_order && by.is_plain() => Some(self.order(by.first.key).from(page.offset).take(page.limit).collect()),
            [_] if count <= SORTED => Some(self.sorted_page(self.gather_candidates(conditions), by, page)),
            _ => None,
        }
    }
}
