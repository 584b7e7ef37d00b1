//! The limit of concurrent sessions: refuse, ask, or end the oldest; also when all come at once.

use std::time::Duration;

use serde_json::json;

use crate::support::app::{PASSWORD, sign_in_as};
use crate::support::{Answer, Caller, SESSIONS, TestApp};

/// The proof that a page's form carries.
fn proof(page: &str) -> String {
    value(page, "name=\"proof\" value=\"")
}

fn value(page: &str, start: &str) -> String {
    let rest = page.split_once(start).unwrap_or_else(|| panic!("no {start} in {page}")).1;
    rest.split_once('"').unwrap().0.to_owned()
}

async fn submit(caller: &Caller) -> Answer {
    let page = caller.get("/sign-in?next=/sessions").await.assert_status(200).text();
    let fields = [("proof", proof(&page)), ("uid", "alice".into()), ("password", PASSWORD.into()), ("next", "/sessions".into())];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    caller.post_form("/sign-in", &fields).await
}

async fn with_limit(db: crate::support::TestDb, at_limit: &str) -> TestApp {
    TestApp::with(db, &[("SESSIONS__MAX_PER_USER", "2"), ("SESSIONS__AT_LIMIT", at_limit)]).await
}

db_test!(the_oldest_ends, |db| async move {
    let app = with_limit(db, "end_oldest").await;
    let alice = app.user_with_password("alice").await;
    let (first, second) = (alice.session().await, alice.session().await);
    app.advance(Duration::from_secs(120));
    first.get(SESSIONS).await.assert_status(200);
    alice.sign_in().await.get(SESSIONS).await.assert_status(200);
    first.get(SESSIONS).await.assert_status(403);
    second.get(SESSIONS).await.assert_status(200);
    assert_eq!(app.ending(&first.uuid).await, Some(("limit_reached".into(), "alice".into())));
    assert_eq!(app.count_events("session_revoked").await, 1);
    app.assert_counts().await;
});

db_test!(one_more_is_refused, |db| async move {
    let app = with_limit(db, "refuse").await;
    let alice = app.user_with_password("alice").await;
    let (first, second) = (alice.session().await, alice.session().await);
    let text = "Your session limit is reached. End one of your sessions first.";
    let denied = sign_in_as(&app.anonymous(), "alice", PASSWORD, false).await;
    assert_eq!((&denied.json()["component"], &denied.json()["error_message"]), (&json!("ak-stage-access-denied"), &json!(text)));
    let browser = app.anonymous();
    let page = submit(&browser).await.assert_status(403);
    assert!(page.text().contains("Session limit reached"), "{}", page.text());
    assert_eq!(browser.cookie("rollcall_session"), None);
    assert_eq!(app.count_events("sign_in_refused").await, 2);
    first.get(SESSIONS).await.assert_status(200);
    // A browser that signs in anew takes its own place, and one that ended leaves its.
    sign_in_as(&first, "alice", PASSWORD, false).await;
    second.with_csrf().delete(&second.url()).await.assert_status(204);
    alice.sign_in().await.get(SESSIONS).await.assert_status(200);
    assert_eq!(app.number("SELECT count(*) FROM sessions").await, 2);
});

db_test!(what_expired_does_not_count, |db| async move {
    let app = with_limit(db, "refuse").await;
    let alice = app.user_with_password("alice").await;
    alice.session().await;
    alice.session().await;
    app.advance(Duration::from_secs(13 * 3600));
    alice.sign_in().await.get(SESSIONS).await.assert_status(200);
});

db_test!(the_user_is_asked_which_session_to_end, |db| async move {
    let app = with_limit(db, "ask").await;
    let alice = app.user_with_password("alice").await;
    let (first, second) = (alice.session_on("192.0.2.1", "curl/8").await, alice.session_on("192.0.2.2", "").await);
    let bobs = app.user("bob").await.session().await;
    let browser = app.anonymous();
    let asked = submit(&browser).await.assert_status(200).text();
    assert!(asked.contains(&first.uuid) && asked.contains(&second.uuid) && asked.contains("192.0.2.2"), "{asked}");
    let (proof, ticket) = (proof(&asked), value(&asked, "name=\"ticket\" value=\""));
    let choose = async |choice: &str, ticket: &str| {
        let fields = [("proof", proof.as_str()), ("next", "/sessions"), ("ticket", ticket), ("choice", choice)];
        browser.post_form("/sign-in/choose", &fields).await
    };
    // What is not one's own is no choice, and the ticket is used up.
    let asked = choose(&bobs.uuid, &ticket).await.assert_status(200).text();
    choose(&first.uuid, &ticket).await.assert_status(403);
    let ticket = value(&asked, "name=\"ticket\" value=\"");
    assert_eq!(choose(&second.uuid, &ticket).await.assert_status(303).header("location"), Some("/sessions"));
    browser.get(SESSIONS).await.assert_status(200);
    second.get(SESSIONS).await.assert_status(403);
    for kept in [&first, &bobs] {
        kept.get(SESSIONS).await.assert_status(200);
    }
    assert_eq!(app.ending(&second.uuid).await, Some(("limit_reached".into(), "alice".into())));
    // The conversation of the API has no such question.
    let denied = sign_in_as(&app.anonymous(), "alice", PASSWORD, false).await;
    assert_eq!(denied.json()["component"], "ak-stage-access-denied");
});

/// Fifty sign-ins at once, and how many of them were let in.
async fn fifty(app: &TestApp) -> usize {
    let alice = app.user("alice").await;
    let row = app.app.store.read().find_user(alice.id).await.unwrap().unwrap();
    let client =
        rollcall::domain::caller::Client { ip: rollcall::domain::Address::parse("192.0.2.1").unwrap(), user_agent: String::new() };
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let (app, row, client) = (app.app.clone(), row.clone(), client.clone());
            let actor = rollcall::domain::caller::Actor::default();
            tokio::spawn(async move {
                rollcall::actions::sign_in::start_session(&app, row, &client, false, Vec::new(), &actor).await.is_ok()
            })
        })
        .collect();
    let mut let_in = 0;
    for task in tasks {
        let_in += usize::from(task.await.unwrap());
    }
    let_in
}

db_test!(fifty_at_once_leave_no_more_than_may_be, |db| async move {
    let app = with_limit(db, "end_oldest").await;
    assert_eq!(fifty(&app).await, 50);
    assert_eq!(app.number("SELECT count(*) FROM sessions").await, 2);
    assert_eq!(app.number("SELECT count(*) FROM ended_sessions WHERE reason = 'limit_reached'").await, 48);
    app.assert_counts().await;
});

db_test!(of_fifty_at_once_no_more_than_may_be_are_let_in, |db| async move {
    let app = with_limit(db, "refuse").await;
    assert_eq!(fifty(&app).await, 2);
    assert_eq!(app.number("SELECT count(*) FROM sessions").await, 2);
    assert_eq!(app.count_events("sign_in_refused").await, 48);
});
