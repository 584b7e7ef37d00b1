//! What administrators do in a real browser; and every page, looked at by a machine: contrast, names,
//! width, and what it loads.

mod apart;
mod apps;
mod pages;

use fantoccini::Locator;
use fantoccini::key::Key;
use rollcall::domain::Clock;
use serde_json::{Value, json};

use pages::pages;

use crate::process::{Chromium, Home, PASSWORD, Person, Server, eventually, skip};
use crate::support::authenticator::Authenticator;

async fn start() -> Option<(Home, Server, Chromium)> {
    let browser = Chromium::open().await?;
    let home = Home::sqlite().with_administrator();
    let server = home.serve().await;
    browser.open_page(&server, "/sign-in").await;
    browser.sign_in("akadmin", PASSWORD).await;
    browser.arrives_at("/sessions").await;
    Some((home, server, browser))
}

/// The rows of the table of sessions.
async fn rows(browser: &Chromium) -> usize {
    let rows = browser.client.find_all(Locator::Css("#sessions tbody tr:not(.ended)")).await;
    rows.map_or(usize::MAX, |rows| rows.len())
}

async fn click_link(browser: &Chromium, name: &str) {
    browser.client.wait().for_element(Locator::LinkText(name)).await.unwrap().click().await.unwrap();
}

async fn type_into(browser: &Chromium, label: &str, text: &str) {
    let field = browser.field(label).await;
    field.clear().await.unwrap();
    field.send_keys(text).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_finds_sessions_and_ends_them() {
    let Some((_home, server, browser)) = start().await else { return };
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(Person::signed_in(&server, "akadmin").await);
    }
    click_link(&browser, "Sessions").await;
    browser.arrives_at("/sessions/all").await;
    eventually("four rows", || async { (rows(&browser).await == 4).then_some(()) }).await;
    // By keyboard: the slash leads to the box, Enter searches.
    browser.script("document.activeElement.blur()").await;
    browser.client.find(Locator::Css("body")).await.unwrap().send_keys("/").await.unwrap();
    browser.type_keys(&format!("browser:firefox -current{}", char::from(Key::Enter))).await;
    browser.arrives_at("/sessions/all?q=browser%3Afirefox+-current").await;
    eventually("three rows", || async { (rows(&browser).await == 3).then_some(()) }).await;
    // The address is the whole view: opened anew, it shows the same.
    browser.client.refresh().await.unwrap();
    eventually("three rows again", || async { (rows(&browser).await == 3).then_some(()) }).await;
    // Live: one more comes by itself, and one that ends is struck through.
    others.push(Person::signed_in(&server, "akadmin").await);
    eventually("four rows by themselves", || async { (rows(&browser).await == 4).then_some(()) }).await;
    // The counts next to it follow, and the focus stays on the link it is on.
    let focused = "const link = [...document.querySelectorAll('.facet a')].find(it => it.textContent.includes('Firefox'));
        if (document.activeElement === document.body) link.focus();
        return document.activeElement === link ? link.textContent.trim() : null;";
    eventually("a count that follows", || async { (browser.script(focused).await == "Firefox4").then_some(()) }).await;
    let uuid = others[3].uuid().await;
    assert_eq!(server.revoke(&uuid).await.status(), 204);
    eventually("a struck row", || async {
        let struck = browser.client.find(Locator::Css("tr.ended .why")).await.ok()?;
        struck.text().await.ok().filter(|text| text.contains("ended by akadmin"))
    })
    .await;
    eventually("a count that follows again", || async { (browser.script(focused).await == "Firefox3").then_some(()) }).await;

    let button = "//button[contains(., 'that match')]";
    browser.client.find(Locator::XPath(button)).await.unwrap().click().await.unwrap();
    eventually("the preview", || async { (browser.heading().await == "End 3 sessions?").then_some(()) }).await;
    type_into(&browser, "Type 3 to confirm", "2").await;
    browser.button("End 3 sessions").await.click().await.unwrap();
    let alert = browser.client.wait().for_element(Locator::Css("[role=alert]")).await.unwrap();
    assert_eq!(alert.text().await.unwrap(), "Type the number 3 to confirm.");
    assert!(others[0].is_signed_in().await);
    type_into(&browser, "Type 3 to confirm", "3").await;
    browser.button("End 3 sessions").await.click().await.unwrap();
    eventually("the result", || async { (browser.heading().await == "3 sessions ended").then_some(()) }).await;
    for other in &others {
        assert!(!other.is_signed_in().await);
    }
    click_link(&browser, "Back to the sessions").await;
    eventually("an empty table", || async { browser.text().await.contains("No session matches").then_some(()) }).await;
    browser.assert_content().await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_made_and_used_with_curl() {
    let Some((_home, server, browser)) = start().await else { return };
    click_link(&browser, "Tokens").await;
    browser.arrives_at("/tokens").await;
    click_link(&browser, "Make a token").await;
    browser.arrives_at("/tokens/new").await;
    browser.button("Make token").await.click().await.unwrap();
    let key = eventually("the key", || async { browser.client.find(Locator::Css("#key")).await.ok()?.text().await.ok() }).await;
    let url = format!("{}/api/v3/core/authenticated_sessions/", server.origin);
    let mut curl = std::process::Command::new("curl");
    curl.args(["-s", "--noproxy", "*", "-H", &format!("Authorization: Bearer {key}"), &url]);
    match curl.output() {
        Ok(output) => {
            let body: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(body["pagination"]["count"], json!(1), "{body}");
        }
        Err(_) => skip("there is no curl"),
    }
    browser.open_page(&server, "/tokens").await;
    assert!(!browser.text().await.contains(&key), "it is shown once");
    browser.assert_content().await;
    browser.close().await;
}

pub async fn show_as(browser: &Chromium, scheme: &str, width: u32, height: u32) {
    let scheme = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
    browser.devtools("Emulation.setEmulatedMedia", scheme).await;
    let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
    browser.devtools("Emulation.setDeviceMetricsOverride", size).await;
}

/// Where axe-core lies: `AXE_SCRIPT`, or where `.ci/run` puts it.
pub fn axe() -> Option<String> {
    let path =
        std::env::var_os("AXE_SCRIPT").unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/target/axe/axe.min.js").into());
    let text = std::fs::read_to_string(path).ok();
    if text.is_none() {
        skip("axe-core is not there (.ci/run fetches it)");
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_can_be_used_by_everybody_in_light_and_dark_and_on_a_phone() {
    let Some((home, server, browser)) = start().await else { return };
    let axe = axe();
    // Some history to look at.
    drop(Person::signed_in(&server, "akadmin").await.submit("/sign-out", &[]).await);
    let mut pages = pages(&home, &server).await;
    pages.push(("sign-in", "/sign-in".into()));
    for scheme in ["light", "dark"] {
        show_as(&browser, scheme, 1280, 900).await;
        for (name, path) in &pages {
            if *name == "sign-in" {
                continue;
            }
            browser.open_page(&server, path).await;
            look(&browser, axe.as_deref(), &format!("{name}, {scheme}")).await;
        }
    }
    // The name of who is signed in is above the tabs, however many there are.
    for width in [320, 1280, 1360, 1600] {
        show_as(&browser, "light", width, 900).await;
        browser.open_page(&server, "/sessions/all").await;
        let edge = "const edge = (part, side) => document.querySelector(part).getBoundingClientRect()[side]";
        let is_above = browser.script(&format!("{edge}; return edge('.who', 'bottom') <= edge('.nav', 'top') + 1")).await;
        assert_eq!(is_above, true, "at {width}");
    }
    // 320 px: nothing is wider than the screen.
    show_as(&browser, "light", 320, 700).await;
    for (name, path) in &pages {
        browser.open_page(&server, path).await;
        let width = browser.script("return document.documentElement.scrollWidth").await;
        assert!(width.as_u64().is_some_and(|width| width <= 320), "{name} is {width} wide");
    }
    // Right to left: the same holds, mirrored.
    browser.open_page(&server, "/sessions/all").await;
    let width = browser.script("document.documentElement.dir = 'rtl'; return document.documentElement.scrollWidth").await;
    assert!(width.as_u64().is_some_and(|width| width <= 320), "mirrored it is {width} wide");
    browser.client.delete_all_cookies().await.unwrap();
    for scheme in ["light", "dark"] {
        show_as(&browser, scheme, 390, 800).await;
        browser.open_page(&server, "/sign-in").await;
        look(&browser, axe.as_deref(), &format!("sign-in, {scheme}")).await;
    }
    browser.assert_content().await;
    browser.close().await;
}

/// Has axe-core look at the page that is open. It comes in through the driver, not through the page:
/// the page's own policy would refuse it.
pub async fn look(browser: &Chromium, axe: Option<&str>, page: &str) {
    let Some(axe) = axe else { return };
    browser.client.execute(&format!("{axe}; return null;"), vec![]).await.unwrap();
    let found = browser
        .script("const r = await axe.run(document, {resultTypes: ['violations']}); return r.violations.map(v => v.id + ': ' + v.nodes.map(n => n.html + ' ' + n.failureSummary).join(' | '))")
        .await;
    assert_eq!(found, json!([]), "{page}");
}

/// Not a test: pictures of every page, light and dark, wide and on a phone, into `screenshots/`.
/// `cargo test --test it screenshots -- --ignored`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "it makes pictures: cargo test --test it screenshots -- --ignored"]
async fn screenshots() {
    use base64::Engine;

    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("screenshots");
    std::fs::create_dir_all(&folder).unwrap();
    let Some(browser) = Chromium::open().await else { return };
    browser.devtools("Emulation.setScrollbarsHidden", json!({"hidden": true})).await;
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_rollcall"));
    command.args(["demo", "--listen", "127.0.0.1:0"]).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let server = Server::start(command).await;
    let password = eventually("the password", || async {
        server.out().lines().find_map(|line| line.trim().strip_prefix("password")).map(|rest| rest.trim().to_owned())
    })
    .await;
    browser.open_page(&server, "/sign-in").await;
    browser.sign_in("akadmin", &password).await;
    browser.arrives_at("/sessions").await;
    let found = browser
        .script("return (await (await fetch('/api/v3/core/authenticated_sessions/?ordering=last_used')).json()).results[0].uuid")
        .await;
    let uuid = found.as_str().unwrap().to_owned();
    let paths: Vec<(&str, String)> = vec![
        ("devices", "/sessions".into()),
        ("not-me", "/sessions/not-me".into()),
        ("all-sessions", "/sessions/all".into()),
        ("all-sessions-filtered", "/sessions/all?q=os:android+idle:%3E1d".into()),
        ("end", "/sessions/all/end?scope=all&q=country:DE".into()),
        ("session", format!("/sessions/{uuid}")),
        ("map", "/map".into()),
        ("users", "/users".into()),
        ("user-new", "/users/new".into()),
        ("deactivate", "/users/4/active".into()),
        ("user", "/users/4".into()),
        ("apps", "/apps".into()),
        ("applications", "/applications".into()),
        ("application-new", "/applications/new".into()),
        ("device", "/device".into()),
        ("tokens", "/tokens".into()),
        ("token-new", "/tokens/new".into()),
        ("events", "/events".into()),
        ("settings", "/settings".into()),
        ("password", "/password".into()),
        ("sign-out", "/sign-out".into()),
        ("error", "/nothing".into()),
        ("sign-in", "/sign-in".into()),
    ];
    for (name, path) in paths {
        if name == "sign-in" {
            browser.client.delete_all_cookies().await.unwrap();
        }
        for scheme in ["light", "dark"] {
            for (kind, width) in [("wide", 1360), ("phone", 390)] {
                show_as(&browser, scheme, width, 900).await;
                browser.open_page(&server, &path).await;
                let height = browser.script("return document.documentElement.scrollHeight").await.as_u64().unwrap();
                show_as(&browser, scheme, width, u32::try_from(height).unwrap().clamp(700, 1800)).await;
                let shot = browser.devtools("Page.captureScreenshot", json!({"format": "png"})).await;
                let png = base64::engine::general_purpose::STANDARD.decode(shot["data"].as_str().unwrap()).unwrap();
                std::fs::write(folder.join(format!("{name}-{kind}-{scheme}.png")), png).unwrap();
            }
        }
    }
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_scripts_on_a_phone_everything_works() {
    let Some(browser) = Chromium::open_without_scripts().await else { return };
    let home = Home::sqlite();
    let server = home.serve().await;
    show_as(&browser, "dark", 360, 740).await;
    browser.client.goto(&server.set_up_link().unwrap()).await.unwrap();
    type_into(&browser, "Password", PASSWORD).await;
    type_into(&browser, "Repeat the password", PASSWORD).await;
    browser.button("Set password and sign in").await.click().await.unwrap();
    browser.arrives_at("/sessions").await;
    browser.open_page(&server, "/api/v3/").await;
    let link = browser.client.find(Locator::LinkText("/api/v3/schema/")).await;
    assert!(link.is_ok(), "what only shows without scripts: they are off indeed");

    let other = Person::signed_in(&server, "akadmin").await;
    browser.open_page(&server, "/sessions").await;
    click_link(&browser, "Sign out everywhere else…").await;
    browser.button("Sign out of 1 other session").await.click().await.unwrap();
    eventually("one card", || async {
        let cards = browser.client.find_all(Locator::Css("ul[aria-label='Sessions'] > li")).await.ok()?;
        (cards.len() == 1).then_some(())
    })
    .await;
    assert!(!other.is_signed_in().await);
    browser.open_page(&server, "/sign-out").await;
    browser.button("Sign out here").await.click().await.unwrap();
    browser.arrives_at("/sign-in").await;
    browser.sign_in("akadmin", "wrong password").await;
    eventually("an error", || async { browser.text().await.contains("is wrong").then_some(()) }).await;
    browser.field("Password").await.send_keys(PASSWORD).await.unwrap();
    browser.button("Sign in").await.click().await.unwrap();
    browser.arrives_at("/sessions").await;

    let lost = Person::signed_in(&server, "akadmin").await;
    browser.open_page(&server, "/sessions/all").await;
    type_into(&browser, "Search sessions", "browser:firefox").await;
    browser.button("Search").await.click().await.unwrap();
    browser.arrives_at("/sessions/all?q=browser%3Afirefox").await;
    let boxes = browser.client.find_all(Locator::Css("#sessions input[name=id]")).await.unwrap();
    assert_eq!(boxes.len(), 1);
    boxes[0].click().await.unwrap();
    browser.button("End selected").await.click().await.unwrap();
    eventually("the preview", || async { (browser.heading().await == "End 1 session?").then_some(()) }).await;
    type_into(&browser, "Reason (not required)", "left on a train").await;
    browser.button("End 1 session").await.click().await.unwrap();
    eventually("the result", || async { (browser.heading().await == "1 session ended").then_some(()) }).await;
    assert!(browser.text().await.contains("left on a train"));
    assert!(!lost.is_signed_in().await);
    browser.close().await;
}

/// Presses Tab until the focus is on what matches, and shows that it is there.
async fn tab_to(browser: &Chromium, css: &str, words: &str) {
    for _ in 0..120 {
        browser.type_keys(&char::from(Key::Tab).to_string()).await;
        let script = format!(
            "const e = document.activeElement; return e.matches({}) && e.matches(':focus-visible') && e.textContent.includes({})",
            json!(css),
            json!(words)
        );
        if browser.script(&script).await == true {
            return;
        }
    }
    panic!("Tab does not lead to {css} {words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_keyboard_alone_a_session_is_found_and_ended() {
    let Some((_home, server, browser)) = start().await else { return };
    let lost = Person::signed_in(&server, "akadmin").await;
    let enter = char::from(Key::Enter).to_string();
    tab_to(&browser, "a[href='/sessions/all']", "Sessions").await;
    browser.type_keys(&enter).await;
    browser.arrives_at("/sessions/all").await;
    tab_to(&browser, "input[name=q]", "").await;
    browser.type_keys(&format!("browser:firefox{enter}")).await;
    browser.arrives_at("/sessions/all?q=browser%3Afirefox").await;
    eventually("one row", || async { (rows(&browser).await == 1).then_some(()) }).await;
    tab_to(&browser, "#sessions input[name=id]", "").await;
    browser.type_keys(" ").await;
    tab_to(&browser, "button", "End 1 selected").await;
    browser.type_keys(&enter).await;
    eventually("the preview", || async { (browser.heading().await == "End 1 session?").then_some(()) }).await;
    tab_to(&browser, "button", "End 1 session").await;
    browser.type_keys(&enter).await;
    eventually("the result", || async { (browser.heading().await == "1 session ended").then_some(()) }).await;
    assert!(!lost.is_signed_in().await);
    browser.assert_content().await;
    browser.close().await;
}

/// Looks at the page that is open in light and dark, and at 320 px.
pub async fn look_around(browser: &Chromium, axe: Option<&str>, page: &str) {
    for scheme in ["light", "dark"] {
        show_as(browser, scheme, 1280, 900).await;
        look(browser, axe, &format!("{page}, {scheme}")).await;
    }
    show_as(browser, "light", 320, 700).await;
    let width = browser.script("return document.documentElement.scrollWidth").await;
    assert!(width.as_u64().is_some_and(|width| width <= 320), "{page} is {width} wide");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_on_the_way_can_be_used_by_everybody() {
    let Some(browser) = Chromium::open().await else { return };
    let axe = axe();
    let home = Home::sqlite().with("ROLLCALL_SESSIONS__MAX_PER_USER", "2").with("ROLLCALL_SESSIONS__AT_LIMIT", "ask");
    let server = home.serve().await;
    browser.client.goto(&server.set_up_link().unwrap()).await.unwrap();
    look_around(&browser, axe.as_deref(), "set-up").await;
    type_into(&browser, "Password", PASSWORD).await;
    type_into(&browser, "Repeat the password", PASSWORD).await;
    browser.button("Set password and sign in").await.click().await.unwrap();
    browser.arrives_at("/sessions").await;
    let other = Person::signed_in(&server, "akadmin").await;
    browser.client.delete_all_cookies().await.unwrap();
    browser.open_page(&server, "/sign-in").await;
    browser.sign_in("akadmin", PASSWORD).await;
    let go_on = browser.button("Sign out there and sign in here").await;
    look_around(&browser, axe.as_deref(), "the choice").await;
    go_on.click().await.unwrap();
    browser.arrives_at("/sessions").await;
    assert!(other.is_signed_in().await, "the one unused for longest was chosen");
    home.execute("UPDATE session_rows SET proved_at = 0").await;
    browser.open_page(&server, "/confirm?next=/sessions/all/end?scope=all%26q=browser:firefox").await;
    look_around(&browser, axe.as_deref(), "confirm").await;
    type_into(&browser, "Password of akadmin", PASSWORD).await;
    browser.type_keys(&char::from(Key::Enter).to_string()).await;
    eventually("the preview", || async { (browser.heading().await == "End 1 session?").then_some(()) }).await;
    browser.button("End 1 session").await.click().await.unwrap();
    eventually("the result", || async { (browser.heading().await == "1 session ended").then_some(()) }).await;
    look_around(&browser, axe.as_deref(), "the result").await;
    assert!(!other.is_signed_in().await);
    browser.assert_content().await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_factor_is_added_and_signs_in() {
    const CODE: &str = "Code of your authenticator app, or a recovery code";
    let Some((_home, _server, browser)) = start().await else { return };
    let axe = axe();
    click_link(&browser, "Security").await;
    browser.arrives_at("/security").await;
    type_into(&browser, "Name (not required)", "My phone").await;
    browser.button("Add an app").await.click().await.unwrap();
    eventually("the QR code", || async { (browser.heading().await == "Add My phone").then_some(()) }).await;
    look_around(&browser, axe.as_deref(), "the QR code").await;
    show_as(&browser, "light", 1280, 900).await;
    let width = browser.script("return document.querySelector('svg.qr').getBoundingClientRect().width").await;
    assert!(width.as_f64().is_some_and(|width| width > 150.0), "the QR code is {width} wide");
    let key = browser.client.find(Locator::Css("#key")).await.unwrap().text().await.unwrap();
    let phone = Authenticator::from_key(&key);
    let code = |drift: i64| phone.code(Clock::System.now(), drift);
    type_into(&browser, "Code that the app shows now", "000000").await;
    browser.button("Add").await.click().await.unwrap();
    let alert = browser.client.wait().for_element(Locator::Css("[role=alert]")).await.unwrap();
    assert!(alert.text().await.unwrap().contains("wrong"));
    type_into(&browser, "Code that the app shows now", &code(0)).await;
    browser.button("Add").await.click().await.unwrap();
    eventually("the recovery codes", || async { (browser.heading().await == "Your recovery codes").then_some(()) }).await;
    look_around(&browser, axe.as_deref(), "the recovery codes").await;
    show_as(&browser, "light", 1280, 900).await;
    let mut codes = Vec::new();
    for code in browser.client.find_all(Locator::Css("#codes code")).await.unwrap() {
        codes.push(code.text().await.unwrap());
    }
    assert_eq!(codes.len(), 10);
    click_link(&browser, "I have stored them").await;
    browser.arrives_at("/security").await;
    assert!(browser.text().await.contains("My phone"));
    look(&browser, axe.as_deref(), "security").await;
    // The step after this one counts already, and this one was used.
    for answer in [code(1), codes[0].clone()] {
        browser.button("Sign out").await.click().await.unwrap();
        browser.arrives_at("/sign-in").await;
        browser.sign_in("akadmin", PASSWORD).await;
        eventually("the second step", || async { (browser.heading().await == "One more step").then_some(()) }).await;
        look_around(&browser, axe.as_deref(), "the second step").await;
        show_as(&browser, "light", 1280, 900).await;
        type_into(&browser, CODE, &answer).await;
        browser.button("Sign in").await.click().await.unwrap();
        browser.arrives_at("/sessions").await;
    }
    click_link(&browser, "Security").await;
    eventually("what is left", || async { browser.text().await.contains("9 are left").then_some(()) }).await;
    browser.assert_content().await;
    browser.close().await;
}
