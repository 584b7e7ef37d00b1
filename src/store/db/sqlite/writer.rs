//! The writer thread: it runs the writes that wait in one transaction, commits it, and goes on.
//! Durable writes are acknowledged by the flusher, once they are on disk.

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::Receiver;

use rusqlite::Connection;

use crate::store::StoreError;
use crate::store::db::sqlite::wal::{Answer, Wal, exit_if_unflushed, tell};
use crate::store::db::sqlite::{connect, lock};

/// The most writes in one transaction.
const BATCH: usize = 256;
/// With `NORMAL`, a commit appends to the WAL without an fsync: the flusher does that. SQLite still
/// fsyncs the WAL before it copies from it. The cache is large, since bulk ends touch most pages of
/// all indexes. `secure_delete` overwrites in the file what is deleted from a table.
const WRITER: &str = "PRAGMA synchronous = NORMAL; PRAGMA cache_size = -16384; PRAGMA secure_delete = ON;";

/// A write. It gets the connection, inside a transaction, and says whether to keep its changes and
/// how to answer. With `Err`, there is no transaction: it answers with the reason and returns
/// `None`.
pub(in crate::store) type JobWork = Box<dyn FnOnce(Result<&Mutex<Connection>, String>) -> Option<Outcome> + Send>;

/// A write in the queue.
pub(super) struct Job {
    pub work: JobWork,
    pub kind: Kind,
}

/// What a write did.
pub(in crate::store) struct Outcome {
    /// Whether its changes are committed; else they are rolled back.
    pub keep: bool,
    /// Called when the transaction is committed, or has failed.
    pub answer: Answer,
}

/// What a write needs of its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It is on disk before it is answered.
    Durable,
    /// It is answered after the commit. The flusher fsyncs it within a second or with the next
    /// durable write ([`Wal::flush_soon`]); until then a power loss may undo it. A crash of the
    /// process does not.
    Soon,
    /// Durable, in a transaction of its own. With others it would need a savepoint, and after one
    /// SQLite keeps the former contents of every changed page, in a list that each statement walks.
    Large,
}

impl Job {
    fn is_large(&self) -> bool {
        self.kind == Kind::Large
    }
}

/// The connection that writes.
pub(super) struct Writer {
    connection: Mutex<Connection>,
    wal: Wal,
}

impl Writer {
    /// Opens the connection.
    ///
    /// # Errors
    /// When the file does not exist or cannot be opened.
    pub(super) fn connect(path: &Path, wal: Wal) -> Result<Self, StoreError> {
        let mut connection = connect(path, WRITER)?;
        // Some twenty statements come in a dozen lengths.
        connection.set_prepared_statement_cache_capacity(256);
        wal.follow(&mut connection)?;
        Ok(Self { connection: Mutex::new(connection), wal })
    }

    /// Runs jobs in one transaction. A job that fails rolls back its own changes only. An error of
    /// the database fails all of them, and no further one is run. Durable writes are answered after
    /// the flush, the others here.
    ///
    /// # Errors
    /// When the database cannot be written. All jobs are told so.
    fn run(&self, jobs: Vec<Job>) -> Result<(), String> {
        let (mut answers, ran) = run_jobs(&self.connection, jobs);
        let result = ran.and_then(|()| statement(&self.connection, "COMMIT"));
        if result.is_err() && !lock(&self.connection).is_autocommit() {
            drop(statement(&self.connection, "ROLLBACK"));
        }
        let durable: Vec<_> = answers.extract_if(.., |(kind, _)| *kind != Kind::Soon).map(|(_, answer)| answer).collect();
        tell(answers.into_iter().map(|(_, answer)| answer), &result);
        match result {
            Ok(()) if durable.is_empty() => self.wal.flush_soon(),
            Ok(()) => return self.wal.flush(durable),
            Err(_) => tell(durable, &result),
        }
        result
    }
}

/// Runs the writer thread, until all senders of jobs are gone.
pub(super) fn run_writer(path: &Path, writer: Writer, jobs: &Receiver<Job>) {
    let wal = writer.wal.clone();
    let mut current = Some(writer);
    // A large job that ended the last batch.
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
        // Checked first: a new connection would open other files than the flusher and the readers
        // have.
        match wal.files().last_check().and_then(|()| current.take().map_or_else(|| reconnect(path, &wal), Ok)) {
            Ok(writer) => match writer.run(batch) {
                Ok(()) => current = Some(writer),
                Err(reason) => tracing::warn!(reason, "writing to the database failed"),
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

/// A new writer after an error of the database.
fn reconnect(path: &Path, wal: &Wal) -> Result<Writer, String> {
    wal.files().check()?;
    Writer::connect(path, wal.clone()).map_err(|error| format!("it cannot be opened: {error}"))
}

/// Runs jobs in a transaction, and leaves it open. Gives their answers with their kinds, and
/// whether the transaction can be committed.
fn run_jobs(connection: &Mutex<Connection>, mut jobs: Vec<Job>) -> (Vec<(Kind, Answer)>, Result<(), String>) {
    let mut failed = statement(connection, "BEGIN IMMEDIATE").err();
    let mut answers = Vec::with_capacity(jobs.len());
    // The first job needs no savepoint, which would keep a copy of each page that it changes:
    // nothing before it has to survive its failure. Durable writes go first, since they write most.
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
        // A panic in a job is a bug. It fails this transaction, and the thread goes on.
        let Ok(outcome) = std::panic::catch_unwind(AssertUnwindSafe(|| work(Ok(connection)))) else {
            failed = Some("a write panicked".to_owned());
            continue;
        };
        let Some(outcome) = outcome else { continue };
        answers.push((kind, outcome.answer));
        // On a full disk SQLite rolls back the whole transaction by itself.
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
    let done = connection.prepare_cached(sql).and_then(|mut statement| statement.raw_execute());
    done.map(drop).map_err(|error| {
        // A commit that restarts the WAL fsyncs its header.
        exit_if_unflushed(Path::new(connection.path().unwrap_or_default()), &error);
        error.to_string()
    })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel, sync_channel};
    use std::time::Duration;

    use super::*;
    use crate::store::db::sqlite::tests::file;

    type Told = (&'static str, bool);

    fn writer(path: &Path) -> Writer {
        let writer = Writer::connect(path, Wal::start(path).unwrap()).unwrap();
        lock(&writer.connection).execute_batch("CREATE TABLE kept (name TEXT NOT NULL)").unwrap();
        writer
    }

    /// A write of this name, kept or not, which tells its result.
    fn job(name: &'static str, kind: Kind, keep: bool, told: &Sender<Told>) -> Job {
        let told = told.clone();
        let work: JobWork = Box::new(move |connection| {
            let Ok(connection) = connection else {
                told.send((name, false)).unwrap();
                return None;
            };
            lock(connection).execute("INSERT INTO kept VALUES (?1)", [name]).unwrap();
            Some(Outcome { keep, answer: Box::new(move |committed| told.send((name, committed.is_ok())).unwrap()) })
        });
        Job { work, kind }
    }

    /// The next results, by name.
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

    #[test]
    fn each_job_of_a_batch_rolls_back_its_own_changes_only() {
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
    fn a_durable_write_is_answered_by_the_flusher_and_no_other() {
        let (_folder, path) = file();
        // A flusher that has not got to it yet.
        let (flusher, unflushed) = sync_channel(8);
        let writer = writer(&path);
        let writer = Writer { wal: writer.wal.clone().flushed_by(flusher), ..writer };
        let (tell, tells) = channel();
        let write = |name, kind| writer.run(vec![job("soon", Kind::Soon, true, &tell), job(name, kind, true, &tell)]);
        for (name, kind) in [("durable", Kind::Durable), ("large", Kind::Large)] {
            write(name, kind).unwrap();
            assert_eq!(told(&tells, 1), [("soon", true)], "committed");
            assert!(tells.try_recv().is_err(), "{name} is not on disk");
            super::tell(unflushed.recv().unwrap(), &Ok(()));
            assert_eq!(told(&tells, 1), [(name, true)]);
        }
        // Nor is it acknowledged without one.
        drop(unflushed);
        assert!(write("durable", Kind::Durable).is_err());
        assert_eq!(told(&tells, 2), [("durable", false), ("soon", true)]);
    }

    #[test]
    fn a_write_that_is_not_durable_is_on_disk_soon_with_no_other_write() {
        let (_folder, path) = file();
        let (fsync, fsyncs) = channel();
        let Writer { connection, wal } = writer(&path);
        let wal = wal.told_of_each_fsync(move || fsync.send(()).unwrap());
        let writer = Writer { connection, wal };
        let (tell, tells) = channel();
        for name in ["a", "b"] {
            writer.run(vec![job(name, Kind::Soon, true, &tell)]).unwrap();
            assert_eq!(told(&tells, 1), [(name, true)]);
            fsyncs.recv_timeout(Duration::from_secs(60)).unwrap();
        }
        // A durable write has the others fsynced, too, so that none is due afterwards.
        writer.run(vec![job("c", Kind::Soon, true, &tell), job("d", Kind::Durable, true, &tell)]).unwrap();
        assert_eq!(told(&tells, 2), [("c", true), ("d", true)]);
        assert_eq!(fsyncs.try_iter().count(), 1);
        assert!(fsyncs.recv_timeout(Duration::from_millis(1200)).is_err(), "nothing was written since");
    }

    #[test]
    fn no_write_is_acknowledged_while_the_files_are_away() {
        let (folder, path) = file();
        let (jobs, receiver) = channel();
        let (tell, tells) = channel();
        let (writer, file) = (writer(&path), path.clone());
        let thread = std::thread::spawn(move || run_writer(&file, writer, &receiver));
        let write = |name| {
            jobs.send(job(name, Kind::Durable, true, &tell)).unwrap();
            told(&tells, 1)
        };
        assert_eq!(write("a"), [("a", true)]);
        let away = folder.path().join("away");
        for suffix in ["db", "db-wal", "db-shm"] {
            let path = path.with_extension(suffix);
            std::fs::rename(&path, &away).unwrap();
            assert_eq!(write("b"), [("b", false)], "without {suffix}, found after the flush");
            assert_eq!(write("c"), [("c", false)], "without {suffix}, found before");
            std::fs::rename(&away, &path).unwrap();
            // The checkpointer sees within a second that it is back.
            while write("d") != [("d", true)] {}
        }
        drop(jobs);
        thread.join().unwrap();
        let kept = kept(&path);
        assert!(kept.contains(&"a".to_owned()) && kept.contains(&"d".to_owned()), "{kept:?}");
        assert!(!kept.contains(&"c".to_owned()), "{kept:?}");
    }

    #[test]
    fn the_wal_of_a_file_behind_a_link_is_found() {
        use std::os::unix::fs::{MetadataExt, symlink};
        let ((_folder, path), (other, _)) = (file(), file());
        let link = other.path().join("link.db");
        symlink(&path, &link).unwrap();
        // Left over from another time.
        std::fs::write(other.path().join("link.db-wal"), "").unwrap();
        let writer = writer(&link);
        let wal = |path: &Path| std::fs::metadata(path).unwrap().ino();
        assert_eq!(wal(writer.wal.files().wal()), wal(&path.with_extension("db-wal")));
        let (tell, tells) = channel();
        writer.run(vec![job("a", Kind::Durable, true, &tell)]).unwrap();
        assert_eq!(told(&tells, 1), [("a", true)]);
    }
}
