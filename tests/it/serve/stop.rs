//! How the server stops, and what is there after a restart or a kill.

use super::*;

on_both!(a_restart_keeps_sessions, |home| async move {
    let home = home.with_administrator();
    let server = home.serve().await;
    let address = server.address().to_owned();
    let person = Person::signed_in(&server, "akadmin").await;
    server.stop().await;
    // On the same port, so that the browser brings its cookie.
    let home = home.with("ROLLCALL_LISTEN", &address);
    let server = home.serve().await;
    assert!(person.is_signed_in().await);
    assert_eq!(server.sessions().await.len(), 1);
});

on_both!(what_was_acknowledged_survives_a_kill, |home| async move {
    let mut home = home.with_administrator();
    let mut server = home.serve().await;
    let address = server.address().to_owned();
    home = home.with("ROLLCALL_LISTEN", &address);
    let mut kept: Vec<Person> = Vec::new();
    for _ in 0..3 {
        let stays = Person::signed_in(&server, "akadmin").await;
        let goes = Person::signed_in(&server, "akadmin").await;
        let gone = goes.uuid().await;
        assert_eq!(server.revoke(&gone).await.status(), 204);
        server.kill().await;
        server = home.serve().await;
        kept.push(stays);
        assert!(!goes.is_signed_in().await, "what was ended stays ended");
        for person in &kept {
            assert!(person.is_signed_in().await, "who signed in stays so");
        }
        assert_eq!(server.sessions().await.len(), kept.len());
    }
});

on_both!(a_stop_writes_down_the_last_use, |home| async move {
    let home = home.with_administrator().with("ROLLCALL_SESSIONS__TOUCH_INTERVAL", "1ms");
    let server = home.serve().await;
    let person = Person::signed_in(&server, "akadmin").await;
    let uuid = person.uuid().await;
    let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0";
    assert_eq!(person.get_with_agent("/sessions", agent).await.status(), 200);
    server.stop().await;
    let shown: Value = serde_json::from_str(&home.ok(&["session", "show", &uuid, "--json"])).unwrap();
    assert_eq!(shown["last_user_agent"], agent);
    assert!(shown["last_used"].as_str() > shown["created"].as_str(), "{shown}");
});

async fn a_signal_lets_requests_finish(name: &str) {
    let home = Home::sqlite().with_administrator();
    let mut server = home.serve().await;
    // One request whose body is under way, one that only begins, and a connection that says nothing.
    let mut under_way = TcpStream::connect(server.address()).await.unwrap();
    let body = "uid=akadmin&password=wrong&next=/";
    let head = format!(
        "POST /sign-in HTTP/1.1\r\nhost: {}\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n",
        server.address(),
        body.len()
    );
    let (first, rest) = body.split_at(9);
    under_way.write_all(format!("{head}{first}").as_bytes()).await.unwrap();
    let mut beginning = TcpStream::connect(server.address()).await.unwrap();
    beginning.write_all(b"GET / HT").await.unwrap();
    let _silent = TcpStream::connect(server.address()).await.unwrap();
    // An answer on a later connection says that the earlier ones were taken.
    assert_eq!(server.status("/-/health/live/").await, 204);
    server.signal(name);
    let address = server.address().to_owned();
    within(Duration::from_secs(5), "that no connection is taken any more", || async {
        TcpStream::connect(&address).await.err().map(drop)
    })
    .await;
    under_way.write_all(rest.as_bytes()).await.unwrap();
    let mut answer = String::new();
    under_way.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    assert!(answer.contains("</html>"), "the whole answer: {answer}");
    assert_eq!(server.ended().await.code(), Some(0));
    assert!(server.log().contains("stopping"));
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_lets_requests_finish() {
    a_signal_lets_requests_finish("TERM").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigint_lets_requests_finish() {
    a_signal_lets_requests_finish("INT").await;
}

on_both!(an_import_that_is_killed_stores_nothing, |home| async move {
    let home = home.with_administrator();
    let server = home.serve().await;
    let mut importing = home.command(ROLLCALL).args(["import", "-", "--replace"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = importing.stdin.take().unwrap();
    // More than fits into the pipe: some of it is read when the last of it is written.
    let sessions = (0..5000).map(|nth| session(nth, 50, "2099-01-01T00:00:00Z"));
    for line in [user(50, "alice")].into_iter().chain(sessions) {
        writeln!(stdin, "{line}").unwrap();
    }
    assert_eq!(server.sessions().await.len(), 0, "an import that is not done does not show");
    importing.kill().unwrap();
    importing.wait().unwrap();
    let person = Person::signed_in(&server, "akadmin").await;
    assert_eq!(uuids(&server.sessions().await), [person.uuid().await]);
    assert_eq!(home.rows(&["user", "list", "--json"]).len(), 1);
});
