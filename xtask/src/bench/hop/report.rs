//! Takes the runs of `bench hop`. Gives its table and the figures beside their goals.
//! Never drops a round: each number is the median over all of them.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::{ALONE, Bench, CASES, CROWDED, Case, LOADED, ROWS, Run};
use crate::bench::table::{Goal, cell, median, row, verdict};

/// The kernel counts memory in KiB.
const MIB: f64 = 1024.0;

impl Bench<'_> {
    fn runs_of(&self, row: &str, case: usize) -> impl Iterator<Item = &Run> {
        self.runs
            .iter()
            .filter(move |run| run.row == row && run.case == case)
    }

    fn of(&self, row: &str, case: usize, figure: fn(&Run) -> Option<f64>) -> Option<f64> {
        median(self.runs_of(row, case).filter_map(figure))
    }

    /// The median over the rounds of what a row adds to the direct one of the same round.
    fn added_p50(&self, row: &str, case: usize) -> Option<f64> {
        median(self.runs_of(row, case).filter_map(|run| {
            let direct = self
                .runs_of("direct", case)
                .find(|direct| direct.round == run.round)?;
            Some(run.p50 - direct.p50)
        }))
    }

    /// The sidecar's added p50 over nginx's.
    fn added_ratio(&self, case: usize) -> Option<f64> {
        Some(self.added_p50("toolspan", case)? / self.added_p50("nginx", case)?)
    }

    pub(super) fn print_rows(&self) {
        let headings = [
            "requests/s",
            "p50 us",
            "p99 us",
            "added p50 us",
            "CPU us/req",
            "spans/req",
        ];
        for (case, Case { connections, place }) in CASES.iter().enumerate() {
            println!("\nc = {connections}, {}", place.words());
            println!("{}", row("", &headings.map(str::to_owned)));
            for name in ROWS.into_iter().filter(|row| self.options.wants(row)) {
                let added = self.added_p50(name, case).filter(|_| name != "direct");
                let cells = [
                    cell(self.of(name, case, |run| Some(run.per_second)), 0),
                    cell(self.of(name, case, |run| Some(run.p50)), 1),
                    cell(self.of(name, case, |run| Some(run.p99)), 1),
                    cell(added, 1),
                    cell(self.of(name, case, |run| run.cpu), 1),
                    cell(self.of(name, case, |run| run.spans_per_call), 3),
                ];
                println!("{}", row(name, &cells));
            }
        }
        println!(
            "\nMedians of {} rounds of {} s. Beside every row a receiver took as many spans as \
             toolspan exports.",
            self.options.rounds, self.options.seconds
        );
    }

    pub(super) fn print_verdicts(
        &self,
        idle: [Option<u64>; 2],
        peak: [Option<u64>; 2],
    ) -> Result<()> {
        let ratio = |case: usize, figure: fn(&Run) -> Option<f64>| {
            Some(self.of("toolspan", case, figure)? / self.of("nginx", case, figure)?)
        };
        let mib = |kib: Option<u64>| kib.map(|kib| kib as f64 / MIB);
        let [nginx_idle, idle] = idle.map(mib);
        let [nginx_peak, peak] = peak.map(mib);
        let size = match &self.programs.sidecar {
            Some(path) => Some(megabytes(path)?),
            None => None,
        };
        println!(
            "\nresident memory, MiB: nginx worker {} idle, {} peak; toolspan {} idle, {} peak\n",
            cell(nginx_idle, 1),
            cell(nginx_peak, 1),
            cell(idle, 1),
            cell(peak, 1)
        );
        let figures = [
            (
                "c = 16: CPU per request / nginx's",
                ratio(LOADED, |run| run.cpu),
                Goal::AtMost(1.8),
            ),
            (
                "c = 16: requests/s / nginx's",
                ratio(LOADED, |run| Some(run.per_second)),
                Goal::AtLeast(0.6),
            ),
            (
                "c = 32: CPU per request / nginx's",
                ratio(CROWDED, |run| run.cpu),
                Goal::AtMost(1.6),
            ),
            (
                "c = 1, one core: added p50 / nginx's",
                self.added_ratio(ALONE),
                Goal::AtMost(1.5),
            ),
            ("resident memory idle, MiB", idle, Goal::AtMost(16.0)),
            (
                "peak resident memory under load, MiB",
                peak,
                Goal::AtMost(24.0),
            ),
            ("stripped release binary, MB", size, Goal::AtMost(15.0)),
        ];
        for (name, value, goal) in figures {
            println!("{}", verdict(name, value, &goal));
        }
        Ok(())
    }
}

fn megabytes(path: &Path) -> Result<f64> {
    let length = fs::metadata(path)
        .with_context(|| format!("cannot read {}", path.display()))?
        .len();
    Ok(length as f64 / 1e6)
}
