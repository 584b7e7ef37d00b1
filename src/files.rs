//! Files and folders that only their owner may read: they hold addresses, hashes, and the instance
//! key.

use std::io::Write;
use std::path::Path;

/// Makes a folder and those above it. One that exists stays as it is.
///
/// # Errors
/// When it cannot be made.
pub fn create_folder(path: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Makes an empty file unless it exists.
///
/// # Errors
/// When it cannot be made.
pub fn create_file(path: &Path) -> std::io::Result<()> {
    match private(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        other => other.map(drop),
    }
}

/// Writes a new file, safely on the disk when this returns.
///
/// # Errors
/// When it exists or cannot be written.
pub fn write_file(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = private(path)?;
    writeln!(file, "{text}")?;
    file.sync_all()
}

fn private(path: &Path) -> std::io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
