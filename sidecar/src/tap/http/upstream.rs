//! Takes a request for the server. Gives its answer, over the connections kept for one client connection.
//! Never sends a request twice: only one that was not written at all goes out on another connection.
//!
//! A client of HTTP/1.1 has one connection to a server of HTTP/1.1; a client of HTTP/2 has one for each open exchange.
//! A server of HTTP/2 has one for all of them, and another only when it allows no more streams on the first.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::uri::{PathAndQuery, Scheme};
use http::{Request, Response, StatusCode, Uri};
use hyper::body::Incoming;

use super::body::RequestBody;
use super::convert;
use super::server::{self, Load, One, Sender, Two};
use crate::record::Outcome;
use crate::wire::{Alpn, DialError, Dialed, Dialer, HttpChoice, Stream};

/// Connections of HTTP/1.1 that wait for the next exchange of a client of HTTP/2.
const MAX_IDLE: usize = 16;

/// The server behind a hop.
#[derive(Debug, Clone)]
pub struct Upstream {
    pub dialer: Dialer,
    /// As it stands in a `Host` header.
    pub authority: String,
    /// What stands before the client's path; empty or `/...` without a slash at its end.
    pub prefix: String,
}

impl Upstream {
    fn scheme(&self) -> Scheme {
        match self.dialer.tls {
            Some(_) => Scheme::HTTPS,
            None => Scheme::HTTP,
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
    #[error("the host of the request cannot be said in HTTP/2")]
    Host,
}

impl Failure {
    /// What the client is told.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Connect { .. } | Self::Gone { .. } | Self::Host => StatusCode::BAD_GATEWAY,
            Self::ConnectTimeout { .. } => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// What the client is told in words: nothing of where the server is, which is the log's.
    pub fn words(&self) -> &'static str {
        match self {
            Self::Connect { .. } => "the server cannot be reached",
            Self::ConnectTimeout { .. } => "the server did not take the connection in time",
            Self::Gone { .. } => "the server went away without an answer",
            Self::Host => "the host of the request cannot be said in HTTP/2",
        }
    }

    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Connect { .. } | Self::ConnectTimeout { .. } | Self::Host => Outcome::Unreachable,
            Self::Gone { .. } => Outcome::ServerGone,
        }
    }
}

/// The head of an answer, its body, and what must be held until the body has ended.
pub(super) type Answered = (Response<Incoming>, Option<Load>);

/// The server connections of one client connection.
#[derive(Debug)]
pub(super) struct Link {
    upstream: Upstream,
    /// The client may have several exchanges at a time.
    multiplexed: bool,
    idle: Mutex<Idle>,
    /// Held while a connection that others can share is opened: they wait for it, and make none of their own.
    opening: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Idle {
    one: Vec<One>,
    two: Vec<Two>,
    /// The server was asked, and speaks HTTP/1.1 only.
    only_one: bool,
}

/// What became of an attempt.
enum Attempt {
    Answered(Answered),
    /// Nothing of it was written.
    Unsent(Request<RequestBody>),
    Failed(Failure),
}

impl Link {
    pub fn new(upstream: Upstream, multiplexed: bool) -> Self {
        Self {
            upstream,
            multiplexed,
            idle: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
        }
    }

    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// Sends one request, which is in the form of HTTP/1.1.
    pub async fn send(&self, request: Request<RequestBody>) -> Result<Answered, Failure> {
        let mut request = request;
        if let Some(kept) = self.kept().await {
            match self.attempt(kept, request).await {
                Attempt::Answered(answered) => return Ok(answered),
                Attempt::Unsent(unsent) => request = unsent,
                Attempt::Failed(failure) => return Err(failure),
            }
        }
        let new = self.open().await?;
        match self.attempt(new, request).await {
            Attempt::Answered(answered) => Ok(answered),
            // The server closed it at once. A third attempt would be a loop.
            Attempt::Unsent(_) => Err(Failure::Connect {
                authority: self.upstream.authority.clone(),
                source: std::io::ErrorKind::ConnectionReset.into(),
            }),
            Attempt::Failed(failure) => Err(failure),
        }
    }

    async fn attempt(&self, sender: Sender, request: Request<RequestBody>) -> Attempt {
        match sender {
            Sender::One(mut one) => match one.sender.try_send_request(request).await {
                Ok(response) => {
                    self.keep(one);
                    Attempt::Answered((response, None))
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) => Attempt::Unsent(unsent),
                    None => Attempt::Failed(self.gone(error.into_error())),
                },
            },
            Sender::Two(two) => self.attempt_two(two, request).await,
        }
    }

    async fn attempt_two(&self, mut two: Two, mut request: Request<RequestBody>) -> Attempt {
        if !convert::absolute_form(&mut request, self.upstream.scheme()) {
            return Attempt::Failed(Failure::Host);
        }
        match two.sender.try_send_request(request).await {
            Ok(response) => Attempt::Answered((response, Some(two.load))),
            Err(mut error) => match error.take_message() {
                Some(unsent) => Attempt::Unsent(convert::to_origin_form(unsent)),
                None => Attempt::Failed(self.gone(error.into_error())),
            },
        }
    }

    /// Sends a request that may end HTTP on its connection, so on one of its own.
    pub async fn send_alone(
        &self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, Failure> {
        let dialed = self.dial(Alpn::OnlyOne).await?;
        let sender = server::open_alone(dialed.stream).await;
        let mut sender = sender.map_err(|error| self.gone(error))?;
        let sent = sender.send_request(request).await;
        sent.map_err(|error| self.gone(error))
    }

    /// Gives the stream of the server's connection away, if the event stream on it stands between two chunks and all
    /// of it, so many bytes of data, was passed on.
    pub async fn release(&self, passed: u64) -> Option<Stream> {
        // Only clients of HTTP/1.1 ask, and they have one connection.
        let server = self.lock().one.pop_if(|one| one.close(passed))?;
        server.into_stream().await
    }

    /// Takes back what it gave, for the next request.
    pub async fn take_back(&self, stream: Stream) {
        // Without it, the next request makes a connection.
        if let Ok(one) = One::open(stream).await {
            self.keep(one);
        }
    }

    fn gone(&self, source: hyper::Error) -> Failure {
        Failure::Gone {
            authority: self.upstream.authority.clone(),
            source,
        }
    }

    /// A connection that is there already and takes the request.
    async fn kept(&self) -> Option<Sender> {
        if let Some(two) = self.shared() {
            return Some(Sender::Two(two));
        }
        if self.multiplexed {
            return self.ready().map(Sender::One);
        }
        // The one exchange of this client has ended, so its connection is ready now or in a moment, or gone.
        let mut one = self.lock().one.pop()?;
        one.sender.ready().await.is_ok().then_some(Sender::One(one))
    }

    /// A connection of HTTP/2 that lives and has a stream left.
    fn shared(&self) -> Option<Two> {
        let mut idle = self.lock();
        idle.two.retain(|two| !two.sender.is_closed());
        idle.two.iter().find(|two| two.is_free()).cloned()
    }

    fn ready(&self) -> Option<One> {
        let mut idle = self.lock();
        idle.one.retain(|one| !one.sender.is_closed());
        let index = idle.one.iter().position(|one| one.sender.is_ready())?;
        Some(idle.one.swap_remove(index))
    }

    fn keep(&self, one: One) {
        let mut idle = self.lock();
        if idle.one.iter().filter(|one| one.sender.is_ready()).count() < MAX_IDLE {
            idle.one.push(one);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new connection, or one that another exchange has just made.
    async fn open(&self) -> Result<Sender, Failure> {
        if !self.multiplexed || !self.may_share() {
            return self.connect().await;
        }
        let dialer = &self.upstream.dialer;
        // Who has waited as long as a connection may take tries by itself, not one after the other.
        let _opening = tokio::time::timeout(dialer.timeout, self.opening.lock()).await;
        match self.shared() {
            Some(two) => Ok(Sender::Two(two)),
            None => self.connect().await,
        }
    }

    /// Whether a new connection could turn out to be one of HTTP/2.
    fn may_share(&self) -> bool {
        let dialer = &self.upstream.dialer;
        match dialer.http {
            HttpChoice::One => false,
            HttpChoice::Two => true,
            // TLS agreed on the older version before.
            HttpChoice::Auto => dialer.tls.is_some() && !self.lock().only_one,
        }
    }

    async fn dial(&self, alpn: Alpn) -> Result<Dialed, Failure> {
        let authority = || self.upstream.authority.clone();
        let dialed = self.upstream.dialer.dial(alpn).await;
        dialed.map_err(|error| match error {
            DialError::Io(source) => Failure::Connect {
                authority: authority(),
                source,
            },
            DialError::Timeout(limit) => Failure::ConnectTimeout {
                authority: authority(),
                limit,
            },
        })
    }

    async fn connect(&self) -> Result<Sender, Failure> {
        let dialed = self.dial(Alpn::Any).await?;
        let opened = if dialed.two {
            self.open_two(dialed.stream).await.map(Sender::Two)
        } else {
            self.lock().only_one = true;
            One::open(dialed.stream).await.map(Sender::One)
        };
        opened.map_err(|error| self.gone(error))
    }

    async fn open_two(&self, stream: Stream) -> hyper::Result<Two> {
        let two = Two::open(stream).await?;
        self.lock().two.push(two.clone());
        Ok(two)
    }
}
