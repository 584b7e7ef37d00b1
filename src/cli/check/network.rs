//! What `rollcall check` looks at on the way to the server: trusted proxies, the certificate, the public URL.

use std::time::Duration;

use crate::cli::Outcome;
use crate::cli::check::Report;
use crate::config::{Config, Listen, PublicUrl};
use crate::domain::oidc::target::Own;
use crate::domain::{Address, Clock, Network};
use crate::http::tls::Pair;
use crate::outbound::Sender;

/// How long a name may be looked up.
const LOOK_UP_TIME: Duration = Duration::from_secs(10);

/// A trusted proxy says which address a client has. A network of all addresses lets every client
/// choose its own.
pub(super) async fn trusted_proxies(config: &Config, report: &mut Report) -> Outcome {
    /// Networks up to this prefix hold a good part of all addresses.
    const WIDE: (u8, u8) = (7, 19);
    let setting = &config.http.trusted_proxies;
    let networks = ipnet::IpNet::aggregate(&setting.networks);
    let bits = |network: &ipnet::IpNet| match network {
        ipnet::IpNet::V4(network) => (network.prefix_len(), WIDE.0),
        ipnet::IpNet::V6(network) => (network.prefix_len(), WIDE.1),
    };
    // The words are not a list of a user's own.
    let is_word = |network: &ipnet::IpNet| setting.has_private && network.to_string() == "fc00::/7";
    let cure = "Name the addresses of the proxies themselves: a trusted peer decides which address a client has.";
    if let Some(all) = networks.iter().find(|network| network.prefix_len() == 0) {
        report.bad("trusted proxies", &format!("http.trusted_proxies holds {all}, which is everybody"), cure)?;
    } else if let Some(wide) = networks.iter().find(|network| bits(network).0 <= bits(network).1 && !is_word(network)) {
        Report::warn("trusted proxies", &format!("http.trusted_proxies holds {wide}, which is very many"), cure)?;
    }
    if let Some(open) = config.listen.iter().find(|listen| setting.has_private && !listen.is_local()) {
        let detail = format!("http.trusted_proxies has the word private, and others reach {open}");
        Report::warn("trusted proxies", &format!("{detail}: every machine of these networks is believed"), cure)?;
    }
    for name in &setting.names {
        let looked = tokio::time::timeout(LOOK_UP_TIME, tokio::net::lookup_host((name.as_str(), 0))).await;
        if looked.map_or(0, |found| found.map_or(0, Iterator::count)) == 0 {
            let cure = "Until it is found it trusts nobody. A word may be mistyped: there are loopback, private and unix.";
            Report::warn("trusted proxies", &format!("{name} cannot be looked up"), cure)?;
        }
    }
    Ok(())
}

/// The certificate of listeners that speak TLS.
pub(super) fn certificate(config: &Config, report: &mut Report) -> Outcome {
    /// A certificate that ends sooner causes a warning, in days.
    const SOON: i64 = 14;
    let Some((file, key)) = config.tls.files() else { return Ok(()) };
    let renew = "Renew it; a running server reads the files again within a minute.";
    let pair = match Pair::read(&file, &key) {
        Ok(pair) => pair,
        Err(error) => {
            let cure = "tls.certificate takes the certificate and those up to its issuer, tls.key its private key, both in PEM.";
            return report.bad("certificate", &error, cure);
        }
    };
    let shown = file.display();
    let host = config.http.public_url.as_ref().filter(|url| url.is_https()).map(PublicUrl::host);
    if let Some(host) = host.filter(|host| !pair.is_for(host)) {
        let cure = "Name the host in the certificate (subjectAltName), or set http.public_url to a host that it names.";
        report.bad("certificate", &format!("{shown} is not for {host}, the host of http.public_url"), cure)?;
    }
    let left = pair.ends - Clock::System.now().0 / 1_000_000;
    match left / 86400 {
        _ if left <= 0 => report.bad("certificate", &format!("{shown} has ended"), renew),
        days if days < SOON => Report::warn("certificate", &format!("{shown} ends in {days} days"), renew),
        days => Report::good("certificate", &format!("{shown} ends in {days} days")),
    }
}

/// What Rollcall's own requests to apps trust and may reach. A network of all addresses lets the owner of an app reach
/// everything that the server reaches.
pub(super) fn outbound(config: &Config, report: &mut Report) -> Outcome {
    if let Err(why) = Sender::new(&config.outbound, Own::default()) {
        report.bad("requests to apps", &why, "Set outbound.ca to a file of certificates in PEM, or unset it.")?;
    }
    let ends = [("0.0.0.0", "255.255.255.255"), ("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")];
    let holds = |network: &Network, text: &str| Address::parse(text).is_some_and(|address| network.contains(address));
    let is_all = |network: &Network| ends.iter().any(|(first, last)| holds(network, first) && holds(network, last));
    if config.outbound.allow.0.iter().any(is_all) {
        let cure = "Name the networks that apps are in: who sets the back-channel address of an app reaches all of them.";
        Report::warn("requests to apps", "outbound.allow holds all addresses", cure)?;
    }
    Ok(())
}

/// Without a public URL, cookies are not bound to https.
pub(super) fn public_url(config: &Config) -> Outcome {
    let is_open = |listen: &Listen| !listen.is_tls && !listen.is_local();
    if config.http.public_url.is_none() && config.listen.iter().any(is_open) {
        let cure = "Set http.public_url to the https address people use.";
        Report::warn("public URL", "not set, though the server listens for others: cookies are not Secure", cure)?;
    }
    Ok(())
}
