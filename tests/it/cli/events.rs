//! `rollcall event`, and ended sessions at the command line.

use super::*;

on_both!(events_are_listed_by_what_they_are_about, |home| async move {
    let home = home.with_administrator();
    let server = home.serve().await;
    home.add_user("alice");
    Person::signed_in(&server, "alice").await;
    assert_eq!(Person::new(&server, "x").sign_in("alice", "a wrong password").await.status(), 200);
    let kinds = |args: &[&str]| {
        let rows = home.rows(&[&["event", "list", "--json"], args].concat());
        rows.iter().map(|row| row["kind"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(kinds(&["--user", "alice"])[..3], ["sign_in_failed", "sign_in", "user_added"]);
    assert_eq!(kinds(&["--kind", "sign_in", "--kind", "sign_in_failed"]), ["sign_in_failed", "sign_in"]);
    assert_eq!(kinds(&["--by", "alice"]), ["sign_in_failed", "sign_in"]);
    assert_eq!(kinds(&["--limit", "1"]).len(), 1);
    assert_eq!(kinds(&["--search", "ALICE signed in"]), ["sign_in"]);
    assert_eq!(kinds(&["--ip", "127.0.0.1", "--kind", "sign_in"]), ["sign_in"]);
    assert_eq!(kinds(&["--from", "2020-01-01", "--to", "2099-01-01", "--kind", "sign_in"]), ["sign_in"]);
    for text in [home.ok(&["event", "list", "--kind", "sign_in"]), home.ok(&["event", "list", "--kind", "sign_in", "--csv"])] {
        assert!(text.contains("alice signed in") && text.lines().count() == 2, "{text}");
    }
    assert!(home.fails(2, &["event", "list", "--user", "nobody"]).contains("there is no user named nobody"));
    assert!(home.fails(2, &["event", "list", "--by", "nobody"]).contains("there is no user named nobody"));
    assert!(home.fails(2, &["event", "watch", "--user", "nobody"]).contains("there is no user named nobody"));
    assert!(home.fails(2, &["event", "list", "--kind", "sign-in"]).contains("sign_in"));
    assert!(home.fails(2, &["event", "list", "--from", "soon"]).contains("--from"));
    assert!(home.fails(3, &["event", "list", "--search", "no such text"]).contains("no event matches"));
});

on_both!(ended_sessions_are_listed_and_exported, |home| async move {
    let home = home.with_administrator();
    home.import(&people());
    home.ok(&["session", "end", &uuid(1), "--yes", "--reason", "left on a train"]);
    home.ok(&["session", "end", "--user", "bob", "--yes"]);
    let ended = |args: &[&str]| {
        let rows = home.rows(&[&["session", "list", "--ended", "--json"], args].concat());
        rows.iter().map(|row| row["uuid"].as_str().unwrap()[24..].parse::<u32>().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(ended(&["--ordering", "uuid"]), [1, 3, 4]);
    assert_eq!(ended(&["--user", "alice"]), [1]);
    assert_eq!(ended(&["browser:firefox"]), [1]);
    assert_eq!(ended(&["--reason", "revoked", "--ended-by", "cli", "--ordering", "-uuid"]), [4, 3, 1]);
    assert_eq!(ended(&["reason:revoked by:cli ended:today", "--ordering", "-uuid"]), [4, 3, 1], "the words of the page");
    assert_eq!(ended(&["reason:revoked", "ended:yesterday..today", "--user", "alice"]), [1]);
    assert!(home.fails(2, &["session", "list", "--ended", "--reason", "revoked", "reason:expired"]).contains("both say it"));
    for live in [&["session", "list", "reason:revoked"][..], &["session", "end", "--yes", "ended:today"]] {
        assert!(home.fails(2, live).contains("is about ended sessions"), "{live:?}");
    }
    assert_eq!(ended(&["--ended-from", "2020-01-01", "--ended-to", "2099-01-01", "--ordering", "uuid"]), [1, 3, 4]);
    let row = home.rows(&["session", "list", "--ended", "--json", "--user", "alice"]).remove(0);
    assert_eq!((&row["ended_by"], &row["reason"], &row["comment"]), (&json!("cli"), &json!("revoked"), &json!("left on a train")));
    for text in [home.ok(&["session", "list", "--ended"]), home.ok(&["session", "list", "--ended", "--csv"])] {
        assert_eq!(text.lines().count(), 4, "{text}");
    }
    assert!(home.fails(3, &["session", "list", "--ended", "--user", "nobody"]).contains("no session matches"));
    home.fails(3, &["session", "list", "--ended", "--ended-to", "2020-01-01"]);
    home.fails(2, &["session", "list", "--ended", "--reason", "bored"]);
    home.fails(2, &["session", "list", "--ended", "--ordering", "nonsense"]);
    home.fails(2, &["session", "list", "--reason", "revoked"]);
    assert_eq!(listed(&home, &[]), [2], "live ones are listed as before");
    let exported: Vec<Value> = home.ok(&["export", "--ended"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(exported.len(), 3);
    assert!(exported.iter().all(|row| row["kind"] == "ended_session" && row["ended"].is_string()), "{exported:?}");
    let text = home.ok(&["export", "--ended", "--format", "csv"]);
    assert_eq!((text.lines().count(), text.contains("left on a train")), (4, true));
    home.fails(2, &["export", "--ended", "--events"]);
});

on_both!(a_token_is_rotated, |home| async move {
    let home = home.with_administrator();
    let server = home.serve().await;
    let old = home.ok(&["token", "add", "--user", "akadmin", "--identifier", "ci", "--scope", "sessions:read"]);
    let done = home.run(&["token", "rotate", "ci"]);
    let new = done.out.trim().to_owned();
    assert!(done.code == 0 && new.len() == 43 && !done.err.contains(&new), "{done:?}");
    for key in [old.trim(), &new] {
        assert_eq!(server.call(Method::GET, SESSIONS, key).await.status(), 200);
        assert_eq!(server.call(Method::GET, "/api/v3/core/users/", key).await.status(), 403, "its scope is less");
    }
    let row = home.rows(&["token", "list", "--json"]).into_iter().find(|row| row["identifier"] == "ci").unwrap();
    assert_eq!(row["scopes"], json!(["sessions:read"]));
    assert!(row["old_key_until"].is_string() && row["last_used"].is_string(), "{row}");
    let newest = home.ok(&["token", "rotate", "ci", "--keep-old", "0"]);
    assert_eq!(server.call(Method::GET, SESSIONS, &new).await.status(), 403);
    assert_eq!(server.call(Method::GET, SESSIONS, newest.trim()).await.status(), 200);
    assert!(home.fails(1, &["token", "rotate", "none"]).contains("none"));
    home.fails(2, &["token", "rotate", "ci", "--keep-old", "soon"]);
    home.fails(2, &["token", "add", "--user", "akadmin", "--scope", "everything"]);
});

on_both!(events_are_listed_as_the_page_lists_them, |home| async move {
    let home = home.with_administrator();
    home.import(&people());
    home.ok(&["user", "add", "Zoe", "--no-password"]);
    let kinds = |args: &[&str]| {
        let rows = home.rows(&[&["event", "list", "--json"], args].concat());
        rows.iter().map(|row| row["kind"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    // Authors who are no users, and names in any letter case.
    assert!(kinds(&["--by", "cli"]).contains(&"user_added".to_owned()));
    assert!(!kinds(&["--by", "CLI"]).contains(&"sign_in".to_owned()));
    assert_eq!(kinds(&["--user", "zoe"]), ["user_added"]);
    // Days by their words, as on the page.
    assert_eq!(kinds(&["--user", "zoe", "--from", "yesterday", "--to", "today"]), ["user_added"]);
    assert!(home.fails(3, &["event", "list", "--to", "2020-01-01"]).contains("no event matches"));
    // The single ends of an end of many are parts of it.
    home.ok(&["session", "end", "--user", "alice", "--yes"]);
    assert_eq!(kinds(&["--limit", "1"]), ["sessions_ended"]);
    assert!(!kinds(&[]).contains(&"session_revoked".to_owned()));
    let ends = |args: &[&str]| kinds(args).iter().filter(|kind| *kind == "session_revoked").count();
    let many = home.rows(&["event", "list", "--json", "--limit", "1"]).remove(0)["uuid"].as_str().unwrap().to_owned();
    for args in [&["--parts"][..], &["--part-of", &many], &["--user", "alice"], &["--kind", "session_revoked"]] {
        assert_eq!(ends(args), 2, "{args:?}");
    }
    assert_eq!(kinds(&["--part-of", &many]).len(), 2);
    assert!(home.fails(2, &["event", "list", "--part-of", &uuid(9)]).contains("there is no event"));
    home.fails(2, &["event", "list", "--part-of", "x"]);
    // Somebody who was removed is found by the name of that time.
    home.ok(&["user", "remove", "alice", "--yes"]);
    assert_eq!(kinds(&["--user", "Alice", "--limit", "1"]), ["user_removed"]);
});

on_both!(followed_events_say_what_changed, |home| async move {
    home.import(&people());
    let (mut child, mut lines) = super::sessions::watching(&home, &["event", "watch"]);
    let mut next = async || tokio::time::timeout(Duration::from_secs(60), lines.recv()).await.expect("a line").expect("a line");
    let head = [next().await, next().await].concat();
    assert!(head.contains("watching") && head.contains("address"), "{head}");
    home.ok(&["group", "add", "ops"]);
    home.ok(&["group", "set", "ops", "--superuser", "true"]);
    home.ok(&["policy", "set", "--group", "ops", "--max-sessions", "3"]);
    home.ok(&["user", "add", "zoe", "--no-password"]);
    for part in ["cli added the group ops", "cli changed the group ops: is superuser", "cli set the policy of the group ops: "] {
        let line = next().await;
        assert!(line.contains(part), "{part}: {line}");
    }
    let line = next().await;
    assert!(line.contains(" user_added ") && line.contains(" zoe "), "a word where the columns say the rest: {line}");
    assert!(child.0.try_wait().unwrap().is_none(), "it goes on");
    crate::process::signal(child.0.id(), "INT");
    child.0.wait().unwrap();
    // The name in any letter case, as other commands take it.
    let (_child, mut lines) = super::sessions::watching(&home, &["event", "watch", "--user", "ZOE", "--json"]);
    let mut next = async || tokio::time::timeout(Duration::from_secs(60), lines.recv()).await.expect("a line").expect("a line");
    assert!(next().await.contains("watching"));
    home.ok(&["user", "deactivate", "bob"]);
    home.ok(&["user", "deactivate", "zoe"]);
    let seen: Value = serde_json::from_str(&next().await).unwrap();
    assert_eq!((&seen["event"], &seen["username"]), (&json!("user_deactivated"), &json!("zoe")));
});
