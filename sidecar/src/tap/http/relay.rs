//! Takes an event stream that is under way, and its two connections. Gives it on as it is, to its end, but for the
//! edits of its exchange.
//! Never holds a buffer while nothing passes: that is what it is for.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::calls::Exchange;
use super::chunks::Chunks;

/// How much is read at once; it lives on the stack.
const READ: usize = 16 * 1024;
/// What a client may send ahead before it has its answer.
const AHEAD: usize = 1024;

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Complete,
    ClientGone,
    ServerGone,
}

/// What the body of a stream leaves to its relay.
#[derive(Debug, Default)]
pub(super) struct Left {
    pub exchange: Option<Box<Exchange>>,
    /// Pieces of data that can go on.
    pub ready: VecDeque<Bytes>,
}

/// The connections of a stream that has ended in order.
#[derive(Debug)]
pub(super) struct Finished<C, S> {
    pub client: C,
    /// What was read of the client's already.
    pub ahead: Bytes,
    /// None if the server said more than its answer.
    pub server: Option<S>,
}

/// One event stream between two chunks, and what it needs to go on.
#[derive(Debug)]
pub(super) struct Relay<C, S> {
    client: C,
    server: S,
    exchange: Option<Box<Exchange>>,
    /// Its events may be changed on their way: then the chunks are ours.
    edited: bool,
    chunks: Chunks,
    end: Option<End>,
    /// Something followed the end.
    surplus: bool,
    /// What the client's connection did not take yet.
    unsent: Vec<u8>,
    /// What the client sent ahead of time: its next request.
    ahead: Vec<u8>,
}

impl<C, S> Relay<C, S>
where
    C: AsyncRead + AsyncWrite + Unpin,
    S: AsyncRead + AsyncWrite + Unpin,
{
    pub fn new(client: C, ahead: &[u8], server: S, left: Left) -> Self {
        let mut relay = Self {
            client,
            server,
            edited: left
                .exchange
                .as_ref()
                .is_some_and(|exchange| exchange.edits()),
            exchange: left.exchange,
            chunks: Chunks::START,
            end: None,
            surplus: false,
            unsent: Vec::new(),
            ahead: ahead.to_vec(),
        };
        relay.write_chunk(&left.ready);
        relay
    }

    /// Carries the stream to its end; gives what goes on after an end in order.
    pub async fn run(mut self) -> Option<Finished<C, S>> {
        let end = poll_fn(|cx| self.poll(cx)).await;
        match (end, self.exchange.take()) {
            (End::Complete, Some(exchange)) => exchange.end_of_body(),
            (End::ServerGone, Some(exchange)) => exchange.broken_body(),
            // Dropped, it ends its calls as the client has.
            (_, exchange) => drop(exchange),
        }
        (end == End::Complete).then(|| Finished {
            client: self.client,
            ahead: Bytes::from(self.ahead),
            server: (!self.surplus).then_some(self.server),
        })
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        if self.client_is_gone(cx) {
            return Poll::Ready(End::ClientGone);
        }
        loop {
            if ready!(self.poll_unsent(cx)).is_err() {
                return Poll::Ready(End::ClientGone);
            }
            if let Some(end) = self.end {
                return Poll::Ready(end);
            }
            ready!(self.poll_server(cx));
        }
    }

    /// A client has nothing to say during its answer but that it goes away, or its next request.
    fn client_is_gone(&mut self, cx: &mut Context<'_>) -> bool {
        while self.ahead.len() < AHEAD {
            let mut space = [MaybeUninit::uninit(); AHEAD];
            let mut read = ReadBuf::uninit(&mut space);
            match Pin::new(&mut self.client).poll_read(cx, &mut read) {
                Poll::Pending => return false,
                Poll::Ready(Ok(())) if !read.filled().is_empty() => {
                    self.ahead.extend_from_slice(read.filled());
                }
                Poll::Ready(_) => return true,
            }
        }
        false
    }

    fn poll_unsent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut client = Pin::new(&mut self.client);
        while !self.unsent.is_empty() {
            let sent = ready!(client.as_mut().poll_write(cx, &self.unsent))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unsent.drain(..sent);
        }
        self.unsent = Vec::new();
        client.poll_flush(cx)
    }

    fn poll_server(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut space = [MaybeUninit::uninit(); READ];
        let mut read = ReadBuf::uninit(&mut space);
        let came = ready!(Pin::new(&mut self.server).poll_read(cx, &mut read));
        if came.is_err() || read.filled().is_empty() {
            self.end = Some(End::ServerGone);
        } else if self.edited {
            self.edit(read.filled());
        } else {
            self.pass(cx, read.filled());
        }
        self.end = match self.chunks {
            Chunks::Ended => Some(End::Complete),
            Chunks::Broken => Some(End::ServerGone),
            _ => self.end,
        };
        if self.edited && self.end.is_some() {
            self.finish();
        }
        Poll::Ready(())
    }

    /// What came goes on as it is, and is read after that.
    fn pass(&mut self, cx: &mut Context<'_>, bytes: &[u8]) {
        let before = self.chunks;
        let ours = self.chunks.feed(bytes, |_| {});
        let (body, more) = bytes.split_at(ours);
        self.surplus = !more.is_empty();
        let sent = match Pin::new(&mut self.client).poll_write(cx, body) {
            Poll::Ready(Ok(sent)) => sent,
            // The next attempt finds the same, and says what it means.
            Poll::Ready(Err(_)) | Poll::Pending => 0,
        };
        self.unsent
            .extend_from_slice(body.get(sent..).unwrap_or_default());
        if let Some(exchange) = &mut self.exchange {
            let mut again = before;
            again.feed(body, |data| exchange.read(data));
        }
    }

    fn edit(&mut self, bytes: &[u8]) {
        let mut ready = VecDeque::new();
        let exchange = &mut self.exchange;
        let ours = self.chunks.feed(bytes, |data| {
            if let Some(exchange) = exchange {
                exchange.edit(Bytes::copy_from_slice(data), &mut ready);
            }
        });
        self.surplus = ours < bytes.len();
        self.write_chunk(&ready);
    }

    /// No more comes: what was held until it could be understood goes on.
    fn finish(&mut self) {
        let held = self.exchange.as_mut().and_then(|exchange| exchange.held());
        self.write_chunk(&held.into_iter().collect());
        if self.end == Some(End::Complete) {
            self.unsent.extend_from_slice(b"0\r\n\r\n");
        }
    }

    fn write_chunk(&mut self, pieces: &VecDeque<Bytes>) {
        let size: usize = pieces.iter().map(Bytes::len).sum();
        if size > 0 {
            self.unsent
                .extend_from_slice(format!("{size:x}\r\n").as_bytes());
            pieces
                .iter()
                .for_each(|piece| self.unsent.extend_from_slice(piece));
            self.unsent.extend_from_slice(b"\r\n");
        }
    }
}

#[cfg(test)]
mod tests;
