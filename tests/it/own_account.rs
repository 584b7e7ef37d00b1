//! A user's own account in a real browser.

use fantoccini::Locator;
use serde_json::json;

use crate::journeys::{axe, look_around, show_as};
use crate::process::{Chromium, Home, PASSWORD, Person, Server, eventually};

async fn start(removal: &str, with_scripts: bool) -> Option<(Home, Server, Chromium)> {
    let browser = if with_scripts { Chromium::open().await? } else { Chromium::open_without_scripts().await? };
    let home = Home::sqlite().with_administrator().with("ROLLCALL_ACCOUNT__REMOVAL", removal);
    let server = home.serve().await;
    home.add_user("zoë.müller");
    home.import(&[json!({"kind": "group", "name": "staff"})]);
    let wiki = ["app", "add", "wiki", "--name", "Das Wiki アリス", "--host", "wiki.example.com", "--allow", "signed_in"];
    home.ok(&[&["--set", "http.public_url=http://login.example.com"], &wiki[..], &["--app-passwords", "true"]].concat());
    browser.open_page(&server, "/sign-in").await;
    browser.sign_in("zoë.müller", PASSWORD).await;
    browser.arrives_at("/sessions").await;
    Some((home, server, browser))
}

async fn click(browser: &Chromium, xpath: &str) {
    let found = browser.client.wait().for_element(Locator::XPath(xpath)).await;
    found.unwrap_or_else(|error| panic!("{xpath}: {error}")).click().await.unwrap();
}

async fn link(browser: &Chromium, name: &str) {
    click(browser, &format!("//a[normalize-space() = '{name}']")).await;
}

async fn write(browser: &Chromium, label: &str, text: &str) {
    let field = browser.field(label).await;
    field.clear().await.unwrap();
    field.send_keys(text).await.unwrap();
}

/// Waits until the page has this heading and these words.
async fn sees(browser: &Chromium, heading: &str, words: &[&str]) {
    eventually(&format!("{heading}, {words:?}"), || async {
        let (is_there, text) = (browser.heading().await == heading, browser.text().await);
        (is_there && words.iter().all(|word| text.contains(word))).then_some(())
    })
    .await;
}

async fn keep_an_account(home: &Home, server: &Server, browser: &Chromium, axe: Option<&str>) {
    // The name in the bar leads there.
    click(browser, "//a[@href = '/account']").await;
    sees(browser, "My account", &["zoë.müller", "Activity"]).await;
    write(browser, "Full name", "Zoë \"Z\" Müller アリス").await;
    write(browser, "E-mail", "zoe@example.com").await;
    browser.button("Save").await.click().await.unwrap();
    sees(browser, "My account", &["Your account is saved.", "changed their own account: email, name"]).await;
    // An older proof is asked for again, and the form is done after it.
    home.execute("UPDATE session_rows SET proved_at = 0").await;
    write(browser, "E-mail", "other@example.com").await;
    browser.button("Save").await.click().await.unwrap();
    let password = "//input[@type = 'password']";
    browser.client.wait().for_element(Locator::XPath(password)).await.unwrap().send_keys(PASSWORD).await.unwrap();
    browser.type_keys(&char::from(fantoccini::key::Key::Enter).to_string()).await;
    sees(browser, "My account", &["Your account is saved."]).await;
    assert_eq!(home.texts("SELECT email FROM users WHERE email <> ''").await, ["other@example.com"]);

    drop(Person::new(server, "curl/8.14.1").sign_in("zoë.müller", "a wrong password").await);
    browser.open_page(server, "/account").await;
    sees(browser, "My account", &["1 failed attempt in 30 days"]).await;
    if axe.is_some() {
        look_around(browser, axe, "the account").await;
        show_as(browser, "light", 1280, 900).await;
    }
    link(browser, "Look at them").await;
    sees(browser, "Failed attempts", &["Somebody tried to sign in as \u{2068}zoë.müller\u{2069}, and failed"]).await;
    link(browser, "Everything").await;
    sees(browser, "My activity", &["signed in", "changed their own account"]).await;

    browser.open_page(server, "/apps").await;
    link(browser, "App passwords").await;
    sees(browser, "App passwords", &["No app passwords yet"]).await;
    link(browser, "Make an app password").await;
    sees(browser, "Make an app password", &["Das Wiki アリス"]).await;
    if axe.is_some() {
        look_around(browser, axe, "the form for an app password").await;
        show_as(browser, "light", 1280, 900).await;
    }
    write(browser, "What for (not required)", "Sicherung in Zürich").await;
    browser.button("Make app password").await.click().await.unwrap();
    sees(browser, "App passwords", &["Here is the app password for Sicherung in Zürich", "rcp_"]).await;
    if axe.is_some() {
        look_around(browser, axe, "the app password").await;
        show_as(browser, "light", 1280, 900).await;
    }
    click(browser, "//a[starts-with(@aria-label, 'Remove')]").await;
    sees(browser, "Remove the app password \u{2068}Sicherung in Zürich\u{2069}?", &["It opens wiki."]).await;
    click(browser, "//form[@action = '/apps/passwords/remove']//button").await;
    sees(browser, "App passwords", &["No app passwords yet"]).await;

    browser.open_page(server, "/account").await;
    link(browser, "What is known about me").await;
    sees(browser, "What is known about me", &["Zoë \"Z\" Müller アリス", "other@example.com", "What is not shown"]).await;
}

async fn ask_to_be_removed(server: &Server, browser: &Chromium) {
    browser.open_page(server, "/account").await;
    link(browser, "Ask to be removed…").await;
    sees(browser, "Ask to be removed?", &["The administrators see that you asked."]).await;
    browser.button("Ask to be removed").await.click().await.unwrap();
    sees(browser, "My account", &["The administrators see that you asked to be removed.", "An administrator decides"]).await;
    browser.button("Keep my account").await.click().await.unwrap();
    sees(browser, "My account", &["Your account stays.", "Ask to be removed…"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_keep_their_own_account() {
    let Some((home, server, browser)) = start("ask", true).await else { return };
    let axe = axe();
    keep_an_account(&home, &server, &browser, Some(axe.as_deref().unwrap_or_default()).filter(|axe| !axe.is_empty())).await;
    ask_to_be_removed(&server, &browser).await;
    browser.assert_content().await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_keep_their_own_account_without_scripts() {
    let Some((home, server, browser)) = start("ask", false).await else { return };
    keep_an_account(&home, &server, &browser, None).await;
    ask_to_be_removed(&server, &browser).await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_erases_the_account_and_is_gone() {
    let Some((home, server, browser)) = start("at_once", true).await else { return };
    let axe = axe();
    let other = Person::signed_in(&server, "zoë.müller").await;
    browser.open_page(&server, "/account").await;
    link(&browser, "Erase my account…").await;
    sees(&browser, "Erase my account?", &["These sessions will end"]).await;
    look_around(&browser, axe.as_deref(), "the question before an account is erased").await;
    show_as(&browser, "light", 1280, 900).await;
    browser.button("Erase my account").await.click().await.unwrap();
    sees(&browser, "Your account is gone", &[]).await;
    look_around(&browser, axe.as_deref(), "the page after it").await;
    assert!(!other.is_signed_in().await);
    assert_eq!(home.texts("SELECT username FROM users").await, ["akadmin"]);
    link(&browser, "Sign in as somebody else").await;
    browser.arrives_at("/sign-in").await;
    browser.assert_content().await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_to_the_page_by_themselves() {
    let Some(browser) = Chromium::open().await else { return };
    let home = Home::sqlite().with_administrator();
    let server = home.serve().await;
    home.add_user("bob");
    browser.open_page(&server, "/sign-in?next=/events").await;
    browser.sign_in("akadmin", PASSWORD).await;
    sees(&browser, "Events", &["Live"]).await;
    let rows = async || browser.client.find_all(Locator::Css("#events tbody tr")).await.map_or(0, |rows| rows.len());
    let before = rows().await;
    drop(Person::new(&server, "curl/8.14.1").sign_in("bob", "a wrong password").await);
    sees(&browser, "Events", &["Somebody tried to sign in as bob, and failed"]).await;
    assert_eq!(rows().await, before + 1);
    // While somebody is at the table, rows stay where they are.
    browser.script("document.querySelector('#events tbody a').focus()").await;
    home.ok(&["user", "deactivate", "bob"]);
    sees(&browser, "Events", &["1 new: show"]).await;
    assert_eq!(rows().await, before + 1);
    browser.button("1 new: show").await.click().await.unwrap();
    sees(&browser, "Events", &["cli deactivated bob"]).await;
    assert_eq!(rows().await, before + 2);
    // Paused, nothing comes; the link is there instead.
    browser.button("Live").await.click().await.unwrap();
    sees(&browser, "Events", &["Paused", "Reload"]).await;
    home.ok(&["user", "activate", "bob"]);
    browser.button("Paused").await.click().await.unwrap();
    sees(&browser, "Events", &["Live", "cli made bob active"]).await;
    browser.assert_content().await;
    browser.close().await;
}
