//! Takes what a child writes. Gives its lines; of one that is too long to hold, what kind of message it was.
//! Never holds more than one line: what is too long is read along and let go.

use bytes::{Bytes, BytesMut};

use crate::frame::{Malformed, Scanner};

/// How much is read at a time.
const READ_SIZE: usize = 64 * 1024;

/// A stream of lines.
#[derive(Debug)]
pub(super) struct Lines {
    buffer: BytesMut,
    /// Bytes of the buffer that hold no line end.
    searched: usize,
    /// The line that is passed over.
    skipping: Option<Skipped>,
    max: usize,
}

#[derive(Debug)]
pub(super) enum Line {
    Whole(Bytes),
    TooLong(Skipped),
}

/// A line that was too long to hold.
#[derive(Debug)]
pub(in crate::tap::bridge) struct Skipped {
    pub bytes: u64,
    /// The messages in it: the id of an answer may stand at its very end.
    pub scanned: Result<Scanner, Malformed>,
}

impl Skipped {
    fn new() -> Self {
        Self {
            bytes: 0,
            scanned: Ok(Scanner::new()),
        }
    }

    fn pass(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        if let Ok(scanner) = &mut self.scanned
            && let Err(malformed) = scanner.feed(bytes)
        {
            self.scanned = Err(malformed);
        }
    }

    fn end(self) -> Self {
        let scanned = self.scanned.and_then(|mut scanner| {
            scanner.finish()?;
            Ok(scanner)
        });
        Self { scanned, ..self }
    }
}

impl Lines {
    pub fn new(max: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            searched: 0,
            skipping: None,
            max,
        }
    }

    /// Room to read into.
    pub fn space(&mut self) -> &mut BytesMut {
        self.buffer.reserve(READ_SIZE);
        &mut self.buffer
    }

    /// The next line that has ended and is not blank.
    pub fn next(&mut self) -> Option<Line> {
        loop {
            let unsearched = self.buffer.get(self.searched..).unwrap_or_default();
            let Some(end) = memchr::memchr(b'\n', unsearched) else {
                self.keep_unfinished();
                return None;
            };
            let line = self.buffer.split_to(self.searched + end + 1).freeze();
            self.searched = 0;
            if self.skipping.is_some() || line.len() > self.max {
                let mut skipping = self.skipping.take().unwrap_or_else(Skipped::new);
                skipping.pass(&line);
                return Some(Line::TooLong(skipping.end()));
            }
            let text = line.slice(..line.len() - 1);
            let text = match text.last() {
                Some(b'\r') => text.slice(..text.len() - 1),
                _ => text,
            };
            if !text.iter().all(u8::is_ascii_whitespace) {
                return Some(Line::Whole(text));
            }
        }
    }

    fn keep_unfinished(&mut self) {
        self.searched = self.buffer.len();
        if self.skipping.is_none() && self.buffer.len() <= self.max {
            return;
        }
        let skipping = self.skipping.get_or_insert_with(Skipped::new);
        skipping.pass(&self.buffer);
        // What was held of the line is free again, and not only for the next line.
        self.buffer = BytesMut::new();
        self.searched = 0;
    }
}

#[cfg(test)]
mod tests;
