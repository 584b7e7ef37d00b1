//! The same journey through each of the four proxies.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use reqwest::redirect::Policy;
use rollcall::domain::application::Application;
use rollcall::domain::guard::kind::Kind;
use serde_json::{Value, json};

use super::echo::Echo;
use super::process::Proxy;
use crate::guard::world::{PAGE, add_app};
use crate::support::{Answer, TestApp, TestDb, caller};

pub const HOME: &str = "id.example";
pub const WIKI: &str = "wiki.example";

/// A browser in front of a proxy.
#[derive(Clone)]
pub struct Person {
    client: reqwest::Client,
    /// Where each host is.
    hosts: Arc<BTreeMap<&'static str, String>>,
    cookies: Arc<Mutex<BTreeMap<(String, String), String>>>,
}

impl Person {
    pub fn new(app: &TestApp, proxy: &Proxy) -> Self {
        let hosts = [(HOME, app.address.to_string()), (WIKI, format!("127.0.0.1:{}", proxy.port))];
        let client = reqwest::Client::builder().redirect(Policy::none()).no_proxy().build().unwrap();
        Self { client, hosts: Arc::new(hosts.into()), cookies: Arc::default() }
    }

    pub async fn sign_in(&self, app: &TestApp, name: &str) -> String {
        let session = app.known(name).await.session().await;
        self.cookies.lock().unwrap().insert((HOME.to_owned(), "rollcall_session".to_owned()), session.key.clone());
        session.uuid
    }

    pub async fn send(&self, method: &str, host: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = self.client.request(method.parse().unwrap(), format!("http://{}{path}", self.hosts[host]));
        request = request.header("host", host);
        let cookie = {
            let cookies = self.cookies.lock().unwrap();
            let pairs = cookies.iter().filter(|((of, _), _)| of == host).map(|((_, name), value)| format!("{name}={value}"));
            pairs.collect::<Vec<_>>().join("; ")
        };
        if !cookie.is_empty() {
            request = request.header("cookie", cookie);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = caller::send(request).await;
        for line in answer.headers.get_all("set-cookie") {
            let line = line.to_str().unwrap();
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            let key = (host.to_owned(), name.to_owned());
            match line.contains("Max-Age=0") {
                true => drop(self.cookies.lock().unwrap().remove(&key)),
                false => drop(self.cookies.lock().unwrap().insert(key, value.to_owned())),
            }
        }
        answer
    }

    /// Signs in to the app's host, and opens no page of the app.
    pub async fn step_in(&self) {
        let (mut host, mut path) = (WIKI.to_owned(), "/.rollcall/start?rd=%2F".to_owned());
        while host == HOME || path.starts_with("/.rollcall/") {
            let answer = self.send("GET", &host, &path, &PAGE).await;
            let to = answer.header("location").unwrap_or_else(|| panic!("{host}{path}: {}", answer.text()));
            match to.strip_prefix("http://") {
                Some(rest) => {
                    let at = rest.find('/').unwrap();
                    (host, path) = (rest[..at].to_owned(), rest[at..].to_owned());
                }
                None => path = to.to_owned(),
            }
        }
    }

    /// A request to the app with these cookies and no others.
    pub async fn send_with_cookie(&self, path: &str, cookie: &str) -> Answer {
        let request = self.client.get(format!("http://{}{path}", self.hosts[WIKI])).header("host", WIKI).header("cookie", cookie);
        caller::send(request).await
    }

    /// The cookies of the app's host, as a header.
    pub fn cookie(&self) -> String {
        let cookies = self.cookies.lock().unwrap();
        let pairs = cookies.iter().filter(|((of, _), _)| of == WIKI).map(|((_, name), value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join("; ")
    }

    /// Opens an address and follows redirects.
    pub async fn open(&self, path: &str) -> Answer {
        let (mut host, mut path) = (WIKI.to_owned(), path.to_owned());
        for _ in 0..10 {
            let answer = self.send("GET", &host, &path, &PAGE).await;
            let Some(to) = answer.header("location") else { return answer };
            match to.strip_prefix("http://") {
                Some(rest) => {
                    let at = rest.find('/').unwrap();
                    (host, path) = (rest[..at].to_owned(), rest[at..].to_owned());
                }
                None => path = to.to_owned(),
            }
        }
        panic!("the redirects do not end at {host}{path}");
    }
}

/// The values that the app got under a name, in any spelling that some server reads as that name.
pub fn got(answer: &Answer, name: &str) -> Vec<String> {
    let told: Value = answer.json();
    let headers = told["headers"].as_array().unwrap().iter();
    let same = |header: &&Value| header[0].as_str().unwrap().to_lowercase().replace(['_', '.'], "-") == name;
    headers.filter(same).map(|header| header[1].as_str().unwrap().to_owned()).collect()
}

pub async fn the_app(app: &TestApp, slug: &str) -> Application {
    Application::clone(app.app.store.applications().await.unwrap().by_slug(slug).unwrap())
}

pub async fn set_up(kind: Kind, db: TestDb) -> Option<(TestApp, Echo, Proxy)> {
    let home = format!("http://{HOME}");
    let app = TestApp::with(db, &[("HTTP__PUBLIC_URL", &home), ("HTTP__TRUSTED_PROXIES", "127.0.0.1")]).await;
    let rules = json!([
        {"paths": ["/public/**"], "allow": "anyone"},
        {"paths": ["/closed/**"], "allow": "nobody"},
        {"paths": ["/api/**"], "app_passwords": true},
    ]);
    add_app(&app, "wiki", json!({"allow": "signed_in"}), json!({"hosts": [WIKI], "rules": rules})).await;
    app.user("alice").await;
    app.superuser("root").await;
    let echo = Echo::start().await;
    let proxy = Proxy::start(kind, &the_app(&app, "wiki").await, &echo.address.to_string(), &app.address.to_string())?;
    Some((app, echo, proxy))
}

async fn journey(kind: Kind, db: TestDb) {
    let Some((app, echo, proxy)) = set_up(kind, db).await else { return };
    let person = Person::new(&app, &proxy);

    // Without a session nothing reaches the app.
    let page = person.send("GET", WIKI, "/a?b=1&c=2", &PAGE).await;
    assert_eq!(page.status, 302, "{kind} {}", page.text());
    assert!(page.header("location").unwrap().starts_with("http://wiki.example/.rollcall/start?rd="), "{kind}");
    for (method, path) in
        [("GET", "/a"), ("POST", "/a"), ("OPTIONS", "/a"), ("GET", "//"), ("GET", "/public/../a"), ("GET", "/public/%2e%2e/a")]
    {
        let answer = person.send(method, WIKI, path, &[]).await;
        assert!([400, 401, 403, 302, 307, 308].contains(&answer.status), "{kind} {method} {path}: {}", answer.status);
    }
    assert_eq!(echo.count(), 0, "{kind}");

    // Sign in, and come back to the page.
    let session = person.sign_in(&app, "alice").await;
    let opened = person.open("/a?b=1&c=2").await.assert_status(200);
    assert_eq!(
        (got(&opened, "remote-user"), opened.json()["path"].as_str()),
        (vec!["alice".to_owned()], Some("/a?b=1&c=2")),
        "{kind}"
    );
    assert_eq!(got(&opened, "cookie"), [""; 0], "{kind}: the app does not see our cookies");
    let again = person.send("POST", WIKI, "/a", &[("authorization", "MediaBrowser Token=\"x\"")]).await.assert_status(200);
    assert_eq!(
        (got(&again, "cookie"), got(&again, "authorization")),
        (vec!["own=1".to_owned()], vec!["MediaBrowser Token=\"x\"".to_owned()])
    );

    // What a caller sends of an identity does not arrive, neither with one nor without.
    let forged = [
        ("remote-user", "admin"),
        ("remote-groups", "admins"),
        ("remote-email", "root@example"),
        ("remote_user", "admin"),
        ("remote.user", "admin"),
        ("x-rollcall-jwt", "forged"),
    ];
    for (path, want) in [("/a", vec!["alice".to_owned()]), ("/public/a", Vec::new())] {
        for one in forged {
            let answer = person.send("GET", WIKI, path, &[one]).await;
            // Envoy refuses names with underscores altogether.
            if kind == Kind::Envoy && one.0.contains('_') {
                assert_eq!(answer.status, 400);
                continue;
            }
            let answer = answer.assert_status(200);
            assert_eq!(got(&answer, "remote-user"), want, "{kind} {path} {one:?}");
            for name in ["remote-groups", "remote-email", "x-rollcall-jwt"] {
                assert_eq!(got(&answer, name), [""; 0], "{kind} {path} {one:?}");
            }
        }
    }
    // A hop-by-hop header cannot take the identity off.
    let hop = person.send("GET", WIKI, "/a", &[("connection", "close, remote-user")]).await;
    assert!(hop.status == 400 || got(&hop, "remote-user") == ["alice"], "{kind} {}", hop.status);

    // What is refused has a page, also for those who are known.
    let before = echo.count();
    let closed = person.send("GET", WIKI, "/closed/x", &PAGE).await.assert_status(403);
    assert!(closed.text().contains("The wiki"), "{kind} {}", closed.text());
    for path in ["/x/..%2fclosed/a", "/%63losed/x", "/closed;x/a", "/CLOSED/x", "//closed/x"] {
        let answer = person.send("GET", WIKI, path, &[]).await;
        assert_ne!(answer.status, 200, "{kind} {path}");
    }
    assert_eq!(echo.count(), before, "{kind}");

    // Large bodies pass both ways.
    let large = vec![b'y'; 10 * 1024 * 1024];
    let mut request = person.client.post(format!("http://127.0.0.1:{}/up", proxy.port)).header("host", WIKI);
    let key = person.cookies.lock().unwrap().get(&(WIKI.to_owned(), "rollcall_app".to_owned())).unwrap().clone();
    request = request.header("cookie", format!("rollcall_app={key}")).body(large);
    assert_eq!(caller::send(request).await.assert_status(200).json()["body"], 10 * 1024 * 1024, "{kind}");
    assert_eq!(person.send("GET", WIKI, "/large", &[]).await.bytes.len(), 10 * 1024 * 1024, "{kind}");

    app_password(kind, &app, &person).await;
    revoke(kind, &app, &person, &session).await;

    // Signing out at the app.
    let session = person.sign_in(&app, "alice").await;
    person.open("/a").await.assert_status(200);
    let own = [PAGE.as_slice(), &[("sec-fetch-site", "same-origin")]].concat();
    person.send("GET", WIKI, "/.rollcall/sign-out", &own).await.assert_status(200);
    assert_eq!(app.ending(&session).await.unwrap().0, "signed_out", "{kind}");
    assert_eq!(person.send("GET", WIKI, "/a", &[]).await.status, 401, "{kind}");

    // Without Rollcall everything is closed.
    let before = echo.count();
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let orphan = Proxy::start(kind, &the_app(&app, "wiki").await, &echo.address.to_string(), &nowhere).unwrap();
    let person = Person::new(&app, &orphan);
    for path in ["/", "/public/a", "/.rollcall/../a"] {
        let answer = person.send("GET", WIKI, path, &PAGE).await;
        assert!(answer.status >= 400, "{kind} {path}: {}", answer.status);
    }
    assert_eq!(echo.count(), before, "{kind}");
}

/// A program with an app password reaches the paths that take one, and the app does not see it.
async fn app_password(kind: Kind, app: &TestApp, person: &Person) {
    let slugs = ["wiki".to_owned()];
    let alice = app.known("alice").await;
    let request = rollcall::actions::tokens::TokenRequest {
        intent: rollcall::domain::user::TokenIntent::AppPassword,
        identifier: None,
        description: String::new(),
        lives: None,
        key: None,
        scopes: rollcall::domain::scope::Scopes::default(),
        applications: Vec::new(),
        is_readable: false,
    };
    let by = rollcall::actions::by::By::Cli;
    let made = rollcall::actions::applications::passwords::add(&app.app, by, (alice.id, "alice"), &slugs, request).await;
    let key = made.unwrap().1;
    let program = Person { cookies: Arc::default(), ..person.clone() };
    let bearer = format!("Bearer {}", key.expose());
    let answer = program.send("GET", WIKI, "/api/x", &[("authorization", &bearer)]).await.assert_status(200);
    assert_eq!((got(&answer, "remote-user"), got(&answer, "authorization")), (vec!["alice".to_owned()], Vec::new()), "{kind}");
    let both = [("x-rollcall-key", key.expose()), ("authorization", "Token own")];
    let answer = program.send("GET", WIKI, "/api/x", &both).await.assert_status(200);
    assert_eq!(got(&answer, "authorization"), ["Token own"], "{kind}");
    assert_eq!(got(&answer, "x-rollcall-key"), [""; 0], "{kind}");
    assert_eq!(program.send("GET", WIKI, "/a", &[("authorization", &bearer)]).await.status, 403, "{kind}");
    assert_eq!(program.send("GET", WIKI, "/api/x", &[("authorization", "Bearer rcp_wrong")]).await.status, 401, "{kind}");
}

/// How many requests are made after the end. `REVOKE_REQUESTS` sets another number.
fn requests_after_end() -> usize {
    std::env::var("REVOKE_REQUESTS").ok().map_or(10_000, |text| text.parse().expect("REVOKE_REQUESTS is a number"))
}

/// A session is ended while 16 clients use it: from the answer on, no request reaches the app.
async fn revoke(kind: Kind, app: &TestApp, person: &Person, session: &str) {
    let (is_ended, is_done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (passed_before, after, passed_after) =
        (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let wanted = requests_after_end();
    let mut clients = Vec::new();
    for _ in 0..16 {
        let (person, is_ended, is_done) = (person.clone(), Arc::clone(&is_ended), Arc::clone(&is_done));
        let (passed_before, after, passed_after) = (Arc::clone(&passed_before), Arc::clone(&after), Arc::clone(&passed_after));
        clients.push(tokio::spawn(async move {
            while !is_done.load(Ordering::SeqCst) {
                // Begun after the end was acknowledged, or maybe before.
                let is_after = is_ended.load(Ordering::SeqCst);
                let answer = person.send("GET", WIKI, "/a", &[]).await;
                let passed = answer.status == 200;
                match (is_after, passed) {
                    (true, passed) => {
                        passed_after.fetch_add(usize::from(passed), Ordering::SeqCst);
                        if after.fetch_add(1, Ordering::SeqCst) + 1 >= wanted {
                            is_done.store(true, Ordering::SeqCst);
                        }
                    }
                    (false, true) => drop(passed_before.fetch_add(1, Ordering::SeqCst)),
                    (false, false) => {}
                }
            }
        }));
    }
    while passed_before.load(Ordering::SeqCst) < 200 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let admin = app.known("root").await.token().await;
    admin.delete(&format!("{}{session}/", crate::support::SESSIONS)).await.assert_status(204);
    is_ended.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }
    let (after, passed) = (after.load(Ordering::SeqCst), passed_after.load(Ordering::SeqCst));
    eprintln!("{kind}: after the end of a session, {passed} of {after} requests were let in");
    assert_eq!(passed, 0, "{kind}");
}

db_test!(nginx, |db| async move { journey(Kind::Nginx, db).await });
db_test!(caddy, |db| async move { journey(Kind::Caddy, db).await });
db_test!(traefik, |db| async move { journey(Kind::Traefik, db).await });
db_test!(envoy, |db| async move { journey(Kind::Envoy, db).await });
