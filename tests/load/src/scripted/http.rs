//! Takes MCP over Streamable HTTP of the session era. Gives the script's replies, streams event by event.
//! Never answers later than it can: every head and every event is one write of its own.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::hold::{Orders, Recorder};
use super::{Reply, reply_to};
use crate::{http, report};

/// The longest request this server takes.
const BUFFER: usize = 16 * 1024;
const STREAM_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
    Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n";

static SESSIONS: AtomicU64 = AtomicU64::new(1);

pub async fn run(orders: Orders) -> Result<()> {
    // Ten thousand streams open at once need a longer queue than a library asks for.
    let listener = crate::listen::long_queue()?;
    report::print_address(listener.local_addr()?)?;
    report::end_with_stdin();
    accept(listener, orders).await
}

async fn accept(listener: TcpListener, orders: Orders) -> Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (recorder, orders) = (orders.recorder()?, orders.clone());
        tokio::spawn(async move {
            // A client that goes away in the middle is what a bench of kills is about.
            let _ = Connection {
                stream,
                orders,
                recorder,
            }
            .serve()
            .await;
        });
    }
}

struct Connection {
    stream: TcpStream,
    orders: Orders,
    recorder: Recorder,
}

impl Connection {
    async fn serve(mut self) -> Result<()> {
        let mut buffer = Vec::with_capacity(1024);
        loop {
            while let Some(found) = http::extent(&buffer)? {
                let request: Vec<u8> = buffer.drain(..found.end).collect();
                let (head, body) = request.split_at(found.head);
                self.answer(head, body).await?;
            }
            if buffer.len() > BUFFER || self.stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        }
    }

    async fn answer(&mut self, head: &[u8], body: &[u8]) -> Result<()> {
        if !head.starts_with(b"POST ") {
            // No standalone stream and no session to delete: both are a server's choice.
            return self.write_empty("405 Method Not Allowed").await;
        }
        self.recorder.note(body)?;
        match reply_to(body) {
            Err(_) => self.write_empty("400 Bad Request").await,
            Ok(Reply::Nothing) => self.write_empty("202 Accepted").await,
            Ok(Reply::One(answer)) => self.write_json("", &answer).await,
            Ok(Reply::Welcome(answer)) => {
                let number = SESSIONS.fetch_add(1, Ordering::Relaxed);
                let session = format!("Mcp-Session-Id: scripted-{number}\r\n");
                self.write_json(&session, &answer).await
            }
            Ok(Reply::Held { event, answer }) => {
                self.stream.write_all(STREAM_HEAD).await?;
                self.write_event(&event).await?;
                self.hold().await?;
                self.write_event(&answer).await?;
                self.end_stream().await
            }
            Ok(Reply::Events {
                event,
                count,
                answer,
            }) => {
                self.stream.write_all(STREAM_HEAD).await?;
                for _ in 0..count {
                    self.write_event(&event).await?;
                }
                self.write_event(&answer).await?;
                self.end_stream().await
            }
        }
    }

    /// Until the bench says so, or until the client goes away.
    async fn hold(&mut self) -> Result<()> {
        let mut byte = [0];
        tokio::select! {
            () = self.orders.wait() => Ok(()),
            read = self.stream.read(&mut byte) => {
                (read? > 0).then_some(()).context("the client went away")
            }
        }
    }

    async fn write_json(&mut self, headers: &str, body: &[u8]) -> Result<()> {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{headers}Content-Length: {}\r\n\r\n",
            body.len()
        );
        let bytes = [head.as_bytes(), body].concat();
        Ok(self.stream.write_all(&bytes).await?)
    }

    async fn write_empty(&mut self, status: &str) -> Result<()> {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        Ok(self.stream.write_all(head.as_bytes()).await?)
    }

    async fn write_event(&mut self, message: &[u8]) -> Result<()> {
        const START: &[u8] = b"event: message\ndata: ";
        let size = format!("{:x}\r\n", START.len() + message.len() + 2);
        let chunk = [size.as_bytes(), START, message, b"\n\n\r\n"].concat();
        Ok(self.stream.write_all(&chunk).await?)
    }

    async fn end_stream(&mut self) -> Result<()> {
        Ok(self.stream.write_all(b"0\r\n\r\n").await?)
    }
}
