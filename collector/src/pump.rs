//! Takes entries from the log, in order, for one sink.
//! Gives the sink blocks: ranges that are frozen before the first attempt and never cut differently afterwards.
//! Never waits for another sink, and never gives up on a block but by setting it aside with the reason.
//!
//! One turn: wait until there is enough, or something for long enough; read a range; write the range down; hand its
//! traces and its metrics to the sink; move the cursor. A crash anywhere in a turn repeats the same range.

pub mod cursor;
pub mod deadletter;
pub mod watermarks;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::ledger::{Ledger, SinkLedger};
use crate::otlp::Signal;
use crate::shutdown::Stop;
use crate::sink::{Block, Sink, SinkError, Written};
use crate::wal::{Batch, Log, Missing, Progress, Reader, Seq};

use cursor::{Cursor, Range};
use deadletter::DeadLetters;
use watermarks::Watermarks;

/// When a block is cut: at whatever comes first.
#[derive(Debug, Clone, Copy)]
pub struct BlockLimits {
    pub items: u64,
    pub bytes: u64,
    pub age: Duration,
}

impl Default for BlockLimits {
    fn default() -> Self {
        Self {
            items: 50_000,
            bytes: 16 << 20,
            age: Duration::from_secs(1),
        }
    }
}

/// Feeds one sink.
pub struct Pump<S> {
    pub sink: Arc<S>,
    pub log: Log,
    pub cursor: Cursor,
    pub dead: DeadLetters,
    pub limits: BlockLimits,
    pub ledger: Arc<Ledger>,
    pub marks: Arc<Watermarks>,
    /// The sink's place in the ledger and the watermarks.
    pub place: usize,
    /// Sums of all entries up to the cursor.
    pub consumed: Progress,
    pub reader: Option<Reader>,
}

impl<S: Sink> Pump<S> {
    /// Runs until the word to stop is given and everything in the log is stored.
    pub async fn run(mut self, mut stop: Stop) {
        let mut progress = self.log.progress();
        loop {
            let frozen = self.cursor.attempt();
            if frozen.is_none() && !self.wait(&mut progress, &mut stop).await {
                return;
            }
            // Known before the read: all of it is there to be read, or never will be.
            let durable = progress.borrow().last;
            let mut batch = self.read(frozen).await;
            if frozen.is_none() {
                self.pass_damaged_end(&mut batch, durable);
            }
            self.report_missing(&batch);
            let range = frozen.or_else(|| self.range_of(&batch));
            if let Some(range) = range {
                if frozen.is_none() {
                    self.write_down("freeze a range", |cursor| cursor.begin(range))
                        .await;
                }
                self.store(range, batch).await;
                self.write_down("move the cursor", Cursor::finish).await;
                self.marks.advance(self.place, range.last);
            }
            self.settle(*progress.borrow());
        }
    }

    /// Waits for a block's worth, or for its age. False when there is nothing and nothing will come.
    async fn wait(&self, progress: &mut watch::Receiver<Progress>, stop: &mut Stop) -> bool {
        let last = self.cursor.stored();
        let something = progress.wait_for(|progress| progress.last > last);
        tokio::select! {
            biased;
            grown = something => if grown.is_err() { return false },
            () = stop.wait() => return false,
        }
        let (bytes, items) = (self.consumed.bytes, self.consumed.items);
        let enough = progress.wait_for(|progress| {
            progress.bytes.saturating_sub(bytes) >= self.limits.bytes
                || progress.items.saturating_sub(items) >= self.limits.items
        });
        tokio::select! {
            _ = enough => {}
            () = tokio::time::sleep_until(Instant::now() + self.limits.age) => {}
            () = stop.wait() => {}
        }
        true
    }

    /// Reads the frozen range, or as much as makes a block. Tries until the disk can be read.
    async fn read(&mut self, frozen: Option<Range>) -> Batch {
        let (bytes, items, last) = match frozen {
            Some(range) => (u64::MAX, u64::MAX, range.last),
            None => (self.limits.bytes, self.limits.items, Seq(u64::MAX)),
        };
        for failures in 0.. {
            let mut reader = self
                .reader
                .take()
                .unwrap_or_else(|| self.log.reader(self.cursor.stored()));
            let reading = tokio::task::spawn_blocking(move || {
                let batch = reader.read(bytes, items, last);
                (reader, batch)
            });
            // After an error the reader is made anew: it may have passed entries it could not hand over.
            match reading.await {
                Ok((reader, Ok(batch))) => {
                    self.reader = Some(reader);
                    return batch;
                }
                Ok((_, Err(error))) => self.complain("read the log", failures, &error),
                Err(error) => self.complain("read the log", failures, &error),
            }
            tokio::time::sleep(backoff(failures)).await;
        }
        Batch::default()
    }

    fn range_of(&self, batch: &Batch) -> Option<Range> {
        let read = batch.entries.last().map(|entry| entry.seq);
        let missing = batch.missing.last().map(|missing| missing.last);
        let last = read.max(missing)?;
        Some(Range {
            first: self.cursor.stored().next(),
            last,
        })
    }

    /// A reader sees that numbers are missing when it comes to a higher one. At the end of the log there is none.
    fn pass_damaged_end(&mut self, batch: &mut Batch, durable: Seq) {
        let next = self.reader.as_ref().map(Reader::next);
        let Some(first) = next.filter(|next| *next <= durable) else {
            return;
        };
        if batch.entries.is_empty() && batch.missing.is_empty() {
            let last = durable;
            batch.missing.push(Missing { first, last });
            // The next one begins behind the cursor.
            self.reader = None;
        }
    }

    fn report_missing(&self, batch: &Batch) {
        for missing in &batch.missing {
            let lost = missing
                .last
                .0
                .saturating_sub(missing.first.0)
                .saturating_add(1);
            self.counters(|counters| counters.lost_entries.add(lost));
            tracing::error!(
                sink = self.sink.name(), first = %missing.first, last = %missing.last,
                "log entries are damaged or gone; they are not stored"
            );
        }
    }

    /// Hands the range to the sink, a block for each signal in it.
    async fn store(&mut self, range: Range, batch: Batch) {
        for entry in &batch.entries {
            self.consumed.add(entry.seq, entry.cost(), entry.items);
        }
        self.consumed.last = range.last;
        let (traces, metrics): (Vec<_>, Vec<_>) = batch
            .entries
            .into_iter()
            .partition(|entry| entry.signal == Signal::Traces);
        for (signal, entries) in [(Signal::Traces, traces), (Signal::Metrics, metrics)] {
            if !entries.is_empty() {
                let Range { first, last } = range;
                self.deliver(Arc::new(Block {
                    log_id: self.log.id(),
                    first,
                    last,
                    signal,
                    entries,
                }))
                .await;
            }
        }
    }

    /// Writes the block until it is stored or set aside.
    async fn deliver(&self, block: Arc<Block>) {
        for failures in 0.. {
            match self.attempt(&block).await {
                Ok(written) => return self.note_stored(&block, written),
                Err(SinkError::Poison { what }) => return self.set_aside(&block, &what).await,
                Err(error @ SinkError::Retry { .. }) => {
                    self.counters(|counters| counters.retries.add(1));
                    self.complain("store a block", failures, &error);
                }
            }
            tokio::time::sleep(backoff(failures)).await;
        }
    }

    /// One try, in a task of its own: a panic in a sink must not end the pump.
    async fn attempt(&self, block: &Arc<Block>) -> Result<Written, SinkError> {
        let (sink, block) = (Arc::clone(&self.sink), Arc::clone(block));
        match tokio::spawn(async move { sink.write(&block).await }).await {
            Ok(result) => result,
            Err(error) if error.is_panic() => Err(SinkError::Poison {
                what: "the sink panicked on this block".into(),
            }),
            Err(error) => Err(SinkError::Retry {
                what: error.to_string(),
            }),
        }
    }

    fn note_stored(&self, block: &Block, written: Written) {
        let items = block.items();
        self.counters(|counters| {
            counters.stored.add(items);
            counters.settled.add(items);
            counters.blocks.add(1);
            counters.uneven_blocks.add(u64::from(written.rows != items));
        });
        if written.rows != items {
            tracing::error!(
                sink = self.sink.name(), %block, items, rows = written.rows,
                "a block left another number of rows than it was acknowledged for"
            );
        }
    }

    async fn set_aside(&self, block: &Arc<Block>, reason: &str) {
        for failures in 0.. {
            let (dead, block, reason) = (self.dead.clone(), Arc::clone(block), reason.to_owned());
            let put = tokio::task::spawn_blocking(move || dead.put(&block, &reason)).await;
            match put {
                Ok(Ok(())) => break,
                Ok(Err(error)) => self.complain("write a dead letter", failures, &error),
                Err(error) => self.complain("write a dead letter", failures, &error),
            }
            tokio::time::sleep(backoff(failures)).await;
        }
        let items = block.items();
        self.counters(|counters| {
            counters.dead_lettered.add(items);
            counters.settled.add(items);
        });
        tracing::error!(
            sink = self.sink.name(), %block, items, reason, folder = %self.dead.folder_of(block).display(),
            "a block cannot be stored and was set aside"
        );
    }

    /// Changes the cursor file, until the disk takes it: going on without would store rows twice.
    async fn write_down<E>(
        &mut self,
        action: &'static str,
        change: impl Fn(&mut Cursor) -> Result<(), E>,
    ) where
        E: std::error::Error,
    {
        for failures in 0.. {
            match change(&mut self.cursor) {
                Ok(()) => return,
                Err(error) => self.complain(action, failures, &error),
            }
            tokio::time::sleep(backoff(failures)).await;
        }
    }

    /// Brings the sums in line when all is read: entries lost while running were counted as there.
    fn settle(&mut self, progress: Progress) {
        if self.consumed.last == progress.last {
            let lost = progress.items.saturating_sub(self.consumed.items);
            self.counters(|counters| {
                counters.lost_items.add(lost);
                counters.settled.add(lost);
            });
            self.consumed = progress;
        }
    }

    fn counters(&self, change: impl FnOnce(&SinkLedger)) {
        if let Some(counters) = self.ledger.sinks.get(self.place) {
            change(counters);
        }
    }

    /// One line for the first failure, and for the 2nd, 4th, 8th ... in a row.
    fn complain(&self, action: &'static str, failures: u32, error: &dyn std::error::Error) {
        let times = failures.saturating_add(1);
        if times.is_power_of_two() {
            tracing::warn!(sink = self.sink.name(), action, times, %error, "failed, trying again");
        }
    }
}

/// 0.1 s, doubling to 30 s, each between a half and the whole of it.
fn backoff(failures: u32) -> Duration {
    let whole = Duration::from_millis(100)
        .saturating_mul(1 << failures.min(9))
        .min(Duration::from_secs(30));
    whole.mul_f64(0.5 + fastrand::f64() / 2.0)
}
