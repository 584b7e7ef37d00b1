//! The API of applications: authentik's addresses, and ours for app sessions.

use rollcall::domain::Permission;
use serde_json::{Value, json};

use super::{add, open, server};
use crate::support::{Caller, SESSIONS};

const APPLICATIONS: &str = "/api/v3/core/applications/";
const BINDINGS: &str = "/api/v3/policies/bindings/";
const GUARDS: &str = "/api/v3/providers/proxy/";
const APP_SESSIONS: &str = "/api/v3/core/app_sessions/";

fn slugs(answer: &Value) -> Vec<&str> {
    answer["results"].as_array().unwrap().iter().map(|row| row["slug"].as_str().unwrap()).collect()
}

/// The primary keys of the flows that providers name.
async fn flows(admin: &Caller) -> [String; 2] {
    let mut keys = Vec::new();
    for slug in ["default-provider-authorization-implicit-consent", "default-provider-invalidation-flow"] {
        let flow = admin.get(&format!("/api/v3/flows/instances/{slug}/")).await.assert_status(200).json();
        keys.push(flow["pk"].as_str().unwrap().to_owned());
    }
    keys.try_into().unwrap()
}

async fn guard(admin: &Caller, with: Value) -> Value {
    let [authorization, invalidation] = flows(admin).await;
    let mut body = json!({
        "name": "A proxy", "authorization_flow": authorization, "invalidation_flow": invalidation,
        "external_host": "https://wiki.example.com", "mode": "forward_single",
    });
    body.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
    body
}

db_test!(an_application_made_as_authentik_does_opens_until_its_first_binding, |db| async move {
    let app = server(db).await;
    let (admin, alice, bob) = (app.admin_token().await, app.user("alice").await, app.user("bob").await);
    let made = admin.post_json(APPLICATIONS, &json!({"name": "Wiki", "slug": "wiki"})).await.assert_status(201).json();
    assert_eq!((&made["provider"], &made["launch_url"]), (&Value::Null, &Value::Null));
    assert_eq!(made["rollcall_access"]["allow"], "signed_in");
    let (mine, theirs) = (alice.token().await, bob.token().await);
    assert_eq!(slugs(&mine.get(APPLICATIONS).await.json()), ["wiki"]);
    // The first binding takes the place of everybody; the last one leaves nobody.
    let binding = json!({"target": made["pk"], "user": alice.id.0, "order": 3});
    let bound = admin.post_json(BINDINGS, &binding).await.assert_status(201).json();
    assert_eq!((&bound["user"], &bound["group"], &bound["order"]), (&json!(alice.id.0), &Value::Null, &json!(3)));
    assert_eq!(bound["user_obj"]["username"], "alice");
    assert_eq!(slugs(&mine.get(APPLICATIONS).await.json()), ["wiki"]);
    assert_eq!(slugs(&theirs.get(APPLICATIONS).await.json()), Vec::<&str>::new());
    let check = format!("{APPLICATIONS}wiki/check_access/");
    assert_eq!(mine.get(&check).await.json()["passing"], json!(true));
    let refused = theirs.get(&check).await.assert_status(200).json();
    assert_eq!(refused["passing"], json!(false));
    assert_eq!(refused["messages"], json!(["The user is not allowed, and is in no group that is."]));
    let for_alice = format!("{check}?for_user={}", alice.id.0);
    assert_eq!(admin.get(&for_alice).await.json()["passing"], json!(true));
    theirs.get(&for_alice).await.assert_status(403);
    admin.get(&format!("{check}?for_user=x")).await.assert_status(400);
    let url = format!("{BINDINGS}{}/", bound["pk"].as_str().unwrap());
    let changed = admin.send_json("PATCH", &url, &json!({"user": bob.id.0})).await.assert_status(200).json();
    assert_eq!((&changed["pk"], &changed["user"]), (&bound["pk"], &json!(bob.id.0)));
    assert_eq!(mine.get(&check).await.json()["passing"], json!(false));
    admin.delete(&url).await.assert_status(204);
    admin.get(&url).await.assert_status(404);
    assert_eq!(theirs.get(&check).await.json()["passing"], json!(false), "nobody, when the last one is gone");
});

db_test!(bindings_that_would_mean_something_else_are_refused, |db| async move {
    let app = server(db).await;
    let admin = app.admin_token().await;
    let alice = app.user("alice").await;
    let made = admin.post_json(APPLICATIONS, &json!({"name": "Wiki", "slug": "wiki"})).await.json();
    let wrong = async |with: Value| {
        let mut body = json!({"target": made["pk"], "user": alice.id.0, "order": 0});
        body.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
        let answer = admin.post_json(BINDINGS, &body).await.assert_status(400).json();
        answer.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(wrong(json!({"negate": true})).await, "negate");
    assert_eq!(wrong(json!({"enabled": false})).await, "enabled");
    assert_eq!(wrong(json!({"failure_result": true})).await, "failure_result");
    assert_eq!(wrong(json!({"policy": "00000000-0000-4000-8000-000000000001"})).await, "policy");
    assert_eq!(wrong(json!({"user": null})).await, "non_field_errors");
    assert_eq!(wrong(json!({"user": 4711})).await, "user");
    assert_eq!(wrong(json!({"target": "00000000-0000-4000-8000-000000000001"})).await, "target");
    assert_eq!(wrong(json!({"target": "x", "order": "y"})).await, "order target");
    let body = json!({"target": made["pk"], "user": alice.id.0, "order": 0});
    admin.post_json(BINDINGS, &body).await.assert_status(201);
    assert_eq!(wrong(json!({})).await, "non_field_errors", "once is enough");
    let filtered = admin.get(&format!("{BINDINGS}?target={}", made["pk"].as_str().unwrap())).await;
    assert_eq!(filtered.count(), 1);
    let other = "00000000-0000-4000-8000-000000000001";
    assert_eq!(admin.get(&format!("{BINDINGS}?target_in={other}")).await.count(), 0);
    assert_eq!(admin.get(&format!("{BINDINGS}?policy__isnull=false")).await.count(), 0);
    alice.token().await.get(BINDINGS).await.assert_status(403);
});

db_test!(applications_are_changed_by_administrators_alone, |db| async move {
    let app = server(db).await;
    let admin = app.admin_token().await;
    let alice = app.user("alice").await.token().await;
    let body = json!({
        "name": "Wiki", "slug": "Wiki", "meta_launch_url": "https://wiki.example.com/start", "meta_description": "Notes",
        "group": "Tools", "meta_hide": true, "open_in_new_tab": true, "rollcall_access": {"allow": "nobody", "factor": "mfa"},
    });
    alice.post_json(APPLICATIONS, &body).await.assert_status(403);
    let made = admin.post_json(APPLICATIONS, &body).await.assert_status(201).json();
    assert_eq!((&made["launch_url"], &made["meta_hide"]), (&json!("https://wiki.example.com/start"), &json!(true)));
    assert_eq!(admin.get(APPLICATIONS).await.count(), 0, "nobody may open it, administrators neither");
    let all = format!("{APPLICATIONS}?superuser_full_list=true");
    assert_eq!((admin.get(&all).await.count(), alice.get(&all).await.count()), (1, 0));
    assert_eq!(admin.get(&format!("{all}&search=notes")).await.count(), 1);
    assert_eq!(admin.get(&format!("{all}&slug=other")).await.count(), 0);
    let url = format!("{APPLICATIONS}wiki/");
    alice.get(&url).await.assert_status(403);
    let changed = admin.send_json("PATCH", &url, &json!({"slug": "docs"})).await.assert_status(200).json();
    assert_eq!((&changed["slug"], &changed["group"], &changed["pk"]), (&json!("docs"), &json!("Tools"), &made["pk"]));
    admin.get(&url).await.assert_detail(404, "No Application matches the given query.");
    admin.post_json(APPLICATIONS, &json!({"name": "x", "slug": "other"})).await.assert_status(201);
    for (with, field) in [
        (json!({"slug": "a b"}), "slug"),
        (json!({"slug": "DOCS"}), "slug"),
        (json!({"slug": "-"}), "slug"),
        (json!({"name": ""}), "name"),
        (json!({"provider": 4711}), "provider"),
        (json!({"provider": "x"}), "provider"),
        (json!({"backchannel_providers": [1]}), "backchannel_providers"),
        (json!({"policy_engine_mode": "all"}), "policy_engine_mode"),
        (json!({"meta_launch_url": "javascript:alert(1)"}), "meta_launch_url"),
        (json!({"rollcall_access": {"allow": "anyone"}}), "rollcall_access"),
        (json!({"rollcall_access": {"alow": "signed_in"}}), "rollcall_access"),
        (json!({"rollcall_access": {"countries": ["Atlantis"]}}), "rollcall_access"),
    ] {
        let answer = admin.send_json("PATCH", &format!("{APPLICATIONS}other/"), &with).await.assert_status(400).json();
        assert_eq!(answer.as_object().unwrap().keys().collect::<Vec<_>>(), [field], "{with}");
    }
    admin.delete(&format!("{APPLICATIONS}other/")).await.assert_status(204);
    admin.delete(&format!("{APPLICATIONS}other/")).await.assert_status(404);
});

db_test!(a_proxy_provider_is_a_guard, |db| async move {
    let app = server(db).await;
    let admin = app.admin_token().await;
    let body = guard(&admin, json!({"skip_path_regex": "^/public\n^/favicon\\.ico$", "intercept_header_auth": true})).await;
    let made = admin.post_json(GUARDS, &body).await.assert_status(201).json();
    assert_eq!((&made["mode"], &made["skip_path_regex"]), (&json!("forward_single"), &body["skip_path_regex"]));
    assert_eq!(made["assigned_application_slug"], Value::Null);
    let wiki = json!({"name": "Wiki", "slug": "wiki", "provider": made["pk"]});
    let wiki = admin.post_json(APPLICATIONS, &wiki).await.assert_status(201).json();
    assert_eq!((&wiki["provider"], &wiki["launch_url"]), (&made["pk"], &json!("https://wiki.example.com/")));
    assert_eq!(wiki["rollcall_access"]["app_passwords"], json!(true), "the provider asked for it");
    let stored = app.app.store.applications().await.unwrap();
    let rules = &stored.by_slug("wiki").unwrap().guard().unwrap().rules;
    assert_eq!(rules[0].paths.iter().map(ToString::to_string).collect::<Vec<_>>(), ["/public/**", "/favicon.ico"]);
    let url = format!("{GUARDS}{}/", made["pk"]);
    let shown = admin.get(&url).await.json();
    assert_eq!((&shown["assigned_application_slug"], &shown["intercept_header_auth"]), (&json!("wiki"), &json!(true)));
    // A whole domain, with Rollcall's own host as the address: the pattern alone.
    let domain = json!({"mode": "forward_domain", "cookie_domain": "example.com", "external_host": "http://login.example.com"});
    let changed = admin.send_json("PATCH", &url, &domain).await.assert_status(200).json();
    assert_eq!((&changed["mode"], &changed["cookie_domain"]), (&json!("forward_domain"), &json!("example.com")));
    let stored = app.app.store.applications().await.unwrap();
    let hosts = &stored.by_slug("wiki").unwrap().guard().unwrap().hosts;
    assert_eq!(hosts.iter().map(ToString::to_string).collect::<Vec<_>>(), ["*.example.com"]);
    // The rules of skipped paths are replaced, not gathered.
    admin.send_json("PATCH", &url, &json!({"skip_path_regex": ""})).await.assert_status(200);
    let stored = app.app.store.applications().await.unwrap();
    assert!(stored.by_slug("wiki").unwrap().guard().unwrap().rules.is_empty());
    let outpost = admin.get("/api/v3/outposts/instances/").await.assert_status(200).json();
    assert_eq!(
        (&outpost["results"][0]["name"], &outpost["results"][0]["providers"]),
        (&json!("authentik Embedded Outpost"), &json!([made["pk"]]))
    );
    let outpost = format!("/api/v3/outposts/instances/{}/", outpost["results"][0]["pk"].as_str().unwrap());
    admin.send_json("PATCH", &outpost, &json!({"providers": []})).await.assert_status(200);
    admin.delete(&outpost).await.assert_status(405);
    assert_eq!(admin.get("/api/v3/providers/all/").await.count(), 1);
    assert_eq!(admin.get("/api/v3/providers/all/?application__isnull=true").await.count(), 0);
    // The application goes, the provider stays; then it goes, too.
    admin.delete(&format!("{APPLICATIONS}wiki/")).await.assert_status(204);
    assert_eq!(admin.get("/api/v3/providers/all/?application__isnull=true").await.count(), 1);
    admin.delete(&url).await.assert_status(204);
    admin.get(&url).await.assert_detail(404, "No ProxyProvider matches the given query.");
});

db_test!(a_proxy_provider_that_means_something_else_is_refused, |db| async move {
    let app = server(db).await;
    let admin = app.admin_token().await;
    add(&app, "files", json!({}), "files.example.com").await;
    for (with, field) in [
        (json!({"mode": "proxy"}), "mode"),
        (json!({"mode": "other"}), "mode"),
        (json!({"skip_path_regex": "^/(a|b)"}), "skip_path_regex"),
        (json!({"basic_auth_enabled": true}), "basic_auth_enabled"),
        (json!({"jwt_federation_sources": ["00000000-0000-4000-8000-000000000001"]}), "jwt_federation_sources"),
        (json!({"external_host": "wiki"}), "external_host"),
        (json!({"external_host": "http://login.example.com"}), "external_host"),
        (json!({"external_host": "https://files.example.com"}), "external_host"),
        (json!({"mode": "forward_domain"}), "cookie_domain"),
        (json!({"authorization_flow": "x"}), "authorization_flow"),
        (json!({"name": ""}), "name"),
    ] {
        let body = guard(&admin, with.clone()).await;
        let answer = admin.post_json(GUARDS, &body).await.assert_status(400).json();
        assert_eq!(answer.as_object().unwrap().keys().collect::<Vec<_>>(), [field], "{with}");
    }
    let mut body = guard(&admin, json!({})).await;
    body.as_object_mut().unwrap().remove("mode");
    let answer = admin.post_json(GUARDS, &body).await.assert_status(400).json();
    assert!(answer["mode"][0].as_str().unwrap().contains("forward_single"), "authentik's default is proxy: {answer}");
    assert_eq!(admin.get(GUARDS).await.count(), 1);
});

db_test!(app_sessions_are_seen_and_ended_as_sessions_are, |db| async move {
    let app = server(db).await;
    let wiki = add(&app, "wiki", json!({"allow": "signed_in"}), "wiki.example.com").await;
    let (alice, bob) = (app.user("alice").await, app.user("bob").await);
    let (mine, theirs) = (alice.session().await, bob.session().await);
    for browser in [&mine, &theirs] {
        open(&app, &browser.uuid, &wiki, "wiki.example.com").await.unwrap();
    }
    let viewer = app.user_who_may("viewer", &[Permission::ViewSessions]).await.token().await;
    let ender = app.user_who_may("ender", &[Permission::ViewSessions, Permission::DeleteSessions]).await.token().await;
    assert_eq!((mine.get(APP_SESSIONS).await.count(), viewer.get(APP_SESSIONS).await.count()), (1, 2));
    assert_eq!(viewer.get(&format!("{APP_SESSIONS}?user={}", bob.id.0)).await.count(), 1);
    assert_eq!(viewer.get(&format!("{APP_SESSIONS}?application=files")).await.count(), 0);
    let row = viewer.get(&format!("{APP_SESSIONS}?session={}", theirs.uuid)).await.json()["results"][0].clone();
    assert_eq!((&row["slug"], &row["hosts"], &row["username"]), (&json!("wiki"), &json!(["wiki.example.com"]), &json!("bob")));
    let url = format!("{APP_SESSIONS}{}/", row["uuid"].as_str().unwrap());
    mine.with_csrf().delete(&url).await.assert_status(404);
    viewer.delete(&url).await.assert_status(403);
    ender.delete(&url).await.assert_status(204);
    ender.delete(&url).await.assert_status(404);
    theirs.get(SESSIONS).await.assert_status(200);
    assert_eq!(app.count_events("app_session_ended").await, 1);
    // The details of the session, and its history.
    let details = mine.get(&format!("{}details/", mine.url())).await.assert_status(200).json();
    let opened = &details["applications"][0];
    assert_eq!((&opened["slug"], &opened["ends_within"], &opened["tokens"]), (&json!("wiki"), &json!(0), &json!([])));
    mine.with_csrf().delete(&mine.url()).await.assert_status(204);
    let ended = viewer.get("/api/v3/core/ended_sessions/").await.json();
    let of_alice = ended["results"].as_array().unwrap().iter().find(|row| row["username"] == "alice").unwrap();
    assert_eq!(of_alice["applications"][0]["hosts"], json!(["wiki.example.com"]));
    assert_eq!(of_alice["applications"][0].get("tokens"), None);
});
