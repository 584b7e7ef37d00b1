//! What was acknowledged survives a loss of power, on SQLite.
//!
//! SIGKILL loses nothing that was written: the system still has it in memory. So a library between
//! the server and the system records what is written and what is flushed (`shim.c`), and from the
//! record disks are made as a loss of power may leave them (`trace.rs`): with all that was flushed,
//! and any part of the rest. Each must hold all that was acknowledged until then. `POWER_LOSSES`
//! says how many rounds; without it, a few.

mod load;
mod shim;
mod trace;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use load::{Acknowledged, Session};
use shim::Shim;
use trace::{Disk, Loss};

use crate::process::{Home, PASSWORD, Server, eventually, within};
use crate::support::Dice;

/// The least number of acknowledged writes in a round in which the WAL was copied and restarted.
const MUCH: u64 = 500;
/// And in one in which it was not copied yet.
const LITTLE: u64 = 60;
/// The number of power losses in each round before its end.
const TIMES: usize = 12;
/// How long a busy server may take, however slow the machine.
const PATIENCE: Duration = Duration::from_secs(120);
const LOSSES: [Loss; 3] = [Loss::All, Loss::Some, Loss::None];

/// A recorded installation, and what is known of it.
struct Machine {
    home: Home,
    shim: Arc<Shim>,
    dice: Dice,
    sessions: Vec<Session>,
    /// Its disk when the trace began, by what it will lose.
    disks: Vec<Disk>,
}

/// What is wrong with disks, and how many there were.
struct Findings {
    faults: Vec<String>,
    disks: usize,
}

impl Findings {
    fn assert_none(&self) {
        let some = &self.faults[..self.faults.len().min(5)];
        assert!(some.is_empty(), "{} faults of {} disks: {some:#?}", self.faults.len(), self.disks);
    }
}

/// Until this much was acknowledged, and a moment longer.
async fn busy(acknowledged: Acknowledged, enough: u64, moment: Duration) {
    within(PATIENCE, "a busy server", || async { (acknowledged.load(Ordering::Relaxed) >= enough).then_some(()) }).await;
    tokio::time::sleep(moment).await;
}

impl Machine {
    /// An empty one; `None` where writes cannot be recorded.
    fn new() -> Option<Self> {
        let shim = Shim::new()?;
        let home = shim.record(Home::sqlite().with_administrator()).with("ROLLCALL_SESSIONS__REMEMBER_TIMEOUT", "0");
        let home = home.with("ROLLCALL_SAFETY__BURST_SESSIONS", "0");
        let home = home.with("ROLLCALL_SESSIONS__TOUCH_INTERVAL", "50ms").with("ROLLCALL_SESSIONS__PURGE_INTERVAL", "1s");
        let mut this = Self { home, shim: Arc::new(shim), dice: Dice::new(), sessions: Vec::new(), disks: Vec::new() };
        this.begin();
        Some(this)
    }

    /// From here on it is recorded: what is in the folder now is on disk.
    fn begin(&mut self) {
        let folder = self.home.folder();
        self.disks = LOSSES.map(|loss| Disk::with(folder, loss, self.dice.split())).into();
    }

    /// Has clients at work until enough was acknowledged.
    async fn work(&mut self, server: &Server, enough: u64) {
        let moment = self.dice.up_to(Duration::from_millis(100));
        self.work_until(server, |acknowledged| busy(acknowledged, enough, moment)).await;
    }

    async fn work_until<U: Future>(&mut self, server: &Server, until: impl FnOnce(Acknowledged) -> U) {
        let before = std::mem::take(&mut self.sessions);
        self.sessions = load::run(server, &self.shim, before, &mut self.dice, until).await;
    }

    /// One start, much work, and a kill. The shim has these orders from the start on.
    async fn round(&mut self, orders: &str) {
        let server = self.home.serve().await;
        self.shim.order(orders);
        self.work(&server, MUCH).await;
        server.kill().await;
    }

    /// Loses power at some times since `from` and at the end, and looks at the disks.
    fn lose_power_since(&mut self, from: u64) -> Findings {
        let trace = self.shim.trace();
        // Right after an acknowledgement, when the least was flushed since; and at any time.
        let acknowledged: Vec<u64> = load::acknowledgements(&self.sessions).into_iter().filter(|time| *time > from).collect();
        let recorded: Vec<u64> = trace.records().iter().map(|record| record.end).filter(|time| *time > from).collect();
        let mut times = vec![trace.end()];
        for of in [&acknowledged, &recorded] {
            times.extend((0..TIMES / 2).filter(|_| !of.is_empty()).map(|_| *self.dice.pick(of)));
        }
        times.sort_unstable();
        let mut findings = Findings { faults: Vec::new(), disks: 0 };
        let mut disks = self.disks.clone();
        let mut records = trace.records().iter().peekable();
        for time in times {
            while let Some(record) = records.next_if(|record| record.end <= time) {
                disks.iter_mut().for_each(|disk| disk.apply(record));
            }
            for (disk, loss) in disks.iter().zip(LOSSES) {
                let image = tempfile::tempdir().unwrap();
                disk.clone().lose_power(image.path());
                let found = load::faults(&image.path().join("data/rollcall.db"), &self.sessions, time);
                findings.faults.extend(found.into_iter().map(|fault| format!("{loss:?} lost at {time}: {fault}")));
                findings.disks += 1;
            }
        }
        findings
    }

    /// Loses power now: from here on, the folder has what is left on the disk. Gives the time.
    fn lose_power(&mut self, loss: Loss) -> u64 {
        let trace = self.shim.trace();
        let mut disk = self.disks[LOSSES.iter().position(|other| *other == loss).unwrap()].clone();
        trace.records().iter().for_each(|record| disk.apply(record));
        let folder = self.home.folder();
        std::fs::remove_dir_all(folder.join("data")).unwrap();
        disk.lose_power(folder);
        self.shim.forget();
        self.begin();
        trace.end()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_loss_of_power() {
    let rounds: usize = std::env::var("POWER_LOSSES").map_or(3, |rounds| rounds.parse().expect("POWER_LOSSES is a number"));
    let Some(mut machine) = Machine::new() else { return };
    load::add_users(&machine.home);
    let (mut checkpoints, mut restarts) = (0, 0);
    for round in 0..rounds {
        machine.round("").await;
        let findings = machine.lose_power_since(0);
        findings.assert_none();
        let trace = machine.shim.trace();
        checkpoints += trace.flushes("rollcall.db");
        restarts += trace.starts("-wal");
        eprintln!(
            "round {round}: {} acknowledgements, {} records, {} flushes of the WAL, {} disks",
            load::acknowledgements(&machine.sessions).len(),
            trace.records().len(),
            trace.flushes("-wal"),
            findings.disks,
        );
        assert!(trace.flushes("-wal") > 10, "the server was busy");
        // It goes on with one of them.
        let time = machine.lose_power(LOSSES[round % LOSSES.len()]);
        let server = machine.home.serve().await;
        machine.sessions = load::assert_remembered(&server, std::mem::take(&mut machine.sessions), time).await;
        server.kill().await;
    }
    eprintln!("{checkpoints} flushes of the database, {restarts} starts of the WAL");
    assert!(checkpoints > rounds && restarts > rounds, "the WAL was copied, and started again");
}

// Else the test above shows nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_flush_is_noticed() {
    for suffix in ["-wal", "rollcall.db", ""] {
        let Some(mut machine) = Machine::new() else { return };
        load::add_users(&machine.home);
        machine.round(&format!("ignore {suffix}")).await;
        let Findings { faults, disks } = machine.lose_power_since(0);
        eprintln!("without flushes of *{suffix}: {} faults of {disks} disks", faults.len());
        assert!(!faults.is_empty(), "flushes of *{suffix} are missing, and nothing else is");
        assert!(!faults.iter().any(|fault| fault.starts_with("None lost")), "{faults:#?}");
    }
}

// The disk fails, the server leaves, and is started again while the machine goes on: the system has
// in memory what the disk has not, and forgot that it has to write it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_flush_ends_the_server_and_loses_nothing() {
    for suffix in ["-wal", "rollcall.db"] {
        let Some(mut machine) = Machine::new() else { return };
        load::add_users(&machine.home);
        let mut server = machine.home.serve().await;
        machine.work(&server, LITTLE).await;
        // Only one flush fails: a server that went on would find that the next one succeeds.
        machine.shim.order(&format!("once {suffix}"));
        // The clients see that the server is gone.
        machine.work_until(&server, |_| tokio::time::sleep(PATIENCE)).await;
        let status = server.ended().await;
        assert_eq!(status.code(), Some(1), "{}", server.log());
        let says = ["ERROR", "cannot be flushed", "data/rollcall.db"];
        let is_logged = || server.log().lines().any(|line| says.iter().all(|words| line.contains(words)));
        eventually("the reason in the log", || async { is_logged().then_some(()) }).await;
        assert!(!server.log().contains("panicked"), "{}", server.log());
        machine.lose_power_since(0).assert_none();

        machine.shim.order("");
        let failed = machine.shim.position();
        let server = machine.home.serve().await;
        machine.work(&server, LITTLE).await;
        server.kill().await;
        machine.lose_power_since(failed).assert_none();
        let time = machine.lose_power(Loss::All);
        let server = machine.home.serve().await;
        load::assert_remembered(&server, std::mem::take(&mut machine.sessions), time).await;
    }
}

// And while the disk fails, it does not start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_flush_ends_a_command() {
    let Some(machine) = Machine::new() else { return };
    let home = &machine.home;
    // Not even a folder is certain.
    machine.shim.order("fail ");
    assert_eq!(home.run(&["serve"]).code, 1);
    machine.shim.order("");
    load::add_users(home);
    home.add_user("before");
    machine.shim.order("fail -wal");
    for args in [["user", "add", "during"].as_slice(), &["serve"], &["user", "list"]] {
        let done = home.run_with(args, &format!("{}\n", PASSWORD));
        assert_eq!((done.code, done.out.as_str()), (1, ""), "{args:?}: {done:?}");
        let says = ["cannot be flushed", "rollcall.db-wal", "Input/output error"];
        assert!(says.iter().all(|words| done.err.contains(words)), "{args:?}: {done:?}");
    }
    machine.shim.order("");
    home.add_user("after");
    let names = home.ok(&["user", "list"]);
    assert!(names.contains("before") && names.contains("after"), "{names}");
}

// A command that is done is on disk, the folder and the instance key with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_command_did_survives_a_loss_of_power() {
    let Some(mut machine) = Machine::new() else { return };
    let key = |machine: &Machine| std::fs::read(machine.home.data("instance.key"));
    load::add_users(&machine.home);
    machine.home.add_user("first");
    let first_key = key(&machine).unwrap();
    machine.lose_power(Loss::All);
    assert_eq!(key(&machine).unwrap(), first_key);
    for (command, is_active) in [("deactivate", false), ("activate", true)] {
        machine.home.ok(&["user", command, "first"]);
        machine.lose_power(Loss::All);
        let users = machine.home.rows(&["user", "list", "--json"]);
        let first = users.iter().find(|user| user["username"] == "first").unwrap_or_else(|| panic!("{users:?}"));
        assert_eq!(first["active"], is_active, "{first}");
        assert!(users.iter().any(|user| user["username"] == "person-0"), "{users:?}");
    }
}
