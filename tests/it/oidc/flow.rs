//! The whole of a sign-in by an app, and what the endpoints answer.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rollcall::domain::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::app::{AFTER, CALLBACK, VERIFIER, post, register, returned};
use crate::guard::world::{Browser, HOME, PAGE, server};
use crate::support::NOW;

db_test!(an_app_signs_its_user_in, |db| async move {
    let app = server(db).await;
    app.seed_keys().await;
    app.user("alice").await;
    let wiki = register(&app, "wiki", json!({})).await;
    let browser = Browser::new(&app);
    let session = browser.sign_in("alice").await;
    let answer = browser.send("GET", HOME, &wiki.request(&[]), &PAGE).await.assert_status(302);
    let sent = returned(&answer);
    assert!(answer.header("location").unwrap().starts_with(&format!("{CALLBACK}?code=")));
    assert_eq!((sent["state"].as_str(), sent["iss"].as_str()), ("the state", wiki.issuer().as_str()));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let answer = wiki.redeem(&sent["code"]).await.assert_status(200);
    assert_eq!((answer.header("cache-control"), answer.header("pragma")), (Some("no-store"), Some("no-cache")));
    let tokens = answer.json();
    assert_eq!(
        (&tokens["token_type"], &tokens["expires_in"], &tokens["scope"]),
        (&json!("Bearer"), &json!(300), &json!("openid profile email offline_access"))
    );
    let claims = wiki.claims(&tokens).await;
    let (now, access) = (Timestamp::parse(NOW).unwrap().seconds(), tokens["access_token"].as_str().unwrap());
    let hash = URL_SAFE_NO_PAD.encode(&Sha256::digest(access)[..16]);
    for (name, want) in [
        ("azp", json!(wiki.id)),
        ("sid", json!(session)),
        ("nonce", json!("the nonce")),
        ("at_hash", json!(hash)),
        ("iat", json!(now)),
        ("exp", json!(now + 300)),
        ("auth_time", json!(now)),
        ("amr", json!(["pwd"])),
        ("acr", json!("goauthentik.io/providers/oauth2/default")),
        ("preferred_username", json!("alice")),
    ] {
        assert_eq!(claims[name], want, "{name}");
    }
    let told = wiki.userinfo(&tokens["access_token"]).await.assert_status(200).json();
    assert_eq!((&told["sub"], &told["preferred_username"]), (&claims["sub"], &json!("alice")));
    let bearer = format!("Bearer {access}");
    for (headers, body) in [(vec![("authorization", bearer.as_str())], vec![]), (vec![], vec![("access_token", access)])] {
        let other_way = post(&app, "/application/o/userinfo/", &body, &headers).await.assert_status(200);
        assert_eq!(other_way.json(), told);
    }
    let seen = wiki.call("/application/o/introspect/", &[("token", access)]).await.json();
    assert_eq!((&seen["active"], &seen["username"], &seen["sid"]), (&json!(true), &json!("alice"), &json!(session)));
    assert_eq!(app.latest("application_opened").await.len(), 1);

    let again = wiki.refresh(tokens["refresh_token"].as_str().unwrap()).await.assert_status(200).json();
    let newer = wiki.claims(&again).await;
    for name in ["iss", "sub", "aud", "sid", "auth_time"] {
        assert_eq!(newer[name], claims[name], "{name}");
    }
    assert_eq!(newer.get("nonce"), None);
});

db_test!(a_client_has_its_own_name_for_a_user_who_came_by_a_guard, |db| async move {
    let app = server(db).await;
    app.seed_keys().await;
    app.user("alice").await;
    let wiki = register(&app, "wiki", json!({"sub": "user_username"})).await;
    let browser = Browser::new(&app);
    let session = browser.sign_in("alice").await;
    let application = app.app.store.applications().await.unwrap().by_slug("wiki").unwrap().clone();
    crate::applications::open(&app, &session, &application, "wiki.example").await.unwrap();
    let tokens = wiki.tokens(&browser).await;
    assert_eq!(wiki.claims(&tokens).await["sub"], "alice");
    assert_eq!(wiki.userinfo(&tokens["access_token"]).await.assert_status(200).json()["sub"], "alice");
    assert_eq!(app.number("SELECT count(*) FROM app_sessions").await, 1);
});

db_test!(what_hangs_on_an_ended_session_opens_nothing, |db| async move {
    let app = server(db).await;
    app.seed_keys().await;
    let alice = app.user("alice").await;
    let wiki = register(&app, "wiki", json!({})).await;
    for way in ["end", "pending", "deactivate", "app", "expire"] {
        let browser = Browser::of(&app, "alice").await;
        let tokens = wiki.tokens(&browser).await;
        let code = wiki.code(&browser, &[]).await;
        let (access, refresh) = (tokens["access_token"].as_str().unwrap(), tokens["refresh_token"].as_str().unwrap());
        assert!(wiki.is_active(access).await && wiki.is_active(refresh).await, "{way}");
        match way {
            "end" => drop(browser.send("GET", HOME, "/sessions", &PAGE).await),
            "pending" => drop(app.record_ends_of(alice.id.0, 100).await),
            "deactivate" => app.db.run("UPDATE users SET is_active = FALSE WHERE username = 'alice'").await,
            "app" => app.db.run("DELETE FROM app_sessions").await,
            _ => app.advance(Duration::from_secs(400 * 86400)),
        }
        if way == "end" {
            let token = app.superuser("root").await.token().await;
            token.delete(&format!("{}{}/", crate::support::SESSIONS, browser_uuid(&app).await)).await.assert_status(204);
        }
        assert_eq!(wiki.userinfo(&tokens["access_token"]).await.status, 401, "{way}");
        assert!(!wiki.is_active(access).await && !wiki.is_active(refresh).await, "{way}");
        let refused = wiki.refresh(refresh).await.assert_status(400);
        assert_eq!(refused.json()["error"], "invalid_grant", "{way}");
        if way != "app" {
            assert_eq!(wiki.redeem(&code).await.assert_status(400).json()["error"], "invalid_grant", "{way}");
        }
        if way == "deactivate" {
            app.db.run("UPDATE users SET is_active = TRUE WHERE username = 'alice'").await;
        }
    }
});

/// The uuid of the newest session.
async fn browser_uuid(app: &crate::support::TestApp) -> String {
    let rows = app.app.store.read().list_sessions_after(None, 100).await.unwrap();
    rows.last().unwrap().uuid.to_string()
}

db_test!(a_code_is_good_once_for_its_client_and_address, |db| async move {
    let app = server(db).await;
    app.seed_keys().await;
    app.user("alice").await;
    let (wiki, shop) = (register(&app, "wiki", json!({})).await, register(&app, "shop", json!({"pkce": "optional"})).await);
    let browser = Browser::of(&app, "alice").await;
    let error = |answer: crate::support::Answer| answer.assert_status(400).json()["error"].as_str().unwrap().to_owned();
    let code = wiki.code(&browser, &[]).await;
    assert_eq!(error(shop.redeem(&code).await), "invalid_grant", "another client's");
    let tokens = wiki.redeem(&code).await.assert_status(200).json();
    app.advance(Duration::from_secs(30));
    assert_eq!(error(wiki.redeem(&code).await), "invalid_grant", "a second use");
    assert_eq!(wiki.userinfo(&tokens["access_token"]).await.status, 401, "and what it gave is over");
    assert_eq!(error(wiki.refresh(tokens["refresh_token"].as_str().unwrap()).await), "invalid_grant");
    assert_eq!(app.latest("token_reused").await.len(), 1);

    for (uri, verifier) in [
        ("https://app.example/other", VERIFIER),
        (CALLBACK, ""),
        (CALLBACK, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXj"),
        (CALLBACK, &VERIFIER[..42]),
    ] {
        let code = wiki.code(&browser, &[]).await;
        let mut fields = vec![("grant_type", "authorization_code"), ("code", code.as_str())];
        fields.extend([("redirect_uri", uri), ("code_verifier", verifier)].into_iter().filter(|(_, value)| !value.is_empty()));
        assert_eq!(error(wiki.call("/application/o/token/", &fields).await), "invalid_grant", "{uri} {verifier}");
        assert_eq!(error(wiki.redeem(&code).await), "invalid_grant", "a failed try uses a code up");
    }
    let late = wiki.code(&browser, &[]).await;
    app.advance(Duration::from_secs(61));
    assert_eq!(error(wiki.redeem(&late).await), "invalid_grant");
    let plain = shop.code(&browser, &[("code_challenge", None), ("code_challenge_method", None)]).await;
    assert_eq!(error(shop.redeem(&plain).await), "invalid_grant", "a verifier without a challenge");
});

db_test!(of_a_hundred_uses_of_a_code_one_gets_tokens_and_none_stays, |db| async move {
    let app = server(db).await;
    app.seed_keys().await;
    app.user("alice").await;
    let wiki = register(&app, "wiki", json!({})).await;
    let browser = Browser::of(&app, "alice").await;
    let code = wiki.code(&browser, &[]).await;
    let answers = futures_util::future::join_all((0..100).map(|_| wiki.redeem(&code))).await;
    let given: Vec<Value> = answers.iter().filter(|answer| answer.status == 200).map(|answer| answer.json()).collect();
    assert_eq!((given.len(), answers.iter().filter(|answer| answer.status == 400).count()), (1, 99));
    assert_eq!(wiki.userinfo(&given[0]["access_token"]).await.status, 401);
    let left = async |table: &str| app.number(&format!("SELECT count(*) FROM {table}")).await;
    assert_eq!((left("oidc_tokens").await, left("app_sessions").await), (0, 0));
    assert_eq!((app.latest("token_reused").await.len(), app.latest("app_session_ended").await.len()), (1, 1));

    // What an app had before goes on: the code gave neither its app session nor its other tokens.
    let before = wiki.tokens(&browser).await;
    app.advance(Duration::from_secs(1));
    let code = wiki.code(&browser, &[]).await;
    let tokens = wiki.redeem(&code).await.assert_status(200).json();
    wiki.redeem(&code).await.assert_status(400);
    assert_eq!(wiki.userinfo(&tokens["access_token"]).await.status, 401);
    assert_eq!(wiki.userinfo(&before["access_token"]).await.status, 200);
    // Long after, when the tokens are gone, too.
    let other = Browser::of(&app, "alice").await;
    let code = wiki.code(&other, &[]).await;
    let tokens = wiki.redeem(&code).await.assert_status(200).json();
    wiki.call("/application/o/revoke/", &[("token", tokens["refresh_token"].as_str().unwrap())]).await.assert_status(200);
    assert_eq!(left("app_sessions").await, 2);
    app.advance(Duration::from_secs(3600));
    wiki.redeem(&code).await.assert_status(400);
    assert_eq!((left("app_sessions").await, app.latest("token_reused").await.len()), (1, 3));
    // What a later code opened goes on, also when none of its tokens is left.
    let codes = [wiki.code(&other, &[]).await, wiki.code(&other, &[]).await];
    for code in &codes {
        let tokens = wiki.redeem(code).await.assert_status(200).json();
        wiki.call("/application/o/revoke/", &[("token", tokens["refresh_token"].as_str().unwrap())]).await.assert_status(200);
        app.advance(Duration::from_secs(1));
    }
    wiki.redeem(&codes[0]).await.assert_status(400);
    assert_eq!((left("app_sessions").await, app.latest("token_reused").await.len()), (2, 3));
});

db_test!(a_refresh_token_gives_one_successor, |db| async move {
    let app = server(db).await;
    app.seed_keys().await;
    app.user("alice").await;
    let wiki = register(&app, "wiki", json!({})).await;
    let browser = Browser::of(&app, "alice").await;
    let first = wiki.tokens(&browser).await["refresh_token"].as_str().unwrap().to_owned();
    let mut answers = futures_util::future::join_all((0..100).map(|_| wiki.refresh(&first))).await;
    // A database with too much to do says so, and nothing has changed.
    answers.retain(|answer| answer.status != 503);
    assert!(!answers.is_empty());
    let next = |answer: &crate::support::Answer| answer.json()["refresh_token"].as_str().unwrap().to_owned();
    let mut successors: Vec<String> = answers.iter().map(next).collect();
    successors.dedup();
    assert_eq!(successors.len(), 1, "an answer that was lost is given again");
    app.advance(Duration::from_secs(29));
    assert_eq!(next(&wiki.refresh(&first).await.assert_status(200)), successors[0]);
    let second = next(&wiki.refresh(&successors[0]).await.assert_status(200));
    // Its successor was used, so the first one is in two hands.
    assert_eq!(wiki.refresh(&first).await.assert_status(400).json()["error"], "invalid_grant");
    assert_eq!(wiki.refresh(&second).await.status, 400, "and everything of the app session has ended");
    assert_eq!((app.latest("token_reused").await.len(), app.number("SELECT count(*) FROM app_sessions").await), (1, 0));

    let lone = wiki.tokens(&browser).await["refresh_token"].as_str().unwrap().to_owned();
    let after = next(&wiki.refresh(&lone).await.assert_status(200));
    app.advance(Duration::from_secs(31));
    assert_eq!(wiki.refresh(&lone).await.status, 400, "after the time of grace");
    assert_eq!(wiki.refresh(&after).await.status, 400);
    assert_eq!(wiki.refresh("x.y").await.status, 400);
});

db_test!(clients_show_that_they_are_the_one, |db| async move {
    let app = server(db).await;
    app.seed_keys().await;
    app.user("alice").await;
    let wiki = register(&app, "wiki", json!({})).await;
    let phone = register(&app, "phone", json!({"is_public": true})).await;
    let browser = Browser::of(&app, "alice").await;
    let path = "/application/o/token/";
    let grant = |code: &str| {
        [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", CALLBACK), ("code_verifier", VERIFIER)]
            .map(|(name, value)| (name, value.to_owned()))
    };
    let basic = |secret: &str| format!("Basic {}", STANDARD.encode(format!("{}:{secret}", wiki.id)));
    let send = async |more: &[(&str, &str)], headers: &[(&str, &str)]| {
        let code = wiki.code(&browser, &[]).await;
        let grant = grant(&code);
        let fields: Vec<(&str, &str)> =
            grant.iter().map(|(name, value)| (*name, value.as_str())).chain(more.iter().copied()).collect();
        post(&app, path, &fields, headers).await
    };
    let in_form = [("client_id", wiki.id.as_str()), ("client_secret", wiki.secret.as_str())];
    assert_eq!(send(&in_form, &[]).await.status, 200, "client_secret_post");
    assert_eq!(send(&[], &[("authorization", &basic(&wiki.secret))]).await.status, 200);
    let both = send(&in_form, &[("authorization", &basic(&wiki.secret))]).await;
    assert_eq!((both.status, both.json()["error"].as_str()), (400, Some("invalid_request")));
    let wrong = send(&[], &[("authorization", &basic("wrong"))]).await;
    assert_eq!((wrong.status, wrong.header("www-authenticate")), (401, Some("Basic realm=\"rollcall\"")));
    let unknown = send(&[("client_id", "nobody"), ("client_secret", "wrong")], &[]).await;
    assert_eq!((unknown.status, unknown.text()), (401, wrong.text()), "the same for an unknown client");
    assert_eq!(send(&[("client_id", wiki.id.as_str())], &[]).await.status, 401, "a confidential client without its secret");
    let in_query = format!("{path}?client_id={}&client_secret={}", wiki.id, wiki.secret);
    assert_eq!(post(&app, &in_query, &[("grant_type", "refresh_token")], &[]).await.status, 401, "a secret in the query");

    let code = phone.code(&browser, &[]).await;
    let grant = grant(&code);
    let fields: Vec<(&str, &str)> =
        grant.iter().map(|(name, value)| (*name, value.as_str())).chain([("client_id", phone.id.as_str())]).collect();
    assert_eq!(post(&app, path, &fields, &[]).await.status, 200);
    assert_eq!(post(&app, "/application/o/introspect/", &[("token", "x"), ("client_id", &phone.id)], &[]).await.status, 401);

    // Two secrets may be good at a time, for a week.
    let newer =
        rollcall::actions::applications::clients::add_secret(&app.app, rollcall::actions::by::By::Cli, "wiki").await.unwrap();
    assert_eq!(send(&[], &[("authorization", &basic(newer.expose()))]).await.status, 200);
    assert_eq!(send(&[], &[("authorization", &basic(&wiki.secret))]).await.status, 200);
    app.advance(Duration::from_secs(7 * 86400));
    let browser_again = Browser::of(&app, "alice").await;
    let old = basic(&wiki.secret);
    let code = wiki.code(&browser_again, &[]).await;
    assert_eq!(
        post(&app, path, &[("grant_type", "authorization_code"), ("code", &code)], &[("authorization", &old)]).await.status,
        401
    );
    // Tokens of others are not told of, and cannot be taken back.
    let shop = register(&app, "shop", json!({})).await;
    let tokens = shop.tokens(&browser_again).await;
    let access = tokens["access_token"].as_str().unwrap();
    let stranger = basic(newer.expose());
    let foreign = [("authorization", stranger.as_str())];
    assert_eq!(post(&app, "/application/o/introspect/", &[("token", access)], &foreign).await.json(), json!({"active": false}));
    assert_eq!(post(&app, "/application/o/revoke/", &[("token", access)], &foreign).await.status, 200);
    assert!(shop.is_active(access).await);
    assert_eq!(shop.call("/application/o/revoke/", &[("token", access)]).await.status, 200);
    assert!(!shop.is_active(access).await);
});

db_test!(an_app_signs_out_its_own_session_alone, |db| async move {
    let app = server(db).await;
    app.seed_keys().await;
    for name in ["alice", "bob"] {
        app.user(name).await;
    }
    let wiki = register(&app, "wiki", json!({})).await;
    let (alice, bob) = (Browser::of(&app, "alice").await, Browser::of(&app, "bob").await);
    let hint = wiki.tokens(&alice).await["id_token"].as_str().unwrap().to_owned();
    let path = |query: &str| format!("/application/o/wiki/end-session/?{query}");
    let going_on = format!("post_logout_redirect_uri={}&state=s%26x", crate::support::encode(AFTER));
    for bad in [
        going_on.clone(),
        format!("{going_on}&client_id={}", wiki.id),
        format!("{going_on}&id_token_hint={hint}"),
        format!("{going_on}&id_token_hint={}x", &hint[..hint.len() - 1]),
        "id_token_hint=eyJhbGciOiJub25lIn0.e30.".to_owned(),
    ] {
        let asked = bob.send("GET", HOME, &path(&bad), &PAGE).await;
        assert!(asked.redirects_to().starts_with("/sign-out"), "{bad}");
        assert_eq!(bob.send("GET", HOME, "/sessions", &PAGE).await.status, 200, "{bad}");
    }
    let elsewhere = format!("id_token_hint={hint}&post_logout_redirect_uri=https%3A%2F%2Fevil.example%2F");
    let page = alice.send("GET", HOME, &path(&elsewhere), &PAGE).await;
    assert_eq!((page.status, page.header("location")), (200, None), "it ends, and leads nowhere");
    assert_ne!(alice.send("GET", HOME, "/sessions", &PAGE).await.status, 200);
    let alice = Browser::of(&app, "alice").await;
    let hint = wiki.tokens(&alice).await["id_token"].as_str().unwrap().to_owned();
    let done = alice.send("GET", HOME, &path(&format!("{going_on}&id_token_hint={hint}")), &PAGE).await;
    assert_eq!(done.header("location"), Some(format!("{AFTER}?state=s%26x").as_str()));
    let none = alice.send("GET", HOME, &wiki.request(&[("prompt", Some("none"))]), &PAGE).await.assert_status(302);
    assert_eq!(returned(&none)["error"], "login_required");
});

db_test!(wrong_secrets_are_limited_for_an_address_and_a_client_together, |db| async move {
    let app = crate::guard::world::server_with(db, &[("SIGN_IN__ADDRESS_LIMIT", "20/1h")]).await;
    app.seed_keys().await;
    app.user_with_password("alice").await;
    let (wiki, shop) = (register(&app, "wiki", json!({})).await, register(&app, "shop", json!({})).await);
    let wrong = async |id: &str| {
        let fields = [("client_id", id), ("client_secret", "wrong"), ("token", "x")];
        post(&app, "/application/o/introspect/", &fields, &[]).await
    };
    for nth in 0..20 {
        assert_eq!(wrong(&wiki.id).await.status, 401, "{nth}");
    }
    let limited = wrong(&wiki.id).await;
    assert_eq!((limited.status, limited.json()["error"].as_str()), (429, Some("invalid_client")));
    assert!(limited.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
    assert!(!wiki.is_active("x").await, "the app itself is never refused");
    assert_eq!(wrong(&shop.id).await.status, 401, "another client");
    let fields = [("client_id", wiki.id.as_str()), ("client_secret", "wrong"), ("token", "x")];
    assert_eq!(post_from(&app, "192.0.2.98", &fields).await, 401, "another address");
    // A person at the same address signs in.
    Browser::of(&app, "alice").await;
});

/// The status of a call of introspection from an address.
async fn post_from(app: &crate::support::TestApp, ip: &str, fields: &[(&str, &str)]) -> u16 {
    let body: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", crate::support::encode(value))).collect();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request =
        client.post(format!("http://{}/application/o/introspect/", app.address)).header("host", HOME).body(body.join("&"));
    let request = request.header("content-type", "application/x-www-form-urlencoded").header("x-forwarded-proto", "https");
    request.header("x-forwarded-for", ip).send().await.unwrap().status().as_u16()
}
