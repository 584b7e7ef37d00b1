//! Sessions with a pending end are gone at once, wherever anybody looks, and are moved later.

use std::time::Duration;

use rollcall::actions::by::By;
use rollcall::actions::people::{privacy, users};
use rollcall::actions::sessions::bulk_end;
use rollcall::domain::event::EventContent;
use rollcall::domain::{EndReason, SessionId};
use serde_json::{Value, json};

use crate::support::{SESSIONS, TestApp, seed};

/// Alice with `count` sessions, and Bob with one.
fn people(count: u32) -> Vec<Value> {
    let mut lines = vec![seed::user(1, "alice"), seed::user(2, "bob"), seed::session(10_000, 2, json!({}))];
    lines.extend((0..count).map(|n| seed::session(n, 1, json!({"last_ip": "198.51.100.7", "last_user_agent": "curl/8"}))));
    lines
}

async fn waiting(app: &TestApp) -> (i64, i64) {
    (app.number("SELECT count(*) FROM pending_ends").await, app.number("SELECT count(*) FROM pending_end_sessions").await)
}

db_test!(they_are_gone_at_once_and_moved_later, |db| async move {
    let app = TestApp::new(db).await;
    app.import(&people(6)).await;
    let (carol, admin) = (app.user("carol").await, app.admin_token().await);
    let (one, other) = (carol.session().await, carol.session().await);
    let uuid = one.url().trim_end_matches('/').rsplit('/').next().unwrap().to_owned();
    one.get(SESSIONS).await.assert_status(200);
    assert_eq!(app.record_ends_of(1, 4).await, 4);
    assert_eq!(app.record_ends_of(carol.id.0, 100).await, 2);
    let events = app.count_events("session_revoked").await;
    assert_eq!(events, 0);

    for browser in [&one, &other] {
        browser.get(SESSIONS).await.assert_status(403);
        admin.get(&browser.url()).await.assert_status(404);
        admin.delete(&browser.url()).await.assert_status(404);
        admin.get(&format!("{}details/", browser.url())).await.assert_status(404);
    }
    for (query, count) in
        [("", 3), ("?user__username=alice", 2), ("?search=CURL", 2), ("?session__last_ip=198.51.100.7", 2), ("?search=carol", 0)]
    {
        assert_eq!(admin.get(&format!("{SESSIONS}{query}")).await.count(), count, "{query}");
    }
    assert_eq!(app.ending(&uuid).await, Some(("revoked".into(), "cli".into())), "how it ended is known before it is moved");
    let id = SessionId::parse(&uuid).unwrap();
    let detail = app.app.store.read().find_ended_detail(id).await.unwrap().expect("a page about it");
    assert_eq!((detail.username.as_str(), detail.comment.as_str()), ("carol", "many"));
    app.assert_counts().await;

    app.advance(Duration::from_secs(60));
    app.move_pending().await;
    assert_eq!(waiting(&app).await, (0, 0));
    assert_eq!(app.number("SELECT count(*) FROM session_rows").await, 3);
    assert_eq!(app.number("SELECT count(*) FROM ended_sessions WHERE comment = 'many'").await, 6);
    let moved = app.app.store.read().find_ended_detail(id).await.unwrap().expect("a page about it");
    assert_eq!(format!("{moved:?}"), format!("{detail:?}"), "it ended when its end was recorded, not when it was moved");
    let events = app.app.store.read().list_events(0, 1000).await.unwrap();
    let events: Vec<_> = events.into_iter().filter(|event| event.kind() == "session_revoked").collect();
    assert_eq!(events.len(), 6);
    assert!(events.iter().all(|event| event.ip == "203.0.113.77" && event.request_id == "the request" && event.actor == "cli"));
    assert!(
        events.iter().all(|event| event.at == detail.ended_at
            && event.content == EventContent::SessionEnded { reason: EndReason::Revoked, comment: "many".into() }),
        "{events:?}"
    );
    assert_eq!(events.iter().filter(|event| event.username == "alice").count(), 4);
    app.assert_counts().await;
});

db_test!(a_use_of_one_that_waits_to_be_written_changes_nothing, |db| async move {
    let app = TestApp::with(db, &[("HTTP__TRUSTED_PROXIES", "127.0.0.1")]).await;
    let carol = app.user("carol").await;
    let browser = carol.session().await;
    app.advance(Duration::from_secs(600));
    browser.with_header("x-forwarded-for", "203.0.113.9").get(SESSIONS).await.assert_status(200);
    let before = app.number("SELECT last_used_at FROM sessions").await;
    assert_eq!(app.record_ends_of(carol.id.0, 10).await, 1);
    app.app.touches.flush(&app.app).await.unwrap();
    assert_eq!(app.number("SELECT last_used_at FROM session_rows").await, before);
    app.assert_counts().await;
    app.move_pending().await;
    app.assert_counts().await;
});

db_test!(who_is_removed_or_erased_leaves_none_behind, |db| async move {
    let app = TestApp::new(db).await;
    app.import(&people(5)).await;
    assert_eq!(app.record_ends_of(1, 3).await, 3);
    let alice = app.app.store.read().find_user_by_name("alice").await.unwrap().unwrap();
    let export = privacy::export(&app.app, By::Cli, &alice).await.unwrap();
    assert_eq!(export["ended_sessions"].as_array().map(Vec::len), Some(3), "{export}");
    assert_eq!(app.record_ends_of(1, 1).await, 1);
    users::remove(&app.app, By::Cli, &alice).await.unwrap();
    assert_eq!(app.number("SELECT count(*) FROM ended_sessions WHERE username = 'alice'").await, 5);
    assert_eq!(app.record_ends_of(2, 1).await, 1);
    let erased = privacy::erase(&app.app, By::Cli, "bob").await.unwrap();
    assert_eq!(erased.sessions, 1);
    assert_eq!(app.number("SELECT count(*) FROM session_rows").await, 0);
    app.assert_counts().await;
    app.move_pending().await;
    assert_eq!(waiting(&app).await, (0, 0));
    app.assert_counts().await;
});

db_test!(an_import_that_replaces_everything_moves_them_first, |db| async move {
    let app = TestApp::new(db).await;
    app.import(&people(5)).await;
    assert_eq!(app.record_ends_of(1, 3).await, 3);
    let line = format!("{}\n", seed::user(7, "dora"));
    app.import_bytes(line, true).await.unwrap();
    assert_eq!(waiting(&app).await, (0, 0));
    assert_eq!(app.number("SELECT count(*) FROM ended_sessions").await, 6);
    assert_eq!(app.number("SELECT count(*) FROM ended_sessions WHERE comment = 'many'").await, 3);
    assert_eq!(app.count_events("session_revoked").await, 6);
    app.assert_counts().await;
});

db_test!(a_move_that_is_stopped_goes_on, |db| async move {
    let app = TestApp::new(db).await;
    app.import(&people(250)).await;
    assert_eq!(app.record_ends_of(1, 1000).await, 250);
    assert!(bulk_end::move_some(&app.app, Duration::ZERO).await.unwrap(), "some are left");
    assert!(waiting(&app).await.1 > 0);
    app.assert_counts().await;
    // Another server takes over.
    let second = app.restarted(&[]).await;
    assert!(!bulk_end::move_some(&second, Duration::MAX).await.unwrap());
    assert_eq!(waiting(&app).await, (0, 0));
    assert_eq!(app.number("SELECT count(*) FROM ended_sessions").await, 250);
    app.assert_counts().await;
});

// PostgreSQL plans for what it knows of a table: that the one of pending ends is not empty any more.
db_test!(very_many_are_told_to_the_planner, |db| async move {
    let app = TestApp::new(db).await;
    app.import(&people(1001)).await;
    let admin = app.admin_token().await;
    let ended = admin.delete(&format!("{SESSIONS}bulk_delete/?user_pks=1")).await;
    assert_eq!(ended.json(), json!({"deleted": 1001}));
    assert_eq!(admin.get(&format!("{SESSIONS}?user__username=alice")).await.count(), 0);
    if app.app.store.describe().await.unwrap().starts_with("PostgreSQL") {
        let sql = "SELECT CAST(reltuples AS BIGINT) FROM pg_class WHERE oid = to_regclass('pending_end_sessions')";
        assert!(app.number(sql).await > 0);
    }
    app.move_pending().await;
    assert_eq!(app.number("SELECT count(*) FROM ended_sessions").await, 1001);
    app.assert_counts().await;
});

// Sessions are used, ended one by one, ended in bulk, recorded and moved, all at once and on two servers:
// each ends once, and the counts agree with the rows.
db_test!(many_ways_at_once_end_each_once, |db| async move {
    let app = std::sync::Arc::new(TestApp::new(db).await);
    app.import(&people(300)).await;
    let admin = app.admin_token().await;
    let second = app.restarted(&[]).await;
    let mut work = tokio::task::JoinSet::new();
    for n in 0..60_u32 {
        let (caller, app, second) = (admin.clone(), std::sync::Arc::clone(&app), second.clone());
        work.spawn(async move {
            match n % 6 {
                0 => drop(app.record_ends_of(1, 20).await),
                1 => drop(caller.delete(&format!("{SESSIONS}{}/", seed::uuid(n))).await),
                2 => drop(bulk_end::move_some(&second, Duration::MAX).await.expect("they are moved")),
                3 => drop(bulk_end::move_some(&app.app, Duration::MAX).await.expect("they are moved")),
                4 => drop(caller.delete(&format!("{SESSIONS}bulk_delete/?user_pks=1")).await.assert_status(200)),
                _ => {
                    let ids: Vec<i64> =
                        app.app.store.read().all("SELECT id FROM sessions ORDER BY id LIMIT 50", &[]).await.unwrap();
                    let at = rollcall::domain::Timestamp(app.app.clock.now().0 + i64::from(n));
                    let origin = rollcall::store::sessions::rows::Origin {
                        ip: rollcall::domain::Address::parse("203.0.113.9").unwrap(),
                        user_agent_id: app.number("SELECT MIN(id) FROM user_agents").await,
                        country: String::new(),
                        asn: Some(7),
                    };
                    let touches: Vec<_> = ids
                        .into_iter()
                        .rev()
                        .map(|id| rollcall::store::sessions::rows::Touch { id, at, origin: origin.clone() })
                        .collect();
                    let written = app.app.store.write(move |db| Box::pin(async move { db.update_touched(&touches).await }));
                    let written: Result<(), rollcall::store::StoreError> = written.await;
                    written.expect("uses are written");
                }
            }
        });
    }
    work.join_all().await;
    app.move_pending().await;
    assert_eq!(app.number("SELECT count(*) FROM sessions").await, 1, "Bob's");
    assert_eq!(app.number("SELECT count(*) FROM session_rows").await, 1);
    assert_eq!(app.number("SELECT count(*) FROM ended_sessions").await, 300);
    assert_eq!(app.number("SELECT count(DISTINCT uuid) FROM ended_sessions").await, 300, "each once");
    assert_eq!(app.count_events("session_revoked").await, 300);
    assert_eq!(waiting(&app).await, (0, 0));
    app.assert_counts().await;
});
