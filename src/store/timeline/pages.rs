//! Pages of such a list, by number, and how many rows match.
//!
//! The number is exact up to a bound beyond the page. Where more rows match, it is a number that is surely reached, so
//! that there is always a next page until the end ([`Found::is_exact`]).

use crate::domain::Timestamp;
use crate::domain::page::{Found, Wanted, Window};
use crate::store::db::statements::one_of_few;
use crate::store::timeline::TimeKey;
use crate::store::timeline::parts::Parts;
use crate::store::timeline::text::Text;
use crate::store::{Db, StoreError};

/// How many matches beyond a page are counted where an index alone tells, and where rows are read for it.
pub(in crate::store) const COUNTED: i64 = 5_000;
pub(in crate::store) const COUNTED_BY_ROWS: i64 = 1_000;
/// How many rows are read for the number of matches once the page is full and there is a next one.
const BEYOND: i64 = 2_000;
/// The most rows that are read at once.
const STEP: i64 = 5_000;

/// What a walk through a list found.
#[derive(Debug, Default)]
struct Walk {
    /// The places of the rows of the page.
    keys: Vec<TimeKey>,
    /// How many matches it came by.
    count: i64,
    /// Whether it came to the end.
    is_end: bool,
}

/// A page as the keys of its rows.
pub(in crate::store) fn ids_of(mut found: Found<TimeKey>) -> Found<i64> {
    let ids = std::mem::take(&mut found.rows).iter().map(|key| key.id).collect();
    found.with_rows(ids)
}

impl Db<'_> {
    /// The places of the rows of a page in the order of time. `known`: how many rows match, if a counter has it.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(in crate::store) async fn page_by_time(
        &self,
        parts: &Parts,
        is_descending: bool,
        wanted: Wanted,
        known: Option<i64>,
    ) -> Result<Found<TimeKey>, StoreError> {
        let chosen = self.choose_source(parts, &parts.bounds).await?;
        let asked = wanted.window_at_most();
        if parts.has_checks(chosen)
            && known.is_none()
            && let Some(window) = asked
        {
            let walk = self.walk(parts, chosen, is_descending, window, COUNTED_BY_ROWS).await?;
            if wanted.window(walk.count) == Some(window) || walk.count == 0 {
                return Ok(wanted.found(walk.count, walk.keys).exact_if(walk.is_end));
            }
            // There is no such page.
            return self.page_of_known(parts, chosen, is_descending, wanted, walk.count).await;
        }
        let (count, is_exact) = match known {
            Some(count) => (count, true),
            None => self.count_up_to(parts, chosen, wanted).await?,
        };
        if is_exact {
            return self.page_of_known(parts, chosen, is_descending, wanted, count).await;
        }
        let Some(window) = wanted.window(count) else { return Ok(wanted.found(count, Vec::new()).exact_if(false)) };
        let keys = self.read_window(parts, chosen, is_descending, window).await?;
        Ok(wanted.found(count, keys).exact_if(false))
    }

    /// The same, of a list whose length is known: the second half of it is read from its end.
    async fn page_of_known(
        &self,
        parts: &Parts,
        chosen: Option<usize>,
        is_descending: bool,
        wanted: Wanted,
        count: i64,
    ) -> Result<Found<TimeKey>, StoreError> {
        let Some(window) = wanted.window(count) else { return Ok(wanted.found(count, Vec::new())) };
        if count == 0 {
            return Ok(wanted.none());
        }
        let limit = window.limit.min(count.saturating_sub(window.offset));
        let behind = count.saturating_sub(window.offset).saturating_sub(limit);
        if behind >= window.offset {
            return Ok(wanted.found(count, self.read_window(parts, chosen, is_descending, window).await?));
        }
        let mut keys = self.read_window(parts, chosen, !is_descending, Window { offset: behind, limit }).await?;
        keys.reverse();
        Ok(wanted.found(count, keys))
    }

    async fn read_window(
        &self,
        parts: &Parts,
        chosen: Option<usize>,
        is_descending: bool,
        window: Window,
    ) -> Result<Vec<TimeKey>, StoreError> {
        if parts.has_checks(chosen) {
            return Ok(self.walk(parts, chosen, is_descending, window, 0).await?.keys);
        }
        let end = window.offset.saturating_add(window.limit);
        let most = if window.offset == 0 { window.limit } else { one_of_few(end) };
        let mut text = parts.candidates(chosen, &parts.bounds, is_descending, most, self.is_sqlite());
        if window.offset > 0 {
            let turn = if is_descending { " DESC" } else { "" };
            text.sql = format!("SELECT at, id FROM ({}) AS c ORDER BY at{turn}, id{turn} LIMIT ? OFFSET ?", text.sql);
            text.values.extend([window.limit.into(), window.offset.into()]);
        }
        let (sql, values) = text.numbered();
        let rows: Vec<(i64, i64)> = self.all(&sql, &values).await?;
        Ok(rows.into_iter().map(|(at, id)| TimeKey { at: Timestamp(at), id }).collect())
    }

    /// How many rows match, and whether that is exact: at most as many as a bound beyond the page.
    pub(in crate::store) async fn count_up_to(
        &self,
        parts: &Parts,
        chosen: Option<usize>,
        wanted: Wanted,
    ) -> Result<(i64, bool), StoreError> {
        if parts.has_checks(chosen) {
            let (window, more) = match wanted.window_at_most() {
                Some(window) => (window, COUNTED_BY_ROWS),
                None => (Window { offset: i64::MAX, limit: 0 }, 0),
            };
            let walk = self.walk(parts, chosen, true, window, more).await?;
            return Ok((walk.count, walk.is_end));
        }
        let is_covered = parts.is_covered(chosen);
        let most = wanted.reach(if is_covered { COUNTED } else { COUNTED_BY_ROWS }).unwrap_or(i64::MAX);
        let is_first = wanted.window_at_most().is_some_and(|window| window.offset == 0);
        let count = if is_covered {
            self.count_branches(parts, chosen, &parts.bounds, (most, is_first)).await?
        } else {
            let lists = if self.is_sqlite() { None } else { parts.lists(chosen, &parts.bounds, "", one_of_few(most)) };
            let mut branches = lists.unwrap_or_else(|| parts.branches(chosen, &parts.bounds, self.is_sqlite()));
            let mut values = Vec::new();
            for (n, branch) in branches.iter_mut().enumerate() {
                branch.sql = format!("SELECT id FROM ({} LIMIT ?) AS b{n}", branch.sql);
                values.append(&mut branch.values);
                values.push(most.into());
            }
            let all: Vec<&str> = branches.iter().map(|branch| branch.sql.as_str()).collect();
            values.push(most.into());
            let text = format!("SELECT count(*) FROM (SELECT id FROM ({}) AS united LIMIT ?) AS counted", all.join(" UNION "));
            let (sql, values) = Text::new(text, values).numbered();
            self.one::<i64>(&sql, &values).await?.unwrap_or(0)
        };
        Ok((count, count < most))
    }

    /// Goes through a list row by row, until the page is full, the next one has begun, and `more` matches beyond it are
    /// found or [`BEYOND`] rows were read for them.
    async fn walk(
        &self,
        parts: &Parts,
        chosen: Option<usize>,
        is_descending: bool,
        window: Window,
        more: i64,
    ) -> Result<Walk, StoreError> {
        let full = window.offset.saturating_add(window.limit);
        let (mut walk, mut last, mut beyond) = (Walk::default(), None, 0);
        let mut step = window.limit.saturating_add(1).clamp(1, STEP);
        loop {
            let rows = self.read_candidates(parts, chosen, is_descending, last, step).await?;
            walk.is_end = i64::try_from(rows.len()).unwrap_or(step) < step;
            for (key, is_match) in rows {
                last = Some(key);
                if is_match {
                    if (window.offset..full).contains(&walk.count) {
                        walk.keys.push(key);
                    }
                    walk.count += 1;
                }
            }
            if walk.is_end {
                return Ok(walk);
            }
            if walk.count > full {
                beyond += step;
                if walk.count >= full.saturating_add(more) || beyond >= BEYOND {
                    return Ok(walk);
                }
            }
            step = step.saturating_mul(4).min(if walk.count > full { BEYOND / 2 } else { STEP });
        }
    }

    /// The next rows of the part at `chosen` after a place, `limit` at most: where each is, and whether it matches.
    pub(in crate::store) async fn read_candidates(
        &self,
        parts: &Parts,
        chosen: Option<usize>,
        is_descending: bool,
        after: Option<TimeKey>,
        limit: i64,
    ) -> Result<Vec<(TimeKey, bool)>, StoreError> {
        let bounds = parts.after(after, is_descending);
        // PostgreSQL plans for any value: where a common one would be found soon in the order of time, it goes through that
        // order for a rare one, too. Keys alone it reads from the index of the value.
        let judged = if self.is_sqlite() { parts.judged(chosen, &bounds, is_descending, limit) } else { None };
        let text = judged.unwrap_or_else(|| self.judged_by_keys(parts, chosen, &bounds, is_descending, limit));
        let (sql, values) = text.numbered();
        let rows: Vec<(i64, i64, i64)> = self.all(&sql, &values).await?;
        Ok(rows.into_iter().map(|(at, id, is_match)| (TimeKey { at: Timestamp(at), id }, is_match == 1)).collect())
    }

    /// The same rows, each looked up by its key.
    fn judged_by_keys(&self, parts: &Parts, chosen: Option<usize>, bounds: &Text, is_descending: bool, limit: i64) -> Text {
        let candidates = parts.candidates(chosen, bounds, is_descending, limit, self.is_sqlite());
        let (check, turn) = (parts.checks(chosen), if is_descending { " DESC" } else { "" });
        if check.sql.is_empty() {
            let sql = format!("SELECT c.at, c.id, CAST(1 AS BIGINT) FROM ({}) AS c ORDER BY 1{turn}, 2{turn}", candidates.sql);
            Text::new(sql, candidates.values)
        } else {
            let sql = format!(
                "SELECT c.at, c.id, CAST(CASE WHEN {} THEN 1 ELSE 0 END AS BIGINT) FROM ({}) AS c JOIN {} {row} ON {row}.id = c.id \
                 ORDER BY 1{turn}, 2{turn}",
                check.sql,
                candidates.sql,
                parts.line.table,
                row = parts.line.row,
            );
            Text::new(sql, [check.values, candidates.values].concat())
        }
    }

    /// The keys of the rows of a page in another order than that of time, and how many rows match. All that match are
    /// read, unless an index has the order and there is no filter. `joins` are tables that the order needs, each with a
    /// condition.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(in crate::store) async fn page_by_order(
        &self,
        parts: &Parts,
        joins: &[(&str, &str)],
        order: &str,
        wanted: Wanted,
        known: Option<i64>,
    ) -> Result<Found<i64>, StoreError> {
        let chosen = self.choose_source(parts, &parts.bounds).await?;
        let (count, is_exact) = match known {
            Some(count) => (count, true),
            None => self.count_up_to(parts, chosen, wanted).await?,
        };
        let Some(window) = wanted.window(count) else { return Ok(wanted.found(count, Vec::new()).exact_if(is_exact)) };
        if count == 0 {
            return Ok(wanted.none());
        }
        let (table, row) = (parts.line.table, parts.line.row);
        let (mut from, mut condition) = (Text::new(format!("{table} {row}"), []), parts.checks(chosen));
        if chosen.is_some() {
            let branches = parts.branches(chosen, &parts.bounds, self.is_sqlite());
            let all: Vec<&str> = branches.iter().map(|branch| branch.sql.as_str()).collect();
            from.sql = format!("({}) AS c JOIN {table} {row} ON {row}.id = c.id", all.join(" UNION "));
            from.values = branches.into_iter().flat_map(|branch| branch.values).collect();
        } else {
            condition.and_all(&parts.bounds);
        }
        for (table, on) in joins {
            from.sql.extend([" JOIN ", table, " ON ", on]);
        }
        let sql = format!("SELECT {row}.id FROM {}{} ORDER BY {order} LIMIT ? OFFSET ?", from.sql, condition.clause());
        let window = [window.limit.into(), window.offset.into()];
        let (sql, values) = Text::new(sql, [from.values, condition.values, window.into()].concat()).numbered();
        Ok(wanted.found(count, self.all(&sql, &values).await?).exact_if(is_exact))
    }
}
