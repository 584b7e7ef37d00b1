//! The sweeper ends what is over, and nothing else.

use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use rollcall::actions::sessions::end;
use rollcall::domain::Timestamp;
use serde_json::json;

use crate::support::app::at;
use crate::support::{NOW, SESSIONS, TestApp, seed};

db_test!(only_expired_sessions_are_swept, |db| async move {
    let app = TestApp::new(db).await;
    let admin = app.admin_token().await;
    let mut runner = TestRunner::deterministic();
    let now = at(NOW);
    let mut lines = vec![seed::user(7, "alice")];
    // Microseconds around now: what ends this instant is over.
    let ends = prop::collection::vec(-3..=3_i64, 120).new_tree(&mut runner).unwrap().current();
    lines.extend((0..).zip(&ends).map(|(n, end)| seed::session(n, 7, json!({"expires": Timestamp(now.0 + end).to_string()}))));
    app.import(&lines).await;
    let mut left: Vec<(u32, i64)> = (0..).zip(ends).collect();
    for step in [-3, 0, 0, 1, 5] {
        let moment = Timestamp(now.0 + step);
        app.app.clock.set(moment);
        let over: Vec<u32> = left.iter().filter(|(_, end)| *end <= step).map(|(n, _)| *n).collect();
        left.retain(|(_, end)| *end > step);
        assert_eq!(end::sweep(&app.app, rollcall::actions::by::By::System, moment).await.unwrap(), over.len() as u64);
        for n in over {
            assert_eq!(app.ending(&seed::uuid(n)).await, Some(("expired".into(), "system".into())));
        }
        assert_eq!(admin.get(SESSIONS).await.count(), left.len() as i64);
        app.assert_counts().await;
    }
    assert!(left.is_empty());
    assert_eq!(app.count_events("session_expired").await, 120);
    assert_eq!(app.number("SELECT count(*) FROM ended_sessions").await, 120);
});

db_test!(a_use_that_waits_to_be_written_saves_its_session, |db| async move {
    let app = TestApp::with(db, &[("SESSIONS__IDLE_TIMEOUT", "10m")]).await;
    let alice = app.user("alice").await;
    let (used, idle) = (alice.session().await, alice.session().await);
    app.advance(Duration::from_secs(9 * 60));
    used.get(SESSIONS).await.assert_status(200);
    app.advance(Duration::from_secs(2 * 60));
    rollcall::actions::upkeep::sweep::run(&app.app, rollcall::actions::by::By::System).await.unwrap();
    used.get(SESSIONS).await.assert_status(200);
    idle.get(SESSIONS).await.assert_status(403);
    assert_eq!(app.ending(&idle.uuid).await, Some(("expired".into(), "system".into())));
    assert_eq!(app.ending(&used.uuid).await, None);
});

db_test!(an_ended_session_says_how_it_ended, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user_with_password("alice").await;
    let row = rollcall::actions::people::users::find(&app.app, rollcall::actions::by::By::Cli, "alice").await.unwrap();
    let one = alice.session().await;
    let new = "another long password".to_owned();
    rollcall::actions::people::users::set_password(&app.app, rollcall::actions::by::By::Cli, &row, new).await.unwrap();
    one.get(SESSIONS).await.assert_status(403);
    assert_eq!(app.ending(&one.uuid).await, Some(("password_changed".into(), "cli".into())));
    let two = alice.session().await;
    rollcall::actions::people::users::set_active(&app.app, rollcall::actions::by::By::Cli, &row, false).await.unwrap();
    two.get(SESSIONS).await.assert_status(403);
    assert_eq!(app.ending(&two.uuid).await, Some(("user_deactivated".into(), "cli".into())));
    let events = app.events().await;
    for kind in ["password_set", "user_deactivated", "session_revoked"] {
        assert!(events.contains(&(kind.into(), "alice".into())), "{kind}: {events:?}");
    }
    app.assert_counts().await;
});
