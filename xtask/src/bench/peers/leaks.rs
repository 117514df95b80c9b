//! Takes a peer's process. Gives what its tree holds: processes, sockets, descriptors.
//! Never asks the peer: the kernel's own books are read, of children that moved away too.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// What is held at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Holding {
    pub processes: usize,
    pub sockets: usize,
    pub descriptors: usize,
}

impl Holding {
    /// Of `root`, everything below it, and every process whose command line names `mark`.
    pub fn of(root: u32, mark: Option<&Path>) -> Result<Self> {
        let parents = parents()?;
        let mut holding = Self {
            processes: 0,
            sockets: 0,
            descriptors: 0,
        };
        for pid in parents.keys() {
            if descends(*pid, root, &parents) || mark.is_some_and(|mark| names(*pid, mark)) {
                holding.processes += 1;
                holding.count_descriptors(*pid);
            }
        }
        Ok(holding)
    }

    fn count_descriptors(&mut self, pid: u32) {
        // A process may end while it is looked at: then it holds nothing.
        for entry in fs::read_dir(format!("/proc/{pid}/fd"))
            .into_iter()
            .flatten()
        {
            let Ok(target) = entry.and_then(|entry| fs::read_link(entry.path())) else {
                continue;
            };
            self.descriptors += 1;
            if target.to_string_lossy().starts_with("socket:") {
                self.sockets += 1;
            }
        }
    }

    fn within(&self, bound: &Self) -> bool {
        self.processes <= bound.processes
            && self.sockets <= bound.sockets
            && self.descriptors <= bound.descriptors
    }

    /// Waits until it holds no more than before, or for so long; gives what it holds then.
    pub fn settle(
        before: Self,
        root: u32,
        mark: Option<&Path>,
        patience: Duration,
    ) -> Result<Self> {
        let deadline = Instant::now() + patience;
        loop {
            let now = Self::of(root, mark)?;
            if now.within(&before) || Instant::now() > deadline {
                return Ok(now);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn parents() -> Result<HashMap<u32, u32>> {
    let mut parents = HashMap::new();
    for entry in fs::read_dir("/proc").context("cannot read /proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if let Some(parent) = parent(pid) {
            parents.insert(pid, parent);
        }
    }
    Ok(parents)
}

/// `None` of a process that has ended, a zombie too.
fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let alive = fields.next()? != "Z";
    fields.next()?.parse().ok().filter(|_| alive)
}

fn descends(pid: u32, root: u32, parents: &HashMap<u32, u32>) -> bool {
    let mut at = pid;
    while at != root {
        match parents.get(&at) {
            Some(parent) if *parent > 0 => at = *parent,
            _ => return false,
        }
    }
    true
}

fn names(pid: u32, mark: &Path) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0)
        .any(|word| String::from_utf8_lossy(word).contains(&*mark.to_string_lossy()))
}
