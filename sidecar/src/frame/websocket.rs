//! Takes the bytes of one direction of a WebSocket connection, in any chunks. Gives each message to whoever reads along
//! and may splice into it, and the bytes to send on.
//! Never changes a byte on its own, and holds nothing but a text message that may be a request, up to its limit:
//! control frames, answers, binary and compressed messages and what is too long go on as they come.
//!
//! Frames are those of RFC 6455, 5.2. After anything that is none, everything passes unread.

mod header;
mod inflate;
mod receive;

use super::line::{Edit, Line};
use super::{Malformed, Scanner};

use header::{BINARY, CONTINUATION, LONGEST, Parsed};
pub use header::{CLOSE, Header, PING, PONG, TEXT, mask};
use inflate::Inflate;
pub use receive::{Broken, Received, Receiver};

/// One thing that passed.
#[derive(Debug)]
pub enum Passed<'a> {
    /// A text message; it can be spliced where it is held.
    Text(Line<'a>),
    /// A text message that is compressed: it can be read, but not changed.
    Compressed(Line<'a>),
    /// A binary message, a compressed one that cannot be read, or the end of what is WebSocket at all.
    Unreadable,
    /// A close frame.
    Close,
}

/// A frame whose payload passes.
#[derive(Debug, Clone, Copy)]
struct Frame {
    header: Header,
    /// Bytes of its payload that passed.
    at: u64,
}

/// The message whose frames pass.
#[derive(Debug, Clone, Copy)]
struct Open {
    text: bool,
    compressed: bool,
}

/// One direction of a connection.
#[derive(Debug)]
pub struct MessageStream {
    head: Vec<u8>,
    frame: Option<Frame>,
    open: Option<Open>,
    scanner: Scanner,
    malformed: Option<Malformed>,
    inflate: Option<Box<Inflate>>,
    /// The frames of the open message, while it may still be spliced.
    held: Vec<u8>,
    holding: bool,
    limit: usize,
    /// What came was no WebSocket.
    lost: bool,
    scratch: Vec<u8>,
    out: Vec<u8>,
}

impl MessageStream {
    /// A stream that holds messages of at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            head: Vec::new(),
            frame: None,
            open: None,
            scanner: Scanner::new(),
            malformed: None,
            inflate: None,
            held: Vec::new(),
            holding: false,
            limit,
            lost: false,
            scratch: Vec::new(),
            out: Vec::new(),
        }
    }

    /// What to send on now. It is forgotten with the next chunk.
    #[must_use]
    pub fn out(&self) -> &[u8] {
        &self.out
    }

    /// Reads the next chunk. `each` sees what passed, and gives the edits of a text message that is held.
    pub fn feed(&mut self, chunk: &[u8], each: &mut impl FnMut(Passed<'_>) -> Vec<Edit>) {
        self.out.clear();
        self.out.shrink_to(64 * 1024);
        let mut rest = chunk;
        while !rest.is_empty() {
            rest = match self.frame {
                _ if self.lost => {
                    self.out.extend_from_slice(rest);
                    return;
                }
                Some(frame) => self.payload(frame, rest, each),
                None => self.head(rest, each),
            };
        }
    }

    /// The connection ends: what is still held goes on.
    pub fn end(&mut self) -> &[u8] {
        self.out.clear();
        self.release();
        self.out.append(&mut self.head);
        &self.out
    }

    fn head<'a>(
        &mut self,
        bytes: &'a [u8],
        each: &mut impl FnMut(Passed<'_>) -> Vec<Edit>,
    ) -> &'a [u8] {
        let before = self.head.len();
        let room = LONGEST.saturating_sub(before).min(bytes.len());
        self.head
            .extend_from_slice(bytes.get(..room).unwrap_or(&[]));
        match Header::parse(&self.head) {
            Parsed::Unfinished => bytes.get(room..).unwrap_or(&[]),
            Parsed::Header(header, length) if self.begin(&header) => {
                self.head.truncate(length);
                let head = std::mem::take(&mut self.head);
                self.pass(&header, &head);
                self.head = head;
                self.head.clear();
                self.frame = Some(Frame { header, at: 0 });
                if header.length == 0 {
                    self.end_frame(&header, each);
                }
                bytes.get(length.saturating_sub(before)..).unwrap_or(&[])
            }
            Parsed::Header(..) | Parsed::Broken => {
                self.head.truncate(before);
                self.release();
                self.out.append(&mut self.head);
                self.lost = true;
                each(Passed::Unreadable);
                bytes
            }
        }
    }

    /// Whether a frame may stand here.
    fn begin(&mut self, header: &Header) -> bool {
        match (header.opcode, self.open) {
            (CONTINUATION, Some(_)) => true,
            (TEXT | BINARY, None) => {
                let text = header.opcode == TEXT;
                self.open = Some(Open {
                    text,
                    compressed: header.compressed,
                });
                self.holding = text && !header.compressed;
                true
            }
            (CLOSE, _) => {
                // Nothing may come behind it.
                self.release();
                true
            }
            _ => header.is_control(),
        }
    }

    /// Sends on, or holds, bytes of a frame.
    fn pass(&mut self, header: &Header, bytes: &[u8]) {
        if self.holding && !header.is_control() {
            self.held.extend_from_slice(bytes);
            if self.held.len() > self.limit {
                self.release();
            }
        } else {
            self.out.extend_from_slice(bytes);
        }
    }

    fn payload<'a>(
        &mut self,
        mut frame: Frame,
        bytes: &'a [u8],
        each: &mut impl FnMut(Passed<'_>) -> Vec<Edit>,
    ) -> &'a [u8] {
        let header = frame.header;
        let left = header.length.saturating_sub(frame.at);
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let (part, rest) = bytes.split_at(length);
        self.pass(&header, part);
        if !header.is_control() {
            self.scan(&header, frame.at, part);
        }
        frame.at = frame.at.saturating_add(length as u64);
        self.frame = Some(frame);
        if frame.at >= header.length {
            self.end_frame(&header, each);
        }
        rest
    }

    fn scan(&mut self, header: &Header, at: u64, part: &[u8]) {
        let Some(Open { text, compressed }) = self.open else {
            return;
        };
        let mut plain = part;
        if let Some(key) = header.mask {
            self.scratch.clear();
            self.scratch.extend_from_slice(part);
            mask(&mut self.scratch, key, at);
            plain = &self.scratch;
        }
        let (scanner, malformed) = (&mut self.scanner, &mut self.malformed);
        let mut feed = |plain: &[u8]| {
            if text && malformed.is_none() {
                *malformed = scanner.feed(plain).err();
            }
        };
        if compressed {
            let inflate = self.inflate.get_or_insert_with(|| Box::new(Inflate::new()));
            inflate.feed(plain, &mut feed);
        } else {
            feed(plain);
        }
        if self.holding && (self.malformed.is_some() || self.scanner.is_answer()) {
            self.release();
        }
    }

    /// The open message can no longer be spliced.
    fn release(&mut self) {
        self.holding = false;
        self.out.append(&mut self.held);
        self.held.shrink_to(64 * 1024);
    }

    fn end_frame(&mut self, header: &Header, each: &mut impl FnMut(Passed<'_>) -> Vec<Edit>) {
        self.frame = None;
        if header.opcode == CLOSE {
            each(Passed::Close);
        } else if !header.is_control() && header.fin {
            self.end_message(each);
        }
    }

    fn end_message(&mut self, each: &mut impl FnMut(Passed<'_>) -> Vec<Edit>) {
        let Some(Open { text, compressed }) = self.open.take() else {
            return;
        };
        let mut readable = text;
        if compressed && let Some(inflate) = &mut self.inflate {
            let (scanner, malformed) = (&mut self.scanner, &mut self.malformed);
            let whole = inflate.end(&mut |plain: &[u8]| {
                if text && malformed.is_none() {
                    *malformed = scanner.feed(plain).err();
                }
            });
            readable &= whole;
        }
        let edits = if readable {
            let scanned = match self.malformed {
                Some(malformed) => Err(malformed),
                None => self.scanner.finish().map(|()| &self.scanner),
            };
            let line = Line {
                scanned,
                held: self.holding,
            };
            each(if compressed {
                Passed::Compressed(line)
            } else {
                Passed::Text(line)
            })
        } else {
            each(Passed::Unreadable)
        };
        if self.holding && !edits.is_empty() {
            splice(&self.held, &edits, &mut self.out);
            self.held.clear();
        }
        self.release();
        self.scanner.reset();
        self.malformed = None;
    }
}

/// Writes the message in these frames as one frame, with the edits in it.
fn splice(frames: &[u8], edits: &[Edit], out: &mut Vec<u8>) {
    let (first, payload) = unframe(frames);
    let added: usize = edits.iter().map(|edit| edit.with.len()).sum();
    let mut message = Vec::with_capacity(payload.len().saturating_add(added));
    let mut at = 0;
    for edit in edits {
        message.extend_from_slice(payload.get(at..edit.at.start).unwrap_or(&[]));
        message.extend_from_slice(&edit.with);
        at = edit.at.end;
    }
    message.extend_from_slice(payload.get(at..).unwrap_or(&[]));
    let header = Header {
        fin: true,
        length: message.len() as u64,
        ..first
    };
    if let Some(key) = header.mask {
        mask(&mut message, key, 0);
    }
    header.write(out);
    out.append(&mut message);
}

/// The plain payload of a message's frames, and its first header.
fn unframe(mut frames: &[u8]) -> (Header, Vec<u8>) {
    let mut payload = Vec::with_capacity(frames.len());
    let mut first = None;
    while let Parsed::Header(header, taken) = Header::parse(frames) {
        first = first.or(Some(header));
        let rest = frames.get(taken..).unwrap_or(&[]);
        let length = usize::try_from(header.length).unwrap_or(usize::MAX);
        let (part, rest) = rest.split_at(length.min(rest.len()));
        let from = payload.len();
        payload.extend_from_slice(part);
        if let (Some(key), Some(part)) = (header.mask, payload.get_mut(from..)) {
            mask(part, key, 0);
        }
        frames = rest;
    }
    let none = || Header::of_server(TEXT, 0);
    (first.unwrap_or_else(none), payload)
}

#[cfg(test)]
mod tests;
