//! Tokens: made for an app session, and what they open while its session is live.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::by::By;
use crate::actions::guard::identity::issuer;
use crate::actions::oidc::clients::Known;
use crate::actions::oidc::hints;
use crate::actions::sign_in::factors;
use crate::actions::signing::keyring::KeysError;
use crate::domain::application::client::AccessToken;
use crate::domain::oidc::claims::{self, OPENID, PROXY, has};
use crate::domain::oidc::grant::{Proof, RefreshText, jwt_hash};
use crate::domain::signing::{KeyState, NotSigned, jwt};
use crate::domain::{HashedSecret, PlainSecret, SessionId, Timestamp};
use crate::store::StoreError;
use crate::store::applications::people::Subject;
use crate::store::oidc::tokens::{TokenHolder, TokenReader};
use crate::store::sessions::rows::LiveSession;

/// The `typ` of an access token that is a JWT.
const ACCESS_TYPE: &str = "at+jwt";
/// How long an ID token is good, in seconds.
const ID_TOKEN_LIVES: i64 = 300;
/// The most bytes of an ID token's claims. Beyond it the groups are left out, and stay at userinfo.
const MAX_CLAIMS: usize = 16 * 1024;

/// What a client gets for a code or a refresh token.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// The access token; of a JWT its `jti` ([`access_token`] makes the whole).
    pub access: PlainSecret,
    /// Since when it is good.
    pub created_at: Timestamp,
    /// For how long, in seconds.
    pub expires_in: u64,
    /// The refresh token.
    pub refresh: Option<RefreshText>,
    /// The scopes, separated by blanks.
    pub scope: String,
    /// Whose they are, for the ID token.
    pub about: About,
}

/// What an ID token says of a session.
#[derive(Clone, Debug)]
pub struct About {
    /// Who the app takes the user for.
    pub sub: String,
    /// The session.
    pub session: SessionId,
    /// What it had proved.
    pub proof: Proof,
    /// What the request asked to be repeated.
    pub nonce: Option<String>,
    /// The user.
    pub subject: Subject,
}

/// The access token as the client gets it: the secret itself, or a JWT (RFC 9068) that carries it as its `jti`.
///
/// # Errors
/// [`KeysError`].
pub async fn access_token(app: &App, known: &Known, tokens: &Tokens) -> Result<PlainSecret, KeysError> {
    let part = known.part()?;
    let (AccessToken::Jwt, Some(url)) = (part.client.access_token, app.config.issuer_url()) else {
        return Ok(tokens.access.clone());
    };
    let About { sub, session, proof, .. } = &tokens.about;
    let mut claims = Map::new();
    let mut put = |name: &str, value: Value| drop(claims.insert(name.to_owned(), value));
    put("iss", issuer(url, &known.application.slug).into());
    put("sub", sub.as_str().into());
    put("aud", part.client_id.as_str().into());
    put("client_id", part.client_id.as_str().into());
    // What is stored of it ends no earlier: an end of its session counts on that.
    put("iat", tokens.created_at.seconds().into());
    put("exp", tokens.created_at.seconds().saturating_add_unsigned(tokens.expires_in).into());
    put("jti", tokens.access.expose().into());
    put("scope", tokens.scope.as_str().into());
    put("sid", session.to_string().into());
    put("acr", proof.acr.as_str().into());
    if let Some(at) = proof.auth_time {
        put("auth_time", at.into());
    }
    Ok(PlainSecret::from_text(sign(app, known, ACCESS_TYPE, claims).await?))
}

/// Signs claims as a token of this kind, by the algorithm of a client.
async fn sign(app: &App, known: &Known, token_type: &'static str, claims: Map<String, Value>) -> Result<String, KeysError> {
    let keys = app.keyring.keys(&app.core).await?;
    let key = keys.signing(known.settings()?.algorithm.into(), app.clock.now()).ok_or(NotSigned)?;
    let (kid, claims, key) = (key.kid.clone(), Value::Object(claims).to_string(), std::sync::Arc::clone(key));
    // A signature of RSA takes milliseconds.
    let signed = tokio::task::spawn_blocking(move || jwt::sign(key.key(), &kid, token_type, &claims)).await;
    Ok(signed.map_err(|error| KeysError::NotMade(error.to_string()))??)
}

/// The ID token of a session for a client, for this access token; `None`: the scopes do not ask for one.
///
/// # Errors
/// [`KeysError`].
pub async fn id_token(app: &App, known: &Known, tokens: &Tokens, access: &PlainSecret) -> Result<Option<String>, KeysError> {
    let now = app.clock.now();
    let Some(mut claims) = id_claims(app, known, (&tokens.scope, &tokens.about), now)? else { return Ok(None) };
    // Half of the digest (OpenID Connect Core 1.0, 3.1.3.6).
    let digest = Sha256::digest(access.expose().as_bytes());
    claims.insert("at_hash".to_owned(), URL_SAFE_NO_PAD.encode(digest.split_at(16).0).into());
    Ok(Some(sign(app, known, "JWT", claims).await?))
}

/// What an ID token of that moment says of a session, but for `at_hash`; `None`: the scopes do not ask for one.
pub(super) fn id_claims(
    app: &App,
    known: &Known,
    (scope, about): (&str, &About),
    now: Timestamp,
) -> Result<Option<Map<String, Value>>, StoreError> {
    let (true, Some(url)) = (has(scope, OPENID), app.config.issuer_url()) else { return Ok(None) };
    let part = known.part()?;
    let About { sub, session, proof, nonce, subject } = about;
    let mut claims = Map::new();
    let mut put = |name: &str, value: Value| drop(claims.insert(name.to_owned(), value));
    put("iss", issuer(url, &known.application.slug).into());
    put("sub", sub.as_str().into());
    put("aud", part.client_id.as_str().into());
    put("azp", part.client_id.as_str().into());
    put("iat", now.seconds().into());
    put("exp", (now.seconds() + ID_TOKEN_LIVES).into());
    put("acr", proof.acr.as_str().into());
    put("amr", json!(proof.amr));
    put("sid", session.to_string().into());
    if let Some(at) = proof.auth_time {
        put("auth_time", at.into());
    }
    if let Some(nonce) = nonce {
        put("nonce", nonce.as_str().into());
    }
    if part.client.claims_in_id_token {
        claims.extend(claims::of(scope, &subject.identity, &known.application.groups_sent, &part.client.claims));
        if serde_json::to_string(&claims).map_or(true, |text| text.len() > MAX_CLAIMS) {
            claims.remove("groups");
        }
    }
    Ok(Some(claims))
}

/// The end of what lives for some time: never after the session's own.
pub(super) fn until(now: Timestamp, seconds: u64, session: &LiveSession) -> Timestamp {
    now.plus(std::time::Duration::from_secs(seconds)).min(session.lifetime.absolute_expires_at)
}

/// What of a JWT access token names its row.
#[derive(Deserialize)]
struct Named {
    jti: String,
}

/// What a token that was sent is stored under, and the `jti` of a JWT. `None`: it is a JWT that none of the published keys
/// signed as an access token.
async fn stored_as(app: &App, token: &str) -> Result<Option<(HashedSecret, Option<String>)>, StoreError> {
    // No secret of ours has two dots.
    if token.matches('.').count() != 2 {
        return Ok(Some((PlainSecret::from_text(token).hash(), None)));
    }
    let named = hints::signed::<Named>(app, token, ACCESS_TYPE, KeyState::is_published).await?;
    Ok(named.map(|named| (jwt_hash(&named.jti), Some(named.jti))))
}

/// Whether a token whose session is live opens anything: the session lacks no second factor that it must have.
fn opens(app: &App, holder: &TokenHolder) -> bool {
    !factors::is_missing(app, &holder.session)
}

/// What a token opens, with what names the token to those who may ask about it.
async fn named_holder(app: &App, token: &str) -> Result<Option<(TokenHolder, String)>, StoreError> {
    let Some((hash, jti)) = stored_as(app, token).await? else { return Ok(None) };
    let found = app.store.read().find_token_holder(hash, app.clock.now()).await?;
    let found = found.filter(|holder| opens(app, holder));
    Ok(found.map(|holder| {
        let name = jti.unwrap_or_else(|| holder.id.to_string());
        (holder, name)
    }))
}

/// What an access token tells of its user (OpenID Connect Core 1.0, 5.3). `None`: it opens nothing.
///
/// # Errors
/// When the database does not answer.
pub async fn userinfo(app: &App, token: &str) -> Result<Option<(String, Map<String, Value>)>, StoreError> {
    let Some((hash, _)) = stored_as(app, token).await? else { return Ok(None) };
    let found = app.store.read().find_token_reader(hash, app.clock.now()).await?;
    let Some(TokenReader { holder: found, subject, version }) =
        found.filter(|found| !found.holder.is_refresh && opens(app, &found.holder))
    else {
        return Ok(None);
    };
    let applications = app.store.applications_at(version).await?;
    let Some(application) = applications.by_id(found.application_id) else { return Ok(None) };
    let own = application.client.as_ref().map(|part| part.client.claims.as_slice()).unwrap_or_default();
    let mut told = claims::of(&found.scope, &subject.identity, &application.groups_sent, own);
    told.insert("sub".to_owned(), found.sub.into());
    if has(&found.scope, PROXY) {
        told.insert("sid".to_owned(), found.session.uuid.to_string().into());
    }
    Ok(Some((found.scope, told)))
}

/// What a client is told of a token of its own (RFC 7662, 2.2). `None`: it is not active, or another client's.
///
/// # Errors
/// When the database does not answer.
pub async fn introspect(app: &App, known: &Known, token: &str) -> Result<Option<Value>, StoreError> {
    let part = known.part()?;
    let found = named_holder(app, token).await?.filter(|(found, _)| found.provider_id == part.id);
    let Some((found, jti)) = found else { return Ok(None) };
    let Some(url) = app.config.issuer_url() else { return Ok(None) };
    Ok(Some(json!({
        "active": true, "scope": found.scope, "client_id": part.client_id, "username": found.session.username,
        "token_type": if found.is_refresh { "refresh_token" } else { "Bearer" },
        "iat": found.created_at.seconds(), "exp": found.expires_at.seconds(), "sub": found.sub, "aud": part.client_id,
        "iss": issuer(url, &known.application.slug), "sid": found.session.uuid.to_string(), "jti": jti,
    })))
}

/// Takes a token back (RFC 7009, 2): a refresh token with its family, an access token alone. Another client's is left, and
/// nothing is told of it.
///
/// # Errors
/// When the database cannot be written.
pub async fn revoke(app: &App, known: &Known, token: &str) -> Result<(), StoreError> {
    let Some((hash, _)) = stored_as(app, token).await? else { return Ok(()) };
    let provider = known.part()?.id;
    let family = RefreshText::parse(token).map(|text| text.family_hash());
    let now = app.clock.now();
    app.store
        .write(move |db| {
            Box::pin(async move {
                let refresh = db.find_refresh_token(hash).await?.filter(|row| row.provider_id == provider);
                if let (Some(_), Some(family)) = (refresh, family) {
                    return db.delete_family(family).await.map(drop);
                }
                let found = db.find_token_holder(hash, now).await?;
                match found.filter(|found| found.provider_id == provider && !found.is_refresh) {
                    Some(_) => db.delete_token_of_app(hash).await.map(drop),
                    None => Ok(()),
                }
            })
        })
        .await
}

/// Removes codes and tokens whose time is over. A job calls it.
///
/// # Errors
/// [`ActionError::Forbidden`] for callers of the server; when the database cannot be written.
pub async fn sweep(app: &App, by: By<'_>) -> Result<(), ActionError> {
    by.must_operate()?;
    let now = app.clock.now();
    let swept = app.store.write(move |db| {
        Box::pin(async move {
            db.delete_expired_codes(now).await?;
            db.delete_expired_device_codes(now).await?;
            db.delete_expired_tokens_of_apps(now).await.map(drop)
        })
    });
    swept.await.map_err(|error: StoreError| error.into())
}
