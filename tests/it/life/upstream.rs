//! Takes requests. Gives JSON at once, or at `/stream` an event stream whose events the test sends.
//! Never sends an event or ends a stream by itself.

use std::io::BufReader;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use tests::http_wire::{self, Head};
use tests::process::PATIENCE;

type Heads = Arc<Mutex<Vec<(Head, String)>>>;

pub struct Upstream {
    address: SocketAddr,
    streams: Receiver<Stream>,
    requests: Heads,
}

/// One open event stream, from its server's side.
pub struct Stream(TcpStream);

impl Stream {
    pub fn event(&mut self, data: &str) {
        let event = format!("data: {data}\n\n");
        http_wire::write_chunk(&mut self.0, event.as_bytes()).expect("the stream is open");
    }

    pub fn end(mut self) {
        http_wire::write_chunk(&mut self.0, b"").expect("the stream is open");
    }
}

impl Upstream {
    pub fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port on loopback");
        let address = listener.local_addr().expect("a bound socket has a name");
        let (sender, streams) = channel();
        let requests = Heads::default();
        let noted = Arc::clone(&requests);
        // It ends with the process of the tests: nothing but a connection wakes it.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (sender, noted) = (sender.clone(), Arc::clone(&noted));
                // A client that goes away in the middle is part of many stories.
                std::thread::spawn(move || drop(serve(stream, &sender, &noted)));
            }
        });
        Self {
            address,
            streams,
            requests,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next stream that a client opened.
    pub fn stream(&self) -> Stream {
        self.streams
            .recv_timeout(PATIENCE)
            .expect("a client opens a stream")
    }

    /// Heads and bodies so far.
    pub fn requests(&self) -> Vec<(Head, String)> {
        self.requests.lock().expect("no test panicked").clone()
    }
}

fn serve(stream: TcpStream, streams: &Sender<Stream>, noted: &Heads) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    while let Some(head) = http_wire::read_head(&mut reader)? {
        let body = http_wire::read_body(&mut reader, &head, false)?;
        let body = String::from_utf8_lossy(&body).into_owned();
        let is_stream = head.start_line.contains(" /stream ");
        let json: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
        noted.lock().expect("no test panicked").push((head, body));
        if is_stream {
            let headers = [
                ("content-type", "text/event-stream"),
                ("transfer-encoding", "chunked"),
            ];
            let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
            http_wire::write_message(&mut writer, "HTTP/1.1 200 OK", &headers.to_vec(), None)?;
            let _test_ended = streams.send(Stream(writer.try_clone()?));
            continue;
        }
        let answer = format!(
            r#"{{"jsonrpc":"2.0","id":{},"result":{{"content":[]}}}}"#,
            json["id"]
        );
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        http_wire::write_message(
            &mut writer,
            "HTTP/1.1 200 OK",
            &headers,
            Some(answer.as_bytes()),
        )?;
    }
    Ok(())
}
