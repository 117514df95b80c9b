//! Takes the stream of a client of HTTP/1.1. Gives its bytes on, up to a head that must be refused, and no further.
//! Never waits for ever for what the client owes: the rest of a head or body, or room for what was written.
//!
//! A head that is refused is broken off where it goes wrong, so that the answer, in its turn behind those before it, is
//! the one of the HTTP library: 400 or 431, empty, and the end of the connection.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::heads::{Heads, Owed, Refused};
use super::limits;
use crate::counters::{Counters, Refusal};

/// One field more than an HTTP head may have here.
const TOO_MANY_FIELDS: usize = limits::MAX_HEADERS + 1;
/// How long a client that was refused may take to read why.
const LINGER: Duration = Duration::from_secs(1);

/// What a connection may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    pub max_header_bytes: usize,
    pub header_timeout: Duration,
    pub body_idle: Duration,
    pub write_idle: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            max_header_bytes: 64 * 1024,
            header_timeout: Duration::from_secs(30),
            body_idle: Duration::from_secs(60),
            write_idle: Duration::from_secs(600),
        }
    }
}

/// A clock that runs while something is owed.
#[derive(Debug, Default)]
struct Patience(Option<(Owed, Pin<Box<Sleep>>)>);

impl Patience {
    /// Whether it has run out; it starts when it is not running for the same.
    fn poll(&mut self, owed: Owed, limit: Duration, cx: &mut Context<'_>) -> bool {
        if self.0.as_ref().is_none_or(|(other, _)| *other != owed) {
            self.0 = Some((owed, Box::pin(sleep(limit))));
        }
        let running = self.0.as_mut();
        running.is_some_and(|(_, sleep)| sleep.as_mut().poll(cx).is_ready())
    }

    fn stop(&mut self) {
        self.0 = None;
    }
}

/// A stream, guarded.
#[derive(Debug)]
pub(super) struct Guard<S> {
    stream: S,
    /// Read already, and not yet looked at.
    first: Bytes,
    heads: Heads,
    bounds: Bounds,
    counters: Arc<Counters>,
    reading: Patience,
    writing: Patience,
    /// What takes the place of all that the client still sends.
    refused: Option<Bytes>,
}

impl<S> Guard<S> {
    pub fn new(stream: S, first: Bytes, bounds: Bounds, counters: Arc<Counters>) -> Self {
        Self {
            stream,
            first,
            heads: Heads::new(bounds.max_header_bytes),
            bounds,
            counters,
            reading: Patience::default(),
            writing: Patience::default(),
            refused: None,
        }
    }

    /// The stream, and what of its first bytes nobody has read.
    pub fn into_parts(self) -> (S, Bytes) {
        (self.stream, self.first)
    }

    /// A connection whose protocol keeps its own order: only the bounds on writing hold.
    pub fn of_frames(stream: S, first: Bytes, bounds: Bounds, counters: Arc<Counters>) -> Self {
        Self {
            heads: Heads::unknown(),
            ..Self::new(stream, first, bounds, counters)
        }
    }

    /// Whether a head was refused, and counted, here.
    pub fn has_refused(&self) -> bool {
        self.refused.is_some()
    }

    fn refuse(&mut self, refused: &Refused) {
        self.counters.refuse(refused.why);
        let mut text = refused.rest.to_owned();
        if refused.why == Refusal::TooLarge {
            text.push_str(&"x:\r\n".repeat(TOO_MANY_FIELDS));
            text.push_str("\r\n");
        }
        self.refused = Some(Bytes::from(text));
    }

    /// Looks at what was read behind `before`, and takes back what must not go on.
    fn look(&mut self, buf: &mut ReadBuf<'_>, before: usize) {
        let new = buf.filled().get(before..).unwrap_or_default();
        if let Err(refused) = self.heads.feed(new) {
            buf.set_filled(before + refused.keep);
            self.refuse(&refused);
        }
        if self.heads.owed() != Owed::Head {
            self.reading.stop();
        }
    }

    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let owed = self.heads.owed();
        let (limit, why) = match owed {
            Owed::Nothing => return Poll::Pending,
            Owed::Head => (self.bounds.header_timeout, Refusal::SlowHead),
            Owed::Body => (self.bounds.body_idle, Refusal::SlowBody),
        };
        if !self.reading.poll(owed, limit, cx) {
            return Poll::Pending;
        }
        self.counters.refuse(why);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// A write has taken bytes, or waits for the client to read.
    fn wrote<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.writing.stop();
            return written;
        }
        if !self.writing.poll(Owed::Body, self.bounds.write_idle, cx) {
            return Poll::Pending;
        }
        self.counters.refuse(Refusal::SlowReader);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guard<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        if let Some(instead) = &mut this.refused {
            // At its end: the end of the stream.
            buf.put_slice(&instead.split_to(instead.len().min(buf.remaining())));
            return Poll::Ready(Ok(()));
        }
        if this.first.is_empty() {
            match Pin::new(&mut this.stream).poll_read(cx, buf) {
                Poll::Ready(read) => read?,
                Poll::Pending => return this.poll_patience(cx),
            }
        } else {
            let fits = this.first.len().min(buf.remaining());
            buf.put_slice(&this.first.split_to(fits));
        }
        this.look(buf, before);
        if buf.filled().len() == before && this.refused.is_some() {
            return Pin::new(this).poll_read(cx, buf);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.wrote(written, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.wrote(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        this.wrote(flushed, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
        if this.refused.is_none() {
            return Poll::Ready(Ok(()));
        }
        // To close over bytes that were not read takes the answer away from the client.
        while !this.reading.poll(Owed::Nothing, LINGER, cx) {
            let mut space = [MaybeUninit::uninit(); 1024];
            let mut buf = ReadBuf::uninit(&mut space);
            match Pin::new(&mut this.stream).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {}
                Poll::Ready(_) => break,
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }
}
