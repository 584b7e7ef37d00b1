//! Pages of lists: the requested one, and its rows.

use std::time::Instant;

/// Which rows of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// How many rows come before them.
    pub offset: i64,
    /// How many there are at most.
    pub limit: i64,
}

/// Which page of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Number(i64),
    NumberOrLast(i64),
    Last,
}

/// The page of a list that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    which: Which,
    size: i64,
    asked: Option<Instant>,
}

impl Wanted {
    /// The page with this number, from 1, of pages with `size` rows. It has no rows if there are
    /// fewer pages.
    #[must_use]
    pub fn page(number: i64, size: i64) -> Self {
        Self { which: Which::Number(number), size: size.max(1), asked: None }
    }

    /// The same; the last page if there are fewer pages.
    #[must_use]
    pub fn page_or_last(number: i64, size: i64) -> Self {
        Self { which: Which::NumberOrLast(number.max(1)), ..Self::page(number, size) }
    }

    /// The first rows, `limit` at most.
    #[must_use]
    pub fn first(limit: i64) -> Self {
        Self::page(1, limit)
    }

    /// The last page.
    #[must_use]
    pub fn last(size: i64) -> Self {
        Self { which: Which::Last, ..Self::page(1, size) }
    }

    /// Sets the time of the request: all changes that were acknowledged before it are in the
    /// answer. Without it, that is the time of the call to the store.
    #[must_use]
    pub fn asked_at(self, instant: Instant) -> Self {
        Self { asked: Some(instant), ..self }
    }

    /// The time of the request, if it was set.
    #[must_use]
    pub fn asked(self) -> Option<Instant> {
        self.asked
    }

    /// Its window, if it is known without the number of rows; `None`: it is the last page.
    #[must_use]
    pub fn window_at_most(self) -> Option<Window> {
        match self.which {
            Which::Number(number) | Which::NumberOrLast(number) => Some(self.window_of(number)),
            Which::Last => None,
        }
    }

    /// Its window in a list of `count` rows; `None`: there is no such page.
    #[must_use]
    pub fn window(self, count: i64) -> Option<Window> {
        let number = self.number(count);
        (1..=self.pages(count)).contains(&number).then(|| self.window_of(number))
    }

    /// Where a list may be cut off: `more` rows after the page. `None`: it is the last page.
    #[must_use]
    pub fn reach(self, more: i64) -> Option<i64> {
        self.window_at_most().map(|window| window.offset.max(0).saturating_add(window.limit).saturating_add(more))
    }

    /// The result: the number of all rows, and the rows of the page.
    #[must_use]
    pub fn found<R>(self, count: i64, rows: Vec<R>) -> Found<R> {
        Found { count, is_exact: true, number: self.number(count), size: self.size, pages: self.pages(count), rows }
    }

    /// Nothing: no row matches.
    #[must_use]
    pub fn none<R>(self) -> Found<R> {
        self.found(0, Vec::new())
    }

    fn number(self, count: i64) -> i64 {
        match self.which {
            Which::Number(number) => number,
            Which::NumberOrLast(number) => number.min(self.pages(count)),
            Which::Last => self.pages(count),
        }
    }

    fn pages(self, count: i64) -> i64 {
        (count.saturating_add(self.size - 1)).div_euclid(self.size).max(1)
    }

    fn window_of(self, number: i64) -> Window {
        Window { offset: number.saturating_sub(1).saturating_mul(self.size), limit: self.size }
    }
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Found<R> {
    /// How many rows match, on all pages; at least, unless it is exact.
    pub count: i64,
    /// Whether all rows that match were counted.
    pub is_exact: bool,
    /// The page's number, from 1.
    pub number: i64,
    /// How many rows a page has at most.
    pub size: i64,
    /// How many pages there are: one at least.
    pub pages: i64,
    /// The page's rows, in order.
    pub rows: Vec<R>,
}

impl<R> Found<R> {
    /// Sets whether all rows that match were counted.
    #[must_use]
    pub fn exact_if(self, is_exact: bool) -> Self {
        Self { is_exact, ..self }
    }

    /// The same page with other rows.
    #[must_use]
    pub fn with_rows<S>(self, rows: Vec<S>) -> Found<S> {
        let Self { count, is_exact, number, size, pages, .. } = self;
        Found { count, is_exact, number, size, pages, rows }
    }

    /// Whether there is a page of that number.
    #[must_use]
    pub fn is_there(&self) -> bool {
        (1..=self.pages).contains(&self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_numbered_from_one() {
        let found = |wanted: Wanted, count| {
            let page = wanted.found(count, Vec::<u8>::new());
            (page.number, page.pages, wanted.window(count).map(|window| window.offset))
        };
        assert_eq!(found(Wanted::page(1, 20), 0), (1, 1, Some(0)), "there is always a first page");
        assert_eq!(found(Wanted::page(3, 20), 41), (3, 3, Some(40)));
        assert_eq!(found(Wanted::page(3, 20), 40), (3, 2, None));
        assert_eq!(found(Wanted::page(0, 20), 40), (0, 2, None));
        assert_eq!(found(Wanted::page(i64::MAX, 100), 40), (i64::MAX, 1, None));
        assert_eq!(found(Wanted::page_or_last(9, 20), 40), (2, 2, Some(20)));
        assert_eq!(found(Wanted::page_or_last(-3, 20), 40), (1, 2, Some(0)));
        assert_eq!(found(Wanted::last(20), 41), (3, 3, Some(40)));
        assert_eq!(found(Wanted::last(20), 0), (1, 1, Some(0)));
        assert_eq!(Wanted::page(3, 20).reach(100), Some(160));
        assert_eq!(Wanted::page(i64::MAX, 20).reach(100), Some(i64::MAX));
        assert_eq!(Wanted::page(-5, 20).reach(100), Some(120));
        assert_eq!(Wanted::last(20).reach(100), None);
        assert!(!Wanted::page(3, 20).found(40, Vec::<u8>::new()).is_there());
    }
}
