//! Which sessions match, and which of them are on a page.
//!
//! Few candidates are gathered through the narrowest condition and looked at one by one; with many,
//! each condition passes once over its column.

use std::cmp::Ordering;
use std::sync::Arc;

use super::bits::{bits_of, has_bit, keep, places_of, set_bit};
use super::table::{Table, address_text, at};
use crate::domain::listing::{SessionFilter, Sort, SortKey, Window};
use crate::domain::search::could_be_address;
use crate::domain::{Network, UserId};

/// One candidate costs as much as passing over this many slots.
const PASS: usize = 32;
/// Sorting one candidate in costs as much as passing over so many sessions in order.
const SORT: usize = 10;
/// More entries of a dictionary than this are not looked up one by one.
const MANY_ENTRIES: usize = 4096;
/// One match in so many slots, or more, are put in order by walking along the order; fewer by sorting.
const MANY_MATCHES: usize = 12;
/// Up to this end of a window the walk stops there; beyond, all matches are put in order once.
const NEAR: usize = 1000;

/// A filter, with names resolved to keys.
pub(in crate::store) struct Question {
    pub filter: SessionFilter,
    pub user: Option<UserId>,
    pub user_agent_id: Option<i64>,
}

/// The sessions that match.
pub(super) enum Matches {
    /// All there are.
    All,
    /// A bit a slot, and how many are set.
    Bits(Vec<u64>, usize),
    /// Slots, in no order.
    Few(Vec<u32>),
}

impl Matches {
    pub fn count(&self, table: &Table) -> usize {
        match self {
            Self::All => table.count(),
            Self::Bits(_, count) => *count,
            Self::Few(slots) => slots.len(),
        }
    }

    /// How many bytes it takes.
    pub fn size(&self) -> usize {
        match self {
            Self::All => 0,
            Self::Bits(words, _) => words.len() * 8,
            Self::Few(slots) => slots.len() * 4,
        }
    }
}

/// What one search term is part of: entries of each dictionary, ascending.
struct Term {
    users: Vec<u32>,
    agents: Vec<u32>,
    addresses: Vec<u32>,
    bits: Option<[Vec<u64>; 3]>,
}

enum Condition {
    User(u32),
    Agent(u32),
    /// Some user agents, as bits.
    Agents(Vec<u64>),
    /// Some places, as bits.
    Places(Vec<u64>),
    /// Addresses of a network.
    Network(Network),
    LastUsed(i64, i64),
    Expires(i64, i64),
    /// All but one.
    Except(u128),
    Term(Term),
}

/// Where candidates come from.
enum Source<'a> {
    /// Parts of an order.
    Ranks(SortKey, Vec<(usize, usize)>),
    Slots(&'a [u32]),
}

impl Source<'_> {
    fn size(&self) -> usize {
        match self {
            Self::Ranks(_, ranks) => ranks.iter().map(|(low, high)| high - low).sum(),
            Self::Slots(slots) => slots.len(),
        }
    }
}

fn size_of(sources: &[Source<'_>]) -> usize {
    sources.iter().map(Source::size).sum()
}

impl Table {
    /// The sessions that match.
    pub fn select(&self, question: &Question) -> Matches {
        let Some(mut conditions) = self.conditions(question) else { return Matches::Few(Vec::new()) };
        if conditions.is_empty() {
            return Matches::All;
        }
        if let Some(sources) = self.narrowest(&conditions) {
            let candidates = size_of(&sources);
            if candidates * PASS <= self.slots() as usize || candidates <= 256 {
                return Matches::Few(self.gather(&sources, &conditions));
            }
        }
        for condition in &mut conditions {
            if let Condition::Term(term) = condition {
                term.bits = Some([bits_of(&term.users), bits_of(&term.agents), bits_of(&term.addresses)]);
            }
        }
        let mut bits = self.live.clone();
        for condition in &conditions {
            self.pass(&mut bits, condition);
        }
        let count = bits.iter().map(|word| word.count_ones() as usize).sum();
        Matches::Bits(bits, count)
    }

    /// Where the fewest candidates come from, if any condition names them.
    fn narrowest(&self, conditions: &[Condition]) -> Option<Vec<Source<'_>>> {
        conditions.iter().filter_map(|condition| self.sources(condition)).min_by_key(|sources| size_of(sources))
    }

    /// What must hold; `None` when nothing can match.
    fn conditions(&self, question: &Question) -> Option<Vec<Condition>> {
        let filter = &question.filter;
        let mut conditions = Vec::new();
        if let Some(user) = question.user {
            conditions.push(Condition::User(self.user_names.find(user.0)?));
        }
        if let Some(id) = question.user_agent_id {
            conditions.push(Condition::Agent(self.agent_texts.find(id)?));
        }
        if let Some(ip) = filter.last_ip {
            conditions.push(Condition::Network(Network::of(ip)));
        }
        if let Some(network) = filter.network {
            conditions.push(Condition::Network(network));
        }
        if filter.country.is_some() || filter.asn.is_some() {
            let mut places = Vec::new();
            for (number, (country, asn)) in (0..).zip(self.known_places.values()) {
                if filter.country.as_ref().is_none_or(|wanted| wanted == country) && (filter.asn.is_none() || filter.asn == *asn) {
                    set_bit(&mut places, number);
                }
            }
            conditions.push(Condition::Places(places));
        }
        let families = [&filter.browser, &filter.os, &filter.device];
        if families.iter().any(|family| family.is_some()) {
            let mut wanted = [None; 3];
            for (wanted, family) in wanted.iter_mut().zip(families) {
                if let Some(family) = family {
                    *wanted = Some(self.families.find(family)?);
                }
            }
            let mut agents = Vec::new();
            for (entry, own) in (0..).zip(&self.agent_families) {
                if [own.browser, own.os, own.device].iter().zip(wanted).all(|(own, wanted)| wanted.is_none_or(|it| it == *own)) {
                    set_bit(&mut agents, entry);
                }
            }
            conditions.push(Condition::Agents(agents));
        }
        if filter.last_used_gte.is_some() || filter.last_used_lte.is_some() {
            let from = filter.last_used_gte.map_or(i64::MIN, |time| time.0);
            conditions.push(Condition::LastUsed(from, filter.last_used_lte.map_or(i64::MAX, |time| time.0)));
        }
        if filter.expires_gte.is_some() || filter.expires_lte.is_some() {
            let from = filter.expires_gte.map_or(i64::MIN, |time| time.0);
            conditions.push(Condition::Expires(from, filter.expires_lte.map_or(i64::MAX, |time| time.0)));
        }
        conditions.extend(filter.except.map(|except| Condition::Except(except.0.as_u128())));
        conditions.extend(filter.search.iter().map(|term| Condition::Term(self.term(term))));
        Some(conditions)
    }

    fn term(&self, term: &str) -> Term {
        let users = self.user_names.grams.find(term, |entry| self.user_names.folded.get(entry).contains(term));
        let agents = self.agent_texts.grams.find(term, |entry| self.agent_texts.folded.get(entry).contains(term));
        let addresses = if could_be_address(term) {
            let text = |entry: u32| self.address_keys.get(entry as usize).map(|address| address_text(*address));
            self.address_grams.find(term, |entry| text(entry).is_some_and(|text| text.contains(term)))
        } else {
            Vec::new()
        };
        Term { users, agents, addresses, bits: None }
    }

    /// Parts of orders that hold all sessions which fulfil a condition; `None` when they would be
    /// too many to name.
    fn sources(&self, condition: &Condition) -> Option<Vec<Source<'_>>> {
        Some(match condition {
            Condition::User(user) => vec![self.entries_in(SortKey::User, &[*user])],
            Condition::Agent(agent) => vec![self.entries_in(SortKey::UserAgent, &[*agent])],
            Condition::Network(network) => {
                let (low, high) = network.key_range();
                let order = self.order(SortKey::LastIp);
                let from = order.rank(|slot| self.address_of(slot).sort_key() < low);
                let to = order.rank(|slot| self.address_of(slot).sort_key() <= high);
                vec![Source::Ranks(SortKey::LastIp, vec![(from, to.max(from))])]
            }
            Condition::LastUsed(from, to) => vec![self.times_in(SortKey::LastUsed, &self.last_used, *from, *to)],
            Condition::Expires(from, to) => vec![self.times_in(SortKey::Expires, &self.expires, *from, *to)],
            Condition::Term(term) => {
                if term.users.len() + term.agents.len() + term.addresses.len() > MANY_ENTRIES {
                    return None;
                }
                vec![
                    self.entries_in(SortKey::User, &term.users),
                    self.entries_in(SortKey::UserAgent, &term.agents),
                    self.entries_in(SortKey::LastIp, &term.addresses),
                ]
            }
            Condition::Places(places) => {
                let places = places_of(places);
                places.into_iter().filter_map(|place| Some(Source::Slots(self.slots_at.get(place as usize)?))).collect()
            }
            Condition::Agents(_) | Condition::Except(_) => return None,
        })
    }

    fn times_in(&self, key: SortKey, column: &[i64], from: i64, to: i64) -> Source<'_> {
        let order = self.order(key);
        let low = order.rank(|slot| at(column, slot) < from);
        let high = order.rank(|slot| at(column, slot) <= to);
        Source::Ranks(key, vec![(low, high.max(low))])
    }

    /// The sessions of these entries.
    fn entries_in(&self, key: SortKey, entries: &[u32]) -> Source<'_> {
        let order = self.order(key);
        let compare = |slot: u32, entry: u32| match key {
            SortKey::User => self.user_id(slot).cmp(&at(&self.user_names.ids, entry)),
            SortKey::UserAgent => self.agent_texts.texts.get(at(&self.agents, slot)).cmp(self.agent_texts.texts.get(entry)),
            _ => {
                let wanted = self.address_keys.get(entry as usize).map(crate::domain::Address::sort_key);
                Some(self.address_of(slot).sort_key()).cmp(&wanted)
            }
        };
        let ranks = entries
            .iter()
            .map(|entry| (order.rank(|slot| compare(slot, *entry).is_lt()), order.rank(|slot| compare(slot, *entry).is_le())));
        Source::Ranks(key, ranks.collect())
    }

    fn gather(&self, sources: &[Source<'_>], conditions: &[Condition]) -> Vec<u32> {
        let is_wanted = |slot: &u32| conditions.iter().all(|condition| self.holds(*slot, condition));
        let mut slots = Vec::new();
        for source in sources {
            match source {
                Source::Slots(candidates) => slots.extend(candidates.iter().copied().filter(is_wanted)),
                Source::Ranks(key, ranks) => {
                    let order = self.order(*key);
                    for (low, high) in ranks {
                        slots.extend(order.from(*low).take(high - low).filter(is_wanted));
                    }
                }
            }
        }
        slots.sort_unstable();
        slots.dedup();
        slots
    }

    fn holds(&self, slot: u32, condition: &Condition) -> bool {
        match condition {
            Condition::User(user) => at(&self.users, slot) == *user,
            Condition::Agent(agent) => at(&self.agents, slot) == *agent,
            Condition::Agents(agents) => has_bit(agents, at(&self.agents, slot)),
            Condition::Places(places) => has_bit(places, at(&self.places, slot)),
            Condition::Network(network) => network.contains(self.address_of(slot)),
            Condition::LastUsed(from, to) => (*from..=*to).contains(&at(&self.last_used, slot)),
            Condition::Expires(from, to) => (*from..=*to).contains(&at(&self.expires, slot)),
            Condition::Except(uuid) => at(&self.uuids, slot) != *uuid,
            Condition::Term(term) => {
                term.users.binary_search(&at(&self.users, slot)).is_ok()
                    || term.agents.binary_search(&at(&self.agents, slot)).is_ok()
                    || term.addresses.binary_search(&at(&self.addresses, slot)).is_ok()
            }
        }
    }

    /// Takes the bits away of sessions that do not fulfil a condition.
    fn pass(&self, bits: &mut [u64], condition: &Condition) {
        match condition {
            Condition::User(user) => keep(bits, &self.users, |it| it == *user),
            Condition::Agent(agent) => keep(bits, &self.agents, |it| it == *agent),
            Condition::Agents(agents) => keep(bits, &self.agents, |it| has_bit(agents, it)),
            Condition::Places(places) => keep(bits, &self.places, |it| has_bit(places, it)),
            Condition::Network(network) => {
                let mut inside = Vec::new();
                for (entry, address) in (0..).zip(&self.address_keys) {
                    if network.contains(*address) {
                        set_bit(&mut inside, entry);
                    }
                }
                keep(bits, &self.addresses, |it| has_bit(&inside, it));
            }
            Condition::LastUsed(from, to) => keep(bits, &self.last_used, |it| (*from..=*to).contains(&it)),
            Condition::Expires(from, to) => keep(bits, &self.expires, |it| (*from..=*to).contains(&it)),
            Condition::Except(uuid) => keep(bits, &self.uuids, |it| it != *uuid),
            Condition::Term(term) => {
                let Some([users, agents, addresses]) = &term.bits else { return };
                let columns = [(users, &self.users), (agents, &self.agents), (addresses, &self.addresses)];
                let mut any = vec![0; bits.len()];
                for (wanted, column) in columns.into_iter().filter(|(wanted, _)| !wanted.is_empty()) {
                    for (word, entries) in any.iter_mut().zip(column.chunks(64)) {
                        for (place, entry) in entries.iter().enumerate() {
                            *word |= u64::from(has_bit(wanted, *entry)) << place;
                        }
                    }
                }
                for (word, any) in bits.iter_mut().zip(any) {
                    *word &= any;
                }
            }
        }
    }

    /// The slots of a window near the beginning, found by walking along the order and looking at each
    /// session on the way: without gathering all that match. `None` when too many would be passed over.
    pub fn first_pages(&self, question: &Question, sorts: &[Sort], window: Window) -> Option<Vec<u32>> {
        let (first, rest) = sorts.split_first()?;
        let rest = if first.key == SortKey::Uuid { &[] } else { rest };
        let (offset, limit) = (usize::try_from(window.offset).ok()?, usize::try_from(window.limit).ok()?);
        if window.is_far() || !question.filter.search.is_empty() {
            return None;
        }
        let Some(conditions) = self.conditions(question) else { return Some(Vec::new()) };
        let most = (self.slots() as usize / PASS).max(256);
        // So few candidates stand so far apart in any order that gathering and sorting them takes less time.
        let candidates = self.narrowest(&conditions).map_or(usize::MAX, |sources| size_of(&sources));
        if offset.saturating_add(limit).saturating_mul(self.slots() as usize)
            > candidates.saturating_mul(most.min(candidates.saturating_mul(SORT)))
        {
            return None;
        }
        let left = std::cell::Cell::new(most);
        let is_wanted = |slot: &u32| conditions.iter().all(|condition| self.holds(*slot, condition));
        // Ends the walk, and is seen afterwards.
        let goes_on = |_: &u32| left.replace(left.get().saturating_sub(1)) > 0;
        let order = self.order(first.key);
        let slots: Vec<u32> = if first.is_descending {
            let walk = order.down_from(order.len()).take_while(goes_on).filter(is_wanted);
            Runs::new(self, walk, *first, rest).skip(offset).take(limit).collect()
        } else {
            let walk = order.from(0).take_while(goes_on).filter(is_wanted);
            Runs::new(self, walk, *first, rest).skip(offset).take(limit).collect()
        };
        (left.get() > 0).then_some(slots)
    }

    /// The slots of one window of the matches, in order. Gives all matches in order beside it when
    /// that was found on the way, to be kept for the next window.
    pub fn window(&self, matches: &Matches, sorts: &[Sort], window: Window) -> (Vec<u32>, Option<Arc<Vec<u32>>>) {
        let offset = usize::try_from(window.offset).unwrap_or(usize::MAX);
        let limit = usize::try_from(window.limit).unwrap_or(0);
        let Some((first, rest)) = sorts.split_first() else { return (Vec::new(), None) };
        let rest = if first.key == SortKey::Uuid { &[] } else { rest };
        match matches {
            Matches::Few(slots) if slots.len() <= 4096 || self.is_thin(slots.len()) => {
                (self.sorted_window(slots.clone(), sorts, offset, limit), None)
            }
            // The first pages are soon found along the order.
            Matches::Bits(bits, count) if self.is_thin(*count) && offset * 64 > *count => {
                (self.sorted_window(places_of(bits), sorts, offset, limit), None)
            }
            Matches::All if rest.is_empty() => (self.walk_from(*first, offset).take(limit).collect(), None),
            _ => {
                let few_bits;
                let bits = match matches {
                    Matches::All => None,
                    Matches::Bits(bits, _) => Some(bits),
                    Matches::Few(slots) => {
                        few_bits = bits_of(slots);
                        Some(&few_bits)
                    }
                };
                let end = offset.saturating_add(limit);
                if end > NEAR {
                    let all = self.in_order(bits, *first, rest);
                    return (all.iter().skip(offset).take(limit).copied().collect(), Some(Arc::new(all)));
                }
                let order = self.order(first.key);
                let is_wanted = |slot: &u32| bits.is_none_or(|bits| has_bit(bits, *slot));
                let slots = if first.is_descending {
                    Runs::new(self, order.down_from(order.len()).filter(is_wanted), *first, rest).skip(offset).take(limit).collect()
                } else {
                    Runs::new(self, order.from(0).filter(is_wanted), *first, rest).skip(offset).take(limit).collect()
                };
                (slots, None)
            }
        }
    }

    /// Whether so many matches are few among all.
    fn is_thin(&self, matches: usize) -> bool {
        matches * MANY_MATCHES <= self.slots() as usize
    }

    /// All that match, in order.
    fn in_order(&self, bits: Option<&Vec<u64>>, first: Sort, rest: &[Sort]) -> Vec<u32> {
        let mut all = Vec::new();
        self.order(first.key).from(0).for_each(|slot| {
            if bits.is_none_or(|bits| has_bit(bits, slot)) {
                all.push(slot);
            }
        });
        if first.is_descending {
            all.reverse();
        } else if rest.is_empty() {
            return all;
        }
        for run in all.chunk_by_mut(|a, b| self.compare_values(first.key, *a, *b).is_eq()).filter(|run| run.len() > 1) {
            run.sort_unstable_by(|a, b| self.compare_all(rest, *a, *b));
        }
        all
    }

    /// All sessions in order, from one on.
    fn walk_from(&self, sort: Sort, offset: usize) -> Box<dyn Iterator<Item = u32> + '_> {
        let order = self.order(sort.key);
        if !sort.is_descending {
            return Box::new(order.from(offset));
        }
        if offset >= order.len() {
            return Box::new(std::iter::empty());
        }
        // Equal ones stand together and keep their ascending order among themselves.
        let Some(slot) = order.from(order.len() - 1 - offset).next() else { return Box::new(std::iter::empty()) };
        let high = order.rank(|other| self.compare_values(sort.key, other, slot).is_le());
        Box::new(Runs::new(self, order.down_from(high), sort, &[]).skip(offset - (order.len() - high)))
    }

    /// One window of a few slots, sorting no more than that.
    fn sorted_window(&self, mut slots: Vec<u32>, sorts: &[Sort], offset: usize, limit: usize) -> Vec<u32> {
        let compare = |a: &u32, b: &u32| self.compare_all(sorts, *a, *b);
        if offset >= slots.len() {
            return Vec::new();
        }
        if offset > 0 {
            slots.select_nth_unstable_by(offset, compare);
            slots.drain(..offset);
        }
        if limit < slots.len() {
            slots.select_nth_unstable_by(limit, compare);
            slots.truncate(limit);
        }
        slots.sort_unstable_by(compare);
        slots
    }

    fn compare_all(&self, sorts: &[Sort], a: u32, b: u32) -> Ordering {
        for sort in sorts {
            let order = self.compare_values(sort.key, a, b);
            if order.is_ne() {
                return if sort.is_descending { order.reverse() } else { order };
            }
        }
        self.compare(SortKey::Uuid, a, b)
    }
}

/// Slots that come by the first key, with equal ones put in order by the others and by name.
struct Runs<'a, I: Iterator<Item = u32>> {
    table: &'a Table,
    slots: std::iter::Peekable<I>,
    first: Sort,
    rest: &'a [Sort],
    /// What is left of the present run, last first.
    run: Vec<u32>,
}

impl<'a, I: Iterator<Item = u32>> Runs<'a, I> {
    fn new(table: &'a Table, slots: I, first: Sort, rest: &'a [Sort]) -> Self {
        Self { table, slots: slots.peekable(), first, rest, run: Vec::new() }
    }
}

impl<I: Iterator<Item = u32>> Iterator for Runs<'_, I> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        if let Some(slot) = self.run.pop() {
            return Some(slot);
        }
        let first = self.slots.next()?;
        // Ascending, equal ones come in order already.
        if self.rest.is_empty() && !self.first.is_descending {
            return Some(first);
        }
        let is_equal = |slot: &u32| self.table.compare_values(self.first.key, *slot, first).is_eq();
        while let Some(slot) = self.slots.next_if(is_equal) {
            if self.run.is_empty() {
                self.run.push(first);
            }
            self.run.push(slot);
        }
        if self.run.is_empty() {
            return Some(first);
        }
        // Descending, they came last first, as `run` wants them.
        if !(self.rest.is_empty() && self.first.is_descending) {
            self.run.sort_unstable_by(|a, b| self.table.compare_all(self.rest, *b, *a));
        }
        self.run.pop()
    }
}
