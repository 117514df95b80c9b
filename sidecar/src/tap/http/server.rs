//! Takes a stream to a server. Gives an open connection of HTTP/1.1 or HTTP/2 over it.
//! Never outlives its last sender: whoever drops that ends the connection.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use hyper::client::conn::http1::{self, Connection};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::oneshot;
use tracing::debug;

use super::body::RequestBody;
use super::gate::{Gate, Watch};
use super::limits;
use crate::wire::Stream;

/// A connection of HTTP/1.1.
#[derive(Debug)]
pub(super) struct One {
    pub sender: http1::SendRequest<RequestBody>,
    watch: Watch,
    /// Whoever is sent here gets the stream, and the connection ends.
    release: oneshot::Sender<oneshot::Sender<Stream>>,
}

/// Held as long as an exchange uses a stream of a shared connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Load(Arc<()>);

impl Load {
    /// Streams that are open; one count more is that of the connection.
    fn streams(&self) -> usize {
        Arc::strong_count(&self.0).saturating_sub(1)
    }
}

/// A connection of HTTP/2.
#[derive(Debug, Clone)]
pub(super) struct Two {
    pub sender: http2::SendRequest<RequestBody>,
    pub load: Load,
    /// Streams that the server allows, as it last said.
    allowed: Arc<AtomicUsize>,
}

impl One {
    pub async fn open(stream: Stream) -> hyper::Result<Self> {
        let gate = Gate::new(stream);
        let watch = gate.watch();
        let (sender, connection) = http1::Builder::new()
            .preserve_header_case(true)
            .max_headers(limits::MAX_HEADERS)
            .handshake(TokioIo::new(gate))
            .await?;
        let (release, released) = oneshot::channel();
        tokio::spawn(drive(connection, released));
        Ok(Self {
            sender,
            watch,
            release,
        })
    }

    /// Reads no more, if the event stream on it stands between two chunks and all of it, so many bytes, was passed on.
    pub fn close(&self, passed: u64) -> bool {
        self.watch.close(passed)
    }

    /// The stream under it.
    pub async fn into_stream(self) -> Option<Stream> {
        let (give, given) = oneshot::channel();
        self.release.send(give).ok()?;
        given.await.ok()
    }
}

/// A connection that may end HTTP and go on as something else.
pub(super) async fn open_alone(stream: Stream) -> hyper::Result<http1::SendRequest<RequestBody>> {
    let (sender, connection) = http1::Builder::new()
        .preserve_header_case(true)
        .max_headers(limits::MAX_HEADERS)
        .handshake(TokioIo::new(stream))
        .await?;
    // It ends when the sender is dropped, the server closes it, or somebody takes its stream.
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            debug!(%error, "server connection ended");
        }
    });
    Ok(sender)
}

/// Drives a connection until the sender is dropped, the server closes it, or somebody wants its stream.
async fn drive(
    mut connection: Connection<TokioIo<Gate<Stream>>, RequestBody>,
    released: oneshot::Receiver<oneshot::Sender<Stream>>,
) {
    tokio::select! {
        biased;
        Ok(give) = released => {
            // Whoever asked is gone if the client is, and so may the server's connection.
            let (stream, _) = connection.into_parts().io.into_inner().into_parts();
            let _ = give.send(stream);
        }
        // The exchange sees every error it has.
        ended = &mut connection => if let Err(error) = ended {
            debug!(%error, "server connection ended");
        }
    }
}

impl Two {
    pub async fn open(stream: Stream) -> hyper::Result<Self> {
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(limits::STREAM_WINDOW)
            .initial_connection_window_size(limits::CONNECTION_WINDOW)
            .max_send_buf_size(limits::SEND_BUFFER)
            .handshake(TokioIo::new(stream))
            .await?;
        let mut connection = Box::pin(connection);
        let allowed = Arc::new(AtomicUsize::new(connection.current_max_send_streams()));
        let told = Arc::clone(&allowed);
        let ended = poll_fn(move |cx| {
            let ended = connection.as_mut().poll(cx);
            told.store(connection.current_max_send_streams(), Relaxed);
            ended
        });
        tokio::spawn(async move {
            if let Err(error) = ended.await {
                debug!(%error, "server connection ended");
            }
        });
        Ok(Self {
            sender,
            load: Load::default(),
            allowed,
        })
    }

    /// Whether it has a stream left.
    pub fn is_free(&self) -> bool {
        self.load.streams() < self.allowed.load(Relaxed)
    }
}

/// A connection that takes the next request.
pub(super) enum Sender {
    One(One),
    Two(Two),
}
