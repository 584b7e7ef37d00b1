//! The life of sessions against a model of it, through any mix of steps, with the clock in hand: it
//! goes forwards, and backwards, which never extends anything.
//!
//! `MODEL_SEQUENCES` sets how many mixes are tried.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use rollcall::actions::app::App;
use rollcall::actions::by::By;
use rollcall::actions::policies;
use rollcall::actions::sessions::{check, end};
use rollcall::actions::sign_in;
use rollcall::domain::caller::Actor;
use rollcall::domain::caller::Client;
use rollcall::domain::policy::Policy;
use rollcall::domain::{Address, PlainSecret, Timestamp};
use rollcall::store::people::policies::PolicyOwner;
use serde_json::json;

use crate::support::TestApp;

const MINUTE: i64 = 60 * 1_000_000;
const USERS: usize = 3;
/// The instance's settings that restarts choose from: idle, absolute and remember timeout in minutes.
const SETTINGS: [[i64; 3]; 4] = [[60, 600, 2000], [30, 600, 2000], [60, 200, 0], [0, 400, 1000]];

#[derive(Clone, Debug)]
enum Step {
    SignIn(usize, bool),
    Use(prop::sample::Index),
    SignOut(prop::sample::Index),
    Forwards(i64),
    Backwards(i64),
    Flush,
    Sweep,
    /// Of a user, or of the group that the first two are in.
    Policy(Option<usize>, Limits),
    Restart(usize),
}

/// A policy in minutes.
type Limits = [Option<i64>; 3];

fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    let limit = |most: i64| prop::option::of(1..most);
    let remember = prop_oneof![Just(None), Just(Some(0)), (1..3000_i64).prop_map(Some)];
    let limits = (limit(90), limit(800), remember).prop_map(|(idle, absolute, remember)| [idle, absolute, remember]);
    prop_oneof![
        4 => (0..USERS, any::<bool>()).prop_map(|(user, remember)| Step::SignIn(user, remember)),
        8 => index().prop_map(Step::Use),
        1 => index().prop_map(Step::SignOut),
        5 => (1..50_i64).prop_map(Step::Forwards),
        1 => (1..3000_i64).prop_map(Step::Forwards),
        2 => (1..60_i64).prop_map(Step::Backwards),
        3 => Just(Step::Flush),
        1 => Just(Step::Sweep),
        2 => (prop::option::of(0..USERS), limits).prop_map(|(user, limits)| Step::Policy(user, limits)),
        1 => (0..SETTINGS.len()).prop_map(Step::Restart),
    ]
}

/// A last use further ahead than this is replaced by the next one.
const AHEAD: i64 = 5 * MINUTE;

/// What a session should be. Times are microseconds.
#[derive(Clone, Debug)]
struct Session {
    user: usize,
    created: i64,
    last_used: i64,
    idle: Option<i64>,
    end: i64,
    is_remembered: bool,
    /// A use that is not written down yet.
    noted: Option<i64>,
    /// Until when its uses and its tightest limits let it live, whatever is stored.
    bound: i64,
}

impl Session {
    fn expires(&self) -> i64 {
        self.idle.map_or(self.end, |idle| self.end.min(self.last_used + idle))
    }

    /// Applies limits that are tighter; `instance` is what holds once it is not remembered any more.
    fn tighten(&mut self, [idle, absolute, remember]: Limits, instance: [i64; 3]) {
        let lower = |limit: Option<i64>, by: Option<i64>| match (limit, by) {
            (Some(a), Some(b)) => Some(a.min(b * MINUTE)),
            (a, b) => a.or(b.map(|b| b * MINUTE)),
        };
        if self.is_remembered && (remember == Some(0) || instance[2] == 0) {
            self.is_remembered = false;
        }
        self.idle = lower(self.idle, idle);
        self.end = self.end.min(absolute.map_or(i64::MAX, |limit| self.created + limit * MINUTE));
        if self.is_remembered {
            let most = remember.unwrap_or(instance[2]).min(instance[2]);
            self.end = self.end.min(self.created + most * MINUTE);
        } else {
            self.idle = lower(self.idle, Some(instance[0]).filter(|idle| *idle > 0));
            self.end = self.end.min(self.created + instance[1] * MINUTE);
        }
        let used = self.noted.unwrap_or(self.last_used).max(self.last_used);
        self.bound = self.bound.min(self.end).min(self.idle.map_or(i64::MAX, |idle| used + idle));
    }
}

struct Model<'a> {
    app: &'a TestApp,
    /// The server since its last restart.
    server: App,
    instance: [i64; 3],
    group: PolicyOwner,
    users: Vec<rollcall::store::people::users::UserRow>,
    own: BTreeMap<Option<usize>, Limits>,
    keys: Vec<PlainSecret>,
    sessions: Vec<Option<Session>>,
}

impl Model<'_> {
    fn now(&self) -> i64 {
        self.server.clock.now().0
    }

    fn client() -> Client {
        Client { ip: Address::parse("192.0.2.1").unwrap(), user_agent: String::new() }
    }

    async fn sign_in(&mut self, user: usize, is_remembered: bool) {
        let row = self.users[user].clone();
        let begun = sign_in::start_session(&self.server, row, &Self::client(), is_remembered, Vec::new(), &Actor::default()).await;
        self.keys.push(begun.unwrap().key);
        let now = self.now();
        // All it may have, then cut to everything that holds.
        let mut session =
            Session { user, created: now, last_used: now, idle: None, end: i64::MAX, is_remembered, noted: None, bound: i64::MAX };
        let groups = if user < 2 { self.own.get(&None) } else { None };
        let all: Vec<Limits> = groups.into_iter().chain(self.own.get(&Some(user))).copied().collect();
        for limits in all.iter().chain(&all).chain([&[None; 3]]) {
            session.tighten(*limits, self.instance);
        }
        self.sessions.push(Some(session));
    }

    async fn use_it(&mut self, at: usize) {
        let now = self.now();
        let opened = check::check(&self.server, &self.keys[at], &Self::client(), "").await.unwrap();
        let let_in = matches!(opened, check::Admission::Open(_));
        let should = self.sessions[at].as_ref().is_some_and(|session| now < session.expires());
        assert_eq!(let_in, should, "session {at} at {now}: {:?}", self.sessions[at]);
        let Some(session) = self.sessions[at].as_mut().filter(|_| let_in) else { return };
        assert!(now < session.bound, "let in beyond what its uses and limits allow: {session:?}");
        let is_due = |last: i64| now > last || last - now > AHEAD;
        if is_due(session.last_used) && session.noted.is_none_or(is_due) {
            session.noted = Some(now);
            // A last use that is ahead holds until the next one is written.
            let used = now.max(session.last_used);
            session.bound = session.end.min(session.idle.map_or(i64::MAX, |idle| used + idle));
        }
    }

    async fn flush(&mut self) {
        self.server.touches.flush(&self.server).await.unwrap();
        for session in self.sessions.iter_mut().flatten() {
            if let Some(noted) = session.noted.take()
                && (noted > session.last_used || session.last_used - noted > AHEAD)
            {
                session.last_used = noted;
            }
        }
    }

    async fn set_policy(&mut self, whose: Option<usize>, limits: Limits) {
        let minutes = |limit: Option<i64>| limit.map(|limit| Duration::from_secs(limit.unsigned_abs() * 60));
        let policy = Policy {
            idle_timeout: minutes(limits[0]),
            absolute_timeout: minutes(limits[1]),
            remember_timeout: minutes(limits[2]),
            ..Policy::default()
        };
        let owner = whose.map_or(self.group, |user| PolicyOwner::User(self.users[user].id));
        policies::set(&self.server, By::Cli, owner, "the-owner", policy).await.unwrap();
        self.own.insert(whose, limits);
        for session in self.sessions.iter_mut().flatten() {
            if whose.map_or(session.user < 2, |user| user == session.user) {
                session.tighten(limits, self.instance);
            }
        }
    }

    async fn restart(&mut self, nth: usize) {
        self.flush().await;
        self.instance = SETTINGS[nth];
        let values = self.instance.map(|minutes| if minutes == 0 { "0".to_owned() } else { format!("{minutes}m") });
        self.server = self.app.restarted(&settings(&values)).await;
        policies::hold_to_instance(&self.server, By::System).await.unwrap();
        for session in self.sessions.iter_mut().flatten() {
            session.tighten([None; 3], self.instance);
        }
    }

    async fn take(&mut self, step: &Step) {
        let pick = |index: &prop::sample::Index, count: usize| if count == 0 { None } else { Some(index.index(count)) };
        match step {
            Step::SignIn(user, is_remembered) => self.sign_in(*user, *is_remembered).await,
            Step::Use(index) => {
                if let Some(at) = pick(index, self.keys.len()) {
                    self.use_it(at).await;
                }
            }
            Step::SignOut(index) => {
                let Some(at) = pick(index, self.keys.len()) else { return };
                end::sign_out(&self.server, &self.keys[at], &Actor::default()).await.unwrap();
                let now = self.now();
                // What is over cannot be signed out of; the sweep takes it.
                if self.sessions[at].as_ref().is_some_and(|session| now < session.expires()) {
                    self.sessions[at] = None;
                }
            }
            Step::Forwards(minutes) => self.server.clock.set(Timestamp(self.now() + minutes * MINUTE)),
            Step::Backwards(minutes) => self.server.clock.set(Timestamp(self.now() - minutes * MINUTE)),
            Step::Flush => self.flush().await,
            Step::Sweep => {
                let now = self.now();
                end::sweep(&self.server, rollcall::actions::by::By::System, Timestamp(now)).await.unwrap();
                for session in &mut self.sessions {
                    if session.as_ref().is_some_and(|session| session.expires() <= now) {
                        *session = None;
                    }
                }
            }
            Step::Policy(whose, limits) => self.set_policy(*whose, *limits).await,
            Step::Restart(nth) => self.restart(*nth).await,
        }
    }

    /// What is stored is what should be: which sessions there are, and their ends.
    async fn assert_stored(&self, step: &Step) {
        let stored: Vec<i64> = self.server.store.read().all("SELECT expires_at FROM sessions ORDER BY id", &[]).await.unwrap();
        let should: Vec<i64> = self.sessions.iter().flatten().map(Session::expires).collect();
        assert_eq!(stored, should, "after {step:?}");
    }
}

/// The instance's timeouts as settings; each use counts.
fn settings(values: &[String; 3]) -> [(&'static str, &str); 4] {
    [
        ("SESSIONS__IDLE_TIMEOUT", values[0].as_str()),
        ("SESSIONS__ABSOLUTE_TIMEOUT", values[1].as_str()),
        ("SESSIONS__REMEMBER_TIMEOUT", values[2].as_str()),
        ("SESSIONS__TOUCH_INTERVAL", "1us"),
    ]
}

db_test!(sessions_live_and_end_as_the_model_says, |db| async move {
    let app = TestApp::new(db).await;
    let sequences = std::env::var("MODEL_SEQUENCES").ok().and_then(|count| count.parse().ok()).unwrap_or(8);
    let mut runner = TestRunner::deterministic();
    for nth in 0..sequences {
        let (staff, names) = (format!("staff {nth}"), (0..USERS).map(|user| format!("user {nth} {user}")).collect::<Vec<_>>());
        let mut lines = vec![json!({"kind": "group", "name": staff})];
        let groups = |user: usize| if user < 2 { json!([staff]) } else { json!([]) };
        lines
            .extend(names.iter().enumerate().map(|(user, name)| json!({"kind": "user", "username": name, "groups": groups(user)})));
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        app.import_bytes(text, true).await.unwrap();
        let mut users = Vec::new();
        for name in &names {
            users.push(rollcall::actions::people::users::find(&app.app, By::Cli, name).await.unwrap());
        }
        let group = PolicyOwner::Group(app.app.store.read().find_group_id(&staff).await.unwrap().unwrap());
        let (own, keys, sessions) = (BTreeMap::new(), Vec::new(), Vec::new());
        let mut model = Model { app: &app, server: app.app.clone(), instance: SETTINGS[0], group, users, own, keys, sessions };
        model.restart(0).await;
        let steps = prop::collection::vec(step(), 120).new_tree(&mut runner).unwrap().current();
        for step in &steps {
            model.take(step).await;
            model.assert_stored(step).await;
        }
        assert!(model.keys.len() > 5, "a mix without sessions shows nothing");
    }
    app.assert_counts().await;
});
