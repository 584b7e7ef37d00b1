//! The policies of users, groups and the instance: what holds, why, and changing it.

use std::time::Duration;

use rollcall::actions::by::By;
use rollcall::actions::policies;
use rollcall::domain::policy::{Policy, StoredLimits};
use rollcall::store::people::policies::PolicyOwner;
use serde_json::json;

use crate::support::TestApp;
use crate::support::app::Browser;
use crate::ui::form::{form, send, with};

const HOUR: Duration = Duration::from_secs(3600);

/// What the API shows as the session's end.
async fn expires(browser: &Browser) -> String {
    browser.get(&browser.url()).await.assert_status(200).json()["expires"].as_str().unwrap().to_owned()
}

db_test!(a_policy_says_what_holds_and_whose_it_is, |db| async move {
    let app = TestApp::new(db).await;
    app.import(&[
        json!({"kind": "group", "name": "all"}),
        json!({"kind": "group", "name": "Zürich 🦀", "parents": ["all"]}),
        json!({"kind": "user", "username": "zoë", "groups": ["Zürich 🦀"]}),
    ])
    .await;
    let (zoe, root) = (app.known("zoë").await, app.superuser("root").await.session().await);
    let all = app.app.store.read().find_group_id("all").await.unwrap().unwrap();
    let strict = Policy { idle_timeout: Some(2 * HOUR), max_sessions: Some(3), ..Policy::default() };
    policies::set(&app.app, By::Cli, PolicyOwner::Group(all), "all", strict).await.unwrap();
    let living = zoe.session().await;
    assert_eq!(expires(&living).await, "2026-11-01T14:00:00Z");
    let path = format!("/users/{}/policy", zoe.id.0);
    let text = root.get(&path).await.assert_status(200).text();
    for shown in ["Set for the group all.", "For the instance it is 12h.", "Set for the instance.", "No policy has this limit."] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    // Stricter: the living session is cut at once, and it is said whose limit holds.
    let mut own = with(form(&root, &path).await, "idle", "30m");
    own = with(with(own, "remember", "0"), "at_limit", "refuse");
    assert_eq!(send(&root, &path, &own).await.redirects_to(), path);
    assert_eq!(expires(&living).await, "2026-11-01T12:30:00Z");
    let text = root.get(&path).await.text();
    assert!(text.contains("Set for \u{2068}zoë\u{2069}.") && text.contains("For the group all it is 2h."), "{text}");
    assert!(text.contains("not offered") && text.contains("the sign-in is refused"), "{text}");
    assert!(root.get(&format!("/users/{}", zoe.id.0)).await.text().contains("idle timeout 30m"));
    // The second of two administrators is told.
    let stale = form(&root, &path).await;
    send(&root, &path, &with(stale.clone(), "idle", "20m")).await.assert_status(303);
    let told = send(&root, &path, &with(stale, "idle", "10m")).await.assert_status(409).text();
    assert!(told.contains("Somebody else changed this policy") && told.contains("value=\"10m\""), "{told}");
    assert_eq!(expires(&living).await, "2026-11-01T12:20:00Z");
    for (field, value, says) in [
        ("idle", "soon", "is no duration"),
        ("idle", "0", "above zero"),
        ("most", "0", "above zero"),
        ("most", "x", "no number"),
        ("at_limit", "x", "choose"),
    ] {
        let wrong = with(form(&root, &path).await, field, value);
        let answer = send(&root, &path, &wrong).await.assert_status(422).text();
        assert!(answer.contains(says), "{field}={value}: {answer}");
    }
    // A group shows what the groups above it have.
    let zurich = app.app.store.read().find_group_id("Zürich 🦀").await.unwrap().unwrap();
    let zurich = app.app.store.read().find_group_by_id(zurich).await.unwrap().unwrap().uuid;
    let path = format!("/groups/{zurich}/policy");
    assert!(root.get(&path).await.text().contains("Set for the group all."));
    send(&root, &path, &with(form(&root, &path).await, "absolute", "1h")).await.assert_status(303);
    assert_eq!(expires(&zoe.session().await).await, "2026-11-01T12:20:00Z");
    assert!(root.get("/groups").await.text().contains(">its own<"));
    // Emptied, it is gone.
    send(&root, &path, &with(form(&root, &path).await, "absolute", "")).await.assert_status(303);
    assert_eq!(app.number("SELECT count(*) FROM group_policies").await, 1);
    let factor = with(form(&root, &path).await, "factor", "yes");
    send(&root, &path, &factor).await.assert_status(303);
    assert!(root.get(&path).await.text().contains("data-label=\"Value\">required<"));
    living.get(crate::support::SESSIONS).await.assert_status(403);
    root.get("/users/999999/policy").await.assert_status(404);
    root.get("/groups/nonsense/policy").await.assert_status(404);
});

db_test!(the_policy_of_the_instance_is_stored_and_holds_at_once, |db| async move {
    let app = TestApp::new(db).await;
    let (alice, root) = (app.user("alice").await, app.superuser("root").await.session().await);
    // Another node of the same instance.
    let other = app.restarted(&[]).await;
    let living = alice.session().await;
    let path = "/settings/policy";
    let text = root.get(path).await.assert_status(200).text();
    assert!(text.contains("12h") && text.contains("Empty: as built in."), "{text}");
    let changed = with(with(form(&root, path).await, "absolute", "1h"), "most", "1");
    assert_eq!(send(&root, path, &changed).await.redirects_to(), path);
    assert_eq!(expires(&living).await, "2026-11-01T13:00:00Z", "living sessions are cut");
    let stored = other.store.read().find_stored_limits().await.unwrap();
    assert_eq!(other.config.policy(&stored).absolute_timeout, Some(HOUR), "on every node");
    let next = alice.session().await;
    assert_eq!(expires(&next).await, "2026-11-01T13:00:00Z", "and new ones begin under it");
    living.get(crate::support::SESSIONS).await.assert_status(403);
    // Loosened, a living session keeps what it was given.
    let looser = with(with(form(&root, path).await, "absolute", ""), "most", "0");
    send(&root, path, &looser).await.assert_status(303);
    assert_eq!(expires(&next).await, "2026-11-01T13:00:00Z");
    assert_eq!(expires(&alice.session().await).await, "2026-11-02T00:00:00Z");
    assert_eq!(app.count_events("instance_policy_set").await, 2);
    let event = app.latest("instance_policy_set").await.remove(0);
    assert!(event.text().starts_with("root set the policy of the instance: idle timeout 12h"), "{}", event.text());
    for (field, value, says) in [("absolute", "0", "above zero"), ("idle", "x", "no duration")] {
        let wrong = with(form(&root, path).await, field, value);
        assert!(send(&root, path, &wrong).await.assert_status(422).text().contains(says), "{field}");
    }
    let stale = form(&root, path).await;
    send(&root, path, &with(stale.clone(), "idle", "2h")).await.assert_status(303);
    assert!(send(&root, path, &with(stale, "idle", "3h")).await.assert_status(409).text().contains("Somebody else changed"));
    // "Stay signed in" follows.
    assert!(app.anonymous().get("/sign-in").await.text().contains("name=\"remember\""));
    send(&root, path, &with(form(&root, path).await, "remember", "0")).await.assert_status(303);
    assert!(!app.anonymous().get("/sign-in").await.text().contains("name=\"remember\""));
});

db_test!(settings_are_stronger_than_what_is_stored, |db| async move {
    let app = TestApp::with(db, &[("SESSIONS__ABSOLUTE_TIMEOUT", "2h")]).await;
    let root = app.superuser("root").await.session().await;
    let path = "/settings/policy";
    let text = root.get(path).await.text();
    assert!(text.contains("Set by <code>ROLLCALL_SESSIONS__ABSOLUTE_TIMEOUT</code>, which is stronger."), "{text}");
    let forged = with(form(&root, path).await, "absolute", "1h");
    let refused = send(&root, path, &forged).await.assert_status(409).text();
    assert!(refused.contains("ROLLCALL_SESSIONS__ABSOLUTE_TIMEOUT"), "{refused}");
    // Another limit is stored next to it.
    send(&root, path, &with(form(&root, path).await, "idle", "15m")).await.assert_status(303);
    let stored = app.app.store.read().find_stored_limits().await.unwrap();
    assert_eq!(stored, StoredLimits { idle_timeout: Some(HOUR / 4), ..StoredLimits::default() });
    assert_eq!(app.app.config.policy(&stored).absolute_timeout, Some(2 * HOUR));
});

db_test!(no_sign_in_passes_a_limit_that_is_set_at_the_same_time, |db| async move {
    let app = TestApp::new(db).await;
    let mut users = Vec::new();
    for n in 0..8 {
        users.push(app.user(&format!("user {n}")).await);
    }
    let sign_ins = async {
        for _ in 0..4 {
            let [a, b, c, d, e, f, g, h] = &users[..] else { unreachable!("there are eight") };
            tokio::join!(a.session(), b.session(), c.session(), d.session(), e.session(), f.session(), g.session(), h.session());
        }
    };
    let limits = StoredLimits { absolute_timeout: Some(HOUR), ..StoredLimits::default() };
    let ((), set) = tokio::join!(sign_ins, policies::set_instance(&app.app, By::Cli, limits, None));
    set.unwrap();
    assert_eq!(app.number("SELECT count(*) FROM session_rows").await, 32);
    let beyond = app.app.clock.now().plus(HOUR).0;
    assert_eq!(app.number(&format!("SELECT count(*) FROM session_rows WHERE absolute_expires_at > {beyond}")).await, 0);
});
