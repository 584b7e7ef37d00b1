//! No secret at rest: after a run in which every kind of secret was issued and used, none of them is
//! in the database, its write-ahead log, the data directory, the logs or what is exported.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::SET_COOKIE;
use reqwest::{Client, Method, Response};
use rollcall::domain::Clock;
use serde_json::json;
use sha2::Digest;

use crate::process::{Home, PASSWORD, SESSIONS, Server, TOKEN, eventually};
use crate::support::authenticator::Authenticator;
use crate::support::{SIGN_IN_FLOW, SIGN_OUT_FLOW};

const WRONG: &str = "a wrong password that somebody mistyped";
const CHOSEN: &str = "the password that was chosen in the set-up";
const OWN: &str = "the password she chose for herself";
const LATER: &str = "the password that was set later on";
const AUTHENTIK: &str = "the secret key of an authentik instance";
const IMPORTED: &str = "the-imported-session-key-of-somebody";
const IMPORTED_TOKEN: &str = "the-imported-token-key-of-somebody";

/// What was issued, by what it is.
#[derive(Default)]
struct Secrets(BTreeMap<String, String>);

impl Secrets {
    fn add(&mut self, what: &str, secret: &str) {
        assert!(secret.len() >= 16, "{what}: {secret} is too short to look for");
        self.0.insert(what.to_owned(), secret.to_owned());
    }

    /// The cookies that an answer sets.
    fn add_cookies(&mut self, answer: &Response) -> BTreeMap<String, String> {
        let mut set = BTreeMap::new();
        for cookie in answer.headers().get_all(SET_COOKIE) {
            let (name, value) = cookie.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap();
            if !value.is_empty() {
                self.add(&format!("the cookie {name} number {}", self.0.len()), value);
                set.insert(name.to_owned(), value.to_owned());
            }
        }
        set
    }

    /// Which of them these bytes hold: as they are, in hexadecimal, in base64.
    fn found_in(&self, bytes: &[u8]) -> Vec<&str> {
        let lower = bytes.to_ascii_lowercase();
        let holds = |bytes: &[u8], part: &str| bytes.windows(part.len()).any(|window| window == part.as_bytes());
        let is_in = |secret: &str| {
            let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
            // The first and the last group depend on the bytes next to them.
            let base64 = STANDARD.encode(&secret.as_bytes()[..secret.len() / 3 * 3]);
            holds(bytes, secret) || holds(&lower, &hex) || holds(bytes, &base64)
        };
        self.0.iter().filter(|(_, secret)| is_in(secret)).map(|(what, _)| what.as_str()).collect()
    }
}

/// Signs in by the flow and gives the session's key.
async fn sign_in(http: &Client, server: &Server, secrets: &mut Secrets, name: &str, password: &str) -> String {
    sign_in_with(http, server, secrets, (name, password), None).await
}

/// The same with a code for the second factor.
async fn sign_in_with(
    http: &Client,
    server: &Server,
    secrets: &mut Secrets,
    (name, password): (&str, &str),
    code: Option<&str>,
) -> String {
    let mut jar = BTreeMap::new();
    let second = code.map(|code| json!({"component": "ak-stage-authenticator-validate", "code": code}));
    let wrong = code.is_none().then(|| json!({"component": "ak-stage-password", "password": WRONG}));
    for body in [json!({"component": "ak-stage-identification", "uid_field": name})]
        .into_iter()
        .chain(wrong)
        .chain([json!({"component": "ak-stage-password", "password": password})])
        .chain(second)
        .chain([json!({"component": "ak-stage-user-login", "remember_me": true})])
    {
        let cookies: Vec<String> = jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = http.post(format!("{}{SIGN_IN_FLOW}", server.origin)).header("cookie", cookies.join("; "));
        let answer = request.json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        jar.extend(secrets.add_cookies(&answer));
    }
    jar.remove("rollcall_session").expect("a session")
}

/// Adds an authenticator app in the pages, and gives it, its recovery codes and the session's new cookie.
async fn add_app(http: &Client, server: &Server, secrets: &mut Secrets, cookie: &str) -> (Authenticator, Vec<String>, String) {
    let page = http.get(format!("{}/security", server.origin)).header("cookie", cookie).send().await.unwrap().text().await.unwrap();
    let proof = page.split("name=\"proof\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a form").to_owned();
    let send = async |path: &str, code: &str| {
        let request = http.post(format!("{}{path}", server.origin)).header("cookie", cookie);
        request.form(&[("proof", proof.as_str()), ("code", code)]).send().await.unwrap()
    };
    let path = send("/security/totp", "").await.headers()["location"].to_str().unwrap().to_owned();
    let shown = http.get(format!("{}{path}", server.origin)).header("cookie", cookie).send().await.unwrap().text().await.unwrap();
    let key = shown.split("<code id=\"key\">").nth(1).and_then(|rest| rest.split('<').next()).expect("a key");
    let phone = Authenticator::from_key(key);
    secrets.add("a seed as it is shown", key);
    secrets.add("a seed in base32", &key.replace(' ', ""));
    secrets.add("a seed in hexadecimal", &rollcall::domain::secret::hex(&phone.seed));
    let added = send(&path, &phone.code(Clock::System.now(), 0)).await;
    let set = secrets.add_cookies(&added);
    let text = added.text().await.unwrap();
    let codes: Vec<String> = text.split("<li><code>").skip(1).map(|part| part.split('<').next().unwrap().to_owned()).collect();
    assert_eq!(codes.len(), 10, "{text}");
    for (nth, code) in codes.iter().enumerate() {
        secrets.add(&format!("recovery code {nth}"), code);
        secrets.add(&format!("recovery code {nth} without dashes"), &code.replace('-', ""));
    }
    (phone, codes, format!("rollcall_session={}", set["rollcall_session"]))
}

/// Opens a page and sends its form.
async fn submit(
    http: &Client,
    server: &Server,
    secrets: &mut Secrets,
    path: &str,
    cookie: &str,
    fields: &[(&str, &str)],
) -> Response {
    let page = http.get(format!("{}{path}", server.origin)).header("cookie", cookie).send().await.unwrap();
    let set = secrets.add_cookies(&page);
    let text = page.text().await.unwrap();
    let proof = text.split("name=\"proof\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a form").to_owned();
    secrets.add(&format!("the proof of {path}"), &proof);
    let cookies: Vec<String> =
        set.iter().map(|(name, value)| format!("{name}={value}")).chain([cookie.to_owned()]).filter(|it| !it.is_empty()).collect();
    let mut fields = fields.to_vec();
    fields.push(("proof", &proof));
    let request = http.post(format!("{}{path}", server.origin)).header("cookie", cookies.join("; ")).form(&fields);
    let answer = request.send().await.unwrap();
    secrets.add_cookies(&answer);
    answer
}

on_both!(a_full_run_leaves_no_secret_behind, |home| async move {
    let mut secrets = Secrets::default();
    let home = home.with("ROLLCALL_LOG", "trace").with("ROLLCALL_AUTHENTIK__SECRET_KEY", AUTHENTIK);
    let home = home.with("ROLLCALL_METRICS__LISTEN", "127.0.0.1:0");
    for (what, secret) in [
        ("the password", PASSWORD),
        ("a wrong password", WRONG),
        ("the first password", CHOSEN),
        ("the later password", LATER),
        ("her own password", OWN),
        ("the administrator's token", TOKEN),
        ("authentik's secret key", AUTHENTIK),
        ("an imported session key", IMPORTED),
        ("an imported token key", IMPORTED_TOKEN),
    ] {
        secrets.add(what, secret);
    }
    let http = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();

    // The first start: a link, of which the message is the one place that may show it.
    let server = home.serve().await;
    let link = server.set_up_link().unwrap();
    let path = link.strip_prefix(&server.origin).unwrap().to_owned();
    secrets.add("the set-up link", path.trim_start_matches("/set-up/"));
    let answer = submit(&http, &server, &mut secrets, &path, "", &[("password", CHOSEN), ("again", CHOSEN)]).await;
    assert_eq!(answer.status(), 303);
    // Addresses that hold it, mistyped or used up, are asked for as well.
    for path in [path.clone(), format!("{path}/"), format!("/sign-in?next={path}")] {
        http.get(format!("{}{path}", server.origin)).send().await.unwrap();
    }
    let mut logs = vec![server.stop().await.replace(&link, "")];

    // The command line: users, tokens of each intent, an import.
    home.add_user("alice");
    home.ok_with(&["user", "set-password", "alice"], &format!("{LATER}\n"));
    home.ok(&["app", "add", "wiki"]);
    for (intent, more) in [("api", &[][..]), ("app_password", &["--app", "wiki"]), ("recovery", &[])] {
        let add = [&["token", "add", "--user", "alice", "--intent", intent], more].concat();
        let key = home.ok(&add).trim().to_owned();
        secrets.add(&format!("a token for {intent}"), &key);
    }
    home.import(&[
        json!({"kind": "user", "id": 70, "username": "imported"}),
        json!({"kind": "session", "uuid": "00000000-0000-4000-8000-000000000007", "session_key": IMPORTED, "user": 70,
            "last_ip": "192.0.2.7", "last_used": "2020-01-02T03:04:05Z", "expires": "2099-01-01T00:00:00Z"}),
        json!({"kind": "token", "key": IMPORTED_TOKEN, "intent": "api", "user": 70, "expires": "2099-01-01T00:00:00Z"}),
        json!({"kind": "token", "key": TOKEN, "intent": "api", "user": 1, "expires": "2099-01-01T00:00:00Z"}),
    ]);

    // Sign-ins by both ways, right and wrong, each secret used; one session is ended in each way.
    let server = home.serve().await;
    let key = sign_in(&http, &server, &mut secrets, "alice", LATER).await;
    let fields = [("uid", "akadmin"), ("password", CHOSEN), ("next", "/sessions"), ("remember", "on")];
    let signed_in = submit(&http, &server, &mut secrets, "/sign-in", "", &fields).await;
    assert_eq!(signed_in.status(), 303);
    let mut admins = signed_in.headers().get_all(SET_COOKIE).iter().map(|line| line.to_str().unwrap());
    let admin = admins.find_map(|line| line.split(';').next().filter(|it| it.starts_with("rollcall_session="))).unwrap().to_owned();
    // A token that an administrator makes by the page, which shows its key once.
    let fields = [("username", "alice"), ("identifier", "by-the-page"), ("days", "90")];
    let made = submit(&http, &server, &mut secrets, "/tokens", &admin, &fields).await.text().await.unwrap();
    let shown = made.split("<code id=\"key\">").nth(1).and_then(|rest| rest.split('<').next());
    secrets.add("a token for somebody by the page", shown.unwrap_or_else(|| panic!("a key: {made}")));
    let pages = ["/users", "/tokens", "/events", "/sessions/all", "/settings"];
    let wrong = [("uid", WRONG), ("password", LATER)];
    assert_eq!(submit(&http, &server, &mut secrets, "/sign-in", "", &wrong).await.status(), 200);
    let cookie = format!("rollcall_session={key}");
    let csrf = secrets.0.iter().rev().find(|(what, _)| what.contains("csrf")).map(|(_, secret)| secret.clone()).unwrap();
    for request in [
        http.get(format!("{}{SESSIONS}", server.origin)).header("cookie", &cookie),
        http.get(format!("{}/sessions", server.origin)).header("cookie", &cookie),
        http.get(format!("{}{SESSIONS}", server.origin)).header("cookie", format!("rollcall_session={IMPORTED}")),
        http.get(format!("{}{SESSIONS}", server.origin)).bearer_auth(IMPORTED_TOKEN),
        http.delete(format!("{}{SESSIONS}x/", server.origin))
            .header("cookie", format!("{cookie}; authentik_csrf={csrf}"))
            .header("x-authentik-csrf", &csrf),
        // Where a secret does not belong.
        http.get(format!("{}{SESSIONS}?search={key}", server.origin)).bearer_auth(&key),
        http.get(format!("{}/{key}", server.origin)),
        http.get(format!("{}/sessions/{key}/end", server.origin)).header("x-api-key", &key),
        http.get(format!("{}{SESSIONS}", server.origin)).header("x-request-id", &key),
    ] {
        request.send().await.unwrap();
    }
    let other = sign_in(&http, &server, &mut secrets, "alice", LATER).await;
    let cookie_of_other = format!("rollcall_session={other}");
    assert_eq!(submit(&http, &server, &mut secrets, "/sign-out", &cookie_of_other, &[]).await.status(), 303);
    let third = sign_in(&http, &server, &mut secrets, "alice", LATER).await;
    let request = http.post(format!("{}{SIGN_OUT_FLOW}", server.origin)).header("cookie", format!("rollcall_session={third}"));
    assert_eq!(request.send().await.unwrap().status(), 200);
    // A second factor, and a sign-in with it and with a recovery code.
    let (phone, codes, cookie) = add_app(&http, &server, &mut secrets, &cookie).await;
    for code in [phone.code(Clock::System.now(), 1), codes[0].clone()] {
        sign_in_with(&http, &server, &mut secrets, ("alice", LATER), Some(&code)).await;
    }
    // A change of the password brings a new key, and ends all others.
    let fields = [("password", OWN), ("again", OWN)];
    assert_eq!(submit(&http, &server, &mut secrets, "/password", &cookie, &fields).await.status(), 303);
    let mut places: Vec<(String, Vec<u8>)> = Vec::new();
    for path in pages {
        let answer = http.get(format!("{}{path}", server.origin)).header("cookie", &admin).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        // But for the proofs of the forms that it shows, which are the reader's own.
        let text = answer.text().await.unwrap();
        let text = text.split("name=\"proof\" value=\"").map(|part| part.split_once('"').map_or(part, |(_, rest)| rest));
        places.push((path.into(), text.collect::<Vec<_>>().join("").into_bytes()));
    }
    let metrics = server.log().lines().find_map(|line| line.strip_prefix("metrics at ").map(str::to_owned)).expect("metrics");
    let metrics = http.get(metrics).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("rollcall"), "{metrics}");
    places.push(("the metrics".into(), metrics.into_bytes()));
    for path in [SESSIONS, "/api/v3/core/ended_sessions/", "/api/v3/schema/"] {
        let answer = server.call(Method::GET, path, TOKEN).await;
        places.push((path.into(), answer.bytes().await.unwrap().to_vec()));
    }

    // What is on disk while it runs, after a crash, and after a stop.
    places.extend(at_rest(&home, "while it runs").await);
    logs.push(server.log());
    server.kill().await;
    places.extend(at_rest(&home, "after a crash").await);
    let server = home.serve().await;
    eventually("an answer", || async { (server.status("/-/health/ready/").await == 204).then_some(()) }).await;
    logs.push(server.stop().await);
    places.extend(at_rest(&home, "after a stop").await);
    places.extend(logs.into_iter().map(|log| ("a log".to_owned(), log.into_bytes())));
    for args in [
        vec!["export", "--sessions"],
        vec!["export", "--users"],
        vec!["export", "--events"],
        vec!["export", "--events", "--format", "csv"],
        vec!["session", "list", "--json"],
        vec!["user", "list", "--json"],
        vec!["user", "show", "alice", "--json"],
        vec!["token", "list", "--json"],
        vec!["check"],
    ] {
        let done = home.run(&args);
        places.push((format!("{args:?}"), format!("{}{}", done.out, done.err).into_bytes()));
    }

    assert!(secrets.0.len() > 20, "{:?}", secrets.0.keys());
    for kind in [
        "rollcall_session",
        "rollcall_flow",
        "authentik_csrf",
        "rollcall_form",
        "rollcall_device",
        "the proof of",
        "a token for",
        "recovery code",
    ] {
        assert!(secrets.0.keys().any(|what| what.contains(kind)), "no secret of the kind {kind} was issued");
    }
    assert!(places.len() > 20, "{:?}", places.iter().map(|(name, _)| name).collect::<Vec<_>>());
    let found: Vec<String> = places
        .iter()
        .flat_map(|(place, bytes)| secrets.found_in(bytes).into_iter().map(move |what| format!("{what} is in {place}")))
        .collect();
    assert!(found.is_empty(), "{found:#?}");
    let has_seed = |bytes: &[u8]| bytes.windows(phone.seed.len()).any(|window| window == phone.seed);
    assert!(!places.iter().any(|(_, bytes)| has_seed(bytes)), "a seed as it is");
    // It was looked in the right places: what is kept of a secret is there, and names are.
    let all: Vec<u8> = places.iter().flat_map(|(_, bytes)| bytes.to_ascii_lowercase()).collect();
    let holds = |part: &[u8]| all.windows(part.len()).any(|window| window == part);
    let hash = sha2::Sha256::digest(IMPORTED.as_bytes());
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(holds(&hash.to_ascii_lowercase()) || holds(hex.as_bytes()), "the hash of a session key");
    assert!(holds(b"alice") && holds(b"sign_in_failed"));
});

/// Everything that is stored: each file of the data directory, or each table.
async fn at_rest(home: &Home, when: &str) -> Vec<(String, Vec<u8>)> {
    let mut places = Vec::new();
    for entry in std::fs::read_dir(home.data("")).unwrap() {
        let path = entry.unwrap().path();
        places.push((format!("{} {when}", path.display()), std::fs::read(&path).unwrap()));
    }
    assert!(!places.is_empty());
    if home.schema().is_none() {
        return places;
    }
    // Rows as text: bytes show in hexadecimal. And what the database says it was asked last.
    let tables = home.texts("SELECT CAST(tablename AS TEXT) FROM pg_tables WHERE schemaname = current_schema()").await;
    assert!(tables.len() > 8, "{tables:?}");
    for table in tables {
        let rows = home.texts(&format!("SELECT CAST(t AS TEXT) FROM {table} t")).await;
        places.push((format!("the table {table} {when}"), rows.join("\n").into_bytes()));
    }
    let asked = home.texts("SELECT COALESCE(query, '') FROM pg_stat_activity WHERE datname = current_database()").await;
    places.push((format!("pg_stat_activity {when}"), asked.join("\n").into_bytes()));
    places
}

/// The search itself finds what is there.
#[test]
fn a_secret_is_found_in_every_form() {
    let mut secrets = Secrets::default();
    secrets.add("one", "abcdefghijklmnopqrstuvwxyz");
    let hex: String = b"abcdefghijklmnopqrstuvwxyz".iter().map(|byte| format!("{byte:02X}")).collect();
    for bytes in ["xx abcdefghijklmnopqrstuvwxyz", &hex, &STANDARD.encode("abcdefghijklmnopqrstuvwxyz")] {
        assert_eq!(secrets.found_in(bytes.as_bytes()), ["one"], "{bytes}");
    }
    assert!(secrets.found_in(b"abcdefghijklmnopqrstuvwxy").is_empty());
}
