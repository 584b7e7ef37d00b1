//! Every way to an end leaves an ended session with time, actor and reason, and an event.

use std::time::Duration;

use rollcall::actions::by::By;
use rollcall::actions::people::users;
use rollcall::actions::tokens;
use rollcall::domain::caller::Actor;
use rollcall::domain::event::EventContent;
use rollcall::domain::user::TokenIntent;
use serde_json::json;

use crate::support::app::{Browser, PASSWORD};
use crate::support::{Caller, SESSIONS, TestApp, seed};

/// Sessions that are out at the door and in the list, with this reason, actor, and an event each.
async fn assert_ended(app: &TestApp, browsers: &[&Browser], reason: &str, by: &str) {
    for browser in browsers {
        browser.get(SESSIONS).await.assert_status(403);
        assert_eq!(app.ending(&browser.uuid).await, Some((reason.to_owned(), by.to_owned())));
        let events = app.app.store.read().list_events(0, 100_000).await.unwrap();
        let of = |event: &rollcall::store::events::rows::EventRow| event.session.is_some_and(|id| id.to_string() == browser.uuid);
        let last = events.iter().rev().find(|event| of(event)).expect("an event");
        let EventContent::SessionEnded { reason: recorded, .. } = &last.content else { panic!("{last:?}") };
        assert_eq!((recorded.as_str(), last.actor.as_str()), (reason, by));
    }
    app.assert_counts().await;
}

async fn assert_dead(token: &Caller) {
    token.get(SESSIONS).await.assert_detail(403, "Token invalid/expired");
}

db_test!(a_password_has_no_end, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user_with_password("alice").await;
    app.advance(Duration::from_secs(20 * 366 * 86400));
    alice.sign_in().await.get(SESSIONS).await.assert_status(200);
});

db_test!(a_password_that_is_set_ends_all, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user("alice").await;
    let (one, two, other) = (alice.session().await, alice.session().await, app.user("bob").await.session().await);
    let row = users::find(&app.app, By::Cli, "alice").await.unwrap();
    users::set_password(&app.app, By::Cli, &row, PASSWORD.into()).await.unwrap();
    assert_ended(&app, &[&one, &two], "password_changed", "cli").await;
    other.get(SESSIONS).await.assert_status(200);
});

db_test!(a_password_that_is_reset_by_link_ends_all, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user("alice").await;
    let one = alice.session().await;
    let link = rollcall::domain::PlainSecret::from_text(alice.token_key(TokenIntent::Recovery, None).await);
    users::redeem_link(&app.app, &link, PASSWORD.into(), &Actor::default()).await.unwrap();
    assert_ended(&app, &[&one], "password_changed", "alice").await;
});

db_test!(unless_a_setting_says_otherwise, |db| async move {
    let app = TestApp::with(db, &[("SESSIONS__END_ON_PASSWORD_CHANGE", "false")]).await;
    let one = app.user("alice").await.session().await;
    let row = users::find(&app.app, By::Cli, "alice").await.unwrap();
    users::set_password(&app.app, By::Cli, &row, PASSWORD.into()).await.unwrap();
    one.get(SESSIONS).await.assert_status(200);
});

db_test!(deactivation_ends_sessions_and_tokens, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user("alice").await;
    let (one, token) = (alice.session().await, alice.token().await);
    let row = users::find(&app.app, By::Cli, "alice").await.unwrap();
    users::set_active(&app.app, By::Cli, &row, false).await.unwrap();
    assert_ended(&app, &[&one], "user_deactivated", "cli").await;
    assert_dead(&token).await;
    users::set_active(&app.app, By::Cli, &row, true).await.unwrap();
    one.get(SESSIONS).await.assert_status(403);
});

db_test!(removal_ends_sessions_and_tokens_and_keeps_the_history, |db| async move {
    let app = TestApp::new(db).await;
    let (alice, admin) = (app.user("alice").await, app.admin_token().await);
    let (one, two, token) = (alice.session().await, alice.session().await, alice.token().await);
    let row = users::find(&app.app, By::Cli, "alice").await.unwrap();
    users::remove(&app.app, By::Cli, &row).await.unwrap();
    assert_ended(&app, &[&one, &two], "user_removed", "cli").await;
    assert_dead(&token).await;
    assert!(tokens::remove(&app.app, By::Cli, "nobody's").await.is_err());
    assert!(users::remove(&app.app, By::Cli, &row).await.is_err(), "once is enough");
    // A user who gets their key by an import sees nothing of theirs.
    let key = json!({"kind": "token", "key": "a-token-of-the-heir", "intent": "api", "user": alice.id, "expiring": false, "expires": "2099-01-01T00:00:00Z"});
    app.import(&[seed::user(alice.id.0, "heir"), key]).await;
    let ended = "/api/v3/core/ended_sessions/";
    assert_eq!(app.anonymous().with_bearer("a-token-of-the-heir").get(ended).await.count(), 0);
    let rows = admin.get(&format!("{ended}?user__username=alice")).await.json();
    assert_eq!((rows["pagination"]["count"].as_i64(), rows["results"][0]["user"].as_i64()), (Some(2), Some(0)));
});

db_test!(an_import_that_replaces_ends_all_and_keeps_the_history, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user("alice").await;
    let (one, token) = (alice.session().await, alice.token().await);
    let bob = app.user("bob").await.session().await;
    bob.with_csrf().delete(&bob.url()).await.assert_status(204);
    let lines = [seed::user(1, "carol"), seed::session(1, 1, json!({}))].map(|line| format!("{line}\n")).concat();
    app.import_bytes(lines, true).await.unwrap();
    assert_ended(&app, &[&one], "user_removed", "cli").await;
    assert_dead(&token).await;
    assert_eq!(app.ending(&bob.uuid).await, Some(("revoked".into(), "bob".into())));
    let of_nobody = "SELECT count(*) FROM ended_sessions WHERE user_uuid NOT IN (SELECT uuid FROM users)";
    assert_eq!(app.number(of_nobody).await, 2);
    // All or nothing: what cannot be imported ends nothing.
    app.import_bytes("{\"kind\": \"user\"}\n", true).await.unwrap_err();
    assert_eq!(app.number("SELECT count(*) FROM sessions").await, 1);
    app.assert_counts().await;
});
