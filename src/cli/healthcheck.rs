//! `rollcall healthcheck`: asks the server that runs here. It opens no database and writes nothing, so it
//! works in a container with a read-only root, as any user.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use clap::Args;

use crate::cli::Outcome;
use crate::cli::server_file::ServerFile;
use crate::config::Config;
use crate::files;

/// How the server is asked.
#[derive(Args)]
pub(super) struct HealthcheckArgs {
    /// Ask whether the server runs, not whether the database answers, too
    #[arg(long)]
    live: bool,
    /// How long the answer may take
    #[arg(long, value_parser = humantime::parse_duration, value_name = "DURATION", default_value = "3s")]
    timeout: Duration,
}

/// The most of an answer that is read: its first line is enough.
const LONGEST: usize = 1024;

/// Asks the address that the running server wrote down, else the one of the settings.
///
/// # Errors
/// When nobody answers in time, or with another status than 200 or 204.
pub(super) fn run(config: &Config, args: &HealthcheckArgs) -> Outcome {
    let listening = ServerFile::find(&config.data_dir).and_then(|file| file.address()).unwrap_or(config.listen);
    let address = reachable(listening);
    let path = if args.live { "/-/health/live/" } else { "/-/health/ready/" };
    let failed = |error: std::io::Error| format!("{address}: {}", files::plain(&error));
    let status = ask(address, path, args.timeout).map_err(failed)?;
    match status {
        Some(200 | 204) => Ok(()),
        Some(503) => Err(format!("{address}: the server is not ready").into()),
        Some(other) => Err(format!("{address}: the answer has the status {other}; is another program listening?").into()),
        None => Err(format!("{address}: the answer is not HTTP; is another program listening?").into()),
    }
}

/// A server that listens on all addresses is asked at the loopback address.
fn reachable(listening: SocketAddr) -> SocketAddr {
    let ip = match listening.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        other => other,
    };
    SocketAddr::new(ip, listening.port())
}

/// The status of the answer; `None` when it is not HTTP.
fn ask(address: SocketAddr, path: &str, timeout: Duration) -> std::io::Result<Option<u16>> {
    let late =
        || std::io::Error::new(std::io::ErrorKind::TimedOut, format!("no answer within {}", humantime::format_duration(timeout)));
    let deadline = Instant::now() + timeout;
    let left = || Some(deadline.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero()).ok_or_else(late);
    let is_late = |kind| matches!(kind, std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut);
    let named = |error: std::io::Error| if is_late(error.kind()) { late() } else { error };
    let mut stream = TcpStream::connect_timeout(&address, left()?).map_err(named)?;
    stream.set_write_timeout(Some(left()?))?;
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: rollcall-healthcheck\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(named)?;
    let mut answer = Vec::new();
    while !answer.contains(&b'\n') && answer.len() < LONGEST {
        stream.set_read_timeout(Some(left()?))?;
        let mut part = [0; LONGEST];
        let length = stream.read(&mut part).map_err(named)?;
        if length == 0 {
            break;
        }
        answer.extend(part.iter().take(length));
    }
    let answer = String::from_utf8_lossy(&answer);
    let mut words = answer.split_ascii_whitespace();
    let is_http = words.next().is_some_and(|version| version.starts_with("HTTP/1."));
    Ok(words.next().filter(|_| is_http).and_then(|status| status.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_of_all_addresses_is_asked_at_loopback() {
        for (listening, asked) in [
            ("0.0.0.0:9000", "127.0.0.1:9000"),
            ("[::]:9000", "[::1]:9000"),
            ("192.0.2.7:80", "192.0.2.7:80"),
            ("[2001:db8::1]:80", "[2001:db8::1]:80"),
        ] {
            assert_eq!(reachable(listening.parse().unwrap()), asked.parse().unwrap());
        }
    }
}
