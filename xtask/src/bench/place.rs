//! Takes processes. Gives them cores: those on the path of a call, and those behind it.
//! Never leaves this program itself moved: it only lends its place to what it starts.

use std::fs;

use anyhow::{Context, Result};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Where the processes of a measurement run.
#[derive(Clone, Copy)]
pub enum Place {
    /// Client, hop and server share the last core; the receiver and its feeder have the others.
    OneCore,
    /// The scheduler decides.
    Anywhere,
}

impl Place {
    pub fn words(self) -> &'static str {
        match self {
            Self::OneCore => "client, hop and server on one core",
            Self::Anywhere => "on any core",
        }
    }

    /// Moves every thread of a client, a hop or a server.
    pub fn move_path(self, pid: u32) -> Result<()> {
        move_threads(pid, &self.cores(true)?)
    }

    /// Moves every thread of the receiver or its feeder.
    pub fn move_background(self, pid: u32) -> Result<()> {
        move_threads(pid, &self.cores(false)?)
    }

    /// Runs `start`, whose processes begin where the path of a call is.
    pub fn start_path<T>(self, start: impl FnOnce() -> Result<T>) -> Result<T> {
        let before = sched_getaffinity(None)?;
        sched_setaffinity(None, &self.cores(true)?)?;
        let outcome = start();
        sched_setaffinity(None, &before)?;
        outcome
    }

    fn cores(self, path: bool) -> Result<CpuSet> {
        let all = sched_getaffinity(None)?;
        let numbers: Vec<usize> = (0..CpuSet::MAX_CPU)
            .filter(|core| all.is_set(*core))
            .collect();
        let (last, others) = numbers.split_last().context("no core to run on")?;
        let chosen = match self {
            Self::Anywhere => return Ok(all),
            Self::OneCore if path || others.is_empty() => std::slice::from_ref(last),
            Self::OneCore => others,
        };
        let mut set = CpuSet::new();
        chosen.iter().for_each(|core| set.set(*core));
        Ok(set)
    }
}

fn move_threads(pid: u32, cores: &CpuSet) -> Result<()> {
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let name = task?.file_name();
        let thread = name.to_str().and_then(|name| name.parse().ok());
        let thread = thread.and_then(Pid::from_raw).context("no thread id")?;
        sched_setaffinity(Some(thread), cores)
            .with_context(|| format!("cannot move a thread of process {pid}"))?;
    }
    Ok(())
}
