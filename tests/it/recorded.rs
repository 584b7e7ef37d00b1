//! What events record of people, groups, tokens, policies and imports: what there was before, and what there is now.

use std::io::Cursor;
use std::time::Duration;

use rollcall::actions::by::By;
use rollcall::actions::import::{self, ImportError, Stored};
use rollcall::actions::people::users;
use rollcall::actions::{ActionError, policies};
use rollcall::domain::policy::Policy;
use rollcall::store::people::policies::PolicyOwner;
use serde_json::{Value, json};

use crate::support::{SESSIONS, TestApp, seed};

const USERS: &str = "/api/v3/core/users/";
const GROUPS: &str = "/api/v3/core/groups/";
const TOKENS: &str = "/api/v3/core/tokens/";

/// The content of the latest event of that kind.
async fn latest(app: &TestApp, kind: &str) -> Value {
    Value::Object(app.latest(kind).await.first().expect("an event").content.to_json())
}

fn from_nothing(after: &Value) -> Value {
    json!({"before": null, "after": after})
}

fn to_nothing(before: &Value) -> Value {
    json!({"before": before, "after": null})
}

db_test!(users_are_recorded_when_they_come_and_go, |db| async move {
    let app = TestApp::new(db).await;
    let admin = app.admin_token().await;
    let staff = admin.post_json(GROUPS, &json!({"name": "staff"})).await.assert_status(201).json();
    let attributes = json!({"floor": 3, "nested": {"password": "hunter3", "list": [{"pin": 47114711}]}});
    let body = json!({
        "username": "alice", "name": "Alice", "email": "alice@example.com", "groups": [staff["pk"]], "attributes": attributes,
        "rollcall_is_auditor": true,
    });
    let alice = admin.post_json(USERS, &body).await.assert_status(201).json();
    let content = latest(&app, "user_added").await;
    for (name, after) in [
        ("username", json!("alice")),
        ("email", json!("alice@example.com")),
        ("is_superuser", json!(false)),
        ("is_auditor", json!(true)),
        ("is_active", json!(true)),
        ("groups", json!(["staff"])),
        ("attributes", json!({"floor": 3, "nested": {"password": "…", "list": [{"pin": "…"}]}})),
    ] {
        assert_eq!(content["changes"][name], from_nothing(&after), "{name}");
    }
    assert!(content["changes"].get("permissions").is_none(), "what is empty is left out: {content}");
    assert!(app.latest("user_added").await[0].text().ends_with("added the user alice, an auditor"));

    let address = format!("{USERS}{}/", alice["pk"]);
    let other = json!({"attributes": {"floor": 3, "nested": {"password": "hunter4", "list": []}}});
    admin.send_json("PATCH", &address, &other).await.assert_status(200);
    assert_eq!(
        latest(&app, "user_changed").await["changes"]["attributes"],
        json!({"before": {"nested": {"password": "…", "list": [{"pin": "…"}]}}, "after": {"nested": {"password": "…", "list": []}}})
    );
    admin.delete(&address).await.assert_status(204);
    let content = latest(&app, "user_removed").await;
    assert_eq!(content["changes"]["groups"], to_nothing(&json!(["staff"])));
    assert_eq!(content["changes"]["is_auditor"], to_nothing(&json!(true)));
    assert!(content["changes"].get("email").is_none(), "who was removed is not described: {content}");
    let secrets = "SELECT count(*) FROM events WHERE content LIKE '%hunter%' OR content LIKE '%47114711%'";
    assert_eq!(app.number(secrets).await, 0);
});

db_test!(groups_are_recorded_when_they_come_and_go, |db| async move {
    let app = TestApp::new(db).await;
    let (admin, alice) = (app.admin_token().await, app.user("alice").await);
    let outer = admin.post_json(GROUPS, &json!({"name": "outer"})).await.assert_status(201).json();
    let body = json!({
        "name": "ops", "is_superuser": true, "parents": [outer["pk"]], "users": [alice.id.0], "attributes": {"api_token": "hunter5"},
    });
    let ops = admin.post_json(GROUPS, &body).await.assert_status(201).json();
    let content = latest(&app, "group_added").await;
    let changes = &content["changes"];
    assert_eq!(changes["is_superuser"], from_nothing(&json!(true)));
    assert_eq!(changes["parents"], from_nothing(&json!(["outer"])));
    assert_eq!(changes["attributes"], from_nothing(&json!({"api_token": "…"})));
    let uuid = app.app.store.read().find_user(alice.id).await.unwrap().unwrap().uuid.simple().to_string();
    assert_eq!((&content["members"], &content["added"]), (&json!(1), &json!([uuid])));
    let text = app.latest("group_added").await[0].text();
    assert!(text.ends_with("added the group ops with 1 member; its members are administrators"), "{text}");
    admin.delete(&format!("{GROUPS}{}/", ops["pk"].as_str().unwrap())).await.assert_status(204);
    let content = latest(&app, "group_removed").await;
    assert_eq!((&content["members"], &content["removed"]), (&json!(1), &json!([uuid])));
    assert_eq!(content["changes"]["is_superuser"], to_nothing(&json!(true)));
    assert_eq!(content["changes"]["parents"], to_nothing(&json!(["outer"])));
});

db_test!(tokens_are_recorded_without_their_keys, |db| async move {
    let app = TestApp::new(db).await;
    let admin = app.admin_token().await;
    let body = json!({"identifier": "ci", "description": "a", "rollcall_scopes": ["users:read"]});
    admin.post_json(TOKENS, &body).await.assert_status(201);
    let changes = latest(&app, "token_added").await["changes"].clone();
    assert_eq!(changes["intent"], from_nothing(&json!("api")));
    assert_eq!(changes["expires"], from_nothing(&json!("2026-11-02T12:00:00Z")));
    assert_eq!(changes["rollcall_scopes"], from_nothing(&json!(["users:read"])));
    let item = format!("{TOKENS}ci/");
    let body = json!({"description": "b", "rollcall_scopes": ["sessions:read"], "expiring": false});
    admin.send_json("PATCH", &item, &body).await.assert_status(200);
    let content = latest(&app, "token_changed").await;
    assert_eq!(content["fields"], "description expires rollcall_scopes");
    assert_eq!(
        content["changes"],
        json!({
            "description": {"before": "a", "after": "b"},
            "expires": {"before": "2026-11-02T12:00:00Z", "after": null},
            "rollcall_scopes": {"before": ["users:read"], "after": ["sessions:read"]},
        })
    );
    admin.send_json("PATCH", &item, &body).await.assert_status(200);
    assert_eq!(app.count_events("token_changed").await, 1, "the same again is no event");
    admin.delete(&item).await.assert_status(204);
    let changes = latest(&app, "token_removed").await["changes"].clone();
    assert_eq!(changes["rollcall_scopes"], to_nothing(&json!(["sessions:read"])));
    assert_eq!(changes["intent"], to_nothing(&json!("api")));
});

db_test!(policies_are_recorded_with_what_was_before, |db| async move {
    let app = TestApp::new(db).await;
    app.import(&[json!({"kind": "group", "name": "staff"})]).await;
    let group = PolicyOwner::Group(app.app.store.read().find_group_id("staff").await.unwrap().unwrap());
    let idle = |hours: u64| Policy { idle_timeout: Some(Duration::from_secs(hours * 3600)), ..Policy::default() };
    let set = async |policy| policies::set(&app.app, By::Cli, group, "staff", policy).await.unwrap();
    set(idle(2)).await;
    set(idle(3)).await;
    set(idle(3)).await;
    assert_eq!(app.count_events("policy_set").await, 2, "set to what it is, it is no event");
    let content = latest(&app, "policy_set").await;
    assert_eq!((&content["before"], &content["policy"]), (&json!(idle(2)), &json!(idle(3))));
    let text = app.latest("policy_set").await[0].text();
    assert!(text.ends_with("set the policy of the group staff: idle timeout 3h (before: idle timeout 2h)"), "{text}");
    // Of two who read the same, one is told, also for a group that has no members.
    for round in 0..10 {
        let before = app.app.store.read().find_policy(group).await.unwrap();
        let if_same = |policy| policies::set_if(&app.app, By::Cli, group, "staff", policy, Some(before));
        let (one, two) = tokio::join!(if_same(idle(10 + round)), if_same(idle(30 + round)));
        let refused = [&one, &two].into_iter().filter(|done| matches!(done, Err(ActionError::Outdated))).count();
        assert_eq!((refused, one.is_ok() || two.is_ok()), (1, true), "round {round}");
    }
});

db_test!(a_user_who_is_active_is_not_made_active, |db| async move {
    let app = TestApp::new(db).await;
    app.user("alice").await;
    let row = users::find(&app.app, By::Cli, "alice").await.unwrap();
    for is_active in [true, false, false, true, true] {
        users::set_active(&app.app, By::Cli, &row, is_active).await.unwrap();
    }
    assert_eq!((app.count_events("user_activated").await, app.count_events("user_deactivated").await), (1, 1));
    users::remove(&app.app, By::Cli, &row).await.unwrap();
    assert!(matches!(users::set_active(&app.app, By::Cli, &row, true).await, Err(ActionError::NotFound)));
});

db_test!(an_import_records_who_became_an_administrator, |db| async move {
    let app = TestApp::new(db).await;
    app.import(&[
        json!({"kind": "group", "name": "all", "is_superuser": true}),
        json!({"kind": "group", "name": "ops", "parents": ["all"]}),
        json!({"kind": "user", "username": "root", "is_superuser": true}),
        json!({"kind": "user", "username": "alice", "groups": ["ops"]}),
        json!({"kind": "user", "username": "bob"}),
    ])
    .await;
    let content = latest(&app, "import").await;
    assert_eq!((&content["users"], &content["groups"]), (&json!(3), &json!(2)));
    let events = app.app.store.read().list_events(0, 100).await.unwrap();
    let import = events.iter().find(|event| event.kind() == "import").unwrap().id;
    let mut added: Vec<(&str, Option<i64>, Value)> = Vec::new();
    for event in events.iter().filter(|event| event.kind() == "user_added") {
        added.push((event.username.as_str(), event.parent, event.content.to_json()["changes"]["groups"]["after"].clone()));
    }
    assert_eq!(added, [("root", Some(import), Value::Null), ("alice", Some(import), json!(["ops"]))]);
});

db_test!(an_import_does_not_take_the_last_administrator_away_in_silence, |db| async move {
    let app = TestApp::new(db).await;
    let root = app.superuser_with_password("root").await.session().await;
    let replace = async |lines: &[Value], stored| {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        import::run(&app.app, By::Cli, Box::new(Cursor::new(text.into_bytes())), stored, Box::new(|_| {})).await
    };
    let others = [seed::user(70, "alice"), json!({"kind": "user", "id": 71, "username": "chief", "is_superuser": true})];
    let refused = replace(&others, Stored::Goes).await;
    assert!(matches!(refused, Err(ImportError::LastAdministrator)), "{refused:?}");
    root.get(SESSIONS).await.assert_status(200);
    assert_eq!(app.count_events("import").await, 0);
    replace(&others, Stored::GoesWithAdministrators).await.unwrap();
    root.get(SESSIONS).await.assert_status(403);
    // Nobody is there to be kept any more.
    replace(&others, Stored::Goes).await.unwrap();
    assert_eq!(app.count_events("import").await, 2);
});

db_test!(a_user_who_sets_their_own_password_by_the_api_stays_signed_in, |db| async move {
    let app = TestApp::new(db).await;
    let root = app.superuser_with_password("root").await;
    let (one, two) = (root.session().await, root.session().await);
    let set = format!("{USERS}{}/set_password/", root.id.0);
    one.with_csrf().post_json(&set, &json!({"password": "with blanks around them"})).await.assert_status(204);
    one.get(SESSIONS).await.assert_status(200);
    two.get(SESSIONS).await.assert_status(403);
    assert_eq!(app.ending(&two.uuid).await, Some(("password_changed".into(), "root".into())));
    let hash = app.app.store.read().find_user(root.id).await.unwrap().unwrap().password_hash.unwrap();
    let two = root.session().await;
    let set = format!("{USERS}{}/set_password_hash/", root.id.0);
    one.with_csrf().post_json(&set, &json!({"password": hash})).await.assert_status(204);
    one.get(SESSIONS).await.assert_status(200);
    two.get(SESSIONS).await.assert_status(403);
    // Another administrator ends them all.
    let other = app.admin_token().await;
    other.post_json(&set, &json!({"password": hash})).await.assert_status(204);
    one.get(SESSIONS).await.assert_status(403);
});

db_test!(an_app_password_has_a_key_that_opens_something, |db| async move {
    let app = TestApp::new(db).await;
    let admin = app.admin_token().await;
    for (name, intent) in [("plain", "api"), ("backup", "app_password")] {
        admin.post_json(TOKENS, &json!({"identifier": name, "intent": intent})).await.assert_status(201);
    }
    let answer = admin.send_json("PATCH", &format!("{TOKENS}plain/"), &json!({"intent": "app_password"})).await;
    let why = "An API token does not become an app password, whose key begins with rcp_: make a new token.";
    assert_eq!((answer.status, answer.json()), (400, json!({"intent": [why]})));
    let set = format!("{TOKENS}backup/set_key/");
    let answer = admin.post_json(&set, &json!({"key": "a-good-key-of-a-token"})).await;
    assert_eq!((answer.status, answer.json()), (400, json!({"key": ["The key of an app password begins with rcp_."]})));
    admin.post_json(&set, &json!({"key": "rcp_a-good-key-of-a-token"})).await.assert_status(204);
    admin.send_json("PATCH", &format!("{TOKENS}backup/"), &json!({"intent": "app_password"})).await.assert_status(200);
    admin.post_json(&format!("{TOKENS}plain/set_key/"), &json!({"key": "a-good-key-of-a-token"})).await.assert_status(204);
});
