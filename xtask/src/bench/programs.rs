//! Takes where things are. Gives the peers of a bench, started: load programs, nginx, the sidecar.
//! Never gives one of them a setting that another of the same role lacks.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{Options, proc};
use crate::env::{self, Env};
use crate::started::{self, Started};

/// The programs of a bench, in their release builds.
pub struct Programs {
    pub load: PathBuf,
    pub sidecar: Option<PathBuf>,
    pub scratch: PathBuf,
}

impl Programs {
    pub fn build(env: &Env, options: &Options) -> Result<Self> {
        Self::with_sidecar(env, options.sidecar.as_ref(), options.wants("toolspan"))
    }

    /// The same with this build of the sidecar, or one made now, or none.
    pub fn with_sidecar(env: &Env, given: Option<&PathBuf>, wanted: bool) -> Result<Self> {
        println!("building the load programs (release)");
        build(env, "load")?;
        let release = env::target_dir(&env.root).join("release");
        let sidecar = match (given, wanted) {
            (_, false) => None,
            // A peer may be started in a folder of its own.
            (Some(given), true) => Some(std::path::absolute(given)?),
            (None, true) => {
                println!("building toolspan (release)");
                build(env, "toolspan")?;
                Some(release.join("toolspan"))
            }
        };
        let scratch = env.home.join("bench");
        fs::create_dir_all(&scratch)?;
        Ok(Self {
            load: release.join("load"),
            sidecar,
            scratch,
        })
    }

    /// Programs that are built already, without a sidecar.
    pub fn of(env: &Env, load: PathBuf) -> Result<Self> {
        let scratch = env.home.join("bench");
        fs::create_dir_all(&scratch)?;
        Ok(Self {
            load,
            sidecar: None,
            scratch,
        })
    }

    pub fn load(&self, peer: &str) -> Result<Command> {
        let mut command = started::command(&self.load)?;
        command.arg(peer);
        Ok(command)
    }

    pub fn server(&self, peer: &str) -> Result<(Started, SocketAddr)> {
        Started::printing_address(peer, &mut self.load(peer)?)
    }
}

pub fn build(env: &Env, package: &str) -> Result<()> {
    env::run(
        env.cargo()
            .args(["build", "--quiet", "--release", "-p", package]),
    )
}

/// Runs one of our clients to its end and gives the JSON that it prints.
pub fn report_of(command: &mut Command) -> Result<Value> {
    let output = command.stdin(Stdio::null()).output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!(
            "a load client ended with {}: {}",
            output.status,
            said.trim()
        );
    }
    serde_json::from_slice(&output.stdout).context("a load client printed no JSON")
}

pub fn number(report: &Value, key: &str) -> Result<f64> {
    report
        .get(key)
        .and_then(Value::as_f64)
        .with_context(|| format!("a report has no {key}"))
}

/// The OTLP receiver that keeps nothing.
pub struct Sink {
    process: Started,
    pub address: SocketAddr,
}

impl Sink {
    pub fn start(programs: &Programs) -> Result<Self> {
        let (process, address) = programs.server("sink")?;
        Ok(Self { process, address })
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Spans received so far.
    pub fn spans(&self) -> Result<u64> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.write_all(b"GET /count HTTP/1.1\r\nhost: sink\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (_, body) = answer.split_once("\r\n\r\n").context("no answer")?;
        let counts: Value = serde_json::from_str(body)?;
        if number(&counts, "refused")? > 0.0 {
            bail!("the receiver met exports that it could not read: {counts}");
        }
        Ok(number(&counts, "spans")? as u64)
    }

    /// Waits until `spans` more than `before` have come and no more follow; gives how many came.
    pub fn settle(&self, before: u64, spans: u64) -> Result<u64> {
        let deadline = Instant::now() + Duration::from_secs(3);
        let mut last = self.spans()?;
        loop {
            std::thread::sleep(Duration::from_millis(200));
            let now = self.spans()?;
            let settled = now == last && now - before >= spans;
            if settled || Instant::now() > deadline {
                return Ok(now - before);
            }
            last = now;
        }
    }
}

/// Whether nginx holds an answer back until a buffer is full: its default, and what streams need.
#[derive(Clone, Copy)]
pub enum Buffering {
    Default,
    Off,
}

/// A hop under measurement: where it listens, and the process whose work is counted.
pub struct Hop {
    _process: Started,
    pub address: SocketAddr,
    pub pid: u32,
}

impl Hop {
    pub fn nginx(
        env: &Env,
        programs: &Programs,
        upstream: SocketAddr,
        buffering: Buffering,
    ) -> Result<Self> {
        let program = env.debian("nginx", "nginx")?;
        let address = free_address()?;
        let folder = programs.scratch.join("nginx");
        fs::create_dir_all(&folder)?;
        let file = folder.join("nginx.conf");
        fs::write(&file, nginx_conf(&folder, address, upstream, buffering))?;
        let mut command = started::command(program)?;
        command.arg("-e").arg(folder.join("error.log"));
        command.arg("-p").arg(&folder).arg("-c").arg(&file);
        let process = Started::spawn("nginx", &mut command)?;
        wait_for_listener(address)?;
        let pid = proc::only_child(process.pid())?;
        Ok(Self {
            _process: process,
            address,
            pid,
        })
    }

    pub fn sidecar(
        sidecar: &Path,
        programs: &Programs,
        options: &Options,
        upstream: SocketAddr,
        sink: &Sink,
    ) -> Result<Self> {
        let port_file = programs.scratch.join("toolspan.port");
        if port_file.exists() {
            fs::remove_file(&port_file)?;
        }
        let mut command = started::command(sidecar)?;
        command.args(["http", "--listen", "127.0.0.1:0", "--tenant", "bench"]);
        command.args(["--upstream", &format!("http://{upstream}")]);
        command.args(["--otlp-endpoint", &format!("http://{}", sink.address)]);
        command.arg("--port-file").arg(&port_file);
        command.args(&options.sidecar_arg);
        let mut process = Started::spawn("toolspan", &mut command)?;
        let address = process.wait_for_file(&port_file)?.trim().parse()?;
        let pid = process.pid();
        Ok(Self {
            _process: process,
            address,
            pid,
        })
    }
}

/// A plain reverse proxy as an operator would write it: one worker, both sides kept alive.
fn nginx_conf(
    folder: &Path,
    address: SocketAddr,
    upstream: SocketAddr,
    buffering: Buffering,
) -> String {
    let buffering = match buffering {
        Buffering::Default => "",
        Buffering::Off => "      proxy_buffering off;\n",
    };
    let folder = folder.display();
    format!(
        "daemon off;\nworker_processes 1;\npid {folder}/pid;\nerror_log {folder}/error.log;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n  access_log off;\n  tcp_nodelay on;\n  keepalive_requests 1000000000;\n\
         \x20 client_body_temp_path {folder}/body;\n  proxy_temp_path {folder}/proxy;\n\
         \x20 fastcgi_temp_path {folder}/fastcgi;\n  uwsgi_temp_path {folder}/uwsgi;\n\
         \x20 scgi_temp_path {folder}/scgi;\n\
         \x20 upstream peer {{ server {upstream}; keepalive 64; keepalive_requests 1000000000; }}\n\
         \x20 server {{\n    listen {address};\n    location / {{\n      proxy_pass http://peer;\n{buffering}\
         \x20     proxy_http_version 1.1;\n      proxy_set_header Connection \"\";\n\
         \x20     proxy_set_header Host $http_host;\n    }}\n  }}\n}}\n"
    )
}

/// nginx and others cannot say which port they were given, so one that is free now is theirs.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn wait_for_listener(address: SocketAddr) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(address).is_err() {
        if Instant::now() > deadline {
            bail!("nothing listens on {address}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
