//! Takes a scripted server behind `toolspan stdio`. Gives every end that a call has over pipes, where there is no status
//! and nobody to be reached, and every line is read.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout};

use rustix::process::Signal;
use serde_json::json;
use tests::otlp::{Mode, Receiver};
use tests::process::Guarded;
use tests::programs;
use tests::sidecar::{Log, Summary, argument, stdio_command};

use super::*;

/// A sidecar around a child, and the client's ends of its pipes.
struct Pipes {
    process: Guarded,
    log: Log,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Pipes {
    fn start(receiver: &Receiver, env: &[(&str, &str)]) -> Self {
        let log = Log::default();
        let (python, script) = (
            programs::python(),
            programs::python_script("stdio_child.py"),
        );
        let server = [argument(&python), argument(&script)];
        let url = receiver.grpc_url();
        let mut command = stdio_command(&log, &["--otlp-endpoint", &url], &server);
        command.envs(env.iter().copied());
        let mut process = Guarded::spawn(&mut command).expect("the sidecar starts");
        let output = process.take_stdout().expect("its output is a pipe");
        Self {
            log,
            input: process.take_stdin(),
            output: BufReader::new(output),
            process,
        }
    }

    fn say(&mut self, line: &str) {
        let input = self.input.as_mut().expect("it is open");
        writeln!(input, "{line}").expect("it is read");
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a line");
        line
    }

    /// Calls the child's tool that says these lines, and hears as many.
    fn tell(&mut self, id: &str, lines: &[&str]) {
        let params = json!({"name": "say", "arguments": {"lines": lines}});
        self.say(&request(id, "tools/call", &params.to_string()));
        for line in lines {
            assert!(!self.hear().is_empty(), "{line}");
        }
    }

    /// Begins a call that the child has taken and does not answer.
    fn hold(&mut self, id: &str) {
        let params = r#"{"name":"hold","_meta":{"progressToken":1}}"#;
        self.say(&request(id, "tools/call", params));
        assert!(self.hear().contains("notifications/progress"));
    }

    fn end(mut self) -> Summary {
        self.input = None;
        self.process.wait();
        let summary = self.log.summary();
        summary.assert_conserved();
        summary
    }
}

fn request(id: &str, method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":"{id}","method":"{method}","params":{params}}}"#)
}

const WORKS: &str = r#"{"jsonrpc":"2.0","id":{id},"result":{}}"#;

/// What either side says while a call is open.
fn cut_short(pipes: &mut Pipes) -> Vec<Ended> {
    pipes.hold("cancelled");
    pipes.say(&cancel("cancelled", "no longer needed"));
    pipes.hold("gave up");
    pipes.say(&cancel("gave up", "timed out after 5s"));
    pipes.tell(
        "asking",
        &[
            &question("asked"),
            &cancel("asked", "no longer needed"),
            &question("waited"),
            &cancel("waited", "request timeout"),
            WORKS,
        ],
    );
    pipes.say(&request("listening", "subscriptions/listen", "{}"));
    assert!(pipes.hear().contains("acknowledged"));
    // A server takes back what it sent, and ends what it was asked to tell; no other request.
    pipes.hold("kept");
    pipes.tell(
        "ending",
        &[
            &cancel("listening", "shutting down"),
            &cancel("kept", "not its own"),
            WORKS,
        ],
    );
    pipes.tell("answering", &[&WORKS.replace("{id}", r#""kept""#), WORKS]);
    // What has ended is not answered again.
    let late = WORKS.replace("{id}", r#""cancelled""#);
    pipes.tell("late", &[&late, &late, WORKS]);
    vec![
        ended("cancelled", CANCELLED),
        ended("gave up", TIMED_OUT),
        ended("asking", ("ok", "")),
        ended("asked", CALLED_OFF),
        ended("waited", TIMED_OUT),
        ended("listening", CALLED_OFF),
        ended("kept", ("ok", "")),
        ended("ending", ("ok", "")),
        ended("answering", ("ok", "")),
        ended("late", ("ok", "")),
    ]
}

#[test]
fn every_end_of_a_call_has_its_word_over_stdio() {
    let receiver = Receiver::start(Mode::Accept);
    let mut pipes = Pipes::start(&receiver, &[]);
    let mut expected = Vec::new();
    for (name, rest, outcome, error_type, code) in ANSWERS {
        pipes.tell(
            name,
            &[&format!(r#"{{"jsonrpc":"2.0","id":{{id}},{rest}}}"#)],
        );
        expected.push((name.to_owned(), outcome, error_type, code));
    }
    expected.extend(cut_short(&mut pipes));
    pipes.hold("left");
    expected.push(ended("left", ("client_gone", "client_gone")));
    let summary = pipes.end();
    assert_eq!(summary.count("late_answers"), 2);
    assert_eq!(summary.count("calls_seen"), expected.len() as u64);
    judge(&receiver.wait_for_calls(expected.len()), &expected);
}

#[test]
fn every_end_of_a_process_has_its_word_over_stdio() {
    let receiver = Receiver::start(Mode::Accept);
    let mut pipes = Pipes::start(&receiver, &[]);
    pipes.say(&request("crashed", "tools/call", r#"{"name":"exit"}"#));
    assert!(pipes.hear().is_empty(), "the end");
    pipes.end();
    let mut pipes = Pipes::start(&receiver, &[("TOOLSPAN_MAX_OPEN_CALLS", "1")]);
    pipes.hold("oldest");
    pipes.hold("last");
    pipes.process.signal(Signal::TERM);
    assert!(pipes.hear().is_empty(), "the end");
    pipes.end();
    let expected = [
        ended("crashed", ("server_gone", "server_gone")),
        ended("oldest", ("evicted", "evicted")),
        ended("last", ("shutdown", "shutdown")),
    ];
    judge(&receiver.wait_for_calls(expected.len()), &expected);
}
