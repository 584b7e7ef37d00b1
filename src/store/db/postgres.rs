//! PostgreSQL 14 and later: a pool of connections, statements prepared once on each.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool_postgres::{
    ClientWrapper, GenericClient, Hook, HookError, Manager, ManagerConfig, Metrics, Object, Pool, PoolError, QueueMode,
    RecyclingMethod, Runtime, Status, Timeouts,
};
use futures_util::FutureExt as _;
use tokio_postgres::error::SqlState;

use crate::config::PoolConfig;
use crate::store::db::connect::{self, Target};
use crate::store::db::password::{CurrentPassword, WithPassword};
use crate::store::db::pending::SLOTS;
use crate::store::db::seen::SeenLog;
use crate::store::{StoreError, Value};

/// How long to wait for a connection before giving up.
const WAIT: Duration = Duration::from_secs(5);
/// How often to retry when PostgreSQL refuses a connection because there are too many.
const ASK_AGAIN: Duration = Duration::from_millis(25);
/// A connection that was idle for this long is tested before it is used.
const REST: Duration = Duration::from_secs(1);
/// How often connections that no request takes are looked at.
const SWEEP: Duration = Duration::from_secs(60);
/// The most long reads at the same time. Short reads use the other connections.
const LONG_READERS: usize = 4;
const LONG_READ_QUEUE: usize = 64;

/// A PostgreSQL database.
#[derive(Clone)]
pub struct Postgres {
    reads: Pool,
    writes: Pool,
    soon: Pool,
    long_reads: Arc<tokio::sync::Semaphore>,
    long_reads_waiting: Arc<tokio::sync::Semaphore>,
    slots: Arc<Slots>,
    doubt: Arc<Doubt>,
    seen_log: Arc<SeenLog>,
    password: CurrentPassword,
}

/// When connections were last found to be unusable: those that are older are not used again.
#[derive(Debug, Default)]
struct Doubt(Mutex<Option<Instant>>);

impl Doubt {
    fn since(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks all current connections as doubtful; at most once in `REST`, so that a read-only
    /// database does not cause new connections for each write.
    fn begin(&self) {
        let mut since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if since.is_none_or(|since| since.elapsed() >= REST) {
            *since = Some(Instant::now());
            tracing::warn!("the database lost its connections or became read-only: new connections are made");
        }
    }
}

impl Postgres {
    /// Connects, so that a wrong configuration is reported at the start. One connection of each
    /// kind is made at once and kept: on a database that allows few connections, reads must not
    /// take all of them from writes.
    pub(in crate::store) async fn open(url: &str, sizes: &PoolConfig) -> Result<Self, StoreError> {
        let Target { mut config, tls } = connect::target(url, sizes.root_certificate.as_deref())?;
        config.application_name("rollcall").connect_timeout(WAIT).tcp_user_timeout(Duration::from_secs(10));
        // Keepalives stop firewalls and proxies from dropping an idle connection, or show that it
        // is dead before it is used.
        config.keepalives_idle(Duration::from_secs(60)).keepalives_interval(Duration::from_secs(10)).keepalives_retries(3);
        // Set by a statement, not as a connection option: poolers may refuse options.
        let wait_for_no_disk = Hook::async_fn(|client: &mut ClientWrapper, _| {
            Box::pin(async move { client.batch_execute("SET synchronous_commit = off").await.map_err(HookError::Backend) })
        });
        let doubt = Arc::new(Doubt::default());
        let password = CurrentPassword::new(sizes.password.clone());
        // LIFO: the process behind the connection that was used last has statements planned, tables open and its part of
        // the buffers mapped. A read takes half the processor time there that it takes on each of six in turn.
        let pool = |size, must_write| {
            let manager = ManagerConfig { recycling_method: RecyclingMethod::Fast };
            let manager = Manager::from_connect(config.clone(), WithPassword::new(tls.clone(), password.clone()), manager);
            let timeouts = Timeouts { wait: Some(WAIT), create: Some(WAIT), recycle: Some(WAIT) };
            let pool =
                Pool::builder(manager).max_size(size).queue_mode(QueueMode::Lifo).runtime(Runtime::Tokio1).timeouts(timeouts);
            pool.pre_recycle(still_good(Arc::clone(&doubt), sizes.age, must_write))
        };
        let this = Self {
            reads: pool(sizes.reads, false).build().map_err(unusable)?,
            writes: pool(sizes.writes, true).build().map_err(unusable)?,
            soon: pool(sizes.quick_writes, true).post_create(wait_for_no_disk).build().map_err(unusable)?,
            long_reads: Arc::new(tokio::sync::Semaphore::new(LONG_READERS)),
            long_reads_waiting: Arc::new(tokio::sync::Semaphore::new(LONG_READ_QUEUE)),
            slots: Arc::new(Slots::new()),
            doubt,
            seen_log: Arc::default(),
            password,
        };
        for pool in [&this.reads, &this.writes, &this.soon] {
            this.close_old(pool, sizes.age);
        }
        let (read, write, soon) = tokio::try_join!(this.client(), take(&this.writes), take(&this.soon))?;
        connect::check([&read, &write, &soon]).await?;
        Ok(this)
    }

    /// Closes connections that are too old or in doubt, also those that no request takes, for as long as the pool is there.
    fn close_old(&self, pool: &Pool, age: Option<Duration>) {
        let (pool, doubt) = (pool.weak(), Arc::clone(&self.doubt));
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(SWEEP).await;
                let Some(pool) = pool.upgrade() else { return };
                drop(pool.retain(|_, metrics| !is_over(&doubt, age, metrics)));
            }
        });
    }

    /// What new connections use as the password.
    pub(in crate::store) fn password(&self) -> &CurrentPassword {
        &self.password
    }

    /// The newest position of the log of changes that was read.
    pub(in crate::store) fn seen_log(&self) -> &SeenLog {
        &self.seen_log
    }

    /// A connection for a read.
    pub(in crate::store) async fn client(&self) -> Result<Object, StoreError> {
        take(&self.reads).await
    }

    /// All rows of a query outside of a transaction. If its connection proves unusable, the query
    /// is retried on another one; it changes nothing.
    pub(in crate::store) async fn rows(&self, sql: &str, values: &[Value]) -> Result<Vec<tokio_postgres::Row>, StoreError> {
        let client = Lent::from(self.client().await?);
        let answered = rows(client.get()?, sql, values).await;
        let Some(client) = client.end().filter(|_| matches!(answered, Err(StoreError::Stale(_)))) else { return answered };
        self.throw_away(client);
        let client = Lent::from(self.client().await?);
        let answered = rows(client.get()?, sql, values).await;
        drop(client.end());
        answered
    }

    /// Whether the database answers, and takes writes.
    pub(in crate::store) async fn ping(&self) -> Result<(), StoreError> {
        let client = self.client().await?;
        let is_read_only = |answer: &str| answer == "on";
        if !is_read_only(&connect::ask(&client, READ_ONLY).await?) {
            return Ok(());
        }
        self.throw_away(client);
        let client = self.client().await?;
        if is_read_only(&connect::ask(&client, READ_ONLY).await?) {
            return Err(StoreError::Stale("it is read-only".into()));
        }
        Ok(())
    }

    /// Discards a connection; those that were made before it are discarded when the pool next looks
    /// at them.
    pub(in crate::store) fn throw_away(&self, client: Object) {
        drop(Object::take(client));
        self.doubt.begin();
    }

    /// Marks the connections that exist now to be tested before their next use.
    pub(in crate::store) fn doubt_connections(&self) {
        self.doubt.begin();
    }

    pub(in crate::store) fn pool_use(&self) -> Vec<((&'static str, &'static str), usize)> {
        let pools = [&self.reads, &self.writes, &self.soon].map(Pool::status);
        let sum = |count: fn(&Status) -> usize| pools.iter().map(count).sum();
        let free = self.long_reads_waiting.available_permits();
        vec![
            (("connections", "open"), sum(|status| status.size)),
            (("connections", "idle"), sum(|status| status.available)),
            (("connections", "awaited"), sum(|status| status.waiting)),
            (("long_reads", "admitted"), LONG_READ_QUEUE.saturating_sub(free)),
            (("long_reads", "running"), LONG_READERS.saturating_sub(self.long_reads.available_permits())),
        ]
    }

    /// Waits for a permit to run a long read, which is given back when dropped.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when the queue is full.
    pub(in crate::store) async fn long_read_turn(&self) -> Result<LongReadTurn, StoreError> {
        let place = Arc::clone(&self.long_reads_waiting).try_acquire_owned().map_err(|_| StoreError::Busy)?;
        let turn = Arc::clone(&self.long_reads).acquire_owned().await.map_err(|_| StoreError::Busy)?;
        drop(place);
        Ok(LongReadTurn { _turn: turn })
    }

    /// A connection whose commits do not wait for the disk (`synchronous_commit = off`).
    pub(in crate::store) async fn soon_writer(&self) -> Result<Object, StoreError> {
        take(&self.soon).await
    }

    /// A connection for a transaction, and the slot of the counters that it changes.
    pub(in crate::store) async fn writer(&self) -> Result<(Transaction, Slot<'_>), StoreError> {
        // There are more slots than writers.
        Ok((Transaction(Some(take(&self.writes).await?)), self.slots.take()))
    }
}

/// A permit to run a long read, given back when dropped.
pub(in crate::store) struct LongReadTurn {
    _turn: tokio::sync::OwnedSemaphorePermit,
}

/// A connection that runs statements outside of a transaction. If it is dropped before [`end`](Self::end), with the
/// future of a request whose client is gone, PostgreSQL still runs a statement on it: it returns to the pool after that,
/// so that no other request waits for it.
pub(in crate::store) struct Lent(Option<Object>);

impl From<Object> for Lent {
    fn from(client: Object) -> Self {
        Self(Some(client))
    }
}

impl Lent {
    /// The connection.
    ///
    /// # Errors
    /// [`StoreError::Failed`] without one; it is there until it is given back.
    pub(in crate::store) fn get(&self) -> Result<&Object, StoreError> {
        self.0.as_ref().ok_or(StoreError::Failed("no connection".into()))
    }

    /// The connection, once nothing runs on it.
    pub(in crate::store) fn end(mut self) -> Option<Object> {
        self.0.take()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(client) = self.0.take() else { return };
        match tokio::runtime::Handle::try_current() {
            // An empty query is answered after the statement before it. Its error is not looked at: the pool discards
            // closed connections.
            Ok(runtime) => drop(runtime.spawn(async move { drop(client.simple_query("").await) })),
            Err(_) => drop(Object::take(client)),
        }
    }
}

/// An open transaction. Its connection returns to the pool when it is over. If its future is
/// dropped, the connection is closed, since a statement may still run on it; the transaction ends
/// with it.
pub(in crate::store) struct Transaction(Option<Object>);

impl Transaction {
    /// Its connection.
    pub(in crate::store) fn client(&self) -> Result<&Object, StoreError> {
        self.0.as_ref().ok_or(StoreError::Failed("a transaction without a connection".into()))
    }

    /// After the commit.
    pub(in crate::store) fn end(mut self) {
        drop(self.0.take());
    }

    /// Rolls back, without waiting for it.
    pub(in crate::store) fn roll_back(mut self) {
        if let Some(client) = self.0.take() {
            // One poll sends it; the connection's next statement queues after it.
            drop(client.batch_execute("ROLLBACK").now_or_never());
        }
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        drop(self.0.take().map(Object::take));
    }
}

/// The slot of the counters that each writer of this process changes: two writers never share one
/// while there are enough.
struct Slots(Mutex<Vec<i64>>);

impl Slots {
    /// The slots in an order that starts at a random one: other processes start elsewhere.
    fn new() -> Self {
        let mut byte = [0; 1];
        // Without randomness all processes start with the same slot, which is slower and still
        // correct.
        let _ = getrandom::fill(&mut byte);
        Self(Mutex::new((0..SLOTS).map(|n| (n + i64::from(byte[0])) % SLOTS).collect()))
    }

    fn free(&self) -> std::sync::MutexGuard<'_, Vec<i64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The slot that was returned last: few writers then use few slots, which readers have to add
    /// up.
    fn take(&self) -> Slot<'_> {
        let free = self.free().pop();
        Slot { number: free.unwrap_or_default(), free, slots: self }
    }
}

/// A slot of the counters, given back when dropped.
pub(in crate::store) struct Slot<'a> {
    pub number: i64,
    /// `None` when all slots are in use, and this one is shared.
    free: Option<i64>,
    slots: &'a Slots,
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.slots.free().extend(self.free);
    }
}

/// Shows whether a connection is read-only: `on` for a standby, and where writes are switched off.
const READ_ONLY: &str = "SHOW transaction_read_only";

/// Whether a connection is too old, or was made before connections were found to be unusable.
fn is_over(doubt: &Doubt, age: Option<Duration>, metrics: Metrics) -> bool {
    doubt.since().is_some_and(|since| metrics.created < since) || age.is_some_and(|age| metrics.age() >= age)
}

/// Checks whether a pooled connection may be used again.
fn still_good(doubt: Arc<Doubt>, age: Option<Duration>, must_write: bool) -> Hook {
    Hook::async_fn(move |client: &mut ClientWrapper, metrics| {
        let is_over = is_over(&doubt, age, *metrics);
        let is_rested = metrics.last_used() >= REST;
        Box::pin(async move {
            if is_over {
                return Err(HookError::message("not to be used again"));
            }
            if !is_rested {
                return Ok(());
            }
            match connect::ask(client, READ_ONLY).await {
                Ok(answer) if must_write && answer == "on" => Err(HookError::message("read-only")),
                Ok(_) => Ok(()),
                Err(_) => Err(HookError::message("closed")),
            }
        })
    })
}

/// Takes a connection from a pool. While PostgreSQL refuses new ones because there are too many,
/// retries: the pool may have a free one by then, or another process may have closed one.
async fn take(pool: &Pool) -> Result<Object, StoreError> {
    let until = Instant::now() + WAIT;
    loop {
        match pool.get().await {
            Err(PoolError::Backend(error)) if error.code() == Some(&SqlState::TOO_MANY_CONNECTIONS) && Instant::now() < until => {
                tokio::time::sleep(ASK_AGAIN).await;
            }
            other => return Ok(other?),
        }
    }
}

fn unusable(error: deadpool_postgres::BuildError) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

fn parameters(values: &[Value]) -> Vec<&(dyn tokio_postgres::types::ToSql + Sync)> {
    values.iter().map(|value| value as &(dyn tokio_postgres::types::ToSql + Sync)).collect()
}

/// All rows of a query on this connection.
pub(in crate::store) async fn rows(client: &Object, sql: &str, values: &[Value]) -> Result<Vec<tokio_postgres::Row>, StoreError> {
    let statement = client.prepare_cached(sql).await?;
    Ok(client.query(&statement, &parameters(values)).await?)
}

pub(in crate::store) async fn prepare(client: &Object, sql: &str) -> Result<(), StoreError> {
    Ok(client.prepare_cached(sql).await.map(drop)?)
}

pub(in crate::store) async fn execute(client: &Object, sql: &str, values: &[Value]) -> Result<u64, StoreError> {
    let statement = client.prepare_cached(sql).await?;
    Ok(client.execute(&statement, &parameters(values)).await?)
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(cause) = error.as_db_error() else {
            return if error.is_closed()
                || std::error::Error::source(&error).is_some_and(<dyn std::error::Error>::is::<std::io::Error>)
            {
                Self::Stale(error.to_string())
            } else {
                Self::Failed(full(&error))
            };
        };
        match cause.code() {
            code if code.code().starts_with("23") => Self::Conflict(cause.message().to_owned()),
            code if code.code().starts_with("40") || *code == SqlState::LOCK_NOT_AVAILABLE => {
                Self::RolledBack(cause.message().to_owned())
            }
            // Connection trouble, the end of the server or of the connection (57P01 to 57P05), and read-only.
            code if ["08", "57P"].iter().any(|class| code.code().starts_with(class))
                || *code == SqlState::READ_ONLY_SQL_TRANSACTION =>
            {
                Self::Stale(cause.message().to_owned())
            }
            // Lack of resources, an operator's intervention, system errors.
            code if ["53", "57", "58"].iter().any(|class| code.code().starts_with(class)) => {
                Self::Unavailable(cause.message().to_owned())
            }
            _ => Self::Failed(format!("{} ({})", cause.message(), cause.code().code())),
        }
    }
}

/// An error with its causes: tokio-postgres shows only the outermost one.
pub(super) fn full(error: &dyn std::error::Error) -> String {
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
