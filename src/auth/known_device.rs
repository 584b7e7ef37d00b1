//! The cookie by which a browser is known: a random secret, kept for long, that says "somebody signed
//! in here before". It gives nothing by itself and replaces no proof.

use axum::http::HeaderMap;

use crate::auth::cookies;
use crate::config::{Config, KNOWN_DEVICE_LIVES};
use crate::domain::{HashedSecret, PlainSecret};

/// The cookie's name.
#[must_use]
pub fn name(config: &Config) -> &'static str {
    if config.is_https() { "__Host-rollcall_device" } else { "rollcall_device" }
}

/// What the secret that a request's cookie holds hashes to, known or not.
#[must_use]
pub fn secret(config: &Config, headers: &HeaderMap) -> Option<HashedSecret> {
    let secret = cookies::find(headers, name(config)).filter(|secret| !secret.is_empty())?;
    Some(PlainSecret::from_text(secret).hash())
}

/// Hands a browser the secret by which it is known from now on.
pub fn set(headers: &mut HeaderMap, config: &Config, secret: &PlainSecret) {
    cookies::set(headers, &cookies::build(config, name(config), secret.expose().to_owned(), Some(KNOWN_DEVICE_LIVES)));
}
