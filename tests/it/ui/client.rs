//! The page of an application's client: what it makes, what it shows once, and what it refuses.

use serde_json::json;

use crate::applications::add;
use crate::support::app::Browser;
use crate::support::{Answer, TestApp, TestDb};

const PATH: &str = "/applications/wiki/client";

async fn server(db: TestDb) -> TestApp {
    TestApp::with(db, &[("HTTP__PUBLIC_URL", "http://localhost:9000")]).await
}

/// Sends the form as the page shows it, with these fields otherwise.
async fn save(browser: &Browser, fields: &[(&str, &str)]) -> Answer {
    let page = browser.get(PATH).await.assert_status(200);
    let version = page.text().split_once("name=\"version\" value=\"").unwrap().1.split('"').next().unwrap().to_owned();
    let proof = page.proof();
    let usual = [
        ("version", version.as_str()),
        ("redirect_uris", "https://app.example/cb\r\n com.example.app:/cb "),
        ("notice_names", "auto"),
        ("pkce", "required"),
        ("consent", "implicit"),
        ("scopes", "openid email"),
        ("sub", "hashed_user_id"),
        ("algorithm", "RS256"),
        ("access_token", "opaque"),
        ("refresh", "yes"),
        ("offline", "with_session"),
        ("code_lifetime", "1m"),
        ("access_lifetime", "5m"),
        ("refresh_lifetime", "30d"),
        ("offline_lifetime", "30d"),
    ];
    let kept = usual.into_iter().filter(|(name, _)| fields.iter().all(|(other, _)| other != name));
    let all: Vec<(&str, &str)> = [("proof", proof.as_str())].into_iter().chain(kept).chain(fields.iter().copied()).collect();
    browser.post_form(PATH, &all).await
}

fn secret_in(page: &str) -> String {
    page.split_once("<code id=\"secret\">").unwrap_or_else(|| panic!("{page}")).1.split('<').next().unwrap().to_owned()
}

db_test!(an_administrator_gives_an_application_a_client, |db| async move {
    let app = server(db).await;
    let root = app.superuser("root").await.session().await;
    add(&app, "wiki", json!({"allow": "signed_in"}), "wiki.example.com").await;
    assert!(root.get("/applications/wiki").await.text().contains("It has no client"));
    let made = save(&root, &[("client_id", "my-wiki"), ("consent", "once")]).await.assert_status(200).text();
    let secret = secret_in(&made);
    assert_eq!(secret.len(), 43, "{secret}");
    assert!(made.contains("http://localhost:9000/application/o/wiki/.well-known/openid-configuration"), "{made}");
    let part = app.app.store.applications().await.unwrap().by_slug("wiki").unwrap().client.clone().unwrap();
    assert_eq!((part.client_id.as_str(), part.client.consent.as_str(), part.client.scopes.len()), ("my-wiki", "once", 2));
    assert_eq!(part.client.redirect_uris.len(), 2);
    let shown = root.get(PATH).await.assert_status(200).text();
    assert!(
        !shown.contains(&secret) && shown.contains("OIDCClientID my-wiki") && shown.contains("value=\"openid email\""),
        "{shown}"
    );

    assert_eq!(save(&root, &[("pkce", "optional"), ("access_lifetime", "10m")]).await.redirects_to(), PATH);
    let part = app.app.store.applications().await.unwrap().by_slug("wiki").unwrap().client.clone().unwrap();
    assert_eq!((part.client_id.as_str(), part.client.access_lifetime), ("my-wiki", 600), "the id stays");
    let again = root.post_form("/applications/wiki/client/secret", &[("proof", &root.get(PATH).await.proof())]).await;
    let newer = secret_in(&again.assert_status(200).text());
    assert_ne!(newer, secret);
    assert_eq!(app.number("SELECT count(*) FROM client_secrets").await, 2);

    let question = root.get("/applications/wiki/client/remove").await.assert_status(200).text();
    assert!(question.contains("the client of") && question.contains("https://app.example/cb"), "{question}");
    root.post_form("/applications/wiki/client/remove", &[("proof", &root.get(PATH).await.proof())]).await.assert_status(303);
    assert_eq!(app.number("SELECT count(*) FROM client_secrets").await, 0);
    root.get("/applications/wiki/client/remove").await.assert_status(404);
    root.post_form("/applications/wiki/client/secret", &[("proof", &root.get(PATH).await.proof())]).await.assert_status(404);
    let public = save(&root, &[("is_public", "yes")]).await;
    assert_eq!(public.redirects_to(), PATH);
    let none = root.post_form("/applications/wiki/client/secret", &[("proof", &root.get(PATH).await.proof())]).await;
    assert!(none.assert_status(422).text().contains("a public client has no secret"));
});

db_test!(what_a_client_cannot_be_is_said_at_its_field, |db| async move {
    let app = server(db).await;
    let root = app.superuser("root").await.session().await;
    add(&app, "wiki", json!({"allow": "signed_in"}), "wiki.example.com").await;
    for (field, value, why) in [
        ("redirect_uris", "", "1 to 64 redirect addresses"),
        ("redirect_uris", "https://app.example/cb#x", "Sorry"),
        ("redirect_uris", "http://app.example/cb", "Sorry"),
        ("redirect_uris", "https://*.example/cb", "Sorry"),
        ("post_logout_uris", "javascript:alert(1)", "Sorry"),
        ("scopes", "openid <b>", "there is no scope"),
        ("access_lifetime", "soon", "is not a duration"),
        ("access_lifetime", "3d", "up to a day"),
        ("code_lifetime", "0", "up to 10 minutes"),
        ("allowed_origins", "https://app.example/", "is not an origin"),
        ("back_channel_uri", "https://127.0.0.1/x", "is not a public address"),
        ("back_channel_uri", "http://app.example/x", "is plain http"),
        ("back_channel_uri", "http://localhost:9000/x", "own address"),
        ("pkce", "plain", "is not one of these"),
        ("client_id", "a:b", "visible ASCII"),
    ] {
        let page = save(&root, &[(field, value)]).await.assert_status(422).text();
        assert!(page.contains(why) && !page.contains("<b>"), "{field}={value}: {page}");
    }
    assert_eq!(app.number("SELECT count(*) FROM providers WHERE kind = 'client'").await, 0);
    assert_eq!(save(&root, &[("version", "x")]).await.status, 409, "it was changed since");

    let (auditor, alice) = (app.auditor("auditor").await.session().await, app.user("alice").await.session().await);
    save(&root, &[]).await.assert_status(200);
    for browser in [&auditor, &alice] {
        let proof = browser.get("/sessions").await.proof();
        for path in [PATH, "/applications/wiki/client/remove"] {
            browser.get(path).await.assert_status(403);
        }
        for path in [PATH, "/applications/wiki/client/secret", "/applications/wiki/client/remove"] {
            browser.post_form(path, &[("proof", &proof)]).await.assert_status(403);
        }
    }
    assert!(auditor.get("/applications/wiki").await.assert_status(200).text().contains("https://app.example/cb"));
    assert_eq!(app.number("SELECT count(*) FROM client_secrets").await, 1);
});
