//! Files and folders that only their owner may read: they hold addresses, hashes, and the instance
//! key.

use std::io::{ErrorKind, Write};
use std::path::Path;

/// Makes a folder and those above it. One that exists stays as it is. A new one is on disk when
/// this returns.
///
/// # Errors
/// When it cannot be made.
pub fn create_folder(path: &Path) -> std::io::Result<()> {
    let missing: Vec<&Path> = path.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists()).collect();
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)?;
    missing.into_iter().try_for_each(sync_entry)
}

/// Flushes the names of a folder's files to disk. A file that was flushed is still lost in a loss
/// of power when its name was not.
///
/// # Errors
/// When the disk fails. A file system that cannot flush a folder is no error.
pub fn sync_folder(path: &Path) -> std::io::Result<()> {
    // Windows flushes names by itself, and opens no folder as a file.
    if !cfg!(unix) {
        return Ok(());
    }
    match std::fs::File::open(path)?.sync_all() {
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        other => other,
    }
}

/// Flushes the name of a file or folder.
fn sync_entry(path: &Path) -> std::io::Result<()> {
    match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => sync_folder(Path::new(".")),
        Some(folder) => sync_folder(folder),
        None => Ok(()),
    }
}

/// Makes an empty file unless it exists.
///
/// # Errors
/// When it cannot be made.
pub fn create_file(path: &Path) -> std::io::Result<()> {
    match private(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other.map(drop),
    }
}

/// Writes a new file. It is on disk when this returns, and so is its name.
///
/// # Errors
/// When it exists or cannot be written.
pub fn write_file(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = private(path)?;
    writeln!(file, "{text}")?;
    file.sync_all()?;
    sync_entry(path)
}

fn private(path: &Path) -> std::io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
