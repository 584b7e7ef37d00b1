//! `rollcall watch`: the authentik that is watched.

use std::time::Duration;

use clap::Subcommand;
use serde_json::{Map, Value, json};

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::sessions::question;
use crate::actions::sessions::records::{cell, cells};
use crate::actions::watch::end::end_one;
use crate::actions::watch::many::{self, JobView, ManyEnds};
use crate::actions::watch::poller::Poller;
use crate::actions::watch::run::forever;
use crate::actions::watch::status::{CopyStatus, status};
use crate::cli::filters::FilterArgs;
use crate::cli::{Failure, NothingMatched, Outcome, output};
use crate::config::Config;
use crate::domain::SessionId;
use crate::domain::listing::{SessionFilter, Sort};
use crate::domain::page::Wanted;
use crate::domain::source::{JobState, NOT_REACHED, ends_doubted};
use crate::store::watch::list::WatchedFilter;
use crate::store::watch::sessions::WatchedRow;

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
    /// Poll authentik from here, as a running server does by itself
    Run {
        /// Poll once and stop; exit code 1 when the poll did not come to its end
        #[arg(long, required = true)]
        once: bool,
    },
}

/// What is said when there is no copy.
const NONE: &str = "no authentik was watched so far: set authentik.url and authentik.token, and start the server";

pub(super) async fn run(config: Config, command: WatchCommand) -> Outcome {
    let app = super::open(config).await?;
    match command {
        WatchCommand::Status { json } => show(&app, json).await,
        WatchCommand::Ends { json } => list_ends(&app, json).await,
        WatchCommand::Stop { name } => match many::stop(&app, By::Cli, &name).await {
            Err(ActionError::NotFound) => Err(format!("no end of many sessions named {name} goes on").into()),
            stopped => Ok(stopped?),
        },
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
    let found = status(app, By::Cli).await?.ok_or_else(|| Failure::from(NONE))?;
    if is_json {
        return output::line(&record(&found).to_string());
    }
    output::facts(&record(&found))
}

/// Ends what matches at authentik, and shows the progress. A running server goes on with it when the command is
/// interrupted.
pub(super) async fn end_many(app: &App, mut what: ManyEnds, is_sure: bool) -> Outcome {
    output::say(&before_an_end(app).await?);
    let count = many::count(app, By::Cli, &what.filter).await?;
    let is_narrow = FilterArgs::is_narrow(&what.filter);
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
    let rest = [(view.gone, "were gone before"), (view.unknown, "are not known"), (view.still_there, "are still there")];
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
                    "still_there": view.still_there,
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
    let found = status(app, By::Cli).await?.ok_or_else(|| Failure::from(NONE))?;
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

/// What `session list --source authentik` shows of a session.
const COLUMNS: &[&str] =
    &["uuid", "source", "user", "username", "last_ip", "country", "asn", "last_user_agent", "last_used", "expires", "first_seen"];

/// Lists the sessions of the copy.
///
/// # Errors
/// When nothing was copied, or nothing matches a filter; else when the database does not answer.
pub(super) async fn list(app: &App, filter: SessionFilter, sorts: &[Sort], limit: i64, (is_json, is_csv): (bool, bool)) -> Outcome {
    let found = status(app, By::Cli).await?.ok_or_else(|| Failure::from(NONE))?;
    let is_narrow = FilterArgs::is_narrow(&filter);
    let these = WatchedFilter { source: found.source.id, filter: question::spelled(app, filter).await? };
    let listed = app.store.page(&these, sorts, Wanted::first(limit)).await?;
    if listed.count == 0 && is_narrow {
        return Err(NothingMatched("session").into());
    }
    let records: Vec<Map<String, Value>> = listed.rows.iter().filter_map(|row| session(&found, row).as_object().cloned()).collect();
    if is_json {
        for record in &records {
            output::line(&serde_json::to_string(record)?)?;
        }
        return Ok(());
    }
    if is_csv {
        let rows: Vec<Vec<String>> = records.iter().map(|record| cells(record, COLUMNS)).collect();
        return output::csv(COLUMNS, &rows);
    }
    let agents = app.user_agents.entries(&app.store.read(), listed.rows.iter().map(|row| row.user_agent_id)).await?;
    let table = listed.rows.iter().zip(&records).map(|(row, record)| {
        let text = |name: &str| cell(record, name);
        let place = app.geoip.place(row.session.ip).map(|place| place.describe()).unwrap_or_default();
        let device = agents.get(&row.user_agent_id).map(|agent| agent.about().words.clone()).unwrap_or_default();
        vec![text("uuid"), text("username"), text("last_ip"), place, device, text("last_used"), text("expires")]
    });
    output::table(&["uuid", "user", "address", "place", "device", "last used", "expires"], table.collect())?;
    let (shown, count) = (listed.rows.len(), listed.count);
    if i64::try_from(shown).unwrap_or(count) < count {
        output::say(&format!("{shown} of {count} sessions; --limit shows more"));
    }
    output::say(&how_fresh(&found));
    Ok(())
}

/// A session of the copy.
fn session(found: &CopyStatus, row: &WatchedRow) -> Value {
    let session = &row.session;
    json!({
        "uuid": session.uuid, "source": found.source.name, "user": session.user_pk, "username": row.username,
        "last_ip": session.ip.to_string(), "country": session.country, "asn": session.asn, "last_user_agent": session.user_agent,
        "last_used": session.last_used_at, "expires": session.expires_at, "first_seen": row.first_seen_at,
    })
}

/// How old and how complete the copy is, in one line.
fn how_fresh(found: &CopyStatus) -> String {
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
