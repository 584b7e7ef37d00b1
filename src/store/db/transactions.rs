//! Long reads and transactions: what runs closures over a [`Db`] on either database.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::task::Poll;

use deadpool_postgres::{GenericClient as _, Object};
use futures_util::future::try_join_all;
use tokio::sync::oneshot;

use crate::store::db::pending::{Pending, Tally};
use crate::store::db::postgres::Postgres;
use crate::store::db::sqlite::{Kind, Outcome, Sqlite, Work, run_now};
use crate::store::{BoxFuture, Db, StoreError};

/// The most statements that are sent in one pipeline with a commit.
const LAST: usize = 16;

impl Sqlite {
    /// Runs a long read on one of the threads for them, after those before it in the queue.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when the queue is full; any error of `work`.
    pub(in crate::store) async fn long_read<R, E, F>(&self, work: F) -> Result<R, E>
    where
        F: for<'t> FnOnce(&'t Db<'t>) -> BoxFuture<'t, Result<R, E>> + Send + 'static,
        R: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let this = self.clone();
        self.on_long_reader(move || run_now(work(&Db::SqliteRead(&this)))).await?
    }

    /// Runs `work` on the writer's thread, inside its transaction.
    ///
    /// # Errors
    /// Any error of `work`; [`StoreError::Unavailable`] when the commit fails.
    pub(in crate::store) async fn write<R, E, F>(&self, work: F, kind: Kind) -> Result<R, E>
    where
        F: for<'t> FnOnce(&'t Db<'t>) -> BoxFuture<'t, Result<R, E>> + Send + 'static,
        R: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let work: Work = Box::new(move |connection| {
            let connection = match connection {
                Ok(connection) => connection,
                Err(reason) => {
                    drop(answer.send(Err(StoreError::Unavailable(reason).into())));
                    return None;
                }
            };
            let db = Db::SqliteWrite(connection, Pending::default());
            let result = run_now(async {
                let value = work(&db).await?;
                Ok((value, db.flush().await?))
            });
            Some(Outcome {
                keep: result.is_ok(),
                answer: Box::new(move |committed| {
                    let result = result.and_then(|(value, tally)| match committed {
                        Ok(()) => {
                            tally.count();
                            Ok(value)
                        }
                        Err(why) => Err(StoreError::Unavailable(why).into()),
                    });
                    drop(answer.send(result));
                }),
            })
        });
        self.submit(work, kind, answered).await?
    }
}

impl Postgres {
    /// Runs a long read when it has a permit: the bound leaves connections to short reads. It runs
    /// in a task of its own, which holds the permit until the end, since PostgreSQL continues a
    /// statement whose client is gone.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when the queue is full; any error of `work`.
    pub(in crate::store) async fn long_read<R, E, F>(&self, work: F) -> Result<R, E>
    where
        F: for<'t> FnOnce(&'t Db<'t>) -> BoxFuture<'t, Result<R, E>> + Send + 'static,
        R: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let turn = self.long_read_turn().await?;
        let this = self.clone();
        let done = tokio::spawn(async move {
            let done = work(&Db::PostgresRead(&this)).await;
            drop(turn);
            done
        });
        done.await.map_err(|error| StoreError::Failed(error.to_string()))?
    }

    /// Runs statements without a transaction. They are acknowledged when every reader sees their
    /// changes, before these are on disk.
    ///
    /// # Errors
    /// Any error of `work`.
    pub(in crate::store) async fn write_soon<R, E, F>(&self, work: F) -> Result<R, E>
    where
        F: for<'t> FnOnce(&'t Db<'t>) -> BoxFuture<'t, Result<R, E>> + Send,
        E: From<StoreError>,
    {
        let client = self.soon_writer().await?;
        let db = Db::PostgresWrite(&client, Pending::default());
        let done = work(&db).await;
        let is_stale = db.pending().is_some_and(Pending::is_stale);
        drop(db);
        if is_stale {
            self.throw_away(client);
        }
        done
    }

    /// Runs `work` in a transaction.
    ///
    /// # Errors
    /// Any error of `work`, or of the commit.
    pub(in crate::store) async fn write<R, E, F>(&self, work: F) -> Result<R, E>
    where
        F: for<'t> FnOnce(&'t Db<'t>) -> BoxFuture<'t, Result<R, E>> + Send,
        E: From<StoreError>,
    {
        let (transaction, slot) = self.writer().await?;
        let client = transaction.client()?;
        let db = Db::PostgresWrite(client, Pending::in_slot(slot.number));
        // BEGIN and the first statement are sent in one pipeline, which saves a round trip.
        let (begun, done) = tokio::join!(biased; client.batch_execute("BEGIN"), async {
            let value = work(&db).await?;
            Ok::<_, E>((value, db.commit(client).await?))
        });
        let begun = begun.map_err(StoreError::from);
        let is_stale = matches!(begun, Err(StoreError::Stale(_))) || db.pending().is_some_and(Pending::is_stale);
        let done = begun.map_err(E::from).and(done);
        drop(db);
        let (value, tally) = match done {
            Ok(done) => done,
            Err(error) => {
                if is_stale {
                    self.doubt_connections();
                    // Dropping the transaction closes its connection.
                    drop(transaction);
                } else {
                    transaction.roll_back();
                }
                return Err(error);
            }
        };
        transaction.end();
        tally.count();
        Ok(value)
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
