//! The addresses that tell about the instance: configuration, version, system, brand, flows, second factors,
//! and the lists of what Rollcall does not have.

use rollcall::api::empty::EMPTY_LISTS;
use serde_json::json;

use super::schema::{assert_described, assert_fields};
use crate::support::{TestApp, geoip};

/// Asks for it as administrator, as somebody else and without credentials, and gives the administrator's answer.
async fn for_administrators(app: &TestApp, path: &str, route: &str) -> serde_json::Value {
    let (admin, other) = (app.known("root").await.token().await, app.known("alice").await.token().await);
    app.anonymous().get(path).await.assert_detail(403, "Authentication credentials were not provided.");
    other.get(path).await.assert_detail(403, "You do not have permission to perform this action.");
    let answer = admin.get(path).await.assert_status(200);
    assert_described(route, "get", &answer);
    answer.json()
}

db_test!(everybody_is_told_what_the_server_can_do, |db| async move {
    let asn = db.dir.path().join("asn.mmdb");
    geoip::write_asn(&asn, &[("198.51.100.0/24", 64500, "Example Net")]);
    let asn = asn.display().to_string();
    let app = TestApp::with(db, &[("GEOIP__ASN", &asn)]).await;
    let path = "/api/v3/root/config/";
    let answer = app.anonymous().get(path).await.assert_status(200);
    assert_described(path, "get", &answer);
    let body = answer.json();
    assert_fields("Config", &body);
    assert_fields("ErrorReportingConfig", &body["error_reporting"]);
    assert_eq!(body["capabilities"], json!(["can_asn"]), "there is no City file");
    assert_eq!(body["cache_timeout_reputation"], 300);
    assert_eq!(body["error_reporting"]["enabled"], false);
    let answer = app.anonymous().request("POST", path).await.assert_status(405);
    assert_eq!(answer.header("allow"), Some("GET, HEAD, OPTIONS"));
    app.anonymous().request("OPTIONS", path).await.assert_status(200);
    app.anonymous().with_header("accept", "text/html").get(path).await.assert_status(406);
});

db_test!(without_files_there_are_no_places, |db| async move {
    let app = TestApp::new(db).await;
    assert_eq!(app.anonymous().get("/api/v3/root/config/").await.json()["capabilities"], json!([]));
});

db_test!(everybody_is_told_what_the_pages_look_like, |db| async move {
    let app = TestApp::new(db).await;
    let path = "/api/v3/core/brands/current/";
    let answer = app.anonymous().get(path).await.assert_status(200);
    assert_described(path, "get", &answer);
    let body = answer.json();
    assert_fields("CurrentBrand", &body);
    assert_eq!(body["flow_authentication"], "default-authentication-flow");
    assert!(body.get("flow_recovery").is_none(), "a flow that is not there has no field");
    app.anonymous().get(body["branding_logo"].as_str().unwrap()).await.assert_status(200);
});

db_test!(signed_in_users_are_told_the_version, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user("alice").await.token().await;
    let path = "/api/v3/admin/version/";
    app.anonymous().get(path).await.assert_detail(403, "Authentication credentials were not provided.");
    let answer = alice.get(path).await.assert_status(200);
    assert_described(path, "get", &answer);
    assert_fields("Version", &answer.json());
    assert_eq!(answer.json()["version_current"], "2026.8.5");
    assert_eq!(answer.json()["build_hash"], env!("CARGO_PKG_VERSION"));
});

db_test!(administrators_are_told_what_the_server_runs_on, |db| async move {
    let app = TestApp::with(db, &[("HTTP__PUBLIC_URL", "https://sessions.example")]).await;
    app.superuser("root").await;
    app.user("alice").await;
    let path = "/api/v3/admin/system/";
    let body = for_administrators(&app, path, path).await;
    assert_fields("SystemInfo", &body);
    assert_fields("SystemInfoRuntime", &body["runtime"]);
    assert_eq!(body["server_time"], "2026-11-01T12:00:00Z");
    assert_eq!(body["base_url"], "https://sessions.example");
    assert_eq!(body["embedded_outpost_disabled"], false, "the guard is the outpost");
    assert_eq!(body["embedded_outpost_host"], "https://sessions.example");
    assert_eq!(body["http_host"], app.address.to_string());
    assert!(body["http_headers"].get("authorization").is_none(), "{body}");
    let admin = app.known("root").await.token().await.with_header("x-mark", "seen");
    let answer = admin.request("POST", path).await.assert_status(200);
    assert_described(path, "post", &answer);
    assert_eq!(answer.json()["http_headers"]["x-mark"], "seen");
    admin.request("PUT", path).await.assert_status(405);
});

db_test!(there_are_two_flows_and_those_that_providers_name, |db| async move {
    let app = TestApp::new(db).await;
    app.superuser("root").await;
    app.user("alice").await;
    let path = "/api/v3/flows/instances/";
    let body = for_administrators(&app, path, path).await;
    assert_fields("PaginatedFlowList", &body);
    assert_fields("Flow", &body["results"][0]);
    let admin = app.known("root").await.token().await;
    let slugs = async |query: &str| {
        let body = admin.get(&format!("{path}?{query}")).await.assert_status(200).json();
        let rows = body["results"].as_array().unwrap().clone();
        rows.iter().map(|row| row["slug"].as_str().unwrap().trim_start_matches("default-").to_owned()).collect::<Vec<_>>()
    };
    let (sign_in, sign_out) = ("authentication-flow", "invalidation-flow");
    let (explicit, implicit) = ("provider-authorization-explicit-consent", "provider-authorization-implicit-consent");
    let end = "provider-invalidation-flow";
    let pk = body["results"][1]["pk"].as_str().unwrap();
    for (query, want) in [
        ("", &[sign_in, sign_out, explicit, implicit, end][..]),
        ("ordering=-slug", &[end, implicit, explicit, sign_out, sign_in]),
        ("ordering=-title,nonsense&search=rollcall", &[sign_in, sign_out]),
        ("slug=default-authentication-flow", &[sign_in]),
        ("slug=default", &[]),
        ("designation=invalidation", &[sign_out, end]),
        ("designation=authorization", &[explicit, implicit]),
        ("designation=recovery", &[]),
        ("denied_action=message_continue", &[sign_in, sign_out, explicit, implicit, end]),
        ("search=welcome", &[sign_in]),
        ("search=default%20invalid", &[sign_out, end]),
        ("page_size=1&page=2", &[sign_out]),
        ("page_size=4&page=2", &[end]),
        (&format!("flow_uuid={pk}"), &[sign_out]),
        (&format!("flow_uuid={}", pk.replace('-', "").to_uppercase()), &[sign_out]),
    ] {
        assert_eq!(slugs(query).await, want, "{query}");
    }
    let wrong = admin.get(&format!("{path}?designation=nope&flow_uuid=x")).await.assert_status(400);
    assert_eq!(wrong.json(), json!({"designation": ["Select a valid choice. nope is not one of the available choices."]}));
    let wrong = admin.get(&format!("{path}?flow_uuid=x")).await.assert_status(400);
    assert_eq!(wrong.json(), json!({"flow_uuid": ["Enter a valid UUID."]}));
    admin.get(&format!("{path}?page=2")).await.assert_detail(404, "Invalid page.");
    let one = for_administrators(&app, &format!("{path}default-invalidation-flow/"), &format!("{path}{{slug}}/")).await;
    assert_eq!(one["pk"], *pk);
    admin.get(&format!("{path}unknown/")).await.assert_detail(404, "No Flow matches the given query.");
    admin.post_json(path, &json!({})).await.assert_status(405);
});

db_test!(the_sign_in_stage_is_the_instances_policy, |db| async move {
    let settings = [
        ("SESSIONS__ABSOLUTE_TIMEOUT", "36h"),
        ("SESSIONS__REMEMBER_TIMEOUT", "30d"),
        ("SESSIONS__MAX_PER_USER", "1"),
        ("SESSIONS__NETWORK_BINDING", "bind_asn"),
        ("API__STRICT_QUERY", "true"),
    ];
    let app = TestApp::with(db, &settings).await;
    app.superuser("root").await;
    app.user("alice").await;
    let path = "/api/v3/stages/user_login/";
    let body = for_administrators(&app, path, path).await;
    assert_fields("PaginatedUserLoginStageList", &body);
    let stage = &body["results"][0];
    assert_fields("UserLoginStage", stage);
    assert_fields("FlowSet", &stage["flow_set"][0]);
    for (field, want) in [
        ("session_duration", json!("hours=36")),
        ("remember_me_offset", json!("hours=684")),
        ("terminate_other_sessions", json!(true)),
        ("network_binding", json!("bind_asn")),
        ("geoip_binding", json!("no_binding")),
        ("remember_device", json!("days=400")),
    ] {
        assert_eq!(stage[field], want, "{field}");
    }
    let admin = app.known("root").await.token().await;
    for (query, want) in
        [("terminate_other_sessions=true", 1), ("terminate_other_sessions=false", 0), ("session_duration=hours%3D36", 1)]
    {
        assert_eq!(admin.get(&format!("{path}?{query}")).await.count(), want, "{query}");
    }
    let flow = stage["flow_set"][0]["pk"].as_str().unwrap();
    for (query, want) in [
        (format!("flow_set={flow}"), 1),
        (format!("flow_set={}", stage["pk"].as_str().unwrap()), 0),
        ("component=ak-stage-user-login-form&verbose_name=User%20Login%20Stage".to_owned(), 1),
        ("meta_model_name=x".to_owned(), 0),
    ] {
        assert_eq!(admin.get(&format!("{path}?{query}")).await.count(), want, "{query}");
    }
    let url = format!("{path}{}/", stage["pk"].as_str().unwrap());
    assert_eq!(for_administrators(&app, &url, &format!("{path}{{stage_uuid}}/")).await, *stage);
    let flow = admin.get("/api/v3/flows/instances/default-authentication-flow/").await.json();
    assert_eq!(flow["stages"], json!([stage["pk"]]));
    admin.get(&format!("{path}x/")).await.assert_detail(404, "Not found.");
    let unknown = format!("{path}00000000-0000-4000-8000-00000000dead/");
    admin.get(&unknown).await.assert_detail(404, "No UserLoginStage matches the given query.");
    for method in ["POST", "DELETE"] {
        admin.request(method, &url).await.assert_status(405);
    }
    // What settings give is stronger than what is stored; sent as it is, nothing changes.
    let name = "default-authentication-login";
    admin.send_json("PUT", &url, &json!({"name": name, "session_duration": "hours=36"})).await.assert_status(200);
    let body = json!({"session_duration": "hours=1", "terminate_other_sessions": false, "network_binding": "no_binding"});
    let refused = admin.send_json("PATCH", &url, &body).await;
    assert_eq!(
        refused.assert_status(400).json(),
        json!({
            "session_duration": ["`sessions.absolute_timeout` is set by ROLLCALL_SESSIONS__ABSOLUTE_TIMEOUT, which is stronger."],
            "terminate_other_sessions": ["`sessions.max_per_user` is set by ROLLCALL_SESSIONS__MAX_PER_USER, which is stronger."],
            "network_binding": ["`sessions.network_binding` is set by ROLLCALL_SESSIONS__NETWORK_BINDING, which is stronger."],
        })
    );
    assert_eq!(admin.get(&url).await.json(), *stage);
    assert_eq!(app.number("SELECT count(*) FROM events WHERE kind = 'instance_policy_set'").await, 0);
});

db_test!(the_sign_in_stage_can_be_changed, |db| async move {
    let app = TestApp::new(db).await;
    let (alice, admin) = (app.user("alice").await, app.superuser("root").await.token().await);
    let url = format!("/api/v3/stages/user_login/{}/", "6f6c6c63-616c-4c00-8000-757365726c67");
    let living = alice.session().await;
    let body = json!({
        "name": "default-authentication-login", "session_duration": "hours=2", "remember_me_offset": "days=1",
        "terminate_other_sessions": true, "network_binding": "no_binding", "geoip_binding": "no_binding",
        "remember_device": "days=400", "pk": "ignored",
    });
    let changed = admin.send_json("PUT", &url, &body).await.assert_status(200).json();
    for field in ["session_duration", "remember_me_offset", "terminate_other_sessions"] {
        assert_eq!(changed[field], body[field], "{field}");
    }
    assert_eq!(admin.get(&url).await.json(), changed);
    let ends = living.get(&living.url()).await.assert_status(200).json();
    assert_eq!(ends["expires"], "2026-11-01T14:00:00Z", "living sessions are cut");
    alice.session().await;
    living.get(&living.url()).await.assert_status(403);
    // The duration alone: users who may stay signed in stay longer by as much as before.
    let changed = admin.send_json("PATCH", &url, &json!({"session_duration": "hours=1"})).await.assert_status(200).json();
    assert_eq!((&changed["session_duration"], &changed["remember_me_offset"]), (&json!("hours=1"), &json!("days=1")));
    let changed = admin.send_json("PATCH", &url, &json!({"remember_me_offset": "seconds=0"})).await.assert_status(200).json();
    assert_eq!(changed["remember_me_offset"], "seconds=0");
    let changed = admin.send_json("PATCH", &url, &json!({"terminate_other_sessions": false})).await.assert_status(200).json();
    assert_eq!(changed["terminate_other_sessions"], false);
    assert_eq!(admin.send_json("PATCH", &url, &json!({})).await.assert_status(200).json(), changed);
    assert_eq!(app.count_events("instance_policy_set").await, 4, "what changes nothing is no event");
    for (field, value, why) in [
        ("name", json!("mine"), "There is one stage, and its name is default-authentication-login."),
        ("session_duration", json!("seconds=0"), "Enter a whole number of seconds, 1 or more."),
        ("session_duration", json!("minutes=-5"), "Enter a whole number of seconds, 1 or more."),
        ("session_duration", json!("milliseconds=1500"), "Enter a whole number of seconds, 1 or more."),
        ("session_duration", json!("soon"), "soon is not in the correct format of 'hours=3;minutes=1'."),
        ("remember_me_offset", json!("days=-1"), "Enter a whole number of seconds, 0 or more."),
        ("terminate_other_sessions", json!("maybe"), "Must be a valid boolean."),
        ("network_binding", json!("weird"), "\"weird\" is not a valid choice."),
        ("remember_device", json!("zzz"), "zzz is not in the correct format of 'hours=3;minutes=1'."),
        ("remember_device", json!("days=-1"), "Enter a whole number of seconds, 0 or more."),
    ] {
        let answer = admin.send_json("PATCH", &url, &json!({field: value})).await.assert_status(400).json();
        assert_eq!(answer, json!({field: [why]}), "{value}");
    }
    assert_eq!(
        admin.send_json("PUT", &url, &json!({})).await.assert_status(400).json(),
        json!({"name": ["This field is required."]})
    );
    alice.token().await.send_json("PATCH", &url, &json!({})).await.assert_status(403);
});

db_test!(the_stage_sets_what_sessions_are_bound_to_and_how_long_devices_are_known, |db| async move {
    let app = TestApp::new(db).await;
    let admin = app.superuser("root").await.token().await;
    let url = "/api/v3/stages/user_login/6f6c6c63-616c-4c00-8000-757365726c67/";
    let body = json!({"network_binding": "bind_asn", "geoip_binding": "bind_continent_country", "remember_device": "days=30"});
    let changed = admin.send_json("PATCH", url, &body).await.assert_status(200).json();
    for field in ["network_binding", "geoip_binding", "remember_device"] {
        assert_eq!(changed[field], body[field], "{field}");
    }
    assert_eq!(admin.get(url).await.json(), changed);
    let event = app.latest("instance_policy_set").await.remove(0);
    let text = "network binding bind_asn, place binding bind_continent_country, known devices 30d";
    assert!(event.text().ends_with(text), "{}", event.text());
    let body = json!({"remember_device": "seconds=0"});
    let changed = admin.send_json("PATCH", url, &body).await.assert_status(200).json();
    assert_eq!((&changed["remember_device"], &changed["network_binding"]), (&json!("seconds=0"), &json!("bind_asn")));
    assert_eq!(app.count_events("instance_policy_set").await, 2);
});

db_test!(lists_of_what_is_not_there_are_empty, |db| async move {
    let app = TestApp::with(db, &[("API__STRICT_QUERY", "true")]).await;
    app.superuser("root").await;
    app.user("alice").await;
    let admin = app.known("root").await.token().await;
    for list in EMPTY_LISTS {
        let path = list.path;
        let body = for_administrators(&app, path, path).await;
        let pagination = json!({
            "next": 0, "previous": 0, "count": 0, "current": 1, "total_pages": 1, "start_index": 0, "end_index": 0,
        });
        assert_eq!(body, json!({"pagination": pagination, "results": [], "autocomplete": {}}), "{path}");
        admin.get(&format!("{path}?page=2")).await.assert_detail(404, "Invalid page.");
        admin.get(&format!("{path}?ordering=-x&search=y&user=1&page=last&page_size=7")).await.assert_status(200);
        admin.get(&format!("{path}7/")).await.assert_detail(404, "Not found.");
        admin.post_json(path, &json!({})).await.assert_status(405);
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            let answer = admin.request(method, &format!("{path}7/")).await.assert_status(405);
            assert_eq!(answer.header("allow"), Some("GET, HEAD, OPTIONS"), "{path}");
            app.anonymous().request(method, &format!("{path}7/")).await.assert_status(403);
            admin.request(method, &format!("{path}7/more/")).await.assert_detail(404, "Not found.");
        }
    }
});

db_test!(second_factors_are_listed, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user_with_password("alice").await;
    app.superuser("root").await;
    let digits = if app.db.is_sqlite() { "x'0011'" } else { "'\\x0011'" };
    let uuid = |n: u32| {
        let text = format!("0000000000004000800000000000000{n}");
        if app.db.is_sqlite() { format!("x'{text}'") } else { format!("'{text}'") }
    };
    for (n, kind, name, is_confirmed, used) in
        [(1, "totp", "Phone", true, "1793534400000001"), (2, "webauthn", "Key", false, "NULL")]
    {
        app.db
            .run(&format!(
                "INSERT INTO authenticators (uuid, user_id, kind, name, secret, counter, is_confirmed, created_at, last_used_at) \
                 VALUES ({}, {}, '{kind}', '{name}', {digits}, 0, {is_confirmed}, 1793534400000000, {used})",
                uuid(n),
                alice.id.0
            ))
            .await;
    }
    app.db
        .run(&format!(
            "INSERT INTO recovery_codes (user_id, code_hash, created_at) VALUES ({0}, {digits}, 1793534400000000)",
            alice.id.0
        ))
        .await;
    let (own, all) = ("/api/v3/authenticators/all/", "/api/v3/authenticators/admin/all/");
    let token = alice.token().await;
    let answer = token.get(own).await.assert_status(200);
    assert_described(own, "get", &answer);
    let devices = answer.json();
    assert_fields("Device", &devices[0]);
    let said: Vec<String> = devices
        .as_array()
        .unwrap()
        .iter()
        .map(|device| format!("{} {} {} {}", device["verbose_name"], device["name"], device["confirmed"], device["last_used"]))
        .collect();
    assert_eq!(
        said,
        [
            r#""TOTP Device" "Phone" true "2026-11-01T12:00:00.000001Z""#,
            r#""WebAuthn Device" "Key" false null"#,
            r#""Static Device" "Recovery codes" true null"#,
        ]
    );
    assert_eq!(devices[0]["type"], "authentik_stages_authenticator_totp.TOTPDevice");
    assert_eq!(devices[1]["meta_model_name"], "authentik_stages_authenticator_webauthn.webauthndevice");
    assert_eq!(for_administrators(&app, all, all).await, devices, "everybody's");
    let admin = app.known("root").await.token().await;
    assert_eq!(admin.get(own).await.json(), json!([]), "the administrator's own");
    assert_eq!(admin.get(&format!("{all}?user={}", alice.id.0)).await.json(), devices);
    let root = app.known("root").await.id.0;
    assert_eq!(admin.get(&format!("{all}?user={root}")).await.json(), json!([]));
    for (user, why) in [
        ("x", "A valid integer is required."),
        ("", "A valid integer is required."),
        ("999", "Invalid pk \"999\" - object does not exist."),
        ("99999999999999999999", "Invalid pk \"99999999999999999999\" - object does not exist."),
    ] {
        let answer = admin.get(&format!("{all}?user={user}")).await.assert_status(400);
        assert_eq!(answer.json(), json!({"user": [why]}), "{user}");
    }
    app.anonymous().get(own).await.assert_status(403);
});
