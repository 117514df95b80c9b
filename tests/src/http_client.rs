//! Takes requests. Gives the answers of one kept-alive connection, as they come.
//! Never retries and never follows: what the server does is what the test sees.

use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use crate::http_wire::{self, Head, Headers};
use crate::process::PATIENCE;

#[derive(Debug)]
pub struct HttpClient {
    stream: BufReader<TcpStream>,
    host: String,
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub headers: Headers,
    pub body: Vec<u8>,
}

impl Response {
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        http_wire::header(&self.headers, name)
    }

    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl HttpClient {
    /// # Errors
    /// When nothing listens there.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream: BufReader::new(stream),
            host: address.to_string(),
        })
    }

    /// Our own address.
    ///
    /// # Errors
    /// When the connection has no name any more.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.stream.get_ref().local_addr()
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// When the connection fails.
    pub fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Response> {
        let head = self.begin(method, path, headers, body)?;
        let body = http_wire::read_body(&mut self.stream, &head, true)?;
        Ok(Response {
            status: status_of(&head)?,
            headers: head.headers,
            body,
        })
    }

    /// A POST of JSON with the headers that every MCP client sends.
    ///
    /// # Errors
    /// When the connection fails.
    pub fn post(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Response> {
        let mut all = vec![
            ("content-type", "application/json"),
            ("accept", "application/json, text/event-stream"),
        ];
        all.extend_from_slice(headers);
        self.send("POST", path, &all, body)
    }

    /// Sends a request and reads the head of the answer; its chunks follow by `next_chunk`.
    ///
    /// # Errors
    /// When the connection fails or ends.
    pub fn begin(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Head> {
        let mut all: Headers = vec![("host".to_owned(), self.host.clone())];
        all.extend(
            headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        let line = format!("{method} {path} HTTP/1.1");
        http_wire::write_message(self.stream.get_mut(), &line, &all, Some(body))?;
        http_wire::read_head(&mut self.stream)?
            .ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "no answer"))
    }

    /// # Errors
    /// When the connection fails or ends.
    pub fn next_chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        http_wire::read_chunk(&mut self.stream)
    }

    /// Reads the head of an answer to what was sent raw.
    ///
    /// # Errors
    /// When the connection fails or ends.
    pub fn read_head(&mut self) -> io::Result<Head> {
        http_wire::read_head(&mut self.stream)?
            .ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "no answer"))
    }

    /// Reads to the end of the connection.
    ///
    /// # Errors
    /// When the connection fails.
    pub fn read_to_end(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).map(|_| rest)
    }

    /// Ends our side of the connection; the other side may go on.
    ///
    /// # Errors
    /// When the connection has ended already.
    pub fn half_close(&self) -> io::Result<()> {
        self.stream.get_ref().shutdown(Shutdown::Write)
    }

    /// Ends the connection as a host that lost its memory would: by a reset.
    ///
    /// # Errors
    /// When the system does not take the wish.
    pub fn reset(self) -> io::Result<()> {
        let at_once = Some(Duration::ZERO);
        Ok(rustix::net::sockopt::set_socket_linger(
            self.stream.get_ref(),
            at_once,
        )?)
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the connection fails.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }
}

fn status_of(head: &Head) -> io::Result<u16> {
    head.start_line
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, head.start_line.clone()))
}
