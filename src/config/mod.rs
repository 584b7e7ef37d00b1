//! Configuration: defaults < `rollcall.toml` < environment < flags, checked once at start.

pub mod location;
mod sign_in;
mod sources;

pub use location::Location;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::sources::Values;
pub use sign_in::SignInConfig;
pub use sources::{ConfigError, Flags, Given, KEYS, Key};

use crate::domain::binding::{Bindings, GeoipBinding, MoveAction, NetworkBinding};
use crate::domain::policy::{AtLimit, Policy};

/// All settings, read and checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// What was given, and where; all else is as built in.
    pub given: Vec<Given>,
    /// Where the instance key and the SQLite file live.
    pub data_dir: PathBuf,
    /// The address the server listens on.
    pub listen: SocketAddr,
    /// The database.
    pub database: Location,
    /// MaxMind files.
    pub geoip: GeoIpConfig,
    /// A newer `regexes.yaml` than the built-in one.
    pub user_agent_rules: Option<PathBuf>,
    /// How requests are read.
    pub http: HttpConfig,
    /// How long sessions live, and how often they are written and swept.
    pub sessions: SessionConfig,
    /// How often somebody may guess.
    pub sign_in: SignInConfig,
    /// What is kept of the past.
    pub history: HistoryConfig,
    /// For how long addresses are kept.
    pub privacy: PrivacyConfig,
    /// What a first start sets up.
    pub bootstrap: BootstrapConfig,
    /// The secret key of an authentik whose cookies are accepted; off when unset.
    pub authentik_secret_key: Option<Secret>,
    /// Whether unknown query parameters of lists are errors.
    pub is_query_strict: bool,
    /// Where metrics are served; `None`: nowhere, and nothing is counted.
    pub metrics_listen: Option<SocketAddr>,
    /// What is logged and how.
    pub log: LogConfig,
}

/// MaxMind files; without one, what it would say is null.
#[derive(Clone, Debug, Default)]
pub struct GeoIpConfig {
    /// A City database.
    pub city: Option<PathBuf>,
    /// An ASN database.
    pub asn: Option<PathBuf>,
}

/// How requests are read.
#[derive(Clone, Debug, Default)]
pub struct HttpConfig {
    /// Peers whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// Where people reach this server: `https://sessions.example.com`.
    pub public_url: Option<PublicUrl>,
}

/// An address people use: scheme and host, without a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    origin: String,
}

impl PublicUrl {
    /// `https://host[:port]`, lower-case, without a slash at its end.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The host, without a port.
    #[must_use]
    pub fn host(&self) -> &str {
        let authority = self.origin.split_once("//").map_or("", |(_, authority)| authority);
        match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => authority,
        }
    }

    /// Whether it is https, so that cookies are `Secure` and `__Host-`.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.origin.starts_with("https:")
    }

    fn parse(text: &str) -> Option<Self> {
        let uri: axum::http::Uri = text.parse().ok()?;
        let scheme = uri.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https"))?;
        let host = uri.authority()?.as_str();
        let is_bare = matches!(uri.path(), "" | "/") && uri.query().is_none() && !host.contains('@');
        is_bare.then(|| Self { origin: format!("{scheme}://{host}").to_lowercase() })
    }
}

/// How long sessions live, and how often they are written and swept.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// A session not used for so long ends; zero: no such limit.
    pub idle_timeout: Duration,
    /// A session ends so long after its sign-in.
    pub absolute_timeout: Duration,
    /// The same with "stay signed in", which also lifts the idle timeout; zero: not offered.
    pub remember_timeout: Duration,
    /// The most sessions a user has at once; `None`: no limit.
    pub max_per_user: Option<u32>,
    /// What happens to a sign-in beyond it.
    pub at_limit: AtLimit,
    /// Whether a password that is set ends the user's other sessions.
    pub is_ended_on_password_change: bool,
    /// Whether ending one's own other sessions from the pages needs a fresh proof, too.
    pub is_end_confirmed: bool,
    /// How long a proof of who one is serves for what needs a fresh one.
    pub confirm_timeout: Duration,
    /// What sessions are bound to.
    pub bindings: Bindings,
    /// Whether signing in takes a second factor.
    pub is_factor_required: bool,
    /// `last_used` and company are written at most once per this; zero: never.
    pub touch_interval: Duration,
    /// Expired sessions are swept once per this; zero: never.
    pub purge_interval: Duration,
    /// With at most so many sessions, what lists show and searches look at is kept in memory: some 200
    /// bytes a session, from the first search on, or from the sixtieth list in a minute, until there was neither
    /// for 15 minutes. 0: never.
    pub index_limit: i64,
}

impl SessionConfig {
    /// What the instance says of how sessions live.
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy {
            idle_timeout: Some(self.idle_timeout).filter(|idle| !idle.is_zero()),
            absolute_timeout: Some(self.absolute_timeout),
            remember_timeout: Some(self.remember_timeout),
            max_sessions: self.max_per_user,
            at_limit: self.max_per_user.map(|_| self.at_limit),
            is_factor_required: self.is_factor_required,
        }
    }
}

/// What is kept of the past.
#[derive(Clone, Debug)]
pub struct HistoryConfig {
    /// Ended sessions are kept for so long; zero: for ever.
    pub retention: Duration,
}

/// For how long addresses are kept.
#[derive(Clone, Debug)]
pub struct PrivacyConfig {
    /// Those of sessions not used for so long, of sessions that ended and of what happened so long ago
    /// are taken off; zero: never.
    pub address_retention: Duration,
    /// Whether the /24 or /48 stays; else nothing.
    pub is_address_cut: bool,
}

/// What a start that finds no `akadmin` sets up.
#[derive(Clone, Debug, Default)]
pub struct BootstrapConfig {
    /// `akadmin`'s password.
    pub password: Option<Secret>,
    /// The key of an API token for `akadmin`.
    pub token: Option<Secret>,
}

/// A configured secret, hidden in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What is logged and how.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// Which lines: a level, or `target=level` pairs (the `tracing` crate's filter).
    pub filter: String,
    /// JSON lines instead of text.
    pub is_json: bool,
}

impl Config {
    /// Reads the file, the environment and the flags.
    ///
    /// # Errors
    /// When the file cannot be read, a key is unknown, or a value is of the wrong form: each says
    /// which key, where it came from, and what is allowed.
    pub fn load(flags: &Flags, environment: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let values = Values::gather(flags, environment)?;
        let data_dir = PathBuf::from(values.text("data_dir").unwrap_or("./rollcall-data"));
        let database = match values.text("database.url") {
            None => Location::Sqlite(data_dir.join("rollcall.db")),
            Some(_) => values
                .parse("database.url", "a postgres:// URL or sqlite:PATH", parse_location)?
                .unwrap_or_else(|| Location::Sqlite(data_dir.join("rollcall.db"))),
        };
        let path = |key: &str| values.text(key).map(PathBuf::from);
        let duration = |key: &str, default: Duration| -> Result<Duration, ConfigError> {
            Ok(values.parse(key, "a duration such as 30m, 12h or 14d", parse_duration)?.unwrap_or(default))
        };
        let secret = |key: &str| values.text(key).map(|text| Secret(text.to_owned()));
        let (hour, day) = (Duration::from_secs(3600), Duration::from_secs(86400));
        let config = Self {
            listen: values
                .parse("listen", "an address and port such as 127.0.0.1:9000", |text| text.parse().ok())?
                .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 9000))),
            metrics_listen: values
                .parse("metrics.listen", "an address and port such as 127.0.0.1:9300", |text| text.parse().ok())?,
            database,
            geoip: GeoIpConfig { city: path("geoip.city"), asn: path("geoip.asn") },
            user_agent_rules: path("user_agent.rules"),
            http: HttpConfig {
                trusted_proxies: values
                    .parse("http.trusted_proxies", "networks such as 10.0.0.0/8, separated by commas", parse_networks)?
                    .unwrap_or_default(),
                public_url: values.parse("http.public_url", "an address such as https://sessions.example.com", PublicUrl::parse)?,
            },
            sessions: SessionConfig {
                idle_timeout: duration("sessions.idle_timeout", 12 * hour)?,
                absolute_timeout: values
                    .parse("sessions.absolute_timeout", "a duration above zero such as 14d", |text| {
                        parse_duration(text).filter(|duration| !duration.is_zero())
                    })?
                    .unwrap_or(14 * day),
                remember_timeout: duration("sessions.remember_timeout", 30 * day)?,
                touch_interval: duration("sessions.touch_interval", Duration::from_secs(60))?,
                purge_interval: duration("sessions.purge_interval", Duration::from_secs(60))?,
                max_per_user: values
                    .parse("sessions.max_per_user", "a whole number, 0 for no limit", |text| text.parse::<u32>().ok())?
                    .filter(|most| *most > 0),
                at_limit: values
                    .parse("sessions.at_limit", "refuse, ask or end_oldest", AtLimit::parse)?
                    .unwrap_or(AtLimit::EndOldest),
                is_ended_on_password_change: values
                    .parse("sessions.end_on_password_change", "true or false", parse_bool)?
                    .unwrap_or(true),
                is_end_confirmed: values.parse("sessions.confirm_ends", "true or false", parse_bool)?.unwrap_or(false),
                confirm_timeout: values
                    .parse("sessions.confirm_timeout", "a duration above zero such as 10m", |text| {
                        parse_duration(text).filter(|duration| !duration.is_zero())
                    })?
                    .unwrap_or(Duration::from_secs(600)),
                bindings: bindings(&values)?,
                is_factor_required: values.parse("sessions.require_factor", "true or false", parse_bool)?.unwrap_or(false),
                index_limit: values
                    .parse("sessions.index_limit", "a whole number, 0 or more", |text| {
                        text.parse().ok().filter(|limit| *limit >= 0)
                    })?
                    .unwrap_or(4_000_000),
            },
            sign_in: SignInConfig::read(&values)?,
            history: HistoryConfig { retention: duration("history.retention", 90 * day)? },
            privacy: PrivacyConfig {
                address_retention: duration("privacy.address_retention", 30 * day)?,
                is_address_cut: values.parse("privacy.address_cut", "true or false", parse_bool)?.unwrap_or(true),
            },
            bootstrap: BootstrapConfig { password: secret("bootstrap.password"), token: secret("bootstrap.token") },
            authentik_secret_key: secret("authentik.secret_key"),
            is_query_strict: values.parse("api.strict_query", "true or false", parse_bool)?.unwrap_or(false),
            log: LogConfig {
                filter: values
                    .parse("log.filter", "a level such as info, or target=level pairs", |text| {
                        tracing_subscriber::EnvFilter::try_new(text).ok().map(|_| text.to_owned())
                    })?
                    .unwrap_or_else(|| "info".to_owned()),
                is_json: values
                    .parse("log.format", "text or json", |text| match text {
                        "text" => Some(false),
                        "json" => Some(true),
                        _ => None,
                    })?
                    .unwrap_or(false),
            },
            given: values.given(),
            data_dir,
        };
        Ok(config)
    }

    /// The file that holds the instance key.
    #[must_use]
    pub fn instance_key_path(&self) -> PathBuf {
        self.data_dir.join("instance.key")
    }

    /// Where people reach the server: the public URL, or the address it listens on.
    #[must_use]
    pub fn origin(&self, listening: SocketAddr) -> String {
        self.http.public_url.as_ref().map_or_else(|| format!("http://{listening}"), |url| url.origin().to_owned())
    }

    /// Whether cookies are `Secure` and `__Host-`.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.http.public_url.as_ref().is_some_and(PublicUrl::is_https)
    }
}

fn bindings(values: &Values) -> Result<Bindings, ConfigError> {
    let networks = "no_binding, bind_asn, bind_asn_network or bind_asn_network_ip";
    let places = "no_binding, bind_continent, bind_continent_country or bind_continent_country_city";
    let action = |key: &str| -> Result<MoveAction, ConfigError> {
        Ok(values.parse(key, "log, confirm or end", MoveAction::parse)?.unwrap_or(MoveAction::End))
    };
    Ok(Bindings {
        network: values.parse("sessions.network_binding", networks, NetworkBinding::parse)?.unwrap_or_default(),
        network_action: action("sessions.network_binding_action")?,
        geoip: values.parse("sessions.geoip_binding", places, GeoipBinding::parse)?.unwrap_or_default(),
        geoip_action: action("sessions.geoip_binding_action")?,
    })
}

fn parse_location(text: &str) -> Option<Location> {
    if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        return Some(Location::Postgres(text.to_owned()));
    }
    let path = text.strip_prefix("sqlite:")?;
    let path = path.strip_prefix("//").unwrap_or(path);
    (!path.is_empty()).then(|| Location::Sqlite(Path::new(path).to_owned()))
}

/// `30m`, `12h`, `14d`, `1h 30m`; `0` is zero.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    const CENTURY: Duration = Duration::from_secs(100 * 366 * 86400);
    if text == "0" {
        return Some(Duration::ZERO);
    }
    humantime::parse_duration(text).ok().map(|duration| duration.min(CENTURY))
}

fn parse_networks(text: &str) -> Option<Vec<ipnet::IpNet>> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| part.parse().or_else(|_| part.parse::<std::net::IpAddr>().map(Into::into)).ok())
        .collect()
}

fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Rate;

    fn load(environment: &[(&str, &str)]) -> Result<Config, String> {
        let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Config::load(&Flags::default(), environment).map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_are_what_the_documents_say() {
        let config = load(&[]).unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:9000");
        assert_eq!(config.database, Location::Sqlite("./rollcall-data/rollcall.db".into()));
        assert_eq!(config.sessions.idle_timeout.as_secs(), 12 * 3600);
        assert_eq!(config.sessions.absolute_timeout.as_secs(), 14 * 86400);
        assert_eq!(config.sessions.remember_timeout.as_secs(), 30 * 86400);
        assert_eq!((config.sessions.max_per_user, config.sessions.at_limit), (None, AtLimit::EndOldest));
        assert_eq!(config.sessions.confirm_timeout.as_secs(), 600);
        assert!(config.sessions.is_ended_on_password_change);
        assert_eq!(config.history.retention.as_secs(), 90 * 86400);
        assert_eq!(config.sign_in.link_timeout.as_secs(), 1800);
        assert_eq!(config.sign_in.account_limit, Rate::new(10, Duration::from_secs(900)));
        assert_eq!(config.sign_in.known_device_limit, Rate::new(10, Duration::from_secs(900)));
        assert_eq!(config.sign_in.address_limit, Rate::new(50, Duration::from_secs(900)));
        assert_eq!(config.sign_in.instance_limit, Rate::new(1000, Duration::from_secs(900)));
        assert!(config.http.trusted_proxies.is_empty(), "no proxy is trusted until named");
        assert!(!config.is_query_strict && config.authentik_secret_key.is_none());
    }

    #[test]
    fn the_environment_sets_every_key() {
        let config = load(&[
            ("ROLLCALL_DATA_DIR", "/x"),
            ("ROLLCALL_DATABASE__URL", "postgres://u@h/d"),
            ("ROLLCALL_HTTP__TRUSTED_PROXIES", "10.0.0.0/8, ::1"),
            ("ROLLCALL_HTTP__PUBLIC_URL", "https://Sessions.example.com/"),
            ("ROLLCALL_SESSIONS__TOUCH_INTERVAL", "0"),
            ("ROLLCALL_SESSIONS__IDLE_TIMEOUT", "30m"),
            ("ROLLCALL_SIGN_IN__ACCOUNT_LIMIT", "5/1h"),
            ("ROLLCALL_SIGN_IN__INSTANCE_LIMIT", "0"),
            ("ROLLCALL_LOG", "debug"),
            ("ROLLCALL_LOG__FORMAT", "json"),
            ("HOME", "/root"),
        ])
        .unwrap();
        assert_eq!(config.database, Location::Postgres("postgres://u@h/d".into()));
        assert_eq!(config.http.trusted_proxies.len(), 2);
        let url = config.http.public_url.unwrap();
        assert_eq!((url.origin(), url.host()), ("https://sessions.example.com", "sessions.example.com"));
        let url = PublicUrl::parse("http://[::1]:9000").unwrap();
        assert_eq!(url.host(), "[::1]");
        assert_eq!(config.sessions.touch_interval, Duration::ZERO);
        assert_eq!(config.sessions.idle_timeout.as_secs(), 1800);
        assert_eq!(config.sign_in.account_limit, Rate::new(5, Duration::from_secs(3600)));
        assert_eq!(config.sign_in.instance_limit, None);
        assert_eq!((config.log.filter.as_str(), config.log.is_json), ("debug", true));
    }

    #[test]
    fn mistakes_are_named() {
        let error = load(&[("ROLLCALL_SESSIONS__IDEL_TIMEOUT", "1h")]).unwrap_err();
        assert!(error.contains("ROLLCALL_SESSIONS__IDEL_TIMEOUT") && error.contains("ROLLCALL_SESSIONS__IDLE_TIMEOUT"), "{error}");
        for (key, bad) in [
            ("ROLLCALL_LISTEN", "nowhere"),
            ("ROLLCALL_HTTP__PUBLIC_URL", "ftp://x"),
            ("ROLLCALL_HTTP__PUBLIC_URL", "https://x/path"),
            ("ROLLCALL_HTTP__TRUSTED_PROXIES", "10.0.0.0/99"),
            ("ROLLCALL_SESSIONS__IDLE_TIMEOUT", "soon"),
            ("ROLLCALL_SESSIONS__ABSOLUTE_TIMEOUT", "0"),
            ("ROLLCALL_LOG__FORMAT", "xml"),
            ("ROLLCALL_SIGN_IN__ACCOUNT_LIMIT", "10"),
            ("ROLLCALL_SIGN_IN__ACCOUNT_LIMIT", "0/1h"),
            ("ROLLCALL_SIGN_IN__ADDRESS_LIMIT", "many/1h"),
        ] {
            let error = load(&[(key, bad)]).unwrap_err();
            assert!(error.contains(key) && error.contains(bad), "{error}");
        }
        let error = load(&[("ROLLCALL_DATABASE__URL", "mysql://user:hunter2@x")]).unwrap_err();
        assert!(error.contains("ROLLCALL_DATABASE__URL") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn secrets_do_not_show() {
        let config = load(&[("ROLLCALL_BOOTSTRAP__PASSWORD", "hunter2!")]).unwrap();
        assert!(!format!("{config:?}").contains("hunter2!"));
    }
}
