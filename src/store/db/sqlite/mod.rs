//! SQLite: reads on one connection for each thread, all writes on one thread, which batches them.
//!
//! Reads never wait for writers (WAL mode). A write is answered when its commit is on disk; a write
//! of [`Kind::Soon`] is answered when it is committed, and is on disk a second later. Writes that wait at the same time share a
//! transaction, and transactions share an fsync. A failed fsync ends the process (`wal.rs`), and
//! while a path does not lead to the open file, nothing is read or acknowledged (`open_files.rs`).

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::{Semaphore, oneshot};

mod open_files;
mod wal;
mod writer;

use crate::store::db::sqlite::wal::{Wal, exit_if_unflushed};
use crate::store::db::sqlite::writer::{Job, Writer, run_writer};
pub use writer::Kind;
pub(in crate::store) use writer::{JobWork, Outcome};

use crate::files;
use crate::store::db::seen::SeenLog;
use crate::store::{FromRow, Row, StoreError, Value};

/// How long a statement waits for another process's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long emptying the WAL waits for reads of an older state.
const SHORTEN_TIMEOUT: Duration = Duration::from_millis(250);
/// The most writes in the queue. With more, the answer is "busy".
const WRITE_QUEUE: usize = 4096;
/// The most long reads at once, and the most in their queue.
const LONG_READERS: usize = 2;
const LONG_READ_QUEUE: usize = 64;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

thread_local! {
    /// The read connections of this thread, by [`Inner::id`].
    static READERS: RefCell<HashMap<u64, Connection>> = RefCell::new(HashMap::new());
}

/// An open SQLite database. Clones share it.
#[derive(Clone)]
pub struct Sqlite(Arc<Inner>);

struct Inner {
    id: u64,
    path: PathBuf,
    writer: SyncSender<Job>,
    wal: Wal,
    long_reads: Arc<Semaphore>,
    long_reads_waiting: AtomicUsize,
    writes_waiting: AtomicUsize,
    seen_log: SeenLog,
}

impl Sqlite {
    /// Opens the file, and creates it and its folder if they do not exist. Starts the threads,
    /// which end with the last clone.
    ///
    /// # Errors
    /// When a file cannot be made or opened, or another program holds the write lock for too long.
    pub(in crate::store) fn open(path: &Path) -> Result<Self, StoreError> {
        let failed = |error: std::io::Error| StoreError::Unavailable(format!("{}: {error}", path.display()));
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            files::create_folder(folder).map_err(failed)?;
        }
        // SQLite gives the WAL the mode of the file.
        files::create_file(path).map_err(failed)?;
        let wal = Wal::start(path)?;
        let writer = Writer::connect(path, wal.clone())?;
        let (sender, receiver) = sync_channel(WRITE_QUEUE);
        let file = path.to_owned();
        start("rollcall-writer", move || run_writer(&file, writer, &receiver))?;
        Ok(Self(Arc::new(Inner {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            path: path.to_owned(),
            writer: sender,
            wal,
            long_reads: Arc::new(Semaphore::new(LONG_READERS)),
            long_reads_waiting: AtomicUsize::new(0),
            writes_waiting: AtomicUsize::new(0),
            seen_log: SeenLog::default(),
        })))
    }

    /// The newest position of the log of changes that was read.
    pub(in crate::store) fn seen_log(&self) -> &SeenLog {
        &self.0.seen_log
    }

    /// How much waits and runs, by queue and state.
    pub(in crate::store) fn pool_use(&self) -> Vec<((&'static str, &'static str), usize)> {
        let running = LONG_READERS.saturating_sub(self.0.long_reads.available_permits());
        let writes = self.0.writes_waiting.load(Ordering::Relaxed);
        vec![
            (("long_reads", "admitted"), self.0.long_reads_waiting.load(Ordering::Relaxed)),
            (("long_reads", "running"), running),
            (("writes", "waiting"), writes),
        ]
    }

    /// Checks now whether the paths lead to the open files.
    ///
    /// # Errors
    /// Why nothing may be read or written.
    pub(in crate::store) fn look_at_files(&self) -> Result<(), StoreError> {
        self.0.wal.files().check().map_err(StoreError::Unavailable)
    }

    /// Why nothing may be read or written now, by the last check of the files.
    fn check_files(&self) -> Result<(), StoreError> {
        self.0.wal.files().last_check().map_err(StoreError::Unavailable)
    }

    /// Runs `work` on this thread's read connection. A connection is dropped after an error of the
    /// database.
    pub(in crate::store) fn with_reader<R>(
        &self,
        work: impl FnOnce(&Connection) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        // An open connection would read the old file, and a new one would mix files.
        self.check_files()?;
        READERS.with_borrow_mut(|readers| {
            let connection = match readers.entry(self.0.id) {
                std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::hash_map::Entry::Vacant(entry) => entry.insert(connect(&self.0.path, READER)?),
            };
            let result = work(connection);
            if matches!(result, Err(StoreError::Unavailable(_))) {
                readers.remove(&self.0.id);
            }
            result
        })
    }

    /// Opens a connection of its own that only reads, for a read that takes long.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub(in crate::store) fn connect_reader(&self) -> Result<Connection, StoreError> {
        self.check_files()?;
        connect(&self.0.path, READER)
    }

    /// Runs `work` on one of the few threads for long reads, after those before it in the queue. It
    /// continues when the caller's future is dropped, and occupies its thread until it ends.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when the queue is full.
    pub(in crate::store) async fn on_long_reader<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, StoreError> {
        let waiting = Waiting::enter(&self.0.long_reads_waiting).ok_or(StoreError::Busy)?;
        let turn = Arc::clone(&self.0.long_reads).acquire_owned().await.map_err(|_| StoreError::Busy)?;
        drop(waiting);
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        done.await.map_err(|error| StoreError::Failed(error.to_string()))
    }

    /// Copies the whole WAL into the database file and empties it. Returns whether that was
    /// possible: not while a read of an older state runs.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(in crate::store) async fn shorten_log(&self) -> Result<bool, StoreError> {
        self.check_files()?;
        let path = self.0.path.clone();
        let done = tokio::task::spawn_blocking(move || {
            let connection = connect(&path, READER)?;
            // Writers wait until this is done or given up.
            connection.busy_timeout(SHORTEN_TIMEOUT)?;
            let is_busy = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
            Ok(is_busy.inspect_err(|error| exit_if_unflushed(&path, error))? == 0)
        });
        done.await.map_err(|error| StoreError::Failed(error.to_string()))?
    }

    /// Puts work into the writer's queue and waits for what it sends.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when the queue is full; [`StoreError::Unavailable`] when the writer has
    /// stopped.
    pub(in crate::store) async fn submit<T>(
        &self,
        work: JobWork,
        kind: Kind,
        answered: oneshot::Receiver<T>,
    ) -> Result<T, StoreError> {
        self.0.writer.try_send(Job { work, kind }).map_err(|refused| match refused {
            TrySendError::Full(_) => StoreError::Busy,
            TrySendError::Disconnected(_) => StoreError::Unavailable("the writer has stopped".into()),
        })?;
        self.0.writes_waiting.fetch_add(1, Ordering::Relaxed);
        let answer = answered.await;
        self.0.writes_waiting.fetch_sub(1, Ordering::Relaxed);
        answer.map_err(|_| StoreError::Unavailable("the writer has stopped".into()))
    }
}

/// A place in the queue of long reads, given back when dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    /// `None` when the queue is full.
    fn enter(count: &'a AtomicUsize) -> Option<Self> {
        let place = Self(count);
        (count.fetch_add(1, Ordering::SeqCst) < LONG_READ_QUEUE).then_some(place)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The connection, also after a panic of a thread that had it: each transaction is rolled back by
/// then.
pub(in crate::store) fn lock(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a future that is ready at its first poll: statements on SQLite are done when they return.
pub(in crate::store) fn run_now<R, E: From<StoreError>>(future: impl Future<Output = Result<R, E>>) -> Result<R, E> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(StoreError::Failed("a transaction waited for something else than SQLite".into()).into()),
    }
}

/// The settings of a connection that only reads.
const READER: &str = "PRAGMA query_only = ON; PRAGMA cache_size = -2048;";

/// Opens a connection with these settings. The file must exist: a missing one is an error, and no
/// reason to make an empty one.
fn connect(path: &Path, purpose: &str) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(128);
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
         PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 0; PRAGMA journal_size_limit = 67108864;",
    )?;
    connection.execute_batch(purpose)?;
    // A plan must not depend on the values of parameters: SQLite would plan again for each new
    // value, which takes several times as long as a short query.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(connection)
}

/// Starts a thread. Its name may have 15 characters.
fn start(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), StoreError> {
    let started = std::thread::Builder::new().name(name.into()).spawn(work);
    started.map(drop).map_err(|error| StoreError::Unavailable(error.to_string()))
}

/// `$1` → `?1`: in SQLite, `$1` is a parameter with a name.
fn numbered(sql: &str) -> Result<String, StoreError> {
    // A loop over bytes, which the compiler turns into few instructions: it runs for every statement.
    let text = sql.bytes().map(|byte| if byte == b'$' { b'?' } else { byte }).collect();
    String::from_utf8(text).map_err(|error| StoreError::Failed(error.to_string()))
}

/// What a row of a query is given to.
pub(in crate::store) type TakeRow<'a> = dyn FnMut(&mut Row<'_>) -> Result<(), StoreError> + Send + 'a;

/// Gives each row of a query to `take`.
pub(in crate::store) fn each(
    connection: &Connection,
    sql: &str,
    values: &[Value],
    take: &mut TakeRow<'_>,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(&numbered(sql)?)?;
    let mut rows = statement.query(rusqlite::params_from_iter(values))?;
    while let Some(row) = rows.next()? {
        take(&mut Row::sqlite(row))?;
    }
    Ok(())
}

/// All rows of a query.
pub(in crate::store) fn all<T: FromRow>(connection: &Connection, sql: &str, values: &[Value]) -> Result<Vec<T>, StoreError> {
    let mut all = Vec::new();
    each(connection, sql, values, &mut |row| {
        all.push(T::from_row(row)?);
        Ok(())
    })?;
    Ok(all)
}

/// Runs a statement. Gives the number of rows that it changed.
pub(in crate::store) fn execute(connection: &Connection, sql: &str, values: &[Value]) -> Result<u64, StoreError> {
    let changed = connection.prepare_cached(&numbered(sql)?)?.execute(rusqlite::params_from_iter(values))?;
    Ok(u64::try_from(changed).unwrap_or(u64::MAX))
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Code;
        match error.sqlite_error_code() {
            Some(Code::ConstraintViolation) => Self::Conflict(error.to_string()),
            Some(
                Code::DatabaseBusy
                | Code::DatabaseLocked
                | Code::ReadOnly
                | Code::DiskFull
                | Code::SystemIoFailure
                | Code::CannotOpen
                | Code::DatabaseCorrupt
                | Code::NotADatabase
                | Code::PermissionDenied
                | Code::OutOfMemory
                | Code::FileLockingProtocolFailed
                | Code::NoLargeFileSupport,
            ) => Self::Unavailable(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}

#[cfg(test)]
pub(in crate::store) mod tests {
    use super::*;
    use rusqlite::StatementStatus;

    /// An empty database file in a folder of its own.
    pub(in crate::store) fn file() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rollcall.db");
        files::create_file(&path).unwrap();
        (folder, path)
    }

    /// A connection that has read from the file.
    pub(in crate::store) fn reader(path: &Path) -> Connection {
        let connection = connect(path, READER).unwrap();
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).unwrap();
        connection
    }

    #[test]
    fn other_values_need_no_other_plan() {
        let (_folder, path) = file();
        let connection = connect(&path, READER).unwrap();
        connection
            .execute_batch(
                "PRAGMA query_only = OFF; CREATE TABLE numbers (n INTEGER); CREATE INDEX numbers_by_n ON numbers (n);
                 WITH RECURSIVE counted (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM counted WHERE n < 1000)
                 INSERT INTO numbers SELECT n FROM counted; ANALYZE;",
            )
            .unwrap();
        let mut statement = connection.prepare("SELECT count(*) FROM numbers WHERE n > ?1 AND n < ?2").unwrap();
        for n in 0..10 {
            assert_eq!(statement.query_row([n, 1000 - n], |row| row.get(0)), Ok(999 - 2 * n));
        }
        assert_eq!(statement.get_status(StatementStatus::RePrepare), 0);
    }
}
