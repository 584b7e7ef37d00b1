//! The tasks of administrators in a real browser: each from the page after the sign-in, in at most four clicks.

use fantoccini::Locator;
use serde_json::json;

use crate::journeys::{axe, look};
use crate::process::{Chromium, Home, PASSWORD, Server, eventually};

/// The most clicks that a task takes.
const MOST_CLICKS: usize = 4;

/// An administrator at work.
struct Desk {
    home: Home,
    server: Server,
    browser: Chromium,
}

/// One task: what is clicked is counted.
struct Task<'a> {
    browser: &'a Chromium,
    name: &'static str,
    clicks: usize,
}

impl Desk {
    async fn open(with_scripts: bool) -> Option<Self> {
        let browser = if with_scripts { Chromium::open().await? } else { Chromium::open_without_scripts().await? };
        let home = Home::sqlite().with_administrator();
        let server = home.serve().await;
        home.import(&[
            json!({"kind": "group", "name": "staff"}),
            json!({"kind": "user", "username": "bob", "email": "bob@example.com"}),
            json!({"kind": "user", "username": "アリス", "groups": ["staff"]}),
        ]);
        browser.open_page(&server, "/sign-in").await;
        browser.sign_in("akadmin", PASSWORD).await;
        browser.arrives_at("/sessions").await;
        Some(Self { home, server, browser })
    }

    async fn task(&self, name: &'static str) -> Task<'_> {
        self.browser.open_page(&self.server, "/sessions").await;
        Task { browser: &self.browser, name, clicks: 0 }
    }
}

impl Task<'_> {
    async fn click(&mut self, xpath: &str) {
        self.clicks += 1;
        assert!(self.clicks <= MOST_CLICKS, "{}: too many clicks", self.name);
        let found = self.browser.client.wait().for_element(Locator::XPath(xpath)).await;
        found.unwrap_or_else(|error| panic!("{}, {xpath}: {error}", self.name)).click().await.unwrap();
    }

    async fn link(&mut self, name: &str) {
        self.click(&format!("//a[normalize-space() = '{name}']")).await;
    }

    async fn button(&mut self, name: &str) {
        self.click(&format!("//button[normalize-space() = '{name}']")).await;
    }

    async fn tick(&mut self, label: &str) {
        self.click(&format!("//label[contains(normalize-space(), '{label}')]/input")).await;
    }

    async fn write(&self, label: &str, text: &str) {
        let xpath = format!("//*[@id = //label[starts-with(normalize-space(), '{label}')]/@for]");
        let field = self.browser.client.wait().for_element(Locator::XPath(&xpath)).await;
        let field = field.unwrap_or_else(|error| panic!("{}, {label}: {error}", self.name));
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    /// Waits until the page has this heading and these words.
    async fn sees(&self, heading: &str, words: &[&str]) {
        let what = format!("{}: {heading}, {words:?}", self.name);
        eventually(&what, || async {
            let (is_there, text) = (self.browser.heading().await == heading, self.browser.text().await);
            (is_there && words.iter().all(|word| text.contains(word))).then_some(())
        })
        .await;
    }
}

async fn users_and_groups(desk: &Desk, axe: Option<&str>) {
    let mut task = desk.task("change a name and an address").await;
    task.link("Users").await;
    task.link("Edit bob").await;
    task.write("Full name", "Bob Müller").await;
    task.write("E-mail", "bob@example.org").await;
    task.button("Save").await;
    task.sees("bob", &["Bob Müller", "bob@example.org"]).await;

    let mut task = desk.task("make somebody an administrator").await;
    task.link("Users").await;
    task.link("Edit bob").await;
    task.tick("Administrator").await;
    task.button("Save").await;
    task.sees("bob", &["See and do everything (set here)"]).await;

    let mut task = desk.task("make a group").await;
    task.link("Groups").await;
    task.link("Add a group").await;
    task.write("Name", "on call").await;
    task.button("Add group").await;
    task.sees("on call", &["It has no members of its own."]).await;

    let mut task = desk.task("make a group within another").await;
    task.link("Groups").await;
    task.link("Add a group").await;
    task.write("Name", "nights").await;
    task.tick("on call").await;
    task.button("Add group").await;
    task.sees("nights", &["on call"]).await;

    let mut task = desk.task("put a user into a group").await;
    task.link("Groups").await;
    task.link("nights").await;
    task.write("Username to add", "アリス").await;
    task.button("Add member").await;
    task.sees("nights", &["アリス", "Members: 1"]).await;

    let mut task = desk.task("take a user out of a group").await;
    task.link("Groups").await;
    task.link("staff").await;
    task.button("Remove アリス").await;
    task.sees("staff", &["It has no members of its own."]).await;

    let mut task = desk.task("see who has no second factor").await;
    task.link("Users").await;
    task.link("Without a second factor").await;
    task.sees("Users", &["3 users", "アリス"]).await;

    let mut task = desk.task("see who never signed in").await;
    task.link("Users").await;
    task.link("Never signed in").await;
    task.sees("Users", &["2 users"]).await;

    let mut task = desk.task("make somebody an auditor").await;
    task.link("Users").await;
    task.link("Edit アリス").await;
    task.tick("Auditor").await;
    task.button("Save").await;
    task.sees("アリス", &["See everything (set here)"]).await;

    let mut task = desk.task("limit the sessions of a user").await;
    task.link("Users").await;
    task.link("bob").await;
    task.link("Policy").await;
    task.write("Idle timeout", "30m").await;
    task.button("Save").await;
    task.sees("Policy of bob", &["Set for bob.", "For the instance it is 12h."]).await;

    let mut task = desk.task("limit everybody's sessions").await;
    task.link("Settings").await;
    task.link("Policy of the instance").await;
    task.write("Absolute timeout", "5d").await;
    task.button("Save").await;
    task.sees("Policy of the instance", &["5d"]).await;

    let mut task = desk.task("add users from a CSV").await;
    task.link("Users").await;
    task.link("Import a CSV").await;
    task.write("The CSV", "username;name\nzoë;Zoë\nname\u{200b};x\n").await;
    task.button("Show what would be added").await;
    task.sees("Import users", &["1 fault: nothing was stored", "Line 3:"]).await;
    look(&desk.browser, axe, "faults of a CSV").await;
    task.write("The CSV", "username;name\nzoë;Zoë\n").await;
    task.clicks = 2;
    task.button("Show what would be added").await;
    task.sees("Import users", &["1 user will be added", "Zoë"]).await;
    look(&desk.browser, axe, "the preview of a CSV").await;
    task.button("Add 1 user").await;
    task.sees("Users", &["4 users", "zoë"]).await;

    let mut task = desk.task("remove a user").await;
    task.link("Users").await;
    task.link("アリス").await;
    task.link("Remove…").await;
    task.button("Remove アリス").await;
    task.sees("Users", &["3 users"]).await;
    assert_eq!(desk.home.texts("SELECT username FROM users ORDER BY id").await, ["akadmin", "bob", "zoë"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn users_and_groups_are_kept_in_four_clicks_each() {
    let Some(desk) = Desk::open(true).await else { return };
    users_and_groups(&desk, axe().as_deref()).await;
    desk.browser.assert_content().await;
    desk.browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_and_groups_are_kept_without_scripts() {
    let Some(desk) = Desk::open(false).await else { return };
    users_and_groups(&desk, None).await;
    desk.browser.close().await;
}
