//! Sessions in columns: what lists show, and what filters, searches and orders look at. No key, no hash.

use std::cmp::Ordering;
use std::sync::OnceLock;

use uuid::Uuid;

use crate::domain::listing::{Facts, SessionRow, SortKey};
use crate::domain::source::SourceId;
use crate::domain::{Address, SessionId, Timestamp, UserId};
use crate::store::sessions::index::bits::{has_bit, put_bit, set_bit};
use crate::store::sessions::index::columns::{at, number, roomy, set};
use crate::store::sessions::index::dictionary::Grams;
use crate::store::sessions::index::entries::{Agent, Entry};
use crate::store::sessions::index::names::{Interned, Map, Named, ranks};
use crate::store::sessions::index::order::Ranked;
use crate::store::sessions::index::places::Places;

/// Where the families of a user agent are among [`Table::families`].
pub(in crate::store) struct Families {
    pub browser: u32,
    pub os: u32,
    pub device: u32,
}

/// All sessions, one slot each. Slots are not used again; [`Table::is_worn`] says when the table should be
/// dropped and filled again.
#[derive(Default)]
pub(in crate::store) struct Table {
    ids: Vec<i64>,
    pub uuids: Vec<u128>,
    pub users: Vec<u32>,
    pub agents: Vec<u32>,
    pub addresses: Vec<u32>,
    pub places: Vec<u32>,
    pub last_used: Vec<i64>,
    pub expires: Vec<i64>,
    pub created: Vec<i64>,
    /// One bit a slot: whether a session is there.
    pub live: Vec<u64>,
    live_count: usize,
    pub facts: Vec<Facts>,
    /// Slots of keys that did not come in ascending order. Their place in `ids` holds the key before, so
    /// that `ids` stays in order.
    late: Map<i64, u32>,
    /// Numbers of addresses, while the table is filled; later the order by address leads there.
    pub filling: Option<Map<Address, u32>>,
    pub user_names: Named,
    pub agent_texts: Named,
    pub agent_families: Vec<Families>,
    pub families: Interned<String>,
    /// Country and network.
    pub known_places: Interned<(String, Option<i64>)>,
    /// The slots of each place.
    pub at_places: Places,
    pub address_keys: Vec<Address>,
    pub address_grams: Grams,
    /// Where the sessions live; `None`: in Rollcall.
    source: Option<SourceId>,
    orders: [OnceLock<Ranked>; KEYS.len()],
}

impl Table {
    /// An empty one with room for `count` sessions of this source: it is filled and then [settled](Table::settle).
    pub fn filling(count: usize, source: Option<SourceId>) -> Self {
        let column = || roomy(count);
        Self {
            ids: roomy(count),
            uuids: roomy(count),
            users: column(),
            agents: column(),
            addresses: column(),
            places: column(),
            last_used: roomy(count),
            expires: roomy(count),
            created: roomy(count),
            facts: roomy(count),
            address_keys: roomy(count),
            filling: Some(Map::default()),
            source,
            ..Self::default()
        }
    }

    /// How many sessions there are.
    pub fn count(&self) -> usize {
        self.live_count
    }

    /// How many slots there are.
    pub fn slots(&self) -> u32 {
        number(self.ids.len())
    }

    /// Whether much of what it holds is gone.
    pub fn is_worn(&self) -> bool {
        let entries = self.address_keys.len() + self.user_names.texts.len();
        self.ids.len() > self.live_count * 3 / 2 + 10_000 || entries > self.live_count * 3 + 100_000
    }

    /// The session, as lists show it.
    pub fn row(&self, slot: u32) -> SessionRow {
        SessionRow {
            uuid: SessionId(Uuid::from_u128(at(&self.uuids, slot))),
            user_id: UserId(self.user_id(slot)),
            created_at: Timestamp(at(&self.created, slot)),
            last_used_at: Timestamp(at(&self.last_used, slot)),
            expires_at: Timestamp(at(&self.expires, slot)),
            last_ip: self.address_of(slot),
            user_agent_id: at(&self.agent_texts.ids, at(&self.agents, slot)),
            is_remembered: at(&self.facts, slot).is_remembered(),
            source: self.source,
        }
    }

    /// Where the sessions live; `None`: in Rollcall.
    pub fn source(&self) -> Option<SourceId> {
        self.source
    }

    /// Whether a user is known.
    pub fn has_user(&self, id: i64) -> bool {
        self.user_names.find(id).is_some()
    }

    /// Whether a user agent is known.
    pub fn has_agent(&self, id: i64) -> bool {
        self.agent_texts.find(id).is_some()
    }

    /// Adds a user, or gives one that is known another name, and moves their sessions to where they belong
    /// by that.
    pub fn put_user(&mut self, id: i64, username: &str) {
        let Some(entry) = self.user_names.find(id) else { return self.user_names.push(id, username) };
        if self.user_names.texts.get(entry) == username {
            return;
        }
        let slots = self.slots_of_user(id);
        for slot in &slots {
            self.leave_place(*slot);
            self.leave(SortKey::Username, *slot);
        }
        let Some(entry) = self.user_names.replace(id, username) else { return };
        for slot in &slots {
            set(&mut self.users, *slot, entry);
        }
        for slot in slots {
            self.enter_place(slot);
            for key in KEYS {
                match key {
                    SortKey::Username => self.enter(key, slot),
                    // By the user's key it stays where it is.
                    _ => self.touch(key, slot),
                }
            }
        }
    }

    /// The sessions of a user.
    fn slots_of_user(&self, id: i64) -> Vec<u32> {
        let order = self.order(SortKey::User);
        let first = order.place(|slot| self.user_id(slot) < id);
        order.up(first).take_while(|slot| self.user_id(*slot) == id).collect()
    }

    /// Adds a user agent, unless it is known.
    pub fn add_agent(&mut self, agent: &Agent) {
        if !self.has_agent(agent.id) {
            self.agent_texts.push(agent.id, &agent.text);
            let [browser, os, device] =
                [&agent.browser, &agent.os, &agent.device].map(|family| self.families.intern(family.clone()));
            self.agent_families.push(Families { browser, os, device });
        }
    }

    /// Adds a session, or brings it up to date. Its user and user agent must be known.
    pub fn put(&mut self, row: &Entry) {
        let (Some(user), Some(agent)) = (self.user_names.find(row.user_id), self.agent_texts.find(row.user_agent_id)) else {
            return;
        };
        let place = self.known_places.intern((row.country.clone(), row.asn));
        let address = self.address(row.last_ip);
        let uuid = row.uuid.0.as_u128();
        let (last_used, expires, created) = (row.last_used_at.0, row.expires_at.0, row.created_at.0);
        let Some(slot) = self.slot(row.id) else {
            let slot = self.slots();
            let last = self.ids.last().copied().unwrap_or(i64::MIN);
            if last > row.id {
                self.late.insert(row.id, slot);
            }
            self.ids.push(row.id.max(last));
            self.uuids.push(uuid);
            self.users.push(user);
            self.agents.push(agent);
            self.addresses.push(address);
            self.places.push(place);
            self.last_used.push(last_used);
            self.expires.push(expires);
            self.created.push(created);
            self.live_count += 1;
            self.facts.push(row.facts);
            set_bit(&mut self.live, slot);
            self.enter_place(slot);
            for key in KEYS {
                self.enter(key, slot);
            }
            return;
        };
        let is_new = !has_bit(&self.live, slot);
        let is_elsewhere = is_new || (at(&self.places, slot), at(&self.uuids, slot), at(&self.users, slot)) != (place, uuid, user);
        let changed: Vec<SortKey> = KEYS
            .into_iter()
            .filter(|key| {
                is_new
                    || match key {
                        SortKey::Uuid | SortKey::User | SortKey::Username => {
                            (at(&self.uuids, slot), at(&self.users, slot)) != (uuid, user)
                        }
                        SortKey::LastIp => at(&self.addresses, slot) != address,
                        SortKey::UserAgent => at(&self.agents, slot) != agent,
                        SortKey::LastUsed => at(&self.last_used, slot) != last_used,
                        SortKey::Expires => at(&self.expires, slot) != expires,
                        SortKey::Created => at(&self.created, slot) != created,
                        SortKey::Country => at(&self.places, slot) != place,
                    }
            })
            .collect();
        if !is_new {
            for key in &changed {
                self.leave(*key, slot);
            }
        }
        if is_elsewhere && !is_new {
            self.leave_place(slot);
        }
        set(&mut self.uuids, slot, uuid);
        set(&mut self.users, slot, user);
        set(&mut self.agents, slot, agent);
        set(&mut self.addresses, slot, address);
        set(&mut self.places, slot, place);
        set(&mut self.last_used, slot, last_used);
        set(&mut self.expires, slot, expires);
        set(&mut self.created, slot, created);
        set(&mut self.facts, slot, row.facts);
        if is_elsewhere {
            self.enter_place(slot);
        }
        if is_new {
            set_bit(&mut self.live, slot);
            self.live_count += 1;
        }
        for key in KEYS {
            if changed.contains(&key) {
                self.enter(key, slot);
            } else if !changed.is_empty() {
                self.touch(key, slot);
            }
        }
    }

    /// Removes the session with this key, if it is there.
    pub fn remove(&mut self, id: i64) {
        let Some(slot) = self.slot(id).filter(|slot| has_bit(&self.live, *slot)) else { return };
        for key in KEYS {
            self.leave(key, slot);
        }
        self.leave_place(slot);
        self.live_count -= 1;
        put_bit(&mut self.live, slot, false);
    }

    /// Gives back what was reserved for growth, and sorts by what is asked for most, on two threads.
    pub fn settle(&mut self) {
        self.filling = None;
        self.address_grams.shrink();
        self.user_names.shrink();
        self.agent_texts.shrink();
        let table = &*self;
        std::thread::scope(|threads| {
            let (here, there) = SETTLED.split_at(SETTLED.len() / 2);
            // Where no thread can be had, the orders are made when they are needed.
            let other = std::thread::Builder::new().name("rollcall-index".into()).spawn_scoped(threads, move || {
                for key in there {
                    table.make_order(*key);
                }
            });
            for key in here {
                table.make_order(*key);
            }
            drop(other);
        });
        let mut places = std::mem::take(&mut self.at_places);
        places.sort(self.order(SortKey::Username).from(0).map(|slot| (at(&self.places, slot), slot)));
        self.at_places = places;
    }

    fn enter_place(&mut self, slot: u32) {
        let (mut places, place) = (std::mem::take(&mut self.at_places), at(&self.places, slot));
        if self.filling.is_some() {
            places.append(place, slot);
        } else {
            places.enter(place, slot, |other| self.compare(SortKey::Username, other, slot));
        }
        self.at_places = places;
    }

    fn leave_place(&mut self, slot: u32) {
        let (mut places, place) = (std::mem::take(&mut self.at_places), at(&self.places, slot));
        places.leave(place, slot, |a, b| self.compare(SortKey::Username, a, b));
        self.at_places = places;
    }

    fn slot(&self, id: i64) -> Option<u32> {
        if let Some(slot) = self.late.get(&id) {
            return Some(*slot);
        }
        // A late slot repeats the key before it, so the first is the right one.
        let first = number(self.ids.partition_point(|other| *other < id));
        (self.ids.get(first as usize) == Some(&id)).then_some(first)
    }

    /// The number of an address: that of a session which has it, or a new one.
    fn address(&mut self, address: Address) -> u32 {
        let next = number(self.address_keys.len());
        if let Some(known) = &mut self.filling {
            let entry = *known.entry(address).or_insert(next);
            if entry == next {
                self.add_address(address);
            }
            return entry;
        }
        let key = address.sort_key();
        let order = self.order(SortKey::LastIp);
        let rank = order.rank(|slot| self.address_of(slot).sort_key() < key);
        let found = order.from(rank).next().filter(|slot| self.address_of(*slot) == address);
        if let Some(slot) = found {
            return at(&self.addresses, slot);
        }
        self.add_address(address);
        next
    }

    fn add_address(&mut self, address: Address) {
        self.address_grams.file(number(self.address_keys.len()), &address_text(address));
        self.address_keys.push(address);
    }

    /// Where a session was last used from.
    pub fn address_of(&self, slot: u32) -> Address {
        self.address_keys.get(at(&self.addresses, slot) as usize).copied().unwrap_or(Address::UNKNOWN)
    }

    /// A place's country.
    pub fn country(&self, place: u32) -> &str {
        self.known_places.values().get(place as usize).map_or("", |(country, _)| country)
    }

    /// The user's key.
    pub fn user_id(&self, slot: u32) -> i64 {
        at(&self.user_names.ids, at(&self.users, slot))
    }

    fn enter(&mut self, key: SortKey, slot: u32) {
        self.change_order(key, |table, order| order.insert(slot, |other| table.compare(key, other, slot)));
    }

    fn leave(&mut self, key: SortKey, slot: u32) {
        self.change_order(key, |table, order| order.remove(slot, |other| table.compare(key, other, slot)));
    }

    /// Notes in an order that a session may match other filters now.
    fn touch(&mut self, key: SortKey, slot: u32) {
        self.change_order(key, |table, order| {
            order.touch(slot, |other| table.compare(key, other, slot));
        });
    }

    /// Changes an order, if it was made.
    fn change_order(&mut self, key: SortKey, change: impl FnOnce(&Self, &mut Ranked)) {
        let Some(mut order) = self.orders.get_mut(key as usize).and_then(OnceLock::take) else { return };
        change(self, &mut order);
        if let Some(place) = self.orders.get(key as usize) {
            let _ = place.set(order);
        }
    }

    /// All sessions in ascending order, equal ones by name.
    pub fn order(&self, key: SortKey) -> &Ranked {
        static NOTHING: Ranked = Ranked::EMPTY;
        self.orders.get(key as usize).map_or(&NOTHING, |order| order.get_or_init(|| self.sort(key)))
    }

    /// Makes an order, so that no question has to wait for it.
    fn make_order(&self, key: SortKey) {
        self.order(key);
    }

    /// Whether that order is there, and need not be made.
    pub fn has_order(&self, key: SortKey) -> bool {
        self.orders.get(key as usize).is_some_and(|order| order.get().is_some())
    }

    fn sort(&self, key: SortKey) -> Ranked {
        let ranks = match key {
            SortKey::Username => ranks(&self.user_names.ids, |a, b| self.user_names.texts.get(a).cmp(self.user_names.texts.get(b))),
            SortKey::UserAgent => {
                ranks(&self.agent_texts.ids, |a, b| self.agent_texts.texts.get(a).cmp(self.agent_texts.texts.get(b)))
            }
            SortKey::LastIp => ranks(&self.address_keys, |a, b| at_key(&self.address_keys, a).cmp(&at_key(&self.address_keys, b))),
            SortKey::Country => ranks(self.known_places.values(), |a, b| self.country(a).cmp(self.country(b))),
            _ => Vec::new(),
        };
        let value = |slot: u32| match key {
            SortKey::Uuid => 0,
            SortKey::User => self.user_id(slot),
            SortKey::Username => at(&ranks, at(&self.users, slot)).into(),
            SortKey::UserAgent => at(&ranks, at(&self.agents, slot)).into(),
            SortKey::LastIp => at(&ranks, at(&self.addresses, slot)).into(),
            SortKey::LastUsed => at(&self.last_used, slot),
            SortKey::Expires => at(&self.expires, slot),
            SortKey::Created => at(&self.created, slot),
            SortKey::Country => at(&ranks, at(&self.places, slot)).into(),
        };
        let live = (0..self.slots()).filter(|slot| has_bit(&self.live, *slot));
        let mut keyed: Vec<(i64, u64, u32)> = roomy(self.live_count);
        keyed.extend(live.map(|slot| (value(slot), (at(&self.uuids, slot) >> 64) as u64, slot)));
        keyed.sort_unstable_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)).then_with(|| at(&self.uuids, a.2).cmp(&at(&self.uuids, b.2))));
        Ranked::new(keyed.iter().map(|(_, _, slot)| *slot))
    }

    /// Compares two sessions by one key, and then by name.
    pub fn compare(&self, key: SortKey, a: u32, b: u32) -> Ordering {
        self.compare_values(key, a, b).then_with(|| at(&self.uuids, a).cmp(&at(&self.uuids, b)))
    }

    /// Compares two sessions by one key alone.
    pub fn compare_values(&self, key: SortKey, a: u32, b: u32) -> Ordering {
        match key {
            SortKey::Uuid => at(&self.uuids, a).cmp(&at(&self.uuids, b)),
            SortKey::User => self.user_id(a).cmp(&self.user_id(b)),
            SortKey::Username => {
                let (a, b) = (at(&self.users, a), at(&self.users, b));
                if a == b { Ordering::Equal } else { self.user_names.texts.get(a).cmp(self.user_names.texts.get(b)) }
            }
            SortKey::UserAgent => {
                let (a, b) = (at(&self.agents, a), at(&self.agents, b));
                if a == b { Ordering::Equal } else { self.agent_texts.texts.get(a).cmp(self.agent_texts.texts.get(b)) }
            }
            SortKey::LastIp => {
                let (x, y) = (at(&self.addresses, a), at(&self.addresses, b));
                if x == y { Ordering::Equal } else { at_key(&self.address_keys, x).cmp(&at_key(&self.address_keys, y)) }
            }
            SortKey::LastUsed => at(&self.last_used, a).cmp(&at(&self.last_used, b)),
            SortKey::Expires => at(&self.expires, a).cmp(&at(&self.expires, b)),
            SortKey::Created => at(&self.created, a).cmp(&at(&self.created, b)),
            SortKey::Country => self.country(at(&self.places, a)).cmp(self.country(at(&self.places, b))),
        }
    }
}

/// All that sessions can be sorted by.
pub(in crate::store) const KEYS: [SortKey; 9] = [
    SortKey::Uuid,
    SortKey::User,
    SortKey::Username,
    SortKey::LastIp,
    SortKey::UserAgent,
    SortKey::LastUsed,
    SortKey::Expires,
    SortKey::Created,
    SortKey::Country,
];

/// What sessions are sorted by from the beginning: what conditions look into, and what is asked for most.
const SETTLED: [SortKey; 7] =
    [SortKey::LastIp, SortKey::User, SortKey::UserAgent, SortKey::Username, SortKey::LastUsed, SortKey::Expires, SortKey::Uuid];

/// An address as searches see it.
pub(in crate::store) fn address_text(address: Address) -> String {
    address.to_string().to_ascii_uppercase()
}

fn at_key(keys: &[Address], entry: u32) -> [u8; crate::domain::address::KEY_LENGTH] {
    keys.get(entry as usize).copied().unwrap_or(Address::UNKNOWN).sort_key()
}
