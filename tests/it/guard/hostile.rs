//! Hostile callers, peers and apps: what they send is no way around a check.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use rollcall::actions::app::MOST_CHECKS;
use rollcall::guard::shelter::shelter;
use serde_json::json;

use super::world::{Browser, HOME, KINDS, PAGE, SHOP, WIKI, add_app, server, server_with, split, two_apps};
use crate::support::{Answer, TestApp, raw};

const APP_COOKIE: &str = "__Host-rollcall_app";
const OWN_PAGE: (&str, &str) = ("sec-fetch-site", "same-origin");

/// A request that reaches Rollcall as these bytes.
async fn raw_check(app: &TestApp, target: &str, headers: &[(&str, &str)]) -> Answer {
    let headers: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    raw::request(app.address, "GET", target, &headers, b"").await
}

db_test!(a_check_reads_nothing_from_its_own_query, |db| async move {
    let app = server(db).await;
    let rules = json!([{"paths": ["/public/**"], "allow": "anyone"}]);
    add_app(&app, "wiki", json!({"allow": "signed_in"}), json!({"hosts": [WIKI], "rules": rules})).await;
    let stranger = Browser::new(&app);
    // Caddy appends the caller's query to the check's.
    for query in [
        "?x-forwarded-uri=/public/x",
        "?uri=/public/x&path=/public/x&url=https://wiki.example/public/x",
        "?rd=/public/x",
        "?/public/x",
        "?app=-&host=wiki.example",
        "?rollcall-probe=rcprobe.x",
    ] {
        for (kind, own) in [
            ("nginx", vec![("host", WIKI), ("x-original-url", "https://wiki.example/a"), ("x-original-method", "GET")]),
            ("caddy", vec![("host", "p"), ("x-forwarded-host", WIKI), ("x-forwarded-uri", "/a"), ("x-forwarded-method", "GET")]),
        ] {
            let answer = stranger.send_as("GET", &format!("/guard/{kind}/wiki{query}"), &own).await;
            assert_eq!((answer.status, answer.header("location")), (401, None), "{kind} {query}");
        }
        let answer = raw_check(&app, &format!("/guard/envoy/wiki/a{query}"), &[("host", WIKI)]).await;
        assert_eq!(answer.status, 401, "{query}");
        // The target of a sign-in has it, as it is the caller's own.
        let page = stranger.ask("caddy", "wiki", ("GET", WIKI, &format!("/a{query}")), &PAGE).await.assert_status(302);
        assert!(
            page.header("location")
                .unwrap()
                .starts_with("https://wiki.example/.rollcall/start?rd=https%3A%2F%2Fwiki%2Eexample%2Fa%3F")
        );
    }
});

db_test!(a_slug_opens_the_hosts_of_its_own_application_alone, |db| async move {
    let app = server(db).await;
    let anyone = json!([{"paths": ["/**"], "allow": "anyone"}]);
    add_app(&app, "wiki", json!({"allow": "nobody"}), json!({"hosts": [WIKI]})).await;
    add_app(&app, "shop", json!({"allow": "nobody"}), json!({"hosts": [SHOP], "rules": anyone})).await;
    let stranger = Browser::new(&app);
    for kind in KINDS {
        for (slug, host, want) in [
            ("wiki", SHOP, 403),
            ("shop", WIKI, 403),
            ("nothing", SHOP, 403),
            ("shop", SHOP, 200),
            ("SHOP", SHOP, 200),
            ("-", SHOP, 200),
            ("-", WIKI, 403),
        ] {
            let answer = stranger.ask(kind, slug, ("GET", host, "/"), &[]).await;
            assert_eq!(answer.status, want, "{kind} {slug} {host}");
        }
    }
});

db_test!(a_check_at_authentiks_addresses_holds_to_the_same, |db| async move {
    let app = server_with(db, &[("HTTP__TRUSTED_PROXIES", "10.0.0.1")]).await;
    two_apps(&app).await;
    let stranger = Browser::new(&app);
    for kind in KINDS {
        let path = format!("/outpost.goauthentik.io/auth/{kind}{}", if kind == "envoy" { "/" } else { "" });
        let headers = [("x-original-url", "https://wiki.example/"), ("x-forwarded-host", WIKI), ("x-forwarded-uri", "/")];
        assert_eq!(stranger.send("GET", HOME, &path, &headers).await.status, 404, "{kind} at home");
        assert_eq!(stranger.send("GET", &format!("{HOME}."), &path, &headers).await.status, 404, "{kind} at home");
        assert_eq!(stranger.send("GET", "ID.Example:443", &path, &headers).await.status, 404, "{kind} at home");
        assert_eq!(stranger.send("GET", WIKI, &path, &headers).await.status, 403, "{kind} of a stranger");
    }
});

db_test!(with_all_peers_named_no_check_is_answered, |db| async move {
    for all in ["0.0.0.0/0", "::/0", "0.0.0.0/0,::/0"] {
        let settings = [("HTTP__PUBLIC_URL", "https://id.example"), ("HTTP__TRUSTED_PROXIES", all)];
        let config = db.config(&settings);
        let app = rollcall::actions::app::App::start(config, rollcall::domain::Clock::guarded()).await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        tokio::spawn(rollcall::server::serve(listener, rollcall::server::router(&app), std::future::pending()));
        for kind in KINDS {
            let target = format!("/guard/{kind}/-/");
            let target = if kind == "envoy" { target.as_str() } else { target.trim_end_matches('/') };
            let answer = raw::request(address, "GET", target, &[("host", b"wiki.example")], b"").await;
            assert_eq!(answer.status, 403, "{all} {kind}");
        }
    }
});

db_test!(no_user_agent_health_check_or_method_is_let_in_without_a_session, |db| async move {
    let app = server(db).await;
    two_apps(&app).await;
    let stranger = Browser::new(&app);
    let agents = [
        "GoogleHC/1.0",
        "kube-probe/1.30",
        "ELB-HealthChecker/2.0",
        "Blackbox Exporter/0.25",
        "certbot",
        "",
        "rollcall check proxy",
    ];
    for kind in KINDS {
        for agent in agents {
            for path in ["/", "/health", "/healthz", "/ping", "/ready", "/robots.txt", "/.well-known/acme-challenge/x"] {
                let answer = stranger.ask(kind, "wiki", ("GET", WIKI, path), &[("user-agent", agent)]).await;
                assert_eq!(answer.status, 401, "{kind} {agent} {path}");
            }
        }
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "PRI", "BREW", "purge"] {
            let answer = stranger.ask(kind, "wiki", (method, WIKI, "/"), &[]).await;
            assert_eq!((answer.status, answer.header("remote-user")), (401, None), "{kind} {method}");
        }
    }
});

db_test!(envoys_paths_are_judged_as_they_are_on_the_wire, |db| async move {
    let app = server(db).await;
    let rules = json!([{"paths": ["/public/**"], "allow": "anyone"}, {"paths": ["/closed/**"], "allow": "nobody"}]);
    add_app(&app, "wiki", json!({"allow": "signed_in"}), json!({"hosts": [WIKI], "rules": rules})).await;
    app.user("alice").await;
    let alice = Browser::of(&app, "alice").await;
    assert_eq!(alice.open("envoy", "wiki", "https://wiki.example/").await.status, 200);
    let cookie = alice.cookie_header(WIKI);
    for (path, stranger, known) in [
        ("/public/x", 200, 200),
        ("/a", 401, 200),
        ("/closed/x", 403, 403),
        ("/public/../closed/x", 403, 403),
        ("/public/..%2fclosed/x", 403, 403),
        ("/public/../../../../closed/x", 403, 403),
        ("/../../../closed/x", 403, 403),
        ("/../public/x", 401, 200),
        ("//closed/x", 403, 403),
        ("/CLOSED/x", 403, 403),
        ("/.rollcall/../public/x", 403, 403),
        ("/%2erollcall/start", 403, 403),
        ("/public/%00", 403, 403),
        ("/public/...", 403, 403),
    ] {
        let target = format!("/guard/envoy/wiki{path}");
        let answer = raw_check(&app, &target, &[("host", WIKI)]).await;
        assert_eq!(answer.status, stranger, "{path}");
        let answer = raw_check(&app, &target, &[("host", WIKI), ("cookie", &cookie)]).await;
        assert_eq!(answer.status, known, "{path}");
    }
    // Nothing in the path leads to another address of Rollcall's.
    for path in ["/../../../sign-in", "/../../../api/v3/root/config/", "/../../../-/health/live/", "/../../../static/icon.svg"] {
        let answer = raw_check(&app, &format!("/guard/envoy/wiki{path}"), &[("host", WIKI), ("cookie", &cookie)]).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, ""), "{path} is a path of the app's");
        assert_eq!(raw_check(&app, &format!("/guard/envoy/wiki{path}"), &[("host", WIKI)]).await.status, 401);
    }
});

db_test!(one_middleware_is_enough_where_a_refusal_is_passed_on, |db| async move {
    let app = server(db).await;
    two_apps(&app).await;
    app.user("alice").await;
    for kind in ["caddy", "traefik", "envoy"] {
        let browser = Browser::new(&app);
        let session = browser.sign_in("alice").await;
        // Every address of the app's host is asked about, those of the sign-in too.
        let mut url = format!("https://{WIKI}/a?b=1&c=2");
        let mut steps = Vec::new();
        let answer = loop {
            let (host, path) = split(&url);
            let answer = match host.as_str() {
                HOME => browser.send("GET", &host, &path, &PAGE).await,
                _ => {
                    let answer = browser.ask(kind, "wiki", ("GET", &host, &path), &PAGE).await;
                    browser.keep(&host, &answer);
                    answer
                }
            };
            steps.push(answer.status);
            match answer.header("location") {
                Some(to) if to.starts_with('/') => url = format!("https://{host}{to}"),
                Some(to) => url = to.to_owned(),
                None => break answer,
            }
        };
        assert_eq!((answer.header("remote-user"), steps.as_slice()), (Some("alice"), &[302, 302, 302, 302, 200][..]), "{kind}");
        // Whatever is asked for below these addresses, it never passes.
        for path in ["/.rollcall/who", "/.rollcall/denied", "/.rollcall/x", "/outpost.goauthentik.io/ping", "/.rollcall"] {
            let answer = browser.ask(kind, "wiki", ("GET", WIKI, path), &PAGE).await;
            assert_eq!((answer.status, answer.header("remote-user")), (403, None), "{kind} {path}");
        }
        let own = [PAGE.as_slice(), &[OWN_PAGE]].concat();
        let out = browser.ask(kind, "wiki", ("GET", WIKI, "/.rollcall/sign-out"), &own).await;
        assert_eq!((out.status, out.header("location")), (303, Some("https://id.example/sign-in")), "{kind}");
        assert!(out.set_cookie(APP_COOKIE).unwrap().contains("Max-Age=0"), "{kind}");
        assert_eq!(app.ending(&session).await.unwrap().0, "signed_out", "{kind}");
        assert_eq!(browser.ask(kind, "wiki", ("GET", WIKI, "/"), &[]).await.status, 401, "{kind}");
    }
});

db_test!(nothing_of_rollcalls_own_is_answered_on_an_apps_host, |db| async move {
    let app = server(db).await;
    two_apps(&app).await;
    let browser = Browser::new(&app);
    for path in [
        "/.rollcall/a/b",
        "/.rollcall/nothing",
        "/.rollcall/",
        "/outpost.goauthentik.io/a/b",
        "/guard",
        "/guard/x",
        "/guard/nginxx/wiki",
        "/nothing",
        "/metrics",
    ] {
        for method in ["GET", "POST"] {
            let answer = browser.send(method, WIKI, path, &PAGE).await;
            assert_eq!((answer.status, answer.header("strict-transport-security")), (421, None), "{method} {path}");
            assert!(!answer.text().contains("/sign-in"), "{path}: {}", answer.text());
        }
    }
    for host in [WIKI, "WIKI.example", "wiki.example.", "wiki.example:443"] {
        let answer = browser.send("GET", host, "/guard/go?state=x", &PAGE).await;
        assert_eq!((answer.status, answer.header("strict-transport-security")), (404, None), "{host}");
        assert_eq!(browser.send("GET", host, "/sign-in", &PAGE).await.status, 421, "{host}");
    }
    // Where the database does not say whose host it is, nothing is shown either.
    app.db
        .run("ALTER TABLE applications RENAME TO gone; UPDATE settings SET value = '999999' WHERE name = 'applications.version'")
        .await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    for path in ["/", "/sign-in", "/.rollcall/start?rd=/", "/.rollcall/who"] {
        let answer = browser.send("GET", WIKI, path, &PAGE).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{path}");
        assert_eq!((answer.header("set-cookie"), answer.header("location")), (None, None), "{path}");
    }
});

db_test!(what_a_browser_tells_of_a_sign_in_is_bounded, |db| async move {
    let app = server(db).await;
    two_apps(&app).await;
    app.user("alice").await;
    // Counts and times of any size: the sign-in goes on, and nothing panics.
    for tries in ["255.9223372036854775807", "1.-9223372036854775808", "3.9223372036854775806", "x", "256.1", "1.1.1"] {
        let browser = Browser::of(&app, "alice").await;
        let answer = browser.open("caddy", "wiki", &format!("https://{WIKI}/.rollcall/start?try={tries}&rd=%2Fa")).await;
        assert_eq!((answer.status, answer.header("remote-user")), (200, Some("alice")), "{tries}");
        browser.forget(WIKI);
        browser.set_cookie(WIKI, "__Host-rollcall_tries", tries);
        assert_eq!(browser.open("caddy", "wiki", "https://wiki.example/a").await.status, 200, "{tries}");
        // Without its start cookie it begins anew.
        let start = browser.send("GET", WIKI, &format!("/.rollcall/start?try={tries}&rd=%2Fa"), &PAGE).await;
        let go = split(start.header("location").unwrap());
        let back = browser.send("GET", &go.0, &go.1, &PAGE).await;
        browser.forget(WIKI);
        let back = split(back.header("location").unwrap());
        let again = browser.send("GET", &back.0, &back.1, &PAGE).await.assert_status(302);
        assert!(again.header("location").unwrap().contains("/.rollcall/start?try=1."), "{tries}");
    }
    // A state of another instance, a broken one, and none.
    let browser = Browser::of(&app, "alice").await;
    for state in ["", "x", "AAAA", &"A".repeat(4000)] {
        let answer = browser.send("GET", HOME, &format!("/guard/go?state={state}"), &PAGE).await;
        assert_eq!((answer.status, answer.header("location")), (400, None), "{state}");
        let answer = browser.send("GET", WIKI, &format!("/.rollcall/callback?state={state}&ticket=x"), &PAGE).await;
        assert_eq!(answer.header("location"), Some("https://wiki.example/.rollcall/start?rd=%2F"), "{state}");
        assert_eq!(answer.set_cookie(APP_COOKIE), None);
    }
});

db_test!(an_answer_names_the_guards_own_host_and_no_other, |db| async move {
    let app = server(db).await;
    two_apps(&app).await;
    let stranger = Browser::new(&app);
    let evil = [
        ("x-forwarded-server", "evil.example"),
        ("forwarded", "host=evil.example;proto=http"),
        ("x-forwarded-port", "666"),
        ("x-forwarded-prefix", "//evil.example"),
        ("origin", "https://evil.example"),
        ("referer", "https://wiki.example.evil/x"),
        ("x-original-host", "evil.example"),
    ];
    let headers = [PAGE.as_slice(), &evil].concat();
    for kind in KINDS {
        for host in [WIKI, "WIKI.Example", "wiki.example.", "wiki.example:443"] {
            for (method, path) in [("GET", "/a"), ("POST", "/a"), ("GET", "//evil.example/a"), ("GET", "/%0d%0aLocation:x")] {
                let answer = stranger.ask(kind, "wiki", (method, host, path), &headers).await;
                match answer.header("location") {
                    Some(to) => {
                        assert!(to.starts_with("https://wiki.example/.rollcall/start?rd=https%3A%2F%2Fwiki%2Eexample%2F"), "{to}")
                    }
                    None => assert_eq!((answer.status, path.contains("%0d")), (403, true), "{kind} {host} {path}"),
                }
            }
        }
    }
    // The path that begins with two slashes is another host's to a browser, so the sign-in leads to the start page.
    let start = stranger.send("GET", WIKI, "/.rollcall/start?rd=https%3A%2F%2Fwiki%2Eexample%2F%2Fevil%2Eexample%2Fa", &PAGE).await;
    app.user("alice").await;
    stranger.sign_in("alice").await;
    let go = split(start.header("location").unwrap());
    let back = stranger.send("GET", &go.0, &go.1, &PAGE).await;
    let back = split(back.header("location").unwrap());
    assert_eq!(stranger.send("GET", &back.0, &back.1, &PAGE).await.header("location"), Some("/"));
});

db_test!(a_check_that_panics_and_one_too_many_are_503, |db| async move {
    let app = server(db).await;
    two_apps(&app).await;
    app.user("alice").await;
    let alice = Browser::of(&app, "alice").await;
    assert_eq!(alice.open("caddy", "wiki", "https://wiki.example/").await.status, 200);
    let panicked = AssertUnwindSafe(shelter(&app.app, async { panic!("a test panics") })).await;
    assert_eq!((panicked.status().as_u16(), panicked.headers()["retry-after"].as_bytes()), (503, b"1".as_slice()));
    assert_eq!(panicked.headers()["cache-control"], "no-store");
    // As many as the process serves at once.
    let held = app.app.checks.try_acquire_many(u32::try_from(MOST_CHECKS).unwrap()).expect("all places are free again");
    for kind in KINDS {
        let answer = alice.ask(kind, "wiki", ("GET", WIKI, "/"), &PAGE).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{kind}");
        assert_eq!((answer.header("remote-user"), answer.header("location")), (None, None), "{kind}");
    }
    drop(held);
    assert_eq!(alice.ask("caddy", "wiki", ("GET", WIKI, "/"), &[]).await.status, 200);
});

db_test!(hosts_that_a_user_makes_up_fill_no_table, |db| async move {
    let app = server(db).await;
    add_app(&app, "wiki", json!({"allow": "signed_in"}), json!({"hosts": ["*.example.com"]})).await;
    app.user("alice").await;
    let alice = Browser::of(&app, "alice").await;
    for nth in 0..104 {
        app.advance(Duration::from_secs(1));
        assert_eq!(alice.open("caddy", "-", &format!("https://h{nth}.example.com/")).await.status, 200, "{nth}");
    }
    assert_eq!(app.number("SELECT count(*) FROM app_keys").await, 100);
    assert_eq!(app.number("SELECT count(*) FROM events WHERE kind = 'application_opened'").await, 100);
    let hosts: Option<String> = app.app.store.read().one("SELECT hosts FROM app_sessions", &[]).await.unwrap();
    assert_eq!(hosts.unwrap().matches("example.com").count(), 100);
    // The newest stay open; the oldest is opened again without a question.
    for (nth, status) in [(103, 200), (4, 200), (0, 401)] {
        assert_eq!(alice.ask("caddy", "-", ("GET", &format!("h{nth}.example.com"), "/"), &[]).await.status, status, "{nth}");
    }
    assert_eq!(alice.open("caddy", "-", "https://h0.example.com/").await.status, 200);
});
