//! Takes uap-core's rules from the resolved `ua-parser` package, so that they come with a version
//! bump of it and no copy of them lives in this repository.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a build stops at the first surprise")]

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=Cargo.lock");
    println!("cargo:rerun-if-changed=build.rs");
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"));
    let package = in_registry(&root).or_else(|| by_metadata(&root)).expect("the sources of ua-parser are on this machine");
    let core = package.join("uap-core");
    let out = PathBuf::from(std::env::var("OUT_DIR").expect("cargo sets OUT_DIR"));
    std::fs::copy(core.join("regexes.yaml"), out.join("regexes.yaml")).expect("ua-parser carries regexes.yaml");
    // Its test files are read by the tests, from where the package lies.
    println!("cargo:rustc-env=UAP_CORE_DIR={}", core.display());
}

/// Where cargo unpacks what it downloads: the version comes from the lock file. This needs no other
/// package to be there, as `cargo metadata` would.
fn in_registry(root: &Path) -> Option<PathBuf> {
    let lock = std::fs::read_to_string(root.join("Cargo.lock")).ok()?;
    let (_, entry) = lock.split_once("name = \"ua-parser\"\nversion = \"")?;
    let version = entry.split('"').next()?;
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))?;
    let sources = std::fs::read_dir(home.join("registry/src")).ok()?;
    sources.flatten().map(|source| source.path().join(format!("ua-parser-{version}"))).find(|package| package.is_dir())
}

/// Anywhere else, such as a vendored folder.
fn by_metadata(root: &Path) -> Option<PathBuf> {
    let cargo = std::env::var_os("CARGO")?;
    let output = Command::new(cargo).args(["metadata", "--format-version", "1", "--offline"]).current_dir(root).output().ok()?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    let package = metadata["packages"].as_array()?.iter().find(|package| package["name"] == "ua-parser")?;
    Some(Path::new(package["manifest_path"].as_str()?).parent()?.to_owned())
}
