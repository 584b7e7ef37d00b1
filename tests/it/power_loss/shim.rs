//! The library that records what a process writes and flushes: `shim.c`, compiled here.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::trace::Trace;
use crate::process::{Home, skip};

/// A recorder of all that happens below one folder.
pub struct Shim {
    library: &'static Path,
    /// Of the trace and the orders.
    folder: tempfile::TempDir,
}

impl Shim {
    /// Compiles the library; `None` where that is not possible.
    pub fn new() -> Option<Self> {
        static LIBRARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
        match LIBRARY.get_or_init(compile) {
            Ok(library) => Some(Self { library, folder: tempfile::tempdir().unwrap() }),
            Err(why) => {
                skip(why);
                None
            }
        }
    }

    /// Has everything recorded that this installation's programs do in its folder.
    pub fn record(&self, home: Home) -> Home {
        let folder = home.folder().canonicalize().unwrap();
        assert_eq!(folder, home.folder(), "paths without links");
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let home = home.with("DISK_FOLDER", &folder.display().to_string());
        let home = home.with("DISK_TRACE", &path("trace")).with("DISK_ORDERS", &path("orders"));
        home.with("DISK_DELAY", "3000").with("LD_PRELOAD", &self.library.display().to_string())
    }

    /// Gives orders to programs that run and to those that come: see `shim.c`.
    pub fn order(&self, orders: &str) {
        let draft = self.folder.path().join("draft");
        std::fs::write(&draft, orders).unwrap();
        std::fs::rename(&draft, self.folder.path().join("orders")).unwrap();
    }

    /// The length of the trace: what is acknowledged now must be on disk by the records before it.
    pub fn position(&self) -> u64 {
        std::fs::metadata(self.folder.path().join("trace")).map_or(0, |metadata| metadata.len())
    }

    /// What was recorded so far.
    pub fn trace(&self) -> Trace {
        Trace::read(&std::fs::read(self.folder.path().join("trace")).unwrap_or_default())
    }

    /// Begins a new trace. No program may run.
    pub fn forget(&self) {
        std::fs::remove_file(self.folder.path().join("trace")).unwrap();
    }
}

/// Compiles the library with the system's C compiler.
fn compile() -> Result<PathBuf, String> {
    if !cfg!(target_os = "linux") {
        return Err("writes can be recorded on Linux only".to_owned());
    }
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/power_loss/shim.c");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    // Several test programs may do this at once.
    let (draft, library) = (folder.join(format!("shim-{}.so", std::process::id())), folder.join("shim.so"));
    let mut command = Command::new("cc");
    let done = command.args(["-O1", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-o"]).arg(&draft).args([source, "-ldl"]);
    let Ok(done) = done.output() else { return Err("there is no C compiler".to_owned()) };
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    std::fs::rename(&draft, &library).unwrap();
    Ok(library)
}
