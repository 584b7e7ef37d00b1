//! `/confirm` and `/password`: a fresh proof, a new key, a new password.

use std::time::Duration;

use crate::support::app::PASSWORD;
use crate::support::{Answer, Caller, SESSIONS, TestApp};

const MINUTE: Duration = Duration::from_secs(60);
const NEW: &str = "another long password";

async fn confirm(caller: &Caller, password: &str) -> Answer {
    let proof = caller.get("/confirm?next=/password").await.assert_status(200).proof();
    caller.post_form("/confirm", &[("proof", &proof), ("password", password), ("next", "/password")]).await
}

/// A caller with nothing but this key.
fn holder(app: &TestApp, key: &str) -> Caller {
    let caller = app.anonymous();
    caller.set_cookie("rollcall_session", key);
    caller
}

db_test!(a_proof_is_fresh_for_ten_minutes, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user_with_password("alice").await.sign_in().await;
    alice.get("/password").await.assert_status(200);
    assert_eq!(alice.get("/confirm?next=/password").await.redirects_to(), "/password", "the sign-in was proof enough");
    app.advance(10 * MINUTE - Duration::from_micros(1));
    let proof = alice.get("/password").await.assert_status(200).proof();
    app.advance(Duration::from_micros(1));
    assert_eq!(alice.get("/password").await.redirects_to(), "/confirm?next=/password");
    let late = [("proof", proof.as_str()), ("password", NEW), ("again", NEW)];
    assert_eq!(alice.post_form("/password", &late).await.redirects_to(), "/confirm?next=/password");
    assert_eq!(app.count_events("password_set").await, 0);
    assert_eq!(app.anonymous().get("/password").await.redirects_to(), "/sign-in?next=/password");
    assert_eq!(app.anonymous().get("/confirm").await.redirects_to(), "/sign-in?next=/confirm");
});

db_test!(a_new_proof_brings_a_new_key, |db| async move {
    let app = TestApp::new(db).await;
    let user = app.user_with_password("alice").await;
    let (alice, elsewhere) = (user.sign_in().await, user.session().await);
    let old = alice.cookie("rollcall_session").unwrap();
    app.advance(11 * MINUTE);
    let wrong = confirm(&alice, "not it at all").await.assert_status(200);
    assert!(wrong.text().contains("not your password") && wrong.set_cookie("rollcall_session").is_none());
    assert_eq!(app.count_events("sign_in_failed").await, 1);
    assert_eq!(confirm(&alice, PASSWORD).await.redirects_to(), "/password");
    let new = alice.cookie("rollcall_session").unwrap();
    assert_ne!(old, new);
    holder(&app, &old).get(SESSIONS).await.assert_status(403);
    holder(&app, &new).get(SESSIONS).await.assert_status(200);
    elsewhere.get(SESSIONS).await.assert_status(200);
    assert_eq!(app.number("SELECT count(*) FROM sessions").await, 2, "it is the same session as before");
    alice.get("/password").await.assert_status(200);
    assert_eq!(app.count_events("confirmed").await, 1);
    // A proof from the future, as a clock that goes back makes one, is none.
    app.app.clock.set(app.app.clock.now().minus(5 * MINUTE));
    assert_eq!(alice.get("/password").await.redirects_to(), "/confirm?next=/password");
    // It leads nowhere else.
    let fields = [("proof", alice.get("/confirm").await.proof()), ("password", PASSWORD.into()), ("next", "//evil.example".into())];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(alice.post_form("/confirm", &fields).await.redirects_to(), "/");
    alice.post_form("/confirm", &[("password", PASSWORD)]).await.assert_status(403);
});

db_test!(of_two_that_confirm_at_once_one_key_lives, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user_with_password("alice").await.sign_in().await;
    app.advance(11 * MINUTE);
    let key = alice.cookie("rollcall_session").unwrap();
    let proof = alice.get("/confirm").await.proof();
    let tabs = [holder(&app, &key), holder(&app, &key)];
    let fields = [("proof", proof.as_str()), ("password", PASSWORD), ("next", "/")];
    let (one, two) = tokio::join!(tabs[0].post_form("/confirm", &fields), tabs[1].post_form("/confirm", &fields));
    let new: Vec<String> = [one, two].iter().filter_map(|answer| answer.set_cookie("rollcall_session")).collect();
    assert_eq!(new.len(), 1, "{new:?}");
    holder(&app, &key).get(SESSIONS).await.assert_status(403);
});

db_test!(a_changed_password_ends_all_others, |db| async move {
    let app = TestApp::new(db).await;
    let user = app.user_with_password("alice").await;
    let (alice, elsewhere) = (user.sign_in().await, user.session().await);
    let (bob, old) = (app.user("bob").await.session().await, alice.cookie("rollcall_session").unwrap());
    let send = async |password: &str, again: &str| {
        let proof = alice.get("/password").await.assert_status(200).proof();
        alice.post_form("/password", &[("proof", &proof), ("password", password), ("again", again)]).await
    };
    assert!(send(NEW, "something else").await.assert_status(422).text().contains("differ"));
    assert!(send("short", "short").await.assert_status(422).text().contains("at least 8"));
    alice.post_form("/password", &[("password", NEW), ("again", NEW)]).await.assert_status(403);
    elsewhere.get(SESSIONS).await.assert_status(200);
    assert_eq!(send(NEW, NEW).await.redirects_to(), "/sessions");
    holder(&app, &old).get(SESSIONS).await.assert_status(403);
    elsewhere.get(SESSIONS).await.assert_status(403);
    assert_eq!(app.ending(&elsewhere.uuid).await, Some(("password_changed".into(), "alice".into())));
    for kept in [&alice, &bob.caller] {
        kept.get(SESSIONS).await.assert_status(200);
    }
    let denied = crate::support::app::sign_in_as(&app.anonymous(), "alice", PASSWORD, false).await;
    assert_eq!(denied.json()["component"], "ak-stage-password");
    let again = crate::support::app::sign_in_as(&app.anonymous(), "alice", NEW, false).await;
    assert_eq!(again.json()["component"], "xak-flow-redirect");
    app.assert_counts().await;
});

db_test!(who_has_no_password_or_never_proved_it_here_is_not_let_on, |db| async move {
    let app = TestApp::new(db).await;
    app.import(&[crate::support::seed::user(1, "alice"), crate::support::seed::session(1, 1, serde_json::json!({}))]).await;
    let imported = holder(&app, "key-1");
    assert_eq!(imported.get("/password").await.redirects_to(), "/confirm?next=/password");
    assert!(confirm(&imported, "").await.text().contains("not your password"));
});

/// What changes something and needs no fresh proof: ways in and out, the proof itself, and what one does
/// to one's own sessions.
const FREE: [&str; 12] = [
    "/sign-in",
    "/sign-in/passkey",
    "/confirm/passkey",
    "/sign-in/factor",
    "/sign-in/choose",
    "/confirm",
    "/sign-out",
    "/security/factors/{id}/name",
    "/sessions/end-others",
    "/sessions/{uuid}/end",
    "/sessions/{uuid}/name",
    "/set-up/{key}",
];

db_test!(every_other_change_needs_a_fresh_proof, |db| async move {
    let app = TestApp::new(db).await;
    let (root, alice) = (app.superuser("root").await, app.user("alice").await);
    let (browser, bystander, token) = (root.session().await, alice.session().await, alice.token().await);
    let proof = rollcall::auth::csrf::form_proof(&app.app, &browser.uuid);
    app.advance(11 * MINUTE);
    let mut asked = Vec::new();
    for route in rollcall::routes::routes().paths {
        if route.starts_with("/api/") || FREE.contains(&route) {
            continue;
        }
        let path = route.replace("{uuid}", &bystander.uuid).replace("{id}", &alice.id.0.to_string());
        let fields = [("proof", proof.as_str()), ("password", NEW), ("again", NEW), ("username", "eve"), ("active", "no")];
        let answer = browser.post_form(&path, &fields).await;
        if answer.status == 405 {
            continue;
        }
        assert!(answer.redirects_to().starts_with("/confirm?next=/"), "{route}: {}", answer.redirects_to());
        asked.push(route);
    }
    assert!(asked.len() >= 7, "{asked:?}");
    assert!(browser.get("/sessions/all/end?scope=all").await.redirects_to().starts_with("/confirm?next=/sessions/all/end"));
    bystander.get(SESSIONS).await.assert_status(200);
    token.get(SESSIONS).await.assert_status(200);
    assert_eq!(app.number("SELECT count(*) FROM users").await, 2);
});

db_test!(ending_ones_own_may_need_a_fresh_proof, |db| async move {
    let app = TestApp::with(db, &[("SESSIONS__CONFIRM_ENDS", "true")]).await;
    let user = app.user_with_password("alice").await;
    let (alice, other) = (user.session().await, user.session().await);
    let proof = rollcall::auth::csrf::form_proof(&app.app, &alice.uuid);
    let end = async |uuid: &str| alice.post_form(&format!("/sessions/{uuid}/end"), &[("proof", proof.as_str())]).await;
    app.advance(11 * MINUTE);
    assert_eq!(end(&other.uuid).await.redirects_to(), "/confirm?next=/sessions");
    let others = alice.post_form("/sessions/end-others", &[("proof", proof.as_str())]).await;
    assert_eq!(others.redirects_to(), "/confirm?next=/sessions");
    other.get(SESSIONS).await.assert_status(200);
    assert_eq!(confirm(&alice, PASSWORD).await.redirects_to(), "/password");
    assert_eq!(end(&other.uuid).await.redirects_to(), format!("/sessions?ended={}", other.uuid));
    other.get(SESSIONS).await.assert_status(403);
    app.advance(11 * MINUTE);
    end(&alice.uuid).await;
    assert_eq!(app.number("SELECT count(*) FROM sessions").await, 0, "signing out is always free");
});
