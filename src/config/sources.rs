//! Where settings come from: the file, the environment, the flags.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use crate::config::section::Kind;
use crate::config::{Key, Secret, file, keys, kubernetes, secret_files};

/// Settings given on the command line.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// The file to read instead of the usual ones.
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
    /// The file that holds it, where it is a secret in a file of its own.
    file: Option<PathBuf>,
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
#[derive(Default)]
pub(super) struct Values {
    given: BTreeMap<&'static str, Value>,
    warnings: Vec<String>,
    /// Variables that Kubernetes sets for services.
    of_services: Vec<String>,
    file: Option<PathBuf>,
}

/// The variable in which systemd names the folder of a service's credentials.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

impl Values {
    pub(super) fn gather(flags: &Flags, environment: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let mut values = Self::default();
        let (ours, others): (Vec<_>, Vec<_>) = environment.into_iter().partition(|(name, _)| name.starts_with("ROLLCALL_"));
        if let Some((_, folder)) = others.iter().find(|(name, folder)| name == CREDENTIALS && !folder.is_empty()) {
            values.add_credentials(&PathBuf::from(folder))?;
        }
        let named = ours.iter().find(|(name, path)| name == "ROLLCALL_CONFIG" && !path.is_empty());
        let named = flags.config.clone().or_else(|| named.map(|(_, path)| PathBuf::from(path)));
        if let Some((path, text)) = file::find(named)? {
            let shown = path.display().to_string();
            let table: toml::Table = text.parse().map_err(|error| ConfigError(format!("{shown}: {error}")))?;
            values.add_table("", &toml::Value::Table(table), &shown)?;
            values.file = Some(path);
        }
        values.add_environment(ours)?;
        for (path, text, flag) in &flags.values {
            values.add(path, text.clone(), format!("{flag} {path}"), str::to_owned)?;
        }
        Ok(values)
    }

    /// Secrets that systemd hands to the service: each has the name of its setting.
    fn add_credentials(&mut self, folder: &std::path::Path) -> Result<(), ConfigError> {
        for key in keys().filter(|key| key.is_secret) {
            let path = folder.join(key.path);
            if path.exists() {
                self.add_secret_file(key.path, path, format!("the credential {}", key.path), str::to_owned)?;
            }
        }
        Ok(())
    }

    fn add_environment(&mut self, ours: Vec<(String, String)>) -> Result<(), ConfigError> {
        let spell = |known: &str| format!("ROLLCALL_{}", known.to_uppercase().replace('.', "__"));
        let set: Vec<String> = ours.iter().filter(|(_, text)| !text.is_empty()).map(|(name, _)| name.clone()).collect();
        for (name, text) in ours {
            let path = match name.strip_prefix("ROLLCALL_") {
                None | Some("CONFIG") => continue,
                Some("LOG") => "log.filter".to_owned(),
                Some(rest) => rest.to_lowercase().replace("__", "."),
            };
            if kubernetes::is_of_a_service(&name, &text) {
                self.of_services.push(name);
                continue;
            }
            // An empty variable is an unset one: container files cannot leave one out.
            if text.is_empty() {
                continue;
            }
            let of_file = path.strip_suffix("_file").filter(|path| keys().any(|key| key.path == *path));
            let Some(path_of_secret) = of_file else {
                self.add(&path, text, name, spell)?;
                continue;
            };
            let plain = spell(path_of_secret);
            if keys().any(|key| key.path == path_of_secret && !key.is_secret) {
                return Err(ConfigError(format!("{name}: {path_of_secret} is no secret; write {plain}")));
            }
            if set.contains(&plain) {
                return Err(ConfigError(format!("{plain} and {name} are both set; unset one")));
            }
            self.add_secret_file(path_of_secret, PathBuf::from(text), name, spell)?;
        }
        Ok(())
    }

    /// Adds a secret that is kept in a file.
    fn add_secret_file(
        &mut self,
        path: &str,
        file: PathBuf,
        source: String,
        spell: impl Fn(&str) -> String,
    ) -> Result<(), ConfigError> {
        let text = secret_files::read(&source, &file)?;
        self.add(path, text, source, spell)?;
        if let Some(value) = self.given.get_mut(path) {
            value.file = Some(file);
        }
        Ok(())
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
        if let Some(named) = secret_files::named_by(&text).filter(|_| keys().any(|key| key.path == path && key.is_secret)) {
            return self.add_secret_file(path, named, format!("{file}: {prefix}"), str::to_owned);
        }
        self.add(path, text, format!("{file}: {prefix}"), str::to_owned)
    }

    fn add(&mut self, path: &str, text: String, source: String, spell: impl Fn(&str) -> String) -> Result<(), ConfigError> {
        let (path, text) = match renamed(path, &text) {
            None => (path, text),
            Some((now, value)) => {
                self.warnings.push(format!("{source} has another name now: write {} = {value}", spell(now)));
                (now, value)
            }
        };
        let Some(key) = keys().find(|key| key.path == path) else {
            let likeness = |key: &Key| strsim::jaro_winkler(key.path, path);
            let nearest = keys().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
            let nearest = nearest.map(|key| spell(key.path)).unwrap_or_default();
            return Err(ConfigError(format!("{source}: there is no such setting; the nearest is {nearest}")));
        };
        if let Some(fault) = fault(&text) {
            return Err(ConfigError(format!("{source}: its value {fault}; no setting needs that, so it is most likely a mistake")));
        }
        self.given.insert(key.path, Value { text, source, is_secret: key.is_secret, file: None });
        Ok(())
    }

    /// What looks wrong, and is no reason not to start.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = self.warnings.clone();
        warnings.extend(kubernetes::warning(&self.of_services));
        warnings
    }

    /// All values as they are given.
    pub(super) fn texts(&self) -> BTreeMap<&'static str, Secret> {
        self.given.iter().map(|(path, value)| (*path, Secret(value.text.clone()))).collect()
    }

    /// Where a setting was given, or its path where it was not.
    pub(super) fn source(&self, path: &str) -> String {
        self.given.get(path).map_or_else(|| path.to_owned(), |value| value.source.clone())
    }

    /// The file that settings were read from, if there is one.
    pub(super) fn file(&self) -> Option<PathBuf> {
        self.file.clone()
    }

    /// The file that holds a secret, if it is in a file of its own.
    pub(super) fn file_of(&self, path: &str) -> Option<PathBuf> {
        self.given.get(path)?.file.clone()
    }

    /// The files that hold secrets, by setting.
    pub(super) fn secret_files(&self) -> Vec<(&'static str, PathBuf)> {
        self.given.iter().filter_map(|(path, value)| Some((*path, value.file.clone()?))).collect()
    }

    /// What is given, and where; secrets without their values.
    pub(super) fn given(&self) -> Vec<Given> {
        let given = self.given.iter().map(|(path, value)| Given {
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
        let Some(value) = self.given.get(path) else { return Ok(None) };
        let text = if kind.is_verbatim { &value.text } else { value.text.trim() };
        match (kind.read)(text) {
            Some(read) => Ok(Some(read)),
            None => {
                let shown = if value.is_secret { "its value" } else { &value.text };
                Err(ConfigError(match (kind.why)(&value.text) {
                    Some(why) => format!("{}: {shown} {why}", value.source),
                    None => format!("{}: {shown} is not {}", value.source, kind.form),
                }))
            }
        }
    }
}

/// The setting, and its value, that an older name of it means. An old name is read for one minor version.
fn renamed(path: &str, text: &str) -> Option<(&'static str, String)> {
    if path != "http.hsts_include_subdomains" {
        return None;
    }
    let value = match text {
        "true" | "1" | "yes" | "on" => "subdomains",
        "false" | "0" | "no" | "off" => "host",
        other => other,
    };
    Some(("http.hsts", value.to_owned()))
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
