//! Backups: one portable file for both databases, made while servers run, and what puts it back.
//!
//! A file is zstd of JSON lines. The first line is the head, then come the tables, each with its columns and its
//! rows, and the last line counts the rows and has the SHA-256 of all lines before it. Behind the compressed
//! lines is a skippable frame (RFC 8878, section 3.1.2) with the SHA-256 of all bytes before it, so that no
//! changed bit goes unseen; `zstd -d` passes over it.

mod lines;
mod make;
mod read;
mod restore;
mod write;

pub use lines::Head;
pub use make::{KEPT_BEFORE_UPGRADES, Made, Options, before_upgrade, last, make, note, remove_old};
pub use read::{BackupFile, Checked, check};
pub use restore::{KeyRule, Restored, restore};

use crate::actions::ActionError;
use crate::store::StoreError;

/// Why a backup cannot be made, read or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// This line of the file cannot be read, or does not belong there; the first has the number 1.
    #[error("line {0}: damaged")]
    Damaged(u64),
    /// The file is no backup.
    #[error("is no backup of Rollcall")]
    Foreign,
    /// The file was made by a newer version: this one.
    #[error("is of a newer Rollcall ({0})")]
    Newer(String),
    /// A row cannot be stored: the number of its line, and why.
    #[error("line {0} cannot be stored: {1}")]
    Refused(u64, StoreError),
    /// The file cannot be read or written.
    #[error("{}", crate::files::plain(.0))]
    File(#[from] std::io::Error),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The caller may not, or the action failed otherwise.
    #[error(transparent)]
    Action(#[from] ActionError),
    /// The instance key cannot be used.
    #[error(transparent)]
    Key(#[from] crate::keys::KeyError),
    /// There is too little room for the backup before an upgrade.
    #[error(
        "no room for a backup before the upgrade: {} needed, {} free in {folder}. Make room, or set \
         database.backup_before_upgrade=false after a backup of your own",
        size(*.needed),
        size(*.free)
    )]
    NoRoom {
        /// About how many bytes it takes.
        needed: u64,
        /// How many bytes are free.
        free: u64,
        /// Where.
        folder: String,
    },
}

/// A number of bytes as people read it: `3.1 GB`.
fn size(bytes: u64) -> String {
    let units = [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];
    let (unit, step) = units.into_iter().find(|(_, step)| bytes >= *step).unwrap_or(("kB", 1_000));
    let tenths = bytes.saturating_mul(10) / step;
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_in_a_unit_that_fits() {
        for (bytes, text) in [(0, "0.0 kB"), (999, "0.9 kB"), (1_234, "1.2 kB"), (3_140_000_000, "3.1 GB"), (25_000_000, "25.0 MB")]
        {
            assert_eq!(size(bytes), text);
        }
    }
}
