//! What a person and an administrator do with an app, whichever it is.

use std::time::Duration;

use fantoccini::Locator;
use fantoccini::cookies::Cookie;

use super::world::{Registered, World};
use crate::process::{Chromium, PASSWORD, eventually, within};

/// The first tries of a notice, and what a busy machine takes in addition.
const TRIES: Duration = Duration::from_secs(120);

/// What differs from app to app.
pub trait RealApp {
    /// The address that leads to the sign-in.
    const LOGIN: &'static str;
    /// Where the app leads after a sign-out.
    const AFTER: &'static str;

    /// Where it is told that a session ended.
    const TOLD: &'static str;
    /// Whether it has more than one user at a time.
    const HAS_MANY: bool = true;

    /// Kills the app's server.
    async fn kill(&mut self);

    /// Starts it again, at the same address.
    async fn start_again(&mut self);

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
pub async fn journey<A: RealApp>(mut world: World, registered: Registered, mut app: A) {
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

    // An end by an administrator reaches the app at its next request to Rollcall, where it was not told before.
    world.end_all();
    assert!(!app.refreshes(&browser, &registered).await, "a refresh after an end");
    is_told(&browser, &world, &registered, A::LOGIN).await;
    is_told_later(&browser, &world, &registered, &mut app).await;
    browser.close().await;
}

/// Whether the app says that its user is signed in.
async fn is_signed_in(browser: &Chromium, app: &Registered) -> bool {
    read(browser, &format!("{}/", app.base())).await.contains("signed in as alice")
}

/// Waits until the app was told of all ends.
async fn all_told(world: &World, app: &Registered) {
    within(TRIES, "that the app is told", async || {
        world.notices(app).iter().all(|notice| notice["state"] == "delivered").then_some(())
    })
    .await;
}

/// An end by an administrator reaches an app that asks for nothing.
async fn is_told(browser: &Chromium, world: &World, app: &Registered, login: &str) {
    sign_in(browser, app, login).await;
    assert!(is_signed_in(browser, app).await);
    world.end_all();
    all_told(world, app).await;
    assert!(!is_signed_in(browser, app).await, "after it was told");
    assert!(world.notices(app).iter().all(|notice| notice["tries"] == 1), "{:?}", world.notices(app));
}

/// Makes the browser another one: it forgets its cookies, and gives those of the app.
async fn as_another(browser: &Chromium, world: &World, app: &Registered, page: &str) -> Vec<Cookie<'static>> {
    browser.client.goto(&format!("{}{page}", app.base())).await.unwrap();
    let cookies = browser.client.get_all_cookies().await.unwrap();
    browser.client.delete_all_cookies().await.unwrap();
    browser.client.goto(&format!("{}/sign-in", world.origin())).await.unwrap();
    browser.client.delete_all_cookies().await.unwrap();
    cookies
}

/// An end reaches an app that is down, once it is up again. Another session of the same user goes on.
async fn is_told_later<A: RealApp>(browser: &Chromium, world: &World, registered: &Registered, app: &mut A) {
    sign_in(browser, registered, A::LOGIN).await;
    let first = world.sessions()[0]["uuid"].as_str().unwrap().to_owned();
    let mut cookies = Vec::new();
    if A::HAS_MANY {
        cookies = as_another(browser, world, registered, A::AFTER).await;
        sign_in(browser, registered, A::LOGIN).await;
    }
    app.kill().await;
    world.end(&first);
    within(TRIES, "a try", async || {
        let newest = world.notices(registered).remove(0);
        let said = newest["said"].as_str().unwrap();
        (newest["session"] == first.as_str() && newest["state"] == "waiting" && said.starts_with("no connection")).then_some(())
    })
    .await;
    app.start_again().await;
    all_told(world, registered).await;
    let newest = world.notices(registered).remove(0);
    assert!(newest["tries"].as_u64() > Some(1) && newest["session"] == first.as_str(), "{newest}");
    if A::HAS_MANY {
        assert!(is_signed_in(browser, registered).await, "the other session goes on");
        world.end_all();
        all_told(world, registered).await;
        assert!(!is_signed_in(browser, registered).await, "the other session ended, too");
        // And the first one ended before.
        as_another(browser, world, registered, A::AFTER).await;
        browser.client.goto(&format!("{}{}", registered.base(), A::AFTER)).await.unwrap();
        for cookie in cookies {
            browser.client.add_cookie(cookie).await.unwrap();
        }
    }
    assert!(!is_signed_in(browser, registered).await, "after it was told");
}
