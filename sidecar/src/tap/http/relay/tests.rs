use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;

use super::{AHEAD, Finished, Left, Relay};

type Running = JoinHandle<Option<Finished<DuplexStream, DuplexStream>>>;

/// A relay whose pipes hold so many bytes: the client's side, the server's side, the relay.
fn relay(room: usize, ahead: &[u8]) -> (DuplexStream, DuplexStream, Running) {
    let (client, ours) = duplex(room);
    let (server, theirs) = duplex(room);
    let relay = Relay::new(ours, ahead, theirs, Left::default());
    (client, server, tokio::spawn(relay.run()))
}

#[tokio::test]
async fn every_byte_up_to_the_end_of_the_body_passes_as_it_is() {
    let body = b"1;x\r\na\r\n00000a\r\n0123456789\r\n0\r\nT: v\r\n\r\n";
    // Room for one byte makes every write wait; the rest of the answer is none of ours.
    for room in [1, 7, 1000] {
        let (mut client, mut server, running) = relay(room, b"");
        let sending = tokio::spawn(async move {
            server
                .write_all(&[body, b"HTTP/1.1".as_slice()].concat())
                .await
        });
        let mut read = vec![0; body.len()];
        client.read_exact(&mut read).await.unwrap();
        assert_eq!(read, body);
        let finished = running.await.unwrap().expect("the client's side goes on");
        assert!(finished.ahead.is_empty());
        // Where more than the answer was read, nobody may use that connection again.
        match room {
            1 => assert!(finished.server.is_some()),
            1000 => assert!(finished.server.is_none()),
            _ => {}
        }
        drop(finished);
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();
        assert!(rest.is_empty());
        // Whether all of it was read before the end depends on the room.
        let _ = sending.await.unwrap();
    }
}

#[tokio::test]
async fn what_the_client_sends_ahead_is_kept_for_later() {
    let (mut client, mut server, running) = relay(100, b"POST");
    client.write_all(b" /mcp").await.unwrap();
    server.write_all(b"1\r\na\r\n").await.unwrap();
    let mut read = [0; 6];
    client.read_exact(&mut read).await.unwrap();
    server.write_all(b"0\r\n\r\n").await.unwrap();
    let finished = running.await.unwrap().expect("the client's side goes on");
    assert!(finished.server.is_some());
    assert_eq!(finished.ahead, b"POST /mcp".as_slice());
}

#[tokio::test]
async fn a_client_that_sends_far_ahead_is_not_read_for_ever() {
    let (mut client, mut server, running) = relay(10 * AHEAD, b"");
    client.write_all(&[b'x'; 5 * AHEAD]).await.unwrap();
    server.write_all(b"0\r\n\r\n").await.unwrap();
    let finished = running.await.unwrap().expect("the client's side goes on");
    assert!(finished.ahead.len() <= 2 * AHEAD, "{finished:?}");
}

#[tokio::test]
async fn the_end_of_one_side_is_the_end_of_the_other() {
    let (client, mut server, running) = relay(100, b"");
    drop(client);
    assert!(running.await.unwrap().is_none());
    assert_eq!(server.read(&mut [0]).await.unwrap(), 0);

    let (mut client, server, running) = relay(100, b"");
    drop(server);
    assert!(running.await.unwrap().is_none());
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn what_is_no_chunk_breaks_the_stream_off() {
    let (mut client, mut server, running) = relay(100, b"");
    server.write_all(b"1\r\na\r\nnonsense\r\n").await.unwrap();
    assert!(running.await.unwrap().is_none());
    let mut read = Vec::new();
    client.read_to_end(&mut read).await.unwrap();
    assert!(read.starts_with(b"1\r\na\r\n"));
    assert!(!read.ends_with(b"0\r\n\r\n"));
}

#[tokio::test]
async fn what_was_ready_before_goes_first() {
    let (mut client, ours) = duplex(100);
    let (mut server, theirs) = duplex(100);
    let left = Left {
        ready: ["ab", "", "cde"].map(bytes::Bytes::from).into(),
        ..Left::default()
    };
    let running = tokio::spawn(Relay::new(ours, b"", theirs, left).run());
    server.write_all(b"0\r\n\r\n").await.unwrap();
    assert!(running.await.unwrap().is_some());
    let mut read = Vec::new();
    client.read_to_end(&mut read).await.unwrap();
    assert_eq!(read, b"5\r\nabcde\r\n0\r\n\r\n");
}
