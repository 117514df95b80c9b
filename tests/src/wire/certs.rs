//! Takes names. Gives certificates for them, in files of a scratch folder.
//! Never outlives a test: every authority is new.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tempfile::TempDir;

use super::Version;

/// A certificate and its key, as files.
#[derive(Debug, Clone)]
pub struct Identity {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// An authority that signs certificates of tests.
pub struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Default for Authority {
    fn default() -> Self {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "an authority of tests");
        let cert = params.self_signed(&key).expect("a certificate");
        std::fs::write(folder.path().join("ca.pem"), cert.pem()).expect("a file");
        Self {
            folder,
            issuer: Issuer::new(params, key),
        }
    }
}

impl Authority {
    /// Its own certificate.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A certificate for these names, which may be URIs, in files called after `file`. One that is there already is replaced.
    ///
    /// # Panics
    /// When a file cannot be written.
    #[must_use]
    pub fn issue(&self, file: &str, names: &[&str]) -> Identity {
        let all = names.iter().map(|name| (*name).to_owned());
        let (uris, names): (Vec<String>, Vec<String>) = all.partition(|name| name.contains("://"));
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(names).expect("names");
        let uris = uris.into_iter().map(|uri| uri.try_into().expect("ASCII"));
        params.subject_alt_names.extend(uris.map(SanType::URI));
        let cert = params.signed_by(&key, &self.issuer).expect("a certificate");
        let identity = Identity {
            cert: self.folder.path().join(format!("{file}.pem")),
            key: self.folder.path().join(format!("{file}.key")),
        };
        replace(&identity.key, &key.serialize_pem());
        replace(&identity.cert, &cert.pem());
        identity
    }

    /// TLS of a client that trusts this authority, and shows `identity` if it has one.
    ///
    /// # Panics
    /// When a file cannot be read.
    #[must_use]
    pub fn client(&self, version: Version, identity: Option<&Identity>) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(self.roots());
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => builder
                .with_client_auth_cert(identity.chain(), identity.private_key())
                .expect("an identity"),
        };
        config.alpn_protocols = vec![alpn(version)];
        config
    }

    /// TLS of a server that speaks this version only.
    ///
    /// # Panics
    /// When a file cannot be read.
    #[must_use]
    pub fn server(&self, version: Version, identity: &Identity) -> ServerConfig {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(identity.chain(), identity.private_key())
            .expect("an identity");
        config.alpn_protocols = vec![alpn(version)];
        config
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        let own = CertificateDer::from_pem_file(self.file()).expect("a certificate");
        roots.add(own).expect("an authority");
        roots
    }
}

impl Identity {
    /// # Panics
    /// When the file is gone.
    #[must_use]
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![CertificateDer::from_pem_file(&self.cert).expect("a certificate")]
    }

    fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_file(&self.key).expect("a key")
    }
}

fn alpn(version: Version) -> Vec<u8> {
    match version {
        Version::One => b"http/1.1".to_vec(),
        Version::Two => b"h2".to_vec(),
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// As a secret of a pod is replaced: never half a file.
fn replace(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    std::fs::write(&beside, text).expect("a file");
    std::fs::rename(beside, path).expect("a rename");
}
