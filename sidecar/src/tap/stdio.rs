//! Takes the standard streams a client gave us and a command. Gives the client the command's behaviour, with context
//! spliced into what it sends.
//! Never writes a byte of its own to stdout, never outlives both peers, never leaves a descendant behind.
//!
//! Two plain threads relay, one a direction: a pipe is read and written with blocking calls, so back-pressure is the
//! kernel's and nothing has to be made non-blocking behind the client's back. The main thread waits for what ends us.

pub mod guard;

mod relay;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::clock;
use crate::record::Outcome;
use crate::session::{Direction, Hop};
use crate::trace::Carrier;

use guard::{Exit, Guard, Notice};
use relay::Relay;

/// How long a child may take to end by itself after its client has died.
const ORPHAN_GRACE: Duration = Duration::from_secs(2);

/// Relays until the command has ended and all it wrote has been passed on.
///
/// # Errors
/// When the streams or signal handlers cannot be set up; the command is ended then.
pub fn run(guard: Guard, hop: &Arc<Hop>, env: Option<Carrier>) -> io::Result<Exit> {
    let Guard {
        control,
        mut notices,
        child_stdin,
        child_stdout,
    } = guard;
    let control = Arc::new(control);
    forward_signals(&control)?;
    let (ended_read, ended_write) = io::pipe()?;
    let scope = hop.new_scope();
    let peers = Arc::default();
    let relay = |direction, input: OwnedFd, output: OwnedFd| Relay {
        hop: Arc::clone(hop),
        peers: Arc::clone(&peers),
        env: env.clone(),
        scope,
        direction,
        input: File::from(input),
        output: File::from(output),
    };
    let to_server = relay(
        Direction::ToServer,
        io::stdin().as_fd().try_clone_to_owned()?,
        child_stdin,
    );
    let to_client = relay(
        Direction::ToClient,
        child_stdout,
        io::stdout().as_fd().try_clone_to_owned()?,
    );
    let stdin_ended = ended_write.try_clone()?;
    std::thread::Builder::new()
        .name("to-server".into())
        .spawn(move || {
            let client_ended = to_server.run();
            if client_ended {
                // Only the client's end of file is news for the main thread; its reader is the pipe's other end.
                drop(stdin_ended);
            } else {
                // The child reads no more: our stdin closes, as the child's would, and the writer stays open for good.
                close_stream(guard::STDIN);
                std::mem::forget(stdin_ended);
            }
        })?;
    drop(ended_write);
    let to_client = std::thread::Builder::new()
        .name("to-client".into())
        .spawn(move || {
            to_client.run();
            close_stream(guard::STDOUT);
        })?;
    let (exit, client_died) = wait(&mut notices, &control, &ended_read)?;
    // What the child wrote is passed on before we end: the guard has ended whatever could hold the pipe open.
    let relayed = to_client.join();
    let outcome = if client_died {
        Outcome::ClientGone
    } else {
        Outcome::ServerGone
    };
    hop.end_all(outcome, clock::now());
    relayed.map_err(|_| io::Error::other("the thread that relays the answers panicked"))?;
    Ok(exit)
}

/// Waits for the command's end. Ends it when the client has died, which is when stdin has ended and nobody can read
/// stdout any more.
fn wait(
    notices: &mut guard::Notices,
    control: &guard::Control,
    stdin_ended: &io::PipeReader,
) -> io::Result<(Exit, bool)> {
    let parent = parent();
    let mut stdin_open = true;
    let mut died_at = None;
    loop {
        let stdout = io::stdout();
        let mut fds = vec![PollFd::new(&*notices, PollFlags::IN)];
        if stdin_open {
            fds.push(PollFd::new(stdin_ended, PollFlags::IN));
        } else if died_at.is_none() {
            // Without requested events poll reports only that the other end has gone.
            fds.push(PollFd::new(&stdout, PollFlags::empty()));
            if let Some(parent) = &parent {
                fds.push(PollFd::new(parent, PollFlags::IN));
            }
        }
        let timeout = died_at.map(|at: std::time::Instant| {
            let left = (at + ORPHAN_GRACE).saturating_duration_since(clock::instant());
            Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            }
        });
        match poll(&mut fds, timeout.as_ref()) {
            Err(rustix::io::Errno::INTR) => continue,
            other => other?,
        };
        let happened: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        if happened.first() == Some(&true) {
            if let Some(Notice::Exited(exit)) = notices.read()? {
                return Ok((exit, died_at.is_some()));
            }
        } else if stdin_open {
            stdin_open = happened.get(1) != Some(&true);
        } else if died_at.is_none() {
            died_at = happened.contains(&true).then(clock::instant);
        } else {
            control.terminate();
        }
    }
}

/// Our parent, as a file descriptor that becomes readable when it dies; none where the kernel has none.
fn parent() -> Option<OwnedFd> {
    let parent = rustix::process::getppid()?;
    rustix::process::pidfd_open(parent, rustix::process::PidfdFlags::empty()).ok()
}

/// Passes the signals that ask a process to do something on to the command, once each.
fn forward_signals(control: &Arc<guard::Control>) -> io::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new(guard::FORWARDED)?;
    guard::hold_signals(false);
    let control = Arc::clone(control);
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for signal in signals.forever() {
                control.signal(signal);
            }
        })?;
    Ok(())
}

/// Closes one of our standard streams for the peer, and keeps its number taken.
fn close_stream(stream: guard::Stream) {
    if let Ok(null) = File::options().read(true).write(true).open("/dev/null") {
        // Nothing is lost when it fails: the stream closes with the process.
        let _ = guard::replace_stream(stream, &null);
    }
}
