//! `rollcall event`.

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use serde_json::json;
use uuid::Uuid;

use crate::actions::app::App;
use crate::cli::{Failure, NothingMatched, Outcome, misused, output};
use crate::config::Config;
use crate::domain::event::EventKind;
use crate::domain::fold::fold;
use crate::domain::listing::Sort;
use crate::domain::page::Wanted;
use crate::domain::query::Limit;
use crate::domain::{Address, SessionId};
use crate::store::events::people::Author;
use crate::store::events::query::{EventOrder, EventQuery};
use crate::store::events::rows::EventRow;

/// How many events a search looks at.
const SEARCHED: i64 = 20_000;

/// What to do with events.
#[derive(Subcommand)]
pub(super) enum EventCommand {
    /// List events, the latest first: all, or those that match
    ///
    /// An end of many sessions is one event. Its single ends are listed with --user, --session or --kind, --parts or --part-of.
    List {
        #[command(flatten)]
        filter: EventArgs,
        /// The single ends of ends of many, too
        #[arg(long)]
        parts: bool,
        /// Only the single ends of this end of many; --json shows its uuid
        #[arg(long, value_name = "UUID", conflicts_with = "parts")]
        part_of: Option<Uuid>,
        /// Only on this day (UTC) or later, or at this instant or later: 2026-11-01, yesterday, today, 2026-11-01T12:00:00Z
        #[arg(long, value_name = "WHEN", value_parser = limit)]
        from: Option<Limit>,
        /// Only on this day or earlier, or at this instant or earlier
        #[arg(long, value_name = "WHEN", value_parser = limit)]
        to: Option<Limit>,
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
    /// About this user, who may be removed; in any letter case
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Done by this user, or a sign-in that failed with this name; or by `cli`, `system` or `anonymous`
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

fn limit(text: &str) -> Result<Limit, &'static str> {
    Limit::parse(text).ok_or("this is no day and no instant")
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
    /// Wrong usage for a name that no user has or had; else when the database does not answer.
    async fn read(&self, app: &App) -> Result<EventQuery, Failure> {
        let missing = |name: &String| misused(format!("there is no user named {name}"));
        let mut query = EventQuery {
            kinds: (!self.kind.is_empty()).then(|| self.kind.clone()),
            ip: self.ip.map(|ip| ip.to_string()),
            session: self.session.map(|id| id.0),
            ..EventQuery::default()
        };
        if let Some(name) = &self.user {
            let user = app.store.read().find_user_of_events(name).await?.ok_or_else(|| missing(name))?;
            query.user = Some(user.uuid);
        }
        if let Some(name) = &self.by {
            match app.store.read().find_author(name).await?.ok_or_else(|| missing(name))? {
                Author::User(user) => query.username = Some(user.username),
                Author::Other(word) => query.actor = Some(word.to_owned()),
            }
        }
        Ok(query)
    }
}

pub(super) async fn run(config: Config, command: EventCommand) -> Outcome {
    let app = crate::cli::open(config).await?;
    match command {
        EventCommand::List { filter, parts, part_of, from, to, search, limit, json, csv } => {
            let now = app.clock.now();
            let mut query = filter.read(&app).await?;
            query.from = from.map(|from| from.begins(now));
            query.to = to.map(|to| to.ends(now));
            if let Some(uuid) = part_of {
                let whole = app.store.read().find_event(uuid).await?;
                query.parent = Some(whole.ok_or_else(|| misused(format!("there is no event {uuid}")))?.id);
            }
            let is_narrow = query != EventQuery::default() || search.is_some();
            // As the page lists them: what only parts can tell lists parts.
            let is_of_parts = query.user.is_some() || query.session.is_some() || query.kinds.is_some() || query.parent.is_some();
            query.is_whole = !parts && !is_of_parts;
            let events = find(&app, query, search.as_deref(), limit).await?;
            if events.is_empty() && is_narrow {
                return Err(NothingMatched("event").into());
            }
            list(&events, json, csv)
        }
        EventCommand::Watch { filter, json } => {
            let query = filter.read(&app).await?;
            crate::cli::watch::follow(&app, json, |event| query.matches(event)).await
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
