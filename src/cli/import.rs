//! `rollcall import`.

use std::io::{BufReader, Read, Seek};
use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::actions::by::By;
use crate::actions::import::{self, ImportError, Stored};
use crate::actions::people::csv_import;
use crate::cli::{Outcome, output};
use crate::config::Config;

/// What to import.
#[derive(Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct ImportArgs {
    /// JSON lines, or with --csv users as CSV, whose first line names the columns; - is standard input
    file: PathBuf,
    /// Remove all users, groups, tokens and sessions first, in the same transaction
    #[arg(long, conflicts_with = "csv")]
    replace: bool,
    /// With --replace: import the file though no administrator who can sign in would be left
    #[arg(long, requires = "replace")]
    without_administrator: bool,
    /// The file is CSV: users, with the columns username, name, email, type, path, groups (names with | between them),
    /// active, superuser, auditor and attributes
    #[arg(long)]
    csv: bool,
    /// With --csv: say what would be added, and add nothing
    #[arg(long, requires = "csv")]
    dry_run: bool,
}

/// The most bytes of a CSV file.
const MOST_CSV: u64 = 64 * 1024 * 1024;

/// Adds the users of a CSV file, or says what would be added.
async fn run_csv(config: Config, args: &ImportArgs) -> Outcome {
    let source: Box<dyn Read> = if args.file.as_os_str() == "-" {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(std::fs::File::open(&args.file).map_err(|error| format!("{}: {error}", args.file.display()))?)
    };
    let mut file = Vec::new();
    source.take(MOST_CSV + 1).read_to_end(&mut file)?;
    if file.len() as u64 > MOST_CSV {
        return Err(format!("{}: longer than {MOST_CSV} bytes; divide it", args.file.display()).into());
    }
    let app = crate::cli::open_or_create(config).await?;
    let preview = if args.dry_run {
        csv_import::preview(&app, By::Cli, file).await?
    } else {
        csv_import::add_all(&app, By::Cli, file).await?
    };
    if !preview.faults.is_empty() {
        for fault in &preview.faults {
            output::say(&format!("line {}: {}", fault.line, fault.why));
        }
        let count = preview.faults.len();
        return Err(format!("{}: {count} fault(s); no user was added", args.file.display()).into());
    }
    let count = preview.users.len();
    if args.dry_run {
        for user in &preview.users {
            output::line(&format!("line {}: {}", user.line, user.username))?;
        }
        output::say(&format!("{count} users would be added; none was"));
    } else {
        output::say(&format!("added {count} users"));
    }
    Ok(())
}

pub(super) async fn run(config: Config, args: ImportArgs) -> Outcome {
    if args.csv {
        return run_csv(config, &args).await;
    }
    let (reader, length): (Box<dyn Read + Send>, Option<u64>) = if args.file.as_os_str() == "-" {
        // Read to its end first: the import holds the database's write lock for as long as it reads.
        let mut spool = tempfile::tempfile()?;
        let length = std::io::copy(&mut std::io::stdin().lock(), &mut spool)?;
        spool.rewind()?;
        (Box::new(spool), Some(length))
    } else {
        let file = std::fs::File::open(&args.file).map_err(|error| format!("{}: {error}", args.file.display()))?;
        let length = file.metadata().ok().map(|meta| meta.len());
        (Box::new(file), length)
    };
    let app = crate::cli::open_or_create(config).await?;
    // Drawn only where standard error is a terminal.
    let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta} left") {
        bar.set_style(style);
    }
    let moved = bar.clone();
    let done = import::run(
        &app,
        By::Cli,
        Box::new(BufReader::with_capacity(1 << 16, reader)),
        match (args.replace, args.without_administrator) {
            (false, _) => Stored::Stays,
            (true, false) => Stored::Goes,
            (true, true) => Stored::GoesWithAdministrators,
        },
        Box::new(move |bytes| moved.inc(bytes)),
    )
    .await;
    bar.finish_and_clear();
    let done = done.map_err(|error| {
        let hint = if matches!(error, ImportError::LastAdministrator) { " (--without-administrator permits that)" } else { "" };
        format!("{}: {error}{hint}; nothing was imported", args.file.display())
    })?;
    let groups = if done.groups == 0 { String::new() } else { format!("{} groups, ", done.groups) };
    let applications = if done.applications == 0 { String::new() } else { format!("{} applications, ", done.applications) };
    output::say(&format!(
        "imported {} users, {groups}{applications}{} tokens, {} sessions",
        done.users, done.tokens, done.sessions
    ));
    if done.strangers > 0 {
        output::say(&format!(
            "{} users brought no uid, by which apps know them: an app that knew them before takes them for somebody new; \
             authentik's API shows the uid of a user",
            done.strangers
        ));
    }
    if done.powerless > 0 {
        output::say(&format!(
            "{} app passwords open no application: their keys do not begin with rcp_; `rollcall token rotate` makes new ones",
            done.powerless
        ));
    }
    Ok(())
}
