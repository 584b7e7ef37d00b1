//! The cookie of a known device: a long-lived random secret which shows that a user signed in with
//! this browser before. It opens nothing and replaces no proof.

use std::time::Duration;

use axum::http::HeaderMap;

use crate::auth::cookies;
use crate::config::Config;
use crate::domain::{HashedSecret, PlainSecret};

/// How long the cookie lives: as long as browsers keep one. How long a browser is known is
/// `sign_in.known_device_lifetime`.
const COOKIE_LIVES: Duration = Duration::from_secs(400 * 86400);

/// The cookie's name.
#[must_use]
pub fn name(config: &Config) -> &'static str {
    if config.is_https() { "__Host-rollcall_device" } else { "rollcall_device" }
}

/// The hash of the secret in a request's cookie, known or not.
#[must_use]
pub fn secret(config: &Config, headers: &HeaderMap) -> Option<HashedSecret> {
    let secret = cookies::find(headers, name(config)).filter(|secret| !secret.is_empty())?;
    Some(PlainSecret::from_text(secret).hash())
}

/// Hands a browser the secret by which it is known from now on.
pub fn set(headers: &mut HeaderMap, config: &Config, secret: &PlainSecret) {
    cookies::set(headers, &cookies::build(config, name(config), secret.expose().to_owned(), Some(COOKIE_LIVES)));
}
