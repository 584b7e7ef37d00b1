//! One suite, both databases.

use std::future::Future;

use rollcall::config::{Config, Flags};
use tempfile::TempDir;
use tokio_postgres::NoTls;

/// A database for one test, empty, without a schema yet; and a folder that goes with it.
pub struct TestDb {
    /// As in `ROLLCALL_DATABASE__URL`.
    pub url: String,
    /// The data directory.
    pub dir: TempDir,
}

impl TestDb {
    /// A SQLite file of its own.
    pub fn sqlite() -> Self {
        let dir = TempDir::new().expect("a temporary folder");
        Self { url: format!("sqlite:{}", dir.path().join("rollcall.db").display()), dir }
    }

    pub fn is_sqlite(&self) -> bool {
        self.url.starts_with("sqlite:")
    }

    /// Settings for this database.
    pub fn config(&self, settings: &[(&str, &str)]) -> Config {
        let file = self.dir.path().join("rollcall.toml");
        std::fs::write(&file, "").expect("a file");
        let flags = Flags { config: Some(file), ..Flags::default() };
        let mut environment = vec![
            ("ROLLCALL_DATA_DIR".to_owned(), self.dir.path().display().to_string()),
            ("ROLLCALL_DATABASE__URL".to_owned(), self.url.clone()),
        ];
        environment.extend(settings.iter().map(|(name, value)| (format!("ROLLCALL_{name}"), (*value).to_owned())));
        Config::load(&flags, environment).expect("settings that can be used")
    }

    /// Runs statements on the database directly, without the server.
    pub async fn run(&self, sql: &str) {
        match self.url.strip_prefix("sqlite:") {
            Some(path) => {
                let connection = rusqlite::Connection::open(path).expect("the database opens");
                connection.busy_timeout(std::time::Duration::from_secs(10)).expect("a timeout");
                connection.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
            }
            None => execute(&self.url, sql).await,
        }
    }
}

/// Makes the tests `$name::sqlite` and `$name::postgres` of one body.
#[macro_export]
macro_rules! db_test {
    ($name:ident, |$db:ident| async move $body:block) => {
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            async fn body($db: $crate::support::TestDb) $body

            #[tokio::test]
            async fn sqlite() {
                body($crate::support::TestDb::sqlite()).await;
            }

            #[tokio::test]
            async fn postgres() {
                $crate::support::db::on_postgres(body).await;
            }
        }
    };
}

/// Runs `body` in a schema of its own, which is dropped afterwards, also when the test fails.
pub async fn on_postgres<F: Future<Output = ()> + Send + 'static>(body: impl FnOnce(TestDb) -> F) {
    let Ok(server) = std::env::var("TEST_DATABASE_URL") else {
        return crate::process::skip("TEST_DATABASE_URL is not set");
    };
    let name = rollcall::domain::secret::random_alphanumeric(16).expect("randomness").to_lowercase();
    let schema = format!("rollcall_test_{name}");
    execute(&server, &format!("CREATE SCHEMA {schema}")).await;
    let mark = if server.contains('?') { '&' } else { '?' };
    let url = format!("{server}{mark}options=-csearch_path%3D{schema}");
    let db = TestDb { url, dir: TempDir::new().expect("a temporary folder") };
    // A task of its own: a panic ends it alone, and the schema still goes.
    let done = tokio::spawn(body(db)).await;
    execute(&server, &format!("DROP SCHEMA {schema} CASCADE")).await;
    if let Err(error) = done {
        std::panic::resume_unwind(error.into_panic());
    }
}

async fn execute(server: &str, sql: &str) {
    let (client, connection) = tokio_postgres::connect(server, NoTls).await.expect("TEST_DATABASE_URL can be reached");
    let connection = tokio::spawn(connection);
    client.batch_execute("SET lock_timeout = '20s'").await.expect("a setting");
    client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    drop(client);
    connection.await.expect("the connection ends").expect("the connection ends well");
}
