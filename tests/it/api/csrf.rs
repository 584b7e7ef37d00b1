//! A cookie that changes something needs its proof (`docs/compat.md` 5).

use crate::support::{Caller, SESSIONS, TestApp};

const SECRET: &str = "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6";
const OTHER: &str = "B1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6";
const ALPHABET: &[u8; 62] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// The secret under a mask, as Django hides it in a page.
fn masked(secret: &str, mask: &str) -> String {
    let place = |letter: u8| ALPHABET.iter().position(|known| *known == letter).unwrap();
    let sums = secret.bytes().zip(mask.bytes()).map(|(s, m)| char::from(ALPHABET[(place(s) + place(m)) % 62]));
    format!("{mask}{}", sums.collect::<String>())
}

async fn refused(caller: &Caller, url: &str, why: &str) {
    caller.delete(url).await.assert_detail(403, &format!("CSRF Failed: {why}"));
}

db_test!(every_failure_is_named_and_nothing_ends, |db| async move {
    let app = TestApp::new(db).await;
    let browser = app.user("alice").await.session().await;
    let url = browser.url();
    let from_header = |what: &str| format!("CSRF token from the 'X-Authentik-Csrf' HTTP header {what}.");
    let sending = |token: &str| browser.with_header("x-authentik-csrf", token);
    refused(&sending(SECRET), &url, "CSRF cookie not set.").await;
    for (cookie, why) in [("short", "incorrect length"), ("", "incorrect length")] {
        browser.set_cookie("authentik_csrf", cookie);
        refused(&sending(SECRET), &url, &format!("CSRF cookie has {why}.")).await;
    }
    browser.set_cookie("authentik_csrf", &"-".repeat(32));
    refused(&sending(SECRET), &url, "CSRF cookie has invalid characters.").await;
    browser.set_cookie("authentik_csrf", SECRET);
    refused(&browser, &url, "CSRF token missing.").await;
    refused(&sending("short"), &url, &from_header("has incorrect length")).await;
    refused(&sending(&"x".repeat(63)), &url, &from_header("has incorrect length")).await;
    refused(&sending(&"!".repeat(64)), &url, &from_header("has invalid characters")).await;
    refused(&sending(OTHER), &url, &from_header("incorrect")).await;
    refused(&sending(&masked(OTHER, SECRET)), &url, &from_header("incorrect")).await;
    browser.get(&url).await.assert_status(200);
});

db_test!(secrets_agree_under_any_mask, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user("alice").await;
    let masks = ["zyxwvutsrqponmlkjihgfedcbaZYXWVU", "99999999999999999999999999999999"];
    for (cookie, token) in [
        (SECRET.to_owned(), SECRET.to_owned()),
        (SECRET.to_owned(), masked(SECRET, masks[0])),
        (masked(SECRET, masks[1]), SECRET.to_owned()),
        (masked(SECRET, masks[0]), masked(SECRET, masks[1])),
    ] {
        let browser = alice.session().await;
        browser.set_cookie("authentik_csrf", &cookie);
        browser.with_header("x-authentik-csrf", &token).delete(&browser.url()).await.assert_status(204);
    }
});

db_test!(a_foreign_origin_is_refused_first, |db| async move {
    let app = TestApp::new(db).await;
    let browser = app.user("alice").await.session().await;
    let port = app.address.port();
    for origin in [
        "http://evil.example",
        "null",
        &format!("https://127.0.0.1:{port}"),
        "http://127.0.0.1",
        &format!("http://127.0.0.1:{port}.evil.example"),
    ] {
        let why = format!("Origin checking failed - {origin} does not match any trusted origins.");
        refused(&browser.with_header("origin", origin), &browser.url(), &why).await;
        // Reading is not checked.
        browser.with_header("origin", origin).get(SESSIONS).await.assert_status(200);
    }
    browser.with_csrf().with_header("origin", &app.origin()).delete(&browser.url()).await.assert_status(204);
});

db_test!(reading_needs_no_proof_and_every_other_method_does, |db| async move {
    let app = TestApp::new(db).await;
    let browser = app.superuser("root").await.session().await;
    for method in ["GET", "HEAD", "OPTIONS", "TRACE"] {
        let answer = browser.request(method, SESSIONS).await;
        assert_ne!(answer.status, 403, "{method}");
    }
    for method in ["POST", "PUT", "PATCH", "DELETE", "BREW"] {
        browser.request(method, SESSIONS).await.assert_detail(403, "CSRF Failed: CSRF cookie not set.");
    }
});

db_test!(over_https_a_referer_of_the_same_host_is_needed, |db| async move {
    let settings = [("HTTP__TRUSTED_PROXIES", "127.0.0.1"), ("HTTP__PUBLIC_URL", "https://sessions.example")];
    let app = TestApp::with(db, &settings).await;
    let alice = app.user("alice").await;
    let session = alice.session().await;
    let cookies = format!("__Host-rollcall_session={}; authentik_csrf={SECRET}", session.key);
    let browser = app.anonymous().with_header("cookie", &cookies);
    let browser = browser.with_header("x-forwarded-proto", "https").with_header("x-authentik-csrf", SECRET);
    refused(&browser, &session.url(), "Referer checking failed - no Referer.").await;
    let foreign = "https://evil.example/sessions.example/";
    let why = format!("Referer checking failed - {foreign} does not match any trusted origins.");
    refused(&browser.with_header("referer", foreign), &session.url(), &why).await;
    browser.with_header("referer", "https://sessions.example/sessions?x=1").delete(&session.url()).await.assert_status(204);
});
