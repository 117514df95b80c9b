//! Takes what a pipe delivers, in any chunks. Gives each line to an observer that may splice into it, and the
//! segments to write: ranges of the buffer and spliced bytes, in order.
//! Never copies a line, never holds back more than `max_hold` bytes, never changes a byte on its own.
//!
//! A line is held until it is complete, because a splice needs the whole message. Three kinds of lines are not
//! held and stream through as they come: answers (as soon as their `result` or `error` is seen), lines longer
//! than `max_hold`, and lines that are no JSON.

use std::ops::Range;

use super::{Malformed, Scanner};

/// How much room a read gets.
const READ_SIZE: usize = 64 * 1024;

/// One thing to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// Bytes as they came.
    Buffer(Range<usize>),
    /// Bytes the observer put in.
    Spliced(Range<usize>),
}

/// Bytes to put in place of a range of the line (empty to insert).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    pub at: Range<usize>,
    pub with: Vec<u8>,
}

/// What a line turned out to be.
#[derive(Debug)]
pub struct Line<'a> {
    pub scanned: Result<&'a Scanner, Malformed>,
    /// All of the line is still here, so edits are possible.
    pub held: bool,
}

/// Sees every line once, when it is complete.
pub trait Observer {
    /// Returns what to splice into the line, in ascending order of place; only for lines that are held.
    fn line(&mut self, line: &Line<'_>) -> Vec<Edit>;
}

#[derive(Debug)]
pub struct Framer {
    scanner: Scanner,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that hold data.
    filled: usize,
    /// Where the unfinished line's held bytes begin.
    held_from: usize,
    /// Bytes of `buffer` that were scanned.
    scanned_to: usize,
    /// The unfinished line streams through.
    streaming: bool,
    malformed: Option<Malformed>,
    /// The unfinished line has a byte that is no white space.
    dirty: bool,
    max_hold: usize,
    spliced: Vec<u8>,
    segments: Vec<Segment>,
}

impl Framer {
    #[must_use]
    pub fn new(max_hold: usize) -> Self {
        Self {
            scanner: Scanner::new(),
            buffer: Vec::new(),
            filled: 0,
            held_from: 0,
            scanned_to: 0,
            streaming: false,
            malformed: None,
            dirty: false,
            max_hold,
            spliced: Vec::new(),
            segments: Vec::new(),
        }
    }

    /// Room to read into.
    pub fn space(&mut self) -> &mut [u8] {
        let wanted = self.filled + READ_SIZE;
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        self.buffer.get_mut(self.filled..).unwrap_or(&mut [])
    }

    /// Takes `n` bytes that were read into [`Framer::space`].
    pub fn advance(&mut self, n: usize, observer: &mut impl Observer) {
        self.filled = (self.filled + n).min(self.buffer.len());
        while let Some(end) = self.line_end() {
            self.scan_to(end);
            self.end_line(end + 1, observer);
        }
        self.scan_to(self.filled);
        let held = self.filled - self.held_from;
        if !self.streaming
            && (self.malformed.is_some() || held > self.max_hold || self.scanner.is_answer())
        {
            self.streaming = true;
        }
        if self.streaming {
            self.push_buffer(self.filled);
        }
    }

    /// The pipe has ended: what is left is a line without its end.
    pub fn end(&mut self, observer: &mut impl Observer) {
        if self.dirty || self.filled > self.held_from {
            self.end_line(self.filled, observer);
        }
    }

    /// What to write now, in order.
    pub fn segments(&self) -> impl Iterator<Item = &[u8]> {
        self.segments.iter().map(|segment| match segment {
            Segment::Buffer(range) => self.buffer.get(range.clone()).unwrap_or(&[]),
            Segment::Spliced(range) => self.spliced.get(range.clone()).unwrap_or(&[]),
        })
    }

    /// The segments were written: makes room, keeping the line that is held.
    pub fn consume(&mut self) {
        self.segments.clear();
        self.spliced.clear();
        self.buffer.copy_within(self.held_from..self.filled, 0);
        self.filled -= self.held_from;
        self.scanned_to = self.scanned_to.saturating_sub(self.held_from);
        self.held_from = 0;
        if self.filled == 0 && self.buffer.len() > 4 * READ_SIZE {
            self.buffer = Vec::new();
        }
    }

    fn line_end(&self) -> Option<usize> {
        let unscanned = self.buffer.get(self.scanned_to..self.filled)?;
        memchr::memchr(b'\n', unscanned).map(|i| self.scanned_to + i)
    }

    fn scan_to(&mut self, end: usize) {
        let bytes = self.buffer.get(self.scanned_to..end).unwrap_or(&[]);
        self.dirty = self.dirty || bytes.iter().any(|b| !b.is_ascii_whitespace());
        if self.malformed.is_none() {
            self.malformed = self.scanner.feed(bytes).err();
        }
        self.scanned_to = end;
    }

    fn end_line(&mut self, end: usize, observer: &mut impl Observer) {
        self.scanned_to = end;
        let from = self.held_from;
        if self.dirty {
            let scanned = match self.malformed {
                Some(malformed) => Err(malformed),
                None => self.scanner.finish().map(|()| &self.scanner),
            };
            let held = !self.streaming && end - from <= self.max_hold;
            let edits = observer.line(&Line { scanned, held });
            for edit in edits.into_iter().filter(|_| held) {
                self.push_buffer(from + edit.at.start);
                let start = self.spliced.len();
                self.spliced.extend_from_slice(&edit.with);
                self.segments
                    .push(Segment::Spliced(start..self.spliced.len()));
                self.held_from = from + edit.at.end;
            }
        }
        self.push_buffer(end);
        self.scanner.reset();
        self.streaming = false;
        self.malformed = None;
        self.dirty = false;
    }

    /// Releases the held bytes up to `end`, joining them to the segment before where they touch.
    fn push_buffer(&mut self, end: usize) {
        let start = self.held_from;
        self.held_from = end;
        match self.segments.last_mut() {
            _ if start >= end => {}
            Some(Segment::Buffer(last)) if last.end == start => last.end = end,
            _ => self.segments.push(Segment::Buffer(start..end)),
        }
    }
}

#[cfg(test)]
mod tests;
