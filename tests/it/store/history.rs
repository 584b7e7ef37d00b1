//! History names a user by uuid. A primary key can come again by an import: its new owner sees nothing of the
//! one who had it before.

use rollcall::actions::people::{privacy, users};
use rollcall::actions::policies;
use rollcall::domain::policy::Policy;
use rollcall::store::people::policies::PolicyOwner;
use serde_json::{Value, json};

use crate::support::app::{Browser, PASSWORD, sign_in_as};
use crate::support::{SESSIONS, TestApp, seed};

const ENDED: &str = "/api/v3/core/ended_sessions/";

/// Alice has the key 2 and leaves traces of every kind: sign-ins, a name of a session, ended sessions, a policy, a
/// known device, events about others.
async fn alice_leaves_traces(app: &TestApp) {
    app.import(&[seed::user(2, "alice")]).await;
    let alice = app.known("alice").await;
    assert_eq!(alice.id.0, 2);
    let row = users::find(&app.app, rollcall::actions::by::By::Cli, "alice").await.unwrap();
    users::set_password(&app.app, rollcall::actions::by::By::Cli, &row, PASSWORD.into()).await.unwrap();
    let session = alice.session_on("198.51.100.77", "Alice/1.0").await;
    let page = session.get("/sessions").await;
    let rename = [("proof", page.proof()), ("label", "laptop of alice".to_owned())];
    let rename: Vec<(&str, &str)> = rename.iter().map(|(name, value)| (*name, value.as_str())).collect();
    session.post_form(&format!("/sessions/{}/name", session.uuid), &rename).await;
    let other = alice.session_on("198.51.100.78", "Alice/2.0").await;
    session.with_csrf().delete(&other.url()).await.assert_status(204);
    sign_in_as(&app.anonymous(), "alice", "wrong", false).await;
    let policy = Policy { max_sessions: Some(17), ..Policy::default() };
    policies::set(&app.app, rollcall::actions::by::By::Cli, PolicyOwner::User(alice.id), "alice", policy).await.unwrap();
}

/// The traces, in any text.
const TRACES: [&str; 6] = ["alice", "198.51.100.77", "198.51.100.78", "laptop of", "Alice/1.0", "Alice/2.0"];

fn assert_nothing_of_alice(text: &str, what: &str) {
    for trace in TRACES {
        assert!(!text.contains(trace), "{what} holds {trace}: {text}");
    }
}

/// Bob has the key 2 now. Looks at every door to what is kept.
async fn assert_bob_sees_nothing(app: &TestApp) {
    let bob = app.known("bob").await;
    assert_eq!(bob.id.0, 2, "the key came again");
    let row = users::find(&app.app, rollcall::actions::by::By::Cli, "bob").await.unwrap();
    users::set_password(&app.app, rollcall::actions::by::By::Cli, &row, PASSWORD.into()).await.unwrap();
    let session: Browser = bob.session().await;
    let data = session.get("/my-data").await.assert_status(200).json();
    assert_nothing_of_alice(&data.to_string(), "/my-data");
    assert_eq!(data["policy"]["max_sessions"], Value::Null, "no policy of hers");
    assert_eq!(data["known_browsers"].as_array().map(Vec::len), Some(1), "his own alone");
    assert_eq!(data["ended_sessions"], json!([]));
    let kinds: Vec<&str> = data["events"].as_array().unwrap().iter().filter_map(|event| event["kind"].as_str()).collect();
    assert!(kinds.iter().all(|kind| ["sign_in", "password_set"].contains(kind)), "{kinds:?}");

    let token = bob.token().await;
    assert_eq!(token.get(ENDED).await.count(), 0);
    for page in ["/sessions", "/sessions/not-me", "/security"] {
        assert_nothing_of_alice(&session.get(page).await.text(), page);
    }
    let admin = app.admin_token().await;
    for (query, count) in [("user=2", 0), ("user__username=bob", 0)] {
        assert_eq!(admin.get(&format!("{ENDED}?{query}")).await.count(), count, "{query}");
    }
    let hers = admin.get(&format!("{ENDED}?user__username=alice")).await.json();
    assert!(hers["results"].as_array().unwrap().len() >= 2, "history keeps what it had: {hers}");
    assert!(hers["results"].as_array().unwrap().iter().all(|row| row["user"] == json!(0)), "under no key: {hers}");

    let root = app.superuser("root").await.session().await;
    assert_nothing_of_alice(&root.get("/users/2").await.assert_status(200).text(), "/users/2");
    assert_nothing_of_alice(&root.get("/events?user=bob").await.assert_status(200).text(), "events about bob");
    let events = root.get("/events").await.text();
    assert!(events.contains("alice"), "administrators still see what happened");
    assert!(!events.contains("href=\"/users/2\">User<span class=\"vh\"> alice"), "and no link from her name to him");

    // What is erased is his own: her history stays.
    let before = app.number("SELECT count(*) FROM ended_sessions WHERE username = 'alice'").await;
    privacy::erase(&app.app, rollcall::actions::by::By::Cli, "bob").await.unwrap();
    assert_eq!(app.number("SELECT count(*) FROM ended_sessions WHERE username = 'alice'").await, before);
    assert!(app.number("SELECT count(*) FROM events WHERE username = 'alice'").await > 0);
    app.assert_counts().await;
}

db_test!(an_import_that_replaces_gives_her_key_and_nothing_else, |db| async move {
    let app = TestApp::new(db).await;
    alice_leaves_traces(&app).await;
    app.import_bytes(format!("{}\n", seed::user(2, "bob")), true).await.unwrap();
    assert_bob_sees_nothing(&app).await;
});

db_test!(a_removal_and_an_import_give_her_key_and_nothing_else, |db| async move {
    let app = TestApp::new(db).await;
    alice_leaves_traces(&app).await;
    let alice = users::find(&app.app, rollcall::actions::by::By::Cli, "alice").await.unwrap();
    users::remove(&app.app, rollcall::actions::by::By::Cli, &alice).await.unwrap();
    app.import(&[seed::user(2, "bob")]).await;
    assert_bob_sees_nothing(&app).await;
});

db_test!(the_same_person_by_uuid_keeps_their_history, |db| async move {
    let app = TestApp::new(db).await;
    alice_leaves_traces(&app).await;
    let alice = users::find(&app.app, rollcall::actions::by::By::Cli, "alice").await.unwrap();
    let again = json!({"kind": "user", "id": 9, "username": "alice.new", "uuid": alice.uuid.to_string(), "uid": alice.uid});
    app.import_bytes(format!("{again}\n{}\n", seed::user(2, "bob")), true).await.unwrap();
    let same = users::find(&app.app, rollcall::actions::by::By::Cli, "alice.new").await.unwrap();
    assert_eq!((same.id.0, same.uuid, &same.uid), (9, alice.uuid, &alice.uid));
    let export = privacy::export(&app.app, rollcall::actions::by::By::Cli, &same).await.unwrap();
    assert!(export["ended_sessions"].as_array().unwrap().len() >= 2 && !export["events"].as_array().unwrap().is_empty());
    let admin = app.admin_token().await;
    assert!(admin.get(&format!("{ENDED}?user=9")).await.count() >= 2);
    assert_eq!(admin.get(&format!("{ENDED}?user=2")).await.count(), 0);
    app.assert_counts().await;
});

db_test!(a_uuid_or_uid_is_nobody_elses, |db| async move {
    let app = TestApp::new(db).await;
    app.import(&[json!({"kind": "user", "username": "alice", "uuid": seed::uuid(7), "uid": "abc"})]).await;
    for (field, value, why) in [
        ("uuid", json!(seed::uuid(7)), "exists already"),
        ("uid", json!("abc"), "exists already"),
        ("uuid", json!("x"), "uuid"),
        ("uuid", json!(uuid::Uuid::nil().to_string()), "nil"),
        ("uid", json!(""), "uid"),
        ("uid", json!("a b"), "uid"),
        ("uid", json!("x".repeat(256)), "uid"),
    ] {
        let mut line = json!({"kind": "user", "username": "bob"});
        line[field] = value;
        let error = app.import_bytes(format!("{line}\n"), false).await.unwrap_err().to_string();
        assert!(error.contains(why), "{line}: {error}");
    }
    let bob = app.user("bob").await;
    let row = users::find(&app.app, rollcall::actions::by::By::Cli, "bob").await.unwrap();
    assert!(row.uid.len() == 64 && row.uid.bytes().all(|byte| byte.is_ascii_hexdigit()), "{}", row.uid);
    assert_eq!(row.uuid.get_version_num(), 4);
    assert_eq!(row.id, bob.id);
});

// An administrator who was removed is still somebody else: where they were is not shown to the user.
db_test!(where_a_removed_administrator_was_is_not_told, |db| async move {
    let app = TestApp::with(db, &[("HTTP__TRUSTED_PROXIES", "127.0.0.0/8")]).await;
    let (alice, root) = (app.user("alice").await, app.superuser("root").await);
    let (session, gone) = (alice.session().await, alice.session().await);
    let key = root.token().await;
    key.with_header("x-forwarded-for", "203.0.113.66").delete(&gone.url()).await.assert_status(204);
    let row = users::find(&app.app, rollcall::actions::by::By::Cli, "root").await.unwrap();
    users::remove(&app.app, rollcall::actions::by::By::Cli, &row).await.unwrap();
    let data = session.get("/my-data").await.assert_status(200).text();
    assert!(data.contains("an administrator") && !data.contains("203.0.113.66"), "{data}");
    assert!(!session.get("/sessions/not-me").await.text().contains("203.0.113.66"));
    assert!(session.get(SESSIONS).await.count() > 0);
});
