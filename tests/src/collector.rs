//! Takes nothing. Gives a running collector with a store of its own, and the rows it stored.
//! Never reads the store's files: it asks the program, as a user would.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::engine::Database;
use crate::process::{
    Guarded, PATIENCE, eventually, shell_code, wait_for_port_file, without_telemetry_variables,
};
use crate::programs;

/// A collector and its store.
pub struct Collector {
    folder: TempDir,
    process: Guarded,
    grpc: String,
    http: String,
}

impl Collector {
    /// With the embedded store alone.
    #[must_use]
    pub fn start() -> Self {
        Self::start_in(fresh_folder(), None)
    }

    /// With the embedded store and a database of the ClickHouse engine, whose schema is applied first.
    #[must_use]
    pub fn start_with(database: &Database) -> Self {
        let url = database.url();
        let output = run(&["schema", "apply", "--clickhouse-url", &url]);
        assert!(output.is_ok(), "schema apply: {output:?}");
        Self::start_in(fresh_folder(), Some(&url))
    }

    /// On a folder that may hold the store of an earlier collector.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start_in(folder: TempDir, clickhouse_url: Option<&str>) -> Self {
        let port_file = folder.path().join("ports");
        let log = std::fs::File::options()
            .append(true)
            .create(true)
            .open(folder.path().join("log"))
            .expect("a file in the scratch folder");
        // Of an earlier run on this folder.
        let _ = std::fs::remove_file(&port_file);
        let mut command = Command::new(programs::collector());
        command
            .args(["serve", "--otlp-grpc", "127.0.0.1:0"])
            .args(["--otlp-http", "127.0.0.1:0", "--store"])
            .arg(folder.path().join("store"))
            .arg("--port-file")
            .arg(&port_file)
            .stdin(Stdio::null())
            .stderr(log);
        without_telemetry_variables(&mut command);
        if let Some(url) = clickhouse_url {
            command.args(["--clickhouse-url", url]);
        }
        let mut process = Guarded::spawn(&mut command).expect("the collector starts");
        let ports = wait_for_port_file(&port_file, &mut process);
        let port = |name: &str| {
            ports
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .map(|address| format!("http://{}", address.trim()))
                .unwrap_or_else(|| panic!("no {name} in the port file: {ports:?}"))
        };
        Self {
            grpc: port("grpc "),
            http: port("http "),
            folder,
            process,
        }
    }

    #[must_use]
    pub fn grpc_url(&self) -> &str {
        &self.grpc
    }

    #[must_use]
    pub fn http_url(&self) -> &str {
        &self.http
    }

    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// What it logged, on this folder, so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Rows of a query over the embedded store.
    ///
    /// # Panics
    /// When the program refuses it.
    #[must_use]
    pub fn query(&self, sql: &str) -> Vec<Value> {
        query(&self.store(), sql)
    }

    /// Rows of a query, once `enough` is content with them.
    ///
    /// # Panics
    /// When it never is.
    #[must_use]
    pub fn query_until(&self, sql: &str, enough: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        eventually(sql, PATIENCE, || {
            let rows = self.query(sql);
            enough(&rows).then_some(rows)
        })
    }

    /// Rows of a view, such as `["tools"]` or `["trace", ID]`.
    ///
    /// # Panics
    /// When the program refuses it.
    #[must_use]
    pub fn view(&self, args: &[&str]) -> Vec<Value> {
        let store = self.store();
        let mut all = args.to_vec();
        all.extend(["--store", path_text(&store), "--format", "json"]);
        rows(&run(&all).unwrap_or_else(|error| panic!("{args:?}: {error}")))
    }

    /// Ends the collector as an operator would, and gives the folder for the next one.
    ///
    /// # Panics
    /// When it does not end with 0.
    #[must_use]
    pub fn stop(mut self) -> TempDir {
        self.process.signal(Signal::TERM);
        let code = shell_code(self.process.wait());
        assert_eq!(code, 0, "the collector's log:\n{}", self.log());
        self.folder
    }

    /// Ends the collector as a crash would.
    #[must_use]
    pub fn kill(mut self) -> TempDir {
        self.process.signal(Signal::KILL);
        self.process.wait();
        self.folder
    }

    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }
}

/// Rows of a query over a store.
///
/// # Panics
/// When the program refuses it.
#[must_use]
pub fn query(store: &Path, sql: &str) -> Vec<Value> {
    let args = [
        "query",
        "--store",
        path_text(store),
        "--format",
        "json",
        sql,
    ];
    rows(&run(&args).unwrap_or_else(|error| panic!("{sql}: {error}")))
}

/// Standard output of one run of the program.
///
/// # Errors
/// Its standard error, when it fails.
pub fn run(args: &[&str]) -> Result<String, String> {
    let mut command = Command::new(programs::collector());
    command.args(args).stdin(Stdio::null());
    without_telemetry_variables(&mut command);
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// Rows of JSON output, be it one array or one object a line.
fn rows(text: &str) -> Vec<Value> {
    let values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    values
        .flat_map(|value| match value.expect("the output is JSON") {
            Value::Array(rows) => rows,
            row => vec![row],
        })
        .collect()
}

fn fresh_folder() -> TempDir {
    tempfile::tempdir().expect("a scratch folder")
}

fn path_text(path: &Path) -> &str {
    path.to_str().expect("scratch paths are UTF-8")
}
