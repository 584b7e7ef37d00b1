//! Killed at any moment, the server forgets nothing that it acknowledged.
//!
//! `CRASH_KILLS` says how often each server is killed; without it, a few times.

use std::collections::{BTreeMap, BTreeSet};
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use argon2::password_hash::PasswordHasher;
use argon2::{Algorithm, Argon2, Params, Version};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::process::{Home, PASSWORD, ROLLCALL, SESSIONS, TOKEN, eventually, signal};
use crate::support::app::{COUNTED_ROWS, KEPT_COUNTS};
use crate::support::{Dice, SIGN_IN_FLOW, SIGN_OUT_FLOW};

/// How many sign in and out at once.
const CLIENTS: i64 = 16;
/// What is acknowledged at least before a kill, and how long that then waits at most.
const BUSY: u64 = 30;
const LIFE: Duration = Duration::from_millis(500);
/// About how many sessions a client keeps.
const KEPT: usize = 12;
/// The key of the first client's user.
const FIRST_USER: i64 = 100;

/// A hash of [`PASSWORD`] that costs next to nothing to check. The server takes any that is imported.
pub fn cheap_hash() -> String {
    let params = Params::new(8, 1, 1, None).unwrap();
    let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    hasher.hash_password(PASSWORD.as_bytes()).unwrap().to_string()
}

/// What a client knows of a session whose sign-in was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Alive,
    /// Its end was asked for, and the answer never came.
    Unclear,
    Ended,
}

#[derive(Clone, Debug)]
struct Known {
    key: String,
    /// 32 digits, once the client has seen it.
    uuid: Option<String>,
    state: State,
}

/// The server went away in the middle of a request.
#[derive(Debug)]
pub struct Gone;

/// What an answer, or none, says of the sessions that were to end.
fn ended_by(answer: &Result<Response, reqwest::Error>) -> State {
    match answer {
        Ok(response) if response.status().is_success() => State::Ended,
        // 404: an end whose answer never came was done. 503: nothing was.
        Ok(response) => {
            assert!([404, 503].contains(&response.status().as_u16()), "{response:?}");
            State::Unclear
        }
        Err(_) => State::Unclear,
    }
}

/// Somebody who signs in and ends sessions, one request after another, and remembers what was
/// acknowledged.
struct Person {
    user: i64,
    dice: Dice,
    sessions: Vec<Known>,
    /// Sessions that ended, and were seen to be refused.
    buried: Vec<Known>,
    sign_ins: u64,
    ends: u64,
    /// What was acknowledged to anybody since the start.
    acknowledged: Arc<AtomicU64>,
}

impl Person {
    /// Does as people do until the server goes away.
    async fn live(&mut self, http: &Client, origin: &str) {
        while self.step(http, origin).await.is_ok() {}
    }

    async fn step(&mut self, http: &Client, origin: &str) -> Result<(), Gone> {
        let open: Vec<usize> = (0..self.sessions.len()).filter(|at| self.sessions[*at].state != State::Ended).collect();
        if open.len() < 2 || (open.len() < KEPT && self.dice.chance(45)) {
            return self.sign_in(http, origin, None).await;
        }
        let at = *self.dice.pick(&open);
        let key = self.sessions[at].key.clone();
        match self.dice.below(10) {
            0..2 => self.sign_in(http, origin, Some(at)).await,
            2..6 => {
                let Some(uuid) = self.sessions[at].uuid.clone() else { return self.learn(http, origin, at).await };
                let request = http.delete(format!("{origin}{SESSIONS}{uuid}/")).bearer_auth(TOKEN);
                self.end(&[at], request).await
            }
            6..9 => self.end(&[at], http.post(format!("{origin}{SIGN_OUT_FLOW}")).header("cookie", cookie(&key))).await,
            _ if self.dice.chance(50) => {
                let request = http.delete(format!("{origin}{SESSIONS}bulk_delete/?user_pks={}", self.user));
                self.end(&open, request.bearer_auth(TOKEN)).await
            }
            _ => self.revoke(http, origin, &open).await,
        }
    }

    /// Signs in, in a browser that may have a session already: that one ends.
    async fn sign_in(&mut self, http: &Client, origin: &str, over: Option<usize>) -> Result<(), Gone> {
        let mut cookies = over.map(|at| cookie(&self.sessions[at].key)).unwrap_or_default();
        let post =
            |cookies: &str, body: Value| http.post(format!("{origin}{SIGN_IN_FLOW}")).header("cookie", cookies).json(&body).send();
        let name = json!({"component": "ak-stage-identification", "uid_field": format!("person-{}", self.user)});
        let answer = post(&cookies, name).await.map_err(|_| Gone)?;
        assert_eq!(answer.status(), 200);
        let flow = set_cookie(&answer, "rollcall_flow").expect("a sign-in under way");
        cookies = format!("{cookies}; rollcall_flow={flow}");
        // From here on the old session may be over.
        if let Some(at) = over {
            self.sessions[at].state = State::Unclear;
        }
        let answer = post(&cookies, json!({"component": "ak-stage-password", "password": PASSWORD})).await.map_err(|_| Gone)?;
        if answer.status() == 503 {
            return Ok(());
        }
        let key = set_cookie(&answer, "rollcall_session").unwrap_or_else(|| panic!("a session: {answer:?}"));
        self.sign_ins += 1;
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        if let Some(at) = over {
            self.sessions[at].state = State::Ended;
            self.ends += 1;
        }
        self.sessions.push(Known { key, uuid: None, state: State::Alive });
        self.learn(http, origin, self.sessions.len() - 1).await
    }

    /// Learns a session's name from the list that its cookie opens.
    async fn learn(&mut self, http: &Client, origin: &str, at: usize) -> Result<(), Gone> {
        let known = self.sessions[at].clone();
        match look(http, origin, &known.key).await? {
            Some(uuid) => {
                assert!(known.uuid.as_ref().is_none_or(|before| *before == uuid), "{known:?} is {uuid} now");
                assert_ne!(known.state, State::Ended, "{known:?} is let in");
                self.sessions[at].uuid = Some(uuid);
            }
            None => {
                assert_ne!(known.state, State::Alive, "{known:?} is refused");
                self.sessions[at].state = State::Ended;
            }
        }
        Ok(())
    }

    /// Sends what ends these sessions.
    async fn end(&mut self, these: &[usize], request: RequestBuilder) -> Result<(), Gone> {
        let answer = request.send().await;
        let state = ended_by(&answer);
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        for at in these {
            self.ends += u64::from(state == State::Ended);
            self.sessions[*at].state = state;
        }
        answer.map(drop).map_err(|_| Gone)
    }

    /// Ends all by a filter, once it is known how many there are: a sign-in whose answer never came may
    /// have been one more.
    async fn revoke(&mut self, http: &Client, origin: &str, open: &[usize]) -> Result<(), Gone> {
        let post = |count: u64| {
            let body = json!({"user__username": format!("person-{}", self.user), "expected_count": count});
            http.post(format!("{origin}{SESSIONS}revoke/")).bearer_auth(TOKEN).json(&body)
        };
        let preview = post(1_000_000).send().await.map_err(|_| Gone)?;
        if preview.status() == 503 {
            return Ok(());
        }
        assert_eq!(preview.status(), 409);
        let count = preview.json::<Value>().await.map_err(|_| Gone)?["count"].as_u64().unwrap();
        self.end(open, post(count)).await
    }

    /// After a restart: who was acknowledged is in, who was ended is out.
    async fn check(&mut self, http: &Client, origin: &str) {
        for at in 0..self.sessions.len() {
            assert!(self.learn(http, origin, at).await.is_ok(), "the server is there");
        }
        let (ended, open) = std::mem::take(&mut self.sessions).into_iter().partition(|known| known.state == State::Ended);
        self.buried.extend::<Vec<_>>(ended);
        self.sessions = open;
        // And some of those who were ended long ago.
        for _ in 0..self.buried.len().min(5) {
            let known = self.dice.pick(&self.buried).clone();
            assert!(matches!(look(http, origin, &known.key).await, Ok(None)), "{known:?} is let in again");
        }
    }
}

/// The session that a key opens, by the list; `None` when the door is shut.
pub async fn look(http: &Client, origin: &str, key: &str) -> Result<Option<String>, Gone> {
    let request = http.get(format!("{origin}{SESSIONS}?page_size=100")).header("cookie", cookie(key));
    let answer = request.send().await.map_err(|_| Gone)?;
    match answer.status().as_u16() {
        200 => {
            let body: Value = answer.json().await.map_err(|_| Gone)?;
            let current = body["results"].as_array().unwrap().iter().find(|row| row["current"] == true);
            Ok(Some(current.unwrap_or_else(|| panic!("the current session in {body}"))["uuid"].as_str().unwrap().replace('-', "")))
        }
        403 => Ok(None),
        other => panic!("{other}: {:?}", answer.text().await),
    }
}

pub fn cookie(key: &str) -> String {
    format!("rollcall_session={key}")
}

pub fn set_cookie(answer: &Response, name: &str) -> Option<String> {
    let cookies = answer.headers().get_all("set-cookie").iter().filter_map(|line| line.to_str().ok());
    let mut values = cookies.filter_map(|line| line.strip_prefix(name)?.strip_prefix('=')?.split(';').next());
    values.next().map(str::to_owned)
}

/// What must be true of the tables at every moment, whatever was acknowledged. One statement each, so
/// that each sees one moment.
async fn assert_tables_agree(home: &Home) {
    let all = "(SELECT uuid FROM sessions UNION ALL SELECT uuid FROM ended_sessions)";
    let (kept, counted) = (KEPT_COUNTS, COUNTED_ROWS.replace("DIGITS", &home.digits_of("user_uuid")));
    for (what, rows) in [
        (
            "sessions that are both alive and ended, or ended twice",
            format!("SELECT uuid FROM {all} u GROUP BY uuid HAVING count(*) > 1"),
        ),
        (
            "sign-ins whose session is nowhere",
            format!("SELECT session_uuid FROM events WHERE kind = 'sign_in' EXCEPT SELECT uuid FROM {all} u"),
        ),
        (
            "sessions without a sign-in",
            format!("SELECT uuid FROM {all} u EXCEPT SELECT session_uuid FROM events WHERE kind = 'sign_in'"),
        ),
        (
            "ended sessions without an event that says so",
            "SELECT uuid FROM ended_sessions WHERE reason <> 'replaced' \
             EXCEPT SELECT session_uuid FROM events WHERE kind IN ('sign_out', 'session_revoked', 'session_expired')"
                .to_owned(),
        ),
        (
            "events of an end that was not",
            "SELECT session_uuid FROM events WHERE kind IN ('sign_out', 'session_revoked', 'session_expired') \
             EXCEPT SELECT uuid FROM ended_sessions"
                .to_owned(),
        ),
        ("counts that no rows bear out", format!("SELECT * FROM ({kept}) k EXCEPT SELECT * FROM ({counted}) c")),
        ("rows that are not counted", format!("SELECT * FROM ({counted}) c EXCEPT SELECT * FROM ({kept}) k")),
    ] {
        let count = home.texts(&format!("SELECT CAST(count(*) AS TEXT) FROM ({rows}) r")).await;
        assert_eq!(count, ["0"], "{what}");
    }
}

/// What the clients know and what the tables hold agree.
async fn assert_remembered(home: &Home, people: &[Person]) {
    assert_tables_agree(home).await;
    let uuid = home.digits_of("uuid");
    let sql = format!("SELECT 's' || {uuid} FROM sessions UNION ALL SELECT 'e' || {uuid} FROM ended_sessions");
    let rows: BTreeSet<String> = home.texts(&sql).await.into_iter().collect();
    let mut wrong = BTreeMap::new();
    for known in people.iter().flat_map(|person| person.sessions.iter().chain(&person.buried)) {
        // One whose name was never seen was ended before, and cannot be told from others.
        let Some(uuid) = &known.uuid else { continue };
        let is_there = (rows.contains(&format!("s{uuid}")), rows.contains(&format!("e{uuid}")));
        let is_right = match known.state {
            State::Alive => is_there == (true, false),
            State::Ended => is_there == (false, true),
            State::Unclear => is_there.0 != is_there.1,
        };
        if !is_right {
            wrong.insert(uuid, (known.state, is_there));
        }
    }
    assert!(wrong.is_empty(), "what was acknowledged, and whether it is among the living and the ended: {wrong:?}");
}

/// Kills a server while it starts.
async fn kill_at_start(home: &Home, dice: &mut Dice) {
    let mut child = home.command(ROLLCALL).arg("serve").spawn().unwrap();
    tokio::time::sleep(dice.up_to(Duration::from_millis(250))).await;
    signal(child.id(), "KILL");
    child.wait().unwrap();
}

on_both!(killed_at_any_moment_it_keeps_what_it_acknowledged, |home| async move {
    let kills: u32 = std::env::var("CRASH_KILLS").map_or(3, |kills| kills.parse().expect("CRASH_KILLS is a number"));
    let home = home.with_administrator().with("ROLLCALL_SESSIONS__REMEMBER_TIMEOUT", "0");
    let home = home.with("ROLLCALL_SAFETY__BURST_SESSIONS", "0");
    // Uses are written all the time as well, and the sweep runs.
    let home = home.with("ROLLCALL_SESSIONS__TOUCH_INTERVAL", "50ms").with("ROLLCALL_SESSIONS__PURGE_INTERVAL", "1s");
    let hash = cheap_hash();
    let users = FIRST_USER..FIRST_USER + CLIENTS;
    let lines =
        users.clone().map(|id| json!({"kind": "user", "id": id, "username": format!("person-{id}"), "password_hash": hash}));
    home.import(&lines.collect::<Vec<_>>());
    let mut dice = Dice::new();
    let acknowledged = Arc::new(AtomicU64::new(0));
    let person = |user| {
        let (dice, acknowledged) = (dice.split(), Arc::clone(&acknowledged));
        Person { user, dice, sessions: Vec::new(), buried: Vec::new(), sign_ins: 0, ends: 0, acknowledged }
    };
    let mut people: Vec<Person> = users.map(person).collect();
    let started = Instant::now();
    let mut unclear = 0;
    let mut server = home.serve().await;
    for kill in 1..=kills {
        let mut living = JoinSet::new();
        for mut person in people.drain(..) {
            let (http, origin) = (client(), server.origin.clone());
            living.spawn(async move {
                person.live(&http, &origin).await;
                person
            });
        }
        let goal = acknowledged.load(Ordering::Relaxed) + BUSY;
        eventually("a busy server", || ready((acknowledged.load(Ordering::Relaxed) >= goal).then_some(()))).await;
        tokio::time::sleep(dice.up_to(LIFE)).await;
        server.kill().await;
        people = living.join_all().await;
        unclear += people.iter().flat_map(|person| &person.sessions).filter(|known| known.state == State::Unclear).count();
        if kill % 5 == 0 {
            kill_at_start(&home, &mut dice).await;
        }
        server = home.serve().await;
        let mut checking = JoinSet::new();
        for mut person in people.drain(..) {
            let (http, origin) = (client(), server.origin.clone());
            checking.spawn(async move {
                person.check(&http, &origin).await;
                person
            });
        }
        people = checking.join_all().await;
        assert_remembered(&home, &people).await;
    }
    // What searches look at agrees as well.
    eventually("that the search finds what there is", || async {
        let rows = home.texts("SELECT CAST(count(*) AS TEXT) FROM sessions").await;
        let found = server.call(Method::GET, &format!("{SESSIONS}?search=person-&page_size=1"), TOKEN).await;
        let found: Value = found.json().await.unwrap();
        (found["pagination"]["count"] == rows[0].parse::<u64>().unwrap()).then_some(())
    })
    .await;
    assert!(!server.log().contains("panicked"), "{}", server.log());
    server.stop().await;
    if home.schema().is_none() {
        assert_eq!(home.texts("PRAGMA integrity_check").await, ["ok"]);
        assert!(home.texts("SELECT \"table\" FROM pragma_foreign_key_check").await.is_empty());
    }
    let (sign_ins, ends) = people.iter().fold((0, 0), |sum, person| (sum.0 + person.sign_ins, sum.1 + person.ends));
    eprintln!(
        "{kills} kills in {:.0?}: {sign_ins} sign-ins and {ends} ends acknowledged, {unclear} ends without an answer",
        started.elapsed()
    );
    assert!(sign_ins + ends >= u64::from(kills) * BUSY && ends > 0, "the server was busy when it was killed");
});

/// A client without cookies of its own.
pub fn client() -> Client {
    Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}
