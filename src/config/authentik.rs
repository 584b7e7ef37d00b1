//! `[authentik]`: the authentik that is watched, and sessions that came from one.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::http::PublicUrl;
use crate::config::kinds::{BOOL, DURATION, DURATION_ABOVE_ZERO, SECRET};
use crate::config::secret::Secret;
use crate::config::section::{Kind, section};
use crate::config::{ConfigError, secret_files};

section! {
    /// The authentik whose sessions Rollcall watches (docs/watch.md), or that sessions were imported from.
    pub struct AuthentikConfig [authentik] {
        /// The address of the authentik to watch: scheme and host, without a path.
        ///
        /// http is for an address of this machine only. Redirects are refused, and so is every other host.
        url: Option<SourceUrl> = SOURCE_URL, unset "none; nothing is watched", example "https://auth.example.com";

        /// An API token of that authentik, of a service account that may view sessions and users.
        ///
        /// A file that holds it is read again for every request, and SIGHUP reads the setting again.
        token: Option<Secret> = TOKEN, unset "none", example "key-of-the-token";

        /// How often changes are looked for.
        ///
        /// `authentik.share` may make it longer.
        every: Duration = DURATION_ABOVE_ZERO, default "5s";

        /// The largest part of the time in which a request of the polls to authentik may be in flight.
        ///
        /// Ends that somebody asks for do not wait for it; `authentik.ends_per_second` bounds those of many.
        share: Share = SHARE, default "0.05";

        /// How many sessions a second all ends of many sessions together end at authentik at most.
        ///
        /// Each end makes authentik tell apps and outposts. It holds for all nodes together.
        ends_per_second: u32 = RATE, default "10";

        /// Whether authentik's event log is asked how sessions were signed in to, and which were signed out of.
        ///
        /// With `auto` it is, if the token's owner may read it, and not for an hour after three slow answers.
        events: EventsMode = EVENTS, default "auto";

        /// How many sessions at authentik a user may have before the event `source_alert` tells; 0: any number.
        alert_sessions: u32 = COUNT, default "20";

        /// How old the copy may be before the event `source_alert` tells; 0s: any age.
        alert_age: Duration = DURATION, default "5m";

        /// Whether a token of a superuser is taken.
        ///
        /// Such a token can change all of authentik, and Rollcall does not need it.
        allow_superuser: bool = BOOL, default "false";

        /// The secret key of that authentik, whose session cookies are then accepted.
        ///
        /// It is for sessions that were imported. Watching an authentik needs no secret key.
        secret_key: Option<Secret> = SECRET, unset "none; its cookies are ignored", example "…";
    }
}

const SOURCE_URL: Kind<SourceUrl> = Kind::new("an address such as https://auth.example.com", SourceUrl::parse).explained(|text| {
    let url = PublicUrl::parse(text)?;
    (!url.is_https())
        .then_some("is http on another machine, where everybody on the way reads the token. Give the https address of authentik")
});

const TOKEN: Kind<Secret> = Kind::new("an API token: ASCII letters, digits and signs, without blanks", |text| {
    let is_token = !text.is_empty() && text.len() <= 4096 && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_token.then(|| Secret(text.to_owned()))
})
.secret();

const RATE: Kind<u32> =
    Kind::new("a whole number from 1 to 1000", |text| text.parse().ok().filter(|rate| (1..=1000).contains(rate)));

const COUNT: Kind<u32> = Kind::new("a whole number, 0 or more", |text| text.parse().ok());

const SHARE: Kind<Share> = Kind::new("a number above 0 and up to 1, such as 0.05", |text| {
    text.parse().ok().filter(|share| *share > 0.0 && *share <= 1.0).map(Share)
});

const EVENTS: Kind<EventsMode> = Kind::new("auto or off", |text| match text {
    "auto" => Some(EventsMode::Auto),
    "off" => Some(EventsMode::Off),
    _ => None,
});

/// Whether the event log of an authentik is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventsMode {
    /// Where that is permitted and not slow.
    Auto,
    /// Never.
    Off,
}

/// A part of the time, above 0 and up to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share(f64);

impl Share {
    /// All of the time.
    pub const ALL: Self = Self(1.0);

    /// How long to pause after a request that took this long, so that the share holds; at most 20 seconds.
    #[must_use]
    pub fn pause_after(self, took: Duration) -> Duration {
        const LONGEST: Duration = Duration::from_secs(20);
        Duration::try_from_secs_f64(took.as_secs_f64() * (1.0 / self.0 - 1.0)).unwrap_or(LONGEST).min(LONGEST)
    }
}

/// The address of an authentik: https, or http on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceUrl {
    origin: PublicUrl,
    port: u16,
}

impl SourceUrl {
    /// Reads an address; `None` for one with a path, a query or a user, for other schemes than http and https, and
    /// for http on another machine.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let origin = PublicUrl::parse(text)?;
        let authority = origin.origin().split_once("//").map_or("", |(_, authority)| authority);
        let port = match authority.strip_prefix(origin.host())?.strip_prefix(':') {
            Some(port) => port.parse().ok().filter(|port| *port > 0)?,
            None if origin.is_https() => 443,
            None => 80,
        };
        let url = Self { origin, port };
        (!url.name().is_empty() && (url.is_https() || url.is_on_loopback())).then_some(url)
    }

    /// `https://host[:port]`, lower-case.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.origin.origin()
    }

    /// `host[:port]`, as the header `Host` has it.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.origin().split_once("//").map_or("", |(_, authority)| authority)
    }

    /// The host as a name or an address, without the brackets of an IPv6 address.
    #[must_use]
    pub fn name(&self) -> &str {
        self.origin.host().trim_start_matches('[').trim_end_matches(']')
    }

    /// The port to connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether TLS is used.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.origin.is_https()
    }

    /// Whether the host is `localhost` or an address of the loopback interface.
    fn is_on_loopback(&self) -> bool {
        self.name() == "localhost" || self.name().parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

/// A token, and the file that it is read from again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceToken {
    secret: Secret,
    file: Option<PathBuf>,
}

impl SourceToken {
    /// A token that is in no file.
    #[must_use]
    pub fn given(secret: Secret) -> Self {
        Self { secret, file: None }
    }

    /// The token now: its file is read again.
    ///
    /// # Errors
    /// When the file cannot be read or holds no token. The error never shows the content.
    pub fn now(&self) -> Result<Secret, ConfigError> {
        let Some(file) = &self.file else { return Ok(self.secret.clone()) };
        let text = secret_files::read("authentik.token", file)?;
        (TOKEN.read)(&text).ok_or_else(|| ConfigError(format!("authentik.token: its value is not {}", TOKEN.form)))
    }
}

/// The authentik to watch.
#[derive(Clone, Debug)]
pub struct Watched {
    /// Its address.
    pub url: SourceUrl,
    /// The token that opens its API.
    pub token: SourceToken,
    /// How often changes are looked for.
    pub every: Duration,
    /// The largest part of the time in which a request may be in flight.
    pub share: Share,
    /// How many ends a second at most, 1 to 1000.
    pub ends_per_second: u32,
    /// Whether the event log is asked.
    pub events: EventsMode,
    /// How many sessions a user may have without an alert; 0: any number.
    pub alert_sessions: u32,
    /// How old the copy may be without an alert; zero: any age.
    pub alert_age: Duration,
    /// Whether a superuser's token is taken.
    pub allow_superuser: bool,
}

impl AuthentikConfig {
    /// The authentik to watch; `None`: there is none. `token_file` is the file of the token, if it has one.
    pub(super) fn watched(&self, token_file: Option<PathBuf>) -> Result<Option<Watched>, ConfigError> {
        let Some(url) = self.url.clone() else { return Ok(None) };
        let Some(secret) = self.token.clone() else {
            return Err(ConfigError(
                "authentik.url is set and authentik.token is not. Make an API token of a service account in authentik (Directory, \
                 Tokens and App passwords) and put it into a file that ROLLCALL_AUTHENTIK__TOKEN_FILE names"
                    .into(),
            ));
        };
        Ok(Some(Watched {
            url,
            token: SourceToken { secret, file: token_file },
            every: self.every,
            share: self.share,
            events: self.events,
            alert_sessions: self.alert_sessions,
            alert_age: self.alert_age,
            ends_per_second: self.ends_per_second,
            allow_superuser: self.allow_superuser,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_https_or_on_this_machine() {
        for (text, parts) in [
            ("https://Auth.example/", Some(("https://auth.example", "auth.example", "auth.example", 443))),
            ("https://auth.example:8443", Some(("https://auth.example:8443", "auth.example:8443", "auth.example", 8443))),
            ("http://127.0.0.1:9000", Some(("http://127.0.0.1:9000", "127.0.0.1:9000", "127.0.0.1", 9000))),
            ("http://[::1]:9000", Some(("http://[::1]:9000", "[::1]:9000", "::1", 9000))),
            ("http://localhost", Some(("http://localhost", "localhost", "localhost", 80))),
            ("http://auth.example", None),
            ("http://127.0.0.1.example", None),
            ("http://[::2]", None),
            ("http://localhost.example", None),
            ("https://auth.example/path", None),
            ("https://user@auth.example", None),
            ("https://auth.example:0", None),
            ("https://:443", None),
            ("ftp://127.0.0.1", None),
            ("auth.example", None),
        ] {
            let read = SourceUrl::parse(text);
            let found = read.as_ref().map(|url| (url.origin(), url.authority(), url.name(), url.port()));
            assert_eq!(found, parts, "{text}");
        }
    }

    #[test]
    fn a_share_gives_the_pause_after_a_request() {
        let pause = |share: &str, millis| (SHARE.read)(share).unwrap().pause_after(Duration::from_millis(millis)).as_millis();
        assert_eq!(pause("0.05", 25), 475);
        assert_eq!(pause("0.25", 30), 90);
        assert_eq!(pause("1", 30), 0);
        assert_eq!(pause("0.001", 20_000), 20_000, "20 seconds at most");
        for wrong in ["0", "-0.1", "1.01", "nan", "inf", "", "5%"] {
            assert!((SHARE.read)(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_token_is_one_word_of_ascii() {
        for (text, is_token) in [("abcDEF-_.~123", true), ("two words", false), ("", false), ("zoë", false)] {
            assert_eq!((TOKEN.read)(text).is_some(), is_token, "{text}");
        }
    }

    #[test]
    fn the_file_of_a_token_is_read_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let token = SourceToken { secret: Secret("first".into()), file: Some(file.clone()) };
        assert!(token.now().is_err());
        std::fs::write(&file, "second\n").unwrap();
        assert_eq!(token.now().unwrap(), Secret("second".into()));
        std::fs::write(&file, "not one word").unwrap();
        assert!(!token.now().unwrap_err().to_string().contains("not one"), "the content is not shown");
    }
}
