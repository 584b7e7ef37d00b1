//! Recovery links: an administrator makes one, and somebody sets a password with it once.

use std::time::Duration;

use rollcall::actions::ActionError;
use rollcall::actions::by::By;
use rollcall::actions::people::users;

use crate::support::app::{Browser, PASSWORD, sign_in_as};
use crate::support::{Answer, Caller, SESSIONS, TestApp, TestDb};

const NEW: &str = "a password after the old one";

async fn make(admin: &Browser, id: i64) -> Answer {
    let proof = admin.get(&format!("/users/{id}")).await.assert_status(200).proof();
    admin.post_form(&format!("/users/{id}/recovery"), &[("proof", &proof)]).await
}

/// The path of the link that a page shows.
fn path_of(page: &str, origin: &str) -> String {
    let (_, rest) = page.split_once("id=\"link\">").unwrap_or_else(|| panic!("no link: {page}"));
    let link = rest.split_once('<').unwrap().0;
    link.strip_prefix(origin).unwrap_or_else(|| panic!("{link} leads elsewhere")).to_owned()
}

async fn submit(caller: &Caller, path: &str, proof: &str, password: &str) -> Answer {
    caller.post_form(path, &[("proof", proof), ("password", password), ("again", password)]).await
}

db_test!(a_link_sets_a_password_once, |db| async move {
    let app = TestApp::new(db).await;
    let (admin, alice) = (app.superuser("root").await.session().await, app.user_with_password("alice").await);
    let old = alice.session().await;
    let first = path_of(&make(&admin, alice.id.0).await.assert_status(200).text(), &app.origin());
    let path = path_of(&make(&admin, alice.id.0).await.assert_status(200).text(), &app.origin());
    let caller = app.anonymous();
    caller.get(&first).await.assert_status(404);
    let form = caller.get(&path).await.assert_status(200);
    assert!(form.text().contains("A new password") && form.text().contains("alice"), "{}", form.text());
    let proof = form.proof();
    for (bad, why) in [("alice-77?", "little more than a name"), ("password1", "many people have"), ("short", "at least 8")] {
        assert!(submit(&caller, &path, &proof, bad).await.text().contains(why), "{bad}");
    }
    old.get(SESSIONS).await.assert_status(200);
    assert_eq!(submit(&caller, &path, &proof, NEW).await.redirects_to(), "/sessions");
    old.get(SESSIONS).await.assert_status(403);
    assert_eq!(app.ending(&old.uuid).await, Some(("password_changed".into(), "alice".into())));
    assert_eq!(sign_in_as(&app.anonymous(), "alice", PASSWORD, false).await.json()["component"], "ak-stage-password");
    assert_eq!(sign_in_as(&app.anonymous(), "alice", NEW, false).await.json()["component"], "xak-flow-redirect");
    let late = app.anonymous();
    late.get(&path).await.assert_status(404);
    let events = app.events().await;
    let count = |kind: &str| events.iter().filter(|event| *event == &(kind.to_owned(), "alice".to_owned())).count();
    assert_eq!((count("recovery_link_made"), count("password_set")), (2, 1));
    // At rest there is a hash of it alone.
    let key = path.rsplit('/').next().unwrap();
    assert_eq!(app.number(&format!("SELECT count(*) FROM events WHERE content LIKE '%{key}%'")).await, 0);
});

/// What the pages about passwords say of sessions, and what happens, with this setting.
async fn assert_pages_say_what_a_new_password_ends(db: TestDb, is_ending: bool) {
    let app = TestApp::with(db, &[("SESSIONS__END_ON_PASSWORD_CHANGE", &is_ending.to_string())]).await;
    let (root, alice) = (app.superuser("root").await, app.user_with_password("alice").await);
    let (admin, session) = (root.session().await, alice.session().await);
    let made = make(&admin, alice.id.0).await.assert_status(200).text();
    let (path, caller) = (path_of(&made, &app.origin()), app.anonymous());
    let form = caller.get(&path).await.assert_status(200);
    let own = admin.get(&format!("/users/{}", root.id.0)).await.assert_status(200).text();
    for (page, says) in [
        (&made, "characters. All their sessions end."),
        (&made, "All their sessions end when they use it."),
        (&form.text(), "All sessions of this account end."),
        (&own, "characters. You are signed out everywhere, here too."),
    ] {
        assert_eq!(page.contains(says), is_ending, "{says}");
    }
    assert_eq!(submit(&caller, &path, &form.proof(), NEW).await.redirects_to(), "/sessions");
    session.get(SESSIONS).await.assert_status(if is_ending { 403 } else { 200 });
}

db_test!(pages_say_that_a_new_password_ends_sessions, |db| async move {
    assert_pages_say_what_a_new_password_ends(db, true).await;
});

db_test!(pages_say_nothing_of_sessions_where_a_new_password_ends_none, |db| async move {
    assert_pages_say_what_a_new_password_ends(db, false).await;
});

db_test!(of_a_hundred_at_once_one_succeeds, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user_with_password("alice").await;
    let user = users::find(&app.app, By::Cli, &alice.name).await.unwrap();
    let key = users::make_recovery_link(&app.app, By::Cli, &user).await.unwrap();
    let path = format!("/set-up/{}", key.expose());
    let caller = app.anonymous();
    let proof = caller.get(&path).await.assert_status(200).proof();
    let mut posts = tokio::task::JoinSet::new();
    for n in 0..100 {
        let (caller, path, proof) = (caller.clone(), path.clone(), proof.clone());
        posts.spawn(async move { submit(&caller, &path, &proof, &format!("{NEW} {n}")).await.status });
    }
    let statuses = posts.join_all().await;
    assert_eq!(statuses.iter().filter(|status| **status == 303).count(), 1, "{statuses:?}");
    // Too late, or more than hash at once.
    assert!(statuses.iter().all(|status| matches!(status, 303 | 403 | 404 | 503)), "{statuses:?}");
    assert_eq!(app.count_events("password_set").await, 1);
    assert_eq!(app.number("SELECT count(*) FROM sessions").await, 1);
});

db_test!(it_is_good_for_half_an_hour_and_for_active_users, |db| async move {
    let app = TestApp::new(db).await;
    let (admin, alice) = (app.superuser("root").await.session().await, app.user_with_password("alice").await);
    let path = path_of(&make(&admin, alice.id.0).await.text(), &app.origin());
    app.advance(Duration::from_secs(1799));
    app.anonymous().get(&path).await.assert_status(200);
    app.advance(Duration::from_secs(1));
    app.anonymous().get(&path).await.assert_status(404);
    let user = users::find(&app.app, By::Cli, "alice").await.unwrap();
    users::set_active(&app.app, By::Cli, &user, false).await.unwrap();
    let refused = users::make_recovery_link(&app.app, By::Cli, &user).await;
    assert!(matches!(&refused, Err(ActionError::Rule(rule)) if rule.to_string().contains("inactive")), "{refused:?}");
});

db_test!(administrators_alone_make_links, |db| async move {
    let settings = [("HTTP__PUBLIC_URL", "https://sessions.example")];
    let app = TestApp::with(db, &settings).await;
    let (root, alice) = (app.superuser("root").await, app.user("alice").await);
    let (address, admin) = (format!("/api/v3/core/users/{}/recovery/", alice.id.0), root.token().await);
    alice.token().await.request("POST", &address).await.assert_detail(403, "You do not have permission to perform this action.");
    app.anonymous().request("POST", &address).await.assert_detail(403, "Authentication credentials were not provided.");
    assert_eq!(app.count_events("recovery_link_made").await, 0);
    let made = admin.request("POST", &address).await.assert_status(200).json();
    let path = made["link"].as_str().unwrap().strip_prefix("https://sessions.example").unwrap().to_owned();
    app.anonymous().get(&path).await.assert_status(200);
    for (unknown, why) in
        [("999999", "No User matches the given query."), ("-1", "No User matches the given query."), ("x", "Not found.")]
    {
        let answer = admin.request("POST", &format!("/api/v3/core/users/{unknown}/recovery/")).await;
        answer.assert_detail(404, why);
    }
    let wrong = admin.get(&address).await.assert_status(405);
    assert_eq!(wrong.header("allow"), Some("POST, OPTIONS"));
    assert_eq!(app.count_events("recovery_link_made").await, 1);
});

db_test!(it_replaces_no_second_factor, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user_with_password("alice").await;
    let old = alice.session().await;
    let (uuid, secret, yes) = match app.db.is_sqlite() {
        true => ("x'00000000000040008000000000000001'", "x'00'", "1"),
        false => ("'00000000-0000-4000-8000-000000000001'", "'\\x00'", "TRUE"),
    };
    let columns = "uuid, user_id, kind, name, secret, counter, is_confirmed, created_at";
    let values = format!("{uuid}, {}, 'totp', 'phone', {secret}, 0, {yes}, 0", alice.id.0);
    app.db.run(&format!("INSERT INTO authenticators ({columns}) VALUES ({values})")).await;
    let user = users::find(&app.app, By::Cli, "alice").await.unwrap();
    let key = users::make_recovery_link(&app.app, By::Cli, &user).await.unwrap();
    let (caller, path) = (app.anonymous(), format!("/set-up/{}", key.expose()));
    let proof = caller.get(&path).await.assert_status(200).proof();
    let next = submit(&caller, &path, &proof, NEW).await.assert_status(200).text();
    assert!(next.contains("Second step"), "{next}");
    assert_eq!(caller.cookie("rollcall_session"), None);
    old.get(SESSIONS).await.assert_status(403);
    assert_eq!(app.number("SELECT count(*) FROM sessions").await, 0);
    assert_eq!(app.count_events("password_set").await, 1);
    caller.get(&path).await.assert_status(404);
});
