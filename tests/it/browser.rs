//! The pages in a real browser.

use std::time::Duration;

use fantoccini::Locator;
use reqwest::Method;
use serde_json::{Value, json};

use crate::process::{Chromium, Home, PASSWORD, Person, SESSIONS, Server, TOKEN, eventually, within};

/// A server with an administrator, and a browser.
async fn start() -> Option<(Home, Server, Chromium)> {
    let browser = Chromium::open().await?;
    let home = Home::sqlite().with_administrator();
    let server = home.serve().await;
    Some((home, server, browser))
}

/// The texts of the cards on the page, once they do not change any more.
async fn cards(browser: &Chromium) -> Vec<String> {
    eventually("a page that does not change any more", || cards_now(browser)).await
}

/// The texts of the cards on the page; `None` when it was left while they were read.
async fn cards_now(browser: &Chromium) -> Option<Vec<String>> {
    let cards = browser.client.find_all(Locator::Css("ul[aria-label='Sessions'] > li")).await.ok()?;
    let mut texts = Vec::new();
    for card in cards {
        texts.push(card.text().await.ok()?);
    }
    Some(texts)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_sees_themselves_signs_out_and_stays_if_they_want() {
    let Some((_home, server, mut browser)) = start().await else { return };
    browser.open_page(&server, "/").await;
    browser.arrives_at("/sign-in?next=/sessions").await;
    browser.sign_in("akadmin", PASSWORD).await;
    browser.arrives_at("/sessions").await;
    assert_eq!(browser.heading().await, "My devices");
    let shown = cards(&browser).await;
    assert_eq!(shown.len(), 1);
    for words in ["Chrome", "on Linux", "This device", "127.0.0.1"] {
        assert!(shown[0].contains(words), "{words}: {}", shown[0]);
    }
    browser.assert_content().await;
    let key = browser.cookie("rollcall_session").await.unwrap();

    browser.button("Sign out").await.click().await.unwrap();
    browser.arrives_at("/sign-in").await;
    assert_eq!(browser.cookie("rollcall_session").await, None);
    assert_eq!(server.sessions().await, Vec::<Value>::new());
    browser.client.back().await.unwrap();
    browser.open_page(&server, "/sessions").await;
    browser.arrives_at("/sign-in?next=/sessions").await;
    // Nor does the old cookie open anything.
    let restored = format!("document.cookie = 'rollcall_session={key}; path=/'; return (await fetch('/sessions')).redirected");
    assert_eq!(browser.script(&restored).await, true);
    browser.assert_content().await;

    // A session ends with the browser, unless one asks to stay signed in.
    for stays in [false, true] {
        browser.open_page(&server, "/sign-in").await;
        if stays {
            let label = "//label[normalize-space() = 'Stay signed in on this device']";
            browser.client.find(Locator::XPath(label)).await.unwrap().click().await.unwrap();
        }
        browser.field("Username or e-mail address").await.send_keys("akadmin").await.unwrap();
        browser.field("Password").await.send_keys(PASSWORD).await.unwrap();
        browser.button("Sign in").await.click().await.unwrap();
        browser.arrives_at("/sessions").await;
        assert_eq!(cards(&browser).await[0].contains("to stay signed in"), stays);
        assert_eq!(browser.is_kept("rollcall_session").await, stays, "a cookie with an end, or one of the session");
        browser.assert_content().await;
        browser = browser.restarted().await;
        browser.open_page(&server, "/sessions").await;
        browser.arrives_at(if stays { "/sessions" } else { "/sign-in?next=/sessions" }).await;
    }
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_api_ends_is_out_at_the_next_click_and_the_next_form() {
    let Some((_home, server, browser)) = start().await else { return };
    browser.open_page(&server, "/sign-in?next=/sessions").await;
    browser.sign_in("akadmin", PASSWORD).await;
    browser.arrives_at("/sessions").await;
    // The API by the browser's own cookie.
    let body = browser.script(&format!("return await (await fetch('{SESSIONS}')).json()")).await;
    let own = &body["results"][0];
    assert_eq!((&body["pagination"]["count"], &own["current"]), (&json!(1), &json!(true)), "{body}");
    assert_eq!(own["user_agent"]["user_agent"]["family"], "Chrome");
    assert_eq!(own["user_agent"]["os"]["family"], "Linux");
    // And by a token from elsewhere.
    let listed = server.sessions().await;
    assert_eq!((&listed[0]["uuid"], &listed[0]["current"]), (&own["uuid"], &json!(false)));
    assert_eq!(server.revoke(own["uuid"].as_str().unwrap()).await.status(), 204);
    browser.client.find(Locator::LinkText("Rollcall")).await.unwrap().click().await.unwrap();
    browser.arrives_at("/sign-in?next=/sessions").await;
    // Nor does a form go through that was open when the end came.
    browser.sign_in("akadmin", PASSWORD).await;
    browser.arrives_at("/sessions").await;
    let uuid = server.sessions().await[0]["uuid"].as_str().unwrap().to_owned();
    assert_eq!(server.revoke(&uuid).await.status(), 204);
    browser.button("Sign out").await.click().await.unwrap();
    browser.arrives_at("/sign-in").await;
    browser.sign_in("akadmin", PASSWORD).await;
    browser.arrives_at("/sessions").await;
    browser.assert_content().await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_gives_nothing_away_and_the_right_one_leads_on_but_never_away() {
    let Some((_home, server, browser)) = start().await else { return };
    let mut shown = Vec::new();
    for username in ["akadmin", "nobody-like-this"] {
        browser.open_page(&server, "/sign-in").await;
        browser.sign_in(username, "wrong password").await;
        let alert = browser.client.wait().for_element(Locator::Css("[role=alert]")).await.unwrap();
        assert_eq!(alert.text().await.unwrap(), "Username or password is wrong.");
        assert_eq!(browser.field("Username or e-mail address").await.prop("value").await.unwrap().as_deref(), Some(username));
        assert_eq!(browser.field("Password").await.prop("value").await.unwrap().as_deref(), Some(""));
        shown.push(browser.text().await);
        assert_eq!(browser.cookie("rollcall_session").await, None);
    }
    assert_eq!(shown[0], shown[1], "known and unknown names look the same");
    // The form is ready for the next try.
    browser.type_keys(PASSWORD).await;
    let name = browser.field("Username or e-mail address").await;
    name.clear().await.unwrap();
    name.send_keys("akadmin").await.unwrap();
    browser.button("Sign in").await.click().await.unwrap();
    browser.arrives_at("/sessions").await;

    for (next, leads_to) in [
        ("/sign-out", "/sign-out"),
        ("/sessions%3Fpage%3D1", "/sessions?page=1"),
        ("https://example.com/", "/sessions"),
        ("//example.com/", "/sessions"),
        ("/%5Cexample.com/", "/sessions"),
        ("%5C%5Cexample.com/", "/sessions"),
        ("/%09/example.com/", "/sessions"),
        ("javascript:alert(1)", "/sessions"),
    ] {
        browser.client.delete_all_cookies().await.unwrap();
        browser.open_page(&server, &format!("/sign-in?next={next}")).await;
        browser.sign_in("akadmin", PASSWORD).await;
        browser.arrives_at(leads_to).await;
        assert!(browser.client.current_url().await.unwrap().as_str().starts_with(&server.origin), "{next}");
    }
    // A signed-in user is redirected at once.
    browser.open_page(&server, "/sign-in?next=/sign-out").await;
    browser.arrives_at("/sign-out").await;
    browser.open_page(&server, "/sign-in?next=//example.com/").await;
    browser.arrives_at("/sessions").await;
    browser.assert_content().await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_set_up_link_leads_in() {
    let Some(browser) = Chromium::open().await else { return };
    let home = Home::sqlite();
    let server = home.serve().await;
    let link = server.set_up_link().unwrap();
    browser.client.goto(&link).await.unwrap();
    assert_eq!(browser.heading().await, "Welcome to Rollcall");
    browser.field("Password").await.send_keys(PASSWORD).await.unwrap();
    browser.field("Repeat the password").await.send_keys("something else").await.unwrap();
    browser.button("Set password and sign in").await.click().await.unwrap();
    let alert = browser.client.wait().for_element(Locator::Css("[role=alert]")).await.unwrap();
    assert_eq!(alert.text().await.unwrap(), "The two passwords differ.");
    browser.field("Password").await.send_keys(PASSWORD).await.unwrap();
    browser.field("Repeat the password").await.send_keys(PASSWORD).await.unwrap();
    browser.button("Set password and sign in").await.click().await.unwrap();
    browser.arrives_at("/sessions").await;
    assert!(cards(&browser).await[0].contains("This device"));
    browser.client.goto(&link).await.unwrap();
    assert_eq!(browser.heading().await, "This link does not work any more");
    browser.client.find(Locator::LinkText("Sign in")).await.unwrap().click().await.unwrap();
    browser.arrives_at("/sessions").await;
    browser.assert_content().await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_phone_other_sessions_are_ended_one_by_one_and_all_at_once() {
    let Some((_home, server, browser)) = start().await else { return };
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(Person::signed_in(&server, "akadmin").await);
    }
    let mut laptop = Person::new(&server, "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0");
    assert_eq!(laptop.sign_in("akadmin", PASSWORD).await.status(), 303);
    let phone = json!({"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": false});
    browser.devtools("Emulation.setDeviceMetricsOverride", phone).await;
    browser.open_page(&server, "/sign-in").await;
    browser.sign_in("akadmin", PASSWORD).await;
    browser.arrives_at("/sessions").await;
    assert_eq!(cards(&browser).await.len(), 5);
    // The laptop that was left on a train: found by what it is, and out at one tap.
    let left = "//li[not(contains(@class, 'current')) and contains(., 'on Windows')]//button[normalize-space() = 'Sign out']";
    browser.client.find(Locator::XPath(left)).await.unwrap().click().await.unwrap();
    eventually("four cards", || async { (cards_now(&browser).await?.len() == 4).then_some(()) }).await;
    assert!(!laptop.is_signed_in().await);
    for other in &others {
        assert!(other.is_signed_in().await);
    }
    let said = browser.client.find(Locator::Css("[role=status]")).await.unwrap().text().await.unwrap();
    assert!(said.contains("Firefox 140 on Windows") && said.contains("is signed out"), "{said}");
    browser.client.find(Locator::LinkText("Sign out everywhere else…")).await.unwrap().click().await.unwrap();
    browser.button("Sign out of 3 other sessions").await.click().await.unwrap();
    eventually("one card", || async { (cards_now(&browser).await?.len() == 1).then_some(()) }).await;
    for other in &others {
        assert!(!other.is_signed_in().await);
    }
    assert!(cards(&browser).await[0].contains("This device"));
    let text = browser.text().await;
    assert!(text.contains("You are signed out everywhere else."), "{text}");
    assert!(!text.contains("Sign out everywhere else"), "there is nothing else to sign out of");
    browser.assert_content().await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_clock_in_the_browser_does_not_move_times() {
    let Some((_home, server, browser)) = start().await else { return };
    for minutes in [-600, -10, 0, 10, 600] {
        let wrong = "const Right = Date; \
            globalThis.Date = class extends Right { \
                constructor(...given) { given.length ? super(...given) : super(Right.now() + OFF); } \
                static now() { return Right.now() + OFF; } \
            };";
        let wrong = wrong.replace("OFF", &(minutes * 60_000).to_string());
        let added = browser.devtools("Page.addScriptToEvaluateOnNewDocument", json!({"source": wrong})).await;
        browser.open_page(&server, "/sign-in").await;
        browser.sign_in("akadmin", PASSWORD).await;
        browser.arrives_at("/sessions").await;
        let ahead = browser.script("return (Date.now() - Date.parse(document.body.dataset.now)) / 60000").await;
        assert!((ahead.as_f64().unwrap() - f64::from(minutes)).abs() < 1.0, "the browser's clock is {ahead} minutes ahead");
        // The script has said times in the browser's own words.
        let script = "return [...document.querySelectorAll('.current time')].map((time) => time.firstChild.data)";
        let times = browser.script(script).await;
        let times: Vec<&str> = times.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
        assert!(times.contains(&"just now"), "{minutes}: {times:?}");
        assert!(times.iter().all(|text| *text == "just now" || text.starts_with("in ")), "{minutes}: {times:?}");
        assert!(!times.iter().any(|text| text.contains("minute")), "{minutes}: {times:?}");
        browser.button("Sign out").await.click().await.unwrap();
        browser.arrives_at("/sign-in").await;
        browser.devtools("Page.removeScriptToEvaluateOnNewDocument", added).await;
    }
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_to_browse_the_api_shows_every_operation() {
    let Some((_home, server, browser)) = start().await else { return };
    let description: Value = server.call(Method::GET, "/api/v3/schema/", TOKEN).await.json().await.unwrap();
    let paths = description["paths"].as_object().unwrap().values();
    let methods = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];
    let count = paths.map(|path| path.as_object().unwrap().keys().filter(|key| methods.contains(&key.as_str())).count());
    let operations: usize = count.sum();
    assert!(operations >= 7);
    browser.open_page(&server, "/api/v3/").await;
    // A section opens when it is asked for. Its first operation opens, with its parameters and answers.
    let section = Locator::Css(".opblock-tag-section");
    let sections = within(Duration::from_secs(90), "the sections", || async {
        let sections = browser.client.find_all(section).await.unwrap();
        (sections.len() >= 8).then_some(sections)
    });
    let (mut shown, mut texts) = (0, String::new());
    for part in &sections.await {
        let tag = part.find(Locator::Css(".opblock-tag")).await.unwrap();
        tag.clone().click().await.unwrap();
        shown += eventually("its operations", || async {
            let shown = part.find_all(Locator::Css(".opblock")).await.unwrap();
            (!shown.is_empty()).then_some(shown.len())
        })
        .await;
        // The page allows breaks in long addresses.
        texts += &part.text().await.unwrap().replace('\u{200b}', "");
        part.find(Locator::Css(".opblock-summary-control")).await.unwrap().click().await.unwrap();
        eventually("its answers are shown", || async {
            part.find(Locator::Css(".opblock.is-open .responses-wrapper")).await.is_ok().then_some(())
        })
        .await;
        tag.clone().click().await.unwrap();
        eventually("it is closed", || async {
            browser.client.find_all(Locator::Css(".opblock")).await.unwrap().is_empty().then_some(())
        })
        .await;
    }
    assert_eq!(shown, operations, "{texts}");
    assert!(texts.contains("/core/authenticated_sessions/"), "{texts}");
    browser.assert_content().await;
    browser.close().await;
}
