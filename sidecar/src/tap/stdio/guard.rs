//! Takes a command. Gives its streams, its end and a way to signal it, through a process of our own between us.
//! Never lets a descendant of the command live on when we are gone, however we went.
//!
//! The guard is a child of ours and the parent of the command. It is a subreaper, so that whatever the command leaves
//! behind becomes its child; it stands in a process group of its own, so that a signal to our group does not reach it;
//! and it reads a pipe whose other end only we hold: when that ends, we have died, by SIGKILL too, and the guard ends
//! everything below it. It is forked before we have a second thread and never runs a program of its own, so it costs
//! a few pages.

mod apart;
mod keeper;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Mutex;

pub use apart::{WORD, apart, note_file_limit, run_apart};

/// Asks the guard to end everything.
pub(super) const TERMINATE: u8 = 255;

/// How the command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Code(i32),
    Signal(i32),
    /// It could not be started; the error number says why.
    NotStarted(i32),
}

impl Exit {
    /// The exit code that mirrors it, as shells write it: 128+n for a signal, 127 and 126 for what cannot be started.
    #[must_use]
    pub fn code(self) -> u8 {
        let code = match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
            Self::NotStarted(libc::ENOENT) => 127,
            Self::NotStarted(_) => 126,
        };
        u8::try_from(code & 0xff).unwrap_or(u8::MAX)
    }
}

/// What the guard says.
#[derive(Debug)]
pub enum Notice {
    Exited(Exit),
}

/// The command, running below its guard.
#[derive(Debug)]
pub struct Guard {
    pub control: Control,
    pub notices: Notices,
    pub child_stdin: OwnedFd,
    pub child_stdout: OwnedFd,
}

/// Our end of the pipe to the guard. The guard ends everything when it closes.
#[derive(Debug)]
pub struct Control(Mutex<io::PipeWriter>);

impl Control {
    pub fn signal(&self, signal: i32) {
        if let Ok(signal) = u8::try_from(signal) {
            self.send(signal);
        }
    }

    pub fn terminate(&self) {
        self.send(TERMINATE);
    }

    fn send(&self, byte: u8) {
        let mut pipe = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        // A guard that is gone has ended the command; its notice says so.
        let _ = pipe.write_all(&[byte]);
    }
}

/// The pipe from the guard.
#[derive(Debug)]
pub struct Notices(io::PipeReader);

impl AsFd for Notices {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<Notices> for OwnedFd {
    fn from(notices: Notices) -> Self {
        notices.0.into()
    }
}

impl Notices {
    /// Reads one notice.
    ///
    /// # Errors
    /// When the pipe cannot be read.
    pub fn read(&mut self) -> io::Result<Option<Notice>> {
        let mut bytes = [0; 5];
        match self.0.read_exact(&mut bytes) {
            Ok(()) => Ok(Some(Notice::Exited(decode(bytes)))),
            // The guard itself was killed; the command died with it.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Ok(Some(Notice::Exited(Exit::Signal(libc::SIGKILL))))
            }
            Err(error) => Err(error),
        }
    }
}

fn encode(exit: Exit) -> [u8; 5] {
    let (kind, value) = match exit {
        Exit::Code(code) => (b'c', code),
        Exit::Signal(signal) => (b's', signal),
        Exit::NotStarted(error) => (b'n', error),
    };
    let [a, b, c, d] = value.to_le_bytes();
    [kind, a, b, c, d]
}

/// The end of the command, as a notice tells it; without a notice the guard itself was killed, and the command with it.
#[must_use]
pub fn exit_of(notice: Option<[u8; 5]>) -> Exit {
    notice.map_or(Exit::Signal(libc::SIGKILL), decode)
}

fn decode([kind, a, b, c, d]: [u8; 5]) -> Exit {
    let value = i32::from_le_bytes([a, b, c, d]);
    match kind {
        b'c' => Exit::Code(value),
        b's' => Exit::Signal(value),
        _ => Exit::NotStarted(value),
    }
}

/// The signals that ask a process to do something.
pub const FORWARDED: [i32; 6] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
];

/// Holds the forwarded signals back, or lets them come to this thread.
///
/// Between the command's start and our handlers a signal would end us, and the command would never hear of it.
/// The guard keeps them held: what it is to do comes through its pipe. A command starts with none held.
pub fn hold_signals(hold: bool) {
    let how = if hold {
        libc::SIG_BLOCK
    } else {
        libc::SIG_UNBLOCK
    };
    // SAFETY: the set is made by sigemptyset before it is read, and only this thread's mask changes.
    #[expect(unsafe_code, reason = "the mask must be set around the fork")]
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in FORWARDED {
            libc::sigaddset(&raw mut set, signal);
        }
        libc::pthread_sigmask(how, &raw const set, std::ptr::null_mut());
    }
}

/// Starts `command` below a guard. Must be called while the process has one thread. The forwarded signals are
/// held back from now on, until [`hold_signals`] lets them come.
///
/// # Errors
/// When pipes or processes cannot be made. That the command does not exist is told by its [`Exit`].
pub fn spawn(command: &[OsString]) -> io::Result<Guard> {
    let (control_read, control_write) = io::pipe()?;
    let (notice_read, notice_write) = io::pipe()?;
    let (stdin_read, stdin_write) = io::pipe()?;
    let (stdout_read, stdout_write) = io::pipe()?;
    hold_signals(true);
    // SAFETY: there is one thread, so the child may go on with everything this process has.
    #[expect(unsafe_code, reason = "a guard that outlives us cannot be a thread")]
    let pid = unsafe { libc::fork() };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            drop((control_write, notice_read, stdin_write, stdout_read));
            keeper::run(keeper::Ends {
                control: control_read,
                notices: notice_write,
                command_stdin: stdin_read.into(),
                command_stdout: stdout_write.into(),
                command: command.to_vec(),
            })
        }
        _ => Ok(Guard {
            control: Control(Mutex::new(control_write)),
            notices: Notices(notice_read),
            child_stdin: stdin_write.into(),
            child_stdout: stdout_read.into(),
        }),
    }
}

/// A standard stream by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Stdin,
    Stdout,
}

pub use Stream::{Stdin as STDIN, Stdout as STDOUT};

/// Puts another file in the place of one of our standard streams.
///
/// # Errors
/// When the system refuses.
pub fn replace_stream(stream: Stream, with: &File) -> io::Result<()> {
    match stream {
        Stream::Stdin => rustix::stdio::dup2_stdin(with)?,
        Stream::Stdout => rustix::stdio::dup2_stdout(with)?,
    }
    Ok(())
}
