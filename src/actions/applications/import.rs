//! Lines of an import that bring applications.

use serde::Deserialize;
use serde_json::Value;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::applications::edit::{ApplicationChange, insert};
use crate::domain::application::Display;
use crate::domain::application::demand::Demand;
use crate::domain::application::guard::Guard;
use crate::domain::application::values::GroupsSent;
use crate::store::{Db, StoreError};

/// An application: `access` and `guard` as the API has them, and in each `allow` also `group:NAME` and `user:NAME`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::actions) struct ApplicationLine {
    slug: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    access: Value,
    #[serde(default)]
    display: Display,
    #[serde(default)]
    groups_sent: GroupsSent,
    #[serde(default)]
    guard: Value,
}

/// Why an application cannot be imported: the line's own fault, or the database's.
pub(in crate::actions) enum LineFault {
    /// The line's.
    Line(String),
    /// The database's.
    Store(StoreError),
}

impl From<StoreError> for LineFault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Adds the application of a line, in a transaction.
pub(in crate::actions) async fn add_line(db: &Db<'_>, app: &App, mut line: ApplicationLine) -> Result<(), LineFault> {
    name_parties(db, line.access.get_mut("allow")).await?;
    let rules = line.guard.get_mut("rules").and_then(Value::as_array_mut);
    for rule in rules.into_iter().flatten() {
        name_parties(db, rule.get_mut("allow")).await?;
    }
    let wrong = |what: &str, error: serde_json::Error| LineFault::Line(format!("{what}: {error}"));
    let access: Option<Demand> = serde_json::from_value(line.access).map_err(|error| wrong("access", error))?;
    let guard: Option<Guard> = serde_json::from_value(line.guard).map_err(|error| wrong("guard", error))?;
    let wanted = ApplicationChange {
        name: Some(line.name.unwrap_or_else(|| line.slug.clone())),
        slug: Some(line.slug),
        access,
        display: Some(line.display),
        groups_sent: Some(line.groups_sent),
        guard: guard.map(Some),
        ..ApplicationChange::default()
    };
    match insert(db, app, wanted).await {
        Ok(_) => Ok(()),
        Err(ActionError::Store(error)) => Err(LineFault::Store(error)),
        Err(other) => Err(LineFault::Line(other.to_string())),
    }
}

/// Puts uuids in place of the names in an `allow`.
async fn name_parties(db: &Db<'_>, allow: Option<&mut Value>) -> Result<(), LineFault> {
    for item in allow.and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(text) = item.as_str() else { continue };
        let missing = |what: &str, name: &str| LineFault::Line(format!("there is no {what} {name:?}"));
        let (kind, uuid) = match text.split_once(':') {
            Some(("group", name)) => {
                let id = db.find_group_id(name).await?.ok_or_else(|| missing("group", name))?;
                let group = db.find_group_by_id(id).await?.ok_or_else(|| missing("group", name))?;
                ("group", group.uuid)
            }
            Some(("user", name)) => {
                let user = db.find_user_by_name(name).await?.ok_or_else(|| missing("user", name))?;
                ("user", user.uuid)
            }
            _ => return Err(LineFault::Line(format!("allow: {text:?} is neither group:NAME nor user:NAME"))),
        };
        *item = serde_json::json!({ kind: uuid.hyphenated().to_string() });
    }
    Ok(())
}
