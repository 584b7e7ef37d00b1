//! Migrations: forward only, the same file names for both databases, applied at start under a lock.
//! `migrations/README.md` has the rules.

use crate::store::{Db, StoreError};
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

/// All migrations, oldest first. Append only: a released one never changes (migrations/README.md).
#[must_use]
pub fn migrations() -> &'static [Migration] {
    const ALL: &[Migration] = &[
        migration!("0001_init"),
        migration!("0002_people"),
        migration!("0003_tokens_events"),
        migration!("0004_applications"),
        migration!("0005_guard"),
        migration!("0006_auditors"),
        migration!("0007_lists"),
        migration!("0008_account"),
        migration!("0009_list_speed"),
        migration!("0010_probes"),
        migration!("0011_watch"),
        migration!("0012_ends"),
        migration!("0013_source"),
        migration!("0014_signing_keys"),
        migration!("0015_ends_of_many"),
        migration!("0016_oidc"),
        migration!("0017_consents"),
        migration!("0018_logout_notices"),
        migration!("0019_client_secrets"),
        migration!("0020_token_numbers"),
        migration!("0021_device_codes"),
        migration!("0022_session_kinds"),
        migration!("0023_instances"),
        migration!("0024_source_clock"),
        migration!("0025_jwt_until"),
        migration!("0026_changes_of_users"),
    ];
    ALL
}

/// A migration of the builds before version 0.1.0. Their sixteen files became `0001_init`, so a database that has this
/// one has another schema under the same name.
const BEFORE_0_1_0: &str = "0002_session_changes";
/// The last commit that reads such a database.
const LAST_COMMIT_BEFORE_0_1_0: &str = "b8df6af";

/// The key of PostgreSQL's advisory lock that is held while a database is migrated.
const LOCK: i64 = 0x0526_f11c_a110;

/// Why this version cannot use a database that has these migrations, and which one can; `None`: it can.
#[must_use]
pub fn foreign_schema(applied: &[String]) -> Option<String> {
    if applied.iter().any(|name| name == BEFORE_0_1_0) {
        return Some(format!(
            "the database was made by a development build before version 0.1.0, and its schema cannot be upgraded: use the build \
             that made it (the last one is commit {LAST_COMMIT_BEFORE_0_1_0}), or start with an empty database"
        ));
    }
    let unknown = applied.iter().find(|name| migrations().iter().all(|known| known.name != name.as_str()))?;
    Some(format!(
        "the database has the migration {unknown}, which this Rollcall does not know: it was used by a newer version, use that one"
    ))
}

/// Keeps other processes from migrating, until the transaction ends.
///
/// # Errors
/// When the database does not answer.
pub(in crate::store) async fn lock(db: &Db<'_>) -> Result<(), StoreError> {
    if !db.is_sqlite() {
        // SQLite's writer holds the whole file; PostgreSQL needs to be told.
        db.execute("SELECT pg_advisory_xact_lock($1)", &values![LOCK]).await?;
    }
    Ok(())
}

/// Applies what is missing, inside a transaction, and gives the names.
///
/// # Errors
/// [`StoreError::Schema`] when the database is of another version.
pub(in crate::store) async fn apply(db: &Db<'_>) -> Result<Vec<&'static str>, StoreError> {
    apply_those(db, |_| true).await
}

/// Applies those of these names, inside a transaction.
///
/// # Errors
/// [`StoreError::Schema`] when the database is of another version, or there is no migration of such a name.
pub(in crate::store) async fn apply_named(db: &Db<'_>, names: &[String]) -> Result<(), StoreError> {
    if let Some(why) = foreign_schema(names) {
        return Err(StoreError::Schema(why));
    }
    apply_those(db, |migration| names.iter().any(|name| name == migration.name)).await.map(drop)
}

async fn apply_those(db: &Db<'_>, is_wanted: impl Fn(&Migration) -> bool) -> Result<Vec<&'static str>, StoreError> {
    lock(db).await?;
    db.batch("CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY)").await?;
    let applied: Vec<String> = db.all("SELECT name FROM migrations ORDER BY name", &[]).await?;
    if let Some(why) = foreign_schema(&applied) {
        return Err(StoreError::Schema(why));
    }
    let mut done = Vec::new();
    for migration in migrations().iter().filter(|m| is_wanted(m) && applied.iter().all(|name| name != m.name)) {
        db.batch(if db.is_sqlite() { migration.sqlite } else { migration.postgres }).await?;
        db.execute("INSERT INTO migrations (name) VALUES ($1)", &values![migration.name]).await?;
        done.push(migration.name);
    }
    Ok(done)
}

impl Db<'_> {
    /// Whether the database has Rollcall's tables, of whichever version.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn has_schema(&self) -> Result<bool, StoreError> {
        let sql = if self.is_sqlite() {
            "SELECT count(*) FROM sqlite_schema WHERE name = 'migrations'"
        } else {
            "SELECT count(*) FROM pg_tables WHERE tablename = 'migrations' AND schemaname = ANY (current_schemas(false))"
        };
        Ok(self.one::<i64>(sql, &[]).await?.unwrap_or(0) > 0)
    }

    /// The names of the migrations that the database has.
    ///
    /// # Errors
    /// [`StoreError::Failed`] when it has no schema yet; else when it does not answer.
    pub async fn applied_migrations(&self) -> Result<Vec<String>, StoreError> {
        self.all("SELECT name FROM migrations ORDER BY name", &[]).await
    }
}
