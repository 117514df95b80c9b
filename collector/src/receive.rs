//! Takes connections that speak OTLP over gRPC or HTTP.
//! Gives each export as one buffer of protobuf bytes to the collector, and its answer back.
//! Never keeps more of a request than the limit, compressed or not, and never knows what happens behind the answer.

mod body;
pub mod decompress;
pub mod grpc;
pub mod http;
pub mod listen;
pub mod memory;
pub mod reply;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::otlp::Signal;
use crate::shutdown::Stop;

use memory::Memory;
use reply::Answer;

/// An export whose bytes are here, and nothing else is known.
#[derive(Debug)]
pub struct Received {
    pub signal: Signal,
    pub body: Bytes,
}

/// An export that is on disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accepted {
    pub rejected: u64,
    pub reason: Option<String>,
}

/// Why an export is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("{0}")]
    Malformed(String),
    #[error("the export is larger than {limit} bytes once decompressed: send smaller batches")]
    TooLarge { limit: u64 },
    #[error(
        "the log is full because the stores are behind; the export was not taken, send it again"
    )]
    Full,
    #[error("too many exports are arriving at once; this one was not taken, send it again")]
    Busy,
    #[error("the log cannot be written; the export was not taken, send it again: {0}")]
    Unavailable(String),
    #[error("the body did not arrive within {} s", limit.as_secs())]
    Slow { limit: Duration },
    #[error("the body ended early: {0}")]
    Cut(String),
    #[error("{0}")]
    Media(String),
    #[error("Content-Encoding {0:?} is not known here: use gzip, zstd or none")]
    Encoding(String),
    #[error("{0}")]
    NoSuchPath(String),
    #[error("use POST")]
    Method { allow: &'static str },
    #[error("{0}")]
    Unimplemented(String),
}

/// What takes exports: the collector, or a test.
pub trait Intake: Send + Sync + 'static {
    /// Returns when the export is durable, or with the reason why it is not taken.
    fn accept(&self, received: Received) -> impl Future<Output = Result<Accepted, Refusal>> + Send;

    /// What all exports that are being received may use together.
    fn memory(&self) -> &Memory;

    /// A request that never became an export.
    fn refused(&self, refusal: &Refusal);

    /// The text served at `/metrics`.
    fn metrics(&self) -> String;
}

/// What one request may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub max_export_bytes: u64,
    /// A body must be here this long after its head.
    pub body_time: Duration,
    /// A new connection must say what it speaks in this time, or it gives its place to another.
    pub greeting_time: Duration,
    pub max_connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_export_bytes: 64 << 20,
            body_time: Duration::from_secs(60),
            greeting_time: Duration::from_secs(10),
            max_connections: 1024,
        }
    }
}

/// What a port speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Grpc,
    Http,
}

/// Serves one port until the word to stop; returns when every request it had taken is answered.
pub async fn serve<I: Intake>(
    listener: TcpListener,
    protocol: Protocol,
    limits: Limits,
    intake: Arc<I>,
    mut stop: Stop,
) {
    let graceful = GracefulShutdown::new();
    // Owned here: when this future is dropped at the end of all patience, no connection outlives it.
    let mut connections = JoinSet::new();
    let slots = Arc::new(Semaphore::new(limits.max_connections));
    let builder = connection_builder();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.wait() => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &slots) => accepted,
        };
        let Some((stream, slot)) = accepted else {
            continue;
        };
        let intake = Arc::clone(&intake);
        let service = hyper::service::service_fn(move |request| {
            let intake = Arc::clone(&intake);
            async move {
                Ok::<_, std::convert::Infallible>(answer(protocol, limits, &*intake, request).await)
            }
        });
        let (builder, watcher, mut stop) = (builder.clone(), graceful.watcher(), stop.clone());
        connections.spawn(async move {
            if greets(&stream, limits.greeting_time, &mut stop).await {
                let connection = builder.serve_connection(TokioIo::new(stream), service);
                if let Err(error) = watcher.watch(connection).await {
                    tracing::debug!(%error, "a connection ended with an error");
                }
            }
            drop(slot);
        });
    }
    drop(listener);
    graceful.shutdown().await;
    while connections.join_next().await.is_some() {}
}

/// Whether the peer begins to speak within the time, and before the word to stop.
async fn greets(stream: &TcpStream, limit: Duration, stop: &mut Stop) -> bool {
    tokio::select! {
        biased;
        greeted = tokio::time::timeout(limit, greeting(stream)) => greeted.unwrap_or(false),
        () = stop.wait() => false,
    }
}

/// Waits until the peer has said whether it speaks HTTP/1 or HTTP/2: what reads that below has no limit of its own.
/// False when it hangs up first.
async fn greeting(stream: &TcpStream) -> bool {
    const HTTP_2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let mut seen = [0; HTTP_2.len()];
    loop {
        let Ok(length) = stream.peek(&mut seen).await else {
            return false;
        };
        match seen.get(..length) {
            None | Some([]) => return false,
            Some(part) if length < HTTP_2.len() && HTTP_2.starts_with(part) => {
                // The socket stays readable, so only time tells when there is more.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Some(_) => return true,
        }
    }
}

fn connection_builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(30));
    // Windows above a usual export: the default of 64 KiB makes every export wait for the acknowledgement of its parts.
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(60))
        .keep_alive_timeout(Duration::from_secs(20))
        .initial_stream_window_size(8 << 20)
        .initial_connection_window_size(16 << 20)
        .max_frame_size(1 << 20)
        .max_concurrent_streams(256);
    builder
}

/// The next connection, once there is a slot for it.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => {
            // Without it small answers wait for the peer's delayed acknowledgement. It cannot fail on a live socket.
            let _ = stream.set_nodelay(true);
            Some((stream, slot))
        }
        Err(error) => {
            tracing::warn!(%error, "cannot accept a connection");
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

async fn answer<I: Intake>(
    protocol: Protocol,
    limits: Limits,
    intake: &I,
    request: hyper::Request<Incoming>,
) -> Answer {
    match protocol {
        Protocol::Grpc => grpc::answer(limits, intake, request).await,
        Protocol::Http => http::answer(limits, intake, request).await,
    }
}
