use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::Gate;

/// Writes a request, then reads these pieces of an answer; gives the data that the gate saw in them, if it would close.
async fn answered(pieces: &[&str]) -> Option<u64> {
    let (mut server, ours) = duplex(1000);
    let mut gate = Gate::new(ours);
    gate.write_all(b"POST / HTTP/1.1\r\n\r\n").await.unwrap();
    gate.flush().await.unwrap();
    for piece in pieces {
        server.write_all(piece.as_bytes()).await.unwrap();
        let mut read = vec![0; piece.len()];
        gate.read_exact(&mut read).await.unwrap();
        assert_eq!(read, piece.as_bytes());
    }
    let watch = gate.watch();
    (0..100).find(|passed| watch.close(*passed))
}

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";

#[tokio::test]
async fn it_closes_between_two_chunks_when_all_of_their_data_was_passed_on() {
    assert_eq!(answered(&[HEAD]).await, Some(0));
    assert_eq!(answered(&[HEAD, "3\r\nabc\r\n"]).await, Some(3));
    let together = format!("{HEAD}1\r\na\r\n");
    assert_eq!(answered(&[&together, "2\r\n", "bc\r\n"]).await, Some(3));
}

#[tokio::test]
async fn it_stays_open_where_somebody_still_needs_it() {
    for pieces in [
        &[HEAD, "3\r\nabc\r"][..],
        &[HEAD, "3\r\nab"],
        &[HEAD, "0\r\n\r\n"],
        &["HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n"],
        &[
            "HTTP/1.1 200 OK\r\n",
            "content-type: text/event-stream\r\n\r\n",
        ],
        &["HTTP/1.1 404 X\r\ncontent-type: text/event-stream\r\n\r\n"],
    ] {
        assert_eq!(answered(pieces).await, None, "{pieces:?}");
    }
}

#[tokio::test]
async fn it_stays_open_while_something_written_is_not_out() {
    let (_server, ours) = duplex(1000);
    let mut gate = Gate::new(ours);
    gate.write_all(b"x").await.unwrap();
    assert!(!gate.watch().is_flushed());
    gate.flush().await.unwrap();
    assert!(gate.watch().is_flushed());
}

#[tokio::test]
async fn what_was_read_before_comes_first() {
    let (mut other, ours) = duplex(1000);
    other.write_all(b" /mcp").await.unwrap();
    let mut gate = Gate::after(ours, bytes::Bytes::from_static(b"POST"));
    let mut read = [0; 9];
    gate.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"POST /mcp");
}

#[tokio::test]
async fn what_nobody_has_read_is_left() {
    let (_other, ours) = duplex(1000);
    let mut gate = Gate::after(ours, bytes::Bytes::from_static(b"POST /mcp"));
    gate.read_exact(&mut [0; 5]).await.unwrap();
    assert_eq!(&gate.into_parts().1[..], b"/mcp");
}
