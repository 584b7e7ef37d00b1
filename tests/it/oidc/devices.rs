//! Devices without a browser: the code, the question, and a session of the device's own.

use std::time::Duration;

use serde_json::{Value, json};

use crate::guard::world::{Browser, HOME, PAGE, server, server_with};
use crate::oidc::app::{App, register};
use crate::oidc::consent::{answer, asked};
use crate::support::app::PASSWORD;
use crate::support::{Answer, SESSIONS, encode};

const DEVICE: &str = "/application/o/device/";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

async fn offer(tv: &App<'_>) -> Value {
    tv.call(DEVICE, &[("scope", "openid profile offline_access unknown")]).await.assert_status(200).json()
}

async fn poll(tv: &App<'_>, offered: &Value) -> Answer {
    let code = offered["device_code"].as_str().unwrap();
    tv.call("/application/o/token/", &[("grant_type", GRANT), ("device_code", code)]).await
}

async fn error(tv: &App<'_>, offered: &Value) -> String {
    poll(tv, offered).await.assert_status(400).json()["error"].as_str().unwrap().to_owned()
}

/// Types a code; the page after it.
async fn type_code(browser: &Browser<'_>, code: &str) -> Answer {
    let page = browser.send("GET", HOME, "/device", &PAGE).await.assert_status(200);
    browser.post(HOME, "/device", &format!("proof={}&code={}", page.proof(), encode(code))).await
}

/// Answers the question on a page.
async fn decide(browser: &Browser<'_>, page: &Answer, decision: &str) -> Answer {
    let text = page.text();
    let question = text.split("name=\"question\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    browser.post(HOME, "/device", &format!("proof={}&question={}&decision={decision}", page.proof(), encode(&question))).await
}

db_test!(a_device_gets_a_session_of_its_own, |db| async move {
    let app = server(db).await;
    app.seed_keys().await;
    let alice = app.user("alice").await;
    let tv = register(&app, "tv", json!({"device": true})).await;
    let browser = Browser::new(&app);
    let session = browser.sign_in("alice").await;
    let document = browser.send("GET", HOME, "/application/o/tv/.well-known/openid-configuration", &[]).await.json();
    assert_eq!(document["device_authorization_endpoint"], "https://id.example/application/o/device/");
    assert!(document["grant_types_supported"].as_array().unwrap().contains(&json!(GRANT)));
    let offered = offer(&tv).await;
    assert_eq!((&offered["expires_in"], &offered["interval"]), (&json!(600), &json!(5)));
    let code = offered["user_code"].as_str().unwrap();
    assert_eq!(offered["verification_uri_complete"], format!("https://id.example/device?user_code={code}"));
    assert_eq!(error(&tv, &offered).await, "authorization_pending");
    assert_eq!(error(&tv, &offered).await, "slow_down");
    app.advance(Duration::from_secs(9));
    assert_eq!(error(&tv, &offered).await, "slow_down", "it waits longer now");
    app.advance(Duration::from_secs(20));
    assert_eq!(error(&tv, &offered).await, "authorization_pending");

    // Nobody is signed in: the code is kept over the sign-in. A link alone signs nobody's device in.
    let link = format!("/device?user_code={code}");
    let led = Browser::new(&app).send("GET", HOME, &link, &PAGE).await;
    assert!(led.redirects_to().starts_with("/sign-in?next=/device%3Fuser"), "{}", led.redirects_to());
    let filled = browser.send("GET", HOME, &link, &PAGE).await.assert_status(200);
    assert!(filled.text().contains(&format!("value=\"{code}\"")), "{}", filled.text());
    let page = type_code(&browser, &code.to_lowercase()).await.assert_status(200);
    for text in ["The tv", "alice", "192.0.2.99", "your name and groups", "id=\"consent-allow\""] {
        assert!(page.text().contains(text), "{text}: {}", page.text());
    }
    let done = decide(&browser, &page, "allow").await.assert_status(200);
    assert!(done.text().contains("The device is signed in"), "{}", done.text());
    assert_eq!(decide(&browser, &page, "allow").await.status, 422, "once");
    let tokens = poll(&tv, &offered).await.assert_status(200).json();
    assert_eq!(tokens["scope"], "openid profile offline_access");
    assert_eq!(error(&tv, &offered).await, "invalid_grant", "once");

    let claims = tv.claims(&tokens).await;
    let own = claims["sid"].as_str().unwrap().to_owned();
    assert_ne!(own, session);
    assert_eq!((&claims["preferred_username"], claims.get("nonce")), (&json!("alice"), None));
    let mine = alice.token().await;
    let listed = mine.get(&format!("{SESSIONS}{own}/")).await.assert_status(200).json();
    assert_eq!(listed["last_ip"], "192.0.2.99", "where the device is");
    assert!(browser.send("GET", HOME, "/sessions", &PAGE).await.text().contains("The tv"));
    // Who signs out on the telephone leaves the television signed in; the television is ended by itself.
    mine.delete(&format!("{SESSIONS}{session}/")).await.assert_status(204);
    let next = tv.refresh(tokens["refresh_token"].as_str().unwrap()).await.assert_status(200).json();
    mine.delete(&format!("{SESSIONS}{own}/")).await.assert_status(204);
    assert_eq!(tv.userinfo(&next["access_token"]).await.status, 401);
    assert_eq!(tv.refresh(next["refresh_token"].as_str().unwrap()).await.status, 400);
});

db_test!(a_device_that_is_not_allowed_gets_nothing, |db| async move {
    let app = server(db).await;
    app.seed_keys().await;
    let alice = app.user_with_password("alice").await;
    let tv = register(&app, "tv", json!({"device": true})).await;
    let plain = register(&app, "plain", json!({})).await;
    assert_eq!(plain.call(DEVICE, &[]).await.assert_status(400).json()["error"], "unauthorized_client");
    assert_eq!(error(&plain, &json!({"device_code": "x"})).await, "unauthorized_client");
    assert_eq!(tv.call(DEVICE, &[("scope", "address")]).await.assert_status(400).json()["error"], "invalid_scope");
    let other = register(&app, "other", json!({"device": true})).await;
    let browser = Browser::of(&app, "alice").await;

    let declined = offer(&tv).await;
    let page = type_code(&browser, declined["user_code"].as_str().unwrap()).await.assert_status(200);
    decide(&browser, &page, "decline").await.assert_status(200);
    assert_eq!(error(&tv, &declined).await, "access_denied");

    let late = offer(&tv).await;
    app.advance(Duration::from_secs(600));
    assert_eq!(type_code(&browser, late["user_code"].as_str().unwrap()).await.status, 422);
    assert_eq!(error(&tv, &late).await, "expired_token");
    assert_eq!(error(&tv, &json!({"device_code": "x"})).await, "invalid_grant");

    // Allowing it asks for a fresh proof, and another session's question is not answered.
    let offered = offer(&tv).await;
    let code = offered["user_code"].as_str().unwrap();
    app.advance(Duration::from_secs(7200));
    let offered_again = offer(&tv).await;
    let code_again = offered_again["user_code"].as_str().unwrap();
    assert_ne!(code, code_again);
    let page = type_code(&browser, code_again).await.assert_status(200);
    let stranger = Browser::of(&app, "alice").await;
    let theirs = type_code(&stranger, code_again).await.assert_status(200);
    assert_eq!(decide(&stranger, &theirs, "decline").await.status, 200);
    assert_eq!(error(&tv, &offered_again).await, "access_denied");
    assert_eq!(decide(&browser, &page, "allow").await.status, 422, "it was answered");
    let third = offer(&tv).await;
    let page = type_code(&browser, third["user_code"].as_str().unwrap()).await.assert_status(200);
    let asked = decide(&browser, &page, "allow").await;
    let text = asked.text();
    let sealed = text.split("name=\"sealed\" value=\"").nth(1).unwrap_or_else(|| panic!("{text}")).split('"').next().unwrap();
    assert_eq!(error(&tv, &third).await, "authorization_pending", "nothing was done yet");
    let proofs = format!("proof={}&password={}&next=%2Fdevice&sealed={}", asked.proof(), encode(PASSWORD), encode(sealed));
    let done = browser.post(HOME, "/confirm", &proofs).await.assert_status(200);
    assert!(done.text().contains("The device is signed in"), "{}", done.text());
    assert_eq!(error(&other, &third).await, "invalid_grant", "another client's");

    // The session in which it was allowed has to be there when the device asks.
    let fourth = offer(&tv).await;
    let fresh = Browser::new(&app);
    let session = fresh.sign_in("alice").await;
    let page = type_code(&fresh, fourth["user_code"].as_str().unwrap()).await.assert_status(200);
    decide(&fresh, &page, "allow").await.assert_status(200);
    alice.token().await.delete(&format!("{SESSIONS}{session}/")).await.assert_status(204);
    assert_eq!(error(&tv, &fourth).await, "invalid_grant");

    // Nor does a user who may not open the application any more, or never could.
    let fifth = offer(&tv).await;
    let fresh = Browser::of(&app, "alice").await;
    let page = type_code(&fresh, fifth["user_code"].as_str().unwrap()).await.assert_status(200);
    decide(&fresh, &page, "allow").await.assert_status(200);
    let sixth = offer(&tv).await;
    let nobody = rollcall::actions::applications::ApplicationChange {
        access: Some(serde_json::from_value(json!({"allow": "nobody"})).unwrap()),
        ..Default::default()
    };
    rollcall::actions::applications::change(&app.app, rollcall::actions::by::By::Cli, "tv", nobody).await.unwrap();
    let sessions = app.number("SELECT count(*) FROM sessions").await;
    assert_eq!(error(&tv, &fifth).await, "access_denied");
    assert_eq!(app.number("SELECT count(*) FROM sessions").await, sessions, "no session begins for nothing");
    let page = type_code(&fresh, sixth["user_code"].as_str().unwrap()).await.assert_status(200);
    assert_eq!(decide(&fresh, &page, "allow").await.status, 403);
});

db_test!(codes_of_devices_cannot_be_guessed, |db| async move {
    let app = server_with(db, &[("SIGN_IN__ACCOUNT_LIMIT", "5/1h")]).await;
    app.seed_keys().await;
    app.user("alice").await;
    let tv = register(&app, "tv", json!({"device": true})).await;
    let offered = offer(&tv).await;
    let browser = Browser::of(&app, "alice").await;
    let right = offered["user_code"].as_str().unwrap();
    for wrong in ["", "x", "BCDF-GHJK", "BCDF-GHJL", "BCDF-GHJM"] {
        let answer = type_code(&browser, wrong).await;
        assert_eq!(answer.status, 422, "{wrong}");
    }
    let limited = type_code(&browser, right).await;
    assert_eq!(limited.status, 422);
    assert!(limited.text().contains("Too many codes"), "{}", limited.text());
    // Another session has a limit of its own; a hundred answers at once are one answer, and give tokens once.
    let other = Browser::of(&app, "alice").await;
    let page = type_code(&other, right).await.assert_status(200);
    let answers = futures_util::future::join_all((0..10).map(|_| decide(&other, &page, "allow"))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    let polls = futures_util::future::join_all((0..100).map(|_| poll(&tv, &offered))).await;
    assert_eq!(polls.iter().filter(|answer| answer.status == 200).count(), 1);
    assert_eq!(app.number("SELECT count(*) FROM app_sessions").await, 1);
});

db_test!(an_app_keeps_a_session_of_its_own_once_its_user_agrees, |db| async move {
    let app = server_with(db, &[("SESSIONS__MAX_PER_USER", "1"), ("SESSIONS__AT_LIMIT", "end_oldest")]).await;
    app.seed_keys().await;
    let alice = app.user("alice").await;
    let phone = register(&app, "phone", json!({"offline": "own_session", "offline_lifetime": 86_400 * 20})).await;
    let browser = Browser::new(&app);
    let session = browser.sign_in("alice").await;
    let scopes = [("scope", Some("openid offline_access"))];
    let led = browser.send("GET", HOME, &phone.request(&scopes), &PAGE).await;
    assert!(led.redirects_to().starts_with("/consent?"), "{}", led.redirects_to());
    let page = browser.send("GET", HOME, led.redirects_to(), &PAGE).await.assert_status(200);
    assert!(page.text().contains("at most 20days, also after you sign out here"), "{}", page.text());
    let question = crate::oidc::app::pairs_of(led.redirects_to())["question"].clone();
    let form = format!("proof={}&question={}&decision=allow", page.proof(), encode(&question));
    browser.post(HOME, "/consent", &form).await.assert_status(303);
    let code = phone.code(&browser, &scopes).await;
    let tokens = phone.redeem(&code).await.assert_status(200).json();
    let own = phone.claims(&tokens).await["sid"].as_str().unwrap().to_owned();
    assert_ne!(own, session);
    assert_eq!(app.number("SELECT count(*) FROM session_rows WHERE kind = 'offline'").await, 1);
    assert!(browser.send("GET", HOME, "/sessions", &PAGE).await.text().contains("The phone"));
    // Without the scope it is the browser's own session, and nobody is asked.
    let plain = phone.redeem(&phone.code(&browser, &[("scope", Some("openid"))]).await).await.assert_status(200).json();
    assert_eq!(phone.claims(&plain).await["sid"], session);

    // Signing out of the browser ends what hangs on it, and another sign-in is no reason to end what the app keeps.
    let mine = alice.token().await;
    mine.delete(&format!("{SESSIONS}{session}/")).await.assert_status(204);
    assert_eq!(phone.userinfo(&plain["access_token"]).await.status, 401);
    Browser::of(&app, "alice").await;
    Browser::of(&app, "alice").await;
    app.advance(Duration::from_secs(86_400 * 19));
    let next = phone.refresh(tokens["refresh_token"].as_str().unwrap()).await.assert_status(200).json();
    assert_eq!(phone.claims(&next).await["sid"], own.as_str());
    app.advance(Duration::from_secs(86_400 * 2));
    assert_eq!(phone.refresh(next["refresh_token"].as_str().unwrap()).await.status, 400, "its own end");

    // Its owner ends it, and so does a withdrawn consent.
    let again = Browser::of(&app, "alice").await;
    let tokens = phone.redeem(&phone.code(&again, &scopes).await).await.assert_status(200).json();
    let own = phone.claims(&tokens).await["sid"].as_str().unwrap().to_owned();
    alice.token().await.delete(&format!("{SESSIONS}{own}/")).await.assert_status(204);
    assert_eq!(phone.userinfo(&tokens["access_token"]).await.status, 401);
    let tokens = phone.redeem(&phone.code(&again, &scopes).await).await.assert_status(200).json();
    let apps = again.send("GET", HOME, "/apps", &PAGE).await.assert_status(200);
    again.post(HOME, "/apps/withdraw", &format!("proof={}&app=phone", apps.proof())).await.assert_status(303);
    assert_eq!(phone.userinfo(&tokens["access_token"]).await.status, 401);
});

db_test!(a_code_that_is_used_twice_ends_the_session_that_the_app_keeps, |db| async move {
    let app = server(db).await;
    app.seed_keys().await;
    let mine = app.user("alice").await.token().await;
    let phone = register(&app, "phone", json!({"offline": "own_session"})).await;
    let browser = Browser::new(&app);
    let session = browser.sign_in("alice").await;
    let scopes = [("scope", Some("openid offline_access"))];
    let (page, question) = asked(&phone, &browser, &scopes).await;
    answer(&browser, &page, &question, "allow").await.assert_status(303);
    let kept = async || app.number("SELECT count(*) FROM session_rows WHERE kind = 'offline'").await;
    for (nth, is_signed_out) in [(1, false), (2, true)] {
        let plain = phone.redeem(&phone.code(&browser, &[("scope", Some("openid"))]).await).await.assert_status(200).json();
        let code = phone.code(&browser, &scopes).await;
        let tokens = phone.redeem(&code).await.assert_status(200).json();
        let own = phone.claims(&tokens).await["sid"].as_str().unwrap().to_owned();
        assert_eq!((own == session, kept().await), (false, 1));
        app.advance(Duration::from_secs(3600));
        if is_signed_out {
            mine.delete(&format!("{SESSIONS}{session}/")).await.assert_status(204);
        }
        assert_eq!(phone.redeem(&code).await.assert_status(400).json()["error"], "invalid_grant");
        assert_eq!(kept().await, 0, "the session that it gave has ended");
        phone.refresh(tokens["refresh_token"].as_str().unwrap()).await.assert_status(400);
        let ended = mine.get("/api/v3/core/ended_sessions/").await.assert_status(200).json();
        let row = ended["results"].as_array().unwrap().iter().find(|row| row["uuid"] == own.as_str()).unwrap();
        assert_eq!((&row["reason"], &row["comment"]), (&json!("revoked"), &json!("its code was used twice")));
        assert_eq!((&row["applications"][0]["slug"], app.latest("token_reused").await.len()), (&json!("phone"), nth));
        assert_eq!(phone.redeem(&code).await.assert_status(400).json()["error"], "invalid_grant", "a third time");
        assert_eq!(app.latest("token_reused").await.len(), nth);
        // The browser's own session goes on, with what hangs on it.
        let status = phone.refresh(plain["refresh_token"].as_str().unwrap()).await.status;
        assert_eq!(status, if is_signed_out { 400 } else { 200 });
    }
});

db_test!(nobody_fills_the_database_by_devices_of_an_app_without_a_secret, |db| async move {
    let app = server_with(db, &[("SIGN_IN__ADDRESS_LIMIT", "3/1h")]).await;
    app.seed_keys().await;
    let (public, secret) = (
        register(&app, "public", json!({"device": true, "is_public": true})).await,
        register(&app, "tv", json!({"device": true})).await,
    );
    let ask = async || public.call(DEVICE, &[("client_id", &public.id)]).await;
    for _ in 0..3 {
        ask().await.assert_status(200);
    }
    let refused = ask().await.assert_status(429);
    assert!(refused.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() > 0);
    assert_eq!(refused.json()["error"], "slow_down");
    assert_eq!(app.number("SELECT count(*) FROM device_codes").await, 3);
    // An app with a secret goes on, and so do people at that address.
    for _ in 0..4 {
        offer(&secret).await;
    }
    app.user_with_password("alice").await;
    Browser::new(&app).sign_in("alice").await;
});
