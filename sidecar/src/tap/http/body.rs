//! Takes the bodies of an exchange. Gives them on frame by frame, and what passed to the exchange.
//! Never keeps a frame back, but for the unfinished data of an event that may be edited.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::calls::Exchange;
use super::handover::Handover;
use super::paced::ClientBody;
use super::relay::Left;
use super::request::Reader;
use super::server::Load;
use crate::tap::bridge::EventBody;

/// The body of a request on its way to the server.
#[derive(Debug)]
pub(super) struct RequestBody {
    content: Content,
    sent: Sent,
}

/// Whether all of a request's body has been taken.
#[derive(Debug, Clone, Default)]
pub(super) struct Sent(Arc<AtomicBool>);

impl Sent {
    pub fn is_complete(&self) -> bool {
        self.0.load(Relaxed)
    }
}

/// What a request's body holds.
#[derive(Debug)]
pub(super) enum Content {
    /// All of it, in pieces: what the client sent and what was spliced between.
    Whole(VecDeque<Bytes>),
    /// As it comes: first what was read already, then the rest, read on the way if there is a reader.
    Stream {
        first: VecDeque<Bytes>,
        rest: ClientBody,
        reader: Option<Box<Reader>>,
    },
}

impl RequestBody {
    pub fn new(content: Content) -> Self {
        let sent = Sent::default();
        sent.0.store(content.is_end(), Relaxed);
        Self { content, sent }
    }

    #[cfg(test)]
    pub(super) fn content(&self) -> &Content {
        &self.content
    }

    /// Tells when all of it has been taken.
    pub fn sent(&self) -> Sent {
        self.sent.clone()
    }
}

impl Content {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self {
            Self::Whole(pieces) => {
                Poll::Ready(pieces.pop_front().map(|piece| Ok(Frame::data(piece))))
            }
            Self::Stream {
                first,
                rest,
                reader,
            } => {
                if let Some(piece) = first.pop_front() {
                    return Poll::Ready(Some(Ok(Frame::data(piece))));
                }
                let frame = ready!(Pin::new(&mut *rest).poll_frame(cx));
                match &frame {
                    Some(Ok(frame)) => {
                        if let (Some(reader), Some(data)) = (reader.as_mut(), frame.data_ref()) {
                            reader.feed(data);
                        }
                        if rest.is_end_stream()
                            && let Some(reader) = reader.take()
                        {
                            reader.finish();
                        }
                    }
                    None => {
                        if let Some(reader) = reader.take() {
                            reader.finish();
                        }
                    }
                    Some(Err(_)) => {}
                }
                Poll::Ready(frame)
            }
        }
    }

    fn is_end(&self) -> bool {
        match self {
            Self::Whole(pieces) => pieces.is_empty(),
            Self::Stream { first, rest, .. } => first.is_empty() && rest.is_end_stream(),
        }
    }

    fn length(&self) -> SizeHint {
        let length =
            |pieces: &VecDeque<Bytes>| pieces.iter().map(|p| p.remaining() as u64).sum::<u64>();
        match self {
            Self::Whole(pieces) => SizeHint::with_exact(length(pieces)),
            Self::Stream { first, rest, .. } => {
                let (first, rest) = (length(first), rest.size_hint());
                let mut hint = SizeHint::new();
                hint.set_lower(first.saturating_add(rest.lower()));
                if let Some(upper) = rest.upper() {
                    hint.set_upper(first.saturating_add(upper));
                }
                hint
            }
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let frame = ready!(this.content.poll(cx));
        if frame.is_none() || this.content.is_end() {
            this.sent.0.store(true, Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_end()
    }

    fn size_hint(&self) -> SizeHint {
        self.content.length()
    }
}

/// The body of an answer on its way to the client.
#[derive(Debug)]
pub(crate) enum ResponseBody {
    /// Of our own.
    Text(Option<Bytes>),
    /// Of the server.
    Server(ServerBody),
    /// Of a command that is served over HTTP.
    Events(Box<EventBody>),
}

impl ResponseBody {
    pub(super) fn server(
        from: Incoming,
        load: Option<Load>,
        exchange: Option<Box<Exchange>>,
        handover: Option<Arc<Handover>>,
    ) -> Self {
        let edited = exchange.as_ref().is_some_and(|exchange| exchange.edits());
        let mut body = ServerBody {
            exchange,
            edited,
            ready: VecDeque::new(),
            end: None,
            from,
            _load: load,
            handover,
        };
        if body.from.is_end_stream() {
            body.finish();
        }
        Self::Server(body)
    }
}

/// The server's answer, with the exchange that reads along.
#[derive(Debug)]
pub(crate) struct ServerBody {
    from: Incoming,
    /// Its stream of a shared connection, until the body has ended.
    _load: Option<Load>,
    exchange: Option<Box<Exchange>>,
    /// Its length may change on the way.
    edited: bool,
    /// What can go on.
    ready: VecDeque<Bytes>,
    /// What comes behind it: an error, trailers.
    end: Option<Result<Frame<Bytes>, hyper::Error>>,
    /// Who may take it over while nothing passes.
    handover: Option<Arc<Handover>>,
}

impl Drop for ServerBody {
    fn drop(&mut self) {
        if let Some(handover) = &self.handover {
            handover.end(Left {
                exchange: self.exchange.take(),
                ready: std::mem::take(&mut self.ready),
            });
        }
    }
}

impl ServerBody {
    /// The answer is complete.
    fn finish(&mut self) {
        if let Some(mut exchange) = self.exchange.take() {
            self.ready.extend(exchange.held());
            exchange.end_of_body();
        }
    }

    fn data(&mut self, data: Bytes) {
        if let Some(exchange) = &mut self.exchange {
            exchange.edit(data, &mut self.ready);
        } else {
            self.ready.push_back(data);
        }
        if self.from.is_end_stream() {
            self.finish();
        }
    }

    fn poll_from(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.from).poll_frame(cx));
        if let (Some(handover), Some(Ok(frame))) = (&self.handover, &frame) {
            handover.pass(frame.data_ref().map_or(0, Bytes::len));
        }
        Poll::Ready(frame)
    }

    fn poll_edited(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            if let Some(end) = self.end.take() {
                return Poll::Ready(Some(end));
            }
            match ready!(self.poll_from(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.data(data),
                    Err(trailers) => {
                        self.finish();
                        self.end = Some(Ok(trailers));
                    }
                },
                Some(Err(error)) => {
                    if let Some(mut exchange) = self.exchange.take() {
                        self.ready.extend(exchange.held());
                        exchange.broken_body();
                    }
                    self.end = Some(Err(error));
                }
                None if self.exchange.is_some() => self.finish(),
                None => return Poll::Ready(None),
            }
        }
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(self.poll_from(cx));
        match &frame {
            Some(Ok(passing)) => {
                if let (Some(exchange), Some(data)) = (&mut self.exchange, passing.data_ref()) {
                    exchange.read(data);
                }
                if self.from.is_end_stream() {
                    self.finish();
                }
            }
            None => self.finish(),
            Some(Err(_)) => {
                if let Some(exchange) = self.exchange.take() {
                    exchange.broken_body();
                }
            }
        }
        Poll::Ready(frame)
    }
}

/// Any error that a body may end with.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Text(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Self::Events(events) => events
                .poll_next(cx)
                .map(|event| event.map(|event| event.map(Frame::data).map_err(Into::into))),
            Self::Server(body) => {
                let frame = if body.edited {
                    body.poll_edited(cx)
                } else {
                    body.poll_read(cx)
                };
                frame.map(|frame| frame.map(|frame| frame.map_err(Into::into)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Text(text) => text.is_none(),
            Self::Events(_) => false,
            Self::Server(body) => {
                body.from.is_end_stream() && body.ready.is_empty() && body.end.is_none()
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Events(_) => SizeHint::new(),
            Self::Text(text) => SizeHint::with_exact(text.as_ref().map_or(0, |t| t.len() as u64)),
            Self::Server(body) if body.edited => SizeHint::new(),
            Self::Server(body) => body.from.size_hint(),
        }
    }
}
