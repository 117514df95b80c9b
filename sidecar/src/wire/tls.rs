//! Takes files of certificates and keys. Gives TLS towards clients and towards servers, and follows the files as they change.
//! Never drops a connection for a new certificate, and never falls back to none: files that cannot be used change nothing.

mod files;
mod reloading;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::stream::{Socket, Stream};
use files::{Identity, authorities, system_authorities};
use reloading::Reloading;

/// HTTP/2 as ALPN names it.
pub const H2: &[u8] = b"h2";
const HTTP_1_1: &[u8] = b"http/1.1";

/// What a listener needs for TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
    /// With it, clients must show a certificate that one of these authorities signed.
    pub client_ca: Option<PathBuf>,
}

/// What a dialler needs for TLS.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientFiles {
    /// Without it: the authorities of the system.
    pub ca: Option<PathBuf>,
    /// Certificate and key that we show.
    pub identity: Option<(PathBuf, PathBuf)>,
}

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: {problem}", path.display())]
    Pem { path: PathBuf, problem: String },
    #[error("no certificate authority of the system can be used: {0}")]
    NoSystemAuthorities(String),
    #[error("{} and {}: {source}", cert.display(), key.display())]
    Identity {
        cert: PathBuf,
        key: PathBuf,
        source: rustls::Error,
    },
    #[error("{0:?} is no name of a server")]
    Name(String),
    #[error(transparent)]
    Setup(#[from] rustls::Error),
}

/// TLS of one listener.
#[derive(Debug)]
pub struct Server(Reloading<ServerConfig>);

/// TLS of one upstream.
#[derive(Debug)]
pub struct Client {
    configs: Reloading<Offers>,
    name: ServerName<'static>,
}

/// The same configuration with each list of protocols that may be offered.
#[derive(Debug)]
struct Offers {
    one: Arc<ClientConfig>,
    two: Arc<ClientConfig>,
    both: Arc<ClientConfig>,
}

/// What a dialler offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    One,
    Two,
    Both,
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

impl Server {
    /// # Errors
    /// When a file cannot be read, or certificate and key do not belong together.
    pub fn new(files: ServerFiles) -> Result<Self, TlsError> {
        let watched = [
            Some(&files.cert),
            Some(&files.key),
            files.client_ca.as_ref(),
        ];
        let watched = watched.into_iter().flatten().cloned().collect();
        Reloading::new(watched, Box::new(move || server_config(&files))).map(Self)
    }

    /// Reads the files again; what is open stays as it is.
    ///
    /// # Errors
    /// When they cannot be used; the old ones stay.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.0.reload()
    }

    /// Shakes hands with a client.
    ///
    /// # Errors
    /// When the client does not speak TLS, or shows no certificate where it must.
    pub async fn accept(&self, socket: Socket) -> io::Result<Stream> {
        let acceptor = TlsAcceptor::from(self.0.current());
        let stream = acceptor.accept(socket).await?;
        Ok(Stream::Tls(Box::new(TlsStream::Server(stream))))
    }
}

impl Client {
    /// # Errors
    /// When a file cannot be read, certificate and key do not belong together, or the name is none.
    pub fn new(files: ClientFiles, name: &str) -> Result<Self, TlsError> {
        let mut watched: Vec<PathBuf> = files.ca.iter().cloned().collect();
        if let Some((cert, key)) = &files.identity {
            watched.extend([cert.clone(), key.clone()]);
        }
        let name =
            ServerName::try_from(name.to_owned()).map_err(|_| TlsError::Name(name.into()))?;
        let configs = Reloading::new(watched, Box::new(move || offers(&files)))?;
        Ok(Self { configs, name })
    }

    /// Reads the files again; what is open stays as it is.
    ///
    /// # Errors
    /// When they cannot be used; the old ones stay.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.configs.reload()
    }

    /// Shakes hands with a server.
    ///
    /// # Errors
    /// When the server does not speak TLS, or is not who it should be.
    pub async fn connect(&self, socket: Socket, offer: Offer) -> io::Result<Stream> {
        let configs = self.configs.current();
        let config = match offer {
            Offer::One => &configs.one,
            Offer::Two => &configs.two,
            Offer::Both => &configs.both,
        };
        let connector = TlsConnector::from(Arc::clone(config));
        let stream = connector.connect(self.name.clone(), socket).await?;
        Ok(Stream::Tls(Box::new(TlsStream::Client(stream))))
    }
}

fn server_config(files: &ServerFiles) -> Result<ServerConfig, TlsError> {
    let builder =
        ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let roots = Arc::new(authorities(path)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
            let verifier = verifier.map_err(|error| TlsError::Pem {
                path: path.clone(),
                problem: error.to_string(),
            })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let identity = Identity::read(&files.cert, &files.key)?;
    let mut config = builder
        .with_single_cert(identity.chain, identity.key)
        .map_err(|source| mismatch(&files.cert, &files.key, source))?;
    config.alpn_protocols = vec![H2.to_vec(), HTTP_1_1.to_vec()];
    Ok(config)
}

fn offers(files: &ClientFiles) -> Result<Offers, TlsError> {
    let roots: RootCertStore = match &files.ca {
        Some(path) => authorities(path)?,
        None => system_authorities()?,
    };
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build();
    let verifier = verifier.map_err(|error| TlsError::NoSystemAuthorities(error.to_string()))?;
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_webpki_verifier(verifier);
    let config = match &files.identity {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let identity = Identity::read(cert, key)?;
            builder
                .with_client_auth_cert(identity.chain, identity.key)
                .map_err(|source| mismatch(cert, key, source))?
        }
    };
    let offering = |protocols: &[&[u8]]| {
        let mut config = config.clone();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    };
    Ok(Offers {
        one: offering(&[HTTP_1_1]),
        two: offering(&[H2]),
        both: offering(&[H2, HTTP_1_1]),
    })
}

fn mismatch(cert: &std::path::Path, key: &std::path::Path, source: rustls::Error) -> TlsError {
    TlsError::Identity {
        cert: cert.to_owned(),
        key: key.to_owned(),
        source,
    }
}
