//! Takes exports in the order they arrive.
//! Gives each a sequence number once it is on disk, and the same entries again after a crash.
//! Never says "durable" before the disk did, and never skips a damaged entry in silence.
//!
//! # Format, version 1
//!
//! A log is a folder of segments named `{index:010}-{first sequence number:020}.wal`. All numbers are little-endian.
//!
//! ```text
//! segment header, 64 bytes          entry, 44 bytes and the body
//!  0   8  "TSPNWAL1"                 0   4  "TSE1"
//!  8   4  version: 1                 4   4  length of the body
//! 12   4  zero                       8   8  sequence number
//! 16  16  log id                    16   8  received at, nanoseconds since 1970
//! 32   8  segment index             24   8  spans or points acknowledged
//! 40   8  first sequence number     32   1  signal: 1 traces, 2 metrics
//! 48   8  created at, nanoseconds   33   3  zero
//! 56   4  zero                      36   4  CRC-32 of the body
//! 60   4  CRC-32 of bytes 0..60     40   4  CRC-32 of log id, segment index and bytes 0..40
//!                                   44   .  body: the OTLP protobuf of one export
//! ```
//!
//! An entry's checksum begins with the log's random id and the segment's index: bytes inside a body, or left over from
//! another segment, never pass for an entry.
//!
//! # Limits
//!
//! A body is at most 4 GiB in this format and a quarter of the quota in this program. Segments are cut at 64 MiB or an
//! eighth of the quota, whichever is less; one entry may exceed that. All segments together stay within the quota.
//!
//! # Rules
//!
//! - *Durable*: the writer gathers what waits, writes it, calls fdatasync once, then answers all of them.
//! - *A failed write or sync* ends the segment: nobody can know what the disk holds behind the last good sync. The file
//!   is cut there and not written again, what waited is refused, and a new segment begins with the number after the last
//!   durable one. Should the disk refuse the cut as well, and the process end before a new segment is begun, then
//!   refused entries that are whole count at the next start: they may be stored twice, never lost.
//! - *Opening* reads every segment. Behind the last good entry of the last segment lies a torn tail: it was never
//!   acknowledged, is cut off and counted. A bad entry with good ones behind it, or in an older segment, is damage: it is
//!   counted, and readers report the missing numbers. Entries with a number that the next segment begins with or
//!   exceeds were refused: they do not count. A new segment is begun at every start.
//! - *Numbers are not used twice*: the next number is also above every sink's cursor, in case the tail that a sink has
//!   already stored was lost.
//! - *Releasing*: a segment is deleted when every sink has stored all of it.

mod disk;
mod entry;
mod format;
mod lock;
mod reader;
mod recover;
mod segments;
mod writer;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot, watch};

pub use disk::{Disk, RealDisk};
pub use entry::{Draft, Entry, LogId, Progress, Seq};
pub use lock::{LockError, StoreLock};
pub use reader::{Batch, Missing, ReadError, Reader};
pub use recover::{Damage, Recovered};

pub(crate) use disk::{create_folder_durable, sync_folder};
use segments::Segments;
use writer::{Append, Writer};

/// What a log may use.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// All segments together stay below this.
    pub quota_bytes: u64,
}

impl Options {
    const SEGMENT_BYTES: u64 = 64 << 20;

    fn segment_bytes(self) -> u64 {
        Self::SEGMENT_BYTES.min(self.quota_bytes / 8)
    }

    /// The largest body that always fits once the sinks have caught up.
    pub fn max_body_bytes(self) -> u64 {
        (self.quota_bytes / 4)
            .min(u64::from(u32::MAX))
            .saturating_sub(1024)
    }
}

/// Why an export is not in the log.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    #[error("the log holds {used} bytes of its quota of {quota}: the stores are behind")]
    Full { used: u64, quota: u64 },
    #[error("an export of {bytes} bytes is above the {limit} that a log with this quota takes")]
    TooLarge { bytes: u64, limit: u64 },
    #[error("the log cannot be written: {what}")]
    Unavailable { what: Arc<str> },
}

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(
        "{} is no segment this version can read ({what}). Nothing was changed. Move the file away to start without the entries in it",
        path.display()
    )]
    Segment { path: PathBuf, what: String },
}

/// A write-ahead log that is open. Clones are handles of the same log.
#[derive(Clone)]
pub struct Log {
    segments: Arc<Segments>,
    queue: mpsc::Sender<Append>,
    progress: watch::Receiver<Progress>,
    options: Options,
}

/// The thread that writes: it ends when the last [`Log`] handle is gone.
pub struct WriterThread(JoinHandle<()>);

impl WriterThread {
    /// Waits until everything that was handed over is written and answered.
    pub fn join(self) {
        // A panic of the writer was already printed by the panic hook, and every waiting append was refused.
        let _ = self.0.join();
    }
}

/// What is given to [`Log::open`] from outside: identity and time are the caller's.
#[derive(Debug, Clone, Copy)]
pub struct Birth {
    /// The id of the log, if there is none yet.
    pub new_id: LogId,
    pub now_unix_nanos: u64,
    /// The highest number any sink knows of.
    pub floor: Seq,
}

impl Log {
    /// Exports that wait for the writer; more wait in their connections.
    const QUEUE: usize = 1024;

    /// Opens the log in `dir`, which this process must have locked, or begins one.
    ///
    /// `visit` sees number, bytes and items of every entry that is there.
    pub fn open<D: Disk>(
        disk: D,
        dir: &Path,
        options: Options,
        birth: Birth,
        visit: &mut dyn FnMut(Seq, u64, u64),
    ) -> Result<(Self, WriterThread, Recovered), OpenError> {
        let mut durable = Progress::default();
        let (segments, recovered) = recover::open(dir, birth, &mut |seq, bytes, items| {
            durable.add(seq, bytes, items);
            visit(seq, bytes, items);
        })?;
        durable.last = recovered.next.before();
        let segments = Arc::new(segments);
        let (queue, waiting) = mpsc::channel(Self::QUEUE);
        let (publish, progress) = watch::channel(durable);
        let mut writer = Writer::new(
            disk,
            Arc::clone(&segments),
            options,
            publish,
            birth.now_unix_nanos,
        );
        writer.begin_segment().map_err(|source| OpenError::Io {
            action: "begin a segment in",
            path: dir.to_owned(),
            source,
        })?;
        let thread = std::thread::Builder::new()
            .name("wal-writer".into())
            .spawn(move || writer.run(waiting))
            .map_err(|source| OpenError::Io {
                action: "start the writer of",
                path: dir.to_owned(),
                source,
            })?;
        Ok((
            Self {
                segments,
                queue,
                progress,
                options,
            },
            WriterThread(thread),
            recovered,
        ))
    }

    /// Returns once the export is on disk.
    pub async fn append_durable(&self, draft: Draft) -> Result<Seq, AppendError> {
        let bytes = draft.body.len() as u64;
        let limit = self.options.max_body_bytes();
        if bytes > limit {
            return Err(AppendError::TooLarge { bytes, limit });
        }
        let room = self
            .segments
            .reserve(format::cost(draft.body.len()), self.options.quota_bytes)?;
        let (reply, answer) = oneshot::channel();
        let gone = || AppendError::Unavailable {
            what: "its writer has ended".into(),
        };
        // The reservation moves into the queue: from here on the writer keeps it or gives it back.
        self.queue
            .send(Append { draft, room, reply })
            .await
            .map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// The log's identity.
    pub fn id(&self) -> LogId {
        self.segments.id
    }

    /// How far the log is durable, as it grows.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// The oldest number a reader can still get.
    pub fn first(&self) -> Seq {
        self.segments.first()
    }

    /// Reads durable entries in order, beginning behind `after`.
    pub fn reader(&self, after: Seq) -> Reader {
        Reader::new(Arc::clone(&self.segments), after)
    }

    /// Deletes segments that hold nothing above `stored`.
    pub fn release(&self, stored: Seq) {
        self.segments.release(stored);
    }

    /// Bytes on disk and on their way to it.
    pub fn used_bytes(&self) -> u64 {
        self.segments.used_bytes()
    }
}
