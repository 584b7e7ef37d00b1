//! `rollcall import`.

use std::io::{BufReader, Read, Seek};
use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::actions::by::By;
use crate::actions::import;
use crate::cli::{Outcome, output};
use crate::config::Config;

/// What to import.
#[derive(Args)]
pub(super) struct ImportArgs {
    /// JSON lines; - is standard input
    file: PathBuf,
    /// Remove all users, tokens and sessions first, in the same transaction
    #[arg(long)]
    replace: bool,
}

pub(super) async fn run(config: Config, args: ImportArgs) -> Outcome {
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
        args.replace,
        Box::new(move |bytes| moved.inc(bytes)),
    )
    .await;
    bar.finish_and_clear();
    let done = done.map_err(|error| format!("{}: {error}; nothing was imported", args.file.display()))?;
    let applications = if done.applications == 0 { String::new() } else { format!("{} applications, ", done.applications) };
    output::say(&format!("imported {} users, {applications}{} tokens, {} sessions", done.users, done.tokens, done.sessions));
    if done.powerless > 0 {
        output::say(&format!(
            "{} app passwords open no application: their keys do not begin with rcp_; `rollcall token rotate` makes new ones",
            done.powerless
        ));
    }
    Ok(())
}
