//! Takes clients whose streams are not as one would wish. Gives that neither bytes nor the end of a command is lost.
//! Never waits for a time: a pipe that is full stays full until it is read.

use std::io::Read;
use std::process::Stdio;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use tests::process::{Guarded, PATIENCE};
use tests::sidecar::{Log, stdio_command};

/// More than a pipe holds.
const BYTES: usize = 300_000;

#[test]
fn a_stdout_that_somebody_made_non_blocking_loses_nothing() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let flags = fcntl_getfl(&writer).unwrap();
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
    let log = Log::default();
    let script = format!("head -c {BYTES} /dev/zero");
    let mut command = stdio_command(&log, &[], &["sh", "-c", &script]);
    command.stdin(Stdio::null()).stdout(writer);
    let mut sidecar = Guarded::spawn(&mut command).unwrap();
    drop(command);
    let mut read = Vec::new();
    reader.read_to_end(&mut read).unwrap();
    assert_eq!(read.len(), BYTES);
    assert!(sidecar.wait().success());
}

#[test]
fn a_stderr_that_nobody_reads_does_not_keep_the_sidecar() {
    let script = format!("read line; head -c {BYTES} /dev/zero >&2 & sleep 0.3; kill $!; exit 3");
    let (_port, collector) = tests::otlp::dead_endpoint();
    let mut command = tests::process::piped(&tests::programs::toolspan());
    command.args(["stdio", "--otlp-endpoint", &collector, "--"]);
    command.args(["sh", "-c", &script]).stderr(Stdio::piped());
    let mut sidecar = Guarded::spawn(&mut command).unwrap();
    let mut stdin = sidecar.take_stdin().unwrap();
    let request = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n";
    std::io::Write::write_all(&mut stdin, request).unwrap();
    let status = sidecar.wait_for(PATIENCE);
    assert_eq!(status.code(), Some(3));
}
