//! The set-up link of a first start.

use std::time::Duration;

use rollcall::actions::by::By;
use rollcall::actions::people::bootstrap;

use crate::support::app::sign_in_as;
use crate::support::{Caller, SESSIONS, TestApp};

const NEW: &str = "a password of one's own";

async fn submit(caller: &Caller, url: &str, proof: &str, password: &str, again: &str) -> crate::support::Answer {
    caller.post_form(url, &[("proof", proof), ("password", password), ("again", again)]).await
}

db_test!(it_works_once, |db| async move {
    let app = TestApp::new(db).await;
    let link = bootstrap::run(&app.app, By::System).await.unwrap().expect("a link");
    let url = format!("/set-up/{}", link.expose());
    let caller = app.anonymous();
    let form = caller.get(&url).await.assert_status(200);
    assert!(form.text().contains("akadmin"));
    let proof = form.proof();
    submit(&caller, &url, &proof, NEW, "something else").await.assert_status(200);
    submit(&caller, &url, &proof, "short", "short").await.assert_status(200);
    submit(&caller, &url, "", NEW, NEW).await.assert_status(403);
    submit(&app.anonymous(), &url, &proof, NEW, NEW).await.assert_status(403);
    assert_eq!(app.number("SELECT count(*) FROM sessions").await, 0, "none of these used it up");
    assert_eq!(submit(&caller, &url, &proof, NEW, NEW).await.redirects_to(), "/sessions");
    caller.get(SESSIONS).await.assert_status(200);
    app.anonymous().get(&url).await.assert_status(404);
    let again = app.anonymous();
    let other = again.get("/sign-in").await.proof();
    submit(&again, &url, &other, NEW, NEW).await.assert_status(404);
    assert!(bootstrap::run(&app.app, By::System).await.unwrap().is_none(), "there is a way in now");
    assert_eq!(sign_in_as(&app.anonymous(), "akadmin", NEW, false).await.json()["component"], "xak-flow-redirect");
});

db_test!(of_a_hundred_at_once_one_succeeds, |db| async move {
    let app = TestApp::new(db).await;
    let link = bootstrap::run(&app.app, By::System).await.unwrap().expect("a link");
    let url = format!("/set-up/{}", link.expose());
    // All have the form before the first of them sends it.
    let mut forms = Vec::new();
    for n in 0..100 {
        let caller = app.anonymous();
        forms.push((n, caller.get(&url).await.proof(), caller));
    }
    let mut posts = tokio::task::JoinSet::new();
    for (n, proof, caller) in forms {
        let (url, password) = (url.clone(), format!("{NEW} {n}"));
        posts.spawn(async move { submit(&caller, &url, &proof, &password, &password).await.status });
    }
    let statuses = posts.join_all().await;
    assert_eq!(statuses.iter().filter(|status| **status == 303).count(), 1, "{statuses:?}");
    // Too late, or more than hash at once.
    assert!(statuses.iter().all(|status| matches!(status, 303 | 404 | 503)), "{statuses:?}");
    assert_eq!(app.number("SELECT count(*) FROM sessions").await, 1);
});

db_test!(it_ends_after_an_hour_and_with_the_next_start, |db| async move {
    let app = TestApp::new(db).await;
    let first = bootstrap::run(&app.app, By::System).await.unwrap().expect("a link");
    let second = bootstrap::run(&app.app, By::System).await.unwrap().expect("a link");
    let open = async |key: &str| app.anonymous().get(&format!("/set-up/{key}")).await.status;
    assert_eq!((open(first.expose()).await, open(second.expose()).await), (404, 200));
    app.anonymous().with_bearer(second.expose()).get(SESSIONS).await.assert_detail(403, "Token invalid/expired");
    app.advance(Duration::from_secs(3600));
    assert_eq!(open(second.expose()).await, 404);
    assert_eq!(open("x").await, 404);
});

db_test!(a_configured_way_in_needs_no_link, |db| async move {
    let app = TestApp::with(db, &[("BOOTSTRAP__PASSWORD", NEW), ("BOOTSTRAP__TOKEN", "the-bootstrap-token")]).await;
    assert!(bootstrap::run(&app.app, By::System).await.unwrap().is_none());
    app.anonymous().with_bearer("the-bootstrap-token").get(SESSIONS).await.assert_status(200);
    assert_eq!(sign_in_as(&app.anonymous(), "akadmin", NEW, false).await.json()["component"], "xak-flow-redirect");
    assert!(bootstrap::run(&app.app, By::System).await.unwrap().is_none());
    assert_eq!(app.number("SELECT count(*) FROM users").await, 1);
});
