//! The last step of a sign-in to an app: the ticket becomes a cookie of the app's host. It is accepted only by the browser
//! that has the nonce of the first step, so that nobody can sign another browser in.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use sha2::{Digest, Sha256};

use crate::actions::app::App;
use crate::actions::guard::tickets::{self, Redeemed, Wanted};
use crate::domain::PlainSecret;
use crate::domain::application::guard::SameSite;
use crate::domain::secret::hex;
use crate::guard::answer;
use crate::guard::cookies::{self, Keep, Name, START_LIVES};
use crate::guard::places::{Visit, key};
use crate::guard::start;
use crate::guard::state::{State, Tries};
use crate::http::query::Query;
use crate::store::StoreError;

/// How long a browser is known as that of the user who signed in last.
const LAST_LIVES: std::time::Duration = std::time::Duration::from_secs(400 * 24 * 3600);
/// How long sign-ins to one target are counted.
const TRIES_LIVES: std::time::Duration = std::time::Duration::from_secs(60);

/// Answers `/.rollcall/callback`.
///
/// # Errors
/// When the database does not answer.
pub async fn finish(app: &App, visit: Visit<'_>) -> Result<Response, StoreError> {
    let (config, headers, guarded) = (&app.config, &visit.parts.headers, visit.guarded);
    let (query, now) = (Query::parse(visit.query), app.clock.now());
    let state = query.last("state").and_then(|sealed| State::open(app, sealed));
    let here = state.filter(|state| state.host == guarded.host.as_str() && state.application == guarded.application.id);
    let Some(state) = here else { return Ok(answer::redirect(StatusCode::FOUND, &start_page(app, visit))) };
    let name = Name::Start(&state.flow);
    let is_started_here = cookies::find(config, headers, &guarded.host, name)
        .is_some_and(|nonce| PlainSecret::from_text(nonce).hash() == state.nonce() && state.is_within(START_LIVES, now));
    if !is_started_here {
        let what = format!("the cookie {} did not come back", cookies::name(config, &guarded.host, Name::Start("")));
        return Ok(start::again(app, guarded, &state, &what));
    }
    let tries_before = tries_of(app, visit, &state.target);
    let Some(tries) = tries_before.next(now) else {
        let what = format!("the cookie {} did not arrive at the check", cookies::name(config, &guarded.host, Name::App));
        return Ok(start::stuck(guarded, &what));
    };
    let wanted = Wanted {
        application: &guarded.application,
        host: &guarded.host,
        flow: state.nonce(),
        present: key(app, visit).map(|key| key.hash()),
        last: cookies::find(config, headers, &guarded.host, Name::Last),
    };
    let ticket = PlainSecret::from_text(query.last("ticket").unwrap_or_default());
    let actor = visit.client.as_anonymous();
    let mut response = match tickets::redeem(app, &ticket, wanted, &actor).await? {
        Redeemed::Nothing => start::again(app, guarded, &state, "the ticket was too old or used before"),
        Redeemed::OtherUser => other_user(app, visit, &state),
        Redeemed::Opened { key, last, max_age } => {
            let mut response = answer::redirect(StatusCode::FOUND, &state.target);
            let answer = response.headers_mut();
            if let Some(key) = key {
                let is_embedded = guarded.application.guard().is_some_and(|guard| guard.same_site == SameSite::None);
                let keep = Keep { max_age, is_embedded };
                cookies::set(answer, config, (&guarded.host, Name::App), key.expose().to_owned(), keep);
            }
            cookies::set(answer, config, (&guarded.host, Name::Last), last, Keep::for_time(LAST_LIVES));
            let counted = format!("{}.{tries}", digest(&state.target));
            cookies::set(answer, config, (&guarded.host, Name::Tries), counted, Keep::for_time(TRIES_LIVES));
            response
        }
    };
    cookies::remove(response.headers_mut(), config, &guarded.host, name);
    response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    Ok(response)
}

/// The first step, for the start page: of a state that cannot be opened, nothing else is known.
fn start_page(app: &App, visit: Visit<'_>) -> String {
    format!("{}{}?rd=%2F", visit.guarded.origin(&app.config), visit.words.start())
}

/// Another user signed in on this browser before: first, what the app keeps of them there is removed, in an answer of its
/// own, and then the sign-in begins anew.
fn other_user(app: &App, visit: Visit<'_>, state: &State) -> Response {
    let to = start::address(&visit.guarded.origin(&app.config), state, Tries::default());
    let mut response = answer::redirect(StatusCode::FOUND, &to);
    response.headers_mut().insert("clear-site-data", HeaderValue::from_static("\"cookies\", \"storage\""));
    // For browsers that do not know that header.
    cookies::remove(response.headers_mut(), &app.config, &visit.guarded.host, Name::Last);
    cookies::remove(response.headers_mut(), &app.config, &visit.guarded.host, Name::App);
    response
}

/// How often a sign-in led to this target lately, as the browser tells.
fn tries_of(app: &App, visit: Visit<'_>, target: &str) -> Tries {
    let value = cookies::find(&app.config, &visit.parts.headers, &visit.guarded.host, Name::Tries);
    let counted = value.and_then(|value| value.strip_prefix(&format!("{}.", digest(target))));
    counted.map(Tries::parse).unwrap_or_default()
}

/// A target in a few characters.
fn digest(target: &str) -> String {
    hex(&Sha256::digest(target.as_bytes())).chars().take(8).collect()
}
