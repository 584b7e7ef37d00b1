//! Nothing that hangs on an ended session is honoured, on any node, while clients use it.

use std::future::ready;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rollcall::domain::user::TokenIntent;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::app::{App, CALLBACK, VERIFIER, register};
use crate::guard::world::{Browser, HOME, PAGE, second_node, server_with};
use crate::process::within;
use crate::support::{Caller, SESSIONS};

/// How many sessions end, and how many clients use each at once.
const SESSIONS_ENDED: usize = 20;
const CLIENTS: usize = 8;
/// How often a session is used before its end at least.
const BEFORE: usize = 60;
/// How many codes each client keeps for after the end.
const CODES: usize = 4;
/// How long a busy machine may take until a session was used so often.
const PATIENCE: Duration = Duration::from_secs(120);

/// How many tries begin after the answers to the ends. `REVOKE_REQUESTS` sets another number.
fn tries() -> usize {
    std::env::var("REVOKE_REQUESTS").ok().map_or(10_000, |text| text.parse().expect("REVOKE_REQUESTS is a number"))
}

/// What a try came to.
#[derive(Clone, Copy, PartialEq)]
enum Came {
    Honoured,
    Refused,
    /// The database had too much to do: nothing was given.
    Busy,
}

/// A client of two apps, which asks one node, and what it holds of a session.
struct Client {
    http: reqwest::Client,
    node: SocketAddr,
    /// The app with opaque access tokens, and the one whose access tokens are JWTs: client and secret.
    wiki: (String, String),
    jwt: (String, String),
    /// An access token of each.
    opaque: String,
    signed: String,
    refresh: String,
    codes: Vec<String>,
}

impl Client {
    async fn of(node: SocketAddr, wiki: &App<'_>, jwt: &App<'_>, browser: &Browser<'_>) -> Self {
        let text = |tokens: &Value, name: &str| tokens[name].as_str().unwrap().to_owned();
        let (tokens, of_jwt) = (wiki.tokens(browser).await, jwt.tokens(browser).await);
        let mut codes = Vec::new();
        for _ in 0..CODES {
            codes.push(wiki.code(browser, &[]).await);
        }
        Self {
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            node,
            wiki: (wiki.id.clone(), wiki.secret.clone()),
            jwt: (jwt.id.clone(), jwt.secret.clone()),
            opaque: text(&tokens, "access_token"),
            signed: text(&of_jwt, "access_token"),
            refresh: text(&tokens, "refresh_token"),
            codes,
        }
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> (u16, Value) {
        let request = request.header("host", HOME).header("x-forwarded-proto", "https").header("x-forwarded-for", "192.0.2.99");
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        assert!([200, 400, 401, 503].contains(&status), "{status}: {text}");
        (status, serde_json::from_str(&text).unwrap_or_default())
    }

    async fn post(&self, path: &str, (id, secret): &(String, String), fields: &[(&str, &str)]) -> (u16, Value) {
        let request = self.http.post(format!("http://{}/application/o/{path}/", self.node));
        self.send(request.basic_auth(id, Some(secret)).form(fields)).await
    }

    async fn userinfo(&self, token: &str) -> (u16, bool) {
        let request = self.http.get(format!("http://{}/application/o/userinfo/", self.node)).bearer_auth(token);
        let (status, _) = self.send(request).await;
        (status, status == 200)
    }

    async fn introspect(&self, app: &(String, String), token: &str) -> (u16, bool) {
        let (status, told) = self.post("introspect", app, &[("token", token)]).await;
        (status, told["active"] == true)
    }

    async fn rotate(&mut self) -> (u16, bool) {
        let fields = [("grant_type", "refresh_token"), ("refresh_token", self.refresh.as_str())];
        let (status, tokens) = self.post("token", &self.wiki, &fields).await;
        if let Some(next) = tokens["refresh_token"].as_str() {
            self.refresh = next.to_owned();
            self.opaque = tokens["access_token"].as_str().unwrap().to_owned();
        }
        (status, status == 200)
    }

    async fn redeem(&mut self) -> (u16, bool) {
        let code = if self.codes.len() > 1 { self.codes.pop().unwrap() } else { self.codes[0].clone() };
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ];
        let (status, _) = self.post("token", &self.wiki, &fields).await;
        (status, status == 200)
    }

    /// Tries one thing after another. Codes are kept for after the end.
    async fn attempt(&mut self, nth: usize, is_after: bool) -> Came {
        let (status, is_honoured) = match nth % 7 {
            0 => self.userinfo(&self.opaque).await,
            1 => self.userinfo(&self.signed).await,
            2 => self.introspect(&self.wiki, &self.opaque).await,
            3 => self.introspect(&self.jwt, &self.signed).await,
            4 => self.introspect(&self.wiki, &self.refresh).await,
            5 if is_after => self.redeem().await,
            _ => self.rotate().await,
        };
        match (status, is_honoured) {
            (503, _) => Came::Busy,
            (_, true) => Came::Honoured,
            _ => Came::Refused,
        }
    }
}

/// What all clients of a session saw.
#[derive(Default)]
struct Seen {
    is_ended: AtomicBool,
    is_done: AtomicBool,
    /// Honoured before the end.
    before: AtomicUsize,
    /// Begun after the end was answered, and how many of these were honoured.
    after: AtomicUsize,
    honoured: AtomicUsize,
}

/// Uses a session, ends it, and tries what hangs on it so often; how many tries there were, and how many were honoured.
async fn none_after(clients: Vec<Client>, wanted: usize, end: impl Future<Output = ()>) -> (usize, usize) {
    let seen = Arc::new(Seen::default());
    let mut running = JoinSet::new();
    for (first, mut client) in clients.into_iter().enumerate() {
        let seen = Arc::clone(&seen);
        running.spawn(async move {
            for nth in first.. {
                if seen.is_done.load(Ordering::SeqCst) {
                    break;
                }
                let is_after = seen.is_ended.load(Ordering::SeqCst);
                match (is_after, client.attempt(nth, is_after).await) {
                    (_, Came::Busy) => {}
                    (true, came) => {
                        seen.honoured.fetch_add(usize::from(came == Came::Honoured), Ordering::SeqCst);
                        if seen.after.fetch_add(1, Ordering::SeqCst) + 1 >= wanted {
                            seen.is_done.store(true, Ordering::SeqCst);
                        }
                    }
                    (false, came) => drop(seen.before.fetch_add(usize::from(came == Came::Honoured), Ordering::SeqCst)),
                }
            }
        });
    }
    within(PATIENCE, "that the session is used", || ready((seen.before.load(Ordering::SeqCst) >= BEFORE).then_some(()))).await;
    end.await;
    seen.is_ended.store(true, Ordering::SeqCst);
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
    (seen.after.load(Ordering::SeqCst), seen.honoured.load(Ordering::SeqCst))
}

db_test!(nothing_that_hangs_on_an_ended_session_is_honoured, |db| async move {
    const NO_BURST: [(&str, &str); 1] = [("SAFETY__BURST_SESSIONS", "0")];
    let app = server_with(db, &NO_BURST).await;
    app.seed_keys().await;
    let alice = app.user("alice").await;
    let wiki = register(&app, "wiki", json!({"algorithm": "ES256"})).await;
    let jwt = register(&app, "jwt", json!({"algorithm": "ES256", "access_token": "jwt"})).await;
    // On PostgreSQL half of the clients ask another node.
    let second = if app.db.is_sqlite() { None } else { Some(second_node(&app, &NO_BURST).await) };
    let nodes: Vec<SocketAddr> = [app.address].into_iter().chain(second.as_ref().map(|(_, address)| *address)).collect();
    let key = app.superuser("root").await.token_key(TokenIntent::Api, None).await;
    let wanted = tries().div_ceil(SESSIONS_ENDED);
    let (mut after, mut honoured) = (0, 0);
    for nth in 0..SESSIONS_ENDED {
        let browser = Browser::new(&app);
        let session = browser.sign_in("alice").await;
        let mut clients = Vec::new();
        for client in 0..CLIENTS {
            clients.push(Client::of(nodes[client % nodes.len()], &wiki, &jwt, &browser).await);
        }
        // Ended at one node and at the other, by the API and by its owner; and with very many others, which only records it.
        let door = Caller::new(nodes[nth % nodes.len()]).with_bearer(&key);
        let end = async {
            match nth % 4 {
                0 | 1 => drop(door.delete(&format!("{SESSIONS}{session}/")).await.assert_status(204)),
                2 => {
                    let page = browser.send("GET", HOME, "/sign-out", &PAGE).await;
                    browser.post(HOME, "/sign-out", &format!("proof={}", page.proof())).await.assert_status(303);
                }
                _ => assert_eq!(app.record_ends_of(alice.id.0, 100).await, 1),
            }
        };
        let (tried, let_in) = none_after(clients, wanted, end).await;
        after += tried;
        honoured += let_in;
        app.move_pending().await;
    }
    eprintln!("after the ends of {SESSIONS_ENDED} sessions, {honoured} of {after} tries on {} node(s) were honoured", nodes.len());
    assert!(after >= tries(), "{after}");
    assert_eq!(honoured, 0);
    assert_eq!(app.number("SELECT count(*) FROM oidc_tokens").await, 0, "nothing was given after an end");
});
