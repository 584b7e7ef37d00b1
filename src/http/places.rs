//! Limits on connections: in all, and from one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::core::trust::Trust;
use crate::domain::Address;
use crate::http::peer::Peer;

/// File descriptors that are kept for the database, the log, GeoIP files and the listeners.
const RESERVED: usize = 48;
/// The least number of connections in all, however few descriptors there are.
const LEAST: usize = 8;

/// Bounds on connections.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// The most at once.
    pub in_all: usize,
    /// The most at once from one address, or from one IPv6 network of /64.
    pub per_address: usize,
    /// Trusted proxies, which have no limit by address, since they pass on the connections of all
    /// clients. They change while the server runs.
    pub trusted: Arc<ArcSwap<Trust>>,
}

impl Default for Bounds {
    /// The defaults of the settings.
    fn default() -> Self {
        Self { in_all: 8192, per_address: 512, trusted: Arc::default() }
    }
}

impl Bounds {
    /// These bounds as far as the process has descriptors for them: a connection takes one, and the rest
    /// of the server needs some, too. One address has at most three quarters of all places.
    #[must_use]
    pub fn within(mut self, descriptors: Option<usize>) -> Self {
        if let Some(descriptors) = descriptors {
            let left = descriptors.saturating_sub(RESERVED).max(LEAST);
            self.in_all = self.in_all.min(left);
        }
        self.per_address = self.per_address.min((self.in_all * 3 / 4).max(1));
        self
    }
}

/// How many files the process may have open, as Linux tells it.
#[must_use]
pub fn descriptors() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next()?.parse().ok())
}

/// The free and used connections of all listeners of a server together.
#[derive(Debug)]
pub struct Places {
    all: Arc<Semaphore>,
    of_addresses: Arc<Mutex<HashMap<IpAddr, usize>>>,
    bounds: Bounds,
}

/// A connection's permit, given back when dropped.
#[derive(Debug)]
pub struct Place {
    _one: OwnedSemaphorePermit,
    address: Option<IpAddr>,
    of_addresses: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Places {
    /// All places, free.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self { all: Arc::new(Semaphore::new(bounds.in_all)), of_addresses: Arc::default(), bounds }
    }

    /// Waits until one more connection is allowed, from any address.
    pub async fn free(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.all).acquire_owned().await.ok()
    }

    /// Whether a peer is a trusted proxy now.
    #[must_use]
    pub fn trusts(&self, peer: &Peer) -> bool {
        peer.is_trusted(&self.bounds.trusted.load())
    }

    /// Gives the permit to a peer; `None` when its address has reached its limit.
    #[must_use]
    pub fn take(&self, one: OwnedSemaphorePermit, peer: &Peer) -> Option<Place> {
        let of_addresses = Arc::clone(&self.of_addresses);
        if self.trusts(peer) {
            return Some(Place { _one: one, address: None, of_addresses });
        }
        let address = network_of(peer.ip);
        {
            let mut counts = self.of_addresses.lock().unwrap_or_else(PoisonError::into_inner);
            let count = counts.entry(address).or_default();
            if *count >= self.bounds.per_address {
                return None;
            }
            *count += 1;
        }
        Some(Place { _one: one, address: Some(address), of_addresses })
    }
}

/// What counts as one address: an IPv4 address, also inside an IPv6 one, or an IPv6 network of /64, since a
/// host has all of one.
fn network_of(ip: IpAddr) -> IpAddr {
    match Address(ip).effective().0 {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(address) = self.address else { return };
        let mut counts = self.of_addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ClientAddress;

    fn peer(text: &str) -> Peer {
        Peer::at(text.parse().unwrap())
    }

    #[tokio::test]
    async fn an_address_has_only_its_share() {
        let trust = Trust::new(vec!["10.0.0.0/8".parse().unwrap()], false, ClientAddress::default());
        let bounds = Bounds { in_all: 10, per_address: 2, trusted: Arc::new(ArcSwap::from_pointee(trust)) };
        let places = Places::new(bounds);
        let take = async |text: &str| places.take(places.free().await.unwrap(), &peer(text));
        let one = take("192.0.2.1").await.unwrap();
        let _two = take("::ffff:192.0.2.1").await.unwrap();
        assert!(take("192.0.2.1").await.is_none(), "the same address, written in two ways");
        let _other = take("192.0.2.2").await.unwrap();
        drop(one);
        let _again = take("192.0.2.1").await.unwrap();
        let _six = (take("2001:db8::1").await.unwrap(), take("2001:db8::ffff:1").await.unwrap());
        assert!(take("2001:db8:0:0:abcd::9").await.is_none(), "the same /64");
        let _neighbour = take("2001:db8:0:1::1").await.unwrap();
        assert!(take("64:ff9b::192.0.2.1").await.is_none(), "the IPv4 address inside counts");
        let _proxied = [take("10.0.0.1").await.unwrap(), take("10.0.0.1").await.unwrap(), take("10.0.0.1").await.unwrap()];
        assert_eq!(places.all.available_permits(), 1, "and all of them count");
    }

    #[tokio::test]
    async fn peers_on_unix_sockets_are_one_address_until_they_are_trusted() {
        let trusted = |has_unix| Arc::new(ArcSwap::from_pointee(Trust::new(Vec::new(), has_unix, ClientAddress::default())));
        for (has_unix, most) in [(false, 2), (true, 4)] {
            let places = Places::new(Bounds { in_all: 4, per_address: 2, trusted: trusted(has_unix) });
            let mut taken = Vec::new();
            for _ in 0..4 {
                taken.extend(places.take(places.free().await.unwrap(), &Peer::unix()));
            }
            assert_eq!(taken.len(), most);
        }
    }

    #[test]
    fn bounds_follow_the_descriptors() {
        let bounds = |descriptors| {
            let bounds = Bounds::default().within(descriptors);
            (bounds.in_all, bounds.per_address)
        };
        assert_eq!(bounds(None), (8192, 512));
        assert_eq!(bounds(Some(1_048_576)), (8192, 512));
        assert_eq!(bounds(Some(1024)), (976, 512));
        assert_eq!(bounds(Some(96)), (48, 36));
        assert_eq!(bounds(Some(10)), (8, 6));
    }
}
