//! Lines of an import that bring applications.

use serde::Deserialize;
use serde_json::Value;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::applications::clients::ClientWish;
use crate::actions::applications::edit::{ApplicationChange, insert};
use crate::actions::applications::secrets;
use crate::domain::application::client::Client;
use crate::domain::application::demand::Demand;
use crate::domain::application::guard::Guard;
use crate::domain::application::values::GroupsSent;
use crate::domain::application::{ApplicationRule, Display};
use crate::domain::oidc::grant::unhex;
use crate::domain::{HashedSecret, PlainSecret};
use crate::store::{Db, StoreError};

/// An application: `access`, `guard` and `client` as they are stored, and in each `allow` also `group:NAME` and `user:NAME`.
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
    #[serde(default)]
    client: Value,
}

/// The client of a line, and the hash of its secret.
struct ClientLine(ClientWish, Option<HashedSecret>);

impl ClientLine {
    /// Reads a client as the API's tables have it, with `client_id` and one of `client_secret` and `client_secret_sha256`
    /// (64 hexadecimal digits); `None`: the line has none.
    fn read(client: Value) -> Result<Option<Self>, String> {
        let Value::Object(mut fields) = client else {
            return if client.is_null() { Ok(None) } else { Err("client: it is no object".to_owned()) };
        };
        let mut text = |name: &str| match fields.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(format!("client: {name} is a text")),
        };
        let (client_id, plain, hash) = (text("client_id")?, text("client_secret")?, text("client_secret_sha256")?);
        let client: Client = serde_json::from_value(Value::Object(fields)).map_err(|error| format!("client: {error}"))?;
        let secret = match (plain, hash) {
            (Some(_), Some(_)) => return Err("client: client_secret and client_secret_sha256 are the same secret".to_owned()),
            (Some(plain), None) => {
                secrets::check(&plain).map_err(|rule| rule.to_string())?;
                Some(PlainSecret::from_text(plain).hash())
            }
            (None, Some(hash)) => {
                let bytes = unhex(&hash).ok_or("client: client_secret_sha256 has 64 hexadecimal digits")?;
                Some(HashedSecret(bytes))
            }
            (None, None) => None,
        };
        if client.is_public && secret.is_some() {
            return Err(ApplicationRule::PublicSecret.to_string());
        }
        Ok(Some(Self(ClientWish { client_id, client }, secret)))
    }
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
    let (client, secret) = match ClientLine::read(line.client).map_err(LineFault::Line)? {
        Some(ClientLine(wish, secret)) => (Some(Some(wish)), secret),
        None => (None, None),
    };
    let wanted = ApplicationChange {
        name: Some(line.name.unwrap_or_else(|| line.slug.clone())),
        slug: Some(line.slug),
        access,
        display: Some(line.display),
        groups_sent: Some(line.groups_sent),
        guard: guard.map(Some),
        client,
        ..ApplicationChange::default()
    };
    let added = match insert(db, app, wanted).await {
        Ok(added) => added,
        Err(ActionError::Store(error)) => return Err(LineFault::Store(error)),
        Err(other) => return Err(LineFault::Line(other.to_string())),
    };
    if let (Some(part), Some(hash)) = (added.client, secret) {
        db.replace_client_secrets(part.id, (hash, None), app.clock.now()).await?;
    }
    Ok(())
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
