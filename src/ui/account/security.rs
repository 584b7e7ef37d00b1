//! `/security`: one's own second factors. Adding and removing one needs a fresh proof, and so do new
//! recovery codes. Whoever must have a second factor and has none is led here from every other page.

use std::fmt::Write;

use askama::Template;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use crate::actions::ActionError;
use crate::actions::app::App;
use crate::actions::sign_in::factors;
use crate::actions::sign_in::factors::{Added, Checked, Confirmed};
use crate::auth;
use crate::auth::relying_party;
use crate::domain::factor::{FactorKind, MAX_FACTOR_NAME_LENGTH};
use crate::domain::{FactorId, PlainSecret, totp};
use crate::store::sessions::rows::LiveSession;
use crate::ui::error::PageError;
use crate::ui::sign_in::confirm::keys;
use crate::ui::sign_in::factor::refusal;
use crate::ui::sign_in::passkeys;
use crate::ui::sign_in::read_form;
use crate::ui::submission::Visitor;
use crate::ui::words::Moment;
use crate::ui::{Frame, PageResult, Section, assets, page};

pub(in crate::ui) const PATH: &str = "/security";

#[derive(Template)]
#[template(path = "pages/security.html")]
struct SecurityPage {
    frame: Frame,
    factors: Vec<FactorLine>,
    codes_left: i64,
    /// Whether nothing else opens until a second factor is added.
    is_missing: bool,
    error: String,
    longest: usize,
    /// What adds a passkey, where there is a fresh proof.
    ask: Option<passkeys::Ask>,
    is_fresh: bool,
    /// Whether browsers make passkeys for this address.
    has_passkeys: bool,
    passkeys_js: &'static str,
}

/// An authenticator, as the page shows it.
pub(in crate::ui) struct FactorLine {
    pub id: FactorId,
    pub name: String,
    pub kind: &'static str,
    pub added: Moment,
    pub used: Option<Moment>,
}

#[derive(Template)]
#[template(path = "pages/security_totp.html")]
struct TotpPage {
    frame: Frame,
    id: FactorId,
    name: String,
    /// What the QR code says.
    uri: String,
    /// The seed in groups of four, to type it.
    seed: String,
    /// How many modules the QR code has on a side, and a path around each dark one.
    qr_size: usize,
    qr_path: String,
    error: String,
}

#[derive(Template)]
#[template(path = "pages/security_codes.html")]
struct CodesPage {
    frame: Frame,
    codes: Vec<PlainSecret>,
    is_first: bool,
}

/// The page.
pub async fn show(State(app): State<App>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    list(&app, &visitor, String::new()).await
}

pub(in crate::ui) async fn list(app: &App, visitor: &Visitor, error: String) -> PageResult {
    let session = visitor.signed_in_at_all(PATH)?;
    let factors = lines(app, session).await?;
    let is_missing = factors::is_missing(app, session);
    if is_missing && !factors.is_empty() {
        // They have one, and this session has not proved it.
        return Err(PageError::Unconfirmed(PATH.to_owned()));
    }
    let codes_left = app.store.read().count_recovery_codes(session.user_id).await?;
    let status = if error.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let frame = visitor.frame(app, Section::Security);
    // A fresh proof is asked for before a passkey is made: afterwards it would be made in vain.
    let is_fresh = visitor.confirmed_at_all(app, PATH).is_ok();
    let ask = if is_fresh { passkeys::ask_for_new(app, visitor, session).await? } else { None };
    let has_passkeys = relying_party::of(app, &visitor.client).is_some();
    let (longest, passkeys_js) = (MAX_FACTOR_NAME_LENGTH, assets::passkeys_js());
    let shown = SecurityPage { frame, factors, codes_left, is_missing, error, longest, ask, is_fresh, has_passkeys, passkeys_js };
    Ok(page(status, &shown))
}

async fn lines(app: &App, session: &LiveSession) -> Result<Vec<FactorLine>, PageError> {
    Ok(factor_lines(app, session.user_id).await?)
}

/// A user's authenticators.
pub(in crate::ui) async fn factor_lines(
    app: &App,
    user: crate::domain::UserId,
) -> Result<Vec<FactorLine>, crate::store::StoreError> {
    let now = app.clock.now();
    let rows = app.store.read().list_factors(user).await?;
    let lines = rows.into_iter().filter(|row| row.is_confirmed).map(|row| FactorLine {
        id: row.uuid,
        name: row.name,
        kind: match row.kind {
            FactorKind::Totp => "Authenticator app",
            FactorKind::WebAuthn => "Passkey or security key",
        },
        added: Moment::new(row.created_at, now),
        used: row.last_used_at.map(|at| Moment::new(at, now)),
    });
    Ok(lines.collect())
}

/// What the forms of these pages send.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
pub struct FactorForm {
    proof: String,
    name: String,
    code: String,
}

/// Takes a form of these pages: whoever sent it is signed in, and proved it lately.
async fn take(app: &App, request: Request) -> Result<(Parts, Visitor, FactorForm), PageError> {
    let (parts, form) = read_form::<FactorForm>(request).await?;
    let visitor = Visitor::of(app, &parts).await?;
    visitor.signed_in_at_all(PATH)?;
    visitor.check(app, &parts.headers, &form.proof)?;
    visitor.confirmed_at_all(app, PATH)?;
    Ok((parts, visitor, form))
}

/// Begins to add an authenticator app.
pub async fn begin_totp(State(app): State<App>, request: Request) -> PageResult {
    let (_, visitor, form) = take(&app, request).await?;
    let session = visitor.confirmed_at_all(&app, PATH)?;
    match factors::begin_totp(&app, session, &form.name).await {
        Ok(id) => Ok(Redirect::to(&format!("{PATH}/totp/{id}")).into_response()),
        Err(error) => sorry(&app, &visitor, error).await,
    }
}

/// The page again, for what breaks a rule.
pub(in crate::ui) async fn sorry(app: &App, visitor: &Visitor, error: ActionError) -> PageResult {
    match error {
        ActionError::Rule(rule) => list(app, visitor, format!("Sorry: {rule}.")).await,
        ActionError::Label(rule) => list(app, visitor, format!("Sorry: {rule}.")).await,
        error => Err(error.into()),
    }
}

/// The QR code of an authenticator app that is being added.
pub async fn show_totp(State(app): State<App>, Path(id): Path<String>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    let visitor = Visitor::of(&app, &parts).await?;
    visitor.signed_in_at_all(PATH)?;
    let id = FactorId::parse(&id).ok_or(PageError::NotFound)?;
    totp_form(&app, &visitor, id, String::new()).await
}

async fn totp_form(app: &App, visitor: &Visitor, id: FactorId, error: String) -> PageResult {
    let session = visitor.confirmed_at_all(app, PATH)?;
    let (factor, seed) = factors::show_totp(app, session, id).await?;
    let host = app.config.http.public_url.as_ref().map_or_else(|| visitor.client.origin(), |url| url.origin().to_owned());
    let host = host.split_once("://").map_or(host.as_str(), |(_, host)| host);
    let uri = totp::uri(&format!("Rollcall {host}"), &session.username, &seed);
    let letters: Vec<char> = totp::base32(&seed).chars().collect();
    let groups: Vec<String> = letters.chunks(4).map(|group| group.iter().collect()).collect();
    let (qr_size, qr_path) = qr(&uri);
    let status = if error.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let frame = visitor.frame(app, Section::Security);
    Ok(page(status, &TotpPage { frame, id, name: factor.name, uri, seed: groups.join(" "), qr_size, qr_path, error }))
}

/// A QR code as an SVG path of one square a dark module, with the number of modules on a side. Nothing
/// when the text is too long for one: the seed can be typed.
fn qr(text: &str) -> (usize, String) {
    let Ok(code) = qrcode::QrCode::with_error_correction_level(text, qrcode::EcLevel::M) else { return (0, String::new()) };
    let size = code.width();
    let dark = code.to_colors().into_iter().enumerate().filter(|(_, color)| *color == qrcode::Color::Dark);
    let mut path = String::new();
    for (at, _) in dark {
        // Four modules of quiet all around. Writing to a text does not fail.
        let _ = write!(path, "M{} {}h1v1h-1z", at % size + 4, at / size + 4);
    }
    (size + 8, path)
}

/// Finishes adding an authenticator app.
pub async fn confirm_totp(State(app): State<App>, Path(id): Path<String>, request: Request) -> PageResult {
    let (parts, visitor, form) = take(&app, request).await?;
    let session = visitor.confirmed_at_all(&app, PATH)?;
    let id = FactorId::parse(&id).ok_or(PageError::NotFound)?;
    match factors::confirm_totp(&app, session, keys(&app, &parts), id, &form.code, &visitor.actor()).await? {
        Confirmed::Added(added) => added_page(&app, &visitor, *added, true),
        Confirmed::Wrong => totp_form(&app, &visitor, id, refusal(Checked::Wrong, app.clock.now())).await,
    }
}

/// Shows recovery codes, the one time that there is; or leads back when there are none to show.
pub(in crate::ui) fn added_page(app: &App, visitor: &Visitor, added: Added, is_first: bool) -> PageResult {
    let mut response: Response = match added.codes {
        // The answer holds them and is no redirect: nothing else may ever hold them.
        Some(codes) => page(StatusCode::OK, &CodesPage { frame: visitor.frame(app, Section::Security), codes, is_first }),
        None => Redirect::to(PATH).into_response(),
    };
    auth::keep_session(app, response.headers_mut(), &added.started)?;
    Ok(response)
}

/// Draws new recovery codes.
pub async fn renew_codes(State(app): State<App>, request: Request) -> PageResult {
    let (parts, visitor, _) = take(&app, request).await?;
    let session = visitor.confirmed_at_all(&app, PATH)?;
    let added = factors::renew_codes(&app, session, keys(&app, &parts), &visitor.actor()).await?;
    added_page(&app, &visitor, added, false)
}

/// Removes an authenticator.
pub async fn remove(State(app): State<App>, Path(id): Path<String>, request: Request) -> PageResult {
    let (parts, visitor, _) = take(&app, request).await?;
    let session = visitor.confirmed_at_all(&app, PATH)?;
    let id = FactorId::parse(&id).ok_or(PageError::NotFound)?;
    match factors::remove(&app, session, keys(&app, &parts), id, &visitor.actor()).await {
        Ok(started) => {
            let mut response = Redirect::to(PATH).into_response();
            auth::keep_session(&app, response.headers_mut(), &started)?;
            Ok(response)
        }
        Err(error) => sorry(&app, &visitor, error).await,
    }
}

/// Names an authenticator.
pub async fn rename(State(app): State<App>, Path(id): Path<String>, request: Request) -> PageResult {
    let (parts, form) = read_form::<FactorForm>(request).await?;
    let visitor = Visitor::of(&app, &parts).await?;
    let session = visitor.signed_in(PATH)?;
    visitor.check(&app, &parts.headers, &form.proof)?;
    let id = FactorId::parse(&id).ok_or(PageError::NotFound)?;
    match factors::rename(&app, session, id, &form.name).await {
        Ok(()) => Ok(Redirect::to(PATH).into_response()),
        Err(error) => sorry(&app, &visitor, error).await,
    }
}
