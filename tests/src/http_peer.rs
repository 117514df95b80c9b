//! Takes a script: a function from a request to an answer. Gives an HTTP server that follows it and notes
//! each request with its exact bytes.
//! Never answers by itself and never outlives its guard: dropping it closes every connection.

use std::collections::HashMap;
use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::http_wire::{self, Headers};
use crate::process::PATIENCE;

/// What arrived.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: Headers,
    pub body: Vec<u8>,
}

impl Request {
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        http_wire::header(&self.headers, name)
    }

    /// The body as JSON; null when it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// What to answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Headers,
    pub body: Body,
}

#[derive(Debug, Clone)]
pub enum Body {
    Whole(Vec<u8>),
    /// Chunks, each after a pause.
    Chunks(Vec<(Duration, Vec<u8>)>),
    /// Chunks as above, then the connection is closed before the body ends.
    Broken(Vec<(Duration, Vec<u8>)>),
    /// Chunks as above, then nothing, until the client closes the connection.
    Held(Vec<(Duration, Vec<u8>)>),
    /// Chunks as the test sends them, until its sender is dropped: then the body ends, or breaks off.
    Live(Live),
    /// No length: the body ends with the connection.
    ToEnd(Vec<u8>),
    /// One chunk again and again: a body that nobody has to hold in memory.
    Repeated {
        chunk: Vec<u8>,
        times: usize,
    },
    /// No answer at all: the connection is closed.
    HangUp,
}

/// The other end of a body that a test writes as it goes.
#[derive(Debug, Clone)]
pub struct Live {
    chunks: Arc<Mutex<Receiver<Vec<u8>>>>,
    breaks_off: bool,
}

impl Live {
    /// A body that ends in order when the sender is dropped.
    #[must_use]
    pub fn channel() -> (Sender<Vec<u8>>, Self) {
        let (sender, chunks) = std::sync::mpsc::channel();
        let live = Self {
            chunks: Arc::new(Mutex::new(chunks)),
            breaks_off: false,
        };
        (sender, live)
    }

    /// A body whose connection is closed instead.
    #[must_use]
    pub fn breaking_channel() -> (Sender<Vec<u8>>, Self) {
        let (sender, live) = Self::channel();
        let breaks_off = true;
        (sender, Self { breaks_off, ..live })
    }
}

impl Answer {
    #[must_use]
    pub fn json(body: impl Into<Vec<u8>>) -> Self {
        Self::new(200, "application/json", Body::Whole(body.into()))
    }

    #[must_use]
    pub fn sse(events: &[&str]) -> Self {
        let chunks = events
            .iter()
            .map(|event| (Duration::ZERO, event.as_bytes().to_vec()))
            .collect();
        Self::new(200, "text/event-stream", Body::Chunks(chunks))
    }

    #[must_use]
    pub fn new(status: u16, kind: &str, body: Body) -> Self {
        Self {
            status,
            headers: vec![("content-type".to_owned(), kind.to_owned())],
            body,
        }
    }
}

type Script = dyn Fn(&Request) -> Answer + Send + Sync;

#[derive(Default)]
struct Shared {
    requests: Mutex<Vec<Request>>,
    arrived: Condvar,
    streams: Mutex<HashMap<u64, TcpStream>>,
    /// Chunks of repeated bodies that the system took.
    repeated: AtomicUsize,
    stopped: AtomicBool,
}

/// The server.
pub struct HttpPeer {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

impl HttpPeer {
    /// # Errors
    /// When no port can be bound.
    pub fn start(script: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let script: Arc<Script> = Arc::new(script);
        let acceptor = {
            let shared = shared.clone();
            std::thread::spawn(move || accept(&listener, &shared, &script))
        };
        Ok(Self {
            address,
            shared,
            acceptor: Some(acceptor),
        })
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Everything that arrived so far.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.shared.requests).clone()
    }

    /// Takes out everything that arrived so far.
    #[must_use]
    pub fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut *lock(&self.shared.requests))
    }

    /// How many connections are open now.
    #[must_use]
    pub fn connections(&self) -> usize {
        lock(&self.shared.streams).len()
    }

    /// How many chunks of repeated bodies have been written.
    #[must_use]
    pub fn repeated(&self) -> usize {
        self.shared.repeated.load(Ordering::SeqCst)
    }

    /// Waits until so many requests have arrived.
    ///
    /// # Panics
    /// When they do not come.
    #[must_use]
    pub fn wait_for_requests(&self, count: usize) -> Vec<Request> {
        let deadline = Instant::now() + PATIENCE;
        let mut requests = lock(&self.shared.requests);
        while requests.len() < count {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "{} of {count} requests arrived",
                requests.len()
            );
            requests = self
                .shared
                .arrived
                .wait_timeout(requests, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        requests.clone()
    }
}

impl Drop for HttpPeer {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // The acceptor sits in accept(2): a connection of our own wakes it.
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        for stream in lock(&self.shared.streams).values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>, script: &Arc<Script>) {
    for (number, stream) in (0..).zip(listener.incoming()) {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        if let Ok(copy) = stream.try_clone() {
            lock(&shared.streams).insert(number, copy);
        }
        let (shared, script) = (shared.clone(), script.clone());
        std::thread::spawn(move || {
            // A client that goes away in the middle is part of many tests.
            let _ = serve(stream, &shared, &*script);
            // The guard's copy is the last.
            lock(&shared.streams).remove(&number);
        });
    }
}

fn serve(stream: TcpStream, shared: &Shared, script: &Script) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    while let Some(head) = http_wire::read_head(&mut reader)? {
        let body = http_wire::read_body(&mut reader, &head, false)?;
        let mut words = head.start_line.split(' ').map(str::to_owned);
        let request = Request {
            method: words.next().unwrap_or_default(),
            path: words.next().unwrap_or_default(),
            headers: head.headers,
            body,
        };
        let answer = script(&request);
        lock(&shared.requests).push(request);
        shared.arrived.notify_all();
        if !write_answer(&mut writer, &answer, shared)? {
            return Ok(());
        }
        if matches!(answer.body, Body::Held(_)) {
            // Its end is the client's doing.
            let _ = reader.read(&mut [0]);
            return Ok(());
        }
    }
    Ok(())
}

/// Whether the connection goes on.
fn write_answer(writer: &mut TcpStream, answer: &Answer, shared: &Shared) -> io::Result<bool> {
    let line = format!("HTTP/1.1 {} Scripted", answer.status);
    match &answer.body {
        Body::Whole(body) => {
            http_wire::write_message(writer, &line, &answer.headers, Some(body))?;
            Ok(true)
        }
        Body::Chunks(chunks) => {
            write_chunks(writer, &line, &answer.headers, chunks)?;
            http_wire::write_chunk(writer, b"")?;
            Ok(true)
        }
        Body::Broken(chunks) => {
            write_chunks(writer, &line, &answer.headers, chunks)?;
            Ok(false)
        }
        Body::Held(chunks) => {
            write_chunks(writer, &line, &answer.headers, chunks)?;
            Ok(true)
        }
        Body::Live(live) => {
            write_chunks(writer, &line, &answer.headers, &[])?;
            for chunk in lock(&live.chunks).iter() {
                http_wire::write_chunk(writer, &chunk)?;
            }
            if !live.breaks_off {
                http_wire::write_chunk(writer, b"")?;
            }
            Ok(!live.breaks_off)
        }
        Body::ToEnd(body) => {
            http_wire::write_message(writer, &line, &answer.headers, None)?;
            writer.write_all(body)?;
            Ok(false)
        }
        Body::Repeated { chunk, times } => {
            write_chunks(writer, &line, &answer.headers, &[])?;
            for _ in 0..*times {
                http_wire::write_chunk(writer, chunk)?;
                shared.repeated.fetch_add(1, Ordering::SeqCst);
            }
            http_wire::write_chunk(writer, b"")?;
            Ok(true)
        }
        Body::HangUp => Ok(false),
    }
}

fn write_chunks(
    writer: &mut TcpStream,
    line: &str,
    headers: &Headers,
    chunks: &[(Duration, Vec<u8>)],
) -> io::Result<()> {
    let mut headers = headers.clone();
    headers.push(("transfer-encoding".to_owned(), "chunked".to_owned()));
    http_wire::write_message(writer, line, &headers, None)?;
    for (pause, chunk) in chunks {
        std::thread::sleep(*pause);
        http_wire::write_chunk(writer, chunk)?;
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
