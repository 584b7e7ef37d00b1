//! The table of sessions in a real browser: rows that change under the pointer, ticks, the bar of buttons,
//! narrow screens, and forms that need a fresh proof.

use fantoccini::Locator;
use serde_json::{Value, json};

use crate::process::{Chromium, Home, PASSWORD, Person, Server, eventually};
use crate::support::seed;

/// A server with an administrator, who is signed in in a browser.
async fn start() -> Option<(Home, Server, Chromium)> {
    let browser = Chromium::open().await?;
    let home = Home::sqlite().with_administrator();
    let server = home.serve().await;
    browser.open_page(&server, "/sign-in").await;
    browser.sign_in("akadmin", PASSWORD).await;
    browser.arrives_at("/sessions").await;
    Some((home, server, browser))
}

/// The user agents' order in the table, by the ids of the rows.
const ROWS: &str = "return [...document.querySelectorAll('#sessions tbody tr:not(.ended)')].map(row => row.dataset.id)";
const NEWS: &str = "const news = document.querySelector('[data-news]'); return news.hidden ? '' : news.textContent";
const PICKED: &str =
    "const button = document.querySelector('[data-picked]'); return (button.disabled ? 'off: ' : 'on: ') + button.textContent";

async fn resize(browser: &Chromium, width: u32, height: u32) {
    let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
    browser.devtools("Emulation.setDeviceMetricsOverride", size).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_wait_while_one_is_ticked_and_ticks_are_kept_by_their_session() {
    let Some((_home, server, browser)) = start().await else { return };
    browser.open_page(&server, "/sessions/all?size=10&order=-created").await;
    eventually("a live table", || async {
        (browser.script("return document.querySelector('.live').dataset.state").await == "on").then_some(())
    })
    .await;
    assert_eq!(browser.script(PICKED).await, "off: End selected", "with no tick there is nothing to end");
    let first = Person::signed_in(&server, "akadmin").await;
    eventually("two rows", || async { (browser.script(ROWS).await.as_array()?.len() == 2).then_some(()) }).await;
    let own = first.uuid().await;
    let tick = format!("document.querySelector('tr[data-id=\"{own}\"] input').click(); return true");
    browser.script(&tick).await;
    assert_eq!(browser.script(PICKED).await, "on: End 1 selected");
    let before = browser.script(ROWS).await;

    // Ten more: the ticked row leaves the page, once it is shown what is new.
    let mut others = Vec::new();
    for _ in 0..10 {
        others.push(Person::signed_in(&server, "akadmin").await);
    }
    eventually("news", || async { (browser.script(NEWS).await == "10 new: show").then_some(()) }).await;
    assert_eq!(browser.script(ROWS).await, before, "nothing moved while a row was ticked");
    browser.button("10 new: show").await.click().await.unwrap();
    eventually("ten rows", || async { (browser.script(ROWS).await.as_array()?.len() == 10).then_some(()) }).await;
    let shown = browser.script(ROWS).await;
    assert!(!shown.as_array().unwrap().contains(&Value::String(own.clone())), "the ticked one left: {shown}");
    assert_eq!(browser.script(PICKED).await, "on: End 1 selected (1 not on this page)");
    // One that ends is not counted any more; the other one is what ends.
    let second = others[9].uuid().await;
    browser.script(&format!("document.querySelector('tr[data-id=\"{second}\"] input').click(); return true")).await;
    assert_eq!(browser.script(PICKED).await, "on: End 2 selected (1 not on this page)");
    assert_eq!(server.revoke(&second).await.status(), 204);
    // It makes room for the first, which comes back to the page with its tick.
    eventually("one tick", || async { (browser.script(PICKED).await == "on: End 1 selected").then_some(()) }).await;
    browser.client.find(Locator::Css("[data-picked]")).await.unwrap().click().await.unwrap();
    eventually("the preview", || async { (browser.heading().await == "End 1 session?").then_some(()) }).await;
    browser.button("End 1 session").await.click().await.unwrap();
    eventually("the result", || async { (browser.heading().await == "1 session ended").then_some(()) }).await;
    assert!(!first.is_signed_in().await && others[0].is_signed_in().await);
    browser.assert_content().await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_fits_and_its_buttons_stay_in_sight() {
    let Some(browser) = Chromium::open().await else { return };
    let home = Home::sqlite().with_administrator();
    // Long addresses and long names: what a table is widest with.
    let mut lines = vec![seed::user(50, "a.rather.long.name.of.somebody@example.com")];
    let agent = "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    lines.extend((0..60).map(|n| {
        seed::session(
            n,
            50,
            json!({"last_ip": format!("2001:db8:85a3:8d3:1319:8a2e:370:{:x}", 0x7000 + n), "last_user_agent": agent}),
        )
    }));
    home.import(&lines);
    let server = home.serve().await;
    browser.open_page(&server, "/sign-in").await;
    browser.sign_in("akadmin", PASSWORD).await;
    browser.arrives_at("/sessions").await;
    let _other = Person::signed_in(&server, "akadmin").await;
    for width in [320, 390, 1024, 1280, 1440] {
        resize(&browser, width, 800).await;
        for path in ["/sessions/all?size=50", "/sessions", "/users", "/events", "/users/new", "/sessions/end-others"] {
            browser.open_page(&server, path).await;
            let wide = browser.script("const e = document.documentElement; return e.scrollWidth - e.clientWidth").await;
            assert_eq!(wide, 0, "{path} scrolls sideways at {width}");
            let inside = "return [...document.querySelectorAll('.table-wrap')].map(it => it.scrollWidth - it.clientWidth).join()";
            let inside = browser.script(inside).await;
            assert!(inside.as_str().unwrap().split(',').all(|over| over.is_empty() || over == "0"), "{path} at {width}: {inside}");
        }
        browser.open_page(&server, "/sessions/all?size=50").await;
        let bar = "const bar = document.querySelector('.pickbar').getBoundingClientRect(); return bar.bottom <= innerHeight + 1 && bar.height > 0";
        assert_eq!(browser.script(bar).await, true, "the bar is in sight at {width}");
        if width >= 1024 {
            let tallest = "return Math.max(...[...document.querySelectorAll('#sessions tbody tr')].map(it => it.getBoundingClientRect().height))";
            let tallest = browser.script(tallest).await.as_f64().unwrap();
            assert!(tallest <= 44.5, "rows of {tallest} px at {width}");
        }
        let above = "const top = css => document.querySelector(css).getBoundingClientRect().top;
            return innerWidth > 1088 || top('label[for=show-facets]') < top('#sessions')";
        assert_eq!(browser.script(above).await, true, "filters are above the table at {width}");
    }
    // In forced colours one item of the navigation looks chosen; on paper the table is a table.
    resize(&browser, 1280, 800).await;
    let forced = json!({"features": [{"name": "forced-colors", "value": "active"}]});
    browser.devtools("Emulation.setEmulatedMedia", forced).await;
    let edges = "const probe = document.body.appendChild(document.createElement('i'));
        probe.style.color = 'Canvas';
        const edge = it => getComputedStyle(it).borderBottomColor;
        return [...document.querySelectorAll('.nav a')].filter(it => edge(it) !== getComputedStyle(probe).color).length";
    assert_eq!(browser.script(edges).await, 1);
    resize(&browser, 700, 900).await;
    browser.devtools("Emulation.setEmulatedMedia", json!({"media": "print", "features": []})).await;
    let printed = "const row = document.querySelector('#sessions tbody tr'); const time = row.querySelector('time');
        const isExact = getComputedStyle(time, '::after').content !== 'none' && /20[0-9][0-9]/.test(time.title);
        return [getComputedStyle(row).display, isExact, getComputedStyle(time).fontSize].join()";
    assert_eq!(browser.script(printed).await, "table-row,true,0px");
    browser.devtools("Emulation.setEmulatedMedia", json!({"media": "", "features": []})).await;
    browser.assert_content().await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_added_though_the_proof_was_too_old() {
    let Some((home, server, browser)) = start().await else { return };
    browser.open_page(&server, "/users/new").await;
    browser.field("Username").await.send_keys("bob").await.unwrap();
    browser.script("document.querySelector('input[name=password]').value = 'a long password of bob'; return true").await;
    home.execute("UPDATE session_rows SET proved_at = 0").await;
    browser.button("Add user").await.click().await.unwrap();
    eventually("the question", || async { (browser.heading().await == "Is it you?").then_some(()) }).await;
    assert!(browser.text().await.contains("Nothing was done yet"));
    browser.field("Password of akadmin").await.send_keys(PASSWORD).await.unwrap();
    browser.button("Confirm").await.click().await.unwrap();
    eventually("the new user", || async { (browser.heading().await == "bob").then_some(()) }).await;
    assert!(browser.path().await.starts_with("/users/"));
    assert_eq!(home.texts("SELECT username FROM users WHERE username = 'bob'").await, ["bob"]);
    // An error has the focus.
    browser.open_page(&server, "/users/new").await;
    browser.field("Username").await.send_keys("bob").await.unwrap();
    browser.button("Add user").await.click().await.unwrap();
    eventually("the error", || async { (browser.script("return document.activeElement.id").await == "error").then_some(()) }).await;
    browser.assert_content().await;
    browser.close().await;
}
