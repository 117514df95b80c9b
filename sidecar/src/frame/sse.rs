//! Takes the chunks of a `text/event-stream` as they pass. Gives the message in the data of each event, and the
//! `endpoint` event of the HTTP+SSE transport.
//! Never buffers an event: its data goes straight into the JSON scanner, and `edit` holds what may be changed.
//!
//! The grammar is "9.2.5 Parsing an event stream" of the HTML standard: lines end with LF, CR or CRLF, several
//! `data` lines are joined by LF, a blank line ends the event, a line that starts with a colon is a comment.

mod edit;

use super::Scanner;
use super::line::Edit;

pub use edit::EventEditor;

/// The longest `event` name or `endpoint` URI that is kept.
const KEEP: usize = 2048;

/// Most lines of data that one event may have to be edited.
const EDITABLE_LINES: usize = 64;

/// One event that carried data.
#[derive(Debug)]
pub enum Event<'a> {
    /// JSON-RPC messages.
    Messages(&'a Scanner),
    /// Data that is no JSON.
    Malformed,
    /// The URI of an `endpoint` event (HTTP+SSE, revision 2024-11-05).
    Endpoint(&'a [u8]),
}

/// Where the data of one event stands in the stream: the lines that were joined to it.
#[derive(Debug, Default)]
pub(crate) struct Places {
    /// Offset in the data and in the stream of the value of each data line.
    lines: Vec<(u64, u64)>,
    /// There were more lines than are kept.
    cut: bool,
}

impl Places {
    fn clear(&mut self) {
        self.lines.clear();
        self.cut = false;
    }

    fn add(&mut self, data: u64, stream: u64) {
        if self.lines.len() < EDITABLE_LINES {
            self.lines.push((data, stream));
        } else {
            self.cut = true;
        }
    }

    /// Where the event's data begins in the stream; none if its places are not known.
    fn start(&self) -> Option<u64> {
        let first = self.lines.first().map(|line| line.1);
        first.filter(|_| !self.cut)
    }

    /// The place in the stream of a byte of the data.
    fn byte(&self, data: u64) -> Option<u64> {
        let line = self.lines.iter().rfind(|line| line.0 <= data)?;
        line.1.checked_add(data.checked_sub(line.0)?)
    }

    /// The range of the stream that an edit of the data means. An insertion goes directly behind the byte before it.
    fn range(&self, edit: &Edit) -> Option<std::ops::Range<u64>> {
        let (start, end) = (edit.at.start as u64, edit.at.end as u64);
        let start = match start.checked_sub(1) {
            Some(before) if start == end => self.byte(before)?.checked_add(1)?,
            _ => self.byte(start)?,
        };
        let end = match end.checked_sub(1) {
            Some(last) if edit.at.start < edit.at.end => self.byte(last)?.checked_add(1)?,
            _ => start,
        };
        Some(start..end)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// Reading the field name.
    Name,
    /// Behind the colon: one space may come.
    Space(Field),
    Value(Field),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Data,
    Event,
    Id,
    Other,
}

/// An incremental parser of one event stream.
#[derive(Debug)]
pub struct EventStream {
    scanner: Scanner,
    line: Line,
    name: Vec<u8>,
    event: Vec<u8>,
    /// The first bytes of the data, for the `endpoint` event.
    data: Vec<u8>,
    data_lines: u32,
    data_length: u64,
    broken: bool,
    /// The last byte was a CR: a LF now belongs to it.
    after_cr: bool,
    saw_id: bool,
    /// Bytes of the stream that were read.
    position: u64,
    places: Places,
    /// Bytes of a byte order mark still to be skipped at the start.
    mark: u8,
}

impl Default for EventStream {
    fn default() -> Self {
        Self::new()
    }
}

impl EventStream {
    #[must_use]
    pub fn new() -> Self {
        Self {
            scanner: Scanner::new(),
            line: Line::Name,
            name: Vec::new(),
            event: Vec::new(),
            data: Vec::new(),
            data_lines: 0,
            data_length: 0,
            broken: false,
            after_cr: false,
            saw_id: false,
            position: 0,
            places: Places::default(),
            mark: 0,
        }
    }

    /// The stream has sent an event id, so its answers may come on another stream.
    #[must_use]
    pub fn resumable(&self) -> bool {
        self.saw_id
    }

    /// Reads the next chunk and hands each complete event that carries data to `each`.
    pub fn feed(&mut self, chunk: &[u8], each: &mut impl FnMut(Event<'_>)) {
        self.feed_placed(chunk, &mut |event, _| each(event));
    }

    /// The same, with the places of the event's data in the stream.
    pub(crate) fn feed_placed(&mut self, chunk: &[u8], each: &mut impl FnMut(Event<'_>, &Places)) {
        let end_of_chunk = self.position.saturating_add(chunk.len() as u64);
        let mut rest = self.skip_mark(chunk);
        while !rest.is_empty() {
            self.position = end_of_chunk.saturating_sub(rest.len() as u64);
            if std::mem::take(&mut self.after_cr)
                && let Some(tail) = rest.strip_prefix(b"\n")
            {
                rest = tail;
                continue;
            }
            let end = memchr::memchr2(b'\n', b'\r', rest);
            let part = rest.get(..end.unwrap_or(rest.len())).unwrap_or(&[]);
            self.part(part);
            let Some(end) = end else { break };
            self.after_cr = rest.get(end) == Some(&b'\r');
            self.end_line(each);
            rest = rest.get(end + 1..).unwrap_or(&[]);
        }
        self.position = end_of_chunk;
    }

    /// Where the data of the unfinished event begins, if it may still turn out to be one that is edited: no answer,
    /// which must not wait, and nothing longer than `limit`.
    pub(crate) fn undecided(&self, limit: u64) -> Option<u64> {
        let start = self.places.start()?;
        let short = self.position.saturating_sub(start) <= limit;
        let open = self.event == b"endpoint" || !(self.broken || self.scanner.is_answer());
        (short && open).then_some(start)
    }

    fn skip_mark<'a>(&mut self, mut chunk: &'a [u8]) -> &'a [u8] {
        const MARK: [u8; 3] = [0xef, 0xbb, 0xbf];
        while let (Some(due), Some((byte, tail))) =
            (MARK.get(usize::from(self.mark)), chunk.split_first())
        {
            if byte != due {
                self.mark = 3;
                break;
            }
            self.mark += 1;
            chunk = tail;
        }
        chunk
    }

    /// A piece of a line, without its end.
    fn part(&mut self, mut part: &[u8]) {
        let end = self.position.saturating_add(part.len() as u64);
        if self.line == Line::Name {
            let colon = memchr::memchr(b':', part);
            let name = part.get(..colon.unwrap_or(part.len())).unwrap_or(&[]);
            keep(&mut self.name, name, 16);
            let Some(colon) = colon else { return };
            self.line = Line::Space(self.field());
            if self.line == Line::Space(Field::Data) {
                self.begin_data();
            }
            part = part.get(colon + 1..).unwrap_or(&[]);
        }
        if let (Line::Space(field), false) = (self.line, part.is_empty()) {
            self.line = Line::Value(field);
            part = part.strip_prefix(b" ").unwrap_or(part);
            if field == Field::Data {
                let data = self.data_length;
                self.places.add(data, end.saturating_sub(part.len() as u64));
            }
        }
        match self.line {
            Line::Value(Field::Data) => self.data(part),
            Line::Value(Field::Event) => keep(&mut self.event, part, KEEP),
            _ => {}
        }
    }

    fn field(&self) -> Field {
        match self.name.as_slice() {
            b"data" => Field::Data,
            b"event" => Field::Event,
            b"id" => Field::Id,
            _ => Field::Other,
        }
    }

    fn begin_data(&mut self) {
        if self.data_lines > 0 {
            self.data(b"\n");
        }
        self.data_lines = self.data_lines.saturating_add(1);
    }

    fn data(&mut self, bytes: &[u8]) {
        self.data_length = self.data_length.saturating_add(bytes.len() as u64);
        keep(&mut self.data, bytes, KEEP);
        if !self.broken {
            self.broken = self.scanner.feed(bytes).is_err();
        }
    }

    fn end_line(&mut self, each: &mut impl FnMut(Event<'_>, &Places)) {
        match self.line {
            Line::Name if self.name.is_empty() => self.end_event(each),
            // A field name alone is a field with an empty value.
            Line::Name => match self.field() {
                Field::Data => self.begin_data(),
                Field::Id => self.saw_id = true,
                Field::Event | Field::Other => {}
            },
            Line::Space(Field::Id) | Line::Value(Field::Id) => self.saw_id = true,
            _ => {}
        }
        self.line = Line::Name;
        self.name.clear();
    }

    fn end_event(&mut self, each: &mut impl FnMut(Event<'_>, &Places)) {
        if self.event == b"endpoint" && self.data_length <= KEEP as u64 {
            each(Event::Endpoint(&self.data), &self.places);
        } else if self.scanner.fed() > 0 {
            // Empty data is the priming event of revision 2025-11-25.
            if !self.broken && self.scanner.finish().is_ok() {
                each(Event::Messages(&self.scanner), &self.places);
            } else {
                each(Event::Malformed, &self.places);
            }
        }
        self.scanner.reset();
        self.event.clear();
        self.data.clear();
        self.data_lines = 0;
        self.data_length = 0;
        self.places.clear();
        self.broken = false;
    }
}

/// Appends, as long as all of it stays below `limit`; what is longer is no name of ours.
fn keep(buffer: &mut Vec<u8>, bytes: &[u8], limit: usize) {
    let room = limit.saturating_sub(buffer.len());
    buffer.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or(&[]));
}

#[cfg(test)]
mod tests;
