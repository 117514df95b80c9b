//! Takes connections of clients. Gives each request to the hop's front, which answers it.
//! Never buffers an answer, never repeats a request, never answers 4xx for a server: our own failures are 502, 503, 504.
//!
//! The seam: a [`Front`] is what stands behind a listener, a [`Conversation`] is its side of one client connection.
//! A new kind of hop is one more arm of both and a module of its own.
//!
//! The proxy gives each client connection one server connection of its own, so that what a client sees of keep-alive
//! and disconnects is what it would see without us.

pub(super) mod body;
mod calls;
mod chunks;
mod decode;
mod exchange;
mod gate;
mod handover;
pub(super) mod headers;
mod idle;
mod onward;
mod origin;
mod place;
mod relay;
mod request;
mod upstream;
mod websocket;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{debug, warn};

use crate::counters::Gauge;
use crate::session::Hop;
use crate::tap::bridge::Bridge;

use body::ResponseBody;
use gate::Gate;
use handover::Handover;
pub use idle::end_idle_sessions;
use onward::Onward;
use relay::Relay;
pub use upstream::Upstream;
use upstream::{Link, ServerStream};

/// How long accepting rests when the process has no file descriptor left.
const ACCEPT_REST: Duration = Duration::from_millis(20);

/// One reverse proxy.
#[derive(Debug)]
pub struct Proxy {
    /// None when switched off: bytes pass, and nothing else happens.
    pub hop: Option<Arc<Hop>>,
    pub upstream: Upstream,
}

/// What stands behind a listener.
#[derive(Debug, Clone)]
pub enum Front {
    Proxy(Arc<Proxy>),
    Bridge(Arc<Bridge>),
}

/// What is known of the client of one connection.
#[derive(Debug, Clone, Default)]
pub struct ClientInfo {
    /// None where the connection has no address: a Unix socket.
    pub address: Option<SocketAddr>,
    /// What goes on over the connection once HTTP has ended on it.
    pub(crate) onward: Onward,
}

/// The front's side of one client connection.
#[derive(Debug, Clone)]
enum Conversation {
    Proxy { proxy: Arc<Proxy>, link: Arc<Link> },
    Bridge(Arc<Bridge>),
}

impl Front {
    fn converse(&self) -> Conversation {
        match self {
            Self::Proxy(proxy) => Conversation::Proxy {
                proxy: Arc::clone(proxy),
                link: Arc::new(Link::new(proxy.upstream.clone())),
            },
            Self::Bridge(bridge) => Conversation::Bridge(Arc::clone(bridge)),
        }
    }
}

impl Front {
    /// Whether both are one and the same server.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            // A proxy keeps nothing that a new one would have to know.
            (Self::Proxy(_), Self::Proxy(_)) => true,
            (Self::Bridge(one), Self::Bridge(other)) => Arc::ptr_eq(one, other),
            (Self::Proxy(_), Self::Bridge(_)) | (Self::Bridge(_), Self::Proxy(_)) => false,
        }
    }

    /// What the front keeps open for clients that wait, rather than ask, may end now.
    pub fn drain(&self) {
        match self {
            Self::Proxy(_) => {}
            Self::Bridge(bridge) => bridge.drain(),
        }
    }

    /// Ends all that is left behind the front.
    pub async fn finish(&self) {
        match self {
            Self::Proxy(_) => {}
            Self::Bridge(bridge) => bridge.finish().await,
        }
    }
}

impl Conversation {
    async fn answer(
        self,
        client: ClientInfo,
        request: Request<Incoming>,
    ) -> Result<Response<ResponseBody>, Infallible> {
        match self {
            Self::Proxy { proxy, link } => exchange::run(proxy, link, client, request).await,
            Self::Bridge(bridge) => Ok(bridge.answer(client, request).await),
        }
    }
}

/// One client connection's conversation, begun anew when the hop has got other settings: what is under way goes on
/// as it began, the next exchange follows the new ones.
#[derive(Debug)]
struct Conversations(Mutex<(watch::Receiver<Front>, Conversation)>);

impl Conversations {
    fn new(mut fronts: watch::Receiver<Front>) -> Self {
        let first = fronts.borrow_and_update().converse();
        Self(Mutex::new((fronts, first)))
    }

    fn current(&self) -> Conversation {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (fronts, current) = &mut *held;
        if fronts.has_changed().unwrap_or(false) {
            *current = fronts.borrow_and_update().converse();
        }
        current.clone()
    }
}

/// What a listener serves, and what is known of it from outside.
#[derive(Debug, Clone)]
pub struct Service {
    /// What stands behind it now.
    pub fronts: watch::Receiver<Front>,
    pub connections: Arc<Gauge>,
    /// Turns true at the end.
    pub stop: watch::Receiver<bool>,
}

/// Serves until `stop` turns true, then lets open exchanges end.
pub async fn serve(listener: TcpListener, service: Service) {
    let mut stop = service.stop.clone();
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stop) => break,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, client)) => {
                let client = ClientInfo {
                    address: Some(client),
                    onward: Onward::default(),
                };
                connections.spawn(connection(stream, client, service.clone()));
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

async fn connection(stream: TcpStream, client: ClientInfo, hop: Service) {
    let (_open, mut stop) = (hop.connections.hold(), hop.stop);
    let conversations = Conversations::new(hop.fronts);
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "cannot switch off delays");
    }
    let mut next = Some((stream, Bytes::new()));
    while let Some((stream, first)) = next.take() {
        let gate = Gate::after(stream, first);
        let serving = serve_exchanges(gate, &client, &conversations, &mut stop);
        // In a box, so that a relay does not keep the room that it needed.
        let Some((relay, link)) = Box::pin(serving).await else {
            return;
        };
        if let Some(finished) = relay.run().await.filter(|_| !is_stopped(&stop)) {
            if let Some(server) = finished.server {
                link.take_back(server).await;
            }
            next = Some((finished.client, finished.ahead));
        }
    }
}

/// Serves one exchange after another, until the connection ends, or an event stream on it is idle.
async fn serve_exchanges(
    gate: Gate<TcpStream>,
    client: &ClientInfo,
    conversations: &Conversations,
    stop: &mut watch::Receiver<bool>,
) -> Option<(Relay<TcpStream, ServerStream>, Arc<Link>)> {
    let (watch, handover) = (gate.watch(), Arc::new(Handover::default()));
    let service = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(Arc::clone(&handover));
        conversations.current().answer(client.clone(), request)
    });
    let mut serving = http1::Builder::new()
        .preserve_header_case(true)
        .serve_connection(TokioIo::new(gate), service);
    let mut stopping = false;
    let served = loop {
        tokio::select! {
            done = &mut serving => break done,
            () = stopped(stop), if !stopping => {
                // No further request; the exchange that runs may end.
                std::pin::Pin::new(&mut serving).graceful_shutdown();
                stopping = true;
            }
            () = handover.idle() => {
                if watch.is_flushed() && let Some((server, link)) = handover.take().await {
                    debug!("relaying an idle stream");
                    let parts = serving.into_parts();
                    let client = parts.io.into_inner().into_inner();
                    let relay = Relay::new(client, &parts.read_buf, server, handover.left());
                    return Some((relay, link));
                }
            }
        }
    };
    match (served, client.onward.take()) {
        (Ok(()), Some(goes_on)) => {
            let parts = serving.into_parts();
            let stream = parts.io.into_inner().into_inner();
            goes_on(Box::new(Gate::after(stream, parts.read_buf))).await;
        }
        (Ok(()), None) => {}
        // A peer that goes away is no failure of ours; its calls have their end.
        (Err(error), _) => debug!(%error, "connection ended"),
    }
    None
}

/// Waits for the word to stop; a sender that is gone says it too.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

fn is_stopped(stop: &watch::Receiver<bool>) -> bool {
    *stop.borrow() || stop.has_changed().is_err()
}
