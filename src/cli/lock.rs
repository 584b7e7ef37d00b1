//! One server for a SQLite file: each keeps sessions in memory and would not see what the other one ends.

use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::cli::Failure;
use crate::config::{Config, Location};
use crate::files;

/// How long a start waits for a server that is ending.
const WAIT: Duration = Duration::from_secs(10);
/// How long a restore waits.
pub(super) const RESTORE_WAIT: Duration = Duration::from_secs(2);
/// How long they wait between two attempts.
const PAUSE: Duration = Duration::from_millis(100);

/// Holds the lock until it is dropped. The operating system lets go of it, however the process ends. `None`
/// with PostgreSQL, which several servers may share.
///
/// # Errors
/// When another process has the lock for longer than 10 s, or the file cannot be made.
pub(super) async fn take(config: &Config) -> Result<Option<File>, Failure> {
    take_within(config, WAIT, taken).await
}

/// The same for a restore, which waits only for a process that was killed right before.
///
/// # Errors
/// When another process has the lock, or the file cannot be made.
pub(super) async fn take_for_restore(config: &Config) -> Result<Option<File>, Failure> {
    take_within(config, RESTORE_WAIT, |_, _| "a Rollcall serves this database".to_owned()).await
}

async fn take_within(config: &Config, wait: Duration, taken: impl Fn(&Path, &Path) -> String) -> Result<Option<File>, Failure> {
    let Location::Sqlite(database) = &config.database else { return Ok(None) };
    let path = lock_of(database);
    let failed = |error: std::io::Error| files::explained(&path, &error);
    if let Some(folder) = database.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        files::create_folder(folder).map_err(|error| files::explained(folder, &error))?;
    }
    files::create_file(&path).map_err(failed)?;
    let mut file = File::options().read(true).write(true).open(&path).map_err(failed)?;
    let started = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if started.elapsed() < wait => tokio::time::sleep(PAUSE).await,
            Err(TryLockError::WouldBlock) => return Err(taken(&path, database).into()),
            Err(TryLockError::Error(error)) => return Err(failed(error).into()),
        }
    }
    // For the message of the one that comes second.
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(failed)?;
    Ok(Some(file))
}

/// The lock of a database: `rollcall.db.lock` in the folder of `rollcall.db`.
fn lock_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

fn taken(path: &Path, database: &Path) -> String {
    let process = files::read(path, 32).ok().and_then(|bytes| String::from_utf8(bytes).ok()?.trim().parse::<u32>().ok());
    let process = process.map(|id| format!(" (pid {id})")).unwrap_or_default();
    format!("another Rollcall{process} serves {}; stop it first, or use PostgreSQL for several servers", database.display())
}
