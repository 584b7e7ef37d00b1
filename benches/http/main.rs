//! What requests cost, over HTTP on loopback, against the release binary in a process of its own.
//!
//!     cargo bench                                  all of it: some 25 minutes
//!     cargo bench -- --sessions 100000 --database sqlite --concurrency 1 --passes 1 --seconds 1 --only search
//!     cargo bench -- --sessions 1000000 --ended 5000000 --events 10000000 --only users,events,ended
//!                                                  lists of people and history at full size, by parts of the names of
//!                                                  rows; takes 20 GB and, to make it, some 15 minutes
//!     cargo bench -- --app-sessions 3000000 --sessions 1000000 --only oidc
//!                                                  OpenID Connect at the goal's size, three apps in each session; with
//!                                                  2700000, a tenth of the sessions has none, to compare ends with and
//!                                                  without apps. The default is 4 app sessions for 10 sessions
//!     cargo bench -- --watch 100000                what it costs to watch an authentik with that many sessions, and how
//!                                                  soon the copy shows what happened there: some 10 minutes a database
//!     cargo bench -- --json now.json               the figures for machines, too
//!     cargo bench -- --compare before.json now.json
//!
//! Prints, for each database and number of sessions: processor time for each request (the server's, and
//! PostgreSQL's), requests a second, the median and 99th percentile of what a client waits, and how
//! much of the same machine's ceiling that is: of this server answering a fixed body of the same size
//! in the same run. What reads and signs in is measured in three passes, and the cheapest of each row counts;
//! what reads, with all numbers of sessions side by side. At the end, what grew from 100,000 to 1,000,000 sessions.
//! Load and server share the machine's cores, so judge by processor time and by the ratios.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark stops at the first surprise"
)]

mod ceiling;
mod client;
mod guard;
mod measure;
mod oidc;
mod operations;
mod people;
mod receiver;
mod report;
mod server;
mod watch;

use std::time::{Duration, Instant};

use crate::measure::Measured;
use crate::operations::{Bound, Operation, Samples};
use crate::report::{Report, Row};
use crate::server::{Cluster, Kind, Place, Server};

struct Options {
    sessions: Vec<u32>,
    /// `None`: 4 for 10 sessions.
    app_sessions: Option<u32>,
    ended: u32,
    events: u32,
    databases: Vec<Kind>,
    concurrency: Vec<usize>,
    passes: usize,
    time: Duration,
    only: String,
    json: Option<String>,
    /// The number of sessions of an authentik to watch, in place of everything else.
    watch: Option<u32>,
}

fn main() {
    let mut options = Options {
        sessions: vec![1000, 100_000, 1_000_000],
        app_sessions: None,
        ended: 20_000,
        events: 20_000,
        databases: vec![Kind::Sqlite, Kind::Postgres],
        concurrency: vec![1, 16],
        passes: 3,
        time: Duration::from_millis(300),
        only: String::new(),
        json: None,
        watch: None,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().unwrap_or_else(|| panic!("{argument} takes a value"));
        match argument.as_str() {
            "--sessions" => options.sessions = value().split(',').map(|n| n.parse().expect("--sessions takes numbers")).collect(),
            "--app-sessions" => options.app_sessions = Some(value().parse().expect("--app-sessions takes a number")),
            "--ended" => options.ended = value().parse().expect("--ended takes a number"),
            "--events" => options.events = value().parse().expect("--events takes a number"),
            "--database" => {
                options.databases = match value().as_str() {
                    "sqlite" => vec![Kind::Sqlite],
                    "postgres" => vec![Kind::Postgres],
                    other => panic!("--database takes sqlite or postgres, not {other}"),
                }
            }
            "--concurrency" => {
                options.concurrency = value().split(',').map(|n| n.parse().expect("--concurrency takes numbers")).collect();
            }
            "--passes" => options.passes = value().parse().expect("--passes takes a number"),
            "--seconds" => options.time = Duration::from_secs_f64(value().parse().expect("--seconds takes a number")),
            "--only" => options.only = value(),
            "--watch" => options.watch = Some(value().parse().expect("--watch takes a number")),
            "--json" => options.json = Some(value()),
            "--compare" => {
                let (before, now) = (value(), arguments.next().expect("--compare takes two files"));
                return report::compare(&before, &now);
            }
            // The process that answers fixed bodies.
            "--ceiling" => return ceiling::serve(),
            "--bench" => {} // cargo's own
            other => panic!("unknown argument {other}"),
        }
    }
    let cluster = options.databases.contains(&Kind::Postgres).then(Cluster::find).flatten();
    if cluster.is_none() && options.databases.contains(&Kind::Postgres) {
        println!("PostgreSQL is SKIPPED: set TEST_DATABASE_URL, or install it\n");
        options.databases.retain(|kind| *kind == Kind::Sqlite);
    }
    let mut report = Report::default();
    for kind in &options.databases {
        match options.watch {
            Some(sessions) => watch::run(*kind, cluster.as_ref(), sessions, options.time, &mut report),
            None => run(&options, *kind, cluster.as_ref(), &mut report),
        }
    }
    if options.watch.is_none() {
        report.print_growth();
    }
    if let Some(path) = &options.json {
        report.write_json(path);
    }
}

/// A server with `sessions` sessions.
struct Subject {
    server: Server,
    place: Place,
    samples: Samples,
    history: people::History,
    keys: guard::Keys,
    apps: oidc::Apps,
    sessions: u32,
    /// The first of the generated users; the others follow.
    first_user: i64,
    /// How long it took to make and to start it.
    words: String,
}

/// Measures a database: what reads with all numbers of sessions side by side, then what writes.
fn run(options: &Options, kind: Kind, cluster: Option<&Cluster>, report: &mut Report) {
    let subjects: Vec<_> = options.sessions.iter().map(|sessions| Subject::new(kind, *sessions, options, cluster)).collect();
    let operations: Vec<Vec<_>> = subjects.iter().map(|subject| subject.operations(&options.only)).collect();
    let read = reads(options, &subjects, &operations);
    for ((subject, operations), read) in subjects.iter().zip(&operations).zip(read) {
        report.begin(kind, subject.sessions, &subject.words);
        let all = operations.iter().flat_map(|operation| options.concurrency.iter().map(move |at_once| (operation, *at_once)));
        let mut checks = Vec::new();
        for ((operation, connections), (measured, ceiling)) in all.zip(read) {
            checks.push((operation, connections, measured, ceiling));
            report.add(&row(operation.name, connections, measured, Some(ceiling), operation.bound));
            if operation.name == operations::CHECK {
                let over = (measured.cpu_ms() - ceiling.cpu_ms()) * 1000.0;
                report.note(&format!("{} {connections} at once: {over:.0} µs of CPU more than a fixed body", operation.name));
            }
        }
        guard::note_beyond(report, kind, &checks);
        oidc::note_ratios(report, &checks);
        if is_named(guard::IDENTITY, &options.only) {
            guard::signed_identity(&subject.server, &subject.place, report);
        }
        if THROUGH_NGINX.contains(&options.only) {
            let connections = options.concurrency.iter().copied().max().unwrap_or(1);
            let time = (options.time * 4).max(Duration::from_secs(1));
            guard::through_nginx(&subject.server, &subject.place, &subject.keys, connections, time, report);
        }
        writes(options, subject, report);
        report.note(&format!("memory after all this: {:.1} MB", subject.server.memory_mb()));
    }
}

impl Subject {
    fn new(kind: Kind, sessions: u32, options: &Options, cluster: Option<&Cluster>) -> Self {
        let place = Place::new(kind, cluster);
        let started = Instant::now();
        let (users, count) = ((sessions / 5).to_string(), sessions.to_string());
        let (ended, events) = (options.ended.to_string(), options.events.to_string());
        let apps = options.app_sessions.unwrap_or(sessions / 10 * 4).min(sessions.saturating_mul(3)).to_string();
        let receiver = receiver::Receiver::start();
        let clients = place.write("clients.jsonl", &oidc::lines(&receiver));
        place.run(&["import", clients.to_str().unwrap()]);
        place.run(&[
            "generate",
            "--users",
            &users,
            "--sessions",
            &count,
            "--app-sessions",
            &apps,
            "--ended",
            &ended,
            "--events",
            &events,
        ]);
        let loaded = started.elapsed().as_secs_f64();
        let known = place.write("known.jsonl", &format!("{}{}", operations::known_lines(), people::known_lines()));
        place.run(&["import", known.to_str().unwrap()]);
        place.analyze();
        let mut command = place.rollcall();
        command.arg("serve");
        let server = Server::start(command);
        let words = format!(
            "{} with {sessions} sessions of {users} users, {apps} app sessions, {ended} ended sessions and {events} events: made in {loaded:.1} s, ready {:.0} ms after start, idle at {:.1} MB",
            kind.name(),
            server.ready_ms,
            server.memory_mb()
        );
        let first_user = people::add_groups(&server, sessions / 5);
        place.analyze();
        let history = people::samples(&server);
        let mut samples = operations::samples(&server);
        samples.learn_names(&place);
        wait_for_index(&server);
        let keys = guard::Keys::open(&server);
        let apps = oidc::Apps::open(&server, receiver);
        Self { server, place, samples, history, keys, apps, sessions, first_user, words }
    }

    /// What is to be measured, as far as it was asked for.
    fn operations(&self, only: &str) -> Vec<Operation> {
        let all = self.samples.operations().into_iter().chain(self.history.operations()).chain(self.keys.operations());
        let all = all.chain(self.apps.operations());
        let is_measure = |name: &str| name == operations::CHECK && oidc::needs_check(only);
        all.filter(|operation| is_named(operation.name, only) || is_measure(operation.name)).collect()
    }
}

/// Whether a name has one of the parts that were asked for, which commas separate; none: all names.
fn is_named(name: &str, only: &str) -> bool {
    only.split(',').any(|part| name.contains(part.trim()))
}

/// Measures what reads, all of it once in each pass, and gives for each subject the cheapest pass of each operation:
/// what others on the machine add comes and goes within minutes, and never makes anything cheaper. An operation is
/// measured with each number of sessions right after another, so that what it grows by is not what the machine changed
/// by. The second figure is what a fixed body of the same size took right after.
fn reads(options: &Options, subjects: &[Subject], operations: &[Vec<Operation>]) -> Vec<Vec<(Measured, Measured)>> {
    let ceilings = ceiling::Ceilings::start();
    let mut cheapest = vec![Vec::new(); subjects.len()];
    for pass in 0..options.passes {
        for n in 0..operations[0].len() {
            for (at, at_once) in options.concurrency.iter().enumerate() {
                for ((subject, operations), cheapest) in subjects.iter().zip(operations).zip(&mut cheapest) {
                    let Operation { asks, is_disturbed, .. } = &operations[n];
                    let place = Some(&subject.place);
                    let measured = measure::reads(&subject.server, place, asks, *at_once, options.time, *is_disturbed);
                    let ceiling = ceilings.measure(&subject.server, &asks[0], *at_once, options.time);
                    if pass == 0 {
                        cheapest.push((measured, ceiling));
                        continue;
                    }
                    let before: &mut (Measured, Measured) = &mut cheapest[n * options.concurrency.len() + at];
                    if measured.cpu_ms() < before.0.cpu_ms() {
                        *before = (measured, ceiling);
                    }
                }
            }
        }
    }
    cheapest
}

/// Waits until the sessions are in memory: the first search makes the server read them, in the
/// background.
fn wait_for_index(server: &Server) {
    let mut client = client::Client::connect(&server.address);
    let (mut quickest, mut asked) = (f64::INFINITY, 0);
    // A search in memory takes much less time than one in the database.
    while asked < 400 && quickest > 30.0 {
        let started = Instant::now();
        client.get_json(&format!("{}?search=zz{asked}", operations::SESSIONS), &operations::bearer());
        quickest = quickest.min(started.elapsed().as_secs_f64() * 1000.0);
        asked += 1;
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn row(name: &str, connections: usize, measured: Measured, ceiling: Option<Measured>, bound: Option<Bound>) -> Row<'_> {
    Row { name, connections, measured, ceiling, bound }
}

/// What writes, as far as it was asked for.
fn writes(options: &Options, subject: &Subject, report: &mut Report) {
    let Subject { server, place, apps, .. } = subject;
    apps.sign_ins(server, place, &options.concurrency, &options.only, report);
    // Ends and checks are few: of a hundred, the slowest is to be one of several.
    let time = options.time * 6;
    let is_asked = |name: &str| is_named(name, &options.only);
    if is_asked(ENDS) {
        report.add(&row(ENDS, 1, measure::ends(server, place, time), None, None));
    }
    if is_asked(CHECKS) {
        report.add(&row(CHECKS, 1, measure::checks(server, place, time), None, None));
    }
    if is_asked(SIGN_INS) {
        let visitors = usize::try_from(operations::VISITORS).unwrap();
        let passes = (0..options.passes).map(|_| measure::sign_ins(server, place, options.time * 2));
        let cheapest = passes.min_by(|one, other| one.cpu_ms().total_cmp(&other.cpu_ms())).unwrap();
        report.add(&row(SIGN_INS, visitors, cheapest, None, None));
    }
    if is_asked(BACKUP) {
        back_up(server, place, report);
    }
    if !is_asked(BULK_ENDS) && !is_asked(oidc::BULK_ENDS) {
        return;
    }
    // A fifth of the made users has half of the sessions: a tenth of all, as the users come. Sessions of the first user and
    // of each tenth one after it have apps, and those before these have none, unless almost all have some.
    let tenth = |nth: usize| -> Vec<i64> {
        (subject.first_user..subject.first_user + i64::from(subject.sessions / 5)).skip(nth).step_by(10).collect()
    };
    let bulk = measure::bulk_end(server, &tenth(9), |_| ());
    let [signing_out, moving, _] = bulk.waits;
    report.note(&format!(
        "{BULK_ENDS} signed out {} sessions of {} users in {:.2} s; during that time no list or check waited longer than {:.1} ms, no sign-in longer than {:.1} ms",
        bulk.sessions, bulk.users, bulk.seconds, signing_out.read, signing_out.sign_in
    ));
    report.note(&format!(
        "they were among the ended sessions {:.1} s later; during that time no list or check waited longer than {:.1} ms, no sign-in longer than {:.1} ms",
        bulk.moving, moving.read, moving.sign_in
    ));
    if is_asked(oidc::BULK_ENDS) {
        apps.bulk_end(server, place, &tenth(0), &bulk, report);
    }
}

/// Makes a backup, verified as ever, of the server that runs.
fn back_up(server: &Server, place: &Place, report: &mut Report) {
    let file = place.write("backup", "");
    std::fs::remove_file(&file).unwrap();
    let (seconds, mut waits) = measure::while_people_sign_in(server, || place.run(&["backup", file.to_str().unwrap()]));
    waits.sort_by(f64::total_cmp);
    let p99 = waits[(waits.len() - 1) * 99 / 100];
    let megabytes = std::fs::metadata(&file).unwrap().len() / 1_000_000;
    report.note(&format!(
        "{BACKUP}: {seconds:.1} s for {megabytes} MB, bound 20 s for a million sessions; of {} sign-ins during the backup the 99th percentile took {p99:.1} ms, bound 100 ms",
        waits.len()
    ));
    std::fs::remove_file(&file).unwrap();
}

const THROUGH_NGINX: &str = "guard: through nginx";
const ENDS: &str = "end one while 16 others list";
const CHECKS: &str = "check a cookie while 16 others search for a letter";
const SIGN_INS: &str = "sign in, 64 at once";
const BACKUP: &str = "backup";
const BULK_ENDS: &str = "bulk_delete";
