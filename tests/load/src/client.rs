//! Takes an address and a number of connections. Gives calls per second and their percentiles.
//! Never builds a request while it measures: only the digits of the id change.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::http;
use crate::report::{self, Samples};
use crate::session::{Endpoint, Session, tool_call};

pub struct Plan {
    pub endpoint: Endpoint,
    /// With a session of the handshake's era, where a hop knows no other.
    pub session: bool,
    pub connections: usize,
    pub measure: Duration,
    pub warmup: Duration,
}

/// Ids have as many digits as this, so that patching one never moves a byte.
const FIRST_ID: u64 = 10_000_000;

pub async fn run(plan: Plan) -> Result<()> {
    let begin = Instant::now() + plan.warmup;
    let end = begin + plan.measure;
    let mut connections = Vec::new();
    for number in 0..plan.connections {
        let first = FIRST_ID + 1_000_000 * (number as u64 % 80);
        let (stream, request) = match plan.session {
            true => with_session(&plan.endpoint, first)?,
            false => without_session(plan.endpoint.to, first).await?,
        };
        connections.push(tokio::spawn(call_until(stream, request, begin, end)));
    }
    let mut all = Samples::default();
    for connection in connections {
        all.join(connection.await??);
    }
    report::print(&format!("{{{}}}", all.summary(plan.measure)))
}

async fn without_session(to: SocketAddr, first: u64) -> Result<(TcpStream, Request)> {
    let stream = TcpStream::connect(to)
        .await
        .with_context(|| format!("cannot connect to {to}"))?;
    stream.set_nodelay(true)?;
    Ok((stream, Request::new(to, first)))
}

fn with_session(endpoint: &Endpoint, first: u64) -> Result<(TcpStream, Request)> {
    let session = Session::open(endpoint)?;
    let body = tool_call(endpoint, first, "echo", r#"{"text":"hello"}"#, "");
    let request = Request::of(session.head(body.len(), ""), body, first);
    let stream = session.into_stream();
    stream.set_nonblocking(true)?;
    Ok((TcpStream::from_std(stream)?, request))
}

async fn call_until(
    mut stream: TcpStream,
    mut request: Request,
    begin: Instant,
    end: Instant,
) -> Result<Samples> {
    let mut buffer = vec![0; 16 * 1024];
    let mut samples = Samples::with_room();
    loop {
        let sent = Instant::now();
        if sent >= end {
            return Ok(samples);
        }
        stream.write_all(&request.bytes).await?;
        let answer = read_answer(&mut stream, &mut buffer).await?;
        check(answer, &request)?;
        let done = Instant::now();
        samples.add(done - sent, sent >= begin && done <= end);
        request.next();
    }
}

async fn read_answer<'a>(stream: &mut TcpStream, buffer: &'a mut [u8]) -> Result<&'a [u8]> {
    let mut filled = 0;
    loop {
        let room = buffer.get_mut(filled..).unwrap_or_default();
        let read = stream.read(room).await?;
        if read == 0 {
            bail!("the connection ended inside an answer, or the answer is too long");
        }
        filled += read;
        let so_far = buffer.get(..filled).unwrap_or_default();
        if let Some(found) = http::extent(so_far)? {
            return Ok(buffer.get(..found.end).unwrap_or_default());
        }
    }
}

fn check(answer: &[u8], request: &Request) -> Result<()> {
    let good = answer.starts_with(b"HTTP/1.1 200")
        && memchr::memmem::find(answer, request.id_bytes()).is_some();
    if !good {
        bail!("unexpected answer: {}", String::from_utf8_lossy(answer));
    }
    Ok(())
}

/// One `tools/call` that is sent again and again.
struct Request {
    bytes: Vec<u8>,
    id: u64,
    id_at: usize,
}

impl Request {
    /// On the stateless wire, as a client of 2026-07-28 sends it.
    fn new(host: SocketAddr, id: u64) -> Self {
        let body = format!(
            concat!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"echo","#,
                r#""arguments":{{"text":"hello"}},"_meta":{{"#,
                r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
                r#""io.modelcontextprotocol/clientCapabilities":{{}},"#,
                r#""io.modelcontextprotocol/clientInfo":{{"name":"load","version":"1"}}}}}}}}"#,
            ),
            id = id
        );
        let head = format!(
            "POST /mcp HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\n\
             Mcp-Method: tools/call\r\nMcp-Name: echo\r\nUser-Agent: load\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        Self::of(head, body, id)
    }

    /// The body begins with the version and the id.
    fn of(head: String, body: String, id: u64) -> Self {
        let id_at = head.len() + br#"{"jsonrpc":"2.0","id":"#.len();
        Self {
            bytes: [head.into_bytes(), body.into_bytes()].concat(),
            id,
            id_at,
        }
    }

    fn next(&mut self) {
        self.id += 1;
        let mut rest = self.id;
        let digits = self.id_at..self.id_at + 8;
        for byte in self
            .bytes
            .get_mut(digits)
            .unwrap_or_default()
            .iter_mut()
            .rev()
        {
            *byte = b'0' + u8::try_from(rest % 10).unwrap_or_default();
            rest /= 10;
        }
    }

    fn id_bytes(&self) -> &[u8] {
        self.bytes
            .get(self.id_at..self.id_at + 8)
            .unwrap_or_default()
    }
}
