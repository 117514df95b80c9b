//! Takes an MCP server or a hop. Gives it streams: one after the other with many events, or many open at once.
//! Never closes an open stream by itself: it holds them until standard input ends.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::report;
use crate::session::{Endpoint, Session, head, tool_call};

/// Streams that are being opened at a time.
const OPENING: usize = 64;

/// Asks for streams of so many events, one after the other, and counts events.
pub fn events(endpoint: &Endpoint, events: u64, seconds: f64) -> Result<()> {
    let mut session = Session::open(endpoint)?;
    let arguments = format!(r#"{{"events":{events}}}"#);
    let meta = r#","_meta":{"progressToken":1}"#;
    let call = tool_call(endpoint, 9000, "events", &arguments, meta);
    let (mut streams, began) = (0, Instant::now());
    while began.elapsed() < Duration::from_secs_f64(seconds) {
        session.send(&call, "")?;
        session.drain(b"0\r\n\r\n")?;
        streams += 1;
    }
    let took = began.elapsed().as_secs_f64();
    let events = streams * events;
    let per_second = events as f64 / took;
    report::print(&format!(
        r#"{{"events":{events},"per_second":{per_second:.0}}}"#
    ))
}

/// Opens streams, says so once every one has had its first event, and holds them.
pub async fn open(endpoint: Endpoint, count: usize) -> Result<()> {
    let began = Instant::now();
    let mut open = Vec::with_capacity(count);
    while open.len() < count {
        let batch = OPENING.min(count - open.len());
        let opening: Vec<_> = (0..batch)
            .map(|_| tokio::spawn(open_one(endpoint.clone())))
            .collect();
        for stream in opening {
            open.push(
                stream
                    .await?
                    .with_context(|| format!("after {} open streams", open.len()))?,
            );
        }
    }
    report::print(&format!(
        r#"{{"open":{},"seconds":{:.1}}}"#,
        open.len(),
        began.elapsed().as_secs_f64()
    ))?;
    report::end_with_stdin();
    std::future::pending().await
}

async fn open_one(endpoint: Endpoint) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(endpoint.to).await?;
    stream.set_nodelay(true)?;
    let meta = r#","_meta":{"progressToken":1}"#;
    let body = tool_call(&endpoint, 1, "stream", "{}", meta);
    let head = head(&endpoint, None, body.len(), "");
    stream
        .write_all(&[head.as_bytes(), body.as_bytes()].concat())
        .await?;
    let mut answer = Vec::with_capacity(512);
    while memchr::memmem::find(&answer, b"notifications/progress").is_none() {
        if stream.read_buf(&mut answer).await? == 0 {
            bail!("a stream ended with {}", String::from_utf8_lossy(&answer));
        }
    }
    Ok(stream)
}
