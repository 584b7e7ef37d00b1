//! Session keys: nothing else opens a session, they open nothing else, and none outlives a new proof.

use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use rollcall::domain::user::TokenIntent;
use serde_json::json;

use crate::support::app::{PASSWORD, sign_in_as};
use crate::support::{Caller, SESSIONS, TestApp};

fn holder(app: &TestApp, key: &str) -> Caller {
    let caller = app.anonymous();
    caller.set_cookie("rollcall_session", key);
    caller
}

db_test!(keys_and_tokens_do_not_stand_in_for_each_other, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user("alice").await;
    let (browser, token) = (alice.session().await, alice.token_key(TokenIntent::Api, None).await);
    app.anonymous().with_bearer(&browser.key).get(SESSIONS).await.assert_status(403);
    holder(&app, &token).get(SESSIONS).await.assert_status(403);
    // A session's name is not its key, and a token is no session.
    holder(&app, &browser.uuid).get(SESSIONS).await.assert_status(403);
    app.anonymous().with_bearer(&browser.uuid).get(SESSIONS).await.assert_status(403);
    let listed = app.anonymous().with_bearer(&token).get(SESSIONS).await.assert_status(200);
    assert_eq!(listed.uuids(), [browser.uuid.clone()]);
    assert!(!listed.text().contains(&browser.key) && !listed.text().contains(&token));
});

db_test!(anything_but_the_key_itself_opens_nothing, |db| async move {
    let app = TestApp::new(db).await;
    let key = app.user("alice").await.session().await.key;
    for cut in 0..key.len() {
        holder(&app, &key[..cut]).get(SESSIONS).await.assert_status(403);
        holder(&app, &key[cut + 1..]).get(SESSIONS).await.assert_status(403);
        let mut other = key.clone().into_bytes();
        other[cut] = if other[cut] == b'A' { b'B' } else { b'A' };
        holder(&app, &String::from_utf8(other).unwrap()).get(SESSIONS).await.assert_status(403);
    }
    for other in [format!("{key}A"), format!("A{key}"), key.to_lowercase(), key.to_uppercase()] {
        holder(&app, &other).get(SESSIONS).await.assert_status(403);
    }
    holder(&app, &key).get(SESSIONS).await.assert_status(200);
});

/// What gives a browser a new key.
#[derive(Clone, Copy, Debug)]
enum Proof {
    SignIn,
    Confirm,
    Password,
}

db_test!(no_key_outlives_a_new_proof, |db| async move {
    let app = TestApp::new(db).await;
    app.user_with_password("alice").await;
    let proof = prop_oneof![Just(Proof::SignIn), Just(Proof::Confirm), Just(Proof::Password)];
    let proofs = prop::collection::vec(proof, 12).new_tree(&mut TestRunner::deterministic()).unwrap().current();
    let caller = app.anonymous();
    let (mut password, mut keys) = (PASSWORD.to_owned(), Vec::new());
    sign_in_as(&caller, "alice", &password, false).await;
    for (nth, proof) in proofs.iter().enumerate() {
        keys.push(caller.cookie("rollcall_session").unwrap());
        let form = async |path: &str, fields: &[(&str, &str)]| {
            let proof = caller.get(path).await.assert_status(200).proof();
            caller.post_form(path, &[&[("proof", proof.as_str())], fields].concat()).await.assert_status(303);
        };
        match proof {
            Proof::SignIn => drop(sign_in_as(&caller, "alice", &password, false).await),
            Proof::Confirm => {
                app.advance(Duration::from_secs(11 * 60));
                form("/confirm", &[("password", &password)]).await;
            }
            Proof::Password => {
                if caller.get("/password").await.status != 200 {
                    form("/confirm", &[("password", &password)]).await;
                }
                password = format!("long enough, the {nth}th");
                form("/password", &[("password", &password), ("again", &password)]).await;
            }
        }
        let key = caller.cookie("rollcall_session").unwrap();
        holder(&app, &key).get(SESSIONS).await.assert_status(200);
        for old in &keys {
            assert_ne!(*old, key);
            holder(&app, old).get(SESSIONS).await.assert_status(403);
        }
    }
    assert_eq!(app.number("SELECT count(*) FROM sessions").await, 1);
});

db_test!(every_page_of_someone_signed_in_offers_to_sign_out, |db| async move {
    let app = TestApp::new(db).await;
    let root = app.superuser("root").await;
    let (browser, admin) = (root.session().await, app.admin_token().await);
    let staff = json!({"name": "staff"});
    let staff = admin.post_json("/api/v3/core/groups/", &staff).await.assert_status(201).json();
    let staff = staff["pk"].as_str().unwrap().to_owned();
    let wiki = json!({"name": "Wiki", "slug": "wiki"});
    admin.post_json("/api/v3/core/applications/", &wiki).await.assert_status(201);
    let mut seen = 0;
    for path in rollcall::routes::routes().paths {
        let apart = ["/api/", "/-/", "/static/"];
        // Proxies ask the guard, and its pages are those of other hosts.
        let guard = ["/guard/", "/.rollcall/", "/outpost.goauthentik.io/"];
        if apart.iter().chain(&guard).any(|start| path.starts_with(start)) || path.contains("{key}") {
            continue;
        }
        // A stream of events is no page, and does not end; nor is what a page asks for anew.
        if path.ends_with("/live") || path.ends_with("/counts") {
            continue;
        }
        let path = path.replace("{uuid}", &browser.uuid).replace("{id}", &root.id.0.to_string());
        let path = path
            .replace("{name}", "no-such-end")
            .replace("{group_uuid}", &staff)
            .replace("{number}", "1")
            .replace("{opened}", &browser.uuid)
            .replace("{slug}", "wiki");
        assert!(!path.contains('{'), "{path}: add a sample for this part here");
        let answer = browser.get(&path).await;
        if answer.status == 200 && answer.header("content-type").is_some_and(|form| form.starts_with("text/html")) {
            seen += 1;
            assert!(answer.text().contains("action=\"/sign-out\""), "{path} does not");
        }
    }
    assert!(seen >= 30, "{seen} pages");
});
