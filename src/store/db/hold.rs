//! Who uses a PostgreSQL database: servers share an advisory lock, a restore holds it alone. On SQLite a file next to
//! the database does the same (`cli/lock.rs`).

use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use crate::store::db::connect;
use crate::store::db::postgres::Postgres;
use crate::store::{Database, Store, StoreError};

/// The first key of the lock; the second one is the schema, since several instances may share a database.
const LOCK: i32 = 0x526f_6c6c;
/// How long to wait between two attempts.
const PAUSE: Duration = Duration::from_millis(200);
/// How often the connection that holds the lock is looked at. A lost one is replaced.
const LOOK: Duration = Duration::from_secs(5);

/// What a process does with the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// It serves: with others.
    Serve,
    /// It restores a backup: alone.
    Restore,
}

/// Holds the lock until it is dropped, or the process ends.
pub struct Held(JoinHandle<()>);

impl Drop for Held {
    fn drop(&mut self) {
        // The connection is dropped with the task, and the lock with the connection.
        self.0.abort();
    }
}

impl Store {
    /// Takes PostgreSQL's lock, and waits for at most `wait` for others to let go of it. `None` on SQLite.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] when others hold it for longer, and when the database does not answer.
    pub async fn hold(&self, purpose: Use, wait: Duration) -> Result<Option<Held>, StoreError> {
        let Database::Postgres(postgres) = &self.database else { return Ok(None) };
        let started = Instant::now();
        // Not of the pool any more: the lock is the connection's.
        let client = deadpool_postgres::Object::take(postgres.client().await?);
        while !take(&client, purpose).await? {
            if started.elapsed() >= wait {
                return Err(StoreError::Unusable(match purpose {
                    Use::Serve => "a backup is being restored into this database".into(),
                    Use::Restore => "a Rollcall serves this database".into(),
                }));
            }
            tokio::time::sleep(PAUSE).await;
        }
        let postgres = postgres.clone();
        Ok(Some(Held(tokio::spawn(keep(postgres, client, purpose)))))
    }
}

async fn take(client: &tokio_postgres::Client, purpose: Use) -> Result<bool, StoreError> {
    let function = match purpose {
        Use::Serve => "pg_try_advisory_lock_shared",
        Use::Restore => "pg_try_advisory_lock",
    };
    let sql = format!("SELECT {function}({LOCK}, hashtext(CAST(current_schema() AS TEXT)))");
    Ok(connect::ask(client, &sql).await? == "t")
}

/// Keeps the lock: where its connection is lost, another one takes it again.
async fn keep(postgres: Postgres, mut client: deadpool_postgres::ClientWrapper, purpose: Use) {
    let mut is_lost = false;
    loop {
        tokio::time::sleep(LOOK).await;
        if !is_lost && connect::ask(&client, "SELECT 1").await.is_ok() {
            continue;
        }
        is_lost = true;
        let Ok(object) = postgres.client().await else { continue };
        let next = deadpool_postgres::Object::take(object);
        match take(&next, purpose).await {
            Ok(true) => {
                client = next;
                is_lost = false;
            }
            Ok(false) => tracing::warn!("a backup is being restored into this database while this server runs: stop it"),
            Err(_) => {}
        }
    }
}
