//! Takes a request for the server. Gives its answer, over one connection kept for one client connection.
//! Never sends a request twice: only one that was not written at all goes out on a new connection.

use std::time::Duration;

use http::uri::PathAndQuery;
use http::{Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::{Mutex, oneshot};
use tracing::debug;

use super::body::RequestBody;
use super::gate::{Gate, Watch};
use crate::record::Outcome;

/// The server behind a hop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    pub host: String,
    pub port: u16,
    /// What stands before the client's path; empty or `/...` without a slash at its end.
    pub prefix: String,
    pub connect_timeout: Duration,
}

impl Upstream {
    /// `host:port`, as it stands in a `Host` header.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Where the server has what the client asks for.
    pub(super) fn place(&self, uri: &Uri) -> Uri {
        let path = uri.path_and_query().cloned();
        let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
        if self.prefix.is_empty() {
            return path.into();
        }
        // `*` and the like have no place below a path.
        let below = format!("{}{path}", self.prefix);
        below.parse().unwrap_or_else(|_| path.into())
    }
}

/// Why there is no answer from the server.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("cannot reach the server at {authority}: {source}")]
    Connect {
        authority: String,
        source: std::io::Error,
    },
    #[error("the server at {authority} did not take the connection within {limit:?}")]
    ConnectTimeout { authority: String, limit: Duration },
    #[error("the server at {authority} went away without an answer: {source}")]
    Gone {
        authority: String,
        source: hyper::Error,
    },
}

impl Failure {
    /// What the client is told.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Connect { .. } | Self::Gone { .. } => StatusCode::BAD_GATEWAY,
            Self::ConnectTimeout { .. } => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Connect { .. } | Self::ConnectTimeout { .. } => Outcome::Unreachable,
            Self::Gone { .. } => Outcome::ServerGone,
        }
    }
}

/// The server connection of one client connection.
#[derive(Debug)]
pub(super) struct Link {
    upstream: Upstream,
    server: Mutex<Option<Server>>,
}

/// What carries the bytes to and from the server.
pub(super) type ServerStream = TcpStream;

/// An open connection to the server.
#[derive(Debug)]
struct Server {
    sender: SendRequest<RequestBody>,
    watch: Watch,
    /// Whoever is sent here gets the stream, and the connection ends.
    release: oneshot::Sender<oneshot::Sender<ServerStream>>,
}

impl Link {
    pub fn new(upstream: Upstream) -> Self {
        Self {
            upstream,
            server: Mutex::new(None),
        }
    }

    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// Sends one request. A client connection has one exchange at a time, so the lock is never waited for.
    pub async fn send(
        &self,
        mut request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, Failure> {
        let mut slot = self.server.lock().await;
        if let Some(mut server) = slot.take()
            && server.sender.ready().await.is_ok()
        {
            match server.sender.try_send_request(request).await {
                Ok(response) => {
                    *slot = Some(server);
                    return Ok(response);
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(self.gone(error.into_error())),
                },
            }
        }
        let mut server = self.connect().await?;
        let response = server
            .sender
            .send_request(request)
            .await
            .map_err(|error| self.gone(error))?;
        *slot = Some(server);
        Ok(response)
    }

    /// Gives the stream of the server's connection away, if the event stream on it stands between two chunks and all
    /// of it, so many bytes of data, was passed on.
    pub async fn release(&self, passed: u64) -> Option<ServerStream> {
        let mut slot = self.server.lock().await;
        let server = slot.take_if(|server| server.watch.close(passed))?;
        let (give, given) = oneshot::channel();
        server.release.send(give).ok()?;
        given.await.ok()
    }

    /// Takes back what it gave, for the next request.
    pub async fn take_back(&self, stream: ServerStream) {
        // Without it, the next request makes a connection.
        *self.server.lock().await = self.handshake(stream).await.ok();
    }

    fn gone(&self, source: hyper::Error) -> Failure {
        Failure::Gone {
            authority: self.upstream.authority(),
            source,
        }
    }

    /// Sends a request that may end HTTP on its connection, so on one of its own.
    pub async fn send_alone(
        &self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, Failure> {
        let (mut sender, connection) = http1::Builder::new()
            .preserve_header_case(true)
            .handshake(TokioIo::new(self.dial().await?))
            .await
            .map_err(|error| self.gone(error))?;
        // It ends when the sender is dropped, the server closes it, or somebody takes its stream.
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                debug!(%error, "server connection ended");
            }
        });
        let sent = sender.send_request(request).await;
        sent.map_err(|error| self.gone(error))
    }

    async fn dial(&self) -> Result<ServerStream, Failure> {
        let authority = self.upstream.authority();
        let Upstream {
            host,
            port,
            connect_timeout,
            ..
        } = &self.upstream;
        let connecting = TcpStream::connect((host.as_str(), *port));
        let stream = match tokio::time::timeout(*connect_timeout, connecting).await {
            Err(_) => {
                return Err(Failure::ConnectTimeout {
                    authority,
                    limit: *connect_timeout,
                });
            }
            Ok(connected) => connected
                .and_then(|stream| stream.set_nodelay(true).map(|()| stream))
                .map_err(|source| Failure::Connect { authority, source })?,
        };
        Ok(stream)
    }

    async fn connect(&self) -> Result<Server, Failure> {
        self.handshake(self.dial().await?).await
    }

    async fn handshake(&self, stream: ServerStream) -> Result<Server, Failure> {
        let gate = Gate::new(stream);
        let watch = gate.watch();
        let (sender, connection) = http1::Builder::new()
            .preserve_header_case(true)
            .handshake(TokioIo::new(gate))
            .await
            .map_err(|error| self.gone(error))?;
        let (release, released) = oneshot::channel();
        tokio::spawn(drive(connection, released));
        Ok(Server {
            sender,
            watch,
            release,
        })
    }
}

/// Drives a connection until the sender is dropped, the server closes it, or somebody wants its stream.
async fn drive(
    mut connection: Connection<TokioIo<Gate<ServerStream>>, RequestBody>,
    released: oneshot::Receiver<oneshot::Sender<ServerStream>>,
) {
    tokio::select! {
        biased;
        Ok(give) = released => {
            // Whoever asked is gone if the client is, and so may the server's connection.
            let _ = give.send(connection.into_parts().io.into_inner().into_inner());
        }
        // The exchange sees every error it has.
        ended = &mut connection => if let Err(error) = ended {
            debug!(%error, "server connection ended");
        }
    }
}
