//! Takes a place in the log.
//! Gives the durable entries behind it in order, in batches, as slices of one read.
//! Never skips a number in silence: what is missing is part of the batch.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::format::{self, ENTRY_HEADER, SEGMENT_HEADER, Seed, Step};
use super::segments::{Segment, Segments};
use super::{Entry, Seq};

/// Entries in order, and the numbers among them that the disk has lost.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Batch {
    pub entries: Vec<Entry>,
    pub missing: Vec<Missing>,
}

/// Numbers, both included, that no longer can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missing {
    pub first: Seq,
    pub last: Seq,
}

/// The log cannot be read now.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}: {source}", path.display())]
pub struct ReadError {
    pub path: PathBuf,
    pub source: io::Error,
}

/// How much one batch may hold; the first entry is always taken.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub bytes: u64,
    pub items: u64,
    /// Nothing above this number.
    pub last: Seq,
}

/// Where a reader stands in a segment.
struct Place {
    index: u64,
    file: File,
    path: PathBuf,
    seed: Seed,
    offset: u64,
}

/// Reads a log from a place on.
pub struct Reader {
    segments: Arc<Segments>,
    next: Seq,
    place: Option<Place>,
    done: Option<u64>,
}

/// How a batch grows.
struct Filling {
    batch: Batch,
    limits: Limits,
    bytes: u64,
    items: u64,
}

impl Filling {
    fn full(&self) -> bool {
        self.bytes >= self.limits.bytes || self.items >= self.limits.items
    }
}

impl Reader {
    const CHUNK: u64 = 4 << 20;

    pub(super) fn new(segments: Arc<Segments>, after: Seq) -> Self {
        Self {
            segments,
            next: after.next(),
            place: None,
            done: None,
        }
    }

    /// The number of the next entry.
    pub fn next(&self) -> Seq {
        self.next
    }

    /// Everything durable from the next number on, up to the limits. Empty when there is nothing new.
    pub fn read(&mut self, bytes: u64, items: u64, last: Seq) -> Result<Batch, ReadError> {
        let limits = Limits { bytes, items, last };
        let mut filling = Filling {
            batch: Batch::default(),
            limits,
            bytes: 0,
            items: 0,
        };
        while !filling.full() && self.next <= last {
            let Some((segment, newest)) = self.segments.holding(self.next, self.done) else {
                break;
            };
            self.reach(&segment, &mut filling.batch)?;
            let end = segment.durable_bytes;
            if self.place.as_ref().is_some_and(|place| place.offset < end) {
                self.read_chunk(end, &mut filling)?;
            } else if !newest {
                self.done = Some(segment.header.index);
            } else {
                break;
            }
        }
        Ok(filling.batch)
    }

    /// Opens the segment if it is another one than the current.
    fn reach(&mut self, segment: &Segment, batch: &mut Batch) -> Result<(), ReadError> {
        if self
            .place
            .as_ref()
            .is_some_and(|place| place.index == segment.header.index)
        {
            return Ok(());
        }
        self.jump(segment.header.first, batch);
        let path = segment.path.clone();
        let file = File::open(&path).map_err(|source| ReadError {
            path: path.clone(),
            source,
        })?;
        let seed = segment.header.seed();
        self.place = Some(Place {
            index: segment.header.index,
            file,
            path,
            seed,
            offset: SEGMENT_HEADER as u64,
        });
        Ok(())
    }

    /// Goes on at `seq` if that is ahead, noting what lies between.
    fn jump(&mut self, seq: Seq, batch: &mut Batch) {
        if seq > self.next {
            batch.missing.push(Missing {
                first: self.next,
                last: seq.before(),
            });
            self.next = seq;
        }
    }

    fn read_chunk(&mut self, end: u64, filling: &mut Filling) -> Result<(), ReadError> {
        let Some(place) = &self.place else {
            return Ok(());
        };
        let left = end.saturating_sub(place.offset);
        let mut chunk = place.read(left.min(Self::CHUNK))?;
        let mut at = 0;
        while !filling.full() {
            match format::step(&chunk, at, self.seed()) {
                Step::Entry(header, _) if header.seq > filling.limits.last => {
                    self.jump(filling.limits.last.next(), &mut filling.batch);
                    break;
                }
                Step::Entry(header, body) => {
                    let size = (body.end - at) as u64;
                    at = body.end;
                    // Entries below `next` are those before the place this reader was asked to begin at.
                    if header.seq >= self.next {
                        self.jump(header.seq, &mut filling.batch);
                        self.next = header.seq.next();
                        filling.bytes += size;
                        filling.items = filling.items.saturating_add(header.items);
                        filling.batch.entries.push(entry(header, chunk.slice(body)));
                    }
                }
                Step::NeedMore(_) if at > 0 && (chunk.len() as u64) < left => break,
                Step::NeedMore(size)
                    if at == 0 && (chunk.len() as u64) < left && size as u64 <= left =>
                {
                    // One entry above the chunk's size, or a header at its very end.
                    chunk = self.read_here(left.min((size.max(ENTRY_HEADER * 2)) as u64))?;
                }
                Step::NeedMore(_) | Step::Bad => {
                    (chunk, at) = self.skip_damage(at, left)?;
                }
            }
            if at as u64 >= left {
                break;
            }
        }
        if let Some(place) = &mut self.place {
            place.offset = place.offset.saturating_add(at as u64).min(end);
        }
        Ok(())
    }

    /// Loads the rest of the segment and finds the next good entry in it, or its end.
    fn skip_damage(&self, at: usize, left: u64) -> Result<(Bytes, usize), ReadError> {
        let rest = self.read_here(left)?;
        let good = format::resync(&rest, at, self.seed(), self.next).unwrap_or(rest.len());
        Ok((rest, good))
    }

    fn read_here(&self, bytes: u64) -> Result<Bytes, ReadError> {
        self.place
            .as_ref()
            .map_or_else(|| Ok(Bytes::new()), |place| place.read(bytes))
    }

    fn seed(&self) -> Seed {
        self.place
            .as_ref()
            .map_or_else(Seed::default, |place| place.seed)
    }
}

impl Place {
    fn read(&self, bytes: u64) -> Result<Bytes, ReadError> {
        let mut buffer = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX)];
        match self.file.read_exact_at(&mut buffer, self.offset) {
            Ok(()) => Ok(buffer.into()),
            Err(source) => Err(ReadError {
                path: self.path.clone(),
                source,
            }),
        }
    }
}

fn entry(header: format::EntryHeader, body: Bytes) -> Entry {
    let format::EntryHeader {
        seq,
        received_at_unix_nanos,
        items,
        signal,
    } = header;
    Entry {
        seq,
        received_at_unix_nanos,
        signal,
        items,
        body,
    }
}
