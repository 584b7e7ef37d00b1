//! A database of each released version is migrated with its data, and serves. `tests/upgrade/` holds a
//! dump for each version and database, made by `scripts/make-upgrade-fixture` at its tag.

use std::path::PathBuf;

use rollcall::actions::app::App;
use rollcall::domain::Clock;
use rollcall::store::events::list::EventFilter;
use serde_json::json;

use crate::support::app::{NOW, at, sign_in_as};
use crate::support::{SESSIONS, TestApp, TestDb};

/// What the script gave the administrator's token as key, and alice as password.
const TOKEN: &str = "upgrade-fixture-administrators-token";
const PASSWORD: &str = "upgrade fixture password";

/// The dumps for a database, oldest version first.
fn dumps(db: &TestDb) -> Vec<(String, String)> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/upgrade"));
    let mut versions: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    versions.sort();
    let name = if db.is_sqlite() { "sqlite.sql" } else { "postgres.sql" };
    let read = |version: &PathBuf| {
        let dump = std::fs::read_to_string(version.join(name)).unwrap_or_else(|error| panic!("{}: {error}", version.display()));
        (version.file_name().unwrap().to_str().unwrap().to_owned(), dump)
    };
    versions.iter().map(read).collect()
}

db_test!(a_database_of_the_first_release_is_migrated_and_serves, |db| async move {
    let dumps = dumps(&db);
    // One dump for each test: the schema of the test is empty once.
    let [(version, dump)] = &dumps[..] else { panic!("a test for each of {:?}", dumps.len()) };
    assert_eq!(version, "v0.1.0");
    db.run(dump).await;
    let app = TestApp::new(db).await;
    let applied = app.app.store.applied_migrations().await.unwrap();
    let known: Vec<&str> = rollcall::store::migrations().iter().map(|migration| migration.name).collect();
    assert_eq!(applied, known);
    assert!(app.app.store.migrate().await.unwrap().is_empty(), "nothing is left to migrate");
    app.assert_counts().await;

    // The token, the list, the history.
    let admin = app.anonymous().with_bearer(TOKEN);
    let before = admin.get(SESSIONS).await.assert_status(200).count();
    assert_eq!(before, 4, "three were imported and one signed in");
    assert_eq!(admin.get(&format!("{SESSIONS}?search=firefox")).await.count(), 1);
    let ended = admin.get("/api/v3/core/ended_sessions/").await.assert_status(200).json();
    assert_eq!(ended["pagination"]["count"], json!(3));
    assert!(ended["results"].as_array().unwrap().iter().any(|row| row["comment"] == json!("a stolen laptop")), "{ended}");

    // A password of that version signs in; its session is listed, and ends.
    let alice = app.anonymous();
    let last = sign_in_as(&alice, "alice", PASSWORD, false).await;
    assert_eq!(last.json()["component"], "xak-flow-redirect", "{}", last.text());
    assert_eq!(admin.get(SESSIONS).await.count(), before + 1);
    let own = alice.get(SESSIONS).await.json();
    let current = own["results"].as_array().unwrap().iter().find(|row| row["current"] == json!(true)).expect("its own");
    let one = current["uuid"].as_str().unwrap();
    admin.delete(&format!("{SESSIONS}{one}/")).await.assert_status(204);
    alice.get(SESSIONS).await.assert_status(403);
    let rest = json!({"everyone": true, "expected_count": before});
    admin.post_json(&format!("{SESSIONS}revoke/"), &rest).await.assert_status(200);
    assert_eq!(admin.get(SESSIONS).await.count(), 0);

    // Events of that version can be read, and new ones join them.
    let events = app.app.store.read().list_events(0, 1000).await.unwrap();
    let kinds: std::collections::BTreeSet<&str> = events.iter().map(|event| event.kind()).collect();
    for kind in ["import", "sign_in", "session_revoked", "sessions_ended", "policy_set", "token_added", "sign_in_failed"] {
        assert!(kinds.contains(kind), "{kind} is not in {kinds:?}");
    }
    assert!(events.iter().all(|event| !matches!(event.content, rollcall::domain::event::EventContent::Other { .. })));
    let filter = EventFilter { kind: Some("sessions_ended".into()), ..EventFilter::default() };
    let of_many = app.app.store.read().list_latest_events(&filter, 10).await.unwrap();
    assert_eq!(of_many.len(), 2, "one of that version, one of this");
    app.assert_counts().await;
});

db_test!(a_database_of_a_build_before_the_first_release_is_refused_by_name, |db| async move {
    db.run(
        "CREATE TABLE migrations (name TEXT PRIMARY KEY); INSERT INTO migrations VALUES ('0001_init'), ('0002_session_changes'); \
         CREATE TABLE users (id INTEGER)",
    )
    .await;
    let config = db.config(&[]);
    let Err(error) = App::start(config, Clock::fixed(at(NOW))).await else { panic!("it was used") };
    let error = error.to_string();
    assert!(error.contains("before version 0.1.0") && error.contains("b8df6af"), "{error}");
});
