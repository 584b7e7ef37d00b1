//! How the table is filled from the database, and how it follows it: by the log of changes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::store::db::handle::lock;
use crate::store::db::sqlite;
use crate::store::db::statements::placeholders;
use crate::store::sessions::change_log::{ChangeRow, LogEnd};
use crate::store::sessions::index::answers::Kept;
use crate::store::sessions::index::names::AgentRow;
use crate::store::sessions::index::table::{INDEX_COLUMNS, IndexRow, Table};
use crate::store::sessions::index::{OFTEN, SessionIndex, State};
use crate::store::{CountKey, Db, StoreError};
use crate::values;

/// How many sessions are read at once.
const STEP: i64 = 2000;
/// Up to this many sessions are read by the request that needs them first; more beside it.
const SOON: i64 = 20_000;
/// How many changed sessions are taken up at once, while others wait.
pub(in crate::store) const AT_ONCE: usize = 500;
/// How many a request takes up that has its thread to itself for a moment.
const FEW: usize = 16;
/// How many rows of the log such a request reads.
const FEW_ROWS: usize = 32;
/// More changed sessions are taken up beside the requests.
const MANY: usize = 4000;
/// Many that change again within this time are the middle of a very large end, or import.
const BURST: Duration = Duration::from_millis(500);
/// So much later they are taken up.
const PAUSE: Duration = Duration::from_secs(5);
/// How long an end of a transaction may take: a place in the log that stays empty longer belongs to
/// one that was given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// How far back places may be that a transaction under way will fill.
const WINDOW: i64 = 1000;

/// How far the log of changes is read.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::store) struct Position {
    last: i64,
    /// Places before the last that were empty, and since when: a transaction under way may fill them.
    missing: Vec<(i64, Instant)>,
    /// How many parts of what comes next are taken up.
    step: u32,
}

impl Position {
    /// Whether all up to there is taken up.
    fn reaches(&self, end: LogEnd) -> bool {
        self.missing.is_empty() && LogEnd(self.last) >= end
    }

    /// Takes up rows of the log and gives the keys of changed sessions. `None`: the log does not say
    /// what changed, and all must be read anew.
    fn advance(&mut self, changes: &[ChangeRow], now: Instant) -> Option<Vec<i64>> {
        let is_there = changes.iter().any(|change| change.seq == self.last);
        let is_restarted = changes.iter().any(|change| change.seq > self.last && change.ids.is_empty());
        let newest = changes.iter().map(|change| change.seq).max().unwrap_or(self.last).max(self.last);
        if !is_there || is_restarted || newest - self.last > WINDOW + i64::try_from(changes.len()).unwrap_or(0) {
            return None;
        }
        let new = changes.iter().filter(|change| change.seq != self.last);
        let mut ids: Vec<i64> = new.flat_map(|change| change.ids.iter().copied()).collect();
        ids.sort_unstable();
        ids.dedup();
        let seen: std::collections::HashSet<i64> = changes.iter().map(|change| change.seq).collect();
        self.missing.retain(|(seq, since)| !seen.contains(seq) && now.duration_since(*since) < PATIENCE);
        let missing = (self.last..newest).filter(|seq| !seen.contains(seq)).map(|seq| (seq, now));
        self.missing.extend(missing);
        (self.last, self.step) = (newest, 0);
        Some(ids)
    }
}

/// When many sessions changed. One change after the other is taken up as it comes; in the middle of a very
/// large end that would take its processor time, and lists can wait some seconds: the database answers them.
#[derive(Default)]
pub(in crate::store) struct Bursts {
    last: Option<Instant>,
    until: Option<Instant>,
}

impl Bursts {
    fn is_on(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// Notes that many changed since the last were taken up, and gives whether that goes on: they are taken up
    /// later.
    fn note(&mut self, now: Instant) -> bool {
        let goes_on = self.last.is_some_and(|last| now.duration_since(last) < BURST);
        self.last = Some(now);
        if goes_on {
            self.until = Some(now + PAUSE);
            self.last = None;
        }
        goes_on
    }
}

/// Names that the table has yet to learn.
#[derive(Default)]
pub(in crate::store) struct Names {
    users: Vec<(i64, String)>,
    agents: Vec<AgentRow>,
}

impl Names {
    pub fn teach(&self, table: &mut Table) {
        for (id, username) in &self.users {
            table.add_user(*id, username);
        }
        for agent in &self.agents {
            table.add_agent(agent);
        }
    }
}

/// What changed.
#[derive(Default)]
pub(in crate::store) struct News {
    pub rows: Vec<IndexRow>,
    pub gone: Vec<i64>,
    pub names: Names,
}

impl Db<'_> {
    /// The same as [`Db::catch_up`], as long as it takes no time and nobody is waited for. What takes longer
    /// is begun beside the request. What was committed up to `log_end`, if that is known, is enough.
    pub(in crate::store) async fn catch_up_soon(
        &self,
        index: &Arc<SessionIndex>,
        log_end: Option<LogEnd>,
    ) -> Result<bool, StoreError> {
        for _ in 0..3 {
            let Some(before) = index.try_read().map(|state| state.table.as_ref().map(|_| state.position.clone())) else {
                return Ok(false);
            };
            let Some(before) = before else {
                if index.missed.fetch_add(1, Ordering::Relaxed) >= OFTEN {
                    self.fill_beside(index).await?;
                }
                return Ok(false);
            };
            if log_end.is_some_and(|end| before.reaches(end)) {
                return Ok(true);
            }
            // While much is taken up, or waits for the end of a burst, it is not read again and again.
            if index.is_filling.load(Ordering::SeqCst) || lock(&index.bursts).is_on(Instant::now()) {
                return Ok(false);
            }
            let changes = self.list_changes_after(&before, Some(FEW_ROWS)).await?;
            let sessions: usize = changes.iter().map(|change| change.ids.len()).sum();
            let mut after = before.clone();
            let few = (changes.len() < FEW_ROWS && sessions <= FEW).then(|| after.advance(&changes, Instant::now()));
            let Some(ids) = few.flatten() else {
                self.follow_beside(index, sessions)?;
                return Ok(false);
            };
            if after == before {
                return Ok(true);
            }
            let Some(news) = self.read_news(index, &ids, true).await? else { return Ok(false) };
            let Some(mut state) = index.try_write() else { return Ok(false) };
            if state.apply(&before, &after, &news) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes up so many changes, or more, beside the request, unless somebody is at it, or they are part of a burst.
    fn follow_beside(&self, index: &Arc<SessionIndex>, changed: usize) -> Result<(), StoreError> {
        let Some(turn) = FillingTurn::take(index) else { return Ok(()) };
        if changed > AT_ONCE && lock(&index.bursts).note(Instant::now()) {
            return Ok(());
        }
        self.beside(turn, Work::Follow)
    }

    /// Brings the table up to date with the database. Gives whether there is one.
    pub(in crate::store) async fn catch_up(&self, index: &Arc<SessionIndex>) -> Result<bool, StoreError> {
        // Others may catch up at the same time; whoever is too late looks again.
        for _ in 0..100 {
            let Some(before) = index.position() else {
                if self.fill(index).await? {
                    continue;
                }
                return Ok(false);
            };
            let changes = self.list_changes_after(&before, None).await?;
            let mut after = before.clone();
            let Some(ids) = after.advance(&changes, Instant::now()) else {
                index.forget();
                continue;
            };
            if after == before {
                return Ok(true);
            }
            if index.is_sooner_anew(ids.len()) {
                index.forget();
                continue;
            }
            if ids.len() > MANY {
                if let Some(turn) = FillingTurn::take(index) {
                    self.beside(turn, Work::Follow)?;
                }
                return Ok(false);
            }
            if self.follow(index, before, after, ids).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn list_changes_after(&self, position: &Position, most: Option<usize>) -> Result<Vec<ChangeRow>, StoreError> {
        let missing: Vec<i64> = position.missing.iter().map(|(seq, _)| *seq).collect();
        self.list_changes(position.last, &missing, most).await
    }

    /// Takes up all that changed, however much; what the log does not say any more is read anew.
    async fn follow_all(&self, index: &Arc<SessionIndex>) -> Result<(), StoreError> {
        let Some(before) = index.position() else { return Ok(()) };
        let changes = self.list_changes_after(&before, None).await?;
        let mut after = before.clone();
        match after.advance(&changes, Instant::now()) {
            Some(ids) if !index.is_sooner_anew(ids.len()) => self.follow(index, before, after, ids).await.map(drop),
            _ => {
                let forgetting = Arc::clone(index);
                self.compute(move || forgetting.forget()).await?;
                self.fill_now(index).await
            }
        }
    }

    /// Takes up changes of these sessions, a few at a time, so that nobody waits long for the table. Gives
    /// whether all were: somebody else may have been sooner.
    async fn follow(
        &self,
        index: &Arc<SessionIndex>,
        before: Position,
        after: Position,
        ids: Vec<i64>,
    ) -> Result<bool, StoreError> {
        let mut at = before;
        let mut rest = ids.as_slice();
        loop {
            let (ids, later) = rest.split_at(rest.len().min(AT_ONCE));
            let Some(news) = self.read_news(index, ids, false).await? else { return Ok(false) };
            // Each step is a position of its own: of two who take up the same, the later one stops.
            let next = if later.is_empty() { after.clone() } else { Position { step: at.step + 1, ..at.clone() } };
            let (index, before, reached) = (Arc::clone(index), at, next.clone());
            if !self.compute(move || index.write().apply(&before, &reached, &news)).await? {
                return Ok(false);
            }
            if later.is_empty() {
                return Ok(true);
            }
            (at, rest) = (next, later);
        }
    }

    /// What became of these sessions. `None` when the table is gone, or is waited for and `is_soon`.
    async fn read_news(&self, index: &SessionIndex, ids: &[i64], is_soon: bool) -> Result<Option<News>, StoreError> {
        // No change at all may be news, too: that a place in the log stays empty.
        if ids.is_empty() {
            return Ok(Some(News::default()));
        }
        let sql = format!("SELECT {INDEX_COLUMNS} FROM sessions WHERE id IN ({})", placeholders(0, ids.len()));
        let values: Vec<_> = ids.iter().map(|id| (*id).into()).collect();
        let rows: Vec<IndexRow> = self.all(&sql, &values).await?;
        let found: std::collections::HashSet<i64> = rows.iter().map(|row| row.id).collect();
        let gone = ids.iter().copied().filter(|id| !found.contains(id)).collect();
        let state = if is_soon { index.try_read() } else { Some(index.read()) };
        let unknown = state.and_then(|state| state.table.as_ref().map(|table| unknown(table, &rows)));
        let Some((users, agents)) = unknown else { return Ok(None) };
        let names = self.read_names(&users, &agents).await?;
        Ok(Some(News { rows, gone, names }))
    }

    async fn read_names(&self, users: &[i64], agents: &[i64]) -> Result<Names, StoreError> {
        let users = self.list_usernames(users).await?;
        let mut known = Vec::with_capacity(agents.len());
        for ids in agents.chunks(500) {
            let sql = format!("SELECT id, text, browser, os, device FROM user_agents WHERE id IN ({})", placeholders(0, ids.len()));
            let values: Vec<_> = ids.iter().map(|id| (*id).into()).collect();
            known.extend(self.all::<AgentRow>(&sql, &values).await?);
        }
        Ok(Names { users, agents: known })
    }

    /// Fills the table: at once when it is small, else beside the request. Gives whether it was
    /// filled.
    async fn fill(&self, index: &Arc<SessionIndex>) -> Result<bool, StoreError> {
        let count = self.count_sessions_of(&CountKey::All).await?;
        if count > index.limit.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let Some(turn) = FillingTurn::take(index) else { return Ok(false) };
        if index.is_filled() {
            return Ok(true);
        }
        if count <= SOON {
            self.fill_now(index).await?;
            return Ok(true);
        }
        self.beside(turn, Work::Fill)?;
        Ok(false)
    }

    /// Fills the table beside the request, unless somebody is at it.
    async fn fill_beside(&self, index: &Arc<SessionIndex>) -> Result<(), StoreError> {
        let Some(turn) = FillingTurn::take(index) else { return Ok(()) };
        // Whatever comes of it, the next try is as many lists away.
        index.missed.store(0, Ordering::Relaxed);
        let count = self.count_sessions_of(&CountKey::All).await?;
        if index.is_filled() || count > index.limit.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.beside(turn, Work::Fill)
    }

    /// Does much work on the table, which is in nobody's way meanwhile.
    fn beside(&self, turn: FillingTurn, work: Work) -> Result<(), StoreError> {
        match self {
            Self::SqliteRead(sqlite) => {
                let sqlite = (*sqlite).clone();
                let thread = std::thread::Builder::new().name("rollcall-index".into());
                let started = thread.spawn(move || {
                    report(sqlite::run_now(Db::SqliteRead(&sqlite).work(&turn.0, work)));
                    drop(turn);
                });
                started.map(drop).map_err(|error| StoreError::Unavailable(error.to_string()))
            }
            Self::PostgresRead(postgres) => {
                let postgres = (*postgres).clone();
                tokio::spawn(async move {
                    report(Db::PostgresRead(&postgres).work(&turn.0, work).await);
                    drop(turn);
                });
                Ok(())
            }
            Self::SqliteWrite(..) | Self::PostgresWrite(..) => Ok(()),
        }
    }

    async fn work(&self, index: &Arc<SessionIndex>, work: Work) -> Result<(), StoreError> {
        match work {
            Work::Fill => self.fill_now(index).await,
            Work::Follow => self.follow_all(index).await,
        }
    }

    async fn fill_now(&self, index: &SessionIndex) -> Result<(), StoreError> {
        let started = Instant::now();
        let position = self.find_position().await?;
        let count = self.count_sessions_of(&CountKey::All).await?;
        let mut table = Table::filling(usize::try_from(count).unwrap_or(0));
        let mut after = i64::MIN;
        loop {
            let sql = format!("SELECT {INDEX_COLUMNS} FROM sessions WHERE id > $1 ORDER BY id LIMIT $2");
            let rows: Vec<IndexRow> = self.all(&sql, &values![after, STEP]).await?;
            let Some(last) = rows.last() else { break };
            after = last.id;
            let (users, agents) = unknown(&table, &rows);
            let names = self.read_names(&users, &agents).await?;
            table = self
                .compute(move || {
                    names.teach(&mut table);
                    for row in &rows {
                        table.put(row);
                    }
                    Some(table)
                })
                .await?
                .unwrap_or_default();
        }
        let table = self
            .compute(move || {
                table.settle();
                Some(table)
            })
            .await?;
        let sessions = table.as_ref().map(Table::count);
        *index.write() = State { table, position, kept: Kept::default() };
        tracing::debug!(sessions, millis = started.elapsed().as_millis(), "read all sessions into memory");
        Ok(())
    }

    /// Where the log stands now.
    async fn find_position(&self) -> Result<Position, StoreError> {
        let last = self.find_last_change().await?;
        if self.is_sqlite() {
            // One writer: places are taken in the order of commits.
            return Ok(Position { last, ..Position::default() });
        }
        let seen = self.list_changes(last - WINDOW, &[], None).await?;
        let first = seen.first().map_or(last, |change| change.seq);
        let seen: std::collections::HashSet<i64> = seen.iter().map(|change| change.seq).collect();
        let now = Instant::now();
        let missing = (first..last).filter(|seq| !seen.contains(seq)).map(|seq| (seq, now)).collect();
        Ok(Position { last, missing, step: 0 })
    }
}

/// Users and user agents of these rows that the table does not know.
fn unknown(table: &Table, rows: &[IndexRow]) -> (Vec<i64>, Vec<i64>) {
    let mut users: Vec<i64> = rows.iter().map(|row| row.user_id).filter(|id| !table.has_user(*id)).collect();
    let mut agents: Vec<i64> = rows.iter().map(|row| row.user_agent_id).filter(|id| !table.has_agent(*id)).collect();
    for ids in [&mut users, &mut agents] {
        ids.sort_unstable();
        ids.dedup();
    }
    (users, agents)
}

fn report(result: Result<(), StoreError>) {
    if let Err(error) = result {
        tracing::warn!(%error, "sessions could not be read into memory; the next search tries again");
    }
}

/// What takes long enough to be done beside the requests.
enum Work {
    Fill,
    /// All changes there are.
    Follow,
}

/// Held by whoever fills the table, or takes up many changes.
struct FillingTurn(Arc<SessionIndex>);

impl FillingTurn {
    /// Takes the turn, unless somebody has it.
    fn take(index: &Arc<SessionIndex>) -> Option<Self> {
        (!index.is_filling.swap(true, Ordering::SeqCst)).then(|| Self(Arc::clone(index)))
    }
}

impl Drop for FillingTurn {
    fn drop(&mut self) {
        self.0.is_filling.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_waited_for() {
        let (mut bursts, start) = (Bursts::default(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        assert!(!bursts.note(at(0)) && !bursts.is_on(at(0)), "one is taken up as it comes");
        assert!(!bursts.note(at(1000)), "and so are those far between");
        assert!(bursts.note(at(1200)));
        assert!(bursts.is_on(at(1200)) && bursts.is_on(at(6100)));
        assert!(!bursts.is_on(at(6200)));
        assert!(!bursts.note(at(6200)), "then all are taken up together");
    }
}
