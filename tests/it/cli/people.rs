//! Policies, auditors, and people who come from files and leave in files.

use super::*;

on_both!(policies_are_listed_and_the_instances_is_stored, |home| async move {
    home.import(&people());
    home.ok(&["group", "add", "staff", "--member", "alice"]);
    home.ok(&["policy", "set", "--group", "staff", "--idle-timeout", "2h"]);
    home.ok(&["policy", "set", "--user", "bob", "--max-sessions", "3", "--require-factor", "true"]);
    let said = home.ok(&["policy", "set", "--instance", "--absolute-timeout", "5d"]);
    assert!(said.is_empty(), "{said}");
    let rows = home.rows(&["policy", "list", "--json"]);
    let row = |at: usize, name: &str| (rows[at]["whose"].clone(), rows[at][name].clone());
    assert_eq!(row(0, "absolute_timeout"), (json!("instance"), json!("5days")));
    assert_eq!(row(1, "idle_timeout"), (json!("group staff"), json!("2h")));
    assert_eq!((row(2, "max_sessions"), rows.len()), ((json!("user bob"), json!(3)), 3));
    assert!(home.ok(&["policy", "list"]).contains("user bob"));
    let together = home.rows(&["policy", "show", "--user", "alice", "--json"]);
    assert_eq!(together.last().unwrap()["absolute_timeout"], "5days");
    home.ok(&["policy", "set", "--instance", "--absolute-timeout", "none"]);
    assert_eq!(home.rows(&["policy", "list", "--json"])[0]["absolute_timeout"], "14days", "what is built in");
    for args in [
        &["policy", "set", "--idle-timeout", "1h"][..],
        &["policy", "set", "--instance", "--require-factor", "true"],
        &["policy", "set", "--instance", "--absolute-timeout", "0"],
        &["policy", "set", "--instance", "--user", "bob", "--idle-timeout", "1h"],
        &["policy", "set", "--instance"],
    ] {
        home.fails(2, args);
    }
    let given = home.with("ROLLCALL_SESSIONS__IDLE_TIMEOUT", "1h");
    assert!(given.fails(1, &["policy", "set", "--instance", "--idle-timeout", "2h"]).contains("ROLLCALL_SESSIONS__IDLE_TIMEOUT"));
});

on_both!(auditors_are_made_and_found, |home| async move {
    home.import(&people());
    home.ok(&["user", "set", "alice", "--auditor", "true"]);
    home.ok(&["group", "add", "audit", "--auditor", "true", "--member", "bob"]);
    let names = |args: &[&str]| {
        let rows = home.rows(&[&["user", "list", "--json"][..], args].concat());
        rows.iter().map(|row| row["username"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&["--auditor", "true"]), ["alice", "bob"]);
    assert_eq!(names(&["--second-factor", "true"]), Vec::<String>::new());
    home.ok(&["group", "set", "audit", "--auditor", "false"]);
    assert_eq!(names(&["--auditor", "true"]), ["alice"]);
    let row: Value = serde_json::from_str(&home.ok(&["group", "show", "audit", "--json"])).unwrap();
    assert_eq!(row["auditor"], false);
});

on_both!(what_is_exported_of_people_can_be_imported, |home| async move {
    home.import(&[
        json!({"kind": "group", "name": "all", "is_auditor": true, "attributes": {"floor": 1}}),
        json!({"kind": "group", "name": "a team", "parents": ["all"], "uuid": "00000000-0000-4000-8000-0000000000aa",
               "permissions": ["authentik_core.view_authenticatedsession"]}),
        json!({"kind": "user", "id": 70, "username": "zoë", "name": "Zoë 🦀", "email": "zoe@example.com", "email_verified": true,
               "is_auditor": true, "type": "external", "path": "users/guests", "attributes": {"n": [1, null]}, "groups": ["a team"]}),
        json!({"kind": "user", "username": "plain"}),
    ]);
    let (groups, users) = (home.ok(&["export", "--groups"]), home.ok(&["export", "--users"]));
    let first: Value = serde_json::from_str(groups.lines().next().unwrap()).unwrap();
    assert_eq!((&first["name"], &first["is_auditor"]), (&json!("all"), &json!(true)), "parents come first");
    let zoe: Value = users.lines().map(|line| serde_json::from_str(line).unwrap()).find(|row: &Value| row["id"] == 70).unwrap();
    for (field, want) in [
        ("email_verified", json!(true)),
        ("is_auditor", json!(true)),
        ("type", json!("external")),
        ("path", json!("users/guests")),
        ("attributes", json!({"n": [1, null]})),
        ("groups", json!(["a team"])),
    ] {
        assert_eq!(zoe[field], want, "{field}");
    }
    // Back into an empty instance: the same comes out again.
    let all: String = groups.clone() + &users;
    home.ok_with(&["import", "--replace", "-"], &all);
    assert_eq!(home.ok(&["export", "--groups"]), groups);
    let without = |text: &str| {
        let rows = text.lines().map(|line| {
            let mut row: Value = serde_json::from_str(line).unwrap();
            row.as_object_mut().unwrap().remove("created");
            row
        });
        rows.collect::<Vec<_>>()
    };
    assert_eq!(without(&home.ok(&["export", "--users"])), without(&users));
    assert!(home.ok(&["export", "--groups", "--format", "csv"]).starts_with("uuid,name,"));
    let before = home.ok(&["export", "--users"]);
    for (what, line) in [
        ("type", json!({"kind": "user", "username": "x", "type": "robot"})),
        ("path", json!({"kind": "user", "username": "x", "path": "/a"})),
        ("attributes", json!({"kind": "user", "username": "x", "attributes": [1]})),
        ("null", json!({"kind": "user", "username": "x", "attributes": {"a": "\u{0}"}})),
        ("parent", json!({"kind": "group", "name": "x", "parents": ["nothing"]})),
        ("itself", json!({"kind": "group", "name": "x", "parents": ["x"]})),
        ("uuid", json!({"kind": "group", "name": "x", "uuid": "seven"})),
        ("taken", json!({"kind": "group", "name": "x", "uuid": "00000000-0000-4000-8000-0000000000aa"})),
    ] {
        assert!(home.fails_with(1, &["import", "-"], &line.to_string()).contains("line 1"), "{what}");
    }
    assert_eq!(home.ok(&["export", "--users"]), before);
});

on_both!(users_come_from_a_csv, |home| async move {
    home.import(&people());
    home.ok(&["group", "add", "staff"]);
    let good = home.write("good.csv", "\u{feff}username;name;groups\r\ncarol;\"Carol; C\";staff\r\ndave;;\r\n");
    let shown = home.ok(&["import", "--csv", &good, "--dry-run"]);
    assert_eq!(shown, "line 2: carol\nline 3: dave\n");
    assert_eq!(home.rows(&["user", "list", "--json"]).len(), 2, "nothing is stored");
    home.ok(&["import", "--csv", &good]);
    let carol: Value = serde_json::from_str(&home.ok(&["user", "show", "carol", "--json"])).unwrap();
    assert_eq!((&carol["name"], &carol["groups"]), (&json!("Carol; C"), &json!(["staff"])));
    let wrong = home.write("wrong.csv", "username\teMail\neve\te@example.com\nALICE\t\nmallory\tnonsense\n");
    for args in [&["import", "--csv", &wrong][..], &["import", "--csv", &wrong, "--dry-run"]] {
        let said = home.fails(1, args);
        assert!(
            said.contains("line 3: there is a user named") && said.contains("line 4: \"nonsense\"") && said.contains("2 fault"),
            "{said}"
        );
    }
    assert!(home.fails_with(1, &["import", "--csv", "-"], "name\nx\n").contains("line 1: the column username is missing"));
    assert_eq!(home.rows(&["user", "list", "--json"]).len(), 4);
    home.fails(2, &["import", "--csv", "--replace", &good]);
    home.fails(2, &["import", "--dry-run", &good]);
    home.fails(1, &["import", "--csv", "nowhere.csv"]);
});
