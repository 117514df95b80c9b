//! Takes more than there is room for: heads that never end, descriptors that run out.
//! Gives that they hold up nobody else.

use std::process::{Command, Stdio};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use tests::http_client::HttpClient;
use tests::http_peer::Answer;
use tests::http_wire::{write_chunk, write_message};
use tests::kernel::{children, descriptors};
use tests::otlp::{Mode, Receiver};
use tests::process::{Guarded, PATIENCE, eventually, without_telemetry_variables};
use tests::programs;
use tests::sidecar::{Log, Proxy};

use super::{ByHand, CALL, RESULT, begin_stream, hop, whole_call};

const HALF_A_HEAD: &[u8] = b"POST /mcp HTTP/1.1\r\nhost: x\r\nx-slow: ";

#[test]
fn heads_that_come_byte_by_byte_hold_up_nobody_else() {
    let hop = hop(|_| Answer::json(RESULT));
    let mut slow: Vec<HttpClient> = (0..200)
        .map(|_| {
            let mut client = hop.client();
            client.send_raw(HALF_A_HEAD).expect("it is read");
            client
        })
        .collect();
    let mut client = hop.client();
    for _ in 0..10 {
        for one in &mut slow {
            one.send_raw(b"x").expect("it is read");
        }
        let response = client.post("/mcp", &[], CALL).expect("an answer");
        assert_eq!(response.status, 200);
    }
    assert_eq!(
        hop.upstream.connections(),
        1,
        "no head, no server connection"
    );
    hop.stop(10);
}

#[test]
fn without_a_descriptor_left_open_streams_go_on_and_new_ones_wait() {
    let server = ByHand::start();
    let receiver = Receiver::start(Mode::Accept);
    let proxy = Proxy::start(&server.url(), &["--otlp-endpoint", &receiver.grpc_url()]);
    let mut streaming = HttpClient::connect(proxy.address()).expect("the sidecar listens");
    streaming.send_raw(&whole_call()).expect("it is read");
    let mut stream = server.take();
    begin_stream(&mut stream);
    streaming.read_head().expect("a head");
    limit_descriptors(proxy.id(), descriptors(proxy.id()).len() + 3);
    let idle: Vec<HttpClient> = (0..20)
        .map(|_| HttpClient::connect(proxy.address()).expect("the system takes it"))
        .collect();
    let _ = proxy.log.wait_for("cannot accept a connection");
    for text in [": one\n\n", ": two\n\n"] {
        write_chunk(&mut stream, text.as_bytes()).expect("it is read");
        let chunk = streaming.next_chunk().expect("an event").expect("an event");
        assert_eq!(chunk, text.as_bytes());
    }
    let mut waiting = HttpClient::connect(proxy.address()).expect("the system takes it");
    waiting
        .send_raw(&whole_call())
        .expect("the system takes it");
    drop(idle);
    // There is room again: who waited is served.
    let mut next = server.take();
    write_message(&mut next, "HTTP/1.1 202 Accepted", &Vec::new(), Some(b"")).expect("it is read");
    let head = waiting.read_head().expect("an answer");
    assert!(head.start_line.contains("202"), "{}", head.start_line);
    drop((streaming, stream, waiting, next));
    let summary = proxy.stop();
    summary.assert_conserved();
    assert_eq!(summary.count("calls_seen"), 2);
}

fn limit_descriptors(pid: u32, current: usize) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let limit = Rlimit {
        current: Some(current as u64),
        ..getrlimit(Resource::Nofile)
    };
    prlimit(pid, Resource::Nofile, limit).expect("a limit may be lowered");
}

/// A sidecar that is started with a soft limit of 64 descriptors.
fn start_limited(log: &Log, mode: &str, arguments: &[&str]) -> Guarded {
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -S -n 64 && exec \"$@\"", "sh"])
        .arg(programs::toolspan())
        .arg(mode)
        .args(log.options())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null());
    without_telemetry_variables(&mut command);
    Guarded::spawn(&mut command).expect("the sidecar starts")
}

/// The soft and the hard limit on descriptors.
fn limits(pid: u32) -> [String; 2] {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).expect("it runs");
    let mut lines = limits.lines();
    let line = lines.find(|line| line.starts_with("Max open files"));
    let mut words = line.expect("a limit").split_whitespace().skip(3);
    [(); 2].map(|()| words.next().expect("a number").to_owned())
}

#[test]
fn a_small_soft_limit_on_descriptors_is_raised() {
    let log = Log::default();
    let options = [
        "--listen",
        "127.0.0.1:0",
        "--upstream",
        "http://127.0.0.1:1",
    ];
    let process = start_limited(&log, "http", &options);
    let _ = log.wait_for("listening");
    let [soft, hard] = limits(process.id());
    assert_eq!(soft, hard);
    assert_ne!(soft, "64");
}

/// A program that uses `select` breaks on a descriptor above 1024: ours is not its limit.
#[test]
fn a_command_gets_the_limit_on_descriptors_that_we_were_started_with() {
    let of_command = |sidecar: u32| {
        let command = eventually("a command below its guard", PATIENCE, || {
            let guard = children(sidecar).first().copied()?;
            let command = children(guard).first().copied()?;
            // Between fork and exec it is the guard still.
            let name = std::fs::read_to_string(format!("/proc/{command}/comm")).ok()?;
            (name.trim() == "cat").then_some(command)
        });
        let [soft, _] = limits(command);
        soft
    };
    let log = Log::default();
    let options = ["--listen", "127.0.0.1:0", "--", "cat"];
    let bridge = start_limited(&log, "http", &options);
    let address = log.wait_for("listening")["address"]
        .as_str()
        .map(str::to_owned);
    let address = address.expect("an address").parse().expect("an address");
    let mut client = HttpClient::connect(address).expect("the bridge listens");
    client
        .begin("GET", "/sse", &[], b"")
        .expect("a session begins");
    assert_eq!(of_command(bridge.id()), "64");
    let log = Log::default();
    let stdio = start_limited(&log, "stdio", &["--", "cat"]);
    assert_eq!(of_command(stdio.id()), "64");
}
