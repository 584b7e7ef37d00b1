//! A user is asked before an app gets what it asks for.

use std::time::Duration;

use rollcall::actions::applications;
use rollcall::actions::by::By;
use rollcall::actions::people::{privacy, users};
use serde_json::json;

use super::app::{App, CALLBACK, pairs_of, register, returned};
use crate::guard::world::{Browser, HOME, PAGE, server};
use crate::support::{Answer, TestApp, encode};

/// The page that a request leads to, and the answer to its form.
pub async fn asked(wiki: &App<'_>, browser: &Browser<'_>, more: &[(&str, Option<&str>)]) -> (Answer, String) {
    let led = browser.send("GET", HOME, &wiki.request(more), &PAGE).await;
    let to = led.redirects_to().to_owned();
    assert!(to.starts_with("/consent?question="), "{to}");
    let page = browser.send("GET", HOME, &to, &PAGE).await.assert_status(200);
    let question = pairs_of(&to)["question"].clone();
    (page, question)
}

pub async fn answer(browser: &Browser<'_>, page: &Answer, question: &str, decision: &str) -> Answer {
    let form = format!("proof={}&question={}&decision={decision}", page.proof(), encode(question));
    browser.post(HOME, "/consent", &form).await
}

/// What the app is sent after an answer.
pub async fn sent(browser: &Browser<'_>, answered: &Answer) -> std::collections::BTreeMap<String, String> {
    let back = browser.send("GET", HOME, answered.redirects_to(), &PAGE).await.assert_status(200);
    let to = back.header("refresh").and_then(|refresh| refresh.strip_prefix("0; url=")).unwrap().to_owned();
    assert!(to.starts_with(CALLBACK), "{to}");
    pairs_of(&to)
}

async fn world<'a>(app: &'a TestApp, consent: &str) -> (App<'a>, Browser<'a>) {
    app.seed_keys().await;
    app.user("alice").await;
    (register(app, "wiki", json!({"consent": consent})).await, Browser::of(app, "alice").await)
}

db_test!(a_user_allows_an_app_once_and_takes_it_back, |db| async move {
    let app = server(db).await;
    let (wiki, browser) = world(&app, "once").await;
    let none = browser.send("GET", HOME, &wiki.request(&[("prompt", Some("none"))]), &PAGE).await.assert_status(302);
    assert_eq!(returned(&none)["error"], "consent_required");
    let (page, question) = asked(&wiki, &browser, &[("scope", Some("openid email"))]).await;
    for text in ["The wiki", "app.example", "alice", "your e-mail address", "id=\"consent-allow\""] {
        assert!(page.text().contains(text), "{text}: {}", page.text());
    }
    assert!(!page.text().contains("your name and groups"), "{}", page.text());
    let code = sent(&browser, &answer(&browser, &page, &question, "allow").await).await["code"].clone();
    wiki.redeem(&code).await.assert_status(200);
    assert_eq!(app.latest("consent_given").await.len(), 1);

    app.advance(Duration::from_secs(3600));
    let less = browser.send("GET", HOME, &wiki.request(&[("scope", Some("openid"))]), &PAGE).await.assert_status(302);
    assert!(returned(&less).contains_key("code"), "remembered");
    let (page, question) = asked(&wiki, &browser, &[("scope", Some("openid profile"))]).await;
    sent(&browser, &answer(&browser, &page, &question, "allow").await).await;
    app.advance(Duration::from_secs(3600));
    let both = browser.send("GET", HOME, &wiki.request(&[("scope", Some("openid email profile"))]), &PAGE).await;
    assert!(returned(&both.assert_status(302)).contains_key("code"), "what was allowed before still is");
    asked(&wiki, &browser, &[("scope", Some("openid")), ("prompt", Some("consent"))]).await;

    let apps = browser.send("GET", HOME, "/apps", &PAGE).await.assert_status(200);
    assert!(apps.text().contains("What you allowed") && apps.text().contains("your e-mail address"), "{}", apps.text());
    app.user("bob").await;
    let others = Browser::of(&app, "bob").await;
    let page_of_bob = others.send("GET", HOME, "/apps", &PAGE).await;
    assert!(!page_of_bob.text().contains("What you allowed"));
    let forged = others.post(HOME, "/apps/withdraw", &format!("proof={}&app=wiki", page_of_bob.proof())).await;
    assert_eq!(forged.status, 404, "nothing of his");
    assert_eq!(app.number("SELECT count(*) FROM consents").await, 1);
    let alice = users::find(&app.app, By::Cli, "alice").await.unwrap();
    let export = privacy::export(&app.app, By::Cli, &alice).await.unwrap();
    assert_eq!(export["consents"][0]["scope"], "openid profile email");
    browser.post(HOME, "/apps/withdraw", &format!("proof={}&app=wiki", apps.proof())).await.assert_status(303);
    assert_eq!((app.number("SELECT count(*) FROM consents").await, app.number("SELECT count(*) FROM app_sessions").await), (0, 0));
    assert_eq!(app.latest("consent_withdrawn").await.len(), 1);
    asked(&wiki, &browser, &[("scope", Some("openid"))]).await;
});

db_test!(a_question_is_answered_once_by_the_one_who_is_asked, |db| async move {
    let app = server(db).await;
    let (wiki, browser) = world(&app, "always").await;
    app.user("bob").await;
    let other = Browser::of(&app, "bob").await;
    let (page, question) = asked(&wiki, &browser, &[]).await;
    let csp = page.header("content-security-policy").unwrap();
    assert!(csp.contains("frame-ancestors 'none'"), "{csp}");

    let shown = other.send("GET", HOME, &format!("/consent?question={}", encode(&question)), &PAGE).await;
    assert_eq!(shown.status, 400, "another session's");
    let (others_page, _) = asked(&wiki, &other, &[]).await;
    assert_eq!(answer(&other, &others_page, &question, "allow").await.status, 400);
    let unproved = browser.post(HOME, "/consent", &format!("question={}&decision=allow", encode(&question))).await;
    assert_eq!(unproved.status, 403, "a form of another site");
    assert_eq!(answer(&browser, &page, "nonsense", "allow").await.status, 400);
    assert_eq!(app.number("SELECT count(*) FROM consents").await, 0);

    let declined = sent(&browser, &answer(&browser, &page, &question, "decline").await).await;
    assert_eq!((declined["error"].as_str(), declined["state"].as_str()), ("access_denied", "the state"));
    let code = sent(&browser, &answer(&browser, &page, &question, "allow").await).await["code"].clone();
    wiki.redeem(&code).await.assert_status(200);
    app.advance(Duration::from_secs(1));
    assert_eq!(answer(&browser, &page, &question, "allow").await.status, 400, "twice");
    asked(&wiki, &browser, &[]).await;

    let (page, question) = asked(&wiki, &browser, &[]).await;
    app.advance(Duration::from_secs(16 * 60));
    assert_eq!(answer(&browser, &page, &question, "allow").await.status, 400, "too late");
});

db_test!(an_app_that_changed_asks_again, |db| async move {
    let app = server(db).await;
    let (wiki, browser) = world(&app, "once").await;
    let (page, question) = asked(&wiki, &browser, &[]).await;
    sent(&browser, &answer(&browser, &page, &question, "allow").await).await;
    let changed = applications::edit(&app.app, By::Cli, "wiki", |application| {
        application.name = "<b>\"wiki\"</b>".to_owned();
        application.client.as_mut().unwrap().client.redirect_uris.pop();
        Ok(())
    });
    changed.await.unwrap();
    let (page, _) = asked(&wiki, &browser, &[]).await;
    assert!(!page.text().contains("<b>"), "{}", page.text());
});
