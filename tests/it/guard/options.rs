//! What the options of a guard change, programs, and hosts of one application.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rollcall::actions::by::By;
use serde_json::json;

use super::world::{Browser, HOME, KINDS, PAGE, SHOP, WIKI, add_app, server, server_with, split, two_apps};
use crate::applications::app_password;
use crate::support::{Answer, geoip};

const APP_COOKIE: &str = "__Host-rollcall_app";
const CHALLENGE: &str = "Bearer realm=\"rollcall\"";

fn challenges(answer: &Answer) -> Vec<&str> {
    answer.headers.get_all("www-authenticate").iter().map(|value| value.to_str().unwrap()).collect()
}

db_test!(a_guard_with_basic_asks_programs_for_a_name_and_a_password, |db| async move {
    let app = server(db).await;
    add_app(&app, "wiki", json!({"allow": "signed_in", "max_age": 300}), json!({"hosts": [WIKI], "basic": true})).await;
    app.user("alice").await;
    let browser = Browser::of(&app, "alice").await;
    for kind in KINDS {
        let answer = browser.ask(kind, "wiki", ("GET", WIKI, "/info/refs"), &[]).await.assert_status(401);
        assert_eq!(challenges(&answer), ["Basic realm=\"rollcall\", charset=\"UTF-8\"", CHALLENGE], "{kind}");
    }
    assert_eq!(browser.open("caddy", "wiki", "https://wiki.example/").await.status, 200);
    app.advance(Duration::from_secs(301));
    let old = browser.ask("caddy", "wiki", ("GET", WIKI, "/"), &[]).await.assert_status(401);
    assert_eq!(challenges(&old).len(), 1, "an app password proves nothing anew");
    add_app(&app, "shop", json!({"allow": "signed_in"}), json!({"hosts": [SHOP]})).await;
    let answer = browser.ask("caddy", "shop", ("GET", SHOP, "/"), &[]).await.assert_status(401);
    assert_eq!(challenges(&answer), [CHALLENGE]);
});

db_test!(a_preflight_reaches_an_app_that_answers_it_itself, |db| async move {
    let app = server(db).await;
    let rules = json!([{"paths": ["/closed/**"], "allow": "nobody"}, {"paths": ["/near/**"], "networks": ["10.0.0.0/8"]}]);
    let guard = json!({"hosts": [WIKI], "preflight": "app", "rules": rules});
    add_app(&app, "wiki", json!({"allow": "signed_in", "factor": "mfa"}), guard).await;
    let stranger = Browser::new(&app);
    let both = [("origin", "https://x.example"), ("access-control-request-method", "PUT")];
    for kind in KINDS {
        let passed = stranger.ask(kind, "wiki", ("OPTIONS", WIKI, "/a"), &both).await.assert_status(200);
        assert_eq!(passed.header("remote-user"), None, "{kind}");
        for (method, path, headers, want) in [
            ("OPTIONS", "/a", &both[..1], 401),
            ("OPTIONS", "/a", &both[1..], 401),
            ("GET", "/a", &both[..], 401),
            ("options", "/a", &both[..], 401),
            ("OPTIONS", "/closed/a", &both[..], 403),
            ("OPTIONS", "/near/a", &both[..], 403),
            ("OPTIONS", "/x/..%2fclosed/a", &both[..], 403),
        ] {
            let answer = stranger.ask(kind, "wiki", (method, WIKI, path), headers).await;
            assert_eq!(answer.status, want, "{kind} {method} {path} {headers:?}");
        }
    }
});

db_test!(an_app_that_others_embed_has_a_cookie_for_that, |db| async move {
    let app = server(db).await;
    add_app(&app, "wiki", json!({"allow": "signed_in"}), json!({"hosts": [WIKI], "same_site": "none"})).await;
    app.user("alice").await;
    let browser = Browser::of(&app, "alice").await;
    let mut url = format!("https://{WIKI}/.rollcall/start?rd=%2F");
    let set = loop {
        let (host, path) = split(&url);
        let answer = browser.send("GET", &host, &path, &PAGE).await.assert_status(302);
        if let Some(set) = answer.set_cookie(APP_COOKIE) {
            // The others are for navigations alone.
            let last = answer.set_cookie("__Host-rollcall_last").unwrap();
            assert!(last.contains("SameSite=Lax"), "{last}");
            break set;
        }
        url = answer.header("location").unwrap().to_owned();
    };
    assert!(set.ends_with("; HttpOnly; SameSite=None; Secure; Path=/"), "{set}");
});

db_test!(polling_is_no_use_of_a_session_where_only_navigations_are, |db| async move {
    let app = server(db).await;
    app.user("alice").await;
    for (uses, polls) in [("navigations", false), ("all", true)] {
        add_app(&app, "wiki", json!({"allow": "signed_in"}), json!({"hosts": [WIKI], "uses": uses})).await;
        let browser = Browser::new(&app);
        let uuid = browser.sign_in("alice").await;
        assert_eq!(browser.open("caddy", "wiki", "https://wiki.example/").await.status, 200);
        let used = async || {
            app.app.touches.flush(&app.app).await.unwrap();
            let digits = uuid.replace('-', "");
            let id = if app.db.is_sqlite() { format!("x'{digits}'") } else { format!("'{uuid}'") };
            let session = app.number(&format!("SELECT last_used_at FROM session_rows WHERE uuid = {id}")).await;
            let of = "SELECT o.last_used_at FROM app_sessions o JOIN session_rows r ON r.id = o.session_id WHERE r.uuid =";
            (session, app.number(&format!("{of} {id}")).await)
        };
        let before = used().await;
        app.advance(Duration::from_secs(600));
        for _ in 0..3 {
            assert_eq!(browser.ask("caddy", "wiki", ("GET", WIKI, "/poll"), &[]).await.status, 200);
        }
        let polled = used().await;
        assert_eq!((polled.0 > before.0, polled.1 > before.1), (polls, polls), "{uses}");
        assert_eq!(browser.ask("caddy", "wiki", ("GET", WIKI, "/page"), &PAGE).await.status, 200);
        let navigated = used().await;
        assert!(navigated.0 > before.0 && navigated.1 > before.1, "{uses}");
    }
});

db_test!(a_browser_has_four_keys_of_a_host_at_the_most, |db| async move {
    let app = server(db).await;
    two_apps(&app).await;
    app.user("alice").await;
    let browser = Browser::of(&app, "alice").await;
    let mut keys = Vec::new();
    for _ in 0..6 {
        app.advance(Duration::from_secs(61));
        browser.forget(WIKI);
        assert_eq!(browser.open("caddy", "wiki", "https://wiki.example/").await.status, 200);
        keys.push(browser.cookie(WIKI, APP_COOKIE).unwrap());
    }
    assert_eq!(app.number("SELECT count(*) FROM app_keys").await, 4);
    for (nth, key) in keys.iter().enumerate() {
        browser.set_cookie(WIKI, APP_COOKIE, key);
        let status = browser.ask("caddy", "wiki", ("GET", WIKI, "/"), &[]).await.status;
        assert_eq!(status, if nth < 2 { 401 } else { 200 }, "key {nth}");
    }
});

db_test!(a_key_opens_one_host_of_its_application_and_no_other, |db| async move {
    let app = server(db).await;
    let hosts = ["*.example.com", "wiki.example", "wiki.example:8443"];
    add_app(&app, "wiki", json!({"allow": "signed_in"}), json!({"hosts": hosts})).await;
    app.user("alice").await;
    let browser = Browser::of(&app, "alice").await;
    let opened = ["a.example.com", "b.example.com", "wiki.example", "wiki.example:8443"];
    for host in opened {
        assert_eq!(browser.open("caddy", "wiki", &format!("https://{host}/")).await.status, 200, "{host}");
    }
    assert_eq!(browser.cookie_names("wiki.example:8443").iter().filter(|name| name.contains("_app_8443")).count(), 1);
    let stranger = Browser::new(&app);
    for own in opened {
        for other in opened {
            let names = browser.cookie_names(own);
            let key = browser.cookie(own, names.iter().find(|name| name.contains("rollcall_app")).unwrap()).unwrap();
            // Under the names of both.
            let cookie = format!("{APP_COOKIE}={key}; {APP_COOKIE}_8443={key}");
            for kind in KINDS {
                let answer = stranger.ask(kind, "-", ("GET", other, "/"), &[("cookie", &cookie)]).await;
                assert_eq!(answer.status, if own == other { 200 } else { 401 }, "{kind}: the key of {own} at {other}");
            }
        }
    }
});

db_test!(an_app_password_over_plain_http_is_refused, |db| async move {
    let app = server(db).await;
    add_app(&app, "wiki", json!({"allow": "signed_in", "app_passwords": true}), json!({"hosts": [WIKI]})).await;
    app.user("alice").await;
    let key = app_password(&app, "alice", "wiki").await;
    let program = Browser::new(&app);
    let bearer = format!("Bearer {key}");
    let ways = [
        ("authorization", bearer.clone()),
        ("authorization", format!("Basic {}", STANDARD.encode(format!("ALICE:{key}")))),
        ("authorization", format!("Basic {}", STANDARD.encode(format!("goauthentik.io/token:{key}")))),
        ("x-rollcall-key", key.clone()),
    ];
    for (name, value) in &ways {
        for kind in KINDS {
            let answer = program.ask(kind, "wiki", ("GET", WIKI, "/a"), &[(*name, value.as_str())]).await;
            assert_eq!((answer.status, answer.header("remote-user")), (200, Some("alice")), "{kind} {name}");
            assert_eq!((answer.header("authorization"), answer.header("set-cookie")), (None, None), "{kind} {name}");
            for scheme in [Some("http"), None] {
                let url = format!("http://{WIKI}/a");
                let mut headers = vec![("x-forwarded-for", "192.0.2.1"), (*name, value.as_str())];
                match (kind, scheme) {
                    // Its address has the scheme.
                    ("nginx", None) => continue,
                    ("nginx", _) => headers.extend([("host", WIKI), ("x-original-url", url.as_str())]),
                    ("envoy", _) => headers.push(("host", WIKI)),
                    _ => headers.extend([
                        ("host", "proxy"),
                        ("x-forwarded-host", WIKI),
                        ("x-forwarded-uri", "/a"),
                        ("x-forwarded-method", "GET"),
                    ]),
                }
                headers.extend(scheme.filter(|_| kind != "nginx").map(|scheme| ("x-forwarded-proto", scheme)));
                let path = if kind == "envoy" { "/guard/envoy/wiki/a".to_owned() } else { format!("/guard/{kind}/wiki") };
                let answer = program.send_as("GET", &path, &headers).await;
                assert_eq!((answer.status, answer.header("remote-user")), (401, None), "{kind} {name} {scheme:?}");
            }
        }
    }
    let other = format!("Basic {}", STANDARD.encode(format!("bob:{key}")));
    let answer = program.ask("caddy", "wiki", ("GET", WIKI, "/a"), &[("authorization", &other)]).await;
    assert_eq!(answer.status, 401, "the name of another user");
});

db_test!(wrong_app_passwords_count_against_their_address, |db| async move {
    let app = server_with(db, &[("SIGN_IN__ADDRESS_LIMIT", "5/15m")]).await;
    add_app(&app, "wiki", json!({"allow": "signed_in", "app_passwords": true}), json!({"hosts": [WIKI]})).await;
    app.user("alice").await;
    let bearer = format!("Bearer {}", app_password(&app, "alice", "wiki").await);
    let program = Browser::new(&app);
    let before = app.number("SELECT count(*) FROM events").await;
    for nth in 0..20 {
        let wrong = format!("Bearer rcp_{nth:043}");
        let answer = program.ask(KINDS[nth % 4], "wiki", ("GET", WIKI, "/"), &[("authorization", &wrong)]).await;
        assert_eq!((answer.status, answer.header("location")), (401, None));
    }
    assert!(app.number("SELECT count(*) FROM events").await <= before + 2, "they do not fill the disk");
    // Passwords of people are guessed from there no more, and right keys are good all the same.
    let sign_in = program.send("GET", HOME, "/sign-in", &PAGE).await;
    let form = format!("proof={}&uid=alice&password=wrong", sign_in.proof());
    let refused = program.post(HOME, "/sign-in", &form).await;
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert_eq!(program.ask("caddy", "wiki", ("GET", WIKI, "/"), &[("authorization", &bearer)]).await.status, 200);
    let mut elsewhere = Browser::new(&app);
    elsewhere.ip = "198.51.100.7";
    let sign_in = elsewhere.send("GET", HOME, "/sign-in", &PAGE).await;
    let form = format!("proof={}&uid=alice&password=wrong", sign_in.proof());
    assert_ne!(elsewhere.post(HOME, "/sign-in", &form).await.status, 429, "another address is not limited");
});

db_test!(a_session_that_moved_is_proved_at_rollcall_before_its_apps_open, |db| async move {
    let asn = db.dir.path().join("asn.mmdb");
    geoip::write_asn(&asn, &[("192.0.2.0/24", 64500, "Home"), ("198.51.100.0/24", 64501, "Elsewhere")]);
    let asn = asn.display().to_string();
    let settings =
        [("GEOIP__ASN", asn.as_str()), ("SESSIONS__NETWORK_BINDING", "bind_asn"), ("SESSIONS__NETWORK_BINDING_ACTION", "confirm")];
    let app = server_with(db, &settings).await;
    two_apps(&app).await;
    app.user("alice").await;
    let mut browser = Browser::of(&app, "alice").await;
    assert_eq!(browser.open("caddy", "wiki", "https://wiki.example/").await.status, 200);
    browser.ip = "198.51.100.9";
    for kind in KINDS {
        let answer = browser.ask(kind, "wiki", ("GET", WIKI, "/"), &[]).await;
        assert_eq!((answer.status, answer.header("remote-user")), (401, None), "{kind}");
    }
    let page = browser.ask("caddy", "wiki", ("GET", WIKI, "/a"), &PAGE).await.assert_status(302);
    let start = split(page.header("location").unwrap());
    let go = browser.send("GET", &start.0, &start.1, &PAGE).await.assert_status(302);
    let go = split(go.header("location").unwrap());
    let asked = browser.send("GET", &go.0, &go.1, &PAGE).await;
    assert!(asked.redirects_to().starts_with("/confirm?next=%2Fguard%2Fgo"), "{}", asked.redirects_to());
    browser.ip = "192.0.2.77";
    assert_eq!(browser.ask("caddy", "wiki", ("GET", WIKI, "/"), &[]).await.status, 200, "in the same system");
});

db_test!(a_new_guard_opens_for_nobody_and_has_no_rules, |db| async move {
    let app = server(db).await;
    app.user("alice").await;
    let wanted = rollcall::actions::applications::ApplicationChange {
        slug: Some("shop".to_owned()),
        guard: Some(Some(serde_json::from_value(json!({"hosts": [SHOP]})).unwrap())),
        ..Default::default()
    };
    let added = rollcall::actions::applications::add(&app.app, By::Cli, wanted).await.unwrap();
    assert_eq!(added.guard().unwrap().rules.len(), 0);
    let browser = Browser::of(&app, "alice").await;
    for kind in KINDS {
        for path in ["/", "/robots.txt", "/favicon.ico", "/.well-known/acme-challenge/x"] {
            assert_eq!(browser.ask(kind, "shop", ("GET", SHOP, path), &PAGE).await.status, 403, "{kind} {path}");
        }
    }
});
