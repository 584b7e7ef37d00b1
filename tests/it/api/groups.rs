//! Groups (`/api/v3/core/groups/`): shape, members, nesting, and the rights that follow.

use serde_json::{Value, json};

use super::users::{USERS, add as add_user};
use crate::support::dice::Dice;
use crate::support::{Caller, SESSIONS, TestApp};

const GROUPS: &str = "/api/v3/core/groups/";

fn url(group: &Value) -> String {
    format!("{GROUPS}{}/", group["pk"].as_str().unwrap())
}

async fn add(admin: &Caller, body: &Value) -> Value {
    admin.post_json(GROUPS, body).await.assert_status(201).json()
}

async fn add_within(admin: &Caller, name: &str, parents: &[&Value]) -> Value {
    let parents: Vec<&Value> = parents.iter().map(|parent| &parent["pk"]).collect();
    add(admin, &json!({"name": name, "parents": parents})).await
}

db_test!(a_new_group_has_every_field_of_the_contract, |db| async move {
    let app = TestApp::new(db).await;
    let admin = app.admin_token().await;
    let alice = add_user(&admin, &json!({"username": "alice", "name": "Alice", "email": "a@b.example"})).await;
    let parent = add(&admin, &json!({"name": "everybody", "attributes": {"floor": 1}})).await;
    let body = json!({"name": "staff", "users": [alice["pk"]], "parents": [parent["pk"]], "attributes": {"a": [1]}});
    let staff = add(&admin, &body).await;
    let member = json!({
        "pk": alice["pk"], "username": "alice", "name": "Alice", "is_active": true, "last_login": null, "email": "a@b.example",
        "attributes": {}, "uid": alice["uid"],
    });
    assert_eq!(
        staff,
        json!({
            "pk": staff["pk"], "num_pk": staff["num_pk"], "name": "staff", "is_superuser": false, "parents": [parent["pk"]],
            "parents_obj": null, "users": [alice["pk"]], "users_obj": [member], "attributes": {"a": [1]}, "roles": [],
            "roles_obj": [], "inherited_roles_obj": null, "children": [], "children_obj": null, "rollcall_is_auditor": false,
        })
    );
    assert_eq!(admin.get(&url(&staff)).await.assert_status(200).json(), staff);
    let all = "include_users=false&include_children=true&include_parents=true&include_inherited_roles=true";
    let shown = admin.get(&format!("{}?{all}", url(&staff))).await.json();
    let related = |group: &Value, attributes: Value| json!({"pk": group["pk"], "name": group["name"], "is_superuser": false, "attributes": attributes, "group_uuid": group["pk"]});
    assert_eq!(shown["parents_obj"], json!([related(&parent, json!({"floor": 1}))]));
    assert_eq!((&shown["users"], &shown["users_obj"]), (&json!([alice["pk"]]), &Value::Null));
    assert_eq!((&shown["children_obj"], &shown["inherited_roles_obj"]), (&json!([]), &json!([])));
    let list = admin.get(&format!("{GROUPS}?{all}&name=everybody")).await.json();
    assert_eq!(list["results"][0]["children_obj"], json!([related(&staff, json!({"a": [1]}))]));
    assert_eq!(list["results"][0]["children"], json!([staff["pk"]]));
    assert_eq!(admin.get(&format!("{}used_by/", url(&staff))).await.assert_status(200).json(), json!([]));
    assert_eq!(app.count_events("group_added").await, 2);
});

db_test!(all_wrong_fields_of_a_group_are_named_together, |db| async move {
    let app = TestApp::new(db).await;
    let admin = app.admin_token().await;
    let staff = add(&admin, &json!({"name": "staff"})).await;
    let wrong = json!({"name": "staff", "is_superuser": "maybe", "parents": ["nope"], "users": [999_999], "attributes": 1});
    assert_eq!(
        admin.post_json(GROUPS, &wrong).await.assert_status(400).json(),
        json!({
            "name": ["Group with this name already exists."], "is_superuser": ["Must be a valid boolean."],
            "parents": ["“nope” is not a valid UUID."], "users": ["Invalid pk \"999999\" - object does not exist."],
            "attributes": ["Value must be a dictionary, and not have any duplicate keys."],
        })
    );
    assert_eq!(admin.post_json(GROUPS, &json!({})).await.assert_status(400).json(), json!({"name": ["This field is required."]}));
    add(&admin, &json!({"name": "Staff"})).await;
    for (method, path) in [("GET", format!("{GROUPS}nope/")), ("DELETE", format!("{GROUPS}nope/"))] {
        admin.request(method, &path).await.assert_detail(404, "Not found.");
    }
    let gone = format!("{GROUPS}00000000-0000-0000-0000-000000000001/");
    for method in ["GET", "PUT", "PATCH", "DELETE"] {
        admin.send_json(method, &gone, &json!({"name": "x"})).await.assert_detail(404, "No Group matches the given query.");
    }
    let token = app.user("mallory").await.token().await;
    for (method, path) in [("GET", GROUPS), ("POST", GROUPS), ("GET", &url(&staff)), ("DELETE", &url(&staff))] {
        token.send_json(method, path, &json!({})).await.assert_detail(403, "You do not have permission to perform this action.");
        app.anonymous().request(method, path).await.assert_status(403);
    }
});

db_test!(members_join_and_leave, |db| async move {
    let app = TestApp::new(db).await;
    let admin = app.admin_token().await;
    let alice = add_user(&admin, &json!({"username": "alice", "name": ""})).await;
    let staff = add(&admin, &json!({"name": "staff"})).await;
    let (join, leave) = (format!("{}add_user/", url(&staff)), format!("{}remove_user/", url(&staff)));
    let body = json!({"pk": alice["pk"]});
    for (path, members) in [(&join, json!([alice["pk"]])), (&join, json!([alice["pk"]])), (&leave, json!([])), (&leave, json!([]))]
    {
        let answer = admin.post_json(path, &body).await.assert_status(204);
        assert_eq!(answer.bytes.len(), 0);
        assert_eq!(admin.get(&url(&staff)).await.json()["users"], members);
    }
    assert_eq!(app.count_events("group_changed").await, 2, "what was so already is no event");
    let texts: Vec<String> = app.latest("group_changed").await.iter().map(rollcall::store::events::rows::EventRow::text).collect();
    assert_eq!(texts, ["the admin took alice out of the group staff", "the admin put alice into the group staff"]);
    for path in [&join, &leave] {
        let missing = admin.post_json(path, &json!({})).await.assert_status(400).json();
        assert_eq!(missing, json!({"pk": ["This field is required."]}));
        let wrong = admin.post_json(path, &json!({"pk": "x"})).await.assert_status(400).json();
        assert_eq!(wrong, json!({"pk": ["A valid integer is required."]}));
        admin.post_json(path, &json!({"pk": 999_999})).await.assert_detail(404, "Not found.");
    }
    let gone = format!("{GROUPS}00000000-0000-0000-0000-000000000001/add_user/");
    admin.post_json(&gone, &json!({})).await.assert_status(400);
    admin.post_json(&gone, &body).await.assert_detail(404, "No Group matches the given query.");
    // PUT without members empties, PATCH leaves them.
    admin.post_json(&join, &body).await.assert_status(204);
    let patched = admin.send_json("PATCH", &url(&staff), &json!({"name": "crew"})).await.assert_status(200).json();
    assert_eq!((&patched["name"], &patched["users"]), (&json!("crew"), &json!([alice["pk"]])));
    let put = admin.send_json("PUT", &url(&staff), &json!({"name": "crew"})).await.assert_status(200).json();
    assert_eq!(put["users"], json!([]));
});

db_test!(rights_come_from_ancestors_and_go_with_them, |db| async move {
    let app = TestApp::new(db).await;
    let admin = app.admin_token().await;
    let alice = app.user("alice").await;
    let token = alice.token().await;
    let top = add(&admin, &json!({"name": "top", "is_superuser": true})).await;
    let middle = add_within(&admin, "middle", &[&top]).await;
    let bottom = add_within(&admin, "bottom", &[&middle]).await;
    token.get(USERS).await.assert_status(403);
    admin.post_json(&format!("{}add_user/", url(&bottom)), &json!({"pk": alice.id.0})).await.assert_status(204);
    token.get(USERS).await.assert_status(200);
    let me = token.get(&format!("{USERS}me/")).await.json();
    assert_eq!(me["user"]["is_superuser"], true);
    let names: Vec<&str> = me["user"]["groups"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["bottom", "middle", "top"]);
    let row = admin.get(&format!("{USERS}{}/", alice.id.0)).await.json();
    assert_eq!((&row["is_superuser"], &row["groups"]), (&json!(true), &json!([bottom["pk"]])), "direct groups only");
    for (value, count) in [("true", 2), ("false", 0)] {
        assert_eq!(admin.get(&format!("{USERS}?is_superuser={value}")).await.count(), count, "{value}");
    }
    // A session has the right from its next request, and loses it so.
    let browser = alice.session().await;
    browser.get(USERS).await.assert_status(200);
    admin.delete(&url(&middle)).await.assert_status(204);
    browser.get(USERS).await.assert_status(403);
    token.get(USERS).await.assert_status(403);
    assert_eq!(admin.get(&url(&bottom)).await.json()["parents"], json!([]));
    admin.send_json("PATCH", &url(&bottom), &json!({"parents": [top["pk"]]})).await.assert_status(200);
    token.get(USERS).await.assert_status(200);
    admin.send_json("PATCH", &url(&top), &json!({"is_superuser": false})).await.assert_status(200);
    token.get(USERS).await.assert_status(403);
});

db_test!(cycles_and_deep_nesting_are_refused, |db| async move {
    let app = TestApp::new(db).await;
    let admin = app.admin_token().await;
    let mut chain = vec![add(&admin, &json!({"name": "level 1"})).await];
    for level in 2..=16 {
        let next = add_within(&admin, &format!("level {level}"), &[chain.last().unwrap()]).await;
        chain.push(next);
    }
    let too_deep = json!({"parents": ["Groups nest at most 16 levels deep."]});
    let deeper = json!({"name": "level 17", "parents": [chain[15]["pk"]]});
    assert_eq!(admin.post_json(GROUPS, &deeper).await.assert_status(400).json(), too_deep);
    let above = add(&admin, &json!({"name": "level 0"})).await;
    let body = json!({"parents": [above["pk"]]});
    assert_eq!(admin.send_json("PATCH", &url(&chain[0]), &body).await.assert_status(400).json(), too_deep);
    let cycle = json!({"parents": ["A group cannot be within itself."]});
    for (group, parent) in [(0, 0), (0, 1), (0, 15), (3, 9)] {
        let body = json!({"parents": [chain[parent]["pk"]]});
        let answer = admin.send_json("PATCH", &url(&chain[group]), &body).await.assert_status(400).json();
        assert_eq!(answer, cycle, "{group} within {parent}");
    }
    assert_eq!(admin.get(&url(&chain[0])).await.json()["parents"], json!([]), "nothing changed");
});

db_test!(the_closure_is_what_a_walk_finds, |db| async move {
    let app = TestApp::new(db).await;
    let admin = app.admin_token().await;
    let mut dice = Dice::new();
    let mut groups = Vec::new();
    for n in 0..9 {
        groups.push(add(&admin, &json!({"name": format!("group {n}")})).await);
    }
    for _ in 0..60 {
        let group = &groups[dice.below(groups.len())];
        let parents: Vec<Value> = (0..dice.below(4)).map(|_| groups[dice.below(groups.len())]["pk"].clone()).collect();
        let answer = admin.send_json("PATCH", &url(group), &json!({ "parents": parents })).await;
        assert!(matches!(answer.status, 200 | 400), "{}", answer.text());
        if dice.below(8) == 0 {
            let gone = groups.remove(dice.below(groups.len()));
            admin.delete(&url(&gone)).await.assert_status(204);
            groups.push(add(&admin, &json!({"name": format!("group {}", dice.below(1 << 30))})).await);
        }
        let wrong = "WITH RECURSIVE walk(id, ancestor_id) AS (SELECT id, id FROM groups UNION \
            SELECT w.id, p.parent_id FROM walk w JOIN group_parents p ON p.group_id = w.ancestor_id) SELECT count(*) FROM ( \
            SELECT * FROM (SELECT id, ancestor_id FROM walk EXCEPT SELECT group_id, ancestor_id FROM group_ancestors) missing \
            UNION ALL SELECT * FROM (SELECT group_id, ancestor_id FROM group_ancestors EXCEPT SELECT id, ancestor_id FROM walk) extra) d";
        assert_eq!(app.number(wrong).await, 0);
        let cycles = "SELECT count(*) FROM group_ancestors a JOIN group_ancestors b ON b.group_id = a.ancestor_id \
            AND b.ancestor_id = a.group_id WHERE a.group_id <> a.ancestor_id";
        assert_eq!(app.number(cycles).await, 0);
    }
});

db_test!(ten_thousand_members_are_set_at_once, |db| async move {
    let app = TestApp::new(db).await;
    let admin = app.admin_token().await;
    let lines: Vec<Value> = (1..=10_000).map(|id| json!({"kind": "user", "id": id + 1000, "username": format!("u{id}")})).collect();
    app.import(&lines).await;
    let pks: Vec<i64> = (1001..=11_000).collect();
    let group = add(&admin, &json!({"name": "all", "users": pks})).await;
    assert_eq!(group["users"], json!(pks));
    let half: Vec<i64> = pks.iter().copied().filter(|pk| pk % 2 == 0).collect();
    let answer = admin.send_json("PATCH", &format!("{}?x=1", url(&group)), &json!({"users": half})).await.assert_status(200);
    assert_eq!(answer.json()["users"], json!(half));
    let content = Value::Object(app.latest("group_changed").await.first().unwrap().content.to_json());
    assert_eq!((content["added"].as_array().unwrap().len(), content["removed"].as_array().unwrap().len()), (0, 5000));
    let bare = admin.get(&format!("{GROUPS}?include_users=false")).await.json();
    assert_eq!((bare["results"][0]["users"].as_array().unwrap().len(), &bare["results"][0]["users_obj"]), (5000, &Value::Null));
    assert_eq!(admin.get(&format!("{USERS}?groups_by_name=all&page_size=1")).await.count(), 5000);
    admin.get(SESSIONS).await.assert_status(200);
});
