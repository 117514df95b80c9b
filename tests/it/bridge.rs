//! Takes HTTP clients and a stdio server behind `toolspan http -- COMMAND`. Gives that both see what they would see of
//! a server of the other's kind.
//! Never looks at the bridge's own counters where a peer can tell.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tests::http_client::{HttpClient, Response};
use tests::http_wire::Head;
use tests::otlp::{Mode, Receiver, Span};
use tests::process::{PATIENCE, eventually, is_alive};
use tests::programs;
use tests::sidecar::{Proxy, Summary, argument};

mod access;
mod answers;
mod commands;
mod legacy;
mod life;
mod modern;
mod peers;
mod websocket;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// A bridge in front of the scripted child, and a collector for its spans.
struct World {
    otlp: Receiver,
    proxy: Proxy,
}

impl World {
    fn start(options: &[&str], env: &[(&str, &str)]) -> Self {
        let otlp = Receiver::start(Mode::Accept);
        let python = programs::python();
        let script = programs::python_script("stdio_child.py");
        let command = [argument(&python), argument(&script)];
        let url = otlp.grpc_url();
        let all = [&["--otlp-endpoint", &url], options].concat();
        let proxy = Proxy::serving(&command, &all, env);
        Self { otlp, proxy }
    }

    fn client(&self) -> Client {
        Client::to(self.proxy.address())
    }

    /// Ends it; gives the spans of its calls, after a look at its ledger.
    fn calls(self, count: usize) -> Vec<Span> {
        self.calls_and_ledger(count).0
    }

    fn calls_and_ledger(self, count: usize) -> (Vec<Span>, Summary) {
        let spans = self.otlp.wait_for_calls(count);
        let (summary, log) = self.proxy.stop_and_keep_log();
        log.assert_none_at("ERROR");
        summary.assert_conserved();
        assert_eq!(summary.count("calls_seen"), count as u64);
        (spans, summary)
    }
}

/// One connection of a client that writes its messages by hand.
struct Client {
    http: HttpClient,
    headers: Vec<(String, String)>,
}

impl Client {
    fn to(address: SocketAddr) -> Self {
        Self {
            http: HttpClient::connect(address).expect("the bridge listens"),
            headers: Vec::new(),
        }
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn post(&mut self, body: &str) -> Response {
        let headers: Vec<_> = self.headers.clone();
        let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (&**n, &**v)).collect();
        self.http
            .post("/mcp", &headers, body.as_bytes())
            .expect("an answer")
    }

    fn send(&mut self, method: &str, path: &str, more: &[(&str, &str)]) -> Response {
        let own = self.headers.clone();
        let own = own.iter().map(|(name, value)| (&**name, &**value));
        let headers: Vec<(&str, &str)> = own.chain(more.iter().copied()).collect();
        self.http
            .send(method, path, &headers, b"")
            .expect("an answer")
    }

    /// Sends a request whose answer is read event by event.
    fn begin(&mut self, method: &str, path: &str, more: &[(&str, &str)], body: &str) -> Head {
        let own = self.headers.clone();
        let own = own.iter().map(|(name, value)| (&**name, &**value));
        let standard = [
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
        ];
        let headers: Vec<(&str, &str)> = standard
            .into_iter()
            .chain(own)
            .chain(more.iter().copied())
            .collect();
        self.http
            .begin(method, path, &headers, body.as_bytes())
            .expect("an answer begins")
    }

    /// The next event: its id, and its data.
    fn event(&mut self) -> Option<Event> {
        loop {
            let chunk = self.http.next_chunk().expect("the stream goes on")?;
            let text = String::from_utf8(chunk).expect("events are text");
            if let Some(event) = events(&text).pop() {
                return Some(event);
            }
        }
    }

    /// Begins a session on this connection, and gives the client of it.
    fn initialize(mut self, version: &str) -> Self {
        let body = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": version, "capabilities": {"sampling": {}},
            "clientInfo": {"name": "scripted", "version": "1"}}});
        let answer = self.post(&body.to_string());
        assert_eq!(answer.status, 200, "{}", answer.text());
        let id = answer
            .header("mcp-session-id")
            .expect("a session")
            .to_owned();
        assert_eq!(messages(&answer).len(), 1);
        let session = self.with("mcp-session-id", &id);
        session.with("mcp-protocol-version", version)
    }

    /// Another connection of the same session or caller.
    fn again(&self, address: SocketAddr) -> Self {
        Self {
            headers: self.headers.clone(),
            ..Self::to(address)
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Event {
    id: Option<String>,
    name: Option<String>,
    data: String,
}

impl Event {
    fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{}: {error}", self.data))
    }
}

/// The events of a stream, without comments.
fn events(text: &str) -> Vec<Event> {
    text.split("\n\n")
        .filter_map(|event| {
            let field = |name: &str| {
                let mut lines = event.lines();
                lines.find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()))
            };
            Some(Event {
                id: field("id:"),
                name: field("event:"),
                data: field("data:")?,
            })
        })
        .collect()
}

/// The messages of an answer, whichever way it came.
fn messages(answer: &Response) -> Vec<Value> {
    match answer.header("content-type") {
        Some("application/json") => {
            vec![serde_json::from_slice(&answer.body).expect("a body of JSON")]
        }
        _ => events(&answer.text())
            .iter()
            .filter(|event| !event.data.is_empty())
            .map(Event::json)
            .collect(),
    }
}

/// A `tools/call` of the scripted child.
fn call(id: &Value, name: &str, arguments: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": name, "arguments": arguments}})
        .to_string()
}

/// The process of the child that answers here.
fn pid(client: &mut Client) -> u32 {
    let answer = client.post(&call(&json!(99), "pid", &json!({})));
    let pid = messages(&answer)[0]["result"]["pid"].as_u64();
    u32::try_from(pid.expect("a process")).expect("a process id")
}

fn wait_until_gone(pid: u32) {
    eventually("the end of a child", PATIENCE, || {
        (!is_alive(pid)).then_some(())
    });
}
