//! The check: a reverse proxy asks whether a request may pass to an app.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::extract::{Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::actions::app::App;
use crate::actions::guard::check::{Caller, Judged, Question, Verdict, check as judge, too_large};
use crate::actions::guard::identity;
use crate::actions::signing::keyring::KeysError;
use crate::domain::PlainSecret;
use crate::domain::application::Application;
use crate::domain::application::host::Host;
use crate::domain::guard::credentials::{Ambiguous, Given};
use crate::domain::guard::forwarded::{self, Asked, Check};
use crate::domain::guard::headers::Headers;
use crate::domain::guard::kind::Kind;
use crate::domain::guard::navigation::{is_navigation, is_preflight, may_be_navigation};
use crate::domain::guard::places::{Place, Words};
use crate::domain::guard::{credentials, places, readings};
use crate::guard::answer::{self, Needs, Seen};
use crate::guard::cookies::{self, Name};
use crate::guard::hosts::{self, Guarded};
use crate::guard::places::{Visit, visit};
use crate::guard::probe;
use crate::guard::shelter::shelter;
use crate::guard::target::behind_prefix;
use crate::http::client::ClientInfo;
use crate::metrics;
use crate::store::StoreError;

/// The slug that means the application that has the host.
const BY_HOST: &str = "-";

/// `/guard/nginx/{app}`
pub async fn nginx(State(app): State<App>, Path(slug): Path<String>, request: Request) -> Response {
    answer(&app, Kind::Nginx, Words::Own, &slug, request).await
}

/// `/guard/caddy/{app}`
pub async fn caddy(State(app): State<App>, Path(slug): Path<String>, request: Request) -> Response {
    answer(&app, Kind::Caddy, Words::Own, &slug, request).await
}

/// `/guard/traefik/{app}`
pub async fn traefik(State(app): State<App>, Path(slug): Path<String>, request: Request) -> Response {
    answer(&app, Kind::Traefik, Words::Own, &slug, request).await
}

/// `/guard/envoy/{app}` and the path that was asked for.
pub async fn envoy(State(app): State<App>, request: Request) -> Response {
    let slug = request.uri().path().split('/').nth(3).unwrap_or_default().to_owned();
    answer(&app, Kind::Envoy, Words::Own, &slug, request).await
}

/// `/outpost.goauthentik.io/auth/nginx`
pub async fn authentik_nginx(State(app): State<App>, request: Request) -> Response {
    answer(&app, Kind::Nginx, Words::Authentik, BY_HOST, request).await
}

/// `/outpost.goauthentik.io/auth/caddy`
pub async fn authentik_caddy(State(app): State<App>, request: Request) -> Response {
    answer(&app, Kind::Caddy, Words::Authentik, BY_HOST, request).await
}

/// `/outpost.goauthentik.io/auth/traefik`
pub async fn authentik_traefik(State(app): State<App>, request: Request) -> Response {
    answer(&app, Kind::Traefik, Words::Authentik, BY_HOST, request).await
}

/// `/outpost.goauthentik.io/auth/envoy` and the path that was asked for.
pub async fn authentik_envoy(State(app): State<App>, request: Request) -> Response {
    answer(&app, Kind::Envoy, Words::Authentik, BY_HOST, request).await
}

async fn answer(app: &App, kind: Kind, words: Words, slug: &str, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let (started, about) = (Instant::now(), OnceLock::new());
    let response = shelter(
        app,
        Box::pin(async {
            // The proxy in front of Rollcall itself is trusted, and strangers reach it.
            let is_at_home = match parts.headers.single("host") {
                Ok(Some(host)) => Host::parse(host).is_some_and(|host| hosts::is_own(&app.config, &host)),
                Ok(None) | Err(_) => false,
            };
            if is_at_home || app.config.http.public_url.is_none() {
                return Ok(StatusCode::NOT_FOUND.into_response());
            }
            if hosts::trusted_peer(app, &parts.extensions).is_none() {
                hosts::tell_of_stranger(&parts.extensions);
                return Ok(answer::forbidden());
            }
            match read(app, kind, slug, &parts).await? {
                Some((asked, guarded)) => {
                    drop(about.set(Arc::clone(&guarded.application)));
                    judged(app, (kind, words), &asked, &guarded, &parts).await
                }
                None => Ok(answer::forbidden()),
            }
        }),
    )
    .await;
    probe::note(app, Some(kind), &parts, response.status()).await;
    let slug = about.get().map(|application| application.slug.as_str());
    metrics::count_check(kind.as_str(), response.status().as_u16(), slug, started.elapsed());
    response
}

/// What is asked for, and on which guarded host. `None`: it is not clear, or there is no such host.
async fn read(app: &App, kind: Kind, slug: &str, parts: &Parts) -> Result<Option<(Asked, Guarded)>, StoreError> {
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let check = Check { method: parts.method.as_str(), path_and_query: behind_prefix(target) };
    let Ok(asked) = forwarded::read(kind, check, &parts.headers) else { return Ok(None) };
    let Some(host) = Host::parse(&asked.authority) else { return Ok(None) };
    let Some(application) = app.guarded.of_host(app, &host).await? else { return Ok(None) };
    if slug != BY_HOST && !application.slug.eq_ignore_ascii_case(slug) {
        return Ok(None);
    }
    if kind == Kind::Nginx && is_for_other_host(app, &parts.headers, &host).await? {
        return Ok(None);
    }
    Ok(Some((asked, Guarded { host, application })))
}

/// Whether a check was sent to a guarded host, and asks about another one: with `$http_host` in its configuration, nginx
/// asks about a host that the caller names, and passes the request on to another.
async fn is_for_other_host(app: &App, headers: &HeaderMap, asked: &Host) -> Result<bool, StoreError> {
    let sent = Guarded::of_request(app, headers).await?;
    Ok(sent.is_some_and(|sent| sent.host != *asked))
}

async fn judged(
    app: &App,
    (kind, words): (Kind, Words),
    asked: &Asked,
    guarded: &Guarded,
    parts: &Parts,
) -> Result<Response, StoreError> {
    let client = parts.extensions.get::<ClientInfo>().ok_or(StoreError::Failed("a check without a client".into()))?;
    if let Some((place_words, place)) = places::exact(&asked.path) {
        if kind == Kind::Nginx {
            return Ok(answer::forbidden());
        }
        let visit_of =
            Visit { guarded, place, words: place_words, query: asked.query.as_deref().unwrap_or_default(), parts, client };
        // Boxed, since it is rare: so the future of a check stays small.
        let response = Box::pin(visit(app, visit_of)).await?;
        // Whatever the page is: the request does not reach the app.
        return Ok(if response.status().is_success() { instead_of_page(app, place, &response) } else { response });
    }
    let Some(readings) = readings::of(&asked.path) else { return Ok(answer::forbidden()) };
    if readings.iter().any(|reading| places::is_ours(&reading.path)) {
        return Ok(answer::forbidden());
    }
    let headers = &parts.headers;
    let is_untold = (kind, words) == (Kind::Envoy, Words::Authentik) && may_be_navigation(asked.method(), headers);
    let is_navigation = is_untold || is_navigation(asked.method(), headers);
    let key = cookies::find(&app.config, headers, &guarded.host, Name::App);
    let password = match password(app, asked, headers) {
        Ok(password) => password,
        Err(Ambiguous) => return Ok(answer::challenge(guarded, None)),
    };
    let question = Question {
        host: &guarded.host,
        readings: &readings,
        methods: &asked.methods,
        key: key.map(|key| PlainSecret::from_text(key).hash()),
        password: password.as_ref(),
        client: &client.as_client(headers),
        request_id: &client.request_id,
        is_navigation,
        is_preflight: is_preflight(asked.method(), headers),
    };
    let Some(Judged { application, verdict }) = judge(app, question).await? else { return Ok(answer::forbidden()) };
    // The rules may have changed since the host was looked up.
    let guarded = &Guarded { host: guarded.host.clone(), application };
    let (signed, keys) = match &verdict {
        Verdict::Allowed(caller) => {
            let application = &guarded.application;
            (signed(app, application, caller).await?, identity::told_keys(app, application, words))
        }
        _ => (None, String::new()),
    };
    let seen = Seen { authorization: foreign_authorization(headers), words, signed: signed.as_deref(), keys: &keys };
    let needs = |lacks| Needs { kind, asked, is_navigation, words, lacks };
    Ok(match &verdict {
        Verdict::Anonymous => answer::allowed(kind, guarded, None, headers, seen).unwrap_or_else(answer::forbidden),
        Verdict::Allowed(who) => match answer::allowed(kind, guarded, Some(who), headers, seen) {
            Some(response) => response,
            None => {
                let bytes = answer::identity_size(guarded, who, seen);
                Box::pin(too_large(app, &guarded.application, (&who.subject, bytes), question)).await?;
                answer::forbidden()
            }
        },
        Verdict::WrongPassword => answer::challenge(guarded, None),
        Verdict::SignIn => answer::sign_in(app, guarded, headers, needs(None)),
        Verdict::Prove(lacks) => answer::sign_in(app, guarded, headers, needs(Some(lacks))),
        Verdict::Refused(refusal) => answer::refused(app, guarded, refusal, words),
    })
}

/// The signed identity of a caller, where the guard sends one. Without keys the request cannot be judged.
async fn signed(app: &App, application: &Application, caller: &Caller) -> Result<Option<Arc<str>>, StoreError> {
    identity::signed(app, application, caller).await.map_err(|error| match error {
        KeysError::Store(error) => error,
        other => StoreError::Unusable(other.to_string()),
    })
}

/// What takes the place of a page of ours where a check cannot show it, since 200 lets a request pass: after signing out, the
/// sign-in on Rollcall's own host, with the cookies that the page removes.
fn instead_of_page(app: &App, place: Place, page: &Response) -> Response {
    if place != Place::SignOut {
        return answer::forbidden();
    }
    let home = app.config.http.public_url.as_ref().map_or("", |url| url.origin());
    let mut response = answer::redirect(StatusCode::SEE_OTHER, &format!("{home}/sign-in"));
    for cookie in page.headers().get_all(header::SET_COOKIE) {
        response.headers_mut().append(header::SET_COOKIE, cookie.clone());
    }
    response
}

/// The app password of a request. Over plain http it is refused: anybody on the way could read and use it.
fn password(app: &App, asked: &Asked, headers: &HeaderMap) -> Result<Option<Given>, Ambiguous> {
    let given = credentials::app_password(headers)?;
    let is_safe = !app.config.is_https() || asked.is_https == Some(true);
    if given.is_some() && !is_safe { Err(Ambiguous) } else { Ok(given) }
}

/// The caller's `Authorization`, if it is there once and has no app password: then it is the app's own.
fn foreign_authorization(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut lines = headers.get_all(header::AUTHORIZATION).iter();
    match (lines.next(), lines.next()) {
        (Some(only), None) if !credentials::is_ours(only.as_bytes()) => Some(only),
        _ => None,
    }
}
