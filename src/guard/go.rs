//! `/guard/go` on Rollcall's own host: between the two steps on an app's host. It has the user sign in, or prove more, where
//! that is needed, and then hands out a ticket.

use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::{Request, State as Shared};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::actions::app::App;
use crate::actions::guard::check::{Question, Verdict};
use crate::actions::guard::tickets;
use crate::actions::sessions::check::Admission;
use crate::auth::session_of_cookies;
use crate::domain::application::decide::Decision;
use crate::domain::application::host::Host;
use crate::domain::guard::readings;
use crate::guard::answer::{self, redirect};
use crate::guard::cookies::START_LIVES;
use crate::guard::hosts::{Guarded, is_own};
use crate::guard::shelter::shelter;
use crate::guard::start;
use crate::guard::state::{State, Tries};
use crate::http::client::ClientInfo;
use crate::http::headers::OnAppHost;
use crate::http::page::{Page, on_the_way};
use crate::http::query::Query;
use crate::store::StoreError;
use crate::store::sessions::rows::LiveSession;

/// The parameter of the address after a form of Rollcall's own was shown.
const SHOWN: &str = "shown";

/// Goes on with a sign-in to an app.
pub async fn go(Shared(app): Shared<App>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let is_elsewhere = AtomicBool::new(true);
    let mut response = shelter(
        &app,
        Box::pin(async {
            is_elsewhere.store(Guarded::of_request(&app, &parts.headers).await?.is_some(), Ordering::Relaxed);
            answer(&app, &parts).await
        }),
    )
    .await;
    // This address is on Rollcall's own host. Where a proxy passed it on from an app's host, nothing is said about https.
    if !is_elsewhere.into_inner() {
        response.extensions_mut().remove::<OnAppHost>();
    }
    response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

async fn answer(app: &App, parts: &Parts) -> Result<Response, StoreError> {
    let invalid = || {
        let text = "Open the app again by its own address.".to_owned();
        Page::new("This link cannot be used", [text]).answer(StatusCode::BAD_REQUEST)
    };
    let Some(client) = parts.extensions.get::<ClientInfo>() else { return Ok(answer::forbidden()) };
    // On an app's host nothing of Rollcall's own is answered.
    if Host::parse(&client.host).is_none_or(|host| !is_own(&app.config, &host)) {
        return Ok(axum::response::IntoResponse::into_response(StatusCode::NOT_FOUND));
    }
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let Some(state) = query.last("state").and_then(|sealed| State::open(app, sealed)) else { return Ok(invalid()) };
    let Some(host) = Host::parse(&state.host) else { return Ok(invalid()) };
    let application = app.guarded.of_host(app, &host).await?.filter(|it| it.id == state.application);
    let Some(application) = application else { return Ok(invalid()) };
    let guarded = Guarded { host, application };
    if !state.is_within(START_LIVES, app.clock.now()) {
        return Ok(redirect(StatusCode::FOUND, &start::address(&guarded.origin(&app.config), &state, Tries::default())));
    }
    let back = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let back = if query.last(SHOWN).is_some() { back.to_owned() } else { format!("{back}&{SHOWN}=1") };
    let back = utf8_percent_encode(&back, NON_ALPHANUMERIC);
    let session = match session_of_cookies(app, &parts.headers, client).await? {
        Admission::Open(session) => session,
        Admission::None => return Ok(redirect(StatusCode::SEE_OTHER, &format!("/sign-in?next={back}"))),
        Admission::Moved => return Ok(redirect(StatusCode::SEE_OTHER, &format!("/sign-in?next={back}&ended=moved"))),
        Admission::Unproved(_) => return Ok(redirect(StatusCode::SEE_OTHER, &format!("/confirm?next={back}"))),
        Admission::FactorMissing(_) => return Ok(redirect(StatusCode::SEE_OTHER, "/security")),
    };
    hand_out(app, (&guarded, &state), &session, (parts, client, &back.to_string())).await
}

/// Hands out a ticket, if the user may open the target.
async fn hand_out(
    app: &App,
    (guarded, state): (&Guarded, &State),
    session: &LiveSession,
    (parts, client, back): (&Parts, &ClientInfo, &str),
) -> Result<Response, StoreError> {
    let path = state.target.split(['?', '#']).next().unwrap_or_default();
    let Some(readings) = readings::of(path) else { return Ok(answer::forbidden()) };
    let methods = if state.is_any_method { Vec::new() } else { vec!["GET".to_owned()] };
    let question = Question {
        host: &guarded.host,
        readings: &readings,
        methods: &methods,
        key: None,
        password: None,
        client: &client.as_client(&parts.headers),
        request_id: &client.request_id,
        is_navigation: true,
        is_preflight: false,
    };
    match tickets::judge_session(app, &guarded.application, question, session).await? {
        Verdict::Anonymous | Verdict::Allowed(_) => {
            let ticket = tickets::issue(app, session, &guarded.application, &guarded.host, state.nonce()).await?;
            let sealed = Query::parse(parts.uri.query().unwrap_or_default()).last("state").unwrap_or_default().to_owned();
            let (origin, callback) = (guarded.origin(&app.config), state.words.callback());
            let to = format!("{origin}{callback}?state={sealed}&ticket={}", ticket.expose());
            let is_after_form = Query::parse(parts.uri.query().unwrap_or_default()).last(SHOWN).is_some();
            Ok(if is_after_form {
                on_the_way(&format!("Going on to {}", guarded.application.name), &to)
            } else {
                redirect(StatusCode::FOUND, &to)
            })
        }
        Verdict::SignIn | Verdict::WrongPassword => Ok(redirect(StatusCode::SEE_OTHER, &format!("/sign-in?next={back}"))),
        Verdict::Prove(lacks) => Ok(redirect(StatusCode::SEE_OTHER, &prove(&lacks, back))),
        Verdict::Refused(refusal) => Ok(answer::refused_at_home(app, guarded, &refusal)),
    }
}

/// Where a user proves what a demand asks for: `/confirm`, which is told how new and how good the proof must be.
fn prove(lacks: &Decision, back: &str) -> String {
    let age = lacks.missing_age().map(|age| format!("&age={}", age.as_secs())).unwrap_or_default();
    let level = lacks.missing_level().map(|level| format!("&level={}", level.as_str())).unwrap_or_default();
    format!("/confirm?next={back}{age}{level}")
}
