//! Every credential at every door: each opens what it is for, and nothing else.

use rollcall::domain::PlainSecret;
use rollcall::store::people::users::Rights;
use serde_json::json;

use super::world::{Browser, HOME, KINDS, PAGE, SHOP, WIKI, add_app, server, split, two_apps};
use crate::oidc::app::register;
use crate::support::SESSIONS;

const APP_COOKIE: &str = "__Host-rollcall_app";

db_test!(each_credential_opens_one_door, |db| async move {
    let app = server(db).await;
    two_apps(&app).await;
    add_app(&app, "shop", json!({"allow": "signed_in"}), json!({"hosts": [SHOP]})).await;
    app.superuser("alice").await;
    let alice = Browser::of(&app, "alice").await;
    assert_eq!(alice.open("caddy", "wiki", "https://wiki.example/").await.status, 200);
    let (app_key, session_key) = (alice.cookie(WIKI, APP_COOKIE).unwrap(), alice.cookie(HOME, "__Host-rollcall_session").unwrap());
    let token = app.known("alice").await.token_key(rollcall::domain::user::TokenIntent::Api, None).await;
    // A ticket that was not used.
    let go = alice.send("GET", WIKI, "/.rollcall/start?rd=%2F", &PAGE).await.header("location").unwrap().to_owned();
    let start_cookie = alice.cookie_names(WIKI).into_iter().find(|name| name.starts_with("__Host-rollcall_start")).unwrap();
    let nonce = alice.cookie(WIKI, &start_cookie).unwrap();
    let callback = alice.send("GET", HOME, &split(&go).1, &PAGE).await.header("location").unwrap().to_owned();
    let ticket = callback.split("ticket=").nth(1).unwrap().to_owned();
    let state = callback.split("state=").nth(1).unwrap().split('&').next().unwrap().to_owned();

    let stranger = Browser::new(&app);
    let secrets = [
        ("app key", &app_key),
        ("session", &session_key),
        ("token", &token),
        ("ticket", &ticket),
        ("nonce", &nonce),
        ("state", &state),
    ];
    for (what, secret) in secrets {
        let cookie_names = [
            APP_COOKIE,
            "rollcall_app",
            "__Host-rollcall_session",
            "rollcall_session",
            "authentik_session",
            "__Host-rollcall_start_00000000",
        ];
        let cookies: Vec<String> = cookie_names.iter().map(|name| format!("{name}={secret}")).collect();
        let bearer = format!("Bearer {secret}");
        let basic = {
            use base64::Engine;
            format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("alice:{secret}")))
        };
        let mut credentials: Vec<(&str, &str)> = cookies.iter().map(|cookie| ("cookie", cookie.as_str())).collect();
        credentials.extend([
            ("authorization", bearer.as_str()),
            ("authorization", basic.as_str()),
            ("x-rollcall-key", secret.as_str()),
        ]);
        for credential in &credentials {
            // The guard, on both hosts.
            for (slug, host) in [("wiki", WIKI), ("shop", SHOP)] {
                for kind in KINDS {
                    let answer = stranger.ask(kind, slug, ("GET", host, "/"), &[*credential]).await;
                    let opens = what == "app key" && host == WIKI && credential.1 == format!("{APP_COOKIE}={secret}");
                    assert_eq!(answer.status, if opens { 200 } else { 401 }, "{what} as {credential:?} at {host}");
                }
                let who = stranger.send("GET", host, "/.rollcall/who", &[*credential]).await;
                let opens = what == "app key" && host == WIKI && credential.1 == format!("{APP_COOKIE}={secret}");
                assert_eq!(who.status, if opens { 200 } else { 401 }, "{what} as {credential:?} at {host}");
            }
            // The API and the pages.
            let api = stranger.send("GET", HOME, SESSIONS, &[*credential]).await.status;
            let page = stranger.send("GET", HOME, "/sessions", &[*credential]).await.status;
            let is_session = what == "session" && credential.1 == format!("__Host-rollcall_session={secret}");
            let is_token = what == "token" && credential.1 == bearer;
            assert_eq!(api == 200, is_session || is_token, "{what} as {credential:?} in the API: {api}");
            assert_eq!(page == 200, is_session, "{what} as {credential:?} on a page: {page}");
        }
    }
});

db_test!(a_cookie_that_is_not_clearly_one_is_none, |db| async move {
    let app = server(db).await;
    two_apps(&app).await;
    app.user("alice").await;
    let alice = Browser::of(&app, "alice").await;
    assert_eq!(alice.open("caddy", "wiki", "https://wiki.example/").await.status, 200);
    let key = alice.cookie(WIKI, APP_COOKIE).unwrap();
    let stranger = Browser::new(&app);
    let good = format!("{APP_COOKIE}={key}");
    assert_eq!(stranger.ask("caddy", "wiki", ("GET", WIKI, "/"), &[("cookie", &good)]).await.status, 200);
    let long = format!("{APP_COOKIE}={}", "a".repeat(20_000));
    for cookies in [
        vec![format!("{good}; {good}")],
        vec![good.clone(), good.clone()],
        vec![format!("a=1,{good}")],
        vec![format!("{APP_COOKIE}=\"{key}\"")],
        vec![format!("{APP_COOKIE}={key}x")],
        vec![format!("{APP_COOKIE}={}", &key[..42])],
        vec![format!("{APP_COOKIE}=")],
        vec![APP_COOKIE.to_owned()],
        vec![format!("{APP_COOKIE}=\u{e9}\u{1f98a}")],
        vec![format!("__host-rollcall_app={key}")],
        vec![long],
        vec![format!("{APP_COOKIE}=x; {good}")],
    ] {
        let headers: Vec<(&str, &str)> = cookies.iter().map(|cookie| ("cookie", cookie.as_str())).collect();
        for kind in KINDS {
            let answer = stranger.ask(kind, "wiki", ("GET", WIKI, "/"), &headers).await;
            assert_eq!((answer.status, answer.header("remote-user")), (401, None), "{kind} {cookies:?}");
        }
    }
});

db_test!(what_an_app_holds_of_an_administrator_may_do_nothing_here, |db| async move {
    let app = server(db).await;
    app.seed_keys().await;
    let id = add_app(&app, "wiki", json!({"allow": "signed_in"}), json!({"hosts": [WIKI]})).await;
    app.superuser("root").await;
    let root = Browser::of(&app, "root").await;
    assert_eq!(root.open("caddy", "wiki", "https://wiki.example/").await.status, 200);
    let (store, now) = (app.app.store.clone(), app.app.clock.now());
    let key = PlainSecret::from_text(root.cookie(WIKI, APP_COOKIE).unwrap().as_str()).hash();
    let held = store.read().find_key_holder(key, WIKI, id, now).await.unwrap().unwrap();
    assert_eq!((held.session.rights, held.who.identity.is_superuser), (Rights::default(), true));
    let tokens = register(&app, "notes", json!({})).await.tokens(&root).await;
    let access = PlainSecret::from_text(tokens["access_token"].as_str().unwrap()).hash();
    let held = store.read().find_token_holder(access, now).await.unwrap().unwrap();
    assert_eq!((held.session.username.as_str(), held.session.rights), ("root", Rights::default()));
    let read = store.read().find_token_reader(access, now).await.unwrap().unwrap();
    assert_eq!((read.holder.session.rights, read.subject.identity.is_superuser), (Rights::default(), true));
    // The session itself may.
    let own = store.read().find_live_session_by_id(held.session.id, now).await.unwrap().unwrap();
    assert!(own.rights.is_superuser);
});
