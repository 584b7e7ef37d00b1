//! What the OpenID Foundation's certification plans for the code flow and for sign-out ask of a provider, each of their modules
//! once, by a client as they register it: PKCE is optional, since their clients send none, and the ID token has no claims of
//! scopes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};

use super::app::{AFTER, App, CALLBACK, confirm, post, register, returned};
use super::notices::{self, told::Told};
use crate::guard::world::{Browser, HOME, PAGE, server};
use crate::support::{Answer, TestApp, encode};

/// No challenge, as the plans' clients ask.
const PLAIN: [(&str, Option<&str>); 2] = [("code_challenge", None), ("code_challenge_method", None)];

/// Parameters in place of the usual ones; `None` leaves one out.
type More<'a> = [(&'a str, Option<&'a str>)];

const BASIC: &str = "oidcc-server oidcc-response-type-missing oidcc-userinfo-get oidcc-userinfo-post-header \
    oidcc-userinfo-post-body oidcc-ensure-request-without-nonce-succeeds-for-code-flow oidcc-scope-profile oidcc-scope-email \
    oidcc-alternate-happy-flow oidcc-display-page oidcc-display-popup oidcc-prompt-login oidcc-prompt-none-not-logged-in \
    oidcc-prompt-none-logged-in oidcc-max-age-1 oidcc-max-age-10000 oidcc-ensure-request-with-unknown-parameter-succeeds \
    oidcc-id-token-hint oidcc-login-hint oidcc-ui-locales oidcc-claims-locales oidcc-ensure-request-with-acr-values-succeeds \
    oidcc-codereuse oidcc-codereuse-30seconds oidcc-ensure-registered-redirect-uri oidcc-ensure-post-request-succeeds \
    oidcc-server-client-secret-post oidcc-unsigned-request-object-supported-correctly-or-rejected-as-unsupported \
    oidcc-ensure-request-object-with-redirect-uri oidcc-claims-essential oidcc-refresh-token \
    oidcc-ensure-request-with-valid-pkce-succeeds";

/// Without what all their names begin with: `oidcc-rp-initiated-logout`, and the module of just that name as `-`.
const SIGN_OUT: &str = "-discovery-endpoint-verification - -no-state -no-post-logout-redirect-uri -no-params -only-state \
    -bad-post-logout-redirect-uri -query-added-to-post-logout-redirect-uri -no-id-token-hint -modified-id-token-hint \
    -bad-id-token-hint";

/// A plan: its app, a browser of its user, and the modules that ran.
struct Plan<'a> {
    app: App<'a>,
    browser: Browser<'a>,
    ran: Mutex<BTreeSet<&'static str>>,
}

impl<'a> Plan<'a> {
    async fn of(app: &'a TestApp) -> Plan<'a> {
        app.seed_keys().await;
        Self::with(app, json!({})).await
    }

    async fn with(app: &'a TestApp, more: Value) -> Plan<'a> {
        app.user_with_password("alice").await;
        app.db.run("UPDATE users SET email = 'alice@example.com' WHERE username = 'alice'").await;
        let mut client = json!({"pkce": "optional", "claims_in_id_token": false});
        client.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let client = register(app, "wiki", client).await;
        Plan { app: client, browser: Browser::of(app, "alice").await, ran: Mutex::default() }
    }

    fn module(&self, name: &'static str) {
        assert!(self.ran.lock().unwrap().insert(name), "{name} ran twice");
    }

    fn end(self, plan: &'static str) {
        assert_eq!(self.ran.into_inner().unwrap(), plan.split(' ').collect::<BTreeSet<_>>());
    }

    async fn ask(&self, browser: &Browser<'_>, more: &[(&str, Option<&str>)]) -> Answer {
        browser.send("GET", HOME, &self.app.request(&[&PLAIN, more].concat()), &PAGE).await
    }

    /// Tokens for a code that came in this answer.
    async fn redeemed(&self, sent: &BTreeMap<String, String>) -> Value {
        let code = sent.get("code").unwrap_or_else(|| panic!("{sent:?}"));
        let fields = [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", CALLBACK)];
        self.app.call("/application/o/token/", &fields).await.assert_status(200).json()
    }

    /// The tokens for a request that is answered at once, and its claims.
    async fn flow(&self, more: &[(&str, Option<&str>)]) -> (Value, Value) {
        let answer = self.ask(&self.browser, more).await.assert_status(302);
        let tokens = self.redeemed(&returned(&answer)).await;
        let claims = self.app.claims(&tokens).await;
        (tokens, claims)
    }

    /// The claims for a request that asks for a new proof first.
    async fn flow_with_proof(&self, more: &[(&str, Option<&str>)]) -> Value {
        let asked = self.ask(&self.browser, more).await;
        let back = confirm(&self.browser, &asked).await.assert_status(200);
        let to = back.header("refresh").unwrap().strip_prefix("0; url=").unwrap().to_owned();
        let tokens = self.redeemed(&super::app::pairs_of(&to)).await;
        self.app.claims(&tokens).await
    }

    async fn error(&self, browser: &Browser<'_>, more: &[(&str, Option<&str>)]) -> BTreeMap<String, String> {
        let sent = returned(&self.ask(browser, more).await.assert_status(302));
        assert!(!sent.contains_key("code"), "{sent:?}");
        sent
    }

    async fn end_session(&self, browser: &Browser<'_>, query: &[(&str, &str)]) -> Answer {
        let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
        browser.send("GET", HOME, &format!("/application/o/wiki/end-session/?{}", query.join("&")), &PAGE).await
    }
}

db_test!(the_modules_of_the_basic_plan_hold, |db| async move {
    let app = server(db).await;
    let plan = Plan::of(&app).await;
    requests_that_succeed(&plan).await;
    refused_requests(&plan).await;
    userinfo(&plan).await;
    tokens_used_again(&plan).await;
    proofs(&plan).await;
    plan.end(BASIC);
});

async fn requests_that_succeed(plan: &Plan<'_>) {
    plan.module("oidcc-server");
    let (tokens, claims) = plan.flow(&[]).await;
    assert_eq!(
        (&tokens["token_type"], &tokens["expires_in"], &claims["nonce"]),
        (&json!("Bearer"), &json!(300), &json!("the nonce"))
    );
    assert_eq!((claims.get("name"), claims.get("email")), (None, None), "the claims of scopes are at userinfo");
    let sub = claims["sub"].clone();
    assert!(!sub.as_str().unwrap().is_empty() && sub.as_str().unwrap().len() <= 255);

    plan.module("oidcc-ensure-request-without-nonce-succeeds-for-code-flow");
    assert_eq!(plan.flow(&[("nonce", None)]).await.1.get("nonce"), None);
    let challenge = crate::oidc::app::challenge();
    let unchanged: [(&'static str, &More<'_>); 8] = [
        ("oidcc-alternate-happy-flow", &[("scope", Some("email profile openid")), ("state", Some("s"))]),
        ("oidcc-display-page", &[("display", Some("page"))]),
        ("oidcc-display-popup", &[("display", Some("popup"))]),
        ("oidcc-ensure-request-with-unknown-parameter-succeeds", &[("extra", Some("foobar"))]),
        ("oidcc-login-hint", &[("login_hint", Some("nobody@example.com"))]),
        ("oidcc-ui-locales", &[("ui_locales", Some("se"))]),
        ("oidcc-claims-locales", &[("claims_locales", Some("se"))]),
        ("oidcc-claims-essential", &[("claims", Some(r#"{"userinfo": {"name": {"essential": true}}}"#))]),
    ];
    for (module, more) in unchanged {
        plan.module(module);
        assert_eq!(plan.flow(more).await.1["sub"], sub, "{module}");
    }
    plan.module("oidcc-ensure-request-with-acr-values-succeeds");
    let supported = discovery(plan).await["acr_values_supported"].as_array().unwrap().clone();
    let all: Vec<&str> = supported.iter().map(|value| value.as_str().unwrap()).collect();
    assert!(supported.contains(&plan.flow(&[("acr_values", Some(&all.join(" ")))]).await.1["acr"]));

    plan.module("oidcc-ensure-request-with-valid-pkce-succeeds");
    let with_pkce = [("code_challenge", Some(challenge.as_str())), ("code_challenge_method", Some("S256"))];
    let code = plan.app.code(&plan.browser, &with_pkce).await;
    plan.app.redeem(&code).await.assert_status(200);

    plan.module("oidcc-server-client-secret-post");
    let code = plan.app.code(&plan.browser, &PLAIN).await;
    let (id, secret) = (plan.app.id.as_str(), plan.app.secret.as_str());
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", CALLBACK),
        ("client_id", id),
        ("client_secret", secret),
    ];
    let tokens = post(plan.app.app, "/application/o/token/", &fields, &[]).await.assert_status(200).json();
    assert_eq!(plan.app.claims(&tokens).await["sub"], sub);

    plan.module("oidcc-ensure-post-request-succeeds");
    let request = plan.app.request(&PLAIN);
    let fields: Vec<(String, String)> = super::app::pairs_of(&request).into_iter().collect();
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let led = post(plan.app.app, "/application/o/authorize/", &fields, &[]).await.assert_status(303);
    let answer = plan.browser.send("GET", HOME, led.redirects_to(), &PAGE).await.assert_status(302);
    plan.redeemed(&returned(&answer)).await;
}

async fn discovery(plan: &Plan<'_>) -> Value {
    plan.browser.send("GET", HOME, "/application/o/wiki/.well-known/openid-configuration", &[]).await.assert_status(200).json()
}

async fn refused_requests(plan: &Plan<'_>) {
    plan.module("oidcc-response-type-missing");
    assert_eq!(plan.error(&plan.browser, &[("response_type", None)]).await["error"], "invalid_request");
    plan.module("oidcc-unsigned-request-object-supported-correctly-or-rejected-as-unsupported");
    let object = "eyJhbGciOiJub25lIn0.e30.";
    assert_eq!(plan.error(&plan.browser, &[("request", Some(object))]).await["error"], "request_not_supported");
    for (module, more) in [
        ("oidcc-ensure-registered-redirect-uri", vec![("redirect_uri", Some("https://app.example/cb/other"))]),
        (
            "oidcc-ensure-request-object-with-redirect-uri",
            vec![("redirect_uri", Some("https://app.example/other")), ("request", Some(object))],
        ),
    ] {
        plan.module(module);
        let page = plan.ask(&plan.browser, &more).await;
        assert_eq!((page.status, page.header("location")), (400, None), "{module}");
        assert!(page.text().contains("id=\"oidc-error\""), "{module}");
    }
}

async fn userinfo(plan: &Plan<'_>) {
    let (tokens, claims) = plan.flow(&[]).await;
    let access = tokens["access_token"].as_str().unwrap();
    let bearer = format!("Bearer {access}");
    let (path, header) = ("/application/o/userinfo/", [("authorization", bearer.as_str())]);
    plan.module("oidcc-userinfo-get");
    let told = plan.app.userinfo(&tokens["access_token"]).await.assert_status(200).json();
    plan.module("oidcc-userinfo-post-header");
    assert_eq!(post(plan.app.app, path, &[], &header).await.assert_status(200).json(), told);
    plan.module("oidcc-userinfo-post-body");
    assert_eq!(post(plan.app.app, path, &[("access_token", access)], &[]).await.assert_status(200).json(), told);
    assert_eq!(told["sub"], claims["sub"]);
    for (module, scope, has, has_not) in [
        ("oidcc-scope-profile", "openid profile", "preferred_username", "email"),
        ("oidcc-scope-email", "openid email", "email", "preferred_username"),
    ] {
        plan.module(module);
        let (tokens, _) = plan.flow(&[("scope", Some(scope))]).await;
        let told = plan.app.userinfo(&tokens["access_token"]).await.assert_status(200).json();
        assert!(told.get(has).is_some() && told.get(has_not).is_none(), "{module}: {told}");
    }
    let scopes = discovery(plan).await["scopes_supported"].clone();
    let skipped = ["address", "phone"].map(Value::from);
    assert!(skipped.iter().all(|scope| !scopes.as_array().unwrap().contains(scope)), "their modules are skipped: {scopes}");
}

async fn tokens_used_again(plan: &Plan<'_>) {
    for (module, later) in [("oidcc-codereuse", 0), ("oidcc-codereuse-30seconds", 30)] {
        plan.module(module);
        let code = plan.app.code(&plan.browser, &PLAIN).await;
        let fields = [("grant_type", "authorization_code"), ("code", code.as_str()), ("redirect_uri", CALLBACK)];
        let tokens = plan.app.call("/application/o/token/", &fields).await.assert_status(200).json();
        plan.app.app.advance(Duration::from_secs(later));
        let again = plan.app.call("/application/o/token/", &fields).await.assert_status(400);
        assert_eq!(again.json()["error"], "invalid_grant", "{module}");
        assert_eq!(plan.app.userinfo(&tokens["access_token"]).await.status, 401, "{module}");
    }
    plan.module("oidcc-refresh-token");
    let (tokens, before) = plan.flow(&[]).await;
    plan.app.app.advance(Duration::from_secs(2));
    let refresh = tokens["refresh_token"].as_str().unwrap();
    let other = register(plan.app.app, "other", json!({})).await;
    assert_eq!(other.refresh(refresh).await.assert_status(400).json()["error"], "invalid_grant", "another client's");
    let after = plan.app.claims(&plan.app.refresh(refresh).await.assert_status(200).json()).await;
    for name in ["iss", "sub", "aud", "auth_time"] {
        assert_eq!(after[name], before[name], "{name}");
    }
    assert!(after["iat"].as_i64() > before["iat"].as_i64());
}

async fn proofs(plan: &Plan<'_>) {
    let app = plan.app.app;
    plan.module("oidcc-prompt-none-not-logged-in");
    let state = "s".repeat(1000);
    let sent = plan.error(&Browser::new(app), &[("prompt", Some("none")), ("state", Some(&state))]).await;
    assert_eq!((sent["error"].as_str(), sent["state"].as_str()), ("login_required", state.as_str()));
    plan.module("oidcc-prompt-none-logged-in");
    let (tokens, first) = plan.flow(&[]).await;
    app.advance(Duration::from_secs(2));
    let same = plan.flow(&[("prompt", Some("none"))]).await.1;
    assert_eq!((&same["sub"], &same["auth_time"]), (&first["sub"], &first["auth_time"]));
    plan.module("oidcc-id-token-hint");
    let hint = tokens["id_token"].as_str();
    assert_eq!(plan.flow(&[("prompt", Some("none")), ("id_token_hint", hint)]).await.1["sub"], first["sub"]);
    plan.module("oidcc-max-age-10000");
    assert_eq!(plan.flow(&[("max_age", Some("10000"))]).await.1["auth_time"], first["auth_time"]);
    for (module, more) in [("oidcc-prompt-login", ("prompt", Some("login"))), ("oidcc-max-age-1", ("max_age", Some("1")))] {
        plan.module(module);
        let before = plan.flow(&[]).await.1["auth_time"].as_i64().unwrap();
        app.advance(Duration::from_secs(2));
        let later = plan.flow_with_proof(&[more]).await;
        assert!(later["auth_time"].as_i64().unwrap() > before, "{module}");
        assert_eq!(later["sub"], first["sub"], "{module}");
    }
}

db_test!(the_modules_of_the_plans_of_discovery_and_sign_out_hold, |db| async move {
    let app = server(db).await;
    let plan = Plan::of(&app).await;
    let document = discovery(&plan).await;
    assert_eq!(document["issuer"], plan.app.issuer());
    let addresses = document.as_object().unwrap().iter().filter(|(name, _)| name.ends_with("_endpoint") || *name == "jwks_uri");
    assert!(addresses.into_iter().all(|(_, address)| address.as_str().unwrap().starts_with("https://id.example/")), "{document}");
    let keys = plan.browser.send("GET", HOME, "/application/o/wiki/jwks/", &[]).await.json();
    assert!(keys["keys"].as_array().unwrap().iter().all(|key| key["kid"].is_string()), "{keys}");
    plan.module("-discovery-endpoint-verification");
    assert_eq!(document["end_session_endpoint"], format!("{}end-session/", plan.app.issuer()));

    for (module, state) in [("-", Some("the state")), ("-no-state", None)] {
        plan.module(module);
        plan.browser.sign_in("alice").await;
        let hint = plan.flow(&[]).await.0["id_token"].as_str().unwrap().to_owned();
        let mut query = vec![("id_token_hint", hint.as_str()), ("post_logout_redirect_uri", AFTER)];
        query.extend(state.map(|state| ("state", state)));
        let done = plan.end_session(&plan.browser, &query).await.assert_status(302);
        let to = state.map_or(AFTER.to_owned(), |state| format!("{AFTER}?state={}", encode(state)));
        assert_eq!(done.header("location"), Some(to.as_str()), "{module}");
        assert_eq!(plan.error(&plan.browser, &[("prompt", Some("none"))]).await["error"], "login_required", "{module}");
    }
    never_led_elsewhere(&plan).await;
    plan.end(SIGN_OUT);
});

/// Without what both of their names begin with: `oidcc-backchannel-`.
const BACK_CHANNEL: &str = "logout-discovery-endpoint-verification rp-initiated-logout";

db_test!(the_modules_of_the_plan_of_back_channel_logout_hold, |db| async move {
    let (app, told) = (notices::world(db).await, Told::start().await);
    let plan = Plan::with(&app, json!({"back_channel_uri": told.address})).await;
    plan.module("logout-discovery-endpoint-verification");
    let document = discovery(&plan).await;
    for name in ["backchannel_logout_supported", "backchannel_logout_session_supported"] {
        assert_eq!(document[name], true, "{name}");
    }
    assert!(document["end_session_endpoint"].is_string());

    plan.module("rp-initiated-logout");
    let (tokens, signed_in) = plan.flow(&[]).await;
    let query = [("id_token_hint", tokens["id_token"].as_str().unwrap()), ("post_logout_redirect_uri", AFTER), ("state", "s")];
    let done = plan.end_session(&plan.browser, &query).await.assert_status(302);
    assert_eq!(done.header("location"), Some(format!("{AFTER}?state=s").as_str()));
    assert_eq!(notices::run(&app).await, 1);
    let [request] = <[_; 1]>::try_from(told.requests()).unwrap();
    assert_eq!(request.headers["content-type"], "application/x-www-form-urlencoded");
    let said = notices::claims(&plan.app, &request.form).await;
    assert_eq!((&said["sid"], &said["sub"]), (&signed_in["sid"], &signed_in["sub"]));
    let (issued, expires) = (said["iat"].as_i64().unwrap(), said["exp"].as_i64().unwrap());
    assert!(said["jti"].is_string() && issued <= app.app.clock.now().seconds() && expires - issued <= 120, "{said}");
    assert_eq!(plan.error(&plan.browser, &[("prompt", Some("none"))]).await["error"], "login_required");
    plan.end(BACK_CHANNEL);
});

/// Sign-outs that end after a question, or at once with a page: the browser goes to no app. `HINT` is the ID token of
/// the browser's session, and `BROKEN` for that with another last letter.
async fn never_led_elsewhere(plan: &Plan<'_>) {
    let with_query = format!("{AFTER}?foo=bar");
    let rows: [(&'static str, &[(&str, &str)]); 8] = [
        ("-no-params", &[]),
        ("-only-state", &[("state", "s")]),
        ("-no-id-token-hint", &[("post_logout_redirect_uri", AFTER), ("state", "s")]),
        ("-modified-id-token-hint", &[("id_token_hint", "BROKEN"), ("post_logout_redirect_uri", AFTER)]),
        ("-bad-id-token-hint", &[("id_token_hint", "bad"), ("post_logout_redirect_uri", AFTER)]),
        ("-no-post-logout-redirect-uri", &[("id_token_hint", "HINT")]),
        ("-bad-post-logout-redirect-uri", &[("id_token_hint", "HINT"), ("post_logout_redirect_uri", "https://app.example/other")]),
        ("-query-added-to-post-logout-redirect-uri", &[("id_token_hint", "HINT"), ("post_logout_redirect_uri", &with_query)]),
    ];
    for (module, query) in rows {
        plan.module(module);
        plan.browser.sign_in("alice").await;
        let hint = plan.flow(&[]).await.0["id_token"].as_str().unwrap().to_owned();
        let other = if hint.ends_with('A') { "Q" } else { "A" };
        let broken = format!("{}{other}", &hint[..hint.len() - 1]);
        let value = |text| {
            if text == "HINT" {
                hint.as_str()
            } else if text == "BROKEN" {
                broken.as_str()
            } else {
                text
            }
        };
        let query: Vec<(&str, &str)> = query.iter().map(|(name, text)| (*name, value(*text))).collect();
        let answer = plan.end_session(&plan.browser, &query).await;
        let to = answer.header("location").unwrap_or_default();
        assert!(answer.status == 200 || to == "/sign-out" || to.starts_with("/sign-out?then="), "{module}: {to}");
        assert_eq!(answer.header("refresh"), None, "{module}");
    }
}
