//! `rollcall user`.

use clap::Subcommand;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::people::{account, privacy, users};
use crate::actions::sign_in::factors;
use crate::cli::people_filters::Filters;
use crate::cli::user_fields::{self, SetArgs};
use crate::cli::{Failure, Outcome, misused, output, serve};
use crate::config::Config;
use crate::domain::Permission;
use crate::domain::people_lists::UserFilter;
use crate::store::people::users::{NewUser, UserRow};

/// What to do with users.
#[derive(Subcommand)]
pub(super) enum UserCommand {
    /// Add a user; the password is asked for, or read from standard input
    Add {
        /// What they sign in with
        username: String,
        /// Full name
        #[arg(long, default_value = "")]
        name: String,
        /// E-mail address, which they can sign in with, too
        #[arg(long, default_value = "")]
        email: String,
        /// May do everything
        #[arg(long)]
        superuser: bool,
        /// A global permission, such as authentik_core.view_authenticatedsession; may be repeated
        #[arg(long = "permission", value_name = "PERMISSION")]
        permissions: Vec<String>,
        /// Without a password: they cannot sign in until one is set
        #[arg(long)]
        no_password: bool,
    },
    /// Change a user; what is not said stays
    Set(Box<SetArgs>),
    /// Show a user
    Show {
        /// Who
        username: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// List users by name
    List {
        #[command(flatten)]
        filters: Filters<UserFilter>,
        /// As JSON lines
        #[arg(long, conflicts_with = "csv")]
        json: bool,
        /// As CSV
        #[arg(long)]
        csv: bool,
    },
    /// Set a password, asked for or read from standard input; ends the user's sessions, unless
    /// sessions.end_on_password_change is off
    SetPassword {
        /// Who
        username: String,
    },
    /// Print a link with which a user sets a password once, which ends their sessions, unless
    /// sessions.end_on_password_change is off
    RecoveryLink {
        /// Username
        username: String,
    },
    /// Let a user sign in again
    Activate {
        /// Who
        username: String,
    },
    /// Keep a user out: ends their sessions, and their tokens open nothing
    Deactivate {
        /// Who
        username: String,
    },
    /// Remove all second factors of a user who lost them; ends their sessions
    RemoveFactors {
        /// Who
        username: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Write everything that is kept about a user, as JSON without secrets, to hand to them
    Export {
        /// Who
        username: String,
    },
    /// Erase a user: end their sessions, and forget them, also what is kept of the past
    Erase {
        /// Who; also somebody who was removed before
        username: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Decline to remove a user who asked for it
    DeclineRemoval {
        /// Who
        username: String,
    },
    /// Remove a user with their tokens, and end their sessions
    Remove {
        /// Who
        username: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

pub(super) async fn run(config: Config, command: UserCommand) -> Outcome {
    let app = crate::cli::open(config).await?;
    match command {
        UserCommand::Add { username, name, email, superuser, permissions, no_password } => {
            let permissions = permissions.iter().map(|name| parse_permission(name)).collect::<Result<_, _>>()?;
            let password = if no_password { None } else { Some(output::new_password()?) };
            let user = NewUser {
                id: None,
                uuid: None,
                uid: None,
                username,
                name,
                email,
                password_hash: None,
                is_active: true,
                is_superuser: superuser,
                permissions,
            };
            let said = format!("added {}", user.username);
            let id = users::add(&app, By::Cli, user, password).await?;
            output::say(&said);
            user_fields::note_same_email(&app, id).await?;
        }
        UserCommand::Set(args) => user_fields::set(&app, &args).await?,
        UserCommand::Show { username, json } => user_fields::show(&app, find(&app, &username).await?.id, json).await?,
        UserCommand::List { filters, json, csv } => user_fields::list(&app, &filters, json, csv).await?,
        UserCommand::SetPassword { username } => {
            let user = find(&app, &username).await?;
            users::set_password(&app, By::Cli, &user, output::new_password()?).await?;
            let is_ending = app.config.sessions.end_on_password_change;
            let ended = if is_ending { " and ended their sessions" } else { "; their sessions go on" };
            output::say(&format!("set the password of {username}{ended}"));
        }
        UserCommand::RecoveryLink { username } => {
            let key = users::make_recovery_link(&app, By::Cli, &find(&app, &username).await?).await?;
            output::line(&format!("{}/set-up/{}", serve::origin(&app).await?, key.expose()))?;
            let minutes = app.config.sign_in.link_timeout.as_secs().div_ceil(60);
            output::say(&format!(
                "the link works once, for {minutes} minutes; the person who opens it sets the password of {username}"
            ));
        }
        UserCommand::Activate { username } => {
            users::set_active(&app, By::Cli, &find(&app, &username).await?, true).await?;
            output::say(&format!("{username} is active"));
        }
        UserCommand::Deactivate { username } => {
            users::set_active(&app, By::Cli, &find(&app, &username).await?, false).await?;
            output::say(&format!("{username} is inactive and signed out"));
        }
        UserCommand::Export { username } => {
            let user = find(&app, &username).await?;
            output::line(&serde_json::to_string_pretty(&privacy::export(&app, By::Cli, &user).await?)?)?;
        }
        UserCommand::Erase { username, yes } => erase(&app, &username, yes).await?,
        UserCommand::RemoveFactors { username, yes } => {
            let user = find(&app, &username).await?;
            if !yes && !output::confirm(&format!("Remove all second factors of {username}?"))? {
                return Err("nothing was removed".into());
            }
            match factors::remove_all(&app, By::Cli, user.id).await? {
                0 => output::say(&format!("{username} has no second factor")),
                removed => output::say(&format!("removed {removed} second factor(s) of {username} and ended their sessions")),
            }
        }
        UserCommand::DeclineRemoval { username } => {
            account::decline_removal(&app, By::Cli, find(&app, &username).await?.id).await?;
            output::say(&format!("{username} is not to be removed"));
        }
        UserCommand::Remove { username, yes } => {
            let user = find(&app, &username).await?;
            if !yes && !output::confirm(&format!("Remove {username}?"))? {
                return Err("nobody was removed".into());
            }
            users::remove(&app, By::Cli, &user).await?;
            output::say(&format!("removed {username} and ended their sessions"));
        }
    }
    Ok(())
}

async fn erase(app: &App, username: &str, is_sure: bool) -> Outcome {
    let question = format!("Erase {username}, and all that is kept of them? It cannot be undone.");
    if !is_sure && !output::confirm(&question)? {
        return Err("nobody was erased".into());
    }
    let erased = match privacy::erase(app, By::Cli, username).await {
        Err(ActionError::NotFound) => return Err(format!("nothing is kept of anybody named {username}").into()),
        other => other?,
    };
    let (sessions, events) = (erased.sessions, erased.events);
    output::say(&format!("erased {username}: {sessions} sessions gone, {events} events without them"));
    if !erased.is_log_empty {
        output::say("the database's log could not be emptied yet: somebody reads from it; the server does so later");
    }
    Ok(())
}

/// The user of that name, or a message that says there is none.
pub(super) async fn find(app: &App, username: &str) -> Result<UserRow, Failure> {
    match users::find(app, By::Cli, username).await {
        Err(ActionError::NotFound) => Err(format!("there is no user named {username}").into()),
        other => Ok(other?),
    }
}

/// The permission of that name.
///
/// # Errors
/// Wrong usage when there is none.
pub(super) fn parse_permission(name: &str) -> Result<Permission, Failure> {
    let known = Permission::ALL.map(Permission::as_str).join(", ");
    Permission::parse(name).ok_or_else(|| misused(format!("{name} is none of the permissions {known}")))
}
