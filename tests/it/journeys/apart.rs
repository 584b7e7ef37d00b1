//! Pages that need more than a server: the question of an app, and the pages of a watched authentik.

use serde_json::{Value, json};

use super::{axe, look_around, show_as, tab_to};
use crate::oidc::app::{CALLBACK, challenge};
use crate::process::{Chromium, Home, PASSWORD, SESSIONS, Server, TOKEN, eventually, free_port};
use crate::support::encode;
use crate::watch::commands::watching;

/// The request of an app, which leads to its question.
fn request(client: &str) -> String {
    format!(
        "/application/o/authorize/?client_id={client}&redirect_uri={}&response_type=code&state=x\
         &scope=openid%20profile%20email%20offline_access&code_challenge={}&code_challenge_method=S256",
        encode(CALLBACK),
        challenge()
    )
}

/// Ends the sessions of a user at authentik; the page of it.
async fn end_at_authentik(server: &Server) -> String {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.post(format!("{}{SESSIONS}revoke/", server.origin)).bearer_auth(TOKEN);
    let body = json!({"source": "authentik", "user__username": "user-3", "expected_count": 1, "reason": "left on a train"});
    let begun = request.json(&body).send().await.unwrap();
    assert_eq!(begun.status(), 202);
    let begun: Value = begun.json().await.unwrap();
    begun["page"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_of_apps_and_pages_of_an_authentik_can_be_used_by_everybody() {
    let Some(browser) = Chromium::open().await else { return };
    let (axe, port) = (axe(), free_port());
    let (home, authentik) = watching(Home::sqlite().with_administrator()).await;
    let home = home.with("ROLLCALL_LISTEN", &format!("127.0.0.1:{port}"));
    let home = home.with("ROLLCALL_HTTP__PUBLIC_URL", &format!("http://127.0.0.1:{port}"));
    let server = home.serve().await;
    browser.open_page(&server, "/sign-in").await;
    browser.sign_in("akadmin", PASSWORD).await;
    browser.arrives_at("/sessions").await;

    for (slug, how) in [("wiki", ["--consent", "always"]), ("phone", ["--offline", "own_session"])] {
        let name = format!("The {slug} アリス of {}", "the whole house ".repeat(5).trim());
        let client = ["--allow", "signed_in", "--client-id", slug, "--redirect-uri", CALLBACK];
        home.ok(&[&["app", "add", slug, "--name", &name][..], &client, &how].concat());
        browser.open_page(&server, &request(slug)).await;
        eventually("the question", || async { browser.path().await.starts_with("/consent?").then_some(()) }).await;
        assert_eq!(browser.heading().await, format!("Allow {name}?"));
        look_around(&browser, axe.as_deref(), &format!("consent for {slug}")).await;
        // The keyboard reaches both answers.
        show_as(&browser, "light", 1280, 900).await;
        tab_to(&browser, "#consent-allow", "Allow").await;
        tab_to(&browser, "#consent-decline", "Do not allow").await;
    }

    eventually("a copy", || async {
        let status: Value = serde_json::from_str(&home.run(&["watch", "status", "--json"]).out).ok()?;
        (status["state"] == "fresh").then_some(())
    })
    .await;
    browser.open_page(&server, "/watch").await;
    look_around(&browser, axe.as_deref(), "watch").await;
    let page = end_at_authentik(&server).await;
    browser.open_page(&server, &page).await;
    look_around(&browser, axe.as_deref(), "ends at authentik, as they go").await;
    eventually("the last end", || async { (home.rows(&["watch", "ends", "--json"])[0]["state"] == "done").then_some(()) }).await;
    assert_eq!(authentik.world().sessions.len(), 6);
    for (name, path) in [
        ("ends at authentik", page.as_str()),
        ("watch, with ends", "/watch"),
        ("sessions there", "/sessions/all?q=source:authentik"),
    ] {
        browser.open_page(&server, path).await;
        look_around(&browser, axe.as_deref(), name).await;
    }
    browser.open_page(&server, &page).await;
    assert_eq!(browser.heading().await, "1 session ended at authentik");
    browser.assert_content().await;
    browser.close().await;
    server.stop().await;
}
