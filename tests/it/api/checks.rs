//! The order of checks (`docs/compat.md` 2): of several things wrong, the first in line is answered.

use serde_json::json;

use crate::support::{SESSIONS, TestApp, raw};

const UNKNOWN: &str = "00000000-0000-4000-8000-00000000dead";

db_test!(the_address_comes_before_everything, |db| async move {
    let app = TestApp::new(db).await;
    for path in [
        "/api/v3/core/authenticated_sessions",
        "/api/v3/core/authenticated_sessions/a.b/",
        "/api/v3/core/authenticated_sessions/a.b/used_by/",
        "/api/v3/core/authenticated_sessions/bulk_delete",
        "/api/v3/core/authenticated_sessions/x/used_by",
        "/api/v3/core/authenticated_sessions/x/y/",
        "/api/v3/core/authenticated_sessions/x/used_by/y/",
        "/api/v3/core/",
        "/api/v3/nothing/",
    ] {
        for method in ["GET", "DELETE", "POST", "OPTIONS"] {
            let headers: [(&str, &[u8]); 2] = [("Accept", b"text/html"), ("Authorization", b"Basic x y")];
            let answer = raw::request(app.address, method, path, &headers, b"").await;
            assert_eq!(answer.status, 404, "{method} {path}");
        }
    }
});

db_test!(the_form_comes_before_the_credentials, |db| async move {
    let app = TestApp::new(db).await;
    let nobody = app.anonymous().with_header("accept", "text/html");
    for path in [
        SESSIONS.to_owned(),
        format!("{SESSIONS}{UNKNOWN}/"),
        format!("{SESSIONS}{UNKNOWN}/used_by/"),
        format!("{SESSIONS}bulk_delete/"),
    ] {
        nobody.delete(&path).await.assert_detail(406, "Could not satisfy the request Accept header.");
        nobody.delete(&format!("{path}?format=xml")).await.assert_detail(404, "Not found.");
        let refused = nobody.with_header("accept", "*/*").delete(&path).await;
        refused.assert_detail(403, "Authentication credentials were not provided.");
    }
});

db_test!(credentials_come_before_the_method_and_the_object, |db| async move {
    let app = TestApp::new(db).await;
    let nobody = app.anonymous();
    for method in ["GET", "HEAD", "DELETE", "PUT", "BREW"] {
        for path in [format!("{SESSIONS}{UNKNOWN}/"), format!("{SESSIONS}nonsense/"), format!("{SESSIONS}nonsense/used_by/")] {
            let answer = nobody.request(method, &path).await.assert_status(403);
            assert!(answer.header("www-authenticate").is_none());
        }
    }
    let wrong = nobody.with_bearer("wrong");
    wrong.request("POST", SESSIONS).await.assert_detail(403, "Token invalid/expired");
});

db_test!(csrf_comes_before_permission_and_method, |db| async move {
    let app = TestApp::new(db).await;
    let browser = app.user("alice").await.session().await;
    for (method, path) in [("POST", SESSIONS.to_owned()), ("DELETE", format!("{SESSIONS}bulk_delete/")), ("PUT", browser.url())] {
        browser.request(method, &path).await.assert_detail(403, "CSRF Failed: CSRF cookie not set.");
    }
    let meant = browser.with_csrf();
    meant.request("POST", SESSIONS).await.assert_detail(403, "You do not have permission to perform this action.");
    meant.request("PUT", &browser.url()).await.assert_detail(405, "Method \"PUT\" not allowed.");
});

db_test!(permission_for_the_collection_comes_before_the_method, |db| async move {
    let app = TestApp::new(db).await;
    let (admin, alice) = (app.admin_token().await, app.user("alice").await.token().await);
    let bulk = format!("{SESSIONS}bulk_delete/");
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        alice.request(method, SESSIONS).await.assert_detail(403, "You do not have permission to perform this action.");
        alice.request(method, &bulk).await.assert_detail(403, "You do not have permission to perform this action.");
        admin.request(method, SESSIONS).await.assert_detail(405, &format!("Method \"{method}\" not allowed."));
    }
    // The address of one session asks for no permission before the method.
    for method in ["POST", "PUT", "PATCH"] {
        alice
            .request(method, &format!("{SESSIONS}{UNKNOWN}/"))
            .await
            .assert_detail(405, &format!("Method \"{method}\" not allowed."));
    }
});

db_test!(the_method_comes_before_the_object_and_the_object_before_parameters, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user("alice").await.token().await;
    alice.request("PUT", &format!("{SESSIONS}nonsense/")).await.assert_detail(405, "Method \"PUT\" not allowed.");
    let unknown = format!("{SESSIONS}{UNKNOWN}/?page=nonsense&session__last_ip=nonsense");
    alice.get(&unknown).await.assert_detail(404, "No AuthenticatedSession matches the given query.");
});

db_test!(a_bad_filter_comes_before_a_bad_search_and_that_before_a_bad_page, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user("alice").await.token().await;
    let all = alice.get(&format!("{SESSIONS}?page=0&search=%00&session__last_ip=x&user__username=%00")).await.assert_status(400);
    let want = json!({
        "session__last_ip": ["Enter a valid IPv4 or IPv6 address."],
        "user__username": ["Null characters are not allowed."],
    });
    assert_eq!(all.json(), want);
    let search = alice.get(&format!("{SESSIONS}?page=0&search=%00")).await.assert_status(400);
    assert_eq!(search.json(), json!(["Null characters are not allowed."]));
    alice.get(&format!("{SESSIONS}?page=0")).await.assert_detail(404, "Invalid page.");
});
