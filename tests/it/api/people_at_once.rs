//! Two administrators at once, and rights that change under sessions that are in use.

use std::time::Duration;

use rollcall::actions::by::By;
use rollcall::actions::policies;
use rollcall::domain::policy::Policy;
use rollcall::store::people::policies::PolicyOwner;
use serde_json::{Value, json};

use super::users::url;
use crate::support::TestApp;

const GROUPS: &str = "/api/v3/core/groups/";

db_test!(two_administrators_cannot_take_each_other_away_at_once, |db| async move {
    let app = TestApp::new(db).await;
    let admin = app.admin_token().await;
    let mut left = app.superuser_with_password("root").await.id;
    for round in 0..6 {
        let other = app.superuser_with_password(&format!("other{round}")).await.id;
        let (to_one, to_other) = (url(&json!(left.0)), url(&json!(other.0)));
        let (first, second) = if round % 2 == 0 {
            tokio::join!(admin.delete(&to_one), admin.delete(&to_other))
        } else {
            let off = json!({"is_active": false});
            tokio::join!(admin.send_json("PATCH", &to_one, &off), admin.send_json("PATCH", &to_other, &off))
        };
        let refused = [&first, &second].into_iter().filter(|answer| answer.status == 400).count();
        assert_eq!(refused, 1, "round {round}: {} and {}", first.status, second.status);
        let able = app.app.store.read().count_administrators().await.unwrap().able;
        assert_eq!(able, 1, "round {round}");
        left = if first.status == 400 { left } else { other };
    }
});

db_test!(who_joins_a_group_is_held_to_its_policy_at_once, |db| async move {
    let app = TestApp::new(db).await;
    let admin = app.admin_token().await;
    let outer = admin.post_json(GROUPS, &json!({"name": "outer"})).await.assert_status(201).json();
    let body = json!({"name": "inner", "parents": [outer["pk"]]});
    let inner = admin.post_json(GROUPS, &body).await.assert_status(201).json();
    let owner = PolicyOwner::Group(app.app.store.read().find_group_id("outer").await.unwrap().unwrap());
    let short = Policy { idle_timeout: Some(Duration::from_secs(600)), ..Policy::default() };
    policies::set(&app.app, By::Cli, owner, "outer", short).await.unwrap();
    let put = |group: &Value, name: &str| format!("{GROUPS}{}/{name}", group["pk"].as_str().unwrap());

    let (alice, bob, carol) = (app.user("alice").await, app.user("bob").await, app.user("carol").await);
    let (of_alice, of_bob, of_carol) = (alice.session().await, bob.session().await, carol.session().await);
    // By a group within it, by the list of members, and by the user's own list of groups.
    let member = json!({"pk": alice.id.0});
    admin.post_json(&put(&inner, "add_user/"), &member).await.assert_status(204);
    admin.send_json("PATCH", &put(&outer, ""), &json!({"users": [bob.id.0]})).await.assert_status(200);
    let groups = json!({"groups": [inner["pk"]]});
    admin.send_json("PATCH", &url(&json!(carol.id.0)), &groups).await.assert_status(200);
    for session in [&of_alice, &of_bob, &of_carol] {
        let shown = session.get(&session.url()).await.assert_status(200).json();
        assert_eq!(shown["expires"], "2026-11-01T12:10:00Z");
    }
    app.advance(Duration::from_secs(601));
    for session in [&of_alice, &of_bob, &of_carol] {
        session.get(&session.url()).await.assert_status(403);
    }
});

db_test!(a_group_put_into_another_brings_its_members_under_the_policy, |db| async move {
    let app = TestApp::new(db).await;
    let admin = app.admin_token().await;
    let alice = app.user("alice").await;
    let session = alice.session().await;
    let outer = admin.post_json(GROUPS, &json!({"name": "outer"})).await.assert_status(201).json();
    let body = json!({"name": "inner", "users": [alice.id.0]});
    let inner = admin.post_json(GROUPS, &body).await.assert_status(201).json();
    let owner = PolicyOwner::Group(app.app.store.read().find_group_id("outer").await.unwrap().unwrap());
    let short = Policy { absolute_timeout: Some(Duration::from_secs(900)), ..Policy::default() };
    policies::set(&app.app, By::Cli, owner, "outer", short).await.unwrap();
    let shown = session.get(&session.url()).await.assert_status(200).json();
    assert_eq!(shown["expires"], "2026-11-02T00:00:00Z", "not a member of it yet");
    let address = format!("{GROUPS}{}/", inner["pk"].as_str().unwrap());
    admin.send_json("PATCH", &address, &json!({"parents": [outer["pk"]]})).await.assert_status(200);
    let shown = session.get(&session.url()).await.assert_status(200).json();
    assert_eq!(shown["expires"], "2026-11-01T12:15:00Z");
});
