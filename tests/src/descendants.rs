//! Takes a mark that a process carries in its environment. Gives every process that inherited it.
//! Never trusts a process tree: who left it carries the mark all the same, and /proc is searched for it.

use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::process::{Guarded, PATIENCE, eventually, without_telemetry_variables};
use crate::programs;
use crate::sidecar::argument;

const MARK: &str = "TEST_DESCENDANT_OF";

/// A mark of one's own, and the end of all who carry it, should a test fail before they end by themselves.
#[derive(Debug)]
pub struct Marked(String);

impl Default for Marked {
    fn default() -> Self {
        Self(format!("{:016x}", fastrand::u64(..)))
    }
}

impl Marked {
    /// Marks what a command starts.
    pub fn mark(&self, command: &mut Command) {
        let (name, value) = self.variable();
        command.env(name, value);
    }

    /// The mark, as a variable of the environment.
    #[must_use]
    pub fn variable(&self) -> (&'static str, &str) {
        (MARK, &self.0)
    }

    /// Starts a client, marked, that spawns a sidecar; gives the sidecar's id too.
    ///
    /// # Panics
    /// When either does not start.
    #[must_use]
    pub fn client(&self, sidecar: &Command) -> (Guarded, u32) {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let pid_file = folder.path().join("pid");
        let mut command = Command::new(programs::own("scripted-client"));
        command
            .arg(argument(&pid_file))
            .arg(sidecar.get_program())
            .args(sidecar.get_args())
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        without_telemetry_variables(&mut command);
        self.mark(&mut command);
        let process = Guarded::spawn(&mut command).expect("the client starts");
        let sidecar = eventually("the sidecar's id", PATIENCE, || {
            let text = std::fs::read_to_string(&pid_file).ok()?;
            text.strip_suffix('\n')?.parse().ok()
        });
        (process, sidecar)
    }

    /// The processes that run and carry the mark.
    ///
    /// # Panics
    /// When there is no /proc.
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        let wanted = format!("{MARK}={}", self.0);
        let entries = std::fs::read_dir("/proc").expect("/proc is there");
        entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
            .filter(|pid| {
                // A zombie has no environment any more, which is right: it runs no more.
                std::fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environ| {
                    environ
                        .split(|byte| *byte == 0)
                        .any(|variable| variable == wanted.as_bytes())
                })
            })
            .collect()
    }
}

impl Drop for Marked {
    fn drop(&mut self) {
        for pid in self.processes() {
            if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                // It may have ended meanwhile.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}
