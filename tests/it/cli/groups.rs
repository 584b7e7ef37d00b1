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
    home.ok(&["group", "member", "remove", "staff", "alice"]);
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
