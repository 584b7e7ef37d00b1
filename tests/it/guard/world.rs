//! A server with guarded apps, a proxy in front of them, and browsers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;

use reqwest::header::{HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use rollcall::actions::app::App;
use rollcall::domain::application::{Application, Provider};
use rollcall::store::StoreError;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::support::{Answer, TestApp, TestDb, caller};

/// Rollcall's own host.
pub const HOME: &str = "id.example";
/// The host of the app "wiki", and of "shop".
pub const WIKI: &str = "wiki.example";
pub const SHOP: &str = "shop.other";
/// A browser that loads a page at its top level.
pub const PAGE: [(&str, &str); 3] = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"), ("accept", "text/html")];

/// A server under the public URL `https://id.example` that trusts the proxy on 127.0.0.1.
pub async fn server(db: TestDb) -> TestApp {
    server_with(db, &[]).await
}

pub async fn server_with(db: TestDb, settings: &[(&str, &str)]) -> TestApp {
    let home = format!("https://{HOME}");
    let own = [("HTTP__PUBLIC_URL", home.as_str()), ("HTTP__TRUSTED_PROXIES", "127.0.0.1")];
    TestApp::with(db, &[&own, settings].concat()).await
}

/// One more server on the same database, with these settings, and its address. It serves while the test runs.
pub async fn second_node(app: &TestApp, settings: &[(&str, &str)]) -> (App, SocketAddr) {
    let home = format!("https://{HOME}");
    let own = [("HTTP__PUBLIC_URL", home.as_str()), ("HTTP__TRUSTED_PROXIES", "127.0.0.1")];
    let node = app.restarted(&[&own, settings].concat()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(rollcall::server::serve(listener, rollcall::server::router(&node), std::future::pending()));
    (node, address)
}

/// Adds an application with a guard, or changes the one of that slug.
pub async fn add_app(app: &TestApp, slug: &str, access: Value, guard: Value) -> i64 {
    let (now, slug) = (app.app.clock.now(), slug.to_owned());
    let added: Result<i64, StoreError> = app
        .app
        .store
        .write(move |db| {
            Box::pin(async move {
                db.lock_applications().await?;
                let access: rollcall::domain::application::demand::Demand = serde_json::from_value(access).expect("a demand");
                let guard = serde_json::from_value(guard).expect("a guard");
                if let Some(mut known) = db.lock_application(&slug).await? {
                    known.access = access;
                    db.update_application(&known).await?;
                    db.update_guard(&Provider { guard, ..known.provider.expect("a guard") }).await?;
                    return Ok(known.id);
                }
                let mut random = [0; 16];
                getrandom::fill(&mut random).expect("randomness");
                let mut new = Application::new(0, Uuid::from_bytes(random), slug.clone(), format!("The {slug}"), now);
                new.access = access;
                let id = db.insert_application(&new).await?;
                let name = format!("Guard of {slug}");
                db.insert_guard(&Provider { id: 0, name, application: Some(id), guard, kept: serde_json::Map::new() }).await?;
                Ok(id)
            })
        })
        .await;
    added.expect("the application is added")
}

/// The wiki, for everybody who is signed in, and the shop, for nobody.
pub async fn two_apps(app: &TestApp) {
    add_app(app, "wiki", json!({"allow": "signed_in"}), json!({"hosts": [WIKI]})).await;
    add_app(app, "shop", json!({"allow": "nobody"}), json!({"hosts": [SHOP]})).await;
}

/// A browser. It keeps the cookies of each host, and sends them over https.
pub struct Browser<'a> {
    pub app: &'a TestApp,
    cookies: Mutex<BTreeMap<(String, String), String>>,
    client: reqwest::Client,
    /// The address that the proxy tells.
    pub ip: &'static str,
}

impl<'a> Browser<'a> {
    pub fn new(app: &'a TestApp) -> Self {
        let client = reqwest::Client::builder().redirect(Policy::none()).no_proxy().build().unwrap();
        Self { app, cookies: Mutex::default(), client, ip: "192.0.2.1" }
    }

    /// With a session of this user.
    pub async fn of(app: &'a TestApp, name: &str) -> Self {
        let browser = Self::new(app);
        browser.sign_in(name).await;
        browser
    }

    /// Gives it a new session of this user; its uuid.
    pub async fn sign_in(&self, name: &str) -> String {
        let session = self.app.known(name).await.session().await;
        self.set_cookie(HOME, "__Host-rollcall_session", &session.key);
        session.uuid
    }

    pub fn set_cookie(&self, host: &str, name: &str, value: &str) {
        self.cookies.lock().unwrap().insert((host.to_owned(), name.to_owned()), value.to_owned());
    }

    pub fn cookie(&self, host: &str, name: &str) -> Option<String> {
        self.cookies.lock().unwrap().get(&(host.to_owned(), name.to_owned())).cloned()
    }

    /// The names of a host's cookies.
    pub fn cookie_names(&self, host: &str) -> Vec<String> {
        self.cookies.lock().unwrap().keys().filter(|(of, _)| of == host).map(|(_, name)| name.clone()).collect()
    }

    pub fn forget(&self, host: &str) {
        self.cookies.lock().unwrap().retain(|(of, _), _| of != host);
    }

    /// The `Cookie` header for a host.
    pub fn cookie_header(&self, host: &str) -> String {
        let cookies = self.cookies.lock().unwrap();
        let pairs = cookies.iter().filter(|((of, _), _)| of == host).map(|((_, name), value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join("; ")
    }

    /// A request that the proxy passes on to Rollcall as it is.
    pub async fn send(&self, method: &str, host: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let own = [("host", host), ("x-forwarded-proto", "https"), ("x-forwarded-for", self.ip)];
        let cookie = self.cookie_header(host);
        let cookie = (!cookie.is_empty()).then_some(("cookie", cookie.as_str()));
        let all: Vec<(&str, &str)> = own.into_iter().chain(cookie).chain(headers.iter().copied()).collect();
        let answer = self.send_as(method, path, &all).await;
        self.keep(host, &answer);
        answer
    }

    /// A request with these headers and no others.
    pub async fn send_as(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let url = format!("http://{}{path}", self.app.address);
        let mut request = self.client.request(method.parse().unwrap(), url);
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            request = request.header(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        caller::send(request).await
    }

    pub fn keep(&self, host: &str, answer: &Answer) {
        for line in answer.headers.get_all("set-cookie") {
            let line = line.to_str().unwrap();
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            if line.contains("Max-Age=0") {
                self.cookies.lock().unwrap().remove(&(host.to_owned(), name.to_owned()));
            } else {
                self.set_cookie(host, name, value);
            }
        }
    }

    /// The proxy of this kind asks about a request of the browser.
    pub async fn ask(&self, kind: &str, slug: &str, (method, host, path): (&str, &str, &str), headers: &[(&str, &str)]) -> Answer {
        let cookie = self.cookie_header(host);
        let url = format!("https://{host}{path}");
        let mut all = vec![("x-forwarded-for", self.ip)];
        let mut address = format!("/guard/{kind}/{slug}");
        match kind {
            "nginx" => all.extend([("host", host), ("x-original-url", url.as_str()), ("x-original-method", method)]),
            "envoy" => {
                address.push_str(path);
                all.extend([("host", host), ("x-forwarded-proto", "https")]);
            }
            _ => all.extend([
                ("host", "127.0.0.1:9000"),
                ("x-forwarded-host", host),
                ("x-forwarded-uri", path),
                ("x-forwarded-method", method),
                ("x-forwarded-proto", "https"),
            ]),
        }
        if !cookie.is_empty() {
            all.push(("cookie", cookie.as_str()));
        }
        all.extend_from_slice(headers);
        let own_method = if kind == "envoy" { method } else { "GET" };
        self.send_as(own_method, &address, &all).await
    }

    /// Opens a page of an app behind a proxy of this kind, through all redirects. The last answer is the check's, or that of
    /// a page of Rollcall's.
    pub async fn open(&self, kind: &str, slug: &str, url: &str) -> Answer {
        let mut url = url.to_owned();
        for _ in 0..12 {
            let (host, path) = split(&url);
            let is_apps = host != HOME && !path.starts_with("/.rollcall/");
            let answer = match is_apps {
                true => self.ask(kind, slug, ("GET", &host, &path), &PAGE).await,
                false => self.send("GET", &host, &path, &PAGE).await,
            };
            let next = answer.header("location").or_else(|| answer.header("refresh")?.strip_prefix("0; url="));
            match next {
                Some(to) if to.starts_with('/') => url = format!("https://{host}{to}"),
                Some(to) => url = to.to_owned(),
                None => return answer,
            }
        }
        panic!("the redirects do not end: {url}");
    }
}

/// Host, and path with query, of an address.
pub fn split(url: &str) -> (String, String) {
    let rest = url.strip_prefix("https://").unwrap_or_else(|| panic!("{url}"));
    let at = rest.find('/').unwrap_or_else(|| panic!("{url}"));
    (rest[..at].to_owned(), rest[at..].to_owned())
}

/// The kinds of proxies.
pub const KINDS: [&str; 4] = ["nginx", "caddy", "traefik", "envoy"];

impl Browser<'_> {
    /// Sends a form of a page of Rollcall's own.
    pub async fn post(&self, host: &str, path: &str, form: &str) -> Answer {
        let url = format!("http://{}{path}", self.app.address);
        let request = self.client.post(url).header("host", host).header("x-forwarded-proto", "https");
        let request = request.header("x-forwarded-for", self.ip).header("cookie", self.cookie_header(host));
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(form.to_owned());
        let answer = caller::send(request).await;
        self.keep(host, &answer);
        answer
    }
}
