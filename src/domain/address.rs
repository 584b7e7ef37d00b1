//! IP addresses: their text, their order, and the networks they belong to.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Serialize, Serializer};

/// The length of [`Address::sort_key`].
pub const KEY_LENGTH: usize = 17;

/// An IP address as PostgreSQL's `inet` sees it: `::ffff:1.2.3.4` and `1.2.3.4` are different
/// addresses, and the text form is lower-case and shortest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address(pub IpAddr);

impl Address {
    /// What is recorded for a client whose address is not known.
    pub const UNKNOWN: Self = Self(IpAddr::V4(Ipv4Addr::BROADCAST));

    /// Reads an address in any notation; an IPv6 zone (`%eth0`) is dropped. `None` for a word, a
    /// network, or an octet above 255 or with a leading zero.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Some(Self(ip));
        }
        let (address, zone) = text.split_once('%')?;
        let ip = address.parse::<Ipv6Addr>().ok()?;
        (!zone.is_empty() && !zone.contains('%')).then_some(Self(IpAddr::V6(ip)))
    }

    /// 17 bytes that sort as PostgreSQL orders `inet`: the family (4 or 6), then the address, IPv4
    /// padded with zeros. So a network is a range of keys.
    #[must_use]
    pub fn sort_key(&self) -> [u8; KEY_LENGTH] {
        let mut key = [0; KEY_LENGTH];
        match self.0 {
            IpAddr::V4(ip) => {
                key[0] = 4;
                key[1..5].copy_from_slice(&ip.octets());
            }
            IpAddr::V6(ip) => {
                key[0] = 6;
                key[1..].copy_from_slice(&ip.octets());
            }
        }
        key
    }

    /// Whether it names this machine, a private network, or nobody: what many have at once, and no
    /// GeoIP file can place. Addresses that carriers share (100.64.0.0/10) among them.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self.0.to_canonical() {
            IpAddr::V4(ip) => {
                let is_shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
                ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_unspecified() || ip.is_broadcast() || is_shared
            }
            IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_unspecified(),
        }
    }

    /// What is left of it without its last part: the /24 of IPv4, the /48 of IPv6. What names nobody
    /// stays as it is.
    #[must_use]
    pub fn cut(&self) -> Self {
        let whole = self.0.to_canonical();
        if *self == Self::UNKNOWN || whole.is_loopback() || whole.is_unspecified() {
            return *self;
        }
        match self.0 {
            IpAddr::V4(ip) => Self(IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() & !0xff))),
            IpAddr::V6(ip) => {
                let host = if ip.to_ipv4_mapped().is_some() { 8 } else { 80 };
                Self(IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> host << host)))
            }
        }
    }

    /// The address a [`Address::sort_key`] was made from; `None` when the bytes are no such key.
    #[must_use]
    pub fn from_sort_key(key: &[u8]) -> Option<Self> {
        let key: [u8; KEY_LENGTH] = key.try_into().ok()?;
        match key {
            [4, a, b, c, d, ..] => Some(Self(IpAddr::V4(Ipv4Addr::new(a, b, c, d)))),
            [6, rest @ ..] => Some(Self(IpAddr::V6(Ipv6Addr::from(rest)))),
            _ => None,
        }
    }
}

impl fmt::Display for Address {
    /// PostgreSQL's `inet` output. It differs from Rust's in one place: an IPv4-compatible address
    /// shows its last four octets in dots.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(AddressText::default().of(*self))
    }
}

/// Room for the text of an address. Lists hold hundreds: digits are written without the machinery of formatting.
#[derive(Clone, Copy, Debug)]
pub struct AddressText {
    bytes: [u8; Self::LONGEST],
    length: usize,
}

impl Default for AddressText {
    fn default() -> Self {
        Self { bytes: [0; Self::LONGEST], length: 0 }
    }
}

impl AddressText {
    /// The length of the longest: eight groups of four digits.
    const LONGEST: usize = 8 * 5 - 1;

    /// The text of this address, as [`Display`](fmt::Display) gives it.
    pub fn of(&mut self, address: Address) -> &str {
        self.length = 0;
        match address.0 {
            IpAddr::V4(ip) => self.push_four(ip),
            IpAddr::V6(ip) => match ip.segments() {
                [0, 0, 0, 0, 0, 0, high, low] if high != 0 => {
                    self.push("::");
                    self.push_four(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
                }
                // Nothing is left out: there is room for the longest.
                _ => drop(fmt::Write::write_fmt(self, format_args!("{ip}"))),
            },
        }
        self.bytes.get(..self.length).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default()
    }

    fn push_four(&mut self, ip: Ipv4Addr) {
        for (n, octet) in ip.octets().into_iter().enumerate() {
            self.push(if n == 0 { "" } else { "." });
            self.push(itoa::Buffer::new().format(octet));
        }
    }

    fn push(&mut self, text: &str) {
        for (place, byte) in self.bytes.iter_mut().skip(self.length).zip(text.bytes()) {
            *place = byte;
            self.length += 1;
        }
    }
}

impl fmt::Write for AddressText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text);
        Ok(())
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(AddressText::default().of(*self))
    }
}

/// A network in CIDR notation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(ipnet::IpNet);

impl Network {
    /// The network of one address.
    #[must_use]
    pub fn of(address: Address) -> Self {
        Self(address.0.into())
    }

    /// Reads `10.0.0.0/8`, `2001:db8::/32`, or a single address. Host bits are dropped.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some(address) = Address::parse(text) {
            return Some(Self::of(address));
        }
        Some(Self(text.parse::<ipnet::IpNet>().ok()?.trunc()))
    }

    /// Whether the address lies in the network. IPv4 networks hold no mapped addresses.
    #[must_use]
    pub fn contains(&self, address: Address) -> bool {
        self.0.contains(&address.0)
    }

    /// An address of the network: the one whose host bits are the lowest bits of `nth`.
    #[must_use]
    pub fn nth(&self, nth: u128) -> Address {
        Address(match self.0 {
            ipnet::IpNet::V4(net) => {
                #[expect(clippy::cast_possible_truncation, reason = "the lowest bits are what is asked for")]
                let host = nth as u32 & net.hostmask().to_bits();
                IpAddr::V4(Ipv4Addr::from_bits(net.network().to_bits() | host))
            }
            ipnet::IpNet::V6(net) => IpAddr::V6(Ipv6Addr::from_bits(net.network().to_bits() | (nth & net.hostmask().to_bits()))),
        })
    }

    /// The first and the last [`Address::sort_key`] of the network.
    #[must_use]
    pub fn key_range(&self) -> ([u8; KEY_LENGTH], [u8; KEY_LENGTH]) {
        (Address(self.0.network()).sort_key(), Address(self.0.broadcast()).sort_key())
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(input: &str) -> String {
        Address::parse(input).unwrap().to_string()
    }

    #[test]
    fn addresses_of_a_network_lie_in_it() {
        for network in ["192.0.2.64/27", "2001:db8::/48", "203.0.113.9/32", "0.0.0.0/0", "::/0"] {
            let network = Network::parse(network).unwrap();
            for nth in [0, 1, 77, u128::MAX] {
                assert!(network.contains(network.nth(nth)), "{network} {nth}");
            }
        }
        assert_eq!(Network::parse("192.0.2.64/27").unwrap().nth(33).to_string(), "192.0.2.65");
    }

    #[test]
    fn addresses_are_cut_to_their_neighbourhood() {
        for (whole, cut) in [
            ("192.0.2.77", "192.0.2.0"),
            ("10.1.2.3", "10.1.2.0"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
            ("::ffff:192.0.2.77", "::ffff:192.0.2.0"),
            ("255.255.255.255", "255.255.255.255"),
            ("127.0.0.1", "127.0.0.1"),
            ("::1", "::1"),
        ] {
            let address = Address::parse(whole).unwrap();
            assert_eq!(address.cut().to_string(), cut);
            assert_eq!(address.cut().cut(), address.cut(), "cut once is cut");
        }
    }

    #[test]
    fn local_addresses_are_known() {
        let is_local = |text: &str| Address::parse(text).unwrap().is_local();
        for local in ["127.0.0.1", "10.0.0.1", "192.168.1.1", "172.16.0.1", "169.254.1.1", "100.64.0.1", "100.127.255.255", "::1"] {
            assert!(is_local(local), "{local}");
        }
        for local in ["fe80::1", "fd12::1", "fc00::1", "::ffff:192.168.1.1", "::", "0.0.0.0", "255.255.255.255"] {
            assert!(is_local(local), "{local}");
        }
        for public in ["100.63.255.255", "100.128.0.0", "172.32.0.1", "192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"] {
            assert!(!is_local(public), "{public}");
        }
    }

    #[test]
    fn prints_as_postgresql_inet() {
        assert_eq!(text("2001:0DB8:0:0:0:0:0:1"), "2001:db8::1");
        assert_eq!(text("::ffff:1.2.3.4"), "::ffff:1.2.3.4");
        assert_eq!(text("::ffff:102:304"), "::ffff:1.2.3.4");
        assert_eq!(text("::1.2.3.4"), "::1.2.3.4");
        assert_eq!(text("::1"), "::1");
        assert_eq!(text("::5"), "::5");
        assert_eq!(text("::"), "::");
        assert_eq!(text("1:0:0:2:0:0:0:3"), "1:0:0:2::3");
        assert_eq!(text("fe80::1%eth0"), "fe80::1");
    }

    #[test]
    fn refuses_what_is_no_address() {
        for bad in ["", "word", "10.0.0.0/8", "256.1.1.1", "01.2.3.4", "1.2.3", "1.2.3.4%x", "::1%", ":::"] {
            assert_eq!(Address::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn keys_sort_ipv4_first_and_read_back() {
        let order = ["0.0.0.0", "9.255.0.1", "10.0.0.1", "255.255.255.255", "::", "::ffff:1.2.3.4", "2001:db8::1"];
        let keys: Vec<_> = order.iter().map(|a| Address::parse(a).unwrap().sort_key()).collect();
        assert!(keys.is_sorted());
        for (text, key) in order.iter().zip(&keys) {
            assert_eq!(Address::from_sort_key(key), Address::parse(text));
        }
        assert_eq!(Address::from_sort_key(&[5; KEY_LENGTH]), None);
        assert_eq!(Address::from_sort_key(&[4; 3]), None);
    }

    #[test]
    fn networks_are_key_ranges() {
        let network = Network::parse("10.1.2.3/8").unwrap();
        let (low, high) = network.key_range();
        for (address, inside) in [("10.0.0.0", true), ("10.255.255.255", true), ("11.0.0.0", false), ("::ffff:10.0.0.1", false)] {
            let address = Address::parse(address).unwrap();
            assert_eq!((low..=high).contains(&address.sort_key()), inside);
            assert_eq!(network.contains(address), inside);
        }
        assert_eq!(Network::parse("1.2.3.4").unwrap().to_string(), "1.2.3.4/32");
        assert_eq!(Network::parse("10.0.0.0/33"), None);
    }
}
