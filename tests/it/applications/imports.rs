//! Import lines of applications, and of app passwords that name them.

use rollcall::actions::applications::access;
use rollcall::actions::applications::passwords::app_password;
use rollcall::actions::by::By;
use rollcall::domain::UserId;
use serde_json::{Value, json};

use super::server;
use crate::support::seed;

fn lines(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn world() -> Vec<Value> {
    vec![
        json!({"kind": "group", "name": "staff"}),
        json!({"kind": "user", "id": 7, "username": "alice", "groups": ["staff"]}),
        seed::user(8, "bob"),
        json!({
            "kind": "application", "slug": "wiki", "name": "Wiki",
            "access": {"allow": ["group:staff"], "factor": "mfa", "app_passwords": true},
            "display": {"group": "Tools"},
            "groups_sent": ["staff"],
            "guard": {"hosts": ["wiki.example.com"], "rules": [
                {"paths": ["/health"], "allow": "anyone"},
                {"paths": ["/bob/**"], "allow": ["user:bob"]},
            ]},
        }),
        json!({
            "kind": "token", "key": "rcp_0123456789012345678901234567890123456789012", "intent": "app_password", "user": 7,
            "expires": "2099-01-01T00:00:00Z", "applications": ["wiki"],
        }),
        json!({
            "kind": "token", "key": "another-key-0123456789012345678901234567890", "intent": "app_password", "user": 7,
            "expires": "2099-01-01T00:00:00Z", "applications": ["wiki"],
        }),
    ]
}

db_test!(applications_and_their_app_passwords_are_imported, |db| async move {
    let app = server(db).await;
    for is_replacing in [false, true] {
        let done = app.import_bytes(lines(&world()), is_replacing).await.unwrap();
        assert_eq!((done.applications, done.tokens, done.powerless), (1, 2, 1));
        let all = app.app.store.applications().await.unwrap();
        assert_eq!(all.all().len(), 1, "a second import that replaces leaves one");
        let wiki = all.by_slug("wiki").unwrap();
        assert_eq!((wiki.name.as_str(), wiki.guard().unwrap().rules.len()), ("Wiki", 2));
        for (user, may) in [(7, true), (8, false)] {
            let decision = access::check(&app.app, By::Cli, "wiki", UserId(user)).await.unwrap();
            assert_eq!(decision.is_met(), may, "{user}");
        }
        for (key, opens) in
            [("rcp_0123456789012345678901234567890123456789012", true), ("another-key-0123456789012345678901234567890", false)]
        {
            assert_eq!(app_password(&app.app, key, wiki).await.unwrap().is_some(), opens, "{key}");
        }
    }
    // A file without applications leaves those that are there, and nobody is named by what was removed.
    app.import_bytes(lines(&[seed::user(9, "carol")]), true).await.unwrap();
    assert_eq!(app.app.store.applications().await.unwrap().all().len(), 1);
});

db_test!(a_line_that_cannot_be_an_application_imports_nothing, |db| async move {
    let app = server(db).await;
    for (with, why) in [
        (json!({"slug": "a b"}), "slug"),
        (json!({"access": {"allow": ["group:nothing"]}}), "there is no group \"nothing\""),
        (json!({"access": {"allow": ["staff"]}}), "group:NAME"),
        (json!({"access": {"allow": "everybody"}}), "access"),
        (json!({"guard": {"hosts": []}}), "hosts"),
        (json!({"guard": {"hosts": ["login.example.com"]}}), "own host"),
        (json!({"guard": {"hosts": ["a.example.com"], "rules": [{"paths": ["admin"]}]}}), "path"),
        (json!({"colour": "red"}), "colour"),
        (json!({"client": {"redirect_uris": ["https://app.example/cb"]}}), "https address"),
    ] {
        let mut line = json!({"kind": "application", "slug": "wiki"});
        line.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
        let error = app.import_bytes(lines(&[seed::user(9, "carol"), line]), false).await.unwrap_err().to_string();
        assert!(error.starts_with("line 2: ") && error.contains(why), "{with}: {error}");
    }
    let token = json!({
        "kind": "token", "key": "rcp_0123456789012345678901234567890123456789012", "intent": "app_password", "user": 9,
        "expires": "2099-01-01T00:00:00Z", "applications": ["nothing"],
    });
    let error = app.import_bytes(lines(&[seed::user(9, "carol"), token]), false).await.unwrap_err().to_string();
    assert!(error.contains("there is no application \"nothing\""), "{error}");
    assert_eq!(app.number("SELECT count(*) FROM users").await, 0);
});
