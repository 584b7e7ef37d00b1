//! What happens to the log beside the thread that writes it: one thread has it on disk before those are answered
//! whose writes are to be, another copies it into the file. The writer goes on meanwhile.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

use rusqlite::hooks::Wal;
use rusqlite::{Connection, ErrorCode};

use crate::store::StoreError;
use crate::store::db::sqlite::{READER, connect, start};

/// From so many pages of 4 KB in the log on, another thread copies them into the file; nobody waits for it. A page
/// that changed often since is copied once.
const COPY_AT: i32 = 2048;
/// From so many on, the writer copies what is left before it goes on, so that the log begins anew and does
/// not grow for as long as there are writes. It is not longer than `journal_size_limit` then.
const RESTART_AT: i32 = 15 * 1024;
/// The most commits that wait to be on disk. Then the writer waits, too.
const MOST_UNFLUSHED: usize = 64;

/// Told, once the commit is through or has failed.
pub(in crate::store) type Answer = Box<dyn FnOnce(Result<(), String>) + Send>;

/// Tells them all how it went. One that panics is our mistake, and the others are told.
pub(in crate::store) fn tell(answers: impl IntoIterator<Item = Answer>, result: &Result<(), String>) {
    for answer in answers {
        drop(std::panic::catch_unwind(AssertUnwindSafe(|| answer(result.clone()))));
    }
}

/// Whether something that was written to the log may be missing on disk, though a later flush succeeds: the operating
/// system tells once of what it could not write, and holds it for written from then on.
#[derive(Default)]
struct Doubt {
    raised: AtomicU64,
    settled: AtomicU64,
}

impl Doubt {
    fn raise(&self) {
        self.raised.fetch_add(1, Ordering::AcqRel);
    }

    /// What is there to settle, if anything.
    fn open(&self) -> Option<u64> {
        let raised = self.raised.load(Ordering::Acquire);
        (raised != self.settled.load(Ordering::Acquire)).then_some(raised)
    }

    /// Leaves what was raised since.
    fn settle(&self, open: u64) {
        self.settled.store(open, Ordering::Release);
    }

    /// SQLite flushes the log before it copies from it: that may be what failed, and nobody else is told.
    fn judge(&self, error: &rusqlite::Error) {
        // Where the other thread is at it, or the disk is full, nothing is missing, and the next attempt does it.
        if error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure) {
            self.raise();
        }
        if error.sqlite_error_code() != Some(ErrorCode::DatabaseBusy) {
            tracing::warn!(%error, "the database's log cannot be copied");
        }
    }
}

/// What the writer leaves to others. Clones share it.
#[derive(Clone)]
pub(in crate::store) struct Log {
    doubt: Arc<Doubt>,
    copier: SyncSender<()>,
    flusher: SyncSender<Flush>,
}

/// Those who wait for their commit to be on disk.
struct Flush {
    file: Arc<File>,
    answers: Vec<Answer>,
}

impl Log {
    /// Starts the threads, which end with the last clone.
    pub(in crate::store) fn start(path: &Path) -> Result<Self, StoreError> {
        let doubt = Arc::default();
        let (copier, flusher) = (run_copier(path, Arc::clone(&doubt))?, run_flusher(Arc::clone(&doubt))?);
        Ok(Self { doubt, copier, flusher })
    }

    /// Has what this connection commits copied in time. Gives the log's file, which is the same for as long as the
    /// connection is open.
    pub(in crate::store) fn follow(&self, connection: &mut Connection) -> Result<Arc<File>, StoreError> {
        let (copier, doubt) = (self.copier.clone(), Arc::clone(&self.doubt));
        // In place of SQLite's own rule, by which who commits the thousandth page copies all of them.
        connection.wal_hook(Some(move |log: &mut Wal, pages| {
            if pages >= RESTART_AT {
                if let Err(error) = log.checkpoint() {
                    doubt.judge(&error);
                }
            } else if pages >= COPY_AT {
                // One that waits is enough.
                let _ = copier.try_send(());
            }
            Ok(())
        }))?;
        // The first read makes it, where there is none. SQLite knows where: it follows links.
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        let not_text = || StoreError::Unavailable("the path of the database is not UTF-8".to_owned());
        let path = format!("{}-wal", connection.path().ok_or_else(not_text)?);
        let opened = OpenOptions::new().read(true).write(true).open(&path);
        opened.map(Arc::new).map_err(|error| StoreError::Unavailable(format!("{path}: {error}")))
    }

    /// Tells these, once all that was committed so far is on disk, or cannot be brought there.
    ///
    /// # Errors
    /// When nobody does that any more; they are told so.
    pub(in crate::store) fn flush(&self, file: &Arc<File>, answers: Vec<Answer>) -> Result<(), String> {
        self.flusher.send(Flush { file: Arc::clone(file), answers }).map_err(|refused| {
            let reason = "the thread that flushes the log has stopped".to_owned();
            tell(refused.0.answers, &Err(reason.clone()));
            reason
        })
    }

    /// Whether something may be missing on disk.
    pub(in crate::store) fn is_doubtful(&self) -> bool {
        self.doubt.open().is_some()
    }

    /// Asks of the log of a connection that is given up whether something is missing: the next one, which opens it
    /// anew, would not be told.
    pub(in crate::store) fn leave(&self, file: &File) {
        if file.sync_data().is_err() {
            self.doubt.raise();
        }
    }

    /// Where something may be missing on disk: writes all of the log once more, in its place, as the operating system
    /// has it in memory. Until that is on disk, nothing may be written behind it, for what follows a gap is lost; and
    /// nothing be copied into the file, which would be newer than the log then.
    pub(in crate::store) fn mend(&self, connection: &Connection, file: &File) -> Result<(), String> {
        let Some(open) = self.doubt.open() else { return Ok(()) };
        let failed = |error: String| format!("the log may not be on disk: {error}");
        // No other process writes meanwhile.
        connection.execute_batch("BEGIN IMMEDIATE").map_err(|error| failed(error.to_string()))?;
        let rewritten = rewrite(file);
        connection.execute_batch("ROLLBACK").map_err(|error| failed(error.to_string()))?;
        rewritten.map_err(|error| failed(error.to_string()))?;
        self.doubt.settle(open);
        tracing::info!("the database's log was written to disk once more");
        Ok(())
    }
}

/// Writes a file's bytes in their place, and waits until they are on disk.
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

/// The thread that copies what is in the log into the file, each time it is told to.
fn run_copier(path: &Path, doubt: Arc<Doubt>) -> Result<SyncSender<()>, StoreError> {
    let (sender, receiver) = sync_channel(1);
    let path = path.to_owned();
    start("rollcall-copier", move || {
        let mut connection = None;
        while receiver.recv().is_ok() {
            if doubt.open().is_some() {
                continue;
            }
            let opened = match connection.take().map_or_else(|| connect(&path, READER), Ok) {
                Ok(opened) => opened,
                // The writer copies all of it when it comes to that, or fails, too.
                Err(error) => {
                    tracing::warn!(%error, "the database's log cannot be copied");
                    continue;
                }
            };
            match opened.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
                Ok(()) => connection = Some(opened),
                Err(error) => doubt.judge(&error),
            }
        }
    })?;
    Ok(sender)
}

/// The thread that brings the log to disk: once for all who wait by then.
fn run_flusher(doubt: Arc<Doubt>) -> Result<SyncSender<Flush>, StoreError> {
    let (sender, receiver) = sync_channel::<Flush>(MOST_UNFLUSHED);
    start("rollcall-flusher", move || {
        while let Ok(first) = receiver.recv() {
            let all: Vec<_> = std::iter::once(first).chain(receiver.try_iter()).collect();
            let mut known: Option<(Arc<File>, Result<(), String>)> = None;
            for Flush { file, answers } in all {
                let result = match known {
                    Some((same, result)) if Arc::ptr_eq(&same, &file) => result,
                    // The first, or the writer opened it anew in between.
                    _ => flush(&file, &doubt),
                };
                tell(answers, &result);
                known = Some((file, result));
            }
        }
    })?;
    Ok(sender)
}

fn flush(file: &File, doubt: &Doubt) -> Result<(), String> {
    if doubt.open().is_some() {
        return Err("an earlier flush of the log failed".to_owned());
    }
    file.sync_data().map_err(|error| {
        doubt.raise();
        tracing::error!(%error, "the database's log cannot be flushed to disk");
        format!("the log cannot be flushed to disk: {error}")
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

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
    fn the_log_is_copied_beside_the_writer_and_begins_anew() {
        let (_folder, path) = file();
        let mut connection = connect(&path, "PRAGMA synchronous = NORMAL").unwrap();
        Log::start(&path).unwrap().follow(&mut connection).unwrap();
        connection.execute_batch("CREATE TABLE pages (bytes BLOB)").unwrap();
        // More than makes the other thread begin, and less than makes the writer do it.
        let pages = usize::try_from(2 * COPY_AT).unwrap();
        fill(&connection, pages);
        let began = Instant::now();
        while size(&path) < 4096 * u64::try_from(COPY_AT).unwrap() {
            assert!(began.elapsed() < Duration::from_secs(60), "nobody copied the log");
            std::thread::sleep(Duration::from_millis(10));
        }
        fill(&connection, 10 * pages);
        let (log, most) = (size(&path.with_extension("db-wal")), 4 * 4096 * u64::try_from(RESTART_AT).unwrap());
        assert!(log < most, "{log} bytes of log");
        let kept: i64 = connection.query_row("SELECT count(*) FROM pages", [], |row| row.get(0)).unwrap();
        assert_eq!(usize::try_from(kept).unwrap(), pages / 10 + pages);
    }

    #[test]
    fn what_is_written_once_more_is_the_same() {
        let bytes: Vec<u8> = (0..900_000_u32).flat_map(u32::to_le_bytes).collect();
        let (_folder, path) = file();
        std::fs::write(&path, &bytes).unwrap();
        let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        rewrite(&file).unwrap();
        rewrite(&file).unwrap();
        assert!(std::fs::read(&path).unwrap() == bytes);
    }
}
