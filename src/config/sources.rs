//! Where settings come from, and which there are.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its path in `rollcall.toml`.
    pub path: &'static str,
    /// What it does, in a line.
    pub about: &'static str,
    /// Whether its value is a secret, never to be shown.
    pub is_secret: bool,
}

const fn key(path: &'static str, about: &'static str) -> Key {
    Key { path, about, is_secret: false }
}

const fn secret(path: &'static str, about: &'static str) -> Key {
    Key { path, about, is_secret: true }
}

/// All settings.
pub const KEYS: &[Key] = &[
    key("data_dir", "folder of the instance key and the SQLite file (./rollcall-data)"),
    key("listen", "address and port to listen on (127.0.0.1:9000)"),
    secret("database.url", "postgres://… or sqlite:PATH (rollcall.db in the data directory)"),
    key("geoip.city", "a MaxMind City file (none)"),
    key("geoip.asn", "a MaxMind ASN file (none)"),
    key("user_agent.rules", "a newer regexes.yaml of uap-core (built in)"),
    key("http.trusted_proxies", "networks whose X-Forwarded-For is believed (none)"),
    key("http.public_url", "where people reach the server, such as https://sessions.example.com"),
    key("sessions.idle_timeout", "a session not used for so long ends; 0: never (12h)"),
    key("sessions.absolute_timeout", "a session ends so long after its sign-in (14d)"),
    key("sessions.remember_timeout", "the same with \"stay signed in\"; 0: not offered (30d)"),
    key("sessions.max_per_user", "the most sessions a user has at once; 0: no limit (0)"),
    key("sessions.at_limit", "what happens to one more: refuse, ask or end_oldest (end_oldest)"),
    key("sessions.end_on_password_change", "a password that is set ends the user's other sessions (true)"),
    key("sessions.confirm_timeout", "how long a proof of who one is serves for what needs a fresh one (10m)"),
    key("sessions.confirm_ends", "ending one's own other sessions from the pages needs a fresh proof, too (false)"),
    key("sessions.network_binding", "no_binding, bind_asn, bind_asn_network or bind_asn_network_ip (no_binding)"),
    key("sessions.network_binding_action", "what a session from another network meets: log, confirm or end (end)"),
    key("sessions.geoip_binding", "no_binding, bind_continent, …_country or …_country_city (no_binding)"),
    key("sessions.geoip_binding_action", "what a session from another place meets: log, confirm or end (end)"),
    key("sessions.require_factor", "signing in takes a second factor (false)"),
    key("sessions.touch_interval", "last_used is written at most once per this; 0: never (60s)"),
    key("sessions.purge_interval", "expired sessions are swept once per this; 0: never (60s)"),
    key("sessions.index_limit", "the most sessions kept in memory for lists and searches; 0: none (4000000)"),
    key("sign_in.account_limit", "the most wrong passwords for one name, and proofs for one session; 0: no limit (10/15m)"),
    key("sign_in.known_device_limit", "the same from a browser its user signed in with before; 0: no limit (10/15m)"),
    key("sign_in.address_limit", "the same from one address, or IPv6 network of /64; 0: no limit (50/15m)"),
    key("sign_in.instance_limit", "the same in all; 0: no limit (1000/15m)"),
    key("sign_in.link_timeout", "how long a recovery link is good (30m)"),
    key("history.retention", "ended sessions are kept for so long; 0: for ever (90d)"),
    key("privacy.address_retention", "addresses unused for so long are cut or cleared; 0: never (30d)"),
    key("privacy.address_cut", "cut to the /24 or /48, instead of cleared (true)"),
    secret("bootstrap.password", "akadmin's password, for a start that finds no akadmin"),
    secret("bootstrap.token", "the key of an API token for akadmin, likewise"),
    secret("authentik.secret_key", "accept the cookies of the authentik with this secret key (off)"),
    key("api.strict_query", "unknown query parameters of lists are errors (false)"),
    key("metrics.listen", "address and port of Prometheus metrics, such as 127.0.0.1:9300 (off)"),
    key("log.filter", "a level, or target=level pairs; in the environment also ROLLCALL_LOG (info)"),
    key("log.format", "text or json (text)"),
];

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
        match std::fs::read_to_string(&file) {
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
        let Some(key) = KEYS.iter().find(|key| key.path == path) else {
            let nearest =
                KEYS.iter().max_by(|a, b| strsim::jaro_winkler(a.path, path).total_cmp(&strsim::jaro_winkler(b.path, path)));
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

    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.0.get(path).map(|value| value.text.as_str())
    }

    /// Reads a value with `parse`; `form` says what is allowed when it gives `None`.
    pub(super) fn parse<T>(&self, path: &str, form: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.0.get(path) else { return Ok(None) };
        match parse(value.text.trim()) {
            Some(parsed) => Ok(Some(parsed)),
            None => {
                let shown = if value.is_secret { "its value" } else { &value.text };
                Err(ConfigError(format!("{}: {shown} is not {form}", value.source)))
            }
        }
    }
}
