//! Headers that every answer carries, cookies over https, and whose word about a client counts.

use std::time::Duration;

use serde_json::json;

use crate::support::{SESSIONS, SIGN_IN_FLOW, TestApp, TestDb};

db_test!(every_address_answers_with_security_headers, |db| async move {
    let app = TestApp::new(db).await;
    let browser = app.user("alice").await.session().await;
    let addresses: Vec<String> = rollcall::routes::routes()
        .paths
        .iter()
        .map(|path| {
            path.replace("{uuid}", &browser.uuid).replace("{flow_slug}", "x").replace("{key}", "x").replace("{file}", "icon.svg")
        })
        .collect();
    assert!(addresses.len() > 15, "{addresses:?}");
    for address in addresses.iter().map(String::as_str).chain(["/nothing", "/api/v3/nothing/"]) {
        for method in ["GET", "POST", "OPTIONS"] {
            let answer = app.anonymous().request(method, address).await;
            for (name, value) in [
                ("x-content-type-options", "nosniff"),
                ("x-frame-options", "DENY"),
                ("vary", "Cookie"),
                ("cross-origin-opener-policy", "same-origin"),
                ("cross-origin-resource-policy", "same-origin"),
            ] {
                assert_eq!(answer.header(name), Some(value), "{name} of {method} {address}");
            }
            let policy = answer.header("content-security-policy").unwrap();
            assert!(
                policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe")
            );
            assert!(matches!(answer.header("referrer-policy"), Some("same-origin" | "no-referrer")));
            assert_eq!(answer.header("x-request-id").unwrap().len(), 32);
            assert!(answer.header("strict-transport-security").is_none(), "not over http");
            let is_file = answer.status == 200 && address.contains("/static/");
            assert!(is_file || answer.header("cache-control") == Some("no-store"), "{address}");
        }
    }
});

db_test!(pages_have_no_inline_code, |db| async move {
    let app = TestApp::new(db).await;
    let browser = app.user("alice").await.session().await;
    for (caller, path) in [
        (&app.anonymous(), "/sign-in"),
        (&browser.caller, "/sessions"),
        (&browser.caller, "/sign-out"),
        (&browser.caller, "/nothing"),
        (&browser.caller, "/api/v3/"),
    ] {
        let text = caller.get(path).await.text();
        assert!(text.contains("<html lang=\"en\">"), "{path}");
        assert!(
            !text.contains(" style=") && !text.contains("<style") && !text.contains("<script>") && !text.contains(" onclick"),
            "{path}"
        );
    }
});

db_test!(over_https_cookies_are_bound_to_the_host, |db| async move {
    let settings = [
        ("HTTP__PUBLIC_URL", "https://sessions.example"),
        ("HTTP__TRUSTED_PROXIES", "127.0.0.0/8"),
        ("SESSIONS__REMEMBER_TIMEOUT", "0"),
    ];
    let app = TestApp::with(db, &settings).await;
    app.user_with_password("alice").await;
    let caller = app.anonymous().with_header("x-forwarded-proto", "https");
    let first = caller.get(SIGN_IN_FLOW).await;
    assert!(first.header("strict-transport-security").is_some());
    let flow = first.set_cookie("__Host-rollcall_flow").unwrap();
    let pair = |line: &str| line.split(';').next().unwrap().to_owned();
    let second = caller
        .with_header("cookie", &pair(&flow))
        .post_json(SIGN_IN_FLOW, &json!({"component": "ak-stage-identification", "uid_field": "alice"}))
        .await;
    let flow = second.set_cookie("__Host-rollcall_flow").unwrap();
    let body = json!({"component": "ak-stage-password", "password": crate::support::app::PASSWORD});
    let last = caller.with_header("cookie", &pair(&flow)).post_json(SIGN_IN_FLOW, &body).await;
    let session = last.set_cookie("__Host-rollcall_session").unwrap();
    for line in [&flow, &session] {
        assert!(
            line.contains("Secure") && line.contains("HttpOnly") && line.contains("Path=/") && !line.contains("Domain"),
            "{line}"
        );
    }
    caller.with_header("cookie", &pair(&session)).get(SESSIONS).await.assert_status(200);
    let plain = pair(&session).replace("__Host-", "");
    caller.with_header("cookie", &plain).get(SESSIONS).await.assert_status(403);
});

#[tokio::test]
async fn hsts_is_for_the_host_for_its_subdomains_or_off() {
    let old = "HTTP__HSTS_INCLUDE_SUBDOMAINS";
    for (setting, value, want) in [
        ("HTTP__HSTS", "off", None),
        ("HTTP__HSTS", "host", Some("max-age=31536000")),
        ("HTTP__HSTS", "subdomains", Some("max-age=31536000; includeSubDomains")),
        (old, "true", Some("max-age=31536000; includeSubDomains")),
        (old, "false", Some("max-age=31536000")),
    ] {
        let settings =
            [("HTTP__PUBLIC_URL", "https://sessions.example"), ("HTTP__TRUSTED_PROXIES", "127.0.0.0/8"), (setting, value)];
        let app = TestApp::with(TestDb::sqlite(), &settings).await;
        let answer = app.anonymous().with_header("x-forwarded-proto", "https").get("/sign-in").await;
        assert_eq!(answer.header("strict-transport-security"), want, "{setting}={value}");
    }
}

db_test!(only_trusted_proxies_say_where_a_client_is, |db| async move {
    let app = TestApp::with(db, &[("HTTP__TRUSTED_PROXIES", "127.0.0.1, 10.0.0.0/8")]).await;
    let browser = app.user("alice").await.session().await;
    for (forwarded, want) in [
        ("203.0.113.7", "203.0.113.7"),
        ("6.6.6.6, 203.0.113.8, 10.1.2.3", "203.0.113.8"),
        ("[2001:db8::9]:4711", "2001:db8::9"),
        ("203.0.113.9, nonsense", "127.0.0.1"),
    ] {
        app.advance(Duration::from_secs(3600));
        browser.with_header("x-forwarded-for", forwarded).get(SESSIONS).await.assert_status(200);
        app.app.touches.flush(&app.app).await.unwrap();
        assert_eq!(browser.get(&browser.url()).await.json()["last_ip"], want, "{forwarded}");
    }
});

db_test!(without_trusted_proxies_nobodys_word_counts, |db| async move {
    let app = TestApp::new(db).await;
    let browser = app.user("alice").await.session().await;
    app.advance(Duration::from_secs(3600));
    let caller = browser
        .with_header("x-forwarded-for", "203.0.113.7")
        .with_header("x-real-ip", "203.0.113.7")
        .with_header("forwarded", "for=203.0.113.7");
    caller.with_header("x-forwarded-proto", "https").get(SESSIONS).await.assert_status(200);
    app.app.touches.flush(&app.app).await.unwrap();
    assert_eq!(browser.get(&browser.url()).await.json()["last_ip"], "127.0.0.1");
});

db_test!(health_needs_no_credentials, |db| async move {
    let app = TestApp::new(db).await;
    for path in ["/-/health/live/", "/-/health/ready/"] {
        app.anonymous().get(path).await.assert_status(204);
    }
});
