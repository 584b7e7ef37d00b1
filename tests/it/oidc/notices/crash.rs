//! Killed at any moment, the server tells each app of each end that was acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::told::Told;
use crate::crash::{Gone, cheap_hash, client, cookie, set_cookie};
use crate::guard::world::PAGE;
use crate::oidc::app::{CALLBACK, VERIFIER, challenge, pairs_of};
use crate::process::{Home, PASSWORD, SESSIONS, TOKEN, free_port, within};
use crate::support::{Dice, SIGN_IN_FLOW, encode};

/// How many sign in, open the app and end their session, one after another.
const CLIENTS: i64 = 4;
/// A lease, and what a busy machine takes in addition.
const LEASE_AND_MORE: Duration = Duration::from_secs(150);

/// What a client knows of the ends that it asked for.
#[derive(Default)]
struct Ends {
    /// Sessions that had the app open, and whose end was acknowledged.
    acknowledged: BTreeSet<String>,
    /// Those whose end was asked for.
    asked: BTreeSet<String>,
}

/// Somebody who signs in, opens the app, and ends the session.
#[derive(Clone)]
struct Person {
    user: i64,
    http: Client,
    origin: String,
    secret: String,
    ends: Arc<Mutex<Ends>>,
}

impl Person {
    async fn live(&self) {
        while self.step().await.is_ok() {}
    }

    async fn step(&self) -> Result<(), Gone> {
        let key = self.sign_in().await?;
        let Some(session) = self.open(&key).await? else { return Ok(()) };
        self.ends.lock().unwrap().asked.insert(session.clone());
        let request = self.http.delete(format!("{}{SESSIONS}{session}/", self.origin)).bearer_auth(TOKEN);
        let answer = request.send().await.map_err(|_| Gone)?;
        if answer.status().is_success() {
            self.ends.lock().unwrap().acknowledged.insert(session);
        }
        Ok(())
    }

    async fn sign_in(&self) -> Result<String, Gone> {
        let post = |cookies: &str, body: Value| {
            self.http.post(format!("{}{SIGN_IN_FLOW}", self.origin)).header("cookie", cookies).json(&body).send()
        };
        let name = json!({"component": "ak-stage-identification", "uid_field": format!("person-{}", self.user)});
        let answer = post("", name).await.map_err(|_| Gone)?;
        let flow = set_cookie(&answer, "rollcall_flow").ok_or(Gone)?;
        let password = json!({"component": "ak-stage-password", "password": PASSWORD});
        let answer = post(&format!("rollcall_flow={flow}"), password).await.map_err(|_| Gone)?;
        set_cookie(&answer, "rollcall_session").ok_or(Gone)
    }

    /// Opens the app by a code; the session's uuid, as the ID token names it. `None`: the server was too busy.
    async fn open(&self, key: &str) -> Result<Option<String>, Gone> {
        let (back, challenge) = (encode(CALLBACK), challenge());
        let asked = format!(
            "{}/application/o/authorize/?client_id=wiki&redirect_uri={back}&response_type=code&scope=openid&code_challenge={challenge}\
             &code_challenge_method=S256",
            self.origin
        );
        let request = PAGE.iter().fold(self.http.get(asked), |request, (name, value)| request.header(*name, *value));
        let answer = request.header("cookie", cookie(key)).send().await.map_err(|_| Gone)?;
        let location = answer.headers().get("location").and_then(|to| to.to_str().ok()).unwrap_or_default().to_owned();
        let Some(code) = pairs_of(&location).remove("code") else { return Ok(None) };
        let form = format!("grant_type=authorization_code&code={code}&redirect_uri={back}&code_verifier={VERIFIER}");
        let request = self.http.post(format!("{}/application/o/token/", self.origin)).basic_auth("wiki", Some(&self.secret));
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
        let answer = request.send().await.map_err(|_| Gone)?;
        let tokens: Value = answer.json().await.map_err(|_| Gone)?;
        let Some(token) = tokens["id_token"].as_str() else { return Ok(None) };
        Ok(Some(claims(token)["sid"].as_str().unwrap().to_owned()))
    }
}

/// The claims of a token whose signature is not looked at here.
fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

/// An installation with the wiki and its users, at an address that stays.
fn installed(home: Home, told: &Told) -> (Home, String) {
    let port = free_port();
    let home = home.with("ROLLCALL_LISTEN", &format!("127.0.0.1:{port}"));
    let home = home.with("ROLLCALL_HTTP__PUBLIC_URL", &format!("http://localhost:{port}"));
    let home = home.with("ROLLCALL_OUTBOUND__ALLOW", "127.0.0.0/8").with("ROLLCALL_SAFETY__BURST_SESSIONS", "0");
    let home = home.with_administrator().with("ROLLCALL_SESSIONS__REMEMBER_TIMEOUT", "0");
    let hash = cheap_hash();
    let user = |id| json!({"kind": "user", "id": id, "username": format!("person-{id}"), "password_hash": hash});
    home.import(&(100..100 + CLIENTS).map(user).collect::<Vec<_>>());
    let app = ["app", "add", "wiki", "--allow", "signed_in", "--client-id", "wiki", "--redirect-uri", CALLBACK];
    let secret = home.ok(&[&app[..], &["--back-channel-uri", &told.address]].concat());
    (home, secret.trim().to_owned())
}

/// How many notices are in each state.
async fn waiting(home: &Home) -> u64 {
    home.texts("SELECT CAST(count(*) AS TEXT) FROM logout_notices WHERE state <> 'delivered'").await[0].parse().unwrap()
}

on_both!(killed_at_any_moment_it_tells_of_each_end, |home| async move {
    let kills: u32 = std::env::var("CRASH_KILLS").map_or(4, |kills| kills.parse().expect("CRASH_KILLS is a number"));
    let told = Told::start().await;
    let (home, secret) = installed(home, &told);
    let (ends, mut dice) = (Arc::new(Mutex::new(Ends::default())), Dice::new());
    let mut server = home.serve().await;
    for kill in 0..kills {
        let mut living = JoinSet::new();
        for user in 100..100 + CLIENTS {
            let (origin, secret, ends) = (server.origin.clone(), secret.clone(), Arc::clone(&ends));
            let person = Person { user, http: client(), origin, secret, ends };
            living.spawn(async move { person.live().await });
        }
        // Sometimes the app is slow, and sometimes it is busy or broken.
        told.is_answering(kill % 2 == 0);
        match dice.below(3) {
            0 => told.answers(200),
            1 => told.asks_to_wait(503, "1"),
            _ => told.answers(500),
        }
        let goal = ends.lock().unwrap().acknowledged.len() + 10;
        within(LEASE_AND_MORE, "a busy server", async || (ends.lock().unwrap().acknowledged.len() >= goal).then_some(())).await;
        tokio::time::sleep(dice.up_to(Duration::from_millis(300))).await;
        server.kill().await;
        living.join_all().await;
        told.is_answering(true);
        server = home.serve().await;
    }
    told.answers(200);
    home.ok(&["app", "notices", "send", "wiki"]);
    within(LEASE_AND_MORE, "that all is told", async || (waiting(&home).await == 0).then_some(())).await;
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for form in told.sent() {
        let said = claims(form.strip_prefix("logout_token=").unwrap());
        assert!(seen.insert(said["jti"].as_str().unwrap().to_owned()), "each try has a token of its own");
        *times.entry(said["sid"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    let ends = ends.lock().unwrap();
    let untold: Vec<&String> = ends.acknowledged.iter().filter(|session| !times.contains_key(*session)).collect();
    assert_eq!(untold, Vec::<&String>::new(), "of {} ends", ends.acknowledged.len());
    let wrong: Vec<&String> = times.keys().filter(|session| !ends.asked.contains(*session)).collect();
    assert_eq!(wrong, Vec::<&String>::new(), "the app is told of no session that goes on");
    let tries: usize = times.values().sum();
    eprintln!("{kills} kills: {} ends acknowledged, the app was told of {} in {tries} tries", ends.acknowledged.len(), times.len());
    assert!(!server.log().contains("panicked"), "{}", server.log());
});

on_both!(killed_while_it_tells_it_tells_again, |home| async move {
    let told = Told::start().await;
    let (home, secret) = installed(home, &told);
    let server = home.serve().await;
    let person = Person { user: 100, http: client(), origin: server.origin.clone(), secret, ends: Arc::default() };
    // The app has the request, and Rollcall has no answer.
    told.is_answering(false);
    person.step().await.expect("the server is there");
    within(LEASE_AND_MORE, "the first try", async || (told.count() == 1).then_some(())).await;
    server.kill().await;
    told.is_answering(true);
    let server = home.serve().await;
    // Another end is told of while the first one waits.
    person.step().await.expect("the server is there");
    within(LEASE_AND_MORE, "that both are told", async || (waiting(&home).await == 0).then_some(())).await;
    let said: Vec<Value> = told.sent().iter().map(|form| claims(form.strip_prefix("logout_token=").unwrap())).collect();
    assert_eq!((said.len(), &said[2]["sid"]), (3, &said[0]["sid"]), "{said:?}");
    assert!(said[2]["jti"] != said[0]["jti"] && said[1]["sid"] != said[0]["sid"], "{said:?}");
    // It is seen from outside, too.
    let session = said[0]["sid"].as_str().unwrap();
    let shown: Value = serde_json::from_str(&home.ok(&["session", "show", session, "--json"])).unwrap();
    assert_eq!(shown["applications"][0]["notice"]["state"], "delivered", "{shown}");
    let rows = home.rows(&["app", "notices", "list", "wiki", "--json"]);
    assert_eq!((rows.len(), &rows[1]["tries"], &rows[1]["state"]), (2, &json!(2), &json!("delivered")), "{rows:?}");
    let listed = server.call(Method::GET, &format!("/api/v3/core/logout_notices/?session={session}"), TOKEN).await;
    let listed: Value = listed.json().await.unwrap();
    assert_eq!(listed["results"][0]["state"], "delivered", "{listed}");
    assert_eq!(home.ok(&["app", "notices", "test", "wiki"]), "the app answered 204\n");
});
