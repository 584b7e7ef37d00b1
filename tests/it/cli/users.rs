//! `rollcall user` and `rollcall policy`.

use super::*;

on_both!(users, |home| async move {
    home.import(&[]);
    let done = home.run_with(&["user", "add", "alice", "--name", "Alice", "--email", "alice@example.com"], "correct horse\n");
    assert_eq!((done.code, done.out.as_str()), (0, ""), "{done:?}");
    assert!(done.err.contains("alice") && !done.err.contains("correct horse"));
    home.ok(&["user", "add", "Zoë O'Brien", "--no-password", "--superuser"]);
    for (args, input, complaint) in [
        (&["user", "add", "alice"][..], "correct horse\n", "exists"),
        (&["user", "add", "bob"], "short\n", "8 characters"),
        (&["user", "add", "bob"], "", "8 characters"),
    ] {
        let done = home.run_with(args, input);
        assert_eq!((done.code, done.out.as_str()), (1, ""));
        assert!(done.err.contains(complaint), "{}", done.err);
    }
    let rows = home.rows(&["user", "list", "--json"]);
    assert_eq!(rows.len(), 2, "{rows:?}");
    let alice = rows.iter().find(|row| row["username"] == "alice").unwrap();
    assert_eq!((&alice["name"], &alice["email"]), (&json!("Alice"), &json!("alice@example.com")));
    assert_eq!((&alice["active"], &alice["superuser"]), (&json!(true), &json!(false)));
    let table = home.ok(&["user", "list"]);
    assert_eq!(table.lines().count(), 3, "{table}");
    assert!(table.starts_with("ID ") && table.contains("Zoë O'Brien"), "{table}");
    let csv = home.ok(&["user", "list", "--csv"]);
    assert_eq!(csv.lines().next(), Some("id,username,name,email,active,superuser,last_sign_in"));
    assert!(csv.contains(",alice,Alice,alice@example.com,yes,no,"), "{csv}");
});

on_both!(what_is_done_to_users_shows_at_the_running_server, |home| async move {
    let home = home.with_administrator();
    let server = home.serve().await;
    home.add_user("alice");
    let token = home.ok(&["token", "add", "--user", "alice"]).trim().to_owned();
    let person = Person::signed_in(&server, "alice").await;
    let bystander = Person::signed_in(&server, "akadmin").await;

    home.ok(&["user", "deactivate", "alice"]);
    is_out_soon(&person).await;
    assert_eq!(server.call(Method::GET, SESSIONS, &token).await.status(), 403);
    assert_eq!(Person::new(&server, FIREFOX).sign_in("alice", PASSWORD).await.status(), 200, "the form again");

    home.ok(&["user", "activate", "alice"]);
    assert!(!person.is_signed_in().await, "what was ended stays ended");
    assert_eq!(server.call(Method::GET, SESSIONS, &token).await.status(), 200);
    let person = Person::signed_in(&server, "alice").await;

    home.ok_with(&["user", "set-password", "alice"], "a quite different one\n");
    is_out_soon(&person).await;
    assert_eq!(Person::new(&server, FIREFOX).sign_in("alice", PASSWORD).await.status(), 200, "the form again");
    assert_eq!(Person::new(&server, FIREFOX).sign_in("alice", "a quite different one").await.status(), 303);
    assert!(bystander.is_signed_in().await);
});

on_both!(set_password_says_that_sessions_end_only_where_they_do, |home| async move {
    let home = home.with_administrator();
    home.import(&people());
    let password = "a quite different one\n";
    assert_eq!(listed(&home, &["--user", "alice"]).len(), 2);
    let keeping = &["--set", "sessions.end_on_password_change=false", "user", "set-password", "alice"];
    let done = home.run_with(keeping, password);
    assert_eq!((done.code, done.err.trim()), (0, "set the password of alice; their sessions go on"), "{done:?}");
    assert_eq!(listed(&home, &["--user", "alice"]).len(), 2);
    let done = home.run_with(&["user", "set-password", "alice"], password);
    assert_eq!((done.code, done.err.trim()), (0, "set the password of alice and ended their sessions"), "{done:?}");
    home.fails(3, &["session", "list", "--user", "alice"]);
});

on_both!(policies_are_shown_and_set, |home| async move {
    home.import(&[
        json!({"kind": "group", "name": "staff"}),
        json!({"kind": "user", "id": 9, "username": "eve", "groups": ["staff"]}),
    ]);
    home.import(&people());
    for bad in [
        &["policy", "set", "--idle-timeout", "1h"][..],
        &["policy", "set", "--user", "alice"],
        &["policy", "set", "--user", "alice", "--group", "staff", "--idle-timeout", "1h"],
        &["policy", "set", "--user", "alice", "--idle-timeout", "soon"],
        &["policy", "set", "--user", "alice", "--idle-timeout", "0"],
        &["policy", "set", "--user", "alice", "--at-limit", "whatever"],
        &["policy", "set", "--user", "alice", "--require-factor", "perhaps"],
    ] {
        assert_eq!(home.run(bad).code, 2, "{bad:?}");
    }
    home.fails(1, &["policy", "set", "--group", "nobody", "--idle-timeout", "1h"]);
    let done = home.run(&["policy", "set", "--user", "alice", "--max-sessions", "1", "--remember-timeout", "9h"]);
    assert!(done.err.contains("alice: remember timeout 9h, most sessions 1; 1 living"), "{done:?}");
    assert_eq!(listed(&home, &["--user", "alice"]), [2], "the older one ended");
    home.ok(&["policy", "set", "--user", "alice", "--remember-timeout", "none"]);
    home.ok(&["policy", "set", "--group", "staff", "--absolute-timeout", "8h", "--remember-timeout", "0", "--at-limit", "ask"]);
    let rows = home.rows(&["policy", "show", "--user", "eve", "--json"]);
    let whose: Vec<&str> = rows.iter().map(|row| row["whose"].as_str().unwrap()).collect();
    assert_eq!(whose, ["instance", "group staff", "user eve", "together"]);
    assert_eq!((&rows[3]["absolute_timeout"], &rows[3]["at_limit"]), (&json!("8h"), &json!("ask")));
    assert!(home.ok(&["policy", "show"]).contains("14days"));
    assert!(home.ok(&["policy", "show", "--user", "alice"]).contains("together"));
});

on_both!(second_factors_are_required_and_removed, |home| async move {
    let home = home.with_administrator();
    let server = home.serve().await;
    home.add_user("alice");
    let person = Person::signed_in(&server, "alice").await;
    assert!(home.run(&["user", "remove-factors", "alice", "--yes"]).err.contains("alice has no second factor"));
    home.fails(1, &["user", "remove-factors", "nobody", "--yes"]);
    home.ok(&["policy", "set", "--user", "alice", "--require-factor", "true"]);
    let policy = home.rows(&["policy", "show", "--user", "alice", "--json"]);
    assert_eq!(policy.last().unwrap()["require_factor"], true, "{policy:?}");
    within(SOON, "that a factor is asked for", || async { (person.get("/sessions").await.status() == 303).then_some(()) }).await;
    let begun = person.submit_to("/security", "/security/totp", &[("name", "Phone")]).await;
    let path = begun.headers()[reqwest::header::LOCATION].to_str().unwrap().to_owned();
    let page = person.get(&path).await.text().await.unwrap();
    let key = page.split("<code id=\"key\">").nth(1).and_then(|rest| rest.split("</code>").next()).unwrap();
    let code = Authenticator::from_key(key).code(Clock::System.now(), 0);
    assert_eq!(person.submit(&path, &[("code", &code)]).await.status(), 200);
    assert!(person.is_signed_in().await);
    let other = Person::new(&server, FIREFOX).sign_in("alice", PASSWORD).await;
    assert_eq!(other.status(), 200, "the second step");
    home.ok(&["policy", "set", "--user", "alice", "--require-factor", "none"]);
    assert!(home.run(&["user", "remove-factors", "alice", "--yes"]).err.contains("removed 1 second factor(s) of alice"));
    is_out_soon(&person).await;
    Person::signed_in(&server, "alice").await;
});

on_both!(removed_users_are_out, |home| async move {
    let home = home.with_administrator();
    let server = home.serve().await;
    home.add_user("alice");
    let alice = Person::signed_in(&server, "alice").await;
    assert!(home.fails(1, &["user", "remove", "alice"]).contains("--yes"));
    assert!(alice.is_signed_in().await);
    home.ok(&["user", "remove", "alice", "--yes"]);
    is_out_soon(&alice).await;
    home.fails(1, &["user", "remove", "alice", "--yes"]);
    assert!(!home.ok(&["user", "list"]).contains("alice"));
});

on_both!(people_are_exported_and_erased_while_the_server_runs, |home| async move {
    let home = home.with_administrator();
    let server = home.serve().await;
    home.add_user("alice");
    let alice = Person::signed_in(&server, "alice").await;
    let export: Value = serde_json::from_str(&home.ok(&["user", "export", "alice"])).unwrap();
    assert_eq!((&export["user"]["username"], export["sessions"].as_array().unwrap().len()), (&json!("alice"), 1));
    assert!(!export.to_string().contains(&alice.key));
    home.fails(1, &["user", "export", "nobody"]);
    assert!(home.fails(1, &["user", "erase", "alice"]).contains("--yes"));
    assert!(alice.is_signed_in().await);
    home.ok(&["user", "erase", "alice", "--yes"]);
    is_out_soon(&alice).await;
    home.fails(1, &["user", "erase", "alice", "--yes"]);
    for export in ["--sessions", "--users", "--events"] {
        assert!(!home.ok(&["export", export]).contains("alice"), "{export}");
    }
});
