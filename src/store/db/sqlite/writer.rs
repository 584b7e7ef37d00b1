//! The one thread that writes: it runs what is waiting in one transaction, commits it, and goes on; who is to be
//! answered when it is on disk, is answered by another.

use std::fs::File;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};

use rusqlite::Connection;

use crate::store::StoreError;
use crate::store::db::sqlite::wal::{Answer, Log, tell};
use crate::store::db::sqlite::{connect, lock};

/// The most writes that share a commit.
const BATCH: usize = 256;
/// Commits leave the log in the hands of the operating system, in order: [`Log`] has it on disk. Bulk ends touch most
/// pages of all indexes. What is deleted or overwritten is overwritten in the file, too.
const WRITER: &str = "PRAGMA synchronous = NORMAL; PRAGMA cache_size = -16384; PRAGMA secure_delete = ON;";

/// A write: run inside the transaction, it says whether to keep its changes, and how to answer once
/// the commit is through or has failed. Without a transaction it only answers why.
pub(in crate::store) type Work = Box<dyn FnOnce(Result<&Mutex<Connection>, String>) -> Option<Outcome> + Send>;

pub(in crate::store) struct Job {
    pub work: Work,
    pub kind: Kind,
}

pub(in crate::store) struct Outcome {
    pub keep: bool,
    pub answer: Answer,
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

/// The connection that writes.
pub(in crate::store) struct Writer {
    connection: Mutex<Connection>,
    log: Log,
    /// The log's file.
    file: Arc<File>,
}

impl Writer {
    pub(in crate::store) fn connect(path: &Path, log: Log) -> Result<Self, StoreError> {
        let mut connection = connect(path, WRITER)?;
        // Some twenty statements come in a dozen lengths.
        connection.set_prepared_statement_cache_capacity(256);
        let file = log.follow(&mut connection)?;
        Ok(Self { connection: Mutex::new(connection), log, file })
    }

    /// Runs jobs in one transaction. One that fails by itself takes back its own changes; trouble with the database
    /// fails all of them, and no further one is run. Those that are to be on disk are answered when they are.
    fn run(&self, jobs: Vec<Job>) -> Result<(), String> {
        let (mut answers, ran) = run_jobs(&self.connection, jobs);
        let result = ran.and_then(|()| statement(&self.connection, "COMMIT"));
        if result.is_err() && !lock(&self.connection).is_autocommit() {
            drop(statement(&self.connection, "ROLLBACK"));
        }
        let durable: Vec<_> = answers.extract_if(.., |(kind, _)| *kind != Kind::Soon).map(|(_, answer)| answer).collect();
        tell(answers.into_iter().map(|(_, answer)| answer), &result);
        if result.is_ok() && !durable.is_empty() {
            return self.log.flush(&self.file, durable);
        }
        tell(durable, &result);
        result
    }
}

/// The writer thread: takes what is waiting, runs it in one transaction, commits, and goes on.
pub(in crate::store) fn run_writer(path: &Path, writer: Writer, jobs: &Receiver<Job>) {
    let log = writer.log.clone();
    let mut current = Some(writer);
    // Taken from the queue, and not for the batch that was gathered then.
    let mut next = None;
    while let Some(first) = next.take().or_else(|| jobs.recv().ok()) {
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
        match current.take().map_or_else(|| reconnect(path, &log), Ok).and_then(mended) {
            Ok(writer) => match writer.run(batch) {
                Ok(()) => current = Some(writer),
                Err(reason) => {
                    tracing::warn!(reason, "writing to the database failed");
                    log.leave(&writer.file);
                }
            },
            Err(reason) => {
                tracing::warn!(reason, "writing to the database failed");
                for job in batch {
                    drop((job.work)(Err(reason.clone())));
                }
            }
        }
    }
}

/// A writer in place of one that met trouble.
fn reconnect(path: &Path, log: &Log) -> Result<Writer, String> {
    Writer::connect(path, log.clone()).map_err(|error| format!("it cannot be opened: {error}"))
}

fn mended(writer: Writer) -> Result<Writer, String> {
    writer.log.mend(&lock(&writer.connection), &writer.file)?;
    Ok(writer)
}

/// Runs jobs in a transaction, and leaves it open. Gives whom to answer, and how it went.
fn run_jobs(connection: &Mutex<Connection>, mut jobs: Vec<Job>) -> (Vec<(Kind, Answer)>, Result<(), String>) {
    let mut failed = statement(connection, "BEGIN IMMEDIATE").err();
    let mut answers = Vec::with_capacity(jobs.len());
    // Before the first there is nothing that its failure would have to leave: it needs no savepoint, which would keep
    // a copy of each page that it changes. What is to be on disk writes most.
    jobs.sort_by_key(|job| job.kind == Kind::Soon);
    for (place, Job { work, kind }) in jobs.into_iter().enumerate() {
        if let Some(reason) = &failed {
            drop(work(Err(reason.clone())));
            continue;
        }
        let has_savepoint = place > 0;
        if has_savepoint && let Err(reason) = statement(connection, "SAVEPOINT job") {
            drop(work(Err(reason.clone())));
            failed = Some(reason);
            continue;
        }
        // One that panics is our mistake, and no reason to stop writing for good.
        let Ok(outcome) = std::panic::catch_unwind(AssertUnwindSafe(|| work(Ok(connection)))) else {
            failed = Some("a write panicked".to_owned());
            continue;
        };
        let Some(outcome) = outcome else { continue };
        answers.push((kind, outcome.answer));
        // A full disk makes SQLite roll the whole transaction back by itself.
        if lock(connection).is_autocommit() {
            failed = Some("the transaction was rolled back: the disk may be full".to_owned());
            continue;
        }
        let ends: &[&str] = match (has_savepoint, outcome.keep) {
            (false, true) => &[],
            (false, false) => &["ROLLBACK", "BEGIN IMMEDIATE"],
            (true, true) => &["RELEASE job"],
            (true, false) => &["ROLLBACK TO job", "RELEASE job"],
        };
        failed = ends.iter().try_for_each(|sql| statement(connection, sql)).err();
    }
    (answers, failed.map_or(Ok(()), Err))
}

fn statement(connection: &Mutex<Connection>, sql: &str) -> Result<(), String> {
    let connection = lock(connection);
    let mut statement = connection.prepare_cached(sql).map_err(|error| error.to_string())?;
    statement.raw_execute().map(drop).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};
    use std::time::Duration;

    use super::*;
    use crate::store::db::sqlite::tests::file;

    type Told = (&'static str, bool);

    fn writer(path: &Path) -> Writer {
        let writer = Writer::connect(path, Log::start(path).unwrap()).unwrap();
        lock(&writer.connection).execute_batch("CREATE TABLE kept (name TEXT NOT NULL)").unwrap();
        writer
    }

    /// A write of this name, kept or not, which tells how it went.
    fn job(name: &'static str, kind: Kind, keep: bool, told: &Sender<Told>) -> Job {
        let told = told.clone();
        let work: Work = Box::new(move |connection| {
            let Ok(connection) = connection else {
                told.send((name, false)).unwrap();
                return None;
            };
            lock(connection).execute("INSERT INTO kept VALUES (?1)", [name]).unwrap();
            Some(Outcome { keep, answer: Box::new(move |committed| told.send((name, committed.is_ok())).unwrap()) })
        });
        Job { work, kind }
    }

    /// What some are told, by name.
    fn told(tells: &Receiver<Told>, count: usize) -> Vec<Told> {
        let mut all: Vec<_> = (0..count).map(|_| tells.recv_timeout(Duration::from_secs(60)).unwrap()).collect();
        all.sort_unstable();
        all
    }

    fn kept(path: &Path) -> Vec<String> {
        let connection = Connection::open(path).unwrap();
        let mut statement = connection.prepare("SELECT name FROM kept ORDER BY name").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    /// No disk is behind it, so bringing it there fails.
    fn no_disk() -> Arc<File> {
        Arc::new(File::options().read(true).write(true).open("/dev/null").unwrap())
    }

    #[test]
    fn each_of_a_batch_takes_back_its_own_changes_only() {
        let (_folder, path) = file();
        let writer = writer(&path);
        let (tell, tells) = channel();
        for (names, keep) in [(["a", "b", "c"], [true, false, true]), (["d", "e", "f"], [false, true, false])] {
            writer.run(names.into_iter().zip(keep).map(|(name, keep)| job(name, Kind::Durable, keep, &tell)).collect()).unwrap();
            assert_eq!(told(&tells, 3), names.map(|name| (name, true)));
        }
        writer.run(vec![job("g", Kind::Large, false, &tell)]).unwrap();
        writer.run(vec![job("h", Kind::Large, true, &tell)]).unwrap();
        assert_eq!(told(&tells, 2), [("g", true), ("h", true)]);
        assert_eq!(kept(&path), ["a", "c", "e", "h"]);
    }

    #[test]
    fn who_is_to_be_on_disk_is_not_told_so_before_it_is() {
        let (_folder, path) = file();
        let writer = Writer { file: no_disk(), ..writer(&path) };
        let (tell, tells) = channel();
        writer.run(vec![job("soon", Kind::Soon, true, &tell), job("durable", Kind::Durable, true, &tell)]).unwrap();
        assert_eq!(told(&tells, 2), [("durable", false), ("soon", true)]);
        // From then on, a flush that succeeds proves nothing.
        let (_other, other) = file();
        let writer = Writer { file: Arc::new(File::open(&other).unwrap()), ..writer };
        writer.run(vec![job("later", Kind::Large, true, &tell)]).unwrap();
        assert_eq!(told(&tells, 1), [("later", false)]);
    }

    #[test]
    fn after_a_flush_that_failed_the_log_is_written_once_more_before_all_else() {
        let (_folder, path) = file();
        let broken = Writer { file: no_disk(), ..writer(&path) };
        let (jobs, receiver) = channel();
        let (tell, tells) = channel();
        let file = path.clone();
        let thread = std::thread::spawn(move || run_writer(&file, broken, &receiver));
        let write = |name| {
            jobs.send(job(name, Kind::Durable, true, &tell)).unwrap();
            told(&tells, 1)
        };
        assert_eq!(write("a"), [("a", false)], "no disk");
        assert_eq!(write("b"), [("b", false)], "nor can it be written once more: nothing else is");
        assert_eq!(write("c"), [("c", true)], "it is opened anew, and mended");
        assert_eq!(write("d"), [("d", true)]);
        drop(jobs);
        thread.join().unwrap();
        assert_eq!(kept(&path), ["a", "c", "d"]);
    }

    #[test]
    fn the_log_of_a_file_behind_a_link_is_found() {
        use std::os::unix::fs::{MetadataExt, symlink};
        let ((_folder, path), (other, _)) = (file(), file());
        let link = other.path().join("link.db");
        symlink(&path, &link).unwrap();
        // Left over from another time.
        std::fs::write(other.path().join("link.db-wal"), "").unwrap();
        let writer = writer(&link);
        let log = std::fs::metadata(path.with_extension("db-wal")).unwrap();
        assert_eq!(writer.file.metadata().unwrap().ino(), log.ino());
        let (tell, tells) = channel();
        writer.run(vec![job("a", Kind::Durable, true, &tell)]).unwrap();
        assert_eq!(told(&tells, 1), [("a", true)]);
    }
}
