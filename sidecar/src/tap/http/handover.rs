//! Takes event streams on a client's connection. Gives those that have been idle for a while to a relay.
//! Never takes a connection while a byte is under way in it.
//!
//! An HTTP connection has buffers to read and to write, and an idle stream keeps those of two connections: most of what
//! ten thousand streams would take. A relay has none.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::header::{CONTENT_LENGTH, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{Request, Response, Version};
use tokio::sync::Notify;

use super::body::Sent;
use super::headers::{self, Media};
use super::relay::Left;
use super::upstream::Link;
use crate::wire::Stream as ServerStream;

/// How long a stream is silent before its connections are taken over.
const IDLE: Duration = Duration::from_millis(50);

/// What the connection of a client knows of the event stream that is its answer, if it is one.
#[derive(Debug, Default)]
pub(super) struct Handover {
    state: Mutex<State>,
    begun: Notify,
}

#[derive(Debug, Default)]
struct State {
    stream: Option<Stream>,
    taking: bool,
    left: Left,
}

#[derive(Debug)]
struct Stream {
    link: Arc<Link>,
    request: Sent,
    /// Bytes of data that came out of the server's connection.
    passed: u64,
}

impl Handover {
    /// That of the connection a request came on, if what is open on it can be taken over: an HTTP/1.1 connection
    /// that goes on after its answer, as HTTP, and a request whose end is plain.
    pub fn of<B>(request: &Request<B>, own: &Arc<Self>) -> Option<Arc<Self>> {
        let headers = request.headers();
        let plain = request.version() == Version::HTTP_11
            && !headers::says_close(headers)
            && !headers.contains_key(UPGRADE)
            && !headers.contains_key(TRANSFER_ENCODING);
        plain.then(|| Arc::clone(own))
    }

    /// An answer begins. Gives whether it is an event stream in chunks, on a connection that goes on after it.
    pub fn begin<B>(&self, answer: &Response<B>, link: &Arc<Link>, request: Sent) -> bool {
        let headers = answer.headers();
        let coding = headers::only(headers, &TRANSFER_ENCODING);
        let streams = answer.version() == Version::HTTP_11
            && headers::media(headers) == Media::EventStream
            && coding.is_some_and(|coding| coding == "chunked")
            && !headers.contains_key(CONTENT_LENGTH)
            && !headers.contains_key(TRAILER)
            && !headers::says_close(headers);
        if streams {
            self.lock().stream = Some(Stream {
                link: Arc::clone(link),
                request,
                passed: 0,
            });
            self.begun.notify_one();
        }
        streams
    }

    /// So much of it came.
    pub fn pass(&self, bytes: usize) {
        if let Some(stream) = &mut self.lock().stream {
            stream.passed += bytes as u64;
        }
    }

    /// Its body is gone; when it was taken over, its exchange goes on in the relay.
    pub fn end(&self, left: Left) {
        let mut state = self.lock();
        state.stream = None;
        if state.taking {
            state.left = left;
        }
    }

    /// Waits until there is a stream through which nothing passes, though its request has all passed before.
    pub async fn idle(&self) {
        loop {
            let Some((sent, before)) = self.passed() else {
                self.begun.notified().await;
                continue;
            };
            tokio::time::sleep(IDLE).await;
            if sent && self.passed() == Some((sent, before)) {
                return;
            }
        }
    }

    /// The server's connection, and whose it was, if the stream can be taken over now. Then its body must be dropped
    /// next.
    pub async fn take(&self) -> Option<(ServerStream, Arc<Link>)> {
        let (link, passed) = {
            let state = self.lock();
            let stream = state.stream.as_ref()?;
            (Arc::clone(&stream.link), stream.passed)
        };
        let server = link.release(passed).await?;
        self.lock().taking = true;
        Some((server, link))
    }

    /// What the dropped body left.
    pub fn left(&self) -> Left {
        let mut state = self.lock();
        state.taking = false;
        std::mem::take(&mut state.left)
    }

    /// Whether all of the request, and how much of the answer.
    fn passed(&self) -> Option<(bool, u64)> {
        let state = self.lock();
        let stream = state.stream.as_ref()?;
        Some((stream.request.is_complete(), stream.passed))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
