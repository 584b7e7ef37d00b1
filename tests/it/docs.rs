//! What the documents say of sessions is so: defaults, items, and the tests they name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use rollcall::config::{Config, Flags, KEYS};
use rollcall::domain::EndReason;

const ASVS: &str = include_str!("../../docs/asvs.md");
const SESSIONS: &str = include_str!("../../docs/sessions.md");
const PRIVACY: &str = include_str!("../../docs/privacy.md");

/// All items of ASVS 5.0 V7, with their levels.
const ITEMS: [(&str, u8); 19] = [
    ("7.1.1", 2),
    ("7.1.2", 2),
    ("7.1.3", 2),
    ("7.2.1", 1),
    ("7.2.2", 1),
    ("7.2.3", 1),
    ("7.2.4", 1),
    ("7.3.1", 2),
    ("7.3.2", 2),
    ("7.4.1", 1),
    ("7.4.2", 1),
    ("7.4.3", 2),
    ("7.4.4", 2),
    ("7.4.5", 2),
    ("7.5.1", 2),
    ("7.5.2", 2),
    ("7.5.3", 3),
    ("7.6.1", 2),
    ("7.6.2", 2),
];

/// The rows of a document's tables, cell by cell.
fn rows(document: &str) -> Vec<Vec<&str>> {
    let lines = document.lines().filter(|line| line.starts_with("| "));
    lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// The texts between backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// Whether the sources have a test of this name where its path says.
fn exists(test: &str) -> bool {
    let (folder, path) = test.strip_prefix("src:").map_or(("tests/it", test), |path| ("src", path));
    let (module, name) = path.rsplit_once("::").expect("a path");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(module.replace("::", "/")).with_extension("rs");
    let Ok(source) = std::fs::read_to_string(file) else { return false };
    [format!("db_test!({name},"), format!("on_both!({name},"), format!("fn {name}(")].iter().any(|start| source.contains(start))
}

#[test]
fn every_item_of_v7_is_there_with_tests_that_exist() {
    let found: BTreeMap<&str, Vec<&str>> = rows(ASVS).into_iter().map(|row| (row[0], row)).collect();
    for (item, level) in ITEMS {
        let row = found.get(item).unwrap_or_else(|| panic!("{item} is missing"));
        assert_eq!(row[1], level.to_string(), "the level of {item}");
        assert!(row[3].starts_with("yes") || row[3].starts_with("in part") || row[3].starts_with("no"), "{item}: {}", row[3]);
        let tests = quoted(row[4]);
        assert!(!tests.is_empty() || level == 3, "{item} names no test");
        for test in tests {
            assert!(exists(test), "{item}: there is no test {test}");
        }
    }
    assert!(!exists("lifecycle::ends::no_such_test") && !exists("nowhere::a_test"));
}

#[test]
fn defaults_are_what_sessions_md_says() {
    let config = Config::load(&Flags { config: None, ..Flags::default() }, []).unwrap();
    let (sessions, history) = (&config.sessions, &config.history);
    let duration = |text: &str| humantime::parse_duration(text).unwrap();
    let is = |key: &str, text: &str| match key {
        "sessions.idle_timeout" => sessions.idle_timeout == duration(text),
        "sessions.absolute_timeout" => sessions.absolute_timeout == duration(text),
        "sessions.remember_timeout" => sessions.remember_timeout == duration(text),
        "sessions.max_per_user" => sessions.max_per_user.unwrap_or(0).to_string() == text,
        "sessions.at_limit" => sessions.at_limit.as_str() == text,
        "sessions.end_on_password_change" => sessions.is_ended_on_password_change.to_string() == text,
        "sessions.confirm_timeout" => sessions.confirm_timeout == duration(text),
        "sessions.confirm_ends" => sessions.is_end_confirmed.to_string() == text,
        "sessions.network_binding" => sessions.bindings.network.as_str() == text,
        "sessions.network_binding_action" => sessions.bindings.network_action.as_str() == text,
        "sessions.geoip_binding" => sessions.bindings.geoip.as_str() == text,
        "sessions.geoip_binding_action" => sessions.bindings.geoip_action.as_str() == text,
        "sessions.touch_interval" => sessions.touch_interval == duration(text),
        "sessions.purge_interval" => sessions.purge_interval == duration(text),
        "history.retention" => history.retention == duration(text),
        other => panic!("{other}: say here where its default is"),
    };
    assert!(sessions.idle_timeout < sessions.absolute_timeout && sessions.idle_timeout > Duration::ZERO);
    let mut said = BTreeSet::new();
    for row in rows(SESSIONS) {
        let Some(key) = quoted(row[0]).first().copied().filter(|key| key.contains('.') && row[0].starts_with('`')) else {
            continue;
        };
        let value = quoted(row[1])[0];
        assert!(is(key, value), "{key} is not {value}");
        let about = KEYS.iter().find(|known| known.path == key).unwrap_or_else(|| panic!("there is no {key}")).about;
        assert!(about.ends_with(&format!("({value})")), "{key}: {about}");
        said.insert(key);
    }
    let mut should: BTreeSet<&str> = KEYS.iter().map(|key| key.path).filter(|path| path.starts_with("sessions.")).collect();
    should.remove("sessions.index_limit");
    should.insert("history.retention");
    assert_eq!(said, should, "every setting of how sessions live is in docs/sessions.md");
}

#[test]
fn periods_are_what_privacy_md_says() {
    let config = Config::load(&Flags { config: None, ..Flags::default() }, []).unwrap();
    let duration = |text: &str| humantime::parse_duration(text).unwrap();
    let mut said = BTreeSet::new();
    for row in rows(PRIVACY) {
        let Some(key) = quoted(row[0]).first().copied().filter(|key| key.contains('.') && row[0].starts_with('`')) else {
            continue;
        };
        let value = quoted(row[1])[0];
        let is_so = match key {
            "privacy.address_retention" => config.privacy.address_retention == duration(value),
            "privacy.address_cut" => config.privacy.is_address_cut.to_string() == value,
            "history.retention" => config.history.retention == duration(value),
            other => panic!("{other}: say here where its default is"),
        };
        let about = KEYS.iter().find(|known| known.path == key).unwrap_or_else(|| panic!("there is no {key}")).about;
        assert!(is_so && about.ends_with(&format!("({value})")), "{key} is not {value}: {about}");
        said.insert(key);
    }
    assert_eq!(said, BTreeSet::from(["history.retention", "privacy.address_cut", "privacy.address_retention"]));
}

#[test]
fn every_consumer_is_named() {
    let consumers: Vec<&str> = rows(SESSIONS).iter().map(|row| row[0]).collect();
    for consumer in
        ["Rollcall's cookie", "authentik's cookie", "API tokens", "Proofs of forms", "A sign-in under way", "The set-up link"]
    {
        assert!(consumers.iter().any(|named| named.starts_with(consumer)), "{consumer}");
    }
}

#[test]
fn every_reason_is_told() {
    let told: BTreeSet<&str> = rows(SESSIONS).iter().flat_map(|row| quoted(row[0])).collect();
    for reason in EndReason::ALL {
        assert!(told.contains(reason.as_str()), "{}", reason.as_str());
        let api = include_str!("../../docs/API.md");
        assert!(api.contains(&format!("`{}`", reason.as_str())), "{} in docs/API.md", reason.as_str());
    }
}
