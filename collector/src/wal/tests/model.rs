//! Takes any history of appends, failures, crashes, flipped bits, releases and restarts.
//! Gives a verdict: the log against a list in memory.
//! Never forgives a lost acknowledged entry that was not reported, nor a changed one.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;

use proptest::prelude::*;

use super::disk::TestDisk;
use super::{BIRTH, draft, segment_files};
use crate::wal::{Birth, Log, Options, Recovered, Seq, WriterThread};

#[derive(Debug, Clone)]
enum Step {
    Append { sizes: Vec<usize> },
    FailedWrite { size: usize },
    FailedSync { size: usize },
    Release { part: u64 },
    Crash { cut: u64, garble: bool },
    FlipBit { place: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![0usize..50, 1000usize..9000];
    prop_oneof![
        6 => prop::collection::vec(size.clone(), 1..6).prop_map(|sizes| Step::Append { sizes }),
        1 => size.clone().prop_map(|size| Step::FailedWrite { size }),
        1 => size.prop_map(|size| Step::FailedSync { size }),
        2 => (0u64..=100).prop_map(|part| Step::Release { part }),
        2 => (any::<u64>(), any::<bool>()).prop_map(|(cut, garble)| Step::Crash { cut, garble }),
        1 => any::<u64>().prop_map(|place| Step::FlipBit { place }),
    ]
}

/// The log under test, and what it owes.
struct Model<'a> {
    dir: &'a Path,
    disk: TestDisk,
    open: Option<(Log, WriterThread)>,
    owed: BTreeMap<u64, String>,
    released: u64,
    damaged: bool,
    reported: bool,
    count: usize,
}

/// Small, so that histories cross segments.
const OPTIONS: Options = Options {
    quota_bytes: 160_000,
};

impl Model<'_> {
    fn start(&mut self) {
        self.disk.heal();
        let birth = Birth {
            floor: Seq(self.released),
            ..BIRTH
        };
        let (log, thread, recovered) = Log::open(
            self.disk.clone(),
            self.dir,
            OPTIONS,
            birth,
            &mut |_, _, _| {},
        )
        .unwrap();
        self.note(&recovered);
        self.disk.all_synced(&segment_files(self.dir));
        self.open = Some((log, thread));
    }

    fn note(&mut self, recovered: &Recovered) {
        self.reported |= !recovered.damage.is_empty() || recovered.torn_bytes > 0;
        if !self.damaged {
            assert_eq!(recovered.damage, [], "damage without a flipped bit");
        }
        // What the last segment lost with a flipped bit was reported as its tail.
        self.owed.retain(|&seq, _| seq < recovered.next.0);
    }

    fn stop(&mut self) {
        let (log, thread) = self.open.take().unwrap();
        super::close(log, thread);
    }

    fn body(&mut self, size: usize) -> String {
        self.count += 1;
        format!("{}:{}", self.count, "x".repeat(size))
    }

    fn append(&mut self, runtime: &tokio::runtime::Runtime, size: usize) -> bool {
        let body = self.body(size);
        let (log, _) = self.open.as_ref().unwrap();
        let number = log.progress().borrow().last.next();
        match runtime.block_on(log.append_durable(draft(&body))) {
            Ok(seq) => {
                assert_eq!(seq, number);
                self.owed.insert(seq.0, body);
                true
            }
            Err(_) => false,
        }
    }

    fn flip(&mut self, place: u64) {
        self.stop();
        let files = segment_files(self.dir);
        let path = &files[usize::try_from(place).unwrap() % files.len()];
        let length = std::fs::metadata(path).unwrap().len();
        // The header of a segment is left alone: a bad one stops the start, which another test shows.
        if length > 64 {
            let at = 64 + place % (length - 64);
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .open(path)
                .unwrap();
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            file.write_all_at(&[byte[0] ^ 1 << (place % 8)], at)
                .unwrap();
            self.damaged = true;
        }
        let owed = self.owed.clone();
        self.start();
        if owed.len() != self.owed.len() {
            assert!(self.reported, "entries vanished with the tail, unreported");
        }
    }

    fn take(&mut self, runtime: &tokio::runtime::Runtime, step: Step) {
        match step {
            Step::Append { sizes } => {
                for size in sizes {
                    self.append(runtime, size);
                }
            }
            Step::FailedWrite { size } => {
                self.disk.fail_next_append();
                assert!(!self.append(runtime, size));
                self.restart_clean();
            }
            Step::FailedSync { size } => {
                self.disk.fail_next_sync();
                assert!(!self.append(runtime, size));
                self.restart_clean();
            }
            Step::Release { part } => {
                let last = self.owed.keys().last().copied().unwrap_or(0);
                self.released = self.released.max(last * part / 100);
                self.open.as_ref().unwrap().0.release(Seq(self.released));
            }
            Step::Crash { cut, garble } => {
                self.stop();
                self.disk.crash(cut, garble);
                self.start();
            }
            Step::FlipBit { place } => self.flip(place),
        }
    }

    /// Half of the failures are followed by a restart at once, the others leave the log refusing for a while.
    fn restart_clean(&mut self) {
        if self.count.is_multiple_of(2) {
            self.stop();
            self.start();
        }
    }

    fn check(&mut self) {
        let (log, _) = self.open.as_ref().unwrap();
        let batch = log
            .reader(Seq(self.released))
            .read(u64::MAX, u64::MAX, Seq(u64::MAX))
            .unwrap();
        let mut read = BTreeMap::new();
        for entry in batch.entries {
            let body = String::from_utf8(entry.body.to_vec()).unwrap();
            assert!(
                read.insert(entry.seq.0, body).is_none(),
                "{} twice",
                entry.seq
            );
        }
        for (seq, body) in &read {
            assert!(
                self.owed.get(seq) == Some(body),
                "entry {seq} was refused, or never given to the log"
            );
        }
        for (seq, body) in self.owed.range(self.released + 1..) {
            let missing = batch
                .missing
                .iter()
                .any(|range| range.first.0 <= *seq && *seq <= range.last.0);
            assert!(
                read.get(seq) == Some(body) || (missing && self.damaged),
                "entry {seq} is lost in silence"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn any_history_keeps_what_was_acknowledged(steps in prop::collection::vec(step(), 1..25)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mut model = Model {
            dir: dir.path(),
            disk: TestDisk::default(),
            open: None,
            owed: BTreeMap::new(),
            released: 0,
            damaged: false,
            reported: false,
            count: 0,
        };
        model.start();
        for step in steps {
            model.take(&runtime, step);
            model.check();
        }
        model.stop();
    }
}
