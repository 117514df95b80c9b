//! Takes nothing. Gives the ClickHouse engine of this test binary, and a fresh database for each test.
//! Never starts a second engine: it takes seconds and a large part of the memory.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use crate::http_client::HttpClient;
use crate::process::Guarded;
use crate::programs;

struct Engine {
    address: SocketAddr,
    // The engine ends when the write end of its standard input closes, which is when this process ends,
    // whatever way it ends: statics are not dropped.
    _process: Guarded,
}

static ENGINE: OnceLock<Engine> = OnceLock::new();
static NEXT: AtomicU32 = AtomicU32::new(1);

fn engine() -> &'static Engine {
    ENGINE.get_or_init(|| {
        let mut process = Guarded::spawn(
            Command::new(programs::python())
                .arg(programs::python_script("engine.py"))
                .stdin(Stdio::piped())
                .stdout(Stdio::piped()),
        )
        .expect("the engine starts");
        let mut line = String::new();
        let stdout = process.take_stdout().expect("its output is a pipe");
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("the engine says its port");
        let port = line
            .trim()
            .strip_prefix("port ")
            .and_then(|port| port.parse().ok())
            .unwrap_or_else(|| panic!("the engine said {line:?} instead of its port"));
        Engine {
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            _process: process,
        }
    })
}

/// A database of one test.
#[derive(Debug, Clone)]
pub struct Database {
    pub name: String,
    address: SocketAddr,
}

impl Database {
    /// A new, empty database.
    #[must_use]
    pub fn fresh() -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let database = Self {
            name: format!("test_{number}"),
            address: engine().address,
        };
        database.ask("default", "", &format!("CREATE DATABASE {}", database.name));
        database
    }

    /// The URL a collector is given: it names the database.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/?database={}", self.address, self.name)
    }

    /// The URL without a database.
    #[must_use]
    pub fn server_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The rows of a query in this database.
    ///
    /// # Panics
    /// When the engine refuses it.
    #[must_use]
    pub fn query(&self, sql: &str) -> Vec<Value> {
        self.query_with(sql, &[])
    }

    /// As `query`, with the values of `{name:Type}` parameters.
    ///
    /// # Panics
    /// When the engine refuses it.
    #[must_use]
    pub fn query_with(&self, sql: &str, params: &[(&str, &str)]) -> Vec<Value> {
        let arguments: String = params
            .iter()
            .map(|(name, value)| format!("&param_{name}={}", value.replace(' ', "%20")))
            .collect();
        let sql = format!("{sql} FORMAT JSONEachRow");
        self.ask(&self.name, &arguments, &sql)
            .lines()
            .map(|line| serde_json::from_str(line).expect("a row of JSON"))
            .collect()
    }

    /// Runs one statement.
    ///
    /// # Panics
    /// When the engine refuses it.
    pub fn execute(&self, sql: &str) {
        self.ask(&self.name, "", sql);
    }

    /// Spoils the next inserts; see `engine.py`. The engine is shared, so this belongs to tests that run alone.
    ///
    /// # Panics
    /// When the engine does not answer.
    pub fn set_faults(&self, faults: &Value) {
        let body = faults.to_string();
        let answer = self
            .connect()
            .send("POST", "/__faults", &[], body.as_bytes());
        assert_eq!(answer.expect("the engine answers").status, 200);
    }

    fn ask(&self, database: &str, arguments: &str, sql: &str) -> String {
        // 64-bit integers as numbers, as the Parquet side prints them.
        let path =
            format!("/?database={database}&output_format_json_quote_64bit_integers=0{arguments}");
        let answer = self
            .connect()
            .send("POST", &path, &[], sql.as_bytes())
            .expect("the engine answers");
        assert_eq!(answer.status, 200, "{sql}: {}", answer.text());
        answer.text()
    }

    fn connect(&self) -> HttpClient {
        HttpClient::connect(self.address).expect("the engine listens")
    }
}
