//! What events of the API name: the objects that they are about, by which they are found and counted.

use rollcall::api::events::actions;
use rollcall::domain::caller::Actor;
use rollcall::domain::event::{EventContent, EventKind};
use rollcall::domain::{SessionId, Timestamp};
use rollcall::store::StoreError;
use rollcall::store::events::rows::NewEvent;
use serde_json::{Value, json};

use crate::support::{Caller, TestApp};

const EVENTS: &str = "/api/v3/events/events/";
const GROUPS: &str = "/api/v3/core/groups/";
const APPLICATIONS: &str = "/api/v3/core/applications/";

async fn found(admin: &Caller, query: &str) -> Vec<Value> {
    let answer = admin.get(&format!("{EVENTS}?page_size=100&{query}")).await.assert_status(200);
    answer.json()["results"].as_array().unwrap().clone()
}

/// The actions, and the primary keys and names of their objects.
async fn objects(admin: &Caller, query: &str) -> Vec<[String; 3]> {
    let events = found(admin, query).await;
    let of = |event: &Value| {
        let model = &event["context"]["model"];
        [&event["action"], &model["pk"], &model["name"]].map(|value| value.as_str().unwrap_or_default().to_owned())
    };
    events.iter().map(of).collect()
}

async fn write(app: &TestApp, events: Vec<NewEvent>) {
    let written: Result<_, StoreError> =
        app.app.store.write(move |db| Box::pin(async move { db.insert_events(&events).await })).await;
    written.unwrap();
}

/// The uuid that names an object in events, without dashes.
fn undashed(answer: &Value) -> String {
    answer["pk"].as_str().unwrap().replace('-', "")
}

db_test!(every_event_about_an_object_names_it, |db| async move {
    let app = TestApp::new(db).await;
    let admin = app.admin_token().await;
    let alice = app.user("alice").await.id;
    let group = undashed(&admin.post_json(GROUPS, &json!({"name": "ops"})).await.assert_status(201).json());
    let now = app.app.clock.now();
    let kinds: Vec<EventKind> = EventKind::ALL.iter().copied().filter(|kind| actions::model(kind.as_str()).is_some()).collect();
    assert!(kinds.len() > 15);
    let content = json!({
        "group_uuid": group, "token": "ci", "token_uuid": "1".repeat(32), "application": "wiki", "application_uuid": "2".repeat(32),
    });
    let about = |kind: &EventKind, n: usize| {
        let mut content = content.clone();
        if *kind != EventKind::PolicySet {
            content["group"] = json!("ops");
        }
        let at = Timestamp(now.0 + 1 + i64::try_from(n).unwrap());
        let event = EventContent::read(kind.as_str(), &content.to_string()).by(&Actor::cli(), at);
        event.about(alice, "alice").of_session(SessionId(uuid::Uuid::from_u128(7)))
    };
    let events: Vec<NewEvent> = kinds.iter().enumerate().map(|(n, kind)| about(kind, n)).collect();
    write(&app, events).await;
    let events = found(&admin, &format!("ordering=created&created__gt={now}")).await;
    assert_eq!(events.len(), kinds.len());
    for (kind, event) in kinds.iter().zip(&events) {
        let object = event["context"].get("secret").unwrap_or(&event["context"]["model"]);
        let pk = object["pk"].as_str().map_or_else(|| object["pk"].to_string(), str::to_owned);
        assert!(!["", "0", "null"].contains(&pk.as_str()) && !pk.contains('-'), "{kind:?}: {event}");
        assert!(object["name"].as_str().is_some_and(|name| !name.is_empty()), "{kind:?}: {event}");
        let model = actions::model(kind.as_str()).unwrap();
        assert_eq!((&object["app"], &object["model_name"]), (&json!(model.app), &json!(model.name)));
        // As in authentik, the filters of objects look at `model` and not at `secret`.
        let by_pk = found(&admin, &format!("context_model_pk={pk}&context_model_name={}", model.name)).await;
        assert_eq!(by_pk.contains(event), *kind != EventKind::TokenKeyShown, "{kind:?}: {by_pk:?}");
    }
    // The policy of a group, which events name.
    let set = EventContent::read("policy_set", r#"{"group": "ops", "policy": {}}"#).by(&Actor::cli(), now);
    write(&app, vec![set]).await;
    let policies = objects(&admin, "context_model_name=userloginstage&search=ops").await;
    assert_eq!(policies, [["model_updated", &group, "ops"]]);
});

db_test!(groups_and_applications_are_found_by_name_and_key, |db| async move {
    let app = TestApp::new(db).await;
    let admin = app.admin_token().await;
    let made = admin.post_json(GROUPS, &json!({"name": "ops"})).await.assert_status(201).json();
    let (dashed, group) = (made["pk"].as_str().unwrap(), undashed(&made));
    let item = format!("{GROUPS}{dashed}/");
    admin.send_json("PATCH", &item, &json!({"name": "operators"})).await.assert_status(200);
    admin.delete(&item).await.assert_status(204);
    let events = [["model_deleted", &group, "operators"], ["model_updated", &group, "operators"], ["model_created", &group, "ops"]];
    let of_group = format!("context_model_pk={dashed}");
    for query in ["context_model_name=group", of_group.as_str(), "search=authentik_core,group,op"] {
        assert_eq!(objects(&admin, query).await, events, "{query}");
    }
    assert_eq!(objects(&admin, "search=operators&action=model_deleted").await, [events[0]]);
    let made = admin.post_json(APPLICATIONS, &json!({"name": "The wiki", "slug": "wiki"})).await.assert_status(201).json();
    let application = undashed(&made);
    let of_application = format!("context_model_pk={application}");
    for query in ["context_model_name=application", of_application.as_str()] {
        assert_eq!(objects(&admin, query).await, [["model_created", &application, "wiki"]], "{query}");
    }
    let opened = EventContent::read("application_opened", r#"{"application": "wiki", "host": "wiki.example.com"}"#);
    write(&app, vec![opened.by(&Actor::cli(), app.app.clock.now())]).await;
    let named = json!({"pk": application, "app": "authentik_core", "name": "wiki", "model_name": "application"});
    let opened =
        async || found(&admin, "action=authorize_application").await.remove(0)["context"]["authorized_application"].clone();
    assert_eq!(opened().await, named);
    let top = async || admin.get(&format!("{EVENTS}top_per_user/?action=authorize_application")).await.assert_status(200).json();
    assert_eq!(top().await[0]["application"], named);
    // An application of that slug which is made later is another one.
    admin.delete(&format!("{APPLICATIONS}wiki/")).await.assert_status(204);
    app.advance(std::time::Duration::from_secs(1));
    admin.post_json(APPLICATIONS, &json!({"name": "Another wiki", "slug": "wiki"})).await.assert_status(201);
    assert_eq!(opened().await["pk"], "");
});

db_test!(a_search_narrows_what_is_counted, |db| async move {
    let app = TestApp::with(db, &[("API__STRICT_QUERY", "true")]).await;
    let admin = app.admin_token().await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    for user in [&alice, &alice, &bob] {
        user.session().await;
    }
    let counted = async |query: &str| {
        let spans = admin.get(&format!("{EVENTS}volume/?{query}")).await.assert_status(200).json();
        spans.as_array().unwrap().iter().map(|span| span["count"].as_i64().unwrap()).sum::<i64>()
    };
    assert_eq!(counted("search=zzz").await, 0);
    assert_eq!(counted("search=ALICE").await as usize, found(&admin, "search=ALICE").await.len());
    assert_eq!(counted("search=alice&actions=login").await, 2);
    assert_eq!(
        admin.get(&format!("{EVENTS}volume/?search=bob&actions=login")).await.json(),
        json!([{"action": "login", "time": "2026-11-01T12:00:00Z", "count": 1}]),
        "the spans are those of a count without a search"
    );
    let stats = async |search: &str| {
        admin.get(&format!("{EVENTS}stats/?count_steps=days%3D1&actions=login&search={search}")).await.assert_status(200).json()
    };
    assert_eq!(stats("zzz").await, json!({"unique_users": 0, "count_step": {"days=1": 0}}));
    assert_eq!(stats("alice").await, json!({"unique_users": 1, "count_step": {"days=1": 2}}));
    let opened = |slug: &str, user: &str, id| {
        let content = EventContent::read("application_opened", &json!({"application": slug}).to_string());
        content.by(&Actor::default().as_user(id, user), app.app.clock.now())
    };
    let opened = vec![
        opened("wiki", "alice", alice.id),
        opened("wiki", "bob", bob.id),
        opened("wiki", "bob", bob.id),
        opened("chess", "bob", bob.id),
    ];
    write(&app, opened).await;
    let top = async |search: &str| {
        let path = format!("{EVENTS}top_per_user/?action=authorize_application&search={search}");
        let rows = admin.get(&path).await.assert_status(200).json();
        let said = |row: &Value| format!("{} {} {}", row["application"]["name"], row["counted_events"], row["unique_users"]);
        rows.as_array().unwrap().iter().map(said).collect::<Vec<_>>()
    };
    assert_eq!(top("authorized").await, ["\"wiki\" 3 2", "\"chess\" 1 1"]);
    assert_eq!(top("chess").await, ["\"chess\" 1 1"]);
    assert_eq!(top("zzz").await, [""; 0]);
});
