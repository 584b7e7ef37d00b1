//! Which sessions match.
//!
//! Few candidates are gathered through the narrowest condition and looked at one by one; with many,
//! each condition passes once over its column.

use crate::domain::listing::{SessionFilter, SortKey};
use crate::domain::search::could_be_address;
use crate::domain::{Method, Network, UserId};
use crate::store::sessions::index::bits::{bits_of, has_bit, keep, places_of, set_bit};
use crate::store::sessions::index::columns::at;
use crate::store::sessions::index::plan::PASS;
use crate::store::sessions::index::table::{Table, address_text};
use crate::store::sessions::people::People;

/// More entries of a dictionary than this are not looked up one by one.
const MANY_ENTRIES: usize = 4096;

/// A filter, with names resolved to keys.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::store) struct Question {
    /// The filter.
    pub filter: SessionFilter,
    /// The key of the user it names.
    pub user: Option<UserId>,
    /// The key of the user agent it names.
    pub user_agent_id: Option<i64>,
    /// The users that its search looks at by all that they are called; `None`: by their usernames alone.
    pub people: Option<People>,
}

/// The sessions that match.
pub(in crate::store) enum Matches {
    /// All there are.
    All,
    /// A bit a slot, and how many are set.
    Bits(Vec<u64>, usize),
    /// Slots, in no order.
    Few(Vec<u32>),
}

impl Matches {
    /// How many there are.
    pub fn count(&self, table: &Table) -> usize {
        match self {
            Self::All => table.count(),
            Self::Bits(_, count) => *count,
            Self::Few(slots) => slots.len(),
        }
    }

    /// The slots, in no order.
    pub fn slots(&self) -> Vec<u32> {
        match self {
            Self::All => Vec::new(),
            Self::Bits(bits, _) => places_of(bits),
            Self::Few(slots) => slots.clone(),
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
pub(in crate::store) struct Term {
    users: Vec<u32>,
    agents: Vec<u32>,
    addresses: Vec<u32>,
    bits: Option<[Vec<u64>; 3]>,
}

/// What must hold of a session.
pub(in crate::store) enum Condition {
    /// One user, by entry.
    User(u32),
    /// One user agent, by entry.
    Agent(u32),
    /// Some user agents, as bits.
    Agents(Vec<u64>),
    /// Some places, as bits.
    Places(Vec<u64>),
    /// Addresses of a network.
    Network(Network),
    /// Last used from the one instant to the other.
    LastUsed(i64, i64),
    /// Expires from the one instant to the other.
    Expires(i64, i64),
    /// Signed in until an instant.
    Created(i64),
    /// Signed in with a method.
    Method(Method),
    /// All but one.
    Except(u128),
    /// One search term.
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
        self.conditions(question).map_or_else(|| Matches::Few(Vec::new()), |mut conditions| self.select_by(&mut conditions))
    }

    /// The sessions that fulfil these.
    pub fn select_by(&self, conditions: &mut [Condition]) -> Matches {
        if conditions.is_empty() {
            return Matches::All;
        }
        if let Some(sources) = self.narrowest(conditions) {
            let candidates = size_of(&sources);
            if candidates * PASS <= self.slots() as usize || candidates <= 256 {
                return Matches::Few(self.gather(&sources, conditions));
            }
        }
        for condition in &mut *conditions {
            if let Condition::Term(term) = condition {
                term.bits = Some([bits_of(&term.users), bits_of(&term.agents), bits_of(&term.addresses)]);
            }
        }
        let mut bits = self.live.clone();
        for condition in &*conditions {
            self.pass(&mut bits, condition);
        }
        let count = bits.iter().map(|word| word.count_ones() as usize).sum();
        Matches::Bits(bits, count)
    }

    /// Where the fewest candidates come from, if any condition names them.
    fn narrowest(&self, conditions: &[Condition]) -> Option<Vec<Source<'_>>> {
        conditions.iter().filter_map(|condition| self.sources(condition)).min_by_key(|sources| size_of(sources))
    }

    /// How many sessions match, where that is known without looking at them: of no condition, or of one that
    /// names its candidates.
    pub fn count_at_once(&self, conditions: &[Condition]) -> Option<usize> {
        match conditions {
            [] => Some(self.count()),
            [
                Condition::User(_)
                | Condition::Agent(_)
                | Condition::Places(_)
                | Condition::Network(_)
                | Condition::LastUsed(..)
                | Condition::Expires(..),
            ] => self.narrowest(conditions).map(|sources| size_of(&sources)),
            _ => None,
        }
    }

    /// Whether a condition names candidates.
    pub fn has_candidates(&self, conditions: &[Condition]) -> bool {
        self.narrowest(conditions).is_some()
    }

    /// The sessions that match, each looked at by itself. None unless a condition names candidates.
    pub fn gather_candidates(&self, conditions: &[Condition]) -> Vec<u32> {
        self.narrowest(conditions).map(|sources| self.gather(&sources, conditions)).unwrap_or_default()
    }

    /// What must hold; `None` when nothing can match.
    pub fn conditions(&self, question: &Question) -> Option<Vec<Condition>> {
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
        conditions.extend(filter.created_lte.map(|time| Condition::Created(time.0)));
        conditions.extend(filter.methods.map(Condition::Method));
        conditions.extend(filter.except.map(|except| Condition::Except(except.0.as_u128())));
        conditions.extend(filter.search.iter().map(|term| Condition::Term(self.term(term, question.people.as_ref()))));
        Some(conditions)
    }

    fn term(&self, term: &str, people: Option<&People>) -> Term {
        let mut users = self.user_names.grams.find(term, |entry| self.user_names.folded.get(entry).contains(term));
        if let Some(people) = people {
            users.extend(people.with(term).into_iter().filter_map(|id| self.user_names.find(id)));
            users.sort_unstable();
            users.dedup();
        }
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
                places.into_iter().filter_map(|place| Some(Source::Slots(self.at_places.get(place)?.slots()))).collect()
            }
            // Most sessions were there before: the other conditions name fewer.
            Condition::Created(_) | Condition::Agents(_) | Condition::Method(_) | Condition::Except(_) => return None,
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
        // A slot that came from the only condition's list matches; looking at it would wait for
        // memory.
        let is_all = conditions.len() == 1;
        let is_wanted = |slot: &u32| is_all || self.holds_all(*slot, conditions);
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
        // A slot that two texts led to is listed twice.
        if conditions.iter().any(|condition| matches!(condition, Condition::Term(_))) {
            slots.sort_unstable();
            slots.dedup();
        }
        slots
    }

    /// Whether a session fulfils these.
    pub fn holds_all(&self, slot: u32, conditions: &[Condition]) -> bool {
        conditions.iter().all(|condition| self.holds(slot, condition))
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
            Condition::Created(to) => at(&self.created, slot) <= *to,
            Condition::Method(method) => at(&self.facts, slot).has_method(*method),
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
            Condition::Created(to) => keep(bits, &self.created, |it| it <= *to),
            Condition::Method(method) => keep(bits, &self.facts, |it| it.has_method(*method)),
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
}
