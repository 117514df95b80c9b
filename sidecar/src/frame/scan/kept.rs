//! Takes where keys, fields and messages begin and end, and the bytes in between. Gives the keys, and the messages with
//! the short fields that are kept of them.
//! Never keeps more than a bound of one value, and knows nothing of the grammar.

use super::super::grammar::{self, Node};
use super::super::message::{Field, Message, Part, Shape, Slot};
use super::super::text;

/// Elements of a batch that are told apart.
const MAX_PARTS: usize = 1024;
/// What is kept of all fields of all messages of one value; past it fields are cut.
const MAX_KEPT: usize = 4 << 20;
/// A key of interest, each character as an escape of six.
const KEY_BUFFER: usize = grammar::MAX_KEY * 6;
/// Room for the fields and for the key of an ordinary message: made at once, it does not grow byte by byte.
const USUAL_KEPT: usize = 256;
const USUAL_KEY: usize = 64;

/// The key that is read.
#[derive(Debug, Default)]
pub(super) struct Key {
    bytes: Vec<u8>,
    /// It is too long to be of interest, or nobody asks.
    cut: bool,
    escaped: bool,
}

impl Key {
    pub fn begin(&mut self, ignored: bool) {
        self.bytes.clear();
        self.cut = ignored;
        self.escaped = false;
    }

    pub fn escape(&mut self) {
        self.escaped = true;
    }

    pub fn keep(&mut self, bytes: &[u8]) {
        if self.bytes.len() + bytes.len() > KEY_BUFFER {
            self.cut = true;
        } else if !self.cut {
            if self.bytes.capacity() == 0 {
                self.bytes.reserve(USUAL_KEY);
            }
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// It ends with these bytes; most keys are only these.
    pub fn end(&mut self, last: &[u8]) {
        if !self.bytes.is_empty() {
            self.keep(last);
        }
    }

    /// What it names in a container, given the bytes that it ended with.
    pub fn child(&self, node: Node, last: &[u8]) -> (Node, Option<Slot>) {
        if self.cut {
            (Node::Other, None)
        } else if self.bytes.is_empty() {
            grammar::child(node, last)
        } else if self.escaped {
            grammar::child(node, text::unescape(&self.bytes).as_bytes())
        } else {
            grammar::child(node, &self.bytes)
        }
    }
}

/// The messages of one value.
#[derive(Debug, Default)]
pub(super) struct Kept {
    parts: Vec<Part>,
    pub(super) arena: Vec<u8>,
    /// The field that bytes belong to.
    keeping: Option<Slot>,
    overflow: bool,
}

impl Kept {
    /// Forgets everything but its buffers.
    pub fn reset(&mut self) {
        self.keeping = None;
        self.parts.clear();
        self.arena.clear();
        self.arena.shrink_to(64 * 1024);
        self.overflow = false;
    }

    /// There are more messages than are told apart.
    pub fn overflowed(&self) -> bool {
        self.overflow
    }

    /// The first message has an outcome, and no method.
    pub fn is_answer(&self) -> bool {
        self.parts.first().is_some_and(|part| {
            let is = |slot: Slot| part.fields[slot as usize].shape != Shape::Absent;
            (is(Slot::Result) || is(Slot::Error)) && !is(Slot::Method)
        })
    }

    pub fn messages(&self) -> impl Iterator<Item = Message<'_>> {
        self.parts.iter().map(|part| Message {
            part,
            arena: &self.arena,
        })
    }

    pub fn begin_part(&mut self, start: u64) {
        if self.parts.len() >= MAX_PARTS {
            self.overflow = true;
            return;
        }
        self.parts.push(Part {
            start,
            ..Part::default()
        });
    }

    pub fn end_part(&mut self, end: u64, filled: bool) {
        if let Some(part) = self.parts.last_mut() {
            part.end = end;
            part.empty = !filled;
        }
    }

    /// A value begins: its field starts anew, because the last of duplicate keys counts.
    pub fn begin(&mut self, slot: Option<Slot>, shape: Shape, start: u64) {
        self.keeping = None;
        let Some(slot) = slot else { return };
        if let Some(part) = self.parts.last_mut() {
            // A key that is repeated without end must not fill the arena: its old bytes go if they stand last.
            let (old, len) = part.fields[slot as usize].kept;
            if len > 0 && old as usize + len as usize == self.arena.len() {
                self.arena.truncate(old as usize);
            }
            let kept = u32::try_from(self.arena.len()).unwrap_or(u32::MAX);
            if part.fields[slot as usize].shape != Shape::Absent {
                for below in grammar::below(slot) {
                    part.fields[*below as usize] = Field::default();
                }
            }
            part.fields[slot as usize] = Field {
                shape,
                start,
                end: start,
                kept: (kept, 0),
                cut: false,
            };
            self.keeping = Some(slot);
        }
    }

    /// No more bytes of the field are wanted.
    pub fn stop(&mut self) {
        self.keeping = None;
    }

    pub fn end(&mut self, slot: Option<Slot>, end: u64) {
        if let (Some(slot), Some(part)) = (slot, self.parts.last_mut()) {
            part.fields[slot as usize].end = end;
        }
        self.keeping = None;
    }

    pub fn end_object(&mut self, slot: Slot, filled: bool) {
        if let Some(part) = self.parts.last_mut() {
            part.fields[slot as usize].shape = Shape::Object { empty: !filled };
        }
    }

    pub fn keep(&mut self, bytes: &[u8]) {
        let Some(slot) = self.keeping else { return };
        let Some(field) = self
            .parts
            .last_mut()
            .map(|part| &mut part.fields[slot as usize])
        else {
            return;
        };
        let left = MAX_KEPT.saturating_sub(self.arena.len());
        let room = grammar::keep(slot)
            .saturating_sub(field.kept.1 as usize)
            .min(left);
        let taken = bytes.get(..room.min(bytes.len())).unwrap_or(&[]);
        field.cut |= taken.len() < bytes.len();
        field.kept.1 += u32::try_from(taken.len()).unwrap_or(0);
        if self.arena.capacity() == 0 {
            self.arena.reserve(USUAL_KEPT);
        }
        self.arena.extend_from_slice(taken);
    }
}
