//! Alerts about an authentik, and the reasons that its event log gives.

use std::time::Duration;

use rollcall::domain::SessionId;
use rollcall::domain::event::{EventContent, SourceAlert};

use super::authentik::Fault;
use super::{Watch, session};
use crate::support::geoip;

/// The alerts so far, the oldest first: which, about which user, and the sentence.
async fn alerts(watch: &Watch) -> Vec<(SourceAlert, String, String)> {
    let mut events = watch.rollcall.latest("source_alert").await;
    events.reverse();
    let alert = |content: &EventContent| match content {
        EventContent::SourceAlert { alert, .. } => *alert,
        other => panic!("{other:?}"),
    };
    events.iter().map(|event| (alert(&event.content), event.username.clone(), event.text())).collect()
}

/// Begins a session of this user from this address.
fn begin_from(watch: &Watch, user: i64, ip: &str) -> SessionId {
    let now = watch.now();
    let uuid = SessionId::generate(now).unwrap();
    watch.authentik.world().begin(uuid, super::Session { ip: ip.to_owned(), ..session(user, now) });
    uuid
}

db_test!(many_sessions_of_a_user_and_many_at_once_are_told, |db| async move {
    let mut watch = Watch::with(db, &[("AUTHENTIK__ALERT_SESSIONS", "3")]).await;
    watch.begin(70);
    watch.poll().await.unwrap();
    assert_eq!(alerts(&watch).await, [], "in the first copy, all is new");
    for _ in 0..2 {
        watch.rollcall.advance(Duration::from_secs(5));
        for _ in 0..2 {
            begin_from(&watch, 40, "192.0.2.7");
        }
        watch.poll().await.unwrap();
    }
    let told = alerts(&watch).await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((told[0].0, told[0].2.ends_with("at authentik: 4 sessions")), (SourceAlert::ManySessions, true), "{told:?}");
    watch.rollcall.advance(Duration::from_secs(5));
    for user in 100..130 {
        begin_from(&watch, user, "192.0.2.7");
    }
    watch.poll().await.unwrap();
    let told = alerts(&watch).await;
    assert_eq!((told.len(), told[1].0, told[1].1.as_str()), (2, SourceAlert::ManyNew, ""), "{told:?}");
    assert_eq!(told[1].2, "At authentik, 30 sessions are new at once, and there were 74 before");
    watch.authentik.world().sessions.retain(|_, session| session.user > 9);
    assert!(watch.poll().await.is_err());
    watch.rollcall.advance(Duration::from_secs(5));
    assert!(watch.poll().await.is_err());
    let told = alerts(&watch).await;
    assert_eq!((told.len(), told[2].0), (3, SourceAlert::ManyGone), "told once: {told:?}");
});

db_test!(a_session_from_a_new_country_or_network_is_told, |db| async move {
    let files = ["city.mmdb", "asn.mmdb"].map(|name| db.dir.path().join(name));
    let (first, second, third) = ("198.51.100.7", "203.0.113.7", "198.51.100.200");
    geoip::write_city(&files[0], &[("198.51.100.0/24", "EU", "DE", "Berlin"), ("203.0.113.0/24", "AS", "JP", "Tokyo")]);
    geoip::write_asn(
        &files[1],
        &[("198.51.100.0/25", 64500, "One"), ("198.51.100.128/25", 64501, "Two"), ("203.0.113.0/24", 64502, "")],
    );
    let [city, asn] = files.map(|file| file.display().to_string());
    let mut watch = Watch::with(db, &[("GEOIP__CITY", &city), ("GEOIP__ASN", &asn)]).await;
    watch.begin(14);
    begin_from(&watch, 50, first);
    watch.poll().await.unwrap();
    for ip in [first, second, second, third] {
        watch.rollcall.advance(Duration::from_secs(5));
        begin_from(&watch, 50, ip);
        watch.poll().await.unwrap();
    }
    let told: Vec<(SourceAlert, String)> = alerts(&watch).await.into_iter().map(|alert| (alert.0, alert.2)).collect();
    let wanted = [
        (SourceAlert::NewCountry, "user-50 has a session at authentik from a new country: Japan".to_owned()),
        (SourceAlert::NewNetwork, "user-50 has a session at authentik from a new network: AS64501".to_owned()),
    ];
    assert_eq!(told, wanted);
});

db_test!(an_old_copy_is_told_once_until_it_is_fresh_again, |db| async move {
    let mut watch = Watch::new(db).await;
    watch.begin(5);
    watch.poll().await.unwrap();
    let most = Duration::from_secs(300);
    for round in 1..3 {
        watch.authentik.world().fault = Fault::Status(502);
        for _ in 0..4 {
            watch.rollcall.advance(Duration::from_secs(100));
            assert!(watch.poll().await.is_err());
            watch.poller.alert_of_age(&watch.rollcall.app, rollcall::actions::by::By::System, most).await.unwrap();
        }
        let told = alerts(&watch).await;
        assert_eq!((told.len(), told[0].0), (round, SourceAlert::OldCopy), "{told:?}");
        watch.authentik.world().fault = Fault::None;
        watch.poll().await.unwrap();
    }
});

db_test!(a_session_that_a_sign_out_fits_was_signed_out_of, |db| async move {
    let mut watch = Watch::new(db).await;
    let uuids = watch.begin(10);
    watch.poll().await.unwrap();
    watch.rollcall.advance(Duration::from_secs(5));
    let now = watch.now();
    {
        let mut world = watch.authentik.world();
        for at in [0, 1, 2] {
            let ended = world.sessions[&uuids[at]].clone();
            if at < 2 {
                world.sign_outs.push((ended.user, ended.ip, now));
            }
            world.end(uuids[at]);
        }
    }
    let reason = |history: Vec<(SessionId, String)>, at: usize| history.into_iter().find(|(uuid, _)| *uuid == uuids[at]).unwrap().1;
    watch.poll().await.unwrap();
    let history = watch.history().await;
    assert_eq!([0, 1, 2].map(|at| reason(history.clone(), at)), ["signed_out", "signed_out", "gone"]);
    // Where the token may not read the log, it is not asked again.
    watch.authentik.world().sees_events = false;
    for at in [3, 4] {
        watch.rollcall.advance(Duration::from_secs(5));
        watch.authentik.world().end(uuids[at]);
        watch.poll().await.unwrap();
        assert_eq!(reason(watch.history().await, at), "gone");
    }
    let asked = watch.authentik.world().log.iter().filter(|(_, target, _)| target.contains("events/events/")).count();
    assert_eq!(asked, 2);
});
