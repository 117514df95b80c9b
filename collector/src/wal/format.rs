//! Takes headers as values, and bytes of a segment.
//! Gives the bytes of headers, and the entries in a segment's bytes.
//! Never touches a file, and never trusts a length it read.

use std::ops::Range;

use bytes::{Buf, BufMut};
use crc32fast::Hasher;

use super::{Draft, LogId, Seq};
use crate::otlp::Signal;

pub const SEGMENT_HEADER: usize = 64;
pub const ENTRY_HEADER: usize = 44;
pub const VERSION: u32 = 1;

const SEGMENT_MAGIC: &[u8; 8] = b"TSPNWAL1";
const ENTRY_MAGIC: &[u8; 4] = b"TSE1";

/// The bytes an entry takes.
pub fn cost(body: usize) -> u64 {
    (ENTRY_HEADER as u64).saturating_add(body as u64)
}

/// What a segment says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    pub log: LogId,
    pub index: u64,
    pub first: Seq,
    pub created_unix_nanos: u64,
}

impl SegmentHeader {
    pub fn encode(&self) -> [u8; SEGMENT_HEADER] {
        let mut bytes = [0; SEGMENT_HEADER];
        let mut out = bytes.as_mut_slice();
        out.put_slice(SEGMENT_MAGIC);
        out.put_u32_le(VERSION);
        out.put_u32_le(0);
        out.put_u128_le(self.log.0);
        out.put_u64_le(self.index);
        out.put_u64_le(self.first.0);
        out.put_u64_le(self.created_unix_nanos);
        let sum = crc32fast::hash(&bytes[..SEGMENT_HEADER - 4]);
        bytes[SEGMENT_HEADER - 4..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// The header at the start of `segment`, or what is wrong with it.
    pub fn decode(segment: &[u8]) -> Result<Self, String> {
        let Some(bytes) = segment.first_chunk::<SEGMENT_HEADER>() else {
            return Err(format!("{} bytes are no header", segment.len()));
        };
        let (mut rest, sum) = bytes.split_at(SEGMENT_HEADER - 4);
        if !rest.starts_with(SEGMENT_MAGIC) {
            return Err("it does not begin with TSPNWAL1".into());
        }
        if crc32fast::hash(rest).to_le_bytes() != sum {
            return Err("the checksum of its header does not match".into());
        }
        rest.advance(SEGMENT_MAGIC.len());
        let version = rest.get_u32_le();
        if version != VERSION {
            return Err(format!(
                "it has version {version}, this program reads {VERSION}"
            ));
        }
        rest.advance(4);
        Ok(Self {
            log: LogId(rest.get_u128_le()),
            index: rest.get_u64_le(),
            first: Seq(rest.get_u64_le()),
            created_unix_nanos: rest.get_u64_le(),
        })
    }

    /// What every entry checksum of this segment begins with.
    pub fn seed(&self) -> Seed {
        let mut hasher = Hasher::new();
        hasher.update(&self.log.0.to_le_bytes());
        hasher.update(&self.index.to_le_bytes());
        Seed(hasher.finalize())
    }
}

/// Binds entries to their segment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seed(u32);

impl Seed {
    fn sum(self, bytes: &[u8]) -> u32 {
        let mut hasher = Hasher::new_with_initial(self.0);
        hasher.update(bytes);
        hasher.finalize()
    }
}

/// An entry without its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryHeader {
    pub seq: Seq,
    pub received_at_unix_nanos: u64,
    pub items: u64,
    pub signal: Signal,
}

/// The header that stands before the draft's body. The caller has checked that the body fits a u32.
pub fn encode_entry(seed: Seed, seq: Seq, draft: &Draft) -> [u8; ENTRY_HEADER] {
    let mut bytes = [0; ENTRY_HEADER];
    let mut out = bytes.as_mut_slice();
    out.put_slice(ENTRY_MAGIC);
    out.put_u32_le(u32::try_from(draft.body.len()).unwrap_or(u32::MAX));
    out.put_u64_le(seq.0);
    out.put_u64_le(draft.received_at_unix_nanos);
    out.put_u64_le(draft.items);
    out.put_u8(signal_code(draft.signal));
    out.put_bytes(0, 3);
    out.put_u32_le(crc32fast::hash(&draft.body));
    let sum = seed.sum(&bytes[..ENTRY_HEADER - 4]);
    bytes[ENTRY_HEADER - 4..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

fn signal_code(signal: Signal) -> u8 {
    match signal {
        Signal::Traces => 1,
        Signal::Metrics => 2,
    }
}

fn signal_of(code: u8) -> Option<Signal> {
    match code {
        1 => Some(Signal::Traces),
        2 => Some(Signal::Metrics),
        _ => None,
    }
}

/// What stands at a place in a segment.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// A good entry and where its body lies.
    Entry(EntryHeader, Range<usize>),
    /// The bytes end before the entry does; it needs this many from its start.
    NeedMore(usize),
    /// No entry.
    Bad,
}

/// Looks at `bytes[at..]`.
pub fn step(bytes: &[u8], at: usize, seed: Seed) -> Step {
    let Some(rest) = bytes.get(at..) else {
        return Step::NeedMore(ENTRY_HEADER);
    };
    let Some(header) = rest.first_chunk::<ENTRY_HEADER>() else {
        return Step::NeedMore(ENTRY_HEADER);
    };
    let (mut fields, mut sum) = header.split_at(ENTRY_HEADER - 4);
    if !fields.starts_with(ENTRY_MAGIC) || seed.sum(fields) != sum.get_u32_le() {
        return Step::Bad;
    }
    fields.advance(ENTRY_MAGIC.len());
    let length = fields.get_u32_le() as usize;
    let (seq, received_at_unix_nanos, items) = (
        Seq(fields.get_u64_le()),
        fields.get_u64_le(),
        fields.get_u64_le(),
    );
    let Some(signal) = signal_of(fields.get_u8()) else {
        return Step::Bad;
    };
    fields.advance(3);
    let body_sum = fields.get_u32_le();
    let size = ENTRY_HEADER.saturating_add(length);
    let Some(body) = rest.get(ENTRY_HEADER..size) else {
        return Step::NeedMore(size);
    };
    if crc32fast::hash(body) != body_sum {
        return Step::Bad;
    }
    let header = EntryHeader {
        seq,
        received_at_unix_nanos,
        items,
        signal,
    };
    Step::Entry(header, at + ENTRY_HEADER..at + size)
}

/// The place of the next good entry behind the bad one at `at`, with a number of at least `least`.
pub fn resync(bytes: &[u8], at: usize, seed: Seed, least: Seq) -> Option<usize> {
    let start = at.saturating_add(1);
    let candidates = bytes.get(start..)?.windows(ENTRY_MAGIC.len()).enumerate();
    candidates
        .filter(|(_, window)| window == ENTRY_MAGIC)
        .map(|(offset, _)| start + offset)
        .find(|&place| matches!(step(bytes, place, seed), Step::Entry(header, _) if header.seq >= least))
}
