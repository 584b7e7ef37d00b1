//! `/events`: what each event holds and leads to, and whose events a filter means.

use rollcall::actions::by::By;
use rollcall::actions::people::users;
use rollcall::domain::caller::Actor;
use rollcall::domain::event::EventContent;
use rollcall::store::StoreError;
use rollcall::store::events::rows::NewEvent;
use serde_json::json;

use crate::support::app::Browser;
use crate::support::{TestApp, encode};

async fn write(app: &TestApp, event: NewEvent) {
    let written: Result<_, StoreError> =
        app.app.store.write(move |db| Box::pin(async move { db.insert_events(&[event]).await })).await;
    written.unwrap();
}

fn event(app: &TestApp, kind: &str, content: &serde_json::Value) -> NewEvent {
    EventContent::read(kind, &content.to_string()).by(&Actor::cli(), app.app.clock.now())
}

/// How many events a page lists.
async fn count(root: &Browser, query: &str) -> usize {
    root.get(&format!("/events?{query}")).await.assert_status(200).text().matches("<tr data-id=").count()
}

async fn remove(app: &TestApp, name: &str) {
    let user = users::find(&app.app, By::Cli, name).await.unwrap();
    users::remove(&app.app, By::Cli, &user).await.unwrap();
}

db_test!(an_event_shows_what_was_before_and_after, |db| async move {
    let app = TestApp::new(db).await;
    let zoe = app.user("zoe").await.id;
    let root = app.superuser("root").await.session().await;
    let content = json!({"changes": {
        "groups": {"before": ["ops"], "after": ["ops", "<dev>"]},
        "email": {"before": "", "after": "zoe@example.com"},
        "attributes": {"before": {"api_key": "…"}, "after": {"api_key": "…", "…": null}},
    }});
    write(&app, event(&app, "user_changed", &content).about(zoe, "zoe")).await;
    for path in ["/events?kind=user_changed", &format!("/users/{}", zoe.0)] {
        let text = root.get(path).await.assert_status(200).text();
        let shown = text.split("<details class=\"fields\">").nth(1).unwrap_or_else(|| panic!("{path}: {text}"));
        let shown = shown.split("</details>").next().unwrap();
        for part in ["<dt>groups</dt>", "<bdi>ops</bdi>", "<bdi>ops, &#60;dev&#62;</bdi>", "<span class=\"soft\">nothing</span>"] {
            assert!(shown.contains(part), "{path}: {part}: {shown}");
        }
        assert!(shown.contains("<bdi>api_key: …</bdi>") && shown.contains("<bdi>zoe@example.com</bdi>"), "{shown}");
    }
    let csv = root.get("/events/export?format=csv&kind=user_changed").await.assert_status(200).text();
    assert!(csv.lines().next().unwrap().ends_with(",text,content"), "{csv}");
    assert!(csv.contains("\"\"zoe@example.com\"\""), "{csv}");
    // To the user themselves an event is one sentence.
    let own = app.known("zoe").await.session().await.get("/account/activity").await.assert_status(200).text();
    assert!(own.contains("changed zoe") && !own.contains("class=\"fields\""), "{own}");
});

db_test!(an_event_leads_to_what_it_is_about, |db| async move {
    let app = TestApp::new(db).await;
    let root = app.superuser("root").await;
    let admin = root.token().await;
    let root = root.session().await;
    let group = admin.post_json("/api/v3/core/groups/", &json!({"name": "ops"})).await.assert_status(201).json();
    let group = format!("/groups/{}", group["pk"].as_str().unwrap());
    let wiki = json!({"name": "Wiki", "slug": "wiki"});
    admin.post_json("/api/v3/core/applications/", &wiki).await.assert_status(201);
    write(&app, event(&app, "token_changed", &json!({"token": "c i", "fields": "expires"}))).await;
    for (kind, path) in
        [("group_added", group.as_str()), ("application_added", "/applications/wiki"), ("token_changed", "/tokens?q=c%20i")]
    {
        let text = root.get(&format!("/events?kind={kind}")).await.assert_status(200).text();
        assert!(text.contains(&format!("href=\"{path}\"")), "{path}: {text}");
        root.get(path).await.assert_status(200);
    }
    // What is gone has no page.
    admin.delete("/api/v3/core/applications/wiki/").await.assert_status(204);
    let text = root.get("/events?kind=application_added").await.text();
    assert!(text.contains("added the application wiki") && !text.contains("href=\"/applications/wiki\""), "{text}");
});

db_test!(events_of_a_removed_user_are_found_by_the_name, |db| async move {
    let app = TestApp::new(db).await;
    app.user("carol").await.session().await;
    let alice = app.user("Alice").await;
    alice.session().await;
    let root = app.superuser("root").await.session().await;
    let of_carol = count(&root, "user=carol").await;
    remove(&app, "carol").await;
    for name in ["carol", "CAROL"] {
        assert!(count(&root, &format!("user={name}")).await > of_carol, "{name}: and that she was removed");
    }
    assert_eq!(count(&root, "user=carol&kind=user_removed").await, 1);
    assert_eq!(count(&root, "actor=CAROL&kind=sign_in").await, 1);
    // Somebody else who gets the name is who it means from then on.
    app.user("carol").await;
    assert_eq!(count(&root, "user=carol").await, 1);
    // Letter case does not count for authors either, users or not.
    for (actor, kind) in [("ALICE", "sign_in"), ("CLI", "user_removed")] {
        assert_eq!(count(&root, &format!("actor={actor}&kind={kind}")).await, 1, "{actor}");
    }
});

db_test!(a_removal_that_is_not_recorded_any_more_hides_nobody, |db| async move {
    let app = TestApp::new(db).await;
    app.user("carol").await.session().await;
    let root = app.superuser("root").await.session().await;
    remove(&app, "carol").await;
    app.db.run("DELETE FROM events WHERE kind = 'user_removed'").await;
    assert_eq!(count(&root, "user=carol&kind=sign_in").await, 1, "she is the author of an event");
});

db_test!(a_filter_that_is_not_understood_lists_nothing, |db| async move {
    let app = TestApp::new(db).await;
    let root = app.superuser("root").await.session().await;
    for (query, says) in [
        ("user=nobody", "no user named “nobody”"),
        ("ip=x&kind=sign_in", "“x” is no address"),
        ("from=soon", "“soon” is no time"),
        ("user=nobody&to=never", "“never” is no time"),
    ] {
        let text = root.get(&format!("/events?{query}")).await.assert_status(200).text();
        assert!(text.contains(says) && text.contains("Nothing is listed until this is right."), "{query}: {text}");
        assert!(!text.contains("<tr") && !text.contains("data-live") && !text.contains("No event matches"), "{query}: {text}");
        root.get(&format!("/events/live?{query}")).await.assert_status(404);
        root.get(&format!("/events/export?format=jsonl&{query}")).await.assert_status(404);
    }
    let both = root.get("/events?user=nobody&to=never").await.text();
    assert!(both.contains("no user named"), "each is said: {both}");
});

db_test!(filters_fold_and_say_how_many_apply, |db| async move {
    let app = TestApp::new(db).await;
    let root = app.superuser("root").await.session().await;
    let text = root.get("/events").await.text();
    assert!(text.contains("<label for=\"show-filters\"") && !text.contains("in use"), "{text}");
    let text = root.get(&format!("/events?kind=sign_in&actor={}", encode("root"))).await.text();
    assert!(text.contains("2 in use"), "{text}");
});
