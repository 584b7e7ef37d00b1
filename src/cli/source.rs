//! `rollcall watch`: the authentik that is watched.

use std::time::Duration;

use clap::Subcommand;
use serde_json::{Value, json};

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::watch::end::end_one;
use crate::actions::watch::poller::Poller;
use crate::actions::watch::status::{CopyStatus, status};
use crate::cli::{Failure, Outcome, output};
use crate::config::Config;
use crate::domain::SessionId;
use crate::domain::listing::SessionFilter;
use crate::domain::source::{NOT_REACHED, Origin, ends_doubted};

/// What to do with the watched authentik.
#[derive(Subcommand)]
pub(super) enum WatchCommand {
    /// Show the state of the copy: how many sessions it has, and how old it is
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Poll authentik from here, as a running server does by itself
    Run {
        /// Poll once and stop; exit code 1 when the poll did not come to its end
        #[arg(long, required = true)]
        once: bool,
    },
}

/// What is said when there is no copy.
pub(super) const NOTHING_WATCHED: &str =
    "no authentik was watched so far: set authentik.url and authentik.token, and start the server";

pub(super) async fn run(config: Config, command: WatchCommand) -> Outcome {
    let app = super::open(config).await?;
    match command {
        WatchCommand::Status { json } => show(&app, json).await,
        WatchCommand::Run { once: _ } => {
            let mut poller = Poller::default();
            let outcome = poller.poll(&app, By::Cli).await;
            poller.release(&app, By::Cli).await?;
            outcome?;
            show(&app, false).await
        }
    }
}

async fn show(app: &App, is_json: bool) -> Outcome {
    let found = status(app, By::Cli).await?.ok_or_else(|| Failure::from(NOTHING_WATCHED))?;
    if is_json {
        return output::line(&record(&found).to_string());
    }
    output::facts(&record(&found))
}

/// What is said before sessions of authentik end.
pub(super) async fn before_an_end(app: &App) -> Result<String, Failure> {
    let found = status(app, By::Cli).await?.ok_or_else(|| Failure::from(NOTHING_WATCHED))?;
    Ok(format!("authentik will end them. {NOT_REACHED} {}", ends_doubted(&found.source.status.version)).trim_end().to_owned())
}

/// Ends sessions at authentik one by one, and gives how many. `before` ended elsewhere already.
///
/// # Errors
/// What authentik did instead of the first end that failed, and how many ended.
pub(super) async fn end_each(app: &App, ids: &[SessionId], reason: &str, before: u64) -> Result<u64, Failure> {
    let mut ended = 0;
    for id in ids {
        match end_one(app, By::Cli, *id, reason).await {
            Ok(_) => ended += 1,
            Err(ActionError::NotFound) => output::say(&format!("{id} is not at authentik any more")),
            Err(error) => return Err(format!("{id}: {error}. {} sessions were ended before", before + ended).into()),
        }
    }
    Ok(ended)
}

/// The state of the copy, where a list asks for its sessions.
///
/// # Errors
/// When only these are asked for, and nothing was copied; else when the database does not answer.
pub(super) async fn copy_of(app: &App, filter: &SessionFilter) -> Result<Option<CopyStatus>, Failure> {
    if filter.is_of_rollcall() {
        return Ok(None);
    }
    let found = status(app, By::Cli).await?;
    if found.is_none() && filter.source == Some(Origin::Authentik) {
        return Err(NOTHING_WATCHED.into());
    }
    Ok(found)
}

/// How old and how complete the copy is, in one line.
pub(super) fn how_fresh(found: &CopyStatus) -> String {
    let status = &found.source.status;
    let age = found.age.map_or_else(|| "not complete so far".to_owned(), |age| format!("as of {} ago", whole_seconds(age)));
    let mut line = format!("{age}; {} of {} sessions copied", found.copied, status.total);
    if !status.detail.is_empty() {
        line.push_str("; ");
        line.push_str(&status.detail);
    }
    line
}

fn whole_seconds(age: Duration) -> String {
    humantime::format_duration(Duration::from_secs(age.as_secs())).to_string()
}

fn record(found: &CopyStatus) -> Value {
    let CopyStatus { source, copied, age, is_late, unknown_ends } = found;
    let status = &source.status;
    let age = age.map(whole_seconds);
    json!({
        "source": source.name,
        "url": source.url,
        "version": status.version,
        "state": status.state.as_str(),
        "detail": status.detail,
        "sessions": status.total,
        "copied": copied,
        "as_of": (status.seen_at.0 > 0).then_some(status.seen_at),
        "age": age,
        "is_late": is_late,
        "ends": ends_doubted(&status.version),
        "unknown_ends": unknown_ends,
    })
}
