//! `events/events/`: what happened, in authentik's words.

use std::time::Duration;

use rollcall::actions::by::By;
use rollcall::actions::sessions::retention;
use rollcall::api::events::actions::EventActions;
use serde_json::{Value, json};

use super::schema::{assert_described, assert_fields};
use crate::support::app::{PASSWORD, sign_in_as};
use crate::support::{Caller, SESSIONS, TestApp};

const EVENTS: &str = "/api/v3/events/events/";
const HOUR: Duration = Duration::from_secs(3600);

/// Alice signs in, fails, signs out; the administrator ends a session of hers and deactivates her.
async fn populated(app: &TestApp) -> Caller {
    let alice = app.user_with_password("alice").await;
    let root = app.superuser("root").await;
    let admin = root.token().await;
    app.advance(HOUR);
    alice.sign_in().await;
    sign_in_as(&app.anonymous(), "alice", "wrong", false).await;
    sign_in_as(&app.anonymous(), "nobody at all", "wrong", false).await;
    app.advance(HOUR);
    let browser = alice.session().await;
    admin.delete(&browser.url()).await.assert_status(204);
    app.advance(HOUR * 7);
    let row = rollcall::actions::people::users::find(&app.app, By::Cli, "alice").await.unwrap();
    rollcall::actions::people::users::set_active(&app.app, By::Cli, &row, false).await.unwrap();
    admin
}

async fn found(admin: &Caller, query: &str) -> Vec<Value> {
    let answer = admin.get(&format!("{EVENTS}?page_size=100&{query}")).await.assert_status(200);
    let rows = answer.json()["results"].as_array().unwrap().clone();
    assert_eq!(answer.count(), rows.len() as i64, "{query}");
    rows
}

async fn actions(admin: &Caller, query: &str) -> Vec<String> {
    found(admin, query).await.iter().map(|event| event["action"].as_str().unwrap().to_owned()).collect()
}

fn of<'a>(events: &'a [Value], action: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["action"] == action).collect()
}

db_test!(events_are_in_authentiks_words, |db| async move {
    let app = TestApp::new(db).await;
    let admin = populated(&app).await;
    let answer = admin.get(&format!("{EVENTS}?page_size=100")).await.assert_status(200);
    assert_described(EVENTS, "get", &answer);
    assert_fields("PaginatedEventList", &answer.json());
    let events = found(&admin, "").await;
    for event in &events {
        assert_fields("Event", event);
        assert!(event["context"].is_object() && event["brand"]["name"] == "Default", "{event}");
    }
    let (alice, root) = (app.known("alice").await.id.0, app.known("root").await.id.0);
    let login = of(&events, "login");
    assert_eq!(login[0]["user"], json!({"pk": alice, "username": "alice", "email": ""}));
    assert_eq!(login[0]["context"]["auth_method"], "password");
    assert_eq!((&login[1]["client_ip"], &login[1]["app"]), (&json!("127.0.0.1"), &json!("authentik.core.auth")));
    assert_eq!(login[1]["expires"], "2027-11-01T13:00:00Z", "a year later");
    let failed = of(&events, "login_failed");
    assert_eq!(failed.len(), 2);
    assert_eq!(failed[0]["context"]["username"], "", "a name that nobody has is not kept");
    assert_eq!(failed[1]["context"]["username"], "alice");
    assert_eq!(failed[1]["user"], json!({}));
    let deleted = of(&events, "model_deleted");
    let deleted: Vec<_> = deleted.into_iter().filter(|event| event["user"]["pk"] == root).collect();
    let model = &deleted[0]["context"]["model"];
    assert_eq!((&model["app"], &model["model_name"]), (&json!("authentik_core"), &json!("authenticatedsession")));
    assert_eq!(model["pk"].as_str().unwrap().len(), 32, "without dashes: {model}");
    assert!(deleted[0]["context"]["http_request"]["request_id"].as_str().unwrap().len() > 8);
    let updated = of(&events, "model_updated");
    assert_eq!(
        updated[0]["context"]["model"],
        json!({"pk": alice, "app": "authentik_core", "name": "alice", "model_name": "user"})
    );
    assert_eq!((&updated[0]["user"], &updated[0]["client_ip"]), (&json!({}), &Value::Null), "by the command line");
    // Users and tokens were added.
    assert!(of(&events, "model_created").len() >= 3);
    let text = answer.text();
    assert!(!text.contains(PASSWORD) && !text.contains("wrong"), "nothing secret: {text}");
});

db_test!(one_event_is_shown, |db| async move {
    let app = TestApp::new(db).await;
    let admin = populated(&app).await;
    let first = found(&admin, "").await.remove(0);
    let path = format!("{EVENTS}{}/", first["pk"].as_str().unwrap());
    let answer = admin.get(&path).await.assert_status(200);
    assert_described(&format!("{EVENTS}{{event_uuid}}/"), "get", &answer);
    assert_eq!(answer.json(), first);
    admin.get(&format!("{EVENTS}x/")).await.assert_detail(404, "Not found.");
    admin
        .get(&format!("{EVENTS}00000000-0000-4000-8000-00000000dead/"))
        .await
        .assert_detail(404, "No Event matches the given query.");
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        admin.request(method, &path).await.assert_status(405);
        admin.request(method, EVENTS).await.assert_status(405);
    }
    let bob = app.user("bob").await.token().await;
    for path in [EVENTS.to_owned(), path, format!("{EVENTS}volume/"), format!("{EVENTS}top_per_user/"), format!("{EVENTS}stats/")] {
        bob.get(&path).await.assert_detail(403, "You do not have permission to perform this action.");
        app.anonymous().get(&path).await.assert_detail(403, "Authentication credentials were not provided.");
    }
});

db_test!(events_are_filtered, |db| async move {
    let app = TestApp::new(db).await;
    let admin = populated(&app).await;
    let (alice, all) = (app.known("alice").await.id.0, found(&admin, "").await);
    let count = |is: &dyn Fn(&Value) -> bool| all.iter().filter(|event| is(event)).count();
    let is_model = |event: &Value| event["action"].as_str().unwrap().starts_with("model_");
    assert_eq!(actions(&admin, "action=MODEL").await.len(), count(&is_model));
    assert_eq!(actions(&admin, "action=login").await.len(), 4, "login and login_failed");
    assert_eq!(actions(&admin, "actions=login").await, ["login", "login"]);
    assert_eq!(
        actions(&admin, "actions=login&actions=model_deleted&ordering=created").await,
        ["login", "login", "model_deleted", "model_deleted"]
    );
    assert_eq!(actions(&admin, "actions=impersonation_started").await, [""; 0]);
    assert_eq!(actions(&admin, "actions=custom_").await.len(), count(&|event| event["action"] == "custom_"));
    assert_eq!(actions(&admin, "action=model&actions=login").await, [""; 0], "all filters apply");
    assert_eq!(actions(&admin, "username=alice").await, ["login", "login_failed", "login"]);
    assert_eq!(actions(&admin, "username=alice&actions=login_failed").await, ["login_failed"]);
    assert_eq!(actions(&admin, "username=ALICE").await, [""; 0]);
    assert_eq!(actions(&admin, "username=cli").await, [""; 0], "no user of that name did anything");
    assert_eq!(actions(&admin, "username=root").await, ["model_deleted"]);
    assert_eq!(found(&admin, "client_ip=127.0.0.1").await.len(), count(&|event| event["client_ip"] == "127.0.0.1"));
    assert_eq!(actions(&admin, "client_ip=127.0.0.1&action=login").await.len(), 3);
    for nothing in ["client_ip=203.0.113.9", "client_ip=word", "context_device=1", "brand_name=other", "context_authorized_app=x"] {
        assert_eq!(found(&admin, nothing).await.len(), 0, "{nothing}");
    }
    assert_eq!(found(&admin, "brand_name=Default").await.len(), all.len());
    let session = of(&all, "model_deleted")[0]["context"]["model"]["pk"].as_str().unwrap().to_owned();
    let dashed = rollcall::domain::SessionId::parse(&session).unwrap().to_string();
    for pk in [&session, &dashed] {
        assert_eq!(actions(&admin, &format!("context_model_pk={pk}")).await, ["model_deleted"]);
    }
    assert_eq!(actions(&admin, &format!("context_model_pk={alice}")).await, ["model_updated", "model_created"]);
    let token = all.iter().find(|event| event["context"]["model"]["model_name"] == "token").unwrap();
    let of_token = found(&admin, &format!("context_model_pk={}", token["context"]["model"]["pk"].as_str().unwrap())).await;
    assert_eq!(of_token, [token.clone()]);
    for nothing in ["context_model_pk=999", "context_model_pk=word", "context_model_pk=00000000-0000-4000-8000-00000000dead"] {
        assert_eq!(found(&admin, nothing).await.len(), 0, "{nothing}");
    }
    assert_eq!(actions(&admin, "context_model_name=authenticatedsession").await, ["model_deleted"; 2]);
    assert_eq!(found(&admin, "context_model_app=authentik_core").await.len(), count(&is_model));
    for (query, want) in [
        ("created__gte=2026-11-01T21:00:00Z", 2),
        ("created__gt=2026-11-01T21:00:00Z", 0),
        ("created__lt=2026-11-01T13:00:00Z", all.iter().filter(|event| event["created"] == "2026-11-01T12:00:00Z").count()),
        ("created__gte=2026-11-01T13:00:00Z&created__lte=2026-11-01T13:00:00Z", 3),
        ("created__gte=2026-11-01T13:00:00Z&created__lte=2026-11-01T13:00:00Z&action=login_failed", 2),
        ("created__gte=2026-11-02", 0),
        ("created__lte=2026-11-01", 0),
        ("created__gte=2026-11-01T14:30:00%2B01:00&actions=login", 1),
    ] {
        assert_eq!(found(&admin, query).await.len(), want, "{query}");
    }
});

db_test!(wrong_filters_of_events_are_named, |db| async move {
    let app = TestApp::with(db, &[("API__STRICT_QUERY", "true")]).await;
    let admin = populated(&app).await;
    for (query, want) in [
        ("created__gte=yesterday", json!({"created__gte": ["Enter a valid date/time."]})),
        ("actions=nope", json!({"actions": ["Select a valid choice. nope is not one of the available choices."]})),
        ("actions=login&actions=Login", json!({"actions": ["Select a valid choice. Login is not one of the available choices."]})),
        ("since=1", json!({"since": ["Unknown parameter."]})),
        ("username=%00", json!({"username": ["Null characters are not allowed."]})),
    ] {
        assert_eq!(admin.get(&format!("{EVENTS}?{query}")).await.assert_status(400).json(), want, "{query}");
    }
    assert_eq!(
        admin.get(&format!("{EVENTS}?search=%00")).await.assert_status(400).json(),
        json!(["Null characters are not allowed."])
    );
    for bad in ["page=0", "page=99", "page=x"] {
        admin.get(&format!("{EVENTS}?{bad}")).await.assert_detail(404, "Invalid page.");
    }
    for odd in ["action=%25", "username='%20OR%201=1", "client_ip=1.2.3.4%20", "search=%22", "ordering=--created,x", "actions="] {
        admin.get(&format!("{EVENTS}?{odd}")).await.assert_status(200);
    }
});

db_test!(events_are_searched_and_ordered, |db| async move {
    let app = TestApp::new(db).await;
    let admin = populated(&app).await;
    let all = found(&admin, "").await;
    let created: Vec<&str> = all.iter().map(|event| event["created"].as_str().unwrap()).collect();
    assert!(created.is_sorted_by(|one, other| one >= other), "{created:?}");
    for (field, order) in [
        ("created", "created"),
        ("pk", "pk"),
        ("action", "action"),
        ("client_ip", "client_ip"),
        ("app", "app"),
        ("expires", "expires"),
    ] {
        let key = |event: &Value| event[field].as_str().unwrap_or_default().to_owned();
        let up: Vec<String> = found(&admin, &format!("ordering={order}")).await.iter().map(key).collect();
        assert!(up.is_sorted(), "{order}: {up:?}");
        let down: Vec<String> = found(&admin, &format!("ordering=-{order}")).await.iter().map(key).collect();
        assert!(down.is_sorted_by(|one, other| one >= other), "-{order}: {down:?}");
        assert_eq!((up.len(), down.len()), (all.len(), all.len()), "{order}");
    }
    // Each page once, in any order and with any filter.
    for query in ["ordering=-created", "ordering=action", "action=login", "username=alice", "ordering=nonsense", "search=alice"] {
        let whole = found(&admin, query).await;
        let mut walked = Vec::new();
        for page in 1..=whole.len() {
            let answer = admin.get(&format!("{EVENTS}?page_size=1&page={page}&{query}")).await.assert_status(200).json();
            walked.extend(answer["results"].as_array().unwrap().clone());
        }
        assert_eq!(walked, whole, "{query}");
    }
    let has = |event: &Value, text: &str| event.to_string().to_lowercase().contains(text);
    let named = found(&admin, "search=ALICE").await;
    assert!(named.len() > 3 && named.iter().all(|event| has(event, "alice")), "{named:?}");
    assert_eq!(actions(&admin, "search=login_failed,alice").await, ["login_failed"]);
    assert_eq!(actions(&admin, "search=127.0.0.1&actions=login").await, ["login"]);
    let pk = all[0]["pk"].as_str().unwrap();
    assert_eq!(found(&admin, &format!("search={pk}")).await, [all[0].clone()]);
    assert_eq!(found(&admin, "search=authenticatedsession%20root").await.len(), 1);
    assert_eq!(found(&admin, "search=nowhere").await.len(), 0);
});

db_test!(counts_of_events_follow_what_is_added_and_forgotten, |db| async move {
    let app = TestApp::new(db).await;
    let admin = app.admin_token().await;
    let count = async |query: &str| admin.get(&format!("{EVENTS}?{query}")).await.assert_status(200).count();
    let alice = app.user("alice").await;
    let before = count("").await;
    for n in 1..=3 {
        alice.session().await;
        assert_eq!(count("actions=login").await, n);
        assert_eq!(count("").await, before + n);
    }
    // Very many at once, as an end of many writes them; and one that another process wrote.
    let uuid = if app.db.is_sqlite() { "randomblob(16)" } else { "gen_random_uuid()" };
    let many = if app.db.is_sqlite() {
        "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 7000)"
    } else {
        "WITH n AS (SELECT generate_series(1, 7000) AS n)"
    };
    let at = app.app.clock.now().0;
    app.db
        .run(&format!(
            "{many} INSERT INTO events (uuid, at, kind, actor, username, ip, request_id, content) \
             SELECT {uuid}, {at}, 'keys_turned', 'system', '', '', '', '{{\"turn\": 1}}' FROM n"
        ))
        .await;
    assert_eq!(count("").await, before + 7003);
    assert_eq!(count("actions=custom_").await, 7000, "a kind that this version does not know");
    assert_eq!(admin.get(&format!("{EVENTS}?search=turned&page=700&page_size=10")).await.assert_status(200).count(), 7000);
});

db_test!(what_is_old_is_forgotten, |db| async move {
    let app = TestApp::new(db).await;
    let admin = populated(&app).await;
    let all = found(&admin, "").await.len();
    assert_eq!(retention::purge_events(&app.app, By::System).await.unwrap(), 0);
    // All but the last two hours' events are older than a year then.
    app.advance(Duration::from_secs(365 * 86_400) - HOUR * 8 + Duration::from_micros(1));
    let gone = retention::purge_events(&app.app, By::System).await.unwrap();
    assert!(gone > 3);
    assert_eq!(found(&admin, "").await.len() as u64 + gone, all as u64);
    assert_eq!(actions(&admin, "actions=login").await, ["login"]);
    app.advance(Duration::from_secs(86_400));
    retention::purge_events(&app.app, By::System).await.unwrap();
    assert_eq!(admin.get(EVENTS).await.count(), 0);
    assert_eq!(app.number("SELECT count(*) FROM events").await, 0);
});

db_test!(events_may_be_kept_for_ever, |db| async move {
    let app = TestApp::with(db, &[("HISTORY__EVENT_RETENTION", "0")]).await;
    let admin = populated(&app).await;
    app.advance(Duration::from_secs(20 * 365 * 86_400));
    assert_eq!(retention::purge_events(&app.app, By::System).await.unwrap(), 0);
    assert_eq!(found(&admin, "").await[0]["expires"], "9999-12-31T23:59:59.999999Z");
});

db_test!(events_are_counted, |db| async move {
    let app = TestApp::new(db).await;
    let admin = populated(&app).await;
    let bob = app.user("bob").await.token().await;
    let answer = bob.get(&format!("{EVENTS}actions/")).await.assert_status(200);
    assert_described(&format!("{EVENTS}actions/"), "get", &answer);
    assert_eq!(answer.json().as_array().unwrap().len(), EventActions::ALL.len());
    assert_eq!(answer.json()[1], json!({"name": "Login Failed", "description": "", "component": "login_failed", "model_name": ""}));
    let volume = format!("{EVENTS}volume/");
    let answer = admin.get(&format!("{volume}?action=login")).await.assert_status(200);
    assert_described(&volume, "get", &answer);
    let spans = json!([
        {"action": "login", "time": "2026-11-01T12:00:00Z", "count": 2},
        {"action": "login_failed", "time": "2026-11-01T12:00:00Z", "count": 2},
    ]);
    assert_eq!(answer.json(), spans);
    let sum = async |query: &str| {
        let spans = admin.get(&format!("{volume}?{query}")).await.assert_status(200).json();
        spans.as_array().unwrap().iter().map(|span| span["count"].as_i64().unwrap()).sum::<i64>()
    };
    assert_eq!(sum("").await as usize, found(&admin, "").await.len());
    assert_eq!(
        sum("history_days=0").await as usize,
        found(&admin, "created__gte=2026-11-01T21:00:00Z").await.len(),
        "this instant's"
    );
    assert_eq!(
        admin.get(&format!("{volume}?history_days=x")).await.assert_status(400).json(),
        json!({"history_days": ["A valid integer is required."]})
    );
    let top = format!("{EVENTS}top_per_user/");
    assert_eq!(admin.get(&top).await.assert_status(200).json(), json!([]));
    assert_eq!(
        admin.get(&format!("{top}?top_n=x")).await.assert_status(400).json(),
        json!({"top_n": ["A valid integer is required."]})
    );
    let at = app.app.clock.now().0;
    let uuid = if app.db.is_sqlite() { "randomblob(16)" } else { "gen_random_uuid()" };
    for slug in ["wiki", "wiki", "mail"] {
        app.db
            .run(&format!(
                "INSERT INTO events (uuid, at, kind, application, actor_uuid, actor, username, ip, request_id, content) VALUES \
                 ({uuid}, {at}, 'application_opened', '{slug}', {uuid}, 'alice', '', '', '', '{{}}')"
            ))
            .await;
    }
    assert_eq!(admin.get(&top).await.json(), json!([]), "no sign-in is about an application");
    let answer = admin.get(&format!("{top}?action=authorize_application")).await.assert_status(200);
    assert_described(&top, "get", &answer);
    let said = |row: &Value| format!("{} {} {}", row["application"]["name"], row["counted_events"], row["unique_users"]);
    assert_eq!(answer.json().as_array().unwrap().iter().map(said).collect::<Vec<_>>(), ["\"wiki\" 2 2", "\"mail\" 1 1"]);
    let stats = format!("{EVENTS}stats/");
    assert_eq!(admin.get(&stats).await.assert_status(400).json(), json!({"count_steps": ["This field is required."]}));
    let wrong = admin.get(&format!("{stats}?count_steps=1d")).await.assert_status(400);
    assert_eq!(wrong.json(), json!({"count_steps": ["1d is not in the correct format of 'hours=3;minutes=1'."]}));
    let answer = admin.get(&format!("{stats}?count_steps=hours%3D7&count_steps=days%3D1&action=login")).await.assert_status(200);
    assert_described(&stats, "get", &answer);
    assert_eq!(answer.json(), json!({"unique_users": 1, "count_step": {"hours=7": 1, "days=1": 4}}));
});

db_test!(each_end_of_an_end_of_many_is_an_event, |db| async move {
    let app = TestApp::new(db).await;
    let admin = app.admin_token().await;
    let alice = app.user("alice").await;
    for _ in 0..3 {
        alice.session().await;
    }
    admin.post_json(&format!("{SESSIONS}revoke/"), &json!({"user": alice.id.0, "expected_count": 3})).await.assert_status(200);
    assert_eq!(actions(&admin, "actions=model_deleted").await.len(), 3);
    let many = found(&admin, "search=sessions_ended").await;
    assert_eq!((&many[0]["context"]["kind"], &many[0]["context"]["count"]), (&json!("sessions_ended"), &json!(3)));
});
