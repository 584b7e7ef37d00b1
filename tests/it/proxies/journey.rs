//! A person with Chromium and two apps on unrelated hosts, behind each of the four proxies.

use rollcall::domain::guard::kind::Kind;
use serde_json::json;

use super::echo::Echo;
use super::guarded::the_app;
use super::process::Proxy;
use crate::guard::world::add_app;
use crate::process::{Chromium, eventually};
use crate::support::app::PASSWORD;
use crate::support::{TestApp, TestDb};

/// Signs in once, opens two apps, proves more where a rule asks for it, and signs out of both.
async fn journey(kind: Kind) {
    let home = "http://id.example";
    let app = TestApp::with(TestDb::sqlite(), &[("HTTP__PUBLIC_URL", home), ("HTTP__TRUSTED_PROXIES", "127.0.0.1")]).await;
    app.user_with_password("alice").await;
    let mut rules = format!("MAP id.example:80 {}", app.address);
    let (mut echoes, mut proxies) = (Vec::new(), Vec::new());
    for (slug, host) in [("wiki", "wiki.example"), ("shop", "shop.other")] {
        let closed = json!([{"paths": ["/closed/**"], "allow": "nobody"}, {"paths": ["/strict/**"], "max_age": 1}]);
        add_app(&app, slug, json!({"allow": "signed_in"}), json!({"hosts": [host], "rules": closed})).await;
        let echo = Echo::start().await;
        let application = the_app(&app, slug).await;
        let Some(proxy) = Proxy::start(kind, &application, &echo.address.to_string(), &app.address.to_string()) else {
            return;
        };
        rules.push_str(&format!(", MAP {host}:80 127.0.0.1:{}", proxy.port));
        echoes.push(echo);
        proxies.push(proxy);
    }
    let Some(browser) = Chromium::open_where(&rules).await else { return };
    let at = |url: &'static str| {
        let browser = &browser;
        async move {
            let found = || async { (browser.client.current_url().await.ok()?.as_str() == url).then_some(()) };
            let arrived = tokio::time::timeout(std::time::Duration::from_secs(15), eventually(url, found)).await;
            let is = browser.client.current_url().await.unwrap();
            assert!(arrived.is_ok(), "not at {url}, but at {is}: {}", browser.text().await);
        }
    };

    // The first app leads to the sign-in, and back to the page that was asked for.
    browser.client.goto("http://wiki.example/a?b=1&c=2").await.unwrap();
    browser.sign_in("alice", PASSWORD).await;
    at("http://wiki.example/a?b=1&c=2").await;
    assert!(browser.text().await.contains("[\"remote-user\",\"alice\"]"), "{}", browser.text().await);
    // The second one, on an unrelated host, opens at once.
    browser.client.goto("http://shop.other/").await.unwrap();
    at("http://shop.other/").await;
    assert!(browser.text().await.contains("[\"remote-user\",\"alice\"]"));
    // What nobody may open says so.
    browser.client.goto("http://shop.other/closed/x").await.unwrap();
    assert_eq!(browser.heading().await, "The shop: no access");

    // An older proof than a page asks for is renewed at Rollcall, and leads back.
    app.advance(std::time::Duration::from_secs(30));
    browser.client.goto("http://shop.other/strict/x").await.unwrap();
    eventually("the form", || async { browser.client.find(fantoccini::Locator::Css("input[type=password]")).await.ok() })
        .await
        .send_keys(&format!("{PASSWORD}{}", char::from(fantoccini::key::Key::Enter)))
        .await
        .unwrap();
    at("http://shop.other/strict/x").await;
    assert!(browser.text().await.contains("[\"remote-user\",\"alice\"]"));

    // The app's own link signs out of everything.
    browser
        .script("const a = document.createElement('a'); a.href = '/.rollcall/sign-out'; document.body.append(a); a.click();")
        .await;
    at("http://shop.other/.rollcall/sign-out").await;
    assert_eq!(browser.heading().await, "You are signed out");
    browser.client.goto("http://wiki.example/").await.unwrap();
    eventually("the sign-in", || async {
        browser.client.current_url().await.ok()?.as_str().starts_with("http://id.example/sign-in?").then_some(())
    })
    .await;
    browser.close().await;
    drop((echoes, proxies));
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_nginx() {
    journey(Kind::Nginx).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_caddy() {
    journey(Kind::Caddy).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_traefik() {
    journey(Kind::Traefik).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_envoy() {
    journey(Kind::Envoy).await;
}
