//! PostgreSQL 14 and later: a pool of connections, statements prepared once on each.

use std::time::Duration;

use deadpool_postgres::{GenericClient, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime, Timeouts};
use tokio_postgres::error::SqlState;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::index::SessionIndex;
use super::{BoxFuture, Db, FromRow, Pending, Row, StoreError, Value};

/// The most connections of one process.
const POOL_SIZE: usize = 16;
/// How long to wait for a connection before giving up.
const WAIT: Duration = Duration::from_secs(5);
/// The most long reads at once. The others keep connections for short ones.
const LONG_READERS: usize = 4;
const LONG_READ_QUEUE: usize = 64;

/// A PostgreSQL database.
#[derive(Clone)]
pub struct Postgres {
    pool: Pool,
    long_reads: std::sync::Arc<tokio::sync::Semaphore>,
    long_reads_admitted: std::sync::Arc<tokio::sync::Semaphore>,
    index: std::sync::Arc<SessionIndex>,
}

impl Postgres {
    /// Connects once, to say early what is wrong with the URL.
    pub(super) async fn open(url: &str) -> Result<Self, StoreError> {
        let mut config: tokio_postgres::Config =
            url.parse().map_err(|error| StoreError::Unavailable(format!("the database URL cannot be read: {error}")))?;
        config.application_name("rollcall").connect_timeout(WAIT).tcp_user_timeout(Duration::from_secs(10));
        let tls = tls()?;
        let manager = Manager::from_config(config, tls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
        let pool = Pool::builder(manager)
            .max_size(POOL_SIZE)
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts { wait: Some(WAIT), create: Some(WAIT), recycle: Some(WAIT) })
            .build()
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let this = Self {
            pool,
            long_reads: std::sync::Arc::new(tokio::sync::Semaphore::new(LONG_READERS)),
            long_reads_admitted: std::sync::Arc::new(tokio::sync::Semaphore::new(LONG_READ_QUEUE)),
            index: SessionIndex::new(),
        };
        drop(this.client().await?);
        Ok(this)
    }

    pub(super) fn index(&self) -> &std::sync::Arc<SessionIndex> {
        &self.index
    }

    pub(super) async fn client(&self) -> Result<Object, StoreError> {
        Ok(self.pool.get().await?)
    }

    pub(super) fn pool_use(&self) -> Vec<((&'static str, &'static str), usize)> {
        let status = self.pool.status();
        let free = self.long_reads_admitted.available_permits();
        vec![
            (("connections", "open"), status.size),
            (("connections", "idle"), status.available),
            (("connections", "awaited"), status.waiting),
            (("long_reads", "admitted"), LONG_READ_QUEUE.saturating_sub(free)),
            (("long_reads", "running"), LONG_READERS.saturating_sub(self.long_reads.available_permits())),
        ]
    }

    pub(super) async fn long_read<R, E, F>(&self, work: F) -> Result<R, E>
    where
        F: for<'t> FnOnce(&'t Db<'t>) -> BoxFuture<'t, Result<R, E>> + Send,
        E: From<StoreError>,
    {
        let _place = self.long_reads_admitted.try_acquire().map_err(|_| StoreError::Busy)?;
        let _turn = self.long_reads.acquire().await.map_err(|_| StoreError::Busy)?;
        work(&Db::PostgresRead(self)).await
    }

    /// `is_durable`: answered when it is on disk, else when everybody sees it.
    pub(super) async fn write<R, E, F>(&self, work: F, is_durable: bool) -> Result<R, E>
    where
        F: for<'t> FnOnce(&'t Db<'t>) -> BoxFuture<'t, Result<R, E>> + Send,
        E: From<StoreError>,
    {
        let mut client = self.client().await?;
        let transaction = client.transaction().await.map_err(StoreError::from)?;
        let (value, tally) = {
            let db = Db::PostgresWrite(&transaction, Pending::default());
            // Sent together: neither needs the other's answer.
            let lightly = async {
                if !is_durable {
                    transaction.batch_execute("SET LOCAL synchronous_commit = off").await?;
                }
                Ok::<_, StoreError>(())
            };
            let (set, value) = tokio::join!(lightly, work(&db));
            set?;
            let value = value?;
            (value, db.flush().await?)
        };
        transaction.commit().await.map_err(StoreError::from)?;
        tally.count();
        Ok(value)
    }
}

/// TLS by rustls with the system's certificates; used when the URL's `sslmode` or the server asks.
fn tls() -> Result<MakeRustlsConnect, StoreError> {
    let mut roots = rustls::RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| StoreError::Unavailable(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn parameters(values: &[Value]) -> Vec<&(dyn tokio_postgres::types::ToSql + Sync)> {
    values.iter().map(|value| value as &(dyn tokio_postgres::types::ToSql + Sync)).collect()
}

pub(super) async fn all<T: FromRow>(client: &impl GenericClient, sql: &str, values: &[Value]) -> Result<Vec<T>, StoreError> {
    let statement = client.prepare_cached(sql).await?;
    let rows = client.query(&statement, &parameters(values)).await?;
    rows.iter().map(|row| T::from_row(&mut Row::postgres(row))).collect()
}

pub(super) async fn execute(client: &impl GenericClient, sql: &str, values: &[Value]) -> Result<u64, StoreError> {
    let statement = client.prepare_cached(sql).await?;
    Ok(client.execute(&statement, &parameters(values)).await?)
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(cause) = error.as_db_error() else {
            return if error.is_closed()
                || std::error::Error::source(&error).is_some_and(<dyn std::error::Error>::is::<std::io::Error>)
            {
                Self::Unavailable(error.to_string())
            } else {
                Self::Failed(full(&error))
            };
        };
        match cause.code() {
            code if code.code().starts_with("23") => Self::Conflict(cause.message().to_owned()),
            // Connection trouble, lack of resources, an operator's intervention, system errors,
            // read-only, and what a retry may cure.
            code if ["08", "53", "57", "58", "40"].iter().any(|class| code.code().starts_with(class))
                || *code == SqlState::READ_ONLY_SQL_TRANSACTION
                || *code == SqlState::LOCK_NOT_AVAILABLE =>
            {
                Self::Unavailable(cause.message().to_owned())
            }
            _ => Self::Failed(format!("{} ({})", cause.message(), cause.code().code())),
        }
    }
}

/// An error with its causes: tokio-postgres says only the outermost by itself.
fn full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

impl From<PoolError> for StoreError {
    fn from(error: PoolError) -> Self {
        Self::Unavailable(full(&error))
    }
}
