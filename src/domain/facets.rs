//! Counts of sessions by kind, as pages show them next to a list.

use std::collections::BTreeMap;

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

impl Facets {
    /// The counts of two lists of sessions that have no session and no user in common, each with all kinds: those of
    /// both lists together, the largest [`KINDS`] of each.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        let networks = |all: Self| all.networks.into_iter().map(|it| (it.asn, it.count, it.sample)).collect::<Vec<_>>();
        let (users, days) = (self.users + other.users, sums(self.days.iter().chain(&other.days).copied()));
        let countries = largest(sums(self.countries.iter().chain(&other.countries).cloned()));
        let browsers = largest(sums(self.browsers.iter().chain(&other.browsers).cloned()));
        let systems = largest(sums(self.systems.iter().chain(&other.systems).cloned()));
        let all = [networks(self), networks(other)].concat();
        let sample = |asn: i64| all.iter().find(|it| it.0 == asn).map_or(Address::UNKNOWN, |it| it.2);
        let counts = largest(sums(all.iter().map(|(asn, count, _)| (*asn, *count))));
        let networks = counts.into_iter().map(|(asn, count)| NetworkCount { asn, sample: sample(asn), count }).collect();
        Self { users, countries, networks, browsers, systems, days: days.into_iter().rev().collect() }
    }
}

/// The sum of what is counted under each key, by key.
fn sums<K: Ord>(counts: impl Iterator<Item = (K, i64)>) -> BTreeMap<K, i64> {
    let mut sums = BTreeMap::new();
    counts.for_each(|(key, count)| *sums.entry(key).or_default() += count);
    sums
}

/// The largest [`KINDS`], equal ones by key.
fn largest<K: Ord>(sums: BTreeMap<K, i64>) -> Vec<(K, i64)> {
    let mut counts: Vec<(K, i64)> = sums.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts.truncate(KINDS);
    counts
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

impl AddressCount {
    /// The addresses with the most sessions, at most `limit`, the largest first; counts of one address are added.
    #[must_use]
    pub fn most(mut counts: Vec<Self>, limit: usize) -> Vec<Self> {
        counts.sort_by_key(|count| count.address.sort_key());
        let equal = counts.chunk_by(|a, b| a.address == b.address);
        let mut sums: Vec<Self> = equal
            .filter_map(|same| Some(Self { address: same.first()?.address, count: same.iter().map(|one| one.count).sum() }))
            .collect();
        sums.sort_by_key(|sum| std::cmp::Reverse(sum.count));
        sums.truncate(limit);
        sums
    }
}

/// The day of an instant, in days since 1970.
#[must_use]
pub fn day_of(at: Timestamp) -> i64 {
    at.0.div_euclid(DAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_two_lists_are_added() {
        let named = |counts: &[(&str, i64)]| counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect::<Vec<_>>();
        let network = |asn, count| NetworkCount { asn, sample: Address::UNKNOWN, count };
        let one = Facets {
            users: 2,
            countries: named(&[("DE", 5), ("JP", 3), ("", 1)]),
            networks: vec![network(7, 2)],
            days: vec![(20, 4), (18, 1)],
            ..Facets::default()
        };
        let other = Facets {
            users: 3,
            countries: named(&[("FR", 7), ("JP", 3)]),
            networks: vec![network(8, 3), network(7, 2)],
            days: vec![(20, 1), (19, 2)],
            ..Facets::default()
        };
        let both = one.with(other);
        assert_eq!((both.users, both.days), (5, vec![(20, 5), (19, 2), (18, 1)]));
        assert_eq!(both.countries, named(&[("FR", 7), ("JP", 6), ("DE", 5), ("", 1)]));
        assert_eq!(both.networks, [network(7, 4), network(8, 3)]);
        let many: Vec<(String, i64)> = (0..20).map(|n| (format!("{n:02}"), 1)).collect();
        let cut = Facets { browsers: many, ..Facets::default() }.with(Facets::default());
        assert_eq!(cut.browsers.len(), KINDS);
    }
}
