//! What the tree of a session says of an end: how soon it takes effect in each app.

use std::time::Duration;

use rollcall::actions::by::By;
use rollcall::actions::people::{privacy, users};
use serde_json::{Value, json};

use super::app::register;
use crate::guard::world::{Browser, HOME, PAGE, server};
use crate::support::SESSIONS;

/// `ends_within` of the application with this slug, among those of a session.
fn within(applications: &Value, slug: &str) -> u64 {
    let of_slug = applications.as_array().unwrap().iter().find(|open| open["slug"] == slug);
    of_slug.unwrap_or_else(|| panic!("{slug} in {applications}"))["ends_within"].as_u64().unwrap()
}

db_test!(the_tree_says_how_soon_an_end_takes_effect, |db| async move {
    let app = server(db).await;
    app.seed_keys().await;
    let alice = app.user("alice").await;
    let (wiki, jwt) = (register(&app, "wiki", json!({})).await, register(&app, "jwt", json!({"access_token": "jwt"})).await);
    let browser = Browser::new(&app);
    let session = browser.sign_in("alice").await;
    wiki.tokens(&browser).await;
    let tokens = jwt.tokens(&browser).await;
    let mine = alice.token().await;
    let shown = async || {
        let details = mine.get(&format!("{SESSIONS}{session}/details/")).await.assert_status(200).json();
        let listed = mine.get("/api/v3/core/app_sessions/").await.assert_status(200).json();
        assert_eq!(within(&listed["results"], "jwt"), within(&details["applications"], "jwt"));
        (within(&details["applications"], "wiki"), within(&details["applications"], "jwt"))
    };
    assert_eq!(shown().await, (0, 300));
    app.advance(Duration::from_secs(61));
    assert_eq!(shown().await, (0, 239), "what is left of it");
    jwt.refresh(tokens["refresh_token"].as_str().unwrap()).await.assert_status(200);
    assert_eq!(shown().await, (0, 300), "of the one that lives longest");
    // An app that takes its tokens back still holds them.
    jwt.call("/application/o/revoke/", &[("token", tokens["refresh_token"].as_str().unwrap())]).await.assert_status(200);
    assert_eq!(shown().await, (0, 300));

    let page = async || browser.send("GET", HOME, &format!("/sessions/{session}"), &PAGE).await.assert_status(200).text();
    let text = page().await;
    let cell = |words: &str| format!("<td data-label=\"The end takes effect\">{words}</td>");
    assert!(text.contains(&cell("at once")) && text.contains(&cell("within 5 minutes")), "{text}");
    let row = users::find(&app.app, By::Cli, "alice").await.unwrap();
    let export = privacy::export(&app.app, By::Cli, &row).await.unwrap();
    assert_eq!(within(&export["sessions"][0]["applications"], "jwt"), 300);

    // The history says it for as long as it is so.
    let other = Browser::of(&app, "alice").await;
    mine.delete(&format!("{SESSIONS}{session}/")).await.assert_status(204);
    let ended = async || {
        let listed = mine.get("/api/v3/core/ended_sessions/").await.assert_status(200).json();
        let row = listed["results"].as_array().unwrap().iter().find(|row| row["uuid"] == session.as_str()).unwrap().clone();
        (within(&row["applications"], "wiki"), within(&row["applications"], "jwt"))
    };
    let page = async || other.send("GET", HOME, &format!("/sessions/{session}"), &PAGE).await.assert_status(200).text();
    assert_eq!(ended().await, (0, 300));
    assert!(page().await.contains(&cell("within 5 minutes")));
    app.advance(Duration::from_secs(250));
    assert_eq!(ended().await, (0, 50));
    assert!(page().await.contains(&cell("within 1 minute")));
    app.advance(Duration::from_secs(50));
    assert_eq!(ended().await, (0, 0));
    let text = page().await;
    assert!(text.contains("The jwt") && !text.contains("The end takes effect"), "{text}");
});

db_test!(a_jwt_counts_whatever_its_client_gets_now, |db| async move {
    let app = server(db).await;
    app.seed_keys().await;
    let alice = app.user("alice").await;
    let jwt = register(&app, "jwt", json!({"access_token": "jwt", "access_lifetime": 3600})).await;
    let browser = Browser::new(&app);
    let session = browser.sign_in("alice").await;
    let tokens = jwt.tokens(&browser).await;
    let mine = alice.token().await;
    let shown = async || {
        let details = mine.get(&format!("{SESSIONS}{session}/details/")).await.assert_status(200).json();
        within(&details["applications"], "jwt")
    };
    assert_eq!(shown().await, 3600);
    // The client gets opaque ones from now on. The JWT that it has is as good as before.
    let changed = rollcall::actions::applications::edit(&app.app, By::Cli, "jwt", |application| {
        application.client.as_mut().unwrap().client.access_token = rollcall::domain::application::client::AccessToken::Opaque;
        Ok(())
    });
    changed.await.unwrap();
    jwt.refresh(tokens["refresh_token"].as_str().unwrap()).await.assert_status(200);
    app.advance(Duration::from_secs(60));
    assert_eq!(shown().await, 3540);
    // A very large end that was recorded and not moved yet says the same.
    app.record_ends_of(alice.id.0, 100).await;
    let ended = async || {
        let listed = mine.get("/api/v3/core/ended_sessions/").await.assert_status(200).json();
        within(&listed["results"][0]["applications"], "jwt")
    };
    app.move_pending().await;
    assert_eq!(ended().await, 3540);
    app.advance(Duration::from_secs(3540));
    assert_eq!(ended().await, 0);
});
