//! `rollcall group`.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::people::groups;
use crate::actions::people::groups::GroupChange;
use crate::cli::people_filters::Filters;
use crate::cli::user::{find, parse_permission};
use crate::cli::{Failure, Outcome, misused, output};
use crate::config::Config;
use crate::domain::listing::Sort;
use crate::domain::page::Wanted;
use crate::domain::people_lists::{GroupFilter, GroupSortKey};
use crate::store::people::group_list::ListedGroup;
use crate::store::people::groups::GroupRow;

/// What to do with groups.
#[derive(Subcommand)]
pub(super) enum GroupCommand {
    /// Add a group
    Add {
        /// Its name
        name: String,
        /// Its members may do everything, and those of groups within it
        #[arg(long)]
        superuser: bool,
        /// A user who is in it, by username; may be repeated
        #[arg(long = "member", value_name = "USERNAME")]
        members: Vec<String>,
        #[command(flatten)]
        fields: FieldArgs,
    },
    /// Change a group; what is not said stays
    Set {
        /// Which, by name
        group: String,
        /// Another name
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// Whether its members may do everything, and those of groups within it
        #[arg(long, value_name = "true|false")]
        superuser: Option<bool>,
        /// It is within no group any more
        #[arg(long, conflicts_with = "parents")]
        no_parent: bool,
        /// It has no permission any more
        #[arg(long, conflicts_with = "permissions")]
        no_permission: bool,
        #[command(flatten)]
        fields: FieldArgs,
    },
    /// Show a group with its members, parents and children
    Show {
        /// Which, by name
        group: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// List groups by name
    List {
        #[command(flatten)]
        filters: Filters<GroupFilter>,
        /// As JSON lines
        #[arg(long, conflicts_with = "csv")]
        json: bool,
        /// As CSV
        #[arg(long)]
        csv: bool,
    },
    /// Remove a group; its members stay users
    Remove {
        /// Which, by name
        group: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// The members of a group: add, remove
    #[command(subcommand)]
    Member(MemberCommand),
}

/// What to do with members.
#[derive(Subcommand)]
pub(super) enum MemberCommand {
    /// Put users into a group
    Add {
        /// Which group, by name
        group: String,
        /// Who, by username
        #[arg(required = true)]
        users: Vec<String>,
    },
    /// Take users out of a group
    Remove {
        /// Which group, by name
        group: String,
        /// Who, by username
        #[arg(required = true)]
        users: Vec<String>,
    },
}

/// What can be said of a group.
#[derive(Args)]
pub(super) struct FieldArgs {
    /// A group that it is within, by name; may be repeated
    #[arg(long = "parent", value_name = "GROUP")]
    parents: Vec<String>,
    /// Whether its members read everything that administrators read, and change nothing
    #[arg(long, value_name = "true|false")]
    auditor: Option<bool>,
    /// A global permission of its members, such as `authentik_core.view_authenticatedsession`; may be repeated
    #[arg(long = "permission", value_name = "PERMISSION")]
    permissions: Vec<String>,
    /// Its attributes, as a JSON object
    #[arg(long, value_name = "JSON")]
    attributes: Option<String>,
}

impl FieldArgs {
    async fn read(&self, app: &App) -> Result<GroupChange, Failure> {
        let mut parents = Vec::new();
        for name in &self.parents {
            parents.push(find_group(app, name).await?.uuid);
        }
        let permissions: Vec<_> = self.permissions.iter().map(|name| parse_permission(name)).collect::<Result<_, _>>()?;
        Ok(GroupChange {
            parents: Some(parents).filter(|parents| !parents.is_empty()),
            permissions: Some(permissions).filter(|permissions| !permissions.is_empty()),
            attributes: self.attributes.as_deref().map(parse_attributes).transpose()?,
            is_auditor: self.auditor,
            ..GroupChange::default()
        })
    }
}

/// Attributes as they are written at the command line.
///
/// # Errors
/// Wrong usage for what is no JSON object.
pub(super) fn parse_attributes(text: &str) -> Result<Map<String, Value>, Failure> {
    serde_json::from_str(text).map_err(|_| misused("--attributes: write a JSON object, such as '{\"team\": \"red\"}'"))
}

/// The group of that name, or a message that says there is none.
///
/// # Errors
/// When there is none.
pub(super) async fn find_group(app: &App, name: &str) -> Result<GroupRow, Failure> {
    let db = app.store.read();
    let found = match db.find_group_id(name).await? {
        Some(id) => db.find_group_by_id(id).await?,
        None => None,
    };
    found.ok_or_else(|| format!("there is no group named {name}").into())
}

pub(super) async fn run(config: Config, command: GroupCommand) -> Outcome {
    let app = crate::cli::open(config).await?;
    match command {
        GroupCommand::Add { name, superuser, members, fields } => {
            let mut users = Vec::new();
            for member in &members {
                users.push(find(&app, member).await?.id.0);
            }
            let change = GroupChange {
                name: Some(name.clone()),
                is_superuser: Some(superuser),
                users: Some(users),
                ..fields.read(&app).await?
            };
            groups::add(&app, By::Cli, change).await?;
            output::say(&format!("added the group {name}"));
        }
        GroupCommand::Set { group, name, superuser, no_parent, no_permission, fields } => {
            let row = find_group(&app, &group).await?;
            let fields = fields.read(&app).await?;
            let change = GroupChange {
                name,
                is_superuser: superuser,
                parents: if no_parent { Some(Vec::new()) } else { fields.parents },
                permissions: if no_permission { Some(Vec::new()) } else { fields.permissions },
                ..fields
            };
            groups::change(&app, By::Cli, row.uuid, change).await?;
            output::say(&format!("changed the group {group}"));
        }
        GroupCommand::Show { group, json } => show(&app, find_group(&app, &group).await?.uuid, json).await?,
        GroupCommand::List { filters, json, csv } => list(&app, &filters.read()?, json, csv).await?,
        GroupCommand::Remove { group, yes } => {
            let row = find_group(&app, &group).await?;
            if !yes && !output::confirm(&format!("Remove the group {group}?"))? {
                return Err("nothing was removed".into());
            }
            groups::remove(&app, By::Cli, row.uuid).await?;
            output::say(&format!("removed the group {group}"));
        }
        GroupCommand::Member(MemberCommand::Add { group, users }) => set_members(&app, &group, &users, true).await?,
        GroupCommand::Member(MemberCommand::Remove { group, users }) => set_members(&app, &group, &users, false).await?,
    }
    Ok(())
}

async fn set_members(app: &App, group: &str, users: &[String], is_member: bool) -> Outcome {
    let row = find_group(app, group).await?;
    // All of them are there before the first is moved.
    let mut found = Vec::new();
    for name in users {
        found.push(find(app, name).await?);
    }
    for user in found {
        groups::set_member(app, By::Cli, row.uuid, user.id, is_member).await?;
        output::say(&format!("{} is {} the group {group}", user.username, if is_member { "in" } else { "not in" }));
    }
    Ok(())
}

fn record(row: &ListedGroup, permissions: &[String]) -> Value {
    let names = |groups: &[GroupRow]| groups.iter().map(|group| group.name.clone()).collect::<Vec<_>>();
    let members: Vec<&str> = row.member_details.iter().flatten().map(|member| member.username.as_str()).collect();
    json!({
        "id": row.group.id, "uuid": row.group.uuid.to_string(), "name": row.group.name, "superuser": row.group.is_superuser,
        "auditor": row.group.is_auditor,
        "parents": names(&row.parents), "children": names(&row.children), "members": members, "permissions": permissions,
        "attributes": serde_json::from_str::<Value>(&row.group.attributes).unwrap_or_default(),
    })
}

async fn show(app: &App, uuid: Uuid, is_json: bool) -> Outcome {
    let db = app.store.read();
    let row = db.find_listed_group(uuid, true).await?.ok_or("the group is gone")?;
    let record = record(&row, &db.list_group_permissions(row.group.id).await?);
    if is_json {
        return output::line(&record.to_string());
    }
    output::facts(&record)
}

async fn list(app: &App, filter: &GroupFilter, is_json: bool, is_csv: bool) -> Outcome {
    const HEADER: [&str; 5] = ["name", "superuser", "members", "parents", "children"];
    const STEP: i64 = 500;
    if let Some(name) = app.store.read().find_missing_username(&filter.members).await? {
        return Err(misused(format!("there is no user named {name}")));
    }
    if let Some(id) = app.store.read().find_missing_user(&filter.member_ids).await? {
        return Err(misused(format!("there is no user with the primary key {id}")));
    }
    let filter = GroupFilter { with_users: Some(is_json), ..filter.clone() };
    let order = [Sort { key: GroupSortKey::Name, is_descending: false }];
    let mut rows = Vec::new();
    for number in 1.. {
        let found = app.store.page(&filter, &order, Wanted::page(number, STEP)).await?;
        for row in &found.rows {
            if is_json {
                output::line(&record(row, &app.store.read().list_group_permissions(row.group.id).await?).to_string())?;
                continue;
            }
            let names = |groups: &[GroupRow]| groups.iter().map(|group| group.name.clone()).collect::<Vec<_>>().join(", ");
            let superuser = if row.group.is_superuser { "yes" } else { "no" };
            let count = row.members.len().to_string();
            rows.push(vec![row.group.name.clone(), superuser.to_owned(), count, names(&row.parents), names(&row.children)]);
        }
        if number >= found.pages {
            break;
        }
    }
    match (is_json, is_csv) {
        (true, _) => Ok(()),
        (_, true) => output::csv(&HEADER, &rows),
        _ => output::table(&HEADER, rows),
    }
}
