//! The bound on sessions that a token ends one by one (`safety.burst_sessions`).

use std::time::Duration;

use serde_json::{Value, json};

use super::schema::assert_described;
use crate::support::{Answer, Caller, SESSIONS, TestApp, seed};

/// A user with a primary key for each name, and a session of each user named in `of`, in this order.
async fn populated(app: &TestApp, of: &[i64]) {
    let users = of.iter().max().copied().unwrap_or(0);
    let mut lines: Vec<Value> = (1..=users).map(|id| seed::user(id, &format!("user{id}"))).collect();
    lines.extend(of.iter().zip(1..).map(|(user, nth)| seed::session(nth, *user, json!({}))));
    app.import(&lines).await;
}

fn url(nth: u32) -> String {
    format!("{SESSIONS}{}/", seed::uuid(nth))
}

/// Ends the sessions one by one, and gives the statuses.
async fn end_each(caller: &Caller, sessions: impl IntoIterator<Item = u32>) -> Vec<u16> {
    let mut statuses = Vec::new();
    for nth in sessions {
        statuses.push(caller.delete(&url(nth)).await.status);
    }
    statuses
}

fn count(statuses: &[u16], status: u16) -> usize {
    statuses.iter().filter(|is| **is == status).count()
}

async fn left(app: &TestApp) -> i64 {
    app.number("SELECT count(*) FROM sessions").await
}

db_test!(any_number_of_sessions_of_one_user_can_be_ended, |db| async move {
    let app = TestApp::new(db).await;
    populated(&app, &[1; 40]).await;
    let admin = app.admin_token().await;
    assert_eq!(end_each(&admin, 1..=40).await, [204; 40]);
    assert_eq!(app.count_events("ends_refused").await, 0);
});

db_test!(a_client_that_lost_its_filter_is_stopped, |db| async move {
    let app = TestApp::new(db).await;
    // As many as such a client gets by its first page: all of other users.
    let users: Vec<i64> = (1..=62).collect();
    populated(&app, &users).await;
    let admin = app.admin_token().await;
    let statuses = end_each(&admin, 1..=62).await;
    assert_eq!((count(&statuses, 204), count(&statuses, 429)), (11, 51), "{statuses:?}");
    assert_eq!(left(&app).await, 51);
    let refused = admin.delete(&url(62)).await;
    assert_described(&format!("{SESSIONS}{{uuid}}/"), "delete", &refused);
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("60")));
    let text = refused.json()["detail"].as_str().unwrap().to_owned();
    for part in ["bulk_delete/?user_pks=", "revoke/", "safety.burst_sessions", "60 seconds", "Nothing was ended"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // Told once, with what had ended.
    let told = app.latest("ends_refused").await;
    assert_eq!(told.len(), 1);
    let content = json!(told[0].content.to_json());
    assert_eq!((&content["sessions"], &content["users"]), (&json!(11), &json!(11)));
    assert!(told[0].text().contains("11 sessions of 11 users"), "{}", told[0].text());
    // What is not there, or may not be ended, is told first.
    admin.delete(&url(1)).await.assert_detail(404, "No AuthenticatedSession matches the given query.");
    admin.delete(&format!("{SESSIONS}x/")).await.assert_detail(404, "Not found.");
    app.assert_counts().await;
});

db_test!(the_one_user_goes_on_while_others_are_refused, |db| async move {
    let app = TestApp::with(db, &[("SAFETY__BURST_SESSIONS", "2")]).await;
    populated(&app, &[1, 1, 1, 2, 3, 4, 1, 1]).await;
    let admin = app.admin_token().await;
    assert_eq!(end_each(&admin, 1..=8).await, [204, 204, 204, 204, 204, 429, 204, 204]);
    // The minute began with the first end.
    app.advance(Duration::from_secs(59));
    let refused = admin.delete(&url(6)).await.assert_status(429);
    assert_eq!(refused.header("retry-after"), Some("1"));
    app.advance(Duration::from_secs(1));
    admin.delete(&url(6)).await.assert_status(204);
    assert_eq!(app.count_events("ends_refused").await, 1);
});

db_test!(each_minute_of_refusals_is_told_once, |db| async move {
    let app = TestApp::with(db, &[("SAFETY__BURST_SESSIONS", "1")]).await;
    populated(&app, &[1, 2, 3, 4, 5, 6]).await;
    let admin = app.admin_token().await;
    for minute in 1..=2 {
        let first = (minute - 1) * 2 + 1;
        assert_eq!(end_each(&admin, [first, first + 1, 5, 6]).await, [204, 204, 429, 429]);
        assert_eq!(app.count_events("ends_refused").await, minute as usize);
        app.advance(Duration::from_secs(60));
    }
});

db_test!(of_many_at_once_no_more_pass, |db| async move {
    let app = TestApp::new(db).await;
    let users: Vec<i64> = (1..=100).collect();
    populated(&app, &users).await;
    let admin = app.admin_token().await;
    // A second process on the same database.
    let other = app.restarted(&[]).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(rollcall::server::serve(listener, rollcall::server::router(&other), std::future::pending()));
    let owner = app.known("the admin").await;
    let key = owner.token_key(rollcall::domain::user::TokenIntent::Api, None).await;
    let nodes = [app.anonymous().with_bearer(&key), Caller::new(address).with_bearer(&key)];
    let ends = (1..=100_u32).map(|nth| {
        let node = nodes[nth as usize % 2].clone();
        tokio::spawn(async move { node.delete(&url(nth)).await.status })
    });
    let mut statuses = Vec::new();
    for end in ends.collect::<Vec<_>>() {
        statuses.push(end.await.unwrap());
    }
    assert_eq!((count(&statuses, 204), count(&statuses, 429)), (11, 89), "{statuses:?}");
    assert_eq!((left(&app).await, app.count_events("ends_refused").await), (89, 1));
    // Another token has a minute of its own.
    admin.delete(&url(statuses.iter().position(|status| *status == 429).unwrap() as u32 + 1)).await.assert_status(204);
    app.assert_counts().await;
});

db_test!(only_single_ends_by_tokens_are_counted, |db| async move {
    let app = TestApp::with(db, &[("SAFETY__BURST_SESSIONS", "1")]).await;
    let users: Vec<i64> = (1..=30).collect();
    populated(&app, &users).await;
    let admin = app.admin_token().await;
    assert_eq!(end_each(&admin, 1..=3).await, [204, 204, 429]);
    // The same token, by the operations that name what they end.
    let bulk = |pks: &str| format!("{SESSIONS}bulk_delete/?{pks}");
    let done: Answer = admin.delete(&bulk("user_pks=4&user_pks=5&user_pks=6")).await.assert_status(200);
    assert_eq!(done.json(), json!({"deleted": 3}));
    let body = json!({"user": 7, "expected_count": 1});
    admin.post_json(&format!("{SESSIONS}revoke/"), &body).await.assert_status(200);
    // A browser is a person.
    let browser = app.known("the admin").await.session().await.with_csrf();
    assert_eq!(end_each(&browser, 8..=20).await, [204; 13]);
    admin.delete(&url(30)).await.assert_status(429);
});

db_test!(the_bound_can_be_turned_off, |db| async move {
    let app = TestApp::with(db, &[("SAFETY__BURST_SESSIONS", "0")]).await;
    let users: Vec<i64> = (1..=30).collect();
    populated(&app, &users).await;
    assert_eq!(end_each(&app.admin_token().await, 1..=30).await, [204; 30]);
    assert_eq!(app.number("SELECT count(*) FROM token_bursts").await, 0);
});
