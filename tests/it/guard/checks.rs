//! The answers to checks.

use serde_json::json;

use super::world::{Browser, HOME, KINDS, PAGE, SHOP, WIKI, add_app, server, server_with, two_apps};

db_test!(a_signed_in_user_reaches_the_app_with_their_identity, |db| async move {
    let app = server(db).await;
    two_apps(&app).await;
    app.user("alice").await;
    for kind in KINDS {
        let browser = Browser::of(&app, "alice").await;
        let answer = browser.open(kind, "wiki", &format!("https://{WIKI}/a?b=1&c=%20")).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, ""), "{kind}");
        assert_eq!(answer.header("remote-user"), Some("alice"));
        assert_eq!((answer.header("remote-groups"), answer.header("remote-email")), (None, None), "nothing is sent empty");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!((answer.header("cookie"), answer.header("set-cookie")), (None, None), "{kind}");
        assert_eq!(answer.header("x-envoy-auth-headers-to-remove"), (kind == "envoy").then_some("cookie,authorization"));
        // The app's own cookies and credentials pass, ours do not.
        browser.set_cookie(WIKI, "own", "\"1\"");
        let again = browser.ask(kind, "wiki", ("POST", WIKI, "/"), &[("authorization", "MediaBrowser Token=\"x\"")]).await;
        assert_eq!(again.status, 200);
        assert_eq!(again.header("cookie"), Some("own=\"1\""), "{kind}");
        assert_eq!(again.header("authorization"), Some("MediaBrowser Token=\"x\""));
        assert_eq!(browser.ask(kind, "-", ("GET", WIKI, "/"), &[]).await.status, 200, "by the host alone");
    }
    let shown = app.number("SELECT count(*) FROM app_sessions").await;
    assert_eq!(shown, 4, "one for each session");
    assert_eq!(app.count_events("application_opened").await, 4);
});

db_test!(a_request_without_a_session_is_answered_as_its_caller_can_read, |db| async move {
    let app = server(db).await;
    two_apps(&app).await;
    let browser = Browser::new(&app);
    for kind in KINDS {
        let page = browser.ask(kind, "wiki", ("GET", WIKI, "/a?b=1&c=2"), &PAGE).await;
        let status = if kind == "nginx" { 401 } else { 302 };
        assert_eq!(page.status, status, "{kind}");
        let to = page.header("location").unwrap();
        assert_eq!(to, format!("https://{WIKI}/.rollcall/start?rd=https%3A%2F%2Fwiki%2Eexample%2Fa%3Fb%3D1%26c%3D2"));
        // A form leads back to its page.
        let referer = [PAGE.as_slice(), &[("referer", "https://wiki.example/form")]].concat();
        let form = browser.ask(kind, "wiki", ("POST", WIKI, "/save"), &referer).await;
        assert_eq!(form.status, if kind == "nginx" { 401 } else { 303 });
        assert!(form.header("location").unwrap().ends_with("rd=https%3A%2F%2Fwiki%2Eexample%2Fform"));
        // A program.
        for headers in [vec![], vec![("x-requested-with", "XMLHttpRequest"), ("accept", "text/html")]] {
            let program = browser.ask(kind, "wiki", ("GET", WIKI, "/a"), &headers).await;
            assert_eq!((program.status, program.header("location")), (401, None), "{kind} {headers:?}");
            assert_eq!(program.header("www-authenticate"), Some("Bearer realm=\"rollcall\""));
        }
        let preflight = [("origin", "https://x.example"), ("access-control-request-method", "PUT"), ("accept", "text/html")];
        let preflight = browser.ask(kind, "wiki", ("OPTIONS", WIKI, "/a"), &preflight).await;
        assert_eq!((preflight.status, preflight.header("location")), (401, None));
        for answer in [page, form, preflight] {
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            assert_eq!(answer.header("strict-transport-security"), None);
            for name in ["remote-user", "cookie", "authorization", "set-cookie"] {
                assert_eq!(answer.header(name), None, "{kind} {name}");
            }
        }
        assert_eq!(
            browser.ask(kind, "shop", ("GET", SHOP, "/"), &PAGE).await.status,
            403,
            "what nobody may open asks for no sign-in"
        );
    }
});

db_test!(who_is_known_and_may_not_gets_a_page_that_says_so, |db| async move {
    let app = server(db).await;
    two_apps(&app).await;
    app.user("alice").await;
    let browser = Browser::of(&app, "alice").await;
    assert_eq!(browser.open("caddy", "wiki", "https://wiki.example/").await.status, 200);
    let staff = json!({"allow": [{"group": "11111111-1111-1111-1111-111111111111"}]});
    add_app(&app, "wiki", staff, json!({"hosts": [WIKI]})).await;
    for kind in KINDS {
        let answer = browser.ask(kind, "wiki", ("GET", WIKI, "/"), &PAGE).await.assert_status(403);
        assert!(answer.text().contains("alice") && answer.text().contains("The wiki"), "{}", answer.text());
        assert!(answer.text().contains("/.rollcall/sign-out"));
        assert_eq!((answer.header("remote-user"), answer.header("location")), (None, None));
    }
    // nginx shows this page instead, which judges again.
    let headers = [("x-original-url", "https://wiki.example/a"), ("x-original-method", "GET")];
    let denied = browser.send("GET", WIKI, "/.rollcall/denied", &headers).await.assert_status(403);
    assert!(denied.text().contains("alice"));
    assert_eq!(app.count_events("access_refused").await, 1, "one event a minute");
});

db_test!(what_is_not_clear_is_refused_before_a_session_is_looked_up, |db| async move {
    let app = server(db).await;
    two_apps(&app).await;
    app.user("alice").await;
    let browser = Browser::of(&app, "alice").await;
    assert_eq!(browser.open("caddy", "wiki", "https://wiki.example/").await.status, 200);
    for path in [
        "/a%00",
        "/a%0d%0ab",
        "/%c0%ae/x",
        "/...",
        "/.rollcall/../admin",
        "/%2erollcall/start",
        "/.ROLLCALL/x",
        "/outpost.goauthentik.io/../x",
    ] {
        for kind in ["nginx", "caddy", "traefik"] {
            let answer = browser.ask(kind, "wiki", ("GET", WIKI, path), &PAGE).await;
            assert_eq!((answer.status, answer.text().as_str()), (403, ""), "{kind} {path}");
        }
    }
    for host in [
        "user@wiki.example",
        "wiki.example,shop.other",
        "wiki.example:1234",
        "wi%6bi.example",
        "wiki..example",
        "other.example",
        "",
        "wíki.example",
    ] {
        let cookie = browser.cookie_header(WIKI);
        for kind in ["caddy", "traefik"] {
            let answer = browser.ask(kind, "-", ("GET", host, "/"), &[("cookie", &cookie)]).await;
            assert_eq!((answer.status, answer.header("location")), (403, None), "{kind} {host}");
        }
        let url = format!("https://{host}/");
        let headers = [("host", "proxy"), ("x-original-url", url.as_str()), ("x-original-method", "GET"), ("cookie", &cookie)];
        assert_eq!(browser.send_as("GET", "/guard/nginx/-", &headers).await.status, 403, "{host}");
    }
    for host in ["WIKI.example", "wiki.example.", "wiki.example:443"] {
        let cookie = browser.cookie_header(WIKI);
        let answer = browser.ask("caddy", "wiki", ("GET", host, "/"), &[("cookie", &cookie)]).await;
        assert_eq!(answer.status, 200, "{host}");
    }
    // A doubled or an absent header.
    let cookie = browser.cookie_header(WIKI);
    let good =
        [("host", "x"), ("x-forwarded-host", WIKI), ("x-forwarded-uri", "/"), ("x-forwarded-method", "GET"), ("cookie", &cookie)];
    assert_eq!(browser.send_as("GET", "/guard/caddy/wiki", &good).await.status, 200);
    for at in 1..4 {
        let mut absent = good.to_vec();
        absent.remove(at);
        assert_eq!(browser.send_as("GET", "/guard/caddy/wiki", &absent).await.status, 403);
        assert_eq!(browser.send_as("GET", "/guard/caddy/wiki", &[good.as_slice(), &[good[at]]].concat()).await.status, 403);
    }
    // nginx with `$http_host`: asked about one host, and sent to another.
    add_app(&app, "shop", json!({"allow": "nobody"}), json!({"hosts": [SHOP]})).await;
    let headers = [("host", SHOP), ("x-original-url", "https://wiki.example/"), ("x-original-method", "GET"), ("cookie", &cookie)];
    assert_eq!(browser.send_as("GET", "/guard/nginx/-", &headers).await.status, 403);
    // The slug of another application.
    assert_eq!(browser.ask("caddy", "shop", ("GET", WIKI, "/"), &[]).await.status, 403);
});

db_test!(a_check_is_answered_to_named_proxies_and_not_at_home, |db| async move {
    let app = server_with(db, &[("HTTP__TRUSTED_PROXIES", "10.0.0.1")]).await;
    two_apps(&app).await;
    app.user("alice").await;
    let browser = Browser::of(&app, "alice").await;
    for kind in KINDS {
        assert_eq!(browser.ask(kind, "wiki", ("GET", WIKI, "/"), &PAGE).await.status, 403, "a stranger asks");
        let at_home =
            browser.send("GET", HOME, &format!("/guard/{kind}/wiki/"), &[("x-original-url", "https://wiki.example/")]).await;
        assert_eq!(at_home.status, 404, "{kind}");
    }
});

db_test!(other_addresses_of_a_guarded_host_are_misdirected, |db| async move {
    let app = server(db).await;
    two_apps(&app).await;
    let browser = Browser::new(&app);
    for path in ["/", "/sign-in", "/api/v3/root/config/", "/static/icon.svg", "/confirm"] {
        let answer = browser.send("GET", WIKI, path, &PAGE).await;
        assert_eq!((answer.status, answer.header("strict-transport-security")), (421, None), "{path}");
        assert_ne!(browser.send("GET", HOME, path, &PAGE).await.status, 421);
        assert_ne!(browser.send("GET", "10.0.0.7:9000", path, &PAGE).await.status, 421);
    }
    assert_eq!(browser.send("GET", "other.example", "/.rollcall/start", &PAGE).await.status, 404);
    assert_eq!(browser.send("GET", WIKI, "/.rollcall/nothing", &PAGE).await.status, 421);
    assert_eq!(browser.send("GET", WIKI, "/outpost.goauthentik.io/ping", &PAGE).await.status, 204);
});

db_test!(rules_of_paths_decide_in_every_reading, |db| async move {
    let app = server(db).await;
    let rules = json!([
        {"paths": ["/public/**"], "allow": "anyone"},
        {"paths": ["/admin/**"], "allow": "nobody"},
        {"paths": ["/things/**"], "methods": ["DELETE"], "allow": "nobody"},
        {"paths": ["/near/**"], "if_network": ["192.0.2.0/24"], "allow": "anyone"},
    ]);
    add_app(&app, "wiki", json!({"allow": "signed_in"}), json!({"hosts": [WIKI], "rules": rules})).await;
    app.user("alice").await;
    let stranger = Browser::new(&app);
    let ask = async |browser: &Browser<'_>, method: &str, path: &str| {
        browser.ask("caddy", "wiki", (method, WIKI, path), &[]).await.status
    };
    assert_eq!(ask(&stranger, "GET", "/public/x").await, 200);
    assert_eq!(ask(&stranger, "GET", "/near/x").await, 200);
    for path in [
        "/public/..%2fadmin",
        "/public/../x",
        "/public/%2e%2e/x",
        "/public/x/..;/..;/y",
        "/public%2f..%2f..",
        "/x/..%5cpublic",
        "//public/x",
    ] {
        assert_ne!(ask(&stranger, "GET", path).await, 200, "{path}");
    }
    let alice = Browser::of(&app, "alice").await;
    let open = alice.open("caddy", "wiki", "https://wiki.example/things/1").await.assert_status(200);
    assert_eq!(open.header("remote-user"), Some("alice"));
    let public = alice.ask("caddy", "wiki", ("GET", WIKI, "/public/x"), &[]).await.assert_status(200);
    assert_eq!(public.header("remote-user"), None, "where anyone may, nobody is named");
    for path in ["/ADMIN/x", "/%61dmin", "/x/..%2fadmin", "//admin", "/admin;x/y", "/admin%3fx", "/x\\..\\admin"] {
        assert_eq!(ask(&alice, "GET", path).await, 403, "{path}");
    }
    assert_eq!(ask(&alice, "GET", "/caf%C3%A9%20x").await, 200, "harmless bytes");
    for method in ["DELETE", "delete"] {
        assert_eq!(ask(&alice, method, "/things/1").await, 403, "{method}");
    }
    for name in ["x-http-method-override", "x-http-method", "x-method-override"] {
        let answer = alice.ask("caddy", "wiki", ("POST", WIKI, "/things/1"), &[(name, "Delete")]).await;
        assert_eq!(answer.status, 403, "{name}");
    }
    // Without a method, the strictest rule holds.
    let cookie = alice.cookie_header(WIKI);
    let headers = [("host", WIKI), ("x-original-url", "https://wiki.example/things/1"), ("cookie", cookie.as_str())];
    assert_eq!(alice.send_as("GET", "/guard/nginx/wiki", &headers).await.status, 403);
    // An exception that was withdrawn ends at once.
    add_app(&app, "wiki", json!({"allow": "signed_in"}), json!({"hosts": [WIKI]})).await;
    assert_eq!(ask(&stranger, "GET", "/public/x").await, 401);
});
