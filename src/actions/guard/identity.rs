//! Signed identities of requests to guarded apps. One is signed for a session and an application, and used for half of its
//! life; what it says is compared each time, so nothing that changed is ever sent.

use std::sync::Arc;

use crate::actions::app::App;
use crate::actions::guard::check::Caller;
use crate::actions::guard::identities::Signed;
use crate::actions::signing::keyring::KeysError;
use crate::config::PublicUrl;
use crate::domain::application::Application;
use crate::domain::application::values::Identity;
use crate::domain::guard::identity::are_authentiks;
use crate::domain::guard::places::Words;
use crate::domain::signing::identity::{Proved, Said, TYP, claims, timed};
use crate::domain::signing::{Algorithm, NotSigned, jwt};

/// The issuer of an application's tokens: below the public URL, with a slash at its end.
#[must_use]
pub fn issuer(url: &PublicUrl, slug: &str) -> String {
    format!("{}/application/o/{slug}/", url.origin())
}

/// Where the keys are published, for an application that is told by authentik's headers; else `""`.
#[must_use]
pub fn told_keys(app: &App, application: &Application, words: Words) -> String {
    let is_told = application.guard().is_some_and(|guard| are_authentiks(&guard.headers, words));
    let url = app.config.issuer_url().filter(|_| is_told);
    url.map(|url| format!("{}jwks/", issuer(url, &application.slug))).unwrap_or_default()
}

/// The public URL, if the guard of an application sends signed identities.
fn sends<'a>(app: &'a App, application: &Application) -> Option<&'a PublicUrl> {
    app.config.issuer_url().filter(|_| application.guard().is_some_and(|guard| guard.jwt))
}

fn said(url: &PublicUrl, application: &Application, user: &Identity, proved: Option<Proved>) -> Result<String, KeysError> {
    let (slug, groups) = (application.slug.as_str(), &application.groups_sent);
    let claims = claims(Said { issuer: &issuer(url, slug), slug, groups, user, proved });
    claims.map_err(|_| KeysError::NotSigned(NotSigned))
}

/// A text as long as the signed identity that a user would be sent with a session that proved this; `None`: they are sent
/// none. It is for questions whether the headers fit.
#[must_use]
pub fn as_long_as_signed(app: &App, application: &Application, user: &Identity, proved: Proved) -> Option<String> {
    let claims = said(sends(app, application)?, application, user, Some(proved)).ok()?;
    Some("x".repeat(jwt::length(Algorithm::Es256, TYP, timed(&claims, app.clock.now()).len())))
}

/// The signed identity of a caller, for an application whose guard sends it; `None`: it does not, or there is no public URL.
///
/// # Errors
/// [`KeysError`]: the request cannot be judged then.
pub async fn signed(app: &App, application: &Application, caller: &Caller) -> Result<Option<Arc<str>>, KeysError> {
    let Some(url) = sends(app, application) else { return Ok(None) };
    let (keys, now) = (app.keyring.keys(&app.core).await?, app.clock.now());
    let key = keys.signing(Algorithm::Es256, now).ok_or(KeysError::NotSigned(NotSigned))?;
    let claims = said(url, application, &caller.subject.identity, caller.credential.proved())?;
    let place = (caller.credential.number(), application.id);
    if let Some(token) = app.identities.find(place, &claims, &key.kid, now) {
        return Ok(Some(token));
    }
    let token: Arc<str> = jwt::sign(key.key(), &key.kid, TYP, &timed(&claims, now))?.into();
    app.identities.keep(place, Signed { at: now, kid: key.kid.clone(), claims, token: Arc::clone(&token) });
    Ok(Some(token))
}
