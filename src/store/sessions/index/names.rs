//! Values that sessions share, by number: users, user agents, places.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::hash::Hash;

use foldhash::fast::RandomState;

use crate::domain::fold::fold;
use crate::store::sessions::index::columns::{number, set};
use crate::store::sessions::index::dictionary::{Grams, Texts};

pub(in crate::store) type Map<K, V> = HashMap<K, V, RandomState>;

/// Distinct values by number.
pub(in crate::store) struct Interned<T> {
    numbers: Map<T, u32>,
    values: Vec<T>,
}

impl<T> Default for Interned<T> {
    fn default() -> Self {
        Self { numbers: Map::default(), values: Vec::new() }
    }
}

impl<T: Hash + Eq + Clone> Interned<T> {
    /// The number of a value, a new one where it is new.
    pub fn intern(&mut self, value: T) -> u32 {
        let next = number(self.values.len());
        *self.numbers.entry(value).or_insert_with_key(|value| {
            self.values.push(value.clone());
            next
        })
    }

    /// The number of a value, if it has one.
    pub fn find(&self, value: &T) -> Option<u32> {
        self.numbers.get(value).copied()
    }

    /// The values, by number.
    pub fn values(&self) -> &[T] {
        &self.values
    }
}

/// The key of an entry whose text was replaced: no session refers to it.
const NOBODY: i64 = i64::MIN;

/// Users or user agents: texts with a key.
#[derive(Default)]
pub(in crate::store) struct Named {
    entries: Map<i64, u32>,
    pub ids: Vec<i64>,
    pub texts: Texts,
    /// The first bytes of each text, next to each other in memory: enough to compare most texts.
    pub beginnings: Vec<u64>,
    pub folded: Texts,
    pub grams: Grams,
}

impl Named {
    /// The entry of a key.
    pub fn find(&self, id: i64) -> Option<u32> {
        self.entries.get(&id).copied()
    }

    /// Adds one that is not known.
    pub fn push(&mut self, id: i64, text: &str) {
        let entry = number(self.ids.len());
        let folded = fold(text);
        self.entries.insert(id, entry);
        self.ids.push(id);
        self.texts.push(text);
        self.beginnings.push(first_bytes(text.as_bytes()));
        self.grams.file(entry, &folded);
        self.folded.push(&folded);
    }

    /// Gives a known user or user agent another text, and returns its new entry. The old entry has
    /// no key any more: sessions that refer to it must be given the new one.
    pub fn replace(&mut self, id: i64, text: &str) -> Option<u32> {
        let old = self.find(id)?;
        set(&mut self.ids, old, NOBODY);
        self.push(id, text);
        self.find(id)
    }

    /// Gives back what was reserved for growth.
    pub fn shrink(&mut self) {
        self.ids.shrink_to_fit();
        self.texts.shrink();
        self.beginnings.shrink_to_fit();
        self.folded.shrink();
        self.grams.shrink();
    }
}

/// Eight bytes, the first one highest; what is shorter ends in zeros.
pub(in crate::store) fn first_bytes(bytes: &[u8]) -> u64 {
    let mut first = [0; 8];
    for (place, byte) in first.iter_mut().zip(bytes) {
        *place = *byte;
    }
    u64::from_be_bytes(first)
}

/// For each entry its place in the order; equal ones share it, as places of one country do.
pub(in crate::store) fn ranks<T>(entries: &[T], compare: impl Fn(u32, u32) -> Ordering) -> Vec<u32> {
    let mut sorted: Vec<u32> = (0..number(entries.len())).collect();
    sorted.sort_unstable_by(|a, b| compare(*a, *b));
    let mut ranks = vec![0; sorted.len()];
    for (rank, equal) in (0..).zip(sorted.chunk_by(|a, b| compare(*a, *b).is_eq())) {
        for entry in equal {
            set(&mut ranks, *entry, rank);
        }
    }
    ranks
}
