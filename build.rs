//! Tells the program for which target it is built, and puts the licences of the libraries and Swagger UI's files where it
//! includes them, compressed by gzip. It reads no clock and calls no other program.

use std::borrow::Cow;
use std::io::{Cursor, Error, Result, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;

/// What the page that shows the API's description needs.
const SWAGGER_FILES: [&str; 2] = ["swagger-ui-bundle.js", "swagger-ui.css"];

fn main() -> Result<()> {
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
    let folder = std::env::var_os("OUT_DIR").ok_or_else(|| Error::other("cargo sets OUT_DIR"))?;
    let folder = Path::new(&folder);
    compress(&mut &*licenses, &folder.join("third-party-licenses.txt.gz"))?;
    let mut archive = zip::ZipArchive::new(Cursor::new(SWAGGER_UI_VENDORED))?;
    for name in SWAGGER_FILES {
        let end = format!("/dist/{name}");
        let path = archive.file_names().flatten().find(|path| path.ends_with(&end)).map(Cow::into_owned);
        let path = path.ok_or_else(|| Error::other(format!("Swagger UI has no {name}")))?;
        compress(&mut archive.by_name(&path)?, &folder.join(format!("{name}.gz")))?;
    }
    Ok(())
}

fn compress(from: &mut impl std::io::Read, to: &Path) -> Result<()> {
    let mut encoder = GzEncoder::new(std::fs::File::create(to)?, Compression::best());
    std::io::copy(from, &mut encoder)?;
    encoder.finish()?.flush()
}
