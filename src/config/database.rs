//! `[database]`: which database holds the data.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::kinds::{BOOL, DURATION, PATH, SECRET};
use crate::config::secret::Secret;
use crate::config::secret_files;
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
    /// Which database holds the data, and how many connections it gets.
    pub struct DatabaseConfig [database] {
        /// The database: `postgres://user:password@host:5432/database`, or `sqlite:PATH`.
        ///
        /// A PostgreSQL URL takes libpq's `sslmode` (`disable`, `prefer`, `require`, `verify-ca` or
        /// `verify-full`; all but `disable` and `verify-ca` check the server's name where TLS is used)
        /// and `sslrootcert`, a file of certificates that are trusted instead of the system's.
        url: Option<Location> = LOCATION, unset "rollcall.db in data_dir", example "sqlite:./rollcall-data/rollcall.db";

        /// PostgreSQL: the password, instead of the one in `database.url`.
        ///
        /// A file that holds it is read again for every new connection, so that a password can be changed
        /// without a restart.
        password: Option<Secret> = SECRET, unset "that of database.url", example "…";

        /// Whether a backup is written before a new version changes the schema of a database that has users:
        /// `before-VERSION.backup` in `data_dir`, of which the last two are kept.
        backup_before_upgrade: bool = BOOL, default "true";

        /// PostgreSQL: a file of certificates in PEM that are trusted instead of the system's, as `sslrootcert` in
        /// `database.url`.
        root_certificate: Option<PathBuf> = PATH, unset "those of the system", example "/etc/ssl/postgres-ca.pem";

        /// PostgreSQL: the most connections in all, at least 4.
        ///
        /// Three tenths are for reads, a fifth for writes that need not wait for the disk, and the rest for
        /// transactions, unless the next three settings say otherwise.
        connections: usize = CONNECTIONS, default "20";

        /// PostgreSQL: the most connections for reads.
        read_connections: Option<usize> = COUNT, unset "its part of database.connections", example "6";

        /// PostgreSQL: the most connections for transactions.
        write_connections: Option<usize> = COUNT, unset "its part of database.connections", example "10";

        /// PostgreSQL: the most connections for writes that need not wait for the disk, such as counts
        /// of wrong passwords.
        quick_write_connections: Option<usize> = COUNT, unset "its part of database.connections", example "4";

        /// PostgreSQL: the greatest age of a connection; 0: no limit.
        ///
        /// After a failover to another server, connections to the old one are gone by then.
        connection_age: Duration = DURATION, default "30m";
    }
}

const COUNT: Kind<usize> =
    Kind::new("a whole number from 1 to 1000", |text| text.parse().ok().filter(|count| (1..=1000).contains(count)));

const CONNECTIONS: Kind<usize> =
    Kind::new("a whole number from 4 to 3000", |text| text.parse().ok().filter(|count| (4..=3000).contains(count)));

/// How many connections a process has to PostgreSQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// The most for reads.
    pub reads: usize,
    /// The most for transactions.
    pub writes: usize,
    /// The most for writes that need not wait for the disk.
    pub quick_writes: usize,
    /// The greatest age of a connection; `None`: no limit.
    pub age: Option<Duration>,
    /// The certificates that are trusted, where it is not those of the system.
    pub root_certificate: Option<PathBuf>,
    /// The password, where it is not the one in the URL.
    pub password: Option<Password>,
}

/// A password that is given on its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Password {
    /// The password when the settings were read.
    pub secret: Secret,
    /// The file that holds it, to be read again.
    pub file: Option<PathBuf>,
}

impl Password {
    /// The password now: its file is read again.
    ///
    /// # Errors
    /// When the file cannot be read or holds no password.
    pub fn now(&self) -> Result<Secret, super::ConfigError> {
        match &self.file {
            None => Ok(self.secret.clone()),
            Some(file) => secret_files::read("database.password", file).map(Secret),
        }
    }
}

impl DatabaseConfig {
    /// The given database, or the SQLite file in the data directory.
    pub(super) fn location(self, data_dir: &Path) -> Location {
        self.url.unwrap_or_else(|| Location::Sqlite(data_dir.join("rollcall.db")))
    }

    pub(super) fn pool(&self, password_file: Option<PathBuf>) -> PoolConfig {
        let (reads, quick_writes) = (self.connections * 3 / 10, self.connections / 5);
        let (reads, quick_writes) = (reads.max(1), quick_writes.max(1));
        PoolConfig {
            reads: self.read_connections.unwrap_or(reads),
            writes: self.write_connections.unwrap_or(self.connections - reads - quick_writes),
            quick_writes: self.quick_write_connections.unwrap_or(quick_writes),
            root_certificate: self.root_certificate.clone(),
            age: Some(self.connection_age).filter(|age| !age.is_zero()),
            password: self.password.clone().map(|secret| Password { secret, file: password_file }),
        }
    }
}

/// A URL holds a password.
const LOCATION: Kind<Location> =
    Kind::new("a postgres:// URL, or sqlite:PATH with the path of a file and no parameters such as ?mode=rwc", parse).secret();

fn parse(text: &str) -> Option<Location> {
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        return Some(Location::Postgres(text.to_owned()));
    }
    let path = text.strip_prefix("sqlite:")?;
    let path = path.strip_prefix("//").unwrap_or(path);
    // SQLite reads some of these as something else than the name of a file, and others never did.
    let is_file = !path.is_empty() && !path.contains(['?', '#']) && !path.starts_with("file:") && path != ":memory:";
    is_file.then(|| Location::Sqlite(Path::new(path).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_split_and_some_are_kept_for_writes() {
        use crate::config::{Config, Flags};
        let split = |variables: &[(&str, &str)]| {
            let variables = variables.iter().map(|(name, value)| (format!("ROLLCALL_DATABASE__{name}"), (*value).to_owned()));
            let pool = Config::load(&Flags::default(), variables).unwrap().pool;
            (pool.reads, pool.writes, pool.quick_writes)
        };
        assert_eq!(split(&[]), (6, 10, 4));
        assert_eq!(split(&[("CONNECTIONS", "4")]), (1, 2, 1));
        assert_eq!(split(&[("CONNECTIONS", "7")]), (2, 4, 1));
        assert_eq!(split(&[("CONNECTIONS", "100")]), (30, 50, 20));
        assert_eq!(split(&[("CONNECTIONS", "10"), ("WRITE_CONNECTIONS", "1")]), (3, 1, 2));
        let too_few = [("ROLLCALL_DATABASE__CONNECTIONS".to_owned(), "3".to_owned())];
        assert!(Config::load(&Flags::default(), too_few).is_err());
    }

    #[test]
    fn a_sqlite_path_is_the_name_of_a_file() {
        for (text, path) in [("sqlite:x.db", "x.db"), ("sqlite:///var/lib/x.db", "/var/lib/x.db"), ("sqlite://x.db", "x.db")] {
            assert_eq!(parse(text), Some(Location::Sqlite(path.into())), "{text}");
        }
        for text in [
            "sqlite:x?mode=rwc",
            "sqlite:///x.db?cache=shared",
            "sqlite:x.db?",
            "sqlite:x#y",
            "sqlite::memory:",
            "sqlite://:memory:",
            "sqlite:file:x.db",
            "sqlite:file:x.db?mode=ro",
            "sqlite:",
            "sqlite://",
            "sqlite3:x.db",
            "x.db",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
