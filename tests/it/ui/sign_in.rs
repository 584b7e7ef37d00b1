//! `/sign-in` and `/sign-out`.

use crate::support::app::PASSWORD;
use crate::support::{Answer, Caller, SESSIONS, TestApp};

async fn submit(caller: &Caller, uid: &str, password: &str, next: &str) -> Answer {
    let proof = caller.get("/sign-in").await.assert_status(200).proof();
    caller.post_form("/sign-in", &[("proof", &proof), ("uid", uid), ("password", password), ("next", next)]).await
}

db_test!(the_form_signs_in_and_leads_back, |db| async move {
    let app = TestApp::new(db).await;
    app.user_with_password("alice").await;
    let caller = app.anonymous();
    assert_eq!(caller.get("/").await.redirects_to(), "/sessions");
    assert_eq!(caller.get("/sessions").await.redirects_to(), "/sign-in?next=/sessions");
    let form = caller.get("/sign-in?next=/sessions").await.assert_status(200);
    assert!(form.text().contains("name=\"next\" value=\"/sessions\""));
    let answer = submit(&caller, "alice", PASSWORD, "/sessions").await;
    assert_eq!(answer.redirects_to(), "/sessions");
    assert!(caller.get("/sessions").await.assert_status(200).text().contains("alice"));
    assert_eq!(caller.get("/sign-in?next=/sessions").await.redirects_to(), "/sessions", "a signed-in user is redirected at once");
    for evil in ["//evil.example", "https://evil.example/", "/\\evil.example"] {
        assert_eq!(caller.get(&format!("/sign-in?next={}", crate::support::encode(evil))).await.redirects_to(), "/");
        assert_eq!(submit(&app.anonymous(), "alice", PASSWORD, evil).await.redirects_to(), "/", "{evil}");
    }
});

db_test!(wrong_names_and_wrong_passwords_read_the_same, |db| async move {
    let app = TestApp::new(db).await;
    app.user_with_password("alice").await;
    let mut pages = Vec::new();
    for (uid, password) in [("alice", "wrong"), ("nobody", PASSWORD)] {
        let caller = app.anonymous();
        let page = submit(&caller, uid, password, "/").await.assert_status(200);
        assert!(page.text().contains("Username or password is wrong."));
        assert!(page.set_cookie("rollcall_session").is_none());
        pages.push(page.text().replace(uid, "NAME").replace(&page.proof(), "PROOF"));
    }
    assert_eq!(pages[0], pages[1]);
    let page = submit(&app.anonymous(), "<script>\"'&", "x", "/").await.assert_status(200).text();
    assert!(!page.contains("<script>"), "{page}");
    submit(&app.anonymous(), "", "", "").await.assert_status(200);
});

db_test!(a_form_without_its_proof_is_refused, |db| async move {
    let app = TestApp::new(db).await;
    app.user_with_password("alice").await;
    let caller = app.anonymous();
    let proof = caller.get("/sign-in").await.proof();
    let fields = [("uid", "alice"), ("password", PASSWORD)];
    caller.post_form("/sign-in", &fields).await.assert_status(403);
    // A proof is bound to the browser it was given to.
    let other = app.anonymous();
    let with = |proof: &'static str| [("proof", proof), ("uid", "alice"), ("password", PASSWORD)];
    let proof: &'static str = Box::leak(proof.into_boxed_str());
    other.post_form("/sign-in", &with(proof)).await.assert_status(403);
    other.get("/sign-in").await.assert_status(200);
    other.post_form("/sign-in", &with(proof)).await.assert_status(403);
    caller.with_header("origin", "http://evil.example").post_form("/sign-in", &with(proof)).await.assert_status(403);
    caller.with_header("sec-fetch-site", "cross-site").post_form("/sign-in", &with(proof)).await.assert_status(403);
    assert_eq!(app.number("SELECT count(*) FROM sessions").await, 0);
    assert_eq!(caller.post_form("/sign-in", &with(proof)).await.redirects_to(), "/");
});

db_test!(bodies_that_are_no_form, |db| async move {
    let app = TestApp::new(db).await;
    let caller = app.anonymous();
    for body in [Vec::new(), b"\xff\xfe".to_vec(), b"{}".to_vec()] {
        let answer = caller.post_bytes("/sign-in", body).await;
        assert_eq!(answer.status / 100, 4);
    }
});

db_test!(a_form_that_is_too_large_is_told_so, |db| async move {
    let app = TestApp::new(db).await;
    let caller = app.anonymous();
    let large =
        caller.build("POST", "/sign-in").header("content-type", "application/x-www-form-urlencoded").body(vec![b'a'; 65 * 1024]);
    crate::support::caller::send(large).await.assert_status(413);
});

db_test!(signing_out_needs_a_click, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user("alice").await;
    let (browser, other) = (alice.session().await, alice.session().await);
    let asked = browser.get("/sign-out").await.assert_status(200);
    browser.get(SESSIONS).await.assert_status(200);
    browser.post_form("/sign-out", &[]).await.assert_status(403);
    browser.post_form("/sign-out", &[("proof", &other.get("/sign-out").await.proof())]).await.assert_status(403);
    browser.get(SESSIONS).await.assert_status(200);
    let out = browser.post_form("/sign-out", &[("proof", &asked.proof())]).await;
    assert_eq!(out.redirects_to(), "/sign-in");
    assert!(browser.cookie("rollcall_session").is_none_or(|value| value.is_empty()), "the browser forgets it");
    assert_eq!(app.ending(&browser.uuid).await, Some(("signed_out".into(), "alice".into())));
    other.get(SESSIONS).await.assert_status(200);
    assert_eq!(app.anonymous().get("/sign-out").await.redirects_to(), "/sign-in");
    assert_eq!(app.anonymous().post_form("/sign-out", &[]).await.redirects_to(), "/sign-in");
});
