//! Takes exports from the queue, all that wait at once.
//! Gives each its number after one fdatasync for the whole group.
//! Never writes to a file again after a write or a sync on it failed; it is only cut at its last durable byte.

use std::fs::OpenOptions;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};

use super::disk::{Disk, SegmentFile};
use super::format::{self, SEGMENT_HEADER, Seed, SegmentHeader};
use super::segments::{Room, Segments};
use super::{AppendError, Draft, Options, Progress, Seq};
use crate::clock;

/// A group ends here: the first ones should not wait for the last ones of a flood.
const GROUP_BYTES: u64 = 8 << 20;

/// Two slices an entry; the kernel takes 1024 in one call.
const GROUP_ENTRIES: usize = 512;

/// An export on its way into the log.
pub struct Append {
    pub draft: Draft,
    pub room: Room,
    pub reply: oneshot::Sender<Result<Seq, AppendError>>,
}

/// The segment being written.
struct Active<F> {
    file: F,
    seed: Seed,
    bytes: u64,
}

/// The one place that writes segments.
pub struct Writer<D: Disk> {
    disk: D,
    segments: Arc<Segments>,
    options: Options,
    publish: watch::Sender<Progress>,
    durable: Progress,
    active: Option<Active<D::File>>,
    last_attempt: Option<Instant>,
    /// The highest index whose file is in the way of a segment that could not be begun.
    spent_index: u64,
    created_unix_nanos: u64,
}

impl<D: Disk> Writer<D> {
    /// How often a disk that fails is tried again.
    const RETRY: Duration = Duration::from_secs(1);

    pub fn new(
        disk: D,
        segments: Arc<Segments>,
        options: Options,
        publish: watch::Sender<Progress>,
        created_unix_nanos: u64,
    ) -> Self {
        let durable = *publish.borrow();
        Self {
            disk,
            segments,
            options,
            publish,
            durable,
            active: None,
            last_attempt: None,
            spent_index: 0,
            created_unix_nanos,
        }
    }

    /// Serves until every sender is gone.
    pub fn run(mut self, mut waiting: mpsc::Receiver<Append>) {
        while let Some(first) = waiting.blocking_recv() {
            let group = gather(first, &mut waiting);
            match self.commit(&group) {
                Ok(first) => acknowledge(group, first),
                Err(error) => refuse(group, &error),
            }
        }
    }

    /// Writes the group, syncs once, and makes it visible to readers.
    fn commit(&mut self, group: &[Append]) -> io::Result<Seq> {
        let bytes: u64 = group.iter().map(|append| append.room.bytes()).sum();
        self.make_ready(bytes)?;
        let Some(active) = &mut self.active else {
            return Err(io::Error::other("no segment is open"));
        };
        let first = self.durable.last.next();
        if let Err(error) = write_group(active, first, group) {
            self.seal(&error);
            return Err(error);
        }
        active.bytes = active.bytes.saturating_add(bytes);
        self.segments.grow(active.bytes);
        let mut seq = first;
        for append in group {
            self.durable
                .add(seq, append.room.bytes(), append.draft.items);
            seq = seq.next();
        }
        self.publish.send_replace(self.durable);
        Ok(first)
    }

    /// Sees to it that a segment is open that takes `bytes` more.
    fn make_ready(&mut self, bytes: u64) -> io::Result<()> {
        let full = |active: &Active<D::File>| {
            active.bytes > SEGMENT_HEADER as u64
                && active.bytes.saturating_add(bytes) > self.options.segment_bytes()
        };
        if self.active.as_ref().is_some_and(full) {
            self.active = None;
        }
        if self.active.is_some() {
            return Ok(());
        }
        if self
            .last_attempt
            .is_some_and(|at| at.elapsed() < Self::RETRY)
        {
            return Err(io::Error::other("the disk failed less than a second ago"));
        }
        let begun = self.begin_segment();
        self.last_attempt = begun.is_err().then(clock::instant);
        begun
    }

    /// Begins the next segment.
    pub fn begin_segment(&mut self) -> io::Result<()> {
        let newest = self.segments.newest();
        let index = newest
            .map_or(0, |newest| newest.header.index)
            .max(self.spent_index)
            .saturating_add(1);
        let first = self.durable.last.next();
        let header = SegmentHeader {
            log: self.segments.id,
            index,
            first,
            created_unix_nanos: self.created_unix_nanos,
        };
        let path = self
            .segments
            .dir
            .join(format!("{index:010}-{:020}.wal", first.0));
        let created = self.create(&header, &path);
        if created.is_err() && !matches!(path.try_exists(), Ok(false)) {
            self.spent_index = index;
        }
        let file = created?;
        self.segments.begin(header, path);
        self.active = Some(Active {
            file,
            seed: header.seed(),
            bytes: SEGMENT_HEADER as u64,
        });
        Ok(())
    }

    /// Creates a segment's file, durable with its name before anything is written to it.
    fn create(&self, header: &SegmentHeader, path: &Path) -> io::Result<D::File> {
        let mut file = self.disk.create(path)?;
        let written = file
            .append(&mut [IoSlice::new(&header.encode())])
            .and_then(|()| file.sync())
            .and_then(|()| self.disk.sync_folder(&self.segments.dir));
        if let Err(error) = written {
            // It holds no entry. If it cannot be removed, the next segment gets another name.
            let _ = std::fs::remove_file(path);
            return Err(error);
        }
        Ok(file)
    }

    /// Ends the active segment at its last durable byte.
    fn seal(&mut self, error: &io::Error) {
        self.active = None;
        self.last_attempt = Some(clock::instant());
        let Some(sealed) = self.segments.newest() else {
            return;
        };
        if let Err(error) = cut(&sealed.path, sealed.durable_bytes) {
            tracing::error!(
                %error,
                path = %sealed.path.display(),
                "refused exports cannot be cut off the log; if no segment follows, the next start may store them"
            );
        }
        let length = std::fs::metadata(&sealed.path).map_or(sealed.file_bytes, |data| data.len());
        self.segments.seal(length);
        tracing::error!(
            %error,
            path = %sealed.path.display(),
            durable_bytes = sealed.durable_bytes,
            last = %self.durable.last,
            "the log cannot be written; exports are refused until a new segment works"
        );
    }
}

/// Takes what was refused out of the file: whole entries would count at the next start, and be sent again as well.
fn cut(path: &Path, length: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.set_len(length)?;
    file.sync_all()
}

fn gather(first: Append, waiting: &mut mpsc::Receiver<Append>) -> Vec<Append> {
    let mut bytes = first.room.bytes();
    let mut group = vec![first];
    while bytes < GROUP_BYTES && group.len() < GROUP_ENTRIES {
        let Ok(append) = waiting.try_recv() else {
            break;
        };
        bytes = bytes.saturating_add(append.room.bytes());
        group.push(append);
    }
    group
}

fn write_group<F: SegmentFile>(
    active: &mut Active<F>,
    first: Seq,
    group: &[Append],
) -> io::Result<()> {
    let mut seq = first;
    let mut headers = Vec::with_capacity(group.len());
    for append in group {
        headers.push(format::encode_entry(active.seed, seq, &append.draft));
        seq = seq.next();
    }
    let pairs = headers.iter().zip(group);
    let mut slices: Vec<IoSlice<'_>> = pairs
        .flat_map(|(header, append)| [IoSlice::new(header), IoSlice::new(&append.draft.body)])
        .collect();
    active.file.append(&mut slices)?;
    active.file.sync()
}

fn acknowledge(group: Vec<Append>, first: Seq) {
    let mut seq = first;
    for append in group {
        append.room.keep();
        // Whoever gave up waiting still has the export stored: it was durable before they could know.
        let _ = append.reply.send(Ok(seq));
        seq = seq.next();
    }
}

fn refuse(group: Vec<Append>, error: &io::Error) {
    let what: Arc<str> = error.to_string().into();
    for append in group {
        drop(append.room);
        let _ = append.reply.send(Err(AppendError::Unavailable {
            what: Arc::clone(&what),
        }));
    }
}
