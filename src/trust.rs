//! TLS as a client: which certificates are trusted. A leaf.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

/// The certificates that the system trusts. Those that cannot be read are left out; there may be none.
#[must_use]
pub fn system() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// TLS 1.2 and 1.3 of a client without a certificate of its own. A server's certificate must lead to one of `roots`.
///
/// # Errors
/// When the cryptography (ring) offers no version of TLS.
pub fn client(roots: RootCertStore) -> Result<Arc<ClientConfig>, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions()?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}
