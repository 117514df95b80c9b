//! Takes `/proc/self`. Gives what this process uses of the machine.
//! Never fails: what cannot be read is not shown.

use std::fs;

use rustix::process::{Resource, getrlimit};

#[derive(Debug, Default)]
pub(super) struct Usage {
    pub cpu_seconds: Option<f64>,
    pub resident_bytes: Option<u64>,
    pub open_fds: Option<u64>,
    pub max_fds: Option<u64>,
}

impl Usage {
    pub(super) fn read() -> Self {
        Self {
            cpu_seconds: cpu_seconds(),
            resident_bytes: resident_bytes(),
            open_fds: open_fds(),
            max_fds: getrlimit(Resource::Nofile).current,
        }
    }
}

fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name in parentheses may hold anything; user and system time are fields 14 and 15 of the line.
    let rest = stat.rsplit(')').next()?;
    let mut times = rest.split_whitespace().skip(11);
    let mut next = || times.next()?.parse::<u64>().ok();
    let ticks = next()? + next()?;
    Some(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

fn resident_bytes() -> Option<u64> {
    let pages = fs::read_to_string("/proc/self/statm").ok()?;
    let resident: u64 = pages.split_whitespace().nth(1)?.parse().ok()?;
    resident.checked_mul(rustix::param::page_size() as u64)
}

/// Newer kernels say it in one call; with many thousands open, counting them would take long.
fn open_fds() -> Option<u64> {
    match fs::metadata("/proc/self/fd").ok()?.len() {
        0 => Some(fs::read_dir("/proc/self/fd").ok()?.count() as u64),
        count => Some(count),
    }
}
