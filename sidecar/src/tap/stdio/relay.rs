//! Takes one direction of a stdio session. Gives every line on, requests with their context.
//! Never changes a line that is no request, never waits for anything but the two pipes.

use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, poll};

use crate::frame::line::{Edit, Framer, Line, Observer};
use crate::session::{Arrival, Direction};
use crate::tap::duplex::Duplex;
use crate::trace::Carrier;

pub(super) struct Relay {
    pub duplex: Arc<Duplex>,
    /// The context of the environment variable `TRACEPARENT`.
    pub env: Option<Carrier>,
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
        let mut framer = Framer::new(self.duplex.hop.max_inject_bytes);
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
}

impl Observer for Relay {
    fn line(&mut self, line: &Line<'_>) -> Vec<Edit> {
        let arrival = Arrival {
            env: self
                .env
                .clone()
                .filter(|_| self.direction == Direction::ToServer),
            ..Arrival::default()
        };
        self.duplex.line(self.direction, line, &arrival)
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
