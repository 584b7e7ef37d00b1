//! Who is calling (`docs/compat.md` 4).

use std::time::Duration;

use rollcall::actions::by::By;
use rollcall::actions::people::users;
use rollcall::domain::user::TokenIntent;
use serde_json::json;
use sha2::{Digest, Sha512};

use crate::support::{SESSIONS, TestApp, raw, seed};

const DAY: Duration = Duration::from_secs(86400);
const NONE: &str = "Authentication credentials were not provided.";
const INVALID: &str = "Token invalid/expired";

db_test!(the_authorization_header_is_read_as_authentik_reads_it, |db| async move {
    let app = TestApp::new(db).await;
    let key = app.user("alice").await.token_key(TokenIntent::Api, None).await;
    let ask = async |value: &[u8]| raw::request(app.address, "GET", SESSIONS, &[("Authorization", value)], b"").await;
    for good in [format!("Bearer {key}"), format!("bEARER {key}"), format!("  Bearer {key}  "), format!("Bearer {key}\t")] {
        ask(good.as_bytes()).await.assert_status(200);
    }
    for absent in ["", " ", "Bearer", "Bearer   ", &key, &format!("Bearer\t{key}"), "Basic"] {
        ask(absent.as_bytes()).await.assert_detail(403, NONE);
    }
    for other in [format!("Basic {key}"), format!("Token {key}"), "Digest a b c".to_owned(), format!("Bearer: {key}")] {
        ask(other.as_bytes()).await.assert_detail(403, "Unsupported authentication type");
    }
    for wrong in
        [format!("Bearer  {key}"), format!("Bearer {key} x"), format!("Bearer {}", key.to_lowercase()), "Bearer x".to_owned()]
    {
        ask(wrong.as_bytes()).await.assert_detail(403, INVALID);
    }
    ask(b"Bearer \xff\xfe").await.assert_detail(403, INVALID);
    ask(b"B\xe9arer x").await.assert_detail(403, "Unsupported authentication type");
});

db_test!(only_live_api_tokens_of_active_users_open_anything, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user("alice").await;
    for intent in [TokenIntent::AppPassword, TokenIntent::Verification, TokenIntent::Recovery] {
        let key = alice.token_key(intent, None).await;
        app.anonymous().with_bearer(&key).get(SESSIONS).await.assert_detail(403, INVALID);
    }
    let short = app.anonymous().with_bearer(&alice.token_key(TokenIntent::Api, Some(DAY)).await);
    let endless = alice.token().await;
    app.advance(DAY - Duration::from_micros(1));
    short.get(SESSIONS).await.assert_status(200);
    app.advance(Duration::from_micros(1));
    short.get(SESSIONS).await.assert_detail(403, INVALID);
    app.advance(10_000 * DAY);
    endless.get(SESSIONS).await.assert_status(200);

    let row = users::find(&app.app, By::Cli, "alice").await.unwrap();
    users::set_active(&app.app, By::Cli, &row, false).await.unwrap();
    endless.get(SESSIONS).await.assert_detail(403, INVALID);
    users::set_active(&app.app, By::Cli, &row, true).await.unwrap();
    endless.get(SESSIONS).await.assert_status(200);
});

db_test!(a_rejected_header_is_final_and_an_absent_one_is_not, |db| async move {
    let app = TestApp::new(db).await;
    let browser = app.user("alice").await.session().await;
    browser.with_bearer("wrong").get(SESSIONS).await.assert_detail(403, INVALID);
    browser.with_header("authorization", "Basic a b").get(SESSIONS).await.assert_detail(403, "Unsupported authentication type");
    browser.with_header("authorization", "Bearer").get(SESSIONS).await.assert_status(200);
});

db_test!(a_token_decides_who_asks_and_a_cookie_what_is_current, |db| async move {
    let app = TestApp::new(db).await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let browser = alice.session().await;
    let other = alice.session().await;
    let current = async |caller: &crate::support::Caller| {
        let list = caller.get(SESSIONS).await.assert_status(200).json();
        let rows = list["results"].as_array().unwrap().iter().filter(|row| row["current"] == true);
        rows.map(|row| row["uuid"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(current(&browser).await, [browser.uuid.clone()]);
    assert!(current(&alice.token().await).await.is_empty(), "a token alone is no session");
    let key = alice.token_key(TokenIntent::Api, None).await;
    let both = other.with_bearer(&key);
    assert_eq!(current(&both).await, [other.uuid.clone()]);
    assert_eq!(both.get(&browser.url()).await.json()["current"], false);
    // A cookie and another user's token: the token decides, so no CSRF proof is needed.
    let key = bob.token_key(TokenIntent::Api, None).await;
    assert_eq!(browser.with_bearer(&key).get(SESSIONS).await.count(), 0);
    browser.with_bearer(&key).delete(&browser.url()).await.assert_status(404);
    both.delete(&browser.url()).await.assert_status(204);
});

/// authentik's cookie for a session key, as its instance with this secret key makes it.
fn authentik_cookie(secret_key: &str, claims: &serde_json::Value) -> String {
    let key: String = Sha512::digest(secret_key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let key = jsonwebtoken::EncodingKey::from_secret(key.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), claims, &key).unwrap()
}

db_test!(rollcalls_cookie_and_authentiks_open_an_imported_session, |db| async move {
    let app = TestApp::with(db, &[("AUTHENTIK__SECRET_KEY", "secret of the instance")]).await;
    app.import(&[seed::user(7, "alice"), seed::session(1, 7, json!({})), seed::session(2, 7, json!({}))]).await;
    let own = app.anonymous();
    own.set_cookie("rollcall_session", "key-1");
    assert_eq!(own.get(&format!("{SESSIONS}{}/", seed::uuid(1))).await.json()["current"], true);
    let claims = json!({"sid": "key-2", "iss": "not checked", "sub": 7, "authenticated": false, "acr": null});
    let authentiks = app.anonymous();
    authentiks.set_cookie("authentik_session", &authentik_cookie("secret of the instance", &claims));
    assert_eq!(authentiks.get(&format!("{SESSIONS}{}/", seed::uuid(2))).await.json()["current"], true);
    for bad in [
        authentik_cookie("another secret", &claims),
        "key-2".to_owned(),
        authentik_cookie("secret of the instance", &json!({"sid": "key-3"})),
        authentik_cookie("secret of the instance", &json!({"sub": "key-2"})),
        authentik_cookie("secret of the instance", &json!({"sid": ""})),
        String::new(),
    ] {
        let caller = app.anonymous();
        caller.set_cookie("authentik_session", &bad);
        caller.get(SESSIONS).await.assert_detail(403, NONE);
    }
    // A broken cookie of ours does not keep authentik's from being read.
    authentiks.set_cookie("rollcall_session", "broken");
    authentiks.get(SESSIONS).await.assert_status(200);
});

db_test!(authentiks_cookie_is_off_until_its_secret_is_known, |db| async move {
    let app = TestApp::new(db).await;
    app.import(&[seed::user(7, "alice"), seed::session(1, 7, json!({}))]).await;
    let caller = app.anonymous();
    for secret in ["", "secret"] {
        caller.set_cookie("authentik_session", &authentik_cookie(secret, &json!({"sid": "key-1"})));
        caller.get(SESSIONS).await.assert_detail(403, NONE);
    }
});

db_test!(expired_sessions_and_those_of_inactive_users_are_refused_and_listed, |db| async move {
    let app = TestApp::new(db).await;
    let end = json!({"expires": "2026-11-01T12:00:00.000001Z"});
    app.import(&[seed::user(7, "alice"), seed::session(1, 7, end), seed::session(2, 7, json!({}))]).await;
    let caller = app.anonymous();
    caller.set_cookie("rollcall_session", "key-1");
    caller.get(SESSIONS).await.assert_status(200);
    app.advance(Duration::from_micros(1));
    caller.get(SESSIONS).await.assert_detail(403, NONE);
    let admin = app.admin_token().await;
    assert_eq!(admin.get(SESSIONS).await.count(), 2, "the list shows it until it is swept");

    let inactive = json!({"kind": "user", "id": 108, "username": "gone", "is_active": false});
    app.import(&[inactive, seed::session(3, 108, json!({}))]).await;
    caller.set_cookie("rollcall_session", "key-3");
    caller.get(SESSIONS).await.assert_detail(403, NONE);
    admin.get(&format!("{SESSIONS}{}/", seed::uuid(3))).await.assert_status(200);
});

db_test!(cookies_are_read_as_browsers_send_them, |db| async move {
    let app = TestApp::new(db).await;
    let browser = app.user("alice").await.session().await;
    let ask = async |cookie: &str| raw::request(app.address, "GET", SESSIONS, &[("Cookie", cookie.as_bytes())], b"").await.status;
    let key = &browser.key;
    for good in [format!("rollcall_session={key}"), format!("a=b;rollcall_session={key};c"), format!("rollcall_session=\"{key}\"")]
    {
        assert_eq!(ask(&good).await, 200, "{good}");
    }
    assert_eq!(ask(&format!("rollcall_session=x; rollcall_session={key}")).await, 200, "the last one counts");
    for bad in [format!("ROLLCALL_SESSION={key}"), format!("rollcall_session={key}x"), "rollcall_session=".into(), ";;=;".into()] {
        assert_eq!(ask(&bad).await, 403, "{bad}");
    }
    let junk: [(&str, &[u8]); 2] = [("Cookie", b"\xff\xfe=\x80; rollcall_session=\xff"), ("Cookie", b"a=\xf0")];
    raw::request(app.address, "GET", SESSIONS, &junk, b"").await.assert_detail(403, NONE);
});
