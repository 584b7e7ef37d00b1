//! What a person and an administrator do with an app, whichever it is.

use fantoccini::Locator;

use super::world::{Registered, World};
use crate::process::{Chromium, PASSWORD, eventually};

/// What differs from app to app.
pub trait RealApp {
    /// The address that leads to the sign-in.
    const LOGIN: &'static str;
    /// Where the app leads after a sign-out.
    const AFTER: &'static str;

    /// Opens the page that signs out.
    async fn sign_out(&self, browser: &Chromium, app: &Registered);

    /// Has the app fetch other tokens; whether it got them.
    async fn refreshes(&self, browser: &Chromium, app: &Registered) -> bool;
}

/// The text of an app's page, once it is this one.
pub async fn shows(browser: &Chromium, text: &str) {
    let found = || async { browser.text().await.contains(text).then_some(()) };
    let seen = tokio::time::timeout(std::time::Duration::from_secs(20), eventually(text, found)).await;
    let at = browser.client.current_url().await.unwrap();
    assert!(seen.is_ok(), "{at} does not show {text}, but: {}", browser.text().await);
}

/// Opens an address, and gives the text of the page.
pub async fn read(browser: &Chromium, address: &str) -> String {
    browser.client.goto(address).await.unwrap();
    browser.text().await
}

async fn sign_in(browser: &Chromium, app: &Registered, login: &str) {
    browser.client.goto(&format!("{}{login}", app.base())).await.unwrap();
    let found = || async { browser.client.find(Locator::Css("#username")).await.ok() };
    let form = tokio::time::timeout(std::time::Duration::from_secs(20), eventually("the form", found)).await;
    assert!(form.is_ok(), "{}: {}", browser.client.current_url().await.unwrap(), browser.text().await);
    browser.sign_in("alice", PASSWORD).await;
    shows(browser, "signed in as alice").await;
    assert!(browser.client.current_url().await.unwrap().as_str().starts_with(&app.base()));
}

/// Signs in, refreshes, signs out from the app; and again, with an end by an administrator and a crash of the server.
pub async fn journey<A: RealApp>(mut world: World, registered: Registered, app: A) {
    let Some(browser) = Chromium::open_trusting().await else { return };
    sign_in(&browser, &registered, A::LOGIN).await;
    let open = world.home.ok(&["app", "show", registered.slug]);
    assert!(!world.sessions().is_empty(), "{open}");
    assert!(app.refreshes(&browser, &registered).await, "a refresh");

    // The app signs its user out of Rollcall, and is where the browser ends.
    app.sign_out(&browser, &registered).await;
    let bye = format!("{}{}", registered.base(), A::AFTER);
    eventually("the app's page after a sign-out", || async {
        (browser.client.current_url().await.ok()?.as_str() == bye).then_some(())
    })
    .await;
    assert_eq!(world.sessions(), Vec::<serde_json::Value>::new());
    // So the sign-in asks for the password again.
    sign_in(&browser, &registered, A::LOGIN).await;

    // A crash of the server takes nothing from the app.
    world.crash().await;
    assert!(app.refreshes(&browser, &registered).await, "a refresh after a crash");

    // An end by an administrator reaches the app at its next request to Rollcall.
    world.end_all();
    assert!(!app.refreshes(&browser, &registered).await, "a refresh after an end");
    browser.close().await;
}
