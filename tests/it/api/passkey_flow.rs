//! Signing in through the flow executor with a passkey as the second factor.

use serde_json::{Value, json};

use crate::support::app::PASSWORD;
use crate::support::passkey::{Passkey, question};
use crate::support::{Caller, SESSIONS, SIGN_IN_FLOW, TestApp};

const ORIGIN: &str = "http://localhost:9000";
const STAGE: &str = "ak-stage-authenticator-validate";

async fn to_the_second_step(caller: &Caller) -> Value {
    caller.get(SIGN_IN_FLOW).await.assert_status(200);
    caller.post_json(SIGN_IN_FLOW, &json!({ "component": "ak-stage-identification", "uid_field": "alice" })).await;
    let answer = caller.post_json(SIGN_IN_FLOW, &json!({ "component": "ak-stage-password", "password": PASSWORD })).await;
    answer.assert_status(200).json()
}

/// What the challenge asks of a passkey.
fn asked(challenge: &Value) -> &Value {
    assert_eq!(challenge["component"], STAGE, "{challenge}");
    let devices = challenge["device_challenges"].as_array().unwrap();
    &devices.iter().find(|device| device["device_class"] == "webauthn").expect("a passkey")["challenge"]
}

async fn answer(caller: &Caller, passkey: &Value) -> Value {
    caller.post_json(SIGN_IN_FLOW, &json!({ "component": STAGE, "webauthn": passkey })).await.assert_status(200).json()
}

db_test!(a_script_signs_in_with_a_passkey, |db| async move {
    let app = TestApp::with(db, &[("HTTP__PUBLIC_URL", ORIGIN)]).await;
    let alice = app.user_with_password("alice").await;
    let mut key = Passkey::new(1, ORIGIN);
    let owner = alice.session().await;
    let page = owner.get("/security").await.assert_status(200);
    let passkey = key.create(&question(&page.text(), "/security/passkeys"));
    owner.post_form("/security/passkeys", &[("proof", &page.proof()), ("passkey", &passkey)]).await.assert_status(200);
    let devices = owner.get("/api/v3/authenticators/all/").await.assert_status(200).json();
    let device = devices.as_array().unwrap().iter().find(|device| device["verbose_name"] == "WebAuthn Device").unwrap();
    assert_eq!(device["external_id"], "61206d6f-6465-6c20-6f66-2061206b6579", "{devices}");

    let caller = app.anonymous();
    let challenge = to_the_second_step(&caller).await;
    let first = asked(&challenge).clone();
    assert_eq!((&first["rpId"], &first["allowCredentials"][0]["id"]), (&json!("localhost"), &json!(key.id())));
    for nothing in [json!(null), json!("x"), json!([])] {
        let again = answer(&caller, &nothing).await;
        assert_eq!(again["response_errors"]["webauthn"][0]["code"], "invalid", "{again}");
    }
    let again = caller.post_json(SIGN_IN_FLOW, &json!({ "component": STAGE })).await.json();
    assert_eq!(again["response_errors"]["code"][0]["string"], "This field is required.");
    // A wrong answer asks anew, and the old question is over.
    let again = answer(&caller, &json!({ "id": "x" })).await;
    assert_eq!(again["response_errors"]["webauthn"][0]["string"], "Invalid passkey");
    let again = answer(&caller, &key.get(&first)).await;
    assert_eq!(again["response_errors"]["webauthn"][0]["string"], "Invalid passkey");
    let next = answer(&caller, &key.get(asked(&again))).await;
    assert_eq!(next["component"], "ak-stage-user-login", "{next}");
    let done = caller.post_json(SIGN_IN_FLOW, &json!({ "component": "ak-stage-user-login", "remember_me": false })).await;
    assert_eq!(done.json()["component"], "xak-flow-redirect");
    caller.get(SESSIONS).await.assert_status(200);
    assert_eq!(app.number("SELECT count(*) FROM sessions WHERE methods = 'pwd hwk user mfa'").await, 2);

    // Another's conversation takes no answer to this one's question.
    let (one, two) = (app.anonymous(), app.anonymous());
    let (mine, _) = (to_the_second_step(&one).await, to_the_second_step(&two).await);
    let refused = answer(&two, &key.get(asked(&mine))).await;
    assert_eq!(refused["component"], STAGE, "{refused}");
    // Five wrong ones end it.
    for _ in 0..4 {
        answer(&two, &json!({ "id": "x" })).await;
    }
    assert_eq!(answer(&two, &json!({ "id": "x" })).await["component"], "ak-stage-access-denied");
});
