//! Takes protobuf wire bytes.
//! Gives their fields one by one, each with the offset it stands at.
//! Never panics and never allocates, except to say what is wrong where.

use super::Malformed;

/// A length-delimited message inside an export, and where it begins.
#[derive(Debug, Clone, Copy, Default)]
pub struct Message<'a> {
    bytes: &'a [u8],
    offset: usize,
}

/// One field: its number and its still untyped value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'a> {
    pub(super) number: u32,
    offset: usize,
    value: Wire<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

/// A message type that takes its fields in any order, as protobuf allows; a later scalar replaces an earlier one.
pub(super) trait Merge<'a> {
    fn merge(&mut self, field: Field<'a>) -> Result<(), Malformed>;

    /// How many elements its lists hold.
    fn elements(&self) -> usize {
        0
    }
}

impl<'a> Message<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    /// Its length on the wire.
    pub(super) fn size(self) -> usize {
        self.bytes.len()
    }

    pub(super) fn offset(self) -> usize {
        self.offset
    }

    pub(super) fn fields(self) -> Fields<'a> {
        Fields {
            rest: self.bytes,
            offset: self.offset,
        }
    }

    /// Hands every field to `target`.
    pub(super) fn read<M: Merge<'a>>(self, target: &mut M) -> Result<(), Malformed> {
        self.each(|field| target.merge(field))
    }

    /// Hands every field to `visit`, in the order of the bytes.
    pub(super) fn each(
        self,
        mut visit: impl FnMut(Field<'a>) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        let mut fields = self.fields();
        while let Some(field) = fields.next()? {
            visit(field)?;
        }
        Ok(())
    }
}

/// A cursor over the fields of a message.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Fields<'a> {
    pub(super) fn next(&mut self) -> Result<Option<Field<'a>>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let start = self.offset;
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).unwrap_or(0);
        if number == 0 || number > MAX_FIELD_NUMBER {
            return Err(Malformed::message(start, format!("no field key: {key}")));
        }
        let offset = self.offset;
        let value = match key & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => Wire::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let len = self.varint()?;
                Wire::Bytes(self.take(usize::try_from(len).unwrap_or(usize::MAX))?)
            }
            5 => Wire::Fixed32(u32::from_le_bytes(self.array()?)),
            3 | 4 => {
                let what = format!("field {number} is a group, which OTLP does not have");
                return Err(Malformed::message(start, what));
            }
            other => {
                let what = format!("field {number} has wire type {other}");
                return Err(Malformed::message(start, what));
            }
        };
        // A message's own offset is that of its first byte, after the length.
        let offset = match value {
            Wire::Bytes(bytes) => self.offset.saturating_sub(bytes.len()),
            _ => offset,
        };
        Ok(Some(Field {
            number,
            offset,
            value,
        }))
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for (index, byte) in self.rest.iter().enumerate().take(10) {
            // The tenth byte may only hold the 64th bit.
            if index == 9 && *byte > 1 {
                return Err(Malformed::message(
                    self.offset,
                    "a varint over 64 bits".into(),
                ));
            }
            value |= u64::from(byte & 0x7f) << (index * 7);
            if byte & 0x80 == 0 {
                let len = index + 1;
                self.rest = self.rest.get(len..).unwrap_or_default();
                self.offset = self.offset.saturating_add(len);
                return Ok(value);
            }
        }
        let what = if self.rest.len() < 10 {
            "ends inside a varint"
        } else {
            "a varint over 10 bytes"
        };
        Err(Malformed::message(self.offset, what.into()))
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let Some((head, rest)) = self.rest.split_at_checked(len) else {
            let what = format!("wants {len} bytes, has {}", self.rest.len());
            return Err(Malformed::message(self.offset, what));
        };
        self.rest = rest;
        self.offset = self.offset.saturating_add(len);
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let Some((head, rest)) = self.rest.split_first_chunk::<N>() else {
            let what = format!("wants {N} bytes, has {}", self.rest.len());
            return Err(Malformed::message(self.offset, what));
        };
        self.rest = rest;
        self.offset = self.offset.saturating_add(N);
        Ok(*head)
    }
}

const MAX_FIELD_NUMBER: u32 = (1 << 29) - 1;

/// How many elements the lists of one item may hold.
///
/// An element of two bytes on the wire takes up to a hundred in memory. The SDKs keep 128 events of a span.
pub(super) const MAX_ELEMENTS: usize = 1 << 18;

impl<'a> Field<'a> {
    pub(super) fn message(self, name: &str) -> Result<Message<'a>, Malformed> {
        let bytes = self.bytes(name)?;
        Ok(Message {
            bytes,
            offset: self.offset,
        })
    }

    pub(super) fn bytes(self, name: &str) -> Result<&'a [u8], Malformed> {
        match self.value {
            Wire::Bytes(bytes) => Ok(bytes),
            other => Err(self.mismatch(name, "length-delimited", other)),
        }
    }

    pub(super) fn text(self, name: &str) -> Result<&'a str, Malformed> {
        let bytes = self.bytes(name)?;
        std::str::from_utf8(bytes).map_err(|error| {
            let offset = self.offset.saturating_add(error.valid_up_to());
            Malformed::field(offset, name, "not UTF-8")
        })
    }

    pub(super) fn varint(self, name: &str) -> Result<u64, Malformed> {
        match self.value {
            Wire::Varint(value) => Ok(value),
            other => Err(self.mismatch(name, "a varint", other)),
        }
    }

    pub(super) fn fixed64(self, name: &str) -> Result<u64, Malformed> {
        match self.value {
            Wire::Fixed64(value) => Ok(value),
            other => Err(self.mismatch(name, "64-bit", other)),
        }
    }

    pub(super) fn fixed32(self, name: &str) -> Result<u32, Malformed> {
        match self.value {
            Wire::Fixed32(value) => Ok(value),
            other => Err(self.mismatch(name, "32-bit", other)),
        }
    }

    pub(super) fn double(self, name: &str) -> Result<f64, Malformed> {
        self.fixed64(name).map(f64::from_bits)
    }

    /// Like protobuf itself, an integer keeps its low 32 bits.
    pub(super) fn uint32(self, name: &str) -> Result<u32, Malformed> {
        self.varint(name).map(low_bits)
    }

    pub(super) fn int32(self, name: &str) -> Result<i32, Malformed> {
        self.uint32(name).map(u32::cast_signed)
    }

    pub(super) fn sint32(self, name: &str) -> Result<i32, Malformed> {
        let raw = self.uint32(name)?;
        Ok((raw >> 1).cast_signed() ^ (raw & 1).cast_signed().wrapping_neg())
    }

    /// That a list of `len` elements may take one more.
    pub(super) fn room(self, name: &str, len: usize) -> Result<(), Malformed> {
        if len < MAX_ELEMENTS {
            return Ok(());
        }
        let what = format!("more than {MAX_ELEMENTS} elements in the lists of one item");
        Err(Malformed::field(self.offset, name, &what))
    }

    /// A repeated 64-bit field, packed or not.
    pub(super) fn fixed64s(self, name: &str, into: &mut Vec<u64>) -> Result<(), Malformed> {
        let Wire::Bytes(bytes) = self.value else {
            self.room(name, into.len())?;
            into.push(self.fixed64(name)?);
            return Ok(());
        };
        let (chunks, rest) = bytes.as_chunks::<8>();
        if !rest.is_empty() {
            let what = format!("{} bytes, no multiple of 8", bytes.len());
            return Err(Malformed::field(self.offset, name, &what));
        }
        // The list may become full, but not fuller.
        let more = into.len().saturating_add(chunks.len());
        self.room(name, more.saturating_sub(1))?;
        into.extend(chunks.iter().map(|chunk| u64::from_le_bytes(*chunk)));
        Ok(())
    }

    /// A repeated varint field, packed or not.
    pub(super) fn varints(self, name: &str, into: &mut Vec<u64>) -> Result<(), Malformed> {
        let Wire::Bytes(bytes) = self.value else {
            self.room(name, into.len())?;
            into.push(self.varint(name)?);
            return Ok(());
        };
        let mut fields = Fields {
            rest: bytes,
            offset: self.offset,
        };
        while !fields.rest.is_empty() {
            self.room(name, into.len())?;
            into.push(fields.varint().map_err(|error| error.within(name))?);
        }
        Ok(())
    }

    fn mismatch(self, name: &str, want: &str, have: Wire<'_>) -> Malformed {
        let have = match have {
            Wire::Varint(_) => "a varint",
            Wire::Fixed64(_) => "64-bit",
            Wire::Fixed32(_) => "32-bit",
            Wire::Bytes(_) => "length-delimited",
        };
        Malformed::field(
            self.offset,
            name,
            &format!("{have} on the wire, want {want}"),
        )
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "protobuf defines that a 32-bit field keeps the low bits"
)]
fn low_bits(value: u64) -> u32 {
    value as u32
}
