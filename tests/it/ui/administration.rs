//! The pages of administrators: users, tokens, events, settings; and the page of one session.

use rollcall::domain::Permission;

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
    for path in ["/users", "/tokens", "/events", "/settings", &user] {
        let refused = viewer.get(path).await.assert_status(403).text();
        assert!(!refused.contains("root"), "{path}");
        root.get(path).await.assert_status(200);
        assert_eq!(app.anonymous().get(path).await.redirects_to(), format!("/sign-in?next={path}"));
    }
    let (active, password) = (format!("{user}/active"), format!("{user}/password"));
    for (path, fields) in [
        ("/users", &[("username", "mallory")][..]),
        ("/tokens", &[("username", "root"), ("made_up", "x"), ("days", "0")]),
        ("/tokens/remove", &[("identifier", "x")]),
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
    assert_eq!(text.matches("<tr>").count(), 51, "a head and fifty rows");
    let next = text.split("<a href=\"/events?before=").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let earlier = root.get(&format!("/events?before={next}")).await.text();
    assert!(earlier.contains("added the user alice") && !earlier.contains("rel=\"next\""));
    let added = root.get("/events?kind=user_added&user=alice").await.text();
    assert_eq!(added.matches("<tr>").count(), 2);
    assert!(root.get("/events?actor=nobody").await.text().contains("No event matches"));
    assert!(root.get("/events?from=2026-11-02").await.text().contains("No event matches"));
    assert_eq!(root.get("/events?from=2026-11-01&to=2026-11-01&kind=user_added").await.text().matches("<tr>").count(), 3);
    for (odd, says) in [("from=soon", "is no day"), ("user=nobody", "no user named"), ("before=x&kind=%00&to=9", "is no day")] {
        assert!(root.get(&format!("/events?{odd}")).await.assert_status(200).text().contains(says), "{odd}");
    }
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
