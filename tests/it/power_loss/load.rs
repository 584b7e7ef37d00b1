//! Clients that sign in and end sessions, and know when each was acknowledged; and what must hold
//! of a disk by that.

use std::collections::BTreeSet;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use reqwest::{Client, Response};
use rusqlite::{Connection, OpenFlags};
use serde_json::json;
use tokio::task::JoinSet;

use super::shim::Shim;
use crate::crash::{Gone, cheap_hash, client, cookie, look, set_cookie};
use crate::process::{Home, PASSWORD, SESSIONS, Server, TOKEN};
use crate::support::{Dice, SIGN_IN_FLOW, SIGN_OUT_FLOW};

/// How many sign in and out at once.
const CLIENTS: usize = 16;
/// About how many sessions a client keeps.
const KEPT: usize = 8;

/// A session whose sign-in was acknowledged. Times are lengths of the trace.
#[derive(Clone, Debug)]
pub struct Session {
    key: String,
    /// 32 digits, once the client has seen them.
    uuid: Option<String>,
    signed_in: u64,
    end_sent: Option<u64>,
    end_acknowledged: Option<u64>,
}

/// What must be true of a session.
#[derive(Debug, PartialEq, Eq)]
enum State {
    Alive,
    /// Its end was asked for, and not acknowledged.
    Either,
    Ended,
}

impl Session {
    /// What must be true after a loss of power at this time; `None` before its sign-in was
    /// acknowledged.
    fn state(&self, time: u64) -> Option<State> {
        if self.signed_in > time {
            None
        } else if self.end_acknowledged.is_some_and(|acknowledged| acknowledged <= time) {
            Some(State::Ended)
        } else if self.end_sent.is_some_and(|sent| sent <= time) {
            Some(State::Either)
        } else {
            Some(State::Alive)
        }
    }
}

/// Adds the users of the clients.
pub fn add_users(home: &Home) {
    let hash = cheap_hash();
    let user = |n: usize| json!({"kind": "user", "id": 100 + n, "username": format!("person-{n}"), "password_hash": hash});
    home.import(&(0..CLIENTS).map(user).collect::<Vec<_>>());
}

/// How much was acknowledged since the clients began.
pub type Acknowledged = Arc<AtomicU64>;

/// Has clients sign in and out until `until` is done or the server is gone. Gives all sessions,
/// with those of before.
pub async fn run<U: Future>(
    server: &Server,
    shim: &Arc<Shim>,
    before: Vec<Session>,
    dice: &mut Dice,
    until: impl FnOnce(Acknowledged) -> U,
) -> Vec<Session> {
    let acknowledged = Acknowledged::default();
    let mut clients = JoinSet::new();
    let mut groups: Vec<Vec<Session>> = (0..CLIENTS).map(|_| Vec::new()).collect();
    for (n, session) in before.into_iter().enumerate() {
        groups[n % CLIENTS].push(session);
    }
    let (stop, stopped) = tokio::sync::watch::channel(());
    for (user, sessions) in groups.into_iter().enumerate() {
        let (http, origin, shim, dice) = (client(), server.origin.clone(), Arc::clone(shim), dice.split());
        let (mut stopped, acknowledged) = (stopped.clone(), Arc::clone(&acknowledged));
        clients.spawn(async move {
            let mut person = Person { http, origin, shim, dice, user, sessions, acknowledged };
            tokio::select! {
                _ = stopped.changed() => {}
                // The server is gone.
                () = async { while person.step().await.is_ok() {} } => {}
            }
            person.sessions
        });
    }
    let mut sessions = pin!(clients.join_all());
    tokio::select! {
        sessions = &mut sessions => return sessions.into_iter().flatten().collect(),
        _ = until(acknowledged) => drop(stop),
    }
    sessions.await.into_iter().flatten().collect()
}

struct Person {
    http: Client,
    origin: String,
    shim: Arc<Shim>,
    dice: Dice,
    user: usize,
    sessions: Vec<Session>,
    acknowledged: Acknowledged,
}

impl Person {
    async fn step(&mut self) -> Result<(), Gone> {
        let open: Vec<usize> = (0..self.sessions.len()).filter(|at| self.sessions[*at].end_sent.is_none()).collect();
        if open.len() < 2 || (open.len() < KEPT && self.dice.chance(50)) {
            return self.sign_in().await;
        }
        let at = *self.dice.pick(&open);
        let session = &mut self.sessions[at];
        let request = match &session.uuid {
            Some(uuid) if self.dice.chance(50) => self.http.delete(format!("{}{SESSIONS}{uuid}/", self.origin)).bearer_auth(TOKEN),
            _ => self.http.post(format!("{}{SIGN_OUT_FLOW}", self.origin)).header("cookie", cookie(&session.key)),
        };
        session.end_sent = Some(self.shim.position());
        let answer = request.send().await.map_err(|_| Gone)?;
        if answer.status().is_success() {
            session.end_acknowledged = Some(self.shim.position());
            self.acknowledged.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        assert_eq!(answer.status(), 503, "{answer:?}");
        Ok(())
    }

    async fn sign_in(&mut self) -> Result<(), Gone> {
        let name = json!({"component": "ak-stage-identification", "uid_field": format!("person-{}", self.user)});
        let answer = self.post("", name).await?;
        let state = set_cookie(&answer, "rollcall_flow").unwrap_or_else(|| panic!("a sign-in under way: {answer:?}"));
        let password = json!({"component": "ak-stage-password", "password": PASSWORD});
        let answer = self.post(&format!("rollcall_flow={state}"), password).await?;
        if answer.status() == 503 {
            return Ok(());
        }
        let signed_in = self.shim.position();
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        let key = set_cookie(&answer, "rollcall_session").unwrap_or_else(|| panic!("a session: {answer:?}"));
        self.sessions.push(Session { key: key.clone(), uuid: None, signed_in, end_sent: None, end_acknowledged: None });
        let uuid = look(&self.http, &self.origin, &key).await?;
        self.sessions.last_mut().unwrap().uuid = Some(uuid.expect("a session that was just begun"));
        Ok(())
    }

    async fn post(&self, cookies: &str, body: serde_json::Value) -> Result<Response, Gone> {
        let url = format!("{}{SIGN_IN_FLOW}", self.origin);
        self.http.post(url).header("cookie", cookies).json(&body).send().await.map_err(|_| Gone)
    }
}

/// When something was acknowledged.
pub fn acknowledgements(sessions: &[Session]) -> BTreeSet<u64> {
    sessions.iter().flat_map(|session| [Some(session.signed_in), session.end_acknowledged]).flatten().collect()
}

/// What is wrong with a database file after a loss of power at this time: what is missing of what
/// was acknowledged, and what is there and should not be.
pub fn faults(database: &Path, sessions: &[Session], time: u64) -> Vec<String> {
    let known: Vec<_> = sessions.iter().filter_map(|session| Some((session, session.state(time)?))).collect();
    let texts = |sql: &str| -> rusqlite::Result<BTreeSet<String>> {
        // Not created: one that is missing is a fault.
        let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let mut statement = connection.prepare(sql)?;
        statement.query_map([], |row| row.get(0))?.collect()
    };
    let read = || -> rusqlite::Result<_> {
        let integrity = texts("PRAGMA integrity_check")?;
        let foreign_keys = texts("SELECT \"table\" FROM pragma_foreign_key_check")?;
        let alive = texts("SELECT lower(hex(uuid)) FROM sessions")?;
        Ok((integrity, foreign_keys, alive, texts("SELECT lower(hex(uuid)) FROM ended_sessions")?))
    };
    if known.is_empty() && !database.exists() {
        return Vec::new();
    }
    let (integrity, foreign_keys, alive, ended) = match read() {
        Ok(read) => read,
        // Before anything was acknowledged, the tables may not be there.
        Err(error) if known.is_empty() && error.to_string().starts_with("no such table") => return Vec::new(),
        Err(error) => return vec![format!("the database cannot be read: {error}")],
    };
    let mut faults = Vec::new();
    if integrity != BTreeSet::from(["ok".to_owned()]) || !foreign_keys.is_empty() {
        faults.push(format!("the database is damaged: {integrity:?} {foreign_keys:?}"));
    }
    for (session, state) in known {
        let Some(uuid) = &session.uuid else { continue };
        let is_there = (alive.contains(uuid), ended.contains(uuid));
        let is_right = match state {
            State::Alive => is_there == (true, false),
            State::Ended => is_there == (false, true),
            State::Either => is_there.0 != is_there.1,
        };
        if !is_right {
            faults.push(format!("{state:?}, but alive and ended are {is_there:?}: {session:?}"));
        }
    }
    faults
}

/// Asks a server that was started after a loss of power at this time. Gives the sessions that are
/// left, as if all was acknowledged before the next trace.
pub async fn assert_remembered(server: &Server, sessions: Vec<Session>, time: u64) -> Vec<Session> {
    let http = client();
    let mut left = Vec::new();
    for session in sessions {
        let uuid = look(&http, &server.origin, &session.key).await.unwrap();
        match session.state(time) {
            Some(State::Alive) => assert!(uuid.is_some(), "a session that was acknowledged is lost: {session:?}"),
            Some(State::Ended) => assert!(uuid.is_none(), "a session that ended is alive: {session:?}"),
            Some(State::Either) | None => {}
        }
        let ended = uuid.is_none().then_some(0);
        let uuid = uuid.or(session.uuid.filter(|_| session.signed_in <= time));
        if let Some(uuid) = uuid {
            left.push(Session { uuid: Some(uuid), signed_in: 0, end_sent: ended, end_acknowledged: ended, ..session });
        }
    }
    left
}
