//! Which application a request's host belongs to; and requests that reach the wrong server.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::{Extensions, HeaderMap, StatusCode};
use axum::response::Response;

use crate::actions::app::App;
use crate::config::Config;
use crate::domain::application::Application;
use crate::domain::application::host::Host;
use crate::domain::guard::headers::Headers;
use crate::domain::guard::places;
use crate::guard::shelter::unavailable;
use crate::http::headers::OnAppHost;
use crate::http::log_limit::LogLimit;
use crate::http::page::Page;
use crate::http::peer::Peer;
use crate::store::StoreError;

/// A host that an application's guard has.
#[derive(Clone, Debug)]
pub struct Guarded {
    /// The host.
    pub host: Host,
    /// Its application.
    pub application: Arc<Application>,
}

impl Guarded {
    /// `scheme://host` of the host: with the scheme of `http.public_url`.
    #[must_use]
    pub fn origin(&self, config: &Config) -> String {
        format!("{}://{}", if config.is_https() { "https" } else { "http" }, self.host)
    }

    /// The guarded host that a request names by its `Host`, if it is one.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn of_request(app: &App, headers: &HeaderMap) -> Result<Option<Self>, StoreError> {
        let Ok(Some(text)) = headers.single("host") else { return Ok(None) };
        if own_authority(&app.config) == Some(text) {
            return Ok(None);
        }
        let Some(host) = Host::parse(text) else { return Ok(None) };
        if is_own(&app.config, &host) {
            return Ok(None);
        }
        let application = app.guarded.of_host(app, &host).await?;
        Ok(application.map(|application| Self { host, application }))
    }
}

/// Whether a host is the one of `http.public_url`.
#[must_use]
pub fn is_own(config: &Config, host: &Host) -> bool {
    own_authority(config).and_then(Host::typed).is_some_and(|own| own == *host)
}

/// `host` or `host:port` of `http.public_url`.
fn own_authority(config: &Config) -> Option<&str> {
    let url = config.http.public_url.as_ref()?;
    url.origin().split_once("://").map(|(_, authority)| authority)
}

/// The address of the peer that a request came from, if it is a trusted proxy. A network of all addresses names nobody: with
/// it, a caller who reaches Rollcall without a proxy would choose what is asked about.
#[must_use]
pub fn trusted_peer(app: &App, extensions: &Extensions) -> Option<IpAddr> {
    let peer = peer(extensions)?;
    peer.is_named(&app.trusted_proxies.load()).then_some(peer.ip)
}

/// Tells once a minute of a peer whose checks are refused.
pub fn tell_of_stranger(extensions: &Extensions) {
    static LINES: LogLimit = LogLimit::new(1, std::time::Duration::from_secs(60));
    if let (Some(peer), Some(held_back)) = (peer(extensions), LINES.admit()) {
        tracing::warn!(peer = %peer.ip, held_back, "a check was refused: its sender is not in http.trusted_proxies");
    }
}

fn peer(extensions: &Extensions) -> Option<Peer> {
    extensions.get::<Peer>().copied()
}

/// Whether a request names a host that was guarded within the last second. Every request asks it: for a host that nobody
/// knows, it must not be a statement each time.
async fn is_guarded(app: &App, headers: &HeaderMap) -> Result<bool, StoreError> {
    let Ok(Some(text)) = headers.single("host") else { return Ok(false) };
    if own_authority(&app.config) == Some(text) {
        return Ok(false);
    }
    let Some(host) = Host::parse(text).filter(|host| !is_own(&app.config, host)) else { return Ok(false) };
    Ok(app.guarded.applications(app).await?.by_host(&host).is_some())
}

/// Addresses that proxies ask, on whatever host: each looks at the host itself.
const CHECKS: [&str; 5] = ["/guard/nginx/", "/guard/caddy/", "/guard/traefik/", "/guard/envoy/", "/outpost.goauthentik.io/auth/"];

/// The answer to a request on a guarded host, where only the guard's own addresses are answered. Anything else came here
/// by a mistake in a proxy's configuration, and must not show Rollcall's sign-in on an app's host: 421. So does a request of
/// which the database does not say whether its host is guarded: 503. `None` for all other requests.
pub async fn misdirected(app: &App, path: &str, headers: &HeaderMap) -> Option<Response> {
    let is_guards = places::exact(path).is_some() || path == "/guard/go" || CHECKS.iter().any(|check| path.starts_with(check));
    if is_guards || path.starts_with("/-/") || app.config.http.public_url.is_none() {
        return None;
    }
    match is_guarded(app, headers).await {
        Ok(false) => return None,
        Ok(true) => {}
        Err(error) => return Some(unavailable(&error.to_string())),
    }
    let text = "This host is guarded by Rollcall, and its reverse proxy sent this request to Rollcall instead of the app.";
    let mut response = Page::new("The reverse proxy is misconfigured", [text.to_owned()]).answer(StatusCode::MISDIRECTED_REQUEST);
    response.extensions_mut().insert(OnAppHost);
    Some(response)
}
