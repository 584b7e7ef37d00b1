//! The relying party of passkeys: the host by which people reach the server. Without
//! `http.public_url` only `localhost` is accepted, since a request's `Host` is chosen by its
//! sender.

use crate::actions::app::App;
use crate::domain::webauthn::RelyingParty;
use crate::http::client::ClientInfo;

/// The relying party for which a request's browser makes passkeys. `None` when browsers make none
/// for this address.
#[must_use]
pub fn of(app: &App, client: &ClientInfo) -> Option<RelyingParty> {
    match &app.config.http.public_url {
        Some(url) => RelyingParty::of_origin(url.origin()),
        None => RelyingParty::of_origin(&client.origin()).filter(|party| party.origin.starts_with("http://")),
    }
}
