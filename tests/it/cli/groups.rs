//! `rollcall group`, and `rollcall user set`, `show` and `list` with filters.

use super::*;

on_both!(groups_are_added_changed_shown_and_removed, |home| async move {
    home.import(&people());
    home.ok(&["group", "add", "everybody"]);
    home.ok(&["group", "add", "staff", "--member", "alice", "--parent", "everybody", "--attributes", "{\"floor\": 1}"]);
    let row: Value = serde_json::from_str(&home.ok(&["group", "show", "staff", "--json"])).unwrap();
    assert_eq!((&row["members"], &row["parents"]), (&json!(["alice"]), &json!(["everybody"])));
    assert_eq!((&row["superuser"], &row["attributes"]), (&json!(false), &json!({"floor": 1})));
    home.ok(&["group", "member", "add", "staff", "bob", "alice"]);
    assert_eq!(home.rows(&["group", "list", "--json", "--member", "alice"]).len(), 1);
    home.ok(&["group", "member", "remove", "staff", "alice"]);
    assert!(home.rows(&["group", "list", "--json", "--member", "alice"]).is_empty(), "a user who is in none is known");
    home.ok(&["group", "set", "staff", "--name", "crew", "--superuser", "true"]);
    let row = &home.rows(&["group", "list", "--json", "--name", "crew"])[0];
    assert_eq!((&row["members"], &row["superuser"], &row["parents"]), (&json!(["bob"]), &json!(true), &json!(["everybody"])));
    assert!(home.ok(&["group", "list"]).contains("crew"));
    assert_eq!(home.ok(&["group", "list", "--csv"]).lines().count(), 3);
    assert!(home.fails(1, &["group", "set", "everybody", "--parent", "crew"]).contains("within itself"));
    home.ok(&["group", "set", "crew", "--no-parent"]);
    assert!(home.ok(&["group", "show", "crew"]).contains("crew"));
    assert!(home.fails(1, &["group", "remove", "crew"]).contains("--yes"));
    home.ok(&["group", "remove", "crew", "--yes"]);
    for args in [
        &["group", "show", "crew"][..],
        &["group", "set", "crew", "--superuser", "true"],
        &["group", "remove", "crew", "--yes"],
        &["group", "add", "x", "--member", "nobody"],
        &["group", "add", "x", "--parent", "nothing"],
        &["group", "add", "everybody"],
        &["group", "add", " "],
        &["group", "member", "add", "everybody", "alice", "nobody"],
        &["group", "member", "remove", "nothing", "alice"],
    ] {
        home.fails(1, args);
    }
    let row = &home.rows(&["group", "list", "--json"])[0];
    assert_eq!((&row["name"], &row["members"]), (&json!("everybody"), &json!([])), "nobody is moved when one is unknown");
    for args in [
        &["group"][..],
        &["group", "add", "x", "--attributes", "[]"],
        &["group", "add", "x", "--permission", "no_such"],
        &["group", "list", "--superuser", "perhaps"],
        &["group", "list", "--colour", "red"],
        &["group", "list", "--member", "nobody"],
        &["group", "list", "--member-pk", "999"],
        &["group", "member", "add", "everybody"],
    ] {
        home.fails(2, args);
    }
});

on_both!(users_are_changed_shown_and_found, |home| async move {
    home.import(&people());
    home.ok_with(&["user", "add", "akadmin", "--superuser"], "correct horse battery\n");
    home.ok(&["group", "add", "staff"]);
    home.ok(&[
        "user",
        "set",
        "alice",
        "--name",
        "Alice Ä.",
        "--email",
        "alice@example.com",
        "--email-verified",
        "true",
        "--type",
        "external",
        "--path",
        "users/a",
        "--attributes",
        "{\"team\": \"red\"}",
        "--group",
        "staff",
        "--superuser",
        "true",
    ]);
    let alice: Value = serde_json::from_str(&home.ok(&["user", "show", "alice", "--json"])).unwrap();
    for (field, want) in [
        ("name", json!("Alice Ä.")),
        ("email_verified", json!(true)),
        ("type", json!("external")),
        ("path", json!("users/a")),
        ("attributes", json!({"team": "red"})),
        ("groups", json!(["staff"])),
        ("all_groups", json!(["staff"])),
        ("superuser", json!(true)),
        ("has_password", json!(false)),
    ] {
        assert_eq!(alice[field], want, "{field}");
    }
    assert!(home.ok(&["user", "show", "alice"]).contains("alice@example.com"));
    for (args, want) in [
        (&["--type", "external"][..], vec!["alice"]),
        (&["--superuser", "true"], vec!["akadmin", "alice"]),
        (&["--group", "staff"], vec!["alice"]),
        (&["--search", "ä. EXAMPLE"], vec!["alice"]),
        (&["--attributes", "{\"team\": \"red\"}"], vec!["alice"]),
        (&["--path-start", "users/"], vec!["alice"]),
        (&["--username", "nobody"], vec![]),
        (&["--type", "internal", "--type", "external"], vec!["akadmin", "alice", "bob"]),
    ] {
        let rows = home.rows(&[&["user", "list", "--json"], args].concat());
        let names: Vec<&str> = rows.iter().map(|row| row["username"].as_str().unwrap()).collect();
        assert_eq!(names, want, "{args:?}");
    }
    home.ok(&["user", "set", "alice", "--no-group", "--superuser", "false", "--username", "alice2"]);
    let alice: Value = serde_json::from_str(&home.ok(&["user", "show", "alice2", "--json"])).unwrap();
    assert_eq!((&alice["groups"], &alice["superuser"], &alice["name"]), (&json!([]), &json!(false), &json!("Alice Ä.")));
    assert!(home.fails(1, &["user", "set", "akadmin", "--superuser", "false"]).contains("administrator"), "the last one stays");
    assert!(home.fails(1, &["user", "deactivate", "akadmin"]).contains("administrator"));
    assert!(home.fails(1, &["user", "remove", "akadmin", "--yes"]).contains("administrator"));
    assert!(home.fails(1, &["user", "erase", "akadmin", "--yes"]).contains("administrator"));
    home.fails(1, &["user", "show", "nobody"]);
    home.fails(1, &["user", "set", "nobody", "--name", "x"]);
    home.fails(1, &["user", "set", "bob", "--group", "nothing"]);
    home.fails(1, &["user", "set", "bob", "--username", "ALICE2"]);
    home.fails(1, &["user", "set", "bob", "--path", "/x"]);
    home.fails(2, &["user", "list", "--group", "nothing"]);
    home.fails(2, &["user", "set", "bob", "--type", "weird"]);
    home.fails(2, &["user", "list", "--created", "soon"]);
});

on_both!(an_auditor_by_a_group_is_shown_as_one, |home| async move {
    home.import(&people());
    home.ok(&["group", "add", "audit", "--auditor", "true"]);
    home.ok(&["group", "add", "interns", "--parent", "audit", "--member", "alice"]);
    for row in [
        serde_json::from_str::<Value>(&home.ok(&["user", "show", "alice", "--json"])).unwrap(),
        home.rows(&["user", "list", "--json", "--username", "alice"]).remove(0),
    ] {
        assert_eq!((&row["auditor"], &row["superuser"]), (&json!(true), &json!(false)), "{row}");
    }
    let auditors = home.rows(&["user", "list", "--json", "--auditor", "true"]);
    assert_eq!(auditors.iter().map(|row| &row["username"]).collect::<Vec<_>>(), ["alice"]);
    let bob: Value = serde_json::from_str(&home.ok(&["user", "show", "bob", "--json"])).unwrap();
    assert_eq!(bob["auditor"], json!(false));
});

on_both!(one_address_of_two_users_is_noted, |home| async move {
    home.import(&people());
    let done = home.run(&["user", "set", "alice", "--email", "team@example.com"]);
    assert!(done.code == 0 && !done.err.contains("note:"), "{done:?}");
    let done = home.run(&["user", "set", "bob", "--email", "TEAM@example.com"]);
    assert!(done.code == 0 && done.err.contains("note: alice has this e-mail address, too"), "{done:?}");
    let done = home.run(&["user", "add", "carol", "--no-password", "--email", "team@example.com"]);
    assert!(done.code == 0 && done.err.contains("note: alice, bob have this e-mail address, too"), "{done:?}");
    // What was not said is not noted.
    let done = home.run(&["user", "set", "bob", "--name", "Bob"]);
    assert!(done.code == 0 && !done.err.contains("note:"), "{done:?}");
});

on_both!(one_app_session_is_ended, |home| async move {
    let home = home.with("ROLLCALL_HTTP__PUBLIC_URL", "https://id.example");
    home.ok(&["generate", "--users", "10", "--sessions", "20", "--app-sessions", "6"]);
    let before = home.rows(&["app", "sessions", "--json"]);
    let (uuid, session) = (before[0]["uuid"].as_str().unwrap(), before[0]["session"].as_str().unwrap());
    assert!(home.fails(1, &["app", "end-session", uuid]).contains("--yes"));
    assert_eq!(home.rows(&["app", "sessions", "--json"]).len(), 6);
    let ends = || home.rows(&["export", "--events"]).iter().filter(|event| event["kind"] == "app_session_ended").count();
    let ended = ends();
    let done = home.run(&["app", "end-session", uuid, "--yes"]);
    assert!(done.code == 0 && done.err.contains("ended the app session of "), "{done:?}");
    let after = home.rows(&["app", "sessions", "--json"]);
    assert!(after.len() == 5 && after.iter().all(|row| row["uuid"] != uuid), "{after:?}");
    home.ok(&["session", "show", session]);
    assert_eq!(ends(), ended + 1);
    assert!(home.fails(1, &["app", "end-session", uuid, "--yes"]).contains("there is no app session"));
    home.fails(2, &["app", "end-session", "no-uuid", "--yes"]);
});
