//! How PostgreSQL is reached: what its URL says, TLS, and what a database must be like to be used.

use std::path::Path;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::store::StoreError;
use crate::trust;

/// The parameters of a URL that tokio-postgres reads.
const KNOWN: [&str; 18] = [
    "application_name",
    "channel_binding",
    "connect_timeout",
    "dbname",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "load_balance_hosts",
    "options",
    "password",
    "port",
    "sslnegotiation",
    "target_session_attrs",
    "tcp_user_timeout",
    "user",
];

/// Where PostgreSQL is, and how it proves that it is the right one.
pub(super) struct Target {
    pub config: tokio_postgres::Config,
    pub tls: MakeRustlsConnect,
}

/// Reads a URL: libpq's form, with its `sslmode` and `sslrootcert`.
///
/// # Errors
/// [`StoreError::Unusable`], with the parameter that is wrong. The message shows no value: one may
/// be a password.
pub(super) fn target(url: &str, root_certificate: Option<&Path>) -> Result<Target, StoreError> {
    let (mut mode, mut root) = ("prefer".to_owned(), None);
    // A password may hold a question mark; the query begins behind it.
    let start = url.find('@').unwrap_or(0);
    let query = url.get(start..).and_then(|rest| rest.find('?')).map_or(url.len(), |at| start + at);
    let (base, query) = url.split_at(query);
    let mut kept = Vec::new();
    for pair in query.trim_start_matches('?').split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = percent_decode_str(value).decode_utf8().map_err(|_| wrong(&format!("the value of {key} is not UTF-8")))?;
        match key {
            "sslmode" => mode = value.into_owned(),
            "sslrootcert" if root_certificate.is_some() => {
                return Err(wrong("it has sslrootcert, and database.root_certificate is set, too; unset one"));
            }
            "sslrootcert" => root = Some(value.into_owned()),
            _ if KNOWN.contains(&key) => kept.push(pair),
            _ => return Err(wrong(&format!("there is no parameter {key}; there are sslmode, sslrootcert, {}", KNOWN.join(", ")))),
        }
    }
    let url = if kept.is_empty() { base.to_owned() } else { format!("{base}?{}", kept.join("&")) };
    let mut config: tokio_postgres::Config = url.parse().map_err(|error| wrong(&super::postgres::full(&error)))?;
    config.ssl_mode(match mode.as_str() {
        "disable" => SslMode::Disable,
        "allow" | "prefer" => SslMode::Prefer,
        "require" | "verify-ca" | "verify-full" => SslMode::Require,
        _ => return Err(wrong("sslmode is not disable, allow, prefer, require, verify-ca or verify-full")),
    });
    let (named, root) = match root_certificate {
        Some(path) => ("database.root_certificate", Some(path)),
        // As libpq names the system's certificates.
        None => ("sslrootcert", root.as_deref().filter(|root| *root != "system").map(Path::new)),
    };
    Ok(Target { config, tls: tls((named, root), mode == "verify-ca")? })
}

fn wrong(why: &str) -> StoreError {
    StoreError::Unusable(format!("the database URL cannot be read: {why}"))
}

/// TLS by rustls. The server's certificate must lead to one of `root`, a PEM file with the name of what set it, or of
/// the system's; and it must be for the server's name, unless `is_any_name`.
fn tls((named, root): (&str, Option<&Path>), is_any_name: bool) -> Result<MakeRustlsConnect, StoreError> {
    let failed = |error: &dyn std::fmt::Display| match named {
        "sslrootcert" => wrong(&format!("{named}: {error}")),
        _ => StoreError::Unusable(format!("{named}: {error}")),
    };
    let roots = match root {
        None => trust::system(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_file_iter(path).map_err(|error| failed(&error))? {
                roots.add(certificate.map_err(|error| failed(&error))?).map_err(|error| failed(&error))?;
            }
            if roots.is_empty() {
                return Err(failed(&format!("{} holds no certificate", path.display())));
            }
            roots
        }
    };
    let unusable = |error: &dyn std::fmt::Display| StoreError::Unusable(format!("TLS cannot be used: {error}"));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| unusable(&error))?;
    let config = if is_any_name {
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let verifier = Arc::new(AnyName(inner.map_err(|error| failed(&error))?));
        builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
    } else {
        builder.with_root_certificates(roots).with_no_client_auth()
    };
    Ok(MakeRustlsConnect::new(config))
}

/// libpq's `verify-ca`: the signer of the certificate is checked, its name is not.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // The name is checked last, so everything else was valid.
        match self.0.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Checks the properties that a database must have, with connections that are open at the same
/// time.
///
/// # Errors
/// [`StoreError::Unusable`] when it stores text in another encoding than UTF-8, or when a pooler lends its
/// connections for a transaction at a time.
pub(super) async fn check(connections: [&tokio_postgres::Client; 3]) -> Result<(), StoreError> {
    let [first, ..] = connections;
    let encoding = ask(first, "SHOW server_encoding").await?;
    if encoding != "UTF8" {
        return Err(StoreError::Unusable(format!(
            "the database stores text as {encoding}, and Rollcall needs UTF8: make one by createdb --encoding=UTF8 --template=template0"
        )));
    }
    // Each connection has a process of its own, unless a pooler hands the same one to all of them.
    let mut processes = Vec::new();
    for connection in connections {
        processes.push(ask(connection, "SELECT pg_backend_pid()").await?);
    }
    processes.sort_unstable();
    processes.dedup();
    if processes.len() < connections.len() {
        return Err(StoreError::Unusable(
            "the database is behind a pooler that lends a connection for a transaction at a time, such as PgBouncer with \
             pool_mode = transaction, and Rollcall needs connections of its own: set pool_mode = session for it, or name \
             PostgreSQL itself in database.url"
                .into(),
        ));
    }
    Ok(())
}

/// The only value of an answer, as text. No statement is prepared: poolers lose prepared
/// statements.
pub(super) async fn ask(client: &tokio_postgres::Client, sql: &str) -> Result<String, StoreError> {
    for message in client.simple_query(sql).await? {
        if let SimpleQueryMessage::Row(row) = message {
            return Ok(row.get(0).unwrap_or_default().to_owned());
        }
    }
    Err(StoreError::Failed(format!("{sql} has no answer")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_as_libpq_reads_them() {
        for (url, mode) in [
            ("postgres://u:p@h/d", SslMode::Prefer),
            ("postgres://u:p@h/d?sslmode=disable", SslMode::Disable),
            ("postgres://u:p@h/d?sslmode=allow", SslMode::Prefer),
            ("postgres://u:p@h/d?sslmode=prefer", SslMode::Prefer),
            ("postgres://u:p@h/d?sslmode=require", SslMode::Require),
            ("postgres://u:p@h/d?sslmode=verify-ca", SslMode::Require),
            ("postgres://u:p@h/d?sslmode=verify-full", SslMode::Require),
            ("postgres://u:p@h/d?connect_timeout=3&sslmode=verify%2dfull&application_name=x", SslMode::Require),
            ("postgresql://h/d?sslrootcert=system&sslmode=verify-full", SslMode::Require),
            ("postgres://u:pass?word@h/d?sslmode=disable", SslMode::Disable),
            ("postgres:///d?host=/run/postgresql&options=-csearch_path%3Dx", SslMode::Prefer),
        ] {
            let target = target(url, None).unwrap_or_else(|error| panic!("{url}: {error}"));
            assert_eq!(target.config.get_ssl_mode(), mode, "{url}");
            assert_eq!(target.config.get_dbname(), Some("d"), "{url}");
        }
        let target = target("postgres://u:pass?word@h/d?options=-c%20a%3D1", None).unwrap();
        assert_eq!(target.config.get_password(), Some(b"pass?word".as_slice()));
        assert_eq!(target.config.get_options(), Some("-c a=1"));
    }

    #[test]
    fn what_is_wrong_with_a_url_is_named() {
        for (url, word) in [
            ("postgres://u:hunter2@h/d?sslmdoe=require", "sslmdoe"),
            ("postgres://u:hunter2@h/d?sslcert=x", "sslcert"),
            ("postgres://u:hunter2@h/d?a", "parameter a;"),
            ("postgres://u:hunter2@h/d?SSLMODE=require", "SSLMODE"),
            ("postgres://u:hunter2@h/d?sslmode=verify_full", "sslmode"),
            ("postgres://u:hunter2@h/d?sslmode=", "sslmode"),
            ("postgres://u:hunter2@h/d?sslrootcert=/no/such/file", "sslrootcert"),
            ("postgres://u:hunter2@h/d?port=none", "port"),
        ] {
            let error = target(url, None).map(drop).unwrap_err().to_string();
            assert!(error.contains(word) && !error.contains("hunter2"), "{url}: {error}");
        }
        let missing = Some(Path::new("/no/such/file"));
        let of = |url| target(url, missing).map(drop).unwrap_err().to_string();
        assert!(of("postgres://h/d").starts_with("database.root_certificate: "), "{}", of("postgres://h/d"));
        assert!(of("postgres://h/d?sslrootcert=system").contains("unset one"));
    }
}
