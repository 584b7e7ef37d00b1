//! Configurations of reverse proxies, as `rollcall app config` prints them, docs/guard.md shows them, and the tests run them.

use askama::Template;

use crate::domain::application::Application;
use crate::domain::application::guard::{Guard, Headers};
use crate::domain::application::host::HostPattern;
use crate::domain::guard::identity::{SentTo, names};
use crate::domain::guard::kind::Kind;
use crate::domain::guard::places::Words;

/// The addresses in a configuration, each `host:port`.
#[derive(Clone, Copy, Debug)]
pub struct Addresses<'a> {
    /// Where the proxy listens: `80`, or with an address.
    pub listen: &'a str,
    /// Where the app listens.
    pub app: &'a str,
    /// Where Rollcall listens.
    pub rollcall: &'a str,
}

impl Default for Addresses<'_> {
    fn default() -> Self {
        Self { listen: "80", app: "127.0.0.1:8080", rollcall: "127.0.0.1:9000" }
    }
}

impl Addresses<'_> {
    /// Whether these are addresses and nothing else: they are written into a configuration as they are.
    ///
    /// # Errors
    /// What an address is, as the end of a sentence.
    pub fn check(&self) -> Result<(), &'static str> {
        let is_port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0);
        let is_host = |text: &str| {
            let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
            let name = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
            inner.map_or_else(|| !text.is_empty() && name(text), |inner| inner.parse::<std::net::Ipv6Addr>().is_ok())
        };
        let is_address = |text: &str| text.rsplit_once(':').is_some_and(|(host, port)| is_host(host) && is_port(port));
        if is_address(self.app) && is_address(self.rollcall) && (is_address(self.listen) || is_port(self.listen)) {
            return Ok(());
        }
        Err("an address is a host and a port, such as 127.0.0.1:8080; a proxy may listen on a port alone, such as 80")
    }
}

/// The header with the signed identity, which templates name themselves.
const SIGNED: &str = "X-Rollcall-Jwt";

/// The name of an identity header.
struct Name {
    /// As it is sent.
    text: String,
    /// As nginx writes it in names of variables.
    variable: String,
}

/// What all templates are filled with.
struct Filling<'a> {
    slug: &'a str,
    hosts: Vec<String>,
    names: Vec<Name>,
    own_names: Vec<Name>,
    /// Whether `X-Rollcall-Jwt` is among the names: then it is sent, and else it is only taken off.
    is_signed: bool,
    addresses: Addresses<'a>,
}

macro_rules! template {
    ($name:ident, $path:literal { $($field:ident: $type:ty),* $(,)? }) => {
        #[derive(Template)]
        #[template(path = $path, escape = "none")]
        struct $name<'a> {
            slug: &'a str,
            rollcall: &'a str,
            $($field: $type,)*
        }
    };
}

template!(Nginx, "guard/nginx.conf" { listen: &'a str, app: &'a str, hosts: &'a [String], names: &'a [Name], is_signed: bool, host_variable: &'a str });
template!(Caddy, "guard/caddy.conf" { app: &'a str, hosts: &'a [String], names: &'a [Name], hop: String });
template!(Traefik, "guard/traefik.yml" { listen: &'a str, app: &'a str, own_names: &'a [Name], rule: String });
template!(Envoy, "guard/envoy.yml" {
    listen_address: &'a str,
    listen_port: &'a str,
    app_address: &'a str,
    app_port: &'a str,
    rollcall_address: &'a str,
    rollcall_port: &'a str,
    domains_text: String,
    strip: String,
    upstream: String,
});

/// The configuration of a proxy in front of an application; `None` when it has no guard.
#[must_use]
pub fn of(kind: Kind, application: &Application, addresses: Addresses<'_>) -> Option<String> {
    let guard = application.guard()?;
    let to = SentTo { guard, groups: &application.groups_sent, slug: &application.slug, provider: "", words: Words::Own, keys: "" };
    let name = |text: String| Name { variable: text.to_ascii_lowercase().replace('-', "_"), text };
    let mut own = if matches!(guard.headers, Headers::Own(_)) { names(to) } else { Vec::new() };
    own.retain(|name| name != SIGNED);
    let filling = Filling {
        slug: &application.slug,
        hosts: guard.hosts.iter().map(ToString::to_string).collect(),
        is_signed: names(to).iter().any(|name| name == SIGNED),
        names: names(to).into_iter().map(name).collect(),
        own_names: own.into_iter().map(name).collect(),
        addresses,
    };
    match kind {
        Kind::Nginx => nginx(&filling, guard),
        Kind::Caddy => caddy(&filling),
        Kind::Traefik => traefik(&filling, guard),
        Kind::Envoy => envoy(&filling),
    }
}

fn nginx(filling: &Filling<'_>, guard: &Guard) -> Option<String> {
    // `$host` has no port, and `$http_host` is what the caller wrote.
    let has_port = guard.hosts.iter().any(|host| host.host().as_str().contains(':'));
    let host_variable = if has_port { "$host:$server_port" } else { "$host" };
    // A server name has no port either.
    let hosts: Vec<String> = filling.hosts.iter().map(|host| host.split(':').next().unwrap_or_default().to_owned()).collect();
    let (Addresses { listen, app, rollcall }, is_signed) = (filling.addresses, filling.is_signed);
    Nginx { slug: filling.slug, listen, app, rollcall, hosts: &hosts, names: &filling.names, is_signed, host_variable }
        .render()
        .ok()
}

fn caddy(filling: &Filling<'_>) -> Option<String> {
    let Addresses { listen, app, rollcall } = filling.addresses;
    let hop: Vec<String> = ["remote", "authentik"]
        .map(str::to_owned)
        .into_iter()
        .chain(filling.own_names.iter().map(|name| name.text.to_lowercase()))
        .collect();
    // Caddy takes https unless an address says otherwise.
    let address = |host: &String| {
        let name = host.split(':').next().unwrap_or_default();
        if listen == "80" { host.clone() } else { format!("http://{name}:{}", port_of(listen)) }
    };
    let hosts: Vec<String> = filling.hosts.iter().map(address).collect();
    Caddy { slug: filling.slug, app, rollcall, hosts: &hosts, names: &filling.names, hop: hop.join("|") }.render().ok()
}

fn traefik(filling: &Filling<'_>, guard: &Guard) -> Option<String> {
    let Addresses { listen, app, rollcall } = filling.addresses;
    let listen = if listen.contains(':') { listen.to_owned() } else { format!(":{listen}") };
    let rule = guard.hosts.iter().map(traefik_host).collect::<Vec<_>>().join(" || ");
    Traefik { slug: filling.slug, listen: &listen, app, rollcall, own_names: &filling.own_names, rule }.render().ok()
}

fn traefik_host(host: &HostPattern) -> String {
    let name = host.host().name();
    if host.is_wildcard() { format!("HostRegexp(`^[^.]+\\\\.{}$`)", name.replace('.', "\\\\.")) } else { format!("Host(`{name}`)") }
}

fn envoy<'a>(filling: &Filling<'a>) -> Option<String> {
    let Addresses { listen, app, rollcall } = filling.addresses;
    let (listen_address, listen_port) = listen.rsplit_once(':').unwrap_or(("0.0.0.0", listen));
    // Envoy writes an IPv6 address without brackets where the port is apart.
    let bare = |address: &'a str| address.trim_start_matches('[').trim_end_matches(']');
    let ((app_address, app_port), (rollcall_address, rollcall_port)) = (app.rsplit_once(':')?, rollcall.rsplit_once(':')?);
    let (listen_address, app_address, rollcall_address) = (bare(listen_address), bare(app_address), bare(rollcall_address));
    let own: Vec<String> = filling.own_names.iter().map(|name| name.text.to_lowercase()).collect();
    // An app may read `.` and `_` in a name as `-`.
    let fixed = ["(remote|x[-.]authentik)[-.].*".to_owned(), "x[-.]rollcall[-.]jwt".to_owned()];
    let spellings: Vec<String> = fixed.into_iter().chain(own.iter().map(|name| name.replace('-', "[-.]"))).collect();
    let strip = spellings.join("|");
    let signed = if filling.is_signed { ", {exact: x-rollcall-jwt}" } else { "" };
    let upstream = match own.as_slice() {
        [] => ", {prefix: remote-}, {prefix: x-authentik-}".to_owned(),
        own => own.iter().map(|name| [", {exact: ", name, "}"].concat()).collect::<Vec<_>>().concat(),
    } + signed;
    let domains: Vec<String> = filling.hosts.iter().map(|host| format!("\"{host}\"")).collect();
    let domains_text = domains.join(", ");
    let slug = filling.slug;
    let addresses = Envoy {
        slug,
        rollcall,
        listen_address,
        listen_port,
        app_address,
        app_port,
        rollcall_address,
        rollcall_port,
        domains_text,
        strip,
        upstream,
    };
    addresses.render().ok()
}

fn port_of(listen: &str) -> &str {
    listen.rsplit_once(':').map_or(listen, |(_, port)| port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_is_not_written_into_a_configuration() {
        let check = |listen, app, rollcall| Addresses { listen, app, rollcall }.check().is_ok();
        assert!(check("80", "127.0.0.1:8080", "[::1]:9000"));
        assert!(check("0.0.0.0:443", "wiki-1.internal:80", "rollcall_1:9000"));
        for bad in
            ["", "80;", "0", "65536", "+80", "a:80\nx", "a b:80", "a:", ":80", "a;b:80", "[::1:80", "{x}:80", "ü:80", "a/b:80"]
        {
            assert!(!check("80", bad, "a:1") && !check("80", "a:1", bad) && !check(bad, "a:1", "a:1"), "{bad}");
        }
    }
}
