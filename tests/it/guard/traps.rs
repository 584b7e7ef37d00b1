//! What callers and broken parts do to a check: whatever it is, nobody is let in who may not.

use std::time::Duration;

use reqwest::Method;
use rollcall::actions::applications::test::{Question, test};
use rollcall::actions::by::By;
use rollcall::domain::Methods;
use serde_json::json;

use super::world::{Browser, KINDS, PAGE, SHOP, WIKI, add_app, server, two_apps};
use crate::support::caller;

db_test!(rules_of_networks_read_the_address_that_trusted_proxies_tell, |db| async move {
    let app = server(db).await;
    let rules = json!([{"paths": ["/near/**"], "if_network": ["192.0.2.0/24"], "allow": "anyone"}]);
    add_app(&app, "wiki", json!({"allow": "signed_in"}), json!({"hosts": [WIKI], "rules": rules})).await;
    let mut stranger = Browser::new(&app);
    stranger.ip = "192.0.2.1";
    assert_eq!(stranger.ask("caddy", "wiki", ("GET", WIKI, "/near/x"), &[]).await.status, 200);
    // What a caller adds is to the left of what the proxy tells, or in a line before it.
    for told in [
        vec!["192.0.2.1, 203.0.113.9"],
        vec!["192.0.2.1", "203.0.113.9"],
        vec!["192.0.2.1,", "203.0.113.9"],
        vec!["192.0.2.1, 127.0.0.1, 203.0.113.9"],
        vec!["203.0.113.9, 127.0.0.1"],
        vec!["192.0.2.1, nothing, 127.0.0.1"],
        vec!["192.0.2.1, "],
        vec![""],
        vec![],
    ] {
        for kind in KINDS {
            let target = "https://wiki.example/near/x";
            let mut headers = match kind {
                "nginx" => vec![("host", WIKI), ("x-original-url", target), ("x-original-method", "GET")],
                "envoy" => vec![("host", WIKI)],
                _ => vec![
                    ("host", "proxy"),
                    ("x-forwarded-host", WIKI),
                    ("x-forwarded-uri", "/near/x"),
                    ("x-forwarded-method", "GET"),
                ],
            };
            headers.extend(told.iter().map(|line| ("x-forwarded-for", *line)));
            let path = if kind == "envoy" { "/guard/envoy/wiki/near/x".to_owned() } else { format!("/guard/{kind}/wiki") };
            assert_eq!(stranger.send_as("GET", &path, &headers).await.status, 401, "{kind} {told:?}");
        }
    }
});

db_test!(an_identity_that_is_too_large_is_refused_with_an_event, |db| async move {
    let app = server(db).await;
    two_apps(&app).await;
    let alice = app.user("alice").await;
    let browser = Browser::of(&app, "alice").await;
    assert_eq!(browser.open("caddy", "wiki", "https://wiki.example/").await.status, 200);
    let (id, uuid, no) =
        if app.db.is_sqlite() { (alice.id.0, "randomblob(16)", "0") } else { (alice.id.0, "gen_random_uuid()", "FALSE") };
    let name = "'a group with number ' || CAST(i AS TEXT)";
    app.db
        .run(&format!(
            "INSERT INTO groups (uuid, name, name_key, is_superuser) \
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000) SELECT {uuid}, {name}, {name}, {no} FROM n; \
             INSERT INTO memberships (user_id, group_id) SELECT {id}, id FROM groups WHERE name LIKE 'a group with number %'"
        ))
        .await;
    for kind in KINDS {
        let answer = browser.ask(kind, "wiki", ("GET", WIKI, "/"), &[]).await;
        assert_eq!((answer.status, answer.header("remote-user"), answer.header("remote-groups")), (403, None, None), "{kind}");
    }
    assert_eq!(app.count_events("identity_too_large").await, 1, "once a minute");
    let event = app.latest("identity_too_large").await.remove(0);
    let content = event.content.to_json();
    assert_eq!((content["application"].as_str(), content["groups"].as_u64()), (Some("wiki"), Some(4000)));
    assert!(content["bytes"].as_u64().unwrap() > 16 * 1024);
    // Names that an application is not sent do not count.
    add_app(&app, "wiki", json!({"allow": "signed_in"}), json!({"hosts": [WIKI], "headers": {"X-User": "username"}})).await;
    assert_eq!(browser.ask("caddy", "wiki", ("GET", WIKI, "/"), &[]).await.header("x-user"), Some("alice"));
});

db_test!(refusals_of_strangers_leave_no_event, |db| async move {
    let app = server(db).await;
    two_apps(&app).await;
    let before = app.number("SELECT count(*) FROM events").await;
    let stranger = Browser::new(&app);
    for kind in KINDS {
        for _ in 0..5 {
            stranger.ask(kind, "wiki", ("GET", WIKI, "/"), &PAGE).await;
            stranger.ask(kind, "shop", ("GET", SHOP, "/"), &PAGE).await;
            stranger.ask(kind, "wiki", ("GET", WIKI, "/a%00"), &PAGE).await;
        }
    }
    assert_eq!(app.number("SELECT count(*) FROM events").await, before);
});

db_test!(the_check_and_app_test_give_one_answer, |db| async move {
    let app = server(db).await;
    let rules = json!([
        {"paths": ["/public/**"], "allow": "anyone"},
        {"paths": ["/closed/**"], "allow": "nobody"},
        {"paths": ["/strict/**"], "factor": "mfa"},
        {"paths": ["/near/**"], "networks": ["192.0.2.0/24"]},
        {"paths": ["/things/**"], "methods": ["DELETE"], "allow": "nobody"},
    ]);
    add_app(&app, "wiki", json!({"allow": "signed_in"}), json!({"hosts": [WIKI], "rules": rules})).await;
    let user = app.user("alice").await.id;
    let alice = Browser::of(&app, "alice").await;
    assert_eq!(alice.open("caddy", "wiki", "https://wiki.example/").await.status, 200);
    let stranger = Browser::new(&app);
    let paths = [
        "/",
        "/public/x",
        "/closed/x",
        "/strict/x",
        "/near/x",
        "/things/1",
        "/public/..%2fclosed/x",
        "/CLOSED",
        "//near/x",
        "/a%00",
        "/.rollcall/who",
        "/.ROLLCALL/x",
        "/public/..%2f.rollcall/x",
        "/outpost.goauthentik.io/ping",
    ];
    for (browser, user) in [(&alice, Some(user)), (&stranger, None)] {
        for method in ["GET", "DELETE", "POST"] {
            for path in paths {
                let answer = browser.ask("caddy", "wiki", (method, WIKI, path), &[]).await;
                let question = Question {
                    user,
                    url: format!("https://{WIKI}{path}"),
                    method: method.to_owned(),
                    from: rollcall::domain::Address::parse(browser.ip),
                    methods: Methods::password(),
                    age: Some(Duration::ZERO),
                };
                let told = test(&app.app, By::Cli, &question).await.unwrap();
                assert_eq!(answer.status == 200, told.is_open, "{user:?} {method} {path}: {} {told:?}", answer.status);
                for (name, value) in &told.headers {
                    assert_eq!(answer.header(&name.to_lowercase()), Some(value.as_str()), "{method} {path}");
                }
            }
        }
    }
});

db_test!(a_method_is_judged_as_it_may_be_taken, |db| async move {
    let app = server(db).await;
    let rules = json!([{"paths": ["/x"], "methods": ["GET", "HEAD", "OPTIONS"], "allow": "anyone"}]);
    add_app(&app, "wiki", json!({"allow": "signed_in"}), json!({"hosts": [WIKI], "rules": rules})).await;
    let stranger = Browser::new(&app);
    for (method, headers, want) in [
        ("GET", vec![], 200),
        ("BREW", vec![], 401),
        ("get", vec![], 401),
        ("GET", vec![("x-http-method-override", "DELETE")], 401),
        ("GET", vec![("x-method-override", "get"), ("x-http-method", "PATCH")], 401),
        ("GET", vec![("x-http-method-override", "not a word")], 403),
        ("GET", vec![("x-http-method-override", "")], 403),
    ] {
        let answer = stranger.ask("caddy", "wiki", (method, WIKI, "/x"), &headers).await;
        assert_eq!(answer.status, want, "{method} {headers:?}");
    }
    // OPTIONS with a body, as Envoy sends it on.
    let request = reqwest::Client::new()
        .request(Method::OPTIONS, format!("{}/guard/envoy/wiki/y", app.origin()))
        .header("host", WIKI)
        .body("a body");
    assert_eq!(caller::send(request).await.status, 401);
});
