//! Files and folders that only their owner may read: they hold addresses, hashes, and the instance
//! key.

use std::io::{ErrorKind, Write};
use std::path::Path;

/// Makes a folder and those above it. One that exists stays as it is. Its name is on disk when this
/// returns, and so are the names of new folders above it.
///
/// # Errors
/// When it cannot be made.
pub fn create_folder(path: &Path) -> std::io::Result<()> {
    let above = path.ancestors().skip(1).take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists());
    let new: Vec<&Path> = above.collect();
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)?;
    // Also the name of one that exists: a process may have been killed right after it made the
    // folder.
    std::iter::once(path).chain(new).try_for_each(sync_entry)
}

/// Flushes the names of a folder's files to disk. A file that was flushed is still lost in a loss
/// of power when its name was not.
///
/// # Errors
/// When the disk fails. A folder that this process may not open, or that the file system cannot
/// flush, is no error.
pub fn sync_folder(path: &Path) -> std::io::Result<()> {
    // Windows flushes names by itself, and opens no folder as a file.
    if !cfg!(unix) {
        return Ok(());
    }
    match std::fs::File::open(path).and_then(|folder| folder.sync_all()) {
        Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::InvalidInput | ErrorKind::Unsupported) => {
            Ok(())
        }
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
