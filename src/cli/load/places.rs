//! Addresses that the GeoIP files know, or plausible ones where there is no file.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fastrand::Rng;

use crate::domain::{Address, Network};
use crate::enrich::geoip::GeoIp;

/// The most networks that are taken from the files.
const MOST: usize = 50_000;

/// Networks to take addresses from.
pub(super) struct Places {
    networks: Vec<Network>,
}

impl Places {
    /// The networks of the files.
    pub fn of(geoip: &GeoIp) -> Self {
        Self { networks: geoip.list_networks(MOST) }
    }

    /// The address of a session: mostly one of its owner's few.
    pub fn address(&self, rng: &mut Rng, owner: u32) -> Address {
        match rng.u8(..10) {
            nth @ 0..=6 => self.any(&mut crate::cli::load::rng(u64::from(owner), 4, u32::from(nth % 3))),
            _ => self.any(rng),
        }
    }

    fn any(&self, rng: &mut Rng) -> Address {
        if self.networks.is_empty() {
            return Address(if rng.u8(..10) < 3 {
                // What is given out to Internet providers.
                let start = [0x2001, 0x2400, 0x2600, 0x2800, 0x2a00].get(rng.usize(..5)).copied().unwrap_or(0x2600_u128);
                IpAddr::V6(Ipv6Addr::from_bits((start + rng.u128(..16)) << 112 | rng.u128(..1 << 112)))
            } else {
                IpAddr::V4(Ipv4Addr::from_bits(u32::from(rng.u8(11..=223)) << 24 | rng.u32(..1 << 24)))
            });
        }
        // Skewed: some networks have many sessions.
        let spread = rng.f64() * rng.f64();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "0 to the number of networks"
        )]
        let at = (spread * self.networks.len() as f64) as usize;
        let network = self.networks.get(at.wrapping_mul(7_919) % self.networks.len());
        network.map_or(Address::UNKNOWN, |network| network.nth(rng.u128(..)))
    }
}
