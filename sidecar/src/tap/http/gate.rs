//! Takes a stream under an HTTP connection. Gives the same bytes, and whether the connection could be left to somebody
//! else right now: everything written is out, and what was read of an event stream ends between two chunks.
//! Never touches a byte and never waits.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use memchr::memmem::Finder;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::chunks::Chunks;

/// Made once: to make them costs more than to look through an ordinary answer.
static EVENT_STREAM: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(b"event-stream"));
static END_OF_HEAD: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(b"\r\n\r\n"));

/// A stream, watched.
#[derive(Debug)]
pub(super) struct Gate<S> {
    stream: S,
    /// Read already, by who had the stream before.
    first: Bytes,
    watch: Watch,
}

/// What is known of a stream from outside.
#[derive(Debug, Clone, Default)]
pub(super) struct Watch(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Something was written and not yet flushed.
    unflushed: bool,
    reading: Reading,
    /// Bytes of data in the event stream so far.
    data: u64,
    closed: bool,
}

#[derive(Debug, Default)]
enum Reading {
    /// Nothing we know the end of.
    #[default]
    Unknown,
    /// A request was written: its answer comes next.
    Answer,
    /// The body of an event stream.
    Events(Chunks),
}

impl Watch {
    /// Whether everything written is out.
    pub fn is_flushed(&self) -> bool {
        !self.lock().unflushed
    }

    /// Reads no more, if what was read ends between two chunks and held as much data as was `passed` on.
    pub fn close(&self, passed: u64) -> bool {
        let mut state = self.lock();
        state.closed = !state.unflushed
            && state.data == passed
            && matches!(state.reading, Reading::Events(chunks) if chunks.is_between());
        state.closed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wrote(&mut self) {
        self.unflushed = true;
        self.reading = Reading::Answer;
    }

    fn read(&mut self, bytes: &[u8]) {
        match &mut self.reading {
            Reading::Unknown => {}
            Reading::Answer => self.answered(bytes),
            Reading::Events(chunks) => {
                chunks.feed(bytes, |data| self.data += data.len() as u64);
            }
        }
    }

    /// The first bytes of an answer. A head that comes in pieces is not followed: that costs a buffer, not a byte.
    fn answered(&mut self, bytes: &[u8]) {
        self.reading = Reading::Unknown;
        let Some(named) = EVENT_STREAM.find(bytes) else {
            return;
        };
        let Some(end) = END_OF_HEAD.find(bytes) else {
            return;
        };
        let (head, body) = bytes.split_at(end + 4);
        if named < end && head.starts_with(b"HTTP/1.1 200") {
            self.data = 0;
            self.reading = Reading::Events(Chunks::START);
            self.read(body);
        }
    }
}

impl<S> Gate<S> {
    pub fn new(stream: S) -> Self {
        Self::after(stream, Bytes::new())
    }

    /// A stream of which these bytes were read already.
    pub fn after(stream: S, first: Bytes) -> Self {
        Self {
            stream,
            first,
            watch: Watch::default(),
        }
    }

    pub fn watch(&self) -> Watch {
        self.watch.clone()
    }

    /// The stream, and what of its first bytes nobody has read.
    pub fn into_parts(self) -> (S, Bytes) {
        (self.stream, self.first)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gate<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.first.has_remaining() {
            let here = this.first.split_to(this.first.len().min(buf.remaining()));
            buf.put_slice(&here);
            return Poll::Ready(Ok(()));
        }
        let mut state = this.watch.lock();
        if state.closed {
            return Poll::Pending;
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        if let Some(new) = buf.filled().get(before..) {
            state.read(new);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gate<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.watch.lock().wrote();
        Pin::new(&mut this.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.watch.lock().wrote();
        Pin::new(&mut this.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.stream).poll_flush(cx))?;
        this.watch.lock().unflushed = false;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
