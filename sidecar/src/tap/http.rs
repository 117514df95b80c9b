//! Takes connections of clients and the address of one server. Gives a reverse proxy for Streamable HTTP, both eras.
//! Never buffers an answer, never repeats a request, never answers 4xx: our own failures are 502, 503 and 504.
//!
//! Each client connection has one server connection of its own, so that what a client sees of keep-alive and
//! disconnects is what it would see without us.

mod body;
mod decode;
mod exchange;
mod headers;
mod origin;
mod request;
mod upstream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{debug, warn};

use crate::session::Hop;

use upstream::Link;
pub use upstream::Upstream;

/// How long accepting rests when the process has no file descriptor left.
const ACCEPT_REST: Duration = Duration::from_millis(20);

/// One reverse proxy.
#[derive(Debug)]
pub struct Proxy {
    /// None when switched off: bytes pass, and nothing else happens.
    pub hop: Option<Arc<Hop>>,
    pub upstream: Upstream,
}

/// Serves until `stop` turns true, then lets open exchanges end.
pub async fn serve(listener: TcpListener, proxy: Arc<Proxy>, mut stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stop) => break,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, client)) => {
                connections.spawn(connection(stream, client, Arc::clone(&proxy), stop.clone()));
            }
            Err(error) => {
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn connection(
    stream: TcpStream,
    client: SocketAddr,
    proxy: Arc<Proxy>,
    mut stop: watch::Receiver<bool>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "cannot switch off delays");
    }
    let link = Arc::new(Link::new(proxy.upstream.clone()));
    let service = service_fn(move |request| {
        exchange::run(Arc::clone(&proxy), Arc::clone(&link), client, request)
    });
    let serving = http1::Builder::new()
        .preserve_header_case(true)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    let served = tokio::select! {
        done = serving.as_mut() => done,
        () = stopped(&mut stop) => {
            // No further request; the exchange that runs may end.
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = served {
        // A peer that goes away is no failure of ours; its calls have their end.
        debug!(%error, "connection ended");
    }
}

/// Waits for the word to stop; a sender that is gone says it too.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
