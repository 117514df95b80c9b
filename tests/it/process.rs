//! Takes children that end, hang, fork and shout. Gives that the sidecar behaves as the child would.
//! Never leaves a process behind, which is what half of these tests are about.

use std::io::{Read, Write};
use std::path::Path;
use std::process::Stdio;

use rustix::process::Signal;
use tests::otlp::dead_endpoint;
use tests::process::{Guarded, PATIENCE, eventually};
use tests::sidecar::{Log, argument, stdio_command};

mod orphans;
mod streams;

/// Everything one run gave.
struct Ran {
    code: Option<i32>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    log: Log,
}

/// Runs a child with this input, which then ends.
fn run(options: &[&str], child: &[&str], input: &[u8]) -> Ran {
    run_with(Log::default(), options, child, input)
}

fn run_with(log: Log, options: &[&str], child: &[&str], input: &[u8]) -> Ran {
    let mut command = stdio_command(&log, options, child);
    command.stderr(Stdio::piped());
    let mut process = Guarded::spawn(&mut command).expect("the sidecar starts");
    let mut stdin = process.take_stdin().expect("its input is a pipe");
    let mut out = process.take_stdout().expect("its output is a pipe");
    let mut err = process.take_stderr().expect("its errors are a pipe");
    let input = input.to_vec();
    // A child that does not read is no failure.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let errors = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        err.read_to_end(&mut bytes).map(|_| bytes)
    });
    let mut stdout = Vec::new();
    out.read_to_end(&mut stdout).expect("its output");
    writer.join().expect("the writer ends");
    let stderr = errors.join().expect("the reader ends").expect("its errors");
    Ran {
        code: process.wait().code(),
        stdout,
        stderr,
        log,
    }
}

fn shell(script: &str) -> Ran {
    run(&[], &["sh", "-c", script], b"")
}

#[test]
fn the_exit_code_is_the_childs() {
    for (script, code) in [
        ("exit 0", 0),
        ("exit 7", 7),
        ("exit 255", 255),
        ("kill -TERM $$", 128 + 15),
        ("kill -KILL $$", 128 + 9),
        ("kill -ABRT $$", 128 + 6),
    ] {
        assert_eq!(shell(script).code, Some(code), "{script}");
    }
}

#[test]
fn a_command_that_is_not_there_is_named() {
    let ran = run(&[], &["no-such-command-anywhere"], b"");
    assert_eq!(ran.code, Some(127), "as a shell would say");
    assert!(ran.stdout.is_empty());
    let said = String::from_utf8_lossy(&ran.stderr).into_owned() + &ran.log.text();
    assert!(said.contains("no-such-command-anywhere"), "{said}");
}

#[test]
fn stderr_is_the_childs_own_to_the_byte() {
    let ran = shell(r"printf 'no line end, \377\000 and more' >&2; printf out");
    assert_eq!(ran.stderr, b"no line end, \xff\x00 and more");
    assert_eq!(ran.stdout, b"out");
}

#[test]
fn nothing_of_our_own_comes_on_stdout() {
    let (_bound, endpoint) = dead_endpoint();
    let input = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\nno json\n";
    let ran = run_with(
        Log::at("trace"),
        &["--otlp-endpoint", &endpoint],
        &[
            "sh",
            "-c",
            "cat >/dev/null; printf '{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\\n'",
        ],
        input,
    );
    assert_eq!(
        ran.stdout,
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n"
    );
    assert_eq!(ran.code, Some(0));
}

#[test]
fn the_end_of_the_input_is_passed_on() {
    let ran = run(&[], &["cat"], b"not json\n");
    assert_eq!(ran.stdout, b"not json\n");
    assert_eq!(ran.code, Some(0));
}

#[test]
fn a_server_that_ends_first_ends_the_sidecar() {
    let log = Log::default();
    let mut process =
        Guarded::spawn(&mut stdio_command(&log, &[], &["sh", "-c", "exit 4"])).expect("it starts");
    let held_open = process.take_stdin();
    assert_eq!(process.wait().code(), Some(4));
    drop(held_open);
}

#[test]
fn lines_that_are_no_json_are_forwarded_and_counted() {
    let lines = b"hello\n{\"jsonrpc\":\"2.0\"\n\n{\"id\":1,\"method\":\"m\"} x\n";
    let ran = run(&[], &["cat"], lines);
    assert_eq!(ran.stdout, lines);
    // Three lines each way; an empty line is nothing.
    assert_eq!(ran.log.summary().count("malformed"), 6);
}

#[test]
fn a_line_of_twenty_megabytes_passes() {
    let mut line = br#"{"jsonrpc":"2.0","id":1,"result":{"x":""#.to_vec();
    line.resize(20 << 20, b'x');
    line.extend_from_slice(b"\"}}\n");
    let ran = run(&[], &["cat"], &line);
    assert!(ran.stdout == line, "{} bytes came back", ran.stdout.len());
}

/// A child that notes each signal in a file and goes on until it is told to end.
fn noting_child(folder: &Path) -> String {
    let (notes, done) = (folder.join("notes"), folder.join("done"));
    format!(
        "trap 'echo TERM >>{notes}' TERM; trap 'echo INT >>{notes}' INT; trap 'echo HUP >>{notes}' HUP; \
         echo ready >>{notes}; while [ ! -e {done} ]; do sleep 0.05; done; exit 9",
        notes = argument(&notes),
        done = argument(&done),
    )
}

fn notes(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("notes")).unwrap_or_default()
}

fn signal_is_passed_on(signal: Signal, name: &str, to_group: bool) {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let script = noting_child(folder.path());
    let log = Log::default();
    // A shell cannot trap what it was started to ignore, as a runner in the background has its tests ignore SIGINT.
    let listens = "--default-signal=TERM,INT,HUP";
    let command = ["env", listens, "sh", "-c", &script];
    let mut process = Guarded::spawn(&mut stdio_command(&log, &[], &command)).expect("it starts");
    eventually("the child", PATIENCE, || {
        notes(folder.path()).contains("ready").then_some(())
    });
    if to_group {
        process.signal_group(signal);
    } else {
        process.signal(signal);
    }
    eventually("the signal", PATIENCE, || {
        notes(folder.path()).contains(name).then_some(())
    });
    std::fs::write(folder.path().join("done"), "").expect("a file in the scratch folder");
    assert_eq!(process.wait().code(), Some(9));
    assert_eq!(notes(folder.path()), format!("ready\n{name}\n"));
}

#[test]
fn signals_are_passed_on_once() {
    signal_is_passed_on(Signal::TERM, "TERM", false);
    signal_is_passed_on(Signal::INT, "INT", false);
    signal_is_passed_on(Signal::HUP, "HUP", false);
}

/// A terminal's Ctrl-C goes to the whole group.
#[test]
fn a_signal_to_the_group_reaches_the_child_once() {
    signal_is_passed_on(Signal::INT, "INT", true);
}

#[test]
fn a_child_that_ends_by_a_signal_we_passed_on_gives_its_code() {
    let log = Log::default();
    let script = "echo ready; while :; do sleep 0.05; done";
    let mut process =
        Guarded::spawn(&mut stdio_command(&log, &[], &["sh", "-c", script])).expect("it starts");
    let mut stdout = process.take_stdout().expect("its output is a pipe");
    let mut ready = [0; 6];
    stdout
        .read_exact(&mut ready)
        .expect("the child's first line");
    process.signal(Signal::TERM);
    assert_eq!(process.wait().code(), Some(128 + 15));
}
