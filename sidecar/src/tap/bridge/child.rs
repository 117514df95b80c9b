//! Takes a command and whoever hears it. Gives a running child behind a guard: lines go in, lines come out.
//! Never leaves a process behind, never holds more than one line of the child, never loses the order of lines.

mod lines;

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, watch};
use tracing::debug;

use super::budget::Spent;
use crate::clock;
use crate::tap::stdio::guard::{self, Control, Exit, Guard};
use lines::{Line, Lines};

pub(super) use lines::Skipped;

/// Lines that may wait for a child that does not read.
const WAITING_LINES: usize = 16;
/// How long a child may take to end by itself once its input has ended.
const GRACE: Duration = Duration::from_secs(2);

/// Whoever hears what a child says.
pub(super) trait Hearer: Send + Sync + 'static {
    /// One line without its end. The child is not read on before this is done: back-pressure.
    fn line(self: &Arc<Self>, line: Bytes) -> impl Future<Output = ()> + Send;
    /// A line that was longer than what may be held, at its end.
    fn too_long(self: &Arc<Self>, skipped: Skipped);
    /// The child has ended, and with it everything below it.
    fn ended(self: &Arc<Self>, exit: Exit);
}

/// The child is gone, so what was to be sent is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the command has ended")]
pub(super) struct Gone;

/// A line that a child has not read yet, and what it takes of the room for all.
type Waiting = (Bytes, Option<Arc<Spent>>);

/// Whether a child is ending, and since when: because it was asked to, or by itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Ending(Arc<OnceLock<Instant>>);

impl Ending {
    pub fn since(&self) -> Option<Instant> {
        self.0.get().copied()
    }

    fn begin(&self) {
        self.0.get_or_init(clock::instant);
    }
}

/// Our side of a running child.
#[derive(Debug)]
pub(super) struct Child {
    /// None once the child is to end.
    lines: Mutex<Option<mpsc::Sender<Waiting>>>,
    /// Turns true when it is to end.
    asked: watch::Sender<bool>,
    ending: Ending,
    /// True when nothing of it is left.
    over: watch::Receiver<bool>,
}

impl Child {
    /// Starts a command. That it does not exist is told by its [`Exit`].
    ///
    /// # Errors
    /// When there are no processes or descriptors left.
    pub fn start(command: &[OsString]) -> io::Result<(Self, Running)> {
        let (starting, guard) = guard::apart(command)?;
        let process = tokio::process::Command::from(starting).spawn()?;
        let Guard {
            control,
            notices,
            child_stdin,
            child_stdout,
        } = guard;
        let (lines, waiting) = mpsc::channel(WAITING_LINES);
        let (done, over) = watch::channel(false);
        let (asked, to_end) = watch::channel(false);
        let running = Running {
            process,
            control,
            notices: pipe::Receiver::from_owned_fd(OwnedFd::from(notices))?,
            stdin: pipe::Sender::from_owned_fd(child_stdin)?,
            stdout: pipe::Receiver::from_owned_fd(child_stdout)?,
            waiting,
            to_end,
            ending: Ending::default(),
            done,
        };
        let child = Self {
            lines: Mutex::new(Some(lines)),
            asked,
            ending: running.ending(),
            over,
        };
        Ok((child, running))
    }

    /// One that was never started: whatever is sent to it is gone.
    #[cfg(test)]
    pub fn unstarted(ending: Ending) -> Self {
        let (lines, _) = mpsc::channel(1);
        let (_, over) = watch::channel(true);
        Self {
            lines: Mutex::new(Some(lines)),
            asked: watch::Sender::new(false),
            ending,
            over,
        }
    }

    /// Hands over one line, its end included. Waits while the child does not read.
    pub async fn send(&self, line: Bytes, spent: Arc<Spent>) -> Result<(), Gone> {
        self.send_noted(line, spent, || ()).await
    }

    /// The same; the note is taken once there is room, and before the child can have said anything to the line.
    pub async fn send_noted(
        &self,
        line: Bytes,
        spent: Arc<Spent>,
        note: impl FnOnce() + Send,
    ) -> Result<(), Gone> {
        let lines = self.lines().ok_or(Gone)?;
        let place = lines.reserve().await.map_err(|_| Gone)?;
        note();
        place.send((line, Some(spent)));
        Ok(())
    }

    /// Hands over one line from where nobody can wait.
    pub fn send_later(&self, line: Bytes) {
        let Some(lines) = self.lines() else { return };
        if let Err(mpsc::error::TrySendError::Full(line)) = lines.try_send((line, None)) {
            // It ends with the channel, which the child's own task owns.
            tokio::spawn(async move { lines.send(line).await });
        }
    }

    /// Ends the input, which asks the child to end; one that does not is ended.
    pub fn end(&self) {
        self.ending.begin();
        self.lock().take();
        self.asked.send_replace(true);
    }

    /// Waits until nothing of the child is left.
    pub async fn over(&self) {
        // A sender that is gone has ended too.
        let _ = self.over.clone().wait_for(|over| *over).await;
    }

    fn lines(&self) -> Option<mpsc::Sender<Waiting>> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<mpsc::Sender<Waiting>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The other side of a child: what its task works with.
#[derive(Debug)]
pub(super) struct Running {
    process: tokio::process::Child,
    control: Control,
    notices: pipe::Receiver,
    stdin: pipe::Sender,
    stdout: pipe::Receiver,
    waiting: mpsc::Receiver<Waiting>,
    to_end: watch::Receiver<bool>,
    ending: Ending,
    done: watch::Sender<bool>,
}

impl Running {
    pub fn ending(&self) -> Ending {
        self.ending.clone()
    }

    /// The child's life: ends when nothing of it is left.
    pub async fn live<H: Hearer>(self, hearer: Arc<H>, max_line: usize) {
        let Self {
            mut process,
            control,
            mut notices,
            stdin,
            stdout,
            mut waiting,
            mut to_end,
            ending,
            done,
        } = self;
        tokio::select! {
            () = read(stdout, &hearer, max_line) => {}
            () = async {
                tokio::select! {
                    () = write(stdin, &mut waiting) => {}
                    // A child that does not read would keep its input open for ever.
                    () = async {
                        let _ = to_end.wait_for(|end| *end).await;
                        tokio::time::sleep(GRACE).await;
                    } => {}
                }
                tokio::time::sleep(GRACE).await;
                control.terminate();
                // The end of its output is what ends the child for us.
                std::future::pending::<()>().await;
            } => {}
        }
        ending.begin();
        waiting.close();
        // The guard ends whatever goes on without an output.
        drop(control);
        let mut notice = [0; 5];
        let told = notices.read_exact(&mut notice).await;
        let exit = guard::exit_of(told.is_ok().then_some(notice));
        if let Err(error) = process.wait().await {
            debug!(%error, "cannot wait for a guard");
        }
        hearer.ended(exit);
        done.send_replace(true);
    }
}

/// Writes lines until nobody has any more, or the child reads no more.
async fn write(mut stdin: pipe::Sender, waiting: &mut mpsc::Receiver<Waiting>) {
    while let Some((line, _spent)) = waiting.recv().await {
        if let Err(error) = stdin.write_all(&line).await {
            debug!(%error, "the command reads no more");
            waiting.close();
            return;
        }
    }
}

async fn read<H: Hearer>(mut stdout: pipe::Receiver, hearer: &Arc<H>, max_line: usize) {
    let mut lines = Lines::new(max_line);
    loop {
        match stdout.read_buf(lines.space()).await {
            // What is left is a line that was not finished.
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        while let Some(line) = lines.next() {
            match line {
                Line::Whole(line) => hearer.line(line).await,
                Line::TooLong(skipped) => hearer.too_long(skipped),
            }
        }
    }
}
