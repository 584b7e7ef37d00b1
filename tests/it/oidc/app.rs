//! An app that signs its users in by OpenID Connect, and browsers that bring its requests.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rollcall::actions::applications::clients::{ClientWish, add_secret};
use rollcall::actions::applications::{self, ApplicationChange};
use rollcall::actions::by::By;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::verified;
use crate::guard::world::{Browser, HOME, PAGE};
use crate::support::app::PASSWORD;
use crate::support::{Answer, TestApp, encode};

pub const CALLBACK: &str = "https://app.example/cb";
pub const AFTER: &str = "https://app.example/bye";
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

/// The client of an application.
pub struct App<'a> {
    pub app: &'a TestApp,
    pub slug: &'static str,
    pub id: String,
    pub secret: String,
}

/// Adds an application with a client, which everybody who is signed in may open.
pub async fn register<'a>(app: &'a TestApp, slug: &'static str, settings: Value) -> App<'a> {
    let mut client =
        json!({"redirect_uris": [CALLBACK, "http://127.0.0.1/cb", "com.example.app:/cb"], "post_logout_uris": [AFTER]});
    client.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    let client: rollcall::domain::application::client::Client = serde_json::from_value(client).unwrap();
    let is_public = client.is_public;
    let wanted = ApplicationChange {
        slug: Some(slug.to_owned()),
        name: Some(format!("The {slug}")),
        access: Some(serde_json::from_value(json!({"allow": "signed_in"})).unwrap()),
        client: Some(Some(ClientWish { client_id: None, client })),
        ..ApplicationChange::default()
    };
    let added = applications::add(&app.app, By::Cli, wanted).await.unwrap();
    let secret = if is_public { String::new() } else { add_secret(&app.app, By::Cli, slug).await.unwrap().expose().to_owned() };
    App { app, slug, id: added.client.unwrap().client_id, secret }
}

impl App<'_> {
    pub fn issuer(&self) -> String {
        format!("https://{HOME}/application/o/{}/", self.slug)
    }

    /// The address of a request to authorize, with these parameters and the usual ones; `None` leaves one of those out.
    pub fn request(&self, more: &[(&str, Option<&str>)]) -> String {
        let challenge = challenge();
        let usual = [
            ("client_id", self.id.as_str()),
            ("redirect_uri", CALLBACK),
            ("response_type", "code"),
            ("scope", "openid profile email offline_access"),
            ("state", "the state"),
            ("nonce", "the nonce"),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
        ];
        let kept = usual.into_iter().filter(|(name, _)| more.iter().all(|(other, _)| other != name));
        let given = kept.chain(more.iter().filter_map(|(name, value)| Some((*name, (*value)?))));
        let query: Vec<String> = given.map(|(name, value)| format!("{name}={}", encode(value))).collect();
        format!("/application/o/authorize/?{}", query.join("&"))
    }

    /// A code for the user of a browser.
    pub async fn code(&self, browser: &Browser<'_>, more: &[(&str, Option<&str>)]) -> String {
        let answer = browser.send("GET", HOME, &self.request(more), &PAGE).await.assert_status(302);
        returned(&answer).remove("code").unwrap_or_else(|| panic!("{}", answer.header("location").unwrap()))
    }

    /// A call of the app's server, which shows its secret by `Basic`.
    pub async fn call(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let basic = format!("Basic {}", STANDARD.encode(format!("{}:{}", self.id, self.secret)));
        let headers = [("authorization", basic.as_str())];
        post(self.app, path, fields, if self.secret.is_empty() { &[] } else { &headers }).await
    }

    pub async fn redeem(&self, code: &str) -> Answer {
        let fields =
            [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", CALLBACK), ("code_verifier", VERIFIER)];
        self.call("/application/o/token/", &fields).await
    }

    /// The tokens of a browser's user.
    pub async fn tokens(&self, browser: &Browser<'_>) -> Value {
        let code = self.code(browser, &[]).await;
        self.redeem(&code).await.assert_status(200).json()
    }

    pub async fn refresh(&self, token: &str) -> Answer {
        self.call("/application/o/token/", &[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    }

    pub async fn userinfo(&self, token: &Value) -> Answer {
        let bearer = format!("Bearer {}", token.as_str().unwrap());
        Browser::new(self.app).send("GET", HOME, "/application/o/userinfo/", &[("authorization", &bearer)]).await
    }

    pub async fn is_active(&self, token: &str) -> bool {
        self.call("/application/o/introspect/", &[("token", token)]).await.assert_status(200).json()["active"] == true
    }

    /// The claims of an ID token, after the checks of an app.
    pub async fn claims(&self, tokens: &Value) -> Value {
        let keys = Browser::new(self.app).send("GET", HOME, &format!("/application/o/{}/jwks/", self.slug), &[]).await.json();
        let (header, claims) = verified(tokens["id_token"].as_str().unwrap(), &keys);
        assert_eq!(header.typ.as_deref(), Some("JWT"));
        assert_eq!((claims["iss"].as_str(), claims["aud"].as_str()), (Some(self.issuer().as_str()), Some(self.id.as_str())));
        claims
    }
}

/// A form that an app's server sends.
pub async fn post(app: &TestApp, path: &str, fields: &[(&str, &str)], headers: &[(&str, &str)]) -> Answer {
    let body: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let mut request = client.post(format!("http://{}{path}", app.address)).header("host", HOME).body(body.join("&"));
    request = request.header("content-type", "application/x-www-form-urlencoded").header("x-forwarded-proto", "https");
    request = request.header("x-forwarded-for", "192.0.2.99");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    crate::support::caller::send(request).await
}

/// The challenge of [`VERIFIER`].
pub fn challenge() -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER))
}

/// Proves by the password what `/confirm` asks for, to which this answer leads; the answer after that.
pub async fn confirm(browser: &Browser<'_>, led: &Answer) -> Answer {
    let confirm = led.redirects_to().to_owned();
    assert!(confirm.starts_with("/confirm?next="), "{confirm}");
    let page = browser.send("GET", HOME, &confirm, &PAGE).await.assert_status(200);
    let form = format!("proof={}&password={}&next={}", page.proof(), encode(PASSWORD), encode(&pairs_of(&confirm)["next"]));
    let confirmed = browser.post(HOME, "/confirm", &form).await;
    browser.send("GET", HOME, confirmed.redirects_to(), &PAGE).await
}

/// What an app is sent in the query of a redirect.
pub fn returned(answer: &Answer) -> BTreeMap<String, String> {
    pairs_of(answer.header("location").unwrap_or_else(|| panic!("{}: {}", answer.status, answer.text())))
}

/// The query of an address.
pub fn pairs_of(address: &str) -> BTreeMap<String, String> {
    let query = address.split_once('?').map_or("", |(_, query)| query);
    let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned();
    query.split('&').filter_map(|pair| pair.split_once('=')).map(|(name, value)| (name.to_owned(), decode(value))).collect()
}
