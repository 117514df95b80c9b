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
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::clock;
use crate::record::Outcome;
use crate::session::{Direction, Hop};
use crate::tap::duplex::Duplex;
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
    let stopped = forward_signals(&control)?;
    let (events, from_client) = io::pipe()?;
    let from_server = from_client.try_clone()?;
    // Without a writer the pipe would be at its end, which is no event.
    let _open = from_client.try_clone()?;
    let duplex = Arc::new(Duplex::new(Arc::clone(hop), hop.new_scope(), 0));
    let relay = |direction, input: OwnedFd, output: OwnedFd| Relay {
        duplex: Arc::clone(&duplex),
        env: env.clone(),
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
            // The child reads no more: our stdin closes, as the child's would, and its end is no longer to be seen.
            Ended::Output => {
                close_stream(guard::STDIN);
                tell(&from_client, STDIN_CLOSED);
            }
        })?;
    let to_client = std::thread::Builder::new()
        .name("to-client".into())
        .spawn(move || {
            // Told before the client can see it: what it does then is no cause.
            match to_client.run() {
                Ended::Input => tell(&from_server, SERVER_ENDED),
                Ended::Output => tell(&from_server, STDOUT_BROKEN),
            }
            close_stream(guard::STDOUT);
        })?;
    let (exit, client_gone) = wait(&mut notices, &control, &events)?;
    // What the child wrote is passed on before we end: the guard has ended whatever could hold the pipe open.
    let relayed = to_client.join();
    let outcome = if stopped.load(Ordering::Relaxed) {
        Outcome::Shutdown
    } else if client_gone {
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
const STDIN_CLOSED: u8 = b'c';
const STDOUT_BROKEN: u8 = b'o';
const SERVER_ENDED: u8 = b's';

fn tell(mut events: &io::PipeWriter, event: u8) {
    // The main thread is the reader and outlives us; a full pipe is out of the question.
    let _ = events.write_all(&[event]);
}

/// What is known of the client.
#[derive(Debug, Default)]
struct Client {
    stdin_ended: bool,
    /// It ended before the server did.
    went_first: bool,
    server_ended: bool,
    /// We closed it ourselves: its end cannot be seen any more, so only the other signs count.
    stdin_closed: bool,
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
        if client.is_silent() && client.stdout_broken {
            client.died_at = Some(clock::instant());
        }
        let (stdin, stdout) = (io::stdin(), io::stdout());
        let mut fds = vec![
            PollFd::new(&*notices, PollFlags::IN),
            PollFd::new(events, PollFlags::IN),
        ];
        // Without requested events poll reports only that the other end has gone.
        if client.is_silent() {
            fds.push(PollFd::new(&stdout, PollFlags::empty()));
            let parent = parent.iter().filter(|_| client.stdin_ended);
            fds.extend(parent.map(|parent| PollFd::new(parent, PollFlags::IN)));
        } else if client.died_at.is_none() {
            // The relay may be stuck behind a child that does not read, and never come to the end itself.
            fds.push(PollFd::new(&stdin, PollFlags::empty()));
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
            return Ok((exit, client.went_first));
        }
        if sources.get(1) == Some(&true) {
            let mut event = [0];
            let _ = events.read(&mut event)?;
            client.hear(event);
            // What else happened may follow from it.
            continue;
        }
        let gone = gone.contains(&true);
        if !client.is_silent() {
            if gone {
                client.hear([STDIN_ENDED]);
            }
        } else if gone {
            client.died_at = Some(clock::instant());
        }
        if client.is_overdue() {
            client.terminated = true;
            control.terminate();
        }
    }
}

impl Client {
    fn hear(&mut self, event: [u8; 1]) {
        match event {
            [STDIN_ENDED] => {
                self.stdin_ended = true;
                self.went_first |= !self.server_ended;
            }
            [STDIN_CLOSED] => self.stdin_closed = true,
            [STDOUT_BROKEN] => self.stdout_broken = true,
            [SERVER_ENDED] => self.server_ended = true,
            _ => {}
        }
    }

    /// Nothing more can come from it; what is left to know is whether anybody is there.
    fn is_silent(&self) -> bool {
        (self.stdin_ended || self.stdin_closed) && self.died_at.is_none()
    }

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

/// The signals that ask a process to end.
const ENDING: [i32; 4] = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM];

/// Passes the signals that ask a process to do something on to the command, once each; true once one asked for its end.
fn forward_signals(control: &Arc<guard::Control>) -> io::Result<Arc<AtomicBool>> {
    let mut signals = signal_hook::iterator::Signals::new(guard::FORWARDED)?;
    guard::hold_signals(false);
    let control = Arc::clone(control);
    let stopped = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stopped);
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for signal in signals.forever() {
                if ENDING.contains(&signal) {
                    asked.store(true, Ordering::Relaxed);
                }
                control.signal(signal);
            }
        })?;
    Ok(stopped)
}

/// Closes one of our standard streams for the peer, and keeps its number taken.
fn close_stream(stream: guard::Stream) {
    if let Ok(null) = File::options().read(true).write(true).open("/dev/null") {
        // Nothing is lost when it fails: the stream closes with the process.
        let _ = guard::replace_stream(stream, &null);
    }
}
