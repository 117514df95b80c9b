use tokio::io::duplex;

use super::*;

#[tokio::test]
async fn a_side_that_takes_no_more_is_heard_to_its_end() {
    let (mut client, ours) = duplex(8);
    let (from_client, to_client) = tokio::io::split(ours);
    // It said this, and takes nothing itself.
    let server = tokio::io::join(&b"more than fits at once, and a close"[..], Closed);
    let (from_server, to_server) = tokio::io::split(server);
    client.write_all(b"late").await.unwrap();
    let relay = both(copy(from_client, to_server), copy(from_server, to_client));
    let mut heard = Vec::new();
    let (ended, read) = tokio::join!(relay, client.read_to_end(&mut heard));
    ended.unwrap();
    read.unwrap();
    assert_eq!(heard, b"more than fits at once, and a close");
}

#[tokio::test]
async fn a_side_that_is_gone_ends_both_directions() {
    let gone = async { Err(Broken::Reading(io::ErrorKind::ConnectionReset.into())) };
    let ended = both(gone, std::future::pending()).await;
    assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

/// Takes no byte.
struct Closed;

impl AsyncWrite for Closed {
    fn poll_write(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        _: &[u8],
    ) -> std::task::Poll<io::Result<usize>> {
        std::task::Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
    }

    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}
