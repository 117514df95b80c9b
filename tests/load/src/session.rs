//! Takes the endpoint of an MCP server or of a hop. Gives one client with a session on one connection.
//! Never hides what came: an answer is read byte by byte as far as it was written.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::http;

/// A hop that says nothing for so long does not work.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where to call, and under which names.
#[derive(Args, Clone)]
pub struct Endpoint {
    /// The server or the hop in front of it.
    #[arg(long)]
    pub to: SocketAddr,
    #[arg(long, default_value = "/mcp")]
    pub path: String,
    /// What the hop puts before the names of tools.
    #[arg(long, default_value = "")]
    pub prefix: String,
}

pub struct Session {
    stream: TcpStream,
    endpoint: Endpoint,
    id: Option<String>,
    /// What was read of the answer under way.
    pub answer: Vec<u8>,
}

impl Session {
    /// Connects and shakes hands.
    pub fn open(endpoint: &Endpoint) -> Result<Self> {
        let stream = TcpStream::connect(endpoint.to)
            .with_context(|| format!("cannot connect to {}", endpoint.to))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut session = Self {
            stream,
            endpoint: endpoint.clone(),
            id: None,
            answer: Vec::with_capacity(4096),
        };
        session.shake_hands()?;
        Ok(session)
    }

    fn shake_hands(&mut self) -> Result<()> {
        let hello = concat!(
            r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"#,
            r#""protocolVersion":"2025-06-18","capabilities":{},"#,
            r#""clientInfo":{"name":"load","version":"1"}}}"#
        );
        self.send(hello, "")?;
        self.read_whole()?;
        let head = String::from_utf8_lossy(&self.answer).into_owned();
        if !head.starts_with("HTTP/1.1 200") || !head.contains("protocolVersion") {
            bail!("initialize was answered with {head}");
        }
        self.id = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let named = name.eq_ignore_ascii_case("mcp-session-id");
            named.then(|| value.trim().to_owned())
        });
        let ready = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
        self.send(ready, "")?;
        self.read_whole()
    }

    /// The head of a POST of so many bytes within this session.
    pub fn head(&self, length: usize, more: &str) -> String {
        head(&self.endpoint, self.id.as_deref(), length, more)
    }

    /// Posts a message; the answer is for `read_until` or `read_whole`.
    pub fn send(&mut self, message: &str, more: &str) -> Result<()> {
        let head = self.head(message.len(), more);
        self.answer.clear();
        Ok(self
            .stream
            .write_all(&[head.as_bytes(), message.as_bytes()].concat())?)
    }

    /// Calls a tool and reads the whole answer, which must be its result.
    pub fn call(&mut self, message: &str, more: &str) -> Result<()> {
        self.send(message, more)?;
        self.read_whole()?;
        if memchr::memmem::find(&self.answer, b"hello").is_none() {
            bail!(
                "a call was answered with {}",
                String::from_utf8_lossy(&self.answer)
            );
        }
        Ok(())
    }

    /// Reads on until the answer is complete.
    pub fn read_whole(&mut self) -> Result<()> {
        while http::extent(&self.answer)?.is_none() {
            self.read_some()?;
        }
        Ok(())
    }

    /// Reads on until these bytes have come. `false` when the answer is complete without them.
    pub fn read_until(&mut self, bytes: &[u8]) -> Result<bool> {
        loop {
            if memchr::memmem::find(&self.answer, bytes).is_some() {
                return Ok(true);
            }
            if http::extent(&self.answer)?.is_some() {
                return Ok(false);
            }
            self.read_some()?;
        }
    }

    /// Reads on until the answer ends with these bytes, and keeps no more of it than its end.
    pub fn drain(&mut self, end: &[u8]) -> Result<()> {
        while !self.answer.ends_with(end) {
            let kept = self.answer.len().saturating_sub(end.len());
            self.answer.drain(..kept);
            self.read_some()?;
        }
        Ok(())
    }

    fn read_some(&mut self) -> Result<()> {
        let mut buffer = [0; 16 * 1024];
        let read = self.stream.read(&mut buffer).context("no answer came")?;
        if read == 0 {
            bail!(
                "the connection ended inside an answer: {}",
                String::from_utf8_lossy(&self.answer)
            );
        }
        self.answer
            .extend_from_slice(buffer.get(..read).unwrap_or_default());
        Ok(())
    }

    /// The connection alone, for a client that is about to speak bytes of its own.
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// How long one read may take.
    pub fn set_patience(&self, patience: Duration) -> Result<()> {
        Ok(self.stream.set_read_timeout(Some(patience))?)
    }
}

/// The head of a POST of so many bytes; `more` is headers with their line ends.
pub fn head(endpoint: &Endpoint, session: Option<&str>, length: usize, more: &str) -> String {
    let Endpoint { to, path, .. } = endpoint;
    let session = session.map_or_else(String::new, |id| format!("Mcp-Session-Id: {id}\r\n"));
    format!(
        "POST {path} HTTP/1.1\r\nHost: {to}\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2025-06-18\r\n\
         {session}{more}Content-Length: {length}\r\n\r\n"
    )
}

/// A `tools/call` without context of its own.
pub fn tool_call(endpoint: &Endpoint, id: u64, tool: &str, arguments: &str, meta: &str) -> String {
    let prefix = &endpoint.prefix;
    format!(
        concat!(
            r#"{{"jsonrpc":"2.0","id":{},"method":"tools/call","params":"#,
            r#"{{"name":"{}{}","arguments":{}{}}}}}"#
        ),
        id, prefix, tool, arguments, meta
    )
}
