//! Ending all sessions of users (`docs/compat.md` 12).

use serde_json::{Value, json};

use crate::support::{Caller, SESSIONS, TestApp, encode, seed};

async fn bulk(caller: &Caller, query: &str) -> crate::support::Answer {
    caller.delete(&format!("{SESSIONS}bulk_delete/?{query}")).await
}

/// Users 1 to 5 with as many sessions as their number, and somebody who may end all of them.
async fn populated(app: &TestApp) -> Caller {
    let mut lines: Vec<Value> = (1..=5).map(|id| seed::user(id, &format!("user {id}"))).collect();
    for (n, user) in (0..).zip((1..=5).flat_map(|id| vec![id; usize::try_from(id).unwrap()])) {
        lines.push(seed::session(n, user, json!({})));
    }
    app.import(&lines).await;
    app.admin_token().await
}

db_test!(numbers_are_read_in_many_forms, |db| async move {
    let app = TestApp::new(db).await;
    let admin = populated(&app).await;
    let mut left = 15;
    for (query, deleted) in [
        ("user_pks=99&user_pks=-1&user_pks=99999999999999999999999&user_pks=0", 0),
        ("user_pks=1.0", 1),
        ("user_pks[0]=2&user_pks[3]=777", 2),
        ("user_pks=%20%2B3%20&user_pks=3&user_pks=0_3", 3),
        ("user_pks=4&other=5", 4),
        ("user_pks=%205.00", 5),
        ("user_pks=5", 0),
    ] {
        let answer = bulk(&admin, query).await.assert_status(200);
        assert_eq!(answer.json(), json!({ "deleted": deleted }), "{query}");
        left -= deleted;
        assert_eq!(admin.get(SESSIONS).await.count(), left);
    }
    assert_eq!(app.count_events("session_revoked").await, 15);
    app.assert_counts().await;
});

db_test!(one_bad_item_and_nothing_ends, |db| async move {
    let app = TestApp::new(db).await;
    let admin = populated(&app).await;
    let integer = "A valid integer is required.";
    for (query, want) in [
        ("", json!({"user_pks": ["This field is required."]})),
        ("user_pk=1", json!({"user_pks": ["This field is required."]})),
        ("user_pks=", json!({"user_pks": {"0": [integer]}})),
        ("user_pks=2,3", json!({"user_pks": {"0": [integer]}})),
        ("user_pks=1&user_pks=x&user_pks=2&user_pks=1.5", json!({"user_pks": {"1": [integer], "3": [integer]}})),
        ("user_pks[0]=1&user_pks[1]=x", json!({"user_pks": {"1": [integer]}})),
        ("user_pks=true&user_pks=1e3&user_pks=0x1", json!({"user_pks": {"0": [integer], "1": [integer], "2": [integer]}})),
        ("user_pks=%00", json!({"user_pks": {"0": [integer]}})),
    ] {
        let answer = bulk(&admin, query).await.assert_status(400);
        assert_eq!(answer.json(), want, "{query}");
    }
    let long = bulk(&admin, &format!("user_pks={}", "1".repeat(1001))).await.assert_status(400);
    assert_eq!(long.json(), json!({"user_pks": {"0": ["String value too large."]}}));
    assert_eq!(bulk(&admin, &format!("user_pks={}", "1".repeat(1000))).await.json(), json!({"deleted": 0}));
    assert_eq!(admin.get(SESSIONS).await.count(), 15);
});

db_test!(the_body_is_not_read, |db| async move {
    let app = TestApp::new(db).await;
    let admin = populated(&app).await;
    let url = format!("{SESSIONS}bulk_delete/");
    let request = admin.build("DELETE", &url).json(&json!({"user_pks": [1]}));
    crate::support::caller::send(request).await.assert_status(400);
    let form = admin.build("DELETE", &format!("{url}?user_pks=1")).form(&[("user_pks", "5")]);
    assert_eq!(crate::support::caller::send(form).await.json(), json!({"deleted": 1}));
});

db_test!(the_callers_own_session_ends_too_when_named, |db| async move {
    let app = TestApp::new(db).await;
    let root = app.superuser("root").await;
    let browser = root.session().await;
    let answer = bulk(&browser.with_csrf(), &format!("user_pks={}", root.id.0)).await;
    assert_eq!(answer.json(), json!({"deleted": 1}));
    browser.get(SESSIONS).await.assert_status(403);
});

db_test!(permission_comes_before_the_parameters, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user("alice").await;
    let token = alice.token().await;
    for query in [String::new(), "user_pks=x".into(), format!("user_pks={}", alice.id.0), encode("[")] {
        bulk(&token, &query).await.assert_detail(403, "You do not have permission to perform this action.");
    }
});

db_test!(many_users_and_many_sessions_end_in_one_call, |db| async move {
    let app = TestApp::new(db).await;
    let mut lines: Vec<Value> = (1..=600).map(|id| seed::user(id, &format!("user {id}"))).collect();
    // More than one transaction ends at a time, of one user and of many.
    lines.extend((0..1100).map(|n| seed::session(n, if n < 520 { 1 } else { i64::from(n % 600) + 1 }, json!({}))));
    app.import(&lines).await;
    let admin = app.admin_token().await;
    let query: Vec<String> = (1..=600).map(|id| format!("user_pks={id}")).collect();
    assert_eq!(bulk(&admin, &query.join("&")).await.json(), json!({"deleted": 1100}));
    assert_eq!(admin.get(SESSIONS).await.count(), 0);
    app.assert_counts().await;
    app.move_pending().await;
    assert_eq!(app.number("SELECT count(*) FROM ended_sessions").await, 1100);
    assert_eq!(app.count_events("session_revoked").await, 1100);
    app.assert_counts().await;
});
