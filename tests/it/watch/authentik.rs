//! A strict authentik for tests: its own parameters only, its page sizes, both generations of names, and a log of every
//! request. A test says between any two requests what happens to it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rollcall::domain::{Clock, SessionId, Timestamp};
use rollcall::watch::call::PAIRS;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// The token that opens it. It looks as authentik's do.
pub const TOKEN: &str = "wPq0Vb7watchToken4TestsOnlyqD3kLx9ZsT2uYhN6mCj8Ra1Ef5Gi";
/// The primary key of the token's owner.
pub const OWNER: i64 = 1;

/// A session.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    pub user: i64,
    pub ip: String,
    pub agent: String,
    pub last_used: Timestamp,
    pub expires: Timestamp,
}

/// How requests fail, all of them until it is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// They do not.
    None,
    /// This status, in HTML.
    Status(u16),
    /// 404 in authentik's own form, for every address.
    NothingThere,
    /// The connection is closed without an answer.
    Cut,
    /// The connection is closed in the middle of the answer.
    HalfAnswer,
    /// A redirect to another host.
    Redirect,
    /// JSON with a field missing.
    Incomplete,
    /// More than 4 MiB.
    TooLarge,
}

/// How ends fail, all of them until it is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndFault {
    /// They do not.
    None,
    /// The token's owner may not end sessions.
    Denied,
    /// This status, and the session stays.
    FailsBefore(u16),
    /// This status, and the session is gone.
    FailsAfter(u16),
    /// The connection is closed without an answer, and the session stays.
    CutBefore,
    /// The connection is closed without an answer, and the session is gone.
    CutAfter,
    /// There is no answer for a minute; the session stays.
    HangsBefore,
    /// The same, and the session is gone.
    HangsAfter,
    /// 204, and the session stays.
    Lies,
}

/// A sign-in in the event log.
#[derive(Clone)]
pub struct SignIn {
    pub user: i64,
    pub ip: &'static str,
    pub agent: String,
    pub at: Timestamp,
    pub method: &'static str,
    pub is_known_device: Option<bool>,
}

/// What runs before each request.
type Between = Box<dyn FnMut(&mut World) + Send>;

/// All of its state.
pub struct World {
    pub sessions: BTreeMap<SessionId, Session>,
    /// Sessions of another instance, which answers in its place.
    pub other: Option<BTreeMap<SessionId, Session>>,
    pub users: BTreeMap<i64, String>,
    /// Every session that ever ended, here or, by a request, at the other instance.
    pub ended: BTreeSet<SessionId>,
    pub fault: Fault,
    pub end_fault: EndFault,
    /// How ends of all sessions of a user fail.
    pub bulk_fault: EndFault,
    /// How long an answer to an end takes at most.
    pub slow_ends: Duration,
    /// Whether the token's owner may see sessions of others.
    pub sees_all: bool,
    pub sees_users: bool,
    pub sees_events: bool,
    /// Which users may do everything.
    pub superusers: BTreeSet<i64>,
    pub sign_ins: Vec<SignIn>,
    /// Sign-outs in the event log: user, address, time.
    pub sign_outs: Vec<(i64, String, Timestamp)>,
    pub is_superuser: bool,
    /// Whether the token is taken.
    pub takes_token: bool,
    pub version: &'static str,
    /// The largest page.
    pub most: usize,
    pub clock: Clock,
    /// Method, path with query, and the headers of each request.
    pub log: Vec<(String, String, String)>,
    /// Requests that may not be sent, and parameters that authentik does not have.
    pub strange: Vec<String>,
    pub between: Option<Between>,
    /// Where it is set, an answer waits until a permit of it is there.
    pub gate: Option<Arc<Semaphore>>,
}

impl World {
    /// Begins a session.
    pub fn begin(&mut self, uuid: SessionId, session: Session) {
        self.users.entry(session.user).or_insert_with(|| format!("user-{}", session.user));
        self.sessions.insert(uuid, session);
    }

    /// Ends a session.
    pub fn end(&mut self, uuid: SessionId) {
        if self.sessions.remove(&uuid).is_some() {
            self.ended.insert(uuid);
        }
    }

    fn is_old(&self) -> bool {
        self.version < "2025.4"
    }

    fn answer(&mut self, method: &str, target: &str, head: &str) -> Reply {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query: BTreeMap<String, String> =
            query.split('&').filter_map(|pair| pair.split_once('=')).map(|(name, value)| (name.into(), value.into())).collect();
        match self.fault {
            Fault::None | Fault::HalfAnswer => {}
            Fault::Status(status) => return Reply::html(status),
            Fault::NothingThere => return Reply::json(404, &json!({"detail": GONE})),
            Fault::Cut => return Reply::cut(),
            Fault::Redirect => return Reply { location: "https://elsewhere.example/".into(), ..Reply::html(302) },
            Fault::Incomplete => {
                return Reply::json(200, &json!({"pagination": {"count": 1}, "results": [{"uuid": "x"}], "user": {}}));
            }
            Fault::TooLarge => return Reply::json(200, &json!({"detail": "x".repeat(5 << 20)})),
        }
        let has_token = head.lines().any(|line| line == format!("authorization: Bearer {TOKEN}"));
        if !has_token || !self.takes_token {
            return Reply::json(403, &json!({"detail": "Token invalid/expired"}));
        }
        match (method, session_of(path)) {
            ("DELETE", Some("bulk_delete")) => return self.end_of_user(&query),
            ("DELETE", Some(uuid)) => return self.end_one(uuid),
            _ => {}
        }
        if method != "GET" {
            return Reply::json(405, &json!({"detail": "Method not allowed."}));
        }
        let reply = match path.strip_prefix("/api/v3/") {
            Some("admin/version/") => Reply::json(200, &json!({"version_current": self.version, "version_latest": "2026.11.0"})),
            Some("core/users/me/") => {
                let uid = if self.other.is_some() { "uid-of-another-instance" } else { "uid-of-this-instance" };
                let me = json!({"pk": OWNER, "username": "rollcall", "is_superuser": self.is_superuser, "uid": uid, "groups": []});
                Reply::json(200, &json!({"user": me}))
            }
            Some("core/users/") if !self.sees_users => Reply::json(403, &json!({"detail": DENIED})),
            Some("core/users/") => self.users(&query),
            Some("events/events/") if !self.sees_events => Reply::json(403, &json!({"detail": DENIED})),
            Some("events/events/") => self.events(&query),
            Some("core/authenticated_sessions/") => self.list(&query),
            Some(_) => session_of(path).map_or_else(|| Reply::html(404), |uuid| self.one(uuid)),
            None => Reply::html(404),
        };
        if self.fault == Fault::HalfAnswer { Reply { is_half: true, ..reply } } else { reply }
    }

    fn visible(&self) -> Vec<(SessionId, Session)> {
        let all = self.other.as_ref().unwrap_or(&self.sessions);
        let visible = all.iter().filter(|(_, session)| self.sees_all || session.user == OWNER);
        visible.map(|(uuid, session)| (*uuid, session.clone())).collect()
    }

    /// A call that names no user ends everybody's, as one of authentik's proposed changes would.
    fn end_of_user(&mut self, query: &BTreeMap<String, String>) -> Reply {
        let user: Option<i64> = query.get("user_pks").and_then(|text| text.parse().ok());
        let theirs: Vec<SessionId> = self
            .visible()
            .into_iter()
            .filter(|(_, session)| user.is_none_or(|user| session.user == user))
            .map(|(uuid, _)| uuid)
            .collect();
        let fault = self.bulk_fault;
        if matches!(fault, EndFault::None | EndFault::FailsAfter(_) | EndFault::CutAfter) {
            theirs.iter().for_each(|uuid| self.end_visible(*uuid));
        }
        match fault {
            EndFault::Denied => Reply::json(403, &json!({"detail": DENIED})),
            EndFault::FailsBefore(status) | EndFault::FailsAfter(status) => Reply::html(status),
            EndFault::CutBefore | EndFault::CutAfter => Reply::cut(),
            _ => Reply::json(200, &json!({"deleted": theirs.len()})),
        }
    }

    /// Ends a session of the instance that answers: the copy may have become that of another one.
    fn end_visible(&mut self, uuid: SessionId) {
        match &mut self.other {
            Some(other) => self.ended.extend(other.remove(&uuid).map(|_| uuid)),
            None => self.end(uuid),
        }
    }

    fn end_one(&mut self, uuid: &str) -> Reply {
        let fault = self.end_fault;
        if fault == EndFault::Denied {
            return Reply::json(403, &json!({"detail": DENIED}));
        }
        let Some((uuid, _)) = self.visible().into_iter().find(|(known, _)| known.to_string() == uuid) else {
            return Reply::json(404, &json!({"detail": GONE}));
        };
        if matches!(fault, EndFault::None | EndFault::FailsAfter(_) | EndFault::CutAfter | EndFault::HangsAfter) {
            self.end_visible(uuid);
        }
        let reply = match fault {
            EndFault::FailsBefore(status) | EndFault::FailsAfter(status) => Reply::html(status),
            EndFault::CutBefore | EndFault::CutAfter => Reply::cut(),
            EndFault::HangsBefore | EndFault::HangsAfter => Reply { delay: Duration::from_secs(60), ..Reply::cut() },
            EndFault::None | EndFault::Denied | EndFault::Lies => Reply { body: Vec::new(), ..Reply::html(204) },
        };
        let wait =
            if self.slow_ends.is_zero() { reply.delay } else { self.slow_ends / 7 * u32::try_from(self.log.len() % 8).unwrap() };
        Reply { delay: wait, ..reply }
    }

    fn one(&self, uuid: &str) -> Reply {
        let found = self.visible().into_iter().find(|(known, _)| known.to_string() == uuid);
        match found {
            Some((uuid, session)) => Reply::json(200, &written(uuid, &session)),
            None => Reply::json(404, &json!({"detail": GONE})),
        }
    }

    fn list(&mut self, query: &BTreeMap<String, String>) -> Reply {
        let own: &[&str] = &["ordering", "page", "page_size", "search", "user__username"];
        self.strange.extend(query.keys().filter(|name| !own.contains(&name.as_str())).cloned());
        let mut rows = self.visible();
        let prefix = if self.is_old() { "" } else { "session__" };
        let ordering = query.get("ordering").cloned().unwrap_or_default();
        let name = ordering.trim_start_matches('-');
        if name == "uuid" {
            rows.sort_by_key(|(uuid, _)| *uuid);
        } else if name == format!("{prefix}last_used") {
            rows.sort_by_key(|(uuid, session)| (session.last_used, *uuid));
        } else {
            // Other names are dropped: by the name of the user.
            rows.sort_by_key(|(uuid, session)| (self.users.get(&session.user).cloned(), *uuid));
        }
        if ordering.starts_with('-') {
            rows.reverse();
        }
        self.page(query, rows.iter().map(|(uuid, session)| written(*uuid, session)).collect())
    }

    fn users(&mut self, query: &BTreeMap<String, String>) -> Reply {
        let own: &[&str] = &["ordering", "page", "page_size", "include_groups", "include_roles"];
        self.strange.extend(query.keys().filter(|name| !own.contains(&name.as_str())).cloned());
        let rows = self.users.iter().map(|(pk, name)| {
            let is_superuser = self.superusers.contains(pk);
            json!({"pk": pk, "username": name, "name": "", "is_active": true, "is_superuser": is_superuser, "path": "users"})
        });
        let rows = rows.collect();
        self.page(query, rows)
    }

    fn events(&mut self, query: &BTreeMap<String, String>) -> Reply {
        let own: &[&str] = &["ordering", "page", "page_size", "actions"];
        self.strange.extend(query.keys().filter(|name| !own.contains(&name.as_str())).cloned());
        if query.get("actions").is_some_and(|action| action == "login") {
            let rows = self.sign_ins.iter().rev().map(|it| {
                let args = it.is_known_device.map_or_else(|| json!({}), |known| json!({"known_device": known}));
                let context = json!({"auth_method": it.method, "auth_method_args": args, "http_request": {"user_agent": it.agent}});
                json!({"user": {"pk": it.user}, "action": "login", "client_ip": it.ip, "created": it.at, "context": context})
            });
            return self.page(query, rows.collect());
        }
        let rows = self.sign_outs.iter().rev().map(|(user, ip, at)| {
            json!({"user": {"pk": user, "email": "", "username": "x"}, "action": "logout", "client_ip": ip, "created": at, "context": {}})
        });
        self.page(query, rows.collect())
    }

    fn page(&self, query: &BTreeMap<String, String>, rows: Vec<Value>) -> Reply {
        let number = |name: &str| query.get(name).and_then(|text| text.parse::<usize>().ok()).filter(|number| *number > 0);
        let size = number("page_size").unwrap_or(20).min(self.most);
        let (page, pages) = (number("page").unwrap_or(1), rows.len().div_ceil(size).max(1));
        if page > pages {
            return Reply::json(404, &json!({"detail": "Invalid page."}));
        }
        let results: Vec<&Value> = rows.iter().skip((page - 1) * size).take(size).collect();
        let pagination = json!({
            "next": if page < pages { page + 1 } else { 0 }, "previous": page - 1, "count": rows.len(), "current": page,
            "total_pages": pages, "start_index": 1, "end_index": results.len(),
        });
        Reply::json(200, &json!({"pagination": pagination, "results": results, "autocomplete": {}}))
    }
}

/// Whether a request is one of those that may be sent.
pub fn is_known(method: &str, target: &str) -> bool {
    let path = target.split('?').next().and_then(|path| path.strip_prefix("/api/v3/")).unwrap_or_default();
    PAIRS.iter().filter(|(known, _)| known.as_str() == method).any(|(_, pattern)| match pattern.split_once("{uuid}") {
        None => path == *pattern,
        Some((before, after)) => path
            .strip_prefix(before)
            .and_then(|rest| rest.strip_suffix(after))
            .is_some_and(|inside| SessionId::parse(inside).is_some_and(|uuid| uuid.to_string() == inside)),
    })
}

/// The UUID that a path names.
fn session_of(path: &str) -> Option<&str> {
    path.strip_prefix("/api/v3/core/authenticated_sessions/")?.strip_suffix('/').filter(|uuid| !uuid.contains('/'))
}

const GONE: &str = "No AuthenticatedSession matches the given query.";
const DENIED: &str = "You do not have permission to perform this action.";

fn written(uuid: SessionId, session: &Session) -> Value {
    json!({
        "uuid": uuid, "current": false, "user": session.user, "last_ip": session.ip, "last_user_agent": session.agent,
        "user_agent": {"device": {}, "os": {}, "user_agent": {}, "string": session.agent}, "geo_ip": null, "asn": null,
        "last_used": session.last_used, "expires": session.expires,
    })
}

/// An answer.
struct Reply {
    status: u16,
    kind: &'static str,
    location: String,
    body: Vec<u8>,
    is_cut: bool,
    is_half: bool,
    delay: Duration,
}

impl Reply {
    fn json(status: u16, body: &Value) -> Self {
        let body = body.to_string().into_bytes();
        let (location, delay) = (String::new(), Duration::ZERO);
        Self { status, kind: "application/json", location, body, is_cut: false, is_half: false, delay }
    }

    fn html(status: u16) -> Self {
        Self { kind: "text/html", body: b"<h1>Sorry</h1>".to_vec(), ..Self::json(status, &json!(null)) }
    }

    fn cut() -> Self {
        Self { is_cut: true, ..Self::html(200) }
    }
}

/// A running authentik.
#[derive(Clone)]
pub struct Authentik {
    pub address: SocketAddr,
    world: Arc<Mutex<World>>,
}

impl Authentik {
    /// Starts one without sessions.
    pub async fn start(clock: Clock) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let world = Arc::new(Mutex::new(World {
            sessions: BTreeMap::new(),
            other: None,
            users: BTreeMap::from([(OWNER, "rollcall".to_owned())]),
            ended: BTreeSet::new(),
            fault: Fault::None,
            end_fault: EndFault::None,
            bulk_fault: EndFault::None,
            slow_ends: Duration::ZERO,
            sees_all: true,
            sees_users: true,
            sees_events: true,
            superusers: BTreeSet::new(),
            sign_ins: Vec::new(),
            sign_outs: Vec::new(),
            is_superuser: false,
            takes_token: true,
            version: "2026.8.1",
            most: 100,
            clock,
            log: Vec::new(),
            strange: Vec::new(),
            between: None,
            gate: None,
        }));
        let shared = Arc::clone(&world);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { address, world }
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn serve(mut stream: TcpStream, world: Arc<Mutex<World>>) {
    let mut bytes = Vec::new();
    loop {
        let mut part = [0; 4096];
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            match tokio::time::timeout(Duration::from_secs(60), stream.read(&mut part)).await {
                Ok(Ok(length @ 1..)) => bytes.extend_from_slice(&part[..length]),
                _ => return,
            }
        };
        let head = String::from_utf8(bytes.drain(..end).collect()).unwrap();
        let (line, head) = head.split_once("\r\n").unwrap();
        let mut words = line.split(' ');
        let (method, target) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
        let (reply, now, gate) = {
            let mut world = world.lock().unwrap();
            if let Some(mut between) = world.between.take() {
                between(&mut world);
                world.between = Some(between);
            }
            world.log.push((method.clone(), target.clone(), head.to_owned()));
            if !is_known(&method, &target) {
                world.strange.push(format!("{method} {target}"));
            }
            (world.answer(&method, &target, &head.replace("\r\n", "\n")), world.clock.now(), world.gate.clone())
        };
        if let Some(gate) = gate {
            gate.acquire().await.unwrap().forget();
        }
        if !reply.delay.is_zero() {
            tokio::time::sleep(reply.delay).await;
        }
        if reply.is_cut {
            return;
        }
        let length = reply.body.len();
        let seconds = jiff::Timestamp::from_microsecond(now.0).unwrap().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let location = if reply.location.is_empty() { String::new() } else { format!("location: {}\r\n", reply.location) };
        let head = format!(
            "HTTP/1.1 {} X\r\ncontent-type: {}\r\ncontent-length: {length}\r\ndate: {seconds}\r\n{location}\r\n",
            reply.status, reply.kind
        );
        let body = if reply.is_half { &reply.body[..length / 2] } else { &reply.body[..] };
        if stream.write_all(head.as_bytes()).await.is_err() || stream.write_all(body).await.is_err() || reply.is_half {
            return;
        }
    }
}
