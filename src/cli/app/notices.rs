//! `rollcall app notices`: what apps are told of ends.

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::oidc::notices;
use crate::cli::app::there::edited;
use crate::cli::{Outcome, output};
use crate::domain::Timestamp;
use crate::domain::oidc::notice::NoticeState;
use crate::store::oidc::notices::{NoticeFilter, NoticeRow};

/// The notices of applications.
#[derive(Args)]
pub(in crate::cli) struct NoticeArgs {
    #[command(subcommand)]
    command: NoticeCommand,
}

#[derive(Subcommand)]
enum NoticeCommand {
    /// List notices, the newest first
    List {
        /// Only those of this application
        slug: Option<String>,
        /// Only those in this state
        #[arg(long, value_parser = PossibleValuesParser::new(NoticeState::ALL.iter().map(|state| state.as_str())))]
        state: Option<String>,
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
    /// Have a server send now what waits or was given up
    Send(Which),
    /// Drop what waits or was given up: the app is not told
    Drop(Which),
    /// Send the app a message about a session that there never was, and say what it answers
    Test {
        /// Of which application
        slug: String,
    },
}

/// Which notices.
#[derive(Args)]
struct Which {
    /// Of which application; one that is gone is named by the slug that it had
    slug: String,
    /// Only the one of this app session; without it all
    #[arg(long, value_name = "UUID")]
    app_session: Option<Uuid>,
}

impl Which {
    async fn filter(&self, app: &App) -> Result<NoticeFilter, crate::cli::Failure> {
        Ok(NoticeFilter { uuid: self.app_session, ..notices::of_application(app, &self.slug).await? })
    }
}

pub(super) async fn run(app: &App, args: NoticeArgs) -> Outcome {
    match args.command {
        NoticeCommand::List { slug, state, limit, json, csv } => {
            let filter = match &slug {
                Some(slug) => notices::of_application(app, slug).await?,
                None => NoticeFilter::default(),
            };
            let filter = NoticeFilter { state: state.as_deref().and_then(NoticeState::parse), ..filter };
            let count = notices::count(app, By::Cli, &filter).await?;
            let rows = notices::list(app, By::Cli, &filter, 0, limit).await?;
            print(&rows, app.clock.now(), json, csv)?;
            if i64::try_from(rows.len()).unwrap_or(count) < count {
                output::say(&format!("{} of {count} notices; --limit shows more", rows.len()));
            }
            Ok(())
        }
        NoticeCommand::Send(which) => {
            let count = notices::send(app, By::Cli, which.filter(app).await?).await?;
            output::say(&format!("{} sent now, by a server that runs", counted(count, "is", "are")));
            Ok(())
        }
        NoticeCommand::Drop(which) => {
            let count = notices::drop_them(app, By::Cli, which.filter(app).await?).await?;
            output::say(&format!("{} dropped", counted(count, "was", "were")));
            Ok(())
        }
        NoticeCommand::Test { slug } => {
            let tested = edited(notices::test(app, By::Cli, &slug).await, &slug)?;
            if tested.is_delivered { output::line(&tested.said) } else { Err(tested.said.into()) }
        }
    }
}

fn counted(count: u64, one: &str, many: &str) -> String {
    if count == 1 { format!("1 notice {one}") } else { format!("{count} notices {many}") }
}

fn print(rows: &[NoticeRow], now: Timestamp, is_json: bool, is_csv: bool) -> Outcome {
    const HEADER: [&str; 8] = ["app session", "application", "session", "state", "tries", "owed", "next try", "last try"];
    if is_json {
        return rows.iter().try_for_each(|row| output::line(&record(row, now).to_string()));
    }
    let line = |row: &NoticeRow| {
        let next = row.next_try(now).map(|at| at.to_string()).unwrap_or_default();
        vec![
            row.uuid.hyphenated().to_string(),
            row.slug.clone(),
            row.session.to_string(),
            row.state(now).as_str().to_owned(),
            row.tries.to_string(),
            row.owed_at.to_string(),
            next,
            row.said.clone(),
        ]
    };
    let lines: Vec<Vec<String>> = rows.iter().map(line).collect();
    if is_csv { output::csv(&HEADER, &lines) } else { output::table(&HEADER, lines) }
}

fn record(row: &NoticeRow, now: Timestamp) -> Value {
    json!({
        "app_session": row.uuid.hyphenated().to_string(), "application": row.slug, "client_id": row.client_id,
        "uri": row.target, "session": row.session, "state": row.state(now).as_str(), "owed": row.owed_at, "tries": row.tries,
        "next_try": row.next_try(now), "settled": row.settled_at, "said": row.said,
    })
}
