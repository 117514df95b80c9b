//! Takes connections of clients. Gives each request to the hop's front, which answers it.
//! Never buffers an answer, never repeats a request, never answers 4xx for a server: our own failures are 502, 503, 504.
//!
//! The seam: a [`Front`] is what stands behind a listener, a [`Conversation`] is its side of one client connection.
//! A new kind of hop is one more arm of both and a module of its own.
//!
//! The proxy gives each client connection one server connection of its own, so that what a client sees of keep-alive
//! and disconnects is what it would see without us.

mod first;

mod connection;

pub(super) mod body;
mod calls;
mod chunks;
mod convert;
mod decode;
mod exchange;
mod gate;
mod guard;
mod handover;
pub(super) mod headers;
mod heads;
mod idle;
mod limits;
mod manners;
mod onward;
mod origin;
mod pace;
pub(super) mod paced;
mod place;
mod relay;
mod request;
mod room;
mod server;
mod streams;
mod upstream;
mod websocket;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use http::header::{self, HeaderMap, HeaderValue};
use http::{Request, Response, StatusCode};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::warn;

use crate::counters::Gauge;
use crate::session::Hop;
use crate::tap::bridge::Bridge;
use crate::tenant::Evidence;
use crate::wire::{Fingerprint, Listener, SubjectNames};

use body::ResponseBody;
pub use connection::Door;
pub use guard::Bounds;
use handover::Handover;
pub use idle::end_idle_sessions;
pub use manners::{Forwarded, Manners};
use onward::Onward;
use paced::ClientBody;
pub use room::Room;
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
    pub manners: Manners,
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
    /// The version of HTTP that it speaks.
    pub http: &'static str,
    /// It speaks TLS to us.
    pub tls: bool,
    /// The certificate that it has shown.
    pub certificate: Option<Fingerprint>,
    /// The names in it.
    pub names: Option<Arc<SubjectNames>>,
}

impl ClientInfo {
    /// What it shows of its tenant, with these headers.
    pub(crate) fn evidence<'a>(&'a self, headers: &'a HeaderMap, now: SystemTime) -> Evidence<'a> {
        Evidence {
            headers,
            peer: self.address.map(|address| address.ip()),
            names: self.names.as_deref(),
            now,
        }
    }

    /// The scheme that it used.
    fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }
}

/// The front's side of one client connection.
#[derive(Debug, Clone)]
enum Conversation {
    Proxy { proxy: Arc<Proxy>, link: Arc<Link> },
    Bridge(Arc<Bridge>),
}

impl Front {
    /// `multiplexed`: the client may have several exchanges at a time.
    fn converse(&self, multiplexed: bool) -> Conversation {
        match self {
            Self::Proxy(proxy) => Conversation::Proxy {
                proxy: Arc::clone(proxy),
                link: Arc::new(Link::new(proxy.upstream.clone(), multiplexed)),
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

    /// Another front has taken its place: what only new requests would use may end now.
    pub fn retire(&self) {
        match self {
            Self::Proxy(_) => {}
            // No command is that of any child.
            Self::Bridge(bridge) => bridge.retire(&[]),
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
        request: Request<ClientBody>,
        handover: Option<Arc<Handover>>,
    ) -> Result<Response<ResponseBody>, Infallible> {
        let may_end = headers::asks_for_websocket(request.headers());
        let mut answered = self.front(client, request, handover).await;
        if let Ok(response) = &mut answered
            && may_end
            && response.status() != StatusCode::SWITCHING_PROTOCOLS
            && !headers::says_close(response.headers())
        {
            // The guard has stopped to read along: no request may follow.
            let close = HeaderValue::from_static("close");
            response.headers_mut().append(header::CONNECTION, close);
        }
        answered
    }

    async fn front(
        self,
        client: ClientInfo,
        request: Request<ClientBody>,
        handover: Option<Arc<Handover>>,
    ) -> Result<Response<ResponseBody>, Infallible> {
        match self {
            Self::Proxy { proxy, link } => {
                exchange::run(proxy, link, client, request, handover).await
            }
            Self::Bridge(bridge) => {
                let request = convert::to_origin_form(request);
                Ok(bridge.answer(client, request).await)
            }
        }
    }
}

/// One client connection's conversation, begun anew when the hop has got other settings: what is under way goes on
/// as it began, the next exchange follows the new ones.
#[derive(Debug)]
struct Conversations {
    multiplexed: bool,
    current: Mutex<(watch::Receiver<Front>, Conversation)>,
}

impl Conversations {
    fn new(mut fronts: watch::Receiver<Front>, multiplexed: bool) -> Self {
        let first = fronts.borrow_and_update().converse(multiplexed);
        Self {
            multiplexed,
            current: Mutex::new((fronts, first)),
        }
    }

    fn current(&self) -> Conversation {
        let mut held = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let (fronts, current) = &mut *held;
        if fronts.has_changed().unwrap_or(false) {
            *current = fronts.borrow_and_update().converse(self.multiplexed);
        }
        current.clone()
    }
}

/// What a listener serves, and what is known of it from outside.
#[derive(Debug, Clone)]
pub struct Service {
    /// What stands behind it now.
    pub fronts: watch::Receiver<Front>,
    /// How connections are treated now; what is open stays as it began.
    pub doors: watch::Receiver<Arc<Door>>,
    pub connections: Arc<Gauge>,
    /// Turns true at the end.
    pub stop: watch::Receiver<bool>,
}

/// Serves until `stop` turns true, then lets open exchanges end.
pub async fn serve(listener: Listener, service: Service) {
    let mut stop = service.stop.clone();
    let mut connections = JoinSet::new();
    loop {
        let room = Arc::clone(&service.doors.borrow().room);
        let accepted = tokio::select! {
            accepted = room.accept(&listener) => accepted,
            () = stopped(&mut stop) => break,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((socket, address, place)) => {
                connections.spawn(connection::run(socket, address, place, service.clone()));
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

/// Waits for the word to stop; a sender that is gone says it too.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
