//! Takes the bodies of an exchange with a client. Gives them as they are, and on HTTP/2 tells the stream's pace whose
//! move it is.
//! Never reads ahead, and never waits by itself.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::body::{BoxError, ResponseBody};
use super::pace::Pace;

/// Largest piece of an answer: when there is room for it, or part of it, the client has read something.
const PIECE: usize = 16 * 1024;

/// The body of a client's request.
#[derive(Debug)]
pub(crate) struct ClientBody {
    from: Incoming,
    /// None on HTTP/1.1.
    pace: Option<Arc<Pace>>,
}

impl ClientBody {
    pub(super) fn guarded(from: Incoming) -> Self {
        Self { from, pace: None }
    }

    pub(super) fn paced(from: Incoming, pace: &Arc<Pace>) -> Self {
        let pace = Some(Arc::clone(pace));
        Self { from, pace }
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.from).poll_frame(cx);
        if let Some(pace) = &self.pace {
            pace.request(frame.is_pending());
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.from.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.from.size_hint()
    }
}

impl Drop for ClientBody {
    /// Nobody asks for more.
    fn drop(&mut self) {
        if let Some(pace) = &self.pace {
            pace.request(false);
        }
    }
}

/// The body of an answer, piece by piece: the HTTP library asks for the next when there is room for the last.
#[derive(Debug)]
pub(super) struct PacedAnswer {
    from: ResponseBody,
    /// Of the last piece that came.
    rest: Bytes,
    pace: Arc<Pace>,
}

impl PacedAnswer {
    pub fn new(from: ResponseBody, pace: Arc<Pace>) -> Self {
        Self {
            from,
            rest: Bytes::new(),
            pace,
        }
    }
}

impl Body for PacedAnswer {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.pace.answer(false);
        if self.rest.is_empty() {
            let next = ready!(Pin::new(&mut self.from).poll_frame(cx));
            match next.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => self.rest = data,
                Some(Ok(Err(trailers))) => return Poll::Ready(Some(Ok(trailers))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        let size = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(size);
        self.pace.answer(true);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.from.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, from) = (self.rest.len() as u64, self.from.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(from.lower().saturating_add(rest));
        if let Some(upper) = from.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint
    }
}
