//! Alerts about an authentik, and the reasons that its event log gives.

use std::time::Duration;

use rollcall::actions::by::By;
use rollcall::actions::sessions::end_job::EndTarget;
use rollcall::actions::watch::many::{self, ManyEnds};
use rollcall::domain::event::{EventContent, SourceAlert};
use rollcall::domain::listing::SessionFilter;
use rollcall::domain::source::Origin;
use rollcall::domain::{Permission, SessionId};

use serde_json::json;

use super::authentik::{Fault, SignIn};
use super::{Session, Watch, session};
use crate::support::{SESSIONS, geoip};
use crate::ui::markup::mistakes;

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
    watch.authentik.world().begin(uuid, Session { ip: ip.to_owned(), ..session(user, now) });
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

db_test!(sessions_of_a_user_too_far_apart_are_told, |db| async move {
    let city = db.dir.path().join("city.mmdb");
    let (berlin, tokyo, potsdam) = ("198.51.100.7", "203.0.113.7", "192.0.2.77");
    geoip::write_places(
        &city,
        &[
            ("198.51.100.0/24", ["EU", "DE", "Berlin"], [52.5, 13.4]),
            ("203.0.113.0/24", ["AS", "JP", "Tokyo"], [35.7, 139.7]),
            ("192.0.2.77/32", ["EU", "DE", "Potsdam"], [52.4, 13.1]),
        ],
    );
    let mut watch = Watch::with(db, &[("GEOIP__CITY", &city.display().to_string())]).await;
    watch.begin(14);
    let first = begin_from(&watch, 50, berlin);
    begin_from(&watch, 51, berlin);
    watch.poll().await.unwrap();
    watch.rollcall.advance(Duration::from_secs(3600));
    begin_from(&watch, 50, potsdam);
    watch.poll().await.unwrap();
    assert_eq!(alerts(&watch).await, [], "it is near");
    // A session that was there before comes from elsewhere, and another user's begins there after half a day.
    let now = watch.now();
    {
        let mut world = watch.authentik.world();
        let session = world.sessions.get_mut(&first).unwrap();
        (session.ip, session.last_used) = (tokyo.to_owned(), now);
    }
    watch.poll().await.unwrap();
    watch.rollcall.advance(Duration::from_secs(43_200));
    begin_from(&watch, 51, tokyo);
    watch.poll().await.unwrap();
    let told: Vec<(SourceAlert, String)> = alerts(&watch).await.into_iter().map(|alert| (alert.0, alert.2)).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    let (which, text) = &told[0];
    assert_eq!(*which, SourceAlert::TooFar);
    assert!(text.starts_with("user-50 has sessions at authentik too far apart: ") && text.contains("Tokyo, Japan, "), "{text}");
    assert_eq!(told[1], (SourceAlert::NewCountry, "user-51 has a session at authentik from a new country: Japan".to_owned()));
});

db_test!(a_new_device_of_a_superuser_is_told, |db| async move {
    const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    const NEWER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:141.0) Gecko/20100101 Firefox/141.0";
    const SAFARI: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 \
        Safari/605.1.15";
    let mut watch = Watch::new(db).await;
    watch.begin(14);
    watch.authentik.world().superusers.insert(60);
    let begin = |watch: &Watch, user: i64, agent: &str| {
        let now = watch.now();
        let session = Session { agent: agent.to_owned(), ..session(user, now) };
        watch.authentik.world().begin(SessionId::generate(now).unwrap(), session);
    };
    for user in [60, 61] {
        begin(&watch, user, FIREFOX);
    }
    watch.poll().await.unwrap();
    for agent in [NEWER, SAFARI, SAFARI] {
        watch.rollcall.advance(Duration::from_secs(5));
        for user in [60, 61] {
            begin(&watch, user, agent);
        }
        watch.poll().await.unwrap();
    }
    let told: Vec<(SourceAlert, String)> = alerts(&watch).await.into_iter().map(|alert| (alert.0, alert.2)).collect();
    let text = "user-60, a superuser at authentik, has a session there on a new device: Safari on Mac OS X".to_owned();
    assert_eq!(told, [(SourceAlert::NewDevice, text)]);
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
            watch.poller.alert_of_age(&watch.rollcall.app, By::System, most).await.unwrap();
        }
        let told = alerts(&watch).await;
        assert_eq!((told.len(), told[0].0), (round, SourceAlert::OldCopy), "{told:?}");
        watch.authentik.world().fault = Fault::None;
        watch.poll().await.unwrap();
    }
});

db_test!(administrators_and_auditors_see_the_alerts_and_the_ends_of_many, |db| async move {
    let mut watch = Watch::with(db, &[("AUTHENTIK__ALERT_SESSIONS", "3"), ("AUTHENTIK__ENDS_PER_SECOND", "1000")]).await;
    let root = watch.rollcall.superuser("root").await.session().await;
    root.get("/watch").await.assert_status(404);
    watch.begin(30);
    watch.authentik.world().users.insert(40, "\"><script>alert(1)</script>".to_owned());
    watch.poll().await.unwrap();
    for _ in 0..4 {
        begin_from(&watch, 40, "192.0.2.7");
    }
    watch.rollcall.advance(Duration::from_secs(5));
    watch.poll().await.unwrap();
    let which = EndTarget::Matching(Box::new(SessionFilter {
        source: Some(Origin::Authentik),
        username: Some("user-3".into()),
        ..SessionFilter::default()
    }));
    let what = ManyEnds { which, expected: None, comment: "<b>gone</b>".into() };
    let name = many::begin(watch.app(), By::Cli, what).await.unwrap();
    let auditor = watch.rollcall.auditor("auditor").await.session().await;
    for caller in [&root, &auditor] {
        let page = caller.get("/watch").await.assert_status(200).text();
        assert_eq!(mistakes(&page), <[&str; 0]>::default());
        assert!(page.contains("has many sessions at authentik: 4 sessions"), "{page}");
        assert!(!page.contains("<script>alert") && page.contains(&format!("/watch/ends/{name}")), "{page}");
        let job = caller.get(&format!("/watch/ends/{name}")).await.assert_status(200).text();
        assert!(!job.contains("<b>gone") && mistakes(&job).is_empty(), "{job}");
    }
    let list = root.get("/sessions/all?q=source:authentik").await.assert_status(200).text();
    assert!(list.contains("href=\"/watch\""), "{list}");
    let clerk = watch.rollcall.user_who_may("clerk", &[Permission::ViewSessions]).await.session().await;
    clerk.get("/watch").await.assert_status(403);
    let list = clerk.get("/sessions/all?q=source:authentik").await.assert_status(200).text();
    assert!(!list.contains("href=\"/watch\""), "{list}");
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

db_test!(a_session_that_a_sign_in_fits_shows_when_and_how, |db| async move {
    let mut watch = Watch::new(db).await;
    let old = watch.begin(10)[0];
    watch.poll().await.unwrap();
    let began = watch.now();
    watch.rollcall.advance(Duration::from_secs(5));
    let fitting: Vec<SessionId> = [3, 4, 5, 6].map(|user| begin_from(&watch, user, "192.0.2.7")).into();
    {
        let mut world = watch.authentik.world();
        for (user, method, is_known_device) in
            [(3, "password", Some(true)), (4, "auth_mfa", Some(false)), (5, "auth_webauthn_pwl", None), (6, "password", None)]
        {
            let sign_in =
                SignIn { user, ip: "192.0.2.7", agent: format!("Browser/{}", user % 5), at: began, method, is_known_device };
            world.sign_ins.push(sign_in.clone());
            if user == 6 {
                world.sign_ins.push(sign_in);
            }
        }
        // One that was long before is of another session.
        let (ip, agent) = ("192.0.2.2", "Browser/2".to_owned());
        world.sign_ins.push(SignIn { user: 2, ip, agent, at: began, method: "password", is_known_device: None });
    }
    watch.poll().await.unwrap();
    let copy = watch.copy().await;
    let known = |uuid: SessionId| copy[&uuid].sign_in.as_ref().map(|it| (it.at, it.method.clone(), it.is_known_device));
    assert_eq!(known(fitting[0]), Some((began, "password".into(), Some(true))));
    assert_eq!(known(fitting[1]), Some((began, "auth_mfa".into(), Some(false))));
    assert_eq!(known(fitting[2]), Some((began, "auth_webauthn_pwl".into(), None)));
    assert_eq!((known(fitting[3]), known(old)), (None, None), "two sign-ins for one session; a session that was there before");
    let admin = watch.rollcall.admin_token().await;
    let details = admin.get(&format!("{SESSIONS}{}/details/", fitting[1])).await.assert_status(200).json();
    assert_eq!((&details["created"], &details["methods"]), (&json!(began), &json!(["pwd", "mfa"])));
    assert_eq!(details["known_device"], json!(false));
    for (method, of) in [("pwd", &fitting[..2]), ("mfa", &fitting[1..2]), ("otp", &fitting[..0])] {
        let page = admin.get(&format!("{SESSIONS}?source=authentik&methods={method}")).await.assert_status(200).json();
        let mut found: Vec<String> =
            page["results"].as_array().unwrap().iter().map(|row| row["uuid"].as_str().unwrap().into()).collect();
        let mut expected: Vec<String> = of.iter().map(ToString::to_string).collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{method}");
    }
    let root = watch.rollcall.superuser("root").await.session().await;
    let page = root.get(&format!("/sessions/{}", fitting[0])).await.assert_status(200).text();
    assert!(page.contains(" with password, on a known device") && mistakes(&page).is_empty(), "{page}");
    let page = root.get(&format!("/sessions/{old}")).await.assert_status(200).text();
    assert!(page.contains("nor when or how somebody signed in"), "{page}");
    // Uses do not change it, and the history keeps it.
    watch.rollcall.advance(Duration::from_secs(5));
    watch.authentik.world().sessions.get_mut(&fitting[0]).unwrap().last_used = watch.now();
    watch.poll().await.unwrap();
    watch.assert_whole().await;
    watch.end(fitting[0]).await.unwrap();
    let ended = watch.app().store.read().find_ended_detail(fitting[0]).await.unwrap().unwrap();
    assert_eq!((ended.sign_in.methods.to_string(), ended.sign_in.is_known_device), ("pwd".to_owned(), true));
    // Nothing is asked while no session begins, and nothing any more where the token may not read the log.
    watch.authentik.world().sees_events = false;
    for begins in [false, true, true] {
        if begins {
            begin_from(&watch, 7, "192.0.2.7");
        }
        watch.rollcall.advance(Duration::from_secs(5));
        watch.poll().await.unwrap();
    }
    let asked = watch.authentik.world().log.iter().filter(|(_, target, _)| target.contains("actions=login")).count();
    assert_eq!(asked, 2);
});
