//! Who may open an application: default deny, users and groups by uuid, ancestors of groups; and `rollcall app test`.

use std::time::Duration;

use rollcall::actions::ActionError;
use rollcall::actions::applications::test::{Question, test};
use rollcall::actions::applications::{self, ApplicationChange, access};
use rollcall::actions::by::By;
use rollcall::actions::people::groups::{self, GroupChange};
use rollcall::domain::application::ApplicationRule;
use rollcall::domain::application::decide::Missing;
use rollcall::domain::{Address, Methods, UserId};
use serde_json::json;

use super::{add, demand, guard, open, server};
use crate::support::TestApp;

async fn group(app: &TestApp, name: &str, parents: Vec<uuid::Uuid>, users: Vec<i64>) -> uuid::Uuid {
    let change = GroupChange { name: Some(name.into()), parents: Some(parents), users: Some(users), ..GroupChange::default() };
    groups::add(&app.app, By::Cli, change).await.expect("a group can be added")
}

async fn missing(app: &TestApp, slug: &str, user: UserId) -> Vec<Missing> {
    access::check(&app.app, By::Cli, slug, user).await.unwrap().missing().to_vec()
}

db_test!(a_new_application_opens_for_nobody, |db| async move {
    let app = server(db).await;
    let root = app.superuser("root").await;
    let wanted = ApplicationChange { slug: Some("wiki".into()), ..ApplicationChange::default() };
    let wiki = applications::add(&app.app, By::Cli, wanted).await.unwrap();
    assert_eq!((wiki.name.as_str(), wiki.guard()), ("wiki", None));
    assert_eq!(missing(&app, "wiki", root.id).await, [Missing::Nobody], "administrators neither");
    assert_eq!(access::list_allowed(&app.app, By::Cli, root.id).await.unwrap(), []);
});

db_test!(groups_count_with_all_their_ancestors, |db| async move {
    let app = server(db).await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let staff = group(&app, "staff", vec![], vec![]).await;
    let engineers = group(&app, "engineers", vec![staff], vec![]).await;
    let team = group(&app, "team", vec![engineers], vec![alice.id.0]).await;
    add(&app, "wiki", json!({"allow": [{"group": staff.to_string()}]}), "wiki.example.com").await;
    assert_eq!(missing(&app, "wiki", alice.id).await, []);
    assert_eq!(missing(&app, "wiki", bob.id).await, [Missing::Named]);
    // Renaming changes nothing, leaving does.
    let renamed = GroupChange { name: Some("people".into()), ..GroupChange::default() };
    groups::change(&app.app, By::Cli, staff, renamed).await.unwrap();
    assert_eq!(missing(&app, "wiki", alice.id).await, []);
    groups::set_member(&app.app, By::Cli, team, alice.id, false).await.unwrap();
    assert_eq!(missing(&app, "wiki", alice.id).await, [Missing::Named]);
});

db_test!(app_test_names_the_rule_and_what_is_missing, |db| async move {
    let app = server(db).await;
    let alice = app.user("alice").await;
    let change = ApplicationChange {
        slug: Some("wiki".into()),
        access: Some(demand(json!({"allow": "signed_in"}))),
        guard: Some(Some(guard(json!({"hosts": ["wiki.example.com", "*.wiki.example.com"], "rules": [
            {"paths": ["/health"], "allow": "anyone"},
            {"paths": ["/admin/**"], "factor": "mfa", "max_age": "1h", "networks": ["10.0.0.0/8"]},
        ]})))),
        ..ApplicationChange::default()
    };
    applications::add(&app.app, By::Cli, change).await.unwrap();
    let ask = async |user: Option<UserId>, url: &str, methods: &str, from: Option<&str>| {
        let question = Question {
            user,
            url: url.to_owned(),
            method: "get".into(),
            from: from.map(|from| Address::parse(from).unwrap()),
            methods: Methods::parse(methods),
            age: Some(Duration::from_secs(7200)),
        };
        test(&app.app, By::Cli, &question).await
    };
    let user = Some(alice.id);
    let page = ask(user, "https://wiki.example.com/page?x=/admin", "pwd", None).await.unwrap();
    assert!(page.is_open);
    assert_eq!(page.rules(), ["access"]);
    assert!(page.headers.contains(&("Remote-User".into(), "alice".into())), "{:?}", page.headers);
    let health = ask(None, "https://WIKI.example.com:443/health", "", None).await.unwrap();
    assert!(health.is_open && health.headers.is_empty());
    assert_eq!(health.rules(), ["rule 1"]);
    let admin = ask(user, "https://a.wiki.example.com/admin", "pwd", None).await.unwrap();
    let words: Vec<&str> = admin.judgement.decision.missing().iter().map(|missing| missing.as_str()).collect();
    assert_eq!((admin.is_open, admin.rules(), words), (false, vec!["rule 2".to_owned()], vec!["network", "factor", "max_age"]));
    assert!(admin.headers.is_empty());
    // What may be read as the guarded path is judged as it, too.
    let hidden = ask(user, "https://wiki.example.com/health/..%2fadmin/x", "pwd otp mfa", Some("10.1.1.1")).await.unwrap();
    assert!(!hidden.is_open && hidden.rules().contains(&"rule 2".to_owned()), "{hidden:?}");
    let stranger = ask(None, "https://wiki.example.com/", "", None).await.unwrap();
    assert_eq!(stranger.judgement.decision.missing(), [Missing::SignIn]);
    for (url, rule) in [
        ("https://other.example.com/", ApplicationRule::NoGuardedHost("other.example.com".into())),
        ("wiki.example.com", ApplicationRule::Url("wiki.example.com".into())),
        ("https://alice@wiki.example.com/", ApplicationRule::Url("https://alice@wiki.example.com/".into())),
    ] {
        let Err(ActionError::Application(refused)) = ask(user, url, "pwd", None).await else { panic!("{url}") };
        assert_eq!(refused, rule);
    }
});

db_test!(apply_now_ends_the_app_sessions_that_may_not_go_on, |db| async move {
    let app = server(db).await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let wiki = add(&app, "wiki", json!({"allow": "signed_in"}), "wiki.example.com").await;
    for browser in [alice.session().await, bob.session().await] {
        open(&app, &browser.uuid, &wiki, "wiki.example.com").await.unwrap();
    }
    let uuid = app.app.store.read().find_user(alice.id).await.unwrap().unwrap().uuid;
    let only_alice = || demand(json!({"allow": [{"user": uuid.to_string()}]}));
    let change = ApplicationChange { access: Some(only_alice()), ..ApplicationChange::default() };
    applications::change(&app.app, By::Cli, "wiki", change).await.unwrap();
    assert_eq!(app.number("SELECT count(*) FROM app_sessions").await, 2, "a change ends nothing by itself");
    let change = ApplicationChange { apply_now: true, ..ApplicationChange::default() };
    applications::change(&app.app, By::Cli, "wiki", change).await.unwrap();
    let left = app.app.store.read().list_app_sessions(&Default::default(), 0, 10).await.unwrap();
    assert_eq!(left.iter().map(|row| row.username.as_str()).collect::<Vec<_>>(), ["alice"]);
    assert_eq!(app.count_events("app_session_ended").await, 1);
});
