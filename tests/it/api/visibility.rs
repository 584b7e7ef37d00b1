//! Who sees what, and who may end what (`docs/compat.md` 6): the whole matrix.

use rollcall::domain::Permission;
use serde_json::json;

use crate::support::{Caller, SESSIONS, TestApp, encode};

const FORBIDDEN: &str = "You do not have permission to perform this action.";
const UNSEEN: &str = "No AuthenticatedSession matches the given query.";

fn own_uuid(url: &str) -> String {
    url.trim_start_matches(SESSIONS).trim_end_matches('/').to_owned()
}

/// How many a caller sees, and the status of ending their own session, another's, and everything of
/// another in bulk.
async fn assert_matrix(app: &TestApp, name: &str, caller: &Caller, own: &str, want: (i64, u16, u16, u16)) {
    let victim = app.user(&format!("victim of {name}")).await;
    let (single, bulk) = (victim.session().await, victim.session().await);
    let seen = if want.0 == 1 { 200 } else { 404 };
    for path in [single.url(), format!("{}used_by/", single.url()), format!("{}details/", single.url())] {
        let answer = if want.0 == 1 { caller.get(&path).await.assert_status(200) } else { caller.get(&path).await };
        assert_eq!(answer.status, seen, "{name} looks at another's");
    }
    // Neither a filter nor a search widens what is seen.
    let filter = format!("{SESSIONS}?user__username={}", encode(&victim.name));
    assert_eq!(caller.get(&filter).await.count(), want.0 * 2, "{name}");
    assert_eq!(caller.get(&format!("{SESSIONS}?search={}", encode(&victim.name))).await.count(), want.0 * 2, "{name}");
    // Who sees only their own is not asked whose: theirs is the answer.
    let by_key = caller.get(&format!("{SESSIONS}?user={}", victim.id.0)).await;
    assert_eq!(by_key.count(), if want.0 == 1 { 2 } else { 1 }, "{name}");
    assert!(want.0 == 1 || by_key.uuids() == [own_uuid(own)], "{name}");

    let other = caller.delete(&single.url()).await;
    assert_eq!(other.status, want.2, "{name} ends another's");
    match want.2 {
        403 => other.assert_detail(403, FORBIDDEN),
        404 => other.assert_detail(404, UNSEEN),
        _ => single.get(SESSIONS).await.assert_detail(403, "Authentication credentials were not provided."),
    }
    let many = caller.delete(&format!("{SESSIONS}bulk_delete/?user_pks={}", victim.id.0)).await;
    assert_eq!(many.status, want.3, "{name} ends another's in bulk");
    if want.3 == 403 {
        many.assert_detail(403, FORBIDDEN);
        bulk.get(SESSIONS).await.assert_status(200);
    } else {
        bulk.get(SESSIONS).await.assert_status(403);
    }
    assert_eq!(caller.delete(own).await.status, want.1, "{name} ends their own");
}

db_test!(the_matrix, |db| async move {
    let app = TestApp::new(db).await;
    let (view, end) = (Permission::ViewSessions, Permission::DeleteSessions);
    for (name, permissions, want) in [
        ("nobody special", vec![], (0, 204, 404, 403)),
        ("viewer", vec![view], (1, 204, 403, 403)),
        ("deleter", vec![end], (0, 204, 404, 200)),
        ("both", vec![view, end], (1, 204, 204, 200)),
    ] {
        let user = app.user_who_may(name, &permissions).await;
        let session = user.session().await;
        assert_matrix(&app, name, &user.token().await, &session.url(), want).await;
    }
    let root = app.superuser("root").await;
    let session = root.session().await;
    assert_matrix(&app, "root", &root.token().await, &session.url(), (1, 204, 204, 200)).await;
    app.assert_counts().await;
});

db_test!(groups_give_what_they_have, |db| async move {
    let app = TestApp::new(db).await;
    app.import(&[
        json!({"kind": "group", "name": "auditors", "permissions": ["authentik_core.view_authenticatedsession"]}),
        json!({"kind": "group", "name": "admins", "is_superuser": true}),
        json!({"kind": "user", "id": 20, "username": "auditor", "groups": ["auditors"]}),
        json!({"kind": "user", "id": 21, "username": "root", "groups": ["admins", "auditors"]}),
        json!({"kind": "token", "key": "a-token-of-the-auditor", "intent": "api", "user": 20, "expiring": false, "expires": "2099-01-01T00:00:00Z"}),
        json!({"kind": "token", "key": "a-token-of-the-root-user", "intent": "api", "user": 21, "expiring": false, "expires": "2099-01-01T00:00:00Z"}),
    ])
    .await;
    let session = app.user("alice").await.session().await;
    let (auditor, root) =
        (app.anonymous().with_bearer("a-token-of-the-auditor"), app.anonymous().with_bearer("a-token-of-the-root-user"));
    auditor.get(&session.url()).await.assert_status(200);
    auditor.delete(&session.url()).await.assert_detail(403, FORBIDDEN);
    root.request("POST", SESSIONS).await.assert_status(405);
    root.delete(&session.url()).await.assert_status(204);
});
