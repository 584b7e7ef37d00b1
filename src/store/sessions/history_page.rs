//! Pages of ended sessions, the latest end first. Each page reads a bounded number of rows, whatever it asks for,
//! and the next one begins at a key: no page costs more than the first.
//!
//! Each filter with an index is a source: it gives the keys of its matches in the order of the list. One source is
//! read, the one with the fewest matches, and the other filters are checked row by row. Where they leave out
//! more than 3,000 rows, the page ends early and says at which key the search stopped.

use std::collections::HashMap;

use crate::domain::Timestamp;
use crate::domain::listing::EndedFilter;
use crate::store::db::statements::named;
use crate::store::people::texts::UserTexts;
use crate::store::sessions::details::SIGN_IN_COLUMNS;
use crate::store::sessions::history::USER_NOW;
use crate::store::sessions::history_list::{AS_LISTED, EndedListRow};
use crate::store::sessions::sources::{Part, Sources, Text};
use crate::store::{Db, Store, StoreError};

/// The most rows that one page reads.
const BUDGET: i64 = 3_000;

/// The place of an ended session in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EndedKey {
    /// When it ended.
    pub at: Timestamp,
    /// The key of its row.
    pub id: i64,
}

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
        let (filter, texts) = (filter.clone(), std::sync::Arc::clone(self.user_texts()));
        self.long_read(move |db| Box::pin(async move { db.ended_page(&filter, &texts, after, limit.max(1)).await })).await
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
        texts: &UserTexts,
        after: Option<EndedKey>,
        limit: i64,
    ) -> Result<EndedPage, StoreError> {
        let Some(sources) = self.ended_sources(filter, texts).await? else {
            return Ok(EndedPage { count: Some(0), ..EndedPage::default() });
        };
        let bounds = bounds(filter, after);
        let read = self.read_ended_keys(&sources, &bounds, limit).await?;
        let mut rows = self.list_ended_of(&read.keys).await?;
        let count = match &sources.counted {
            Some(key) if filter.ended_gte.is_none() && filter.ended_lte.is_none() => Some(self.count_sessions_of(key).await?),
            _ if after.is_none() && read.next.is_none() => i64::try_from(read.keys.len()).ok(),
            _ => None,
        };
        let rows = read.keys.iter().filter_map(|key| Some((*key, rows.remove(&key.id)?))).collect();
        Ok(EndedPage { rows, next: read.next, is_partial: read.is_partial, count })
    }

    async fn read_ended_keys(&self, sources: &Sources, bounds: &Text, limit: i64) -> Result<Read, StoreError> {
        let chosen = self.choose_source(&sources.parts, bounds).await?;
        let (mut keys, mut last, mut left): (Vec<EndedKey>, Option<EndedKey>, i64) = (Vec::new(), None, BUDGET);
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
        // Most pages are full after the first few rows.
        let mut step = limit.saturating_add(1);
        loop {
            let mut text = sources.candidates(chosen, &and_before(bounds, last), step, self.is_sqlite());
            text = with_check(text, sources.parts.iter().enumerate().filter(|(at, _)| Some(*at) != chosen).map(|(_, part)| part));
            let (sql, values) = text.numbered();
            let rows: Vec<(i64, i64, i64)> = self.all(&sql, &values).await?;
            let is_end = i64::try_from(rows.len()).unwrap_or(step) < step;
            for (at, id, is_match) in rows {
                if keys.len() == wanted && is_match == 1 {
                    return Ok(Read { next: keys.last().copied(), keys, is_partial: false });
                }
                last = Some(EndedKey { at: Timestamp(at), id });
                if is_match == 1 {
                    keys.extend(last);
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

    /// The rows of these places, by key.
    async fn list_ended_of(&self, keys: &[EndedKey]) -> Result<HashMap<i64, EndedListRow>, StoreError> {
        if keys.is_empty() {
            return Ok(HashMap::new());
        }
        let (ids, mut values): (Vec<i64>, Vec<_>) = (keys.iter().map(|key| key.id).collect(), Vec::new());
        let these = named("s.id", &mut values, &ids);
        let sql = format!(
            "SELECT s.id, s.uuid, {USER_NOW}, {AS_LISTED}, {SIGN_IN_COLUMNS}, s.uuid, s.username, s.ended_at, s.ended_by_name, \
             s.reason, s.comment, s.applications FROM ended_sessions s WHERE {these}"
        );
        Ok(self.all::<(i64, EndedListRow)>(&sql, &values).await?.into_iter().collect())
    }
}

/// What a page's rows have in common: the time of their end, and that they come after a place.
fn bounds(filter: &EndedFilter, after: Option<EndedKey>) -> Text {
    // A session ends after its last use.
    let from = [filter.ended_gte, filter.session.last_used_gte].into_iter().flatten().max();
    let mut text = Text::default();
    for (sql, at) in [("s.ended_at >= ?", from), ("s.ended_at <= ?", filter.ended_lte)] {
        if let Some(at) = at {
            text.and(sql, [at.into()]);
        }
    }
    and_before(&text, after)
}

fn and_before(bounds: &Text, after: Option<EndedKey>) -> Text {
    let mut text = bounds.clone();
    if let Some(EndedKey { at, id }) = after {
        text.and("(s.ended_at, s.id) < (?, ?)", [at.into(), id.into()]);
    }
    text
}

/// Adds to each key whether its row matches these parts, as 0 or 1.
fn with_check<'a>(candidates: Text, parts: impl Iterator<Item = &'a Part>) -> Text {
    let mut check = Text::default();
    for part in parts {
        check.and(&part.row.sql, part.row.values.iter().cloned());
    }
    if check.sql.is_empty() {
        return Text {
            sql: format!("SELECT c.ended_at, c.id, CAST(1 AS BIGINT) FROM ({}) AS c ORDER BY 1 DESC, 2 DESC", candidates.sql),
            ..candidates
        };
    }
    let sql = format!(
        "SELECT c.ended_at, c.id, CAST(CASE WHEN {} THEN 1 ELSE 0 END AS BIGINT) FROM ({}) AS c JOIN ended_sessions s ON s.id = c.id \
         ORDER BY 1 DESC, 2 DESC",
        check.sql, candidates.sql
    );
    Text { sql, values: [check.values, candidates.values].concat() }
}
