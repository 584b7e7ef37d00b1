//! Signed identities of requests to guarded apps, as the check sends them and an app verifies them.

use std::time::Duration;

use rollcall::actions::applications::test::{Question, test};
use rollcall::actions::by::By;
use rollcall::domain::{Methods, Timestamp};
use serde_json::{Value, json};

use super::{published, verified};
use crate::applications::app_password;
use crate::guard::world::{Browser, HOME, KINDS, PAGE, SHOP, WIKI, add_app, server};
use crate::support::{Answer, NOW, SESSIONS, TestApp};

const OWN: &str = "x-rollcall-jwt";
const AUTHENTIKS: &str = "x-authentik-jwt";

/// The wiki, which gets signed identities; a page of it is open to anyone, and one to nobody.
async fn wiki(app: &TestApp, access: Value) {
    let rules = json!([
        {"paths": ["/open/**"], "allow": "anyone"},
        {"paths": ["/closed/**"], "allow": "nobody"},
        {"paths": ["/api/**"], "app_passwords": true},
    ]);
    add_app(app, "wiki", access, json!({"hosts": [WIKI], "jwt": true, "rules": rules})).await;
    app.seed_keys().await;
}

fn token(answer: &Answer) -> String {
    answer.header(OWN).unwrap_or_else(|| panic!("{:?}", answer.headers)).to_owned()
}

async fn group(app: &TestApp, name: &str, member: Option<&str>) {
    app.import(&[json!({"kind": "group", "name": name})]).await;
    if let Some(member) = member {
        let id = app.known(member).await.id.0;
        let sql = format!("INSERT INTO memberships (user_id, group_id) SELECT {id}, id FROM groups WHERE name = '{name}'");
        app.db.run(&sql).await;
    }
}

db_test!(an_app_verifies_who_a_request_is_from, |db| async move {
    let app = server(db).await;
    app.user("alice").await;
    group(&app, "staff", Some("alice")).await;
    wiki(&app, json!({"allow": "signed_in"})).await;
    let uid = app.app.store.read().find_subject(app.known("alice").await.id).await.unwrap().unwrap().identity.uid;
    let browser = Browser::new(&app);
    let session = browser.sign_in("alice").await;
    let now = Timestamp::parse(NOW).unwrap().seconds();
    for kind in KINDS {
        let opened = browser.open(kind, "wiki", &format!("https://{WIKI}/a")).await.assert_status(200);
        assert_eq!(opened.headers.get_all(OWN).iter().count(), 1, "{kind}");
        assert_eq!((opened.header(AUTHENTIKS), opened.header("x-authentik-meta-jwks")), (None, None), "{kind}");
        let (header, claims) = verified(&token(&opened), &published(&browser, "wiki").await.json());
        assert_eq!((header.typ.as_deref(), header.alg), (Some("identity+jwt"), jsonwebtoken::Algorithm::ES256));
        assert_eq!(
            claims,
            json!({
                "iss": "https://id.example/application/o/wiki/", "aud": "wiki", "sub": uid, "preferred_username": "alice",
                "groups": ["staff"], "sid": session, "acr": "goauthentik.io/providers/oauth2/default", "amr": ["pwd"],
                "auth_time": now, "iat": now, "exp": now + 60,
            }),
            "{kind}"
        );
    }
    // At authentik's addresses, in authentik's words.
    let headers = [
        ("host", WIKI),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-for", "192.0.2.1"),
        ("cookie", &browser.cookie_header(WIKI)),
    ];
    let asked = browser.send_as("GET", "/outpost.goauthentik.io/auth/envoy/a", &headers).await.assert_status(200);
    assert_eq!(asked.header("x-authentik-meta-jwks"), Some("https://id.example/application/o/wiki/jwks/"));
    let (_, claims) = verified(asked.header(AUTHENTIKS).unwrap(), &published(&browser, "wiki").await.json());
    assert_eq!((claims["sid"].as_str(), asked.header(OWN)), (Some(session.as_str()), None));
});

db_test!(a_signed_identity_is_used_for_half_of_its_life_and_never_says_what_was, |db| async move {
    let app = server(db).await;
    app.user("alice").await;
    for name in ["staff", "crew"] {
        group(&app, name, Some("alice").filter(|_| name == "staff")).await;
    }
    wiki(&app, json!({"allow": "signed_in"})).await;
    add_app(&app, "shop", json!({"allow": "signed_in"}), json!({"hosts": [SHOP], "jwt": true})).await;
    let browser = Browser::of(&app, "alice").await;
    let ask = async || browser.ask("caddy", "wiki", ("GET", WIKI, "/a"), &[]).await.assert_status(200);
    browser.open("caddy", "wiki", &format!("https://{WIKI}/a")).await.assert_status(200);
    let first = token(&ask().await);
    app.advance(Duration::from_secs(29));
    assert_eq!(token(&ask().await), first);
    app.advance(Duration::from_secs(1));
    let second = token(&ask().await);
    assert_ne!(second, first, "half of its life is over");

    let keys = published(&browser, "wiki").await.json();
    let groups = async || verified(&token(&ask().await), &keys).1["groups"].clone();
    assert_eq!(groups().await, json!(["staff"]));
    let id = app.known("alice").await.id.0;
    app.db.run(&format!("INSERT INTO memberships (user_id, group_id) SELECT {id}, id FROM groups WHERE name = 'crew'")).await;
    assert_eq!(groups().await, json!(["crew", "staff"]), "at once");
    app.db.run(&format!("DELETE FROM memberships WHERE user_id = {id}")).await;
    assert_eq!(groups().await, json!([]));

    // Each application has its own, and an end refuses the next request.
    let shop = browser.open("caddy", "shop", &format!("https://{SHOP}/a")).await.assert_status(200);
    assert_eq!(verified(&token(&shop), &keys).1["aud"], "shop");
    rollcall::actions::signing::rotate::replace(&app.app, By::Cli).await.unwrap();
    app.app.keyring.now(&app.app.core).await.unwrap();
    let replaced = token(&ask().await);
    let (header, _) = verified(&replaced, &published(&browser, "wiki").await.json());
    assert!(!keys.to_string().contains(&header.kid.unwrap()), "a key that left signs nothing, held or not");
    app.record_ends_of(id, 10).await;
    let ended = browser.ask("caddy", "wiki", ("GET", WIKI, "/a"), &[]).await;
    assert_eq!((ended.status, ended.header(OWN)), (401, None));
});

db_test!(nobody_else_gets_a_signed_identity, |db| async move {
    let app = server(db).await;
    app.user("alice").await;
    wiki(&app, json!({"allow": "signed_in"})).await;
    add_app(&app, "shop", json!({"allow": "signed_in"}), json!({"hosts": [SHOP]})).await;
    let (alice, stranger) = (Browser::of(&app, "alice").await, Browser::new(&app));
    alice.open("caddy", "wiki", &format!("https://{WIKI}/a")).await.assert_status(200);
    alice.open("caddy", "shop", &format!("https://{SHOP}/a")).await.assert_status(200);
    let key = app_password(&app, "alice", "wiki").await;
    for kind in KINDS {
        let ask = async |who: &Browser<'_>, host: &'static str, path: &'static str, headers: &[(&str, &str)]| {
            let slug = if host == WIKI { "wiki" } else { "shop" };
            who.ask(kind, slug, ("GET", host, path), headers).await
        };
        for (who, host, path, status) in [
            (&alice, WIKI, "/open/a", 200),
            (&stranger, WIKI, "/open/a", 200),
            (&alice, WIKI, "/closed/a", 403),
            (&stranger, WIKI, "/a", 401),
            (&alice, SHOP, "/a", 200),
        ] {
            let answer = ask(who, host, path, &[(OWN, "forged")]).await;
            assert_eq!((answer.status, answer.header(OWN), answer.header(AUTHENTIKS)), (status, None, None), "{kind} {host}{path}");
        }
        let program = ask(&stranger, WIKI, "/api/a", &[("authorization", &format!("Bearer {key}"))]).await.assert_status(200);
        let (_, claims) = verified(&token(&program), &published(&alice, "wiki").await.json());
        assert_eq!(claims["preferred_username"], "alice");
        for absent in ["sid", "acr", "amr", "auth_time"] {
            assert_eq!(claims.get(absent), None, "{kind}: an app password has no session: {absent}");
        }
        assert_ne!(token(&program), token(&ask(&alice, WIKI, "/a", &[]).await));
    }
    // It opens nothing itself.
    let signed = token(&alice.ask("caddy", "wiki", ("GET", WIKI, "/a"), &[]).await);
    let (bearer, cookie) = (format!("Bearer {signed}"), format!("__Host-rollcall_app={signed}; __Host-rollcall_session={signed}"));
    for headers in [[("authorization", bearer.as_str())], [("cookie", cookie.as_str())], [("x-rollcall-key", signed.as_str())]] {
        assert_ne!(stranger.send("GET", HOME, SESSIONS, &headers).await.status, 200, "{headers:?}");
        assert_ne!(stranger.send("GET", HOME, "/sessions", &headers).await.status, 200, "{headers:?}");
        for kind in KINDS {
            let answer = stranger.ask(kind, "wiki", ("GET", WIKI, "/api/a"), &headers).await;
            assert_eq!((answer.status, answer.header(OWN)), (401, None), "{kind} {headers:?}");
        }
    }
});

db_test!(a_signed_identity_counts_among_the_headers_that_must_fit, |db| async move {
    let app = server(db).await;
    app.user("alice").await;
    let id = app.known("alice").await.id;
    // The names alone fit, and with a signed copy of them they do not.
    for nth in 0..60 {
        group(&app, &format!("{nth:03} {}", "x".repeat(140)), Some("alice")).await;
    }
    wiki(&app, json!({"allow": "signed_in"})).await;
    let browser = Browser::of(&app, "alice").await;
    let opened = browser.open("caddy", "wiki", &format!("https://{WIKI}/a")).await;
    assert_eq!((opened.status, opened.header("remote-user"), opened.header(OWN)), (403, None, None));
    assert_eq!(app.latest("identity_too_large").await.len(), 1);
    let question = || Question {
        user: Some(id),
        url: format!("https://{WIKI}/a"),
        method: "GET".into(),
        from: None,
        methods: Methods::default(),
        age: Some(Duration::ZERO),
    };
    let told = test(&app.app, By::Cli, &question()).await.unwrap();
    assert_eq!((told.is_open, told.signed), (false, None), "app test says the same");
    app.db.run(&format!("DELETE FROM memberships WHERE user_id = {}", id.0)).await;
    assert_eq!(browser.ask("caddy", "wiki", ("GET", WIKI, "/a"), &PAGE).await.status, 200);
    let told = test(&app.app, By::Cli, &question()).await.unwrap();
    assert_eq!((told.is_open, told.signed), (true, Some("X-Rollcall-Jwt")));
    assert!(told.headers.iter().all(|(name, _)| name != "X-Rollcall-Jwt"), "no signature is made for a question");
});
