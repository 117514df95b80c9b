//! Takes the standard streams a client gave us and a command. Gives the client the command's behaviour, with context
//! spliced into what it sends.
//! Never writes a byte of its own to stdout, never outlives both peers, never leaves a descendant behind.
//!
//! Two plain threads relay, one a direction: a pipe is read and written with blocking calls, so back-pressure is the
//! kernel's and nothing has to be made non-blocking behind the client's back. The main thread waits for what ends us.

pub mod guard;

mod relay;

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::clock;
use crate::record::Outcome;
use crate::session::{Direction, Hop};
use crate::trace::Carrier;

use guard::{Exit, Guard, Notice};
use relay::{Ended, Relay};

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
    let (events, from_client) = io::pipe()?;
    let from_server = from_client.try_clone()?;
    // Without a writer the pipe would be at its end, which is no event.
    let _open = from_client.try_clone()?;
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
    std::thread::Builder::new()
        .name("to-server".into())
        .spawn(move || match to_server.run() {
            Ended::Input => tell(&from_client, STDIN_ENDED),
            // The child reads no more: our stdin closes, as the child's would.
            Ended::Output => close_stream(guard::STDIN),
        })?;
    let to_client = std::thread::Builder::new()
        .name("to-client".into())
        .spawn(move || {
            if to_client.run() == Ended::Output {
                tell(&from_server, STDOUT_BROKEN);
            }
            close_stream(guard::STDOUT);
        })?;
    let (exit, client_died) = wait(&mut notices, &control, &events)?;
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

/// What the relaying threads tell the main thread.
const STDIN_ENDED: u8 = b'i';
const STDOUT_BROKEN: u8 = b'o';

fn tell(mut events: &io::PipeWriter, event: u8) {
    // The main thread is the reader and outlives us; a full pipe is out of the question.
    let _ = events.write_all(&[event]);
}

/// What is known of the client.
#[derive(Debug, Default)]
struct Client {
    stdin_ended: bool,
    stdout_broken: bool,
    /// When it was found dead: stdin has ended, and nobody reads stdout or our parent is gone.
    died_at: Option<Instant>,
    terminated: bool,
}

/// Waits for the command's end; asks for it when the client has died and the command goes on all the same.
fn wait(
    notices: &mut guard::Notices,
    control: &guard::Control,
    mut events: &io::PipeReader,
) -> io::Result<(Exit, bool)> {
    let parent = parent();
    let mut client = Client::default();
    loop {
        let stdout = io::stdout();
        let mut fds = vec![
            PollFd::new(&*notices, PollFlags::IN),
            PollFd::new(events, PollFlags::IN),
        ];
        if client.stdin_ended && client.died_at.is_none() {
            // Without requested events poll reports only that the other end has gone.
            fds.push(PollFd::new(&stdout, PollFlags::empty()));
            fds.extend(
                parent
                    .iter()
                    .map(|parent| PollFd::new(parent, PollFlags::IN)),
            );
        }
        match poll(&mut fds, client.patience().as_ref()) {
            Err(rustix::io::Errno::INTR) => continue,
            other => other?,
        };
        let happened: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        let (sources, gone) = happened.split_at(2);
        if sources.first() == Some(&true)
            && let Some(Notice::Exited(exit)) = notices.read()?
        {
            return Ok((exit, client.died_at.is_some()));
        }
        if sources.get(1) == Some(&true) {
            let mut event = [0];
            let _ = events.read(&mut event)?;
            client.stdin_ended |= event == [STDIN_ENDED];
            client.stdout_broken |= event == [STDOUT_BROKEN];
        }
        let gone = gone.contains(&true) || client.stdout_broken;
        if client.stdin_ended && gone && client.died_at.is_none() {
            client.died_at = Some(clock::instant());
        }
        if client.is_overdue() {
            client.terminated = true;
            control.terminate();
        }
    }
}

impl Client {
    /// How long the command may still take by itself.
    fn patience(&self) -> Option<Timespec> {
        let left = self.left()?;
        Some(Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        })
    }

    fn is_overdue(&self) -> bool {
        self.left() == Some(Duration::ZERO)
    }

    fn left(&self) -> Option<Duration> {
        let died_at = self.died_at.filter(|_| !self.terminated)?;
        Some((died_at + ORPHAN_GRACE).saturating_duration_since(clock::instant()))
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
