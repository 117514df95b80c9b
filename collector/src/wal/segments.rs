//! Takes what the writer made durable and what the sinks have stored.
//! Gives readers the files and how far each may be read; keeps the sum of bytes below the quota.
//! Never shows a byte that is not durable, and never deletes the segment being written.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::format::{SEGMENT_HEADER, SegmentHeader};
use super::{AppendError, LogId, Seq};

/// One file of the log.
#[derive(Debug, Clone)]
pub struct Segment {
    pub header: SegmentHeader,
    pub path: PathBuf,
    /// Readers stop here.
    pub durable_bytes: u64,
    /// What counts against the quota: the durable bytes, and what a failed write left behind them.
    pub file_bytes: u64,
}

/// All segments, oldest first.
#[derive(Debug)]
pub struct Segments {
    pub id: LogId,
    pub dir: PathBuf,
    list: Mutex<Vec<Segment>>,
    used: Arc<AtomicU64>,
}

/// Bytes of the quota that an export holds until it is in a segment. Dropping it gives them back.
#[derive(Debug)]
pub struct Room {
    bytes: u64,
    used: Arc<AtomicU64>,
}

impl Room {
    /// The bytes are in a segment now: they come back when it is deleted.
    pub fn keep(mut self) {
        self.bytes = 0;
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Segments {
    pub fn new(id: LogId, dir: PathBuf, list: Vec<Segment>) -> Self {
        let used = list.iter().map(|segment| segment.file_bytes).sum();
        Self {
            id,
            dir,
            list: Mutex::new(list),
            used: Arc::new(AtomicU64::new(used)),
        }
    }

    fn list(&self) -> MutexGuard<'_, Vec<Segment>> {
        // Every change below is complete before the guard goes, so a panicked holder left a sound list.
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn used_bytes(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Takes `bytes` from the quota.
    pub fn reserve(&self, bytes: u64, quota: u64) -> Result<Room, AppendError> {
        let take = |used: u64| used.checked_add(bytes).filter(|&sum| sum <= quota);
        match self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
        {
            Ok(_) => Ok(Room {
                bytes,
                used: Arc::clone(&self.used),
            }),
            Err(used) => Err(AppendError::Full { used, quota }),
        }
    }

    /// Adds the segment that is written from now on. Its header is durable.
    pub fn begin(&self, header: SegmentHeader, path: PathBuf) {
        let bytes = SEGMENT_HEADER as u64;
        self.used.fetch_add(bytes, Ordering::Relaxed);
        self.list().push(Segment {
            header,
            path,
            durable_bytes: bytes,
            file_bytes: bytes,
        });
    }

    /// The newest segment is durable up to `bytes`, which the exports have reserved before.
    pub fn grow(&self, bytes: u64) {
        if let Some(active) = self.list().last_mut() {
            active.durable_bytes = bytes;
            active.file_bytes = bytes;
        }
    }

    /// A write to the newest segment failed, and the file is this long.
    pub fn seal(&self, file_bytes: u64) {
        if let Some(active) = self.list().last_mut() {
            self.used.fetch_add(
                file_bytes.saturating_sub(active.file_bytes),
                Ordering::Relaxed,
            );
            active.file_bytes = active.file_bytes.max(file_bytes);
        }
    }

    pub fn newest(&self) -> Option<Segment> {
        self.list().last().cloned()
    }

    pub fn first(&self) -> Seq {
        self.list()
            .first()
            .map_or(Seq(1), |segment| segment.header.first)
    }

    /// The segment to read for `seq`, and whether it is the newest.
    ///
    /// `done` is the index of a segment that has been read to its end.
    pub fn holding(&self, seq: Seq, done: Option<u64>) -> Option<(Segment, bool)> {
        let list = self.list();
        let open = list
            .iter()
            .position(|segment| done.is_none_or(|done| segment.header.index > done))?;
        let rest = list.get(open..)?;
        let behind = rest
            .iter()
            .skip(1)
            .take_while(|segment| segment.header.first <= seq)
            .count();
        rest.get(behind)
            .map(|segment| (segment.clone(), behind.saturating_add(1) == rest.len()))
    }

    /// Deletes segments that hold nothing above `stored`.
    pub fn release(&self, stored: Seq) {
        let mut list = self.list();
        let full = list
            .windows(2)
            .take_while(|pair| matches!(pair, [_, next] if next.header.first.before() <= stored));
        let full = full.count();
        let released: Vec<Segment> = list.drain(..full).collect();
        drop(list);
        for segment in released {
            if let Err(error) = std::fs::remove_file(&segment.path) {
                // The file is read again at the next start, when it is below every cursor and goes away then.
                tracing::warn!(path = %segment.path.display(), %error, "cannot delete a stored log segment");
            }
            self.used.fetch_sub(segment.file_bytes, Ordering::Relaxed);
        }
    }
}
