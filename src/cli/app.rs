//! `rollcall app`.

mod client;
mod config;
mod fields;
mod notices;
mod rules;
mod show;
mod test;
mod there;

use clap::Subcommand;
use uuid::Uuid;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::applications::{self, ApplicationChange, app_sessions};
use crate::actions::by::By;
use crate::actions::guard::identity::issuer;
use crate::cli::app::client::{ClientArgs, SecretArgs};
use crate::cli::app::fields::{DemandArgs, FieldArgs};
use crate::cli::app::notices::NoticeArgs;
use crate::cli::app::there::find;
use crate::cli::{Outcome, output};
use crate::config::Config;
use crate::store::applications::app_sessions::AppSessionFilter;

/// What to do with applications.
#[derive(Subcommand)]
pub(super) enum AppCommand {
    /// Add an application; it opens for nobody unless --allow names users or groups
    Add {
        /// What names it in addresses: letters, digits, - and _
        slug: String,
        #[command(flatten)]
        demand: DemandArgs,
        #[command(flatten)]
        fields: FieldArgs,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Change an application; what is not said stays, and a repeated flag replaces its list
    Set {
        /// Which
        slug: String,
        /// Another slug
        #[arg(long = "slug", value_name = "NEW")]
        new_slug: Option<String>,
        /// It has no guard any more, and its app sessions end
        #[arg(long, conflicts_with = "hosts")]
        remove_guard: bool,
        /// It has no client any more, and its app sessions end
        #[arg(long, conflicts_with = "redirect_uris")]
        remove_client: bool,
        /// Change the slug of an application with a client although its issuer changes with it
        #[arg(long)]
        yes: bool,
        /// End the app sessions of users who may not open it any more
        #[arg(long)]
        apply_now: bool,
        #[command(flatten)]
        demand: DemandArgs,
        #[command(flatten)]
        fields: FieldArgs,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// The secrets of an application's client: add, remove
    Secret(SecretArgs),
    /// What apps are told of ends: list, send, drop
    Notices(NoticeArgs),
    /// List applications by slug
    List {
        /// As JSON lines
        #[arg(long, conflicts_with = "csv")]
        json: bool,
        /// As CSV
        #[arg(long)]
        csv: bool,
    },
    /// Show an application with its rules
    Show {
        /// Which
        slug: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove an application with its guard; its app sessions end
    Remove {
        /// Which
        slug: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// List who has which application open
    Sessions {
        /// Only this application
        slug: Option<String>,
        /// As JSON lines
        #[arg(long, conflicts_with = "csv")]
        json: bool,
        /// As CSV
        #[arg(long)]
        csv: bool,
    },
    /// End one app session; its session goes on, and must open the application anew
    EndSession {
        /// Which, by the uuid that `rollcall app sessions` prints
        uuid: Uuid,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// The path rules of an application: list, add, remove
    Rule(rules::RuleArgs),
    /// Say whether a user may open an address, by which rule, and what is missing
    Test(test::TestArgs),
    /// Print the configuration of a reverse proxy in front of an application
    Config(config::ConfigArgs),
}

pub(super) async fn run(config: Config, command: AppCommand) -> Outcome {
    let app = crate::cli::open(config).await?;
    match command {
        AppCommand::Add { slug, demand, fields, client } => {
            let mut wanted = fields.change(&app, None, &demand).await?;
            wanted.client = client.wish(&app, None)?.map(Some);
            let has_secret = matches!(&wanted.client, Some(Some(wish)) if !wish.client.is_public);
            let name = wanted.name.clone().unwrap_or_else(|| slug.clone());
            let wanted = ApplicationChange { slug: Some(slug.clone()), name: Some(name), ..wanted };
            let added = applications::add(&app, By::Cli, wanted).await?;
            output::say(&format!("added the application {slug}"));
            if let (Some(part), Some(url)) = (&added.client, app.config.issuer_url()) {
                output::say(&format!("issuer: {}\nclient id: {}", issuer(url, &added.slug), part.client_id));
            }
            if has_secret { client::print_secret(&app, &slug).await } else { Ok(()) }
        }
        AppCommand::Set { slug, new_slug, remove_guard, remove_client, yes, apply_now, demand, fields, client } => {
            let before = find(&app, &slug).await?;
            let mut wanted = fields.change(&app, Some(&before), &demand).await?;
            let question = format!("{slug} has a client, whose issuer changes with the slug. Go on?");
            if new_slug.is_some() && before.client.is_some() && !yes && !output::confirm(&question)? {
                return Err("nothing was changed".into());
            }
            wanted.client = client.wish(&app, Some(&before))?.map(Some);
            if remove_client {
                wanted.client = Some(None);
            }
            wanted.slug = new_slug;
            wanted.apply_now = apply_now;
            // What is not said stays as it is when this is written, or nothing is changed.
            wanted.expected = Some(before.version());
            if remove_guard {
                wanted.guard = Some(None);
            }
            applications::change(&app, By::Cli, &slug, wanted).await?;
            output::say(&format!("changed the application {slug}"));
            Ok(())
        }
        AppCommand::List { json, csv } => show::list(&app, json, csv).await,
        AppCommand::Show { slug, json } => show::show(&app, &*find(&app, &slug).await?, json).await,
        AppCommand::Remove { slug, yes } => {
            find(&app, &slug).await?;
            if !yes && !output::confirm(&format!("Remove the application {slug}?"))? {
                return Err("nothing was removed".into());
            }
            applications::remove(&app, By::Cli, &slug).await?;
            output::say(&format!("removed the application {slug}"));
            Ok(())
        }
        AppCommand::Sessions { slug, json, csv } => {
            if let Some(slug) = &slug {
                find(&app, slug).await?;
            }
            let filter = AppSessionFilter { application: slug, ..AppSessionFilter::default() };
            let (_, rows) = app_sessions::list(&app, By::Cli, filter, 0, i64::MAX).await?;
            show::sessions(&rows, json, csv)
        }
        AppCommand::EndSession { uuid, yes } => end_session(&app, uuid, yes).await,
        AppCommand::Notices(args) => notices::run(&app, args).await,
        AppCommand::Secret(args) => client::secret(&app, args).await,
        AppCommand::Rule(args) => rules::run(&app, args).await,
        AppCommand::Test(args) => test::run(&app, args).await,
        AppCommand::Config(args) => config::run(&app, args).await,
    }
}

/// Ends an app session, after a question that says whose it is.
async fn end_session(app: &App, uuid: Uuid, is_sure: bool) -> Outcome {
    let filter = AppSessionFilter { uuid: Some(uuid), ..AppSessionFilter::default() };
    let (_, rows) = app_sessions::list(app, By::Cli, filter, 0, 1).await?;
    let gone = || format!("there is no app session {uuid}");
    let row = rows.first().ok_or_else(gone)?;
    if !is_sure && !output::confirm(&format!("End what {} has open of {}?", row.username, row.slug))? {
        return Err("nothing was ended".into());
    }
    match app_sessions::end(app, By::Cli, uuid).await {
        Err(ActionError::NotFound) => return Err(gone().into()),
        other => other?,
    }
    output::say(&format!("ended the app session of {} in {}", row.username, row.slug));
    Ok(())
}
