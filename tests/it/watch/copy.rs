//! What the copy has of an authentik that is well, that fails, and that is not what it was.

use std::time::Duration;

use rollcall::actions::watch::error::PollError;
use rollcall::actions::watch::poller::Poller;
use rollcall::domain::source::CopyState;

use super::authentik::{Fault, TOKEN, is_known};
use super::{Watch, session};

db_test!(a_first_poll_copies_all_sessions_and_the_names_of_their_users, |db| async move {
    let mut watch = Watch::new(db).await;
    watch.begin(250);
    watch.poll().await.unwrap();
    watch.assert_whole().await;
    let source = watch.source().await;
    assert_eq!((source.status.state, source.status.total, source.status.version.as_str()), (CopyState::Fresh, 250, "2026.8.1"));
    assert_eq!(source.status.seen_at, watch.now());
    assert!(watch.copy().await.values().all(|row| row.username == Some(format!("user-{}", row.session.user_pk))));
    assert_eq!(watch.history().await, []);
});

db_test!(changes_are_seen_at_the_next_poll, |db| async move {
    let mut watch = Watch::new(db).await;
    let uuids = watch.begin(30);
    watch.poll().await.unwrap();
    watch.rollcall.advance(Duration::from_secs(5));
    let now = watch.now();
    {
        let mut world = watch.authentik.world();
        world.end(uuids[7]);
        let used = world.sessions.get_mut(&uuids[20]).unwrap();
        (used.last_used, used.ip) = (now, "2001:db8::7".into());
        world.sessions.get_mut(&uuids[3]).unwrap().expires = now;
        world.end(uuids[3]);
    }
    let new = watch.begin(1)[0];
    watch.poll().await.unwrap();
    watch.assert_whole().await;
    assert!(watch.copy().await.contains_key(&new));
    let mut history = watch.history().await;
    history.sort();
    let mut ended = vec![(uuids[7], "gone".to_owned()), (uuids[3], "gone".to_owned())];
    ended.sort();
    assert_eq!(history, ended, "how long it should have lived was never told");
});

db_test!(a_session_whose_time_was_over_ends_as_expired, |db| async move {
    let mut watch = Watch::new(db).await;
    let uuids = watch.begin(5);
    let expires = watch.now().plus(Duration::from_secs(3));
    watch.authentik.world().sessions.get_mut(&uuids[1]).unwrap().expires = expires;
    watch.poll().await.unwrap();
    watch.rollcall.advance(Duration::from_secs(5));
    watch.poll().await.unwrap();
    assert_eq!(watch.history().await, [], "authentik still has it");
    watch.authentik.world().end(uuids[1]);
    watch.poll().await.unwrap();
    assert_eq!(watch.history().await, [(uuids[1], "expired".to_owned())]);
});

db_test!(few_ends_of_a_large_source_are_found_without_reading_all_of_it, |db| async move {
    let mut watch = Watch::new(db).await;
    watch.poller = Poller::walking_up_to(50);
    let uuids = watch.begin(3000);
    watch.poll().await.unwrap();
    watch.rollcall.advance(Duration::from_secs(5));
    for at in [0, 1234, 2999] {
        watch.authentik.world().end(uuids[at]);
    }
    watch.authentik.world().log.clear();
    watch.poll().await.unwrap();
    watch.assert_whole().await;
    let pages = watch.authentik.world().log.iter().filter(|(_, target, _)| target.contains("ordering=uuid")).count();
    assert!(pages < 20, "{pages} of 30 pages were read");
    assert_eq!(watch.history().await.len(), 3);
});

db_test!(names_of_before_2025_4_are_found_by_the_order_alone, |db| async move {
    let mut watch = Watch::new(db).await;
    watch.authentik.world().version = "2024.12.3";
    watch.poller = Poller::walking_up_to(5);
    watch.begin(60);
    watch.poll().await.unwrap();
    watch.rollcall.advance(Duration::from_secs(5));
    let new = watch.begin(1)[0];
    watch.poll().await.unwrap();
    assert!(watch.copy().await.contains_key(&new));
    watch.assert_whole().await;
    assert!(watch.authentik.world().log.iter().any(|(_, target, _)| target.contains("ordering=-last_used&")));
});

db_test!(a_token_that_lost_its_right_ends_nothing, |db| async move {
    let mut watch = Watch::new(db).await;
    let uuids = watch.begin(60);
    watch.poll().await.unwrap();
    for few in [false, true] {
        if few {
            for uuid in &uuids[5..] {
                watch.authentik.world().end(*uuid);
            }
            for _ in 0..3 {
                watch.rollcall.advance(Duration::from_secs(61));
                let _ = watch.poll().await;
            }
            assert_eq!(watch.history().await.len(), 55);
        }
        watch.authentik.world().sees_all = false;
        for _ in 0..5 {
            watch.rollcall.advance(Duration::from_secs(61));
            assert!(matches!(watch.poll().await, Err(PollError::Doubt(_))));
        }
        assert_eq!(watch.state().await, CopyState::InDoubt);
        assert_eq!(watch.history().await.len(), if few { 55 } else { 0 });
        watch.authentik.world().sees_all = true;
        watch.poll().await.unwrap();
        watch.assert_whole().await;
    }
});

db_test!(many_ends_at_once_count_when_they_last_for_a_minute, |db| async move {
    let mut watch = Watch::new(db).await;
    let uuids = watch.begin(100);
    watch.poll().await.unwrap();
    for uuid in &uuids[..40] {
        watch.authentik.world().end(*uuid);
    }
    watch.rollcall.advance(Duration::from_secs(5));
    assert!(matches!(watch.poll().await, Err(PollError::Doubt(_))));
    assert_eq!((watch.history().await.len(), watch.copy().await.len()), (0, 100), "it may be a mistake");
    watch.rollcall.advance(Duration::from_secs(61));
    watch.poll().await.unwrap();
    watch.assert_whole().await;
    assert_eq!(watch.history().await.len(), 40);
});

db_test!(another_instance_behind_the_name_changes_nothing, |db| async move {
    let mut watch = Watch::new(db).await;
    watch.begin(12);
    watch.poll().await.unwrap();
    let copied = watch.copy().await.len();
    let other = [(rollcall::domain::SessionId::generate(watch.now()).unwrap(), session(3, watch.now()))];
    watch.authentik.world().other = Some(other.into());
    for _ in 0..3 {
        watch.rollcall.advance(Duration::from_secs(61));
        assert!(matches!(watch.poll().await, Err(PollError::Doubt(_))));
    }
    assert_eq!((watch.copy().await.len(), watch.history().await.len(), watch.state().await), (copied, 0, CopyState::InDoubt));
    watch.authentik.world().other = None;
    watch.poll().await.unwrap();
    watch.assert_whole().await;
});

db_test!(failures_leave_the_copy_and_say_what_they_are, |db| async move {
    let mut watch = Watch::new(db).await;
    watch.begin(12);
    watch.poll().await.unwrap();
    for (fault, state) in [
        (Fault::Status(500), CopyState::Away),
        (Fault::Status(503), CopyState::Away),
        (Fault::Cut, CopyState::Away),
        (Fault::HalfAnswer, CopyState::Away),
        (Fault::TooLarge, CopyState::Away),
        (Fault::Status(404), CopyState::Unreadable),
        (Fault::NothingThere, CopyState::Unreadable),
        (Fault::Redirect, CopyState::Unreadable),
        (Fault::Incomplete, CopyState::Unreadable),
    ] {
        watch.rollcall.advance(Duration::from_secs(61));
        watch.authentik.world().fault = fault;
        assert!(watch.poll().await.is_err(), "{fault:?}");
        let status = watch.source().await.status;
        assert_eq!((status.state, status.detail.is_empty()), (state, false), "{fault:?}: {}", status.detail);
        assert_eq!((watch.copy().await.len(), watch.history().await.len()), (12, 0), "{fault:?}");
    }
    watch.authentik.world().fault = Fault::None;
    watch.poll().await.unwrap();
    assert_eq!((watch.state().await, watch.source().await.status.detail.as_str()), (CopyState::Fresh, ""));
});

db_test!(a_refused_token_and_one_of_a_superuser_are_named, |db| async move {
    let mut watch = Watch::new(db).await;
    watch.begin(3);
    watch.authentik.world().takes_token = false;
    assert!(watch.poll().await.is_err());
    let status = watch.source().await.status;
    assert_eq!(status.state, CopyState::Refused);
    assert!(status.detail.contains("refuses the token") && status.detail.contains("expiring: false"), "{}", status.detail);
    (watch.authentik.world().takes_token, watch.authentik.world().is_superuser) = (true, true);
    assert!(matches!(watch.poll().await, Err(PollError::Superuser)));
    assert!(watch.source().await.status.detail.contains("authentik.allow_superuser"));
    assert_eq!(watch.copy().await.len(), 0, "nothing is read with it");
});

db_test!(one_process_polls, |db| async move {
    let mut watch = Watch::new(db).await;
    watch.begin(3);
    watch.poll().await.unwrap();
    let mut second = Poller::default();
    let by = rollcall::actions::by::By::System;
    assert!(matches!(second.poll(watch.app(), by).await, Err(PollError::NotOurs)));
    watch.rollcall.advance(Duration::from_secs(46));
    second.poll(watch.app(), by).await.unwrap();
    second.release(watch.app(), by).await.unwrap();
    Poller::default().poll(watch.app(), by).await.unwrap();
});

db_test!(every_request_is_one_of_the_pairs_and_has_no_token_but_in_its_header, |db| async move {
    let mut watch = Watch::new(db).await;
    let uuids = watch.begin(150);
    watch.poll().await.unwrap();
    for uuid in &uuids[..3] {
        watch.authentik.world().end(*uuid);
    }
    watch.poll().await.unwrap();
    watch.end(uuids[7]).await.unwrap();
    let world = watch.authentik.world();
    assert_eq!(world.strange, [""; 0], "authentik has no such parameters");
    for (method, target, head) in &world.log {
        assert!(is_known(method, target), "{method} {target}");
        assert!(!target.contains(TOKEN) && head.matches(TOKEN).count() == 1 && head.contains("host: 127.0.0.1:"), "{head}");
    }
    assert!(world.log.len() > 8);
    let ends: Vec<&String> = world.log.iter().filter(|(method, _, _)| method != "GET").map(|(_, target, _)| target).collect();
    assert_eq!(ends, [&format!("/api/v3/core/authenticated_sessions/{}/", uuids[7])], "nothing ends by itself");
});
