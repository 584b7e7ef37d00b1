//! Tries: when a notice is sent again, when no more, and that one slow app delays no other.

use std::time::Duration;

use rollcall::actions::by::By;
use rollcall::actions::oidc::notices;
use rollcall::actions::oidc::notify::Notifier;
use rollcall::store::oidc::notices::NoticeFilter;
use serde_json::json;

use super::told::Told;
use super::{claims, end, opened, register, rows, run, states, told_app, world};
use crate::support::TestApp;

async fn all(app: &TestApp) -> NoticeFilter {
    notices::of_application(&app.app, "wiki").await.unwrap()
}

db_test!(an_app_that_is_down_is_told_later_or_given_up_visibly, |db| async move {
    let (app, told) = (world(db).await, Told::start().await);
    app.user("alice").await;
    let wiki = told_app(&app, "wiki", &told, json!({"notice_names": "both"})).await;
    told.answers(500);
    end(&app, &opened(&wiki, "alice").await).await;
    assert_eq!((run(&app).await, run(&app).await), (1, 0), "later");
    assert_eq!(rows(&app, "wiki").await[0].said, "the app answered 500");
    let first = claims(&wiki, &told.sent()[0]).await;
    app.advance(Duration::from_secs(7));
    told.answers(302);
    assert_eq!((run(&app).await, told.sent().len()), (1, 1), "a redirect is not followed");
    app.advance(Duration::from_secs(40));
    told.answers(200);
    assert_eq!(run(&app).await, 1);
    let third = claims(&wiki, &told.sent()[0]).await;
    assert!(third["jti"] != first["jti"] && third["iat"].as_i64() > first["iat"].as_i64(), "signed anew");
    assert_eq!(third["sub"], first["sub"]);

    told.answers(400);
    end(&app, &opened(&wiki, "alice").await).await;
    for _ in 0..5 {
        assert_eq!(run(&app).await, 1);
        app.advance(Duration::from_secs(3600));
    }
    assert_eq!(run(&app).await, 0, "the app calls it wrong");
    let event = serde_json::to_value(&app.latest("notice_given_up").await[0].content).unwrap();
    let said = (&event["content"]["tries"], &event["content"]["error"], &event["content"]["count"]);
    assert_eq!(said, (&json!(5), &json!("the app answered 400"), &json!(1)), "{event}");
    assert_eq!(states(&app).await, ["delivered", "given_up"]);
    assert_eq!(notices::send(&app.app, By::Cli, all(&app).await).await.unwrap(), 1);
    told.answers(503);
    assert_eq!(run(&app).await, 1, "somebody wants it sent again");
    app.advance(Duration::from_secs(25 * 3600));
    assert_eq!(run(&app).await, 1);
    assert_eq!(app.latest("notice_given_up").await.len(), 2, "a day is over");
    assert_eq!(notices::drop_them(&app.app, By::Cli, all(&app).await).await.unwrap(), 1);
    app.advance(Duration::from_secs(3600));
    assert_eq!((run(&app).await, states(&app).await), (0, vec!["delivered", "dropped"]));
    app.advance(Duration::from_secs(8 * 86400));
    assert_eq!(notices::sweep(&app.app, By::System).await.unwrap(), 2);
});

db_test!(an_app_says_for_how_long_it_is_busy, |db| async move {
    let (app, told) = (world(db).await, Told::start().await);
    app.user("alice").await;
    let wiki = told_app(&app, "wiki", &told, json!({})).await;
    told.asks_to_wait(503, "300");
    end(&app, &opened(&wiki, "alice").await).await;
    run(&app).await;
    let row = rows(&app, "wiki").await.remove(0);
    assert_eq!(row.next_try(app.app.clock.now()).unwrap().since(app.app.clock.now()), Duration::from_secs(300));
    app.advance(Duration::from_secs(299));
    assert_eq!(run(&app).await, 0);
    app.advance(Duration::from_secs(2));
    told.asks_to_wait(429, "999999");
    assert_eq!(run(&app).await, 1);
    app.advance(Duration::from_secs(3601));
    told.answers(200);
    assert_eq!(run(&app).await, 1, "an hour at most");
});

db_test!(a_notice_that_a_node_lost_is_sent_by_another_one, |db| async move {
    let (app, told) = (world(db).await, Told::start().await);
    app.user("alice").await;
    let wiki = told_app(&app, "wiki", &told, json!({})).await;
    let mut sessions = Vec::new();
    for _ in 0..6 {
        sessions.push(opened(&wiki, "alice").await);
    }
    for session in &sessions {
        end(&app, session).await;
    }
    // This node takes three and is killed.
    let application = app.number("SELECT max(id) FROM applications").await;
    let (now, until) = (app.app.clock.now(), app.app.clock.now().plus(Duration::from_secs(60)));
    let taken = app.app.store.write(move |db| Box::pin(async move { db.take_notices(application, 3, now, until).await }));
    let taken = taken.await.unwrap();
    assert_eq!(taken.len(), 3);
    assert_eq!(states(&app).await, ["sending", "sending", "sending", "waiting", "waiting", "waiting"]);
    assert_eq!(run(&app).await, 1, "four at a time, of all nodes together");
    assert_eq!(notices::send(&app.app, By::Cli, all(&app).await).await.unwrap(), 2, "what is under way is left alone");
    app.advance(Duration::from_secs(61));
    assert_eq!((run(&app).await, run(&app).await), (4, 1));
    // The first node was only slow. What it says late changes nothing.
    let (lost, at) = (taken[0].clone(), app.app.clock.now());
    let verdict = rollcall::domain::oidc::notice::Verdict::GivenUp;
    let outcome = rollcall::store::oidc::notice_queue::Outcome { verdict, is_unreachable: false, said: String::new() };
    let settled = app.app.store.write(move |db| Box::pin(async move { db.settle_notice(&lost, &outcome, at).await })).await;
    assert!(!settled.unwrap());
    let mut sids = Vec::new();
    for form in told.sent() {
        sids.push(claims(&wiki, &form).await["sid"].as_str().unwrap().to_owned());
    }
    sids.sort();
    sessions.sort();
    assert_eq!(sids, sessions, "each is told");
    assert!(states(&app).await.iter().all(|state| *state == "delivered"));
});

db_test!(an_app_that_cannot_be_reached_is_tried_by_one_notice, |db| async move {
    let app = world(db).await;
    let alice = app.user("alice").await;
    // Nobody listens there.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let wiki = register(&app, "wiki", json!({"back_channel_uri": format!("http://127.0.0.1:{port}/told")})).await;
    for _ in 0..8 {
        opened(&wiki, "alice").await;
    }
    app.record_ends_of(alice.id.0, 100).await;
    app.move_pending().await;
    assert_eq!(run(&app).await, 4);
    assert_eq!(run(&app).await, 4);
    let summary = async || {
        let id = app.number("SELECT id FROM applications WHERE slug = 'wiki'").await;
        notices::summary(&app.app, By::Cli, id, 0).await.unwrap().0
    };
    let seen = summary().await;
    assert_eq!((seen.waiting, seen.line.failures), (8, 5), "four that fail together are one failure of an app that is away");
    assert!(seen.line.failed.starts_with("no connection"), "{seen:?}");
    assert_eq!(seen.line.rests_until.since(app.app.clock.now()), Duration::from_secs(5), "the first and shortest rest");
    assert!(seen.oldest.is_some(), "{seen:?}");
    app.advance(Duration::from_secs(4));
    assert_eq!(run(&app).await, 0, "it is left alone");
    let tried = |tries: i64| format!("SELECT count(*) FROM logout_notices WHERE tries = {tries}");
    for _ in 0..4 {
        app.advance(Duration::from_secs(3700));
        assert_eq!((run(&app).await, run(&app).await), (1, 0), "one notice tries it");
    }
    assert_eq!((app.number(&tried(1)).await, app.number(&tried(2)).await), (4, 4), "the others used up no try");
    // Somebody does not want to wait.
    assert_eq!(notices::send(&app.app, By::Cli, all(&app).await).await.unwrap(), 8);
    assert_eq!(run(&app).await, 1);
    // A day is over for all of them.
    app.advance(Duration::from_secs(25 * 3600));
    assert_eq!(run(&app).await, 1);
    assert_eq!(states(&app).await, ["given_up"; 8]);
    let events = app.latest("notice_given_up").await;
    let counts: Vec<u64> =
        events.iter().map(|event| serde_json::to_value(&event.content).unwrap()["content"]["count"].as_u64().unwrap()).collect();
    assert_eq!((counts.len(), counts.iter().sum::<u64>()), (2, 8), "{counts:?}");
    // It is back.
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let told = Told::on(listener);
    assert_eq!(notices::send(&app.app, By::Cli, all(&app).await).await.unwrap(), 8);
    assert_eq!(run(&app).await, 1, "first one");
    assert_eq!((run(&app).await, run(&app).await), (4, 3), "then all");
    assert_eq!((told.count(), summary().await.line.failures), (8, 0));
    assert_eq!(states(&app).await, ["delivered"; 8]);
});

/// Begins what is due until this is so; gives how many it began.
async fn until(app: &TestApp, notifier: &mut Notifier, is_so: impl Fn() -> bool) -> usize {
    let mut begun = 0;
    let looking = async {
        while !is_so() {
            begun += notifier.begin(&app.app, By::System).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), looking).await.expect("it is seen");
    begun
}

db_test!(one_slow_app_delays_no_other, |db| async move {
    let app = world(db).await;
    let alice = app.user("alice").await;
    let (slow, quick) = (Told::start().await, Told::start().await);
    slow.is_answering(false);
    let (one, two) = (told_app(&app, "slow", &slow, json!({})).await, told_app(&app, "quick", &quick, json!({})).await);
    for _ in 0..6 {
        opened(&one, "alice").await;
        opened(&two, "alice").await;
    }
    app.record_ends_of(alice.id.0, 100).await;
    app.move_pending().await;
    let mut notifier = Notifier::new(&app.app).await.unwrap();
    let begun = until(&app, &mut notifier, || quick.count() == 6 && slow.under_way().0 == 4).await;
    assert_eq!((begun, slow.count()), (10, 4), "four at a time");
    slow.is_answering(true);
    until(&app, &mut notifier, || slow.count() == 6).await;
    notifier.finish().await;
    assert_eq!(slow.under_way(), (0, 4));
    assert_eq!(states(&app).await, ["delivered"; 12]);
});

db_test!(single_ends_come_before_those_of_very_many, |db| async move {
    let (app, told) = (world(db).await, Told::start().await);
    let (alice, _) = (app.user("alice").await, app.user("bob").await);
    let wiki = told_app(&app, "wiki", &told, json!({})).await;
    for _ in 0..9 {
        opened(&wiki, "alice").await;
    }
    let single = opened(&wiki, "bob").await;
    app.record_ends_of(alice.id.0, 100).await;
    app.move_pending().await;
    end(&app, &single).await;
    assert_eq!(run(&app).await, 4);
    let first = told.sent();
    let mut sids = Vec::new();
    for form in &first {
        sids.push(claims(&wiki, form).await["sid"].as_str().unwrap().to_owned());
    }
    assert!(sids.contains(&single), "{sids:?}");
    assert_eq!((run(&app).await, run(&app).await), (4, 2));
});

db_test!(an_app_gets_a_hundred_in_a_second_at_most, |db| async move {
    let (app, told) = (world(db).await, Told::start().await);
    app.user("alice").await;
    let wiki = told_app(&app, "wiki", &told, json!({})).await;
    end(&app, &opened(&wiki, "alice").await).await;
    let more = "INSERT INTO logout_notices (uuid, application_id, slug, client_id, uri, algorithm, names, user_id, sub, session_uuid, \
        is_bulk, owed_at) SELECT UUID, application_id, slug, client_id, uri, algorithm, 'sid', user_id, sub, session_uuid, is_bulk, owed_at \
        FROM logout_notices, (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 109) SELECT i FROM n) AS many";
    let uuid = if app.db.is_sqlite() { "randomblob(16)" } else { "gen_random_uuid()" };
    app.db.run(&more.replace("UUID", uuid)).await;
    let mut notifier = Notifier::new(&app.app).await.unwrap();
    let mut sent = 0;
    loop {
        let begun = notifier.begin(&app.app, By::System).await.unwrap();
        notifier.finish().await;
        if begun == 0 {
            break;
        }
        sent += begun;
    }
    assert_eq!(sent, 100, "the clock does not move");
    app.advance(Duration::from_secs(1));
    assert_eq!((run(&app).await, told.count()), (4, 104));
});
