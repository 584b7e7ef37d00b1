//! SQLite that is locked, or whose disk is full.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_database_is_read_and_recovers() {
    let home = Home::sqlite().with_administrator();
    let server = home.serve().await;
    let person = Person::signed_in(&server, "akadmin").await;
    let other = Person::signed_in(&server, "akadmin").await;
    let uuid = other.uuid().await;
    for mode in ["IMMEDIATE", "EXCLUSIVE"] {
        let lock = rusqlite::Connection::open(home.data("rollcall.db")).unwrap();
        lock.execute_batch(&format!("BEGIN {mode}")).unwrap();
        let mut newcomer = Person::new(&server, "curl/8.5.0");
        let (ended, signed_in, ()) = tokio::join!(server.revoke(&uuid), newcomer.sign_in("akadmin", PASSWORD), async {
            assert_eq!(server.sessions().await.len(), 2, "reading goes on");
            assert!(person.is_signed_in().await);
            assert_eq!(server.status("/-/health/ready/").await, 204);
        });
        assert_unavailable(ended).await;
        assert_eq!(signed_in.status(), 503);
        assert!(signed_in.headers().contains_key("retry-after"));
        assert!(signed_in.text().await.unwrap().contains("</html>"), "a page for people");
        lock.execute_batch("ROLLBACK").unwrap();
        assert!(other.is_signed_in().await, "what was refused was not done");
    }
    assert_eq!(server.revoke(&uuid).await.status(), 204);
    assert!(!other.is_signed_in().await);
    assert!(Person::signed_in(&server, "akadmin").await.is_signed_in().await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_database_does_not_hold_up_a_stop() {
    let home = Home::sqlite().with_administrator().with("ROLLCALL_SESSIONS__TOUCH_INTERVAL", "1ms");
    let mut server = home.serve().await;
    let person = Person::signed_in(&server, "akadmin").await;
    let uuid = person.uuid().await;
    let lock = rusqlite::Connection::open(home.data("rollcall.db")).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(person.is_signed_in().await);
    let (address, id) = (server.address().to_owned(), server.id());
    let (ended, status) = tokio::join!(
        async {
            // Answered or cut off, but not with success.
            let request =
                reqwest::Client::builder().no_proxy().build().unwrap().delete(format!("http://{address}{SESSIONS}{uuid}/"));
            request.bearer_auth(TOKEN).send().await.map(|response| response.status())
        },
        async {
            crate::process::signal(id, "TERM");
            server.ended().await
        }
    );
    assert!(ended.is_err() || ended.is_ok_and(|status| !status.is_success()));
    assert!(status.code().is_some(), "it ended by itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_lock_is_waited_for() {
    let home = Home::sqlite().with_administrator();
    let server = home.serve().await;
    let person = Person::signed_in(&server, "akadmin").await;
    let uuid = person.uuid().await;
    let lock = rusqlite::Connection::open(home.data("rollcall.db")).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (ended, ()) = tokio::join!(server.revoke(&uuid), async {
        assert_eq!(server.status("/-/health/live/").await, 204);
        lock.execute_batch("ROLLBACK").unwrap();
    });
    assert_eq!(ended.status(), 204);
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_survived() {
    if Command::new("prlimit").arg("--version").output().is_err() {
        return skip("there is no prlimit to make room with");
    }
    let home = Home::sqlite().with_administrator().with("ROLLCALL_SESSIONS__PURGE_INTERVAL", "0");
    home.serve().await.stop().await;
    let sessions = (0..400).map(|nth| session(nth, 50, "2099-01-01T00:00:00Z"));
    home.import(&[user(50, "alice")].into_iter().chain(sessions).collect::<Vec<_>>());
    // No file may grow beyond what the database has plus a little: as full as a disk gets. What the
    // shell counts in is 512 bytes.
    let blocks = std::fs::metadata(home.data("rollcall.db")).unwrap().len() / 512 + 100;
    let mut command = home.command("sh");
    command.args(["-c", &format!("trap '' XFSZ; ulimit -S -f {blocks}; exec \"$0\" serve"), ROLLCALL]);
    let server = Server::start(command).await;
    let mut ended = 0;
    let refused = loop {
        let response = server.revoke(&uuid(ended)).await;
        if response.status() != 204 {
            break response;
        }
        ended += 1;
        assert!(ended < 400, "the disk never filled");
    };
    assert!(ended > 0, "there was some room");
    assert_unavailable(refused).await;
    for _ in 0..3 {
        assert_unavailable(server.revoke(&uuid(ended)).await).await;
        let body: Value = server.call(Method::GET, SESSIONS, TOKEN).await.json().await.unwrap();
        assert_eq!(body["pagination"]["count"], 400 - ended, "reading goes on, and nothing was half done");
    }
    let room = ["--pid", &server.id().to_string(), "--fsize=unlimited"];
    assert!(Command::new("prlimit").args(room).status().unwrap().success());
    eventually("that it works again", || async { (server.revoke(&uuid(ended)).await.status() == 204).then_some(()) }).await;
    assert!(Person::signed_in(&server, "akadmin").await.is_signed_in().await);
    server.stop().await;
    let integrity = rusqlite::Connection::open(home.data("rollcall.db")).unwrap();
    let word: String = integrity.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(word, "ok");
}
