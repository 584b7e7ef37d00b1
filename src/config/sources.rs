//! Where settings come from: the file, the environment, the flags.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use crate::config::section::Kind;
use crate::config::{Key, keys, kubernetes};
use crate::files;

/// Settings given on the command line.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// The file to read instead of `rollcall.toml`.
    pub config: Option<PathBuf>,
    /// Path and value of a setting, and the flag's name for messages.
    pub values: Vec<(String, String, &'static str)>,
}

/// What is wrong with the configuration, with a way out.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigError(pub String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

struct Value {
    text: String,
    /// Where it came from, as the reader knows it: a file and path, a variable, a flag.
    source: String,
    is_secret: bool,
}

/// A setting that is given somewhere, to be shown.
#[derive(Clone, Debug)]
pub struct Given {
    /// Its path.
    pub path: &'static str,
    /// Its value; `None` when it is a secret.
    pub text: Option<String>,
    /// Where it came from.
    pub source: String,
}

/// All values given, the strongest source of each; and what looks wrong about the rest.
pub(super) struct Values(BTreeMap<&'static str, Value>, Vec<String>);

impl Values {
    pub(super) fn gather(flags: &Flags, environment: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let mut values = Self(BTreeMap::new(), Vec::new());
        let environment: Vec<_> = environment.into_iter().filter(|(name, _)| name.starts_with("ROLLCALL_")).collect();
        let named = environment.iter().find(|(name, _)| name == "ROLLCALL_CONFIG").map(|(_, path)| PathBuf::from(path));
        let named = flags.config.clone().or(named);
        let file = named.clone().unwrap_or_else(|| PathBuf::from("rollcall.toml"));
        match files::read_text(&file) {
            Ok(text) => {
                let table: toml::Table = text.parse().map_err(|error| ConfigError(format!("{}: {error}", file.display())))?;
                values.add_table("", &toml::Value::Table(table), &file.display().to_string())?;
            }
            Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(ConfigError(format!("{}: {error}", file.display()))),
        }
        for (name, text) in environment {
            let path = match name.strip_prefix("ROLLCALL_") {
                None | Some("CONFIG") => continue,
                Some("LOG") => "log.filter".to_owned(),
                Some(rest) => rest.to_lowercase().replace("__", "."),
            };
            if kubernetes::is_of_a_service(&name, &text) {
                values.1.push(format!("{name} is not a setting: Kubernetes sets it for a service whose name begins with rollcall"));
                continue;
            }
            // An empty variable is an unset one: container files cannot leave one out.
            if !text.is_empty() {
                values.add(&path, text, name, |known| format!("ROLLCALL_{}", known.to_uppercase().replace('.', "__")))?;
            }
        }
        for (path, text, flag) in &flags.values {
            values.add(path, text.clone(), format!("{flag} {path}"), str::to_owned)?;
        }
        Ok(values)
    }

    fn add_table(&mut self, prefix: &str, value: &toml::Value, file: &str) -> Result<(), ConfigError> {
        let text = match value {
            toml::Value::Table(table) => {
                for (name, value) in table {
                    let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                    self.add_table(&path, value, file)?;
                }
                return Ok(());
            }
            toml::Value::String(text) => text.clone(),
            toml::Value::Array(items) => {
                let items: Vec<_> =
                    items.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned)).collect();
                items.join(",")
            }
            other => other.to_string(),
        };
        let path = if prefix == "log" { "log.filter" } else { prefix };
        self.add(path, text, format!("{file}: {prefix}"), str::to_owned)
    }

    fn add(&mut self, path: &str, text: String, source: String, spell: impl Fn(&str) -> String) -> Result<(), ConfigError> {
        let Some(key) = keys().find(|key| key.path == path) else {
            let likeness = |key: &Key| strsim::jaro_winkler(key.path, path);
            let nearest = keys().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
            let nearest = nearest.map(|key| spell(key.path)).unwrap_or_default();
            return Err(ConfigError(format!("{source}: there is no such setting; the nearest is {nearest}")));
        };
        if let Some(fault) = fault(&text) {
            return Err(ConfigError(format!("{source}: its value {fault}; no setting needs that, so it is most likely a mistake")));
        }
        self.0.insert(key.path, Value { text, source, is_secret: key.is_secret });
        Ok(())
    }

    /// What looks wrong, and is no reason not to start.
    pub(super) fn warnings(&self) -> Vec<String> {
        self.1.clone()
    }

    /// What is given, and where; secrets without their values.
    pub(super) fn given(&self) -> Vec<Given> {
        let given = self.0.iter().map(|(path, value)| Given {
            path,
            text: (!value.is_secret).then(|| value.text.clone()),
            source: value.source.clone(),
        });
        given.collect()
    }

    /// The given value, or the default.
    pub(super) fn get<T>(&self, path: &str, kind: &Kind<T>, default: &str) -> Result<T, ConfigError> {
        match self.find(path, kind)? {
            Some(value) => Ok(value),
            None => (kind.read)(default).ok_or_else(|| ConfigError(format!("{path}: the default {default} is not {}", kind.form))),
        }
    }

    /// The given value, if there is one.
    pub(super) fn find<T>(&self, path: &str, kind: &Kind<T>) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.0.get(path) else { return Ok(None) };
        let text = if kind.is_verbatim { &value.text } else { value.text.trim() };
        match (kind.read)(text) {
            Some(read) => Ok(Some(read)),
            None => {
                let shown = if value.is_secret { "its value" } else { &value.text };
                Err(ConfigError(format!("{}: {shown} is not {}", value.source, kind.form)))
            }
        }
    }
}

/// What is wrong with a text before it is read: a character that nobody sees. A file from Windows ends its
/// lines with a carriage return, and a password with one at its end is another password.
fn fault(text: &str) -> Option<String> {
    // Blank in most fonts, but not white space in Unicode's sense.
    let is_blank = |c: char| c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}'..='\u{200f}' | '\u{2060}');
    if let Some(control) = text.chars().find(|c| c.is_control()) {
        let name = match control {
            '\r' => " (a carriage return)",
            '\n' => " (a line break)",
            '\t' => " (a tab)",
            _ => "",
        };
        return Some(format!("holds the control character U+{:04X}{name}", u32::from(control)));
    }
    if text.starts_with(is_blank) {
        return Some("begins with a blank".to_owned());
    }
    text.ends_with(is_blank).then(|| "ends with a blank".to_owned())
}
