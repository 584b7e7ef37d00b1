//! The page of a user's own app passwords.

use rollcall::actions::ActionError;
use rollcall::actions::applications::passwords::{self, app_password};
use rollcall::actions::by::By;
use rollcall::domain::application::ApplicationRule;
use rollcall::domain::caller::Actor;
use serde_json::json;

use crate::applications::{add, app_password_request, server};
use crate::support::encode;
use crate::ui::form::{fields, form, send, with};

/// The app password that the page shows.
fn shown(text: &str) -> String {
    text.split("<code id=\"key\">").nth(1).unwrap_or_else(|| panic!("no key: {text}")).split('<').next().unwrap().to_owned()
}

db_test!(an_app_password_is_made_used_and_removed_on_pages, |db| async move {
    let app = server(db).await;
    let alice = app.user("alice").await;
    let browser = alice.session().await;
    let empty = browser.get("/apps/passwords").await.assert_status(200).text();
    assert!(empty.contains("None of the apps that you may open takes app passwords") && !empty.contains("/apps/passwords/new"));
    assert!(browser.get("/apps/passwords/new").await.assert_status(200).text().contains("None of the apps"));
    let programs = |allow: &str| json!({"allow": allow, "app_passwords": true});
    let wiki = add(&app, "wiki", programs("signed_in"), "wiki.example.com").await;
    let files = add(&app, "files", programs("signed_in"), "files.example.com").await;
    add(&app, "closed", programs("nobody"), "closed.example.com").await;
    add(&app, "browsers", json!({"allow": "signed_in"}), "browsers.example.com").await;
    let text = browser.get("/apps/passwords/new").await.assert_status(200).text();
    assert!(text.contains("The wiki") && text.contains("The files"), "{text}");
    assert!(!text.contains("The closed") && !text.contains("The browsers"), "what it cannot open is not offered: {text}");
    assert!(browser.get("/apps").await.text().contains("href=\"/apps/passwords\""));

    let what = "Backup <of> \"Zoë\" アリス 🦀";
    let filled = with(form(&browser, "/apps/passwords/new").await, "description", what);
    let none = send(&browser, "/apps/passwords", &filled).await.assert_status(422).text();
    assert!(none.contains("for one application at least") && none.contains("role=\"alert\""), "{none}");
    let mut filled = with(fields(&none), "days", "30");
    filled.push(("app".into(), "wiki".into()));
    let made = send(&browser, "/apps/passwords", &filled).await.assert_status(200).text();
    let key = shown(&made);
    assert!(key.starts_with("rcp_") && made.contains("Backup &#60;of&#62; &#34;Zoë&#34; アリス 🦀"), "{made}");
    let list = browser.get("/apps/passwords").await.assert_status(200).text();
    assert!(!list.contains(&key) && list.contains("The wiki") && list.contains("in 30 days"), "{list}");
    assert!(list.contains("data-label=\"Last used\"><span class=\"soft\">never"), "{list}");
    // Sent twice, one is made.
    let again = send(&browser, "/apps/passwords", &filled).await.assert_status(409).text();
    assert!(again.contains("was sent before"), "{again}");
    assert_eq!(app.number("SELECT count(*) FROM tokens WHERE intent = 'app_password'").await, 1);
    let found = app_password(&app.app, &key, &wiki).await.unwrap().expect("it is good");
    assert_eq!(found.subject.identity.username, "alice");
    assert!(app_password(&app.app, &key, &files).await.unwrap().is_none());

    // What is not offered cannot be sent either.
    for slug in ["closed", "browsers", "nothing"] {
        let mut wrong = form(&browser, "/apps/passwords/new").await;
        wrong.push(("app".into(), slug.into()));
        let refused = send(&browser, "/apps/passwords", &wrong).await.assert_status(422).text();
        assert!(
            refused.contains(if slug == "nothing" { "there is no application" } else { "takes no app passwords" }),
            "{refused}"
        );
    }
    for (field, value) in [("days", "7"), ("description", "a\nb"), ("description", &"x".repeat(201))] {
        let wrong = with(filled.clone(), field, value);
        assert_eq!(send(&browser, "/apps/passwords", &wrong).await.status, 422, "{field}={value}");
    }
    assert_eq!(app.number("SELECT count(*) FROM tokens WHERE intent = 'app_password'").await, 1);

    // Nobody else sees or removes it.
    let identifier = found.owner.identifier;
    let path = format!("/apps/passwords/remove?identifier={}", encode(&identifier));
    for other in [app.user("mallory").await, app.superuser("root").await] {
        let other = other.session().await;
        other.get(&path).await.assert_status(404);
        let proof = other.get("/apps").await.proof();
        other.post_form("/apps/passwords/remove", &[("proof", &proof), ("identifier", &identifier)]).await.assert_status(303);
        assert!(!other.get("/apps/passwords").await.text().contains("Backup"));
    }
    alice.named_token("an-api-token").await;
    browser.get("/apps/passwords/remove?identifier=an-api-token").await.assert_status(404);
    let question = browser.get(&path).await.assert_status(200);
    assert!(question.text().contains("Remove <bdi>the app password") && question.text().contains("It opens wiki."));
    assert!(app_password(&app.app, &key, &wiki).await.unwrap().is_some(), "the question changes nothing");
    let removed = send(&browser, "/apps/passwords/remove", &fields(&question.text())).await;
    assert_eq!(removed.redirects_to(), "/apps/passwords");
    assert!(app_password(&app.app, &key, &wiki).await.unwrap().is_none());
    let text = browser.get("/apps/passwords").await.text();
    assert!(text.contains("No app passwords yet"), "{text}");
    assert_eq!((app.count_events("token_added").await, app.count_events("token_removed").await), (2, 1));
});

db_test!(users_make_app_passwords_only_for_what_they_may_open, |db| async move {
    let app = server(db).await;
    let (alice, root) = (app.user("alice").await, app.superuser("root").await);
    add(&app, "closed", json!({"allow": "nobody", "app_passwords": true}), "closed.example.com").await;
    add(&app, "browsers", json!({"allow": "signed_in"}), "browsers.example.com").await;
    let as_user = |user: &crate::support::app::TestUser<'_>, is_superuser| rollcall::actions::principal::Principal {
        user_id: user.id,
        username: user.name.clone(),
        rights: rollcall::store::people::users::Rights { is_superuser, ..Default::default() },
        token: None,
        session: None,
    };
    let (of_alice, of_root, actor) = (as_user(&alice, false), as_user(&root, true), Actor::default());
    let owner = (alice.id, "alice");
    for slug in ["closed", "browsers"] {
        let made = passwords::add(&app.app, By::Principal(&of_alice, &actor), owner, &[slug.into()], app_password_request()).await;
        let Err(ActionError::Application(rule)) = made else { panic!("{slug}: it was made") };
        assert_eq!(rule, ApplicationRule::NoAppPasswords(slug.into()));
        passwords::add(&app.app, By::Principal(&of_root, &actor), owner, &[slug.into()], app_password_request()).await.unwrap();
    }
    let none = passwords::add(&app.app, By::Cli, owner, &[], app_password_request()).await;
    assert!(matches!(none, Err(ActionError::Application(ApplicationRule::NoneNamed))));
});

db_test!(the_list_of_tokens_says_what_an_app_password_opens, |db| async move {
    let app = server(db).await;
    app.user("alice").await;
    add(&app, "wiki", json!({"allow": "signed_in", "app_passwords": true}), "wiki.example.com").await;
    crate::applications::app_password(&app, "alice", "wiki").await;
    let root = app.superuser("root").await.session().await;
    let list = root.get("/tokens").await.assert_status(200).text();
    assert!(list.contains("open applications that accept app passwords") && !list.contains("all that its owner may"), "{list}");
    let remove = list.split("href=\"/tokens/remove").nth(1).unwrap().split('"').next().unwrap();
    let asked = root.get(&format!("/tokens/remove{remove}")).await.assert_status(200).text();
    assert!(asked.contains("It opens applications as alice") && !asked.contains("opens the API"), "{asked}");
});
