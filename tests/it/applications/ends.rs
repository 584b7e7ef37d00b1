//! App sessions end with their session, in every way that a session can end, and the history of the session has them.

use std::time::Duration;

use rollcall::actions::by::By;
use rollcall::actions::people::{privacy, users};
use rollcall::actions::sessions::end;
use rollcall::domain::SessionId;
use rollcall::domain::application::Application;
use rollcall::store::StoreError;
use serde_json::json;

use super::{add, open, server};
use crate::support::app::{Browser, PASSWORD, sign_in_as};
use crate::support::{SESSIONS, TestApp, geoip, seed};

/// An application that everybody may open.
async fn wiki(app: &TestApp) -> Application {
    add(app, "wiki", json!({"allow": "signed_in"}), "wiki.example.com").await
}

/// Opens the application in sessions.
async fn open_in(app: &TestApp, wiki: &Application, browsers: &[&Browser]) {
    for browser in browsers {
        assert!(open(app, &browser.uuid, wiki, "wiki.example.com").await.expect("the session is live").is_new);
    }
}

/// The sessions ended with this reason, no app session of them is left, and the history has them.
async fn assert_ended(app: &TestApp, browsers: &[&Browser], reason: &str) {
    for browser in browsers {
        browser.get(SESSIONS).await.assert_status(403);
        let uuid = SessionId::parse(&browser.uuid).unwrap();
        let ended = app.app.store.read().find_ended_detail(uuid).await.unwrap().expect("it is in the history");
        assert_eq!(ended.reason, reason);
        let [opened] = &ended.applications[..] else { panic!("{reason}: {:?}", ended.applications) };
        assert_eq!((opened.slug.as_str(), opened.name.as_str()), ("wiki", "The wiki"), "{reason}");
        assert_eq!(opened.hosts, ["wiki.example.com"]);
    }
    let left = "SELECT count(*) FROM app_sessions k WHERE k.session_id NOT IN (SELECT id FROM sessions)";
    assert_eq!(app.number(left).await, 0, "{reason}");
    app.assert_counts().await;
}

db_test!(one_session_that_is_revoked_or_signed_out, |db| async move {
    let app = server(db).await;
    let wiki = wiki(&app).await;
    let alice = app.user("alice").await;
    let (one, two, other) = (alice.session().await, alice.session().await, alice.session().await);
    open_in(&app, &wiki, &[&one, &two, &other]).await;
    one.with_csrf().delete(&one.url()).await.assert_status(204);
    assert_ended(&app, &[&one], "revoked").await;
    let key = rollcall::domain::PlainSecret::from_text(two.key.clone());
    assert!(end::sign_out(&app.app, &key, &Default::default()).await.unwrap());
    assert_ended(&app, &[&two], "signed_out").await;
    other.get(SESSIONS).await.assert_status(200);
    assert_eq!(app.number("SELECT count(*) FROM app_sessions").await, 1, "the app session of the other session stays");
});

db_test!(sessions_that_are_ended_together, |db| async move {
    let app = server(db).await;
    let wiki = wiki(&app).await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let (one, two, three) = (alice.session().await, alice.session().await, bob.session().await);
    open_in(&app, &wiki, &[&one, &two, &three]).await;
    let admin = app.admin_token().await;
    admin.delete(&format!("{SESSIONS}bulk_delete/?user_pks={}", alice.id.0)).await.assert_status(200);
    assert_ended(&app, &[&one, &two], "revoked").await;
    let body = json!({"user__username": "bob", "expected_count": 1});
    admin.post_json(&format!("{SESSIONS}revoke/"), &body).await.assert_status(200);
    assert_ended(&app, &[&three], "revoked").await;
});

db_test!(very_many_sessions_whose_end_is_recorded_first, |db| async move {
    let app = server(db).await;
    let wiki = wiki(&app).await;
    let alice = app.user("alice").await;
    let (one, two) = (alice.session().await, alice.session().await);
    open_in(&app, &wiki, &[&one, &two]).await;
    assert_eq!(app.record_ends_of(alice.id.0, 10).await, 2);
    let uuid = SessionId::parse(&one.uuid).unwrap();
    // Ended, and not moved: the app session opens nothing and is in no list, and the history shows it.
    let rows = app.app.store.read().list_app_sessions(&Default::default(), 0, 10).await.unwrap();
    assert_eq!(rows, []);
    assert!(open(&app, &one.uuid, &wiki, "wiki.example.com").await.is_none(), "a session with a pending end opens nothing");
    let ended = app.app.store.read().find_ended_detail(uuid).await.unwrap().unwrap();
    assert_eq!(ended.applications.len(), 1);
    app.move_pending().await;
    assert_ended(&app, &[&one, &two], "revoked").await;
    assert_eq!(app.number("SELECT count(*) FROM app_sessions").await, 0);
});

db_test!(sessions_that_expire, |db| async move {
    let app = server(db).await;
    let wiki = wiki(&app).await;
    let one = app.user("alice").await.session().await;
    open_in(&app, &wiki, &[&one]).await;
    app.advance(Duration::from_secs(400 * 86_400));
    assert_eq!(end::sweep(&app.app, By::System, app.app.clock.now()).await.unwrap(), 1);
    assert_ended(&app, &[&one], "expired").await;
});

db_test!(sessions_that_end_with_what_happens_to_their_user, |db| async move {
    let app = server(db).await;
    let wiki = wiki(&app).await;
    let of = async |name: &str| {
        let browser = app.user(name).await.session().await;
        open_in(&app, &wiki, &[&browser]).await;
        (browser, users::find(&app.app, By::Cli, name).await.unwrap())
    };
    let (one, alice) = of("alice").await;
    users::set_password(&app.app, By::Cli, &alice, PASSWORD.into()).await.unwrap();
    assert_ended(&app, &[&one], "password_changed").await;
    let (one, bob) = of("bob").await;
    users::set_active(&app.app, By::Cli, &bob, false).await.unwrap();
    assert_ended(&app, &[&one], "user_deactivated").await;
    let (one, carol) = of("carol").await;
    users::remove(&app.app, By::Cli, &carol).await.unwrap();
    assert_ended(&app, &[&one], "user_removed").await;
});

db_test!(a_person_who_is_erased_leaves_no_app_session, |db| async move {
    let app = server(db).await;
    let wiki = wiki(&app).await;
    let alice = app.user("alice").await;
    let (one, two) = (alice.session().await, alice.session().await);
    open_in(&app, &wiki, &[&one, &two]).await;
    one.with_csrf().delete(&one.url()).await.assert_status(204);
    privacy::erase(&app.app, By::Cli, "alice").await.unwrap();
    assert_eq!(app.number("SELECT count(*) FROM app_sessions").await, 0);
    assert_eq!(app.number("SELECT count(*) FROM ended_sessions").await, 0, "their history is gone");
});

db_test!(an_import_that_replaces, |db| async move {
    let app = server(db).await;
    let wiki = wiki(&app).await;
    let one = app.user("alice").await.session().await;
    open_in(&app, &wiki, &[&one]).await;
    let lines = format!("{}\n", seed::user(1, "carol"));
    app.import_bytes(lines, true).await.unwrap();
    assert_ended(&app, &[&one], "user_removed").await;
});

db_test!(a_session_that_makes_room_and_one_that_is_replaced, |db| async move {
    let settings =
        [("SESSIONS__MAX_PER_USER", "1"), ("SESSIONS__AT_LIMIT", "end_oldest"), ("HTTP__PUBLIC_URL", "http://login.example.com")];
    let app = TestApp::with(db, &settings).await;
    let wiki = wiki(&app).await;
    let alice = app.user_with_password("alice").await;
    let first = alice.session().await;
    open_in(&app, &wiki, &[&first]).await;
    app.advance(Duration::from_secs(60));
    let caller = alice.sign_in().await;
    assert_ended(&app, &[&first], "limit_reached").await;
    // The same browser signs in again.
    let uuid = caller.get(SESSIONS).await.json()["results"][0]["uuid"].as_str().unwrap().to_owned();
    open(&app, &uuid, &wiki, "wiki.example.com").await.expect("it is live");
    sign_in_as(&caller, "alice", PASSWORD, false).await.assert_status(200);
    let ended = app.app.store.read().find_ended_detail(SessionId::parse(&uuid).unwrap()).await.unwrap().expect("it ended");
    assert_eq!((ended.reason.as_str(), ended.applications.len()), ("replaced", 1));
});

db_test!(a_session_that_moved, |db| async move {
    let asn = db.dir.path().join("asn.mmdb");
    geoip::write_asn(&asn, &[("198.51.100.0/24", 1, "One"), ("6.6.6.0/24", 2, "Two")]);
    let asn = asn.display().to_string();
    let settings = [
        ("HTTP__TRUSTED_PROXIES", "127.0.0.0/8"),
        ("GEOIP__ASN", asn.as_str()),
        ("SESSIONS__NETWORK_BINDING", "bind_asn"),
        ("SESSIONS__NETWORK_BINDING_ACTION", "end"),
        ("HTTP__PUBLIC_URL", "http://login.example.com"),
    ];
    let app = TestApp::with(db, &settings).await;
    let wiki = wiki(&app).await;
    let one = app.user("alice").await.session_on("198.51.100.7", "").await;
    open_in(&app, &wiki, &[&one]).await;
    one.with_header("x-forwarded-for", "6.6.6.6").get(SESSIONS).await.assert_status(403);
    assert_ended(&app, &[&one], "moved").await;
});

db_test!(no_session_can_be_deleted_while_it_has_an_app_session, |db| async move {
    let app = server(db).await;
    let wiki = wiki(&app).await;
    let one = app.user("alice").await.session().await;
    open_in(&app, &wiki, &[&one]).await;
    let deleted: Result<u64, StoreError> =
        app.app.store.write(|db| Box::pin(async move { db.execute("DELETE FROM session_rows", &[]).await })).await;
    assert!(matches!(deleted, Err(StoreError::Conflict(_))), "{deleted:?}");
    one.get(SESSIONS).await.assert_status(200);
});
