//! What was acknowledged survives a loss of power, on SQLite.
//!
//! SIGKILL loses nothing that was written: the system still has it in memory. So a library between the
//! server and the system records what is written and what is flushed (`shim.c`), and from the record
//! disks are made as a loss of power may leave them (`trace.rs`): with all that was flushed, and any part
//! of the rest. Each must hold all that was acknowledged until then. `POWER_LOSSES` says how many
//! rounds; without it, a few.

mod load;
mod shim;
mod trace;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use load::Session;
use shim::Shim;
use trace::{Disk, Loss};

use crate::process::{Home, Server, eventually};
use crate::support::Dice;

/// How long the clients are at work in each round.
const BUSY: Duration = Duration::from_millis(1500);
/// At how many times power is lost in each round, besides the end.
const TIMES: usize = 12;
const LOSSES: [Loss; 3] = [Loss::All, Loss::Some, Loss::None];

/// A recorded installation, and what its folder had when the trace began.
struct Machine {
    home: Home,
    shim: Arc<Shim>,
    dice: Dice,
    sessions: Vec<Session>,
    disks: Vec<Disk>,
}

impl Machine {
    /// An empty one; `None` where writes cannot be recorded.
    fn new() -> Option<Self> {
        let shim = Shim::new()?;
        let home = shim.record(Home::sqlite().with_administrator()).with("ROLLCALL_SESSIONS__REMEMBER_TIMEOUT", "0");
        let home = home.with("ROLLCALL_SESSIONS__TOUCH_INTERVAL", "50ms").with("ROLLCALL_SESSIONS__PURGE_INTERVAL", "1s");
        let mut this = Self { home, shim: Arc::new(shim), dice: Dice::new(), sessions: Vec::new(), disks: Vec::new() };
        this.begin();
        Some(this)
    }

    /// What is in the folder now is on disk.
    fn begin(&mut self) {
        let folder = self.home.folder();
        self.disks = LOSSES.map(|loss| Disk::with(folder, loss, self.dice.split())).into();
    }

    async fn load(&mut self, server: &Server, until: impl Future) {
        let before = std::mem::take(&mut self.sessions);
        self.sessions = load::run(server, &self.shim, before, &mut self.dice, until).await;
    }

    /// Loses power at some times since `from` and at the end. Gives what is wrong with the disks then, and
    /// how many there were.
    fn faults(&mut self, from: u64) -> (Vec<String>, usize) {
        let trace = self.shim.trace();
        let end = trace.records().last().map_or(0, |record| record.end);
        // Right after an acknowledgement, when the least was flushed since; and at any time.
        let acknowledged: Vec<u64> = load::acknowledgements(&self.sessions).into_iter().filter(|time| *time > from).collect();
        let recorded: Vec<u64> = trace.records().iter().map(|record| record.end).filter(|time| *time > from).collect();
        let mut times = vec![end];
        for of in [&acknowledged, &recorded] {
            times.extend((0..TIMES / 2).filter(|_| !of.is_empty()).map(|_| *self.dice.pick(of)));
        }
        times.sort_unstable();
        let (mut faults, mut count) = (Vec::new(), 0);
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
                faults.extend(found.into_iter().map(|fault| format!("{loss:?} lost at {time} of {end}: {fault}")));
                count += 1;
            }
        }
        (faults, count)
    }

    /// Loses power now: from here on, the folder holds what is left on the disk.
    fn lose_power(&mut self, loss: Loss) -> u64 {
        let trace = self.shim.trace();
        let mut disk = self.disks[LOSSES.iter().position(|other| *other == loss).unwrap()].clone();
        trace.records().iter().for_each(|record| disk.apply(record));
        let folder = self.home.folder();
        std::fs::remove_dir_all(folder.join("data")).unwrap();
        disk.lose_power(folder);
        self.shim.forget();
        self.begin();
        trace.records().last().map_or(0, |record| record.end)
    }

    /// One round: load, a kill, and what is wrong with what the disk has then.
    async fn round(&mut self, orders: &str) -> (Vec<String>, usize) {
        let server = self.home.serve().await;
        self.shim.order(orders);
        self.load(&server, tokio::time::sleep(BUSY)).await;
        server.kill().await;
        self.faults(0)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_loss_of_power() {
    let rounds: usize = std::env::var("POWER_LOSSES").map_or(3, |rounds| rounds.parse().expect("POWER_LOSSES is a number"));
    let Some(mut machine) = Machine::new() else { return };
    load::add_users(&machine.home);
    for round in 0..rounds {
        let (faults, count) = machine.round("").await;
        assert!(faults.is_empty(), "{} faults of {count} disks: {:#?}", faults.len(), &faults[..faults.len().min(5)]);
        let trace = machine.shim.trace();
        let acknowledged = load::acknowledgements(&machine.sessions).len();
        eprintln!(
            "round {round}: {acknowledged} acknowledgements, {} records, {} flushes of the WAL and {} of the database, {count} disks",
            trace.records().len(),
            trace.flushes("-wal"),
            trace.flushes("rollcall.db"),
        );
        assert!(acknowledged > 30 && trace.flushes("-wal") > 10, "the server was busy");
        // The server goes on with one of them.
        let loss = LOSSES[round % LOSSES.len()];
        let time = machine.lose_power(loss);
        let server = machine.home.serve().await;
        machine.sessions = load::assert_remembered(&server, std::mem::take(&mut machine.sessions), time).await;
        server.kill().await;
    }
}

// Else the test above shows nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_flush_is_noticed() {
    for suffix in ["-wal", ""] {
        let Some(mut machine) = Machine::new() else { return };
        load::add_users(&machine.home);
        let (faults, count) = machine.round(&format!("ignore {suffix}")).await;
        eprintln!("without flushes of *{suffix}: {} faults of {count} disks", faults.len());
        assert!(!faults.is_empty(), "flushes of *{suffix} are missing, and nothing is");
        assert!(!faults.iter().any(|fault| fault.starts_with("None lost")), "{faults:#?}");
    }
}
