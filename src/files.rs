//! Files: reads those that settings name, and makes those that only their owner may read, since
//! they hold addresses, hashes, and the instance key.

use std::fs::{File, FileType, OpenOptions};
use std::io::{Error, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

/// The largest file of settings, of a key or of rules, in bytes.
pub const LARGEST_TEXT: u64 = 16 << 20;

/// Reads a regular file whole. Anything else is refused without a wait: a FIFO or a terminal would
/// block the thread until somebody writes, and a device may never end.
///
/// # Errors
/// When the file cannot be opened or read, is no regular file, or has more than `largest` bytes.
pub fn read(path: &Path, largest: u64) -> std::io::Result<Vec<u8>> {
    // Before it is opened: that alone has an effect on some devices.
    let found = std::fs::metadata(path)?;
    if !found.is_file() {
        return Err(not_regular(found.file_type()));
    }
    let mut options = OpenOptions::new();
    options.read(true);
    // Another file may have taken its place, and opening a FIFO waits for a writer.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK | libc::O_NOCTTY);
    let file = options.open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(not_regular(found.file_type()));
    }
    if found.len() > largest {
        return Err(too_large(largest));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(found.len()).unwrap_or_default());
    // It may grow while it is read.
    file.take(largest + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > largest { Err(too_large(largest)) } else { Ok(bytes) }
}

/// Reads a regular file of at most [`LARGEST_TEXT`] bytes as UTF-8.
///
/// # Errors
/// As [`read`], and when it is not UTF-8.
pub fn read_text(path: &Path) -> std::io::Result<String> {
    String::from_utf8(read(path, LARGEST_TEXT)?).map_err(|_| Error::new(ErrorKind::InvalidData, "is not UTF-8 text"))
}

/// Checks that a path leads to a regular file, without opening it.
///
/// # Errors
/// When it is something else, or nothing.
pub fn must_be_regular(path: &Path) -> std::io::Result<()> {
    let found = std::fs::metadata(path)?;
    if found.is_file() { Ok(()) } else { Err(not_regular(found.file_type())) }
}

/// How many bytes this process can still write in a folder.
///
/// # Errors
/// When the file system does not say.
#[cfg(unix)]
pub fn free(folder: &Path) -> std::io::Result<u64> {
    let found = rustix::fs::statvfs(folder)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// How many bytes this process can still write in a folder: nobody asks here.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn free(_: &Path) -> std::io::Result<u64> {
    Ok(u64::MAX)
}

/// A file that gets its name when it is whole: until then it is `NAME.part`, which only its owner may read, and
/// which is removed when this is dropped.
pub struct Draft {
    path: PathBuf,
    part: PathBuf,
}

impl Draft {
    /// Makes `NAME.part`, in place of what a killed process left.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(path: &Path) -> std::io::Result<Self> {
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        match std::fs::remove_file(&part) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => private(&part)?,
        };
        Ok(Self { path: path.to_owned(), part })
    }

    /// The file, to be written from its start.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn file(&self) -> std::io::Result<File> {
        OpenOptions::new().write(true).open(&self.part)
    }

    /// Gives the file its name, once all of it is on disk. The name is on disk when this returns.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`] when the name is taken and not to be replaced, and when the folder cannot be
    /// written.
    pub fn publish(self, is_replacing: bool) -> std::io::Result<()> {
        let linked = if is_replacing { Ok(false) } else { std::fs::hard_link(&self.part, &self.path).map(|()| true) };
        match linked {
            Ok(true) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(error),
            // Some file systems have no hard links.
            Err(_) if self.path.symlink_metadata().is_ok() => return Err(ErrorKind::AlreadyExists.into()),
            Ok(false) | Err(_) => std::fs::rename(&self.part, &self.path)?,
        }
        sync_entry(&self.path)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.part));
    }
}

fn too_large(largest: u64) -> Error {
    Error::new(ErrorKind::FileTooLarge, format!("is larger than {largest} bytes"))
}

fn not_regular(found: FileType) -> Error {
    #[cfg(unix)]
    let kind = {
        use std::os::unix::fs::FileTypeExt;
        match found {
            it if it.is_dir() => "a directory",
            it if it.is_fifo() => "a FIFO",
            it if it.is_socket() => "a socket",
            _ => "a device",
        }
    };
    #[cfg(not(unix))]
    let kind = if found.is_dir() { "a directory" } else { "a device" };
    Error::new(ErrorKind::InvalidInput, format!("is {kind}, not a regular file"))
}

/// An error of the operating system as people read it, without its number: `No such file or directory`.
#[must_use]
pub fn plain(error: &Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error ").map_or(text.clone(), |(plain, _)| plain.to_owned())
}

/// An error at a path as people read it. Where the folder belongs to somebody else, it names the owner and what helps.
#[must_use]
pub fn explained(path: &Path, error: &Error) -> String {
    #[cfg(unix)]
    if error.kind() == ErrorKind::PermissionDenied {
        use std::os::unix::fs::MetadataExt;
        let folder = path.ancestors().skip(1).find_map(|folder| {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            Some((folder, std::fs::metadata(folder).ok()?))
        });
        let (user, group) = (user(), rustix::process::getegid().as_raw());
        if let Some((folder, found)) = folder.filter(|(_, found)| found.uid() != user) {
            return format!(
                "cannot write to {}: it belongs to user {owner} (mode {:04o}), this is user {user}, group {group}. \
                 chown {user}:{group} it, or run with --user {owner}:{}",
                folder.display(),
                found.mode() & 0o7777,
                found.gid(),
                owner = found.uid()
            );
        }
    }
    format!("{}: {}", path.display(), plain(error))
}

/// The user that this process acts as.
#[cfg(unix)]
#[must_use]
pub fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

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

/// Flushes the directory entries of a folder to disk. After a power loss, a file that was flushed
/// is still missing if its name was not.
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

/// Writes a new file. It is on disk when this returns, and so is its name. There is never a part of
/// it under this name, whenever this process is killed.
///
/// # Errors
/// [`ErrorKind::AlreadyExists`] when it exists, and when it cannot be written.
pub fn write_file(path: &Path, text: &str) -> std::io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{:016x}", fastrand::u64(..)));
    let draft = Path::new(&name);
    let written = private(draft).and_then(|mut file| {
        writeln!(file, "{text}")?;
        file.sync_all()
    });
    // A rename would replace the file of another process that creates it at the same time.
    let linked = written.and_then(|()| std::fs::hard_link(draft, path));
    let removed = std::fs::remove_file(draft);
    linked.and(removed)?;
    sync_entry(path)
}

fn private(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_that_write_a_new_file_one_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let texts = ["one", "two", "three", "four"];
        let threads = texts.map(|text| {
            let path = path.clone();
            std::thread::spawn(move || write_file(&path, text).map_err(|error| error.kind()))
        });
        let results = threads.map(|thread| thread.join().unwrap());
        let done: Vec<_> = results.iter().zip(texts).filter(|(result, _)| result.is_ok()).map(|(_, text)| text).collect();
        assert_eq!(done, [read_text(&path).unwrap().trim()], "{results:?}");
        assert_eq!(results.iter().filter(|result| **result == Err(ErrorKind::AlreadyExists)).count(), 3);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn a_draft_gets_its_name_when_it_is_published_and_is_gone_when_it_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let names = || std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
        std::fs::write(folder.path().join("file.part"), "of a process that was killed").unwrap();
        let draft = Draft::create(&path).unwrap();
        draft.file().unwrap().write_all(b"one").unwrap();
        assert_eq!(names(), ["file.part"]);
        drop(draft);
        assert!(names().is_empty());
        for (text, is_replacing, is_done) in [("one", false, true), ("two", false, false), ("three", true, true)] {
            let draft = Draft::create(&path).unwrap();
            draft.file().unwrap().write_all(text.as_bytes()).unwrap();
            let published = draft.publish(is_replacing).map_err(|error| error.kind());
            assert_eq!(published, if is_done { Ok(()) } else { Err(ErrorKind::AlreadyExists) });
            assert_eq!(names(), ["file"]);
        }
        assert_eq!(read_text(&path).unwrap(), "three");
    }

    #[test]
    fn only_regular_files_are_read_and_nothing_waits() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("file"), "text").unwrap();
        assert_eq!(read_text(&at("file")).unwrap(), "text");
        assert_eq!(read(&at("file"), 4).unwrap(), b"text");
        assert_eq!(read(&at("file"), 3).unwrap_err().to_string(), "is larger than 3 bytes");
        assert_eq!(read(&at("none"), 3).unwrap_err().kind(), ErrorKind::NotFound);
        std::fs::write(at("latin1"), [0xe9]).unwrap();
        assert_eq!(read_text(&at("latin1")).unwrap_err().to_string(), "is not UTF-8 text");
        assert_eq!(read_text(folder.path()).unwrap_err().to_string(), "is a directory, not a regular file");
    }

    #[test]
    #[cfg(unix)]
    fn fifos_sockets_and_devices_are_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        assert!(std::process::Command::new("mkfifo").arg(at("fifo")).status().unwrap().success());
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        std::os::unix::fs::symlink(at("fifo"), at("link")).unwrap();
        let before = std::time::Instant::now();
        for (path, kind) in [
            (at("fifo"), "a FIFO"),
            (at("link"), "a FIFO"),
            (at("socket"), "a socket"),
            ("/dev/zero".into(), "a device"),
            ("/dev/tty".into(), "a device"),
            ("/dev/null".into(), "a device"),
        ] {
            let error = read(&path, 1000).unwrap_err().to_string();
            assert_eq!(error, format!("is {kind}, not a regular file"), "{}", path.display());
        }
        assert!(before.elapsed() < std::time::Duration::from_secs(5));
    }
}
