//! Takes the chunks of an event stream and the edits of its events. Gives the chunks to send on.
//! Never holds anything but the unfinished data of an event that may be edited; an answer is not, and never waits.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::{Event, EventStream};
use crate::frame::line::Edit;

/// An event stream on its way, whose events may be edited.
#[derive(Debug)]
pub struct EventEditor {
    stream: EventStream,
    /// The end of what has come, from the data of an undecided event on.
    held: BytesMut,
    /// Where in the stream the held bytes begin.
    from: u64,
    limit: u64,
}

impl EventEditor {
    /// An editor that holds at most about `limit` bytes of an event.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            stream: EventStream::new(),
            held: BytesMut::new(),
            from: 0,
            limit: limit as u64,
        }
    }

    /// The stream has sent an event id, so its answers may come on another stream.
    #[must_use]
    pub fn resumable(&self) -> bool {
        self.stream.resumable()
    }

    /// Reads the next chunk and puts what can go on into `out`. `each` sees every event and whether all of its data
    /// is still here, and gives the edits of the data, in ascending order.
    pub fn feed(
        &mut self,
        chunk: Bytes,
        each: &mut impl FnMut(Event<'_>, bool) -> Vec<Edit>,
        out: &mut VecDeque<Bytes>,
    ) {
        let from = self.from;
        let mut changes = Vec::new();
        self.stream.feed_placed(&chunk, &mut |event, places| {
            let here = places.start().is_some_and(|start| start >= from);
            for edit in each(event, here) {
                if let Some(range) = places.range(&edit).filter(|_| here) {
                    changes.push((range, Bytes::from(edit.with)));
                }
            }
        });
        let undecided = self.stream.undecided(self.limit);
        let until = undecided.filter(|start| *start >= from);
        let whole = if self.held.is_empty() {
            chunk
        } else {
            self.held.extend_from_slice(&chunk);
            if until == Some(from) {
                return;
            }
            self.held.split().freeze()
        };
        self.release(whole, until, changes, out);
    }

    /// Gives on what comes before `until`, changed; the rest is held.
    fn release(
        &mut self,
        mut whole: Bytes,
        until: Option<u64>,
        changes: Vec<(Range<u64>, Bytes)>,
        out: &mut VecDeque<Bytes>,
    ) {
        let from = self.from;
        let place =
            |offset: u64| usize::try_from(offset.saturating_sub(from)).unwrap_or(usize::MAX);
        let end = until.map_or(whole.len(), place).min(whole.len());
        self.held.extend_from_slice(&whole.split_off(end));
        self.from = from.saturating_add(end as u64);
        let mut at = 0;
        for (range, with) in changes {
            let (start, stop) = (place(range.start), place(range.end));
            if at <= start && start <= stop && stop <= end {
                out.extend(
                    [whole.slice(at..start), with]
                        .into_iter()
                        .filter(|b| !b.is_empty()),
                );
                at = stop;
            }
        }
        out.extend(Some(whole.slice(at..)).filter(|b| !b.is_empty()));
    }

    /// What is still held when the stream ends.
    pub fn finish(&mut self) -> Bytes {
        self.from = self.from.saturating_add(self.held.len() as u64);
        self.held.split().freeze()
    }
}
