//! Bodies of requests, and files to import.

use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use rollcall::actions::import::ImportError;
use serde_json::{Value, json};

use super::http::{Answered, send};
use super::{Fuzz, outline};
use crate::crash::cheap_hash;
use crate::process::PASSWORD;
use crate::support::{SESSIONS, SIGN_IN_FLOW, SIGN_OUT_FLOW, TestApp, seed};

/// The value of a cookie that an answer sets.
fn set_cookie(answer: &Answered, name: &str) -> Option<String> {
    let cookies = answer.headers.get_all(header::SET_COOKIE).iter();
    let mut values = cookies.filter_map(|line| line.to_str().unwrap().strip_prefix(name)?.strip_prefix('=')?.split(';').next());
    values.next().map(str::to_owned)
}

async fn post(router: &Router, path: &str, name: header::HeaderName, value: &str, body: &[u8]) -> Answered {
    let request = Request::post(path).header(header::CONTENT_TYPE, "application/json").header(name, value);
    send(router, request.body(Body::from(body.to_vec())).unwrap()).await
}

/// Whether a body says the password, in whatever way JSON can say it.
fn says_password(body: &[u8]) -> bool {
    serde_json::from_slice::<Value>(body).is_ok_and(|body| body["password"] == PASSWORD)
}

db_test!(flow_answers, |db| async move {
    let app = TestApp::with(db, &[("SESSIONS__REMEMBER_TIMEOUT", "0")]).await;
    app.import(&[json!({"kind": "user", "id": 7, "username": "alice", "password_hash": cheap_hash()})]).await;
    let router = rollcall::server::router(&app.app);
    let words: [&[u8]; 16] = [
        b"\"component\"",
        b"\"ak-stage-identification\"",
        b"\"ak-stage-password\"",
        b"\"ak-stage-user-login\"",
        b"\"xak-flow-redirect\"",
        b"\"uid_field\"",
        b"\"password\"",
        b"\"remember_me\"",
        b"\"alice\"",
        b"true",
        b"null",
        b":",
        b",",
        b"\n",
        b"{}",
        br#"{"component":"ak-stage-identification","uid_field":"alice"}"#,
    ];
    let identify = r#"{"component":"ak-stage-identification","uid_field":"alice"}"#;
    let seeds = [
        format!("{identify}\n{{\"component\":\"ak-stage-password\",\"password\":\"wrong\"}}"),
        format!("{identify}\n{{\"component\":\"ak-stage-password\",\"password\":\"{PASSWORD}\"}}"),
        format!("{{\"component\":\"ak-stage-password\",\"password\":\"{PASSWORD}\"}}\n{identify}"),
        "{}\n[]\nnull".to_owned(),
    ];
    let mut fuzz = Fuzz::new("flow_answers", &words, seeds.map(String::into_bytes));
    while let Some(input) = fuzz.next() {
        let input = input.as_slice();
        let mut cookie = String::new();
        let mut kinds = Vec::new();
        let mut is_proved = false;
        for body in input.split(|byte| *byte == b'\n').take(6) {
            let answer = post(&router, SIGN_IN_FLOW, header::COOKIE, &cookie, body).await;
            is_proved |= says_password(body);
            assert!([200, 413].contains(&answer.status.as_u16()), "{}", answer.status);
            if answer.status == 200 {
                let challenge: Value = serde_json::from_slice(&answer.body).unwrap();
                let component = challenge["component"].as_str().unwrap().to_owned();
                let is_signed_in = set_cookie(&answer, "rollcall_session").is_some();
                assert_eq!(is_signed_in, component == "xak-flow-redirect", "{challenge}");
                assert!(!is_signed_in || is_proved, "a session without a password: {challenge}");
                let wrong = challenge["response_errors"].as_object().map(|errors| errors.keys().cloned().collect::<String>());
                kinds.push(format!("{component} {wrong:?}"));
            }
            if let Some(flow) = set_cookie(&answer, "rollcall_flow") {
                cookie = format!("rollcall_flow={flow}");
            }
            let out = post(&router, SIGN_OUT_FLOW, header::ACCEPT, "*/*", body).await;
            assert!([200, 413].contains(&out.status.as_u16()), "{}", out.status);
        }
        fuzz.answered(kinds.join(" "));
    }
});

db_test!(revocations, |db| async move {
    let app = TestApp::new(db).await;
    let mut lines = vec![seed::user(7, "alice"), seed::user(8, "bob")];
    lines.extend((0..10).map(|n| seed::session(n, if n == 9 { 7 } else { 8 }, json!({}))));
    lines.push(json!({
        "kind": "token", "key": "a-token-of-alices-own", "intent": "api", "user": 7, "expiring": false, "expires": "2099-01-01T00:00:00Z",
    }));
    app.import(&lines).await;
    let router = rollcall::server::router(&app.app);
    let words: [&[u8]; 18] = [
        b"\"expected_count\"",
        b"\"everyone\"",
        b"\"except_current\"",
        b"\"reason\"",
        b"\"user__username\"",
        b"\"search\"",
        b"\"user\"",
        b"\"network\"",
        b"\"bob\"",
        b"8",
        b"9",
        b"0",
        b"true",
        b"false",
        b"null",
        b":",
        b",",
        b"\\u0000",
    ];
    let seeds = [
        r#"{"everyone": true, "expected_count": 9}"#,
        r#"{"user": 8, "expected_count": 9, "reason": "why"}"#,
        r#"{"search": "bob", "expected_count": 0, "everyone": false}"#,
        r#"{"last_used__lte": "2026-12-01T00:00:00Z", "expected_count": 9, "except_current": false}"#,
        "[]",
    ];
    let mut fuzz = Fuzz::new("revocations", &words, seeds.map(|seed| seed.as_bytes().to_vec()));
    while let Some(input) = fuzz.next() {
        let input = input.as_slice();
        let answer =
            post(&router, &format!("{SESSIONS}revoke/"), header::AUTHORIZATION, "Bearer a-token-of-alices-own", input).await;
        assert!([200, 400, 409, 413].contains(&answer.status.as_u16()), "{}", answer.status);
        // Whatever she says, it is not heard for anybody else.
        assert_eq!(app.number("SELECT count(*) FROM sessions WHERE user_id = 8").await, 9);
        fuzz.answered(answer.kind());
    }
});

db_test!(import_lines, |db| async move {
    let app = TestApp::new(db).await;
    let words: [&[u8]; 24] = [
        b"\"kind\"",
        b"\"user\"",
        b"\"group\"",
        b"\"token\"",
        b"\"session\"",
        b"\"username\"",
        b"\"id\"",
        b"\"password_hash\"",
        b"\"permissions\"",
        b"\"groups\"",
        b"\"uuid\"",
        b"\"session_key\"",
        b"\"last_ip\"",
        b"\"expires\"",
        b"\"intent\"",
        b"\"api\"",
        b"\\u0000",
        b"\\ud800",
        b"\n",
        b":",
        b",",
        b"null",
        b"9223372036854775807",
        b"\"+262142-01-01T00:00:00Z\"",
    ];
    let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    let lines = [
        json!({"kind": "group", "name": "admins", "is_superuser": true, "permissions": ["authentik_core.view_authenticatedsession"]}),
        json!({"kind": "user", "id": 7, "username": "alice", "name": "Alice", "email": "a@example.org", "groups": ["admins"],
            "password_hash": cheap_hash(), "is_active": false}),
        json!({"kind": "token", "key": "an-imported-token-key", "intent": "api", "user": 7, "expiring": true, "expires": "2099-01-01T00:00:00Z",
            "identifier": "one", "description": "words"}),
        seed::session(1, 7, json!({"last_user_agent": agent, "last_ip": "2001:db8::1"})),
    ];
    let whole: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let each = lines.iter().map(|line| format!("{}\n{line}", json!({"kind": "user", "id": 7, "username": "bob"})));
    let seeds: Vec<Vec<u8>> = std::iter::once(whole).chain(each).map(String::into_bytes).collect();
    let mut fuzz = Fuzz::new("import_lines", &words, seeds);
    let mut turn = 0_u32;
    while let Some(input) = fuzz.next() {
        let input = input.as_slice();
        turn += 1;
        let kind = match app.import_bytes(input, true).await {
            Ok(summary) => {
                let rows = app.number("SELECT (SELECT count(*) FROM users) + (SELECT count(*) FROM sessions)").await;
                assert_eq!(rows.unsigned_abs(), summary.users + summary.sessions);
                if turn.is_multiple_of(16) {
                    app.assert_counts().await;
                }
                format!("{:?}", [summary.users, summary.groups, summary.tokens, summary.sessions].map(|count| count.min(2)))
            }
            Err(ImportError::Line { why, .. }) => outline(&why),
            Err(error) => panic!("a file is at fault, and {error} is said"),
        };
        fuzz.answered(kind);
    }
});
