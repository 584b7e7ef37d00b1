//! What apps and their browsers send by OpenID Connect.

use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Fuzz;
use super::http::{Answered, as_query, header_value, send};
use crate::guard::world::{HOME, server};
use crate::oidc::app::VERIFIER;
use crate::support::{TestApp, TestDb, seed};

const CLIENT: &str = "the-wiki";
const SECRET: &str = "the-secret-of-the-wiki-0123456789-0123456789";
const CALLBACK: &str = "https://app.example/cb";
const AFTER: &str = "https://app.example/bye";
/// The challenge of [`VERIFIER`] (RFC 7636, appendix B).
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const AUTHORIZE: &str = "/application/o/authorize/";
const END_SESSION: &str = "/application/o/wiki/end-session/";
/// The longest query that is sent.
const MAX_QUERY: usize = 60_000;
const FORM: &str = "application/x-www-form-urlencoded";

/// A server with a client, and two sessions of its user: their keys are `key-1` and `key-2`.
async fn wiki(db: TestDb) -> (TestApp, Router) {
    let app = server(db).await;
    app.seed_keys().await;
    let client = json!({
        "client_id": CLIENT, "client_secret": SECRET, "redirect_uris": [CALLBACK, "http://127.0.0.1/cb", "com.example.app:/cb"],
        "post_logout_uris": [AFTER], "pkce": "optional", "algorithm": "ES256",
    });
    app.import(&[
        seed::user(7, "alice"),
        seed::session(1, 7, json!({})),
        seed::session(2, 7, json!({})),
        json!({"kind": "application", "slug": "wiki", "access": {"allow": "signed_in"}, "client": client}),
    ])
    .await;
    let router = rollcall::server::router(&app.app);
    (app, router)
}

/// The parameters of a request to authorize that is answered with a code.
fn good() -> String {
    format!(
        "client_id={CLIENT}&redirect_uri=https%3A%2F%2Fapp.example%2Fcb&response_type=code&scope=openid+profile&state=s&nonce=n\
         &code_challenge={CHALLENGE}&code_challenge_method=S256"
    )
}

/// What a browser sends: an address, or a form.
fn browser(target: &str, cookie: &str, form: Option<&[u8]>) -> Request<Body> {
    let method = if form.is_some() { "POST" } else { "GET" };
    let request = Request::builder().method(method).uri(target).header(header::HOST, HOME).header(header::COOKIE, cookie);
    let body = form.map_or_else(Body::empty, |form| Body::from(form.to_vec()));
    request.header(header::CONTENT_TYPE, FORM).body(body).unwrap()
}

/// What an app's server sends.
fn call(path: &str, authorization: &[u8], form: &[u8]) -> Request<Body> {
    let mut request = Request::post(path).header(header::HOST, HOME).header(header::CONTENT_TYPE, FORM);
    if !authorization.is_empty() {
        request = request.header(header::AUTHORIZATION, header_value(authorization));
    }
    request.body(Body::from(form.to_vec())).unwrap()
}

fn basic() -> String {
    format!("Basic {}", STANDARD.encode(format!("{CLIENT}:{SECRET}")))
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

/// The value of a parameter that is there once and not empty, by another way than the server's.
fn one(form: &str, name: &str) -> Option<String> {
    let pairs = form.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let mut values = pairs.filter(|(known, _)| decoded(known) == name).map(|(_, value)| decoded(value));
    let first = values.next().filter(|value| !value.is_empty());
    if values.next().is_some() { None } else { first }
}

/// An input with something in place of each mark.
fn filled(input: &[u8], mark: &str, by: &str) -> Vec<u8> {
    let (mut whole, mut at) = (Vec::with_capacity(input.len()), 0);
    while at < input.len() {
        if input[at..].starts_with(mark.as_bytes()) {
            whole.extend(by.bytes());
            at += mark.len();
        } else {
            whole.push(input[at]);
            at += 1;
        }
    }
    whole
}

fn location(answer: &Answered) -> Option<String> {
    answer.headers.get(header::LOCATION).map(|to| String::from_utf8_lossy(to.as_bytes()).into_owned())
}

/// A code for the user of a session.
async fn code(router: &Router, key: &str) -> String {
    let cookie = format!("__Host-rollcall_session={key}");
    let answer = send(router, browser(&format!("{AUTHORIZE}?{}&prompt=none", good()), &cookie, None)).await;
    let to = location(&answer).unwrap_or_else(|| panic!("{}", answer.status));
    one(to.split_once('?').unwrap().1, "code").unwrap_or_else(|| panic!("no code: {to}"))
}

/// The tokens of the user of a session.
async fn tokens(router: &Router, key: &str) -> Value {
    let code = code(router, key).await;
    let form =
        format!("grant_type=authorization_code&code={code}&redirect_uri=https%3A%2F%2Fapp.example%2Fcb&code_verifier={VERIFIER}");
    let answer = send(router, call("/application/o/token/", basic().as_bytes(), form.as_bytes())).await;
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    serde_json::from_slice(&answer.body).unwrap()
}

/// Everywhere that an answer leads to: its redirect, and the links and forms of its page.
fn ways(answer: &Answered) -> Vec<String> {
    let refresh = answer.headers.get("refresh").map(|value| value.to_str().unwrap());
    let refresh = refresh.and_then(|text| text.split_once("url=")).map(|(_, to)| to.to_owned());
    let mut all: Vec<String> = location(answer).into_iter().chain(refresh).collect();
    let page = String::from_utf8_lossy(&answer.body);
    for mark in [" href=\"", " action=\"", " src=\""] {
        all.extend(page.split(mark).skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()));
    }
    all
}

/// Whether an address is one of the client's, with what an answer adds.
fn is_registered(to: &str) -> bool {
    let base = to.split('?').next().unwrap();
    let port = base.strip_prefix("http://127.0.0.1").and_then(|rest| rest.strip_suffix("/cb"));
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    let is_loopback = port.is_some_and(|port| port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
    base == CALLBACK || base == "com.example.app:/cb" || is_loopback
}

/// Whether an address is one of Rollcall's own.
fn is_own(to: &str) -> bool {
    let path = to.split('?').next().unwrap();
    to.starts_with('#') || (path.starts_with('/') && !path.starts_with("//") && !path.contains('\\'))
}

/// A form of another site comes without a cookie, so it goes on as an address of ours: nothing else happens.
async fn assert_goes_on(router: &Router, target: &str, form: &[u8]) {
    let posted = send(router, browser(target, "__Host-rollcall_session=key-1", Some(form))).await;
    match location(&posted) {
        Some(to) => assert!(posted.status == 303 && to.starts_with(&format!("{target}?")), "{to}"),
        None => assert_eq!(posted.status, 400),
    }
}

/// The kind of an answer to a browser: its status, and what the app or the browser is told.
fn kind(answer: &Answered) -> String {
    let to = location(answer).unwrap_or_default();
    let (path, query) = to.split_once('?').unwrap_or((to.as_str(), ""));
    format!("{} {} {:?}", answer.status.as_u16(), if is_registered(&to) { "back" } else { path }, one(query, "error_description"))
}

db_test!(authorize_requests, |db| async move {
    let (_app, router) = wiki(db).await;
    let words: [&[u8]; 40] = [
        b"client_id=",
        b"the-wiki",
        b"redirect_uri=",
        b"https://app.example/cb",
        b"http://127.0.0.1:4000/cb",
        b"com.example.app:/cb",
        b"https://evil.example/",
        b"//evil.example",
        b"@evil.example",
        b"\\@evil.example",
        b"%0d%0aLocation:%20https://evil.example",
        b"javascript:alert(1)//",
        b"response_type=",
        b"code",
        b"token",
        b"response_mode=form_post",
        b"response_mode=fragment",
        b"scope=",
        b"openid",
        b"offline_access",
        b"state=",
        b"nonce=",
        b"prompt=",
        b"none",
        b"login",
        b"consent",
        b"select_account",
        b"max_age=0",
        b"acr_values=phr",
        b"id_token_hint=eyJhbGciOiJub25lIn0.e30.",
        b"login_hint=",
        b"request=",
        b"request_uri=https://evil.example/r",
        b"code_challenge=",
        b"code_challenge_method=plain",
        b"rollcall_seen=",
        b"rollcall_shown=1",
        b"rollcall_declined=1",
        b"&",
        b"=",
    ];
    let seeds = [
        good(),
        format!("{}&prompt=none", good()),
        format!("{}&prompt=login&rollcall_shown=1", good()),
        format!("{}&response_mode=form_post", good()),
        format!("{}&redirect_uri=https%3A%2F%2Fevil.example%2F", good()),
        good().replace("https%3A%2F%2Fapp.example", "http://127.0.0.1:4000"),
        String::new(),
    ];
    let mut fuzz = Fuzz::new("oidc_authorize", &words, seeds.into_iter().map(String::into_bytes));
    while let Some(input) = fuzz.next() {
        let query = as_query(&input);
        if query.len() > MAX_QUERY {
            fuzz.answered("longer than an address may be".to_owned());
            continue;
        }
        let mut kinds = String::new();
        for cookie in ["__Host-rollcall_session=key-1", ""] {
            let answer = send(&router, browser(&format!("{AUTHORIZE}?{query}"), cookie, None)).await;
            assert!([200, 302, 303, 400, 403].contains(&answer.status.as_u16()), "{}", answer.status);
            let ways = ways(&answer);
            for to in &ways {
                assert!(is_own(to) || is_registered(to), "it leads to {to}");
            }
            let is_asked = |name: &str, value: &str| one(&query, name).as_deref() == Some(value);
            let asked = one(&query, "redirect_uri").unwrap_or_default();
            for to in ways.iter().filter(|to| is_registered(to)) {
                let is_back = to.split('?').next() == Some(asked.as_str());
                assert!(is_back && is_asked("client_id", CLIENT), "{to} did not ask");
            }
            let in_form = String::from_utf8_lossy(&answer.body).contains("name=\"code\"");
            if in_form || ways.iter().any(|to| is_registered(to) && to.contains("?code=")) {
                assert!(!cookie.is_empty() && is_asked("response_type", "code"), "a code for nobody");
            }
            kinds.push_str(&kind(&answer));
        }
        assert_goes_on(&router, AUTHORIZE, &input).await;
        fuzz.answered(kinds);
    }
});

db_test!(token_requests, |db| async move {
    let (_app, router) = wiki(db).await;
    let words: [&[u8]; 20] = [
        b"grant_type=",
        b"authorization_code",
        b"refresh_token",
        b"client_credentials",
        b"password",
        b"urn:ietf:params:oauth:grant-type:device_code",
        b"code=",
        b"CODE",
        b"redirect_uri=",
        b"https://app.example/cb",
        b"code_verifier=",
        VERIFIER.as_bytes(),
        b"refresh_token=",
        b"REFRESH",
        b"scope=openid",
        b"scope=address",
        b"client_id=the-wiki",
        b"&",
        b"=",
        b"%00",
    ];
    let by_code =
        format!("grant_type=authorization_code&code=CODE&redirect_uri=https%3A%2F%2Fapp.example%2Fcb&code_verifier={VERIFIER}");
    let seeds = [
        by_code.as_str(),
        "grant_type=refresh_token&refresh_token=REFRESH",
        "grant_type=refresh_token&refresh_token=REFRESH&scope=openid",
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code&device_code=x",
        "grant_type=authorization_code&code=REFRESH",
        "grant_type=refresh_token&refresh_token=CODE",
        "",
    ];
    let mut fuzz = Fuzz::new("oidc_tokens", &words, seeds.map(|seed| seed.as_bytes().to_vec()));
    while let Some(input) = fuzz.next() {
        let has = |mark: &str| input.windows(mark.len()).any(|window| window == mark.as_bytes());
        let fresh = if has("CODE") { code(&router, "key-1").await } else { String::new() };
        let refresh = if has("REFRESH") {
            tokens(&router, "key-1").await["refresh_token"].as_str().unwrap().to_owned()
        } else {
            String::new()
        };
        let form = filled(&filled(&input, "CODE", &fresh), "REFRESH", &refresh);
        let answer = send(&router, call("/application/o/token/", basic().as_bytes(), &form)).await;
        assert!([200, 400, 401, 429].contains(&answer.status.as_u16()), "{}", answer.status);
        assert_eq!(answer.headers.get(header::CACHE_CONTROL).map(|value| value.to_str().unwrap()), Some("no-store"));
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        let sent = String::from_utf8_lossy(&form);
        let is_sent = |name: &str, value: &str| !value.is_empty() && one(&sent, name).as_deref() == Some(value);
        if answer.status != 200 {
            assert!(body.get("access_token").is_none() && body["error"].is_string(), "{body}");
            fuzz.answered(answer.kind());
            continue;
        }
        let by_code = is_sent("grant_type", "authorization_code") && is_sent("code", &fresh);
        let is_proved = is_sent("redirect_uri", CALLBACK) && is_sent("code_verifier", VERIFIER);
        let by_refresh = is_sent("grant_type", "refresh_token") && is_sent("refresh_token", &refresh);
        assert!((by_code && is_proved) || by_refresh, "tokens for {sent}");
        let scope = body["scope"].as_str().unwrap();
        assert!(scope.split(' ').all(|scope| ["openid", "profile"].contains(&scope)), "more than was granted: {scope}");
        fuzz.answered(format!("200 {by_refresh} {scope}"));
    }
});

/// Whether a header shows the right secret: the name and the secret as they are, or as in a form.
fn shows_secret(line: &[u8]) -> bool {
    let value = header_value(line);
    let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
    let Some((scheme, value)) = text.split_once(' ') else { return false };
    let decoded_basic = STANDARD.decode(value.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let Some((id, secret)) = decoded_basic.as_deref().and_then(|pair| pair.split_once(':')) else { return false };
    scheme.eq_ignore_ascii_case("basic") && decoded(id) == CLIENT && (secret == SECRET || decoded(secret) == SECRET)
}

db_test!(secrets_of_clients, |db| async move {
    let (_app, router) = wiki(db).await;
    let basic = basic();
    let encoded = format!("Basic {}", STANDARD.encode(format!("the%2Dwiki:{}", SECRET.replace('-', "%2d"))));
    let words: [&[u8]; 16] = [
        b"Basic ",
        b"basic ",
        b"Bearer ",
        basic.as_bytes(),
        encoded.as_bytes(),
        b"client_id=",
        b"client_secret=",
        CLIENT.as_bytes(),
        SECRET.as_bytes(),
        b"other",
        b":",
        b"%3A",
        b"+",
        b"&",
        b"=",
        b"\n",
    ];
    let seeds = [
        format!("{basic}\n"),
        format!("{encoded}\n"),
        format!("\nclient_id={CLIENT}&client_secret={SECRET}"),
        format!("{basic}\nclient_id={CLIENT}"),
        format!("{basic}\nclient_id={CLIENT}&client_secret={SECRET}"),
        format!("\nclient_id={CLIENT}&client_secret=wrong"),
        format!("Basic {}\n", STANDARD.encode("other:secret")),
        format!("\nclient_id={CLIENT}"),
        "Bearer x\n".to_owned(),
    ];
    let mut fuzz = Fuzz::new("oidc_clients", &words, seeds.into_iter().map(String::into_bytes));
    while let Some(input) = fuzz.next() {
        let at = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
        let (line, form) = (&input[..at], input.get(at + 1..).unwrap_or_default());
        let form = [&b"token=x&"[..], form].concat();
        let answer = send(&router, call("/application/o/introspect/", line, &form)).await;
        assert!([200, 400, 401, 429].contains(&answer.status.as_u16()), "{}", answer.status);
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        if answer.status == 200 {
            let sent = String::from_utf8_lossy(&form);
            let in_form =
                one(&sent, "client_id").as_deref() == Some(CLIENT) && one(&sent, "client_secret").as_deref() == Some(SECRET);
            assert!(shows_secret(line) != in_form, "it showed no secret, or two");
            assert_eq!(body, json!({"active": false}));
        } else {
            assert!(body.get("active").is_none(), "{body}");
        }
        fuzz.answered(answer.kind());
    }
    // However many wrong ones there were.
    let answer = send(&router, call("/application/o/introspect/", basic.as_bytes(), b"token=x")).await;
    assert_eq!(answer.status, 200, "the right secret is never refused");
});

db_test!(sign_outs_by_apps, |db| async move {
    let (_app, router) = wiki(db).await;
    // Of the session that the browser has not.
    let hint = tokens(&router, "key-2").await["id_token"].as_str().unwrap().to_owned();
    let words: [&[u8]; 18] = [
        b"id_token_hint=",
        b"HINT",
        b"eyJhbGciOiJub25lIn0.",
        b"post_logout_redirect_uri=",
        b"https://app.example/bye",
        b"https://app.example/cb",
        b"https://evil.example/",
        b"//evil.example",
        b"@evil.example",
        b"%0d%0aX:y",
        b"client_id=",
        b"the-wiki",
        b"state=",
        b"logout_hint=alice",
        b"ui_locales=de",
        b"&",
        b"=",
        b"?",
    ];
    let seeds = [
        "id_token_hint=HINT",
        "id_token_hint=HINT&post_logout_redirect_uri=https%3A%2F%2Fapp.example%2Fbye&state=s",
        "id_token_hint=HINT&client_id=the-wiki&post_logout_redirect_uri=https://app.example/bye",
        "id_token_hint=HINT&client_id=other&post_logout_redirect_uri=https://app.example/bye",
        "client_id=the-wiki&post_logout_redirect_uri=https://app.example/bye&state=s",
        "id_token_hint=HINT&post_logout_redirect_uri=https://evil.example/",
        "logout_hint=alice",
        "",
    ];
    let mut fuzz = Fuzz::new("oidc_end_session", &words, seeds.map(|seed| seed.as_bytes().to_vec()));
    while let Some(input) = fuzz.next() {
        let query = as_query(&input).replace("HINT", &hint);
        if query.len() > MAX_QUERY {
            fuzz.answered("longer than an address may be".to_owned());
            continue;
        }
        let target = format!("{END_SESSION}?{query}");
        let asked = send(&router, browser(&target, "__Host-rollcall_session=key-1", None)).await;
        let to = location(&asked).unwrap_or_default();
        assert!(asked.status == 303 && (to == "/sign-out" || to.starts_with("/sign-out?then=")), "{} {to}", asked.status);
        let nobody = send(&router, browser(&target, "", None)).await;
        match location(&nobody) {
            Some(to) => {
                let is_after = to == AFTER || to.starts_with("https://app.example/bye?state=");
                assert!(nobody.status == 302 && is_after, "it leads to {to}");
                let is_named = one(&query, "id_token_hint").as_deref() == Some(hint.as_str());
                assert!(is_named && one(&query, "post_logout_redirect_uri").as_deref() == Some(AFTER), "led on unasked");
            }
            None => assert!(nobody.status == 200 && ways(&nobody).iter().all(|to| is_own(to)), "{}", nobody.status),
        }
        assert_goes_on(&router, END_SESSION, &input).await;
        fuzz.answered(format!("{} {}", to.split('=').next().unwrap_or_default(), kind(&nobody)));
    }
    for key in ["key-1", "key-2"] {
        assert!(!code(&router, key).await.is_empty(), "no session ended");
    }
});
