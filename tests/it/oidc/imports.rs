//! Clients of import lines: apps go on knowing their users, by their old secrets.

use rollcall::actions::applications::app_sessions;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::guard::world::{Browser, server};
use crate::oidc::app::{App, CALLBACK};
use crate::support::seed;

const SECRET: &str = "the-secret-that-the-app-has-had-for-years-0123456789";
/// What authentik's API shows of a user: a SHA-256 that its own secret goes into.
const UID: &str = "2a5ef2f8b6dbbd4a3d8b5a1fbc3d6c0b7a8d5d1f1f0a4c6bd2e8a1f1c9b0d7e3";
const UUID: &str = "3f1b0c52-5d0e-4c53-9a53-0a4f3f3b8d11";

fn lines(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn user() -> Value {
    json!({
        "kind": "user", "id": 7, "username": "alice", "email": "alice@example.com", "uid": UID, "uuid": UUID, "name": "Alice",
    })
}

fn application(slug: &str, client: Value) -> Value {
    let mut all = json!({"client_id": format!("the-{slug}"), "redirect_uris": [CALLBACK], "pkce": "optional"});
    all.as_object_mut().unwrap().extend(client.as_object().unwrap().clone());
    json!({"kind": "application", "slug": slug, "access": {"allow": "signed_in"}, "client": all})
}

db_test!(an_app_that_moves_here_takes_its_users_for_the_same, |db| async move {
    let app = server(db).await;
    app.seed_keys().await;
    let hash: String = Sha256::digest(SECRET).iter().map(|byte| format!("{byte:02x}")).collect();
    let file = [
        user(),
        application("a", json!({"client_secret": SECRET})),
        application("b", json!({"client_secret_sha256": hash.to_uppercase(), "sub": "user_id"})),
        application("c", json!({"is_public": true, "sub": "user_uuid"})),
        application("d", json!({"is_public": true, "sub": "user_username"})),
        application("e", json!({"is_public": true, "sub": "user_email"})),
    ];
    // The same secret is good for one client alone.
    let error = app.import_bytes(lines(&file), false).await.unwrap_err().to_string();
    assert!(error.starts_with("line 3: "), "{error}");
    let other: String = Sha256::digest(SECRET.to_uppercase()).iter().map(|byte| format!("{byte:02x}")).collect();
    let mut file = file;
    file[2] = application("b", json!({"client_secret_sha256": other.to_uppercase(), "sub": "user_id"}));
    let done = app.import_bytes(lines(&file), false).await.unwrap();
    assert_eq!((done.applications, done.strangers), (5, 0));
    for (slug, secret, sub) in [
        ("a", SECRET.to_owned(), UID),
        ("b", SECRET.to_uppercase(), "7"),
        ("c", String::new(), UUID),
        ("d", String::new(), "alice"),
        ("e", String::new(), "alice@example.com"),
    ] {
        let imported = App { app: &app, slug, id: format!("the-{slug}"), secret };
        let browser = Browser::of(&app, "alice").await;
        let tokens = if imported.secret.is_empty() {
            let code = imported.code(&browser, &[]).await;
            let verifier = crate::oidc::app::VERIFIER;
            let fields = [
                ("grant_type", "authorization_code"),
                ("code", code.as_str()),
                ("redirect_uri", CALLBACK),
                ("code_verifier", verifier),
                ("client_id", imported.id.as_str()),
            ];
            crate::oidc::app::post(&app, "/application/o/token/", &fields, &[]).await.assert_status(200).json()
        } else {
            imported.tokens(&browser).await
        };
        assert_eq!(imported.claims(&tokens).await["sub"], sub, "{slug}");
        assert_eq!(imported.userinfo(&tokens["access_token"]).await.json()["sub"], sub, "{slug}");
    }
    // By the guard and by a client a user has one name.
    let alice = app.app.store.read().find_subject(app.known("alice").await.id).await.unwrap().unwrap();
    assert_eq!(alice.identity.uid, UID);
    assert_eq!(app.number("SELECT count(*) FROM client_secrets").await, 2);
    let filter = rollcall::store::applications::app_sessions::AppSessionFilter::default();
    let rows = app.app.store.read().list_app_sessions(&filter, 0, 10).await.unwrap();
    let shown = app_sessions::record(&rows[0], &std::collections::HashMap::new(), app.app.clock.now());
    assert!(!shown.to_string().contains(SECRET));
});

db_test!(an_import_says_who_is_new_to_apps, |db| async move {
    let app = server(db).await;
    let nobody_asks = app.import_bytes(lines(&[seed::user(1, "one")]), false).await.unwrap();
    assert_eq!(nobody_asks.strangers, 0, "no app knows users by it");
    let file = [seed::user(2, "two"), user(), application("a", json!({"client_secret": SECRET}))];
    assert_eq!(app.import_bytes(lines(&file), false).await.unwrap().strangers, 1);
});

db_test!(a_client_that_cannot_be_imports_nothing, |db| async move {
    let app = server(db).await;
    for (client, why) in [
        (json!({"client_secret": "short"}), "32 to 255"),
        (json!({"client_secret": SECRET, "client_secret_sha256": "00"}), "the same secret"),
        (json!({"client_secret_sha256": "xyz"}), "64 hexadecimal digits"),
        (json!({"client_secret": 7}), "client_secret is a text"),
        (json!({"client_secret": SECRET, "is_public": true}), "no secret"),
        (json!({"redirect_uris": []}), "redirect addresses"),
        (json!({"redirect_uris": ["http://app.example/cb"]}), "plain http"),
        (json!({"client_id": "a:b"}), "client_id"),
        (json!({"scopes": ["admin"]}), "scope"),
        (json!({"colour": "red"}), "colour"),
    ] {
        let error = app.import_bytes(lines(&[user(), application("a", client.clone())]), false).await.unwrap_err().to_string();
        assert!(error.starts_with("line 2: ") && error.contains(why), "{client}: {error}");
    }
    assert_eq!(app.number("SELECT count(*) FROM users").await, 0);
});
