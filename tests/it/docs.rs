//! What the documents say is so: defaults, items, and the tests they name; links, cited rules, words.

mod items;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use rollcall::config::{Config, Flags, keys};
use rollcall::domain::EndReason;

use self::items::ITEMS;

const ASVS: &str = include_str!("../../docs/asvs.md");
const SESSIONS: &str = include_str!("../../docs/sessions.md");
const SECURITY: &str = include_str!("../../docs/SECURITY.md");
const PRIVACY: &str = include_str!("../../docs/privacy.md");

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
fn every_bound_names_tests_that_exist() {
    let document = include_str!("../../docs/SECURITY.md");
    let section = document.split("\n## Bounds\n").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    let bounds = &rows(section)[2..];
    assert!(bounds.len() > 25, "{bounds:?}");
    for row in bounds {
        let tests = quoted(row.last().unwrap());
        assert!(!tests.is_empty(), "{} has no test", row[0]);
        for test in tests {
            assert!(exists(test), "{}: there is no test {test}", row[0]);
        }
    }
}

#[test]
fn every_item_is_there_with_tests_that_exist() {
    let found: BTreeMap<&str, Vec<&str>> = rows(ASVS).into_iter().map(|row| (row[0], row)).collect();
    for (item, level) in ITEMS {
        let row = found.get(item).unwrap_or_else(|| panic!("{item} is missing"));
        assert_eq!(row[1], level.to_string(), "the level of {item}");
        let (met, why) = row[3].split_once([':', ',']).unwrap_or((row[3], ""));
        let is_foreign = met == "not applicable";
        assert!(met == "yes" || (matches!(met, "in part" | "no") || is_foreign) && !why.is_empty(), "{item}: {}", row[3]);
        let tests = quoted(row[4]);
        let is_open = matches!(met, "no" | "not applicable");
        assert_eq!(tests.is_empty(), is_open, "{item}: what is met names its tests, and what is not has none");
        for test in tests {
            assert!(exists(test), "{item}: there is no test {test}");
        }
    }
    let said = rows(ASVS).into_iter().filter(|row| row[0].starts_with(|first: char| first.is_ascii_digit())).count();
    assert_eq!(said, ITEMS.len(), "each item is there once, and no other");
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
        "sessions.end_on_password_change" => sessions.end_on_password_change.to_string() == text,
        "sessions.confirm_timeout" => sessions.confirm_timeout == duration(text),
        "sessions.confirm_ends" => sessions.confirm_ends.to_string() == text,
        "sessions.network_binding" => sessions.network_binding.as_str() == text,
        "sessions.network_binding_action" => sessions.network_binding_action.as_str() == text,
        "sessions.geoip_binding" => sessions.geoip_binding.as_str() == text,
        "sessions.geoip_binding_action" => sessions.geoip_binding_action.as_str() == text,
        "sessions.require_factor" => sessions.require_factor.to_string() == text,
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
        let known = keys().find(|known| known.path == key).unwrap_or_else(|| panic!("there is no {key}"));
        assert_eq!(known.default_text(), value, "{key}");
        said.insert(key);
    }
    let mut should: BTreeSet<&str> = keys().map(|key| key.path).filter(|path| path.starts_with("sessions.")).collect();
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
            "privacy.address_cut" => config.privacy.address_cut.to_string() == value,
            "history.retention" => config.history.retention == duration(value),
            "history.event_retention" => config.history.event_retention == duration(value),
            other => panic!("{other}: say here where its default is"),
        };
        let known = keys().find(|known| known.path == key).unwrap_or_else(|| panic!("there is no {key}"));
        assert!(is_so && known.default_text() == value, "{key} is not {value}");
        said.insert(key);
    }
    let should = ["history.event_retention", "history.retention", "privacy.address_cut", "privacy.address_retention"];
    assert_eq!(said, BTreeSet::from(should));
}

#[test]
fn every_way_in_is_named() {
    let (_, rest) = SECURITY.split_once("## Ways in").expect("the ways in are told");
    let (told, _) = rest.split_once("\n## ").expect("another part follows");
    let ways: Vec<&str> = rows(told).iter().map(|row| row[0]).collect();
    for way in ["Rollcall's cookie", "authentik's cookie", "`Authorization: Bearer`", "the command line"] {
        assert!(ways.contains(&way), "{way}");
    }
    let routes = rollcall::routes::routes().paths;
    for way in ways.iter().filter_map(|way| way.strip_prefix('`')?.strip_suffix('`')).filter(|way| way.starts_with('/')) {
        let route = way.replace("default-authentication-flow", "{flow_slug}");
        assert!(routes.contains(&route.as_str()), "{way} is no address");
    }
    for route in ["/sign-in", "/set-up/{key}", "/api/v3/flows/executor/default-authentication-flow/"] {
        assert!(ways.contains(&format!("`{route}`").as_str()), "{route}");
    }
}

/// What the files of a folder hold, and of those below it.
fn contents(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else if let Ok(text) = std::fs::read_to_string(&path) {
            found.push((path.display().to_string(), text));
        }
    }
    found
}

#[test]
fn password_fields_hide_and_help() {
    let mut fields = 0;
    for (file, text) in contents(&Path::new(env!("CARGO_MANIFEST_DIR")).join("templates")) {
        for input in text.split("<input").skip(1).filter_map(|rest| rest.split_once('>')).map(|(input, _)| input) {
            let is_password = ["name=\"password\"", "name=\"again\""].iter().any(|name| input.contains(name));
            // A hidden one carries nothing that is typed.
            if is_password && !input.contains("type=\"hidden\"") {
                assert!(input.contains("type=\"password\""), "{file}: {input}");
                let names = ["autocomplete=\"current-password\"", "autocomplete=\"new-password\""];
                assert!(names.iter().any(|name| input.contains(name)), "{file}: {input}");
                assert!(!input.contains("maxlength"), "{file}: a pasted password is not cut: {input}");
                fields += 1;
            }
        }
    }
    assert!(fields >= 4, "{fields}");
}

#[test]
fn scripts_store_nothing() {
    let scripts = contents(&Path::new(env!("CARGO_MANIFEST_DIR")).join("static"));
    let scripts: Vec<_> = scripts.iter().filter(|(file, _)| Path::new(file).extension().is_some_and(|kind| kind == "js")).collect();
    assert!(scripts.len() >= 2);
    for (file, text) in scripts {
        for word in ["localStorage", "sessionStorage", "indexedDB", "document.cookie =", "postMessage", "\"message\"", "caches."] {
            assert!(!text.contains(word), "{file} has {word}");
        }
    }
}

#[test]
fn every_consumer_is_named() {
    let consumers: Vec<&str> = rows(SESSIONS).iter().map(|row| row[0]).collect();
    for consumer in
        ["Rollcall's cookie", "authentik's cookie", "API tokens", "Proofs of forms", "A pending sign-in", "The set-up link"]
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

/// The documents of the repository: path and text.
fn documents() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = contents(&root.join("docs"));
    for name in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "rollcall.example.toml"] {
        found.push((root.join(name).display().to_string(), std::fs::read_to_string(root.join(name)).unwrap()));
    }
    found
}

/// The anchors of a document's headings, as code hosts make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    headings.map(|heading| heading.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")).collect()
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut links = 0;
    for (file, text) in documents() {
        for target in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target) {
            if target.contains("://") {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let linked = match path {
                "" => Path::new(&file).to_owned(),
                path => Path::new(&file).parent().unwrap().join(path),
            };
            assert!(linked.exists(), "{file}: {target}");
            if !anchor.is_empty() {
                let headings = anchors(&std::fs::read_to_string(&linked).unwrap());
                assert!(headings.contains(anchor), "{file}: {target}: {headings:?}");
            }
            links += 1;
        }
    }
    assert!(links > 50, "{links}");
}

#[test]
fn cited_rules_of_compat_md_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let rules = std::fs::read_to_string(root.join("docs/compat.md")).unwrap();
    let (cited, mut citations) = ("`docs/compat.md`", 0);
    for (file, text) in [contents(&root.join("src")), contents(&root.join("tests"))].concat() {
        if file.ends_with("tests/it/docs.rs") {
            continue;
        }
        let bare = text.replace(cited, "");
        assert!(!bare.contains("compat.md") && !bare.contains("flows.md"), "{file} cites a document that is not here");
        for rest in text.split(cited).skip(1) {
            let is_number = |word: &&str| word.starts_with(|first: char| first.is_ascii_digit());
            let words = rest.split_inclusive(' ').take_while(|word| !word.contains(['.', ')', ':']) || is_number(word)).take(4);
            for number in words.map(|word| word.trim_matches(|c: char| !c.is_ascii_digit())).filter(is_number) {
                let rule = if number.contains('.') { format!("\n**{number}** ") } else { format!("\n## {number}. ") };
                assert!(rules.contains(&rule), "{file} cites rule {number}");
            }
            citations += 1;
        }
    }
    assert!(citations > 20, "{citations}");
}

/// Words and phrases that are not plain technical English, with what to write instead.
const MANNERED: [(&str, &str); 10] = [
    ("whoever", "name the caller, the user or the request"),
    ("whom", "name the user, or say \"who\""),
    ("taken up", "say what happens"),
    ("as good as new", "full again, refilled"),
    ("so many", "say how many of what"),
    ("beside", "next to"),
    ("besides", "in addition, except"),
    ("meanwhile", "say during which time"),
    ("stands", "is"),
    ("one anew", "a new one"),
];

/// What is wrong in a text: file, line, the word and the advice. A phrase is found across a line
/// break, the marks of comments between its words aside; `prose` drops what is not to be read.
fn mannered(file: &str, text: &str, prose: impl Fn(&str) -> String) -> Vec<String> {
    let mut words: Vec<(usize, String)> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let lower = prose(line).to_lowercase();
        words.extend(
            lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(|word| (number, word.to_owned())),
        );
    }
    let mut found = Vec::new();
    for (phrase, advice) in MANNERED {
        let parts: Vec<&str> = phrase.split(' ').collect();
        let is_phrase = |run: &&[(usize, String)]| run.iter().map(|(_, word)| word.as_str()).eq(parts.iter().copied());
        found
            .extend(words.windows(parts.len()).filter(is_phrase).map(|run| format!("{file}:{}: \"{phrase}\": {advice}", run[0].0)));
    }
    found
}

#[test]
fn documents_use_plain_words() {
    // Code is not prose: it names tests and settings.
    let without_code = |line: &str| line.split('`').step_by(2).collect::<Vec<_>>().join(" ");
    let found: Vec<String> = documents().iter().flat_map(|(file, text)| mannered(file, text, without_code)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn sources_use_plain_words_in_comments_texts_and_names() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["src", "templates", "static", "tests/it", "benches", "scripts", ".ci", "migrations"];
    let (mut files, mut found) = (0, Vec::new());
    for (file, text) in folders.iter().flat_map(|folder| contents(&root.join(folder))) {
        // Data; a released file, which never changes; and the list of these words.
        if ["common_passwords.txt", "0001_init.sql", "tests/it/docs.rs"].iter().any(|name| file.ends_with(name)) {
            continue;
        }
        files += 1;
        found.extend(mannered(&file, &text, str::to_owned));
    }
    assert!(files > 300, "{files}");
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn mannered_words_are_found_across_lines_and_in_names() {
    let text = "/// A limit is as good\n/// as new.\nfn for_whom() {} // understands somebody\n";
    let found = mannered("a.rs", text, str::to_owned);
    assert_eq!(found, ["a.rs:3: \"whom\": name the user, or say \"who\"", "a.rs:1: \"as good as new\": full again, refilled"]);
}
