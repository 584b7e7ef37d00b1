//! `core/tokens/`: API credentials and app passwords.

use std::time::Duration;

use rollcall::actions::by::By;
use rollcall::actions::tokens::keys;
use rollcall::domain::user::TokenIntent;
use serde_json::{Value, json};

use super::schema::{assert_described, assert_fields};
use crate::support::caller::send;
use crate::support::{Answer, Caller, SESSIONS, TestApp};

const TOKENS: &str = "/api/v3/core/tokens/";
const ME: &str = "/api/v3/core/users/me/";

fn item(identifier: &str) -> String {
    format!("{TOKENS}{identifier}/")
}

async fn patch(caller: &Caller, path: &str, body: &Value) -> Answer {
    send(caller.build("PATCH", path).json(body)).await
}

async fn put(caller: &Caller, path: &str, body: &Value) -> Answer {
    send(caller.build("PUT", path).json(body)).await
}

async fn identifiers(caller: &Caller, query: &str) -> Vec<String> {
    let body = caller.get(&format!("{TOKENS}?{query}")).await.assert_status(200).json();
    body["results"].as_array().unwrap().iter().map(|token| token["identifier"].as_str().unwrap().to_owned()).collect()
}

async fn key_of(caller: &Caller, identifier: &str) -> String {
    let answer = caller.get(&format!("{}view_key/", item(identifier))).await.assert_status(200);
    answer.json()["key"].as_str().unwrap().to_owned()
}

db_test!(a_token_is_made_shown_and_opens_the_api, |db| async move {
    let app = TestApp::new(db).await;
    let (admin, alice) = (app.admin_token().await, app.user("alice").await.id.0);
    let answer = admin.post_json(TOKENS, &json!({"identifier": "ci", "user": alice, "description": "for the build"})).await;
    assert_described(TOKENS, "post", &answer);
    let token = answer.assert_status(201).json();
    assert_fields("Token", &token);
    assert_eq!((&token["identifier"], &token["intent"], &token["user"]), (&json!("ci"), &json!("api"), &json!(alice)));
    assert_eq!((&token["expires"], &token["expiring"]), (&json!("2026-11-02T12:00:00Z"), &json!(true)), "a day");
    assert_eq!(
        (&token["managed"], &token["rollcall_scopes"], &token["rollcall_last_used"]),
        (&Value::Null, &json!([]), &Value::Null)
    );
    assert_eq!(token["user_obj"]["username"], "alice");
    assert!(!token.to_string().contains("key"), "{token}");
    let key = key_of(&admin, "ci").await;
    let caller = app.anonymous().with_bearer(&key);
    assert_eq!(caller.get(ME).await.assert_status(200).json()["user"]["username"], "alice");
    let shown = admin.get(&item("ci")).await;
    assert_described(&format!("{TOKENS}{{identifier}}/"), "get", &shown);
    // It is written in the background.
    crate::process::eventually("the last use", || async {
        (admin.get(&item("ci")).await.json()["rollcall_last_used"] == "2026-11-01T12:00:00Z").then_some(())
    })
    .await;
    // The name is free at once: what a client does that rotates by itself.
    admin.delete(&item("ci")).await.assert_status(204);
    caller.get(ME).await.assert_detail(403, "Token invalid/expired");
    admin.delete(&item("ci")).await.assert_detail(404, "No Token matches the given query.");
    admin.post_json(TOKENS, &json!({"identifier": "ci"})).await.assert_status(201);
    assert_ne!(key_of(&admin, "ci").await, key);
    let kinds: Vec<String> =
        app.events().await.into_iter().map(|(kind, _)| kind).filter(|kind| kind.starts_with("token_")).collect();
    let want = ["token_added", "token_added", "token_key_shown", "token_removed", "token_added", "token_key_shown"];
    assert_eq!(kinds, want, "the first one is the administrator's own");
});

db_test!(everybody_has_their_own_tokens, |db| async move {
    let app = TestApp::new(db).await;
    let (admin, user) = (app.admin_token().await, app.user("alice").await);
    let alice = user.token().await;
    let bob = app.user("bob").await.id.0;
    // It is the caller's own, also when another user is named.
    let made = alice.post_json(TOKENS, &json!({"identifier": "mine", "user": bob})).await.assert_status(201).json();
    assert_eq!(made["user"], user.id.0);
    admin.post_json(TOKENS, &json!({"identifier": "theirs", "user": bob})).await.assert_status(201);
    assert!(identifiers(&alice, "").await.contains(&"mine".to_owned()));
    assert!(!identifiers(&alice, &format!("user={bob}")).await.contains(&"theirs".to_owned()), "a filter shows no more");
    for path in [item("theirs"), format!("{}view_key/", item("theirs")), format!("{}used_by/", item("theirs")), item("nothing")] {
        alice.get(&path).await.assert_detail(404, "No Token matches the given query.");
    }
    alice.delete(&item("theirs")).await.assert_detail(404, "No Token matches the given query.");
    patch(&alice, &item("theirs"), &json!({"description": "x"})).await.assert_status(404);
    let set = format!("{}set_key/", item("mine"));
    alice.post_json(&set, &json!({})).await.assert_detail(403, "You do not have permission to perform this action.");
    assert_eq!(app.anonymous().with_bearer(&key_of(&alice, "mine").await).get(ME).await.status, 200);
    assert_eq!(alice.get(&format!("{}used_by/", item("mine"))).await.assert_status(200).json(), json!([]));
    alice.delete(&item("mine")).await.assert_status(204);
    for (method, path) in
        [("GET", TOKENS.to_owned()), ("POST", TOKENS.to_owned()), ("GET", item("theirs")), ("DELETE", item("theirs"))]
    {
        let answer = app.anonymous().request(method, &path).await;
        answer.assert_detail(403, "Authentication credentials were not provided.");
    }
});

db_test!(wrong_fields_of_tokens_are_named, |db| async move {
    let app = TestApp::new(db).await;
    let admin = app.admin_token().await;
    admin.post_json(TOKENS, &json!({"identifier": "taken"})).await.assert_status(201);
    let slug = "Enter a valid \"slug\" consisting of letters, numbers, underscores or hyphens.";
    for (body, field, why) in [
        (json!({}), "identifier", "This field is required."),
        (json!({"identifier": ""}), "identifier", "This field may not be blank."),
        (json!({"identifier": null}), "identifier", "This field may not be null."),
        (json!({"identifier": "a b"}), "identifier", slug),
        (json!({"identifier": "x".repeat(256)}), "identifier", "Ensure this field has no more than 255 characters."),
        (json!({"identifier": "taken"}), "identifier", "Token with this identifier already exists."),
        (json!({"identifier": "a", "intent": "zz"}), "intent", "\"zz\" is not a valid choice."),
        (json!({"identifier": "a", "intent": "recovery"}), "intent", "Invalid intent recovery"),
        (json!({"identifier": "a", "intent": "verification"}), "intent", "Invalid intent verification"),
        (json!({"identifier": "a", "user": 999}), "user", "Invalid pk \"999\" - object does not exist."),
        (json!({"identifier": "a", "description": []}), "description", "Not a valid string."),
        (json!({"identifier": "a", "expiring": "maybe"}), "expiring", "Must be a valid boolean."),
        (json!({"identifier": "a", "rollcall_scopes": ["all"]}), "rollcall_scopes", "\"all\" is not a valid choice."),
        (json!({"identifier": "a", "rollcall_scopes": "x"}), "rollcall_scopes", "Expected a list of items but got type \"str\"."),
        (
            json!({"identifier": "a", "rollcall_applications": ["wiki"]}),
            "rollcall_applications",
            "Invalid pk \"wiki\" - object does not exist.",
        ),
    ] {
        let answer = admin.post_json(TOKENS, &body).await;
        assert_eq!((answer.status, answer.json()), (400, json!({field: [why]})), "{body}");
    }
    let both = admin.post_json(TOKENS, &json!({"intent": "x", "expires": "soon"})).await.assert_status(400).json();
    assert_eq!(both.as_object().unwrap().keys().collect::<Vec<_>>(), ["expires", "identifier", "intent"], "all at once");
    admin.post_bytes(TOKENS, "{").await.assert_status(400);
    admin.post_form(TOKENS, &[("identifier", "a")]).await.assert_status(415);
    assert_eq!(identifiers(&admin, "identifier=a").await, [""; 0], "nothing was made");
});

db_test!(tokens_live_as_long_as_they_may, |db| async move {
    let app = TestApp::with(db, &[("API__TOKEN_LIFETIME", "2h")]).await;
    let admin = app.admin_token().await;
    let made = async |body: Value| admin.post_json(TOKENS, &body).await.assert_status(201).json();
    let token = made(json!({"identifier": "a", "expires": "2030-01-01T00:00:00Z"})).await;
    assert_eq!(token["expires"], "2026-11-01T14:00:00Z", "what is sent does not count");
    let token = made(json!({"identifier": "b", "expiring": false, "expires": "2020-01-01T00:00:00Z"})).await;
    assert_eq!((&token["expires"], &token["expiring"]), (&Value::Null, &json!(false)));
    app.advance(Duration::from_secs(3600));
    let token = patch(&admin, &item("a"), &json!({"description": "new"})).await.assert_status(200).json();
    assert_eq!((&token["expires"], &token["description"]), (&json!("2026-11-01T15:00:00Z"), &json!("new")), "again with a change");
    let password = json!({"identifier": "p", "intent": "app_password", "expires": "2026-11-01T14:30:00Z"});
    assert_eq!(made(password).await["expires"], "2026-11-01T14:30:00Z");
    let long = json!({"identifier": "q", "intent": "app_password", "expires": "2026-11-01T15:00:01Z"});
    let answer = admin.post_json(TOKENS, &long).await.assert_status(400);
    assert_eq!(answer.json(), json!({"expires": ["Token expires exceeds maximum lifetime (2026-11-01T15:00:00Z UTC)."]}));
    // A user's own bound.
    let mine = format!("/api/v3/core/users/{}/", app.known("the admin").await.id.0);
    let attributes = json!({"attributes": {"goauthentik.io/user/token-maximum-lifetime": "days=30"}});
    patch(&admin, &mine, &attributes).await.assert_status(200);
    assert_eq!(made(long).await["expires"], "2026-11-01T15:00:01Z");
    assert!(key_of(&admin, "q").await.starts_with("rcp_"));
    app.anonymous().with_bearer(&key_of(&admin, "q").await).get(ME).await.assert_detail(403, "Token invalid/expired");
    let key = key_of(&admin, "p").await;
    assert!(key.starts_with("rcp_") && key.len() == 47, "{key}");
});

db_test!(what_is_not_sent_stays, |db| async move {
    let app = TestApp::new(db).await;
    let (admin, alice) = (app.admin_token().await, app.user("alice").await.id.0);
    let body =
        json!({"identifier": "t", "user": alice, "intent": "app_password", "description": "d", "rollcall_scopes": ["users:read"]});
    admin.post_json(TOKENS, &body).await.assert_status(201);
    let answer = put(&admin, &item("t"), &json!({"identifier": "renamed"})).await;
    assert_described(&format!("{TOKENS}{{identifier}}/"), "put", &answer);
    let token = answer.assert_status(200).json();
    assert_eq!((&token["user"], &token["intent"], &token["description"]), (&json!(alice), &json!("app_password"), &json!("d")));
    assert_eq!(token["rollcall_scopes"], json!(["users:read"]));
    admin.get(&item("t")).await.assert_status(404);
    let answer = patch(&admin, &item("renamed"), &json!({"user": 1, "description": ""})).await;
    assert_eq!((answer.status, answer.json()), (400, json!({"user": ["User cannot be changed"]})));
    let token = patch(&admin, &item("renamed"), &json!({"user": alice, "rollcall_scopes": [], "description": ""})).await.json();
    assert_eq!((&token["rollcall_scopes"], &token["description"]), (&json!([]), &json!("")));
    assert_eq!(
        put(&admin, &item("renamed"), &json!({})).await.assert_status(400).json(),
        json!({"identifier": ["This field is required."]})
    );
    admin.post_json(TOKENS, &json!({"identifier": "other"})).await.assert_status(201);
    let taken = patch(&admin, &item("other"), &json!({"identifier": "renamed"})).await.assert_status(400);
    assert_eq!(taken.json(), json!({"identifier": ["Token with this identifier already exists."]}));
    let changes = app.latest("token_changed").await;
    assert_eq!(changes.last().unwrap().content.to_json()["fields"], "identifier");
    // A link does not become a key.
    let link = app.known("alice").await.token_key(TokenIntent::Recovery, None).await;
    let name = identifiers(&admin, "intent=recovery").await.remove(0);
    for body in [json!({"intent": "api"}), json!({"expiring": false})] {
        let answer = patch(&admin, &item(&name), &body).await;
        assert_eq!((answer.status, answer.json()), (400, json!({"intent": ["Invalid intent recovery"]})), "{body}");
    }
    app.anonymous().with_bearer(&link).get(ME).await.assert_status(403);
});

db_test!(keys_can_be_read_for_five_minutes, |db| async move {
    let app = TestApp::new(db).await;
    let admin = app.admin_token().await;
    admin.post_json(TOKENS, &json!({"identifier": "a"})).await.assert_status(201);
    let key = key_of(&admin, "a").await;
    app.advance(Duration::from_secs(299));
    assert_eq!(key_of(&admin, "a").await, key);
    assert_eq!(keys::clear(&app.app, By::System).await.unwrap(), 0);
    app.advance(Duration::from_secs(1));
    let gone = admin.get(&format!("{}view_key/", item("a"))).await.assert_status(404);
    assert_described(&format!("{TOKENS}{{identifier}}/view_key/"), "get", &gone);
    assert!(gone.json()["detail"].as_str().unwrap().contains("api.readable_secrets"), "{}", gone.text());
    assert_eq!(keys::clear(&app.app, By::System).await.unwrap(), 1);
    assert_eq!(app.number("SELECT count(*) FROM tokens WHERE sealed_key IS NOT NULL").await, 0);
    app.anonymous().with_bearer(&key).get(ME).await.assert_status(200);
    // One that the command line made never could.
    let name = identifiers(&admin, "description=").await.into_iter().find(|name| name.starts_with("api-")).unwrap();
    admin.get(&format!("{}view_key/", item(&name))).await.assert_status(404);
});

db_test!(with_the_setting_keys_stay_readable, |db| async move {
    let app = TestApp::with(db, &[("API__READABLE_SECRETS", "true")]).await;
    let admin = app.admin_token().await;
    admin.post_json(TOKENS, &json!({"identifier": "a", "expiring": false})).await.assert_status(201);
    let key = key_of(&admin, "a").await;
    app.advance(Duration::from_secs(86_400 * 400));
    assert_eq!(keys::clear(&app.app, By::System).await.unwrap(), 0);
    assert_eq!(key_of(&admin, "a").await, key);
    let set = format!("{}set_key/", item("a"));
    admin.post_json(&set, &json!({"key": "another-key-of-this-token"})).await.assert_status(204);
    assert_eq!(key_of(&admin, "a").await, "another-key-of-this-token");
});

db_test!(a_key_is_set, |db| async move {
    let app = TestApp::new(db).await;
    let admin = app.admin_token().await;
    admin.post_json(TOKENS, &json!({"identifier": "a"})).await.assert_status(201);
    let (old, set) = (key_of(&admin, "a").await, format!("{}set_key/", item("a")));
    for (body, why) in [
        (json!({}), "This field is required."),
        (json!({"key": ""}), "This field may not be blank."),
        (json!({"key": "short"}), ""),
        (json!({"key": "with blanks in the key"}), ""),
    ] {
        let answer = admin.post_json(&set, &body).await;
        assert_described(&format!("{TOKENS}{{identifier}}/set_key/"), "post", &answer);
        assert_eq!(answer.status, 400, "{body}");
        assert!(why.is_empty() || answer.json() == json!({"key": [why]}), "{}", answer.text());
    }
    admin.post_json(&format!("{}set_key/", item("none")), &json!({})).await.assert_status(400);
    admin.post_json(&format!("{}set_key/", item("none")), &json!({"key": "a-good-key-of-a-token"})).await.assert_status(404);
    admin.post_json(&set, &json!({"key": "a-good-key-of-a-token"})).await.assert_status(204);
    app.anonymous().with_bearer(&old).get(ME).await.assert_status(403);
    app.anonymous().with_bearer("a-good-key-of-a-token").get(ME).await.assert_status(200);
    admin.get(&format!("{}view_key/", item("a"))).await.assert_status(404);
    admin.post_json(TOKENS, &json!({"identifier": "b"})).await.assert_status(201);
    let taken = admin.post_json(&format!("{}set_key/", item("b")), &json!({"key": "a-good-key-of-a-token"})).await;
    assert_eq!((taken.status, taken.json()), (400, json!({"key": ["Token with this key already exists."]})));
    let stored = app.number("SELECT count(*) FROM events WHERE content LIKE '%a-good-key%'").await;
    assert_eq!(stored, 0);
});

db_test!(two_keys_are_good_for_a_time, |db| async move {
    let app = TestApp::new(db).await;
    let admin = app.admin_token().await;
    admin.post_json(TOKENS, &json!({"identifier": "a", "expiring": false})).await.assert_status(201);
    let old = key_of(&admin, "a").await;
    let opens = async |key: &str| app.anonymous().with_bearer(key).get(ME).await.status;
    let new = keys::rotate(&app.app, By::Cli, "a", Duration::from_secs(3600)).await.unwrap().expose().to_owned();
    assert_eq!((opens(&old).await, opens(&new).await), (200, 200));
    app.advance(Duration::from_secs(3599));
    assert_eq!((opens(&old).await, opens(&new).await), (200, 200));
    app.advance(Duration::from_secs(1));
    assert_eq!((opens(&old).await, opens(&new).await), (403, 200));
    assert_eq!(keys::clear(&app.app, By::System).await.unwrap(), 1, "the old one; the sealed one went with the rotation");
    // Rotated again at once: two are good, not three.
    let third = keys::rotate(&app.app, By::Cli, "a", Duration::from_secs(60)).await.unwrap().expose().to_owned();
    let fourth = keys::rotate(&app.app, By::Cli, "a", Duration::ZERO).await.unwrap().expose().to_owned();
    assert_eq!((opens(&new).await, opens(&third).await, opens(&fourth).await), (403, 403, 200));
    assert!(keys::rotate(&app.app, By::Cli, "none", Duration::ZERO).await.is_err());
});

db_test!(scopes_take_away, |db| async move {
    let app = TestApp::new(db).await;
    let admin = app.admin_token().await;
    let alice = app.user("alice").await;
    let scoped = async |name: &str, scopes: &[&str]| {
        admin.post_json(TOKENS, &json!({"identifier": name, "rollcall_scopes": scopes})).await.assert_status(201);
        app.anonymous().with_bearer(&key_of(&admin, name).await)
    };
    let reader = scoped("reader", &["sessions:read", "events:read"]).await;
    let refusal = "The scopes of this token do not permit this.";
    let browser = alice.session().await;
    for path in [SESSIONS, &browser.url(), "/api/v3/core/ended_sessions/", "/api/v3/events/events/", ME, "/api/v3/admin/version/"] {
        reader.get(path).await.assert_status(200);
    }
    let users = "/api/v3/core/users/";
    for path in [users, TOKENS, "/api/v3/admin/system/", "/api/v3/core/groups/", &format!("{}view_key/", item("reader"))] {
        reader.get(path).await.assert_detail(403, refusal);
    }
    reader.delete(&browser.url()).await.assert_detail(403, refusal);
    for path in [TOKENS, users, &format!("{}set_key/", item("reader")), &format!("{SESSIONS}revoke/")] {
        reader.post_json(path, &json!({})).await.assert_detail(403, refusal);
    }
    // Nor does it free itself.
    patch(&reader, &item("reader"), &json!({"rollcall_scopes": []})).await.assert_detail(403, refusal);
    let writer = scoped("writer", &["users:write"]).await;
    let password = format!("{users}{}/set_password/", alice.id.0);
    writer.post_json(&password, &json!({"password": "a new one of alice"})).await.assert_detail(403, refusal);
    patch(&writer, &format!("{users}{}/", alice.id.0), &json!({"name": "Alice"})).await.assert_status(200);
    let ender = scoped("ender", &["sessions:end"]).await;
    ender.get(SESSIONS).await.assert_detail(403, refusal);
    ender.delete(&browser.url()).await.assert_status(204);
    // They add nothing to what the owner may.
    let body = json!({"identifier": "small", "user": alice.id.0, "rollcall_scopes": ["users:read"]});
    admin.post_json(TOKENS, &body).await.assert_status(201);
    let small = app.anonymous().with_bearer(&key_of(&admin, "small").await);
    small.get(users).await.assert_detail(403, "You do not have permission to perform this action.");
});

db_test!(tokens_are_listed, |db| async move {
    let app = TestApp::new(db).await;
    let (admin, alice) = (app.admin_token().await, app.user("alice").await);
    for (name, user, intent, description, expiring) in [
        ("build", alice.id.0, "api", "for the build", true),
        ("deploy", alice.id.0, "app_password", "Zürich", true),
        ("for-ever", app.known("the admin").await.id.0, "api", "", false),
    ] {
        let body = json!({"identifier": name, "user": user, "intent": intent, "description": description, "expiring": expiring});
        admin.post_json(TOKENS, &body).await.assert_status(201);
    }
    let answer = admin.get(TOKENS).await;
    assert_described(TOKENS, "get", &answer);
    assert_fields("PaginatedTokenList", &answer.json());
    let listed = async |query: &str| {
        let mut all = identifiers(&admin, query).await;
        all.retain(|name| !name.starts_with("api-"));
        all
    };
    for (query, want) in [
        ("", &["build", "deploy", "for-ever"][..]),
        ("ordering=-identifier", &["for-ever", "deploy", "build"]),
        ("ordering=intent,-identifier", &["for-ever", "build", "deploy"]),
        ("ordering=expires,identifier", &["for-ever", "build", "deploy"]),
        ("ordering=-expires,identifier", &["build", "deploy", "for-ever"]),
        ("identifier=build", &["build"]),
        ("identifier=BUILD", &[]),
        ("intent=app_password", &["deploy"]),
        ("user__username=alice", &["build", "deploy"]),
        ("description=for%20the%20build", &["build"]),
        ("expiring=FALSE", &["for-ever"]),
        ("expiring=1", &["build", "deploy"]),
        ("expiring=maybe", &["build", "deploy", "for-ever"]),
        ("managed=x", &[]),
        ("expires=2026-11-02T12:00:00Z", &["build", "deploy"]),
        ("expires__lte=2026-11-02T11:59:59Z", &[]),
        ("expires__gte=2026-11-02", &["build", "deploy"]),
        ("search=z%C3%BCRICH", &["deploy"]),
        ("search=ALICE%20api", &["build"]),
        ("search=the&intent=api", &["build", "for-ever"]),
        ("user=999", &[]),
    ] {
        assert_eq!(listed(query).await, want, "{query}");
    }
    assert_eq!(listed(&format!("user={}", alice.id.0)).await, ["build", "deploy"]);
    // Expired ones are listed, too.
    app.advance(Duration::from_secs(86_400 * 2));
    assert_eq!(listed("identifier=build").await, ["build"]);
    for (query, field, why) in [
        ("intent=nope", "intent", "Select a valid choice. nope is not one of the available choices."),
        ("expires=soon", "expires", "Enter a valid date/time."),
        ("user=x", "user", "Enter a whole number."),
    ] {
        let answer = admin.get(&format!("{TOKENS}?{query}")).await.assert_status(400);
        assert_eq!(answer.json(), json!({field: [why]}), "{query}");
    }
    admin.get(&format!("{TOKENS}?page=9")).await.assert_detail(404, "Invalid page.");
    let walked: Vec<String> =
        [identifiers(&admin, "page_size=2&page=1").await, identifiers(&admin, "page_size=2&page=2").await].concat();
    assert_eq!(walked, identifiers(&admin, "").await);
});
