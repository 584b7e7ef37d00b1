//! The live list of events.

use std::time::Duration;

use rollcall::store::events::list::{EventFilter, holds_text};
use serde_json::Value;

use crate::support::app::{Browser, sign_in_as};
use crate::support::{TestApp, encode};

/// The stream of the page with these filters, read as it comes.
struct Stream(reqwest::Response);

impl Stream {
    async fn open(viewer: &Browser, path: &str) -> Self {
        let mut this = Self(viewer.caller.build("GET", path).send().await.unwrap());
        assert_eq!(this.0.status(), 200, "{path}");
        assert!(this.next().await.is_some_and(|text| text.contains("from here on")));
        this
    }

    /// What comes next; `None` at the end.
    async fn next(&mut self) -> Option<String> {
        let next = tokio::time::timeout(Duration::from_secs(30), self.0.chunk()).await.expect("a part or the end");
        next.ok().flatten().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The rows that come next, as HTML.
    async fn rows(&mut self) -> Vec<String> {
        let text = self.next().await.expect("the stream goes on");
        let data = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap_or_else(|| panic!("{text}"));
        assert!(text.contains("event: rows") && text.contains("\nid: ") || text.starts_with("id: "), "{text}");
        let data: Value = serde_json::from_str(data).unwrap();
        let rows = data["rows"].as_array().unwrap();
        rows.iter().map(|row| row["html"].as_str().unwrap().to_owned()).collect()
    }
}

/// The address of the stream that a page names.
fn live(text: &str) -> String {
    let path = text.split("data-live=\"").nth(1).unwrap_or_else(|| panic!("not live: {text}")).split('"').next().unwrap();
    path.replace("&#38;", "&").replace("&amp;", "&")
}

db_test!(new_events_come_to_the_page_that_shows_their_like, |db| async move {
    let app = TestApp::with(db, &[("HTTP__TRUSTED_PROXIES", "127.0.0.0/8")]).await;
    let (alice, root) = (app.user_with_password("alice").await, app.superuser("root").await);
    let viewer = root.session().await;
    let (all, failed) = ("/events", "/events?kind=sign_in_failed&user=alice");
    let text = viewer.get(failed).await.assert_status(200).text();
    assert!(text.contains("No event matches") && text.contains(">Reload</a>"), "{text}");
    let mut failures = Stream::open(&viewer, &live(&text)).await;
    let page = viewer.get(all).await.assert_status(200).text();
    assert!(page.contains("href=\"/events\" data-reload>Reload</a>"), "without scripts there is a link");
    // What happens between the page and its stream is not lost.
    let stranger = app.anonymous().with_header("x-forwarded-for", "198.51.100.7");
    sign_in_as(&stranger, "alice", "wrong password", false).await;
    let mut stream = Stream::open(&viewer, &live(&page)).await;
    let rows = stream.rows().await;
    assert!(rows.len() == 1 && rows[0].contains("tried to sign in as alice") && rows[0].contains("198.51.100.7"), "{rows:?}");
    assert!(rows[0].starts_with("<tr data-id=\"") && rows[0].contains("href=\"/users/"), "as the page draws it: {rows:?}");
    assert_eq!(failures.rows().await, rows);
    alice.session().await;
    let rows = stream.rows().await;
    assert!(rows.iter().any(|row| row.contains("alice signed in")), "{rows:?}");
    sign_in_as(&stranger, "alice", "wrong again", false).await;
    let rows = failures.rows().await;
    assert!(rows.len() == 1 && rows[0].contains("tried to sign in"), "only what the page shows: {rows:?}");
    // A page further back is not live.
    let older = viewer.get("/events?before=1").await.assert_status(200).text();
    assert!(!older.contains("data-live") && !older.contains("data-reload"), "{older}");
});

db_test!(a_browser_that_connects_again_gets_what_it_missed, |db| async move {
    let app = TestApp::new(db).await;
    let root = app.superuser("root").await;
    let viewer = root.session().await;
    let since = app.number("SELECT max(id) FROM events").await;
    app.user("alice").await;
    app.user("bob").await;
    let caller = viewer.caller.with_header("last-event-id", &since.to_string());
    let again = Browser { caller, uuid: viewer.uuid.clone(), key: viewer.key.clone() };
    let mut stream = Stream::open(&again, "/events/live?kind=user_added&since=999999").await;
    let rows = stream.rows().await;
    assert!(rows.len() == 2 && rows[0].contains("bob") && rows[1].contains("alice"), "the latest first: {rows:?}");
    // One that missed too much loads the page.
    let rows: Vec<String> =
        (1..=1100).map(|n| format!("({}, 1, 'confirmed', '', '', '', '', '{{}}')", uuid_sql(&app, n))).collect();
    app.db
        .run(&format!("INSERT INTO events (uuid, at, kind, actor, username, ip, request_id, content) VALUES {}", rows.join(", ")))
        .await;
    let answer = again.caller.build("GET", "/events/live").send().await.unwrap();
    let text = answer.text().await.unwrap();
    assert!(text.contains("event: behind"), "{text}");
});

fn uuid_sql(app: &TestApp, n: u32) -> String {
    if app.db.is_sqlite() { format!("x'{n:032x}'") } else { format!("'{n:032x}'") }
}

db_test!(a_live_list_ends_with_the_right_to_look, |db| async move {
    let app = TestApp::new(db).await;
    let (root, auditor) = (app.superuser("root").await, app.auditor("auditor").await);
    app.user("plain").await.session().await.get("/events/live").await.assert_status(403);
    assert_eq!(app.anonymous().get("/events/live").await.redirects_to(), "/sign-in?next=/events");
    let viewer = auditor.session().await;
    let mut stream = Stream::open(&viewer, "/events/live").await;
    app.db.run(&format!("UPDATE users SET is_auditor = {}", if app.db.is_sqlite() { "0" } else { "false" })).await;
    app.user("alice").await;
    assert_eq!(stream.next().await, None, "the right is gone");
    let viewer = root.session().await;
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(Stream::open(&viewer, "/events/live").await);
    }
    viewer.get("/events/live").await.assert_status(429);
    viewer.get("/events").await.assert_status(200);
    let other = root.session().await;
    other.with_csrf().delete(&viewer.url()).await.assert_status(204);
    for stream in &mut held {
        let mut last = stream.next().await;
        while last.is_some() {
            assert!(!last.unwrap().contains("session_revoked"), "nothing is shown after the end");
            last = stream.next().await;
        }
    }
});

// The list is filtered by SQL, and what comes by Rust: both let the same events pass.
db_test!(the_stream_and_the_list_agree_on_what_matches, |db| async move {
    let app = TestApp::with(db, &[("HTTP__TRUSTED_PROXIES", "127.0.0.0/8")]).await;
    let alice = app.user_with_password("alice").await;
    let other = app.user("Straße").await;
    for _ in 0..3 {
        other.session().await;
    }
    let root = app.superuser("root").await.session().await;
    let session = alice.session_on("198.51.100.7", "").await;
    let stranger = app.anonymous().with_header("x-forwarded-for", "198.51.100.7");
    sign_in_as(&stranger, "alice", "wrong password", false).await;
    app.advance(Duration::from_secs(60));
    let middle = app.app.clock.now();
    root.with_csrf().delete(&session.url()).await.assert_status(204);
    let q = encode("user:Straße");
    let proof = root.get(&format!("/sessions/all/end?scope=all&q={q}")).await.assert_status(200).proof();
    let fields = [("proof", proof.as_str()), ("q", "user:Straße"), ("expected", "3"), ("typed", "3"), ("comment", "GROẞ")];
    root.post_form("/sessions/all/end", &fields).await.assert_status(303);
    let mut all = app.app.store.read().list_events(0, 10_000).await.unwrap();
    // The ends are written by a job of this server.
    while all.iter().filter(|event| event.parent.is_some()).count() < 3 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        all = app.app.store.read().list_events(0, 10_000).await.unwrap();
    }
    let parent = all.iter().find_map(|event| event.parent);
    let user = app.app.store.read().find_user_uuid(alice.id).await.unwrap();
    let empty = EventFilter::default;
    let filters = [
        empty(),
        EventFilter { user, ..empty() },
        EventFilter { actor: Some("root".into()), ..empty() },
        EventFilter { kind: Some("sign_in".into()), ..empty() },
        EventFilter { kind: Some("session_revoked".into()), ..empty() },
        EventFilter { ip: Some("198.51.100.7".into()), ..empty() },
        EventFilter { session: all.iter().find_map(|event| event.session), ..empty() },
        EventFilter { parent, kind: None, ..empty() },
        EventFilter { from: Some(middle), ..empty() },
        EventFilter { to: Some(middle), ..empty() },
        EventFilter { user, kind: Some("sign_in_failed".into()), to: Some(middle), ..empty() },
    ];
    let mut found_some = 0;
    for filter in filters {
        for text in ["", "alice", "ALICE", "straße", "STRASSE", "password", "revoked", "198.51"] {
            let db = app.app.store.read();
            let listed = if text.is_empty() {
                db.list_latest_events(&filter, 10_000).await.unwrap()
            } else {
                db.find_latest_events(&filter, text, 10_000).await.unwrap().0
            };
            let mut listed: Vec<i64> = listed.iter().map(|event| event.id).collect();
            listed.sort_unstable();
            let passed = all.iter().filter(|event| filter.matches(event) && (text.is_empty() || holds_text(event, text)));
            let passed: Vec<i64> = passed.map(|event| event.id).collect();
            assert_eq!(passed, listed, "{filter:?} {text}");
            found_some += usize::from(!listed.is_empty());
        }
    }
    assert!(found_some > 30, "{found_some}");
});
