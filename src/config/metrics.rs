//! `[metrics]`: where Prometheus reads.

use std::net::SocketAddr;

use crate::config::kinds::ADDRESS;
use crate::config::section::section;

section! {
    /// Metrics for Prometheus.
    pub struct MetricsConfig [metrics] {
        /// The address and port at which `/metrics` is served; unset, nothing is counted.
        ///
        /// It asks for no credentials: use an address that only your Prometheus reaches.
        listen: Option<SocketAddr> = ADDRESS, unset "none", example "127.0.0.1:9300";
    }
}
