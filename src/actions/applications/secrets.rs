//! Secrets that authentik's API sets: the only one of their client from then on, given by the call that sets it, and
//! readable again with `api.readable_secrets`.

use std::collections::HashMap;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::domain::application::client::MIN_SECRET;
use crate::domain::application::{ApplicationRule, ClientPart};
use crate::domain::caller::Actor;
use crate::domain::event::EventContent;
use crate::domain::{PlainSecret, Timestamp};
use crate::store::Db;
use crate::store::oidc::secrets::SealedSecret;

/// What secrets are sealed for.
const PURPOSE: &str = "the secret of a client";
/// The longest secret that can be chosen, in characters.
pub const MAX_SECRET: usize = 255;

/// A secret as it is chosen: long enough that nobody guesses it, and of characters that each way of sending it carries.
///
/// # Errors
/// [`ApplicationRule::Secret`].
pub fn check(secret: &str) -> Result<(), ApplicationRule> {
    let is_right = (MIN_SECRET..=MAX_SECRET).contains(&secret.len()) && secret.bytes().all(|byte| byte.is_ascii_graphic());
    if is_right { Ok(()) } else { Err(ApplicationRule::Secret) }
}

/// Gives a client, which was just written, the secret that was asked for, in the transaction that wrote it: this one, or, if
/// it has none, one that is drawn. A public client has none. Gives the secret if it is new.
pub(super) async fn settle(
    db: &Db<'_>,
    app: &App,
    (part, slug): (&ClientPart, &str),
    chosen: Option<PlainSecret>,
    (actor, now): (&Actor, Timestamp),
) -> Result<Option<PlainSecret>, ActionError> {
    let application = slug.to_owned();
    if part.client.is_public {
        if db.delete_client_secrets(part.id).await? > 0 {
            db.insert_events(&[EventContent::ClientSecretRemoved { application }.by(actor, now)]).await?;
        }
        return Ok(None);
    }
    let newest = db.list_client_secrets(part.id, now).await?.first().copied();
    let secret = match chosen {
        Some(chosen) if newest == Some(chosen.hash()) => return Ok(None),
        None if newest.is_some() => return Ok(None),
        Some(chosen) => chosen,
        None => PlainSecret::generate()?,
    };
    check(secret.expose())?;
    let hash = secret.hash();
    let is_readable = app.config.api.readable_secrets;
    let sealed = is_readable.then(|| app.instance_key.seal(PURPOSE, &hash.0, secret.expose().as_bytes())).transpose()?;
    db.replace_client_secrets(part.id, (hash, sealed), now).await?;
    db.insert_events(&[EventContent::ClientSecretAdded { application }.by(actor, now)]).await?;
    Ok(Some(secret))
}

/// The secrets of clients that can be read again, by the primary key of the provider: with `api.readable_secrets`, for
/// administrators. For everybody else, auditors too, there are none.
///
/// # Errors
/// When the database does not answer.
pub async fn readable(app: &App, by: By<'_>) -> Result<HashMap<i64, String>, ActionError> {
    if !app.config.api.readable_secrets || by.must_administer().is_err() {
        return Ok(HashMap::new());
    }
    let sealed = app.store.read().list_sealed_client_secrets().await?;
    let open = |secret: &SealedSecret| {
        let opened = app.instance_key.open(PURPOSE, &secret.hash.0, &secret.sealed)?;
        Some((secret.provider_id, String::from_utf8(opened).ok()?))
    };
    Ok(sealed.iter().filter_map(open).collect())
}
