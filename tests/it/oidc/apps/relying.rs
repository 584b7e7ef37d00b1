//! The crate `openidconnect`, in a small app of this file.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::journey::{RealApp, journey, read};
use super::world::{Registered, World};
use crate::oidc::app::pairs_of;
use crate::oidc::verified;
use crate::process::{Chromium, Home, eventually};
use axum::Router;
use axum::extract::{Form, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::core::{CoreAuthenticationFlow, CoreClient, CoreIdToken, CoreTokenResponse};
use openidconnect::{
    AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointMaybeSet, EndpointNotSet, EndpointSet, HttpRequest, HttpResponse,
    IssuerUrl, LogoutRequest, Nonce, OAuth2TokenResponse, PkceCodeChallenge, PkceCodeVerifier, PostLogoutRedirectUrl,
    ProviderMetadataWithLogout, RedirectUrl, RefreshToken, RequestTokenError, Scope, TokenResponse,
};

type Relying = CoreClient<EndpointSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointMaybeSet, EndpointMaybeSet>;

/// A request of the crate.
async fn send(request: HttpRequest) -> Result<HttpResponse, reqwest::Error> {
    let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build()?;
    let answer = http.execute(request.try_into()?).await?;
    let mut response = HttpResponse::default();
    *response.status_mut() = answer.status();
    *response.headers_mut() = answer.headers().clone();
    *response.body_mut() = answer.bytes().await?.to_vec();
    Ok(response)
}

/// The app: it has one user, of the one browser.
struct Shop {
    client: Relying,
    metadata: ProviderMetadataWithLogout,
    base: String,
    slug: &'static str,
    begun: Mutex<Option<(PkceCodeVerifier, CsrfToken, Nonce)>>,
    user: Mutex<Option<User>>,
}

#[derive(Clone)]
struct User {
    name: String,
    id_token: CoreIdToken,
    access: String,
    refresh: RefreshToken,
}

impl Shop {
    async fn new(registered: &Registered) -> Self {
        let issuer = IssuerUrl::new(registered.issuer.clone()).unwrap();
        let metadata = ProviderMetadataWithLogout::discover_async(issuer, &send).await.unwrap();
        let (id, secret) = (ClientId::new(registered.slug.to_owned()), ClientSecret::new(registered.secret.clone()));
        let back = RedirectUrl::new(format!("{}/cb", registered.base())).unwrap();
        let client = CoreClient::from_provider_metadata(metadata.clone(), id, Some(secret)).set_redirect_uri(back);
        Self { client, metadata, base: registered.base(), slug: registered.slug, begun: Mutex::default(), user: Mutex::default() }
    }

    /// The published keys, as they were fetched.
    async fn client_keys(&self) -> serde_json::Value {
        let address = self.metadata.jwks_uri().url().clone();
        reqwest::Client::builder().no_proxy().build().unwrap().get(address).send().await.unwrap().json().await.unwrap()
    }

    fn keep(&self, name: String, id_token: CoreIdToken, tokens: &CoreTokenResponse) -> bool {
        let (access, refresh) = (tokens.access_token().secret().clone(), tokens.refresh_token().expect("it is given").clone());
        let user = User { name, id_token, access: access.clone(), refresh };
        let before = self.user.lock().unwrap().replace(user);
        before.is_none_or(|before| before.access != access)
    }
}

async fn home(State(shop): State<Arc<Shop>>) -> String {
    let user = shop.user.lock().unwrap().clone();
    user.map_or("nobody is signed in".to_owned(), |user| format!("signed in as {}", user.name))
}

async fn login(State(shop): State<Arc<Shop>>) -> Redirect {
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let begun = shop.client.authorize_url(CoreAuthenticationFlow::AuthorizationCode, CsrfToken::new_random, Nonce::new_random);
    let begun = ["profile", "email", "offline_access"].into_iter().fold(begun, |it, scope| it.add_scope(Scope::new(scope.into())));
    let (url, state, nonce) = begun.set_pkce_challenge(challenge).url();
    *shop.begun.lock().unwrap() = Some((verifier, state, nonce));
    Redirect::to(url.as_str())
}

async fn callback(State(shop): State<Arc<Shop>>, RawQuery(query): RawQuery) -> Response {
    let mut given = pairs_of(&format!("?{}", query.unwrap_or_default()));
    let Some((verifier, state, nonce)) = shop.begun.lock().unwrap().take() else { return "refused: nothing began".into_response() };
    if Some(state.secret()) != given.get("state") {
        return "refused: another state".into_response();
    }
    let exchange = shop
        .client
        .exchange_code(AuthorizationCode::new(given.remove("code").unwrap_or_default()))
        .unwrap()
        .set_pkce_verifier(verifier);
    let tokens = match exchange.request_async(&send).await {
        Ok(tokens) => tokens,
        Err(error) => return format!("refused: {error:?}").into_response(),
    };
    let id_token = tokens.id_token().expect("an ID token").clone();
    let verifier = shop.client.id_token_verifier();
    let claims = match id_token.claims(&verifier, &nonce) {
        Ok(claims) => claims,
        Err(error) => return format!("refused: {error:?}").into_response(),
    };
    let name = claims.preferred_username().map(|name| name.to_string()).unwrap_or_default();
    shop.keep(name, id_token.clone(), &tokens);
    Redirect::to("/").into_response()
}

async fn refresh(State(shop): State<Arc<Shop>>) -> String {
    let Some(user) = shop.user.lock().unwrap().clone() else { return "nobody is signed in".to_owned() };
    let exchange = shop.client.exchange_refresh_token(&user.refresh).unwrap();
    match exchange.request_async(&send).await {
        Ok(tokens) if shop.keep(user.name, user.id_token, &tokens) => "refreshed".to_owned(),
        Ok(_) => "the same tokens".to_owned(),
        Err(RequestTokenError::ServerResponse(answer)) => format!("refused: {}", answer.error()),
        Err(error) => format!("refused: {error:?}"),
    }
}

async fn logout(State(shop): State<Arc<Shop>>) -> Response {
    let Some(user) = shop.user.lock().unwrap().take() else { return "nobody is signed in".into_response() };
    let Some(end) = shop.metadata.additional_metadata().end_session_endpoint.clone() else {
        return "refused: it names no end".into_response();
    };
    let back = PostLogoutRedirectUrl::new(format!("{}/", shop.base)).unwrap();
    let request = LogoutRequest::from(end).set_id_token_hint(&user.id_token).set_post_logout_redirect_uri(back);
    Redirect::to(request.http_get_url().as_str()).into_response()
}

/// The session that an ID token names, which the crate does not show.
fn sid_of(id_token: &CoreIdToken) -> serde_json::Value {
    let payload = URL_SAFE_NO_PAD.decode(id_token.to_string().split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice::<serde_json::Value>(&payload).unwrap()["sid"].clone()
}

/// What the crate does not do: reading a notice that a session ended.
async fn told(State(shop): State<Arc<Shop>>, Form(form): Form<BTreeMap<String, String>>) -> StatusCode {
    let keys = shop.client_keys().await;
    let (header, claims) = verified(&form["logout_token"], &keys);
    let is_notice = header.typ.as_deref() == Some("logout+jwt") && claims["aud"] == shop.slug && claims["nonce"].is_null();
    let mut user = shop.user.lock().unwrap();
    if is_notice && user.as_ref().is_some_and(|user| claims["sid"] == sid_of(&user.id_token)) {
        *user = None;
    }
    if is_notice { StatusCode::OK } else { StatusCode::BAD_REQUEST }
}

/// The app's server, which can be stopped.
struct Running {
    shop: Arc<Shop>,
    port: u16,
    serving: tokio::task::JoinHandle<()>,
}

impl Running {
    async fn serve(shop: &Arc<Shop>, port: u16) -> tokio::task::JoinHandle<()> {
        let routes = Router::new().route("/", get(home)).route("/login", get(login)).route("/cb", get(callback));
        let routes = routes.route("/refresh", get(refresh)).route("/logout", get(logout)).route("/told", post(told));
        let routes = routes.with_state(Arc::clone(shop));
        let listener = eventually("the port", async || tokio::net::TcpListener::bind(("127.0.0.1", port)).await.ok()).await;
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() })
    }
}

impl RealApp for Running {
    const LOGIN: &'static str = "/login";
    const AFTER: &'static str = "/";
    const TOLD: &'static str = "/told";
    const HAS_MANY: bool = false;

    async fn kill(&mut self) {
        self.serving.abort();
        drop((&mut self.serving).await);
    }

    async fn start_again(&mut self) {
        self.serving = Self::serve(&self.shop, self.port).await;
    }

    async fn sign_out(&self, browser: &Chromium, app: &Registered) {
        browser.client.goto(&format!("{}/logout", app.base())).await.unwrap();
    }

    async fn refreshes(&self, browser: &Chromium, app: &Registered) -> bool {
        match read(browser, &format!("{}/refresh", app.base())).await.as_str() {
            "refreshed" => true,
            "refused: invalid_grant" | "nobody is signed in" => false,
            other => panic!("{other}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn openidconnect() {
    let world = World::start_plain(Home::sqlite()).await;
    let registered = world.register("shop", Running::AFTER, Running::TOLD);
    let (shop, port) = (Arc::new(Shop::new(&registered).await), registered.port);
    let serving = Running::serve(&shop, port).await;
    journey(world, registered, Running { shop, port, serving }).await;
}
