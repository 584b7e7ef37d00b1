//! Secrets that are kept in files of their own: containers mount them, and systemd hands them to a service
//! as credentials.

use std::path::{Path, PathBuf};

use crate::config::ConfigError;
use crate::files;

/// The largest secret, in bytes.
const LARGEST: u64 = 64 << 10;

/// What a setting in `rollcall.toml` begins with when its value is in a file.
const MARK: &str = "file:";

/// The file that a value in `rollcall.toml` names: `file:/run/secrets/x` or `file:///run/secrets/x`.
pub(super) fn named_by(text: &str) -> Option<PathBuf> {
    let path = text.strip_prefix(MARK)?;
    Some(PathBuf::from(path.strip_prefix("//").unwrap_or(path)))
}

/// The secret in a file. One line break at its end is not part of it.
///
/// # Errors
/// When the file cannot be read, is empty, holds more than 64 KiB, a control character, or text that is not
/// UTF-8. The error names `source` and the file, and never shows the content.
pub(super) fn read(source: &str, path: &Path) -> Result<String, ConfigError> {
    let shown = path.display();
    let bytes = files::read(path, LARGEST).map_err(|error| match error.raw_os_error() {
        Some(_) => ConfigError(format!("{source}: {shown}: {}", files::plain(&error))),
        None => ConfigError(format!("{source}: {shown} {error}")),
    })?;
    let text = String::from_utf8(bytes).map_err(|_| ConfigError(format!("{source}: {shown} is not UTF-8 text")))?;
    let text = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    if text.is_empty() {
        return Err(ConfigError(format!("{source}: {shown} is empty")));
    }
    match text.chars().find(|c| c.is_control()) {
        None => Ok(text.to_owned()),
        Some(found) => {
            let name = match found {
                '\r' => "a carriage return".to_owned(),
                '\n' => "a line break".to_owned(),
                '\0' => "a NUL".to_owned(),
                other => format!("the control character U+{:04X}", u32::from(other)),
            };
            Err(ConfigError(format!("{source}: {shown} holds {name}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_the_text_of_its_file_without_one_line_break() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let of = |content: &[u8]| {
            std::fs::write(&path, content).unwrap();
            read("NAME", &path).map_err(|error| error.0.replace(&path.display().to_string(), "FILE"))
        };
        for content in [&b"hunter2"[..], b"hunter2\n", b"hunter2\r\n"] {
            assert_eq!(of(content).unwrap(), "hunter2", "{}", content.escape_ascii());
        }
        for (content, error) in [
            (&b""[..], "NAME: FILE is empty"),
            (b"\n", "NAME: FILE is empty"),
            (b"\r\n", "NAME: FILE is empty"),
            (b"hunter2\r", "NAME: FILE holds a carriage return"),
            (b"hunter2\n\n", "NAME: FILE holds a line break"),
            (b"hunter2\r\n\r\n", "NAME: FILE holds a carriage return"),
            (b"hun\0ter2", "NAME: FILE holds a NUL"),
            (b"hun\tter2", "NAME: FILE holds the control character U+0009"),
            (b"hunter\xff", "NAME: FILE is not UTF-8 text"),
        ] {
            assert_eq!(of(content).unwrap_err(), error, "{}", content.escape_ascii());
        }
        assert_eq!(of(&vec![b'x'; 65537]).unwrap_err(), "NAME: FILE is larger than 65536 bytes");
        assert_eq!(of(&vec![b'x'; 65536]).unwrap().len(), 65536);
        let missing = folder.path().join("none");
        let error = read("NAME", &missing).unwrap_err().0;
        assert_eq!(error, format!("NAME: {}: No such file or directory", missing.display()));
        let error = read("NAME", folder.path()).unwrap_err().0;
        assert_eq!(error, format!("NAME: {} is a directory, not a regular file", folder.path().display()));
    }

    #[test]
    fn a_value_names_a_file_in_two_forms() {
        for text in ["file:/run/x", "file:///run/x"] {
            assert_eq!(named_by(text), Some("/run/x".into()), "{text}");
        }
        for text in ["/run/x", "postgres://file:x@h/d", "File:/run/x", ""] {
            assert_eq!(named_by(text), None, "{text}");
        }
    }
}
