//! The keys: made once, published, replaced, and of no use under another instance key.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rollcall::actions::by::By;
use rollcall::actions::signing::rotate::{RotateError, keep, list, replace, rotate};
use rollcall::domain::signing::KeyState;
use rollcall::keys::InstanceKey;
use serde_json::json;
use sha2::Digest;

use super::{kids, published};
use crate::guard::world::{Browser, HOME, KINDS, SHOP, WIKI, add_app, server, server_with, two_apps};
use crate::support::TestApp;

const DAY: Duration = Duration::from_secs(86400);

/// How many keys are in each state.
async fn states(app: &TestApp) -> Vec<(KeyState, usize)> {
    let all = list(&app.app, By::Cli).await.unwrap();
    let states = [KeyState::Next, KeyState::Signs, KeyState::Published, KeyState::Kept, KeyState::Over];
    let counted = states.map(|state| (state, all.iter().filter(|(_, is)| *is == state).count()));
    counted.into_iter().filter(|(_, count)| *count > 0).collect()
}

db_test!(keys_are_made_when_they_are_first_asked_for, |db| async move {
    let app = server(db).await;
    two_apps(&app).await;
    let browser = Browser::new(&app);
    assert_eq!(published(&browser, "nothing").await.status, 404, "there is no such application");
    assert_eq!(app.number("SELECT count(*) FROM signing_keys").await, 0);
    // Another node on the same database, at the same time.
    let home = format!("https://{HOME}");
    let other = app.restarted(&[("HTTP__PUBLIC_URL", home.as_str())]).await;
    let (first, second) = tokio::join!(published(&browser, "wiki"), other.keyring.now(&other.core));
    let first = first.assert_status(200);
    assert_eq!(second.unwrap().states(app.app.clock.now()).count(), 2);
    assert_eq!(app.number("SELECT count(*) FROM signing_keys").await, 2, "two nodes make one set");

    for (name, value) in
        [("content-type", "application/json"), ("access-control-allow-origin", "*"), ("cache-control", "public, max-age=600")]
    {
        assert_eq!(first.header(name), Some(value), "{name}");
    }
    assert_eq!(first.header("access-control-allow-credentials"), None);
    let keys = first.json()["keys"].as_array().unwrap().clone();
    let members = |key: &serde_json::Value| key.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    for key in &keys {
        let (want, canonical) = match key["kty"].as_str().unwrap() {
            "RSA" => (vec!["alg", "e", "kid", "kty", "n", "use"], json!({"e": key["e"], "kty": "RSA", "n": key["n"]})),
            _ => (
                vec!["alg", "crv", "kid", "kty", "use", "x", "y"],
                json!({"crv": "P-256", "kty": "EC", "x": key["x"], "y": key["y"]}),
            ),
        };
        let mut names = members(key);
        names.sort();
        assert_eq!(names, want);
        let thumbprint = URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(canonical.to_string().as_bytes()));
        assert_eq!((key["kid"].as_str(), key["use"].as_str()), (Some(thumbprint.as_str()), Some("sig")));
    }
    let algorithms: Vec<&str> = keys.iter().map(|key| key["alg"].as_str().unwrap()).collect();
    assert_eq!(algorithms, ["ES256", "RS256"]);
    let modulus = keys.iter().find_map(|key| key["n"].as_str()).unwrap();
    assert_eq!(URL_SAFE_NO_PAD.decode(modulus).unwrap().len() * 8, 3072);

    // The same for every application, and a cache asks whether they are the same.
    assert_eq!(kids(&published(&browser, "shop").await), kids(&first));
    let tag = first.header("etag").unwrap().to_owned();
    let again = browser.send("GET", HOME, "/application/o/wiki/jwks/", &[("if-none-match", &tag)]).await;
    assert_eq!((again.status, again.text().as_str(), again.header("etag")), (304, "", Some(tag.as_str())));
    let elsewhere = browser.send("GET", HOME, "/application/o/wiki/jwks/", &[("if-none-match", "\"x\"")]).await;
    assert_eq!(elsewhere.status, 200);
    assert_eq!(browser.send("POST", HOME, "/application/o/wiki/jwks/", &[]).await.status, 405);
});

db_test!(the_next_keys_are_published_before_they_sign_and_the_last_ones_after, |db| async move {
    let app = server(db).await;
    two_apps(&app).await;
    keep(&app.app, By::System).await.unwrap();
    assert_eq!(states(&app).await, [], "where nothing needs keys, none are made");
    app.seed_keys().await;
    let browser = Browser::new(&app);
    let first = kids(&published(&browser, "wiki").await);
    let turn = async |app: &TestApp| {
        keep(&app.app, By::System).await.unwrap();
        let published = kids(&published(&browser, "wiki").await);
        (states(app).await, published)
    };
    app.advance(DAY * 88);
    assert_eq!(turn(&app).await, (vec![(KeyState::Signs, 2)], first.clone()));
    app.advance(DAY);
    let (during, four) = turn(&app).await;
    assert_eq!((during, four.len()), (vec![(KeyState::Next, 2), (KeyState::Signs, 2)], 4));
    assert_eq!(app.count_events("keys_rotated").await, 2);
    keep(&app.app, By::System).await.unwrap();
    assert_eq!(app.number("SELECT count(*) FROM signing_keys").await, 4, "once");
    app.advance(DAY);
    let (after, still) = turn(&app).await;
    assert_eq!((after, &still), (vec![(KeyState::Signs, 2), (KeyState::Published, 2)], &four));
    app.advance(Duration::from_secs(2 * 3600));
    let (later, new) = turn(&app).await;
    assert_eq!(later, [(KeyState::Signs, 2), (KeyState::Kept, 2)]);
    assert!(new.len() == 2 && new.iter().all(|kid| !first.contains(kid)));
    assert_eq!(app.count_events("keys_rotated").await, 2);
});

db_test!(keys_are_rotated_by_hand, |db| async move {
    let app = server_with(db, &[("KEYS__ROTATION", "0")]).await;
    two_apps(&app).await;
    app.seed_keys().await;
    let browser = Browser::new(&app);
    let first = kids(&published(&browser, "wiki").await);
    app.advance(DAY * 400);
    keep(&app.app, By::System).await.unwrap();
    assert_eq!(states(&app).await, [(KeyState::Signs, 2)], "no time replaces them");
    let signs_at = rotate(&app.app, By::Cli).await.unwrap();
    assert_eq!(signs_at, app.app.clock.now().plus(DAY));
    let again = rotate(&app.app, By::Cli).await;
    assert!(matches!(again, Err(RotateError::Pending(at)) if at == signs_at), "{again:?}");
    assert_eq!(kids(&published(&browser, "wiki").await).len(), 4);

    replace(&app.app, By::Cli).await.unwrap();
    let new = kids(&published(&browser, "wiki").await);
    assert!(new.len() == 2 && new.iter().all(|kid| !first.contains(kid)), "the others leave at once");
    assert_eq!(states(&app).await, [(KeyState::Signs, 2)]);
    assert_eq!(app.count_events("keys_rotated").await, 4);
    let algorithms = async || -> Vec<_> {
        let events = app.latest("keys_rotated").await;
        events.iter().map(|event| event.content.to_json()["algorithm"].clone()).collect()
    };
    assert_eq!(algorithms().await, ["ES256", "RS256", "ES256", "RS256"]);
});

db_test!(keys_of_another_instance_key_sign_nothing, |db| async move {
    let app = server(db).await;
    let strange = tempfile::TempDir::new().unwrap();
    let strange = InstanceKey::load_or_create(&strange.path().join("instance.key")).unwrap();
    app.seed_keys_sealed_by(&strange).await;
    add_app(&app, "wiki", json!({"allow": "signed_in"}), json!({"hosts": [WIKI], "jwt": true})).await;
    add_app(&app, "shop", json!({"allow": "signed_in"}), json!({"hosts": [SHOP]})).await;
    app.user("alice").await;
    let browser = Browser::of(&app, "alice").await;
    let answer = published(&browser, "wiki").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    assert_eq!(browser.open("caddy", "wiki", "https://wiki.example/").await.status, 503);
    assert_eq!(browser.open("caddy", "shop", "https://shop.other/").await.status, 200, "what needs no signature goes on");
    for kind in KINDS {
        let refused = browser.ask(kind, "wiki", ("GET", WIKI, "/"), &[]).await;
        assert_eq!((refused.status, refused.header("remote-user")), (503, None), "{kind}");
    }
    assert_eq!(browser.send("GET", HOME, "/sessions", &[]).await.status, 200, "sessions go on");
    replace(&app.app, By::Cli).await.unwrap();
    assert_eq!(published(&browser, "wiki").await.status, 200);
});

db_test!(keys_are_published_by_https_alone, |db| async move {
    let app = server_with(db, &[("HTTP__PUBLIC_URL", "http://id.example")]).await;
    add_app(&app, "wiki", json!({"allow": "signed_in"}), json!({"hosts": [WIKI]})).await;
    assert_eq!(published(&Browser::new(&app), "wiki").await.status, 404);
    let wanted = rollcall::actions::applications::ApplicationChange {
        guard: Some(Some(serde_json::from_value(json!({"hosts": [WIKI], "jwt": true})).unwrap())),
        ..Default::default()
    };
    let refused = rollcall::actions::applications::change(&app.app, By::Cli, "wiki", wanted).await.unwrap_err();
    assert!(refused.to_string().contains("http.public_url"), "{refused}");
});
