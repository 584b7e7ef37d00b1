//! What requests cost, over HTTP on loopback, against the release binary in a process of its own.
//!
//!     cargo bench                     100,000 sessions of 20,000 users in SQLite
//!     cargo bench -- --sessions 1000000
//!     cargo bench -- --database postgres://…    an empty database or schema
//!
//! Prints a table: processor time of the server for each request (all its threads, from
//! /proc/PID/stat), requests a second, and the median and 99th percentile of what a client waits.
//! Two processes share the machine's cores, so judge by processor time and by the ratios.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark stops at the first surprise"
)]

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const BINARY: &str = env!("CARGO_BIN_EXE_rollcall");
const TOKEN: &str = "bench-administrator-token";
/// Lists of 100 a second that authentik's stack answered on two cores with 100,000 sessions.
const AUTHENTIKS_LISTS: f64 = 21.0;

struct Options {
    sessions: u32,
    database: Option<String>,
}

fn main() {
    let options = options();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("load.jsonl");
    let uuids = write_load(&file, options.sessions);
    let started = Instant::now();
    let imported = rollcall(folder.path(), &options).arg("import").arg(&file).stderr(Stdio::null()).status().unwrap();
    assert!(imported.success(), "the import failed");
    println!("imported {} sessions in {:.1} s", options.sessions, started.elapsed().as_secs_f64());

    let started = Instant::now();
    let server = Server::start(folder.path(), &options);
    wait_until_ready(&server.address);
    println!("ready {:.0} ms after start, idle at {:.1} MB\n", started.elapsed().as_secs_f64() * 1000.0, server.memory_mb());

    let sessions = "/api/v3/core/authenticated_sessions/";
    let token = format!("Authorization: Bearer {TOKEN}\r\n");
    let cookie = "Cookie: rollcall_session=key-4242\r\n".to_owned();
    let nothing = String::new();
    let half = options.sessions / 200;
    println!("{:44} {:>10} {:>9} {:>9} {:>9}", "operation", "CPU µs", "/s", "p50 ms", "p99 ms");
    let run = |name: &str, head: &String, paths: Vec<String>| {
        let measured = measure(&server, head, &paths, 4);
        println!("{name:44} {:>10.1} {:>9.0} {:>9.2} {:>9.2}", measured.cpu_micros, measured.rate, measured.p50, measured.p99);
        measured
    };
    let one = |path: String| vec![path];
    let floor = run("ceiling: an answer without a body", &nothing, one("/-/health/live/".into()));
    let check = run("check a cookie (and redirect)", &cookie, one("/sign-in".into()));
    let lists: Vec<f64> = [
        ("list of 100, by username", ""),
        ("list of 100, by -last_used", "&ordering=-last_used"),
        ("list of 100, by last_ip", "&ordering=last_ip"),
        ("list of 100, by uuid", "&ordering=uuid"),
    ]
    .iter()
    .map(|(name, more)| run(name, &token, one(format!("{sessions}?page_size=100{more}"))).rate)
    .collect();
    run("list of 20, by username", &token, one(sessions.into()));
    run("list of one's own", &cookie, one(sessions.into()));
    run("filter by username", &token, (0..500).map(|n| format!("{sessions}?user__username=user-{n}")).collect());
    run("filter by address", &token, (0..250).map(|n| format!("{sessions}?session__last_ip=10.0.{n}.7")).collect());
    run("retrieve one with a token", &token, uuids.iter().take(2000).map(|uuid| format!("{sessions}{uuid}/")).collect());
    run("search a rare name", &token, (1000..1050).map(|n| format!("{sessions}?search=user-{n}")).collect());
    run("search a common word", &token, one(format!("{sessions}?search=firefox")));
    run("the page in the middle, by -last_used", &token, one(format!("{sessions}?page_size=100&ordering=-last_used&page={half}")));

    let slowest = lists.iter().copied().fold(f64::INFINITY, f64::min);
    println!(
        "\nlists of 100: {:.0} times authentik's {AUTHENTIKS_LISTS:.0} a second (the slowest order)",
        slowest / AUTHENTIKS_LISTS
    );
    println!("a cookie's check: {:.1} µs of CPU above an empty answer", check.cpu_micros - floor.cpu_micros);
    println!("memory after all this: {:.1} MB", server.memory_mb());
}

fn options() -> Options {
    let mut options = Options { sessions: 100_000, database: None };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--sessions" => options.sessions = arguments.next().and_then(|n| n.parse().ok()).expect("--sessions takes a number"),
            "--database" => options.database = Some(arguments.next().expect("--database takes a URL")),
            "--bench" => {} // cargo's own
            other => panic!("unknown argument {other}"),
        }
    }
    options
}

fn rollcall(folder: &Path, options: &Options) -> Command {
    let mut command = Command::new(BINARY);
    command.current_dir(folder).env("ROLLCALL_DATA_DIR", folder).env("ROLLCALL_BOOTSTRAP__TOKEN", TOKEN);
    command.env("ROLLCALL_LISTEN", "127.0.0.1:0").env("ROLLCALL_SESSIONS__PURGE_INTERVAL", "0");
    if let Some(url) = &options.database {
        command.env("ROLLCALL_DATABASE__URL", url);
    }
    command
}

/// Numbers that look random and are the same every time (`SplitMix64`).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

/// Writes the load: five sessions a user on average, a fifth of the user agents hold `Firefox`.
/// Gives the sessions' names.
fn write_load(file: &Path, sessions: u32) -> Vec<String> {
    let mut numbers = Numbers(42);
    let users = u64::from(sessions / 5).max(1);
    let mut out = std::io::BufWriter::new(std::fs::File::create(file).unwrap());
    for id in 0..users {
        writeln!(out, r#"{{"kind":"user","id":{},"username":"user-{id}"}}"#, id + 1000).unwrap();
    }
    let mut uuids = Vec::new();
    for n in 0..sessions {
        // Skewed: the square of an even spread.
        let spread = numbers.below(1_000_000);
        let user = users * spread / 1_000_000 * spread / 1_000_000;
        let version = numbers.below(if n.is_multiple_of(10) { 2000 } else { 20 });
        let agent = match numbers.below(5) {
            0 => format!("Mozilla/5.0 (X11; Linux x86_64; rv:{version}.0) Gecko/20100101 Firefox/{version}.0"),
            1 => format!(
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_{version} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.{version} Mobile/15E148 Safari/604.1"
            ),
            _ => format!(
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.0.0 Safari/537.36"
            ),
        };
        let mut uuid = format!("{:016x}{:016x}", numbers.below(u64::MAX), numbers.below(u64::MAX));
        uuid.replace_range(12..13, "4");
        let ip = if numbers.below(4) == 0 {
            format!("2001:db8:{:x}::{:x}", numbers.below(65536), numbers.below(65536))
        } else {
            format!("10.{}.{}.{}", numbers.below(8), numbers.below(250), numbers.below(250))
        };
        let (day, second) = (1 + numbers.below(28), numbers.below(86400));
        writeln!(
            out,
            r#"{{"kind":"session","uuid":"{uuid}","session_key":"key-{n}","user":{},"last_ip":"{ip}","last_user_agent":"{agent}","last_used":"2026-10-{day:02}T{:02}:{:02}:{:02}Z","expires":"2099-01-{day:02}T00:00:00Z"}}"#,
            user + 1000, second / 3600, second / 60 % 60, second % 60
        )
        .unwrap();
        if uuids.len() < 2000 {
            uuids.push(uuid);
        }
    }
    out.flush().unwrap();
    uuids
}

struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start(folder: &Path, options: &Options) -> Self {
        let mut process = rollcall(folder, options).arg("serve").stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let address = lines
            .find_map(|line| line.unwrap().strip_prefix("listening on http://").map(str::to_owned))
            .expect("the server starts");
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, address }
    }

    /// Processor time so far, in seconds.
    fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
        ticks / 100.0
    }

    /// Resident memory.
    fn memory_mb(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn wait_until_ready(address: &str) {
    let mut client = Client::connect(address);
    while client.get("/-/health/ready/", "") != 204 {}
}

struct Measured {
    cpu_micros: f64,
    rate: f64,
    p50: f64,
    p99: f64,
}

/// Asks for two seconds, from several connections; a warm-up first.
fn measure(server: &Server, head: &str, paths: &[String], connections: usize) -> Measured {
    let ask = |time: Duration| -> Vec<f64> {
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..connections)
                .map(|worker| {
                    scope.spawn(move || {
                        let mut client = Client::connect(&server.address);
                        let (started, mut waits) = (Instant::now(), Vec::new());
                        for path in paths.iter().cycle().skip(worker * 7) {
                            let asked = Instant::now();
                            let status = client.get(path, head);
                            assert!(matches!(status, 200..=399), "{path} answered {status}");
                            waits.push(asked.elapsed().as_secs_f64() * 1000.0);
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
    };
    ask(Duration::from_millis(300));
    let (started, cpu) = (Instant::now(), server.cpu());
    let mut waits = ask(Duration::from_secs(2));
    let (wall, cpu) = (started.elapsed().as_secs_f64(), server.cpu() - cpu);
    waits.sort_by(f64::total_cmp);
    let count = waits.len();
    let at = |part: usize| waits[(count * part / 100).min(count - 1)];
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 requests")]
    let requests = count as f64;
    Measured { cpu_micros: cpu / requests * 1e6, rate: requests / wall, p50: at(50), p99: at(99) }
}

/// A connection that is kept, and as little else as can be.
struct Client {
    stream: BufReader<TcpStream>,
    body: Vec<u8>,
}

impl Client {
    fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: BufReader::with_capacity(1 << 17, stream), body: Vec::new() }
    }

    fn get(&mut self, path: &str, head: &str) -> u16 {
        let mut request = String::new();
        write!(request, "GET {path} HTTP/1.1\r\nHost: bench\r\nAccept: application/json\r\n{head}\r\n").unwrap();
        self.stream.get_mut().write_all(request.as_bytes()).unwrap();
        let (mut status, mut length, mut line) = (0, 0, String::new());
        loop {
            line.clear();
            self.stream.read_line(&mut line).unwrap();
            if line == "\r\n" {
                break;
            }
            if status == 0 {
                status = line.split(' ').nth(1).unwrap().parse().unwrap();
            } else if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        self.body.resize(length, 0);
        self.stream.read_exact(&mut self.body).unwrap();
        status
    }
}
