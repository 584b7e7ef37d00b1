//! `/sessions`: where one is signed in.

use serde_json::json;

use crate::support::app::Browser;
use crate::support::{SESSIONS, TestApp, seed};

const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0";

db_test!(it_shows_ones_own_live_sessions, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user("alice").await;
    let (browser, other) = (alice.session_on("198.51.100.7", AGENT).await, alice.session_on("2001:db8::7", "").await);
    let foreign = app.user("bob").await.session().await;
    app.import(&[seed::session(1, alice.id.0, json!({"expires": "2026-11-01T11:59:59.999999Z", "last_ip": "203.0.113.9"}))]).await;
    let page = browser.get("/sessions").await.assert_status(200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let text = page.text();
    assert!(text.contains(&browser.uuid) && text.contains(&other.uuid) && !text.contains(&foreign.uuid));
    assert!(text.contains("Firefox 131 on Linux") && text.contains("198.51.100.7") && text.contains("2001:db8::7"));
    assert!(!text.contains("203.0.113.9"), "what is over is not shown, swept or not");
    assert_eq!(text.matches("This device").count(), 1);
});

db_test!(a_session_that_ends_this_instant_is_not_shown, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user("alice").await;
    let browser = alice.session().await;
    app.import(&[seed::session(1, alice.id.0, json!({"expires": "2026-11-01T12:00:00Z"}))]).await;
    // The door refuses it from this instant; the page goes by the same rule.
    let ended = app.anonymous();
    ended.set_cookie("rollcall_session", "key-1");
    ended.get(SESSIONS).await.assert_status(403);
    assert!(!browser.get("/sessions").await.text().contains(&seed::uuid(1)));
});

db_test!(a_name_is_text_and_not_markup, |db| async move {
    let app = TestApp::new(db).await;
    let browser = app.user("<script>alert(1)</script>").await.session_on("192.0.2.1", "<img src=x onerror=alert(1)>").await;
    let text = browser.get("/sessions").await.assert_status(200).text();
    assert!(!text.contains("<script>") && !text.contains("<img src=x"), "{text}");
});

db_test!(one_is_ended_by_its_button, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user("alice").await;
    let (browser, other, third) = (alice.session().await, alice.session().await, alice.session().await);
    let foreign = app.superuser("root").await.session().await;
    let proof = browser.get("/sessions").await.proof();
    let end = async |uuid: &str, proof: &str| browser.post_form(&format!("/sessions/{uuid}/end"), &[("proof", proof)]).await;
    end(&other.uuid, "").await.assert_status(403);
    end(&other.uuid, &third.get("/sessions").await.proof()).await.assert_status(403);
    other.get(SESSIONS).await.assert_status(200);
    let done = format!("/sessions?ended={}", other.uuid);
    assert_eq!(end(&other.uuid, &proof).await.redirects_to(), done);
    assert!(browser.get(&done).await.text().contains("is signed out."));
    let live = browser.get(&format!("/sessions?ended={}", third.uuid)).await.text();
    assert!(!live.contains("is signed out"), "the address alone makes nothing so");
    other.get(SESSIONS).await.assert_status(403);
    assert_eq!(end(&other.uuid, &proof).await.redirects_to(), done, "it is so already");
    end("nonsense", &proof).await.assert_status(404);
    end(&foreign.uuid, &proof).await;
    foreign.get(SESSIONS).await.assert_status(200);
    // The page shows the visitor's own sessions only, for administrators too.
    let root_proof = foreign.get("/sessions").await.proof();
    foreign.post_form(&format!("/sessions/{}/end", third.uuid), &[("proof", &root_proof)]).await;
    third.get(SESSIONS).await.assert_status(200);
    // The one in use: that signs out.
    let out = end(&browser.uuid, &proof).await;
    assert_eq!(out.redirects_to(), "/sessions");
    assert!(out.set_cookie("rollcall_session").unwrap().contains("Max-Age=0"));
    assert_eq!(browser.get("/sessions").await.redirects_to(), "/sign-in?next=/sessions");
});

db_test!(all_others_end_at_once, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user("alice").await;
    let browser = alice.session().await;
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(alice.session().await);
    }
    let foreign = app.user("bob").await.session().await;
    browser.post_form("/sessions/end-others", &[]).await.assert_status(403);
    others[0].get(SESSIONS).await.assert_status(200);
    let proof = browser.get("/sessions").await.proof();
    let done = browser.post_form("/sessions/end-others", &[("proof", &proof)]).await.redirects_to().to_owned();
    assert_eq!(done, "/sessions?ended=others");
    assert!(browser.get(&done).await.text().contains("You are signed out everywhere else."));
    for gone in &others {
        gone.get(SESSIONS).await.assert_status(403);
        assert_eq!(app.ending(&gone.uuid).await, Some(("revoked".into(), "alice".into())));
    }
    browser.get(SESSIONS).await.assert_status(200);
    foreign.get(SESSIONS).await.assert_status(200);
    app.assert_counts().await;
});

db_test!(many_sessions_come_in_pages, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user("alice").await;
    let used = |n: u32| json!({"last_used": format!("2026-10-{:02}T00:00:00Z", n % 28 + 1)});
    app.import(&(0..60).map(|n| seed::session(n, alice.id.0, used(n))).collect::<Vec<_>>()).await;
    let browser = alice.session().await;
    let mut seen = std::collections::BTreeSet::new();
    for page in ["1", "2", "3"] {
        let text = browser.get(&format!("/sessions?page={page}")).await.assert_status(200).text();
        let ids = text.split("/sessions/").filter_map(|rest| rest.split_once("/end\"").map(|(uuid, _)| uuid.to_owned()));
        seen.extend(ids.filter(|uuid| uuid.len() == 36));
        assert!(text.contains("of 3"));
    }
    assert_eq!(seen.len(), 61);
    for odd in ["0", "-1", "99", "x", "", "99999999999999999999"] {
        browser.get(&format!("/sessions?page={odd}")).await.assert_status(200);
    }
});

db_test!(a_device_gets_a_name_from_its_owner_alone, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user("alice").await;
    let (browser, other) = (alice.session().await, alice.session().await);
    let root = app.superuser("root").await.session().await;
    let name = async |caller: &Browser, uuid: &str, label: &str| {
        let proof = caller.get("/sessions").await.proof();
        caller.post_form(&format!("/sessions/{uuid}/name"), &[("proof", &proof), ("label", label)]).await
    };
    assert_eq!(name(&browser, &other.uuid, "  Laptop <b>on</b> a train ").await.redirects_to(), "/sessions");
    let page = browser.get("/sessions").await.text();
    assert!(page.contains("Laptop &#60;b&#62;on&#60;/b&#62; a train</bdi>"), "{page}");
    assert_eq!(app.count_events("session_named").await, 1);
    let long = name(&browser, &other.uuid, &"x".repeat(61)).await.assert_status(422);
    assert!(long.text().contains("Sorry: a name has at most 60 characters."));
    name(&root, &other.uuid, "mine now").await.assert_status(404);
    browser.post_form(&format!("/sessions/{}/name", other.uuid), &[("label", "x")]).await.assert_status(403);
    name(&browser, "nonsense", "x").await.assert_status(404);
    assert_eq!(name(&browser, &other.uuid, "").await.redirects_to(), "/sessions");
    assert!(!browser.get("/sessions").await.text().contains("train"));
});

db_test!(what_ended_is_kept_and_somebody_elses_is_not_shown, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user("alice").await;
    let (browser, other) = (alice.session().await, alice.session_on("198.51.100.9", "curl/8.14.1").await);
    let bob = app.user("bob").await;
    let (foreign, _) = (bob.session_on("203.0.113.9", "").await, bob.session().await);
    assert!(browser.get("/sessions").await.text().contains("Nothing has ended yet"));
    let proof = browser.get("/sessions").await.proof();
    browser.post_form(&format!("/sessions/{}/end", other.uuid), &[("proof", &proof)]).await.assert_status(303);
    foreign.post_form("/sign-out", &[("proof", &foreign.get("/sign-out").await.proof())]).await.assert_status(303);
    let page = browser.get("/sessions").await.text();
    assert!(page.contains("198.51.100.9") && page.contains("ended by alice") && page.contains("curl"), "{page}");
    assert!(!page.contains("203.0.113.9"), "another one's history");
});

db_test!(this_was_not_me_leads_through, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user("alice").await;
    let (browser, other) = (alice.session().await, alice.session_on("198.51.100.9", "curl/8.14.1").await);
    let foreign = app.user("bob").await.session_on("203.0.113.9", "").await;
    let path = format!("/sessions/not-me?session={}", other.uuid);
    let page = browser.get(&path).await.assert_status(200);
    assert!(page.text().contains("198.51.100.9") && page.text().contains("Sign out of 1 other session…<"), "{}", page.text());
    let odd = browser.get(&format!("/sessions/not-me?session={}", foreign.uuid)).await.assert_status(200).text();
    assert!(!odd.contains("203.0.113.9"));
    browser.get("/sessions/not-me?session=nonsense").await.assert_status(200);
    let fields = [("proof", page.proof()), ("next", "not-me".into())];
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(browser.post_form("/sessions/end-others", &fields).await.redirects_to(), "/sessions/not-me");
    other.get(SESSIONS).await.assert_status(403);
    foreign.get(SESSIONS).await.assert_status(200);
    assert!(browser.get("/sessions/not-me").await.text().contains("only this device is signed in"));
    let back = format!("/sign-in?next=/sessions/not-me%3Fsession%3D{}", other.uuid);
    assert_eq!(app.anonymous().get(&path).await.redirects_to(), back);
});

db_test!(error_pages_have_the_navigation_of_a_signed_in_user, |db| async move {
    let app = TestApp::new(db).await;
    let browser = app.user("alice").await.session().await;
    for (method, path, status) in [("GET", "/nothing", 404), ("POST", "/sessions/end-others", 403), ("DELETE", "/sessions", 405)] {
        let mine = browser.request(method, path).await.assert_status(status);
        assert!(mine.text().contains("action=\"/sign-out\"") && mine.text().contains("My devices"), "{method} {path}");
        assert_eq!(mine.header("cache-control"), Some("no-store"));
        let anyone = app.anonymous().request(method, path).await;
        assert!(!anyone.text().contains("action=\"/sign-out\""), "{method} {path}");
    }
    assert!(
        browser.request("DELETE", "/sessions").await.header("allow").is_some(),
        "the headers of the answer are kept when it becomes a page"
    );
});
