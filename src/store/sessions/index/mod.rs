//! Sessions in memory, for what no index of the database answers quickly: searches, pages far from
//! the first, and filters that nothing counts beforehand; and for other lists while it is there.
//!
//! It holds no truth. It is filled from the database when it is first needed, or lists come often, and
//! forgotten when it is not used any more. Before each question it catches up by the log of changes
//! ([`crate::store::sessions::change_log`]), so an answer is as new as one of the database itself, whoever wrote: this
//! process, the command line, or another node. Where it is absent or being filled, SQL answers.

mod answers;
mod bits;
mod catch_up;
mod dictionary;
mod facets;
mod names;
mod order;
mod pages;
mod places;
mod quick;
mod select;
mod table;

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};
use std::time::{Duration, Instant};

use crate::domain::listing::{Sort, Window};
use crate::store::db::handle::lock;
use crate::store::sessions::change_log::LogEnd;
use crate::store::sessions::facets::{AddressCount, Facets};
use crate::store::sessions::index::answers::Kept;
use crate::store::sessions::index::catch_up::{Bursts, News, Position};
use crate::store::sessions::index::table::Table;
use crate::store::sessions::rows::SessionRow;
use crate::store::{Db, StoreError};
pub(in crate::store) use select::Question;

/// How many lists in a minute are reason enough to hold sessions in memory.
const OFTEN: u32 = 60;
/// After this time without a question it is forgotten.
const IDLE: Duration = Duration::from_secs(15 * 60);

/// The sessions in memory, shared by all who ask.
pub struct SessionIndex {
    /// Up to how many sessions it is used; 0: never.
    limit: AtomicI64,
    state: RwLock<State>,
    is_filling: AtomicBool,
    last_asked: Mutex<Instant>,
    /// How many lists, since the last [rest](SessionIndex::rest), could have been answered from memory.
    missed: AtomicU32,
    bursts: Mutex<Bursts>,
}

#[derive(Default)]
struct State {
    table: Option<Table>,
    position: Position,
    kept: Kept,
}

impl SessionIndex {
    /// One that is not used until it is [allowed](SessionIndex::allow).
    pub(in crate::store) fn new() -> Arc<Self> {
        Arc::new(Self {
            limit: AtomicI64::new(0),
            state: RwLock::default(),
            is_filling: AtomicBool::new(false),
            last_asked: Mutex::new(Instant::now()),
            missed: AtomicU32::new(0),
            bursts: Mutex::default(),
        })
    }

    /// Uses it up to so many sessions; each takes some 200 bytes. 0: never.
    pub(in crate::store) fn allow(&self, limit: i64) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Forgets the sessions if nobody asked for a while.
    pub(in crate::store) fn rest(&self) {
        self.missed.store(0, Ordering::Relaxed);
        if lock(&self.last_asked).elapsed() > IDLE {
            self.forget();
        }
    }

    /// Whether sessions are held now.
    pub(in crate::store) fn is_filled(&self) -> bool {
        self.read().table.is_some()
    }

    fn forget(&self) {
        *self.write() = State::default();
    }

    /// Where the table stands, if there is one.
    fn position(&self) -> Option<Position> {
        let state = self.read();
        state.table.as_ref().map(|_| state.position.clone())
    }

    /// Whether it takes less time to read all sessions anew than so many changes.
    fn is_sooner_anew(&self, changes: usize) -> bool {
        let slots = self.read().table.as_ref().map_or(0, Table::slots);
        changes > slots as usize / 2 + catch_up::AT_ONCE
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, unless it would have to be waited for.
    fn try_read(&self) -> Option<RwLockReadGuard<'_, State>> {
        match self.state.try_read() {
            Ok(state) => Some(state),
            Err(TryLockError::Poisoned(state)) => Some(state.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn try_write(&self) -> Option<RwLockWriteGuard<'_, State>> {
        match self.state.try_write() {
            Ok(state) => Some(state),
            Err(TryLockError::Poisoned(state)) => Some(state.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes up changes that were read at `before`, and stands at `after` then. Gives whether it still
    /// stood there.
    fn apply(&mut self, before: &Position, after: &Position, news: &News) -> bool {
        if self.position != *before {
            return false;
        }
        let Some(table) = &mut self.table else { return false };
        news.names.teach(table);
        for id in &news.gone {
            table.remove(*id);
        }
        for row in &news.rows {
            table.put(row);
        }
        let is_worn = table.is_worn();
        self.position = after.clone();
        self.kept.outdate();
        if is_worn {
            // Beside whoever asks: hundreds of megabytes are given back.
            let old = std::mem::take(self);
            drop(std::thread::Builder::new().name("rollcall-index".into()).spawn(move || drop(old)));
        }
        true
    }
}

impl Db<'_> {
    /// How many sessions match, from memory; `None` when they are not held there now.
    pub(in crate::store) async fn count_in_index(&self, question: Question) -> Result<Option<i64>, StoreError> {
        self.ask_index(move |kept, table| kept.count(table, &question)).await
    }

    /// One window of the sessions that match, in order; `None` as above.
    pub(in crate::store) async fn list_in_index(
        &self,
        question: Question,
        sorts: &[Sort],
        window: Window,
    ) -> Result<Option<Vec<SessionRow>>, StoreError> {
        let sorts = sorts.to_vec();
        self.ask_index(move |kept, table| kept.list(table, &question, &sorts, window)).await
    }

    /// How many of the sessions that match there are of each kind; `None` as above.
    pub(in crate::store) async fn facets_in_index(&self, question: Question, today: i64) -> Result<Option<Facets>, StoreError> {
        self.ask_index(move |kept, table| kept.facets(table, &question, today)).await
    }

    /// How many of the sessions that match there are at each address; `None` as above.
    pub(in crate::store) async fn addresses_in_index(
        &self,
        question: Question,
        limit: usize,
    ) -> Result<Option<Vec<AddressCount>>, StoreError> {
        self.ask_index(move |kept, table| kept.addresses(table, &question, limit)).await
    }

    /// How many sessions match, and those of the window that `window_of` makes of that. `None` when they are
    /// not held in memory now, or it takes longer than a request may keep its thread.
    pub(in crate::store) async fn page_in_index<E: From<StoreError>>(
        &self,
        question: &Question,
        sorts: &[Sort],
        log_end: Option<LogEnd>,
        window_of: impl FnOnce(i64) -> Result<Window, E>,
    ) -> Result<Option<(i64, Vec<SessionRow>)>, E> {
        let Some(index) = self.index().filter(|index| index.limit.load(Ordering::Relaxed) > 0) else { return Ok(None) };
        *lock(&index.last_asked) = Instant::now();
        let is_there = self.catch_up_soon(index, log_end).await?;
        crate::metrics::count_cache("sessions", usize::from(is_there), usize::from(!is_there));
        let Some(state) = index.try_read().filter(|_| is_there) else { return Ok(None) };
        let Some(table) = &state.table else { return Ok(None) };
        table.quick_page(question, sorts, window_of).transpose()
    }

    async fn ask_index<R, F>(&self, ask: F) -> Result<Option<R>, StoreError>
    where
        F: FnOnce(&Kept, &Table) -> R + Send + 'static,
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
            Some(ask(&state.kept, state.table.as_ref()?))
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
