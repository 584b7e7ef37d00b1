//! `server.json` in the data directory: which server runs here, for commands that have other settings than
//! it was started with.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cli::listen::Listeners;
use crate::config::Listen;
use crate::files;

/// What a running server writes down.
#[derive(Deserialize, Serialize)]
pub(super) struct ServerFile {
    pid: u32,
    version: String,
    origin: String,
    /// As the setting writes them, with the ports that were taken.
    listeners: Vec<String>,
    /// The file of the certificate, where TLS is spoken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certificate: Option<PathBuf>,
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
    pub(super) fn write(data_dir: &Path, listeners: &Listeners, origin: String) -> std::io::Result<Written> {
        let this = Self {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            origin,
            listeners: listeners.places().iter().map(ToString::to_string).collect(),
            certificate: listeners.certificates.as_ref().and_then(|certificates| std::path::absolute(certificates.file()).ok()),
        };
        let path = path_in(data_dir);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => files::write_file(&path, &serde_json::to_string(&this)?)?,
        }
        Ok(Written(path))
    }

    /// Writes down that this process uses another file of a certificate.
    ///
    /// # Errors
    /// When the data directory cannot be written.
    pub(super) fn note_certificate(data_dir: &Path, certificate: &Path) -> std::io::Result<()> {
        let Some(mut this) = Self::find(data_dir).filter(|file| file.pid == std::process::id()) else { return Ok(()) };
        this.certificate = Some(std::path::absolute(certificate)?);
        let draft = files::Draft::create(&path_in(data_dir))?;
        draft.file()?.write_all(serde_json::to_string(&this)?.as_bytes())?;
        draft.publish(true)
    }

    /// The file of a server that runs; `None` when there is none, when it cannot be read, or when its process
    /// is gone.
    pub(super) fn find(data_dir: &Path) -> Option<Self> {
        let text = files::read_text(&path_in(data_dir)).ok()?;
        serde_json::from_str(&text).ok().filter(|file: &Self| is_running(file.pid))
    }

    /// The first place that the server listens on, and the file of its certificate.
    pub(super) fn first(self) -> Option<(Listen, Option<PathBuf>)> {
        Some((Listen::parse(self.listeners.first()?)?, self.certificate))
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
