//! Which file the settings are read from.

use std::path::{Path, PathBuf};

use crate::config::ConfigError;
use crate::files;

/// The file of the working directory.
const LOCAL: &str = "./rollcall.toml";
/// The file of the machine.
const SYSTEM: &str = "/etc/rollcall/rollcall.toml";

/// The file to read and its text: the named one, else that of the working directory, else that of the
/// machine. `None` when none is named and there is none.
///
/// # Errors
/// When the named file, or one that is there, cannot be read; when the one of the working directory may have
/// been planted by somebody else.
pub(super) fn find(named: Option<PathBuf>) -> Result<Option<(PathBuf, String)>, ConfigError> {
    if let Some(path) = named {
        return match files::read_text(&path) {
            Ok(text) => Ok(Some((path, text))),
            Err(error) => Err(ConfigError(format!("{}: {error}", path.display()))),
        };
    }
    for path in [LOCAL, SYSTEM] {
        let is_local = path == LOCAL;
        let path = Path::new(path);
        match files::read_text(path) {
            Ok(text) => {
                if is_local {
                    refuse_planted(path)?;
                }
                return Ok(Some((path.to_owned(), text)));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(ConfigError(format!("{}: {error}", path.display()))),
        }
    }
    Ok(None)
}

/// A command that runs in a folder such as `/tmp` must not read settings that another user put there: they
/// choose where passwords are sent.
#[cfg(unix)]
fn refuse_planted(path: &Path) -> Result<(), ConfigError> {
    use std::os::unix::fs::MetadataExt;
    let shown = path.display();
    // The link itself, too: who owns it chooses the file.
    for found in [path.symlink_metadata(), path.metadata()] {
        let found = found.map_err(|error| ConfigError(format!("{shown}: {error}")))?;
        if ![0, files::user()].contains(&found.uid()) {
            return Err(ConfigError(format!("{shown} belongs to user {}; name it with --config if you mean it", found.uid())));
        }
        if !found.is_symlink() && found.mode() & 0o002 != 0 {
            return Err(ConfigError(format!("{shown} can be written by every user; name it with --config if you mean it")));
        }
    }
    Ok(())
}

#[cfg(not(unix))]
fn refuse_planted(_: &Path) -> Result<(), ConfigError> {
    Ok(())
}
