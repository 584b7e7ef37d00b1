//! `rollcall healthcheck`: asks the server that runs here. It opens no database and writes nothing, so it
//! works in a container with a read-only root, as any user.

mod wire;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;

use crate::cli::Outcome;
use crate::cli::server_file::ServerFile;
use crate::config::{At, Config, Listen};
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

/// Asks the first place that the running server wrote down, else the first of the settings.
///
/// # Errors
/// When nobody answers in time, or with another status than 200 or 204.
pub(super) fn run(config: &Config, args: &HealthcheckArgs) -> Outcome {
    let of_settings = || config.listen.first().cloned().map(|listen| (listen, config.tls.certificate.clone()));
    let found = ServerFile::find(&config.data_dir).and_then(ServerFile::first).or_else(of_settings);
    let (listen, certificate) = found.ok_or("there is no place to ask")?;
    let listen = reachable(&listen);
    let path = if args.live { "/-/health/live/" } else { "/-/health/ready/" };
    let failed = |error: std::io::Error| format!("{listen}: {}", files::plain(&error));
    let status = ask(&listen, certificate.as_deref(), path, args.timeout).map_err(failed)?;
    match status {
        Some(200 | 204) => Ok(()),
        Some(503) => Err(format!("{listen}: the server is not ready").into()),
        Some(other) => Err(format!("{listen}: the answer has the status {other}; is another program listening?").into()),
        None if listen.is_proxied => {
            Err(format!("{listen}: no answer in HTTP; http.trusted_proxies must name the address of this machine, too").into())
        }
        None => Err(format!("{listen}: the answer is not HTTP; is another program listening?").into()),
    }
}

/// A server that listens on all addresses is asked at the loopback address.
fn reachable(listen: &Listen) -> Listen {
    let At::Address(address) = listen.at else { return listen.clone() };
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        other => other,
    };
    listen.moved(At::Address(SocketAddr::new(ip, address.port())))
}

/// The status of the answer; `None` when it is not HTTP.
fn ask(listen: &Listen, certificate: Option<&Path>, path: &str, timeout: Duration) -> std::io::Result<Option<u16>> {
    let late =
        || std::io::Error::new(std::io::ErrorKind::TimedOut, format!("no answer within {}", humantime::format_duration(timeout)));
    let is_late = |kind| matches!(kind, std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut);
    let asked = wire::ask(listen, certificate, path, Instant::now() + timeout);
    let answer = asked.map_err(|error| if is_late(error.kind()) { late() } else { error })?;
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
            ("tls:[::]:9000", "tls:[::1]:9000"),
            ("192.0.2.7:80", "192.0.2.7:80"),
            ("proxy:[2001:db8::1]:80", "proxy:[2001:db8::1]:80"),
            ("unix:/run/x", "unix:/run/x"),
        ] {
            assert_eq!(reachable(&Listen::parse(listening).unwrap()).to_string(), asked);
        }
    }
}
