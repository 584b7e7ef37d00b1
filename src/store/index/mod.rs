//! Sessions in memory, for what no index of the database answers quickly: searches, pages far from
//! the first, and filters that nothing counts beforehand.
//!
//! It holds no truth. It is filled from the database when it is first needed and forgotten when it
//! is not used any more. Before each question it catches up by the log of changes
//! ([`super::changes`]), so an answer is as new as one of the database itself, whoever wrote: this
//! process, the command line, or another node. Where it is absent or being filled, SQL answers.

mod bits;
mod dictionary;
mod facets;
mod order;
mod select;
mod table;

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use self::select::Matches;
pub(super) use self::select::Question;
use self::table::{AgentRow, INDEX_COLUMNS, IndexRow, Table};
use super::changes::ChangeRow;
use super::facets::{AddressCount, Facets};
use super::{CountKey, Db, StoreError, lock};
use crate::domain::listing::{SessionFilter, Sort, Window};
use crate::values;

/// How many sessions are read at once.
const STEP: i64 = 2000;
/// Up to this many sessions are read by the request that needs them first; more beside it.
const SOON: i64 = 20_000;
/// How long an end of a transaction may take: a place in the log that stays empty longer belongs to
/// one that was given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// How far back places may be that a transaction under way will fill.
const WINDOW: i64 = 1000;
/// After this time without a question it is forgotten.
const IDLE: Duration = Duration::from_secs(15 * 60);
/// How many bytes of answers are kept.
const KEPT: usize = 8 << 20;

/// The sessions in memory, shared by all who ask.
pub struct SessionIndex {
    /// Up to how many sessions it is used; 0: never.
    limit: AtomicI64,
    state: RwLock<State>,
    is_filling: AtomicBool,
    answers: Mutex<Answers>,
    last_asked: Mutex<Instant>,
}

#[derive(Default)]
struct State {
    table: Option<Table>,
    position: Position,
}

/// How far the log of changes is read.
#[derive(Clone, Debug, Default, PartialEq)]
struct Position {
    last: i64,
    /// Places before the last that were empty, and since when: a transaction under way may fill them.
    missing: Vec<(i64, Instant)>,
}

impl Position {
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
        let ids = new.flat_map(|change| change.ids.iter().copied()).collect();
        let seen: std::collections::HashSet<i64> = changes.iter().map(|change| change.seq).collect();
        self.missing.retain(|(seq, since)| !seen.contains(seq) && now.duration_since(*since) < PATIENCE);
        let missing = (self.last..newest).filter(|seq| !seen.contains(seq)).map(|seq| (seq, now));
        self.missing.extend(missing);
        self.last = newest;
        Some(ids)
    }
}

/// Answers to the latest questions, as long as nothing changes.
#[derive(Default)]
struct Answers(Vec<Answer>);

struct Answer {
    filter: SessionFilter,
    matches: Arc<Matches>,
    in_order: Vec<(Vec<Sort>, Arc<Vec<u32>>)>,
    /// Counts of the matches, and the day they were made on.
    facets: Option<(i64, Facets)>,
}

impl Answer {
    fn size(&self) -> usize {
        self.matches.size() + self.in_order.iter().map(|(_, slots)| slots.len() * 4).sum::<usize>() + 512
    }
}

impl Answers {
    /// Takes the answer to this question out.
    fn take(&mut self, filter: &SessionFilter) -> Option<Answer> {
        let at = self.0.iter().position(|answer| answer.filter == *filter)?;
        Some(self.0.remove(at))
    }

    /// Puts an answer in front and forgets the oldest, so that the others fit.
    fn keep(&mut self, answer: Answer) {
        self.0.insert(0, answer);
        let mut size = 0;
        let fitting = self.0.iter().take_while(|answer| {
            size += answer.size();
            size <= KEPT
        });
        let fitting = fitting.count();
        self.0.truncate(fitting);
    }
}

impl SessionIndex {
    /// One that is not used until it is [allowed](SessionIndex::allow).
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            limit: AtomicI64::new(0),
            state: RwLock::default(),
            is_filling: AtomicBool::new(false),
            answers: Mutex::default(),
            last_asked: Mutex::new(Instant::now()),
        })
    }

    /// Uses it up to so many sessions; each takes some 200 bytes. 0: never.
    pub(super) fn allow(&self, limit: i64) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Forgets the sessions if nobody asked for a while.
    pub(super) fn rest(&self) {
        if lock(&self.last_asked).elapsed() > IDLE {
            self.forget();
        }
    }

    /// Whether sessions are held now.
    pub(super) fn is_filled(&self) -> bool {
        self.read().table.is_some()
    }

    fn forget(&self) {
        let mut state = self.write();
        *state = State::default();
        lock(&self.answers).0.clear();
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up changes that were read at `before`. Gives whether that is still where it stands.
    fn apply(&self, before: &Position, after: Position, news: &News) -> bool {
        let mut state = self.write();
        if state.position != *before {
            return false;
        }
        let Some(table) = &mut state.table else { return false };
        news.names.teach(table);
        for id in &news.gone {
            table.remove(*id);
        }
        for row in &news.rows {
            table.put(row);
        }
        let is_worn = table.is_worn();
        state.position = after;
        lock(&self.answers).0.clear();
        if is_worn {
            *state = State::default();
        }
        true
    }

    /// How many sessions match.
    fn count(&self, table: &Table, question: &Question) -> i64 {
        let answer = self.answer(table, question);
        let count = answer.matches.count(table);
        lock(&self.answers).keep(answer);
        i64::try_from(count).unwrap_or(i64::MAX)
    }

    /// The keys of one window of them, in order.
    fn list(&self, table: &Table, question: &Question, sorts: &[Sort], window: Window) -> Vec<i64> {
        let is_known = lock(&self.answers).0.iter().any(|answer| answer.filter == question.filter);
        if !is_known && let Some(slots) = table.first_pages(question, sorts, window) {
            return slots.into_iter().map(|slot| table.id(slot)).collect();
        }
        let mut answer = self.answer(table, question);
        let known = answer.in_order.iter().find(|(order, _)| order == sorts).map(|(_, slots)| Arc::clone(slots));
        let slots = match known {
            Some(slots) => {
                let offset = usize::try_from(window.offset).unwrap_or(usize::MAX);
                slots.iter().skip(offset).take(usize::try_from(window.limit).unwrap_or(0)).copied().collect()
            }
            None => {
                let (slots, all) = table.window(&answer.matches, sorts, window);
                answer.in_order.extend(all.map(|all| (sorts.to_vec(), all)));
                slots
            }
        };
        lock(&self.answers).keep(answer);
        slots.into_iter().map(|slot| table.id(slot)).collect()
    }

    /// How many of them there are of each kind.
    fn facets(&self, table: &Table, question: &Question, today: i64) -> Facets {
        let mut answer = self.answer(table, question);
        let known = answer.facets.take().filter(|(day, _)| *day == today).map(|(_, facets)| facets);
        let facets = known.unwrap_or_else(|| table.facets(&answer.matches, today));
        answer.facets = Some((today, facets.clone()));
        lock(&self.answers).keep(answer);
        facets
    }

    /// How many of them there are at each address, the most first, at most `limit` addresses.
    fn addresses(&self, table: &Table, question: &Question, limit: usize) -> Vec<AddressCount> {
        let answer = self.answer(table, question);
        let counts = table.count_addresses(&answer.matches, limit);
        lock(&self.answers).keep(answer);
        counts
    }

    fn answer(&self, table: &Table, question: &Question) -> Answer {
        let known = lock(&self.answers).take(&question.filter);
        crate::metrics::count_cache("answers", usize::from(known.is_some()), usize::from(known.is_none()));
        known.unwrap_or_else(|| Answer {
            filter: question.filter.clone(),
            matches: Arc::new(table.select(question)),
            in_order: Vec::new(),
            facets: None,
        })
    }
}

/// Names that the table has yet to learn.
#[derive(Default)]
struct Names {
    users: Vec<(i64, String)>,
    agents: Vec<AgentRow>,
}

impl Names {
    fn teach(&self, table: &mut Table) {
        for (id, username) in &self.users {
            table.add_user(*id, username);
        }
        for agent in &self.agents {
            table.add_agent(agent);
        }
    }
}

/// What changed.
struct News {
    rows: Vec<IndexRow>,
    gone: Vec<i64>,
    names: Names,
}

impl Db<'_> {
    /// How many sessions match, from memory; `None` when they are not held there now.
    pub(super) async fn count_in_index(&self, question: Question) -> Result<Option<i64>, StoreError> {
        self.ask_index(move |index, table| index.count(table, &question)).await
    }

    /// The keys of one window of the sessions that match, in order; `None` as above.
    pub(super) async fn list_in_index(
        &self,
        question: Question,
        sorts: &[Sort],
        window: Window,
    ) -> Result<Option<Vec<i64>>, StoreError> {
        let sorts = sorts.to_vec();
        self.ask_index(move |index, table| index.list(table, &question, &sorts, window)).await
    }

    /// How many of the sessions that match there are of each kind; `None` as above.
    pub(super) async fn facets_in_index(&self, question: Question, today: i64) -> Result<Option<Facets>, StoreError> {
        self.ask_index(move |index, table| index.facets(table, &question, today)).await
    }

    /// How many of the sessions that match there are at each address; `None` as above.
    pub(super) async fn addresses_in_index(
        &self,
        question: Question,
        limit: usize,
    ) -> Result<Option<Vec<AddressCount>>, StoreError> {
        self.ask_index(move |index, table| index.addresses(table, &question, limit)).await
    }

    async fn ask_index<R, F>(&self, ask: F) -> Result<Option<R>, StoreError>
    where
        F: FnOnce(&SessionIndex, &Table) -> R + Send + 'static,
        R: Send + 'static,
    {
        let Some(index) = self.index().filter(|index| index.limit.load(Ordering::Relaxed) > 0) else { return Ok(None) };
        *lock(&index.last_asked) = Instant::now();
        let is_there = self.catch_up(index).await?;
        crate::metrics::count_cache("sessions", usize::from(is_there), usize::from(!is_there));
        if !is_there {
            return Ok(None);
        }
        let index = Arc::clone(index);
        self.compute(move || {
            let state = index.read();
            Some(ask(&index, state.table.as_ref()?))
        })
        .await
    }

    /// Brings the table up to date with the database. Gives whether there is one.
    async fn catch_up(&self, index: &Arc<SessionIndex>) -> Result<bool, StoreError> {
        // Others may catch up at the same time; whoever is too late looks again.
        for _ in 0..100 {
            let before = {
                let state = index.read();
                state.table.as_ref().map(|_| state.position.clone())
            };
            let Some(before) = before else {
                if self.fill(index).await? {
                    continue;
                }
                return Ok(false);
            };
            let missing: Vec<i64> = before.missing.iter().map(|(seq, _)| *seq).collect();
            let changes = self.list_changes(before.last, &missing).await?;
            let mut after = before.clone();
            let Some(mut ids) = after.advance(&changes, Instant::now()) else {
                index.forget();
                continue;
            };
            if after == before {
                return Ok(true);
            }
            ids.sort_unstable();
            ids.dedup();
            if i64::try_from(ids.len()).unwrap_or(i64::MAX) > SOON {
                // Reading everything anew takes less time.
                index.forget();
                continue;
            }
            let news = self.read_news(index, ids).await?;
            let index = Arc::clone(index);
            self.compute(move || index.apply(&before, after, &news)).await?;
        }
        Ok(false)
    }

    async fn read_news(&self, index: &SessionIndex, ids: Vec<i64>) -> Result<News, StoreError> {
        let mut rows: Vec<IndexRow> = Vec::with_capacity(ids.len());
        for ids in ids.chunks(500) {
            let sql = format!("SELECT {INDEX_COLUMNS} FROM sessions WHERE id IN ({})", super::placeholders(0, ids.len()));
            let values: Vec<_> = ids.iter().map(|id| (*id).into()).collect();
            rows.extend(self.all::<IndexRow>(&sql, &values).await?);
        }
        let found: std::collections::HashSet<i64> = rows.iter().map(|row| row.id).collect();
        let gone = ids.into_iter().filter(|id| !found.contains(id)).collect();
        let (users, agents) = match &index.read().table {
            Some(table) => unknown(table, &rows),
            None => (Vec::new(), Vec::new()),
        };
        let names = self.read_names(&users, &agents).await?;
        Ok(News { rows, gone, names })
    }

    async fn read_names(&self, users: &[i64], agents: &[i64]) -> Result<Names, StoreError> {
        let users = self.list_usernames(users).await?;
        let mut known = Vec::with_capacity(agents.len());
        for ids in agents.chunks(500) {
            let sql = format!(
                "SELECT id, text, browser, os, device FROM user_agents WHERE id IN ({})",
                super::placeholders(0, ids.len())
            );
            let values: Vec<_> = ids.iter().map(|id| (*id).into()).collect();
            known.extend(self.all::<AgentRow>(&sql, &values).await?);
        }
        Ok(Names { users, agents: known })
    }

    /// Fills the table: at once when it is small, else beside the request. Gives whether it was
    /// filled.
    async fn fill(&self, index: &Arc<SessionIndex>) -> Result<bool, StoreError> {
        let count = self.count_sessions_of(&CountKey::All).await?;
        if count > index.limit.load(Ordering::Relaxed) || index.is_filling.swap(true, Ordering::SeqCst) {
            return Ok(false);
        }
        let turn = FillingTurn(Arc::clone(index));
        if count <= SOON {
            self.fill_now(&turn.0).await?;
            return Ok(true);
        }
        match self {
            Self::SqliteRead(sqlite) => {
                let sqlite = (*sqlite).clone();
                let thread = std::thread::Builder::new().name("rollcall-index".into());
                let started = thread.spawn(move || {
                    report(super::sqlite::run_now(Db::SqliteRead(&sqlite).fill_now(&turn.0)));
                    drop(turn);
                });
                started.map(|_| false).map_err(|error| StoreError::Unavailable(error.to_string()))
            }
            Self::PostgresRead(postgres) => {
                let postgres = (*postgres).clone();
                tokio::spawn(async move {
                    report(Db::PostgresRead(&postgres).fill_now(&turn.0).await);
                    drop(turn);
                });
                Ok(false)
            }
            Self::SqliteWrite(..) | Self::PostgresWrite(..) => Ok(false),
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
        *index.write() = State { table, position };
        lock(&index.answers).0.clear();
        tracing::debug!(sessions, millis = started.elapsed().as_millis(), "read all sessions into memory");
        Ok(())
    }

    /// Where the log stands now.
    async fn find_position(&self) -> Result<Position, StoreError> {
        let last = self.find_last_change().await?;
        if self.is_sqlite() {
            // One writer: places are taken in the order of commits.
            return Ok(Position { last, missing: Vec::new() });
        }
        let seen = self.list_changes(last - WINDOW, &[]).await?;
        let first = seen.first().map_or(last, |change| change.seq);
        let seen: std::collections::HashSet<i64> = seen.iter().map(|change| change.seq).collect();
        let now = Instant::now();
        let missing = (first..last).filter(|seq| !seen.contains(seq)).map(|seq| (seq, now)).collect();
        Ok(Position { last, missing })
    }

    /// Runs work that takes some time: on PostgreSQL beside the threads that serve requests, on
    /// SQLite at once, since long reads have threads of their own there.
    async fn compute<R: Send + 'static>(&self, work: impl FnOnce() -> R + Send + 'static) -> Result<R, StoreError> {
        if self.is_sqlite() {
            return Ok(work());
        }
        tokio::task::spawn_blocking(work).await.map_err(|error| StoreError::Failed(error.to_string()))
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

/// Held by whoever fills the table.
struct FillingTurn(Arc<SessionIndex>);

impl Drop for FillingTurn {
    fn drop(&mut self) {
        self.0.is_filling.store(false, Ordering::SeqCst);
    }
}
