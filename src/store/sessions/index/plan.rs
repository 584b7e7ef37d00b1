//! The planner: chooses the cheapest way to a page.

use crate::domain::page::Window;

/// To look at one candidate costs as much as to pass over this many slots of a column.
pub(in crate::store) const PASS: usize = 32;
/// To sort one match in costs as much as to pass over this many slots of an order.
const SORT: usize = 10;
/// The same where each skipped slot must be looked at, instead of a bit of it.
const SORT_UNSEEN: usize = 2;
/// The longest walk on a thread that serves others, in slots.
const SHORT_WALK: usize = 8192;
/// The most slots that are sorted on such a thread.
const SHORT_SORT: usize = 4096;

/// A part of a list.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Page {
    /// How many rows come before it.
    pub offset: usize,
    /// How many rows it has at most.
    pub limit: usize,
}

impl Page {
    /// The same as a window.
    pub fn of(window: Window) -> Self {
        Self { offset: usize::try_from(window.offset).unwrap_or(usize::MAX), limit: usize::try_from(window.limit).unwrap_or(0) }
    }

    /// How many rows there are from the beginning of the list to its end.
    pub fn end(self) -> usize {
        self.offset.saturating_add(self.limit)
    }
}

/// How much work there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Effort {
    /// As much as a look-up costs: on a thread that serves others. No order is made, and no lock is waited for.
    Little,
    /// As much as it takes.
    Any,
}

/// How a page is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Way {
    /// All sessions match: the page begins at its rank in the order.
    Rank,
    /// The page is the beginning of a few lists by place.
    Merge,
    /// Walk along the order from its beginning, over at most this many slots.
    Walk(usize),
    /// Gather all that match and sort as many as the page needs.
    Sort,
    /// Count the matches in each block of the order; walk from the block in which the page begins.
    Count,
}

/// What the choice depends on.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own; any of them may hold with any other")]
pub(in crate::store) struct Facts {
    /// How much work there may be.
    pub effort: Effort,
    /// How many slots the table has.
    pub slots: usize,
    /// How many sessions match.
    pub count: usize,
    /// The part that is wanted.
    pub page: Page,
    /// Whether all sessions match.
    pub is_all: bool,
    /// Whether it is known of each slot whether it matches, so that none has to be looked at.
    pub is_selected: bool,
    /// Whether the order exists.
    pub has_order: bool,
    /// Whether the page can be read from the order as it is, ascending or descending.
    pub is_simple: bool,
    /// Whether lists by place can be merged into the page.
    pub can_merge: bool,
    /// Whether the matches in each block of the order have been counted before.
    pub is_counted: bool,
    /// Whether a walk was tried and got too long.
    pub has_walked: bool,
}

impl Facts {
    /// The cheapest way to the page; `None`: each takes more effort than there may be.
    pub fn choose(&self) -> Option<Way> {
        if self.can_merge {
            return Some(Way::Merge);
        }
        let is_ready = self.effort == Effort::Any || self.has_order;
        if is_ready && !self.has_walked && self.is_near() {
            return Some(Way::Walk(if self.is_selected { usize::MAX } else { self.longest_walk() }));
        }
        if self.is_all {
            return (self.effort == Effort::Any || self.has_order && self.is_simple).then_some(Way::Rank);
        }
        if self.effort == Effort::Little {
            return (self.count <= SHORT_SORT).then_some(Way::Sort);
        }
        // Counting takes a pass over all slots at first, and little when it is done again.
        let is_sorted_sooner = !self.is_counted && self.count.saturating_mul(SORT) <= self.slots;
        Some(if self.sorting_is_cheaper_than_walking() || is_sorted_sooner { Way::Sort } else { Way::Count })
    }

    /// Whether a walk from the beginning of the order to the page is short.
    fn is_near(&self) -> bool {
        let walk = self.page.end().saturating_mul(self.slots) / self.count.max(1);
        let is_within = self.effort == Effort::Any || self.page.end() <= SHORT_WALK;
        // Few matches are so far apart in any order that to gather and sort them costs less.
        let is_worth_it = self.is_selected || walk <= self.count.saturating_mul(SORT_UNSEEN);
        is_within && is_worth_it && walk <= self.longest_walk()
    }

    fn longest_walk(&self) -> usize {
        match self.effort {
            Effort::Little => SHORT_WALK,
            Effort::Any => (self.slots / PASS).max(256),
        }
    }

    /// Whether sorting all matches takes less time than a walk over a page of them, once they are
    /// counted.
    pub fn sorting_is_cheaper_than_walking(&self) -> bool {
        self.count.saturating_mul(self.count).saturating_mul(SORT) <= self.page.limit.saturating_mul(self.slots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLION: Facts = Facts {
        effort: Effort::Any,
        slots: 1_000_000,
        count: 1_000_000,
        page: Page { offset: 0, limit: 100 },
        is_all: false,
        is_selected: false,
        has_order: true,
        is_simple: true,
        can_merge: false,
        is_counted: false,
        has_walked: false,
    };

    #[test]
    fn each_way_is_chosen_where_it_is_the_cheapest() {
        let middle = Page { offset: 500_000, limit: 100 };
        let choices = [
            (MILLION, Way::Walk(31_250)),
            (Facts { effort: Effort::Little, ..MILLION }, Way::Walk(SHORT_WALK)),
            (Facts { page: middle, is_all: true, ..MILLION }, Way::Rank),
            (Facts { page: middle, ..MILLION }, Way::Count),
            (Facts { count: 500, is_selected: true, ..MILLION }, Way::Sort),
            (Facts { count: 300_000, has_walked: true, ..MILLION }, Way::Count),
            (Facts { count: 50_000, page: Page { offset: 20_000, limit: 100 }, ..MILLION }, Way::Sort),
            (Facts { count: 50_000, page: Page { offset: 20_000, limit: 100 }, is_counted: true, ..MILLION }, Way::Count),
            (Facts { can_merge: true, ..MILLION }, Way::Merge),
        ];
        for (facts, way) in choices {
            assert_eq!(facts.choose(), Some(way), "{facts:?}");
        }
    }

    #[test]
    fn a_serving_thread_makes_no_order_and_sorts_few() {
        let little = Facts { effort: Effort::Little, page: Page { offset: 500_000, limit: 100 }, ..MILLION };
        assert_eq!(Facts { is_all: true, ..little }.choose(), Some(Way::Rank));
        assert_eq!(Facts { is_all: true, has_order: false, ..little }.choose(), None);
        assert_eq!(Facts { is_all: true, is_simple: false, ..little }.choose(), None);
        assert_eq!(Facts { count: 600_000, ..little }.choose(), None);
        assert_eq!(Facts { count: SHORT_SORT, page: MILLION.page, ..little }.choose(), Some(Way::Sort));
    }
}
