//! `/application/o/authorize/`: a browser brings the request of an app (OpenID Connect Core 1.0, 3.1.2).

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use subtle::ConstantTimeEq;

use crate::actions::app::App;
use crate::actions::guard::identity::issuer;
use crate::actions::oidc::authorize::{Asked, Outcome, authorize};
use crate::actions::oidc::clients::{self, Known};
use crate::actions::oidc::consents::{self, DECLINED, Question};
use crate::actions::oidc::redeem::no_randomness;
use crate::actions::sessions::check::Admission;
use crate::auth::onward::Onward;
use crate::auth::session_of_cookies;
use crate::domain::Timestamp;
use crate::domain::application::decide::Missing;
use crate::domain::oidc::request::{AuthorizeRequest, MAX_LENGTH, Parameters, Refused, ResponseMode, mode};
use crate::http::client::ClientInfo;
use crate::http::page::Page;
use crate::oidc::answer::{not_allowed, unavailable};
use crate::oidc::form::pairs;
use crate::oidc::way::{Way, redirect};
use crate::store::StoreError;
use crate::store::sessions::rows::LiveSession;

/// Parameters of ours in the address that a browser comes back to. They are no part of the request.
pub(super) const SEEN: &str = "rollcall_seen";
/// For how long the moment at which a request was first seen counts. After that it is asked anew.
const SEEN_LIVES: std::time::Duration = std::time::Duration::from_secs(30 * 60);
/// The mark that a form of ours was shown on the way.
const SHOWN: &str = "rollcall_shown";
/// The mark that the user chose the account.
const CHOSEN: &str = "rollcall_chosen";

/// Answers a browser.
pub async fn answer(State(app): State<App>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if app.config.issuer_url().is_none() {
        return StatusCode::NOT_FOUND.into_response();
    }
    match parts.method.as_str() {
        "GET" | "HEAD" => {}
        // Browsers send no cookie with a form of another site, so the request goes on as an address.
        "POST" => {
            let Ok(bytes) = to_bytes(body, MAX_LENGTH).await else { return refused("The request is too long.", "") };
            let text = String::from_utf8_lossy(&bytes).into_owned();
            return redirect(StatusCode::SEE_OTHER, &format!("/application/o/authorize/?{text}"));
        }
        _ => return not_allowed("GET, POST"),
    }
    match answered(&app, &parts).await {
        Ok(response) => response,
        Err(error) => unavailable(&error),
    }
}

/// A page for what goes back to no app: its address may be anybody's.
fn refused(text: &str, detail: &str) -> Response {
    let texts = [text.to_owned(), detail.to_owned(), "Open the app again, or tell its administrator.".to_owned()];
    Page::new("This sign-in cannot go on", texts).id("oidc-error").answer(StatusCode::BAD_REQUEST)
}

/// The request without what is ours, and what is ours.
struct Ours {
    given: Vec<(String, String)>,
    seen: Option<Timestamp>,
    is_shown: bool,
    is_chosen: bool,
    is_declined: bool,
}

fn ours(app: &App, query: &str) -> Ours {
    let all = pairs(query);
    let marks = [SEEN, SHOWN, CHOSEN, DECLINED];
    let (own, given): (Vec<_>, Vec<_>) = all.into_iter().partition(|(name, _)| marks.contains(&name.as_str()));
    let find = |wanted: &str| own.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let seen = find(SEEN).and_then(|text| {
        let (micros, proof) = text.split_once('.')?;
        let own = app.instance_key.proof(SEEN, &message(micros, &given));
        let is_ours = bool::from(own.as_bytes().ct_eq(proof.as_bytes()));
        let seen = if is_ours { micros.parse().ok().map(Timestamp) } else { None };
        // An address that was kept does not make an old proof a fresh one.
        seen.filter(|seen| seen.is_near(app.clock.now(), SEEN_LIVES))
    });
    let has = |mark: &str| find(mark).is_some();
    let (is_shown, is_chosen, is_declined) = (has(SHOWN), has(CHOSEN) && seen.is_some(), has(DECLINED));
    Ours { given, seen, is_shown, is_chosen, is_declined }
}

fn message(micros: &str, given: &[(String, String)]) -> Vec<u8> {
    serde_json::to_vec(&(micros, given)).unwrap_or_default()
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// Where a browser comes back to after a page of ours.
fn back(app: &App, ours: &Ours, seen: Timestamp, mark: &str) -> String {
    let query: Vec<String> = ours.given.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    let micros = seen.0.to_string();
    let proof = app.instance_key.proof(SEEN, &message(&micros, &ours.given));
    let chosen = if ours.is_chosen { format!("&{CHOSEN}=1") } else { String::new() };
    format!("/application/o/authorize/?{}&{SEEN}={micros}.{proof}&{mark}=1{chosen}", query.join("&"))
}

async fn answered(app: &App, parts: &Parts) -> Result<Response, StoreError> {
    let ours = ours(app, parts.uri.query().unwrap_or_default());
    let given = Parameters(&ours.given);
    if !given.is_short() {
        return Ok(refused("The request is too long.", ""));
    }
    let Ok(Some(client_id)) = given.single("client_id") else { return Ok(refused("The request names no client.", "")) };
    let Some(known) = clients::find(app, client_id).await? else {
        return Ok(refused(&format!("There is no client {client_id}."), ""));
    };
    let uri = given.single("redirect_uri").ok().flatten().unwrap_or_default();
    if !known.settings()?.has_redirect(uri) {
        let text = format!("{} asks to send you to an address that it did not register:", known.application.name);
        return Ok(refused(&text, uri));
    }
    let Some(url) = app.config.issuer_url() else { return Ok(StatusCode::NOT_FOUND.into_response()) };
    let way = Way {
        uri,
        mode: mode(given).unwrap_or(ResponseMode::Query),
        state: given.single("state").ok().flatten(),
        issuer: &issuer(url, &known.application.slug),
        is_after_form: ours.is_shown,
        name: &known.application.name,
    };
    let request = match AuthorizeRequest::read(given, known.settings()?) {
        Ok(request) => request,
        Err(refused) => return Ok(way.refuse(refused)),
    };
    if ours.is_declined {
        return Ok(way.refuse(Refused::AccessDenied));
    }
    with_session(app, parts, (&known, &request, &way), &ours).await
}

async fn with_session(
    app: &App,
    parts: &Parts,
    (known, request, way): (&Known, &AuthorizeRequest, &Way<'_>),
    ours: &Ours,
) -> Result<Response, StoreError> {
    let Some(client) = parts.extensions.get::<ClientInfo>() else { return Ok(refused("The request has no sender.", "")) };
    let seen = ours.seen.unwrap_or_else(|| app.clock.now());
    let back = back(app, ours, seen, SHOWN);
    let next = encode(&back);
    let led = |to: String| {
        let wanted = if request.prompt.is_none { Err(Refused::LoginRequired) } else { Ok(to) };
        Ok(wanted.map_or_else(|refused| way.refuse(refused), |to| redirect(StatusCode::SEE_OTHER, &to)))
    };
    let session = match session_of_cookies(app, &parts.headers, client).await? {
        Admission::Open(session) => session,
        Admission::None => {
            let hint = request.login_hint.as_deref().map(|name| format!("&uid={}", encode(name)));
            return led(format!("/sign-in?next={next}{}", hint.unwrap_or_default()));
        }
        Admission::Moved => return led(format!("/sign-in?next={next}&ended=moved")),
        Admission::Unproved(_) => return led(format!("/confirm?next={next}")),
        Admission::FactorMissing(_) if request.prompt.is_none => return Ok(way.refuse(Refused::InteractionRequired)),
        Admission::FactorMissing(_) => return led("/security".to_owned()),
    };
    let as_client = client.as_client(&parts.headers);
    let (redirect_uri, is_chosen, request_id) = (way.uri, ours.is_chosen, client.request_id.as_str());
    let asked = Asked { known, request, redirect_uri, seen, is_chosen, client: &as_client, request_id };
    match authorize(app, asked, &session).await? {
        Outcome::Code(code) => Ok(way.give(&code)),
        Outcome::Prove(age, level) => {
            let age = age.map(|age| format!("&age={}", age.as_secs())).unwrap_or_default();
            let level = level.map(|level| format!("&level={}", level.as_str())).unwrap_or_default();
            led(format!("/confirm?next={next}{age}{level}"))
        }
        Outcome::Choose => Ok(choose(app, &session, known, ours, seen)),
        Outcome::Consent => {
            let (slug, scope) = (known.application.slug.clone(), request.scope.clone());
            let question = Question { slug, scope, back, asked_at: app.clock.now().0 };
            let sealed = consents::seal(app, &session, &question).map_err(no_randomness)?;
            // The name of the client says how the page treats the window that opened it.
            led(format!("/consent?question={sealed}&client_id={}", encode(&known.part()?.client_id)))
        }
        Outcome::Denied(missing) => Ok(denied(known, &session, &missing, way)),
        Outcome::Refused(refused) => Ok(way.refuse(refused)),
    }
}

/// The page on which a user says with which account they go on.
fn choose(app: &App, session: &LiveSession, known: &Known, ours: &Ours, seen: Timestamp) -> Response {
    let on = back(app, ours, seen, CHOSEN);
    let text = format!("You are signed in as {}.", session.username);
    let page = Page::new(format!("Go on to {}", known.application.name), [text]);
    // The user who signs in next was chosen.
    let sealed = Onward { uri: on.clone(), state: None }.seal(app).map(|sealed| format!("?then={sealed}")).unwrap_or_default();
    let page = page.link("Go on with this account", on);
    page.link("Sign in as someone else", format!("/sign-out{sealed}")).answer(StatusCode::OK)
}

/// The page for a user who may not open the application. The app is told by a link alone.
fn denied(known: &Known, session: &LiveSession, missing: &[Missing], way: &Way<'_>) -> Response {
    let reasons = missing.iter().map(|missing| format!("{missing}."));
    let texts = std::iter::once(format!("You are signed in as {}, and may not open this.", session.username)).chain(reasons);
    let page = Page::new(format!("{}: no access", known.application.name), texts).id("oidc-error");
    let page = page.link("Sign out", "/sign-out");
    let page = match way.address(Refused::AccessDenied) {
        Some(address) => page.link("Go back to the app", address),
        None => page,
    };
    let mut response = page.answer(StatusCode::FORBIDDEN);
    response.headers_mut().insert(header::CACHE_CONTROL, axum::http::HeaderValue::from_static("no-store"));
    response
}
