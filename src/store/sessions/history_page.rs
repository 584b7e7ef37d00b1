//! Pages of ended sessions, the latest end first. Each page reads a bounded number of rows, whatever it asks for,
//! and the next one begins at a key: no page costs more than the first.
//!
//! Where the filters leave out more than 1,500 rows, the page ends early and says at which key the search stopped.

use std::collections::HashMap;
use std::sync::Arc;

use crate::domain::listing::EndedFilter;
use crate::store::db::statements::named;
use crate::store::sessions::history_list::{EndedListRow, ended_columns};
use crate::store::sessions::sources::Texts;
use crate::store::timeline::TimeKey;
use crate::store::timeline::parts::Parts;
use crate::store::{Db, Store, StoreError};

/// The most rows that one page reads.
const BUDGET: i64 = 1_500;
/// How many rows are read by their keys at once.
const AT_ONCE: usize = 1_000;

/// The place of an ended session in the list: when it ended, and the key of its row.
pub type EndedKey = TimeKey;

/// A page of ended sessions.
#[derive(Clone, Debug, Default)]
pub struct EndedPage {
    /// Its rows, each with its place.
    pub rows: Vec<(EndedKey, EndedListRow)>,
    /// After which place the next page begins; `None`: there is none.
    pub next: Option<EndedKey>,
    /// Whether it has fewer rows than were wanted because the search stopped: there may be more further back.
    pub is_partial: bool,
    /// How many match in all, where a counter has it or all are on this page.
    pub count: Option<i64>,
}

impl Store {
    /// The ended sessions that match, after that place (`None`: from the first), the latest end first, `limit` at most.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when the queue of long reads is full; else when the database does not answer.
    pub async fn ended_page(&self, filter: &EndedFilter, after: Option<EndedKey>, limit: i64) -> Result<EndedPage, StoreError> {
        let (filter, users, agents) = (filter.clone(), Arc::clone(self.user_texts()), Arc::clone(self.agent_texts()));
        let read = self.long_read(move |db| {
            Box::pin(async move {
                let texts = Texts { users: &users, agents: &agents };
                db.ended_page(&filter, texts, after, limit.max(1)).await
            })
        });
        read.await
    }
}

/// What was read of a page: the places of its rows, where to go on, and whether the search stopped.
struct Read {
    keys: Vec<EndedKey>,
    next: Option<EndedKey>,
    is_partial: bool,
}

impl Db<'_> {
    async fn ended_page(
        &self,
        filter: &EndedFilter,
        texts: Texts<'_>,
        after: Option<EndedKey>,
        limit: i64,
    ) -> Result<EndedPage, StoreError> {
        let Some(sources) = self.ended_sources(filter, texts).await? else {
            return Ok(EndedPage { count: Some(0), ..EndedPage::default() });
        };
        let read = self.read_ended_keys(&sources.parts, after, limit).await?;
        let ids: Vec<i64> = read.keys.iter().map(|key| key.id).collect();
        let mut rows = self.list_ended_of(&ids).await?;
        let count = match &sources.counted {
            Some(key) => Some(self.count_sessions_of(key).await?),
            None if after.is_none() && read.next.is_none() => i64::try_from(read.keys.len()).ok(),
            None => None,
        };
        let rows = read.keys.iter().filter_map(|key| Some((*key, rows.remove(&key.id)?))).collect();
        Ok(EndedPage { rows, next: read.next, is_partial: read.is_partial, count })
    }

    async fn read_ended_keys(&self, parts: &Parts, after: Option<EndedKey>, limit: i64) -> Result<Read, StoreError> {
        let chosen = self.choose_source(parts, &parts.after(after, true)).await?;
        let (mut keys, mut last, mut left): (Vec<EndedKey>, Option<EndedKey>, i64) = (Vec::new(), after, BUDGET);
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
        // Most pages are full after the first few rows.
        let mut step = limit.saturating_add(1);
        loop {
            let rows = self.read_candidates(parts, chosen, true, last, step).await?;
            let is_end = i64::try_from(rows.len()).unwrap_or(step) < step;
            for (key, is_match) in rows {
                if keys.len() == wanted && is_match {
                    return Ok(Read { next: keys.last().copied(), keys, is_partial: false });
                }
                last = Some(key);
                if is_match {
                    keys.push(key);
                }
            }
            if is_end {
                return Ok(Read { keys, next: None, is_partial: false });
            }
            left -= step;
            if left <= 0 {
                let is_partial = keys.len() < wanted;
                return Ok(Read { next: if is_partial { last } else { keys.last().copied() }, keys, is_partial });
            }
            step = left;
        }
    }

    /// The rows with these keys, by key.
    pub(in crate::store) async fn list_ended_of(&self, ids: &[i64]) -> Result<HashMap<i64, EndedListRow>, StoreError> {
        let (mut rows, columns) = (HashMap::new(), ended_columns());
        for ids in ids.chunks(AT_ONCE) {
            let mut values = Vec::new();
            let these = named("s.id", &mut values, ids);
            let sql = format!("SELECT s.id, {columns} FROM ended_sessions s WHERE {these}");
            rows.extend(self.all::<(i64, EndedListRow)>(&sql, &values).await?);
        }
        Ok(rows)
    }
}
