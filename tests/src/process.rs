//! Takes a command. Gives a child that ends, with all its descendants in its group, when the guard is dropped.
//! Never leaves a process behind and never waits without a deadline.

use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// How long anything may take on a busy machine before it counts as hanging.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A child in a process group of its own.
#[derive(Debug)]
pub struct Guarded {
    child: Child,
    status: Option<ExitStatus>,
}

impl Guarded {
    /// Starts a command; what it does with standard input and output is the caller's choice.
    ///
    /// # Errors
    /// When the command cannot be started; the error names it.
    pub fn spawn(command: &mut Command) -> io::Result<Self> {
        let child = command
            .process_group(0)
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("{command:?}: {error}")))?;
        Ok(Self {
            child,
            status: None,
        })
    }

    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The child's standard input; dropping it is the end of the input.
    pub fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    pub fn take_stderr(&mut self) -> Option<std::process::ChildStderr> {
        self.child.stderr.take()
    }

    /// Sends a signal to the child alone.
    pub fn signal(&self, signal: Signal) {
        if self.status.is_none()
            && let Some(pid) = pid(self.id())
        {
            // A child that has just ended is no failure of the test.
            let _ = kill_process(pid, signal);
        }
    }

    /// Sends a signal to the child's whole group, as a terminal does.
    pub fn signal_group(&self, signal: Signal) {
        if let Some(pid) = pid(self.id()) {
            let _ = kill_process_group(pid, signal);
        }
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// When the child has not ended after `patience`.
    pub fn wait_for(&mut self, patience: Duration) -> ExitStatus {
        let child = &mut self.child;
        let status = eventually("the end of a process", patience, || {
            child.try_wait().expect("a child can be waited for")
        });
        self.status = Some(status);
        status
    }

    pub fn wait(&mut self) -> ExitStatus {
        self.wait_for(PATIENCE)
    }

    /// Whether the child is still running.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_none())
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if let Some(pid) = pid(self.child.id())
            && (self.status.is_none() || group_lives(pid))
        {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn group_lives(pid: Pid) -> bool {
    rustix::process::test_kill_process_group(pid).is_ok()
}

fn pid(id: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(id).ok()?)
}

/// Whether a process of this id runs; one that has ended and was not collected yet counts as ended.
#[must_use]
pub fn is_alive(id: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{id}/stat")) else {
        return false;
    };
    // The name in parentheses may hold anything; the state is the first field behind it.
    stat.rsplit(')')
        .next()
        .is_some_and(|rest| !rest.trim_start().starts_with(['Z', 'X']))
}

/// The most memory that a process has had so far, in bytes.
///
/// # Panics
/// When it does not run.
#[must_use]
pub fn peak_memory(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("a running process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.and_then(|kib| kib.trim().parse::<u64>().ok())
        .expect("a peak in KiB")
        * 1024
}

/// The code that a shell would report: 128 + n for a signal.
#[must_use]
pub fn shell_code(status: ExitStatus) -> i32 {
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// Asks again and again until there is an answer.
///
/// # Panics
/// When there is none after `patience`; the message says what was waited for.
pub fn eventually<T>(what: &str, patience: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(
            Instant::now() < deadline,
            "waited {patience:?} in vain for {what}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Starts a server that writes where it listens to the file of its `--port-file`, and ends with its input.
///
/// # Panics
/// When it does not start.
pub fn start_server(command: &mut Command) -> (Guarded, String) {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let port_file = folder.path().join("port");
    command
        .arg("--port-file")
        .arg(&port_file)
        .stdin(Stdio::piped());
    let mut process = Guarded::spawn(command).expect("the server starts");
    let address = wait_for_port_file(&port_file, &mut process);
    (process, address.trim().to_owned())
}

/// The lines of a file that its writer renames into place when they are complete.
///
/// # Panics
/// When the file does not come, or its writer ends first.
pub fn wait_for_port_file(path: &Path, writer: &mut Guarded) -> String {
    eventually("a port file", PATIENCE, || {
        let text = std::fs::read_to_string(path).ok();
        assert!(
            text.is_some() || writer.is_running(),
            "the process ended before it listened"
        );
        text.filter(|text| text.ends_with('\n'))
    })
}

/// A command with all three standard streams as pipes, and none of our tracing variables.
#[must_use]
pub fn piped(program: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    without_telemetry_variables(&mut command);
    command
}

/// A test must not change with what the developer's shell exports.
pub fn without_telemetry_variables(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("OTEL_")
            || text.starts_with("TOOLSPAN_")
            || text == "TRACEPARENT"
            || text == "TRACESTATE"
        {
            command.env_remove(name);
        }
    }
}
