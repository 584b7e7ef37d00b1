//! Passkeys in a real browser, with an authenticator that WebDriver plugs in.

use fantoccini::Locator;
use serde_json::json;

use crate::process::{Chromium, Home, PASSWORD, Server};

/// A server with an administrator, and a browser. Browsers make passkeys for `localhost`, not for `127.0.0.1`.
async fn start() -> Option<(Home, Server, Chromium)> {
    let browser = Chromium::open().await?;
    let home = Home::sqlite().with_administrator();
    let mut server = home.serve().await;
    server.origin = server.origin.replace("127.0.0.1", "localhost");
    Some((home, server, browser))
}

async fn sign_out(browser: &Chromium) {
    browser.button("Sign out").await.click().await.unwrap();
    browser.arrives_at("/sign-in").await;
}

async fn says(browser: &Chromium) -> String {
    let note = browser.client.wait().for_element(Locator::Css("[data-passkey-says]:not([hidden])")).await.unwrap();
    note.text().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passkey_from_adding_it_to_signing_in_with_it() {
    let Some((_home, server, browser)) = start().await else { return };
    let authenticator = browser.add_authenticator().await;
    browser.open_page(&server, "/sign-in?next=/security").await;
    browser.sign_in("akadmin", PASSWORD).await;
    browser.arrives_at("/security").await;
    browser.field("Name of the passkey (not required)").await.send_keys("Blue key").await.unwrap();
    browser.button("Add a passkey").await.click().await.unwrap();
    // Recovery codes come with the first one.
    browser.arrives_at("/security/passkeys").await;
    assert!(browser.text().await.to_lowercase().contains("recovery codes"));
    browser.assert_content().await;
    browser.open_page(&server, "/security").await;
    assert!(browser.text().await.contains("Blue key"));
    // A device has one passkey of each user.
    browser.button("Add a passkey").await.click().await.unwrap();
    assert_eq!(says(&browser).await, "This device or key has a passkey of yours already.");
    browser.assert_content().await;

    // The sign-in page offers passkeys where the browser offers names; this one takes what is offered.
    browser.button("Sign out").await.click().await.unwrap();
    browser.arrives_at("/sessions").await;
    assert!(browser.text().await.contains("with passkey"), "{}", browser.text().await);
    let no_offers = "PublicKeyCredential.isConditionalMediationAvailable = async () => false";
    browser.devtools("Page.addScriptToEvaluateOnNewDocument", json!({ "source": no_offers })).await;

    // With password and passkey.
    sign_out(&browser).await;
    browser.sign_in("akadmin", PASSWORD).await;
    assert_eq!(browser.client.wait().for_element(Locator::Css("#code")).await.map(drop).ok(), Some(()));
    browser.button("Use a passkey").await.click().await.unwrap();
    browser.arrives_at("/sessions").await;
    assert!(browser.text().await.contains("with password and passkey"), "{}", browser.text().await);
    browser.assert_content().await;

    // With the passkey alone; and not by somebody else's finger.
    sign_out(&browser).await;
    browser.set_verified(&authenticator, false).await;
    browser.button("Sign in with a passkey").await.click().await.unwrap();
    assert!(says(&browser).await.starts_with("That was cancelled"));
    browser.set_verified(&authenticator, true).await;
    browser.button("Sign in with a passkey").await.click().await.unwrap();
    browser.arrives_at("/sessions").await;
    assert_eq!(server.sessions().await.len(), 1);
    browser.open_page(&server, "/sessions").await;
    assert!(browser.text().await.contains("with passkey"), "{}", browser.text().await);
    browser.assert_content().await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_scripts_passkeys_say_why_not() {
    let Some(browser) = Chromium::open_without_scripts().await else { return };
    let home = Home::sqlite().with_administrator();
    let mut server = home.serve().await;
    server.origin = server.origin.replace("127.0.0.1", "localhost");
    browser.open_page(&server, "/sign-in").await;
    let text = browser.text().await;
    assert!(text.contains("Passkeys need JavaScript.") && !text.contains("Sign in with a passkey"), "{text}");
    browser.sign_in("akadmin", PASSWORD).await;
    browser.arrives_at("/sessions").await;
    browser.close().await;
}
