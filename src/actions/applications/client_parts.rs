//! Clients by themselves, as authentik's API makes them before an application has them.

use serde_json::Map;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::applications::clients::check;
use crate::actions::applications::edit::{edit, edit_client};
use crate::actions::applications::{named_conflict, secrets};
use crate::actions::by::By;
use crate::domain::application::client::{Client, ID_LENGTH};
use crate::domain::application::{ApplicationRule, ClientPart, MAX_APPLICATIONS};
use crate::domain::event::EventContent;
use crate::domain::{PlainSecret, secret};

/// What to change of a client; `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct ClientChange {
    /// Its name.
    pub name: Option<String>,
    /// What names it to Rollcall.
    pub client_id: Option<String>,
    /// The client.
    pub client: Option<Client>,
    /// What is kept for authentik's API, all of it.
    pub kept: Option<Map<String, serde_json::Value>>,
    /// Its secret, which is the only one from then on.
    pub secret: Option<PlainSecret>,
    /// Only if it is still like this.
    pub expected: Option<ClientPart>,
}

/// A client as it is now, and its secret if it is new.
pub type Written = (ClientPart, Option<PlainSecret>);

impl ClientChange {
    fn apply(self, part: &mut ClientPart) -> Result<(), ActionError> {
        if self.expected.is_some_and(|expected| expected != *part) {
            return Err(ActionError::Outdated);
        }
        if let Some(name) = self.name {
            part.name = name;
        }
        if let Some(client_id) = self.client_id {
            part.client_id = client_id;
        }
        if let Some(client) = self.client {
            part.client = client;
        }
        if let Some(kept) = self.kept {
            part.kept = kept;
        }
        Ok(())
    }
}

fn event(part: &ClientPart, act: &str) -> EventContent {
    EventContent::ClientChanged { client: part.name.clone(), act: act.to_owned() }
}

/// Adds a client that no application has. Without a `client_id` or a secret they are drawn.
///
/// # Errors
/// [`ActionError::Forbidden`] unless an administrator does it; [`ActionError::Application`] for a rule that it breaks.
pub async fn add(app: &App, by: By<'_>, wanted: ClientChange) -> Result<Written, ActionError> {
    by.must_administer()?;
    let client_id = secret::random_alphanumeric(ID_LENGTH)?;
    let empty =
        ClientPart { id: 0, name: String::new(), application: None, client_id, client: Client::default(), kept: Map::new() };
    let (actor, now, app_too) = (by.actor(), app.clock.now(), app.clone());
    let added = app.store.write(move |db| {
        Box::pin(async move {
            db.lock_applications().await?;
            if usize::try_from(db.count_clients().await?).unwrap_or(MAX_APPLICATIONS) >= MAX_APPLICATIONS {
                return Err(ApplicationRule::Many.into());
            }
            let (mut part, chosen) = (empty, wanted.secret.clone());
            wanted.apply(&mut part)?;
            let mut part = check(&app_too, part)?;
            part.id = db.insert_client(&part).await?;
            db.insert_events(&[event(&part, "added").by(&actor, now)]).await?;
            let secret = secrets::settle(db, &app_too, (&part, ""), chosen, (&actor, now)).await?;
            Ok((part, secret))
        })
    });
    named_conflict(added.await, "")
}

/// Changes a client, whether an application has it or not.
///
/// # Errors
/// As for [`add`], and [`ActionError::NotFound`]; [`ActionError::Outdated`] when it is not as expected.
pub async fn change(app: &App, by: By<'_>, id: i64, wanted: ClientChange) -> Result<Written, ActionError> {
    by.must_administer()?;
    let chosen = wanted.secret.clone();
    if let Some(slug) = slug_of(app, id).await? {
        let edited = edit_client(app, by, &slug, chosen, move |application| {
            let part = application.client.as_mut().filter(|part| part.id == id).ok_or(ActionError::NotFound)?;
            wanted.apply(part)
        });
        let (application, secret) = edited.await?;
        return Ok((application.client.ok_or(ActionError::NotFound)?, secret));
    }
    let (actor, now, app_too) = (by.actor(), app.clock.now(), app.clone());
    let changed = app.store.write(move |db| {
        Box::pin(async move {
            db.lock_applications().await?;
            let before = db.find_client(id).await?.filter(|part| part.application.is_none()).ok_or(ActionError::NotFound)?;
            let mut part = before.clone();
            wanted.apply(&mut part)?;
            let part = check(&app_too, part)?;
            if part != before {
                db.update_client(&part).await?;
                db.insert_events(&[event(&part, "changed").by(&actor, now)]).await?;
            }
            let secret = secrets::settle(db, &app_too, (&part, ""), chosen, (&actor, now)).await?;
            Ok((part, secret))
        })
    });
    named_conflict(changed.await, "")
}

/// The slug of the application that has this client; `None`: none has it.
async fn slug_of(app: &App, id: i64) -> Result<Option<String>, ActionError> {
    let db = app.store.read();
    let part = db.find_client(id).await?.ok_or(ActionError::NotFound)?;
    match part.application {
        Some(application) => Ok(db.find_application_slug(application).await?),
        None => Ok(None),
    }
}

/// Removes a client. Its application stays, without a client, and its app sessions end.
///
/// # Errors
/// [`ActionError::Forbidden`] unless an administrator does it; [`ActionError::NotFound`].
pub async fn remove(app: &App, by: By<'_>, id: i64) -> Result<(), ActionError> {
    by.must_administer()?;
    if let Some(slug) = slug_of(app, id).await? {
        let edited = edit(app, by, &slug, move |application| {
            application.client.take_if(|part| part.id == id).ok_or(ActionError::NotFound).map(drop)
        });
        return edited.await.map(drop);
    }
    let (actor, now) = (by.actor(), app.clock.now());
    app.store
        .write(move |db| {
            Box::pin(async move {
                db.lock_applications().await?;
                let part = db.find_client(id).await?.filter(|part| part.application.is_none()).ok_or(ActionError::NotFound)?;
                db.delete_client(id).await?;
                Ok(db.insert_events(&[event(&part, "removed").by(&actor, now)]).await?)
            })
        })
        .await
}
