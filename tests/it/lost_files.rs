//! Somebody deletes, moves or replaces the files of the SQLite database while the server runs. It
//! keeps the open files, but no start would find them: it says so, lets nobody in, and acknowledges
//! nothing.

use std::path::Path;

use reqwest::Method;

use crate::process::{Home, PASSWORD, Person, SESSIONS, Server, TOKEN, eventually};

/// A way to lose files: the command, its undo, and what the log says.
struct Harm {
    what: &'static str,
    /// Shell commands that run next to the data folder.
    harm: &'static str,
    undo: Option<&'static str>,
    says: &'static str,
}

const HARMS: [Harm; 8] = [
    Harm { what: "all deleted", harm: "rm data/rollcall.db*", undo: None, says: "rollcall.db was deleted or moved" },
    Harm {
        what: "the database moved",
        harm: "mv data/rollcall.db away",
        undo: Some("mv away data/rollcall.db"),
        says: "rollcall.db was deleted or moved",
    },
    Harm {
        what: "the WAL moved",
        harm: "mv data/rollcall.db-wal away",
        undo: Some("mv away data/rollcall.db-wal"),
        says: "rollcall.db-wal was deleted or moved",
    },
    Harm {
        what: "the WAL's index moved",
        harm: "mv data/rollcall.db-shm away",
        undo: Some("mv away data/rollcall.db-shm"),
        says: "rollcall.db-shm was deleted or moved",
    },
    Harm { what: "the folder moved", harm: "mv data away", undo: Some("mv away data"), says: "rollcall.db was deleted or moved" },
    Harm {
        what: "an empty folder in its place",
        harm: "mv data away && mkdir data",
        undo: Some("rmdir data && mv away data"),
        says: "rollcall.db was deleted or moved",
    },
    Harm {
        what: "a backup put over the database",
        harm: "cp data/rollcall.db backup && mv backup data/rollcall.db",
        undo: None,
        says: "rollcall.db was replaced by another file",
    },
    Harm {
        what: "another file behind the same name",
        harm: "ln data/rollcall.db-wal away && cp data/rollcall.db-wal copy && mv copy data/rollcall.db-wal",
        undo: Some("mv away data/rollcall.db-wal"),
        says: "rollcall.db-wal was replaced by another file",
    },
];

fn shell(home: &Home, commands: &str) {
    let status = std::process::Command::new("sh").args(["-ec", commands]).current_dir(home.folder()).status().unwrap();
    assert!(status.success(), "{commands}");
}

async fn ready(server: &Server) -> u16 {
    server.status("/-/health/ready/").await
}

async fn assert_refused(server: &Server, person: &Person, what: &str) {
    let mut newcomer = Person::new(server, "curl/8.5.0");
    assert_eq!(newcomer.sign_in("akadmin", PASSWORD).await.status(), 503, "a sign-in with {what}");
    assert_eq!(newcomer.key, "");
    assert_eq!(person.get("/sessions").await.status(), 503, "a session with {what}");
    assert_eq!(server.call(Method::GET, SESSIONS, TOKEN).await.status(), 503, "a token with {what}");
    assert_eq!(server.revoke("5e551005-0000-4000-8000-000000000001").await.status(), 503, "an end with {what}");
    assert_eq!(server.status("/-/health/live/").await, 204);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_accepted_while_the_files_are_lost() {
    for Harm { what, harm, undo, says } in HARMS {
        let home = Home::sqlite().with_administrator();
        let server = home.serve().await;
        let person = Person::signed_in(&server, "akadmin").await;
        assert_eq!(ready(&server).await, 204);
        shell(&home, harm);
        // Noticed when it is to be acknowledged, before any other check.
        let mut newcomer = Person::new(&server, "curl/8.5.0");
        let answer = newcomer.sign_in("akadmin", PASSWORD).await;
        assert_eq!((answer.status().as_u16(), newcomer.key.as_str()), (503, ""), "a sign-in with {what}");
        eventually("a server that is not ready", || async { (ready(&server).await == 503).then_some(()) }).await;
        assert_refused(&server, &person, what).await;
        let is_logged = || server.log().lines().any(|line| line.contains("ERROR") && line.contains(says));
        eventually(&format!("{says} in the log, with {what}"), || async { is_logged().then_some(()) }).await;
        if let Some(undo) = undo {
            shell(&home, undo);
            eventually("a server that is ready", || async { (ready(&server).await == 204).then_some(()) }).await;
            assert!(person.is_signed_in().await, "with {what} mended");
            assert_eq!(newcomer.sign_in("akadmin", PASSWORD).await.status(), 303, "with {what} mended");
        }
        assert!(!server.log().contains("panicked"), "{}", server.log());
    }
}

// Nobody signs in: the server looks by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_files_are_noticed_without_a_write() {
    let home = Home::sqlite().with_administrator();
    let server = home.serve().await;
    let person = Person::signed_in(&server, "akadmin").await;
    shell(&home, "rm data/rollcall.db*");
    eventually("a server that is not ready", || async { (ready(&server).await == 503).then_some(()) }).await;
    assert_refused(&server, &person, "all deleted").await;
    assert!(!Path::new(&home.data("rollcall.db")).exists(), "and makes no new file");
}

// The database file is still there, and the server still has the WAL: it copies the one into the
// other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_wal_loses_nothing_that_was_acknowledged() {
    for harm in ["rm data/rollcall.db-wal", "rm data/rollcall.db-wal data/rollcall.db-shm"] {
        let home = Home::sqlite().with_administrator().with("ROLLCALL_SESSIONS__REMEMBER_TIMEOUT", "0");
        let server = home.serve().await;
        let (stays, ends) = (Person::signed_in(&server, "akadmin").await, Person::signed_in(&server, "akadmin").await);
        assert_eq!(server.revoke(&ends.uuid().await).await.status(), 204);
        shell(&home, harm);
        eventually("a copy of the WAL", || async { server.log().contains("is in the database file now").then_some(()) }).await;
        assert_eq!(ready(&server).await, 503);
        server.kill().await;
        let server = home.serve().await;
        let http = crate::crash::client();
        let look = |key: &str| http.get(format!("{}{SESSIONS}", server.origin)).header("cookie", crate::crash::cookie(key)).send();
        assert_eq!(look(&stays.key).await.unwrap().status(), 200, "{harm}");
        assert_eq!(look(&ends.key).await.unwrap().status(), 403, "{harm}");
        assert_eq!(home.texts("PRAGMA integrity_check").await, ["ok"]);
    }
}
