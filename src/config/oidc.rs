//! `[oidc]`: OpenID Connect.

use std::time::Duration;

use crate::config::kinds::{DURATION, DURATION_ABOVE_ZERO, is_host_name};
use crate::config::section::{Kind, section};

section! {
    /// OpenID Connect: apps that sign their users in through Rollcall (docs/oidc.md).
    pub struct OidcConfig [oidc] {
        /// How long a refresh token that was used gives the same successor again, for an app whose answer was lost.
        ///
        /// Later, a second use ends the app session: the token is in two hands.
        refresh_grace: Duration = DURATION, default "30s";

        /// How long it is tried to tell an app that a session ended.
        logout_retry_for: Duration = DURATION_ABOVE_ZERO, default "24h";

        /// Hosts other than this machine whose redirect addresses may be plain http: names, separated by commas.
        plain_hosts: PlainHosts = HOSTS, default "";
    }
}

/// Names of hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlainHosts(pub Vec<String>);

const HOSTS: Kind<PlainHosts> = Kind::new("names of hosts, separated by commas", |text| {
    let names: Vec<String> = text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let is_name = |name: &String| name.parse::<std::net::IpAddr>().is_ok() || is_host_name(name);
    names.iter().all(is_name).then_some(PlainHosts(names))
});
