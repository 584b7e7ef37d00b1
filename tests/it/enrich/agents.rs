//! The built-in user agent rules against uap-core's own tests.

use std::path::{Path, PathBuf};
use std::process::Command;

use rollcall::enrich::user_agents::UserAgents;
use serde_json::Value;

use crate::process::skip;

/// Cases of the package whose answer changed with later rules: the user agent, and the values of
/// today. uap-core's parser in Python gives the same.
const CHANGED: &[(&str, &[&str])] = &[
    (
        "Mozilla/5.0 (X11; Linux x86_64; Quest 2) AppleWebKit/537.36 (KHTML, like Gecko) \
         OculusBrowser/26.2.0.0.10 SamsungBrowser/4.0 Chrome/110.0.5481.192 VR Safari/537.36",
        &["Oculus Browser", "26", "2", "0"],
    ),
    ("Mozilla/5.0 (X11; Linux armv7l) CrKey/1", &["Chromecast", "Google", "Chromecast"]),
];

/// The folder of uap-core in the sources of the `ua-parser` package, which cargo has unpacked. It
/// carries uap-core's tests. `None` where there are only compiled packages.
fn uap_core() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let lock = std::fs::read_to_string(root.join("Cargo.lock")).ok()?;
    let (_, entry) = lock.split_once("name = \"ua-parser\"\nversion = \"")?;
    let version = entry.split('"').next()?;
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))?;
    let sources = std::fs::read_dir(home.join("registry/src")).into_iter().flatten().flatten();
    let mut unpacked = sources.map(|source| source.path().join(format!("ua-parser-{version}/uap-core")));
    unpacked.find(|folder| folder.is_dir()).or_else(|| by_metadata(root))
}

/// Anywhere else, such as a vendored folder.
fn by_metadata(root: &Path) -> Option<PathBuf> {
    let cargo = std::env::var_os("CARGO")?;
    let mut command = Command::new(cargo);
    let output = command.args(["metadata", "--format-version", "1", "--offline"]).current_dir(root).output().ok()?;
    let metadata: Value = serde_json::from_slice(&output.stdout).ok()?;
    let package = metadata["packages"].as_array()?.iter().find(|package| package["name"] == "ua-parser")?;
    Some(Path::new(package["manifest_path"].as_str()?).parent()?.join("uap-core")).filter(|folder| folder.is_dir())
}

/// The cases of one of uap-core's test files.
fn cases(folder: &Path, file: &str) -> Vec<serde_yaml_ng::Mapping> {
    let path = folder.join("tests").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file: serde_yaml_ng::Value = serde_yaml_ng::from_str(&text).unwrap();
    file["test_cases"].as_sequence().unwrap().iter().map(|case| case.as_mapping().unwrap().clone()).collect()
}

/// A part that uap-core gives, or `""` for one it does not.
fn part(case: &serde_yaml_ng::Mapping, name: &str) -> String {
    match case.get(name) {
        None | Some(serde_yaml_ng::Value::Null) => String::new(),
        Some(serde_yaml_ng::Value::String(text)) => text.clone(),
        Some(other) => serde_yaml_ng::to_string(other).unwrap().trim().to_owned(),
    }
}

/// Checks every case of a file, of which there must be more than `least`.
fn check(file: &str, least: usize, names: &[&str], read: impl Fn(&UserAgents, &str) -> Vec<String>) {
    let Some(folder) = uap_core() else { return skip("the sources of the ua-parser package are not here") };
    let agents = UserAgents::load(None).unwrap();
    let cases = cases(&folder, file);
    let mut wrong = Vec::new();
    for case in &cases {
        let text = part(case, "user_agent_string");
        let old: Vec<String> = names.iter().map(|name| part(case, name)).collect();
        let changed = CHANGED.iter().find(|(changed, new)| *changed == text && new.len() == names.len());
        let want = changed.map_or(old, |(_, new)| new.iter().map(|&value| value.to_owned()).collect());
        let got = read(&agents, &text);
        if got != want {
            wrong.push(format!("{text}\n    want {want:?}\n     got {got:?}"));
        }
    }
    assert!(cases.len() > least, "{file} has {} cases", cases.len());
    assert!(wrong.is_empty(), "{file}: {} of {} cases differ\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn browsers_are_read_as_uap_core_reads_them() {
    check("test_ua.yaml", 1400, &["family", "major", "minor", "patch"], |agents, text| {
        let it = agents.parse(text).browser;
        vec![it.family, it.major, it.minor, it.patch]
    });
}

#[test]
fn systems_are_read_as_uap_core_reads_them() {
    check("test_os.yaml", 400, &["family", "major", "minor", "patch", "patch_minor"], |agents, text| {
        let it = agents.parse(text).system;
        vec![it.family, it.major, it.minor, it.patch, it.patch_minor]
    });
}

#[test]
fn devices_are_read_as_uap_core_reads_them() {
    check("test_device.yaml", 16_000, &["family", "brand", "model"], |agents, text| {
        let it = agents.parse(text).device;
        vec![it.family, it.brand, it.model]
    });
}
