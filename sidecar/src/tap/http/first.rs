//! Takes the first bytes of a connection. Gives the HTTP version that they begin, and the bytes.
//! Never reads further than it takes to tell, and holds no buffer while nothing has come.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::timeout;

/// What a client of HTTP/2 begins with (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What is read at once; most heads fit.
const FIRST_READ: usize = 4096;

/// The bytes that tell, and whether they begin HTTP/2.
pub(super) async fn recognise(
    stream: &mut (impl AsyncRead + Unpin),
    limit: Duration,
) -> io::Result<(Bytes, bool)> {
    let mut first = read(stream).await?;
    while first.len() < PREFACE.len() && PREFACE.starts_with(&first) {
        let more = timeout(limit, read(stream)).await??;
        if more.is_empty() {
            break;
        }
        let mut both = BytesMut::from(first);
        both.extend_from_slice(&more);
        first = both.freeze();
    }
    let two = first.starts_with(PREFACE);
    Ok((first, two))
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Bytes> {
    poll_fn(|cx| {
        // On the stack for the length of one poll: a connection that waits owns no buffer.
        let mut space = [MaybeUninit::uninit(); FIRST_READ];
        let mut buf = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut *stream).poll_read(cx, &mut buf))?;
        Poll::Ready(Ok(Bytes::copy_from_slice(buf.filled())))
    })
    .await
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    async fn seen(pieces: &[&[u8]]) -> (Vec<u8>, bool) {
        let (mut client, mut server) = duplex(64);
        let pieces: Vec<_> = pieces.iter().map(|piece| piece.to_vec()).collect();
        let client = tokio::spawn(async move {
            for piece in pieces {
                client.write_all(&piece).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        let (first, two) = recognise(&mut server, LIMIT).await.unwrap();
        let mut all = first.to_vec();
        server.read_to_end(&mut all).await.unwrap();
        client.await.unwrap();
        (all, two)
    }

    #[tokio::test]
    async fn the_preface_is_recognised_however_it_is_cut() {
        let mut bytes = PREFACE.to_vec();
        bytes.extend_from_slice(b"settings");
        for cut in 0..PREFACE.len() {
            let (head, tail) = bytes.split_at(cut);
            assert_eq!(seen(&[head, tail]).await, (bytes.clone(), true), "{cut}");
        }
    }

    #[tokio::test]
    async fn everything_else_is_http_1() {
        for text in [
            "GET / HTTP/1.1\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\nXX",
            "P",
            "",
        ] {
            let (all, two) = seen(&[text.as_bytes()]).await;
            assert_eq!((all.as_slice(), two), (text.as_bytes(), false));
        }
    }
}
