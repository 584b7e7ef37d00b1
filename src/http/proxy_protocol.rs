//! The PROXY protocol, versions 1 and 2: the header in which a proxy tells, before anything else, where a connection
//! comes from. Source: "The PROXY protocol, versions 1 & 2", HAProxy's `doc/proxy-protocol.txt`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The longest header that is read, in bytes: 16 and 520 of version 2.
pub const LONGEST: usize = 536;
/// The longest header of version 1, its line break included.
const LONGEST_LINE: usize = 107;
/// How a header of version 2 begins.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The header of version 2 that says: this connection is the proxy's own.
pub const LOCAL: &[u8; 16] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/// What the bytes of a connection that arrived so far are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The beginning of a header.
    More,
    /// No header.
    Wrong,
    /// A header of this many bytes.
    Header(usize, Source),
}

/// Where the connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// From this address.
    Address(IpAddr),
    /// From the proxy itself: a health check (`LOCAL`).
    Proxy,
    /// The proxy passes on a connection and does not know from where, or from no address of IP (`UNKNOWN`).
    Unnamed,
}

/// Reads the beginning of a connection.
#[must_use]
pub fn parse(bytes: &[u8]) -> Parsed {
    let begins = |word: &[u8]| bytes.iter().zip(word).all(|(a, b)| a == b);
    if begins(SIGNATURE) {
        return binary(bytes);
    }
    if begins(b"PROXY ") {
        return line(bytes);
    }
    Parsed::Wrong
}

/// Version 1: a line of text.
fn line(bytes: &[u8]) -> Parsed {
    let head = bytes.get(..LONGEST_LINE.min(bytes.len())).unwrap_or_default();
    let Some(end) = head.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() < LONGEST_LINE { Parsed::More } else { Parsed::Wrong };
    };
    let text = head.get(..end).and_then(|line| std::str::from_utf8(line).ok()).unwrap_or_default();
    let source = match text.split(' ').collect::<Vec<_>>().as_slice() {
        ["PROXY", "UNKNOWN", ..] => Some(Source::Unnamed),
        ["PROXY", "TCP4", from, to, ports @ ..] if are_ports(ports) => {
            from.parse::<Ipv4Addr>().ok().zip(to.parse::<Ipv4Addr>().ok()).map(|(from, _)| Source::Address(IpAddr::V4(from)))
        }
        ["PROXY", "TCP6", from, to, ports @ ..] if are_ports(ports) => {
            let both = from.parse::<Ipv6Addr>().ok().zip(to.parse::<Ipv6Addr>().ok());
            both.map(|(from, _)| Source::Address(IpAddr::V6(from).to_canonical()))
        }
        _ => None,
    };
    source.map_or(Parsed::Wrong, |source| Parsed::Header(end + 2, source))
}

/// Whether these are two port numbers as the protocol writes them: without a sign or leading zeros.
fn are_ports(words: &[&str]) -> bool {
    words.len() == 2 && words.iter().all(|word| word.parse::<u16>().is_ok_and(|port| port.to_string() == **word))
}

/// Version 2: binary.
fn binary(bytes: &[u8]) -> Parsed {
    let Some((head, rest)) = bytes.split_at_checked(16) else { return Parsed::More };
    let &[.., version_and_command, family, high, low] = head else { return Parsed::Wrong };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if 16 + length > LONGEST {
        return Parsed::Wrong;
    }
    let is_local = match version_and_command {
        0x20 => true,
        0x21 => false,
        _ => return Parsed::Wrong,
    };
    let Some(rest) = rest.get(..length) else { return Parsed::More };
    let source = match (is_local, family) {
        (true, _) => Some(Source::Proxy),
        // A stream or datagrams (a proxy may speak QUIC with its client); over IPv4, IPv6, Unix, or not told.
        (false, 0x11 | 0x12) => {
            rest.get(..12).and_then(|rest| rest.first_chunk()).map(|from: &[u8; 4]| Source::Address((*from).into()))
        }
        (false, 0x21 | 0x22) => {
            let from = rest.get(..36).and_then(|rest| rest.first_chunk());
            from.map(|from: &[u8; 16]| Source::Address(IpAddr::from(*from).to_canonical()))
        }
        (false, 0x31 | 0x32) => rest.get(..216).map(|_| Source::Unnamed),
        (false, 0x00) => Some(Source::Unnamed),
        (false, _) => None,
    };
    source.map_or(Parsed::Wrong, |source| Parsed::Header(16 + length, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [SIGNATURE.as_slice(), &[command, family], &length, rest].concat()
    }

    fn address(text: &str) -> Source {
        Source::Address(text.parse().unwrap())
    }

    /// Each part of a header is the beginning of one; what follows it is not looked at.
    fn good(header: &[u8], source: Source) {
        for end in 0..header.len() {
            assert_eq!(parse(&header[..end]), Parsed::More, "{} of {}", end, header.escape_ascii());
        }
        for behind in [&b""[..], b"GET / HTTP/1.1\r\n", SIGNATURE] {
            assert_eq!(parse(&[header, behind].concat()), Parsed::Header(header.len(), source), "{}", header.escape_ascii());
        }
    }

    #[test]
    fn a_line_of_version_1_tells_the_source() {
        good(b"PROXY TCP4 192.0.2.7 10.0.0.1 56324 443\r\n", address("192.0.2.7"));
        good(b"PROXY TCP6 2001:db8::7 2001:db8::1 1 65535\r\n", address("2001:db8::7"));
        good(b"PROXY TCP6 ::ffff:192.0.2.7 ::1 0 443\r\n", address("192.0.2.7"));
        let longest =
            [b"PROXY TCP6".as_slice(), &[b" ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff".as_slice(); 2].concat(), b" 65535 65535\r\n"];
        good(&longest.concat(), address("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"));
        good(b"PROXY UNKNOWN\r\n", Source::Unnamed);
        good(b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", Source::Unnamed);
    }

    #[test]
    fn what_is_no_line_of_version_1_is_refused() {
        for line in [
            "GET / HTTP/1.1\r\n",
            "proxy TCP4 1.2.3.4 1.2.3.4 1 1\r\n",
            "PROXY  TCP4 1.2.3.4 1.2.3.4 1 1\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 1 1\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 +1 1\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 01 1\r\n",
            "PROXY TCP4 1.2.3.04 1.2.3.4 1 1\r\n",
            "PROXY TCP4 ::1 ::1 1 1\r\n",
            "PROXY TCP4 1.2.3.4 here 1 1\r\n",
            "PROXY TCP6 1.2.3.4 1.2.3.4 1 1\r\n",
            "PROXY UDP4 1.2.3.4 1.2.3.4 1 1\r\n",
            "PROXY \r\n",
            "PROXY UNKNOWN2\r\n",
            "\r\n\r\nGET / HTTP/1.1\r\n",
            "\u{16}\u{3}\u{1}",
        ] {
            assert_eq!(parse(line.as_bytes()), Parsed::Wrong, "{line:?}");
        }
        let endless = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200]].concat();
        assert_eq!((parse(&endless[..106]), parse(&endless[..107])), (Parsed::More, Parsed::Wrong));
        // A line feed alone ends no line.
        assert_eq!(parse(b"PROXY TCP4 1.2.3.4 1.2.3.4 1 1\nGET / HTTP/1.1\r\n"), Parsed::Wrong);
    }

    #[test]
    fn a_header_of_version_2_tells_the_source() {
        let v4 = [[192, 0, 2, 7], [10, 0, 0, 1], [0xdc, 4, 1, 0xbb]].concat();
        let v6: Vec<u8> = [Ipv6Addr::from_bits(0x2001_0db8 << 96 | 7).octets(), Ipv6Addr::LOCALHOST.octets()].concat();
        let v6 = [v6, vec![0; 4]].concat();
        good(&v2(0x21, 0x11, &v4), address("192.0.2.7"));
        good(&v2(0x21, 0x12, &v4), address("192.0.2.7"));
        good(&v2(0x21, 0x21, &v6), address("2001:db8::7"));
        let mapped = [Ipv4Addr::new(192, 0, 2, 7).to_ipv6_mapped().octets().as_slice(), &[0; 20]].concat();
        good(&v2(0x21, 0x21, &mapped), address("192.0.2.7"));
        // Attributes behind the addresses, up to the longest header.
        good(&v2(0x21, 0x11, &[v4.as_slice(), &[0; 508]].concat()), address("192.0.2.7"));
        good(&v2(0x21, 0x31, &[b'/'; 216]), Source::Unnamed);
        good(&v2(0x21, 0x00, &[]), Source::Unnamed);
        good(&v2(0x20, 0x00, &[]), Source::Proxy);
        good(&v2(0x20, 0x11, &v4), Source::Proxy);
        good(LOCAL, Source::Proxy);
    }

    #[test]
    fn what_is_no_header_of_version_2_is_refused() {
        let v4 = [[192, 0, 2, 7], [10, 0, 0, 1], [0xdc, 4, 1, 0xbb]].concat();
        for (command, family, rest) in [
            (0x11, 0x11, v4.clone()),
            (0x22, 0x11, v4.clone()),
            (0x21, 0x13, v4.clone()),
            (0x21, 0x41, v4.clone()),
            (0x21, 0x01, v4.clone()),
            (0x21, 0x11, v4[..11].to_vec()),
            (0x21, 0x21, vec![0; 35]),
            (0x21, 0x31, vec![0; 215]),
            (0x21, 0x11, vec![0; 521]),
            (0x20, 0x00, vec![0; 521]),
        ] {
            assert_eq!(parse(&v2(command, family, &rest)), Parsed::Wrong, "{command:x} {family:x} {}", rest.len());
        }
        let mut signature = v2(0x21, 0x11, &v4);
        signature[11] = b'\r';
        assert_eq!(parse(&signature), Parsed::Wrong);
    }
}
