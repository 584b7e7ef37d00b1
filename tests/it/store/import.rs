//! Import: all or nothing, and the line that is wrong is named.

use serde_json::json;

use crate::support::{SESSIONS, TestApp, seed};

/// How many rows there are in all.
const ROWS: &str = "SELECT (SELECT count(*) FROM users) + (SELECT count(*) FROM groups) + (SELECT count(*) FROM tokens) \
    + (SELECT count(*) FROM sessions) + (SELECT count(*) FROM events) + (SELECT count(*) FROM user_agents)";

db_test!(a_wrong_line_is_named_and_nothing_is_stored, |db| async move {
    let app = TestApp::new(db).await;
    let good = format!("{}\n{}\n", seed::user(1, "alice"), seed::session(1, 1, json!({"last_user_agent": "x"})));
    let session = |with| seed::session(2, 1, with).to_string();
    let token = |intent: &str, user: i64, key: &str| {
        json!({"kind": "token", "key": key, "intent": intent, "user": user, "expires": "2099-01-01T00:00:00Z"}).to_string()
    };
    for (bad, why) in [
        ("nonsense".to_owned(), "expected"),
        ("[]".to_owned(), ""),
        ("{}".to_owned(), "kind"),
        (json!({"kind": "planet"}).to_string(), "planet"),
        (json!({"kind": "user"}).to_string(), "username"),
        (json!({"kind": "user", "id": 1, "username": "bob"}).to_string(), "exists already"),
        (json!({"kind": "user", "id": 2, "username": "alice"}).to_string(), "exists already"),
        (json!({"kind": "user", "id": 0, "username": "zero"}).to_string(), "starts at 1"),
        (json!({"kind": "user", "username": " "}).to_string(), "empty"),
        (json!({"kind": "user", "username": "a\nb"}).to_string(), "control"),
        (json!({"kind": "user", "username": "x".repeat(151)}).to_string(), "150"),
        (json!({"kind": "user", "username": "b", "email": "nonsense"}).to_string(), "e-mail"),
        (json!({"kind": "user", "username": "b", "permissions": ["fly"]}).to_string(), "fly"),
        (json!({"kind": "user", "id": 2, "username": "b", "groups": ["none"]}).to_string(), "none"),
        (json!({"kind": "user", "username": "b", "password_hash": "plain"}).to_string(), "password_hash"),
        (token("api", 9, "an-imported-token-key"), "9"),
        (token("fly", 1, "an-imported-token-key"), "fly"),
        (token("api", 1, ""), "the key of a token"),
        (session(json!({"user": 9})), "9"),
        (session(json!({"uuid": seed::uuid(1)})), "exists already"),
        (session(json!({"session_key": "key-1"})), "exists already"),
        (session(json!({"session_key": ""})), "empty"),
        (session(json!({"uuid": "x"})), "uuid"),
        (session(json!({"last_ip": "10.0.0.0/8"})), "last_ip"),
        (session(json!({"last_ip": "nowhere"})), "last_ip"),
        (session(json!({"last_used": "yesterday"})), "last_used"),
        (session(json!({"expires": ""})), "expires"),
        (session(json!({"expires": 7})), ""),
    ] {
        let text = format!("{good}\n{bad}\nmore nonsense\n");
        let error = app.import_bytes(text, false).await.unwrap_err().to_string();
        assert!(error.starts_with("line 4: ") && error.contains(why), "{bad}: {error}");
        assert_eq!(app.number(ROWS).await, 0, "{bad}");
    }
    let mut bytes = good.clone().into_bytes();
    bytes.extend(b"{\"kind\":\"user\",\"username\":\"caf\xe9\"}\n");
    let error = app.import_bytes(bytes, false).await.unwrap_err().to_string();
    assert!(error.starts_with("line 3: "), "{error}");
    let long = format!("{good}{}", " ".repeat(1024 * 1024 + 1));
    assert!(app.import_bytes(long, false).await.unwrap_err().to_string().starts_with("line 3: "));
    assert_eq!(app.number(ROWS).await, 0);
    app.assert_counts().await;
});

db_test!(a_failed_replacement_leaves_what_was, |db| async move {
    let app = TestApp::new(db).await;
    let session = app.user("alice").await.session().await;
    assert!(app.import_bytes(format!("{}\nnonsense", seed::user(1, "bob")), true).await.is_err());
    session.get(SESSIONS).await.assert_status(200);
    app.assert_counts().await;
    app.import_bytes(format!("{}\n", seed::user(1, "bob")), true).await.unwrap();
    session.get(SESSIONS).await.assert_status(403);
    assert_eq!((app.number("SELECT count(*) FROM users").await, app.number("SELECT count(*) FROM sessions").await), (1, 0));
    app.assert_counts().await;
});

db_test!(what_is_imported_is_summed_up_and_keys_go_on, |db| async move {
    let app = TestApp::new(db).await;
    let summary = app
        .import(&[
            json!({"kind": "group", "name": "admins", "is_superuser": true}),
            json!({"kind": "user", "id": 40, "username": "alice", "groups": ["admins"]}),
            json!({"kind": "user", "username": "bob"}),
            json!({"kind": "token", "key": "an-imported-token-key", "intent": "api", "user": 40, "expires": "2099-01-01T00:00:00Z"}),
            seed::session(1, 40, json!({"last_user_agent": "x\0y", "last_ip": "::FFFF:1.2.3.4"})),
        ])
        .await;
    assert_eq!((summary.groups, summary.users, summary.tokens, summary.sessions), (1, 2, 1, 1));
    assert_eq!(app.count_events("import").await, 1);
    let carol = app.user("carol").await;
    assert!(carol.id.0 > 40, "{:?}", carol.id);
    let row = app.anonymous().with_bearer("an-imported-token-key").get(SESSIONS).await.json()["results"][0].clone();
    assert_eq!((&row["last_user_agent"], &row["last_ip"]), (&json!("x\u{fffd}y"), &json!("::ffff:1.2.3.4")));
    app.assert_counts().await;
});

db_test!(a_user_without_a_key_may_follow_one_with, |db| async move {
    let app = TestApp::new(db).await;
    let summary = app.import(&[seed::user(1, "alice"), json!({"kind": "user", "username": "bob"})]).await;
    assert_eq!(summary.users, 2);
});

db_test!(the_nil_uuid_is_a_uuid, |db| async move {
    let app = TestApp::new(db).await;
    let nil = "00000000-0000-0000-0000-000000000000";
    app.import(&[seed::user(1, "alice"), seed::session(1, 1, json!({"uuid": nil})), seed::session(2, 1, json!({}))]).await;
    app.admin_token().await.get(&format!("{SESSIONS}{nil}/")).await.assert_status(200);
    let walked = app.app.store.read().list_sessions_after(None, 10).await.unwrap();
    assert_eq!(walked.len(), 2, "a walk through all sessions shows all of them");
});
