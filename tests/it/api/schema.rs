//! The description says what the server does.

use std::collections::BTreeSet;

use rollcall::api::schema::description;
use serde_json::{Value, json};

use crate::support::app::PASSWORD;
use crate::support::{Answer, SESSIONS, TestApp, geoip, seed};

db_test!(it_is_served_as_it_is_made, |db| async move {
    let app = TestApp::new(db).await;
    let served = app.anonymous().get("/api/v3/schema/").await.assert_status(200);
    assert_eq!(served.header("content-type"), Some("application/json"));
    assert_eq!(served.json(), serde_json::to_value(description()).unwrap());
    assert!(served.json()["openapi"].as_str().unwrap().starts_with("3.1"));
    let own = "/api/v3/schema/";
    for query in ["", "?format=json"] {
        assert_described(own, "get", &app.anonymous().get(&format!("{own}{query}")).await.assert_status(200));
    }
    assert_described(own, "get", &app.anonymous().get(&format!("{own}?format=yaml")).await.assert_status(406));
    for file in ["", "browser/start.js", "browser/swagger-ui.css", "browser/swagger-ui-bundle.js"] {
        app.anonymous().get(&format!("/api/v3/{file}")).await.assert_status(200);
    }
    app.anonymous().get("/api/v3/browser/index.html").await.assert_status(404);
});

#[test]
fn every_api_address_is_described() {
    // These show the description to people.
    let own = ["/api/v3/", "/api/v3/browser/{file}"];
    let routes = rollcall::routes::routes().paths;
    let served: BTreeSet<&str> = routes.into_iter().filter(|path| path.starts_with("/api/v3/") && !own.contains(path)).collect();
    let described = serde_json::to_value(description()).unwrap();
    assert_eq!(described["servers"], json!([{"url": "/api/v3"}]));
    let described: BTreeSet<String> = described["paths"].as_object().unwrap().keys().map(|path| format!("/api/v3{path}")).collect();
    assert_eq!(served.into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), described);
}

/// Checks an answer against what the description says of it.
pub(super) fn assert_described(path: &str, method: &str, answer: &Answer) {
    let whole = serde_json::to_value(description()).unwrap();
    let response = &whole["paths"][path.strip_prefix("/api/v3").unwrap()][method]["responses"][answer.status.to_string()];
    assert!(response.is_object(), "{method} {path} does not say that it answers {}: {}", answer.status, answer.text());
    let Some(schema) = response["content"]["application/json"].get("schema") else {
        return;
    };
    let mut schema = schema.clone();
    schema["components"] = whole["components"].clone();
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    let validator = jsonschema::validator_for(&schema).unwrap();
    let body = answer.json();
    let errors: Vec<String> = validator.iter_errors(&body).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{method} {path} {}: {errors:?}", answer.status);
}

/// The schema of an object says all of its fields, and that all are there but those that only lists with `source` have.
pub(super) fn assert_fields(name: &str, body: &Value) {
    let whole = serde_json::to_value(description()).unwrap();
    let schema = &whole["components"]["schemas"][name];
    let there: BTreeSet<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
    let mut said: BTreeSet<&str> = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    if name == "AuthenticatedSession" {
        assert!(said.remove("source"));
    }
    let required: BTreeSet<&str> = schema["required"].as_array().unwrap().iter().map(|field| field.as_str().unwrap()).collect();
    assert_eq!((&there, &there), (&said, &required), "{name}");
}

db_test!(answers_are_as_described, |db| async move {
    let (city, asn) = (db.dir.path().join("city.mmdb"), db.dir.path().join("asn.mmdb"));
    geoip::write_city(&city, &[("10.0.0.0/8", "", "", ""), ("198.51.100.0/24", "EU", "DE", "Berlin")]);
    geoip::write_asn(&asn, &[("198.51.100.0/24", 64500, "Example Net"), ("10.0.0.0/8", 1, "")]);
    let (city, asn) = (city.display().to_string(), asn.display().to_string());
    let app = TestApp::with(db, &[("GEOIP__CITY", &city), ("GEOIP__ASN", &asn)]).await;
    let ip = |ip: &str| json!({ "last_ip": ip });
    let (a, b, c) = (seed::session(1, 1, ip("198.51.100.7")), seed::session(2, 1, ip("10.0.0.1")), seed::session(3, 1, ip("::1")));
    app.import(&[seed::user(1, "alice"), a, b, c]).await;
    let (admin, nobody) = (app.admin_token().await, app.anonymous());
    let (list, item, bulk) = (SESSIONS, format!("{SESSIONS}{{uuid}}/"), format!("{SESSIONS}bulk_delete/"));
    for query in ["", "?source=all", "?source=x", "?user=99", "?page=99", "?user=x", "?search=%00", "?format=xml"] {
        assert_described(list, "get", &admin.get(&format!("{list}{query}")).await);
    }
    assert_described(list, "get", &nobody.get(list).await);
    assert_described(list, "get", &admin.with_header("accept", "text/csv").get(list).await);
    let row = format!("{SESSIONS}{}/", seed::uuid(1));
    let unknown = format!("{SESSIONS}{}/", seed::uuid(9));
    for (caller, url) in [(&admin, &row), (&admin, &unknown), (&nobody, &row)] {
        assert_described(&item, "get", &caller.get(url).await);
        for more in ["used_by/", "details/"] {
            assert_described(&format!("{item}{more}"), "get", &caller.get(&format!("{url}{more}")).await);
        }
    }
    let body = admin.get(&row).await.json();
    assert_fields("AuthenticatedSession", &body);
    assert_fields("AuthenticatedSessionUserAgent", &body["user_agent"]);
    assert_fields("AuthenticatedSessionGeoIp", &body["geo_ip"]);
    assert_fields("AuthenticatedSessionAsn", &body["asn"]);
    assert_fields("PaginatedAuthenticatedSessionList", &admin.get(list).await.json());
    assert_fields("Pagination", &admin.get(list).await.json()["pagination"]);
    assert_described(&item, "delete", &nobody.delete(&row).await);
    assert_described(&item, "delete", &admin.delete(&row).await);
    assert_described(&item, "delete", &admin.delete(&row).await);
    for query in ["", "?user_pks=x", "?user_pks=1"] {
        assert_described(&bulk, "delete", &admin.delete(&format!("{bulk}{query}")).await);
    }
    assert_described(&bulk, "delete", &nobody.delete(&bulk).await);
    let revoke = format!("{SESSIONS}revoke/");
    for body in [json!({}), json!({"user": 1}), json!({"user": 1, "expected_count": 7}), json!({"user": 1, "expected_count": 0})] {
        assert_described(&revoke, "post", &admin.post_json(&revoke, &body).await);
    }
    assert_described(&revoke, "post", &admin.post_form(&revoke, &[]).await);
    assert_described(&revoke, "post", &nobody.post_json(&revoke, &json!({})).await);
    let ended = "/api/v3/core/ended_sessions/";
    for query in ["", "?page=99", "?reason=x", "?format=xml"] {
        assert_described(ended, "get", &admin.get(&format!("{ended}{query}")).await);
    }
    assert_described(ended, "get", &nobody.get(ended).await);
    let flow = "/api/v3/flows/executor/{flow_slug}/";
    for slug in ["default-authentication-flow", "default-invalidation-flow", "unknown"] {
        let url = flow.replace("{flow_slug}", slug);
        assert_described(flow, "get", &nobody.get(&url).await);
        assert_described(flow, "post", &nobody.post_json(&url, &json!({})).await);
        assert_described(flow, "post", &nobody.with_header("origin", "http://evil.example").post_json(&url, &json!({})).await);
    }
});

/// The words that a schema takes.
fn enum_of(schema: &Value) -> Vec<&str> {
    schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

#[test]
fn flows_are_described_by_component() {
    let whole = serde_json::to_value(description()).unwrap();
    let (schemas, flow) = (&whole["components"]["schemas"], &whole["paths"]["/flows/executor/{flow_slug}/"]);
    let challenge = json!({"$ref": "#/components/schemas/ChallengeTypes"});
    for method in ["get", "post"] {
        assert_eq!(flow[method]["responses"]["200"]["content"]["application/json"]["schema"], challenge, "{method}");
    }
    let answer = json!({"$ref": "#/components/schemas/FlowChallengeResponseRequest"});
    assert_eq!(flow["post"]["requestBody"]["content"]["application/json"]["schema"], answer);
    for (name, count) in [("ChallengeTypes", 7), ("FlowChallengeResponseRequest", 5)] {
        let choice = &schemas[name];
        assert_eq!(choice["discriminator"]["propertyName"], "component", "{choice}");
        let mapping = choice["discriminator"]["mapping"].as_object().unwrap();
        let refs: BTreeSet<&str> = choice["oneOf"].as_array().unwrap().iter().map(|one| one["$ref"].as_str().unwrap()).collect();
        assert_eq!(mapping.values().map(|place| place.as_str().unwrap()).collect::<BTreeSet<_>>(), refs, "{name}");
        assert_eq!(mapping.len(), count, "{name}");
        for (component, place) in mapping {
            let model = &schemas[place.as_str().unwrap().rsplit('/').next().unwrap()];
            assert_eq!(enum_of(&model["properties"]["component"]), [component], "{place}");
            assert!(model["required"].as_array().unwrap().contains(&json!("component")), "{place}");
        }
    }
    assert_eq!(schemas["UsedBy"]["properties"]["action"], json!({"$ref": "#/components/schemas/UsedByActionEnum"}));
    let actions = ["cascade", "cascade_many", "set_null", "set_default", "left_dangling"];
    assert_eq!(enum_of(&schemas["UsedByActionEnum"]), actions);
}

db_test!(each_step_of_a_flow_is_as_described, |db| async move {
    let app = TestApp::new(db).await;
    app.user_with_password("alice").await;
    let (flow, caller) = ("/api/v3/flows/executor/{flow_slug}/", app.anonymous());
    let url = flow.replace("{flow_slug}", "default-authentication-flow");
    assert_described(flow, "get", &caller.get(&url).await);
    for (body, next) in [
        (json!({"component": "ak-stage-identification"}), "ak-stage-identification"),
        (json!({"component": "ak-stage-identification", "uid_field": "alice"}), "ak-stage-password"),
        (json!({"component": "ak-stage-password", "password": "wrong"}), "ak-stage-password"),
        (json!({"component": "ak-stage-password", "password": PASSWORD}), "ak-stage-user-login"),
        (json!({"component": "ak-stage-user-login", "remember_me": true}), "xak-flow-redirect"),
    ] {
        let answer = caller.post_json(&url, &body).await.assert_status(200);
        assert_eq!(answer.json()["component"], next, "{body}");
        assert_described(flow, "post", &answer);
    }
    caller.get(&url).await.assert_status(200);
    caller.post_json(&url, &json!({"component": "ak-stage-identification", "uid_field": "alice"})).await.assert_status(200);
    for _ in 0..5 {
        let wrong = caller.post_json(&url, &json!({"component": "ak-stage-password", "password": "wrong"})).await;
        assert_described(flow, "post", &wrong);
    }
    assert_eq!(caller.get(&url).await.json()["component"], "ak-stage-access-denied");
});
