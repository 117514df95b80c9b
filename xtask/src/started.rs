//! Takes a command. Gives a process that ends when this program does, however it ends.
//! Never leaves one behind: the kernel tells each that its parent died, a drop ends and reaps it.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal};

/// The first argument that makes this program a launcher.
const LAUNCH: &str = "--die-with-parent";

/// How long a process may take to say where it listens, and to end when asked.
const START: Duration = Duration::from_secs(60);
const END: Duration = Duration::from_secs(3);

/// This program starts itself in place of a command, asks the kernel for a signal at its parent's
/// death, and then becomes the command: the wish survives that, and it needs no unsafe code here.
pub fn as_launcher() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()?.to_str() != Some(LAUNCH) {
        return None;
    }
    let parent: Option<u32> = arguments.next()?.to_str()?.parse().ok();
    let program = arguments.next()?;
    let asked = rustix::process::set_parent_process_death_signal(Some(Signal::TERM));
    if asked.is_err() || parent != Some(std::os::unix::process::parent_id()) {
        return Some(ExitCode::FAILURE);
    }
    let error = Command::new(&program).args(arguments).exec();
    eprintln!("cannot run {}: {error}", program.display());
    Some(ExitCode::FAILURE)
}

/// A command that ends with this program, without the caller's OpenTelemetry settings.
pub fn command(program: impl AsRef<OsStr>) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg(LAUNCH)
        .arg(std::process::id().to_string())
        .arg(program);
    for (name, _) in std::env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("OTEL_") || name.starts_with("TOOLSPAN_"))
        {
            command.env_remove(name);
        }
    }
    Ok(command)
}

/// A process under way.
pub struct Started {
    name: String,
    child: Child,
}

impl Started {
    pub fn spawn(name: &str, command: &mut Command) -> Result<Self> {
        let child = command
            .stdin(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let name = name.to_owned();
        Ok(Self { name, child })
    }

    /// Starts a server that prints `HOST:PORT` as its first line.
    pub fn printing_address(name: &str, command: &mut Command) -> Result<(Self, SocketAddr)> {
        let (started, line) = Self::printing_line(name, command)?;
        let address = line
            .trim()
            .parse()
            .with_context(|| format!("{name} printed `{}`, not an address", line.trim()))?;
        Ok((started, address))
    }

    /// Starts a program and waits for its first line.
    pub fn printing_line(name: &str, command: &mut Command) -> Result<(Self, String)> {
        let mut started = Self::spawn(name, command.stdout(Stdio::piped()))?;
        let out = started.child.stdout.take().context("no pipe")?;
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line)?;
        Ok((started, line))
    }

    /// Waits until the process has written this file, and gives the text.
    pub fn wait_for_file(&mut self, path: &Path) -> Result<String> {
        let deadline = Instant::now() + START;
        loop {
            if let Ok(text) = fs::read_to_string(path) {
                return Ok(text);
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended at its start with {status}", self.name);
            }
            if Instant::now() > deadline {
                bail!("{} did not say where it listens", self.name);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Result<Option<std::process::ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, waits, and insists after a while.
    pub fn stop(&mut self) -> Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        drop(self.child.stdin.take());
        signal(&self.child, Signal::TERM);
        let deadline = Instant::now() + END;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                self.child.kill()?;
                self.child.wait()?;
                bail!("{} had to be killed", self.name);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // A second stop finds the process reaped; the first one's failure was reported by it.
        let _ = self.stop();
    }
}

fn signal(child: &Child, signal: Signal) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}
