//! For whom passkeys are made: the host people reach the server by. Without `http.public_url` that is
//! `localhost` alone, since a request's `Host` is whatever its sender likes.

use crate::actions::app::App;
use crate::domain::webauthn::RelyingParty;
use crate::http::client::ClientInfo;

/// Whom a request's browser makes passkeys for. `None` when browsers make none for this address.
#[must_use]
pub fn of(app: &App, client: &ClientInfo) -> Option<RelyingParty> {
    match &app.config.http.public_url {
        Some(url) => RelyingParty::of_origin(url.origin()),
        None => RelyingParty::of_origin(&client.origin()).filter(|party| party.origin.starts_with("http://")),
    }
}
