//! Takes the folder of a log as a crash has left it.
//! Gives its segments, every good entry once, and an account of what is torn or damaged.
//! Never changes anything but the torn tail of the last segment.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::format::{self, SEGMENT_HEADER, SegmentHeader, Step};
use super::segments::{Segment, Segments};
use super::{Birth, OpenError, Seq, disk};

/// What opening a log found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    pub segments: usize,
    pub entries: u64,
    /// The number the next export gets.
    pub next: Seq,
    /// Bytes cut from the end of the last segment: never acknowledged.
    pub torn_bytes: u64,
    /// Bytes that should be entries and are not.
    pub damage: Vec<Damage>,
}

/// A place where entries are lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    pub path: PathBuf,
    pub offset: u64,
    pub bytes: u64,
    /// The last good number before it.
    pub after: Seq,
}

/// What one segment's bytes hold.
#[derive(Debug, Default)]
struct Scan {
    entries: u64,
    last: Seq,
    good_end: usize,
    gaps: Vec<(usize, usize, Seq)>,
    tail: usize,
}

/// Reads all segments in `dir`, which exists.
pub fn open(
    dir: &Path,
    birth: Birth,
    visit: &mut dyn FnMut(Seq, u64, u64),
) -> Result<(Segments, Recovered), OpenError> {
    let found = list(dir)?;
    let mut recovered = Recovered {
        segments: found.len(),
        ..Recovered::default()
    };
    let mut last = Seq(0);
    let mut segments = Vec::with_capacity(found.len());
    for (place, (path, header)) in found.iter().enumerate() {
        let next = found.get(place + 1).map(|(_, next)| next.first);
        let bytes = std::fs::read(path).map_err(io_error("read", path))?;
        let scan = scan(&bytes, header, next, visit);
        recovered.entries += scan.entries;
        account(&scan, path, next, &mut recovered);
        let end = if next.is_none() {
            scan.good_end
        } else {
            bytes.len()
        };
        if next.is_none() {
            settle(path, end as u64).map_err(io_error("cut the torn tail of", path))?;
        }
        last = last.max(scan.last).max(header.first.before());
        let durable_bytes = if next.is_none() { end } else { scan.good_end } as u64;
        segments.push(Segment {
            header: *header,
            path: path.clone(),
            durable_bytes,
            file_bytes: end as u64,
        });
    }
    recovered.next = last.max(birth.floor).next();
    let id = found.first().map_or(birth.new_id, |(_, header)| header.log);
    Ok((Segments::new(id, dir.to_owned(), segments), recovered))
}

/// The segments in `dir` in order. Files that a crash left without a whole header are removed: they hold nothing.
fn list(dir: &Path) -> Result<Vec<(PathBuf, SegmentHeader)>, OpenError> {
    let mut found = Vec::new();
    for file in std::fs::read_dir(dir).map_err(io_error("list", dir))? {
        let path = file.map_err(io_error("list", dir))?.path();
        if path.extension().is_none_or(|extension| extension != "wal") {
            continue;
        }
        let head = head(&path).map_err(io_error("read", &path))?;
        match SegmentHeader::decode(&head) {
            Ok(header) => found.push((path, header)),
            Err(_) if head.len() <= SEGMENT_HEADER => {
                std::fs::remove_file(&path).map_err(io_error("remove the unfinished", &path))?;
            }
            Err(what) => return Err(OpenError::Segment { path, what }),
        }
    }
    found.sort_by_key(|(_, header)| header.index);
    same_log(&found)?;
    Ok(found)
}

fn same_log(found: &[(PathBuf, SegmentHeader)]) -> Result<(), OpenError> {
    let Some((_, oldest)) = found.first() else {
        return Ok(());
    };
    match found.iter().find(|(_, header)| header.log != oldest.log) {
        None => Ok(()),
        Some((path, header)) => Err(OpenError::Segment {
            path: path.clone(),
            what: format!(
                "it belongs to the log {}, the others to {}",
                header.log, oldest.log
            ),
        }),
    }
}

/// The header and, if there is more, one byte of it.
fn head(path: &Path) -> io::Result<Vec<u8>> {
    use io::Read;
    let mut head = Vec::with_capacity(SEGMENT_HEADER);
    File::open(path)?
        .take(SEGMENT_HEADER as u64 + 1)
        .read_to_end(&mut head)?;
    Ok(head)
}

fn scan(
    bytes: &[u8],
    header: &SegmentHeader,
    next: Option<Seq>,
    visit: &mut dyn FnMut(Seq, u64, u64),
) -> Scan {
    let seed = header.seed();
    let mut scan = Scan {
        last: header.first.before(),
        good_end: SEGMENT_HEADER,
        ..Scan::default()
    };
    while scan.good_end < bytes.len() {
        let at = scan.good_end;
        if let Step::Entry(entry, body) = format::step(bytes, at, seed) {
            if next.is_some_and(|next| entry.seq >= next) {
                // Written but refused: the segment was sealed before this entry, and its number was given again.
                return scan;
            }
            visit(entry.seq, (body.end - at) as u64, entry.items);
            scan.entries += 1;
            scan.last = entry.seq;
            scan.good_end = body.end;
        } else if let Some(good) = format::resync(bytes, at, seed, scan.last.next()) {
            scan.gaps.push((at, good - at, scan.last));
            scan.good_end = good;
        } else {
            scan.tail = bytes.len() - at;
            return scan;
        }
    }
    scan
}

/// Tells torn from damaged: a tail is torn in the last segment, and refused if nothing is missing before the next one.
fn account(scan: &Scan, path: &Path, next: Option<Seq>, recovered: &mut Recovered) {
    let damage = |&(offset, bytes, after): &(usize, usize, Seq)| Damage {
        path: path.to_owned(),
        offset: offset as u64,
        bytes: bytes as u64,
        after,
    };
    let lost = |gap: &&(usize, usize, Seq)| next.is_none_or(|next| gap.2.next() < next);
    recovered
        .damage
        .extend(scan.gaps.iter().filter(lost).map(damage));
    match next {
        None => recovered.torn_bytes = scan.tail as u64,
        Some(next) if scan.last.next() < next && scan.tail > 0 => {
            recovered
                .damage
                .push(damage(&(scan.good_end, scan.tail, scan.last)));
        }
        Some(_) => {}
    }
}

/// Cuts the last segment behind its last good entry, and syncs: an entry that counts from now on must also last.
fn settle(path: &Path, length: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.set_len(length)?;
    file.sync_all()?;
    path.parent().map_or(Ok(()), disk::sync_folder)
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io {
        action,
        path,
        source,
    }
}
