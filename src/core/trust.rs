//! Which peers are trusted proxies now: what the setting names, with the addresses that names have.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use futures_util::future::join_all;
use ipnet::IpNet;

use crate::config::{ClientAddress, HttpConfig};
use crate::domain::Address;

/// How often names are looked up.
pub const PERIOD: Duration = Duration::from_secs(30);
/// How long the last answer is used while look-ups fail.
const KEPT: Duration = Duration::from_secs(300);
/// How long a look-up may take.
const LOOK_UP_TIME: Duration = Duration::from_secs(10);

/// Which peers are believed about their clients, and by which header.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    networks: Vec<IpNet>,
    has_unix: bool,
    /// The header that tells the client's address.
    pub client_address: ClientAddress,
}

impl Trust {
    /// Trusts these networks, and peers on Unix sockets if `has_unix`.
    #[must_use]
    pub fn new(networks: Vec<IpNet>, has_unix: bool, client_address: ClientAddress) -> Self {
        Self { networks, has_unix, client_address }
    }

    /// Whether peers on Unix sockets are trusted.
    #[must_use]
    pub fn has_unix(&self) -> bool {
        self.has_unix
    }

    /// Whether an address is a trusted proxy's: as it is written, as the IPv4 address that a translator shows in
    /// IPv6, or as an IPv4-mapped one, where the setting names such a network.
    #[must_use]
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.has(address, 0)
    }

    /// The same, but a network of all addresses names nobody.
    #[must_use]
    pub fn names(&self, address: IpAddr) -> bool {
        self.has(address, 1)
    }

    /// Whether an address is in a network with a prefix at least this long.
    fn has(&self, address: IpAddr, shortest: u8) -> bool {
        if self.networks.is_empty() {
            return false;
        }
        let translated = Address(address).translated().map(|address| address.0);
        let mapped = match address {
            IpAddr::V4(ip) => Some(ip.to_ipv6_mapped()),
            IpAddr::V6(_) => None,
        };
        self.networks.iter().filter(|network| network.prefix_len() >= shortest).any(|network| {
            network.contains(&address)
                || translated.is_some_and(|translated| network.contains(&translated))
                // A shorter prefix than that of all mapped addresses says nothing of IPv4.
                || (network.prefix_len() >= 96 && mapped.is_some_and(|mapped| network.contains(&IpAddr::V6(mapped))))
        })
    }
}

/// The trusted proxies of a running server: SIGHUP and the look-ups of names change them.
#[derive(Debug)]
pub struct TrustedProxies {
    state: Mutex<State>,
    now: Arc<ArcSwap<Trust>>,
}

#[derive(Debug, Default)]
struct State {
    networks: Vec<IpNet>,
    has_unix: bool,
    client_address: ClientAddress,
    names: HashMap<String, Known>,
}

/// What is known of a name.
#[derive(Debug, Default)]
struct Known {
    addresses: Vec<IpAddr>,
    /// When it was last answered.
    answered: Option<Instant>,
    is_failing: bool,
}

impl TrustedProxies {
    /// What the settings name. Names have no addresses before the first [`TrustedProxies::look_up`].
    #[must_use]
    pub fn new(http: &HttpConfig) -> Self {
        let this = Self { state: Mutex::default(), now: Arc::default() };
        this.change(|state| state.follow(http));
        this
    }

    /// Which peers are trusted now.
    #[must_use]
    pub fn load(&self) -> Guard<Arc<Trust>> {
        self.now.load()
    }

    /// What follows all changes.
    #[must_use]
    pub fn shared(&self) -> Arc<ArcSwap<Trust>> {
        Arc::clone(&self.now)
    }

    /// Takes other settings, once their names were looked up. Names that the settings had before keep their
    /// addresses when that fails.
    pub async fn apply(&self, http: &HttpConfig) {
        let answers = ask(http.trusted_proxies.names.clone()).await;
        self.change(|state| {
            state.follow(http);
            state.note_all(answers, Instant::now());
        });
    }

    /// Looks all names up. It waits for the resolver on threads that serve nobody.
    pub async fn look_up(&self) {
        let names: Vec<String> = self.lock().names.keys().cloned().collect();
        if names.is_empty() {
            return;
        }
        let answers = ask(names).await;
        self.change(|state| state.note_all(answers, Instant::now()));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        // Still under the lock, so that the last change is what holds.
        self.now.store(Arc::new(state.trust()));
    }
}

/// A name and its addresses, or why there are none.
type Answered = (String, Result<Vec<IpAddr>, String>);

async fn ask(names: Vec<String>) -> Vec<Answered> {
    let asked = names.into_iter().map(|name| async move {
        let answer = match tokio::time::timeout(LOOK_UP_TIME, tokio::net::lookup_host((name.as_str(), 0))).await {
            Ok(Ok(found)) => Ok(found.map(|address| address.ip().to_canonical()).collect()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {} s", LOOK_UP_TIME.as_secs())),
        };
        (name, answer)
    });
    join_all(asked).await
}

impl State {
    fn follow(&mut self, http: &HttpConfig) {
        let setting = &http.trusted_proxies;
        self.networks.clone_from(&setting.networks);
        self.has_unix = setting.has_unix;
        self.client_address.clone_from(&http.client_address);
        self.names.retain(|name, _| setting.names.contains(name));
        for name in &setting.names {
            self.names.entry(name.clone()).or_default();
        }
    }

    fn note_all(&mut self, answers: Vec<Answered>, now: Instant) {
        for (name, answer) in answers {
            // The settings may have changed since it was asked about.
            if let Some(known) = self.names.get_mut(&name) {
                known.note(&name, answer, now);
            }
        }
    }

    fn trust(&self) -> Trust {
        let named = self.names.values().flat_map(|known| known.addresses.iter().copied().map(IpNet::from));
        Trust::new(self.networks.iter().copied().chain(named).collect(), self.has_unix, self.client_address.clone())
    }
}

impl Known {
    fn note(&mut self, name: &str, answer: Result<Vec<IpAddr>, String>, now: Instant) {
        let error = match answer {
            Ok(mut addresses) if !addresses.is_empty() => {
                addresses.sort_unstable();
                addresses.dedup();
                if addresses != self.addresses {
                    tracing::info!(name, ?addresses, "a trusted proxy has these addresses");
                }
                *self = Self { addresses, answered: Some(now), is_failing: false };
                return;
            }
            Ok(_) => "it has no address".to_owned(),
            Err(error) => error,
        };
        if !self.is_failing {
            tracing::warn!(name, error, "the name of a trusted proxy cannot be looked up");
        }
        self.is_failing = true;
        let is_over = self.answered.is_none_or(|answered| now.saturating_duration_since(answered) >= KEPT);
        if is_over && !self.addresses.is_empty() {
            tracing::warn!(
                name,
                "the name of a trusted proxy has not been found for 5 minutes; its last addresses are not trusted"
            );
            self.addresses.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Flags};

    fn http(proxies: &str) -> HttpConfig {
        let variable = ("ROLLCALL_HTTP__TRUSTED_PROXIES".to_owned(), proxies.to_owned());
        Config::load(&Flags::default(), [variable]).unwrap().http
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_name_that_fails_keeps_its_addresses_for_five_minutes() {
        let mut state = State::default();
        state.follow(&http("10.0.0.0/8, traefik"));
        let start = Instant::now();
        let mut at = |seconds: u64, answer: Result<Vec<IpAddr>, String>| {
            state.note_all(vec![("traefik".to_owned(), answer)], start + Duration::from_secs(seconds));
            let trust = state.trust();
            assert!(trust.trusts(ip("10.1.1.1")) && !trust.has_unix());
            [trust.trusts(ip("172.18.0.3")), trust.trusts(ip("172.18.0.4"))]
        };
        let gone = || Err("not found".to_owned());
        assert_eq!(at(0, gone()), [false, false], "it trusts nobody before it was found");
        assert_eq!(at(30, Ok(vec![ip("172.18.0.3")])), [true, false]);
        assert_eq!(at(60, gone()), [true, false]);
        assert_eq!(at(90, Ok(vec![ip("172.18.0.4")])), [false, true], "another answer holds at once");
        assert_eq!(at(120, gone()), [false, true]);
        assert_eq!(at(389, Ok(Vec::new())), [false, true], "no address is no answer");
        assert_eq!(at(390, gone()), [false, false], "5 minutes after the last answer");
        assert_eq!(at(420, Ok(vec![ip("172.18.0.3"), ip("172.18.0.4")])), [true, true]);
    }

    #[tokio::test]
    async fn names_are_looked_up_and_follow_the_settings() {
        let proxies = TrustedProxies::new(&http("localhost, unix"));
        let trusts = |text: &str| proxies.load().trusts(ip(text));
        assert!(!trusts("127.0.0.1") && proxies.load().has_unix());
        proxies.look_up().await;
        assert!(trusts("127.0.0.1"));
        proxies.apply(&http("no-such-host.invalid, 192.0.2.1")).await;
        assert!(!trusts("127.0.0.1") && trusts("192.0.2.1") && !proxies.load().has_unix());
        let shared = proxies.shared();
        proxies.apply(&http("localhost")).await;
        assert!(shared.load().trusts(ip("127.0.0.1")) && !shared.load().trusts(ip("192.0.2.1")));
    }
}
