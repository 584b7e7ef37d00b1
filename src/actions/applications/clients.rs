//! Clients of applications: their rules, and their secrets.

use serde_json::Map;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::config::{At, Config, PublicUrl};
use crate::domain::application::client::{Client, ID_LENGTH, MIN_SECRET, OLD_SECRET_LIVES, check_id};
use crate::domain::application::{Application, ApplicationRule, ClientPart, check_name};
use crate::domain::event::EventContent;
use crate::domain::oidc::target::Own;
use crate::domain::{PlainSecret, secret};
use crate::store::Db;

/// What a client is to be.
#[derive(Clone, Debug, Default)]
pub struct ClientWish {
    /// What names it; `None`: as it is, or drawn.
    pub client_id: Option<String>,
    /// The client.
    pub client: Client,
}

/// Gives an application this client: in place of its own, or as a new one that is called like the application.
///
/// # Errors
/// When the operating system has no randomness to give.
pub fn set_client(application: &mut Application, wish: ClientWish) -> Result<(), ActionError> {
    let ClientWish { client_id, client } = wish;
    match &mut application.client {
        Some(part) => {
            part.client = client;
            part.client_id = client_id.unwrap_or_else(|| part.client_id.clone());
        }
        None => {
            let client_id = match client_id {
                Some(id) => id,
                None => secret::random_alphanumeric(ID_LENGTH)?,
            };
            let (name, of) = (application.name.clone(), Some(application.id));
            application.client = Some(ClientPart { id: 0, name, application: of, client_id, client, kept: Map::new() });
        }
    }
    Ok(())
}

/// Checks the parts of a client.
pub(in crate::actions) fn check(app: &App, part: ClientPart) -> Result<ClientPart, ApplicationRule> {
    if app.config.issuer_url().is_none() {
        return Err(ApplicationRule::ClientNeedsHttps);
    }
    let (name, client_id) = (check_name(&part.name)?, check_id(&part.client_id)?);
    let (plain, allow) = (&app.config.oidc.plain_hosts.0, &app.config.outbound.allow.0);
    Ok(ClientPart { name, client_id, client: part.client.check(plain, allow, &own(&app.config))?, ..part })
}

/// Where the server itself is reached: its own requests go elsewhere.
pub(in crate::actions) fn own(config: &Config) -> Own {
    let (mut names, mut addresses) = (Vec::new(), Vec::new());
    for listen in &config.listen {
        match &listen.at {
            At::Address(address) => addresses.push(*address),
            At::Name { host, port } => names.push((host.as_str(), *port)),
            At::Unix(_) | At::Inherited => {}
        }
    }
    addresses.extend(config.metrics.listen);
    Own::new(config.http.public_url.as_ref().map(PublicUrl::origin), &names, addresses)
}

/// Writes a client that was added or changed, and removes one that is gone. One that was detached is left. The
/// application's row is locked.
pub(in crate::actions) async fn write(db: &Db<'_>, before: &Application, after: &mut Application) -> Result<(), ActionError> {
    if let Some(old) = &before.client
        && after.client.as_ref().is_none_or(|new| new.id != old.id)
        && db.find_client(old.id).await?.is_some_and(|stored| stored.application == Some(before.id))
    {
        db.delete_client(old.id).await?;
    }
    match &mut after.client {
        Some(part) if part.id == 0 => part.id = db.insert_client(part).await?,
        Some(part) if before.client.as_ref() != Some(part) => db.update_client(part).await?,
        _ => {}
    }
    Ok(())
}

/// Adds a secret to the client of an application and gives it, this once. The one before is good for a week more.
///
/// # Errors
/// [`ActionError::Forbidden`] unless an administrator does it; [`ActionError::NotFound`]; [`ApplicationRule::NoClient`];
/// [`ApplicationRule::PublicSecret`].
pub async fn add_secret(app: &App, by: By<'_>, slug: &str) -> Result<PlainSecret, ActionError> {
    by.must_administer()?;
    let (drawn, actor, now, slug) = (PlainSecret::generate()?, by.actor(), app.clock.now(), slug.to_owned());
    debug_assert!(drawn.expose().len() >= MIN_SECRET);
    let hash = drawn.hash();
    let added = app.store.write(move |db| {
        Box::pin(async move {
            let application = db.lock_application(&slug).await?.ok_or(ActionError::NotFound)?;
            let part = application.client.as_ref().ok_or(ApplicationRule::NoClient)?;
            if part.client.is_public {
                return Err(ApplicationRule::PublicSecret.into());
            }
            db.insert_client_secret(part.id, hash, now, now.plus(OLD_SECRET_LIVES)).await?;
            let content = EventContent::ClientSecretAdded { application: application.slug };
            Ok::<_, ActionError>(db.insert_events(&[content.by(&actor, now)]).await?)
        })
    });
    added.await?;
    Ok(drawn)
}

/// Removes all secrets of a client but the newest; gives how many.
///
/// # Errors
/// As for [`add_secret`].
pub async fn remove_old_secrets(app: &App, by: By<'_>, slug: &str) -> Result<u64, ActionError> {
    by.must_administer()?;
    let (actor, now, slug) = (by.actor(), app.clock.now(), slug.to_owned());
    let removed = app.store.write(move |db| {
        Box::pin(async move {
            let application = db.lock_application(&slug).await?.ok_or(ActionError::NotFound)?;
            let part = application.client.as_ref().ok_or(ApplicationRule::NoClient)?;
            let removed = db.delete_old_client_secrets(part.id).await?;
            if removed > 0 {
                let content = EventContent::ClientSecretRemoved { application: application.slug };
                db.insert_events(&[content.by(&actor, now)]).await?;
            }
            Ok::<_, ActionError>(removed)
        })
    });
    removed.await
}
