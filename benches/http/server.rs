//! The server under load, in a process of its own; its database; and what both cost.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::client::{Ask, Client};

const BINARY: &str = env!("CARGO_BIN_EXE_rollcall");
/// An administrator's token.
pub const TOKEN: &str = "bench-administrator-token";

/// Where sessions are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    Postgres,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }
}

/// A folder for the instance and, on PostgreSQL, a database.
pub struct Place {
    folder: tempfile::TempDir,
    database: Option<Database>,
}

impl Place {
    pub fn new(kind: Kind, cluster: Option<&Cluster>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_geoip_files(folder.path());
        let database = (kind == Kind::Postgres).then(|| cluster.unwrap().create_database());
        Self { folder, database }
    }

    /// A command of Rollcall's on this place.
    pub fn rollcall(&self) -> Command {
        let folder = self.folder.path();
        let mut command = Command::new(BINARY);
        command.current_dir(folder).env("ROLLCALL_DATA_DIR", folder).env("ROLLCALL_BOOTSTRAP__TOKEN", TOKEN);
        // People sign in from addresses of their own, as behind a proxy: each has its limit of guesses.
        command.env("ROLLCALL_HTTP__TRUSTED_PROXIES", "127.0.0.1/32");
        command.env("ROLLCALL_LISTEN", "127.0.0.1:0").env("ROLLCALL_SESSIONS__PURGE_INTERVAL", "0");
        command.env("ROLLCALL_SAFETY__BURST_SESSIONS", "0");
        command.env("ROLLCALL_HTTP__PUBLIC_URL", format!("http://{}", crate::guard::HOME));
        // Apps that are told of ends are on this machine.
        command.env("ROLLCALL_OUTBOUND__ALLOW", "127.0.0.0/8");
        command.env("ROLLCALL_GEOIP__CITY", folder.join("city.mmdb")).env("ROLLCALL_GEOIP__ASN", folder.join("asn.mmdb"));
        if let Some(database) = &self.database {
            command.env("ROLLCALL_DATABASE__URL", &database.url);
        }
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) {
        let output = self.rollcall().args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Lets PostgreSQL take stock of what was loaded, as it does by itself after a while.
    pub fn analyze(&self) {
        if let Some(database) = &self.database {
            database.run("VACUUM ANALYZE");
        }
    }

    /// Processor time of the database's own processes so far, in seconds.
    pub fn database_cpu(&self) -> f64 {
        let postmaster = self.database.as_ref().and_then(|database| database.postmaster);
        postmaster.map_or(0.0, |postmaster| {
            let children = processes_below(postmaster);
            cpu_of(postmaster) + cpu_of_the_ended(postmaster) + children.iter().map(|pid| cpu_of(*pid)).sum::<f64>()
        })
    }
}

/// A running server.
pub struct Server {
    process: Child,
    pub address: String,
    /// Milliseconds from its start until it answered that it is ready.
    pub ready_ms: f64,
}

impl Server {
    pub fn start(mut command: Command) -> Self {
        let started = std::time::Instant::now();
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let address = lines.find_map(|line| line.unwrap().strip_prefix("listening on http://").map(str::to_owned));
        let address = address.expect("the server starts");
        std::thread::spawn(move || lines.for_each(drop));
        let mut client = Client::connect(&address);
        while client.ask(&Ask::get("/-/health/ready/", "")) >= 400 {}
        Self { process, address, ready_ms: started.elapsed().as_secs_f64() * 1000.0 }
    }

    /// Processor time so far, in seconds, all threads.
    pub fn cpu(&self) -> f64 {
        cpu_of(self.process.id())
    }

    /// Resident memory now, in MB.
    pub fn memory_mb(&self) -> f64 {
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

/// What the kernel counted for a process and its threads, those that ended included, in seconds: utime
/// and stime.
fn cpu_of(pid: u32) -> f64 {
    ticks(pid, &[11, 12])
}

/// The same for its children that ended: cutime and cstime.
fn cpu_of_the_ended(pid: u32) -> f64 {
    ticks(pid, &[13, 14])
}

fn ticks(pid: u32, fields: &[usize]) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let Some((_, rest)) = stat.rsplit_once(") ") else { return 0.0 };
    let all: Vec<&str> = rest.split(' ').collect();
    fields.iter().map(|at| all[*at].parse::<f64>().unwrap() / 100.0).sum()
}

/// What the kernel counted for a process and those that it started, in seconds.
pub fn cpu_of_all_below(parent: u32) -> f64 {
    cpu_of(parent) + processes_below(parent).into_iter().map(cpu_of).sum::<f64>()
}

fn processes_below(parent: u32) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_string_lossy().parse().ok())
        .filter(|pid| parent_of(*pid) == Some(parent))
        .collect()
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

/// A PostgreSQL cluster: the one that `TEST_DATABASE_URL` names, or one of our own.
pub struct Cluster {
    /// Of an administrator, without a database.
    base: String,
    parameters: String,
    own: Option<tempfile::TempDir>,
}

impl Cluster {
    /// `None`, saying why, when there is no PostgreSQL.
    pub fn find() -> Option<Self> {
        if let Ok(url) = std::env::var("TEST_DATABASE_URL") {
            let (url, parameters) =
                url.split_once('?').map_or((url.as_str(), String::new()), |(url, rest)| (url, format!("?{rest}")));
            let base = url.rsplit_once('/').expect("TEST_DATABASE_URL names a database").0.to_owned();
            return Some(Self { base, parameters, own: None });
        }
        let bin = std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten().map(|version| version.path().join("bin")).max()?;
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        // PostgreSQL refuses to run as root.
        let is_root = std::fs::metadata("/proc/self").is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0);
        if is_root {
            assert!(Command::new("chown").arg("postgres").arg(folder.path()).status().unwrap().success());
        }
        let run = |program: &str, arguments: &[&str]| {
            let program = bin.join(program);
            let mut command = if is_root {
                let mut command = Command::new("runuser");
                command.args(["-u", "postgres", "--"]).arg(program);
                command
            } else {
                Command::new(program)
            };
            let status = command.arg("-D").arg(&data).args(arguments).current_dir(folder.path()).stdout(Stdio::null()).status();
            assert!(status.unwrap().success(), "{arguments:?}");
        };
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        run("initdb", &["-U", "rollcall", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"]);
        // Durable, as it comes; only memory and connections are set.
        let options = format!(
            "-p {port} -k {} -c listen_addresses=127.0.0.1 -c max_connections=100 -c shared_buffers=1GB -c max_wal_size=4GB",
            folder.path().display()
        );
        let log = folder.path().join("log");
        run("pg_ctl", &["-l", log.to_str().unwrap(), "-w", "start", "-o", &options]);
        let base = format!("postgres://rollcall@127.0.0.1:{port}");
        Some(Self { base, parameters: "?sslmode=disable".into(), own: Some(folder) })
    }

    fn url(&self, database: &str) -> String {
        format!("{}/{database}{}", self.base, self.parameters)
    }

    fn create_database(&self) -> Database {
        let name = format!("rollcall_bench_{}_{}", std::process::id(), std::time::UNIX_EPOCH.elapsed().unwrap().as_micros());
        let administrative = self.url("postgres");
        query(&administrative, &format!("CREATE DATABASE {name}"), drop);
        let postmaster = query(&administrative, "SELECT pg_backend_pid()", |backend| parent_of(backend.unwrap().parse().unwrap()));
        Database { url: self.url(&name), name, administrative, postmaster }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let Some(folder) = &self.own else { return };
        let pid = std::fs::read_to_string(folder.path().join("data/postmaster.pid")).unwrap_or_default();
        if let Some(pid) = pid.lines().next() {
            drop(Command::new("kill").args(["-INT", pid]).status());
        }
    }
}

struct Database {
    url: String,
    name: String,
    administrative: String,
    /// `None` when the cluster is on another machine.
    postmaster: Option<u32>,
}

impl Database {
    fn run(&self, sql: &str) {
        query(&self.url, sql, drop);
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        query(&self.administrative, &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name), drop);
    }
}

/// Runs a statement and hands on the first column of the first row, while the connection lives.
fn query<R>(url: &str, sql: &str, read: impl FnOnce(Option<String>) -> R) -> R {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
        let driver = tokio::spawn(connection);
        let answer = client.simple_query(sql).await.unwrap();
        let first = answer.into_iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        });
        let read = read(first);
        drop(client);
        drop(driver.await);
        read
    })
}

/// Made-up City and ASN files: 40 countries, 400 systems, IPv4 and IPv6.
fn write_geoip_files(folder: &Path) {
    const COUNTRIES: &str = "ATAUBEBRCACHCLCNCODEDKEGESFIFRGBGRIDIEILINITJPKEKRMXNGNLNONZPHPLPTROSETHTRUAUSZA";
    let mut city = mmdb_writer::Writer::new("Bench-City");
    let mut asn = mmdb_writer::Writer::new("Bench-ASN");
    for nth in 0..4000_u32 {
        let mut network = String::new();
        if nth % 4 == 0 {
            write!(network, "2a{:02x}:{:x}::/32", nth % 97, nth + 1).unwrap();
        } else {
            write!(network, "{}.{}.0.0/16", 11 + nth % 190, nth * 7 % 256).unwrap();
        }
        let network: ipnet::IpNet = network.parse().unwrap();
        let country = usize::try_from(nth * nth % 40).unwrap() * 2;
        let place = serde_json::json!({
            "continent": {"code": "EU"}, "country": {"iso_code": COUNTRIES[country..country + 2]},
            "city": {"names": {"en": format!("City {}", nth % 900)}},
            "location": {"latitude": f64::from(nth % 160) - 80.0, "longitude": f64::from(nth % 360) - 180.0},
        });
        city.insert(network, &place).unwrap();
        let number = 64512 + nth % 400;
        asn.insert(network, &AsnRecord { autonomous_system_number: number, autonomous_system_organization: "Example Networks" })
            .unwrap();
    }
    std::fs::write(folder.join("city.mmdb"), city.to_bytes().unwrap()).unwrap();
    std::fs::write(folder.join("asn.mmdb"), asn.to_bytes().unwrap()).unwrap();
}

#[derive(serde::Serialize)]
struct AsnRecord<'a> {
    autonomous_system_number: u32,
    autonomous_system_organization: &'a str,
}
