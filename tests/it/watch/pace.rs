//! How many ends a second authentik is asked for at most: by all jobs of all processes together.

use std::time::Duration;

use serde_json::json;

use super::Watch;
use super::commands::watching;
use crate::process::{self, Home, SESSIONS, eventually};

db_test!(ends_take_their_times_one_after_the_other, |db| async move {
    let mut watch = Watch::new(db).await;
    watch.poll().await.unwrap();
    let source = watch.source().await.id;
    let take = |ends: u64| {
        let (app, now) = (watch.app().clone(), watch.now());
        let length = Duration::from_millis(100 * ends);
        async move { app.store.write(move |db| Box::pin(async move { db.take_end_time(source, length, now).await })).await.unwrap() }
    };
    let (now, after) = (watch.now(), |millis: u64| watch.now().plus(Duration::from_millis(millis)));
    assert_eq!(take(1).await, now, "nobody was before");
    assert_eq!(take(1).await, after(100));
    assert_eq!(take(5).await, after(200), "five ends by one request");
    assert_eq!(take(1).await, after(700));
    watch.rollcall.advance(Duration::from_secs(30));
    assert_eq!(take(1).await, watch.now(), "times that were not used are lost");
    assert_eq!(take(1).await, after(100));
    // The clock was set back.
    watch.app().clock.set(now);
    assert_eq!(take(1).await, after(200 + 30_000), "thirty seconds may be another node's clock");
    watch.rollcall.advance(Duration::from_secs(3_600));
    assert_eq!(take(1).await, watch.now());
    watch.app().clock.set(now);
    assert_eq!(take(1).await, now, "an hour is a mistake, and nobody waits for it");
});

async fn numbers(home: &Home, sql: &str) -> Vec<i64> {
    home.texts(sql).await.into_iter().map(|text| text.parse().unwrap()).collect()
}

on_both!(all_jobs_of_all_processes_share_the_rate, |home| async move {
    let (home, authentik) = watching(home.with_administrator().with("ROLLCALL_AUTHENTIK__ENDS_PER_SECOND", "5")).await;
    let server = home.serve().await;
    eventually("a copy", || async { home.ok(&["watch", "status"]).contains("fresh").then_some(()) }).await;
    for (network, count) in [("192.0.2.0/30", 2), ("192.0.2.4/30", 4)] {
        let body = json!({"source": "authentik", "network": network, "expected_count": count});
        let url = format!("{}{SESSIONS}revoke/", server.origin);
        let begun = reqwest::Client::new().post(url).bearer_auth(process::TOKEN).json(&body).send().await.unwrap();
        assert_eq!(begun.status(), 202);
    }
    let done = home.run(&["session", "end", "--source", "authentik", "192.0.2.8", "--yes"]);
    assert!(done.code == 0 && done.err.contains("done: ended 1 of 1"), "{done:?}");
    let are_done = || async { home.rows(&["watch", "ends", "--json"]).iter().all(|job| job["state"] == "done") };
    eventually("the end of all jobs", || async { are_done().await.then_some(()) }).await;
    assert_eq!(authentik.world().sessions.len(), 0);
    let began = numbers(&home, "SELECT CAST(MIN(began_at) AS TEXT) FROM source_jobs").await[0];
    let sent = numbers(&home, "SELECT CAST(sent_at AS TEXT) FROM asked_ends ORDER BY sent_at").await;
    assert_eq!(sent.len(), 7);
    for (nth, at) in (0_i64..).zip(sent) {
        // A slow machine is only later; the timer may be a little early by the clock of the system.
        assert!(at - began >= nth * 200_000 - 10_000, "end {nth} was sent {} µs after the first job began", at - began);
    }
    server.stop().await;
});
