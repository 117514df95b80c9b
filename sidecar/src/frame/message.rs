//! Takes the fields the scanner met. Gives one JSON-RPC message: its kind, its id and the places a context fits in.
//! Never holds more of a message than the few short fields that telemetry needs.

use std::borrow::Cow;

use super::id::Id;
use super::text::unescape;

/// A field of a message that is worth knowing. With duplicate keys the last one counts,
/// as it does for the JSON parsers of all MCP SDKs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Slot {
    Id,
    Method,
    Result,
    Error,
    Params,
    ParamsName,
    ParamsUri,
    ParamsProtocolVersion,
    ParamsRequestId,
    /// Why a request is cancelled.
    ParamsReason,
    Meta,
    Traceparent,
    Tracestate,
    Baggage,
    MetaProtocolVersion,
    MetaClientCapabilities,
    MetaLogLevel,
    /// The token a request asks for progress with.
    MetaProgressToken,
    /// The listen request that a notification belongs to.
    MetaSubscriptionId,
    /// The token a progress notification names.
    ParamsProgressToken,
    ParamsTaskId,
    ClientName,
    ClientVersion,
    IsError,
    ResultType,
    ResultTask,
    ResultProtocolVersion,
    /// The same in the answer that ends a listen request.
    ResultSubscriptionId,
    ServerName,
    ServerVersion,
    ErrorCode,
}

impl Slot {
    pub(crate) const COUNT: usize = Self::ErrorCode as usize + 1;
}

/// What kind of JSON value stands in a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shape {
    #[default]
    Absent,
    String,
    Number,
    True,
    False,
    Null,
    Array,
    Object {
        empty: bool,
    },
}

/// One field: where its value stands in the stream and, if it is short, where its bytes were kept.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Field {
    pub shape: Shape,
    /// Offsets of the value from the first byte of the body, line or event; quotes and brackets included.
    pub start: u64,
    pub end: u64,
    /// The kept bytes (without quotes) in the arena.
    pub kept: (u32, u32),
    /// The value was longer than what is kept.
    pub cut: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Request,
    Notification,
    /// `result` or `error`; the id may be absent with an error.
    Response,
    /// JSON, but no JSON-RPC message.
    Invalid,
}

/// One scanned message. Texts are read through it, from the arena of its scanner.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    pub(crate) part: &'a Part,
    pub(crate) arena: &'a [u8],
}

/// What the scanner keeps of one message.
#[derive(Debug, Clone, Default)]
pub(crate) struct Part {
    pub start: u64,
    pub end: u64,
    pub empty: bool,
    pub fields: [Field; Slot::COUNT],
}

impl<'a> Message<'a> {
    #[must_use]
    pub fn kind(&self) -> Kind {
        let id = matches!(self.shape(Slot::Id), Shape::String | Shape::Number);
        let answer = self.shape(Slot::Result) != Shape::Absent || self.is_error();
        match (self.shape(Slot::Method), answer) {
            (Shape::String, false) if id => Kind::Request,
            (Shape::String, false) if self.shape(Slot::Id) == Shape::Absent => Kind::Notification,
            (Shape::Absent, true) => Kind::Response,
            _ => Kind::Invalid,
        }
    }

    /// It has an `error` object, as JSON-RPC demands; the `error` texts of other protocols do not count.
    #[must_use]
    pub fn is_error(&self) -> bool {
        matches!(self.shape(Slot::Error), Shape::Object { .. })
    }

    #[must_use]
    pub fn id(&self) -> Option<Id> {
        self.id_in(Slot::Id)
    }

    /// The id in a field, such as `params.requestId` of a cancellation. One longer than what is kept is none.
    #[must_use]
    pub fn id_in(&self, slot: Slot) -> Option<Id> {
        let field = self.field(slot);
        if field.cut {
            return None;
        }
        match field.shape {
            Shape::String => Some(Id::string(self.kept(field))),
            Shape::Number => Some(Id::number(self.kept(field))),
            _ => None,
        }
    }

    /// The same, however long it is, out of the bytes that were scanned.
    #[must_use]
    pub fn id_out_of(&self, bytes: &[u8], slot: Slot) -> Option<Id> {
        let field = self.field(slot);
        if !field.cut {
            return self.id_in(slot);
        }
        let (start, end) = (field.start.try_into().ok()?, field.end.try_into().ok()?);
        let raw: &[u8] = bytes.get(start..end)?;
        match field.shape {
            Shape::String => Some(Id::string(raw.get(1..raw.len().checked_sub(1)?)?)),
            Shape::Number => Some(Id::number(raw)),
            _ => None,
        }
    }

    /// It is an error that does not say what it answers: its id is `null` or missing, as where a request could not be
    /// read at all.
    #[must_use]
    pub fn is_nameless_error(&self) -> bool {
        self.kind() == Kind::Response
            && self.is_error()
            && matches!(self.shape(Slot::Id), Shape::Null | Shape::Absent)
    }

    #[must_use]
    pub fn shape(&self, slot: Slot) -> Shape {
        self.field(slot).shape
    }

    /// Where the value of a field stands.
    #[must_use]
    pub fn span(&self, slot: Slot) -> (u64, u64) {
        let field = self.field(slot);
        (field.start, field.end)
    }

    /// The text of a string field; what was kept of it if it is long.
    #[must_use]
    pub fn text(&self, slot: Slot) -> Option<Cow<'a, str>> {
        let field = self.field(slot);
        (field.shape == Shape::String).then(|| unescape(self.kept(field)))
    }

    /// The text of a string field that was kept whole.
    #[must_use]
    pub fn whole_text(&self, slot: Slot) -> Option<Cow<'a, str>> {
        (!self.field(slot).cut).then(|| self.text(slot)).flatten()
    }

    /// The value of an integer field.
    #[must_use]
    pub fn integer(&self, slot: Slot) -> Option<i64> {
        let field = self.field(slot);
        if field.shape != Shape::Number || field.cut {
            return None;
        }
        let text = std::str::from_utf8(self.kept(field)).ok()?;
        text.parse().ok().or_else(|| {
            // A code written as `-32602.0` is the same number; what has a fraction is none.
            let float: f64 = text.parse().ok()?;
            #[expect(
                clippy::cast_possible_truncation,
                reason = "checked to be whole and in range just before"
            )]
            (float.fract() == 0.0 && float.abs() < 9e15).then_some(float as i64)
        })
    }

    /// Bytes of the message, from its `{` to its `}`.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.part.end.saturating_sub(self.part.start)
    }

    /// Where the message's `{` stands.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.part.start
    }

    fn field(&self, slot: Slot) -> &'a Field {
        &self.part.fields[slot as usize]
    }

    fn kept(&self, field: &Field) -> &'a [u8] {
        let (start, len) = (field.kept.0 as usize, field.kept.1 as usize);
        self.arena.get(start..start + len).unwrap_or(&[])
    }
}
