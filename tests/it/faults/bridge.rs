//! Takes a stdio server that dies, hangs, shouts and talks nonsense behind HTTP. Gives that its client is told, that
//! nobody else notices, and that neither memory nor processes grow.
//! Never needs the scripted child where a few words of shell do: what they say is theirs to the byte.

use serde_json::json;
use tests::descendants::Marked;
use tests::http_client::{HttpClient, Response};
use tests::kernel::{peak, reset_peak};
use tests::otlp::{Mode, Receiver};
use tests::process::{PATIENCE, eventually, is_alive};
use tests::programs;
use tests::sidecar::{Proxy, Summary, argument};

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{}}}"#;
const INITIALIZED: &str = r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18"}}"#;

/// A bridge in front of a command, and a collector for its spans.
struct World {
    receiver: Receiver,
    proxy: Proxy,
}

impl World {
    fn start(command: &[&str], env: &[(&str, &str)]) -> Self {
        let receiver = Receiver::start(Mode::Accept);
        let url = receiver.grpc_url();
        let proxy = Proxy::serving(command, &["--otlp-endpoint", &url], env);
        Self { receiver, proxy }
    }

    /// In front of the scripted child.
    fn scripted(env: &[(&str, &str)]) -> Self {
        let (python, script) = (
            programs::python(),
            programs::python_script("stdio_child.py"),
        );
        Self::start(&[argument(&python), argument(&script)], env)
    }

    fn client(&self) -> HttpClient {
        HttpClient::connect(self.proxy.address()).expect("the bridge listens")
    }

    /// Begins a session, and gives its id.
    fn session(&self) -> String {
        let answer = post(&mut self.client(), &[], INITIALIZE);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer
            .header("mcp-session-id")
            .expect("a session")
            .to_owned()
    }

    /// Sends a call of the newest era; the answer's head is next.
    fn send_modern(&self, name: &str, arguments: &serde_json::Value) -> HttpClient {
        let mut client = self.client();
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
            "name": name, "arguments": arguments, "_meta": {"progressToken": "t",
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {}}}});
        let body = body.to_string();
        let head = format!(
            "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             accept: application/json, text/event-stream\r\nmcp-protocol-version: 2026-07-28\r\n\
             mcp-method: tools/call\r\nmcp-name: {name}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        client
            .send_raw((head + &body).as_bytes())
            .expect("it is read");
        client
    }

    /// The outcomes of so many calls, after the end of the bridge.
    fn outcomes(self, count: usize) -> (Vec<String>, Summary) {
        let spans = self.receiver.wait_for_calls(count);
        let text = |span: &tests::otlp::Span| span.text("toolspan.outcome").to_owned();
        let mut outcomes: Vec<String> = spans.iter().map(text).collect();
        outcomes.sort();
        let (summary, log) = self.proxy.stop_and_keep_log();
        log.assert_none_at("ERROR");
        summary.assert_conserved();
        assert_eq!(summary.count("calls_seen"), count as u64);
        (outcomes, summary)
    }
}

fn post(client: &mut HttpClient, headers: &[(&str, &str)], body: &str) -> Response {
    let answer = client.post("/mcp", headers, body.as_bytes());
    answer.expect("an answer")
}

fn call(name: &str) -> String {
    json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": name, "_meta": {"progressToken": "t"}}})
    .to_string()
}

#[test]
fn a_command_that_exits_at_once_is_a_bad_gateway_that_says_how() {
    let world = World::start(&["sh", "-c", "exit 7"], &[]);
    let legacy = post(&mut world.client(), &[], INITIALIZE);
    let mut modern = world.send_modern("t", &json!({}));
    let head = modern.read_head().expect("an answer");
    assert!(head.start_line.contains(" 502 "), "{head:?}");
    assert_eq!(legacy.status, 502);
    assert!(legacy.text().contains("exit code 7"), "{}", legacy.text());
    let (outcomes, _) = world.outcomes(2);
    assert_eq!(outcomes, ["server_gone", "server_gone"]);
}

/// The process that answers in a session.
fn child_of(world: &World, session: &[(&str, &str)]) -> u32 {
    let answer = post(&mut world.client(), session, &call("pid")).text();
    let (_, pid) = answer.split_once("\"pid\":").expect("an answer");
    let digits: String = pid.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().expect("a process id")
}

fn kill(pid: u32) {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    let pid = pid.expect("a process id");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it runs");
}

#[test]
fn a_command_killed_in_mid_stream_breaks_the_stream_off() {
    let world = World::scripted(&[]);
    let id = world.session();
    let session = [("mcp-session-id", id.as_str())];
    let child = child_of(&world, &session);
    let mut stream = world.client();
    let headers = [&session[..], &super::post_headers()].concat();
    let hold = call("hold");
    stream
        .begin("POST", "/mcp", &headers, hold.as_bytes())
        .expect("a head");
    stream.next_chunk().expect("an event").expect("an event");
    let other = world.session();
    let other = [("mcp-session-id", other.as_str())];
    kill(child);
    assert!(stream.next_chunk().is_err(), "cut, not ended");
    assert_eq!(post(&mut world.client(), &session, &hold).status, 404);
    assert!(is_alive(child_of(&world, &other)), "another's goes on");
    let (outcomes, _) = world.outcomes(5);
    assert_eq!(outcomes, ["ok", "ok", "ok", "ok", "server_gone"]);
}

/// Answers the first line, and then neither its signals nor the end of its input end it.
const STUBBORN: &str = r#"trap '' TERM HUP INT; read -r line
    printf '%s\n' "$INITIALIZED"; while :; do sleep 1; done"#;

#[test]
fn a_command_that_ignores_its_end_is_killed_with_its_session() {
    let marked = Marked::default();
    let env = [marked.variable(), ("INITIALIZED", INITIALIZED)];
    let world = World::start(&["sh", "-c", STUBBORN], &env);
    let id = world.session();
    assert!(marked.processes().len() > 1);
    let headers = [("mcp-session-id", id.as_str())];
    let ended = world.client().send("DELETE", "/mcp", &headers, b"");
    assert_eq!(ended.expect("an answer").status, 200);
    eventually("the end of all but the bridge", PATIENCE, || {
        (marked.processes() == [world.proxy.id()]).then_some(())
    });
    world.outcomes(1);
}

/// Talks nonsense before, between and behind its answers.
const SHOUTING: &str = r#"garbage() { printf 'Server ready!\n\n\377\376\n{"jsonrpc":\n[[[\n{}\n\000\n'; }
    garbage; while read -r line; do garbage; printf '%s\n' "$INITIALIZED"; garbage; done"#;

#[test]
fn garbage_of_a_command_reaches_no_client_and_is_counted() {
    let world = World::start(&["sh", "-c", SHOUTING], &[("INITIALIZED", INITIALIZED)]);
    let answer = post(&mut world.client(), &[], INITIALIZE);
    assert_eq!(answer.status, 200);
    let events = answer.text();
    let data: Vec<&str> = events
        .lines()
        .filter(|line| line.starts_with("data:"))
        .collect();
    assert_eq!(data, [format!("data: {INITIALIZED}")]);
    let (outcomes, summary) = world.outcomes(1);
    assert_eq!(outcomes, ["ok"]);
    // Each time: two texts, half an object, half a list and a NUL. The last time may come after our end.
    assert!(summary.count("malformed") >= 10, "{summary:?}");
}

const BIG: usize = 100_000_000;

/// What is held for one message of the child: the line while it grows, what is made of it, and slack, in KiB.
const HELD: u64 = (4 * BIG as u64) >> 10;

#[test]
fn a_result_of_a_hundred_megabytes_passes_a_bridge_that_may_hold_it() {
    let world = World::scripted(&[("TOOLSPAN_MAX_MESSAGE_BYTES", "110000000")]);
    reset_peak(world.proxy.id());
    let before = peak(world.proxy.id());
    let mut client = world.send_modern("big", &json!({"bytes": BIG}));
    let head = client.read_head().expect("an answer");
    assert!(head.start_line.contains(" 200 "), "{head:?}");
    let length = head.header("content-length").expect("a length");
    let shell = r#"{"jsonrpc":"2.0","id":1,"result":{"text":""}}"#.len();
    assert_eq!(length, (BIG + shell).to_string());
    let grown = peak(world.proxy.id()) - before;
    assert!(grown < HELD, "memory grew by {grown} KiB");
    drop(client);
    let (outcomes, _) = world.outcomes(1);
    assert_eq!(outcomes, ["ok"]);
}

#[test]
fn a_result_that_is_too_large_for_a_bridge_is_refused_and_its_child_goes_on() {
    let limit: usize = 1 << 20;
    let world = World::scripted(&[("TOOLSPAN_MAX_MESSAGE_BYTES", &limit.to_string())]);
    reset_peak(world.proxy.id());
    let before = peak(world.proxy.id());
    let big = json!({"bytes": BIG});
    let head = world
        .send_modern("big", &big)
        .read_head()
        .expect("an answer");
    assert!(head.start_line.contains(" 502 "), "{head:?}");
    let id = world.session();
    let session = [("mcp-session-id", id.as_str())];
    let mut stream = world.client();
    let headers = [&session[..], &super::post_headers()].concat();
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "big", "arguments": big}});
    let body = body.to_string();
    stream
        .begin("POST", "/mcp", &headers, body.as_bytes())
        .expect("a head");
    assert!(stream.next_chunk().is_err(), "cut, not ended");
    assert!(is_alive(child_of(&world, &session)));
    let head = world
        .send_modern("pid", &json!({}))
        .read_head()
        .expect("an answer");
    assert!(head.start_line.contains(" 200 "), "{head:?}");
    let grown = peak(world.proxy.id()) - before;
    assert!(grown < 24 << 10, "memory grew by {grown} KiB");
    let (outcomes, _) = world.outcomes(5);
    assert_eq!(outcomes, ["ok", "ok", "ok", "unread", "unread"]);
}

/// Its first answer is larger than may be held.
const TALKATIVE: &str = r#"read -r line; printf '{"jsonrpc":"2.0","id":0,"result":{"x":"'
    head -c 2000000 /dev/zero | tr '\0' x; printf '"}}\n'; read -r line"#;

#[test]
fn a_session_that_cannot_begin_or_go_on_ends() {
    let marked = Marked::default();
    let env = [marked.variable(), ("TOOLSPAN_MAX_MESSAGE_BYTES", "1000000")];
    let world = World::start(&["sh", "-c", TALKATIVE], &env);
    let answer = post(&mut world.client(), &[], INITIALIZE);
    assert_eq!(answer.status, 502, "{}", answer.text());
    let mut stream = world.client();
    stream.begin("GET", "/sse", &[], b"").expect("a head");
    let event = stream.next_chunk().expect("an event").expect("an event");
    let event = String::from_utf8(event).expect("text");
    let (_, uri) = event.trim_end().split_once("data: ").expect("a URI");
    let posted = world.client().post(uri, &[], INITIALIZE.as_bytes());
    assert_eq!(posted.expect("an answer").status, 202);
    assert!(stream.next_chunk().is_err(), "cut, not ended");
    eventually("the end of all but the bridge", PATIENCE, || {
        (marked.processes() == [world.proxy.id()]).then_some(())
    });
    let (outcomes, _) = world.outcomes(2);
    assert_eq!(outcomes, ["unread", "unread"]);
}

/// A client of a session that does not read holds up its child, not our memory.
#[test]
fn a_slow_reader_in_a_session_holds_up_its_child_only() {
    let world = World::scripted(&[]);
    let id = world.session();
    let session = [("mcp-session-id", id.as_str())];
    let child = child_of(&world, &session);
    reset_peak(world.proxy.id());
    let before = peak(world.proxy.id());
    let mut slow = world.client();
    let headers = [&session[..], &super::post_headers()].concat();
    let flood = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "flood", "arguments": {"count": 1000}, "_meta": {"progressToken": "t"}}});
    let flood = flood.to_string();
    slow.begin("POST", "/mcp", &headers, flood.as_bytes())
        .expect("a head");
    eventually("a child that waits to write", PATIENCE, || {
        let waits_in = std::fs::read_to_string(format!("/proc/{child}/wchan")).ok()?;
        waits_in.contains("pipe_write").then_some(())
    });
    let mut read = 0;
    while let Some(chunk) = slow.next_chunk().expect("an event") {
        read += chunk.len();
    }
    assert!(read > 1000 << 16, "{read} bytes arrived");
    let grown = peak(world.proxy.id()) - before;
    assert!(grown < 24 << 10, "memory grew by {grown} KiB");
    let (outcomes, _) = world.outcomes(3);
    assert_eq!(outcomes, ["ok", "ok", "ok"]);
}

/// Its client cannot come back, so nobody would ever end its child.
#[test]
fn a_client_of_http_sse_that_reads_nothing_ends_with_its_child() {
    let marked = Marked::default();
    let env = [marked.variable(), ("TOOLSPAN_WRITE_IDLE_SECONDS", "1")];
    let world = World::scripted(&env);
    let mut stream = world.client();
    stream.begin("GET", "/sse", &[], b"").expect("a head");
    let event = stream.next_chunk().expect("an event").expect("an event");
    let event = String::from_utf8(event).expect("text");
    let (_, uri) = event.trim_end().split_once("data: ").expect("a URI");
    let flood = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "flood", "arguments": {"count": 1000}, "_meta": {"progressToken": "t"}}});
    let posted = world.client().post(uri, &[], flood.to_string().as_bytes());
    assert_eq!(posted.expect("an answer").status, 202);
    eventually("the end of all but the bridge", PATIENCE, || {
        (marked.processes() == [world.proxy.id()]).then_some(())
    });
    let gone = world.client().post(uri, &[], flood.to_string().as_bytes());
    assert_eq!(gone.expect("an answer").status, 404);
    drop(stream);
    let (outcomes, _) = world.outcomes(1);
    // By what is noticed first: that it holds up the child, or that it takes nothing of the connection.
    assert!(["evicted", "client_gone"].contains(&outcomes[0].as_str()));
}
