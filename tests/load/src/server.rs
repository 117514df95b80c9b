//! Takes MCP calls over HTTP/1.1. Gives each a small JSON answer with its id.
//! Never parses more of a call than the id: the hop in front of it is what is measured.

use std::io::Write;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::{http, report};

/// The longest request this server takes.
const BUFFER: usize = 64 * 1024;

pub async fn run() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    report::print_address(listener.local_addr()?)?;
    report::end_with_stdin();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            // A client that goes away in the middle of a call is how every bench run ends.
            let _ = answer_all(stream).await;
        });
    }
}

async fn answer_all(mut stream: TcpStream) -> Result<()> {
    let mut buffer = vec![0; BUFFER];
    let mut answer = Vec::with_capacity(1024);
    let mut filled = 0;
    loop {
        let read = stream
            .read(buffer.get_mut(filled..).unwrap_or_default())
            .await?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        while let Some(found) = http::extent(buffer.get(..filled).unwrap_or_default())? {
            let body = buffer.get(found.head..found.end).unwrap_or_default();
            compose(body, &mut answer)?;
            stream.write_all(&answer).await?;
            buffer.copy_within(found.end..filled, 0);
            filled -= found.end;
        }
    }
}

fn compose(body: &[u8], answer: &mut Vec<u8>) -> Result<()> {
    const START: &str = r#"{"jsonrpc":"2.0","id":"#;
    const END: &str =
        r#","result":{"resultType":"complete","content":[{"type":"text","text":"hello"}]}}"#;
    let id = id_of(body).context("a request without an id")?;
    answer.clear();
    write!(
        answer,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{START}",
        START.len() + id.len() + END.len()
    )?;
    answer.extend_from_slice(id);
    answer.extend_from_slice(END.as_bytes());
    Ok(())
}

/// The digits after the first `"id":`, which in the bench's own requests is the message's id.
pub fn id_of(message: &[u8]) -> Option<&[u8]> {
    number_after(message, br#""id":"#)
}

/// The digits right after `key`.
pub fn number_after<'a>(message: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let start = memchr::memmem::find(message, key)? + key.len();
    let rest = message.get(start..)?;
    let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    rest.get(..length).filter(|digits| !digits.is_empty())
}
