//! The write-ahead log (WAL). The flusher thread fsyncs it before a durable write is acknowledged,
//! and within a second after any other commit.
//! The checkpointer thread copies it into the database file. The writer thread waits for neither.
//!
//! # When a flush fails
//!
//! The process logs the file and the reason, and exits with code 1 ([`exit_unflushed`]). The writes
//! that waited are not acknowledged. Going on would not be safe: after a failed fsync the kernel
//! may hold pages for clean that are not on disk. It reports the error once, and the next fsync
//! succeeds and proves nothing about them.
//!
//! The exit alone does not mend that. While the machine runs, the next process reads the WAL from
//! the page cache, where it is complete, and SQLite finds every checksum right. On disk there may
//! be a gap. Recovery after a power loss stops at the first gap: frames appended after it would be
//! lost, though their own fsync succeeded. A checkpoint would be no safer: a power loss in its
//! middle leaves pages in the database file that are newer than what recovery finds in the WAL.
//!
//! So a process that opens the database writes the WAL's bytes once more in their place and fsyncs
//! them, before anything is appended or copied ([`settle`]). That makes the pages dirty again, so
//! this fsync covers them. It does so when no other Rollcall process has the database open: one
//! that has did it at its own start, and no flush failed since, or it would have exited. Where the
//! page cache was lost, by a reboot or because the file system drops pages that it cannot write,
//! recovery reads what is on disk and stops at the gap; what follows it was never acknowledged.
//!
//! What remains: a page that failed to be written and is evicted from the page cache between
//! SQLite's recovery and [`settle`], some milliseconds later.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, ffi, hooks};

use crate::files;
use crate::store::StoreError;
use crate::store::db::sqlite::open_files::OpenFiles;
use crate::store::db::sqlite::{connect, start};

/// Pages of 4 KB in the WAL at which the checkpointer starts. A page that changed often since the
/// last checkpoint is copied once.
const CHECKPOINT_AT: i32 = 2048;
/// Pages in the WAL at which the writer itself copies what is left before it goes on, so that the
/// WAL starts again from its beginning and does not grow for as long as there are writes. Then it
/// is not longer than `journal_size_limit`.
const RESTART_AT: i32 = 15 * 1024;
/// The most commits that wait for the flusher. With more, the writer waits, too.
const MAX_UNFLUSHED: usize = 64;
/// How long a commit that nobody waits for may be without an fsync.
const FLUSH_WITHIN: Duration = Duration::from_secs(1);
/// How often the checkpointer checks that the files are still the open ones.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// The checkpointer's connection holds no pages for long.
const CHECKPOINTER: &str = "PRAGMA cache_size = -256;";
/// The exit code after a failed flush: "failed", as for any command.
const FAILED: i32 = 1;

/// Called once: with `Ok` when the write is committed and, if it is durable, on disk; else with the
/// reason.
pub(in crate::store) type Answer = Box<dyn FnOnce(Result<(), String>) + Send>;

/// Gives all of them the result. A panic in one of them is a bug, and does not keep the others from
/// it.
pub(super) fn tell(answers: impl IntoIterator<Item = Answer>, result: &Result<(), String>) {
    for answer in answers {
        drop(std::panic::catch_unwind(AssertUnwindSafe(|| answer(result.clone()))));
    }
}

/// Ends the process after a failed fsync of one of the database's files.
pub(super) fn exit_unflushed(file: &Path, error: &dyn std::error::Error) -> ! {
    tracing::error!(
        file = %file.display(),
        %error,
        "the database cannot be flushed to disk: the process exits, since what it would acknowledge from now on may be lost"
    );
    std::process::exit(FAILED)
}

/// Ends the process if this error of SQLite is a failed fsync: of the WAL before a checkpoint and
/// when its header is new, of the database file after a checkpoint.
pub(super) fn exit_if_unflushed(database: &Path, error: &rusqlite::Error) {
    let code = error.sqlite_error().map(|error| error.extended_code);
    if code.is_some_and(|code| [ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_IOERR_DIR_FSYNC].contains(&code)) {
        exit_unflushed(database, error);
    }
}

/// The WAL of an open database. Clones share it; its threads end with the last clone.
#[derive(Clone)]
pub(super) struct Wal {
    files: Arc<OpenFiles>,
    checkpointer: SyncSender<()>,
    flusher: SyncSender<Vec<Answer>>,
    is_flush_due: Arc<AtomicBool>,
}

impl Wal {
    /// Opens the WAL of a database file that exists, has on disk what an earlier process left in
    /// it, and starts the threads.
    ///
    /// # Errors
    /// When the files cannot be opened, or another program holds the write lock for too long.
    pub(super) fn start(path: &Path) -> Result<Self, StoreError> {
        // Open for as long as the threads run. Else SQLite would delete the WAL in between,
        // whenever no other connection is open, and make a new one: a file that the flusher does
        // not have.
        let connection = connect(path, CHECKPOINTER)?;
        // The first read creates the WAL if there is none, and recovers it if there is.
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        // SQLite follows links, and puts the WAL next to the file that they lead to.
        let not_text = || StoreError::Unavailable("the path of the database is not UTF-8".to_owned());
        let files = Arc::new(OpenFiles::at(Path::new(connection.path().ok_or_else(not_text)?))?);
        let wal = OpenOptions::new().read(true).write(true).open(files.wal());
        let wal = wal.map_err(|error| StoreError::Unavailable(format!("{}: {error}", files.wal().display())))?;
        settle(&connection, &files, &wal)?;
        let checkpointer = start_checkpointer(connection, Arc::clone(&files))?;
        let is_flush_due = Arc::new(AtomicBool::new(false));
        let flusher = start_flusher(move || wal.sync_data(), Arc::clone(&files), Arc::clone(&is_flush_due))?;
        Ok(Self { files, checkpointer, flusher, is_flush_due })
    }

    /// The files of the database.
    pub(super) fn files(&self) -> &OpenFiles {
        &self.files
    }

    /// Makes commits of this connection start the checkpointer when a checkpoint is due.
    pub(super) fn follow(&self, connection: &mut Connection) -> Result<(), StoreError> {
        let (checkpointer, files) = (self.checkpointer.clone(), Arc::clone(&self.files));
        // In place of SQLite's own rule, by which the commit of each thousandth page copies all of
        // them.
        connection.wal_hook(Some(move |wal: &mut hooks::Wal, pages| {
            if pages >= RESTART_AT {
                if let Err(error) = wal.checkpoint() {
                    checkpoint_failed(&files, &error);
                }
            } else if pages >= CHECKPOINT_AT {
                // A full queue is no error: a checkpoint that is due covers this commit, too.
                let _ = checkpointer.try_send(());
            }
            Ok(())
        }))?;
        Ok(())
    }

    /// Answers these writes once all that was committed so far is on disk.
    ///
    /// # Errors
    /// When the flusher does not run any more; the writes are told so.
    pub(super) fn flush(&self, answers: Vec<Answer>) -> Result<(), String> {
        self.flusher.send(answers).map_err(|refused| {
            let reason = "the thread that flushes the WAL has stopped".to_owned();
            tell(refused.0, &Err(reason.clone()));
            reason
        })
    }

    /// Has all that was committed so far fsynced within a second ([`FLUSH_WITHIN`]). Nothing waits
    /// for it.
    pub(super) fn flush_soon(&self) {
        self.is_flush_due.store(true, Ordering::Release);
    }
}

/// Makes sure that the content of the WAL is on disk before anything is appended or copied: see the
/// top of this file.
fn settle(connection: &Connection, files: &OpenFiles, wal: &File) -> Result<(), StoreError> {
    let failed = |error: std::io::Error| StoreError::Unavailable(format!("{}: {error}", files.wal().display()));
    // This lock says only that a Rollcall process has the database open. SQLite has locks of its
    // own, on the other two files.
    let is_alone = match wal.try_lock() {
        // Without locks, in doubt: it costs some time, and does no harm next to other processes.
        Ok(()) | Err(TryLockError::Error(_)) => true,
        Err(TryLockError::WouldBlock) => false,
    };
    if is_alone && wal.metadata().map_err(failed)?.len() > 0 {
        // SQLite's write lock: no other program appends to the WAL or restarts it at the same time.
        connection.execute_batch("BEGIN IMMEDIATE")?;
        if let Err(error) = rewrite(wal) {
            // Not returned: closing the connection would copy the WAL into the database file.
            exit_unflushed(files.wal(), &error);
        }
        connection.execute_batch("ROLLBACK")?;
    }
    // Waits for another process that is in here.
    let _ = wal.lock_shared();
    // Also the name of the WAL, and the database file's, if they are new.
    files.wal().parent().map_or(Ok(()), files::sync_folder).map_err(failed)
}

/// Writes a file's bytes again in their place, and fsyncs them.
fn rewrite(mut file: &File) -> std::io::Result<()> {
    let mut bytes = vec![0; 1 << 20];
    file.rewind()?;
    loop {
        let at = file.stream_position()?;
        let count = file.read(&mut bytes)?;
        let Some(read) = bytes.get(..count).filter(|read| !read.is_empty()) else { break };
        file.seek(SeekFrom::Start(at))?;
        file.write_all(read)?;
    }
    file.sync_all()
}

fn checkpoint_failed(files: &OpenFiles, error: &rusqlite::Error) {
    exit_if_unflushed(files.database(), error);
    // Busy: another thread or process copies the WAL now. Otherwise, as on a full disk, the WAL
    // still has everything, and the next checkpoint tries again.
    if error.sqlite_error_code() != Some(ErrorCode::DatabaseBusy) {
        tracing::warn!(%error, "the WAL cannot be copied into the database file");
    }
}

/// The thread that copies the WAL into the database file, each time it is told to.
fn start_checkpointer(connection: Connection, files: Arc<OpenFiles>) -> Result<SyncSender<()>, StoreError> {
    let (sender, receiver) = sync_channel(1);
    start("rollcall-ckpt", move || run_checkpointer(&connection, &files, &receiver))?;
    Ok(sender)
}

fn run_checkpointer(connection: &Connection, files: &OpenFiles, due: &Receiver<()>) {
    let mut is_rescued = false;
    loop {
        match due.recv_timeout(CHECK_EVERY) {
            Ok(()) => {
                checkpoint(connection, files);
            }
            Err(RecvTimeoutError::Timeout) => match files.check() {
                Ok(()) => is_rescued = false,
                // The open WAL has acknowledged writes that the next start would not find.
                Err(_) if !is_rescued && files.can_be_rescued() => {
                    is_rescued = checkpoint(connection, files);
                    if is_rescued {
                        tracing::warn!("what the lost WAL had is in the database file now: restart to go on");
                    }
                }
                Err(_) => {}
            },
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
}

/// Copies the WAL into the database file. Gives whether all of it is copied: not what was committed
/// since a read began that still runs.
fn checkpoint(connection: &Connection, files: &OpenFiles) -> bool {
    // Busy, pages in the WAL, pages copied.
    let done = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        Ok(row.get::<_, i64>(0)? == 0 && row.get::<_, i64>(1)? == row.get::<_, i64>(2)?)
    });
    done.unwrap_or_else(|error| {
        checkpoint_failed(files, &error);
        false
    })
}

/// The thread that fsyncs the WAL: once for all commits that wait, and each second if there was a
/// commit since the last fsync that nothing waits for.
fn start_flusher(
    mut fsync: impl FnMut() -> std::io::Result<()> + Send + 'static,
    files: Arc<OpenFiles>,
    is_flush_due: Arc<AtomicBool>,
) -> Result<SyncSender<Vec<Answer>>, StoreError> {
    let (sender, receiver) = sync_channel::<Vec<Answer>>(MAX_UNFLUSHED);
    start("rollcall-flush", move || {
        loop {
            let (answers, is_last): (Vec<Answer>, _) = match receiver.recv_timeout(FLUSH_WITHIN) {
                Ok(first) => (first.into_iter().chain(receiver.try_iter().flatten()).collect(), false),
                Err(reason) => (Vec::new(), reason == RecvTimeoutError::Disconnected),
            };
            // Cleared before the fsync: a commit during it makes another one due.
            if (is_flush_due.swap(false, Ordering::AcqRel) || !answers.is_empty())
                && let Err(error) = fsync()
            {
                // No answer is given: the clients see a broken connection, and their writes may be
                // done or not.
                exit_unflushed(files.wal(), &error);
            }
            if !answers.is_empty() {
                // After the flush, so that what is acknowledged was on disk under its name.
                tell(answers, &files.check());
            }
            if is_last {
                break;
            }
        }
    })?;
    Ok(sender)
}

#[cfg(test)]
impl Wal {
    /// This WAL with another flusher.
    pub(super) fn flushed_by(self, flusher: SyncSender<Vec<Answer>>) -> Self {
        Self { flusher, ..self }
    }

    /// This WAL with a flusher that also calls `tell` at each fsync.
    pub(super) fn told_of_each_fsync(self, tell: impl Fn() + Send + 'static) -> Self {
        let wal = OpenOptions::new().write(true).open(self.files.wal()).unwrap();
        let fsync = move || {
            tell();
            wal.sync_data()
        };
        let is_flush_due = Arc::new(AtomicBool::new(false));
        let flusher = start_flusher(fsync, Arc::clone(&self.files), Arc::clone(&is_flush_due)).unwrap();
        Self { is_flush_due, ..self.flushed_by(flusher) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::store::db::sqlite::tests::file;

    /// Writes some pages of 4 KB, ten at a time.
    fn fill(connection: &Connection, pages: usize) {
        for _ in 0..pages / 10 {
            connection.execute("INSERT INTO pages VALUES (randomblob(40960))", []).unwrap();
        }
    }

    fn size(path: &Path) -> u64 {
        std::fs::metadata(path).unwrap().len()
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "nothing tells when the other thread is done")]
    fn the_wal_is_copied_next_to_the_writer_and_starts_again() {
        let (_folder, path) = file();
        let mut connection = connect(&path, "PRAGMA synchronous = NORMAL").unwrap();
        let wal = Wal::start(&path).unwrap();
        wal.follow(&mut connection).unwrap();
        connection.execute_batch("CREATE TABLE pages (bytes BLOB)").unwrap();
        // More than starts the checkpointer, and less than the writer copies itself.
        let pages = usize::try_from(2 * CHECKPOINT_AT).unwrap();
        fill(&connection, pages);
        let began = Instant::now();
        while size(&path) < 4096 * u64::try_from(CHECKPOINT_AT).unwrap() {
            assert!(began.elapsed() < Duration::from_secs(60), "the WAL was not copied");
            std::thread::sleep(Duration::from_millis(10));
        }
        fill(&connection, 10 * pages);
        let (length, most) = (size(&path.with_extension("db-wal")), 4 * 4096 * u64::try_from(RESTART_AT).unwrap());
        assert!(length < most, "{length} bytes of WAL");
        let kept: i64 = connection.query_row("SELECT count(*) FROM pages", [], |row| row.get(0)).unwrap();
        assert_eq!(usize::try_from(kept).unwrap(), pages / 10 + pages);
    }

    #[test]
    fn a_rewritten_file_has_the_same_bytes() {
        let bytes: Vec<u8> = (0..900_000_u32).flat_map(u32::to_le_bytes).collect();
        let (_folder, path) = file();
        std::fs::write(&path, &bytes).unwrap();
        let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        rewrite(&file).unwrap();
        rewrite(&file).unwrap();
        assert!(std::fs::read(&path).unwrap() == bytes);
    }
}
