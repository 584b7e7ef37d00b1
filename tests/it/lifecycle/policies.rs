//! Policies of instance, groups and users: the smallest wins, and tightening holds at once.

use std::time::Duration;

use rollcall::actions::app::App;
use rollcall::actions::by::By;
use rollcall::actions::{ActionError, policies};
use rollcall::domain::policy::{AtLimit, Policy};
use rollcall::store::people::policies::PolicyOwner;
use serde_json::json;

use crate::support::app::{Browser, TestUser, at};
use crate::support::{SESSIONS, TestApp, seed};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

async fn set(app: &TestApp, owner: PolicyOwner, policy: Policy) -> u64 {
    policies::set(&app.app, By::Cli, owner, "the-owner", policy).await.unwrap()
}

fn idle(limit: Duration) -> Policy {
    Policy { idle_timeout: Some(limit), ..Policy::default() }
}

fn absolute(limit: Duration) -> Policy {
    Policy { absolute_timeout: Some(limit), ..Policy::default() }
}

/// What the API shows as the session's end.
async fn expires(browser: &Browser) -> String {
    browser.get(&browser.url()).await.assert_status(200).json()["expires"].as_str().unwrap().to_owned()
}

/// A group `staff` with a member, user 7.
async fn staff(app: &TestApp) -> (PolicyOwner, TestUser<'_>) {
    let member = json!({"kind": "user", "id": 7, "username": "member", "groups": ["staff"]});
    app.import(&[json!({"kind": "group", "name": "staff"}), member]).await;
    let group = app.app.store.read().find_group_id("staff").await.unwrap().unwrap();
    (PolicyOwner::Group(group), app.known("member").await)
}

db_test!(the_smallest_of_instance_group_and_user_holds, |db| async move {
    let app = TestApp::new(db).await;
    let (group, member) = staff(&app).await;
    let user = PolicyOwner::User(member.id);
    assert_eq!(expires(&member.session().await).await, "2026-11-02T00:00:00Z", "the instance: 12 h");
    set(&app, group, idle(2 * HOUR)).await;
    assert_eq!(expires(&member.session().await).await, "2026-11-01T14:00:00Z");
    set(&app, user, idle(HOUR)).await;
    assert_eq!(expires(&member.session().await).await, "2026-11-01T13:00:00Z");
    set(&app, user, idle(99 * HOUR)).await;
    assert_eq!(expires(&member.session().await).await, "2026-11-01T14:00:00Z", "the group's is smaller");
    set(&app, user, absolute(30 * MINUTE)).await;
    assert_eq!(expires(&member.session().await).await, "2026-11-01T12:30:00Z", "the nearer end is shown");
    assert_eq!(expires(&app.user("other").await.session().await).await, "2026-11-02T00:00:00Z", "others are not meant");
    assert_eq!(app.count_events("policy_set").await, 4);
});

db_test!(tightening_cuts_living_sessions_and_loosening_gives_nothing_back, |db| async move {
    let app = TestApp::new(db).await;
    let (group, member) = staff(&app).await;
    let (browser, other) = (member.session().await, app.user("other").await.session().await);
    app.advance(HOUR);
    assert_eq!(set(&app, group, idle(2 * HOUR)).await, 1);
    assert_eq!(expires(&browser).await, "2026-11-01T14:00:00Z");
    assert_eq!(set(&app, group, idle(20 * HOUR)).await, 0);
    assert_eq!(expires(&browser).await, "2026-11-01T14:00:00Z");
    app.app.touches.flush(&app.app).await.unwrap();
    assert_eq!(expires(&browser).await, "2026-11-01T15:00:00Z", "used at 13:00, with the limit it was given");
    // A limit that is over already: out at once, and swept like any other.
    assert_eq!(set(&app, group, absolute(59 * MINUTE)).await, 1);
    browser.get(SESSIONS).await.assert_status(403);
    other.get(SESSIONS).await.assert_status(200);
    rollcall::actions::sessions::end::sweep(&app.app, rollcall::actions::by::By::System, app.app.clock.now()).await.unwrap();
    assert_eq!(app.ending(&browser.uuid).await, Some(("expired".into(), "system".into())));
    app.assert_counts().await;
});

db_test!(a_use_that_waits_to_be_written_keeps_to_the_new_limits, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user("alice").await;
    let browser = alice.session().await;
    app.advance(10 * MINUTE);
    browser.get(SESSIONS).await.assert_status(200);
    set(&app, PolicyOwner::User(alice.id), Policy { absolute_timeout: Some(HOUR), ..idle(20 * MINUTE) }).await;
    app.app.touches.flush(&app.app).await.unwrap();
    assert_eq!(expires(&browser).await, "2026-11-01T12:30:00Z");
});

db_test!(stay_signed_in_can_be_taken_away, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user_with_password("alice").await;
    let caller = app.anonymous();
    crate::support::app::sign_in_as(&caller, "alice", crate::support::app::PASSWORD, true).await;
    let end = async || caller.get(SESSIONS).await.json()["results"][0]["expires"].as_str().unwrap().to_owned();
    assert_eq!(end().await, "2026-12-01T12:00:00Z");
    set(&app, PolicyOwner::User(alice.id), Policy { remember_timeout: Some(Duration::ZERO), ..Policy::default() }).await;
    assert_eq!(end().await, "2026-11-02T00:00:00Z", "the instance's idle timeout holds again");
    let again = app.anonymous();
    crate::support::app::sign_in_as(&again, "alice", crate::support::app::PASSWORD, true).await;
    assert_eq!(app.number("SELECT count(*) FROM sessions WHERE is_remembered").await, 0);
});

db_test!(imported_sessions_keep_their_end_but_for_groups_and_users, |db| async move {
    let app = TestApp::new(db).await;
    app.import(&[seed::user(1, "alice"), seed::session(1, 1, json!({"last_used": "2026-11-01T11:00:00Z"}))]).await;
    assert_eq!(policies::hold_to_instance(&app.app, By::System).await.unwrap(), 0);
    let admin = app.admin_token().await;
    let end = async || admin.get(&format!("{SESSIONS}{}/", seed::uuid(1))).await.json()["expires"].as_str().unwrap().to_owned();
    assert_eq!(end().await, "2099-01-01T00:00:00Z");
    let alice = app.known("alice").await;
    set(&app, PolicyOwner::User(alice.id), absolute(3 * HOUR)).await;
    assert_eq!(end().await, "2026-11-01T14:00:00Z");
});

/// The same database under other settings, as after a restart.
async fn restart(app: &TestApp, settings: &[(&str, &str)]) -> App {
    let again = app.restarted(settings).await;
    policies::hold_to_instance(&again, By::System).await.unwrap();
    again
}

db_test!(lower_settings_hold_from_the_restart_on, |db| async move {
    let app = TestApp::new(db).await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let browsers = [alice.session().await, alice.session().await, alice.session().await];
    let other = bob.session().await;
    restart(&app, &[("SESSIONS__IDLE_TIMEOUT", "30m"), ("SESSIONS__ABSOLUTE_TIMEOUT", "20m")]).await;
    assert_eq!(expires(&other).await, "2026-11-01T12:20:00Z");
    restart(&app, &[("SESSIONS__IDLE_TIMEOUT", "24h")]).await;
    assert_eq!(expires(&other).await, "2026-11-01T12:20:00Z", "higher ones give nothing back");
    app.advance(MINUTE);
    restart(&app, &[("SESSIONS__MAX_PER_USER", "2")]).await;
    browsers[0].get(SESSIONS).await.assert_status(403);
    for browser in [&browsers[1], &browsers[2], &other] {
        browser.get(SESSIONS).await.assert_status(200);
    }
    assert_eq!(app.ending(&browsers[0].uuid).await, Some(("limit_reached".into(), "system".into())));
    app.assert_counts().await;
});

db_test!(many_living_sessions_are_cut, |db| async move {
    let app = TestApp::new(db).await;
    let mut lines = vec![json!({"kind": "group", "name": "staff"})];
    lines.extend((1..=30).map(|id| json!({"kind": "user", "id": id, "username": format!("user {id}"), "groups": ["staff"]})));
    lines.extend((0..3000).map(|n| seed::session(n, i64::from(n % 30) + 1, json!({"last_used": "2026-11-01T11:00:00Z"}))));
    app.import(&lines).await;
    let group = PolicyOwner::Group(app.app.store.read().find_group_id("staff").await.unwrap().unwrap());
    let policy = Policy { max_sessions: Some(70), ..idle(2 * HOUR) };
    assert_eq!(set(&app, group, policy).await, 3000 + 900, "all cut, and of 100 each the 30 oldest ended");
    let end = at("2026-11-01T13:00:00Z").0;
    assert_eq!(app.number(&format!("SELECT count(*) FROM sessions WHERE expires_at = {end}")).await, 2100);
    app.assert_counts().await;
});

db_test!(a_limit_of_nothing_is_refused, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user("alice").await;
    let browser = alice.session().await;
    let none = Policy { max_sessions: Some(0), at_limit: Some(AtLimit::Refuse), ..Policy::default() };
    for bad in [idle(Duration::ZERO), absolute(Duration::ZERO), none] {
        let refused = policies::set(&app.app, By::Cli, PolicyOwner::User(alice.id), "alice", bad).await;
        assert!(matches!(refused, Err(ActionError::Rule(_))), "{refused:?}");
    }
    browser.get(SESSIONS).await.assert_status(200);
});
