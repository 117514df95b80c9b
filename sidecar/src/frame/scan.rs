//! Takes the bytes of one body, line or event, in any chunks. Gives the messages in them (several in a batch).
//! Never recurses, never buffers the input; memory is a bit for each level of nesting and the short fields it keeps.
//!
//! The grammar is RFC 8259 to the letter, UTF-8 included: what passes here is what a strict parser accepts,
//! so a splice never goes into something a receiver reads differently.

mod kept;
mod lexeme;
mod nesting;

use super::grammar::Node;
use super::message::{Message, Shape, Slot};
use kept::{Kept, Key};
use lexeme::{Number, plain_run, utf8_lead};
use nesting::Nesting;

/// Deeper values are not followed: forwarded, but no message for us.
const MAX_DEPTH: u32 = 1 << 20;
/// Containers below this depth are never of interest (batch, message, params, _meta, clientInfo).
const TRACKED: usize = 6;
/// The bytes are no JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not JSON at byte {at}")]
pub struct Malformed {
    pub at: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A value is due; in `first` of an array a `]` may come instead.
    Value {
        first: bool,
    },
    /// A key is due; in `first` of an object a `}` may come instead.
    Key {
        first: bool,
    },
    Colon,
    /// A value has ended inside a container.
    After,
    /// The whole value has ended: white space only.
    Done,
    Text,
    Escape,
    Hex(u8),
    /// Inside a UTF-8 sequence: bytes to come, and the range of the next.
    Utf8 {
        left: u8,
        low: u8,
        high: u8,
    },
    Number(Number),
    Literal(&'static [u8]),
    Broken,
}

/// A container the scanner looks into.
#[derive(Debug, Clone, Copy, Default)]
struct Level {
    node: Node,
    slot: Option<Slot>,
    filled: bool,
    /// The container is a message: its end ends a part.
    message: bool,
}

/// An incremental scanner for one top-level JSON value.
#[derive(Debug)]
pub struct Scanner {
    state: State,
    at: u64,
    nesting: Nesting,
    levels: [Level; TRACKED],
    /// What the value that comes next is.
    next: (Node, Option<Slot>),
    in_key: bool,
    key: Key,
    kept: Kept,
    batch: bool,
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

impl Scanner {
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: State::Value { first: false },
            at: 0,
            nesting: Nesting::default(),
            levels: [Level::default(); TRACKED],
            next: (Node::Root, None),
            in_key: false,
            key: Key::default(),
            kept: Kept::default(),
            batch: false,
        }
    }

    /// Forgets everything but its buffers, for the next line or event.
    pub fn reset(&mut self) {
        self.state = State::Value { first: false };
        self.at = 0;
        self.nesting.reset();
        self.next = (Node::Root, None);
        self.in_key = false;
        self.kept.reset();
        self.batch = false;
    }

    /// Bytes fed since the last reset.
    #[must_use]
    pub fn fed(&self) -> u64 {
        self.at
    }

    /// The message so far is an answer, so it will not be touched.
    #[must_use]
    pub fn is_answer(&self) -> bool {
        !self.batch && self.kept.is_answer()
    }

    /// The top-level value is an array.
    #[must_use]
    pub fn is_batch(&self) -> bool {
        self.batch
    }

    /// The batch has more messages than are told apart.
    #[must_use]
    pub fn overflowed(&self) -> bool {
        self.kept.overflowed()
    }

    /// The messages of a value that has ended.
    pub fn messages(&self) -> impl Iterator<Item = Message<'_>> {
        self.kept.messages()
    }

    /// Ends the value.
    ///
    /// # Errors
    /// [`Malformed`] when it is not complete.
    pub fn finish(&mut self) -> Result<(), Malformed> {
        if let (0, State::Number(number)) = (self.nesting.depth(), self.state)
            && number.may_end()
        {
            self.state = State::Done;
        }
        if self.state == State::Done {
            return Ok(());
        }
        self.state = State::Broken;
        Err(Malformed { at: self.at })
    }

    /// Reads the next bytes.
    ///
    /// # Errors
    /// [`Malformed`] at the first byte that JSON does not allow, and for every chunk after it.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        let mut i = 0;
        while let Some(&byte) = bytes.get(i) {
            let step = if matches!(self.state, State::Text) {
                self.text(bytes.get(i..).unwrap_or(&[]))
            } else {
                self.byte(byte).map(|()| 1)
            };
            match step {
                Some(n) => {
                    i += n;
                    self.at += n as u64;
                }
                None => {
                    self.state = State::Broken;
                    return Err(Malformed { at: self.at });
                }
            }
        }
        Ok(())
    }

    /// One byte outside of plain text; none when the grammar does not allow it.
    fn byte(&mut self, byte: u8) -> Option<()> {
        match self.state {
            State::Value { .. } | State::Key { .. } | State::Colon | State::After | State::Done
                if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') =>
            {
                Some(())
            }
            State::Value { first } => self.value(byte, first),
            State::Key { first } => self.key(byte, first),
            State::Colon => {
                (byte == b':').then_some(())?;
                self.state = State::Value { first: false };
                Some(())
            }
            State::After => self.after(byte),
            State::Escape => self.escape(byte),
            State::Hex(left) => {
                byte.is_ascii_hexdigit().then_some(())?;
                self.keep(&[byte]);
                self.state = if left > 1 {
                    State::Hex(left - 1)
                } else {
                    State::Text
                };
                Some(())
            }
            State::Utf8 { left, low, high } => {
                (low..=high).contains(&byte).then_some(())?;
                self.keep(&[byte]);
                self.state = if left > 1 {
                    State::Utf8 {
                        left: left - 1,
                        low: 0x80,
                        high: 0xbf,
                    }
                } else {
                    State::Text
                };
                Some(())
            }
            State::Number(number) => self.number(number, byte),
            State::Literal(rest) => {
                let (&due, rest) = rest.split_first()?;
                (byte == due).then_some(())?;
                self.state = State::Literal(rest);
                if rest.is_empty() {
                    self.end_value(self.at + 1);
                }
                Some(())
            }
            State::Text | State::Done | State::Broken => None,
        }
    }

    fn value(&mut self, byte: u8, first: bool) -> Option<()> {
        match byte {
            b'{' | b'[' => self.open(byte == b'{'),
            b']' if first => self.close(false),
            b'"' => {
                self.begin(Shape::String);
                self.in_key = false;
                self.state = State::Text;
                Some(())
            }
            b't' => self.literal(Shape::True, b"rue"),
            b'f' => self.literal(Shape::False, b"alse"),
            b'n' => self.literal(Shape::Null, b"ull"),
            b'-' => self.begin_number(Number::Minus, byte),
            b'0' => self.begin_number(Number::Zero, byte),
            b'1'..=b'9' => self.begin_number(Number::Digits, byte),
            _ => None,
        }
    }

    fn literal(&mut self, shape: Shape, rest: &'static [u8]) -> Option<()> {
        self.begin(shape);
        self.kept.stop();
        self.state = State::Literal(rest);
        Some(())
    }

    fn begin_number(&mut self, number: Number, byte: u8) -> Option<()> {
        self.begin(Shape::Number);
        self.in_key = false;
        self.keep(&[byte]);
        self.state = State::Number(number);
        Some(())
    }

    fn key(&mut self, byte: u8, first: bool) -> Option<()> {
        match byte {
            b'"' => {
                self.fill();
                self.in_key = true;
                // Keys of objects nobody looks into are not kept.
                let ignored = self.level().is_none_or(|level| level.node == Node::Other);
                self.key.begin(ignored);
                self.state = State::Text;
                Some(())
            }
            b'}' if first => self.close(true),
            _ => None,
        }
    }

    fn after(&mut self, byte: u8) -> Option<()> {
        let object = self.nesting.in_object();
        match byte {
            b',' if object => self.state = State::Key { first: false },
            b',' => {
                self.expect_element();
                self.state = State::Value { first: false };
            }
            b'}' if object => return self.close(true),
            b']' if !object => return self.close(false),
            _ => return None,
        }
        Some(())
    }

    fn escape(&mut self, byte: u8) -> Option<()> {
        self.state = match byte {
            b'u' => State::Hex(4),
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => State::Text,
            _ => return None,
        };
        self.keep(&[byte]);
        Some(())
    }

    fn number(&mut self, number: Number, byte: u8) -> Option<()> {
        if let Some(next) = number.step(byte) {
            self.keep(&[byte]);
            self.state = State::Number(next);
            return Some(());
        }
        number.may_end().then_some(())?;
        self.end_value(self.at);
        // The byte behind a number belongs to what holds it.
        self.byte(byte)
    }

    /// A run inside a string: as many plain bytes as there are, with the quote behind them, or one that means something.
    fn text(&mut self, bytes: &[u8]) -> Option<usize> {
        let plain = plain_run(bytes);
        let run = bytes.get(..plain).unwrap_or(&[]);
        if bytes.get(plain) == Some(&b'"') {
            if self.in_key {
                self.end_key(run);
            } else {
                self.keep(run);
                self.end_value(self.at + plain as u64 + 1);
            }
            return Some(plain + 1);
        }
        if plain > 0 {
            self.keep(run);
            return Some(plain);
        }
        let &byte = bytes.first()?;
        match byte {
            b'\\' => {
                self.keep(&[byte]);
                self.key.escape();
                self.state = State::Escape;
            }
            0x80.. => {
                let (left, low, high) = utf8_lead(byte)?;
                self.keep(&[byte]);
                self.state = State::Utf8 { left, low, high };
            }
            _ => return None,
        }
        Some(1)
    }

    /// A key ends with these bytes; most keys are only these.
    fn end_key(&mut self, last: &[u8]) {
        self.key.end(last);
        self.state = State::Colon;
        self.next = match self.level() {
            Some(level) if level.node != Node::Other => self.key.child(level.node, last),
            _ => (Node::Other, None),
        };
    }

    /// A value begins at the current byte: its field starts anew, because the last of duplicate keys counts.
    fn begin(&mut self, shape: Shape) {
        self.fill();
        self.kept.begin(self.next.1, shape, self.at);
    }

    fn end_value(&mut self, end: u64) {
        self.kept.end(self.next.1.take(), end);
        self.state = if self.nesting.depth() == 0 {
            State::Done
        } else {
            State::After
        };
    }

    fn open(&mut self, object: bool) -> Option<()> {
        (self.nesting.depth() < MAX_DEPTH).then_some(())?;
        self.begin(if object {
            Shape::Object { empty: true }
        } else {
            Shape::Array
        });
        self.kept.stop();
        let (node, slot) = self.next;
        let message = object && node == Node::Root;
        if message {
            self.kept.begin_part(self.at);
        }
        let root_array = !object && self.nesting.depth() == 0;
        let overflow = self.kept.overflowed();
        self.nesting.push(object);
        if let Some(level) = self.level_mut() {
            *level = Level {
                // An array is of interest only as a batch; its elements are messages then.
                node: if object && !(message && overflow) {
                    node
                } else {
                    Node::Other
                },
                slot,
                filled: false,
                message: message && !overflow,
            };
        }
        self.batch |= root_array;
        if object {
            self.state = State::Key { first: true };
        } else {
            self.expect_element();
            self.state = State::Value { first: true };
        }
        Some(())
    }

    fn close(&mut self, object: bool) -> Option<()> {
        (self.nesting.depth() > 0 && self.nesting.in_object() == object).then_some(())?;
        let level = self.level().copied().unwrap_or_default();
        self.nesting.pop();
        let end = self.at + 1;
        if level.message {
            self.kept.end_part(end, level.filled);
        }
        if let Some(slot) = level.slot
            && object
        {
            self.kept.end_object(slot, level.filled);
        }
        self.next = (Node::Other, level.slot);
        self.end_value(end);
        Some(())
    }

    /// The next value is an element of the innermost array.
    fn expect_element(&mut self) {
        let message = self.batch_level() && !self.kept.overflowed();
        self.next = (if message { Node::Root } else { Node::Other }, None);
    }

    fn batch_level(&self) -> bool {
        self.nesting.depth() == 1 && !self.nesting.in_object()
    }

    /// Remembers that the innermost container holds something.
    fn fill(&mut self) {
        if let Some(level) = self.level_mut() {
            level.filled = true;
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.in_key {
            self.key.keep(bytes);
        } else {
            self.kept.keep(bytes);
        }
    }

    fn level(&self) -> Option<&Level> {
        self.levels
            .get((self.nesting.depth() as usize).checked_sub(1)?)
    }

    fn level_mut(&mut self) -> Option<&mut Level> {
        self.levels
            .get_mut((self.nesting.depth() as usize).checked_sub(1)?)
    }
}

#[cfg(test)]
mod tests;
