//! `[database]`: which database holds the data.

use std::path::{Path, PathBuf};

use crate::config::section::{Kind, section};

/// Where the data is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A SQLite file; it and its directory are created.
    Sqlite(PathBuf),
    /// A PostgreSQL URL, `postgres://…`.
    Postgres(String),
}

section! {
    /// Which database holds the data.
    pub struct DatabaseConfig [database] {
        /// The database: `postgres://user:password@host:5432/database`, or `sqlite:PATH`.
        url: Option<Location> = LOCATION, unset "rollcall.db in data_dir", example "sqlite:./rollcall-data/rollcall.db";
    }
}

impl DatabaseConfig {
    /// The given database, or the SQLite file in the data directory.
    pub(super) fn location(self, data_dir: &Path) -> Location {
        self.url.unwrap_or_else(|| Location::Sqlite(data_dir.join("rollcall.db")))
    }
}

/// A URL holds a password.
const LOCATION: Kind<Location> = Kind::new("a postgres:// URL or sqlite:PATH", parse).secret();

fn parse(text: &str) -> Option<Location> {
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        return Some(Location::Postgres(text.to_owned()));
    }
    let path = text.strip_prefix("sqlite:")?;
    let path = path.strip_prefix("//").unwrap_or(path);
    (!path.is_empty()).then(|| Location::Sqlite(Path::new(path).to_owned()))
}
