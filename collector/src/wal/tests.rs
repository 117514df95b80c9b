mod disk;
mod model;

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use bytes::Bytes;

use crate::otlp::Signal;

use super::*;
use disk::TestDisk;

const BIRTH: Birth = Birth {
    new_id: LogId(0xfeed),
    now_unix_nanos: 7,
    floor: Seq(0),
};
const OPTIONS: Options = Options {
    quota_bytes: 1 << 20,
};

fn draft(body: &str) -> Draft {
    let body = Bytes::copy_from_slice(body.as_bytes());
    Draft {
        received_at_unix_nanos: 42,
        signal: Signal::Traces,
        items: 3,
        body,
    }
}

fn open(disk: &TestDisk, dir: &Path, birth: Birth) -> (Log, WriterThread, Recovered) {
    Log::open(disk.clone(), dir, OPTIONS, birth, &mut |_, _, _| {}).unwrap()
}

async fn append(log: &Log, bodies: &[&str]) {
    for body in bodies {
        log.append_durable(draft(body)).await.unwrap();
    }
}

fn read_all(log: &Log) -> (Vec<(u64, String)>, Vec<Missing>) {
    let batch = log
        .reader(Seq(0))
        .read(u64::MAX, u64::MAX, Seq(u64::MAX))
        .unwrap();
    let text = |entry: Entry| (entry.seq.0, String::from_utf8(entry.body.to_vec()).unwrap());
    (batch.entries.into_iter().map(text).collect(), batch.missing)
}

fn numbered(bodies: &[(u64, &str)]) -> Vec<(u64, String)> {
    bodies
        .iter()
        .map(|(seq, body)| (*seq, (*body).to_owned()))
        .collect()
}

fn close(log: Log, thread: WriterThread) {
    drop(log);
    thread.join();
}

fn segment_files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn what_was_appended_is_there_after_a_restart() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), TestDisk::default());
    let (log, thread, recovered) = open(&disk, dir.path(), BIRTH);
    assert_eq!(recovered.next, Seq(1));
    append(&log, &["one", "two"]).await;
    close(log, thread);

    let (log, thread, recovered) = open(
        &disk,
        dir.path(),
        Birth {
            new_id: LogId(2),
            ..BIRTH
        },
    );
    assert_eq!(
        (recovered.entries, recovered.next, recovered.torn_bytes),
        (2, Seq(3), 0)
    );
    assert_eq!(
        log.id(),
        BIRTH.new_id,
        "the id stays the one the log was born with"
    );
    append(&log, &["three"]).await;
    assert_eq!(
        read_all(&log),
        (numbered(&[(1, "one"), (2, "two"), (3, "three")]), vec![])
    );
    let entry = log
        .reader(Seq(2))
        .read(1, 1, Seq(9))
        .unwrap()
        .entries
        .remove(0);
    assert_eq!(
        (entry.items, entry.received_at_unix_nanos, entry.signal),
        (3, 42, Signal::Traces)
    );
    assert_eq!(log.progress().borrow().items, 9);
    close(log, thread);
}

/// Waits for what must come to be, within 20 s.
async fn until(condition: impl Fn() -> bool) {
    let waits = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    let limit = std::time::Duration::from_secs(20);
    tokio::time::timeout(limit, waits)
        .await
        .expect("it never came to be");
}

#[tokio::test]
async fn exports_that_wait_together_share_one_sync() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), TestDisk::default());
    let (log, thread, _) = open(&disk, dir.path(), BIRTH);
    disk.hold();
    let begin = |number: u32| {
        let log = log.clone();
        tokio::spawn(async move { log.append_durable(draft(&number.to_string())).await })
    };
    // Only when the first is being synced is it sure that the others wait behind it.
    let mut waiting = vec![begin(0)];
    until(|| disk.in_sync()).await;
    waiting.extend((1..100).map(begin));
    until(|| log.queue.capacity() <= Log::QUEUE - 99).await;
    let before = disk.syncs();
    disk.go_on();
    for append in waiting {
        append.await.unwrap().unwrap();
    }
    assert!(
        disk.syncs() - before <= 2,
        "{} syncs",
        disk.syncs() - before
    );
    close(log, thread);
}

#[tokio::test]
async fn a_failed_sync_refuses_seals_and_begins_anew() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), TestDisk::default());
    let (log, thread, _) = open(&disk, dir.path(), BIRTH);
    append(&log, &["one"]).await;
    disk.fail_next_sync();
    let refused = log.append_durable(draft("lost")).await;
    assert!(
        matches!(refused, Err(AppendError::Unavailable { .. })),
        "{refused:?}"
    );
    assert_eq!(
        read_all(&log).0,
        numbered(&[(1, "one")]),
        "refused is not readable"
    );
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while log.append_durable(draft("two")).await.is_err() {
        assert!(
            std::time::Instant::now() < deadline,
            "no new segment within ten seconds"
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(
        read_all(&log),
        (numbered(&[(1, "one"), (2, "two")]), vec![])
    );
    close(log, thread);

    let (log, thread, recovered) = open(&disk, dir.path(), BIRTH);
    assert_eq!(recovered.damage, [], "what was refused is no damage");
    assert_eq!(
        read_all(&log),
        (numbered(&[(1, "one"), (2, "two")]), vec![])
    );
    close(log, thread);
}

#[tokio::test]
async fn what_was_refused_is_not_there_after_a_restart() {
    for fail in [TestDisk::fail_next_append, TestDisk::fail_next_sync] {
        let (dir, disk) = (tempfile::tempdir().unwrap(), TestDisk::default());
        let (log, thread, _) = open(&disk, dir.path(), BIRTH);
        append(&log, &["one"]).await;
        fail(&disk);
        log.append_durable(draft("refused")).await.unwrap_err();
        close(log, thread);
        disk.crash(u64::MAX - 1, false);

        let (log, thread, recovered) = open(&disk, dir.path(), BIRTH);
        assert_eq!((recovered.next, recovered.torn_bytes), (Seq(2), 0));
        assert_eq!(read_all(&log), (numbered(&[(1, "one")]), vec![]));
        close(log, thread);
    }
}

#[tokio::test]
async fn a_leftover_in_the_way_of_the_next_segment_is_passed_by() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), TestDisk::default());
    let (log, thread, _) = open(&disk, dir.path(), BIRTH);
    let leftover = dir.path().join(format!("{:010}-{:020}.wal", 2, 1));
    std::fs::write(leftover, b"").unwrap();
    disk.fail_next_sync();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while log.append_durable(draft("one")).await.is_err() {
        assert!(
            std::time::Instant::now() < deadline,
            "no new segment within ten seconds"
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(read_all(&log), (numbered(&[(1, "one")]), vec![]));
    close(log, thread);
    let (log, thread, _) = open(&disk, dir.path(), BIRTH);
    assert_eq!(read_all(&log), (numbered(&[(1, "one")]), vec![]));
    close(log, thread);
}

#[tokio::test]
async fn a_torn_tail_is_cut_and_counted() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), TestDisk::default());
    let (log, thread, _) = open(&disk, dir.path(), BIRTH);
    append(&log, &["one", "two"]).await;
    close(log, thread);
    let path = segment_files(dir.path()).remove(0);
    let length = std::fs::metadata(&path).unwrap().len();
    OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(length - 1)
        .unwrap();

    let (log, thread, recovered) = open(&disk, dir.path(), BIRTH);
    assert_eq!((recovered.torn_bytes, recovered.next), (44 + 2, Seq(2)));
    assert_eq!(recovered.damage, []);
    assert_eq!(read_all(&log), (numbered(&[(1, "one")]), vec![]));
    close(log, thread);
}

#[tokio::test]
async fn damage_in_the_middle_is_reported_and_the_rest_is_read() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), TestDisk::default());
    let (log, thread, _) = open(&disk, dir.path(), BIRTH);
    append(&log, &["one", "two", "three"]).await;
    let path = segment_files(dir.path()).remove(0);
    let second = (format::SEGMENT_HEADER + format::ENTRY_HEADER + 3) as u64;
    OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .write_all_at(b"X", second + 44)
        .unwrap();
    let expected = (
        numbered(&[(1, "one"), (3, "three")]),
        vec![Missing {
            first: Seq(2),
            last: Seq(2),
        }],
    );
    assert_eq!(read_all(&log), expected, "while it runs");
    close(log, thread);

    let (log, thread, recovered) = open(&disk, dir.path(), BIRTH);
    assert_eq!(
        recovered.damage,
        [Damage {
            path,
            offset: second,
            bytes: 44 + 3,
            after: Seq(1)
        }]
    );
    assert_eq!(read_all(&log), expected, "after a restart");
    close(log, thread);
}

#[tokio::test]
async fn a_full_log_refuses_until_the_sinks_release() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), TestDisk::default());
    let (log, thread, _) = open(&disk, dir.path(), BIRTH);
    let body = "x".repeat(60_000);
    let mut last = Seq(0);
    let refused = loop {
        match log.append_durable(draft(&body)).await {
            Ok(seq) => last = seq,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, AppendError::Full { .. }), "{refused}");
    let on_disk: u64 = segment_files(dir.path())
        .iter()
        .map(|path| std::fs::metadata(path).unwrap().len())
        .sum();
    assert_eq!(on_disk, log.used_bytes());
    assert!(on_disk <= OPTIONS.quota_bytes);
    log.release(last);
    assert_eq!(
        segment_files(dir.path()).len(),
        1,
        "the segment being written stays"
    );
    assert_eq!(log.append_durable(draft(&body)).await.unwrap(), last.next());
    let largest = "x".repeat(usize::try_from(OPTIONS.max_body_bytes()).unwrap());
    log.append_durable(draft(&largest)).await.unwrap();
    let above = log.append_durable(draft(&(largest + "x"))).await;
    assert!(
        matches!(above, Err(AppendError::TooLarge { .. })),
        "{above:?}"
    );
    close(log, thread);
}

#[tokio::test]
async fn numbers_a_sink_has_seen_are_not_given_again() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), TestDisk::default());
    let (log, thread, _) = open(&disk, dir.path(), BIRTH);
    append(&log, &["one"]).await;
    close(log, thread);
    let (log, thread, recovered) = open(
        &disk,
        dir.path(),
        Birth {
            floor: Seq(5),
            ..BIRTH
        },
    );
    assert_eq!(recovered.next, Seq(6));
    append(&log, &["six"]).await;
    let missing = vec![Missing {
        first: Seq(2),
        last: Seq(5),
    }];
    assert_eq!(
        read_all(&log),
        (numbered(&[(1, "one"), (6, "six")]), missing)
    );
    close(log, thread);
}

#[tokio::test]
async fn a_reader_stops_at_its_limits_and_its_last_number() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), TestDisk::default());
    let (log, thread, _) = open(&disk, dir.path(), BIRTH);
    append(&log, &["one", "two", "three", "four"]).await;
    let mut reader = log.reader(Seq(0));
    let mut numbers = |items, last| -> Vec<u64> {
        let batch = reader.read(u64::MAX, items, Seq(last)).unwrap();
        batch.entries.iter().map(|entry| entry.seq.0).collect()
    };
    assert_eq!(numbers(4, 9), [1, 2]);
    assert_eq!(numbers(99, 3), [3]);
    assert_eq!(numbers(99, 3), [] as [u64; 0]);
    assert_eq!(numbers(99, 99), [4]);
    close(log, thread);
}

#[test]
fn an_unfinished_segment_is_removed_and_a_foreign_one_stops_the_start() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), TestDisk::default());
    std::fs::write(
        dir.path().join("0000000001-00000000000000000001.wal"),
        [0; 64],
    )
    .unwrap();
    let (log, thread, recovered) = open(&disk, dir.path(), BIRTH);
    assert_eq!(recovered.segments, 0);
    close(log, thread);
    std::fs::write(
        dir.path().join("0000000009-00000000000000000001.wal"),
        [1; 99],
    )
    .unwrap();
    let error = Log::open(disk, dir.path(), OPTIONS, BIRTH, &mut |_, _, _| {})
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("0000000009") && error.contains("Move the file away"),
        "{error}"
    );
}

#[test]
fn a_second_process_is_kept_out() {
    let dir = tempfile::tempdir().unwrap();
    let held = StoreLock::take(dir.path()).unwrap();
    let error = StoreLock::take(dir.path()).unwrap_err().to_string();
    assert!(
        error.contains(&format!("process {}", std::process::id())),
        "{error}"
    );
    drop(held);
    StoreLock::take(dir.path()).unwrap();
}

/// The bytes of version 1 as they were released: they must open for ever.
#[tokio::test]
async fn the_format_is_the_written_one() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), TestDisk::default());
    let (log, thread, _) = open(&disk, dir.path(), BIRTH);
    append(&log, &["one", ""]).await;
    close(log, thread);
    let written = std::fs::read(segment_files(dir.path()).remove(0)).unwrap();
    let golden = include_bytes!("tests/golden-v1.wal");
    assert!(
        written == golden,
        "the format changed: a new version needs a new number, and this one stays readable"
    );
}

#[test]
fn the_folder_of_a_bare_name_can_be_synced() {
    let parent = std::path::Path::new("name").parent().unwrap();
    super::sync_folder(parent).unwrap();
}

#[test]
fn a_folder_is_made_durable_level_by_level() {
    let dir = tempfile::tempdir().unwrap();
    let mut synced = Vec::new();
    let mut sync = |folder: &Path| {
        synced.push(folder.to_owned());
        Ok(())
    };
    super::disk::create_folder(&dir.path().join("a/b/c"), &mut sync).unwrap();
    super::disk::create_folder(&dir.path().join("a/b/c"), &mut sync).unwrap();
    assert_eq!(
        synced,
        [
            dir.path().to_owned(),
            dir.path().join("a"),
            dir.path().join("a/b")
        ],
        "the parent of each new level, once"
    );
    std::fs::write(dir.path().join("file"), b"").unwrap();
    super::create_folder_durable(&dir.path().join("file")).unwrap_err();
    super::create_folder_durable(&dir.path().join("file/below")).unwrap_err();
}
