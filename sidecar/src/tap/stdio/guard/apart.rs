//! Takes a command while the process has many threads. Gives a guard for it that is a program of its own: ours, again.
//! Never forks without exec: a thread's locks would stay taken in the copy for ever.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Mutex, OnceLock};

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Resource, Rlimit, setrlimit};

use super::{Control, Guard, Notices, hold_signals, keeper};

/// The subcommand that makes this program a guard. It is no part of the command line that people use.
pub const WORD: &str = "guard";

/// This very program, even when its file has been replaced meanwhile.
const OURSELVES: &str = "/proc/self/exe";

/// How many files a command may open: as many as we could before we asked for more.
static FILE_LIMIT: OnceLock<Rlimit> = OnceLock::new();

/// Notes the limit of open files that commands get, before it is raised for ourselves: programs that use `select` break
/// on descriptors above 1024.
pub fn note_file_limit(limit: Rlimit) {
    // The first word counts: it is the limit that we were started with.
    let _ = FILE_LIMIT.set(limit);
}

/// How many descriptors a guard is given.
const ENDS: usize = 4;

/// The guard to start, and our ends of its pipes. The other ends close when the returned command is dropped.
///
/// # Errors
/// When there is no descriptor left for the pipes.
pub fn apart(command: &[OsString]) -> io::Result<(Command, Guard)> {
    let (control_read, control_write) = io::pipe()?;
    let (notice_read, notice_write) = io::pipe()?;
    let (stdin_read, stdin_write) = io::pipe()?;
    let (stdout_read, stdout_write) = io::pipe()?;
    let theirs: [OwnedFd; ENDS] = [
        control_read.into(),
        notice_write.into(),
        stdin_read.into(),
        stdout_write.into(),
    ];
    let mut guard = Command::new(OURSELVES);
    guard
        .arg0("toolspan")
        .arg(WORD)
        .args(theirs.iter().map(|end| end.as_raw_fd().to_string()))
        .args(command)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .process_group(0);
    let limit = FILE_LIMIT.get().copied();
    // SAFETY: between fork and exec only fcntl and setrlimit are called, which are async-signal-safe.
    #[expect(
        unsafe_code,
        reason = "only this one program may inherit the descriptors, so they are released in it alone"
    )]
    unsafe {
        guard.pre_exec(move || {
            for end in &theirs {
                fcntl_setfd(end, FdFlags::empty())?;
            }
            if let Some(limit) = limit {
                setrlimit(Resource::Nofile, limit)?;
            }
            Ok(())
        });
    }
    let ours = Guard {
        control: Control(Mutex::new(control_write)),
        notices: Notices(notice_read),
        child_stdin: stdin_write.into(),
        child_stdout: stdout_read.into(),
    };
    Ok((guard, ours))
}

/// The life of the guard, given the words that [`apart`] started it with.
#[must_use]
pub fn run_apart(words: &[OsString]) -> ExitCode {
    hold_signals(true);
    let Some((ends, command)) = words.split_first_chunk::<ENDS>() else {
        return ExitCode::FAILURE;
    };
    let [control, notices, stdin, stdout] = ends.each_ref().map(inherited);
    let (Some(control), Some(notices), Some(command_stdin), Some(command_stdout)) =
        (control, notices, stdin, stdout)
    else {
        return ExitCode::FAILURE;
    };
    keeper::run(keeper::Ends {
        control: control.into(),
        notices: notices.into(),
        command_stdin,
        command_stdout,
        command: command.to_vec(),
    })
}

/// A descriptor that was left open for us; the command must not inherit it in turn.
fn inherited(word: &OsString) -> Option<OwnedFd> {
    let number = word.to_str()?.parse().ok().filter(|number| *number > 2)?;
    // SAFETY: who starts a guard leaves exactly these descriptors to it, and nothing else here has opened any.
    #[expect(
        unsafe_code,
        reason = "a number is all that can be handed on through exec"
    )]
    let end = unsafe { OwnedFd::from_raw_fd(number) };
    fcntl_setfd(&end, FdFlags::CLOEXEC).ok()?;
    Some(end)
}
