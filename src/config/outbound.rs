//! `[outbound]`: requests that Rollcall itself sends to apps.

use std::path::PathBuf;

use crate::config::kinds::PATH;
use crate::config::section::{Kind, section};
use crate::domain::Network;

section! {
    /// Requests that Rollcall sends to apps: it tells them that a session ended (docs/oidc.md).
    pub struct OutboundConfig [outbound] {
        /// Networks that these requests may reach though they are not public, by plain http, too: separated by commas.
        ///
        /// Nothing else inside a private network is reached, whatever address an app has.
        allow: Networks = NETWORKS, default "";

        /// A file of certificates in PEM that are trusted in addition to the system's.
        ca: Option<PathBuf> = PATH, unset "those of the system alone", example "/etc/rollcall/ca.pem";
    }
}

/// Networks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(pub Vec<Network>);

const NETWORKS: Kind<Networks> = Kind::new("networks such as 10.0.0.0/8, separated by commas", |text| {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts.map(Network::parse).collect::<Option<Vec<_>>>().map(Networks)
});
