//! Where the server listens: the entries of `listen`.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::config::kinds::is_host_name;
use crate::config::section::Kind;

/// The entry for the sockets that the service manager passed.
const INHERITED: &str = "systemd";
/// The most entries.
const MOST: usize = 8;

/// One entry: what is spoken there, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Whether each connection begins with a header of the PROXY protocol.
    pub is_proxied: bool,
    /// Whether TLS is spoken, behind that header if there is one.
    pub is_tls: bool,
    /// Where.
    pub at: At,
}

/// Where a listener is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    /// An address and port; port 0 takes a free one.
    Address(SocketAddr),
    /// A name, of which every address is listened on.
    Name {
        /// The name.
        host: String,
        /// The port, the same for all addresses.
        port: u16,
    },
    /// A Unix socket with this path, from the root.
    Unix(PathBuf),
    /// The sockets that the service manager passed (`LISTEN_FDS`).
    Inherited,
}

impl Listen {
    /// Reads an entry: `127.0.0.1:9000`, `localhost:9000`, `unix:/path` or `systemd`, with `tls:`, `proxy:` or
    /// `proxy+tls:` in front where it applies. `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let prefixes = [("proxy+tls:", true, true), ("proxy:", true, false), ("tls:", false, true)];
        let found =
            prefixes.iter().find_map(|(prefix, is_proxied, is_tls)| Some((text.strip_prefix(prefix)?, *is_proxied, *is_tls)));
        let (place, is_proxied, is_tls) = found.unwrap_or((text, false, false));
        let at = At::parse(place)?;
        Some(Self { is_proxied, is_tls, at })
    }

    /// The same at another place, such as the one that was really bound.
    #[must_use]
    pub fn moved(&self, at: At) -> Self {
        Self { at, ..self.clone() }
    }

    /// Whether requests arrive as they were sent, without a header of the PROXY protocol and without TLS.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        !self.is_proxied && !self.is_tls
    }

    /// Whether only this machine reaches it. What the service manager passes is not known before the start.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match &self.at {
            At::Address(address) => address.ip().to_canonical().is_loopback(),
            At::Name { host, .. } => host.eq_ignore_ascii_case("localhost"),
            At::Unix(_) => true,
            At::Inherited => false,
        }
    }

    /// Scheme, host and port that a browser on this machine opens; `None` where a browser cannot connect.
    #[must_use]
    pub fn origin(&self) -> Option<String> {
        let scheme = if self.is_tls { "https" } else { "http" };
        let (host, port) = match &self.at {
            At::Address(address) if address.ip().to_canonical().is_unspecified() => ("localhost".to_owned(), address.port()),
            At::Address(SocketAddr::V4(address)) => (address.ip().to_string(), address.port()),
            At::Address(SocketAddr::V6(address)) => (format!("[{}]", address.ip()), address.port()),
            At::Name { host, port } => (host.clone(), *port),
            At::Unix(_) | At::Inherited => return None,
        };
        // As browsers write it.
        let is_usual = self.is_tls && port == 443;
        Some(if is_usual { format!("{scheme}://{host}") } else { format!("{scheme}://{host}:{port}") })
    }

    /// How the log and the service manager name it: an address to open where a browser can connect.
    #[must_use]
    pub fn shown(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        match &self.at {
            At::Address(address) if !self.is_proxied => format!("{scheme}://{address}"),
            _ => self.to_string(),
        }
    }
}

impl At {
    fn parse(text: &str) -> Option<Self> {
        if text == INHERITED {
            return Some(Self::Inherited);
        }
        if let Some(path) = text.strip_prefix("unix:") {
            let path = Path::new(path);
            return (path.is_absolute() && path.file_name().is_some()).then(|| Self::Unix(path.to_owned()));
        }
        if let Ok(address) = text.parse() {
            return Some(Self::Address(address));
        }
        let (host, port) = text.rsplit_once(':')?;
        let port = port.parse().ok().filter(|_| port.bytes().all(|byte| byte.is_ascii_digit()))?;
        (is_host_name(host) && host != INHERITED).then(|| Self::Name { host: host.to_owned(), port })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.is_proxied, self.is_tls) {
            (true, true) => "proxy+tls:",
            (true, false) => "proxy:",
            (false, true) => "tls:",
            (false, false) => "",
        })?;
        match &self.at {
            At::Address(address) => write!(f, "{address}"),
            At::Name { host, port } => write!(f, "{host}:{port}"),
            At::Unix(path) => write!(f, "unix:{}", path.display()),
            At::Inherited => f.write_str(INHERITED),
        }
    }
}

pub(super) const LISTEN: Kind<Vec<Listen>> = Kind::new(
    "one to 8 places, separated by commas: 127.0.0.1:9000, [::1]:9000, localhost:9000, unix:/path or systemd, each with tls:, proxy: \
     or proxy+tls: in front where it applies",
    |text| {
        let all: Vec<Listen> = text.split(',').map(|entry| Listen::parse(entry.trim())).collect::<Option<_>>()?;
        let inherited = all.iter().filter(|listen| listen.at == At::Inherited).count();
        (all.len() <= MOST && inherited <= 1).then_some(all)
    },
)
.explained(|text| {
    let entries: Vec<&str> = text.split(',').map(str::trim).collect();
    if entries.iter().filter(|entry| entry.ends_with("systemd")).count() > 1 {
        return Some("takes the sockets of the service manager twice");
    }
    (entries.len() > MOST).then_some("has more than 8 places")
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_written_as_it_was_read() {
        for text in [
            "127.0.0.1:9000",
            "[::1]:9000",
            "localhost:9000",
            "my-host.example:80",
            "unix:/run/rollcall/rollcall.sock",
            "tls:0.0.0.0:9443",
            "tls:localhost:9443",
            "proxy:10.0.0.5:9001",
            "proxy+tls:[2001:db8::1]:443",
            "proxy:unix:/run/x",
            "systemd",
            "tls:systemd",
        ] {
            assert_eq!(Listen::parse(text).unwrap_or_else(|| panic!("{text}")).to_string(), text);
        }
        for text in [
            "",
            "nowhere",
            "9000",
            ":9000",
            "127.0.0.1",
            "127.0.0.1:",
            "127.0.0.1:65536",
            "localhost:+1",
            "127.1:80",
            "0x7f.1:80",
            "unix:",
            "unix:x",
            "unix:/",
            "tls:",
            "tls:9443",
            "tls:tls:127.0.0.1:1",
            "proxy:tls:127.0.0.1:1",
            "http://127.0.0.1:80",
            "a b:80",
            "-a:80",
            "systemd:1",
            "::1:9000x",
        ] {
            assert_eq!(Listen::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_list_has_one_to_eight_entries() {
        let read = |text: &str| (LISTEN.read)(text).map(|all| all.len());
        assert_eq!(read("127.0.0.1:9000"), Some(1));
        assert_eq!(read("127.0.0.1:9000, [::1]:9000,unix:/run/x"), Some(3));
        assert_eq!(read(&["127.0.0.1:0"; 8].join(",")), Some(8));
        assert_eq!(read(&["127.0.0.1:0"; 9].join(",")), None);
        assert_eq!((read(""), read("127.0.0.1:1,"), read("systemd,tls:systemd")), (None, None, None));
    }

    #[test]
    fn an_origin_is_what_a_browser_opens() {
        let of = |text: &str| Listen::parse(text).unwrap().origin();
        for (text, origin) in [
            ("127.0.0.1:9000", "http://127.0.0.1:9000"),
            ("0.0.0.0:9000", "http://localhost:9000"),
            ("[::]:9000", "http://localhost:9000"),
            ("[2001:db8::1]:80", "http://[2001:db8::1]:80"),
            ("tls:192.0.2.1:9443", "https://192.0.2.1:9443"),
            ("tls:192.0.2.1:443", "https://192.0.2.1"),
            ("localhost:9000", "http://localhost:9000"),
        ] {
            assert_eq!(of(text).as_deref(), Some(origin));
        }
        assert_eq!((of("unix:/run/x"), of("systemd")), (None, None));
    }
}
