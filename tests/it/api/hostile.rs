//! Input that nobody means well: refused or read, never a 500.

use serde_json::{Value, json};

use crate::support::app::{PASSWORD, sign_in_as};
use crate::support::{SESSIONS, SIGN_IN_FLOW, SIGN_OUT_FLOW, TestApp, encode, raw};

db_test!(ten_thousand_parameters, |db| async move {
    let app = TestApp::new(db).await;
    let admin = app.admin_token().await;
    let unknown: Vec<String> = (0..10_000).map(|n| format!("p{n}")).collect();
    admin.get(&format!("{SESSIONS}?{}", unknown.join("&"))).await.assert_status(200);
    let pages = ["page=1"; 9_000].join("&");
    admin.get(&format!("{SESSIONS}?{pages}")).await.assert_status(200);
    let users: Vec<String> = (0..4000).map(|n| format!("user_pks={n}")).collect();
    assert_eq!(admin.delete(&format!("{SESSIONS}bulk_delete/?{}", users.join("&"))).await.json(), json!({"deleted": 0}));
    let indexed: Vec<String> = (0..2000).map(|n| format!("user_pks[{n}]=x")).collect();
    let refused = admin.delete(&format!("{SESSIONS}bulk_delete/?{}", indexed.join("&"))).await.assert_status(400);
    assert_eq!(refused.json()["user_pks"].as_object().unwrap().len(), 2000);
});

db_test!(a_long_user_agent_is_cut_and_not_refused, |db| async move {
    let app = TestApp::new(db).await;
    app.user_with_password("alice").await;
    let caller = app.anonymous().with_header("user-agent", &"A".repeat(64 * 1024));
    sign_in_as(&caller, "alice", PASSWORD, false).await;
    let row = caller.get(SESSIONS).await.json()["results"][0].clone();
    assert_eq!(row["last_user_agent"], "A".repeat(2048));
    assert_eq!(row["current"], true);
});

db_test!(a_user_agent_that_is_not_utf8_is_stored, |db| async move {
    let app = TestApp::new(db).await;
    let session = app.user("alice").await.session().await;
    app.advance(std::time::Duration::from_secs(3600));
    let cookie = format!("rollcall_session={}", session.key);
    let headers: [(&str, &[u8]); 2] = [("Cookie", cookie.as_bytes()), ("User-Agent", b"caf\xe9/1")];
    raw::request(app.address, "GET", SESSIONS, &headers, b"").await.assert_status(200);
    app.app.touches.flush(&app.app).await.unwrap();
    assert_eq!(session.get(&session.url()).await.json()["last_user_agent"], "caf\u{fffd}/1");
});

db_test!(bodies_of_every_kind, |db| async move {
    let app = TestApp::new(db).await;
    let caller = app.anonymous();
    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    let deep_object = format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
    for body in [
        b"".to_vec(),
        b"no json".to_vec(),
        b"null".to_vec(),
        b"[]".to_vec(),
        b"\"x\"".to_vec(),
        b"\xff\xfe\x00".to_vec(),
        deep.into(),
        deep_object.into(),
        b"{\"component\":7}".to_vec(),
    ] {
        let answer = caller.post_bytes(SIGN_IN_FLOW, body.clone()).await.assert_status(200);
        assert_eq!(answer.json()["component"], "ak-stage-identification");
        assert!(answer.json()["response_errors"]["component"].is_array());
    }
    caller.post_bytes(SIGN_IN_FLOW, vec![b' '; 64 * 1024 + 1]).await.assert_status(413);
    let largest = format!("{{\"component\":\"ak-stage-identification\",\"uid_field\":\"{}\"}}", "ü".repeat(32_000));
    let answer = caller.post_bytes(SIGN_IN_FLOW, largest).await.assert_status(200).json();
    assert_eq!(answer["component"], "ak-stage-password");
    // A name with what no database text holds is nobody's.
    caller.post_json(SIGN_IN_FLOW, &json!({"component": "ak-stage-password", "password": "x\0"})).await.assert_status(200);
    let nul = app.anonymous();
    nul.post_json(SIGN_IN_FLOW, &json!({"component": "ak-stage-identification", "uid_field": "a\0b"})).await.assert_status(200);
    let answer = nul.post_json(SIGN_IN_FLOW, &json!({"component": "ak-stage-password", "password": "wrong"})).await;
    assert_eq!(answer.assert_status(200).json()["response_errors"]["password"][0]["string"], "Invalid password");
    let long = app.anonymous();
    long.post_json(SIGN_IN_FLOW, &json!({"component": "ak-stage-identification", "uid_field": "alice"})).await;
    let answer = long.post_json(SIGN_IN_FLOW, &json!({"component": "ak-stage-password", "password": "x".repeat(60_000)})).await;
    answer.assert_status(200);
});

db_test!(nothing_brings_a_500, |db| async move {
    let app = TestApp::new(db).await;
    let root = app.superuser("root").await;
    let session = root.session().await;
    let key = root.token_key(rollcall::domain::user::TokenIntent::Api, None).await;
    let (bearer, cookie) = (format!("Bearer {key}"), format!("rollcall_session={}", session.key));
    let values: Vec<String> = [
        "",
        "\0",
        "\u{feff}",
        "'",
        "\"",
        "\\",
        "%",
        "1e309",
        "-9223372036854775809",
        "2026-11-01T12:00:00.9999999999Z",
        "99999-01-01",
        "::/129",
        "🦊",
        "$1",
        ":::",
    ]
    .map(encode)
    .into_iter()
    .chain(["%ff%00".to_owned(), "%".to_owned(), "%zz".to_owned(), "a".repeat(5000)])
    .collect();
    let names = [
        "page",
        "page_size",
        "ordering",
        "search",
        "format",
        "user",
        "user__username",
        "session__last_ip",
        "session__last_user_agent",
        "network",
        "country",
        "asn",
        "browser",
        "os",
        "device",
        "last_used__gte",
        "last_used__lte",
        "created__lte",
        "search_people",
        "expires__gte",
        "expires__lte",
    ];
    for value in &values {
        for name in names {
            let target = format!("{SESSIONS}?{name}={value}");
            let answer = raw::request(app.address, "GET", &target, &[("Authorization", bearer.as_bytes())], b"").await;
            assert!(answer.status < 500, "{target}: {}", answer.text());
        }
        for target in [format!("{SESSIONS}bulk_delete/?user_pks={value}"), format!("{SESSIONS}bulk_delete/?user_pks[{value}]=1")] {
            let answer = raw::request(app.address, "DELETE", &target, &[("Authorization", bearer.as_bytes())], b"").await;
            assert!(answer.status < 500, "{target}: {}", answer.text());
        }
        for path in [
            format!("{SESSIONS}{value}/"),
            format!("/api/v3/flows/executor/{value}/"),
            format!("{SIGN_IN_FLOW}?query={value}"),
            format!("/sign-in?next={value}"),
            format!("/sessions?page={value}"),
            format!("/sessions/{value}/end"),
            format!("/set-up/{value}"),
            format!("/static/{value}"),
            format!("/{value}"),
        ] {
            for method in ["GET", "POST", "DELETE"] {
                let headers: [(&str, &[u8]); 2] = [("Cookie", cookie.as_bytes()), ("Content-Length", b"0")];
                let answer = raw::request(app.address, method, &path, &headers, b"").await;
                assert!(answer.status < 500, "{method} {path}: {}", answer.text());
            }
        }
    }
});

db_test!(odd_requests_are_answered_or_refused, |db| async move {
    let app = TestApp::new(db).await;
    let ask = async |method: &str, target: &str, headers: &[(&str, &[u8])]| {
        raw::request(app.address, method, target, headers, b"").await.status
    };
    assert_eq!(ask("GET", SESSIONS, &[("Host", b"\xff\xfe")]).await / 100, 4);
    assert_eq!(ask("GET", SESSIONS, &[("Host", b"")]).await / 100, 4);
    assert_eq!(ask("GET", &format!("http://elsewhere.example{SESSIONS}"), &[]).await, 403);
    assert_eq!(ask("OPTIONS", "*", &[]).await / 100, 4);
    assert_eq!(ask("GET", &format!("{SESSIONS}?{}", "a".repeat(70_000)), &[]).await / 100, 4);
    assert_eq!(ask("GET", SESSIONS, &[("X-Long", &[b'x'; 200_000])]).await, 431);
    let many: Vec<(String, &[u8])> = (0..200).map(|n| (format!("X-{n}"), b"1".as_slice())).collect();
    let many: Vec<(&str, &[u8])> = many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert_eq!(ask("GET", SESSIONS, &many).await, 431);
    assert_eq!(ask("GET", "/api/v3/core/%ff%fe/", &[]).await, 404);
    assert_eq!(ask("GET", "/sessions/%ff/end", &[]).await / 100, 4);
    let out: Value = app.anonymous().post_bytes(SIGN_OUT_FLOW, b"\xff".to_vec()).await.assert_status(200).json();
    assert_eq!(out["component"], "xak-flow-redirect", "without a session, signing out is done already");
});
