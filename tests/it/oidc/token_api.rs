//! Tokens of apps and consents in authentik's API: seen and taken back by their user and by administrators.

use authentik_client::apis::configuration::Configuration;
use authentik_client::apis::{core_api, oauth2_api};
use rollcall::domain::user::TokenIntent;
use serde_json::{Value, json};

use crate::guard::world::{Browser, HOME, PAGE, server};
use crate::oidc::app::{register, returned};
use crate::support::encode;

const ACCESS: &str = "/api/v3/oauth2/access_tokens/";
const REFRESH: &str = "/api/v3/oauth2/refresh_tokens/";
const CONSENTS: &str = "/api/v3/core/user_consent/";

db_test!(tokens_of_apps_are_seen_and_taken_back_by_their_user, |db| async move {
    let app = server(db).await;
    app.seed_keys().await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let (wiki, shop) = (register(&app, "wiki", json!({})).await, register(&app, "shop", json!({})).await);
    let (one, other) = (Browser::of(&app, "alice").await, Browser::of(&app, "bob").await);
    let tokens = wiki.tokens(&one).await;
    shop.tokens(&one).await;
    let bobs = wiki.tokens(&other).await;
    let (mine, theirs) = (alice.token().await, bob.token().await);
    let (admin, auditor) = (app.admin_token().await, app.auditor("auditor").await.token().await);
    for list in [ACCESS, REFRESH] {
        assert_eq!((mine.get(list).await.count(), theirs.get(list).await.count()), (2, 1));
        assert_eq!((admin.get(list).await.count(), auditor.get(list).await.count()), (3, 3));
        assert_eq!(mine.get(&format!("{list}?user={}", bob.id.0)).await.count(), 0);
        assert_eq!(admin.get(&format!("{list}?user={}", bob.id.0)).await.count(), 1);
        let page = admin.get(&format!("{list}?page_size=2&page=2")).await.assert_status(200).json();
        assert_eq!(page["results"].as_array().unwrap().len(), 1);
        let text = admin.get(list).await.text();
        for name in ["access_token", "refresh_token"] {
            assert!(!text.contains(tokens[name].as_str().unwrap()), "no value of a token");
        }
    }
    let provider = mine.get(ACCESS).await.json()["results"][1]["provider"]["pk"].clone();
    let row = mine.get(&format!("{ACCESS}?provider={provider}")).await.json()["results"][0].clone();
    assert_eq!((&row["provider"]["assigned_application_slug"], &row["user"]["username"]), (&json!("wiki"), &json!("alice")));
    assert_eq!((&row["revoked"], &row["is_expired"]), (&json!(false), &json!(false)));
    assert_eq!(row["scope"], json!(["openid", "profile", "email", "offline_access"]));
    let claims: Value = serde_json::from_str(row["id_token"].as_str().unwrap()).unwrap();
    assert_eq!((&claims["sub"], &claims["preferred_username"]), (&wiki.claims(&tokens).await["sub"], &json!("alice")));

    let url = format!("{ACCESS}{}/", row["pk"]);
    assert_eq!(mine.get(&url).await.assert_status(200).json(), row);
    assert_eq!(mine.get(&format!("{url}used_by/")).await.assert_status(200).json(), json!([]));
    for path in [&url, &format!("{url}used_by/")] {
        theirs.get(path).await.assert_detail(404, "No AccessToken matches the given query.");
    }
    theirs.delete(&url).await.assert_status(404);
    auditor.delete(&url).await.assert_status(403);
    mine.get(&format!("{REFRESH}{}/", row["pk"])).await.assert_status(404);
    mine.delete(&url).await.assert_status(204);
    assert_eq!(wiki.userinfo(&tokens["access_token"]).await.status, 401);
    // The refresh token is another matter: with it goes everything that follows from the same code.
    let next = wiki.refresh(tokens["refresh_token"].as_str().unwrap()).await.assert_status(200).json();
    let refresh = mine.get(&format!("{REFRESH}?provider={provider}")).await.json()["results"][0]["pk"].clone();
    admin.delete(&format!("{REFRESH}{refresh}/")).await.assert_status(204);
    assert_eq!(wiki.userinfo(&next["access_token"]).await.status, 401);
    assert_eq!(wiki.refresh(next["refresh_token"].as_str().unwrap()).await.status, 400);
    assert_eq!(wiki.userinfo(&bobs["access_token"]).await.status, 200, "nobody else's");
    assert_eq!(admin.get("/api/v3/oauth2/authorization_codes/").await.count(), 0);
    for bad in ["x", "1.5"] {
        mine.get(&format!("{ACCESS}{bad}/")).await.assert_status(404);
    }
});

db_test!(consents_are_seen_and_taken_back, |db| async move {
    let app = server(db).await;
    app.seed_keys().await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let wiki = register(&app, "wiki", json!({"consent": "once"})).await;
    let browser = Browser::of(&app, "alice").await;
    let led = browser.send("GET", HOME, &wiki.request(&[]), &PAGE).await;
    let to = led.redirects_to().to_owned();
    let page = browser.send("GET", HOME, &to, &PAGE).await.assert_status(200);
    let question = crate::oidc::app::pairs_of(&to)["question"].clone();
    let form = format!("proof={}&question={}&decision=allow", page.proof(), encode(&question));
    browser.post(HOME, "/consent", &form).await.assert_status(303);
    let code = returned(&browser.send("GET", HOME, &wiki.request(&[]), &PAGE).await.assert_status(302)).remove("code").unwrap();
    let tokens = wiki.redeem(&code).await.assert_status(200).json();
    let (mine, theirs, admin) = (alice.token().await, bob.token().await, app.admin_token().await);
    let auditor = app.auditor("auditor").await.token().await;
    assert_eq!((mine.get(CONSENTS).await.count(), theirs.get(CONSENTS).await.count()), (1, 0));
    assert_eq!((admin.get(CONSENTS).await.count(), auditor.get(CONSENTS).await.count()), (1, 1));
    let row = mine.get(CONSENTS).await.json()["results"][0].clone();
    assert_eq!(
        (&row["permissions"], &row["expires"], &row["expiring"]),
        (&json!("openid profile email offline_access"), &Value::Null, &json!(false))
    );
    assert_eq!((&row["user"]["username"], &row["application"]["slug"]), (&json!("alice"), &json!("wiki")));
    for (query, count) in [
        (format!("user={}", alice.id.0), 1),
        (format!("user={}", bob.id.0), 0),
        (format!("application={}", row["application"]["pk"].as_str().unwrap()), 1),
        ("application=00000000-0000-4000-8000-000000000001".to_owned(), 0),
    ] {
        assert_eq!(admin.get(&format!("{CONSENTS}?{query}")).await.count(), count, "{query}");
    }
    let url = format!("{CONSENTS}{}/", row["pk"]);
    theirs.get(&url).await.assert_status(404);
    theirs.delete(&url).await.assert_status(404);
    auditor.delete(&url).await.assert_status(403);
    let key = app.superuser("root").await.token_key(TokenIntent::Api, None).await;
    let api = Configuration {
        base_path: format!("{}/api/v3", app.origin()),
        client: app.anonymous().client().into(),
        bearer_access_token: Some(key),
        ..Configuration::default()
    };
    let listed = oauth2_api::oauth2_access_tokens_list(&api, None, None, None, None, None, None).await.unwrap();
    assert_eq!((listed.results.len(), listed.results[0].scope.len()), (1, 4));
    let consent = core_api::core_user_consent_list(&api, None, None, None, None, None, None).await.unwrap();
    assert_eq!(consent.results[0].application.slug, "wiki");
    core_api::core_user_consent_destroy(&api, consent.results[0].pk).await.unwrap();
    mine.get(&url).await.assert_detail(404, "No UserConsent matches the given query.");
    assert_eq!(wiki.userinfo(&tokens["access_token"]).await.status, 401, "the app has ended in all sessions");
    assert_eq!((app.latest("consent_withdrawn").await.len(), app.number("SELECT count(*) FROM app_sessions").await), (1, 0));
});
