//! Who is at the other end of a connection.

use std::net::{IpAddr, Ipv4Addr};

use crate::core::trust::Trust;

/// The sender of a connection's requests. It is in the extensions of each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address, an IPv4 address as such; 127.0.0.1 for a Unix socket.
    pub ip: IpAddr,
    /// Whether it speaks TLS with this server.
    pub is_tls: bool,
    kind: Kind,
}

/// How its address is known, which decides whether it can be a trusted proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// By the connection, or by a trusted proxy's header of the PROXY protocol.
    Address,
    /// It is on a Unix socket.
    Unix,
    /// A trusted proxy passes its bytes on and does not say whose they are: the address is the proxy's, and what
    /// the bytes say is not the proxy's word.
    Unnamed,
}

impl Peer {
    /// A peer with this address.
    #[must_use]
    pub fn at(ip: IpAddr) -> Self {
        Self { ip: ip.to_canonical(), is_tls: false, kind: Kind::Address }
    }

    /// A peer on a Unix socket.
    #[must_use]
    pub fn unix() -> Self {
        Self { ip: IpAddr::V4(Ipv4Addr::LOCALHOST), is_tls: false, kind: Kind::Unix }
    }

    /// Somebody that this proxy does not name.
    #[must_use]
    pub fn behind(proxy: &Self) -> Self {
        Self { kind: Kind::Unnamed, ..*proxy }
    }

    /// The same, by TLS.
    #[must_use]
    pub fn with_tls(self) -> Self {
        Self { is_tls: true, ..self }
    }

    /// Whether it is a trusted proxy. On a Unix socket the word `unix` decides, not the address.
    #[must_use]
    pub fn is_trusted(&self, trust: &Trust) -> bool {
        match self.kind {
            Kind::Address => trust.trusts(self.ip),
            Kind::Unix => trust.has_unix(),
            Kind::Unnamed => false,
        }
    }

    /// The same, but a network of all addresses names nobody.
    #[must_use]
    pub fn is_named(&self, trust: &Trust) -> bool {
        match self.kind {
            Kind::Address => trust.names(self.ip),
            Kind::Unix | Kind::Unnamed => self.is_trusted(trust),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ClientAddress;

    #[test]
    fn a_unix_socket_is_trusted_by_its_own_word_alone() {
        let trust = |networks: &[&str], has_unix| {
            let networks = networks.iter().map(|network| network.parse().unwrap()).collect();
            Trust::new(networks, has_unix, ClientAddress::default())
        };
        let (loopback, unix) = (trust(&["127.0.0.0/8"], false), trust(&[], true));
        let [tcp, socket] = [Peer::at("::ffff:127.0.0.1".parse().unwrap()), Peer::unix()];
        assert_eq!((tcp.is_trusted(&loopback), socket.is_trusted(&loopback)), (true, false));
        assert_eq!((tcp.is_trusted(&unix), socket.is_trusted(&unix)), (false, true));
        let both = trust(&["127.0.0.0/8"], true);
        assert!(!Peer::behind(&tcp).is_trusted(&both) && !Peer::behind(&socket).is_trusted(&both));
        assert_eq!(Peer::behind(&tcp).ip, tcp.ip);
    }
}
