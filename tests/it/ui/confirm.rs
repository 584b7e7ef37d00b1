//! `/confirm` and `/password`: a fresh proof, a new key, a new password.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::support::app::{PASSWORD, sign_in_as};
use crate::support::{Answer, Caller, SESSIONS, TestApp};

const MINUTE: Duration = Duration::from_secs(60);
const NEW: &str = "another long password";

async fn confirm(caller: &Caller, password: &str) -> Answer {
    let proof = caller.get("/confirm?next=/password").await.assert_status(200).proof();
    caller.post_form("/confirm", &[("proof", &proof), ("password", password), ("next", "/password")]).await
}

/// The sealed form in a page that asks for a fresh proof.
#[track_caller]
fn sealed(page: &Answer) -> String {
    let text = page.text();
    let (_, rest) = text.split_once("name=\"sealed\" value=\"").unwrap_or_else(|| panic!("no sealed form: {text}"));
    rest.split_once('"').unwrap().0.to_owned()
}

/// Confirms on a page that asks for a fresh proof in place of the answer to a form.
async fn go_on(caller: &Caller, page: &Answer, password: &str) -> Answer {
    let (proof, sealed) = (page.proof(), sealed(page));
    caller.post_form("/confirm", &[("proof", &proof), ("sealed", &sealed), ("password", password), ("next", "/users")]).await
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
    alice.post_form("/password", &late).await.assert_status(403);
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
const FREE: [&str; 18] = [
    "/sign-in",
    "/sign-in/passkey",
    "/confirm/passkey",
    "/sign-in/factor",
    "/sign-in/choose",
    "/confirm",
    "/sign-out",
    "/consent",
    // A code is looked up; a yes needs one (oidc/devices.rs).
    "/device",
    "/apps/withdraw",
    // The name alone: another e-mail address needs one (ui/account.rs).
    "/account",
    "/account/keep",
    "/security/factors/{id}/name",
    "/sessions/end-others",
    "/sessions/{uuid}/end",
    "/sessions/{uuid}/apps/{opened}/end",
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
        // What proxies and apps ask has no session, and a guard's pages are those of other hosts.
        let apart = ["/api/", "/application/o/", "/guard/", "/.rollcall/", "/outpost.goauthentik.io/"];
        if apart.iter().any(|start| route.starts_with(start)) || FREE.contains(&route) {
            continue;
        }
        let path = route.replace("{uuid}", &bystander.uuid).replace("{id}", &alice.id.0.to_string());
        let fields = [("proof", proof.as_str()), ("password", NEW), ("again", NEW), ("username", "eve"), ("active", "no")];
        let answer = browser.post_form(&path, &fields).await;
        if answer.status == 405 {
            continue;
        }
        assert_eq!(answer.status, 403, "{route}");
        assert!(!sealed(&answer).is_empty(), "{route}");
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
    let asked = end(&other.uuid).await.assert_status(403);
    let others = alice.post_form("/sessions/end-others", &[("proof", proof.as_str())]).await;
    sealed(&others.assert_status(403));
    other.get(SESSIONS).await.assert_status(200);
    assert_eq!(go_on(&alice, &asked, PASSWORD).await.redirects_to(), format!("/sessions?ended={}", other.uuid));
    other.get(SESSIONS).await.assert_status(403);
    app.advance(11 * MINUTE);
    end(&alice.uuid).await;
    assert_eq!(app.number("SELECT count(*) FROM sessions").await, 0, "signing out is always free");
});

db_test!(a_form_without_a_fresh_proof_is_done_as_soon_as_the_proof_is_there, |db| async move {
    let app = TestApp::new(db).await;
    let root = app.superuser_with_password("root").await.sign_in().await;
    let proof = root.get("/users/new").await.assert_status(200).proof();
    app.advance(11 * MINUTE);
    let old = root.cookie("rollcall_session").unwrap();
    let fields = [("proof", proof.as_str()), ("username", "bob"), ("name", "Bob & Söhne"), ("password", NEW)];
    let asked = root.post_form("/users", &fields).await.assert_status(403);
    assert!(asked.text().contains("Nothing was done yet"), "{}", asked.text());
    let bytes = URL_SAFE_NO_PAD.decode(sealed(&asked)).unwrap();
    let has = |text: &[u8]| bytes.windows(text.len()).any(|part| part == text);
    assert!(!asked.text().contains(NEW) && !has(b"username") && !has(b"=bob"), "what was typed is sealed");
    let again = go_on(&root, &asked, "not it at all").await.assert_status(200);
    assert_eq!(sealed(&again), sealed(&asked), "a wrong password loses nothing");
    assert_eq!(app.number("SELECT count(*) FROM users").await, 1);
    let done = go_on(&root, &again, PASSWORD).await;
    let user = done.redirects_to().to_owned();
    assert!(user.starts_with("/users/"), "{user}");
    assert!(root.get(&user).await.text().contains("Bob &#38; Söhne"));
    assert_ne!(root.cookie("rollcall_session").unwrap(), old, "the new key came with the form's answer");
    let names =
        done.headers.get_all("set-cookie").iter().filter_map(|value| value.to_str().ok()?.split('=').next()).collect::<Vec<_>>();
    let different: std::collections::BTreeSet<_> = names.iter().collect();
    assert_eq!(names.len(), different.len(), "each cookie is set once: {names:?}");
    let bob = sign_in_as(&app.anonymous(), "bob", NEW, false).await;
    assert_eq!(bob.json()["component"], "xak-flow-redirect", "the password that was sealed is the one that was typed");

    // An answer that is a page comes through, too.
    app.advance(11 * MINUTE);
    let fields = [("proof", proof.as_str()), ("username", "bob"), ("made_up", "api-late"), ("days", "1")];
    let asked = root.post_form("/tokens", &fields).await.assert_status(403);
    let made = go_on(&root, &asked, PASSWORD).await.assert_status(200);
    assert!(made.text().contains("Here is the key of") && made.text().contains("api-late"));
    // Sent twice it does nothing twice.
    assert!(go_on(&root, &asked, PASSWORD).await.assert_status(409).text().contains("sent before"));
});

db_test!(a_sealed_form_opens_for_its_session_and_for_a_quarter_of_an_hour, |db| async move {
    let app = TestApp::new(db).await;
    let user = app.superuser_with_password("root").await;
    let (root, other) = (user.sign_in().await, user.sign_in().await);
    let proof = root.get("/users/new").await.proof();
    let others = other.get("/users/new").await.proof();
    app.advance(11 * MINUTE);
    let send = async || root.post_form("/users", &[("proof", proof.as_str()), ("username", "bob")]).await.assert_status(403);
    let asked = send().await;
    let text = sealed(&asked);
    let give = async |caller: &Caller, proof: &str, sealed: &str| {
        let fields = [("proof", proof), ("sealed", sealed), ("password", PASSWORD), ("next", "/users")];
        caller.post_form("/confirm", &fields).await
    };
    let mut changed = text.clone().into_bytes();
    changed[20] ^= 1;
    let changed = String::from_utf8(changed).unwrap();
    for (caller, proof, sealed) in [(&other, &others, &text), (&root, &proof, &changed), (&root, &proof, &"x".to_owned())] {
        let refused = give(caller, proof, sealed).await.assert_status(409);
        assert!(refused.text().contains("Nothing was done"), "{}", refused.text());
        assert!(refused.set_cookie("rollcall_session").is_some(), "the proof itself holds");
    }
    let asked = {
        app.advance(11 * MINUTE);
        send().await
    };
    app.advance(15 * MINUTE);
    give(&root, &proof, &sealed(&asked)).await.assert_status(409);
    assert_eq!(app.number("SELECT count(*) FROM users").await, 1);
    // What did not come from this site is not sealed.
    app.advance(11 * MINUTE);
    let forged = root.post_form("/users", &[("proof", "x"), ("username", "eve")]).await.assert_status(403);
    assert!(!forged.text().contains("sealed"));
    // Signed out, nothing is done, and the page says so.
    let lost = app.anonymous().post_form("/users", &[("proof", proof.as_str()), ("username", "bob")]).await;
    assert_eq!(lost.redirects_to(), "/sign-in?next=/users/new&ended=form");
    assert!(app.anonymous().get("/sign-in?next=/users&ended=form").await.text().contains("Nothing was done"));
});
