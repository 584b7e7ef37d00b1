//! The tasks of administrators in a real browser: each from the page after the sign-in, in at most four clicks.

use fantoccini::Locator;
use serde_json::json;

use crate::journeys::{axe, look};
use crate::process::{Chromium, Home, PASSWORD, Person, Server, eventually};

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
        loop {
            let found = self.browser.client.wait().for_element(Locator::XPath(xpath)).await;
            match found.unwrap_or_else(|error| panic!("{}, {xpath}: {error}", self.name)).click().await {
                // The page before was still there, or the table renewed itself: nothing was clicked.
                Err(error) if error.is_stale_element_reference() => {}
                clicked => return clicked.unwrap(),
            }
        }
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

impl Task<'_> {
    /// Chooses an option of a list, which is a click.
    async fn choose(&mut self, label: &str, option: &str) {
        let xpath = format!("//select[@id = //label[normalize-space() = '{label}']/@for]");
        self.click(&xpath).await;
        let found = self.browser.client.find(Locator::XPath(&xpath)).await.unwrap();
        found.select_by_label(option).await.unwrap();
    }

    /// Opens a menu.
    async fn menu(&mut self, name: &str) {
        self.click(&format!("//summary[normalize-space() = '{name}']")).await;
    }

    /// The link of this name, and what is behind it, without a click.
    async fn file_behind(&self, name: &str) -> String {
        let xpath = format!("//a[normalize-space() = '{name}']");
        let link = self.browser.client.wait().for_element(Locator::XPath(&xpath)).await;
        let link = link.unwrap_or_else(|error| panic!("{}, {name}: {error}", self.name));
        let href = link.attr("href").await.unwrap().expect("it leads somewhere");
        let cookies = self.browser.client.get_all_cookies().await.unwrap();
        let cookies: Vec<String> = cookies.iter().map(|cookie| format!("{}={}", cookie.name(), cookie.value())).collect();
        let url = self.browser.client.current_url().await.unwrap().join(&href).unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.get(url.as_str()).header("cookie", cookies.join("; ")).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 200, "{}: {url}", self.name);
        answer.text().await.unwrap()
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

/// Sessions that ended, tokens, rights and events.
async fn records(desk: &Desk) {
    desk.home.ok_with(&["user", "set-password", "bob"], &format!("{PASSWORD}\n"));
    let person = Person::signed_in(&desk.server, "bob").await;
    let uuid = person.uuid().await;
    assert_eq!(desk.server.revoke(&uuid).await.status(), 204);
    drop(Person::new(&desk.server, "curl/8.14.1").sign_in("bob", "a wrong password").await);
    let day_ago = "UPDATE ended_sessions SET last_used_at = last_used_at - 86400000000, ended_at = ended_at - 86400000000, \
        created_at = created_at - 86400000000";
    desk.home.execute(day_ago).await;
    // Somebody who was here the day before, too, and is still: the last use is of today.
    let back = Person::signed_in(&desk.server, "bob").await;
    let since = "UPDATE session_rows SET created_at = created_at - 172800000000 WHERE created_at = (SELECT max(created_at) FROM session_rows)";
    desk.home.execute(since).await;
    let back = back.uuid().await;

    let mut task = desk.task("search ended sessions").await;
    task.link("Sessions").await;
    task.link("Ended").await;
    task.write("Search sessions", "user:bob reason:revoked").await;
    task.button("Search").await;
    task.sees("Ended sessions", &["1 session", "ended by akadmin"]).await;

    let mut task = desk.task("see who used an address yesterday").await;
    task.link("Sessions").await;
    task.click("//a[starts-with(@aria-label, 'Who used')]").await;
    task.link("Yesterday").await;
    task.sees("Sessions, live and ended", &["2 sessions", "bob", "active:yesterday"]).await;
    assert_eq!(desk.server.revoke(&back).await.status(), 204);

    let mut task = desk.task("take ended sessions to a spreadsheet").await;
    task.link("Sessions").await;
    task.link("Ended").await;
    task.menu("Export").await;
    let file = task.file_behind("CSV").await;
    assert!(file.contains(",bob,") && file.contains(",revoked,") && file.contains(&uuid), "{file}");

    let mut task = desk.task("see who tried a password").await;
    task.link("Events").await;
    task.choose("What", "sign in failed").await;
    task.button("Show").await;
    task.sees("Events", &["Somebody tried to sign in as bob, and failed"]).await;

    let mut task = desk.task("see what happened to a user").await;
    task.link("Users").await;
    task.link("bob").await;
    task.link("All in the events").await;
    task.sees("Events", &["akadmin ended bob’s session"]).await;

    let mut task = desk.task("let somebody see all sessions").await;
    task.link("Users").await;
    task.link("Edit bob").await;
    task.tick("See everybody’s sessions").await;
    task.button("Save").await;
    task.sees("bob", &["See everybody’s sessions (set here)"]).await;

    let mut task = desk.task("limit the sessions of a group").await;
    task.link("Groups").await;
    task.link("staff").await;
    task.link("Policy").await;
    task.write("Idle timeout", "1h").await;
    task.button("Save").await;
    task.sees("Policy of staff", &["Set for staff."]).await;

    let mut task = desk.task("make a token that only reads").await;
    task.link("Tokens").await;
    task.link("Make a token").await;
    task.write("Identifier", "the-monitor").await;
    task.tick("sessions:read").await;
    task.button("Make token").await;
    task.sees("Tokens", &["Here is the key of the-monitor"]).await;

    let mut task = desk.task("give a token a new key").await;
    task.link("Tokens").await;
    task.click("//a[starts-with(@aria-label, 'New key for the-monitor')]").await;
    task.button("Make a new key").await;
    task.sees("Tokens", &["The key before opens the same for"]).await;

    let mut task = desk.task("keep somebody out").await;
    task.link("Users").await;
    task.link("bob").await;
    task.link("Deactivate…").await;
    task.button("Deactivate bob").await;
    task.sees("bob", &["Inactive"]).await;

    let mut task = desk.task("erase a user who asked for it").await;
    desk.home.execute("UPDATE users SET removal_asked_at = 1 WHERE username = 'アリス'").await;
    task.link("Users").await;
    task.link("Asked to be removed").await;
    task.link("Erase アリス…").await;
    task.button("Erase アリス").await;
    task.sees("Users", &["2 users"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_tokens_and_events_take_four_clicks_each() {
    let Some(desk) = Desk::open(true).await else { return };
    records(&desk).await;
    desk.browser.assert_content().await;
    desk.browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_tokens_and_events_are_found_without_scripts() {
    let Some(desk) = Desk::open(false).await else { return };
    records(&desk).await;
    desk.browser.close().await;
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
