//! Ends at an authentik that were asked for here: one by one, with every outcome.

use std::time::Duration;

use rollcall::domain::source::{AskedState, CopyState};
use rollcall::domain::{Permission, SessionId};

use serde_json::json;

use super::Watch;
use super::authentik::{EndFault, Fault, Session};
use crate::process::eventually;
use crate::support::{SESSIONS, TestDb};

/// A copy of some sessions.
async fn copied(db: TestDb, count: usize) -> (Watch, Vec<SessionId>) {
    let mut watch = Watch::new(db).await;
    let uuids = watch.begin(count);
    watch.poll().await.unwrap();
    (watch, uuids)
}

fn url(uuid: SessionId) -> String {
    format!("{SESSIONS}{uuid}/")
}

fn is_alive(watch: &Watch, uuid: SessionId) -> bool {
    watch.authentik.world().sessions.contains_key(&uuid)
}

db_test!(a_session_ends_at_authentik_and_in_the_copy, |db| async move {
    let (mut watch, uuids) = copied(db, 5).await;
    let admin = watch.rollcall.admin_token().await;
    watch.authentik.world().log.clear();
    admin.delete(&url(uuids[2])).await.assert_status(204);
    let methods: Vec<String> = watch.authentik.world().log.iter().map(|(method, _, _)| method.clone()).collect();
    assert_eq!(methods, ["GET", "DELETE", "GET"], "it is read afresh, ended, and read back");
    assert!(!is_alive(&watch, uuids[2]));
    watch.assert_whole().await;
    assert_eq!(watch.rollcall.ending(&uuids[2].to_string()).await, Some(("revoked".into(), "the admin".into())));
    let events = watch.rollcall.latest("source_session_ended").await;
    assert_eq!((events.len(), events[0].session), (1, Some(uuids[2])));
    assert_eq!(events[0].text(), "the admin ended a session of user-4 at authentik");
    assert_eq!((events[0].user_id, watch.asked(uuids[2]).await), (None, Some(AskedState::Ended)));
    watch.rollcall.assert_counts().await;
    admin.delete(&url(uuids[2])).await.assert_status(404);
    watch.rollcall.advance(Duration::from_secs(5));
    watch.poll().await.unwrap();
    assert_eq!(watch.history().await.len(), 1, "it ended once");
    // One of Rollcall's own ends as ever.
    let own = watch.rollcall.user("alice").await.session().await;
    admin.delete(&own.url()).await.assert_status(204);
});

db_test!(hostile_uuids_and_names_reach_no_other_address, |db| async move {
    let (mut watch, uuids) = copied(db, 14).await;
    let name = "../../core/users/2/?a&user_pks=3#\r\nx: y";
    watch.authentik.world().users.insert(2, name.to_owned());
    watch.rollcall.advance(Duration::from_secs(601));
    watch.poll().await.unwrap();
    let admin = watch.rollcall.admin_token().await;
    let one = uuids[3];
    for path in [
        "..%2F..%2Fusers%2F1".to_owned(),
        format!("{one}%2F..%2F..%2Fusers%2F1"),
        format!("{one}%3Fuser_pks=3"),
        format!("{one}%0D%0AX-A:b"),
        "%00".to_owned(),
        "bulk_delete".to_owned(),
    ] {
        let answer = admin.delete(&format!("{SESSIONS}{path}/")).await;
        assert!(answer.status < 500, "{path}: {}", answer.status);
    }
    let ends = || {
        let world = watch.authentik.world();
        world.log.iter().filter(|(method, _, _)| method != "GET").map(|(_, target, _)| target.clone()).collect::<Vec<_>>()
    };
    assert_eq!(ends(), [""; 0]);
    // By the name as it is shown: what cannot be seen is replaced.
    let shown = name.replace(['\r', '\n'], "\u{fffd}");
    let what = json!({"source": "authentik", "user__username": shown, "expected_count": 2});
    admin.post_json(&format!("{SESSIONS}revoke/"), &what).await.assert_status(202);
    eventually("the end", || async { (!is_alive(&watch, uuids[0])).then_some(()) }).await;
    assert_eq!(ends(), ["/api/v3/core/authenticated_sessions/bulk_delete/?user_pks=2"]);
    assert_eq!(watch.authentik.world().sessions.len(), 12);
});

db_test!(who_may_end_all_sessions_may_end_authentiks, |db| async move {
    let (watch, uuids) = copied(db, 5).await;
    let app = &watch.rollcall;
    let viewer = app.user_who_may("viewer", &[Permission::ViewSessions]).await.token().await;
    let both = app.user_who_may("both", &[Permission::ViewSessions, Permission::DeleteSessions]).await.token().await;
    let deleter = app.user_who_may("deleter", &[Permission::DeleteSessions]).await.token().await;
    let (auditor, other) = (app.auditor("auditor").await.token().await, app.user("other").await.token().await);
    watch.authentik.world().log.clear();
    for (caller, status) in [(&viewer, 403), (&auditor, 403), (&deleter, 404), (&other, 404), (&app.anonymous(), 403)] {
        caller.delete(&url(uuids[0])).await.assert_status(status);
    }
    assert_eq!(watch.authentik.world().log.len(), 0, "authentik hears nothing of it");
    both.delete(&url(uuids[0])).await.assert_status(204);
});

db_test!(what_authentik_refuses_is_said_and_ends_nothing, |db| async move {
    let (mut watch, uuids) = copied(db, 5).await;
    let admin = watch.rollcall.admin_token().await;
    for (fault, end_fault, status, words) in [
        (Fault::None, EndFault::Denied, 403, "authentik_core.delete_authenticatedsession"),
        (Fault::Cut, EndFault::None, 503, "cannot be reached"),
        (Fault::Status(502), EndFault::None, 503, "the status 502"),
        (Fault::Redirect, EndFault::None, 503, "redirects are refused"),
        (Fault::Incomplete, EndFault::None, 503, "cannot be read"),
        (Fault::None, EndFault::FailsBefore(405), 503, "the status 405"),
        (Fault::None, EndFault::FailsBefore(429), 503, "the status 429"),
    ] {
        (watch.authentik.world().fault, watch.authentik.world().end_fault) = (fault, end_fault);
        let answer = admin.delete(&url(uuids[0])).await.assert_status(status);
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(words) && detail.ends_with("Nothing was ended."), "{fault:?} {end_fault:?}: {detail}");
        assert_eq!(watch.asked(uuids[0]).await, None, "nothing is queued");
    }
    (watch.authentik.world().fault, watch.authentik.world().end_fault) = (Fault::None, EndFault::None);
    watch.authentik.world().takes_token = false;
    assert!(admin.delete(&url(uuids[0])).await.assert_status(503).text().contains("refuses the token"));
    watch.authentik.world().takes_token = true;
    assert!(is_alive(&watch, uuids[0]));
    watch.poll().await.unwrap();
    assert_eq!(watch.history().await, []);
    assert_eq!(watch.rollcall.latest("source_end_failed").await.len(), 0);
});

db_test!(a_copy_in_doubt_or_older_than_a_minute_ends_nothing, |db| async move {
    let (mut watch, uuids) = copied(db, 40).await;
    let admin = watch.rollcall.admin_token().await;
    let refused = async |watch: &Watch, words: &str| {
        watch.authentik.world().log.clear();
        let answer = admin.delete(&url(uuids[0])).await.assert_status(503).text();
        assert!(answer.contains(words), "{answer}");
        assert_eq!(watch.authentik.world().log.len(), 0, "authentik hears nothing of it");
    };
    watch.rollcall.advance(Duration::from_secs(61));
    refused(&watch, "is 1m 1s old").await;
    watch.poll().await.unwrap();
    let hidden: Vec<(SessionId, Session)> = {
        let mut world = watch.authentik.world();
        uuids[5..].iter().map(|uuid| (*uuid, world.sessions.remove(uuid).unwrap())).collect()
    };
    assert!(watch.poll().await.is_err());
    assert_eq!(watch.state().await, CopyState::InDoubt);
    refused(&watch, "in doubt").await;
    watch.authentik.world().sessions.extend(hidden);
    watch.authentik.world().is_superuser = true;
    assert!(watch.poll().await.is_err());
    refused(&watch, "the token belongs to a superuser").await;
    watch.authentik.world().is_superuser = false;
    watch.poll().await.unwrap();
    admin.delete(&url(uuids[0])).await.assert_status(204);
});

db_test!(an_end_without_an_answer_is_not_known_until_authentik_says_what_became_of_it, |db| async move {
    let (mut watch, uuids) = copied(db, 12).await;
    let admin = watch.rollcall.admin_token().await;
    let cases = [
        (EndFault::CutBefore, AskedState::StillThere),
        (EndFault::CutAfter, AskedState::Ended),
        (EndFault::FailsBefore(502), AskedState::StillThere),
        (EndFault::FailsAfter(502), AskedState::Ended),
        (EndFault::FailsAfter(500), AskedState::Ended),
        (EndFault::Lies, AskedState::StillThere),
    ];
    for (uuid, (fault, outcome)) in uuids.iter().zip(cases) {
        watch.poll().await.unwrap();
        watch.authentik.world().end_fault = fault;
        let answer = admin.delete(&url(*uuid)).await.assert_status(503).text();
        assert!(answer.contains("it is not known") || answer.contains("It is not known"), "{fault:?}: {answer}");
        assert_eq!(watch.asked(*uuid).await, Some(AskedState::Unknown), "{fault:?}");
        admin.delete(&url(*uuid)).await.assert_status(if is_alive(&watch, *uuid) { 503 } else { 404 });
        // authentik is away for a while, and Rollcall restarts.
        watch.authentik.world().fault = Fault::Cut;
        assert!(watch.poll().await.is_err());
        watch.poller.release(&watch.rollcall.app, rollcall::actions::by::By::System).await.unwrap();
        watch.poller = rollcall::actions::watch::poller::Poller::default();
        watch.authentik.world().fault = Fault::None;
        watch.rollcall.advance(Duration::from_secs(31));
        watch.poll().await.unwrap();
        assert_eq!(watch.asked(*uuid).await, Some(outcome), "{fault:?}");
        assert_eq!(is_alive(&watch, *uuid), outcome == AskedState::StillThere, "{fault:?}");
        let ending = watch.rollcall.ending(&uuid.to_string()).await;
        assert_eq!(ending.is_some_and(|ending| ending == ("revoked".into(), "the admin".into())), outcome == AskedState::Ended);
        watch.assert_whole().await;
    }
    assert_eq!(watch.rollcall.latest("source_session_ended").await.len(), 3);
    assert_eq!(watch.rollcall.latest("source_end_failed").await.len(), 3);
    watch.authentik.world().end_fault = EndFault::None;
    admin.delete(&url(uuids[0])).await.assert_status(204);
    watch.rollcall.advance(Duration::from_secs(90_000));
    let now = watch.now();
    let forgotten = watch.app().store.write(move |db| Box::pin(async move { db.delete_old_asked_ends(now).await })).await;
    forgotten.unwrap();
    assert_eq!(watch.asked(uuids[0]).await, None);
});

db_test!(an_error_of_authentik_itself_is_looked_into_at_once, |db| async move {
    let (watch, uuids) = copied(db, 5).await;
    let admin = watch.rollcall.admin_token().await;
    watch.authentik.world().end_fault = EndFault::FailsBefore(500);
    let answer = admin.delete(&url(uuids[1])).await.assert_status(503).text();
    assert!(answer.contains("The session is still there") && answer.contains("Nothing was ended"), "{answer}");
    assert_eq!(watch.asked(uuids[1]).await, Some(AskedState::StillThere));
    let events = watch.rollcall.latest("source_end_failed").await;
    assert!(events[0].text().contains("wanted to end a session of user-3 at authentik, and it is still there"));
});

db_test!(versions_that_go_on_to_accept_ended_sessions_get_no_promise, |db| async move {
    let mut watch = Watch::new(db).await;
    watch.authentik.world().version = "2025.2.1";
    let uuids = watch.begin(4);
    watch.poll().await.unwrap();
    let admin = watch.rollcall.admin_token().await;
    let answer = admin.delete(&url(uuids[0])).await.assert_status(202);
    assert!(answer.json()["detail"].as_str().unwrap().contains("CVE-2025-29928"));
    assert!(!is_alive(&watch, uuids[0]));
    assert_eq!(watch.rollcall.ending(&uuids[0].to_string()).await.unwrap().0, "revoked");
});

db_test!(a_token_that_ends_too_much_is_stopped_at_authentik_as_here, |db| async move {
    let (watch, uuids) = copied(db, 140).await;
    let admin = watch.rollcall.admin_token().await;
    let mut refused = 0;
    for uuid in &uuids {
        let status = admin.delete(&url(*uuid)).await.status;
        assert!(status == 204 || status == 429, "{status}");
        refused += usize::from(status == 429);
    }
    assert!(refused > 20, "{refused} of 140 sessions of seven users");
    assert_eq!(watch.rollcall.count_events("ends_refused").await, 1);
    assert_eq!(watch.authentik.world().sessions.len(), refused);
});

db_test!(two_ends_of_one_session_at_once_are_one, |db| async move {
    let (watch, uuids) = copied(db, 5).await;
    watch.authentik.world().slow_ends = Duration::from_millis(40);
    let (first, second) = tokio::join!(watch.end(uuids[0]), watch.end(uuids[0]));
    assert!(first.is_ok() || second.is_ok());
    assert_eq!(watch.history().await, [(uuids[0], "revoked".to_owned())]);
    let ends = watch.authentik.world().log.iter().filter(|(method, _, _)| method == "DELETE").count();
    assert!(ends <= 2, "{ends}");
    assert_eq!(watch.rollcall.latest("source_session_ended").await.len(), 1);
});

db_test!(the_page_says_what_an_end_does_not_reach, |db| async move {
    let (watch, uuids) = copied(db, 5).await;
    let root = watch.rollcall.superuser_with_password("root").await.sign_in().await;
    let path = format!("/watch/sessions/{}/end", uuids[1]);
    let asked = root.get(&path).await.assert_status(200);
    let text = asked.text();
    for words in ["authentik will end this session.", "refresh tokens", "user-3", "192.0.2.3", &uuids[1].to_string()] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(is_alive(&watch, uuids[1]), "the page ends nothing");
    watch.authentik.world().end_fault = EndFault::Denied;
    let proof = asked.proof();
    let denied = root.post_form(&path, &[("proof", &proof), ("comment", "left on a train")]).await.assert_status(503).text();
    assert!(denied.contains("authentik_core.delete_authenticatedsession") && denied.contains("left on a train"), "{denied}");
    watch.authentik.world().end_fault = EndFault::CutAfter;
    let cut = root.post_form(&path, &[("proof", &proof), ("comment", "left on a train")]).await.assert_status(503).text();
    assert!(cut.contains("It is not known whether authentik ended it"), "{cut}");
    watch.authentik.world().end_fault = EndFault::None;
    let other = format!("/watch/sessions/{}/end", uuids[2]);
    let sent = root.post_form(&other, &[("proof", &proof), ("comment", "left on a train")]).await;
    assert_eq!(sent.redirects_to(), other);
    let done = root.get(&other).await.assert_status(200).text();
    assert!(done.contains("authentik ended this session") && done.contains("left on a train"), "{done}");
    let history = watch.app().store.read().find_ended_session(uuids[2]).await.unwrap().unwrap();
    assert_eq!((history.reason.as_str(), history.comment.as_str()), ("revoked", "left on a train"));
    let alice = watch.rollcall.user_with_password("alice").await.sign_in().await;
    alice.get(&path).await.assert_status(403);
});
