//! Clients in authentik's API: added, given to applications, changed, and their secrets.

use std::time::Duration;

use authentik_client::apis::configuration::Configuration;
use authentik_client::apis::{core_api, crypto_api, flows_api, propertymappings_api, providers_api};
use authentik_client::models;
use rollcall::actions::applications::clients::{add_secret, remove_old_secrets};
use rollcall::actions::by::By;
use rollcall::actions::oidc::clients::{Authenticated, Shown, authenticate};
use rollcall::domain::PlainSecret;
use rollcall::domain::caller::Actor;
use rollcall::domain::user::TokenIntent;
use serde_json::{Value, json};

use crate::api::at_once::assert_both_stay;
use crate::guard::world::{Browser, HOME, PAGE, add_app, server, server_with};
use crate::oidc::app::{App, CALLBACK, register};
use crate::support::{Caller, TestApp};

const CLIENTS: &str = "/api/v3/providers/oauth2/";
const APPLICATIONS: &str = "/api/v3/core/applications/";
const SCOPES: &str = "/api/v3/propertymappings/provider/scope/";
const CHOSEN: &str = "a-secret-that-was-chosen-elsewhere-0123456789";

async fn flow(admin: &Caller, slug: &str) -> String {
    let flow = admin.get(&format!("/api/v3/flows/instances/default-provider-{slug}/")).await.assert_status(200).json();
    flow["pk"].as_str().unwrap().to_owned()
}

async fn client_body(admin: &Caller, with: Value) -> Value {
    let mut body = json!({
        "name": "A client", "authorization_flow": flow(admin, "authorization-implicit-consent").await,
        "invalidation_flow": flow(admin, "invalidation-flow").await,
        "redirect_uris": [{"matching_mode": "strict", "url": CALLBACK}],
    });
    body.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
    body
}

/// The app of a client that the API made, and gave to an application.
async fn app_of<'a>(app: &'a TestApp, admin: &Caller, slug: &'static str, made: &Value) -> App<'a> {
    let wanted = json!({"name": slug, "slug": slug, "provider": made["pk"]});
    let given = admin.post_json(APPLICATIONS, &wanted).await.assert_status(201).json();
    assert_eq!((&given["provider"], &given["provider_obj"]["pk"]), (&made["pk"], &made["pk"]));
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    App { app, slug, id: text("client_id"), secret: text("client_secret") }
}

db_test!(a_client_made_by_automation_signs_users_in, |db| async move {
    let app = server(db).await;
    app.seed_keys().await;
    app.user("alice").await;
    let admin = app.admin_token().await;
    let made = admin.post_json(CLIENTS, &client_body(&admin, json!({})).await).await.assert_status(201).json();
    for (name, want) in [
        ("client_type", json!("confidential")),
        ("grant_types", json!(["authorization_code", "refresh_token"])),
        ("access_code_validity", json!("minutes=1")),
        ("access_token_validity", json!("minutes=5")),
        ("refresh_token_validity", json!("days=30")),
        ("include_claims_in_id_token", json!(true)),
        ("sub_mode", json!("hashed_user_id")),
        ("issuer_mode", json!("per_provider")),
        ("property_mappings", json!([])),
        ("signing_key", Value::Null),
        ("encryption_key", Value::Null),
        ("component", json!("ak-provider-oauth2-form")),
        ("verbose_name", json!("OAuth2/OpenID Provider")),
        ("meta_model_name", json!("authentik_providers_oauth2.oauth2provider")),
        ("assigned_application_slug", Value::Null),
        ("redirect_uris", json!([{"matching_mode": "strict", "url": CALLBACK, "redirect_uri_type": "authorization"}])),
    ] {
        assert_eq!(made[name], want, "{name}");
    }
    assert_eq!((made["client_id"].as_str().unwrap().len(), made["client_secret"].as_str().unwrap().len()), (40, 43));
    let browser = Browser::of(&app, "alice").await;
    let wiki = App { app: &app, slug: "wiki", id: made["client_id"].as_str().unwrap().to_owned(), secret: String::new() };
    let early = browser.send("GET", HOME, &wiki.request(&[]), &PAGE).await;
    assert_eq!(early.status, 400, "without an application it opens nothing");
    let wiki = app_of(&app, &admin, "wiki", &made).await;
    // Automation that was made for authentik asks for no challenge.
    let code = wiki.code(&browser, &[("code_challenge", None), ("code_challenge_method", None)]).await;
    let grant = [("grant_type", "authorization_code"), ("code", code.as_str()), ("redirect_uri", CALLBACK)];
    let tokens = wiki.call("/application/o/token/", &grant).await.assert_status(200).json();
    assert_eq!(wiki.claims(&tokens).await["preferred_username"], "alice");

    let url = format!("{CLIENTS}{}/", made["pk"]);
    let shown = admin.get(&url).await.assert_status(200).json();
    assert_eq!((&shown["client_secret"], &shown["assigned_application_slug"]), (&json!(""), &json!("wiki")));
    // What was read can be written, and changes nothing.
    let again = admin.send_json("PUT", &url, &shown).await.assert_status(200).json();
    assert_eq!(again, shown);
    assert!(wiki.is_active(tokens["access_token"].as_str().unwrap()).await);
    let addresses = admin.get(&format!("{url}setup_urls/")).await.assert_status(200).json();
    assert_eq!((&addresses["issuer"], &addresses["dcr_registration"]), (&json!(wiki.issuer()), &Value::Null));
    for name in ["authorize", "token", "user_info", "provider_info", "logout", "jwks"] {
        let path = addresses[name].as_str().unwrap().strip_prefix("https://id.example").unwrap().to_owned();
        assert_ne!(browser.send("GET", HOME, &path, &[]).await.status, 404, "{name}");
    }
    assert_eq!(admin.get(&format!("{url}used_by/")).await.assert_status(200).json(), json!([]));
    assert_eq!(admin.get("/api/v3/providers/all/").await.count(), 1);
    let one = admin.get(&format!("/api/v3/providers/all/{}/", made["pk"])).await.assert_status(200).json();
    assert_eq!(one["verbose_name"], "OAuth2/OpenID Provider");

    // The application goes, the client stays and opens nothing; nothing of before counts when it has another one.
    let unused = wiki.code(&browser, &[]).await;
    admin.delete(&format!("{APPLICATIONS}wiki/")).await.assert_status(204);
    assert_eq!(wiki.userinfo(&tokens["access_token"]).await.status, 401);
    assert_eq!(wiki.redeem(&unused).await.status, 401, "the client is unknown");
    assert_eq!(admin.get(&format!("{CLIENTS}?application__isnull=true")).await.count(), 1);
    let shop = app_of(&app, &admin, "shop", &made).await;
    assert_eq!(shop.redeem(&unused).await.assert_status(400).json()["error"], "invalid_grant");
    let tokens = shop.tokens(&browser).await;
    admin.delete(&url).await.assert_status(204);
    admin.get(&url).await.assert_detail(404, "No OAuth2Provider matches the given query.");
    assert_eq!(shop.userinfo(&tokens["access_token"]).await.status, 401);
    assert_eq!(admin.get(&format!("{APPLICATIONS}shop/")).await.json()["provider"], Value::Null);
});

db_test!(the_secret_of_a_client_is_shown_by_the_call_that_sets_it, |db| async move {
    let app = server(db).await;
    app.seed_keys().await;
    app.user("alice").await;
    let admin = app.admin_token().await;
    let auditor = app.auditor("auditor").await.token().await;
    let made =
        admin.post_json(CLIENTS, &client_body(&admin, json!({"client_secret": CHOSEN})).await).await.assert_status(201).json();
    assert_eq!(made["client_secret"], CHOSEN);
    let wiki = app_of(&app, &admin, "wiki", &made).await;
    let url = format!("{CLIENTS}{}/", made["pk"]);
    let change = async |with: Value| admin.send_json("PATCH", &url, &with).await.assert_status(200).json()["client_secret"].clone();
    for (with, want) in
        [(json!({"name": "Another name"}), ""), (json!({"client_secret": ""}), ""), (json!({"client_secret": CHOSEN}), "")]
    {
        assert_eq!(change(with.clone()).await, want, "{with}");
    }
    assert!(!wiki.is_active("x").await, "it is good still");
    let newer = CHOSEN.to_uppercase();
    assert_eq!(change(json!({"client_secret": newer})).await, newer);
    let introspect = "/application/o/introspect/";
    assert_eq!(wiki.call(introspect, &[("token", "x")]).await.status, 401, "the one before is over at once");
    let newer_app = App { app: &app, slug: "wiki", id: wiki.id.clone(), secret: newer.clone() };
    assert!(!newer_app.is_active("x").await);
    // A public client keeps none, and gets a new one when it is one no more.
    assert_eq!(change(json!({"client_type": "public", "client_secret": CHOSEN})).await, "");
    assert_eq!(app.number("SELECT count(*) FROM client_secrets").await, 0);
    let drawn = change(json!({"client_type": "confidential"})).await;
    assert_eq!(drawn.as_str().unwrap().len(), 43);
    for caller in [&admin, &auditor] {
        for path in [url.as_str(), CLIENTS, APPLICATIONS, "/api/v3/providers/all/", "/api/v3/events/events/"] {
            let text = caller.get(path).await.assert_status(200).text();
            for secret in [CHOSEN, &newer, drawn.as_str().unwrap()] {
                assert!(!text.contains(secret), "{path}");
            }
        }
    }
    let other =
        admin.post_json(CLIENTS, &client_body(&admin, json!({"client_secret": drawn})).await).await.assert_status(400).json();
    assert!(
        other["client_secret"][0].as_str().unwrap().contains("another client")
            || other["client_secret"][0].as_str().unwrap().contains("Another client"),
        "{other}"
    );
    assert_eq!(app.number("SELECT count(*) FROM client_secrets WHERE sealed IS NOT NULL").await, 0);
    assert_eq!(app.latest("client_secret_added").await.len(), 3);
});

db_test!(a_setting_lets_administrators_read_secrets_again, |db| async move {
    let app = server_with(db, &[("API__READABLE_SECRETS", "true")]).await;
    let admin = app.admin_token().await;
    let auditor = app.auditor("auditor").await.token().await;
    let made = admin.post_json(CLIENTS, &client_body(&admin, json!({})).await).await.assert_status(201).json();
    let url = format!("{CLIENTS}{}/", made["pk"]);
    assert_eq!(admin.get(&url).await.json()["client_secret"], made["client_secret"]);
    assert_eq!(admin.get(CLIENTS).await.json()["results"][0]["client_secret"], made["client_secret"]);
    assert_eq!(auditor.get(&url).await.json()["client_secret"], "");
    assert_eq!(auditor.get(CLIENTS).await.json()["results"][0]["client_secret"], "");
    let changed = admin.send_json("PUT", &url, &admin.get(&url).await.json()).await.assert_status(200).json();
    assert_eq!(changed["client_secret"], made["client_secret"], "what was read is written");
    for path in ["/api/v3/providers/all/", APPLICATIONS] {
        assert!(!admin.get(path).await.text().contains(made["client_secret"].as_str().unwrap()), "{path}");
    }
    // Those that were made elsewhere were never kept.
    let own = register(&app, "own", json!({})).await;
    let shown = admin.get(&format!("{CLIENTS}?client_id={}", own.id)).await.json()["results"][0].clone();
    assert_eq!(shown["client_secret"], "");
    let caller = app.user("alice").await.token().await;
    caller.get(CLIENTS).await.assert_status(403);
});

db_test!(a_client_that_would_mean_something_else_is_refused, |db| async move {
    let app = server(db).await;
    let admin = app.admin_token().await;
    let taken = admin.post_json(CLIENTS, &client_body(&admin, json!({"client_id": "taken"})).await).await.assert_status(201).json();
    let uri = |uri: &str| json!({"redirect_uris": [{"matching_mode": "strict", "url": uri}]});
    let uuid = "00000000-0000-4000-8000-000000000001";
    for (with, field) in [
        (json!({"redirect_uris": [{"matching_mode": "regex", "url": ".*"}]}), "redirect_uris"),
        (json!({"redirect_uris": [{"matching_mode": "other", "url": CALLBACK}]}), "redirect_uris"),
        (json!({"redirect_uris": [{"url": CALLBACK}]}), "redirect_uris"),
        (json!({"redirect_uris": [{"matching_mode": "strict"}]}), "redirect_uris"),
        (json!({"redirect_uris": [CALLBACK]}), "redirect_uris"),
        (json!({"redirect_uris": CALLBACK}), "redirect_uris"),
        (json!({"redirect_uris": []}), "redirect_uris"),
        (json!({"redirect_uris": [{"matching_mode": "strict", "url": CALLBACK, "redirect_uri_type": "logout"}]}), "redirect_uris"),
        (uri("http://app.example/cb"), "redirect_uris"),
        (uri("https://*.example/cb"), "redirect_uris"),
        (uri("javascript:alert(1)"), "redirect_uris"),
        (json!({"issuer_mode": "global"}), "issuer_mode"),
        (json!({"issuer_mode": "x"}), "issuer_mode"),
        (json!({"encryption_key": uuid}), "encryption_key"),
        (json!({"jwt_federation_sources": [uuid]}), "jwt_federation_sources"),
        (json!({"jwt_federation_providers": [1]}), "jwt_federation_providers"),
        (json!({"logout_method": "frontchannel"}), "logout_method"),
        (json!({"logout_uri": "http://app.example/told"}), "logout_uri"),
        (json!({"logout_uri": "https://id.example/told"}), "logout_uri"),
        (json!({"sub_mode": "user_upn"}), "sub_mode"),
        (json!({"sub_mode": "x"}), "sub_mode"),
        (json!({"client_type": "x"}), "client_type"),
        (json!({"grant_types": ["authorization_code", "implicit"]}), "grant_types"),
        (json!({"grant_types": ["authorization_code", "client_credentials"]}), "grant_types"),
        (json!({"grant_types": ["authorization_code", "password"]}), "grant_types"),
        (json!({"grant_types": ["refresh_token"]}), "grant_types"),
        (json!({"grant_types": []}), "grant_types"),
        (json!({"grant_types": ["x"]}), "grant_types"),
        (json!({"property_mappings": [uuid]}), "property_mappings"),
        (json!({"property_mappings": ["x"]}), "property_mappings"),
        (json!({"client_secret": "short"}), "client_secret"),
        (json!({"client_secret": "x".repeat(256)}), "client_secret"),
        (json!({"client_secret": format!("{CHOSEN} with blanks")}), "client_secret"),
        (json!({"client_id": "a:b"}), "client_id"),
        (json!({"client_id": ""}), "client_id"),
        (json!({"client_id": "taken"}), "client_id"),
        (json!({"access_code_validity": "minutes=11"}), "access_code_validity"),
        (json!({"access_token_validity": "days=2"}), "access_token_validity"),
        (json!({"access_token_validity": "seconds=0"}), "access_token_validity"),
        (json!({"access_token_validity": "minutes=-5"}), "access_token_validity"),
        (json!({"refresh_token_validity": "1d"}), "refresh_token_validity"),
        (json!({"refresh_token_threshold": "x"}), "refresh_token_threshold"),
        (json!({"authorization_flow": "x"}), "authorization_flow"),
        (json!({"signing_key": "x"}), "signing_key"),
        (json!({"name": ""}), "name"),
    ] {
        let answer = admin.post_json(CLIENTS, &client_body(&admin, with.clone()).await).await.assert_status(400).json();
        assert_eq!(answer.as_object().unwrap().keys().collect::<Vec<_>>(), [field], "{with}: {answer}");
        let url = format!("{CLIENTS}{}/", taken["pk"]);
        if field != "client_id" {
            let answer = admin.send_json("PATCH", &url, &with).await.assert_status(400).json();
            assert_eq!(answer.as_object().unwrap().keys().collect::<Vec<_>>(), [field], "{with}: {answer}");
        }
    }
    let missing = admin.post_json(CLIENTS, &json!({})).await.assert_status(400).json();
    let fields: Vec<&String> = missing.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["authorization_flow", "invalidation_flow", "name", "redirect_uris"]);
    assert_eq!(admin.get(CLIENTS).await.count(), 1, "nothing was made");
    let reader = app.auditor("reader").await.token().await;
    reader.post_json(CLIENTS, &client_body(&admin, json!({})).await).await.assert_status(403);
});

db_test!(what_a_client_is_comes_back_as_it_was_sent, |db| async move {
    let app = server(db).await;
    let admin = app.admin_token().await;
    let scopes = admin.get(&format!("{SCOPES}?ordering=-scope_name")).await.assert_status(200).json();
    let key = |name: &str| {
        let rows = scopes["results"].as_array().unwrap();
        rows.iter().find(|row| row["scope_name"] == name).unwrap()["pk"].clone()
    };
    let pair = admin.get("/api/v3/crypto/certificatekeypairs/?has_key=true").await.json()["results"][0]["pk"].clone();
    let with = json!({
        "client_type": "public", "client_id": "my-client", "sub_mode": "user_username",
        "access_code_validity": "hours=0;minutes=2", "access_token_validity": "seconds=90", "refresh_token_validity": "hours=36",
        "refresh_token_threshold": "hours=1", "include_claims_in_id_token": false, "signing_key": pair,
        "logout_uri": "https://app.example/told", "logout_method": "backchannel",
        "property_mappings": [key("email"), key("openid")], "grant_types": ["authorization_code"],
        "authorization_flow": flow(&admin, "authorization-explicit-consent").await,
        "redirect_uris": [
            {"matching_mode": "strict", "url": CALLBACK, "redirect_uri_type": "authorization"},
            {"matching_mode": "strict", "url": "https://app.example/bye", "redirect_uri_type": "logout"},
        ],
    });
    let made = admin.post_json(CLIENTS, &client_body(&admin, with.clone()).await).await.assert_status(201).json();
    for (name, want) in with.as_object().unwrap() {
        assert_eq!(&made[name], want, "{name}");
    }
    assert_eq!(made["client_secret"], "");
    admin.post_json(APPLICATIONS, &json!({"name": "Wiki", "slug": "wiki", "provider": made["pk"]})).await.assert_status(201);
    let stored = app.app.store.applications().await.unwrap().by_client("my-client").unwrap().client.clone().unwrap().client;
    assert_eq!(stored.scopes, ["openid", "email"], "the mappings are the scopes");
    assert_eq!((stored.code_lifetime, stored.access_lifetime, stored.refresh_lifetime), (120, 90, 129_600));
    assert_eq!((stored.consent.as_str(), stored.refresh, stored.post_logout_uris.len()), ("always", false, 1));
    // An application may have both parts; the API shows the client.
    add_app(&app, "both", json!({"allow": "signed_in"}), json!({"hosts": ["both.example"]})).await;
    let both = format!("{APPLICATIONS}both/");
    let guard = admin.get(&both).await.json()["provider"].clone();
    let own = register(&app, "own", json!({})).await;
    let taken = admin.get(&format!("{CLIENTS}?client_id={}", own.id)).await.json()["results"][0]["pk"].clone();
    let refused = admin.send_json("PATCH", &both, &json!({"provider": taken})).await.assert_status(400).json();
    assert_eq!(refused["provider"], json!(["Application with this provider already exists."]));
    let free = admin.post_json(CLIENTS, &client_body(&admin, json!({})).await).await.json()["pk"].clone();
    let swapped = admin.send_json("PATCH", &both, &json!({"provider": free})).await.assert_status(200).json();
    assert_eq!(swapped["provider"], free, "in place of the guard");
    assert_eq!(admin.get("/api/v3/providers/proxy/?application__isnull=true").await.count(), 1);
    let back = admin.send_json("PATCH", &both, &json!({"provider": guard})).await.assert_status(200).json();
    assert_eq!(back["provider_obj"]["verbose_name"], "Proxy Provider");
    assert_eq!(admin.get(&format!("{CLIENTS}?application__isnull=true")).await.count(), 1);
    for (query, count) in [
        ("client_type=public", 1),
        ("search=CLIENT", 2),
        ("name=A client", 2),
        ("sub_mode=user_username", 1),
        ("include_claims_in_id_token=false", 1),
        ("client_id=my-client", 1),
        ("access_token_validity=seconds=90", 1),
        (&format!("property_mappings={}", key("email").as_str().unwrap()), 1),
        ("ordering=-pk", 3),
    ] {
        assert_eq!(admin.get(&format!("{CLIENTS}?{}", query.replace(' ', "%20"))).await.count(), count, "{query}");
    }
    for bad in ["client_type=x", "sub_mode=x", "signing_key=x", "property_mappings=x", "application=x"] {
        admin.get(&format!("{CLIENTS}?{bad}")).await.assert_status(400);
    }
});

db_test!(authentiks_own_client_makes_an_application_with_a_client, |db| async move {
    let app = server(db).await;
    let key = app.superuser("root").await.token_key(TokenIntent::Api, None).await;
    let api = Configuration {
        base_path: format!("{}/api/v3", app.origin()),
        client: app.anonymous().client().into(),
        bearer_access_token: Some(key),
        ..Configuration::default()
    };
    let flow = async |slug: &str| flows_api::flows_instances_retrieve(&api, &format!("default-provider-{slug}")).await.unwrap().pk;
    let managed = ["openid", "email", "profile"].map(|scope| format!("goauthentik.io/providers/oauth2/scope-{scope}"));
    let mappings = propertymappings_api::propertymappings_provider_scope_list(
        &api,
        Some(managed.to_vec()),
        None,
        None,
        None,
        None,
        None,
        None,
        None,
    );
    let mappings: Vec<_> = mappings.await.unwrap().results.into_iter().map(|row| row.pk).collect();
    assert_eq!(mappings.len(), 3);
    let name = Some("authentik Self-signed Certificate");
    let pairs =
        crypto_api::crypto_certificatekeypairs_list(&api, Some(true), None, None, name, None, None, None, None).await.unwrap();
    let address = models::RedirectUriRequest {
        matching_mode: models::MatchingModeEnum::Strict,
        url: CALLBACK.into(),
        redirect_uri_type: None,
    };
    let (authorization, invalidation) = (flow("authorization-implicit-consent").await, flow("invalidation-flow").await);
    let mut wanted = models::OAuth2ProviderRequest::new("Wiki".into(), authorization, invalidation, vec![address]);
    wanted.property_mappings = Some(mappings.clone());
    wanted.signing_key = Some(Some(pairs.results[0].pk));
    wanted.client_type = Some(models::ClientTypeEnum::Confidential);
    let made = providers_api::providers_oauth2_create(&api, wanted.clone()).await.unwrap();
    let (mut sent, mut given) = (mappings, made.property_mappings.clone().unwrap());
    sent.sort();
    given.sort();
    assert_eq!(sent, given);
    let mut application = models::ApplicationRequest::new("Wiki".into(), "wiki".into());
    application.provider = Some(Some(made.pk));
    let application = core_api::core_applications_create(&api, application).await.unwrap();
    assert_eq!(application.provider_obj.unwrap().pk, made.pk);
    let shown = providers_api::providers_oauth2_retrieve(&api, made.pk).await.unwrap();
    assert_eq!((shown.client_id, shown.client_secret.as_deref()), (made.client_id, Some("")));
    let urls = providers_api::providers_oauth2_setup_urls_retrieve(&api, made.pk).await.unwrap();
    assert_eq!(urls.issuer, "https://id.example/application/o/wiki/");
    wanted.name = "Wiki, renamed".into();
    let renamed = providers_api::providers_oauth2_update(&api, made.pk, wanted).await.unwrap();
    assert_eq!((renamed.name.as_str(), renamed.assigned_application_slug.as_deref()), ("Wiki, renamed", Some("wiki")));
    providers_api::providers_oauth2_destroy(&api, made.pk).await.unwrap();
    assert!(providers_api::providers_oauth2_retrieve(&api, made.pk).await.is_err());
});

db_test!(what_another_node_changed_of_a_client_holds_at_the_next_call, |db| async move {
    let is_sqlite = db.is_sqlite();
    let app = server(db).await;
    let wiki = register(&app, "wiki", json!({})).await;
    // One process has a file of SQLite.
    let other =
        if is_sqlite { app.app.clone() } else { app.restarted(&[("HTTP__PUBLIC_URL", format!("https://{HOME}").as_str())]).await };
    let is_known = async |client: &App<'_>, secret: &str| {
        let shown = Shown { id: client.id.clone(), secrets: vec![PlainSecret::from_text(secret)] };
        match authenticate(&other, &shown, &Actor::system()).await.unwrap() {
            Authenticated::Known(known) => Some(known.application.name.clone()),
            _ => None,
        }
    };
    assert_eq!(is_known(&wiki, &wiki.secret).await.as_deref(), Some("The wiki"));
    assert_eq!(is_known(&wiki, "of-nobody").await, None);
    // One that was added since the other node read them.
    let shop = register(&app, "shop", json!({})).await;
    assert_eq!(is_known(&shop, &shop.secret).await.as_deref(), Some("The shop"));
    assert_eq!(is_known(&shop, &wiki.secret).await, None);
    let admin = app.admin_token().await;
    admin.send_json("PATCH", &format!("{APPLICATIONS}wiki/"), &json!({"name": "Renamed"})).await.assert_status(200);
    assert_eq!(is_known(&wiki, &wiki.secret).await.as_deref(), Some("Renamed"));
    // The newest secret is told by its time.
    app.advance(Duration::from_secs(1));
    let next = add_secret(&app.app, By::Cli, "wiki").await.unwrap();
    assert_eq!(is_known(&wiki, next.expose()).await.as_deref(), Some("Renamed"));
    remove_old_secrets(&app.app, By::Cli, "wiki").await.unwrap();
    assert_eq!(is_known(&wiki, &wiki.secret).await, None);
    admin.delete(&format!("{APPLICATIONS}wiki/")).await.assert_status(204);
    assert_eq!(is_known(&wiki, next.expose()).await, None);
});

db_test!(changes_of_a_client_that_arrive_together_stay, |db| async move {
    let app = server(db).await;
    app.seed_keys().await;
    let admin = app.admin_token().await;
    let made = admin.post_json(CLIENTS, &client_body(&admin, json!({})).await).await.assert_status(201).json();
    let of = |round: i64| {
        let is_even = round % 2 == 0;
        let mode = if is_even { "user_username" } else { "hashed_user_id" };
        [json!({"sub_mode": mode}), json!({"include_claims_in_id_token": !is_even})]
    };
    assert_both_stay(&admin, &format!("{CLIENTS}{}/", made["pk"]), of).await;
});
