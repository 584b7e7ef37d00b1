//! Forms that a browser sends in ways that look odd: what is let through, and what a refusal says.

use crate::support::app::PASSWORD;
use crate::support::{Answer, Caller, TestApp, encode};

async fn sign_in(caller: &Caller, proof: &str, next: &str) -> Answer {
    caller.post_form("/sign-in", &[("proof", proof), ("uid", "alice"), ("password", PASSWORD), ("next", next)]).await
}

db_test!(a_null_origin_is_settled_by_the_browsers_other_word, |db| async move {
    let app = TestApp::new(db).await;
    app.user_with_password("alice").await;
    let caller = app.anonymous();
    let proof = caller.get("/sign-in").await.proof();
    let null = caller.with_header("origin", "null");
    let other = app.anonymous().get("/sign-in").await.proof();
    for refused in [
        sign_in(&null, &proof, "/").await,
        sign_in(&null.with_header("sec-fetch-site", "cross-site"), &proof, "/").await,
        sign_in(&null.with_header("sec-fetch-site", "same-site"), &proof, "/").await,
        sign_in(&null.with_header("sec-fetch-site", "none"), &proof, "/").await,
        // The form's own proof is checked in addition.
        sign_in(&null.with_header("sec-fetch-site", "same-origin"), "", "/").await,
        sign_in(&null.with_header("sec-fetch-site", "same-origin"), &other, "/").await,
    ] {
        refused.assert_status(403);
    }
    let page = sign_in(&null.with_header("sec-fetch-site", "same-origin"), &proof, "/security").await;
    assert_eq!(page.redirects_to(), "/security");
});

db_test!(one_origin_may_be_written_in_several_ways, |db| async move {
    let settings = [("HTTP__TRUSTED_PROXIES", "127.0.0.0/8")];
    let app = TestApp::with(db, &settings).await;
    app.user_with_password("alice").await;
    for (scheme, host, origin, status) in [
        ("https", "s.example:443", "https://s.example", 303),
        ("https", "s.example", "https://s.example:443", 303),
        ("https", "S.Example.", "https://s.example", 303),
        ("http", "s.example:80", "http://s.example", 303),
        ("http", "[2001:db8:0::1]:80", "http://[2001:db8::1]", 303),
        ("https", "s.example:8443", "https://s.example", 403),
        ("https", "s.example", "http://s.example", 403),
        ("http", "s.example:443", "https://s.example", 403),
        ("https", "s.example", "https://s.example.evil.example", 403),
    ] {
        let caller = app.anonymous();
        let proof = caller.get("/sign-in").await.proof();
        let caller = caller.with_header("host", host).with_header("x-forwarded-proto", scheme).with_header("origin", origin);
        assert_eq!(sign_in(&caller, &proof, "/").await.status, status, "{scheme} {host} {origin}");
    }
});

/// What the page of a refused form says.
fn why(answer: Answer) -> String {
    let text = answer.assert_status(403).text();
    let note = text.split("id=\"error\">").nth(1).and_then(|rest| rest.split("</p>").next());
    note.unwrap_or_else(|| panic!("no reason: {text}")).to_owned()
}

db_test!(a_refused_form_says_which_of_five_causes_it_has, |db| async move {
    let app = TestApp::with(db, &[("HTTP__TRUSTED_PROXIES", "127.0.0.0/8")]).await;
    app.user_with_password("alice").await;
    let caller = app.anonymous();
    let proof = caller.get("/sign-in").await.proof();
    let foreign = why(sign_in(&caller.with_header("origin", "http://evil.example"), &proof, "/").await);
    assert!(foreign.contains("another site"), "{foreign}");
    let without_cookie = why(sign_in(&app.anonymous(), &proof, "/").await);
    assert!(without_cookie.contains("Allow cookies"), "{without_cookie}");
    let incomplete = why(sign_in(&caller, "", "/").await);
    assert!(incomplete.contains("did not arrive"), "{incomplete}");
    let other = app.anonymous().get("/sign-in").await.proof();
    let old = why(sign_in(&caller, &other, "/").await);
    assert!(old.contains("too old"), "{old}");
});

db_test!(over_http_a_server_of_https_says_that_cookies_are_not_kept, |db| async move {
    let settings = [("HTTP__TRUSTED_PROXIES", "127.0.0.0/8"), ("HTTP__PUBLIC_URL", "https://s.example")];
    let app = TestApp::with(db, &settings).await;
    app.user_with_password("alice").await;
    let http = app.anonymous().with_header("x-forwarded-proto", "http");
    let page = http.get("/sign-in").await;
    assert!(page.set_cookie("__Host-rollcall_form").unwrap().contains("Secure"), "no browser keeps that over http");
    // A browser that keeps no cookie.
    let http = app.anonymous().with_header("x-forwarded-proto", "http");
    let said = why(sign_in(&http, &page.proof(), "/").await);
    assert!(said.contains("over http") && said.contains("https://"), "{said}");
    let https = app.anonymous().with_header("x-forwarded-proto", "https");
    let said = why(sign_in(&https, &page.proof(), "/").await);
    assert!(said.contains("Allow cookies"), "{said}");
});

db_test!(a_form_sent_after_a_sign_in_in_another_tab_leads_to_its_target, |db| async move {
    let app = TestApp::new(db).await;
    app.user_with_password("alice").await;
    let browser = app.anonymous();
    let old = browser.get("/sign-in?next=/security").await.proof();
    let other_tab = browser.get("/sign-in").await.proof();
    assert_eq!(sign_in(&browser, &other_tab, "/").await.redirects_to(), "/");
    let before = app.number("SELECT count(*) FROM sessions").await;
    assert_eq!(sign_in(&browser, &old, "/security").await.redirects_to(), "/security");
    assert_eq!(sign_in(&browser, &old, "https://evil.example/").await.redirects_to(), "/", "and nowhere else");
    for path in ["/sign-in/factor", "/sign-in/choose", "/sign-in/passkey"] {
        let late = browser.post_form(path, &[("proof", &old), ("next", "/security")]).await;
        assert_eq!(late.redirects_to(), "/security", "{path}");
    }
    assert_eq!(app.number("SELECT count(*) FROM sessions").await, before, "nobody signed in again");
    // What another site sends leads nowhere.
    let foreign = browser.with_header("origin", "http://evil.example");
    sign_in(&foreign, &old, "/security").await.assert_status(403);
});

db_test!(the_query_of_a_page_is_kept_through_a_sign_in, |db| async move {
    let app = TestApp::new(db).await;
    let root = app.superuser("root").await;
    let own = root.session().await;
    for path in [
        "/events?user=2",
        "/events?user=2&kind=sign_in&before=100",
        "/users?q=zo%C3%AB",
        "/users/1?tab=events",
        "/tokens/new?user=alice",
        "/settings?x=1",
        "/sessions?ended=others",
        "/sessions/not-me?x=1",
        "/sessions/all?q=country:DE+-current&order=-used&page=2",
        "/sessions/all?nonsense=1",
        "/map?q=user%3Aalice",
        "/security?x=1",
        "/password?x=1",
        "/my-data?x=1",
        &format!("/sessions/{}?x=1", own.uuid),
        "/confirm?next=/security",
    ] {
        let caller = app.anonymous();
        let to = caller.get(path).await.redirects_to().to_owned();
        assert_eq!(to, format!("/sign-in?next={}", query_of(path)), "{path}");
        let form = caller.get(&to).await.assert_status(200).text();
        let next = form.split("name=\"next\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap().to_owned();
        assert_eq!(next.replace("&#38;", "&").replace("&amp;", "&"), path);
    }
});

/// A path as the value of a parameter: what a path may hold stays readable.
fn query_of(path: &str) -> String {
    encode(path).replace("%2F", "/").replace("%2D", "-").replace("%5F", "_").replace("%2E", ".").replace("%7E", "~")
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_forms_do_not_flood_the_log() {
    use crate::process::{Home, Person};
    let home = Home::sqlite().with_administrator();
    let server = home.serve().await;
    let person = Person::new(&server, "curl/8.5.0");
    for _ in 0..60 {
        let response = person.submit_to("/-/health/live/", "/sign-in", &[("uid", "akadmin"), ("password", "wrong")]).await;
        assert_eq!(response.status(), 403);
    }
    let log = server.stop().await;
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("a form was refused")).collect();
    assert_eq!(lines.len(), 10, "ten a minute: {log}");
    assert!(lines[0].contains("no_cookie") && lines[0].contains("127.0.0.1"), "the cause and the sender: {}", lines[0]);
}
