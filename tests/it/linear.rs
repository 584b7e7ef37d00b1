//! Ends are linearizable: no check that began after an end was acknowledged lets anybody in, on any
//! server that works on the database, whichever way the session was ended.
//!
//! Every check and every end is recorded with its times, and the record is verified afterwards.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::Client;
use serde_json::json;
use tokio::task::JoinSet;

use crate::crash::cheap_hash;
use crate::process::{Home, PASSWORD, SESSIONS, TOKEN};
use crate::support::{Dice, SIGN_IN_FLOW, SIGN_OUT_FLOW};

/// How many check at once.
const CHECKERS: usize = 8;
/// How many sessions each way of ending is tried on.
const TRIES: usize = 3;
/// How many sessions a user has whose sessions are all ended at once.
const MANY: usize = 6;

/// One look at the door.
#[derive(Clone, Copy, Debug)]
struct Check {
    session: usize,
    began: Instant,
    answered: Instant,
    is_let_in: bool,
}

/// One end of some sessions, acknowledged.
#[derive(Clone, Debug)]
struct End {
    way: &'static str,
    sessions: Vec<usize>,
    began: Instant,
    acknowledged: Instant,
}

/// What happened.
#[derive(Default)]
struct History {
    checks: Vec<Check>,
    ends: Vec<End>,
}

impl History {
    /// What no session that lives until it is ended could have shown: each as a sentence.
    fn violations(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for check in &self.checks {
            let ends = || self.ends.iter().filter(|end| end.sessions.contains(&check.session));
            if check.is_let_in {
                if let Some(end) = ends().find(|end| end.acknowledged < check.began) {
                    let late = check.began - end.acknowledged;
                    wrong.push(format!("session {} was let in {late:?} after {} was acknowledged", check.session, end.way));
                }
            } else if !ends().any(|end| end.began < check.answered) {
                wrong.push(format!("session {} was refused before anybody ended it", check.session));
            }
        }
        // Once refused, always refused: also while the end is not acknowledged yet.
        let mut refused: std::collections::BTreeMap<usize, Instant> = std::collections::BTreeMap::new();
        for check in self.checks.iter().filter(|check| !check.is_let_in) {
            let first = refused.entry(check.session).or_insert(check.answered);
            *first = check.answered.min(*first);
        }
        for check in self.checks.iter().filter(|check| check.is_let_in) {
            if refused.get(&check.session).is_some_and(|first| *first < check.began) {
                wrong.push(format!("session {} was let in after it was refused", check.session));
            }
        }
        wrong
    }
}

/// Two servers on one PostgreSQL database, or one on a SQLite file, and a record of what they do.
#[derive(Clone)]
struct World {
    origins: Arc<[String]>,
    http: Client,
    history: Arc<Mutex<History>>,
    /// Sessions that are about to end, where looking is most worthwhile.
    hot: Arc<Mutex<Vec<usize>>>,
}

fn key(session: usize) -> String {
    format!("the-key-of-session-{session}")
}

fn uuid(session: usize) -> String {
    format!("{session:08x}-0000-4000-8000-00000000feed")
}

impl World {
    /// Looks whether a session is let in, through one of the doors of one of the servers.
    async fn check(&self, session: usize, dice: &mut Dice) {
        let origin = dice.pick(&self.origins).clone();
        let cookie = format!("rollcall_session={}", key(session));
        let path = match dice.below(3) {
            0 => "/sessions".to_owned(),
            1 => format!("{SESSIONS}?page_size=1"),
            _ => format!("{SESSIONS}{}/", uuid(session)),
        };
        let began = Instant::now();
        let answer = self.http.get(format!("{origin}{path}")).header("cookie", cookie).send().await.unwrap();
        let is_let_in = match answer.status().as_u16() {
            200 => true,
            // A door that is shut; or it closed between the two looks of one request.
            303 | 403 | 404 => false,
            other => panic!("{other} from {path}"),
        };
        let check = Check { session, began, answered: Instant::now(), is_let_in };
        self.history.lock().unwrap().checks.push(check);
    }

    /// Ends sessions, and looks at once whether they are out.
    async fn end(&self, way: &'static str, sessions: Vec<usize>, dice: &mut Dice, act: impl Future<Output = ()>) {
        self.hot.lock().unwrap().extend(&sessions);
        let before: JoinSet<()> = self.look_at(&sessions, dice);
        before.join_all().await;
        let began = Instant::now();
        act.await;
        let acknowledged = Instant::now();
        self.history.lock().unwrap().ends.push(End { way, sessions: sessions.clone(), began, acknowledged });
        self.look_at(&sessions, dice).join_all().await;
        self.hot.lock().unwrap().retain(|hot| !sessions.contains(hot));
    }

    fn look_at(&self, sessions: &[usize], dice: &mut Dice) -> JoinSet<()> {
        let mut looks = JoinSet::new();
        for session in sessions.iter().take(3).copied() {
            for _ in 0..2 {
                let (this, mut dice) = (self.clone(), dice.split());
                looks.spawn(async move { this.check(session, &mut dice).await });
            }
        }
        looks
    }

    async fn delete(&self, path: &str) {
        let request = self.http.delete(format!("{}{path}", self.origins[0])).bearer_auth(TOKEN);
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
    }

    /// Signs in, in the browser that has the session.
    async fn sign_in_over(&self, session: usize, name: &str) {
        let mut cookie = format!("rollcall_session={}", key(session));
        for body in [
            json!({"component": "ak-stage-identification", "uid_field": name}),
            json!({"component": "ak-stage-password", "password": PASSWORD}),
        ] {
            let request = self.http.post(format!("{}{SIGN_IN_FLOW}", self.origins[0])).header("cookie", &cookie);
            let answer = request.json(&body).send().await.unwrap();
            let set = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
            cookie = format!("{cookie}; {}", set.split(';').next().unwrap());
            assert_eq!(answer.status(), 200);
        }
    }

    /// Sends the form of a page, in the browser that has the session.
    async fn submit(&self, session: usize, page: &str, action: &str, fields: &[(&str, &str)]) {
        let (origin, cookie) = (&self.origins[0], format!("rollcall_session={}", key(session)));
        let page = self.http.get(format!("{origin}{page}")).header("cookie", &cookie).send().await.unwrap();
        let page = page.text().await.unwrap();
        let proof = page.split("name=\"proof\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a form");
        let request = self.http.post(format!("{origin}{action}")).header("cookie", &cookie);
        let fields: Vec<(&str, &str)> = fields.iter().copied().chain([("proof", proof)]).collect();
        let answer = request.form(&fields).send().await.unwrap();
        assert_eq!(answer.status(), 303);
    }
}

/// Every way to end sessions.
const WAYS: &[&str] = &[
    "DELETE",
    "sign-out by the flow",
    "sign-out by the page",
    "the page's button",
    "all others by the page",
    "bulk_delete",
    "revoke",
    "session revoke",
    "session revoke by filter",
    "user deactivate",
    "user set-password",
    "user remove",
    "policy set",
    "a sign-in in its place",
    "a new key",
];

/// Whether a way ends all sessions of a user.
fn is_of_user(way: &str) -> bool {
    ["all others by the page", "bulk_delete", "revoke", "session revoke by filter"].contains(&way)
        || way.starts_with("user ")
        || way == "policy set"
}

/// Ends sessions in one way.
async fn end(world: &World, home: &Home, way: &'static str, sessions: Vec<usize>, user: i64, dice: &mut Dice) {
    let first = sessions[0];
    let name = format!("person-{user}");
    let command = |args: &[&str], input: &str| {
        let mut command = home.command(crate::process::ROLLCALL);
        command.args(args);
        let (args, input) = (format!("{args:?}"), input.to_owned());
        async move {
            let done = tokio::task::spawn_blocking(move || crate::process::finish(&mut command, &input)).await.unwrap();
            assert_eq!(done.code, 0, "{args}: {done:?}");
        }
    };
    match way {
        "DELETE" => {
            let path = format!("{SESSIONS}{}/", uuid(first));
            world.end(way, sessions, dice, world.delete(&path)).await;
        }
        "sign-out by the flow" => {
            let cookie = format!("rollcall_session={}", key(first));
            let request = world.http.post(format!("{}{SIGN_OUT_FLOW}", world.origins[0])).header("cookie", cookie);
            let act = async { assert_eq!(request.send().await.unwrap().status(), 200) };
            world.end(way, sessions, dice, act).await;
        }
        "sign-out by the page" => world.end(way, sessions, dice, world.submit(first, "/sign-out", "/sign-out", &[])).await,
        "the page's button" => {
            let action = format!("/sessions/{}/end", uuid(first));
            world.end(way, sessions, dice, world.submit(first, "/sessions", &action, &[])).await;
        }
        "all others by the page" => {
            let others = sessions[1..].to_vec();
            world.end(way, others, dice, world.submit(first, "/sessions", "/sessions/end-others", &[])).await;
        }
        "bulk_delete" => {
            let path = format!("{SESSIONS}bulk_delete/?user_pks={user}");
            world.end(way, sessions, dice, world.delete(&path)).await;
        }
        "revoke" => {
            let body = json!({"user__username": name, "expected_count": sessions.len()});
            let request = world.http.post(format!("{}{SESSIONS}revoke/", world.origins[0])).bearer_auth(TOKEN);
            let act = async { assert_eq!(request.json(&body).send().await.unwrap().status(), 200) };
            world.end(way, sessions, dice, act).await;
        }
        "session revoke" => {
            let act = command(&["session", "revoke", &uuid(first), "--yes"], "");
            world.end(way, sessions, dice, act).await;
        }
        "session revoke by filter" => {
            let act = command(&["session", "revoke", "--user", &name, "--yes"], "");
            world.end(way, sessions, dice, act).await;
        }
        "user deactivate" => world.end(way, sessions, dice, command(&["user", "deactivate", &name], "")).await,
        "user set-password" => {
            let act = command(&["user", "set-password", &name], &format!("{PASSWORD} 2\n"));
            world.end(way, sessions, dice, act).await;
        }
        "user remove" => world.end(way, sessions, dice, command(&["user", "remove", &name, "--yes"], "")).await,
        "policy set" => {
            let act = command(&["policy", "set", "--user", &name, "--absolute-timeout", "1h"], "");
            world.end(way, sessions, dice, act).await;
        }
        "a sign-in in its place" => world.end(way, sessions, dice, world.sign_in_over(first, &name)).await,
        // The session goes on by another key; this one is out.
        "a new key" => {
            let act = world.submit(first, "/confirm", "/confirm", &[("password", PASSWORD)]);
            world.end(way, sessions, dice, act).await;
        }
        other => panic!("no way {other}"),
    }
}

on_both!(what_is_ended_is_out_everywhere_from_that_moment, |home| async move {
    let home = Arc::new(
        home.with_administrator().with("ROLLCALL_SESSIONS__REMEMBER_TIMEOUT", "0").with("ROLLCALL_SAFETY__BURST_SESSIONS", "0"),
    );
    // Each try has a user of its own, with many sessions where all of them are to end.
    let mut plan: Vec<(&'static str, i64, Vec<usize>)> = Vec::new();
    let (mut lines, mut next, hash) = (Vec::new(), 0, cheap_hash());
    for way in WAYS {
        for _ in 0..TRIES {
            let user = 100 + plan.len() as i64;
            let sessions: Vec<usize> = (next..next + if is_of_user(way) { MANY } else { 1 }).collect();
            next += sessions.len();
            let name = format!("person-{user}");
            lines.push(json!({"kind": "user", "id": user, "username": name, "password_hash": hash}));
            lines.extend(sessions.iter().map(|session| {
                json!({
                    "kind": "session", "uuid": uuid(*session), "session_key": key(*session), "user": user, "last_ip": "192.0.2.1",
                    "last_user_agent": "curl/8.5.0", "last_used": "2026-01-01T00:00:00Z", "expires": "2099-01-01T00:00:00Z",
                })
            }));
            plan.push((way, user, sessions));
        }
    }
    home.import(&lines);
    let one = home.serve().await;
    // One server alone has a SQLite file; the commands work on it, too.
    let other = if home.schema().is_some() { Some(home.serve().await) } else { None };
    let http = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let origins = [one.origin.clone(), other.as_ref().unwrap_or(&one).origin.clone()].into();
    let world = World { origins, http, history: Arc::default(), hot: Arc::default() };
    let mut dice = Dice::new();
    let is_over = Arc::new(AtomicBool::new(false));
    let mut checkers = JoinSet::new();
    for _ in 0..CHECKERS {
        let (world, is_over, mut dice) = (world.clone(), Arc::clone(&is_over), dice.split());
        checkers.spawn(async move {
            while !is_over.load(Ordering::Relaxed) {
                let hot = world.hot.lock().unwrap().clone();
                let session = if hot.is_empty() || dice.chance(20) { dice.below(next) } else { *dice.pick(&hot) };
                world.check(session, &mut dice).await;
            }
        });
    }
    // In any order, some at once.
    for at in (1..plan.len()).rev() {
        plan.swap(at, dice.below(at + 1));
    }
    let plan = Arc::new(Mutex::new(plan));
    let mut enders = JoinSet::new();
    for _ in 0..3 {
        let (world, home, plan, mut dice) = (world.clone(), Arc::clone(&home), Arc::clone(&plan), dice.split());
        enders.spawn(async move {
            loop {
                let Some((way, user, sessions)) = plan.lock().unwrap().pop() else { break };
                end(&world, &home, way, sessions, user, &mut dice).await;
            }
        });
    }
    enders.join_all().await;
    is_over.store(true, Ordering::Relaxed);
    checkers.join_all().await;
    one.stop().await;
    if let Some(other) = other {
        other.stop().await;
    }
    let history = std::mem::take(&mut *world.history.lock().unwrap());
    let wrong = history.violations();
    assert!(wrong.is_empty(), "{wrong:#?}");
    for way in WAYS {
        // Each way was seen to make the difference.
        let ends: Vec<&End> = history.ends.iter().filter(|end| end.way == *way).collect();
        assert_eq!(ends.len(), TRIES, "{way}");
        for end in ends {
            let of_these = || history.checks.iter().filter(|check| end.sessions.contains(&check.session));
            assert!(of_these().any(|check| check.is_let_in && check.answered < end.began), "{way}: nobody was let in before");
            assert!(of_these().any(|check| !check.is_let_in && check.began > end.acknowledged), "{way}: nobody tried after");
        }
    }
    let racing = history.checks.iter().filter(|check| {
        history
            .ends
            .iter()
            .any(|end| end.sessions.contains(&check.session) && check.began < end.acknowledged && check.answered > end.began)
    });
    eprintln!(
        "{} checks, {} of them while their session was ended in {} ends",
        history.checks.len(),
        racing.count(),
        history.ends.len()
    );
});

/// The verifier sees what it is there to see.
#[test]
fn a_late_acceptance_is_noticed() {
    let start = Instant::now();
    let at = |millis: u64| start + Duration::from_millis(millis);
    let check = |began, answered, is_let_in| Check { session: 1, began: at(began), answered: at(answered), is_let_in };
    let end = End { way: "DELETE", sessions: vec![1], began: at(10), acknowledged: at(20) };
    let violations = |checks: &[Check]| History { checks: checks.to_vec(), ends: vec![end.clone()] }.violations();
    assert!(violations(&[check(0, 5, true), check(15, 25, true), check(12, 14, false), check(21, 22, false)]).len() == 1);
    assert!(violations(&[check(0, 5, true), check(11, 30, true), check(12, 35, false)]).is_empty());
    assert_eq!(violations(&[check(21, 22, true)]).len(), 1, "let in after the end");
    assert_eq!(violations(&[check(0, 5, false)]).len(), 1, "refused before the end");
    assert_eq!(violations(&[check(11, 12, false), check(13, 14, true)]).len(), 1, "in again while it ends");
}
