//! Takes built fuzz targets. Gives what each did in its time, and fails with how to see a crash again.
//! Never writes into the committed corpus, but on demand: a run works on a copy.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::env::{self, Env};
use crate::started;

/// How many targets run at once.
const AT_ONCE: usize = 2;

/// Where one target keeps what it works on.
struct Work {
    target: String,
    program: PathBuf,
    committed: PathBuf,
    corpus: PathBuf,
    log: PathBuf,
    crashes: PathBuf,
}

impl Work {
    fn of(env: &Env, target: &str) -> Result<Self> {
        let folder = env.home.join("fuzz").join(target);
        let work = Self {
            target: target.to_owned(),
            program: env::target_dir(&env.root).join(format!("debug/fuzz-{target}")),
            committed: env.root.join("fuzz/corpus").join(target),
            corpus: folder.join("corpus"),
            log: folder.join("log"),
            crashes: folder.join("crashes"),
        };
        fs::create_dir_all(&work.corpus)?;
        fs::create_dir_all(&work.crashes)?;
        Ok(work)
    }

    fn copy_corpus(&self) -> Result<()> {
        fs::remove_dir_all(&self.corpus)?;
        fs::create_dir_all(&self.corpus)?;
        for entry in fs::read_dir(&self.committed)
            .with_context(|| format!("no corpus in {}", self.committed.display()))?
        {
            let entry = entry?;
            fs::copy(entry.path(), self.corpus.join(entry.file_name()))?;
        }
        Ok(())
    }

    fn command(&self) -> Result<Command> {
        let mut command = started::command(&self.program)?;
        command.arg(format!("-artifact_prefix={}/", self.crashes.display()));
        command.args(["-timeout=10", "-rss_limit_mb=2048"]);
        Ok(command)
    }

    fn start(&self, seconds: u64) -> Result<std::process::Child> {
        self.copy_corpus()?;
        let log = File::create(&self.log)?;
        self.command()?
            .arg(format!("-max_total_time={seconds}"))
            .arg("-print_final_stats=1")
            .arg(&self.corpus)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot run {}", self.program.display()))
    }

    fn finish(&self, env: &Env, mut child: std::process::Child) -> Result<()> {
        let status = child.wait()?;
        let bytes = fs::read(&self.log)?;
        let log = String::from_utf8_lossy(&bytes);
        if !status.success() {
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines
                .get(lines.len().saturating_sub(25)..)
                .unwrap_or(&lines);
            println!("{}", tail.join("\n"));
            let shown = env.show(&self.crashes);
            bail!(
                "{}: {status}; see it again with `cargo xtask fuzz {} --input {shown}/...`",
                self.target,
                self.target
            );
        }
        let report = Report::of(&log).with_context(|| format!("{}: no report", self.target))?;
        println!(
            "fuzz {:<8} {:>9} runs, {:>5} of {} edges, corpus of {}",
            self.target, report.runs, report.covered, report.edges, report.corpus
        );
        if report.runs == 0 || report.covered == 0 {
            bail!("{}: nothing was covered", self.target);
        }
        Ok(())
    }
}

/// What libFuzzer says of itself in its log.
struct Report {
    runs: u64,
    edges: u64,
    covered: u64,
    corpus: String,
}

impl Report {
    fn of(log: &str) -> Option<Self> {
        let last = log.lines().rfind(|line| line.contains(" cov: "))?;
        Some(Self {
            runs: word_after(log, "stat::number_of_executed_units:")?
                .parse()
                .ok()?,
            edges: log
                .lines()
                .find_map(|line| line.split_once(" inline 8-bit counters)"))?
                .0
                .rsplit('(')
                .next()?
                .parse()
                .ok()?,
            covered: word_after(last, " cov: ")?.parse().ok()?,
            corpus: word_after(last, " corp: ")?.to_owned(),
        })
    }
}

fn word_after<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.split_once(key)?.1.split_whitespace().next()
}

/// Runs every target for its time, a few at once; fails after all have run.
pub fn all(env: &Env, targets: &[&str], seconds: u64) -> Result<()> {
    let mut failures = Vec::new();
    for group in targets.chunks(AT_ONCE) {
        println!("fuzzing {} for {seconds} s", group.join(" and "));
        let mut running = Vec::new();
        for target in group {
            let work = Work::of(env, target)?;
            let child = work.start(seconds)?;
            running.push((work, child));
        }
        for (work, child) in running {
            if let Err(error) = work.finish(env, child) {
                failures.push(format!("{error:#}"));
            }
        }
    }
    if failures.is_empty() {
        return Ok(());
    }
    bail!("{}", failures.join("; "))
}

/// Runs one input, with everything it prints.
pub fn one_input(env: &Env, target: &str, input: &Path) -> Result<()> {
    let work = Work::of(env, target)?;
    env::run(work.command()?.arg(input).env("RUST_BACKTRACE", "1"))
}

/// Adds to the committed corpus what a run found and what reaches code that nothing there does.
pub fn merge(env: &Env, target: &str) -> Result<()> {
    let work = Work::of(env, target)?;
    env::run(
        work.command()?
            .arg("-merge=1")
            .arg(&work.committed)
            .arg(&work.corpus),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_libfuzzer_says() {
        let log = "INFO: Loaded 1 modules   (4321 inline 8-bit counters): 4321 [0x5, 0x6), \n\
                   #2\tINITED cov: 10 ft: 12 corp: 3/70b exec/s: 0 rss: 40Mb\n\
                   #9\tDONE   cov: 99 ft: 120 corp: 12/9000b lim: 4 exec/s: 3 rss: 41Mb\n\
                   stat::number_of_executed_units: 9\n";
        let report = Report::of(log).unwrap();
        assert_eq!((report.runs, report.edges, report.covered), (9, 4321, 99));
        assert_eq!(report.corpus, "12/9000b");
    }

    #[test]
    fn a_log_without_counters_is_no_report() {
        assert!(Report::of("#9 DONE cov: 0\nstat::number_of_executed_units: 9\n").is_none());
    }
}
