//! Configuration: defaults < `rollcall.toml` < environment < flags, checked once at start.
//!
//! One file a section. Each declares its settings in one table (`section!` in `section.rs`): name,
//! form, default and meaning are said there and nowhere else. This module puts the sections together.

mod account;
mod api;
mod authentik;
mod bootstrap;
mod database;
mod file;
mod geoip;
mod guard;
mod history;
mod http;
mod keys;
mod kinds;
mod kubernetes;
mod listen;
mod log;
mod metrics;
mod oidc;
mod outbound;
mod privacy;
mod proxies;
mod safety;
mod secret;
mod secret_files;
mod section;
mod server;
mod sessions;
mod sign_in;
mod sources;
mod stored;
mod tls;
mod user_agent;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

pub use account::AccountConfig;
pub use api::ApiConfig;
pub use authentik::{AuthentikConfig, EventsMode, Share, SourceToken, SourceUrl, Watched};
pub use bootstrap::BootstrapConfig;
pub use database::{DatabaseConfig, Location, Password, PoolConfig};
pub use geoip::GeoIpConfig;
pub use guard::GuardConfig;
pub use history::HistoryConfig;
pub use http::{Hsts, HttpConfig, PublicUrl};
pub use keys::KeysConfig;
pub(crate) use kinds::parse_duration;
pub use listen::{At, Listen};
pub use log::{LogConfig, LogFormat};
pub use metrics::MetricsConfig;
pub use oidc::{OidcConfig, PlainHosts};
pub use outbound::{Networks, OutboundConfig};
pub use privacy::PrivacyConfig;
pub use proxies::{ClientAddress, TrustedProxies};
pub use safety::SafetyConfig;
pub use secret::Secret;
pub use section::{Default, Key, Section};
pub use server::ServerConfig;
pub use sessions::SessionConfig;
pub use sign_in::SignInConfig;
use sources::Values;
pub use sources::{ConfigError, Flags, Given};
pub use tls::TlsConfig;
pub use user_agent::UserAgentConfig;

/// Where a proxy on this machine reaches a server that nobody gave another address.
const NEAR: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9000);

/// All sections, in the order of the documents.
pub const SECTIONS: [Section; 21] = [
    ServerConfig::SECTION,
    DatabaseConfig::SECTION,
    GeoIpConfig::SECTION,
    UserAgentConfig::SECTION,
    HttpConfig::SECTION,
    TlsConfig::SECTION,
    SessionConfig::SECTION,
    SignInConfig::SECTION,
    AccountConfig::SECTION,
    GuardConfig::SECTION,
    KeysConfig::SECTION,
    OidcConfig::SECTION,
    OutboundConfig::SECTION,
    HistoryConfig::SECTION,
    PrivacyConfig::SECTION,
    BootstrapConfig::SECTION,
    AuthentikConfig::SECTION,
    ApiConfig::SECTION,
    SafetyConfig::SECTION,
    MetricsConfig::SECTION,
    LogConfig::SECTION,
];

/// All settings, in the order of the documents.
pub fn keys() -> impl Iterator<Item = &'static Key> {
    SECTIONS.iter().flat_map(|section| section.keys)
}

/// All settings, read and checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// What was given, and where; all else is as built in.
    pub given: Vec<Given>,
    /// What looks wrong and does not keep the server from starting, in sentences.
    pub warnings: Vec<String>,
    /// The values as they were given, by the path of the setting: what a later read is compared with.
    pub texts: std::collections::BTreeMap<&'static str, Secret>,
    /// The file that settings were read from, if there is one.
    pub file: Option<PathBuf>,
    /// The files that hold secrets, each with its setting's path.
    pub secret_files: Vec<(&'static str, PathBuf)>,
    /// Where the instance key and the SQLite file are.
    pub data_dir: PathBuf,
    /// Where the server listens: at least one place.
    pub listen: Vec<Listen>,
    /// The database.
    pub database: Location,
    /// Its connections, where it is PostgreSQL.
    pub pool: PoolConfig,
    /// Whether a backup is made before its schema is upgraded.
    pub backup_before_upgrade: bool,
    /// `[geoip]`
    pub geoip: GeoIpConfig,
    /// `[user_agent]`
    pub user_agent: UserAgentConfig,
    /// `[http]`
    pub http: HttpConfig,
    /// `[tls]`
    pub tls: TlsConfig,
    /// `[sessions]`
    pub sessions: SessionConfig,
    /// `[sign_in]`
    pub sign_in: SignInConfig,
    /// `[account]`
    pub account: AccountConfig,
    /// `[guard]`
    pub guard: GuardConfig,
    /// `[keys]`
    pub keys: KeysConfig,
    /// `[oidc]`
    pub oidc: OidcConfig,
    /// `[outbound]`
    pub outbound: OutboundConfig,
    /// `[history]`
    pub history: HistoryConfig,
    /// `[privacy]`
    pub privacy: PrivacyConfig,
    /// `[bootstrap]`
    pub bootstrap: BootstrapConfig,
    /// `[authentik]`
    pub authentik: AuthentikConfig,
    /// The authentik to watch, if one is set.
    pub watched: Option<Watched>,
    /// `[api]`
    pub api: ApiConfig,
    /// `[safety]`
    pub safety: SafetyConfig,
    /// `[metrics]`
    pub metrics: MetricsConfig,
    /// `[log]`
    pub log: LogConfig,
}

impl Config {
    /// Reads the file, the environment and the flags.
    ///
    /// # Errors
    /// When the file cannot be read, a key is unknown, or a value is of the wrong form: each says
    /// which key, where it came from, and what is allowed.
    pub fn load(flags: &Flags, environment: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let values = Values::gather(flags, environment)?;
        let ServerConfig { data_dir, listen } = ServerConfig::read(&values)?;
        let database = DatabaseConfig::read(&values)?;
        let tls = TlsConfig::read(&values)?;
        needs_certificate(&values, &listen, &tls)?;
        let authentik = AuthentikConfig::read(&values)?;
        Ok(Self {
            tls,
            pool: database.pool(values.file_of("database.password")),
            backup_before_upgrade: database.backup_before_upgrade,
            database: database.location(&data_dir),
            geoip: GeoIpConfig::read(&values)?,
            user_agent: UserAgentConfig::read(&values)?,
            http: HttpConfig::read(&values)?,
            sessions: SessionConfig::read(&values)?,
            sign_in: SignInConfig::read(&values)?,
            account: AccountConfig::read(&values)?,
            guard: GuardConfig::read(&values)?,
            keys: KeysConfig::read(&values)?,
            oidc: OidcConfig::read(&values)?,
            outbound: OutboundConfig::read(&values)?,
            history: HistoryConfig::read(&values)?,
            privacy: PrivacyConfig::read(&values)?,
            bootstrap: BootstrapConfig::read(&values)?,
            watched: authentik.watched(values.file_of("authentik.token"))?,
            authentik,
            api: ApiConfig::read(&values)?,
            safety: SafetyConfig::read(&values)?,
            metrics: MetricsConfig::read(&values)?,
            log: LogConfig::read(&values)?,
            given: values.given(),
            warnings: values.warnings(),
            texts: values.texts(),
            file: values.file(),
            secret_files: values.secret_files(),
            data_dir,
            listen,
        })
    }

    /// Where a setting was given; `None`: nowhere.
    #[must_use]
    pub fn source_of(&self, path: &str) -> Option<&str> {
        self.given.iter().find(|given| given.path == path).map(|given| given.source.as_str())
    }

    /// The public URL, where apps can trust what they fetch from it: https, or http on loopback. Below it are the issuers of
    /// OpenID Connect and the published keys.
    #[must_use]
    pub fn issuer_url(&self) -> Option<&PublicUrl> {
        self.http.public_url.as_ref().filter(|url| url.is_https() || url.is_loopback())
    }

    /// The file that holds the instance key.
    #[must_use]
    pub fn instance_key_path(&self) -> PathBuf {
        self.data_dir.join("instance.key")
    }

    /// Where people reach the server: the public URL, or the first of these places that a browser can open. A
    /// server that listens on all addresses (`0.0.0.0`, `[::]`) is reached by the name of this machine for itself.
    #[must_use]
    pub fn origin(&self, listening: &[&Listen]) -> String {
        if let Some(url) = &self.http.public_url {
            return url.origin().to_owned();
        }
        let direct = listening.iter().filter(|listen| !listen.is_proxied).find_map(|listen| listen.origin());
        let any = || listening.iter().find_map(|listen| listen.origin());
        direct.or_else(any).unwrap_or_else(|| "http://localhost".to_owned())
    }

    /// Where a reverse proxy on this machine reaches the server: the first place with an address and without TLS. An
    /// address of the machine itself is in the place of all addresses, and the default port in that of a free one.
    #[must_use]
    pub fn proxied_address(&self) -> String {
        let is_address = |listen: &&Listen| listen.is_plain() && matches!(listen.at, At::Address(_) | At::Name { .. });
        let Some(listen) = self.listen.iter().find(is_address) else { return NEAR.to_string() };
        let At::Address(address) = listen.at else { return listen.to_string() };
        let ip = address.ip().to_canonical();
        let ip = if ip.is_unspecified() { NEAR.ip() } else { ip };
        SocketAddr::new(ip, if address.port() == 0 { NEAR.port() } else { address.port() }).to_string()
    }

    /// Whether cookies are `Secure` and `__Host-`: the public URL is https, or there is none and all listeners
    /// speak TLS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.http.public_url.as_ref().map_or_else(|| self.listen.iter().all(|listen| listen.is_tls), PublicUrl::is_https)
    }
}

/// Checks that there are a certificate and a key where a listener speaks TLS, and never one without the other.
fn needs_certificate(values: &Values, listen: &[Listen], tls: &TlsConfig) -> Result<(), ConfigError> {
    let (has, lacks) = match (&tls.certificate, &tls.key) {
        (Some(_), Some(_)) => return Ok(()),
        (Some(_), None) => ("tls.certificate", "tls.key"),
        (None, Some(_)) => ("tls.key", "tls.certificate"),
        (None, None) => match listen.iter().find(|listen| listen.is_tls) {
            None => return Ok(()),
            Some(listen) => {
                let source = values.source("listen");
                return Err(ConfigError(format!("{source}: {listen} needs tls.certificate and tls.key")));
            }
        },
    };
    Err(ConfigError(format!("{}: it needs {lacks}, too", values.source(has))))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::Rate;
    use crate::domain::policy::AtLimit;

    pub(in crate::config) fn load(environment: &[(&str, &str)]) -> Result<Config, String> {
        let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Config::load(&Flags::default(), environment).map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_are_what_the_documents_say() {
        let config = load(&[]).unwrap();
        assert_eq!(config.listen, [Listen::parse("127.0.0.1:9000").unwrap()]);
        assert_eq!(config.database, Location::Sqlite("./rollcall-data/rollcall.db".into()));
        assert_eq!(config.sessions.idle_timeout.as_secs(), 12 * 3600);
        assert_eq!(config.sessions.absolute_timeout.as_secs(), 14 * 86400);
        assert_eq!(config.sessions.remember_timeout.as_secs(), 30 * 86400);
        assert_eq!((config.sessions.max_per_user, config.sessions.at_limit), (None, AtLimit::EndOldest));
        assert_eq!(config.sessions.confirm_timeout.as_secs(), 600);
        assert!(config.sessions.end_on_password_change);
        assert_eq!(config.history.retention.as_secs(), 90 * 86400);
        assert_eq!(config.sign_in.link_timeout.as_secs(), 1800);
        assert_eq!(config.sign_in.account_limit, Rate::new(10, Duration::from_secs(900)));
        assert_eq!(config.sign_in.known_device_limit, Rate::new(10, Duration::from_secs(900)));
        assert_eq!(config.sign_in.address_limit, Rate::new(50, Duration::from_secs(900)));
        assert_eq!(config.sign_in.instance_limit, Rate::new(1000, Duration::from_secs(900)));
        assert!(config.http.trusted_proxies.is_empty(), "no proxy is trusted until named");
        assert!(!config.api.strict_query && config.authentik.secret_key.is_none());
    }

    #[test]
    fn a_proxy_on_this_machine_reaches_the_server_at_an_address_of_it() {
        for (listening, reached) in [
            ("127.0.0.1:9000", "127.0.0.1:9000"),
            ("0.0.0.0:9001", "127.0.0.1:9001"),
            ("[::]:9000", "127.0.0.1:9000"),
            ("[::1]:9000", "[::1]:9000"),
            ("127.0.0.1:0", "127.0.0.1:9000"),
            ("[::ffff:10.0.0.7]:80", "10.0.0.7:80"),
            ("localhost:9002", "localhost:9002"),
            ("unix:/run/rollcall.sock,127.0.0.1:9003", "127.0.0.1:9003"),
            ("unix:/run/rollcall.sock", "127.0.0.1:9000"),
        ] {
            assert_eq!(load(&[("ROLLCALL_LISTEN", listening)]).unwrap().proxied_address(), reached, "{listening}");
        }
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
        assert_eq!(config.http.trusted_proxies.networks.len(), 2);
        let url = config.http.public_url.unwrap();
        assert_eq!((url.origin(), url.host()), ("https://sessions.example.com", "sessions.example.com"));
        assert_eq!(config.sessions.touch_interval, Duration::ZERO);
        assert_eq!(config.sessions.idle_timeout.as_secs(), 1800);
        assert_eq!(config.sign_in.account_limit, Rate::new(5, Duration::from_secs(3600)));
        assert_eq!(config.sign_in.instance_limit, None);
        assert_eq!((config.log.filter.as_str(), config.log.format), ("debug", LogFormat::Json));
    }

    #[test]
    fn mistakes_are_named() {
        let error = load(&[("ROLLCALL_SESSIONS__IDEL_TIMEOUT", "1h")]).unwrap_err();
        assert!(error.contains("ROLLCALL_SESSIONS__IDEL_TIMEOUT") && error.contains("ROLLCALL_SESSIONS__IDLE_TIMEOUT"), "{error}");
        for (key, bad) in [
            ("ROLLCALL_LISTEN", "nowhere"),
            ("ROLLCALL_LISTEN", "systemd,tls:systemd"),
            ("ROLLCALL_LISTEN", "unix:x.sock"),
            ("ROLLCALL_HTTP__SOCKET_MODE", "432"),
            ("ROLLCALL_HTTP__HSTS", "on"),
            ("ROLLCALL_HTTP__CLIENT_ADDRESS", "x real ip"),
            ("ROLLCALL_HTTP__PUBLIC_URL", "ftp://x"),
            ("ROLLCALL_HTTP__PUBLIC_URL", "https://x/path"),
            ("ROLLCALL_HTTP__TRUSTED_PROXIES", "10.0.0.0/99"),
            ("ROLLCALL_SESSIONS__IDLE_TIMEOUT", "soon"),
            ("ROLLCALL_SESSIONS__ABSOLUTE_TIMEOUT", "0"),
            ("ROLLCALL_LOG__FORMAT", "xml"),
            ("ROLLCALL_SIGN_IN__ACCOUNT_LIMIT", "10"),
            ("ROLLCALL_SIGN_IN__ACCOUNT_LIMIT", "0/1h"),
            ("ROLLCALL_SIGN_IN__ADDRESS_LIMIT", "many/1h"),
            ("ROLLCALL_SIGN_IN__LINK_TIMEOUT", "0"),
            ("ROLLCALL_SESSIONS__CONFIRM_TIMEOUT", "0"),
            ("ROLLCALL_SESSIONS__MAX_PER_USER", "-1"),
            ("ROLLCALL_SESSIONS__AT_LIMIT", "END_OLDEST"),
            ("ROLLCALL_SESSIONS__REQUIRE_FACTOR", "maybe"),
            ("ROLLCALL_SESSIONS__NETWORK_BINDING", "bind_country"),
            ("ROLLCALL_SESSIONS__GEOIP_BINDING_ACTION", "refuse"),
            ("ROLLCALL_SESSIONS__INDEX_LIMIT", "-1"),
            ("ROLLCALL_METRICS__LISTEN", "9300"),
            ("ROLLCALL_LOG__FILTER", "rollcall=loud"),
        ] {
            let error = load(&[(key, bad)]).unwrap_err();
            assert!(error.contains(key) && error.contains(bad), "{error}");
        }
        let error = load(&[("ROLLCALL_DATABASE__URL", "mysql://user:hunter2@x")]).unwrap_err();
        assert!(error.contains("ROLLCALL_DATABASE__URL") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn tls_needs_a_certificate_and_its_key() {
        let error = load(&[("ROLLCALL_LISTEN", "127.0.0.1:9000,tls:0.0.0.0:9443")]).unwrap_err();
        assert_eq!(error, "ROLLCALL_LISTEN: tls:0.0.0.0:9443 needs tls.certificate and tls.key");
        let error = load(&[("ROLLCALL_TLS__KEY", "/x.key")]).unwrap_err();
        assert_eq!(error, "ROLLCALL_TLS__KEY: it needs tls.certificate, too");
        let files = [("ROLLCALL_TLS__KEY", "/x.key"), ("ROLLCALL_TLS__CERTIFICATE", "/x.pem")];
        let with = |listen: &'static str| load(&[files[0], files[1], ("ROLLCALL_LISTEN", listen)]).unwrap();
        assert!(with("tls:0.0.0.0:9443").is_https());
        assert!(!with("127.0.0.1:9000,tls:0.0.0.0:9443").is_https(), "a cookie that is Secure would not reach the first");
    }

    #[test]
    fn white_space_around_a_value_is_refused_by_name() {
        for (name, value) in [
            ("ROLLCALL_SESSIONS__IDLE_TIMEOUT", " 30m"),
            ("ROLLCALL_DATABASE__URL", "sqlite:/x "),
            ("ROLLCALL_BOOTSTRAP__PASSWORD", "a password\r"),
            ("ROLLCALL_GEOIP__CITY", "city.mmdb\t"),
        ] {
            let error = load(&[(name, value)]).unwrap_err();
            assert!(error.contains(name) && !error.contains("a password"), "{error}");
        }
        let config = load(&[("ROLLCALL_BOOTSTRAP__PASSWORD", "a password")]).unwrap();
        assert_eq!(config.bootstrap.password, Some(Secret("a password".into())), "blanks inside are part of it");
    }

    #[test]
    fn zero_means_no_limit_where_a_limit_may_be_missing() {
        let config = load(&[("ROLLCALL_SESSIONS__MAX_PER_USER", "0"), ("ROLLCALL_SIGN_IN__ACCOUNT_LIMIT", "0")]).unwrap();
        assert_eq!((config.sessions.max_per_user, config.sign_in.account_limit), (None, None));
        let config = load(&[("ROLLCALL_SESSIONS__MAX_PER_USER", "3"), ("ROLLCALL_SESSIONS__AT_LIMIT", "ask")]).unwrap();
        assert_eq!((config.sessions.policy().max_sessions, config.sessions.policy().at_limit), (Some(3), Some(AtLimit::Ask)));
    }

    #[test]
    fn secrets_do_not_show() {
        let config = load(&[("ROLLCALL_BOOTSTRAP__PASSWORD", "hunter2!")]).unwrap();
        assert!(!format!("{config:?}").contains("hunter2!"));
    }
}
