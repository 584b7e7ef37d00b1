//! `rollcall event`.

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use serde_json::json;

use crate::actions::app::App;
use crate::cli::{Failure, NothingMatched, Outcome, misused, output};
use crate::config::Config;
use crate::domain::event::EventKind;
use crate::domain::fold::fold;
use crate::domain::listing::Sort;
use crate::domain::page::Wanted;
use crate::domain::{Address, SessionId, Timestamp};
use crate::store::events::query::{EventOrder, EventQuery};
use crate::store::events::rows::EventRow;

/// How many events a search looks at.
const SEARCHED: i64 = 20_000;

/// What to do with events.
#[derive(Subcommand)]
pub(super) enum EventCommand {
    /// List events, the latest first: all, or those that match
    List {
        #[command(flatten)]
        filter: EventArgs,
        /// Only at this instant or later, such as 2026-11-01 or 2026-11-01T12:00:00Z
        #[arg(long, value_name = "INSTANT", value_parser = instant)]
        from: Option<Timestamp>,
        /// Only at this instant or earlier
        #[arg(long, value_name = "INSTANT", value_parser = instant)]
        to: Option<Timestamp>,
        /// A text that must be part of the event, in any letter case; it is looked for in the first 20,000
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
        /// How many at most
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..))]
        limit: i64,
        /// As JSON lines
        #[arg(long, conflicts_with = "csv")]
        json: bool,
        /// As CSV
        #[arg(long)]
        csv: bool,
    },
    /// Follow events as they happen, whichever server they happen on
    Watch {
        #[command(flatten)]
        filter: EventArgs,
        /// As JSON lines
        #[arg(long)]
        json: bool,
    },
}

/// Which events.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct EventArgs {
    /// Of this kind; may be repeated
    #[arg(long, value_name = "KIND", value_parser = PossibleValuesParser::new(kinds()))]
    kind: Vec<String>,
    /// About this user
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Done by this user, or a sign-in that failed with this name
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// From this address
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    ip: Option<Address>,
    /// About this session
    #[arg(long, value_name = "UUID", value_parser = session)]
    session: Option<SessionId>,
}

fn kinds() -> Vec<&'static str> {
    EventKind::ALL.iter().map(|kind| kind.as_str()).collect()
}

fn instant(text: &str) -> Result<Timestamp, &'static str> {
    Timestamp::parse(text).ok_or("this is no instant")
}

fn address(text: &str) -> Result<Address, &'static str> {
    Address::parse(text).ok_or("this is no address")
}

fn session(text: &str) -> Result<SessionId, &'static str> {
    SessionId::parse(text).ok_or("this is no session's uuid")
}

impl EventArgs {
    /// The question that they are.
    ///
    /// # Errors
    /// Wrong usage for a user who does not exist; else when the database does not answer.
    async fn read(&self, app: &App) -> Result<EventQuery, Failure> {
        let mut user = None;
        for name in self.user.iter().chain(&self.by) {
            let found = app.store.read().find_user_by_name(name).await?;
            let found = found.ok_or_else(|| misused(format!("there is no user named {name}")))?;
            if self.user.as_ref() == Some(name) {
                user = Some(found.uuid);
            }
        }
        Ok(EventQuery {
            kinds: (!self.kind.is_empty()).then(|| self.kind.clone()),
            user,
            username: self.by.clone(),
            ip: self.ip.map(|ip| ip.to_string()),
            session: self.session.map(|id| id.0),
            ..EventQuery::default()
        })
    }

    /// Whether an event is one of them.
    pub fn matches(&self, event: &EventRow) -> bool {
        let is_by = |name: &String| event.actor_uuid.is_some() && event.actor == *name;
        (self.kind.is_empty() || self.kind.iter().any(|kind| kind == event.kind()))
            && self.user.as_ref().is_none_or(|name| event.username == *name)
            && self.by.as_ref().is_none_or(is_by)
            && self.ip.is_none_or(|ip| event.ip == ip.to_string())
            && self.session.is_none_or(|id| event.session == Some(id))
    }
}

pub(super) async fn run(config: Config, command: EventCommand) -> Outcome {
    let app = crate::cli::open(config).await?;
    match command {
        EventCommand::List { filter, from, to, search, limit, json, csv } => {
            let query = EventQuery { from, to, ..filter.read(&app).await? };
            let is_narrow = query != EventQuery::default() || search.is_some();
            let events = find(&app, query, search.as_deref(), limit).await?;
            if events.is_empty() && is_narrow {
                return Err(NothingMatched("event").into());
            }
            list(&events, json, csv)
        }
        EventCommand::Watch { filter, json } => {
            filter.read(&app).await?;
            crate::cli::watch::follow(&app, json, |event| filter.matches(event)).await
        }
    }
}

async fn find(app: &App, query: EventQuery, search: Option<&str>, limit: i64) -> Result<Vec<EventRow>, Failure> {
    let latest = [Sort { key: EventOrder::At, is_descending: true }];
    let Some(search) = search.map(fold) else {
        return Ok(app.store.page(&query, &latest, Wanted::first(limit)).await?.rows);
    };
    let has = |event: &EventRow| {
        let content = json!(event.content.to_json()).to_string();
        let texts = [event.kind(), &event.text(), &event.actor, &event.username, &event.ip, &content].map(fold);
        texts.iter().any(|text| text.contains(&search))
    };
    let all = app.store.first_events(query, latest.into(), SEARCHED).await?;
    Ok(all.into_iter().filter(has).take(usize::try_from(limit).unwrap_or(usize::MAX)).collect())
}

fn list(events: &[EventRow], is_json: bool, is_csv: bool) -> Outcome {
    if is_json {
        for event in events {
            output::line(&serde_json::to_string(&crate::actions::events::record(event))?)?;
        }
        return Ok(());
    }
    let header = ["at", "kind", "by", "user", "address", "text"];
    let rows: Vec<Vec<String>> = events
        .iter()
        .map(|event| {
            let texts = [event.at.to_string(), event.kind().to_owned(), event.actor.clone(), event.username.clone()];
            texts.into_iter().chain([event.ip.clone(), event.text()]).collect()
        })
        .collect();
    if is_csv { output::csv(&header, &rows) } else { output::table(&header, rows) }
}
