//! What went wrong elsewhere, and does not here. Each test names the report it learned from.

use std::time::Duration;

use rollcall::actions::by::By;
use rollcall::actions::people::{bootstrap, users};
use rollcall::actions::sessions::end;
use rollcall::domain::PlainSecret;
use rollcall::domain::caller::Actor;
use rollcall::domain::user::TokenIntent;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::crash::cheap_hash;
use crate::process::{Home, Person, Server};
use crate::support::app::{PASSWORD, sign_in_as};
use crate::support::{Caller, Dice, SESSIONS, SIGN_IN_FLOW, SIGN_OUT_FLOW, TestApp, raw, seed};

/// A browser with this session key.
fn holder(app: &TestApp, key: &str) -> Caller {
    let caller = app.anonymous();
    caller.set_cookie("rollcall_session", key);
    caller
}

/// Whether a key opens any door.
async fn assert_out(app: &TestApp, key: &str, why: &str) {
    assert_eq!(holder(app, key).get(SESSIONS).await.status, 403, "the API after {why}");
    assert_eq!(holder(app, key).get("/sessions").await.status, 303, "the page after {why}");
}

// authentik CVE-2025-29928: a session that was deleted by the API was gone from the list and went on
// to be let in; deactivating its user left it alive as well.
db_test!(what_left_the_list_is_refused_at_the_door, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user("alice").await;
    let admin = app.admin_token().await;
    let row = users::find(&app.app, By::Cli, "alice").await.unwrap();
    for way in ["DELETE", "bulk_delete", "revoke", "deactivated", "password"] {
        let browser = alice.session().await;
        browser.get(SESSIONS).await.assert_status(200);
        match way {
            "DELETE" => drop(admin.delete(&browser.url()).await.assert_status(204)),
            "bulk_delete" => {
                drop(admin.delete(&format!("{SESSIONS}bulk_delete/?user_pks={}", alice.id.0)).await.assert_status(200))
            }
            "revoke" => {
                let body = json!({"user__username": "alice", "expected_count": 1});
                drop(admin.post_json(&format!("{SESSIONS}revoke/"), &body).await.assert_status(200));
            }
            "deactivated" => users::set_active(&app.app, By::Cli, &row, false).await.unwrap(),
            _ => users::set_password(&app.app, By::Cli, &row, "a new password".into()).await.unwrap(),
        }
        assert_eq!(admin.get(SESSIONS).await.count(), 0, "{way}");
        admin.get(&browser.url()).await.assert_status(404);
        assert_out(&app, &browser.key, way).await;
        users::set_active(&app.app, By::Cli, &row, true).await.unwrap();
        assert_out(&app, &browser.key, "its user is active again").await;
    }
    let browser = alice.session().await;
    users::remove(&app.app, By::Cli, &row).await.unwrap();
    assert_eq!(admin.get(SESSIONS).await.count(), 0);
    assert_out(&app, &browser.key, "its user's removal").await;
});

// authentik CVE-2026-25748: a malformed cookie made the check of a session fall over, and the request
// passed.
db_test!(a_malformed_cookie_opens_nothing, |db| async move {
    let app = TestApp::with(db, &[("AUTHENTIK__SECRET_KEY", "secret")]).await;
    let browser = app.user("alice").await.session().await;
    let (key, long) = (browser.key.as_str(), "A".repeat(60_000));
    for value in [
        "",
        "\"",
        "\"\"",
        "=",
        ";",
        "%",
        "%00",
        "\\",
        "null",
        "undefined",
        "{}",
        "[]",
        "true",
        "0",
        "-1",
        "../..",
        "eyJ.eyJ.",
        "..",
        ".",
        "eyJhbGciOiJub25lIn0.eyJzaWQiOiJrZXktMSJ9.",
        &long,
        &format!("{key}\""),
        &format!("\"{key}"),
        &format!("{key} {key}"),
        &format!("{key}%00"),
        &format!("s:{key}"),
        &key[1..],
        &key.to_lowercase(),
        &browser.uuid,
    ] {
        for name in ["rollcall_session", "authentik_session", "__Host-rollcall_session"] {
            let cookie = format!("{name}={value}");
            for (path, want) in [(SESSIONS, 403), ("/sessions", 303), (browser.url().as_str(), 403)] {
                let answer = raw::request(app.address, "GET", path, &[("Cookie", cookie.as_bytes())], b"").await;
                assert_eq!(answer.status, want, "{path} with {cookie:.80}");
            }
        }
    }
    for cookie in [b"rollcall_session=\xff\xfe".as_slice(), b"\x80=\x81; rollcall_session=\xc3", b"rollcall_session"] {
        let answer = raw::request(app.address, "GET", SESSIONS, &[("Cookie", cookie)], b"").await;
        assert_eq!(answer.status, 403, "{}", cookie.escape_ascii());
    }
    browser.get(SESSIONS).await.assert_status(200);
});

// authentik CVE-2024-47070: with an X-Forwarded-For that could not be parsed, the step that asks for
// the password was skipped.
db_test!(an_unparsable_forwarded_address_skips_no_check, |db| async move {
    let app = TestApp::with(
        db,
        &[("HTTP__TRUSTED_PROXIES", "127.0.0.1"), ("SESSIONS__REMEMBER_TIMEOUT", "0"), ("SIGN_IN__ACCOUNT_LIMIT", "0")],
    )
    .await;
    app.import(&[json!({"kind": "user", "id": 7, "username": "alice", "password_hash": cheap_hash()})]).await;
    for forwarded in
        ["a", "1.2.3", "1.2.3.4.5", "256.1.1.1", "::g", "[::1", ",", ",,,", "1.2.3.4,x", "unknown", "\"1.2.3.4\"", "-", "0x7f.1"]
    {
        let caller = app.anonymous().with_header("x-forwarded-for", forwarded);
        let wrong = sign_in_as(&caller, "alice", "wrong", false).await.json();
        assert_eq!(wrong["component"], "ak-stage-password", "{forwarded}");
        assert!(caller.cookie("rollcall_session").is_none(), "{forwarded}");
        caller.get(SESSIONS).await.assert_status(403);
        assert_eq!(sign_in_as(&caller, "alice", PASSWORD, false).await.json()["component"], "xak-flow-redirect");
        let list = caller.get(SESSIONS).await.json();
        let current = list["results"].as_array().unwrap().iter().find(|row| row["current"] == true).unwrap();
        assert_eq!(current["last_ip"], "127.0.0.1", "{forwarded}: the address that is proved");
        caller.delete(&format!("{SESSIONS}x/")).await.assert_status(403);
    }
});

// authentik CVE-2025-53942 and CVE-2025-64521, Keycloak CVE-2025-14559: a deactivated account was let in
// by ways that did not ask whether it was active.
db_test!(a_deactivated_account_is_out_by_every_way, |db| async move {
    let app = TestApp::with(db, &[("AUTHENTIK__SECRET_KEY", "secret")]).await;
    let alice = app.user_with_password("alice").await;
    let row = users::find(&app.app, By::Cli, "alice").await.unwrap();
    // What she holds: a session, tokens of each intent, a link, and a password that is proved already.
    let browser = alice.session().await;
    let mut keys = Vec::new();
    for intent in TokenIntent::ALL {
        keys.push(alice.token_key(intent, None).await);
    }
    let link = alice.token_key(TokenIntent::Recovery, None).await;
    let on_the_way = app.anonymous();
    let identify = json!({"component": "ak-stage-identification", "uid_field": "alice"});
    on_the_way.post_json(SIGN_IN_FLOW, &identify).await.assert_status(200);
    let proved = on_the_way.post_json(SIGN_IN_FLOW, &json!({"component": "ak-stage-password", "password": PASSWORD})).await;
    assert_eq!(proved.json()["component"], "ak-stage-user-login");
    let form = app.anonymous();
    let proof = form.get(&format!("/set-up/{link}")).await.proof();

    users::set_active(&app.app, By::Cli, &row, false).await.unwrap();
    assert_out(&app, &browser.key, "deactivation").await;
    for key in &keys {
        app.anonymous().with_bearer(key).get(SESSIONS).await.assert_detail(403, "Token invalid/expired");
    }
    let last = on_the_way.post_json(SIGN_IN_FLOW, &json!({"component": "ak-stage-user-login", "remember_me": true})).await;
    assert!(last.set_cookie("rollcall_session").is_none(), "{}", last.text());
    assert_eq!(sign_in_as(&app.anonymous(), "alice", PASSWORD, false).await.json()["component"], "ak-stage-password");
    let page = app.anonymous();
    let sign_in = page.get("/sign-in").await.proof();
    page.post_form("/sign-in", &[("proof", &sign_in), ("uid", "alice"), ("password", PASSWORD)]).await;
    page.get(SESSIONS).await.assert_status(403);
    let new = "quite a new password";
    form.post_form(&format!("/set-up/{link}"), &[("proof", &proof), ("password", new), ("again", new)]).await.assert_status(404);
    // A session that an import brings for her is no way in, either.
    app.import(&[seed::session(1, alice.id.0, json!({}))]).await;
    assert_out(&app, "key-1", "an import").await;
    assert_eq!(app.number("SELECT count(*) FROM sessions").await, 1, "but for the imported one, there is none");
});

// Keycloak CVE-2025-12390 and CVE-2026-7507, Graylog GHSA-3xf8: a session's id stayed through a
// sign-in, was used again for somebody else, or was chosen by a stranger beforehand.
db_test!(no_session_is_kept_reused_or_chosen_beforehand, |db| async move {
    let app = TestApp::with(db, &[("SESSIONS__REMEMBER_TIMEOUT", "0")]).await;
    let lines = [(7, "alice"), (8, "bob")]
        .map(|(id, name)| json!({"kind": "user", "id": id, "username": name, "password_hash": cheap_hash()}));
    app.import(&lines).await;
    let shared = app.anonymous();
    let mut dice = Dice::new();
    let (mut keys, mut uuids) = (vec!["chosen-by-a-stranger".to_owned()], Vec::new());
    shared.set_cookie("rollcall_session", &keys[0]);
    for _ in 0..8 {
        let name = *dice.pick(&["alice", "bob"]);
        sign_in_as(&shared, name, PASSWORD, false).await;
        let key = shared.cookie("rollcall_session").unwrap();
        let list = shared.get(SESSIONS).await.json();
        let current = list["results"].as_array().unwrap().iter().find(|row| row["current"] == true).unwrap().clone();
        assert_eq!(current["user"], if name == "alice" { 7 } else { 8 });
        assert!(!keys.contains(&key) && !uuids.contains(&current["uuid"]), "a key and a name of its own");
        for old in &keys {
            assert_out(&app, old, "another sign-in").await;
        }
        keys.push(key);
        uuids.push(current["uuid"].clone());
    }
    assert_eq!(app.number("SELECT count(*) FROM sessions").await, 1);
    // A stranger's sign-in under way, planted in a victim's browser, gives the stranger nothing of what
    // the victim gets.
    let (stranger, victim) = (app.anonymous(), app.anonymous());
    stranger.post_json(SIGN_IN_FLOW, &json!({"component": "ak-stage-identification", "uid_field": "bob"})).await;
    victim.set_cookie("rollcall_flow", &stranger.cookie("rollcall_flow").unwrap());
    sign_in_as(&victim, "bob", PASSWORD, false).await;
    stranger.get(SESSIONS).await.assert_status(403);
    stranger.get(&format!("{SIGN_IN_FLOW}?query=session")).await.assert_status(200);
    assert!(stranger.cookie("rollcall_session").is_none());
});

// Keycloak CVE-2026-9802: a restart forgot that a token had been revoked.
on_both!(what_was_revoked_stays_so_after_a_crash, |home| async move {
    let home = home.with_administrator();
    home.import(&[]);
    home.add_user("alice");
    let token = home.ok(&["token", "add", "--user", "alice", "--identifier", "alices"]).trim().to_owned();
    let server = home.serve().await;
    let person = Person::signed_in(&server, "alice").await;
    assert_eq!(server.call(reqwest::Method::GET, SESSIONS, &token).await.status(), 200);
    assert_eq!(server.revoke(&person.uuid().await).await.status(), 204);
    home.ok(&["token", "remove", "alices", "--yes"]);
    assert_dead(&server, &token, &person.key).await;
    server.kill().await;
    for _ in 0..2 {
        let server = home.serve().await;
        assert_dead(&server, &token, &person.key).await;
        server.kill().await;
    }
});

async fn assert_dead(server: &Server, token: &str, key: &str) {
    assert_eq!(server.call(reqwest::Method::GET, SESSIONS, token).await.status(), 403);
    let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    for (path, status) in [(SESSIONS, 403), ("/sessions", 303)] {
        let request = http.get(format!("{}{path}", server.origin)).header("cookie", format!("rollcall_session={key}"));
        assert_eq!(request.send().await.unwrap().status(), status);
    }
}

// Keycloak CVE-2026-1035: of many that used a one-time secret at the same moment, more than one
// succeeded.
db_test!(a_secret_for_one_use_is_used_once, |db| async move {
    let app = TestApp::with(db, &[("SESSIONS__REMEMBER_TIMEOUT", "30d")]).await;
    let link = bootstrap::run(&app.app, By::System).await.unwrap().expect("a link");
    let mut uses = JoinSet::new();
    for n in 0..12 {
        let (app, link) = (app.app.clone(), PlainSecret::from_text(link.expose()));
        uses.spawn(async move { users::redeem_link(&app, &link, format!("a password of {n}"), &Actor::cli()).await.is_ok() });
    }
    assert_eq!(uses.join_all().await.iter().filter(|is_done| **is_done).count(), 1, "one set-up");
    // A password that is proved, and the last question left: of fifty answers one signs in.
    app.import(&[json!({"kind": "user", "id": 70, "username": "alice", "password_hash": cheap_hash()})]).await;
    let caller = app.anonymous();
    caller.post_json(SIGN_IN_FLOW, &json!({"component": "ak-stage-identification", "uid_field": "alice"})).await;
    caller.post_json(SIGN_IN_FLOW, &json!({"component": "ak-stage-password", "password": PASSWORD})).await;
    let state = caller.cookie("rollcall_flow").unwrap();
    let mut answers = JoinSet::new();
    for _ in 0..50 {
        let copy = app.anonymous();
        copy.set_cookie("rollcall_flow", &state);
        answers.spawn(async move {
            let last = json!({"component": "ak-stage-user-login", "remember_me": false});
            copy.post_json(SIGN_IN_FLOW, &last).await.set_cookie("rollcall_session").is_some()
        });
    }
    assert_eq!(answers.join_all().await.iter().filter(|is_in| **is_in).count(), 1, "one sign-in");
    assert_eq!(app.number("SELECT count(*) FROM sessions WHERE user_id = 70").await, 1);
});

// ZITADEL CVE-2026-27840: a token that had lost its end was accepted.
db_test!(only_a_whole_secret_opens_anything, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user("alice").await;
    let browser = alice.session().await;
    let token = alice.token_key(TokenIntent::Api, None).await;
    let link = alice.token_key(TokenIntent::Recovery, None).await;
    let changed = |secret: &str| {
        let mut changed: Vec<String> = (0..secret.len()).map(|end| secret[..end].to_owned()).collect();
        changed.extend((1..secret.len()).map(|start| secret[start..].to_owned()));
        changed.extend(["A", "=", "==", ".", "\u{e9}"].map(|more| format!("{secret}{more}")));
        changed.push(format!("A{secret}"));
        for at in 0..secret.len() {
            for bit in [0, 1, 5] {
                let mut bytes = secret.as_bytes().to_vec();
                bytes[at] ^= 1 << bit;
                changed.extend(String::from_utf8(bytes).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic())));
            }
        }
        changed
    };
    for wrong in changed(&token) {
        let value = format!("Bearer {wrong}");
        let answer = raw::request(app.address, "GET", SESSIONS, &[("Authorization", value.as_bytes())], b"").await;
        assert_eq!(answer.status, 403, "the token {token} as {wrong}");
    }
    for wrong in changed(&browser.key).iter().filter(|wrong| !wrong.contains([';', '"'])) {
        let value = format!("rollcall_session={wrong}");
        let answer = raw::request(app.address, "GET", SESSIONS, &[("Cookie", value.as_bytes())], b"").await;
        assert_eq!(answer.status, 403, "the key {} as {wrong}", browser.key);
    }
    for wrong in changed(&link).iter().filter(|wrong| wrong.bytes().all(|byte| byte.is_ascii_alphanumeric())) {
        app.anonymous().get(&format!("/set-up/{wrong}")).await.assert_status(404);
    }
    app.anonymous().with_bearer(&token).get(SESSIONS).await.assert_status(200);
    browser.get(SESSIONS).await.assert_status(200);
    app.anonymous().get(&format!("/set-up/{link}")).await.assert_status(200);
});

// authentik #9598: the task that clears away expired sessions took living ones with it.
db_test!(the_sweep_takes_nobody_who_lives, |db| async move {
    let app = TestApp::with(db, &[("SESSIONS__IDLE_TIMEOUT", "10m"), ("SESSIONS__TOUCH_INTERVAL", "1ms")]).await;
    let alice = app.user("alice").await;
    let mut browsers = Vec::new();
    for _ in 0..24 {
        browsers.push(alice.session().await);
    }
    // Half of them are used all the time, the others never, while the clock moves and the sweep runs.
    for _ in 0..30 {
        app.advance(Duration::from_secs(37));
        let mut at_once = JoinSet::new();
        for browser in &browsers[..12] {
            let caller = browser.caller.clone();
            at_once.spawn(async move { assert_eq!(caller.get(SESSIONS).await.status, 200, "somebody who is here all the time") });
        }
        let server = app.app.clone();
        at_once.spawn(async move {
            let _ = rollcall::actions::upkeep::sweep::run(&server, rollcall::actions::by::By::System).await.unwrap();
        });
        at_once.join_all().await;
    }
    rollcall::actions::upkeep::sweep::run(&app.app, rollcall::actions::by::By::System).await.unwrap();
    for browser in &browsers[..12] {
        browser.get(SESSIONS).await.assert_status(200);
        assert_eq!(app.ending(&browser.uuid).await, None);
    }
    for browser in &browsers[12..] {
        assert_out(&app, &browser.key, "eighteen minutes of silence").await;
        assert_eq!(app.ending(&browser.uuid).await, Some(("expired".into(), "system".into())));
    }
    app.assert_counts().await;
    assert_eq!(end::sweep(&app.app, rollcall::actions::by::By::System, app.app.clock.now()).await.unwrap(), 0);
});

// better-auth CVE-2025-71402: what a cookie merely said was enough to end other people's sessions.
db_test!(a_sign_out_ends_what_its_cookie_proves, |db| async move {
    let app = TestApp::new(db).await;
    let browser = app.user("alice").await.session().await;
    for value in [browser.uuid.as_str(), &browser.uuid.replace('-', ""), "1", &browser.key[..42], "alice"] {
        holder(&app, value).post_json(SIGN_OUT_FLOW, &json!({})).await.assert_status(200);
        let page = holder(&app, value);
        page.post_form("/sign-out", &[("proof", "x")]).await;
        browser.get(SESSIONS).await.assert_status(200);
    }
    holder(&app, &browser.key).post_json(SIGN_OUT_FLOW, &json!({})).await.assert_status(200);
    assert_out(&app, &browser.key, "a sign-out").await;
});

// GitHub, March 2021: state that requests shared gave somebody another one's session.
db_test!(nobody_is_taken_for_somebody_else, |db| async move {
    let app = TestApp::new(db).await;
    let mut lines: Vec<Value> = (1..=24).map(|id| seed::user(id, &format!("person-{id}"))).collect();
    lines.extend((1..=24).map(|id| seed::session(id, i64::from(id), json!({}))));
    app.import(&lines).await;
    let mut people = JoinSet::new();
    for id in 1..=24_u32 {
        let caller = holder(&app, &format!("key-{id}"));
        people.spawn(async move {
            for turn in 0..40 {
                let page = if turn % 4 == 0 { caller.get("/sessions").await.text() } else { String::new() };
                let list = caller.get(SESSIONS).await.assert_status(200);
                assert_eq!(list.uuids(), [seed::uuid(id)]);
                assert_eq!(list.json()["results"][0]["user"], id);
                assert!(page.is_empty() || page.contains(&format!("person-{id}<")), "{page}");
            }
        });
    }
    people.join_all().await;
});
