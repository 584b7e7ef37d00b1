//! IP addresses: their text, their order, and the networks they belong to.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Serialize, Serializer};

use crate::domain::embedded::Form;

/// The length of [`Address::sort_key`].
pub const KEY_LENGTH: usize = 17;

/// An IP address as PostgreSQL's `inet` sees it: `::ffff:1.2.3.4` and `1.2.3.4` are different
/// addresses, and the text form is lower-case and shortest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address(pub IpAddr);

impl Address {
    /// The address that is recorded for a client whose own is not known, as authentik does.
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

    /// 17 bytes that sort as PostgreSQL orders `inet`: the family (4 or 6), then the address, and
    /// zeros behind an IPv4 address. A network is a range of such keys.
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

    /// The address by which a host is judged: the IPv4 address that an IPv6 address holds, in any
    /// form in which its user cannot choose it, or the address itself. Two texts of one host have
    /// the same one. It is for limits, places and bindings, and not for what is stored, shown,
    /// filtered or ordered.
    #[must_use]
    pub fn effective(self) -> Self {
        match self.form() {
            Some((form, ip)) if form.is_given() => Self(IpAddr::V4(form.read(ip))),
            _ => self,
        }
    }

    /// The host's own IPv4 address, where a translator shows it as an IPv6 address. `None` for
    /// native addresses and for tunnels: behind the end of a tunnel there may be other hosts.
    #[must_use]
    pub fn translated(self) -> Option<Self> {
        self.form().filter(|(form, _)| form.is_host()).map(|(form, ip)| Self(IpAddr::V4(form.read(ip))))
    }

    /// The addresses that GeoIP files may know this one by, the best first.
    #[must_use]
    pub fn lookups(self) -> [Option<IpAddr>; 2] {
        match self.form() {
            // Files have the tunnel's server under the address itself.
            Some((Form::Teredo, ip)) => [Some(IpAddr::V4(Form::Teredo.read(ip))), None],
            Some((form, ip)) => [Some(self.0), Some(IpAddr::V4(form.read(ip)))],
            None => [Some(self.0), None],
        }
    }

    /// The key of a rate limit by address: an IPv4 address, or the /64 of an IPv6 address as at
    /// most 16 hexadecimal digits, since a host usually has all addresses of its /64.
    #[must_use]
    pub fn limit_key(self) -> String {
        match self.effective().0 {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("{:x}", ip.to_bits() >> 64),
        }
    }

    fn form(self) -> Option<(Form, Ipv6Addr)> {
        match self.0 {
            IpAddr::V4(_) => None,
            IpAddr::V6(ip) => Form::of(ip).map(|form| (form, ip)),
        }
    }

    /// Whether it names no host: 255.255.255.255, which is recorded for clients that are not known,
    /// or 0.0.0.0 or `::`.
    #[must_use]
    pub fn is_unknown(self) -> bool {
        match self.effective().0 {
            IpAddr::V4(ip) => ip.is_broadcast() || ip.is_unspecified(),
            IpAddr::V6(ip) => ip.is_unspecified(),
        }
    }

    /// Whether it is of this machine or of a private network: many hosts have such an address at
    /// once, and no GeoIP file has a place for it. Addresses that carriers share (100.64.0.0/10)
    /// are private, too.
    #[must_use]
    pub fn is_local(self) -> bool {
        match self.effective().0 {
            IpAddr::V4(ip) => {
                let is_shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xc0 == 64;
                ip.is_loopback() || ip.is_private() || ip.is_link_local() || is_shared
            }
            IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
        }
    }

    /// The address without its last part: the /24 of an IPv4 address, also of one that an IPv6
    /// address holds, and the /48 of others. An address that names no host or this machine stays as
    /// it is.
    #[must_use]
    pub fn cut(self) -> Self {
        if self.is_unknown() || self.effective().0.is_loopback() {
            return self;
        }
        match (self.0, self.form()) {
            (IpAddr::V4(ip), _) => Self(IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() & !0xff))),
            (IpAddr::V6(_), Some((form, ip))) => Self(IpAddr::V6(form.cut(ip))),
            (IpAddr::V6(ip), None) => Self(IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 80 << 80))),
        }
    }

    /// The address of a [`Address::sort_key`]; `None` for other bytes.
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

/// A buffer for the text of an address. It is faster than `format!`, and lists have hundreds.
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
                // There is room for the longest, so writing cannot fail.
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

    /// Whether the network contains the address. An IPv4 network contains no mapped address.
    #[must_use]
    pub fn contains(&self, address: Address) -> bool {
        self.0.contains(&address.0)
    }

    /// The address of the network whose host bits are the lowest bits of `nth`.
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
    fn cut_addresses_lack_their_last_part_in_every_form() {
        for (whole, cut) in [
            ("192.0.2.77", "192.0.2.0"),
            ("10.1.2.3", "10.1.2.0"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
            ("2001:db8:1:2:0:5efe:192.0.2.77", "2001:db8:1::"),
            ("::ffff:192.0.2.77", "::ffff:192.0.2.0"),
            ("::ffff:0:192.0.2.77", "::ffff:0:c000:200"),
            ("::192.0.2.77", "::192.0.2.0"),
            ("64:ff9b::192.0.2.77", "64:ff9b::c000:200"),
            ("64:ff9b:1::192.0.2.77", "64:ff9b:1::"),
            ("64:ff9b:1:c000:2:4d00::", "64:ff9b:1::"),
            ("2002:c000:24d:1:2:3:4:5", "2002:c000:200::"),
            ("2001:0:4136:e378:8000:63bf:3fff:fdb2", "2001::3fff:fdff"),
            ("fe80::5efe:192.0.2.77", "fe80::5efe:c000:200"),
            ("255.255.255.255", "255.255.255.255"),
            ("127.0.0.1", "127.0.0.1"),
            ("::ffff:127.0.0.1", "::ffff:127.0.0.1"),
            ("::1", "::1"),
        ] {
            let address = Address::parse(whole).unwrap();
            assert_eq!(address.cut().to_string(), cut, "{whole}");
            assert_eq!(address.cut().cut(), address.cut(), "{whole}: cut once is cut");
        }
    }

    #[test]
    fn one_host_counts_as_one_address_in_every_form() {
        let key = |text: &str| Address::parse(text).unwrap().limit_key();
        for form in [
            "198.51.100.7",
            "::ffff:198.51.100.7",
            "::ffff:0:198.51.100.7",
            "::198.51.100.7",
            "64:ff9b::198.51.100.7",
            "64:ff9b:1::198.51.100.7",
            "64:ff9b:1:c633:64:700::",
            "2002:c633:6407::1",
            "2002:c633:6407:ffff::1",
            "2001:0:4136:e378:8000:63bf:39cc:9bf8",
            "2001:0:1:2:3:4:39cc:9bf8",
            "fe80::5efe:198.51.100.7",
        ] {
            assert_eq!(key(form), "198.51.100.7", "{form}");
        }
        assert_eq!(key("64:ff9b::198.51.100.8"), "198.51.100.8", "neighbours do not share a limit");
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::"), "all of a /64 shares one");
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("2001:db8:1:2:0:5efe:198.51.100.7"), key("2001:db8:1:2::1"), "the interface is the user's choice");
    }

    #[test]
    fn translated_hosts_are_trusted_and_tunnels_are_not() {
        let translated = |text: &str| Address::parse(text).unwrap().translated().map(|address| address.to_string());
        for host in ["::ffff:10.0.0.1", "::ffff:0:10.0.0.1", "::10.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b:1::10.0.0.1"] {
            assert_eq!(translated(host).as_deref(), Some("10.0.0.1"), "{host}");
        }
        for other in
            ["10.0.0.1", "2002:a00:1::1", "2001:0:1:2:3:4:f5ff:fffe", "fe80::5efe:10.0.0.1", "2001:db8::5efe:10.0.0.1", "::1"]
        {
            assert_eq!(translated(other), None, "{other}");
        }
    }

    #[test]
    fn local_and_unknown_addresses_are_told_apart_in_every_form() {
        let of = |text: &str| Address::parse(text).unwrap();
        for local in ["127.0.0.1", "10.0.0.1", "192.168.1.1", "172.16.0.1", "169.254.1.1", "100.64.0.1", "100.127.255.255", "::1"] {
            assert!(of(local).is_local() && !of(local).is_unknown(), "{local}");
        }
        for local in ["fe80::1", "fd12::1", "fc00::1", "::ffff:192.168.1.1", "64:ff9b::192.168.1.1", "2002:a00:1::1"] {
            assert!(of(local).is_local() && !of(local).is_unknown(), "{local}");
        }
        for unknown in ["255.255.255.255", "0.0.0.0", "::", "::ffff:255.255.255.255", "::ffff:0.0.0.0", "64:ff9b::255.255.255.255"]
        {
            assert!(of(unknown).is_unknown() && !of(unknown).is_local(), "{unknown}");
        }
        for public in
            ["100.63.255.255", "100.128.0.0", "172.32.0.1", "192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "64:ff9b::192.0.2.1"]
        {
            assert!(!of(public).is_local() && !of(public).is_unknown(), "{public}");
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
