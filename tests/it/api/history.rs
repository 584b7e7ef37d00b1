//! Sessions that ended, listed (`GET /api/v3/core/ended_sessions/`).

use std::collections::BTreeSet;
use std::time::Duration;

use rollcall::actions::by::By;
use rollcall::actions::people::users;
use rollcall::actions::sessions::{end, retention};
use rollcall::domain::Permission;
use serde_json::{Value, json};

use crate::support::{Caller, SESSIONS, TestApp, seed};

const ENDED: &str = "/api/v3/core/ended_sessions/";

/// Two users with sessions that all ended, each an hour after the one before it; and an administrator.
async fn populated(app: &TestApp) -> Caller {
    let mut lines = vec![seed::user(1, "Zoë"), seed::user(2, "bob")];
    for n in 0..24_u32 {
        let agent = ["curl/8", "Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0"][n as usize % 2];
        let with = json!({"last_user_agent": agent, "last_ip": format!("192.0.2.{n}")});
        lines.push(seed::session(n, i64::from(n % 3 / 2) + 1, with));
    }
    app.import(&lines).await;
    let admin = app.admin_token().await;
    for n in 0..24 {
        app.advance(Duration::from_secs(3600));
        let url = format!("{SESSIONS}{}/", seed::uuid(n));
        admin.delete(&url).await.assert_status(204);
    }
    admin
}

fn uuids(body: &Value) -> Vec<String> {
    body["results"].as_array().unwrap().iter().map(|row| row["uuid"].as_str().unwrap().to_owned()).collect()
}

db_test!(a_row_says_what_it_was_and_how_it_ended, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user("alice").await;
    let browser = alice.session_on("2001:db8::7", "curl/8").await;
    let live = browser.get(&browser.url()).await.json();
    app.advance(Duration::from_secs(60));
    let admin = app.admin_token().await;
    let body = json!({"user": alice.id, "expected_count": 1, "reason": "lost"});
    admin.post_json(&format!("{SESSIONS}revoke/"), &body).await.assert_status(200);
    let list = admin.get(ENDED).await.assert_status(200).json();
    assert_eq!((&list["pagination"]["count"], &list["autocomplete"]), (&json!(1), &json!({})));
    let mut want = live;
    want["current"] = json!(false);
    for (name, value) in [
        ("username", "alice"),
        ("created", "2026-11-01T12:00:00Z"),
        ("label", ""),
        ("ended", "2026-11-01T12:01:00Z"),
        ("ended_by", "the admin"),
        ("reason", "revoked"),
        ("comment", "lost"),
        ("source", "rollcall"),
    ] {
        want[name] = json!(value);
    }
    (want["methods"], want["known_device"], want["remembered"]) = (json!(["pwd"]), json!(false), json!(false));
    want["applications"] = json!([]);
    assert_eq!(list["results"][0], want);
});

db_test!(pages_show_each_row_once_in_every_order, |db| async move {
    let app = TestApp::new(db).await;
    let admin = populated(&app).await;
    let newest: Vec<String> = (0..24).rev().map(seed::uuid).collect();
    assert_eq!(uuids(&admin.get(&format!("{ENDED}?page_size=100")).await.json()), newest);
    assert_eq!(uuids(&admin.get(&format!("{ENDED}?ordering=-ended&page_size=3&page=2")).await.json()), newest[3..6]);
    let oldest: Vec<String> = (0..24).map(seed::uuid).collect();
    assert_eq!(uuids(&admin.get(&format!("{ENDED}?ordering=ended&page_size=100")).await.json()), oldest);
    for order in ["user", "-user__username", "session__last_ip", "last_user_agent", "-session__last_used", "expires", "uuid", "x"] {
        let mut seen = Vec::new();
        for page in 1..=5 {
            let body = admin.get(&format!("{ENDED}?ordering={order}&page_size=5&page={page}")).await.assert_status(200).json();
            assert_eq!(body["pagination"]["count"], 24);
            seen.extend(uuids(&body));
        }
        assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 24, "{order}");
        assert_eq!(seen.len(), 24, "{order}");
    }
    admin.get(&format!("{ENDED}?page_size=5&page=6")).await.assert_detail(404, "Invalid page.");
});

db_test!(filters_are_those_of_the_list_and_more, |db| async move {
    let app = TestApp::with(db, &[("API__STRICT_QUERY", "true")]).await;
    let admin = populated(&app).await;
    for (query, want) in [
        ("", 24),
        ("user=1", 16),
        ("user=9", 0),
        ("user__username=Zo%C3%AB", 16),
        ("user__username=zo%C3%AB", 0),
        ("search=ZO%C3%8B", 16),
        ("search=bob%20curl", 4),
        ("search=192.0.2.1", 11),
        ("session__last_ip=192.0.2.7", 1),
        ("network=192.0.2.16/29", 8),
        ("session__last_user_agent=curl/8", 12),
        ("session__last_user_agent=none", 0),
        ("browser=Firefox", 12),
        ("os=Linux&user=2", 4),
        ("country=DE", 0),
        ("last_used__lte=2026-10-01&expires__gte=2026-12-01", 24),
        ("ended__gte=2026-11-02T12:00:00Z", 1),
        ("ended__lte=2026-11-01T14:00:00Z&user=1", 2),
        ("reason=revoked&ended_by=the%20admin", 24),
        ("reason=expired", 0),
        ("ended_by=alice", 0),
    ] {
        let answer = admin.get(&format!("{ENDED}?{query}&page_size=100")).await.assert_status(200).json();
        assert_eq!(answer["pagination"]["count"], want, "{query}");
        assert_eq!(uuids(&answer).len() as i64, want, "{query}");
    }
    for (query, want) in [
        ("reason=bored", json!({"reason": ["There is no such reason."]})),
        ("ended__gte=soon&asn=x", json!({"ended__gte": ["Enter a valid date/time."], "asn": ["Enter a whole number."]})),
        ("usr=1", json!({"usr": ["Unknown parameter."]})),
    ] {
        assert_eq!(admin.get(&format!("{ENDED}?{query}")).await.assert_status(400).json(), want, "{query}");
    }
    admin.get(&format!("{SESSIONS}?reason=revoked")).await.assert_status(400);
});

db_test!(everyone_sees_what_they_may_see, |db| async move {
    let app = TestApp::new(db).await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let viewer = app.user_who_may("viewer", &[Permission::ViewSessions]).await;
    for user in [&alice, &bob, &viewer] {
        user.session().await;
    }
    let admin = app.admin_token().await;
    admin.post_json(&format!("{SESSIONS}revoke/"), &json!({"everyone": true, "expected_count": 3})).await.assert_status(200);
    app.anonymous().get(ENDED).await.assert_detail(403, "Authentication credentials were not provided.");
    let token = alice.token().await;
    let own = token.get(ENDED).await.json();
    assert_eq!((own["pagination"]["count"].as_i64(), own["results"][0]["username"].as_str()), (Some(1), Some("alice")));
    for query in ["user__username=bob", "search=bob"] {
        assert_eq!(token.get(&format!("{ENDED}?{query}")).await.count(), 0, "{query}");
    }
    assert_eq!(token.get(&format!("{ENDED}?user={}", bob.id.0)).await.count(), 0);
    assert_eq!(viewer.token().await.get(ENDED).await.count(), 3);
});

db_test!(it_is_forgotten_after_the_retention, |db| async move {
    let app = TestApp::with(db, &[("HISTORY__RETENTION", "30d")]).await;
    let mut lines = vec![seed::user(1, "alice")];
    lines.extend((0..1100).map(|n| seed::session(n, 1, json!({}))));
    app.import(&lines).await;
    let row = users::find(&app.app, By::Cli, "alice").await.unwrap();
    let new = "another long password".to_owned();
    users::set_password(&app.app, By::Cli, &row, new).await.unwrap();
    app.advance(Duration::from_secs(86400));
    let later = app.user("bob").await.session().await;
    later.with_csrf().delete(&later.url()).await.assert_status(204);
    app.advance(Duration::from_secs(29 * 86400));
    assert_eq!(retention::purge(&app.app, By::System).await.unwrap(), 0, "thirty days are not over");
    app.advance(Duration::from_micros(1));
    assert_eq!(retention::purge(&app.app, By::System).await.unwrap(), 1100);
    let left = app.admin_token().await.get(ENDED).await.json();
    assert_eq!(uuids(&left), [later.uuid]);
    app.assert_counts().await;
});

db_test!(it_may_be_kept_for_ever, |db| async move {
    let app = TestApp::with(db, &[("HISTORY__RETENTION", "0")]).await;
    let browser = app.user("alice").await.session().await;
    app.advance(Duration::from_secs(20 * 86400));
    assert_eq!(end::sweep(&app.app, rollcall::actions::by::By::System, app.app.clock.now()).await.unwrap(), 1);
    app.advance(Duration::from_secs(99 * 365 * 86400));
    assert_eq!(retention::purge(&app.app, By::System).await.unwrap(), 0);
    assert_eq!(app.ending(&browser.uuid).await, Some(("expired".into(), "system".into())));
});
