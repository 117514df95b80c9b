//! Takes the system calls of a collector that answers exports, as strace saw them.
//! Gives that each answer was begun after an fdatasync of the log had returned, begun after the export was written.
//! Never believes the program: the order of its system calls is the proof.

use std::collections::HashMap;
use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use rustix::process::Signal;
use tests::http_wire;
use tests::process::{Guarded, PATIENCE, is_alive, wait_for_port_file};
use tests::programs;

const CLIENTS: u8 = 4;
const EXPORTS: u8 = 25;

/// One system call: where in the trace it was entered and left.
#[derive(Debug)]
struct Call {
    name: String,
    /// The call with its arguments, as strace prints it.
    text: String,
    entered: usize,
    left: usize,
    succeeded: bool,
}

impl Call {
    /// The file or connection of the first argument: what stands in `<...>` behind the number.
    fn target(&self) -> &str {
        let inside = self.text.split_once('<').map_or("", |(_, rest)| rest);
        inside
            .split_once(">,")
            .or_else(|| inside.split_once(">)"))
            .map_or("", |(target, _)| target)
    }

    fn is_write(&self) -> bool {
        matches!(
            self.name.as_str(),
            "write" | "writev" | "pwrite64" | "sendto" | "sendmsg"
        )
    }
}

/// The calls in strace's output, with those that were interrupted by other threads' lines put together.
fn calls(trace: &str) -> Vec<Call> {
    let mut open: HashMap<&str, (usize, String)> = HashMap::new();
    let mut calls = Vec::new();
    for (place, line) in trace.lines().enumerate() {
        // "PID SECONDS.MICROS call(...) = result",
        // where a PID of fewer than five digits is filled up with spaces.
        let Some((pid, rest)) = line.split_once(' ') else {
            continue;
        };
        let Some((_, event)) = rest.trim_start().split_once(' ') else {
            continue;
        };
        let (entered, text) = if let Some(begun) = event.strip_suffix("<unfinished ...>") {
            open.insert(pid, (place, begun.trim_end().to_owned()));
            continue;
        } else if event.starts_with("<... ") {
            let (Some((entered, begun)), Some((_, rest))) =
                (open.remove(pid), event.split_once(" resumed>"))
            else {
                continue;
            };
            (entered, begun + rest)
        } else {
            (place, event.to_owned())
        };
        let (Some((name, _)), Some((_, result))) = (text.split_once('('), text.rsplit_once(" = "))
        else {
            continue;
        };
        calls.push(Call {
            name: name.to_owned(),
            entered,
            left: place,
            succeeded: !result.starts_with('-'),
            text,
        });
    }
    calls
}

/// As strace -xx prints it.
fn escaped(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect()
}

/// Bytes that stand in no other export and nowhere else in the program.
fn marker(client: u8, number: u8) -> [u8; 16] {
    let mut marker = *b"ack-trace-marker";
    marker[0] = 0xc0 | client;
    marker[15] = 0x80 | number;
    marker
}

fn export(client: u8, number: u8) -> Vec<u8> {
    let span = Span {
        trace_id: marker(client, number).to_vec(),
        span_id: vec![1; 8],
        name: "ack".into(),
        ..Span::default()
    };
    let scope = ScopeSpans {
        spans: vec![span],
        ..ScopeSpans::default()
    };
    let resource = ResourceSpans {
        scope_spans: vec![scope],
        ..ResourceSpans::default()
    };
    let request = ExportTraceServiceRequest {
        resource_spans: vec![resource],
    };
    request.encode_to_vec()
}

/// Sends all exports of a client one after another, each acknowledged; gives the client's own port.
fn send_all(address: SocketAddr, client: u8) -> u16 {
    let stream = TcpStream::connect(address).expect("the collector listens");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a timeout can be set");
    let port = stream
        .local_addr()
        .expect("a connected socket has an address")
        .port();
    let mut stream = BufReader::new(stream);
    for number in 0..EXPORTS {
        let body = export(client, number);
        let head = format!(
            "POST /v1/traces HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/x-protobuf\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        let request = [head.as_bytes(), &body].concat();
        stream
            .get_mut()
            .write_all(&request)
            .expect("the connection stands");
        let head = http_wire::read_head(&mut stream)
            .expect("an answer")
            .expect("an answer");
        http_wire::read_body(&mut stream, &head, true).expect("its body");
        assert!(
            head.start_line.starts_with("HTTP/1.1 200"),
            "{}",
            head.start_line
        );
    }
    port
}

/// Runs a collector under strace until all clients are answered. Gives the trace, and the clients' ports.
fn traced(folder: &Path) -> (String, Vec<u16>) {
    let (trace, ports) = (folder.join("trace"), folder.join("ports"));
    let mut command = Command::new("strace");
    command
        .args(["-f", "-yy", "-ttt", "-xx", "-v", "-s", "65536", "-o"])
        .arg(&trace)
        .args([
            "-e",
            "trace=fdatasync,fsync,write,writev,pwrite64,sendto,sendmsg",
        ])
        .arg(programs::collector())
        .args([
            "serve",
            "--otlp-grpc",
            "127.0.0.1:0",
            "--otlp-http",
            "127.0.0.1:0",
            "--store",
        ])
        .arg(folder.join("store"))
        .arg("--port-file")
        .arg(&ports)
        .stdin(Stdio::null());
    let mut strace = Guarded::spawn(&mut command)
        .expect("this test needs strace, the Debian package of that name: apt-get install strace");
    let text = wait_for_port_file(&ports, &mut strace);
    let address = text.lines().find_map(|line| line.strip_prefix("http "));
    let address: SocketAddr = address
        .and_then(|text| text.parse().ok())
        .expect("an address");
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| std::thread::spawn(move || send_all(address, client)))
        .collect();
    let clients = clients
        .into_iter()
        .map(|client| client.join().expect("a client ends"));
    let clients: Vec<u16> = clients.collect();
    // The collector is strace's child in the same group; strace ends with it, and its trace is whole then.
    strace.signal_group(Signal::TERM);
    strace.wait();
    assert!(!is_alive(strace.id()));
    (
        std::fs::read_to_string(trace).expect("strace writes its trace"),
        clients,
    )
}

/// The write that put these bytes into the log.
fn write_of<'a>(calls: &'a [Call], bytes: &[u8]) -> &'a Call {
    let bytes = escaped(bytes);
    let into_log =
        |call: &&Call| call.is_write() && is_log(call.target()) && call.text.contains(&bytes);
    let mut writes = calls.iter().filter(into_log);
    let write = writes
        .next()
        .unwrap_or_else(|| panic!("{bytes} was not written to the log"));
    assert!(
        writes.next().is_none(),
        "{bytes} was written to the log twice"
    );
    assert!(write.succeeded);
    write
}

fn is_log(target: &str) -> bool {
    target.ends_with(".wal") || target.ends_with(&escaped(b".wal"))
}

/// The answers to a client, in order.
fn answers(calls: &[Call], port: u16) -> Vec<&Call> {
    let (peer, ok) = (format!("->127.0.0.1:{port}]"), escaped(b"HTTP/1.1 200"));
    let to_client =
        |call: &&Call| call.is_write() && call.target().ends_with(&peer) && call.text.contains(&ok);
    calls.iter().filter(to_client).collect()
}

#[test]
fn a_short_process_id_is_read_as_a_long_one() {
    for line in [
        "12345 1.000001 fdatasync(3</a.wal>) = 0",
        "123   1.000001 fdatasync(3</a.wal>) = 0",
    ] {
        let calls = calls(line);
        let names: Vec<&str> = calls.iter().map(|call| call.name.as_str()).collect();
        assert_eq!(names, ["fdatasync"], "{line}");
    }
}

#[test]
fn every_answer_begins_after_an_fdatasync_that_covers_its_export() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let (trace, clients) = traced(folder.path());
    let calls = calls(&trace);
    let mut proven = 0;
    for (client, port) in (0..CLIENTS).zip(clients) {
        let answers = answers(&calls, port);
        assert_eq!(
            answers.len(),
            usize::from(EXPORTS),
            "answers seen for client {client}"
        );
        for (number, answer) in (0..EXPORTS).zip(answers) {
            let write = write_of(&calls, &marker(client, number));
            let covers = |call: &&Call| {
                call.name == "fdatasync"
                    && call.target() == write.target()
                    && call.succeeded
                    && call.entered > write.left
                    && call.left < answer.entered
            };
            assert!(
                calls.iter().any(|call| covers(&call)),
                "export {client}/{number} was written at line {} and answered at line {} of the trace, \
                 with no fdatasync in between",
                write.left,
                answer.entered
            );
            proven += 1;
        }
    }
    assert_eq!(proven, usize::from(CLIENTS) * usize::from(EXPORTS));
}
