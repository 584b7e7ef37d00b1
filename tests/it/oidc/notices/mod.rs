//! Apps are told that a session of theirs ended (OpenID Connect Back-Channel Logout 1.0).

mod away;
mod crash;
mod ends;
mod pages;
mod person;
mod reach;
mod soon;
pub mod told;
mod tries;
mod wait;

use rollcall::actions::by::By;
use rollcall::actions::oidc::notices;
use rollcall::actions::oidc::notify::Notifier;
use rollcall::store::oidc::notices::{NoticeFilter, NoticeRow};
use serde_json::{Value, json};

use super::app::{App, register};
use super::verified;
use crate::guard::world::{Browser, HOME, server_with};
use crate::support::{SESSIONS, TestApp, TestDb};
use told::Told;

/// A server that may tell apps on this machine, with an administrator.
pub async fn world(db: TestDb) -> TestApp {
    let app = server_with(db, &[("OUTBOUND__ALLOW", "127.0.0.0/8")]).await;
    app.seed_keys().await;
    app.superuser("root").await;
    app
}

/// An application whose app is told.
pub async fn told_app<'a>(app: &'a TestApp, slug: &'static str, told: &Told, more: Value) -> App<'a> {
    let mut client = json!({"back_channel_uri": told.address});
    client.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    register(app, slug, client).await
}

/// One run of the job, with all its answers.
pub async fn run(app: &TestApp) -> usize {
    let mut notifier = Notifier::new(&app.app).await.unwrap();
    let begun = notifier.begin(&app.app, By::System).await.unwrap();
    notifier.finish().await;
    begun
}

/// A new session of a user that has the app open; its uuid.
pub async fn opened(wiki: &App<'_>, name: &str) -> String {
    let browser = Browser::new(wiki.app);
    let session = browser.sign_in(name).await;
    wiki.tokens(&browser).await;
    session
}

/// The claims of a logout token, after the checks of an app (Back-Channel Logout 1.0, 2.6).
pub async fn claims(wiki: &App<'_>, form: &str) -> Value {
    let token = form.strip_prefix("logout_token=").unwrap_or_else(|| panic!("{form}"));
    assert!(!token.contains('&'), "nothing else is sent: {form}");
    let keys = Browser::new(wiki.app).send("GET", HOME, &format!("/application/o/{}/jwks/", wiki.slug), &[]).await.json();
    let (header, claims) = verified(token, &keys);
    assert_eq!(header.typ.as_deref(), Some("logout+jwt"));
    assert_eq!((claims["iss"].as_str(), claims["aud"].as_str()), (Some(wiki.issuer().as_str()), Some(wiki.id.as_str())));
    assert_eq!(claims["events"], json!({"http://schemas.openid.net/event/backchannel-logout": {}}));
    assert_eq!(claims.get("nonce"), None);
    claims
}

/// Ends a session, as an administrator does by the API.
pub async fn end(app: &TestApp, session: &str) {
    let token = app.known("root").await.token().await;
    token.delete(&format!("{SESSIONS}{session}/")).await.assert_status(204);
}

/// The notices of an application, the newest first.
pub async fn rows(app: &TestApp, slug: &str) -> Vec<NoticeRow> {
    let filter = notices::of_application(&app.app, slug).await.unwrap();
    notices::list(&app.app, By::Cli, &filter, 0, 1000).await.unwrap()
}

/// The states of all notices, in the order in which they were owed.
pub async fn states(app: &TestApp) -> Vec<&'static str> {
    let rows = notices::list(&app.app, By::Cli, &NoticeFilter::default(), 0, 1000).await.unwrap();
    let now = app.app.clock.now();
    rows.iter().rev().map(|row| row.state(now).as_str()).collect()
}
