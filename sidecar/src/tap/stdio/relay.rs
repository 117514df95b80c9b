//! Takes one direction of a stdio session. Gives every line on, requests with their context.
//! Never changes a line that is no request, never waits for anything but the two pipes.

use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags, poll};

use crate::clock;
use crate::frame::line::{Edit, Framer, Line, Observer};
use crate::frame::{Kind, Message, Scanner};
use crate::record::NotInjected;
use crate::session::{Arrival, Direction, Hop, Key, Peers, Scope};
use crate::trace::Carrier;

pub(super) struct Relay {
    pub hop: Arc<Hop>,
    /// What both directions know of the peers.
    pub peers: Arc<Mutex<Peers>>,
    /// The context of the environment variable `TRACEPARENT`.
    pub env: Option<Carrier>,
    pub scope: Scope,
    pub direction: Direction,
    pub input: File,
    pub output: File,
}

/// Which side of a relay ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Input,
    Output,
}

impl Relay {
    /// Relays until one side ends, and closes both.
    pub fn run(mut self) -> Ended {
        let mut framer = Framer::new(self.hop.max_inject_bytes);
        loop {
            let read = match self.input.read(framer.space()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    wait_for(&self.input, PollFlags::IN);
                    continue;
                }
                // A read error ends the stream as an end of file does; there is nobody to tell.
                read => read.unwrap_or(0),
            };
            if read == 0 {
                framer.end(&mut self);
                return match write(&mut self.output, &framer) {
                    Ok(()) => Ended::Input,
                    Err(_) => Ended::Output,
                };
            }
            framer.advance(read, &mut self);
            if write(&mut self.output, &framer).is_err() {
                return Ended::Output;
            }
            framer.consume();
        }
    }

    fn message(&self, message: &Message<'_>, line: &Line<'_>, scanner: &Scanner) -> Vec<Edit> {
        let at = (self.scope, self.direction);
        let now = clock::now();
        match message.kind() {
            Kind::Request => {
                let arrival = Arrival {
                    env: self
                        .env
                        .clone()
                        .filter(|_| self.direction == Direction::ToServer),
                    cause: (self.direction == Direction::ToClient)
                        .then(|| self.hop.cause(self.scope, Direction::ToServer))
                        .flatten(),
                    peers: self.lock_peers().clone(),
                    untouchable: (!line.held || scanner.overflowed())
                        .then_some(NotInjected::TooLarge),
                    size: usize::try_from(scanner.fed()).unwrap_or(usize::MAX),
                    ..Arrival::default()
                };
                let opened = self.hop.open(message, at, &arrival, now);
                opened.map(|opened| opened.edits).unwrap_or_default()
            }
            Kind::Notification => {
                self.hop.cancel(message, at, now);
                Vec::new()
            }
            Kind::Response => {
                let key = message.id().map(|id| Key {
                    scope: self.scope,
                    direction: self.direction.reversed(),
                    id,
                });
                let answered = self.hop.answer(message, key.as_ref(), now);
                if let Some(answered) = answered.filter(|a| a.initialize) {
                    *self.lock_peers() = answered.peers.clone();
                    self.hop.begin_session(0, &answered);
                }
                Vec::new()
            }
            Kind::Invalid => Vec::new(),
        }
    }

    fn lock_peers(&self) -> std::sync::MutexGuard<'_, Peers> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Relay {
    fn line(&mut self, line: &Line<'_>) -> Vec<Edit> {
        let Ok(scanner) = line.scanned else {
            self.hop.count(None);
            return Vec::new();
        };
        self.hop.count(Some(scanner));
        let mut edits = Vec::new();
        for message in scanner.messages() {
            edits.extend(self.message(&message, line, scanner));
        }
        // A batch may grow by several contexts; each was measured alone.
        let added: usize = edits.iter().map(|edit| edit.with.len()).sum();
        let fed = usize::try_from(scanner.fed()).unwrap_or(usize::MAX);
        if scanner.is_batch() && fed.saturating_add(added) > self.hop.max_inject_bytes {
            self.hop.counters().skip_injection(NotInjected::TooLarge);
            edits.clear();
        }
        edits
    }
}

/// Writes all segments with as few system calls as there can be.
fn write(output: &mut File, framer: &Framer) -> io::Result<()> {
    let mut segments: Vec<IoSlice<'_>> = framer.segments().map(IoSlice::new).collect();
    let mut rest = segments.as_mut_slice();
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        match output.write_vectored(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut rest, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                wait_for(output, PollFlags::OUT);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whoever shares a stream with us may have made it non-blocking: then we do the waiting.
fn wait_for(file: &File, what: PollFlags) {
    // An interrupted or failed wait is tried again by the read or write behind it.
    let _ = poll(&mut [PollFd::new(file, what)], None);
}
