//! The addresses on guarded hosts that are Rollcall's own. The proxy passes them on without a check, or a check answers
//! with what the page would say.

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::actions::app::App;
use crate::actions::guard::check::{Judged, Question, Verdict, check as judge};
use crate::actions::guard::tickets;
use crate::domain::PlainSecret;
use crate::domain::guard::kind::Kind;
use crate::domain::guard::navigation::is_from_own_page;
use crate::domain::guard::places::{Place, Words, exact};
use crate::domain::guard::{forwarded, places, readings};
use crate::guard::answer;
use crate::guard::callback;
use crate::guard::cookies::{self, Name};
use crate::guard::hosts::Guarded;
use crate::guard::probe;
use crate::guard::shelter::shelter;
use crate::guard::start;
use crate::http::client::ClientInfo;
use crate::http::page::Page;
use crate::store::StoreError;

/// A request for one of these addresses.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a> {
    /// The host and its application.
    pub guarded: &'a Guarded,
    /// What is asked for.
    pub place: Place,
    /// In whose words.
    pub words: Words,
    /// The query, without `?`.
    pub query: &'a str,
    /// The head of the request.
    pub parts: &'a Parts,
    /// Where it comes from.
    pub client: &'a ClientInfo,
}

/// `/.rollcall/…` and `/outpost.goauthentik.io/…`, as the proxy passes them on.
pub async fn show(State(app): State<App>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let response = shelter(
        &app,
        Box::pin(async {
            let Some((words, place)) = exact(parts.uri.path()) else { return Ok(StatusCode::NOT_FOUND.into_response()) };
            if place == Place::Ping {
                return Ok(StatusCode::NO_CONTENT.into_response());
            }
            if !matches!(parts.method, Method::GET | Method::HEAD) && place != Place::Denied {
                return Ok((StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")]).into_response());
            }
            let Some(client) = parts.extensions.get::<ClientInfo>() else { return Ok(answer::forbidden()) };
            match Guarded::of_request(&app, &parts.headers).await? {
                Some(guarded) => {
                    let query = parts.uri.query().unwrap_or_default();
                    visit(&app, Visit { guarded: &guarded, place, words, query, parts: &parts, client }).await
                }
                None => Ok(StatusCode::NOT_FOUND.into_response()),
            }
        }),
    )
    .await;
    probe::note(&app, None, &parts, response.status()).await;
    response
}

/// Answers one of these addresses.
///
/// # Errors
/// When the database does not answer.
pub async fn visit(app: &App, visit: Visit<'_>) -> Result<Response, StoreError> {
    match visit.place {
        Place::Start => start::begin(app, visit),
        Place::Callback => callback::finish(app, visit).await,
        Place::SignOut => sign_out(app, visit).await,
        Place::Denied => denied(app, visit).await,
        Place::Who => who(app, visit).await,
        Place::Ping => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}

/// The hash of the key in the host's cookie.
pub(in crate::guard) fn key(app: &App, visit: Visit<'_>) -> Option<PlainSecret> {
    cookies::find(&app.config, &visit.parts.headers, &visit.guarded.host, Name::App).map(PlainSecret::from_text)
}

/// Who is signed in here: `username`, `name`, and until when the session lives at the longest.
async fn who(app: &App, visit: Visit<'_>) -> Result<Response, StoreError> {
    let Some(key) = key(app, visit) else { return Ok(StatusCode::UNAUTHORIZED.into_response()) };
    let client = visit.client.as_client(&visit.parts.headers);
    let (host, application) = (visit.guarded.host.as_str(), visit.guarded.application.id);
    let Some((session, who)) = tickets::holder(app, key.hash(), (host, application), &client, &visit.client.request_id).await?
    else {
        return Ok(StatusCode::UNAUTHORIZED.into_response());
    };
    let until = session.lifetime.absolute_expires_at.to_string();
    let body = json!({ "username": who.identity.username, "name": who.identity.name, "until": until }).to_string();
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// The page for a request that was refused: nginx shows it in place of the check's own. It judges again what the proxy
/// says was asked for.
async fn denied(app: &App, visit: Visit<'_>) -> Result<Response, StoreError> {
    let plain = || Page::new(format!("{}: no access", visit.guarded.application.name), ["This may not be opened.".to_owned()]);
    let headers = &visit.parts.headers;
    let check = forwarded::Check { method: "GET", path_and_query: "/" };
    let Ok(asked) = forwarded::read(Kind::Nginx, check, headers) else { return Ok(plain().answer(StatusCode::FORBIDDEN)) };
    let Some(readings) = readings::of(&asked.path) else { return Ok(plain().answer(StatusCode::FORBIDDEN)) };
    if readings.iter().any(|reading| places::is_ours(&reading.path)) {
        return Ok(plain().link("Go to the app", "/").answer(StatusCode::FORBIDDEN));
    }
    let question = Question {
        host: &visit.guarded.host,
        readings: &readings,
        methods: &asked.methods,
        key: key(app, visit).map(|key| key.hash()),
        password: None,
        client: &visit.client.as_client(headers),
        request_id: &visit.client.request_id,
        is_navigation: false,
        is_preflight: false,
    };
    Ok(match judge(app, question).await? {
        Some(Judged { application, verdict: Verdict::Refused(refusal) }) => {
            let guarded = Guarded { host: visit.guarded.host.clone(), application };
            answer::refused(app, &guarded, &refusal, visit.words)
        }
        // It may be opened by now.
        _ => plain().link("Try again", "/").answer(StatusCode::FORBIDDEN),
    })
}

/// Ends the session, and with it all apps, when a page of the app itself leads here: anything else, such as a link in a
/// mail, only leads to the page that asks.
async fn sign_out(app: &App, visit: Visit<'_>) -> Result<Response, StoreError> {
    let headers = &visit.parts.headers;
    if !is_from_own_page(headers) {
        let home = app.config.http.public_url.as_ref().map_or("", |url| url.origin());
        return Ok(answer::redirect(StatusCode::FOUND, &format!("{home}/sign-out")));
    }
    if let Some(key) = key(app, visit) {
        let client = visit.client.as_client(headers);
        let place = (visit.guarded.host.as_str(), visit.guarded.application.id);
        if let Some((session, _)) = tickets::holder(app, key.hash(), place, &client, &visit.client.request_id).await? {
            tickets::sign_out(app, &session, &visit.client.as_anonymous()).await?;
        }
    }
    let page = Page::new("You are signed out", ["Your session has ended, here and in all other apps.".to_owned()]);
    let mut response = page.link("Sign in again", "/").answer(StatusCode::OK);
    cookies::remove(response.headers_mut(), &app.config, &visit.guarded.host, Name::App);
    response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    Ok(response)
}
