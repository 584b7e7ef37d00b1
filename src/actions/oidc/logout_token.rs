//! The token that says to an app that a session ended (OpenID Connect Back-Channel Logout 1.0, 2.4). Each try has one of its
//! own: apps refuse one that is old, or that they have seen.

use std::sync::Arc;

use serde_json::json;

use crate::actions::app::App;
use crate::actions::guard::identity::issuer;
use crate::domain::application::client::{NoticeNames, TokenAlgorithm};
use crate::domain::signing::jwt;
use crate::domain::{SessionId, secret};
use crate::store::oidc::notices::NoticeRow;

/// How long it is good, in seconds.
const LIVES: i64 = 120;
/// What it says that happened.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// What a token says.
pub(super) struct Said<'a> {
    /// The application's slug, which the issuer has.
    pub slug: &'a str,
    /// The client, for which it is.
    pub client_id: &'a str,
    /// What signs it.
    pub algorithm: TokenAlgorithm,
    /// The session that ended.
    pub session: SessionId,
    /// Who the app takes the user for; `None`: it is not said.
    pub sub: Option<&'a str>,
}

/// The token of a notice. With `auto` it names the user unless the user has the app open in another session at this moment.
///
/// # Errors
/// Why there is none, in words.
pub(super) async fn of_notice(app: &App, notice: &NoticeRow) -> Result<String, String> {
    let has_sub = match NoticeNames::parse(&notice.names).unwrap_or_default() {
        NoticeNames::Sid => false,
        NoticeNames::Both => true,
        NoticeNames::Auto => {
            let open = app.store.read().has_client_open(notice.user_id, notice.application_id, app.clock.now()).await;
            !open.map_err(|error| error.to_string())?
        }
    };
    let algorithm = TokenAlgorithm::parse(&notice.algorithm).unwrap_or_default();
    let sub = Some(notice.sub.as_str()).filter(|sub| has_sub && !sub.is_empty());
    sign(app, Said { slug: &notice.slug, client_id: &notice.client_id, algorithm, session: notice.session, sub }).await
}

/// Signs a token.
///
/// # Errors
/// Why there is none, in words.
pub(super) async fn sign(app: &App, said: Said<'_>) -> Result<String, String> {
    let url = app.config.issuer_url().ok_or("http.public_url is not https any more")?;
    let now = app.clock.now();
    let jti = secret::random_uuid().map_err(|error| error.to_string())?;
    let mut claims = json!({
        "iss": issuer(url, said.slug), "aud": said.client_id, "iat": now.seconds(), "exp": now.seconds() + LIVES,
        "jti": jti.hyphenated().to_string(), "sid": said.session.to_string(), "events": {EVENT: {}},
    });
    if let (Some(claims), Some(sub)) = (claims.as_object_mut(), said.sub) {
        claims.insert("sub".to_owned(), sub.into());
    }
    let keys = app.keyring.keys(&app.core).await.map_err(|error| error.to_string())?;
    let key = Arc::clone(keys.signing(said.algorithm.into(), now).ok_or("there is no key that signs")?);
    let signed = tokio::task::spawn_blocking(move || jwt::sign(key.key(), &key.kid, "logout+jwt", &claims.to_string())).await;
    signed.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}
