//! Searches and long lists: few run at once, a bounded number waits, and more are refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rollcall::store::StoreError;
use tokio::sync::RwLock;

use crate::process::eventually;
use crate::support::{SESSIONS, TestApp};

/// The bound of the queue on either database.
const WAITING: usize = 64;

db_test!(more_than_64_that_wait_are_refused_and_short_reads_are_not, |db| async move {
    let app = TestApp::new(db).await;
    let admin = app.admin_token().await;
    let is_sqlite = app.db.is_sqlite();
    let most_at_once = if is_sqlite { 2 } else { 4 };
    let (running, most_seen) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    // Each read runs until the lock is free.
    let gate = Arc::new(RwLock::new(()));
    let closed = Arc::clone(&gate).write_owned().await;
    let read = || {
        let (store, gate) = (app.app.store.clone(), Arc::clone(&gate));
        let (running, most_seen) = (Arc::clone(&running), Arc::clone(&most_seen));
        tokio::spawn(async move {
            let read = store.long_read(move |db| {
                Box::pin(async move {
                    most_seen.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    // On SQLite a long read has a thread of its own, and awaits nothing.
                    if is_sqlite {
                        drop(gate.blocking_read())
                    } else {
                        drop(gate.read().await)
                    }
                    running.fetch_sub(1, Ordering::SeqCst);
                    db.find_user_by_name("nobody").await
                })
            });
            read.await
        })
    };
    let reads: Vec<_> = (0..most_at_once + WAITING).map(|_| read()).collect();
    let state = |name: &str| {
        let state = app.app.store.pool_use().into_iter().find(|(state, _)| *state == ("long_reads", name));
        state.map(|(_, count)| count).expect("the state is counted")
    };
    eventually("a full queue", || async { (state("admitted") == WAITING && state("running") == most_at_once).then_some(()) }).await;

    assert!(matches!(read().await.unwrap(), Err(StoreError::Busy)));
    let search = format!("{SESSIONS}?search=firefox");
    let refused = admin.get(&search).await.assert_status(503);
    assert_eq!(refused.header("retry-after"), Some("1"));
    admin.get(SESSIONS).await.assert_status(200);

    drop(closed);
    for read in reads {
        assert!(read.await.unwrap().unwrap().is_none());
    }
    assert_eq!(most_seen.load(Ordering::SeqCst), most_at_once);
    admin.get(&search).await.assert_status(200);
});
