//! Ports for programs that cannot be told to choose one themselves.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the range from which Linux gives ports to outgoing connections (32768 to 60999 by default): the hundreds of
/// connections of other tests cannot take a port between this answer and the program's own bind.
const FIRST: u16 = 10_000;
const COUNT: u16 = 20_000;

/// A port of loopback that is free for TCP and, as Caddy needs it, UDP. It is given once in this process.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Two runs of the tests on one machine begin at different places.
    let begin = u16::try_from(std::process::id() % 1000).expect("below 1000") * 20;
    (0..COUNT)
        .map(|_| FIRST + (begin + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT)
        .find(|&port| {
            let place = (Ipv4Addr::LOCALHOST, port);
            TcpListener::bind(place).is_ok() && UdpSocket::bind(place).is_ok()
        })
        .expect("a port")
}
