//! The one thread that writes: it runs what is waiting in one transaction, commits it, and answers.

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use rusqlite::Connection;
use rusqlite::hooks::Wal;

use super::{READER, connect, lock, start};
use crate::store::StoreError;

/// The most writes that share a commit.
const BATCH: usize = 256;
/// Bulk ends touch most pages of all indexes. What is deleted or overwritten is overwritten in the file, too.
const WRITER: &str = "PRAGMA cache_size = -16384; PRAGMA secure_delete = ON;";
/// From so many pages of 4 KB in the log on, another thread copies them into the file; nobody waits for it.
const COPY_AT: i32 = 1024;
/// From so many on, the writer copies what is left before it goes on, so that the log begins anew and does
/// not grow for as long as there are writes.
const RESTART_AT: i32 = 4096;

/// A write: run inside the transaction, it says whether to keep its changes, and how to answer once
/// the commit is through or has failed. Without a transaction it only answers why.
pub(super) type Work = Box<dyn FnOnce(Result<&Mutex<Connection>, String>) -> Option<Outcome> + Send>;

pub(super) struct Job {
    pub work: Work,
    pub kind: Kind,
}

pub(super) struct Outcome {
    pub keep: bool,
    pub answer: Box<dyn FnOnce(Result<(), String>) + Send>,
}

/// What a write needs of its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// To be on disk when it is answered.
    Durable,
    /// Not that: a loss of power in the next second may take it back, a crash of the process does not.
    Soon,
    /// A transaction of its own, on disk. With others it would need a savepoint, and SQLite keeps the
    /// former contents of every page that changes after one, in a list that each statement walks.
    Large,
}

impl Job {
    fn is_large(&self) -> bool {
        self.kind == Kind::Large
    }
}

pub(super) fn connect_writer(path: &Path, copier: &SyncSender<()>) -> Result<Connection, StoreError> {
    let mut connection = connect(path, WRITER)?;
    // Some twenty statements come in a dozen lengths.
    connection.set_prepared_statement_cache_capacity(256);
    let copier = copier.clone();
    // In place of SQLite's own rule, by which who commits the thousandth page copies all of them.
    connection.wal_hook(Some(move |log: &mut Wal, pages| {
        if pages >= RESTART_AT {
            // Where the other thread is at it, the next commit tries again.
            drop(log.checkpoint());
        } else if pages >= COPY_AT {
            // One that waits is enough.
            let _ = copier.try_send(());
        }
        Ok(())
    }))?;
    Ok(connection)
}

/// The thread that copies what is in the log into the file, each time it is told to. It ends with its
/// last sender.
pub(super) fn run_copier(path: &Path) -> Result<SyncSender<()>, StoreError> {
    let (sender, receiver) = sync_channel(1);
    let path = path.to_owned();
    start("rollcall-copier", move || {
        let mut connection = None;
        while receiver.recv().is_ok() {
            let opened = connection.take().map_or_else(|| connect(&path, READER), Ok);
            let copied = opened.and_then(|opened: Connection| {
                opened.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
                Ok(opened)
            });
            match copied {
                Ok(opened) => connection = Some(opened),
                // The writer copies all of it when it comes to that, or fails, too.
                Err(error) => tracing::warn!(%error, "the database's log cannot be copied"),
            }
        }
    })?;
    Ok(sender)
}

/// The writer thread: takes what is waiting, runs it in one transaction, commits, answers.
pub(super) fn run_writer(path: &Path, connection: Connection, jobs: &Receiver<Job>, copier: &SyncSender<()>) {
    let mut current = Some(Mutex::new(connection));
    // Taken from the queue, and not for the batch that was gathered then.
    let mut next = None;
    let mut flushes = true;
    while let Some(first) = next.take().or_else(|| jobs.recv().ok()) {
        if current.is_none() {
            current = connect_writer(path, copier).ok().map(Mutex::new);
            flushes = true;
        }
        let mut batch = vec![first];
        while batch.len() < BATCH && !batch.iter().any(Job::is_large) {
            match jobs.try_recv() {
                Ok(job) if job.is_large() => {
                    next = Some(job);
                    break;
                }
                Ok(job) => batch.push(job),
                Err(_) => break,
            }
        }
        let failed = match &current {
            Some(connection) => run_batch(connection, batch, &mut flushes).err(),
            None => {
                for job in batch {
                    drop((job.work)(Err("it cannot be opened".to_owned())));
                }
                None
            }
        };
        if let Some(reason) = failed {
            tracing::warn!(reason, "writing to the database failed");
            current = None;
        }
    }
}

/// Runs jobs in one transaction. One that fails by itself takes back its own changes; trouble with
/// the database fails all of them, and no further one is run. `flushes` says whether a commit of this connection
/// waits for the disk.
fn run_batch(connection: &Mutex<Connection>, jobs: Vec<Job>, flushes: &mut bool) -> Result<(), String> {
    let is_durable = jobs.iter().any(|job| job.kind != Kind::Soon);
    let mut failed = if is_durable == *flushes { None } else { set_flushing(connection, is_durable).err() };
    if failed.is_none() {
        *flushes = is_durable;
        failed = statement(connection, "BEGIN IMMEDIATE").err();
    }
    let mut answers = Vec::new();
    for job in jobs {
        if let Some(reason) = &failed {
            drop((job.work)(Err(reason.clone())));
            continue;
        }
        if !job.is_large()
            && let Err(reason) = statement(connection, "SAVEPOINT job")
        {
            drop((job.work)(Err(reason.clone())));
            failed = Some(reason);
            continue;
        }
        let is_large = job.is_large();
        // One that panics is our mistake, and no reason to stop writing for good.
        let Ok(outcome) = std::panic::catch_unwind(AssertUnwindSafe(|| (job.work)(Ok(connection)))) else {
            failed = Some("a write panicked".to_owned());
            continue;
        };
        let Some(outcome) = outcome else { continue };
        answers.push(outcome.answer);
        // A full disk makes SQLite roll the whole transaction back by itself.
        if lock(connection).is_autocommit() {
            failed = Some("the transaction was rolled back: the disk may be full".to_owned());
        } else if is_large {
            if !outcome.keep {
                failed = statement(connection, "ROLLBACK").and_then(|()| statement(connection, "BEGIN IMMEDIATE")).err();
            }
        } else if outcome.keep {
            failed = statement(connection, "RELEASE job").err();
        } else {
            failed = statement(connection, "ROLLBACK TO job").and_then(|()| statement(connection, "RELEASE job")).err();
        }
    }
    let result = match failed {
        None => statement(connection, "COMMIT"),
        Some(reason) => Err(reason),
    };
    if result.is_err() && !lock(connection).is_autocommit() {
        drop(statement(connection, "ROLLBACK"));
    }
    for answer in answers {
        answer(result.clone());
    }
    result
}

/// Says whether commits wait for the disk. Without, the log is in the hands of the operating system, in order: what
/// waits for the disk later takes what came before it along.
fn set_flushing(connection: &Mutex<Connection>, flushes: bool) -> Result<(), String> {
    // It takes effect as it is prepared: not one to keep.
    let sql = if flushes { "PRAGMA synchronous = FULL" } else { "PRAGMA synchronous = NORMAL" };
    lock(connection).execute_batch(sql).map_err(|error| error.to_string())
}

fn statement(connection: &Mutex<Connection>, sql: &str) -> Result<(), String> {
    let connection = lock(connection);
    let mut statement = connection.prepare_cached(sql).map_err(|error| error.to_string())?;
    statement.raw_execute().map(drop).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::tests::file;
    use super::*;

    /// Writes some pages of 4 KB, ten at a time.
    fn fill(connection: &Connection, pages: usize) {
        for _ in 0..pages / 10 {
            connection.execute("INSERT INTO pages VALUES (randomblob(40960))", []).unwrap();
        }
    }

    fn size(path: &Path) -> u64 {
        std::fs::metadata(path).unwrap().len()
    }

    /// How a commit of this connection waits for the disk, in SQLite's words.
    fn synchronous(connection: &Mutex<Connection>) -> i64 {
        lock(connection).query_row("PRAGMA synchronous", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn only_what_may_be_taken_back_waits_for_no_disk() {
        let (_folder, path) = file();
        let (copier, _told) = sync_channel(1);
        let connection = Mutex::new(connect_writer(&path, &copier).unwrap());
        lock(&connection).execute_batch("CREATE TABLE kinds (seen INTEGER)").unwrap();
        let (seen, saw) = std::sync::mpsc::channel();
        let job = |kind| {
            let seen = seen.clone();
            let work: Work = Box::new(move |connection| {
                seen.send(synchronous(connection.unwrap())).unwrap();
                Some(Outcome { keep: true, answer: Box::new(|committed| committed.unwrap()) })
            });
            Job { work, kind }
        };
        let mut flushes = true;
        let (full, normal) = (2, 1);
        for (kinds, expected) in [
            (vec![Kind::Durable], full),
            (vec![Kind::Soon, Kind::Soon], normal),
            (vec![Kind::Soon], normal),
            (vec![Kind::Soon, Kind::Durable, Kind::Soon], full),
            (vec![Kind::Soon], normal),
            (vec![Kind::Large], full),
        ] {
            let count = kinds.len();
            run_batch(&connection, kinds.into_iter().map(job).collect(), &mut flushes).unwrap();
            assert_eq!(saw.try_iter().collect::<Vec<_>>(), vec![expected; count]);
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "nothing tells when the other thread is done")]
    fn the_log_is_copied_beside_the_writer_and_begins_anew() {
        let (_folder, path) = file();
        let copier = run_copier(&path).unwrap();
        let connection = connect_writer(&path, &copier).unwrap();
        connection.execute_batch("CREATE TABLE pages (bytes BLOB)").unwrap();
        // More than makes the other thread begin, and less than makes the writer do it.
        let pages = usize::try_from(2 * COPY_AT).unwrap();
        fill(&connection, pages);
        let began = std::time::Instant::now();
        while size(&path) < 4096 * 1024 {
            assert!(began.elapsed() < Duration::from_secs(60), "nobody copied the log");
            std::thread::sleep(Duration::from_millis(10));
        }
        fill(&connection, 10 * pages);
        let (log, most) = (size(&path.with_extension("db-wal")), 4 * 4096 * u64::try_from(RESTART_AT).unwrap());
        assert!(log < most, "{log} bytes of log");
        let kept: i64 = connection.query_row("SELECT count(*) FROM pages", [], |row| row.get(0)).unwrap();
        assert_eq!(usize::try_from(kept).unwrap(), pages / 10 + pages);
    }
}
