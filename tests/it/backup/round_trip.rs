//! An instance with people in it moves to another database, and lives on there.

use rollcall::actions::app::App;
use rollcall::actions::by::By;
use rollcall::actions::people::groups;
use rollcall::actions::people::groups::GroupChange;
use rollcall::domain::Clock;
use serde_json::json;

use super::{make, open, restore};
use crate::support::app::{NOW, PASSWORD, at, sign_in_as};
use crate::support::{SESSIONS, TestApp, TestDb};

/// What an instance may hold, through the front door.
async fn filled(db: TestDb) -> TestApp {
    let app = TestApp::new(db).await;
    let alice = app.user_with_password("alice").await;
    alice.sign_in().await;
    alice.session_on("2001:db8::1", "curl/8").await;
    let bob = app.superuser_with_password("bob").await;
    bob.named_token("bobs").await;
    app.import(&[json!({"kind": "group", "name": "staff", "members": [], "permissions": []})]).await;
    let gone = app.user_with_password("carol").await.session().await;
    let admin = bob.token().await;
    admin.delete(&gone.url()).await.assert_status(204);
    app
}

/// The database has what a server needs to go on: people sign in, and rows can be added to every kind of table.
async fn lives_on(app: &TestApp) {
    app.assert_counts().await;
    let admin = app.admin_token().await;
    let before = admin.get(SESSIONS).await.assert_status(200).count();
    let alice = app.anonymous();
    let last = sign_in_as(&alice, "alice", PASSWORD, false).await;
    assert_eq!(last.json()["component"], "xak-flow-redirect", "{}", last.text());
    assert_eq!(admin.get(SESSIONS).await.count(), before + 1);
    app.user_with_password("newcomer").await.session().await;
    let group = GroupChange { name: Some("new group".into()), ..GroupChange::default() };
    groups::add(&app.app, By::Cli, group).await.unwrap();
    app.move_pending().await;
    app.assert_counts().await;
}

db_test!(an_instance_moves_to_sqlite_and_back, |db| async move {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    let app = filled(db).await;
    let sessions = app.number("SELECT count(*) FROM sessions").await;
    assert!(sessions >= 2);
    make(&app.app.store, &first).await;

    let other = TestDb::sqlite();
    let config = other.config(&[]);
    let restored = restore(&open(&config).await, &first, false).await.unwrap();
    assert_eq!((restored.sessions, restored.ended), (sessions as u64, sessions as u64));
    let there = TestApp::new(other).await;
    assert_eq!(there.number("SELECT count(*) FROM sessions").await, 0, "they ended");
    there.move_pending().await;
    let sql = "SELECT count(*) FROM ended_sessions WHERE reason = 'restored'";
    assert_eq!(there.number(sql).await, sessions);
    let events = there.latest("restored").await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].actor, "cli");
    let ends = there.latest("sessions_ended").await;
    assert_eq!(ends.len(), 1, "one event for all of them");
    lives_on(&there).await;

    // Back, over what is there, with the sessions alive.
    let sessions = there.number("SELECT count(*) FROM sessions").await;
    make(&there.app.store, &second).await;
    let restored = restore(&app.app.store, &second, true).await.unwrap();
    assert_eq!((restored.sessions, restored.ended), (sessions as u64, 0));
    let app = restarted(app).await;
    assert_eq!(app.number("SELECT count(*) FROM sessions").await, sessions);
    app.assert_counts().await;
    let bob = app.known("bob").await;
    let admin = bob.token().await;
    assert_eq!(admin.get(SESSIONS).await.assert_status(200).count(), sessions);
    app.user_with_password("another newcomer").await.sign_in().await;
    app.assert_counts().await;
});

/// A fresh server on the same database: what the old one has in memory is of the time before.
async fn restarted(app: TestApp) -> TestApp {
    let TestApp { db, .. } = app;
    TestApp::new(db).await
}

db_test!(a_session_that_ended_since_the_backup_does_not_come_back, |db| async move {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("backup");
    let app = TestApp::new(db).await;
    let browser = app.user_with_password("alice").await.session().await;
    make(&app.app.store, &path).await;
    browser.caller.get(SESSIONS).await.assert_status(200);
    restore(&app.app.store, &path, false).await.unwrap();
    let server = App::start(app.db.config(&[]), Clock::fixed(at(NOW))).await.unwrap();
    assert!(server.store.read().count_sessions_and_owners().await.unwrap().0 == 0);
    browser.caller.get(SESSIONS).await.assert_status(403);
});
