use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Mutex;

use bytes::Bytes;
use tokio::task::JoinHandle;

use super::*;
use crate::ledger::SinkLedger;
use crate::shutdown::{Stopper, stop};
use crate::wal::{Birth, Draft, LogId, Options, RealDisk, WriterThread};

/// What the scripted sink does with its next block; when the script is over it stores.
#[derive(Debug, Clone, Copy)]
enum Act {
    Retry,
    Poison,
    Panic,
    /// Stores, and never says so.
    Hang,
}

/// A store in memory.
#[derive(Default)]
struct Stage {
    script: VecDeque<Act>,
    attempts: Vec<String>,
    rows: BTreeMap<String, Vec<u64>>,
}

#[derive(Clone, Default)]
struct Actor(Arc<Mutex<Stage>>);

impl Actor {
    fn new(script: &[Act]) -> Self {
        let actor = Self::default();
        actor.0.lock().unwrap().script.extend(script);
        actor
    }

    fn attempts(&self) -> Vec<String> {
        self.0.lock().unwrap().attempts.clone()
    }

    /// The numbers of all stored entries, in order.
    fn numbers(&self) -> Vec<u64> {
        let mut numbers: Vec<u64> = self
            .0
            .lock()
            .unwrap()
            .rows
            .values()
            .flatten()
            .copied()
            .collect();
        numbers.sort_unstable();
        numbers
    }
}

impl Sink for Actor {
    fn name(&self) -> &'static str {
        "actor"
    }

    async fn write(&self, block: &Block) -> Result<Written, SinkError> {
        let act = {
            let mut stage = self.0.lock().unwrap();
            stage.attempts.push(block.id());
            stage.script.pop_front()
        };
        match act {
            Some(Act::Retry) => {
                return Err(SinkError::Retry {
                    what: "not now".into(),
                });
            }
            Some(Act::Poison) => {
                return Err(SinkError::Poison {
                    what: "never".into(),
                });
            }
            Some(Act::Panic) => panic!("the script says so"),
            None | Some(Act::Hang) => {}
        }
        let numbers = block.entries.iter().map(|entry| entry.seq.0).collect();
        self.0.lock().unwrap().rows.insert(block.id(), numbers);
        if matches!(act, Some(Act::Hang)) {
            std::future::pending::<()>().await;
        }
        Ok(Written {
            rows: block.items(),
        })
    }
}

/// A log in a folder, and what pumps on it need.
struct Rig {
    dir: tempfile::TempDir,
    log: Log,
    _writer: WriterThread,
    ledger: Arc<Ledger>,
    marks: Arc<Watermarks>,
}

impl Rig {
    fn new(sinks: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let birth = Birth {
            new_id: LogId(9),
            now_unix_nanos: 1,
            floor: Seq(0),
        };
        let options = Options {
            quota_bytes: 1 << 20,
        };
        let (log, writer, _) =
            Log::open(RealDisk, dir.path(), options, birth, &mut |_, _, _| {}).unwrap();
        let ledger = Arc::new(Ledger::new(
            (0..sinks).map(|_| SinkLedger::new("actor")).collect(),
        ));
        let marks = Arc::new(Watermarks::new(log.clone(), vec![Seq(0); sinks]));
        Self {
            dir,
            log,
            _writer: writer,
            ledger,
            marks,
        }
    }

    async fn append(&self, signal: Signal, count: usize) {
        for _ in 0..count {
            let draft = Draft {
                received_at_unix_nanos: 1,
                signal,
                items: 2,
                body: Bytes::from_static(b"body"),
            };
            self.log.append_durable(draft).await.unwrap();
        }
    }

    fn cursor(&self, place: usize) -> Cursor {
        let mut cursor = Cursor::open(self.dir.path().join(format!("cursor{place}.json"))).unwrap();
        assert_eq!(cursor.bind(self.log.id(), self.log.first()), None);
        cursor
    }

    fn pump(&self, place: usize, sink: &Actor, age: Duration) -> (JoinHandle<()>, Stopper) {
        let cursor = self.cursor(place);
        let consumed = self.consumed(cursor.stored());
        let pump = Pump {
            sink: Arc::new(sink.clone()),
            log: self.log.clone(),
            dead: DeadLetters::new(self.dir.path().join("deadletter")),
            cursor,
            limits: BlockLimits {
                age,
                ..BlockLimits::default()
            },
            ledger: Arc::clone(&self.ledger),
            marks: Arc::clone(&self.marks),
            place,
            consumed,
            reader: None,
        };
        let (stopper, stop) = stop();
        (tokio::spawn(pump.run(stop)), stopper)
    }

    fn consumed(&self, stored: Seq) -> Progress {
        let mut sum = Progress::default();
        for entry in self
            .log
            .reader(Seq(0))
            .read(u64::MAX, u64::MAX, stored)
            .unwrap()
            .entries
        {
            sum.add(entry.seq, entry.cost(), entry.items);
        }
        sum
    }

    /// accepted = stored + pending + dead-lettered, with pending counted anew from log and cursor.
    fn assert_balance(&self, place: usize) {
        self.ledger.refresh(&self.log);
        let counters = &self.ledger.sinks[place];
        let stored = self.cursor(place).stored();
        let left = self
            .log
            .reader(stored)
            .read(u64::MAX, u64::MAX, Seq(u64::MAX))
            .unwrap();
        let pending: u64 = left.entries.iter().map(|entry| entry.items).sum();
        assert_eq!(counters.pending.get(), pending);
        let accepted = self.log.progress().borrow().items;
        assert_eq!(
            accepted,
            counters.stored.get() + counters.dead_lettered.get() + pending
        );
    }
}

const SOON: Duration = Duration::from_millis(5);

async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "not within 20 s: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn letters(dir: &Path) -> Vec<String> {
    let folders = std::fs::read_dir(dir.join("deadletter")).unwrap();
    folders
        .map(|folder| folder.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_arrives_once_in_blocks_of_one_signal() {
    let (rig, sink) = (Rig::new(1), Actor::default());
    rig.append(Signal::Traces, 3).await;
    rig.append(Signal::Metrics, 2).await;
    let (pump, stopper) = rig.pump(0, &sink, SOON);
    eventually("all stored", || sink.numbers() == [1, 2, 3, 4, 5]).await;
    rig.append(Signal::Traces, 1).await;
    eventually("the late one too", || sink.numbers() == [1, 2, 3, 4, 5, 6]).await;
    stopper.stop();
    pump.await.unwrap();
    assert_eq!(sink.attempts().len(), 3);
    assert!(sink.attempts()[0].ends_with("-00000000000000000001-00000000000000000005-traces"));
    assert!(sink.attempts()[1].ends_with("-00000000000000000001-00000000000000000005-metrics"));
    rig.assert_balance(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_is_not_cut_anew_after_a_crash() {
    let (rig, sink) = (Rig::new(1), Actor::new(&[Act::Hang]));
    rig.append(Signal::Traces, 3).await;
    let (pump, _stopper) = rig.pump(0, &sink, SOON);
    eventually("the first attempt has stored", || {
        sink.numbers() == [1, 2, 3]
    })
    .await;
    pump.abort();
    assert!(pump.await.unwrap_err().is_cancelled());
    rig.append(Signal::Traces, 2).await;
    let (pump, stopper) = rig.pump(0, &sink, SOON);
    eventually("the rest", || sink.numbers() == [1, 2, 3, 4, 5]).await;
    stopper.stop();
    pump.await.unwrap();
    let attempts = sink.attempts();
    assert_eq!(attempts[0], attempts[1], "the same block again");
    assert!(attempts[2].contains("00000000000000000004-00000000000000000005"));
    assert_eq!(rig.cursor(0).stored(), Seq(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_stored_is_set_aside_with_its_reason() {
    let (rig, sink) = (
        Rig::new(1),
        Actor::new(&[Act::Retry, Act::Retry, Act::Poison, Act::Panic]),
    );
    rig.append(Signal::Traces, 2).await;
    rig.append(Signal::Metrics, 1).await;
    let (pump, stopper) = rig.pump(0, &sink, SOON);
    eventually("two dead letters", || {
        rig.ledger.sinks[0].dead_lettered.get() == 6
    })
    .await;
    rig.append(Signal::Traces, 1).await;
    eventually("going on", || sink.numbers() == [4]).await;
    stopper.stop();
    pump.await.unwrap();
    assert_eq!(rig.ledger.sinks[0].retries.get(), 2);
    rig.assert_balance(0);
    let mut folders = letters(rig.dir.path());
    folders.sort();
    assert_eq!(folders.len(), 2, "{folders:?}");
    let poison = rig.dir.path().join("deadletter").join(&folders[1]);
    let about = std::fs::read_to_string(poison.join("about.json")).unwrap();
    assert!(
        about.contains("\"reason\":\"never\"") && about.contains("\"items\":4"),
        "{about}"
    );
    assert_eq!(
        std::fs::read(poison.join("00000000000000000002.otlp")).unwrap(),
        b"body"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_is_down_holds_up_nobody_and_loses_nothing() {
    let rig = Rig::new(2);
    let (down, up) = (Actor::new(&[Act::Retry; 3]), Actor::default());
    let (slow, slow_stopper) = rig.pump(0, &down, SOON);
    let (fast, fast_stopper) = rig.pump(1, &up, SOON);
    rig.append(Signal::Traces, 4).await;
    eventually("the other sink has all", || up.numbers() == [1, 2, 3, 4]).await;
    eventually("in the end both have", || down.numbers() == [1, 2, 3, 4]).await;
    for (pump, stopper) in [(slow, slow_stopper), (fast, fast_stopper)] {
        stopper.stop();
        pump.await.unwrap();
    }
    rig.assert_balance(0);
    rig.assert_balance(1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_word_to_stop_stores_what_is_there_at_once() {
    let (rig, sink) = (Rig::new(1), Actor::default());
    rig.append(Signal::Traces, 3).await;
    let (pump, stopper) = rig.pump(0, &sink, Duration::from_secs(3600));
    stopper.stop();
    tokio::time::timeout(Duration::from_secs(20), pump)
        .await
        .expect("it does not wait for the age")
        .unwrap();
    assert_eq!(sink.numbers(), [1, 2, 3]);
    rig.assert_balance(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_at_the_end_of_the_log_is_counted_and_passed() {
    use std::os::unix::fs::FileExt;
    let (rig, sink) = (Rig::new(1), Actor::default());
    rig.append(Signal::Traces, 3).await;
    let segment = rig.dir.path().join(format!("{:010}-{:020}.wal", 1, 1));
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(segment)
        .unwrap();
    let end = file.metadata().unwrap().len();
    file.write_all_at(b"X", end - 1).unwrap();
    let (pump, stopper) = rig.pump(0, &sink, SOON);
    let lost = || rig.ledger.sinks[0].lost_entries.get();
    eventually("the damage is reported", || lost() == 1).await;
    rig.append(Signal::Traces, 1).await;
    eventually("what follows is stored", || sink.numbers() == [1, 2, 4]).await;
    stopper.stop();
    tokio::time::timeout(Duration::from_secs(20), pump)
        .await
        .expect("it ends")
        .unwrap();
    assert_eq!(lost(), 1, "once");
    assert_eq!(rig.cursor(0).stored(), Seq(4));
    rig.ledger.refresh(&rig.log);
    let counters = &rig.ledger.sinks[0];
    let (lost, pending) = (counters.lost_items.get(), counters.pending.get());
    assert_eq!((counters.stored.get(), lost, pending), (6, 2, 0));
}

#[test]
fn a_cursor_of_another_log_stands_for_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.json");
    let mut cursor = Cursor::open(path.clone()).unwrap();
    assert_eq!(cursor.bind(LogId(1), Seq(1)), None);
    cursor
        .begin(Range {
            first: Seq(1),
            last: Seq(7),
        })
        .unwrap();
    assert_eq!(Cursor::open(path.clone()).unwrap().highest(), Seq(7));
    cursor.finish().unwrap();

    let mut same = Cursor::open(path.clone()).unwrap();
    let missed = same.bind(LogId(1), Seq(10));
    assert_eq!(
        missed,
        Some(Range {
            first: Seq(8),
            last: Seq(9)
        })
    );
    let mut other = Cursor::open(path.clone()).unwrap();
    assert_eq!(other.bind(LogId(2), Seq(8)), None);
    assert_eq!(other.stored(), Seq(7), "its log begins behind this");

    std::fs::write(
        &path,
        b"{\"version\":1,\"log\":\"1\",\"stored\":5,\"attempt\":{\"first\":9,\"last\":9}}",
    )
    .unwrap();
    let error = Cursor::open(path).err().unwrap().to_string();
    assert!(error.contains("it tries 9 to 9 after 5"), "{error}");
}
