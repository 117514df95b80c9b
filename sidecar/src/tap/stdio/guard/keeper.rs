//! Takes the guard's ends of the pipes. Gives the life of the guard process, from fork to exit.
//! Never returns, never writes to a standard stream, never leaves a descendant alive.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};

use super::{Exit, STDIN, STDOUT, TERMINATE, encode, hold_signals, replace_stream};
use crate::clock;

/// How long what the command left behind may take to end by itself, and again after SIGTERM.
const GRACE: Duration = Duration::from_millis(500);
/// The same when everything is to end while the command still runs.
const TERMINATE_GRACE: Duration = Duration::from_secs(2);
/// How often descendants are looked for while they end.
const LOOK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 10_000_000,
};

pub(super) struct Ends {
    pub control: io::PipeReader,
    pub notices: io::PipeWriter,
    pub command_stdin: OwnedFd,
    pub command_stdout: OwnedFd,
    pub command: Vec<OsString>,
}

/// The whole life of the guard.
pub(super) fn run(ends: Ends) -> ! {
    // A guard that cannot do its work ends; the command then dies by its parent-death signal.
    let code = i32::from(keep(ends).is_err());
    // SAFETY: ends this process at once, without running exit handlers that belong to our parent.
    #[expect(
        unsafe_code,
        reason = "the buffers of the parent must not be flushed twice"
    )]
    unsafe {
        libc::_exit(code)
    }
}

fn keep(ends: Ends) -> io::Result<()> {
    rustix::process::setpgid(None, None)?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    // The client's pipes are ours alone: a copy here would keep them open behind our back.
    let null = File::options().read(true).write(true).open("/dev/null")?;
    replace_stream(STDIN, &null)?;
    replace_stream(STDOUT, &null)?;
    let (wake_read, wake_write) = io::pipe()?;
    signal_hook::low_level::pipe::register(signal_hook::consts::SIGCHLD, wake_write)?;
    let Ends {
        mut control,
        mut notices,
        command_stdin,
        command_stdout,
        command,
    } = ends;
    let command = match start(&command, command_stdin, command_stdout) {
        Ok(pid) => pid,
        Err(error) => {
            let exit = Exit::NotStarted(error.raw_os_error().unwrap_or(libc::EINVAL));
            return notices.write_all(&encode(exit));
        }
    };
    if let Some(exit) = watch(&mut control, wake_read, command)? {
        // The client learns the end now; what was left behind ends right after.
        let _ = notices.write_all(&encode(exit));
        end_descendants();
    } else if let Some(exit) = end_all(command) {
        let _ = notices.write_all(&encode(exit));
    }
    Ok(())
}

fn start(command: &[OsString], stdin: OwnedFd, stdout: OwnedFd) -> io::Result<Pid> {
    let (program, arguments) = command
        .split_first()
        .ok_or(io::Error::from_raw_os_error(libc::ENOENT))?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(stdin)
        .stdout(stdout)
        .process_group(0);
    // SAFETY: between fork and exec only system calls are made that are async-signal-safe.
    #[expect(
        unsafe_code,
        reason = "a parent-death signal can only be set by the child itself"
    )]
    unsafe {
        command.pre_exec(|| {
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
            // A blocked signal would stay blocked in the command.
            hold_signals(false);
            Ok(())
        });
    }
    let child = command.spawn()?;
    i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .ok_or(io::Error::from_raw_os_error(libc::ESRCH))
}

/// Passes signals on and reaps. Gives the command's end, or none when everything is to end now.
fn watch(
    control: &mut io::PipeReader,
    mut wake: io::PipeReader,
    command: Pid,
) -> io::Result<Option<Exit>> {
    loop {
        let mut fds = [
            PollFd::new(&*control, PollFlags::IN),
            PollFd::new(&wake, PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Err(rustix::io::Errno::INTR) => continue,
            other => other?,
        };
        let [asked, woken] = fds.map(|fd| !fd.revents().is_empty());
        if woken {
            let _ = wake.read(&mut [0; 64])?;
            if let Some(exit) = reap(command) {
                return Ok(Some(exit));
            }
        }
        if asked {
            let mut byte = [TERMINATE];
            // An end of file is our parent's death: it leaves the byte as it is.
            let _ = control.read(&mut byte)?;
            if byte == [TERMINATE] {
                return Ok(None);
            }
            if let Some(signal) = Signal::from_named_raw(i32::from(byte[0])) {
                // It may have ended just now; the reaper will tell.
                let _ = kill_process(command, signal);
            }
        }
    }
}

/// Collects every child that has ended; the command's end, if it is among them.
fn reap(command: Pid) -> Option<Exit> {
    let mut exit = None;
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if pid == command {
            exit = Some(read_status(ExitStatus::from_raw(status.as_raw())));
        }
    }
    exit
}

fn read_status(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, signal) => Exit::Signal(signal.unwrap_or(libc::SIGKILL)),
    }
}

/// Ends the command and everything below us: SIGTERM, some time, SIGKILL.
fn end_all(command: Pid) -> Option<Exit> {
    signal_all(Signal::TERM);
    let mut exit = patience(TERMINATE_GRACE, command);
    while !descendants().is_empty() {
        signal_all(Signal::KILL);
        exit = patience(Duration::from_millis(50), command).or(exit);
    }
    reap(command).or(exit)
}

/// Ends what the command left behind: some time, SIGTERM, some time, SIGKILL.
fn end_descendants() {
    let nobody = rustix::process::getpid();
    patience(GRACE, nobody);
    signal_all(Signal::TERM);
    patience(GRACE, nobody);
    while !descendants().is_empty() {
        signal_all(Signal::KILL);
        patience(Duration::from_millis(50), nobody);
    }
}

/// Waits until there is no descendant any more, or the time is over.
fn patience(time: Duration, command: Pid) -> Option<Exit> {
    let deadline = clock::instant() + time;
    let mut exit = None;
    while !descendants().is_empty() && clock::instant() < deadline {
        let _ = poll(&mut [], Some(&LOOK));
        exit = reap(command).or(exit);
    }
    exit
}

fn signal_all(signal: Signal) {
    for pid in descendants() {
        let _ = kill_process(pid, signal);
    }
}

/// Every living process below us, from the process table.
fn descendants() -> Vec<Pid> {
    let table: Vec<(i32, i32)> = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            Some((pid, living_parent(pid)?))
        })
        .collect();
    let mut found = vec![rustix::process::getpid().as_raw_nonzero().get()];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(
            table
                .iter()
                .filter(|(_, p)| *p == parent)
                .map(|(pid, _)| *pid),
        );
        next += 1;
    }
    found
        .into_iter()
        .skip(1)
        .filter_map(Pid::from_raw)
        .collect()
}

/// The parent of a process that is no zombie.
fn living_parent(pid: i32) -> Option<i32> {
    let mut stat = String::new();
    File::open(format!("/proc/{pid}/stat"))
        .and_then(|mut file| file.read_to_string(&mut stat))
        .ok()?;
    // The name in parentheses may hold anything, so the fields are counted from its end.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    (state != "Z" && state != "X").then_some(parent)
}
