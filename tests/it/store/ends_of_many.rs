//! An end of many is one event with its filter, its count and its reason; the single ends are parts of it.

use rollcall::actions::people::users;
use rollcall::actions::sessions::end;
use rollcall::domain::EndReason;
use rollcall::domain::event::EventContent;
use rollcall::store::events::list::EventFilter;
use rollcall::store::events::rows::EventRow;
use serde_json::{Value, json};

use crate::support::{SESSIONS, TestApp, seed};

/// The users 1 to `users`, with `each` sessions.
fn people(users: u32, each: u32) -> Vec<Value> {
    let mut lines: Vec<Value> = (1..=users).map(|n| seed::user(n.into(), &format!("user{n}"))).collect();
    let sessions = (0..users * each).map(|n| seed::session(n, i64::from(n / each) + 1, json!({"last_user_agent": "curl/8"})));
    lines.extend(sessions);
    lines
}

/// What an event of an end of many says: filter, count, users, reason, comment.
fn read(event: &EventRow) -> (Vec<String>, Option<u64>, Option<u64>, EndReason, String) {
    let EventContent::SessionsEnded { filter, count, users, reason, comment, .. } = &event.content else { panic!("{event:?}") };
    let filter = filter.iter().map(|(name, value)| format!("{name}={value}")).collect();
    (filter, *count, *users, *reason, comment.clone())
}

/// What is listed with nothing filtered.
async fn listed(app: &TestApp) -> Vec<EventRow> {
    app.app.store.read().list_latest_events(&EventFilter::default(), 100_000).await.unwrap()
}

async fn parts(app: &TestApp, event: &EventRow) -> Vec<EventRow> {
    let filter = EventFilter { parent: Some(event.id), ..EventFilter::default() };
    app.app.store.read().list_latest_events(&filter, 100_000).await.unwrap()
}

db_test!(an_end_by_filter_is_one_event_whatever_its_size, |db| async move {
    let app = TestApp::new(db).await;
    // Beyond a thousand the ends are recorded first and moved later.
    for (users, each) in [(1, 2), (3, 50), (6, 200)] {
        app.import_bytes(people(users, each).iter().map(|line| format!("{line}\n")).collect::<String>(), true).await.unwrap();
        let admin = app.admin_token().await;
        let count = u64::from(users * each);
        let body = json!({"search": "curl", "expected_count": count, "reason": "a stolen laptop"});
        admin.post_json(&format!("{SESSIONS}revoke/"), &body).await.assert_status(200);
        app.move_pending().await;
        let [event, ..] = &app.latest("sessions_ended").await[..] else { panic!("no event") };
        let want = (vec!["search=CURL".to_owned()], Some(count), Some(u64::from(users)), EndReason::Revoked);
        let (filter, ended, of, reason, comment) = read(event);
        assert_eq!((filter, ended, of, reason), want);
        assert_eq!((comment.as_str(), event.actor.as_str(), event.user_uuid), ("a stolen laptop", "the admin", None));
        let parts = parts(&app, event).await;
        assert_eq!(parts.len() as u64, count);
        assert!(parts.iter().all(|part| part.kind() == "session_revoked" && part.actor == "the admin"));
        let sessions: std::collections::HashSet<_> = parts.iter().map(|part| part.session.unwrap()).collect();
        assert_eq!(sessions.len() as u64, count, "each session once");
        assert!(listed(&app).await.iter().all(|event| event.parent.is_none()), "parts are not listed by themselves");
        app.assert_counts().await;
    }
});

db_test!(one_session_is_one_event, |db| async move {
    let app = TestApp::new(db).await;
    app.import(&people(1, 1)).await;
    let admin = app.admin_token().await;
    let body = json!({"search": "curl", "expected_count": 1});
    admin.post_json(&format!("{SESSIONS}revoke/"), &body).await.assert_status(200);
    assert_eq!((app.count_events("sessions_ended").await, app.count_events("session_revoked").await), (0, 1));
    assert!(app.latest("session_revoked").await[0].parent.is_none());
});

db_test!(every_way_to_end_many_is_folded, |db| async move {
    let app = TestApp::new(db).await;
    app.import(&people(4, 6)).await;
    let admin = app.admin_token().await;
    // In two parts at the same time on PostgreSQL.
    admin.delete(&format!("{SESSIONS}bulk_delete/?user_pks=1&user_pks=2")).await.assert_status(200);
    // A list of names.
    let three = app.app.store.read().all("SELECT uuid FROM sessions WHERE user_id = 3 ORDER BY id LIMIT 3", &[]).await.unwrap();
    assert_eq!(end::end_listed(&app.app, rollcall::actions::by::By::Cli, &three, "named").await.unwrap(), 3);
    // A deactivation.
    let user = users::find(&app.app, rollcall::actions::by::By::Cli, "user3").await.unwrap();
    users::set_active(&app.app, rollcall::actions::by::By::Cli, &user, false).await.unwrap();
    // An expiry.
    assert_eq!(
        end::sweep(&app.app, rollcall::actions::by::By::System, crate::support::app::at("2100-01-01T00:00:00Z")).await.unwrap(),
        6
    );
    let found: Vec<_> = app.latest("sessions_ended").await.iter().rev().map(read).collect();
    let of = |filter: &str, count, users, reason, comment: &str| {
        (vec![filter.to_owned()], Some(count), Some(users), reason, comment.to_owned())
    };
    assert_eq!(
        found,
        [
            of("users=user1, user2", 12, 2, EndReason::Revoked, ""),
            of("named=3", 3, 1, EndReason::Revoked, "named"),
            of("username=user3", 3, 1, EndReason::UserDeactivated, ""),
            of("expires_lte=2100-01-01T00:00:00Z", 6, 1, EndReason::Expired, ""),
        ]
    );
    let of_no_event = "SELECT count(*) FROM events WHERE kind IN ('session_revoked', 'session_expired') AND parent_id IS NULL";
    assert_eq!(app.number(of_no_event).await, 0);
    app.assert_counts().await;
});

db_test!(one_page_shows_an_end_of_many_and_leads_to_its_parts, |db| async move {
    let app = TestApp::new(db).await;
    app.import(&people(30, 10)).await;
    let admin = app.admin_token().await;
    let root = app.superuser("root").await.session().await;
    let body = json!({"search": "curl", "expected_count": 300, "reason": "old <b>"});
    admin.post_json(&format!("{SESSIONS}revoke/"), &body).await.assert_status(200);
    let page = root.get("/events").await.assert_status(200).text();
    assert!(!page.contains("rel=\"next\""), "one page");
    assert!(page.contains("ended 300 sessions of 30 users (search: CURL): old &#60;b&#62;"), "{page}");
    let event = app.latest("sessions_ended").await[0].id;
    let link = format!("/events?part_of={event}");
    assert!(page.contains(&format!("href=\"{link}\"")), "{page}");
    let mut seen = 0;
    let mut next = Some(link);
    while let Some(path) = next {
        let parts = root.get(&path).await.assert_status(200).text();
        seen += parts.matches("<th scope=\"row\">").count();
        next = parts.split_once("<a href=\"").and_then(|_| {
            let (before, _) = parts.split_once("\" rel=\"next\"")?;
            Some(before.rsplit_once('"')?.1.replace("&#38;", "&").replace("&amp;", "&"))
        });
    }
    assert_eq!(seen, 300);
    // About one user, the single ends are what there is to see.
    let hers = root.get("/events?user=user7").await.text();
    assert_eq!(hers.matches("<span class=\"wrap\"><bdi>the admin ended user7’s session").count(), 10, "{hers}");
    assert!(root.get("/events?kind=session_revoked").await.text().contains("rel=\"next\""));
    for odd in ["part_of=x", "part_of=-1", "part_of=99999999999999999999", "part_of=7&kind=sign_in"] {
        root.get(&format!("/events?{odd}")).await.assert_status(200);
    }
});

db_test!(an_import_that_replaces_is_one_event, |db| async move {
    let app = TestApp::new(db).await;
    app.import(&people(3, 4)).await;
    app.import_bytes(format!("{}\n", seed::user(7, "dora")), true).await.unwrap();
    let events = app.latest("sessions_ended").await;
    let [event] = &events[..] else { panic!("{events:?}") };
    assert_eq!(read(event), (vec![], Some(12), Some(3), EndReason::UserRemoved, String::new()));
    let parts = parts(&app, event).await;
    assert_eq!(parts.len(), 12);
    assert!(parts.iter().all(|part| part.user_uuid.is_some() && part.user_id.is_none() && part.username.starts_with("user")));
    app.assert_counts().await;
});

db_test!(an_erased_user_is_in_no_filter, |db| async move {
    let app = TestApp::new(db).await;
    app.import(&people(2, 3)).await;
    let admin = app.admin_token().await;
    admin.delete(&format!("{SESSIONS}bulk_delete/?user_pks=1&user_pks=2")).await.assert_status(200);
    rollcall::actions::people::privacy::erase(&app.app, rollcall::actions::by::By::Cli, "user1").await.unwrap();
    assert_eq!(app.number("SELECT count(*) FROM events WHERE content LIKE '%user1%' OR username = 'user1'").await, 0);
    let event = &app.latest("sessions_ended").await[0];
    let (filter, count, users, ..) = read(event);
    assert_eq!((filter, count, users), (vec![], Some(6), Some(2)), "how many there were stays");
});
