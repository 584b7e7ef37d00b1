//! `rollcall policy`.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::policies;
use crate::cli::user::find;
use crate::cli::{Failure, Outcome, misused, output};
use crate::config::{Config, parse_duration};
use crate::domain::policy::{AtLimit, Limits, Policy, StoredLimits};
use crate::domain::user::UserRule;
use crate::store::people::policies::PolicyOwner;

/// What to do with policies.
#[derive(Subcommand)]
pub(super) enum PolicyCommand {
    /// Show the policy of the instance, a group or a user, and the limits that apply: the smallest
    /// of each
    Show {
        #[command(flatten)]
        whose: WhoseArgs,
        /// As JSON lines
        #[arg(long)]
        json: bool,
    },
    /// List the policy of the instance, and those that groups and users have of their own
    List {
        /// As JSON lines
        #[arg(long)]
        json: bool,
    },
    /// Set limits of a group or a user, or of the instance where no setting gives them; living sessions are cut to them at once, never extended
    Set {
        #[command(flatten)]
        whose: WhoseArgs,
        /// A session that is not used for this long ends, such as 30m; none: no limit here
        #[arg(long, value_name = "DURATION")]
        idle_timeout: Option<String>,
        /// A session ends this long after its sign-in, such as 8h; none: no limit here
        #[arg(long, value_name = "DURATION")]
        absolute_timeout: Option<String>,
        /// The same with "stay signed in"; 0: not offered; none: no limit here
        #[arg(long, value_name = "DURATION")]
        remember_timeout: Option<String>,
        /// The most sessions one user has at once; none: no limit here
        #[arg(long, value_name = "NUMBER")]
        max_sessions: Option<String>,
        /// What happens to a sign-in above the limit: refuse, ask (which to end), end_oldest; none:
        /// not set here
        #[arg(long, value_name = "OUTCOME")]
        at_limit: Option<String>,
        /// Whether signing in needs a second factor: true; none: not set here
        #[arg(long, value_name = "TRUE")]
        require_factor: Option<String>,
    },
}

/// Whose policy.
#[derive(Args)]
#[group(multiple = false)]
pub(super) struct WhoseArgs {
    /// This user's
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// This group's
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// The instance's
    #[arg(long)]
    instance: bool,
}

pub(super) async fn run(config: Config, command: PolicyCommand) -> Outcome {
    match command {
        PolicyCommand::List { json } => list(&crate::cli::open(config).await?, json).await,
        PolicyCommand::Show { whose, json } => show(&crate::cli::open(config).await?, whose, json).await,
        PolicyCommand::Set { whose, idle_timeout, absolute_timeout, remember_timeout, max_sessions, at_limit, require_factor } => {
            let duration = |text: &str| parse_duration(text).ok_or_else(|| misused(format!("{text} is no duration such as 30m")));
            let number = |text: &str| text.parse::<u32>().map_err(|_| misused(format!("{text} is no number of sessions")));
            let outcome =
                |text: &str| AtLimit::parse(text).ok_or_else(|| misused(format!("{text} is none of refuse, ask, end_oldest")));
            let required = |text: &str| match text {
                "true" | "yes" => Ok(true),
                "false" | "no" | "none" => Ok(false),
                _ => Err(misused(format!("{text} is none of true, none"))),
            };
            let change = |mut policy: Policy| -> Result<Policy, Failure> {
                policy.idle_timeout = changed(policy.idle_timeout, idle_timeout.as_deref(), duration)?;
                policy.absolute_timeout = changed(policy.absolute_timeout, absolute_timeout.as_deref(), duration)?;
                policy.remember_timeout = changed(policy.remember_timeout, remember_timeout.as_deref(), duration)?;
                policy.max_sessions = changed(policy.max_sessions, max_sessions.as_deref(), number)?;
                policy.at_limit = changed(policy.at_limit, at_limit.as_deref(), outcome)?;
                if let Some(text) = &require_factor {
                    policy.is_factor_required = required(text)?;
                }
                Ok(policy)
            };
            // What is wrong on the command line is said before the database is opened.
            if whose.user.is_none() && whose.group.is_none() && !whose.instance {
                return Err(misused("say whose: --user, --group or --instance"));
            }
            if whose.instance && require_factor.is_some() {
                return Err(misused("--require-factor: for the instance it is a setting (sessions.require_factor)"));
            }
            change(Policy::default())?;
            if [&idle_timeout, &absolute_timeout, &remember_timeout, &max_sessions, &at_limit, &require_factor]
                .iter()
                .all(|limit| limit.is_none())
            {
                return Err(misused("name a limit to set, such as --idle-timeout 30m"));
            }
            let app = crate::cli::open(config).await?;
            if whose.instance {
                return set_instance(&app, change).await;
            }
            let (owner, name) = find_owner(&app, whose).await?.ok_or("nobody was named")?;
            let before = app.store.read().find_policy(owner).await?;
            let policy = change(before)?;
            let changed =
                policies::set_if(&app, By::Cli, owner, &name, policy, Some(before)).await.map_err(|error| match error {
                    ActionError::Rule(UserRule::Policy) => misused(UserRule::Policy.to_string()),
                    other => other.into(),
                })?;
            output::say(&format!("{name}: {policy}; {changed} living session(s) were cut or ended"));
            Ok(())
        }
    }
}

/// Stores limits of the instance: `change` makes new ones of those that are stored.
async fn set_instance(app: &App, change: impl Fn(Policy) -> Result<Policy, Failure>) -> Outcome {
    let stored = app.store.read().find_stored_limits().await?;
    let StoredLimits { idle_timeout, absolute_timeout, remember_timeout, max_sessions, at_limit, .. } = stored;
    let before = Policy { idle_timeout, absolute_timeout, remember_timeout, max_sessions, at_limit, is_factor_required: false };
    let Policy { idle_timeout, absolute_timeout, remember_timeout, max_sessions, at_limit, .. } = change(before)?;
    let limits = StoredLimits { idle_timeout, absolute_timeout, remember_timeout, max_sessions, at_limit, ..stored };
    let changed = policies::set_instance(app, By::Cli, limits, Some(stored)).await.map_err(|error| match error {
        ActionError::Rule(UserRule::Policy) => misused(UserRule::Policy.to_string()),
        other => other.into(),
    })?;
    let policy = app.config.policy(&limits);
    output::say(&format!("the instance: {policy}; {changed} living session(s) were cut or ended"));
    Ok(())
}

/// A limit as the command line changes it: not named, it stays; `none` lifts it.
fn changed<T>(limit: Option<T>, text: Option<&str>, read: impl Fn(&str) -> Result<T, Failure>) -> Result<Option<T>, Failure> {
    match text {
        None => Ok(limit),
        Some("none") => Ok(None),
        Some(text) => read(text).map(Some),
    }
}

async fn find_owner(app: &App, whose: WhoseArgs) -> Result<Option<(PolicyOwner, String)>, Failure> {
    if let Some(name) = whose.user {
        return Ok(Some((PolicyOwner::User(find(app, &name).await?.id), name)));
    }
    let Some(name) = whose.group else { return Ok(None) };
    let id = app.store.read().find_group_id(&name).await?.ok_or_else(|| format!("there is no group named {name}"))?;
    Ok(Some((PolicyOwner::Group(id), name)))
}

async fn show(app: &App, whose: WhoseArgs, is_json: bool) -> Outcome {
    let db = app.store.read();
    let instance = app.config.policy(&db.find_stored_limits().await?);
    let mut rows = vec![("instance".to_owned(), instance)];
    let mut own = Policy::default();
    match find_owner(app, whose).await? {
        None => {}
        Some((owner @ PolicyOwner::Group(_), name)) => {
            own = db.find_policy(owner).await?;
            rows.push((format!("group {name}"), own));
        }
        Some((owner @ PolicyOwner::User(id), name)) => {
            for (group, policy) in db.list_group_policies(id).await? {
                rows.push((format!("group {group}"), policy));
            }
            rows.push((format!("user {name}"), db.find_policy(owner).await?));
            own = db.find_own_policy(id).await?;
        }
    }
    rows.push(("together".to_owned(), Limits { instance, own }.effective()));
    print(rows, is_json)
}

async fn list(app: &App, is_json: bool) -> Outcome {
    let db = app.store.read();
    let mut rows = vec![("instance".to_owned(), app.config.policy(&db.find_stored_limits().await?))];
    rows.extend(db.list_policies().await?.into_iter().map(|(kind, name, policy)| (format!("{kind} {name}"), policy)));
    print(rows, is_json)
}

/// Prints policies, each with whose it is.
fn print(rows: Vec<(String, Policy)>, is_json: bool) -> Outcome {
    let duration = |limit: Option<Duration>| limit.map(|limit| humantime::format_duration(limit).to_string());
    if is_json {
        for (whose, policy) in rows {
            output::line(&serde_json::to_string(&json!({
                "whose": whose, "idle_timeout": duration(policy.idle_timeout), "absolute_timeout": duration(policy.absolute_timeout),
                "remember_timeout": duration(policy.remember_timeout), "max_sessions": policy.max_sessions, "at_limit": policy.at_limit,
                "require_factor": policy.is_factor_required,
            }))?)?;
        }
        return Ok(());
    }
    let header =
        ["whose", "idle timeout", "absolute timeout", "remember timeout", "most sessions", "at the limit", "second factor"];
    let table = rows.into_iter().map(|(whose, policy)| {
        vec![
            whose,
            duration(policy.idle_timeout).unwrap_or_default(),
            duration(policy.absolute_timeout).unwrap_or_default(),
            duration(policy.remember_timeout).unwrap_or_default(),
            policy.max_sessions.map(|most| most.to_string()).unwrap_or_default(),
            policy.at_limit.map(|outcome| outcome.as_str().to_owned()).unwrap_or_default(),
            if policy.is_factor_required { "required" } else { "" }.to_owned(),
        ]
    });
    output::table(&header, table.collect())
}
