//! Takes a script. Gives a server that follows it, over whatever it is told to speak, and notes what came and what was
//! given up.
//! Never outlives its guard.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::HeaderMap;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;

use super::{Connection, Version, runtime, unix_path};
use crate::process::{PATIENCE, eventually};

/// What arrived.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    /// Path and query.
    pub path: String,
    /// `Host`, or `:authority`.
    pub authority: String,
    pub version: Version,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// What to answer.
#[derive(Debug)]
pub enum Reply {
    Json(String),
    /// Events, as the test sends them; they end with the sender.
    Events(mpsc::UnboundedReceiver<Bytes>),
    /// The same, held open until the exchange ends.
    Held(mpsc::UnboundedReceiver<Bytes>, mpsc::UnboundedSender<Bytes>),
    /// Nothing, ever.
    Never,
    Moved(String),
}

#[derive(Default)]
struct Notes {
    seen: Vec<Seen>,
    /// Exchanges that ended before their answer did.
    given_up: Vec<String>,
    connections: usize,
}

type Shared = Arc<Mutex<Notes>>;
type Script = Arc<dyn Fn(&Seen) -> Reply + Send + Sync>;

/// The server.
pub struct Server {
    at: String,
    notes: Shared,
    stop: watch::Sender<bool>,
}

impl Server {
    /// Listens at `HOST:PORT` or `unix:/path`; without TLS it speaks both versions.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub fn start(
        at: &str,
        tls: Option<ServerConfig>,
        script: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let notes = Shared::default();
        let stop = watch::Sender::new(false);
        let acceptor = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
        let peer = Peer {
            acceptor,
            script: Arc::new(script),
            notes: Arc::clone(&notes),
            stop: stop.subscribe(),
        };
        let at = runtime().block_on(async {
            if let Some(path) = unix_path(at) {
                let listener = UnixListener::bind(path)?;
                tokio::spawn(peer.accept_unix(listener));
                return Ok::<_, io::Error>(at.to_owned());
            }
            let listener = TcpListener::bind(at).await?;
            let at = listener.local_addr()?.to_string();
            tokio::spawn(peer.accept_tcp(listener));
            Ok(at)
        })?;
        Ok(Self { at, notes, stop })
    }

    #[must_use]
    pub fn at(&self) -> &str {
        &self.at
    }

    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.notes).seen.clone()
    }

    /// Connections that were accepted so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        lock(&self.notes).connections
    }

    /// The paths of the exchanges that the other side gave up.
    #[must_use]
    pub fn given_up(&self) -> Vec<String> {
        lock(&self.notes).given_up.clone()
    }

    /// Waits until so many requests have come.
    ///
    /// # Panics
    /// When they do not.
    #[must_use]
    pub fn wait_for(&self, count: usize) -> Vec<Seen> {
        eventually("requests at the server", PATIENCE, || {
            Some(self.seen()).filter(|seen| seen.len() >= count)
        })
    }

    /// Waits until an exchange of this path has been given up.
    ///
    /// # Panics
    /// When it is not.
    pub fn wait_given_up(&self, path: &str) {
        eventually("an exchange that is given up", PATIENCE, || {
            self.given_up()
                .iter()
                .any(|found| found == path)
                .then_some(())
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

#[derive(Clone)]
struct Peer {
    acceptor: Option<TlsAcceptor>,
    script: Script,
    notes: Shared,
    stop: watch::Receiver<bool>,
}

impl Peer {
    async fn accept_tcp(self, listener: TcpListener) {
        let mut stop = self.stop.clone();
        loop {
            tokio::select! {
                accepted = listener.accept() => if let Ok((stream, _)) = accepted
                    && stream.set_nodelay(true).is_ok()
                {
                    tokio::spawn(self.clone().serve(Box::new(stream)));
                },
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    async fn accept_unix(self, listener: UnixListener) {
        let mut stop = self.stop.clone();
        loop {
            tokio::select! {
                accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                    tokio::spawn(self.clone().serve(Box::new(stream)));
                },
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    async fn serve(self, plain: Box<dyn Connection>) {
        lock(&self.notes).connections += 1;
        let mut stop = self.stop.clone();
        let serving = async {
            let stream: Box<dyn Connection> = match &self.acceptor {
                None => plain,
                Some(acceptor) => match acceptor.accept(plain).await {
                    Ok(stream) => Box::new(stream),
                    Err(_) => return,
                },
            };
            let service = service_fn(|request| self.clone().answer(request));
            let builder = auto::Builder::new(TokioExecutor::new());
            // A client that goes away in the middle is part of many tests.
            let _ = builder
                .serve_connection(TokioIo::new(stream), service)
                .await;
        };
        tokio::select! {
            () = serving => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }

    async fn answer(
        self,
        request: Request<Incoming>,
    ) -> Result<Response<UnsyncBoxBody<Bytes, Infallible>>, Infallible> {
        let (head, body) = request.into_parts();
        let path = head
            .uri
            .path_and_query()
            .map(ToString::to_string)
            .unwrap_or_default();
        let given_up = GivenUp {
            path: path.clone(),
            notes: Arc::clone(&self.notes),
            done: false,
        };
        let host = head.headers.get("host").and_then(|host| host.to_str().ok());
        let authority = head.uri.authority().map(ToString::to_string);
        let seen = Seen {
            method: head.method.to_string(),
            path,
            authority: authority
                .or_else(|| host.map(str::to_owned))
                .unwrap_or_default(),
            version: match head.version {
                hyper::Version::HTTP_2 => Version::Two,
                _ => Version::One,
            },
            headers: head.headers,
            body: body
                .collect()
                .await
                .map(|body| body.to_bytes())
                .unwrap_or_default(),
        };
        let reply = (self.script)(&seen);
        lock(&self.notes).seen.push(seen);
        Ok(respond(reply, given_up).await)
    }
}

async fn respond(
    reply: Reply,
    mut given_up: GivenUp,
) -> Response<UnsyncBoxBody<Bytes, Infallible>> {
    let response = Response::builder();
    let response = match reply {
        Reply::Json(text) => {
            given_up.done = true;
            response
                .header("content-type", "application/json")
                .body(Full::new(Bytes::from(text)).boxed_unsync())
        }
        Reply::Moved(to) => {
            given_up.done = true;
            response
                .status(307)
                .header("location", to)
                .body(Full::default().boxed_unsync())
        }
        Reply::Events(events) => response.header("content-type", "text/event-stream").body(
            Events {
                events,
                given_up,
                _open: None,
            }
            .boxed_unsync(),
        ),
        Reply::Held(events, open) => response.header("content-type", "text/event-stream").body(
            Events {
                events,
                given_up,
                _open: Some(open),
            }
            .boxed_unsync(),
        ),
        Reply::Never => std::future::pending().await,
    };
    response.expect("an answer")
}

/// Notes an exchange that is dropped before its end.
struct GivenUp {
    path: String,
    notes: Shared,
    done: bool,
}

impl Drop for GivenUp {
    fn drop(&mut self) {
        if !self.done {
            lock(&self.notes)
                .given_up
                .push(std::mem::take(&mut self.path));
        }
    }
}

struct Events {
    events: mpsc::UnboundedReceiver<Bytes>,
    given_up: GivenUp,
    _open: Option<mpsc::UnboundedSender<Bytes>>,
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let event = std::task::ready!(self.events.poll_recv(cx));
        self.given_up.done = event.is_none();
        Poll::Ready(event.map(|event| Ok(Frame::data(event))))
    }
}

fn lock(notes: &Shared) -> MutexGuard<'_, Notes> {
    notes.lock().unwrap_or_else(PoisonError::into_inner)
}
