//! The texts of all user agents in memory, for searches of ended sessions. Live sessions have an index of their own; the
//! history names user agents that no session has any more. To look for a part of a text in the table reads all of it, with
//! what the rules read from each: 40 ms for 70,000.
//!
//! Texts are added and removed, and never change. What was removed is named by no session, so it may stay here.

use std::sync::{PoisonError, RwLock};

use memchr::memmem::Finder;

use crate::store::{Db, StoreError};
use crate::values;

/// The most bytes of texts that are held. Beyond it the table is read.
const MOST_BYTES: usize = 64 << 20;
/// How many keys below the newest one are read again on PostgreSQL: transactions overlap, so a lower key may come later.
const OVERLAP: i64 = 64;

/// The texts of user agents that this process holds.
#[derive(Debug, Default)]
pub(in crate::store) struct AgentTexts {
    known: RwLock<Known>,
    /// Held while the texts catch up.
    catching_up: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    /// Ascending but for keys that came late.
    ids: Vec<i64>,
    /// Where each text ends, with the zero byte after it.
    ends: Vec<usize>,
    /// All folded texts, each with a zero byte after it.
    block: Vec<u8>,
    /// The newest key.
    last: i64,
    /// Whether they are more than may be held.
    is_too_much: bool,
}

impl AgentTexts {
    /// The user agents whose folded text holds the folded term, at most `limit`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn find(&self, db: &Db<'_>, term: &str, limit: usize) -> Result<Vec<i64>, StoreError> {
        if !self.refresh(db).await? {
            let find = if db.is_sqlite() { "instr" } else { "strpos" };
            let sql = format!("SELECT id FROM user_agents WHERE {find}(text_folded, $1) > 0 LIMIT {limit}");
            return db.all(&sql, &values![term]).await;
        }
        Ok(self.known.read().unwrap_or_else(PoisonError::into_inner).find(term, limit))
    }

    /// Reads what was added since the last question. Returns whether all of it is held.
    async fn refresh(&self, db: &Db<'_>) -> Result<bool, StoreError> {
        let _turn = self.catching_up.lock().await;
        let (last, is_too_much) = {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            (known.last, known.is_too_much)
        };
        if is_too_much {
            return Ok(false);
        }
        let after = if db.is_sqlite() { last } else { last - OVERLAP };
        let sql = "SELECT id, text_folded FROM user_agents WHERE id > $1 ORDER BY id";
        let read: Vec<(i64, String)> = db.all(sql, &values![after]).await?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        for (id, text) in read {
            known.add(id, &text);
        }
        if known.block.len() > MOST_BYTES {
            *known = Known { is_too_much: true, ..Known::default() };
            return Ok(false);
        }
        Ok(true)
    }
}

impl Known {
    fn add(&mut self, id: i64, text: &str) {
        // What is read again is among the last ones.
        let recent = self.ids.len().saturating_sub(usize::try_from(OVERLAP).unwrap_or(0) * 2);
        if id <= self.last && self.ids.get(recent..).unwrap_or_default().contains(&id) {
            return;
        }
        self.ids.push(id);
        self.block.extend_from_slice(text.as_bytes());
        self.block.push(0);
        self.ends.push(self.block.len());
        self.last = self.last.max(id);
    }

    fn find(&self, term: &str, limit: usize) -> Vec<i64> {
        let mut found = Vec::new();
        if term.is_empty() || term.contains('\0') {
            return found;
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
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_found_in_each_text_once_and_never_across_two() {
        let mut known = Known::default();
        for (id, text) in [(3, "CURL/8 CURL"), (5, "FIREFOX"), (9, "ÉCURL")] {
            known.add(id, text);
        }
        assert_eq!(known.find("CURL", 10), [3, 9]);
        assert_eq!(known.find("CURL", 1), [3]);
        assert_eq!(known.find("FOX", 10), [5]);
        assert_eq!(known.find("É", 10), [9]);
        for none in ["", "\0", "LFIRE", "CURL\0FIRE", "OPERA"] {
            assert_eq!(known.find(none, 10), [0_i64; 0], "{none:?}");
        }
    }

    #[test]
    fn what_is_read_again_is_kept_once_and_what_comes_late_is_added() {
        let mut known = Known::default();
        for id in [1, 2, 4, 2, 4, 3, 3] {
            known.add(id, "CURL");
        }
        assert_eq!(known.find("CURL", 10), [1, 2, 4, 3]);
        assert_eq!(known.last, 4);
    }
}
