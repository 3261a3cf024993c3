//! Certificates and the TLS settings that all shards share.
//!
//! TLS 1.2 and 1.3 by aws-lc-rs, X25519 or P-256, stateless tickets: no shard remembers a TLS session for another, and an idle
//! connection costs no cache. The record layer of one connection is `connection`'s.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;

/// Why a certificate cannot be used, and what to do about it.
#[derive(Debug)]
pub enum Unusable {
    /// A file cannot be read as PEM.
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Certificate and key do not belong together.
    KeyDoesNotMatch {
        /// The file of the certificate.
        cert: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
    /// The pair is not one that this server can serve with.
    Refused {
        /// The file of the certificate.
        cert: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unusable::File { path, why } => write!(f, "{}: {why}", path.display()),
            Unusable::KeyDoesNotMatch { cert, key } => write!(
                f,
                "{} is not the key of {}: name the key that the certificate was made for (the server's own certificate must come first in its file)",
                key.display(),
                cert.display()
            ),
            Unusable::Refused { cert, why } => write!(
                f,
                "{}: cannot serve with this certificate: {why}",
                cert.display()
            ),
        }
    }
}

impl std::error::Error for Unusable {}

/// Makes a self-signed P-256 certificate for `names` (domains and IP addresses) and its key, both as PEM.
/// `localhost`, `127.0.0.1` and `::1` are always among the names.
pub fn generate(names: &[String]) -> Result<(String, String), rcgen::Error> {
    let mut all: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(String::from).into();
    for name in names {
        // An IPv6 reference is written with brackets in SIP, and without in a certificate.
        let name = name.trim_start_matches('[').trim_end_matches(']');
        let name = name
            .parse::<IpAddr>()
            .map_or_else(|_| name.to_ascii_lowercase(), |address| address.to_string());
        if !all.contains(&name) {
            all.push(name);
        }
    }
    let common_name = all.get(3).unwrap_or(&all[0]).clone();
    let mut params = CertificateParams::new(all)?;
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    // Not an authority: who trusts this certificate trusts nothing else by it.
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    let key = KeyPair::generate()?;
    let cert = params.self_signed(&key)?;
    Ok((cert.pem(), key.serialize_pem()))
}

/// Reads a PEM chain (the server's own certificate first) and its private key, and makes the settings of all connections
/// accepted from now on.
pub fn load(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, Unusable> {
    let file = |path: &Path, why: String| Unusable::File {
        path: path.to_owned(),
        why,
    };
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| {
            file(
                cert,
                unreadable(error, "a PEM certificate (-----BEGIN CERTIFICATE-----)"),
            )
        })?;
    if chain.is_empty() {
        return Err(file(
            cert,
            "holds no certificate: expected a PEM file with -----BEGIN CERTIFICATE-----".into(),
        ));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| {
        file(
            key,
            unreadable(
                error,
                "an unencrypted PEM private key (-----BEGIN PRIVATE KEY-----)",
            ),
        )
    })?;
    if let Err(error) = aws_lc_rs::sign::any_supported_type(&private) {
        let why =
            format!("no key to serve with ({error}): ECDSA, Ed25519, or RSA of 2048 bits or more");
        return Err(file(key, why));
    }
    settings(chain, private).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => Unusable::KeyDoesNotMatch {
            cert: cert.to_owned(),
            key: key.to_owned(),
        },
        other => Unusable::Refused {
            cert: cert.to_owned(),
            why: other.to_string(),
        },
    })
}

fn unreadable(error: rustls::pki_types::pem::Error, expected: &str) -> String {
    match error {
        rustls::pki_types::pem::Error::Io(error) => {
            format!("cannot be read ({error}): check that it exists and who may read it")
        }
        _ => format!("expected {expected}, whole and nothing else"),
    }
}

fn settings(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let provider = CryptoProvider {
        // The post-quantum hybrid that the library would put first makes each handshake bigger and slower.
        kx_groups: vec![aws_lc_rs::kx_group::X25519, aws_lc_rs::kx_group::SECP256R1],
        ..aws_lc_rs::default_provider()
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    config.send_tls13_tickets = 1;
    // A message must not be taken twice: no 0-RTT data.
    config.max_early_data_size = 0;
    // The record layer takes the keys over after the handshake (`record`); they go nowhere else.
    config.enable_secret_extraction = true;
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    fn written(folder: &TempDir, name: &str, text: &str) -> PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("the temporary directory takes a file");
        path
    }

    #[test]
    fn what_is_generated_can_be_served() {
        let folder = tempfile::tempdir().expect("a folder");
        let (cert, key) = generate(&["Example.com".into(), "[::1]".into(), "192.0.2.7".into()])
            .expect("generated");
        let (cert, key) = (
            written(&folder, "good.pem", &cert),
            written(&folder, "good.key", &key),
        );
        let config = load(&cert, &key).expect("a usable pair");
        assert_eq!(
            (config.send_tls13_tickets, config.max_early_data_size),
            (1, 0)
        );
        assert!(config.ticketer.enabled());
    }

    #[test]
    fn errors_name_the_file_and_the_cure() {
        let folder = tempfile::tempdir().expect("a folder");
        let (cert, key) = generate(&[]).expect("generated");
        let (_, other_key) = generate(&[]).expect("generated");
        let (cert_path, key_path) = (
            written(&folder, "a.pem", &cert),
            written(&folder, "a.key", &key),
        );
        let cases = [
            (
                cert_path.clone(),
                written(&folder, "b.key", &other_key),
                "is not the key of",
            ),
            (
                written(&folder, "empty.pem", ""),
                key_path.clone(),
                "holds no certificate",
            ),
            (
                written(&folder, "swapped.pem", &key),
                key_path.clone(),
                "holds no certificate",
            ),
            (cert_path.clone(), cert_path.clone(), "BEGIN PRIVATE KEY"),
            (
                cert_path.clone(),
                PathBuf::from("/nonexistent/key"),
                "check that it exists",
            ),
            (
                PathBuf::from("/nonexistent/cert"),
                key_path.clone(),
                "check that it exists",
            ),
        ];
        for (cert, key, expected) in cases {
            let error = load(&cert, &key).expect_err("unusable").to_string();
            assert!(
                error.contains(expected),
                "{error:?} does not say {expected:?}"
            );
        }
    }
}
