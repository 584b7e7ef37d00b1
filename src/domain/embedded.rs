//! IPv6 addresses that hold an IPv4 address: of a host that a translator shows in IPv6, or of the
//! end of a tunnel.

use std::net::{Ipv4Addr, Ipv6Addr};

/// How an IPv6 address holds an IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `::ffff:0:0/96`, IPv4-mapped ([RFC
    /// 4291](https://www.rfc-editor.org/rfc/rfc4291#section-2.5.5)).
    Mapped,
    /// `::ffff:0:0:0/96`, IPv4-translated ([RFC
    /// 2765](https://www.rfc-editor.org/rfc/rfc2765#section-2.1)).
    Translated,
    /// `::/96`, IPv4-compatible, without the addresses that begin with 16 zero bits, such as `::1`.
    Compatible,
    /// `64:ff9b::/96`, NAT64 ([RFC 6052](https://www.rfc-editor.org/rfc/rfc6052#section-2.1)).
    Nat64,
    /// `64:ff9b:1::/48`, NAT64 for local use ([RFC 8215](https://www.rfc-editor.org/rfc/rfc8215)).
    /// The operator chooses the length of the prefix, and with it where the octets are.
    LocalNat64([usize; 4]),
    /// `2002::/16`, 6to4 ([RFC 3056](https://www.rfc-editor.org/rfc/rfc3056)): the site's router.
    SixToFour,
    /// `2001::/32`, Teredo ([RFC 4380](https://www.rfc-editor.org/rfc/rfc4380#section-4)): the
    /// client's address outside its NAT, inverted.
    Teredo,
    /// An interface of ISATAP ([RFC 5214](https://www.rfc-editor.org/rfc/rfc5214#section-6.1))
    /// under the link-local prefix.
    LocalIsatap,
    /// The same under any other prefix.
    Isatap,
}

/// Where the octets are in most forms.
const LAST: [usize; 4] = [12, 13, 14, 15];

impl Form {
    /// The form of an address, if it holds an IPv4 address.
    pub fn of(ip: Ipv6Addr) -> Option<Self> {
        Some(match ip.segments() {
            [0, 0, 0, 0, 0, 0xffff, _, _] => Self::Mapped,
            [0, 0, 0, 0, 0xffff, 0, _, _] => Self::Translated,
            [0, 0, 0, 0, 0, 0, high, _] if high != 0 => Self::Compatible,
            [0x64, 0xff9b, 0, 0, 0, 0, _, _] => Self::Nat64,
            [0x64, 0xff9b, 1, ..] => Self::LocalNat64(local_octets(ip.octets())),
            [0x2002, ..] => Self::SixToFour,
            [0x2001, 0, ..] => Self::Teredo,
            [0xfe80, 0, 0, 0, 0 | 0x200, 0x5efe, _, _] => Self::LocalIsatap,
            [_, _, _, _, 0 | 0x200, 0x5efe, _, _] => Self::Isatap,
            _ => return None,
        })
    }

    /// The IPv4 address in an address of this form.
    pub fn read(self, ip: Ipv6Addr) -> Ipv4Addr {
        let bytes = ip.octets();
        let mask = if self == Self::Teredo { 0xff } else { 0 };
        Ipv4Addr::from(self.octets().map(|at| bytes.get(at).copied().unwrap_or_default() ^ mask))
    }

    /// Whether the IPv4 address is the host's own. Others are the near end of a tunnel, behind
    /// which there may be many hosts.
    pub fn is_host(self) -> bool {
        matches!(self, Self::Mapped | Self::Translated | Self::Compatible | Self::Nat64 | Self::LocalNat64(_))
    }

    /// Whether the IPv4 address in it was assigned, so that the user of the address cannot choose
    /// it. A user with a prefix of their own can choose any ISATAP interface in it.
    pub fn is_given(self) -> bool {
        self != Self::Isatap
    }

    /// The address without the last octet of the IPv4 address and without what names a host behind
    /// it.
    pub fn cut(self, ip: Ipv6Addr) -> Ipv6Addr {
        if matches!(self, Self::Isatap | Self::LocalNat64(_)) {
            return Ipv6Addr::from_bits(ip.to_bits() >> 80 << 80);
        }
        let mut bytes = ip.octets();
        let [.., last] = self.octets();
        for (at, byte) in bytes.iter_mut().enumerate() {
            let names_host = if self == Self::Teredo { (4..12).contains(&at) } else { at > last };
            *byte = match at {
                _ if at == last && self == Self::Teredo => 0xff,
                _ if at == last || names_host => 0,
                _ => *byte,
            };
        }
        Ipv6Addr::from(bytes)
    }

    fn octets(self) -> [usize; 4] {
        match self {
            Self::SixToFour => [2, 3, 4, 5],
            Self::LocalNat64(octets) => octets,
            _ => LAST,
        }
    }
}

/// Where the octets are in an address of `64:ff9b:1::/48`. RFC 6052 puts them behind prefixes of
/// 48, 56, 64 or 96 bits, leaves out byte 8, and fills up with zeros. No host's address begins or
/// ends with zero, so the forms can be distinguished.
fn local_octets(bytes: [u8; 16]) -> [usize; 4] {
    let [_, _, _, _, _, _, six, seven, eight, nine, ten, eleven, twelve, rest @ ..] = bytes;
    if eight != 0 || rest != [0; 3] || [nine, ten, eleven] == [0; 3] {
        LAST
    } else if twelve != 0 || [six, seven] == [0; 2] {
        [9, 10, 11, 12]
    } else if eleven != 0 {
        [7, 9, 10, 11]
    } else {
        [6, 7, 9, 10]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(Form, String)> {
        let ip = text.parse().unwrap();
        Form::of(ip).map(|form| (form, form.read(ip).to_string()))
    }

    #[test]
    fn every_form_gives_the_ipv4_address_in_it() {
        for text in [
            "::ffff:198.51.100.7",
            "::ffff:0:198.51.100.7",
            "::198.51.100.7",
            "64:ff9b::198.51.100.7",
            "64:ff9b::c633:6407",
            "64:ff9b:1::198.51.100.7",
            "64:ff9b:1:abcd::198.51.100.7",
            // Behind prefixes of 48, 56 and 64 bits.
            "64:ff9b:1:c633:64:700::",
            "64:ff9b:1:aac6:33:6407::",
            "64:ff9b:1:c6:33:6407::",
            "64:ff9b:1:abcd:c6:3364:700::",
            "64:ff9b:1:0:c6:3364:700::",
            "2002:c633:6407::1",
            "2002:c633:6407:1:2:3:4:5",
            "2001:0:4136:e378:8000:63bf:39cc:9bf8",
            "fe80::5efe:198.51.100.7",
            "fe80::200:5efe:198.51.100.7",
            "2001:db8:1:2:0:5efe:198.51.100.7",
            "2001:db8:1:2:200:5efe:c633:6407",
        ] {
            assert_eq!(read(text).unwrap().1, "198.51.100.7", "{text}");
        }
    }

    #[test]
    fn other_addresses_hold_none() {
        for text in [
            "::",
            "::1",
            "::5",
            "::ffff",
            "2001:db8::1",
            "2001:1::1",
            "2003::1",
            "fe80::1",
            "64:ff9b:2::1",
            "64:ff9a::1",
            "fd00::c633:6407",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
