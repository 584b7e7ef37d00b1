//! Connections to PostgreSQL that requests leave while a statement runs: no other request waits for that statement.

use std::time::Duration;

use rollcall::store::StoreError;
use tokio::time::timeout;
use tokio_postgres::{Client, NoTls};

use crate::process::eventually;
use crate::support::db::on_postgres;
use crate::support::{TestApp, TestDb};

/// Longer than a statement takes; the lock is held until the test ends.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_read_does_not_wait_for_one_that_was_left() {
    on_postgres(|db| async move {
        let app = TestApp::new(db).await;
        // The statement is prepared on the first connection, and not on the others: it is left while it runs, and while it
        // is prepared.
        assert!(app.app.store.read().find_user_by_name("nobody").await.unwrap().is_none());
        let holder = lock_users(&app.db).await;
        for left in 1..=3 {
            let read = app.app.store.read();
            let mut read = Box::pin(read.find_user_by_name("nobody"));
            tokio::select! {
                _ = &mut read => panic!("the table is locked"),
                () = waiting(&holder, left) => {}
            }
            drop(read);
            let read = app.app.store.read();
            let read = timeout(PATIENCE, read.find_setting("nothing")).await.expect("a connection that is free");
            assert_eq!(read.unwrap(), None);
        }
        let count = |name| {
            let state = app.app.store.pool_use();
            state.into_iter().find(|(state, _)| *state == ("connections", name)).map(|(_, count)| count).expect("it is counted")
        };
        // Those that were left, one for the reads after them, and those for writes.
        let (open, idle) = (count("open"), count("idle"));
        assert_eq!(open - idle, 3);
        assert!(idle >= 3, "{idle}");
        drop(holder);
        // The same connections are back in the pool once their statements have ended.
        eventually("idle connections", || async { (count("idle") == open).then_some(()) }).await;
        assert_eq!(count("open"), open);
        let read = app.app.store.read();
        assert!(read.find_user_by_name("nobody").await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn a_quick_write_does_not_wait_for_one_that_was_left() {
    on_postgres(|db| async move {
        let app = TestApp::new(db).await;
        let holder = lock_users(&app.db).await;
        let write = app.app.store.write_soon(|db| Box::pin(async move { db.find_user_by_name("nobody").await }));
        let mut write = Box::pin(write);
        tokio::select! {
            _ = &mut write => panic!("the table is locked"),
            () = waiting(&holder, 1) => {}
        }
        drop(write);
        let write = app.app.store.write_soon(|db| Box::pin(async move { db.update_setting("a.test", "1").await }));
        let written: Result<_, StoreError> = timeout(PATIENCE, write).await.expect("a connection that is free");
        written.unwrap();
        assert_eq!(app.app.store.read().find_setting("a.test").await.unwrap().as_deref(), Some("1"));
    })
    .await;
}

/// A connection that holds the table of users until it is dropped: not even reads pass.
async fn lock_users(db: &TestDb) -> Client {
    let (client, connection) = tokio_postgres::connect(&db.url, NoTls).await.expect("PostgreSQL answers");
    tokio::spawn(connection);
    client.batch_execute("BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE").await.expect("the lock");
    client
}

/// Returns when `count` statements wait for the table that this connection holds.
async fn waiting(holder: &Client, count: i64) {
    let sql = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = CAST('users' AS regclass)";
    eventually("statements that wait", || async {
        let waiting: i64 = holder.query_one(sql, &[]).await.expect("an answer").get(0);
        (waiting == count).then_some(())
    })
    .await;
}
