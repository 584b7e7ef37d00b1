//! The certificate of listeners that speak TLS: read from files, and read again when they change.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::{ServerConfig, client};
use sha2::{Digest, Sha256};
use x509_cert::der::Decode;

use crate::files;

/// A certificate with its key, ready to be used.
pub struct Pair {
    /// What a handshake needs.
    pub config: Arc<ServerConfig>,
    /// The server's own certificate.
    pub leaf: CertificateDer<'static>,
    /// When it ends, in seconds since 1970.
    pub ends: i64,
    digest: [u8; 32],
}

impl Pair {
    /// Reads both files.
    ///
    /// # Errors
    /// When one cannot be read, or the key is not the certificate's. The message names setting and file, and shows
    /// nothing of the content.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, String> {
        Self::of(&Contents::read(certificate, key)?)
    }

    fn of(contents: &Contents) -> Result<Self, String> {
        let Contents { certificate: (path, chain), key: (key_path, key), digest } = contents;
        let wrong = |why: &dyn std::fmt::Display| format!("tls.certificate: {}: {why}", path.display());
        let certificates: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(chain).collect::<Result<_, _>>().map_err(|error| wrong(&error))?;
        let leaf = certificates.first().cloned().ok_or_else(|| wrong(&"it holds no certificate in PEM"))?;
        let parsed = x509_cert::Certificate::from_der(&leaf).map_err(|error| wrong(&error))?;
        let ends = parsed.tbs_certificate.validity.not_after.to_unix_duration().as_secs();
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|_| format!("tls.key: {}: it holds no private key in PEM that is not encrypted", key_path.display()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| wrong(&error))?.with_no_client_auth();
        let mut config = builder.with_single_cert(certificates, key).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                format!("tls.key: {} is not the key of the certificate in {}", key_path.display(), path.display())
            }
            other => wrong(&other),
        })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), leaf, ends: i64::try_from(ends).unwrap_or(i64::MAX), digest: *digest })
    }

    /// Whether the certificate is for a host: a name, or an address, in brackets or not.
    #[must_use]
    pub fn is_for(&self, host: &str) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let Ok(parsed) = ParsedCertificate::try_from(&self.leaf) else { return false };
        ServerName::try_from(host).is_ok_and(|name| client::verify_server_name(&parsed, &name).is_ok())
    }
}

/// Both files as they were read.
struct Contents {
    certificate: (PathBuf, Vec<u8>),
    key: (PathBuf, Vec<u8>),
    digest: [u8; 32],
}

impl Contents {
    fn read(certificate: &Path, key: &Path) -> Result<Self, String> {
        let read = |setting: &str, path: &Path| {
            let failed = |error| format!("{setting}: {}: {}", path.display(), files::plain(&error));
            files::read(path, files::LARGEST_TEXT).map_err(failed)
        };
        let (chain, secret) = (read("tls.certificate", certificate)?, read("tls.key", key)?);
        let mut digest = Sha256::new();
        digest.update(chain.len().to_be_bytes());
        digest.update(&chain);
        digest.update(&secret);
        Ok(Self { certificate: (certificate.to_owned(), chain), key: (key.to_owned(), secret), digest: digest.finalize().into() })
    }
}

/// The certificate that is used now.
pub struct Certificates {
    files: Mutex<(PathBuf, PathBuf)>,
    now: ArcSwap<Pair>,
    /// Why the files that are there now are not used.
    fault: Mutex<Option<String>>,
}

impl Certificates {
    /// Reads the files.
    ///
    /// # Errors
    /// As for [`Pair::read`].
    pub fn load(certificate: PathBuf, key: PathBuf) -> Result<Self, String> {
        let pair = Pair::read(&certificate, &key)?;
        Ok(Self { files: Mutex::new((certificate, key)), now: ArcSwap::from_pointee(pair), fault: Mutex::default() })
    }

    /// The certificate for the next handshake.
    #[must_use]
    pub fn now(&self) -> Arc<Pair> {
        self.now.load_full()
    }

    /// The file of the certificate.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// Uses another pair, read from these files.
    pub fn use_pair(&self, certificate: PathBuf, key: PathBuf, pair: Pair) {
        *self.files.lock().unwrap_or_else(PoisonError::into_inner) = (certificate, key);
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.now.store(Arc::new(pair));
    }

    /// Reads the files again, and uses what they hold if that has changed. A pair that cannot be used is logged once,
    /// and the last one stays. It reads files: not for threads that serve.
    pub fn look(&self) {
        let (certificate, key) = self.files.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let read = Contents::read(&certificate, &key);
        let pair = match &read {
            Ok(contents) if contents.digest == self.now.load().digest => Ok(None),
            Ok(contents) => Pair::of(contents).map(Some),
            Err(error) => Err(error.clone()),
        };
        let mut fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        match pair {
            Ok(pair) => {
                *fault = None;
                if let Some(pair) = pair {
                    tracing::info!(file = %certificate.display(), "the certificate was read again");
                    self.now.store(Arc::new(pair));
                }
            }
            Err(error) => {
                if fault.as_ref() != Some(&error) {
                    tracing::error!(error, "the new certificate cannot be used; the last one stays");
                    *fault = Some(error);
                }
            }
        }
    }
}
