//! Tells the program for which target it is built, and puts the licences of the libraries where it
//! includes them. It reads no clock and calls no other program.

use std::io::Write;
use std::path::Path;

fn main() -> std::io::Result<()> {
    let target = std::env::var("TARGET").unwrap_or_else(|_| "unknown".to_owned());
    let mut cargo = std::io::stdout().lock();
    writeln!(cargo, "cargo:rerun-if-changed=build.rs")?;
    // Not named ROLLCALL_…: `cargo run` passes it on, and the program would take it for a setting.
    writeln!(cargo, "cargo:rustc-env=BUILD_TARGET={target}")?;
    // `scripts/release` names the file; any other build has none.
    writeln!(cargo, "cargo:rerun-if-env-changed=ROLLCALL_LICENSES")?;
    let licenses = match std::env::var_os("ROLLCALL_LICENSES") {
        Some(file) => {
            writeln!(cargo, "cargo:rerun-if-changed={}", Path::new(&file).display())?;
            std::fs::read(file)?
        }
        None => Vec::new(),
    };
    let folder = std::env::var_os("OUT_DIR").ok_or_else(|| std::io::Error::other("cargo sets OUT_DIR"))?;
    std::fs::write(Path::new(&folder).join("third-party-licenses.txt"), licenses)
}
