//! The texts of all user agents in memory, for searches of ended sessions. Live sessions have an index of their own; the
//! history names user agents that no session has any more. A search in the table reads all of it, with what the rules read
//! from each text: PostgreSQL takes 42 ms for 71,000.
//!
//! Texts are added and removed, and never change. What was removed is left out when it is found.

use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};

use memchr::memmem::Finder;

use crate::store::db::settled::Settled;
use crate::store::db::statements::any_of;
use crate::store::{Db, StoreError};
use crate::values;

/// The most bytes of texts that are held. Beyond it the table is read, until the next start.
const MOST_BYTES: usize = 64 << 20;
/// How many texts are read at once.
const AT_ONCE: usize = 10_000;

/// The texts of user agents that this process holds.
#[derive(Debug, Default)]
pub(in crate::store) struct AgentTexts(RwLock<Known>);

#[derive(Debug, Default)]
struct Known {
    /// The key of each text, in the order of the block.
    ids: Vec<i64>,
    /// The same keys.
    held: HashSet<i64>,
    /// Where each text ends, with the zero byte after it.
    ends: Vec<usize>,
    /// All folded texts, each with a zero byte after it.
    block: Vec<u8>,
    /// Up to which key all texts are held that there are or will be.
    held_upto: i64,
    /// Up to which key no text appears any more. PostgreSQL alone.
    settled: Settled,
    /// Whether they are more than may be held.
    is_too_much: bool,
}

impl AgentTexts {
    /// The user agents whose folded text holds the folded term, at most `limit`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find(&self, db: &Db<'_>, term: &str, limit: usize) -> Result<Vec<i64>, StoreError> {
        self.refresh(db).await?;
        let found = self.0.read().unwrap_or_else(PoisonError::into_inner).find(term, limit);
        let Some(found) = found else {
            let sql = format!("SELECT id FROM user_agents WHERE {} LIMIT {limit}", db.holds("text_folded", "$1"));
            return db.all(&sql, &values![term]).await;
        };
        if found.is_empty() || found.len() >= limit {
            return Ok(found);
        }
        // Without those that were removed.
        let (these, values) = any_of(db.is_sqlite(), "id", &found);
        db.all(&format!("SELECT id FROM user_agents WHERE {these}"), &values).await
    }

    /// Reads what was added since the last question. Two that do so at once read the same: statements on SQLite wait for
    /// nothing but the database.
    async fn refresh(&self, db: &Db<'_>) -> Result<(), StoreError> {
        // Before the texts are read: what settled by then is among them.
        let look = if db.is_sqlite() { None } else { Some(db.look_at("user_agents").await?) };
        let (mut after, settled) = {
            let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
            if known.is_too_much {
                return Ok(());
            }
            if let Some(look) = look {
                known.settled.note(look);
            }
            (known.held_upto, known.settled.upto())
        };
        loop {
            let sql = format!("SELECT id, text_folded FROM user_agents WHERE id > $1 ORDER BY id LIMIT {AT_ONCE}");
            let read: Vec<(i64, String)> = db.all(&sql, &values![after]).await?;
            let is_end = read.len() < AT_ONCE;
            after = read.last().map_or(after, |(id, _)| *id);
            let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
            for (id, text) in &read {
                known.add(*id, text);
            }
            if known.block.len() > MOST_BYTES {
                *known = Known { is_too_much: true, ..Known::default() };
            }
            if is_end || known.is_too_much {
                // SQLite has one writer: keys appear in their order.
                known.held_upto = known.held_upto.max(if db.is_sqlite() { after } else { settled });
                return Ok(());
            }
        }
    }
}

impl Known {
    fn add(&mut self, id: i64, text: &str) {
        if self.is_too_much || !self.held.insert(id) {
            return;
        }
        self.ids.push(id);
        self.block.extend_from_slice(text.as_bytes());
        self.block.push(0);
        self.ends.push(self.block.len());
    }

    /// `None`: they are not held.
    fn find(&self, term: &str, limit: usize) -> Option<Vec<i64>> {
        if self.is_too_much {
            return None;
        }
        let mut found = Vec::new();
        if term.is_empty() || term.contains('\0') {
            return Some(found);
        }
        let (finder, mut from) = (Finder::new(term.as_bytes()), 0);
        while found.len() < limit
            && let Some(at) = self.block.get(from..).and_then(|rest| finder.find(rest))
        {
            let nth = self.ends.partition_point(|end| *end <= from + at);
            let (Some(id), Some(end)) = (self.ids.get(nth), self.ends.get(nth)) else { break };
            found.push(*id);
            from = *end;
        }
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(texts: &[(i64, &str)]) -> Known {
        let mut known = Known::default();
        for (id, text) in texts {
            known.add(*id, text);
        }
        known
    }

    #[test]
    fn a_part_is_found_in_each_text_once_and_never_across_two() {
        let known = known(&[(3, "CURL/8 CURL"), (5, "FIREFOX"), (9, "ÉCURL")]);
        let found = |term, limit| known.find(term, limit).unwrap();
        assert_eq!(found("CURL", 10), [3, 9]);
        assert_eq!(found("CURL", 1), [3]);
        assert_eq!(found("FOX", 10), [5]);
        assert_eq!(found("É", 10), [9]);
        for none in ["", "\0", "LFIRE", "CURL\0FIRE", "OPERA"] {
            assert_eq!(found(none, 10), [0_i64; 0], "{none:?}");
        }
    }

    #[test]
    fn what_is_read_again_is_kept_once_and_what_comes_late_is_added() {
        let known = known(&[1, 2, 4, 2, 4, 3, 3].map(|id| (id, "CURL")));
        assert_eq!(known.find("CURL", 10).unwrap(), [1, 2, 4, 3]);
    }

    #[test]
    fn nothing_is_found_in_what_is_not_held() {
        let mut known = Known { is_too_much: true, ..Known::default() };
        known.add(1, "CURL");
        assert_eq!(known.find("CURL", 10), None);
    }
}
