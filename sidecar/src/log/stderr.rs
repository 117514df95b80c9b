//! Takes one line of the log. Gives it to stderr, if stderr takes it now.
//! Never waits: a client that does not read our stderr must not be able to stop a thread of ours.

use std::io::{self, Write};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tracing_subscriber::fmt::MakeWriter;

/// A pipe that polls as writable takes this much without blocking (PIPE_BUF).
const MAX_LINE: usize = 4096;

#[derive(Debug, Clone, Copy)]
pub(super) struct Stderr;

impl Write for Stderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if is_ready() {
            match line.get(..MAX_LINE - 1).filter(|_| line.len() > MAX_LINE) {
                Some(cut) => io::stderr().write_all(&[cut, b"\n"].concat())?,
                None => io::stderr().write_all(line)?,
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Stderr {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        *self
    }
}

fn is_ready() -> bool {
    let stderr = io::stderr();
    let mut fds = [PollFd::new(&stderr, PollFlags::OUT)];
    let now = Timespec::default();
    let polled = poll(&mut fds, Some(&now)).is_ok();
    let [fd] = fds;
    polled && fd.revents().contains(PollFlags::OUT)
}
