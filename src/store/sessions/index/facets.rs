//! How many sessions there are of each kind: one pass over the columns.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::domain::Address;
use crate::domain::facets::{AddressCount, DAY, DAYS, Facets, NetworkCount};
use crate::store::sessions::index::columns::at;
use crate::store::sessions::index::select::Matches;
use crate::store::sessions::index::table::Table;

impl Table {
    /// Calls `visit` with each slot that matches.
    fn each(&self, matches: &Matches, mut visit: impl FnMut(u32)) {
        let words = match matches {
            Matches::All => &self.live,
            Matches::Bits(words, _) => words,
            Matches::Few(slots) => {
                for slot in slots {
                    visit(*slot);
                }
                return;
            }
        };
        for (base, word) in (0_u32..).step_by(64).zip(words) {
            let mut rest = *word;
            while rest != 0 {
                visit(base + rest.trailing_zeros());
                rest &= rest - 1;
            }
        }
    }

    /// Counts the matches by country, network, browser, system and day, at most `most` of each; `today` is in days
    /// since 1970.
    pub fn facets(&self, matches: &Matches, today: i64, most: usize) -> Facets {
        let mut places = vec![(0_i64, 0_u32); self.known_places.values().len()];
        let mut agents = vec![0_i64; self.agent_families.len()];
        let mut days = vec![0_i64; usize::try_from(DAYS).unwrap_or(0)];
        let mut users = vec![false; self.user_names.ids.len()];
        let tomorrow = (today + 1) * DAY;
        self.each(matches, |slot| {
            if let Some((count, sample)) = places.get_mut(at(&self.places, slot) as usize) {
                *count += 1;
                *sample = slot;
            }
            if let Some(user) = users.get_mut(at(&self.users, slot) as usize) {
                *user = true;
            }
            if let Some(count) = agents.get_mut(at(&self.agents, slot) as usize) {
                *count += 1;
            }
            let ago = (tomorrow - 1 - at(&self.last_used, slot)).div_euclid(DAY);
            if let Some(count) = usize::try_from(ago).ok().and_then(|ago| days.get_mut(ago)) {
                *count += 1;
            }
        });
        let (mut countries, mut networks) = (HashMap::<&str, i64>::new(), HashMap::<i64, (i64, u32)>::new());
        let filled = self.known_places.values().iter().zip(&places).filter(|(_, (count, _))| *count > 0);
        for ((country, asn), (count, sample)) in filled {
            *countries.entry(country).or_default() += count;
            if let Some(asn) = asn {
                let entry = networks.entry(*asn).or_insert((0, *sample));
                entry.0 += count;
            }
        }
        let (mut browsers, mut systems) = (HashMap::<u32, i64>::new(), HashMap::<u32, i64>::new());
        for (families, count) in self.agent_families.iter().zip(&agents).filter(|(_, count)| **count > 0) {
            *browsers.entry(families.browser).or_default() += count;
            *systems.entry(families.os).or_default() += count;
        }
        let family = |(number, count): (u32, i64)| {
            (self.families.values().get(number as usize).map(String::as_str).unwrap_or_default(), count)
        };
        let networks = networks.into_iter().map(|(asn, (count, sample))| ((asn, sample), count));
        let networks = largest(networks, most).into_iter().map(|((asn, sample), count)| NetworkCount {
            asn,
            sample: self.address_of(sample),
            count,
        });
        let days = (0..DAYS).zip(days).filter(|(_, count)| *count > 0).map(|(ago, count)| (today - ago, count));
        let named = |counts: Vec<(&str, i64)>| counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
        Facets {
            users: i64::try_from(users.into_iter().filter(|is_there| *is_there).count()).unwrap_or(i64::MAX),
            countries: named(largest(countries, most)),
            networks: networks.collect(),
            browsers: named(largest(browsers.into_iter().map(family), most)),
            systems: named(largest(systems.into_iter().map(family), most)),
            days: days.collect(),
        }
    }

    /// Counts the matches by address, the most first, at most `limit` addresses.
    pub fn count_addresses(&self, matches: &Matches, limit: usize) -> Vec<AddressCount> {
        let mut counts: HashMap<u32, i64, RandomState> = HashMap::default();
        self.each(matches, |slot| *counts.entry(at(&self.addresses, slot)).or_default() += 1);
        let address = |entry: u32| self.address_keys.get(entry as usize).copied().unwrap_or(Address::UNKNOWN);
        let mut counts: Vec<AddressCount> =
            counts.into_iter().map(|(entry, count)| AddressCount { address: address(entry), count }).collect();
        let compare = |a: &AddressCount, b: &AddressCount| {
            b.count.cmp(&a.count).then_with(|| a.address.sort_key().cmp(&b.address.sort_key()))
        };
        if limit < counts.len() {
            counts.select_nth_unstable_by(limit, compare);
            counts.truncate(limit);
        }
        counts.sort_unstable_by(compare);
        counts
    }
}

/// The largest counts, at most `most`, equal ones in the order of what they count.
fn largest<T: Ord>(counts: impl IntoIterator<Item = (T, i64)>, most: usize) -> Vec<(T, i64)> {
    let mut counts: Vec<(T, i64)> = counts.into_iter().collect();
    counts.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    counts.truncate(most);
    counts
}
