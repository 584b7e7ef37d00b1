//! People whose sessions have an app open, at a server that runs as a process of its own.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use super::told::Told;
use crate::crash::{Gone, cheap_hash, client, cookie, set_cookie};
use crate::guard::world::PAGE;
use crate::oidc::app::{CALLBACK, VERIFIER, challenge, pairs_of};
use crate::process::{Home, PASSWORD, SESSIONS, TOKEN, free_port, within};
use crate::support::{SIGN_IN_FLOW, encode};

/// The key of the first user that [`installed`] adds, and how many there are.
pub const FIRST_USER: i64 = 100;
pub const USERS: i64 = 4;
/// A lease, and what a busy machine takes in addition.
pub const LEASE_AND_MORE: Duration = Duration::from_secs(150);

/// Somebody who signs in, opens an app, and ends the session.
#[derive(Clone)]
pub struct Person {
    user: i64,
    http: Client,
    origin: String,
    /// The app, by its `client_id`, and its secret.
    app: &'static str,
    secret: String,
}

impl Person {
    pub fn new(user: i64, origin: &str, (app, secret): (&'static str, &str)) -> Self {
        Self { user, http: client(), origin: origin.to_owned(), app, secret: secret.to_owned() }
    }

    /// The key of a new session.
    pub async fn sign_in(&self) -> Result<String, Gone> {
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
    pub async fn open(&self, key: &str) -> Result<Option<String>, Gone> {
        let (back, challenge, app) = (encode(CALLBACK), challenge(), self.app);
        let asked = format!(
            "{}/application/o/authorize/?client_id={app}&redirect_uri={back}&response_type=code&scope=openid&code_challenge={challenge}\
             &code_challenge_method=S256",
            self.origin
        );
        let request = PAGE.iter().fold(self.http.get(asked), |request, (name, value)| request.header(*name, *value));
        let answer = request.header("cookie", cookie(key)).send().await.map_err(|_| Gone)?;
        let location = answer.headers().get("location").and_then(|to| to.to_str().ok()).unwrap_or_default().to_owned();
        let Some(code) = pairs_of(&location).remove("code") else { return Ok(None) };
        let form = format!("grant_type=authorization_code&code={code}&redirect_uri={back}&code_verifier={VERIFIER}");
        let request = self.http.post(format!("{}/application/o/token/", self.origin)).basic_auth(app, Some(&self.secret));
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
        let answer = request.send().await.map_err(|_| Gone)?;
        let tokens: Value = answer.json().await.map_err(|_| Gone)?;
        let Some(token) = tokens["id_token"].as_str() else { return Ok(None) };
        Ok(Some(claims(token)["sid"].as_str().unwrap().to_owned()))
    }

    /// A new session that has the app open, and these people's apps, too: its uuid.
    pub async fn opened(&self, more: &[&Self]) -> String {
        within(LEASE_AND_MORE, "a session that has its apps open", async || {
            let key = self.sign_in().await.ok()?;
            for other in more.iter() {
                other.open(&key).await.ok()??;
            }
            self.open(&key).await.ok()?
        })
        .await
    }

    /// The proof of the forms on the pages of the session with this key.
    pub async fn proof(&self, key: &str) -> String {
        let page = self.http.get(format!("{}/sessions", self.origin)).header("cookie", cookie(key)).send().await.unwrap();
        let text = page.text().await.unwrap();
        let proof = text.split("name=\"proof\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
        proof.unwrap_or_else(|| panic!("{text}")).to_owned()
    }

    /// Ends a session as its owner does on the page of their devices, in the session with this key and proof.
    pub async fn end_by_page(&self, (key, proof): (&str, &str), session: &str) -> Result<StatusCode, Gone> {
        let request = self.http.post(format!("{}/sessions/{session}/end", self.origin)).header("cookie", cookie(key));
        Ok(request.form(&[("proof", proof)]).send().await.map_err(|_| Gone)?.status())
    }

    /// Ends a session, as an administrator does by the API.
    pub async fn end(&self, session: &str) -> Result<StatusCode, Gone> {
        let request = self.http.delete(format!("{}{SESSIONS}{session}/", self.origin)).bearer_auth(TOKEN);
        Ok(request.send().await.map_err(|_| Gone)?.status())
    }
}

/// The claims of a token whose signature is not looked at here.
pub fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

/// The session that an app was told of by this form.
pub fn sid(form: &str) -> String {
    claims(form.strip_prefix("logout_token=").unwrap())["sid"].as_str().unwrap().to_owned()
}

/// The sessions of which an app was told since the last time, in order.
pub fn sids(told: &Told) -> Vec<String> {
    told.sent().iter().map(|form| sid(form)).collect()
}

/// Adds an app that is told of ends, which everybody may open; its secret.
pub fn add_app(home: &Home, app: &'static str, told: &Told) -> String {
    let args = ["app", "add", app, "--allow", "signed_in", "--client-id", app, "--redirect-uri", CALLBACK];
    home.ok(&[&args[..], &["--back-channel-uri", &told.address]].concat()).trim().to_owned()
}

/// An installation with the wiki and its users, at an address that stays; and the wiki's secret.
pub fn installed(home: Home, told: &Told) -> (Home, String) {
    let port = free_port();
    let home = home.with("ROLLCALL_LISTEN", &format!("127.0.0.1:{port}"));
    let home = home.with("ROLLCALL_HTTP__PUBLIC_URL", &format!("http://localhost:{port}"));
    let home = home.with("ROLLCALL_OUTBOUND__ALLOW", "127.0.0.0/8").with("ROLLCALL_SAFETY__BURST_SESSIONS", "0");
    let home = home.with_administrator().with("ROLLCALL_SESSIONS__REMEMBER_TIMEOUT", "0");
    let hash = cheap_hash();
    let user = |id| json!({"kind": "user", "id": id, "username": format!("person-{id}"), "password_hash": hash});
    home.import(&(FIRST_USER..FIRST_USER + USERS).map(user).collect::<Vec<_>>());
    let secret = add_app(&home, "wiki", told);
    (home, secret)
}

/// How many notices are not delivered.
pub async fn waiting(home: &Home) -> u64 {
    home.texts("SELECT CAST(count(*) AS TEXT) FROM logout_notices WHERE state <> 'delivered'").await[0].parse().unwrap()
}
