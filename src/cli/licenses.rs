//! `rollcall licenses`: under which terms the program and the libraries in it may be used.

use std::io::Read;

use flate2::read::GzDecoder;

use crate::cli::{Outcome, output};

/// The texts of the licences of all libraries in the program: empty unless `ROLLCALL_LICENSES` named a
/// file of them at build time, as `scripts/release` does. Compressed by gzip.
const THIRD_PARTY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/third-party-licenses.txt.gz"));

/// Prints Rollcall's licences, then those of the libraries.
///
/// # Errors
/// When the program was built without the texts of the libraries: half a list must not pass for one.
pub(super) fn run() -> Outcome {
    output::line("Rollcall is licensed under the MIT license or the Apache License 2.0, at your choice.\n")?;
    output::write(include_bytes!("../../LICENSE-MIT"))?;
    output::line("")?;
    output::write(include_bytes!("../../LICENSE-APACHE"))?;
    let mut third_party = Vec::new();
    GzDecoder::new(THIRD_PARTY).read_to_end(&mut third_party)?;
    if third_party.is_empty() {
        return Err("this build has no list of the libraries' licences; `scripts/release build` makes one that has it".into());
    }
    output::line("")?;
    output::write(&third_party)
}
