//! Takes peers that die, stall, shout and talk nonsense, and a machine that runs out of everything. Gives that the
//! traffic which can go on goes on, that nothing is left behind, and that the ledger holds: seen = recorded + dropped.
//! Never leaves a row of `docs/faults.md` without the test it names: `house.rs` looks.

use std::io::BufReader;
use std::net::{TcpListener, TcpStream};

use tests::hop::{Hop, hop};
use tests::http_wire::{read_body, read_head, write_message};

mod bridge;
mod cut;
mod disk;
mod exports;
mod idle;
mod kept;
mod leaks;
mod many;
mod nonsense;
mod volume;
mod websocket;

/// One call.
const CALL: &[u8] =
    br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":{}}}"#;
/// Its answer.
const RESULT: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#;

/// What every MCP client says of its POST.
fn post_headers() -> [(&'static str, &'static str); 2] {
    [
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
    ]
}

/// A request with one call, to the byte.
fn whole_call() -> Vec<u8> {
    let mut request =
        b"POST /mcp HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n".to_vec();
    request.extend_from_slice(format!("content-length: {}\r\n\r\n", CALL.len()).as_bytes());
    request.extend_from_slice(CALL);
    request
}

/// A server that the test itself speaks for, call by call.
struct ByHand(TcpListener);

impl ByHand {
    fn start() -> Self {
        Self(TcpListener::bind(("127.0.0.1", 0)).expect("a port on loopback"))
    }

    fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().expect("it is bound"))
    }

    /// Takes a connection and its request.
    fn take(&self) -> TcpStream {
        let (stream, _) = self.0.accept().expect("a connection");
        let mut reader = BufReader::new(stream);
        let head = read_head(&mut reader).expect("a head").expect("a head");
        read_body(&mut reader, &head, false).expect("a body");
        reader.into_inner()
    }
}

/// Writes the head of an event stream.
fn begin_stream(stream: &mut TcpStream) {
    let headers = [
        ("content-type", "text/event-stream"),
        ("transfer-encoding", "chunked"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    write_message(stream, "HTTP/1.1 200 OK", &headers, None).expect("it is read");
}
