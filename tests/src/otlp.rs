//! Takes OTLP over gRPC and HTTP/protobuf. Gives what arrived, decoded, and misbehaves as it is told.
//! Never forgets an export it acknowledged, and never acknowledges one it did not keep (but for `discard`).

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use tokio::sync::oneshot;

use crate::http_peer::{Answer, Body, HttpPeer};
use crate::process::PATIENCE;

mod decoded;
mod grpc;

pub use decoded::Span;

/// How the receiver behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Accept,
    /// Keeps nothing, so that a long run costs no memory.
    Discard,
    /// Accepts after this long.
    Slow(Duration),
    /// UNAVAILABLE, 503: the sender shall come again.
    Unavailable,
    /// INVALID_ARGUMENT, 400: the sender shall not come again.
    Refuse,
    /// Never answers.
    Hang,
    /// Accepts, but says that so many spans of each export were rejected.
    Partial(i64),
}

/// Everything that was acknowledged.
#[derive(Debug, Default, Clone)]
pub struct Received {
    pub traces: Vec<ExportTraceServiceRequest>,
    pub metrics: Vec<ExportMetricsServiceRequest>,
    /// Exports that arrived, acknowledged or not.
    pub attempts: usize,
}

impl Received {
    /// All spans, flattened.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        self.traces.iter().flat_map(decoded::spans).collect()
    }
}

struct State {
    mode: Mutex<Mode>,
    received: Mutex<Received>,
    changed: Condvar,
}

/// The reply that both transports translate.
enum Reply {
    Accepted { rejected_spans: i64 },
    Unavailable,
    Refused,
}

impl State {
    fn mode(&self) -> Mode {
        *lock(&self.mode)
    }

    fn note(&self, keep: impl FnOnce(&mut Received)) -> Reply {
        let mode = self.mode();
        let mut received = lock(&self.received);
        received.attempts += 1;
        let reply = match mode {
            Mode::Unavailable => Reply::Unavailable,
            Mode::Refuse | Mode::Hang => Reply::Refused,
            Mode::Discard => Reply::Accepted { rejected_spans: 0 },
            Mode::Accept | Mode::Slow(_) => {
                keep(&mut received);
                Reply::Accepted { rejected_spans: 0 }
            }
            Mode::Partial(rejected_spans) => {
                keep(&mut received);
                Reply::Accepted { rejected_spans }
            }
        };
        drop(received);
        self.changed.notify_all();
        reply
    }

    /// How long to wait before the answer; none means for ever.
    fn delay(&self) -> Option<Duration> {
        match self.mode() {
            Mode::Slow(delay) => Some(delay),
            Mode::Hang => None,
            _ => Some(Duration::ZERO),
        }
    }
}

/// A receiver with both transports on ports of their own.
pub struct Receiver {
    state: Arc<State>,
    grpc: SocketAddr,
    http: HttpPeer,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Receiver {
    /// # Panics
    /// When no port can be bound.
    #[must_use]
    pub fn start(mode: Mode) -> Self {
        let state = Arc::new(State {
            mode: Mutex::new(mode),
            received: Mutex::default(),
            changed: Condvar::new(),
        });
        let http = {
            let state = state.clone();
            HttpPeer::start(move |request| http_answer(&state, &request.path, &request.body))
                .expect("a port on loopback")
        };
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port on loopback");
        let grpc = listener.local_addr().expect("a bound socket has a name");
        let (stop, stopped) = oneshot::channel();
        let thread = {
            let state = state.clone();
            std::thread::spawn(move || grpc::serve(listener, state, stopped))
        };
        Self {
            state,
            grpc,
            http,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    #[must_use]
    pub fn grpc_url(&self) -> String {
        format!("http://{}", self.grpc)
    }

    #[must_use]
    pub fn http_url(&self) -> String {
        self.http.url("")
    }

    pub fn set_mode(&self, mode: Mode) {
        *lock(&self.state.mode) = mode;
    }

    #[must_use]
    pub fn received(&self) -> Received {
        lock(&self.state.received).clone()
    }

    /// The spans, once there are so many that carry `toolspan.call` = true.
    ///
    /// # Panics
    /// When they do not come.
    #[must_use]
    pub fn wait_for_calls(&self, count: usize) -> Vec<Span> {
        let received = self.wait("calls", |received| {
            received
                .spans()
                .iter()
                .filter(|span| span.is_call())
                .count()
                >= count
        });
        received.spans()
    }

    /// What was received, once it fits.
    ///
    /// # Panics
    /// When it never does.
    pub fn wait(&self, what: &str, fits: impl Fn(&Received) -> bool) -> Received {
        let deadline = Instant::now() + PATIENCE;
        let mut received = lock(&self.state.received);
        while !fits(&received) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "waited in vain for {what}; received {} spans in {} attempts",
                received.spans().len(),
                received.attempts
            );
            received = self
                .state
                .changed
                .wait_timeout(received, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        received.clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // A request that hangs must not keep the thread.
        self.set_mode(Mode::Refuse);
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// An address where connections are refused: bound, so that nobody else gets it, but not listening.
#[must_use]
pub fn dead_endpoint() -> (rustix::fd::OwnedFd, String) {
    use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};
    let fd = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&fd, &SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port on loopback");
    let name = getsockname(&fd).expect("a bound socket has a name");
    let address = SocketAddr::try_from(name).expect("an internet address");
    (fd, format!("http://{address}"))
}

fn http_answer(state: &State, path: &str, body: &[u8]) -> Answer {
    let Some(delay) = state.delay() else {
        while state.mode() == Mode::Hang {
            std::thread::sleep(Duration::from_millis(20));
        }
        return Answer::new(503, "text/plain", Body::HangUp);
    };
    std::thread::sleep(delay);
    let reply = if path.ends_with("/v1/metrics") {
        ExportMetricsServiceRequest::decode(body)
            .map(|export| state.note(|received| received.metrics.push(export)))
    } else {
        ExportTraceServiceRequest::decode(body)
            .map(|export| state.note(|received| received.traces.push(export)))
    };
    let (status, body) = match reply {
        Err(_) | Ok(Reply::Refused) => (400, Vec::new()),
        Ok(Reply::Unavailable) => (503, Vec::new()),
        Ok(Reply::Accepted { rejected_spans }) => {
            (200, grpc::trace_response(rejected_spans).encode_to_vec())
        }
    };
    Answer::new(status, "application/x-protobuf", Body::Whole(body))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
