//! Users (`/api/v3/core/users/`): shape, errors, side effects, who may do what.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::app::{PASSWORD, sign_in_as};
use crate::support::{Caller, SESSIONS, TestApp, raw};

pub const USERS: &str = "/api/v3/core/users/";

/// One user's address.
pub fn url(pk: &Value) -> String {
    format!("{USERS}{pk}/")
}

/// Adds a user and gives the answer's body.
pub async fn add(admin: &Caller, body: &Value) -> Value {
    admin.post_json(USERS, body).await.assert_status(201).json()
}

/// What is wrong with a body.
async fn errors(admin: &Caller, body: &Value) -> Value {
    admin.post_json(USERS, body).await.assert_status(400).json()
}

db_test!(a_new_user_has_every_field_of_the_contract, |db| async move {
    let app = TestApp::new(db).await;
    let admin = app.admin_token().await;
    let body = json!({"username": "alice", "name": "Alice Ä.", "email": "alice@example.com", "password": "ignored", "pk": 99});
    let alice = add(&admin, &body).await;
    let (pk, uid, uuid, avatar) = (&alice["pk"], &alice["uid"], &alice["uuid"], &alice["avatar"]);
    assert_eq!(
        alice,
        json!({
            "pk": pk, "username": "alice", "name": "Alice Ä.", "is_active": true, "last_login": null,
            "date_joined": "2026-11-01T12:00:00Z", "is_superuser": false, "groups": [], "groups_obj": [], "roles": [],
            "roles_obj": [], "email": "alice@example.com", "avatar": avatar, "attributes": {}, "uid": uid, "path": "users",
            "type": "internal", "uuid": uuid, "password_change_date": "2026-11-01T12:00:00Z",
            "last_updated": alice["last_updated"], "rollcall_email_verified": false, "rollcall_is_auditor": false,
            "rollcall_removal_asked": null,
        })
    );
    assert!(pk.as_i64().unwrap() > 0 && uid.as_str().unwrap().len() == 64 && uuid.as_str().unwrap().len() == 36);
    assert!(avatar.as_str().unwrap().starts_with("data:image/"));
    assert_eq!(admin.get(&url(pk)).await.assert_status(200).json(), alice);
    assert_eq!(admin.get(&format!("{USERS}?username=alice")).await.json()["results"], json!([alice]));
    let bare = admin.get(&format!("{USERS}?username=alice&include_groups=false&include_roles=0")).await.json();
    assert_eq!((&bare["results"][0]["groups_obj"], &bare["results"][0]["roles_obj"]), (&Value::Null, &Value::Null));
    assert_eq!(bare["results"][0]["groups"], json!([]));
    assert_eq!(app.latest("user_added").await.first().unwrap().text(), "the admin added the user alice");
    // Nobody signs in with what was ignored.
    let refused = sign_in_as(&app.anonymous(), "alice", "ignored", false).await;
    assert_ne!(refused.json()["component"], "xak-flow-redirect");
});

db_test!(all_wrong_fields_of_a_user_are_named_together, |db| async move {
    let app = TestApp::new(db).await;
    let admin = app.admin_token().await;
    let required = json!(["This field is required."]);
    assert_eq!(errors(&admin, &json!({})).await, json!({"username": required, "name": required}));
    let wrong = json!({
        "username": "", "name": null, "is_active": "maybe", "last_login": "soon", "groups": ["nope"], "email": "nobody",
        "attributes": [], "path": "/users", "type": "weird", "rollcall_email_verified": 7, "rollcall_is_auditor": [],
    });
    let datetime = "Datetime has wrong format. Use one of these formats instead: \
        YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z].";
    assert_eq!(
        errors(&admin, &wrong).await,
        json!({
            "username": ["This field may not be blank."], "name": ["This field may not be null."],
            "is_active": ["Must be a valid boolean."], "last_login": [datetime], "groups": ["“nope” is not a valid UUID."],
            "email": ["Enter a valid email address."],
            "attributes": ["Value must be a dictionary, and not have any duplicate keys."],
            "path": ["No leading or trailing slashes allowed."], "type": ["\"weird\" is not a valid choice."],
            "rollcall_email_verified": ["Must be a valid boolean."],
            "rollcall_is_auditor": ["Must be a valid boolean."],
        })
    );
    let gone = "00000000-0000-0000-0000-000000000001";
    for (field, value, why) in [
        ("username", json!("x".repeat(151)), "Ensure this field has no more than 150 characters."),
        ("username", json!(["a"]), "Not a valid string."),
        ("username", json!("zero\u{200b}width"), "It may not hold invisible characters or marks of direction (U+200B)."),
        ("name", json!("line\nbreak"), "It may not hold control characters."),
        ("email", json!(format!("{}@example.com", "x".repeat(250))), "Ensure this field has no more than 254 characters."),
        ("path", json!("a//b"), "No empty segments in user path allowed."),
        ("path", json!(""), "This field may not be blank."),
        ("type", json!("internal_service_account"), "Setting a user to internal service account is not allowed."),
        ("groups", json!([gone]), &format!("Invalid pk \"{gone}\" - object does not exist.")),
        ("groups", json!([true]), "Incorrect type. Expected pk value, received bool."),
        ("groups", json!("x"), "Expected a list of items but got type \"str\"."),
        ("attributes", json!({"a": "x".repeat(200_000)}), "Ensure this value has no more than 131072 bytes as JSON."),
    ] {
        let mut body = json!({"username": "bob", "name": ""});
        body[field] = value;
        assert_eq!(errors(&admin, &body).await, json!({ field: [why] }), "{field}");
    }
    let mut large = json!({"username": "bob", "name": ""});
    large["attributes"] = json!({"a": "x".repeat(2_000_000)});
    admin.post_json(USERS, &large).await.assert_detail(413, "The request body is too large.");
    admin.post_form(USERS, &[("username", "bob")]).await.assert_status(415);
    admin.post_json(USERS, &json!([])).await.assert_status(400);
    assert_eq!(app.number("SELECT count(*) FROM users").await, 1, "nothing was added");
});

db_test!(a_username_is_taken_in_any_case_and_script, |db| async move {
    let app = TestApp::new(db).await;
    let admin = app.admin_token().await;
    for name in ["carol", "zoë", "łukasz.żółć", "用户", "עברית", "नमस्ते", "🦀"] {
        add(&admin, &json!({"username": name, "name": name})).await;
    }
    let taken = json!({"username": ["This field must be unique."]});
    for name in ["carol", "Carol", " carol ", "ZOE\u{308}", "ŁUKASZ.ŻÓŁĆ", "用户"] {
        assert_eq!(errors(&admin, &json!({"username": name, "name": ""})).await, taken, "{name}");
    }
    let bob = add(&admin, &json!({"username": "bob", "name": ""})).await;
    let answer = admin.send_json("PATCH", &url(&bob["pk"]), &json!({"username": "CAROL"})).await.assert_status(400);
    assert_eq!(answer.json(), taken);
    let renamed = admin.send_json("PATCH", &url(&bob["pk"]), &json!({"username": "Bob"})).await.assert_status(200);
    assert_eq!(renamed.json()["username"], "Bob", "one's own name may change its case");
    for found in ["żółć", "ŻÓŁĆ", "用户", "नमस्", "🦀"] {
        assert_eq!(admin.get(&format!("{USERS}?search={found}")).await.count(), 1, "{found}");
    }
});

db_test!(put_empties_groups_and_patch_leaves_them, |db| async move {
    let app = TestApp::new(db).await;
    let admin = app.admin_token().await;
    let group = admin.post_json("/api/v3/core/groups/", &json!({"name": "staff"})).await.assert_status(201).json();
    let body = json!({
        "username": "alice", "name": "A", "groups": [group["pk"]], "attributes": {"a": 1}, "path": "users/a/b", "type": "external",
        "email": "a@b.example", "rollcall_email_verified": true,
    });
    let alice = add(&admin, &body).await;
    assert_eq!(alice["groups"], json!([group["pk"]]));
    assert_eq!(
        alice["groups_obj"],
        json!([{"pk": group["pk"], "num_pk": group["num_pk"], "name": "staff", "is_superuser": false, "attributes": {}}])
    );
    app.advance(Duration::from_secs(5));
    let address = url(&alice["pk"]);
    let patched = admin.send_json("PATCH", &address, &json!({"name": "Alice"})).await.assert_status(200).json();
    let mut want = alice.clone();
    (want["name"], want["last_updated"]) = (json!("Alice"), json!("2026-11-01T12:00:05Z"));
    assert_eq!(patched, want);
    let put = admin.send_json("PUT", &address, &json!({"username": "alice", "name": "Alice"})).await.assert_status(200).json();
    (want["groups"], want["groups_obj"], want["last_updated"]) = (json!([]), json!([]), put["last_updated"].clone());
    assert_eq!(put, want, "other fields that were not sent stay");
    assert_ne!(put["last_updated"], patched["last_updated"], "two changes of one instant differ");
    let required = json!({"username": ["This field is required."], "name": ["This field is required."]});
    assert_eq!(admin.send_json("PUT", &address, &json!({})).await.assert_status(400).json(), required);
    // A new address is not known to be theirs.
    let moved = admin.send_json("PATCH", &address, &json!({"email": "c@d.example"})).await.json();
    assert_eq!(moved["rollcall_email_verified"], false);
    let both = json!({"email": "e@f.example", "rollcall_email_verified": true, "last_login": "2020-01-01T00:00:00Z"});
    let moved = admin.send_json("PATCH", &address, &both).await.json();
    assert_eq!((&moved["rollcall_email_verified"], &moved["last_login"]), (&json!(true), &json!("2020-01-01T00:00:00Z")));
    let never = admin.send_json("PATCH", &address, &json!({"last_login": null})).await.json();
    assert_eq!(never["last_login"], Value::Null);
});

db_test!(an_event_says_what_changed_and_hides_secrets, |db| async move {
    let app = TestApp::new(db).await;
    let admin = app.admin_token().await;
    let attributes = json!({"team": "red", "vpn_password": "hunter2", "same": 1});
    let alice = add(&admin, &json!({"username": "alice", "name": "A", "attributes": attributes})).await;
    let change =
        json!({"username": "alice2", "email": "x@y.example", "attributes": {"team": "blue", "vpn_password": "hunter3", "same": 1}});
    admin.send_json("PATCH", &url(&alice["pk"]), &change).await.assert_status(200);
    let events = app.latest("user_changed").await;
    let content = Value::Object(events.first().unwrap().content.to_json());
    let changes = &content["changes"];
    assert_eq!(changes["username"], json!({"before": "alice", "after": "alice2"}));
    assert_eq!(changes["email"], json!({"before": "", "after": "x@y.example"}));
    assert_eq!(changes["attributes"]["before"]["team"], "red");
    assert_eq!(changes["attributes"]["after"]["team"], "blue");
    assert!(changes["attributes"]["after"].get("same").is_none() && changes.get("name").is_none(), "{content}");
    assert!(!content.to_string().contains("hunter"), "{content}");
    // The same again is no change, and no event.
    admin.send_json("PATCH", &url(&alice["pk"]), &change).await.assert_status(200);
    assert_eq!(app.count_events("user_changed").await, 1);
});

db_test!(sessions_of_an_inactive_user_end, |db| async move {
    let app = TestApp::new(db).await;
    let (admin, alice) = (app.admin_token().await, app.user_with_password("alice").await);
    let (browser, token) = (alice.session().await, alice.token().await);
    let address = format!("{USERS}{}/", alice.id.0);
    token.get(SESSIONS).await.assert_status(200);
    let answer = admin.send_json("PATCH", &address, &json!({"is_active": false})).await.assert_status(200).json();
    assert_eq!(answer["is_active"], false);
    browser.get(SESSIONS).await.assert_status(403);
    token.get(SESSIONS).await.assert_status(403);
    assert_eq!(app.count_events("user_deactivated").await, 1);
    admin.send_json("PATCH", &address, &json!({"is_active": true})).await.assert_status(200);
    browser.get(SESSIONS).await.assert_status(403);
    token.get(SESSIONS).await.assert_status(200);
});

db_test!(a_removed_user_is_gone_with_what_is_theirs, |db| async move {
    let app = TestApp::new(db).await;
    let (admin, alice) = (app.admin_token().await, app.user_with_password("alice").await);
    let (browser, token) = (alice.session().await, alice.token().await);
    let address = format!("{USERS}{}/", alice.id.0);
    let used_by = admin.get(&format!("{address}used_by/")).await.assert_status(200).json();
    assert_eq!(used_by, json!([]));
    let answer = admin.delete(&address).await.assert_status(204);
    assert_eq!(answer.bytes.len(), 0);
    for caller in [&browser.caller, &token] {
        caller.get(SESSIONS).await.assert_status(403);
    }
    for answer in [admin.get(&address).await, admin.delete(&address).await, admin.get(&format!("{address}used_by/")).await] {
        answer.assert_detail(404, "No User matches the given query.");
    }
    for unknown in ["999999", "-1", "99999999999999999999"] {
        admin.get(&format!("{USERS}{unknown}/")).await.assert_detail(404, "No User matches the given query.");
    }
    admin.get(&format!("{USERS}x/")).await.assert_detail(404, "Not found.");
    assert_eq!(app.number("SELECT n FROM row_counts WHERE name = 'users'").await, app.number("SELECT count(*) FROM users").await);
});

db_test!(a_password_is_set_and_signs_in, |db| async move {
    let app = TestApp::new(db).await;
    let (admin, alice) = (app.admin_token().await, app.user_with_password("alice").await);
    let browser = alice.session().await;
    let address = format!("{USERS}{}/", alice.id.0);
    let set = format!("{address}set_password/");
    let before = admin.get(&address).await.json();
    let wrong = admin.post_json(&set, &json!({})).await.assert_status(400).json();
    assert_eq!(wrong, json!({"password": ["This field is required."]}));
    let weak = admin.post_json(&set, &json!({"password": "short"})).await.assert_status(400).json();
    assert!(weak["password"][0].as_str().unwrap().ends_with('.'), "{weak}");
    // The body is looked at before the user.
    let unknown = format!("{USERS}999999/set_password/");
    admin.post_json(&unknown, &json!({"password": ""})).await.assert_status(400);
    admin.post_json(&unknown, &json!({"password": "a password of nobody"})).await.assert_status(404);
    app.advance(Duration::from_secs(60));
    let answer = admin.post_json(&set, &json!({"password": " with blanks around it "})).await.assert_status(204);
    assert_eq!(answer.bytes.len(), 0);
    browser.get(SESSIONS).await.assert_status(403);
    let after = admin.get(&address).await.json();
    assert_ne!(before["password_change_date"], after["password_change_date"]);
    let signed_in = sign_in_as(&app.anonymous(), "alice", " with blanks around it ", false).await;
    assert_eq!(signed_in.json()["component"], "xak-flow-redirect", "{}", signed_in.text());
    // Its hash, moved to another user, opens the same.
    let hash = app.app.store.read().find_user(alice.id).await.unwrap().unwrap().password_hash.unwrap();
    let bob = add(&admin, &json!({"username": "bob", "name": ""})).await;
    let set_hash = format!("{}set_password_hash/", url(&bob["pk"]));
    let unusable = admin.post_json(&set_hash, &json!({"password": "pbkdf2_sha256$1$x$y"})).await.assert_status(400).json();
    assert!(unusable["password"][0].is_string(), "{unusable}");
    admin.post_json(&set_hash, &json!({"password": hash})).await.assert_status(204);
    let signed_in = sign_in_as(&app.anonymous(), "bob", " with blanks around it ", false).await;
    assert_eq!(signed_in.json()["component"], "xak-flow-redirect", "{}", signed_in.text());
    assert_ne!(PASSWORD, " with blanks around it ");
});

db_test!(who_may_read_and_change_users, |db| async move {
    let app = TestApp::new(db).await;
    let (admin, alice, bob) = (app.admin_token().await, app.user("alice").await, app.user("bob").await);
    let (own, other) = (format!("{USERS}{}/", alice.id.0), format!("{USERS}{}/", bob.id.0));
    let (token, nobody) = (alice.token().await, app.anonymous());
    let forbidden = "You do not have permission to perform this action.";
    for path in [USERS, &other, &format!("{USERS}paths/"), &format!("{own}used_by/"), &format!("{USERS}999999/")] {
        token.get(path).await.assert_detail(403, forbidden);
        nobody.get(path).await.assert_detail(403, "Authentication credentials were not provided.");
    }
    // The right is checked before the body and the object.
    token.post_json(USERS, &json!({})).await.assert_detail(403, forbidden);
    for (method, path) in [("PUT", &own), ("PATCH", &own), ("DELETE", &own), ("PATCH", &other)] {
        token.send_json(method, path, &json!({"is_active": 7})).await.assert_detail(403, forbidden);
    }
    for action in ["set_password", "set_password_hash", "recovery"] {
        token.post_json(&format!("{own}{action}/"), &json!({})).await.assert_detail(403, forbidden);
    }
    assert_eq!(token.get(&own).await.assert_status(200).json(), admin.get(&own).await.json(), "one's own may be read");
    let me = token.get(&format!("{USERS}me/")).await.assert_status(200).json();
    assert_eq!((&me["user"]["username"], &me["users"]), (&json!("alice"), &json!([me["user"]])));
    nobody.get(&format!("{USERS}me/")).await.assert_status(403);
    admin.send_json("DELETE", USERS, &json!({})).await.assert_status(405);
});

db_test!(a_recovery_link_holds_as_long_as_it_is_asked, |db| async move {
    let app = TestApp::new(db).await;
    let (admin, alice) = (app.admin_token().await, app.user("alice").await);
    let address = format!("{USERS}{}/recovery/", alice.id.0);
    for (body, hours) in
        [(json!({}), 0), (json!({"token_duration": "hours=2;minutes=30"}), 2), (json!({"token_duration": "days=7"}), 167)]
    {
        let made = admin.post_json(&address, &body).await.assert_status(200).json();
        let link = made["link"].as_str().unwrap().strip_prefix(&app.origin()).unwrap().to_owned();
        app.advance(Duration::from_secs(hours * 3600 + 1740));
        app.anonymous().get(&link).await.assert_status(200);
        app.advance(Duration::from_secs(3600));
        app.anonymous().get(&link).await.assert_status(404);
    }
    for (duration, why) in [
        (json!("soon"), "soon is not in the correct format of 'hours=3;minutes=1'."),
        (json!("days=8"), "A link is valid for some time, and at most for `sign_in.link_timeout_max`."),
        (json!("seconds=0"), "A link is valid for some time, and at most for `sign_in.link_timeout_max`."),
        (json!("days=-1"), "A link is valid for some time, and at most for `sign_in.link_timeout_max`."),
        (json!([]), "Not a valid string."),
    ] {
        let answer = admin.post_json(&address, &json!({"token_duration": duration})).await.assert_status(400).json();
        assert_eq!(answer, json!({"token_duration": [why]}), "{duration}");
    }
    admin.post_form(&address, &[("token_duration", "days=1")]).await.assert_status(415);
});

db_test!(a_service_account_is_a_user_with_an_application_password, |db| async move {
    let app = TestApp::new(db).await;
    let admin = app.admin_token().await;
    let address = format!("{USERS}service_account/");
    let made = admin.post_json(&address, &json!({"name": "Backup Job", "create_group": true})).await.assert_status(200).json();
    let user = admin.get(&url(&made["user_pk"])).await.json();
    assert_eq!((&made["username"], &made["user_uid"]), (&json!("Backup Job"), &user["uid"]));
    assert_eq!((&user["type"], &user["path"]), (&json!("service_account"), &json!("goauthentik.io/service-accounts")));
    assert_eq!((&user["name"], &user["attributes"]), (&json!("Backup Job"), &json!({"goauthentik.io/user/token-expires": true})));
    assert_eq!(user["groups"], json!([made["group_pk"]]));
    let key = made["token"].as_str().unwrap();
    assert!(key.starts_with("rcp_"), "{key}");
    app.anonymous().with_bearer(key).get(SESSIONS).await.assert_status(403);
    let tokens = "SELECT count(*) FROM tokens WHERE identifier = 'service-account-backup-job-password' AND intent = 'app_password'";
    assert_eq!(app.number(tokens).await, 1);
    let again = admin.post_json(&address, &json!({"name": "backup job"})).await.assert_status(400).json();
    assert_eq!(again, json!({"name": ["This field must be unique."]}));
    // Names without Latin letters have no slug: their tokens are named by the user's uuid.
    for name in ["用户", "日本"] {
        let made = admin.post_json(&address, &json!({"name": name})).await.assert_status(200).json();
        let user = admin.get(&url(&made["user_pk"])).await.json();
        let token = format!("/api/v3/core/tokens/service-account-{}-password/", user["uuid"].as_str().unwrap());
        assert_eq!(admin.get(&token).await.assert_status(200).json()["user"], made["user_pk"], "{name}");
        admin.delete(&url(&made["user_pk"])).await.assert_status(204);
    }
    // Another name with the same slug, and one whose group is there.
    let details = json!({"non_field_errors": ["A user/group with these details already exists"]});
    admin.post_json("/api/v3/core/groups/", &json!({"name": "taken"})).await.assert_status(201);
    for body in [json!({"name": "backup-job"}), json!({"name": "taken", "create_group": true})] {
        assert_eq!(admin.post_json(&address, &body).await.assert_status(400).json(), details, "{body}");
    }
    let bare = admin.post_json(&address, &json!({"name": "bare", "expiring": false})).await.assert_status(200).json();
    assert!(bare.get("group_pk").is_none(), "{bare}");
    assert_eq!(app.number("SELECT count(*) FROM users WHERE type = 'service_account'").await, 2);
    let wrong = admin.post_json(&address, &json!({"expires": "soon"})).await.assert_status(400).json();
    assert!(wrong["name"].is_array() && wrong["expires"].is_array(), "{wrong}");
    assert!(!app.events().await.iter().any(|(_, text)| text.contains(key)));
});

db_test!(names_are_found_in_either_form_of_unicode, |db| async move {
    let app = TestApp::with(db, &[("API__STRICT_QUERY", "true")]).await;
    let admin = app.admin_token().await;
    let groups = "/api/v3/core/groups/";
    admin.post_json(groups, &json!({"name": "Zoe\u{308}-Team"})).await.assert_status(201);
    let user = json!({"username": "zoe\u{308}", "name": "Zoe\u{308} Z", "email": "zoe\u{308}@example.com"});
    let made = admin.post_json(USERS, &user).await.assert_status(201).json();
    assert_eq!(made["username"], "zo\u{eb}", "names are stored composed");
    // Decomposed, and composed.
    for e in ["e%CC%88", "%C3%AB"] {
        for query in [
            format!("{groups}?name=Zo{e}-Team"),
            format!("{groups}?search=ZO{e}-t"),
            format!("{USERS}?username=zo{e}"),
            format!("{USERS}?name=Zo{e}%20Z"),
            format!("{USERS}?email=zo{e}@example.com"),
            format!("{USERS}?search=zo{e}"),
        ] {
            assert_eq!(admin.get(&query).await.assert_status(200).count(), 1, "{query}");
        }
    }
    let token = json!({"identifier": "hers", "user": made["pk"], "intent": "api"});
    admin.post_json("/api/v3/core/tokens/", &token).await.assert_status(201);
    assert_eq!(admin.get("/api/v3/core/tokens/?user__username=zoe%CC%88").await.count(), 1);
});

db_test!(what_is_wrong_comes_in_the_order_of_the_fields, |db| async move {
    let app = TestApp::new(db).await;
    let admin = app.admin_token().await;
    let body = json!({"type": "x", "path": "/", "attributes": [], "email": "x", "groups": 1, "is_active": "x", "name": null});
    let text = admin.post_json(USERS, &body).await.assert_status(400).text();
    let fields = ["username", "name", "is_active", "groups", "email", "attributes", "path", "type"];
    let places: Vec<_> = fields.iter().map(|field| text.find(&format!("\"{field}\":")).expect(field)).collect();
    assert!(places.is_sorted(), "{text}");
});

db_test!(a_group_that_is_not_there_is_named_as_it_was_sent, |db| async move {
    let app = TestApp::new(db).await;
    let admin = app.admin_token().await;
    let upper = "00000000-0000-4000-8000-00000000BEEF";
    for (sent, named) in [(json!(5), "5"), (json!(upper), upper)] {
        let why = json!([format!("Invalid pk \"{named}\" - object does not exist.")]);
        let body = json!({"username": "x", "name": "", "groups": [sent]});
        assert_eq!(admin.post_json(USERS, &body).await.assert_status(400).json(), json!({"groups": why}), "{sent}");
        let body = json!({"name": "x", "parents": [sent]});
        let answer = admin.post_json("/api/v3/core/groups/", &body).await.assert_status(400).json();
        assert_eq!(answer, json!({"parents": why}), "{sent}");
    }
});

db_test!(whole_numbers_that_would_be_rounded_are_refused, |db| async move {
    let app = TestApp::new(db).await;
    let admin = app.admin_token().await;
    let post = async |attributes: &str| {
        let body = format!(r#"{{"username": "x{}", "name": "", "attributes": {attributes}}}"#, attributes.len());
        admin.post_bytes(USERS, body).await
    };
    let why = json!({"attributes": ["A whole number must fit into 64 bits. Send a larger one as a text."]});
    for attributes in [r#"{"n": 12345678901234567890123}"#, r#"{"deep": [{"n": -9223372036854775809}]}"#] {
        assert_eq!(post(attributes).await.assert_status(400).json(), why, "{attributes}");
    }
    for attributes in [r#"{"n": 18446744073709551615}"#, r#"{"n": 1e30, "x": 0.5}"#, r#"{"n": "12345678901234567890123"}"#] {
        let made = post(attributes).await.assert_status(201).json();
        assert_eq!(made["attributes"], serde_json::from_str::<Value>(attributes).unwrap(), "{attributes}");
    }
});

db_test!(an_empty_body_is_an_empty_object_in_pieces_too, |db| async move {
    let app = TestApp::new(db).await;
    let user = app.user("alice").await;
    let admin = app.superuser("root").await;
    let key = format!("Bearer {}", admin.token_key(rollcall::domain::user::TokenIntent::Api, None).await);
    let target = format!("{USERS}{}/recovery/", user.id.0);
    let headers = [("Authorization", key.as_bytes()), ("Transfer-Encoding", b"chunked".as_slice())];
    for form in ["", "application/json", "text/plain"] {
        let mut headers = headers.to_vec();
        if !form.is_empty() {
            headers.push(("Content-Type", form.as_bytes()));
        }
        let empty = raw::request(app.address, "POST", &target, &headers, b"0\r\n\r\n").await;
        assert_eq!(empty.status, 200, "{form}: {}", empty.text());
        let some = raw::request(app.address, "POST", &target, &headers, b"2\r\n{}\r\n0\r\n\r\n").await;
        assert_eq!(some.status, if form == "application/json" { 200 } else { 415 }, "{form}: {}", some.text());
    }
});

db_test!(equal_rows_come_by_pk_in_the_direction_of_the_order, |db| async move {
    let app = TestApp::new(db).await;
    let admin = app.admin_token().await;
    for name in ["x", "y", "z"] {
        add(&admin, &json!({"username": name, "name": ""})).await;
    }
    for (order, is_upwards) in [("is_active", true), ("-is_active", false)] {
        let body = admin.get(&format!("{USERS}?ordering={order}")).await.assert_status(200).json();
        let mut pks: Vec<i64> = body["results"].as_array().unwrap().iter().map(|row| row["pk"].as_i64().unwrap()).collect();
        if !is_upwards {
            pks.reverse();
        }
        assert!(pks.len() >= 4 && pks.is_sorted(), "{order}: {pks:?}");
    }
    let description = serde_json::to_value(rollcall::api::schema::description()).unwrap();
    let parameters = description["paths"]["/core/users/"]["get"]["parameters"].as_array().unwrap().clone();
    let ordering = parameters.iter().find(|parameter| parameter["name"] == "ordering").unwrap();
    assert!(
        ordering["description"].as_str().unwrap().ends_with("Equal rows come by `pk`, downwards where the last name has a `-`.")
    );
});
