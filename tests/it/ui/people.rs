//! The pages of users and groups, as administrators use them without scripts.

use rollcall::actions::by::By;
use rollcall::actions::people::changes;
use rollcall::actions::people::changes::UserChange;
use rollcall::domain::Permission;
use serde_json::json;

use crate::support::app::Browser;
use crate::support::passkey::{Passkey, question};
use crate::support::{TestApp, encode};
use crate::ui::form::{fields, form, send, with, without};

/// Where the pages are, as browsers that make passkeys see them.
const ORIGIN: &str = "http://localhost:9000";

/// Adds a passkey to the signed-in user, as their page does.
async fn add_passkey(browser: &Browser, seed: u8) {
    let page = browser.get("/security").await.assert_status(200);
    let passkey = Passkey::new(seed, ORIGIN).create(&question(&page.text(), "/security/passkeys"));
    let fields = [("proof", page.proof()), ("passkey", passkey), ("name", "My key".to_owned())];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    browser.post_form("/security/passkeys", &fields).await.assert_status(200);
}

async fn group(app: &TestApp, name: &str) -> String {
    let key = app.app.store.read().find_group_id(name).await.unwrap().expect("the group is there");
    app.app.store.read().find_group_by_id(key).await.unwrap().unwrap().uuid.to_string()
}

db_test!(a_user_is_edited_on_a_form_that_shows_all_of_them, |db| async move {
    let app = TestApp::new(db).await;
    app.import(&[json!({"kind": "group", "name": "Zürich / IT"}), json!({"kind": "group", "name": "ops", "is_superuser": true})])
        .await;
    let zoe = app.user("zoe").await;
    let root = app.superuser_with_password("root").await.session().await;
    let (page, edit) = (format!("/users/{}", zoe.id.0), format!("/users/{}/edit", zoe.id.0));
    assert!(root.get(&page).await.text().contains("See and end their own sessions only"));
    // Sent as it is, it changes nothing and leaves no event.
    let as_it_is = form(&root, &edit).await;
    assert_eq!(send(&root, &edit, &as_it_is).await.redirects_to(), page);
    assert_eq!(app.count_events("user_changed").await, 0);

    let mut changed = form(&root, &edit).await;
    for (name, value) in [
        ("username", "zoë"),
        ("name", "Zoë \"Z\" <Müller> アリス 🦀"),
        ("email", "zoe@example.com"),
        ("type", "external"),
        ("path", "users/guests"),
        ("verified", "yes"),
        ("attributes", "{\"team\": \"red\", \"n\": [1, null]}"),
        ("permission", Permission::ViewSessions.as_str()),
    ] {
        changed = with(changed, name, value);
    }
    changed.push(("group".into(), group(&app, "Zürich / IT").await));
    changed.push(("group".into(), group(&app, "ops").await));
    assert_eq!(send(&root, &edit, &changed).await.redirects_to(), page);
    let text = root.get(&page).await.text();
    for shown in [
        "zoë",
        "Zoë &#34;Z&#34; &#60;Müller&#62; アリス 🦀",
        "zoe@example.com",
        ">verified<",
        "(external)",
        "users/guests",
        "Zürich / IT",
        "See and do everything (by the group ops)",
        "See everybody’s sessions (set here)",
        ">Administrator</span>",
        "<bdi>n, team</bdi>",
    ] {
        assert!(text.contains(shown), "{shown} in {text}");
    }
    let event = &app.latest("user_changed").await[0];
    let content = serde_json::Value::Object(event.content.to_json());
    assert_eq!(content["changes"]["username"], json!({"before": "zoe", "after": "zoë"}));
    assert_eq!(content["changes"]["groups"]["after"], json!(["Zürich / IT", "ops"]));

    // Another address is not known to be theirs, though the box is ticked as it was.
    let moved = with(form(&root, &edit).await, "email", "other@example.com");
    send(&root, &edit, &moved).await.assert_status(303);
    assert!(root.get(&page).await.text().contains(">not verified<"));
    // What is not ticked any more is taken away.
    let less = without(form(&root, &edit).await, "group", &group(&app, "ops").await);
    let less = with(without(less, "permission", Permission::ViewSessions.as_str()), "attributes", "");
    send(&root, &edit, &less).await.assert_status(303);
    let text = root.get(&page).await.text();
    assert!(text.contains("See and end their own sessions only") && !text.contains(">Administrator</span>"), "{text}");

    for (name, value, status, says) in [
        ("username", "", 422, "may not be empty"),
        ("username", "ROOT", 409, "already"),
        ("username", "a\u{200b}b", 422, "invisible"),
        ("email", "nonsense", 422, "not an e-mail address"),
        ("path", "/users", 422, "no / at its ends"),
        ("attributes", "[1]", 422, "JSON object"),
        ("attributes", "{\"a\":", 422, "line 1"),
        ("attributes", "{\"a\":\"\\u0000\"}", 422, "null characters"),
        ("type", "robot", 422, "choose"),
        ("type", "internal_service_account", 422, "internal service accounts"),
        ("group", "x", 422, "no group"),
        ("group_name", "no such group", 422, "no group named"),
        ("group", "00000000-0000-4000-8000-00000000dead", 409, "is gone"),
    ] {
        let wrong = with(form(&root, &edit).await, name, value);
        let answer = send(&root, &edit, &wrong).await.assert_status(status).text();
        assert!(answer.contains(says) && answer.contains("role=\"alert\""), "{name}={value}: {answer}");
    }
    assert_eq!(app.count_events("user_changed").await, 3);
    // A form without its version, or with another's proof, is refused.
    let form = form(&root, &edit).await;
    send(&root, &edit, &with(form.clone(), "version", "x")).await.assert_status(403);
    send(&root, &edit, &with(form, "proof", "x")).await.assert_status(403);
    root.get("/users/999999/edit").await.assert_status(404);
});

db_test!(the_second_of_two_administrators_is_told, |db| async move {
    let app = TestApp::new(db).await;
    app.import(&[json!({"kind": "group", "name": "staff"}), json!({"kind": "group", "name": "ops"})]).await;
    let alice = app.user("alice").await;
    let (one, two) = (app.superuser("one").await.session().await, app.superuser("two").await.session().await);
    let edit = format!("/users/{}/edit", alice.id.0);
    let (of_one, of_two) = (form(&one, &edit).await, form(&two, &edit).await);
    send(&one, &edit, &with(of_one, "name", "Alice One")).await.assert_status(303);
    let late = with(of_two, "email", "alice@example.com");
    let told = send(&two, &edit, &late).await.assert_status(409).text();
    assert!(
        told.contains("Somebody else changed this user") && told.contains("Full name: was empty, is now “Alice One”."),
        "{told}"
    );
    assert!(told.contains("alice@example.com"), "what was typed is kept");
    let stored = app.app.store.read().find_user(alice.id).await.unwrap().unwrap();
    assert_eq!((stored.name.as_str(), stored.email.as_str()), ("Alice One", ""), "nothing of the second form was stored");
    // The second one looks, and saves again: what was typed is stored, and what was not touched stays as it is stored.
    send(&two, &edit, &fields(&told)).await.assert_status(303);
    let stored = app.app.store.read().find_user(alice.id).await.unwrap().unwrap();
    assert_eq!((stored.name.as_str(), stored.email.as_str()), ("Alice One", "alice@example.com"));

    // A change elsewhere counts: who is in a group, on the page of the group.
    let of_one = form(&one, &edit).await;
    let staff = format!("/groups/{}", group(&app, "staff").await);
    let proof = two.get(&staff).await.proof();
    two.post_form(&format!("{staff}/members"), &[("proof", &proof), ("username", "alice")]).await.assert_status(303);
    let told = send(&one, &edit, &of_one).await.assert_status(409).text();
    assert!(told.contains("Groups: was none, is now “staff”."), "{told}");
    // Two at the same time: one of them is told.
    let (of_one, of_two) = (form(&one, &edit).await, form(&two, &edit).await);
    let (of_one, of_two) = (with(of_one, "name", "A"), with(of_two, "name", "B"));
    let (first, second) = tokio::join!(send(&one, &edit, &of_one), send(&two, &edit, &of_two));
    let mut answers = [first.status, second.status];
    answers.sort_unstable();
    assert_eq!(answers, [303, 409]);

    // Groups likewise.
    let edit = format!("{staff}/edit");
    let (of_one, of_two) = (form(&one, &edit).await, form(&two, &edit).await);
    send(&one, &edit, &with(of_one, "name", "personnel")).await.assert_status(303);
    let told = send(&two, &edit, &of_two).await.assert_status(409).text();
    assert!(told.contains("Somebody else changed this group") && told.contains("Name: was “staff”, is now “personnel”."), "{told}");
    assert!(one.get(&staff).await.text().contains("<bdi>personnel</bdi>"));
});

db_test!(the_last_administrator_who_can_sign_in_stays, |db| async move {
    let app = TestApp::new(db).await;
    app.import(&[json!({"kind": "group", "name": "ops", "is_superuser": true})]).await;
    // Only `last` has a password; `root` here has a session alone, and cannot sign in again.
    let last = app.user_with_password("last").await;
    let root = app.superuser("root").await.session().await;
    let ops = format!("/groups/{}", group(&app, "ops").await);
    let proof = root.get(&ops).await.proof();
    let proof = [("proof", proof.as_str())];
    let post = async |path: &str, more: &[(&str, &str)]| root.post_form(path, &[&proof[..], more].concat()).await;
    post(&format!("{ops}/members"), &[("username", "last")]).await.assert_status(303);
    let user = format!("/users/{}", last.id.0);
    let id = last.id.0.to_string();
    for (path, fields) in [
        (format!("{user}/active"), vec![("active", "no")]),
        (format!("{user}/remove"), vec![]),
        (format!("{ops}/members"), vec![("remove", id.as_str())]),
        (format!("{ops}/remove"), vec![]),
    ] {
        let answer = post(&path, &fields).await.assert_status(409).text();
        assert!(answer.contains("no administrator who can sign in would be left"), "{path}: {answer}");
        assert!(!answer.contains("It has changed"), "{path}: it is said what the matter is");
    }
    let edit = format!("{user}/edit");
    let out = without(form(&root, &edit).await, "group", &group(&app, "ops").await);
    assert!(send(&root, &edit, &out).await.assert_status(409).text().contains("would be left"));
    let edit = format!("{ops}/edit");
    let off = without(form(&root, &edit).await, "superuser", "yes");
    assert!(send(&root, &edit, &off).await.assert_status(409).text().contains("would be left"));
    assert_eq!(app.number("SELECT count(*) FROM memberships").await, 1);
    assert!(app.app.store.read().find_user(last.id).await.unwrap().unwrap().is_active);
    // With another one, all of it is done.
    app.superuser_with_password("another").await;
    post(&format!("{user}/remove"), &[]).await.assert_status(303);
    assert!(app.app.store.read().find_user(last.id).await.unwrap().is_none());
    root.get(&user).await.assert_status(404);
});

db_test!(the_only_passkey_of_the_last_administrator_stays, |db| async move {
    let app = TestApp::with(db, &[("HTTP__PUBLIC_URL", ORIGIN)]).await;
    let last = app.superuser("last").await;
    let root = app.superuser("root").await.session().await;
    let own = last.session().await;
    let page = format!("/users/{}", last.id.0);
    assert!(root.get(&page).await.text().contains("not set: cannot sign in yet"));
    add_passkey(&own, 7).await;
    assert!(root.get(&page).await.text().contains("not set: signs in with a passkey"));
    let page = root.get("/users").await;
    let path = format!("/users/{}/remove-factors", last.id.0);
    let answer = root.post_form(&path, &[("proof", &page.proof())]).await;
    assert!(answer.assert_status(409).text().contains("would be left"));
    let security = own.get("/security").await;
    let remove = security.text().split("\"/security/factors/").nth(1).unwrap().split('/').next().unwrap().to_owned();
    let path = format!("/security/factors/{remove}/remove");
    let refused = own.post_form(&path, &[("proof", security.proof().as_str())]).await.assert_status(409).text();
    assert!(refused.contains("An administrator must be left"), "{refused}");
    assert_eq!(app.number("SELECT count(*) FROM authenticators").await, 1);
    // With a password the passkey is not all there is.
    app.superuser_with_password("another").await;
    own.post_form(&path, &[("proof", security.proof().as_str())]).await.assert_status(303);
    assert_eq!(app.number("SELECT count(*) FROM authenticators").await, 0);
});

db_test!(filters_find_who_lacks_what, |db| async move {
    let app = TestApp::with(db, &[("HTTP__PUBLIC_URL", ORIGIN)]).await;
    app.import(&[json!({"kind": "group", "name": "ops", "is_superuser": true})]).await;
    let root = app.superuser("root").await;
    let idle = app.user("idle").await;
    app.user("keyed").await.session().await;
    let by_group = app.user("by group").await;
    let off = app.user("off").await;
    let ops = group(&app, "ops").await.parse().unwrap();
    let set = async |id, change| changes::change(&app.app, By::Cli, id, change).await.unwrap();
    set(by_group.id, UserChange { groups: Some(vec![ops]), ..UserChange::default() }).await;
    set(off.id, UserChange { is_active: Some(false), ..UserChange::default() }).await;
    set(idle.id, UserChange { kind: rollcall::domain::user::UserType::parse("service_account"), ..UserChange::default() }).await;
    let key = app.known("keyed").await.session().await;
    add_passkey(&key, 3).await;
    let browser = root.session().await;
    let names = async |query: &str| {
        let text = browser.get(&format!("/users?{query}")).await.assert_status(200).text();
        let rows = text.split("<th scope=\"row\"").skip(1);
        rows.map(|row| row.split("<bdi>").nth(1).unwrap().split('<').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for (query, found) in [
        ("", &["by group", "idle", "keyed", "off", "root"][..]),
        ("admin=yes", &["by group", "root"]),
        ("admin=no", &["idle", "keyed", "off"]),
        ("factor=no", &["by group", "idle", "off", "root"]),
        ("factor=yes", &["keyed"]),
        ("signed_in=never", &["by group", "idle", "off"]),
        ("active=no", &["off"]),
        ("active=yes&factor=no", &["by group", "idle", "root"]),
        ("type=service_account", &["idle"]),
        ("admin=yes&signed_in=never", &["by group"]),
        ("q=IDL&admin=no", &["idle"]),
        ("admin=odd&page=-3&type=robot", &["by group", "idle", "keyed", "off", "root"]),
        ("page=99999999999999999999", &["by group", "idle", "keyed", "off", "root"]),
    ] {
        assert_eq!(names(query).await, found, "{query}");
    }
    // Each filter is one link, which keeps the search; on again, it is off.
    let text = browser.get("/users?q=e&admin=no").await.text();
    assert!(
        text.contains("href=\"/users?q=e&#38;admin=no&#38;factor=no\"") && text.contains("href=\"/users?q=e&#38;admin=yes\""),
        "{text}"
    );
    let on = browser.get("/users?admin=yes").await.text();
    assert!(on.contains("<a href=\"/users\" aria-current=\"true\">Administrators</a>"), "{on}");
    // The API and the command line have the filter, too.
    let token = root.token().await;
    let found = token.get("/api/v3/core/users/?rollcall_second_factor=true").await.assert_status(200).json();
    assert_eq!((&found["pagination"]["count"], &found["results"][0]["username"]), (&json!(1), &json!("keyed")));
});

db_test!(groups_are_made_nested_changed_and_removed, |db| async move {
    let app = TestApp::new(db).await;
    app.user("alice").await;
    let root = app.superuser_with_password("root").await.session().await;
    assert!(root.get("/groups").await.text().contains("There are no groups"));
    let name = "Zürich / IT <b>アリス</b> 🦀";
    let new = with(form(&root, "/groups/new").await, "name", name);
    let zurich = send(&root, "/groups", &new).await.redirects_to().to_owned();
    assert!(send(&root, "/groups", &new).await.assert_status(409).text().contains("already"));
    assert!(send(&root, "/groups", &with(new.clone(), "name", " ")).await.assert_status(422).text().contains("has a name"));
    let mut within = with(form(&root, "/groups/new").await, "name", "oncall");
    within.push(("parent".into(), zurich.rsplit('/').next().unwrap().to_owned()));
    within.push(("superuser".into(), "yes".into()));
    within.push(("permission".into(), Permission::DeleteSessions.as_str().into()));
    let oncall = send(&root, "/groups", &within).await.redirects_to().to_owned();
    let text = root.get(&oncall).await.text();
    assert!(text.contains("Zürich / IT &#60;b&#62;アリス&#60;/b&#62; 🦀") && text.contains("See and do everything"), "{text}");
    assert!(text.contains("End everybody’s sessions") && text.contains("It has no members of its own."), "{text}");
    assert!(root.get(&zurich).await.text().contains("<bdi>oncall</bdi>"), "the parent shows its child");
    // A cycle is refused, and nothing changes.
    let mut cycle = form(&root, &format!("{zurich}/edit")).await;
    cycle.push(("parent".into(), oncall.rsplit('/').next().unwrap().to_owned()));
    let refused = send(&root, &format!("{zurich}/edit"), &cycle).await.assert_status(422).text();
    assert!(refused.contains("cannot be within itself"), "{refused}");

    let members = format!("{oncall}/members");
    let proof = root.get(&oncall).await.proof();
    let post = async |fields: &[(&str, &str)]| root.post_form(&members, &[&[("proof", proof.as_str())], fields].concat()).await;
    assert_eq!(post(&[("username", " Alice ")]).await.redirects_to(), format!("{oncall}?q=Alice"));
    assert!(post(&[("username", "nobody")]).await.assert_status(422).text().contains("no user named"));
    assert!(post(&[("username", "")]).await.assert_status(422).text().contains("type the username"));
    post(&[("remove", "x")]).await.assert_status(403);
    assert!(root.get(&format!("{oncall}?q=ali")).await.text().contains("<bdi>alice</bdi>"));
    assert!(root.get(&format!("{oncall}?q=bob")).await.text().contains("No member matches"));
    let alice = app.known("alice").await.id.0.to_string();
    assert!(root.get(&format!("/users/{alice}")).await.text().contains("See and do everything (by the group oncall)"));
    assert!(root.get("/groups").await.text().contains("data-label=\"Members\" class=\"num\">1<"));
    post(&[("remove", &alice)]).await.assert_status(303);
    assert_eq!(app.number("SELECT count(*) FROM memberships").await, 0);

    let question = root.get(&format!("{zurich}/remove")).await.assert_status(200).text();
    assert!(question.contains("The group within it stays"), "{question}");
    let proof = [("proof", proof.as_str())];
    assert_eq!(root.post_form(&format!("{zurich}/remove"), &proof).await.redirects_to(), "/groups");
    root.get(&zurich).await.assert_status(404);
    assert!(root.get(&oncall).await.text().contains("no group"));
    for (kind, count) in [("group_added", 2), ("group_changed", 2), ("group_removed", 1)] {
        assert_eq!(app.count_events(kind).await, count, "{kind}");
    }
    root.get("/groups/nonsense").await.assert_status(404);
    assert!(root.get(&format!("/groups?q={}", encode("アリス"))).await.text().contains("No group matches"));
});

db_test!(a_group_of_ten_thousand_is_shown_in_pages, |db| async move {
    let app = TestApp::new(db).await;
    let mut lines = vec![json!({"kind": "group", "name": "all"})];
    lines.extend((0..10_000).map(|n| json!({"kind": "user", "username": format!("user-{n:05}"), "groups": ["all"]})));
    app.import(&lines).await;
    let root = app.superuser("root").await.session().await;
    let all = format!("/groups/{}", group(&app, "all").await);
    let first = root.get(&all).await.assert_status(200);
    let text = first.text();
    assert!(text.contains("Members: 10,000") && text.contains("Page 1 of 200") && text.contains("user-00049"), "{}", text.len());
    assert!(!text.contains("user-00050") && text.len() < 100_000, "{}", text.len());
    assert!(root.get(&format!("{all}?page=200")).await.text().contains("user-09999"));
    let found = root.get(&format!("{all}?q=user-07777")).await.text();
    assert!(found.contains("Members: 1 that match"), "{found}");
    // One of the last page is removed, and the page stays.
    let gone = app.number("SELECT id FROM users WHERE username = 'user-09999'").await.to_string();
    let fields = [("proof", first.proof()), ("remove", gone), ("q", String::new()), ("page", "200".into())];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(root.post_form(&format!("{all}/members"), &fields).await.redirects_to(), format!("{all}?page=200"));
    assert!(root.get("/groups").await.text().contains(">9,999<"));
    // The form of the group does not carry them.
    assert!(root.get(&format!("{all}/edit")).await.text().len() < 20_000);
    assert!(root.get(&format!("{all}/remove")).await.text().contains("9,999 members stay users"));
});

db_test!(with_many_groups_a_form_asks_for_a_name, |db| async move {
    let app = TestApp::new(db).await;
    app.import(&(0..60).map(|n| json!({"kind": "group", "name": format!("group {n:02}")})).collect::<Vec<_>>()).await;
    let alice = app.user("alice").await;
    let root = app.superuser("root").await.session().await;
    let edit = format!("/users/{}/edit", alice.id.0);
    let text = root.get(&edit).await.text();
    assert!(text.contains("Another group, by name") && !text.contains("group 00"), "{text}");
    send(&root, &edit, &with(form(&root, &edit).await, "group_name", "GROUP 42")).await.assert_status(303);
    send(&root, &edit, &with(form(&root, &edit).await, "group_name", "group 07")).await.assert_status(303);
    let text = root.get(&format!("/users/{}", alice.id.0)).await.text();
    assert!(text.contains("group 07") && text.contains("group 42"), "{text}");
    assert!(root.get("/groups").await.text().contains("Page 1 of 2"));
});

db_test!(attributes_too_long_for_a_form_stay, |db| async move {
    let app = TestApp::new(db).await;
    let alice = app.user_with_password("alice").await;
    let long = json!({"long": "x".repeat(60_000)});
    let change = UserChange { attributes: long.as_object().cloned(), ..UserChange::default() };
    changes::change(&app.app, By::Cli, alice.id, change).await.unwrap();
    let root = app.superuser("root").await.session().await;
    let edit = format!("/users/{}/edit", alice.id.0);
    assert!(root.get(&edit).await.text().contains("too long for this form"));
    send(&root, &edit, &with(form(&root, &edit).await, "name", "Alice")).await.assert_status(303);
    assert_eq!(app.number("SELECT CAST(length(attributes) AS BIGINT) FROM users WHERE username = 'alice'").await, 60_011);
});
