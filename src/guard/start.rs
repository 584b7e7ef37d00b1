//! The first step of a sign-in to an app: `/.rollcall/start?rd=…` on the app's host leaves a nonce in this browser, and
//! leads to Rollcall's host with a sealed state.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::actions::app::App;
use crate::auth::redirect::path_within;
use crate::domain::guard::places::Words;
use crate::domain::guard::{places, readings};
use crate::domain::{PlainSecret, secret};
use crate::guard::answer;
use crate::guard::cookies::{self, Keep, Name, START_LIVES};
use crate::guard::hosts::Guarded;
use crate::guard::places::Visit;
use crate::guard::state::{Begun, State, Tries};
use crate::http::page::Page;
use crate::http::query::Query;
use crate::store::StoreError;

/// The longest target that is kept; a longer one becomes the app's start page.
const LONGEST: usize = 4096;

/// Answers `/.rollcall/start`.
///
/// # Errors
/// When the operating system has no randomness to give.
pub fn begin(app: &App, visit: Visit<'_>) -> Result<Response, StoreError> {
    let failed = |error: getrandom::Error| StoreError::Failed(format!("no randomness: {error}"));
    let (config, headers, guarded) = (&app.config, &visit.parts.headers, visit.guarded);
    let (now, target) = (app.clock.now(), target(guarded, visit.query));
    let nonce = PlainSecret::from_text(format!("{}.{}", now.0 / 1_000_000, PlainSecret::generate().map_err(failed)?.expose()));
    let flow: String = secret::random_uuid().map_err(failed)?.simple().to_string().chars().take(8).collect();
    // What precedes the target.
    let options = Query::parse(visit.query.split("rd=").next().unwrap_or_default());
    let begun = Begun {
        application: guarded.application.id,
        host: guarded.host.as_str(),
        target: &target,
        flow: &flow,
        nonce: nonce.hash(),
        words: visit.words,
        tries: options.last("try").map(Tries::parse).unwrap_or_default(),
        // authentik's lines for nginx name no method.
        is_any_method: visit.words == Words::Authentik || options.last("any").is_some(),
    };
    let state = State::new(begun, now).seal(app).map_err(failed)?;
    let home = config.http.public_url.as_ref().map_or("", |url| url.origin());
    let mut response = answer::redirect(StatusCode::FOUND, &format!("{home}/guard/go?state={state}"));
    let answer = response.headers_mut();
    cookies::make_room_for_start(answer, config, headers, &guarded.host);
    let start = (&guarded.host, Name::Start(&flow));
    cookies::set(answer, config, start, nonce.expose().to_owned(), Keep::for_time(START_LIVES));
    answer.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    Ok(response)
}

/// Where the sign-in leads: a path of this host, as `rd` names it by itself or with the host; else the start page. Our own
/// addresses are no targets.
#[must_use]
pub fn target(guarded: &Guarded, query: &str) -> String {
    let host = guarded.host.as_str();
    // The port that a scheme has anyway may be written.
    let origins = [format!("https://{host}"), format!("http://{host}"), format!("https://{host}:443"), format!("http://{host}:80")];
    let origins = origins.each_ref().map(String::as_str);
    let path = places::target(query).and_then(|target| path_within(&origins, &target));
    let path = path.filter(|path| path.len() <= LONGEST).unwrap_or_else(|| "/".to_owned());
    let alone = path.split(['?', '#']).next().unwrap_or_default();
    let is_apps = readings::of(alone).is_some_and(|readings| readings.iter().all(|reading| !places::is_ours(&reading.path)));
    if is_apps { path } else { "/".to_owned() }
}

/// Leads back to the first step, counting one more try; after too many a page says what is wrong.
#[must_use]
pub fn again(app: &App, guarded: &Guarded, state: &State, what: &str) -> Response {
    match state.tries.next(app.clock.now()) {
        Some(tries) => answer::redirect(StatusCode::FOUND, &address(&guarded.origin(&app.config), state, tries)),
        None => stuck(guarded, what),
    }
}

/// The address of the first step, for the same target.
#[must_use]
pub fn address(origin: &str, state: &State, tries: Tries) -> String {
    let any = if state.is_any_method { "any=1&" } else { "" };
    format!("{origin}{}?{any}try={tries}&rd={}", state.words.start(), utf8_percent_encode(&state.target, NON_ALPHANUMERIC))
}

/// The page for a sign-in that went round in circles.
#[must_use]
pub fn stuck(guarded: &Guarded, what: &str) -> Response {
    let name = &guarded.application.name;
    let texts = [
        format!("You were signed in several times, and each time {what}."),
        "Allow cookies for this site, and reload the page. If that does not help, the reverse proxy in front of the app loses \
         the cookie."
            .to_owned(),
    ];
    let mut response =
        Page::new(format!("{name}: the sign-in did not arrive"), texts).link("Try again", "/").answer(StatusCode::FORBIDDEN);
    response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
