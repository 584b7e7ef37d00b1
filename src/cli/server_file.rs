//! `server.json` in the data directory: which server runs here, for commands that have other settings than
//! it was started with.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::files;

/// What a running server writes down.
#[derive(Deserialize, Serialize)]
pub(super) struct ServerFile {
    pid: u32,
    version: String,
    origin: String,
    listeners: Vec<String>,
}

/// The file while the server runs. It is removed when this is dropped.
pub(super) struct Written(PathBuf);

impl Drop for Written {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

fn path_in(data_dir: &Path) -> PathBuf {
    data_dir.join("server.json")
}

impl ServerFile {
    /// Writes that this process listens here, in place of what a killed server left.
    ///
    /// # Errors
    /// When the data directory cannot be written.
    pub(super) fn write(data_dir: &Path, address: SocketAddr, origin: String) -> std::io::Result<Written> {
        let this = Self {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            origin,
            listeners: vec![address.to_string()],
        };
        let path = path_in(data_dir);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => files::write_file(&path, &serde_json::to_string(&this)?)?,
        }
        Ok(Written(path))
    }

    /// The file of a server that runs; `None` when there is none, when it cannot be read, or when its process
    /// is gone.
    pub(super) fn find(data_dir: &Path) -> Option<Self> {
        let text = files::read_text(&path_in(data_dir)).ok()?;
        serde_json::from_str(&text).ok().filter(|file: &Self| is_running(file.pid))
    }

    /// The first address that the server listens on.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.listeners.first()?.parse().ok()
    }
}

#[cfg(unix)]
fn is_running(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    // A process of another user may not be asked, and runs.
    pid.is_some_and(|pid| matches!(rustix::process::test_kill_process(pid), Ok(()) | Err(rustix::io::Errno::PERM)))
}

#[cfg(not(unix))]
fn is_running(_: u32) -> bool {
    true
}
