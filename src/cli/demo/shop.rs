//! A made-up app that signs its users in by OpenID Connect, and says what it was told. It listens on loopback, and knows of
//! Rollcall what every such app knows: an issuer, a client id and a secret.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use askama::Template;
use axum::Router;
use axum::extract::{Form, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use crate::actions::app::App;
use crate::actions::applications::clients::{self, ClientWish};
use crate::actions::applications::{self, ApplicationChange};
use crate::actions::by::By;
use crate::actions::guard::identity::issuer;
use crate::cli::Failure;
use crate::cli::demo::provider::Provider;
use crate::domain::application::client::Client;
use crate::domain::application::demand::{Allow, Demand};
use crate::domain::oidc::redirect::RedirectUri;
use crate::domain::oidc::target::Target;
use crate::domain::{Timestamp, secret};
use crate::http::query::Query;

const SLUG: &str = "shop";
const NAME: &str = "The shop";
const COOKIE: &str = "shop";
/// How many messages it shows.
const SHOWN: usize = 20;

/// The app, while it runs.
pub(super) struct Shop {
    /// Where people open it.
    pub url: String,
    server: AbortHandle,
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A sign-in that began.
struct Begun {
    state: String,
    verifier: String,
}

/// Somebody who is signed in to the app.
#[derive(Clone)]
struct Guest {
    name: String,
    sid: String,
    id_token: String,
}

/// What the app knows.
struct Known {
    app: App,
    base: String,
    rollcall: String,
    provider: Provider,
    begun: Mutex<HashMap<String, Begun>>,
    guests: Mutex<HashMap<String, Guest>>,
    told: Mutex<Vec<(Timestamp, String)>>,
}

#[derive(Template)]
#[template(path = "demo/shop.html")]
struct Page {
    name: &'static str,
    rollcall: String,
    who: Option<String>,
    /// What Rollcall told the app, the last first.
    told: Vec<(String, String)>,
}

impl Shop {
    /// Starts the app and gives it an application with a client, which everybody who is signed in may open. `origin` is where
    /// people reach Rollcall, and `near` where the app does.
    ///
    /// # Errors
    /// When a port or the database cannot be used.
    pub async fn start(app: &App, origin: &str, near: String) -> Result<Self, Failure> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        // Cookies know no ports: an app on Rollcall's own host would be sent those of Rollcall.
        let host = if origin.contains("//127.0.0.1") { "localhost" } else { "127.0.0.1" };
        let base = format!("http://{host}:{}", address.port());
        let uri = |path: &str| RedirectUri::parse(&format!("{base}{path}"), &[]);
        let client = Client {
            redirect_uris: vec![uri("/cb")?],
            post_logout_uris: vec![uri("/")?],
            back_channel_uri: Some(Target::stored(format!("http://{address}/told"))),
            ..Client::default()
        };
        let mut wanted = ApplicationChange {
            slug: Some(SLUG.to_owned()),
            name: Some(NAME.to_owned()),
            access: Some(Demand { allow: Allow::SignedIn, ..Demand::default() }),
            client: Some(Some(ClientWish { client_id: None, client })),
            ..ApplicationChange::default()
        };
        let url = format!("{base}/");
        wanted.display.get_or_insert_default().launch_url.clone_from(&url);
        let added = applications::add(app, By::System, wanted).await?;
        let secret = clients::add_secret(app, By::System, SLUG).await?;
        let client_id = added.client.ok_or("the app of the demo has no client")?.client_id;
        let public = app.config.issuer_url().ok_or("the demo's own address is no issuer")?;
        let provider = Provider { near, issuer: issuer(public, SLUG), client_id, secret: secret.expose().to_owned() };
        let (guests, begun, told) = (Mutex::default(), Mutex::default(), Mutex::default());
        let known = Known { app: app.clone(), base, rollcall: origin.to_owned(), provider, begun, guests, told };
        let routes = Router::new().route("/", get(show)).route("/login", get(login)).route("/cb", get(callback));
        let routes = routes.route("/logout", get(logout)).route("/told", post(hear)).with_state(Arc::new(known));
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, routes).await {
                tracing::error!(%error, "an app of the demo stopped");
            }
        });
        Ok(Self { url, server: server.abort_handle() })
    }
}

fn with<T, R>(lock: &Mutex<T>, change: impl FnOnce(&mut T) -> R) -> R {
    change(&mut lock.lock().unwrap_or_else(PoisonError::into_inner))
}

fn cookie(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get(header::COOKIE)?.to_str().ok()?;
    cookies.split("; ").find_map(|pair| Some(pair.strip_prefix(COOKIE)?.strip_prefix('=')?.to_owned()))
}

fn guest(known: &Known, headers: &HeaderMap) -> Option<Guest> {
    let key = cookie(headers)?;
    with(&known.guests, |guests| guests.get(&key).cloned())
}

async fn show(State(known): State<Arc<Known>>, headers: HeaderMap) -> Response {
    let told = with(&known.told, |told| told.iter().rev().map(|(at, what)| (at.to_string(), what.clone())).collect());
    let who = guest(&known, &headers).map(|guest| guest.name);
    let page = Page { name: NAME, rollcall: known.rollcall.clone(), who, told };
    let html = page.render().unwrap_or_else(|error| error.to_string());
    ([(header::CACHE_CONTROL, "no-store")], Html(html)).into_response()
}

async fn login(State(known): State<Arc<Known>>) -> Response {
    let drawn = [(); 3].map(|()| secret::random_alphanumeric(43));
    let [Ok(key), Ok(state), Ok(verifier)] = drawn else { return refused("there is no randomness") };
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&verifier));
    let to = format!(
        "{}/application/o/authorize/?response_type=code&client_id={}&redirect_uri={}/cb&scope=openid%20profile&state={state}\
         &code_challenge={challenge}&code_challenge_method=S256",
        known.rollcall, known.provider.client_id, known.base
    );
    with(&known.begun, |begun| begun.insert(key.clone(), Begun { state, verifier }));
    let cookie = format!("{COOKIE}={key}; Path=/; HttpOnly; SameSite=Lax");
    ([(header::SET_COOKIE, cookie)], Redirect::to(&to)).into_response()
}

async fn callback(State(known): State<Arc<Known>>, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    let Some(key) = cookie(&headers) else { return refused("nothing began here") };
    let Some(begun) = with(&known.begun, |all| all.remove(&key)) else { return refused("nothing began here") };
    let sent = Query::parse(&query.unwrap_or_default());
    let (Some(code), true) = (sent.last("code"), sent.last("state") == Some(begun.state.as_str())) else {
        return refused(sent.last("error").unwrap_or("another state"));
    };
    let tokens = known.provider.redeem(code, &format!("{}/cb", known.base), &begun.verifier).await;
    let read = match &tokens {
        Ok(id_token) => known.provider.read(id_token, "JWT").await.map(|claims| (id_token, claims)),
        Err(why) => Err(why.clone()),
    };
    let (id_token, claims) = match read {
        Ok(read) => read,
        Err(why) => return refused(&why),
    };
    let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let guest = Guest { name: text("preferred_username"), sid: text("sid"), id_token: id_token.clone() };
    with(&known.guests, |guests| guests.insert(key, guest));
    Redirect::to("/").into_response()
}

/// Signs out here and at Rollcall.
async fn logout(State(known): State<Arc<Known>>, headers: HeaderMap) -> Response {
    let Some(guest) = guest(&known, &headers) else { return Redirect::to("/").into_response() };
    with(&known.guests, |guests| guests.retain(|_, other| other.sid != guest.sid));
    let to =
        format!("{}end-session/?id_token_hint={}&post_logout_redirect_uri={}/", known.provider.issuer, guest.id_token, known.base);
    Redirect::to(&to).into_response()
}

/// Hears that a session ended.
async fn hear(State(known): State<Arc<Known>>, Form(form): Form<HashMap<String, String>>) -> Response {
    let token = form.get("logout_token").map(String::as_str).unwrap_or_default();
    let claims = match known.provider.read(token, "logout+jwt").await {
        Ok(claims) => claims,
        Err(why) => return refused(&why),
    };
    let sid = claims.get("sid").and_then(Value::as_str).unwrap_or_default();
    let gone = with(&known.guests, |guests| {
        let names: Vec<String> = guests.values().filter(|guest| guest.sid == sid).map(|guest| guest.name.clone()).collect();
        guests.retain(|_, guest| guest.sid != sid);
        names
    });
    let what = match gone.first() {
        Some(name) => format!("the session {sid} ended: {name} was signed out here"),
        None => format!("the session {sid} ended: nobody was signed in here by it"),
    };
    with(&known.told, |told| {
        told.push((known.app.clock.now(), what));
        let extra = told.len().saturating_sub(SHOWN);
        told.drain(..extra);
    });
    StatusCode::NO_CONTENT.into_response()
}

fn refused(why: &str) -> Response {
    (StatusCode::BAD_REQUEST, format!("refused: {why}\n")).into_response()
}
