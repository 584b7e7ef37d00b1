//! What may be asked for, and in what form it comes (`docs/compat.md` 3).

use crate::support::{SESSIONS, TestApp, raw, seed};
use serde_json::json;

db_test!(json_is_taken_in_many_ways, |db| async move {
    let app = TestApp::new(db).await;
    let key = app.superuser("root").await.token_key(rollcall::domain::user::TokenIntent::Api, None).await;
    let bearer = format!("Bearer {key}");
    for accept in [
        None,
        Some("*/*"),
        Some("application/*"),
        Some("application/json"),
        Some("APPLICATION/JSON"),
        Some("application/json; indent=4"),
        Some("application/json;q=0"),
        Some("text/html, application/json;q=0.1"),
        Some("text/html,*/*;q=0.8"),
    ] {
        let mut headers: Vec<(&str, &[u8])> = vec![("Authorization", bearer.as_bytes())];
        headers.extend(accept.map(|accept| ("Accept", accept.as_bytes())));
        let answer = raw::request(app.address, "GET", SESSIONS, &headers, b"").await.assert_status(200);
        assert!(answer.header("content-type").unwrap().starts_with("application/json"), "{accept:?}");
    }
    for accept in ["", "text/html", "application/xml", "application/jsonx", "json", "text/*", "application"] {
        let headers: [(&str, &[u8]); 2] = [("Authorization", bearer.as_bytes()), ("Accept", accept.as_bytes())];
        let answer = raw::request(app.address, "GET", SESSIONS, &headers, b"").await;
        answer.assert_detail(406, "Could not satisfy the request Accept header.");
    }
    let two: [(&str, &[u8]); 3] = [("Authorization", bearer.as_bytes()), ("Accept", b"text/html"), ("Accept", b"application/json")];
    raw::request(app.address, "GET", SESSIONS, &two, b"").await.assert_status(200);
});

db_test!(format_is_json_or_nothing, |db| async move {
    let app = TestApp::new(db).await;
    let admin = app.admin_token().await;
    for good in ["format=json", "format=", "format", "format=xml&format=json"] {
        admin.get(&format!("{SESSIONS}?{good}")).await.assert_status(200);
    }
    for bad in ["format=JSON", "format=api", "format=json%20", "format=json&format=csv"] {
        admin.get(&format!("{SESSIONS}?{bad}")).await.assert_detail(404, "Not found.");
    }
    let picky = admin.with_header("accept", "text/csv");
    picky.get(&format!("{SESSIONS}?format=json")).await.assert_detail(406, "Could not satisfy the request Accept header.");
});

db_test!(text_is_not_escaped_and_answers_vary_by_cookie, |db| async move {
    let app = TestApp::new(db).await;
    app.import(&[seed::user(7, "Zoë"), seed::session(1, 7, json!({"last_user_agent": "Räuber/1 żółć 🦊"}))]).await;
    let answer = app.admin_token().await.get(SESSIONS).await.assert_status(200);
    assert!(answer.text().contains("Räuber/1 żółć 🦊"));
    for header in [answer.clone(), app.anonymous().get(SESSIONS).await] {
        assert_eq!(header.header("vary"), Some("Cookie"));
        assert_eq!(header.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(header.header("cache-control"), Some("no-store"));
    }
});

db_test!(errors_are_english_whatever_is_asked_for, |db| async move {
    let app = TestApp::new(db).await;
    let answer = app.anonymous().with_header("accept-language", "de").get(SESSIONS).await;
    answer.assert_detail(403, "Authentication credentials were not provided.");
});
