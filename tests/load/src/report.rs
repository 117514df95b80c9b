//! Takes the durations of calls. Gives one line of JSON on standard output.
//! Never averages: percentiles are read from every single sample.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;

/// Every call of a run, and the durations of those inside the measured time.
#[derive(Default)]
pub struct Samples {
    nanos: Vec<u64>,
    /// All calls, those of the warm-up too: what the hop's work is divided by.
    pub calls: u64,
}

impl Samples {
    pub fn with_room() -> Self {
        Self {
            nanos: Vec::with_capacity(1 << 18),
            calls: 0,
        }
    }

    pub fn add(&mut self, took: Duration, measured: bool) {
        self.calls += 1;
        if measured {
            self.nanos
                .push(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        }
    }

    pub fn join(&mut self, other: Self) {
        self.nanos.extend(other.nanos);
        self.calls += other.calls;
    }

    /// The members of the report that every client gives, without the braces.
    pub fn summary(&mut self, measured: Duration) -> String {
        self.nanos.sort_unstable();
        let per_second = self.nanos.len() as f64 / measured.as_secs_f64();
        format!(
            r#""calls":{},"measured":{},"per_second":{per_second:.1},"p50_us":{:.3},"p99_us":{:.3}"#,
            self.calls,
            self.nanos.len(),
            self.percentile(0.50),
            self.percentile(0.99),
        )
    }

    fn percentile(&self, share: f64) -> f64 {
        let rank = (self.nanos.len() as f64 * share).ceil() as usize;
        let index = rank.saturating_sub(1);
        self.nanos
            .get(index)
            .map_or(0.0, |nanos| *nanos as f64 / 1000.0)
    }
}

pub fn print(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()?;
    Ok(())
}

/// Tells the bench where a server listens.
pub fn print_address(address: SocketAddr) -> Result<()> {
    print(&address.to_string())
}

/// Ends the process when the one that started it goes away or closes our standard input.
pub fn end_with_stdin() {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        std::process::exit(0);
    });
}
