//! Signing in and out by authentik's flow executor (`docs/compat.md` 15).

use std::time::Duration;

use rollcall::actions::by::By;
use rollcall::actions::people::users;
use serde_json::{Value, json};

use crate::support::app::{PASSWORD, sign_in_as};
use crate::support::{Answer, Caller, SESSIONS, SIGN_IN_FLOW, SIGN_OUT_FLOW, TestApp};

async fn identify(caller: &Caller, uid: &str) -> Answer {
    caller.post_json(SIGN_IN_FLOW, &json!({"component": "ak-stage-identification", "uid_field": uid})).await.assert_status(200)
}

async fn prove(caller: &Caller, password: &str) -> Answer {
    caller.post_json(SIGN_IN_FLOW, &json!({"component": "ak-stage-password", "password": password})).await.assert_status(200)
}

fn error<'a>(challenge: &'a Value, field: &str) -> &'a Value {
    &challenge["response_errors"][field][0]["string"]
}

db_test!(the_whole_conversation, |db| async move {
    let app = TestApp::new(db).await;
    app.user_with_password("alice").await;
    let caller = app.anonymous();
    let first = caller.get(SIGN_IN_FLOW).await.assert_status(200);
    let cookie = first.set_cookie("rollcall_flow").unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax") && cookie.contains("Max-Age=900"), "{cookie}");
    let first = first.json();
    assert_eq!(first["component"], "ak-stage-identification");
    assert_eq!(first["flow_info"]["layout"], "stacked");
    for field in ["title", "background", "background_themed_urls", "cancel_url"] {
        assert!(first["flow_info"].get(field).is_some(), "{field}");
    }
    assert_eq!(first["user_fields"], json!(["username", "email"]));
    assert_eq!(
        (&first["password_fields"], &first["show_source_labels"], &first["enable_remember_me"]),
        (&json!(false), &json!(false), &json!(false))
    );
    assert_eq!((&first["primary_action"], &first["sources"]), (&json!("Log in"), &json!([])));

    let second = identify(&caller, "alice").await.json();
    assert_eq!((&second["component"], &second["pending_user"]), (&json!("ak-stage-password"), &json!("alice")));
    assert!(second["pending_user_avatar"].is_string() && second.get("response_errors").is_none());
    assert_eq!(caller.get(SIGN_IN_FLOW).await.json(), second, "GET gives the challenge that waits");

    let wrong = prove(&caller, "wrong").await.json();
    assert_eq!(wrong["response_errors"], json!({"password": [{"string": "Invalid password", "code": "invalid"}]}));
    assert_eq!(wrong["component"], "ak-stage-password");
    let third = prove(&caller, PASSWORD).await;
    assert!(third.set_cookie("rollcall_session").is_none(), "not yet");
    assert_eq!(third.json()["component"], "ak-stage-user-login");

    let last = caller.post_json(SIGN_IN_FLOW, &json!({"component": "ak-stage-user-login", "remember_me": false})).await;
    let cookie = last.set_cookie("rollcall_session").unwrap();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax") && cookie.contains("Path=/") && !cookie.contains("Max-Age"),
        "{cookie}"
    );
    assert_eq!(last.json(), json!({"component": "xak-flow-redirect", "flow_info": last.json()["flow_info"], "to": "/"}));
    let list = caller.get(SESSIONS).await.json();
    assert_eq!((&list["pagination"]["count"], &list["results"][0]["current"]), (&json!(1), &json!(true)));
    assert_eq!((app.count_events("sign_in_failed").await, app.count_events("sign_in").await), (1, 1));
});

db_test!(an_unknown_name_reads_as_a_known_one, |db| async move {
    let app = TestApp::new(db).await;
    app.user_with_password("alice").await;
    app.user("without password").await;
    let gone = app.user_with_password("gone").await;
    let row = users::find(&app.app, By::Cli, &gone.name).await.unwrap();
    users::set_active(&app.app, By::Cli, &row, false).await.unwrap();
    let mut bodies = Vec::new();
    for (uid, password) in
        [("alice", "wrong"), ("nobody", PASSWORD), ("without password", PASSWORD), ("gone", PASSWORD), ("ALICE", "wrong")]
    {
        let caller = app.anonymous();
        let asked = identify(&caller, uid).await.text().replace(uid, "NAME");
        let refused = prove(&caller, password).await.text().replace(uid, "NAME");
        bodies.push((asked, refused));
    }
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]), "{bodies:#?}");
    assert_eq!(app.count_events("sign_in_failed").await, 5);
});

db_test!(an_email_address_names_its_user, |db| async move {
    let app = TestApp::new(db).await;
    let hash = rollcall::actions::people::passwords::hash(PASSWORD).unwrap();
    let user = |id: i64, name: &str, email: &str| json!({"kind": "user", "id": id, "username": name, "email": email, "password_hash": hash});
    app.import(&[user(1, "alice", "Alice@Example.com"), user(2, "b1", "shared@example.com"), user(3, "b2", "shared@example.com")])
        .await;
    let caller = app.anonymous();
    sign_in_as(&caller, " alice@example.COM ", PASSWORD, false).await;
    assert_eq!(caller.get(SESSIONS).await.json()["results"][0]["user"], 1);
    let refused = sign_in_as(&app.anonymous(), "shared@example.com", PASSWORD, false).await.json();
    assert_eq!(error(&refused, "password"), "Invalid password", "an address of two names neither");
});

db_test!(a_wrong_answer_never_moves_a_stage, |db| async move {
    let app = TestApp::new(db).await;
    app.user_with_password("alice").await;
    let caller = app.anonymous();
    let stage = async |body: &Value, component: &str, field: &str| {
        let answer = caller.post_json(SIGN_IN_FLOW, body).await.assert_status(200).json();
        assert_eq!(answer["component"], component, "{body}");
        assert!(answer["response_errors"][field].is_array(), "{body}: {answer}");
        assert_eq!(caller.get(SIGN_IN_FLOW).await.json()["component"], component);
    };
    let identification = "ak-stage-identification";
    for (body, field) in [
        (json!({}), "component"),
        (json!({"component": "ak-stage-password", "password": PASSWORD}), "component"),
        (json!({"component": "ak-stage-user-login", "remember_me": true}), "component"),
        (json!({"component": identification}), "uid_field"),
        (json!({"component": identification, "uid_field": ""}), "uid_field"),
        (json!({"component": identification, "uid_field": 7}), "uid_field"),
    ] {
        stage(&body, identification, field).await;
    }
    let empty = caller.post_bytes(SIGN_IN_FLOW, Vec::new()).await.assert_status(200).json();
    assert_eq!(empty["component"], identification);
    identify(&caller, "alice").await;
    for (body, field) in [
        (json!({"component": identification, "uid_field": "bob"}), "component"),
        (json!({"component": "ak-stage-password"}), "password"),
        (json!({"component": "ak-stage-password", "password": ""}), "password"),
        (json!({"component": "ak-stage-password", "password": null}), "password"),
    ] {
        stage(&body, "ak-stage-password", field).await;
    }
    prove(&caller, PASSWORD).await;
    for (body, field) in [
        (json!({"component": "ak-stage-user-login"}), "remember_me"),
        (json!({"component": "ak-stage-user-login", "remember_me": "yes"}), "remember_me"),
        (json!({"component": "ak-stage-password", "password": PASSWORD}), "component"),
    ] {
        stage(&body, "ak-stage-user-login", field).await;
    }
    assert_eq!(app.number("SELECT count(*) FROM sessions").await, 0);
});

db_test!(too_many_wrong_passwords_end_the_conversation, |db| async move {
    let app = TestApp::new(db).await;
    app.user_with_password("alice").await;
    let caller = app.anonymous();
    identify(&caller, "alice").await;
    for _ in 0..4 {
        assert_eq!(prove(&caller, "wrong").await.json()["component"], "ak-stage-password");
    }
    let denied = prove(&caller, "wrong").await.json();
    assert_eq!(denied["component"], "ak-stage-access-denied");
    assert!(denied["error_message"].is_string());
    assert_eq!(prove(&caller, PASSWORD).await.json()["component"], "ak-stage-access-denied");
    assert_eq!(app.number("SELECT count(*) FROM sessions").await, 0);
    // Another browser is not concerned.
    assert_eq!(sign_in_as(&app.anonymous(), "alice", PASSWORD, false).await.json()["component"], "xak-flow-redirect");
});

db_test!(staying_signed_in_lifts_the_idle_timeout, |db| async move {
    let app = TestApp::with(db, &[("SESSIONS__REMEMBER_TIMEOUT", "40d"), ("SESSIONS__IDLE_TIMEOUT", "1h")]).await;
    app.user_with_password("alice").await;
    let (short, long) = (app.anonymous(), app.anonymous());
    sign_in_as(&short, "alice", PASSWORD, false).await;
    let answer = sign_in_as(&long, "alice", PASSWORD, true).await;
    assert!(answer.set_cookie("rollcall_session").unwrap().contains(&format!("Max-Age={}", 40 * 86400)));
    app.advance(Duration::from_secs(3600));
    short.get(SESSIONS).await.assert_status(403);
    long.get(SESSIONS).await.assert_status(200);
    app.advance(Duration::from_secs(40 * 86400 - 3600));
    long.get(SESSIONS).await.assert_status(403);
});

db_test!(where_staying_is_not_offered_it_is_not_asked, |db| async move {
    let app = TestApp::with(db, &[("SESSIONS__REMEMBER_TIMEOUT", "0")]).await;
    app.user_with_password("alice").await;
    let caller = app.anonymous();
    identify(&caller, "alice").await;
    let last = prove(&caller, PASSWORD).await;
    assert_eq!(last.json()["component"], "xak-flow-redirect");
    assert!(last.set_cookie("rollcall_session").is_some());
    caller.get(SESSIONS).await.assert_status(200);
});

db_test!(it_leads_only_here, |db| async move {
    let app = TestApp::with(db, &[("SESSIONS__REMEMBER_TIMEOUT", "0"), ("HTTP__PUBLIC_URL", "http://sessions.example")]).await;
    app.user_with_password("alice").await;
    for (query, want) in [
        ("", "/"),
        ("query=next%3D%252Fsessions%253Fpage%253D2", "/sessions?page=2"),
        ("query=next%3D%2Fsessions", "/sessions"),
        ("query=next%3Dhttp%253A%252F%252Fsessions.example%252Fx", "/x"),
        ("query=next%3Dhttps%253A%252F%252Fevil.example%252F", "/"),
        ("query=next%3D%252F%252Fevil.example", "/"),
        ("query=next%3D%252F%255Cevil.example", "/"),
        ("query=next%3Djavascript%3Aalert(1)", "/"),
        ("next=%2Fsessions", "/"),
    ] {
        let caller = app.anonymous();
        identify(&caller, "alice").await;
        let body = json!({"component": "ak-stage-password", "password": PASSWORD});
        let last = caller.post_json(&format!("{SIGN_IN_FLOW}?{query}"), &body).await.json();
        assert_eq!((&last["component"], &last["to"]), (&json!("xak-flow-redirect"), &json!(want)), "{query}");
    }
});

db_test!(other_sites_are_refused_and_unknown_flows_not_found, |db| async move {
    let app = TestApp::new(db).await;
    let caller = app.anonymous();
    for url in [SIGN_IN_FLOW, SIGN_OUT_FLOW] {
        for (name, value) in [
            ("origin", "http://evil.example"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            let answer = caller.with_header(name, value).post_json(url, &json!({})).await.assert_status(403);
            assert!(answer.json()["detail"].as_str().unwrap().starts_with("CSRF Failed: "), "{}", answer.text());
        }
        for (name, value) in [("origin", app.origin().as_str()), ("sec-fetch-site", "same-origin"), ("sec-fetch-site", "none")] {
            caller.with_header(name, value).post_json(url, &json!({})).await.assert_status(200);
        }
        let put = caller.request("PUT", url).await;
        assert_eq!((put.status, put.header("allow")), (405, Some("GET, POST, HEAD, OPTIONS")));
    }
    for slug in ["default-enrollment-flow", "x", "DEFAULT-AUTHENTICATION-FLOW"] {
        let url = format!("/api/v3/flows/executor/{slug}/");
        caller.get(&url).await.assert_detail(404, "Not found.");
        caller.post_json(&url, &json!({})).await.assert_detail(404, "Not found.");
    }
});

db_test!(a_proved_password_is_used_once, |db| async move {
    let app = TestApp::new(db).await;
    app.user_with_password("alice").await;
    let caller = app.anonymous();
    identify(&caller, "alice").await;
    prove(&caller, PASSWORD).await;
    // Twenty browsers that hold the same sealed state.
    let state = caller.cookie("rollcall_flow").unwrap();
    let mut posts = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let copy = app.anonymous();
        copy.set_cookie("rollcall_flow", &state);
        posts.spawn(async move {
            copy.post_json(SIGN_IN_FLOW, &json!({"component": "ak-stage-user-login", "remember_me": false})).await
        });
    }
    let answers = posts.join_all().await;
    let signed_in = answers.iter().filter(|answer| answer.set_cookie("rollcall_session").is_some()).count();
    assert_eq!((answers.len(), signed_in), (20, 1));
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(app.number("SELECT count(*) FROM sessions").await, 1);
});

db_test!(a_sign_in_lives_a_quarter_of_an_hour, |db| async move {
    let app = TestApp::new(db).await;
    app.user_with_password("alice").await;
    let caller = app.anonymous();
    identify(&caller, "alice").await;
    prove(&caller, PASSWORD).await;
    app.advance(Duration::from_secs(15 * 60));
    assert_eq!(caller.get(SIGN_IN_FLOW).await.json()["component"], "ak-stage-identification");
    let late = caller.post_json(SIGN_IN_FLOW, &json!({"component": "ak-stage-user-login", "remember_me": true})).await.json();
    assert_eq!(late["component"], "ak-stage-identification");
    // A state that is not ours is none.
    for forged in ["x", "AAAA", &"A".repeat(4000)] {
        let other = app.anonymous();
        other.set_cookie("rollcall_flow", forged);
        assert_eq!(other.get(SIGN_IN_FLOW).await.assert_status(200).json()["component"], "ak-stage-identification");
    }
});

db_test!(every_sign_in_has_a_new_key_and_replaces_the_old_session, |db| async move {
    let app = TestApp::new(db).await;
    app.user_with_password("alice").await;
    app.user_with_password("bob").await;
    let caller = app.anonymous();
    caller.set_cookie("rollcall_session", "chosen-by-somebody-else");
    sign_in_as(&caller, "alice", PASSWORD, false).await;
    let first = caller.cookie("rollcall_session").unwrap();
    assert_ne!(first, "chosen-by-somebody-else");
    let uuid = caller.get(SESSIONS).await.uuids().remove(0);
    sign_in_as(&caller, "bob", PASSWORD, false).await;
    assert_ne!(caller.cookie("rollcall_session").unwrap(), first);
    let old = app.anonymous();
    old.set_cookie("rollcall_session", &first);
    old.get(SESSIONS).await.assert_status(403);
    assert_eq!(app.ending(&uuid).await, Some(("replaced".into(), "bob".into())));
    assert_eq!(app.number("SELECT count(*) FROM sessions").await, 1);
    app.assert_counts().await;
});

db_test!(a_session_is_handed_a_csrf_secret_its_scripts_can_read, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user_with_password("alice").await;
    let caller = alice.sign_in().await;
    let secret = caller.cookie("authentik_csrf").unwrap();
    assert!(secret.len() == 32 && secret.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{secret}");
    let uuid = caller.get(SESSIONS).await.uuids().remove(0);
    caller.with_header("x-authentik-csrf", &secret).delete(&format!("{SESSIONS}{uuid}/")).await.assert_status(204);
});

db_test!(signing_out_is_asked_for_unless_it_is_meant, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user("alice").await;
    let (one, two, three) = (alice.session().await, alice.session().await, alice.session().await);
    for caller in [one.caller.clone(), one.with_header("sec-fetch-site", "cross-site"), one.with_header("sec-fetch-site", "none")] {
        let asked = caller.get(SIGN_OUT_FLOW).await.assert_status(200);
        assert_ne!(asked.json()["component"], "xak-flow-redirect");
        one.get(SESSIONS).await.assert_status(200);
    }
    let out = one.with_header("sec-fetch-site", "same-origin").get(SIGN_OUT_FLOW).await.assert_status(200);
    assert_eq!((&out.json()["component"], &out.json()["to"]), (&json!("xak-flow-redirect"), &json!("/")));
    assert!(out.set_cookie("rollcall_session").unwrap().contains("Max-Age=0"));
    assert!(out.header("clear-site-data").is_some());
    two.post_json(SIGN_OUT_FLOW, &json!({})).await.assert_status(200);
    for gone in [&one, &two] {
        let copy = app.anonymous();
        copy.set_cookie("rollcall_session", &gone.key);
        copy.get(SESSIONS).await.assert_status(403);
        assert_eq!(app.ending(&gone.uuid).await, Some(("signed_out".into(), "alice".into())));
    }
    three.get(SESSIONS).await.assert_status(200);
    assert_eq!(app.count_events("sign_out").await, 2);
});
