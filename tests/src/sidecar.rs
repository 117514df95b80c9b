//! Takes options. Gives a running sidecar, or the command line that a client spawns, and what its log says at the end.
//! Never reads its counters but to compare them with what the peers saw.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::process::{
    Guarded, PATIENCE, eventually, shell_code, wait_for_port_file, without_telemetry_variables,
};
use crate::programs;

/// The last line of a sidecar's log: its ledger.
#[derive(Debug, Clone)]
pub struct Summary {
    fields: Value,
}

impl Summary {
    /// One of its counts.
    ///
    /// # Panics
    /// When the summary has none of this name.
    #[must_use]
    pub fn count(&self, name: &str) -> u64 {
        self.fields
            .get(name)
            .and_then(Value::as_u64)
            .unwrap_or_else(|| panic!("no count {name} in {}", self.fields))
    }

    /// Calls that were seen but have no span, for any reason.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        [
            "dropped_queue_full",
            "dropped_export_failed",
            "dropped_partial_success",
            "dropped_shutdown",
            "dropped_switched_off",
        ]
        .iter()
        .map(|name| self.count(name))
        .sum()
    }

    /// Seen = recorded + dropped(by reason).
    ///
    /// # Panics
    /// When it is not.
    pub fn assert_conserved(&self) {
        assert_eq!(
            self.count("calls_seen"),
            self.count("calls_exported") + self.dropped(),
            "seen = recorded + dropped: {}",
            self.fields
        );
    }
}

/// Where a sidecar logs to.
#[derive(Debug)]
pub struct Log {
    folder: TempDir,
    file: PathBuf,
    level: &'static str,
}

impl Default for Log {
    fn default() -> Self {
        Self::at("info")
    }
}

impl Log {
    /// A log of this level and above.
    ///
    /// # Panics
    /// When there is no scratch folder.
    #[must_use]
    pub fn at(level: &'static str) -> Self {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let file = folder.path().join("log");
        Self {
            folder,
            file,
            level,
        }
    }

    /// A log of everything, on a disk that is full.
    ///
    /// # Panics
    /// When there is no scratch folder.
    #[must_use]
    pub fn on_a_full_disk() -> Self {
        Self {
            file: "/dev/full".into(),
            ..Self::at("trace")
        }
    }

    /// The options that make a sidecar log here.
    #[must_use]
    pub fn options(&self) -> Vec<String> {
        let file = self.file.display().to_string();
        [
            "--log-file",
            &file,
            "--log-format",
            "json",
            "--log-level",
            self.level,
        ]
        .map(str::to_owned)
        .to_vec()
    }

    #[must_use]
    pub fn text(&self) -> String {
        std::fs::read_to_string(&self.file).unwrap_or_default()
    }

    /// Waits for the line with this message, and gives its fields.
    ///
    /// # Panics
    /// When it does not come.
    #[must_use]
    pub fn wait_for(&self, message: &str) -> Value {
        eventually(message, PATIENCE, || self.find(message))
    }

    /// The summary of a sidecar that has ended.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let fields = self
            .find("summary")
            .unwrap_or_else(|| panic!("no summary in the log:\n{}", self.text()));
        Summary { fields }
    }

    /// # Panics
    /// When the log has a line of this level.
    pub fn assert_none_at(&self, level: &str) {
        let text = self.text();
        let found = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find(|line| line.get("level").and_then(Value::as_str) == Some(level));
        assert!(found.is_none(), "the log has {found:?}");
    }

    /// The fields of every line with this message, oldest first.
    #[must_use]
    pub fn all(&self, message: &str) -> Vec<Value> {
        self.text()
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .map(flatten)
            .filter(|fields| fields.get("message").and_then(Value::as_str) == Some(message))
            .collect()
    }

    fn find(&self, message: &str) -> Option<Value> {
        self.all(message).pop()
    }

    /// Moves the file away, as a program that rotates logs does, and gives its new place.
    ///
    /// # Panics
    /// When it cannot be moved.
    #[must_use]
    pub fn rotate(&self) -> PathBuf {
        let old = self.file.with_extension("1");
        std::fs::rename(&self.file, &old).expect("the log can be moved");
        old
    }
}

/// The fields of an event, whether they stand at the top or under `fields`.
fn flatten(mut line: Value) -> Value {
    match line.get_mut("fields").map(Value::take) {
        Some(fields @ Value::Object(_)) => fields,
        _ => line,
    }
}

/// `toolspan stdio` with these options before the server's command.
#[must_use]
pub fn stdio_command(log: &Log, options: &[&str], server: &[&str]) -> Command {
    let mut command = Command::new(programs::toolspan());
    command
        .arg("stdio")
        .args(log.options())
        .args(options)
        .arg("--")
        .args(server)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    without_telemetry_variables(&mut command);
    command
}

/// A running `toolspan http`.
pub struct Proxy {
    process: Guarded,
    address: String,
    pub log: Log,
}

impl Proxy {
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(upstream: &str, options: &[&str]) -> Self {
        Self::start_with(upstream, options, &[])
    }

    /// With a log of one's own.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_logging(log: Log, upstream: &str, options: &[&str]) -> Self {
        Self::start_all(log, &[&["--upstream", upstream], options].concat(), &[])
    }

    /// With variables of the environment.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_with(upstream: &str, options: &[&str], env: &[(&str, &str)]) -> Self {
        let options = [&["--upstream", upstream], options].concat();
        Self::start_all(Log::default(), &options, env)
    }

    /// In front of a stdio server's command.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn serving(command: &[&str], options: &[&str], env: &[(&str, &str)]) -> Self {
        let options = [options, &["--"], command].concat();
        Self::start_all(Log::default(), &options, env)
    }

    fn start_all(log: Log, options: &[&str], env: &[(&str, &str)]) -> Self {
        let port_file = log.folder.path().join("port");
        let listen: &[&str] = match options.contains(&"--listen") {
            true => &[],
            false => &["--listen", "127.0.0.1:0"],
        };
        let mut command = Command::new(programs::toolspan());
        command
            .arg("http")
            .args(listen)
            .args(log.options())
            .arg("--port-file")
            .arg(&port_file)
            .args(options)
            .stdin(Stdio::null());
        without_telemetry_variables(&mut command);
        command.envs(env.iter().copied());
        let mut process = Guarded::spawn(&mut command).expect("the sidecar starts");
        let address = wait_for_port_file(&port_file, &mut process)
            .trim()
            .to_owned();
        Self {
            process,
            address,
            log,
        }
    }

    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// # Panics
    /// When the port file held no address.
    #[must_use]
    pub fn address(&self) -> std::net::SocketAddr {
        self.address.parse().expect("an address in the port file")
    }

    /// Where it listens, as its port file says: `HOST:PORT` or `unix:/path`.
    #[must_use]
    pub fn listens_at(&self) -> &str {
        &self.address
    }

    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Ends it as an operator would, and gives its ledger.
    ///
    /// # Panics
    /// When it does not end in order.
    #[must_use]
    pub fn stop(self) -> Summary {
        self.stop_and_keep_log().0
    }

    /// Tells it to end, which it does when what is open has ended.
    pub fn begin_to_stop(&self) {
        self.process.signal(Signal::TERM);
    }

    /// As `stop`, with the log.
    ///
    /// # Panics
    /// When it does not end in order.
    #[must_use]
    pub fn stop_and_keep_log(self) -> (Summary, Log) {
        self.begin_to_stop();
        self.wait()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end in order.
    #[must_use]
    pub fn wait(mut self) -> (Summary, Log) {
        assert_eq!(shell_code(self.process.wait()), 0, "{}", self.log.text());
        (self.log.summary(), self.log)
    }
}

/// A path as an argument.
///
/// # Panics
/// When it is no UTF-8.
#[must_use]
pub fn argument(path: &Path) -> &str {
    path.to_str().expect("a path of UTF-8")
}
