//! Takes a disk that is full. Gives that calls do not notice.
//! Never needs a disk to fill: `/dev/full` refuses every write with the same error.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};

use tests::http_client::HttpClient;
use tests::http_peer::{Answer, HttpPeer};
use tests::otlp::{Mode, Receiver};
use tests::process::{Guarded, without_telemetry_variables};
use tests::programs;
use tests::sidecar::{Log, Proxy, argument, stdio_command};

use super::{CALL, RESULT};

const CALLS: usize = 50;

#[test]
fn a_log_on_a_full_disk_costs_no_call_over_http() {
    let upstream = HttpPeer::start(|_| Answer::json(RESULT)).expect("a port on loopback");
    let receiver = Receiver::start(Mode::Accept);
    let url = receiver.grpc_url();
    let log = Log::on_a_full_disk();
    let proxy = Proxy::start_logging(log, &upstream.url(""), &["--otlp-endpoint", &url]);
    let mut client = HttpClient::connect(proxy.address()).expect("the sidecar listens");
    for _ in 0..CALLS {
        let response = client.post("/mcp", &[], CALL).expect("an answer");
        assert_eq!((response.status, response.text().as_str()), (200, RESULT));
    }
    // The summary is lost with the log: the collector has the account.
    assert_eq!(receiver.wait_for_calls(CALLS).len(), CALLS);
}

#[test]
fn a_log_on_a_full_disk_costs_no_call_over_stdio() {
    let receiver = Receiver::start(Mode::Accept);
    let url = receiver.grpc_url();
    let answering = format!("while read -r line; do printf '%s\\n' '{RESULT}'; done");
    let log = Log::on_a_full_disk();
    let mut command = stdio_command(&log, &["--otlp-endpoint", &url], &["sh", "-c", &answering]);
    let mut process = Guarded::spawn(&mut command).expect("the sidecar starts");
    let mut stdin = process.take_stdin().expect("its input is a pipe");
    let mut stdout = BufReader::new(process.take_stdout().expect("its output is a pipe")).lines();
    for _ in 0..CALLS {
        stdin
            .write_all(&[CALL, b"\n"].concat())
            .expect("it is read");
        let line = stdout.next().expect("an answer").expect("an answer");
        assert_eq!(line, RESULT);
    }
    drop(stdin);
    assert_eq!(process.wait().code(), Some(0));
    assert_eq!(receiver.wait_for_calls(CALLS).len(), CALLS);
}

#[test]
fn a_port_file_on_a_full_disk_is_named_and_nobody_is_served() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let port_file = folder.path().join("port");
    // What is written is a file beside it, which is renamed when it is whole.
    std::os::unix::fs::symlink("/dev/full", port_file.with_extension("tmp")).expect("a link");
    let mut command = Command::new(programs::toolspan());
    command
        .args(["http", "--listen", "127.0.0.1:0"])
        .args(["--upstream", "http://127.0.0.1:1", "--port-file"])
        .arg(&port_file)
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    without_telemetry_variables(&mut command);
    let mut process = Guarded::spawn(&mut command).expect("the sidecar starts");
    let mut said = String::new();
    let mut stderr = process.take_stderr().expect("its errors are a pipe");
    stderr.read_to_string(&mut said).expect("text");
    assert_eq!(process.wait().code(), Some(2), "{said}");
    assert!(said.contains(argument(&port_file)), "{said}");
    assert!(said.contains("No space left on device"), "{said}");
    assert!(!port_file.exists());
}
