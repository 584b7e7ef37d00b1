//! Takes uap-core's rules from the resolved `ua-parser` package, so that they come with a version
//! bump of it and no copy of them lives in this repository.

use std::path::PathBuf;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=Cargo.lock");
    println!("cargo:rerun-if-changed=build.rs");
    let cargo = std::env::var("CARGO").expect("cargo sets CARGO");
    let manifest = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--offline"])
        .current_dir(manifest)
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let packages = metadata["packages"].as_array().expect("metadata lists packages");
    let package = packages.iter().find(|package| package["name"] == "ua-parser").expect("ua-parser is a dependency");
    let manifest = PathBuf::from(package["manifest_path"].as_str().expect("a package has a manifest"));
    let core = manifest.parent().expect("a manifest lies in a folder").join("uap-core");
    let out = PathBuf::from(std::env::var("OUT_DIR").expect("cargo sets OUT_DIR"));
    std::fs::copy(core.join("regexes.yaml"), out.join("regexes.yaml")).expect("ua-parser carries regexes.yaml");
    // Its test files are read by the tests, from where the package lies.
    println!("cargo:rustc-env=UAP_CORE_DIR={}", core.display());
}
