//! All SQL. One file a group of tables; each statement is written once, in what SQLite and
//! PostgreSQL share. Nothing above this module knows which of the two it talks to.

pub mod addresses;
pub mod changes;
pub mod counts;
pub mod ended_list;
pub mod ended_sessions;
pub mod endings;
pub mod event_feed;
pub mod event_list;
pub mod events;
pub mod facets;
pub mod factors;
pub mod groups;
pub mod guess_limits;
mod index;
pub mod known_devices;
mod migrate;
pub mod passkeys;
pub mod pending_sign_ins;
pub mod person;
pub mod policies;
mod postgres;
pub mod revocations;
pub mod session_details;
pub mod session_ends;
pub mod session_list;
pub mod sessions;
pub mod settings;
mod sqlite;
mod statements;
pub mod tokens;
pub mod user_agents;
pub mod user_list;
pub mod users;
mod value;

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Mutex;

pub use counts::CountKey;
pub use migrate::{Migration, migrations};
use statements::{Statement, placeholders};
pub use value::{FromRow, Row, Value};

/// What went wrong below.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached or written now: locked, read-only, full, gone. Trying again
    /// later may help.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The database took a transaction back to let another go on. Trying again helps.
    #[error("the database took the change back: {0}")]
    RolledBack(String),
    /// More work is waiting than the store takes on.
    #[error("the database is busy: too much work is waiting")]
    Busy,
    /// A row that must be unique exists already, or one that is referred to does not.
    #[error("the data contradicts what is stored: {0}")]
    Conflict(String),
    /// A stored value that cannot be.
    #[error("the database holds {0} that cannot be read")]
    Corrupt(&'static str),
    /// The database was made by a newer Rollcall, or its migrations were changed.
    #[error("{0}")]
    Schema(String),
    /// A statement that should work did not.
    #[error("a statement failed: {0}")]
    Failed(String),
}

impl StoreError {
    /// Whether trying again later may help.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::RolledBack(_) | Self::Busy)
    }
}

/// A future in a box, as the closures of [`Store::write`] give.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where the data is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A SQLite file; it and its folder are created.
    Sqlite(PathBuf),
    /// A PostgreSQL URL, `postgres://…`.
    Postgres(String),
}

/// The database. Cheap to clone.
#[derive(Clone)]
pub enum Store {
    /// SQLite, embedded.
    Sqlite(sqlite::Sqlite),
    /// PostgreSQL.
    Postgres(postgres::Postgres),
}

/// A way to run statements: on its own, or inside a transaction.
pub enum Db<'a> {
    /// SQLite, reading on the calling thread's own connection.
    SqliteRead(&'a sqlite::Sqlite),
    /// SQLite, inside the writer's transaction.
    SqliteWrite(&'a Mutex<rusqlite::Connection>, Pending),
    /// PostgreSQL, a connection from the pool for each statement.
    PostgresRead(&'a postgres::Postgres),
    /// PostgreSQL, on one connection: inside a transaction, or for statements that are each by themselves.
    PostgresWrite(&'a deadpool_postgres::Object, Pending),
}

/// What a transaction gathers and writes at its end, once and in a fixed order.
#[derive(Default)]
pub struct Pending {
    /// Which rows of the counters it changes.
    slot: i64,
    last: Mutex<Vec<Statement>>,
    counts: Mutex<counts::PendingCounts>,
    changes: Mutex<changes::PendingChanges>,
    tally: Mutex<Tally>,
}

impl Pending {
    fn in_slot(slot: i64) -> Self {
        Self { slot, ..Self::default() }
    }
}

/// Sessions that a transaction began and ended: counted once it is committed.
#[derive(Default)]
struct Tally {
    created: u64,
    ended: std::collections::BTreeMap<&'static str, u64>,
}

impl Tally {
    fn count(self) {
        crate::metrics::count_created(self.created);
        for (reason, sessions) in self.ended {
            crate::metrics::count_ended(reason, sessions);
        }
    }
}

/// Measures a statement, when anything is measured.
struct Timer<'a>(Option<(&'a str, std::time::Instant)>);

impl<'a> Timer<'a> {
    fn of(sql: &'a str) -> Self {
        Self(crate::metrics::is_on().then(|| (sql, std::time::Instant::now())))
    }
}

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        if let Some((sql, started)) = self.0 {
            crate::metrics::count_statement(sql, started.elapsed());
        }
    }
}

impl Store {
    /// Opens the database, creating a SQLite file that does not exist. Migrates nothing.
    ///
    /// # Errors
    /// When it cannot be opened or reached.
    pub async fn open(location: &Location) -> Result<Self, StoreError> {
        match location {
            Location::Sqlite(path) => Ok(Self::Sqlite(sqlite::Sqlite::open(path)?)),
            Location::Postgres(url) => Ok(Self::Postgres(postgres::Postgres::open(url).await?)),
        }
    }

    /// Brings the schema up to date, under a lock. Returns the names of the migrations it applied.
    ///
    /// # Errors
    /// When the database is of a newer Rollcall, or cannot be written.
    pub async fn migrate(&self) -> Result<Vec<&'static str>, StoreError> {
        migrate::apply(self).await
    }

    /// Keeps sessions in memory for searches and pages far from the first, up to so many sessions; 0:
    /// never. For a process that answers many questions: filling takes as long as some searches.
    pub fn use_index(&self, limit: i64) {
        self.index().allow(limit);
    }

    /// Forgets sessions in memory that nobody asked for in a while.
    pub fn rest(&self) {
        self.index().rest();
    }

    /// Copies what is in the database's log into the database and empties the log, so that what was
    /// overwritten is nowhere any more. Gives whether that was possible now: who reads an older state
    /// stands in its way. PostgreSQL does so by itself, in its time.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn shorten_log(&self) -> Result<bool, StoreError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.shorten_log().await,
            Self::Postgres(_) => Ok(true),
        }
    }

    /// Whether sessions are held in memory now.
    #[must_use]
    pub fn is_index_filled(&self) -> bool {
        self.index().is_filled()
    }

    /// What waits for the database and what it has, by pool and state.
    #[must_use]
    pub fn pool_use(&self) -> Vec<((&'static str, &'static str), usize)> {
        match self {
            Self::Sqlite(sqlite) => sqlite.pool_use(),
            Self::Postgres(postgres) => postgres.pool_use(),
        }
    }

    fn index(&self) -> &std::sync::Arc<index::SessionIndex> {
        match self {
            Self::Sqlite(sqlite) => sqlite.index(),
            Self::Postgres(postgres) => postgres.index(),
        }
    }

    /// How many large writes at once take less time than one after the other, and leave room for others: SQLite
    /// has one writer.
    #[must_use]
    pub fn writers(&self) -> usize {
        match self {
            Self::Sqlite(_) => 1,
            Self::Postgres(_) => 2,
        }
    }

    /// Short reads. On SQLite they run on the calling thread: keep them short.
    #[must_use]
    pub fn read(&self) -> Db<'_> {
        match self {
            Self::Sqlite(sqlite) => Db::SqliteRead(sqlite),
            Self::Postgres(postgres) => Db::PostgresRead(postgres),
        }
    }

    /// Long reads, such as searches: on SQLite they run on few threads of their own, so that they
    /// never hold up short ones. Beyond a bound they are refused.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when too many are waiting, and what `work` gives.
    pub async fn long_read<R, E, F>(&self, work: F) -> Result<R, E>
    where
        F: for<'t> FnOnce(&'t Db<'t>) -> BoxFuture<'t, Result<R, E>> + Send + 'static,
        R: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        match self {
            Self::Sqlite(sqlite) => sqlite.long_read(work).await,
            Self::Postgres(postgres) => postgres.long_read(work).await,
        }
    }

    /// Runs `work` in a transaction and commits it when it gives `Ok`. When this returns, what was
    /// written survives a crash and a loss of power.
    ///
    /// # Errors
    /// What `work` gives, and [`StoreError::Unavailable`] when the commit fails. Where it is the disk that fails,
    /// it may be done all the same.
    pub async fn write<R, E, F>(&self, work: F) -> Result<R, E>
    where
        F: for<'t> FnOnce(&'t Db<'t>) -> BoxFuture<'t, Result<R, E>> + Send + 'static,
        R: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        match self {
            Self::Sqlite(sqlite) => sqlite.write(work, sqlite::Kind::Durable).await,
            Self::Postgres(postgres) => postgres.write(work).await,
        }
    }

    /// Runs statements that a loss of power in the next second may take back: guesses. On PostgreSQL no
    /// transaction is around them, each holds its rows for as long as it takes, not until they are on
    /// disk, and a crash of PostgreSQL may take them back, too. Everybody sees them at once all the same.
    ///
    /// # Errors
    /// As for [`Store::write`].
    pub async fn write_soon<R, E, F>(&self, work: F) -> Result<R, E>
    where
        F: for<'t> FnOnce(&'t Db<'t>) -> BoxFuture<'t, Result<R, E>> + Send + 'static,
        R: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        match self {
            Self::Sqlite(sqlite) => sqlite.write(work, sqlite::Kind::Soon).await,
            Self::Postgres(postgres) => postgres.write_soon(work).await,
        }
    }

    /// As [`Store::write`], for one that changes very many rows: on SQLite it shares its transaction
    /// with no other write.
    ///
    /// # Errors
    /// As for [`Store::write`].
    pub async fn write_much<R, E, F>(&self, work: F) -> Result<R, E>
    where
        F: for<'t> FnOnce(&'t Db<'t>) -> BoxFuture<'t, Result<R, E>> + Send + 'static,
        R: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        match self {
            Self::Sqlite(sqlite) => sqlite.write(work, sqlite::Kind::Large).await,
            Self::Postgres(postgres) => postgres.write(work).await,
        }
    }

    /// Tells that this process is about to write very much: SQLite's writer then keeps more of the
    /// file in memory, for as long as the process lives.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn expect_many_writes(&self) -> Result<(), StoreError> {
        if matches!(self, Self::Postgres(_)) {
            return Ok(());
        }
        self.write(|db| Box::pin(async move { db.batch("PRAGMA cache_size = -786432").await })).await
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.read().one::<i64>("SELECT count(*) FROM settings WHERE name = 'ping'", &[]).await.map(drop)
    }

    /// `SQLite 3.50.0` or `PostgreSQL 15.1`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn describe(&self) -> Result<String, StoreError> {
        let (name, sql) = match self {
            Self::Sqlite(_) => ("SQLite", "SELECT sqlite_version()"),
            Self::Postgres(_) => ("PostgreSQL", "SELECT current_setting('server_version')"),
        };
        let version = self.read().one::<String>(sql, &[]).await?;
        Ok(format!("{name} {}", version.unwrap_or_default()))
    }
}

impl Db<'_> {
    /// All rows of a query.
    ///
    /// # Errors
    /// When the database does not answer or a row cannot be read.
    pub async fn all<T: FromRow>(&self, sql: &str, values: &[Value]) -> Result<Vec<T>, StoreError> {
        let _timer = Timer::of(sql);
        match self {
            Self::SqliteRead(sqlite) => sqlite.with_reader(|connection| sqlite::all(connection, sql, values)),
            Self::SqliteWrite(connection, _) => sqlite::all(&sqlite::lock(connection), sql, values),
            Self::PostgresRead(postgres) => postgres::all(&postgres.client().await?, sql, values).await,
            Self::PostgresWrite(client, _) => postgres::all(*client, sql, values).await,
        }
    }

    /// The first row of a query.
    ///
    /// # Errors
    /// When the database does not answer or the row cannot be read.
    pub async fn one<T: FromRow>(&self, sql: &str, values: &[Value]) -> Result<Option<T>, StoreError> {
        Ok(self.all(sql, values).await?.into_iter().next())
    }

    /// Runs a statement and gives the number of rows it changed.
    ///
    /// # Errors
    /// When the database does not answer, or the change contradicts a rule of the schema.
    pub async fn execute(&self, sql: &str, values: &[Value]) -> Result<u64, StoreError> {
        let _timer = Timer::of(sql);
        match self {
            Self::SqliteRead(_) | Self::PostgresRead(_) => Err(StoreError::Failed("a write outside a transaction".into())),
            Self::SqliteWrite(connection, _) => sqlite::execute(&sqlite::lock(connection), sql, values),
            Self::PostgresWrite(client, _) => postgres::execute(*client, sql, values).await,
        }
    }

    /// Runs several statements without parameters, as a migration has.
    pub(super) async fn batch(&self, sql: &str) -> Result<(), StoreError> {
        match self {
            Self::SqliteRead(_) | Self::PostgresRead(_) => Err(StoreError::Failed("a write outside a transaction".into())),
            Self::SqliteWrite(connection, _) => Ok(sqlite::lock(connection).execute_batch(sql)?),
            Self::PostgresWrite(client, _) => Ok(client.batch_execute(sql).await?),
        }
    }

    /// Writes what the transaction gathered. Its last statements: what they lock is locked briefly.
    /// Gives what to count once it is committed.
    async fn flush(&self) -> Result<Tally, StoreError> {
        for statement in self.last_statements() {
            self.execute(&statement.sql, &statement.values).await?;
        }
        Ok(self.tally())
    }

    /// The last statements, in the order in which they are to lock what they lock.
    fn last_statements(&self) -> Vec<Statement> {
        let Some(pending) = self.pending() else { return Vec::new() };
        let mut statements = std::mem::take(&mut *lock(&pending.last));
        statements.extend(counts::statements(pending));
        statements.extend(changes::statements(pending));
        statements
    }

    /// What to count once the transaction is committed.
    fn tally(&self) -> Tally {
        self.pending().map(|pending| std::mem::take(&mut *lock(&pending.tally))).unwrap_or_default()
    }

    /// Leaves statements to the transaction's end, where nothing in it needs what they do.
    fn run_last(&self, statements: Vec<Statement>) {
        if let Some(pending) = self.pending() {
            lock(&pending.last).extend(statements);
        }
    }

    /// Prepares statements that are to be sent one behind the other: one that is prepared only then would
    /// be sent after the next.
    async fn prepare(&self, statements: &[&str]) -> Result<(), StoreError> {
        if let Self::PostgresWrite(client, _) = self {
            for sql in statements {
                postgres::prepare(client, sql).await?;
            }
        }
        Ok(())
    }

    /// Notes that this transaction begins sessions.
    fn note_created(&self, sessions: usize) {
        if let Some(pending) = self.pending() {
            lock(&pending.tally).created += u64::try_from(sessions).unwrap_or(0);
        }
    }

    /// Notes that this transaction ends sessions.
    fn note_ended(&self, reason: &'static str, sessions: usize) {
        if let Some(pending) = self.pending()
            && sessions > 0
        {
            *lock(&pending.tally).ended.entry(reason).or_default() += u64::try_from(sessions).unwrap_or(0);
        }
    }

    /// Whether this is SQLite, for the few statements that must differ.
    pub(super) fn is_sqlite(&self) -> bool {
        matches!(self, Self::SqliteRead(_) | Self::SqliteWrite(..))
    }

    /// What locks the rows a statement selects, where more than one transaction writes at a time.
    pub(super) fn for_update(&self) -> &'static str {
        if self.is_sqlite() { "" } else { " FOR UPDATE" }
    }

    /// Sessions in memory; a transaction has none, since it sees what is not committed.
    fn index(&self) -> Option<&std::sync::Arc<index::SessionIndex>> {
        match self {
            Self::SqliteRead(sqlite) => Some(sqlite.index()),
            Self::PostgresRead(postgres) => Some(postgres.index()),
            Self::SqliteWrite(..) | Self::PostgresWrite(..) => None,
        }
    }

    fn pending(&self) -> Option<&Pending> {
        match self {
            Self::SqliteWrite(_, pending) | Self::PostgresWrite(_, pending) => Some(pending),
            Self::SqliteRead(_) | Self::PostgresRead(_) => None,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
