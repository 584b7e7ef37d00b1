//! Counts are kept with what they count, whatever happens in which order.

use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use rollcall::actions::sessions::end;
use serde_json::json;

use crate::support::app::Browser;
use crate::support::{SESSIONS, TestApp, geoip, seed};

#[derive(Clone, Debug)]
enum Step {
    SignIn(usize, usize, usize),
    Use(prop::sample::Index, usize),
    End(prop::sample::Index),
    Bulk(usize),
    Revoke(usize, i64),
    Move,
    Wait(u64),
    Flush,
    Sweep,
    Import(u32, usize),
}

const ADDRESSES: [&str; 4] = ["198.51.100.7", "203.0.113.9", "::1", "10.0.0.1"];
const AGENTS: [&str; 3] = ["", "curl/8", "Firefox/131"];

fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        4 => (0..3_usize, 0..4_usize, 0..3_usize).prop_map(|(user, ip, agent)| Step::SignIn(user, ip, agent)),
        4 => (index(), 0..4_usize).prop_map(|(which, ip)| Step::Use(which, ip)),
        2 => index().prop_map(Step::End),
        1 => (0..3_usize).prop_map(Step::Bulk),
        1 => (0..3_usize, 1..4_i64).prop_map(|(user, limit)| Step::Revoke(user, limit)),
        1 => Just(Step::Move),
        2 => (1..3000_u64).prop_map(Step::Wait),
        2 => Just(Step::Flush),
        1 => Just(Step::Sweep),
        1 => (1..5_u32, 0..4_usize).prop_map(|(count, ip)| Step::Import(count, ip)),
    ]
}

db_test!(they_equal_the_rows_after_any_mix_of_steps, |db| async move {
    let (city, asn) = (db.dir.path().join("city.mmdb"), db.dir.path().join("asn.mmdb"));
    geoip::write_city(&city, &[("198.51.100.0/24", "EU", "DE", "Berlin"), ("203.0.113.0/24", "AS", "JP", "")]);
    geoip::write_asn(&asn, &[("198.51.100.0/24", 64500, "A"), ("10.0.0.0/8", 64501, "")]);
    let (city, asn) = (city.display().to_string(), asn.display().to_string());
    let settings = [
        ("GEOIP__CITY", city.as_str()),
        ("GEOIP__ASN", &asn),
        ("SESSIONS__IDLE_TIMEOUT", "1h"),
        ("HTTP__TRUSTED_PROXIES", "127.0.0.1"),
    ];
    let app = TestApp::with(db, &settings).await;
    let admin = app.admin_token().await;
    let users = [app.user("a").await, app.user("b").await, app.user("c").await];
    let mut runner = TestRunner::deterministic();
    let steps = prop::collection::vec(step(), 150).new_tree(&mut runner).unwrap().current();
    let (mut browsers, mut imported): (Vec<Browser>, u32) = (Vec::new(), 0);
    for step in &steps {
        match step {
            Step::SignIn(user, ip, agent) => browsers.push(users[*user].session_on(ADDRESSES[*ip], AGENTS[*agent]).await),
            Step::Use(which, ip) if !browsers.is_empty() => {
                drop(which.get(&browsers).with_header("x-forwarded-for", ADDRESSES[*ip]).get(SESSIONS).await);
            }
            Step::End(which) if !browsers.is_empty() => drop(admin.delete(&which.get(&browsers).url()).await),
            Step::Bulk(user) => {
                drop(admin.delete(&format!("{SESSIONS}bulk_delete/?user_pks={}", users[*user].id.0)).await.assert_status(200))
            }
            Step::Revoke(user, limit) => drop(app.record_ends_of(users[*user].id.0, *limit).await),
            Step::Move => app.move_pending().await,
            Step::Wait(seconds) => app.advance(Duration::from_secs(*seconds)),
            Step::Flush => app.app.touches.flush(&app.app).await.unwrap(),
            Step::Sweep => drop(end::sweep(&app.app, rollcall::actions::by::By::System, app.app.clock.now()).await.unwrap()),
            Step::Import(count, ip) => {
                let lines: Vec<_> = (imported..imported + count)
                    .map(|n| seed::session(n, users[0].id.0, json!({"last_ip": ADDRESSES[*ip]})))
                    .collect();
                imported += count;
                app.import(&lines).await;
            }
            Step::Use(..) | Step::End(_) => {}
        }
        app.assert_counts().await;
    }
    // The counts that the list shows are these.
    let rows = app.number("SELECT count(*) FROM sessions").await;
    assert_eq!(admin.get(SESSIONS).await.count(), rows);
    for (query, sql) in [
        ("country=DE", "SELECT count(*) FROM sessions WHERE country = 'DE'"),
        ("asn=64501", "SELECT count(*) FROM sessions WHERE asn = 64501"),
        ("user__username=a", "SELECT count(*) FROM sessions s JOIN users u ON u.id = s.user_id WHERE u.username = 'a'"),
    ] {
        assert_eq!(admin.get(&format!("{SESSIONS}?{query}")).await.count(), app.number(sql).await, "{query}");
    }
});

db_test!(many_at_once_lose_none, |db| async move {
    let app = TestApp::new(db).await;
    let mut lines = vec![seed::user(1, "alice"), seed::user(2, "bob")];
    lines.extend((0..60).map(|n| seed::session(n, i64::from(n % 2) + 1, json!({}))));
    app.import(&lines).await;
    let admin = app.admin_token().await;
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..40_u32 {
        // Each is ended by two callers, while all of one user's are ended in bulk.
        let (caller, url) = (admin.clone(), format!("{SESSIONS}{}/", seed::uuid(n / 2)));
        calls.spawn(async move { caller.delete(&url).await.status });
        if n % 10 == 0 {
            let caller = admin.clone();
            calls.spawn(async move { caller.delete(&format!("{SESSIONS}bulk_delete/?user_pks=2")).await.status });
        }
    }
    let statuses = calls.join_all().await;
    assert!(statuses.iter().all(|status| matches!(status, 200 | 204 | 404)), "{statuses:?}");
    assert_eq!(app.number("SELECT count(*) FROM sessions").await, 20);
    assert_eq!(app.number("SELECT count(*) FROM ended_sessions").await, 40, "each ended once");
    assert_eq!(app.count_events("session_revoked").await, 40);
    app.assert_counts().await;
});
