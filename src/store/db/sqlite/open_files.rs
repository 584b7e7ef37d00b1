//! Checks that the paths of the database still lead to the files that this process has open.
//!
//! An open file outlives its name. After `rm rollcall.db*`, after a backup was moved over the
//! database or its folder was renamed, SQLite goes on with the open files, and every fsync
//! succeeds. But the next start opens what is at the paths then: everything written in between is
//! lost, and an end made by another process on the new file is not seen by this one. So while a
//! path does not lead to the open file, nothing is read and no write is acknowledged (503).
//!
//! The check compares device and inode of each path with those at the start: a few microseconds.
//! It runs after each fsync, before the writes are acknowledged, and once a second. An inode is not
//! given to another file while it is open, so equal numbers mean the same file. SQLite deletes the
//! WAL itself when the last connection is closed; one connection of this process is always open.
//!
//! What it does not see: a file that is overwritten in its place, as `cp` does.

use std::fs::Metadata;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::store::StoreError;

/// The files of an open database: the database itself, its WAL, and the WAL's index.
pub(super) struct OpenFiles {
    database: OpenFile,
    wal: OpenFile,
    /// Processes with different files of this kind would not see each other's locks.
    shared_memory: OpenFile,
    /// Why the files cannot be used, by the last check.
    trouble: Mutex<Option<String>>,
    has_trouble: AtomicBool,
}

impl OpenFiles {
    /// Notes which files the paths lead to now. `database` is the path as SQLite resolved it; a
    /// connection has read from it, so that all three files exist.
    ///
    /// # Errors
    /// When one of them does not exist or cannot be looked at.
    pub(super) fn at(database: &Path) -> Result<Self, StoreError> {
        Ok(Self {
            database: OpenFile::at(database.to_owned())?,
            wal: OpenFile::at(with_suffix(database, "-wal"))?,
            shared_memory: OpenFile::at(with_suffix(database, "-shm"))?,
            trouble: Mutex::default(),
            has_trouble: AtomicBool::new(false),
        })
    }

    /// The path of the database file.
    pub(super) fn database(&self) -> &Path {
        &self.database.path
    }

    /// The path of the WAL.
    pub(super) fn wal(&self) -> &Path {
        &self.wal.path
    }

    /// Looks at the paths now. Logs when the answer is another one than the last time.
    ///
    /// # Errors
    /// Why the files cannot be used.
    pub(super) fn check(&self) -> Result<(), String> {
        // Held during the look: of two checks, the later answer is kept.
        let mut known = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let found = [&self.database, &self.wal, &self.shared_memory].into_iter().find_map(OpenFile::trouble);
        match (known.as_deref(), found.as_deref()) {
            (before, Some(reason)) if before != Some(reason) => tracing::error!(
                reason,
                "the database's files were changed while they are open: nothing is read or written until they are back. \
                 To use other files, restart; what was written to the open ones is not in them"
            ),
            (Some(_), None) => tracing::info!("the database's files are back"),
            _ => {}
        }
        self.has_trouble.store(found.is_some(), Ordering::Release);
        known.clone_from(&found);
        found.map_or(Ok(()), Err)
    }

    /// What the last check found. Costs next to nothing while there is no trouble.
    ///
    /// # Errors
    /// Why the files cannot be used.
    pub(super) fn last_check(&self) -> Result<(), String> {
        if !self.has_trouble.load(Ordering::Acquire) {
            return Ok(());
        }
        let known = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        known.clone().map_or(Ok(()), Err)
    }

    /// Whether what is in the open WAL can be copied into the database file, though the WAL's path
    /// does not lead to it: no other process can have written to the database since. One that opens
    /// it makes the files that are missing; one that found the WAL's index shares its locks with
    /// this process.
    pub(super) fn can_be_rescued(&self) -> bool {
        let (wal, shared_memory) = (self.wal.state(), self.shared_memory.state());
        let is_alone = shared_memory == State::Same || (shared_memory, wal) == (State::Missing, State::Missing);
        self.database.state() == State::Same && wal != State::Same && is_alone
    }
}

/// A path, and the file it led to.
struct OpenFile {
    path: PathBuf,
    identity: (u64, u64),
}

/// What a path leads to now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Same,
    Missing,
    Other,
    Unknown(ErrorKind),
}

impl OpenFile {
    fn at(path: PathBuf) -> Result<Self, StoreError> {
        match std::fs::metadata(&path) {
            Ok(metadata) => Ok(Self { identity: identity(&metadata), path }),
            Err(error) => Err(StoreError::Unavailable(format!("{}: {error}", path.display()))),
        }
    }

    fn state(&self) -> State {
        match std::fs::metadata(&self.path) {
            Ok(metadata) if identity(&metadata) == self.identity => State::Same,
            Ok(_) => State::Other,
            Err(error) if error.kind() == ErrorKind::NotFound => State::Missing,
            Err(error) => State::Unknown(error.kind()),
        }
    }

    fn trouble(&self) -> Option<String> {
        let what = match self.state() {
            State::Same => return None,
            State::Missing => "was deleted or moved".to_owned(),
            State::Other => "was replaced by another file".to_owned(),
            State::Unknown(kind) => format!("cannot be looked at: {kind}"),
        };
        Some(format!("{} {what}", self.path.display()))
    }
}

/// Device and inode.
#[cfg(unix)]
fn identity(metadata: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (metadata.dev(), metadata.ino())
}

/// Elsewhere an open file cannot be deleted or replaced.
#[cfg(not(unix))]
fn identity(_: &Metadata) -> (u64, u64) {
    (0, 0)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use std::fs::{copy, remove_file, rename};

    use super::*;
    use crate::store::db::sqlite::tests::{file, reader};

    #[test]
    fn a_deleted_replaced_or_moved_file_is_found_until_it_is_back() {
        let (folder, path) = file();
        let _connection = reader(&path);
        let files = OpenFiles::at(&path).unwrap();
        assert_eq!(files.check(), Ok(()));
        let away = folder.path().join("away");
        for suffix in ["", "-wal", "-shm"] {
            let path = with_suffix(&path, suffix);
            rename(&path, &away).unwrap();
            assert_eq!(files.last_check(), Ok(()), "not looked at yet");
            assert_eq!(files.check(), Err(format!("{} was deleted or moved", path.display())));
            assert_eq!(files.last_check(), files.check());
            assert_eq!(files.can_be_rescued(), suffix == "-wal");
            copy(&away, &path).unwrap();
            assert_eq!(files.check(), Err(format!("{} was replaced by another file", path.display())));
            remove_file(&path).unwrap();
            std::fs::create_dir(&path).unwrap();
            assert!(files.check().is_err(), "a folder is no file");
            std::fs::remove_dir(&path).unwrap();
            rename(&away, &path).unwrap();
            assert_eq!(files.check(), Ok(()));
            assert_eq!(files.last_check(), Ok(()));
            assert!(!files.can_be_rescued(), "there is no need");
        }
    }

    #[test]
    fn the_wal_is_rescued_unless_another_process_may_have_written() {
        let (_folder, path) = file();
        let _connection = reader(&path);
        let files = OpenFiles::at(&path).unwrap();
        let [wal, shared_memory] = ["-wal", "-shm"].map(|suffix| with_suffix(&path, suffix));
        remove_file(&wal).unwrap();
        remove_file(&shared_memory).unwrap();
        assert!(files.can_be_rescued(), "nobody has opened it since");
        std::fs::write(&wal, "").unwrap();
        assert!(!files.can_be_rescued());
        remove_file(&wal).unwrap();
        std::fs::write(&shared_memory, "").unwrap();
        assert!(!files.can_be_rescued());
    }

    #[test]
    fn a_moved_folder_is_found_until_it_is_back() {
        let outer = tempfile::tempdir().unwrap();
        let (folder, away) = (outer.path().join("data"), outer.path().join("away"));
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("rollcall.db");
        crate::files::create_file(&path).unwrap();
        let _connection = reader(&path);
        let files = OpenFiles::at(&path).unwrap();
        rename(&folder, &away).unwrap();
        assert!(files.check().is_err());
        rename(&away, &folder).unwrap();
        assert_eq!(files.check(), Ok(()));
    }
}
