//! Long reads and transactions: what runs closures over a [`Db`] on either database.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use deadpool_postgres::{GenericClient as _, Object};
use futures_util::future::try_join_all;
use tokio::sync::oneshot;

use crate::store::db::pending::{Pending, Tally};
use crate::store::db::postgres::{Lent, Postgres};
use crate::store::db::sqlite::{JobWork, Kind, Outcome, Sqlite, run_now};
use crate::store::{BoxFuture, Db, StoreError};

/// The most statements that are sent in one pipeline with a commit.
const LAST: usize = 16;

/// Work on a database, whatever it gives. It keeps that for itself, and tells whether its changes stay. There is one such
/// type, so the code around it is compiled once.
pub(in crate::store) type Work = Box<dyn for<'t> FnOnce(&'t Db<'t>) -> BoxFuture<'t, bool> + Send>;

/// Where work leaves what it gives.
pub(in crate::store) struct Given<R, E>(Arc<Mutex<Option<Result<R, E>>>>);

impl<R, E: From<StoreError>> Given<R, E> {
    /// What the work gave, once it was run.
    ///
    /// # Errors
    /// The error of what ran it, else that of the work.
    pub(in crate::store) fn after(self, ran: Result<(), StoreError>) -> Result<R, E> {
        ran?;
        let given = lock(&self.0).take();
        given.unwrap_or_else(|| Err(StoreError::Failed("the work of a transaction did not end".into()).into()))
    }
}

/// Work of one type as [`Work`], and where it leaves what it gives.
pub(in crate::store) fn work_of<R, E, F>(work: F) -> (Work, Given<R, E>)
where
    F: for<'t> FnOnce(&'t Db<'t>) -> BoxFuture<'t, Result<R, E>> + Send + 'static,
    R: Send + 'static,
    E: Send + 'static,
{
    let given = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&given);
    let work = boxed(move |db| {
        Box::pin(async move {
            let result = work(db).await;
            let stays = result.is_ok();
            *lock(&keep) = Some(result);
            stays
        })
    });
    (work, Given(given))
}

fn boxed(work: impl for<'t> FnOnce(&'t Db<'t>) -> BoxFuture<'t, bool> + Send + 'static) -> Work {
    Box::new(work)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sqlite {
    /// Runs a long read on one of the threads for them, after those before it in the queue.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when the queue is full.
    pub(in crate::store) async fn long_read(&self, work: Work) -> Result<(), StoreError> {
        let this = self.clone();
        let read = move || {
            let db = Db::SqliteRead(&this);
            run_now(async { Ok(work(&db).await) }).map(drop)
        };
        self.on_long_reader(read).await?
    }

    /// Runs `work` on the writer's thread, inside its transaction.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the commit fails.
    pub(in crate::store) async fn write(&self, work: Work, kind: Kind) -> Result<(), StoreError> {
        let (answer, answered) = oneshot::channel();
        let job: JobWork = Box::new(move |connection| {
            let connection = match connection {
                Ok(connection) => connection,
                Err(reason) => {
                    drop(answer.send(Err(StoreError::Unavailable(reason))));
                    return None;
                }
            };
            let db = Db::SqliteWrite(connection, Pending::default());
            let result = run_now(async { if work(&db).await { db.flush().await.map(Some) } else { Ok(None) } });
            Some(Outcome {
                keep: matches!(result, Ok(Some(_))),
                answer: Box::new(move |committed| {
                    let done = match (result, committed) {
                        (Ok(Some(tally)), Ok(())) => {
                            tally.count();
                            Ok(())
                        }
                        (Ok(Some(_)), Err(why)) => Err(StoreError::Unavailable(why)),
                        (Ok(None), _) => Ok(()),
                        (Err(error), _) => Err(error),
                    };
                    drop(answer.send(done));
                }),
            })
        });
        self.submit(job, kind, answered).await?
    }
}

impl Postgres {
    /// Runs a long read when it has a permit: the bound leaves connections to short reads. It runs
    /// in a task of its own, which holds the permit until the end, since PostgreSQL continues a
    /// statement whose client is gone.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when the queue is full.
    pub(in crate::store) async fn long_read(&self, work: Work) -> Result<(), StoreError> {
        let turn = self.long_read_turn().await?;
        let this = self.clone();
        let done = tokio::spawn(async move {
            work(&Db::PostgresRead(&this)).await;
            drop(turn);
        });
        done.await.map_err(|error| StoreError::Failed(error.to_string()))
    }

    /// Runs statements without a transaction. They are acknowledged when every reader sees their
    /// changes, before these are on disk.
    ///
    /// # Errors
    /// When there is no connection.
    pub(in crate::store) async fn write_soon(&self, work: Work) -> Result<(), StoreError> {
        let client = Lent::from(self.soon_writer().await?);
        let db = Db::PostgresWrite(client.get()?, Pending::default());
        work(&db).await;
        let is_stale = db.pending().is_some_and(Pending::is_stale);
        drop(db);
        if let Some(client) = client.end().filter(|_| is_stale) {
            self.throw_away(client);
        }
        Ok(())
    }

    /// Runs `work` in a transaction.
    ///
    /// # Errors
    /// Any error of the transaction's begin or commit.
    pub(in crate::store) async fn write(&self, work: Work) -> Result<(), StoreError> {
        let (transaction, slot) = self.writer().await?;
        let client = transaction.client()?;
        let db = Db::PostgresWrite(client, Pending::in_slot(slot.number));
        // BEGIN and the first statement are sent in one pipeline, which saves a round trip.
        let (begun, done) = tokio::join!(biased; client.batch_execute("BEGIN"), async {
            if work(&db).await { db.commit(client).await.map(Some) } else { Ok(None) }
        });
        let begun = begun.map_err(StoreError::from);
        let is_stale = matches!(begun, Err(StoreError::Stale(_))) || db.pending().is_some_and(Pending::is_stale);
        let done = begun.and(done);
        drop(db);
        if let Ok(Some(tally)) = done {
            transaction.end();
            tally.count();
            return Ok(());
        }
        if is_stale {
            self.doubt_connections();
            // Dropping the transaction closes its connection.
            drop(transaction);
        } else {
            transaction.roll_back();
        }
        done.map(drop)
    }
}

impl Db<'_> {
    /// Runs the last statements of a transaction and commits it, in one round trip.
    async fn commit(&self, client: &Object) -> Result<Tally, StoreError> {
        let mut last = self.last_statements();
        for statement in last.drain(..last.len().saturating_sub(LAST)) {
            self.execute(&statement.sql, &statement.values).await?;
        }
        self.prepare(&last.iter().map(|statement| statement.sql.as_str()).collect::<Vec<_>>()).await?;
        let mut statements = pin!(try_join_all(last.iter().map(|statement| self.execute(&statement.sql, &statement.values))));
        // Polling sends the statements, all of them unless one cannot be sent.
        if let Poll::Ready(ran) = poll_fn(|context| Poll::Ready(statements.as_mut().poll(context))).await {
            ran?;
            self.note_stale(client.batch_execute("COMMIT").await)?;
            return Ok(self.tally());
        }
        // If one of them fails from here on, PostgreSQL rolls back at COMMIT.
        let (ran, committed) = tokio::join!(biased; statements, client.batch_execute("COMMIT"));
        ran?;
        self.note_stale(committed)?;
        Ok(self.tally())
    }

    /// Notes what an error says of the transaction's connection.
    fn note_stale(&self, outcome: Result<(), tokio_postgres::Error>) -> Result<(), StoreError> {
        let outcome = outcome.map_err(StoreError::from);
        if let (Err(error), Some(pending)) = (&outcome, self.pending()) {
            pending.note(error);
        }
        outcome
    }
}
