//! How a session was signed in to (`GET …/authenticated_sessions/{uuid}/details/`).

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::app::{PASSWORD, sign_in_as};
use crate::support::passkey::{Passkey, question};
use crate::support::{Caller, SESSIONS, TestApp, seed};

const ORIGIN: &str = "http://localhost:9000";

/// The details of the session that a browser is in.
async fn own(caller: &Caller) -> Value {
    let list = caller.get(&format!("{SESSIONS}?page_size=100")).await.assert_status(200).json();
    let current = list["results"].as_array().unwrap().iter().find(|row| row["current"] == true).expect("its own").clone();
    let url = format!("{SESSIONS}{}/", current["uuid"].as_str().unwrap());
    let details = caller.get(&format!("{url}details/")).await.assert_status(200).json();
    // All that authentik says of it, and what is ours.
    for (name, value) in caller.get(&url).await.assert_status(200).json().as_object().unwrap() {
        assert_eq!(&details[name], value, "{name}");
    }
    details
}

db_test!(methods_and_known_devices_are_said, |db| async move {
    let app = TestApp::with(db, &[("HTTP__PUBLIC_URL", ORIGIN)]).await;
    let alice = app.user_with_password("alice").await;
    let browser = app.anonymous();
    sign_in_as(&browser, "alice", PASSWORD, false).await.assert_status(200);
    let first = own(&browser).await;
    let ours = ["username", "created", "methods", "known_device", "remembered", "label"].map(|name| first[name].clone());
    let want = [json!("alice"), json!("2026-11-01T12:00:00Z"), json!(["pwd"]), json!(false), json!(false), json!("")];
    assert_eq!(ours, want);
    // The same browser again, to stay; and what its owner calls it.
    app.advance(Duration::from_secs(60));
    let proof = browser.get("/sign-out").await.proof();
    browser.post_form("/sign-out", &[("proof", &proof)]).await.assert_status(303);
    sign_in_as(&browser, "alice", PASSWORD, true).await.assert_status(200);
    let second = own(&browser).await;
    let uuid = second["uuid"].as_str().unwrap();
    assert_eq!((&second["known_device"], &second["remembered"]), (&json!(true), &json!(true)));
    assert_eq!(second["created"], "2026-11-01T12:01:00Z");
    let proof = browser.get("/sessions").await.proof();
    let named = [("proof", proof.as_str()), ("label", "Zoë’s laptop")];
    browser.post_form(&format!("/sessions/{uuid}/name"), &named).await.assert_status(303);
    assert_eq!(own(&browser).await["label"], "Zoë’s laptop");
    // A passkey is added, and signs in alone.
    let mut key = Passkey::new(1, ORIGIN);
    let page = browser.get("/security").await.assert_status(200);
    let passkey = key.create(&question(&page.text(), "/security/passkeys"));
    browser.post_form("/security/passkeys", &[("proof", &page.proof()), ("passkey", &passkey)]).await.assert_status(200);
    assert_eq!(own(&browser).await["methods"], json!(["pwd", "hwk", "user", "mfa"]));
    let other = app.anonymous();
    let page = other.get("/sign-in").await;
    let passkey = key.get(&question(&page.text(), "/sign-in/passkey")).to_string();
    other.post_form("/sign-in/passkey", &[("proof", &page.proof()), ("passkey", &passkey), ("next", "/")]).await.assert_status(303);
    let third = own(&other).await;
    assert_eq!((&third["methods"], &third["known_device"]), (&json!(["hwk", "user", "mfa"]), &json!(false)));
    // What ended says it, too.
    let token = alice.token().await;
    app.advance(Duration::from_secs(60));
    token.delete(&format!("{SESSIONS}{uuid}/")).await.assert_status(204);
    let ended = token.get("/api/v3/core/ended_sessions/").await.assert_status(200).json();
    let ended = &ended["results"][0];
    assert_eq!((&ended["uuid"], &ended["label"]), (&json!(uuid), &json!("Zoë’s laptop")));
    assert_eq!(ended["methods"], json!(["pwd", "hwk", "user", "mfa"]));
    assert_eq!((&ended["known_device"], &ended["remembered"]), (&json!(true), &json!(true)));
});

db_test!(an_imported_session_was_proved_by_nothing_known, |db| async move {
    let app = TestApp::new(db).await;
    app.import(&[seed::user(7, "alice"), seed::session(1, 7, json!({}))]).await;
    let admin = app.admin_token().await;
    let details = admin.get(&format!("{SESSIONS}{}/details/", seed::uuid(1))).await.assert_status(200).json();
    assert_eq!((&details["methods"], &details["username"]), (&json!([]), &json!("alice")));
    for name in ["a.b", "x", "00000000-0000-4000-8000-00000000dead"] {
        admin.get(&format!("{SESSIONS}{name}/details/")).await.assert_status(404);
    }
});
