//! `rollcall token`.

use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Subcommand, ValueEnum};

use crate::actions::applications::passwords;
use crate::actions::by::By;
use crate::actions::tokens::TokenRequest;
use crate::actions::{ActionError, tokens};
use crate::cli::{Failure, Outcome, misused, output, user};
use crate::config::{Config, parse_duration};
use crate::domain::listing::Sort;
use crate::domain::page::Wanted;
use crate::domain::scope::{Scope, Scopes};
use crate::domain::user::TokenIntent;
use crate::store::people::token_list::{TokenFilter, TokenSortKey};

/// What to do with tokens.
#[derive(Subcommand)]
pub(super) enum TokenCommand {
    /// Make a token and print its key, this once, alone on standard output
    Add {
        /// Whose it is
        #[arg(long, value_name = "NAME")]
        user: String,
        /// What it opens
        #[arg(long, value_enum, default_value_t = Intent::Api)]
        intent: Intent,
        /// What names it; made up when not given
        #[arg(long)]
        identifier: Option<String>,
        /// What it is for
        #[arg(long, default_value = "")]
        description: String,
        /// How long it lives, such as 30d; for ever when not given
        #[arg(long, value_parser = humantime::parse_duration, value_name = "DURATION")]
        expires_in: Option<Duration>,
        /// Of an app password: an application that it opens, by slug; may be repeated
        #[arg(long = "app", value_name = "SLUG")]
        apps: Vec<String>,
        /// What it may do of what its owner may; may be repeated. Without any: all of it
        #[arg(long, value_name = "SCOPE", value_parser = PossibleValuesParser::new(Scope::ALL.map(Scope::as_str)))]
        scope: Vec<String>,
    },
    /// List tokens; their keys are not known any more
    List {
        /// Only this user's
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
        /// As JSON lines
        #[arg(long, conflicts_with = "csv")]
        json: bool,
        /// As CSV
        #[arg(long)]
        csv: bool,
    },
    /// Give a token a new key and print it, this once, alone on standard output
    Rotate {
        /// What names it
        identifier: String,
        /// How long the key before opens the same, such as 1d; 0: not at all
        #[arg(long, default_value = "1d", value_parser = keep_old, value_name = "DURATION")]
        keep_old: Duration,
    },
    /// Remove a token: it opens nothing from now on
    Remove {
        /// What names it
        identifier: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

fn keep_old(text: &str) -> Result<Duration, &'static str> {
    parse_duration(text).ok_or("this is no duration such as 30m, 12h or 1d")
}

#[derive(Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(super) enum Intent {
    /// The API
    Api,
    /// One application
    AppPassword,
    /// An address
    Verification,
    /// Setting a password
    Recovery,
}

pub(super) async fn run(config: Config, command: TokenCommand) -> Outcome {
    let app = crate::cli::open(config).await?;
    match command {
        TokenCommand::Add { user, intent, identifier, description, expires_in, apps, scope } => {
            let owner = user::find(&app, &user).await?;
            let intent = match intent {
                Intent::Api => TokenIntent::Api,
                Intent::AppPassword => TokenIntent::AppPassword,
                Intent::Verification => TokenIntent::Verification,
                Intent::Recovery => TokenIntent::Recovery,
            };
            let request = TokenRequest {
                intent,
                identifier,
                description,
                lives: expires_in,
                key: None,
                applications: Vec::new(),
                scopes: Scopes::new(scope.iter().filter_map(|word| Scope::parse(word)).collect()),
                is_readable: false,
            };
            if apps.is_empty() != (intent != TokenIntent::AppPassword) {
                return Err(misused("an app password names the applications that it opens by --app, and no other token does"));
            }
            let (identifier, key) = match intent {
                TokenIntent::AppPassword => passwords::add(&app, By::Cli, (owner.id, &owner.username), &apps, request).await?,
                _ => tokens::add(&app, By::Cli, owner.id, &owner.username, request).await?,
            };
            output::say(&format!("made the token {identifier} for {user}; this is its key, which is not shown again:"));
            output::line(key.expose())
        }
        TokenCommand::List { user, json, csv } => {
            const HEADER: [&str; 8] = ["identifier", "user", "intent", "expires", "created", "last used", "scopes", "description"];
            let owner = match user {
                Some(name) => Some(user::find(&app, &name).await?.id),
                None => None,
            };
            let filter = TokenFilter { user: owner, ..TokenFilter::default() };
            let order = [Sort { key: TokenSortKey::Identifier, is_descending: false }];
            let tokens = app.store.page(&filter, &order, Wanted::first(i64::MAX)).await?.rows;
            if json {
                for token in tokens {
                    output::line(&serde_json::to_string(&serde_json::json!({
                        "identifier": token.identifier, "user": token.username, "intent": token.intent,
                        "expires": token.is_expiring.then_some(token.expires_at), "created": token.created_at,
                        "last_used": token.last_used_at, "scopes": token.scopes.words(), "old_key_until": token.old_key_until,
                        "description": token.description,
                    }))?)?;
                }
                return Ok(());
            }
            let rows: Vec<Vec<String>> = tokens
                .into_iter()
                .map(|token| {
                    let expires = if token.is_expiring { token.expires_at.to_string() } else { "never".into() };
                    let used = token.last_used_at.map(|at| at.to_string()).unwrap_or_default();
                    let scopes = token.scopes.to_string();
                    vec![
                        token.identifier,
                        token.username,
                        token.intent,
                        expires,
                        token.created_at.to_string(),
                        used,
                        scopes,
                        token.description,
                    ]
                })
                .collect();
            if csv { output::csv(&HEADER, &rows) } else { output::table(&HEADER, rows) }
        }
        TokenCommand::Rotate { identifier, keep_old } => match tokens::keys::rotate(&app, By::Cli, &identifier, keep_old).await {
            Err(ActionError::NotFound) => Err(format!("there is no token {identifier} that has a key to rotate").into()),
            other => {
                let key = other?;
                output::say(&format!("this is the new key of {identifier}, which is not shown again:"));
                output::line(key.expose())
            }
        },
        TokenCommand::Remove { identifier, yes } => {
            let no_token = |error| match error {
                ActionError::NotFound => Failure::from(format!("there is no token {identifier}")),
                other => other.into(),
            };
            let token = tokens::find(&app, By::Cli, &identifier).await.map_err(no_token)?;
            if !yes && !output::confirm(&format!("Remove the token {identifier} of {}?", token.username))? {
                return Err("nothing was removed".into());
            }
            tokens::remove(&app, By::Cli, &identifier).await.map_err(no_token)?;
            output::say(&format!("removed {identifier}"));
            Ok(())
        }
    }
}
