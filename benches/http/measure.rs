//! Asking, and what it took.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::client::{Ask, Client};
use crate::operations::{KNOWN, PASSWORD, SESSIONS, VISITORS, bearer};
use crate::server::{Place, Server};

/// What one operation took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Measured {
    /// Processor time of the server for each request, in microseconds.
    pub server_micros: f64,
    /// The same of PostgreSQL.
    pub database_micros: f64,
    pub rate: f64,
    /// Milliseconds that a client waited: the median and the 99th of a hundred.
    pub p50: f64,
    pub p99: f64,
}

impl Measured {
    /// Milliseconds of processor time, server and database.
    pub fn cpu_ms(&self) -> f64 {
        (self.server_micros + self.database_micros) / 1000.0
    }
}

/// Runs `work`, which gives how long each of its requests waited, and counts what it cost.
fn count(server: &Server, place: Option<&Place>, work: impl FnOnce() -> Vec<f64>) -> Measured {
    let database = || place.map_or(0.0, Place::database_cpu);
    let (started, own, its) = (Instant::now(), server.cpu(), database());
    let mut waits = work();
    let (wall, own, its) = (started.elapsed().as_secs_f64(), server.cpu() - own, database() - its);
    waits.sort_by(f64::total_cmp);
    let at = |part: usize| waits[(waits.len() * part / 100).min(waits.len() - 1)];
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 requests")]
    let requests = waits.len() as f64;
    let micros = |seconds: f64| seconds / requests * 1e6;
    Measured { server_micros: micros(own), database_micros: micros(its), rate: requests / wall, p50: at(50), p99: at(99) }
}

/// Asks in turn from several connections, for a while; a warm-up first.
pub fn reads(
    server: &Server,
    place: Option<&Place>,
    asks: &[Ask],
    connections: usize,
    time: Duration,
    is_disturbed: bool,
) -> Measured {
    assert!(!asks.is_empty());
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        if is_disturbed {
            scope.spawn(|| disturb(server, &is_over));
        }
        rounds(&server.address, asks, connections, (time / 8).min(Duration::from_millis(300)));
        let measured = count(server, place, || rounds(&server.address, asks, connections, time));
        is_over.store(true, Ordering::Relaxed);
        measured
    })
}

/// Asks each once, one after the other, without a warm-up.
pub fn once(server: &Server, place: Option<&Place>, asks: &[Ask]) -> Measured {
    once_from(server, place, asks, 1)
}

/// The same from several connections, each with its share.
pub fn once_from(server: &Server, place: Option<&Place>, asks: &[Ask], connections: usize) -> Measured {
    let ask_all = |asks: &[Ask]| -> Vec<f64> {
        let mut client = Client::connect(&server.address);
        let mut ask = |ask: &Ask| {
            let asked = Instant::now();
            let status = client.ask(ask);
            assert_eq!(Some(status), ask.status, "{}", ask.path);
            millis(asked)
        };
        asks.iter().map(&mut ask).collect()
    };
    let ask_all = &ask_all;
    count(server, place, || {
        std::thread::scope(|scope| {
            let shares = asks.chunks(asks.len().div_ceil(connections));
            let workers: Vec<_> = shares.map(|share| scope.spawn(move || ask_all(share))).collect();
            workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
        })
    })
}

/// Asks a proxy at another address in turn, without a warm-up, and counts what the server behind it took.
pub fn at(server: &Server, place: Option<&Place>, address: &str, asks: &[Ask], connections: usize, time: Duration) -> Measured {
    count(server, place, || rounds(address, asks, connections, time))
}

fn rounds(address: &str, asks: &[Ask], connections: usize, time: Duration) -> Vec<f64> {
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..connections)
            .map(|worker| {
                scope.spawn(move || {
                    let mut client = Client::connect(address);
                    let (started, mut waits) = (Instant::now(), Vec::new());
                    for ask in asks.iter().cycle().skip(worker * 7 % asks.len()) {
                        let asked = Instant::now();
                        let status = client.ask(ask);
                        let is_expected = ask.status.map_or(matches!(status, 200..=399), |expected| status == expected);
                        assert!(is_expected, "{} answered {status}", ask.path);
                        waits.push(millis(asked));
                        if started.elapsed() > time {
                            break;
                        }
                    }
                    waits
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    })
}

/// Signs people in, some 30 a second, so that what was answered before is not true any more.
fn disturb(server: &Server, is_over: &AtomicBool) {
    let mut client = Client::connect(&server.address);
    let mut visitor = Visitor::meet(&mut client, VISITORS - 1);
    while !is_over.load(Ordering::Relaxed) {
        visitor.sign_in(&mut client);
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// Somebody at the sign-in page.
struct Visitor {
    form: Ask,
}

impl Visitor {
    fn meet(client: &mut Client, number: u32) -> Self {
        assert_eq!(client.ask(&Ask::get("/sign-in", "")), 200);
        let cookie = client.headers("set-cookie").find_map(|cookie| cookie.strip_prefix("rollcall_form=")).unwrap();
        let cookie = cookie.split(';').next().unwrap().to_owned();
        let page = String::from_utf8_lossy(&client.body).into_owned();
        let after = |mark: &str| page.split_once(mark).unwrap().1.split('"').next().unwrap().to_owned();
        let proof = after("name=\"proof\" value=\"");
        let head = format!(
            "Cookie: rollcall_form={cookie}\r\nContent-Type: application/x-www-form-urlencoded\r\nX-Forwarded-For: 11.1.{number}.1\r\n"
        );
        let word = crate::operations::encoded;
        let body = format!("proof={}&uid=visitor-{number}&password={}&next=%2F", word(&proof), word(PASSWORD));
        Self { form: Ask { method: "POST", path: "/sign-in".into(), head, body, ..Ask::default() } }
    }

    fn sign_in(&mut self, client: &mut Client) {
        let status = client.ask(&self.form);
        assert_eq!(status, 303, "{}", String::from_utf8_lossy(&client.body));
    }
}

/// Signs in from many connections at once.
pub fn sign_ins(server: &Server, place: &Place, time: Duration) -> Measured {
    let people: Vec<_> = (0..VISITORS)
        .map(|number| {
            let mut client = Client::connect(&server.address);
            let visitor = Visitor::meet(&mut client, number);
            (client, visitor)
        })
        .collect();
    count(server, Some(place), || {
        std::thread::scope(|scope| {
            let workers: Vec<_> = people
                .into_iter()
                .map(|(mut client, mut visitor)| {
                    scope.spawn(move || {
                        let (started, mut waits) = (Instant::now(), Vec::new());
                        while started.elapsed() < time {
                            let asked = Instant::now();
                            visitor.sign_in(&mut client);
                            waits.push(millis(asked));
                        }
                        waits
                    })
                })
                .collect();
            workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
        })
    })
}

/// Ends single sessions while sixteen others list.
pub fn ends(server: &Server, place: &Place, time: Duration) -> Measured {
    let list = [Ask::get(format!("{SESSIONS}?page_size=20&ordering=-last_used"), &bearer())];
    let ends: Vec<Ask> = (0..KNOWN - 10)
        .map(|n| {
            let path = format!("{SESSIONS}00000000-0000-4000-8000-{n:012x}/");
            Ask { method: "DELETE", path, head: bearer(), ..Ask::default() }
        })
        .collect();
    while_others_ask(server, place, &list, &ends, time)
}

/// Checks cookies while sixteen others search for one letter, which is the slowest search.
pub fn checks(server: &Server, place: &Place, time: Duration) -> Measured {
    let letters = [Ask::get(format!("{SESSIONS}?search=e"), &bearer())];
    // The last of these people are not among those whose sessions end.
    let check = Ask::get("/sign-in", &format!("Cookie: rollcall_session=key-{}\r\n", KNOWN - 1));
    while_others_ask(server, place, &letters, &vec![check; 100_000], time)
}

/// Asks one question after the other, each once, while sixteen others ask theirs again and again.
fn while_others_ask(server: &Server, place: &Place, theirs: &[Ask], ours: &[Ask], time: Duration) -> Measured {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let mut client = Client::connect(&server.address);
                for ask in theirs.iter().cycle().take_while(|_| !is_over.load(Ordering::Relaxed)) {
                    // 503: the queue is full.
                    assert!(matches!(client.ask(ask), 200 | 503));
                }
            });
        }
        if theirs.iter().any(|ask| ask.path.contains("search=")) {
            scope.spawn(|| disturb(server, &is_over));
        }
        let mut client = Client::connect(&server.address);
        let measured = count(server, Some(place), || {
            let (started, mut waits) = (Instant::now(), Vec::new());
            for ask in ours {
                let asked = Instant::now();
                assert!(client.ask(ask) < 400, "{}", ask.path);
                waits.push(millis(asked));
                if started.elapsed() > time {
                    break;
                }
            }
            waits
        });
        is_over.store(true, Ordering::Relaxed);
        // The cost includes that of the other requests, so only the waits are kept.
        Measured { server_micros: f64::NAN, database_micros: f64::NAN, ..measured }
    })
}

/// What ending the sessions of many users took.
#[derive(Clone, Copy, Debug)]
pub struct Bulk {
    pub sessions: i64,
    pub users: usize,
    /// Until all were signed out.
    pub seconds: f64,
    /// When that was.
    pub signed_out: Instant,
    /// From then until all were among the ended sessions.
    pub moving: f64,
    /// The longest waits of other requests until all were signed out, then until all were moved, and from then on.
    pub waits: [Waits; 3],
}

/// The longest that others waited, in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Waits {
    /// For a list or the check of a cookie.
    pub read: f64,
    /// For a sign-in.
    pub sign_in: f64,
}

/// Ends the sessions of these users, as many a call as an address holds, while others list, check a
/// cookie and sign in; waits until they are moved, and does what is to be done `then`.
pub fn bulk_end(server: &Server, users: &[i64], then: impl FnOnce(&mut Client)) -> Bulk {
    let (begun, is_over) = (Instant::now(), AtomicBool::new(false));
    let asks = [
        Ask::get(format!("{SESSIONS}?page_size=20&ordering=-last_used"), &bearer()),
        Ask::get("/sign-in", "Cookie: rollcall_session=key-1999\r\n"),
    ];
    std::thread::scope(|scope| {
        let others: Vec<_> = asks
            .iter()
            .map(|ask| {
                let is_over = &is_over;
                scope.spawn(move || {
                    let (mut client, mut waits) = (Client::connect(&server.address), Vec::new());
                    while !is_over.load(Ordering::Relaxed) {
                        let asked = Instant::now();
                        assert!(client.ask(ask) < 400);
                        waits.push((asked, millis(asked)));
                        std::thread::sleep(Duration::from_millis(2));
                    }
                    waits
                })
            })
            .collect();
        let signing_in = scope.spawn(|| sign_in_until(server, &is_over));
        let mut client = Client::connect(&server.address);
        let ended_before = count_ended(&mut client);
        let (started, mut sessions) = (Instant::now(), 0);
        for users in users.chunks(3000) {
            let users: Vec<String> = users.iter().map(|id| format!("user_pks={id}")).collect();
            let path = format!("{SESSIONS}bulk_delete/?{}", users.join("&"));
            assert_eq!(client.ask(&Ask { method: "DELETE", path, head: bearer(), ..Ask::default() }), 200);
            sessions += client.json()["deleted"].as_i64().unwrap();
        }
        let signed_out = Instant::now();
        // A sign-in ends the session that it replaces, which is counted here too: the loop may end
        // a moment early.
        while count_ended(&mut client) < ended_before + sessions {
            std::thread::sleep(Duration::from_millis(100));
        }
        let moved = Instant::now();
        then(&mut client);
        is_over.store(true, Ordering::Relaxed);
        let reads: Vec<_> = others.into_iter().flat_map(|other| other.join().unwrap()).collect();
        let sign_ins = signing_in.join().unwrap();
        let longest = |waits: &[(Instant, f64)], from: Instant, until: Instant| {
            waits.iter().filter(|(asked, _)| (from..until).contains(asked)).map(|(_, wait)| *wait).fold(0.0, f64::max)
        };
        let spans = [(begun, signed_out), (signed_out, moved), (moved, Instant::now())];
        let waits =
            spans.map(|(from, until)| Waits { read: longest(&reads, from, until), sign_in: longest(&sign_ins, from, until) });
        let (seconds, moving) = ((signed_out - started).as_secs_f64(), (moved - signed_out).as_secs_f64());
        Bulk { sessions, users: users.len(), seconds, signed_out, moving, waits }
    })
}

/// One person signs in again and again, with 20 ms between: when each was asked for, and what it took in milliseconds.
fn sign_in_until(server: &Server, is_over: &AtomicBool) -> Vec<(Instant, f64)> {
    let (mut client, mut waits) = (Client::connect(&server.address), Vec::new());
    let mut visitor = Visitor::meet(&mut client, 0);
    while !is_over.load(Ordering::Relaxed) {
        let asked = Instant::now();
        visitor.sign_in(&mut client);
        waits.push((asked, millis(asked)));
        std::thread::sleep(Duration::from_millis(20));
    }
    waits
}

/// How long a piece of work took, in seconds; and how long each sign-in took that one person made during the work,
/// in milliseconds.
pub fn while_people_sign_in(server: &Server, work: impl FnOnce()) -> (f64, Vec<f64>) {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let signing_in = scope.spawn(|| sign_in_until(server, &is_over));
        let started = Instant::now();
        work();
        let seconds = started.elapsed().as_secs_f64();
        is_over.store(true, Ordering::Relaxed);
        (seconds, signing_in.join().unwrap().into_iter().map(|(_, wait)| wait).collect())
    })
}

fn count_ended(client: &mut Client) -> i64 {
    client.get_json("/api/v3/core/ended_sessions/?page_size=1", &bearer())["pagination"]["count"].as_i64().unwrap()
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}
