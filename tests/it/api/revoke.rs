//! Ending all sessions that match a filter.

use rollcall::domain::Permission;
use serde_json::{Value, json};

use crate::support::{Answer, Caller, SESSIONS, TestApp, seed};

const FORBIDDEN: &str = "You do not have permission to perform this action.";

async fn revoke(caller: &Caller, body: Value) -> Answer {
    caller.post_json(&format!("{SESSIONS}revoke/"), &body).await
}

/// Users 1 to 5 with as many sessions as their number, on two browsers, and somebody who may end all.
async fn populated(app: &TestApp) -> Caller {
    let mut lines: Vec<Value> = (1..=5).map(|id| seed::user(id, &format!("user {id}"))).collect();
    for (n, user) in (0..).zip((1..=5).flat_map(|id| vec![id; usize::try_from(id).unwrap()])) {
        let agent = if n % 3 == 0 { "Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0" } else { "curl/8" };
        let used = if n < 5 { "2026-01-01T00:00:00Z" } else { "2026-10-01T00:00:00Z" };
        let with = json!({"last_user_agent": agent, "last_ip": format!("10.0.{user}.{n}"), "last_used": used});
        lines.push(seed::session(n, user, with));
    }
    app.import(&lines).await;
    app.admin_token().await
}

db_test!(the_list_with_the_same_filters_is_its_preview, |db| async move {
    let app = TestApp::new(db).await;
    let admin = populated(&app).await;
    let mut left = 15;
    for (query, body, want) in [
        ("user=5&browser=Firefox", json!({"user": 5, "browser": "Firefox"}), 1),
        ("search=curl%20%22user%204%22", json!({"search": "curl \"user 4\""}), 2),
        ("last_used__lte=2026-02-01", json!({"last_used__lte": "2026-02-01"}), 5),
        ("network=10.0.5.0/24", json!({"network": "10.0.5.0/24", "user": null, "os": ""}), 4),
        (
            "user__username=user%204&session__last_ip=10.0.4.9",
            json!({"user__username": "user 4", "session__last_ip": "10.0.4.9"}),
            1,
        ),
        ("user=77", json!({"user": "77"}), 0),
    ] {
        assert_eq!(admin.get(&format!("{SESSIONS}?{query}")).await.count(), want, "{query}");
        let mut body = body;
        body["expected_count"] = json!(want);
        assert_eq!(revoke(&admin, body).await.assert_status(200).json(), json!({ "ended": want }), "{query}");
        assert_eq!(admin.get(&format!("{SESSIONS}?{query}")).await.count(), 0, "{query}");
        left -= want;
        assert_eq!(admin.get(SESSIONS).await.count(), left);
    }
    let all = json!({"everyone": true, "expected_count": left, "reason": "  the laptop on the train  "});
    assert_eq!(revoke(&admin, all).await.json(), json!({ "ended": left }));
    assert_eq!(app.count_events("session_revoked").await, 15);
    assert_eq!(app.number("SELECT count(*) FROM ended_sessions WHERE comment = 'the laptop on the train'").await, left);
    assert_eq!(
        app.number("SELECT count(*) FROM events WHERE kind = 'session_revoked' AND content LIKE '%the laptop on the train%'").await,
        left,
        "an event says why"
    );
    app.assert_counts().await;
});

db_test!(another_number_than_expected_ends_nothing, |db| async move {
    let app = TestApp::new(db).await;
    let admin = populated(&app).await;
    for expected in [4, 6, 0, 1_000_000] {
        let answer = revoke(&admin, json!({"user": 5, "expected_count": expected})).await.assert_status(409);
        assert_eq!(answer.json()["count"], 5);
        assert!(answer.json()["detail"].as_str().unwrap().contains("Nothing was ended"));
    }
    assert_eq!(admin.get(SESSIONS).await.count(), 15);
    revoke(&admin, json!({"user": 5, "expected_count": 5})).await.assert_status(200);
});

db_test!(what_is_not_understood_ends_nothing, |db| async move {
    let app = TestApp::new(db).await;
    let admin = populated(&app).await;
    let unknown = "Unknown parameter.";
    let required = "This field is required.";
    let everyone = "Give a filter, or set this to true to end everyone's sessions.";
    for (body, want) in [
        (json!({}), json!({"expected_count": [required]})),
        (json!({"user": 5}), json!({"expected_count": [required]})),
        (json!({"expected_count": 15}), json!({"everyone": [everyone]})),
        (json!({"expected_count": 15, "everyone": false}), json!({"everyone": [everyone]})),
        (json!({"expected_count": 15, "user": "", "search": " , "}), json!({"everyone": [everyone]})),
        (json!({"expected_count": 15, "usr": 5, "page": 1}), json!({"usr": [unknown], "page": [unknown]})),
        (
            json!({"expected_count": 15, "ordering": "user", "page_size": 1, "format": "json"}),
            json!({"ordering": [unknown], "page_size": [unknown], "format": [unknown]}),
        ),
        (
            json!({"expected_count": 5, "user": 5, "everyone": true}),
            json!({"everyone": ["There is a filter, so not everyone's sessions are meant."]}),
        ),
        (
            json!({"expected_count": 5, "user": 5, "except_current": true}),
            json!({"except_current": ["This request came with no session."]}),
        ),
        (
            json!({"expected_count": "5", "user": true, "asn": "x", "everyone": "yes"}),
            json!({
                "expected_count": ["A whole number, 0 or more, is required."], "user": ["Not a valid string."],
                "everyone": ["Must be a valid boolean."], "asn": ["Enter a whole number."],
            }),
        ),
        (json!({"expected_count": -1, "user": 5}), json!({"expected_count": ["A whole number, 0 or more, is required."]})),
        (json!({"expected_count": null, "user": 5}), json!({"expected_count": ["A whole number, 0 or more, is required."]})),
        (
            json!({"expected_count": 5, "user": 5, "reason": "a\nb"}),
            json!({"reason": ["A text of at most 500 characters, without control characters."]}),
        ),
        (
            json!({"expected_count": 5, "user": 5, "reason": "x".repeat(501)}),
            json!({"reason": ["A text of at most 500 characters, without control characters."]}),
        ),
        (json!({"expected_count": 5, "search": "\0"}), json!(["Null characters are not allowed."])),
        (json!([1]), json!({"non_field_errors": ["Invalid data. Expected a dictionary, but got list."]})),
        (json!("x"), json!({"non_field_errors": ["Invalid data. Expected a dictionary, but got str."]})),
        (json!(1), json!({"non_field_errors": ["Invalid data. Expected a dictionary, but got int."]})),
        (json!(1.5), json!({"non_field_errors": ["Invalid data. Expected a dictionary, but got float."]})),
        (json!(true), json!({"non_field_errors": ["Invalid data. Expected a dictionary, but got bool."]})),
        (json!(null), json!({"non_field_errors": ["No data provided"]})),
    ] {
        assert_eq!(revoke(&admin, body.clone()).await.assert_status(400).json(), want, "{body}");
    }
    let url = format!("{SESSIONS}revoke/");
    let body = json!({"expected_count": 15, "everyone": true});
    let answer = admin.post_json(&format!("{url}?user=5"), &body).await.assert_status(400);
    assert_eq!(answer.json(), json!({"user": [unknown]}), "a filter in the address is not passed over");
    let broken = admin.post_bytes(&url, "{\"user\": 5").await.assert_status(400);
    assert!(broken.json()["detail"].as_str().unwrap().starts_with("JSON parse error - "));
    let empty = admin.post_bytes(&url, "").await.assert_status(400);
    assert_eq!(empty.json(), json!({"expected_count": [required]}), "no body is an empty object");
    admin.post_form(&url, &[("user", "5"), ("expected_count", "5")]).await.assert_status(415);
    admin.post_bytes(&url, vec![b' '; 70_000]).await.assert_status(413);
    assert_eq!(admin.get(SESSIONS).await.count(), 15);
});

db_test!(everyone_ends_what_they_may_end, |db| async move {
    let app = TestApp::new(db).await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let viewer = app.user_who_may("viewer", &[Permission::ViewSessions]).await;
    let deleter = app.user_who_may("deleter", &[Permission::DeleteSessions]).await;
    let both = app.user_who_may("both", &[Permission::ViewSessions, Permission::DeleteSessions]).await;
    for user in [&alice, &bob, &viewer, &deleter, &both] {
        user.session().await;
    }
    let of = |user: &str, count: u64| json!({"user__username": user, "expected_count": count});
    let all = |count: u64| json!({"everyone": true, "expected_count": count});
    app.anonymous().post_json(&format!("{SESSIONS}revoke/"), &all(5)).await.assert_status(403);
    let token = alice.token().await;
    // Others' sessions match nothing for those who may not see them.
    for body in [of("bob", 1), json!({"user": bob.id, "expected_count": 1}), all(5)] {
        assert_eq!(revoke(&token, body.clone()).await.status, 409, "{body}");
    }
    revoke(&token, of("bob", 0)).await.assert_status(200);
    let viewer_token = viewer.token().await;
    for body in [of("bob", 1), all(5)] {
        revoke(&viewer_token, body).await.assert_detail(403, FORBIDDEN);
    }
    assert_eq!(revoke(&deleter.token().await, of("bob", 1)).await.status, 409);
    assert_eq!(app.number("SELECT count(*) FROM sessions").await, 5, "nothing ended so far");
    assert_eq!(revoke(&token, all(1)).await.json(), json!({"ended": 1}));
    assert_eq!(revoke(&viewer_token, of("viewer", 1)).await.json(), json!({"ended": 1}));
    assert_eq!(revoke(&deleter.token().await, all(1)).await.json(), json!({"ended": 1}));
    assert_eq!(revoke(&both.token().await, all(2)).await.json(), json!({"ended": 2}));
});

db_test!(a_cookie_needs_its_proof_and_may_be_kept, |db| async move {
    let app = TestApp::new(db).await;
    let root = app.superuser("root").await;
    let (browser, other) = (root.session().await, root.session().await);
    let body = json!({"everyone": true, "expected_count": 1, "except_current": true});
    revoke(&browser, body.clone()).await.assert_detail(403, "CSRF Failed: CSRF cookie not set.");
    other.get(SESSIONS).await.assert_status(200);
    assert_eq!(revoke(&browser.with_csrf(), body).await.json(), json!({"ended": 1}));
    other.get(SESSIONS).await.assert_status(403);
    browser.get(SESSIONS).await.assert_status(200);
    let with_itself = json!({"user__username": "root", "expected_count": 1});
    assert_eq!(revoke(&browser.with_csrf(), with_itself).await.json(), json!({"ended": 1}));
    browser.get(SESSIONS).await.assert_status(403);
});

db_test!(many_end_in_chunks, |db| async move {
    let app = TestApp::new(db).await;
    let mut lines = vec![seed::user(1, "alice")];
    lines.extend((0..2600).map(|n| seed::session(n, 1, json!({"last_user_agent": if n % 2 == 0 { "curl/8" } else { "" }}))));
    app.import(&lines).await;
    let admin = app.admin_token().await;
    // One in a hundred more or less is near enough.
    assert_eq!(revoke(&admin, json!({"search": "CURL", "expected_count": 1288})).await.json(), json!({"ended": 1300}));
    assert_eq!(revoke(&admin, json!({"everyone": true, "expected_count": 1312})).await.json(), json!({"ended": 1300}));
    app.move_pending().await;
    assert_eq!(app.count_events("session_revoked").await, 2600);
    app.assert_counts().await;
});

db_test!(a_chunk_that_fails_says_how_to_go_on, |db| async move {
    let app = TestApp::new(db).await;
    let mut lines = vec![seed::user(1, "alice")];
    lines.extend((0..900).map(|n| seed::session(n, 1, json!({}))));
    app.import(&lines).await;
    let admin = app.admin_token().await;
    // A database that refuses the 700th session, which is in the eighth chunk.
    let refused = seed::uuid(700);
    let digits = refused.replace('-', "");
    let (sqlite, postgres) = (format!("old.uuid = x'{digits}'"), format!("old.uuid = '{refused}'"));
    refuse(&app, "DELETE ON session_rows", &sqlite, &postgres).await;
    let answer = revoke(&admin, json!({"everyone": true, "expected_count": 900})).await.assert_status(503);
    let body = answer.json();
    assert_eq!((&body["ended"], &body["remaining"]), (&json!(700), &json!(200)), "{body}");
    assert!(body["detail"].as_str().unwrap().contains("expected_count 200"));
    assert_eq!(admin.get(SESSIONS).await.count(), 200);
    refuse_no_more(&app, "session_rows").await;
    let again = json!({"everyone": true, "expected_count": body["remaining"]});
    assert_eq!(revoke(&admin, again).await.json(), json!({"ended": 200}));
    app.assert_counts().await;
});

db_test!(a_chunk_of_very_many_that_fails_says_so_too, |db| async move {
    let app = TestApp::new(db).await;
    let mut lines = vec![seed::user(1, "alice")];
    lines.extend((0..2500).map(|n| seed::session(n, 1, json!({}))));
    app.import(&lines).await;
    let admin = app.admin_token().await;
    let refused = app.number("SELECT id FROM sessions ORDER BY id LIMIT 1 OFFSET 1500").await;
    let condition = format!("new.session_id = {refused}");
    refuse(&app, "INSERT ON pending_end_sessions", &condition, &condition).await;
    let answer = revoke(&admin, json!({"everyone": true, "expected_count": 2500})).await.assert_status(503);
    let body = answer.json();
    assert_eq!((&body["ended"], &body["remaining"]), (&json!(1000), &json!(1500)), "{body}");
    assert_eq!(admin.get(SESSIONS).await.count(), 1500);
    app.assert_counts().await;
    refuse_no_more(&app, "pending_end_sessions").await;
    assert_eq!(revoke(&admin, json!({"everyone": true, "expected_count": 1500})).await.json(), json!({"ended": 1500}));
    app.move_pending().await;
    assert_eq!(app.number("SELECT count(DISTINCT uuid) FROM ended_sessions").await, 2500);
    app.assert_counts().await;
});

/// Lets the database refuse what is done to rows for which the condition holds.
async fn refuse(app: &TestApp, what: &str, sqlite: &str, postgres: &str) {
    let make = if app.db.is_sqlite() {
        format!("CREATE TRIGGER refuse BEFORE {what} WHEN {sqlite} BEGIN SELECT RAISE(ABORT, 'no'); END")
    } else {
        format!(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$; \
             CREATE TRIGGER refuse BEFORE {what} FOR EACH ROW WHEN ({postgres}) EXECUTE FUNCTION refuse()"
        )
    };
    app.db.run(&make).await;
}

async fn refuse_no_more(app: &TestApp, table: &str) {
    let of = if app.db.is_sqlite() { String::new() } else { format!(" ON {table}") };
    app.db.run(&format!("DROP TRIGGER refuse{of}")).await;
}

db_test!(each_field_takes_the_types_that_the_description_says, |db| async move {
    let app = TestApp::new(db).await;
    let admin = app.admin_token().await;
    let whole = serde_json::to_value(rollcall::api::schema::description()).unwrap();
    let schema = &whole["components"]["schemas"]["RevokeSessionsRequest"];
    let validator = jsonschema::validator_for(schema).unwrap();
    let mut wrong_types = 0;
    for name in schema["properties"].as_object().unwrap().keys() {
        for value in [json!(null), json!(true), json!(7), json!(7.5), json!(""), json!("7"), json!([]), json!({})] {
            let mut body = json!({"expected_count": 1_000_000});
            body[name] = value;
            let answer = revoke(&admin, body.clone()).await;
            let why = answer.json()[name].as_array().cloned().unwrap_or_default();
            if validator.is_valid(&body) {
                let of_type = ["Not a valid string.", "Must be a valid boolean."];
                assert!(why.iter().all(|text| !of_type.contains(&text.as_str().unwrap())), "{body}: {why:?}");
            } else {
                wrong_types += 1;
                assert!(answer.status == 400 && !why.is_empty(), "{body}: {}", answer.text());
            }
        }
    }
    assert!(wrong_types > 60, "{wrong_types}");
});
