//! Watching an authentik: what the copy costs there, how soon it shows what happened there, and what lists of its sessions
//! cost next to Rollcall's own. A second Rollcall on SQLite, in a process of its own, plays authentik.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::client::{Ask, Client};
use crate::measure;
use crate::operations::{SESSIONS, bearer};
use crate::report::Report;
use crate::server::{Cluster, Kind, Place, Server, TOKEN};

/// How often an answer is asked for that is waited for.
const LOOK: Duration = Duration::from_millis(100);
/// The longest wait.
const PATIENCE: Duration = Duration::from_secs(3_600);
/// How long the steady cost is measured.
const STEADY: Duration = Duration::from_secs(60);
/// How many sessions begin, and end, one after the other.
const SAMPLES: u32 = 20;
/// How often each list is measured.
const ROUNDS: usize = 5;
/// The share of the first copy, and that of the rest: the default.
const FIRST_SHARE: &str = "0.25";
const SHARE: &str = "0.05";
/// What is asked of own and of watched sessions.
const LISTS: [(&str, &str); 6] = [
    ("first page, the last used first", "ordering=-last_used&page_size=100"),
    ("first page by username", "page_size=100"),
    ("page in the middle", "ordering=-last_used&page_size=20&page=2000"),
    ("search for a word", "search=firefox&page_size=20"),
    ("filter by country", "country=DE&page_size=20"),
    ("filter by system, by user agent", "os=Windows&ordering=last_user_agent&page_size=20"),
];

/// Both servers, and a connection to each.
struct Pair {
    authentik: Server,
    rollcall: Server,
    there: Client,
    here: Client,
}

impl Pair {
    fn start(authentik: Server, place: &Place, share: &str) -> Self {
        let mut command = place.rollcall();
        command.arg("serve").env("ROLLCALL_AUTHENTIK__URL", format!("http://{}", authentik.address));
        command.env("ROLLCALL_AUTHENTIK__TOKEN", TOKEN).env("ROLLCALL_AUTHENTIK__ALLOW_SUPERUSER", "true");
        command.env("ROLLCALL_AUTHENTIK__SHARE", share);
        let rollcall = Server::start(command);
        let (there, here) = (Client::connect(&authentik.address), Client::connect(&rollcall.address));
        Self { authentik, rollcall, there, here }
    }

    /// The number of sessions that the copy has.
    fn copied(&mut self) -> i64 {
        let answer = self.here.get_json(&format!("{SESSIONS}?source=authentik&page_size=1"), &bearer());
        answer["pagination"]["count"].as_i64().unwrap()
    }

    /// Some sessions that authentik has, from the end of the order by UUID: those that begin in this measurement are not
    /// among them.
    fn some(&mut self, count: u32) -> Vec<String> {
        let (mut found, count) = (Vec::new(), count.min(u32::try_from(self.total()).unwrap_or(0)));
        for page in 1..=count.div_ceil(100) {
            let answer = self.there.get_json(&format!("{SESSIONS}?ordering=-uuid&page_size=100&page={page}"), &bearer());
            let rows = answer["results"].as_array().unwrap();
            found.extend(rows.iter().map(|row| row["uuid"].as_str().unwrap().to_owned()));
        }
        found.truncate(count as usize);
        found
    }

    /// The number of sessions that authentik has.
    fn total(&mut self) -> i64 {
        self.there.get_json(&format!("{SESSIONS}?page_size=1"), &bearer())["pagination"]["count"].as_i64().unwrap()
    }

    /// Waits until the copy answers with this status for a session, and gives how long that took.
    fn until(&mut self, uuid: &str, status: u16) -> f64 {
        let began = Instant::now();
        let ask = Ask::get(format!("{SESSIONS}{uuid}/"), &bearer());
        while self.here.ask(&ask) != status {
            assert!(began.elapsed() < PATIENCE, "{uuid} is not seen");
            std::thread::sleep(LOOK);
        }
        began.elapsed().as_secs_f64()
    }
}

/// Measures a watcher on a database, of an authentik with this many sessions, next to as many of its own.
pub fn run(kind: Kind, cluster: Option<&Cluster>, sessions: u32, time: Duration, report: &mut Report) {
    let (source, place, other) = (Place::new(Kind::Sqlite, None), Place::new(kind, cluster), Place::new(kind, cluster));
    let (users, count) = ((sessions / 5).to_string(), sessions.to_string());
    for place in [&source, &place, &other] {
        place.run(&["generate", "--users", &users, "--sessions", &count, "--ended", "0", "--events", "0"]);
        place.analyze();
    }
    let mut command = source.rollcall();
    command.arg("serve");
    let mut pair = Pair::start(Server::start(command), &place, FIRST_SHARE);
    report.note(&format!("watching an authentik with {sessions} sessions, played by Rollcall, from {}", kind.name()));

    let (began, cpu) = (Instant::now(), pair.authentik.cpu());
    let total = pair.total();
    while pair.copied() < total {
        assert!(began.elapsed() < PATIENCE, "the first copy does not end");
        std::thread::sleep(LOOK * 5);
    }
    report.note(&format!(
        "the first copy took {:.0} s at a share of {FIRST_SHARE} (bound 600 s), and {:.1} s of authentik's processor time (bound 120 s)",
        began.elapsed().as_secs_f64(),
        pair.authentik.cpu() - cpu
    ));

    let Pair { authentik, rollcall, .. } = pair;
    drop(rollcall);
    let mut pair = Pair::start(authentik, &place, SHARE);
    // The walk with which a poller begins is over when the first new session was seen.
    let first = begin(&source, 0);
    pair.until(&first, 200);
    let cpu = pair.authentik.cpu();
    std::thread::sleep(STEADY);
    let part = (pair.authentik.cpu() - cpu) / STEADY.as_secs_f64() * 100.0;
    report.note(&format!("the steady cost at a share of {SHARE} is {part:.1} % of one core of authentik's (bound 5 %)"));

    let mut command = other.rollcall();
    command.arg("serve");
    lists([(&Server::start(command), &other), (&pair.rollcall, &place)], time, report);
    ends(&mut pair, report);
    let churn = Churn::start(&mut pair);
    let (mut seen, mut ended) = (Vec::new(), Vec::new());
    for nth in 1..=SAMPLES {
        let uuid = begin(&source, nth);
        seen.push(pair.until(&uuid, 200));
        let mut end = Ask::get(format!("{SESSIONS}{uuid}/"), &bearer());
        end.method = "DELETE";
        assert_eq!(pair.there.ask(&end), 204);
        ended.push(pair.until(&uuid, 404));
    }
    let others = churn.stop();
    for (what, waits, bound) in [("new", seen, 10), ("ended", ended, 30)] {
        report.note(&format!(
            "a session that was {what} there shows after {:.1} s (p95 of {SAMPLES}; bound {bound} s; one a second ended, {others} in all)",
            p95(waits)
        ));
    }
}

/// What an end of a watched session takes in all, next to what authentik takes for the same requests.
fn ends(pair: &mut Pair, report: &mut Report) {
    let uuids = pair.some(SAMPLES * 2);
    let (mut there, mut here) = (Vec::new(), Vec::new());
    for (nth, uuid) in uuids.iter().enumerate() {
        let get = Ask::get(format!("{SESSIONS}{uuid}/"), &bearer());
        let mut end = Ask::get(format!("{SESSIONS}{uuid}/"), &bearer());
        end.method = "DELETE";
        let began = Instant::now();
        if nth % 2 == 0 {
            let statuses = [pair.there.ask(&get), pair.there.ask(&end), pair.there.ask(&get)];
            assert_eq!(statuses, [200, 204, 404]);
            there.push(began.elapsed().as_secs_f64());
        } else {
            assert_eq!(pair.here.ask(&end), 204);
            here.push(began.elapsed().as_secs_f64());
        }
    }
    let (there, here) = (p95(there) * 1000.0, p95(here) * 1000.0);
    report.note(&format!(
        "an end takes {here:.1} ms from the click to \"authentik says it is gone\", and authentik alone {there:.1} ms (p95 of {SAMPLES}; bound: 100 ms more)"
    ));
}

/// Sessions that end at authentik, one a second, until it is stopped.
struct Churn {
    is_over: Arc<AtomicBool>,
    ending: JoinHandle<usize>,
}

impl Churn {
    fn start(pair: &mut Pair) -> Self {
        let uuids = pair.some(5_000);
        let (is_over, mut there) = (Arc::new(AtomicBool::new(false)), Client::connect(&pair.authentik.address));
        let told = Arc::clone(&is_over);
        let ending = std::thread::spawn(move || {
            let mut ended = 0;
            for uuid in uuids {
                if told.load(Ordering::SeqCst) {
                    break;
                }
                let mut end = Ask::get(format!("{SESSIONS}{uuid}/"), &bearer());
                end.method = "DELETE";
                ended += usize::from(there.ask(&end) == 204);
                std::thread::sleep(Duration::from_secs(1));
            }
            ended
        });
        Self { is_over, ending }
    }

    /// Gives how many ended.
    fn stop(self) -> usize {
        self.is_over.store(true, Ordering::SeqCst);
        self.ending.join().expect("the churn ended sessions")
    }
}

/// Lists of own sessions of a server without and of one with the watch, and lists of watched sessions, in turns: what the
/// machine adds is the same for all. The poller's work in the server's process is part of what a list takes there. Its work
/// in PostgreSQL is part of all of them: both servers have a database of one cluster.
fn lists([alone, watching]: [(&Server, &Place); 2], time: Duration, report: &mut Report) {
    let ask = |(server, place): (&Server, &Place), source: &str, query: &str| {
        let asks = [Ask::get(format!("{SESSIONS}?{source}{query}"), &bearer())];
        measure::reads(server, Some(place), &asks, 1, time, false).cpu_ms()
    };
    let kinds = [(alone, ""), (watching, ""), (watching, "source=authentik&"), (watching, "source=all&")];
    for (name, query) in LISTS {
        let mut rounds: [Vec<f64>; 4] = Default::default();
        // The first round reads the sessions into memory.
        for round in 0..=ROUNDS {
            for (kind, took) in kinds.iter().zip(&mut rounds) {
                let cpu = ask(kind.0, kind.1, query);
                took.extend((round > 0).then_some(cpu));
            }
        }
        let [alone, own, watched, both] = rounds.map(median);
        report.note(&format!(
            "{name}: own {own:.3} ms of processor time ({:+.1} % of what it is without the watch; bound 5 %), watched {watched:.3} ms \
             ({:+.0} %), both {both:.3} ms (medians of {ROUNDS})",
            (own / alone - 1.0) * 100.0,
            (watched / own - 1.0) * 100.0,
        ));
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Begins a session at authentik, and gives its UUID.
fn begin(source: &Place, nth: u32) -> String {
    let uuid = format!("00000000-0000-4000-9000-{nth:012x}");
    let now = humantime::format_rfc3339_micros(std::time::SystemTime::now());
    let user = r#"{"kind":"user","id":2000000000,"username":"newcomer"}"#;
    let session = format!(
        r#"{{"kind":"session","uuid":"{uuid}","session_key":"watch-{nth}","user":2000000000,"last_ip":"11.0.0.1","last_user_agent":"curl/8.14.1","last_used":"{now}","expires":"2099-01-01T00:00:00Z"}}"#
    );
    let file = source.write("new.jsonl", &if nth == 0 { format!("{user}\n{session}\n") } else { format!("{session}\n") });
    source.run(&["import", file.to_str().unwrap()]);
    uuid
}

fn p95(mut waits: Vec<f64>) -> f64 {
    waits.sort_by(f64::total_cmp);
    waits[(waits.len() - 1) * 95 / 100]
}
