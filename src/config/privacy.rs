//! `[privacy]`: how long addresses are kept.

use std::time::Duration;

use crate::config::kinds::{BOOL, DURATION};
use crate::config::section::section;

section! {
    /// How long addresses are kept.
    pub struct PrivacyConfig [privacy] {
        /// This long after a session's last use, after its end, or after an event, its address is cut or
        /// cleared; 0: never.
        ///
        /// It is gone from the log of the database, too. The sweep of expired sessions does it, so that
        /// it stops where `sessions.purge_interval` is 0.
        address_retention: Duration = DURATION, default "30d";

        /// Cut an address to its /24 (IPv4) or /48 (IPv6); `false` clears it.
        ///
        /// A cleared address reads 255.255.255.255 in the API, as in authentik when it does not know one.
        address_cut: bool = BOOL, default "true";
    }
}
