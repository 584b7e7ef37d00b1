//! Where a request comes from: the client's address, the scheme and host it used, and the id the
//! request gets.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, header};

use crate::actions::app::App;
use crate::domain::caller::Actor;
use crate::domain::caller::Client;
use crate::domain::{Address, secret, user_agent};
use crate::http::forwarded;
use crate::http::peer::Peer;

/// What is known of a request's sender before anything is proved.
#[derive(Clone, Debug)]
pub struct ClientInfo {
    /// The client's address: the connection's, or what trusted proxies say.
    pub ip: Address,
    /// Whether the client used https, as its browser sees it.
    pub is_https: bool,
    /// Whether it says that it was forwarded, and came from an address that is not trusted to say so.
    pub is_from_unknown_proxy: bool,
    /// The `Host` the client asked for.
    pub host: String,
    /// The request's id: in the log, in events, in the answer's `X-Request-Id`.
    pub request_id: String,
}

impl ClientInfo {
    /// `scheme://host` of the request.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("{}://{}", if self.is_https { "https" } else { "http" }, self.host)
    }

    /// Where people reach this server: the public URL, or what this request asked for.
    #[must_use]
    pub fn public_origin(&self, app: &App) -> String {
        app.config.http.public_url.as_ref().map_or_else(|| self.origin(), |url| url.origin().to_owned())
    }

    /// With the user agent of the request's headers.
    #[must_use]
    pub fn as_client(&self, headers: &HeaderMap) -> Client {
        let agent = headers.get(header::USER_AGENT).map(|agent| String::from_utf8_lossy(agent.as_bytes()));
        Client { ip: self.ip, user_agent: user_agent::storable(agent.as_deref().unwrap_or_default()) }
    }

    /// The actor of a request whose sender is not authenticated.
    #[must_use]
    pub fn as_anonymous(&self) -> Actor {
        Actor { id: None, name: "anonymous".into(), ip: Some(self.ip), request_id: self.request_id.clone() }
    }
}

/// Finds out where the request comes from, and gives it an id, which is returned: its answer says it, too.
pub fn identify(app: &App, request: &mut Request) -> Option<HeaderValue> {
    let info = look(app, request);
    let id = HeaderValue::from_str(&info.request_id).ok();
    request.extensions_mut().insert(info);
    id
}

fn look(app: &App, request: &Request) -> ClientInfo {
    let peer = request.extensions().get::<Peer>().copied();
    let trust = app.trusted_proxies.load();
    let headers = request.headers();
    let is_proxied = peer.is_some_and(|peer| peer.is_trusted(&trust));
    let told = peer.map(|peer| forwarded::read(&peer, headers, &trust));
    // A trusted proxy that does not say is in front of a server that is reached by https, or not.
    let is_tls = peer.is_some_and(|peer| peer.is_tls) || (is_proxied && app.config.is_https());
    let host = headers.get(header::HOST).map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned());
    ClientInfo {
        ip: told.map_or(Address::UNKNOWN, |told| Address(told.ip)),
        is_https: told.and_then(|told| told.is_https).unwrap_or(is_tls),
        is_from_unknown_proxy: !is_proxied && forwarded::is_forwarded(headers, &trust),
        host: host.unwrap_or_default(),
        request_id: secret::random_uuid().map(|id| id.simple().to_string()).unwrap_or_default(),
    }
}
