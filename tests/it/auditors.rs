//! Auditors: they read everything that administrators read, and change nothing.

use std::collections::BTreeMap;

use rollcall::domain::Permission;
use serde_json::json;

use crate::support::{Caller, TestApp};

/// Where the columns of `tests/golden/matrix.txt` are: by token, and by cookie.
const VIEWER: [usize; 2] = [3, 12];
const AUDITOR: [usize; 2] = [5, 14];
const ADMIN: [usize; 2] = [6, 15];

/// Pages that only ask before something is changed, or hold a form: an auditor has nothing to do there.
fn is_form(path: &str) -> bool {
    path.ends_with("/new")
        || path.ends_with("/edit")
        || path.ends_with("/remove")
        || path.ends_with("/erase")
        || path.ends_with("/import")
        || path.ends_with("/drop")
        || path.starts_with("/applications/") && ["/guard", "/client", "/rules/{number}"].iter().any(|end| path.ends_with(end))
        || path.starts_with("/users/") && (path.ends_with("/active") || path.ends_with("/remove-factors"))
        || path == "/sessions/all/end"
        || path.starts_with("/watch/sessions/") && path.ends_with("/end")
}

/// The cells of the matrix by address and method.
fn matrix() -> BTreeMap<(String, String), Vec<String>> {
    let text = include_str!("../golden/matrix.txt");
    let (mut path, mut rows) = (String::new(), BTreeMap::new());
    for line in text.lines() {
        if line.starts_with('/') {
            path = line.to_owned();
            continue;
        }
        let Some((methods, cells)) = line.split_at_checked(24).filter(|(methods, _)| methods.starts_with(char::is_uppercase))
        else {
            continue;
        };
        if path.is_empty() {
            continue;
        }
        let cells: Vec<String> = if cells.trim_end().ends_with("for all") {
            vec![cells.trim().trim_end_matches("for all").trim().to_owned(); 19]
        } else {
            let cells = cells.replace(" | ", " ");
            let cells: Vec<char> = cells.chars().collect();
            cells.chunks(9).map(|cell| cell.iter().collect::<String>().trim().to_owned()).collect()
        };
        for method in methods.split_whitespace() {
            rows.insert((path.clone(), method.to_owned()), cells.clone());
        }
    }
    rows
}

#[test]
fn at_every_address_an_auditor_reads_as_administrators_and_changes_as_a_viewer() {
    let rows = matrix();
    assert!(rows.len() > 400, "{}", rows.len());
    let mut wrong = Vec::new();
    let mut read = 0;
    for ((path, method), cells) in &rows {
        let of = |columns: [usize; 2]| columns.map(|at| cells.get(at).cloned().unwrap_or_default());
        let (viewer, auditor, admin) = (of(VIEWER), of(AUDITOR), of(ADMIN));
        let is_read = method == "GET" || method == "OPTIONS";
        // The key of a token opens what its owner may do.
        let is_secret = path.ends_with("/view_key/");
        let should = if !is_read || is_form(path) || is_secret { &viewer } else { &admin };
        // Who is let in to see is told that they may not, and not that there is nothing.
        let is_told = (!is_read || is_secret) && auditor.iter().zip(&viewer).all(|(a, v)| a == v || (a == "403" && v == "404"));
        if auditor != *should && !is_told {
            wrong.push(format!("{method} {path}: {auditor:?} and not {should:?}"));
        }
        read += usize::from(is_read && admin != viewer && auditor == admin);
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(read > 60, "{read}");
}

db_test!(a_group_makes_auditors_and_they_see_what_administrators_see, |db| async move {
    let app = TestApp::new(db).await;
    let root = app.superuser("root").await;
    let (by_token, alice) = (root.token().await, app.user_who_may("alice", &[Permission::ViewSessions]).await);
    let groups = "/api/v3/core/groups/";
    let above = by_token.post_json(groups, &json!({"name": "audit", "rollcall_is_auditor": true})).await.assert_status(201).json();
    assert_eq!(above["rollcall_is_auditor"], true);
    let auditor = app.user("auditor").await;
    let (token, browser) = (auditor.token().await, auditor.session().await);
    for path in ["/api/v3/core/users/", "/api/v3/events/events/", "/api/v3/admin/system/"] {
        token.get(path).await.assert_status(403);
    }
    let within = json!({"name": "within", "parents": [above["pk"]], "users": [auditor.id.0]});
    by_token.post_json(groups, &within).await.assert_status(201);
    for path in ["/api/v3/core/users/", "/api/v3/core/tokens/", "/api/v3/events/events/", groups, "/api/v3/admin/system/"] {
        let count = async |caller: &Caller| caller.get(path).await.assert_status(200).json()["pagination"]["count"].clone();
        assert_eq!(count(&token).await, count(&by_token).await, "{path}");
    }
    let user = format!("/users/{}", alice.id.0);
    for path in [
        "/users",
        "/groups",
        "/events",
        "/tokens",
        "/settings",
        "/settings/policy",
        "/sessions/all",
        "/map",
        &user,
        &format!("{user}/policy"),
    ] {
        // A token of one's own is one's own.
        let text = browser.get(path).await.assert_status(200).text().replace("href=\"/tokens/new\"", "");
        for offered in
            ["/edit", "/new", "action=\"/users/", "action=\"/groups/", "action=\"/settings", "End all sessions", "name=\"id\""]
        {
            assert!(!text.contains(offered), "{path} offers {offered}");
        }
    }
    assert!(browser.get(&user).await.text().contains("See everybody’s sessions (set here)"));
    assert!(browser.get(&format!("/users/{}", auditor.id.0)).await.text().contains("See everything (by the group audit)"));
    assert!(browser.get("/users?auditor=yes").await.text().contains("1 user<"));
    // Nothing of it changes anything.
    let session = alice.session().await;
    token.delete(&session.url()).await.assert_status(403);
    token.send_json("PATCH", &format!("/api/v3/core/users/{}/", auditor.id.0), &json!({"name": "x"})).await.assert_status(403);
    let proof = browser.get("/users").await.proof();
    for (path, fields) in [
        (format!("{user}/active"), vec![("active", "no")]),
        (format!("{user}/edit"), vec![("username", "x"), ("version", "0")]),
        ("/users".to_owned(), vec![("username", "newcomer")]),
        ("/users/import".to_owned(), vec![("csv", "username\nx\n"), ("store", "yes")]),
        ("/settings/policy".to_owned(), vec![("stored", "{}"), ("idle", "1m")]),
        ("/sessions/all/end".to_owned(), vec![("ids", session.uuid.as_str()), ("expected", "1")]),
    ] {
        let fields: Vec<(&str, &str)> = [("proof", proof.as_str())].into_iter().chain(fields).collect();
        browser.post_form(&path, &fields).await.assert_status(403);
    }
    session.get(crate::support::SESSIONS).await.assert_status(200);
    // One's own session is one's own.
    browser.with_csrf().delete(&browser.url()).await.assert_status(204);
    // Without the group nothing is seen any more, at once.
    let gone = by_token.delete(&format!("{groups}{}/", above["pk"].as_str().unwrap())).await;
    gone.assert_status(204);
    token.get("/api/v3/core/users/").await.assert_status(403);
});
