//! What somebody else would try: each secret at each other door, races, a store that fails, and tokens that are no tokens.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rollcall::actions::oidc::clients::Known;
use rollcall::actions::oidc::redeem::{Brought, redeem};
use rollcall::actions::oidc::refresh::{Refreshed, refresh};
use rollcall::domain::PlainSecret;
use rollcall::domain::caller::Actor;
use rollcall::domain::user::TokenIntent;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::applications::app_password;
use crate::guard::world::{Browser, HOME, PAGE, SHOP, add_app, server};
use crate::oidc::app::{App, CALLBACK, VERIFIER, post, register, returned};
use crate::support::{Answer, SESSIONS, TestApp, encode};

fn text(tokens: &Value, name: &str) -> String {
    tokens[name].as_str().unwrap().to_owned()
}

/// The doors of a server, and what each takes.
struct Doors<'a> {
    app: &'a TestApp,
    wiki: &'a App<'a>,
    jwt: &'a App<'a>,
    /// Of another user, whose own session is good.
    bob: &'a Browser<'a>,
}

impl Doors<'_> {
    /// The names of the doors that a secret opens.
    async fn opened_by(&self, secret: &str, but: &[&str]) -> Vec<&'static str> {
        let (wiki, stranger) = (self.wiki, Browser::new(self.app));
        let bearer = format!("Bearer {secret}");
        let mut open = Vec::new();
        let mut note = |door: &'static str, is_open: bool| {
            if is_open {
                open.push(door);
            }
        };
        if !but.contains(&"code") {
            note("code", wiki.redeem(secret).await.status == 200);
            note("code", self.jwt.redeem(secret).await.status == 200);
        }
        if !but.contains(&"refresh") {
            note("refresh", wiki.refresh(secret).await.status == 200);
            note("refresh", self.jwt.refresh(secret).await.status == 200);
        }
        let userinfo = "/application/o/userinfo/";
        note("userinfo", stranger.send("GET", HOME, userinfo, &[("authorization", &bearer)]).await.status == 200);
        note("userinfo", post(self.app, userinfo, &[("access_token", secret)], &[]).await.status == 200);
        let in_query = format!("{userinfo}?access_token={}", encode(secret));
        assert_eq!(stranger.send("GET", HOME, &in_query, &[]).await.status, 401, "never in a query");
        for client in [wiki, self.jwt] {
            let told = client.call("/application/o/introspect/", &[("token", secret)]).await.json();
            note("introspect", told["active"] == true);
        }
        let as_client = [("client_id", wiki.id.as_str()), ("client_secret", secret), ("token", "x")];
        note("client", post(self.app, "/application/o/introspect/", &as_client, &[]).await.status == 200);
        let hint = wiki.request(&[("id_token_hint", Some(secret)), ("prompt", Some("none"))]);
        let answer = self.bob.send("GET", HOME, &hint, &PAGE).await;
        note("hint", answer.status == 302 && returned(&answer).get("error").is_some_and(|error| error == "login_required"));
        for name in ["__Host-rollcall_session", "rollcall_session", "authentik_session"] {
            let cookie = format!("{name}={secret}");
            for path in [SESSIONS, "/sessions"] {
                note("session", stranger.send("GET", HOME, path, &[("cookie", &cookie)]).await.status == 200);
            }
        }
        note("api", stranger.send("GET", HOME, SESSIONS, &[("authorization", &bearer)]).await.status == 200);
        let cookie = format!("__Host-rollcall_app={secret}");
        note("app key", stranger.ask("caddy", "shop", ("GET", SHOP, "/a"), &[("cookie", &cookie)]).await.status == 200);
        note(
            "app password",
            stranger.ask("caddy", "shop", ("GET", SHOP, "/api"), &[("authorization", &bearer)]).await.status == 200,
        );
        note("link", stranger.send("GET", HOME, &format!("/set-up/{secret}"), &PAGE).await.status == 200);
        open.dedup();
        open
    }
}

db_test!(each_secret_opens_its_own_door_alone, |db| async move {
    let app = server(db).await;
    app.seed_keys().await;
    let (alice, _) = (app.user("alice").await, app.user("bob").await);
    let (wiki, jwt) = (register(&app, "wiki", json!({})).await, register(&app, "jwt", json!({"access_token": "jwt"})).await);
    let guard = json!({"hosts": [SHOP], "jwt": true, "rules": [{"paths": ["/api"], "app_passwords": true}]});
    add_app(&app, "shop", json!({"allow": "signed_in"}), guard).await;
    let (browser, bob) = (Browser::of(&app, "alice").await, Browser::of(&app, "bob").await);
    let opened = browser.open("caddy", "shop", &format!("https://{SHOP}/a")).await.assert_status(200);
    let (tokens, jwts) = (wiki.tokens(&browser).await, jwt.tokens(&browser).await);
    let id = wiki.claims(&tokens).await;
    let own = URL_SAFE_NO_PAD.encode(id.to_string());
    let unsigned = format!("{}.{own}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT","kid":"x"}"#));
    let doors = Doors { app: &app, wiki: &wiki, jwt: &jwt, bob: &bob };
    let access = ["userinfo", "introspect"];
    let secrets: Vec<(&str, String, &[&str])> = vec![
        ("an unused code", wiki.code(&browser, &[]).await, &[]),
        ("an access token", text(&tokens, "access_token"), &access),
        ("a JWT access token", text(&jwts, "access_token"), &access),
        ("a refresh token", text(&tokens, "refresh_token"), &["introspect"]),
        ("an ID token", text(&tokens, "id_token"), &["hint"]),
        ("an unsigned ID token", unsigned, &[]),
        ("the jti of a JWT", jti(&text(&jwts, "access_token")), &[]),
        ("a client secret", wiki.secret.clone(), &["client"]),
        ("a session's key", browser.cookie(HOME, "__Host-rollcall_session").unwrap(), &["session"]),
        ("an app key", browser.cookie(SHOP, "__Host-rollcall_app").unwrap(), &["app key"]),
        ("a signed identity", opened.header("x-rollcall-jwt").unwrap().to_owned(), &[]),
        ("an app password", app_password(&app, "alice", "shop").await, &["app password"]),
        ("a token of the API", alice.token_key(TokenIntent::Api, None).await, &["api"]),
        ("a link", alice.token_key(TokenIntent::Recovery, None).await, &["link"]),
        ("a client's name", wiki.id.clone(), &[]),
        ("nothing", String::new(), &[]),
    ];
    for (what, secret, doors_of_it) in &secrets {
        let but: &[&str] = match *what {
            "an unused code" => &["code"],
            "a refresh token" => &["refresh"],
            _ => &[],
        };
        assert_eq!(doors.opened_by(secret, but).await, *doors_of_it, "{what}");
    }
    // All that was tried has used up nothing.
    assert_eq!(wiki.redeem(&secrets[0].1).await.status, 200);
    assert_eq!(wiki.refresh(&secrets[3].1).await.status, 200);
});

/// The `jti` of a JWT.
fn jti(token: &str) -> String {
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap();
    text(&claims, "jti")
}

db_test!(a_jwt_access_token_is_refused_at_once_here, |db| async move {
    let app = server(db).await;
    app.seed_keys().await;
    app.user("alice").await;
    for algorithm in ["RS256", "ES256"] {
        let slug = if algorithm == "RS256" { "rsa" } else { "ec" };
        let wiki = register(&app, slug, json!({"access_token": "jwt", "algorithm": algorithm})).await;
        let browser = Browser::new(&app);
        let session = browser.sign_in("alice").await;
        let tokens = wiki.tokens(&browser).await;
        let access = text(&tokens, "access_token");
        let keys = browser.send("GET", HOME, &format!("/application/o/{slug}/jwks/"), &[]).await.json();
        let (header, claims) = crate::oidc::verified(&access, &keys);
        assert_eq!((header.typ.as_deref(), format!("{:?}", header.alg)), (Some("at+jwt"), algorithm.to_owned()));
        let id = wiki.claims(&tokens).await;
        for (name, want) in [
            ("iss", json!(wiki.issuer())),
            ("aud", json!(wiki.id)),
            ("client_id", json!(wiki.id)),
            ("sub", id["sub"].clone()),
            ("sid", json!(session)),
            ("scope", tokens["scope"].clone()),
            ("acr", id["acr"].clone()),
            ("auth_time", id["auth_time"].clone()),
            ("exp", json!(claims["iat"].as_i64().unwrap() + 300)),
        ] {
            assert_eq!(claims[name], want, "{name}");
        }
        let digest = Sha256::digest(&access);
        assert_eq!(id["at_hash"], URL_SAFE_NO_PAD.encode(&digest[..16]));
        let seen = wiki.call("/application/o/introspect/", &[("token", &access)]).await.json();
        assert_eq!((&seen["active"], &seen["jti"]), (&json!(true), &claims["jti"]));
        assert_eq!(wiki.userinfo(&tokens["access_token"]).await.status, 200);
        // A name for a key that is nobody's, another algorithm, another signature, what another key says.
        let [head, body, signature] = access.split('.').collect::<Vec<_>>().try_into().unwrap();
        let encoded = |head: Value| URL_SAFE_NO_PAD.encode(head.to_string());
        let kid = header.kid.clone().unwrap();
        for head in [
            json!({"alg": "none", "kid": kid, "typ": "at+jwt"}),
            json!({"alg": "HS256", "kid": kid, "typ": "at+jwt"}),
            json!({"alg": algorithm, "kid": "x", "typ": "at+jwt"}),
            json!({"alg": algorithm, "kid": kid, "typ": "JWT"}),
            json!({"alg": algorithm, "kid": kid, "typ": "at+jwt", "jku": "https://evil.example/k", "jwk": {"kty": "oct", "k": ""}}),
        ] {
            let forged = format!("{}.{body}.{signature}", encoded(head.clone()));
            assert_eq!(wiki.userinfo(&json!(forged)).await.status, 401, "{head}");
        }
        let mut other = claims.clone();
        other["scope"] = "openid".into();
        for forged in [format!("{head}.{body}."), format!("{head}.{body}"), format!("{head}.{}.{signature}", encoded(other))] {
            assert_eq!(wiki.userinfo(&json!(forged)).await.status, 401, "{forged}");
        }
        // It is good as nothing else, and an end is at once.
        let hint = browser.send("GET", HOME, &format!("/application/o/{slug}/end-session/?id_token_hint={access}"), &PAGE).await;
        assert!(hint.redirects_to().starts_with("/sign-out"), "it is no hint");
        let next = wiki.refresh(&text(&tokens, "refresh_token")).await.assert_status(200).json();
        assert_eq!(wiki.call("/application/o/revoke/", &[("token", &access)]).await.status, 200);
        assert_eq!(wiki.userinfo(&tokens["access_token"]).await.status, 401, "taken back");
        assert_eq!(wiki.userinfo(&next["access_token"]).await.status, 200);
        let admin = app.superuser(&format!("root of {slug}")).await.token().await;
        admin.delete(&format!("{SESSIONS}{session}/")).await.assert_status(204);
        assert_eq!(wiki.userinfo(&next["access_token"]).await.status, 401);
        assert!(!wiki.is_active(&text(&next, "access_token")).await);
    }
    let long = json!({"redirect_uris": [CALLBACK], "access_token": "jwt", "access_lifetime": 3601});
    let long: rollcall::domain::application::client::Client = serde_json::from_value(long).unwrap();
    assert!(
        long.check(&[], &[], &rollcall::domain::oidc::target::Own::default()).unwrap_err().to_string().contains("up to an hour")
    );
});

db_test!(a_key_that_left_signs_no_access_token_any_more, |db| async move {
    let app = server(db).await;
    app.seed_keys().await;
    app.user("alice").await;
    let wiki = register(&app, "wiki", json!({"access_token": "jwt"})).await;
    let browser = Browser::of(&app, "alice").await;
    let tokens = wiki.tokens(&browser).await;
    rollcall::actions::signing::rotate::replace(&app.app, rollcall::actions::by::By::Cli).await.unwrap();
    app.app.keyring.now(&app.app.core).await.unwrap();
    assert_eq!(wiki.userinfo(&tokens["access_token"]).await.status, 401);
    let next = wiki.refresh(&text(&tokens, "refresh_token")).await.assert_status(200).json();
    assert_eq!(wiki.userinfo(&next["access_token"]).await.status, 200);
});

db_test!(a_client_has_claims_of_its_own, |db| async move {
    let app = server(db).await;
    app.seed_keys().await;
    app.user("alice").await;
    app.db.run("UPDATE users SET attributes = '{\"department\": \"sales\", \"floors\": [1, 2]}'").await;
    let claims = [
        "department=profile:attributes.department",
        "floors=openid:attributes.floors",
        "nickname=profile:text:someone",
        "roles=entitlements:text:editor",
        "missing=openid:attributes.nothing",
        "mail=email:username",
    ];
    let wiki = register(&app, "wiki", json!({"claims": claims, "scopes": ["openid", "profile", "entitlements"]})).await;
    let browser = Browser::of(&app, "alice").await;
    let code = wiki.code(&browser, &[("scope", Some("openid profile email"))]).await;
    let tokens = wiki.redeem(&code).await.assert_status(200).json();
    let (id, told) = (wiki.claims(&tokens).await, wiki.userinfo(&tokens["access_token"]).await.json());
    for seen in [&id, &told] {
        assert_eq!((&seen["department"], &seen["floors"]), (&json!("sales"), &json!(["1", "2"])));
        assert_eq!(seen["nickname"], "someone", "in place of the one of this name");
        for absent in ["roles", "missing", "mail"] {
            assert_eq!(seen.get(absent), None, "{absent}");
        }
        assert!(seen["updated_at"].as_i64().is_some());
    }
    let document = browser.send("GET", HOME, "/application/o/wiki/.well-known/openid-configuration", &[]).await.json();
    let supported: Vec<&str> = document["claims_supported"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert!(supported.contains(&"department") && supported.contains(&"roles") && !supported.contains(&"mail"));
    // All that is noted about a user is for a client that asks for it by name.
    let proxy = register(&app, "proxy", json!({"scopes": ["openid", "ak_proxy"]})).await;
    let code = proxy.code(&browser, &[("scope", Some("openid ak_proxy"))]).await;
    let tokens = proxy.redeem(&code).await.assert_status(200).json();
    let told = proxy.userinfo(&tokens["access_token"]).await.json();
    assert_eq!(
        (&told["ak_proxy"]["user_attributes"]["department"], &told["ak_proxy"]["is_superuser"]),
        (&json!("sales"), &json!(false))
    );
    assert_eq!(told["sid"], proxy.claims(&tokens).await["sid"]);
});

db_test!(the_window_that_opened_a_popup_stays_in_reach_where_the_client_says_so, |db| async move {
    let app = server(db).await;
    app.seed_keys().await;
    app.user_with_password("alice").await;
    let (wiki, shop) =
        (register(&app, "wiki", json!({"popup": true, "consent": "always"})).await, register(&app, "shop", json!({})).await);
    let policy = |answer: &Answer| answer.header("cross-origin-opener-policy").unwrap().to_owned();
    for (client, want) in [(&wiki, "unsafe-none"), (&shop, "same-origin")] {
        let browser = Browser::new(&app);
        let led = browser.send("GET", HOME, &client.request(&[]), &PAGE).await;
        assert_eq!(policy(&led), want);
        let page = browser.send("GET", HOME, led.redirects_to(), &PAGE).await.assert_status(200);
        assert_eq!(policy(&page), want);
        let next = crate::oidc::app::pairs_of(led.redirects_to())["next"].clone();
        for password in ["wrong", crate::support::app::PASSWORD] {
            let form = format!("proof={}&uid=alice&password={}&next={}", page.proof(), encode(password), encode(&next));
            let answer = browser.post(HOME, "/sign-in", &form).await;
            assert_eq!(policy(&answer), want, "{password}");
        }
        let back = browser.send("GET", HOME, &next, &PAGE).await;
        assert_eq!(policy(&back), want);
        if want == "unsafe-none" {
            let question = browser.send("GET", HOME, back.redirects_to(), &PAGE).await.assert_status(200);
            assert_eq!(policy(&question), want);
        }
        assert_eq!(policy(&browser.send("GET", HOME, "/sessions", &PAGE).await), "same-origin", "other pages never");
    }
    let elsewhere = format!("/sessions?client_id={}", wiki.id);
    assert_eq!(policy(&Browser::new(&app).send("GET", HOME, &elsewhere, &PAGE).await), "same-origin");
});

db_test!(a_code_is_redeemed_with_its_own_verifier_alone, |db| async move {
    let app = server(db).await;
    app.seed_keys().await;
    app.user("alice").await;
    let wiki = register(&app, "wiki", json!({"pkce": "optional"})).await;
    let browser = Browser::of(&app, "alice").await;
    let challenge = |verifier: &str| URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
    let other = "another-verifier-that-is-long-enough-0123456789";
    let (short, longest, long) = ("a".repeat(42), "a".repeat(128), "a".repeat(129));
    for (asked, brought, is_good) in [
        (Some(VERIFIER), Some(VERIFIER), true),
        (Some(longest.as_str()), Some(longest.as_str()), true),
        (None, None, true),
        (Some(VERIFIER), None, false),
        (Some(VERIFIER), Some(other), false),
        (Some(other), Some(VERIFIER), false),
        (Some(VERIFIER), Some(&VERIFIER.to_uppercase()), false),
        (Some(VERIFIER), Some(&challenge(VERIFIER)), false),
        (Some(short.as_str()), Some(short.as_str()), false),
        (Some(long.as_str()), Some(long.as_str()), false),
        // The challenge was taken out on the way.
        (None, Some(VERIFIER), false),
    ] {
        let asked_challenge = asked.map(challenge);
        let method = asked.map(|_| "S256");
        let code = wiki.code(&browser, &[("code_challenge", asked_challenge.as_deref()), ("code_challenge_method", method)]).await;
        let mut fields = vec![("grant_type", "authorization_code"), ("code", code.as_str()), ("redirect_uri", CALLBACK)];
        fields.extend(brought.map(|verifier| ("code_verifier", verifier)));
        let answer = wiki.call("/application/o/token/", &fields).await;
        assert_eq!(answer.status, if is_good { 200 } else { 400 }, "{asked:?} {brought:?}");
        if !is_good {
            assert_eq!(answer.json()["error"], "invalid_grant");
        }
    }
    for (challenge, method) in [("", "S256"), (VERIFIER, "plain"), (VERIFIER, ""), ("short", "S256")] {
        let request = wiki.request(&[("code_challenge", Some(challenge)), ("code_challenge_method", Some(method))]);
        let refused = returned(&browser.send("GET", HOME, &request, &PAGE).await.assert_status(302));
        assert_eq!((refused["error"].as_str(), refused.get("code")), ("invalid_request", None), "{challenge} {method}");
    }
});

db_test!(an_end_that_races_with_tokens_wins, |db| async move {
    let app = server(db).await;
    app.seed_keys().await;
    app.user("alice").await;
    let wiki = register(&app, "wiki", json!({"algorithm": "ES256"})).await;
    let admin = app.superuser("root").await.token().await;
    for nth in 0..8 {
        let browser = Browser::new(&app);
        let session = browser.sign_in("alice").await;
        let tokens = wiki.tokens(&browser).await;
        let code = wiki.code(&browser, &[]).await;
        let (refreshing, path) = (text(&tokens, "refresh_token"), format!("{SESSIONS}{session}/"));
        let refreshes = futures_util::future::join_all((0..6).map(|_| wiki.refresh(&refreshing)));
        let redemptions = futures_util::future::join_all((0..3).map(|_| wiki.redeem(&code)));
        let (refreshed, redeemed, ended) = tokio::join!(refreshes, redemptions, admin.delete(&path));
        ended.assert_status(204);
        let given = refreshed.iter().chain(&redeemed).filter(|answer| answer.status == 200).map(|answer| answer.json());
        for tokens in given.chain([tokens]) {
            assert_eq!(wiki.userinfo(&tokens["access_token"]).await.status, 401, "{nth}");
            assert_ne!(wiki.refresh(&text(&tokens, "refresh_token")).await.status, 200, "{nth}");
        }
        assert_ne!(wiki.redeem(&code).await.status, 200, "{nth}");
        assert!(refreshed.iter().chain(&redeemed).all(|answer| [200, 400, 503].contains(&answer.status)), "{nth}");
        assert_eq!(app.number("SELECT count(*) FROM oidc_tokens").await, 0, "{nth}");
    }
});

db_test!(two_nodes_give_one_successor_and_redeem_a_code_once, |db| async move {
    if db.is_sqlite() {
        // One process has the file.
        return;
    }
    let app = server(db).await;
    app.seed_keys().await;
    app.user("alice").await;
    let wiki = register(&app, "wiki", json!({"algorithm": "ES256"})).await;
    let home = format!("https://{HOME}");
    let other = app.restarted(&[("HTTP__PUBLIC_URL", home.as_str())]).await;
    let known = Known { application: other.store.applications().await.unwrap().by_slug("wiki").unwrap().clone() };
    let actor = Actor::system();
    for nth in 0..5 {
        let browser = Browser::of(&app, "alice").await;
        let code = wiki.code(&browser, &[]).await;
        let brought = || Brought {
            code: PlainSecret::from_text(code.as_str()),
            redirect_uri: CALLBACK.into(),
            verifier: Some(VERIFIER.into()),
        };
        let here = futures_util::future::join_all((0..20).map(|_| wiki.redeem(&code)));
        let there = futures_util::future::join_all((0..20).map(|_| redeem(&other, &known, brought(), &actor)));
        let (here, there) = tokio::join!(here, there);
        let given = here.iter().filter(|answer| answer.status == 200).count() + there.iter().flatten().flatten().count();
        assert_eq!(given, 1, "{nth}: {:?}", here.iter().map(|answer| answer.status).collect::<Vec<_>>());
        assert_eq!(app.number("SELECT count(*) FROM oidc_tokens").await, 0, "{nth}: a second use ended what the first one gave");

        let tokens = wiki.tokens(&browser).await;
        let first = text(&tokens, "refresh_token");
        let here = futures_util::future::join_all((0..20).map(|_| wiki.refresh(&first)));
        let there = futures_util::future::join_all((0..20).map(|_| refresh(&other, &known, &first, None, &actor)));
        let (here, there) = tokio::join!(here, there);
        let mut successors: Vec<String> =
            here.iter().filter(|answer| answer.status == 200).map(|answer| text(&answer.json(), "refresh_token")).collect();
        successors.extend(there.into_iter().filter_map(|refreshed| match refreshed {
            Ok(Refreshed::Given(tokens)) => Some(tokens.refresh.unwrap().secret().expose().to_owned()),
            _ => None,
        }));
        successors.sort();
        successors.dedup();
        assert_eq!(successors.len(), 1, "{nth}");
        assert_eq!(wiki.refresh(&successors[0]).await.status, 200);
        // An end at one is an end at the other.
        let session = wiki.claims(&tokens).await["sid"].as_str().unwrap().to_owned();
        let admin = app.superuser(&format!("root {nth}")).await.token().await;
        admin.delete(&format!("{SESSIONS}{session}/")).await.assert_status(204);
        let after = refresh(&other, &known, &successors[0], None, &actor).await.unwrap();
        assert!(matches!(after, Refreshed::Nothing), "{nth}");
    }
});

db_test!(a_store_that_fails_gives_nothing_and_takes_nothing, |db| async move {
    let app = server(db).await;
    app.seed_keys().await;
    app.user("alice").await;
    let wiki = register(&app, "wiki", json!({"algorithm": "ES256"})).await;
    let browser = Browser::of(&app, "alice").await;
    let tokens = wiki.tokens(&browser).await;
    let mut refreshing = text(&tokens, "refresh_token");
    let mut code = wiki.code(&browser, &[]).await;
    let tables =
        ["oidc_codes", "oidc_tokens", "app_sessions", "users", "groups", "memberships", "client_secrets", "settings", "events"];
    for table in tables {
        let counts = async || {
            let count = async |table: &str| app.number(&format!("SELECT count(*) FROM {table}")).await;
            (count("oidc_tokens").await, count("oidc_codes").await, count("app_sessions").await)
        };
        let before = counts().await;
        app.db.run(&format!("ALTER TABLE {table} RENAME TO {table}_gone")).await;
        let asked = browser.send("GET", HOME, &wiki.request(&[]), &PAGE).await;
        // What a call does not need does not stop it. What is refused gives nothing, and takes nothing.
        let mut is_given = false;
        for (what, answer) in [
            ("authorize", asked),
            ("redeem", wiki.redeem(&code).await),
            ("refresh", wiki.refresh(&refreshing).await),
            ("userinfo", wiki.userinfo(&tokens["access_token"]).await),
            ("introspect", wiki.call("/application/o/introspect/", &[("token", &text(&tokens, "access_token"))]).await),
        ] {
            let is_refused = [500, 503].contains(&answer.status);
            assert!(is_refused || [200, 302].contains(&answer.status), "{table}: {what}: {}", answer.status);
            is_given |= !is_refused && ["redeem", "refresh"].contains(&what);
            if !is_refused && what == "redeem" {
                code = String::new();
            }
            if !is_refused && what == "refresh" {
                refreshing = text(&answer.json(), "refresh_token");
            }
        }
        app.db.run(&format!("ALTER TABLE {table}_gone RENAME TO {table}")).await;
        if !is_given {
            let after = counts().await;
            assert_eq!((after.0, after.2), (before.0, before.2), "{table}: nothing was given");
            assert!(after.1 >= before.1, "{table}: nothing was taken");
        }
        app.advance(Duration::from_secs(1));
        assert_eq!(wiki.userinfo(&tokens["access_token"]).await.status, 200, "{table}: an error is no end");
        refreshing = text(&wiki.refresh(&refreshing).await.assert_status(200).json(), "refresh_token");
        if !code.is_empty() {
            wiki.redeem(&code).await.assert_status(200);
        }
        code = wiki.code(&browser, &[]).await;
    }
});
