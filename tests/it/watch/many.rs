//! Ends of many sessions at an authentik: jobs, with their rate, their stop, and what becomes of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rollcall::actions::by::By;
use rollcall::actions::people::privacy;
use rollcall::actions::sessions::end_job::EndTarget;
use rollcall::actions::sessions::end_matching::EndError;
use rollcall::actions::watch::many::{self, JobView, ManyEnds};
use rollcall::domain::listing::SessionFilter;
use rollcall::domain::source::{JobState, Origin};
use rollcall::domain::{Permission, SessionId};

use serde_json::json;
use tokio::sync::Semaphore;

use super::authentik::{EndFault, Fault};
use super::{Session, Watch, session};
use crate::process::eventually;
use crate::support::{SESSIONS, TestDb};
use crate::ui::markup::mistakes;

async fn copied(db: TestDb, count: usize, per_second: &str) -> (Watch, Vec<SessionId>) {
    let mut watch = Watch::with(db, &[("AUTHENTIK__ENDS_PER_SECOND", per_second)]).await;
    let uuids = watch.begin(count);
    watch.poll().await.unwrap();
    watch.authentik.world().log.clear();
    (watch, uuids)
}

fn everyone() -> SessionFilter {
    SessionFilter { source: Some(Origin::Authentik), ..SessionFilter::default() }
}

fn of_user(name: &str) -> SessionFilter {
    SessionFilter { username: Some(name.to_owned()), ..everyone() }
}

async fn begin(watch: &Watch, filter: SessionFilter, expected: Option<u64>) -> Result<String, EndError> {
    let what = ManyEnds { which: EndTarget::Matching(Box::new(filter)), expected, comment: "an incident".into() };
    many::begin(watch.app(), By::Cli, what).await
}

async fn through(watch: &Watch, name: &str) -> JobView {
    eventually("the end of the job", || async {
        Some(many::find(watch.app(), By::Cli, name).await.unwrap()).filter(|view| !view.is_open())
    })
    .await
}

/// The ends that authentik was asked for: their addresses.
fn asked_for(watch: &Watch) -> Vec<String> {
    let world = watch.authentik.world();
    world.log.iter().filter(|(method, _, _)| method == "DELETE").map(|(_, target, _)| target.clone()).collect()
}

db_test!(what_matches_ends_one_by_one_and_what_began_since_stays, |db| async move {
    let (mut watch, _) = copied(db, 35, "1000").await;
    let filter = || SessionFilter { user_agent: Some("Browser/3".into()), ..everyone() };
    assert!(matches!(begin(&watch, filter(), Some(11)).await, Err(EndError::Changed(10))));
    let name = begin(&watch, filter(), Some(10)).await.unwrap();
    let new = watch.begin(2)[1];
    let view = through(&watch, &name).await;
    assert_eq!((view.job.state, view.ended, view.job.total, view.done()), (JobState::Done, 10, 10, 10));
    let targets = asked_for(&watch);
    assert!(targets.len() == 10 && targets.iter().all(|target| !target.contains("bulk_delete")), "{targets:?}");
    let world = watch.authentik.world().sessions.clone();
    assert!(world.contains_key(&new), "it began since");
    assert_eq!(world.values().filter(|session| session.agent == "Browser/3").count(), 1);
    assert!(watch.history().await.iter().all(|(_, reason)| reason == "revoked"));
    let events = watch.rollcall.latest("source_sessions_ended").await;
    assert_eq!(events[0].text(), "cli ended 10 sessions at authentik (user agent: Browser/3): an incident");
    let parts = watch.rollcall.latest("source_session_ended").await;
    assert!(parts.len() == 10 && parts.iter().all(|part| part.parent == Some(events[0].id)));
    watch.poll().await.unwrap();
    watch.assert_whole().await;
    watch.rollcall.assert_counts().await;
});

db_test!(all_sessions_of_a_user_end_by_one_request, |db| async move {
    let (mut watch, _) = copied(db, 35, "1000").await;
    let now = watch.now();
    let unseen = SessionId::generate(now).unwrap();
    watch.authentik.world().begin(unseen, session(3, now));
    let name = begin(&watch, of_user("user-3"), None).await.unwrap();
    let view = through(&watch, &name).await;
    assert_eq!((view.job.state, view.ended, view.job.is_whole_user), (JobState::Done, 5, true));
    assert_eq!(asked_for(&watch), ["/api/v3/core/authenticated_sessions/bulk_delete/?user_pks=3"]);
    assert!(watch.authentik.world().sessions.values().all(|session| session.user != 3), "all of the user's are meant");
    assert_eq!(watch.history().await.len(), 5);
    watch.poll().await.unwrap();
    watch.assert_whole().await;
});

db_test!(where_bulk_delete_fails_as_in_2026_8_0_they_end_one_by_one, |db| async move {
    let (mut watch, _) = copied(db, 35, "1000").await;
    let mut revoked = 0;
    for (user, bulk, ended, unknown) in [
        (3, EndFault::FailsBefore(500), 5, 0),
        (4, EndFault::FailsAfter(500), 0, 5),
        (5, EndFault::Denied, 0, 0),
        (6, EndFault::Lies, 5, 0),
        (7, EndFault::FailsBefore(404), 5, 0),
        (8, EndFault::CutAfter, 0, 5),
    ] {
        watch.authentik.world().bulk_fault = bulk;
        let name = begin(&watch, of_user(&format!("user-{user}")), Some(5)).await.unwrap();
        let view = through(&watch, &name).await;
        // What is gone after an error counts as ended when the poller is certain.
        assert_eq!((view.ended, view.unknown), (ended, unknown), "{bulk:?}: {view:?}");
        assert_eq!(view.job.state, if bulk == EndFault::Denied { JobState::Failed } else { JobState::Done }, "{bulk:?}");
        let names_the_right = view.job.detail.contains("authentik_core.delete_authenticatedsession");
        assert_eq!(names_the_right, bulk == EndFault::Denied, "{}", view.job.detail);
        watch.poll().await.unwrap();
        revoked += ended + unknown;
        let history = watch.history().await;
        assert!(history.iter().all(|(_, reason)| reason == "revoked"));
        assert_eq!(i64::try_from(history.len()).unwrap(), revoked, "{bulk:?}");
        watch.assert_whole().await;
    }
    let bulk: Vec<String> = asked_for(&watch).into_iter().filter(|target| target.contains("bulk_delete")).collect();
    assert!(bulk.len() == 6 && bulk.iter().all(|target| target.contains("bulk_delete/?user_pks=")), "{bulk:?}");
});

db_test!(everyones_sessions_end_only_with_their_exact_number, |db| async move {
    let (watch, _) = copied(db, 21, "1000").await;
    for wrong in [None, Some(20), Some(22)] {
        assert!(matches!(begin(&watch, everyone(), wrong).await, Err(EndError::Changed(21))));
    }
    assert_eq!(asked_for(&watch).len(), 0);
    let name = begin(&watch, everyone(), Some(21)).await.unwrap();
    let view = through(&watch, &name).await;
    assert_eq!((view.ended, watch.authentik.world().sessions.len()), (21, 0));
});

db_test!(a_job_that_is_told_to_stop_leaves_the_rest_alone, |db| async move {
    let (mut watch, _) = copied(db, 30, "5").await;
    let name = begin(&watch, everyone(), Some(30)).await.unwrap();
    eventually("some ends", || async { (asked_for(&watch).len() >= 2).then_some(()) }).await;
    many::stop(watch.app(), By::Cli, &name).await.unwrap();
    let view = through(&watch, &name).await;
    let alive = watch.authentik.world().sessions.len();
    assert_eq!((view.job.state, usize::try_from(view.ended).unwrap() + alive), (JobState::Stopped, 30));
    assert!(alive > 10, "{alive}");
    assert!(many::stop(watch.app(), By::Cli, &name).await.is_err(), "it does not go on");
    watch.poll().await.unwrap();
    watch.assert_whole().await;
});

db_test!(an_end_of_a_whole_user_hears_within_one_request_that_it_is_to_stop, |db| async move {
    let (mut watch, _) = copied(db, 70, "1000").await;
    // After the request that ends all ten, each answer waits for a permit.
    let gate = Arc::new(Semaphore::new(0));
    let shut = Arc::clone(&gate);
    watch.authentik.world().between = Some(Box::new(move |world| {
        if world.log.last().is_some_and(|(method, _, _)| method == "DELETE") {
            world.gate = Some(Arc::clone(&shut));
        }
    }));
    let name = begin(&watch, of_user("user-3"), Some(10)).await.unwrap();
    let asked = || watch.authentik.world().log.iter().skip_while(|(method, _, _)| method != "DELETE").count();
    // The first session is looked at in three requests, and the second one is begun.
    gate.add_permits(4);
    eventually("a look that is not answered", || async { (asked() == 6).then_some(()) }).await;
    many::stop(watch.app(), By::Cli, &name).await.unwrap();
    gate.add_permits(100);
    let view = through(&watch, &name).await;
    assert_eq!(asked(), 6, "no request follows the one that was under way");
    assert_eq!((view.job.state, view.ended, view.unknown), (JobState::Stopped, 1, 9), "{view:?}");
    // What became of the others is found out all the same.
    (watch.authentik.world().between, watch.authentik.world().gate) = (None, None);
    watch.poll().await.unwrap();
    watch.assert_whole().await;
    assert_eq!(watch.history().await.iter().filter(|(_, reason)| reason == "revoked").count(), 10);
    assert_eq!(many::find(watch.app(), By::Cli, &name).await.unwrap().ended, 10);
});

db_test!(a_user_of_another_instance_who_has_the_same_number_is_left_alone, |db| async move {
    let (watch, _) = copied(db, 35, "1000").await;
    let now = watch.now();
    let others: BTreeMap<SessionId, Session> = (0..4).map(|_| (SessionId::generate(now).unwrap(), session(3, now))).collect();
    watch.authentik.world().other = Some(others.clone());
    let name = begin(&watch, of_user("user-3"), Some(5)).await.unwrap();
    let view = through(&watch, &name).await;
    assert_eq!((view.job.state, view.done()), (JobState::Failed, 0), "{view:?}");
    assert!(view.job.detail.contains("in doubt"), "{}", view.job.detail);
    assert_eq!(asked_for(&watch), [""; 0]);
    assert_eq!(watch.authentik.world().other, Some(others));
});

db_test!(a_job_stops_when_authentik_is_away_and_nothing_is_queued, |db| async move {
    let (watch, _) = copied(db, 30, "1000").await;
    watch.authentik.world().between = Some(Box::new(|world| {
        if world.log.iter().filter(|(method, _, _)| method == "DELETE").count() == 4 {
            world.fault = Fault::Status(502);
        }
    }));
    let name = begin(&watch, everyone(), Some(30)).await.unwrap();
    let view = through(&watch, &name).await;
    assert_eq!((view.job.state, view.done()), (JobState::Failed, 4), "{view:?}");
    assert!(view.job.detail.contains("the status 502"), "{}", view.job.detail);
    watch.authentik.world().between = None;
    watch.authentik.world().fault = Fault::None;
    rollcall::actions::watch::job::resume(watch.app(), By::System).await.unwrap();
    assert_eq!(watch.authentik.world().sessions.len(), 26, "an end that comes later would be a surprise");
});

db_test!(a_job_does_not_take_sessions_that_it_may_not_see_for_gone, |db| async move {
    let (mut watch, uuids) = copied(db, 30, "1000").await;
    // One ended elsewhere before its turn; then the token loses its right.
    watch.authentik.world().end(uuids[29]);
    watch.authentik.world().between = Some(Box::new(|world| {
        world.sees_all &= world.log.iter().filter(|(method, _, _)| method == "DELETE").count() < 4;
    }));
    let name = begin(&watch, everyone(), Some(30)).await.unwrap();
    let view = through(&watch, &name).await;
    assert_eq!(view.job.state, JobState::Failed, "{view:?}");
    assert!(view.gone <= 1 && view.ended + view.unknown + view.gone < 8, "{view:?}");
    assert!(view.job.detail.contains("in doubt"), "{}", view.job.detail);
    watch.authentik.world().between = None;
    watch.authentik.world().sees_all = true;
    watch.rollcall.advance(Duration::from_secs(61));
    watch.poll().await.unwrap();
    watch.assert_whole().await;
    let history = watch.history().await;
    assert_eq!(history.len(), 30 - watch.authentik.world().sessions.len());
    assert!(history.iter().all(|(uuid, reason)| (reason == "gone") == (*uuid == uuids[29])), "{history:?}");
});

db_test!(the_api_and_the_page_begin_show_and_stop_it, |db| async move {
    let (watch, _) = copied(db, 35, "1000").await;
    let admin = watch.rollcall.admin_token().await;
    let revoke = format!("{SESSIONS}revoke/");
    let ask = |count: u64| json!({"source": "authentik", "user__username": "user-3", "expected_count": count, "reason": "stolen"});
    admin.post_json(&revoke, &ask(9)).await.assert_status(409);
    admin.post_json(&revoke, &json!({"source": "elsewhere", "user__username": "x", "expected_count": 0})).await.assert_status(400);
    admin.post_json(&revoke, &json!({"source": "authentik", "expected_count": 35})).await.assert_status(400);
    let viewer = watch.rollcall.user_who_may("viewer", &[Permission::ViewSessions]).await.token().await;
    viewer.post_json(&revoke, &ask(5)).await.assert_status(403);
    let other = watch.rollcall.user("other").await.token().await;
    other.post_json(&revoke, &ask(5)).await.assert_status(404);
    assert_eq!(asked_for(&watch).len(), 0);
    let begun = admin.post_json(&revoke, &ask(5)).await.assert_status(202).json();
    let view = through(&watch, begun["job"].as_str().unwrap()).await;
    assert_eq!((view.ended, view.job.actor.as_str(), view.job.comment.as_str()), (5, "the admin", "stolen"));
    let root = watch.rollcall.superuser_with_password("root").await.sign_in().await;
    let page = begun["page"].as_str().unwrap().to_owned();
    let text = root.get(&page).await.assert_status(200).text();
    assert!(text.contains("5 sessions ended at authentik") && text.contains("stolen") && text.contains("Not reached"), "{text}");
    // A running one has a button that stops it.
    let what = ManyEnds { which: EndTarget::Matching(Box::new(everyone())), expected: Some(30), comment: String::new() };
    watch.authentik.world().slow_ends = Duration::from_millis(300);
    let name = many::begin(watch.app(), By::Cli, what).await.unwrap();
    let running = root.get(&format!("/watch/ends/{name}")).await.assert_status(200);
    let stopped = root.post_form(&format!("/watch/ends/{name}/stop"), &[("proof", &running.proof())]).await;
    assert_eq!(stopped.redirects_to(), format!("/watch/ends/{name}"));
    assert_eq!(through(&watch, &name).await.job.state, JobState::Stopped);
    let alice = watch.rollcall.user_with_password("alice").await.sign_in().await;
    alice.get(&page).await.assert_status(403);
    root.get("/watch/ends/unknown").await.assert_status(404);
});

db_test!(the_page_of_sessions_ends_those_that_match_and_those_that_are_picked, |db| async move {
    let (watch, uuids) = copied(db, 35, "1000").await;
    let root = watch.rollcall.superuser_with_password("root").await.sign_in().await;
    let query = "source:authentik user:user-3";
    let asked = root.get("/sessions/all/end?scope=all&q=source:authentik+user:user-3").await.assert_status(200);
    let text = asked.text();
    assert_eq!(mistakes(&text), <[&str; 0]>::default());
    assert!(
        text.contains("End 5 sessions at authentik?") && text.contains("Not reached: tokens") && text.contains("user-3"),
        "{text}"
    );
    let form = |proof: &str, typed: &str| {
        [("proof", proof), ("q", query), ("expected", "5"), ("typed", typed), ("comment", "stolen")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    let send = |fields: Vec<(String, String)>| {
        let root = root.clone();
        async move {
            let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            root.post_form("/sessions/all/end", &fields).await
        }
    };
    send(form(&asked.proof(), "4").into()).await.assert_status(422);
    assert_eq!(asked_for(&watch).len(), 0);
    let page = send(form(&asked.proof(), "5").into()).await.redirects_to().to_owned();
    let view = through(&watch, page.strip_prefix("/watch/ends/").unwrap()).await;
    assert_eq!((view.ended, view.job.actor.as_str(), view.job.comment.as_str()), (5, "root", "stolen"));
    let shown = root.get(&page).await.assert_status(200).text();
    assert_eq!(mistakes(&shown), <[&str; 0]>::default());

    // Two that are picked. The number that was shown is not right any more, and nothing ends.
    let two = [uuids[0], uuids[2]].map(|uuid| uuid.to_string());
    let picked = root.get(&format!("/sessions/all/end?q=source:authentik&id={}&id={}", two[0], two[1])).await.assert_status(200);
    assert!(picked.text().contains("End 2 sessions at authentik?"), "{}", picked.text());
    let before = asked_for(&watch).len();
    let ids = two.join(",");
    let form = |expected: &str| {
        [
            ("proof", picked.proof().as_str()),
            ("q", "source:authentik"),
            ("ids", ids.as_str()),
            ("expected", expected),
            ("typed", expected),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    send(form("3").into()).await.assert_status(409);
    assert_eq!(asked_for(&watch).len(), before);
    let page = send(form("2").into()).await.redirects_to().to_owned();
    let view = through(&watch, page.strip_prefix("/watch/ends/").unwrap()).await;
    assert_eq!((view.ended, view.job.is_whole_user), (2, false));
    assert_eq!(watch.rollcall.latest("source_sessions_ended").await[0].text(), "root ended 2 sessions at authentik (named: 2)");
    assert!(uuids.iter().filter(|uuid| !watch.authentik.world().sessions.contains_key(uuid)).count() == 7);

    // While authentik is away, nothing is queued.
    watch.rollcall.advance(Duration::from_secs(61));
    let late = root.get("/sessions/all/end?scope=all&q=source:authentik+user:user-4").await.assert_status(200);
    let fields =
        [("proof", late.proof()), ("q", "source:authentik user:user-4".into()), ("expected", "5".into()), ("typed", "5".into())];
    let answer = send(fields.map(|(name, value)| (name.to_owned(), value)).into()).await;
    assert!(answer.status == 409 && answer.text().contains("older than a minute"), "{}", answer.text());
});

db_test!(who_is_erased_is_in_no_filter_and_other_filters_stay, |db| async move {
    let (watch, _) = copied(db, 35, "1000").await;
    for name in ["4", "user-2", "user-3"] {
        watch.rollcall.user(name).await;
    }
    let mut jobs = Vec::new();
    for filter in [
        of_user("user-3"),
        SessionFilter { search: vec!["USER-2".into()], ..everyone() },
        SessionFilter { user_agent: Some("Browser/4".into()), ..everyone() },
    ] {
        let name = begin(&watch, filter, None).await.unwrap();
        through(&watch, &name).await;
        jobs.push(name);
    }
    let filters = async || {
        let mut filters = Vec::new();
        for name in &jobs {
            filters.push(many::find(watch.app(), By::Cli, name).await.unwrap().job.filter);
        }
        filters
    };
    let all = [r#"{"username":"user-3"}"#, r#"{"search":"USER-2"}"#, r#"{"user_agent":"Browser/4"}"#];
    assert_eq!(filters().await, all);
    for (name, left) in [("4", all), ("user-3", ["{}", all[1], all[2]]), ("user-2", ["{}", "{}", all[2]])] {
        privacy::erase(watch.app(), By::Cli, name).await.unwrap();
        assert_eq!(filters().await, left, "after {name}");
    }
});
