//! Backups under load, and restores that are killed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rollcall::store::sessions::end::Which;
use uuid::Uuid;

use super::{make, open, restore};
use crate::process::{Home, ROLLCALL};
use crate::support::{Dice, TestApp, TestDb};

db_test!(a_backup_under_load_is_of_one_instant, |db| async move {
    let folder = tempfile::tempdir().unwrap();
    let app = Arc::new(TestApp::new(db).await);
    for name in ["a", "b", "c", "d"] {
        app.user(name).await;
    }
    let is_over = Arc::new(AtomicBool::new(false));
    // Four people whose sessions begin and end all the time, and users that come and go.
    let load = ["a", "b", "c", "d"].map(|name| {
        let (app, is_over) = (Arc::clone(&app), Arc::clone(&is_over));
        tokio::spawn(async move {
            let mut n = 0;
            while !is_over.load(Ordering::Relaxed) {
                n += 1;
                let browser = app.known(name).await.session().await;
                let passing = app.user(&format!("{name}-{n}")).await;
                passing.session().await;
                if n % 3 == 0 {
                    let id = rollcall::domain::SessionId::parse(&browser.uuid).unwrap();
                    let end = rollcall::store::sessions::history::End::by(
                        &rollcall::domain::caller::Actor::cli(),
                        app.app.clock.now(),
                        rollcall::domain::EndReason::Revoked,
                    );
                    let ended: Result<_, rollcall::store::StoreError> = app
                        .app
                        .store
                        .write(move |db| Box::pin(async move { db.end_sessions(&Which::Uuid(id), 1, &end).await }))
                        .await;
                    ended.unwrap();
                }
            }
        })
    });
    let mut acknowledged = Vec::new();
    for round in 0..5 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        // Its session was begun before the backup, so it is in it.
        let known = app.user(&format!("known-{round}")).await.session().await;
        acknowledged.push(known.uuid);
        make(&app.app.store, &folder.path().join(round.to_string())).await;
    }
    is_over.store(true, Ordering::Relaxed);
    for task in load {
        task.await.unwrap();
    }
    for round in 0..5 {
        // Foreign keys are checked as the rows are put in, and the counters agree with the rows.
        let other = TestDb::sqlite();
        restore(&open(&other.config(&[])).await, &folder.path().join(round.to_string()), true).await.unwrap();
        let there = TestApp::new(other).await;
        there.assert_counts().await;
        let found: Vec<Uuid> = there.app.store.read().all("SELECT uuid FROM sessions", &[]).await.unwrap();
        let found: BTreeSet<String> = found.iter().map(Uuid::to_string).collect();
        let missing: Vec<_> = acknowledged[..=round].iter().filter(|uuid| !found.contains(*uuid)).collect();
        assert!(missing.is_empty(), "round {round}: {missing:?}");
        let broken = there.number("SELECT count(*) FROM session_rows WHERE user_id NOT IN (SELECT id FROM users)").await;
        assert_eq!(broken, 0);
    }
});

on_both!(a_restore_that_is_killed_leaves_the_old_or_the_new, |home| async move {
    home.import(&[]);
    home.ok(&["generate", "--users", "1500", "--sessions", "6000"]);
    let file = home.folder().join("a.backup").display().to_string();
    home.ok(&["backup", &file]);
    // What is there when it begins: one user.
    let small = home.folder().join("small.backup").display().to_string();
    let empty = Home::sqlite();
    empty.import(&[]);
    empty.add_user("alone");
    empty.ok(&["backup", &small, "--without-key"]);
    home.ok(&["restore", &small, "--replace", "--yes"]);
    let count = async || home.texts("SELECT CAST(count(*) AS TEXT) FROM users").await.remove(0);
    assert_eq!(count().await, "1");
    let mut dice = Dice::new();
    let mut was_killed = 0;
    for _ in 0..6 {
        let mut restoring = home.command(ROLLCALL);
        let mut restoring = restoring.args(["restore", &file, "--replace", "--yes"]).spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(100) + dice.up_to(Duration::from_millis(1500))).await;
        let ended = restoring.try_wait().unwrap();
        was_killed += usize::from(ended.is_none());
        drop(restoring.kill());
        restoring.wait().unwrap();
        let found = count().await;
        let is_whole = found != "1";
        assert!(!is_whole || found == "1500", "{found} users: neither the old nor the new");
        let done = home.run(&["check"]);
        assert_eq!(done.code, 0, "{done:?}");
        if is_whole {
            home.ok(&["restore", &small, "--replace", "--yes"]);
        }
    }
    assert!(was_killed > 0, "at least one was killed before its end");
    home.ok(&["restore", &file, "--replace", "--yes"]);
    assert_eq!(count().await, "1500");
});

#[tokio::test(flavor = "multi_thread")]
async fn several_servers_of_postgresql_keep_a_restore_away_until_the_last_one_ends() {
    let Some(home) = Home::postgres().await else { return };
    let home = home.with_administrator();
    let (one, two) = (home.serve().await, home.serve().await);
    let file = home.folder().join("a.backup").display().to_string();
    home.ok(&["backup", &file]);
    for server in [one, two] {
        let message = home.fails(1, &["restore", &file, "--replace", "--yes"]);
        assert!(message.contains("a Rollcall serves this database"), "{message}");
        server.stop().await;
    }
    home.ok(&["restore", &file, "--replace", "--yes"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lock_of_postgresql_is_taken_again_when_its_connection_is_lost() {
    let Some(home) = Home::postgres().await else { return };
    let home = home.with_administrator();
    let server = home.serve().await;
    let file = home.folder().join("a.backup").display().to_string();
    home.ok(&["backup", &file]);
    let schema = home.schema().unwrap().name().to_owned();
    let held = format!(
        "SELECT CAST(l.pid AS TEXT) FROM pg_locks l WHERE l.locktype = 'advisory' AND l.granted \
         AND l.objid = CAST(CAST(hashtext('{schema}') AS BIGINT) & 4294967295 AS OID)"
    );
    let before = home.texts(&held).await;
    assert_eq!(before.len(), 1, "{before:?}");
    home.texts(&format!("SELECT CAST(pg_terminate_backend({}) AS TEXT)", before[0])).await;
    crate::process::within(Duration::from_secs(30), "the lock", || async {
        let now = home.texts(&held).await;
        (now.len() == 1 && now != before).then_some(())
    })
    .await;
    let message = home.fails(1, &["restore", &file, "--replace", "--yes"]);
    assert!(message.contains("a Rollcall serves this database"), "{message}");
    server.stop().await;
}
