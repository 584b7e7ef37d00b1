//! App passwords: for named applications, with `rcp_`, while they and their owner are good.

use std::time::Duration;

use rollcall::actions::ActionError;
use rollcall::actions::applications::passwords::{self, app_password};
use rollcall::actions::by::By;
use rollcall::actions::people::users;
use rollcall::actions::tokens::{TokenRequest, keys};
use rollcall::domain::PlainSecret;
use rollcall::domain::application::ApplicationRule;
use rollcall::domain::user::{TokenIntent, UserRule};
use serde_json::json;

use super::{add, app_password_request, server};
use crate::support::SESSIONS;

fn request(lives: Option<Duration>) -> TokenRequest {
    TokenRequest { identifier: Some("backup".into()), lives, ..app_password_request() }
}

db_test!(an_app_password_opens_the_applications_it_names_and_nothing_else, |db| async move {
    let app = server(db).await;
    let alice = app.user("alice").await;
    let wiki = add(&app, "wiki", json!({"allow": "signed_in"}), "wiki.example.com").await;
    let files = add(&app, "files", json!({"allow": "signed_in"}), "files.example.com").await;
    let hour = Duration::from_secs(3600);
    let slugs = ["Wiki".to_owned()];
    let made = passwords::add(&app.app, By::Cli, (alice.id, "alice"), &slugs, request(Some(hour))).await;
    let key = made.unwrap().1.expose().to_owned();
    assert!(key.starts_with("rcp_") && key.len() >= 47, "256 bits");
    let found = app_password(&app.app, &key, &wiki).await.unwrap().expect("it is good");
    assert_eq!((found.owner.identifier.as_str(), found.subject.identity.username.as_str()), ("backup", "alice"));
    assert!(app_password(&app.app, &key, &files).await.unwrap().is_none(), "it does not name this application");
    assert!(app_password(&app.app, &key[..key.len() - 1], &wiki).await.unwrap().is_none());
    app.anonymous().with_bearer(&key).get(SESSIONS).await.assert_status(403);
    assert_eq!(app.app.store.read().list_token_applications("backup").await.unwrap(), ["wiki"]);
    // A rotated key: the one before is good for as long as it was kept.
    let new = keys::rotate(&app.app, By::Cli, "backup", Duration::from_secs(60)).await.unwrap();
    assert!(app_password(&app.app, &key, &wiki).await.unwrap().is_some());
    app.advance(Duration::from_secs(61));
    assert!(app_password(&app.app, &key, &wiki).await.unwrap().is_none());
    let key = new.expose();
    assert!(app_password(&app.app, key, &wiki).await.unwrap().is_some());
    let row = users::find(&app.app, By::Cli, "alice").await.unwrap();
    users::set_active(&app.app, By::Cli, &row, false).await.unwrap();
    assert!(app_password(&app.app, key, &wiki).await.unwrap().is_none(), "its owner is not active");
    users::set_active(&app.app, By::Cli, &row, true).await.unwrap();
    assert!(app_password(&app.app, key, &wiki).await.unwrap().is_some());
    app.advance(hour);
    assert!(app_password(&app.app, key, &wiki).await.unwrap().is_none(), "it has expired");
});

db_test!(a_key_without_its_beginning_opens_no_application, |db| async move {
    let app = server(db).await;
    let alice = app.user("alice").await;
    let wiki = add(&app, "wiki", json!({"allow": "signed_in"}), "wiki.example.com").await;
    passwords::add(&app.app, By::Cli, (alice.id, "alice"), &["wiki".into()], request(None)).await.unwrap();
    let key = "a-key-that-an-administrator-chose-0123456789";
    let refused = keys::set(&app.app, By::Cli, "backup", PlainSecret::from_text(key)).await;
    assert!(matches!(refused, Err(ActionError::Rule(UserRule::AppPasswordKey))), "{refused:?}");
    assert!(app_password(&app.app, key, &wiki).await.unwrap().is_none());
    // A token of another intent is none either, though its key would fit.
    let api = alice.token_key(TokenIntent::Api, None).await;
    assert!(app_password(&app.app, &api, &wiki).await.unwrap().is_none());
    let unknown = passwords::add(&app.app, By::Cli, (alice.id, "alice"), &["nothing".into()], request(None)).await;
    let Err(ActionError::Application(rule)) = unknown else { panic!("there is no such application") };
    assert_eq!(rule, ApplicationRule::NoApplication("nothing".into()));
});

db_test!(tokens_of_the_api_name_the_applications_they_open, |db| async move {
    const TOKENS: &str = "/api/v3/core/tokens/";
    let app = server(db).await;
    let (alice, admin) = (app.user("alice").await, app.admin_token().await);
    let wiki = add(&app, "wiki", json!({"allow": "signed_in"}), "wiki.example.com").await;
    add(&app, "files", json!({"allow": "nobody"}), "files.example.com").await;
    let body =
        json!({"identifier": "backup", "intent": "app_password", "user": alice.id, "rollcall_applications": ["WIKI", "wiki"]});
    let made = admin.post_json(TOKENS, &body).await.assert_status(201).json();
    assert_eq!(made["rollcall_applications"], json!(["wiki"]), "each once, as it is written");
    let key = admin.get(&format!("{TOKENS}backup/view_key/")).await.assert_status(200).json()["key"].as_str().unwrap().to_owned();
    assert!(app_password(&app.app, &key, &wiki).await.unwrap().is_some());
    admin.post_json(TOKENS, &json!({"identifier": "plain"})).await.assert_status(201);
    let listed = admin.get(&format!("{TOKENS}?identifier=backup")).await.json();
    assert_eq!(listed["results"][0]["rollcall_applications"], json!(["wiki"]));
    let listed = admin.get(&format!("{TOKENS}?identifier=plain")).await.json();
    assert_eq!(listed["results"][0]["rollcall_applications"], json!([]));

    let patch = async |body: serde_json::Value| admin.send_json("PATCH", &format!("{TOKENS}backup/"), &body).await;
    let kept = patch(json!({"description": "nightly"})).await.assert_status(200).json();
    assert_eq!(kept["rollcall_applications"], json!(["wiki"]), "what is not sent stays");
    let both = patch(json!({"rollcall_applications": ["files", "wiki"]})).await.assert_status(200).json();
    assert_eq!(both["rollcall_applications"], json!(["files", "wiki"]));
    let none = patch(json!({"rollcall_applications": []})).await.assert_status(200).json();
    assert_eq!(none["rollcall_applications"], json!([]));
    assert!(app_password(&app.app, &key, &wiki).await.unwrap().is_none(), "it opens nothing any more");
    let changes = "SELECT count(*) FROM events WHERE kind = 'token_changed' AND content LIKE '%rollcall_applications%'";
    assert_eq!(app.number(changes).await, 2);

    let field = "rollcall_applications";
    for (body, why) in [
        (
            json!({"identifier": "x", "intent": "app_password", field: ["wiki", "none"]}),
            "Invalid pk \"none\" - object does not exist.",
        ),
        (json!({"identifier": "x", field: ["wiki"]}), "Only app passwords open applications."),
    ] {
        let answer = admin.post_json(TOKENS, &body).await.assert_status(400).json();
        assert_eq!(answer, json!({field: [why]}), "{body}");
    }
    // Others name what they may open, and learn of nothing else.
    let own = alice.token().await;
    let body = |slug: &str| json!({"identifier": format!("of-{slug}"), "intent": "app_password", field: [slug]});
    own.post_json(TOKENS, &body("wiki")).await.assert_status(201);
    for slug in ["files", "none"] {
        let answer = own.post_json(TOKENS, &body(slug)).await.assert_status(400).json();
        assert_eq!(answer, json!({field: [format!("Invalid pk \"{slug}\" - object does not exist.")]}));
    }
});
