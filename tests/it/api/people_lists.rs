//! Filters, search and orders of the lists of users and groups; and the administrator who must remain.

use std::time::Duration;

use serde_json::{Value, json};

use super::users::{USERS, add, url};
use crate::support::{Caller, SESSIONS, TestApp};

const GROUPS: &str = "/api/v3/core/groups/";

fn names(body: &Value) -> Vec<&str> {
    body["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["username"].as_str().unwrap_or_else(|| row["name"].as_str().unwrap()))
        .collect()
}

async fn assert_users(admin: &Caller, query: &str, want: &[&str]) {
    let body = admin.get(&format!("{USERS}?{query}")).await.assert_status(200).json();
    assert_eq!(names(&body), want, "{query}");
    assert_eq!(body["pagination"]["count"], want.len(), "{query}");
}

/// `the admin`, who made alice, bob and carol, one a minute.
async fn populated(app: &TestApp) -> Caller {
    let admin = app.admin_token().await;
    let staff = admin.post_json(GROUPS, &json!({"name": "staff"})).await.assert_status(201).json();
    let crew = admin.post_json(GROUPS, &json!({"name": "crew", "is_superuser": true})).await.assert_status(201).json();
    for body in [
        json!({"username": "alice", "name": "Zoë", "email": "a@x.example", "groups": [staff["pk"]], "attributes": {"a": {"b": 1}, "c": true}}),
        json!({"username": "bob", "name": "Ÿ", "email": "b@x.example", "path": "users/north", "type": "external", "is_active": false,
            "groups": [crew["pk"]], "attributes": {"a": {"b": 2}, "c": 1}}),
        json!({"username": "carol", "name": "", "type": "service_account", "last_login": "2026-10-01T00:00:00Z", "path": "users/north/pole"}),
    ] {
        app.advance(Duration::from_secs(60));
        add(&admin, &body).await;
    }
    admin
}

db_test!(users_are_filtered_by_every_name_of_the_contract, |db| async move {
    let app = TestApp::new(db).await;
    let admin = populated(&app).await;
    let carol = admin.get(&format!("{USERS}?username=carol")).await.json()["results"][0].clone();
    let staff = admin.get(&format!("{GROUPS}?name=staff")).await.json()["results"][0]["pk"].as_str().unwrap().to_owned();
    for (query, want) in [
        ("username=alice", &["alice"][..]),
        ("username=ALICE", &[]),
        ("username=%20alice%20", &["alice"]),
        ("email=b@x.example", &["bob"]),
        ("name=Zo%C3%AB", &["alice"]),
        ("path=users/north", &["bob"]),
        ("path_startswith=users/n", &["bob", "carol"]),
        ("path_startswith=users%25", &[]),
        ("is_active=false", &["bob"]),
        ("is_active=True&path_startswith=users/n", &["carol"]),
        ("is_active=1", &["alice", "bob", "carol", "the admin"]),
        ("is_superuser=true", &["bob", "the admin"]),
        ("is_superuser=false", &["alice", "carol"]),
        ("type=external&type=service_account", &["bob", "carol"]),
        ("groups_by_name=staff&groups_by_name=crew", &["alice", "bob"]),
        (&format!("groups_by_pk={staff}"), &["alice"]),
        (&format!("uuid={}", carol["uuid"].as_str().unwrap()), &["carol"]),
        ("attributes={\"a__b\":1}", &["alice"]),
        ("attributes={\"a\":{\"b\":2}}", &["bob"]),
        ("attributes={\"c\":true}", &["alice"]),
        ("attributes={\"c\":1}", &["bob"]),
        ("attributes={\"c\":true,\"a__b\":2}", &[]),
        ("attributes={\"x'y\\\"z\":1}", &[]),
        ("date_joined=2026-11-01T12:01:00Z", &["alice"]),
        ("date_joined__lt=2026-11-01T12:02:00Z&path_startswith=users", &["alice", "the admin"]),
        ("date_joined__gt=2026-11-01T12:02:00Z", &["carol"]),
        ("last_updated__gt=2026-11-01T12:02:30Z", &["carol"]),
        ("last_login=2026-10-01", &["carol"]),
        ("last_login__gt=2026-09-30", &["carol"]),
        ("last_login__lt=2026-10-02", &["carol"]),
        ("last_login__isnull=false", &["carol"]),
        ("last_login__isnull=true&is_active=true", &["alice", "the admin"]),
        ("search=zo%C3%8B", &["alice"]),
        ("search=X.EXAMPLE", &["alice", "bob"]),
        ("search=x.example,b@", &["bob"]),
        (&format!("search={}", &carol["uuid"].as_str().unwrap()[..13]), &["carol"]),
    ] {
        assert_users(&admin, query, want).await;
    }
    for (query, field, why) in [
        ("type=weird", "type", "Select a valid choice. weird is not one of the available choices."),
        ("type=internal,external", "type", "Select a valid choice. internal,external is not one of the available choices."),
        ("groups_by_name=nope", "groups_by_name", "Select a valid choice. nope is not one of the available choices."),
        ("groups_by_pk=nope", "groups_by_pk", "Select a valid choice. nope is not one of the available choices."),
        ("roles_by_name=nope", "roles_by_name", "Select a valid choice. nope is not one of the available choices."),
        ("uuid=nope", "uuid", "Enter a valid UUID."),
        ("date_joined=soon", "date_joined", "Enter a valid date/time."),
        ("username=%00", "username", "Null characters are not allowed."),
    ] {
        let answer = admin.get(&format!("{USERS}?{query}")).await.assert_status(400).json();
        assert_eq!(answer, json!({ field: [why] }), "{query}");
    }
    for (query, why) in
        [("attributes=x", "filter: failed to parse JSON"), ("attributes=[]", "filter: value must be key:value mapping")]
    {
        assert_eq!(admin.get(&format!("{USERS}?{query}")).await.assert_status(400).json(), json!([why]));
    }
    for query in ["attributes={\"a\":\"\\u0000\"}", "attributes={\"a\\u0000\":1}", "attributes={\"a\":[{\"\\u0000\":1}]}"] {
        let refused = admin.get(&format!("{USERS}?{query}")).await.assert_status(400);
        assert!(refused.text().contains("Null characters are not allowed."), "{query}: {}", refused.text());
    }
    let paths = admin.get(&format!("{USERS}paths/")).await.assert_status(200).json();
    assert_eq!(paths, json!({"paths": ["users", "users/north", "users/north/pole"]}));
    let paths = admin.get(&format!("{USERS}paths/?search=bob")).await.json();
    assert_eq!(paths, json!({"paths": ["users/north"]}));
});

db_test!(users_come_in_every_order_each_once, |db| async move {
    let app = TestApp::new(db).await;
    let admin = populated(&app).await;
    for (order, want) in [
        ("", ["alice", "bob", "carol", "the admin"]),
        ("nonsense,is_superuser,uid", ["alice", "bob", "carol", "the admin"]),
        ("-username", ["the admin", "carol", "bob", "alice"]),
        ("pk", ["the admin", "alice", "bob", "carol"]),
        ("is_active", ["bob", "the admin", "alice", "carol"]),
        ("last_login", ["the admin", "alice", "bob", "carol"]),
        ("-last_login", ["carol", "bob", "alice", "the admin"]),
        ("-is_active", ["carol", "alice", "the admin", "bob"]),
        ("attributes", ["alice", "bob", "the admin", "carol"]),
        ("-attributes", ["carol", "the admin", "bob", "alice"]),
        ("-date_joined", ["carol", "bob", "alice", "the admin"]),
        ("-email", ["bob", "alice", "carol", "the admin"]),
        ("path,-username", ["the admin", "alice", "bob", "carol"]),
        ("type,username", ["bob", "alice", "the admin", "carol"]),
        ("-last_updated", ["carol", "bob", "alice", "the admin"]),
        ("password_change_date", ["the admin", "alice", "bob", "carol"]),
    ] {
        let body = admin.get(&format!("{USERS}?ordering={order}")).await.assert_status(200).json();
        assert_eq!(names(&body), want, "{order}");
        let mut walked = Vec::new();
        for page in 1..=2 {
            let body = admin.get(&format!("{USERS}?ordering={order}&page_size=2&page={page}")).await.json();
            walked.extend(names(&body).into_iter().map(str::to_owned));
        }
        assert_eq!(walked, want, "{order}, page by page");
    }
    for order in ["name", "uuid", "attributes", "-attributes"] {
        assert_eq!(names(&admin.get(&format!("{USERS}?ordering={order}")).await.assert_status(200).json()).len(), 4);
    }
});

db_test!(groups_are_filtered_searched_and_ordered, |db| async move {
    let app = TestApp::new(db).await;
    let admin = populated(&app).await;
    let alice = admin.get(&format!("{USERS}?username=alice")).await.json()["results"][0]["pk"].clone();
    admin.post_json(GROUPS, &json!({"name": "Zürich", "attributes": {"a": 1}})).await.assert_status(201);
    for (query, want) in [
        ("", &["Zürich", "crew", "staff"][..]),
        ("name=staff", &["staff"]),
        ("name=STAFF", &[]),
        ("is_superuser=true", &["crew"]),
        ("members_by_username=alice&members_by_username=bob", &["crew", "staff"]),
        (&format!("members_by_pk={alice}"), &["staff"]),
        ("attributes={\"a\":1}", &["Zürich"]),
        ("search=Z%C3%9C", &["Zürich"]),
        ("search=tru", &["crew"]),
        ("search=nothing", &[]),
        ("ordering=-name", &["staff", "crew", "Zürich"]),
        ("ordering=-is_superuser,name", &["crew", "Zürich", "staff"]),
    ] {
        let body = admin.get(&format!("{GROUPS}?{query}")).await.assert_status(200).json();
        assert_eq!(names(&body), want, "{query}");
    }
    for (query, value) in [("members_by_username=nobody", "nobody"), ("members_by_pk=999999", "999999"), ("members_by_pk=x", "x")] {
        let field = query.split('=').next().unwrap();
        let why = format!("Select a valid choice. {value} is not one of the available choices.");
        assert_eq!(admin.get(&format!("{GROUPS}?{query}")).await.assert_status(400).json(), json!({ field: [why] }));
    }
});

db_test!(the_last_administrator_who_can_sign_in_stays, |db| async move {
    let app = TestApp::new(db).await;
    let root = app.superuser_with_password("root").await;
    // A token of an administrator who cannot sign in.
    let admin = app.admin_token().await;
    let address = format!("{USERS}{}/", root.id.0);
    let refused = json!({"non_field_errors": ["No administrator who can sign in would be left."]});
    let patched = admin.send_json("PATCH", &address, &json!({"is_active": false})).await.assert_status(400).json();
    assert_eq!(patched, refused);
    assert_eq!(admin.delete(&address).await.assert_status(400).json(), refused);
    // By a group, and by an ancestor of one.
    let top = admin.post_json(GROUPS, &json!({"name": "top", "is_superuser": true})).await.json();
    let body = json!({"name": "inner", "parents": [top["pk"]]});
    let inner = admin.post_json(GROUPS, &body).await.assert_status(201).json();
    let alice = app.user_with_password("alice").await;
    let group = |group: &Value| format!("{GROUPS}{}/", group["pk"].as_str().unwrap());
    admin.post_json(&format!("{}add_user/", group(&inner)), &json!({"pk": alice.id.0})).await.assert_status(204);
    admin.delete(&address).await.assert_status(204);
    let member = json!({"pk": alice.id.0});
    for answer in [
        admin.post_json(&format!("{}remove_user/", group(&inner)), &member).await,
        admin.send_json("PUT", &group(&inner), &json!({"name": "inner", "parents": [top["pk"]]})).await,
        admin.send_json("PATCH", &group(&inner), &json!({"parents": []})).await,
        admin.send_json("PATCH", &group(&top), &json!({"is_superuser": false})).await,
        admin.delete(&group(&top)).await,
        admin.delete(&group(&inner)).await,
        admin.send_json("PUT", &url(&json!(alice.id.0)), &json!({"username": "alice", "name": ""})).await,
        admin.send_json("PATCH", &url(&json!(alice.id.0)), &json!({"is_active": false})).await,
        admin.delete(&url(&json!(alice.id.0))).await,
    ] {
        assert_eq!(answer.assert_status(400).json(), refused);
    }
    assert_eq!(admin.get(&group(&inner)).await.json()["users"], json!([alice.id.0]), "all was undone");
    alice.session().await.get(USERS).await.assert_status(200);
});

db_test!(older_names_of_filters_find_the_same_sessions, |db| async move {
    let app = TestApp::new(db).await;
    let (admin, alice, bob) = (app.admin_token().await, app.user("alice").await, app.user("bob").await);
    alice.session_on("192.0.2.1", "curl/8").await;
    bob.session_on("192.0.2.2", "Other/1").await;
    for query in ["last_ip=192.0.2.1", "last_user_agent=curl/8", "last_ip=192.0.2.1&session__last_ip=192.0.2.1"] {
        assert_eq!(admin.get(&format!("{SESSIONS}?{query}")).await.assert_status(200).count(), 1, "{query}");
    }
    admin.get(&format!("{SESSIONS}?last_ip=192.0.2.1&session__last_ip=192.0.2.2")).await.assert_status(400);
    admin.get(&format!("{SESSIONS}?last_ip=x")).await.assert_status(400);
    let revoke = format!("{SESSIONS}revoke/");
    let ended = admin.post_json(&revoke, &json!({"last_ip": "192.0.2.1", "expected_count": 1})).await.assert_status(200).json();
    assert_eq!(ended["ended"], 1);
    for query in ["last_ip=192.0.2.1", "last_user_agent=curl/8", &format!("user={}", alice.id.0)] {
        assert_eq!(admin.get(&format!("/api/v3/core/ended_sessions/?{query}")).await.assert_status(200).count(), 1, "{query}");
    }
});

/// How many users a search finds, and their names on a page.
async fn found(admin: &Caller, query: &str) -> (u64, Vec<String>) {
    let size = if query.contains("page_size") { "" } else { "page_size=100&" };
    let body = admin.get(&format!("{USERS}?{size}{query}")).await.assert_status(200).json();
    let count = body["pagination"]["count"].as_u64().unwrap();
    (count, names(&body).into_iter().map(str::to_owned).collect())
}

db_test!(a_search_that_thousands_match_follows_every_change, |db| async move {
    let app = TestApp::new(db).await;
    let admin = app.admin_token().await;
    let all: Vec<String> = (0..2_100).map(|nth| format!("crowd{nth:04}")).collect();
    let lines: Vec<Value> = all.iter().map(|name| json!({"kind": "user", "username": name, "name": "Zoë"})).collect();
    app.import(&lines).await;
    let with = |digits: &str| all.iter().filter(|name| name.contains(digits)).cloned().collect::<Vec<_>>();
    // Many first questions at once, all of which find that nothing was read yet.
    let ask = || found(&admin, "search=crowd");
    let (one, two, three, four) = tokio::join!(ask(), ask(), ask(), ask());
    assert!([one, two, three, four].iter().all(|(count, page)| *count == 2_100 && page == &all[..100]));
    let history = || admin.get("/api/v3/core/ended_sessions/?search=crowd");
    let (one, two, three, four) = tokio::join!(history(), history(), history(), history());
    for answer in [one, two, three, four] {
        assert_eq!(answer.assert_status(200).json()["pagination"]["count"], 0);
    }
    // Each question twice: the second answer comes from what the first one left in memory.
    for _ in 0..2 {
        for (query, want) in [
            ("search=crowd&page=1", &all[..100]),
            ("search=crowd&page=21", &all[2_000..]),
            ("search=crowd%20zo%C3%AB&page=3", &all[200..300]),
            // One letter; and another order than what is sorted in memory.
            ("search=w&page=2", &all[100..200]),
            ("search=w&ordering=name&page=21", &all[2_000..]),
            ("search=crowd&is_active=true&page=2", &all[100..200]),
        ] {
            assert_eq!(found(&admin, query).await, (2_100, want.to_vec()), "{query}");
        }
        let with_20 = with("wd20");
        assert_eq!(found(&admin, "search=crowd%20wd20").await, (with_20.len() as u64, with_20.into_iter().take(100).collect()));
        assert_eq!(found(&admin, "search=wd20&ordering=-username").await, (100, with("wd20").into_iter().rev().collect()));
        assert_eq!(
            found(&admin, "search=wd200&ordering=-username&page=2&page_size=4").await,
            (10, with("wd200").into_iter().rev().skip(4).take(4).collect())
        );
        assert_eq!(found(&admin, "search=crowd&is_active=false").await, (0, vec![]));
    }
    let fifth = admin.get(&format!("{USERS}?username=crowd0005")).await.json()["results"][0]["pk"].clone();
    admin.send_json("PATCH", &url(&fifth), &json!({"username": "alone"})).await.assert_status(200);
    let (count, page) = found(&admin, "search=crowd").await;
    assert_eq!((count, &page[5]), (2_099, &all[6]), "the old name is forgotten");
    assert_eq!(found(&admin, "search=zo%C3%AB").await.0, 2_100, "the full name is still the same");
    assert_eq!(found(&admin, "search=alone").await, (1, vec!["alone".to_owned()]));
    admin.delete(&url(&fifth)).await.assert_status(204);
    assert_eq!(found(&admin, "search=zo%C3%AB").await.0, 2_099);
    add(&admin, &json!({"username": "crowded", "name": ""})).await;
    let (count, page) = found(&admin, "search=crowd&ordering=-username").await;
    assert_eq!((count, page[0].as_str()), (2_100, "crowded"));
});
