//! Documents that are made from the settings' own tables (`src/config/`): `docs/settings.md`,
//! `rollcall.example.toml`, and rows about settings in other documents. `UPDATE_DOCS=1` writes them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use rollcall::config::{Config, Default, Flags, Key, SECTIONS, Section, keys};

const EXAMPLE: &str = "rollcall.example.toml";

const HEAD: &str = "\
# Settings

<!-- Made from src/config/ by UPDATE_DOCS=1 cargo test --test it settings. A test compares them. -->

Settings are read at start; [SIGHUP](OPERATIONS.md#reload) reads them again. They come from four places; a later one is stronger:

1. the default;
2. a file: the one that `--config` or `ROLLCALL_CONFIG` names, else `rollcall.toml` in the working directory, else `/etc/rollcall/rollcall.toml`. [rollcall.example.toml](../rollcall.example.toml) has every setting;
3. the environment: `ROLLCALL_` and the setting in capitals, with `__` for the dot. `sessions.idle_timeout` is `ROLLCALL_SESSIONS__IDLE_TIMEOUT`. An empty variable counts as unset;
4. flags: `--set sessions.idle_timeout=30m`. `--data-dir`, `--database-url` and `--listen` are flags of their own.

A secret can be in a file of its own: the variable of the setting with `_FILE` behind it names the file (`ROLLCALL_DATABASE__URL_FILE=/run/secrets/url`), and so does `\"file:/run/secrets/url\"` in `rollcall.toml`. A systemd credential with the setting's name (`LoadCredential=database.url:/etc/rollcall/url`) is the weakest of these. One line break at the end of the file is not part of the secret. `rollcall.toml` in the working directory is refused when it belongs to another user than root or the caller, or when every user may write to it.

A duration is a number with a unit (`s`, `m`, `h`, `d`), or several (`1h 30m`). An unknown setting is an error that names the nearest one, and so is a value of the wrong form. `rollcall check` reads the settings and reports what is wrong. Administrators see at `/settings` what a running server uses and where each value came from, without secrets.
";

const EXAMPLE_HEAD: &str = "\
# Every setting of Rollcall with its default. Copy this file to rollcall.toml and remove the # in front
# of what you change. The file is the one that --config or ROLLCALL_CONFIG names, else ./rollcall.toml,
# else /etc/rollcall/rollcall.toml.
#
# The environment is stronger than this file (ROLLCALL_SESSIONS__IDLE_TIMEOUT=30m: ROLLCALL_, the
# setting, and __ for the dot; an empty variable counts as unset), and flags are stronger than the
# environment (--set sessions.idle_timeout=30m). An unknown setting is an error that names the nearest
# one. `rollcall check` reads all of it and reports what is wrong.
";

fn root(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

/// Fails when the file is not what it should be; with `UPDATE_DOCS=1` writes it.
pub fn compare(file: &str, should: &str) {
    let is = std::fs::read_to_string(root(file)).unwrap_or_default();
    if is == should {
        return;
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(root(file), should).unwrap();
        return;
    }
    let line = is.lines().zip(should.lines()).position(|(is, should)| is != should);
    let line = line.unwrap_or_else(|| is.lines().count().min(should.lines().count()));
    let shown = |text: &str| text.lines().nth(line).unwrap_or("(the end)").to_owned();
    panic!("{file}, line {}: {}\nshould be: {}\nUPDATE_DOCS=1 writes it", line + 1, shown(&is), shown(should));
}

/// A default in Markdown: a value as code, a word as it is.
fn default_cell(key: &Key) -> String {
    match key.default {
        Default::Value(text) if !text.is_empty() => format!("`{text}`"),
        _ => key.default_text().to_owned(),
    }
}

fn settings_md() -> String {
    let mut text = HEAD.to_owned();
    for section in SECTIONS {
        let title = if section.name.is_empty() { "Server".to_owned() } else { format!("`[{}]`", section.name) };
        let _ = write!(text, "\n## {title}\n\n{}\n\n| Setting | Takes | Default | Meaning |\n", section.about());
        text.push_str("| --- | --- | --- | --- |\n");
        for key in section.keys {
            let meaning = [key.about(), key.details()].join(" ");
            let _ = writeln!(text, "| `{}` | {} | {} | {} |", key.path, key.form, default_cell(key), meaning.trim_end());
        }
    }
    text
}

/// The text as comment lines of at most 100 columns.
fn comment(text: &str) -> String {
    let mut lines = vec![String::from("#")];
    for word in text.replace('`', "").split(' ') {
        let line = lines.last_mut().unwrap();
        if line.chars().count() + 1 + word.chars().count() > 100 {
            lines.push(format!("# {word}"));
        } else {
            line.push(' ');
            line.push_str(word);
        }
    }
    lines.join("\n") + "\n"
}

/// `# idle_timeout = "12h"`, as one would write it into the file.
fn example_line(section: &Section, key: &Key) -> String {
    let name = key.path.strip_prefix(section.name).unwrap().trim_start_matches('.');
    let quoted = |text: &str| match text {
        "" => "[]".to_owned(),
        "true" | "false" => text.to_owned(),
        number if number.parse::<i64>().is_ok_and(|parsed| parsed.to_string() == number) => number.to_owned(),
        text => format!("{text:?}"),
    };
    match key.default {
        Default::Value(text) => format!("# {name} = {}\n", quoted(text)),
        Default::Unset(meaning) => {
            let line = format!("# {name} = {}", quoted(key.example));
            format!("{line:<52}# default: {meaning}\n")
        }
    }
}

fn example_toml() -> String {
    let mut text = EXAMPLE_HEAD.to_owned();
    for section in SECTIONS {
        text.push('\n');
        text.push_str(&comment(&section.about()));
        if !section.name.is_empty() {
            let _ = writeln!(text, "[{}]", section.name);
        }
        for (at, key) in section.keys.iter().enumerate() {
            if at > 0 || section.name.is_empty() {
                text.push('\n');
            }
            let meaning = [key.about(), key.details()].join(" ");
            text.push_str(&comment(meaning.trim_end()));
            // A list of words to choose from, not "a duration such as …".
            let is_choice = key.form.contains(" or ") && !key.form.starts_with('a') && key.form != "true or false";
            if is_choice {
                text.push_str(&comment(&format!("Takes {}.", key.form)));
            }
            text.push_str(&example_line(&section, key));
        }
    }
    text
}

#[test]
fn settings_md_is_made_from_the_code() {
    compare("docs/settings.md", &settings_md());
}

#[test]
fn the_example_file_is_made_from_the_code() {
    compare(EXAMPLE, &example_toml());
}

#[test]
fn rows_about_settings_in_other_documents_are_made_from_the_code() {
    for file in ["docs/sessions.md", "docs/privacy.md"] {
        let text = std::fs::read_to_string(root(file)).unwrap();
        let mut rows = 0;
        let should = text.split_inclusive('\n').map(|line| {
            let path = line.strip_prefix("| `").and_then(|rest| rest.split_once('`')).map(|(path, _)| path);
            match keys().find(|key| path == Some(key.path)) {
                Some(key) => {
                    rows += 1;
                    format!("| `{}` | {} | {} |\n", key.path, default_cell(key), key.about())
                }
                None => line.to_owned(),
            }
        });
        let should: String = should.collect();
        assert!(rows > 2, "{file} has rows about settings");
        compare(file, &should);
    }
}

#[test]
fn every_line_of_the_example_file_can_be_used() {
    let example = std::fs::read_to_string(root(EXAMPLE)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rollcall.toml");
    // A setting's line is one word, " = " and a value; sentences are not.
    let is_setting = |line: &str| line.split_once(" = ").is_some_and(|(name, _)| !name.contains(' '));
    let lines = example.lines().map(|line| line.strip_prefix("# ").filter(|line| is_setting(line)).unwrap_or(line));
    std::fs::write(&file, lines.collect::<Vec<_>>().join("\n")).unwrap();
    let given = Config::load(&Flags { config: Some(file), ..Flags::default() }, []).unwrap();
    let set: Vec<&str> = given.given.iter().map(|given| given.path).collect();
    for key in keys() {
        assert!(set.contains(&key.path), "{}", key.path);
    }
    // What the file shows as a default is what holds without it.
    let built_in = Config::load(&Flags::default(), []).unwrap();
    let with_defaults = |config: &Config| {
        [
            format!("{:?} {:?} {:?}", config.data_dir, config.listen, config.http.trusted_proxies),
            format!("{:?} {:?}", config.sessions, config.sign_in),
            format!("{:?} {:?} {:?} {:?}", config.history, config.privacy, config.api, config.log),
        ]
    };
    assert_eq!(with_defaults(&given), with_defaults(&built_in));
}

#[test]
fn every_setting_says_what_it_does_in_one_sentence() {
    let mut paths = std::collections::BTreeSet::new();
    for key in keys() {
        let about = key.about();
        assert!(about.ends_with('.') && !about.trim_end_matches('.').contains(". "), "{}: {about}", key.path);
        assert!(paths.insert(key.path), "{} is there twice", key.path);
        match key.default {
            Default::Value(_) => assert_eq!(key.example, "", "{} shows its default", key.path),
            Default::Unset(_) => assert_ne!(key.example, "", "{} shows an example", key.path),
        }
    }
}
