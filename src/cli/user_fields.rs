//! `rollcall user set`, `show` and `list`.

use clap::Args;
use serde_json::{Value, json};

use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::people::changes;
use crate::actions::people::changes::UserChange;
use crate::cli::group::{find_group, parse_attributes};
use crate::cli::people_filters::Filters;
use crate::cli::user::{find, parse_permission};
use crate::cli::{Failure, Outcome, misused, output};
use crate::domain::UserId;
use crate::domain::listing::Sort;
use crate::domain::page::Wanted;
use crate::domain::people_lists::{UserFilter, UserSortKey};
use crate::domain::user::UserType;
use crate::store::people::user_list::ListedUser;

/// What can be changed of a user.
#[derive(Args)]
pub(super) struct SetArgs {
    /// Who
    user: String,
    /// Another username
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
    /// Full name
    #[arg(long)]
    name: Option<String>,
    /// E-mail address; another one is not verified, unless --email-verified says so
    #[arg(long)]
    email: Option<String>,
    /// Whether it is known that the address is theirs
    #[arg(long, value_name = "true|false")]
    email_verified: Option<bool>,
    /// Whether they may do everything, by themselves; groups may say so, too
    #[arg(long, value_name = "true|false")]
    superuser: Option<bool>,
    /// Whether they read everything that administrators read, and change nothing
    #[arg(long, value_name = "true|false")]
    auditor: Option<bool>,
    /// What they are: internal, external or `service_account`
    #[arg(long = "type", value_name = "WORD")]
    kind: Option<String>,
    /// Where they are sorted in, such as users/staff
    #[arg(long)]
    path: Option<String>,
    /// Their attributes, as a JSON object
    #[arg(long, value_name = "JSON")]
    attributes: Option<String>,
    /// A group that they are in, by name, and in no other; may be repeated
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// They are in no group
    #[arg(long, conflicts_with = "groups")]
    no_group: bool,
    /// A global permission that they have, and no other; may be repeated
    #[arg(long = "permission", value_name = "PERMISSION")]
    permissions: Vec<String>,
    /// They have no permission of their own
    #[arg(long, conflicts_with = "permissions")]
    no_permission: bool,
}

impl SetArgs {
    async fn read(&self, app: &App) -> Result<UserChange, Failure> {
        let mut groups = Vec::new();
        for name in &self.groups {
            groups.push(find_group(app, name).await?.uuid);
        }
        let permissions: Vec<_> = self.permissions.iter().map(|name| parse_permission(name)).collect::<Result<_, _>>()?;
        let kind = match &self.kind {
            Some(word) => {
                let known = UserType::ALL.map(UserType::as_str).join(", ");
                Some(UserType::parse(word).ok_or_else(|| misused(format!("--type {word}: it is none of {known}")))?)
            }
            None => None,
        };
        Ok(UserChange {
            username: self.username.clone(),
            name: self.name.clone(),
            email: self.email.clone(),
            is_email_verified: self.email_verified,
            is_superuser: self.superuser,
            is_auditor: self.auditor,
            kind,
            path: self.path.clone(),
            attributes: self.attributes.as_deref().map(parse_attributes).transpose()?,
            groups: Some(groups).filter(|groups| self.no_group || !groups.is_empty()),
            permissions: Some(permissions).filter(|permissions| self.no_permission || !permissions.is_empty()),
            ..UserChange::default()
        })
    }
}

/// Changes a user.
pub(super) async fn set(app: &App, args: &SetArgs) -> Outcome {
    let user = find(app, &args.user).await?;
    changes::change(app, By::Cli, user.id, args.read(app).await?).await?;
    output::say(&format!("changed {}", args.user));
    if args.email.is_some() { note_same_email(app, user.id).await } else { Ok(()) }
}

/// Notes on standard error that other users have the e-mail address of a user.
pub(super) async fn note_same_email(app: &App, id: UserId) -> Outcome {
    let db = app.store.read();
    let Some(user) = db.find_user(id).await? else { return Ok(()) };
    let others = db.list_same_email(&user.email, id, 5).await?;
    if !others.is_empty() {
        let names: Vec<String> = others.into_iter().map(|(_, name)| name).collect();
        let (names, has) = (names.join(", "), if names.len() == 1 { "has" } else { "have" });
        output::say(&format!(
            "note: {names} {has} this e-mail address, too; signing in with it fails while more than one user has it"
        ));
    }
    Ok(())
}

/// A user as JSON.
fn record(row: &ListedUser) -> Value {
    let (profile, user) = (&row.profile, &row.profile.user);
    json!({
        "id": user.id, "uuid": user.uuid.to_string(), "username": user.username, "name": user.name, "email": user.email,
        "email_verified": profile.is_email_verified, "active": user.is_active, "superuser": profile.is_administrator,
        "auditor": row.is_auditor,
        "type": profile.kind.as_str(), "path": profile.path, "created": user.created_at, "last_sign_in": user.last_sign_in_at,
        "updated": profile.updated_at, "removal_asked": profile.removal_asked_at, "groups": row.groups.iter().map(|group| &group.name).collect::<Vec<_>>(),
        "attributes": serde_json::from_str::<Value>(&profile.attributes).unwrap_or_default(),
    })
}

/// Shows a user.
pub(super) async fn show(app: &App, id: UserId, is_json: bool) -> Outcome {
    let db = app.store.read();
    let row = db.find_listed_user(id).await?.ok_or("the user is gone")?;
    let mut record = record(&row);
    let all: Vec<String> = db.list_all_groups_of(id).await?.into_iter().map(|group| group.name).collect();
    if let Some(fields) = record.as_object_mut() {
        fields.insert("all_groups".to_owned(), json!(all));
        fields.insert("permissions".to_owned(), json!(db.list_permissions(id).await?));
        fields.insert("has_password".to_owned(), json!(row.profile.user.password_hash.is_some()));
    }
    if is_json { output::line(&record.to_string()) } else { output::facts(&record) }
}

/// Lists users by name.
pub(super) async fn list(app: &App, filters: &Filters<UserFilter>, is_json: bool, is_csv: bool) -> Outcome {
    const HEADER: [&str; 7] = ["id", "username", "name", "email", "active", "superuser", "last_sign_in"];
    const STEP: i64 = 2000;
    let filter = filters.read()?;
    if let Some(name) = app.store.read().find_missing_group_name(&filter.groups).await? {
        return Err(misused(format!("there is no group named {name}")));
    }
    let order = [Sort { key: UserSortKey::Username, is_descending: false }];
    let mut rows = Vec::new();
    for number in 1.. {
        let found = app.store.page(&filter, &order, Wanted::page(number, STEP)).await?;
        for row in &found.rows {
            if is_json {
                output::line(&record(row).to_string())?;
                continue;
            }
            let user = &row.profile.user;
            let yes_no = |flag| if flag { "yes" } else { "no" }.to_owned();
            rows.push(vec![
                user.id.0.to_string(),
                user.username.clone(),
                user.name.clone(),
                user.email.clone(),
                yes_no(user.is_active),
                yes_no(row.profile.is_administrator),
                user.last_sign_in_at.map(|at| at.to_string()).unwrap_or_default(),
            ]);
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
