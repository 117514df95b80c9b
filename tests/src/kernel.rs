//! Takes a process id. Gives what the kernel's books say of it: memory, descriptors, sockets, children.
//! Never asks the process itself.

use std::collections::HashSet;
use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What is resident now, in KiB.
///
/// # Panics
/// When there is no such process.
#[must_use]
pub fn resident(pid: u32) -> u64 {
    status(pid, "VmRSS:")
}

/// The most that was resident since the last reset, in KiB.
///
/// # Panics
/// When there is no such process.
#[must_use]
pub fn peak(pid: u32) -> u64 {
    status(pid, "VmHWM:")
}

/// Lets the peak start again from what is resident now.
///
/// # Panics
/// When there is no such process.
pub fn reset_peak(pid: u32) {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("the peak can be reset");
}

fn status(pid: u32, key: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    text.lines()
        .find_map(|line| line.strip_prefix(key))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("no {key} in the status of {pid}"))
}

/// What each open descriptor of a process stands for; empty when it has ended.
#[must_use]
pub fn descriptors(pid: u32) -> Vec<String> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| {
            let target = fs::read_link(entry.ok()?.path()).ok()?;
            Some(target.to_string_lossy().into_owned())
        })
        .collect()
}

/// The TCP connections of a process, listening ones left out.
#[must_use]
pub fn connections(pid: u32) -> usize {
    let own: HashSet<String> = descriptors(pid)
        .into_iter()
        .filter_map(|target| {
            let inode = target.strip_prefix("socket:[")?.strip_suffix(']')?;
            Some(inode.to_owned())
        })
        .collect();
    ["tcp", "tcp6"]
        .iter()
        .map(|table| {
            let text = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
            text.lines()
                .skip(1)
                .filter(|line| {
                    let mut fields = line.split_whitespace().skip(3);
                    let state = fields.next();
                    let inode = fields.nth(5);
                    state != Some(LISTENING) && inode.is_some_and(|inode| own.contains(inode))
                })
                .count()
        })
        .sum()
}

/// The state of a listening socket in the kernel's table.
const LISTENING: &str = "0A";

/// The children that a process has now.
#[must_use]
pub fn children(pid: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    tasks
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok())
        .flat_map(|text| {
            text.split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<u32>>()
        })
        .collect()
}

/// Lets this process, and those it starts, have as many descriptors as the system grants; gives the number.
pub fn raise_descriptor_limit() -> usize {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    // Where it cannot be raised, the limit that is there counts.
    let _ = setrlimit(Resource::Nofile, raised);
    let current = getrlimit(Resource::Nofile).current;
    current.map_or(usize::MAX, |limit| {
        usize::try_from(limit).unwrap_or(usize::MAX)
    })
}
