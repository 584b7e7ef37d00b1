//! The sessions that this node holds in memory ([`crate::store::sessions::index`]): when they are
//! read, how they follow the database, and how questions wait for them.
//!
//! They are a cache of the database. One task reads them: at the start when there are many, when a
//! question needs them, or when lists are frequent. They are dropped after some time without a
//! question. Before each answer they follow the change log
//! ([`crate::store::sessions::change_log`]), so an answer is as new as one of the database,
//! whichever process wrote.

mod fill;
mod follow;
mod position;

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};

use crate::store::db::sqlite;
use crate::store::sessions::index::both::{Part, Parts};
use crate::store::sessions::index::{Changes, Question, SessionIndex};
use crate::store::sessions::memory::position::{Bursts, Position};
use crate::store::{BoxFuture, CountKey, Db, Log, StoreError};

/// Sessions are read into memory when there are this many lists in a minute.
const OFTEN: u32 = 60;
/// From this number of sessions on, they are read when the server is ready. Fewer are read within
/// half a second, when a question needs them; an idle server keeps that memory free.
const EAGER: i64 = 200_000;
/// Sessions are dropped after this time without a question.
const IDLE: Duration = Duration::from_secs(15 * 60);
/// The longest that a question waits for sessions to be read.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most questions that wait at once.
const WAITING: usize = 64;

/// The sessions in memory, shared by all requests of a process: Rollcall's own, or those of the copy of a watched source.
pub(in crate::store) struct SessionMemory {
    /// The log that they follow.
    log: Log,
    /// The most sessions that are held; 0: none.
    limit: AtomicI64,
    state: RwLock<State>,
    /// Whether a task reads sessions, or many changes.
    is_working: watch::Sender<bool>,
    waiting: Semaphore,
    last_asked: Mutex<Instant>,
    /// The number of lists since the last [rest](SessionMemory::rest) that memory could have
    /// answered.
    missed: AtomicU32,
    bursts: Mutex<Bursts>,
}

#[derive(Default)]
struct State {
    index: Option<SessionIndex>,
    position: Position,
}

impl State {
    /// Applies changes that were read from the position `before`, and moves on to `after`. Gives whether it
    /// was still at `before`.
    fn apply(&mut self, before: &Position, after: &Position, changes: &Changes) -> bool {
        if self.position != *before {
            return false;
        }
        let Some(index) = &mut self.index else { return false };
        index.apply(changes);
        let is_worn = index.is_worn();
        self.position = after.clone();
        if is_worn {
            // On a thread of its own, since it frees hundreds of megabytes.
            let old = std::mem::take(self);
            drop(std::thread::Builder::new().name("rollcall-index".into()).spawn(move || drop(old)));
        }
        true
    }
}

/// The outcome of a question to memory.
#[derive(Debug)]
pub(in crate::store) enum Asked<R> {
    /// The answer.
    Answered(R),
    /// Sessions must be read again first.
    Lost,
    /// Many changes are being read: SQL must answer.
    Behind,
}

impl SessionMemory {
    /// An empty one that reads no sessions before it is [allowed](SessionMemory::allow) to.
    pub fn new(log: Log) -> Arc<Self> {
        Arc::new(Self {
            log,
            limit: AtomicI64::new(0),
            state: RwLock::default(),
            is_working: watch::Sender::new(false),
            waiting: Semaphore::new(WAITING),
            last_asked: Mutex::new(Instant::now()),
            missed: AtomicU32::new(0),
            bursts: Mutex::default(),
        })
    }

    /// Sets the most sessions that are held; each takes some 200 bytes. 0: none.
    pub fn allow(&self, limit: i64) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Whether sessions may be held.
    pub fn is_allowed(&self) -> bool {
        self.limit.load(Ordering::Relaxed) > 0
    }

    /// Drops the sessions when no question came for a while.
    pub fn rest(&self) {
        self.missed.store(0, Ordering::Relaxed);
        if lock(&self.last_asked).elapsed() > IDLE {
            self.forget();
        }
    }

    /// Whether sessions are held now.
    pub fn is_filled(&self) -> bool {
        self.read().index.is_some()
    }

    /// Begins to read the sessions where there are many, so that the first question waits less.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn warm_up(self: &Arc<Self>, db: &Db<'_>) -> Result<(), StoreError> {
        if self.is_allowed() && self.count_all(db).await? >= EAGER {
            *lock(&self.last_asked) = Instant::now();
            self.begin_to_fill(db).await?;
        }
        Ok(())
    }

    /// Waits until sessions are held. Gives `false` where there are more than may be held.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when it takes too long or too many wait, and when the database does not answer.
    pub async fn wait_until_filled(self: &Arc<Self>, db: &Db<'_>) -> Result<bool, StoreError> {
        if !self.is_allowed() {
            return Ok(false);
        }
        *lock(&self.last_asked) = Instant::now();
        // A lock that is held is held by a task that changes the sessions, so they are filled.
        if self.try_read().is_none_or(|state| state.index.is_some()) {
            return Ok(true);
        }
        let _place = self.waiting.try_acquire().map_err(|_| StoreError::Busy)?;
        let until = tokio::time::Instant::now() + PATIENCE;
        let mut is_working = self.is_working.subscribe();
        // The first task to wait for may be one that follows changes.
        for _ in 0..2 {
            if !self.begin_to_fill(db).await? {
                return Ok(false);
            }
            let work = is_working.wait_for(|is_working| !*is_working);
            drop(tokio::time::timeout_at(until, work).await.map_err(|_| StoreError::Busy)?);
            if self.is_filled() {
                return Ok(true);
            }
        }
        Err(StoreError::Unavailable("sessions could not be read into memory".into()))
    }

    /// Asks the sessions, once they include all changes of the database. On PostgreSQL `ask` runs
    /// on a thread of its own, on SQLite on this one: for a long read.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn ask<R, F>(self: &Arc<Self>, db: &Db<'_>, ask: F) -> Result<Asked<R>, StoreError>
    where
        F: FnOnce(&SessionIndex) -> R + Send + 'static,
        R: Send + 'static,
    {
        let caught_up = self.catch_up(db).await?;
        crate::metrics::count_cache("sessions", usize::from(caught_up.is_none()), usize::from(caught_up.is_some()));
        if let Some(why) = caught_up {
            return Ok(if why == follow::Late::Lost { Asked::Lost } else { Asked::Behind });
        }
        let this = Arc::clone(self);
        let answer = compute(db, move || {
            let state = this.read();
            let answer = ask(state.index.as_ref()?);
            if let Some((hits, misses)) = state.index.as_ref().map(SessionIndex::take_cache_uses) {
                crate::metrics::count_cache("answers", hits, misses);
            }
            Some(answer)
        });
        Ok(answer.await?.map_or(Asked::Lost, Asked::Answered))
    }

    /// Asks the sessions on this thread, if they are up to date or soon are, without waiting for a
    /// lock. `asked` is the time of the request; `None`: now.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn ask_soon<R>(
        self: &Arc<Self>,
        db: &Db<'_>,
        asked: Option<Instant>,
        ask: impl FnOnce(&SessionIndex) -> Option<R>,
    ) -> Result<Option<R>, StoreError> {
        if !self.is_allowed() {
            return Ok(None);
        }
        *lock(&self.last_asked) = Instant::now();
        let is_there = self.catch_up_soon(db, asked).await?;
        crate::metrics::count_cache("sessions", usize::from(is_there), usize::from(!is_there));
        let state = self.try_read().filter(|_| is_there);
        Ok(state.and_then(|state| ask(state.index.as_ref()?)))
    }

    /// How many sessions there are to hold.
    async fn count_all(&self, db: &Db<'_>) -> Result<i64, StoreError> {
        match self.log {
            Log::Own => db.count_sessions_of(&CountKey::All).await,
            Log::Watched => Ok(db.one::<i64>("SELECT count(*) FROM watched_sessions", &[]).await?.unwrap_or(0)),
        }
    }

    fn forget(&self) {
        *self.write() = State::default();
    }

    /// How far the log is read, if sessions are held.
    fn position(&self) -> Option<Position> {
        let state = self.read();
        state.index.as_ref().map(|_| state.position.clone())
    }

    /// Whether reading all sessions again is faster than reading this many changes.
    fn is_sooner_anew(&self, changes: usize) -> bool {
        let held = self.read().index.as_ref().map_or(0, SessionIndex::len);
        changes > held / 2 + follow::STEP
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same; `None` if the lock is held.
    fn try_read(&self) -> Option<RwLockReadGuard<'_, State>> {
        match self.state.try_read() {
            Ok(state) => Some(state),
            Err(TryLockError::Poisoned(state)) => Some(state.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_write(&self) -> Option<RwLockWriteGuard<'_, State>> {
        match self.state.try_write() {
            Ok(state) => Some(state),
            Err(TryLockError::Poisoned(state)) => Some(state.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

/// Questions, each to the sessions of a memory.
pub(in crate::store) type Asks = Vec<(Arc<SessionMemory>, Question)>;

/// Asks the sessions of several memories at one moment, once they include all changes of the database: for a long read.
///
/// # Errors
/// When the database does not answer.
pub(in crate::store) async fn ask_together<R, F>(asks: Asks, db: &Db<'_>, ask: F) -> Result<Asked<R>, StoreError>
where
    F: FnOnce(&Parts<'_>) -> R + Send + 'static,
    R: Send + 'static,
{
    for (memory, _) in &asks {
        if let Some(why) = memory.catch_up(db).await? {
            return Ok(if why == follow::Late::Lost { Asked::Lost } else { Asked::Behind });
        }
    }
    let answer = compute(db, move || {
        let states: Vec<RwLockReadGuard<'_, State>> = asks.iter().map(|(memory, _)| memory.read()).collect();
        let parts = states.iter().zip(&asks).map(|(state, (_, question))| Some(Part { index: state.index.as_ref()?, question }));
        let parts: Option<Vec<Part<'_>>> = parts.collect();
        Some(ask(&Parts(parts?)))
    });
    Ok(answer.await?.map_or(Asked::Lost, Asked::Answered))
}

/// The permit to read sessions, or many changes: one task at a time holds it.
struct Turn(Arc<SessionMemory>);

impl Turn {
    /// Takes the permit, unless a task holds it.
    fn take(memory: &Arc<SessionMemory>) -> Option<Self> {
        let is_taken = memory.is_working.send_if_modified(|is_working| !std::mem::replace(is_working, true));
        is_taken.then(|| Self(Arc::clone(memory)))
    }

    /// Runs work in a task of its own: it does not end with a request, and requests do not wait for
    /// it.
    fn spend<W>(self, db: &Db<'_>, work: W) -> Result<(), StoreError>
    where
        W: for<'t> FnOnce(&'t Arc<SessionMemory>, &'t Db<'t>) -> BoxFuture<'t, Result<(), StoreError>> + Send + 'static,
    {
        match db {
            Db::SqliteRead(sqlite) => {
                let sqlite = (*sqlite).clone();
                let thread = std::thread::Builder::new().name("rollcall-index".into());
                let started = thread.spawn(move || {
                    report(sqlite::run_now(work(&self.0, &Db::SqliteRead(&sqlite))));
                    drop(self);
                });
                started.map(drop).map_err(|error| StoreError::Unavailable(error.to_string()))
            }
            Db::PostgresRead(postgres) => {
                let postgres = (*postgres).clone();
                tokio::spawn(async move {
                    report(work(&self.0, &Db::PostgresRead(&postgres)).await);
                    drop(self);
                });
                Ok(())
            }
            // A transaction sees what is not committed: it is never asked to fill the index.
            Db::SqliteWrite(..) | Db::PostgresWrite(..) => Ok(()),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.is_working.send_replace(false);
    }
}

fn report(result: Result<(), StoreError>) {
    if let Err(error) = result {
        tracing::warn!(%error, "sessions could not be read into memory; the next question tries again");
    }
}

/// Runs work that takes some time: on PostgreSQL on a blocking thread, on SQLite at once, since its
/// long reads run on threads of their own.
async fn compute<R: Send + 'static>(db: &Db<'_>, work: impl FnOnce() -> R + Send + 'static) -> Result<R, StoreError> {
    if db.is_sqlite() {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(|error| StoreError::Failed(error.to_string()))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
