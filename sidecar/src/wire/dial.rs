//! Takes an endpoint. Gives a stream to it, and which HTTP it speaks.
//! Never waits longer than the time it is given, and never tries a second server.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};

use super::address::Endpoint;
use super::stream::{Socket, Stream};
use super::tls::{self, Offer};

/// Which HTTP an upstream is spoken to with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HttpChoice {
    One,
    /// Without TLS by prior knowledge.
    Two,
    /// What the TLS handshake says; without TLS: HTTP/1.1.
    #[default]
    Auto,
}

/// What may be agreed on for one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alpn {
    Any,
    /// The request is one that only HTTP/1.1 can carry.
    OnlyOne,
}

/// How to reach one server.
#[derive(Debug, Clone)]
pub struct Dialer {
    pub endpoint: Endpoint,
    pub tls: Option<Arc<tls::Client>>,
    pub http: HttpChoice,
    pub timeout: Duration,
}

/// A connection to a server.
#[derive(Debug)]
pub struct Dialed {
    pub stream: Stream,
    /// It speaks HTTP/2.
    pub two: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum DialError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("did not take the connection within {0:?}")]
    Timeout(Duration),
}

impl Dialer {
    /// # Errors
    /// When the server does not answer, in time or at all, or is not who it should be.
    pub async fn dial(&self, alpn: Alpn) -> Result<Dialed, DialError> {
        match tokio::time::timeout(self.timeout, self.connect(alpn)).await {
            Ok(dialed) => Ok(dialed?),
            Err(_) => Err(DialError::Timeout(self.timeout)),
        }
    }

    async fn connect(&self, alpn: Alpn) -> io::Result<Dialed> {
        let socket = match &self.endpoint {
            Endpoint::Tcp { host, port } => {
                Socket::tcp(TcpStream::connect((host.as_str(), *port)).await?)?
            }
            Endpoint::Unix(path) => Socket::Unix(UnixStream::connect(path).await?),
        };
        let Some(tls) = &self.tls else {
            return Ok(Dialed {
                stream: Stream::Plain(socket),
                two: self.http == HttpChoice::Two && alpn == Alpn::Any,
            });
        };
        let offer = match (alpn, self.http) {
            (Alpn::OnlyOne, _) | (_, HttpChoice::One) => Offer::One,
            (_, HttpChoice::Two) => Offer::Two,
            (_, HttpChoice::Auto) => Offer::Both,
        };
        let stream = tls.connect(socket, offer).await?;
        let two = match offer {
            Offer::One => false,
            // A server that does not know ALPN gets what was asked for.
            Offer::Two => true,
            Offer::Both => stream.alpn() == Some(tls::H2),
        };
        Ok(Dialed { stream, two })
    }
}
