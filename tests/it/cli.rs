//! The command line: what goes where, with which exit code, and what it does to a server that runs.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::Method;
use rollcall::domain::clock::Clock;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::process::{Home, PASSWORD, Person, ROLLCALL, SESSIONS, Server, TOKEN, within};
use crate::support::authenticator::Authenticator;

/// Within this a running server keeps out what the command line ended.
const SOON: Duration = Duration::from_secs(1);

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0";
const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
    Version/18.6 Mobile/15E148 Safari/604.1";

fn uuid(nth: u32) -> String {
    format!("00000000-0000-4000-8000-{nth:012}")
}

fn user(id: i64, username: &str) -> Value {
    json!({"kind": "user", "id": id, "username": username})
}

fn session(nth: u32, user: i64, ip: &str, agent: &str) -> Value {
    json!({
        "kind": "session", "uuid": uuid(nth), "session_key": format!("imported-session-key-number-{nth}"), "user": user,
        "last_ip": ip, "last_user_agent": agent, "last_used": format!("2026-01-02T03:04:{nth:02}Z"),
        "expires": format!("2099-01-{nth:02}T00:00:00Z"),
    })
}

/// Two people and four sessions.
fn people() -> Vec<Value> {
    vec![
        user(50, "alice"),
        user(60, "bob"),
        session(1, 50, "192.0.2.7", FIREFOX),
        session(2, 50, "2001:db8::7", IPHONE),
        session(3, 60, "192.0.2.200", IPHONE),
        session(4, 60, "198.51.100.1", "curl/8.5.0"),
    ]
}

/// The last parts of the uuids of sessions that a command lists.
fn listed(home: &Home, args: &[&str]) -> Vec<u32> {
    let all = [&["session", "list", "--ordering", "uuid", "--json"], args].concat();
    home.rows(&all).iter().map(|row| row["uuid"].as_str().unwrap()[24..].parse().unwrap()).collect()
}

async fn is_out_soon(person: &Person) {
    within(SOON, "that a session is out", || async { (!person.is_signed_in().await).then_some(()) }).await;
}

#[test]
fn wrong_usage_is_told_from_failure() {
    let home = Home::sqlite();
    home.import(&[]);
    for args in [
        &[][..],
        &["srve"],
        &["serve", "--port", "1"],
        &["user"],
        &["user", "add"],
        &["token", "add", "--user", "x", "--intent", "everything"],
        &["token", "add", "--user", "x", "--expires-in", "soon"],
        &["session", "list", "--limit", "0"],
        &["session", "list", "--json", "--csv"],
        &["export", "--users", "--events"],
        &["export", "--format", "xml"],
        &["completions", "tcsh"],
        &["--set", "nonsense", "check"],
        &["--set", "no.such=1", "check"],
        &["--set", "sessions.idle_timeout=soon", "check"],
        &["--config", "/no/such/file.toml", "check"],
        &["--data-dir"],
        &["user", "add", "x", "--no-password", "--permission", "no_such"],
        &["session", "list", "--network", "10.0.0.0/99"],
        &["session", "list", "--last-ip", "nowhere"],
        &["session", "list", "--last-used-gte", "soon"],
        &["session", "show", "no-uuid"],
        &["session", "revoke", "--yes"],
        &["session", "list", "--ordering", "colour"],
        &["session", "list", "--user", "nobody"],
        &["session", "revoke", "--yes", "--user", "nobody"],
        &["session", "watch", "--user", "nobody"],
    ] {
        home.fails(2, args);
    }
    for args in [
        &["user", "set-password", "nobody"][..],
        &["user", "activate", "nobody"],
        &["user", "deactivate", "nobody"],
        &["user", "add", " ", "--no-password"],
        &["user", "add", "x", "--no-password", "--email", "not an address"],
        &["token", "add", "--user", "nobody"],
        &["token", "list", "--user", "nobody"],
        &["token", "remove", "nothing"],
        &["session", "show", "00000000-0000-4000-8000-000000000009"],
        &["session", "revoke", "--yes", "00000000-0000-4000-8000-000000000009"],
        &["import", "/no/such/file.jsonl"],
    ] {
        home.fails(1, args);
    }
    let help = home.run(&["--help"]);
    assert_eq!((help.code, help.err.as_str()), (0, ""));
    for word in ["serve", "demo", "import", "export", "user", "token", "session", "migrate", "check", "openapi", "completions"] {
        assert!(help.out.contains(&format!("  {word} ")), "{word} is not in\n{}", help.out);
    }
    assert_eq!(home.ok(&["--version"]), format!("rollcall {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_reader_that_has_enough_is_no_failure() {
    let home = Home::sqlite();
    home.import(&people());
    let done = crate::process::finish(home.command("sh").args(["-c", "\"$0\" openapi | head -n 1", ROLLCALL]), "");
    assert_eq!((done.code, done.out.as_str(), done.err.as_str()), (0, "{\n", ""));
}

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

/// A command that goes on until the test is over, however it ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

on_both!(watching_shows_sign_ins_and_ends_as_they_happen, |home| async move {
    let home = home.with_administrator();
    let server = home.serve().await;
    home.add_user("alice");
    Person::signed_in(&server, "akadmin").await;
    let mut child = home.command(ROLLCALL);
    child.args(["session", "watch", "--json"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Running(child.spawn().unwrap());
    let (send, mut lines) = tokio::sync::mpsc::unbounded_channel::<String>();
    let (out, err) = (child.0.stdout.take().unwrap(), child.0.stderr.take().unwrap());
    for pipe in [Box::new(out) as Box<dyn std::io::Read + Send>, Box::new(err)] {
        let send = send.clone();
        std::thread::spawn(move || BufReader::new(pipe).lines().map_while(Result::ok).for_each(|line| drop(send.send(line))));
    }
    let mut next = async || tokio::time::timeout(Duration::from_secs(20), lines.recv()).await.expect("a line").expect("a line");
    assert!(next().await.contains("watching"));
    let alice = Person::signed_in(&server, "alice").await;
    let uuid = alice.uuid().await;
    let seen: Value = serde_json::from_str(&next().await).unwrap();
    assert_eq!((&seen["event"], &seen["username"], &seen["session"]), (&json!("sign_in"), &json!("alice"), &json!(uuid)));
    home.ok(&["session", "revoke", "--user", "alice", "--yes", "--reason", "enough"]);
    let seen: Value = serde_json::from_str(&next().await).unwrap();
    assert_eq!(
        (&seen["event"], &seen["actor"], &seen["content"]),
        (&json!("session_revoked"), &json!("cli"), &json!({"reason": "revoked", "comment": "enough"}))
    );
    assert!(child.0.try_wait().unwrap().is_none(), "it goes on");
    crate::process::signal(child.0.id(), "INT");
    child.0.wait().unwrap();
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

on_both!(tokens, |home| async move {
    let home = home.with_administrator();
    let server = home.serve().await;
    home.add_user("alice");
    let done = home.run(&["token", "add", "--user", "akadmin", "--identifier", "ci", "--description", "for the build"]);
    let key = done.out.trim().to_owned();
    assert_eq!((done.code, done.out.as_str()), (0, format!("{key}\n").as_str()), "the key alone");
    assert!(key.len() >= 43 && !key.contains(char::is_whitespace) && !done.err.contains(&key), "{done:?}");
    assert_eq!(server.call(Method::GET, SESSIONS, &key).await.status(), 200);

    for intent in ["app_password", "verification", "recovery"] {
        let key = home.ok(&["token", "add", "--user", "akadmin", "--intent", intent]);
        assert_eq!(server.call(Method::GET, SESSIONS, key.trim()).await.status(), 403, "{intent} does not open the API");
    }
    let short = home.ok(&["token", "add", "--user", "alice", "--expires-in", "1s", "--identifier", "short"]);
    within(Duration::from_secs(5), "that the token expires", || async {
        (server.call(Method::GET, SESSIONS, short.trim()).await.status() == 403).then_some(())
    })
    .await;

    let rows = home.rows(&["token", "list", "--json"]);
    let ci = rows.iter().find(|row| row["identifier"] == "ci").unwrap();
    assert_eq!((&ci["user"], &ci["intent"], &ci["expires"]), (&json!("akadmin"), &json!("api"), &Value::Null));
    assert_eq!(ci["description"], "for the build");
    let of_alice = home.rows(&["token", "list", "--user", "alice", "--json"]);
    assert_eq!(of_alice.iter().map(|row| &row["identifier"]).collect::<Vec<_>>(), ["short"]);
    for text in [home.ok(&["token", "list"]), home.ok(&["token", "list", "--csv"])] {
        assert!(text.contains("ci") && text.contains("never") && !text.contains(&key), "{text}");
        assert_eq!(text.lines().count(), rows.len() + 1);
    }
    assert!(home.fails(1, &["token", "add", "--user", "akadmin", "--identifier", "ci"]).contains("ci"));

    let done = home.run(&["token", "remove", "ci"]);
    assert_eq!((done.code, done.out.as_str()), (0, ""));
    assert_eq!(server.call(Method::GET, SESSIONS, &key).await.status(), 403);
    home.fails(1, &["token", "remove", "ci"]);
});

on_both!(sessions_are_listed_by_every_filter, |home| async move {
    home.import(&people());
    for (args, want) in [
        (&[][..], &[1, 2, 3, 4][..]),
        (&["--user", "alice"], &[1, 2]),
        (&["--user-pk", "60"], &[3, 4]),
        (&["--search", "iphone"], &[2, 3]),
        (&["--search", "iphone bob"], &[3]),
        (&["--search", "198.51"], &[4]),
        (&["--last-ip", "2001:0DB8:0::7"], &[2]),
        (&["--network", "192.0.2.0/25"], &[1]),
        (&["--network", "2001:db8::/32"], &[2]),
        (&["--last-user-agent", "curl/8.5.0"], &[4]),
        (&["--browser", "Firefox"], &[1]),
        (&["--browser", "firefox"], &[1]),
        (&["--os", "iOS"], &[2, 3]),
        (&["--device", "iPhone"], &[2, 3]),
        (&["--last-used-gte", "2026-01-02T03:04:03Z"], &[3, 4]),
        (&["--last-used-lte", "2026-01-02T03:04:02Z"], &[1, 2]),
        (&["--expires-gte", "2099-01-04T00:00:00Z"], &[4]),
        (&["--expires-lte", "2099-01-01T00:00:00Z", "--user", "alice"], &[1]),
        (&["--limit", "3"], &[1, 2, 3]),
    ] {
        assert_eq!(listed(&home, args), want, "{args:?}");
    }
    for nothing in [["--country", "DE"], ["--country", "Germany"], ["--asn", "64496"], ["--browser", "Netscape"], ["--search", "x"]]
    {
        assert_eq!(home.fails(3, &[&["session", "list"], &nothing[..]].concat()), "rollcall: no session matches\n");
    }
    for wrong in [["--last-ip", "300.1.1.1"], ["--network", "10.0.0.0/99"], ["--expires-gte", "tomorrow"], ["--last-used-lte", ""]]
    {
        let done = home.run(&[&["session", "list"], &wrong[..]].concat());
        assert!(done.code != 0 && done.out.is_empty() && done.err.contains(wrong[1]), "{done:?}");
    }
    let row = &home.rows(&["session", "list", "--json", "--user", "bob", "--last-ip", "192.0.2.200"])[0];
    assert_eq!((&row["username"], &row["os"], &row["device"]), (&json!("bob"), &json!("iOS"), &json!("iPhone")));
    let csv = home.ok(&["session", "list", "--csv", "--ordering", "username,-uuid"]);
    let order: Vec<_> = csv.lines().map(|line| line.split(',').next().unwrap().to_owned()).collect();
    assert_eq!(order, ["uuid".to_owned(), uuid(2), uuid(1), uuid(4), uuid(3)]);
    let done = home.run(&["session", "list", "--limit", "2"]);
    assert_eq!(done.out.lines().count(), 3, "{}", done.out);
    assert!(done.err.contains("2 of 4"), "what is left out is said on standard error");
    let shown = home.ok(&["session", "show", &uuid(1)]);
    assert!(shown.contains("192.0.2.7") && shown.contains("Firefox") && shown.contains("alice"), "{shown}");
    assert!(!shown.contains("imported-session-key"), "{shown}");
});

on_both!(what_the_command_line_ends_is_out_within_a_second, |home| async move {
    let home = home.with_administrator();
    let server = home.serve().await;
    home.add_user("alice");
    let one = Person::signed_in(&server, "alice").await;
    let two = Person::signed_in(&server, "alice").await;
    let admin = Person::signed_in(&server, "akadmin").await;
    let name = one.uuid().await;

    assert!(home.fails(1, &["session", "revoke", &name]).contains("--yes"), "there is no terminal to ask at");
    assert!(home.fails(1, &["session", "revoke", "--user", "alice"]).contains("--yes"));
    assert!(home.fails(1, &["session", "revoke", &name, &uuid(9), "--yes"]).contains(&uuid(9)));
    for unclear in [&["session", "revoke", "--yes"][..], &["session", "revoke", "--yes", "--everyone", "--user", "alice"]] {
        let done = home.run(unclear);
        assert!(done.code != 0 && done.out.is_empty(), "{done:?}");
    }
    assert!(one.is_signed_in().await && two.is_signed_in().await, "so far nothing was ended");

    let done = home.run(&["session", "revoke", &name, "--yes"]);
    assert_eq!((done.code, done.out.as_str()), (0, ""));
    assert!(done.err.contains("ended 1 session"));
    is_out_soon(&one).await;
    assert!(two.is_signed_in().await);
    let ended: Value = serde_json::from_str(&home.ok(&["session", "show", &name, "--json"])).unwrap();
    let of = |key: &str| ended[key].as_str().unwrap().to_owned();
    assert_eq!((of("username"), of("ended_by"), of("reason")), ("alice".into(), "cli".into(), "revoked".into()));

    home.ok(&["session", "revoke", "--user", "alice", "--yes"]);
    is_out_soon(&two).await;
    assert!(admin.is_signed_in().await);
    home.ok(&["session", "revoke", "--everyone", "--yes"]);
    is_out_soon(&admin).await;
    assert_eq!(server.sessions().await.len(), 0);
    assert!(home.run(&["session", "revoke", "--everyone", "--yes"]).err.contains("ended 0 sessions"));
});

on_both!(revoking_goes_beyond_one_chunk, |home| async move {
    let sessions = (0..1234).map(|nth| {
        let mut session = session(1, 50, "192.0.2.7", FIREFOX);
        session["uuid"] = json!(uuid(nth));
        session["session_key"] = json!(format!("key {nth}"));
        session
    });
    home.import(&[user(50, "alice"), user(60, "bob")].into_iter().chain(sessions).collect::<Vec<_>>());
    home.import(&[session(9999, 60, "192.0.2.7", IPHONE)].map(|mut session| {
        (session["last_used"], session["expires"]) = (json!("2026-01-01T00:00:00Z"), json!("2099-01-01T00:00:00Z"));
        session
    }));
    let unlike = home.fails(1, &["session", "revoke", "--browser", "Firefox", "--expected-count", "1200"]);
    assert!(unlike.contains("1234 sessions match"), "{unlike}");
    home.fails(2, &["session", "revoke", "--browser", "Firefox", "--yes", "--reason", "a\nb"]);
    let done = home.run(&["session", "revoke", "--browser", "Firefox", "--expected-count", "1230", "--reason", "old browsers"]);
    assert!(done.err.contains("ended 1234 sessions"), "{done:?}");
    let shown = home.ok(&["session", "show", &uuid(7)]);
    assert!(shown.contains("old browsers"), "{shown}");
    assert_eq!(listed(&home, &[]), [9999]);
});

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
        let mut line = json!({"kind": "token", "key": "k", "intent": "api", "user": 70, "expires": "2099-01-01T00:00:00Z"});
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
    let done = home.run(&["import", &file, "--replace"]);
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

/// What a secret looks like where it must not be.
fn traces(secret: &str) -> Vec<Vec<u8>> {
    let hash = Sha256::digest(secret.as_bytes());
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    vec![secret.as_bytes().to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes(), hash.to_vec()]
}

fn holds(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

on_both!(no_export_holds_a_secret, |home| async move {
    let home = home.with_administrator();
    let server = home.serve().await;
    let person = Person::signed_in(&server, "akadmin").await;
    Person::new(&server, FIREFOX).sign_in("akadmin", "wrong-password-of-a-person").await;
    let token = home.ok(&["token", "add", "--user", "akadmin", "--identifier", "ci"]);
    home.import(&people());
    assert_eq!(person.key.len(), 43, "the session's key is known");
    let secrets = [PASSWORD, TOKEN, token.trim(), &person.key, "imported-session-key-number-1", "wrong-password-of-a-person"];
    let key = std::fs::read_to_string(home.data("instance.key")).unwrap();
    for what in ["--sessions", "--users", "--events"] {
        for format in ["jsonl", "csv"] {
            let text = home.ok(&["export", what, "--format", format]);
            for trace in secrets.iter().flat_map(|secret| traces(secret)).chain([key.trim().into(), b"$argon2".to_vec()]) {
                assert!(!holds(text.as_bytes(), &trace), "{what} {format} holds {}", String::from_utf8_lossy(&trace));
            }
            if format == "csv" {
                let mut reader = csv::Reader::from_reader(text.as_bytes());
                let columns = reader.headers().unwrap().len();
                assert!(reader.records().all(|record| record.unwrap().len() == columns));
                continue;
            }
            let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            let least = [("--sessions", 5), ("--users", 3), ("--events", 4)].into_iter().find(|(name, _)| *name == what);
            assert!(rows.len() >= least.unwrap().1, "{what}: {rows:?}");
        }
    }
    assert_eq!(home.ok(&["export"]), home.ok(&["export", "--sessions", "--format", "jsonl"]));
    // Nor does anything at rest hold one as it is, nor the log.
    let log = server.stop().await;
    for secret in secrets {
        assert!(!log.contains(secret));
        for file in std::fs::read_dir(home.data("")).unwrap() {
            let path = file.unwrap().path();
            assert!(!holds(&std::fs::read(&path).unwrap(), secret.as_bytes()), "{} holds {secret}", path.display());
        }
    }
});

on_both!(migrating_changes_nothing_where_the_schema_is_new, |home| async move {
    assert!(home.fails(2, &["migrate"]).contains("there is no instance here"), "it makes none");
    home.import(&[]);
    let done = home.run(&["migrate"]);
    assert_eq!((done.code, done.out.as_str()), (0, ""));
    assert!(!done.err.contains("applied") && done.err.contains("up to date"), "{done:?}");
});

on_both!(migrating_at_once_is_done_once, |home| async move {
    let runs: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| home.run_with(&["import", "-"], ""))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(runs.iter().all(|done| done.code == 0), "{runs:?}");
    assert!(home.run(&["migrate"]).err.contains("up to date"));
});

on_both!(a_database_of_a_newer_version_is_left_alone, |home| async move {
    home.import(&[]);
    let sql = "INSERT INTO migrations (name) VALUES ('9999_future')";
    match home.schema() {
        Some(schema) => schema.execute(sql).await,
        None => rusqlite::Connection::open(home.data("rollcall.db")).unwrap().execute_batch(sql).unwrap(),
    }
    for args in [&["serve"][..], &["migrate"], &["user", "list"]] {
        assert!(home.fails(1, args).contains("9999_future"));
    }
    let done = home.run(&["check"]);
    assert_eq!(done.code, 1);
    assert!(done.out.contains("9999_future"), "{done:?}");
});

on_both!(check_is_content_with_a_good_installation, |home| async move {
    home.serve().await.stop().await;
    let done = home.run(&["check"]);
    assert_eq!((done.code, done.err.as_str()), (0, ""), "{done:?}");
    assert!(!done.out.contains("wrong"), "{}", done.out);
    for what in ["configuration", "instance key", "database", "schema", "user agent rules"] {
        assert!(done.out.contains(&format!("ok       {what}: ")), "{}", done.out);
    }
});

#[test]
fn check_changes_nothing() {
    let home = Home::sqlite();
    assert_eq!(home.run(&["check"]).code, 0, "an empty place is ready for a first start");
    assert_eq!(std::fs::read_dir(home.folder()).unwrap().count(), 0);
}

#[test]
fn check_says_what_is_wrong_and_how_to_mend_it() {
    let home = || {
        let home = Home::sqlite();
        home.import(&[]);
        home
    };
    let complains = |home: &Home, words: &[&str]| {
        let done = home.run(&["check"]);
        assert_eq!(done.code, 1, "{done:?}");
        assert!(words.iter().all(|word| done.out.contains(word)), "{words:?}: {}", done.out);
    };
    let mut writer = mmdb_writer::Writer::builder("Test-ASN").description(&[("en", "a test")]).build();
    let record = json!({"autonomous_system_number": 64496, "autonomous_system_organization": "Example"});
    for nth in 0..=255_u8 {
        writer.insert(format!("1.1.{nth}.0/24").parse::<ipnet::IpNet>().unwrap(), &record).unwrap();
    }
    let whole = writer.to_bytes().unwrap();
    for (name, content) in [("junk", b"not a MaxMind file".as_slice()), ("cut", &whole[..whole.len() / 2]), ("empty", b"")] {
        let home = home();
        let path = home.write(name, content);
        complains(&home.with("ROLLCALL_GEOIP__ASN", &path), &["wrong    GeoIP ASN file", &path, "geoipupdate"]);
    }
    complains(&home().with("ROLLCALL_GEOIP__CITY", "/no/such.mmdb"), &["wrong    GeoIP City file", "/no/such.mmdb"]);
    let good = home();
    let path = good.write("good", &whole);
    let done = good.with("ROLLCALL_GEOIP__ASN", &path).run(&["check"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.out.contains("ok       GeoIP ASN file"), "{}", done.out);

    let rules = home();
    let path = rules.write("regexes.yaml", "user_agent_parsers: [{regex: '('}]");
    complains(&rules.with("ROLLCALL_USER_AGENT__RULES", &path), &["wrong    user agent rules"]);

    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let home = home();
        std::fs::set_permissions(home.data("instance.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
        complains(&home, &["wrong    instance key", "chmod 600"]);
    }

    let junk = home();
    // A log that the last command left would bring the pages back.
    for log in ["rollcall.db-wal", "rollcall.db-shm"] {
        drop(std::fs::remove_file(junk.data(log)));
    }
    std::fs::write(junk.data("rollcall.db"), "this is not a database, however long one reads in it".repeat(100)).unwrap();
    complains(&junk, &["wrong    database"]);
    assert!(!junk.fails(1, &["serve"]).is_empty());

    let away = home().with("ROLLCALL_DATABASE__URL", "postgres://someone:hunter2@127.0.0.1:1/nothing");
    complains(&away, &["wrong    database", "database.url"]);
    let done = away.run(&["check"]);
    assert!(!done.out.contains("hunter2") && !done.err.contains("hunter2"));
    for args in [&["serve"][..], &["user", "list"], &["session", "list"]] {
        assert!(!away.fails(1, args).contains("hunter2"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_is_the_served_one() {
    let home = Home::sqlite();
    let printed: Value = serde_json::from_str(&home.ok(&["openapi"])).unwrap();
    assert!(printed["openapi"].as_str().unwrap().starts_with("3.1"));
    let server = home.serve().await;
    let served = server.call(Method::GET, "/api/v3/schema/", "none").await;
    assert_eq!(served.headers()["content-type"], "application/json");
    assert_eq!(printed, served.json::<Value>().await.unwrap());
}

#[test]
fn there_are_completions_for_each_shell() {
    let home = Home::sqlite();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = home.ok(&["completions", shell]);
        assert!(script.contains("rollcall") && script.contains("set-password"), "{shell}: {script}");
    }
    let script = home.write("completions.bash", home.ok(&["completions", "bash"]));
    let read = Command::new("bash").args(["-n", &script]).status();
    assert!(read.is_err() || read.unwrap().success(), "bash reads it");
    // Neither needs a configuration that is right.
    let wrong = Home::sqlite().with("ROLLCALL_LISTEN", "nowhere");
    wrong.ok(&["completions", "bash"]);
    wrong.ok(&["openapi"]);
}

#[test]
fn wrong_settings_are_named() {
    for (name, value, words) in [
        ("ROLLCALL_LISTNE", "127.0.0.1:1", &["ROLLCALL_LISTNE", "ROLLCALL_LISTEN"][..]),
        ("ROLLCALL_SESSIONS__IDEL_TIMEOUT", "1h", &["ROLLCALL_SESSIONS__IDEL_TIMEOUT", "ROLLCALL_SESSIONS__IDLE_TIMEOUT"]),
        ("ROLLCALL_SESSIONS__IDLE_TIMEOUT", "soon", &["ROLLCALL_SESSIONS__IDLE_TIMEOUT", "soon", "30m"]),
        ("ROLLCALL_LISTEN", "localhost", &["ROLLCALL_LISTEN", "127.0.0.1:9000"]),
        ("ROLLCALL_DATABASE__URL", "mysql://me:hunter2@x", &["ROLLCALL_DATABASE__URL", "postgres://"]),
    ] {
        let error = Home::sqlite().with(name, value).fails(2, &["serve"]);
        assert!(words.iter().all(|word| error.contains(word)) && !error.contains("hunter2"), "{error}");
    }
    for (content, words) in [
        ("sessions = { idel_timeout = '1h' }", &["sessions.idel_timeout", "sessions.idle_timeout"][..]),
        ("lisen = '127.0.0.1:0'", &["lisen", "listen"]),
        ("[http]\ntrusted_proxies = ['10.0.0.0/99']", &["http.trusted_proxies", "10.0.0.0/99"]),
        ("listen = ", &["rollcall.toml", "line 1"]),
        ("[sessions\n", &["rollcall.toml"]),
    ] {
        let home = Home::sqlite();
        home.write("rollcall.toml", content);
        let error = home.fails(2, &["check"]);
        assert!(words.iter().all(|word| error.contains(word)), "{content}: {error}");
    }
    let home = Home::sqlite();
    let error = home.fails(2, &["--set", "sessions.purge_intervall=1m", "check"]);
    assert!(error.contains("--set") && error.contains("sessions.purge_interval"), "{error}");
    assert_eq!(home.with("ROLLCALL_LOG__FORMAT", "").run(&["check"]).code, 0, "an empty variable is an unset one");
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_win_over_the_environment_and_that_over_the_file() {
    let home = Home::sqlite().with("ROLLCALL_DATA_DIR", "");
    home.write("rollcall.toml", "data_dir = 'of-the-file'\n[http]\npublic_url = 'https://file.example'\n");
    let made = |name: &str| home.folder().join(name).join("rollcall.db").exists();
    let make = ["import", "-"];
    home.ok(&make);
    assert!(made("of-the-file"));
    home.write("other.toml", "data_dir = 'of-the-other-file'\n");
    home.ok(&["import", "-", "--config", "other.toml"]);
    assert!(made("of-the-other-file"));
    let done = crate::process::finish(home.command(ROLLCALL).args(make).env("ROLLCALL_DATA_DIR", "of-the-environment"), "");
    assert!(done.code == 0 && made("of-the-environment"), "{done:?}");
    for (flag, name) in [("--data-dir", "of-the-flag"), ("--set", "data_dir=of-the-set")] {
        let mut command = home.command(ROLLCALL);
        command.args(make).args([flag, name]).env("ROLLCALL_DATA_DIR", "of-the-loser");
        let done = crate::process::finish(&mut command, "");
        assert!(done.code == 0 && made(name.trim_start_matches("data_dir=")) && !made("of-the-loser"), "{done:?}");
    }
    // The file's own setting of another key holds throughout.
    let mut command = home.command(ROLLCALL);
    command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir", "served"]);
    let server = Server::start(command).await;
    assert!(server.set_up_link().unwrap().starts_with("https://file.example/set-up/"), "{}", server.log());
}

on_both!(hostile_names_stay_in_their_cells, |home| async move {
    let evil = "a\u{202e}b\u{200f}c\u{2066}\u{61c}d";
    let name = "one\ntwo\r\u{1b}[31mred\u{1b}]0;title\u{7}\u{9b}2J\ttab\u{2028}end";
    let home = home.with_administrator();
    let server = home.serve().await;
    home.ok_with(&["user", "add", evil, "--name", name], &format!("{PASSWORD}\n"));
    home.ok(&["token", "add", "--user", evil, "--identifier", "evil", "--description", name]);
    let mut person = Person::new(&server, "Evil/1.0 \u{202e} \u{9b}2J");
    assert_eq!(person.sign_in(evil, PASSWORD).await.status(), 303);
    home.import(&[user(50, "alice"), session(1, 50, "192.0.2.7", &format!("{name}{evil}"))]);
    for (args, lines) in
        [(&["user", "list"][..], 4), (&["token", "list"], 3), (&["session", "list"], 3), (&["session", "show", &uuid(1)], 15)]
    {
        let text = home.ok(args);
        let is_harmful = |c: char| (c.is_control() && c != '\n') || "\u{61c}\u{200f}\u{202e}\u{2066}\u{2028}".contains(c);
        assert!(!text.contains(is_harmful), "{args:?}: {text:?}");
        assert_eq!(text.lines().count(), lines, "{args:?}: {text}");
    }
    let row = home.rows(&["user", "list", "--json"]).into_iter().find(|row| row["username"] == evil).unwrap();
    assert_eq!(row["name"], name, "data is whole where it is not for a terminal");
    let text = home.ok(&["user", "list", "--csv"]);
    assert!(csv::Reader::from_reader(text.as_bytes()).into_records().any(|record| record.unwrap().get(2) == Some(name)));
    let done = home.run(&["user", "activate", "\u{1b}[31mnobody\u{202e}"]);
    assert!(done.code == 1 && !done.err.contains(['\u{1b}', '\u{202e}']), "{done:?}");
    assert!(!server.stop().await.contains(['\u{1b}', '\u{202e}']), "nor does the log");
});
