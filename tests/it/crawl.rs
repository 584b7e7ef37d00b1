//! Every address, every method, signed in and not: the headers that every answer carries, and that
//! nothing which a cookie authorises is done without its proof.

use rollcall::auth::csrf;
use rollcall::domain::user::TokenIntent;
use serde_json::json;

use crate::support::app::{Browser, PASSWORD, TestUser};
use crate::support::caller::send;
use crate::support::raw;
use crate::support::{Answer, Caller, SESSIONS, TestApp};

const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"];
const CSRF_SECRET: &str = "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6";
const FORM_COOKIE: &str = "0123456789abcdef0123456789abcdef";

/// Every address with something that is there in its parts, and with something that is not.
async fn addresses(app: &TestApp, admin: &TestUser<'_>, uuid: &str) -> Vec<String> {
    let link = app.user("newcomer").await.token_key(TokenIntent::Recovery, None).await;
    let mut addresses = Vec::new();
    for path in rollcall::routes::routes().paths {
        // It never ends; its head is looked at elsewhere (ui::all_sessions).
        if path.ends_with("/live") {
            continue;
        }
        for (slug, uuid, key, file) in [
            ("default-authentication-flow", uuid, link.as_str(), if path.contains("/api/") { "start.js" } else { "icon.svg" }),
            ("default-invalidation-flow", "00000000-0000-4000-8000-00000000dead", "x", "x.svg"),
        ] {
            let filled = path.replace("{flow_slug}", slug).replace("{uuid}", uuid).replace("{key}", key).replace("{file}", file);
            let filled = filled.replace("{id}", &admin.id.0.to_string()).replace("{name}", "x").replace("{group_uuid}", uuid);
            let filled = filled.replace("{slug}", slug).replace("{event_uuid}", uuid);
            let filled = filled
                .replace("{identifier}", "x")
                .replace("{stage_uuid}", uuid)
                .replace("{policy_binding_uuid}", uuid)
                .replace("{app}", "wiki")
                .replace("{opened}", uuid)
                .replace("{number}", "1")
                .replace("{pm_uuid}", uuid)
                .replace("{kp_uuid}", uuid)
                .replace("{page}", "start")
                .replace("{*path}", "x");
            assert!(!filled.contains('{'), "{filled}: add a sample for this part to tests/it/crawl.rs");
            addresses.push(filled);
        }
    }
    addresses.dedup();
    let more = ["/nothing", "/api/v3/nothing/", "/static/", "/sessions/", "/sign-in/", "/%00", "/%ff", "/api//v3/", "/a/../b"];
    addresses.extend(more.map(str::to_owned));
    assert!(addresses.len() > 50, "{addresses:?}");
    addresses
}

/// All headers of every answer, whatever it is.
#[track_caller]
fn assert_headers(answer: &Answer, is_https: bool, what: &str) {
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name} of {what}");
        assert_eq!(answer.headers.get_all(name).iter().count(), 1, "{name} of {what}");
    }
    let policy = answer.header("content-security-policy").unwrap_or_else(|| panic!("no policy: {what}"));
    for part in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"] {
        assert!(policy.contains(part), "{part} in {policy} of {what}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains('*') && !policy.contains("http"), "{policy} of {what}");
    assert!(matches!(answer.header("referrer-policy"), Some("same-origin" | "no-referrer")), "{what}");
    assert!(answer.header("permissions-policy").is_some_and(|policy| policy.contains("camera=()")), "{what}");
    assert!(answer.header("vary").is_some_and(|vary| vary.contains("Cookie")), "{what}");
    assert_eq!(answer.header("x-request-id").map(str::len), Some(32), "{what}");
    let transport = answer.header("strict-transport-security");
    assert_eq!(transport, is_https.then_some("max-age=31536000"), "{what}");
    let is_file = answer.status == 200 && (what.contains("/static/") || what.contains("/api/v3/browser/"));
    assert!(is_file || answer.header("cache-control") == Some("no-store"), "{:?} of {what}", answer.header("cache-control"));
    assert_eq!(answer.header("access-control-allow-origin"), None, "{what}");
    assert_eq!(answer.header("server"), None, "{what}");
    if answer.status == 405 {
        assert!(answer.header("allow").is_some(), "{what}");
    }
}

async fn ask(caller: &Caller, method: &str, path: &str) -> Answer {
    let request = caller.build(method, path);
    send(if path.starts_with("/api/") { request.json(&json!({})) } else { request.form(&[("x", "y")]) }).await
}

/// Whether an address is on the hosts of apps, or asked by their proxies. It decides nothing about their https.
fn is_of_apps(path: &str) -> bool {
    ["/guard/nginx/", "/guard/caddy/", "/guard/traefik/", "/guard/envoy/", "/.rollcall/", "/outpost.goauthentik.io/"]
        .iter()
        .any(|prefix| path.starts_with(prefix))
}

db_test!(every_answer_has_all_headers, |db| async move {
    let settings = [("HTTP__PUBLIC_URL", "http://sessions.example"), ("HTTP__TRUSTED_PROXIES", "127.0.0.1")];
    let app = TestApp::with(db, &settings).await;
    let admin = app.superuser("admin").await;
    let browser = admin.session().await;
    let token = admin.token().await;
    for path in addresses(&app, &admin, &browser.uuid).await {
        for method in METHODS {
            // A cookie without proofs, so that the crawl does not sign itself out.
            for (who, caller) in [("nobody", app.anonymous()), ("the admin", browser.caller.clone())] {
                assert_headers(&ask(&caller, method, &path).await, false, &format!("{method} {path} for {who}"));
            }
            if method == "GET" {
                let secure = app.anonymous().with_header("x-forwarded-proto", "https");
                let is_ours = !is_of_apps(&path);
                assert_headers(&ask(&secure, method, &path).await, is_ours, &format!("{method} {path} over https"));
                assert_headers(&ask(&token, method, &path).await, false, &format!("{method} {path} by token"));
            }
        }
    }
    let too_large = "x".repeat(70_000);
    for path in ["/sign-in", "/password", "/users", "/api/v3/flows/executor/default-authentication-flow/"] {
        let answer =
            send(browser.caller.build("POST", path).header("content-type", "application/json").body(too_large.clone())).await;
        assert_headers(&answer, false, &format!("a large body to {path}"));
        let answer = send(browser.caller.build("POST", path).form(&[("uid", &too_large)])).await;
        assert_headers(&answer, false, &format!("a large form to {path}"));
    }
    for (method, target) in [("GET", "/x%zz"), ("GET", "*"), ("BREW", "/"), ("GET", "/sign-in?next=%0d%0aX-Evil:1")] {
        let answer = raw::request(app.address, method, target, &[], b"").await;
        // What is no HTTP at all is refused before there is a request: an empty answer.
        assert!(answer.status != 400 || answer.bytes.is_empty() || answer.header("x-request-id").is_some());
        if answer.header("x-request-id").is_some() {
            assert_headers(&answer, false, &format!("{method} {target}"));
        }
        assert_eq!(answer.header("x-evil"), None);
    }
});

/// What a state change would change.
async fn state(app: &TestApp) -> Vec<(String, i64)> {
    let sql = "SELECT 'sessions', count(*) FROM sessions UNION ALL SELECT 'ended', count(*) FROM ended_sessions \
        UNION ALL SELECT 'users', count(*) FROM users UNION ALL SELECT 'tokens', count(*) FROM tokens \
        UNION ALL SELECT 'active', count(*) FROM users WHERE is_active UNION ALL SELECT 'super', count(*) FROM users WHERE is_superuser \
        UNION ALL SELECT 'with a password', count(*) FROM users WHERE password_hash IS NOT NULL \
        UNION ALL SELECT 'named', count(*) FROM sessions WHERE label <> '' UNION ALL SELECT 'events', count(*) FROM events \
        UNION ALL SELECT 'pending', count(*) FROM pending_sign_ins";
    let mut rows = app.app.store.read().all::<(String, i64)>(sql, &[]).await.expect("counts");
    rows.sort();
    rows
}

/// How a forged request comes: which headers and which proof it carries.
const FORGERIES: [&str; 6] = ["no token", "another's token", "another origin", "no origin", "another site", "a sibling site"];

/// A request with the browser's cookie as another site would have it sent.
fn forge(app: &TestApp, browser: &Browser, how: &str) -> (Caller, String) {
    let right = csrf::form_proof(&app.app, &browser.uuid);
    let caller = browser.with_csrf();
    match how {
        "no token" => (browser.caller.clone(), String::new()),
        "another's token" => {
            let foreign = csrf::form_proof(&app.app, FORM_COOKIE);
            (caller.with_header("x-authentik-csrf", &CSRF_SECRET.chars().rev().collect::<String>()), foreign)
        }
        "another origin" => (caller.with_header("origin", "https://evil.example"), right),
        "no origin" => (caller.with_header("origin", "null"), right),
        "another site" => (caller.with_header("sec-fetch-site", "cross-site"), right),
        _ => (caller.with_header("sec-fetch-site", "same-site"), right),
    }
}

db_test!(nothing_that_a_cookie_authorises_is_done_without_its_proof, |db| async move {
    let app = TestApp::new(db).await;
    let admin = app.superuser("admin").await;
    let browser = admin.session().await;
    let other = app.user_with_password("other").await.session().await;
    let addresses = addresses(&app, &admin, &other.uuid).await;
    let before = state(&app).await;
    let mut refused = 0;
    for how in FORGERIES {
        let (caller, proof) = forge(&app, &browser, how);
        for path in &addresses {
            // A caller of the flows without a browser's headers is no browser.
            if how == "no token" && path.contains("/flows/") || how == "another's token" && path.contains("/flows/") {
                continue;
            }
            for method in ["POST", "PUT", "PATCH", "DELETE"] {
                let request = caller.build(method, path);
                let answer = send(if path.starts_with("/api/") {
                    request.json(&json!({"username": "admin", "expected_count": 1, "component": "ak-stage-identification"}))
                } else {
                    let fields = [
                        ("proof", proof.as_str()),
                        ("uid", "other"),
                        ("username", "eve"),
                        ("password", PASSWORD),
                        ("again", PASSWORD),
                        ("active", "no"),
                        ("next", "/"),
                        ("user", "admin"),
                        ("identifier", "x"),
                        ("count", "1"),
                        ("label", "x"),
                    ];
                    request.form(&fields)
                })
                .await;
                let what = format!("{method} {path} with {how}: {} {}", answer.status, answer.text());
                // Who is signed in and sends an old form to sign in is led on, and nothing is done.
                let is_led_on = answer.status == 303 && path.starts_with("/sign-in");
                assert!(matches!(answer.status, 403..=405) || is_led_on, "{what}");
                if answer.status == 403 {
                    refused += 1;
                    let text = answer.text();
                    assert!(
                        text.contains("CSRF Failed")
                            || text.contains("This form could not be accepted")
                            || text.contains("too old")
                            || text.contains("took too long")
                            || text.contains("A part of this form did not arrive")
                            || text.contains("came from another site"),
                        "{what}"
                    );
                }
                let session = answer.set_cookie(if path.contains("/flows/") { "rollcall_flow" } else { "rollcall_session" });
                assert!(session.is_none(), "{what}");
            }
        }
    }
    assert!(refused > 100, "{refused}");
    assert_eq!(state(&app).await, before);
    // The same browser with its proof is served.
    browser.with_csrf().delete(&format!("{SESSIONS}{}/", other.uuid)).await.assert_status(204);
});
