//! All SQL. One file a group of tables; each statement is written once, in what SQLite and
//! PostgreSQL share. Nothing above this module knows which of the two it talks to.

pub mod applications;
pub mod backup;
pub mod db;
pub mod error;
pub mod events;
pub mod guard;
pub mod lists;
pub mod oidc;
pub mod people;
pub mod sessions;
pub mod settings;
pub mod sign_in;
pub mod signing;
pub mod timeline;
pub mod watch;

pub use db::handle::{BoxFuture, Db};
pub use db::hold::{Held, Use};
pub use db::migrate::{Migration, foreign_schema, migrations};
pub use db::pending::{CountKey, Log};
pub use db::value::{FromRow, Row, Value};
pub use error::StoreError;
pub use lists::Listed;

use std::sync::{Arc, OnceLock};

use crate::config::{Location, Password, PoolConfig};
use crate::domain::Timestamp;
use crate::domain::source::SourceId;
use crate::store::applications::cache::ApplicationCache;
use crate::store::db::transactions::work_of;
use crate::store::db::{migrate, postgres, sqlite};
use crate::store::events::counts::EventCounts;
use crate::store::people::texts::UserTexts;
use crate::store::sessions::agent_texts::AgentTexts;
use crate::store::sessions::memory::SessionMemory;

/// The database, and what this process holds of it in memory. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    database: Database,
    memory: Arc<SessionMemory>,
    watched_memory: Arc<SessionMemory>,
    /// The key of the watched source, once it was read.
    source_key: Arc<OnceLock<SourceId>>,
    event_counts: Arc<EventCounts>,
    applications: Arc<ApplicationCache>,
    user_texts: Arc<UserTexts>,
    agent_texts: Arc<AgentTexts>,
}

#[derive(Clone)]
enum Database {
    /// SQLite, embedded.
    Sqlite(sqlite::Sqlite),
    /// PostgreSQL.
    Postgres(postgres::Postgres),
}

impl Store {
    /// Opens the database, creating a SQLite file that does not exist. `pool` is for PostgreSQL.
    /// Migrates nothing.
    ///
    /// # Errors
    /// When it cannot be opened or reached.
    pub async fn open(location: &Location, pool: &PoolConfig) -> Result<Self, StoreError> {
        let database = match location {
            Location::Sqlite(path) => Database::Sqlite(sqlite::Sqlite::open(path)?),
            Location::Postgres(url) => Database::Postgres(postgres::Postgres::open(url, pool).await?),
        };
        Ok(Self {
            database,
            memory: SessionMemory::new(Log::Own),
            watched_memory: SessionMemory::new(Log::Watched),
            source_key: Arc::default(),
            event_counts: Arc::default(),
            applications: Arc::default(),
            user_texts: Arc::default(),
            agent_texts: Arc::default(),
        })
    }

    /// The texts of users in memory.
    pub(in crate::store) fn user_texts(&self) -> &Arc<UserTexts> {
        &self.user_texts
    }

    /// The texts of user agents in memory.
    pub(in crate::store) fn agent_texts(&self) -> &Arc<AgentTexts> {
        &self.agent_texts
    }

    /// Takes the password of settings that were read again, for connections that are made from now on.
    /// `None`: that of the URL. SQLite has none.
    pub fn use_password(&self, password: Option<Password>) {
        if let Database::Postgres(postgres) = &self.database {
            postgres.password().replace(password);
        }
    }

    pub(in crate::store) fn event_counts(&self) -> &Arc<EventCounts> {
        &self.event_counts
    }

    pub(in crate::store) fn application_cache(&self) -> &Arc<ApplicationCache> {
        &self.applications
    }

    /// Brings the schema up to date, under a lock. Returns the names of the migrations it applied.
    ///
    /// # Errors
    /// When the database is of a newer Rollcall, or cannot be written.
    pub async fn migrate(&self) -> Result<Vec<&'static str>, StoreError> {
        let applied = self.write(|db| Box::pin(migrate::apply(db))).await?;
        self.fill_new_columns().await?;
        Ok(applied)
    }

    /// Whether the database has Rollcall's tables, of whichever version.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn has_schema(&self) -> Result<bool, StoreError> {
        self.read().has_schema().await
    }

    /// The names of the migrations that the database has.
    ///
    /// # Errors
    /// [`StoreError::Failed`] when it has no schema yet; else when it does not answer.
    pub async fn applied_migrations(&self) -> Result<Vec<String>, StoreError> {
        self.read().applied_migrations().await
    }

    /// Holds sessions in memory for searches and far pages, up to `limit` sessions; 0: never. For a process
    /// that answers many questions: to read them takes as long as some searches.
    pub fn use_index(&self, limit: i64) {
        self.memory.allow(limit);
        self.watched_memory.allow(limit);
    }

    /// Starts to read sessions into memory if there are many, so that the first question that needs
    /// them waits less. Called when the server is ready.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn warm_up(&self) -> Result<(), StoreError> {
        self.memory.warm_up(&self.read()).await
    }

    /// Drops the sessions in memory if no question needed them for some time.
    pub fn rest(&self) {
        self.memory.rest();
        self.watched_memory.rest();
    }

    /// Copies the WAL into the database file and empties it, so that overwritten data is left in
    /// neither. Returns whether that was possible: a read of an older state prevents it. PostgreSQL
    /// recycles its WAL by itself.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn shorten_log(&self) -> Result<bool, StoreError> {
        match &self.database {
            Database::Sqlite(sqlite) => sqlite.shorten_log().await,
            Database::Postgres(_) => Ok(true),
        }
    }

    /// Whether Rollcall's own sessions are held in memory now.
    #[must_use]
    pub fn is_index_filled(&self) -> bool {
        self.memory.is_filled()
    }

    /// Whether the sessions of a watched source are.
    #[must_use]
    pub fn is_watched_index_filled(&self) -> bool {
        self.watched_memory.is_filled()
    }

    /// The use of the database's queues and connections, by pool and state.
    #[must_use]
    pub fn pool_use(&self) -> Vec<((&'static str, &'static str), usize)> {
        match &self.database {
            Database::Sqlite(sqlite) => sqlite.pool_use(),
            Database::Postgres(postgres) => postgres.pool_use(),
        }
    }

    /// The sessions in memory.
    pub(in crate::store) fn memory(&self) -> &Arc<SessionMemory> {
        &self.memory
    }

    /// The sessions of the copy of a watched source, in memory.
    pub(in crate::store) fn watched_memory(&self) -> &Arc<SessionMemory> {
        &self.watched_memory
    }

    /// The key of the watched source, once it was read.
    pub(in crate::store) fn source_key(&self) -> &OnceLock<SourceId> {
        &self.source_key
    }

    /// How many large writes may run at the same time: more would take no less time, or leave too
    /// little room for others. SQLite has one writer.
    #[must_use]
    pub fn writers(&self) -> usize {
        match &self.database {
            Database::Sqlite(_) => 1,
            Database::Postgres(_) => 2,
        }
    }

    /// Short reads. On SQLite they run on the calling thread: keep them short.
    #[must_use]
    pub fn read(&self) -> Db<'_> {
        match &self.database {
            Database::Sqlite(sqlite) => Db::SqliteRead(sqlite),
            Database::Postgres(postgres) => Db::PostgresRead(postgres),
        }
    }

    /// Long reads, such as searches: on SQLite they run on few threads of their own, so that they
    /// never hold up short ones. Their queue is bounded.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when the queue is full; any error of `work`.
    pub async fn long_read<R, E, F>(&self, work: F) -> Result<R, E>
    where
        F: for<'t> FnOnce(&'t Db<'t>) -> BoxFuture<'t, Result<R, E>> + Send + 'static,
        R: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (work, given) = work_of(work);
        given.after(match &self.database {
            Database::Sqlite(sqlite) => sqlite.long_read(work).await,
            Database::Postgres(postgres) => postgres.long_read(work).await,
        })
    }

    /// Runs `work` in a transaction and commits it when it returns `Ok`. When this returns, the
    /// changes survive a crash and a power loss.
    ///
    /// # Errors
    /// Any error of `work`; [`StoreError::Unavailable`] when the commit fails. The changes may be
    /// done all the same when PostgreSQL's connection is lost during the commit, or when a file of
    /// SQLite is found missing or replaced after the fsync. When the fsync itself fails, this does
    /// not return: the process exits (`db/sqlite/wal.rs`).
    pub async fn write<R, E, F>(&self, work: F) -> Result<R, E>
    where
        F: for<'t> FnOnce(&'t Db<'t>) -> BoxFuture<'t, Result<R, E>> + Send + 'static,
        R: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (work, given) = work_of(work);
        given.after(match &self.database {
            Database::Sqlite(sqlite) => sqlite.write(work, sqlite::Kind::Durable).await,
            Database::Postgres(postgres) => Box::pin(postgres.write(work)).await,
        })
    }

    /// Runs statements whose effect a power loss within about a second may undo: guesses. SQLite's
    /// WAL is fsynced each second if they wrote to it. On PostgreSQL they run without a transaction
    /// and without `synchronous_commit`: each locks its rows only while it runs, not until they are
    /// on disk, which takes up to three times `wal_writer_delay` (200 ms), and a crash of PostgreSQL
    /// may undo them, too. Every reader sees the changes at once.
    ///
    /// # Errors
    /// As for [`Store::write`].
    pub async fn write_soon<R, E, F>(&self, work: F) -> Result<R, E>
    where
        F: for<'t> FnOnce(&'t Db<'t>) -> BoxFuture<'t, Result<R, E>> + Send + 'static,
        R: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (work, given) = work_of(work);
        given.after(match &self.database {
            Database::Sqlite(sqlite) => sqlite.write(work, sqlite::Kind::Soon).await,
            Database::Postgres(postgres) => Box::pin(postgres.write_soon(work)).await,
        })
    }

    /// As [`Store::write`], for a write that changes very many rows: on SQLite its transaction
    /// holds no other write.
    ///
    /// # Errors
    /// As for [`Store::write`].
    pub async fn write_much<R, E, F>(&self, work: F) -> Result<R, E>
    where
        F: for<'t> FnOnce(&'t Db<'t>) -> BoxFuture<'t, Result<R, E>> + Send + 'static,
        R: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (work, given) = work_of(work);
        given.after(match &self.database {
            Database::Sqlite(sqlite) => sqlite.write(work, sqlite::Kind::Large).await,
            Database::Postgres(postgres) => Box::pin(postgres.write(work)).await,
        })
    }

    /// Announces that this process writes very much: SQLite's writer then has a larger page cache
    /// for as long as the process lives.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn expect_many_writes(&self) -> Result<(), StoreError> {
        if matches!(self.database, Database::Postgres(_)) {
            return Ok(());
        }
        self.write(|db| Box::pin(async move { db.batch("PRAGMA cache_size = -786432").await })).await
    }

    /// The time of the database's own clock: PostgreSQL's, which all nodes share. `None` for
    /// SQLite, which has no clock of its own.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn now(&self) -> Result<Option<Timestamp>, StoreError> {
        match &self.database {
            Database::Sqlite(_) => Ok(None),
            Database::Postgres(_) => {
                let sql = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)";
                Ok(self.read().one::<i64>(sql, &[]).await?.map(Timestamp))
            }
        }
    }

    /// Whether the database answers. On PostgreSQL also whether it takes writes, on SQLite whether
    /// its files are where they were.
    ///
    /// # Errors
    /// When one of that is not so.
    pub async fn ping(&self) -> Result<(), StoreError> {
        match &self.database {
            Database::Sqlite(sqlite) => sqlite.look_at_files()?,
            Database::Postgres(postgres) => postgres.ping().await?,
        }
        self.read().one::<i64>("SELECT count(*) FROM settings WHERE name = 'ping'", &[]).await.map(drop)
    }

    /// The kind of database: `sqlite` or `postgres`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match &self.database {
            Database::Sqlite(_) => "sqlite",
            Database::Postgres(_) => "postgres",
        }
    }

    /// `SQLite 3.50.0` or `PostgreSQL 15.1`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn describe(&self) -> Result<String, StoreError> {
        let (name, sql) = match &self.database {
            Database::Sqlite(_) => ("SQLite", "SELECT sqlite_version()"),
            Database::Postgres(_) => ("PostgreSQL", "SELECT current_setting('server_version')"),
        };
        let version = self.read().one::<String>(sql, &[]).await?;
        Ok(format!("{name} {}", version.unwrap_or_default()))
    }
}
