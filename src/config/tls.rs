//! `[tls]`: the certificate of listeners that speak TLS.

use std::path::PathBuf;

use crate::config::kinds::PATH;
use crate::config::section::section;

section! {
    /// The certificate of listeners that speak TLS (`tls:` and `proxy+tls:` in `listen`).
    pub struct TlsConfig [tls] {
        /// The file of the certificate and of those that lead to its issuer, in PEM, the server's own first.
        ///
        /// It is read again on SIGHUP, and within a minute after it changed. While it cannot be used, the last
        /// certificate stays in use.
        certificate: Option<PathBuf> = PATH, unset "none", example "/etc/rollcall/tls/fullchain.pem";

        /// The file of its private key, in PEM, not encrypted.
        key: Option<PathBuf> = PATH, unset "none", example "/etc/rollcall/tls/privkey.pem";
    }
}

impl TlsConfig {
    /// Both files, where both are set.
    #[must_use]
    pub fn files(&self) -> Option<(PathBuf, PathBuf)> {
        self.certificate.clone().zip(self.key.clone())
    }
}
