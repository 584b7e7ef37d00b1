//! What the guard costs: its checks with a thousand applications, almost all of which have ten rules, and a static file
//! through nginx.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::client::{Ask, Client};
use crate::measure::{self, Measured};
use crate::operations::{KNOWN, Operation};
use crate::report::Report;
use crate::server::{Kind, Place, Server, cpu_of_all_below};

/// Rollcall's own host: over http, apps trust keys and issuers on loopback alone.
pub const HOME: &str = "localhost";
/// How many applications there are, each with ten rules: with those of OpenID Connect as many as there may be.
const APPLICATIONS: u32 = 1000 - crate::oidc::APPLICATIONS;
/// How many sessions of users with known keys have an app open.
const OPENED: u32 = 500;
/// The application with signed identities, which none of those has open.
const SIGNED: u32 = APPLICATIONS - 1;
/// How many sessions have it open.
const SIGNED_SESSIONS: u32 = 1000;
/// The row of what it costs.
pub const IDENTITY: &str = "guard: a signed identity";

/// Upper bounds in microseconds of processor time, the server's and the database's, beyond a fixed body: one request at a
/// time and sixteen at once, on SQLite and on PostgreSQL.
#[derive(Clone, Copy, Debug)]
pub struct Beyond {
    pub sqlite: [f64; 2],
    pub postgres: [f64; 2],
}

impl Beyond {
    /// The bound of a measurement with this many connections.
    pub fn of(self, kind: Kind, connections: usize) -> f64 {
        let bounds = if kind == Kind::Sqlite { self.sqlite } else { self.postgres };
        bounds[usize::from(connections > 1)]
    }
}

const ALLOWED: Beyond = Beyond { sqlite: [70.0, 45.0], postgres: [300.0, 250.0] };
const REFUSED: Beyond = Beyond { sqlite: [15.0, 15.0], postgres: [15.0, 15.0] };
const ANYONE: Beyond = Beyond { sqlite: [30.0, 30.0], postgres: [150.0, 150.0] };
const READINGS: Beyond = Beyond { sqlite: [100.0, 75.0], postgres: [330.0, 280.0] };

fn slug(n: u32) -> String {
    format!("app-{n}")
}

fn host(n: u32) -> String {
    format!("{}.bench", slug(n))
}

/// The app password of application `n`: with as many different characters as an import asks for.
fn password(n: u32) -> String {
    format!("rcp_of-the-benchmark-{n:032x}")
}

/// Import lines of the applications, each with an app password of a known user. They follow those of users.
pub fn lines() -> String {
    let mut lines = String::new();
    for n in 0..APPLICATIONS {
        let rules: Vec<String> = (0..8)
            .map(|rule| format!(r#"{{"paths":["/area-{rule}/**","/api/*/area-{rule}"],"factor":"mfa","methods":["POST"]}}"#))
            .chain([r#"{"paths":["/public/**"],"allow":"anyone"}"#.to_owned()])
            .chain([r#"{"paths":["/admin/**"],"allow":"nobody"}"#.to_owned()])
            .collect();
        writeln!(
            lines,
            r#"{{"kind":"application","slug":"{}","access":{{"allow":"signed_in","app_passwords":true}},"guard":{{"hosts":["{}"],"jwt":{},"rules":[{}]}}}}"#,
            slug(n),
            host(n),
            n == SIGNED,
            rules.join(",")
        )
        .unwrap();
    }
    for n in 0..APPLICATIONS {
        writeln!(
            lines,
            r#"{{"kind":"token","key":"{}","intent":"app_password","user":{},"expires":"2099-01-01T00:00:00Z","applications":["{}"]}}"#,
            password(n),
            2_000_000_000 + n % (KNOWN / 10),
            slug(n)
        )
        .unwrap();
    }
    lines
}

/// The app keys of known sessions: the value of the cookie, by application.
pub struct Keys(Vec<(u32, String)>);

impl Keys {
    /// Opens an app in each of the known sessions, as browsers do.
    pub fn open(server: &Server) -> Self {
        let mut client = Client::connect(&server.address);
        let opened = (0..OPENED).map(|n| {
            let app = n * 2 % APPLICATIONS;
            (app, open(&mut client, app, &format!("Cookie: rollcall_session=key-{n}\r\n")))
        });
        Self(opened.collect())
    }

    /// The checks, in the order of the table.
    pub fn operations(&self) -> Vec<Operation> {
        let with_key = |path: &str| self.0.iter().map(|(app, key)| with_key(*app, path, key)).collect();
        let each = |path: &'static str, head: fn(u32) -> String, status: u16| {
            (0..APPLICATIONS).map(|app| check(app, path, &head(app), status)).collect()
        };
        let operation = |name, asks, beyond| Operation { name, asks, bound: None, is_disturbed: false, beyond: Some(beyond) };
        let navigation = |_| "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n".to_owned();
        vec![
            operation("guard: allowed check", with_key("/page/of/the/app"), ALLOWED),
            operation("guard: a path in all its readings", with_key("/Page/%6Ff//the/./app;a=1"), READINGS),
            operation("guard: refused without a cookie", each("/page", navigation, 401), REFUSED),
            operation("guard: anyone", each("/public/logo.png", |_| String::new(), 200), ANYONE),
            operation(
                "guard: app password",
                each("/page", |app| format!("Authorization: Bearer {}\r\n", password(app)), 200),
                ALLOWED,
            ),
        ]
    }
}

/// What nginx asks about a request for `path`.
fn check(app: u32, path: &str, head: &str, status: u16) -> Ask {
    Ask {
        host: host(app),
        status: Some(status),
        ..Ask::get(
            format!("/guard/nginx/{}", slug(app)),
            &format!("X-Original-URL: http://{}{path}\r\nX-Original-Method: GET\r\nX-Forwarded-For: 11.2.3.4\r\n{head}", host(app)),
        )
    }
}

fn with_key(app: u32, path: &str, key: &str) -> Ask {
    check(app, path, &format!("Cookie: theme=dark; rollcall_app={key}\r\n"), 200)
}

/// Measures what a signed identity costs: the first check of each session makes one, the second sends the same again.
pub fn signed_identity(server: &Server, place: &Place, report: &mut Report) {
    let mut client = Client::connect(&server.address);
    let mut opened = |n| open(&mut client, SIGNED, &format!("Cookie: rollcall_session=key-{n}\r\n"));
    let asks: Vec<Ask> = (OPENED..OPENED + SIGNED_SESSIONS).map(|n| with_key(SIGNED, "/page", &opened(n))).collect();
    let round = || measure::once(server, Some(place), &asks).cpu_ms() * 1000.0;
    let (fresh, kept) = (round(), round());
    report.note(&format!(
        "{IDENTITY}: {fresh:.0} µs of CPU for a check with a fresh one, {kept:.0} with one that was sent before: {:.0} more (bound 100)",
        fresh - kept
    ));
}

/// The cookie of an app's host, from the three steps of a sign-in.
fn open(client: &mut Client, app: u32, session: &str) -> String {
    let step = |client: &mut Client, host: String, path: &str, head: &str| {
        let status = client.ask(&Ask { host, ..Ask::get(path, head) });
        assert_eq!(status, 302, "{path}: {}", String::from_utf8_lossy(&client.body));
        let location = client.headers("location").next().unwrap().to_owned();
        location.split_once("://").map_or(location.clone(), |(_, rest)| rest[rest.find('/').unwrap()..].to_owned())
    };
    let go = step(client, host(app), "/.rollcall/start?rd=%2F", "");
    let start = client.headers("set-cookie").find(|cookie| cookie.starts_with("rollcall_start")).unwrap();
    let start = format!("Cookie: {}\r\n", start.split(';').next().unwrap());
    let callback = step(client, HOME.to_owned(), &go, session);
    step(client, host(app), &callback, &start);
    let key = client.headers("set-cookie").find_map(|cookie| cookie.strip_prefix("rollcall_app=")).unwrap();
    key.split(';').next().unwrap().to_owned()
}

/// nginx with a static file, open on one port and guarded on another.
struct Nginx {
    process: Child,
    open: String,
    guarded: String,
    _folder: tempfile::TempDir,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Asked to, the master takes its workers along.
        drop(Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status());
        drop(self.process.wait());
    }
}

impl Nginx {
    /// `None`: it is not installed. The guarded server is what `rollcall app config` prints, with the file in place of the
    /// app.
    fn start(place: &Place, server: &Server) -> Option<Self> {
        let program =
            ["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/sbin/nginx"].into_iter().find(|path| Path::new(path).is_file())?;
        let folder = tempfile::tempdir().unwrap();
        let port = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (open, guarded) = (port().to_string(), port().to_string());
        let root = folder.path().join("root");
        std::fs::create_dir(&root).unwrap();
        std::fs::write(root.join("file.txt"), "x".repeat(1024)).unwrap();
        let output = place
            .rollcall()
            .args(["app", "config", "nginx", &slug(0), "--listen", &guarded, "--rollcall", &server.address])
            .output();
        let printed = String::from_utf8(output.unwrap().stdout).unwrap();
        let (before, rest) = printed.split_once("    location / {").expect("the place of the app");
        let (_, after) = rest.split_once("\n    }\n").expect("its end");
        let file = format!("location / {{ root \"{}\"; }}", root.display());
        let at = folder.path().display();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path \"{at}/{name}\";\n"))
            .concat();
        let user = if std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0) {
            "user root;"
        } else {
            ""
        };
        let text = format!(
            "{user} daemon off; pid \"{at}/pid\"; error_log stderr warn; worker_processes 2;\nevents {{ worker_connections 1024; }}\n\
             http {{ access_log off; keepalive_requests 1000000000;\n{temporary}\n\
             server {{ listen {open}; {file} }}\n{before}    {file}\n{after}\n}}\n"
        );
        let configuration = folder.path().join("nginx.conf");
        std::fs::write(&configuration, text).unwrap();
        let mut command = Command::new(program);
        command.args(["-e", "stderr", "-p"]).arg(folder.path()).arg("-c").arg(&configuration);
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let this = Self { process, open, guarded, _folder: folder };
        for address in [&this.open, &this.guarded] {
            let mut tries = 0;
            while std::net::TcpStream::connect(address).is_err() {
                tries += 1;
                assert!(tries < 500, "nginx does not listen on {address}");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Some(this)
    }
}

/// Measures a static file without and with the guard, in one run, and prints what the guard costs.
pub fn through_nginx(server: &Server, place: &Place, keys: &Keys, connections: usize, time: Duration, report: &mut Report) {
    let Some(nginx) = Nginx::start(place, server) else {
        report.note("through nginx: SKIPPED, since nginx is not installed");
        return;
    };
    let (_, key) = keys.0.iter().find(|(app, _)| *app == 0).expect("app-0 is open in a session");
    let ask = |head: &str| vec![Ask { host: host(0), status: Some(200), ..Ask::get("/file.txt", head) }];
    let cpu = || cpu_of_all_below(nginx.process.id());
    let run = |address: &str, head: &str| -> (Measured, f64) {
        // The load is of nginx; what Rollcall takes of it is counted as the server's.
        measure::at(server, Some(place), address, &ask(head), connections, time / 4);
        let before = cpu();
        let measured = measure::at(server, Some(place), address, &ask(head), connections, time);
        let requests = measured.rate * time.as_secs_f64();
        (measured, (cpu() - before) / requests * 1e6)
    };
    let (alone, alone_cpu) = run(&nginx.open, "");
    let (guarded, nginx_cpu) = run(&nginx.guarded, &format!("Cookie: rollcall_app={key}\r\n"));
    let rollcall = guarded.cpu_ms() * 1000.0;
    report.note(&format!(
        "through nginx, a static file, {connections} at once: {:.0} a second without the guard ({alone_cpu:.0} µs of CPU), {:.0} with it \
         (nginx {nginx_cpu:.0} µs, Rollcall and its database {rollcall:.0} µs, goal at most 55 together on SQLite); ratio {:.2}, goal at least 0.25",
        alone.rate,
        guarded.rate,
        guarded.rate / alone.rate
    ));
}

/// What each of these rows costs beyond a fixed body, with its bound.
pub fn note_beyond(report: &mut Report, kind: Kind, rows: &[(&Operation, usize, Measured, Measured)]) {
    let mut said: HashMap<&str, Vec<String>> = HashMap::new();
    let mut order = Vec::new();
    for (operation, connections, measured, ceiling) in rows {
        let Some(beyond) = operation.beyond else { continue };
        let (over, bound) = ((measured.cpu_ms() - ceiling.cpu_ms()) * 1000.0, beyond.of(kind, *connections));
        let mark = if over <= bound { "✓" } else { "✗" };
        if !said.contains_key(operation.name) {
            order.push(operation.name);
        }
        said.entry(operation.name).or_default().push(format!("{over:.0} µs {connections} at once (bound {bound:.0} {mark})"));
    }
    for name in order {
        report.note(&format!("{name}, CPU beyond a fixed body: {}", said[name].join(", ")));
    }
}
