//! Counts of sessions by kind, as pages show them next to a list.

use crate::domain::{Address, Timestamp};

/// How many kinds of each are given.
pub const KINDS: usize = 8;
/// How many days back have a count of their own.
pub const DAYS: i64 = 14;
/// Microseconds of a day.
pub const DAY: i64 = 86_400_000_000;

/// Counts, the largest first; those of days by day, the latest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facets {
    /// How many users they are of.
    pub users: i64,
    /// ISO codes, `""` for an unknown country.
    pub countries: Vec<(String, i64)>,
    /// Autonomous systems, each with an address in it; unknown ones are left out.
    pub networks: Vec<NetworkCount>,
    /// Families.
    pub browsers: Vec<(String, i64)>,
    /// Families.
    pub systems: Vec<(String, i64)>,
    /// Last used on this day, in days since 1970, back to [`DAYS`] ago.
    pub days: Vec<(i64, i64)>,
}

/// How many sessions are in an autonomous system.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkCount {
    /// Its number.
    pub asn: i64,
    /// An address in it.
    pub sample: Address,
    /// How many.
    pub count: i64,
}

/// How many sessions were last used from an address.
#[derive(Clone, Debug, PartialEq)]
pub struct AddressCount {
    /// Which.
    pub address: Address,
    /// How many.
    pub count: i64,
}

/// The day of an instant, in days since 1970.
#[must_use]
pub fn day_of(at: Timestamp) -> i64 {
    at.0.div_euclid(DAY)
}
