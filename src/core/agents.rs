//! The cache of the user agent dictionary, on top of the store, next to the parser that fills it.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use arc_swap::ArcSwap;
use sha2::{Digest, Sha256};

use crate::domain::user_agent::ParsedAgent;
use crate::enrich::user_agents::UserAgents;
use crate::store::sessions::user_agents::UserAgentRow;
use crate::store::{Db, StoreError};

/// The most entries of the dictionary kept in memory: all that a million sessions share, some 600 bytes
/// each.
const CACHE_SIZE: usize = 32_768;

type TextHash = [u8; 16];

fn hash(text: &str) -> TextHash {
    let mut hash = TextHash::default();
    hash.iter_mut().zip(Sha256::digest(text.as_bytes())).for_each(|(place, byte)| *place = byte);
    hash
}

/// The parser of user agents, and a cache of the entries that the database holds.
pub struct Agents {
    parser: ArcSwap<UserAgents>,
    cache: RwLock<HashMap<i64, Arc<UserAgentRow>>>,
    /// Keys of texts that were signed in with, by the hash of the text.
    keys: RwLock<HashMap<TextHash, i64>>,
}

impl Agents {
    /// An empty cache over this parser.
    #[must_use]
    pub fn new(parser: UserAgents) -> Self {
        Self { parser: ArcSwap::from_pointee(parser), cache: RwLock::default(), keys: RwLock::default() }
    }

    /// What the text says, by the rules in use.
    #[must_use]
    pub fn parse(&self, text: &str) -> ParsedAgent {
        self.parser.load().parse(text)
    }

    /// A text that identifies the rules in use.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.parser.load().fingerprint().to_owned()
    }

    /// Drops the compiled rules if they were not used since the last call.
    pub fn rest(&self) {
        self.parser.load().rest();
    }

    /// Parses by other rules from now on. Entries that the old ones parsed are parsed again in the
    /// background.
    pub fn use_rules(&self, parser: UserAgents) {
        if self.fingerprint() != parser.fingerprint() {
            self.parser.store(Arc::new(parser));
            self.keys.write().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    /// These entries of the dictionary, from memory where it has them.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn entries(
        &self,
        db: &Db<'_>,
        ids: impl IntoIterator<Item = i64>,
    ) -> Result<HashMap<i64, Arc<UserAgentRow>>, StoreError> {
        let mut found = HashMap::new();
        let mut missing = Vec::new();
        {
            let cache = self.cache.read().unwrap_or_else(PoisonError::into_inner);
            for id in ids {
                match cache.get(&id) {
                    Some(entry) => drop(found.insert(id, Arc::clone(entry))),
                    None => missing.push(id),
                }
            }
        }
        crate::metrics::count_cache("user_agents", found.len(), missing.len());
        if missing.is_empty() {
            return Ok(found);
        }
        missing.sort_unstable();
        missing.dedup();
        let rows = db.list_user_agents(&missing).await?;
        let mut cache = self.cache.write().unwrap_or_else(PoisonError::into_inner);
        if cache.len() + rows.len() > CACHE_SIZE {
            cache.clear();
        }
        for row in rows {
            let entry = Arc::new(row);
            cache.insert(entry.id, Arc::clone(&entry));
            found.insert(entry.id, entry);
        }
        Ok(found)
    }

    /// The cached key of a text that was [learnt](Agents::learn_key). The entry may have been
    /// deleted since, if nothing referred to it: the write that uses the key then fails, and its
    /// caller [forgets](Agents::forget_key) the key.
    #[must_use]
    pub fn key(&self, text: &str) -> Option<i64> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).get(&hash(text)).copied()
    }

    /// Remembers the key of a text.
    pub fn learn_key(&self, text: &str, key: i64) {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= CACHE_SIZE {
            keys.clear();
        }
        keys.insert(hash(text), key);
    }

    /// Forgets the key of a text, and returns whether it was cached.
    pub fn forget_key(&self, text: &str) -> bool {
        self.keys.write().unwrap_or_else(PoisonError::into_inner).remove(&hash(text)).is_some()
    }

    /// Forgets cached entries: newer rules parsed them again.
    pub fn forget(&self) {
        self.cache.write().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
