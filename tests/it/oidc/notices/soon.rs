//! How soon an app that is up is told that a session ended.

use std::time::{Duration, Instant};

use super::person::{FIRST_USER, LEASE_AND_MORE, Person, installed, sid, waiting};
use super::told::Told;
use crate::process::{Home, within};

/// How many sessions end by each door. `TOLD_ENDS` sets another number.
fn ends() -> usize {
    std::env::var("TOLD_ENDS").ok().map_or(100, |text| text.parse().expect("TOLD_ENDS is a number"))
}

/// When the app was told of a session: it is told of nothing else until then.
async fn told_at(told: &Told, session: &str) -> Instant {
    within(LEASE_AND_MORE, "that the app is told", async || {
        let sent = told.requests().pop()?;
        assert_eq!(sid(&sent.form), session);
        Some(sent.at)
    })
    .await
}

/// The value at this hundredth of all.
fn percentile(sorted: &[Duration], hundredth: usize) -> Duration {
    sorted[(sorted.len() * hundredth / 100).min(sorted.len() - 1)]
}

on_both!(an_app_that_is_up_is_told_soon, |home| async move {
    let told = Told::start().await;
    let (home, secret) = installed(home, &told);
    let server = home.serve().await;
    let person = Person::new(FIRST_USER, &server.origin, ("wiki", &secret));
    // Another session of the same user: the telephone, on whose page a lost device is signed out.
    let key = person.sign_in().await.expect("the server is there");
    let proof = person.proof(&key).await;
    for door in ["API", "page"] {
        let mut took = Vec::new();
        for _ in 0..ends() {
            let session = person.opened(&[]).await;
            let asked = Instant::now();
            let status = match door {
                "API" => person.end(&session).await,
                _ => person.end_by_page((&key, &proof), &session).await,
            };
            let status = status.expect("the server is there");
            assert!(status == 204 || status == 303, "{door}: {status}");
            took.push(told_at(&told, &session).await.saturating_duration_since(asked));
        }
        took.sort_unstable();
        let [half, most, all] = [50, 99, 100].map(|hundredth| percentile(&took, hundredth));
        let (count, kind) = (took.len(), if home.schema().is_some() { "PostgreSQL" } else { "SQLite" });
        eprintln!(
            "{kind}, ended by the {door}: {count} ends, the app was told after {half:?} (p50), {most:?} (p99), {all:?} at most"
        );
    }
    within(LEASE_AND_MORE, "that each is noted", async || (waiting(&home).await == 0).then_some(())).await;
    let all = home.texts("SELECT CAST(count(*) AS TEXT) FROM logout_notices WHERE tries = 1").await;
    assert_eq!(all, [(2 * ends()).to_string()], "each at the first try");
    assert_eq!(told.count(), 0, "and once");
});
