//! Sessions in memory, for what no index of the database answers quickly: searches, pages far from
//! the first, and filters that nothing counts beforehand.
//!
//! It holds no truth. It is filled from the database when it is first needed and forgotten when it
//! is not used any more. Before each question it catches up by the log of changes
//! ([`super::changes`]), so an answer is as new as one of the database itself, whoever wrote: this
//! process, the command line, or another node. Where it is absent or being filled, SQL answers.

mod bits;
mod catch_up;
mod dictionary;
mod facets;
mod order;
mod select;
mod table;

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use self::catch_up::{News, Position};
use self::select::Matches;
pub(super) use self::select::Question;
use self::table::Table;
use super::facets::{AddressCount, Facets};
use super::{Db, StoreError, lock};
use crate::domain::listing::{SessionFilter, Sort, Window};

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

    /// Takes up changes that were read at `before`, and stands at `after` then. Gives whether it still
    /// stood there.
    fn apply(&self, before: &Position, after: &Position, news: &News) -> bool {
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
        state.position = after.clone();
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

    /// Runs work that takes some time: on PostgreSQL beside the threads that serve requests, on
    /// SQLite at once, since long reads have threads of their own there.
    async fn compute<R: Send + 'static>(&self, work: impl FnOnce() -> R + Send + 'static) -> Result<R, StoreError> {
        if self.is_sqlite() {
            return Ok(work());
        }
        tokio::task::spawn_blocking(work).await.map_err(|error| StoreError::Failed(error.to_string()))
    }
}
