//! The real program, as people run it: started with a clean environment in a folder of its own,
//! spoken to over its sockets, and ended by signals.

mod chromium;
mod database;
mod person;
mod pooler;
mod ports;
mod server;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::future::Future;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;

pub use chromium::Chromium;
pub use database::{PostgresProxy, TestSchema};
pub use person::Person;
pub use pooler::TransactionPooler;
pub use ports::free_port;
pub use server::Server;

/// The program under test.
pub const ROLLCALL: &str = env!("CARGO_BIN_EXE_rollcall");
/// A good password.
pub const PASSWORD: &str = "correct horse battery staple";
/// The key of the administrator's API token in [`Home::with_administrator`].
pub const TOKEN: &str = "the-administrators-token-in-these-tests";
/// The list of sessions.
pub const SESSIONS: &str = "/api/v3/core/authenticated_sessions/";

/// How long a command may take, however slow the machine.
const COMMAND_TIME: Duration = Duration::from_secs(60);
/// How long [`eventually`] waits.
const PATIENCE: Duration = Duration::from_secs(20);

/// Makes `name::sqlite` and `name::postgres` of a test whose argument is an empty [`Home`].
macro_rules! on_both {
    ($name:ident, |$home:ident| async move $body:block) => {
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            async fn run($home: Home) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                run(Home::sqlite()).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                if let Some(home) = Home::postgres().await {
                    run(home).await;
                }
            }
        }
    };
}

static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Something a test needs is not there: said aloud, and a failure where all tests are required.
pub fn skip(why: &str) {
    assert!(std::env::var_os("REQUIRE_ALL_TESTS").is_none(), "{why}, and REQUIRE_ALL_TESTS is set");
    // Once for each reason, and past the test runner, which would swallow it.
    let mut said = SAID.lock().unwrap();
    if said.insert(why.to_owned()) {
        std::io::stderr().write_all(format!("\nskipped: {why}\n").as_bytes()).unwrap();
    }
}

/// Looks until there is something to see.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, look: impl FnMut() -> F) -> T {
    within(PATIENCE, what, look).await
}

/// Looks until there is something to see, for at most `limit`.
pub async fn within<T, F: Future<Output = Option<T>>>(limit: Duration, what: &str, mut look: impl FnMut() -> F) -> T {
    // Rests longer each time: what is waited for needs the processor more than the look.
    let (mut rest, longest) = (Duration::from_millis(10), Duration::from_millis(200));
    let looking = async {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            tokio::time::sleep(rest).await;
            rest = longest.min(rest * 2);
        }
    };
    tokio::time::timeout(limit, looking).await.unwrap_or_else(|_| panic!("not seen within {limit:?}: {what}"))
}

/// An installation of Rollcall: a data directory, a database, and settings. All is gone in the end.
pub struct Home {
    folder: tempfile::TempDir,
    settings: BTreeMap<String, String>,
    schema: Option<TestSchema>,
}

/// What a command did.
#[derive(Debug)]
pub struct Done {
    /// Its exit code.
    pub code: i32,
    /// What it wrote to standard output.
    pub out: String,
    /// What it wrote to standard error.
    pub err: String,
}

impl Home {
    /// An empty installation on SQLite.
    pub fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().join("data").display().to_string();
        Self { folder, settings: BTreeMap::new(), schema: None }
            .with("ROLLCALL_DATA_DIR", &data_dir)
            .with("ROLLCALL_LISTEN", "127.0.0.1:0")
    }

    /// An empty installation on PostgreSQL, in a schema of its own; `None` when there is no PostgreSQL.
    pub async fn postgres() -> Option<Self> {
        let schema = TestSchema::create().await?;
        let mut home = Self::sqlite().with("ROLLCALL_DATABASE__URL", &schema.url());
        home.schema = Some(schema);
        Some(home)
    }

    /// Sets an environment variable.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.insert(name.to_owned(), value.to_owned());
        self
    }

    /// An administrator is set up at the first start, with [`PASSWORD`] and [`TOKEN`].
    pub fn with_administrator(self) -> Self {
        self.with("ROLLCALL_BOOTSTRAP__PASSWORD", PASSWORD).with("ROLLCALL_BOOTSTRAP__TOKEN", TOKEN)
    }

    /// The schema in PostgreSQL, if that is the database.
    pub fn schema(&self) -> Option<&TestSchema> {
        self.schema.as_ref()
    }

    /// Asks the database itself: the texts in the only column of what a query gives.
    pub async fn texts(&self, sql: &str) -> Vec<String> {
        if let Some(schema) = &self.schema {
            return schema.texts(sql).await;
        }
        let database = rusqlite::Connection::open(self.data("rollcall.db")).unwrap();
        database.busy_timeout(PATIENCE).unwrap();
        let mut statement = database.prepare(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    }

    /// Runs statements on the database itself.
    pub async fn execute(&self, sql: &str) {
        if let Some(schema) = &self.schema {
            return schema.execute(sql).await;
        }
        let database = rusqlite::Connection::open(self.data("rollcall.db")).unwrap();
        database.busy_timeout(PATIENCE).unwrap();
        database.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// The statement that makes the view of all sessions.
    pub fn sessions_view(&self) -> String {
        let migration = match self.schema {
            Some(_) => include_str!("../../../migrations/postgres/0001_init.sql"),
            None => include_str!("../../../migrations/sqlite/0001_init.sql"),
        };
        let (_, view) = migration.split_once("CREATE VIEW").unwrap();
        format!("CREATE VIEW{}", view.split_inclusive(';').next().unwrap())
    }

    /// A uuid's 32 digits, as SQL for [`Home::texts`].
    pub fn digits_of(&self, column: &str) -> String {
        match self.schema {
            Some(_) => format!("replace(CAST({column} AS TEXT), '-', '')"),
            None => format!("lower(hex({column}))"),
        }
    }

    /// Where the program runs: its `rollcall.toml` would be here.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A file in the data directory.
    pub fn data(&self, name: &str) -> PathBuf {
        self.folder().join("data").join(name)
    }

    /// Writes a file into the folder the program runs in, and gives its path.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.folder().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    /// The program, or another one, with nothing but this installation's settings in its environment.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).envs(&self.settings);
        command.current_dir(self.folder()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Starts the server.
    pub async fn serve(&self) -> Server {
        let mut command = self.command(ROLLCALL);
        command.arg("serve");
        Server::start(command).await
    }

    /// Runs a command to its end, with this on its standard input.
    pub fn run_with(&self, args: &[&str], input: &str) -> Done {
        let mut command = self.command(ROLLCALL);
        finish(command.args(args), input)
    }

    /// Runs a command to its end.
    pub fn run(&self, args: &[&str]) -> Done {
        self.run_with(args, "")
    }

    /// Runs a command that works, and gives its standard output.
    pub fn ok(&self, args: &[&str]) -> String {
        self.ok_with(args, "")
    }

    /// Runs a command that works with this on its standard input, and gives its standard output.
    pub fn ok_with(&self, args: &[&str], input: &str) -> String {
        let done = self.run_with(args, input);
        assert_eq!(done.code, 0, "{args:?}: {done:?}");
        done.out
    }

    /// Runs a command that fails with this code and without any data, and gives its standard error.
    pub fn fails(&self, code: i32, args: &[&str]) -> String {
        self.fails_with(code, args, "")
    }

    /// The same, with this on its standard input.
    pub fn fails_with(&self, code: i32, args: &[&str], input: &str) -> String {
        let done = self.run_with(args, input);
        assert_eq!((done.code, done.out.as_str()), (code, ""), "{args:?}: {done:?}");
        assert!(!done.err.contains("panicked"), "{args:?}: {done:?}");
        done.err
    }

    /// Runs a command that prints JSON lines.
    pub fn rows(&self, args: &[&str]) -> Vec<Value> {
        self.ok(args).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Adds a user with [`PASSWORD`].
    pub fn add_user(&self, username: &str) {
        self.ok_with(&["user", "add", username], &format!("{PASSWORD}\n"));
    }

    /// Imports lines.
    pub fn import(&self, lines: &[Value]) {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        self.ok_with(&["import", "-"], &text);
    }
}

/// Runs any command to its end.
pub fn finish(command: &mut Command, input: &str) -> Done {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let (id, mut stdin, input) = (child.id(), child.stdin.take().unwrap(), input.to_owned());
    // A command may end without reading all of it.
    std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    let output = receiver.recv_timeout(COMMAND_TIME).unwrap_or_else(|_| {
        signal(id, "KILL");
        panic!("{command:?} did not end");
    });
    let output = output.unwrap();
    Done {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Sends a signal to a process.
pub fn signal(process: u32, name: &str) {
    let status = Command::new("sh").args(["-c", &format!("kill -{name} {process}")]).status().unwrap();
    assert!(status.success(), "no signal reached the process");
}
