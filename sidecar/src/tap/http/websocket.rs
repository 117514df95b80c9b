//! Takes a request to go on as WebSocket, and the server's yes. Gives the bytes of both directions on as they come,
//! requests with their context.
//! Never answers a frame itself, and never keeps one side open when the other is gone.

use std::io;
use std::sync::{Arc, OnceLock};

use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Version};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tracing::debug;

use super::onward::Io;
use super::origin::Origin;
use crate::clock;
use crate::counters::Counters;
use crate::frame::line::Edit;
use crate::frame::websocket::{MessageStream, Passed};
use crate::record::{HopInfo, NotInjected, Outcome};
use crate::session::{Arrival, Direction};
use crate::tap::duplex::Duplex;

/// How much a read gets.
const READ_SIZE: usize = 16 * 1024;

/// The client's wish, with its spelling: hop by hop, so it must be said again to the server.
#[derive(Debug)]
pub(super) struct Wish(HeaderValue);

impl Wish {
    /// What the request wishes, if it wishes a WebSocket (RFC 6455, 4.1).
    pub fn of<B>(request: &Request<B>) -> Option<Self> {
        let name = request.headers().get(header::UPGRADE)?;
        let wished = name.as_bytes().eq_ignore_ascii_case(b"websocket")
            && request.method() == Method::GET
            && request.version() == Version::HTTP_11;
        wished.then(|| Self(name.clone()))
    }

    /// Says it in headers that go to the next hop.
    pub fn say(&self, headers: &mut HeaderMap) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, self.0.clone());
    }
}

/// Relays a connection that the server agreed to, until both sides have ended, or one is gone. Without an origin the
/// hop is switched off.
pub(super) async fn run(client: Box<dyn Io>, server: OnUpgrade, origin: Option<Origin>) {
    let server = match server.await {
        Ok(server) => TokioIo::new(server),
        Err(error) => return debug!(%error, "no WebSocket came of it"),
    };
    let ended = match origin {
        Some(origin) => Relay::new(&origin).run(&origin, client, server).await,
        None => {
            let (from_client, to_client) = tokio::io::split(client);
            let (from_server, to_server) = tokio::io::split(server);
            both(copy(from_client, to_server), copy(from_server, to_client)).await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "WebSocket ended");
    }
}

/// Why a direction ended before its end.
#[derive(Debug)]
enum Broken {
    Reading(io::Error),
    Writing(io::Error),
}

/// Carries both directions to their ends. Who cannot be read any more is gone: that ends both. Who takes no more bytes
/// may have said something before, so that only ends the direction towards it.
async fn both(
    up: impl Future<Output = Result<(), Broken>>,
    down: impl Future<Output = Result<(), Broken>>,
) -> io::Result<()> {
    let up = async { only_reading(up.await) };
    let down = async { only_reading(down.await) };
    tokio::try_join!(up, down).map(|_| ())
}

fn only_reading(ended: Result<(), Broken>) -> io::Result<()> {
    match ended {
        Ok(()) => Ok(()),
        Err(Broken::Reading(error)) => Err(error),
        Err(Broken::Writing(error)) => {
            debug!(%error, "one direction of a WebSocket ended");
            Ok(())
        }
    }
}

/// Passes one direction on as it is.
async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
) -> Result<(), Broken> {
    let mut buffer = vec![0; READ_SIZE];
    loop {
        let read = from.read(&mut buffer).await.map_err(Broken::Reading)?;
        write(&mut to, buffer.get(..read).unwrap_or(&[]), read == 0).await?;
        if read == 0 {
            return Ok(());
        }
    }
}

/// Writes bytes out, and says that they are the last.
async fn write(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8], last: bool) -> Result<(), Broken> {
    let written = async {
        to.write_all(bytes).await?;
        to.flush().await?;
        if last { to.shutdown().await } else { Ok(()) }
    };
    written.await.map_err(Broken::Writing)
}

/// What both directions share.
#[derive(Debug)]
struct Relay {
    duplex: Duplex,
    info: Arc<HopInfo>,
    /// How the calls end that are open at the end: by the side that left first.
    ended: OnceLock<Outcome>,
}

impl Relay {
    fn new(origin: &Origin) -> Self {
        let (session, scope) = origin.hop.new_session();
        let info = HopInfo {
            network_protocol_name: Some("websocket"),
            network_protocol_version: None,
            ..(*origin.hop.info).clone()
        };
        Self {
            duplex: Duplex::new(Arc::clone(&origin.hop), scope, session),
            info: Arc::new(info),
            ended: OnceLock::new(),
        }
    }

    async fn run(
        self,
        origin: &Origin,
        client: impl AsyncRead + AsyncWrite,
        server: impl AsyncRead + AsyncWrite,
    ) -> io::Result<()> {
        let (from_client, to_client) = tokio::io::split(client);
        let (from_server, to_server) = tokio::io::split(server);
        let of_client = Arrival {
            info: Some(Arc::clone(&self.info)),
            session: None,
            ..origin.arrival(None, 0)
        };
        let of_server = Arrival {
            header: None,
            ..of_client.clone()
        };
        let up = self.pass(Direction::ToServer, &of_client, from_client, to_server);
        let down = self.pass(Direction::ToClient, &of_server, from_server, to_client);
        // An end of file is passed on and the other side answers it.
        both(up, down).await
    }

    /// Passes one direction on until it ends.
    async fn pass(
        &self,
        direction: Direction,
        arrival: &Arrival<'_>,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
    ) -> Result<(), Broken> {
        let (reader, writer) = match direction {
            Direction::ToServer => (Outcome::ClientGone, Outcome::ServerGone),
            Direction::ToClient => (Outcome::ServerGone, Outcome::ClientGone),
        };
        let mut stream = MessageStream::new(self.duplex.hop.max_inject_bytes);
        let mut buffer = vec![0; READ_SIZE];
        let mut each = |passed: Passed<'_>| self.see(direction, arrival, &passed, reader);
        loop {
            let read = from.read(&mut buffer).await;
            if !matches!(read, Ok(1..)) {
                self.end(reader);
            }
            let read = read.map_err(Broken::Reading)?;
            let out = if read == 0 {
                stream.end()
            } else {
                stream.feed(buffer.get(..read).unwrap_or(&[]), &mut each);
                stream.out()
            };
            let written = write(&mut to, out, read == 0).await;
            written.inspect_err(|_| self.end(writer))?;
            if read == 0 {
                return Ok(());
            }
        }
    }

    fn see(
        &self,
        direction: Direction,
        arrival: &Arrival<'_>,
        passed: &Passed<'_>,
        sender: Outcome,
    ) -> Vec<Edit> {
        match passed {
            Passed::Text(line) => return self.duplex.line(direction, line, arrival),
            Passed::Compressed(line) => {
                let arrival = Arrival {
                    untouchable: Some(NotInjected::ContentEncoding),
                    ..arrival.clone()
                };
                self.duplex.line(direction, line, &arrival);
            }
            Passed::Unreadable => Counters::add(&self.duplex.hop.counters().unreadable, 1),
            Passed::Close => self.end(sender),
        }
        Vec::new()
    }

    /// The first word counts.
    fn end(&self, outcome: Outcome) {
        let _first = self.ended.set(outcome);
    }
}

impl Drop for Relay {
    /// The relay may be dropped in the middle, when the process does not wait any longer.
    fn drop(&mut self) {
        let outcome = self.ended.get().copied().unwrap_or(Outcome::ClientGone);
        let Duplex { hop, session, .. } = &self.duplex;
        hop.end_session(*session, outcome, None, clock::now());
    }
}

#[cfg(test)]
mod tests;
