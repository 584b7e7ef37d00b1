//! `/application/o/{slug}/jwks/`: the public keys that apps check signatures with (RFC 7517). They are the same for every
//! application, whether it has a client or a guard.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::actions::app::App;
use crate::actions::signing::keyring::{Keys, KeysError};
use crate::domain::Timestamp;
use crate::domain::signing::Jwk;
use crate::oidc::answer::{public, unavailable};

/// The keys that are published now.
pub async fn show(State(app): State<App>, Path(slug): Path<String>, headers: HeaderMap) -> Response {
    match published(&app, &slug).await {
        Ok(Some(keys)) => public(&headers, set(&keys, app.clock.now())),
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => unavailable(&error),
    }
}

/// The keys, if there is an application of that slug, and an address that apps can trust.
async fn published(app: &App, slug: &str) -> Result<Option<std::sync::Arc<Keys>>, KeysError> {
    if app.config.issuer_url().is_none() || app.store.applications().await?.by_slug(slug).is_none() {
        return Ok(None);
    }
    app.keyring.now(&app.core).await.map(Some)
}

fn set(keys: &Keys, now: Timestamp) -> String {
    let published = keys.states(now).filter(|(_, state)| state.is_published());
    let keys: Vec<Jwk<'_>> = published.map(|(known, _)| Jwk::new(known.key().public(), &known.kid)).collect();
    json!({ "keys": keys }).to_string()
}
