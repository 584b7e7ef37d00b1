//! Signing in to an app's host, and signing out of all.

use std::time::Duration;

use serde_json::json;

use super::world::{Browser, HOME, PAGE, SHOP, WIKI, add_app, server, split, two_apps};
use crate::support::TestApp;

const APP_COOKIE: &str = "__Host-rollcall_app";

/// The address of `/guard/go` that the first step leads to.
async fn start(browser: &Browser<'_>, path: &str) -> String {
    let answer = browser.send("GET", WIKI, path, &PAGE).await.assert_status(302);
    answer.header("location").unwrap().to_owned()
}

/// Follows one redirect.
async fn follow(browser: &Browser<'_>, url: &str) -> crate::support::Answer {
    let (host, path) = split(url);
    browser.send("GET", &host, &path, &PAGE).await
}

/// The address of the callback, with its ticket.
async fn ticket(browser: &Browser<'_>, path: &str) -> String {
    let go = start(browser, path).await;
    follow(browser, &go).await.assert_status(302).header("location").unwrap().to_owned()
}

db_test!(a_sign_in_goes_over_three_steps_and_comes_back_to_the_page, |db| async move {
    let app = server(db).await;
    two_apps(&app).await;
    app.user("alice").await;
    let browser = Browser::new(&app);
    let begin = browser.send("GET", WIKI, "/.rollcall/start?rd=https%3A%2F%2Fwiki.example%2Fa%3Fb%3D1%26c%3D2", &PAGE).await;
    let go = begin.header("location").unwrap().to_owned();
    assert!(go.starts_with("https://id.example/guard/go?state="), "{go}");
    assert_eq!(begin.header("referrer-policy"), Some("no-referrer"));
    let cookie = begin.headers["set-cookie"].to_str().unwrap();
    assert!(cookie.starts_with("__Host-rollcall_start_"), "{cookie}");
    assert!(cookie.contains("HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=600"), "{cookie}");
    // Nobody is signed in: the sign-in leads back here.
    let sign_in = follow(&browser, &go).await;
    assert!(sign_in.redirects_to().starts_with("/sign-in?next=%2Fguard%2Fgo%3Fstate%3D"), "{}", sign_in.redirects_to());
    browser.sign_in("alice").await;
    let back = follow(&browser, &go).await.assert_status(302);
    let callback = back.header("location").unwrap().to_owned();
    assert!(callback.starts_with("https://wiki.example/.rollcall/callback?state="), "{callback}");
    assert_eq!(browser.cookie(WIKI, APP_COOKIE), None);
    let last = follow(&browser, &callback).await.assert_status(302);
    assert_eq!(last.header("location"), Some("/a?b=1&c=2"));
    assert_eq!(last.header("referrer-policy"), Some("no-referrer"));
    let set = last.set_cookie(APP_COOKIE).unwrap();
    assert!(set.ends_with("; HttpOnly; SameSite=Lax; Secure; Path=/"), "{set}");
    assert_eq!(browser.cookie(WIKI, APP_COOKIE).unwrap().len(), 43);
    assert!(!browser.cookie_names(WIKI).iter().any(|name| name.starts_with("__Host-rollcall_start")), "the nonce is used up");
    assert_eq!(browser.ask("caddy", "wiki", ("GET", WIKI, "/"), &[]).await.status, 200);
    let who = browser.send("GET", WIKI, "/.rollcall/who", &[]).await.assert_status(200).json();
    assert_eq!((who["username"].as_str(), who["until"].is_string()), (Some("alice"), true));
    assert_eq!(Browser::new(&app).send("GET", WIKI, "/.rollcall/who", &[]).await.status, 401);
    // No secret of it is in the database.
    assert_eq!(app.number("SELECT count(*) FROM tickets").await, 0, "a ticket that was used is gone");
});

db_test!(a_target_is_a_page_of_the_same_host, |db| async move {
    let app = server(db).await;
    two_apps(&app).await;
    app.user("alice").await;
    add_app(&app, "all", json!({"allow": "signed_in"}), json!({"hosts": ["*.example.com"]})).await;
    for (rd, want) in [
        ("https%3A%2F%2Fwiki.example%2Fa", "/a"),
        ("https://wiki.example/a?b=1&c=2", "/a?b=1&c=2"),
        ("http://wiki.example/a", "/a"),
        ("%2Fa%3Fb", "/a?b"),
        ("", "/"),
        ("https://shop.other/a", "/"),
        ("https://wiki.example.evil/a", "/"),
        ("https://evilwiki.example/a", "/"),
        ("https://wiki.example@evil.example/", "/"),
        ("https://wiki.example:444/", "/"),
        ("//evil.example", "/"),
        ("/%5cevil.example", "/%5cevil.example"),
        ("%2F%5Cevil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("https%3A%2F%2Fwiki.example%2F.rollcall%2Fsign-out", "/"),
        ("/%2erollcall/start", "/"),
        ("/outpost.goauthentik.io/sign_out", "/"),
        ("https%3A%2F%2Fwiki.example%2F%0d%0aX: y", "/"),
    ] {
        let browser = Browser::of(&app, "alice").await;
        let callback = ticket(&browser, &format!("/.rollcall/start?rd={}", rd.replace(' ', "%20"))).await;
        let answer = follow(&browser, &callback).await.assert_status(302);
        assert_eq!(answer.header("location"), Some(want), "{rd}");
    }
    for rd in ["https://evilexample.com/", "https://b.example.com/", "https://a.b.example.com/"] {
        let browser = Browser::of(&app, "alice").await;
        let go = browser.send("GET", "a.example.com", &format!("/.rollcall/start?rd={rd}"), &PAGE).await;
        let back = follow(&browser, go.header("location").unwrap()).await;
        let callback = back.header("location").unwrap().to_owned();
        assert!(callback.starts_with("https://a.example.com/.rollcall/callback"), "{callback}");
        assert_eq!(follow(&browser, &callback).await.header("location"), Some("/"), "{rd}");
    }
});

db_test!(a_ticket_works_once_here_in_time_and_in_the_browser_that_asked, |db| async move {
    let app = server(db).await;
    two_apps(&app).await;
    add_app(&app, "shop", json!({"allow": "signed_in"}), json!({"hosts": [SHOP]})).await;
    app.user("alice").await;
    app.superuser("root").await;
    let opened = |answer: &crate::support::Answer| answer.set_cookie(APP_COOKIE).is_some();
    let path = "/.rollcall/start?rd=%2F";

    // Twice, by two at once.
    let browser = Browser::of(&app, "alice").await;
    let callback = ticket(&browser, path).await;
    let (host, address) = split(&callback);
    let cookies = browser.cookie_header(WIKI);
    let headers = [("host", host.as_str()), ("cookie", cookies.as_str())];
    let both = tokio::join!(browser.send_as("GET", &address, &headers), browser.send_as("GET", &address, &headers));
    assert_eq!([&both.0, &both.1].iter().filter(|answer| opened(answer)).count(), 1);

    // In another browser: a sign-in that was begun elsewhere leaves no cookie.
    let callback = ticket(&Browser::of(&app, "alice").await, path).await;
    let victim = Browser::new(&app);
    let forged = follow(&victim, &callback).await.assert_status(302);
    assert!(!opened(&forged) && forged.header("location").unwrap().contains("/.rollcall/start?try=1."), "{forged:?}");

    // On another host.
    let browser = Browser::of(&app, "alice").await;
    let callback = ticket(&browser, path).await;
    let (_, address) = split(&callback);
    let elsewhere = browser.send_as("GET", &address, &[("host", SHOP), ("cookie", &browser.cookie_header(WIKI))]).await;
    assert!(!opened(&elsewhere));

    // After its session ended.
    let browser = Browser::new(&app);
    let session = browser.sign_in("alice").await;
    let callback = ticket(&browser, path).await;
    end(&app, &session).await;
    assert!(!opened(&follow(&browser, &callback).await));

    // After a minute.
    let browser = Browser::of(&app, "alice").await;
    let callback = ticket(&browser, path).await;
    app.advance(Duration::from_secs(61));
    assert!(!opened(&follow(&browser, &callback).await));
    assert_eq!(app.number("SELECT count(*) FROM app_keys").await, 1);
    rollcall::actions::guard::tickets::sweep(&app.app, rollcall::actions::by::By::System).await.unwrap();
    assert_eq!(app.number("SELECT count(*) FROM tickets").await, 0);
});

/// Ends a session as an administrator does.
async fn end(app: &TestApp, session: &str) {
    let admin = app.known("root").await;
    admin.token().await.delete(&format!("{}{session}/", crate::support::SESSIONS)).await.assert_status(204);
}

db_test!(many_tabs_do_not_disturb_each_other, |db| async move {
    let app = server(db).await;
    two_apps(&app).await;
    app.user("alice").await;
    let browser = Browser::of(&app, "alice").await;
    let mut started = Vec::new();
    for tab in 0..7 {
        app.advance(Duration::from_secs(1));
        started.push(start(&browser, &format!("/.rollcall/start?rd=%2Ftab{tab}")).await);
    }
    let starts = browser.cookie_names(WIKI).iter().filter(|name| name.starts_with("__Host-rollcall_start_")).count();
    assert_eq!(starts, 5, "the oldest go");
    for (tab, go) in started.iter().enumerate().skip(2) {
        let callback = follow(&browser, go).await.header("location").unwrap().to_owned();
        let answer = follow(&browser, &callback).await;
        assert_eq!(answer.header("location"), Some(format!("/tab{tab}").as_str()));
        assert_eq!(answer.set_cookie(APP_COOKIE).is_some(), tab == 2, "a live key stays");
    }
    assert_eq!(app.number("SELECT count(*) FROM app_keys").await, 1);
});

db_test!(a_sign_in_that_does_not_arrive_ends_with_a_page_that_says_why, |db| async move {
    let app = server(db).await;
    two_apps(&app).await;
    app.user("alice").await;
    // A browser that keeps no cookies on the app's host.
    let browser = Browser::of(&app, "alice").await;
    let mut url = "https://wiki.example/.rollcall/start?rd=%2Fa".to_owned();
    let mut steps = 0;
    let page = loop {
        let answer = follow(&browser, &url).await;
        browser.forget(WIKI);
        match answer.header("location") {
            Some(to) => url = to.to_owned(),
            None => break answer,
        }
        steps += 1;
        assert!(steps < 20);
    };
    assert_eq!(page.status, 403);
    assert!(page.text().contains("__Host-rollcall_start_"), "{}", page.text());
    // A proxy that does not show the cookie to the check.
    let browser = Browser::of(&app, "alice").await;
    let mut rounds = 0;
    let page = loop {
        let callback = ticket(&browser, "/.rollcall/start?rd=%2Fa").await;
        let answer = follow(&browser, &callback).await;
        if answer.status == 403 {
            break answer;
        }
        rounds += 1;
        assert!(rounds < 10);
    };
    assert_eq!(rounds, 3);
    assert!(page.text().contains("__Host-rollcall_app"), "{}", page.text());
});

db_test!(an_end_of_the_session_closes_every_app_at_the_next_request, |db| async move {
    let app = server(db).await;
    two_apps(&app).await;
    add_app(&app, "shop", json!({"allow": "signed_in"}), json!({"hosts": [SHOP]})).await;
    app.user("alice").await;
    app.superuser("root").await;
    let browser = Browser::new(&app);
    let session = browser.sign_in("alice").await;
    for (slug, host) in [("wiki", WIKI), ("shop", SHOP)] {
        assert_eq!(browser.open("traefik", slug, &format!("https://{host}/")).await.status, 200);
    }
    end(&app, &session).await;
    for (slug, host) in [("wiki", WIKI), ("shop", SHOP)] {
        assert_eq!(browser.ask("traefik", slug, ("GET", host, "/"), &[]).await.status, 401);
    }
    assert_eq!(app.number("SELECT count(*) FROM app_keys").await, 0);
    assert_eq!(app.number("SELECT count(*) FROM app_sessions").await, 0);
});

db_test!(signing_out_at_an_app_ends_all_when_the_apps_own_page_leads_there, |db| async move {
    let app = server(db).await;
    two_apps(&app).await;
    app.user("alice").await;
    let browser = Browser::new(&app);
    let session = browser.sign_in("alice").await;
    assert_eq!(browser.open("envoy", "wiki", "https://wiki.example/").await.status, 200);
    for site in ["none", "cross-site", "same-site"] {
        for path in ["/.rollcall/sign-out", "/outpost.goauthentik.io/sign_out"] {
            let asked = browser.send("GET", WIKI, path, &[PAGE.as_slice(), &[("sec-fetch-site", site)]].concat()).await;
            assert_eq!((asked.status, asked.header("location")), (302, Some("https://id.example/sign-out")), "{site}");
        }
    }
    assert_eq!(app.ending(&session).await, None);
    let own = [PAGE.as_slice(), &[("sec-fetch-site", "same-origin")]].concat();
    browser.send("GET", WIKI, "/.rollcall/sign-out", &own).await.assert_status(200);
    assert_eq!(app.ending(&session).await, Some(("signed_out".to_owned(), "alice".to_owned())));
    assert_eq!(browser.cookie(WIKI, APP_COOKIE), None);
    assert_eq!(browser.send("GET", HOME, "/sessions", &PAGE).await.redirects_to(), "/sign-in?next=/sessions");
});

db_test!(another_user_on_the_same_browser_finds_nothing_of_the_last_one, |db| async move {
    let app = server(db).await;
    two_apps(&app).await;
    app.user("alice").await;
    app.user("bob").await;
    let browser = Browser::of(&app, "alice").await;
    assert_eq!(browser.open("caddy", "wiki", "https://wiki.example/a").await.status, 200);
    browser.sign_in("bob").await;
    let callback = ticket(&browser, "/.rollcall/start?rd=%2Fa").await;
    let cleared = follow(&browser, &callback).await.assert_status(302);
    assert_eq!(cleared.header("clear-site-data"), Some("\"cookies\", \"storage\""));
    assert!(cleared.header("location").unwrap().starts_with("https://wiki.example/.rollcall/start?"));
    assert_eq!(browser.cookie(WIKI, APP_COOKIE), None);
    // As browsers do: all cookies of the app's site go.
    browser.forget(WIKI);
    let answer = browser.open("caddy", "wiki", "https://wiki.example/a").await;
    assert_eq!((answer.status, answer.header("remote-user")), (200, Some("bob")));
    // The same user again: nothing is cleared.
    browser.sign_in("bob").await;
    let callback = ticket(&browser, "/.rollcall/start?rd=%2Fa").await;
    assert_eq!(follow(&browser, &callback).await.header("clear-site-data"), None);
});

db_test!(too_little_proof_leads_to_the_page_that_asks_for_more, |db| async move {
    let app = server(db).await;
    app.user_with_password("alice").await;
    add_app(&app, "wiki", json!({"allow": "signed_in", "max_age": 300}), json!({"hosts": [WIKI]})).await;
    let browser = Browser::of(&app, "alice").await;
    assert_eq!(browser.open("caddy", "wiki", "https://wiki.example/").await.status, 200);
    app.advance(Duration::from_secs(301));
    let program = browser.ask("caddy", "wiki", ("GET", WIKI, "/"), &[]).await.assert_status(401);
    let challenge = "Bearer realm=\"rollcall\", error=\"insufficient_user_authentication\", max_age=\"300\"";
    assert_eq!(program.header("www-authenticate"), Some(challenge));
    // The proof is fresh for Rollcall's own pages, and too old for the app: the form is shown all the same.
    let page = browser.open("caddy", "wiki", "https://wiki.example/a").await.assert_status(200);
    assert!(page.text().contains("name=\"password\""), "{}", page.text());
    let (proof, next) = (page.proof(), field(&page.text(), "next"));
    assert!(next.starts_with("/guard/go?state="), "{next}");
    let old_key = browser.cookie(WIKI, APP_COOKIE);
    let form = format!(
        "proof={proof}&password={}&next={}",
        crate::support::encode(crate::support::app::PASSWORD),
        crate::support::encode(&next)
    );
    let confirmed = confirm(&browser, &form).await;
    let answer = browser.open("caddy", "wiki", &format!("https://{HOME}{confirmed}")).await;
    assert_eq!((answer.status, answer.header("remote-user")), (200, Some("alice")));
    assert_ne!(browser.cookie(WIKI, APP_COOKIE), old_key, "a new proof is a new key");
    assert_eq!(app.number("SELECT count(*) FROM app_keys").await, 1);
    // A level that the user cannot prove: first, a factor is added.
    add_app(&app, "wiki", json!({"allow": "signed_in", "factor": "hardware"}), json!({"hosts": [WIKI]})).await;
    let program = browser.ask("caddy", "wiki", ("GET", WIKI, "/"), &[]).await.assert_status(401);
    assert!(program.header("www-authenticate").unwrap().ends_with("acr_values=\"phrh\""));
    let page = browser.open("caddy", "wiki", "https://wiki.example/a").await.assert_status(200);
    assert!(page.text().contains("/security/totp"), "{}", page.text());
});

/// The value of a hidden field.
fn field(html: &str, name: &str) -> String {
    let (_, rest) = html.split_once(&format!("name=\"{name}\" value=\"")).unwrap_or_else(|| panic!("no {name}: {html}"));
    rest.split('"').next().unwrap().replace("&#38;", "&").replace("&amp;", "&")
}

/// Sends the form of `/confirm`; where it leads.
async fn confirm(browser: &Browser<'_>, form: &str) -> String {
    let answer = browser.post(HOME, "/confirm", form).await;
    answer.redirects_to().to_owned()
}
