//! Requests to authorize: what is asked for first, what is refused, and where answers go.

use std::time::Duration;

use rollcall::actions::applications::{self, ApplicationChange};
use rollcall::actions::by::By;
use serde_json::json;

use super::app::{CALLBACK, confirm, pairs_of, post, register, returned};
use crate::guard::world::{Browser, HOME, PAGE, server};
use crate::support::app::PASSWORD;
use crate::support::encode;

/// Addresses that led browsers or apps elsewhere: none is registered.
const HOSTILE: &str = "https://app.example/cb/ https://app.example/CB HTTPS://app.example/cb https://APP.example/cb \
    https://app.example:443/cb http://app.example/cb https://app.example/cb? https://app.example/cb?x=1 https://app.example/cb# \
    https://app.example/cb#@evil.example https://app.example/cb/../x https://app.example/cb/..;/x https://app.example/%63b \
    https://app.example/cb%2f..%2fx https://app.example//cb https://app.example\\@evil.example/cb \
    https://app.example@evil.example/cb https://evil.example@app.example/cb https://a@b@app.example/cb \
    https://app.example.evil.example/cb https://evilapp.example/cb https://app.example./cb https://аpp.example/cb \
    https://app.example/cb%00.evil.example https://app.example/cb%0d%0aX:y //app.example/cb /cb \
    javascript:alert(1)//https://app.example/cb data:text/html,x http://localhost:4000/cb http://127.0.0.1.evil.example/cb \
    http://127.1:4000/cb http://2130706433/cb http://[::ffff:127.0.0.1]:4000/cb https://127.0.0.1:4000/cb \
    http://127.0.0.1:4000/cb/ http://127.0.0.1:0/cb http://127.0.0.1:99999/cb http://127.0.0.1:80@evil.example/cb \
    com.example.app://evil/cb COM.EXAMPLE.APP:/cb https://app.example/cb?code=x&iss=y https://app.example/cb&state=x";

db_test!(a_hostile_address_gets_a_page_and_nothing_else, |db| async move {
    let app = server(db).await;
    app.seed_keys().await;
    app.user("alice").await;
    let wiki = register(&app, "wiki", json!({"pkce": "optional"})).await;
    let browser = Browser::of(&app, "alice").await;
    let long = format!("https://app.example/cb{}", "b".repeat(7000));
    let others = ["", " https://app.example/cb", "https://app.example/\tcb", long.as_str()];
    for address in HOSTILE.split(' ').chain(others) {
        for more in
            [[("prompt", None)], [("prompt", Some("none"))], [("response_mode", Some("form_post"))], [("response_type", Some("x"))]]
        {
            let request = wiki.request(&[&[("redirect_uri", Some(address))][..], &more].concat());
            let answer = browser.send("GET", HOME, &request, &PAGE).await;
            assert_eq!((answer.status, answer.header("location"), answer.header("refresh")), (400, None, None), "{address:?}");
            let page = answer.text();
            assert!(page.contains("id=\"oidc-error\"") && !page.contains("<a ") && !page.contains("<form"), "{address:?}: {page}");
        }
    }
    let doubled = format!("{}&redirect_uri={}", wiki.request(&[]), encode(CALLBACK));
    for bad in [doubled, wiki.request(&[("redirect_uri", None)]), wiki.request(&[("client_id", Some("nobody"))])] {
        let answer = browser.send("GET", HOME, &bad, &PAGE).await;
        assert_eq!((answer.status, answer.header("location")), (400, None), "{bad}");
    }
    for good in ["http://127.0.0.1:4000/cb", "com.example.app:/cb"] {
        let answer = browser.send("GET", HOME, &wiki.request(&[("redirect_uri", Some(good))]), &PAGE).await.assert_status(302);
        assert!(answer.header("location").unwrap().starts_with(&format!("{good}?code=")), "{good}");
    }
});

db_test!(errors_go_back_to_the_app_with_its_state_and_our_name, |db| async move {
    let app = server(db).await;
    app.seed_keys().await;
    app.user("alice").await;
    let wiki = register(&app, "wiki", json!({})).await;
    let browser = Browser::of(&app, "alice").await;
    let state = format!("\"><script>\r\nX: y&iss=evil#{}", "s".repeat(3000));
    for (more, error) in [
        (("response_type", Some("token")), "unsupported_response_type"),
        (("response_type", None), "invalid_request"),
        (("request", Some("eyJ")), "request_not_supported"),
        (("request_uri", Some("https://app.example/r")), "request_uri_not_supported"),
        (("code_challenge", None), "invalid_request"),
        (("code_challenge_method", Some("plain")), "invalid_request"),
        (("scope", Some("address phone")), "invalid_scope"),
        (("max_age", Some("soon")), "invalid_request"),
        (("prompt", Some("none login")), "invalid_request"),
    ] {
        let request = wiki.request(&[("state", Some(&state)), more]);
        let answer = browser.send("GET", HOME, &request, &PAGE).await.assert_status(302);
        let sent = returned(&answer);
        assert_eq!((sent["error"].as_str(), sent["state"].as_str()), (error, state.as_str()), "{more:?}");
        assert_eq!((sent["iss"].as_str(), sent.get("code")), (wiki.issuer().as_str(), None), "{more:?}");
    }
    // By a form: everything is escaped.
    let request = wiki.request(&[("response_mode", Some("form_post")), ("state", Some(&state))]);
    let page = browser.send("GET", HOME, &request, &PAGE).await.assert_status(200);
    assert!(!page.text().contains("<script>\r") && page.text().contains("name=\"code\""), "{}", page.text());
    assert!(!page.header("content-security-policy").unwrap().contains("form-action"));
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    // A form of another site comes without a cookie, so it goes on as an address.
    let posted = post(&app, "/application/o/authorize/", &[("client_id", wiki.id.as_str()), ("scope", "a b")], &[]).await;
    assert_eq!(posted.redirects_to(), format!("/application/o/authorize/?client_id={}&scope=a%20b", wiki.id));
});

db_test!(somebody_who_is_not_signed_in_signs_in_first, |db| async move {
    let app = server(db).await;
    app.seed_keys().await;
    app.user_with_password("alice").await;
    let wiki = register(&app, "wiki", json!({})).await;
    let browser = Browser::new(&app);
    let none = browser.send("GET", HOME, &wiki.request(&[("prompt", Some("none"))]), &PAGE).await.assert_status(302);
    assert_eq!(returned(&none)["error"], "login_required");
    let led = browser.send("GET", HOME, &wiki.request(&[]), &PAGE).await;
    let sign_in = led.redirects_to().to_owned();
    assert!(sign_in.starts_with("/sign-in?next=%2Fapplication%2Fo%2Fauthorize"), "{sign_in}");
    let hinted = browser.send("GET", HOME, &wiki.request(&[("login_hint", Some("\"><b>alice"))]), &PAGE).await;
    let filled = browser.send("GET", HOME, hinted.redirects_to(), &PAGE).await.assert_status(200);
    assert!(filled.text().contains("value=\"&#34;&#62;&#60;b&#62;alice\""), "{}", filled.text());
    let page = browser.send("GET", HOME, &sign_in, &PAGE).await.assert_status(200);
    let next =
        percent_encoding::percent_decode_str(sign_in.strip_prefix("/sign-in?next=").unwrap()).decode_utf8().unwrap().into_owned();
    let form = format!("proof={}&uid=alice&password={}&next={}", page.proof(), encode(PASSWORD), encode(&next));
    let signed_in = browser.post(HOME, "/sign-in", &form).await;
    let back = browser.send("GET", HOME, signed_in.redirects_to(), &PAGE).await.assert_status(200);
    // Browsers refuse a redirect to another host after a form, so a page leads on.
    let to = back.header("refresh").and_then(|refresh| refresh.strip_prefix("0; url=")).unwrap();
    assert!(to.starts_with(&format!("{CALLBACK}?code=")), "{to}");
    assert!(back.text().contains(&format!("href=\"{}", CALLBACK)));
});

db_test!(a_proof_is_asked_for_anew_as_the_app_asks, |db| async move {
    let app = server(db).await;
    app.seed_keys().await;
    app.user_with_password("alice").await;
    let wiki = register(&app, "wiki", json!({})).await;
    let browser = Browser::of(&app, "alice").await;
    let at = wiki.claims(&wiki.tokens(&browser).await).await["auth_time"].as_i64().unwrap();
    app.advance(Duration::from_secs(100));
    let fine = browser.send("GET", HOME, &wiki.request(&[("max_age", Some("10000"))]), &PAGE).await;
    assert!(returned(&fine).contains_key("code"));
    for more in [("prompt", Some("login")), ("max_age", Some("1")), ("max_age", Some("0"))] {
        let led = browser.send("GET", HOME, &wiki.request(&[more]), &PAGE).await;
        // Nobody but us says when the request was first seen.
        let forged = pairs_of(led.redirects_to())["next"].replace("rollcall_seen=", "rollcall_seen=0");
        assert!(browser.send("GET", HOME, &forged, &PAGE).await.redirects_to().starts_with("/confirm"), "{more:?}");
        app.advance(Duration::from_secs(2));
        let back = confirm(&browser, &led).await.assert_status(200);
        let code = pairs_of(back.header("refresh").unwrap())["code"].clone();
        let tokens = wiki.redeem(&code).await.assert_status(200).json();
        assert!(wiki.claims(&tokens).await["auth_time"].as_i64().unwrap() > at + 100, "{more:?}");
        app.advance(Duration::from_secs(100));
        // Nor does an address that was kept make an old proof a fresh one.
        app.advance(Duration::from_secs(30 * 60));
        let kept = pairs_of(led.redirects_to())["next"].clone();
        assert!(browser.send("GET", HOME, &kept, &PAGE).await.redirects_to().starts_with("/confirm"), "{more:?}");
    }
    let none = browser.send("GET", HOME, &wiki.request(&[("max_age", Some("1")), ("prompt", Some("none"))]), &PAGE).await;
    assert_eq!(returned(&none)["error"], "login_required");
});

db_test!(access_rules_hold_for_apps, |db| async move {
    let app = server(db).await;
    app.seed_keys().await;
    app.user("alice").await;
    let wiki = register(&app, "wiki", json!({})).await;
    let browser = Browser::of(&app, "alice").await;
    let tokens = wiki.tokens(&browser).await;
    let code = wiki.code(&browser, &[]).await;
    let access = async |json| {
        let wanted = ApplicationChange { access: Some(serde_json::from_value(json).unwrap()), ..ApplicationChange::default() };
        applications::change(&app.app, By::Cli, "wiki", wanted).await.unwrap();
    };
    access(json!({"allow": "signed_in", "factor": "mfa"})).await;
    let refresh = tokens["refresh_token"].as_str().unwrap();
    assert_eq!(wiki.refresh(refresh).await.assert_status(400).json()["error"], "invalid_grant");
    assert_eq!(app.number("SELECT count(*) FROM app_sessions").await, 1, "a better proof can come");
    access(json!({"allow": "nobody"})).await;
    let denied = browser.send("GET", HOME, &wiki.request(&[]), &PAGE).await;
    assert_eq!((denied.status, denied.header("location")), (403, None));
    assert!(denied.text().contains("error=access%5Fdenied"), "{}", denied.text());
    let none = browser.send("GET", HOME, &wiki.request(&[("prompt", Some("none"))]), &PAGE).await;
    assert_eq!(returned(&none)["error"], "access_denied");
    assert_eq!(wiki.redeem(&code).await.assert_status(400).json()["error"], "invalid_grant");
    assert_eq!(app.number("SELECT count(*) FROM app_sessions").await, 0, "refused for good: the app session ends");
    assert_eq!(app.latest("access_refused").await.len(), 1, "once a minute");
    assert_eq!(wiki.userinfo(&tokens["access_token"]).await.status, 401);
});

db_test!(discovery_names_what_is_there, |db| async move {
    let app = server(db).await;
    app.seed_keys().await;
    let wiki = register(&app, "wiki", json!({})).await;
    let phone = register(&app, "phone", json!({"is_public": true, "algorithm": "ES256", "refresh": false})).await;
    let browser = Browser::new(&app);
    let read = async |path: &str| browser.send("GET", HOME, path, &[]).await;
    let answer = read("/application/o/wiki/.well-known/openid-configuration").await.assert_status(200);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    let document = answer.json();
    assert_eq!(document["issuer"], wiki.issuer());
    assert_eq!(read("/application/o/wiki//.well-known/openid-configuration").await.json(), document, "a doubled slash");
    for path in ["", "/"] {
        let other = read(&format!("/.well-known/oauth-authorization-server/application/o/wiki{path}")).await;
        assert_eq!(other.json(), document, "{path:?}");
    }
    for (name, address) in
        document.as_object().unwrap().iter().filter(|(name, _)| name.ends_with("_endpoint") || *name == "jwks_uri")
    {
        let path = address.as_str().unwrap().strip_prefix("https://id.example").unwrap();
        assert_ne!(read(path).await.status, 404, "{name}");
    }
    assert!(document.as_object().unwrap().values().all(|value| value.as_array().is_none_or(|list| !list.is_empty())));
    let own = read("/application/o/phone/.well-known/openid-configuration").await.json();
    assert_eq!(own["token_endpoint_auth_methods_supported"], json!(["none"]));
    assert_eq!((own.get("introspection_endpoint"), &own["grant_types_supported"]), (None, &json!(["authorization_code"])));
    assert_eq!(own["id_token_signing_alg_values_supported"], json!(["ES256", "RS256"]));
    assert_eq!(own["issuer"], phone.issuer());
    let lead = read("/application/o/wiki/").await.assert_status(302);
    assert_eq!(lead.header("location"), Some(format!("{}.well-known/openid-configuration", wiki.issuer()).as_str()));
    crate::guard::world::add_app(&app, "plain", json!({"allow": "signed_in"}), json!({"hosts": ["plain.example"]})).await;
    assert_eq!(read("/application/o/plain/.well-known/openid-configuration").await.status, 404, "it has no client");
    assert_eq!(read("/application/o/plain/jwks/").await.status, 200);
});
