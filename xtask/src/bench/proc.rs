//! Takes a process id. Gives the time it has had on a core and the memory it holds.
//! Never asks the process itself: the kernel's own books are read.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// Time on a core, in user and kernel mode, of all threads that are and that were.
pub fn cpu(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    // The name in parentheses may hold spaces; the fields after it are counted from the state.
    let (_, fields) = text.rsplit_once(')').context("no name in stat")?;
    let mut ticks = fields.split_whitespace().skip(11).map(str::parse::<u64>);
    let user = ticks.next().context("no utime")??;
    let system = ticks.next().context("no stime")??;
    let per_second = rustix::param::clock_ticks_per_second();
    Ok(Duration::from_secs_f64(
        (user + system) as f64 / per_second as f64,
    ))
}

/// What is resident now, in KiB.
pub fn resident(pid: u32) -> Result<u64> {
    status(pid, "VmRSS:")
}

/// The most that was resident since the last reset, in KiB.
pub fn peak(pid: u32) -> Result<u64> {
    status(pid, "VmHWM:")
}

/// Lets the peak start again from what is resident now.
pub fn reset_peak(pid: u32) -> Result<()> {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").context("cannot reset the peak of memory")
}

/// The only child of a process, such as nginx's one worker.
pub fn only_child(pid: u32) -> Result<u32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let child = text.trim();
    child
        .parse()
        .with_context(|| format!("not one child: `{child}`"))
}

fn status(pid: u32, key: &str) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    text.lines()
        .find_map(|line| line.strip_prefix(key))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .with_context(|| format!("{path} has no {key}"))
}
