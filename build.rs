//! Tells the program for which target it is built. It reads no clock and calls no other program.

use std::io::Write;

fn main() -> std::io::Result<()> {
    let target = std::env::var("TARGET").unwrap_or_else(|_| "unknown".to_owned());
    let mut cargo = std::io::stdout().lock();
    writeln!(cargo, "cargo:rerun-if-changed=build.rs")?;
    writeln!(cargo, "cargo:rustc-env=ROLLCALL_TARGET={target}")
}
