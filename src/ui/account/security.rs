//! `/security`: a user's own second factors. Adding one, removing one and new recovery codes need a
//! re-authentication. A user who must have a second factor and has none is redirected here from
//! every other page.

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
use crate::actions::sign_in::passkeys;
use crate::actions::sign_in::passkeys::New;
use crate::auth;
use crate::auth::relying_party;
use crate::domain::factor::{FactorKind, MAX_FACTOR_NAME_LENGTH};
use crate::domain::{FactorId, PlainSecret, totp};
use crate::store::sessions::rows::LiveSession;
use crate::ui::error::PageError;
use crate::ui::passkey;
use crate::ui::passkey::PasskeyForm;
use crate::ui::question;
use crate::ui::question::Question;
use crate::ui::submission::{NoFields, Submission};
use crate::ui::visitor::Visitor;
use crate::ui::words::{Moment, code_refusal, isolate};
use crate::ui::{Frame, PageResult, Section, assets, page};

const PATH: &str = "/security";

#[derive(Template)]
#[template(path = "pages/security.html")]
struct SecurityPage {
    frame: Frame,
    factors: Vec<FactorLine>,
    codes_left: i64,
    /// Whether all other pages are refused until a second factor is added.
    is_missing: bool,
    error: String,
    longest: usize,
    /// The form that adds a passkey, after a re-authentication.
    ask: Option<passkey::Ask>,
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
    /// Whether it signs in without a password.
    pub is_passkey: bool,
    pub added: Moment,
    pub used: Option<Moment>,
}

#[derive(Template)]
#[template(path = "pages/security_totp.html")]
struct TotpPage {
    frame: Frame,
    id: FactorId,
    name: String,
    /// The text in the QR code.
    uri: String,
    /// The seed in groups of four, to type it.
    seed: String,
    /// The number of modules on a side of the QR code, and an SVG path around each dark one.
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

async fn list(app: &App, visitor: &Visitor, error: String) -> PageResult {
    let session = visitor.signed_in_at_all(PATH)?;
    let factors = lines(app, session).await?;
    let is_missing = factors::is_missing(app, session);
    if is_missing && !factors.is_empty() {
        // The user has a second factor that this session has not proved.
        return Err(PageError::Unconfirmed(PATH.to_owned()));
    }
    let codes_left = app.store.read().count_recovery_codes(session.user_id).await?;
    let status = if error.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let frame = visitor.frame(app, Section::Security);
    // The re-authentication comes before a passkey is made: a passkey that is made before would be
    // lost.
    let is_fresh = visitor.confirmed_at_all(app, PATH).is_ok();
    let ask = if is_fresh { passkey::ask_for_new(app, visitor, session).await? } else { None };
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
        is_passkey: row.kind == FactorKind::WebAuthn,
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
    name: String,
    code: String,
}

/// Begins to add an authenticator app.
pub async fn begin_totp(State(app): State<App>, request: Request) -> PageResult {
    let Submission { visitor, form, .. } = Submission::<FactorForm>::confirmed_at_all(&app, request, PATH).await?;
    let session = visitor.signed_in_at_all(PATH)?;
    match factors::begin_totp(&app, session, &form.name).await {
        Ok(id) => Ok(Redirect::to(&format!("{PATH}/totp/{id}")).into_response()),
        Err(error) => sorry(&app, &visitor, error).await,
    }
}

/// The page again, with the rule that was broken.
async fn sorry(app: &App, visitor: &Visitor, error: ActionError) -> PageResult {
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

/// A QR code as an SVG path of one square for each dark module, with the number of modules on a
/// side. Empty when the text is too long for one: the seed can be typed.
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
    let submission = Submission::<FactorForm>::confirmed_at_all(&app, request, PATH).await?;
    let keys = submission.keys(&app);
    let Submission { visitor, form, .. } = submission;
    let session = visitor.signed_in_at_all(PATH)?;
    let id = FactorId::parse(&id).ok_or(PageError::NotFound)?;
    match factors::confirm_totp(&app, session, keys, id, &form.code, &visitor.actor()).await? {
        Confirmed::Added(added) => added_page(&app, &visitor, *added, true),
        Confirmed::Wrong => totp_form(&app, &visitor, id, code_refusal(Checked::Wrong, app.clock.now())).await,
    }
}

/// Shows recovery codes, which is done only once; or redirects when there are none to show.
fn added_page(app: &App, visitor: &Visitor, added: Added, is_first: bool) -> PageResult {
    let mut response: Response = match added.codes {
        // The codes are in the answer itself, not in a redirect or an address, so that they are
        // stored nowhere.
        Some(codes) => page(StatusCode::OK, &CodesPage { frame: visitor.frame(app, Section::Security), codes, is_first }),
        None => Redirect::to(PATH).into_response(),
    };
    auth::keep_session(app, response.headers_mut(), &added.started)?;
    Ok(response)
}

/// What is asked before a user changes their second factors: their other sessions end.
async fn ask_first(app: &App, parts: &Parts, asked: Asked) -> PageResult {
    let visitor = Visitor::of(app, parts).await?;
    let session = visitor.confirmed_at_all(app, parts.uri.path())?;
    let (object, first) = match &asked {
        Asked::Remove(id) => {
            let factors = lines(app, session).await?;
            let id = FactorId::parse(id);
            let factor = factors.iter().find(|factor| Some(factor.id) == id).ok_or(PageError::NotFound)?;
            let is_last = if factors.len() == 1 { "Your password alone signs you in then." } else { "Your others stay." };
            (isolate(&factor.name), is_last)
        }
        Asked::Renew => ("new recovery codes".to_owned(), "The codes that you have stop working."),
    };
    let (count, listed) = question::sessions(app, session.user_id, Some(session.uuid)).await?;
    let question = Question {
        verb: if matches!(asked, Asked::Renew) { "Make" } else { "Remove" },
        object,
        follows: vec![first.into(), "You stay signed in here, and are signed out everywhere else.".into()],
        heading: "These sessions will end",
        listed,
        count,
        action: parts.uri.path().to_owned(),
        fields: Vec::new(),
        back: (PATH.into(), "Security".into()),
    };
    Ok(question::ask(app, &visitor, Section::Security, question))
}

enum Asked {
    /// To remove the factor of this id.
    Remove(String),
    /// To make new recovery codes.
    Renew,
}

/// Asks before an authenticator is removed.
pub async fn ask_remove(State(app): State<App>, Path(id): Path<String>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    ask_first(&app, &parts, Asked::Remove(id)).await
}

/// Asks before recovery codes are replaced.
pub async fn ask_renew_codes(State(app): State<App>, request: Request) -> PageResult {
    let (parts, _) = request.into_parts();
    ask_first(&app, &parts, Asked::Renew).await
}

/// Generates new recovery codes.
pub async fn renew_codes(State(app): State<App>, request: Request) -> PageResult {
    let submission = Submission::<NoFields>::confirmed_at_all(&app, request, PATH).await?;
    let (keys, visitor) = (submission.keys(&app), &submission.visitor);
    let added = factors::renew_codes(&app, visitor.signed_in_at_all(PATH)?, keys, &visitor.actor()).await?;
    added_page(&app, visitor, added, false)
}

/// Removes an authenticator.
pub async fn remove(State(app): State<App>, Path(id): Path<String>, request: Request) -> PageResult {
    let submission = Submission::<NoFields>::confirmed_at_all(&app, request, PATH).await?;
    let (keys, visitor) = (submission.keys(&app), &submission.visitor);
    let session = visitor.signed_in_at_all(PATH)?;
    let id = FactorId::parse(&id).ok_or(PageError::NotFound)?;
    match factors::remove(&app, session, keys, id, &visitor.actor()).await {
        Ok(started) => {
            let mut response = Redirect::to(PATH).into_response();
            auth::keep_session(&app, response.headers_mut(), &started)?;
            Ok(response)
        }
        Err(error) => sorry(&app, visitor, error).await,
    }
}

/// Adds the passkey that the browser made.
pub async fn add_passkey(State(app): State<App>, request: Request) -> PageResult {
    let submission = Submission::<PasskeyForm>::confirmed_at_all(&app, request, PATH).await?;
    let (keys, visitor, given) = (submission.keys(&app), &submission.visitor, &submission.form);
    let session = visitor.signed_in_at_all(PATH)?;
    let party = passkey::party(&app, visitor)?;
    let new = New { name: &given.name, answer: &given.passkey };
    match passkeys::add(&app, &party, session, keys, new, &visitor.actor()).await {
        Ok(added) => added_page(&app, visitor, added, true),
        Err(ActionError::Passkey(refusal)) => list(&app, visitor, passkey::why(refusal).to_owned()).await,
        Err(error) => sorry(&app, visitor, error).await,
    }
}

/// Renames an authenticator.
pub async fn rename(State(app): State<App>, Path(id): Path<String>, request: Request) -> PageResult {
    let Submission { visitor, form, .. } = Submission::<FactorForm>::signed_in(&app, request, PATH).await?;
    let session = visitor.signed_in(PATH)?;
    let id = FactorId::parse(&id).ok_or(PageError::NotFound)?;
    match factors::rename(&app, session, id, &form.name).await {
        Ok(()) => Ok(Redirect::to(PATH).into_response()),
        Err(error) => sorry(&app, &visitor, error).await,
    }
}
