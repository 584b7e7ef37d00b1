//! `rollcall session`.

use super::*;
use crate::support::{geoip, seed};

/// A command that goes on until the test is over, however it ends.
pub(super) struct Running(pub(super) Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A command that goes on, and its lines as they come, of both outputs.
pub(super) fn watching(home: &Home, args: &[&str]) -> (Running, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let mut child = home.command(ROLLCALL);
    child.args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Running(child.spawn().unwrap());
    let (send, lines) = tokio::sync::mpsc::unbounded_channel::<String>();
    let (out, err) = (child.0.stdout.take().unwrap(), child.0.stderr.take().unwrap());
    for pipe in [Box::new(out) as Box<dyn std::io::Read + Send>, Box::new(err)] {
        let send = send.clone();
        std::thread::spawn(move || BufReader::new(pipe).lines().map_while(Result::ok).for_each(|line| drop(send.send(line))));
    }
    (child, lines)
}

on_both!(watching_shows_sign_ins_and_ends_as_they_happen, |home| async move {
    let home = home.with_administrator();
    let server = home.serve().await;
    home.add_user("alice");
    Person::signed_in(&server, "akadmin").await;
    let (mut child, mut lines) = watching(&home, &["session", "watch", "--json"]);
    let mut next = async || tokio::time::timeout(Duration::from_secs(60), lines.recv()).await.expect("a line").expect("a line");
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

on_both!(the_table_names_models_apps_and_places, |home| async move {
    let city = home.folder().join("city.mmdb");
    geoip::write_city(&city, &[("198.51.100.0/24", "EU", "", ""), ("203.0.113.0/24", "EU", "DE", "Berlin")]);
    let home = home.with("ROLLCALL_GEOIP__CITY", &city.display().to_string());
    let phone =
        "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36";
    home.import(&[
        seed::user(50, "alice"),
        seed::session(1, 50, json!({"last_ip": "64:ff9b::198.51.100.7", "last_user_agent": phone})),
        seed::session(2, 50, json!({"last_ip": "203.0.113.1", "last_user_agent": "MyApp/1.2"})),
    ]);
    let table = home.ok(&["session", "list"]);
    for words in ["Europe", "Pixel 9 · Chrome", "Berlin, Germany", "MyApp 1"] {
        assert!(table.contains(words), "{words}: {table}");
    }
    assert!(!table.contains("Other"), "{table}");
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
    for nothing in [
        ["--country", "DE"],
        ["--country", "Germany"],
        ["--asn", "64496"],
        ["--browser", "Netscape"],
        ["--search", "nothing has this"],
    ] {
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

on_both!(showing_a_session_says_what_it_opened_and_had_opened, |home| async move {
    let home = home.with("ROLLCALL_HTTP__PUBLIC_URL", "http://id.example");
    home.import(&[seed::user(50, "alice"), seed::session(1, 50, json!({}))]);
    home.ok(&["app", "add", "wiki", "--name", "The wiki", "--host", "wiki.example.com", "--allow", "signed_in"]);
    let uuid = home.rows(&["session", "list", "--json"])[0]["uuid"].as_str().unwrap().to_owned();
    let show = |json: bool| {
        let mut args = vec!["session", "show", &uuid];
        args.extend(json.then_some("--json"));
        home.ok(&args)
    };
    assert!(!show(false).contains("application"));
    assert_eq!(serde_json::from_str::<Value>(&show(true)).unwrap()["applications"], json!([]));
    home.execute(
        "INSERT INTO app_sessions (uuid, session_id, application_id, slug, name, hosts, sub, created_at, last_used_at, jwt_until) \
         SELECT r.uuid, r.id, a.id, a.slug, a.name, '[\"wiki.example.com\"]', 'sub', 0, 1000000, 250000000000000000 \
         FROM session_rows r, applications a",
    )
    .await;
    let check = |is_ended: bool| {
        let text = show(false);
        let line = "application      wiki (wiki.example.com), opened 1970-01-01T00:00:00Z, last used 1970-01-01T00:00:01Z";
        assert!(text.contains(line) && text.contains(", an end takes effect within "), "{text}");
        let record: Value = serde_json::from_str(&show(true)).unwrap();
        assert_eq!(record["reason"].is_string(), is_ended);
        let opened = &record["applications"][0];
        assert_eq!((&opened["slug"], &opened["name"]), (&json!("wiki"), &json!("The wiki")));
        assert_eq!((&opened["hosts"], &opened["client_id"]), (&json!(["wiki.example.com"]), &Value::Null));
        assert!(opened["ends_within"].as_u64() > Some(0), "{opened}");
    };
    check(false);
    home.ok(&["session", "end", &uuid, "--yes"]);
    check(true);
});
