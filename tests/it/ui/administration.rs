//! The pages of administrators: users, tokens, events, settings; and the page of one session.

use rollcall::domain::Permission;
use rollcall::domain::caller::Actor;
use rollcall::domain::event::EventContent;
use rollcall::store::StoreError;

use crate::support::app::{Browser, PASSWORD};
use crate::support::{SESSIONS, TestApp, encode};

async fn post(browser: &Browser, path: &str, fields: &[(&str, &str)]) -> crate::support::Answer {
    let proof = browser.get("/sessions").await.proof();
    let mut all = vec![("proof", proof.as_str())];
    all.extend_from_slice(fields);
    browser.post_form(path, &all).await
}

db_test!(only_administrators_administrate, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user("alice").await;
    let viewer = app.user_who_may("vera", &Permission::ALL).await.session().await;
    let root = app.superuser("root").await.session().await;
    let user = format!("/users/{}", alice.id.0);
    for path in ["/users", "/events", "/events/export?format=csv", "/settings", &user] {
        let refused = viewer.get(path).await.assert_status(403).text();
        assert!(!refused.contains("root"), "{path}");
        root.get(path).await.assert_status(200);
        assert!(app.anonymous().get(path).await.redirects_to().starts_with("/sign-in?next=/"), "{path}");
    }
    let (active, password) = (format!("{user}/active"), format!("{user}/password"));
    for (path, fields) in [
        ("/users", &[("username", "mallory")][..]),
        ("/tokens", &[("username", "root"), ("made_up", "x"), ("days", "0")]),
        (&active, &[("active", "no")]),
        (&password, &[("password", "a long password")]),
    ] {
        post(&viewer, path, fields).await.assert_status(403);
        root.post_form(path, fields).await.assert_status(403);
    }
    assert_eq!(app.number("SELECT count(*) FROM users").await, 3);
    assert_eq!(app.number("SELECT count(*) FROM tokens").await, 0);
});

db_test!(users_are_added_found_and_switched_off, |db| async move {
    let app = TestApp::new(db).await;
    let root_user = app.superuser("root").await;
    let root = root_user.session().await;
    let fields = [("username", " zoë<script> "), ("name", "Zoë"), ("email", "zoe@example.com"), ("password", PASSWORD)];
    let path = post(&root, "/users", &fields).await.redirects_to().to_owned();
    assert!(path.starts_with("/users/"), "{path}");
    let text = root.get(&path).await.assert_status(200).text();
    assert!(text.contains("zoë&#60;script&#62;") && !text.contains("<script>") && text.contains("Not signed in anywhere"));
    assert!(post(&root, "/users", &fields).await.assert_status(409).text().contains("already"));
    assert!(post(&root, "/users", &[("username", "")]).await.assert_status(422).text().contains("may not be empty"));
    assert!(
        post(&root, "/users", &[("username", "x"), ("password", "short")]).await.assert_status(422).text().contains("at least 8")
    );
    for part in ["ZOË", "example.com", "zo"] {
        let found = root.get(&format!("/users?q={}", encode(part))).await.text();
        assert!(found.contains("zoe@example.com") && !found.contains(">root</bdi></a>"), "{part}");
    }
    assert!(root.get("/users?q=nobody").await.text().contains("No user matches"));

    let (caller, zoe) = (app.anonymous(), "zoë<script>");
    let proof = caller.get("/sign-in").await.proof();
    let sign_in = [("proof", proof.as_str()), ("uid", zoe), ("password", PASSWORD)];
    caller.post_form("/sign-in", &sign_in).await.assert_status(303);
    caller.get(SESSIONS).await.assert_status(200);
    assert!(root.get(&path).await.text().contains("Signed in: 1"));
    assert_eq!(post(&root, &format!("{path}/active"), &[("active", "no")]).await.redirects_to(), path);
    caller.get(SESSIONS).await.assert_status(403);
    assert!(root.get(&path).await.text().contains("Inactive"));
    post(&root, &format!("{path}/active"), &[("active", "yes")]).await.assert_status(303);
    assert!(post(&root, &format!("{path}/password"), &[("password", "x")]).await.assert_status(422).text().contains("at least 8"));
    post(&root, &format!("{path}/password"), &[("password", "another password")]).await.assert_status(303);
    let own = format!("/users/{}/active", root_user.id.0);
    post(&root, &own, &[("active", "no")]).await.assert_status(403);
    root.get("/users/999999").await.assert_status(404);
    root.get("/users/x").await.assert_status(404);
});

db_test!(users_come_in_pages, |db| async move {
    let app = TestApp::new(db).await;
    let lines: Vec<_> =
        (10..150).map(|n| serde_json::json!({"kind": "user", "id": n, "username": format!("user {n:03}")})).collect();
    app.import(&lines).await;
    let root = app.superuser("root").await.session().await;
    let (mut path, mut seen) = ("/users?q=user".to_owned(), Vec::new());
    loop {
        let text = root.get(&path).await.assert_status(200).text();
        seen.extend(text.split("<a href=\"/users/").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()));
        let Some(next) = text.split("<a href=\"").find(|rest| rest.contains("rel=\"next\"")) else { break };
        path = next.split('"').next().unwrap().replace("&#38;", "&");
    }
    let count = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!((count, seen.len()), (140, 140), "each once");
});

db_test!(a_token_is_shown_once_and_opens_the_api, |db| async move {
    let app = TestApp::new(db).await;
    app.user("alice").await;
    let root = app.superuser("root").await.session().await;
    let fields = [("username", "alice"), ("made_up", "api-once"), ("description", "for <me>"), ("days", "30")];
    let made = post(&root, "/tokens", &fields).await.assert_status(200);
    let text = made.text();
    let key = text.split("<code id=\"key\">").nth(1).and_then(|rest| rest.split('<').next()).unwrap().to_owned();
    app.anonymous().with_bearer(&key).get(SESSIONS).await.assert_status(200);
    let again = root.get("/tokens").await.text();
    assert!(!again.contains(&key) && again.contains("api-once") && again.contains("for &#60;me&#62;"));
    let twice = post(&root, "/tokens", &fields).await.assert_status(409).text();
    assert!(twice.contains("It has changed") && twice.contains("was sent before"), "sent twice, made once: {twice}");
    let taken = [("username", "alice"), ("identifier", "api-once"), ("days", "30")];
    assert!(post(&root, "/tokens", &taken).await.assert_status(409).text().contains("already"));
    for (wrong, says) in [
        (&[("username", "nobody"), ("made_up", "y"), ("days", "1")][..], "no user named"),
        (&[("username", "alice"), ("made_up", "y"), ("days", "5")], "one line"),
        (&[("username", "alice"), ("identifier", "a\nb"), ("days", "1")], "one line"),
        (&[("username", "alice"), ("days", "1")], "one line"),
    ] {
        assert!(post(&root, "/tokens", wrong).await.assert_status(422).text().contains(says), "{wrong:?}");
    }
    assert_eq!(post(&root, "/tokens/remove", &[("identifier", "api-once")]).await.redirects_to(), "/tokens");
    app.anonymous().with_bearer(&key).get(SESSIONS).await.assert_status(403);
    post(&root, "/tokens/remove", &[("identifier", "api-once")]).await.assert_status(303);
});

db_test!(events_are_filtered_and_paged, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user("alice").await;
    for _ in 0..60 {
        alice.session().await;
    }
    let root = app.superuser("root").await.session().await;
    let text = root.get("/events").await.assert_status(200).text();
    assert_eq!(text.matches("<tr").count(), 51, "a head and fifty rows");
    let next = text.split("<a href=\"/events?before=").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let earlier = root.get(&format!("/events?before={next}")).await.text();
    assert!(earlier.contains("added the user alice") && !earlier.contains("rel=\"next\""));
    let added = root.get("/events?kind=user_added&user=alice").await.text();
    assert_eq!(added.matches("<tr").count(), 2);
    assert!(root.get("/events?actor=nobody").await.text().contains("No event matches"));
    assert!(root.get("/events?from=2026-11-02").await.text().contains("No event matches"));
    assert_eq!(root.get("/events?from=2026-11-01&to=2026-11-01&kind=user_added").await.text().matches("<tr").count(), 3);
    for (odd, says) in [
        ("from=soon", "is no time"),
        ("user=nobody", "no user named"),
        ("before=x&kind=%00&to=9", "is no time"),
        ("ip=x", "is no address"),
    ] {
        assert!(root.get(&format!("/events?{odd}")).await.assert_status(200).text().contains(says), "{odd}");
    }
});

db_test!(events_are_found_by_address_text_and_time_and_exported, |db| async move {
    let app = TestApp::new(db).await;
    app.user("alice").await.session_on("203.0.113.9", "curl/8").await;
    app.user("zoë").await.session_on("203.0.113.10", "curl/8").await;
    let root = app.superuser("root").await.session().await;
    let rows = async |query: &str| root.get(&format!("/events?{query}")).await.assert_status(200).text();
    let count = async |query: &str| rows(query).await.matches("<tr").count().saturating_sub(1);
    assert_eq!(count("ip=203.0.113.9").await, 1);
    assert_eq!(count("ip=203.0.113.9&actor=alice&kind=sign_in&from=today&to=today").await, 1);
    assert_eq!(count("text=ALICE&kind=sign_in").await, 1);
    assert_eq!(count("text=203.0.113.").await, 2);
    assert_eq!(count(&format!("text={}&kind=sign_in", encode("zoë"))).await, 1);
    assert_eq!(count("from=2026-11-01T12:00:00Z&to=2026-11-01T12:00:00Z&kind=sign_in").await, 3);
    assert_eq!(count("to=2026-11-01T11:59:59Z").await, 0);
    assert_eq!(count("from=yesterday&to=yesterday").await, 0);
    assert_eq!(count("actor=cli&kind=user_added").await, 3, "one who is no user");
    let text = rows("ip=203.0.113.9").await;
    assert!(text.contains("href=\"/events?ip=203.0.113.9\"") && text.contains("href=\"/events?kind=sign_in\""), "{text}");
    let csv = root.get("/events/export?format=csv&ip=203.0.113.9").await.assert_status(200).text();
    assert!(csv.starts_with("\u{feff}at,kind,actor,") && csv.contains("alice signed in") && csv.lines().count() == 2, "{csv}");
    let json = root.get("/events/export?format=jsonl&kind=sign_in").await.assert_status(200).text();
    assert_eq!(json.lines().count(), 3);
    assert!(json.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["kind"] == "sign_in"));
    root.get("/events/export?format=xml").await.assert_status(404);
    root.get("/events/export?format=csv&from=soon").await.assert_status(404);
});

db_test!(a_text_far_back_is_found_by_searching_on, |db| async move {
    let app = TestApp::new(db).await;
    app.user("alice").await;
    let now = app.app.clock.now();
    let events: Vec<_> = (0..1_200).map(|_| EventContent::SignOut {}.by(&Actor::cli(), now)).collect();
    let written: Result<_, StoreError> =
        app.app.store.write(move |db| Box::pin(async move { db.insert_events(&events).await })).await;
    written.unwrap();
    let root = app.superuser("root").await.session().await;
    let first = root.get("/events?text=alice&actor=cli").await.text();
    assert!(first.contains("There may be more further back") && !first.contains("added the user alice"), "{first}");
    let next = first.split("href=\"").find(|rest| rest.contains("rel=\"next\"")).unwrap().split('"').next().unwrap();
    let second = root.get(&next.replace("&#38;", "&")).await.text();
    assert!(second.contains("added the user alice"), "{second}");
});

db_test!(everybody_has_a_page_of_their_own_tokens, |db| async move {
    let app = TestApp::new(db).await;
    app.user("bob").await.named_token("bobs").await;
    let alice = app.user("alice").await.session().await;
    assert!(alice.get("/sessions").await.text().contains("href=\"/tokens\""), "it is in the navigation");
    let key_in = |text: &str| text.split("<code id=\"key\">").nth(1).and_then(|rest| rest.split('<').next()).unwrap().to_owned();
    let fields = [("identifier", "mine"), ("days", "30"), ("scope.sessions:read", "1"), ("scope.users:read", "1")];
    let made = post(&alice, "/tokens", &fields).await.assert_status(200).text();
    let first = key_in(&made);
    assert!(made.contains("read sessions, read users and groups") && !made.contains("bobs"), "{made}");
    app.anonymous().with_bearer(&first).get(SESSIONS).await.assert_status(200);
    app.anonymous().with_bearer(&first).get("/api/v3/core/tokens/").await.assert_status(403);
    // Another's token is none of hers.
    post(&alice, "/tokens", &[("username", "bob"), ("made_up", "x"), ("days", "1")]).await.assert_status(403);
    for path in ["/tokens/rotate?identifier=bobs", "/tokens/remove?identifier=bobs"] {
        alice.get(path).await.assert_status(404);
    }
    post(&alice, "/tokens/rotate", &[("identifier", "bobs"), ("hours", "0")]).await.assert_status(404);
    post(&alice, "/tokens/remove", &[("identifier", "bobs")]).await;
    assert_eq!(app.number("SELECT count(*) FROM tokens WHERE identifier = 'bobs'").await, 1);
    // Both keys are good for the time that she chose, and then the new one alone.
    let asked = alice.get("/tokens/rotate?identifier=mine").await.assert_status(200).text();
    assert!(asked.contains("opens the same for 1 day"), "{asked}");
    let rotated = post(&alice, "/tokens/rotate", &[("identifier", "mine"), ("hours", "24")]).await.assert_status(200).text();
    let second = key_in(&rotated);
    assert!(rotated.contains("The key before opens the same for 1 day more"));
    for key in [&first, &second] {
        app.anonymous().with_bearer(key).get(SESSIONS).await.assert_status(200);
    }
    post(&alice, "/tokens/rotate", &[("identifier", "mine"), ("hours", "5")]).await.assert_status(404);
    app.advance(std::time::Duration::from_secs(86_400));
    app.anonymous().with_bearer(&first).get(SESSIONS).await.assert_status(403);
    app.anonymous().with_bearer(&second).get(SESSIONS).await.assert_status(200);
    let root = app.superuser("root").await.session().await;
    let all = root.get("/tokens").await.assert_status(200).text();
    assert!(all.contains(">mine<") && all.contains(">bobs<"));
    let found = root.get("/tokens?q=bob").await.text();
    assert!(found.contains(">bobs<") && !found.contains(">mine<"), "{found}");
    assert!(root.get("/tokens?q=nothing").await.text().contains("No token matches"));
});

db_test!(settings_show_where_they_came_from_and_no_secret, |db| async move {
    let app = TestApp::with(db, &[("SESSIONS__IDLE_TIMEOUT", "45m"), ("AUTHENTIK__SECRET_KEY", "hunter2-hunter2")]).await;
    let root = app.superuser("root").await.session().await;
    let text = root.get("/settings").await.assert_status(200).text();
    assert!(text.contains("45m") && text.contains("ROLLCALL_SESSIONS__IDLE_TIMEOUT") && text.contains("secret, not shown"));
    assert!(text.contains("ROLLCALL_DATABASE__URL") && !text.contains("hunter2") && !text.contains(&app.db.url));
    assert!(text.contains("127.0.0.1:9000"), "what is built in is said, too");
});

db_test!(a_sessions_page_is_its_owners_and_those_who_see_all, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user("alice").await;
    let (browser, other) = (alice.session().await, alice.session_on("198.51.100.9", "Evil/1 <script>alert(1)</script>").await);
    let bob = app.user("bob").await.session().await;
    let viewer = app.user_who_may("vera", &[Permission::ViewSessions]).await.session().await;
    let root = app.superuser("root").await.session().await;
    let path = format!("/sessions/{}", other.uuid);
    let own = browser.get(&path).await.assert_status(200).text();
    assert!(own.contains("198.51.100.9") && own.contains("alice signed in") && own.contains("This wasn’t me"), "{own}");
    assert!(!own.contains("<script>alert") && own.contains("Evil/1 &#60;script&#62;"));
    bob.get(&path).await.assert_status(404);
    let seen = viewer.get(&path).await.assert_status(200).text();
    assert!(seen.contains("198.51.100.9") && !seen.contains("/sessions/all/end"), "one who may not end is not offered to");
    assert!(root.get(&path).await.text().contains(&format!("/sessions/all/end?scope=picked&amp;id={}", other.uuid)));
    browser.get("/sessions/nonsense").await.assert_status(404);
    browser.get("/sessions/00000000-0000-0000-0000-000000000000").await.assert_status(404);
    let fields = [("ids", other.uuid.as_str()), ("expected", "1"), ("comment", "left on a train")];
    post(&root, "/sessions/all/end", &fields).await.assert_status(303);
    for caller in [&browser, &root] {
        let ended = caller.get(&path).await.assert_status(200).text();
        assert!(ended.contains("ended by root") && ended.contains("left on a train") && ended.contains(">Ended</span>"), "{ended}");
        assert_eq!(
            ended.contains("from Private network"),
            std::ptr::eq(caller, &raw const root),
            "where an administrator sits is theirs to know"
        );
    }
    bob.get(&path).await.assert_status(404);
});
