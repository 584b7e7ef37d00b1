//! `rollcall key`.

use clap::Subcommand;
use serde_json::json;

use crate::actions::by::By;
use crate::actions::signing::rotate::{list, replace, rotate};
use crate::cli::{Outcome, output};
use crate::config::Config;

/// What to do with the keys that sign what apps check by themselves.
#[derive(Subcommand)]
pub(super) enum KeyCommand {
    /// List the keys, and what each does now: next, signs, published, kept
    List {
        /// As JSON lines
        #[arg(long, conflicts_with = "csv")]
        json: bool,
        /// As CSV
        #[arg(long)]
        csv: bool,
    },
    /// Make the next keys: they are published at once and sign a day later
    Rotate {
        /// Sign with new keys at once and publish no others: for keys that somebody else got to know
        #[arg(long)]
        now: bool,
    },
}

pub(super) async fn run(config: Config, command: KeyCommand) -> Outcome {
    let app = crate::cli::open(config).await?;
    match command {
        KeyCommand::List { json, csv } => {
            const HEADER: [&str; 5] = ["kid", "algorithm", "state", "published from", "signs from"];
            let keys = list(&app, By::Cli).await?;
            if json {
                for (key, state) in keys {
                    output::line(
                        &json!({
                            "kid": key.kid, "algorithm": key.algorithm, "state": state.as_str(),
                            "published_from": key.created_at, "signs_from": key.signs_at,
                        })
                        .to_string(),
                    )?;
                }
                return Ok(());
            }
            let rows = keys.into_iter().map(|(key, state)| {
                vec![key.kid, key.algorithm, state.as_str().to_owned(), key.created_at.to_string(), key.signs_at.to_string()]
            });
            let rows: Vec<Vec<String>> = rows.collect();
            if csv { output::csv(&HEADER, &rows) } else { output::table(&HEADER, rows) }
        }
        KeyCommand::Rotate { now: false } => {
            let signs_at = rotate(&app, By::Cli).await?;
            output::say(&format!("made the next keys; they sign from {signs_at} on, and nobody notices"));
            Ok(())
        }
        KeyCommand::Rotate { now: true } => {
            replace(&app, By::Cli).await?;
            output::say(
                "made new keys, which sign from now on; the ones before are not published any more.\n\
                 Nobody is signed out of Rollcall. An app that checks signed identities refuses them until it reads the keys again.",
            );
            Ok(())
        }
    }
}
