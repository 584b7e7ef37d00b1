//! Who is calling: a bearer token, Rollcall's cookie, or authentik's; and the proof against forged
//! requests (CSRF) that a cookie needs.

pub mod authentik;
pub mod cookies;
pub mod csrf;
pub mod known_device;
pub mod onward;
pub mod origin;
pub mod redirect;
pub mod relying_party;

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};

use crate::actions::app::App;
use crate::actions::principal::{CallerToken, Principal};
use crate::actions::sessions::check;
use crate::actions::sessions::check::Admission;
use crate::actions::sessions::end;
use crate::actions::sign_in::refusal_log::Refused;
use crate::actions::sign_in::{Proved, Started};
use crate::actions::{ActionError, sign_in};
use crate::domain::user::TokenIntent;
use crate::domain::{PlainSecret, SessionId, secret};
use crate::http::client::ClientInfo;
use crate::store::StoreError;
use crate::store::people::users::UserRow;

/// Why a caller is refused.
#[derive(Debug)]
pub enum AuthError {
    /// No credentials, or a cookie that is not accepted.
    Missing,
    /// An `Authorization` header that is not accepted.
    Refused(&'static str),
    /// A cookie without its proof.
    Csrf(String),
    /// A cookie whose session is used from another network or place than the one it is bound to,
    /// and needs a re-authentication.
    Unproved,
    /// A cookie whose session ended, since it was used from another network or place.
    Moved,
    /// The database failed.
    Store(StoreError),
}

impl From<StoreError> for AuthError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Finds out who calls (`docs/compat.md` 4): the token decides when there is one, else the cookie. A
/// state-changing request with a cookie must bring its CSRF proof.
///
/// # Errors
/// When nobody is proved to call.
pub async fn authenticate(app: &App, parts: &Parts, client: &ClientInfo) -> Result<Principal, AuthError> {
    let token = bearer_key(&parts.headers)?;
    let (session, is_factor_missing) = match session_of_cookies(app, &parts.headers, client).await? {
        Admission::Open(session) => (Some(session), false),
        Admission::FactorMissing(session) => (Some(session), true),
        Admission::Unproved(_) if token.is_none() => return Err(AuthError::Unproved),
        Admission::Moved if token.is_none() => return Err(AuthError::Moved),
        _ => (None, false),
    };
    match (token, session) {
        (Some(key), session) => {
            let owner = app.store.read().find_token_owner(key.hash(), TokenIntent::Api, app.clock.now()).await?;
            let Some(owner) = owner else {
                app.refusal_log.refused(Refused::Token, None, &client.as_anonymous());
                return Err(AuthError::Refused("Token invalid/expired"));
            };
            app.token_uses.note(&app.core, &owner);
            let token = CallerToken { id: owner.token_id, identifier: owner.identifier, scopes: owner.scopes };
            Ok(Principal { user_id: owner.user_id, username: owner.username, rights: owner.rights, token: Some(token), session })
        }
        (None, Some(session)) => {
            csrf::check_api_request(&parts.method, &parts.headers, client, app).map_err(AuthError::Csrf)?;
            if is_factor_missing {
                return Err(AuthError::Refused("Add a second factor first: your account must have one."));
            }
            let (user_id, username, rights) = (session.user_id, session.username.clone(), session.rights);
            Ok(Principal { user_id, username, rights, token: None, session: Some(session) })
        }
        (None, None) => Err(AuthError::Missing),
    }
}

/// The key of an `Authorization: Bearer` header. `None` when there is no header, or none with two
/// words.
fn bearer_key(headers: &HeaderMap) -> Result<Option<PlainSecret>, AuthError> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let bytes = value.as_bytes().trim_ascii();
    let Some(space) = bytes.iter().position(|byte| *byte == b' ') else { return Ok(None) };
    let (scheme, key) = bytes.split_at(space);
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return Err(AuthError::Refused("Unsupported authentication type"));
    }
    let key = std::str::from_utf8(key.get(1..).unwrap_or_default()).map_err(|_| AuthError::Refused("Token invalid/expired"))?;
    Ok(Some(PlainSecret::from_text(key)))
}

/// What a request's cookies open: Rollcall's own, else authentik's.
///
/// # Errors
/// When the database does not answer.
pub async fn session_of_cookies(app: &App, headers: &HeaderMap, client: &ClientInfo) -> Result<Admission, StoreError> {
    for key in session_keys(app, headers) {
        match check::check(app, &key, &client.as_client(headers), &client.request_id).await? {
            Admission::None => {}
            opened => return Ok(opened),
        }
    }
    Ok(Admission::None)
}

/// The session keys that a request's cookies hold, proved or not.
#[must_use]
pub fn session_keys(app: &App, headers: &HeaderMap) -> Vec<PlainSecret> {
    let own = cookies::values(app, headers, cookies::session_name(&app.config)).into_iter().map(PlainSecret::from_text);
    let authentik = app.config.authentik.secret_key.as_ref().and_then(|secret| {
        let cookie = cookies::find(headers, authentik::COOKIE)?;
        authentik::session_key(&cookie, &secret.0)
    });
    own.chain(authentik).filter(|key| !key.expose().is_empty()).collect()
}

/// Starts a session for a user who proved their password. Sessions that the request's cookies name end.
///
/// # Errors
/// [`ActionError::Forbidden`] when the user is gone or inactive by now, or has another password;
/// [`ActionError::FactorNeeded`] when they have a second factor.
pub async fn start_session(
    app: &App,
    headers: &HeaderMap,
    client: &ClientInfo,
    proved: UserRow,
    is_remembered: bool,
) -> Result<Started, ActionError> {
    begin_session(app, headers, client, Proved::by_password(proved), SignInWish { is_remembered, ends: None }).await
}

/// The options of a sign-in.
#[derive(Clone, Copy, Debug, Default)]
pub struct SignInWish {
    /// To stay signed in.
    pub is_remembered: bool,
    /// The session to end, if the session limit is reached.
    pub ends: Option<SessionId>,
}

/// Starts a session as [`start_session`] does, however its user proved who they are.
///
/// # Errors
/// As for [`start_session`]; [`ActionError::AtLimit`] and [`ActionError::ChooseEnd`] when the
/// session limit is reached.
pub async fn begin_session(
    app: &App,
    headers: &HeaderMap,
    client: &ClientInfo,
    proved: Proved,
    wish: SignInWish,
) -> Result<Started, ActionError> {
    let replaces = session_keys(app, headers).iter().map(PlainSecret::hash).collect();
    let wish = sign_in::Wish {
        is_remembered: wish.is_remembered,
        replaces,
        ends: wish.ends,
        device: known_device::secret(&app.config, headers),
    };
    sign_in::begin(app, proved, &client.as_client(headers), wish, &client.as_anonymous()).await
}

/// Hands a started session to its browser, with a fresh CSRF secret.
///
/// # Errors
/// When the operating system has no randomness to give.
pub fn keep_session(app: &App, answer: &mut HeaderMap, started: &Started) -> Result<(), ActionError> {
    cookies::set_both(answer, app, cookies::session_name(&app.config), started.key.expose(), started.cookie_max_age);
    cookies::set_csrf(answer, &app.config, secret::random_alphanumeric(32)?);
    if let Some(device) = &started.device {
        known_device::set(answer, &app.config, device);
    }
    Ok(())
}

/// Ends the sessions that a request's cookies open, and makes its browser forget them.
///
/// # Errors
/// When the database cannot be written.
pub async fn sign_out(app: &App, request: &HeaderMap, client: &ClientInfo, answer: &mut HeaderMap) -> Result<(), ActionError> {
    let mut is_ended = false;
    for key in session_keys(app, request) {
        is_ended |= end::sign_out(app, &key, &client.as_anonymous()).await?;
    }
    forget_session(app, request, answer, is_ended);
    Ok(())
}

/// Makes a browser forget its session (OWASP ASVS v5.0.0-14.3.1): the cookies by their names, and what
/// scripts stored. Not everything by `Clear-Site-Data`: `"cache"` takes browsers seconds and no answer may
/// be kept anyway, and `"cookies"` would sign out other instances on the same host. `is_ours`: the request's
/// session was one of this instance's.
pub fn forget_session(app: &App, request: &HeaderMap, answer: &mut HeaderMap, is_ours: bool) {
    cookies::remove_both(answer, app, cookies::session_name(&app.config), request, is_ours);
    answer.insert("clear-site-data", HeaderValue::from_static("\"storage\""));
}
