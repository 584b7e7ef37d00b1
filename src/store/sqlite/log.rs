//! What happens to the log beside the thread that writes it: one thread has it on disk before those are answered
//! whose writes are to be, another copies it into the file. The writer goes on meanwhile.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

use rusqlite::Connection;
use rusqlite::hooks::Wal;

use super::{READER, connect, start};
use crate::store::StoreError;

/// From so many pages of 4 KB in the log on, another thread copies them into the file; nobody waits for it. A page
/// that changed often since is copied once.
const COPY_AT: i32 = 4096;
/// From so many on, the writer copies what is left before it goes on, so that the log begins anew and does
/// not grow for as long as there are writes.
const RESTART_AT: i32 = 16384;
/// The most commits that wait to be on disk. Then the writer waits, too.
const MOST_UNFLUSHED: usize = 64;

/// Told, once the commit is through or has failed.
pub(super) type Answer = Box<dyn FnOnce(Result<(), String>) + Send>;

/// What the writer leaves to others. Clones share it.
#[derive(Clone)]
pub(super) struct Log {
    path: PathBuf,
    /// How many commits were written to it.
    commits: Arc<AtomicU64>,
    /// Whether it could not be brought to disk: what is in it then may stay in memory only, though the next
    /// attempt seems to succeed.
    is_doubtful: Arc<AtomicBool>,
    copier: SyncSender<()>,
    flusher: SyncSender<Flush>,
}

/// Whoever waits for their commit to be on disk.
struct Flush {
    file: Arc<File>,
    commits: u64,
    answers: Vec<Answer>,
}

impl Log {
    /// Starts the threads, which end with the last clone.
    pub(super) fn start(path: &Path) -> Result<Self, StoreError> {
        let is_doubtful = Arc::default();
        Ok(Self {
            path: path.to_owned(),
            commits: Arc::default(),
            copier: run_copier(path)?,
            flusher: run_flusher(Arc::clone(&is_doubtful))?,
            is_doubtful,
        })
    }

    /// Has this connection's commits counted, and copied in time.
    pub(super) fn follow(&self, connection: &mut Connection) -> Result<(), StoreError> {
        let (commits, copier) = (Arc::clone(&self.commits), self.copier.clone());
        // In place of SQLite's own rule, by which who commits the thousandth page copies all of them.
        connection.wal_hook(Some(move |log: &mut Wal, pages| {
            commits.fetch_add(1, Ordering::Relaxed);
            if pages >= RESTART_AT {
                // Where the other thread is at it, the next commit tries again.
                drop(log.checkpoint());
            } else if pages >= COPY_AT {
                // One that waits is enough.
                let _ = copier.try_send(());
            }
            Ok(())
        }))?;
        Ok(())
    }

    /// The log's file. It is the same one for as long as the connection is open that wrote to it.
    pub(super) fn open(&self) -> Result<Arc<File>, String> {
        let mut path = self.path.clone().into_os_string();
        path.push("-wal");
        File::open(path).map(Arc::new).map_err(|error| format!("the log cannot be opened: {error}"))
    }

    /// Tells these, once all that was committed so far is on disk, or cannot be brought there.
    pub(super) fn flush(&self, file: Arc<File>, answers: Vec<Answer>) {
        let flush = Flush { file, commits: self.commits.load(Ordering::Relaxed), answers };
        if let Err(refused) = self.flusher.send(flush) {
            refused.0.tell(&Err("the thread that flushes the log has stopped".to_owned()));
        }
    }

    /// After a flush that failed: brings what was committed into the file, by which it is on disk however the log
    /// is. Nothing else may be written before that.
    pub(super) fn mend(&self, connection: &Connection) -> Result<(), String> {
        if !self.is_doubtful.load(Ordering::Acquire) {
            return Ok(());
        }
        let is_left = connection.query_row("PRAGMA wal_checkpoint(FULL)", [], |row| {
            let [is_busy, written, copied] = [row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?];
            Ok(is_busy != 0 || copied < written)
        });
        match is_left {
            Ok(false) => {
                self.is_doubtful.store(false, Ordering::Release);
                Ok(())
            }
            Ok(true) => Err("the log could not be flushed, and is in use".to_owned()),
            Err(error) => Err(format!("the log could not be flushed, and not be copied: {error}")),
        }
    }
}

impl Flush {
    fn tell(self, result: &Result<(), String>) {
        for answer in self.answers {
            answer(result.clone());
        }
    }
}

/// The thread that copies what is in the log into the file, each time it is told to.
fn run_copier(path: &Path) -> Result<SyncSender<()>, StoreError> {
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

/// The thread that brings the log to disk: once for all who wait by then.
fn run_flusher(is_doubtful: Arc<AtomicBool>) -> Result<SyncSender<Flush>, StoreError> {
    let (sender, receiver) = sync_channel::<Flush>(MOST_UNFLUSHED);
    start("rollcall-flusher", move || {
        // Up to which commit which file is on disk.
        let mut done: Option<(Arc<File>, u64)> = None;
        while let Ok(first) = receiver.recv() {
            let all: Vec<_> = std::iter::once(first).chain(receiver.try_iter()).collect();
            let mut result = Ok(());
            // The last one's is theirs, too, but where the log was opened anew in between.
            for Flush { file, commits, .. } in all.iter().rev() {
                let is_done = done.as_ref().is_some_and(|(known, last)| Arc::ptr_eq(known, file) && commits <= last);
                if !is_done && result.is_ok() {
                    result = flush(file, &is_doubtful);
                    done = result.is_ok().then(|| (Arc::clone(file), *commits));
                }
            }
            for flush in all {
                flush.tell(&result);
            }
        }
    })?;
    Ok(sender)
}

fn flush(file: &File, is_doubtful: &AtomicBool) -> Result<(), String> {
    if is_doubtful.load(Ordering::Acquire) {
        return Err("an earlier flush of the log failed".to_owned());
    }
    file.sync_data().map_err(|error| {
        is_doubtful.store(true, Ordering::Release);
        tracing::error!(%error, "the database's log cannot be flushed to disk");
        format!("the log cannot be flushed to disk: {error}")
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

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
}
