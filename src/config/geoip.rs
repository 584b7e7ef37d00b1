//! `[geoip]`: MaxMind files.

use std::path::PathBuf;

use crate::config::kinds::PATH;
use crate::config::section::section;

section! {
    /// MaxMind files (GeoLite2 or GeoIP2), which tell place and network of an address.
    pub struct GeoIpConfig [geoip] {
        /// A City file: country, city and coordinates.
        ///
        /// Without it they are null. A changed file is read again while the server runs.
        city: Option<PathBuf> = PATH, unset "none", example "/var/lib/GeoIP/GeoLite2-City.mmdb";

        /// An ASN file: the network, and the autonomous system that announces it.
        ///
        /// Without it they are null. A changed file is read again while the server runs.
        asn: Option<PathBuf> = PATH, unset "none", example "/var/lib/GeoIP/GeoLite2-ASN.mmdb";
    }
}
