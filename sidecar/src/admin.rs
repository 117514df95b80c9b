//! Takes requests of operators, probes and scrapers, on a listener of its own. Gives what the process knows of itself.
//! Probes and metrics are for whoever reaches it; what names calls and tenants, and what switches, only for this machine.
//! Never depends on telemetry or on a server behind a hop, and never holds more than a few connections.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::sync::Semaphore;
use tracing::{debug, warn};

use crate::wire::{Listener, Socket};

mod access;
pub mod board;
mod lists;
mod metrics;
mod process;
mod route;
mod switch;

pub use board::{Board, Station};

/// Any error that a body may end with.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Connections at a time; more wait their turn.
const MAX_CONNECTIONS: usize = 64;
/// How long one connection may take for its one exchange.
const LIMIT: Duration = Duration::from_secs(10);
/// How long accepting rests when it fails.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Serves until it is dropped.
pub async fn serve(listener: Listener, board: Arc<Board>) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((socket, peer)) => {
                let board = Arc::clone(&board);
                tokio::spawn(async move {
                    connection(socket, peer, board).await;
                    drop(place);
                });
            }
            Err(error) => {
                warn!(%error, "cannot accept a connection of an operator");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

/// One exchange.
async fn connection(socket: Socket, peer: Option<SocketAddr>, board: Arc<Board>) {
    let service = service_fn(|request: Request<Incoming>| {
        let board = Arc::clone(&board);
        async move {
            Ok::<Response<Full<Bytes>>, Infallible>(route::answer(&board, peer, request).await)
        }
    });
    let serving = http1::Builder::new()
        .keep_alive(false)
        .serve_connection(TokioIo::new(socket), service);
    match tokio::time::timeout(LIMIT, serving).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "an operator's connection ended"),
        Err(_elapsed) => debug!(?peer, "an operator's connection took too long"),
    }
}

#[cfg(test)]
mod tests;
