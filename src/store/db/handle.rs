//! The handle that statements run on, alike on both databases.

use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;

use crate::store::db::pending::{self, Pending, Tally};
use crate::store::db::seen::SeenLog;
use crate::store::db::statements::{Statement, insert_statements};
use crate::store::db::value::{FromRow, Row, Value};
use crate::store::db::{postgres, sqlite};
use crate::store::error::StoreError;

/// A future in a box, as the closures of [`Store::write`](crate::store::Store::write) give.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

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

impl Db<'_> {
    /// All rows of a query.
    ///
    /// # Errors
    /// When the database does not answer or a row cannot be read.
    pub async fn all<T: FromRow>(&self, sql: &str, values: &[Value]) -> Result<Vec<T>, StoreError> {
        let mut all = Vec::new();
        let mut take = |row: &mut Row<'_>| {
            all.push(T::from_row(row)?);
            Ok(())
        };
        self.each(sql, values, &mut take).await?;
        Ok(all)
    }

    /// Gives each row of a query to `take`. It is compiled once for all kinds of rows.
    async fn each(&self, sql: &str, values: &[Value], take: &mut sqlite::TakeRow<'_>) -> Result<(), StoreError> {
        let _timer = Timer::of(sql);
        // Boxed: the future of a query to PostgreSQL is large, and would be part of every other future.
        let rows = match self {
            Self::SqliteRead(sqlite) => {
                return sqlite.with_reader(|connection| sqlite::each(connection, sql, values, take));
            }
            Self::SqliteWrite(connection, _) => return sqlite::each(&sqlite::lock(connection), sql, values, take),
            Self::PostgresRead(postgres) => Box::pin(postgres.rows(sql, values)).await?,
            Self::PostgresWrite(client, pending) => {
                Box::pin(postgres::rows(client, sql, values)).await.inspect_err(|error| pending.note(error))?
            }
        };
        rows.iter().try_for_each(|row| take(&mut Row::postgres(row)))
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
            Self::PostgresWrite(client, pending) => {
                Box::pin(postgres::execute(client, sql, values)).await.inspect_err(|error| pending.note(error))
            }
        }
    }

    /// Runs several statements without parameters, as a migration has.
    pub(in crate::store) async fn batch(&self, sql: &str) -> Result<(), StoreError> {
        match self {
            Self::SqliteRead(_) | Self::PostgresRead(_) => Err(StoreError::Failed("a write outside a transaction".into())),
            Self::SqliteWrite(connection, _) => Ok(sqlite::lock(connection).execute_batch(sql)?),
            Self::PostgresWrite(client, _) => Ok(client.batch_execute(sql).await?),
        }
    }

    /// Inserts many rows with few statements: `start` ends in `VALUES `, `end` follows the rows. All
    /// rows have equally many values.
    pub(in crate::store) async fn insert_rows(&self, start: &str, rows: Vec<Vec<Value>>, end: &str) -> Result<(), StoreError> {
        for Statement { sql, values } in insert_statements(start, &rows, end) {
            self.execute(&sql, &values).await?;
        }
        Ok(())
    }

    /// The same, and gives what the statements return: `end` holds a `RETURNING`.
    pub(in crate::store) async fn insert_rows_returning<T: FromRow>(
        &self,
        start: &str,
        rows: Vec<Vec<Value>>,
        end: &str,
    ) -> Result<Vec<T>, StoreError> {
        let mut returned = Vec::with_capacity(rows.len());
        for Statement { sql, values } in insert_statements(start, &rows, end) {
            returned.extend(self.all::<T>(&sql, &values).await?);
        }
        Ok(returned)
    }

    /// The last statements of the transaction: writes the gathered rows, so that their locks are
    /// held briefly. Returns what to count once it is committed.
    pub(in crate::store) async fn flush(&self) -> Result<Tally, StoreError> {
        for statement in self.last_statements() {
            self.execute(&statement.sql, &statement.values).await?;
        }
        Ok(self.tally())
    }

    /// The last statements, in the order in which their rows must be locked.
    pub(in crate::store) fn last_statements(&self) -> Vec<Statement> {
        let Some(pending) = self.pending() else { return Vec::new() };
        pending::last_statements(pending)
    }

    /// What to count once the transaction is committed.
    pub(in crate::store) fn tally(&self) -> Tally {
        self.pending().map(|pending| std::mem::take(&mut *lock(&pending.tally))).unwrap_or_default()
    }

    /// Defers statements to the transaction's end; no other statement of it may depend on them.
    pub(in crate::store) fn run_last(&self, statements: Vec<Statement>) {
        if let Some(pending) = self.pending() {
            lock(&pending.last).extend(statements);
        }
    }

    /// Prepares statements that are sent in one pipeline. A statement that is first prepared in the
    /// pipeline would be sent after the next one.
    pub(in crate::store) async fn prepare(&self, statements: &[&str]) -> Result<(), StoreError> {
        if let Self::PostgresWrite(client, _) = self {
            for sql in statements {
                postgres::prepare(client, sql).await?;
            }
        }
        Ok(())
    }

    /// Counts sessions that this transaction begins.
    pub(in crate::store) fn note_created(&self, sessions: usize) {
        if let Some(pending) = self.pending() {
            lock(&pending.tally).created += u64::try_from(sessions).unwrap_or(0);
        }
    }

    /// Counts sessions that this transaction ends.
    pub(in crate::store) fn note_ended(&self, reason: &'static str, sessions: usize) {
        if let Some(pending) = self.pending()
            && sessions > 0
        {
            *lock(&pending.tally).ended.entry(reason).or_default() += u64::try_from(sessions).unwrap_or(0);
        }
    }

    /// Whether this is SQLite, for the few statements that must differ.
    pub(in crate::store) fn is_sqlite(&self) -> bool {
        matches!(self, Self::SqliteRead(_) | Self::SqliteWrite(..))
    }

    /// The clause that locks the rows of a SELECT, on a database with concurrent writers.
    pub(in crate::store) fn for_update(&self) -> &'static str {
        if self.is_sqlite() { "" } else { " FOR UPDATE" }
    }

    /// The newest position of the change log that was read. A transaction has none: it sees changes
    /// that are not committed.
    pub(in crate::store) fn seen_log(&self) -> Option<&SeenLog> {
        match self {
            Self::SqliteRead(sqlite) => Some(sqlite.seen_log()),
            Self::PostgresRead(postgres) => Some(postgres.seen_log()),
            Self::SqliteWrite(..) | Self::PostgresWrite(..) => None,
        }
    }

    pub(in crate::store) fn pending(&self) -> Option<&Pending> {
        match self {
            Self::SqliteWrite(_, pending) | Self::PostgresWrite(_, pending) => Some(pending),
            Self::SqliteRead(_) | Self::PostgresRead(_) => None,
        }
    }
}

pub(in crate::store) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
