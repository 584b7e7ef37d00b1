//! `rollcall app notices`: what apps are told of ends.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::oidc::notices;
use crate::cli::app::there::find;
use crate::cli::{Outcome, output};
use crate::store::oidc::notices::NoticeRow;

/// How many notices are listed.
const MOST: i64 = 1000;

/// The notices of applications.
#[derive(Args)]
pub(in crate::cli) struct NoticeArgs {
    #[command(subcommand)]
    command: NoticeCommand,
}

#[derive(Subcommand)]
enum NoticeCommand {
    /// List the newest notices, as JSON lines
    List {
        /// Only those of this application
        slug: Option<String>,
    },
    /// Send now what waits or was given up
    Send {
        /// Of which application
        slug: String,
    },
    /// Drop what waits or was given up: the app is not told
    Drop {
        /// Of which application
        slug: String,
    },
}

pub(super) async fn run(app: &App, args: NoticeArgs) -> Outcome {
    match args.command {
        NoticeCommand::List { slug } => {
            for row in notices::list(app, By::Cli, slug.as_deref(), None, MOST).await? {
                output::line(&record(&row).to_string())?;
            }
            Ok(())
        }
        NoticeCommand::Send { slug } => {
            find(app, &slug).await?;
            let count = notices::send(app, By::Cli, &slug).await?;
            output::say(&format!("{count} notices of {slug} are sent now, if a server runs"));
            Ok(())
        }
        NoticeCommand::Drop { slug } => {
            find(app, &slug).await?;
            let count = notices::drop_all(app, By::Cli, &slug).await?;
            output::say(&format!("dropped {count} notices of {slug}"));
            Ok(())
        }
    }
}

fn record(row: &NoticeRow) -> serde_json::Value {
    let time = |at: crate::domain::Timestamp| Some(at).filter(|at| at.0 > 0);
    json!({
        "app_session": row.uuid.hyphenated().to_string(), "application": row.slug, "client_id": row.client_id, "uri": row.target,
        "session": row.session, "state": row.state, "tries": row.tries, "first": time(row.first_at),
        "next": time(row.next_at).filter(|_| row.state == "waiting"), "said": row.said,
    })
}
