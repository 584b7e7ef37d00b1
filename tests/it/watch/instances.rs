//! Another authentik in the place of the one that was watched.

use std::collections::BTreeMap;
use std::time::Duration;

use rollcall::actions::by::By;
use rollcall::actions::sessions::end_job::EndTarget;
use rollcall::actions::watch::accept::{self, AcceptError};
use rollcall::actions::watch::error::PollError;
use rollcall::actions::watch::many::{self, ManyEnds};
use rollcall::actions::watch::poller::Poller;
use rollcall::domain::SessionId;
use rollcall::domain::listing::SessionFilter;
use rollcall::domain::source::{AskedState, CopyState, JobState, Origin};

use super::authentik::{EndFault, Session};
use super::commands::watching;
use super::{Watch, session};
use crate::process::{Home, eventually};
use crate::support::Caller;

/// Sessions of the user 3 at another authentik.
fn others(watch: &Watch, count: usize) -> BTreeMap<SessionId, Session> {
    let now = watch.now();
    (0..count).map(|_| (SessionId::generate(now).unwrap(), session(3, now))).collect()
}

/// How many ended sessions the API lists of the user with the number 3 at authentik.
async fn ended_of_three(admin: &Caller) -> usize {
    let answer = admin.get("/api/v3/core/ended_sessions/?source=authentik&user=3").await.assert_status(200).json();
    answer["results"].as_array().unwrap().len()
}

db_test!(an_empty_copy_becomes_that_of_another_instance_after_ten_minutes, |db| async move {
    let mut watch = Watch::new(db).await;
    let admin = watch.rollcall.admin_token().await;
    // One session of user 3 was there, and ended.
    let (first, second) = (watch.begin(2)[1], watch.begin(1)[0]);
    watch.poll().await.unwrap();
    watch.authentik.world().end(first);
    watch.rollcall.advance(Duration::from_secs(5));
    watch.poll().await.unwrap();
    assert_eq!(ended_of_three(&admin).await, 1);
    watch.authentik.world().end_fault = EndFault::None;
    for uuid in watch.copy().await.into_keys().collect::<Vec<_>>() {
        watch.end(uuid).await.unwrap();
    }
    assert!(!watch.copy().await.contains_key(&second));
    let other = others(&watch, 1);
    watch.authentik.world().other = Some(other.clone());
    for _ in 0..2 {
        watch.rollcall.advance(Duration::from_secs(400));
        assert!(matches!(watch.poll().await, Err(PollError::Doubt(_))));
        // The instance that it knows is back in between, so the ten minutes begin anew.
        watch.authentik.world().other = None;
        watch.poll().await.unwrap();
        watch.authentik.world().other = Some(other.clone());
    }
    assert_eq!((watch.copy().await.len(), watch.history().await.len()), (0, 3));
    assert!(matches!(watch.poll().await, Err(PollError::Doubt(_))));
    watch.rollcall.advance(Duration::from_secs(601));
    watch.poll().await.unwrap();
    assert!(watch.copy().await.into_keys().eq(other.into_keys()));
    assert_eq!((ended_of_three(&admin).await, watch.history().await.len()), (0, 3), "user 3 is somebody else there");
    assert!(watch.rollcall.latest("source_replaced").await[0].text().ends_with("in the place of the one before"));
});

db_test!(another_authentik_takes_the_place_when_an_operator_accepts_it, |db| async move {
    let mut watch = Watch::new(db).await;
    let admin = watch.rollcall.admin_token().await;
    let uuids = watch.begin(16);
    watch.poll().await.unwrap();
    watch.end(uuids[1]).await.unwrap();
    watch.authentik.world().end(uuids[8]);
    watch.rollcall.advance(Duration::from_secs(5));
    watch.poll().await.unwrap();
    watch.authentik.world().end_fault = EndFault::CutAfter;
    assert!(watch.end(uuids[2]).await.is_err());
    watch.authentik.world().end_fault = EndFault::None;
    let mut history = watch.history().await;
    history.sort();
    assert_eq!(ended_of_three(&admin).await, 2);

    let other = others(&watch, 3);
    watch.authentik.world().other = Some(other.clone());
    watch.rollcall.advance(Duration::from_secs(3_600));
    assert!(matches!(watch.poll().await, Err(PollError::Doubt(_))));
    let root = watch.rollcall.superuser_with_password("root").await.sign_in().await;
    let page = root.get("/watch").await.assert_status(200).text();
    assert!(page.contains("rollcall watch accept"), "{page}");
    assert_eq!((watch.state().await, watch.copy().await.len()), (CopyState::InDoubt, 14));

    let offer = accept::look(watch.app(), By::Cli).await.unwrap();
    assert_eq!((offer.copied, offer.visible, offer.owner.uid.as_str()), (14, 3, "uid-of-another-instance"));
    let forgotten = accept::accept(watch.app(), By::Cli, &offer).await.unwrap();
    assert_eq!((forgotten.sessions, forgotten.ends), (14, 1));
    assert!(matches!(accept::accept(watch.app(), By::Cli, &offer).await, Err(AcceptError::Changed)), "once");
    assert_eq!((watch.state().await, watch.copy().await.len()), (CopyState::Copying, 0));
    // A process that polled before writes nothing more of what it knew.
    assert!(watch.poll().await.is_err());
    assert_eq!((watch.state().await, watch.copy().await.len()), (CopyState::Copying, 0));
    watch.poll().await.unwrap();
    assert!(watch.copy().await.into_keys().eq(other.keys().copied()));
    let mut listed = admin.get("/api/v3/core/authenticated_sessions/?source=authentik").await.assert_status(200).uuids();
    listed.sort();
    assert_eq!(listed, other.keys().map(ToString::to_string).collect::<Vec<_>>());

    // None of those that were forgotten counts as ended, and what ended before has its reason still.
    for _ in 0..3 {
        watch.rollcall.advance(Duration::from_secs(1_801));
        watch.poll().await.unwrap();
    }
    let mut now = watch.history().await;
    now.sort();
    assert_eq!(now, history);
    assert_eq!(ended_of_three(&admin).await, 0, "user 3 is somebody else there");
    assert_eq!(watch.asked(uuids[2]).await, Some(AskedState::Lost));
    // Hours passed: the session of the one who looked before has to be proved again.
    let root = watch.rollcall.superuser("another root").await.session().await;
    let page = root.get(&format!("/watch/sessions/{}/end", uuids[2])).await.assert_status(200).text();
    assert!(page.contains("will not be known"), "{page}");
    let event = watch.rollcall.latest("source_replaced").await.remove(0).text();
    let (begin, end) = ("cli took another authentik, at http://127.0.0.1:", "; what became of 1 end there is not known");
    assert!(event.starts_with(begin) && event.ends_with(end) && event.contains("14 sessions of that one are forgotten"), "{event}");
    // What ends there from now on is of the new user 3.
    watch.end(*other.keys().next().unwrap()).await.unwrap();
    assert_eq!(ended_of_three(&admin).await, 1);
});

db_test!(the_same_authentik_is_not_accepted, |db| async move {
    let mut watch = Watch::new(db).await;
    let look = || accept::look(watch.app(), By::Cli);
    assert!(matches!(look().await, Err(AcceptError::NothingCopied)));
    watch.begin(9);
    watch.poll().await.unwrap();
    let look = || accept::look(watch.app(), By::Cli);
    assert!(matches!(look().await, Err(AcceptError::Same)));
    // The token is another one, and a session of the copy is visible to it.
    let clone = watch.authentik.world().sessions.clone();
    watch.authentik.world().other = Some(clone);
    assert!(matches!(look().await, Err(AcceptError::Recognized)));
    let other = others(&watch, 1);
    watch.authentik.world().other = Some(other);
    watch.authentik.world().is_superuser = true;
    assert!(matches!(look().await, Err(AcceptError::Poll(PollError::Superuser))));
    watch.authentik.world().is_superuser = false;
    let offer = look().await.unwrap();
    // The one that was copied is back before the answer.
    watch.authentik.world().other = None;
    assert!(matches!(accept::accept(watch.app(), By::Cli, &offer).await, Err(AcceptError::Changed)));
    watch.poll().await.unwrap();
    watch.assert_whole().await;
    assert_eq!(watch.rollcall.latest("source_replaced").await.len(), 0);
});

db_test!(an_end_of_many_ends_with_the_authentik_that_it_is_of, |db| async move {
    let mut watch = Watch::with(db, &[("AUTHENTIK__ENDS_PER_SECOND", "1")]).await;
    watch.begin(21);
    watch.poll().await.unwrap();
    // It waits: an hour is taken.
    let (id, now) = (watch.source().await.id, watch.now());
    let hour = Duration::from_secs(3_600);
    let taken = watch.app().store.write(move |db| Box::pin(async move { db.take_end_time(id, hour, now).await }));
    assert_eq!(taken.await.unwrap(), now);
    let filter = SessionFilter { source: Some(Origin::Authentik), ..SessionFilter::default() };
    let what = ManyEnds { which: EndTarget::Matching(Box::new(filter)), expected: Some(21), comment: "an incident".into() };
    let name = many::begin(watch.app(), By::Cli, what).await.unwrap();
    let find = || many::find(watch.app(), By::Cli, &name);
    let other = others(&watch, 2);
    watch.authentik.world().other = Some(other.clone());
    let offer = accept::look(watch.app(), By::Cli).await.unwrap();
    accept::accept(watch.app(), By::Cli, &offer).await.unwrap();
    let view = find().await.unwrap();
    assert_eq!((view.job.state, view.is_open()), (JobState::Failed, false));
    assert!(view.job.detail.contains("another authentik was taken"), "{}", view.job.detail);
    rollcall::actions::watch::job::resume(watch.app(), By::System).await.unwrap();
    watch.poller = Poller::default();
    watch.rollcall.advance(Duration::from_secs(60));
    watch.poll().await.unwrap();
    assert_eq!(watch.authentik.world().other, Some(other), "nothing ends there");
    let text = watch.rollcall.latest("source_sessions_ended").await[0].text();
    assert_eq!(text, "cli ended 0 sessions at authentik: an incident");
});

on_both!(operators_are_told_how_to_take_another_authentik, |home| async move {
    let (home, authentik) = watching(home.with_administrator()).await;
    let server = home.serve().await;
    let status =
        || async { serde_json::from_str::<serde_json::Value>(&home.run(&["watch", "status", "--json"]).out).unwrap_or_default() };
    eventually("a copy", || async { (status().await["state"] == "fresh").then_some(()) }).await;
    let done = home.run(&["watch", "accept", "--yes"]);
    assert!(done.code == 1 && done.err.contains("is of this authentik already"), "{done:?}");
    let now = rollcall::domain::Clock::System.now();
    let other = SessionId::generate(now).unwrap();
    authentik.world().other = Some(BTreeMap::from([(other, session(3, now))]));
    let doubted = eventually("doubt", || async { Some(status().await).filter(|status| status["state"] == "in_doubt") }).await;
    assert!(doubted["detail"].as_str().unwrap().contains("`rollcall watch accept`"), "{doubted}");
    let done = home.run(&["check"]);
    assert!(done.code == 0 && done.out.contains("`rollcall watch accept` begins the copy anew"), "{done:?}");
    let done = home.run(&["watch", "accept"]);
    assert!(done.code == 1 && done.err.contains("add --yes") && done.err.contains("None of them counts as ended"), "{done:?}");
    assert_eq!(status().await["copied"], 7);
    let done = home.run(&["watch", "accept", "--yes"]);
    assert!(done.code == 0 && done.err.contains("7 session(s) are forgotten"), "{done:?}");
    let shown = eventually("the other copy", || async { Some(status().await).filter(|status| status["state"] == "fresh") }).await;
    assert_eq!((&shown["copied"], &shown["sessions"]), (&1.into(), &1.into()));
    let listed = home.rows(&["session", "list", "--source", "authentik", "--json"]);
    assert_eq!(listed[0]["uuid"], other.to_string());
    assert_eq!(home.rows(&["session", "list", "--ended", "--json"]).len(), 0);
    server.stop().await;
});
