//! `rollcall token`.

use std::time::Duration;

use clap::{Subcommand, ValueEnum};

use crate::actions::by::By;
use crate::actions::tokens::TokenRequest;
use crate::actions::{ActionError, tokens};
use crate::cli::{Outcome, output, user};
use crate::config::Config;
use crate::domain::scope::Scopes;
use crate::domain::user::TokenIntent;

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
    /// Remove a token: it opens nothing from now on
    Remove {
        /// What names it
        identifier: String,
    },
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
        TokenCommand::Add { user, intent, identifier, description, expires_in } => {
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
                scopes: Scopes::default(),
                is_readable: false,
            };
            let (identifier, key) = tokens::add(&app, By::Cli, owner.id, &owner.username, request).await?;
            output::say(&format!("made the token {identifier} for {user}; this is its key, which is not shown again:"));
            output::line(key.expose())
        }
        TokenCommand::List { user, json, csv } => {
            const HEADER: [&str; 6] = ["identifier", "user", "intent", "expires", "created", "description"];
            let owner = match user {
                Some(name) => Some(user::find(&app, &name).await?.id),
                None => None,
            };
            let tokens = app.store.read().list_tokens(owner).await?;
            if json {
                for token in tokens {
                    output::line(&serde_json::to_string(&serde_json::json!({
                        "identifier": token.identifier, "user": token.username, "intent": token.intent,
                        "expires": token.is_expiring.then_some(token.expires_at), "created": token.created_at,
                        "description": token.description,
                    }))?)?;
                }
                return Ok(());
            }
            let rows: Vec<Vec<String>> = tokens
                .into_iter()
                .map(|token| {
                    let expires = if token.is_expiring { token.expires_at.to_string() } else { "never".into() };
                    vec![token.identifier, token.username, token.intent, expires, token.created_at.to_string(), token.description]
                })
                .collect();
            if csv { output::csv(&HEADER, &rows) } else { output::table(&HEADER, rows) }
        }
        TokenCommand::Remove { identifier } => match tokens::remove(&app, By::Cli, &identifier).await {
            Err(ActionError::NotFound) => Err(format!("there is no token {identifier}").into()),
            other => {
                other?;
                output::say(&format!("removed {identifier}"));
                Ok(())
            }
        },
    }
}
