//! Where settings come from: the file, the environment, the flags.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use crate::config::section::Kind;
use crate::config::{Key, keys};
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

/// All values given, the strongest source of each.
pub(super) struct Values(BTreeMap<&'static str, Value>);

impl Values {
    pub(super) fn gather(flags: &Flags, environment: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let mut values = Self(BTreeMap::new());
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
        self.0.insert(key.path, Value { text, source, is_secret: key.is_secret });
        Ok(())
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
