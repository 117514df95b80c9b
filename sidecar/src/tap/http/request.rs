//! Takes the body of a POST. Gives the body that goes on, with contexts spliced in, and opens the calls in it.
//! Never holds more than `max_inject_bytes`: what is larger streams through, read on the way and left as it is.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt;

use super::body::{Content, RequestBody};
use super::calls::{Exchange, SharedCalls, lock_late};
use super::origin::Origin;
use super::paced::ClientBody;
use crate::clock;
use crate::frame::Scanner;
use crate::frame::line::Edit;
use crate::record::NotInjected;
use crate::trace::Decision;

/// To copy a body of this size costs less than to send it in pieces.
const SMALL: usize = 8 * 1024;

/// What goes on to the server.
pub(super) struct Prepared {
    pub body: RequestBody,
    /// The context that goes into the header: that of the first call.
    pub injected: Option<Decision>,
    /// The length of a body that is complete.
    pub length: Option<u64>,
}

/// Reads a body that must not be edited, or is too large for it, on its way.
#[derive(Debug)]
pub(super) struct Reader {
    scanner: Scanner,
    broken: bool,
    origin: Origin,
    reason: NotInjected,
    calls: SharedCalls,
}

impl Reader {
    pub fn feed(&mut self, bytes: &[u8]) {
        if !self.broken {
            self.broken = self.scanner.feed(bytes).is_err();
        }
    }

    /// The body has ended: its calls begin.
    pub fn finish(mut self) {
        let fine = !self.broken && self.scanner.finish().is_ok();
        self.origin.hop.count(fine.then_some(&self.scanner));
        if fine {
            let size = usize::try_from(self.scanner.fed()).unwrap_or(usize::MAX);
            let opened = self.origin.messages(&self.scanner, Some(self.reason), size);
            let ended = lock_late(&self.calls).add(opened.calls);
            if let Some((calls, outcome)) = ended {
                for call in calls {
                    self.origin.hop.end_key(&call, outcome, clock::now());
                }
            }
        }
    }
}

/// Reads the body as far as injection needs.
pub(super) async fn prepare(
    mut body: ClientBody,
    origin: Origin,
    untouchable: Option<NotInjected>,
    exchange: &mut Exchange,
) -> Result<Prepared, hyper::Error> {
    let limit = origin.hop.max_inject_bytes;
    let too_large = body.size_hint().lower() > limit as u64;
    if untouchable.is_some() || too_large {
        let reason = untouchable.unwrap_or(NotInjected::TooLarge);
        return Ok(stream(VecDeque::new(), body, origin, reason, exchange));
    }
    let mut whole = Gathered::Nothing;
    while let Some(frame) = body.frame().await {
        // Trailers of a request have no meaning in MCP; they are the only frames without data.
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        whole = whole.and(data);
        if whole.len() > limit {
            let first = VecDeque::from([whole.into_bytes()]);
            return Ok(stream(first, body, origin, NotInjected::TooLarge, exchange));
        }
    }
    Ok(splice(whole.into_bytes(), &origin, exchange))
}

/// A body as it gathers: one piece is the common case and is not copied, more are copied together once.
enum Gathered {
    Nothing,
    One(Bytes),
    More(BytesMut),
}

impl Gathered {
    fn and(self, data: Bytes) -> Self {
        match self {
            Self::Nothing => Self::One(data),
            Self::One(first) => {
                let mut more = BytesMut::with_capacity(2 * (first.len() + data.len()));
                more.extend_from_slice(&first);
                more.extend_from_slice(&data);
                Self::More(more)
            }
            Self::More(mut more) => {
                more.extend_from_slice(&data);
                Self::More(more)
            }
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::One(one) => one.len(),
            Self::More(more) => more.len(),
        }
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Self::Nothing => Bytes::new(),
            Self::One(one) => one,
            Self::More(more) => more.freeze(),
        }
    }
}

fn stream(
    first: VecDeque<Bytes>,
    rest: ClientBody,
    origin: Origin,
    reason: NotInjected,
    exchange: &mut Exchange,
) -> Prepared {
    let calls = SharedCalls::default();
    exchange.late_calls = Some(SharedCalls::clone(&calls));
    let mut reader = Reader {
        calls,
        scanner: Scanner::new(),
        broken: false,
        origin,
        reason,
    };
    first.iter().for_each(|piece| reader.feed(piece));
    Prepared {
        body: RequestBody::new(Content::Stream {
            first,
            rest,
            reader: Some(Box::new(reader)),
        }),
        injected: None,
        length: None,
    }
}

fn splice(whole: Bytes, origin: &Origin, exchange: &mut Exchange) -> Prepared {
    let mut scanner = Scanner::new();
    let fine = scanner.feed(&whole).is_ok() && scanner.finish().is_ok();
    origin.hop.count(fine.then_some(&scanner));
    let (mut edits, mut injected) = (Vec::new(), None);
    if fine {
        let opened = origin.messages(&scanner, None, whole.len());
        (edits, injected) = (opened.edits, opened.injected);
        exchange.calls = opened.calls;
        exchange.modern |= opened.modern;
    }
    let body = apply(whole, edits);
    Prepared {
        length: body.size_hint().exact(),
        body,
        injected,
    }
}

/// The edited body in one piece; none where the edits are in no order.
fn joined(whole: &[u8], edits: &[Edit]) -> Option<Bytes> {
    let added: usize = edits.iter().map(|edit| edit.with.len()).sum();
    let mut joined = Vec::with_capacity(whole.len() + added);
    let mut at = 0;
    for edit in edits {
        joined.extend_from_slice(whole.get(at..edit.at.start)?);
        joined.extend_from_slice(&edit.with);
        at = edit.at.end;
    }
    joined.extend_from_slice(whole.get(at..)?);
    Some(joined.into())
}

fn apply(whole: Bytes, edits: Vec<Edit>) -> RequestBody {
    if edits.is_empty() {
        let pieces = Some(whole).filter(|whole| !whole.is_empty());
        return RequestBody::new(Content::Whole(pieces.into_iter().collect()));
    }
    if whole.len() <= SMALL
        && let Some(joined) = joined(&whole, &edits)
    {
        return RequestBody::new(Content::Whole(VecDeque::from([joined])));
    }
    let mut pieces = VecDeque::with_capacity(2 * edits.len() + 1);
    let mut at = 0;
    for edit in edits {
        pieces.push_back(whole.slice(at..edit.at.start));
        pieces.push_back(Bytes::from(edit.with));
        at = edit.at.end;
    }
    pieces.push_back(whole.slice(at..));
    pieces.retain(|piece| !piece.is_empty());
    RequestBody::new(Content::Whole(pieces))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(size: usize, places: &[usize]) -> (Vec<u8>, Vec<u8>) {
        let whole = vec![b'.'; size];
        let edit = |at: &usize| Edit {
            at: *at..*at + 2,
            with: b"<edit>".to_vec(),
        };
        let body = apply(whole.clone().into(), places.iter().map(edit).collect());
        let Content::Whole(pieces) = body.content() else {
            panic!("a body that is known is sent whole");
        };
        let mut wanted = whole;
        for at in places.iter().rev() {
            wanted.splice(*at..*at + 2, *b"<edit>");
        }
        (pieces.iter().flatten().copied().collect(), wanted)
    }

    #[test]
    fn a_small_body_and_a_large_one_are_edited_alike() {
        for size in [40, SMALL, SMALL + 1] {
            for places in [&[][..], &[0], &[3, 20], &[size - 2], &[0, 2, size - 2]] {
                let (sent, wanted) = edited(size, places);
                assert_eq!(sent, wanted, "{size} {places:?}");
            }
        }
        assert_eq!(edited(0, &[]), (Vec::new(), Vec::new()));
    }
}
