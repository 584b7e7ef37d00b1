//! `rollcall import`.

use super::*;

on_both!(import_is_all_or_nothing, |home| async move {
    let home = home.with_administrator();
    let server = home.serve().await;
    let person = Person::signed_in(&server, "akadmin").await;
    home.import(&people());
    let (users, sessions) = (home.ok(&["user", "list", "--json"]), home.ok(&["session", "list", "--json"]));
    let with = |key: &str, value: Value| {
        let mut line = session(7, 70, "192.0.2.9", FIREFOX);
        line[key] = value;
        line.to_string().into_bytes()
    };
    let token = |value: Value| {
        let mut line = json!({"kind": "token", "key": "an-imported-token-key", "intent": "api", "user": 70, "expires": "2099-01-01T00:00:00Z"});
        line.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
        line.to_string().into_bytes()
    };
    let new_user = |value: Value| {
        let mut line = user(71, "new");
        line.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
        line.to_string().into_bytes()
    };
    for (what, bad) in [
        ("unknown kind", br#"{"kind":"spaceship"}"#.to_vec()),
        ("no kind", b"{}".to_vec()),
        ("no JSON", b"user,alice".to_vec()),
        ("no object", b"[]".to_vec()),
        ("cut off", br#"{"kind":"user","id":72,"#.to_vec()),
        ("too deep", vec![b'['; 100_000]),
        ("not UTF-8", b"{\"kind\":\"user\",\"id\":72,\"username\":\"\xff\"}".to_vec()),
        ("too long", new_user(json!({"name": "x".repeat(1 << 20)}))),
        ("name taken", new_user(json!({"username": "alice"}))),
        ("id taken", new_user(json!({"id": 50}))),
        ("id of nobody", new_user(json!({"id": 0}))),
        ("no username", new_user(json!({"username": ""}))),
        ("username that breaks lines", new_user(json!({"username": "a\nb"}))),
        ("username with NUL", new_user(json!({"username": "a\u{0}b"}))),
        ("name with NUL", new_user(json!({"name": "a\u{0}b"}))),
        ("unknown permission", new_user(json!({"permissions": ["fly"]}))),
        ("no such group", new_user(json!({"groups": ["nobody"]}))),
        ("no password hash", new_user(json!({"password_hash": "hunter2"}))),
        ("dangling token", token(json!({"user": 999}))),
        ("empty token", token(json!({"key": ""}))),
        ("unknown intent", token(json!({"intent": "all"}))),
        ("token of no time", token(json!({"expires": "later"}))),
        ("token with NUL", token(json!({"description": "a\u{0}b"}))),
        ("dangling session", with("user", json!(999))),
        ("session twice", with("uuid", json!(uuid(1)))),
        ("session key twice", with("session_key", json!("imported-session-key-number-1"))),
        ("empty session key", with("session_key", json!(""))),
        ("no uuid", with("uuid", json!("seven"))),
        ("no address", with("last_ip", json!("here"))),
        ("no time", with("expires", json!("2026-02-30T00:00:00Z"))),
        ("wrong type", with("user", json!("alice"))),
        ("number too large", with("user", json!(18_446_744_073_709_551_615_u64))),
    ] {
        let good = [user(70, "carol"), session(6, 70, "192.0.2.9", FIREFOX)];
        let mut content: Vec<u8> = good.iter().flat_map(|line| format!("{line}\n").into_bytes()).collect();
        content.push(b'\n');
        content.extend(bad);
        let file = home.write("lines.jsonl", &content);
        for args in [&["import", &file][..], &["import", &file, "--replace"]] {
            // With everything gone first, what was taken is free.
            let is_free = args.len() == 3 && ["name taken", "id taken", "session twice", "session key twice"].contains(&what);
            if is_free {
                continue;
            }
            let done = home.run(args);
            assert_eq!((done.code, done.out.as_str()), (1, ""), "{what}: {done:?}");
            assert!(done.err.contains("line 4: ") && done.err.contains("nothing was imported"), "{what}: {}", done.err);
            assert!(done.err.lines().count() == 1 && done.err.len() < 1000, "{what}: {}", done.err);
        }
    }
    assert_eq!((home.ok(&["user", "list", "--json"]), home.ok(&["session", "list", "--json"])), (users, sessions));
    assert!(person.is_signed_in().await);
    assert_eq!(server.sessions().await.len(), 5, "the server counts right");
});

on_both!(import_replaces_what_is_there, |home| async move {
    let home = home.with_administrator();
    let server = home.serve().await;
    let person = Person::signed_in(&server, "akadmin").await;
    let lines: String = people().iter().map(|line| format!("{line}\r\n")).collect();
    let file = home.write("people.jsonl", format!("\n{lines}\n"));
    let refused = home.fails(1, &["import", &file, "--replace"]);
    assert!(refused.contains("no administrator who can sign in") && refused.contains("--without-administrator"), "{refused}");
    home.fails(2, &["import", &file, "--without-administrator"]);
    assert!(person.is_signed_in().await, "nothing was imported");
    let done = home.run(&["import", &file, "--replace", "--without-administrator"]);
    assert_eq!((done.code, done.out.as_str()), (0, ""), "{done:?}");
    assert!(done.err.contains("2 users") && done.err.contains("4 sessions"), "{done:?}");
    is_out_soon(&person).await;
    assert_eq!(server.call(Method::GET, SESSIONS, TOKEN).await.status(), 403, "the token went, too");
    assert_eq!(listed(&home, &[]), [1, 2, 3, 4]);
    let names: Vec<Value> = home.rows(&["user", "list", "--json"]).iter().map(|row| row["username"].clone()).collect();
    assert_eq!(names, ["alice", "bob"]);
    // Twice is as good as once, and a user made later gets a key of their own.
    home.ok(&["import", &file, "--replace"]);
    home.add_user("carol");
    let rows = home.rows(&["user", "list", "--json"]);
    assert!(rows.iter().any(|row| row["username"] == "carol" && row["id"].as_i64() > Some(60)), "{rows:?}");
    // An imported session signs its owner in.
    let person = Person::new(&server, FIREFOX);
    assert!(!person.is_signed_in().await);
    let cookie = "rollcall_session=imported-session-key-number-1";
    let page = reqwest::Client::builder().no_proxy().build().unwrap().get(format!("{}/sessions", server.origin));
    let page = page.header("cookie", cookie).send().await.unwrap();
    assert_eq!(page.status(), 200);
    assert!(page.text().await.unwrap().contains("alice"));
});
