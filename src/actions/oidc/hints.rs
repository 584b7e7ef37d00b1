//! ID tokens that come back as hints: they name a session and a user, and prove nothing else.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::actions::app::App;
use crate::actions::signing::keyring::KeysError;
use crate::domain::signing::KeyState;
use crate::store::StoreError;

/// What an ID token of ours says, whatever its age.
#[derive(Clone, Debug, Deserialize)]
pub struct Hint {
    /// The issuer.
    pub iss: String,
    /// Who it is about.
    pub sub: String,
    /// The client.
    pub aud: String,
    /// The session's uuid.
    pub sid: String,
}

#[derive(Deserialize)]
struct Head {
    alg: String,
    kid: String,
    typ: String,
}

/// Reads a hint; `None` for anything but an ID token that one of our keys signed by its own algorithm. Keys that are not
/// published any more count for as long as they are kept.
///
/// # Errors
/// When the database does not answer.
pub async fn read(app: &App, text: &str) -> Result<Option<Hint>, StoreError> {
    signed(app, text, "JWT", |_| true).await
}

/// What a token of this kind (`typ`) says, whatever its age; `None` for one that none of these keys signed by its own
/// algorithm. Nothing in its header but the key's name counts, and that finds a key of ours or none.
pub(super) async fn signed<T: DeserializeOwned>(
    app: &App,
    text: &str,
    kind: &str,
    counts: impl Fn(KeyState) -> bool,
) -> Result<Option<T>, StoreError> {
    let keys = match app.keyring.keys(&app.core).await {
        Ok(keys) => keys,
        Err(KeysError::Store(error)) => return Err(error),
        Err(_) => return Ok(None),
    };
    let Some((message, signature)) = text.rsplit_once('.') else { return Ok(None) };
    let Some((head, body)) = message.split_once('.') else { return Ok(None) };
    let part = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
    let head: Option<Head> = part(head).and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let Some(head) = head.filter(|head| head.typ == kind) else { return Ok(None) };
    let key = keys.states(app.clock.now()).find(|(key, state)| key.kid == head.kid && counts(*state)).map(|(key, _)| key);
    let Some(key) = key.filter(|key| key.key().public().algorithm().as_str() == head.alg) else { return Ok(None) };
    let is_ours = part(signature).is_some_and(|signature| key.key().public().is_signature(message.as_bytes(), &signature));
    Ok(part(body).filter(|_| is_ours).and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}
