//! Lists of large tables in the order of time: events, and ended sessions.
//!
//! Each filter with an index is a source: it gives the keys of its matches in the order of the list. One source is
//! read, the one with the fewest matches, and the other filters are checked row by row ([`parts`]). Matches are
//! counted up to a bound, so that a page costs the same however many there are ([`pages`]).

pub(in crate::store) mod pages;
pub(in crate::store) mod parts;
pub(in crate::store) mod text;

use crate::domain::Timestamp;

/// A table with a time and a key that grows.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::store) struct Timeline {
    /// Its name.
    pub table: &'static str,
    /// What a row is called in conditions.
    pub row: &'static str,
    /// The column of the time.
    pub at: &'static str,
}

/// The place of a row in the order of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeKey {
    /// When it happened.
    pub at: Timestamp,
    /// The key of its row.
    pub id: i64,
}
