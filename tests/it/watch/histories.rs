//! Random histories: sessions come, are used and go between any two requests, while rights vanish, instances change,
//! backups are restored, answers fail, pollers restart, and operators accept another instance. No session that lives may
//! ever be in the history, and when all is quiet again, every end is.
//!
//! `WATCH_HISTORIES=10000` runs that many on each database.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rollcall::actions::by::By;
use rollcall::actions::sessions::end_job::EndTarget;
use rollcall::actions::watch::accept;
use rollcall::actions::watch::end::end_one;
use rollcall::actions::watch::many::{self, ManyEnds};
use rollcall::actions::watch::poller::Poller;
use rollcall::domain::listing::SessionFilter;
use rollcall::domain::source::{CopyState, Origin};
use rollcall::domain::{SessionId, Timestamp, UserId};

use super::authentik::{EndFault, Fault, OWNER, Session, World};
use super::{Watch, session};
use crate::process::eventually;
use crate::support::Dice;

fn histories() -> usize {
    std::env::var("WATCH_HISTORIES").map_or(12, |count| count.parse().expect("WATCH_HISTORIES is a number"))
}

/// How a history goes.
struct Plan {
    /// Of a hundred requests, before how many something happens to a session, to rights, to answers.
    churn: usize,
    trouble: usize,
    faults: usize,
    /// A backup of the source.
    backup: BTreeMap<SessionId, Session>,
    /// For how many more requests a trouble lasts.
    lasts: usize,
}

/// What happens before a request.
fn happen(world: &mut World, plan: &mut Plan, dice: &mut Dice) {
    let now = Timestamp(world.clock.now().0 + dice.below(2_000_000) as i64);
    world.clock.set(now);
    if dice.chance(plan.churn) {
        for _ in 0..=dice.below(3) {
            change(world, dice, now);
        }
    }
    if plan.lasts > 0 {
        plan.lasts -= 1;
        if plan.lasts == 0 {
            calm(world);
        }
    } else if dice.chance(plan.trouble) {
        // Rollcall sees what hides sessions for two requests or more.
        plan.lasts = 2 + dice.below(40);
        match dice.below(5) {
            0 | 1 => world.sees_all = false,
            2 => world.other = Some((0..dice.below(6)).map(|_| (SessionId::generate(now).unwrap(), session(4, now))).collect()),
            3 => world.takes_token = false,
            _ => restore(world, plan, dice),
        }
    } else if dice.chance(plan.faults) {
        plan.lasts = 2 + dice.below(3);
        world.end_fault = *dice.pick(&[
            EndFault::None,
            EndFault::Denied,
            EndFault::FailsBefore(500),
            EndFault::FailsAfter(502),
            EndFault::CutBefore,
            EndFault::CutAfter,
        ]);
        let faults = [
            Fault::None,
            Fault::None,
            Fault::Status(500),
            Fault::Status(404),
            Fault::NothingThere,
            Fault::Cut,
            Fault::HalfAnswer,
            Fault::Incomplete,
        ];
        world.fault = *dice.pick(&faults);
        world.bulk_fault = world.end_fault;
    }
}

fn change(world: &mut World, dice: &mut Dice, now: Timestamp) {
    let known: Vec<SessionId> = world.sessions.keys().copied().collect();
    match dice.below(8) {
        0 | 1 => {
            let user = if dice.chance(5) { OWNER } else { 2 + dice.below(9) as i64 };
            world.begin(SessionId(uuid::Uuid::from_u64_pair(dice.next(), dice.next())), session(user, now));
        }
        2 | 3 if !known.is_empty() => world.end(*dice.pick(&known)),
        4 if dice.chance(4) => known.into_iter().filter(|_| dice.chance(60)).for_each(|uuid| world.end(uuid)),
        5 => {
            let over: Vec<SessionId> = known.into_iter().filter(|uuid| world.sessions[uuid].expires < now).collect();
            over.into_iter().for_each(|uuid| world.end(uuid));
        }
        _ if !known.is_empty() => {
            let used = world.sessions.get_mut(dice.pick(&known)).unwrap();
            used.last_used = now;
            used.expires = now.plus(dice.up_to(Duration::from_secs(400)));
        }
        _ => {}
    }
}

/// The source is what it was when its backup was made.
fn restore(world: &mut World, plan: &mut Plan, dice: &mut Dice) {
    plan.lasts = 0;
    if dice.chance(50) {
        plan.backup = world.sessions.clone();
        return;
    }
    let before = std::mem::replace(&mut world.sessions, plan.backup.clone());
    world.ended.extend(before.into_keys().filter(|uuid| !plan.backup.contains_key(uuid)));
}

fn calm(world: &mut World) {
    (world.sees_all, world.takes_token, world.fault) = (true, true, Fault::None);
    // Nobody sees the sessions of the other instance again.
    let other = world.other.take().unwrap_or_default();
    world.ended.extend(other.into_keys());
    (world.end_fault, world.bulk_fault) = (EndFault::None, EndFault::None);
}

/// What the history may have, and must have at the end.
#[derive(Default)]
struct Truth {
    copied: BTreeSet<SessionId>,
    judged: i64,
    /// Sessions whose end was asked for, and whether authentik was said to have ended them.
    asked: BTreeMap<SessionId, bool>,
    /// Sessions that ended since somebody asked for it.
    revoked: BTreeSet<SessionId>,
    /// How many ends of all sessions of a user were asked for.
    of_users: usize,
}

impl Truth {
    /// No session is in the history that never ended.
    async fn judge(&mut self, watch: &Watch) {
        self.copied.extend(watch.copy().await.into_keys());
        let rows = watch.app().store.read().list_ended_after(self.judged, 1_000_000).await.unwrap();
        let world = watch.authentik.world();
        for (id, row) in rows {
            self.judged = id;
            assert!(world.ended.contains(&row.end.uuid), "{} lives, and is in the history as {}", row.end.uuid, row.end.reason);
            match row.end.reason.as_str() {
                "revoked" => {
                    assert!(self.asked.contains_key(&row.end.uuid), "nobody asked for it");
                    assert_eq!((row.end.ended_by.as_str(), row.end.comment.as_str()), ("cli", "a reason"));
                    self.revoked.insert(row.end.uuid);
                }
                reason => assert!(["gone", "expired"].contains(&reason)),
            }
        }
    }

    /// An operator takes the authentik that answers, if it is another one.
    async fn accept(&mut self, watch: &Watch) {
        let Ok(offer) = accept::look(watch.app(), By::Cli).await else { return };
        if accept::accept(watch.app(), By::Cli, &offer).await.is_ok() {
            // What was copied is forgotten, and whether it ended is not known.
            self.copied.clear();
            assert_eq!(watch.copy().await.len(), 0);
        }
    }

    /// All that ended after it was copied is in the history, and the copy is what authentik has.
    async fn settle(&mut self, watch: &mut Watch) {
        // Somebody signs in, so that the token is known to see all.
        watch.authentik.world().between = None;
        calm(&mut watch.authentik.world());
        watch.begin(1);
        self.accept(watch).await;
        for _ in 0..4 {
            watch.rollcall.advance(Duration::from_secs(1801));
            let _ = watch.poll().await;
        }
        let status = watch.source().await.status;
        assert_eq!((status.state, status.detail.as_str()), (CopyState::Fresh, ""));
        self.judge(watch).await;
        watch.assert_whole().await;
        let ended: BTreeSet<SessionId> = watch.history().await.into_iter().map(|(uuid, _)| uuid).collect();
        let alive = watch.authentik.world().sessions.clone();
        let lost: Vec<&SessionId> = self.copied.iter().filter(|uuid| !alive.contains_key(uuid) && !ended.contains(uuid)).collect();
        assert!(lost.is_empty(), "not in the history: {lost:?}");
        for (uuid, _) in self.asked.iter().filter(|(_, was_told)| **was_told) {
            assert!(self.revoked.contains(uuid), "{uuid} was said to be ended, and is not in the history as such");
        }
        let source = watch.source().await.id;
        let open = watch.app().store.read().list_open_ends(source, watch.now()).await.unwrap();
        assert_eq!(open, [], "the outcome of each end is known");
        self.copied.clear();
    }
}

db_test!(no_session_that_lives_is_ever_in_the_history, |db| async move {
    let mut dice = Dice::new();
    let mut watch = Watch::with(db, &[("AUTHENTIK__ENDS_PER_SECOND", "1000")]).await;
    watch.begin(20);
    watch.poll().await.unwrap();
    let mut truth = Truth::default();
    for _ in 0..histories() {
        let of_history = dice.split();
        eprintln!("history of {of_history:?}");
        history(&mut watch, &mut truth, of_history).await;
        let mut world = watch.authentik.world();
        assert_eq!(world.strange, [""; 0]);
        let ends = world.log.iter().filter(|(method, _, _)| method != "GET").count();
        assert!(ends <= truth.asked.len() + truth.of_users, "each end that was asked for is sent at most once");
        truth.asked.clear();
        truth.of_users = 0;
        world.log.clear();
    }
});

/// An end of all sessions of a user whose end was not asked for so far.
async fn end_user(watch: &Watch, truth: &mut Truth, dice: &mut Dice) {
    let mut users: BTreeMap<i64, Vec<SessionId>> = BTreeMap::new();
    for (uuid, row) in watch.copy().await {
        users.entry(row.session.user_pk).or_default().push(uuid);
    }
    users.retain(|_, uuids| !uuids.iter().any(|uuid| truth.asked.contains_key(uuid)));
    let users: Vec<(i64, Vec<SessionId>)> = users.into_iter().collect();
    if users.is_empty() {
        return;
    }
    let (user, uuids) = dice.pick(&users).clone();
    let filter = SessionFilter { source: Some(Origin::Authentik), user: Some(UserId(user)), ..SessionFilter::default() };
    let what = ManyEnds { which: EndTarget::Matching(Box::new(filter)), expected: None, comment: "a reason".into() };
    // It may be refused: the copy is in doubt, or old.
    let Ok(name) = many::begin(watch.app(), By::Cli, what).await else { return };
    truth.asked.extend(uuids.into_iter().map(|uuid| (uuid, false)));
    truth.of_users += 1;
    eventually("the end of a job", || async {
        many::find(watch.app(), By::Cli, &name).await.ok().filter(|view| !view.is_open()).map(drop)
    })
    .await;
}

/// A poll, and sometimes an end that somebody asks for at the same time.
async fn end_some(watch: &mut Watch, truth: &mut Truth, dice: &mut Dice) {
    if dice.chance(6) {
        let _ = watch.poll().await;
        return end_user(watch, truth, dice).await;
    }
    let known: Vec<SessionId> = if dice.chance(40) { watch.copy().await.into_keys().collect() } else { Vec::new() };
    let known: Vec<SessionId> = known.into_iter().filter(|uuid| !truth.asked.contains_key(uuid)).collect();
    if known.is_empty() {
        let _ = watch.poll().await;
        return;
    }
    let (app, uuid) = (watch.app().clone(), *dice.pick(&known));
    truth.asked.insert(uuid, false);
    let outcome = if dice.chance(50) {
        tokio::join!(watch.poll(), end_one(&app, By::Cli, uuid, "a reason")).1
    } else {
        let _ = watch.poll().await;
        end_one(&app, By::Cli, uuid, "a reason").await
    };
    truth.asked.insert(uuid, outcome.is_ok());
}

async fn history(watch: &mut Watch, truth: &mut Truth, mut dice: Dice) {
    let plan = Plan {
        churn: *dice.pick(&[2, 10, 40]),
        trouble: *dice.pick(&[0, 1, 5, 20]),
        faults: *dice.pick(&[0, 2, 8]),
        backup: watch.authentik.world().sessions.clone(),
        lasts: 0,
    };
    {
        let mut world = watch.authentik.world();
        world.most = *dice.pick(&[3, 7, 20, 100]);
        world.version = *dice.pick(&["2024.12.3", "2025.4.0", "2026.8.1"]);
        let shared = Arc::new(Mutex::new((plan, dice.split())));
        world.between = Some(Box::new(move |world| {
            let (plan, dice) = &mut *shared.lock().unwrap();
            happen(world, plan, dice);
        }));
    }
    for _ in 0..6 + dice.below(6) {
        if dice.chance(15) {
            // A restart: what was in memory is lost, and the lease may still be held.
            if dice.chance(50) {
                watch.poller.release(&watch.rollcall.app, By::System).await.unwrap();
            } else {
                watch.rollcall.advance(Duration::from_secs(46));
            }
            watch.poller = Poller::walking_up_to(*dice.pick(&[0, 10, 1000]));
        }
        if dice.chance(8) {
            truth.accept(watch).await;
        }
        let jump = *dice.pick(&[0, 1, 5, 5, 61]);
        watch.rollcall.advance(Duration::from_secs(jump));
        end_some(watch, truth, &mut dice).await;
        truth.judge(watch).await;
    }
    truth.settle(watch).await;
}
