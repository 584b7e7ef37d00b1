//! Methods (`docs/compat.md` 13).

use std::collections::BTreeSet;

use serde_json::json;

use crate::support::{Answer, SESSIONS, TestApp, raw};

fn allowed(answer: &Answer) -> BTreeSet<String> {
    answer.header("allow").unwrap_or_default().split(", ").map(str::to_owned).collect()
}

fn set(names: &str) -> BTreeSet<String> {
    names.split(' ').map(str::to_owned).collect()
}

db_test!(wrong_methods_are_told_the_right_ones, |db| async move {
    let app = TestApp::new(db).await;
    let root = app.superuser("root").await;
    let (session, token) = (root.session().await, root.token().await);
    for (path, right) in [
        (SESSIONS.to_owned(), "GET HEAD OPTIONS"),
        (session.url(), "GET DELETE HEAD OPTIONS"),
        (format!("{}used_by/", session.url()), "GET HEAD OPTIONS"),
        (format!("{}details/", session.url()), "GET HEAD OPTIONS"),
        (format!("{SESSIONS}bulk_delete/"), "DELETE OPTIONS"),
        (format!("{SESSIONS}revoke/"), "POST OPTIONS"),
        ("/api/v3/core/ended_sessions/".to_owned(), "GET HEAD OPTIONS"),
    ] {
        let right = set(right);
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW", "PROPFIND"] {
            if right.contains(method) {
                continue;
            }
            let answer = token.request(method, &path).await;
            assert_eq!((answer.status, allowed(&answer)), (405, right.clone()), "{method} {path}");
            if method != "HEAD" {
                answer.assert_detail(405, &format!("Method \"{method}\" not allowed."));
            }
        }
        let options = token.request("OPTIONS", &path).await.assert_status(200);
        assert_eq!(allowed(&options), right);
    }
    session.get(&session.url()).await.assert_status(200);
});

db_test!(options_describe_each_address, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user("alice").await;
    let (session, token) = (alice.session().await, alice.token().await);
    for (path, name, description) in [
        (SESSIONS.to_owned(), "Authenticated Session List", "AuthenticatedSession Viewset"),
        (session.url(), "Authenticated Session Instance", "AuthenticatedSession Viewset"),
        (format!("{}used_by/", session.url()), "Used by", "Get a list of all objects that use this object"),
        (format!("{}details/", session.url()), "Session Details", "A session, with how it was signed in to"),
        (format!("{SESSIONS}bulk_delete/"), "Bulk delete", "Bulk revoke all sessions for multiple users"),
        (format!("{SESSIONS}revoke/"), "Revoke", "End all sessions that match"),
    ] {
        let media = ["application/json"];
        let want = json!({"name": name, "description": description, "renders": media, "parses": media});
        assert_eq!(token.request("OPTIONS", &path).await.assert_status(200).json(), want);
    }
});

db_test!(head_is_get_without_the_body, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user("alice").await;
    let session = alice.session().await;
    let cookie = format!("rollcall_session={}", session.key);
    for path in [
        SESSIONS.to_owned(),
        session.url(),
        format!("{}used_by/", session.url()),
        format!("{}details/", session.url()),
        format!("{SESSIONS}x/"),
        format!("{SESSIONS}?page=9"),
    ] {
        let ask = async |method| raw::request(app.address, method, &path, &[("Cookie", cookie.as_bytes())], b"").await;
        let (get, head) = (ask("GET").await, ask("HEAD").await);
        assert!(head.bytes.is_empty() && !get.bytes.is_empty());
        assert_eq!(get.status, head.status, "{path}");
        for name in ["content-type", "content-length", "vary", "allow"] {
            assert_eq!(get.header(name), head.header(name), "{name} of {path}");
        }
    }
    raw::request(app.address, "HEAD", SESSIONS, &[], b"").await.assert_status(403);
});
