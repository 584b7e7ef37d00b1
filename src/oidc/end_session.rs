//! `/application/o/{slug}/end-session/`: an app signs its user out (OpenID Connect RP-Initiated Logout 1.0). With the ID token
//! of this browser's own session it ends at once; anything else leads to the page that asks.

use axum::body::to_bytes;
use axum::extract::{Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::actions::app::App;
use crate::actions::guard::identity::issuer;
use crate::actions::oidc::clients::Known;
use crate::actions::oidc::hints::{self, Hint};
use crate::actions::sessions::check::Admission;
use crate::auth::onward::Onward;
use crate::auth::{session_of_cookies, sign_out};
use crate::domain::oidc::request::{MAX_LENGTH, Parameters};
use crate::http::client::ClientInfo;
use crate::http::page::Page;
use crate::oidc::answer::{Wrong, not_allowed};
use crate::oidc::form::pairs;
use crate::oidc::way::redirect;

/// Answers a browser.
pub async fn answer(State(app): State<App>, Path(slug): Path<String>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if app.config.issuer_url().is_none() {
        return Wrong::NotThere.answer();
    }
    match parts.method.as_str() {
        "GET" | "HEAD" => {}
        // Browsers send no cookie with a form of another site, so the request goes on as an address.
        "POST" => {
            let Ok(bytes) = to_bytes(body, MAX_LENGTH).await else { return Wrong::Request("the request is too long").answer() };
            let text = String::from_utf8_lossy(&bytes).into_owned();
            return redirect(StatusCode::SEE_OTHER, &format!("/application/o/{slug}/end-session/?{text}"));
        }
        _ => return not_allowed("GET, POST"),
    }
    match answered(&app, &slug, &parts).await {
        Ok(mut response) => {
            response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
            response
        }
        Err(wrong) => wrong.answer(),
    }
}

/// What was asked, once the client is known.
struct Asked<'a> {
    /// Whether the hint is of this client, and signed by us.
    hint: Option<Hint>,
    /// The registered address to go on to.
    uri: Option<&'a str>,
    state: Option<&'a str>,
}

async fn answered(app: &App, slug: &str, parts: &Parts) -> Result<Response, Wrong> {
    let url = app.config.issuer_url().ok_or(Wrong::NotThere)?;
    let applications = app.store.applications().await?;
    let application = applications.by_slug(slug).filter(|application| application.client.is_some()).ok_or(Wrong::NotThere)?;
    let known = Known { application: application.clone() };
    let all = pairs(parts.uri.query().unwrap_or_default());
    let given = Parameters(&all);
    let find = |name: &str| given.single(name).ok().flatten();
    let client_id = known.part()?.client_id.as_str();
    let is_named = find("client_id").is_none_or(|named| named == client_id);
    let hint = match find("id_token_hint") {
        Some(text) => hints::read(app, text).await?,
        None => None,
    };
    let own = issuer(url, &known.application.slug);
    let hint = hint.filter(|hint| is_named && hint.aud == client_id && hint.iss == own);
    let uri =
        find("post_logout_redirect_uri").filter(|uri| is_named && known.settings().is_ok_and(|client| client.has_post_logout(uri)));
    go_on(app, parts, Asked { hint, uri, state: find("state") }).await
}

async fn go_on(app: &App, parts: &Parts, asked: Asked<'_>) -> Result<Response, Wrong> {
    let client = parts.extensions.get::<ClientInfo>().ok_or(Wrong::NotThere)?;
    let session = match session_of_cookies(app, &parts.headers, client).await? {
        Admission::Open(session) | Admission::FactorMissing(session) | Admission::Unproved(session) => Some(session),
        Admission::None | Admission::Moved => None,
    };
    let onward = asked.uri.map(|uri| Onward { uri: uri.to_owned(), state: asked.state.map(str::to_owned) });
    match (session, &asked.hint) {
        (Some(session), Some(hint)) if hint.sid == session.uuid.to_string() => {
            let mut response = after(onward.as_ref());
            let signed_out = sign_out(app, &parts.headers, client, response.headers_mut()).await;
            signed_out.map_err(|error| Wrong::Away(error.to_string()))?;
            Ok(response)
        }
        (Some(_), _) => {
            let then = onward.and_then(|onward| onward.seal(app)).map(|sealed| format!("?then={sealed}")).unwrap_or_default();
            Ok(redirect(StatusCode::SEE_OTHER, &format!("/sign-out{then}")))
        }
        // Nobody is signed in here. Only an ID token of ours says which app sent the browser.
        (None, hint) => Ok(after(onward.as_ref().filter(|_| hint.is_some()))),
    }
}

/// On to the app, or the page that says that it is done.
fn after(onward: Option<&Onward>) -> Response {
    match onward {
        Some(onward) => redirect(StatusCode::FOUND, &onward.address()),
        None => Page::new("You are signed out", [String::new()])
            .link("Sign in again", "/sign-in")
            .answer(StatusCode::OK)
            .into_response(),
    }
}
