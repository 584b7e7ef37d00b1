//! Migrations: forward only, the same file names for both databases, applied at start under a lock.

use crate::store::{Db, Store, StoreError};
use crate::values;

/// One step of the schema.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// The file's name without its ending, such as `0001_init`.
    pub name: &'static str,
    /// What SQLite runs.
    pub sqlite: &'static str,
    /// What PostgreSQL runs.
    pub postgres: &'static str,
}

macro_rules! migration {
    ($name:literal) => {
        Migration {
            name: $name,
            sqlite: include_str!(concat!("../../../migrations/sqlite/", $name, ".sql")),
            postgres: include_str!(concat!("../../../migrations/postgres/", $name, ".sql")),
        }
    };
}

/// All of them, oldest first. Append only: a released one never changes.
#[must_use]
pub fn migrations() -> &'static [Migration] {
    const ALL: &[Migration] = &[
        migration!("0001_init"),
        migration!("0002_session_changes"),
        migration!("0004_history"),
        migration!("0004_history_names"),
        migration!("0005_policies"),
        migration!("0007_event_indexes"),
        migration!("0008_fewer_indexes"),
        migration!("0009_factors"),
        migration!("0010_passkeys"),
        migration!("0011_guess_limits"),
        migration!("0012_proved_addresses"),
        migration!("0013_endings"),
        migration!("0014_revocations"),
        migration!("0015_revoked_lookups"),
        migration!("0016_guess_hours"),
        migration!("0017_newest_first"),
    ];
    ALL
}

/// An arbitrary number that every Rollcall locks while it migrates a PostgreSQL database.
const LOCK: i64 = 0x0526_f11c_a110;

pub(in crate::store) async fn apply(store: &Store) -> Result<Vec<&'static str>, StoreError> {
    store.write(|db| Box::pin(apply_in(db))).await
}

async fn apply_in(db: &Db<'_>) -> Result<Vec<&'static str>, StoreError> {
    if !db.is_sqlite() {
        // SQLite's writer holds the whole file; PostgreSQL needs to be told.
        db.execute("SELECT pg_advisory_xact_lock($1)", &values![LOCK]).await?;
    }
    db.batch("CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY)").await?;
    let applied: Vec<String> = db.all("SELECT name FROM migrations ORDER BY name", &[]).await?;
    if let Some(unknown) = applied.iter().find(|name| migrations().iter().all(|m| m.name != name.as_str())) {
        return Err(StoreError::Schema(format!(
            "the database has the migration {unknown}, which this Rollcall does not know: it was used by a newer one"
        )));
    }
    let mut done = Vec::new();
    for migration in migrations().iter().filter(|m| applied.iter().all(|name| name != m.name)) {
        db.batch(if db.is_sqlite() { migration.sqlite } else { migration.postgres }).await?;
        db.execute("INSERT INTO migrations (name) VALUES ($1)", &values![migration.name]).await?;
        done.push(migration.name);
    }
    Ok(done)
}

impl Store {
    /// Whether the database has Rollcall's tables, of whichever version.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn has_schema(&self) -> Result<bool, StoreError> {
        let db = self.read();
        let sql = if db.is_sqlite() {
            "SELECT count(*) FROM sqlite_schema WHERE name = 'migrations'"
        } else {
            "SELECT count(*) FROM pg_tables WHERE tablename = 'migrations' AND schemaname = ANY (current_schemas(false))"
        };
        Ok(db.one::<i64>(sql, &[]).await?.unwrap_or(0) > 0)
    }

    /// The names of the migrations that the database has.
    ///
    /// # Errors
    /// [`StoreError::Failed`] when it has no schema yet; else when it does not answer.
    pub async fn applied_migrations(&self) -> Result<Vec<String>, StoreError> {
        self.read().all("SELECT name FROM migrations ORDER BY name", &[]).await
    }
}
