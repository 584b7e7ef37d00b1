//! The command line. It works on the database directly, also while the server runs: an incident must
//! not depend on the web server.
//!
//! Nothing but data goes to standard output; messages and progress go to standard error. Exit codes:
//! 0 done, 1 failed, 2 wrong usage (a wrong setting is one), 3 no session matched.

mod app;
mod backup;
mod check;
mod check_source;
mod clock;
mod demo;
mod echo;
mod ended;
mod event;
mod export;
mod filters;
mod generate;
mod group;
mod healthcheck;
mod import;
mod key;
mod licenses;
mod listen;
pub mod load;
mod lock;
mod log;
mod manual;
pub mod metrics;
mod notify;
mod output;
mod people_filters;
mod policy;
mod proxy;
mod reload;
mod restore;
mod serve;
mod server_file;
mod session;
mod settings;
mod source;
mod start;
mod token;
#[cfg(feature = "otlp")]
mod traces;
mod user;
mod user_fields;
mod version;
mod watch;

use std::ffi::OsString;
use std::process::ExitCode;

use crate::actions::app::App;
use crate::cli::settings::Settings;
use crate::config::{Config, Flags, Location};
use crate::domain::Clock;
use crate::store::Store;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

/// A self-hosted session server: who is signed in, from where and on what; and how to sign them out.
#[derive(Parser)]
#[command(name = "rollcall", version, arg_required_else_help = true, max_term_width = 100)]
#[command(after_help = "`rollcall help settings` prints every setting.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server; the first start creates everything and prints a set-up link
    Serve(ServeArgs),
    /// Run a throw-away instance full of made-up people and sessions
    Demo(demo::DemoArgs),
    /// Import users, tokens and sessions from JSON lines: all or nothing
    Import(import::ImportArgs),
    /// Write sessions, ended sessions, users or events to standard output
    Export(export::ExportArgs),
    /// Make realistic load data: users and sessions in any number
    Generate(generate::GenerateArgs),
    /// Users: add, change, show, list, export, activate, deactivate, remove, erase; passwords and second factors
    #[command(subcommand)]
    User(user::UserCommand),
    /// Groups: add, change, show, list, remove, members
    #[command(subcommand)]
    Group(group::GroupCommand),
    /// Tokens: add, list, rotate, remove
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Applications: add, set, list, show, remove, sessions, end-session, secret, notices, rule, test, config
    #[command(subcommand)]
    App(Box<app::AppCommand>),
    /// The keys that sign what apps check by themselves: list, rotate
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Limits of the instance, groups and users: show, list, set
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Sessions: list, show, end, watch
    #[command(subcommand)]
    Session(Box<session::SessionCommand>),
    /// Events: list, watch
    #[command(subcommand)]
    Event(Box<event::EventCommand>),
    /// The authentik that is watched: status, ends, stop, accept, run
    #[command(subcommand)]
    Watch(source::WatchCommand),
    /// Write all of the database into one file, also while servers run
    Backup(backup::BackupArgs),
    /// Put a backup into an empty database, or in the place of what a database holds
    Restore(restore::RestoreArgs),
    /// Bring the database's schema up to date
    Migrate,
    /// Say what is wrong with configuration, database and files, or with a reverse proxy, and how to mend it
    Check {
        #[command(subcommand)]
        what: Option<CheckCommand>,
    },
    /// Stand in for an app behind a reverse proxy: tell `rollcall check proxy` what arrives
    Echo(echo::EchoArgs),
    /// Ask the server that runs here whether it is ready: exit code 0, or 1 and why
    Healthcheck(healthcheck::HealthcheckArgs),
    /// Print the version
    Version(version::VersionArgs),
    /// The machine's clock: confirm it after it jumped
    #[command(subcommand)]
    Clock(clock::ClockCommand),
    /// Print the API's description (OpenAPI 3.1, JSON)
    Openapi,
    /// Print the licences of the program and of the libraries in it
    Licenses,
    /// Print the manual page, or write the pages of all commands
    Man(manual::ManArgs),
    /// Print a completion script
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
}

/// What else can be checked.
#[derive(Subcommand)]
enum CheckCommand {
    /// Ask a live reverse proxy about itself: does it strip, fail closed, and ask about the right host and path?
    Proxy(proxy::ProxyArgs),
}

/// Where to listen.
#[derive(Args)]
struct ServeArgs {
    /// Address and port, such as 0.0.0.0:9000; port 0 takes a free one. docs/OPERATIONS.md has the other places
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
}

/// Why a command failed, in words for people.
type Failure = Box<dyn std::error::Error + Send + Sync>;
type Outcome = Result<(), Failure>;

/// Reads a command line: the command, and the settings that stand before it and behind it.
fn parse(line: impl IntoIterator<Item = OsString>) -> Result<(Cli, Settings), clap::Error> {
    let mut command = settings::on_every_command(Cli::command());
    let matches = command.try_get_matches_from_mut(line)?;
    let given = Settings::gather(&matches).map_err(|error| error.format(&mut command))?;
    let cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
    Ok((cli, given))
}

/// The environment's variables. One of ours that is no text is a mistake; those of others do not matter.
fn environment() -> Result<Vec<(String, String)>, String> {
    let mut variables = Vec::new();
    for (name, value) in std::env::vars_os() {
        let Ok(name) = name.into_string() else { continue };
        match value.into_string() {
            Ok(value) => variables.push((name, value)),
            Err(_) if name.starts_with("ROLLCALL_") => return Err(format!("{name}: its value is not UTF-8")),
            Err(_) => {}
        }
    }
    Ok(variables)
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    if manual::asks_for_settings(std::env::args_os()) {
        return finish(manual::settings());
    }
    let (cli, given) = match parse(std::env::args_os()) {
        Ok(parsed) => parsed,
        Err(error) => error.exit(),
    };
    let mut flags = Flags { config: given.config, values: Vec::new() };
    let listen = match &cli.command {
        Command::Serve(args) | Command::Demo(demo::DemoArgs { serve: args, .. }) => args.listen.clone(),
        _ => None,
    };
    let named = [
        ("data_dir", given.data_dir, "--data-dir"),
        ("database.url", given.database_url, "--database-url"),
        ("listen", listen, "--listen"),
    ];
    flags.values.extend(named.into_iter().filter_map(|(key, value, flag)| Some((key.to_owned(), value?, flag))));
    for set in given.sets {
        let Some((key, value)) = set.split_once('=') else {
            return wrong_usage(&format!("--set {set}: write KEY=VALUE"));
        };
        flags.values.push((key.trim().to_owned(), value.to_owned(), "--set"));
    }
    // These commands need no configuration, so they also work with a wrong one.
    match cli.command {
        Command::Openapi => return finish(openapi()),
        Command::Version(args) => return finish(version::run(&args)),
        Command::Echo(args) => return finish(echo::start(args)),
        Command::Licenses => return finish(licenses::run()),
        Command::Man(args) => return finish(manual::run(&args, settings::on_every_command(Cli::command()))),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut settings::on_every_command(Cli::command()), "rollcall", &mut script);
            return finish(output::write(&script));
        }
        _ => {}
    }
    // Nor does one that only reads a file.
    if let Command::Backup(args) = &cli.command
        && let Some(file) = args.to_check()
    {
        return finish(backup::check(file));
    }
    let environment = match environment() {
        Ok(environment) => environment,
        Err(error) => return wrong_usage(&error),
    };
    let config = match Config::load(&flags, environment) {
        Ok(config) => config,
        Err(error) => return wrong_usage(&error.to_string()),
    };
    if let Command::Healthcheck(args) = &cli.command {
        return finish(healthcheck::run(&config, args));
    }
    let is_server = matches!(cli.command, Command::Serve(_) | Command::Demo(_));
    // While there is one thread: the variables that name the sockets are removed.
    let inherited = match if is_server { listen::inherited() } else { Ok(Vec::new()) } {
        Ok(inherited) => inherited,
        Err(error) => return finish(Err(error.into())),
    };
    let log = log::Log::start(&config.log, is_server);
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return finish(Err(error.into())),
    };
    let outcome = runtime.block_on(async {
        match cli.command {
            Command::Serve(_) => serve::run(config, reload::Reload { flags, log }, inherited).await,
            Command::Demo(args) => demo::run(config, args.shown(), inherited).await,
            Command::Import(args) => import::run(config, args).await,
            Command::Export(args) => export::run(config, args).await,
            Command::Generate(args) => generate::run(config, args).await,
            Command::User(command) => user::run(config, command).await,
            Command::Group(command) => group::run(config, command).await,
            Command::Token(command) => token::run(config, command).await,
            Command::App(command) => app::run(config, *command).await,
            Command::Key(command) => key::run(config, command).await,
            Command::Policy(command) => policy::run(config, command).await,
            Command::Session(command) => session::run(config, *command).await,
            Command::Event(command) => event::run(config, *command).await,
            Command::Watch(command) => source::run(config, command).await,
            Command::Backup(args) => backup::run(config, args).await,
            Command::Restore(args) => restore::run(config, args).await,
            Command::Migrate => migrate(config).await,
            Command::Check { what: None } => check::run(config).await,
            Command::Check { what: Some(CheckCommand::Proxy(args)) } => proxy::run(config, args).await,
            Command::Clock(command) => clock::run(config, command).await,
            Command::Openapi
            | Command::Completions { .. }
            | Command::Version(_)
            | Command::Healthcheck(_)
            | Command::Echo(_)
            | Command::Licenses
            | Command::Man(_) => Ok(()),
        }
    });
    // Nothing is left to wait for; nobody needs the result of a running hash or look-up.
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    finish(outcome)
}

fn finish(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // The reader closed the pipe, as `head` does: that is no failure.
        Err(error) if error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe) => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            output::say(&format!("rollcall: {error}"));
            ExitCode::from(match () {
                () if error.is::<WrongUsage>() => 2,
                () if error.is::<NothingMatched>() => 3,
                () => 1,
            })
        }
    }
}

/// What was written on the command line makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct WrongUsage(String);

/// The filters were understood, and none of these things matches them.
#[derive(Debug, thiserror::Error)]
#[error("no {0} matches")]
struct NothingMatched(&'static str);

/// A [`Failure`] that is the command line's fault.
fn misused(message: impl Into<String>) -> Failure {
    WrongUsage(message.into()).into()
}

fn wrong_usage(message: &str) -> ExitCode {
    output::say(&format!("rollcall: {message}"));
    ExitCode::from(2)
}

/// Opens an instance that exists, as the server does. It makes none: a command that runs in the wrong
/// folder, or with the wrong settings, must say so and leave nothing behind.
///
/// # Errors
/// Wrong usage when there is no instance.
async fn open(config: Config) -> Result<App, Failure> {
    must_exist(&config).await?;
    open_or_create(config).await
}

/// Opens an instance, and creates it if there is none: for commands that fill one.
async fn open_or_create(mut config: Config) -> Result<App, Failure> {
    // Reading all sessions into memory takes longer than one question to the database.
    config.sessions.index_limit = 0;
    // A large future, which every command would hold.
    Box::pin(start::app(config, Clock::System)).await
}

/// Says that there is no instance where the settings point, and how they point elsewhere.
fn no_instance(config: &Config, what: &str) -> Failure {
    misused(format!(
        "there is no Rollcall in {}; say where with --data-dir or ROLLCALL_DATA_DIR ({what}; --database-url and ROLLCALL_DATABASE__URL \
         name a database, `rollcall serve` makes an instance)",
        config.data_dir.display()
    ))
}

/// Checks that database and instance key are there, and makes neither.
async fn must_exist(config: &Config) -> Outcome {
    let none = |what: String| no_instance(config, &what);
    if let Location::Sqlite(path) = &config.database
        && !path.exists()
    {
        return Err(none(format!("{} does not exist", path.display())));
    }
    if !Store::open(&config.database, &config.pool).await?.has_schema().await? {
        return Err(none("the database has no tables of Rollcall".into()));
    }
    let key = config.instance_key_path();
    if !key.exists() {
        return Err(none(format!("the database is there, and its instance key is not: {} does not exist", key.display())));
    }
    Ok(())
}

async fn migrate(config: Config) -> Outcome {
    must_exist(&config).await?;
    let _lock = lock::take(&config).await?;
    let store = Store::open(&config.database, &config.pool).await?;
    start::before_upgrade(&store, &config).await?;
    let applied = store.migrate().await?;
    for name in &applied {
        output::say(&format!("applied {name}"));
    }
    if applied.is_empty() {
        output::say("the schema is up to date");
    }
    Ok(())
}

fn openapi() -> Outcome {
    let text = crate::api::schema::description().to_pretty_json()?;
    output::line(&text)
}
