//! Many who sign in at the same moment share a transaction, and are judged each by themselves.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use rollcall::actions::ActionError;
use rollcall::actions::batching::{Batch, Batching};
use rollcall::actions::by::By;
use rollcall::actions::people::users;
use rollcall::actions::sign_in;
use rollcall::actions::sign_in::Started;
use rollcall::core::Core;
use rollcall::domain::caller::Actor;
use rollcall::domain::caller::Client;
use rollcall::domain::{Address, PlainSecret, Timestamp};
use rollcall::store::{BoxFuture, StoreError};
use tokio::sync::Semaphore;

use crate::support::{TestApp, TestDb};

/// Signs in once for each of these names, all at the same moment.
async fn all_at_once(app: &TestApp, names: &[&str], user_agent: &str) -> Vec<Result<Started, ActionError>> {
    let client = Client { ip: Address::parse("192.0.2.7").unwrap(), user_agent: user_agent.into() };
    let mut people = Vec::new();
    for name in names {
        people.push(app.app.store.read().find_user_by_name(name).await.unwrap().unwrap());
    }
    let actor = Actor { name: "anonymous".into(), ..Actor::default() };
    let begin = |user| sign_in::start_session(&app.app, user, &client, false, Vec::new(), &actor);
    join_all(people.into_iter().map(begin)).await
}

/// Users who have not signed in; the user agent of the tests is known.
async fn add_users(app: &TestApp, count: usize) -> Vec<String> {
    app.user("somebody").await;
    all_at_once(app, &["somebody"], "curl/8").await.pop().unwrap().unwrap();
    app.db.run("DELETE FROM events").await;
    let names: Vec<String> = (0..count).map(|n| format!("user-{n}")).collect();
    for name in &names {
        app.user(name).await;
    }
    names
}

db_test!(they_share_transactions, |db| async move {
    let app = TestApp::new(db).await;
    let names = add_users(&app, 20).await;
    // Each of them thrice.
    let names: Vec<&str> = names.iter().cycle().take(60).map(String::as_str).collect();
    let log = app.number("SELECT count(*) FROM session_changes").await;
    let begun = all_at_once(&app, &names, "curl/8").await;
    let mut keys = std::collections::HashSet::new();
    for (started, name) in begun.into_iter().zip(&names) {
        let started = started.unwrap();
        let session = app.app.store.read().find_live_session(started.key.hash(), app.app.clock.now()).await.unwrap().unwrap();
        assert_eq!((&session.uuid, session.username.as_str()), (&started.uuid, *name), "everybody has their own");
        let device = started.device.unwrap().hash();
        assert!(app.app.store.read().is_known_device(session.user_id, device, Timestamp(0)).await.unwrap());
        keys.insert(started.uuid);
    }
    assert_eq!(keys.len(), 60);
    assert_eq!(app.number("SELECT count(*) FROM sessions").await, 61);
    assert_eq!(app.count_events("sign_in").await, 60);
    assert_eq!(app.number("SELECT count(*) FROM users WHERE last_sign_in_at IS NOT NULL").await, 21);
    app.assert_counts().await;
    // Each transaction is a row of the log.
    let transactions = app.number("SELECT count(*) FROM session_changes").await - log;
    assert!(transactions < 30, "{transactions}");
});

db_test!(each_is_judged_by_themselves, |db| async move {
    let app = TestApp::new(db).await;
    add_users(&app, 8).await;
    let inactive = app.known("user-1").await.id;
    let changed = app.app.store.read().find_user_by_name("user-2").await.unwrap().unwrap();
    let guarded = app.known("user-3").await.id;
    app.app
        .store
        .write(move |db| Box::pin(async move { db.update_is_active(inactive, false).await }))
        .await
        .map_err(|error: StoreError| error)
        .unwrap();
    // A sign-in that proved the old password.
    users::set_password(&app.app, By::Cli, &changed, "another long password".into()).await.unwrap();
    let (uuid, secret) =
        if app.db.is_sqlite() { ("randomblob(16)", "x'00'") } else { ("gen_random_uuid()", "decode('00', 'hex')") };
    let columns = "uuid, user_id, kind, name, secret, counter, is_confirmed, created_at";
    let sql =
        format!("INSERT INTO authenticators ({columns}) VALUES ({uuid}, {}, 'totp', 'phone', {secret}, 0, TRUE, 0)", guarded.0);
    app.db.run(&sql).await;
    let client = Client { ip: Address::UNKNOWN, user_agent: "curl/8".into() };
    let actor = Actor { name: "anonymous".into(), ..Actor::default() };
    let mut people = Vec::new();
    for n in 0..8 {
        let user = app.app.store.read().find_user_by_name(&format!("user-{n}")).await.unwrap().unwrap();
        people.push(if n == 2 { changed.clone() } else { user });
    }
    for _ in 0..2 {
        let begin = |user| sign_in::start_session(&app.app, user, &client, false, Vec::new(), &actor);
        let begun = join_all(people.clone().into_iter().map(begin)).await;
        for (n, started) in begun.into_iter().enumerate() {
            match n {
                1 | 2 => assert!(matches!(started, Err(ActionError::Forbidden | ActionError::ProofOutdated)), "{n}: {started:?}"),
                3 => assert!(matches!(started, Err(ActionError::FactorNeeded)), "{started:?}"),
                _ => assert!(started.is_ok(), "{n}: {started:?}"),
            }
        }
    }
    assert_eq!(app.number("SELECT count(*) FROM sessions").await, 11);
    assert_eq!(app.count_events("sign_in").await, 10);
    assert_eq!(app.number("SELECT count(*) FROM users WHERE last_sign_in_at IS NOT NULL").await, 6);
    app.assert_counts().await;
});

db_test!(a_user_agent_that_was_forgotten_is_nobody_elses_trouble, |db| async move {
    let app = TestApp::new(db).await;
    let names = add_users(&app, 10).await;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    app.app.user_agents.learn_key("Gone/1.0", 1_000_000);
    let (others, gone) = tokio::join!(all_at_once(&app, &names[1..], "curl/8"), all_at_once(&app, &names[..1], "Gone/1.0"));
    for started in gone.into_iter().chain(others) {
        started.unwrap();
    }
    assert_eq!(app.number("SELECT count(*) FROM sessions").await, 11);
    assert!(app.app.user_agents.key("curl/8").is_some(), "theirs was not found wanting");
    app.assert_counts().await;
});

db_test!(of_many_at_once_no_more_begin_than_may, |db| async move {
    let app = TestApp::with(db, &[("SESSIONS__MAX_PER_USER", "2"), ("SESSIONS__AT_LIMIT", "refuse")]).await;
    let names = add_users(&app, 3).await;
    let names: Vec<&str> = names.iter().cycle().take(30).map(String::as_str).collect();
    let begun = all_at_once(&app, &names, "curl/8").await;
    let refused = begun.iter().filter(|started| matches!(started, Err(ActionError::AtLimit))).count();
    assert_eq!((begun.iter().filter(|started| started.is_ok()).count(), refused), (6, 24));
    assert_eq!(app.number("SELECT count(*) FROM sessions").await, 7);
    assert_eq!(app.count_events("sign_in_refused").await, 24);
    app.assert_counts().await;
});

db_test!(a_locked_user_delays_no_other_sign_in, |db| async move {
    let app = TestApp::new(db).await;
    // SQLite has one writer, and everybody waits for it.
    if app.db.is_sqlite() {
        return;
    }
    let names = add_users(&app, 10).await;
    let (held, store) = (app.known("user-0").await.id, app.app.store.clone());
    let (locked, is_locked) = tokio::sync::oneshot::channel();
    let (go, gone) = tokio::sync::oneshot::channel::<()>();
    let holder = tokio::spawn(async move {
        store
            .write(move |db| {
                Box::pin(async move {
                    db.lock_user(held).await?;
                    locked.send(()).unwrap();
                    gone.await.unwrap();
                    Ok::<_, StoreError>(())
                })
            })
            .await
    });
    is_locked.await.unwrap();
    // In the middle of the crowd.
    let names: Vec<&str> = names[1..5].iter().chain(&names[..1]).chain(&names[5..]).map(String::as_str).collect();
    let crowd = all_at_once(&app, &names, "curl/8");
    tokio::pin!(crowd);
    let others = async {
        while app.number("SELECT count(*) FROM sessions").await < 10 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        _ = &mut crowd => panic!("it did not wait for who holds the user"),
        others = tokio::time::timeout(Duration::from_secs(10), others) => others.expect("the others wait"),
    }
    go.send(()).unwrap();
    crowd.await.into_iter().for_each(|started| drop(started.unwrap()));
    holder.await.unwrap().unwrap();
});

db_test!(known_browsers_are_known_in_a_crowd, |db| async move {
    let app = TestApp::new(db).await;
    let names = add_users(&app, 12).await;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let devices: Vec<PlainSecret> =
        all_at_once(&app, &names, "curl/8").await.into_iter().map(|started| started.unwrap().device.unwrap()).collect();
    app.advance(Duration::from_secs(60));
    let client = Client { ip: Address::UNKNOWN, user_agent: "curl/8".into() };
    let actor = Actor { name: "anonymous".into(), ..Actor::default() };
    let mut entrants = Vec::new();
    // One in three comes with the browser of somebody who stays away.
    for (n, name) in names.iter().enumerate().take(9) {
        let user = app.app.store.read().find_user_by_name(name).await.unwrap().unwrap();
        let device = &devices[if n % 3 == 0 { 9 + n / 3 } else { n }];
        let wish = sign_in::Wish { device: Some(device.hash()), ..sign_in::Wish::default() };
        entrants.push(sign_in::begin(&app.app, sign_in::Proved::by_password(user), &client, wish, &actor));
    }
    for (n, started) in join_all(entrants).await.into_iter().enumerate() {
        let fresh = started.unwrap().device;
        assert_eq!(fresh.is_some(), n % 3 == 0, "{n}");
        // A browser keeps one secret: its former user is known by the fresh one, too.
        if let Some(fresh) = fresh {
            let former = app.known(names[9 + n / 3]).await.id;
            assert!(app.app.store.read().is_known_device(former, fresh.hash(), Timestamp(0)).await.unwrap());
        }
    }
    assert_eq!(app.number("SELECT count(*) FROM sessions WHERE is_known_device").await, 6);
});

/// A job that tells when it is done, once its gate is open.
#[derive(Clone)]
struct Job {
    number: u32,
    gate: Arc<Semaphore>,
    done: Arc<Mutex<Vec<u32>>>,
}

impl Job {
    fn new(number: u32) -> Self {
        Self { number, gate: Arc::new(Semaphore::new(1000)), done: Arc::default() }
    }
}

/// Doubles numbers; 13 makes it panic, 14 makes it fail.
fn double(_: Arc<Core>, batch: Batch<Job, u32>) -> BoxFuture<'static, Result<Vec<u32>, StoreError>> {
    Box::pin(async move {
        let mut doubled = Vec::new();
        for job in batch.take() {
            job.gate.acquire().await.unwrap().forget();
            assert_ne!(job.number, 13, "as it should");
            if job.number == 14 {
                return Err(StoreError::Corrupt("a number"));
            }
            job.done.lock().unwrap().push(job.number);
            doubled.push(job.number * 2);
        }
        Ok(doubled)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_who_asks_is_answered() {
    let app = TestApp::new(TestDb::sqlite()).await.app.clone();
    let line = Batching::new(double, 3, 4);
    let asks = (100..200).map(|n| line.ask(&app.core, Job::new(n)));
    let answers: Vec<u32> = join_all(asks).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers, (100..200).map(|n| n * 2).collect::<Vec<_>>());
    // Of a piece that fails or panics, everybody hears; those after it are served.
    for number in [13, 14] {
        let asks = (number..number + 40).map(|n| line.ask(&app.core, Job::new(if n == number { n } else { n + 100 })));
        let answers = join_all(asks).await;
        match &answers[0] {
            Err(StoreError::Failed(_)) if number == 13 => {}
            Err(StoreError::Corrupt(_)) if number == 14 => {}
            other => panic!("{other:?}"),
        }
        let answered = answers.iter().filter(|answer| answer.is_ok()).count();
        assert!((36..40).contains(&answered), "{answered}: four share a piece");
    }
    // One that does not even look at what is asked.
    let closed = Batching::new(|_, _: Batch<Job, u32>| Box::pin(async { Err(StoreError::Busy) }), 3, 4);
    for answer in join_all((0..40).map(|n| closed.ask(&app.core, Job::new(n)))).await {
        assert!(matches!(answer, Err(StoreError::Busy)), "{answer:?}");
    }
}

/// Doubles numbers inside a transaction.
fn double_in_store(core: Arc<Core>, batch: Batch<u32, u32>) -> BoxFuture<'static, Result<Vec<u32>, StoreError>> {
    Box::pin(async move {
        core.store.write(move |_| Box::pin(async move { Ok(batch.take().into_iter().map(|n| n * 2).collect()) })).await
    })
}

db_test!(more_wait_than_one_transaction_takes, |db| async move {
    let app = TestApp::new(db).await;
    // SQLite's writer takes them, and leaves some to the next piece.
    let line = Batching::new(double_in_store, 3, 2);
    let answers = join_all((0..100).map(|n| line.ask(&app.app.core, n))).await;
    for (number, answer) in (0..).zip(answers) {
        assert_eq!(answer.unwrap(), number * 2);
    }
});

#[tokio::test(flavor = "multi_thread")]
async fn no_job_is_done_for_a_caller_that_hung_up() {
    let app = TestApp::new(TestDb::sqlite()).await.app.clone();
    let line = Arc::new(Batching::new(double, 4, 1));
    let shut = Job { gate: Arc::new(Semaphore::new(0)), ..Job::new(0) };
    let asked = (0..10).map(|number| {
        let (line, app, job) = (Arc::clone(&line), app.clone(), Job { number, ..shut.clone() });
        let mut ask = Box::pin(async move { line.ask(&app.core, job).await });
        // In this order: the first ones wait at the gate, no more than four, the others in line.
        assert!(ask.as_mut().now_or_never().is_none());
        ask
    });
    let mut asked: Vec<_> = asked.collect();
    drop(asked.split_off(5));
    shut.gate.add_permits(1000);
    for (number, answer) in (0..).zip(join_all(asked).await) {
        assert_eq!(answer.unwrap(), number * 2);
    }
    assert_eq!(line.ask(&app.core, Job { number: 50, ..shut.clone() }).await.unwrap(), 100);
    let mut done = shut.done.lock().unwrap().clone();
    done.sort_unstable();
    assert_eq!(done, [0, 1, 2, 3, 4, 50]);
}
