//! `rollcall watch`: the authentik that is watched.

use std::time::Duration;

use clap::Subcommand;
use serde_json::{Value, json};

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::watch::accept;
use crate::actions::watch::end::end_one;
use crate::actions::watch::many::{self, JobView, ManyEnds};
use crate::actions::watch::poller::Poller;
use crate::actions::watch::run::forever;
use crate::actions::watch::status::{CopyStatus, status};
use crate::cli::{Failure, NothingMatched, Outcome, output};
use crate::config::Config;
use crate::domain::SessionId;
use crate::domain::listing::SessionFilter;
use crate::domain::source::{JobState, NOT_REACHED, Origin, ends_doubted};

/// What to do with the watched authentik.
#[derive(Subcommand)]
pub(super) enum WatchCommand {
    /// Show the state of the copy: how many sessions it has, and how old it is
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the ends of many sessions at authentik of the last day, and how far each is
    Ends {
        /// As JSON lines
        #[arg(long)]
        json: bool,
    },
    /// Stop an end of many sessions at authentik: what ended stays ended, the rest is left alone
    Stop {
        /// Which, as `rollcall watch ends` names it
        name: String,
    },
    /// Take another authentik in the place of the one that was copied, which is in doubt until then: the copied sessions are
    /// forgotten, none of them counts as ended, and the copy begins anew
    Accept {
        /// Do not ask
        #[arg(long)]
        yes: bool,
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
        WatchCommand::Ends { json } => list_ends(&app, json).await,
        WatchCommand::Stop { name } => match many::stop(&app, By::Cli, &name).await {
            Err(ActionError::NotFound) => Err(format!("no end of many sessions named {name} goes on").into()),
            stopped => Ok(stopped?),
        },
        WatchCommand::Accept { yes } => accept_another(&app, yes).await,
        WatchCommand::Run { once: _ } => {
            let mut poller = Poller::default();
            let outcome = poller.poll(&app, By::Cli).await;
            poller.release(&app, By::Cli).await?;
            outcome?;
            show(&app, false).await
        }
    }
}

/// Shows who answers, asks, and takes it in the place of the authentik that was copied.
async fn accept_another(app: &App, is_sure: bool) -> Outcome {
    let offer = accept::look(app, By::Cli).await?;
    let (before, copied) = (&offer.source, offer.copied);
    output::facts(&json!({
        "url": offer.url,
        "version": offer.version,
        "token_of": offer.owner.username,
        "sessions_visible": offer.visible,
        "copied_from": before.url,
        "copied_as_of": (before.status.seen_at.0 > 0).then_some(before.status.seen_at),
        "sessions_copied": copied,
    }))?;
    output::say(&format!(
        "The {copied} copied session(s) will be forgotten. None of them counts as ended, and what is in the history stays. If this \
         is the same authentik, and the token sees too little there, give its owner the permission \
         authentik_core.view_authenticatedsession instead."
    ));
    if !is_sure && !output::confirm(&format!("Take {} in its place?", offer.url))? {
        return Err("nothing was changed".into());
    }
    let forgotten = accept::accept(app, By::Cli, &offer).await?;
    let ends = match forgotten.ends {
        0 => String::new(),
        ends => format!("; what became of {ends} end(s) there is not known"),
    };
    output::say(&format!("{} session(s) are forgotten{ends}. The next poll begins to copy {}", forgotten.sessions, offer.url));
    Ok(())
}

async fn show(app: &App, is_json: bool) -> Outcome {
    let found = status(app, By::Cli).await?.ok_or_else(|| Failure::from(NOTHING_WATCHED))?;
    if is_json {
        return output::line(&record(&found).to_string());
    }
    output::facts(&record(&found))
}

/// Ends what matches at authentik, and shows the progress. A running server goes on with it when the command is
/// interrupted.
pub(super) async fn end_many(app: &App, mut what: ManyEnds, is_sure: bool) -> Outcome {
    output::say(&before_an_end(app).await?);
    let count = many::count(app, By::Cli, &what.which).await?;
    let is_narrow = !many::is_everyone(&what.which);
    if count == 0 && is_narrow {
        return Err(NothingMatched("session").into());
    }
    if !is_narrow && what.expected.is_none() {
        return Err(format!("these are all {count} sessions at authentik; add --expected-count {count} to end them").into());
    }
    if !is_sure && what.expected.is_none() {
        if !output::confirm(&format!("End {count} session(s) at authentik?"))? {
            return Err("nothing was ended".into());
        }
        what.expected = Some(count);
    }
    let name = many::begin(app, By::Cli, what).await?;
    output::say(&format!(
        "rollcall watch stop {name} stops it; where this command is interrupted, a running server goes on with it"
    ));
    let mut poller = Poller::default();
    let view = tokio::select! {
        view = follow(app, &name) => view?,
        // An end needs a fresh copy, and no server may run.
        error = forever(app, By::Cli, &mut poller) => return Err(error.into()),
    };
    poller.release(app, By::Cli).await?;
    output::say(&in_words(&view));
    if view.job.state == JobState::Done { Ok(()) } else { Err("it did not come to its end".into()) }
}

/// Shows the progress of a job until it ends.
async fn follow(app: &App, name: &str) -> Result<JobView, Failure> {
    let mut said = -1;
    loop {
        let view = many::find(app, By::Cli, name).await?;
        if !view.is_open() {
            return Ok(view);
        }
        if view.done() != std::mem::replace(&mut said, view.done()) {
            output::say(&format!("{} of {}", view.done(), view.job.total));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn in_words(view: &JobView) -> String {
    let mut line = format!("{}: ended {} of {} sessions at authentik", view.job.state.as_str(), view.ended, view.job.total);
    let rest = [
        (view.gone, "were gone before"),
        (view.unknown, "are not known"),
        (view.still_there, "are still there"),
        (view.lost, "will never be known"),
    ];
    line.extend(rest.into_iter().filter(|(count, _)| *count > 0).map(|(count, words)| format!("; {count} {words}")));
    if !view.job.detail.is_empty() {
        line.push_str("; ");
        line.push_str(&view.job.detail);
    }
    line
}

async fn list_ends(app: &App, is_json: bool) -> Outcome {
    for view in many::list(app, By::Cli).await? {
        let job = &view.job;
        if is_json {
            let filter: Value = serde_json::from_str(&job.filter).unwrap_or_default();
            output::line(
                &json!({
                    "name": job.name, "state": job.state.as_str(), "detail": job.detail, "filter": filter, "by": job.actor,
                    "began": job.began_at, "sessions": job.total, "ended": view.ended, "gone": view.gone, "unknown": view.unknown,
                    "still_there": view.still_there, "lost": view.lost,
                })
                .to_string(),
            )?;
        } else {
            output::line(&format!("{}  {}  by {}  {}", job.name, job.began_at, job.actor, in_words(&view)))?;
        }
    }
    Ok(())
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
    let CopyStatus { source, url, copied, age, is_late, unknown_ends } = found;
    let status = &source.status;
    let age = age.map(whole_seconds);
    json!({
        "source": source.name,
        "url": url,
        "copied_from": source.url,
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
